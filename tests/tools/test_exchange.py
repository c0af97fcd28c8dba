"""Datasets from elsewhere become train rows or say why not; ours go out in columns that other trainers read."""

import base64
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core.choices import adapt_prompt, mcq_prompt
from r2i.core.errors import ImageError, ParamsError, TableError
from r2i.core.images import jpeg_bytes, read_image
from r2i.core.params import Cut, Rows
from r2i.core.records import TRAIN
from r2i.core.tables import Row, read_table, write_table
from r2i.grading.strict import grade_strictly
from r2i.importing.boxes import read_box
from r2i.importing.digest import checked_folder, table_sha256
from r2i.importing.pictures import read_picture
from r2i.importing.questions import read_problem, split_options
from r2i.importing.records import read_records
from r2i.tools.exchange.distill import command
from r2i.tools.exchange.export import export_table
from r2i.tools.exchange.importing import import_table

SIZE = (80, 60)
MCQ = (
    "<image>What colour is the mug?\n\nOnly focus on the objects inside the red bounding box in the image to answer "
    "this question.\n\nA. red\nB. dark green\nC. blue\nD. none of these\n\nAnswer with the option's letter from the "
    "given choices."
)


def picture(shade: int, kind: str = "PNG", size: tuple[int, int] = SIZE) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 40, 90)).save(buffer, kind)
    return buffer.getvalue()


def sample(number: int = 0, **other: Any) -> dict[str, Any]:
    return {
        "images": [{"bytes": picture(number), "path": None}],
        "problem": MCQ,
        "answer": "B",
        "bbox": [10.2, 5.0, 29.6, 25.0],
        "status": "valid vqa",
    } | other


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def imported(source: Path, style: str = "paper", unit: Any = "pixels") -> list[Row]:
    folder = source.parent / f"table of {source.stem}"
    import_table(source, folder, style, unit)
    return read_table(folder, TRAIN, "import")


def reasons(rows: list[Row]) -> list[str]:
    return sorted(f"{row['status']}: {row['reason']}" if row["reason"] else row["status"] for row in rows)


# what becomes of a row


def test_a_row_of_the_reference_becomes_a_train_row(tmp_path: Path) -> None:
    (row,) = imported(write_parquet(tmp_path / "x.parquet", [sample(7, ability="color", data_source="general")]))
    assert (row["status"], row["reason"], row["view"]) == ("ok", "", "boxed")
    assert row["box"] == [10, 5, 30, 25]  # 10.2 and 29.6 rounded
    assert row["options"] == ["red", "dark green", "blue", "none of these"]
    assert (row["label"], row["answer"], row["dimension"]) == ("B", "dark green", "color")
    assert row["question"].startswith("What colour is the mug?") and "A. red" not in row["question"]
    assert row["prompt"].startswith("What colour") and "<image>" not in row["prompt"]
    assert read_image(row["image"]).size == SIZE and Image.open(io.BytesIO(row["image"])).format == "JPEG"


def test_a_problem_that_asks_for_no_answer_span_gets_the_instruction_once(tmp_path: Path) -> None:
    """The reference's trainer adds its own; without one a student would never be right."""
    asked = sample(1, problem="<image>How many? Write <answer>3</answer>.", answer="3")
    with_it, without = imported(write_parquet(tmp_path / "x.parquet", [sample(0), asked]))
    if "How many" in with_it["prompt"]:
        with_it, without = without, with_it
    assert with_it["prompt"].count("<answer>") == 1 and with_it["prompt"].startswith(MCQ.removeprefix("<image>"))
    assert without["prompt"] == "How many? Write <answer>3</answer>."


def test_a_style_that_does_not_exist_stops_the_import_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no prompt"):
        import_table(write_parquet(tmp_path / "x.parquet", [sample()]), tmp_path / "t", "baroque", "pixels")


