"""Every train row of a profile: its length, whether its picture can be read, and a picture of each size through the
processor itself."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, suppress
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from r2i.core import paths
from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_image, read_size
from r2i.core.params import Params, Train
from r2i.core.records import OK, TRAIN
from r2i.core.tables import Row, iter_rows, ok_rows, read_table
from r2i.doctor.check import Check
from r2i.importing.digest import train_table
from r2i.train.openrlhf.run import COLUMNS
from r2i.train.tokens import Tokens, conversation, token_counter

Size = tuple[int, int]  # width, height in pixels
AT_ONCE = 64  # rows whose pictures are in memory


def check_rows(params: Params, own: bool) -> tuple[list[Check], int | None]:
    """The checks, and how many rows can be trained on: None where there are none here, or they can't be read.

    `own`: whether the rows of `overlay` that are here are of this profile.
    """
    train, what = params.chosen.train, "train rows"
    try:
        if train.rows is None and not (own and paths.TRAIN.is_dir()):
            return [], None
        table = train_table(train.rows)
        rows = ok_rows(read_table(table, TRAIN, "overlay", columns=COLUMNS), table, "overlay")
        if not train.has("dapo"):
            return [Check(what, "ok", f"{len(rows):,} rows")], len(rows)
        processor = find_processor(train.base)
        if processor is None:
            said = f"{len(rows):,} rows; their lengths are not known: the processor of {train.base} is not here"
            return [Check(what, "note", said, f"`hf download {train.base}`")], len(rows)
        return _fit(train, table, rows, processor, params.seed)
    except R2IError as error:
        return [Check(what, "not ok", error.cause, error.remedy)], None


def _fit(train: Train, table: Path, rows: list[Row], processor: Any, seed: int) -> tuple[list[Check], int]:
    """Lengths against max_prompt, pixels against the processor, picture tokens against its features. Rows that are held
    out are not among those that can be trained on."""
    from r2i.train.fit import pixels_within
    from r2i.train.openrlhf.view import write_view

    dapo, count, lengths = train.dapo, token_counter(processor), [0]

    def measure(prompt: str, width: int, height: int) -> int:
        lengths.append(count(prompt, width, height))
        return lengths[-1]

    with pixels_within(processor, dapo), tempfile.TemporaryDirectory(prefix="r2i-rows-") as place:
        held = (train.validation, Path(place) / "held.parquet")
        facts = write_view(table, rows, dapo, seed, measure, Path(place) / "view.parquet", held)
        pictures = _compare_tokens(processor, table, count, dapo.max_prompt)
    usable = len(rows) - facts.too_long - facts.unfit - facts.held
    found = f"{len(rows):,} rows; the longest has {max(lengths):,} tokens, {dapo.max_prompt:,} are allowed"
    remedies = []
    if facts.too_long:
        found += f"; {facts.too_long:,} are longer and left out"
        remedies.append("raise dapo.max_prompt or lower dapo.max_pixels")
    if facts.unfit:
        found += f"; {facts.unfit:,} are unfit and left out"
        remedies.append("see their pictures, and whether a text holds a picture's mark")
    if usable < dapo.rollout_prompts:
        found += f"; {usable:,} don't fill one rollout batch of {dapo.rollout_prompts:,}"
        remedies.append("lower dapo.rollout_prompts, or make more rows")
        return [Check("train rows", "not ok", found, "; ".join(remedies)), pictures], usable
    return [Check("train rows", "note" if remedies else "ok", found, "; ".join(remedies)), pictures], usable


def _compare_tokens(processor: Any, table: Path, count: Tokens, limit: int) -> Check:
    """Every row of at most `limit` tokens: its picture can be read, and has as many tokens as features. A picture of
    each size goes through the processor, since both follow from the size alone."""
    what, looked, unread = "picture tokens", 0, list[str]()
    by_size: dict[Size, str] = {}
    faults: list[str] = []
    for row, size in _sizes(table):
        try:
            if size is None:
                unread.append(row["row_id"])
                continue
            if (counted := count(row["prompt"], *size)) > limit:
                continue
        except ImageError:  # unfit: left out, and counted as such
            continue
        looked += 1
        if size not in by_size:
            by_size[size] = _fault(processor, row["prompt"], size, counted)
        if by_size[size]:
            faults.append(f"{row['row_id']}: {by_size[size]}")
    if faults:
        said = f"of {looked:,} rows {len(faults):,} don't agree: {'; '.join(faults[:3])}"
        return Check(what, "not ok", said, "see train.base: its processor and its model don't agree")
    said = f"as many as features in all {looked:,} rows, of {len(by_size):,} sizes"
    if unread:
        said += f"; the pictures of {len(unread):,} can't be read ({', '.join(unread[:3])}): they teach nothing"
        return Check(what, "note", said, "make these rows anew")
    return Check(what, "ok", said)


def _sizes(table: Path) -> Iterator[tuple[Row, Size | None]]:
    """Each ok row whose picture has a size, and that size; None where the picture can't be decoded."""
    rows = iter_rows(table, TRAIN, "overlay", columns=["row_id", "prompt", "image", "status"])
    fine = (row for row in rows if row["status"] == OK and _has_header(row["image"] or b""))
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding leaves Python's lock
        while chunk := list(islice(fine, AT_ONCE)):
            yield from zip(chunk, threads.map(_size, [row["image"] for row in chunk]), strict=True)


def _has_header(data: bytes) -> bool:
    """Without one a row is unfit, and counted as such."""
    with suppress(ImageError):
        return bool(read_size(data))
    return False


def _size(data: bytes) -> Size | None:
    with suppress(ImageError):
        return read_image(data).size
    return None


def _fault(processor: Any, prompt: str, size: Size, counted: int) -> str:
    """What is wrong with a picture of this size as it is trained on; "" where nothing is."""
    text = processor.apply_chat_template(conversation(prompt), tokenize=False, add_generation_prompt=True)
    picture = Image.new("RGB", size)
    made = processor(text=[text], images=[picture], add_special_tokens=False, return_tensors="pt")
    tokens = int((made["input_ids"] == processor.image_token_id).sum())
    features = int(made["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
    if tokens == features and made["input_ids"].shape[1] == counted:
        return ""
    return f"{tokens} tokens for {features} features, {made['input_ids'].shape[1]} in all where {counted} were counted"


def find_processor(base: str) -> Any:
    """The base's, where it is on this machine: nothing is fetched. Raises R2IError for a folder without one."""
    from transformers import AutoProcessor

    try:
        with redirect_stderr(StringIO()):
            return AutoProcessor.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if Path(base).is_dir():
            raise R2IError(f"{base} has no processor that can be loaded ({error})", "fetch its files again") from error
        return None
