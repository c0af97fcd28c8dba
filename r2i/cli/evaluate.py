"""`r2i evaluate`: confirm verdicts, grade stored replies again, export results."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.stage import explained

if TYPE_CHECKING:
    from r2i.core.tables import Row
    from r2i.grading.audit import Agreement
    from r2i.grading.regrade import Change

app = typer.Typer(name="evaluate", no_args_is_help=True, help=__doc__)
console = Console(soft_wrap=True, highlight=False)

Model = Annotated[str, typer.Option(help="Whose predictions: a folder of data/evaluate.")]
ParamsPath = Annotated[Path, typer.Option(help="For the seed and the judge.")]


@app.command()
def audit(
    model: Model = "base",
    n: Annotated[int, typer.Option(min=1, help="How many verdicts.")] = 50,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    rule: Annotated[str | None, typer.Option(help="Only this rule, e.g. judge; default: all in turn.")] = None,
    export: Annotated[Path | None, typer.Option(help="Write them to this Markdown file instead of asking.")] = None,
) -> None:
    """Show verdicts for a person to confirm, and how often they agreed. Continues where it was left."""
    from r2i.grading.audit import choose_rows, log_path, measure_agreement, read_answers, to_markdown

    with explained():
        rows = choose_rows(_predictions(model), n, seed, rule)
        if export:
            with new_file(export) as part:
                part.write_text(to_markdown(rows, model), encoding="utf-8", errors="replace")
            print(f"{len(rows)} verdicts in {export}")
            return
        log = log_path(model)
        _ask_all(rows, log)
        console.print(agreement_table(measure_agreement(rows, read_answers(log))))
        print(f"kept in {log}")


@app.command()
def rescore(
    model: Model = "base",
    params: ParamsPath = Path("params.yaml"),
    show: Annotated[int, typer.Option(min=0, help="How many changed rows to print.")] = 10,
    write: Annotated[bool, typer.Option("--write", help="Write the table; without it nothing is changed.")] = False,
) -> None:
    """Grade the stored predictions again by today's rules, without any call, and show what changes."""
    from r2i.core.params import load_params
    from r2i.core.records import PREDICTIONS
    from r2i.core.tables import write_table
    from r2i.grading.regrade import accuracy_by_view, count_rules, find_changes, regrade_rows

    with explained():
        run = load_params(params)
        before = _predictions(model)
        after = regrade_rows(before, run.chosen.evaluate.judge, run.seed)
        changes = find_changes(before, after)
        console.print(rule_table(count_rules(before), count_rules(after)))
        old, new = accuracy_by_view(before), accuracy_by_view(after)
        for view in new:
            print(f"{view}: {100 * old[view]:.2f} % -> {100 * new[view]:.2f} %")
        print(f"{len(changes)} of {len(after)} rows get another verdict or rule")
        for change in changes[:show]:
            console.print(change_text(change))
        if write and after != before:
            write_table(paths.PREDICTIONS / model, after, PREDICTIONS)
            print(f"written; its metrics are older: `dvc repro evaluate@{model}` makes both from the stored replies")


def _predictions(model: str) -> "list[Row]":
    from r2i.core.records import PREDICTIONS
    from r2i.core.tables import read_table

    return read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")


def _ask_all(rows: "list[Row]", log: Path) -> None:
    """Ask about each row that the log has no answer to, until the person quits."""
    from r2i.grading.audit import append_answer, describe_row, read_answers, verdict_id

    answered = read_answers(log)
    for number, row in enumerate(rows, 1):
        if verdict_id(row) in answered:
            continue
        console.rule(f"{number} of {len(rows)}")
        for name, text in describe_row(row):
            console.print(Text.assemble((f"{name}: ", "bold"), Text(text)))
        answer = ""
        while answer not in ("y", "n", "s", "q"):
            answer = typer.prompt("Is this verdict right? y(es), n(o), s(kip), q(uit)").strip().lower()[:1]
        if answer == "q":
            return
        if answer != "s":
            append_answer(log, row, answer == "y")


