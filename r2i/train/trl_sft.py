"""The control: supervised fine-tuning on the rows that DAPO trains on, through TRL's SFTTrainer.

Same rows, same number of optimizer steps and prompts a step; the target is the voted answer and
its letter. The loss is the mean over the reply's tokens of a batch, in however many passes these are read; TRL makes
logits piece by piece (on a GPU: of the reply's tokens alone), never of the whole batch.
"""

from typing import Any

from trl import SFTConfig, SFTTrainer

from r2i.core.ids import seed_of
from r2i.core.tables import Row
from r2i.train.held_out import KEY
from r2i.train.resume import MarkComplete, last_checkpoint
from r2i.train.rows import in_training_order, sft_dataset
from r2i.train.trl import CurveLog, TrlRun, on_one_gpu, start, trl_defaults
from r2i.train.validate import Validation, choose_model

CURVE_KEYS = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "mean_token_accuracy": "token_accuracy",
    KEY: KEY,
}


def train(model: Any, processor: Any, rows: list[Row], run: TrlRun) -> dict[str, Any]:
    """The Trainer of `sft`."""
    params, sft = run.train, run.train.sft
    micro = sft.micro or sft.batch
    config = SFTConfig(
        output_dir=str(run.checkpoints),
        learning_rate=sft.lr,
        weight_decay=0.01,
        max_steps=sft.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=sft.batch // micro,
        max_length=None,
        **trl_defaults(params, seed_of(run.seed, "sft"), params.save_every),
    )
    curve = CurveLog(run.log, CURVE_KEYS, run.sink)
    trainer = SFTTrainer(
        model=model,
        args=on_one_gpu(config),
        train_dataset=sft_dataset(in_training_order(rows, run.seed), run.style),
        processing_class=processor,
        callbacks=[Validation(run.held, processor, params.dapo.max_response, micro), curve, MarkComplete()],
    )
    trainer.model_accepts_loss_kwargs = True  # Qwen's VLMs say no, and passes would count alike, however many tokens
    start(trainer, last_checkpoint(run.checkpoints))
    curve.write()
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        **choose_model(trainer, run.held, params.choose),
        "last_loss": curve.lines[-1].get("loss"),
    }
