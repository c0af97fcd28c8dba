"""Protocols: how a benchmark's items are asked, as data. System message, wording by benchmark, decoding, pixels.

`evaluate.protocol: r2i` is our own: the prompts of training, decoded greedily. Any other is a file, written by hand or
by `r2i protocol import`, which reads what others send where it lies: no prompt of theirs is part of this repository.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from r2i.core.choices import LETTERS, is_open
from r2i.core.errors import ParamsError
from r2i.core.params import OWN_PROTOCOL, BenchmarkSource, Count, Evaluate, Sampling, Section, find_protocol
from r2i.core.prompts import Prompt
from r2i.core.yaml_text import read_yaml
from r2i.endpoint.base import canonical
from r2i.importing.questions import SPECIAL

DEFAULT = "default"
"""The wording of benchmarks that have none of their own."""
EDITED = "edited"
CHINESE = {"mme_realworld": "mme_realworld_cn"}
"""Kinds of benchmarks with Chinese items, which others ask in Chinese: the name of that wording."""
_IDEOGRAPH = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN_WORD = re.compile(r"[A-Za-z]+")
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”|‘[^’]*’|「[^」]*」|『[^』]*』|《[^》]*》')


class Wording(Section):
    """The texts of one benchmark's items. Their places: {prompt}, the item's text as its release has it, else question
    and options; {question}; {options}, as `option` and `joint` say; {letters}, `A, B, C`; {tail}, what the release's
    text says after the options."""

    choice: str
    """With options."""
    open: str | None = None
    """Without; null: such an item can't be asked."""
    option: str = "{letter}. {text}"
    joint: str = "\n"
    """Between two options."""
    decoding: Sampling | None = None
    """null: the protocol's."""

    @field_validator("choice", "open")
    @classmethod
    def _asks_something(cls, text: str | None) -> str | None:
        if text is not None and "{prompt}" not in text and "{question}" not in text:
            raise ValueError("holds neither {prompt} nor {question}: all items would be asked the same")
        return text

    @field_validator("option")
    @classmethod
    def _says_the_option(cls, text: str) -> str:
        if "{text}" not in text:
            raise ValueError("holds no {text}: nobody would see the options")
        return text


class Origin(Section):
    """Where an imported protocol was read. `files`: sha256 by path in that place; `content`: of what was read."""

    kind: str
    files: dict[str, str]
    content: str


class Protocol(Section):
    name: str
    origin: Origin | None = None
    """null: written by hand."""
    decoding: Sampling
    """Of a model's first reply to an item, the system message among it."""
    max_pixels: Count | None = None
    """Pictures are scaled down to so many pixels before they are sent; null: as they are."""
    text_first: bool = False
    """The text stands before the picture."""
    remove: tuple[str, ...] = ()
    """Taken out of the texts of releases, e.g. marks of pictures."""
    wordings: dict[str, Wording] = Field(min_length=1)
    """By the benchmark's name or kind; `default`: of all others."""
    kinds: dict[str, str] = Field(default_factory=dict)
    """Kinds of the params' benchmarks by their names: filled in."""

    @property
    def kind(self) -> str:
        """Whose it is: of its origin; `edited` where it isn't any more what was read there; else `own`."""
        if self.origin is None:
            return "own"
        return self.origin.kind if content_digest(self) == self.origin.content else EDITED

    @property
    def sha256(self) -> str:
        """Of all that it says, for the rows that it asked."""
        return hashlib.sha256(canonical(self.model_dump(exclude={"kinds"})).encode()).hexdigest()

    def wording_of(self, item: Mapping[str, Any]) -> Wording:
        """Of a row of BENCHMARK or PREDICTIONS: its benchmark's. Raises ParamsError where there is none.

        Chinese items of a kind in CHINESE never get the English words that an import read: they have their own, or are
        an error.
        """
        source = item["source"]
        chinese = self.kinds.get(source, source) in CHINESE and is_chinese(item["question"])
        asked = f"Chinese items of {source}" if chinese else f"benchmark {source}"
        return self._find(asked, self._names(source, chinese))

    def require_wording(self, source: str) -> None:
        """Raise ParamsError where no item of the benchmark that is called `source` could be asked."""
        self._find(f"benchmark {source}", [*self._names(source, False), *self._names(source, True)])

    def _names(self, source: str, chinese: bool) -> list[str]:
        """Of wordings, the first that there is holds."""
        kind = self.kinds.get(source, source)
        own = [source] if source != kind else []
        if kind not in CHINESE or not chinese:
            return [*own, kind, DEFAULT]
        by_hand = [kind] if self.origin is None else []
        return [*own, CHINESE[kind], *by_hand, DEFAULT]

    def _find(self, asked: str, names: Sequence[str]) -> Wording:
        found = next((self.wordings[name] for name in names if name in self.wordings), None)
        if found is None:
            raise ParamsError(
                f"the protocol {self.name} says nothing of the {asked}; it has: {', '.join(self.wordings)}",
                f"import it again with that task, or give it a wording `{names[0]}` or `{DEFAULT}`",
            )
        return found

    def decoding_of(self, item: Mapping[str, Any]) -> Sampling:
        return self.wording_of(item).decoding or self.decoding

    def text_of(self, item: Mapping[str, Any]) -> str:
        """What is asked about a row of BENCHMARK or PREDICTIONS. Raises ParamsError where nothing is said of it."""
        wording, options = self.wording_of(item), list(item["options"] or ())
        template = wording.open if is_open(item) else wording.choice
        if template is None:
            raise ParamsError(
                f"the protocol {self.name} says nothing of open questions, which {item['source']} has",
                "add `open` to its wording",
            )
        pairs = zip(LETTERS, options, strict=False)
        listed = wording.joint.join(_fill(wording.option, letter=letter, text=text) for letter, text in pairs)
        told = SPECIAL.sub("", item.get("prompt") or "")  # a server would take them for pictures or turns
        for mark in self.remove:
            told = told.replace(mark, "")
        return _fill(
            template,
            prompt=told or "\n".join(filter(None, (item["question"], listed))),
            question=item["question"],
            options=listed,
            letters=", ".join(LETTERS[: len(options)]),
            tail=_after_options(told, options),
        )

    def describe(self) -> dict[str, str]:
        """For metrics: which protocol it was."""
        return {"name": self.name, "kind": self.kind, "sha256": self.sha256}


