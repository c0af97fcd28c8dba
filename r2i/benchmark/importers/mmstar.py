"""MMStar (Lin-Chen/MMStar; arXiv 2403.20330): 1,500 items in six categories.

Parquet: `index`, `question` with the options in it ("Options: A: ..., B: ..."), `image` (bytes), `answer`
(a letter), `category`, `l2_category`, `meta_info`. TSV: the same with base64; options in columns are read too.
"""

from collections.abc import Iterator
from string import ascii_uppercase

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import read_letter_columns, split_options
from r2i.importing.records import Record, read_text

NEEDED = (("image",), ("question",), ("answer",))
PUBLISHED = ({"rows": 1500, "multiple_choice": 1500, "open": 0},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; without options that can be read it fails, since its answer is a letter."""
    by_letter, question = read_letter_columns(record.values), read_text(record.get("question"))
    prompt = None if by_letter else record.get("question")
    if not by_letter:
        question, options = split_options(question)
        by_letter = dict(zip(ascii_uppercase, options, strict=False))
    yield draft_choice(
        record,
        question,
        by_letter,
        record.get("answer"),
        image=record.get("image"),
        dimension=read_text(record.get("category")),
        fault="" if by_letter else "no_options",
        prompt=prompt,
    )
