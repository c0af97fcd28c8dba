"""`overlay` and `benchmark` do what people decided, and nothing where nobody did."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_rows import image_row, region_row, vote_row
from PIL import Image
from review.made_decisions import decision
from teacher_fakes import FakeModel, connecting

from r2i.benchmark.rendered import render_items
from r2i.core import paths
from r2i.core.choices import LETTERS
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Cut, Drawing, Outline
from r2i.core.records import BENCHMARK, IMAGES, REGIONS, TRAIN, VOTES
from r2i.core.tables import Row, read_table, write_table
from r2i.endpoint.base import Request
from r2i.pages.review.forms import undo
from r2i.review.append import append
from r2i.review.decisions import Decision, was_of
from stages import benchmark, overlay

ROOT = Path(__file__).parents[2]
NUMBERS = range(6)
DRAWING = Drawing(cut=Cut(margin=0.08, square=True), outline=Outline(line=1))


def say(request: Request, sample: int) -> str:
    """A teacher, and a student that never answers: no question is too easy."""
    return '["3", "8", "1", "2"]' if request.prompt.endswith("wrong answers") else "no idea"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    """Six voted questions, each on an image of its own whose pixels count up from left to right."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("profile: mini", "profile: smoke", 1)
    Path("params.yaml").write_text(text.replace("boxed: 0.5", "boxed: 1").replace("crop: 0.8", "crop: 1"))
    ramp = jpeg_bytes(Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 3, (64, 1))))
    write_table(paths.IMAGES, [image_row(n) | {"image": ramp} for n in NUMBERS], IMAGES)
    write_table(paths.REGIONS, [region_row(n) for n in NUMBERS], REGIONS)
    write_table(paths.VOTES, [vote_row(n) for n in NUMBERS], VOTES)
    model = FakeModel(say)
    monkeypatch.setattr("r2i.endpoint.connect", connecting(model))
    return model


def question_id(number: int) -> str:
    return str(vote_row(number)["question_id"])


def both(path: Path, verdict: str, subject: str, **more: object) -> list[Decision]:
    """Two reviewers who agree."""
    made = [decision(verdict, name, subject, **more) for name in ("ann", "bob")]
    for one in made:
        append(path, one)
    return made


def train_rows() -> dict[str, dict[str, Row]]:
    """By question, by view; of a dropped question its one row, under its reason."""
    overlay.main(Path("params.yaml"))
    found: dict[str, dict[str, Row]] = {}
    for row in read_table(paths.TRAIN, TRAIN, "overlay"):
        found.setdefault(row["question_id"], {})[row["reason"] or row["view"]] = row
    return found


def bytes_of(*folders: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for name in folders for path in sorted(Path(name).rglob("*.*"))}


def metrics(stage: str) -> dict:
    return json.loads(paths.metrics(stage).read_text())


def test_without_decisions_every_byte_of_overlay_is_what_it_was(workplace: FakeModel) -> None:
    train_rows()
    before = bytes_of("data/overlay", "metrics")
    paths.REVIEWED_QUESTIONS.parent.mkdir(parents=True)
    paths.REVIEWED_QUESTIONS.touch()
    train_rows()
    assert bytes_of("data/overlay", "metrics") == before and "review" not in metrics("overlay")


def test_accepted_open_and_stale_rows_stay_as_they_were(workplace: FakeModel) -> None:
    before = train_rows()
    both(paths.REVIEWED_QUESTIONS, "accept", question_id(0))
    append(paths.REVIEWED_QUESTIONS, decision("reject", subject=question_id(1)))
    stale = was_of(vote_row(2) | {"answer": "6", "box": [8, 8, 24, 24]})
    both(paths.REVIEWED_QUESTIONS, "reject", question_id(2), was=stale)
    assert train_rows() == before
    found = metrics("overlay")["review"]
    assert {name: found[name] for name in ("reviewed", "accepted", "open", "stale")} == {
        "reviewed": 2, "accepted": 1, "open": 1, "stale": 2,
    }  # fmt: skip


def test_rejected_and_disputed_questions_are_dropped_and_nothing_is_asked_about_them(workplace: FakeModel) -> None:
    both(paths.REVIEWED_QUESTIONS, "reject", question_id(0))
    for verdict, name, change in (("accept", "ann", {}), ("reject", "bob", {}), ("fix", "cat", {"answer": "7"})):
        append(paths.REVIEWED_QUESTIONS, decision(verdict, name, question_id(1), **change))
    found = train_rows()
    assert list(found[question_id(0)]) == ["review_rejected"] and list(found[question_id(1)]) == ["review_disputed"]
    assert {row["image"] for row in found[question_id(0)].values()} == {None}
    assert len(workplace.asked) == 2 * 4  # wrong answers and tries of the other four
    assert metrics("overlay")["reason"]["rejected: review_rejected"] == 1


