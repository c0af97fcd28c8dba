"""Hostile dataset files, pictures and pools: what is lost, invented, let in, or ends in a traceback.

`try_files` and `try_pools` return counts; `bench/faults.py` adds them up. Every input lies beside good ones. `lost`: a
good row or picture that is neither used nor named in an error; `invented`: a hostile one that is used; `let_in`: bytes
from outside of the folder; `tracebacks`: any exception but an R2IError.
"""

import base64
import io
import json
import os
import random
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from r2i.benchmark.sources import open_items
from r2i.core.errors import ImageError, R2IError
from r2i.core.images import read_image, sha256
from r2i.core.params import Benchmark, BenchmarkSource, Drawing, Pool, Sample
from r2i.core.records import OK, TRAIN
from r2i.core.spool import TarSpool
from r2i.core.tables import iter_rows
from r2i.sample.choose import choose_images
from r2i.sample.pools import list_offers
from r2i.tools.exchange.importing import import_table

SEED = 16
FLIPS = 120  # damaged copies of each whole file
SECRET = 999  # number of the picture that lies outside of every folder
Make = Callable[[], bytes]


def picture(number: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    grid = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def ramp(white: float, kind: Any) -> bytes:
    return encode(Image.fromarray((np.linspace(0, white, 4096).reshape(64, 64)).astype(kind)), "TIFF")


BAD: dict[str, Make] = {
    **{kind: partial(encode, picture(1), kind) for kind in ("EPS", "ICNS", "DDS", "PPM", "TGA", "PCX", "PDF")},
    "SPIDER": lambda: encode(picture(1).convert("F"), "SPIDER"),
    "XBM": lambda: encode(picture(1).convert("1"), "XBM"),
    **{f"float to {white}": partial(ramp, white, np.float32) for white in (1, 255, 65535)},
    "32-bit integers": lambda: ramp(255, np.int32),
    "81 megapixels": lambda: encode(Image.new("L", (9000, 9000), 99), "PNG"),
    "66 000 pixels high": lambda: encode(Image.new("L", (400, 66000), 99), "PNG"),
    "animated": lambda: encode(picture(1), "GIF", save_all=True, append_images=[picture(2)]),
    "half a PNG": lambda: encode(picture(1), "PNG")[:2000],
    "half a JPEG": lambda: encode(picture(1), "JPEG")[:900],
    "a page": lambda: b"<!DOCTYPE html><html>404</html>",
    "gzip": lambda: b"\x1f\x8b" + bytes(50),
    "nothing much": lambda: b"\0",
}


def item(number: int, image: Any = None, **changes: Any) -> dict[str, Any]:
    """A good row for both readers: a `table` benchmark and an import."""
    given = image if image is not None else base64.b64encode(encode(picture(number), "PNG")).decode()
    row = {"image": given, "question": f"What is {number}?", "options": ["x", "y"], "answer": "x"}
    return row | {"images": [given], "problem": f"<image>What is {number}?\nA. x\nB. y"} | changes


def write_lines(folder: Path, rows: list[Any], name: str = "d.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (folder / name).write_text(text)
    return folder


def try_files(folder: Path) -> dict[str, int]:
    """Every hostile file as a benchmark and as rows to import, in `folder`."""
    (folder / "outside").mkdir(parents=True)
    (folder / "outside" / "secret.png").write_bytes(encode(picture(SECRET), "PNG"))
    counts = Counter(dict.fromkeys(("tried", "lost", "invented", "let_in", "tracebacks"), 0))
    for number, (path, good) in enumerate([*_rows(folder), *_whole(folder)]):
        for read in (_as_benchmark, _as_rows):
            counts["tried"] += 1
            try:
                found = read(path, folder / f"scratch{number}")
            except R2IError:
                counts["lost"] += good is not None
                continue
            except Exception:
                counts["tracebacks"] += 1
                continue
            expected = set(good or ())
            counts["lost"] += bool(expected - found)
            counts["invented"] += bool(found - expected - {sha256(encode(picture(SECRET), "PNG"))})
            counts["let_in"] += sha256(encode(picture(SECRET), "PNG")) in found
    counts += Counter(_flip_pictures())
    return {name: counts[name] for name in ("tried", "lost", "invented", "let_in", "tracebacks")}


def _as_benchmark(path: Path, scratch: Path) -> set[str]:
    cfg = Benchmark(sources=[BenchmarkSource(kind="table", path=str(path))])
    with open_items(cfg, Drawing(), 0, scratch) as items:
        return {row["image_id"] for row in items.rows if row["status"] == OK}


def _as_rows(path: Path, scratch: Path) -> set[str]:
    import_table(path, scratch / "table", "paper", None)
    return {row["image_id"] for row in iter_rows(scratch / "table", TRAIN, "import") if row["status"] == OK}


def _ids(*numbers: int) -> set[str]:
    return {sha256(encode(picture(number), "PNG")) for number in numbers}


def _rows(folder: Path) -> Iterator[tuple[Path, set[str] | None]]:
    """Folders of one bad row between two good ones, and the pictures that are right."""
    for name, make in BAD.items():
        bad = item(2, base64.b64encode(make()).decode())
        yield write_lines(folder / f"bad {name.replace('/', '-')}", [item(1), bad, item(3)]), _ids(1, 3)
    secret = folder / "outside" / "secret.png"
    paths = ("../outside/secret.png", str(secret), f"file://{secret}", "link.png", "out/secret.png",
             f"{folder}/x/../outside/secret.png", "https://host/secret.png", "\0", "/dev/zero", "/dev/stdin", "pipe",
             "film.mp4", "cam2/0001.png")  # fmt: skip
    for number, name in enumerate(paths):
        place = write_lines(folder / f"path{number}", [item(1), item(2, name), item(3)])
        (place / "link.png").symlink_to(secret)
        (place / "out").symlink_to(secret.parent)
        (place / "images").mkdir()
        (place / "images" / "0001.png").write_bytes(encode(picture(7), "PNG"))
        os.mkfifo(place / "pipe")
        with (place / "film.mp4").open("wb") as film:
            film.truncate(3 * 2**30)
        yield place, _ids(1, 3)
    two = [item(1), item(2, "/a/cam1/0001.png"), item(4, "/a/cam2/0001.png"), item(3)]
    place = write_lines(folder / "two cameras", two)
    (place / "images").mkdir()
    (place / "images" / "0001.png").write_bytes(encode(picture(7), "PNG"))
    yield place, _ids(1, 3)
    for number, text in enumerate(
        ('{"image": "torn', "[1]", "[" * 90_000, '{"image": 1, "image": 2}', "1e999", "\ufeff{}")
    ):
        yield write_lines(folder / f"line{number}", [item(1), text, item(3)]), _ids(1, 3)


def _whole(folder: Path) -> Iterator[tuple[Path, set[str] | None]]:
    """Folders that are read without what does not belong to them, or (None) not at all."""
    for name in (".ipynb_checkpoints/d-checkpoint.jsonl", "._d.jsonl", "__MACOSX/d.jsonl", ".cache/d.jsonl"):
        place = write_lines(folder / f"stray {name.replace('/', '-')}", [item(1)])
        write_lines((place / name).parent, [item(2)], Path(name).name)
        yield place, _ids(1)
    for number, names in enumerate((("train", "test"), ("a_train", "a_val", "a_test"), ("dev", "test"))):
        for name in names:
            write_lines(folder / f"splits{number}", [item(1)], f"{name}.jsonl")
        yield folder / f"splits{number}", None
    columns = ["image", "images", "question", "problem", "options", "answer"]
    lines = ["\t".join(columns)]
    for number, start in enumerate(("", '"', "", '"')):
        row = item(number) | {"options": '["x", "y"]', "question": f"{start}What?", "problem": "What is it?"}
        row["images"] = row["image"]
        lines.append("\t".join(str(row[name]) for name in columns))
    for number, text in enumerate(("\n".join(lines[:3]), "\n".join(lines), "\n".join(lines).replace("\t", "\t\0", 1))):
        place = folder / f"tsv{number}"
        place.mkdir()
        (place / "d.tsv").write_text(text + "\n")
        yield place, None
    place = folder / "twice"
    place.mkdir()
    rows = pa.Table.from_pylist([item(1)])
    pq.write_table(rows.append_column("answer", pa.array(["y"])), place / "d.parquet")
    yield place, None
    place = folder / "lists"
    place.mkdir()
    (place / "d.json").write_text(json.dumps({"train": [item(1)], "test": [item(2)]}))
    yield place, None


def _flip_pictures() -> dict[str, int]:
    """Cut and damaged pictures of every format: an image or an ImageError."""
    counts = {"tried": 0, "tracebacks": 0}
    rng = random.Random(SEED)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        whole = encode(picture(3), kind)
        for _ in range(FLIPS):
            data = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
            for _ in range(rng.choice((0, 1, 1, 4, 16))):
                data[rng.randrange(min(len(data), rng.choice((64, len(data)))))] = rng.randrange(256)
            counts["tried"] += 1
            try:
                read_image(bytes(data))
            except ImageError:
                pass
            except Exception:
                counts["tracebacks"] += 1
    return counts


def try_pools(folder: Path) -> dict[str, int]:
    """Hostile folders, tars and Parquet files as pools of `sample`, in `folder`."""
    counts = Counter(dict.fromkeys(("tried", "lost", "invented", "let_in", "tracebacks"), 0))
    for pool, good in _pools(folder):
        counts["tried"] += 1
        try:
            rows = _sample(pool, folder / "scratch")
        except R2IError:
            counts["lost"] += bool(good)
            continue
        except Exception:
            counts["tracebacks"] += 1
            continue
        used = {row["image_id"] for row in rows if row["status"] == OK}
        counts["lost"] += bool(good - used)
        counts["invented"] += bool(good and used - good)
    return dict(counts)


def _sample(pool: Pool, scratch: Path) -> list[dict[str, Any]]:
    params = Sample(pools=[pool], images=1000, min_side=1, max_aspect=1000, near_duplicate_bits=-1, workers=1)
    with TarSpool(scratch) as spool:
        return choose_images(list(list_offers(pool, 0)), params, 0, spool).rows


def _pools(folder: Path) -> Iterator[tuple[Pool, set[str]]]:
    """Pools, each with the pictures that must be used; of damaged ones nobody can say."""
    photos = folder / "photos"
    photos.mkdir(parents=True)
    for number in range(3):
        (photos / f"{number}.png").write_bytes(encode(picture(number), "PNG"))
    for name, make in BAD.items():
        (photos / f"{name}.jpg").write_bytes(make())
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "loop").symlink_to(photos)
    os.mkfifo(photos / "pipe.jpg")
    with (photos / "film.mp4").open("wb") as film:
        film.truncate(3 * 2**30)
    yield Pool(kind="folder", name="photos", path=str(photos)), _ids(0, 1, 2)
    for mode, suffix in (("w", ".tar"), ("w:gz", ".tar.gz")):
        whole = folder / f"whole{suffix}"
        _write_tar(whole, mode)
        yield Pool(kind="tar", name="tar", path=str(whole)), _ids(0, 1, 2)
        yield from (_damaged(whole, copy, "tar") for copy in range(FLIPS // 2))
    table = folder / "whole.parquet"
    pq.write_table(pa.table({"image": [encode(picture(number), "PNG") for number in range(3)]}), table)
    yield Pool(kind="parquet", name="table", path=str(table)), _ids(0, 1, 2)
    yield from (_damaged(table, copy, "parquet") for copy in range(FLIPS // 2))


def _write_tar(path: Path, mode: Any) -> None:
    """Equal names, names like numbered ones, links that loop, lead out and lead on, a sparse member."""
    with tarfile.open(path, mode) as tar:
        for number, name in enumerate(("a.png", "a.png", "a.png#2")):
            info, data = tarfile.TarInfo(name), encode(picture(number), "PNG")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for kind, name, target in (
            (tarfile.LNKTYPE, "hard.png", "a.png"), (tarfile.SYMTYPE, "out.png", "/etc/passwd"),
            (tarfile.SYMTYPE, "x.png", "y.png"), (tarfile.SYMTYPE, "y.png", "x.png"),
            (tarfile.GNUTYPE_SPARSE, "sparse.png", ""), (tarfile.FIFOTYPE, "pipe.png", ""),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)


def _damaged(whole: Path, copy: int, kind: Any) -> tuple[Pool, set[str]]:
    rng = random.Random(f"{SEED} {whole.name} {copy}")
    data = bytearray(whole.read_bytes())
    for _ in range(rng.choice((0, 1, 4, 16))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path = whole.parent / f"{copy}-{whole.name}"
    path.write_bytes(data[: rng.choice((len(data), rng.randrange(1, len(data))))])
    return Pool(kind=kind, name="damaged", path=str(path)), set()
