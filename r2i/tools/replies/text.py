"""What the commands of `r2i replies` print."""

import sys
from collections import Counter

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from r2i.endpoint.quote import escape_controls
from r2i.tools.replies.gc import Freed
from r2i.tools.replies.pack import Packed
from r2i.tools.replies.stats import ReplyStats, Spent
from r2i.tools.replies.verify import Fault, IntegrityReport


def packed_text(done: Packed) -> str:
    """`packed 12 records (48 samples) into 1 segment, 9.4 kB`."""
    left = f"; {many(done.damaged, 'damaged record')} left out: see `r2i replies verify`" if done.damaged else ""
    if done.differing:
        left += f"; {many(done.differing, 'sample')} left out that others shared with another reply: yours are used"
    if not done.segments:
        return f"nothing new to pack{left}"
    what = f"{many(done.records, 'record')} ({many(done.samples, 'sample')})"
    return f"packed {what} into {many(len(done.segments), 'segment')}, {size(done.bytes)}{left}"


def stats_table(models: dict[str, ReplyStats]) -> Table:
    """A row for each model."""
    table = Table(box=SIMPLE, pad_edge=False)
    for name in "model,records,samples,ok,failed,tokens in,tokens out,size".split(","):
        text = name in ("model", "failed")  # only text may wrap
        table.add_column(name, justify="left" if text else "right", overflow="fold", no_wrap=not text)
    for model, stats in models.items():
        counts = [f"{count:,}" for count in (stats.records, stats.samples.total(), stats.samples["ok"])]
        failed = _by_reason(Counter({reason: n for reason, n in stats.samples.items() if reason != "ok"}))
        tokens = f"{stats.tokens_in:,}", f"{stats.tokens_out:,}"
        table.add_row(escape_controls(model), *counts, failed, *tokens, size(stats.bytes))
    return table


def print_table(table: Table) -> None:
    """Print as wide as needed where stdout is no terminal: a pipe has no width."""
    if table.row_count:
        Console(markup=False, width=None if sys.stdout.isatty() else 200).print(table)


def spent_text(stage: str, model: str, spent: Spent) -> str:
    """What the runs of one stage paid one model for. Replayed samples were in the store already, and cost nothing."""
    counts = spent.counts
    lines = [
        f"{escape_controls(stage)}, {escape_controls(model)}: {many(spent.runs, 'run')}, {spent.seconds:,.0f} s",
        f"  {many(counts['requests'], 'request')}, {many(counts['calls'], 'call')}, "
        f"{many(counts['samples'], 'sample')}, {counts['replayed']:,} replayed",
        f"  {counts['tokens_in']:,} tokens in, {counts['tokens_out']:,} out, "
        f"cost {'unknown' if spent.cost is None else f'{spent.cost:,.2f}'}",
    ]
    if spent.errors.total():
        lines.append(f"  failed: {_by_reason(spent.errors)}")
    if spent.refused_options.total():
        lines.append(f"  option refused, asked again: {_by_reason(spent.refused_options)}")
    return "\n".join(lines)


def integrity_text(report: IntegrityReport) -> str:
    return f"{many(report.records, 'record')} and {many(report.segments, 'segment')} are sound"


def fault_text(fault: Fault) -> str:
    """Where it is and what is wrong; a live record's path holds its key already."""
    return escape_controls(f"{fault.path}{'' if fault.live or not fault.key else f' {fault.key}'}: {fault.why}")


def fault_remedy(faults: list[Fault]) -> str:
    """What mends these. A pull of the whole archive by force would delete segments that were not added yet."""
    remedies = []
    if any(fault.live and fault.key for fault in faults):
        remedies.append("`r2i replies verify --remove` throws damaged records out: a stage then pays for them again")
    if segments := sorted({fault.path for fault in faults if not fault.live}):
        name = f"{segments[0].parent.name}/{segments[0].name}"
        remedies.append(
            f"`dvc pull --force {name}` brings a damaged segment back; one that was never shared: remove it"
        )
    if any(fault.live and not fault.key for fault in faults):
        remedies.append("move or remove misnamed files by hand")
    return "; ".join(remedies)


def freed_text(freed: Freed, dry_run: bool) -> str:
    """What `gc` removed, and what it left and why."""
    lines = [
        f"{'would free' if dry_run else 'freed'} {size(freed.bytes)}: {many(freed.archived, 'record')} that the "
        f"archive holds, {many(freed.samples, 'unwanted sample')}, {many(freed.parts, 'part file')}"
    ]
    if freed.archived and not dry_run:
        lines.append("the archive is their only copy here now: dvc add and dvc push it, if that is not done")
    if freed.replaced:
        lines.append(f"{many(freed.replaced, 'sample')} {'would be' if dry_run else 'were'} replaced by those shared")
    if freed.busy:
        lines.append(f"{many(freed.busy, 'record')} left: a running stage asks for them")
    if freed.in_archive:
        lines.append(f"{many(freed.in_archive, 'unwanted sample')} in the archive, which keeps what it holds")
    return "\n".join(lines)


def many(count: int, name: str) -> str:
    """`1 record`, `1,200 records`."""
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """`2.5 MB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} GB"


def _by_reason(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
