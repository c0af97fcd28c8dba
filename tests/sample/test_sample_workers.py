"""Processes that look at pictures: the same rows however many there are, and a clean end whatever happens."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from sample.hostile import encoded, jpeg, picture
from test_sample import ROOT, choose_from, pool_of, settings

from r2i.core.errors import R2IError
from r2i.core.images import perceptual_hash, read_image
from r2i.core.params import Pool
from r2i.sample import workers
from r2i.sample.inspection import HASH_SIDE, inspect_bytes
from r2i.sample.pools import list_offers
from r2i.sample.workers import AHEAD, InspectionPool


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(120):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    (folder / "text.jpg").write_text("no image")
    return folder


def test_the_number_of_workers_changes_nothing(folder: Path) -> None:
    pool = pool_of(folder)
    offers = list(list_offers(pool, 0))
    one, three = (choose_from(offers, settings(pools=[pool], images=70, workers=number)) for number in (1, 3))
    assert len(offers) > workers.MIN_IMAGES and one == three
    assert (len(one.rows) >= 70, len(one.rows) + one.not_needed) == (True, 121)


def test_few_are_looked_at_that_are_not_taken(folder: Path) -> None:
    pool = pool_of(folder)
    cfg = settings(pools=[pool], images=5, workers=2)
    offers = list(list_offers(pool, 0))
    asked: list[str] = []

    def task(offer: workers.Offer) -> workers.InspectionTask:
        asked.append(offer.source)
        return workers.InspectionTask(offer.image_id, offer.pool, offer.member, None, None, None, False)

    with InspectionPool(cfg, len(offers), task) as processes:
        for number, (offer, inspect) in enumerate(processes.inspect_in_order(offers, lambda _: True)):
            assert inspect().reason == ("unreadable" if "text" in offer.source else "")
            if number == 4:
                break
    assert asked == [offer.source for offer in offers[: 5 + 2 * AHEAD]]


def test_a_killed_process_is_an_error_with_a_remedy(folder: Path) -> None:
    pool = pool_of(folder)
    offers = list(list_offers(pool, 0))
    cfg = settings(pools=[pool], workers=2)

    def task(offer: workers.Offer) -> workers.InspectionTask:
        return workers.InspectionTask(offer.image_id, offer.pool, offer.member, None, None, None, False)

    with (
        pytest.raises(R2IError, match="was killed, near photos/") as caught,
        InspectionPool(cfg, 100, task) as processes,
    ):
        for number, (_, inspect) in enumerate(processes.inspect_in_order(offers, lambda _: True)):
            inspect()
            if number == 10:
                assert processes.pool
                os.kill(next(iter(processes.pool._processes)), signal.SIGKILL)
    assert "sample.workers" in caught.value.remedy


def start_stage(at: Path, folder: Path) -> subprocess.Popen[str]:
    """The stage over many copies of each picture: it takes some seconds."""
    (at / "big").mkdir()
    for number in range(1500):
        (at / "big" / f"{number}.jpg").write_bytes((folder / f"{number % 120}.jpg").read_bytes() + b"%d" % number)
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["profile"] = "smoke"
    pools = [Pool(kind="folder", name="photos", path="big").model_dump(exclude_none=True)]
    values["profiles"]["smoke"]["sample"] |= {"pools": pools, "images": 1500, "min_side": 32, "workers": 2}
    (at / "params.yaml").write_text(yaml.safe_dump(values))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = str(ROOT / "stages" / "sample.py")
    return subprocess.Popen(
        [sys.executable, script], cwd=at, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def group(leader: int) -> set[int]:
    """Live processes of the stage's group, itself included."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] != "Z":
            found.add(int(path.parent.name))
    return found


def wait_for(condition: object, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are counted in /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stage_that_is_stopped_takes_its_processes_with_it(tmp_path: Path, folder: Path, how: signal.Signals) -> None:
    stage = start_stage(tmp_path, folder)
    assert wait_for(lambda: len(group(stage.pid)) >= 4)  # itself, two workers, those that start and watch them
    time.sleep(0.4)
    if how == signal.SIGINT:
        os.killpg(stage.pid, how)  # as a terminal does
    else:
        stage.send_signal(how)
    _, said = stage.communicate(timeout=20)
    assert wait_for(lambda: not group(stage.pid), 5), group(stage.pid)
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("*.parquet"))
    if how == signal.SIGINT:
        assert stage.returncode == 130


def test_a_reduced_decode_moves_a_hash_by_fewer_bits_than_near_duplicates_may_differ() -> None:
    moved = []
    for number in range(12):
        image = picture(number, 4 * HASH_SIDE + number, 3 * HASH_SIDE)
        data = encoded(image, "JPEG", quality=88)
        found = inspect_bytes(data, settings(), return_jpeg=False)
        assert (found.width, found.height) == image.size
        moved.append((int(found.phash or "", 16) ^ int(perceptual_hash(read_image(data)), 16)).bit_count())
    assert max(moved) <= 2 and sorted(moved)[6] == 0  # as recompression does
