"""`r2i explore`: the tables as pages."""

from typing import TYPE_CHECKING, Annotated

import typer

from r2i.core.stage import explained

if TYPE_CHECKING:
    from starlette.applications import Starlette

PORT = 8710


def explore(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name that it answers to.")] = None,
    expose: Annotated[bool, typer.Option("--expose", help="Allow addresses that other machines reach.")] = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser.")] = False,
) -> None:
    """Look at every table: filter, search, pictures, a row's whole lineage, exports. A page on this machine."""
    with explained():
        from r2i.pages.explore.app import explorer, warm
        from r2i.pages.explore.database import save_memory
        from r2i.pages.web.serve import end_process, serve

        def make() -> "Starlette":
            save_memory()
            app = explorer(allow_host or [])
            warm(app)
            return app

        serve(make, host, port, open_browser, expose)
        end_process()
