"""How what was scored had been asked and judged, in words: no accuracy is told without it."""

from collections.abc import Mapping
from typing import Any


def asked_words(scores: Mapping[str, Any]) -> str:
    """`asked by protocol mine (edited); what rules can't read is judged by Kimi-K2`; empty where the metrics tell none.

    `scores`: metrics/evaluate.json.
    """
    protocol, judge = scores.get("protocol"), scores.get("judge")
    if not protocol:
        return ""
    name, kind = protocol["name"], protocol["kind"]
    whose = "" if kind == name else f" ({kind})"
    return f"asked by protocol {name}{whose}; what rules can't read is {f'judged by {judge}' if judge else 'unscored'}"
