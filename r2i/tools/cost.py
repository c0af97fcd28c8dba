"""What a run will ask, and what that will cost: before it is paid for.

Counts and tokens come from a sample: the metrics of the last run of this profile, whose stages say what they asked of
each model, scaled by images (of evaluations: by items). A stage whose sample asked other models than params name now is
guessed from params alone: as if every region and every question were kept, and with rough sizes. Seconds come from the
history of paid calls beside the store.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.names import BASE, OBJECTIVES
from r2i.core.params import CHAIN, Endpoint, Params
from r2i.endpoint.base import cost_of
from r2i.repo.lock import LOCK, read_lock
from r2i.repo.profile import Run, split, stage_names
from r2i.tools.replies.stats import Spent

IMAGE_TOKENS = 1500  # of a picture, where nothing is known: Qwen3-VL takes 1024 for a megapixel
PROMPT_TOKENS = 400  # of the text around it
REPLY_SHARE = 0.25  # of the longest reply allowed
JUDGED_SHARE = 0.1  # of replies, that no rule reads and a judge is asked about; `max_calls` is the bound
MOST_IMAGES = 10**9  # that a budget may buy
START_S = 180.0  # from the start of a vLLM to its first reply: weights, profiling, CUDA graphs; a guess

Metrics = Mapping[str, Mapping[str, Any]]
"""By the name of their file in metrics/, as the last run wrote them."""


@dataclass(frozen=True)
class Scale:
    """Of a run: images that go in, train rows that come out, items of the benchmark."""

    images: float
    rows: float
    items: float


@dataclass(frozen=True)
class Funnel:
    """Train rows that an image gives. `source`: where the number is from."""

    rows_per_image: float
    source: str
    measured: bool


@dataclass(frozen=True)
class Line:
    """What one stage asks of one model. `sampled`: from the last run's metrics, not from params alone."""

    stage: str
    model: str
    requests: float
    samples: float
    tokens_in: float
    tokens_out: float
    cost: float | None
    seconds: float | None
    sampled: bool


@dataclass(frozen=True)
class Use:
    """How params make a stage use a model: requests of `n` samples with `images` pictures each, `form`: by schema."""

    stage: str
    endpoint: Endpoint
    requests: float
    n: int
    images: int
    max_tokens: int
    form: bool = False


def planned(params: Params, scale: Scale) -> list[Use]:
    """Every call that the chosen profile can make, if all regions and questions are kept; in the pipeline's order."""
    return [*_of_rows(params, scale), *_of_training(params, scale), *_of_evaluation(params, scale)]


def _of_rows(params: Params, scale: Scale) -> list[Use]:
    profile, uses = params.chosen, list[Use]()
    if not profile.has("crop"):
        return uses
    crop = profile.crop
    if crop.asks_teacher and crop.teacher:
        uses.append(Use("crop", crop.teacher, scale.images, 1, 1, crop.listing.max_tokens, True))
    if not profile.has("question"):
        return uses
    question, regions = profile.question, scale.images * crop.per_image
    questions = regions * question.per_crop
    uses.append(Use("question", question.teacher, regions, 1, 1, question.write.max_tokens, True))
    if question.validate_:
        uses.append(Use("question", question.teacher, questions, 1, 2, question.check.max_tokens, True))
    if profile.has("answer"):
        longest = profile.answer.sampling.max_tokens
        uses += [Use("answer", one.endpoint, questions, one.samples, 1, longest) for one in profile.answer.teachers]
    if profile.has("vote") and profile.vote.judge == "llm" and profile.vote.endpoint:
        uses.append(Use("vote", profile.vote.endpoint, questions, 1, 0, profile.vote.sampling.max_tokens, True))
    if profile.has("overlay") and profile.overlay.answered:
        overlay = profile.overlay
        uses.append(Use("overlay", overlay.teacher, questions, 1, 1, overlay.write.max_tokens, True))
        uses.append(Use("overlay", overlay.student, questions, overlay.tries, 1, overlay.attempt.max_tokens))
    return uses


def _of_training(params: Params, scale: Scale) -> list[Use]:
    """The judge of the reward."""
    if "dapo" not in params.model_names.runs or not (judge := params.chosen.train.dapo.judge):
        return []
    dapo = params.chosen.train.dapo
    prompts = scale.rows * dapo.epochs
    if dapo.max_steps > 0:
        prompts = min(prompts, dapo.max_steps * dapo.train_prompts)
    calls = min(judge.max_calls, prompts * dapo.group_size * JUDGED_SHARE)
    return [Use("train@dapo", judge.endpoint, calls, 1, 0, judge.sampling.max_tokens, True)]


