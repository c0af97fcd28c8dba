"""What the judge replies: which of the numbered answers mean the same."""

from typing import Any

from r2i.core.parse import Parsed, ReplyError, make_form, read_json, strict_object

GROUPS_FORM = make_form(
    "groups",
    strict_object(
        reasoning={"type": "string"},
        groups={
            "type": "array",
            "items": strict_object(answers={"type": "array", "items": {"type": "integer"}}, count={"type": "integer"}),
        },
    ),
)


def parse_groups(text: str, counts: list[int]) -> Parsed[list[list[int]]]:
    """Places (from 0) of equivalent answers, from `{"groups": [{"answers": [1, 3], "count": 7}, ...]}`.

    `counts[i]`: samples that gave answer i + 1. The judge names numbers, not texts, so that nothing
    it writes can get into an option. Raises ReplyError unless the groups hold every number exactly
    once and each stated count is the sum of its answers' counts.
    """
    said, repaired = read_json(text, "{", _has_groups)
    groups = said["groups"]
    numbers = sorted(number for group in groups for number in group["answers"])
    if numbers != list(range(1, len(counts) + 1)):
        raise ReplyError("not_a_partition")
    partition = [[number - 1 for number in group["answers"]] for group in groups if group["answers"]]
    stated = [group["count"] for group in groups if group["answers"]]
    if stated != [sum(counts[place] for place in places) for places in partition]:
        raise ReplyError("wrong_counts")
    return Parsed(partition, repaired)


def _has_groups(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("groups"), list)
        and all(
            isinstance(group, dict)
            and isinstance(group.get("answers"), list)
            and all(type(number) is int for number in group["answers"])
            and type(group.get("count")) is int
            for group in value["groups"]
        )
    )
