"""The teacher's list of objects: read strictly, placed exactly, and never believed where it contradicts itself."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from PIL import Image

from r2i.core.boxes import place_box
from r2i.core.images import jpeg_bytes
from r2i.core.params import Crop, Cut
from r2i.core.parse import ReplyError
from r2i.core.prompts import load_prompt
from r2i.core.tables import Row
from r2i.crop.finders import Listing, Named, Refused, make_finder
from r2i.crop.grounding import ask_objects, listing_job
from r2i.crop.regions import find_regions_of
from r2i.crop.reply import OBJECTS_FORM, ListedObject, parse_objects
from r2i.endpoint.base import Picture, Reply, Request
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from tests.made_rows import image_row, picture
from tests.teacher_fakes import FakeModel, failed, pictures

CFG = {
    "method": "teacher+sam2",
    "teacher": {"kind": "openai", "base_url": "http://h/v1"},
    "min_side": 4,
    "per_image": 3,
}
CLOCK = {"bbox_2d": [100, 200, 300, 400], "label": "red clock"}
MUG = {"bbox_2d": [500, 500, 600, 600], "label": "blue mug"}
KEY = {"bbox_2d": [700, 700, 750, 800], "label": "key"}


def list_objects(
    images: list[Row],
    seen: Mapping[str, Picture],
    teacher: FakeModel,
    cfg: Crop,
    seed: int,
    ledger: Ledger | None = None,
) -> dict[str, Listing]:
    jobs = [listing_job(image, seen[image["image_id"]], teacher, cfg, seed) for image in images]
    return dict(zip((image["image_id"] for image in images), run_jobs(jobs, ledger), strict=True))


def listing_of(said: Any, **changes: Any) -> Listing:
    """What comes of one reply about a picture of 200 x 100 px. `said`: a text, a Reply, or objects."""
    text = said if isinstance(said, str | Reply) else json.dumps({"objects": said})
    row = image_row(1) | {"width": 200, "height": 100}
    cfg = Crop.model_validate(CFG | changes)
    listings = list_objects([row], pictures({"image-1": picture(9)}), FakeModel(lambda request, sample: text), cfg, 0)
    assert list(listings) == ["image-1"]
    return listings["image-1"]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"objects": [CLOCK]}),
        json.dumps([CLOCK]),
        f"<think>one [thing] at [100, 200]</think>```json\n{json.dumps([CLOCK], indent=1)}\n```",
        json.dumps([MUG]) + " No, wait: " + json.dumps([CLOCK]),
    ],
)
def test_the_last_list_of_boxes_and_labels_counts(text: str) -> None:
    assert parse_objects(text) == ([ListedObject("red clock", (100, 200, 300, 400))], False)


def test_an_empty_list_is_a_reply() -> None:
    assert parse_objects('{"objects": []}') == ([], False)


def test_small_slips_are_mended_and_told() -> None:
    assert parse_objects("[{'bbox_2d': [100, 200, 300, 400], 'label': 'red clock',}]") == (
        [ListedObject("red clock", (100, 200, 300, 400))],
        True,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "There is a red clock at [100, 200, 300, 400].",
        '[{"bbox_2d": [100, 200, 300], "label": "red clock"}]',
        '[{"bbox_2d": [100, 200, 300, "400"], "label": "red clock"}]',
        '[{"bbox_2d": [100, 200, 300, true], "label": "red clock"}]',
        '[{"bbox_2d": [100, 200, 300, 400], "label": 7}]',
        '[{"bbox_2d": [100, 200, 300, 400]}]',
        '[{"box": [100, 200, 300, 400], "label": "red clock"}]',
    ],
)
def test_what_is_no_list_of_objects_is_no_reply(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_objects(text)


@pytest.mark.parametrize(
    ("coordinates", "box"),
    [("thousandths", (250, 100, 500, 300)), ("pixels", (50, 10, 100, 30)), ("shares", (0.25, 0.1, 0.5, 0.3))],
)
def test_each_kind_of_coordinates_means_the_same_place(coordinates: str, box: tuple[float, ...]) -> None:
    # of 200 x 100 px: a quarter of 200 is 50, a tenth of 100 is 10
    assert place_box(box, coordinates, 200, 100) == ((50, 10, 100, 30), "")  # type: ignore[arg-type]


def test_the_whole_image_is_inside_it() -> None:
    for coordinates, far in (("thousandths", (1000, 1000)), ("pixels", (200, 100)), ("shares", (1, 1))):
        assert place_box((0, 0, *far), coordinates, 200, 100) == ((0, 0, 200, 100), "")


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((-1, 0, 10, 10), "out_of_image"),
        ((0, 0, 1001, 10), "out_of_image"),
        ((0, 0, 10, float("nan")), "out_of_image"),
        ((0, 0, 10, 10**400), "out_of_image"),
        ((20, 0, 10, 10), "reversed"),
        ((0, 20, 10, 10), "reversed"),
        ((10, 0, 10, 10), "degenerate"),
        ((500, 0, 502, 500), "degenerate"),  # 0.4 px of 200
    ],
)
def test_boxes_that_cannot_be_are_refused_not_repaired(box: tuple[float, ...], reason: str) -> None:
    assert place_box(box, "thousandths", 200, 100) == (None, reason)  # type: ignore[arg-type]


def test_a_listing_keeps_names_boxes_and_the_call() -> None:
    listing = listing_of([CLOCK, MUG, KEY])
    assert (listing.status, listing.reason, listing.refused) == ("ok", "", ())
    assert listing.objects[0] == Named("red clock", (20, 20, 60, 40))  # 0.1 .. 0.3 of 200, 0.2 .. 0.4 of 100
    assert listing.call["endpoint"] == "openai" and listing.call["model"] == "fake"
    assert listing.call["prompt_sha256"] == load_prompt("crop", "list", "paper").sha256
    assert listing.call["reply_key"].endswith("/0")


def test_a_label_that_stands_there_twice_appears_not_once() -> None:
    again = {"bbox_2d": [0, 0, 50, 50], "label": "The red  Clock"}
    listing = listing_of([CLOCK, again, MUG, KEY], min_objects=2)
    assert [item.name for item in listing.objects] == ["blue mug", "key"]
    assert [(item.name, item.reason) for item in listing.refused] == [
        ("red clock", "not_unique"), ("The red Clock", "not_unique")
    ]  # fmt: skip


def test_bad_boxes_and_empty_labels_are_refused_beside_good_ones() -> None:
    bad = [CLOCK | {"bbox_2d": [300, 200, 100, 400]}, MUG | {"label": " "}, KEY]
    listing = listing_of(bad, min_objects=1)
    assert listing.objects == (Named("key", (140, 70, 150, 80)),)
    assert listing.refused == (Refused("red clock", None, "reversed"), Refused("", (100, 50, 120, 60), "no_name"))


@pytest.mark.parametrize("said", [[], [CLOCK, MUG], [CLOCK, MUG, CLOCK], [CLOCK, MUG, KEY | {"bbox_2d": [9, 9, 1, 1]}]])
def test_an_image_with_too_few_usable_objects_is_passed_over_and_says_what_became_of_each(said: list[Any]) -> None:
    listing = listing_of(said)
    assert (listing.objects, listing.status, listing.reason) == ((), "rejected", "too_few_objects")
    assert len(listing.refused) == len(said)
    assert {item.reason for item in listing.refused} <= {"too_few_objects", "not_unique", "reversed"}


# The boxes as they are listed, method `teacher`

ALONE = {"method": "teacher", "min_objects": 1}


def test_without_a_segmenter_the_boxes_are_the_listed_ones_and_have_no_score() -> None:
    listing = listing_of([KEY, CLOCK, MUG], **ALONE)
    cfg = Crop.model_validate(CFG | ALONE | {"per_image": 2})
    find = make_finder(cfg, Cut(margin=0.0), {"image-1": listing})
    rows = find_regions_of("image-1", jpeg_bytes(Image.new("RGB", (200, 100))), find, cfg, Cut(margin=0.0))
    assert [(row["name"], row["box"], row["score"], row["reason"]) for row in rows] == [
        ("key", (140, 70, 150, 80), None, ""),
        ("red clock", (20, 20, 60, 40), None, ""),
        ("blue mug", (100, 50, 120, 60), None, "over_limit"),  # the one that was listed last
    ]


@pytest.mark.parametrize("bad", [[100, 200, 300, 1400], [0.1, 0.2, 0.3, 0.4]])
def test_a_box_in_another_unit_leaves_the_others_in_doubt_where_nothing_else_looks_at_them(bad: list[float]) -> None:
    said = [CLOCK | {"bbox_2d": bad}, MUG, KEY]
    listing = listing_of(said, **ALONE)
    assert listing.objects == ()
    assert [item.reason for item in listing.refused][1:] == ["unit_in_doubt"] * 2
    assert len(listing_of(said, min_objects=1).objects) == 2  # there SAM 2 judges each


@pytest.mark.parametrize(
    ("coordinates", "box"),
    [("thousandths", [100, 200, 300, 400]), ("shares", [0.1, 0.2, 0.3, 0.4]), ("pixels", [10, 10, 30, 20])],
)
def test_pixels_are_those_of_the_image_as_it_is_sent(coordinates: str, box: list[float]) -> None:
    """200 x 100 px are sent as 100 x 50."""
    said = [CLOCK | {"bbox_2d": box}]
    listing = listing_of(said, **ALONE, coordinates=coordinates, max_pixels=5000)
    assert listing.objects == (Named("red clock", (20, 20, 60, 40)),)
    assert json.loads(listing.call["sampling"])["max_pixels"] == 5000


def test_the_prompt_names_the_size_of_the_image_as_it_is_sent() -> None:
    row = image_row(1) | {"width": 200, "height": 100}
    cfg = Crop.model_validate(CFG | ALONE | {"coordinates": "pixels", "max_pixels": 5000})
    assert "100 wide (x) and 50 high (y)" in ask_objects(row, Picture.of(picture(9)), cfg, 0).prompt


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (failed("timeout"), "listing_timeout"),
        (failed("truncated", json.dumps([CLOCK, MUG, KEY])), "listing_truncated"),
        ("a clock, a mug and a key", "listing_unparsable"),
    ],
)
def test_a_call_that_failed_says_nothing_about_the_image(said: str | Reply, reason: str) -> None:
    listing = listing_of(said, min_objects=0)
    assert (listing.objects, listing.status, listing.reason) == ((), "failed", reason)


@pytest.mark.parametrize(
    ("coordinates", "words"),
    [("thousandths", "from 0 to 1000"), ("pixels", "200 wide (x) and 100 high (y)"), ("shares", "from 0 to 1:")],
)
def test_the_prompt_says_which_coordinates_are_meant(coordinates: str, words: str) -> None:
    model = FakeModel(lambda request, sample: "[]")
    cfg = Crop.model_validate(CFG | {"coordinates": coordinates})
    row = image_row(1) | {"width": 200, "height": 100}
    list_objects([row], pictures({"image-1": picture(9)}), model, cfg, 0)
    (request,) = model.asked
    assert words in request.prompt and request.form == OBJECTS_FORM
    example = request.prompt[request.prompt.index('{"objects": [{"bbox') :].splitlines()[0]
    ((listed,), repaired) = parse_objects(example)
    assert not repaired and place_box(listed.box, coordinates, 1000, 1000)[1] == ""


def test_all_images_are_asked_once_and_together_whatever_their_order() -> None:
    def reply(request: Request, sample: int) -> str:
        return json.dumps([CLOCK, MUG, KEY]) if request.images[0].load() == picture(1) else "[]"

    seen: dict[str, Picture] = pictures({f"image-{n}": picture(n) for n in (2, 1, 3)})
    cfg = Crop.model_validate(CFG)
    ledger = Ledger()
    forward = list_objects([image_row(n) for n in (1, 2, 3)], seen, FakeModel(reply), cfg, 7, ledger)
    backward = list_objects([image_row(n) for n in (3, 2, 1)], seen, FakeModel(reply), cfg, 7)
    assert forward == backward
    assert [forward[f"image-{n}"].status for n in (1, 2, 3)] == ["ok", "rejected", "rejected"]
    assert ledger.metrics()["fake"]["requests"] == 3
