"""A table that refers to its pools gives the same pictures as one that holds them, and they are what a viewer shows."""

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from PIL import Image
from sample.hostile import GOOD, picture, seen_through, turned
from test_sample import choose_from, settings

from r2i.core.errors import TableError
from r2i.core.images import is_plain_jpeg, read_image, stored_jpeg
from r2i.core.params import Pool
from r2i.core.photos import REFERENCE, Photos, jpeg_of, name_text, pool_path, text_name
from r2i.core.tables import Row
from r2i.sample.pools import list_offers

NAMES = [name for name in GOOD if not name.startswith("n" * 200)]


def on_white(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, (255, 255, 255))
    ground.paste(image.convert("RGB"), mask=image.getchannel("A"))
    return ground


SHOWN: dict[str, Callable[[], Image.Image]] = {
    "grey.jpg": lambda: picture(12).convert("L").convert("RGB"),
    "cmyk.jpg": lambda: picture(13),
    "palette.png": lambda: picture(23).quantize(64).convert("RGB"),
    "alpha.png": lambda: on_white(seen_through(25, "RGB")),
    "grey-alpha.png": lambda: on_white(seen_through(26, "L")),
    "one-bit.png": lambda: picture(27).convert("1").convert("RGB"),
    "grey16.png": lambda: picture(28).convert("L").convert("RGB"),
    "rgb16.png": lambda: picture(29),
    "phone.mpo": lambda: picture(30),
    "picture.tif": lambda: picture(20),
    "picture.bmp": lambda: picture(19),
    "no-extension": lambda: picture(16),  # WebP
    "still.gif": lambda: picture(22).quantize().convert("RGB"),
    "a-png.jpg": lambda: picture(14),
    "profile.jpg": lambda: picture(32),  # the numbers as stored: profiles, wide ones too, are not applied
    **{f"turned{way}.jpg": lambda way=way: picture(40 + way, 80, 48) for way in range(1, 9)},
}


def tables(pool: Pool) -> tuple[list[Row], list[Row]]:
    """The rows that embed and the rows that refer."""
    offers = list(list_offers(pool, 0))
    made = (
        choose_from(offers, settings(pools=[pool], images=1000, near_duplicate_bits=-1, embed=embed)).rows
        for embed in (True, False)
    )
    embedded, referring = made
    return embedded, referring


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in NAMES:
        (folder / name).write_bytes(GOOD[name]())
    return folder


@pytest.fixture(scope="module")
def both(folder: Path) -> tuple[list[Row], list[Row]]:
    return tables(Pool(kind="folder", name="photos", path=str(folder)))


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_of_every_mode_is_stored_as_a_viewer_shows_it(name: str, both: tuple[list[Row], list[Row]]) -> None:
    row = next(row for row in both[0] if row["source"] == f"photos/{name}")
    stored = Image.open(io.BytesIO(row["image"]))
    shown = SHOWN[name]()
    assert (stored.format, stored.mode, stored.size) == ("JPEG", "RGB", shown.size)
    assert (row["width"], row["height"]) == shown.size
    off = np.abs(np.asarray(stored).astype(int) - np.asarray(shown).astype(int))
    assert off.mean() < {"one-bit.png": 8, "palette.png": 5, "still.gif": 5}.get(name, 3)  # JPEG: most at dots


def test_a_reference_gives_the_bytes_that_would_have_been_embedded(both: tuple[list[Row], list[Row]]) -> None:
    embedded, referring = both
    photos = Photos([Pool(kind="folder", name="photos", path=str(Path("nowhere")))])
    assert [row["image"] for row in referring] == [None] * len(NAMES)
    assert [row | {"image": None} for row in embedded] == referring
    assert all(photos.jpeg(row) == row["image"] for row in embedded)  # the table's own, without the pool


def test_what_is_referred_to_is_read_from_the_pool(folder: Path, both: tuple[list[Row], list[Row]]) -> None:
    photos = pickle.loads(pickle.dumps(Photos([Pool(kind="folder", name="photos", path=str(folder))])))
    found = photos.filled({name: row[name] for name in REFERENCE} for row in both[1])
    assert [row["image"] for row in found] == [row["image"] for row in both[0]]


def test_rows_that_are_not_ok_have_no_picture(folder: Path) -> None:
    row = dict.fromkeys(REFERENCE) | {"status": "rejected"}
    assert list(Photos([]).filled([row])) == [row]


def write_tar(path: Path, mode: str = "w") -> None:
    with tarfile.open(path, mode) as tar:
        for name in NAMES:
            info = tarfile.TarInfo(f"deep/{name}")
            data = GOOD[name]()
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_parquet(path: Path, struct: bool) -> None:
    values: list[object] = [{"bytes": GOOD[name](), "path": name} if struct else GOOD[name]() for name in NAMES]
    pq.write_table(pa.table({"image": values, "caption": NAMES}), path, row_group_size=7)


