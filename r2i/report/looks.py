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


def coverage_tiles(scores: Row, models: ModelNames) -> list[tuple[str, str, str, str]]:
    """(what, before, after, how) of each tile; none where attention was not measured."""
    cell = scores.get("coverage")
    if not cell:
        return []
    change = f"change {charts.points(cell['change'])} {charts.ci(cell['ci95'], signed=True)}"
    share, now = (charts.percent(cell[model]) for model in models.pair)
    before, after = (f"{cell[key]:.1f}" for key in (f"focus_{model}" for model in models.pair))
    return [
        ("Attention inside the box", share.removesuffix(" %"), now, f"{change}, {cell['n']} items"),
        ("Times an even look", f"{before}×", f"{after}×", "attention inside the box over the box's share of the image"),
    ]


def look_card(row: Row) -> dict[str, Any] | None:
    """An item as it is and under the attention of both models; None where they saw it in other grids."""
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
