"""Sentences on the evaluation beside accuracies: attention, cost, contamination, what n can show."""

from typing import Any


def evaluation_lines(scores: dict[str, Any]) -> list[str]:
    """Paragraphs of Markdown, from `metrics/evaluate.json`; what was not measured is left out."""
    texts = [_replies(scores), _coverage(scores.get("coverage")), _cost(scores.get("cost"))]
    return [line for text in texts if text for line in ("", text)]


def _replies(scores: dict[str, Any]) -> str:
    seen, power = scores.get("contamination"), scores.get("power") or {}
    unread = [sum(counts.values()) for kind in ("unscored", "failed") for counts in [_of(scores, kind, "distilled")]]
    text = f"Replies of the distilled model that no rule could read: {unread[0]}; calls that failed: {unread[1]}; "
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


def _coverage(cell: dict[str, Any] | None) -> str:
    if not cell:
        return ""
    low, high = cell["ci95"]
    return (
        f"Attention coverage (share of the image attention that falls inside the box): {100 * cell['base']:.1f} → "
        f"{100 * cell['distilled']:.1f} % ({100 * low:+.1f} to {100 * high:+.1f} points), {cell['focus_base']:.1f} and "
        f"{cell['focus_distilled']:.1f} times the box's share of the image tokens (n = {cell['n']})."
    )


def _cost(cost: dict[str, Any] | None) -> str:
    ratios = ((cost or {}).get("zoom_over_full") or {}).get("distilled")
    if not ratios or None in ratios.values():
        return ""
    return (
        f"A zoom costs {ratios['vision_forwards']:.1f} times the full view's vision forwards, "
        f"{ratios['tokens_in']:.1f} times its prompt tokens and {ratios['tokens_out']:.1f} times its reply tokens "
        "(mini can't name boxes: its zoom is shown the item's own)."
    )