@pytest.mark.parametrize("kind", ["tar", "bytes", "struct"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_members_of_tars_and_rows_of_parquet_files_are_read_by_reference(
    tmp_path: Path, kind: str, as_folder: bool
) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / ("a!b.tar" if kind == "tar" else "a!b.parquet")
    if kind == "tar":
        write_tar(path)
    else:
        write_parquet(path, kind == "struct")
    at = tmp_path if as_folder else path
    pool = Pool(kind="tar" if kind == "tar" else "parquet", name="shards", path=str(at))
    embedded, referring = tables(pool)
    assert len(embedded) == len(NAMES) and {row["status"] for row in embedded} == {"ok"}
    assert [row["image"] for row in referring] == [None] * len(NAMES)
    assert [Photos([pool]).jpeg(row) for row in referring] == [row["image"] for row in embedded]
    assert all((row["start"] is not None) == (kind == "tar") for row in referring)
    assert all(row["size"] for row in referring)


def test_a_compressed_tar_can_not_be_referred_to_and_is_embedded(tmp_path: Path) -> None:
    write_tar(tmp_path / "shard.tar.gz", "w:gz")
    embedded, referring = tables(Pool(kind="tar", name="shards", path=str(tmp_path)))
    assert embedded == referring
    assert len(embedded) == len(NAMES) and all(row["image"] and row["start"] is None for row in embedded)


def test_a_changed_and_a_vanished_file_are_named(tmp_path: Path) -> None:
    for name in ("plain.jpg", "palette.png"):
        (tmp_path / name).write_bytes(GOOD[name]())
    pool = Pool(kind="folder", name="photos", path=str(tmp_path))
    plain, palette = sorted(tables(pool)[1], key=lambda row: row["source"], reverse=True)
    (tmp_path / "plain.jpg").write_bytes(GOOD["profile.jpg"]())
    (tmp_path / "palette.png").unlink()
    with pytest.raises(TableError, match=r"photos/plain.jpg: the pool's file has changed"):
        Photos([pool]).jpeg(plain)
    with pytest.raises(TableError, match=r"photos/palette.png: the pool's file is gone"):
        Photos([pool]).jpeg(palette)
    with pytest.raises(TableError, match="no pool 'photos'"):
        Photos([]).jpeg(plain)


@pytest.mark.parametrize("damage", ["shorter", "empty", "no-column", "text"])
def test_a_parquet_file_that_changed_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "photos.parquet"
    write_parquet(path, struct=False)
    pool = Pool(kind="parquet", name="photos", path=str(path))
    row = max(tables(pool)[1], key=lambda row: int(row["member"].split("!")[1]))
    if damage == "text":
        path.write_text("not parquet")
    else:
        column = "other" if damage == "no-column" else "image"
        rows = {"shorter": 2, "empty": 0, "no-column": len(NAMES)}[damage]
        pq.write_table(pa.table({column: pa.array([GOOD["plain.jpg"]()] * rows, pa.binary())}), path)
    with pytest.raises(TableError, match=r"photos/photos.parquet!\d+: the pool's file is gone"):
        Photos([pool]).jpeg(row)


@pytest.mark.parametrize("name", NAMES)
def test_stored_bytes_are_those_of_the_core(name: str) -> None:
    data = GOOD[name]()
    assert jpeg_of(data) == stored_jpeg(data, read_image(data))
    assert is_plain_jpeg(data) == (jpeg_of(data) == data)


@given_settings(deadline=None)
@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name and b"/" not in name))
def test_any_file_name_becomes_text_and_comes_back(name: bytes) -> None:
    text = name_text(os.fsdecode(name))
    assert text.encode("utf-8")
    assert os.fsencode(text_name(text)) == name
    assert os.fsencode(text_name(text.replace("!", "\\x21"))) == name


def test_a_relative_pool_lies_in_the_main_workspace_when_a_stage_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main" / "pool").mkdir(parents=True)
    (tmp_path / "temp").mkdir()
    monkeypatch.chdir(tmp_path / "temp")
    pool = Pool(kind="folder", name="photos", path="pool")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert pool_path(pool) == Path("pool")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "main"))
    assert pool_path(pool) == tmp_path / "main" / "pool"
    (tmp_path / "temp" / "pool").mkdir()
    assert pool_path(pool) == Path("pool")  # its own comes first


def test_turned_pictures_are_told_from_upright_ones() -> None:
    assert [is_plain_jpeg(turned(1, way)) for way in range(1, 9)] == [True] + [False] * 7
