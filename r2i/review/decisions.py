"""Decisions of people as append-only JSON lines, and how a file of them is read.

One line is one decision; nothing is ever changed or deleted (an undo is a further line). The order of the lines
means nothing, so that two labs' files are merged by keeping the lines of both. A line that is no decision is named
and left out, never fatal: a killed process or a full disk may tear the last one.
"""

import hashlib
import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from r2i.core.choices import LETTERS
from r2i.core.text import careful_form
from r2i.grading.strict import LONGEST

REASONS = {  # why a row is fixed or rejected; "other" wants a note
    "wrong_answer": "the answer is wrong",
    "unclear_question": "the question can't be understood, or has several answers",
    "not_in_image": "what is asked is not in the image",
    "answer_outside_box": "the evidence is not in the box",
    "bad_options": "several options are right, or none",
    "bad_picture": "too dark, blurred or broken to say",
    "trivial": "it is answered without looking",
    "unfit": "private, offensive, or unlawful",
    "other": "something else: say what",
}
Frame = Literal["voted", "trained", "untrained", "items"]
Sides = Annotated[list[int], Field(min_length=4, max_length=4)]
Text = Annotated[str, Field(max_length=LONGEST)]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Was(Part):
    """What was decided about, before any fix. A row that is no longer so makes the decision stale."""

    question: str
    answer: str
    dimension: str
    box: Sides | None
    """xyxy, pixels of the full image."""
    options: list[str] | None = None
    """In the order shown; null for questions, whose options are made after the decisions."""


class Fix(Part):
    """Only what changed."""

    question: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    options: Annotated[list[Text], Field(min_length=2, max_length=len(LETTERS))] | None = None
    answer: Annotated[str, Field(min_length=1, max_length=LONGEST)] | None = None
    box: Sides | None = None
    """xyxy, pixels of the full image."""
    dimension: Annotated[str, Field(min_length=1, max_length=80)] | None = None

    @model_validator(mode="after")
    def _box_has_an_area(self) -> Self:
        if self.box and not (0 <= self.box[0] < self.box[2] and 0 <= self.box[1] < self.box[3]):
            raise ValueError("a box is left, top, right, bottom: right of left, bottom below top, none negative")
        return self

    @property
    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class Decision(Part):
    """`subject`: question_id or item_id. `undoes`: the decision_id that this line takes back (verdict `undo`)."""

    decision_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    subject: Name
    verdict: Literal["accept", "fix", "reject", "undo"]
    was: Was
    fix: Fix = Fix()
    reason: str = ""
    """One of REASONS; empty for accept."""
    note: Annotated[str, Field(max_length=4000)] = ""
    reviewer: Name
    frame: Frame
    """What the row was drawn from: all voted questions, those that became train rows, the others, or items."""
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]
    """UTC."""
    seconds: Annotated[float, Field(ge=0)] | None = None
    """From the row being shown to the decision."""
    undoes: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.verdict == "fix") != bool(self.fix.changes):
            raise ValueError("a fix changes something, another verdict changes nothing")
        if (self.verdict == "undo") != bool(self.undoes):
            raise ValueError("an undo names the decision that it takes back")
        if self.reason not in REASONS and (self.reason or self.verdict == "reject"):
            raise ValueError(f"a reason is one of {', '.join(REASONS)}")
        answer = self.fix.answer if self.fix.answer is not None else self.was.answer
        options = self.fix.options
        if options is None and self.was.options and self.fix.answer is not None:
            options = self.was.options
        if options is not None:
            forms = [form_of(option) for option in options]
            if len(set(forms)) < len(forms) or "" in forms or forms.count(form_of(answer)) != 1:
                raise ValueError("options are different texts, and one of them is the answer")
        return self


@dataclass
class Decisions:
    """What a file holds. `bad`: what is wrong with which line; `torn`: whether the last line is half a one."""

    all: list[Decision] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    torn: bool = False

    def standing(self) -> list[Decision]:
        """In order of time; without those that were undone, and of one reviewer the last about a subject."""
        taken_back = {
            (one.undoes, one.reviewer) for one in self.all if one.verdict == "undo"
        }  # only one's own decisions can be taken back
        last: dict[tuple[str, str], Decision] = {}
        for one in sorted(self.all, key=order):
            if one.verdict != "undo" and (one.decision_id, one.reviewer) not in taken_back:
                last[one.subject, one.reviewer] = one
        return sorted(last.values(), key=order)


def order(decision: Decision) -> tuple[str, str]:
    """Of time; the id decides between two of one moment."""
    whole, _, fraction = decision.at.rstrip("Z").partition(".")
    return f"{whole}.{fraction.ljust(6, '0')}", decision.decision_id


def form_of(text: str) -> str:
    """What two texts share that surely say the same (r2i.core.text)."""
    return careful_form(text)


def new_id() -> str:
    return uuid.uuid4().hex


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def was_of(row: Mapping[str, Any], options: bool = False) -> Was:
    """Of a row with question, answer, dimension and box; `options`: they belong to what is decided about."""
    box = [int(side) for side in row["box"]] if row["box"] else None
    shown = list(row["options"]) if options else None
    return Was(question=row["question"], answer=row["answer"], dimension=row["dimension"], box=box, options=shown)


def read_decisions(path: Path) -> Decisions:
    """All of a file's decisions. A file that is not there holds none."""
    data = path.read_bytes() if path.is_file() else b""
    return parse_lines(data)


def read_and_warn(path: Path) -> Decisions:
    """`read_decisions`; lines that are no decisions are named on stderr: one of them may have been a rejection."""
    found = read_decisions(path)
    for words in found.bad:
        print(f"warning: {path}, {words}: it is not applied; `git log -p {path}` shows what it was", file=sys.stderr)
    return found


def parse_lines(data: bytes) -> Decisions:
    """Lines -> decisions; a line that is there twice counts once."""
    found = Decisions()
    seen: dict[str, str] = {}  # decision_id -> hash of what it says
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            decision = Decision.model_validate(json.loads(line.decode("utf-8-sig")))  # an editor may write a mark first
        except (ValueError, RecursionError) as error:  # of JSON, UTF-8 and pydantic
            found.torn = found.torn or number == len(lines)
            found.bad.append(f"line {number}: {_why(error)}")
            continue
        digest = hashlib.sha256(decision.model_dump_json().encode()).hexdigest()
        if decision.decision_id not in seen:
            seen[decision.decision_id] = digest
            found.all.append(decision)
        elif seen[decision.decision_id] != digest:
            found.bad.append(f"line {number}: another decision with the id {decision.decision_id}")
    return found


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'decision'}: {first['msg']}"
    return "no JSON object in UTF-8: half a line?" if isinstance(error, ValueError) else "nested too deeply"


def by_subject(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    grouped: dict[str, list[Decision]] = {}
    for one in decisions:
        grouped.setdefault(one.subject, []).append(one)
    return grouped
