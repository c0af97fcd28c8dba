"""What the explorer shows of each table: what it can be filtered, sorted and searched by. SQL is written here alone."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from r2i.core import paths, records
from r2i.core.catalogue import ANSWERS, BENCHMARK, IMAGES, QUESTIONS, REGIONS, TRAIN, VOTES, Listed, predictions

NONE = "∅"  # a null among filter values
ROLES = ("image_id", "region_id", "question_id", "item_id")  # ids that a table may be filtered by
PREDICTED = Listed("predictions", paths.PREDICTIONS, records.PREDICTIONS, "evaluate")  # of every model together


@dataclass(frozen=True)
class Facet:
    """Something to filter by. `sql`: an expression over the table `t` and the joined `v` (votes), `q` (questions)."""

    name: str
    title: str
    sql: str = ""

    @property
    def expression(self) -> str:
        return self.sql or f't."{self.name}"'


@dataclass(frozen=True)
class Sheet:
    """A table in the explorer. `slug`: its name in addresses; `cells`: columns of the list, beside status."""

    slug: str
    title: str
    one: str  # of its rows
    table: Listed
    facets: tuple[Facet, ...]
    sorts: tuple[str, ...]
    texts: tuple[str, ...]  # searched unless told otherwise
    long_texts: tuple[str, ...] = ()  # searched when asked to: long
    cells: tuple[str, ...] = ()
    joins: tuple[tuple[str, Listed], ...] = ()  # alias -> table, on question_id
    parts: Callable[[], list[Listed]] | None = None  # where the sheet is made of several tables

    def tables(self) -> list[Listed]:
        """The tables that it shows, of one schema."""
        return self.parts() if self.parts else [self.table]

    @property
    def key(self) -> str:
        return self.table.key

    @property
    def light(self) -> list[str]:
        """Columns without pictures and masks."""
        return self.table.light

    def own_cells(self) -> list[str]:
        """`cells` that are columns of the table itself."""
        return [name for name in self.cells if name in self.table.schema.names]

    def role_columns(self) -> list[str]:
        return [name for name in ROLES if name in self.table.schema.names and name != self.key]


_STATE = (Facet("status", "Status"), Facet("reason", "Reason"))
_DIMENSION = Facet("dimension", "Dimension")
_ASKED = Facet("dimension", "Dimension", "q.dimension")
_VOTED = Facet("agreement", "Agreement", "v.agree || ' of ' || v.valid")
_MODEL = Facet("model", "Model")

SHEETS: dict[str, Sheet] = {
    sheet.slug: sheet
    for sheet in (
        Sheet(
            "images", "Images", "Image", IMAGES, (*_STATE, Facet("pool", "Pool"), Facet("format", "Format")),
            ("width", "height", "size"), ("source",), (), ("source", "width", "height"),
        ),
        Sheet(
            "regions", "Regions", "Region", REGIONS,
            (*_STATE, Facet("listed", "Listed by", "t.listing.model"), Facet("masked", "Mask", "t.mask IS NOT NULL")),
            ("score", "area_share"), ("name",), (), ("name", "box", "score", "area_share"),
        ),
        Sheet(
            "questions", "Questions", "Question", QUESTIONS,
            (*_STATE, _DIMENSION, _VOTED, _MODEL, Facet("repaired", "JSON mended")),
            (), ("question",), (), ("question", "dimension", "model"), (("v", VOTES),),
        ),
        Sheet(
            "answers", "Answers", "Answer", ANSWERS,
            (*_STATE, Facet("teacher", "Teacher"), _ASKED, _VOTED, _MODEL),
            ("sample",), ("answer",), ("reply",), ("question", "answer", "teacher", "sample", "reply"),
            (("v", VOTES), ("q", QUESTIONS)),
        ),
        Sheet(
            "votes", "Votes", "Vote", VOTES,
            (*_STATE, _DIMENSION, Facet("agreement", "Agreement", "t.agree || ' of ' || t.valid"),
             Facet("judged", "Judge asked", "coalesce(t.judge.model, '') <> ''")),
            ("agree", "valid", "asked"), ("question", "answer"), (),
            ("question", "answer", "agree", "valid", "dimension"),
        ),
        Sheet(
            "train", "Train rows", "Train row", TRAIN,
            (*_STATE, _DIMENSION, Facet("view", "View"),
             Facet("agreement", "Agreement", "t.agree || ' of ' || v.valid"),
             Facet("right", "Student's right tries", "t.\"right\" || ' of ' || t.tries"), Facet("label", "Letter")),
            ("agree", "right", "tries"), ("question", "answer"), ("prompt",),
            ("question", "answer", "view", "dimension", "agree", "right"), (("v", VOTES),),
        ),
        Sheet(
            "items", "Benchmark items", "Benchmark item", BENCHMARK, (*_STATE, _DIMENSION, Facet("source", "Benchmark"),
                                                    Facet("label", "Letter")),
            (), ("question", "answer"), (), ("question", "answer", "dimension", "source"),
        ),
        Sheet(
            "predictions", "Predictions", "Prediction", PREDICTED,
            (Facet("run", "Model", "t.run"), Facet("view", "View"), Facet("correct", "Correct"), _DIMENSION,
             Facet("rule", "Rule"), Facet("source", "Benchmark"),
             Facet("drawn", "Decoding", "CASE WHEN t.sample = 0 THEN 'greedy' ELSE 'sampled' END"), *_STATE),
            ("tokens_in", "tokens_out", "sample"), ("question", "answer", "predicted"), ("reply", "first_reply"),
            ("run", "question", "view", "answer", "predicted", "correct"), (), predictions,
        ),
    )
}  # fmt: skip
PICTURE_OF = {"images": ("images", "image"), "regions": ("regions", "crop"), "train": ("train", "image"),
              "items": ("benchmark", "image")}  # fmt: skip


def numeric(sheet: Sheet, column: str) -> bool:
    kind = sheet.table.schema.field(column).type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
