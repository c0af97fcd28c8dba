"""CV-Bench 2D and 3D (nyu-visionx/CV-Bench; arXiv 2406.16860): counts, relations, depth order, distance.

Parquet: `idx`, `type` (2D, 3D), `task`, `image`, `question`, `choices`, `answer` ("(A)"), `prompt`, `filename`,
`source`, `bbox` (3D only). The publisher's accuracy is the mean of 2D (itself the mean of ADE20K and COCO) and 3D;
`dimension` is type and task, so that both can be computed.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import NO_BOX, Draft, boxes_of
from r2i.importing.files import Record
from r2i.importing.options import lettered, list_of, plain_question, relabel, text_of

NEEDED = (("image", "filename"), ("question",), ("choices",), ("answer",))
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in (2638, 1438, 1200))  # all, 2D, 3D


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item. The boxes are those of the objects that a 3D question names; their region holds them all."""
    by_letter = lettered(list_of(record.get("choices")))
    answer = text_of(record.get("answer"))
    boxes = boxes_of(record.get("bbox"))
    yield Draft(
        image=record.get("image", "filename"),
        folder=record.folder,
        question=plain_question(text_of(record.get("question"))),
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, answer),
        dimension=" ".join(filter(None, (text_of(record.get("type")), text_of(record.get("task"))))),
        boxes=[] if NO_BOX in boxes else boxes,  # of another form than boxes: the item needs none
        box_form=source.box_form,
        box_unit=source.box_unit,
    )
