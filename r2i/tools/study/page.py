"""What a study has found so far: `metrics/study.json`, and the same for readers in docs/study.md."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.params import Params
from r2i.tools.compare.words import points, points_ci
from r2i.tools.study.claims import CLAIMS, Claim, Pair, Study
from r2i.tools.study.measure import Found, compare, judge, pair_items, seeds_of
from r2i.tools.study.outcomes import are_alike, read_failure, read_items
from r2i.tools.study.run import Planned, digest_base, plan, unknown_models

METRICS, PAGE = paths.metrics("study"), Path("docs/study.md")
TEXT = Path(__file__).parent / "study.md"  # what stands on the page whatever was found
FIGURES = "<!-- figures -->"


@dataclass(frozen=True)
class Result:
    """A claim and what came of its comparisons, in the order of `claim.pairs`. `missing`: why there is nothing yet."""

    name: str
    claim: Claim
    found: list[Found | None]
    missing: str
    mixed: bool
    """Whether its experiments started from unlike code or params."""


def find_results(study: Study, params: Params) -> list[Result]:
    """Of every claim, out of all experiments that have ended, whatever number of seeds that are."""
    planned = plan(study, params, list(study.claims), study.seeds)
    ended = {(one.experiment, one.seed): one for one in planned if one.facts()}

    @cache
    def items(name: str) -> pa.Table:
        return read_items(name)

    def measure(claim: Claim, pair: Pair) -> Found | None:
        both = [(seed, ended.get((pair.this.experiment, seed)), ended.get((pair.that.experiment, seed)))
                for seed in range(study.seeds)]  # fmt: skip
        values = [
            (seed, pair_items(items(this.name), items(that.name), pair, claim.measure))
            for seed, this, that in both
            if this and that
        ]
        return compare(seeds_of(values), claim.ratio)

    results = []
    for name, claim in study.claims.items():
        own = [one for pair in claim.pairs for cell in (pair.this, pair.that) for one in planned
               if one.experiment == cell.experiment]  # fmt: skip
        bases = [facts.based_on for one in own if (facts := one.facts())]
        mixed = not all(are_alike(one, other) for one, other in combinations(bases, 2))
        found = [measure(claim, pair) for pair in claim.pairs]
        results.append(Result(name, claim, found, _missing(study, params, name, own), mixed))
    return results


def _missing(study: Study, params: Params, name: str, own: Sequence[Planned]) -> str:
    claim = study.claims[name]
    if strange := [model for model in unknown_models(study, name, params)
                   if model in (claim.this.model, claim.that.model)]:  # fmt: skip
        return f"the profile evaluates no model {', '.join(strange)}"
    failed = [f"{one.experiment}, seed {one.seed}: {reason}" for one in own if (reason := read_failure(one.name))]
    return f"failed: {failed[0]}" if failed else ""


def as_metrics(study: Study, results: Sequence[Result]) -> dict[str, Any]:
    """`metrics/study.json`. Differences are shares of 1; `ours` and `ci95` of a ratio are ratios."""
    return {
        one.name: {
            "says": one.claim.says,
            "paper": one.claim.paper,
            **_numbers(one.found[0]),
            "verdict": judge(one.claim, one.found[0]),
            "unit": unit_of(one.claim),
            "bound": one.claim.above if one.claim.above is not None else one.claim.below,
            "side": "above" if one.claim.above is not None else "below",
            "profile": study.profile,
            "mixed": one.mixed,
            "also": [
                {"as": pair.as_, **_numbers(found)} for pair, found in zip(one.claim.also, one.found[1:], strict=True)
            ],
        }
        for one in results
    }


def unit_of(claim: Claim) -> str:
    """points | ratio | a count: what `ours` is measured in."""
    return "ratio" if claim.ratio else "points" if claim.measure in ("accuracy", "coverage") else claim.measure


def _numbers(found: Found | None) -> dict[str, Any]:
    if found is None:
        return {"ours": None, "ci95": None, "smallest": None, "items": 0, "seeds": 0}
    return {"ours": round(found.value, 6), "ci95": [round(end, 6) for end in found.ci95],
            "smallest": round(found.smallest, 6), "items": found.items, "seeds": found.seeds}  # fmt: skip


def write_results(study: Study, params: Params, file: Path = CLAIMS) -> None:
    """Write both files, each whole or not at all. Raises DiskError."""
    results = find_results(study, params)
    texts = {
        METRICS: json.dumps(as_metrics(study, results), indent=2, ensure_ascii=False) + "\n",
        PAGE: TEXT.read_text(encoding="utf-8").replace(FIGURES, "\n".join(page_lines(study, params, results, file))),
    }
    for path, text in texts.items():
        with new_file(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")


def page_lines(study: Study, params: Params, results: Sequence[Result], file: Path) -> Iterator[str]:
    planned = plan(study, params, list(study.claims), study.seeds)
    facts = [found for one in planned if (found := one.facts())]
    ended = f"{len(facts)} of {len(planned)} experiments have ended"
    yield f"{ended}, of profile `{study.profile}`, {study.seeds} seeds each."
    base = digest_base(study, params)
    if older := sum(1 for one in facts if not are_alike(one.based_on, base)):
        yield f"**{older} of them are of older code or params**; `r2i study --again` runs those anew."
    if facts:
        commits = ", ".join(f"`{commit}`" for commit in sorted({one.commit[:12] for one in facts}))
        yield f"They started from revision {commits} and took {sum(one.minutes for one in facts) / 60:.1f} hours."
    yield ""
    yield "| claim | the paper's figure | here (95 %) | seeds | verdict |"
    yield "|---|---|---|---:|---|"
    for one in results:
        yield _line(one, study)
    yield ""
    yield "## What is compared"
    for one in results:
        yield ""
        yield from _about(one)
    yield ""
    yield f"Every experiment runs with `{_settings(study.settings)}`; {file.as_posix()} has what each changes."


def _line(one: Result, study: Study) -> str:
    found = one.found[0]
    seeds = "–" if found is None else f"{found.seeds} of {study.seeds}"
    cells = [one.claim.says, one.claim.paper, amount(found, one.claim), seeds, _verdict(one)]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _verdict(one: Result) -> str:
    said: str = judge(one.claim, one.found[0])
    if one.found[0] is None:
        return f"not run ({one.missing})" if one.missing else "not run"
    if said == "can't be told":
        said += f" (smallest difference seen: {_size(one.found[0].smallest, one.claim)})"
    return f"*{said}*" + (", of unlike code" if one.mixed else "")


def _about(one: Result) -> Iterator[str]:
    claim = one.claim
    bound = claim.above if claim.above is not None else claim.below
    assert bound is not None
    side = "above" if claim.above is not None else "below"
    fails = "" if claim.fails_at is None else f", fails on the other side of {_size(claim.fails_at, claim)}"
    yield f"**{claim.says}.** {claim.test} Holds {side} {_size(bound, claim)}{fails}."
    for pair, found in zip(claim.also, one.found[1:], strict=True):
        told = "not run" if found is None else f"{amount(found, claim)}, {found.seeds} seed{'s' * (found.seeds > 1)}"
        yield f"- {pair.as_}: {told}"


def amount(found: Found | None, claim: Claim) -> str:
    """`+3.1 points (+1.0 to +5.2)`, or `0.50 times (0.50 to 0.50)`."""
    if found is None:
        return "–"
    low, high = found.ci95
    if unit_of(claim) == "points":
        return f"{points(found.value)} points ({points_ci(found.ci95)})"
    unit = "times" if claim.ratio else claim.measure
    return f"{found.value:.2f} {unit} ({low:.2f} to {high:.2f})"


def _size(value: float, claim: Claim) -> str:
    return f"{100 * value:.1f} points".replace("-", "−") if unit_of(claim) == "points" else f"{value:.2f}"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={json.dumps(value)}" for key, value in settings.items()) or "the profile as it is"
