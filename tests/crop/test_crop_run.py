"""`crop` over many images: no image twice, one result whatever the executor, and failures that stay rows."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from crop.tiny_sam2 import make_checkpoint
from teacher_fakes import FakeModel, connecting

import r2i.endpoint
from r2i.core import paths, records
from r2i.core.errors import R2IError, TableError
from r2i.core.fingerprint import code_digests, meaning
from r2i.core.images import jpeg_bytes, sha256
from r2i.core.params import Crop, Cut, Pool
from r2i.core.photos import Photos
from r2i.core.tables import Row, read_table, write_table
from r2i.crop import finished, worker
from r2i.crop.finished import HEAD, FinishedImages, pack, remove_unused
from r2i.crop.run import WORKER, fingerprint, regions_of_all
from r2i.endpoint.base import Picture
from r2i.endpoint.pictures import read_images
from r2i.mini.world import render_scene
from stages.crop import main

ROOT = Path(__file__).parents[2]
MINI = {"method": "contours", "min_side": 16, "per_image": 6}
CUT = Cut(margin=0.08, square=True)
CFG = Crop.model_validate(MINI)
RAY = Crop.model_validate(MINI | {"executor": "ray"})


class Jpeg:
    """A picture in memory; one of the deeds below happens when it is read."""

    def __init__(self, data: bytes, deed: Callable[[], None] | None = None) -> None:
        self.data, self.deed = data, deed

    def load(self) -> bytes:
        if self.deed:
            self.deed()
        return self.data


def scenes(count: int, first: int = 0) -> dict[str, Jpeg]:
    made = [jpeg_bytes(render_scene(np.random.default_rng(first + n)).image) for n in range(count)]
    return {sha256(data): Jpeg(data) for data in made}


def table(folder: Path, pictures: Any, cfg: Crop, state: Path) -> dict[str, bytes]:
    """The region table's files after a run over `pictures`, or what the function `pictures` opens."""
    with regions_of_all(pictures if callable(pictures) else partial(dict, pictures), cfg, CUT, state=state) as done:
        write_table(folder, done.rows(), records.REGIONS, cfg.shards)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def statuses(pictures: Mapping[str, Jpeg], cfg: Crop, state: Path) -> Counter[tuple[str, str]]:
    with regions_of_all(partial(dict, pictures), cfg, CUT, state=state) as done:
        rows = done.rows()
    assert {row["image_id"] for row in rows} == set(pictures)
    return Counter((row["status"], row["reason"]) for row in rows)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image came before the finder."""
    seen: Counter[str] = Counter()
    make = worker.make_finder

    def counting(cfg: Crop, cut: Cut, listings: Any = None) -> Callable[..., Any]:
        finder = make(cfg, cut, listings)

        def find(image_id: str, image: Any) -> Any:
            seen[image_id] += 1
            return finder(image_id, image)

        return find

    monkeypatch.setattr(worker, "make_finder", counting)
    return seen


# No image twice


def test_a_hundred_new_images_cost_a_hundred_images(tmp_path: Path, looked_at: Counter[str]) -> None:
    old, new = scenes(6), scenes(3, first=6)
    table(tmp_path / "first", old, CFG, tmp_path)
    table(tmp_path / "second", old | new, CFG, tmp_path)
    assert looked_at == dict.fromkeys(old | new, 1)


def test_a_table_from_kept_images_is_the_same_to_the_byte(tmp_path: Path) -> None:
    pictures = scenes(8)
    fresh = table(tmp_path / "fresh", pictures, CFG, tmp_path / "a")
    table(tmp_path / "half", dict(list(pictures.items())[::2]), CFG, tmp_path / "b")
    assert table(tmp_path / "whole", pictures, CFG, tmp_path / "b") == fresh


@pytest.mark.parametrize("change", [{"min_score": 0.9}, {"quality": 90}, {"upscale": 3}, {"min_side": 17}])
def test_a_param_that_changes_rows_starts_afresh(change: Row) -> None:
    of_cut = change.keys() & Cut.model_fields.keys()
    params, cut = (CFG, CUT.model_copy(update=change)) if of_cut else (Crop.model_validate(MINI | change), CUT)
    assert fingerprint(params, cut) != fingerprint(CFG, CUT)


def test_how_it_is_run_and_how_it_is_stored_change_nothing() -> None:
    assert fingerprint(Crop.model_validate(MINI | {"executor": "ray", "shards": 7}), CUT) == fingerprint(CFG, CUT)


def test_another_checkpoint_in_the_same_file_starts_afresh(tmp_path: Path) -> None:
    file = tmp_path / "sam.pt"
    cfg = Crop.model_validate(MINI | {"method": "sam2", "sam2_model": str(file)})
    prints = set()
    for content in (b"one", b"two"):
        file.write_bytes(content)
        prints.add(fingerprint(cfg, CUT))
    assert len(prints) == 2


def test_comments_and_docstrings_of_the_rules_change_nothing_their_code_does() -> None:
    plain = 'def f(x):\n    "Doc."\n    return x < 3\n'
    assert meaning(plain) == meaning('# why\ndef f(x):\n    "Other words."\n\n    return x<3  # so\n')
    assert meaning(plain) != meaning(plain.replace("<", "<="))
    files = {path.rpartition("/")[2] for path in code_digests(WORKER)}
    assert {"regions.py", "contours.py", "worker.py", "boxes.py", "images.py"} <= files


def test_an_image_of_which_the_teacher_lists_other_objects_is_another_image(
    tmp_path: Path, looked_at: Counter[str]
) -> None:
    pictures = scenes(2)
    first, second = pictures
    for listings in ({first: "a cup", second: "a key"}, {first: "a cup", second: "a pen"}):
        with regions_of_all(partial(dict, pictures), CFG, CUT, listings, tmp_path):
            pass
    assert looked_at == {first: 1, second: 2}


def test_failures_are_tried_again_and_what_is_done_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = scenes(3)
    bad = list(pictures)[1]
    make = worker.make_finder

    def failing(cfg: Crop, cut: Cut, listings: Any = None) -> Callable[..., Any]:
        def find(image_id: str, image: Any) -> Any:
            if image_id == bad:
                raise RuntimeError("CUDA out of memory")
            return make(cfg, cut, listings)(image_id, image)

        return find

    monkeypatch.setattr(worker, "make_finder", failing)
    assert statuses(pictures, CFG, tmp_path)["failed", "segmenter_error"] == 1
    monkeypatch.setattr(worker, "make_finder", make)
    assert ("failed", "segmenter_error") not in statuses(pictures, CFG, tmp_path)


def test_a_defect_in_the_rules_is_no_failed_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[Row]:
        raise ZeroDivisionError

    monkeypatch.setattr(worker, "find_regions_of", broken)
    with pytest.raises(ZeroDivisionError):
        statuses(scenes(1), CFG, tmp_path)


# The stage, with a teacher

OBJECTS = {"the cup": [10, 10, 300, 300], "the key": [600, 100, 900, 400], "the pen": [200, 600, 500, 950]}


def test_the_teacher_is_asked_first_and_a_second_run_finds_all_of_it_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: Counter[str]
) -> None:
    found = [{"bbox_2d": box, "label": label} for label, box in OBJECTS.items()]
    teacher = FakeModel(lambda request, sample: json.dumps({"objects": found}))
    monkeypatch.setattr(r2i.endpoint, "connect", connecting(teacher))
    monkeypatch.chdir(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    crop = {"method": "teacher+sam2", "teacher": {}, "min_score": 0.0, "max_area_share": 1.0}
    params["profiles"]["mini"]["crop"] = crop | {"min_side": 4, "per_image": 3} | make_checkpoint(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    images = [picture.data for picture in scenes(3).values()]
    size = {"width": 128, "height": 128, "status": "ok", "reason": ""}
    rows = [{"image_id": sha256(data), "image": data, **size} for data in images]
    write_table(paths.IMAGES, [dict.fromkeys(records.IMAGES.names) | row for row in rows], records.IMAGES)
    for asked in (3, 6):
        main(Path("params.yaml"))
        assert len(teacher.asked) == asked  # of a fake without a store; it is the finder that is not called again
        assert looked_at == {sha256(data): 1 for data in images}
    regions = read_table(paths.REGIONS, records.REGIONS, "crop")
    kept = [row for row in regions if row["status"] == "ok"]
    assert kept and all(row["mask"] and row["listing"] and row["name"] in OBJECTS for row in kept)
    assert json.loads(paths.metrics("crop").read_text())["calls"]["fake"]["requests"] == 3


# What is kept


def row(name: str, crop: bytes | None = b"jpeg") -> Row:
    empty = dict.fromkeys(records.REGIONS.names)
    status = {"status": "ok", "reason": ""} if crop else {"status": "rejected", "reason": "too_small"}
    return empty | {"region_id": f"{name}-1", "image_id": name, "score": 0.1 + 0.2, "crop": crop} | status


def keep(folder: Path, *names: str) -> Path:
    with FinishedImages(folder, names) as done:
        for name in names:
            done.add(pack(name, [row(name)]))
    return done.path


def found(folder: Path, *names: str) -> list[str]:
    with FinishedImages(folder, names) as done:
        assert all(dict(kept.items()) == row(kept["image_id"]) for kept in done.rows())
        return sorted(kept["image_id"] for kept in done.rows())


def test_rows_come_back_as_they_were_and_only_those_that_are_wanted(tmp_path: Path) -> None:
    keep(tmp_path, "a", "b", "c")
    assert found(tmp_path, "a", "c", "d") == ["a", "c"]
    with FinishedImages(tmp_path, ["e"]) as done:
        done.add(pack("e", [row("e"), row("e", crop=None) | {"region_id": "e-2"}]))
        assert [kept["crop"] for kept in done.rows()] == [b"jpeg", None]


def test_a_torn_file_costs_its_last_image_wherever_it_is_torn(tmp_path: Path) -> None:
    path = keep(tmp_path, "a", "b")
    whole = path.read_bytes()
    one = len(pack("a", [row("a")]))
    for size in [one, one + 1, one + HEAD.size, one + HEAD.size + 9, len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert found(tmp_path, "a", "b") == ["a"]


def test_a_damaged_record_costs_itself_and_what_follows_in_its_file(tmp_path: Path) -> None:
    path = keep(tmp_path, "a", "b", "c")
    keep(tmp_path, "d")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert found(tmp_path, "a", "b", "c", "d") == ["a", "d"]


def test_a_full_disk_says_so_and_that_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with FinishedImages(tmp_path / "file", ["a"]) as done, pytest.raises(R2IError, match="can't be kept") as caught:
        done.add(pack("a", [row("a")]))
    assert "run again" in caught.value.remedy


def test_what_no_run_has_used_for_two_weeks_is_removed(tmp_path: Path) -> None:
    used, unused, other = (keep(tmp_path / folder, name) for folder, name in (("x", "a"), ("x", "b"), ("y", "c")))
    long_ago = time.time() - (finished.KEEP_DAYS + 1) * 86400
    for path in (used, unused, other, tmp_path / "y"):
        os.utime(path, (long_ago, long_ago))
    assert found(tmp_path / "x", "a") == ["a"]  # in use from here on
    remove_unused(tmp_path)
    assert used.exists() and not unused.exists() and not other.exists()


def test_crops_stay_on_disk_until_they_are_written(tmp_path: Path) -> None:
    import tracemalloc

    with FinishedImages(tmp_path, map(str, range(200))) as done:
        tracemalloc.start()
        for n in range(200):
            done.add(pack(str(n), [row(str(n), crop=os.urandom(500_000))]))  # 100 MB in all
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(done.rows()) == 200
    assert peak < 5e6


# kill -9

DRIVER = """
import sys, time
from functools import partial
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_crop_run as t
from r2i.crop import worker
make = worker.make_finder
def slow(cfg, cut, listings=None):
    finder = make(cfg, cut, listings)
    def find(image_id, image):
        with open("calls", "a") as file:
            file.write(image_id + "\\n")
        time.sleep(0.03)
        return finder(image_id, image)
    return find
