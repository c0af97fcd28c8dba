"""Rows for self-distillation with a privileged crop: what the student sees, and beside it what its teacher sees.

`swift`: ms-swift's columns (`images`, `teacher_images`, `teacher_prompt`); `vision-opd`: those of Vision-OPD's trainer,
which is made on verl (`images`, `bbox_images`). A row that shows the crop has nothing to distil, and is left out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from r2i.core.crops import choose_rows, crop_of, prompt_of_crop
from r2i.core.params import Cut
from r2i.core.records import OK, TRAIN
from r2i.core.tables import Row
from r2i.endpoint.pictures import read_pictures
from r2i.tools.exchange.reference import GENERAL, IMAGE

if TYPE_CHECKING:
    from datasets import Features

READ = (
    "row_id", "question_id", "view", "image", "box", "answer", "label", "prompt", "question", "dimension", "status",
    "reason",
)  # fmt: skip
Crops = Callable[[Mapping[str, Any]], bytes | None]
START = {
    "swift": (
        "swift rlhf --rlhf_type gkd --model MODEL --tuner_type full --dataset {files} --lmbda 1 --beta 0.5 "
        "--gkd_logits_topk 100 --max_completion_length 1024 --learning_rate 2e-6 --use_vllm true --vllm_mode colocate"
    ),
    "vision-opd": "MODEL_PATH=MODEL bash scripts/run_vision_opd.sh data.train_files={listed}",
}
"""What trains on the rows, in an environment of that trainer. MODEL: folder or hub id of the student."""


def find_crops(parts: Sequence[Path], cut: Cut) -> Crops:
    """Gives the crop of a row's question as JPEG bytes; None where there is none. Pictures are read when asked for."""
    best = choose_rows(row for path in parts for row in _ok_rows(path))
    ids = [row["row_id"] for row in best.values()]
    shown = read_pictures(parts[0].parent, TRAIN, "overlay", "image", ids)

    def crop(row: Mapping[str, Any]) -> bytes | None:
        source = best[row["question_id"]]
        return crop_of(source["view"], shown[source["row_id"]].load(), source["box"], cut)

    return crop


def _ok_rows(path: Path) -> Iterator[Row]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["row_id", "question_id", "view", "box", "status"]):
            yield from (row for row in batch.to_pylist() if row["status"] == OK)


def swift_features() -> "Features":
    from datasets import Features, Image, List, Value

    text = Value("string")
    message = [{"role": text, "content": text}]
    return Features({
        "messages": message, "images": List(Image()), "teacher_prompt": text, "teacher_images": List(Image()),
        "row_id": text,
    })  # fmt: skip


def to_swift(row: Row, crop: bytes, style: str) -> Row:
    """`teacher_prompt`: the same question, without the sentence about its box."""
    return {
        "messages": [{"role": "user", "content": IMAGE + row["prompt"]}],
        "images": [{"bytes": row["image"], "path": f"{row['row_id']}.jpg"}],
        "teacher_prompt": IMAGE + prompt_of_crop(row, style),
        "teacher_images": [{"bytes": crop, "path": f"{row['row_id']}-crop.jpg"}],
        "row_id": row["row_id"],
    }


def vision_opd_features() -> "Features":
    from datasets import Features, Image, List, Value

    text = Value("string")
    return Features({
        "data_source": text, "prompt": [{"role": text, "content": text}], "images": List(Image()),
        "bbox_images": List(Image()), "ability": text, "reward_model": {"style": text, "ground_truth": text},
        "extra_info": {"question": text, "answer": text, "dimension": text, "row_id": text},
    })  # fmt: skip


def to_vision_opd(row: Row, crop: bytes, style: str) -> Row:
    """One prompt for both: its trainer swaps the pictures alone, so the sentence about the box is left out. No
    reward is computed (style `none`)."""
    prompt = prompt_of_crop(row, style)
    return {
        "data_source": GENERAL,
        "prompt": [{"role": "user", "content": IMAGE + prompt}],
        "images": [{"bytes": row["image"], "path": f"{row['row_id']}.jpg"}],
        "bbox_images": [{"bytes": crop, "path": f"{row['row_id']}-crop.jpg"}],
        "ability": GENERAL,
        "reward_model": {"style": "none", "ground_truth": row["label"] or row["answer"]},
        "extra_info": {name: row[name] for name in ("question", "answer", "dimension", "row_id")},
    }


FORMS: dict[str, tuple[Callable[[], "Features"], Callable[[Row, bytes, str], Row]]] = {
    "swift": (swift_features, to_swift),
    "vision-opd": (vision_opd_features, to_vision_opd),
}


def command(form: str, folder: Path) -> str:
    """What starts the training on the exported files, in that trainer's own environment; "" of other forms."""
    files = sorted(folder.glob("train-*.parquet"))
    if form not in START or not files:
        return ""
    listed = "[" + ",".join(f'"{file}"' for file in files) + "]"
    return START[form].format(files=" ".join(map(str, files)), listed=f"'{listed}'")
