"""Views that say what the gap is made of: box in words, one scale, region painted over, no picture."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from teacher_fakes import FakeModel

from r2i.core.boxes import Box
from r2i.core.drawing import GREY, paint_over
from r2i.core.images import jpeg_bytes
from r2i.core.params import Cut, Endpoint, Evaluate
from r2i.endpoint import Request, connect
from r2i.evaluate.predict import predict

BOX = Box(40, 20, 60, 40)
VIEWS = ["full", "told", "recut", "removed", "blind"]


def scene() -> Image.Image:
    """200 x 100 pixels of blue with a red square, 20 pixels wide."""
    image = Image.new("RGB", (200, 100), (20, 40, 200))
    image.paste((250, 10, 10), tuple(BOX))
    return image


ITEM: dict[str, Any] = {
    "item_id": "i", "image_id": "m", "cluster_id": "m", "source": "made", "image": jpeg_bytes(scene()), "crop": None,
    "boxed": None, "box": list(BOX), "question": "what color is the square ?", "options": ["red", "blue"],
    "answer": "red", "label": "A", "dimension": "color", "status": "ok", "reason": "",
}  # fmt: skip


def ask(folder: Path, **item: Any) -> tuple[dict[str, tuple[Request, list[bytes]]], dict[str, dict[str, Any]]]:
    """Each view's request with the pictures that were sent, and its row."""
    asked: list[tuple[Request, list[bytes]]] = []

    def reply(request: Request, _: int) -> str:
        asked.append((request, [one.load() for one in request.images]))
        return "<answer>A</answer>"

    cfg = Evaluate(views=VIEWS, samples=0)
    rows = predict(FakeModel(reply), [ITEM | item], cfg, Cut(upscale=3), 0, scratch=folder)
    came = [row["view"] for row in rows if row["status"] == "ok"]
    return dict(zip(came, asked, strict=True)), {row["view"]: row for row in rows}


def test_each_view_shows_what_its_name_says(tmp_path: Path) -> None:
    sent, rows = ask(tmp_path)
    requests = {view: request for view, (request, _) in sent.items()}
    shown = {view: [Image.open(BytesIO(data)) for data in pictures] for view, (_, pictures) in sent.items()}
    assert {view: [one.size for one in pictures] for view, pictures in shown.items()} == {
        "full": [(200, 100)], "told": [(200, 100)], "recut": [(60, 60)], "removed": [(200, 100)], "blind": []
    }  # fmt: skip
    assert np.asarray(shown["recut"][0])[30, 30, 0] > 200  # the red square alone
    painted = np.asarray(shown["removed"][0]).astype(int)
    assert np.abs(painted - painted[0, 0]).max() < 12  # as blue as all around
    assert "from (200, 200) to (300, 400)" in requests["told"].prompt  # thousandths of 200 x 100 pixels
    assert {requests[view].prompt for view in VIEWS if view != "told"} == {requests["full"].prompt}
    assert {view: row["vision_forwards"] for view, row in rows.items()} == dict.fromkeys(VIEWS, 1) | {"blind": 0}
    assert len({requests[view].images[0].name for view in ("full", "recut", "removed")}) == 3


def test_an_item_without_a_box_is_asked_in_full_and_blind_alone(tmp_path: Path) -> None:
    _, rows = ask(tmp_path, box=None)
    assert {view: (row["status"], row["reason"]) for view, row in rows.items()} == {
        "full": ("ok", ""), "blind": ("ok", ""), **dict.fromkeys(("told", "recut", "removed"), ("rejected", "no_box"))
    }  # fmt: skip


def test_a_region_that_is_all_of_the_image_is_painted_grey_and_one_at_the_edge_as_what_it_touches() -> None:
    whole = paint_over(scene(), Box(0, 0, 200, 100))
    assert whole.getcolors() == [(200 * 100, GREY)]
    image = Image.new("RGB", (100, 100), (0, 200, 0))
    image.paste((255, 0, 0), (0, 0, 30, 30))
    assert paint_over(image, Box(0, 0, 30, 30)).getcolors() == [(100 * 100, (0, 200, 0))]
    assert image.getpixel((5, 5)) == (255, 0, 0)  # the original stays


def test_a_model_in_process_answers_without_a_picture_beside_one_that_has_some(tmp_path: Path) -> None:
    cfg = Evaluate(prompts="mini", views=["full", "blind"], samples=0, max_tokens=4)
    with connect(Endpoint(kind="local", model="models/mini", threads=1)) as model:
        both = predict(model, [ITEM], cfg, Cut(), 0, scratch=tmp_path)
        alone = predict(model, [ITEM], cfg.model_copy(update={"views": ["full"]}), Cut(), 0, scratch=tmp_path)
    assert [row["status"] for row in both] == ["ok", "ok"] and both[1]["tokens_in"] < both[0]["tokens_in"]
    assert both[0]["reply"] == alone[0]["reply"]
