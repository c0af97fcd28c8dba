"""What the README says of the evaluation beside accuracies: attention, cost, contamination, what n can show."""

import json
from pathlib import Path
from typing import Any

from r2i.core.names import ModelNames

LATENCY, COVERAGE = Path("bench/results/latency.json"), Path("bench/results/coverage.json")


def evaluation_lines(scores: dict[str, Any], models: ModelNames) -> list[str]:
    """Paragraphs of Markdown, from `metrics/evaluate.json` and the benches; what was not measured is left out."""
    found = [_replies(scores, models), _coverage(scores.get("coverage"), models), _cost(scores.get("cost"), models)]
    found += [_bench(path, words) for path, words in ((LATENCY, _latency), (COVERAGE, _memory))]
    return [line for text in found if text for line in ("", text)]


def _replies(scores: dict[str, Any], models: ModelNames) -> str:
    seen, power = scores.get("contamination"), scores.get("power") or {}
    model = models.compared
    unread, failed = (sum(_of(scores, kind, model).values()) for kind in ("unscored", "failed"))
    text = f"Replies of the {model} model that no rule could read: {unread}; calls that failed: {failed}; "
    text += "both count as wrong. "
    if seen:
        text += (
            f"{len(seen['items'])} of {seen['checked']} benchmark items share bytes, pixels or a perceptual hash "
            f"(within {seen['bits']} of 64 bits) with the {seen['images']} images that were trained on. "
        )
    if smallest := power.get("smallest_difference"):
        text += f"The smallest difference that this benchmark can show (80 % power): {100 * smallest:.1f} points."
    return text.rstrip()


def _of(scores: dict[str, Any], kind: str, model: str) -> dict[str, int]:
    return dict((scores.get(kind) or {}).get(model) or {})


def _coverage(cell: dict[str, Any] | None, models: ModelNames) -> str:
    if not cell:
        return ""
    low, high = cell["ci95"]
    (before, after), (focus, focused) = ([cell[f"{of}{m}"] for m in models.pair] for of in ("", "focus_"))
    return (
        f"Attention coverage (share of the image attention that falls inside the box): {100 * before:.1f} → "
        f"{100 * after:.1f} % ({100 * low:+.1f} to {100 * high:+.1f} points), {focus:.1f} and "
        f"{focused:.1f} times the box's share of the image tokens (n = {cell['n']})."
    )


def _cost(cost: dict[str, Any] | None, models: ModelNames) -> str:
    ratios = ((cost or {}).get("zoom_over_full") or {}).get(models.compared)
    if not ratios or None in ratios.values():
        return ""
    return (
        f"A zoom costs {ratios['vision_forwards']:.1f} times the full view's vision forwards, "
        f"{ratios['tokens_in']:.1f} times its prompt tokens and {ratios['tokens_out']:.1f} times its reply tokens "
        "(mini can't name boxes: its zoom is shown the item's own)."
    )


def _bench(path: Path, words: Any) -> str:
    return str(words(json.loads(path.read_text(encoding="utf-8")))) if path.is_file() else ""


def _latency(bench: dict[str, Any]) -> str:
    ratios, single = bench["zoom_over_full"], bench["batch_1"]
    return (
        f"Latency (`python bench/latency.py`, {bench['device']}, one at a time): full view P50 "
        f"{single['full']['p50_ms']:.0f} ms, P95 {single['full']['p95_ms']:.0f} ms; zoom {ratios['p50']:.1f} and "
        f"{ratios['p95']:.1f} times that; in batches of 32 it answers {ratios['throughput']['32']:.2f} times as many."
    )


def _memory(bench: dict[str, Any]) -> str:
    most = bench["4096"]
    return (
        f"Attention coverage at 4,096 image tokens (`python bench/coverage.py`): {most['memory_ratio']:.0f} times less "
        f"memory than full attention matrices, {most['time_ratio']:.1f} times less time; memory grows with tokens to "
        f"the power of {bench['slope']['ours']:.2f} instead of {bench['slope']['eager']:.2f}; largest difference "
        f"{bench['max_abs_difference']:.0e}."
    )
