"""HR-Bench 4K and 8K (DreamMr/HR-Bench; arXiv 2408.15556): 200 questions, each with its options in four orders.

TSV or Parquet: `index`, `question`, `answer` (a letter), `category` (single, cross), `A` ... `D`,
`cycle_category`, `image` (base64). The four rows of a question stay four items and share their cluster: they
show the same image, and so do other questions on it.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft
from r2i.importing.files import Record
from r2i.importing.options import letter_columns, plain_question, relabel, text_of

NEEDED = (("image",), ("question",), ("answer",), ("A",), ("B",))
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in (800, 1600))  # 1600: both sizes


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One order of one question."""
    by_letter = letter_columns(record.values)
    answer = text_of(record.get("answer"))
    yield Draft(
        image=record.get("image"),
        folder=record.folder,
        question=plain_question(text_of(record.get("question"))),
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, answer),
        dimension=text_of(record.get("category")),
    )
