"""What the mini checkpoint is taught: lessons of one view and several turns about it.

Every lesson is made from a freshly rendered scene, with the prompts that the pipeline sends and
replies in the form that its parsers read. `Mix` says what a phase of the recipe is made of.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from r2i.core.boxes import Box
from r2i.core.choices import LETTERS, mcq_prompt
from r2i.core.drawing import cut_crop
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Cut
from r2i.core.prompts import load_prompt
from r2i.mini import language
from r2i.mini.world import ANSWERS, COLORS, DIMENSIONS, SHAPES, SIZE, Scene, Thing, render_scene

STYLE = "mini"
MAX_WORDS = 66  # words of the turns of one lesson
Turn = tuple[str, str]  # prompt, reply


@dataclass(frozen=True)
class Lesson:
    """`images`: one or two RGB pictures, SIZE x SIZE. `turns`: independent questions about them.
    `drills`: turns that state any answer and practise its letter; only the letter counts."""

    images: list[Image.Image]
    turns: list[Turn]
    is_crop: bool = False
    drills: list[Turn] = field(default_factory=list)


@dataclass(frozen=True)
class Mix:
    """What one phase teaches.

    `crops`, `full`, `pairs`: expected lessons of each kind per scene.
    `mislabelled`: share of full-view answers that describe another, more central object.
    `only_answers`: leave out every job but answering.
    `drills`: turns per lesson that practise the letter of a stated colour. Colour words also name
    objects, so that letter is learned last.
    """

    crops: float
    full: float
    pairs: float
    mislabelled: float = 0.0
    only_answers: bool = False
    drills: int = 0


def as_jpeg(image: Image.Image) -> Image.Image:
    """What the picture looks like once it has been stored as the pipeline stores images."""
    return read_image(jpeg_bytes(image))


def scene_lessons(rng: np.random.Generator, mix: Mix) -> list[Lesson]:
    """The lessons of a freshly rendered scene."""
    scene = render_scene(rng)
    scene = Scene(as_jpeg(scene.image), scene.things)
    lessons = []
    for _ in range(_count(rng, mix.crops)):
        lessons.append(_crop_lesson(scene, rng))
    for _ in range(_count(rng, mix.full)):
        lessons.append(_full_lesson(scene, rng, mix))
    for _ in range(_count(rng, mix.pairs)):
        lessons.append(_pair_lesson(scene, rng))
    return [short for lesson in lessons if (short := _shorten(lesson, mix, rng)).turns]


def _shorten(lesson: Lesson, mix: Mix, rng: np.random.Generator) -> Lesson:
    """Keep turns, in random order, while the lesson stays short: batches then pad little."""
    turns: list[Turn] = []
    words = 0
    for i in rng.permutation(len(lesson.turns)):
        prompt, reply = lesson.turns[i]
        if mix.only_answers and not prompt.endswith(" answer"):
            continue
        size = len(prompt.split()) + len(reply.split())
        if turns and words + size > MAX_WORDS:
            continue
        turns.append((prompt, reply))
        words += size
    drills = [_drill(_some_name(rng), rng) for _ in range(mix.drills)]
    return Lesson(lesson.images, turns, lesson.is_crop, drills)


def _some_name(rng: np.random.Generator) -> str:
    """The name of some object, drawn or not."""
    return f"{_any(rng, tuple(COLORS))} {_any(rng, SHAPES)}"


def _any(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]


def _drill(name: str, rng: np.random.Generator) -> Turn:
    """A question about a colour, and the letter of whatever colour the reply states."""
    colors = [list(COLORS)[i] for i in rng.permutation(len(COLORS))[:4]]
    return _choose_turn(language.QUESTIONS["color"].format(name), colors[0], colors[0], colors[1:], rng)


def _count(rng: np.random.Generator, expected: float) -> int:
    return int(expected) + int(rng.random() < expected % 1)


def _pick(rng: np.random.Generator, things: tuple[Thing, ...] | list[Thing]) -> Thing:
    return things[int(rng.integers(len(things)))]


def region_box(thing: Thing, rng: np.random.Generator) -> Box:
    """A square around the object such as a region finder would give: loose, a little off."""
    left, top, right, bottom = thing.box
    side = int(max(right - left, bottom - top) * rng.uniform(1.0, 1.3)) + 1
    x = (left + right) / 2 + rng.uniform(-1.5, 1.5)
    y = (top + bottom) / 2 + rng.uniform(-1.5, 1.5)
    return square_at(x, y, side)


def square_at(x: float, y: float, side: int) -> Box:
    left = int(np.clip(round(x - side / 2), 0, SIZE - side))
    top = int(np.clip(round(y - side / 2), 0, SIZE - side))
    return Box(left, top, left + side, top + side)


def cut(image: Image.Image, box: Box) -> Image.Image:
    """The crop as teachers see it: upscaled 2x (Lanczos), then as large as the model takes it."""
    return as_jpeg(cut_crop(image, box, Cut(upscale=2))).resize((SIZE, SIZE), Image.Resampling.BICUBIC)


def _empty_box(scene: Scene, rng: np.random.Generator) -> Box | None:
    """A square that holds no object, or None where none is found."""
    for _ in range(8):
        x, y = rng.uniform(14, SIZE - 14, 2)
        box = square_at(float(x), float(y), int(rng.integers(14, 34)))
        if all(
            t.box[2] <= box[0] or t.box[0] >= box[2] or t.box[3] <= box[1] or t.box[1] >= box[3] for t in scene.things
        ):
            return box
    return None


def _answer_prompt(question: str) -> str:
    return load_prompt("answer", "answer", STYLE).fill(question=question)


def distractors_for(answer: str, dimension: str, scene: Scene, rng: np.random.Generator, hard: float) -> list[str]:
    """Three wrong answers of the same kind; a share `hard` of them is seen elsewhere in the scene."""
    pool = [a for a in ANSWERS[dimension] if a != answer]
    pool = [pool[i] for i in rng.permutation(len(pool))]
    if rng.random() < hard:
        seen = {t.truth(dimension) for t in scene.things}
        pool.sort(key=lambda a: a not in seen)
    return pool[:3]


def _choose_turn(question: str, stated: str, right: str, wrong: list[str], rng: np.random.Generator) -> Turn:
    """`stated` is what the reply names: `right`, except in mislabelled lessons."""
    if stated not in (right, *wrong):
        wrong = [stated, *wrong[1:]]
    options = [right, *wrong]
    options = [options[i] for i in rng.permutation(len(options))]
    return mcq_prompt(question, options, STYLE), language.reply_with_letter(stated, LETTERS[options.index(stated)])


def _crop_lesson(scene: Scene, rng: np.random.Generator) -> Lesson:
    write = load_prompt("question", "write", STYLE).fill(count=3)
    if rng.random() < 0.08 and (box := _empty_box(scene, rng)):
        return Lesson([cut(scene.image, box)], [(write, language.NO_QUESTIONS)], is_crop=True)
    thing = _pick(rng, scene.things)
    turns = []
    if rng.random() < 0.35:
        turns.append((write, language.reply_with_questions(thing)))
    kinds = [thing.mark, "material"] + (["shape"] if rng.random() < 0.3 else [])
    for kind in kinds:
        question, answer = language.ask(thing, kind), str(thing.truth(kind))
        wrong = distractors_for(answer, kind, scene, rng, hard=0.3)
        form = rng.random()
        if form < 0.5:
            turns.append((_answer_prompt(question), language.reply_with_answer(answer)))
        if form > 0.3:
            turns.append(_choose_turn(question, answer, answer, wrong, rng))
        if rng.random() < 0.15:
            ask = load_prompt("overlay", "distractors", STYLE).fill(question=question, answer=answer, count=3)
            turns.append((ask, language.reply_with_distractors(wrong)))
    return Lesson([cut(scene.image, region_box(thing, rng))], turns, is_crop=True)


def _full_lesson(scene: Scene, rng: np.random.Generator, mix: Mix) -> Lesson:
    image = scene.image
    if rng.random() < 0.4:  # a box is drawn now and then; nothing says what it means
        image = image.copy()
        ImageDraw.Draw(image).rectangle(region_box(_pick(rng, scene.things), rng), outline=(255, 0, 0))
    names = [t.name for t in scene.things]
    colors = [t.color for t in scene.things]
    turns = []
    for thing in scene.things:
        if names.count(thing.name) > 1:
            continue
        kinds = [thing.mark, "material"] if rng.random() < 0.5 else [thing.mark]
        if colors.count(thing.color) == 1 and rng.random() < 0.25:
            kinds.append("shape")
        for kind in kinds:
            question, answer = language.ask(thing, kind), str(thing.truth(kind))
            stated = answer
            if kind != "shape" and rng.random() < mix.mislabelled:
                stated = salient_answer(scene, thing, kind, rng)
            if rng.random() < 0.5:
                turns.append((_answer_prompt(question), language.reply_with_answer(stated)))
            else:
                wrong = distractors_for(answer, kind, scene, rng, hard=0.5)
                turns.append(_choose_turn(question, stated, answer, wrong, rng))
    return Lesson([image], turns)


def salient_answer(scene: Scene, asked: Thing, dimension: str, rng: np.random.Generator) -> str:
    """What a careless caption says: the answer for the most central other object of the same kind."""
    others = [t for t in scene.things if t is not asked and t.truth(dimension) is not None]
    if not others:
        return ANSWERS[dimension][rng.integers(len(ANSWERS[dimension]))]
    centre = SIZE / 2
    nearest = min(others, key=lambda t: (t.x - centre) ** 2 + (t.y - centre) ** 2)
    return str(nearest.truth(dimension))


def _pair_lesson(scene: Scene, rng: np.random.Generator) -> Lesson:
    """The validation job: the full image, the crop, and questions good and bad."""
    shown: Thing | None = _pick(rng, scene.things)
    names = [t.name for t in scene.things]
    twins = [t for t in scene.things if names.count(t.name) > 1]
    if twins and rng.random() < 0.5:
        shown = _pick(rng, twins)
    box = region_box(shown, rng) if shown else None
    if rng.random() < 0.1 and (empty := _empty_box(scene, rng)):
        shown, box = None, empty
    assert box is not None
    asked = [(shown or _pick(rng, scene.things), kind) for kind in ("mark", "material", "shape")]
    asked.append((shown or _pick(rng, scene.things), "other"))
    if rng.random() < 0.4:
        asked.append((_pick(rng, scene.things), "mark"))
    turns = []
    for thing, kind in asked:
        kind = {"mark": thing.mark, "other": DIMENSIONS[rng.integers(len(DIMENSIONS))]}.get(kind, kind)
        prompt = load_prompt("question", "validate", STYLE).fill(question=language.ask(thing, kind))
        turns.append((prompt, language.reply_to_check(scene, shown, thing, kind)))
    return Lesson([scene.image, cut(scene.image, box)], turns)
