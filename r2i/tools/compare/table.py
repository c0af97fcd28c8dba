"""The comparison as Rich tables for the terminal, and as Markdown."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from r2i.tools.compare.measure import Comparison
from r2i.tools.compare.words import (
    HEADINGS,
    METHOD,
    change,
    group_headings,
    group_lines,
    headline,
    p_words,
    percent,
    revision_cells,
    verdict,
)

COLORS = {"better": "green", "worse": "red", "not shown": "dim"}


def terminal_tables(comparison: Comparison) -> Iterator[Table]:
    """The main table turned so that revisions are columns: it fits where its lines would not."""
    table = Table(title=headline(comparison), title_justify="left")
    lines = [revision_cells(measured) for measured in comparison.revisions]
    table.add_column("")
    for line in lines:
        table.add_column(line[0], justify="right", overflow="fold")
    for place, heading in enumerate(HEADINGS[1:], 1):
        table.add_row(heading, *(Text(line[place], COLORS.get(line[place], "")) for line in lines))
    yield table
    for column in comparison.groups:
        yield _group_table(comparison, column)


def _group_table(comparison: Comparison, column: str) -> Table:
    """A line for each dimension or source, a column for each revision: accuracy, difference, corrected p."""
    table = Table(title=f"by {column} (p corrected by Holm)", title_justify="left", show_lines=True)
    table.add_column(column, overflow="fold")
    table.add_column("items", justify="right")
    for measured in comparison.revisions:
        table.add_column(measured.revision.name, justify="right", overflow="fold")
    for group in comparison.groups[column]:
        cells = [Text(percent(group.scores[0].accuracy))]
        for score, against in zip(group.scores[1:], group.against, strict=True):
            text = f"{percent(score.accuracy)}\n{change(against)}\np {p_words(against.holm)}"
            cells.append(Text(text, COLORS[verdict(against)]))
        table.add_row(Text(group.name), f"{group.n:,}", *cells)
    return table


def markdown(comparison: Comparison) -> str:
    """The same for a pull request, with the method in its last lines."""
    parts = [f"**{headline(comparison)}**", _pipes(HEADINGS, [revision_cells(m) for m in comparison.revisions])]
    parts += [
        _pipes(group_headings(comparison, column), group_lines(comparison, column)) for column in comparison.groups
    ]
    parts += [f"- {note}" for note in comparison.notes]
    return "\n\n".join([*parts, METHOD]) + "\n"


def _pipes(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in [headings, rule, *lines])


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
