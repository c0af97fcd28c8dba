"""`report.html`: one file that opens offline, on a phone, in the dark and on paper."""

import base64
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from r2i.images import read_image
from r2i.mcq import LETTERS
from r2i.report import charts
from r2i.report.gather import Row, Step, Story

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = {"full": 720, "crop": 320}  # longest side of an inlined picture, pixels
SMALL = 160  # pictures up to this side are shown enlarged, pixel by pixel
REPLY = 200  # characters of a reply that are shown, from its end


def write_report(path: Path, story: Story, profile: str) -> None:
    """Render `story` and put it at `path` in one step."""
    html = render_page(story, profile)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(html, encoding="utf-8", newline="\n")
    part.replace(path)


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
        "full": picture(row["boxed"], "full"),
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
