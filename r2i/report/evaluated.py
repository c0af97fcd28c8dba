"""Sentences on the evaluation beside accuracies: attention, cost, contamination, what n can show."""

from typing import Any

from r2i.core.names import ModelNames


def evaluation_lines(scores: dict[str, Any], models: ModelNames, given: bool) -> list[str]:
    """Paragraphs of Markdown, from `metrics/evaluate.json`; what was not measured is left out.

    `given`: the zoom view showed each item's own box (`zoom.box: oracle`).
    """
    texts = [
        _replies(scores, models),
        _coverage(scores.get("coverage"), models),
        _cost(scores.get("cost"), models, given),
    ]
    return [line for text in texts if text for line in ("", text)]


def _replies(scores: dict[str, Any], models: ModelNames) -> str:
    seen, power = scores.get("contamination"), scores.get("power") or {}
    model = models.headline or ""
    unread, failed = (sum(_of(scores, kind, model).values()) for kind in ("unscored", "failed"))
    text = f"Replies of the {model} model that no rule could decide on, which count as wrong: {unread}; "
    text += f"calls that failed, which count nowhere: {failed}. "
    if seen:
        text += (
            f"{len(seen['items'])} of {seen['checked']} benchmark items share bytes, pixels or a perceptual hash "
            f"(within {seen['bits']} of 64 bits) with the {seen['images']} images of the train rows. "
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
    measured = [model for model in models.leading if model in cell]
    shares = " → ".join(f"{100 * cell[model]:.1f}" for model in measured)
    times = " and ".join(f"{cell[f'focus_{model}']:.1f}" for model in measured)
    sign, unit = ("+", "points") if len(measured) > 1 else ("", "%")  # of the change, or of the share itself
    return (
        f"Attention coverage (share of the image attention that falls inside the box): {shares} % "
        f"({100 * low:{sign}.1f} to {100 * high:{sign}.1f} {unit}), {times} times the box's share of the image tokens "
        f"(n = {cell['n']})."
    )


def _cost(cost: dict[str, Any] | None, models: ModelNames, given: bool) -> str:
    ratios = ((cost or {}).get("zoom_over_full") or {}).get(models.headline)
    if not ratios or None in ratios.values():
        return ""
    return (
        f"A zoom costs {ratios['vision_forwards']:.1f} times the full view's vision forwards, "
        f"{ratios['tokens_in']:.1f} times its prompt tokens and {ratios['tokens_out']:.1f} times its reply tokens"
        + (" (no model chose its box: it is shown the item's own)." if given else ".")
    )
