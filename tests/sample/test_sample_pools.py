"""Tars and Parquet files: only images are offered, and every broken one is a row or a clear error."""

import io
import os
import tarfile
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample.hostile import encoded, jpeg, picture
from test_sample import choose_from, ids, reasons, settings

from r2i.core.errors import R2IError
from r2i.core.images import sha256
from r2i.core.params import Pool
from r2i.sample.choose import Selection
from r2i.sample.files import read_entries
from r2i.sample.pools import list_offers


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))


def write_sa1b(path: Path, numbers: range, mode: str = "w") -> None:
    """JPEGs and JSON side by side, as SA-1B's shards hold them."""
    with tarfile.open(path, mode) as tar:
        for number in numbers:
            add(tar, f"./sa_{number}.jpg", jpeg(number))
            add(tar, f"./sa_{number}.json", b'{"annotations": []}')


def pool(kind: str, path: Path, **more: object) -> Pool:
    return Pool.model_validate({"kind": kind, "name": "shards", "path": str(path)} | more)


def chosen(*of: Pool, images: int = 100, **changes: object) -> Selection:
    offers = [offer for each in of for offer in list_offers(each, 0)]
    return choose_from(offers, settings(pools=list(of), images=images, **changes))


def members(choice: Selection) -> dict[str, tuple[str, str]]:
    return {source.removeprefix("shards/"): row for source, row in reasons(choice).items()}


# tar


def test_of_a_tar_only_the_images_are_offered(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "a.tar", range(3))
    choice = chosen(pool("tar", tmp_path))
    assert members(choice) == {f"a.tar!./sa_{number}.jpg": ("ok", "") for number in range(3)}
    assert ids(choice) == {sha256(jpeg(number)) for number in range(3)}


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_tars_hold_the_same_images(tmp_path: Path, mode: str) -> None:
    write_sa1b(tmp_path / "a.tar", range(3))
    write_sa1b(tmp_path / f"b.tar.{mode[2:]}", range(3), mode)
    plain, packed = (chosen(pool("tar", path)) for path in sorted(tmp_path.iterdir()))
    assert [row["image"] for row in plain.rows] == [row["image"] for row in packed.rows]


def test_images_are_told_by_content_or_by_name_and_a_broken_one_is_a_row(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "no-name", jpeg(1))
        add(tar, "webp", encoded(picture(2), "WEBP"))
        add(tar, "broken.jpg", b"404 not found")
        add(tar, "empty.png", b"")
        add(tar, "notes.txt", b"not an image")
        add(tar, "cls", b"7")
    assert members(chosen(pool("tar", tmp_path))) == {
        "a.tar!no-name": ("ok", ""),
        "a.tar!webp": ("ok", ""),
        "a.tar!broken.jpg": ("failed", "unreadable"),
        "a.tar!empty.png": ("failed", "unreadable"),
    }


