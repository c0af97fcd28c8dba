"""No dimension may crowd out the others."""

from collections import defaultdict
from collections.abc import Sequence

from r2i.core.ids import unit_of
from r2i.core.records import REJECTED
from r2i.overlay.item import Item, still_ok


def limit_dimensions(items: Sequence[Item], most: int | None, seed: int) -> None:
    """Drop kept items (`over_limit`) beyond `most` of one dimension; which ones follows from a hash of their ids.

    `most` None: nothing is dropped.
    """
    if most is None:
        return
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in still_ok(items):
        groups[item.vote["dimension"]].append(item)
    for group in groups.values():
        group.sort(key=lambda item: unit_of(seed, "dimension limit", item.question_id))
        for item in group[most:]:
            item.drop(REJECTED, "over_limit")
