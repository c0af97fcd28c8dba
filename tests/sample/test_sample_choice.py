"""Mixes of pools: shares, how little a sample changes with its pools, and hashes that are known from before."""

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from PIL import Image
from sample.hostile import jpeg
from test_sample import choose_from, ids, reasons, run_in, settings
from test_sample_pools import chosen, pool, write_sa1b

from r2i.core import paths, records
from r2i.core.images import jpeg_bytes, sha256
from r2i.core.params import Pool, Sample
from r2i.core.photos import REFERENCE, Photos
from r2i.core.spool import TarSpool
from r2i.core.tables import iter_rows, read_table
from r2i.importing.hash_cache import HashCache
from r2i.sample import inspection, pools
from r2i.sample.choose import ALL_POOLS, choose_images, make_quotas, rank, summarise
from r2i.sample.pools import Offer, list_offers


def three_pools(folder: Path, shares: tuple[float | None, ...]) -> list[Pool]:
    (folder / "photos").mkdir(exist_ok=True)
    for number in range(8):
        (folder / "photos" / f"{number}.jpg").write_bytes(jpeg(number))
    write_sa1b(folder / "a.tar", range(100, 108))
    pq.write_table(pa.table({"image": [jpeg(number) for number in range(200, 208)]}), folder / "a.parquet")
    kinds = {"folder": "photos", "tar": "a.tar", "parquet": "a.parquet"}
    return [
        Pool(kind=kind, name=kind, path=str(folder / path), share=share)  # type: ignore[arg-type]
        for (kind, path), share in zip(kinds.items(), shares, strict=True)
    ]


def test_shares_are_parts_of_the_sample(tmp_path: Path) -> None:
    # 2 : 1 : 1 of 10 is 5, 2.5 and 2.5: the remainders are equal, the pool named first gets one more
    of = three_pools(tmp_path, (2, 1, 1))
    offers = [offer for each in of for offer in list_offers(each, 0)]
    choice = choose_from(offers, settings(pools=of, images=10))
    assert summarise(offers, choice)["pools"] == {
        "folder": {"offered": 8, "ok": 5},
        "tar": {"offered": 8, "ok": 3},
        "parquet": {"offered": 8, "ok": 2},
    }
    assert (len(choice.rows), choice.not_needed) == (10, 14)


def test_without_shares_all_pools_are_one(tmp_path: Path) -> None:
    of = three_pools(tmp_path, (None, None, None))
    offers = [offer for each in of for offer in list_offers(each, 0)]
    choice = choose_from(offers, settings(pools=of, images=10))
    assert [row["image_id"] for row in choice.rows] == [offer.image_id for offer in rank(offers, 0)[:10]]


def test_a_pool_that_is_too_small_leaves_its_part_empty(tmp_path: Path) -> None:
    choice = chosen(*three_pools(tmp_path, (10, 1, 1)), images=24)  # parts: 20, 2, 2; the folder has 8
    assert [sum(row["pool"] == name for row in choice.rows) for name in ("folder", "tar", "parquet")] == [8, 2, 2]


def test_a_picture_of_two_pools_is_used_once_and_counts_for_the_one_that_has_room(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.jpg").write_bytes(jpeg(number))
    of = [Pool(kind="folder", name=name, path=str(tmp_path / name), share=1) for name in ("a", "b")]
    choice = chosen(*of, images=4)
    assert len(ids(choice)) == 4
    assert [sum(row["pool"] == name and row["status"] == "ok" for row in choice.rows) for name in "ab"] == [2, 2]


@given_settings(deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=6), st.integers(1, 10_000))
def test_parts_add_up_and_are_at_most_one_off(shares: list[float], images: int) -> None:
    of = [Pool(kind="folder", name=str(number), path="x", share=share) for number, share in enumerate(shares)]
    parts = make_quotas(of, images)
    assert sum(parts.values()) == images
    for each in of:
        assert abs(parts[each.name] - images * (each.share or 0) / sum(shares)) < 1 + 1e-6
    assert make_quotas([Pool(kind="folder", name="x", path="x")], images) == {ALL_POOLS: images}


def test_the_stage_refers_to_every_kind_of_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = three_pools(tmp_path, (1, 1, 1))
    rendered = Pool(kind="rendered", name="scenes", scenes=3, share=1)
    sections = [each.model_dump(exclude_none=True) for each in (*of, rendered)]
    run_in(tmp_path, monkeypatch, sections, images=12, min_side=32, embed=False)
    rows = read_table(paths.IMAGES, records.IMAGES, "sample")
    assert {(row["pool"], row["image"] is None) for row in rows} == {
        ("folder", True), ("tar", True), ("parquet", True), ("scenes", False),
    }  # fmt: skip
    found = list(Photos(of).filled(iter_rows(paths.IMAGES, records.IMAGES, "sample", list(REFERENCE))))
    assert len(found) == 12
    assert all(sha256(row["image"]) == row["image_id"] for row in found)  # plain JPEGs, as they were
    assert (tmp_path / ".r2i" / "pools.sqlite").is_file()
    assert [path.name for path in (tmp_path / "data" / "sample").iterdir()] == ["images"]


# The bound


def offer_of(number: int) -> Offer:
    return Offer(sha256(str(number).encode()), "p", str(number))


