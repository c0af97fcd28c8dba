"""A picture read: its lines outlined once, each cut out upright and read, as it is or a little changed.

A sample differs from the next in what differs between two photographs of one sign: its size, where the strip is cut,
and its contrast. The change follows from a seed alone.
"""

import math
import random
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from r2i.core.boxes import Box, area, clip, share_inside
from r2i.ocr.engines import Line, Point, Quad, Said, load_recogniser
from r2i.ocr.kept import outline, picture_key
from r2i.ocr.similar import fold

HEIGHT = 48  # of a strip, pixels: what recognisers are trained on
WIDEST = 2400  # of a strip, pixels
GROW = 0.08  # of a line's height, that a strip shows around it
LONG = 100  # signs of a text that is asked for, at most
KNOWN = 128  # pictures whose readings are remembered
ROOM = 0.2  # of a line's height, that a picture shows beyond both ends of a line that is surely whole
WIDER = (0.25, 0.5)  # of a line's height, by which both ends are moved outwards to see whether the text goes on
TAKEN = 0.5  # share of a box in another from which both are of one line
TALL = 1.5  # height / width from which a line may stand on its side
EDGES = " \t|[]{}<>()'\"`‘’“”«»‹›.,:;!?_-–—~*=+/\\^°•·…"


class Variation(NamedTuple):
    """How a strip is changed. `enlarge`, `contrast`: factors; `dx`, `dy`: shift, shares of the line's height."""

    enlarge: float = 1.0
    dx: float = 0.0
    dy: float = 0.0
    contrast: float = 1.0


PLAIN = Variation()


def vary(seed: int, sample: int) -> Variation:
    """The variation of one sample: a function of its arguments alone."""
    draw = random.Random(f"{seed} {sample}")
    return Variation(
        math.exp(draw.uniform(math.log(0.8), math.log(1.35))),
        draw.uniform(-0.06, 0.06), draw.uniform(-0.06, 0.06),
        math.exp(draw.uniform(math.log(0.75), math.log(1.35))),
    )  # fmt: skip


class Reading(NamedTuple):
    """A line and what it says. `box`: around it, xyxy, pixels; `found`: the detector's score, `score`: the reader's."""

    text: str
    box: Box
    found: float
    score: float

    @property
    def centre(self) -> Point:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def is_legible(self) -> bool:
        return is_legible(self.text)


def is_legible(text: str) -> bool:
    """Whether a text can be asked for: two letters or digits of Latin script at least, and little else."""
    signs = [sign for sign in text if not sign.isspace()]
    plain = [sign for sign in signs if sign.isalnum() and ord(unicodedata.normalize("NFD", sign)[0]) < 128]
    return len(plain) >= 2 and len(plain) >= 0.6 * len(signs) and len(text) <= LONG


def plain_text(text: str) -> str:
    """What a recogniser said, without what the edge of a strip looks like: quotes, bars, dots at its ends."""
    return " ".join(text.split()).strip(EDGES)


class Reader:
    """A reader by its name (r2i.ocr.engines.LIBRARIES). Raises EndpointError where a package is missing."""

    def __init__(self, name: str) -> None:
        self.recogniser = load_recogniser(name)
        self.known: OrderedDict[str, list[Reading]] = OrderedDict()  # of whole pictures as they are, by their pixels

    def read(self, image: Image.Image, variation: Variation = PLAIN) -> list[Reading]:
        """All lines of an RGB picture in which something is read."""
        if variation != PLAIN:
            return self._read(image, variation)
        key = picture_key(image)
        if key not in self.known:
            self.known[key] = self._read(image, variation)
        self.known.move_to_end(key)
        while len(self.known) > KNOWN:
            self.known.popitem(last=False)
        return self.known[key]

    def _read(self, image: Image.Image, variation: Variation) -> list[Reading]:
        readings = [self.read_line(image, line, variation) for line in outline(image)]
        return [reading for reading in readings if reading.text]

    def read_all(self, image: Image.Image) -> list[Reading]:
        """`read`, and what may be a line too, though it is not read: its text is empty."""
        readings = self.read(image)
        faint = [Reading("", box_of(line, image.size), line.score, 0.0) for line in outline(image, faint=True)]
        return readings + [one for one in faint if not any(share_inside(one.box, other.box) >= TAKEN
                                                           or share_inside(other.box, one.box) >= TAKEN
                                                           for other in readings)]  # fmt: skip

    def read_middle(self, image: Image.Image, variation: Variation = PLAIN) -> Reading | None:
        """The line that a crop is about (`middle_line`), read.

        None where there is none, or it may go on beyond the crop.
        """
        line = middle_line(image)
        return None if line is None or is_cut(line, image.size) else self.read_line(image, line, variation)

    def is_whole(self, image: Image.Image, shown: Reading) -> bool:
        """Whether the line that a crop is about, read as `shown`, says the same where it is cut wider: else its outline
        is too short."""
        line = middle_line(image)
        return line is not None and all(
            fold(self.read_line(image, stretch(line, share)).text) == fold(shown.text) for share in WIDER
        )

    def read_line(self, image: Image.Image, line: Line, variation: Variation = PLAIN) -> Reading:
        said = max((self.recogniser.read(strip) for strip in cut_strips(image, line, variation)), key=_score)
        return Reading(plain_text(said.text), box_of(line, image.size), line.score, said.score)