def agreement_table(agreement: "list[Agreement]") -> Table:
    """One line for each rule."""
    table = Table(title="A person agreed with", title_justify="left")
    table.add_column("rule")
    for name in ("verdicts", "of", "share", "95 % interval"):
        table.add_column(name, justify="right")
    for line in agreement:
        low, high = (100 * end for end in line.interval)
        share = f"{100 * line.share:.1f} %"
        table.add_row(line.rule, str(line.agreed), str(line.asked), share, f"{low:.1f} to {high:.1f}")
    return table


def rule_table(before: "dict[str, int]", after: "dict[str, int]") -> Table:
    """How many replies each rule decided, then and now."""
    from r2i.grading import RULES

    table = Table(title="Replies by the rule that decided", title_justify="left")
    table.add_column("rule")
    for name in ("stored", "today"):
        table.add_column(name, justify="right")
    for rule in dict.fromkeys((*RULES, *sorted(before))):
        if before.get(rule) or after.get(rule):
            table.add_row(rule, f"{before.get(rule, 0):,}", f"{after.get(rule, 0):,}")
    return table


def change_text(change: "Change") -> Text:
    """`wrong, by exact -> right, by number | 5 people | five persons`."""
    from r2i.grading.audit import describe_verdict

    reply = " ".join(change.after["reply"].split())[-120:]
    return Text(
        f"{describe_verdict(change.before)} -> {describe_verdict(change.after)} | {change.after['answer']} | {reply}"
    )


class Format(StrEnum):
    lmms = "lmms"
    zoombench = "zoombench"
    vlmevalkit = "vlmevalkit"


@app.command("export")
def export_results(
    folder: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write; its parts are replaced.")],
    format: Annotated[Format, typer.Option("--format", help="For which tool.")] = Format.lmms,
    model: Annotated[str | None, typer.Option(help="Whose predictions; params' second model, or only one.")] = None,
    params: Annotated[Path, typer.Option(help="For the prompts and the length of replies.")] = Path("params.yaml"),
) -> None:
    """Write results and tasks for lmms-eval: DST/results, and DST/tasks for its --include_path.

    `zoombench`: DST alone, the published ZoomBench as tasks of lmms-eval that need no run of ours. `vlmevalkit`: the
    same as a dataset class of VLMEvalKit, which writes its TSV itself.
    """
    from r2i.core.params import load_params
    from r2i.core.records import BENCHMARK, PREDICTIONS
    from r2i.core.tables import iter_rows, read_table
    from r2i.tools.exports.lmms import write_tasks
    from r2i.tools.exports.lmms_results import write_results

    if format in (Format.zoombench, Format.vlmevalkit):
        from r2i.tools.exports.zoombench import REGISTER, write_vlmevalkit, write_zoombench

        with explained():
            if format is Format.zoombench:
                print(f"{folder}: {', '.join(write_zoombench(folder))}; `lmms-eval --include_path {folder}`")
            else:
                print(f"{folder}: {', '.join(write_vlmevalkit(folder))}; {REGISTER}")
        return
    with explained():
        run = load_params(params)
        cfg, model = run.chosen.evaluate, model or run.model_names.headline
        if model is None:
            raise R2IError("params name no model that is evaluated", "add one to `models`, or say --model")
        rows = read_table(paths.PREDICTIONS / model, PREDICTIONS, f"evaluate@{model}")
        written = write_tasks(folder / "tasks", iter_rows(paths.BENCHMARK, BENCHMARK, "benchmark"), cfg)
        date = f"{datetime.now(UTC):%Y%m%d_%H%M%S}"
        files = write_results(folder / "results", model, rows, written["full"], cfg, date)
    for file in files:
        print(file)
    tasks = ", ".join(f"r2i_{view} ({len(ids):,} items)" for view, ids in written.items())
    print(f"tasks for `lmms-eval --include_path {folder / 'tasks'}`: {tasks}")
