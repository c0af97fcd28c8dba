"""One application from a room's routes and templates: its pages, its files, its errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from r2i.core.errors import R2IError
from r2i.pages.web.errors import NotFound, status_of
from r2i.pages.web.guard import Guard, Refused
from r2i.pages.web.text import cut, plain, shown

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
STATIC = {"style.css": HERE / "static/style.css", "icon.svg": HERE / "static/icon.svg"}


def make_app(
    routes: Sequence[BaseRoute],
    templates: Sequence[Path],
    hosts: Sequence[str] = (),
    *,
    name: str = "r2i",
    nav: Sequence[tuple[str, str]] = (),
    static: Mapping[str, Path] | None = None,
) -> Starlette:
    """An application of `routes`, whose endpoints answer with `page` and raise R2IError.

    `templates`: folders, searched before r2i/pages/web/templates (every page extends base.html.j2); `hosts`: names that
    it answers to beside the loopback's; `name`: in the header; `nav`: (text, address) of the header's links;
    `static`: further files by name, served as /static/NAME.
    """
    env = Environment(
        loader=FileSystemLoader([*templates, HERE / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {"shown": shown, "cut": cut, "plain": plain}
    env.globals |= {"name": name, "nav": list(nav)}
    answered = {host.lower() for host in hosts}
    app = Starlette(
        routes=[*routes, Route("/static/{file}", _static)],
        middleware=[Middleware(Guard, hosts=answered, explain=explain)],
        exception_handlers={R2IError: explain, HTTPException: explain},
    )
    app.state.env, app.state.hosts = env, answered
    app.state.static = STATIC | dict(static or {})
    return app


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """`template` with `values`; `request` and `path` (of the request) are known to it too."""
    found = request.app.state.env.get_template(template)
    return HTMLResponse(found.render(request=request, path=request.url.path, **values), status)


def explain(request: Request, error: Exception) -> Response:
    """A page with cause and remedy, and without a traceback: that is on the terminal."""
    status, cause, remedy = 500, "this page failed", "the terminal that runs the server says why"
    if isinstance(error, Refused):
        return HTMLResponse(f"{error.cause}; {error.remedy}", error.status, media_type="text/plain")
    if isinstance(error, R2IError):
        status, cause, remedy = status_of(error), error.cause, error.remedy
    elif isinstance(error, HTTPException):
        status = error.status_code
        cause, remedy = ("there is no such page", "go to the start") if status == 404 else (error.detail, "")
    return page(request, "error.html.j2", status, code=status, cause=cause, remedy=remedy)


def _static(request: Request) -> Response:
    path = request.app.state.static.get(request.path_params["file"])
    if path is None:
        raise NotFound("there is no such file")
    return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
