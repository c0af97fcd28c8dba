"""How much each layer looks at the evidence: focus over the depth of the model, so that no layer need be chosen."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from r2i.core.names import ModelNames
from r2i.report.charts import ci, percent

WIDTH, HEIGHT = 300.0, 96.0  # of the view box; it is stretched to its place


def layer_card(scores: Mapping[str, Any], models: ModelNames) -> dict[str, Any] | None:
    """The curve of each measured model on one scale, and the table behind it; None where there is none."""
    found = (scores.get("coverage") or {}).get("curve") or {}
    curves = {model: found[model] for model in models.leading if model in found}
    tops = [value for curve in curves.values() for value in curve["focus"] if value is not None]
    if not tops or max(len(curve["focus"]) for curve in curves.values()) < 2:
        return None
    top = 1.1 * max(1.0, *tops)
    even = _y(1.0, top)
    drawn = "".join(
        f'<g class="{models.role(model)}"><path class="mean" d="{_path(curve["focus"], top)}"/></g>'
        for model, curve in curves.items()
    )
    said = "; ".join(f"{models.titles[model]}: at most {_times(max(_known(curve)))}" for model, curve in curves.items())
    svg = Markup(
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        'aria-label="Times an even look, by layer. {said}.">'
        f'<path d="M0 {even}H{WIDTH:g}"/>{drawn}</svg>'
    ).replace("{said}", Markup.escape(said))
    return {"svg": svg, "top": _times(top), "models": list(curves), "table": _table(curves, models)}


def _table(curves: Mapping[str, Any], models: ModelNames) -> tuple[list[str], list[list[str]]]:
    depth = max(len(curve["focus"]) for curve in curves.values())
    head = ["Layer", *(f"{models.titles[model]}{what}" for model in curves for what in (", inside", ", times"))]
    lines = []
    for at in range(depth):
        line = [str(at)]
        for curve in curves.values():
            there = at < len(curve["focus"])
            share = curve["coverage"][at] if there else None
            line += [
                "–" if share is None else f"{percent(share)} {ci(curve['ci95'][at])}",
                _times(curve["focus"][at] if there else None),
            ]
        lines.append(line)
    return head, lines


def _known(curve: Mapping[str, Any]) -> list[float]:
    return [value for value in curve["focus"] if value is not None] or [0.0]


def _times(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}×"


def _y(value: float, top: float) -> float:
    return round(HEIGHT - 4 - value / top * (HEIGHT - 8), 1)


def _path(values: list[float | None], top: float) -> str:
    step = WIDTH / max(1, len(values) - 1)
    pieces, pen = [], "M"
    for at, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        pieces.append(f"{pen}{at * step:.1f} {_y(value, top)}")
        pen = "L"
    return "".join(pieces)