def test_rows_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    bad = {
        "failed: no_image": {"images": []},
        "failed: unreadable": {"images": [{"bytes": b"dear diary", "path": None}]},
        "failed: truncated": {"images": [{"bytes": picture(3, size=(300, 300))[:-300], "path": None}]},
        "rejected: several_images": {"images": [{"bytes": picture(1), "path": None}] * 2},
        "rejected: no_answer": {"answer": None},
        "rejected: letter_beyond_options": {"answer": "E"},
        "rejected: no_gold_option": {"answer": "purple"},
        "rejected: no_question": {"problem": "<image>\nA. red\nB. blue"},
        "rejected: special_tokens": {"problem": "<|image_pad|>" + MCQ},
        "rejected: equal_options": {"problem": "Which?\nA. red\nB. five\nC. 5"},
        "rejected: status_very_easy_vqa": {"status": "very easy vqa"},
        "failed: box_outside": {"bbox": [10.0, 5.0, 90.0, 25.0]},
        "failed: bad_box": {"bbox": [10.0, 5.0, 25.0]},
        "rejected: extreme_aspect": {"images": [{"bytes": picture(0, size=(402, 2)), "path": None}]},
    }
    rows = [sample(0), *(sample(100 + number, **change) for number, change in enumerate(bad.values()))]
    assert reasons(imported(write_parquet(tmp_path / "x.parquet", rows))) == sorted(["ok", *bad])


def test_one_question_on_one_picture_is_kept_once(tmp_path: Path) -> None:
    rows = imported(write_parquet(tmp_path / "x.parquet", [sample(1), sample(1), sample(1), sample(2)]))
    assert reasons(rows) == ["ok", "ok", "rejected: duplicate", "rejected: duplicate"]
    assert all((row["image"] is None) == (row["status"] != "ok") for row in rows)


def test_a_row_turned_away_does_not_make_its_good_twin_a_duplicate(tmp_path: Path) -> None:
    rows = imported(write_parquet(tmp_path / "x.parquet", [sample(1, bbox=[1.0]), sample(1)]))
    assert reasons(rows) == ["failed: bad_box", "ok"]


def test_where_rows_lie_and_in_which_order_changes_no_byte(tmp_path: Path) -> None:
    rows = [sample(number) for number in range(5)]
    one = write_parquet(tmp_path / "a" / "x.parquet", rows)
    for number, row in enumerate(reversed(rows)):
        write_parquet(tmp_path / "b" / f"{number}.parquet", [row])
    digests = [import_table(path, tmp_path / f"{path.name} table", "paper", "pixels") for path in (one, tmp_path / "b")]
    assert digests[0]["sha256"] == digests[1]["sha256"]


# problems and answers


@pytest.mark.parametrize(
    "lines",
    ["A. red\nB. blue", "A) red\nB) blue", "(A) red\n(B) blue", "A: red\nB: blue", "- A. red\n- B. blue",
     "**A.** red\n**B.** blue", "  A.red\n\n  B.blue", "Options:\nA. red\nB. blue", "**Choices:**\n(A) red\n(B) blue"],
)  # fmt: skip
def test_options_are_read_in_every_style(lines: str) -> None:
    assert split_options(f"What colour?\n{lines}\n\nAnswer with a letter.") == ("What colour?", ["red", "blue"])


def test_a_line_between_two_options_belongs_to_the_upper_one() -> None:
    assert split_options("Which?\nA. a long\nstory\nB. a short one\nAnswer by letter.")[1] == [
        "a long story",
        "a short one",
    ]


def test_the_last_list_counts_and_a_list_of_one_is_none() -> None:
    assert split_options("A. Smith wrote this. Who?\nA. he\nB. she")[1] == ["he", "she"]
    assert split_options("A. Smith wrote this. Who did?") == ("A. Smith wrote this. Who did?", [])


