"""ZoomBench (inclusionAI/ZoomBench; arXiv 2602.11858): 845 items, full and crop view.

Parquet with `image`, `crop_image`, and the prompt and answer as `query`, `response` (the released file) or
`prompt`, `answer` (its card); where they are there also `bbox`, [left, top, right, bottom] in pixels unless params
say other, and a dimension. `question_type` may hold the form (MCQ or not) or the dimension. Options stand in the
prompt.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.boxes import read_boxes
from r2i.importing.questions import is_ambiguous, read_choices, read_letter, split_options
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image", "images"), ("query", "prompt", "question"), ("response", "answer"))
PUBLISHED = ({"rows": 845, "multiple_choice": 621, "open": 224},)
FORMS = {"mcq", "oq", "open", "openquestion", "multiplechoice", "qa", "vqa", "freeform"}


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; an answer that is a letter of the prompt's options is multiple choice, all others are open.

    Where nobody can say what the options are (`ambiguous_options`), a letter is no open answer.
    """
    prompt, answer = read_text(record.get("query", "prompt", "question")), read_text(record.get("response", "answer"))
    published = read_choices(read_list(record.get("options", "choices")))
    question, options = split_options(prompt, inline=bool(read_letter(answer)))
    asked = record.get("query", "prompt", "question")
    if published and options != list(published.values()):  # what the prompt lists is something else
        asked = None if options or not all(text in prompt for text in published.values()) else asked
        question, options = prompt, []
    certain = published or options or not is_ambiguous(prompt, answer)
    yield draft_choice(
        record,
        question,
        published or dict(zip(ascii_uppercase, options, strict=False)),
        answer,
        image=record.get("image", "images"),
        dimension=_dimension(record),
        boxes=read_boxes(record.get("bbox", "box")),
        box_form=source.box_form,
        box_unit=source.box_unit,
        crop=record.get("crop_image", "crop_images"),
        fault="" if certain else "ambiguous_options",
        prompt=asked,
    )


def _dimension(record: Record) -> str:
    names = [read_text(record.get(name)) for name in ("dimension", "category", "sub_task", "question_type")]
    return next((name for name in names if name and "".join(filter(str.isalpha, name.lower())) not in FORMS), "")
