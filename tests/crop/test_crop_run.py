"""`crop` over many images: one result whatever the executor, no shard twice, and failures that stay rows."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from crop.tiny_sam2 import make_checkpoint
from endpoint.fake_server import serve
from teacher_fakes import FakeModel, connecting

import r2i.endpoint
from r2i.core import paths, records
from r2i.core.errors import R2IError, TableError
from r2i.core.fingerprint import code_text
from r2i.core.images import jpeg_bytes, sha256
from r2i.core.params import Pool, load_params
from r2i.core.photos import Photos
from r2i.core.shards import cut_shards
from r2i.core.tables import Row, read_table, write_table
from r2i.crop import run
from r2i.crop.run import CropWork
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import read_images
from r2i.mini.world import render_scene
from stages.crop import main

ROOT = Path(__file__).parents[2]
PARAMS = Path("params.yaml")


def scenes(count: int, first: int = 0) -> list[bytes]:
    return [jpeg_bytes(render_scene(np.random.default_rng(first + n)).image) for n in range(count)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    set_params()
    return tmp_path


def set_params(execution: Row | None = None, **crop: Any) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    profile = values["profiles"]["mini"]
    profile["crop"] |= {"per_image": 6} | crop
    profile["execution"] = execution or {}
    PARAMS.write_text(yaml.safe_dump(values), encoding="utf-8")


def write_images(pictures: list[bytes], folder: Path = paths.IMAGES, shard_images: int = 4) -> None:
    """The table of images as `sample` leaves it."""
    size = {"width": 128, "height": 128, "status": "ok", "reason": ""}
    rows = [
        dict.fromkeys(records.IMAGES.names) | {"image_id": sha256(data), "image": data, **size} for data in pictures
    ]
    write_table(folder, rows, records.IMAGES, cut_shards([row["image_id"] for row in rows], shard_images))


def table() -> dict[str, bytes]:
    """The region table's files after a run."""
    main(PARAMS)
    return {path.name: path.read_bytes() for path in sorted(paths.REGIONS.iterdir())}


