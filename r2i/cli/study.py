"""`r2i study`: run a list of claims as experiments, and say which of them hold."""

from pathlib import Path
from typing import Annotated

import typer

from r2i.core.stage import explained

Only = Annotated[list[str] | None, typer.Option(help="A claim of the list, and no other; may be given several times.")]
Seeds = Annotated[int | None, typer.Option(min=1, help="So many, instead of those that the list names.")]
Budget = Annotated[float | None, typer.Option(min=0, help="Begin no experiment after so many minutes; 0: none at all.")]
Claims = Annotated[Path, typer.Option(help="The list.")]


def study(
    only: Only = None,
    seeds: Seeds = None,
    budget_minutes: Budget = None,
    again: Annotated[bool, typer.Option(help="Also run what other code or params gave.")] = False,
    claims: Claims = Path("studies/claims.yaml"),
) -> None:
    """Run what is left of a study, one DVC experiment after another, and write docs/study.md, metrics/study.json.

    What has ended is never run again; a study that was stopped, or killed, goes on. An experiment that fails is named,
    and tried again the next time.
    """
    from r2i.core.errors import ParamsError
    from r2i.core.params import load_params
    from r2i.tools.study.claims import load_study
    from r2i.tools.study.page import METRICS, PAGE, write_results
    from r2i.tools.study.run import plan, run_all

    with explained():
        params = load_params()
        loaded = load_study(claims, params)
        wanted = seeds if seeds is not None else loaded.seeds
        loaded = loaded.model_copy(update={"seeds": max(wanted, loaded.seeds)})  # the page is about all that ended
        if strange := [name for name in only or [] if name not in loaded.claims]:
            raise ParamsError(f"{claims} has no claim {strange[0]!r}", f"its claims: {', '.join(loaded.claims)}")
        planned = plan(loaded, params, only or list(loaded.claims), wanted)
        failed = 0
        budget = None if budget_minutes is None else 60 * budget_minutes
        for line in run_all(loaded, planned, budget, again, lambda: write_results(loaded, params, claims)):
            print(line, flush=True)
            failed += ": failed: " in line
        write_results(loaded, params, claims)
        print(f"what was found: {PAGE}, {METRICS}")
        if failed:
            raise SystemExit(1)
