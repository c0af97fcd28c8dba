"""ColorBench (umd-zhou-lab/ColorBench; arXiv 2504.10514): perception, reasoning and robustness of colour.

Parquet: `idx`, `id`, `type`, `task`, `filename`, `image`, `prompt`, `question`, `choices`, `answer` ("(A)"),
`image_url`. Some published rows name an answer beyond their choices: they fail as `no_gold_option`.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft
from r2i.importing.files import Record
from r2i.importing.options import lettered, list_of, plain_question, relabel, text_of

NEEDED = (("image", "filename"), ("question",), ("choices",), ("answer",))
PUBLISHED = ({"rows": 5814, "multiple_choice": 5814, "open": 0},)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is the task."""
    by_letter = lettered(list_of(record.get("choices")))
    answer = text_of(record.get("answer"))
    yield Draft(
        image=record.get("image", "filename"),
        folder=record.folder,
        question=plain_question(text_of(record.get("question"))),
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, answer),
        dimension=text_of(record.get("task", "type")),
    )
