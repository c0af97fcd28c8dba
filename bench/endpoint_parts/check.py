"""Whether a client's replies are what the server said and was paid for: nothing lost, invented or paid twice."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.endpoint_parts.client import Work
from bench.endpoint_parts.plan import say
from r2i.endpoint.store import Store

SAID = re.compile(r"seed (\d+), choice (\d+): [0-9a-f]{16}")
GIVEN = frozenset({"truncated", "empty", "refused"})  # by the server, as replies: paid for, and no answers


def check(told: Work, table: Sequence[Sequence[dict[str, Any]]], calls: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Counts that are 0 when all is well.

    `table`: the replies as the client keeps them; `calls`: the server's list of served calls. `lost`: samples
    without a reply of the server's. `invented`: answers that the server did not give to that prompt, or gave once
    and that stand twice. `paid_twice`: samples served beyond those that were wanted. `stored_amiss`: samples
    by which the store differs from what was served.
    """
    asked = [told.request(index) for index in range(told.requests)]
    served = Counter({call["prompt"]: 0 for call in calls})
    choices: dict[str, set[tuple[int, int]]] = {}
    for call in calls:
        served[call["prompt"]] += call["samples"]
        choices.setdefault(call["prompt"], set()).update((call["seed"], index) for index in range(call["n"]))
    found = {"lost": 0, "invented": 0, "paid_twice": 0, "stored_amiss": 0}
    found["lost"] += sum(request.n for request in asked[len(table) :])
    for request, row in zip(asked, table, strict=False):
        given = [reply for reply in row if reply["status"] == "ok" or reply["reason"] in GIVEN]
        answers = [reply["text"] for reply in given if reply["status"] == "ok"]
        true = {text for text in answers if is_true(text, request.prompt, choices.get(request.prompt, set()))}
        found["lost"] += max(0, request.n - len(given))
        found["invented"] += len(answers) - len(true) + max(0, len(given) - request.n)
        found["paid_twice"] += max(0, served[request.prompt] - request.n)
    found["stored_amiss"] = abs(stored_samples(Path(told.store)) - served.total())
    return found


def is_true(text: str, prompt: str, choices: set[tuple[int, int]]) -> bool:
    """Whether `text` is what the server said to `prompt`, in one of the (seed, index) `choices` that it served."""
    said = SAID.fullmatch(text)
    if said is None:
        return False
    seed, index = int(said[1]), int(said[2])
    return (seed, index) in choices and text == say(prompt, seed, index)


def stored_samples(root: Path) -> int:
    """Samples in a live store; a damaged record holds none."""
    store = Store(root)
    records = [store.live(path.stem) for path in root.glob("??/*.json")]
    return sum(len(record.replies) for record in records if record is not None)
