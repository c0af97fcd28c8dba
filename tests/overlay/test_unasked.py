"""Questions as train rows without answers: what they hold, what becomes of those that can't be shown."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from r2i.core.catalogue import IMAGES, QUESTIONS, REGIONS, TRAIN
from r2i.core.images import jpeg_bytes
from r2i.core.params import Overlay, Params, load_params
from r2i.core.shards import MadeShard, Shard
from r2i.core.tables import write_table
from r2i.overlay.unasked import UnaskedWork

ROOT = Path(__file__).parents[2]


def params(views: dict[str, float]) -> Params:
    loaded = load_params(ROOT / "params.yaml").model_copy(update={"profile": "mini-opd"})
    overlay = loaded.chosen.overlay.model_copy(update={"views": views})
    profiles = {"mini-opd": loaded.chosen.model_copy(update={"overlay": overlay})}
    return loaded.model_copy(update={"profiles": profiles})


def tables(folder: Path) -> Shard:
    """One image with one region, two questions about it, of which one was rejected."""
    picture = jpeg_bytes(Image.new("RGB", (128, 128), "grey"))
    crop = jpeg_bytes(Image.new("RGB", (64, 64), "white"))
    made = {
        IMAGES: [{"image_id": "i", "image": picture}],
        REGIONS: [{"region_id": "r", "image_id": "i", "box": [8, 8, 40, 40], "crop": crop}],
        QUESTIONS: [
            {"question_id": "q", "region_id": "r", "image_id": "i", "question": "what ?", "dimension": "ocr"},
            {"question_id": "no", "region_id": "r", "image_id": "i", "status": "rejected", "reason": "unclear"},
        ],
    }
    for table, rows in made.items():
        whole = [{**dict.fromkeys(table.schema.names), "status": "ok", "reason": "", **row} for row in rows]
        write_table(folder / table.name, whole, table.schema)
    return Shard("s", {table.name: folder / table.name for table in made})


def rows_of(folder: Path, views: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    monkeypatch.chdir(folder)
    Path("data/overlay").mkdir(parents=True)
    rows: list[dict] = []

    def keep(shard: Shard, made: MadeShard) -> None:
        rows.extend({**row, "image": row["image"]() if row["image"] else None} for row in made.rows)

    UnaskedWork(params(views)).run([tables(folder)], keep)
    return rows


def test_a_question_becomes_rows_without_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(tmp_path, {"boxed": 1.0, "full": 1.0, "crop": 1.0}, monkeypatch)
    assert [(row["view"], row["prompt"], row["answer"], row["label"], row["options"]) for row in rows] == [
        (view, "what ? answer", "", "", []) for view in ("boxed", "full", "crop")
    ]
    boxed, full, crop = (Image.open(BytesIO(row["image"])) for row in rows)
    assert full.size == boxed.size == (128, 128) and crop.size == (64, 64)
    assert boxed.getpixel((6, 20))[0] > full.getpixel((6, 20))[0] + 50  # the red line, left of the box
    write_table(tmp_path / "rows", rows, TRAIN.schema)  # all columns are there, of their types


def test_a_question_that_drew_no_view_is_one_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = rows_of(tmp_path, {"full": 0.0}, monkeypatch)
    assert (row["status"], row["reason"], row["image"]) == ("rejected", "no_view", None)


def test_the_box_in_words_is_no_view_of_a_question_as_it_was_asked() -> None:
    overlay = load_params(ROOT / "params.yaml").profiles["mini-opd"].overlay
    with pytest.raises(ValueError, match="no rows of the view told"):
        Overlay.model_validate({**overlay.model_dump(exclude_unset=True), "views": {"told": 1.0}})
