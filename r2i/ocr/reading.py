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

from r2i.core.boxes import Box, area, clip
from r2i.ocr.engines import Line, Point, Quad, Said, load_recogniser
from r2i.ocr.kept import outline, picture_key

HEIGHT = 48  # of a strip, pixels: what recognisers are trained on
WIDEST = 2400  # of a strip, pixels
GROW = 0.08  # of a line's height, that a strip shows around it
LONG = 100  # signs of a text that is asked for, at most
KNOWN = 128  # pictures whose readings are remembered
EDGE = 0.01  # of a picture's side: a line so near to its end may be cut
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

    def read_middle(self, image: Image.Image, variation: Variation = PLAIN) -> Reading | None:
        """The line that a crop is about: of those that hold its middle the largest, else the one nearest to it.

        None where there is none, or it goes on beyond the crop.
        """
        lines = {box_of(line, image.size): line for line in outline(image)}
        middle = find_middle(list(lines), image.size)
        if middle is None or is_cut(middle, image.size):
            return None
        return self.read_line(image, lines[middle], variation)

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


def is_cut(box: Box, size: tuple[int, int]) -> bool:
    """Whether a line reaches an edge of its picture that it runs towards: its text may go on there."""
    along = int(box[3] - box[1] > TALL * (box[2] - box[0]))
    near = EDGE * size[along]
    return box[along] <= near or box[along + 2] >= size[along] - near


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
    wide, high = _sides(line.quad)
    turns = [1, 3] if high > TALL * wide else [0]
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
