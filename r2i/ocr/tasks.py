"""What a reader is asked, as the prompts of all models ask it, and what it replies.

A prompt is told by the form of its reply, else by its lettered options: questions to write (the region's crop, then
the whole picture), a question to check (whole, crop), wrong answers to find (crop, whole), one of several options, or
the text itself. Replies are those that a language model is asked for, read by the same parsers.
"""

import json
import re
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from r2i.core.boxes import Box, share_inside
from r2i.core.choices import LETTERS, read_offered
from r2i.core.ids import make_id
from r2i.ocr.language import (
    Place,
    find_place,
    find_standing,
    is_repeated,
    is_same_line,
    read_place,
    write_questions,
)
from r2i.ocr.reading import Reader, Reading, Variation, find_middle
from r2i.ocr.similar import fold, likeness, misread

BOXED = "red box"  # words of the prompt that goes with a boxed picture
CONTAINED = 0.5  # of a line's box, that a region holds of the lines that it shows
ELSEWHERE = 0.5  # what an option loses in likeness where the line does not stand where it was asked for
SURE = 0.5  # least score of a text that is asked for
WRONG = 9  # texts that are proposed as wrong answers
_BOX = re.compile(r"\[(\d+), (\d+), (\d+), (\d+)\]")
_COUNT = re.compile(r"\b(\d+) questions?\b")
_QUESTION = re.compile(r"^question: (.+)$", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"^correct answer: (.+)$", re.IGNORECASE | re.MULTILINE)
_OPTION = re.compile(rf"^([{LETTERS}])\. (.*)$", re.MULTILINE)


class Misunderstood(ValueError):
    """A prompt that a reader of text can't follow."""


def reply_to(
    reader: Reader, prompt: str, form: str | None, images: Sequence[Image.Image], seed: int, variation: Variation
) -> str:
    """The reader's reply to one prompt about RGB pictures. Raises Misunderstood.

    `variation`: of this sample. What is read to write, to check or to find wrong answers is read as it is.
    """
    name = json.loads(form)["name"] if form else ""
    if not images:
        raise Misunderstood("a reader needs a picture")
    if name in ("questions", "verdict", "distractors") and len(images) < 2:
        raise Misunderstood(f"{name}: a reader needs the crop and the whole picture (sees_image)")
    if name == "questions":
        return json.dumps({"questions": _write(reader, prompt, images[1], seed)}, ensure_ascii=False)
    if name == "verdict":
        return json.dumps(_check(reader, prompt, images[0], images[1]))
    if name == "distractors":
        return json.dumps({"distractors": _mislead(reader, prompt, images[1], seed)}, ensure_ascii=False)
    if name:
        raise Misunderstood(f"a reader can't write {name}")
    image = look_inside(images[0]) if BOXED in prompt else images[0]
    if options := dict(_OPTION.findall(prompt)):
        return f"<answer>{choose(reader.read(image, variation), image.size, prompt, options, seed)}</answer>"
    read = reader.read_middle(image, variation)
    return f"<answer>{read.text if read else ''}</answer>"


def look_inside(image: Image.Image) -> Image.Image:
    """What the red outline of a boxed picture holds; the picture where there is none."""
    red, green, blue = (np.asarray(image)[:, :, band].astype(int) for band in range(3))
    mask = ((red > 170) & (green < 90) & (blue < 90)).astype(np.uint8)
    _, _, found, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    outlines = [(int(w * h), int(x), int(y), int(w), int(h)) for x, y, w, h, n in found[1:] if 2 * n < w * h]
    if not outlines:
        return image
    _, left, top, wide, high = max(outlines)
    return image.crop((left, top, left + wide, top + high))


def choose(readings: Sequence[Reading], size: tuple[int, int], prompt: str, options: dict[str, str], seed: int) -> str:
    """The letter of the option that is most like a line, above all like one that stands where the question asks.

    Where nothing can be read all options are alike, and a hash decides: a guess.
    """
    place = read_place(prompt)
    there = find_standing(place, readings, size) if place else []

    def value(letter: str) -> float:
        return max(
            (likeness(options[letter], one.text) - ELSEWHERE * (bool(there) and one not in there) for one in readings),
            default=0.0,
        )

    return max(options, key=lambda letter: (value(letter), make_id(seed, letter)))


def _write(reader: Reader, prompt: str, image: Image.Image, seed: int) -> list[dict[str, str]]:
    found, count = _BOX.search(prompt), _COUNT.search(prompt)
    if not found or not count:
        raise Misunderstood("the prompt names no box [left, top, right, bottom], or no number of questions")
    region = Box(*map(int, found.groups()))
    readings = reader.read(image)
    size = (region[2] - region[0], region[3] - region[1])
    inside = [one for one in readings if share_inside(one.box, region) >= CONTAINED]
    middle = find_middle([_shift(one.box, region) for one in inside], size)
    target = next((one for one in inside if _shift(one.box, region) == middle), None)
    if target is None or not target.is_legible or target.score < SURE or is_repeated(target.text, readings):
        return []
    place = find_place(target, reader.read_all(image), image.size)
    if place is None:
        return []
    words = _words(readings, target)
    questions = write_questions(target.text, place, words, seed, int(count[1]))
    return [{"question": question, "dimension": "ocr"} for question in questions]


def _check(reader: Reader, prompt: str, image: Image.Image, crop: Image.Image) -> dict[str, bool | str]:
    shown = reader.read_middle(crop)
    readings = reader.read(image)
    place = read_place(prompt)
    return {
        "reasoning": f"In the region stands: {shown.text}" if shown else "Nothing is read in the region.",
        "answerable_from_crop": shown is not None and shown.is_legible and reader.is_whole(crop, shown),
        "one_clear_answer": shown is None or not is_repeated(shown.text, readings),
        "same_in_both": shown is None or not _goes_on(shown.text, place, readings, image.size),
        "names_target": place is not None,
    }


def _goes_on(text: str, place: Place | None, readings: Sequence[Reading], size: tuple[int, int]) -> bool:
    """Whether a line at that place of the whole picture says what the crop says, and more: the crop's is cut short."""
    there = find_standing(place, readings, size, slack=1) if place else readings
    return any(fold(text) in fold(one.text) and fold(text) != fold(one.text) for one in there)


def _mislead(reader: Reader, prompt: str, image: Image.Image, seed: int) -> list[str]:
    question, found = _QUESTION.search(prompt), _ANSWER.search(prompt)
    if not question or not found:
        raise Misunderstood("the prompt names no question, or no correct answer")
    answer = found[1].strip()
    offered = [one for one in read_offered(question[1]) if likeness(one, answer) < 1]
    words = [one.text for one in reader.read(image) if one.is_legible]
    return [*offered, *(one for one in misread(answer, words, seed, WRONG) if one not in offered)]


def _words(readings: Sequence[Reading], target: Reading) -> list[str]:
    return [one.text for one in readings if one.is_legible and not is_same_line(one.box, target.box)]


def _shift(box: Box, region: Box) -> Box:
    return Box(box[0] - region[0], box[1] - region[1], box[2] - region[0], box[3] - region[1])