def test_paths_that_lead_out_of_a_tar_are_only_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as tar:
        add(tar, "/etc/passwd.jpg", jpeg(1))
        add(tar, "../../out.jpg", jpeg(2))
        for kind, name in ((tarfile.SYMTYPE, "link.jpg"), (tarfile.LNKTYPE, "hard.jpg"), (tarfile.DIRTYPE, "d.jpg")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    found = members(chosen(pool("tar", tmp_path / "in")))
    assert found == {
        "a.tar!/etc/passwd.jpg": ("ok", ""),
        "a.tar!../../out.jpg": ("ok", ""),
        "a.tar!link.jpg": ("failed", "unreadable"),
        "a.tar!hard.jpg": ("failed", "unreadable"),
    }
    assert [path.name for path in tmp_path.rglob("*")] == ["in", "a.tar"]


def test_equal_names_and_equal_members_are_rows_of_their_own(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in (1, 1, 2):
            add(tar, "same.jpg", jpeg(number))
    choice = chosen(pool("tar", tmp_path))
    assert sorted(members(choice).values()) == [("ok", ""), ("ok", ""), ("rejected", "duplicate")]
    assert len({row["image_id"] for row in choice.rows}) == 3


def test_a_name_that_looks_like_a_numbered_one_is_a_row_of_its_own(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number, name in enumerate(("a.jpg", "a.jpg", "a.jpg#2", "a.jpg", "a.jpg#2#2")):
            add(tar, name, jpeg(number))
    choice = chosen(pool("tar", tmp_path))
    assert sorted(members(choice)) == [f"a.tar!a.jpg{end}" for end in ("", "#2", "#2#2", "#2#2#2", "#3")]
    assert {row["status"] for row in choice.rows} == {"ok"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_and_sparse_members_of_a_tar_do_not_vanish(tmp_path: Path, mode: str) -> None:
    with tarfile.open(tmp_path / f"a.tar{'.gz' if mode != 'w' else ''}", mode) as tar:
        add(tar, "deep/one.jpg", jpeg(1))
        add(tar, "notes.txt", b"none")
        for kind, name, target in (
            (tarfile.LNKTYPE, "hard.jpg", "deep/one.jpg"), (tarfile.SYMTYPE, "deep/soft.jpg", "one.jpg"),
            (tarfile.SYMTYPE, "later.jpg", "./last.jpg"), (tarfile.LNKTYPE, "notes-again.txt", "notes.txt"),
            (tarfile.SYMTYPE, "a.jpg", "b.jpg"), (tarfile.SYMTYPE, "b.jpg", "a.jpg"),
            (tarfile.LNKTYPE, "chain", "hard.jpg"),
        ):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        sparse = tarfile.TarInfo("sparse.jpg")
        sparse.type, sparse.size = tarfile.GNUTYPE_SPARSE, 0
        tar.addfile(sparse)
        add(tar, "last.jpg", jpeg(2))
    choice = chosen(pool("tar", tmp_path))
    found = {name.partition("!")[2]: row for name, row in members(choice).items()}
    same = {found.pop(name) for name in ("deep/one.jpg", "hard.jpg", "deep/soft.jpg", "chain")}
    assert same == {("ok", ""), ("rejected", "duplicate")}
    assert {found.pop(name) for name in ("later.jpg", "last.jpg")} == {("ok", ""), ("rejected", "duplicate")}
    assert found == dict.fromkeys(("a.jpg", "b.jpg", "sparse.jpg"), ("failed", "unreadable"))
    assert sum(row["status"] == "ok" for row in choice.rows) == 2


def test_two_parquet_columns_of_one_name_are_refused_by_name(tmp_path: Path) -> None:
    column = pa.array([jpeg(1)], pa.binary())
    pq.write_table(pa.table([column, column], names=["image", "image"]), tmp_path / "a.parquet")
    with pytest.raises(R2IError, match="two columns 'image'"):
        chosen(pool("parquet", tmp_path))


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_tar_cut_anywhere_gives_its_whole_images_and_says_that_it_ends_early(tmp_path: Path, suffix: str) -> None:
    cut = tmp_path / f"a.{suffix}"
    write_sa1b(cut, range(4), "w:gz" if suffix == "tar.gz" else "w")
    data = cut.read_bytes()
    end = len(data.rstrip(b"\0"))
    counts = []
    for length in range(1, end, end // 30):
        cut.write_bytes(data[:length])
        rows = chosen(pool("tar", cut), min_side=1).rows
        reasons = [row["reason"] for row in rows if row["status"] != "ok"]
        good = len(rows) - len(reasons)
        assert reasons in (["truncated"], ["unreadable"]) or good == 4, length  # never a silent loss
        counts.append(good)
    assert counts == sorted(counts) and {0, 1, 2, 3} <= set(counts)


def test_a_torn_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "a.tar", range(4))
    data = bytearray((tmp_path / "a.tar").read_bytes())
    with tarfile.open(tmp_path / "a.tar") as tar:
        header = tar.getmembers()[4].offset
    data[header : header + 512] = b"x" * 512
    (tmp_path / "a.tar").write_bytes(data)
    found = members(chosen(pool("tar", tmp_path)))
    assert found.pop("a.tar") == ("failed", "truncated")
    assert sorted(found) == ["a.tar!./sa_0.jpg", "a.tar!./sa_1.jpg"]


def test_a_file_called_tar_that_is_none_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("<html>")
    os.mkfifo(tmp_path / "b.tar")
    (tmp_path / "c.tar").symlink_to("nowhere")
    write_sa1b(tmp_path / "d.tar", range(1))
    found = members(chosen(pool("tar", tmp_path)))
    assert found.pop("d.tar!./sa_0.jpg") == ("ok", "")
    assert found == {f"{name}.tar": ("failed", "unreadable") for name in "abc"}


# Parquet


def test_rows_of_a_parquet_file_without_image_are_rows(tmp_path: Path) -> None:
    values = [{"bytes": jpeg(1), "path": "1.jpg"}, None, {"bytes": None, "path": "2.jpg"}, {"bytes": b"x", "path": ""}]
    pq.write_table(pa.table({"photo": values}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("not parquet")
    assert members(chosen(pool("parquet", tmp_path, column="photo"))) == {
        "a.parquet!0": ("ok", ""),
        "a.parquet!1": ("failed", "unreadable"),
        "a.parquet!2": ("failed", "unreadable"),
        "a.parquet!3": ("failed", "unreadable"),
        "b.parquet": ("failed", "unreadable"),
    }


def test_a_missing_column_and_a_column_of_another_kind_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "jpg": [jpeg(1)]}), tmp_path / "a.parquet")
    with pytest.raises(R2IError, match=r"no column 'image'; set the pool's column to one of: text, jpg"):
        chosen(pool("parquet", tmp_path))
    with pytest.raises(R2IError, match=r"column 'text' of .* is string"):
        chosen(pool("parquet", tmp_path, column="text"))


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_missing_and_an_empty_pool_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(R2IError, match="'shards': no"):
        chosen(pool(kind, tmp_path / "none"))
    (tmp_path / "notes.txt").write_text("no images here")
    with pytest.raises(R2IError, match="'shards': no"):
        chosen(pool(kind, tmp_path))
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "a.parquet")
    with pytest.raises(R2IError, match="'shards': no image"):
        chosen(pool(kind, tmp_path))


def test_a_stopped_listing_does_not_read_a_shard_to_its_end(tmp_path: Path) -> None:
    write_sa1b(tmp_path / "a.tar", range(3))
    stop = threading.Event()
    assert len(read_entries(str(tmp_path / "a.tar"), pool("tar", tmp_path), stop)) == 3
    stop.set()
    assert read_entries(str(tmp_path / "a.tar"), pool("tar", tmp_path), stop) == []
