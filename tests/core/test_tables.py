"""A table's bytes depend on its rows alone, and a table that can't be read says why and what to do."""

from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r2i.core.errors import TableError
from r2i.core.tables import GROUP_BYTES, Row, iter_rows, read_table, shard_of, write_table

SCHEMA = pa.schema([("row_id", pa.string()), ("image_id", pa.string()), ("value", pa.int32())])
PICTURED = SCHEMA.append(pa.field("image", pa.binary()))


def rows(count: int, start: int = 0) -> list[Row]:
    return [{"row_id": f"r{i:04d}", "image_id": f"image-{i}", "value": i} for i in range(start, start + count)]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read_back_in_order_of_id(tmp_path: Path) -> None:
    write_table(tmp_path / "t", reversed(rows(600)), SCHEMA, shards=3)
    assert read_table(tmp_path / "t", SCHEMA, "crop") == rows(600)


def test_the_order_of_rows_changes_no_byte(tmp_path: Path) -> None:
    write_table(tmp_path / "a", rows(50), SCHEMA, shards=4)
    write_table(tmp_path / "b", reversed(rows(50)), SCHEMA, shards=4)
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_a_new_image_changes_one_shard_only(tmp_path: Path) -> None:
    write_table(tmp_path / "a", rows(50), SCHEMA, shards=4)
    write_table(tmp_path / "b", rows(51), SCHEMA, shards=4)
    before, after = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [f"part-{shard_of('image-50', 4):05d}-of-00004.parquet"]


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="share the row_id 'r0001'"):
        write_table(tmp_path / "t", rows(2) + rows(1, start=1), SCHEMA)
    assert not (tmp_path / "t").exists()


def test_a_write_that_fails_leaves_the_old_table_and_nothing_else(tmp_path: Path) -> None:
    write_table(tmp_path / "t", rows(3), SCHEMA)
    before = files_of(tmp_path / "t")
    with pytest.raises(pa.ArrowException):
        write_table(tmp_path / "t", [{"row_id": "x", "image_id": "y", "value": "no number"}], SCHEMA)
    assert files_of(tmp_path / "t") == before
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_missing_table_names_the_stage_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(TableError) as caught:
        read_table(tmp_path / "t", SCHEMA, "crop")
    assert "no table" in caught.value.cause
    assert "dvc repro crop" in caught.value.remedy


def test_an_empty_table_is_an_error_unless_allowed(tmp_path: Path) -> None:
    write_table(tmp_path / "t", [], SCHEMA)
    with pytest.raises(TableError, match="no rows"):
        read_table(tmp_path / "t", SCHEMA, "crop")
    assert read_table(tmp_path / "t", SCHEMA, "crop", allow_empty=True) == []


def test_a_missing_column_and_a_wrong_type_are_named(tmp_path: Path) -> None:
    write_table(tmp_path / "t", rows(3), SCHEMA)
    with pytest.raises(TableError, match="no column 'extra'"):
        read_table(tmp_path / "t", SCHEMA.append(pa.field("extra", pa.string())), "crop")
    other = pa.schema([("row_id", pa.string()), ("image_id", pa.string()), ("value", pa.string())])
    with pytest.raises(TableError, match=r"column 'value' of .* is int32, not string"):
        read_table(tmp_path / "t", other, "crop")


def test_a_torn_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    write_table(tmp_path / "t", rows(3), SCHEMA)
    part = next((tmp_path / "t").iterdir())
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(TableError, match="not a readable Parquet file"):
        read_table(tmp_path / "t", SCHEMA, "crop")


def test_rows_come_one_row_group_at_a_time(tmp_path: Path) -> None:
    write_table(tmp_path / "t", rows(600), SCHEMA)
    assert pq.ParquetFile(tmp_path / "t/part-00000-of-00001.parquet").num_row_groups == 3  # 256 + 256 + 88
    assert next(iter_rows(tmp_path / "t", SCHEMA, "crop", columns=["value"])) == {"value": 0}


def sizes_of_groups(folder: Path) -> list[int]:
    file = pq.ParquetFile(folder / "part-00000-of-00001.parquet")
    return [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]


def test_a_row_group_ends_before_its_pictures_outgrow_the_limit(tmp_path: Path) -> None:
    third = bytes(GROUP_BYTES // 3)  # three fit, one more does not
    huge = bytes(GROUP_BYTES + 1)  # fits nowhere: has a group of its own
    blobs = [third] * 5 + [huge] + [None, b""]
    written = [row | {"image": blob} for row, blob in zip(rows(8), blobs, strict=True)]
    write_table(tmp_path / "t", written, PICTURED)
    assert sizes_of_groups(tmp_path / "t") == [3, 2, 1, 2]
    assert read_table(tmp_path / "t", PICTURED, "crop") == written
    assert [row["value"] for row in iter_rows(tmp_path / "t", PICTURED, "crop", ["value"])] == list(range(8))


def test_small_pictures_leave_the_layout_as_it_is_without_them(tmp_path: Path) -> None:
    written = [row | {"image": b"x" * 99} for row in rows(600)]
    write_table(tmp_path / "t", written, PICTURED)
    assert sizes_of_groups(tmp_path / "t") == [256, 256, 88]
    whole = tmp_path / "whole.parquet"
    pq.write_table(
        pa.Table.from_pylist(written, schema=PICTURED), whole, compression="zstd", compression_level=3,
        row_group_size=256,
    )  # fmt: skip
    assert next((tmp_path / "t").iterdir()).read_bytes() == whole.read_bytes()


def test_a_value_may_be_a_function_that_is_called_when_its_row_is_written(tmp_path: Path) -> None:
    read: list[int] = []

    def load(number: int) -> bytes:
        read.append(number)
        return bytes(GROUP_BYTES // 3)

    lazy = [row | {"image": partial(load, row["value"])} for row in rows(7)]
    write_table(tmp_path / "t", lazy[::-1], PICTURED)
    assert read == list(range(7))
    assert sizes_of_groups(tmp_path / "t") == [3, 3, 1]
