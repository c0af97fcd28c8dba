"""Each published benchmark, in small files of its schema, becomes rows of the common table."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from benchmark.made_files import (
    SIDES,
    base64_of,
    import_all,
    photo,
    put_json,
    put_jsonl,
    put_parquet,
    put_photo,
    put_tsv,
    struct,
)

from r2i.core.errors import TableError
from r2i.core.images import read_image, sha256
from r2i.core.params import BenchmarkSource
from r2i.core.tables import Row

MCQ = "What color is the lid?\nA. red\nB. blue\nC. green\nD. white"


def gold(row: Row) -> str:
    return row["options"]["ABCDEFGHIJ".index(row["label"])] if row["label"] else row["answer"]


# ZoomBench


def zoom_row(**changes: Any) -> dict[str, Any]:
    return {
        "id": "1", "image": struct(photo(1)), "crop_image": struct(photo(2)), "query": MCQ, "response": "B",
        "bbox": [10, 8, 40, 28], "question_type": "mcq",
    } | changes  # fmt: skip


def test_zoombench_as_released(tmp_path: Path) -> None:
    open_row = zoom_row(id="2", query="How many cups are there?", response="4", crop_image=None, question_type="oq")
    path = put_parquet(tmp_path / "data" / "test.parquet", [zoom_row(), open_row])
    (mcq, question), found = import_all("zoombench", path.parent)
    assert (mcq["question"], mcq["options"]) == ("What color is the lid?", ["red", "blue", "green", "white"])
    assert (mcq["label"], mcq["answer"], mcq["dimension"]) == ("B", "blue", "")
    assert (mcq["crop"], mcq["crop_made"]) == (photo(2), False)  # the published crop, not one of ours
    assert (question["options"], question["label"], question["answer"]) == ([], "", "4")
    assert question["crop_made"] is True
    assert read_image(question["crop"]).size == (60, 40)  # 30 x 20 px, upscaled twice
    assert found.sources["zoombench"]["found"] == {"rows": 2, "multiple_choice": 1, "open": 1}


def test_zoombench_as_its_card_says(tmp_path: Path) -> None:
    row = {"image": struct(photo(1)), "prompt": MCQ, "answer": "(D)", "bbox": None, "question_type": "Color Attributes"}
    (item,), _ = import_all("zoombench", put_parquet(tmp_path / "test.parquet", [row]))
    assert (item["answer"], item["dimension"]) == ("white", "Color Attributes")
    assert (item["crop"], item["boxed"], item["crop_made"]) == (None, None, None)  # no box, no crop


def test_a_response_that_is_a_letter_names_an_option_of_the_prompt_not_the_text_of_another(tmp_path: Path) -> None:
    row = zoom_row(query="Which letter is on the door?\nA. C\nB. A\nC. B\nD. D")
    (item,), _ = import_all("zoombench", put_parquet(tmp_path / "test.parquet", [row]))
    assert (item["label"], item["answer"]) == ("B", "A")


def test_counts_that_differ_from_the_published_ones_are_a_warning(tmp_path: Path) -> None:
    _, found = import_all("zoombench", put_parquet(tmp_path / "test.parquet", [zoom_row()]))
    assert found.sources["zoombench"]["complete"] is False
    assert found.warnings == [
        "zoombench: 1 rows (1 multiple choice, 0 open), published: 845 rows (621 multiple choice, 224 open)"
    ]


# V*Bench

GLOVE = "What is the material of the glove?"
MATERIALS = ["rubber", "cotton", "kevlar", "leather"]


def put_vstar(root: Path) -> Path:
    for number in range(6):
        note = {"target_object": ["glove"], "bbox": [[10 + number, 8, 30, 20]], "question": GLOVE, "options": MATERIALS}
        put_json(root / "direct_attributes" / f"sa_{number}.json", note)
        put_photo(root / "direct_attributes" / f"sa_{number}.jpg", number)
    two = {"target_object": ["cat", "dog"], "bbox": [[0, 0, 10, 10], [50, 40, 20, 16]], "question": "Left or right?"}
    put_json(root / "relative_position" / "sa_9.json", two | {"options": ["left", "right"]})
    put_photo(root / "relative_position" / "sa_9.jpg", 9)
    put_json(root / "OCR" / "1.json", {"question": "not of the benchmark's 191"})
    return root


def test_vstar_folders_have_the_right_option_first_so_options_are_shuffled(tmp_path: Path) -> None:
    rows, _ = import_all("vstar", put_vstar(tmp_path / "vstar"))
    assert Counter(row["dimension"] for row in rows) == {"direct_attributes": 6, "relative_position": 1}
    assert {gold(row) for row in rows} == {"rubber", "left"}
    assert len({row["label"] for row in rows[:6]}) > 1  # all "A" with chance 1/4**5 were they not a function of the id
    again, _ = import_all("vstar", tmp_path / "vstar")
    assert again == rows


def test_the_first_option_of_a_vstar_folder_is_right_even_where_another_says_the_same(tmp_path: Path) -> None:
    note = {"bbox": [[10, 8, 30, 20]], "question": "How many?", "options": ["2", "3", "two"]}
    put_json(tmp_path / "vstar" / "direct_attributes" / "sa_1.json", note)
    put_photo(tmp_path / "vstar" / "direct_attributes" / "sa_1.jpg", 1)
    (row,), _ = import_all("vstar", tmp_path / "vstar")
    assert (row["status"], gold(row)) == ("ok", "2")


def test_of_two_pictures_of_one_name_none_is_taken(tmp_path: Path) -> None:
    root = put_vstar(tmp_path / "vstar")
    before, _ = import_all("vstar", root)
    put_photo(next((root / "direct_attributes").glob("*.jpg")).with_suffix(".png"), 77)
    after, _ = import_all("vstar", root)
    assert [row["reason"] for row in before if row["reason"]] == []
    assert [row["reason"] for row in after if row["reason"]] == ["ambiguous_image"]


def test_the_region_of_two_targets_holds_both(tmp_path: Path) -> None:
    rows, _ = import_all("vstar", put_vstar(tmp_path / "vstar"))
    assert rows[0]["box"] == (10, 8, 40, 28)  # left, top, width, height -> left, top, right, bottom
    assert rows[-1]["box"] == (0, 0, 70, 56)


def vstar_question(number: int) -> dict[str, Any]:
    options = "\n(A) cotton\n(B) rubber\n(C) kevlar\n(D) leather\n"
    return {
        "image": f"direct_attributes/sa_{number}.jpg",
        "text": GLOVE + options + "Answer with the option's letter from the given choices directly.",
        "category": "direct_attributes", "label": "B", "question_id": number,
    }  # fmt: skip


def test_vstar_questions_keep_their_published_order_and_find_their_boxes(tmp_path: Path) -> None:
    root = put_vstar(tmp_path / "vstar")
    put_jsonl(root / "test_questions.jsonl", [vstar_question(1), vstar_question(2)])
    rows, _ = import_all("vstar", root)
    assert [(row["options"][0], row["label"], row["answer"]) for row in rows] == [("cotton", "B", "rubber")] * 2
    assert [row["box"] for row in rows] == [(11, 8, 41, 28), (12, 8, 42, 28)]


def test_vstar_parquet_has_no_boxes(tmp_path: Path) -> None:
    row = vstar_question(1) | {"image": struct(photo(1))}
    (item,), _ = import_all("vstar", put_parquet(tmp_path / "test.parquet", [row]))
    assert (item["label"], item["box"], item["status"]) == ("B", None, "ok")


def test_a_torn_annotation_is_a_row_with_its_reason(tmp_path: Path) -> None:
    root = put_vstar(tmp_path / "vstar")
    (root / "direct_attributes" / "sa_3.json").write_text('{"question": "Wh')
    (root / "direct_attributes" / "sa_4.jpg").unlink()
    rows, _ = import_all("vstar", root)
    assert Counter(row["reason"] for row in rows) == {"": 5, "torn_record": 1, "no_image": 1}


# HR-Bench


def hr_rows(questions: int = 2) -> list[dict[str, Any]]:
    """Each question in four orders of its options, as published."""
    rows = []
    for number in range(questions):
        texts = [f"{number}1", f"{number}2", f"{number}3", f"{number}4"]
        for turn in range(4):
            order = texts[turn:] + texts[:turn]
            rows.append({
                "index": len(rows), "question": "What number is shown?", "answer": "ABCD"[order.index(texts[0])],
                "category": "single", **dict(zip("ABCD", order, strict=True)), "cycle_category": str(turn),
                "image": base64_of(photo(number)),
            })  # fmt: skip
    return rows


@pytest.mark.parametrize("form", ["tsv", "parquet"])
def test_hrbench_cycles_are_four_items_of_one_cluster(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"hr_bench_4k.{form}"
    (put_tsv if form == "tsv" else put_parquet)(path, hr_rows())
    rows, _ = import_all("hrbench", path)
    assert [row["status"] for row in rows] == ["ok"] * 8  # the same question in another order is no duplicate
    assert len({row["item_id"] for row in rows}) == 8
    assert Counter(row["cluster_id"] for row in rows) == {sha256(photo(0)): 4, sha256(photo(1)): 4}
    assert [row["answer"] for row in rows] == ["01"] * 4 + ["11"] * 4  # whatever the order
    assert [row["label"] for row in rows[:4]] == ["A", "D", "C", "B"]
    assert rows[0]["image"] == photo(0)


def test_hrbench_in_one_folder_is_read_in_one_of_its_forms(tmp_path: Path) -> None:
    put_parquet(tmp_path / "hr" / "hr_bench_4k.parquet", hr_rows())
    put_tsv(tmp_path / "hr" / "hr_bench_4k.tsv", hr_rows())
    rows, _ = import_all("hrbench", tmp_path / "hr")
    assert len(rows) == 8


# MME-RealWorld


def mme_row(**changes: Any) -> dict[str, Any]:
    return {
        "Question_id": "perception/ocr_cc/book_map_poster/0913", "Image": "book.png", "Text": "Which dish?",
        "Question Type": "Multiple Choice",
        "Answer choices": ["(A) Ribs", "(B) Flakes", "(C) Soup", "(D) Rice", "(E) The image does not feature it."],
        "Ground truth": "B", "Category": "book_map_poster", "Subtask": "OCR with Complex Context", "Task": "Perception",
    } | changes  # fmt: skip


def test_mme_realworld_json_finds_its_images_beside_it(tmp_path: Path) -> None:
    put_photo(tmp_path / "mme" / "imgs" / "book.png", 1)
    (row,), _ = import_all("mme_realworld", put_json(tmp_path / "mme" / "MME_RealWorld.json", [mme_row()]))
    assert (row["label"], row["answer"], len(row["options"])) == ("B", "Flakes", 5)
    assert row["dimension"] == "Perception/OCR with Complex Context"


def test_mme_realworld_in_chinese(tmp_path: Path) -> None:
    put_photo(tmp_path / "a.jpg", 1)
    choices = ["(A) 左边", "(B) 右边", "(E) 图片中没有"]
    cn = mme_row(Image="a.jpg", Text="车在哪里？", **{"Answer choices": choices, "Ground truth": "E"})
    (row,), _ = import_all("mme_realworld", put_json(tmp_path / "MME_RealWorld_CN.json", [cn]))
    assert (row["question"], row["label"], row["answer"]) == ("车在哪里？", "C", "图片中没有")


def test_mme_realworld_parquet(tmp_path: Path) -> None:
    row = {
        "index": 7, "bytes": base64_of(photo(1)), "question": "Which dish?", "answer": "A",
        "multi-choice options": ["(A) Ribs", "(B) Soup"], "category": "Perception/Monitoring", "l2-category": "count",
    }  # fmt: skip
    (item,), _ = import_all("mme_realworld", put_parquet(tmp_path / "train.parquet", [row]))
    assert (item["answer"], item["dimension"], item["image"]) == ("Ribs", "Perception/Monitoring", photo(1))


def test_an_image_that_is_not_there_fails_its_row_alone(tmp_path: Path) -> None:
    put_photo(tmp_path / "book.png", 1)
    path = put_json(tmp_path / "m.json", [mme_row(Image="gone.png"), mme_row(), mme_row(Image="also/gone.png")])
    rows, _ = import_all("mme_realworld", path)
    assert [row["reason"] for row in rows] == ["missing_image", "", "missing_image"]
    assert len({row["item_id"] for row in rows}) == 3


# CV-Bench, ColorBench, CountQA, MMStar, the reference


def cv_row(**changes: Any) -> dict[str, Any]:
    return {
        "idx": 0, "type": "2D", "task": "Count", "image": struct(photo(1)), "question": "How many organs are there?",
        "choices": ["3", "2", "1", "0"], "answer": "(C)", "prompt": "...", "filename": "img/2D/count/ade20k_10.png",
        "source": "ADE20K", "source_dataset": "ADE20K Validation Set", "bbox": None,
    } | changes  # fmt: skip


def test_cvbench_2d_and_3d(tmp_path: Path) -> None:
    boxes = [[10.4, 8.0, 40.0, 28.0], [50, 8, 70, 28]]
    far = cv_row(type="3D", task="Depth", source="Omni3D", bbox=boxes, question="Which is closer?")
    put_parquet(tmp_path / "cv" / "test_2d.parquet", [cv_row()])
    put_parquet(tmp_path / "cv" / "test_3d.parquet", [far])
    rows, _ = import_all("cvbench", tmp_path / "cv")
    assert [row["dimension"] for row in rows] == ["2D Count", "3D Depth"]
    assert [(row["label"], row["answer"]) for row in rows] == [("C", "1")] * 2
    assert [row["box"] for row in rows] == [None, (10, 8, 70, 28)]


def test_cvbench_whose_boxes_are_of_another_form_is_read_without_them(tmp_path: Path) -> None:
    (row,), _ = import_all("cvbench", put_parquet(tmp_path / "t.parquet", [cv_row(bbox="sink: 1 2; lamp: 3 4")]))
    assert (row["status"], row["box"]) == ("ok", None)


def test_colorbench_and_an_answer_beyond_its_choices(tmp_path: Path) -> None:
    row = {
        "idx": 0, "id": 5, "type": "Perception", "task": "Color Recognition", "filename": "a.jpg",
        "image": struct(photo(1)), "prompt": "...", "question": "What color?", "choices": ["Red", "Blue"],
        "answer": "(B)", "image_url": "",
    }  # fmt: skip
    path = put_parquet(tmp_path / "test.parquet", [row, row | {"question": "Which one?", "answer": "(E)"}])
    (good, bad), _ = import_all("colorbench", path)
    assert (good["answer"], good["dimension"]) == ("Blue", "Color Recognition")
    assert (bad["status"], bad["reason"]) == ("failed", "no_gold_option")


def test_countqa_has_several_questions_on_one_image(tmp_path: Path) -> None:
    row = {
        "image": struct(photo(1)), "questions": ["How many cups?", "How many forks?"], "answers": ["12", "3"],
        "objects": ["cup", "fork"], "categories": ["kitchen"], "is_focused": True,
    }  # fmt: skip
    unpaired = row | {"image": struct(photo(2)), "answers": ["12"]}
    rows, found = import_all("countqa", put_parquet(tmp_path / "test.parquet", [row, unpaired]))
    assert [(r["question"], r["answer"], r["reason"]) for r in rows[:2]] == [
        ("How many cups?", "12", ""),
        ("How many forks?", "3", ""),
    ]
    assert rows[0]["cluster_id"] == rows[1]["cluster_id"] == sha256(photo(1))
    assert (rows[2]["status"], rows[2]["reason"]) == ("failed", "unpaired_answers")
    assert found.sources["countqa"]["expected"] == [{"rows": 1528, "multiple_choice": 0, "open": 1528}]


def test_mmstar_parquet_and_tsv(tmp_path: Path) -> None:
    row = {
        "index": 0, "question": "Which is it?\nOptions: A: a cat, tall, B: a dog, C: an owl, D: none", "answer": "A",
        "category": "coarse perception", "l2_category": "image scene", "image": photo(1), "meta_info": {"source": "x"},
    }  # fmt: skip
    in_text, _ = import_all("mmstar", put_parquet(tmp_path / "mmstar.parquet", [row]))
    columns = {"A": "a cat, tall", "B": "a dog", "C": "an owl", "D": "none"}
    flat = {**row, "image": base64_of(photo(1)), "question": "Which is it?", **columns}
    in_columns, _ = import_all("mmstar", put_tsv(tmp_path / "MMStar.tsv", [flat]))
    assert [one.pop("prompt") for one in (*in_text, *in_columns)] == [row["question"], None]
    assert in_text == in_columns
    assert (in_text[0]["answer"], in_text[0]["dimension"]) == ("a cat, tall", "coarse perception")


def test_mmstar_without_options_that_can_be_read_is_no_open_question(tmp_path: Path) -> None:
    row = {"index": 0, "question": "Which is it?", "answer": "A", "category": "", "image": photo(1)}
    (item,), _ = import_all("mmstar", put_parquet(tmp_path / "mmstar.parquet", [row]))
    assert (item["status"], item["reason"]) == ("failed", "no_options")


def test_the_references_json_with_paths_from_where_its_script_ran(tmp_path: Path) -> None:
    put_photo(tmp_path / "ZoomBench" / "images" / "image_0.png", 1)
    put_photo(tmp_path / "ZoomBench" / "images" / "crop_image_0.png", 2)
    row = {
        "images": ["../ZoomBench/images/image_0.png"], "crop_images": ["../ZoomBench/images/crop_image_0.png"],
        "query": "<image>" + MCQ, "response": "A",
    }  # fmt: skip
    path = put_json(tmp_path / "ZoomBench" / "zoombench.json", [row, row | {"query": "What?", "crop_images": []}])
    (mcq, question), _ = import_all("reference", path)
    assert (mcq["answer"], mcq["crop_made"], mcq["image"]) == ("red", False, photo(1))
    assert (question["question"], question["crop"]) == ("What?", None)
    several = put_json(path, [row | {"images": row["images"] * 2}])
    assert import_all("reference", several)[0][0]["reason"] == "several_images"


# Options and gold letters

NAMES = ["B. Baker", "C. Clark", "D. Dunn", "A. Adams"]


def test_initials_in_columns_or_lists_are_names_and_the_letter_goes_by_the_column(tmp_path: Path) -> None:
    row = {"index": 0, "image": base64_of(photo(1)), "question": "Whose shop?", "answer": "A", "category": "single"}
    (item,), _ = import_all("hrbench", put_jsonl(tmp_path / "a.jsonl", [row | dict(zip("ABCD", NAMES, strict=True))]))
    assert (item["options"], item["label"], item["answer"]) == (NAMES, "A", "B. Baker")
    (item,), _ = import_all(
        "table",
        put_jsonl(tmp_path / "b.jsonl", [row | {"options": NAMES, "label": "C"} | {"answer": "D. Dunn"}]),
        name="t",
    )
    assert (item["options"], item["label"], item["answer"]) == (NAMES, "C", "D. Dunn")


def test_an_empty_column_moves_the_letter_with_its_text(tmp_path: Path) -> None:
    row = {"index": 0, "image": base64_of(photo(1)), "question": "What?", "answer": "C", "category": "single"}
    columns = {"A": None, "B": "x", "C": "y", "D": "z"}
    (item,), _ = import_all("hrbench", put_jsonl(tmp_path / "a.jsonl", [row | columns]))
    assert (item["options"], item["label"], item["answer"]) == (["x", "y", "z"], "B", "y")


def test_marks_in_a_question_and_in_options_cut_neither(tmp_path: Path) -> None:
    lamps = "Which of the lamps marked (A) and (B) is lit?"
    texts = {
        f"{lamps}\nOptions: A: Lamp one, B: Lamp two, C: Both, D: Neither": "Lamp one",
        "What is in it?\nOptions: A: Vitamin A: retinol, B: Vitamin C, C: Zinc, D: Iron": "Vitamin A: retinol",
        "What does the clock say?\nOptions: A: 5 A.M., B: 5 P.M., C: noon, D: 6 A.M.": "5 A.M.",
    }
    rows = [
        {"index": number, "question": text, "answer": "A", "category": "x", "image": photo(number)}
        for number, text in enumerate(texts)
    ]
    items, _ = import_all("mmstar", put_parquet(tmp_path / "mmstar.parquet", rows))
    found = {item["question"]: (len(item["options"]), item["answer"]) for item in items}
    assert found == {text.partition("\n")[0]: (4, answer) for text, answer in texts.items()}


def test_a_list_that_a_question_quotes_is_no_list_of_options(tmp_path: Path) -> None:
    quoted = "The board reads:\nA. milk\nB. eggs\nWhat is printed below the eggs?"
    rows = [
        zoom_row(query=quoted, response="bread"),
        zoom_row(id="2", image=struct(photo(3)), query=quoted, response="B"),
    ]
    (item, unclear), found = import_all("zoombench", put_parquet(tmp_path / "test.parquet", rows))
    assert (item["question"], item["options"], item["answer"], item["status"]) == (quoted, [], "bread", "ok")
    assert (unclear["status"], unclear["reason"]) == ("failed", "ambiguous_options")  # the second line, or the letter
    assert found.sources["zoombench"]["reason"] == {"failed: ambiguous_options": 1}


def test_options_that_were_published_beside_the_prompt_leave_it_whole(tmp_path: Path) -> None:
    row = zoom_row(query="Which of A. milk and B. eggs is it?", options=["milk", "eggs"], response="B")
    (item,), _ = import_all("zoombench", put_parquet(tmp_path / "test.parquet", [row]))
    assert (item["question"], item["options"], item["answer"]) == (row["query"], ["milk", "eggs"], "eggs")
    assert item["prompt"] == row["query"]


def test_a_released_text_that_names_other_letters_than_the_item_is_left_out(tmp_path: Path) -> None:
    gone = cv_row(choices=["3", "", "1"], answer="(C)", prompt="How many?\n(A) 3\n(B) \n(C) 1")
    turned = zoom_row(query="Which?\nA. red\nB. blue", options=["blue", "red"], response="A")
    unlisted = zoom_row(image=struct(photo(3)), query="Which is it?", options=["blue", "red"], response="A")
    rows, _ = import_all("cvbench", put_parquet(tmp_path / "c.parquet", [gone]))
    rows += import_all("zoombench", put_parquet(tmp_path / "z.parquet", [turned, unlisted]))[0]
    own = {"image": struct(photo(1)), "question": "Which?", "options": ["red", "blue"], "answer": "blue"}
    told = [own | {"prompt": "Reply with one letter."}, own | {"image": struct(photo(2)), "prompt": "Which? Say it."}]
    rows += import_all("table", put_parquet(tmp_path / "t.parquet", told))[0]
    assert [(row["status"], row["answer"], row["prompt"]) for row in rows] == [
        ("ok", "1", None), ("ok", "blue", None), ("ok", "blue", None), ("ok", "blue", None),
        ("ok", "blue", "Which? Say it."),
    ]  # fmt: skip


def test_no_letter_is_right_by_default(tmp_path: Path) -> None:
    unlabelled = vstar_question(1) | {"label": None}
    beyond = vstar_question(2) | {"label": "G"}
    without = {"image": struct(photo(1)), "question": GLOVE, "options": MATERIALS, "label": None}
    named = without | {"image": struct(photo(2)), "label": "C"}
    root = put_vstar(tmp_path / "vstar")
    put_jsonl(root / "test_questions.jsonl", [unlabelled, beyond])
    rows = import_all("vstar", root)[0] + import_all("vstar", put_parquet(tmp_path / "p.parquet", [without, named]))[0]
    assert [(row["status"], row["label"], row["answer"]) for row in rows if row["status"] == "ok"] == [
        ("ok", "C", "kevlar")
    ]
    assert {row["reason"] for row in rows if row["status"] != "ok"} == {"no_gold_option", "no_question_or_answer"}


def test_a_letter_and_a_text_that_contradict_each_other_are_no_gold(tmp_path: Path) -> None:
    row = {"image": base64_of(photo(1)), "question": "What?", "options": ["red", "blue"], "answer": "red", "label": "B"}
    letter = row | {"question": "Which letter?", "options": ["C", "A", "B", "D"], "answer": "B", "label": None}
    rows, _ = import_all("table", put_jsonl(tmp_path / "t.jsonl", [row, letter]), name="t")
    assert [row["reason"] for row in rows] == ["no_gold_option"] * 2  # of the second: letter B, or the text of C


def test_two_gold_answers_to_one_question_are_none(tmp_path: Path) -> None:
    open_row = zoom_row(query="How many cups?", response="4", crop_image=None)
    rows = [open_row, open_row | {"response": "four"}, zoom_row(), zoom_row(response="C"), zoom_row()]
    items, _ = import_all("zoombench", put_parquet(tmp_path / "test.parquet", rows))
    states = [(item["question"], item["status"], item["reason"]) for item in items]
    lid = "What color is the lid?"
    assert states[:2] == [("How many cups?", "ok", ""), ("How many cups?", "rejected", "duplicate")]
    assert states[2:4] == [(lid, "failed", "conflicting_answers")] * 2
    assert states[4][1] == "rejected"
    assert all(item["image"] is None for item in items if item["status"] != "ok")


# All


@pytest.mark.parametrize(
    "kind",
    ["zoombench", "vstar", "hrbench", "mme_realworld", "cvbench", "countqa", "colorbench", "mmstar", "reference"],
)
def test_a_file_of_another_benchmark_is_an_error_that_names_the_column(tmp_path: Path, kind: Any) -> None:
    path = put_jsonl(tmp_path / "other.jsonl", [{"picture": "a.jpg"}])
    with pytest.raises(TableError, match=r"other.jsonl has no column (image|images|Image)"):
        import_all(kind, path)


def test_the_same_item_has_the_same_id_from_every_form_and_another_in_every_source(tmp_path: Path) -> None:
    path = put_parquet(tmp_path / "test.parquet", [zoom_row()])
    (one,), _ = import_all("zoombench", path)
    (other,), _ = import_all("zoombench", path, name="zoom")
    assert one["item_id"] != other["item_id"]
    assert one["image_id"] == other["image_id"] == sha256(photo(1))
    assert read_image(one["image"]).size == SIDES


def test_every_kind_but_rendered_has_an_importer() -> None:
    from r2i.benchmark.importers import importer_of

    kinds = BenchmarkSource.model_json_schema()["properties"]["kind"]["enum"]
    for kind in set(kinds) - {"rendered"}:
        assert importer_of(BenchmarkSource(kind=kind, path="x")).drafts


def test_metrics_hold_no_path_and_can_be_written(tmp_path: Path) -> None:
    _, found = import_all("hrbench", put_parquet(tmp_path / "hr.parquet", hr_rows()))
    assert str(tmp_path) not in json.dumps(found.sources)
    assert found.sources["hrbench"]["chance"] == 0.25


# Beyond what is taught: reasoning, generated pictures


def test_hallusionbench_is_yes_or_no_and_a_set_is_one_cluster(tmp_path: Path) -> None:
    base = {"category": "VS", "subcategory": "chart", "set_id": "0", "question": "Is the bar red?", "filename": "a.png"}
    rows = [
        base | {"image": struct(photo(1)), "gt_answer": "1", "figure_id": "0"},
        base | {"image": struct(photo(2)), "gt_answer": "0", "figure_id": "1"},
        base | {"image": struct(photo(3)), "gt_answer": "2", "figure_id": "2"},
        base | {"image": None, "gt_answer": "1", "figure_id": "3"},
    ]
    items, found = import_all("hallusionbench", put_parquet(tmp_path / "image.parquet", rows))
    assert [(item["answer"], item["status"], item["reason"]) for item in items] == [
        ("Yes", "ok", ""), ("No", "ok", ""), ("", "failed", "no_gold_option"), ("Yes", "failed", "no_image")
    ]  # fmt: skip
    assert len({item["cluster_id"] for item in items}) == 1 and items[0]["dimension"] == "VS/chart"
    assert {item["group"] for item in items} == {"reasoning"} and found.sources["hallusionbench"]["complete"] is False


def test_mathvision_has_open_questions_and_options_that_the_figure_explains(tmp_path: Path) -> None:
    base = {"id": "1", "image": "images/1.jpg", "decoded_image": struct(photo(1)), "subject": "counting", "level": 2}
    rows = [
        base | {"question": "Which one is larger? <image1>", "options": ["A", "B", "C"], "answer": "B"},
        base | {"question": "How many <image1>", "options": [], "answer": "12"},
    ]
    (choice, question), _ = import_all("mathvision", put_parquet(tmp_path / "test.parquet", rows))
    assert (choice["options"], choice["label"], choice["answer"]) == (["A", "B", "C"], "B", "B")
    assert (question["options"], question["answer"], question["dimension"]) == ([], "12", "counting")
    assert question["status"] == choice["status"] == "ok"


def test_babyvision_counts_its_right_options_from_0(tmp_path: Path) -> None:
    put_photo(tmp_path / "images" / "1.jpg", 1)
    base = {"taskId": 1, "image": "images/1.jpg", "type": "Tracking", "subtype": "Maze", "coT": "..."}
    rows = [
        base | {"question": "Which?", "ansType": "choice", "options": ["left", "right"], "choiceAns": 1,
                "blankAns": None},
        base | {"question": "Where?", "ansType": "blank", "options": [], "choiceAns": "null", "blankAns": "(4,7)"},
        base | {"question": "Who?", "ansType": "choice", "options": ["a", "b"], "choiceAns": 2, "blankAns": ""},
        base | {"question": "How?", "ansType": "choice", "options": [], "choiceAns": 0, "blankAns": ""},
        base | {"question": "When?", "ansType": "choice", "options": ["", "b", "c"], "choiceAns": 1, "blankAns": ""},
    ]  # fmt: skip
    items, _ = import_all("babyvision", put_jsonl(tmp_path / "meta_data.jsonl", rows))
    said = {item["question"]: (item["answer"], item["label"], item["reason"]) for item in items}
    assert said["Which?"] == ("right", "B", "") and said["Where?"] == ("(4,7)", "", "")
    assert (said["Who?"][2], said["How?"][2]) == ("no_gold_option", "no_options")
    assert said["When?"][2] == "no_gold_option"  # of two that are left nobody knows which was the second


def test_fakeclue_is_real_or_fake(tmp_path: Path) -> None:
    put_photo(tmp_path / "ff" / "1.jpg", 1)
    asked = [{"from": "human", "value": "<image>\nIs this image real or fake?"}, {"from": "gpt", "value": "..."}]
    rows = [{"image": "ff/1.jpg", "label": 1, "cate": "face", "conversations": asked},
            {"image": "ff/1.jpg", "label": None, "cate": "face", "conversations": []}]  # fmt: skip
    (real, broken), _ = import_all("fakeclue", put_json(tmp_path / "test.json", rows))
    assert (real["question"], real["answer"], real["group"]) == (
        "Is this image real or fake?",
        "real",
        "aigc detection",
    )
    assert broken["status"] == "failed"
