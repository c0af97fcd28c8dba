"""What describes a benchmark as a whole."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from r2i.core.boxes import Box, area_share
from r2i.core.images import read_size
from r2i.core.metrics import count_statuses
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.score.magnification import stratum_of


def image_size(row: Row) -> tuple[int, int]:
    """Width and height in pixels of the full view, whose bytes may be a function that gives them."""
    data = row["image"]() if callable(row["image"]) else row["image"]
    return read_size(data)


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Items by dimension and by gold letter, median size of the region, accuracy of blind guessing."""
    kept = [row for row in rows if row["status"] == OK]
    shares = [area_share(Box(*row["box"]), *image_size(row)) for row in kept if row["box"]]
    return {
        "images": len({row["image_id"] for row in kept}),
        "clusters": len({row["cluster_id"] for row in kept}),
        "dimension": dict(Counter(row["dimension"] for row in kept)),
        "label": dict(Counter(row["label"] for row in kept)),
        "with_box": len(shares),
        "with_crop": sum(row["crop"] is not None for row in kept),
        "crops_made": sum(bool(row["crop_made"]) for row in kept),
        "magnification": dict(sorted(Counter(stratum_of(row["magnification"]) for row in kept if row["crop"]).items())),
        "median_area_share": median(shares) if shares else None,
        "chance": mean(1 / len(row["options"]) if row["options"] else 0.0 for row in kept) if kept else None,
    }


def describe(rows: Sequence[Row]) -> dict[str, Any]:
    """The funnel and the summary of one table or of one source's rows."""
    return {**count_statuses(rows), **summarise(rows)}
