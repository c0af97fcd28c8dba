"""Photographs, a benchmark and published rows in their published forms, for bench/rehearsal.py.

Of the twelve photographs that scikit-image ships, each with a sticker of one of four colors.
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from bench.first_hour import COLORS, NAMES, PHOTOGRAPHS, QUESTION, paste_sticker

SIZE = (1280, 1216)  # pixels; the profiles' photographs are over 1200
SIDE = 0.2  # of a sticker, share of the picture's width: what SAM 2's small form still sees
OPTIONS = "\n".join(f"{letter}. {name}" for letter, name in zip("ABCD", COLORS, strict=True))
ASKED = f"{QUESTION}\n{OPTIONS}"


def photograph(name: str, turn: int, number: int) -> tuple[bytes, str, list[int], bytes]:
    """A JPEG with sticker, the sticker's color and box (xyxy pixels), and the cut-out sticker."""
    photo = Image.open(PHOTOGRAPHS / name).convert("RGB").resize(SIZE)
    turned = (photo, ImageOps.mirror(photo), ImageOps.flip(photo), photo.rotate(180))[turn]
    shown, color, box = paste_sticker(turned, number, SIDE)
    return jpeg(shown), color, box, jpeg(shown.crop(tuple(box)))  # type: ignore[arg-type]


def jpeg(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=92)
    return data.getvalue()


def make_photographs(path: Path) -> None:
    """A shard as SA-1B's: sa_<n>.jpg, each with a JSON beside it."""
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w") as tar:
        for number, (name, turn) in enumerate((name, turn) for name in NAMES for turn in (0, 1)):
            data = photograph(name, turn, number)[0]
            for suffix, content in (("jpg", data), ("json", b'{"annotations": []}')):
                member = tarfile.TarInfo(f"sa_{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def make_benchmark(path: Path) -> None:
    """ZoomBench's columns: multiple choice and open questions."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(NAMES[:8]):
        data, color, box, crop = photograph(name, 2, number + 3)
        closed = number % 4 != 3
        rows.append({
            "id": str(number), "image": {"bytes": data, "path": None}, "crop_image": {"bytes": crop, "path": None},
            "query": ASKED if closed else QUESTION, "response": "ABCD"[list(COLORS).index(color)] if closed else color,
            "bbox": box, "question_type": "Color Attributes",
        })  # fmt: skip
    _write(path, rows)


def make_published(path: Path) -> None:
    """ZwZ-RL-VQA's columns."""
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(NAMES):
        data, color, box, _ = photograph(name, 3, number + 7)
        rows.append({
            "images": [{"bytes": data, "path": None}], "problem": f"<image>\n{ASKED}",
            "answer": "ABCD"[list(COLORS).index(color)], "bbox": box, "status": "valid vqa", "data_source": "general",
            "ability": "color", "extra_info": json.dumps({"question": ASKED}),
        })  # fmt: skip
    _write(path, rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
