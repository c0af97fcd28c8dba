"""ColorBench (umd-zhou-lab/ColorBench; arXiv 2504.10514): perception, reasoning and robustness of colour.

Parquet: `idx`, `id`, `type`, `task`, `filename`, `image`, `prompt`, `question`, `choices`, `answer` ("(A)"),
`image_url`. Some published rows name an answer beyond their choices: they fail as `no_gold_option`.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import read_choices
from r2i.importing.records import Record, read_list, read_text

NEEDED = (("image", "filename"), ("question",), ("choices",), ("answer",))
PUBLISHED = ({"rows": 5814, "multiple_choice": 5814, "open": 0},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is the task."""
    yield draft_choice(
        record,
        record.get("question"),
        read_choices(read_list(record.get("choices"))),
        record.get("answer"),
        image=record.get("image", "filename"),
        dimension=read_text(record.get("task", "type")),
    )
