"""Distractors, the box, difficulty, training rows."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from made_rows import by_reason, make_row, picture, vote_row
from PIL import Image
from teacher_fakes import FakeModel, failed, ok, pictures, sent

from r2i.core.boxes import Box
from r2i.core.choices import adapt_prompt, mcq_prompt, tell_box
from r2i.core.errors import EndpointError, R2IError, TableError
from r2i.core.ids import make_id
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Outline, Overlay
from r2i.core.parse import ReplyError
from r2i.core.records import TRAIN
from r2i.core.shards import Counts, sum_counts
from r2i.core.tables import Row, part_name, read_table, write_table
from r2i.endpoint.base import Reply, Request
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.overlay.ask import item_jobs
from r2i.overlay.balance import limit_dimensions
from r2i.overlay.boxed import Drawer
from r2i.overlay.difficulty import score_tries
from r2i.overlay.distractors import ROUNDS, add_options
from r2i.overlay.item import Item, hold_out_dimensions, hold_out_images, make_items, still_ok
from r2i.overlay.reply import DISTRACTORS_FORM, choose_distinct, parse_distractors
from r2i.overlay.rows import choose_views, count_train_rows, require_held_out, train_rows

PARAMS = Overlay.model_validate(
    {"prompts": "mini", "teacher": {}, "student": {}, "write": {"temperature": 0.8}, "attempt": {"temperature": 1},
     "views": {"boxed": 1, "full": 0.5, "crop": 0.25}}
)  # fmt: skip
THIN = Outline(line=1)
NUMBERS = range(1, 5)
CROPS = {f"region-{number}": picture(10 + number, 32) for number in NUMBERS}
IMAGES = {f"image-{number}": picture(100 + number) for number in NUMBERS}
BOXES = {f"region-{number}": Box(8, 8, 24, 24) for number in NUMBERS}
THREE = '["1", "2", "3"]'


@pytest.fixture
def drawer(tmp_path: Path) -> Iterator[Drawer]:
    with Drawer(tmp_path / "drawn", THIN) as drawer:
        yield drawer


def items(*answers: str) -> list[Item]:
    return make_items([vote_row(number, answer) for number, answer in enumerate(answers, 1)], BOXES)


def give_options(found: list[Item], model: FakeModel, params: Overlay = PARAMS) -> None:
    crops = pictures(CROPS)
    run_jobs([add_options(item, (crops[item.vote["region_id"]],), model, params, 0) for item in found])


def ready(*answers: str) -> list[Item]:
    """Items with options, without a boxed image."""
    found = items(*answers)
    give_options(found, FakeModel(lambda *_: THREE))
    return found


def prepare(
    found: list[Item],
    drawer: Drawer,
    student: FakeModel,
    params: Overlay = PARAMS,
    images: Mapping[str, bytes] = IMAGES,
    ledger: Ledger | None = None,
) -> None:
    teacher = FakeModel(lambda *_: THREE)
    run_jobs(item_jobs(found, pictures(CROPS), pictures(images), drawer, teacher, student, params, 0), ledger)


def rows_of(found: list[Item], params: Overlay = PARAMS) -> list[Row]:
    """Train rows as they are written: with their images."""
    rows = train_rows(found, pictures(CROPS), pictures(IMAGES), params, 0)
    return [{name: value() if callable(value) else value for name, value in row.items()} for row in rows]


def letter_of(request: Request, text: str) -> str:
    match = re.search(rf"^([A-J])\. {text}$", request.prompt, re.MULTILINE)
    assert match
    return match.group(1)


def chooses(text: str) -> FakeModel:
    """A student that always chooses the option that reads `text`."""
    return FakeModel(lambda request, _: f"<answer>{letter_of(request, text)}</answer>")


def test_the_small_models_list_is_read_and_stripped() -> None:
    assert parse_distractors('[" 3", " 8", " 1"]') == (["3", "8", "1"], False)


def test_the_form_that_servers_enforce_is_read_by_the_same_parser() -> None:
    assert parse_distractors('{"distractors": ["3 [sic]", "8"]}') == (["3 [sic]", "8"], False)
    assert list(json.loads(DISTRACTORS_FORM)["schema"]["properties"]) == ["distractors"]
    model = FakeModel(lambda *_: THREE)
    give_options(items("5"), model)
    assert model.asked[0].form == DISTRACTORS_FORM


def test_mended_lists_are_counted() -> None:
    found = items("5", "6")
    give_options(found, FakeModel(lambda request, _: THREE if "5" in request.prompt else '["1", "2", "3",]'))
    assert [item.repaired for item in found] == [0, 1]


@pytest.mark.parametrize("text", ["", "3, 8, 1", "[]", "[3, 8, 1]", '{"a": "3"}', '[["3"]]'])
def test_a_reply_without_a_list_of_texts_is_unparsable(text: str) -> None:
    with pytest.raises(ReplyError):
        parse_distractors(text)


# defect 9 of the reference
def test_no_distractor_is_the_answer_or_another_one() -> None:
    said = ["Five", "5.", "**5**", "six", "6", " 6. ", "seven", "none", "8"]
    assert choose_distinct("5", said) == ["six", "seven", "8"]


# defect 5 of the reference
def test_no_markup_sets_an_option_apart() -> None:
    item = items("** Red.")[0]
    assert item.answer == "Red"
    assert choose_distinct(item.answer, ["**Blue**", "`Green`.", '"Pink"', "$4.50$"]) == [
        "Blue",
        "Green",
        "Pink",
        "4.50",
    ]


# defect 9 of the reference
def test_options_are_four_different_texts() -> None:
    found = items("5")
    give_options(found, FakeModel(lambda *_: '["five", "6", "six", "7", "8", "9"]'))
    assert sorted(found[0].options) == ["5", "6", "7", "8"]
    assert found[0].options["ABCD".index(found[0].label)] == "5"


def test_short_lists_are_put_together_over_rounds_with_other_seeds() -> None:
    said = iter(['["6", "5"]', '["6", "7"]', '["8", "9"]'])
    model = FakeModel(lambda *_: next(said))
    found = items("5")
    give_options(found, model)
    assert found[0].distractors == ["6", "7", "8"] and found[0].rounds == 3
    assert len({request.seed for request in model.asked}) == 3
    assert sent(model.asked[0]) == (CROPS["region-1"],)
    assert len({call["reply_key"] for call in found[0].distractor_calls}) == 3


def test_the_paper_prompt_names_question_answer_and_count() -> None:
    model = FakeModel(lambda *_: '["6", "7", "8"]')
    give_options(items("5"), model, PARAMS.model_copy(update={"prompts": "paper"}))
    prompt = model.asked[0].prompt
    assert "Question: what digit is on the red square?" in prompt and "Correct answer: 5" in prompt
    assert "JSON list of 3 strings" in prompt and "{" not in prompt


# defect 1 of the reference
def test_a_lost_call_is_failed_and_too_few_wrong_answers_are_rejected() -> None:
    found = items("5", "5", "5", "5")
    says: dict[bytes, str | Reply] = {
        CROPS["region-1"]: '["6", "7"]',
        CROPS["region-2"]: failed("server_error"),
        CROPS["region-3"]: "six, seven, eight",
        CROPS["region-4"]: '["6", "7", "8"]',
    }
    model = FakeModel(lambda request, _: says[sent(request)[0]])
    give_options(found, model)
    assert [item.reason for item in found] == [
        "too_few_distractors", "distractors_server_error", "distractors_unparsable", "",
    ]  # fmt: skip
    assert [item.status for item in found] == ["rejected", "failed", "failed", "ok"]
    assert len(model.asked) == 3 * ROUNDS + 1  # the fourth is not asked again


# defect 20 of the reference
def test_options_do_not_depend_on_the_order_of_items_or_a_clock() -> None:
    def labels(found: list[Item]) -> dict[str, tuple[str, ...]]:
        give_options(found, FakeModel(lambda *_: '["6", "7", "8"]'))
        return {item.question_id: (item.label, *item.options) for item in found}

    assert labels(items("5", "5", "5")) == labels(items("5", "5", "5")[::-1])


# defect 20 of the reference
def test_the_right_letter_is_spread_evenly() -> None:
    votes = [vote_row(1) | {"question_id": f"q{number}"} for number in range(400)]
    found = make_items(votes, BOXES)
    give_options(found, FakeModel(lambda *_: '["6", "7", "8"]'))
    labels = [item.label for item in found]
    # 400 draws at 1/4: 100 each, sigma sqrt(400 * 3/16) = 8.7; 4 sigma
    assert all(abs(labels.count(letter) - 100) < 35 for letter in "ABCD")


def test_the_box_is_drawn_on_the_full_image(drawer: Drawer) -> None:
    found = items("5")
    prepare(found, drawer, chooses("1"))
    assert found[0].boxed
    pixels = np.asarray(read_image(found[0].boxed.load())).astype(int)
    # box (8, 8, 24, 24), 16 px wide, grown by round(16 * 0.05) = 1 px on each side: outline from 7 to 24
    assert pixels[7, 16, 0] > 200 and pixels[7, 16, 1] < 80
    assert abs(pixels[40, 40] - 101).max() < 6 and abs(pixels[16, 16] - 101).max() < 6


def test_boxed_images_lie_on_disk_and_are_gone_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    with Drawer(folder, THIN) as drawer:
        drawn = [drawer.draw(pictures(IMAGES)[f"image-{number}"], (8, 8, 24, 24)).result() for number in NUMBERS]
        blobs = [image.load() for image in drawn]
        shades = [int(np.asarray(read_image(blob))[40, 40, 0]) for blob in blobs]
        assert shades == pytest.approx([101, 102, 103, 104], abs=5)
        assert [image.load() for image in drawn[::-1]] == blobs[::-1]
        assert drawer.spool.kept is not None
        assert drawer.spool.kept.seek(0, 2) == sum(map(len, blobs))
    assert list(folder.iterdir()) == []


def test_the_quality_of_the_boxed_image_is_a_param(tmp_path: Path) -> None:
    rough = Outline(line=1, quality=30)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")
    image = pictures({"image": jpeg_bytes(Image.fromarray(noise))})["image"]
    with Drawer(tmp_path, THIN) as fine, Drawer(tmp_path, rough) as coarse:
        large, small = (drawer.draw(image, (8, 8, 24, 24)).result().load() for drawer in (fine, coarse))
    assert len(small) < len(large) / 2


# defect 2 of the reference
def test_a_dead_server_makes_no_question_hard(drawer: Drawer) -> None:
    found = items("5", "6")
    prepare(found, drawer, FakeModel(lambda *_: failed("timeout")))
    assert {(item.status, item.reason, item.right, item.tries) for item in found} == {
        ("failed", "student_timeout", 0, 0)
    }


# defect 2 of the reference
def test_one_lost_try_leaves_the_question_unmeasured() -> None:
    item = ready("5")[0]
    wrong = next(letter for letter in "ABCD" if letter != item.label)
    score_tries(item, [*[ok(f"<answer>{wrong}</answer>")] * 3, failed("server_error")], drop_at=2)
    assert (item.status, item.reason, item.tries) == ("failed", "student_server_error", 3)


# defect 3 of the reference
def test_an_exception_on_the_way_never_leaves_a_valid_row(drawer: Drawer) -> None:
    found = items("5", "5")
    torn = IMAGES | {"image-1": b"not an image", "image-2": IMAGES["image-2"][:200]}
    student = chooses("1")
    prepare(found, drawer, student, images=torn)
    assert [(item.status, item.reason) for item in found] == [("failed", "unreadable"), ("failed", "truncated")]
    assert student.asked == []


# defect 3 of the reference
def test_a_server_that_can_not_be_called_ends_the_stage(drawer: Drawer) -> None:
    def refuse(*_: object) -> str:
        raise EndpointError("401")

    with pytest.raises(EndpointError):
        prepare(items("5"), drawer, FakeModel(refuse))


# defect 10 of the reference
def test_letters_are_compared_and_no_model_is_asked_for_a_grade(drawer: Drawer) -> None:
    found, ledger = items("5"), Ledger()
    dresses = ["({})", "**{}**", "{}.", "Option {}"]

    def choose(request: Request, sample: int) -> str:
        return f"<answer>{dresses[sample].format(letter_of(request, '5'))}</answer>"

    prepare(found, drawer, FakeModel(choose), ledger=ledger)
    assert found[0].right == 4
    assert ledger.metrics()["fake"]["requests"] == 2  # one for distractors, one for the tries


@pytest.mark.parametrize(("right", "status"), [(0, "ok"), (1, "ok"), (2, "rejected"), (4, "rejected")])
def test_two_of_four_right_is_too_easy(right: int, status: str) -> None:
    item = ready("5")[0]
    wrong = next(letter for letter in "ABCD" if letter != item.label)
    said = [item.label] * right + [wrong] * (4 - right)
    score_tries(item, [ok(f" 5<answer> {letter}</answer>") for letter in said], drop_at=2)
    assert (item.status, item.right, item.tries) == (status, right, 4)
    assert item.reason == ("" if status == "ok" else "too_easy")


@pytest.mark.parametrize(
    "form",
    ["<answer>{0}</answer>", "\\boxed{{{0}}}", "Answer: {0}. {1}", "<answer>{0} - {1}</answer>", "<answer>{1}</answer>",
     "<think>It may be <answer>E</answer>.</think>The answer is {0}.", "<|begin_of_box|>{0}<|end_of_box|>"],
)  # fmt: skip
def test_who_knows_the_answer_has_not_found_the_question_hard_whatever_the_form(form: str) -> None:
    item = ready("5")[0]
    score_tries(item, [ok(form.format(item.label, item.answer))] * 4, 2)
    assert (item.reason, item.right) == ("too_easy", 4)
    item = ready("5")[0]
    wrong = next(place for place, text in enumerate(item.options) if text != item.answer)
    score_tries(item, [ok(form.format("ABCD"[wrong], item.options[wrong]))] * 4, 2)
    assert (item.status, item.right) == ("ok", 0)


def test_a_cut_or_unclosed_reply_is_the_students_own_failure() -> None:
    item = ready("5")[0]
    right = f"<answer>{item.label}</answer>"
    # a truncated reply counts as wrong even where its text closes a span; so does an open span
    score_tries(item, [failed("truncated", right), failed("truncated"), ok(f"<answer>{item.label}"), ok(right)], 2)
    assert (item.status, item.right, item.tries) == ("ok", 1, 4)


def test_the_student_sees_the_boxed_image_and_the_rows_own_prompt(drawer: Drawer) -> None:
    found, student = items("5"), chooses("1")
    prepare(found, drawer, student)
    boxed = next(row for row in rows_of(found) if row["view"] == "boxed")
    asked = student.asked[0]
    assert (sent(asked), asked.prompt, asked.n) == ((boxed["image"],), boxed["prompt"], 4)
    assert len(boxed["distractor_calls"]) == 1 and len({call["reply_key"] for call in boxed["try_calls"]}) == 4


def test_all_rounds_of_wrong_answers_come_before_the_student(drawer: Drawer) -> None:
    # a model in process is asked in batches: one for the student, whatever the items went through before
    order: list[tuple[str, int]] = []

    class Noting(FakeModel):
        def complete(self, requests):  # type: ignore[no-untyped-def]
            order.append((self.name, len(requests)))
            return super().complete(requests)

    said = {1: '["6"]', 2: '["7"]', 3: '["8"]'}
    rounds: dict[str, int] = {}

    def slow(request: Request, _: int) -> str:
        rounds[request.prompt] = rounds.get(request.prompt, 0) + 1
        return said[rounds[request.prompt]] if "answer is 5" in request.prompt else '["6", "7", "8"]'

    teacher, student = Noting(slow, "teacher"), Noting(lambda *_: "<answer>A</answer>", "student")
    run_jobs(item_jobs(items("5", "4"), pictures(CROPS), pictures(IMAGES), drawer, teacher, student, PARAMS, 0))
    assert order == [("teacher", 2), ("teacher", 1), ("teacher", 1), ("student", 2)]


def hard_rows(drawer: Drawer, *answers: str, params: Overlay = PARAMS) -> list[Row]:
    found = items(*answers)
    prepare(found, drawer, chooses("1"), params)
    return rows_of(found, params)


def test_views_show_what_they_say(drawer: Drawer) -> None:
    everywhere = PARAMS.model_copy(update={"views": {"boxed": 1.0, "full": 1.0, "crop": 1.0}})
    rows = {row["view"]: row for row in hard_rows(drawer, "5", params=everywhere)}
    assert rows["full"]["image"] == IMAGES["image-1"] and rows["crop"]["image"] == CROPS["region-1"]
    assert rows["boxed"]["image"] not in (rows["full"]["image"], rows["crop"]["image"])
    assert len({row["row_id"] for row in rows.values()}) == 3
    assert {row["prompt"] for row in rows.values()} == {
        mcq_prompt("what digit is on the red square?", rows["full"]["options"], "mini")
    }


def test_shares_of_views_hold_over_many_questions() -> None:
    drawn = [choose_views(f"q{number}", PARAMS, 0) for number in range(1000)]
    # boxed always; full 500, sigma sqrt(1000 / 4) = 16; crop 250, sigma 14; 4 sigma
    assert all("boxed" in views for views in drawn)
    assert abs(sum("full" in views for views in drawn) - 500) < 64
    assert abs(sum("crop" in views for views in drawn) - 250) < 56


def test_every_question_leaves_a_row(drawer: Drawer) -> None:
    found = items("5", "6", "7", "8")
    prepare(found, drawer, chooses("1"))
    found[0].drop("rejected", "too_easy")
    found[1].drop("failed", "student_timeout")
    rows = rows_of(found, PARAMS.model_copy(update={"views": {"crop": 1.0}}))
    assert by_reason(rows) == {"rejected: too_easy": 1, "failed: student_timeout": 1, "ok: ": 2}
    assert [(row["view"], row["image"] is None, row["prompt"]) for row in rows[:2]] == [("boxed", True, "")] * 2
    none = rows_of(ready("5"), PARAMS.model_copy(update={"views": {}}))
    assert by_reason(none) == {"rejected: no_view": 1}


def test_only_the_paper_style_speaks_of_the_box_and_only_in_the_boxed_view(drawer: Drawer) -> None:
    simple, plain = (mcq_prompt("q?", ["a", "b"], style) for style in ("mini", "paper"))
    assert adapt_prompt(simple, "boxed", "mini") == simple
    assert adapt_prompt(plain, "boxed", "paper").startswith(plain + "\n") and "red box" not in plain
    params = PARAMS.model_copy(update={"prompts": "paper", "views": {"boxed": 1.0, "full": 1.0}})
    rows = hard_rows(drawer, "5", params=params)
    assert [("red box" in row["prompt"], row["view"]) for row in rows] == [(True, "boxed"), (False, "full")]


# defect 18 of the reference
def test_a_further_question_changes_no_other_row(drawer: Drawer) -> None:
    few = {row["row_id"]: row for row in hard_rows(drawer, "5", "6")}
    more = {row["row_id"]: row for row in hard_rows(drawer, "5", "6", "7")}
    assert few.items() <= more.items() and len(more) > len(few)


def test_a_vote_without_its_region_is_an_error() -> None:
    with pytest.raises(TableError):
        make_items([vote_row(9)], BOXES)


def test_rows_fit_their_table_and_are_counted(drawer: Drawer, tmp_path: Path) -> None:
    found = items("5", "6", "7")

    def choose(request: Request, sample: int) -> str:
        """Right once of four about 5 and 6, always about 7."""
        right = ". 7\n" in request.prompt + "\n" or sample == 0
        return f"<answer>{letter_of(request, '[567]' if right else '1')}</answer>"

    prepare(found, drawer, FakeModel(choose))
    rows = train_rows(found, pictures(CROPS), pictures(IMAGES), PARAMS, 0)
    write_table(tmp_path / "train", rows, TRAIN, shards=2)
    table = read_table(tmp_path / "train", TRAIN, "overlay")
    written = {row["row_id"]: row | {"box": Box(*row["box"])} for row in table}
    assert written == {row["row_id"]: row for row in rows_of(found)}
    counts = count_train_rows(rows, PARAMS.tries)
    assert counts["questions"]["status"] == {"ok": 2, "rejected": 1} and counts["right"] == {"1": 2, "4": 1}
    assert sum(counts["labels"].values()) == len(still_ok(found)) == 2
    assert counts["distractor_rounds"] == {"1": 3} and counts["rows_by_view"]["boxed"] == 2


def test_a_dimension_that_crowds_is_cut_to_its_limit_across_shards(tmp_path: Path) -> None:
    """Five material questions and one about a digit, at most 2 of a dimension: 3 of 6 are left."""
    kinds = ["material"] * 5 + ["ocr"]

    def written(name: str, shards: dict[str, str]) -> tuple[Path, dict[str, Counts]]:
        rows = [
            make_row(
                TRAIN, row_id=make_id(f"q{number}", view), question_id=f"q{number}", image_id=f"image-{number}",
                view=view, image=picture(number), dimension=kind, distractor_calls=[], tries=4, right=0, label="A",
            )
            for number, kind in enumerate(kinds) for view in ("boxed", "full")
        ]  # fmt: skip
        write_table(tmp_path / name, rows, TRAIN, shards)
        parts = {part_name(path): path for path in sorted((tmp_path / name).iterdir())}
        counts = {part: count_train_rows(read_table(path, TRAIN, ""), 4) for part, path in parts.items()}
        return tmp_path / name, counts

    def kept(folder: Path) -> set[str]:
        return {row["question_id"] for row in read_table(folder, TRAIN, "") if row["status"] == "ok"}

    one, counts_one = written("one", {f"image-{number}": "a" for number in range(6)})
    two, counts_two = written("two", {f"image-{number}": "ab"[number % 2] for number in range(6)})
    untouched, counts = written("none", {f"image-{number}": "a" for number in range(6)})
    before = [path.read_bytes() for path in untouched.iterdir()]
    limit_dimensions(one, counts_one, 2, 4, 0)
    limit_dimensions(two, counts_two, 2, 4, 0)
    limit_dimensions(untouched, counts, None, 4, 0)
    assert len(kept(one)) == 3 and "q5" in kept(one) and kept(one) == kept(two)
    rows = read_table(two, TRAIN, "")
    assert by_reason(rows) == {"ok: ": 6, "rejected: over_limit": 3}
    assert {row["row_id"]: row["image"] is not None for row in rows} == {
        row["row_id"]: row["status"] == "ok" for row in rows
    }
    assert sum_counts(counts_two.values()) == sum_counts(counts_one.values()) == count_train_rows(rows, 4)
    assert [path.read_bytes() for path in untouched.iterdir()] == before


def test_the_told_view_is_the_full_image_with_the_box_in_words(drawer: Drawer) -> None:
    """(8, 8, 24, 24) of 64 x 64 pixels: 1/8 and 3/8 of its sides."""
    said = {}
    for style in ("mini", "paper"):
        params = PARAMS.model_copy(update={"prompts": style, "views": {"told": 1.0, "full": 1.0}})
        full, told = hard_rows(drawer, "5", params=params)
        assert (full["view"], told["view"]) == ("full", "told") and full["image"] == told["image"]
        question, _, said[style] = told["prompt"].rpartition("\n")
        assert question == full["prompt"]
    assert said["mini"] == "left 1 top 1 right 3 bottom 3"
    assert "from (125, 125) to (375, 375)" in said["paper"]
    assert tell_box("q", Box(0, 0, 64, 64), (64, 64), "mini").endswith("right 9 bottom 9")  # one digit


def test_held_out_dimensions_are_dropped_before_anything_is_asked_and_a_wrong_name_is_an_error(drawer: Drawer) -> None:
    found, model = items("5", "6"), chooses("1")
    found[1].vote = found[1].vote | {"dimension": "material"}
    hold_out_dimensions(found, ["material", "colour"])
    prepare(found, drawer, model)
    rows = rows_of(found, PARAMS.model_copy(update={"views": {"full": 1.0}}))
    assert by_reason(rows) == {"ok: ": 1, "rejected: held_out_dimension": 1} and len(model.asked) == 1
    counts = sum_counts([count_train_rows(rows, PARAMS.tries), count_train_rows(rows[:1], PARAMS.tries)])
    require_held_out(["material"], counts)
    with pytest.raises(R2IError, match="no question is about colour"):
        require_held_out(["material", "colour"], counts)


def test_who_sees_the_image_sees_it_after_the_crop(drawer: Drawer) -> None:
    found, teacher = items("5"), FakeModel(lambda *_: THREE)
    params = PARAMS.model_copy(update={"sees_image": True})
    jobs = item_jobs(found, pictures(CROPS), pictures(IMAGES), drawer, teacher, chooses("5"), params, 0)
    run_jobs(jobs)
    assert [picture.load() for picture in teacher.asked[0].images] == [CROPS["region-1"], IMAGES["image-1"]]


def test_held_out_images_give_no_train_rows_and_keep_their_options() -> None:
    kept = {}
    for seed in range(20):
        found, again = ready("5", "6", "7", "8"), ready("5", "6", "7", "8")
        for one in (found, again):
            hold_out_images(one, 0.5, seed)
        kept[seed] = [item.question_id for item in found if item.status == "ok"]
        assert [item.status for item in again] == [item.status for item in found]
        assert all(item.reason == "held_out_image" and item.options for item in found if item.status != "ok")
    assert 20 < sum(map(len, kept.values())) < 60
