"""The reference's columns and, beside them, where each row came from: what `r2i export hf` writes."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from r2i.core.choices import mcq_prompt
from r2i.core.tables import Row
from r2i.tools.exchange import reference
from r2i.tools.exchange.export import READ, Columns

if TYPE_CHECKING:
    from datasets import Features

ROW = ("row_id", "question_id", "region_id", "image_id", "view", "dimension", "question")
ITEM = ("item_id", "image_id", "dimension", "question", "source")


def train_columns(pools: Mapping[str, str]) -> Columns:
    """Of train rows. `pools`: name of the pool by image_id."""

    def convert(row: Row) -> dict[str, Any]:
        own = {name: row[name] for name in (*ROW, "options", "agree", "right", "tries")}
        return reference.to_reference(row) | own | {"answer_text": row["answer"], "pool": pools.get(row["image_id"])}

    read = (*READ, "question_id", "region_id", "image_id", "question", "options", "agree", "right", "tries")
    return Columns(_train_features, convert, read)


def _train_features() -> "Features":
    from datasets import Features, List, Value

    text, count = Value("string"), Value("int32")
    own = dict.fromkeys((*ROW, "answer_text", "pool"), text) | dict.fromkeys(("agree", "right", "tries"), count)
    return Features({**reference.features(), **own, "options": List(text)})


def benchmark_columns(style: str) -> Columns:
    """Of benchmark items, as the student is asked: `style` of its prompt."""
    read = (*ITEM, "image", "crop", "box", "options", "answer", "label", "status", "reason")
    return Columns(_benchmark_features, _to_item(style), read, "test")


def _to_item(style: str) -> Callable[[Row], dict[str, Any]]:
    def convert(row: Row) -> dict[str, Any]:
        asked = mcq_prompt(row["question"], row["options"], style) if row["options"] else row["question"]
        crop = {"bytes": row["crop"], "path": f"{row['item_id']}-crop.jpg"} if row["crop"] else None
        return {name: row[name] for name in (*ITEM, "options")} | {
            "images": [{"bytes": row["image"], "path": f"{row['item_id']}.jpg"}],
            "crop": crop,
            "problem": reference.IMAGE + asked,
            "answer": row["label"] or row["answer"],
            "answer_text": row["answer"],
            "bbox": row["box"],
        }

    return convert


def _benchmark_features() -> "Features":
    from datasets import Features, Image, List, Value

    text = Value("string")
    first = {"images": List(Image()), "problem": text, "answer": text, "bbox": List(Value("float64"))}
    return Features({**first, "crop": Image(), **dict.fromkeys((*ITEM, "answer_text"), text), "options": List(text)})
