"""The audit: what the renderer knows about regions, questions, answers, votes and labels."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from r2i.audit.measure import (
    as_shares,
    audit_answers,
    audit_questions,
    audit_regions,
    audit_train,
    audit_votes,
    count,
    count_by,
    find_contamination,
)
from r2i.audit.oracle import Asked, Oracle, parse_question, truth_of
from r2i.audit.work import count_true
from r2i.core import paths, records
from r2i.core.errors import TableError
from r2i.core.images import jpeg_bytes, perceptual_hash
from r2i.core.shards import Counts, Shard
from r2i.core.tables import Row, write_table
from r2i.mini.language import ask
from r2i.mini.world import DIMENSIONS, Thing, render_scene
from stages.audit import main

ROOT = Path(__file__).parents[2]
STATE = {"status": "ok", "reason": ""}


def thing(number: int, color: str, shape: str, box: tuple[int, int, int, int], value: str = "7") -> Row:
    seen = {"color": color, "shape": shape, "material": "wood", "mark": "ocr", "value": value}
    return {"thing_id": f"t{number}", "image_id": "i", "box": list(box)} | seen


def region(number: int, box: tuple[int, int, int, int] | None, status: str = "ok") -> Row:
    return {"region_id": f"r{number}", "image_id": "i", "box": list(box) if box else None, "status": status}


def question(text: str, region_id: str = "r0", **changes: object) -> Row:
    plain = {"question_id": "q", "region_id": region_id, "image_id": "i", "question": text, "checks": [True] * 4}
    return plain | STATE | changes


# One image: a red square (7), two blue circles (3 and 4), and a region on each of the first two.
THINGS = [
    thing(0, "red", "square", (0, 0, 20, 20)),
    thing(1, "blue", "circle", (40, 0, 60, 20), "3"),
    thing(2, "blue", "circle", (80, 0, 100, 20), "4"),
]
REGIONS = [
    region(0, (0, 0, 22, 22)),
    region(1, (42, 0, 62, 20)),
    region(2, (0, 60, 20, 80)),
    region(3, None, "rejected"),
]
DIGIT = "what digit is on the {}?".format


@pytest.fixture
def oracle() -> Oracle:
    return Oracle(THINGS, REGIONS)


# Reading questions


@pytest.mark.parametrize("dimension", [*DIMENSIONS, "shape"])
def test_every_question_that_the_language_asks_is_read_back(dimension: str) -> None:
    asked = parse_question(ask(Thing("red", "square", "wood", "ocr", "7", 16, 16, 10), dimension))
    assert asked == Asked(dimension, "red", "" if dimension == "shape" else "square")


def test_case_and_spaces_do_not_matter() -> None:
    assert parse_question("  What digit is  on the Red Square? ") == Asked("ocr", "red", "square")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "what digit is on the red?",  # no shape
        "what digit is on the gold square?",  # no colour of this world
        "what digit is on the red square? and why?",
        "what shape is the red square object?",  # names the shape that it asks for
        "who are you?",
    ],
)
def test_other_texts_are_no_questions(text: str | None) -> None:
    assert parse_question(text) is None


# The truth about a question


def test_a_question_about_the_shown_object_has_its_true_answer(oracle: Oracle) -> None:
    assert oracle.answer(question(DIGIT("red square"))) == "7"
    assert oracle.answer(question("what is the red square made of?")) == "wood"
    assert oracle.answer(question("what shape is the red object?")) == "square"


@pytest.mark.parametrize(
    ("text", "region_id"),
    [
        (DIGIT("blue circle"), "r0"),  # names another object than the one shown
        ("how many dots are on the red square?", "r0"),  # the plate shows a digit
        (DIGIT("red square"), "r2"),  # the region shows bare ground
        (DIGIT("red square"), "r3"),  # no box at all
        ("nonsense", "r0"),
    ],
)
def test_a_question_without_a_true_answer_has_none(text: str, region_id: str, oracle: Oracle) -> None:
    assert oracle.answer(question(text, region_id)) is None
    assert not oracle.is_right(question(text, region_id), "7")


def test_a_region_between_two_objects_shows_the_one_it_covers_more() -> None:
    # against (40, 0, 60, 20): 12 * 20 / (400 + 400 - 240) = 0.43; against (62, 0, 82, 20): 6 * 20 / 680 = 0.18
    things = [THINGS[1], thing(9, "pink", "circle", (62, 0, 82, 20))]
    between = Oracle(things, [region(0, (48, 0, 68, 20))])
    assert between.answer(question(DIGIT("blue circle"))) == "3"
    assert between.answer(question(DIGIT("pink circle"))) is None


def test_a_name_is_ambiguous_when_two_objects_of_the_scene_bear_it(oracle: Oracle) -> None:
    assert oracle.is_unambiguous(question(DIGIT("red square")))
    assert not oracle.is_unambiguous(question(DIGIT("blue circle"), "r1"))
    assert not oracle.is_unambiguous(question("what shape is the blue object?", "r1"))
    assert not oracle.is_unambiguous(question(DIGIT("pink square")))  # nobody bears it


def test_answers_are_compared_as_the_votes_are(oracle: Oracle) -> None:
    assert oracle.is_right(question(DIGIT("red square")), "Seven.")
    assert not oracle.is_right(question(DIGIT("red square")), "1")


def test_the_truth_table_knows_what_the_renderer_knows() -> None:
    seen = Thing("red", "square", "wood", "ocr", "7", 16, 16, 10)
    row = {"color": "red", "shape": "square", "material": "wood", "mark": "ocr", "value": "7"}
    for dimension in (*DIMENSIONS, "shape"):
        assert truth_of(row, dimension) == seen.truth(dimension)


# Shares


def test_a_share_states_its_cases_and_is_none_without_any() -> None:
    assert as_shares(count([True, False, True, True])) == {"value": 0.75, "n": 4}
    assert as_shares(count([])) == {"value": None, "n": 0}
    assert as_shares(count_by([("b", True), ("a", False), ("b", False)])) == {
        "a": {"value": 0.0, "n": 1}, "b": {"value": 0.5, "n": 2},
    }  # fmt: skip


def test_regions_are_measured_both_ways(oracle: Oracle) -> None:
    # IoU: r0 400 / 484 = 0.83; r1 18 * 20 / (400 + 400 - 360) = 0.82; nothing covers the third object; r2 covers none
    audit = as_shares(audit_regions(oracle, REGIONS))
    assert audit["recall"] == {"value": 2 / 3, "n": 3}
    assert audit["precision"] == {"value": 2 / 3, "n": 3}


def test_rejected_regions_find_nothing(oracle: Oracle) -> None:
    audit = as_shares(audit_regions(oracle, [region(0, (0, 0, 22, 22), "rejected")]))
    assert audit == {"recall": {"value": 0.0, "n": 3}, "precision": {"value": None, "n": 0}}


def test_questions_are_measured_before_and_after_validation(oracle: Oracle) -> None:
    rows = [
        question(DIGIT("red square")),
        question(DIGIT("blue circle"), "r1"),  # answerable, but two bear the name
        question(DIGIT("green square"), status="rejected", reason="names_target"),
        question("", status="failed", checks=None),  # a failed call is no question
        question(DIGIT("red square"), status="rejected", reason="repeated", checks=None),  # was never checked
    ]
    audit = as_shares(audit_questions(oracle, rows))
    assert audit["before"]["answerable"] == {"value": 2 / 3, "n": 3}
    assert audit["after"]["answerable"] == {"value": 1.0, "n": 2}
    assert audit["after"]["unambiguous"] == {"value": 0.5, "n": 2}
    assert audit["after"]["good"] == {"value": 0.5, "n": 2}
    assert audit["dropped"]["good"] == {"value": 0.0, "n": 1}


def test_single_answers_are_measured_by_teacher_and_failures_are_left_out(oracle: Oracle) -> None:
    answers = [
        {"question_id": "q", "teacher": teacher, "answer": answer, "status": status}
        for teacher, answer, status in [("a", "7", "ok"), ("a", "1", "ok"), ("b", "7", "ok"), ("b", "", "failed")]
    ]
    audit = as_shares(audit_answers(oracle, answers, {"q": question(DIGIT("red square"))}))
    assert audit["single"] == {"value": 2 / 3, "n": 3}
    assert audit["by_teacher"] == {"a": {"value": 0.5, "n": 2}, "b": {"value": 1.0, "n": 1}}


def test_votes_are_measured_by_what_became_of_them(oracle: Oracle) -> None:
    votes = [
        question(DIGIT("red square"), answer="7", agree=8),
        question(DIGIT("red square"), answer="1", agree=6),
        question(DIGIT("red square"), answer="7", agree=4, status="rejected"),
        question(DIGIT("red square"), answer="", agree=0, status="failed"),
    ]
    audit = as_shares(audit_votes(oracle, votes))
    assert audit["majority"] == {"value": 2 / 3, "n": 3}
    assert audit["kept"] == {"value": 0.5, "n": 2}
    assert audit["dropped"] == {"value": 1.0, "n": 1}
    assert audit["by_agreement"]["8"] == {"value": 1.0, "n": 1}


def test_training_labels_count_once_for_each_question_whatever_its_views(oracle: Oracle) -> None:
    right = question(DIGIT("red square"), answer="7", dimension="ocr", question_id="a")
    wrong = question(DIGIT("red square"), answer="1", dimension="ocr", question_id="b")
    easy = question(DIGIT("red square"), answer="7", dimension="ocr", question_id="c")
    rows = [right, right, right, wrong, easy | {"status": "rejected", "reason": "too_easy"}]
    audit = as_shares(audit_train(oracle, rows))
    assert audit["label_precision"] == {"value": 0.5, "n": 2}
    assert audit["by_dimension"] == {"ocr": {"value": 0.5, "n": 2}}
    assert audit["too_easy"] == {"value": 1.0, "n": 1}


def test_contamination_is_found_by_id_and_by_perceptual_hash() -> None:
    sampled, bench = {"a": "0", "b": "1", "plain": None}, {"a": "0", "x": "1", "y": "2", "z": None}
    assert find_contamination(sampled, bench) == {"benchmark_images": 4, "shared_image_ids": 1, "shared_phashes": 2}


# The stage


def write_tables(truth: list[Row], image: Image.Image, cut: Mapping[str, str] = {"i": "s0"}) -> None:
    """The first image of `cut` has the regions, and is in the benchmark too; the others have nothing."""
    blank = {name: dict.fromkeys(getattr(records, name).names) for name in ("IMAGES", "BENCHMARK")}
    pixels = {"image": jpeg_bytes(image), "phash": perceptual_hash(image), **STATE}
    write_table(paths.IMAGES, [blank["IMAGES"] | pixels | {"image_id": i} for i in cut], records.IMAGES, cut)
    item = blank["BENCHMARK"] | pixels | {"image_id": "i", "item_id": "x"}
    write_table(paths.BENCHMARK, [item], records.BENCHMARK)
    write_table(paths.TRUTH, truth, records.TRUTH, cut)
    write_table(
        paths.REGIONS,
        [r | {"score": 0.9, "area_share": 0.1, "crop": None, "reason": ""} for r in REGIONS],
        records.REGIONS,
        cut,
    )
    for folder, schema in (
        (paths.QUESTIONS, records.QUESTIONS),
        (paths.ANSWERS, records.ANSWERS),
        (paths.VOTES, records.VOTES),
        (paths.TRAIN, records.TRAIN),
    ):
        write_table(folder, [], schema, cut)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return render_scene(np.random.default_rng(0)).image


def read_metrics() -> dict[str, dict[str, object]]:
    return json.loads(paths.metrics("audit").read_text())  # type: ignore[no-any-return]


def test_the_stage_survives_tables_without_rows(workdir: Path, image: Image.Image) -> None:
    write_tables(THINGS, image)
    main(Path("params.yaml"))
    metrics = read_metrics()
    assert metrics["available"] is True
    assert metrics["regions"]["recall"] == {"n": 3, "value": 0.666667}
    assert {"questions", "answers", "votes", "train"}.isdisjoint(metrics)
    assert metrics["contamination"]["shared_image_ids"] == 1


def test_only_shards_that_changed_are_audited_again(
    workdir: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third image comes, in a shard of its own, and one object of the second is a further one."""
    more = [*THINGS, {**thing(3, "red", "square", (0, 0, 9, 9)), "image_id": "j"}]
    cut = {"i": "s0", "j": "s1"}
    write_tables(more, image, cut)
    audited: list[str] = []

    def noted(truth: list[Row], shard: Shard) -> Counts:
        audited.append(shard.name)
        return count_true(truth, shard)

    monkeypatch.setattr("r2i.audit.work.count_true", noted)
    main(Path("params.yaml"))
    assert sorted(audited) == ["s0", "s1"] and read_metrics()["regions"]["recall"] == {"n": 4, "value": 0.5}
    more.append({**thing(4, "pink", "circle", (50, 50, 70, 70)), "image_id": "j"})
    write_tables(more, image, {**cut, "k": "s2"})
    main(Path("params.yaml"))
    assert sorted(audited) == ["s0", "s1", "s1"]  # nothing was rendered in s2
    assert read_metrics()["regions"]["recall"] == {"n": 5, "value": 0.4}
    shutil.rmtree(".r2i")
    main(Path("params.yaml"))
    assert read_metrics()["regions"]["recall"] == {"n": 5, "value": 0.4} and len(audited) == 5


