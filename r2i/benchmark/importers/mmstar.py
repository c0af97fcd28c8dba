"""MMStar (Lin-Chen/MMStar; arXiv 2403.20330): 1,500 items in six categories.

Parquet: `index`, `question` with the options in it ("Options: A: ..., B: ..."), `image` (bytes), `answer`
(a letter), `category`, `l2_category`, `meta_info`. TSV: the same with base64; options in columns are read too.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft
from r2i.importing.files import Record
from r2i.importing.options import letter_columns, plain_question, relabel, split_options, text_of

NEEDED = (("image",), ("question",), ("answer",))
PUBLISHED = ({"rows": 1500, "multiple_choice": 1500, "open": 0},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; without options that can be read it fails, since its answer is a letter."""
    by_letter = letter_columns(record.values)
    question, answer = plain_question(text_of(record.get("question"))), text_of(record.get("answer"))
    if not by_letter:
        question, options = split_options(question)
        by_letter = dict(zip("ABCDEFGHIJ", options, strict=False))
    yield Draft(
        image=record.get("image"),
        folder=record.folder,
        question=question,
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, answer),
        dimension=text_of(record.get("category")),
        fault="" if by_letter else "no_options",
    )
