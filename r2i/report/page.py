"""`report.html`: one file that opens offline, on a phone, in the dark and on paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from r2i.core.disk import new_file
from r2i.core.names import OBJECTIVES, VIEWS
from r2i.report import bars, cards, charts, teaching
from r2i.report.checks import audit_cards, check_cards
from r2i.report.curves import CURVES, curve, curve_table
from r2i.report.gap import gap_picture
from r2i.report.gather import Step, Story
from r2i.report.headline import headline, kind_titles, way
from r2i.report.layers import layer_card
from r2i.report.looks import coverage_tiles, look_card
from r2i.report.parts import gap_cards
from r2i.report.pictures import LIMIT
from r2i.report.published import published_beside
from r2i.report.study import study_picture
from r2i.report.text import shown

TEMPLATES = Path(__file__).parent / "templates"
BYTES = 6_000_000  # of the galleries' pictures: base64 makes 4 of 3, and the page shall have at most 15 MB


def write_report(path: Path, story: Story, profile: str, rehearsal: bool = False) -> None:
    """Render `story` to `path`, whole or not at all. Raises DiskError."""
    html = render_page(story, profile, rehearsal)
    with new_file(path) as part:
        part.write_text(html, encoding="utf-8", newline="\n")


def render_page(story: Story, profile: str, rehearsal: bool = False) -> str:
    """The page's text: a pure function of `story`. Everything that came from a model is made plain and escaped.

    `rehearsal`: small models stood in for the profile's, which the page says first.
    """
    env = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=shown,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    known = {"percent": charts.percent, "points": charts.points, "ci": charts.ci}
    env.filters["points"] = charts.points
    env.globals |= {
        **known,
        "models": story.models,
    }
    css = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    parts = {**_result(story), "study": study_picture(story.study, profile), **_making(story), **_rows(story)}
    return env.get_template("report.html.j2").render(
        css=css, profile=profile, rehearsal=rehearsal, scores=story.scores, headline=headline(story),
        way=way(story.funnel), sections=sections(story, parts), **parts,
    )  # fmt: skip


def sections(story: Story, parts: Mapping[str, Any]) -> dict[str, str]:
    """Ids of the page's sections and their names in its contents: those that have something to show, in order."""
    named = kind_titles(story.models)
    spread = ("areas", "crop_sides", "image_sides", "letters", "duplicates")
    there = {
        "result": ("Result", story.scores),
        "dimensions": ("Dimensions", parts["dimensions"]),
        "attention": ("Attention", parts["coverage"] or parts["looks"]),
        "cost": ("Cost", parts["costs"] or parts["latency"]),
        "checks": ("Checks", parts["checks"]),
        "study": ("Study", parts["study"]),
        "funnel": ("Funnel", parts["funnel"] or parts["missing"]),
        "teachers": ("Teachers", parts["teachers"][1] or parts["agreement"]),
        "audit": ("Audit", parts["audit"]),
        "review": ("Human check", parts["reviews"]),
        "spread": ("Data", parts["kinds"][1] or parts["chosen"][1] or any(parts[name] for name in spread)),
        "training": ("Training", parts["runs"]),
        "rows": ("Rows", parts["train"]),
        **{kind.replace(" ", "-"): (named.get(kind, kind.capitalize()), cards)
           for kind, cards in parts["examples"].items()},
    }  # fmt: skip
    return {name: title for name, (title, content) in there.items() if content}


