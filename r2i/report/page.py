"""`report.html`: one file that opens offline, on a phone, in the dark and on paper."""

import base64
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from r2i.disk import writing
from r2i.images import read_image
from r2i.mcq import LETTERS
from r2i.report import charts
from r2i.report.gather import Row, Step, Story
from r2i.report.looks import coverage_tiles, look_card

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = {"full": 720, "crop": 320}  # longest side of an inlined picture, pixels
SMALL = 160  # pictures up to this side are shown enlarged, pixel by pixel
VIEWS = ("full", "crop", "boxed", "zoom")
REPLY = 200  # characters of a reply that are shown, from its end


def write_report(path: Path, story: Story, profile: str) -> None:
    """Render `story` and put it at `path` in one step."""
    html = render_page(story, profile)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_text(html, encoding="utf-8", newline="\n")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def render_page(story: Story, profile: str) -> str:
    """The page's text: a pure function of `story`. Everything that came from a model is escaped."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    env.globals |= {"percent": charts.percent, "points": charts.points, "ci": charts.ci, "names": charts.NAMES}
    return env.get_template("report.html.j2").render(
        css=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        profile=profile,
        scores=story.scores,
        gaps=charts.gap_rows(story.scores),
        dimensions=charts.dimension_rows(story.scores),
        coverage=coverage_tiles(story.scores),
        looks=[card for row in story.looks if (card := look_card(row))],
        zoom_given=story.zoom_given,
        costs=charts.cost_rows(story.scores),
        checks=check_cards(story.scores),
        funnel=[funnel_row(step) for step in story.funnel],
        audit=audit_groups(story.audit),
        curves=training_curves(story),
        train=[train_card(row) for row in story.train],
        examples={kind: [example_card(row) for row in rows] for kind, rows in story.examples.items()},
        totals=story.totals,
    )


def funnel_row(step: Step) -> dict[str, Any]:
    """One step of the funnel: how many rows there are, what share is ok, and why the rest is not."""
    reasons = sorted(step.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "stage": step.stage,
        "unit": step.unit,
        "total": step.rows,
        "ok": step.status.get("ok", 0),
        "shares": {name: 100 * step.status.get(name, 0) / max(1, step.rows) for name in ("ok", "rejected", "failed")},
        "reasons": [(_words(name.partition(": ")[2]), name.partition(": ")[0], n) for name, n in reasons],
    }


def audit_groups(found: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Audit metrics by their first key: (title, lines of name, value, cases).

    A share comes as `{"value":, "n":}` and is one line.
    """
    groups = []
    for key, value in found.items():
        many = isinstance(value, Mapping) and "value" not in value
        if lines := list(_audit_lines(value if many else {key: value})):
            groups.append((_words(key), lines))
    return groups


def _audit_lines(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str, str]]:
    for key, value in found.items():
        name = f"{before} · {_words(key)}" if before else _words(key)
        if isinstance(value, Mapping) and set(value) == {"value", "n"}:
            yield name, charts.percent(value["value"]), f"{value['n']:,}"
        elif isinstance(value, Mapping):
            yield from _audit_lines(value, name)
        elif isinstance(value, float):
            yield name, charts.percent(value) if 0 <= value <= 1 else f"{value:.3g}", ""
        else:
            yield name, "–" if value is None else f"{value:,}" if type(value) is int else str(value), ""


