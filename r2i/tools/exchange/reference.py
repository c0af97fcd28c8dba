"""The reference's columns (inclusionAI/Zooming-without-Zooming): what each holds, from and to a train row.

Its trainer puts the picture where `problem` says `<image>`, grades `answer`, and hands `ability`, `data_source` and
`extra_info["question"]` to its reward.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from r2i.core.boxes import BoxUnit
from r2i.core.errors import ImageError
from r2i.core.ids import make_id
from r2i.core.images import read_image, sha256, stored_jpeg
from r2i.core.names import TRAIN_VIEWS
from r2i.core.prompts import load_prompt
from r2i.core.records import FAILED, OK, REJECTED, TRAIN
from r2i.core.tables import Row
from r2i.core.text import normalise
from r2i.importing.boxes import read_box
from r2i.importing.pictures import PictureFolder
from r2i.importing.questions import Problem, read_problem
from r2i.importing.records import read_text

if TYPE_CHECKING:
    from datasets import Features

IMAGE = "<image>"
NEEDED = (("images",), ("problem",), ("answer",))  # columns of a dataset
WANTED = ("images", "problem", "answer", "bbox", "status", "extra_info", "ability")
KEPT = frozenset({"", "ok", "valid", "valid vqa"})  # values of `status` that mean: train on it
MAX_ASPECT = 200  # longest side / shortest side that Qwen-VL's processor takes
GENERAL = "general"


def features() -> "Features":
    """Of the exported columns, for `datasets`."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    info = dict.fromkeys(("question", "dimension", "view", "row_id", "answer"), text)
    return Features({
        "images": List(Image()), "problem": text, "answer": text, "bbox": List(Value("float64")), "status": text,
        "data_source": text, "extra_info": info, "ability": text,
    })  # fmt: skip


def to_reference(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of r2i.core.records.TRAIN that is ok, in the reference's columns.

    `ability` and `data_source` are `general` for all: its reward grades `counting` by the distance of numbers, which
    letters are not, and `reason` by a judge of mathematics. The dimension stands in `extra_info`.
    """
    problem = IMAGE + row["prompt"]
    return {
        "images": [{"bytes": row["image"], "path": f"{row['row_id']}.jpg"}],
        "problem": problem,
        "answer": row["label"],
        "bbox": row["box"],
        "status": "valid vqa",
        "data_source": GENERAL,
        "extra_info": {"question": problem} | {name: row[name] for name in ("dimension", "view", "row_id", "answer")},
        "ability": GENERAL,
    }


def from_reference(values: Mapping[str, Any], pictures: PictureFolder, style: str, unit: BoxUnit) -> Row:
    """A row of TRAIN. One that can't be used says why: failed where its picture or box can't be read, else rejected.

    `pictures`: of the folder that the dataset lies in. `style`: whose instruction is added to a problem that
    does not ask for an `<answer>` span. `unit`: of the numbers in `bbox`.
    """
    answer = values.get("answer")
    problem = read_problem(read_text(values.get("problem")), read_text(answer))
    row = _empty(values, problem, style)
    status = read_text(values.get("status")).casefold()
    if status not in KEPT:
        return row | {"status": REJECTED, "reason": f"status_{'_'.join(normalise(status).split())}"}
    try:
        data = pictures.read(values.get("images"))
        row["image_id"] = sha256(data)
        image = read_image(data)
        if max(image.size) > MAX_ASPECT * min(image.size):
            return row | {"status": REJECTED, "reason": "extreme_aspect"}
        # a crop shows what is in the box: the box lies in an image that is not here
        sides = image.size if row["view"] != "crop" else (2**31 - 1, 2**31 - 1)
        box = read_box(values.get("bbox"), unit, *sides)
    except ImageError as error:
        return row | {"status": REJECTED if error.cause == "several_images" else FAILED, "reason": error.cause}
    if problem.reason:
        return row | {"status": REJECTED, "reason": problem.reason}
    row |= {"box": None if box is None else list(box), "image": stored_jpeg(data, image), "status": OK}
    return row | _ids(row)


def _empty(values: Mapping[str, Any], problem: Problem, style: str) -> Row:
    """All that can be told without the picture."""
    info = _info(values.get("extra_info"))
    view = info.get("view") if info.get("view") in TRAIN_VIEWS else ("boxed" if values.get("bbox") else "full")
    ability = read_text(values.get("ability"))
    row: Row = dict.fromkeys(TRAIN.names)
    return row | {
        "image_id": "",
        "view": view,
        "question": problem.question,
        "options": problem.options,
        "answer": problem.answer,
        "label": problem.label,
        "prompt": ask(problem.text, style),
        "dimension": read_text(info.get("dimension")) or ("" if ability == GENERAL else ability),
        "distractor_calls": [],
        "try_calls": [],
        "reason": "",
    }


def ask(text: str, style: str) -> str:
    """`text`, with the style's instruction to write an answer span where it has none. Raises ParamsError."""
    instruction = load_prompt("tools/exchange", "answer", style).text
    return text if "<answer>" in text or not instruction else f"{text}\n{instruction}"


def _ids(row: Row) -> Row:
    """Of the picture and the problem alone: the same row has the same ids wherever it lies."""
    question_id = make_id(row["image_id"], row["prompt"])
    return {
        "question_id": question_id,
        "region_id": make_id(row["image_id"], row["box"]),
        "row_id": make_id(question_id, row["view"]),
    }


def _info(value: Any) -> Mapping[str, Any]:
    """A struct, or JSON text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}
