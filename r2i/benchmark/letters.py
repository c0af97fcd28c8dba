"""Which letter is the right one: evenly spread."""

from collections import defaultdict
from collections.abc import Iterable

from r2i.core.choices import LETTERS
from r2i.core.ids import make_id
from r2i.core.tables import Row


def balance_letters(items: Iterable[Row]) -> list[Row]:
    """The right options spread over the letters: for each number of options counts differ by one at most.

    Letters go round in the order of dimension and a hash of the id, so that they are as even within a dimension; each
    number of options goes on where the one before it stopped. The other options stand in the order of a hash.
    """
    groups: defaultdict[int, list[Row]] = defaultdict(list)
    for item in items:
        groups[len(item["options"])].append(item)
    balanced = list(groups.pop(0, []))
    turn = 0
    for count, group in sorted(groups.items()):
        group.sort(key=lambda item: (item["dimension"], make_id("letter", item["item_id"])))
        for item in group:
            wrong = [text for letter, text in zip(LETTERS, item["options"], strict=False) if letter != item["label"]]
            options = sorted(wrong, key=lambda text, name=item["item_id"]: make_id(name, "option", text))  # type: ignore[misc]
            options.insert(turn % count, item["answer"])
            balanced.append(item | {"options": options, "label": LETTERS[turn % count]})
            turn += 1
    return balanced
