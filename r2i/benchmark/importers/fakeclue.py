"""FakeClue (lingcco/FakeClue), its test set: is a picture real or generated?

JSON: `image` (a path), `label` (1 real, 0 fake), `cate`, `conversations`, of which the first is the question.
"""

from collections.abc import Iterator, Mapping

from r2i.benchmark.rows import Draft
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import strip_tags
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image",), ("label",), ("conversations",))
OPTIONS = ["real", "fake"]
LABELS = {"1": "A", "0": "B"}


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is the category."""
    asked = next(iter(read_list(record.get("conversations"))), None)
    label = LABELS.get(read_text(record.get("label")), "")
    yield Draft(
        image=record.get("image"),
        folder=record.folder,
        question=strip_tags(read_text(asked.get("value") if isinstance(asked, Mapping) else None)),
        answer=label,
        options=list(OPTIONS),
        label=label,
        dimension=read_text(record.get("cate")),
        fault="" if label else "no_gold_option",
    )
