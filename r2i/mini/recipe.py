"""How the mini checkpoint is made: phases on freshly rendered scenes.

1. `words`, `close`: crops only; first just answers, then every job. From a random start nothing is
   learned from full views, so crops come first.
2. `afar`, `settle`: full views beside crops, nearly to the plateau: the model *can* read the full view.
3. `letters`: the letter of a colour, which is learned last.
4. `web`: full-view answers often describe a more central object of the same kind than the one
   asked for, the way captions on the web do; crops stay clean. After it the model reads well up
   close and badly from afar although the evidence still reaches it. That is the base checkpoint.

`docs/mini.md` says why; `docs/log.md` what else was tried, with figures.
"""

import json
import math
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from r2i.core.disk import new_file
from r2i.core.ids import seed_of
from r2i.endpoint.vision import attend_in_one_call
from r2i.mini.checkpoint import build_model, build_tokenizer
from r2i.mini.lessons import Lesson, Mix, scene_lessons
from r2i.mini.packing import Packer, weighted_loss

BATCH = 64  # lessons a step
REFRESH = 24  # steps between additions to the pool
POOL = 6000  # lessons kept


@dataclass(frozen=True)
class Phase:
    """`rate`: peak learning rate; it warms up over 100 steps and falls to a tenth by a cosine over
    `horizon` steps (0: over the phase). A phase starts with a fresh optimizer."""

    name: str
    steps: int
    rate: float
    mix: Mix
    horizon: int = 0


RECIPE = (
    Phase("words", 450, 1.5e-3, Mix(crops=3.0, full=0.0, pairs=0.0, only_answers=True)),
    Phase("close", 600, 1.5e-3, Mix(crops=3.0, full=0.0, pairs=0.0)),
    Phase("afar", 300, 1.0e-3, Mix(crops=0.6, full=1.0, pairs=0.25), horizon=3600),
    Phase("further", 1200, 1.0e-3, Mix(crops=0.6, full=1.0, pairs=0.2), horizon=3300),
    Phase("settle", 750, 8e-4, Mix(crops=1.0, full=1.0, pairs=0.45)),
    Phase("letters", 300, 5e-4, Mix(crops=1.0, full=1.0, pairs=0.3, drills=4)),
    Phase("web", 200, 3e-4, Mix(crops=1.0, full=1.2, pairs=0.3, mislabelled=0.75, drills=1)),
)


class Pool:
    """A moving pool of lessons."""

    def __init__(self, mix: Mix, rng: np.random.Generator) -> None:
        self.mix, self.rng = mix, rng
        self.lessons: list[Lesson] = []

    def grow(self, lessons: int) -> None:
        fresh: list[Lesson] = []
        while len(fresh) < lessons:
            fresh += scene_lessons(self.rng, self.mix)
        self.lessons = self.lessons[-POOL:] + fresh

    def batch(self) -> list[Lesson]:
        return [self.lessons[i] for i in self.rng.integers(len(self.lessons), size=BATCH)]


def teach(model: torch.nn.Module, phase: Phase, seed: int, folder: Path) -> None:
    """Run one phase in place; a line of scores every 150 steps goes to `folder/log.jsonl`."""
    packer = Packer(build_tokenizer())
    pool = Pool(phase.mix, np.random.default_rng([seed, seed_of(phase.name)]))
    pool.grow(BATCH * REFRESH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=phase.rate, weight_decay=0.01, betas=(0.9, 0.95))
    started = time.time()
    model.train()
    for step in range(phase.steps):
        if step % REFRESH == REFRESH - 1:
            pool.grow(BATCH * REFRESH // 3)
        progress = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / (phase.horizon or phase.steps)))
        for group in optimizer.param_groups:
            group["lr"] = phase.rate * min(1.0, (step + 1) / 100) * progress
        inputs = packer.pack(pool.batch())
        weights = inputs.pop("weights")
        with torch.autocast("cpu", dtype=torch.bfloat16):  # about 1.4 x faster here, and no worse
            logits = model(**inputs).logits
        loss = weighted_loss(logits.float(), inputs["input_ids"], weights)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 150 == 0 or step + 1 == phase.steps:
            scores = score_lessons(model, packer, seed)
            line = {"phase": phase.name, "step": step + 1, "loss": round(loss.item(), 4), **scores}
            line["seconds"] = round(time.time() - started)
            print(json.dumps(line), flush=True)
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            torch.save(model.state_dict(), folder / f"{phase.name}.part.pt")
            model.train()
    with new_file(folder / f"{phase.name}.pt") as part:
        torch.save(model.state_dict(), part)


@torch.no_grad()
def score_lessons(model: torch.nn.Module, packer: Packer, seed: int) -> dict[str, float]:
    """Share of right words by view and task on held-out scenes; the word that decides is scored."""
    model.eval()
    rng = np.random.default_rng([seed, 12345])
    lessons: list[Lesson] = []
    while len(lessons) < 4 * BATCH:
        lessons += scene_lessons(rng, Mix(crops=0.5, full=0.7, pairs=0.3))
    hits: dict[str, list[bool]] = defaultdict(list)
    for start in range(0, len(lessons), BATCH):
        some = lessons[start : start + BATCH]
        inputs = packer.pack(some)
        inputs.pop("weights")
        labels = inputs["input_ids"]
        guesses = model(**inputs).logits.argmax(-1)
        for i, lesson in enumerate(some):
            view = "pair" if len(lesson.images) == 2 else "crop" if lesson.is_crop else "full"
            for (prompt, _reply), span in zip(lesson.turns, packer.reply_spans(lesson), strict=True):
                right = (guesses[i, span.start - 1 : span.stop - 1] == labels[i, span.start : span.stop]).tolist()
                task = prompt.rsplit(" ", 1)[-1].rsplit("\n", 1)[-1]
                if task == "choose":
                    hits[f"{view}/choose"].append(right[2])
                    hits[f"{view}/see"].append(right[0])
                elif task == "answer":
                    hits[f"{view}/answer"].append(right[1])
                    hits[f"{view}/{prompt.split()[1] if view == 'full' else 'word'}"].append(right[1])
                else:
                    hits[f"{view}/{task}"].append(all(right))
    return {key: round(float(np.mean(value)), 3) for key, value in sorted(hits.items())}


def run_recipe(folder: Path, seed: int = 0, recipe: tuple[Phase, ...] = RECIPE, threads: int = 2) -> Any:
    """Make the checkpoint from nothing; phases already finished in `folder` are loaded, not repeated."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    model: Any = attend_in_one_call(build_model(seed))
    model.set_attn_implementation("eager")  # faster backward on a CPU than the fused one, at this size
    for phase in recipe:
        done = folder / f"{phase.name}.pt"
        if done.exists():
            model.load_state_dict(torch.load(done))
        else:
            teach(model, phase, seed, folder)
    return model
