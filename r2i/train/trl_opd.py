"""On-policy self-distillation with a privileged crop (after arXiv 2605.18740): the student replies to what it sees; its
teacher, the same model where it sees the crop, says of each token of that reply what it would have expected.

No reward, answer or vote takes part. Transformers' Trainer steps, saves and resumes.
"""

import copy
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from r2i.core.curve import last_mean
from r2i.core.ids import seed_of
from r2i.core.images import read_image
from r2i.core.params import Opd, Sampling
from r2i.core.tables import Row
from r2i.endpoint.base import Picture, Request
from r2i.endpoint.local import EncodedRequest, LocalModel
from r2i.endpoint.vision import encode_repeats_once
from r2i.train.divergence import divergence, entropy
from r2i.train.held_out import KEY
from r2i.train.privileged import Pair, Shown, in_steps, make_pairs
from r2i.train.replies import reply_inputs, reply_logits
from r2i.train.resume import MarkComplete, last_checkpoint
from r2i.train.rollout import answering
from r2i.train.trl import CurveLog, TrlRun, on_one_gpu, start, trl_defaults
from r2i.train.validate import Validation, choose_model

MEASURED = ("agreement", "entropy", "teacher_entropy", "response_length", "truncated", "format")
CURVE_KEYS = {name: name for name in ("loss", "grad_norm", "learning_rate", *MEASURED, KEY)}
EMA_RATE = 0.05
TEACHER = "teacher.safetensors"  # of a checkpoint, where the teacher moves


class Pairs(Dataset[Pair]):
    """All pairs of a run, step by step."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, place: int) -> Pair:
        return self.pairs[place]


class OpdTrainer(Trainer):
    """Trainer whose loss is the divergence of student and teacher on the student's own replies."""

    def __init__(self, teacher: Any, processor: Any, params: Opd, seed: int, **given: Any) -> None:
        super().__init__(**given)
        self.teacher, self.processor, self.params, self.seed = teacher, processor, params, seed
        self.policy = LocalModel("policy", loaded=(self.model, processor))
        self.sampling = Sampling(temperature=params.temperature, max_tokens=params.max_response)
        self.measured: dict[str, list[float]] = defaultdict(list)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean over the tokens of one pass."""
        pairs: list[Pair] = inputs["pairs"]
        replies, ended = self.roll_out(pairs)
        shown = [pair for pair in pairs for _ in range(self.params.rollouts)]
        lengths = [len(reply) for reply in replies]
        with self.accelerator.autocast():
            student = self._logits(self.model, [pair.student for pair in shown], replies)
            with torch.no_grad():
                teacher = self._logits(self.teacher, [pair.teacher for pair in shown], replies)
        self._measure(student.detach(), teacher, lengths, ended, replies)
        loss = divergence(student, teacher, self.params).mean()
        return (loss, {}) if return_outputs else loss

    def _logits(self, model: Any, shown: Sequence[Shown], replies: Sequence[Sequence[int]]) -> torch.Tensor:
        inputs = reply_inputs(model, self.processor, shown, replies)
        return reply_logits(model, inputs, [len(reply) for reply in replies])

    def roll_out(self, pairs: Sequence[Pair]) -> tuple[list[list[int]], list[bool]]:
        """`rollouts` replies to each pair as token ids, their end included, and whether they ended."""
        step, end = self.state.global_step, self.processor.tokenizer.eos_token_id
        with answering(self.policy.model):
            images = self.policy.encoder.encode([read_image(pair.student.images[0]) for pair in pairs])
            asked = [
                EncodedRequest(
                    Request(
                        pair.student.prompt, (Picture.of(pair.student.images[0]),), self.sampling,
                        seed_of(self.seed, "opd rollout", step, pair.key), self.params.rollouts,
                    ),
                    [image],
                )
                for pair, image in zip(pairs, images, strict=True)
            ]  # fmt: skip
            generations = self.policy.sample(asked)
        self.policy.texts.clear()
        return [[*ids, end] if over else ids for ids, over in generations], [over for _, over in generations]

    def _measure(
        self,
        student: torch.Tensor,
        teacher: torch.Tensor,
        lengths: Sequence[int],
        ended: Sequence[bool],
        replies: Sequence[Sequence[int]],
    ) -> None:
        """Of one pass, for the curve."""
        texts = self.processor.tokenizer.batch_decode(replies, skip_special_tokens=True)
        closed = ["</answer>" in text for text in texts]
        found = {
            "agreement": (student.argmax(-1) == teacher.argmax(-1)).float().mean().item(),
            "entropy": entropy(student).mean().item(),
            "teacher_entropy": entropy(teacher).mean().item(),
            "response_length": sum(lengths) / len(lengths),
            "truncated": 1 - sum(ended) / len(ended),
            "format": sum(closed) / len(closed),
        }
        for name, value in found.items():
            self.measured[name].append(value)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the means over the passes since the last line."""
        means = {name: sum(values) / len(values) for name, values in self.measured.items()}
        self.measured.clear()
        super().log({**logs, **means}, start_time)


