"""Numbers and verdicts in words: one form for the terminal, Markdown and HTML."""

from collections.abc import Sequence

from r2i.tools.compare.measure import Against, Comparison, Measured

LEVEL = 0.05
METHOD = (
    "Accuracy over the same items for all revisions: those that all of them answered. Unscored replies count as wrong. "
    "Intervals: 95 %, bootstrap over clusters (an image, or one question with cycled options). McNemar: exact, on "
    "items. Clustered: t test of the paired difference with clustered standard errors. Corrected: the clustered "
    "p-value by Holm, for the number of tests in its column. Smallest difference: the smallest true one that these "
    "items would show in four of five repetitions at a two-sided level of 5 %, given how many differ."
)


def percent(value: float) -> str:
    """0.9181 -> `91.8 %`."""
    return f"{100 * value:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, signed: -0.0083 -> `−0.8`."""
    text = f"{100 * value:+.1f}"
    return (f"{0:.1f}" if float(text) == 0 else text).replace("-", "−")


def share_ci(pair: Sequence[float]) -> str:
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"


def points_ci(pair: Sequence[float]) -> str:
    return f"{points(pair[0])} to {points(pair[1])}"


def p_words(p: float) -> str:
    """0.0000003 -> `< 0.0001`."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def smallest(against: Against) -> str:
    """`±3.1`; a dash where the two differ too rarely for any difference to show."""
    found = against.found.smallest
    return "–" if found is None else f"±{100 * found:.1f}"


def verdict(against: Against) -> str:
    """`better`, `worse` or `not shown`, by the corrected p-value."""
    if against.holm >= LEVEL:
        return "not shown"
    return "better" if against.found.mean.value > 0 else "worse"


def label(measured: Measured) -> str:
    """`exp-a (distilled, 1a2b3c4)`."""
    revision = measured.revision
    name = revision.name.partition(":")[0]
    commit = revision.commit[:7]
    facts = [revision.model] + ([commit] if commit and not name.startswith(commit) else [])
    return f"{name} ({', '.join(facts)})"


def headline(comparison: Comparison) -> str:
    """What was compared: `distilled, full view, protocol r2i, 720 common items in 364 clusters`."""
    models = list(dict.fromkeys(measured.revision.model for measured in comparison.revisions))
    views = " and ".join(dict.fromkeys(measured.revision.view for measured in comparison.revisions))
    told = dict.fromkeys(measured.revision.protocol for measured in comparison.revisions)
    asked = f", protocol {' and '.join(name or 'not told' for name in told)}" if any(told) else ""
    items = f"{comparison.n:,} common items in {comparison.clusters:,} clusters"
    return f"{', '.join(models)}, {views} view{asked}, {items}"


HEADINGS = [
    "revision", "accuracy (95 %)", "difference (95 %)", "fixed / broken", "McNemar p", "clustered p",
    "corrected p", "verdict", "smallest difference", "failed / unscored",
]  # fmt: skip


def revision_cells(measured: Measured) -> list[str]:
    """One line of the main table, in the order of HEADINGS."""
    score, against = measured.score, measured.against
    first = [label(measured), f"{percent(score.accuracy)} ({share_ci(score.ci95)})"]
    last = f"{measured.failed:,} / {measured.unscored:,}"
    if against is None:
        return [*first, *[""] * (len(HEADINGS) - 3), last]
    pairs = against.found.pairs
    return [
        *first, change(against), f"{pairs.fixed} / {pairs.broken}", p_words(pairs.p_mcnemar),
        p_words(against.found.p_clustered), p_words(against.holm), verdict(against), smallest(against), last,
    ]  # fmt: skip


def change(against: Against) -> str:
    """`+29.2 (+25.3 to +33.0)`."""
    return f"{points(against.found.mean.value)} ({points_ci(against.found.ci95)})"


def group_headings(comparison: Comparison, column: str) -> list[str]:
    names = [measured.revision.name for measured in comparison.revisions]
    changes = [text for name in names[1:] for text in (f"{name} − {names[0]}", "corrected p")]
    return [column, "items", *names, *changes]


def group_lines(comparison: Comparison, column: str) -> list[list[str]]:
    """A line for each dimension or source, in the order of `group_headings`."""
    lines = []
    for group in comparison.groups[column]:
        cells = [group.name, f"{group.n:,}", *(percent(score.accuracy) for score in group.scores)]
        for against in group.against:
            cells += [change(against), p_words(against.holm)]
        lines.append(cells)
    return lines
