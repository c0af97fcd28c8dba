"""Values for the templates: facets with their links, pictures with their boxes, a row's fields."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from r2i.core.errors import TableError
from r2i.core.tables import Row
from r2i.pages.explore.choice import Choice
from r2i.pages.explore.index import Index, Numbers
from r2i.pages.explore.sheets import NONE, SHEETS
from r2i.pages.explore.tables import Tables

MANY = 60  # values of a facet that are seen
ORDERED = ("agreement", "right")  # facets by value, not by count


@dataclass(frozen=True)
class Option:
    """A value of a facet. `on`: chosen; `href`: the page with it chosen, or no longer."""

    text: str
    count: int
    on: bool
    href: str


@dataclass(frozen=True)
class Filter:
    title: str
    options: list[Option]
    left_out: int  # further values
    on: bool


def value_text(name: str, value: str) -> str:
    """A filter value as a word."""
    return {"": "none", NONE: "not known", "true": "yes", "false": "no"}.get(value, value)


def filters_of(index: Index, choice: Choice, counts: Numbers) -> list[Filter]:
    """Facets that could divide the rows, with a count for each value."""
    found = []
    counted = index.facet_counts(choice.facets, counts)
    for facet in index.sheet.facets:
        chosen = choice.facets.get(facet.name, ())
        values = counted[facet.name]
        if len(index.values[index.sheet.facets.index(facet)]) < 2 and not chosen:
            continue
        if facet.name in ORDERED:
            values.sort(key=lambda pair: [-int(part) for part in re.findall(r"\d{1,9}", pair[0])] or [1])
        options = [
            Option(value_text(facet.name, value), count, value in chosen, choice.toggled(facet.name, value))
            for value, count in values[:MANY]
        ]
        options += [
            Option(value, 0, True, choice.toggled(facet.name, value)) for value in chosen if value not in dict(values)
        ]
        found.append(Filter(facet.title, options, max(0, len(values) - MANY), bool(chosen)))
    return found


def with_questions(tables: Tables, answers: list[Row]) -> list[Row]:
    """Answers with `question` and `region_id`, which stand in other tables; null where those are not here."""
    wanted = ["question_id", "region_id", "question"]
    asked = sorted({row["question_id"] for row in answers})
    known: dict[str, Row] = {}
    for slug in ("questions", "votes"):
        if len(known) < len(asked):
            try:
                known |= {row["question_id"]: row for row in tables.find(slug, "question_id", asked, wanted)}
            except TableError:
                continue
    none: Row = {"question": None, "region_id": None}
    found = [known.get(row["question_id"], none) for row in answers]
    return [row | {name: of[name] for name in none} for row, of in zip(answers, found, strict=True)]


def fields_of(slug: str, row: Row) -> list[tuple[str, str, Any, str]]:
    """(name, what it means, value, address) of a row's columns; a value may be a list or a call."""
    schema = SHEETS[slug].table.schema
    own = {"image_id": "images", "region_id": "regions", "question_id": "questions", "item_id": "items"}
    found = []
    for name in SHEETS[slug].light:
        doc = (schema.field(name).metadata or {}).get(b"doc", b"").decode()
        other = own.get(name, "")
        if name == "image_id" and slug in ("items", "predictions"):
            other = ""  # a benchmark's images are its own
        href = f"/row/{other}?{urlencode({'id': row[name]})}" if other and other != slug and row[name] else ""
        found.append((name, doc, row[name], href))
    return found