worker.make_finder = slow
t.table(Path("regions"), t.scenes(30), t.CFG, Path("state"))
"""


def test_kill_9_at_any_moment_costs_the_image_in_flight_and_no_byte(tmp_path: Path) -> None:
    expected = table(tmp_path / "expected", scenes(30), CFG, tmp_path / "other")
    moments = random.Random(5)
    kills = 0
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    for _ in range(40):
        command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent)]
        run = subprocess.Popen(command, cwd=tmp_path, env=env)
        before = calls(tmp_path)
        while kills < 5 and calls(tmp_path) == before and run.poll() is None:
            time.sleep(0.01)  # until it has found its way to the images
        try:
            code = run.wait(moments.uniform(0.0, 0.25) if kills < 5 else 60)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            kills += run.wait() == -signal.SIGKILL
            continue
        assert code == 0
        break
    assert kills == 5
    counts = Counter((tmp_path / "calls").read_text().split())
    assert len(counts) == 30
    assert counts.total() <= 30 + kills  # one image was in flight at each kill
    assert {path.name: path.read_bytes() for path in (tmp_path / "regions").iterdir()} == expected


def calls(folder: Path) -> int:
    path = folder / "calls"
    return path.stat().st_size if path.exists() else 0


# Ray


@pytest.fixture
def ray() -> Any:
    """Ray, told to send what this file defines to workers as it is: they can't import it."""
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return ray


