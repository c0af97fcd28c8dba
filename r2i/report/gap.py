"""The headline's picture: what the full view and the crop view reach before and after, and the gap between them."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from r2i.core.names import ModelNames
from r2i.report.charts import percent, points

WIDTH, TOP, BOTTOM = 400, 24, 244  # of the view box; text below it
LEFT, RIGHT = 62, 350  # of the first and the last column
CAP = 5  # half the width of an interval's ends
ROOM = 44  # height of a gap that its number fits beside
SIDE = 70  # width of that number
MANY = 4  # models, whose numbers stand left of their bars
TITLE = 16  # characters of a title, of several models
Cell = Mapping[str, Any]


def gap_picture(scores: Mapping[str, Any], names: ModelNames) -> Markup:
    """An SVG of the models in columns; the wedge between the first two is the gap that closes. Empty without a gap.

    Its text is made of numbers, constants and titles from params: nothing that came from a model.
    """
    views = scores.get("views") or {"full": {}, "crop": {}}
    models = [m for m in names if all(_known(views[view].get(m)) for view in ("full", "crop"))]
    if not models:
        return Markup()
    lows = [views[view][m]["ci95"][0] for view in ("full", "crop") for m in models]
    floor = max(0, int(100 * min([*lows, scores["chance"]]) // 10 * 10 - 5)) / 100
    left = LEFT + (SIDE // 2 if len(models) >= MANY else 0)
    at = {m: round(left + (RIGHT - left) * n / (len(models) - 1)) for n, m in enumerate(models) if len(models) > 1}
    at = at or {models[0]: (LEFT + RIGHT) // 2}
    lowest = max(_numbers(views["full"][m], views["crop"][m], floor)[2] for m in models)
    foot = max(BOTTOM + 22, lowest + 18)  # of the titles, below all numbers
    pieces = [_grid(floor), _chance(scores["chance"], floor)]
    if names.base in at and names.compared in at:
        pieces.append(_wedge(views, names.base, names.compared, at, floor))
    for model in models:
        cells = views["full"][model], views["crop"][model]
        pieces.append(_column(names, model, *cells, at[model], floor, len(models), foot))
    said = "; ".join(
        f"{escape(names.titles[m])}: full view {percent(full['accuracy'])}, crop {percent(crop['accuracy'])}"
        for m, full, crop in ((m, views["full"][m], views["crop"][m]) for m in models)
    )
    return Markup(
        f'<svg class="gap" viewBox="0 0 {WIDTH} {foot + 8:g}" role="img" aria-label="The zooming gap. {said}.">'
        + "".join(pieces)
        + "</svg>"
    )


def _known(cell: Cell | None) -> bool:
    return bool(cell) and cell is not None and cell["accuracy"] is not None and None not in cell["ci95"]


def _y(share: float, floor: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * (share - floor) / (1 - floor), 1)


def _grid(floor: float) -> str:
    lines = []
    for tick in range(0, 101, 25):
        if tick / 100 >= floor:
            y = _y(tick / 100, floor)
            lines.append(
                f'<path class="grid" d="M30 {y}H{WIDTH - 12}"/><text class="tick" x="24" y="{y + 4}">{tick}</text>'
            )
    return "".join(lines)


def _chance(share: float, floor: float) -> str:
    if share < floor:
        return ""
    y = _y(share, floor)
    end = WIDTH - 12
    return f'<path class="chance-line" d="M30 {y}H{end}"/><text class="tick" x="{end}" y="{y - 5}">chance</text>'


def _wedge(views: Mapping[str, Any], base: str, compared: str, at: Mapping[str, int], floor: float) -> str:
    corners = [
        (at[model], _y(views[view][model]["accuracy"], floor))
        for view, model in (("crop", base), ("crop", compared), ("full", compared), ("full", base))
    ]
    (a, b, c, d) = corners
    return (
        f'<path class="wedge" d="M{a[0]} {a[1]}L{b[0]} {b[1]}L{c[0]} {c[1]}L{d[0]} {d[1]}Z"/>'
        f'<path class="edge" d="M{a[0]} {a[1]}L{b[0]} {b[1]}"/>'
        f'<path class="edge strong" d="M{d[0]} {d[1]}L{c[0]} {c[1]}"/>'
    )


def _numbers(full: Cell, crop: Cell, floor: float) -> tuple[float, float, float]:
    """How far down the number of the full view stands, that of the crop, and the lowest of these and of the gap's."""
    low, high = _y(full["accuracy"], floor), _y(crop["accuracy"], floor)
    ends = [(_y(cell["ci95"][0], floor) + 17, _y(cell["ci95"][1], floor) - 8) for cell in (full, crop)]
    below, above = (ends[0][0], ends[1][1]) if low >= high else (ends[0][1], ends[1][0])
    return below, above, max(below, above) + (0 if low - high > ROOM else 16)


def _column(
    names: ModelNames, model: str, full: Cell, crop: Cell, x: int, floor: float, count: int, foot: float
) -> str:
    """Both views of a model with their intervals; the gap in points beside the bar between them, or below it."""
    low, high = _y(full["accuracy"], floor), _y(crop["accuracy"], floor)
    gap = points(crop["accuracy"] - full["accuracy"]).lstrip("+")
    below, above, lowest = _numbers(full, crop, floor)
    beside = (x + 8, "start") if x + SIDE < WIDTH and count < MANY else (x - 8, "end")
    place = (beside[0], (low + high) / 2 + 5, beside[1]) if low - high > ROOM else (x, lowest, "middle")
    title = names.titles[model]
    short = title if len(names) == 1 or len(title) <= TITLE else f"{title[:TITLE]}…"
    return (
        f'<g class="{names.role(model)}"><path class="gap-bar" d="M{x} {low}V{high}"/>'
        + _spot(full, x, floor, "full") + _spot(crop, x, floor, "crop")
        + f'<text class="value" x="{x}" y="{below:.1f}">{100 * full["accuracy"]:.1f}</text>'
        + f'<text class="value" x="{x}" y="{above:.1f}">{100 * crop["accuracy"]:.1f}</text>'
        + f'<text class="points" x="{place[0]}" y="{place[1]:.1f}" text-anchor="{place[2]}">gap {gap}</text>'
        + f'<text class="model" x="{x}" y="{foot:g}">{escape(short)}</text></g>'
    )  # fmt: skip


def _spot(cell: Cell, x: int, floor: float, view: str) -> str:
    y, low, high = (_y(share, floor) for share in (cell["accuracy"], *cell["ci95"]))
    whisker = f"M{x} {low}V{high}M{x - CAP} {low}h{2 * CAP}M{x - CAP} {high}h{2 * CAP}"
    return f'<path class="interval" d="{whisker}"/><circle class="{view}" cx="{x}" cy="{y}" r="6"/>'
