import os
import random
import resource
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
from endpoint.made_replies import made_key, made_record, noise, put

from r2i.core.errors import EndpointError
from r2i.core.images import file_sha256
from r2i.endpoint import archive as archive_module
from r2i.endpoint.archive import PREFIX, Archive, open_archive, segment_names
from r2i.endpoint.record import Record, own_sha256, write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.segments import MAX_BYTES, write_segments


def segment(folder: Path, *records: Record, limit: int = MAX_BYTES) -> list[Path]:
    """One segment (or as many as `limit` asks for) of `records`."""
    return write_segments(folder, sorted((record.key, write_record(record)) for record in records), limit)


def texts(archive: Archive | Store, number: int = 0) -> dict[int, str]:
    return {i: reply.text for i, reply in sorted(archive.find(made_key(number)).items())}


def test_what_was_archived_is_found_and_nothing_else(tmp_path: Path) -> None:
    (path,) = segment(tmp_path, *(made_record(number, {0: str(number), 2: "x"}) for number in range(50)))
    archive = Archive(tmp_path)
    for number in range(50):
        assert archive.find(made_key(number)) == made_record(number, {0: str(number), 2: "x"}).replies
        assert archive.holds(made_key(number))
    assert archive.find(made_key(50)) == {} and not archive.holds(made_key(50))
    near = made_key(0)[: 2 * PREFIX] + made_key(1)[2 * PREFIX :]
    assert archive.find(near) == {}, "a key that only begins alike is another"
    assert [name for name, _ in archive.records(made_key(0))] == [path.name]


def test_a_segment_is_named_by_its_bytes_and_the_same_records_make_the_same_bytes(tmp_path: Path) -> None:
    records = [made_record(number) for number in range(200)]
    (one,), (other,) = segment(tmp_path / "a", *records), segment(tmp_path / "b", *reversed(records))
    assert one.name == other.name == f"{file_sha256(one)}.sqlite"
    assert [path.name for path in one.parent.iterdir()] == [one.name]


def test_segments_stay_below_their_limit(tmp_path: Path) -> None:
    """Records from a line to several pages, and one that is larger than a page many times over."""
    draw = random.Random(0)
    sizes = [draw.choice([10, 500, 3_000, 20_000, 60_000]) for _ in range(120)]
    records = [made_record(number, {0: noise(number, size)}) for number, size in enumerate(sizes)]
    paths = segment(tmp_path, *records, limit=700_000)
    assert len(paths) > 2
    assert all(path.stat().st_size <= 700_000 for path in paths)
    archive = Archive(tmp_path)
    assert all(archive.find(record.key) == record.replies for record in records)


def test_a_record_that_is_larger_than_the_limit_has_a_segment_of_its_own(tmp_path: Path) -> None:
    paths = segment(tmp_path, *(made_record(number, {0: noise(number, 400_000)}) for number in range(3)), limit=150_000)
    assert len(paths) == 3
    assert texts(Archive(tmp_path), 1) == {0: noise(1, 400_000)}


def test_of_two_labs_replies_the_record_with_the_smaller_hash_counts_whatever_the_order(tmp_path: Path) -> None:
    ours, theirs = made_record(0, {0: "four", 1: "4"}), made_record(0, {0: "five", 2: "5"})
    first, second = sorted((ours, theirs), key=lambda record: own_sha256(write_record(record)))
    expected = {i: reply.text for i, reply in {**second.replies, **first.replies}.items()}
    for name, order in {"a": (ours, theirs), "b": (theirs, ours)}.items():
        for record in order:
            segment(tmp_path / name, record)
        assert texts(Archive(tmp_path / name)) == dict(sorted(expected.items()))


