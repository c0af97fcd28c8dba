"""HallusionBench with pictures (lmms-lab/HallusionBench, split `image`; arXiv 2310.14566): yes or no, 951 questions.

Parquet: `category`, `subcategory`, `visual_input`, `set_id`, `figure_id`, `question_id`, `question`, `gt_answer` ("1"
is yes, "0" no), `filename`, `image`. A set asks the same questions about a figure and about edited copies of it, so it
is one cluster. Questions without a picture (split `non_image`) fail as `no_image`.
"""

from collections.abc import Iterator

from r2i.benchmark.rows import Draft
from r2i.core.params import BenchmarkSource
from r2i.importing.questions import strip_tags
from r2i.importing.records import Record, read_text

NEEDED = (("image",), ("question",), ("gt_answer",), ("set_id",))
PUBLISHED = ({"rows": 951, "multiple_choice": 951, "open": 0},)
OPTIONS = ["Yes", "No"]
LABELS = {"1": "A", "0": "B"}


def drafts(record: Record, source: BenchmarkSource) -> Iterator[Draft]:
    """One item."""
    names = [read_text(record.get(name)) for name in ("category", "subcategory")]
    label = LABELS.get(read_text(record.get("gt_answer")), "")
    yield Draft(
        image=record.get("image"),
        folder=record.folder,
        question=strip_tags(read_text(record.get("question"))),
        answer=label,
        options=list(OPTIONS),
        label=label,
        dimension="/".join(filter(None, names)),
        fault="" if label else "no_gold_option",
        given={"cluster_id": "hallusionbench " + "/".join([*names, read_text(record.get("set_id"))])},
    )