def _of_evaluation(params: Params, scale: Scale) -> list[Use]:
    """Of every model: replies in every view, the first step of a zoom, sampled replies, verdicts of the judge."""
    uses: list[Use] = []
    for name in params.evaluated:
        evaluate, stage, endpoint = params.chosen.evaluate, f"evaluate@{name}", _evaluated_by(params, name)
        greedy = scale.items * len(evaluate.views)
        uses.append(Use(stage, endpoint, greedy, 1, 1, evaluate.max_tokens))
        if "zoom" in evaluate.views:
            uses.append(Use(stage, endpoint, scale.items, 1, 1, evaluate.zoom.max_tokens, True))
        sampled = scale.items * len(evaluate.sampled_views) if evaluate.samples else 0
        if sampled:
            uses.append(Use(stage, endpoint, sampled, evaluate.samples, 1, evaluate.max_tokens))
        if judge := evaluate.judge:
            calls = min(judge.max_calls, (greedy + sampled * evaluate.samples) * JUDGED_SHARE)
            uses.append(Use(stage, judge.endpoint, calls, 1, 0, judge.sampling.max_tokens, True))
    return uses


def _evaluated_by(params: Params, name: str) -> Endpoint:
    """The server of a model, or the model in process."""
    profile, source = params.chosen, params.models[name].from_
    if name in profile.evaluate.endpoints:
        return profile.evaluate.endpoints[name]
    if source == BASE:
        source = profile.train.base
    trained = {run: f"{paths.MODELS}/{known.folder}" for run, known in OBJECTIVES.items()}
    return Endpoint(kind=profile.evaluate.engine, model=trained.get(source, source), batch=profile.evaluate.batch)  # type: ignore[call-overload]


def estimate(params: Params, scale: Scale, metrics: Metrics, history: Mapping[tuple[str, str], Spent]) -> list[Line]:
    """A line for each stage and model, in the order of the pipeline.

    `history`: by stage and model, as r2i.tools.replies.stats reads it. Raises R2IError where the sample had no image.
    """
    pace = _pace(history)
    lines: dict[tuple[str, str], Line] = {}
    for use in planned(params, scale):
        key = (use.stage, use.endpoint.model)
        sample = metrics.get(use.stage.replace("@", "-"), {}).get("calls", {}).get(use.endpoint.model)
        if sample is None:
            lines[key] = _add(lines.get(key), _guess(use, pace))
        elif key not in lines:
            lines[key] = _scale(use, sample, _factor(use, scale, metrics), pace)
    return list(lines.values())


def _factor(use: Use, scale: Scale, metrics: Metrics) -> float:
    if use.stage.startswith("evaluate"):
        return scale.items / max(1, _ok(metrics, "benchmark"))
    return scale.images / _images_of(metrics)


def _images_of(metrics: Metrics) -> int:
    """Images that the sample went through."""
    count = _ok(metrics, "sample")
    if not count:
        raise R2IError("metrics/sample.json counts no image, so the last run can't be scaled", "run `dvc repro sample`")
    return count


def _ok(metrics: Metrics, stage: str) -> int:
    return int(metrics.get(stage, {}).get("status", {}).get("ok", 0))


def read_funnel(metrics: Metrics, guess: float) -> Funnel:
    """Of the last run of this profile, else `guess`."""
    images, rows = _ok(metrics, "sample"), _ok(metrics, "overlay")
    if "overlay" not in metrics or not images:
        return Funnel(guess, "a guess: no run of this profile has come to `overlay` here", False)
    return Funnel(rows / images, f"the last run: {rows:,} of {images:,} images", True)


def images_for(rows: int, funnel: Funnel) -> int:
    """Raises R2IError where the last run gave no row at all."""
    if not funnel.rows_per_image:
        raise R2IError(f"no number of images gives {rows:,} rows by {funnel.source}", "`r2i summary` shows the reasons")
    return math.ceil(rows / funnel.rows_per_image)


def server_starts(params: Params) -> dict[str, list[Endpoint]]:
    """The servers that r2i starts, by stage: a stage stops what it has started, and the next one starts it anew."""
    starts: dict[str, list[Endpoint]] = {}
    for use in planned(params, Scale(1, 1, 1)):
        if use.endpoint.kind == "vllm" and use.endpoint not in starts.setdefault(use.stage, []):
            starts[use.stage].append(use.endpoint)
    return {stage: ends for stage, ends in starts.items() if ends}


def total_cost(lines: list[Line]) -> float | None:
    """Of the lines whose price is known; None where none is."""
    known = [line.cost for line in lines if line.cost is not None]
    return sum(known) if known else None


