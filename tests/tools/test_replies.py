"""The commands `r2i replies`: nothing that was paid for gets lost, nothing that is wrong goes unnamed."""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from endpoint.made_replies import made_key, made_record, made_reply, made_request, noise, put, start_python
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from r2i.cli.replies import app
from r2i.core.images import file_sha256
from r2i.endpoint.archive import Archive, segment_names
from r2i.endpoint.record import write_record
from r2i.endpoint.store import Store
from r2i.tools.replies.gc import collect
from r2i.tools.replies.pack import pack
from r2i.tools.replies.verify import verify

KEY = made_key()
OLD = time.time() - 7200


class Lab:
    """A workspace: a live store, an archive, and the commands on them."""

    def __init__(self, folder: Path) -> None:
        self.archive = folder / "replies"
        self.store = Store(folder / ".r2i" / "store", self.archive)

    def run(self, *command: str) -> Result:
        paths = ["--store", str(self.store.root), "--archive", str(self.archive)]
        return CliRunner().invoke(app, [command[0], *paths, *command[1:]])

    def texts(self, number: int = 0) -> dict[int, str]:
        """What a stage would read."""
        fresh = Store(self.store.root)
        fresh.archive = Archive(self.archive)
        return {i: reply.text for i, reply in sorted(fresh.find(made_key(number)).items())}

    def segments(self) -> list[Path]:
        return [self.archive / name for name in segment_names(self.archive)]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def told(result: Result, code: int = 0) -> str:
    """What a command printed, as one line: where it wraps says nothing."""
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


# pack


def test_packing_shares_every_reply_and_changes_none(lab: Lab) -> None:
    for number in range(30):
        put(lab.store, number, {0: str(number), 1: "x"})
    assert "packed 30 records (60 samples) into 1 segment, " in told(lab.run("pack"))
    assert len(list(lab.store.iter_keys())) == 30, "live records stay until gc"
    shutil.rmtree(lab.store.root)
    assert all(lab.texts(number) == {0: str(number), 1: "x"} for number in range(30))


def test_what_nobody_paid_for_is_not_shared(lab: Lab) -> None:
    request = made_request()
    refused = {0: made_reply(0, 0, "", "bad_request")}
    lab.store.put(KEY, request.parts("big"), "", refused, {"samples": [0], "refusal": "image too large"})
    assert "nothing new to pack" in told(lab.run("pack"))
    put(lab.store, 0, {1: "four"})
    assert "packed 1 record (1 sample)" in told(lab.run("pack"))
    told(lab.run("gc"))
    assert lab.store.find(KEY)[0].reason == "bad_request"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX pipes")
