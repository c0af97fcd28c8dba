"""The pages of `r2i review`: one row to decide about, how far it got, how far people agree."""

import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from r2i.core.errors import R2IError
from r2i.core.tables import Row
from r2i.pages.review import forms
from r2i.pages.review.desk import Desk
from r2i.pages.review.status import status_of
from r2i.pages.web.app import make_app, page
from r2i.pages.web.errors import BadRequest, Conflict, NotFound
from r2i.review.decisions import REASONS, Decision
from r2i.review.outcomes import decide as outcome_of

HERE = Path(__file__).parent
COOKIE = "r2i_reviewer"
YEAR = 365 * 86400


def review_app(desk: Desk, hosts: Sequence[str] = ()) -> Starlette:
    """All of it. Raises TableError where there is nothing to review yet."""
    desk.queue  # noqa: B018 - what is missing is said before a browser opens
    routes = [
        Route("/", overview),
        Route("/name", set_name, methods=["POST"]),
        Route("/next", next_row),
        Route("/row/{subject}", show_row),
        Route("/row/{subject}", decide_row, methods=["POST"]),
        Route("/skip/{subject}", skip_row, methods=["POST"]),
        Route("/undo", undo_last, methods=["POST"]),
        Route("/picture/{subject}", picture),
    ]
    app = make_app(
        routes, [HERE / "templates"], hosts, name="r2i review", nav=[("Review", "/next"), ("Progress", "/")],
        static={"review.css": HERE / "static/review.css", "review.js": HERE / "static/review.js"},
    )  # fmt: skip
    app.state.desk = desk
    return app


def overview(request: Request) -> Response:
    desk = _desk(request)
    found, reviewer = status_of(desk), _reviewer(request)
    rows = desk.subjects.rows(found["disputed"])
    return page(
        request, "overview.html.j2", status=200, found=found, reviewer=reviewer, frame=desk.subjects.frame,
        stage=desk.subjects.tables[0].stage, dropped={name for name, row in rows.items() if not row["shown"]},
        mine={one.subject: one for one in _made_by(desk, reviewer)},
    )  # fmt: skip


async def set_name(request: Request) -> Response:
    async with request.form() as form:
        name = " ".join(forms.clean(str(form.get("name", ""))).split())
    if not 0 < len(name) <= 80 or not name.isprintable():
        raise BadRequest("a name has 1 to 80 characters", "go back, and say who you are")
    answer = RedirectResponse("/next", 303)
    answer.set_cookie(COOKIE, quote(name), max_age=YEAR, httponly=True, samesite="strict")
    return answer


def next_row(request: Request) -> Response:
    desk, reviewer = _desk(request), _reviewer(request)
    if not reviewer:
        return RedirectResponse("/", 303)
    subject = desk.queue.next(reviewer)
    if subject is None:
        made = _made_by(desk, reviewer)
        return page(request, "done.html.j2", found=status_of(desk), last=made[-1] if made else None)
    saved = request.query_params.get("saved", "")
    return RedirectResponse(f"/row/{quote(subject, safe='')}" + (f"?saved={quote(saved)}" if saved else ""), 303)


def show_row(request: Request) -> Response:
    desk = _desk(request)
    try:
        row = _row(request)
        return _row_page(request, row, forms.Draft(forms.shown_of(row, desk.was(row))))
    except R2IError:  # its picture is gone, or the row: the next one may be there
        _put_off(request)
        raise


async def decide_row(request: Request) -> Response:
    desk, reviewer = _desk(request), _reviewer(request)
    if not reviewer:
        raise BadRequest("nobody is named", "say who you are on the start page")
    async with request.form() as sent:
        form = {name: value for name, value in sent.items() if isinstance(value, str)}
    return await run_in_threadpool(_decide, request, desk, reviewer, form)


def _decide(request: Request, desk: Desk, reviewer: str, form: dict[str, str]) -> Response:
    row = _row(request)
    was = desk.was(row)
    if form.get("token") != forms.token_of(was):
        raise Conflict("the row has changed since it was shown", "open it again")
    draft = forms.read_form(form, forms.shown_of(row, was), was, desk.subjects.size(row["id"]))
    made = forms.decide(form, draft, row, was, reviewer, desk.subjects.frame)
    if isinstance(made, str):
        return _row_page(request, row, forms.Draft(draft.shown, made), 400)
    with desk.lock:  # a second click, another tab
        mine = next((one for one in desk.known().get(row["id"], ()) if one.reviewer == reviewer), None)
        if mine:
            return page(request, "already.html.j2", 409, mine=mine)
        desk.log.add(made)
    desk.queue.release(reviewer, row["id"])
    return RedirectResponse(f"/next?saved={made.decision_id}", 303)