class MoveTeacher(TrainerCallback):
    """After each step the teacher follows the student; a checkpoint holds it; a resumed run takes it from there."""

    def __init__(self, teacher: Any, rate: float, checkpoint: str | None) -> None:
        self.teacher, self.rate, self.checkpoint = teacher, rate, checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.checkpoint:
            self.teacher.load_state_dict(load_file(Path(self.checkpoint) / TEACHER), strict=False)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        with torch.no_grad():
            for own, other in zip(self.teacher.parameters(), model.parameters(), strict=True):
                own.lerp_(other, self.rate)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        weights = {name: value.detach().contiguous() for name, value in self.teacher.named_parameters()}
        save_file(weights, Path(args.output_dir) / f"checkpoint-{state.global_step}" / TEACHER)


def train(model: Any, processor: Any, rows: list[Row], run: TrlRun) -> dict[str, Any]:
    """The Trainer of `opd`."""
    params, opd = run.train, run.train.opd
    afar, close, left_out = make_pairs(rows, opd, run.cut, run.style)
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    for each in (model, teacher):
        encode_repeats_once(each)
    if opd.freeze_vision:
        model.model.visual.requires_grad_(False)
    micro = opd.micro or opd.batch
    defaults = trl_defaults(params, seed_of(run.seed, "opd"), params.save_every)
    config = TrainingArguments(
        output_dir=str(run.checkpoints),
        learning_rate=opd.lr,
        weight_decay=opd.weight_decay,
        max_steps=opd.steps,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=opd.batch // micro,
        remove_unused_columns=False,
        **defaults | {"lr_scheduler_type": opd.schedule},
    )
    curve = CurveLog(run.log, CURVE_KEYS, run.sink)
    begin = last_checkpoint(run.checkpoints)
    follows = [MoveTeacher(teacher, opd.ema_rate or EMA_RATE, begin)] if opd.teacher == "ema" else []
    trainer = OpdTrainer(
        teacher,
        processor,
        opd,
        run.seed,
        model=model,
        args=on_one_gpu(config),
        train_dataset=Pairs(in_steps(afar, close, opd, run.seed)),
        data_collator=lambda pairs: {"pairs": pairs},
        callbacks=[*follows, Validation(run.held, processor, opd.max_response, micro), curve, MarkComplete()],
    )
    start(trainer, begin)
    curve.write()
    return {
        "steps": trainer.state.global_step,
        "rows": len(rows),
        "questions": len(close),
        "rollouts": trainer.state.global_step * opd.batch * opd.rollouts,
        **left_out,
        **choose_model(trainer, run.held, params.choose),
        "last_10_steps": last_mean(curve.lines, ("loss", *MEASURED)),
    }