def test_questions_that_a_benchmark_may_be_built_from_are_never_trained_on(workplace: FakeModel) -> None:
    before = train_rows()
    assert before[question_id(0)].get("full")
    both(paths.REVIEWED_QUESTIONS, "accept", question_id(0), frame="untrained")
    found = train_rows()
    (row,) = found[question_id(0)].values()
    assert (row["status"], row["reason"]) == ("rejected", "review_reserved")
    assert (row["options"], row["right"], row["tries"]) == tuple(
        before[question_id(0)]["full"][name] for name in ("options", "right", "tries")
    )  # what `r2i benchmark build` reads


def test_a_line_that_is_no_decision_is_named_and_counted(
    workplace: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    (made,) = both(paths.REVIEWED_QUESTIONS, "reject", question_id(0))[:1]
    line = made.model_dump_json(exclude_none=True).replace('"reject"', '"rejected"')
    paths.REVIEWED_QUESTIONS.write_text(line + "\n")
    train_rows()
    assert "data/review/questions.jsonl, line 1: verdict" in capsys.readouterr().err
    assert metrics("overlay")["review"]["bad"] == 1


def test_a_fixed_answer_and_question_are_asked_about_anew(workplace: FakeModel) -> None:
    both(paths.REVIEWED_QUESTIONS, "fix", question_id(0), answer="8.", question="which digit?", dimension="digits")
    row = train_rows()[question_id(0)]["full"]
    assert (row["answer"], row["question"], row["dimension"]) == ("8", "which digit?", "digits")
    assert row["options"]["ABCD".index(row["label"])] == "8" and row["options"].count("8") == 1
    assert "which digit?" in row["prompt"]
    asked = [request.prompt for request in workplace.asked if request.prompt.endswith("wrong answers")]
    assert sum("which digit?" in prompt for prompt in asked) > 0


def test_fixed_options_cost_no_call(workplace: FakeModel) -> None:
    both(paths.REVIEWED_QUESTIONS, "fix", question_id(0), answer="9", options=["7", "9", "four"])
    row = train_rows()[question_id(0)]["full"]
    assert sorted(row["options"]) == ["7", "9", "four"] and row["options"]["ABC".index(row["label"])] == "9"
    assert row["distractor_calls"] == []
    assert sum(request.prompt.endswith("wrong answers") for request in workplace.asked) == len(NUMBERS) - 1


def test_a_moved_box_is_drawn_and_its_crop_is_cut_anew(workplace: FakeModel) -> None:
    before = train_rows()
    both(paths.REVIEWED_QUESTIONS, "fix", question_id(0), box=[40, 30, 80, 50])
    row = train_rows()[question_id(0)]
    assert row["full"]["box"] == [40, 30, 64, 50]  # clipped: the image is 64 px wide
    crop = read_image(row["crop"]["image"])
    assert crop.size == (48, 40)  # 24 x 20 px, upscaled by 2 as the region's own crop of 32 px for 16
    left = np.asarray(crop)[:, :2].mean()
    assert left == pytest.approx(40 * 3, abs=6)  # the ramp at x = 40
    boxed = np.asarray(read_image(row["boxed"]["image"])).astype(int)
    # 40, 30 to 64, 50 grown by round(24 * 0.05) = 1 px: the left edge at x = 39; no line where the old box was
    assert boxed[40, 39, 0] - boxed[40, 39, 1] > 100 and boxed[16, 8, 0] - boxed[16, 8, 1] < 40
    assert row["full"]["image"] == before[question_id(0)]["full"]["image"]
    others = [name for name in before if name != question_id(0)]
    assert all(train_rows()[name] == before[name] for name in others)


def test_an_undo_gives_back_the_bytes_of_before(workplace: FakeModel) -> None:
    before = train_rows()
    made = both(paths.REVIEWED_QUESTIONS, "reject", question_id(0))
    assert train_rows() != before
    append(paths.REVIEWED_QUESTIONS, undo(made[0]))
    assert train_rows() == before and metrics("overlay")["review"]["open"] == 1


def test_a_box_beside_the_image_fails_the_question(workplace: FakeModel) -> None:
    both(paths.REVIEWED_QUESTIONS, "fix", question_id(0), box=[400, 300, 480, 350])
    assert list(train_rows()[question_id(0)]) == ["review_bad_box"]


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Row]:
    """The benchmark of the smoke profile, made without decisions."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("profile: mini", "profile: smoke", 1)
    Path("params.yaml").write_text(text)
    return bench()


def bench() -> dict[str, Row]:
    benchmark.main(Path("params.yaml"))
    return {row["item_id"]: row for row in read_table(paths.BENCHMARK, BENCHMARK, "benchmark")}


def test_without_decisions_every_byte_of_the_benchmark_is_what_it_was(items: dict[str, Row]) -> None:
    before = bytes_of("data/benchmark", "metrics")
    paths.REVIEWED_ITEMS.parent.mkdir(parents=True)
    paths.REVIEWED_ITEMS.touch()
    bench()
    assert bytes_of("data/benchmark", "metrics") == before
    rendered = {row["item_id"]: row for row in render_items(36, DRAWING, 0)}
    assert {name: row["image"] for name, row in items.items()} == {n: r["image"] for n, r in rendered.items()}


def test_decisions_about_items_are_applied(items: dict[str, Row]) -> None:
    names = list(items)
    was = {name: was_of(row, options=True) for name, row in items.items()}
    about = {"frame": "items"}
    both(paths.REVIEWED_ITEMS, "reject", names[0], was=was[names[0]], **about)
    both(paths.REVIEWED_ITEMS, "accept", names[1], was=was[names[1]], **about)
    other = next(text for text in items[names[2]]["options"] if text != items[names[2]]["answer"])
    both(paths.REVIEWED_ITEMS, "fix", names[2], was=was[names[2]], answer=other, dimension="else", **about)
    both(paths.REVIEWED_ITEMS, "fix", names[3], was=was[names[3]], box=[10, 20, 30, 50], **about)
    after = bench()
    assert (after[names[0]]["status"], after[names[0]]["reason"]) == ("rejected", "review_rejected")
    assert after[names[0]]["image"] is None and after[names[1]] == items[names[1]]
    fixed = after[names[2]]
    assert fixed["answer"] == other == fixed["options"][LETTERS.index(fixed["label"])]
    assert fixed["dimension"] == "else" and fixed["options"] == items[names[2]]["options"]
    moved = after[names[3]]
    assert read_image(moved["crop"]).size == (40, 60) and moved["crop_made"] is True  # 20 x 30 px, upscaled by 2
    assert moved["image"] == items[names[3]]["image"] and moved["boxed"] != items[names[3]]["boxed"]
    found = metrics("benchmark")["review"]
    assert (found["accepted"], found["fixed"], found["rejected"]) == (1, 2, 1)
    assert found["precision_unreviewed"]["of"] == "items" and found["precision_unreviewed"]["n"] == 32


def test_the_server_knows_items_by_what_they_were_before_a_fix(items: dict[str, Row]) -> None:
    """After `dvc repro benchmark` the table holds the fixed item: the decision must not look stale then."""
    from r2i.pages.review.rows import Items
    from r2i.pages.review.subjects import standing
    from r2i.review.append import Log

    name = next(iter(items))
    was = was_of(items[name], options=True)
    made = both(paths.REVIEWED_ITEMS, "fix", name, was=was, question="anew?", frame="items")
    assert bench()[name]["question"] == "anew?"
    subjects = Items()
    log = Log(paths.REVIEWED_ITEMS)
    assert len(standing(subjects, log.read())[name]) == 2
    for one in made:
        append(paths.REVIEWED_ITEMS, undo(one))
    decisions = log.read()
    assert standing(subjects, decisions) == {}
    row = subjects.rows([name])[name]
    assert subjects.was(row, decisions.all) == was  # what a new decision is about
    shutil.rmtree(paths.BENCHMARK)


def test_a_fix_written_by_hand_whose_answer_is_no_option_fails_the_item() -> None:
    from r2i.benchmark.reviewed import fixed_texts

    row = {"question": "?", "options": ["red", "blue"], "answer": "red", "label": "A", "dimension": "color"}
    assert fixed_texts(row, decision("fix", answer="green").fix) is None
    assert fixed_texts(row, decision("fix", answer="Blue.").fix) == {
        "options": ["red", "blue"], "label": "B", "answer": "blue",
    }  # fmt: skip
