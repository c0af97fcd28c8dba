"""MATH-Vision (MathLLMs/MathVision): 3,040 competition problems with a figure.

Parquet: `id`, `question` (with marks such as <image1>), `options` (none where the question is open; often bare letters
that the figure explains), `image` (a path), `decoded_image`, `answer` (a letter where there are options), `solution`,
`level`, `subject`.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("decoded_image", "image"), ("question",), ("options",), ("answer",))


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is the subject."""
    options = [read_text(option) for option in read_list(record.get("options"))]
    yield draft_choice(
        record,
        record.get("question"),
        dict(zip(ascii_uppercase, options, strict=False)),
        record.get("answer"),
        image=record.get("decoded_image", "image"),
        dimension=read_text(record.get("subject")),
    )
