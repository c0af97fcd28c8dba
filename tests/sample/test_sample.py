"""Sampling is a seeded choice that depends on ids alone, and no file can break it."""

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import ExifTags, Image

from r2i.core import paths, records
from r2i.core.errors import R2IError
from r2i.core.images import read_image, sha256
from r2i.core.params import Pool, Sample
from r2i.core.spool import TarSpool
from r2i.core.tables import Row, read_table
from r2i.mini.world import SIZE
from r2i.sample.choose import Selection, choose_images
from r2i.sample.pools import Offer, list_offers
from stages.sample import main

ROOT = Path(__file__).parents[2]


def picture(number: int, width: int = 64, height: int = 64) -> Image.Image:
    """Smooth noise: every number another picture, also to a perceptual hash."""
    grid = np.random.default_rng(number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]


def settings(**changes: object) -> Sample:
    defaults = {"pools": [], "images": 100, "min_side": 32}
    return Sample.model_validate(defaults | changes)


def pool_of(folder: Path) -> Pool:
    return Pool(kind="folder", name="photos", path=str(folder))


def offers_of(folder: Path) -> list[Offer]:
    return list(list_offers(pool_of(folder), seed=0))


def choose_from(offers: list[Offer], cfg: Sample, seed: int = 0) -> Selection:
    """The choice, with its pictures read."""
    with TarSpool(Path(tempfile.gettempdir())) as spool:
        choice = choose_images(offers, cfg, seed, spool)
        choice.rows = [{k: v() if callable(v) else v for k, v in row.items()} for row in choice.rows]
    return choice


def choose(folder: Path, seed: int = 0, **changes: object) -> Selection:
    return choose_from(offers_of(folder), settings(pools=[pool_of(folder)], **changes), seed)


def reasons(choice: Selection) -> dict[str, tuple[str, str]]:
    return {row["source"]: (row["status"], row["reason"]) for row in choice.rows}


def ids(choice: Selection) -> set[str]:
    return {row["image_id"] for row in choice.rows if row["status"] == "ok"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(12):
        save(tmp_path / "photos" / f"{number}.png", picture(number))
    return tmp_path / "photos"


def test_the_choice_does_not_depend_on_the_order_or_names_of_files(photos: Path, tmp_path: Path) -> None:
    for number, path in enumerate(sorted(photos.iterdir(), reverse=True)):
        (tmp_path / "other" / "deep").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "other" / "deep" / f"renamed-{number}")
    shuffled = offers_of(photos)
    random.Random(3).shuffle(shuffled)
    chosen = ids(choose(photos, images=5))
    assert len(chosen) == 5
    assert ids(choose(tmp_path / "other", images=5)) == chosen
    assert ids(choose_from(shuffled, settings(pools=[pool_of(photos)], images=5))) == chosen


def test_another_seed_chooses_other_images(photos: Path) -> None:
    assert ids(choose(photos, seed=0, images=5)) != ids(choose(photos, seed=1, images=5))


def test_a_smaller_choice_is_part_of_a_larger_one(photos: Path) -> None:
    assert ids(choose(photos, images=3)) < ids(choose(photos, images=6))


def test_images_that_are_not_needed_are_counted_and_never_decoded(photos: Path) -> None:
    choice = choose(photos, images=5)
    assert (len(choice.rows), choice.not_needed) == (5, 7)


def test_an_id_is_the_hash_of_the_source_file(photos: Path) -> None:
    row = choose(photos, images=1).rows[0]
    assert row["image_id"] == sha256((photos / row["source"].removeprefix("photos/")).read_bytes())


def rotated() -> dict[str, Image.Exif]:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return {"exif": exif}


def _write_half(path: Path) -> None:
    save(path, picture(106))
    path.write_bytes(path.read_bytes()[:500])


def _write_animation(path: Path) -> None:
    save(path, picture(107), save_all=True, append_images=[picture(108)])


def _sixteen_bit() -> Image.Image:
    return Image.fromarray(np.asarray(picture(109).convert("L")).astype(np.uint16) * 257)


