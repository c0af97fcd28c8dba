"""Regions: one box for each object, and the box that is checked is the box that is cropped."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2i.core import paths, records
from r2i.core.boxes import Box, iou
from r2i.core.errors import R2IError, TableError
from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes, read_image, sha256
from r2i.core.params import Crop, Cut
from r2i.core.tables import Row, read_table, write_table
from r2i.crop.contours import find_contours
from r2i.crop.finders import Candidate, Finder, Finding, Refused, make_finder
from r2i.crop.regions import choose_diverse, find_regions_of, judge_candidates
from r2i.mini.world import render_scene
from stages.crop import main

ROOT = Path(__file__).parents[2]
BLACK = jpeg_bytes(Image.new("RGB", (64, 64)))
MINI = {"method": "contours", "min_side": 16, "per_image": 6}
MINI_CUT = Cut(margin=0.08, square=True)
TIGHT, SQUARE = Cut(margin=0.0), Cut(margin=0.0, square=True)


def settings(**changes: object) -> Crop:
    plain = {"method": "sam2", "min_side": 5, "per_image": 10}
    return Crop.model_validate(plain | changes)


def verdicts(candidates: list[Candidate], cut: Cut = TIGHT, **changes: object) -> list[tuple[tuple[int, ...], str]]:
    """(box, reason) of each candidate on an image of 100 x 100 px."""
    return [(c.box, reason) for c, reason in judge_candidates(candidates, settings(**changes), cut, 100, 100)]


def image_row(image: Image.Image | bytes, status: str = "ok") -> Row:
    data = image if isinstance(image, bytes) else jpeg_bytes(image)
    return {"image_id": sha256(data), "image": data, "status": status}


def regions(data: bytes, found: Finding | list[Candidate] | Finder, params: Crop, cut: Cut = TIGHT) -> list[Row]:
    """The rows of one image in which `found` is found."""
    if callable(found):
        return find_regions_of(sha256(data), data, found, params, cut)
    finding = found if isinstance(found, Finding) else Finding(found)
    return find_regions_of(sha256(data), data, lambda image_id, image: finding, params, cut)


# The rules


def test_each_rule_gives_its_own_reason_best_score_first() -> None:
    candidates = [
        Candidate((0, 0, 20, 20), 0.70),
        Candidate((0, 0, 40, 40), 0.80),  # 1600 of 10000 square pixels: over 0.1
        Candidate((50, 50, 54, 80), 0.90),  # 4 px wide: under 5
        Candidate((60, 10, 80, 30), 0.95),
        Candidate((62, 10, 82, 30), 0.85),  # IoU 18 * 20 / (400 + 400 - 360) = 0.82 with the one above
    ]
    assert verdicts(candidates) == [
        ((60, 10, 80, 30), ""),
        ((50, 50, 54, 80), "too_small"),
        ((62, 10, 82, 30), "overlap"),
        ((0, 0, 40, 40), "too_large"),
        ((0, 0, 20, 20), "low_score"),
    ]


def test_a_box_of_exactly_the_largest_share_is_dropped_as_in_the_reference() -> None:
    # 20 x 50 = 1000 of 10000 square pixels = 0.10, the reference keeps what is below
    assert verdicts([Candidate((0, 0, 20, 50), 0.9)]) == [((0, 0, 20, 50), "too_large")]
    assert verdicts([Candidate((0, 0, 20, 49), 0.9)]) == [((0, 0, 20, 49), "")]
    assert verdicts([Candidate((0, 0, 100, 100), 0.9)], max_area_share=1.0) == [((0, 0, 100, 100), "")]  # no rule


def test_a_region_whose_crop_can_not_be_made_is_a_failed_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r2i.core.drawing.MAX_SIDE", 40)  # as if JPEG held no more
    mask = {"size": [64, 64], "counts": "abc"}
    found = [Candidate((0, 0, 8, 8), 0.9), Candidate((10, 10, 34, 34), 0.8, 1.0, "mug", mask)]
    rows = regions(BLACK, found, settings(max_area_share=0.5))
    assert [(row["status"], row["reason"]) for row in rows] == [("ok", ""), ("failed", "crop_too_large")]
    assert (rows[1]["crop"], rows[1]["mask"], rows[1]["box"]) == (None, None, (10, 10, 34, 34))


def test_the_area_that_is_checked_includes_margin_and_squaring() -> None:
    # 20 x 40 = 8 % is fine; the 40 x 40 square around it (16 %) is what would be cropped
    assert verdicts([Candidate((40, 30, 60, 70), 0.9)], SQUARE) == [((30, 30, 70, 70), "too_large")]


def test_a_dropped_box_suppresses_no_other() -> None:
    # the first is too small, so that the second, which it overlaps, stays
    narrow, wide = Candidate((10, 10, 14, 30), 0.95), Candidate((10, 10, 15, 30), 0.9)
    assert verdicts([narrow, wide]) == [((10, 10, 14, 30), "too_small"), ((10, 10, 15, 30), "")]


def test_overlap_is_decided_before_the_limit() -> None:
    first, copy, second = (Candidate((x, 10, x + 20, 30), s) for x, s in ((10, 0.95), (11, 0.9), (60, 0.85)))
    assert [reason for _, reason in verdicts([first, copy, second], per_image=1)] == ["", "overlap", "over_limit"]


def test_equal_scores_are_ordered_by_position_not_by_arrival() -> None:
    boxes = [(60, 10, 80, 30), (10, 10, 30, 30), (10, 50, 30, 70)]
    forward = verdicts([Candidate(box, 0.9) for box in boxes], per_image=2)
    backward = verdicts([Candidate(box, 0.9) for box in reversed(boxes)], per_image=2)
    assert forward == backward == list(zip(sorted(boxes), ["", "", "over_limit"], strict=True))


def test_candidates_that_become_one_box_are_one_row() -> None:
    # both 20 px wide boxes widen to the square (10, 10, 30, 30)
    same = [Candidate((10, 12, 30, 28), 0.8), Candidate((10, 14, 30, 26), 0.9)]
    judged = judge_candidates(same, settings(), SQUARE, 100, 100)
    assert judged == [(Candidate((10, 10, 30, 30), 0.9), "")]


def test_stability_and_shape_have_their_own_reasons() -> None:
    shaky = Candidate((0, 0, 20, 20), 0.9, 0.8)
    long = Candidate((30, 0, 80, 10), 0.9)  # 50 : 10
    limits = {"min_stability": 0.85, "max_box_aspect": 4.0}
    assert verdicts([shaky, long], **limits) == [((0, 0, 20, 20), "low_stability"), ((30, 0, 80, 10), "extreme_aspect")]
    assert verdicts([shaky, long], min_stability=0.8, max_box_aspect=5.0) == [(shaky.box, ""), (long.box, "")]


def test_of_two_candidates_in_one_box_the_one_that_passes_the_rules_counts() -> None:
    better, stable = Candidate((10, 10, 30, 30), 0.95, 0.2), Candidate((10, 10, 30, 30), 0.9, 0.9)
    assert judge_candidates([better, stable], settings(min_stability=0.5), TIGHT, 100, 100) == [(stable, "")]


def test_diverse_choice_takes_the_best_and_then_what_differs_most_in_place() -> None:
    # 20 x 20 boxes with centres (10, 10), (40, 10), (90, 90), (10, 90): the third is furthest from the first
    # (1.13 image widths), then the fourth (0.8 from both) before the second (0.3 from the first)
    boxes = [(0, 0, 20, 20), (30, 0, 50, 20), (80, 80, 100, 100), (0, 80, 20, 100)]
    assert choose_diverse(boxes, 3, 100, 100) == [boxes[0], boxes[2], boxes[3]]
    candidates = [Candidate(box, 0.99 - number / 100) for number, box in enumerate(boxes)]
    for order in (candidates, candidates[::-1]):
        assert verdicts(order, choose="diverse", per_image=3) == [
            (boxes[0], ""), (boxes[1], "over_limit"), (boxes[2], ""), (boxes[3], "")
        ]  # fmt: skip
    assert [reason for _, reason in verdicts(candidates, per_image=3)] == ["", "", "", "over_limit"]


def test_diverse_choice_counts_size_too() -> None:
    # side 5 against 40: ln 8 = 2.1, more than any distance on the image (1.41)
    boxes = [(0, 0, 40, 40), (60, 60, 100, 100), (45, 0, 50, 5)]
    assert choose_diverse(boxes, 2, 100, 100) == [boxes[0], boxes[2]]


def test_diverse_choice_of_few_or_none() -> None:
    assert choose_diverse([], 3, 100, 100) == []
    assert choose_diverse([(0, 0, 9, 9)], 3, 100, 100) == [(0, 0, 9, 9)]


# Rows


def test_the_crop_shows_exactly_the_pixels_of_the_box() -> None:
    image = read_image(jpeg_bytes(render_scene(np.random.default_rng(0)).image))
    params, cut = Crop.model_validate(MINI), MINI_CUT.model_copy(update={"upscale": 1})
    rows = regions(image_row(image)["image"], make_finder(params, cut), params, cut)
    kept = [row for row in rows if row["status"] == "ok"]
    assert kept
    for row in kept:
        shown = np.asarray(read_image(row["crop"]), dtype=int)
        cut = np.asarray(read_image(image_row(image)["image"]).crop(tuple(row["box"])), dtype=int)
        assert shown.shape == cut.shape
        assert np.abs(shown - cut).mean() < 5  # JPEG's loss is about 3; a shift by one pixel costs about 20


def test_a_box_at_the_border_has_no_black_padding() -> None:
    white = Image.new("RGB", (100, 100), "white")
    at_corner = [Candidate((90, 90, 100, 100), 0.9)]
    (row,) = regions(jpeg_bytes(white), at_corner, settings(), Cut(margin=0.5, square=True))
    assert row["box"] == (85, 85, 100, 100)  # 10 px grown by 5 on every side, cut at the border
    assert np.asarray(read_image(row["crop"])).min() > 250


def test_an_image_without_regions_is_a_row() -> None:
    (row,) = regions(BLACK, [], settings())
    assert (row["status"], row["reason"], row["box"], row["crop"]) == ("rejected", "no_region", None, None)
    assert row["region_id"] == make_id(row["image_id"], "none")


def test_an_image_that_cannot_be_decoded_is_a_failed_row() -> None:
    (row,) = regions(BLACK[:300], [Candidate((8, 8, 24, 24), 0.9)], settings())
    assert (row["status"], row["reason"]) == ("failed", "truncated")


def test_a_finder_that_raises_fails_the_image_but_not_where_all_images_are_concerned() -> None:
    def run_out_of_memory(image_id: str, image: Image.Image) -> Finding:
        raise RuntimeError("CUDA out of memory")

    def miss_its_package(image_id: str, image: Image.Image) -> Finding:
        raise R2IError("no package")

    (row,) = regions(BLACK, run_out_of_memory, settings())
    assert (row["status"], row["reason"], row["crop"]) == ("failed", "segmenter_error", None)
    with pytest.raises(R2IError, match="no package"):
        regions(BLACK, miss_its_package, settings())


def test_kept_regions_carry_name_mask_and_listing_and_refusals_are_rows_of_their_own() -> None:
    mask = {"size": [64, 64], "counts": "abc"}
    kept = Candidate((8, 8, 24, 24), 0.9, 1.0, "red mug", mask)
    low = Candidate((40, 40, 56, 56), 0.1, 1.0, "spoon", mask)
    refused = (Refused("cup", None, "reversed"), Refused("fork", (8, 8, 24, 24), "not_unique"))
    call = {"model": "m", "endpoint": "openai", "prompt_sha256": "p", "sampling": "{}", "reply_key": "k/0"}
    rows = regions(BLACK, Finding([kept, low], refused, listing=call), settings(max_area_share=0.5))
    assert [(row["name"], row["box"], row["mask"], row["reason"]) for row in rows] == [
        ("red mug", (8, 8, 24, 24), mask, ""),
        ("spoon", (40, 40, 56, 56), None, "low_score"),
        ("cup", None, None, "reversed"),
        ("fork", (8, 8, 24, 24), None, "not_unique"),
    ]
    assert all(row["listing"] == call for row in rows)
    assert len({row["region_id"] for row in rows}) == 4


def test_rows_of_all_kinds_come_back_from_a_table_as_they_were(tmp_path: Path) -> None:
    mask = {"size": [64, 64], "counts": "abc"}
    call = {"model": "m", "endpoint": "openai", "prompt_sha256": "p", "sampling": "{}", "reply_key": "k/0"}
    finding = Finding(
        [Candidate((8, 8, 24, 24), 0.9, 1.0, "mug", mask)], (Refused("x", None, "reversed"),), listing=call
    )
    rows = regions(BLACK, finding, settings(max_area_share=0.5)) + regions(BLACK[:300], [], settings())
    write_table(tmp_path / "regions", rows, records.REGIONS)
    table = read_table(tmp_path / "regions", records.REGIONS, "crop")
    read = [row | {"box": row["box"] and Box(*row["box"])} for row in table]
    assert read == sorted(rows, key=lambda row: row["region_id"])


# The finder by contours


def test_contours_find_nearly_every_object_of_a_rendered_scene_and_little_else() -> None:
    # measured on 300 scenes: 99 % of the objects, under 0.1 % clutter; box grown and squared against the tight one
    params = Crop.model_validate(MINI)
    found = things = kept = clutter = 0
    for number in range(40):
        scene = render_scene(np.random.default_rng([11, number]))
        image = read_image(jpeg_bytes(scene.image))
        boxes = [
            c.box for c, reason in judge_candidates(find_contours(image), params, MINI_CUT, *image.size) if not reason
        ]
        things += len(scene.things)
        found += sum(any(iou(thing.box, box) >= 0.5 for box in boxes) for thing in scene.things)
        kept += len(boxes)
        clutter += sum(all(iou(thing.box, box) < 0.5 for thing in scene.things) for box in boxes)
    assert found / things >= 0.95
    assert clutter / kept <= 0.05


def test_bodies_three_pixels_apart_are_told_apart() -> None:
    pixels = np.full((128, 128, 3), 120, np.uint8)
    pixels[40:60, 30:50] = (200, 40, 40)
    pixels[40:60, 53:73] = (210, 50, 50)
    boxes = sorted(candidate.box for candidate in find_contours(Image.fromarray(pixels)))
    assert len(boxes) == 2
    assert iou(boxes[0], (30, 40, 50, 60)) > 0.8
    assert iou(boxes[1], (53, 40, 73, 60)) > 0.8


def test_a_plate_inside_a_body_belongs_to_it() -> None:
    pixels = np.full((128, 128, 3), 120, np.uint8)
    pixels[40:64, 40:64] = (40, 60, 210)
    pixels[46:58, 46:58] = 120  # the ground's own grey
    (candidate,) = find_contours(Image.fromarray(pixels))
    assert iou(candidate.box, (40, 40, 64, 64)) > 0.8


@pytest.mark.parametrize("noise", [0, 8])
def test_a_ground_without_objects_gives_no_region(noise: float) -> None:
    grey = 120 + np.random.default_rng(0).normal(0, noise, (128, 128, 1)) + np.zeros((1, 1, 3))
    params = Crop.model_validate(MINI)
    judged = judge_candidates(find_contours(Image.fromarray(grey.astype(np.uint8))), params, MINI_CUT, 128, 128)
    assert [reason for _, reason in judged if not reason] == []


def test_contours_scale_with_the_image() -> None:
    pixels = np.full((512, 768, 3), 120, np.uint8)
    pixels[100:180, 300:380] = (200, 40, 40)
    (candidate,) = find_contours(Image.fromarray(pixels))
    assert iou(candidate.box, (300, 100, 380, 180)) > 0.9


# The stage


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


def write_images(images: list[Image.Image | bytes]) -> None:
    empty = dict.fromkeys(records.IMAGES.names)
    write_table(paths.IMAGES, [empty | image_row(image) | {"reason": ""} for image in images], records.IMAGES)


def test_the_stage_writes_regions_and_their_funnel(workdir: Path) -> None:
    write_images([render_scene(np.random.default_rng(n)).image for n in range(3)] + [b"torn"])
    main(Path("params.yaml"))
    rows = read_table(paths.REGIONS, records.REGIONS, "crop")
    assert len({row["image_id"] for row in rows}) == 4
    assert [row["reason"] for row in rows if row["status"] == "failed"] == ["unreadable"]
    assert all((row["crop"] is not None) == (row["status"] == "ok") for row in rows)
    crop = next(row for row in rows if row["status"] == "ok")
    assert Image.open(BytesIO(crop["crop"])).width == 2 * (crop["box"][2] - crop["box"][0])
    assert '"failed: unreadable": 1' in paths.metrics("crop").read_text()


def test_without_a_table_or_without_one_region_nothing_is_written(workdir: Path) -> None:
    with pytest.raises(TableError, match="no table"):
        main(Path("params.yaml"))
    write_images([b"torn"])
    with pytest.raises(TableError, match="1 failed: unreadable"):
        main(Path("params.yaml"))
    assert not paths.REGIONS.exists() and not paths.metrics("crop").exists()
