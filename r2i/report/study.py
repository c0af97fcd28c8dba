"""The study's claims as one picture: each difference with its interval on one axis, each verdict beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.axis import axis_around_zero
from r2i.report.charts import ci, points

STUDY = paths.metrics("study")
PAGE = Path("docs/study.md")
ROLES = {"holds here": "compared", "does not": "base"}
"""The colour of a verdict; others are grey."""
UNITS = {"ratio": " times", "tokens": " tokens", "forwards": " images read"}


def study_picture(found: Mapping[str, Mapping[str, Any]], profile: str) -> dict[str, Any]:
    """Rows, one a claim, and ticks of their axis, which holds every interval in points; {} where nothing of this
    profile was run. What is no difference in points has its number beside it and no place on the axis."""
    own = [claim for claim in found.values() if claim["profile"] == profile]
    if not any(claim["seeds"] for claim in own):
        return {}
    placed = [claim for claim in own if _has_place(claim)]
    reach, ticks = axis_around_zero(end for one in placed for end in (*one["ci95"], one["ours"], one["bound"]))
    return {
        "rows": [_row(claim, reach) for claim in own],
        "ticks": [{"at": at, "text": points(value).removesuffix(".0")} for at, value in ticks],
    }


def _has_place(claim: Mapping[str, Any]) -> bool:
    return claim["unit"] == "points" and claim["ours"] is not None


def _row(claim: Mapping[str, Any], reach: float) -> dict[str, Any]:
    spot = _spot(claim, reach) if _has_place(claim) else None
    return {"says": claim["says"], "paper": claim["paper"], "verdict": claim["verdict"], "seeds": claim["seeds"],
            "ours": _amount(claim), "role": ROLES.get(claim["verdict"], "other"), "spot": spot}  # fmt: skip


def _spot(claim: Mapping[str, Any], reach: float) -> dict[str, Any]:
    """Where the value, its interval and the claim's bound lie, in percent of the axis's width."""
    low, high = claim["ci95"]
    at, low, high, bound = (_place(value, reach) for value in (claim["ours"], low, high, claim["bound"]))
    return {"at": at, "low": low, "high": high, "bound": bound, "role": ROLES.get(claim["verdict"], "other")}


def _place(value: float, reach: float) -> float:
    return round(50 + 50 * value / reach, 2)


def _amount(claim: Mapping[str, Any]) -> str:
    value, interval = claim["ours"], claim["ci95"]
    if value is None:
        return "–"
    if claim["unit"] == "points":
        return f"{points(value)} {ci(interval, True)}"
    return f"{value:.2f}{UNITS[claim['unit']]} {_plain(interval)}"


def _plain(interval: Sequence[float]) -> str:
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]"
