"""SAM 2: masks by arithmetic, and the real package with a tiny random model, on the CPU."""

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crop.tiny_sam2 import make_checkpoint
from PIL import Image

from r2i.core.boxes import iou
from r2i.core.errors import R2IError
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Crop, Cut
from r2i.crop.finders import Candidate, Finding, Listing, Named, Refused, make_finder
from r2i.crop.regions import find_regions_of
from r2i.crop.sam2 import (
    agree,
    candidates_of,
    compress,
    merge_duplicates,
    run_length_box,
    run_lengths,
    stability_of,
)
from r2i.mini.world import render_scene

coco = pytest.importorskip("pycocotools.mask", reason="the package pycocotools can't be imported: run `make setup`")


TIGHT = Cut(margin=0.0)


def settings(**changes: Any) -> Crop:
    plain = {"method": "sam2", "min_side": 4, "per_image": 10}
    grid = {} if "teacher" in changes else {"points_per_side": 3}
    return Crop.model_validate(plain | grid | changes)


def rectangle(left: int, top: int, right: int, bottom: int, height: int = 100, width: int = 100) -> np.ndarray:
    """A mask that is a filled rectangle, (height, width) bool."""
    pixels = np.zeros((height, width), bool)
    pixels[top:bottom, left:right] = True
    return pixels


# Masks


def test_a_mask_gives_its_tight_box_right_and_bottom_exclusive() -> None:
    rle = run_lengths(rectangle(10, 5, 17, 9, 20, 30))
    # 10 columns of 20 and 5 more pixels, then 7 columns with 4 pixels each, 16 apart
    assert rle == {"size": [20, 30], "counts": [205, *[4, 16] * 6, 4, 600 - 205 - 7 * 4 - 6 * 16]}
    assert run_length_box(rle) == (10, 5, 17, 9)


@pytest.mark.parametrize("seed", range(20))
def test_box_area_and_pixels_of_any_mask_survive_compression(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.zeros((9, 13), bool)
    pixels[rng.integers(0, 9, 4), rng.integers(0, 13, 4)] = True
    pixels[:, rng.integers(0, 13)] |= seed % 3 == 0  # a full column: its run may go on in the next one
    pixels[0, 0] |= seed % 5 == 0  # counts start with the 0s, of which there are none
    rows, columns = np.nonzero(pixels)
    rle = run_lengths(pixels)
    assert run_length_box(rle) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    mask = compress(rle)
    assert mask["size"] == [9, 13] and isinstance(mask["counts"], str)
    assert (coco.decode(mask) == pixels).all()
    assert coco.area(mask) == pixels.sum()


def test_a_mask_of_the_whole_image_and_an_empty_one() -> None:
    assert run_length_box(run_lengths(np.ones((4, 6), bool))) == (0, 0, 6, 4)
    assert run_length_box(run_lengths(np.zeros((4, 6), bool))) is None


# From the masks of a grid to candidates


def record(pixels: np.ndarray, score: float, stability: float = 1.0) -> dict[str, Any]:
    return {"segmentation": run_lengths(pixels), "predicted_iou": score, "stability_score": stability}


def test_scores_stay_between_0_and_1_and_empty_masks_are_left_out() -> None:
    found = [
        record(rectangle(10, 10, 20, 20), 1.02),  # SAM 2's estimate may exceed 1
        record(rectangle(0, 0, 0, 0), 0.9),
        record(rectangle(50, 50, 60, 60), 0.6, float("nan")),
    ]
    first, second = candidates_of(found, settings(), TIGHT, 100, 100)
    assert first[:3] == ((10, 10, 20, 20), 1.0, 1.0)
    assert second[:3] == ((50, 50, 60, 60), 0.6, 0.0)
    assert first.mask and (coco.decode(first.mask) == rectangle(10, 10, 20, 20)).all()


def test_an_object_found_from_two_points_is_one_candidate() -> None:
    # 20 x 20 against 20 x 18 inside it: IoU 0.9; against a half of it: 0.5
    whole, most, half = (10, 10, 30, 30), (10, 10, 30, 28), (10, 10, 30, 20)
    candidates = [Candidate(half, 0.9), Candidate(most, 0.8), Candidate(whole, 0.85)]
    assert [candidates[i].box for i in merge_duplicates(candidates, settings(), TIGHT, 100, 100)] == [half, whole]


def test_a_mask_that_is_dropped_anyway_hides_no_other() -> None:
    # 32 x 32 = 1024 of 10000 square pixels is too large, 31 x 32 = 992 is not; their IoU is 0.97
    large, fitting = Candidate((10, 10, 42, 42), 0.99), Candidate((10, 10, 41, 42), 0.8)
    shaky, stable = Candidate((60, 60, 80, 80), 0.99, 0.1), Candidate((60, 60, 80, 79), 0.8, 0.9)
    candidates = [large, fitting, shaky, stable]
    kept = merge_duplicates(candidates, settings(min_stability=0.5), TIGHT, 100, 100)
    assert {candidates[i] for i in kept} == {fitting, stable}


def test_merging_does_not_depend_on_the_order_of_arrival() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 60, (60, 2))
    boxes = [(int(x), int(y), int(x) + 20, int(y) + 20) for x, y in corners]
    candidates = [Candidate(box, round(float(rng.random()), 1)) for box in boxes]
    expected = {candidates[i] for i in merge_duplicates(candidates, settings(min_score=0.0), TIGHT, 100, 100)}
    for _ in range(5):
        rng.shuffle(candidates)  # type: ignore[arg-type]
        mixed = [Candidate(tuple(c[0]), *c[1:]) for c in candidates]
        assert {mixed[i] for i in merge_duplicates(mixed, settings(min_score=0.0), TIGHT, 100, 100)} == expected


