"""`r2i bench`: the zooming gap of one model on one benchmark, without any other stage."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.records import FAILED, OK, REJECTED
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.core.params import Params


def bench(
    model: Annotated[str, typer.Argument(help="A folder of weights, a hub id, or a server's name for its model.")],
    benchmark: Annotated[Path, typer.Option(help="ZoomBench or another benchmark as downloaded, or your own table.")],
    endpoint: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server; without it the model runs in process.")
    ] = None,
    key_env: Annotated[str | None, typer.Option(help="Variable that holds the server's key.")] = None,
    protocol: Annotated[str | None, typer.Option(help="How items are asked: r2i, or an imported one's name.")] = None,
    kind: Annotated[str | None, typer.Option(help="Of the benchmark; by its columns unless told.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="One of your table's: image=photo. May be repeated.")
    ] = None,
    box_unit: Annotated[str | None, typer.Option(help="Of its boxes: pixels, shares, thousandths.")] = None,
    box_form: Annotated[str | None, typer.Option(help="Of its boxes: xyxy, xywh.")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="At most so many items, chosen by a hash.")] = None,
    parts: Annotated[bool, typer.Option("--parts", help="What the gap is made of: five more views are asked.")] = False,
    judge: Annotated[str | None, typer.Option(help="Model that reads replies to open questions.")] = None,
    judge_endpoint: Annotated[str | None, typer.Option(help="Its address; the model's unless told.")] = None,
    judge_key_env: Annotated[
        str | None, typer.Option(help="Variable that holds its key; the model's key goes to the model's host alone.")
    ] = None,
    prompts: Annotated[str | None, typer.Option(help="Style of our prompts; by the model unless told.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Of a reply; 2048 unless told.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; data/bench/MODEL unless told, with the protocol and the judge.")
    ] = None,
) -> None:
    """Measure a model's zooming gap on a benchmark: full and crop view, intervals, attention where it shows, a page.

    It runs again where it was stopped, and asks nothing twice that a server has answered.
    """
    from r2i.benchmark.importers import guess_kind
    from r2i.tools.bench import Bench, bench_folder, run_stages, short_name, write_bench

    asked = Bench(
        model, benchmark, endpoint, key_env, kind, tuple(columns or ()), box_unit, box_form, items, protocol, prompts,
        parts, max_tokens, judge, judge_endpoint, judge_key_env,
    )  # fmt: skip
    with explained():
        folder = out or bench_folder(asked)
        params = write_bench(asked, folder, guess_kind, check_bench)
        source = params.chosen.benchmark.sources[0]
        print(f"{folder}: {model} on {benchmark}, read as {source.kind}")
        for stage in run_stages(folder, short_name(model)):
            if stage == "evaluate":
                require_crops(folder)
            print(f"  {stage} ...", flush=True)
        tell(folder, params)


def check_bench(params: "Params") -> str:
    """The version of the benchmark's files. Raises R2IError where the protocol can't ask about it."""
    from r2i.benchmark.version import list_source
    from r2i.evaluate.protocol import open_protocol
    from r2i.importing.hash_cache import HashCache

    (source,) = params.chosen.benchmark.sources
    open_protocol(params.chosen.evaluate, [source])
    with HashCache(paths.pool_hashes()) as cache:
        return list_source(source, cache).version


def require_crops(folder: Path) -> None:
    """Raises R2IError before anything is asked where no item has a crop; says how many have none."""
    found = json.loads((folder / paths.metrics("benchmark")).read_text(encoding="utf-8"))
    items, crops = found["status"].get(OK, 0), found["with_crop"]
    if not crops:
        raise R2IError(
            f"none of {items:,} items has a crop: there is nothing to compare the full view with",
            "say where the evidence is: in a column `box`, or --column box=NAME (docs/benchmarks.md)",
        )
    if crops < items:
        print(f"  {items - crops:,} of {items:,} items have no crop: they count in the full view, not in the gap")


def lost_lines(folder: Path, model: str) -> list[str]:
    """What became no item and what no reply, and why; [] where nothing was lost."""
    from r2i.grading.judged import UNJUDGED

    def lost(name: str, *statuses: str) -> tuple[int, str]:
        reasons: dict[str, int] = json.loads((folder / paths.metrics(name)).read_text(encoding="utf-8"))["reason"]
        split = ((*reason.partition(": "), n) for reason, n in reasons.items())
        found = {reason: n for status, _, reason, n in split if status in statuses}
        return sum(found.values()), ", ".join(f"{reason} {n:,}" for reason, n in found.items())

    (records, why), (calls, cause) = lost("benchmark", FAILED, REJECTED), lost(f"evaluate-{model}", FAILED)
    lines = []
    if records:
        are = "record is no item" if records == 1 else "records are no items"
        lines.append(f"{records:,} {are} ({why}): docs/benchmarks.md says what the reasons mean")
    if calls:
        lines.append(f"{calls:,} calls failed, or replies were not judged ({cause}), and count nowhere: the same "
                     "command asks again what may pass (docs/endpoints.md)")  # fmt: skip
    if f"{UNJUDGED}over_budget" in cause:
        lines.append(f"{UNJUDGED}over_budget doesn't pass: evaluate.judge.max_calls is spent; ask fewer items, by "
                     "--items, or evaluate in a profile where it is larger (docs/scoring.md)")  # fmt: skip
    return lines


def tell(folder: Path, params: "Params") -> None:
    """Print what was measured."""
    from r2i.cli.main import gap_line, score_table
    from r2i.report.evaluated import evaluation_lines
    from r2i.report.parts import gap_cards
    from r2i.score.asked import asked_words

    console = Console(soft_wrap=True)
    scores: dict[str, Any] = json.loads((folder / paths.metrics("evaluate")).read_text(encoding="utf-8"))
    models = params.model_names
    console.print(score_table(scores, models))
    console.print(gap_line(scores, models))
    console.print(asked_words(scores), highlight=False, markup=False)
    for line in lost_lines(folder, next(iter(models))):
        console.print(line, highlight=False, markup=False)
    for card in gap_cards(scores, models):
        console.print(f"{card['title']}:", highlight=False)
        for line in card["lines"]:
            cells = zip(card["head"][1:], line[1:], strict=True)
            console.print(f"  {line[0]}: " + "; ".join(f"{name} {value}" for name, value in cells), markup=False)
    for line in filter(None, evaluation_lines(scores, models, params.chosen.evaluate.zoom.box == "oracle")):
        console.print(line, highlight=False, markup=False)
    console.print(f"page: {(folder / paths.REPORT).resolve()}", highlight=False, markup=False)