def unpriced(params: Params) -> list[str]:
    """Models behind servers whose price params don't give."""
    uses = planned(params, Scale(1, 1, 1))
    return sorted({use.endpoint.model for use in uses if use.endpoint.kind == "openai" and use.endpoint.price is None})


def images_within(params: Params, budget: float, funnel: Funnel, items: float, metrics: Metrics) -> int:
    """Most images whose calls cost no more than `budget`, in the currency of the prices.

    Raises R2IError where no call that images cause has a price, and where the budget doesn't pay for one image.
    """

    def spent(images: int) -> list[Line]:
        return estimate(params, Scale(images, images * funnel.rows_per_image, items), metrics, {})

    if not any(line.cost for line in spent(1) if line.stage in CHAIN):
        raise R2IError(
            "no model that makes rows has a price, so a budget buys any number of images",
            "give its endpoint `price: {input: ..., output: ...}`, per million tokens (docs/endpoints.md)",
        )
    if (least := total_cost(spent(1)) or 0.0) > budget:
        raise R2IError(f"one image and the evaluation cost {least:,.2f} already", "raise --budget")
    low, high = 1, 2
    while high < MOST_IMAGES and (total_cost(spent(high)) or 0.0) <= budget:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if (total_cost(spent(middle)) or 0.0) <= budget else (low, middle)
    return low


def _scale(use: Use, sample: Mapping[str, Any], factor: float, pace: Mapping[str, float]) -> Line:
    counts = {name: sample[name] * factor for name in ("requests", "samples", "tokens_in", "tokens_out")}
    return _line(use, pace, sampled=True, **counts)


def _guess(use: Use, pace: Mapping[str, float]) -> Line:
    return _line(
        use, pace, sampled=False,
        requests=use.requests,
        samples=use.requests * use.n,
        tokens_in=use.requests * (PROMPT_TOKENS + IMAGE_TOKENS * use.images),
        tokens_out=use.requests * use.n * use.max_tokens * REPLY_SHARE,
    )  # fmt: skip


def _line(use: Use, pace: Mapping[str, float], sampled: bool, **counts: float) -> Line:
    cost = cost_of(counts["tokens_in"], counts["tokens_out"], use.endpoint.price)
    per_s = pace.get(use.endpoint.model)
    seconds = counts["samples"] / per_s if per_s else None
    return Line(use.stage, use.endpoint.model, cost=cost, seconds=seconds, sampled=sampled, **counts)


def _add(line: Line | None, more: Line) -> Line:
    if line is None:
        return more
    names = ("requests", "samples", "tokens_in", "tokens_out", "cost", "seconds")
    sums = {name: _sum(getattr(line, name), getattr(more, name)) for name in names}
    return Line(line.stage, line.model, sampled=line.sampled and more.sampled, **sums)  # type: ignore[arg-type]


def _sum(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a + b


def _pace(history: Mapping[tuple[str, str], Spent]) -> dict[str, float]:
    """Samples a second that each model gave over all its runs."""
    samples: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for (_, model), spent in history.items():
        samples[model] += spent.counts["samples"]
        seconds[model] += spent.seconds  # type: ignore[assignment]
    return {model: samples[model] / seconds[model] for model in samples if samples[model] and seconds[model] > 0}


def run_of(params: Params) -> Run | None:
    """The dvc.lock of this folder beside the chosen profile of `params`; None where nothing was run."""
    return split(read_lock(LOCK), params, stage_names()) if LOCK.is_file() else None


def read_metrics(params: Params) -> dict[str, dict[str, Any]]:
    """The metrics of stages that call models or count what goes through, as the last run of the chosen profile left
    them. One of more or fewer images is a sample too; one with other params, or of another profile, is none."""
    run = run_of(params)
    if run and params.chosen.has("sample"):
        then = (run.lock.params("sample").get("sample") or {}).get("images")
        run = run_of(_with_images(params, then)) if isinstance(then, int) else run
    found = {}
    for name in (*CHAIN, "benchmark", *(f"evaluate-{model}" for model in params.evaluated)):
        path = paths.metrics(name)
        if path.is_file() and (run is None or run.owns(path)):
            values = json.loads(path.read_text(encoding="utf-8"))
            if not values.get("left_out"):
                found[name] = values
    return found


def _with_images(params: Params, images: int) -> Params:
    sample = params.chosen.sample.model_copy(update={"images": images})
    chosen = params.chosen.model_copy(update={"sample": sample})
    return params.model_copy(update={"profiles": {**params.profiles, params.profile: chosen}})
