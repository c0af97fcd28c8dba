"""Folders to hand on: a dataset that `datasets.load_dataset` opens, a model's folder, each with its card."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from r2i.core import paths
from r2i.core.catalogue import BENCHMARK, IMAGES, TRAIN
from r2i.core.disk import new_folder
from r2i.core.errors import R2IError, TableError
from r2i.core.params import load_params
from r2i.tools.cards.data import data_card
from r2i.tools.cards.facts import Export
from r2i.tools.cards.model import model_card, trained_models
from r2i.tools.cards.render import MARK
from r2i.tools.exchange.export import Columns, write_rows
from r2i.tools.exchange.folder import require_free
from r2i.tools.exchange.hub import benchmark_columns, train_columns

CARD, DATA = "README.md", "data"
LONGEST_FRONT = 10_000  # characters


def export_dataset(folder: Path, what: Literal["train", "benchmark"]) -> dict[str, Any]:
    """Write the rows of a table that are ok as `data/<split>-*.parquet`, and the data card as README.md.

    The same table gives the same bytes. Returns the rows written and those left out, by reason. Raises TableError as
    r2i.tools.exchange.export.export_table does.
    """
    table = TRAIN if what == "train" else BENCHMARK
    require_ours(folder)
    require_free(folder, (CARD, DATA), table.folder)
    parts = table.parts()
    columns = train_columns(pool_names()) if what == "train" else benchmark_columns(_style())
    with new_folder(folder) as part:
        (part / DATA).mkdir()
        done = write_rows(parts, part / DATA, columns)
        (part / CARD).write_text(data_card(_about(part, columns, what)), encoding="utf-8")
    return done


def export_model(folder: Path, name: str) -> None:
    """Write a trained model's folder and its card. Raises R2IError where there is no such model."""
    source = paths.MODELS / name
    if not (source / "config.json").is_file():
        known = ", ".join(trained_models()) or "none"
        raise R2IError(f"no model in {source}", f"`dvc repro train` or `make pull`; trained here: {known}")
    card = model_card(name)
    inside = sorted(path.name for path in source.iterdir())
    require_ours(folder)
    require_free(folder, (CARD, *inside), source)
    with new_folder(folder) as part:
        for path in (source / name for name in inside):
            if path.is_dir():
                shutil.copytree(path, part / path.name)
            else:
                shutil.copyfile(path, part / path.name)  # a link into DVC's cache becomes a file
        (part / CARD).write_text(card, encoding="utf-8")


def require_ours(folder: Path) -> None:
    """Raise TableError where `folder` holds anything, and no card that says that an export wrote it."""
    card = folder / CARD
    ours = card.is_file() and f"- {MARK}\n" in card.read_text(encoding="utf-8", errors="replace")[:LONGEST_FRONT]
    if folder.is_dir() and any(folder.iterdir()) and not ours:
        raise TableError(f"{folder} is not empty, and no earlier export", "name a new folder")


def pool_names() -> dict[str, str]:
    """The pool of every image, by image_id; none where the table of images is not here."""
    return dict(_pools())


def _pools() -> Iterator[tuple[str, str]]:
    names: dict[str, str] = {}
    try:
        for batch in IMAGES.batches(["image_id", "pool"]):
            for image_id, pool in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield image_id, names.setdefault(pool, pool)
    except TableError:
        return


def _style() -> str:
    return load_params().chosen.evaluate.prompts


def _about(folder: Path, columns: Columns, what: str) -> Export:
    """Of the files just written."""
    files = sorted((folder / DATA).glob("*.parquet"))
    metadata = [pq.read_metadata(file) for file in files]
    size = sum(
        group.total_byte_size for found in metadata for group in map(found.row_group, range(found.num_row_groups))
    )
    rows = sum(found.num_rows for found in metadata)
    return Export(what, columns.split, columns.features(), rows, size, sum(file.stat().st_size for file in files))
