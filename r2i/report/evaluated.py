"""Sentences on the evaluation beside accuracies: attention, cost, contamination, what n can show."""

from typing import Any

from r2i.core.names import ModelNames


def evaluation_lines(scores: dict[str, Any], models: ModelNames) -> list[str]:
    """Paragraphs of Markdown, from `metrics/evaluate.json`; what was not measured is left out."""
    texts = [_replies(scores, models), _coverage(scores.get("coverage"), models), _cost(scores.get("cost"), models)]
    return [line for text in texts if text for line in ("", text)]


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
