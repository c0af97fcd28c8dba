"""What a row came from and what became of it: rows of other tables, found by the ids that they share."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from r2i.core.catalogue import Listed
from r2i.core.errors import TableError
from r2i.core.tables import Row
from r2i.pages.explore.sheets import ROLES, SHEETS
from r2i.pages.explore.tables import Tables
from r2i.tools.lineage.walk import Reader

MOST = 60  # rows of one table on a row's page


@dataclass(frozen=True)
class Relatives:
    """Rows of one table that belong to a row. `missing`: why there are none; `href`: all of them as a list."""

    slug: str
    title: str
    rows: list[Row]
    more: bool = False
    href: str = ""
    missing: str = ""


ORDER = ("images", "regions", "questions", "answers", "votes", "train", "items", "predictions")
# For every table: table -> the id by which its rows belong to this one, most closely first
LINKS: dict[str, dict[str, str]] = {
    "images": {"regions": "image_id", "questions": "image_id", "votes": "image_id", "train": "image_id",
               "items": "image_id"},
    "regions": {"images": "image_id", "questions": "region_id", "votes": "region_id", "train": "region_id"},
    "questions": {"images": "image_id", "regions": "region_id", "answers": "question_id", "votes": "question_id",
                  "train": "question_id"},
    "items": {"images": "image_id", "predictions": "item_id", "train": "image_id"},
    "predictions": {"items": "item_id", "predictions": "item_id", "images": "image_id", "train": "image_id"},
}  # fmt: skip
LINKS["votes"] = LINKS["questions"] | {"questions": "question_id"}
LINKS["answers"] = LINKS["questions"] | {"questions": "question_id"}
LINKS["train"] = LINKS["questions"] | {"questions": "question_id", "items": "image_id"}
TITLES = {
    ("images", "items"): "Benchmark items of this image",
    ("answers", "answers"): "All answers to this question",
    ("train", "items"): "Benchmark items of the same image",
    ("items", "train"): "Train rows of the same image",
    ("predictions", "train"): "Train rows of the same image",
    ("predictions", "predictions"): "All replies to this item",
}


def ids_of(tables: Tables, slug: str, row: Row) -> dict[str, str]:
    """The ids that a row belongs to; an answer's region stands in its question."""
    ids = {name: row[name] for name in ROLES if row.get(name)}
    if "question_id" in ids and "region_id" not in ids:
        for other in ("questions", "votes"):
            try:
                found = tables.find(other, "question_id", [ids["question_id"]], ["question_id", "region_id"], most=1)
            except TableError:
                continue
            if found and found[0]["region_id"]:
                return ids | {"region_id": found[0]["region_id"]}
    return ids


def relatives_of(tables: Tables, slug: str, row: Row) -> list[Relatives]:
    """In the order of the pipeline."""
    ids = ids_of(tables, slug, row)
    found = []
    for other in ORDER:
        role = LINKS[slug].get(other)
        if role and role in ids:
            title = TITLES.get((slug, other), SHEETS[other].title)
            found.append(_related(tables, other, title, role, ids[role]))
    return found


def _related(tables: Tables, slug: str, title: str, role: str, name: str) -> Relatives:
    sheet = SHEETS[slug]
    columns = [*dict.fromkeys([sheet.key, "status", "reason", *sheet.role_columns(), *sheet.own_cells()])]
    if "box" in sheet.table.schema.names and "box" not in columns:
        columns.append("box")
    href = f"/t/{slug}?{urlencode({role: name})}" if role in sheet.role_columns() else ""
    try:
        rows = tables.find(slug, role, [name], columns, most=MOST + 1)
    except TableError as error:
        return Relatives(slug, title, [], missing=f"{error.cause}: {error.remedy}")
    return Relatives(slug, title, rows[:MOST], len(rows) > MOST, href)


class QuickReader(Reader):
    """The reader of r2i.tools.lineage, at any size of the tables: the same rows, all of them."""

    def __init__(self, tables: Tables) -> None:
        super().__init__()
        self._tables = tables
        self._slugs = {sheet.table.folder: slug for slug, sheet in SHEETS.items()}

    def rows(self, table: Listed, column: str, value: str | None, columns: list[str] | None = None) -> list[Row]:
        if not value:
            return []
        run = table.folder.name if table.folder not in self._slugs else ""
        slug = self._slugs.get(table.folder, "predictions")
        try:
            return [_plain(row) for row in self._tables.find(slug, column, [value], columns, run, most=None)]
        except TableError as error:
            self.missing[str(table.folder)] = error.cause
            return []


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "run"}
