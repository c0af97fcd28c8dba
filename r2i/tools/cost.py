"""What a run will ask, and what that will cost: before it is paid for.

Counts and tokens come from a sample: the metrics of the last run here, whose stages say what they asked of
each model, scaled by images. A stage whose sample asked other models than params name now is guessed from
params alone: as if every region and every question were kept, and with rough sizes. Seconds come from the
history of paid calls beside the store.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.params import Endpoint, Profile
from r2i.endpoint.base import cost_of
from r2i.tools.replies.stats import Spent

IMAGE_TOKENS = 1500  # of a picture, where nothing is known: Qwen3-VL takes 1024 for a megapixel
PROMPT_TOKENS = 400  # of the text around it
REPLY_SHARE = 0.25  # of the longest reply allowed


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
    """How params make a stage use a model: requests of `n` samples with `images` pictures each."""

    stage: str
    endpoint: Endpoint
    requests: float
    n: int
    images: int
    max_tokens: int


def planned(profile: Profile, images: int) -> list[Use]:
    """Every call that `profile` can make for so many images, if all regions and questions are kept; of the stages that
    it has."""
    uses: list[Use] = []
    if not profile.has("crop"):
        return uses
    crop, regions = profile.crop, images * profile.crop.per_image
    if crop.teacher:
        uses.append(Use("crop", crop.teacher, images, 1, 1, crop.listing.max_tokens))
    if not profile.has("question"):
        return uses
    question, questions = profile.question, regions * profile.question.per_crop
    uses.append(Use("question", question.teacher, regions, 1, 1, question.write.max_tokens))
    if question.validate_:
        uses.append(Use("question", question.teacher, questions, 1, 2, question.check.max_tokens))
    if profile.has("answer"):
        uses += [
            Use("answer", teacher.endpoint, questions, teacher.samples, 1, profile.answer.sampling.max_tokens)
            for teacher in profile.answer.teachers
        ]
    if profile.has("vote") and profile.vote.judge == "llm" and profile.vote.endpoint:
        uses.append(Use("vote", profile.vote.endpoint, questions, 1, 0, profile.vote.sampling.max_tokens))
    if profile.has("overlay"):
        overlay = profile.overlay
        uses.append(Use("overlay", overlay.teacher, questions, 1, 1, overlay.write.max_tokens))
        uses.append(Use("overlay", overlay.student, questions, overlay.tries, 1, overlay.attempt.max_tokens))
    return uses


def estimate(
    profile: Profile, images: int, metrics: Mapping[str, Mapping[str, Any]], history: Mapping[tuple[str, str], Spent]
) -> list[Line]:
    """A line for each stage and model, in the order of the pipeline.

    `metrics`: by stage, as the last run wrote them; `history`: by stage and model, as
    r2i.tools.replies.stats reads it. Raises R2IError where the
    sample had no image.
    """
    pace = _pace(history)
    lines: dict[tuple[str, str], Line] = {}
    for use in planned(profile, images):
        key = (use.stage, use.endpoint.model)
        sample = metrics.get(use.stage, {}).get("calls", {}).get(use.endpoint.model)
        if sample is None:
            lines[key] = _add(lines.get(key), _guess(use, pace))
        elif key not in lines:
            lines[key] = _scale(use, sample, images / _images_of(metrics), pace)
    return list(lines.values())


def _images_of(metrics: Mapping[str, Mapping[str, Any]]) -> int:
    """Images that the sample went through."""
    count = int(metrics.get("sample", {}).get("status", {}).get("ok", 0))
    if not count:
        raise R2IError("metrics/sample.json counts no image, so the last run can't be scaled", "run `dvc repro sample`")
    return count


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


def read_metrics() -> dict[str, dict[str, Any]]:
    """The metrics of the stages that call models, and of `sample`; stages that have not run are left out."""
    found = {}
    for stage in ("sample", "crop", "question", "answer", "vote", "overlay"):
        path = paths.metrics(stage)
        if path.is_file():
            found[stage] = json.loads(path.read_text(encoding="utf-8"))
    return found
