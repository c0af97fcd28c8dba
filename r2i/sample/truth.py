"""What the pictures of a folder show, where somebody knows it: its `truth.jsonl`, for the audit alone."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from r2i.core.boxes import Box
from r2i.core.errors import R2IError

TRUTH_FILE = "truth.jsonl"


@dataclass(frozen=True)
class ShownText:
    """A text that stands in a picture, as records.TRUTH has it. `box`: xyxy, pixels of the upright picture."""

    box: Box
    value: str
    color: str = ""
    shape: str = "text"
    material: str = ""
    mark: str = "ocr"


def read_truth(folder: Path) -> dict[str, tuple[ShownText, ...]]:
    """By the file's path in the folder; {} where there is no truth.jsonl.

    A line is `{"image": path, "text": ..., "box": [left, top, right, bottom]}`. Raises R2IError for any other.
    """
    path = folder / TRUTH_FILE
    if not path.is_file():
        return {}
    shown: defaultdict[str, list[ShownText]] = defaultdict(list)
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
            left, top, right, bottom = (int(side) for side in told["box"])
            image, text = told["image"], told["text"]
            if not (isinstance(image, str) and isinstance(text, str) and left < right and top < bottom):
                raise ValueError("a box without area, or a text that is none")
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise R2IError(
                f"{path}, line {number}: {type(error).__name__}: {error}",
                'write {"image": "a.jpg", "text": "EXIT", "box": [left, top, right, bottom]} a line, or remove it',
            ) from error
        shown[image].append(ShownText(Box(left, top, right, bottom), text))
    return {image: tuple(texts) for image, texts in shown.items()}