@cache
def load_reader(name: str) -> Reader:
    """The one reader of a name in a process. Raises EndpointError where a package is missing."""
    return Reader(name)


def box_of(line: Line, size: tuple[int, int]) -> Box:
    """The box around a line, within a picture of `size`."""
    xs, ys = [x for x, _ in line.quad], [y for _, y in line.quad]
    return clip(Box(math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))), *size)


def is_cut(line: Line, size: tuple[int, int]) -> bool:
    """Whether a line ends so near to an edge of its picture that its text may go on there."""
    first, last = _ends(stretch(line, ROOM).quad)
    return not all(0 <= x <= size[0] and 0 <= y <= size[1] for x, y in (first, last))


def stretch(line: Line, share: float) -> Line:
    """The line with both ends moved outwards, along the text, by a share of its height."""
    quad = (*line.quad[1:], line.quad[0]) if _is_tall(line.quad) else line.quad
    by = share * _sides(quad)[1]
    a, b, c, d = quad
    (a, b), (d, c) = _longer(a, b, by), _longer(d, c, by)
    return line._replace(quad=(d, a, b, c) if _is_tall(line.quad) else (a, b, c, d))


def _longer(start: Point, end: Point, by: float) -> tuple[Point, Point]:
    x, y = ((to - at) * by / (math.dist(start, end) or 1.0) for at, to in zip(start, end, strict=True))
    return (start[0] - x, start[1] - y), (end[0] + x, end[1] + y)


def _ends(quad: Quad) -> tuple[Point, Point]:
    """The middles of the two sides between which the text runs."""
    a, b, c, d = (*quad[1:], quad[0]) if _is_tall(quad) else quad
    return ((a[0] + d[0]) / 2, (a[1] + d[1]) / 2), ((b[0] + c[0]) / 2, (b[1] + c[1]) / 2)


def _is_tall(quad: Quad) -> bool:
    """Whether a text may stand on its side."""
    wide, high = _sides(quad)
    return high > TALL * wide


def middle_line(image: Image.Image) -> Line | None:
    """The line that a crop is about: of those that hold its middle the largest, else the one nearest to it."""
    lines = {box_of(line, image.size): line for line in outline(image)}
    middle = find_middle(list(lines), image.size)
    return None if middle is None else lines[middle]


def find_middle(boxes: Sequence[Box], size: tuple[int, int]) -> Box | None:
    """Of `boxes` that hold the middle of a picture the largest, else the one nearest to it."""
    x, y = size[0] / 2, size[1] / 2

    def off(box: Box) -> tuple[float, int, Box]:
        away = max(box[0] - x, x - box[2], 0) / size[0] + max(box[1] - y, y - box[3], 0) / size[1]
        return away, -area(box), box

    return min(boxes, key=off, default=None)


def _score(said: Said) -> tuple[float, str]:
    return said.score, said.text


def cut_strips(image: Image.Image, line: Line, variation: Variation) -> list[Image.Image]:
    """The line upright, HEIGHT pixels high before `variation`; one that stands on its side, turned either way."""
    turns = [1, 3] if _is_tall(line.quad) else [0]
    return [_cut(image, (*line.quad[turn:], *line.quad[:turn]), variation) for turn in turns]  # type: ignore[arg-type]


def _sides(quad: Quad) -> tuple[float, float]:
    """Width and height of a quadrilateral: the longer ones of opposite sides."""
    a, b, c, d = quad
    return max(math.dist(a, b), math.dist(d, c), 1.0), max(math.dist(a, d), math.dist(b, c), 1.0)


def _cut(image: Image.Image, quad: Quad, variation: Variation) -> Image.Image:
    wide, high = _sides(quad)
    height = max(16, round(HEIGHT * variation.enlarge))
    width = min(WIDEST, max(16, round(height * wide / high)))
    edge = height * GROW
    x, y = variation.dx * height, variation.dy * height
    left, top, right, bottom = edge + x, edge + y, width - edge + x, height - edge + y
    target = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)
    turned = cv2.getPerspectiveTransform(np.array(quad, np.float32), target)
    pixels = cv2.warpPerspective(
        np.asarray(image), turned, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    strip = Image.fromarray(pixels)
    return strip if variation.contrast == 1.0 else ImageEnhance.Contrast(strip).enhance(variation.contrast)
