"""Whatever a benchmark's files hold, its other items are kept and the stage goes on."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmark.made_files import base64_of, import_all, photo, put_jsonl
from PIL import Image, ImageDraw

from r2i.benchmark.inspect import describe_items
from r2i.core.disk import DiskError
from r2i.core.errors import TableError
from r2i.core.images import sha256
from r2i.core.spool import Spool
from r2i.core.tables import Row


def encoded(image: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    image.save(buffer, kind)
    return base64_of(buffer.getvalue())


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    row = {"image": base64_of(photo(number)), "question": f"{number}?", "options": ["x", "y"], "answer": "x"}
    return row | {"box": [8, 8, 40, 40]} | changes


def rows_of(tmp_path: Path, *rows: dict[str, Any]) -> list[Row]:
    return import_all("table", put_jsonl(tmp_path / "d.jsonl", list(rows)))[0]


RAMP = Image.fromarray(np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (lambda: encoded(RAMP, "TIFF"), "unknown_scale"),
        (lambda: encoded(Image.new("L", (400, 66000), 99), "PNG"), "side_too_long"),
        (lambda: encoded(Image.new("L", (9000, 9000), 99), "PNG"), "decompression_bomb"),
        (lambda: encoded(Image.new("RGB", (64, 64)), "EPS"), "unreadable"),
        (lambda: encoded(Image.new("RGB", (64, 64)), "ICNS"), "unreadable"),
    ],
)
def test_a_picture_that_can_not_be_shown_is_one_failed_row(tmp_path: Path, image: Any, reason: str) -> None:
    rows = rows_of(tmp_path, row_of(1, image=image()), row_of(2))
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", reason), ("ok", "")]
    assert describe_items(rows)["reason"] == {f"failed: {reason}": 1}
    (crop, _) = rows_of(tmp_path, row_of(1, crop=image()), row_of(2))
    assert (crop["status"], crop["reason"], crop["image"]) == ("failed", reason, None)


def test_what_a_library_raises_while_a_view_is_drawn_fails_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = ImageDraw.ImageDraw.rectangle

    def draw_or_raise(self: ImageDraw.ImageDraw, xy: Any, **how: Any) -> None:
        if xy[0] > 30:
            raise ValueError("x1 must be greater than or equal to x0")
        draw(self, xy, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", draw_or_raise)
    rows = rows_of(tmp_path, row_of(1, box=[40, 8, 60, 40]), row_of(2, box=[2, 8, 20, 40]))
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "undrawable"), ("ok", "")]


def test_a_full_disk_is_no_fault_of_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(self: Spool, data: bytes) -> None:
        raise DiskError("no space left")

    monkeypatch.setattr(Spool, "keep", keep)
    with pytest.raises(DiskError):
        rows_of(tmp_path, row_of(1))


@pytest.mark.parametrize("options", ["red, blue", "['red' 'blue']", "A", {"A": "red"}])
def test_options_that_can_not_be_read_make_no_open_question(tmp_path: Path, options: Any) -> None:
    rows = rows_of(tmp_path, row_of(1, options=options, answer="red"), row_of(2, options=[], answer="red"))
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", "no_options"), ("ok", "")]


@pytest.mark.parametrize(
    ("told", "found", "label"),
    [
        ({"question": "Which?\nA. red\nB. green\nC. blue", "answer": "B"}, ["red", "green", "blue"], "B"),
        ({"question": "Which? (A) red (B) green", "answer": "(b)"}, ["red", "green"], "B"),
        ({"question": "Which?", "A": "red", "B": "green", "C": "", "answer": "green"}, ["red", "green"], "B"),
        ({"question": "Which? A. red B. green", "answer": "red"}, "", ""),  # the answer is no letter: a sentence
        ({"question": "Which? (A) red (B) green", "answer": "A", "options": []}, "", ""),  # it is said to be open
        ({"question": "Which letter is on the sign?", "answer": "B", "place": "Oslo"}, "", ""),
        ({"question": "Of lamps (A) and (B), which is lit?", "answer": "B"}, "ambiguous_options", ""),
        ({"question": "Which?", "choices": ["red", "green"], "answer": "B"}, "ambiguous_options", ""),
        ({"question": "Which?", "option_a": "red", "option_b": "green", "answer": "B"}, "ambiguous_options", ""),
        ({"question": "Which?", "choices": ["red", "green"], "answer": "green"}, "", ""),
    ],
)
def test_a_letter_is_asked_for_with_its_options_or_not_at_all(
    tmp_path: Path, told: dict[str, Any], found: list[str] | str, label: str
) -> None:
    """Without them every right reply would be wrong."""
    row = {key: value for key, value in row_of(1).items() if key != "options"}
    (read,) = rows_of(tmp_path, row | told)
    assert (read["options"] or read["reason"], read["label"]) == (found, label)
    assert read["question"] == told["question"] or read["question"].startswith("Which?")


def test_a_benchmark_of_several_splits_asks_for_one(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row_of(1)) + "\n")
    with pytest.raises(TableError, match="holds the splits test"):
        import_all("table", tmp_path)
    assert len(import_all("table", tmp_path / "test.jsonl")[0]) == 1


def test_columns_of_other_datasets_that_are_called_like_ours_do_no_harm(tmp_path: Path) -> None:
    """Ids are numbers there, and one `image_id` may stand for two pictures of two parts."""
    rows = rows_of(
        tmp_path,
        row_of(1, image_id=139, item_id=7, cluster_id=2.0, phash="none", box=None),
        row_of(2, image_id=139, item_id=8, box=None),
        row_of(3, image_id="f" * 64, box=None),
        row_of(4, image_id="f" * 64, box=None),
        row_of(5, item_id=[1]),
        row_of(6, status="valid"),
        row_of(7, crop_made="false"),
        row_of(8, status="rejected", reason="review_rejected"),
    )
    assert [row["reason"] for row in rows] == [*[""] * 4, "bad_value", "unknown_status", "bad_value", "review_rejected"]
    assert [row["image"] for row in rows[:4]] == [photo(number) for number in range(1, 5)]
    assert [row["image_id"] for row in rows[:4]] == [sha256(photo(1)), sha256(photo(2)), "f" * 64, "f" * 64]
    assert (rows[0]["item_id"], rows[0]["cluster_id"], len(rows[0]["phash"])) == ("7", "2", 16)


@pytest.mark.parametrize(
    ("columns", "name"), [({"options": "choises"}, "choises"), ({"options": "A,B,F"}, "F"), ({"box": "where"}, "where")]
)
def test_a_column_that_params_name_and_nobody_has_is_refused_by_name(
    tmp_path: Path, columns: dict[str, str], name: str
) -> None:
    path = put_jsonl(tmp_path / "d.jsonl", [row_of(1, A="x", B="y"), row_of(2, A="x", B="y", dimension="late")])
    with pytest.raises(TableError, match=f"no record of .* has a column '{name}'"):
        import_all("table", path, columns=columns)
    assert len(import_all("table", path, columns={"options": "A,B", "dimension": "dimension"})[0]) == 2


def test_items_that_answer_one_question_differently_all_fail(tmp_path: Path) -> None:
    """A derived file beside the published one: nobody knows whose gold is right."""
    rows = rows_of(tmp_path, row_of(1), row_of(2), row_of(1, answer="y"), row_of(2, answer=" X "))
    assert [row["reason"] for row in rows] == ["conflicting_answers", "", "conflicting_answers", "duplicate"]
    assert [row["image"] is None for row in rows] == [True, False, True, True]


def test_an_item_that_failed_does_not_make_its_good_twin_a_duplicate(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, row_of(1, box=[40, 8, 8, 40]), row_of(1), row_of(1))
    assert [row["reason"] for row in rows] == ["bad_box", "", "duplicate"]
    assert len({row["item_id"] for row in rows}) == 3
