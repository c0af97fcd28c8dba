"""`r2i benchmark build`: from voted questions and decisions to a benchmark that our importers read."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from review.made_decisions import decision
from typer.testing import CliRunner

from r2i.benchmark.build import Known, Picked, Rules, pick
from r2i.benchmark.build_card import card
from r2i.benchmark.build_write import build, read_known
from r2i.benchmark.letters import balance_letters
from r2i.benchmark.sources import open_items
from r2i.cli.main import app
from r2i.core import paths
from r2i.core.choices import LETTERS
from r2i.core.errors import R2IError
from r2i.core.ids import make_id
from r2i.core.params import Benchmark, BenchmarkSource, Drawing, Outline, load_params
from r2i.core.records import BENCHMARK, PREDICTIONS, TRAIN
from r2i.core.tables import Row, read_table, write_table
from r2i.review.append import append
from r2i.review.decisions import Decision, Decisions, form_of, was_of

BOX = [8, 8, 24, 24]


def vote(number: int, **more: object) -> Row:
    return {
        "question_id": f"q{number}", "region_id": f"r{number}", "image_id": f"i{number}",
        "question": f"what is {number}?", "dimension": "ocr", "answer": "five", "agree": 8,
    } | more  # fmt: skip


def tried(about: Row, right: int = 0, answer: str = "five") -> Row:
    return {
        "question": about["question"], "options": ["six", answer, "ten", "two"], "answer": answer, "label": "B",
        "right": right, "tries": 4,
    }  # fmt: skip


def known(votes: list[Row], trained: int = 0, right: Callable[[int], int] = lambda _: 0) -> Known:
    """`trained`: so many of the first are train rows."""
    first = votes[:trained]
    return Known(
        votes, {one["region_id"]: BOX for one in votes}, {one["image_id"]: (64, 64) for one in votes},
        {one["question_id"]: tried(one, right(n), one["answer"]) for n, one in enumerate(votes)},
        {one["question_id"] for one in first}, {one["image_id"] for one in first},
    )  # fmt: skip


def both(row: Row, verdict: str = "accept", **more: object) -> list[Decision]:
    was = was_of(row | {"box": BOX})
    return [decision(verdict, name, row["question_id"], was=was, **more) for name in ("ann", "bob")]


def picked(votes: list[Row], decisions: list[Decision], table: Known | None = None, **rules: object) -> Picked:
    return pick("trial", table or known(votes), Decisions(decisions), Rules(**rules))  # type: ignore[arg-type]


def questions(found: Picked) -> set[str]:
    return {item["question_id"] for item in found.items}


def test_only_what_people_closed_is_taken_unless_told_and_then_it_is_marked() -> None:
    votes = [vote(n) for n in range(5)]
    said = [*both(votes[0]), *both(votes[1], "reject"), decision(subject="q2", was=was_of(votes[2] | {"box": BOX}))]
    found = picked(votes, said)
    assert questions(found) == {"q0"} and found.left_out == {"review_rejected": 1, "not_reviewed": 3}
    found = picked(votes, said, unreviewed=True)
    assert {item["question_id"]: item["verified"] for item in found.items} == {
        "q0": True, "q2": False, "q3": False, "q4": False,
    }  # fmt: skip


def test_questions_of_train_rows_are_left_out_and_items_on_their_images_are_marked() -> None:
    votes = [vote(0), vote(1, image_id="i0"), vote(2)]
    table = known(votes, trained=1)
    found = picked(votes, [], table, unreviewed=True)
    assert {item["question_id"]: item["seen_image"] for item in found.items} == {"q1": True, "q2": False}
    assert found.left_out == {"trained": 1}
    assert questions(picked(votes, [], table, unreviewed=True, unseen_images=True)) == {"q2"}
    assert questions(picked(votes, [], table, unreviewed=True, trained=True)) == {"q0", "q1", "q2"}


def test_fixes_are_put_in() -> None:
    votes = [vote(n) for n in range(4)]
    said = [
        *both(votes[0], "fix", answer="ten"),
        *both(votes[1], "fix", options=["red", "green"], answer="red", question="which colour?"),
        *both(votes[2], "fix", box=[4, 4, 400, 40], dimension="else"),
        *both(votes[3], "fix", answer="seventy"),
    ]
    found = {item["question_id"]: item for item in picked(votes, said, balance=False, open=True).items}
    assert (found["q0"]["answer"], found["q0"]["label"]) == ("ten", "C")
    assert (found["q1"]["options"], found["q1"]["label"], found["q1"]["question"]) == (
        ["red", "green"],
        "A",
        "which colour?",
    )
    assert (found["q2"]["box"], found["q2"]["dimension"]) == ((4, 4, 64, 40), "else")  # clipped: 64 px wide
    assert (found["q3"]["options"], found["q3"]["answer"], found["q3"]["label"]) == ([], "seventy", "")
    assert picked(votes, said).left_out == {"no_options": 1}


def test_hard_questions_are_those_that_the_student_rarely_got_right() -> None:
    votes = [vote(n) for n in range(4)]
    table = known(votes, right=lambda n: n)
    assert questions(picked(votes, [], table, unreviewed=True, max_right=1)) == {"q0", "q1"}
    asked = [(make_id("benchmark", "trial", f"q{n}"), f"what is {n}?", form_of("five")) for n in (3, 0, 1, 2)]
    other = [(asked[2][0], "another question?", asked[2][2]), (*asked[3][:2], "another answer")]
    measured = {asked[0]: (0, 9), asked[1]: (5, 9), other[0]: (0, 9), other[1]: (0, 9)}
    table = Known(**{**vars(table), "measured": measured})
    found = picked(votes, [], table, unreviewed=True, max_right=1, hard_for="base")
    assert questions(found) == {"q3"} and found.left_out == {"not_measured": 2, "too_easy": 1}


def test_options_and_tries_of_an_answer_that_people_took_back_are_not_used() -> None:
    votes = [vote(n) for n in range(3)]
    table = known(votes)
    tables = dict(table.tried) | {"q1": tried(votes[1], answer="nine"), "q2": tried(votes[2], answer="nine")}
    table = Known(**{**vars(table), "tried": tables})
    # q0: fixed after the tries; q1: the train rows hold a fix that was taken back; q2: they hold the fix
    said = [*both(votes[0], "fix", answer="ten"), *both(votes[1]), *both(votes[2], "fix", answer="nine")]
    found = picked(votes, said, table, open=True)
    assert {item["question_id"]: (item["answer"], len(item["options"]), item["tries"]) for item in found.items} == {
        "q0": ("ten", 4, 0), "q1": ("five", 0, 0), "q2": ("nine", 4, 4),
    }  # fmt: skip
    assert picked(votes, said, table).left_out == {"no_options": 1}
    found = picked(votes, said, table, open=True, max_right=4)
    assert questions(found) == {"q2"} and found.left_out == {"not_measured": 2}


def test_each_number_of_options_goes_on_with_the_letters_where_the_last_stopped() -> None:
    texts = ["yes", "no", "so", "or", "if", "ah"]
    items = [
        {"item_id": f"x{n}", "dimension": "a", "options": texts[:n], "answer": "yes", "label": "A"} for n in range(2, 7)
    ]
    assert Counter(item["label"] for item in balance_letters(items)) == Counter("ABCDE")


def test_a_limit_takes_the_same_ones_in_any_order_and_agreement_counts() -> None:
    votes = [vote(n, agree=6 + n % 3) for n in range(30)]
    few = picked(votes, [], unreviewed=True, per_dimension=5)
    assert len(few.items) == 5 and few.left_out == {"over_limit": 25}
    assert few == picked(votes[::-1], [], known(votes[::-1]), unreviewed=True, per_dimension=5)
    assert questions(few) < questions(picked(votes, [], unreviewed=True, per_dimension=9))
    assert len(picked(votes, [], unreviewed=True, min_agree=8).items) == 10


def test_letters_are_as_even_as_they_can_be_in_all_and_in_each_dimension() -> None:
    items = [
        {"item_id": f"x{n}", "dimension": "ab"[n % 2], "options": ["no", "yes", "so", "or"][: 3 + n % 3 // 2],
         "answer": "yes", "label": "B"} for n in range(50)
    ]  # fmt: skip
    found = balance_letters(items)
    for count in (3, 4):
        group = [item for item in found if len(item["options"]) == count]
        letters = Counter(item["label"] for item in group)
        assert len(letters) == count and max(letters.values()) - min(letters.values()) <= 1
        for dimension in "ab":
            inside = Counter(item["label"] for item in group if item["dimension"] == dimension)
            assert max(inside.values()) - min(inside[letter] for letter in LETTERS[:count]) <= 1
    assert all(item["options"][LETTERS.index(item["label"])] == "yes" for item in found)
    assert {tuple(sorted(item["options"])) for item in found} == {tuple(sorted(i["options"])) for i in items}


def test_the_same_question_twice_and_one_that_a_prompt_can_not_hold_are_left_out() -> None:
    votes = [
        vote(0, question="what is it?"),
        vote(1, question="What is it", image_id="i0"),
        vote(2, question="which one? Options:"),
    ]
    found = picked(votes, [], unreviewed=True)
    assert len(found.items) == 1 and found.left_out == {"same_question": 1, "unreadable_query": 1}


THIN = Drawing(outline=Outline(line=1))


def sources(kind: str, folder: str) -> list[Row]:
    """The rows that the benchmark stage would write."""
    cfg = Benchmark(sources=[BenchmarkSource(kind=kind, name="trial", path=folder)])  # type: ignore[arg-type]
    with open_items(cfg, THIN, 0, Path("scratch")) as found:
        rows = [{key: value() if callable(value) else value for key, value in row.items()} for row in found.rows]
        return [row | {"box": row["box"] and list(row["box"])} for row in rows]


@pytest.fixture
def made(chain: Path) -> Path:
    """A benchmark of a small run: its train rows are not ok, so that nothing was trained on."""
    rows = read_table(paths.TRAIN, TRAIN, "overlay")
    dropped = {"status": "rejected", "reason": "over_limit", "image": None}
    write_table(paths.TRAIN, [rows[0], *(row | dropped for row in rows[1:])], TRAIN)
    return build("trial", load_params(Path("params.yaml")), Rules(unreviewed=True))[1]


def test_both_forms_are_read_back_as_they_were_written(made: Path) -> None:
    written = read_table(made / "items", BENCHMARK, "benchmark")
    votes = read_known().votes
    assert len(written) == len(votes) - 1 > 5
    table = sorted(sources("table", str(made / "items")), key=lambda row: row["item_id"])
    assert table == written
    zoom = {(row["image_id"], row["question"]): row for row in sources("zoombench", str(made / "zoombench"))}
    assert len(zoom) == len(written)
    same = ("image", "crop", "box", "question", "options", "answer", "label", "dimension", "status")
    for row in written:
        # pictures are stored as they came, so even their hash is that of the file
        back = next(one for key, one in zoom.items() if key[1] == row["question"] and one["image"] == row["image"])
        assert {name: back[name] for name in same} == {name: row[name] for name in same}
        assert back["crop_made"] is False


def test_the_bytes_are_the_same_every_time_and_the_card_says_what_it_is(made: Path) -> None:
    before = {path: path.read_bytes() for path in sorted(made.rglob("*.*")) if path.is_file()}
    build("trial", load_params(Path("params.yaml")), Rules(unreviewed=True))
    assert {path: path.read_bytes() for path in sorted(made.rglob("*.*")) if path.is_file()} == before
    facts = json.loads((made / "build.json").read_text())
    assert facts["verified"] == 0 and facts["items"] == len(facts["questions"])
    assert facts["left_out"] == {"trained": 1} and len(facts["on_trained_images"]) > 0
    text = (made / "README.md").read_text()
    assert "wrong options may" not in text  # nobody decided about anything
    assert "**were not looked at by anybody**" in text.replace(f"**{facts['items']:,} were", "**were")
    assert "leave those images out of the training" in text
    assert card(facts) == text


def test_the_command_names_what_was_left_out_and_warns_of_seen_images(chain: Path) -> None:
    runner = CliRunner()
    nothing = runner.invoke(app, ["benchmark", "build", "trial"])
    assert nothing.exit_code == 1 and "or take them: --trained" in nothing.output and not paths.BENCHMARKS.exists()
    unseen = runner.invoke(app, ["benchmark", "build", "trial", "--trained"])
    assert unseen.exit_code == 1 and "--unreviewed" in unseen.output
    done = runner.invoke(app, ["benchmark", "build", "trial", "--unreviewed", "--trained"])
    assert done.exit_code == 0, done.output
    assert "0 verified by people" in done.output and "leave these out of the training" in done.output
    for one in read_known().votes[:1]:
        row = one | {"box": read_known().boxes[one["region_id"]]}
        for name in ("ann", "bob"):
            append(paths.REVIEWED_QUESTIONS, decision(reviewer=name, subject=one["question_id"], was=was_of(row)))
    done = runner.invoke(app, ["benchmark", "build", "trial", "--trained"])
    assert "1 of " in done.output and "1 verified by people" in done.output
    assert (
        "wrong options may have been made by the teacher after that"
        in (paths.BENCHMARKS / "trial/README.md").read_text()
    )


@pytest.mark.parametrize("name", ["", "..", "a/b", "A b", ".hidden", "x" * 65])
def test_a_name_that_is_no_folder_is_refused(name: str, chain: Path) -> None:
    with pytest.raises(R2IError, match="is no name"):
        build(name, load_params(Path("params.yaml")), Rules())


def test_a_folder_that_holds_something_else_is_left_alone(chain: Path) -> None:
    (paths.BENCHMARKS / "mine").mkdir(parents=True)
    with pytest.raises(R2IError, match="was not made by"):
        build("mine", load_params(Path("params.yaml")), Rules(unreviewed=True, trained=True))


def test_hardness_for_a_model_comes_from_its_predictions(made: Path) -> None:
    item = read_table(made / "items", BENCHMARK, "benchmark")[0]
    names = ("item_id", "image_id", "cluster_id", "source", "dimension", "question", "options", "answer", "label")
    rows = [
        dict.fromkeys(PREDICTIONS.names) | {name: item[name] for name in names}
        | {"prediction_id": f"{view}{n}", "view": view, "sample": n, "correct": right, "status": "ok", "reason": ""}
        for view, n, right in (("full", 0, False), ("full", 1, None), ("crop", 0, True))
    ]  # fmt: skip
    write_table(paths.PREDICTIONS / "base", rows, PREDICTIONS)
    rules = Rules(unreviewed=True, max_right=0, hard_for="base")
    found, _ = build("trial", load_params(Path("params.yaml")), rules)
    assert [(one["item_id"], one["right"], one["tries"]) for one in found.items] == [(item["item_id"], 0, 1)]
    assert "base got right in at most 0 of its tries in the full view" in (made / "README.md").read_text()
