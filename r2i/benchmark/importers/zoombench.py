"""ZoomBench (inclusionAI/ZoomBench; arXiv 2602.11858): 845 items, full and crop view.

Parquet with `image`, `crop_image`, and the prompt and answer as `query`, `response` (the released file) or
`prompt`, `answer` (its card); where they are there also `bbox` [left, top, right, bottom] in pixels and a
dimension. `question_type` may hold the form (MCQ or not) or the dimension. Options stand in the prompt.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft, boxes_of
from r2i.importing.files import Record
from r2i.importing.options import lettered, list_of, split_options, text_of

NEEDED = (("image", "images"), ("query", "prompt", "question"), ("response", "answer"))
PUBLISHED = ({"rows": 845, "multiple_choice": 621, "open": 224},)
FORMS = {"mcq", "oq", "open", "openquestion", "multiplechoice", "qa", "vqa", "freeform"}


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; an answer that is a letter of the prompt's options is multiple choice, all others are open."""
    question, options = split_options(text_of(record.get("query", "prompt", "question")))
    if found := list(lettered(list_of(record.get("options", "choices"))).values()):
        options = found
    yield Draft(
        image=record.get("image", "images"),
        folder=record.folder,
        question=question,
        answer=text_of(record.get("response", "answer")),
        options=options,
        dimension=_dimension(record),
        boxes=boxes_of(record.get("bbox", "box")),
        crop=record.get("crop_image", "crop_images"),
    )


def _dimension(record: Record) -> str:
    names = [text_of(record.get(name)) for name in ("dimension", "category", "sub_task", "question_type")]
    return next((name for name in names if name and "".join(filter(str.isalpha, name.lower())) not in FORMS), "")
