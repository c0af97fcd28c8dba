"""Every train row of a profile: its length, its picture's size, and a few pictures through the processor itself."""

import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from r2i.core import paths
from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_image
from r2i.core.params import Params, Train
from r2i.core.records import OK, TRAIN
from r2i.core.tables import Row, iter_rows, ok_rows, read_table
from r2i.doctor.check import Check
from r2i.importing.digest import train_table
from r2i.train.openrlhf.run import COLUMNS
from r2i.train.tokens import Tokens, conversation, token_counter

LOADED = 8  # rows whose pictures go through the processor


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
        return _fit(train, table, rows, processor)
    except R2IError as error:
        return [Check(what, "not ok", error.cause, error.remedy)], None


def _fit(train: Train, table: Path, rows: list[Row], processor: Any) -> tuple[list[Check], int]:
    """Lengths against max_prompt, pixels against the processor, picture tokens against its features."""
    from r2i.train.fit import pixels_within
    from r2i.train.openrlhf.view import write_view

    dapo, count, lengths = train.dapo, token_counter(processor), [0]

    def measure(prompt: str, width: int, height: int) -> int:
        lengths.append(count(prompt, width, height))
        return lengths[-1]

    with pixels_within(processor, dapo), tempfile.TemporaryDirectory(prefix="r2i-rows-") as place:
        facts = write_view(table, rows, dapo, 0, measure, Path(place) / "view.parquet")
        pictures = _compare_tokens(processor, table, count)
    usable = len(rows) - facts.too_long - facts.unfit
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


def _compare_tokens(processor: Any, table: Path, count: Tokens) -> Check:
    """The first rows as they are trained on: as many picture tokens as features, and the length that was counted."""
    what, faults, seen = "picture tokens", list[str](), 0
    for row in iter_rows(table, TRAIN, "overlay", columns=["row_id", "prompt", "image", "status"]):
        if seen == LOADED:
            break
        try:
            picture = read_image(row["image"]) if row["status"] == OK else None
            counted = count(row["prompt"], *picture.size) if picture else 0
        except ImageError:
            continue
        if picture is None:
            continue
        seen += 1
        text = processor.apply_chat_template(conversation(row["prompt"]), tokenize=False, add_generation_prompt=True)
        made = processor(text=[text], images=[picture], add_special_tokens=False, return_tensors="pt")
        tokens = int((made["input_ids"] == processor.image_token_id).sum())
        features = int(made["image_grid_thw"].prod()) // processor.image_processor.merge_size**2
        if tokens != features or made["input_ids"].shape[1] != counted:
            faults.append(f"{row['row_id']}: {tokens} tokens for {features} features, {counted} counted in all")
    if faults:
        return Check(what, "not ok", "; ".join(faults[:3]), "see train.base: its processor and its model don't agree")
    return Check(what, "ok", f"as many as features in the {seen} rows that were loaded")


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
