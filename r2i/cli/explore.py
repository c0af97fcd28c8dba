"""`r2i explore`: the tables as pages."""

from typing import Annotated

import typer

from r2i.core.stage import explained

PORT = 8710


def explore(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name that it answers to.")] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Allow addresses that other machines reach.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
) -> None:
    """Look at every table: filter, search, pictures, a row's whole lineage, exports. A page on this machine."""
    from r2i.pages.explore.app import explorer, warm
    from r2i.pages.explore.database import save_memory
    from r2i.pages.web.serve import serve

    with explained():
        save_memory()
        app = explorer(allow_host or [])
        warm(app)
        serve(app, host, port, open_browser, expose)
