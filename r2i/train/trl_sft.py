"""The control: supervised fine-tuning on the rows that DAPO trains on, through TRL's SFTTrainer.

Same rows, same number of optimizer steps and prompts a step; the target is the voted answer and
its letter. The loss counts the reply's tokens only.
"""

from pathlib import Path
from typing import Any

from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from r2i.core.curve import Say
from r2i.core.ids import seed_of
from r2i.core.params import Train
from r2i.core.tables import Row
from r2i.train.log import CurveLog, trl_defaults
from r2i.train.resume import MarkComplete, last_checkpoint
from r2i.train.rows import in_training_order, sft_dataset

KEYS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
}


def train_sft(
    model: Any, processor: Any, rows: list[Row], style: str, train: Train, seed: int, log: Path, folder: Path, say: Say
) -> dict[str, Any]:
    """Train `model` in place on `rows` (records.TRAIN, ok only). Returns a summary for metrics.

    Goes on from the newest checkpoint in `folder`, where there is one.
    """
    sft = train.sft
    config = SFTConfig(
        output_dir=str(folder),
        learning_rate=sft.lr,
        weight_decay=0.01,
        max_steps=sft.steps,
        per_device_train_batch_size=sft.batch,
        max_length=None,
        **trl_defaults(seed_of(seed, "sft"), train.save_every, train.keep),
    )
    curve = CurveLog(log, KEYS, say)
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=sft_dataset(in_training_order(rows, seed), style),
        processing_class=processor,
        callbacks=[curve, MarkComplete()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last_checkpoint(folder))
    curve.write()
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        "last_loss": curve.lines[-1].get("loss"),
    }
