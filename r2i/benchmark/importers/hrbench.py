"""HR-Bench 4K and 8K (DreamMr/HR-Bench; arXiv 2408.15556): 200 questions, each with its options in four orders.

TSV or Parquet: `index`, `question`, `answer` (a letter), `category` (single, cross), `A` ... `D`,
`cycle_category`, `image` (base64). The four rows of a question stay four items and share their cluster: they
show the same image, and so do other questions on it.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import read_letter_columns
from r2i.importing.records import Record, read_text

NEEDED = (("image",), ("question",), ("answer",), ("A",), ("B",))
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in (800, 1600))  # 1600: both sizes


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One order of one question."""
    yield draft_choice(
        record,
        record.get("question"),
        read_letter_columns(record.values),
        record.get("answer"),
        image=record.get("image"),
        dimension=read_text(record.get("category")),
    )
