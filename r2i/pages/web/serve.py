"""A server for one application, on this machine alone unless told."""

import ipaddress
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from typing import NoReturn

import uvicorn
from starlette.applications import Starlette

from r2i.core.errors import R2IError

PORT = 8710
WAIT = 3  # seconds that Ctrl-C leaves to answers under way


def serve(
    make_app: Callable[[], Starlette],
    host: str = "127.0.0.1",
    port: int = PORT,
    open_browser: bool = False,
    expose: bool = False,
) -> None:
    """Serve until Ctrl-C, answering to the address it listens on too. `port` 0: any that is free.

    `make_app`: of `r2i.pages.web.app.make_app`, called once the address is known to be free. Raises R2IError as `bind`
    does, and what it raises.
    """
    with bind(host, port, expose) as listening:
        try:
            app = make_app()
            address = url_of(listening)
            if not _is_any(listening):
                app.state.hosts.add(host_of(listening))  # a literal address: no other site's name leads to it
            if not is_loopback(host):
                print(
                    f"warning: {address} can be read and written by everyone who reaches this machine", file=sys.stderr
                )
            print(f"{address}  (Ctrl-C ends it)", flush=True)
            if _is_any(listening):
                print(_elsewhere(app, listening), flush=True)
            if open_browser:
                timer = threading.Timer(0.5, webbrowser.open, [address])
                timer.daemon = True
                timer.start()
            server = server_of(app)
            signal.signal(signal.SIGINT, server.handle_exit)  # now, for uvicorn takes it only once its loop runs
            server.run(sockets=[listening])
        except KeyboardInterrupt:  # the server had not begun
            pass
        print("stopped")


def end_process() -> NoReturn:
    """Leave at once, without error. Python's own end stops threads that still read tables in the midst of C code
    (DuckDB, Arrow): a fatal error on the terminal, for a server that has nothing left to write."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def server_of(app: Starlette) -> uvicorn.Server:
    """A quiet server: no line for each request, no name or version in its answers."""
    return uvicorn.Server(
        uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none",
            timeout_graceful_shutdown=WAIT, proxy_headers=False,
        )
    )  # fmt: skip


def bind(host: str, port: int, expose: bool = False) -> socket.socket:
    """A listening socket. Raises R2IError for an address of other machines unless `expose`, and for a taken port."""
    if not is_loopback(host) and not expose:
        raise R2IError(
            f"{host} is an address that other machines reach, and there are no passwords here",
            "add `--expose` and `--allow-host NAME`, or tunnel: `ssh -L PORT:127.0.0.1:PORT THIS_MACHINE`",
        )
    bare = host.strip("[]")
    try:
        return socket.create_server((bare, port), family=socket.AF_INET6 if ":" in bare else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise R2IError(
            f"can't listen on {host}:{port} ({error})", "name another: `--port 0` takes a free one"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def url_of(listening: socket.socket) -> str:
    return f"http://{host_of(listening)}:{listening.getsockname()[1]}/"


def host_of(listening: socket.socket) -> str:
    """The address as a browser writes it; of a socket on all addresses, this machine's own to itself."""
    host = str(listening.getsockname()[0])
    if _is_any(listening):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _is_any(listening: socket.socket) -> bool:
    """Whether it listens on all addresses of this machine: no browser calls it by that."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_unspecified


def _elsewhere(app: Starlette, listening: socket.socket) -> str:
    """What other machines call a socket on all addresses."""
    names = sorted(app.state.hosts)
    if not names:
        return "other machines are refused until it is started with `--allow-host NAME`: the name or address they use"
    port = listening.getsockname()[1]
    return "from other machines: " + ", ".join(f"http://{name}:{port}/" for name in names)
