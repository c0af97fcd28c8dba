"""Verdicts for a person to confirm: a sample of them, the person's answers, and how often they agreed.

Answers are kept in `.r2i/audit/<model>.jsonl`, a line each: ids and verdicts alone, no text of the data.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from r2i.core import paths
from r2i.core.choices import LETTERS
from r2i.core.errors import TableError
from r2i.core.ids import make_id
from r2i.core.records import OK
from r2i.core.tables import Row
from r2i.score.proportion import wilson

FOLDER = "audit"


@dataclass(frozen=True)
class Agreement:
    """Of one rule: in how many of `asked` verdicts the person agreed, with Wilson's 95 % interval."""

    rule: str
    agreed: int
    asked: int

    @property
    def share(self) -> float:
        return self.agreed / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.share, self.asked)


def log_path(model: str) -> Path:
    """Where the answers about `model` are kept, beside the store of replies."""
    return paths.reply_store().parent / FOLDER / f"{model}.jsonl"


def choose_rows(rows: Iterable[Row], n: int, seed: int, rule: str | None = None) -> list[Row]:
    """At most `n` replies that came, by a hash of their ids and `seed`; of one rule, or of all rules in turn.

    In turn: a rule that seldom decides is seen as often as one that mostly does. Raises TableError for none.
    """
    by_rule: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == OK and rule in (None, row["rule"]):
            by_rule[row["rule"]].append(row)
    if not by_rule:
        raise TableError(f"no prediction was decided by the rule {rule!r}" if rule else "no reply came at all",
                         "leave out --rule, or see `rule` in the metrics of evaluate")  # fmt: skip
    ordered = (
        sorted(by_rule[name], key=lambda row: make_id(seed, "audit", row["prediction_id"])) for name in sorted(by_rule)
    )
    return [row for row in chain.from_iterable(zip_longest(*ordered)) if row is not None][:n]


def verdict_id(row: Row) -> str:
    """Names a verdict: another reply, rule or verdict on the same prediction has to be confirmed anew."""
    return make_id(row["prediction_id"], row["reply"], row["rule"], row["correct"])


def read_answers(path: Path) -> dict[str, bool]:
    """Whether the person agreed, by verdict_id; the last answer to each counts. A torn line is skipped."""
    found: dict[str, bool] = {}
    if not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            if isinstance(entry["agrees"], bool):
                found[str(entry["verdict_id"])] = entry["agrees"]
        except (ValueError, KeyError, TypeError):
            continue
    return found


def append_answer(path: Path, row: Row, agrees: bool) -> None:
    """Add one line; it starts on a line of its own even where the one before it was torn."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = {"verdict_id": verdict_id(row), "prediction_id": row["prediction_id"], "rule": row["rule"],
             "correct": row["correct"], "agrees": agrees}  # fmt: skip
    torn = path.is_file() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if torn else "") + json.dumps(entry, sort_keys=True) + "\n")


def measure_agreement(rows: Sequence[Row], answers: Mapping[str, bool]) -> list[Agreement]:
    """By rule, over those of `rows` that the person has answered."""
    by_rule: dict[str, list[bool]] = defaultdict(list)
    for row in rows:
        if (agrees := answers.get(verdict_id(row))) is not None:
            by_rule[row["rule"]].append(agrees)
    return [Agreement(rule, sum(agreed), len(agreed)) for rule, agreed in sorted(by_rule.items())]


def describe_verdict(row: Row) -> str:
    """`right, by judge`; a reply without a verdict counts as wrong."""
    verdict = {True: "right", False: "wrong", None: "unscored, counted as wrong"}[row["correct"]]
    return f"{verdict}, by {row['rule']}" if row["correct"] is not None else verdict


def describe_row(row: Row) -> list[tuple[str, str]]:
    """What a person needs to see of a row: name and text of each part."""
    options = [f"{letter}. {text}" for letter, text in zip(LETTERS, row["options"] or (), strict=False)]
    gold = f"{row['label']}. {row['answer']}" if options else row["answer"]
    parts = [("question", row["question"]), ("options", "\n".join(options)), ("right answer", gold),
             ("reply", row["reply"]), ("read as", row["predicted"]), ("verdict", describe_verdict(row))]  # fmt: skip
    return [(name, text) for name, text in parts if text]


def to_markdown(rows: Sequence[Row], model: str) -> str:
    """A page to fill in: every row with a box to tick."""
    lines = [f"# Verdicts on {model}: {len(rows)} to confirm", ""]
    for number, row in enumerate(rows, 1):
        lines += [f"## {number}. `{row['prediction_id']}` ({row['view']}, sample {row['sample']})", ""]
        for name, text in describe_row(row):
            fence = "`" * max(3, 1 + max((len(run) for run in _ticks(text)), default=0))
            lines += [f"**{name}**", "", fence + "text", text, fence, ""]
        lines += ["- [ ] agree", "- [ ] disagree", ""]
    return "\n".join(lines)


def _ticks(text: str) -> list[str]:
    return ["`" * len(run) for run in "".join(char if char == "`" else " " for char in text).split()]