def test_ray_writes_the_same_bytes_and_leaves_no_ray_behind(
    tmp_path: Path, ray: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    embedded = write_images(tmp_path / "embedded", 40, refer=False)
    referring = write_images(tmp_path / "referring", 40, refer=True)
    local = table(tmp_path / "local", embedded, CFG, tmp_path / "a")
    assert table(tmp_path / "ray", referring, RAY, tmp_path / "b") == local
    assert b"truncated" in b"".join(local.values())  # the torn one is a row in both
    assert not ray.is_initialized()
    assert "usage" not in capfd.readouterr().err.lower()


def write_images(folder: Path, count: int, refer: bool) -> Callable[[], Mapping[str, Picture]]:
    """`count` scenes and a torn one as `sample` leaves them, in the table or in a pool that it refers to."""
    (folder / "pool").mkdir(parents=True)
    data = [picture.data for picture in scenes(count).values()]
    rows = []
    for number, jpeg in enumerate([*data, data[0][: len(data[0]) // 2]]):
        (folder / "pool" / f"{number}.jpg").write_bytes(jpeg)
        reference = {"pool": "photos", "member": f"{number}.jpg", "size": len(jpeg)}
        given = {"image_id": sha256(jpeg), "image": None if refer else jpeg, "status": "ok", "reason": ""}
        rows.append(dict.fromkeys(records.IMAGES.names) | reference | given)
    write_table(folder / "images", rows, records.IMAGES, shards=2)
    photos = Photos([Pool(kind="folder", name="photos", path=str(folder / "pool"))])
    return partial(read_images, photos, folder=folder / "images")


def test_a_table_that_refers_to_its_pool_gives_the_pictures_that_it_would_hold(tmp_path: Path) -> None:
    held = write_images(tmp_path / "embedded", 5, refer=False)()
    found = write_images(tmp_path / "referring", 5, refer=True)()
    assert {name: picture.load() for name, picture in found.items()} == {n: p.load() for n, p in held.items()}
    assert len(found) == 6
    (tmp_path / "referring" / "pool" / "0.jpg").unlink()
    gone = next(name for name, picture in held.items() if picture.load() == next(iter(scenes(1).values())).data)
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
def test_on_a_cluster_an_image_that_kills_its_workers_is_a_row_and_an_error_ends_the_run(
    tmp_path: Path, ray: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def refuse() -> None:
        raise R2IError("the pool is gone", "mount it")

    pictures = {name: Jpeg(picture.data) for name, picture in scenes(24).items()}
    deadly = list(pictures)[9]
    expected = statuses({name: p for name, p in pictures.items() if name != deadly}, CFG, tmp_path / "local")
    with cluster(2) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        pictures[deadly].deed = die
        assert statuses(pictures, RAY, tmp_path / "ray") == expected + Counter({("failed", "segmenter_died"): 1})
        pictures[deadly].deed = refuse
        with pytest.raises(R2IError) as caught:
            statuses(pictures, RAY, tmp_path / "ray")
        assert (caught.value.cause, caught.value.remedy) == ("the pool is gone", "mount it")
        assert not ray.is_initialized()
