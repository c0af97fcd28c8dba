"""A path names one picture of the dataset's own folder, or none."""

import os
from pathlib import Path
from typing import Any

import pytest
from benchmark.made_files import import_all, photo, put_json, put_jsonl, put_photo
from hypothesis import given, settings
from hypothesis import strategies as st

from r2i.core.errors import ImageError
from r2i.core.images import sha256
from r2i.core.records import TRAIN
from r2i.core.tables import read_table
from r2i.importing import pictures
from r2i.importing.pictures import PictureFolder, read_picture
from r2i.tools.exchange.importing import import_table


def refuse(name: str, folder: Path, reason: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_picture(name, folder)
    assert caught.value.cause == reason, name


def test_no_picture_is_taken_from_outside_the_folder(tmp_path: Path) -> None:
    secret = put_photo(tmp_path / "private" / "x.jpg", 9)
    home = tmp_path / "set"
    put_photo(home / "images" / "1.jpg", 1)
    (home / "link.jpg").symlink_to(secret)
    (home / "images" / "link.jpg").symlink_to("../../private/x.jpg")
    (home / "out").symlink_to(secret.parent)
    (home / "in.jpg").symlink_to("images/1.jpg")
    for name in ("../private/x.jpg", str(secret), f"file://{secret}", "link.jpg",
                 "images/link.jpg", "out/x.jpg", "images/../../private/x.jpg",
                 f"{home}/../private/x.jpg"):  # fmt: skip
        refuse(name, home, "outside_folder")
        with pytest.raises(ImageError):
            read_picture([{"bytes": None, "path": name}], home)
    for name in ("in.jpg", str(home / "images" / "1.jpg"),
                 f"file://{home}/images/1.jpg", "images/../images/1.jpg", "./images/1.jpg"):  # fmt: skip
        assert read_picture(name, home) == photo(1), name
    (tmp_path / "elsewhere").symlink_to(home)  # the folder itself may be a link
    assert read_picture("images/1.jpg", tmp_path / "elsewhere") == photo(1)


def test_a_path_of_another_machine_is_found_by_a_name_that_is_there_once(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "a b.jpg", 1)
    for name in ("/path/datasets/zwz/train/a b.jpg", "/a b.jpg", "C:\\sets\\zwz\\a b.jpg", "file:///x/a%20b.jpg"):
        assert read_picture(name, tmp_path) == photo(1), name
    put_photo(tmp_path / "deep" / "more" / "a b.jpg", 2)
    refuse("/path/datasets/zwz/train/a b.jpg", tmp_path, "ambiguous_image")
    assert read_picture("/path/zwz/more/a b.jpg", tmp_path / "deep") == photo(2)
    assert read_picture("/path/zwz/images/a b.jpg", tmp_path) == photo(1)  # folder and name


@pytest.mark.parametrize("name", ["cam2/0001.png", "../cam2/0001.png", "x/cam2/0001.png"])
def test_a_picture_of_the_same_name_in_another_folder_is_none(tmp_path: Path, name: str) -> None:
    put_photo(tmp_path / "images" / "0001.png", 1)
    put_photo(tmp_path / "cam1" / "0001.png", 2)
    refuse(name, tmp_path, "missing_image")


def test_a_name_that_two_usual_folders_hold_is_ambiguous(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "1.jpg", 1)
    put_photo(tmp_path / "imgs" / "1.jpg", 2)
    refuse("1.jpg", tmp_path, "ambiguous_image")
    refuse("/x/1.jpg", tmp_path, "ambiguous_image")
    put_photo(tmp_path / "1.jpg", 3)
    assert read_picture("1.jpg", tmp_path) == photo(3)  # as it stands


def test_addresses_are_never_fetched_and_large_files_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https://host/a.jpg", "HTTP://host/a.jpg", "s3://bucket/a.jpg", "hf://datasets/x/a.jpg", "ftp://h/a"):
        refuse(name, tmp_path, "image_is_a_url")
    with (tmp_path / "film.jpg").open("wb") as film:
        film.truncate(3 * 2**30)
    refuse("film.jpg", tmp_path, "file_too_large")
    os.mkfifo(tmp_path / "pipe.jpg")
    refuse("pipe.jpg", tmp_path, "missing_image")
    monkeypatch.setattr(pictures, "MAX_BYTES", len(photo(1)) - 1)
    put_photo(tmp_path / "a.jpg", 1)
    refuse("a.jpg", tmp_path, "file_too_large")


@pytest.mark.parametrize(
    "names", [("/a/cam1/0001.png", "/a/cam2/0001.png"), ("/b/x/images/0001.png", "/a/x/images/0001.png")]
)
def test_two_names_that_meet_in_one_file_are_noticed(tmp_path: Path, names: tuple[str, str]) -> None:
    put_photo(tmp_path / "images" / "0001.png", 1)
    found = PictureFolder(tmp_path)
    found.read(names[0])
    assert not found.is_shared(names[0])
    found.read(names[1])
    assert found.is_shared(names[0]) and found.is_shared(names[1])
    found.read("images/0001.png")
    assert not found.is_shared("images/0001.png")  # its own name


def question(image: str, text: str = "How many cars?") -> dict[str, Any]:
    return {"Image": image, "Text": text, "Answer choices": ["(A) 1", "(B) 2"], "Ground truth": "A", "Category": "x"}


@pytest.mark.parametrize("prefix", ["", "/data/mme/"])
def test_a_benchmark_takes_no_picture_of_another_camera(tmp_path: Path, prefix: str) -> None:
    put_photo(tmp_path / "images" / "0001.png", 1)
    put_photo(tmp_path / "images" / "0002.png", 2)
    rows, _ = import_all(
        "mme_realworld",
        put_json(tmp_path / "d.json", [
            question(f"{prefix}cam1/0001.png"), question(f"{prefix}cam2/0001.png"),
            question(f"{prefix}cam2/0001.png", "What colour?"), question("0002.png"),
        ]),
    )  # fmt: skip
    reason = "ambiguous_image" if prefix else "missing_image"
    assert [(row["status"], row["reason"]) for row in rows] == [("failed", reason)] * 3 + [("ok", "")]
    assert [row["image"] for row in rows[:3]] == [None] * 3 and rows[3]["image"] == photo(2)


def test_a_benchmark_may_keep_its_pictures_beside_its_annotations(tmp_path: Path) -> None:
    put_photo(tmp_path / "set" / "images" / "1.jpg", 1)
    put_photo(tmp_path / "2.jpg", 2)
    names = ("../images/1.jpg", "images/1.jpg", "../../2.jpg")
    put_json(tmp_path / "set" / "annotations" / "d.json", [question(name, f"{name}?") for name in names])
    rows, _ = import_all("mme_realworld", tmp_path / "set")
    assert [row["reason"] for row in rows] == ["", "", "outside_folder"]
    rows, _ = import_all("mme_realworld", tmp_path / "set" / "annotations" / "d.json")  # the file alone was named
    assert [row["reason"] for row in rows] == ["outside_folder", "missing_image", "outside_folder"]


def test_imported_rows_take_no_picture_of_another_folder_or_machine(tmp_path: Path) -> None:
    put_photo(tmp_path / "secret.jpg", 9)
    for number, name in enumerate(("a", "b", "c")):
        put_photo(tmp_path / "set" / "images" / f"{name}.png", number)
    (tmp_path / "set" / "images" / "l.png").symlink_to(tmp_path / "secret.jpg")
    paths = ["/path/datasets/x/a.png", "/path/cam1/b.png", "/path/cam2/b.png", "images/c.png", "../secret.jpg",
             str(tmp_path / "secret.jpg"), f"file://{tmp_path}/secret.jpg", "images/l.png"]  # fmt: skip
    rows = [{"images": [path], "problem": f"What is {n}?", "answer": "red"} for n, path in enumerate(paths)]
    about = import_table(put_jsonl(tmp_path / "set" / "d.jsonl", rows), tmp_path / "t", "paper", "pixels")
    assert about["reason"] == {"failed: ambiguous_image": 2, "failed: outside_folder": 4}
    kept = [row for row in read_table(tmp_path / "t", TRAIN, "import") if row["status"] == "ok"]
    assert {row["image_id"] for row in kept} == {sha256(photo(0)), sha256(photo(2))}
    assert about["first"]["failed: ambiguous_image"] == ["d.jsonl:2", "d.jsonl:3"]


PARTS = st.sampled_from(["..", ".", "", "set", "images", "out", "private", "1.jpg", "x.jpg", "link.jpg", "{top}", "~"])


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `set` with one picture, links out of it, and pictures beside it."""
    top = tmp_path_factory.mktemp("top")
    put_photo(top / "private" / "x.jpg", 9)
    put_photo(top / "1.jpg", 9)
    put_photo(top / "set" / "images" / "1.jpg", 1)
    (top / "set" / "out").symlink_to(top / "private")
    (top / "set" / "link.jpg").symlink_to(top / "1.jpg")
    return top


@settings(deadline=None)
@given(
    parts=st.lists(PARTS, min_size=1, max_size=7),
    start=st.sampled_from(["", "/", "{top}/", "file://{top}/", "{top}/set/", "C:\\", "\\"]),
    joint=st.sampled_from(["/", "//", "\\"]),
)
def test_no_path_whatever_leads_out_of_the_folder(top: Path, parts: list[str], start: str, joint: str) -> None:
    name = (start + joint.join(parts)).replace("{top}", str(top))
    try:
        assert read_picture(name, top / "set") != photo(9), name
    except ImageError as error:
        assert error.cause in {"missing_image", "outside_folder", "ambiguous_image", "no_image"}


def test_a_snapshot_of_the_hub_may_link_to_its_own_blobs_alone(tmp_path: Path) -> None:
    cache = tmp_path / "datasets--lab--set"
    put_photo(cache / "blobs" / "0a1b", 1)
    put_photo(tmp_path / "datasets--other" / "blobs" / "0a1b", 9)
    snapshot = cache / "snapshots" / "f00d"
    (snapshot / "images").mkdir(parents=True)
    (snapshot / "images" / "1.jpg").symlink_to("../../../blobs/0a1b")
    (snapshot / "images" / "2.jpg").symlink_to(tmp_path / "datasets--other" / "blobs" / "0a1b")
    for folder in (snapshot, snapshot / "images"):
        assert read_picture("1.jpg", folder) == photo(1)
        refuse("2.jpg", folder, "outside_folder")
