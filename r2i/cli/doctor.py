"""`r2i doctor`: what would stop a run, before it begins."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from r2i.core.errors import ParamsError
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.core.params import Params
    from r2i.doctor.check import Check

STYLES = {"ok": "green", "note": "yellow", "not ok": "bold red"}


def doctor(
    profile: Annotated[str | None, typer.Argument(help="The chosen one unless told.")] = None,
    files: Annotated[
        bool, typer.Option("--files", help="Read all files of pinned pools and benchmarks, however large they are.")
    ] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="Of one call of a server, seconds.")] = 15.0,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Of what is still to be run, say only what would stop it."),
    ] = False,
    params: Path = Path("params.yaml"),
) -> None:
    """Look at servers, keys, GPUs, weights, pools, benchmarks, train rows and disk: exit 1 where a run would stop.

    A server gets one small call; no reply is kept. No key is shown.
    """
    from r2i.core.params import load_params
    from r2i.doctor.stages import is_light, stages_of, stages_to_run

    with explained():
        loaded = _choose(load_params(params), profile)
        stages = stages_of(loaded)
        if quiet and (is_light(loaded, stages) or is_light(loaded, stages := stages_to_run(loaded))):
            return
        from r2i.doctor.examine import examine

        checks = examine(loaded, stages, files, timeout_s)
    stopping = [check for check in checks if check.state == "not ok"]
    if quiet:
        for check in stopping:
            print(f"error: {check.what}: {check.found}\n  -> {check.remedy}", file=sys.stderr)
        if stopping:
            print("`make repro DOCTOR=` runs all the same: replies that are kept need no server", file=sys.stderr)
    else:
        Console().print(lay_out(checks, loaded.profile))
        print(f"{len(stopping)} of {len(checks)} would stop the run" if stopping else "nothing would stop the run")
    if stopping:
        raise SystemExit(1)


def _choose(params: "Params", profile: str | None) -> "Params":
    if profile is None:
        return params
    if profile not in params.profiles:
        raise ParamsError(f"no profile {profile!r}", f"there are: {', '.join(params.profiles)}")
    return params.model_copy(update={"profile": profile})


def lay_out(checks: "list[Check]", profile: str) -> Table:
    table = Table(title=f"profile {profile}", title_justify="left", show_lines=False)
    table.add_column("what")
    table.add_column("")
    table.add_column("found")
    table.add_column("remedy")
    for check in checks:
        style = STYLES[check.state]
        cells = [text.replace("[", r"\[") for text in (check.what, check.found, check.remedy)]
        table.add_row(cells[0], f"[{style}]{check.state}[/]", *cells[1:])
    return table