def statuses() -> Counter[tuple[str, str]]:
    main(PARAMS)
    rows = read_table(paths.REGIONS, records.REGIONS, "crop")
    return Counter((row["status"], row["reason"]) for row in rows)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image came before the finder."""
    seen: Counter[str] = Counter()
    make = run.make_finder

    def counting(*given: Any) -> Callable[..., Any]:
        finder = make(*given)

        def find(image_id: str, image: Any) -> Any:
            seen[image_id] += 1
            return finder(image_id, image)

        return find

    monkeypatch.setattr(run, "make_finder", counting)
    return seen


# No shard twice


def test_new_images_cost_their_own_shards(looked_at: Counter[str]) -> None:
    old, new = scenes(24), scenes(4, first=24)
    write_images(old)
    table()
    before = set(looked_at)
    looked_at.clear()
    write_images(old + new)
    table()
    assert {sha256(data) for data in new} <= set(looked_at) and len(set(looked_at) & before) <= 8
    assert set(looked_at.values()) == {1}


def test_a_table_from_kept_shards_is_the_same_to_the_byte() -> None:
    pictures = scenes(12)
    write_images(pictures)
    fresh = table()
    write_images(pictures[:6])
    table()
    write_images(pictures)
    assert table() == fresh


@pytest.mark.parametrize("change", [{"min_score": 0.9}, {"min_side": 17}, {"per_image": 5}])
def test_a_param_that_changes_rows_starts_afresh(change: Row, looked_at: Counter[str]) -> None:
    write_images(scenes(2))
    table()
    set_params(**change)
    table()
    assert set(looked_at.values()) == {2}


def test_how_it_is_run_changes_nothing(looked_at: Counter[str]) -> None:
    write_images(scenes(2))
    table()
    set_params({"executor": "ray", "workers": 7})
    table()
    assert set(looked_at.values()) == {1}


def test_another_checkpoint_in_the_same_file_starts_afresh(folder: Path) -> None:
    write_images(scenes(1))
    file = folder / "sam.pt"
    found = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        set_params(method="sam2", sam2_model=str(file))
        work = CropWork(load_params(PARAMS))
        found.append(work.depends_on(next(iter(shards_of(work)))))
    assert found[0] != found[1]


def shards_of(work: CropWork) -> Any:
    from r2i.core.shards import list_shards

    return list_shards(work.inputs)


def test_the_rules_are_among_the_code_that_a_shard_depends_on() -> None:
    text = code_text("crop", load_params(PARAMS))
    for name in ("regions", "contours", "finders", "run"):
        assert f"r2i/crop/{name}.py " in text
    assert "r2i/core/images.py " in text and "crop.min_side: " in text and "execution" not in text


def test_failures_are_tried_again_and_what_is_done_is_not(
    monkeypatch: pytest.MonkeyPatch, looked_at: Counter[str]
) -> None:
    pictures = scenes(24)
    write_images(pictures)
    bad = sha256(pictures[1])
    make = run.make_finder

    def failing(*given: Any) -> Callable[..., Any]:
        finder = make(*given)

        def find(image_id: str, image: Any) -> Any:
            if image_id == bad:
                raise RuntimeError("CUDA out of memory")
            return finder(image_id, image)

        return find

    monkeypatch.setattr(run, "make_finder", failing)
    assert statuses()["failed", "segmenter_error"] == 1
    looked_at.clear()
    monkeypatch.setattr(run, "make_finder", make)
    assert ("failed", "segmenter_error") not in statuses()
    assert bad in looked_at and len(looked_at) <= 8  # its shard


def test_a_defect_in_the_rules_is_no_failed_image(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Row]:
        raise ZeroDivisionError

    write_images(scenes(1))
    monkeypatch.setattr(run, "find_regions_of", broken)
    with pytest.raises(ZeroDivisionError):
        main(PARAMS)


def test_images_without_any_region_are_an_error_that_counts_the_reasons() -> None:
    write_images([jpeg_bytes(picture) for picture in blank(3)])
    with pytest.raises(TableError, match="3 rejected: no_region"):
        main(PARAMS)


def blank(count: int) -> Iterator[Any]:
    from PIL import Image

    return (Image.new("RGB", (128, 128), (60 * number, 0, 0)) for number in range(count))


# The stage, with a teacher

OBJECTS = {"the cup": [10, 10, 300, 300], "the key": [600, 100, 900, 400], "the pen": [200, 600, 500, 950]}


def test_the_teacher_is_asked_first_and_a_second_run_finds_all_of_it_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch, looked_at: Counter[str]
) -> None:
    found = [{"bbox_2d": box, "label": label} for label, box in OBJECTS.items()]
    teacher = FakeModel(lambda request, sample: json.dumps({"objects": found}))
    monkeypatch.setattr(r2i.endpoint, "connect", connecting(teacher))
    crop = {"method": "teacher+sam2", "teacher": {}, "min_score": 0.0, "max_area_share": 1.0}
    set_params(**crop, min_side=4, **make_checkpoint(folder))
    pictures = scenes(3)
    write_images(pictures)
    for _ in range(2):
        main(PARAMS)
        assert len(teacher.asked) == 3 and looked_at == {sha256(data): 1 for data in pictures}
        assert json.loads(paths.metrics("crop").read_text())["calls"]["fake"]["requests"] == 3
    regions = read_table(paths.REGIONS, records.REGIONS, "crop")
    kept = [row for row in regions if row["status"] == "ok"]
    assert kept and all(row["mask"] and row["listing"] and row["name"] in OBJECTS for row in kept)


def test_a_teacher_alone_gives_the_regions_and_a_warning_where_few_images_have_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = scenes(3)
    write_images(pictures)

    def reply(request: Any, sample: int) -> str:
        """Of the first picture in pixels of a larger one."""
        times = 5 if request.images[0].load() == pictures[0] else 1
        listed = [{"bbox_2d": [times * x for x in box], "label": label} for label, box in OBJECTS.items()]
        return json.dumps({"objects": listed}) if request.images[0].load() != pictures[1] else "[]"

    monkeypatch.setattr(r2i.endpoint, "connect", connecting(FakeModel(reply)))
    set_params(method="teacher", teacher={}, max_area_share=1.0, min_side=4)
    assert statuses() == {
        ("ok", ""): 3, ("rejected", "too_few_objects"): 1, ("rejected", "out_of_image"): 3
    }  # fmt: skip
    kept = [row for row in read_table(paths.REGIONS, records.REGIONS, "crop") if row["status"] == "ok"]
    assert {row["name"] for row in kept} == set(OBJECTS)
    assert all(row["crop"] and row["listing"] and row["score"] is None and row["mask"] is None for row in kept)
    assert json.loads(paths.metrics("crop").read_text())["with_region"] == 1
    told = capsys.readouterr().err
    assert "warning: 2 of 3 images have no region: " in told
    assert "warning: 3 of 7 boxes are not in thousandths" in told and "crop.coordinates" in told


def test_boxes_that_never_go_beyond_the_pixels_of_small_images_are_doubted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """128 x 128 px: what a model means as pixels stays below 129."""
    write_images(scenes(4))
    for box, warned in (([10, 10, 60, 60], True), ([10, 10, 200, 60], False)):
        objects = [{"bbox_2d": [x + 20 * n for x in box], "label": f"thing {n}"} for n in range(3)]
        teacher = FakeModel(lambda request, sample, said=json.dumps(objects): said)
        monkeypatch.setattr(r2i.endpoint, "connect", connecting(teacher))
        set_params(method="teacher", teacher={}, listing={"max_tokens": 100 + box[2]}, min_side=2, max_area_share=1.0)
        main(PARAMS)
        assert ("all 12 boxes in small images could be pixels" in capsys.readouterr().err) == warned


@pytest.mark.parametrize("execution", [{}, {"workers": 2}])
def test_weights_that_are_missing_are_told_before_a_call_is_paid_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, execution: Row
) -> None:
    with serve() as server:
        teacher = {"kind": "openai", "model": "m", "base_url": server.url}
        tiny = make_checkpoint(folder)
        set_params(execution, method="teacher+sam2", teacher=teacher, **tiny | {"sam2_model": "no-such.pt"})
        write_images(scenes(8))
        with pytest.raises(R2IError, match=r"no-such\.pt"):
            main(PARAMS)
        assert server.calls == [] and server.gets == 0


def test_weights_that_are_others_are_told_too(folder: Path) -> None:
    tiny = make_checkpoint(folder)
    make_checkpoint(folder, seed=1)
    teacher = {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    set_params({}, method="teacher+sam2", teacher=teacher, **tiny)
    write_images(scenes(8))
    with pytest.raises(R2IError, match="sam2_sha256"):  # the file is another: nor is the dead server asked
        main(PARAMS)


def test_an_error_names_what_helps_against_the_most_common_reason() -> None:
    write_images(scenes(2))
    for change, remedy in (({"min_score": 1.0}, "lower crop.min_score"), ({"min_side": 500}, "lower crop.min_side")):
        set_params(**change)
        with pytest.raises(TableError) as caught:
            main(PARAMS)
        assert remedy in caught.value.remedy


# An image that kills

DEADLY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from r2i.crop import run
make = run.make_finder
def deadly(*given):
    finder = make(*given)
    def find(image_id, image):
        if image_id == sys.argv[2]:
            os.kill(os.getpid(), 9)
        return finder(image_id, image)
    return find
run.make_finder = deadly
from stages.crop import main
main(Path("params.yaml"))
"""