# Agreement with the teacher


def test_the_score_is_the_predicted_iou_times_the_agreement_of_the_boxes() -> None:
    # the teacher's box is 20 x 20, the mask fills its left 20 x 10: IoU 0.5; 0.8 * 0.5 = 0.4
    logits = np.where(rectangle(10, 10, 20, 30), 5.0, -5.0).astype(np.float32)
    (candidate,), refused = agree([Named("mug", (10, 10, 30, 30))], logits[None], np.array([0.8], np.float32))
    assert candidate.box == (10, 10, 20, 30) and candidate.name == "mug" and refused == []
    assert candidate.score == pytest.approx(0.4)
    assert candidate.stability == 1.0
    assert candidate.mask and coco.area(candidate.mask) == 200


def test_an_object_without_a_mask_is_refused_with_the_teachers_box() -> None:
    nothing = np.full((1, 100, 100), -5.0, np.float32)
    assert agree([Named("mug", (1, 2, 3, 4))], nothing, np.array([0.9])) == (
        [],
        [Refused("mug", (1, 2, 3, 4), "no_mask")],
    )


def test_stability_compares_a_wider_and_a_narrower_mask() -> None:
    # 10 x 10 above +1, a further 10 x 10 between -1 and +1: 100 / 200
    logits = np.where(rectangle(0, 0, 10, 10), 2.0, np.where(rectangle(10, 0, 20, 10), 0.5, -2.0))
    assert stability_of(logits) == 0.5
    assert stability_of(np.full((4, 4), -2.0)) == 0.0


# The real package


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return make_checkpoint(tmp_path_factory.mktemp("sam2"))


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return read_image(jpeg_bytes(render_scene(np.random.default_rng(0)).image.resize((320, 240))))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, tiny: dict[str, str]) -> list[tuple[int, ...]]:
    """The shape of every input to the image encoder."""
    from sam2.modeling.backbones.image_encoder import ImageEncoder

    seen: list[tuple[int, ...]] = []
    forward = ImageEncoder.forward

    def counting(self: Any, sample: Any) -> Any:
        seen.append(tuple(sample.shape))
        return forward(self, sample)

    monkeypatch.setattr(ImageEncoder, "forward", counting)
    return seen


def objects(*boxes: tuple[int, int, int, int]) -> Listing:
    named = tuple(Named(f"thing {n}", box) for n, box in enumerate(boxes))
    return Listing(named, (Refused("odd", None, "reversed"),), "ok", "", {"model": "m"})


def test_a_grid_of_points_encodes_the_image_once_and_finds_the_same_masks_again(
    tiny: dict[str, str], picture: Image.Image, passes: list[tuple[int, ...]]
) -> None:
    cfg = settings(**tiny, min_score=0.0, points_per_batch=2)  # nine points in five batches
    find = make_finder(cfg, TIGHT)
    found = find("a", picture)
    assert passes == [(1, 3, 256, 256)]
    assert found.candidates
    for candidate in found.candidates:
        assert candidate.mask and candidate.mask["size"] == [240, 320]
        assert run_length_box(run_lengths(coco.decode(candidate.mask))) == candidate.box
        assert 0 <= candidate.score <= 1 and 0 <= candidate.stability <= 1
    assert find("a", picture) == make_finder(cfg, TIGHT)("b", picture) == found
    assert len(passes) == 3


def test_boxes_are_refined_with_one_pass_of_the_encoder(
    tiny: dict[str, str], picture: Image.Image, passes: list[tuple[int, ...]]
) -> None:
    boxes = [(10, 10, 60, 60), (150, 20, 170, 45), (200, 100, 280, 200)]
    listings = {"a": objects(*boxes), "one": objects(boxes[0])}
    find = make_finder(settings(**tiny, method="teacher+sam2", teacher={}, points_per_batch=2), TIGHT, listings)
    found = find("a", picture)
    assert passes == [(1, 3, 256, 256)]
    assert len(found.candidates) + len(found.refused) == 4
    for candidate in found.candidates:
        assert candidate.mask and run_length_box(run_lengths(coco.decode(candidate.mask))) == candidate.box
        said = boxes[int(candidate.name.split()[1])]
        assert candidate.score <= iou(said, candidate.box)  # the predicted IoU is at most 1
    assert found.refused[0] == Refused("odd", None, "reversed")
    assert found.listing == {"model": "m"}
    assert find("a", picture) == found
    (alone,) = find("one", picture).candidates
    first = next(c for c in found.candidates if c.name == "thing 0")
    assert alone.box == first.box and alone.score == pytest.approx(first.score, rel=1e-4)