def check_cards(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the accuracies rest on, as small tables: {title, note, head, lines}. Parts that are missing are left out."""
    found = [_power_card(scores), _contamination_card(scores.get("contamination"))]
    for key, title, note in (
        ("unscored", "Replies that nothing could read", "Greedy; they count as wrong."),
        ("failed", "Calls that failed", "Greedy; they count as wrong."),
    ):
        found.append(_count_card(title, note, scores.get(key)))
    return [card for card in (*found, _rules_card(scores.get("rules"))) if card]


def _power_card(scores: Mapping[str, Any]) -> dict[str, Any] | None:
    cell = scores.get("power")
    if not cell:
        return None
    smallest = cell["smallest_difference"]  # null: the two differ too rarely to show any
    lines = [
        ("smallest difference", f"{charts.points(smallest).removeprefix('+')} points" if smallest else "none"),
        ("measured gain", f"{charts.points(scores['full_gain']['value'])} points"),
        ("answers that differ", charts.percent(cell["discordance"])),
        ("items", f"{cell['n']:,}"),
        ("independent clusters", f"{cell['clusters']:,}"),
    ]
    note = "Full view, base against distilled, with 80 % power at two-sided 5 %."
    return {"title": "What so many items can show", "note": note, "head": [], "lines": lines}


def _contamination_card(cell: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not cell:
        return None
    lines = [
        ("the same file", f"{cell['same_bytes']:,}"),
        ("the same pixels", f"{cell['same_pixels']:,}"),
        (f"nearly the same (≤ {cell['bits']} of 64 bits)", f"{cell['near']:,}"),
        ("in all", f"{charts.percent(cell['share'])} of {cell['checked']:,}"),
    ]
    note = f"Items whose image is among the {cell['images']:,} images that were trained on."
    return {"title": "Contamination", "note": note, "head": [], "lines": lines}


def _count_card(title: str, note: str, counts: Mapping[str, Mapping[str, int]] | None) -> dict[str, Any] | None:
    """Views in which some model has some; one line where none has."""
    if not counts:
        return None
    views = [view for view in VIEWS if any(found.get(view) for found in counts.values())]
    none = {"title": title, "note": note, "head": [], "lines": [("none, of any model in any view", "0")]}
    return _model_card(title, note, counts, views, "{:,}".format) if views else none


def _rules_card(shares: Mapping[str, Mapping[str, float]] | None) -> dict[str, Any] | None:
    """Rules from the one that decides most of base's replies to the one that decides fewest."""
    rules = {rule for found in (shares or {}).values() for rule in found}
    first = next(iter((shares or {}).values()), {})
    order = sorted(rules, key=lambda rule: (rule == "none", -first.get(rule, 0), rule))
    note = "Share of the replies that each rule decided; none: nothing could read them."
    filled = {model: {rule: found.get(rule, 0.0) for rule in order} for model, found in (shares or {}).items()}
    return _model_card("What read the replies", note, filled, order, charts.percent)


def _model_card(
    title: str, note: str, table: Mapping[str, Mapping[str, Any]] | None, order: Sequence[str], show: Any
) -> dict[str, Any] | None:
    """A line for each key of `order` that a model has, a column for each model."""
    models = [model for model in charts.NAMES if (table or {}).get(model)]
    if not table or not models:
        return None
    keys = [key for key in order if any(key in table[model] for model in models)]
    lines = [(_words(key), *(show(table[m][key]) if key in table[m] else "–" for m in models)) for key in keys]
    return {"title": title, "note": note, "head": ["", *(charts.NAMES[m].split()[0] for m in models)], "lines": lines}


def _words(slug: str) -> str:
    return slug.replace("_", " ")


def training_curves(story: Story) -> list[dict[str, Any]]:
    """The curves of each run that has some."""
    runs = [("dapo", "distilled", "DAPO"), ("sft", "sft", "SFT, the control")]
    shown = []
    for run, model, title in runs:
        drawn = [charts.curve(story.curves.get(run, []), key, model) for key in charts.CURVES]
        if found := [curve for curve in drawn if curve]:
            shown.append({"title": title, "model": model, "curves": found})
    return shown


def train_card(row: Row) -> dict[str, Any]:
    """A training row as the page shows it: pictures, options, what each teacher said, the vote."""
    said: dict[str, Counter[str]] = {}
    for answer in row["answers"]:
        text = answer["answer"] if answer["status"] == "ok" else f"({answer['reason'].replace('_', ' ')})"
        said.setdefault(answer["teacher"], Counter())[text] += 1
    return {
        **row,
        "full": picture(row["image"], "full"),
        "crop": picture(row["crop"], "crop"),
        "options": [(LETTERS[i], text, LETTERS[i] == row["label"]) for i, text in enumerate(row["options"])],
        "said": {name: sorted(counts.items(), key=lambda p: (-p[1], p[0])) for name, counts in said.items()},
    }


def example_card(row: Row) -> dict[str, Any]:
    """A benchmark item as the page shows it, with who chose which option."""
    chose = {model: row[model]["predicted"] or "" for model in ("base", "distilled")}
    return {
        **row,
        "full": picture(row["boxed"] or row["image"], "full"),
        "crop": picture(row["crop"], "crop"),
        "options": [
            (LETTERS[i], text, LETTERS[i] == row["label"], [m for m in chose if chose[m] == LETTERS[i]])
            for i, text in enumerate(row["options"])
        ],
        "replies": {model: (_tail(row[model]["reply"]), row[model]["correct"]) for model in chose},
    }


def _tail(text: str) -> str:
    text = text.strip()
    return text if len(text) <= REPLY else "… " + text[-REPLY:]


def picture(data: bytes | None, kind: str) -> dict[str, Any] | None:
    """A picture as a data URI, made smaller where it is large; small ones keep their bytes."""
    if not data:
        return None
    image, largest = read_image(data), LARGEST[kind]
    size = image.size
    if max(size) > largest:
        image.thumbnail((largest, largest), Image.Resampling.LANCZOS)
        buffer = BytesIO()
        image.save(buffer, "JPEG", quality=82)
        data = buffer.getvalue()
    return {
        "uri": "data:image/jpeg;base64," + base64.b64encode(data).decode(),
        "width": size[0],
        "height": size[1],
        "small": max(size) <= SMALL,
    }
