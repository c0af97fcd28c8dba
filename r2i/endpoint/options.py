"""What a server takes of a call's options: learned once for each server and model, and remembered.

While one call is the first to send an option, others that would send it wait for that call: a refusal is heard once. A
server refuses before it computes, so who has waited TURN_S goes ahead.

What was learned lies beside the store of replies, `servers/<model>-<digits>/<option>.json`. It is part of no result and
may be deleted at any time; after FRESH_S an option is tried again, since servers are upgraded. Processes share it: who
is first is a claim (r2i.endpoint.locks), which ends with its process.
"""

import asyncio
import hashlib
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path

from r2i.core.disk import DiskError, new_file
from r2i.endpoint import locks
from r2i.endpoint.base import Request
from r2i.endpoint.chat import ErrorBody

FRESH_S = 86400.0  # that what was learned holds
TURN_S = 10.0  # to wait for the call that is the first to send an option
CLAIMED_S = 0.05  # between two attempts to claim the turn that another process has
SAID = 200  # characters of a refusal that are kept

ANY = r"requested parameters"  # a router that found no server which takes all of them
# How an error names an option that the server doesn't take, where it has no `param`; of several the first is meant.
PATTERNS = {
    "n": r"(?<![\w\\])(?-i:n)(?!\w)|\bn_cmpl\b|completion choice|multiple (?:choices|candidates)|only one candidate|"
    + ANY,
    "response_format": r"response_?(?:format|schema)|json_schema|guided|structured|grammar|additionalproperties|" + ANY,
    "seed": r"\bseed\b|" + ANY,
    "max_tokens": r"\bmax_completion_tokens\b",
    "top_p": r"\btop_?p\b",
    "temperature": r"\btemperature\b",
}
# What a refusal says beside the name, where the status may have another cause.
REFUSING = re.compile(
    r"not support|unsupported|unrecogni[sz]ed|unknown|only one|must (?:be|equal)|can(?:no|')t be|parse grammar"
    r"|(?:is|not) (?:allowed|permitted|enabled)|rejected tokens|requested parameters",
    re.IGNORECASE,
)
LOOSE = frozenset({400, 413, 422})  # statuses of which the name alone tells
STRICT = frozenset({404, 405, 410, 500, 501, 502})
INSTEAD = {
    "n": "each sample is a call of its own",
    "response_format": "the prompt alone asks for JSON",
    "seed": "the server draws as it likes",
    "max_tokens": "it is called max_completion_tokens",
    "top_p": "1 is the default",
    "temperature": "1 is the default",
}


def refused_option(status: int, error: ErrorBody, options: Collection[str]) -> str:
    """The one of `options` that an error of this HTTP status is about; empty where it is about something else."""
    if status not in LOOSE | STRICT or (status in STRICT and not REFUSING.search(error.message)):
        return ""
    if error.param:
        name = "response_format" if error.param.startswith("text.format") else error.param.partition(".")[0]
        is_too_large = name == "max_tokens" and not re.search(
            f"{PATTERNS[name]}|{REFUSING.pattern}", error.message, re.I
        )
        return name if name in options and not is_too_large else ""
    named = (name for name, pattern in PATTERNS.items() if re.search(pattern, error.message, re.IGNORECASE))
    return next((name for name in named if name in options), "")


def options_of(request: Request, n: int, form: bool) -> dict[str, str]:
    """The options of a call for `n` samples that it can do without, each with its variant, where servers may take one
    and refuse another.

    A sampling that is the API's default may stay unsaid; no other may, since the reply would be another.
    """
    options = {"seed": "", "max_tokens": ""}
    if n > 1:
        options["n"] = str(n)
    if form and request.form:
        options["response_format"] = _form_name(request.form)
    return options | {name: "" for name in ("top_p", "temperature") if getattr(request.sampling, name) == 1}


@lru_cache
def _form_name(form: str) -> str:
    return re.sub(r"\W+", "-", str(json.loads(form).get("name", "")))


