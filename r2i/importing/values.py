"""Pictures and boxes as people's datasets write them."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2i.core.boxes import Box, BoxUnit, area, clip
from r2i.core.errors import ImageError

SCALE = {"shares": 1.0, "thousandths": 1000.0}
SLACK = 1.0  # pixels that a rounded box may stick out
PATH_LENGTH = 4096


def image_bytes(value: Any, base: Path) -> bytes:
    """The file's bytes of the one picture in `value`: bytes, Hugging Face's struct of bytes and path, base64 with or
    without `data:image/...`, or a path (relative to `base`); alone or in a list.

    Raises ImageError: no_image, several_images, image_missing (no such file), image_is_a_url (nothing is fetched).
    """
    if isinstance(value, list | tuple):
        if len(value) > 1:
            raise ImageError("several_images")
        value = value[0] if value else None
    if isinstance(value, Mapping):
        held = value.get("bytes")
        value = value.get("path") if held in (None, b"", "") else held
    if isinstance(value, str):
        return _of_text(value.strip(), base)
    if not isinstance(value, bytes) or not value:
        raise ImageError("no_image")
    return value


def _of_text(text: str, base: Path) -> bytes:
    if not text:
        raise ImageError("no_image")
    if re.match(r"https?://", text):
        raise ImageError("image_is_a_url")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    elif len(text) <= PATH_LENGTH and "\0" not in text and (data := _of_file(base / text.removeprefix("file://"))):
        return data
    try:
        return base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError("image_missing") from error


def _of_file(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None  # a pipe would block
    except OSError:
        return None


def read_box(value: Any, unit: BoxUnit, size: tuple[int, int]) -> Box | None:
    """xyxy in pixels of an image of `size` (width, height); None where `value` holds none.

    `value`: four numbers, in a list or in a text like "(1.0, 2.0, 3.0, 4.0)". Raises ImageError: bad_box (not four
    numbers, inside out, of no pixel), box_outside (more than a pixel out of the image).
    """
    numbers = _numbers(value)
    if numbers is None:
        return None
    width, height = size
    if unit != "pixels":
        numbers = [number / SCALE[unit] * side for number, side in zip(numbers, (width, height) * 2, strict=True)]
    if min(numbers) < -SLACK or max(numbers[0::2]) > width + SLACK or max(numbers[1::2]) > height + SLACK:
        raise ImageError("box_outside")
    left, top, right, bottom = (round(number) for number in numbers)
    box = clip(Box(left, top, right, bottom), width, height)
    shares = unit == "pixels" and max(numbers) <= 1.0  # would be one pixel in the corner
    if shares or numbers[2] <= numbers[0] or numbers[3] <= numbers[1] or not area(box):
        raise ImageError("bad_box")
    return box


def _numbers(value: Any) -> list[float] | None:
    if isinstance(value, str):
        try:
            value = json.loads("[" + value.strip().strip("()[]") + "]")
        except ValueError as error:
            raise ImageError("bad_box") from error
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    try:
        numbers = [float(number) for number in value]
    except (TypeError, ValueError) as error:
        raise ImageError("bad_box") from error
    if len(numbers) != 4 or any(number != number or abs(number) == float("inf") for number in numbers):
        raise ImageError("bad_box")
    return numbers