def is_chinese(question: str) -> bool:
    """Whether a question is asked in Chinese: more ideographs than Latin words, beside what it quotes."""
    plain = _QUOTED.sub("", question)
    if not _IDEOGRAPH.search(plain) and not _LATIN_WORD.search(plain):
        plain = question
    return len(_IDEOGRAPH.findall(plain)) > len(_LATIN_WORD.findall(plain))


def _after_options(told: str, options: Sequence[str]) -> str:
    """What a released text says after the last of its options, where that stands behind its letter; its words may be
    said again in what follows."""
    if not options:
        return ""
    last = re.escape(options[-1])
    marked = (
        list(re.finditer(rf"\b{LETTERS[len(options) - 1]}\W{{1,3}}{last}", told))
        if len(options) <= len(LETTERS)
        else []
    )
    found = marked or list(re.finditer(last, told))
    return told[found[-1].end() :] if found else ""


def _fill(template: str, **values: str) -> str:
    used = {name: value for name, value in values.items() if f"{{{name}}}" in template}
    return Prompt(template, "").fill(**used)


def content_digest(protocol: Protocol) -> str:
    """Of what a protocol says, whatever it is called and wherever it was read."""
    return hashlib.sha256(canonical(protocol.model_dump(exclude={"name", "origin", "kinds"})).encode()).hexdigest()


def open_protocol(cfg: Evaluate, sources: Iterable[BenchmarkSource] = ()) -> Protocol | None:
    """The one that params choose; None: our own. `sources`: the benchmarks whose items are asked.

    Raises ParamsError where its file is missing, none, another one than params pin, or says nothing of a benchmark.
    """
    if cfg.protocol == OWN_PROTOCOL:
        return None
    protocol = read_protocol(find_protocol(cfg.protocol), cfg.protocol_sha256)
    kinds = {source.name or source.kind: source.kind for source in sources}
    protocol = protocol.model_copy(update={"kinds": kinds})
    for name in kinds:
        protocol.require_wording(name)
    return protocol


def describe_protocol(protocol: Protocol | None) -> dict[str, Any]:
    """`name`, `kind` and `sha256` of a protocol, for metrics; of our own the code says what it is."""
    return protocol.describe() if protocol else {"name": OWN_PROTOCOL, "kind": OWN_PROTOCOL, "sha256": None}


@cache
def read_protocol(path: Path, sha256: str | None = None) -> Protocol:
    """A protocol's file, which must have that hash where one is given. Raises ParamsError."""
    try:
        data = path.read_bytes()
        values = read_yaml(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(
            f"there is no protocol at {path}",
            "`r2i protocol import` writes one out of a clone or an installed lmms-eval (docs/protocols.md)",
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"the protocol {path} can't be read: {error}", "mend it, or import it again") from error
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise ParamsError(
            f"the protocol {path} is another one than evaluate.protocol_sha256 says",
            "bring back its file, or take the new hash into params: all items are then asked anew",
        )
    try:
        return Protocol.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise ParamsError(f"the protocol {path}: {faults}", "see docs/protocols.md for its keys") from error


def write_protocol(path: Path, protocol: Protocol) -> None:
    """As YAML, whole or not at all."""
    from r2i.core.disk import new_file

    values = protocol.model_dump(mode="json", exclude_defaults=True)
    with new_file(path) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8")
