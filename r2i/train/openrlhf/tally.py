"""What the executors count: groups that dynamic sampling filters out are not in OpenRLHF's own scalars."""

import json
import socket
import uuid
from collections import Counter
from pathlib import Path

from r2i.core.disk import new_file


class Tally:
    """Counts of one executor, on disk after every group: Ray ends its processes without a word.

    `earlier`: what executors counted before this one began, in runs that this one resumes or beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{socket.gethostname()}-{uuid.uuid4().hex}.json"
        self.earlier = read_tallies(folder)
        self.counts: Counter[str] = Counter()

    def write(self) -> None:
        with new_file(self.path) as part:
            part.write_text(json.dumps(self.counts, sort_keys=True) + "\n", encoding="utf-8")


def read_tallies(folder: Path) -> Counter[str]:
    """The sum over all executors: `rollouts`, `masked` and `masked_<reason>` (could not be graded), `judged`,
    `groups`, `masked_groups`, and the judge's own counts as `judge_<name>` (`judge_calls`: what was paid for)."""
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        total.update(json.loads(path.read_text(encoding="utf-8")))
    return total