def test_options_within_a_line_are_read_only_where_the_answer_is_a_letter() -> None:
    line = "What colour? (A) red, (B) blue (C) dark green"
    assert read_problem(line, "C").options == ["red", "blue", "dark green"]
    assert read_problem(line, "C").answer == "dark green"
    assert read_problem(line, "blue").options == []
    assert read_problem("Which letter is on the sign?", "B").label == "B"  # OCR: an open question


@pytest.mark.parametrize("answer", ["B", "b", "(B)", "B.", "B. dark green", "dark green", "\\boxed{B}", "**B**",
                                    "<answer>B</answer>", "Option B"])  # fmt: skip
def test_an_answer_is_read_as_a_reply_is(answer: str) -> None:
    read = read_problem(MCQ, answer)
    assert (read.label, read.answer, read.reason) == ("B", "dark green", "")


@pytest.mark.parametrize("answer", ["A. dark green", "(C) dark green", "at least 1 mug"])
def test_an_answer_that_contradicts_itself_or_says_more_names_no_option(answer: str) -> None:
    assert read_problem(MCQ, answer).reason == "no_gold_option"
    assert read_problem("How many?\nA. 1\nB. 2", answer).reason == "no_gold_option"


def test_an_open_question_keeps_its_answer_as_label() -> None:
    read = read_problem("<image>How many cups?", " **5 cups** ")
    assert (read.label, read.options) == ("5 cups", [])
    assert grade_strictly("<answer>five cups</answer>", read.label, read.options).correct
    assert read_problem("How many?", "N/A").reason == "no_answer"
    assert read_problem("How many?", "x" * 301).reason == "answer_too_long"  # a reply's span may hold 300


def test_our_own_prompts_are_read_back_in_both_styles() -> None:
    options = ["red", "dark green", "3 (three)", "none"]
    for style in ("mini", "paper"):
        assert split_options(mcq_prompt("What colour is it?", options, style)) == ("What colour is it?", options)


# pictures and boxes


def test_a_picture_comes_in_every_form_that_people_write(tmp_path: Path) -> None:
    data = picture(9)
    (tmp_path / "a.png").write_bytes(data)
    text = base64.b64encode(data).decode()
    forms = [data, {"bytes": data, "path": "x"}, {"bytes": None, "path": "a.png"}, {"bytes": text}, text, "a.png",
             f"data:image/png;base64,{text}", str(tmp_path / "a.png"), f"file://{tmp_path}/a.png"]  # fmt: skip
    for form in [*forms, *([form] for form in forms)]:
        assert read_picture(form, tmp_path) == data


@pytest.mark.parametrize(
    ("value", "reason"),
    [("https://host/x.jpg", "image_is_a_url"), ("gone.jpg", "missing_image"), ("", "no_image"), (None, "no_image"),
     ({"bytes": None, "path": None}, "no_image"), (5, "no_image"), (["a", "b"], "several_images"),
     ("\0", "missing_image"), (".", "missing_image"), ("x" * 9000 + "!", "missing_image")],
)  # fmt: skip
def test_what_is_no_picture_has_a_reason(value: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=reason):
        read_picture(value, tmp_path)


def test_a_pipe_in_place_of_a_picture_does_not_stop_the_import(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="missing_image"):
        read_picture("pipe.png", tmp_path)


def test_boxes_of_three_units_are_the_same_pixels() -> None:
    want = (20, 15, 60, 45)  # of an image of 80 x 60: a quarter to three quarters of each side
    assert read_box([20, 15, 60, 45], "pixels", *SIZE) == want
    assert read_box([0.25, 0.25, 0.75, 0.75], "shares", *SIZE) == want
    assert read_box("(250, 250, 750.0, 750)", "thousandths", *SIZE) == want
    assert read_box([[20, 15, 60, 45]], "pixels", *SIZE) == want
    assert read_box(None, "pixels", *SIZE) is None and read_box([], "pixels", *SIZE) is None