def test_an_image_that_killed_its_process_three_times_is_a_failed_row_and_is_tried_again_later() -> None:
    pictures = scenes(12)
    write_images(pictures)
    command = [sys.executable, "-c", DEADLY, str(ROOT), sha256(pictures[5])]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(4)]
    assert codes == [-signal.SIGKILL] * 3 + [0]
    rows = read_table(paths.REGIONS, records.REGIONS, "crop")
    assert [row["image_id"] for row in rows if row["reason"] == "segmenter_died"] == [sha256(pictures[5])]
    assert ("failed", "segmenter_died") not in statuses()


# Executors


@pytest.mark.parametrize("execution", [{"workers": 2}, {"executor": "ray"}])
def test_every_executor_writes_the_same_bytes(folder: Path, execution: Row, capfd: pytest.CaptureFixture[str]) -> None:
    """From a table that embeds its images, and from one that refers to a pool; a torn image is a row in both."""
    if "executor" in execution:
        pytest.importorskip("ray")
    refer_to_pool(40, refer=False)
    local = table()
    assert ("failed", "truncated") in statuses()
    refer_to_pool(40, refer=True)
    set_params(execution)
    add_pool()
    assert table() == local
    assert "usage" not in capfd.readouterr().err.lower()


def refer_to_pool(count: int, refer: bool, folder: Path = paths.IMAGES) -> None:
    """`count` scenes and a torn one as `sample` leaves them, in the table or in a pool that it refers to."""
    Path("pool").mkdir(exist_ok=True)
    data = scenes(count)
    rows = []
    for number, jpeg in enumerate([*data, data[0][: len(data[0]) // 2]]):
        Path("pool", f"{number}.jpg").write_bytes(jpeg)
        reference = {"pool": "photos", "member": f"{number}.jpg", "size": len(jpeg)}
        given = {"image_id": sha256(jpeg), "image": None if refer else jpeg, "status": "ok", "reason": ""}
        rows.append(dict.fromkeys(records.IMAGES.names) | reference | given)
    write_table(folder, rows, records.IMAGES, cut_shards([row["image_id"] for row in rows], 4))


def add_pool() -> None:
    values = yaml.safe_load(PARAMS.read_text())
    values["profiles"]["mini"]["sample"]["pools"].append({"kind": "folder", "name": "photos", "path": "pool"})
    PARAMS.write_text(yaml.safe_dump(values))


def test_a_table_that_refers_to_its_pool_gives_the_pictures_that_it_would_hold() -> None:
    def opened(refer: bool) -> Mapping[str, Picture]:
        refer_to_pool(5, refer, Path(f"images-{refer}"))
        photos = Photos([Pool(kind="folder", name="photos", path="pool")])
        return read_images(photos, folder=Path(f"images-{refer}"))

    held, found = opened(refer=False), opened(refer=True)
    assert {name: picture.load() for name, picture in found.items()} == {n: p.load() for n, p in held.items()}
    assert len(found) == 6
    gone = sha256(Path("pool/0.jpg").read_bytes())
    Path("pool/0.jpg").unlink()
    with pytest.raises(TableError, match=r"0\.jpg"):
        found[gone].load()


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """A Ray cluster of several nodes, with one core each, on this machine; its address."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=1, object_store_memory=100 * 2**20, include_dashboard=False)
        yield made.address
    finally:
        made.shutdown()


@pytest.mark.long
def test_on_a_cluster_the_bytes_are_those_of_one_process_and_an_error_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = pytest.importorskip("ray")
    refer_to_pool(24, refer=True)
    add_pool()
    local = table()
    with cluster(2) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        for path in Path(".r2i").glob("shards/crop/*/*"):
            path.unlink()
        set_params({"executor": "ray"})
        add_pool()
        assert table() == local
        for path in Path(".r2i").glob("shards/crop/*/*"):
            path.unlink()
        Path("pool").rename("elsewhere")
        with pytest.raises(R2IError, match="the pool's file is gone"):
            main(PARAMS)
        assert not ray.is_initialized()
