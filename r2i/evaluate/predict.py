"""Ask a model every benchmark question in every view, and grade what it says."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from r2i.endpoint.base import Model, Picture, Reply, Request
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.errors import EndpointError
from r2i.ids import make_id, seed_of
from r2i.mcq import mcq_prompt
from r2i.metrics import require_ok
from r2i.params import Evaluate, Sampling
from r2i.paths import MODELS
from r2i.prompts import ROOT, load_prompt
from r2i.records import FAILED, OK
from r2i.reward import grade

Row = dict[str, Any]
CHUNK = 128  # items asked together: bounds the memory that large images take
PICTURE = {"full": "image", "crop": "crop", "boxed": "boxed"}  # the benchmark's column of each view
UNFINISHED = ("truncated", "empty")  # the model did reply, without a closed answer: wrong, not failed


@dataclass(frozen=True)
class Ask:
    """One prompt about one item: greedy (sample 0) or several sampled replies (samples 1 .. n)."""

    item: Row
    view: str
    sampled: bool
    request: Request


def find_model(name: str, base: str) -> str:
    """The folder (or, for `base`, folder or hub id) of model `base`, `distilled` or `sft`.

    Raises EndpointError where a trained model's folder does not exist.
    """
    if name == "base":
        return base
    folder = MODELS / name
    if not (folder / "config.json").is_file():
        run = "dapo" if name == "distilled" else name
        raise EndpointError(f"no model in {folder}", f"run `dvc repro train@{run}`")
    return str(folder)


def predict(model: Model, items: Iterable[Row], cfg: Evaluate, seed: int, ledger: Ledger | None = None) -> list[Row]:
    """One row for each reply to each ok item, `CHUNK` items at a time (rows of PREDICTIONS).

    Raises TableError where there is no ok item, or where every call failed.
    """
    ledger = ledger or Ledger()
    rows: list[Row] = []
    for chunk in _chunks((item for item in items if item["status"] == OK), CHUNK):
        found = run_jobs([item_job(model, item, cfg, seed) for item in chunk], ledger)
        rows += [row for given in found for row in given]
    require_ok(rows, "reply", "look at metrics/benchmark.json, then see that the model can be called")
    return rows


def item_job(model: Model, item: Row, cfg: Evaluate, seed: int) -> Job[list[Row]]:
    """The rows of one item: all its prompts at once."""
    asks = plan(item, cfg, seed)
    replies = yield [(model, ask.request) for ask in asks]
    return [row for ask, given in zip(asks, replies, strict=True) for row in read_replies(ask, given)]


def plan(item: Row, cfg: Evaluate, seed: int) -> list[Ask]:
    """What is asked about one item: each view greedily, then the full view `samples` times at temperature 1."""
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=cfg.max_tokens)
    warm = Sampling(temperature=1.0, top_p=1.0, max_tokens=cfg.max_tokens)
    asks = [_ask(item, view, cfg.prompts, greedy, 1, seed) for view in cfg.views]
    if cfg.samples:
        asks.append(_ask(item, "full", cfg.prompts, warm, cfg.samples, seed))
    return asks


def _ask(item: Row, view: str, style: str, sampling: Sampling, n: int, seed: int) -> Ask:
    sampled = sampling.temperature > 0
    request = Request(
        prompt=prompt_of(item, view, style),
        images=(Picture.of(item[PICTURE[view]]),),
        sampling=sampling,
        seed=seed_of(seed, "evaluate", item["item_id"], view, sampled),
        n=n,
    )
    return Ask(item, view, sampled, request)


def prompt_of(item: Row, view: str, style: str) -> str:
    """The text of an item in a view: the trainer's multiple-choice prompt, or the teacher's for open questions.

    In the boxed view a style that has an overlay prompt `boxed` gets that sentence after it, as in training.
    """
    if item["options"]:
        text = mcq_prompt(item["question"], item["options"], style)
    else:
        text = load_prompt("answer", "answer", style).fill(question=item["question"])
    if view == "boxed" and (ROOT / "overlay" / "prompts" / style / "boxed.txt").is_file():
        text += "\n" + load_prompt("overlay", "boxed", style).text
    return text


def read_replies(ask: Ask, replies: Sequence[Reply]) -> list[Row]:
    """Grade the replies to one prompt: a failed call is a failed row, never a wrong answer."""
    return [_read_reply(ask, reply, number + ask.sampled) for number, reply in enumerate(replies)]


def _read_reply(ask: Ask, reply: Reply, sample: int) -> Row:
    item = ask.item
    row = {
        "prediction_id": make_id(item["item_id"], ask.view, sample),
        "item_id": item["item_id"],
        "image_id": item["image_id"],
        "view": ask.view,
        "sample": sample,
        "reply": reply.text,
        "predicted": "",
        "rule": "none",
        "correct": False,
        "dimension": item["dimension"],
        "status": OK,
        "reason": "",
    }
    if reply.status == OK:
        graded = grade(reply.text, item["label"] or item["answer"], list(item["options"]))
        row |= {"predicted": graded.predicted, "rule": graded.rule, "correct": graded.correct}
    elif reply.reason not in UNFINISHED:
        row |= {"correct": None, "status": FAILED, "reason": reply.reason}
    return row


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Accuracy of the greedy replies by view, how replies were read, and how many sampled ones are right."""
    graded = [row for row in rows if row["status"] == OK]
    views: dict[str, list[bool]] = {}
    rules: dict[str, int] = {}
    for row in graded:
        rules[row["rule"]] = rules.get(row["rule"], 0) + 1
        if row["sample"] == 0:
            views.setdefault(row["view"], []).append(row["correct"])
    sampled = [row["correct"] for row in graded if row["sample"]]
    return {
        "accuracy": {view: sum(right) / len(right) for view, right in views.items()},
        "graded": {view: len(right) for view, right in views.items()},
        "sampled_accuracy": sum(sampled) / len(sampled) if sampled else None,
        "rule": rules,
    }


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    chunk: list[Row] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