def test_ones_own_reply_is_not_replaced_by_another_that_was_shared_and_the_archive_fills_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment(tmp_path / "replies", made_record(0, {0: "theirs", 1: "theirs", 2: "same"}))
    store = Store(tmp_path / "store", tmp_path / "replies")
    put(store, 0, {0: "own", 2: "same"})
    assert texts(store) == {0: "own", 1: "theirs", 2: "same"} == texts(store)
    assert capsys.readouterr().err.count("differ from those that others shared; your own are used") == 1


def test_no_folder_is_an_empty_archive_until_there_is_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", tmp_path / "replies")
    assert store.find(made_key()) == {}
    assert not (tmp_path / "replies").exists()
    segment(tmp_path / "replies", made_record(0, {0: "pulled meanwhile"}))
    assert texts(store) == {0: "pulled meanwhile"}


def test_a_store_that_another_process_packs_and_collects_is_found_in_the_archive(tmp_path: Path) -> None:
    segment(tmp_path / "replies", made_record(1))
    store = Store(tmp_path / "store", tmp_path / "replies")
    put(store, 0, {0: "four"})
    assert texts(store) == {0: "four"}
    segment(tmp_path / "replies", made_record(0, {0: "four"}))
    store.path(made_key()).unlink()
    assert texts(store) == {0: "four"}


def test_an_archive_is_in_memory_once(tmp_path: Path) -> None:
    assert Store(tmp_path / "a", tmp_path).archive is Store(tmp_path / "b", tmp_path).archive is open_archive(tmp_path)


def test_more_segments_than_may_be_open_are_read_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MAX_OPEN", 3)
    for number in range(10):
        segment(tmp_path, made_record(number, {0: str(number)}))
    archive = Archive(tmp_path)
    for number in [*range(10), *range(10)]:
        assert texts(archive, number) == {0: str(number)}
    assert len(archive.open) == 3


def test_other_files_in_the_folder_are_no_segments(tmp_path: Path) -> None:
    (path,) = segment(tmp_path, made_record())
    for name in ("README.md", ".part", "x.sqlite", f"{'A' * 64}.sqlite"):
        (tmp_path / name).write_text("x")
    assert segment_names(tmp_path) == [path.name]
    assert texts(Archive(tmp_path)) == {0: "four", 1: "4"}


def test_a_segment_is_read_without_being_touched(tmp_path: Path) -> None:
    (path,) = segment(tmp_path, made_record())
    path.chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        assert texts(Archive(tmp_path)) == {0: "four", 1: "4"}
    finally:
        tmp_path.chmod(0o700)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert f"{file_sha256(path)}.sqlite" == path.name


RECORDS = [made_record(number, {0: noise(number, 900)}) for number in range(300)]


def damaged_reads(path: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """How many of RECORDS are still found; none of them wrong, and one warning where any is missing."""
    archive = Archive(path.parent)
    found = [archive.find(record.key) for record in RECORDS]
    assert all(replies in ({}, record.replies) for record, replies in zip(RECORDS, found, strict=True))
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) <= 1
    if {} in found:
        assert path.name in warnings[0] and "r2i replies verify" in warnings[0]
    return sum(bool(replies) for replies in found)


@pytest.mark.parametrize("share", [0, 0.001, 0.03, 0.5, 0.9, 0.999])
def test_a_truncated_segment_is_missing_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: float
) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert damaged_reads(path, capsys) < len(RECORDS)


@pytest.mark.parametrize("data", [b"not SQLite at all" * 400, b"SQLite format 3\0", bytes(65536)])
def test_what_is_no_sqlite_file_is_missing_with_one_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes
) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    path.write_bytes(data)
    assert damaged_reads(path, capsys) == 0


def test_scribbles_anywhere_in_a_segment_never_raise_nor_invent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(1)
    (path,) = segment(tmp_path, *RECORDS)
    data = path.read_bytes()
    for _ in range(25):
        wrong = bytearray(data)
        for _ in range(draw.choice([1, 5, 40])):
            place = draw.randrange(len(wrong))
            scribble = draw.randbytes(draw.choice([1, 8, 4096]))
            wrong[place : place + len(scribble)] = scribble[: len(wrong) - place]
        path.write_bytes(wrong)
        damaged_reads(path, capsys)
    path.write_bytes(data)
    assert damaged_reads(path, capsys) == len(RECORDS)