def test_the_unit_of_a_box_is_never_guessed() -> None:
    for box, unit in [
        ([0.25, 0.25, 0.75, 0.75], "pixels"),
        ([0.0, 0.0, 1.0, 1.0], "pixels"),
        ([20, 15, 60, 45], "shares"),
    ]:
        with pytest.raises(ImageError):
            read_box(box, unit, *SIZE)  # type: ignore[arg-type]


def test_a_box_may_stick_out_by_less_than_a_pixel_and_is_cut() -> None:
    assert read_box([-0.6, 0, 80.9, 60.4], "pixels", *SIZE) == (0, 0, 80, 60)
    for box in ([-1.6, 0, 10, 10], [0, 0, 10, 62], [30, 5, 20, 10], [5, 5, 5, 9], [float("nan")] * 4, "left of it", 7):
        with pytest.raises(ImageError):
            read_box(box, "pixels", *SIZE)


def test_boxes_in_another_unit_end_with_what_to_do(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "x.parquet", [sample(1, bbox=[0.1, 0.1, 0.4, 0.4])])
    with pytest.raises(TableError, match="--box-unit shares"):
        import_table(source, tmp_path / "t", "paper", "pixels")
    assert not (tmp_path / "t").exists()
    (row,) = imported(source, unit="shares")
    assert row["box"] == [8, 6, 32, 24]


# sources


def test_all_kinds_of_source_give_the_same_rows(tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [sample(number) for number in range(3)]
    kinds = [write_parquet(tmp_path / "one.parquet", rows), tmp_path / "saved", tmp_path / "lines.jsonl"]
    Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    texts = [row | {"images": [base64.b64encode(row["images"][0]["bytes"]).decode()]} for row in rows]
    write_lines(tmp_path / "lines.jsonl", texts)
    tables = [imported(kind) for kind in kinds]
    assert len(tables[0]) == 3 and tables[0] == tables[1] == tables[2]


def test_a_torn_record_is_a_row_and_the_others_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture(1))
    good = {"images": ["a.png"], "problem": MCQ, "answer": "A"}
    source = write_lines(
        tmp_path / "x.jsonl", [good, '{"images": ["a.p', "[1]", "", "[" * 99999, good | {"answer": "E"}]
    )
    rows = imported(source)
    assert reasons(rows) == ["failed: torn_record"] * 3 + ["ok", "rejected: letter_beyond_options"]
    about = json.loads((tmp_path / "table of x" / "about.json").read_text())
    assert about["first"]["failed: torn_record"] == ["x.jsonl:2", "x.jsonl:3", "x.jsonl:5"]  # line 4 is empty
    assert next(row for row in rows if row["status"] == "ok")["view"] == "full"  # no box, so none was drawn