def test_an_image_that_the_teacher_could_not_list_is_not_encoded(
    tiny: dict[str, str], picture: Image.Image, passes: list[tuple[int, ...]]
) -> None:
    listings = {
        "few": Listing((), (), "rejected", "too_few_objects", {"model": "m"}),
        "lost": Listing((), (), "failed", "listing_timeout", {"model": "m"}),
        "none": Listing((), (), "ok", "", {"model": "m"}),
    }
    cfg = settings(**tiny, method="teacher+sam2", teacher={})
    find = make_finder(cfg, TIGHT, listings)
    rows = [find_regions_of(name, jpeg_bytes(picture), find, cfg, TIGHT) for name in listings]
    assert [(row["status"], row["reason"], row["listing"]["model"]) for (row,) in rows] == [
        ("rejected", "too_few_objects", "m"), ("failed", "listing_timeout", "m"), ("rejected", "no_region", "m")
    ]  # fmt: skip
    assert passes == []
    with pytest.raises(R2IError, match="no listing of image stranger"):
        find("stranger", picture)


def test_a_released_model_is_built_and_loaded_as_a_local_one(
    tiny: dict[str, str], picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub is the one thing missing: the file that it would hand over is here, under the released name."""
    import huggingface_hub
    from sam2 import build_sam

    asked = []

    def download(repo_id: str, filename: str) -> str:
        asked.append((repo_id, filename))
        return tiny["sam2_model"]

    hub_id = "facebook/sam2.1-hiera-tiny"
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setitem(build_sam.HF_MODEL_ID_TO_FILENAMES, hub_id, (tiny["sam2_config"], "sam2.1_hiera_tiny.pt"))
    common = {"min_score": 0.0, "sam2_sha256": tiny["sam2_sha256"]}
    found: list[Finding] = [
        make_finder(settings(**common | way), TIGHT)("a", picture) for way in (tiny, {"sam2_model": hub_id})
    ]
    assert asked == [(hub_id, "sam2.1_hiera_tiny.pt")]
    assert found[0] == found[1]


# What is wrong is said


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda tiny, folder: {"sam2_sha256": "0" * 64}, "hashes to"),
        (lambda tiny, folder: {"sam2_model": f"{folder}/none.pt"}, "is no file and no model"),
        (lambda tiny, folder: {"sam2_config": "configs/none.yaml"}, "is no file and no config"),
        (lambda tiny, folder: {"sam2_config": "configs/sam2.1/sam2.1_hiera_s.yaml"}, "holds no weights"),
        (
            lambda tiny, folder: {"sam2_model": _write(folder / "torn.pt", b"PK torn"), "sam2_sha256": None},
            "holds no weights",
        ),
        (lambda tiny, folder: {"sam2_config": _write(folder / "odd.yaml", b"model: {}")}, "describes no SAM 2 model"),
    ],
    ids=["hash", "model", "config", "other-config", "torn", "odd-config"],
)
def test_each_fault_of_a_checkpoint_is_an_error_for_the_stage(
    tiny: dict[str, str], tmp_path: Path, change: Callable[[dict[str, str], Path], dict[str, Any]], cause: str
) -> None:
    with pytest.raises(R2IError, match=cause) as caught:
        make_finder(settings(**tiny | change(tiny, tmp_path)), TIGHT)
    assert caught.value.remedy


def _write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_a_checkpoint_with_another_hash_is_never_opened(tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("opened"))
    with pytest.raises(R2IError, match="hashes to"):
        make_finder(settings(**tiny | {"sam2_sha256": "0" * 64}), TIGHT)


def test_without_the_hub_the_remedy_names_a_local_file(tiny: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(**asked: str) -> str:
        raise OSError("offline mode is enabled")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(R2IError, match=r"sam2\.1_hiera_large\.pt.*offline mode") as caught:
        make_finder(settings(), TIGHT)
    assert "local file" in caught.value.remedy


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: object, **options: object) -> object:
        if name.startswith("sam2"):
            raise ModuleNotFoundError("No module named 'sam2'")
        return real(name, *args, **options)  # type: ignore[arg-type]

    for name in [name for name in sys.modules if name.split(".")[0] == "sam2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(R2IError) as caught:
        make_finder(settings(), TIGHT)
    assert "sam2==1.1.0" in caught.value.remedy
