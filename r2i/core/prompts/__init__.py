"""Prompts are text files beside their parsers: `r2i/<room>/prompts/<style>/<name>.txt`.

`style` is chosen in params: `mini` speaks the small vocabulary of the mini checkpoint, `paper`
is written for large instruction-tuned models. Both ask for replies of the same form, read by the
same parser.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from r2i.core.errors import ParamsError

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Prompt:
    """A prompt template. `sha256` is of the file's bytes: it is recorded on rows and in keys."""

    text: str
    sha256: str

    def fill(self, **values: object) -> str:
        """Fill `{placeholders}`; braces inside the values are left alone."""
        text = self.text
        for name in values:
            if f"{{{name}}}" not in self.text:
                raise KeyError(f"the prompt has no placeholder {{{name}}}: {self.text[:80]!r}")
        parts = []
        while "{" in text:  # one pass from left to right, so that a value is never filled again
            before, _, rest = text.partition("{")
            name, closed, after = rest.partition("}")
            if closed and name in values:
                parts += [before, str(values[name])]
                text = after
            else:
                parts += [before, "{"]
                text = rest
        return "".join(parts) + text


def has_prompt(room: str, name: str, style: str) -> bool:
    """Whether the style has that prompt: some are for some styles alone."""
    return _path(room, name, style).is_file()


def _path(room: str, name: str, style: str) -> Path:
    return ROOT / room / "prompts" / style / f"{name}.txt"


@cache
def load_prompt(room: str, name: str, style: str) -> Prompt:
    """Read `r2i/<room>/prompts/<style>/<name>.txt`.

    Raises ParamsError that names the styles which exist.
    """
    path = _path(room, name, style)
    if not path.is_file():
        known = sorted(p.name for p in (ROOT / room / "prompts").glob("*/"))
        raise ParamsError(f"no prompt {path.relative_to(ROOT)}", f"styles of {room}: {', '.join(known)}")
    data = path.read_bytes()
    return Prompt(data.decode("utf-8").rstrip("\n"), hashlib.sha256(data).hexdigest())
