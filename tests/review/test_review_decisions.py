"""The file of decisions: appending, reading, merging."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError
from review.made_decisions import WAS, decision, lines

from r2i.core.errors import R2IError
from r2i.pages.review.forms import undo
from r2i.review.append import Log, append
from r2i.review.decisions import Was, parse_lines, read_decisions

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>alert(1)</script> \u202e\u0000 😀 \\frac{1}{2} \u2028" + "x" * 10_000


def write_many(path: Path, who: str, count: int) -> None:
    for number in range(count):
        append(path, decision(reviewer=who, subject=f"q{number}"))


def test_a_decision_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made = decision("fix", answer="6", note="1️⃣ née", was=WAS.model_copy(update={"question": HOSTILE}), seconds=3.5)
    append(tmp_path / "review" / "questions.jsonl", made)
    assert read_decisions(tmp_path / "review" / "questions.jsonl").all == [made]
    assert b"\n" not in lines(made)[:-1]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_the_mark_that_an_editor_writes_first_costs_no_decision(tmp_path: Path, ending: bytes) -> None:
    """Also in the midst, where two such files were put together."""
    made = [decision(subject=f"q{number}") for number in range(3)]
    path = tmp_path / "questions.jsonl"
    path.write_bytes(
        b"".join(b"\xef\xbb\xbf" * (number != 1) + lines(one) for number, one in enumerate(made)).replace(b"\n", ending)
    )
    found = read_decisions(path)
    assert (found.all, found.bad, found.torn) == (made, [], False)
    append(path, decision(subject="after"))
    assert [one.subject for one in read_decisions(path).all] == ["q0", "q1", "q2", "after"]


def test_a_file_that_is_not_there_holds_none(tmp_path: Path) -> None:
    found = read_decisions(tmp_path / "none.jsonl")
    assert (found.all, found.bad, found.torn) == ([], [], False)


def test_processes_and_threads_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=write_many, args=(path, f"p{number}", 25)) for number in range(4)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: write_many(path, f"t{number}", 25), range(4)))
    for other in others:
        other.join()
    found = read_decisions(path)
    # 8 writers, 25 lines each
    assert len(found.all) == 200 and found.bad == []
    assert {(one.reviewer, one.subject) for one in found.all} == {
        (f"{kind}{number}", f"q{row}") for kind in "pt" for number in range(4) for row in range(25)
    }


def test_a_writer_that_is_killed_loses_nothing_that_was_said_to_be_saved(tmp_path: Path) -> None:
    path, said = tmp_path / "questions.jsonl", tmp_path / "said"
    child = multiprocessing.get_context("fork").Process(target=_write_and_say, args=(path, said))
    child.start()
    while not said.exists() or said.stat().st_size < 40:
        assert child.is_alive()
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    promised = said.read_text().split("\n")[:-1]
    assert len(promised) >= 4
    assert set(promised) <= {one.subject for one in read_decisions(path).all}
    append(path, decision(subject="after"))  # the lock of the dead is gone
    assert read_decisions(path).all[-1].subject == "after"


def _write_and_say(path: Path, said: Path) -> None:
    with said.open("a", buffering=1) as out:
        for number in range(100_000):
            append(path, decision(subject=f"subject-{number}"))
            out.write(f"subject-{number}\n")


def test_a_torn_last_line_is_named_and_the_next_decision_starts_a_line(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    first, second = decision(subject="q1"), decision(subject="q2")
    path.write_bytes(lines(first) + lines(decision())[:40])
    before = read_decisions(path)
    assert before.all == [first] and before.torn and before.bad == ["line 2: no JSON object in UTF-8: half a line?"]
    append(path, second)
    after = read_decisions(path)
    assert after.all == [first, second] and not after.torn and len(after.bad) == 1


def test_a_last_line_without_its_end_is_a_decision_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_bytes(lines(decision(subject="q1"))[:-1])
    append(path, decision(subject="q2"))
    assert [one.subject for one in read_decisions(path).all] == ["q1", "q2"]


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"null", b"<<<<<<< HEAD", b"\xff\xfe", b"[" * 100_000, b'{"decision_id": 1}'],
    ids=["empty", "list", "null", "conflict", "bytes", "deep", "number"],
)  # fmt: skip
def test_a_line_that_is_no_decision_is_counted_and_named(line: bytes) -> None:
    good = decision()
    found = parse_lines(line + b"\n" + lines(good))
    assert found.all == [good] and len(found.bad) == 1 and found.bad[0].startswith("line 1: ")


def test_unknown_keys_and_verdicts_are_refused() -> None:
    value = json.loads(lines(decision()))
    for change in ({"extra": 1}, {"verdict": "maybe"}, {"at": "yesterday"}, {"frame": "all"}):
        assert parse_lines(json.dumps(value | change).encode()).all == []


@pytest.mark.parametrize(
    "fields",
    [
        {"verdict": "fix"}, {"verdict": "accept", "answer": "6"}, {"verdict": "reject", "reason": ""},
        {"verdict": "reject", "reason": "dislike"}, {"verdict": "undo"}, {"verdict": "fix", "box": [9, 9, 9, 12]},
        {"verdict": "fix", "options": ["5", "five"]}, {"verdict": "fix", "options": ["6", "7"]},
        {"verdict": "fix", "answer": "9", "was": WAS.model_copy(update={"options": ["5", "6"]})},
    ],
)  # fmt: skip
def test_a_decision_that_contradicts_itself_is_refused(fields: dict) -> None:
    with pytest.raises(ValidationError):
        decision(**fields)


def test_a_line_that_is_there_twice_counts_once_and_two_with_one_id_are_named() -> None:
    one = decision()
    other = decision("reject", decision_id=one.decision_id)
    assert parse_lines(lines(one, one)).all == [one] and parse_lines(lines(one, one)).bad == []
    found = parse_lines(lines(one, other))
    assert found.all == [one] and found.bad == [f"line 2: another decision with the id {one.decision_id}"]


def test_a_moment_with_and_without_a_fraction_are_in_their_order() -> None:
    early = decision().model_copy(update={"at": "2026-01-01T12:00:00Z"})
    late = decision("reject").model_copy(update={"at": "2026-01-01T12:00:00.5Z"})
    assert parse_lines(lines(late, early)).standing() == [late]


def test_only_the_last_decision_of_a_reviewer_stands_whatever_the_order_of_the_lines() -> None:
    early, late = decision("reject", at=0), decision("accept", at=5)
    for data in (lines(early, late), lines(late, early)):
        assert parse_lines(data).standing() == [late]


def test_an_undo_brings_back_what_stood_before_and_nobody_undoes_anothers() -> None:
    early, late = decision("reject", at=0), decision("accept", at=5)
    back = undo(late)
    assert parse_lines(lines(early, late, back)).standing() == [early]
    assert parse_lines(lines(early, back, late)).standing() == [early]  # merged in another order
    foreign = back.model_copy(update={"reviewer": "bob"})
    assert parse_lines(lines(early, late, foreign)).standing() == [late]


def test_what_git_replaces_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    log = Log(path)
    log.add(decision(subject="q1"))
    assert len(log.read().all) == 1
    theirs = tmp_path / "theirs"
    theirs.write_bytes(path.read_bytes() + lines(decision(subject="q2", reviewer="bob")))
    os.replace(theirs, path)
    log.add(decision(subject="q3"))
    assert [one.subject for one in log.read().all] == ["q1", "q2", "q3"]


def test_a_disk_that_refuses_is_said_and_nothing_pretends(tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").mkdir()
    with pytest.raises(R2IError, match="was not kept"):
        append(tmp_path / "questions.jsonl", decision())


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_the_reviews_of_two_labs_merge_by_themselves(tmp_path: Path) -> None:
    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=lab", "-c", "user.email=lab@example.org", *command],
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    path = tmp_path / "data/review/questions.jsonl"
    path.parent.mkdir(parents=True)
    path.touch()
    shutil.copy(ROOT / ".gitattributes", tmp_path)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "empty")
    git("checkout", "-qb", "other")
    append(path, decision(reviewer="bob", at=1))
    git("commit", "-qam", "theirs")
    git("checkout", "-q", "main")
    append(path, decision(reviewer="ann", at=2))
    git("commit", "-qam", "ours")
    git("merge", "-q", "other", "-m", "both")
    found = read_decisions(path)
    assert [one.reviewer for one in found.standing()] == ["bob", "ann"] and found.bad == []


def test_both_files_are_in_git_and_are_inputs_of_their_stages() -> None:
    import yaml

    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "data/review/questions.jsonl" in stages["overlay"]["deps"]
    assert "data/review/items.jsonl" in stages["benchmark"]["deps"]
    for name in ("questions", "items"):
        assert (ROOT / f"data/review/{name}.jsonl").read_bytes().startswith(b"\n")  # DVC warns of an empty file


def test_a_box_is_compared_as_numbers() -> None:
    one = Was(question="q", answer="a", dimension="ocr", box=[1, 2, 3, 4])
    assert one == one.model_copy()
    assert one != one.model_copy(update={"box": [1, 2, 3, 5]})
