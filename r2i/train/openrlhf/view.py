"""What OpenRLHF's PromptDataset reads: one line for each prompt, its image by reference.

OpenRLHF keeps every line in memory and sends it back and forth, so a line holds where its image lies in the train
table (`shard#row group#row`) and not the image. Epochs are repetitions of rows within the view, each in an order of
its own: a second OpenRLHF episode would end the first with a short batch, whose gradients no step takes.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r2i.core.disk import new_file
from r2i.core.errors import ImageError, TableError
from r2i.core.ids import unit_of
from r2i.core.images import read_size
from r2i.core.params import Dapo
from r2i.core.records import TRAIN
from r2i.core.tables import LEVEL, Row, table_parts
from r2i.train.held_out import split_rows
from r2i.train.rows import in_training_order
from r2i.train.tokens import Tokens, conversation

_PART = pa.struct([("type", pa.string()), ("text", pa.string())])
_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.list_(_PART))])
SCHEMA = pa.schema(
    [
        ("prompt", pa.list_(_MESSAGE)),
        ("images", pa.list_(pa.string())),
        ("label", pa.string()),
        ("datasource", pa.string()),
    ]
)

HELD = -1


@dataclass(frozen=True)
class ViewFacts:
    """`prompts`: lines of the view. Rows left out: `too_long` (over dapo.max_prompt tokens), `unfit` (an image that
    can't be read or is too narrow, or a prompt with an image's mark in its text). `repeated`: lines that show a row
    again. `dropped`: lines of the last, short batch. `held`: rows held out for validation, of `held_images`."""

    prompts: int
    too_long: int
    unfit: int
    repeated: int
    dropped: int
    held: int = 0
    held_images: int = 0


def write_view(
    table: Path,
    rows: list[Row],
    dapo: Dapo,
    seed: int,
    count_tokens: Tokens,
    path: Path,
    validation: tuple[float, Path] | None = None,
) -> ViewFacts:
    """Write the view of `rows` (records.TRAIN; `image` is not needed) whose images lie in `table`.

    The order of lines depends on ids and the seed alone. `validation`: the share of images to hold out, and the view of
    their rows, a line each. Raises TableError where the table lacks a row, or no row is left, and R2IError where a
    share of them holds none out or leaves less than a batch.
    """
    places, too_long, unfit = _fitting(table, rows, dapo.max_prompt, count_tokens)
    kept = [row for row in rows if row["row_id"] in places]
    if not kept:
        raise TableError(
            f"none of {len(rows)} train rows can be trained on: {too_long} over {dapo.max_prompt} tokens, "
            f"{unfit} unfit",
            "raise dapo.max_prompt or lower dapo.max_pixels"
            if too_long
            else "make them anew: their images can't be used",
        )
    share, held_path = validation or (0.0, path)
    kept, held = split_rows(kept, share, seed, dapo.rollout_prompts)
    if held:
        _write_lines(held_path, [(in_training_order(held, seed), HELD)], places)
    lines, dropped = lines_of(len(kept), dapo)
    turns = range(math.ceil(lines / len(kept)))
    _write_lines(path, ((_in_order(kept, seed, turn)[: lines - turn * len(kept)], turn) for turn in turns), places)
    repeated, images = max(0, lines - len(kept)), len({row["image_id"] for row in held})
    return ViewFacts(lines, too_long, unfit, repeated, dropped, len(held), images)


def _write_lines(path: Path, turns: Iterable[tuple[list[Row], int]], places: Mapping[str, str]) -> None:
    """`turns`: rows in order, each time with what their labels say (_line)."""
    with new_file(path) as part, pq.ParquetWriter(part, SCHEMA, compression="zstd", compression_level=LEVEL) as writer:
        for rows, turn in turns:
            made = [_line(row, places[row["row_id"]], turn) for row in rows]
            writer.write_table(pa.Table.from_pylist(made, schema=SCHEMA))


def lines_of(rows: int, dapo: Dapo) -> tuple[int, int]:
    """(lines of the view, lines that were cut): `max_steps` or `epochs` of them, in whole rollout batches.

    With dynamic sampling a batch takes as many prompts as it needs, so only the very end is short and nothing is cut
    off it; without, the last batch must be whole. 10 rows, batches of 4, 3 epochs: 28 lines, 2 cut.
    """
    batch = dapo.rollout_prompts
    if dapo.max_steps > 0:
        return math.ceil(dapo.max_steps / (batch // dapo.train_prompts)) * batch, 0
    lines = rows * dapo.epochs
    dropped = 0 if dapo.dynamic_sampling else lines % batch
    return lines - dropped, dropped


def _in_order(rows: list[Row], seed: int, turn: int) -> list[Row]:
    """The first epoch as the other engine has it, each later one in an order of its own."""
    if turn == 0:
        return in_training_order(rows, seed)
    return sorted(rows, key=lambda row: unit_of(seed, "train order", row["row_id"], turn))


def _line(row: Row, place: str, turn: int) -> dict[str, Any]:
    """`turn` makes the label unique to its line, and is HELD in one of a row that is not trained on."""
    names = ("row_id", "label", "options", "answer", "question")
    label = json.dumps({name: row[name] for name in names} | {"turn": turn}, ensure_ascii=False)
    return {"prompt": conversation(row["prompt"]), "images": [place], "label": label, "datasource": "r2i"}


def _fitting(table: Path, rows: list[Row], limit: int, count_tokens: Tokens) -> tuple[dict[str, str], int, int]:
    """References of the rows that can be trained on, by id; how many are too long; how many are unfit."""
    prompts = {row["row_id"]: row["prompt"] for row in rows}
    places: dict[str, str] = {}
    too_long = unfit = found = 0
    for row_id, place, data in _pictures(table, prompts):
        found += 1
        try:
            fits = count_tokens(prompts[row_id], *read_size(data)) <= limit
        except ImageError:
            unfit += 1
            continue
        if fits:
            places[row_id] = place
        else:
            too_long += 1
    if found < len(prompts):
        raise TableError(f"{table} lacks {len(prompts) - found} of {len(prompts)} train rows", "run `dvc repro train`")
    return places, too_long, unfit


def _pictures(table: Path, wanted: Collection[str]) -> Iterator[tuple[str, str, bytes]]:
    """(row id, reference, image) of the wanted rows, one at a time."""
    for path in table_parts(table, TRAIN, "overlay"):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                rows = file.iter_batches(1, row_groups=[group], columns=["row_id", "image"])
                for number, row in enumerate(rows):
                    row_id = row["row_id"][0].as_py()
                    if row_id in wanted:
                        yield row_id, f"{path.resolve()}#{group}#{number}", row["image"][0].as_py() or b""


def read_reference(reference: str) -> bytes:
    """The image that a line of the view refers to. Raises TableError where it is not there any more."""
    try:
        path, group, number = reference.rsplit("#", 2)
        with pq.ParquetFile(path) as file:
            rows = file.iter_batches(1, row_groups=[int(group)], columns=["image"])
            data = next(row["image"][0].as_py() for at, row in enumerate(rows) if at == int(number))
    except (ValueError, OSError, IndexError, KeyError, pa.ArrowException, StopIteration) as error:
        raise TableError(f"no image at {reference}: {error}", "the train table was moved or written anew") from error
    if not data:
        raise TableError(f"the row at {reference} has no image", "the train table was written anew")
    return bytes(data)
