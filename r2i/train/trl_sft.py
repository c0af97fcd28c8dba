"""The control: supervised fine-tuning on the rows that DAPO trains on, through TRL's SFTTrainer.

Same rows, same number of optimizer steps and prompts a step; the target is the voted answer and
its letter. The loss counts the reply's tokens only.
"""

from pathlib import Path
from typing import Any

from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from r2i.ids import seed_of
from r2i.params import Sft
from r2i.tables import Row
from r2i.train.log import JsonLog, Say, trl_defaults
from r2i.train.rows import in_training_order, sft_dataset

KEYS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
}


def train_sft(
    model: Any,
    processor: Any,
    rows: list[Row],
    sft: Sft,
    style: str,
    seed: int,
    log: Path,
    scratch: Path,
    say: Say,
) -> dict[str, Any]:
    """Train `model` in place on `rows` (records.TRAIN, ok only). Returns a summary for metrics."""
    config = SFTConfig(
        output_dir=str(scratch),
        learning_rate=sft.lr,
        weight_decay=0.01,
        max_steps=sft.steps,
        per_device_train_batch_size=sft.batch,
        max_length=None,
        **trl_defaults(seed_of(seed, "sft")),
    )
    json_log = JsonLog(log, KEYS, say)
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=sft_dataset(in_training_order(rows, seed), style),
        processing_class=processor,
        callbacks=[json_log],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    json_log.write()
    return {"steps": trainer.state.global_step, "rows": len(rows), "last_loss": json_log.lines[-1].get("loss")}
