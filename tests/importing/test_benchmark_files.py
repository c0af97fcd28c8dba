"""Readers of benchmark files: every form gives the same records, a torn one names itself, memory stays bounded."""

import tracemalloc
from pathlib import Path

import pytest
from benchmark.made_files import base64_of, photo, put_json, put_jsonl, put_parquet, put_photo, put_tsv
from datasets import Dataset, DatasetDict, Image

from r2i.core.errors import ImageError, TableError
from r2i.core.spool import Spool
from r2i.importing.pictures import find_file, read_picture
from r2i.importing.records import read_records

NEEDED = (("question",),)
ROWS = [{"question": f"Question {n}?", "answer": str(n)} for n in range(40)]


def test_every_form_gives_the_same_records(tmp_path: Path) -> None:
    put_parquet(tmp_path / "a.parquet", ROWS)
    put_jsonl(tmp_path / "a.jsonl", ROWS)
    put_json(tmp_path / "a.json", ROWS)
    put_json(tmp_path / "b.json", {"version": 1, "data": ROWS})
    put_tsv(tmp_path / "a.tsv", ROWS)
    for name in ("a.parquet", "a.jsonl", "a.json", "b.json", "a.tsv"):
        assert [dict(record.values) for record in read_records(tmp_path / name, NEEDED)] == ROWS, name


def test_a_folder_that_datasets_saved_is_read_with_its_images(tmp_path: Path) -> None:
    rows = {"question": ["a?", "b?"], "image": [{"bytes": photo(n), "path": None} for n in (1, 2)]}
    DatasetDict({"test": Dataset.from_dict(rows).cast_column("image", Image())}).save_to_disk(tmp_path / "saved")
    records = list(read_records(tmp_path / "saved", NEEDED))
    assert [record.get("question") for record in records] == ["a?", "b?"]
    assert [read_picture(record.get("image"), record.folder) for record in records] == [photo(1), photo(2)]


def test_what_others_left_beside_a_saved_dataset_is_not_read(tmp_path: Path) -> None:
    data = Dataset.from_dict({"question": ["a?", "b?"]})
    data.save_to_disk(tmp_path / "saved")
    data.map(lambda row: {"question": "changed"}, cache_file_name=str(tmp_path / "saved" / "cache-1.arrow"))
    for path in (tmp_path / "saved", tmp_path):
        assert [record.get("question") for record in read_records(path, NEEDED)] == ["a?", "b?"]


def test_a_json_file_may_hold_lines_or_one_record(tmp_path: Path) -> None:
    assert len(list(read_records(put_jsonl(tmp_path / "lines.json", ROWS), NEEDED))) == 40
    (record,) = read_records(put_json(tmp_path / "one.json", {"question": "a?", "images": [{"path": "x"}]}), NEEDED)
    assert record.get("question") == "a?"


def test_a_torn_line_is_one_record_with_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "a?"}\n{"question": "b\n\n[1]\n{"question": "c?"}\n')
    assert [record.fault for record in read_records(path, NEEDED)] == ["", "torn_record", "torn_record", ""]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.json"])
def test_a_torn_file_is_an_error_that_names_it(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'[{"question": "torn')
    with pytest.raises(TableError, match=f"{name} can't be read as {name[2:].upper()}"):
        list(read_records(tmp_path, NEEDED))


def test_a_picture_comes_as_bytes_struct_path_base64_or_data_url(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "deep" / "a.jpg", 1)
    cells = [
        photo(1), {"bytes": photo(1), "path": None}, {"bytes": None, "path": "images/deep/a.jpg"}, ["deep/a.jpg"],
        "images/deep/a.jpg", "/elsewhere/images/deep/a.jpg", str(tmp_path / "images" / "deep" / "a.jpg"),
        base64_of(photo(1)), "data:image/jpeg;base64," + base64_of(photo(1)),
    ]  # fmt: skip
    assert [read_picture(cell, tmp_path) for cell in cells] == [photo(1)] * len(cells)


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        (None, "no_image"), ("", "no_image"), ([], "no_image"), ({"bytes": None, "path": None}, "no_image"),
        ("gone.jpg", "missing_image"), ("a\0b.jpg", "missing_image"), ("x" * 5000 + "!", "missing_image"),
        ([b"a", b"b"], "several_images"), ("https://host/a.jpg", "image_is_a_url"), (b"", "no_image"),
        ("böse.jpg", "missing_image"),
    ],
)  # fmt: skip
def test_a_picture_that_is_not_there_says_so(tmp_path: Path, cell: object, cause: str) -> None:
    with pytest.raises(ImageError) as error:
        read_picture(cell, tmp_path)
    assert error.value.cause == cause


def test_the_longest_end_of_a_path_is_preferred(tmp_path: Path) -> None:
    """Two folders may hold images of one name."""
    put_photo(tmp_path / "x" / "1.jpg", 1)
    put_photo(tmp_path / "1.jpg", 2)
    assert find_file("/data/x/1.jpg", tmp_path) == tmp_path / "x" / "1.jpg"
    assert find_file("../y/1.jpg", tmp_path) is None


def test_what_is_kept_comes_back_in_any_order_and_leaves_nothing(tmp_path: Path) -> None:
    with Spool(tmp_path / "scratch") as spool:
        given = [spool.keep(bytes([n]) * n) for n in range(1, 50)]
        assert [read() for read in given[::-1]] == [bytes([n]) * n for n in range(49, 0, -1)]
        late = spool.keep(b"late")  # after reading
        assert (late(), given[3]()) == (b"late", b"\4" * 4)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_large_tsv_is_streamed(tmp_path: Path) -> None:
    rows = [{"question": str(n), "image": "A" * 4_000_000} for n in range(20)]  # 80 MB
    path = put_tsv(tmp_path / "large.tsv", rows)
    del rows
    tracemalloc.start()
    try:
        assert sum(len(record.get("image")) for record in read_records(path, NEEDED)) == 80_000_000
        assert tracemalloc.get_traced_memory()[1] < 40e6  # a few records, not the file
    finally:
        tracemalloc.stop()
