"""Train rows as the datasets that TRL reads."""

from typing import Any

from datasets import Dataset, Features, Image, List, Value

from r2i.core.choices import mcq_reply
from r2i.core.ids import unit_of
from r2i.core.tables import Row


def _message(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def in_training_order(rows: list[Row], seed: int) -> list[Row]:
    """A shuffle that depends on ids and the seed alone."""
    return sorted(rows, key=lambda row: unit_of(seed, "train order", row["row_id"]))


def rl_dataset(rows: list[Row]) -> Dataset:
    """One row a prompt: `prompt` (conversation), `images`, `row_id`, and the columns that rewards read: `label`,
    `options`, `question`, `answer`."""
    message = [{"role": Value("string"), "content": Value("string")}]
    features = Features(
        {
            "prompt": message,
            "images": List(Image()),
            "label": Value("string"),
            "options": List(Value("string")),
            "question": Value("string"),
            "answer": Value("string"),
            "row_id": Value("string"),
        }
    )
    records: list[dict[str, Any]] = [
        {
            "prompt": _message(row["prompt"]),
            "images": [{"bytes": row["image"], "path": None}],
            "label": row["label"],
            "options": row["options"],
            "question": row["question"],
            "answer": row["answer"],
            "row_id": row["row_id"],
        }
        for row in rows
    ]
    return Dataset.from_list(records, features=features)


def sft_dataset(rows: list[Row], style: str) -> Dataset:
    """Columns `prompt`, `completion` (conversations) and `images`, for the supervised control."""
    message = [{"role": Value("string"), "content": Value("string")}]
    features = Features({"prompt": message, "completion": message, "images": List(Image())})
    records = [
        {
            "prompt": _message(row["prompt"]),
            "completion": [{"role": "assistant", "content": mcq_reply(row["answer"], row["label"], style)}],
            "images": [{"bytes": row["image"], "path": None}],
        }
        for row in rows
    ]
    return Dataset.from_list(records, features=features)