def altered(path: Path, *statements: str, arguments: tuple[object, ...] = ()) -> Path:
    """The segment after `statements`, under the name that its bytes then have: whoever made it meant it so."""
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement, arguments)
    connection.close()
    return path.rename(path.with_name(f"{file_sha256(path)}.sqlite"))


def test_one_altered_record_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    arguments = (b"?", bytes.fromhex(RECORDS[7].key))
    path = altered(path, "UPDATE records SET body = ? WHERE key = ?", arguments=arguments)
    assert damaged_reads(path, capsys) == len(RECORDS) - 1


def test_a_segment_with_other_bytes_under_its_name_gives_no_reply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sound records of the right keys, with other texts: only the name can tell."""
    (path,) = segment(tmp_path / "replies", made_record(0, {0: "four"}), made_record(1))
    (other,) = segment(tmp_path / "forged", made_record(0, {0: "five"}), made_record(1))
    path.write_bytes(other.read_bytes())
    assert texts(Archive(tmp_path / "replies")) == {}
    assert "not those that its name says" in capsys.readouterr().err
    assert texts(Archive(tmp_path / "forged")) == {0: "five"}, "with its name it would be read"


def test_a_record_that_unpacks_to_more_than_a_record_can_be_is_damaged_in_bounded_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = segment(tmp_path, made_record(0), made_record(1))
    bomb = zlib.compress(bytes(2**29), 9)
    altered(path, "UPDATE records SET body = ? WHERE key = ?", arguments=(bomb, bytes.fromhex(made_key(0))))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    archive = Archive(tmp_path)
    assert texts(archive) == {} and texts(archive, 1)
    assert "too large" in capsys.readouterr().err
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024  # kB


@pytest.mark.parametrize("view", [
    "CREATE VIEW records AS WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT n key, n body",
    "CREATE VIEW records AS SELECT x'00' AS key, zeroblob(900000000) AS body",
])  # fmt: skip
def test_a_segment_whose_tables_are_queries_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], view: str
) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    path = altered(path, "DROP TABLE records", view)
    assert damaged_reads(path, capsys) == 0


def test_a_pipe_in_place_of_a_segment_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    path.unlink()
    os.mkfifo(path)
    assert damaged_reads(path, capsys) == 0


@pytest.mark.parametrize("statement", [
    "UPDATE records SET body = 'text'", "UPDATE records SET body = 5", "UPDATE prefixes SET keys = 'text'",
    "UPDATE prefixes SET keys = x'0011'", "DELETE FROM prefixes", "DROP TABLE records", "DROP TABLE prefixes",
])  # fmt: skip
def test_a_segment_of_another_form_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], statement: str
) -> None:
    (path,) = segment(tmp_path, *RECORDS)
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()
    assert damaged_reads(path, capsys) == 0


def test_a_damaged_segment_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken,) = segment(tmp_path, made_record(0))
    segment(tmp_path, made_record(1))
    broken.write_bytes(b"")
    archive = Archive(tmp_path)
    assert texts(archive, 0) == {} and texts(archive, 1) == {0: "four", 1: "4"}
    assert broken.name in capsys.readouterr().err


def test_a_segment_that_vanishes_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = segment(tmp_path, made_record(0))
    archive = Archive(tmp_path, [path.name])
    shutil.rmtree(tmp_path)
    assert texts(archive) == {}
    assert "damaged" in capsys.readouterr().err


def test_a_folder_that_cannot_be_read_is_named_not_paid_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    segment(tmp_path, made_record())
    monkeypatch.setattr(archive_module, "segment_names", refuse)
    with pytest.raises(EndpointError, match=r"can't be read.*R2I_REPLIES"):
        Archive(tmp_path).find(made_key())
