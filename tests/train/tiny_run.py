"""Trainings of a tiny student, in process."""

from pathlib import Path
from typing import Any

from PIL import Image

from r2i.core.images import jpeg_bytes
from r2i.core.params import DapoAttention, load_params
from r2i.core.records import OK, TRAIN
from r2i.core.tables import write_table

SMOKE = load_params(Path(__file__).parents[2] / "params.yaml").profiles["smoke"]
LOOKING = DapoAttention.model_validate({**SMOKE.train.dapo.model_dump(), "attention_weight": 0.1})
SECTIONS = {"dapo": SMOKE.train.dapo, "sft": SMOKE.train.sft, "opd": SMOKE.train.opd, "dapo_attention": LOOKING}
OPTIONS = ["red", "blue", "green", "pink"]


def train_rows(count: int) -> list[dict]:
    colors = ["red", "blue", "green", "pink"]
    return [
        {
            "row_id": f"row{i:03}",
            "question_id": f"question{i:03}",
            "view": "full",
            "box": [32, 32, 64, 64],
            "image_id": f"image{i:03}",
            "image": jpeg_bytes(Image.new("RGB", (128, 128), colors[i % 4])),
            "prompt": "what color is the dot on the red square?\nA. red\nB. blue\nC. green\nD. pink\nchoose",
            "options": OPTIONS,
            "answer": colors[i % 4],
            "label": "ABCD"[i % 4],
            "question": "what color is the dot on the red square?",
            "status": OK,
            "reason": "",
        }
        for i in range(count)
    ]


def run(base: Path, folder: Path, name: str, rows: int | list[dict] = 8, steps: int = 2, **changes: Any) -> dict:
    """A training of `steps`, a checkpoint after each. `changes`: params of the objective, and `train`: others."""
    from r2i.train.run import train_run

    table = folder / "table"
    nothing = dict.fromkeys(TRAIN.names)
    write_table(table, [{**nothing, **row} for row in (train_rows(rows) if isinstance(rows, int) else rows)], TRAIN)
    others = changes.pop("train", {})
    number = "max_steps" if name.startswith("dapo") else "steps"
    section = SECTIONS.get(name)
    update = {name: section.model_copy(update={number: steps, **changes})} if section else {}
    fixed = {"base": str(base), "threads": 1, "save_every": 1}
    train = SMOKE.train.model_copy(update=fixed | update | others)
    return train_run(name, train, "mini", table, 0, folder / f"{name}.json", folder / name)


MODEL_FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")


def same_model(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in MODEL_FILES)