def test_a_pipe_in_place_of_a_record_or_a_segment_is_named(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    (segment,) = lab.segments()
    for path in (lab.store.path(KEY), segment):
        path.unlink()
        os.mkfifo(path)
    output = told(lab.run("verify"), code=1)
    assert f"{KEY}.json: not a file" in output and f"{segment.name}: not a file" in output
    told(lab.run("stats"))
    assert "nothing new" in told(lab.run("pack"))
    told(lab.run("gc"))
    assert lab.texts() == {}


def test_no_escape_in_a_name_reaches_the_terminal(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    (lab.store.root / "ab").mkdir(exist_ok=True)
    (lab.store.root / "ab" / "\x1b[2Jx.json").write_text("x")
    assert "\\x1b[2Jx.json: misnamed" in told(lab.run("verify"), code=1)


def test_packing_says_how_the_segments_are_shared(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    assert "dvc add replies && dvc push" in told(lab.run("pack"))


def test_packing_twice_writes_nothing_new(lab: Lab) -> None:
    assert "nothing new" in told(lab.run("pack"))
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    before = lab.segments()
    assert "nothing new" in told(lab.run("pack"))
    assert lab.segments() == before


def test_only_samples_that_the_archive_lacks_are_packed(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    put(lab.store, 0, {1: "4"})
    put(lab.store, 1, {0: "vier"})
    assert "packed 2 records (2 samples)" in told(lab.run("pack"))
    found = Archive(lab.archive).records(KEY)
    assert sorted(list(record.replies) for _, record in found) == [[0], [1]]
    assert lab.texts() == {0: "four", 1: "4"}


def test_a_damaged_live_record_is_not_packed(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    lab.store.path(KEY).write_bytes(b"{")
    assert "1 damaged record left out" in told(lab.run("pack"))
    assert lab.segments() == []


def test_a_damaged_segment_is_made_good_by_what_is_still_live(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    lab.segments()[0].write_bytes(b"")
    told(lab.run("pack"))
    shutil.rmtree(lab.store.root)
    assert lab.texts() == {0: "four"}


def test_an_archive_that_cannot_be_written_is_named(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    lab.archive.write_text("a file")
    output = told(lab.run("pack"), code=1)
    assert "error: " in output and "-> " in output and str(lab.archive) in output


LIMITED = """
import resource, sys
from typer.testing import CliRunner
from r2i.cli.replies import app
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
print(CliRunner().invoke(app, ["pack", "--store", sys.argv[1], "--archive", sys.argv[2]]).output)
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_fills_up_while_packing_is_named_and_leaves_nothing(lab: Lab) -> None:
    for number in range(40):
        put(lab.store, number, {0: noise(number, 20_000)})
    with start_python(LIMITED, lab.store.root, lab.archive) as other:
        out, _ = other.communicate()
    assert "can't be written" in out and "free some space" in out
    assert list(lab.archive.iterdir()) == []


KILLED = """
import os, signal, sys, zlib
from pathlib import Path
from r2i.endpoint.store import Store
from r2i.tools.replies.pack import pack
store = Store(Path(sys.argv[1]), Path(sys.argv[2]))
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
left, compress = int(sys.argv[3]), zlib.compress
def count(data):
    global left
    left -= 1
    return kill() if left == 0 else compress(data)
zlib.compress = count
if left > 40:
    os.replace = kill
pack(store, store.archive, limit=400_000)
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
@pytest.mark.parametrize("after", [1, 20, 39, 41])
def test_killed_while_packing_nothing_is_lost_and_gc_clears_up(lab: Lab, after: int) -> None:
    """40 records of 20 kB: about three segments. 41: killed between a segment and its name."""
    for number in range(40):
        put(lab.store, number, {0: noise(number, 20_000)})
    with start_python(KILLED, lab.store.root, lab.archive, after) as other:
        assert other.wait() == -9
    parts = list(lab.archive.glob(".*.part"))
    assert len(parts) == (after > 1)
    assert all(f"{file_sha256(path)}.sqlite" == path.name for path in lab.segments())
    told(lab.run("gc"))
    assert list(lab.archive.glob(".*.part")) == parts, "a part of the last hour may be under way"
    for part in parts:
        os.utime(part, (OLD, OLD))
    told(lab.run("pack"))
    told(lab.run("gc"))
    assert not list(lab.archive.glob(".*.part")) and not list(lab.store.iter_keys())
    assert all(lab.texts(number) == {0: noise(number, 20_000)} for number in range(40))
    told(lab.run("verify"))


def live_texts(store: Store, number: int) -> dict[int, str]:
    record = store.live(made_key(number))
    return {i: reply.text for i, reply in record.replies.items()} if record else {}


LABS = st.lists(
    st.tuples(st.sampled_from(["put", "put", "put", "pack", "gc", "merge"]), st.integers(0, 1), st.integers(0, 2),
              st.dictionaries(st.integers(0, 2), st.sampled_from("abc"), min_size=1)),
    max_size=14,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(LABS)
def test_whatever_two_labs_do_no_reply_is_lost_and_once_they_take_what_is_shared_they_agree(
    steps: list[tuple],
) -> None:
    """put, pack, gc change no reply of a lab, to merge archives none of its live ones; those that `gc --take-shared`
    drops for others are the same in both labs then."""
    with tempfile.TemporaryDirectory() as folder:
        labs = [Lab(Path(folder) / name) for name in "ab"]

        def read() -> list[list[dict[int, str]]]:
            return [[lab.texts(number) for number in range(3)] for lab in labs]

        for action, which, number, texts in steps:
            lab, other, before = labs[which], labs[1 - which], read()
            if action == "put":
                new = {i: text for i, text in texts.items() if i not in before[which][number]}  # a stage asks no other
                put(lab.store, number, new)
                before[which][number] = dict(sorted((new | before[which][number]).items()))
            elif action == "pack":
                pack(lab.store, Archive(lab.archive))
            elif action == "gc":
                collect(lab.store, lab.archive)
            else:
                live = [[live_texts(side.store, number) for number in range(3)] for side in labs]
                for side in labs:
                    pack(side.store, Archive(side.archive))
                shutil.copytree(lab.archive, other.archive, dirs_exist_ok=True)
                shutil.copytree(other.archive, lab.archive, dirs_exist_ok=True)
                for own, now in zip(live, read(), strict=True):
                    assert all(old.items() <= new.items() for old, new in zip(own, now, strict=True))
                for side in labs:
                    collect(side.store, side.archive, take_shared=True)
                assert read()[0] == read()[1]
                for was, now in zip(before, read(), strict=True):
                    assert all(old.keys() <= new.keys() for old, new in zip(was, now, strict=True))
                continue
            assert read() == before


# stats


def test_stats_count_samples_by_what_became_of_them(lab: Lab) -> None:
    put(lab.store, 0, {0: "four", 1: "4"})
    put(lab.store, 1, {0: "fo"}, reason="truncated")
    told(lab.run("pack"))
    put(lab.store, 2, {0: ""}, reason="empty")
    lab.store.path(made_key(3)).parent.mkdir(exist_ok=True)
    lab.store.path(made_key(3)).write_bytes(b"")
    live, archive = told(lab.run("stats")).split("archive ")
    assert "records samples ok failed tokens in tokens out size" in live
    assert "big 3 4 2 1 empty, 1 truncated 28 12" in live, "4 samples of 7 tokens in and 3 out"
    assert "1 damaged" in live and "damaged" not in archive
    assert "big 2 3 2 1 truncated 21 9" in archive


def test_stats_of_nothing_say_so(lab: Lab) -> None:
    assert told(lab.run("stats")).count("no replies") == 2
    assert not lab.store.root.exists() and not lab.archive.exists()


def test_stats_sum_what_all_runs_paid_and_skip_a_torn_line(lab: Lab) -> None:
    run = {
        "stage": "question", "model": "big [v2]", "kind": "openai", "started": 1.0, "seconds": 60.5, "requests": 10,
        "calls": 12, "samples": 40, "replayed": 4, "tokens_in": 1_000_000, "tokens_out": 500, "cost": 1.25,
        "peak_in_flight": 8, "limit": 8.0, "mean_latency_s": 2.0, "errors": {"timeout": 2},
    }  # fmt: skip
    free = run | {"stage": "vote", "cost": None, "errors": {}}
    lines = [json.dumps(run), json.dumps(run), "", "null", json.dumps(free), json.dumps(run)[:-30]]
    lab.store.root.mkdir(parents=True)
    (lab.store.root.parent / "calls.jsonl").write_text("\n".join(lines))
    output = told(lab.run("stats"))
    assert "question, big [v2]: 2 runs, 121 s 20 requests, 24 calls, 80 samples, 8 replayed" in output
    assert "2,000,000 tokens in, 1,000 out, cost 2.50 failed: 4 timeout" in output
    assert "vote, big [v2]: 1 run, 60 s 10 requests, 12 calls, 40 samples, 4 replayed" in output
    assert output.endswith("1,000,000 tokens in, 500 out, cost unknown")


# show


def test_show_prints_request_and_replies_by_key_prefix_or_reply_key(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    put(lab.store, 0, {1: "fo"}, reason="truncated")
    output = told(lab.run("show", KEY))
    for part in (f"request {KEY}", "model big", "How many dots?", '"temperature": 0.7', "prompt file ffff",
                 made_record().parts["images"][0], "sample 0 | ok | 7 tokens in, 3 out | the live store", "four",
                 "sample 1 | failed: truncated | 7 tokens in, 3 out | the live store", "big-0905"):  # fmt: skip
        assert part in output
    assert told(lab.run("show", KEY[:8])) == told(lab.run("show", KEY.upper())) == output
    one = told(lab.run("show", f"{KEY}/1"))
    assert "sample 1 " in one and "sample 0 " not in one


@pytest.mark.parametrize(
    ("name", "why"),
    [(KEY[:7], "is no key"), ("four dots", "is no key"), (f"{KEY}/x", "is no key"), (f"{KEY}/", "is no key"),
     (KEY + "0", "is no key"), (f"{KEY}/7", "has no sample 7"), ("0" * 64, "no reply is filed under")],
)  # fmt: skip
def test_show_says_what_is_wrong_with_a_key(lab: Lab, name: str, why: str) -> None:
    put(lab.store, 0, {0: "four"})
    output = told(lab.run("show", name), code=1)
    assert why in output and "-> " in output


def test_show_asks_for_more_digits_where_two_keys_begin_alike(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r2i.tools.replies.show.MIN_DIGITS", 1)
    for number in range(40):  # of 40 keys some begin with the same digit
        put(lab.store, number, {0: "four"})
    told(lab.run("pack"))
    shutil.rmtree(lab.store.root)
    first = KEY[:1]
    count = sum(made_key(number).startswith(first) for number in range(40))
    assert f"{min(count, 5)} keys begin with {first}" in told(lab.run("show", first), code=1)


def test_show_names_a_damaged_record(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    lab.store.path(KEY).write_bytes(b"{")
    assert "damaged" in told(lab.run("show", KEY), code=1)


def test_show_is_safe_for_a_terminal(lab: Lab) -> None:
    put(lab.store, 0, {0: "\x1b[2Jred\ud83d 赤\u202e [bold]"})
    assert r"\x1b[2Jred\ud83d 赤\u202e [bold]" in told(lab.run("show", KEY))


# verify


def test_sound_replies_are_counted(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    assert "2 records and 1 segment are sound" in told(lab.run("verify"))


def test_verify_names_every_damaged_live_record_and_removes_it_when_asked(lab: Lab) -> None:
    for number in range(6):
        put(lab.store, number, {0: "four"})
    whole = lab.store.path(KEY).read_bytes()
    wrong = {
        0: (whole[:100], "torn"), 1: (b"", "empty"), 2: (whole.replace(b"four", b"five"), "altered"),
        3: (whole, "another request"), 4: (b"[1]", "no record"),
    }  # fmt: skip
    for number, (data, _) in wrong.items():
        lab.store.path(made_key(number)).write_bytes(data)
    output = told(lab.run("verify"), code=1)
    for number, (_, why) in wrong.items():
        assert f"{made_key(number)}.json: " in output and why in output
    assert "5 faults; 1 record and" in output and "verify --remove" in output
    assert "removed 5 damaged" in told(lab.run("verify", "--remove"))
    assert list(lab.store.iter_keys()) == [made_key(5)]
    assert "1 record and 0 segments are sound" in told(lab.run("verify"))


def test_verify_does_not_remove_what_a_running_stage_writes_again(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    lab.store.path(KEY).write_bytes(b"{")
    assert lab.store.claim(KEY)
    told(lab.run("verify", "--remove"), code=1)
    assert lab.store.path(KEY).exists()


def test_a_file_that_is_no_record_is_named_and_left(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    strays = [
        lab.store.root / "notes.txt",
        lab.store.root / "ff" / f"{KEY}.json",
        lab.store.path(KEY).with_name("a.json"),
    ]
    for stray in strays:
        stray.parent.mkdir(exist_ok=True)
        shutil.copy(lab.store.path(KEY), stray)
    output = told(lab.run("verify", "--remove"), code=1)
    assert all(f"{stray.name}: misnamed" in output and stray.exists() for stray in strays)
    assert "by hand" in output


def test_verify_finds_every_way_a_segment_can_be_wrong(lab: Lab) -> None:
    for number in range(40):
        put(lab.store, number, {0: noise(number, 2000)})
    told(lab.run("pack"))
    (path,) = lab.segments()
    data = path.read_bytes()
    for place in range(0, len(data), len(data) // 40):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert verify(lab.store, lab.archive).faults, place
    path.write_bytes(data[:-16384])
    output = told(lab.run("verify", "--remove"), code=1)
    assert path.exists(), "a damaged segment is never deleted"
    assert f"dvc pull --force replies/{path.name}" in output
    path.write_bytes(data)
    told(lab.run("verify"))


def test_a_segment_that_was_made_wrong_is_found_though_its_name_is_right(lab: Lab) -> None:
    """Whoever rewrites a segment can name it truly: its records must prove themselves."""
    import sqlite3

    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    for statement, why in {
        "UPDATE records SET body = x'00'": f"{KEY}: can't be decompressed",
        f"UPDATE records SET key = x'{'ab' * 32}'": f"the record of another request, {KEY}",
        "UPDATE prefixes SET keys = x'0011223344556677'": "its index does not name its records",
        "DROP TABLE prefixes": "not the tables of a segment",
    }.items():
        (path,) = lab.segments()
        copy = lab.archive / "copy"
        shutil.copy(path, copy)
        connection = sqlite3.connect(copy)
        with connection:
            connection.execute(statement)
        connection.close()
        wrong = copy.rename(lab.archive / f"{file_sha256(copy)}.sqlite")
        output = told(lab.run("verify"), code=1)
        assert wrong.name in output and why in output, statement
        wrong.unlink()


def test_a_segment_of_another_name_is_misnamed(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    (path,) = lab.segments()
    path.rename(lab.archive / "ours.sqlite")
    assert "ours.sqlite: misnamed" in told(lab.run("verify"), code=1)
    (lab.archive / "ours.sqlite").rename(lab.archive / f"{'0' * 64}.sqlite")
    assert f"its sha256 is {path.name[:12]}" in told(lab.run("verify"), code=1)


# gc


def test_gc_frees_what_the_archive_holds_and_nothing_else(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    put(lab.store, 1, {0: "four"})
    told(lab.run("pack"))
    put(lab.store, 1, {1: "more than the archive has"})
    put(lab.store, 2, {0: "only live"})
    size = lab.store.path(KEY).stat().st_size
    dry = told(lab.run("gc", "--dry-run"))
    assert f"would free {size / 1000:.3g} kB: 1 record " in dry or f"would free {size} B: 1 record " in dry
    assert lab.store.path(KEY).exists()
    done = told(lab.run("gc"))
    assert dry.replace("would free", "freed") in done and "dvc push" in done
    assert list(lab.store.iter_keys()) == sorted([made_key(1), made_key(2)])
    assert [lab.texts(number) for number in range(3)] == [
        {0: "four"}, {0: "four", 1: "more than the archive has"}, {0: "only live"},
    ]  # fmt: skip


def test_gc_keeps_a_live_reply_that_others_shared_with_another_text(lab: Lab) -> None:
    put(Store(lab.store.root.parent / "theirs"), 0, {0: "five"})
    pack(Store(lab.store.root.parent / "theirs"), Archive(lab.archive))
    put(lab.store, 0, {0: "four"})
    assert "1 sample left out that others shared with another reply" in told(lab.run("pack"))
    told(lab.run("gc"))
    assert lab.texts() == {0: "four"}


def test_gc_trusts_only_segments_that_are_whole(lab: Lab) -> None:
    for number in range(3):
        put(lab.store, number, {0: "four"})
    told(lab.run("pack"))
    (path,) = lab.segments()
    path.write_bytes(path.read_bytes() + b"x")  # its records can still be read
    assert lab.texts() == {0: "four"}
    told(lab.run("gc"))
    assert len(list(lab.store.iter_keys())) == 3


def test_gc_removes_old_part_files_of_the_store(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    old, young = (lab.store.path(KEY).with_name(f".{KEY}.{age}.part") for age in ("old", "young"))
    for part in (old, young):
        part.write_bytes(b"x" * 10)
    os.utime(old, (OLD, OLD))
    assert "freed 10 B" in told(lab.run("gc"))
    assert not old.exists() and young.exists()


def test_gc_by_reason_throws_out_those_samples_and_keeps_what_was_answered(lab: Lab) -> None:
    put(lab.store, 0, {0: "fo"}, reason="truncated")
    put(lab.store, 0, {1: "four"})
    put(lab.store, 1, {0: ""}, reason="empty")
    put(lab.store, 2, {0: "no"}, reason="refused")
    dry = told(lab.run("gc", "--reason", "truncated", "--reason", "empty", "--dry-run"))
    assert lab.texts() == {0: "fo", 1: "four"}
    done = told(lab.run("gc", "--reason", "truncated", "--reason", "empty"))
    assert "2 unwanted samples" in done and done == dry.replace("would free", "freed")
    assert [lab.texts(number) for number in range(3)] == [{1: "four"}, {}, {0: "no"}]
    assert lab.store.read(KEY).replies == {1: made_reply(0, 1, "four")}
    told(lab.run("verify"))


def test_gc_says_which_unwanted_samples_the_archive_keeps(lab: Lab) -> None:
    put(lab.store, 0, {0: "fo"}, reason="truncated")
    told(lab.run("pack"))
    put(lab.store, 0, {1: "cut"}, reason="truncated")
    output = told(lab.run("gc", "--reason", "truncated"))
    assert "0 records that the archive holds, 1 unwanted sample," in output
    assert "1 unwanted sample in the archive" in output
    assert lab.texts() == {0: "fo"}


def test_gc_of_replies_forgets_the_shards_that_were_made_of_them(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rows of a reply that is to be asked for again would be taken from there."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    shard = tmp_path / ".r2i" / "shards" / "answer" / "ab" / "abc.parquet"
    shard.parent.mkdir(parents=True)
    shard.touch()
    put(lab.store, 0, {0: "fo"}, reason="truncated")
    collect(lab.store, lab.archive)
    collect(lab.store, lab.archive, ["truncated"], dry_run=True)
    assert shard.exists()
    assert collect(lab.store, lab.archive, ["truncated"]).samples == 1 and not shard.exists()


def test_gc_refuses_a_reason_that_no_stored_sample_has(lab: Lab) -> None:
    assert "one of: bad_request, empty, refused, truncated" in told(lab.run("gc", "--reason", "timeout"), code=1)


def test_gc_leaves_what_a_running_stage_holds(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    assert lab.store.claim(KEY)
    assert "1 record left" in told(lab.run("gc"))
    assert lab.store.path(KEY).exists()
    lab.store.release(KEY)
    told(lab.run("gc"))
    assert not lab.store.path(KEY).exists()


def test_gc_leaves_damaged_records_to_verify(lab: Lab) -> None:
    put(lab.store, 0, {0: "four"})
    told(lab.run("pack"))
    lab.store.path(KEY).write_bytes(write_record(made_record(1)))
    told(lab.run("gc"))
    assert lab.store.path(KEY).exists()
