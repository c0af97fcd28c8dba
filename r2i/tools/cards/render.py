"""Templates -> Markdown."""

import json
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

MARK = "r2i"  # tag in the front matter of every card


def render(template: str, front: dict[str, Any], **values: Any) -> str:
    """The front matter as YAML, then the template."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,
    )  # fmt: skip
    environment.filters |= {"number": number, "percent": percent, "points": points, "compact": compact, "cell": cell}
    head = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{environment.get_template(template).render(values)}"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """Percentage points with their sign."""
    return "-" if value is None else f"{100 * value:+.1f}"


def compact(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def cell(value: Any) -> str:
    """Text for a table of Markdown."""
    return str(value).replace("|", "\\|").replace("\n", " ")
