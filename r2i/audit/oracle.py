"""The renderer's truth about a question that was asked on a region."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from r2i.core.boxes import Box, iou, share_inside
from r2i.core.choices import read_offered
from r2i.core.tables import Row
from r2i.core.text import same_answer
from r2i.mini.language import QUESTIONS
from r2i.mini.world import COLORS, SHAPES
from r2i.ocr.language import is_named as is_text_named
from r2i.ocr.language import is_question, read_place
from r2i.ocr.reading import Reading
from r2i.ocr.similar import fold

TEXT = "text"  # shape of a text, which a folder's truth.jsonl tells
HOLDS = 0.6  # least share of a text's box that lies in a region that is said to show it
SHOWS = 0.3  # least IoU of a region with the object that it is said to show


class Asked(NamedTuple):
    """What a question is about. `shape` is empty where the object is named by its colour alone."""

    dimension: str
    color: str
    shape: str


def parse_question(question: str | None) -> Asked | None:
    """Read a question of the mini language; None for any other text."""
    text = " ".join((question or "").casefold().split())
    for dimension, template in QUESTIONS.items():
        before, after = template.split("{}")
        found = re.fullmatch(re.escape(before) + r"([a-z]+)(?: ([a-z]+))?" + re.escape(after), text)
        if found and found[1] in COLORS and (found[2] is None if dimension == "shape" else found[2] in SHAPES):
            return Asked(dimension, found[1], found[2] or "")
    return None


def is_named(thing: Row, asked: Asked) -> bool:
    return thing["color"] == asked.color and asked.shape in ("", thing["shape"])


def truth_of(thing: Row, dimension: str) -> str | None:
    """The true answer about `thing` (records.TRUTH), or None where it shows nothing of `dimension`."""
    if dimension in ("material", "shape"):
        return str(thing[dimension])
    return str(thing["value"]) if thing["mark"] == dimension else None


class Oracle:
    """Answers questions about regions of rendered images from the truth table.

    `truth`: records.TRUTH. `regions`: records.REGIONS (region_id, image_id, box); a region shows
    the object with which its box has the largest IoU, if that is at least `SHOWS`. `sizes`: width and height by
    image_id, without which no place of a text is known.
    """

    def __init__(self, truth: Iterable[Row], regions: Iterable[Row], sizes: Mapping[str, tuple[int, int]] = {}) -> None:
        self.sizes = sizes
        self.things: defaultdict[str, list[Row]] = defaultdict(list)  # by image_id
        for thing in truth:
            self.things[thing["image_id"]].append(thing)
        self._shown = {row["region_id"]: self._find(row) for row in regions if row["box"]}

    def _find(self, region: Row) -> Row | None:
        box = Box(*region["box"])

        def overlap(thing: Row) -> tuple[float, float]:
            if thing["shape"] == TEXT:  # a region of text has margins: it holds the text
                return share_inside(Box(*thing["box"]), box) - HOLDS, iou(box, Box(*thing["box"]))
            return iou(box, Box(*thing["box"])) - SHOWS, 0.0

        best = max(self.things[region["image_id"]], key=overlap, default=None)
        return best if best is not None and overlap(best)[0] >= 0 else None

    def text_in(self, region_id: str) -> str | None:
        """The text that a region shows, whatever is asked."""
        shown = self._shown.get(region_id)
        return str(shown["value"]) if shown is not None and shown["shape"] == TEXT else None

    def answer(self, row: Row) -> str | None:
        """The true answer to `row["question"]` on `row["region_id"]`.

        None where there is none: not a question of the mini language, or of that of texts, nothing is shown, another
        object is named than the one that is shown (of texts: the place that is named is not, or not only, that of the
        text that is shown), it shows nothing of what is asked, or what is shown is not among what the question offers.
        """
        shown = self._shown.get(row["region_id"])
        if shown is not None and shown["shape"] == TEXT:
            return self.text_in(row["region_id"]) if self._is_placed(shown, row["question"] or "") else None
        asked = parse_question(row["question"])
        if asked is None or shown is None or not is_named(shown, asked):
            return None
        return truth_of(shown, asked.dimension)

    def is_unambiguous(self, row: Row) -> bool:
        """Whether exactly one object, or text, of the whole scene bears the name in `row["question"]`."""
        shown = self._shown.get(row["region_id"])
        if shown is not None and shown["shape"] == TEXT:
            return self._is_placed(shown, row["question"] or "") and self._is_only(shown)
        asked = parse_question(row["question"])
        return asked is not None and sum(is_named(thing, asked) for thing in self.things[row["image_id"]]) == 1

    def _is_placed(self, shown: Row, question: str) -> bool:
        """Whether a question about texts means this one by its place, and offers it where it offers any."""
        place, size, offered = read_place(question), self.sizes.get(shown["image_id"]), read_offered(question)
        if place is None or size is None or not is_question(question):
            return False
        if offered and not any(same_answer(text, shown["value"]) for text in offered):
            return False
        texts = {thing["thing_id"]: Reading(str(thing["value"]), Box(*thing["box"]), 1.0, 1.0)
                 for thing in self.things[shown["image_id"]] if thing["shape"] == TEXT}  # fmt: skip
        return is_text_named(texts[shown["thing_id"]], place, list(texts.values()), size)

    def _is_only(self, shown: Row) -> bool:
        """Whether no other text of the picture reads the same."""
        texts = [fold(thing["value"]) for thing in self.things[shown["image_id"]] if thing["shape"] == TEXT]
        return texts.count(fold(shown["value"])) == 1

    def is_right(self, row: Row, answer: str) -> bool:
        """Whether `answer` is the true answer; to a question without one, no answer is right."""
        true = self.answer(row)
        return true is not None and same_answer(true, answer)
