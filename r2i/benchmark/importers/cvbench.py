"""CV-Bench 2D and 3D (nyu-visionx/CV-Bench; arXiv 2406.16860): counts, relations, depth order, distance.

Parquet: `idx`, `type` (2D, 3D), `task`, `image`, `question`, `choices`, `answer` ("(A)"), `prompt`, `filename`,
`source`, `bbox` (3D only). The publisher's accuracy is the mean of 2D (itself the mean of ADE20K and COCO) and 3D;
`dimension` is type and task, so that both can be computed.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.boxes import NO_BOX, read_boxes
from r2i.importing.questions import read_choices
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image", "filename"), ("question",), ("choices",), ("answer",))
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in (2638, 1438, 1200))  # all, 2D, 3D


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item. The boxes are those of the objects that a 3D question names; their region holds them all."""
    boxes = read_boxes(record.get("bbox"))
    yield draft_choice(
        record,
        record.get("question"),
        read_choices(read_list(record.get("choices"))),
        record.get("answer"),
        image=record.get("image", "filename"),
        dimension=" ".join(filter(None, (read_text(record.get("type")), read_text(record.get("task"))))),
        boxes=[] if NO_BOX in boxes else boxes,  # of another form than boxes: the item needs none
        box_form=source.box_form,
        box_unit=source.box_unit,
        prompt=record.get("prompt"),
    )
