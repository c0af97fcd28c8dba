"""Results and tasks in lmms-eval's form; `make test-lmms` runs the real tool on them."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, Features
from datasets import Image as HubImage
from made_rows import CROP, FULL, item_row
from made_run import make_run, write_params
from PIL import Image
from typer.testing import CliRunner

from r2i.cli.main import app
from r2i.core import paths, reasoning
from r2i.core.errors import R2IError, TableError
from r2i.core.params import Evaluate
from r2i.core.records import BENCHMARK
from r2i.core.tables import read_table
from r2i.evaluate.views import prompt_of
from r2i.tools.exports.lmms import TEMPLATES, write_tasks
from r2i.tools.exports.lmms_results import write_results
from r2i.tools.exports.zoombench import write_zoombench

CFG = Evaluate(prompts="paper", views=["full"], samples=0, max_tokens=64)
UTILS = runpy.run_path(str(TEMPLATES / "lmms_utils.py"))
COLORS = ["red", "dark red", "blue", "4"]


def row(number: int, correct: bool | None, **more: Any) -> dict[str, Any]:
    item = item_row(number)
    for column in ("image", "crop", "boxed"):
        del item[column]
    said = {"view": "full", "sample": 0, "reply": "<answer>C</answer>", "rule": "letter", "predicted": "C",
            "correct": correct, "zoom_box": None, "reply_key": "k/0", "endpoint": "local", "model": "models/mini",
            "tokens_in": 1, "tokens_out": 1}  # fmt: skip
    return item | said | more


def read(folder: Path) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    (results,) = folder.rglob("*_results.json")
    samples = {path.stem.split("_samples_")[1]: path for path in folder.rglob("*.jsonl")}
    lines = {task: [json.loads(line) for line in path.read_text().splitlines()] for task, path in samples.items()}
    return json.loads(results.read_text()), lines


def test_accuracy_counts_unscored_as_wrong_and_failed_nowhere_and_errors_are_by_hand(tmp_path: Path) -> None:
    # clusters {i0, i1}, {i2, i3}: scores 1 1 | 0 0, mean 1/2, d = ±1/2, squares 1, pairs (1 + 1) - 1 = 1
    rows = [row(0, True), row(1, True), row(2, None), row(3, False)]
    rows += [row(4, None, status="failed", reason="timeout", reply="")]
    rows += [row(0, True, sample=1), row(0, None, view="crop", status="rejected", reason="no_crop")]
    write_results(tmp_path, "base", rows, [f"i{n:04d}" for n in range(5)], CFG, "20260101_000000")
    results, samples = read(tmp_path)
    assert list(results["results"]) == ["r2i_full"] == list(samples)
    scores = results["results"]["r2i_full"]
    assert scores["acc,none"] == 0.5
    assert scores["acc_stderr,none"] == pytest.approx((1 / 3 / 4) ** 0.5)
    assert scores["acc_stderr_clustered,none"] == pytest.approx((1 / 3 / 4 + 1 / 16) ** 0.5)
    assert results["n-samples"]["r2i_full"] == {"original": 5, "effective": 4}
    assert [line["score"] for line in samples["r2i_full"]] == [1.0, 1.0, 0.0, 0.0]


def test_a_sample_is_numbered_as_in_the_task(tmp_path: Path) -> None:
    order = write_tasks(tmp_path / "tasks", [item_row(1), item_row(0)], CFG)["full"]
    write_results(tmp_path, "base", [row(0, True), row(1, False)], order, CFG, "20260101_000000")
    (line, other) = read(tmp_path)[1]["r2i_full"]
    assert (line["doc_id"], line["acc"]["item_id"], line["score"]) == (0, "i0001", 0.0)
    assert (other["doc_id"], other["acc"]["item_id"]) == (1, "i0000")
    with pytest.raises(TableError, match="no ok item"):
        write_results(tmp_path, "base", [row(7, True)], order, CFG, "20260101_000000")


def test_what_was_asked_in_the_words_of_others_is_not_exported_as_ours(tmp_path: Path) -> None:
    with pytest.raises(R2IError, match="is zwz"):
        write_tasks(tmp_path / "tasks", [item_row(0)], CFG.model_copy(update={"protocol": "zwz"}))


def test_a_task_shows_its_view_with_our_prompt_and_leaves_out_items_without_it(tmp_path: Path) -> None:
    from datasets import load_dataset

    items = [item_row(0), item_row(1, crop=None, options=[], label=""), item_row(2, status="failed")]
    written = write_tasks(tmp_path / "tasks", items, CFG)
    assert written == {"full": ["i0000", "i0001"], "crop": ["i0000"]}
    sizes = {}
    for view in written:
        text = (tmp_path / "tasks" / f"r2i_{view}.yaml").read_text().replace("!function ", "")
        task = yaml.safe_load(text)
        assert (task["task"], task["cluster_key"], task["generation_kwargs"]["max_new_tokens"]) == (
            f"r2i_{view}", "cluster_id", 64,
        )  # fmt: skip
        docs = load_dataset(task["dataset_path"], cache_dir=str(tmp_path / view), **task["dataset_kwargs"])["test"]
        sizes[view] = [UTILS["doc_to_visual"](doc)[0].size for doc in docs]
        assert [UTILS["doc_to_text"](doc) for doc in docs] == [prompt_of(i, view, "paper") for i in items[: len(docs)]]
        assert docs[0]["image"].mode == "RGB" and docs[0]["label"] == "C"
    assert sizes == {"full": [(200, 100)] * 2, "crop": [(40, 40)]}
    assert FULL != CROP


def test_a_benchmark_without_crops_has_one_task_and_none_without_items(tmp_path: Path) -> None:
    assert set(write_tasks(tmp_path / "tasks", [item_row(0, crop=None)], CFG)) == {"full"}
    assert not list((tmp_path / "tasks").glob("*crop*"))
    with pytest.raises(TableError):
        write_tasks(tmp_path / "tasks", [item_row(0, status="failed")], CFG)


def test_an_export_replaces_an_export_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(R2IError, match="something else"):
        write_tasks(tmp_path, [item_row(0)], CFG)
    assert (tmp_path / "notes.txt").is_file()
    for _ in range(2):
        write_tasks(tmp_path / "tasks", [item_row(0)], CFG)


def test_the_tasks_need_nothing_of_ours() -> None:
    source = (TEMPLATES / "lmms_utils.py").read_text()
    assert not [line for line in source.splitlines() if line.startswith(("import r2i", "from r2i"))]
    subprocess.run([sys.executable, "-I", "-S", str(TEMPLATES / "lmms_utils.py")], check=True)


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("<answer>C</answer>", "C"), ("(B)", "B"), ("B. dark red", "B"), ("**A**", "A"), (r"so \boxed{D}", "D"),
        ("I see A first.\nThe answer is (B).", "B"), ("Option C", "C"), ("dark red", "B"), ("Red.", "A"),
        ("<answer>A</answer> no: <answer>B</answer>", "B"), ("A dog is on it", None), ("", None), ("E", None),
        ("red or blue", None), ("4", "D"),
    ],
)  # fmt: skip
def test_the_tasks_read_letters_and_texts(reply: str, letter: str | None) -> None:
    assert UTILS["read_letter"](UTILS["find_answer"](reply), COLORS) == letter


def test_the_tasks_grade_open_questions_by_plain_text() -> None:
    right = UTILS["is_right"]
    assert right("It says\n<answer>Exit 4B.</answer>", [], "", "exit 4b")
    assert not right("exit", [], "", "exit 4b") and not right("", [], "", "exit 4b")
    assert right("-3", [], "", "-3") and not right("3", [], "", "-3")


@pytest.mark.parametrize(
    ("reply", "options", "label", "answer", "right"),
    [
        ("", [], "", "→", False), ("←", [], "", "→", False), ("→", [], "", "→", True), ("...", [], "", "→", False),
        ("", ["→", "left"], "A", "→", False), ("...", ["→", "left"], "A", "→", False),
        ("→", ["→", "left"], "A", "→", True),
        ("C#", [], "", "C", False), ("C++", [], "", "C", False), ("10²", [], "", "102", False),
        ("5'", [], "", '5"', False), ("5″", [], "", '5"', True),
        ("<think>Perhaps <answer>A</answer>.</think>\nThe answer is B", ["x", "y"], "B", "y", True),
        ("<think>The answer is B", ["x", "y"], "B", "y", False), ("◁think▷A◁/think▷B", ["x", "y"], "B", "y", True),
        ("A. y", ["x", "y"], "A", "x", False), ("A. y", ["x", "y"], "B", "y", False),
        ("B. Baker", ["B. Baker", "C. Clark"], "A", "B. Baker", True), ("**STOP**", [], "", "Stop", True),
        ("<answer><|begin_of_box|>B<|end_of_box|></answer>", ["x", "y"], "B", "y", True),
    ],
)  # fmt: skip
def test_the_tasks_pay_no_empty_reply_no_other_sign_and_no_thought(
    reply: str, options: list[str], label: str, answer: str, right: bool
) -> None:
    assert UTILS["is_right"](reply, options, label, answer) == right


def test_the_tasks_remove_reasoning_by_our_own_lines() -> None:
    ours = Path(reasoning.__file__).read_text()
    code = ours[ours.index("# Names that models") :].strip()
    assert code in (TEMPLATES / "lmms_utils.py").read_text()


def test_the_command_exports_a_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(2)
    write_params(tmp_path)
    done = CliRunner().invoke(app, ["evaluate", "export", "out", "--format", "lmms", "--model", "distilled"])
    assert done.exit_code == 0, done.output
    items = len(read_table(paths.BENCHMARK, BENCHMARK, "benchmark"))
    results, samples = read(tmp_path / "out" / "results" / "distilled")
    assert {task: len(lines) for task, lines in samples.items()} == dict.fromkeys(
        ("r2i_boxed", "r2i_crop", "r2i_full"), items
    )
    assert results["model_name_sanitized"] == "distilled"
    assert (tmp_path / "out/tasks/r2i_crop.yaml").is_file()


def test_the_zoombench_task_reads_the_published_columns_and_grades_letters_and_words(tmp_path: Path) -> None:
    names = write_zoombench(tmp_path / "zoombench")
    assert names == ["utils.py", "zoombench.yaml", "zoombench_crop.yaml", "zoombench_full.yaml"]
    task = runpy.run_path(str(tmp_path / "zoombench" / "utils.py"))
    picture = Image.new("RGB", (64, 48), "red")
    said = yaml.safe_load((tmp_path / "zoombench" / "zoombench_full.yaml").read_text().replace("!function ", ""))
    prompts = said["lmms_eval_specific_kwargs"]["default"]
    choice = {"image": picture, "crop_image": picture.resize((8, 8)), "response": "(B)", "cluster_id": "c",
              "query": "<image>What color?\n(A) red\n(B) dark red\n(C) blue"}  # fmt: skip
    question = {"image": picture, "cluster_id": "c", "prompt": "How many? (A clue: B is no letter.)", "answer": "4"}
    assert task["zoom_options"](choice) == ["red", "dark red", "blue"] and task["zoom_options"](question) == []
    assert "letter" in task["zoom_text"](choice, prompts) and "letter of" not in task["zoom_text"](question, prompts)
    assert task["zoom_crop"](choice)[0].size == (8, 8)
    replies = ["B", "The answer is <answer>dark red</answer>", "A", "4", "<answer>4</answer>", "40"]
    docs = [choice] * 3 + [question] * 3
    found = [task["zoom_results"](doc, [reply])["score"] for doc, reply in zip(docs, replies, strict=True)]
    assert found == [1, 1, 0, 1, 1, 0]
    pictures = Features({"image": HubImage()})
    asked = Dataset.from_list([{"image": {"bytes": data, "path": None}} for data in (FULL, CROP, FULL)], pictures)
    first, other, again = task["zoom_clusters"](asked)["cluster_id"]
    assert first == again != other  # one picture, one cluster
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine").write_text("")
    with pytest.raises(R2IError, match="something else"):
        write_zoombench(tmp_path / "other")
    assert CliRunner().invoke(app, ["evaluate", "export", str(tmp_path / "z"), "--format", "zoombench"]).exit_code == 0