def _result(story: Story) -> dict[str, Any]:
    """What was measured of the models."""
    titles: dict[str, str] = {view: found.title for view, found in VIEWS.items()}
    if story.zoom_given:
        titles["zoom"] = "Zoom, region given"
    return {
        "titles": titles,
        "tiles": charts.tiles(story.scores, story.models, titles),
        "gap_svg": gap_picture(story.scores, story.models),
        "gaps": charts.gap_rows(story.scores, story.models),
        "views": charts.measured_views(story.scores, story.models),
        "dimensions": charts.dimension_rows(story.scores, story.models),
        "sources": charts.source_rows(story.scores, story.models),
        "heads": charts.group_heads(story.scores, story.models),
        "gap_parts": gap_cards(story.scores, story.models),
        "published": published_beside(story.metrics, story.scores, story.models),
        "coverage": coverage_tiles(story.scores, story.models),
        "layers": layer_card(story.scores, story.models),
        "looks": [card for row in story.looks if (card := look_card(row))],
        "zoom_given": story.zoom_given,
        "sampled_at": " or ".join(f"{at:g}" for at in story.temperatures),
        "costs": charts.cost_rows(story.scores, story.models),
        "latency": story.latency,
        "trained": story.models.trained,
        "unread": ", ".join(
            f"{count:,} {name.partition(': ')[2] or name}"
            for name, count in (story.metrics["benchmark"].get("reason") or {}).items()
        ),
        "checks": check_cards(story.scores, story.models),
    }


def _making(story: Story) -> dict[str, Any]:
    """How the training rows came about, and the training."""
    metrics, spread = story.metrics, story.spread
    return {
        "funnel": [cards.funnel_card(step, story.dropped) for step in once(story.funnel)],
        "missing": story.missing,
        "row_views": bars.bars_of(metrics["overlay"].get("rows_by_view") or {}),
        "filters": teaching.filter_lines(metrics),
        "audit": audit_cards(metrics["audit"]),
        "agreement": teaching.agreement_bars(metrics),
        "teachers": teaching.teacher_table(metrics),
        "vote_words": teaching.vote_words(metrics),
        "calls": teaching.cost_lines(metrics),
        "areas": bars.area_bars(spread),
        "median_area": metrics["crop"].get("median_area_share"),
        "crop_sides": bars.side_bars(spread.crop_sides),
        "image_sides": bars.side_bars(spread.image_sides),
        "letters": bars.letter_cards(spread),
        "chosen": bars.chosen_table(spread, story.chosen, story.models),
        "kinds": teaching.dimension_table(metrics),
        "duplicates": teaching.duplicate_lines(metrics, spread.questions, spread.wordings),
        "reviews": teaching.review_cards(metrics),
        "runs": training_runs(story),
    }


def once(funnel: Sequence[Step]) -> list[Step]:
    """Without the training rows where their questions were counted: those are dropped for the same reasons."""
    counted = any(step.unit == "questions" and step.stage == "overlay" for step in funnel)
    return [step for step in funnel if not counted or step.unit != "training rows"]


def _rows(story: Story) -> dict[str, Any]:
    shown_rows = [*story.train, *(row for rows in story.examples.values() for row in rows)]
    views = charts.measured_views(story.scores, story.models)
    scale = min(1.0, BYTES / max(1, len(shown_rows) * (LIMIT["full"] + LIMIT["crop"])))
    return {
        "train": [cards.train_card(row, scale) for row in story.train],
        "examples": {
            kind: [cards.example_card(row, story.models, views, scale) for row in rows]
            for kind, rows in story.examples.items()
        },
        "totals": story.totals,
    }


def training_runs(story: Story) -> list[dict[str, Any]]:
    """The curves of each run that has some, as pictures and as a table, with what its metrics say."""
    found = []
    for run, objective in OBJECTIVES.items():
        steps: Sequence[Mapping[str, float]] = story.curves.get(run, [])
        role = story.models.role(story.models.runs.get(run, ""))
        if drawn := [one for key in CURVES if (one := curve(steps, key, role))]:
            facts = story.metrics[f"train-{run}"]
            found.append({"title": objective.title, "role": role, "curves": drawn, "table": curve_table(steps),
                          "facts": _run_facts(facts), "warnings": facts.get("warnings") or []})  # fmt: skip
    return found


def _run_facts(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    names = {"engine": "engine", "steps": "steps", "rows": "training rows", "unfit": "rows that did not fit",
             "too_long": "rows that were too long", "dynamic_sampling": "dynamic sampling"}  # fmt: skip
    return [
        (name, f"{facts[key]:,}" if isinstance(facts[key], int) else str(facts[key]))
        for key, name in names.items()
        if key in facts
    ]
