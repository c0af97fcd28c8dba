"""Metrics files: sorted JSON with rounded floats, without time, path or run id."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2i.core.disk import new_file
from r2i.core.errors import TableError


def rounded(value: Any, digits: int = 6) -> Any:
    """`value` with every float in it rounded; NaN and infinities become None (JSON has neither)."""
    if isinstance(value, float):
        return round(value, digits) if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item, digits) for item in value]
    return value


def write_metrics(path: Path, values: Mapping[str, Any]) -> None:
    """Write `values` whole or not at all. Raises DiskError."""
    text = json.dumps(rounded(values), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    with new_file(path) as part:
        part.write_text(text, encoding="utf-8")


def count_statuses(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The funnel of one stage: rows by status, and by reason where there is one."""
    statuses: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in rows:
        statuses[row["status"]] += 1
        if row["reason"]:
            reasons[f"{row['status']}: {row['reason']}"] += 1
    return {"rows": sum(statuses.values()), "status": dict(statuses), "reason": dict(reasons)}


def histogram(values: Iterable[Any]) -> dict[str, int]:
    """How often each value occurs, in order of the values."""
    return {str(value): count for value, count in sorted(Counter(values).items())}


def require_ok(rows: Sequence[Mapping[str, Any]], what: str, remedies: Mapping[str, str] | str) -> None:
    """Raise TableError, with what became of all rows, where none is ok: the next stage would have nothing."""
    require_ok_counts(count_statuses(rows), what, remedies)


def require_ok_counts(funnel: Mapping[str, Any], what: str, remedies: Mapping[str, str] | str) -> None:
    """As `require_ok`, of what `count_statuses` gave. `remedies`: see remedy_for; a text alone helps always."""
    if not funnel["status"].get("ok"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(funnel["reason"].items()))
        remedy = remedies if isinstance(remedies, str) else remedy_for(funnel["reason"], remedies)
        raise TableError(f"no {what} is left ({reasons or 'there was none'})", remedy)


def remedy_for(counts: Mapping[str, int], remedies: Mapping[str, str]) -> str:
    """What helps against the most common reason that has a remedy; else the remedy of no reason, "".

    `counts`: by reason, or by `status: reason`. `remedies`: by reason; one that ends with _ stands for all that begin
    so.
    """
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        reason = name.rpartition(": ")[2]
        begun = (start for start in remedies if start.endswith("_") and reason.startswith(start))
        if counts[name] and (found := reason if reason in remedies else next(begun, "")):
            return remedies[found]
    return remedies[""]
