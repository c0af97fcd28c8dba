"""What stands before every page: who may ask, and what every answer forbids the browser.

A page of another site can make a browser ask this server, under its own name (DNS rebinding) or by a form.
The Host header of such a request gives it away, and the Origin or Sec-Fetch-Site header of a form.
"""

import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from r2i.core.errors import R2IError
from r2i.pages.web.errors import BadRequest

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")  # at any port: a tunnel's own differs
MOST_SENT = 2**20  # bytes of a form
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?", re.IGNORECASE)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: with it browsers send `Origin: null` with our own forms. Other sites learn nothing from this.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
Explain = Callable[[Request, Exception], Response | Awaitable[Response]]


class Refused(BadRequest):
    """A request that no page of ours makes. `status`: of the answer."""

    def __init__(self, status: int, cause: str, remedy: str = "") -> None:
        super().__init__(cause, remedy)
        self.status = status


class Guard:
    """ASGI middleware: checks the request, sets HEADERS, and turns whatever fails into a page by `explain`.

    `hosts`: names in lower case that it answers to, looked at anew for every request; beside them LOOPBACK, to
    requests of this machine.
    """

    def __init__(self, app: ASGIApp, hosts: set[str], explain: Explain) -> None:
        self.app, self.hosts, self.explain = app, hosts, explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            check_request(scope["method"], Headers(scope=scope), self.hosts, (scope.get("client") or [""])[0])
            await self.app(scope, receive, guarded)
        except Exception as error:
            if started:  # half an answer is out: only an end that is no end tells the browser so
                raise
            if not isinstance(error, R2IError):
                logging.getLogger("r2i.web").exception("a page failed")
            answer = self.explain(Request(scope), error)
            await (answer if isinstance(answer, Response) else await answer)(scope, receive, guarded)


def check_request(method: str, headers: Headers, hosts: set[str], peer: str = "") -> None:
    """Raises Refused where another site may be behind this request, or another machine that calls itself this one.

    `peer`: the address that it came from; "": of this machine.
    """
    host = headers.get("host", "")
    found = _HOST.fullmatch(host)
    names = {*hosts, *LOOPBACK} if is_this_machine(peer) else hosts
    if len(headers.getlist("host")) != 1 or not found or found[1].lower() not in names:
        raise Refused(400, "this server does not answer under that name", "start it with `--allow-host NAME`")
    if method in ("GET", "HEAD"):
        return
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    if site is not None:  # written by the browser; pages can't
        own = site in ("same-origin", "none")
    else:  # an old browser, or a plain-text address; without either header: no browser
        own = origin is None or urlsplit(origin).netloc.lower() == host.lower()
    if not own:
        raise Refused(403, "this came from another site's page", "open this server's own page")
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MOST_SENT:
        raise Refused(413, f"a form may have {MOST_SENT:,} bytes, and must say how many", "shorten what was typed")


def is_this_machine(peer: str) -> bool:
    """Whether a request from the address `peer` was made on this machine; what is no address can't be another's."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return True
    mapped = getattr(address, "ipv4_mapped", None)  # of a socket for both kinds of addresses
    return bool((mapped or address).is_loopback)
