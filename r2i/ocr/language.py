"""Questions about text in a picture, by template: the text is named by where it stands in the whole picture.

Where: in which of nine fields, and where others stand there too, beside which text that can be read. A place that
fits two texts is none, and neither is one that a slightly different box would fit or not: outlines are inexact.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from r2i.core.boxes import Box, iou, share_inside
from r2i.core.choices import read_offered
from r2i.core.ids import make_id, unit_of
from r2i.ocr.engines import Point
from r2i.ocr.reading import TALL, Reading
from r2i.ocr.similar import fold, likeness, misread

FIELDS = (
    "at the upper left", "at the top", "at the upper right", "at the left", "in the middle", "at the right",
    "at the lower left", "at the bottom", "at the lower right",
)  # fmt: skip
SIDES = {"directly below": (0, 1), "directly above": (0, -1), "to the right of": (1, 0), "to the left of": (-1, 0)}
"""Where the text stands from its neighbour: a step in x and y."""
FORMS = (
    "What is written {}?",
    "What does the text {} say?",
    "Which words, letters or digits stand {}?",
    "Is it “{}” or “{}” that is written {}?",
)
WHOLE = "of the whole picture"
SURE = 0.95  # least score of a text that another one is placed by
BORDER = 0.015  # of a picture's side: so near to the border of two fields, a text may be in either
NEAR, REACH, ACROSS, CLOSEST = (1.5, 3.0, 4.0), (0.3, 0.4, 0.5), (0.6, 0.3, 0.2), (0.0, 0.25, 0.75)
"""Surely, plainly and barely beside a neighbour: gap at most, in heights; overlap along at most, and across at least,
as shares; heights by which one that is directly beside it may be further away than the closest."""
SAME = 0.6  # least IoU, or share of the smaller box, by which two boxes are of one line; of heights, of one row
REPEATED = 0.7  # likeness from which two texts of a picture may be taken for one another
_PLACE = re.compile(rf"(?P<field>{'|'.join(FIELDS)}) {WHOLE}(?:, (?P<side>{'|'.join(SIDES)}) “(?P<other>[^”]+)”)?")


class Place(NamedTuple):
    """Where a text stands. `side`, `other`: empty where its field is enough."""

    field: str
    side: str = ""
    other: str = ""

    def say(self) -> str:
        beside = f", {self.side} “{self.other}”" if self.side else ""
        return f"{self.field} {WHOLE}{beside}"


def read_place(text: str) -> Place | None:
    """The place that a question, or a prompt with one, names."""
    found = _PLACE.search(text)
    return Place(found["field"], found["side"] or "", found["other"] or "") if found else None


def is_question(text: str) -> bool:
    """Whether a text is a question of this language, and nothing else."""
    place = read_place(text)
    offered = read_offered(text)
    if place is None:
        return False
    said = [form.format(place.say()) for form in FORMS[:-1]]
    return text in said or (len(offered) == 2 and text == FORMS[-1].format(*offered, place.say()))


def field_of(point: Point, size: tuple[int, int]) -> str:
    """The field of a picture of `size` in which a point lies."""
    column, row = (min(2, max(0, int(3 * at / side))) for at, side in zip(point, size, strict=True))
    return FIELDS[3 * row + column]


def fields_of(point: Point, size: tuple[int, int]) -> set[str]:
    """The fields in which a point lies, with those to whose border it is near."""
    steps = (-BORDER, 0.0, BORDER)
    return {field_of((point[0] + x * size[0], point[1] + y * size[1]), size) for x in steps for y in steps}


def find_place(target: Reading, readings: Sequence[Reading], size: tuple[int, int]) -> Place | None:
    """How the target is named among all lines of its picture; None where nothing surely tells it from another one."""
    texts = [target, *(one for one in readings if not is_same_line(one.box, target.box))]
    field = field_of(target.centre, size)
    named = [one for one in texts[1:] if one.is_legible and one.score >= SURE and "”" not in one.text]
    unique = [one for one in named if sum(likeness(one.text, other.text) > REPEATED for other in readings) == 1]
    anchors = sorted(unique, key=lambda one: (_gap(one.box, target.box), one.box))
    places = (Place(field), *(Place(field, side, anchor.text) for anchor in anchors for side in SIDES))
    return next((place for place in places if is_named(target, place, texts, size, slack=1)), None)


def is_named(target: Reading, place: Place, texts: Sequence[Reading], size: tuple[int, int], slack: int = 0) -> bool:
    """Whether `place` means `target` and no other text of a picture, of which `texts` are all.

    `slack` 1: the target surely stands there, and no other text even barely does.
    """
    beside = [one for one in texts if fold(one.text) == fold(place.other)] if place.side else []
    if len(beside) != bool(place.side):
        return False
    return target in find_standing(place, texts, size, -slack) and find_standing(place, texts, size, slack) == [target]


def find_standing(place: Place, readings: Sequence[Reading], size: tuple[int, int], slack: int = 0) -> list[Reading]:
    """The lines that stand where `place` says, as far as the neighbour that it names can be read here.

    Directly above or below stand only those that are closest to it. `slack`: -1 surely, 0 plainly, 1 barely.
    """
    beside = [one for one in readings if place.side and fold(one.text) == fold(place.other)]
    gaps: list[tuple[float, Reading]] = []
    for one in readings:
        away = [_gap_beside(one.box, place.side, other.box, slack) for other in beside]
        if one not in beside and (gap := min(away, default=0.0)) < math.inf:
            gaps.append((gap, one))
    closest = CLOSEST[slack + 1] if place.side.startswith("directly") else math.inf
    least = min((gap for gap, _ in gaps), default=0.0)
    return [one for gap, one in gaps if gap <= least + closest and _is_in(one, place.field, size, slack)]


def _is_in(one: Reading, field: str, size: tuple[int, int], slack: int) -> bool:
    fields = fields_of(one.centre, size) if slack else {field_of(one.centre, size)}
    return field in fields and (slack >= 0 or len(fields) == 1)


def _gap_beside(box: Box, side: str, other: Box, slack: int) -> float:
    """Heights between `other` and a box on that side of it; infinite where it is elsewhere, or too far away."""
    x, y = SIDES[side]
    along = 0 if x else 1
    gap = (box[along] - other[along + 2]) if x + y > 0 else (other[along] - box[along + 2])
    across = 1 - along
    overlap = min(box[across + 2], other[across + 2]) - max(box[across], other[across])
    least = min(box[across + 2] - box[across], other[across + 2] - other[across])
    height = max(other[3] - other[1], box[3] - box[1], 1)
    near, reach, share = (bounds[slack + 1] for bounds in (NEAR, REACH, ACROSS))
    stands = -reach * (other[along + 2] - other[along]) <= gap <= near * height and overlap >= share * least
    return gap / height if stands else math.inf


def is_same_line(one: Box, other: Box) -> bool:
    """Whether two boxes are of one line: nearly the same, or one within the other."""
    return iou(one, other) >= SAME or max(share_inside(one, other), share_inside(other, one)) >= SAME


def _gap(one: Box, other: Box) -> int:
    """Pixels between two boxes, the larger of both directions; 0 where they overlap."""
    return max(0, one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3])


def is_repeated(text: str, readings: Sequence[Reading]) -> bool:
    """Whether a text stands more than once among all lines of a picture, in whatever case and spacing."""
    return sum(fold(text) == fold(one.text) for one in readings) > 1


def is_part(one: Reading, readings: Sequence[Reading]) -> bool:
    """Whether a text goes on in another line: one of about its height in its row, no further away than that."""
    along = int(one.box[3] - one.box[1] > TALL * (one.box[2] - one.box[0]))  # 1: it stands on its side
    others = [other.box for other in readings if not is_same_line(one.box, other.box)]
    return any(_goes_on_in(one.box, other, along) for other in others)


def _goes_on_in(box: Box, other: Box, along: int) -> bool:
    across = 1 - along
    least, most = sorted((box[across + 2] - box[across], other[across + 2] - other[across]))
    overlap = min(box[across + 2], other[across + 2]) - max(box[across], other[across])
    gap = max(other[along] - box[along + 2], box[along] - other[along + 2])
    return gap <= least and overlap >= SAME * least and least >= SAME * most


def write_questions(text: str, place: Place, words: Sequence[str], seed: int, count: int) -> list[str]:
    """`count` questions about a text, in forms that a seed chooses."""
    order = sorted(FORMS, key=lambda form: make_id(seed, text, form))
    questions = []
    for form in order[:count]:
        if form == FORMS[-1]:
            wrong = misread(text, words, seed, 1)
            if not wrong or re.search("[“”]", text + wrong[0]):
                continue
            pair = (text, wrong[0]) if unit_of(seed, text, "first") < 0.5 else (wrong[0], text)
            questions.append(form.format(*pair, place.say()))
        else:
            questions.append(form.format(place.say()))
    return questions
