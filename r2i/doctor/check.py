"""One thing that was looked at: `ok`, `note` (the run goes on, but see to it), or `not ok` (it would stop the run)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from r2i.core.errors import R2IError

State = Literal["ok", "note", "not ok"]


@dataclass(frozen=True)
class Check:
    what: str
    state: State
    found: str
    remedy: str = ""


def tried(what: str, look: Callable[[], Check]) -> Check:
    """What `look` finds; an R2IError is the same error that the run would end with."""
    try:
        return look()
    except R2IError as error:
        return Check(what, "not ok", error.cause, error.remedy)


def passed(what: str, refuse: Callable[[], object], found: str) -> Check:
    """`found`, unless `refuse` raises."""

    def look() -> Check:
        refuse()
        return Check(what, "ok", found)

    return tried(what, look)


def collected(what: str, checks: Iterable[Check]) -> Iterator[Check]:
    """These checks; an R2IError among them is the last one."""
    try:
        yield from checks
    except R2IError as error:
        yield Check(what, "not ok", error.cause, error.remedy)
