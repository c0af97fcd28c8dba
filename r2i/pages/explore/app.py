"""The explorer's pages: the start, a table as list or gallery, a row, its whole story, exports."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from r2i.core.errors import R2IError, TableError
from r2i.core.tables import Row
from r2i.pages.explore.choice import FORMATS, Choice
from r2i.pages.explore.export import TYPES, export
from r2i.pages.explore.index import Index
from r2i.pages.explore.pictures import pictures_of, row_href, row_pictures
from r2i.pages.explore.relatives import QuickReader, relatives_of
from r2i.pages.explore.sheets import SHEETS, Sheet
from r2i.pages.explore.tables import Tables
from r2i.pages.explore.views import fields_of, filters_of, value_text, with_questions
from r2i.pages.web.app import make_app, page
from r2i.pages.web.errors import BadRequest, NotFound
from r2i.pages.web.pictures import Pictures, picture_answer
from r2i.tools.lineage.ids import similar
from r2i.tools.lineage.text import story_text
from r2i.tools.lineage.walk import trace

HERE = Path(__file__).parent
KINDS = {"train": "row", "questions": "question", "votes": "question", "answers": "answer", "regions": "region",
         "images": "image", "items": "item", "predictions": "item"}  # fmt: skip


def explorer(hosts: Sequence[str] = ()) -> Starlette:
    """The application, over the tables of the current directory. `hosts`: names that it answers to."""
    tables, pictures = Tables(), Pictures()
    pages = Pages(tables)
    app = make_app(
        [
            Route("/", pages.start),
            Route("/t/{slug}", pages.rows),
            Route("/row/{slug}", pages.row),
            Route("/story/{slug}", pages.story),
            Route("/find", pages.find),
            Route("/export/{slug}", pages.export),
            Route("/picture", lambda request: picture_answer(pictures, request)),
        ],
        [HERE / "templates"],
        hosts,
        name="r2i explore",
        nav=[(sheet.title, f"/t/{sheet.slug}") for sheet in SHEETS.values()],
        static={"explore.css": HERE / "static/explore.css"},
    )
    app.state.env.globals |= {"row_href": row_href, "sheets": SHEETS, "value_text": value_text}
    app.state.tables = tables
    return app


def warm(app: Starlette) -> threading.Thread:
    """Read the filter columns of all tables, beside the first requests. A table that is missing is left to its page."""

    def read() -> None:
        for slug in sorted(SHEETS, key=lambda slug: slug not in ("answers", "predictions")):  # the longest first
            try:
                app.state.tables.index(slug)
            except R2IError:
                continue

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


class Pages:
    """Answers to requests; each runs in a thread of its own."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def start(self, request: Request) -> Response:
        """All tables with their rows by status."""
        return page(request, "start.html.j2", lines=[self._line(sheet) for sheet in SHEETS.values()])

    def _line(self, sheet: Sheet) -> dict[str, Any]:
        try:
            index = self.tables.index(sheet.slug)
        except TableError as error:
            return {"sheet": sheet, "cause": error.cause, "remedy": error.remedy}
        counts = index.facet_counts({}, index.counts(None))
        links = {name: f"/t/{sheet.slug}?status={name}" for name in ("ok", "rejected", "failed")}
        reasons = [(value, count) for value, count in counts["reason"] if value][:4]
        status = dict(counts["status"])
        return {"sheet": sheet, "rows": index.rows, "status": status, "links": links, "reasons": reasons, "cause": ""}

    def rows(self, request: Request) -> Response:
        """A table, filtered: as a list or a gallery."""
        sheet = sheet_of(request)
        choice = Choice.of(sheet, request.query_params)
        return page(request, "rows.html.j2", **self.tables.steady(sheet.slug, lambda index: self._page(index, choice)))

    def _page(self, index: Index, choice: Choice) -> dict[str, Any]:
        sheet = index.sheet
        numbers = self.tables.selected(index, choice)
        counts = index.counts(self.tables.among(index, choice))
        pages = max(1, -(-len(numbers) // choice.size))
        if choice.page > pages:
            raise NotFound(f"there are {pages:,} pages", "go to the first")
        before = (choice.page - 1) * choice.size
        columns = [*dict.fromkeys([sheet.key, *sheet.role_columns(), "status", "reason", *sheet.own_cells()])]
        rows = index.shards.read(numbers[before : before + choice.size].tolist(), columns)
        if sheet.slug == "answers":
            rows = with_questions(self.tables, rows)
        pictures = pictures_of(self.tables, sheet.slug, rows) if choice.look == "gallery" else [None] * len(rows)
        return {
            "sheet": sheet, "choice": choice, "rows": list(zip(rows, pictures, strict=True)), "found": len(numbers),
            "all": index.rows, "filters": filters_of(index, choice, counts), "pages": pages, "before": before,
            "came": choice.query(), "formats": FORMATS,
        }  # fmt: skip

    def row(self, request: Request) -> Response:
        """A row: its pictures, its columns, where it came from and what became of it."""
        sheet = sheet_of(request)
        row = self._row(sheet, request)
        if sheet.slug == "answers":
            row = with_questions(self.tables, [row])[0]
        return page(
            request, "row.html.j2", sheet=sheet, row=row, fields=fields_of(sheet.slug, row),
            pictures=row_pictures(self.tables, sheet.slug, row), relatives=relatives_of(self.tables, sheet.slug, row),
            back=back_of(sheet, request), title=row.get("question") or f"{sheet.one} {row[sheet.key][:16]}",
        )  # fmt: skip

    def _row(self, sheet: Sheet, request: Request) -> Row:
        name, run = request.query_params.get("id", ""), request.query_params.get("run", "")
        found = self.tables.find(sheet.slug, sheet.key, [name], run=run, most=1)
        if not found:
            raise NotFound(
                f"no row {name[:100]!r} among the {sheet.title.lower()}", "look for the id on the first page"
            )
        return found[0]

    def story(self, request: Request) -> Response:
        """What `r2i lineage` prints: every model call with its prompt and reply, and the code's revision."""
        sheet = sheet_of(request)
        row = self._row(sheet, request)
        name = row["item_id"] if sheet.slug == "predictions" else row[sheet.key]
        text = story_text(trace(name, KINDS[sheet.slug], QuickReader(self.tables)))
        return page(request, "story.html.j2", sheet=sheet, row=row, text=text)

    def find(self, request: Request) -> Response:
        """The row of an id, in whatever table it stands."""
        name = request.query_params.get("id", "").strip()
        for slug in ("train", "questions", "answers", "regions", "images", "items", "predictions"):
            try:
                found = self.tables.find(slug, SHEETS[slug].key, [name], [SHEETS[slug].key], most=1)
            except TableError:
                continue
            if found:
                return RedirectResponse(row_href(slug, found[0]), 303)
        near = similar(name) if name else []
        raise NotFound(f"no table here has the id {name[:100]!r}", f"similar: {'; '.join(near)}" if near else "")

    def export(self, request: Request) -> Response:
        """All rows that a page has chosen, as a file."""
        sheet = sheet_of(request)
        form = request.query_params.get("as", "")
        choice = Choice.of(sheet, request.query_params, ("as",))
        index, numbers = self.tables.steady(sheet.slug, lambda index: (index, self.tables.selected(index, choice)))
        pieces = export(index, numbers, form)
        end = "txt" if form == "ids" else form
        headers = {"Content-Disposition": f'attachment; filename="{sheet.slug}.{end}"'}
        return StreamingResponse(pieces, media_type=TYPES[form], headers=headers)


def sheet_of(request: Request) -> Sheet:
    """Raises NotFound."""
    slug = request.path_params["slug"]
    if slug not in SHEETS:
        raise NotFound("there is no such table", f"there are: {', '.join(SHEETS)}")
    return SHEETS[slug]


def back_of(sheet: Sheet, request: Request) -> str:
    """The list that the row was found in: read as a choice and written anew, so that it leads nowhere else."""
    came = request.query_params.get("from", "")
    try:
        choice = Choice.of(sheet, QueryParams(parse_qsl(came, keep_blank_values=True, max_num_fields=100)))
    except (BadRequest, ValueError):
        return f"/t/{sheet.slug}"
    return choice.href(page=choice.page)
