"""The rendered world of the `mini` profile: many objects, one small detail on each.

A scene is 128 x 128 px. Up to 16 cells of 32 px hold an object that is named by what can be
seen from afar (colour and shape) and that carries evidence which can only be read up close:
a material (its fine texture) and one mark of a few pixels on a small plate.

The six dimensions are ZoomBench's (arXiv 2602.11858, section 4): counting, ocr, color,
structure, material, identification.

Objects sit on the 32-px grid of the model's image tokens, give or take one pixel, so that the
evidence falls inside one image token: a cause of a zooming gap that is honest (the token holds
too much else) and that a model of this size can learn on a CPU. `docs/mini.md` says more.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from r2i.core.boxes import Box, clip

SIZE = 128  # scene side, pixels
CELL = 32  # object cell side, pixels: one image token of the mini checkpoint
GRID = SIZE // CELL
RADII = (10, 12)  # smallest and largest half size of an object's body, pixels
SMALL = (8, 9)  # the same of objects that are smaller than any that is trained on
PLATE = 6  # half side of the light plate that carries the mark, pixels

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (205, 45, 45),
    "orange": (235, 135, 30),
    "yellow": (225, 205, 50),
    "green": (50, 155, 65),
    "cyan": (60, 190, 200),
    "blue": (55, 85, 215),
    "purple": (140, 65, 175),
    "pink": (235, 130, 180),
}
SHAPES = ("square", "circle", "triangle", "diamond")
MATERIALS = ("wood", "metal", "stone", "cloth")
DIGITS = tuple("0123456789")
COUNTS = tuple("12345")
SIDES = ("top", "bottom", "left", "right")
SYMBOLS: dict[str, tuple[str, ...]] = {
    "heart": (".##.##.", "#######", "#######", "#######", ".#####.", "..###..", "...#..."),
    "star": ("...#...", "...#...", "#######", ".#####.", "..###..", ".##.##.", ".#...#."),
    "moon": ("..###..", ".##....", "##.....", "##.....", "##.....", ".##....", "..###.."),
    "bolt": ("....##.", "...##..", "..##...", ".#####.", "...##..", "..##...", ".##...."),
    "house": ("...#...", "..###..", ".#####.", "#######", ".#...#.", ".#.#.#.", ".#.#.#."),
    "key": (".###...", "#...#..", "#...#..", ".###...", "..#....", "..###..", "..##..."),
}
MARKS = ("counting", "ocr", "color", "structure", "identification")  # what a plate can carry
DIMENSIONS = (*MARKS, "material")
ANSWERS: dict[str, tuple[str, ...]] = {
    "counting": COUNTS,
    "ocr": DIGITS,
    "color": tuple(COLORS),
    "structure": SIDES,
    "identification": tuple(SYMBOLS),
    "material": MATERIALS,
    "shape": SHAPES,
}
INK = (25, 25, 30)
PAPER = (238, 238, 232)


@dataclass(frozen=True)
class Thing:
    """One object of a scene.

    `x, y`: centre, `radius`: half size of the body, all in pixels of the scene.
    `mark`: the dimension of what its plate shows; `value`: what the plate shows.
    """

    color: str
    shape: str
    material: str
    mark: str
    value: str
    x: int
    y: int
    radius: int

    @property
    def name(self) -> str:
        return f"{self.color} {self.shape}"

    @property
    def box(self) -> Box:
        """Tight box, xyxy in scene pixels, right and bottom exclusive; the part that is in the scene."""
        left, top, right, bottom = _extent(self.shape, self.radius)
        return clip(Box(self.x - left, self.y - top, self.x + right + 1, self.y + bottom + 1), SIZE, SIZE)

    def truth(self, dimension: str) -> str | None:
        """The true answer in `dimension`, or None where the object shows nothing of it."""
        if dimension == "material":
            return self.material
        if dimension == "shape":
            return self.shape
        return self.value if dimension == self.mark else None


@dataclass(frozen=True)
class Scene:
    image: Image.Image  # RGB, SIZE x SIZE
    things: tuple[Thing, ...]


def render_scene(rng: np.random.Generator, least: int = 4, most: int = 6, radii: tuple[int, int] = RADII) -> Scene:
    """Draw one scene with `least` to `most` objects of `radii`; the same generator state, the same pixels."""
    things = _place_things(rng, int(rng.integers(least, most + 1)), radii)
    canvas = Image.fromarray(_background(rng, [(t.x // CELL, t.y // CELL) for t in things]))
    for thing in things:
        _draw_thing(canvas, thing, rng)
    return Scene(_light(canvas, rng), tuple(things))


def _place_things(rng: np.random.Generator, count: int, radii: tuple[int, int]) -> list[Thing]:
    marks = [MARKS[i] for i in rng.permutation(len(MARKS))[:2]]  # look-alike marks share a scene
    names = list(rng.permutation(len(COLORS) * len(SHAPES))[:count])
    if rng.random() < 0.25:
        names[1] = names[0]  # two objects of one name: a question about them is ambiguous
    cells = rng.permutation(GRID * GRID)[:count]
    colors = list(COLORS)
    things = []
    for name, cell in zip(names, cells, strict=True):
        mark = marks[rng.integers(2)]
        things.append(
            Thing(
                color=colors[name % len(colors)],
                shape=SHAPES[name // len(colors)],
                material=MATERIALS[rng.integers(len(MATERIALS))],
                mark=mark,
                value=ANSWERS[mark][rng.integers(len(ANSWERS[mark]))],
                x=int(CELL // 2 + CELL * (cell % GRID) + rng.integers(-1, 2)),
                y=int(CELL // 2 + CELL * (cell // GRID) + rng.integers(-1, 2)),
                radius=int(rng.integers(radii[0], radii[1] + 1)),
            )
        )
    return things


def _background(rng: np.random.Generator, taken: list[tuple[int, int]]) -> np.ndarray:
    """Grey ground with strokes and colourless decoys in cells that hold no object; (H, W, 3) uint8."""
    level = int(rng.integers(95, 150))
    ground = Image.new("RGB", (SIZE, SIZE), (level, level, level))
    pen = ImageDraw.Draw(ground)
    for _ in range(int(rng.integers(3, 9))):
        shade = level + int(rng.integers(-28, 29))
        ends = rng.integers(0, SIZE, 4).tolist()
        pen.line(ends, fill=(shade, shade, shade), width=int(rng.integers(1, 4)))
    free = [(c, r) for c in range(GRID) for r in range(GRID) if (c, r) not in taken]
    for i in rng.permutation(len(free))[: int(rng.integers(0, 3))]:
        column, row = free[i]
        x, y = column * CELL + int(rng.integers(9, 24)), row * CELL + int(rng.integers(9, 24))
        w, h = int(rng.integers(3, 10)), int(rng.integers(3, 10))
        shade = level + int(rng.choice([-55, -45, 45, 55]))
        pen.ellipse([x - w, y - h, x + w, y + h], fill=(shade, shade, shade))
    noise = rng.normal(0, rng.uniform(4, 11), (SIZE, SIZE, 1))
    return np.clip(np.asarray(ground, dtype=np.float32) + noise, 0, 255).astype(np.uint8)


def _extent(shape: str, radius: int) -> tuple[int, int, int, int]:
    """How far a body reaches left, up, right and down of its centre, pixels."""
    if shape == "triangle":
        return (radius + 2, radius + 2, radius + 2, radius - 1)
    if shape == "diamond":
        return (radius + 3,) * 4
    return (radius,) * 4


def _body_mask(thing: Thing) -> Image.Image:
    mask = Image.new("L", (SIZE, SIZE), 0)
    pen = ImageDraw.Draw(mask)
    x, y = thing.x, thing.y
    left, up, right, down = _extent(thing.shape, thing.radius)
    if thing.shape == "square":
        pen.rectangle([x - left, y - up, x + right, y + down], fill=255)
    elif thing.shape == "circle":
        pen.ellipse([x - left, y - up, x + right, y + down], fill=255)
    elif thing.shape == "triangle":  # apex cut flat so that the plate fits below it
        pen.polygon([(x - left, y + down), (x + right, y + down), (x + 4, y - up), (x - 4, y - up)], fill=255)
    else:
        pen.polygon([(x, y - up), (x + right, y), (x, y + down), (x - left, y)], fill=255)
    return mask


def _texture(material: str, rng: np.random.Generator) -> np.ndarray:
    """Brightness offsets of a material, (CELL + 4, CELL + 4) float, grey levels."""
    side = CELL + 4
    y, x = np.mgrid[0:side, 0:side]
    if material == "wood":
        return np.where((y + (x // 9) % 2) % 4 < 2, 26.0, -38.0)
    if material == "metal":
        return np.where((x + y) % 16 < 5, 62.0, -18.0)
    if material == "stone":
        return rng.choice([-52.0, 0.0, 34.0], size=(side, side))
    return np.where((x // 2 + y // 2) % 2 == 0, 30.0, -34.0)  # cloth


def _draw_thing(canvas: Image.Image, thing: Thing, rng: np.random.Generator) -> None:
    texture = _texture(thing.material, rng)[..., None]
    body = np.clip(np.array(COLORS[thing.color], dtype=np.float32) + texture, 0, 255).astype(np.uint8)
    corner = (thing.x - CELL // 2 - 2, thing.y - CELL // 2 - 2)
    window = (*corner, corner[0] + CELL + 4, corner[1] + CELL + 4)
    canvas.paste(Image.fromarray(body), corner, mask=_body_mask(thing).crop(window))
    pen = ImageDraw.Draw(canvas)
    x, y = thing.x, thing.y
    pen.rectangle([x - PLATE, y - PLATE, x + PLATE, y + PLATE], fill=PAPER)
    _draw_mark(pen, thing, rng)


def _draw_mark(pen: ImageDraw.ImageDraw, thing: Thing, rng: np.random.Generator) -> None:
    x, y, value = thing.x, thing.y, thing.value
    if thing.mark == "ocr":
        pen.text((x, y), value, fill=INK, font=_font(), anchor="mm")
    elif thing.mark == "color":
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=COLORS[value])
    elif thing.mark == "counting":
        for spot in rng.permutation(9)[: int(value)]:
            left, top = x - 5 + 4 * int(spot % 3), y - 5 + 4 * int(spot // 3)
            pen.rectangle([left, top, left + 2, top + 2], fill=INK)
    elif thing.mark == "structure":
        _draw_ring(pen, x, y, value)
    else:
        for row, line in enumerate(SYMBOLS[value]):
            for column, cell in enumerate(line):
                if cell == "#":
                    pen.point((x - 3 + column, y - 3 + row), fill=INK)


def _draw_ring(pen: ImageDraw.ImageDraw, x: int, y: int, side: str) -> None:
    """A Landolt ring: nine pixels wide, open on one side."""
    pen.ellipse([x - 4, y - 4, x + 4, y + 4], outline=INK, width=2)
    gaps = {
        "top": [x - 1, y - 4, x + 1, y - 2],
        "bottom": [x - 1, y + 2, x + 1, y + 4],
        "left": [x - 4, y - 1, x - 2, y + 1],
        "right": [x + 2, y - 1, x + 4, y + 1],
    }
    pen.rectangle(gaps[side], fill=PAPER)


def _light(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Uneven light and sensor noise over the whole scene."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    slope_x, slope_y = rng.uniform(-0.22, 0.22, 2)
    gain = rng.uniform(0.8, 1.08) * (1 + slope_x * x + slope_y * y)
    pixels = np.asarray(canvas, dtype=np.float32) * gain[..., None]
    pixels += rng.normal(0, 3.0, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@cache
def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=11)
