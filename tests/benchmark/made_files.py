"""Small benchmarks in their published schemas."""

import base64
import csv
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from r2i.benchmark.sources import Items, open_items
from r2i.core.params import Benchmark, BenchmarkKind, BenchmarkSource, Drawing
from r2i.core.tables import Row

SIDES = (96, 64)  # width, height in pixels


def photo(number: int, kind: str = "JPEG") -> bytes:
    """Noise over a gradient: every number another picture."""
    rng = np.random.default_rng(number)
    tiles = np.kron(rng.integers(0, 255, (8, 12, 3)), np.ones((8, 8, 1)))
    buffer = BytesIO()
    Image.fromarray(tiles.astype("uint8")).save(buffer, kind)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def struct(data: bytes | None) -> dict[str, Any]:
    """An image as `datasets` writes it."""
    return {"bytes": data, "path": None}


def put_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    return path


def put_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def put_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def put_tsv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return path


def put_photo(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(photo(number))
    return path


def import_all(kind: BenchmarkKind, path: Path, **source: Any) -> tuple[list[Row], Items]:
    """The rows of one source with their views read, and what the stage gets."""
    cfg = Benchmark(sources=[BenchmarkSource(kind=kind, path=str(path), **source)])
    with open_items(cfg, Drawing(), 0, path.parent / "scratch") as found:
        return [{name: v() if callable(v) else v for name, v in row.items()} for row in found.rows], found