class ServerOptions:
    """The options that a server takes or refuses, by name: `n`, or `n.8` where it takes another n.

    All methods belong to one thread.
    """

    def __init__(self, folder: Path, address: str, model: str) -> None:
        """`folder`: of all servers. `address`: of this one."""
        self.address, self.model, self.root = address, model, folder
        self.key = hashlib.sha256(f"{address}\0{model}".encode()).hexdigest()
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.")[-60:]
        self.folder = folder / f"{slug}-{self.key[:12]}"
        self.taken: set[str] = set()
        self.refused: set[str] = set()
        self._written: set[str] = set()  # of `taken`, by this process
        self.reset()

    def reset(self) -> None:
        """Begin a run of the event loop, with what others have learned meanwhile."""
        self._turn = asyncio.Lock()
        self._read()

    def _read(self) -> None:
        for path in self.folder.glob("*.json"):
            with suppress(OSError, ValueError, TypeError, KeyError):  # torn, or removed just now: it is tried again
                fact = json.loads(path.read_bytes())
                if abs(time.time() - fact["unix_s"]) < FRESH_S:
                    (self.taken if fact["taken"] else self.refused).add(path.stem)
        self.taken -= self.refused

    def leaves_out(self, name: str, variant: str = "") -> bool:
        """Whether calls do without the option."""
        return name in self.refused or _full(name, variant) in self.refused

    def sent(self, options: Mapping[str, str]) -> dict[str, str]:
        """Those of `options` (as `options_of` gives them) that a call sends."""
        return {name: variant for name, variant in options.items() if not self.leaves_out(name, variant)}

    def _has_untried(self, options: Mapping[str, str]) -> bool:
        return any(_full(name, variant) not in self.taken for name, variant in self.sent(options).items())

    @asynccontextmanager
    async def turn(self, options: Mapping[str, str]) -> AsyncIterator[None]:
        """For a call that would send `options`: begin once nobody else is the first to send one of them."""
        is_first = self._has_untried(options) and await self._wait(options)
        try:
            yield
        finally:
            if is_first:
                locks.release(self.root, self.key)
                self._turn.release()

    async def _wait(self, options: Mapping[str, str]) -> bool:
        """Whether this call is the first; False as well where it has waited for long enough."""
        has_turn = False
        try:
            async with asyncio.timeout(TURN_S):
                has_turn = await self._turn.acquire()
                while self._has_untried(options):
                    if locks.claim(self.root, self.key):
                        self._read()  # another process may have learned it
                        if self._has_untried(options):
                            return True
                        locks.release(self.root, self.key)
                        break
                    await asyncio.sleep(CLAIMED_S)
                    self._read()
        except TimeoutError:
            pass
        except BaseException:
            if has_turn:
                self._turn.release()
            raise
        if has_turn:
            self._turn.release()
        return False

    def take(self, options: Mapping[str, str], choices: int) -> None:
        """Note a call with `options` that brought so many choices. A lone one of several means that n is ignored."""
        for name, variant in options.items():
            full = _full(name, variant)
            if name == "n" and choices == 1:
                if not self._takes_some("n"):
                    self.confirm(self.refuse("n", "", f"{variant} choices were asked for, 1 came"))
            elif full not in self._written and not self.leaves_out(name, variant):
                self.taken.add(full)
                self._written.add(full)
                self._write(full, True, "")

    def _takes_some(self, name: str) -> bool:
        return any(one.partition(".")[0] == name for one in self.taken)

    def refuse(self, name: str, variant: str, said: str) -> str:
        """Leave the option out from now on: this variant alone where the server takes another one. What was noted, or
        empty where that was known."""
        self.taken.discard(_full(name, variant))
        noted = _full(name, variant) if variant and self._takes_some(name) else name
        if noted in self.refused:
            return ""
        self.refused.add(noted)
        self._write(noted, False, said)
        return noted

    def confirm(self, noted: str) -> None:
        """Say what `refuse` noted, once a call without the option has succeeded."""
        if noted:
            name = noted.partition(".")[0]
            print(
                f"{self.model}: the server takes no {name}: {INSTEAD[name]} (remembered for a day in {self.folder})",
                file=sys.stderr,
            )

    def forget(self, noted: str) -> None:
        """Take back what `refuse` noted: the server meant something else."""
        if noted:
            self.refused.discard(noted)
            with suppress(OSError):
                (self.folder / f"{noted}.json").unlink()

    def _write(self, full: str, taken: bool, said: str) -> None:
        """For other runs; where the disk can't be written they learn it by themselves."""
        fact = {"server": self.address, "model": self.model, "option": full, "taken": taken, "said": said[:SAID]}
        with suppress(DiskError, OSError), new_file(self.folder / f"{full}.json") as part:
            part.write_text(json.dumps(fact | {"unix_s": round(time.time(), 1)}) + "\n", encoding="utf-8")


def _full(name: str, variant: str) -> str:
    return f"{name}.{variant}" if variant else name
