"""`r2i benchmark`: inspect and build benchmarks."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table

from r2i.core import paths
from r2i.core.stage import explained

app = typer.Typer(name="benchmark", no_args_is_help=True, help=__doc__)


@app.callback()
def _root() -> None:
    """What the questions are on which models are compared."""


@app.command()
def inspect(
    table: Annotated[Path, typer.Option(help="The items.")] = paths.BENCHMARK,
    params: Annotated[Path, typer.Option(help="For the training images: whose run it is.")] = Path("params.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count items, sizes, regions, answers, letters, duplicates, and images that were seen in training."""
    from r2i.benchmark.inspect import inspect_benchmark
    from r2i.core.metrics import rounded
    from r2i.core.params import load_params

    with explained():
        found = inspect_benchmark(table, load_params(params) if params.is_file() else None)
    if as_json:
        print(json.dumps(rounded(found), indent=2, sort_keys=True, ensure_ascii=False))
    else:
        Console().print(report(found))


@app.command()
def version(
    names: Annotated[
        list[str] | None, typer.Argument(help="Sources of the chosen profile; all that are files unless told.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Put it into params.yaml; `benchmark` runs again then.")
    ] = False,
    params: Path = Path("params.yaml"),
) -> None:
    """Print the version of a source: a digest of its files' places, sizes and contents. Unchanged files aren't read."""
    from r2i.benchmark.version import list_source, pinned_source
    from r2i.core.errors import R2IError
    from r2i.core.params import load_params
    from r2i.importing.hash_cache import HashCache
    from r2i.importing.pin import pin_version
    from r2i.importing.version import tell_version

    with explained(), HashCache(paths.pool_hashes()) as known:
        loaded = load_params(params)
        sources = {
            pinned_source(source).name: source
            for source in loaded.chosen.benchmark.sources
            if source.kind != "rendered"
        }
        if unknown := set(names or ()) - sources.keys():
            raise R2IError(f"no source of files {min(unknown)!r}", f"there are: {', '.join(sources) or 'none'}")
        for name in names or sources:
            found, part = list_source(sources[name], known), pinned_source(sources[name])
            print(tell_version(part, found, partial(pin_version, params, loaded.profile, part) if write else None))
        if not sources:
            print(f"profile {loaded.profile} has no benchmark of files: rendered ones need no version")


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="Of the benchmark, and of its folder in data/benchmarks.")],
    min_agree: Annotated[int, typer.Option(min=1, help="Teacher samples that agree, at least.")] = 1,
    per_dimension: Annotated[int | None, typer.Option(min=1, help="Most items of one dimension.")] = None,
    max_right: Annotated[
        int | None, typer.Option(min=0, help="Hardness: most right tries, of the student on the boxed image.")
    ] = None,
    hard_for: Annotated[
        str | None, typer.Option(help="Right tries of this model in the full view instead: a folder of data/evaluate.")
    ] = None,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Also what people did not close; it is marked.")
    ] = False,
    trained: Annotated[bool, typer.Option("--trained", help="Also questions that are train rows.")] = False,
    unseen_images: Annotated[bool, typer.Option("--unseen-images", help="Only images of no train row.")] = False,
    open_questions: Annotated[bool, typer.Option("--open", help="Also questions without wrong answers.")] = False,
    keep_letters: Annotated[bool, typer.Option("--keep-letters", help="Options as `overlay` ordered them.")] = False,
    seed: Annotated[int, typer.Option(help="Which ones, where there are more than asked for.")] = 0,
    params: Annotated[Path, typer.Option(help="For the pools of images and how views are drawn.")] = Path(
        "params.yaml"
    ),
) -> None:
    """Make a benchmark of this run's voted questions and what people decided about them (docs/review.md)."""
    from r2i.benchmark.build import LEFT_OUT, Rules
    from r2i.benchmark.build_write import build as write_benchmark
    from r2i.core.params import load_params

    rules = Rules(
        min_agree, per_dimension, max_right, hard_for, unreviewed, trained, unseen_images, open_questions,
        not keep_letters, seed,
    )  # fmt: skip
    with explained():
        picked, folder = write_benchmark(name, load_params(params), rules)
    items = picked.items
    print(f"{len(items):,} of {picked.considered:,} voted questions in {folder}")
    print(f"  {sum(item['verified'] for item in items):,} verified by people")
    for slug, count in picked.left_out.items():
        print(f"  {count:,} left out: {LEFT_OUT[slug]}")
    if seen := sum(item["seen_image"] for item in items):
        print(f"warning: {seen:,} items are about images of the train rows: leave these out of the training, or build "
              "with --unseen-images", file=sys.stderr)  # fmt: skip
    print(f"next: look at {folder}/README.md, then `dvc add {folder}`")


def report(found: dict[str, Any]) -> Group:
    """Tables of r2i.benchmark.inspect's findings."""
    kept = found["status"].get("ok", 0)
    counts: list[Table | str] = [
        _counts("source", found["source"], kept),
        _counts("dimension", found["dimension"], kept),
    ]
    counts += [_counts("options", found["options"], kept), _counts("right letter", found["letters"]["counts"], kept)]
    counts.append(_counts("right answer", found["answers"]["common"], kept))
    for name, columns in found["unused_columns"].items():
        counts.append(f"{name}: nothing reads the columns {', '.join(columns)}")
    if found["reason"]:
        counts.append(_counts("not asked", found["reason"], found["rows"]))
    return Group(_overview(found, kept), *counts)


def _overview(found: dict[str, Any], kept: int) -> Table:
    table = Table(title=f"{kept:,} items", title_justify="left", show_header=False)
    table.add_row("images, clusters", f"{found['images']:,}, {found['clusters']:,}")
    table.add_row("width, px", _spread(found["width"], "{:,.0f}"))
    table.add_row("height, px", _spread(found["height"], "{:,.0f}"))
    table.add_row("region, share of the image", _spread(found["area_share"], "{:.2%}"))
    crops = found["crops"]
    table.add_row("with a box", f"{found['with_box']:,}")
    table.add_row("crops", f"{crops['published']:,} published, {crops['made']:,} cut from the box")
    table.add_row("different right answers", f"{found['answers']['different']:,}")
    table.add_row("letters", _letters(found["letters"]))
    table.add_row("beyond the first", _duplicates(found["duplicates"]))
    table.add_row("seen in training", _contamination(found["contamination"]))
    return table


def _spread(values: dict[str, float] | None, form: str) -> str:
    if values is None:
        return "-"
    low, middle, high = (form.format(values[name]) for name in ("min", "median", "max"))
    return f"median {middle} ({low} to {high})"


def _letters(letters: dict[str, Any]) -> str:
    if letters["p"] is None:
        return "-"
    return f"chi-square {letters['chi2']:.1f}, p = {letters['p']:.2g}; always the same: {letters['always']:.1%} right"


def _duplicates(found: dict[str, int]) -> str:
    again = f"{found['same_question']:,} with the same question ({found['cycled_options']:,} in another order)"
    return f"{found['same_image']:,} on the same image, {again}"


def _contamination(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not known: no training images here"
    kinds = ", ".join(f"{found[name]:,} {name.replace('_', ' ')}" for name in ("same_bytes", "same_pixels", "near"))
    return f"{len(found['items']):,} items ({found['share']:.1%}): {kinds}; {found['images']:,} training images"


def _counts(title: str, counts: dict[str, int], total: int) -> Table:
    table = Table(title_justify="left")
    table.add_column(title)
    for name in ("items", "share"):
        table.add_column(name, justify="right")
    for name, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(name or "(none)", f"{count:,}", f"{count / total:.1%}" if total else "-")
    return table