def skip_row(request: Request) -> Response:
    _put_off(request)
    return RedirectResponse("/next", 303)


def _put_off(request: Request) -> None:
    """The row comes last for this reviewer, whether it can be shown or not."""
    desk, reviewer, subject = _desk(request), _reviewer(request), request.path_params["subject"]
    if reviewer and subject in desk.queue.subjects:
        desk.queue.skip(reviewer, subject)


async def undo_last(request: Request) -> Response:
    """Takes back the named decision, which must be this reviewer's own."""
    desk, reviewer = _desk(request), _reviewer(request)
    async with request.form() as form:
        wanted = str(form.get("decision", ""))
    return await run_in_threadpool(_undo, desk, reviewer, wanted)


def _undo(desk: Desk, reviewer: str, wanted: str) -> Response:
    found = next((one for one in _made_by(desk, reviewer) if one.decision_id == wanted), None)
    if found is None:
        raise Conflict("there is no such decision of yours to take back", "it may have been taken back already")
    desk.log.add(forms.undo(found))
    row = desk.subjects.rows([found.subject]).get(found.subject)
    return RedirectResponse(f"/row/{quote(found.subject, safe='')}" if row and row["shown"] else "/", 303)


def picture(request: Request) -> Response:
    row = _row(request)
    return Response(
        _desk(request).subjects.picture(row["id"]), media_type="image/jpeg",
        headers={"Cache-Control": "private, max-age=3600"},
    )  # fmt: skip


def _row_page(request: Request, row: Row, draft: forms.Draft, status: int = 200) -> Response:
    desk, reviewer = _desk(request), _reviewer(request)
    was, about = desk.was(row), desk.known().get(row["id"], ())
    made = _made_by(desk, reviewer)
    mine = next((one for one in about if one.reviewer == reviewer), None)
    closed = bool(about) and outcome_of(about).closed
    return page(
        request,
        "row.html.j2",
        status,
        row=row,
        was=was,
        before=forms.shown_of(row, was),
        shown=draft.shown,
        fault=draft.fault,
        mine=mine,
        others=[one for one in about if one is not mine] if mine or closed else [],
        token=forms.token_of(was),
        reasons=REASONS,
        reviewer=reviewer,
        size=desk.subjects.size(row["id"]),
        started=f"{time.time():.1f}",
        saved=_saved(request, desk, reviewer),
        done=len(made),
        frame=desk.subjects.frame,
        last=made[-1] if made else None,
        found=status_of(desk, brief=True),
    )


def _saved(request: Request, desk: Desk, reviewer: str) -> Decision | None:
    wanted = request.query_params.get("saved", "")
    return next((one for one in desk.log.read().all if one.decision_id == wanted and one.reviewer == reviewer), None)


def _made_by(desk: Desk, reviewer: str) -> list[Decision]:
    """The reviewer's decisions that stand, in order of time."""
    return [one for one in desk.log.read().standing() if one.reviewer == reviewer]


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def _reviewer(request: Request) -> str:
    """The cookie's name, else the one that the server was started with; empty: nobody yet."""
    name = unquote(request.cookies.get(COOKIE, ""))[:80]
    return name if name.isprintable() and name.strip() else _desk(request).reviewer


def _row(request: Request) -> Row:
    desk, subject = _desk(request), request.path_params["subject"]
    row = desk.subjects.rows([subject]).get(subject) if len(subject) <= 80 else None
    if row is None:
        raise NotFound("there is no such row to review", "the tables may have changed: go on with the next one")
    if not row["shown"]:
        stage = desk.subjects.tables[0].stage
        raise Conflict(
            f"the table has no picture of this row: {row['status']}, {row['reason']}",
            f"one who decided about it takes that back (page Progress, if it is disputed), then `dvc repro {stage}`",
        )
    return row