def test_a_line_of_another_encoding_is_broken(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(json.dumps(sample(images=[])).encode() + b"\n\xff\xfe\x00{\n")
    assert [record.fault for record in read_records(tmp_path / "x.jsonl", [])] == ["", "torn_record"]


def bad_sources(folder: Path) -> dict[str, Path]:
    """What the error must say -> the source."""
    whole = write_parquet(folder / "whole.parquet", [sample(number) for number in range(20)]).read_bytes()
    other = write_parquet(folder / "other.parquet", [{"image": b"x", "question": "?", "answer": "A"}])
    made = {name: folder / f"{name}.parquet" for name in ("page", "cut", "pointer", "empty")}
    made["page"].write_text("<!DOCTYPE html><html>404</html>")
    made["cut"].write_bytes(whole[: len(whole) // 2])
    made["pointer"].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    made["empty"].write_bytes(b"")
    (folder / "nothing").mkdir()
    (folder / "splits" / "train").mkdir(parents=True)
    (folder / "splits" / "train" / "state.json").write_text("{}")
    (folder / "splits" / "dataset_dict.json").write_text("{}")
    return {
        "is HTML": made["page"],
        "cut or damaged": made["cut"],
        "Git LFS pointer": made["pointer"],
        "empty.parquet can't be read as PARQUET": made["empty"],
        "no column images, problem; it has image, question, answer": other,
        "no PARQUET, ARROW, JSONL": folder / "nothing",
        "no file or folder": folder / "gone",
        "holds the splits train": folder / "splits",
        "is not what `datasets` writes": folder / "splits" / "train",
        "no record of": write_lines(folder / "x.jsonl", ["1", "{"]),
    }


def test_a_source_that_cannot_be_read_says_why_and_leaves_no_table(tmp_path: Path) -> None:
    for words, source in bad_sources(tmp_path).items():
        with pytest.raises(TableError) as caught:
            import_table(source, tmp_path / "t", "paper", "pixels")
        assert words in str(caught.value) and caught.value.remedy
        assert not (tmp_path / "t").exists()


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in" / "x.parquet", [sample()])
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    for folder in (tmp_path / "home", source.parent, source.parent / "inside", tmp_path, source):
        with pytest.raises(TableError, match="name a new folder"):
            import_table(source if folder != source.parent / "inside" else source.parent, folder, "paper", "pixels")
    assert (tmp_path / "home" / "thesis.tex").exists() and source.exists()
    for _ in range(2):  # its own table may be replaced
        import_table(source, tmp_path / "t", "paper", "pixels")


# the digest


def test_the_digest_is_of_the_parquet_files_names_and_bytes(tmp_path: Path) -> None:
    import_table(write_parquet(tmp_path / "x.parquet", [sample()]), tmp_path / "t", "paper", "pixels", "CC-BY")
    digest = table_sha256(tmp_path / "t")
    assert json.loads((tmp_path / "t" / "about.json").read_text())["licence"] == "CC-BY"
    (tmp_path / "t" / "about.json").unlink()
    shutil.copytree(tmp_path / "t", tmp_path / "elsewhere")
    assert table_sha256(tmp_path / "elsewhere") == digest
    (part,) = (tmp_path / "t").glob("*.parquet")
    part.rename(part.with_name("part-1.parquet"))
    assert table_sha256(tmp_path / "t") != digest
    with pytest.raises(TableError, match="no Parquet"):
        table_sha256(tmp_path / "gone")


def test_rows_are_loaded_only_where_the_digest_still_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [sample(1), sample(2), sample(3, answer="E")]
    about = import_table(write_parquet(tmp_path / "x.parquet", rows), tmp_path / "t", "paper", "pixels")
    assert checked_folder(Rows(path=str(tmp_path / "t"), sha256=about["sha256"])) == tmp_path / "t"
    with pytest.raises(TableError, match=about["sha256"]):
        checked_folder(Rows(path=str(tmp_path / "t")))
    with pytest.raises(TableError) as caught:
        checked_folder(Rows(path=str(tmp_path / "t"), sha256="0" * 64))
    assert about["sha256"] in str(caught.value) and "0" * 64 in str(caught.value)
    monkeypatch.chdir(tmp_path)
    assert checked_folder(Rows(path="t", sha256=about["sha256"])) == Path("t")
    (tmp_path / "temp").mkdir()
    monkeypatch.chdir(tmp_path / "temp")  # `dvc exp run --temp`
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert checked_folder(Rows(path="t", sha256=about["sha256"])) == tmp_path / "t"


def test_a_file_that_is_no_table_of_train_rows_is_named_as_such(tmp_path: Path) -> None:
    write_parquet(tmp_path / "t" / "part-0.parquet", [{"x": 1}])
    with pytest.raises(TableError, match="r2i rows import"):
        checked_folder(Rows(path=str(tmp_path / "t"), sha256=table_sha256(tmp_path / "t")))


# export


def train_row(number: int, view: str = "boxed", options: int = 4, **other: Any) -> Row:
    texts = ["red", "blue", "dark green", "7"][:options]
    image = Image.new("RGB", SIZE, (number, 3, 5))
    prompt = (
        mcq_prompt(f"What is number {number}?", texts, "paper") if texts else f"Number {number}? <answer>X</answer>"
    )
    return {
        **dict.fromkeys(TRAIN.names),
        "row_id": f"row{number}", "question_id": f"q{number}", "region_id": "r", "image_id": f"image{number}",
        "view": view, "image": jpeg_bytes(image), "box": [3, 4, 20, 30] if view != "crop" else [300, 400, 500, 600],
        "question": f"What is number {number}?" if texts else prompt, "options": texts,
        "answer": texts[-1] if texts else "9", "label": "ABCD"[options - 1] if texts else "9", "prompt": prompt,
        "dimension": "counting", "status": "ok", "reason": "",
    } | other  # fmt: skip


def our_table(folder: Path) -> Path:
    rows = [train_row(1), train_row(2, "full"), train_row(3, "crop"), train_row(4, options=0), train_row(5, options=2)]
    rows += [train_row(6, image=None, status="rejected", reason="too_easy"), train_row(7, prompt="What is <image>?")]
    write_table(folder, rows, TRAIN, shards=8)  # some are empty
    return folder


CARRIED = ("view", "image", "box", "question", "options", "answer", "label", "prompt", "dimension", "status", "reason")


def by_prompt(rows: list[Row], columns: tuple[str, ...]) -> list[list[Any]]:
    return [[row[name] for name in columns] for row in sorted(rows, key=lambda row: row["prompt"])]


def test_what_goes_out_in_the_references_columns_comes_back_the_same(tmp_path: Path) -> None:
    source = our_table(tmp_path / "ours")
    assert export_table(source, tmp_path / "out", "reference") == {
        "rows": 5,
        "left_out": {"image_tag_in_prompt": 1, "rejected: too_easy": 1},
    }
    ours = [row for row in read_table(source, TRAIN, "overlay") if row["row_id"] < "row6"]
    assert by_prompt(imported(tmp_path / "out"), CARRIED) == by_prompt(ours, CARRIED)


def test_easyr1s_columns_carry_the_picture_the_prompt_and_the_answer(tmp_path: Path) -> None:
    source = our_table(tmp_path / "ours")
    export_table(source, tmp_path / "out", "easyr1")
    ours = [row for row in read_table(source, TRAIN, "overlay") if row["row_id"] < "row6"]
    carried = ("image", "question", "options", "answer", "label", "prompt")
    assert by_prompt(imported(tmp_path / "out"), carried) == by_prompt(ours, carried)


@pytest.mark.parametrize("form", ["reference", "easyr1"])
def test_datasets_reads_the_export_and_shows_its_pictures(form: Any, tmp_path: Path) -> None:
    from datasets import load_dataset

    export_table(our_table(tmp_path / "ours"), tmp_path / "out", form)
    data = load_dataset("parquet", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(data) == 5
    for row in data:
        assert [image.size for image in row["images"]] == [SIZE]
        assert row["problem"].count("<image>") == 1 and row["problem"].startswith("<image>")
        assert row["answer"] in ("D", "B", "9")
    if form == "reference":
        assert {row["status"] for row in data} == {"valid vqa"}
        assert data[0]["extra_info"]["question"] == data[0]["problem"]
        assert {row["ability"] for row in data} == {"general"}  # "counting" would be graded by distance


@pytest.mark.parametrize(("form", "teachers"), [("swift", "teacher_images"), ("vision-opd", "bbox_images")])
def test_rows_for_distillation_have_the_crop_beside_the_picture(form: Any, teachers: str, tmp_path: Path) -> None:
    """Of four rows one shows the crop, which its question's other row takes; one has no box, one a box of 20 x 30."""
    from datasets import load_dataset

    boxed = train_row(1, prompt=adapt_prompt("What is it?", "boxed", "paper"), box=[10, 5, 30, 35])
    crop = train_row(2, "crop", question_id="two", image=picture(200, "JPEG", (50, 70)))
    rows = [boxed, crop, train_row(3, "full", question_id="two"), train_row(4, "full", box=None)]
    write_table(tmp_path / "ours", rows, TRAIN)
    done = export_table(tmp_path / "ours", tmp_path / "out", form, Cut(upscale=3))
    assert done == {"rows": 2, "left_out": {"no crop": 1, "shows the crop itself": 1}}
    data = load_dataset("parquet", data_dir=str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    seen = {}
    for row in data:
        (message,) = row["messages" if form == "swift" else "prompt"]
        assert message["role"] == "user" and message["content"].count("<image>") == len(row["images"]) == 1
        ((teacher,), (student,)) = row[teachers], row["images"]
        told = row["teacher_prompt"] if form == "swift" else message["content"]
        seen[told] = (student.size, teacher.size, "box" in message["content"])
    swift_tells_of_it = form == "swift"  # its teacher has a prompt of its own
    assert seen["<image>What is it?"] == (SIZE, (60, 90), swift_tells_of_it)
    assert [size for _, size, _ in seen.values()].count((50, 70)) == 1
    start = command(form, tmp_path / "out")
    assert str(tmp_path / "out" / "train-00000-of-00001.parquet") in start


def test_an_export_is_a_function_of_the_table(tmp_path: Path) -> None:
    source = our_table(tmp_path / "ours")
    for name in ("a", "b"):
        export_table(source, tmp_path / name, "reference")
    assert table_sha256(tmp_path / "a") == table_sha256(tmp_path / "b")


def test_a_row_group_is_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row groups of the table become row groups of the export, however many there are."""
    monkeypatch.setattr("r2i.core.tables.GROUP_BYTES", 1)  # one row a group
    source = our_table(tmp_path / "ours")
    export_table(source, tmp_path / "out", "easyr1")
    sizes = []
    for path in (tmp_path / "out").glob("*.parquet"):
        meta = pq.read_metadata(path)
        sizes += [meta.row_group(number).num_rows for number in range(meta.num_row_groups)]
    assert max(sizes) == 1 and sum(sizes) == 5


def test_an_export_without_a_row_leaves_no_folder(tmp_path: Path) -> None:
    write_table(tmp_path / "ours", [train_row(1, image=None, status="failed", reason="x")], TRAIN)
    with pytest.raises(TableError, match="no row of"):
        export_table(tmp_path / "ours", tmp_path / "out", "easyr1")
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]
    with pytest.raises(TableError, match="dvc repro overlay"):
        export_table(tmp_path / "gone", tmp_path / "out", "easyr1")


# the command


def test_the_command_says_what_to_put_into_params(tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "x.parquet", [sample(1), sample(1), sample(2, answer="Z")])
    done = CliRunner().invoke(app, ["rows", "import", str(source), str(tmp_path / "t"), "--licence", "CC-BY-4.0"])
    assert done.exit_code == 0, done.output
    assert "1 ok" in done.output and "1 rejected: duplicate (first: x.parquet:1)" in done.output
    assert f"path: {tmp_path / 't'}" in done.output and table_sha256(tmp_path / "t") in done.output
    out = CliRunner().invoke(
        app, ["rows", "export", str(tmp_path / "o"), "--format", "easyr1", "--from", str(tmp_path / "t")]
    )
    assert out.exit_code == 0 and "1 rows in" in out.output and "left out: 1 rejected: duplicate" in out.output


def test_the_command_fails_with_cause_and_remedy(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["rows", "import", str(tmp_path / "gone"), str(tmp_path / "t")])
    assert done.exit_code == 1
    assert "error: no file or folder" in done.output and "-> look at the path" in done.output


def test_rows_that_answer_one_question_differently_all_fail(tmp_path: Path) -> None:
    rows = imported(write_parquet(tmp_path / "x.parquet", [sample(1, answer="A"), sample(2), sample(1, answer="B")]))
    assert reasons(rows) == ["failed: conflicting_answers", "failed: conflicting_answers", "ok"]
    assert all((row["image"] is None) == (row["status"] != "ok") for row in rows)
