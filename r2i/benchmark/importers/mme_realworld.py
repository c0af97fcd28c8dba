"""MME-RealWorld, English, Chinese and Lite (yifanzhang114/MME-RealWorld; arXiv 2408.13257).

JSON: `Question_id`, `Image`, `Text`, `Answer choices` ("(A) ..."), `Ground truth` (a letter), `Category`,
`Subtask`, `Task`; images in one folder. Or the Parquet made for lmms-eval: `index`, `bytes` (base64), `question`,
`multi-choice options`, `answer`, `category` ("Perception/..."), `l2-category`.
A folder that holds both languages is read whole: name the file.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft, draft_choice
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import read_choices
from r2i.importing.records import Record, read_list, read_text

NEEDED = (
    ("Image", "bytes", "image"), ("Text", "question"), ("Answer choices", "multi-choice options"),
    ("Ground truth", "answer"),
)  # fmt: skip
_ROWS = (23609, 5917, 1919)  # English, Chinese, Lite
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in _ROWS)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is task and subtask, "Perception/Remote Sensing"."""
    tasks = [read_text(record.get(name)) for name in ("Task", "Subtask")]
    yield draft_choice(
        record,
        record.get("Text", "question"),
        read_choices(read_list(record.get("Answer choices", "multi-choice options"))),
        record.get("Ground truth", "answer"),
        image=record.get("Image", "bytes", "image"),
        dimension="/".join(filter(None, tasks)) or read_text(record.get("category")),
    )