HOSTILE: dict[str, tuple[Callable[[Path], object], tuple[str, str]]] = {
    "zero.jpg": (lambda p: p.write_bytes(b""), ("failed", "unreadable")),
    "text.jpg": (lambda p: p.write_text("not an image"), ("failed", "unreadable")),
    "cut.jpg": (_write_half, ("failed", "truncated")),
    "broken-link.jpg": (lambda p: p.symlink_to("nowhere.jpg"), ("failed", "unreadable")),
    "self-link.jpg": (lambda p: p.symlink_to("self-link.jpg"), ("failed", "unreadable")),
    "pipe.jpg": (os.mkfifo, ("failed", "unreadable")),
    "moving.gif": (_write_animation, ("rejected", "animated")),
    "small.png": (lambda p: save(p, picture(100, 31, 64)), ("rejected", "too_small")),
    "ribbon.png": (lambda p: save(p, picture(101, 40, 161)), ("rejected", "extreme_aspect")),  # 161 > 4 * 40
    "cmyk.jpg": (lambda p: save(p, picture(102).convert("CMYK")), ("ok", "")),
    "deep.png": (lambda p: save(p, _sixteen_bit()), ("ok", "")),
    "palette.png": (lambda p: save(p, picture(103).convert("P"), transparency=0), ("ok", "")),
    "turned.jpg": (lambda p: save(p, picture(104, 80, 40), **rotated()), ("ok", "")),
    "no-extension": (lambda p: save(p, picture(105), format="WEBP"), ("ok", "")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_file_gets_its_row_and_its_reason(name: str, photos: Path) -> None:
    make, expected = HOSTILE[name]
    make(photos / name)
    choice = choose(photos)
    assert reasons(choice)[f"photos/{name}"] == expected
    assert len(ids(choice)) == 12 + (expected[0] == "ok")  # its neighbours are untouched


def test_every_ok_image_is_stored_as_an_upright_rgb_jpeg_of_its_stated_size(photos: Path) -> None:
    for name, (make, _) in HOSTILE.items():
        make(photos / name)
    for row in choose(photos).rows:
        if row["status"] == "ok":
            stored = Image.open(BytesIO(row["image"]))
            assert (stored.format, stored.mode) == ("JPEG", "RGB")
            assert stored.size == read_image(row["image"]).size == (row["width"], row["height"])
        else:
            assert row["image"] is None


def test_the_size_of_a_rotated_photo_is_the_size_that_is_seen(photos: Path) -> None:
    save(photos / "turned.jpg", picture(1, 80, 40), **rotated())
    row = next(row for row in choose(photos).rows if row["source"] == "photos/turned.jpg")
    assert (row["width"], row["height"]) == (40, 80)


def test_a_directory_named_like_an_image_is_entered(photos: Path) -> None:
    save(photos / "x.jpg" / "inside.png", picture(50))
    assert reasons(choose(photos))["photos/x.jpg/inside.png"] == ("ok", "")


def test_linked_folders_are_entered_once_and_loops_end(photos: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "far.png", picture(60))
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(photos)
    found = [offer.source for offer in offers_of(photos)]
    assert found.count("photos/linked/far.png") == 1
    assert len(found) == 13


def test_a_file_name_that_is_not_utf_8_can_be_written_to_the_table(photos: Path) -> None:
    shutil.copy(os.fsencode(photos / "0.png"), os.fsencode(photos) + b"/caf\xe9.png")
    assert "photos/caf\\xe9.png" in [offer.source for offer in offers_of(photos)]


def test_a_file_that_may_not_be_read_is_a_row(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = Path.open

    def refuse(self: Path, *args: object, **options: object) -> object:
        if self.name == "0.png":
            raise PermissionError(13, "Permission denied", str(self))
        return allowed(self, *args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "read_bytes", lambda self: self.open("rb").read())
    assert reasons(choose(photos))["photos/0.png"] == ("failed", "unreadable")


def test_of_equal_files_one_is_kept_and_the_copy_is_a_row_of_its_own(photos: Path) -> None:
    shutil.copy(photos / "0.png", photos / "copy.png")
    choice = choose(photos)
    assert len(ids(choice)) == 12
    assert reasons(choice)["photos/copy.png"] == ("rejected", "duplicate")
    assert len({row["image_id"] for row in choice.rows}) == 13


def test_a_recompressed_copy_is_a_near_duplicate_and_the_lower_rank_stays(photos: Path) -> None:
    save(photos / "again.jpg", picture(0), quality=60)
    rows = choose(photos).rows
    pair = [row for row in rows if row["source"] in ("photos/0.png", "photos/again.jpg")]
    assert [row["reason"] for row in pair] == ["", "near_duplicate"]  # rows stand in the order of their rank
    assert ids(choose(photos, near_duplicate_bits=-1)) == {row["image_id"] for row in rows}


def test_a_missing_and_an_empty_folder_name_the_pool(tmp_path: Path) -> None:
    with pytest.raises(R2IError, match="'photos': no folder"):
        offers_of(tmp_path / "none")
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(R2IError, match="'photos': no file"):
        offers_of(tmp_path / "empty")


# The stage


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch, pools: list[Row], **changes: object) -> None:
    monkeypatch.chdir(folder)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["profile"] = "smoke"
    values["profiles"]["smoke"]["sample"] |= {"pools": pools, **changes}
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    main(Path("params.yaml"))


def test_rendered_scenes_and_their_truth_are_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_in(tmp_path, monkeypatch, [{"kind": "rendered", "name": "scenes", "scenes": 5}], images=3)
    images = read_table(paths.IMAGES, records.IMAGES, "sample")
    truth = read_table(paths.TRUTH, records.TRUTH, "sample")
    assert [(row["width"], row["height"]) for row in images] == [(SIZE, SIZE)] * 3
    assert {row["image_id"] for row in truth} == {row["image_id"] for row in images}  # of what was chosen, no more
    assert not {"color", "shape", "material", "mark", "value"} & set(images[0])
    assert {path.parent.name for path in tmp_path.rglob("*.parquet")} == {"images", "things"}


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run_in(tmp_path / name, monkeypatch, [{"kind": "rendered", "name": "scenes", "scenes": 4}])
        written.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*.parquet"))])
    assert written[0] == written[1]


def test_a_folder_of_photographs_has_an_empty_truth_table(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(tmp_path, monkeypatch, [{"kind": "folder", "name": "photos", "path": str(photos)}], min_side=32)
    assert len(read_table(paths.IMAGES, records.IMAGES, "sample")) == 12
    assert read_table(paths.TRUTH, records.TRUTH, "sample", allow_empty=True) == []


def test_a_pool_without_one_good_image_is_an_error_that_counts_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.jpg").write_text("not an image")
    with pytest.raises(R2IError, match="1 failed: unreadable"):
        run_in(tmp_path, monkeypatch, [{"kind": "folder", "name": "photos", "path": "photos"}])
    assert not (tmp_path / "data").exists()
