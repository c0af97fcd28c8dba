"""MME-RealWorld, English, Chinese and Lite (yifanzhang114/MME-RealWorld; arXiv 2408.13257).

JSON: `Question_id`, `Image`, `Text`, `Answer choices` ("(A) ..."), `Ground truth` (a letter), `Category`,
`Subtask`, `Task`; images in one folder. Or the Parquet made for lmms-eval: `index`, `bytes` (base64), `question`,
`multi-choice options`, `answer`, `category` ("Perception/..."), `l2-category`.
A folder that holds both languages is read whole: name the file.
"""

from collections.abc import Iterator

from r2i.core.params import BenchmarkSource
from r2i.importing.draft import Draft
from r2i.importing.files import Record
from r2i.importing.options import lettered, list_of, plain_question, relabel, text_of

NEEDED = (
    ("Image", "bytes", "image"), ("Text", "question"), ("Answer choices", "multi-choice options"),
    ("Ground truth", "answer"),
)  # fmt: skip
_ROWS = (23609, 5917, 1919)  # English, Chinese, Lite
PUBLISHED = tuple({"rows": rows, "multiple_choice": rows, "open": 0} for rows in _ROWS)


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item; its dimension is task and subtask, "Perception/Remote Sensing"."""
    by_letter = lettered(list_of(record.get("Answer choices", "multi-choice options")))
    answer = text_of(record.get("Ground truth", "answer"))
    tasks = [text_of(record.get(name)) for name in ("Task", "Subtask")]
    yield Draft(
        image=record.get("Image", "bytes", "image"),
        folder=record.folder,
        question=plain_question(text_of(record.get("Text", "question"))),
        answer=answer,
        options=list(by_letter.values()),
        label=relabel(by_letter, answer),
        dimension="/".join(filter(None, tasks)) or text_of(record.get("category")),
    )
