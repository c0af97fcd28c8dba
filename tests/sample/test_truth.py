"""A folder's truth.jsonl goes to the table of truth with its pictures, and nowhere else."""

import json
from pathlib import Path

import pytest
from PIL import Image

from r2i.core.errors import R2IError
from r2i.core.params import Pool
from r2i.sample.choose import truth_rows
from r2i.sample.pools import list_offers


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    (tmp_path / "far").mkdir()
    for name, grey in (("a.jpg", 90), ("far/b.jpg", 160)):
        Image.new("L", (200, 150), grey).save(tmp_path / name)
    return Pool(kind="folder", name="signs", path=str(tmp_path))


def test_each_text_is_a_thing_of_its_picture_and_the_file_is_no_picture(pool: Pool):
    line = {"image": "far/b.jpg", "text": "EXIT", "box": [10, 20, 60, 40]}
    (Path(pool.path or "") / "truth.jsonl").write_text(json.dumps(line) + "\n")
    offers = {offer.member: offer for offer in list_offers(pool, 0)}
    assert set(offers) == {"a.jpg", "far/b.jpg"} and truth_rows(offers["a.jpg"]) == []
    (row,) = truth_rows(offers["far/b.jpg"])
    assert (row["image_id"], row["value"], row["shape"]) == (offers["far/b.jpg"].image_id, "EXIT", "text")
    assert list(row["box"]) == [10, 20, 60, 40]


def test_a_sign_that_breaks_lines_elsewhere_is_part_of_a_text(pool: Pool):
    line = {"image": "a.jpg", "text": "WAY\u2028OUT", "box": [10, 20, 60, 40]}
    (Path(pool.path or "") / "truth.jsonl").write_text(json.dumps(line, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [thing.value for offer in list_offers(pool, 0) for thing in offer.things] == ["WAY\u2028OUT"]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff\xfe{", b'{"image": "a.jpg", "text": "EXIT"}',
                                  b'{"image": "a.jpg", "text": "EXIT", "box": [0, 0, 1e999, 12]}',
                                  b'{"image": "a.jpg", "text": "EXIT", "box": [9, 9, 9, 12]}'])  # fmt: skip
def test_a_line_that_says_something_else_is_named(pool: Pool, line: bytes):
    (Path(pool.path or "") / "truth.jsonl").write_bytes(line + b"\n")
    with pytest.raises(R2IError, match=r"truth\.jsonl, line 1"):
        list(list_offers(pool, 0))
