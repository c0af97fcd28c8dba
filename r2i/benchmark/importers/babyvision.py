"""BabyVision (UnipatAI/BabyVision; arXiv 2601.06521): what small children see, 388 questions.

Parquet, or `meta_data.jsonl` beside its pictures: `taskId`, `type`, `subtype`, `image`, `question`, `ansType` (choice,
blank), `options`, `choiceAns` (place of the right one, from 0), `blankAns`.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft
from r2i.core.choices import LETTERS
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import read_choices, strip_tags
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image",), ("question",), ("ansType",), ("choiceAns",), ("blankAns",))
PUBLISHED = ({"rows": 388, "multiple_choice": 135, "open": 253},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is type and subtype."""
    kind = read_text(record.get("ansType"))
    published = read_list(record.get("options")) if kind == "choice" else []
    options, place = list(read_choices(published).values()), read_text(record.get("choiceAns"))
    whole = len(options) == len(published)  # where one is left out, the place is another one's
    known = whole and place.isdecimal() and int(place) < min(len(options), len(LETTERS))
    label = LETTERS[int(place)] if known else ""
    yield Draft(
        image=record.get("image"),
        folder=record.folder,
        question=strip_tags(read_text(record.get("question"))),
        answer=label if kind == "choice" else read_text(record.get("blankAns")),
        options=options,
        label=label,
        dimension="/".join(filter(None, (read_text(record.get(name)) for name in ("type", "subtype")))),
        fault=_fault(kind, options, label),
    )


def _fault(kind: str, options: list[str], label: str) -> str:
    if kind not in ("choice", "blank"):
        return "bad_value"
    if kind == "choice" and not options:
        return "no_options"
    return "no_gold_option" if kind == "choice" and not label else ""
