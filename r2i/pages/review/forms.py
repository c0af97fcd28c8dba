"""What is typed on the page -> a decision."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from r2i.core.choices import LETTERS
from r2i.core.tables import Row
from r2i.pages.web.errors import BadRequest
from r2i.review.decisions import REASONS, Decision, Fix, Frame, Was, form_of, new_id, now

SIDES = ("left", "top", "right_side", "bottom")  # names of the fields; `right` is the mark at an option
LONGEST_WAIT = 86400.0  # seconds: a page that was left open longer says nothing about the work


@dataclass(frozen=True)
class Shown:
    """What the fields of a row's page hold. `right`: place of the right option; -1: there are no options."""

    question: str
    answer: str
    options: tuple[str, ...]
    right: int
    box: tuple[str, ...]
    dimension: str
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Draft:
    """A form that was sent: the fields to show again, and what is wrong with it."""

    shown: Shown
    fault: str = ""
    fix: Fix = field(default_factory=Fix)


def shown_of(row: Row, was: Was) -> Shown:
    """The fields of a row that nobody touched."""
    options = tuple(was.options or row["options"] or ())
    right = _right(row, was, options)
    if right < 0:
        options = ()  # of a run whose answer was another
    box = tuple(map(str, was.box)) if was.box else ("",) * 4
    return Shown(was.question, was.answer, options, right, box, was.dimension)


def _right(row: Row, was: Was, options: tuple[str, ...]) -> int:
    """Place of the right option: the label's if it is the answer (two may differ in case alone), else the answer's."""
    right = [place for place, option in enumerate(options) if form_of(option) == form_of(was.answer)]
    label = LETTERS.find(row["label"]) if row["label"] and list(options) == list(row["options"] or ()) else -1
    return label if label in right else right[0] if right else -1


def token_of(was: Was) -> str:
    """What the page was made from, to notice that a row changed while somebody looked at it."""
    return hashlib.sha256(was.model_dump_json().encode()).hexdigest()[:16]


def read_form(form: Mapping[str, Any], before: Shown, was: Was, size: tuple[int, int]) -> Draft:
    """The fields as they came, and what they change. `size`: of the image, pixels."""
    now_shown = _fields(form, before)
    changes: dict[str, Any] = {}
    for name in ("question", "dimension"):
        if said(getattr(now_shown, name)) != said(getattr(before, name)):
            changes[name] = getattr(now_shown, name)
    try:
        changes |= _answers(now_shown, before, was)
        if box := _box(now_shown.box, before.box, size):
            changes["box"] = box
        return Draft(now_shown, "", Fix(**changes))
    except ValidationError as error:
        return Draft(now_shown, _words(error))
    except ValueError as error:
        return Draft(now_shown, str(error))


def _fields(form: Mapping[str, Any], before: Shown) -> Shown:
    def text(name: str, default: str) -> str:
        value = form.get(name)
        return default if not isinstance(value, str) else clean(value)

    typed = [text(f"option{place}", "") for place in range(len(LETTERS))]
    mark = text("right", "")
    chosen = int(mark) if mark in map(str, range(len(LETTERS))) else -1
    kept = [(place, option) for place, option in enumerate(typed) if option]
    right = next((number for number, (place, _) in enumerate(kept) if place == chosen), -1)
    return Shown(
        text("question", before.question), text("answer", before.answer), tuple(option for _, option in kept), right,
        tuple(text(side, old) for side, old in zip(SIDES, before.box, strict=True)),
        text("dimension", before.dimension), text("reason", ""), text("note", ""),
    )  # fmt: skip


def _answers(typed: Shown, before: Shown, was: Was) -> dict[str, Any]:
    """Changes of options and answer. With options the answer is the one that is marked. Raises ValueError for none."""
    options, old = list(map(said, typed.options)), list(map(said, before.options))
    if not typed.options:
        gone: dict[str, Any] = {"options": []} if before.options else {}
        return gone | ({"answer": typed.answer} if said(typed.answer) != said(before.answer) else {})
    if typed.right < 0:
        raise ValueError("mark the option that is right")
    answer = typed.options[typed.right]
    changed = form_of(answer) != form_of(was.answer)
    changes: dict[str, Any] = {"answer": answer} if changed else {}
    # options of a question belong to an earlier run: those that were looked at are kept with a new answer
    if options != old or (changed and was.options is None):
        changes["options"] = list(typed.options)
    return changes


def _box(typed: tuple[str, ...], before: tuple[str, ...], size: tuple[int, int]) -> list[int] | None:
    """The new box; None: it is the old one. Raises ValueError."""
    if typed == before:
        return None
    try:
        left, top, right, bottom = (round(float(side)) for side in typed)
    except (ValueError, OverflowError):
        raise ValueError("the box needs four numbers: left, top, right, bottom") from None
    if not (0 <= left < right <= size[0] and 0 <= top < bottom <= size[1]):
        raise ValueError(f"the box must lie on the image: 0 to {size[0]} and 0 to {size[1]} px, right of left")
    box = [left, top, right, bottom]
    return None if [str(side) for side in box] == list(before) else box


def decide(
    form: Mapping[str, Any], draft: Draft, row: Row, was: Was, reviewer: str, frame: Frame,
    clock: Callable[[], float] = time.time,
) -> Decision | str:  # fmt: skip
    """The decision, or what is wrong with the form. Raises BadRequest where no page of ours sent it."""
    verdict = form.get("verdict")
    if verdict not in ("accept", "fix", "reject"):
        raise BadRequest("no verdict", "go back, and accept, fix or reject")
    if draft.fault and verdict != "reject":
        return draft.fault
    if verdict == "accept" and draft.fix.changes:
        return f"you changed {', '.join(draft.fix.changes)}: choose Fix, or put it back"
    if verdict == "fix" and not draft.fix.changes:
        return "nothing was changed: accept it, or change something"
    if verdict == "reject" and draft.shown.reason not in REASONS:
        return "say why it is rejected"
    if draft.shown.reason == "other" and verdict == "reject" and not draft.shown.note:
        return "say in the note what is wrong"
    fields = {
        "decision_id": new_id(), "subject": row["id"], "verdict": verdict, "was": was, "reviewer": reviewer,
        "fix": draft.fix if verdict == "fix" else Fix(), "note": draft.shown.note, "frame": frame, "at": now(),
        "reason": draft.shown.reason if verdict != "accept" and draft.shown.reason in REASONS else "",
        "seconds": _seconds(form.get("started"), clock()),
    }  # fmt: skip
    try:
        return Decision(**cast(Any, fields))
    except ValidationError as error:
        return _words(error)


def undo(decision: Decision) -> Decision:
    """What takes `decision` back."""
    return Decision(
        decision_id=new_id(), subject=decision.subject, verdict="undo", was=decision.was, reviewer=decision.reviewer,
        frame=decision.frame, at=now(), undoes=decision.decision_id,
    )  # fmt: skip


def clean(text: str) -> str:
    """As it came, with plain line ends, and without what a browser's field can't hold."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").replace("\ufffd", "")
    return plain.encode("utf-8", "ignore").decode().strip()


def said(text: str) -> str:
    """What two texts share that differ only in what a browser's field changes by itself."""
    return " ".join(clean(text).split())


def _seconds(started: Any, at: float) -> float | None:
    try:
        passed = at - float(started)
    except (TypeError, ValueError):
        return None
    return round(passed, 1) if 0 <= passed <= LONGEST_WAIT else None


def _words(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"]).removeprefix("Value error, ")
