"""`compare.html`: one file that opens offline, in the dark and on paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from r2i.core.axis import axis_around_zero
from r2i.core.disk import new_file
from r2i.tools.compare import words
from r2i.tools.compare.measure import Against, Comparison, Measured, Score

TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, comparison: Comparison) -> None:
    """Render `comparison` to `path`, whole or not at all. Raises DiskError."""
    html = render_page(comparison)
    with new_file(path) as part:
        part.write_text(html, encoding="utf-8", newline="\n")


def render_page(comparison: Comparison) -> str:
    """The page's text: a pure function of `comparison`. Names of revisions and groups are escaped."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    revisions = comparison.revisions
    return env.get_template("compare.html.j2").render(
        css=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        headline=words.headline(comparison),
        names=[measured.revision.name for measured in revisions],
        notes=comparison.notes,
        method=words.METHOD,
        accuracies=_accuracies(revisions),
        differences=_differences(revisions),
        headings=words.HEADINGS,
        lines=[words.revision_cells(measured) for measured in revisions],
        groups={column: _groups(comparison, column) for column in comparison.groups},
    )


def _accuracies(revisions: Sequence[Measured]) -> dict[str, Any]:
    """Accuracies on an axis of 0 to 100 %."""
    rows = [
        {"label": words.label(m), "text": words.percent(m.score.accuracy), "ci": words.share_ci(m.score.ci95),
         "hue": place % 6, **_spot(m.score.accuracy, m.score.ci95, 0.0, 1.0)}
        for place, m in enumerate(revisions)
    ]  # fmt: skip
    return {"rows": rows, "ticks": [{"at": at, "text": f"{at}"} for at in (0, 25, 50, 75, 100)]}


def _differences(revisions: Sequence[Measured]) -> dict[str, Any]:
    """Differences from the first revision, on an axis around zero that holds every interval."""
    pairs = [(place, m, m.against) for place, m in enumerate(revisions) if m.against]
    axis = _axis([against for _, _, against in pairs])
    rows = [{"label": words.label(m), "hue": place % 6, **_change(a, axis["reach"])} for place, m, a in pairs]
    return {"rows": rows, **axis}


def _change(against: Against, reach: float) -> dict[str, Any]:
    found = against.found
    return {
        "text": words.points(found.mean.value), "ci": words.points_ci(found.ci95),
        "p": words.p_words(against.holm), "verdict": words.verdict(against), "smallest": words.smallest(against),
        "fixed": found.pairs.fixed, "broken": found.pairs.broken,
        **_spot(found.mean.value, found.ci95, -reach, reach),
    }  # fmt: skip


def _axis(found: Sequence[Against]) -> dict[str, Any]:
    """An axis from -reach to +reach that holds every interval."""
    reach, ticks = axis_around_zero(end for against in found for end in (*against.found.ci95, against.found.mean.value))
    return {"reach": reach, "ticks": [{"at": at, "text": words.points(v).removesuffix(".0")} for at, v in ticks]}


def _groups(comparison: Comparison, column: str) -> dict[str, Any]:
    """Each dimension or source: the revisions' accuracies as text, the differences on one axis."""
    groups = comparison.groups[column]
    axis = _axis([against for group in groups for against in group.against])
    names = [measured.revision.name for measured in comparison.revisions]
    rows = [
        {
            "name": group.name or "–",
            "n": f"{group.n:,}",
            "scores": [_score(score) for score in group.scores],
            "changes": [
                {"label": names[place], "hue": place % 6, **_change(against, axis["reach"])}
                for place, against in enumerate(group.against, 1)
            ],
        }
        for group in groups
    ]
    return {"rows": rows, **axis}


def _score(score: Score) -> dict[str, str]:
    return {"text": words.percent(score.accuracy), "ci": words.share_ci(score.ci95)}


def _spot(value: float, ci95: Sequence[float], low: float, high: float) -> dict[str, float]:
    """Where a value and its interval lie on an axis from `low` to `high`, in percent of its width."""
    at, start, stop = (round(100 * (x - low) / (high - low), 2) for x in (value, *ci95))
    return {"at": at, "low": start, "width": round(stop - start, 2)}