@given_settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 20), st.integers(1, 40), st.integers(0, 9))
def test_adding_m_images_moves_at_most_m_of_the_sample(n: int, m: int, k: int, seed: int) -> None:
    before = {offer.source for offer in rank(map(offer_of, range(n)), seed)[:k]}
    after = {offer.source for offer in rank(map(offer_of, range(n + m)), seed)[:k]}
    assert len(before - after) <= len(after - before) <= min(k, m)
    assert after - before <= {offer_of(number).source for number in range(n, n + m)}  # newcomers, nothing else


def test_adding_m_to_n_moves_k_m_over_n_plus_m_of_k_on_average() -> None:
    n, m, k = 30, 10, 8  # 8 * 10 / 40 = 2; the mean of 2000 draws is off by 0.03 (standard error)
    moved = []
    for seed in range(2000):
        first = {offer.source for offer in rank(map(offer_of, range(n + m)), seed)[:k]}
        moved.append(len(first & {offer_of(number).source for number in range(n, n + m)}))
    assert abs(np.mean(moved) - 2) < 0.12


def test_removing_an_image_that_was_not_chosen_changes_nothing(tmp_path: Path) -> None:
    of = three_pools(tmp_path, (None, None, None))[0]
    before = chosen(of, images=4)
    names = {row["member"] for row in before.rows}
    for path in Path(of.path or "").iterdir():
        if path.name not in names:
            path.unlink()
            after = chosen(of, images=4)
            assert after.rows == before.rows


# Hashes that are known


def listed(of: Pool, at: Path) -> list[Offer]:
    with HashCache(at) as known:
        return list(list_offers(of, 0, known))


def test_a_file_is_hashed_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = pools.read_entries
    monkeypatch.setattr(pools, "read_entries", lambda path, *more: read.append(Path(path).name) or whole(path, *more))
    for of in three_pools(tmp_path, (None, None, None)):
        at = tmp_path / "state" / "pools.sqlite"
        first = listed(of, at)
        count = len(read)
        assert count == (8 if of.kind == "folder" else 1)
        assert listed(of, at) == first and len(read) == count
        changed = next(Path(of.path or "").glob("3.jpg"), Path(of.path or ""))
        os.utime(changed, ns=(0, 1))
        assert listed(of, at) == first and read[count:] == [changed.name]
        read.clear()


def test_an_image_is_decoded_once_for_the_same_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A torn one and one that is too small, too; a new image is decoded alone, and other rules decode all."""
    seen: list[str] = []
    whole = inspection.inspect_bytes
    monkeypatch.setattr(inspection, "inspect_bytes", lambda *given: seen.append("") or whole(*given))
    folder = tmp_path / "pool"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.jpg").write_bytes(jpeg(number))
    (folder / "torn.jpg").write_bytes(jpeg(4)[:-200])
    (folder / "small.jpg").write_bytes(jpeg_bytes(Image.new("RGB", (8, 8))))
    jpeg_pool = pool("folder", folder)

    def chosen(**changes: Any) -> tuple[Any, int]:
        params = Sample(pools=[jpeg_pool], images=9, min_side=16, workers=1, embed=False).model_copy(update=changes)
        seen.clear()
        with HashCache(tmp_path / "state.sqlite") as cache, TarSpool(tmp_path) as spool:
            rows = choose_images(list(list_offers(jpeg_pool, 0, cache)), params, 0, spool, cache).rows
        return rows, len(seen)

    first, decoded = chosen()
    assert decoded == 5 and {row["reason"] for row in first} == {"", "truncated", "too_small"}
    assert chosen() == (first, 0)
    (folder / "new.jpg").write_bytes(jpeg(9))
    assert chosen()[1] == 1
    assert chosen(min_side=17)[1] == 6


def test_another_column_of_a_file_is_another_pool(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [jpeg(1)], "b": [jpeg(2)]}), tmp_path / "x.parquet")
    at = tmp_path / "pools.sqlite"
    found = [listed(pool("parquet", tmp_path, column=name), at)[0].image_id for name in ("a", "b", "a")]
    assert found == [sha256(jpeg(1)), sha256(jpeg(2)), sha256(jpeg(1))]


@pytest.mark.parametrize("damage", ["text", "folder", "rows"])
def test_a_damaged_database_is_noted_and_done_without(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of = three_pools(tmp_path, (None, None, None))[1]
    at = tmp_path / "pools.sqlite"
    whole = listed(of, at)
    if damage == "rows":
        with sqlite3.connect(at) as db:
            db.execute("UPDATE files_1 SET entries = x'00'")
    else:
        at.unlink()
        at.mkdir() if damage == "folder" else at.write_text("not a database at all, but long enough to be one" * 50)
    capsys.readouterr()
    assert listed(of, at) == whole
    assert "delete it if it is damaged" in capsys.readouterr().err


def test_processes_beside_each_other_share_the_database(tmp_path: Path) -> None:
    of = three_pools(tmp_path, (None, None, None))
    at = tmp_path / "pools.sqlite"
    found: list[list[Offer]] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(listed(each, at))) for each in of for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    with sqlite3.connect(at) as db:
        assert db.execute("SELECT count(*) FROM files_1").fetchone() == (10,)  # 8 files, a tar, a Parquet file


def test_a_file_that_changed_behind_its_size_and_time_is_a_row(tmp_path: Path) -> None:
    of = three_pools(tmp_path, (None, None, None))[0]
    at = tmp_path / "pools.sqlite"
    listed(of, at)
    path = Path(of.path or "") / "3.jpg"
    stat = path.stat()
    path.write_bytes(path.read_bytes()[:-2] + b"xx")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    choice = choose_from(listed(of, at), settings(pools=[of]))
    assert reasons(choice)["folder/3.jpg"] == ("failed", "changed")
