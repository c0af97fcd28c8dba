"""EasyR1's columns (`data.image_key: images`, `prompt_key: problem`, `answer_key: answer`)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from r2i.tools.exchange.reference import IMAGE

if TYPE_CHECKING:
    from datasets import Features


def features() -> "Features":
    """Of the exported columns, for `datasets`."""
    from datasets import Features, Image, List, Value

    return Features({"images": List(Image()), "problem": Value("string"), "answer": Value("string")})


def to_easyr1(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of records.TRAIN that is ok. The picture goes where `problem` says `<image>`; `answer` is the letter
    of the right option, or the right answer's text."""
    return {
        "images": [{"bytes": row["image"], "path": f"{row['row_id']}.jpg"}],
        "problem": IMAGE + row["prompt"],
        "answer": row["label"],
    }
