"""V*Bench (craigwu/vstar_bench; arXiv 2312.14135): 115 direct attributes, 76 relative positions.

Three published forms: folders of an image and a JSON of the same name (`target_object`, `bbox`: [left, top,
width, height] in pixels for each target, `question`, `options` with the right one first); `test_questions.jsonl`
beside them (`image`, `text` with options in it, `category`, `label`, `question_id`); and Parquet of the latter
(lmms-lab/vstar-bench). The options' order is that of `test_questions.jsonl` where it is there, since that is the
one that others report on; the boxes come from the folders.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from r2i.benchmark.rows import Draft
from r2i.core.params import BenchmarkSource
from r2i.importing.boxes import read_boxes
from r2i.importing.pictures import find_file
from r2i.importing.questions import read_choices, read_letter, relabel, split_options
from r2i.importing.records import TORN, Record, read_list, read_records, read_text

FOLDERS = ("direct_attributes", "relative_position")
QUESTIONS = "test_questions.jsonl"
NEEDED = (("image",), ("text", "question"))
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in (191, 115, 76))
FIRST_IS_RIGHT = "first option is right"  # a value of the records of folders alone
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".JPG", ".JPEG", ".PNG")


def records(path: Path) -> Iterator[Record]:
    """Of a folder: its `test_questions.jsonl`, else its two folders, else whatever other form is there."""
    if (path / QUESTIONS).is_file():
        return read_records(path / QUESTIONS, NEEDED)
    folders = [path / name for name in FOLDERS if (path / name).is_dir()]
    if not folders and path.name in FOLDERS:
        folders = [path]
    return _annotations(folders) if folders else read_records(path, NEEDED)


def _annotations(folders: list[Path]) -> Iterator[Record]:
    files = [file for folder in folders for file in sorted(folder.glob("*.json")) if not file.name.startswith(".")]
    for number, file in enumerate(files):
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError):
            values = None
        if not isinstance(values, dict):
            yield Record({}, file, number, TORN)
            continue
        pictures = {name.stat().st_ino: name for end in PICTURES if (name := file.with_suffix(end)).is_file()}
        if len(pictures) > 1:
            yield Record({}, file, number, "ambiguous_image")
            continue
        picture = next(iter(pictures.values())).name if pictures else None
        yield Record({"image": picture, "category": file.parent.name, **values, FIRST_IS_RIGHT: True}, file, number)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item. The region is what holds all targets. Only of the folders' JSON the first option is the right one."""
    image, boxes = record.get("image"), record.get("bbox")
    right_first, label = FIRST_IS_RIGHT in record.values, read_text(record.get("label", "answer"))
    if text := read_text(record.get("text")):
        question, options = split_options(text)
        boxes = boxes or _boxes_beside(image, record.folder)
    else:
        question = read_text(record.get("question"))
        by_letter = read_choices(read_list(record.get("options", "choices")))
        options, label = list(by_letter.values()), "" if right_first else relabel(by_letter, label) or label
    yield Draft(
        image=image,
        folder=record.folder,
        question=question,
        answer=options[0] if right_first and options else label,
        options=options,
        label="A" if right_first else read_letter(label),
        dimension=read_text(record.get("category")),
        boxes=read_boxes(boxes),
        box_form="xywh",
        shuffle=right_first,
        fault="" if options else "no_options",
        prompt=record.get("text"),
    )


def _boxes_beside(image: object, folder: Path) -> object:
    """The boxes in the JSON beside the image that a question names."""
    name = image.get("path") if isinstance(image, dict) else image
    picture = find_file(name, folder) if isinstance(name, str) else None
    if not picture or not picture.with_suffix(".json").is_file():
        return None
    try:
        return json.loads(picture.with_suffix(".json").read_text(encoding="utf-8")).get("bbox")
    except (ValueError, OSError, AttributeError, RecursionError):
        return None
