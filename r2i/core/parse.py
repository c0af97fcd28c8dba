"""What the parsers of replies share: closed spans, `\\boxed{}`, JSON amid prose, the forms that JSON must fit."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import json_repair

from r2i.core.reasoning import drop_tokens, read_final

T = TypeVar("T")
LONGEST_REPAIR = 50_000  # characters of broken JSON; the repair takes a second for a megabyte and more for brackets
MOST_BRACKETS = 1_000  # of one kind in it
MOST_WORK = 1_000_000  # of attempts that fail, about the characters that they read: tens of milliseconds
DEEP = 10_000  # of an attempt that ends at Python's limit of nesting


class ReplyError(ValueError):
    """A reply has not the form that was asked for: it goes into a row as `failed`, never as an answer."""


class Parsed(NamedTuple, Generic[T]):
    """What a JSON reply says. `repaired`: its JSON had slips that were mended before it was read."""

    value: T
    repaired: bool


def strict_object(**properties: Any) -> dict[str, Any]:
    """JSON Schema of an object that has just `properties`, each with its schema, as servers' strict modes want it.

    A server writes them in the order given here.
    """
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def make_form(name: str, schema: Mapping[str, Any]) -> str:
    """A form for `Request.form`: JSON without spaces. Keys are not sorted: their order is that of the reply."""
    return json.dumps({"name": name, "schema": schema}, separators=(",", ":"))


def last_span(text: str, tag: str = "answer") -> str | None:
    """What stands in the last `<tag>...</tag>`, as written; None where the last one is not closed.

    A span opened after a closed one is a change of mind that was never finished: None, too.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.rfind(opening)
    end = text.find(closing, start)
    return text[start + len(opening) : end] if 0 <= start < end else None


def last_boxed(text: str) -> str | None:
    """What stands in the last `\\boxed{...}`, inner braces balanced; None where it is not closed."""
    place = last_box_place(text)
    return text[slice(*place)] if place else None


def last_box_place(text: str) -> tuple[int, int] | None:
    """Where the inside of the last `\\boxed{...}` begins and ends; None where it is not closed."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len("\\boxed{")
    for at in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return begin, at
    return None


def read_json(text: str, opening: str, fits: Callable[[Any], bool]) -> Parsed[Any]:
    """The last JSON value in the reply `text` that starts with `opening` (`[` or `{`) and that `fits` accepts.

    Reasoning is removed first, prose and code fences around the value are skipped. Only where no strict JSON fits, or
    where a later bracket was opened that strict JSON can't read, the text is repaired, and the repaired value must
    fit, too. Raises ReplyError where nothing does.
    """
    text = drop_tokens(read_final(text))
    decoder = json.JSONDecoder()
    value, found, end, at, broken, work = None, False, 0, 0, [], 0
    while (start := text.find(opening, at)) >= 0:
        if work > MOST_WORK:  # brackets by the thousand, which no prompt asks for
            raise ReplyError("unparsable")
        try:
            candidate, at = decoder.raw_decode(text, start)
        except ValueError as error:
            work += getattr(error, "pos", start) - start + len(text) // 100  # json counts lines up to each error
            at = start + 1
            broken.append(start)
            continue
        except RecursionError:  # thousands of brackets: what they hold is as deep for each of them
            work += DEEP
            rest = text[start:].lstrip(opening + " \n\t")
            at = max(start + 1, text.rfind(opening, start, len(text) - len(rest)))  # the innermost may still be read
            continue
        if fits(candidate):
            value, found, end = candidate, True, at
    revised = [start for start in broken if start >= end]
    if found and not revised:
        return Parsed(value, False)
    for start in reversed((revised if found else broken)[-20:]):
        repaired = _repair(text[start:], opening)
        if fits(repaired):
            return Parsed(repaired, True)
    raise ReplyError("unparsable")


def is_box(value: Any) -> bool:
    """Whether a JSON value is four numbers."""
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(side, int | float) and not isinstance(side, bool) for side in value)
    )


def _repair(text: str, opening: str) -> Any:
    end = text.rfind({"[": "]", "{": "}"}[opening])
    text = text[: end + 1] if end > 0 else text
    if not re.search(r"[\"'“”]", text):  # bracketed prose is no JSON
        return None
    if len(text) > LONGEST_REPAIR or max(text.count("["), text.count("{")) > MOST_BRACKETS:
        return None
    try:
        return json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
