"""What a model is shown and asked in each view of a benchmark item."""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from r2i.core.boxes import Box
from r2i.core.choices import adapt_prompt, is_open, mcq_prompt, tell_box
from r2i.core.drawing import make_crop, make_removed
from r2i.core.images import QUALITY, read_image, read_size, sha256
from r2i.core.names import VIEWS, ViewName
from r2i.core.params import Cut, Evaluate
from r2i.core.prompts import Prompt, load_prompt
from r2i.core.records import OK
from r2i.endpoint.base import Picture
from r2i.evaluate.protocol import Protocol

Row = dict[str, Any]
MADE: tuple[ViewName, ...] = ("recut", "removed")
"""Views whose picture is made of the full view when it is asked: no table holds it."""


def missing_view(item: Mapping[str, Any], view: ViewName) -> str:
    """Why an item can't be shown in a view: `no_box`, `no_crop` or `no_boxed`, or an empty text where it can."""
    column = VIEWS[view].column
    if VIEWS[view].needs_box and not item["box"]:
        return "no_box"
    return "" if item[column] is not None else f"no_{column}"


def pictures_of(item: Mapping[str, Any], view: ViewName) -> tuple[Picture, ...]:
    """What a view that takes one step shows of an item from the Shelf."""
    if view == "blind":
        return ()
    return (item[view if view in MADE else VIEWS[view].column],)


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
    if view != "told":
        return adapt_prompt(text, view, style)
    image = item["image"]
    size = read_size(image.load() if isinstance(image, Picture) else image)
    return tell_box(text, item["box"], size, style)


def cut_picture(image: Picture, box: Box, cut: Cut) -> Picture:
    """The region enlarged, made when it is sent; its name tells how, so that a replay cuts nothing."""
    how = ["crop", box, cut.upscale]
    if cut.quality != QUALITY:  # replies are kept by this name: that of the usual quality stays without it
        how.append(cut.quality)
    return _made(image, how, lambda picture: make_crop(picture, box, cut))


def remove_region(image: Picture, box: Box) -> Picture:
    """The full view with the region painted over, made when it is sent."""
    return _made(image, ["removed", box], lambda picture: make_removed(picture, box))


def _made(image: Picture, how: list[Any], make: Callable[[Any], bytes]) -> Picture:
    name = hashlib.sha256("\0".join(map(str, [image.name, *how])).encode()).hexdigest()
    return Picture(lambda: make(read_image(image.load())), name)


PROMPTED = ["item_id", "question", "options", "prompt", "source", "status"]
"""Columns of BENCHMARK that prompts are made of."""


def check_prompts(items: Iterable[Mapping[str, Any]], cfg: Evaluate, protocol: Protocol | None) -> None:
    """That every ok item can be asked in every view, before the first call is paid. Raises ParamsError."""
    views = {*cfg.views, *(cfg.sampled_views if cfg.samples else ())}
    if "told" in views:
        load_prompt("core", "told", cfg.prompts)
    if "zoom" in views and cfg.zoom.turns:
        load_prompt("evaluate", "tool", cfg.prompts)
    elif "zoom" in views:
        load_prompt("evaluate", "look", cfg.prompts)
    for item in items:
        if item["status"] == OK:
            for view in views - {"told"} or {"full"}:  # the numbers of `told` are those of the item's picture
                prompt_of(item, view, cfg.prompts, protocol)


class Shelf:
    """The pictures of a benchmark in an unnamed file in `folder`, which is gone when the block or the process ends.

    Calls to servers wait for one another by the hundred, and items of 4K pictures are 10 MB each: memory holds
    what is being sent. Equal pictures (a question with cycled options) lie there once. `cut`: how a region is cut
    where a view cuts it anew.
    """

    def __init__(self, folder: Path, cut: Cut = Cut()) -> None:
        self.folder, self.cut = folder, cut
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
        """The row of BENCHMARK with Pictures in place of bytes, and those that are MADE."""
        views = {view.column: item[view.column] for view in VIEWS.values()}
        shown = item | {column: self._keep(data) for column, data in views.items() if data is not None}
        if not item["box"] or item["image"] is None:
            return shown
        box = Box(*item["box"])
        return shown | {
            "recut": cut_picture(shown["image"], box, self.cut), "removed": remove_region(shown["image"], box)
        }  # fmt: skip

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
