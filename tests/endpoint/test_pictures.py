"""Pictures of a table, read when they are sent."""

import gc
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from r2i.core.errors import TableError
from r2i.core.images import jpeg_bytes, read_image, sha256
from r2i.core.tables import Row, iter_rows, write_table
from r2i.endpoint import pictures
from r2i.endpoint.pictures import ByteCache, read_pictures, sort_by_picture

SCHEMA = pa.schema(
    [("row_id", pa.string()), ("image_id", pa.string()), ("image", pa.binary()), ("status", pa.string())]
)


def rows(count: int) -> list[Row]:
    return [
        {"row_id": f"r{i:04d}", "image_id": f"image-{i}", "image": b"picture %d" % i, "status": "ok"}
        for i in range(count)
    ]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """600 rows in two shards, two row groups each."""
    write_table(tmp_path / "t", rows(600), SCHEMA, shards=2)
    return tmp_path / "t"


def every(table: Path, made_by: str = "crop", **options: int) -> dict[str, bytes]:
    found = read_pictures(table, SCHEMA, made_by, "image", [row["row_id"] for row in rows(600)], **options)
    return {name: picture.load() for name, picture in found.items()}


def test_pictures_are_those_of_the_table_by_id_and_in_its_order(table: Path) -> None:
    found = every(table)
    assert found == {row["row_id"]: row["image"] for row in rows(600)}
    assert list(found) == [row["row_id"] for row in iter_rows(table, SCHEMA, "crop", ["row_id"])]
    assert list(found) != sorted(found)  # shard after shard


def test_only_the_ids_that_were_named_are_there(table: Path) -> None:
    found = read_pictures(table, SCHEMA, "crop", "image", ["r0007", "r0003", "r0007"])
    assert set(found) == {"r0003", "r0007"} and len(found) == 2
    assert found["r0007"].load() == b"picture 7" and found["r0007"].name == sha256(b"picture 7")
    assert "r0001" not in found and found.get("r0001") is None


def test_rows_are_put_in_the_order_of_their_pictures(table: Path) -> None:
    found = read_pictures(table, SCHEMA, "crop", "image", ["r0001", "r0002", "r0003"])
    asked = [("second question", "r0003"), ("first", "r0001"), ("other", "r0003"), ("last", "r0002")]
    ordered = sort_by_picture(asked, found, lambda question: question[1])
    assert sorted(ordered) == sorted(asked)
    assert list(dict.fromkeys(name for _, name in ordered)) == list(found)
    assert [text for text, name in ordered if name == "r0003"] == ["second question", "other"]  # as they came
    with pytest.raises(KeyError):
        sort_by_picture([("a question", "r0009")], found, lambda question: question[1])


def test_in_the_tables_order_each_row_group_is_read_once(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def note(self: pq.ParquetFile, number: int, *args: object, **options: object) -> pa.Table:
        read.append(number)
        return whole(self, number, *args, **options)

    monkeypatch.setattr(pictures, "CACHE_BYTES", 1)  # no more than the last one
    found = read_pictures(table, SCHEMA, "crop", "image", [row["row_id"] for row in rows(600)])
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", note)
    for picture in found.values():
        picture.load()
    assert read == [0, 1, 0, 1]


def test_memory_holds_the_last_groups_alone() -> None:
    made: list[str] = []

    def make(name: str) -> bytes:
        made.append(name)
        return bytes(40)

    cache: ByteCache[bytes] = ByteCache(100, len)
    for name in "aabacb":  # a and b fit together; c drives b out, which was used before a
        cache.get(name, partial(make, name))
    assert made == ["a", "b", "c", "b"]
    assert cache.bytes == 80 and list(cache.values) == ["c", "b"]
    cache.get("huge", lambda: bytes(500))
    assert list(cache.values) == ["huge"]


def test_a_missing_id_is_an_error_before_anything_is_asked(table: Path) -> None:
    with pytest.raises(TableError, match="no image for 'gone' and 1 more") as caught:
        read_pictures(table, SCHEMA, "crop", "image", ["r0001", "gone", "lost"])
    assert "dvc repro crop" in caught.value.remedy


def test_a_row_that_was_dropped_has_no_picture(tmp_path: Path) -> None:
    kept, dropped = rows(2)
    write_table(tmp_path / "t", [kept, dropped | {"image": None, "status": "rejected"}], SCHEMA)
    with pytest.raises(TableError, match="no image for 'r0001'"):
        read_pictures(tmp_path / "t", SCHEMA, "crop", "image", ["r0000", "r0001"])
    write_table(tmp_path / "t", [kept, dropped | {"image": None}], SCHEMA)
    found = read_pictures(tmp_path / "t", SCHEMA, "crop", "image", ["r0000", "r0001"])
    with pytest.raises(TableError, match="no image for 'r0001'"):
        found["r0001"].load()


def test_a_missing_table_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_pictures(tmp_path / "t", SCHEMA, "crop", "image", ["x"])
    assert "no table" in caught.value.cause and "dvc repro crop" in caught.value.remedy


def test_a_picture_in_use_is_one_object_and_forgotten_afterwards(table: Path) -> None:
    found = read_pictures(table, SCHEMA, "crop", "image", ["r0001"])
    first = found["r0001"]
    assert found["r0001"] is first
    del first
    gc.collect()
    assert not found.in_use  # type: ignore[attr-defined]


def test_large_pictures_are_scaled_down_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = (jpeg_bytes(Image.new("RGB", (side, side), (9, 99, 9))) for side in (64, 16))
    blobs = [row | {"image": blob} for row, blob in zip(rows(2), (large, small), strict=True)]
    write_table(tmp_path / "t", blobs, SCHEMA)
    found = read_pictures(tmp_path / "t", SCHEMA, "crop", "image", ["r0000", "r0001"], max_pixels=400)
    shrunk = found["r0000"].load()
    assert read_image(shrunk).size == (20, 20)  # 64 * sqrt(400 / 4096) = 20
    assert found["r0001"].load() == small
    monkeypatch.setattr("r2i.endpoint.base.shrink", lambda *_: pytest.fail("scaled down again"))
    assert found["r0000"].load() == shrunk
    assert found["r0000"].name != sha256(large)
