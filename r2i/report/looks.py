"""Where the models look: attention coverage, and pictures of a few items under the attention to them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from r2i.core.images import read_image
from r2i.core.names import ModelNames
from r2i.report import charts
from r2i.report.heatmap import heatmaps_beside
from r2i.report.pictures import picture

Row = Mapping[str, Any]


def coverage_tiles(scores: Row, models: ModelNames) -> list[tuple[str, list[str], str]]:
    """(what, a value for each model, how) of each tile; none where attention was not measured."""
    cell = scores.get("coverage")
    if not cell:
        return []
    measured = [model for model in models.leading if model in cell]
    said = charts.ci(cell["ci95"], signed=len(measured) > 1)
    if len(measured) > 1:
        said = f"change {charts.points(cell['change'])} {said}"
    shares = [charts.percent(cell[model]) for model in measured]
    times = [f"{cell[f'focus_{model}']:.1f}×" for model in measured]
    return [
        ("Attention inside the box", shares, f"{said}, {cell['n']} items"),
        ("Times an even look", times, "attention inside the box over the box's share of the image"),
    ]


def look_card(row: Row) -> dict[str, Any] | None:
    """An item as it is and under the attention of each model; None where they saw it in other grids."""
    looks: Mapping[str, Sequence[Row]] = row["looks"]
    first = next(iter(looks.values()))[0]
    if any(one["grid"] != first["grid"] or one["frame"] != first["frame"] for rows in looks.values() for one in rows):
        return None
    maps = [np.mean([one["map"] for one in rows], axis=0).tolist() for rows in looks.values()]
    data = heatmaps_beside(read_image(row["image"]), maps, tuple(first["grid"]), row["box"], tuple(first["frame"]))
    inside = {model: float(np.mean([one["coverage"] for one in rows])) for model, rows in looks.items()}
    return {
        "question": row["question"],
        "dimension": row["dimension"],
        "picture": picture(data, "look"),
        "inside": {model: charts.percent(share) for model, share in inside.items()},
    }
