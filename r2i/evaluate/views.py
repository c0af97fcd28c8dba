"""What a model is shown and asked in each view of a benchmark item."""

import tempfile
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from r2i.core.choices import adapt_prompt, is_open, mcq_prompt
from r2i.core.images import sha256
from r2i.core.names import VIEWS, ViewName
from r2i.core.params import Evaluate
from r2i.core.prompts import Prompt, load_prompt
from r2i.core.records import OK
from r2i.endpoint.base import Picture
from r2i.evaluate.protocol import Protocol

Row = dict[str, Any]


def missing_view(item: Mapping[str, Any], view: ViewName) -> str:
    """Why an item can't be shown in a view: `no_crop` or `no_boxed`, or an empty text where it can."""
    column = VIEWS[view].column
    return "" if item[column] is not None else f"no_{column}"


def template_of(item: Mapping[str, Any], style: str) -> Prompt:
    """Our own protocol's: the trainer's multiple-choice prompt, or the student's for open questions."""
    return load_prompt("evaluate", "open", style) if is_open(item) else load_prompt("core", "choose", style)


def prompt_of(item: Mapping[str, Any], view: str, style: str, protocol: Protocol | None = None) -> str:
    """The text that goes with the picture of a view. `protocol`: None: our own, in the prompts of `style`."""
    if protocol:
        text = protocol.text_of(item)
    elif is_open(item):
        text = template_of(item, style).fill(question=item["question"])
    else:
        text = mcq_prompt(item["question"], list(item["options"]), style)
    return adapt_prompt(text, view, style)


PROMPTED = ["item_id", "question", "options", "prompt", "source", "status"]
"""Columns of BENCHMARK that prompts are made of."""


def check_prompts(items: Iterable[Mapping[str, Any]], cfg: Evaluate, protocol: Protocol | None) -> None:
    """That every ok item can be asked in every view, before the first call is paid. Raises ParamsError."""
    for item in items:
        if item["status"] == OK:
            for view in cfg.views:
                prompt_of(item, view, cfg.prompts, protocol)


class Shelf:
    """The pictures of a benchmark in an unnamed file in `folder`, which is gone when the block or the process ends.

    Calls to servers wait for one another by the hundred, and items of 4K pictures are 10 MB each: memory holds
    what is being sent. Equal pictures (a question with cycled options) lie there once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        self.end = 0  # of the file, bytes
        self.known: dict[str, Picture] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = tempfile.TemporaryFile(dir=self.folder)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.file.close()

    def put(self, item: Row) -> Row:
        """The row of BENCHMARK with Pictures in place of bytes."""
        views = {view.column: item[view.column] for view in VIEWS.values()}
        return item | {column: self._keep(data) for column, data in views.items() if data is not None}

    def _keep(self, data: bytes) -> Picture:
        name = sha256(data)
        if name not in self.known:
            with self.lock:
                start, self.end = self.end, self.end + len(data)
                self.file.seek(start)
                self.file.write(data)
            self.known[name] = Picture(partial(self._read, start, len(data)), name)
        return self.known[name]

    def _read(self, start: int, size: int) -> bytes:
        with self.lock:
            self.file.seek(start)
            return self.file.read(size)