def test_a_profile_that_stops_after_the_votes_is_audited_so_far(workdir: Path, image: Image.Image) -> None:
    write_tables(THINGS, image, {"i": "s0", "j": "s1"})
    write_table(paths.TRAIN, [], records.TRAIN)  # as a stage that is left out does
    params = yaml.safe_load(Path("params.yaml").read_text())
    for name in ("overlay", "train", "benchmark", "evaluate"):
        params["profiles"][params["profile"]].pop(name, None)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    main(Path("params.yaml"))
    assert read_metrics()["regions"]["recall"]["n"] == 3


def test_photographs_have_no_truth_but_are_checked_for_contamination(workdir: Path, image: Image.Image) -> None:
    write_tables([], image)
    main(Path("params.yaml"))
    assert read_metrics()["available"] is False
    assert set(read_metrics()) == {"available", "contamination"}


def test_a_missing_table_names_the_stage_that_writes_it(workdir: Path) -> None:
    with pytest.raises(TableError) as caught:
        main(Path("params.yaml"))
    assert "dvc repro sample" in caught.value.remedy
    assert not paths.metrics("audit").exists()


def test_a_text_is_right_where_it_is_the_one_that_the_region_shows_and_the_place_is_its_own():
    shown = {"color": "", "shape": "text", "material": "", "mark": "ocr"}
    texts = [("EXIT", (0, 0, 20, 20)), ("Exit", (80, 80, 99, 99)), ("Cafe", (40, 0, 60, 20)), ("BAR", (40, 24, 60, 40))]
    truth = [{"thing_id": f"t{n}", "image_id": "i", "box": list(box), "value": text} | shown
             for n, (text, box) in enumerate(texts)]  # fmt: skip
    oracle = Oracle(truth, REGIONS, {"i": (100, 150)})
    asked = "What is written {} of the whole picture{}?"

    def right(answer: str, field: str, beside: str = "", region_id: str = "r1") -> bool:
        return oracle.is_right(question(asked.format(field, beside), region_id), answer)

    assert right("EXIT", "at the upper left", region_id="r0") and not right("EX1T", "at the upper left", region_id="r0")
    assert not right("Cafe", "at the top")  # the bar is there too
    assert right("cafe", "at the top", ", directly above “BAR”") and not right("Cafe", "at the left", region_id="r1")
    assert not right("Cafe", "at the top", ", directly below “BAR”")
    assert not right("Cafe", "at the top", ", directly above “BEER”")  # there is no such text
    assert not oracle.is_right(question("What colour is it?"), "EXIT")
    assert not Oracle(truth, REGIONS).is_right(question(asked.format("at the upper left", "")), "EXIT")  # of what size?
    twice, once = asked.format("at the upper left", ""), asked.format("at the top", ", directly above “BAR”")
    assert not oracle.is_unambiguous(question(twice)) and oracle.is_unambiguous(question(once, "r1"))
    choice = "Is it “{}” or “EX1T” that is written at the upper left of the whole picture?"
    assert oracle.is_right(question(choice.format("EXIT")), "EXIT")
    assert not oracle.is_right(question(choice.format("EXT")), "EXIT")  # neither is offered
