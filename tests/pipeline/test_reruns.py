"""Which stages DVC runs again after code, params or prompts were edited in a finished run."""

import shutil
from pathlib import Path

import pytest
from clone import run

from r2i.core.fingerprint import file_digest, read_code_file

pytestmark = pytest.mark.slow


def repro(folder: Path, *targets: str) -> set[str]:
    """The stages that ran."""
    done = run(folder, "dvc", "repro", *targets)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}


@pytest.fixture(scope="module")
def edited(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a finished run, in which one test after another edits code."""
    copy = tmp_path_factory.mktemp("edited") / "copy"
    shutil.copytree(finished, copy, symlinks=True)
    return copy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_text_that_means_nothing_reruns_code_and_no_stage(edited: Path) -> None:
    for name in ("core/ids.py", "endpoint/limit.py", "grading/strict.py"):
        path = edited / "r2i" / name
        path.write_text("# a comment\n" + path.read_text(encoding="utf-8") + "\n\n# another\n", encoding="utf-8")
    edit(edited / "r2i/core/ids.py", '"""16 hex digits', '"""Sixteen hex digits')
    assert repro(edited) == {"code"}
    assert repro(edited) == set()


def test_a_new_param_with_a_default_reruns_its_own_stage_alone(edited: Path) -> None:
    edit(edited / "r2i/core/params.py", "    gallery: Annotated", "    further: int = 1\n    gallery: Annotated")
    assert repro(edited) == {"code", "report"}


EVALUATE = {"evaluate@base", "evaluate@distilled", "evaluate@sft", "evaluate@opd"}


def change_a_prompt(edited: Path) -> None:
    path = edited / "r2i/evaluate/prompts/paper/look.txt"
    path.write_text(path.read_text(encoding="utf-8") + "\nLook well.\n", encoding="utf-8")


def test_a_prompt_changes_the_stages_that_load_it(edited: Path) -> None:
    look = edited / "r2i/evaluate/prompts/paper/look.txt"
    before = look.read_text(encoding="utf-8")
    change_a_prompt(edited)
    assert repro(edited, "code") == {"code"}
    assert repro(edited, "--dry") == EVALUATE
    look.write_text(before, encoding="utf-8")
    assert repro(edited) == {"code"}


@pytest.mark.long
def test_a_prompt_reruns_the_stages_that_load_it(edited: Path) -> None:
    change_a_prompt(edited)
    assert repro(edited) == {"code"} | EVALUATE  # mini's replies are what they were


def test_a_constant_reruns_the_stages_that_import_it_and_what_follows_from_other_outputs(edited: Path) -> None:
    path = edited / "r2i/vote/count.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nFURTHER = 1\n", encoding="utf-8")
    assert repro(edited) == {"code", "vote"}


def test_a_conflict_in_a_code_file_is_settled_by_repro_code(edited: Path) -> None:
    path = edited / "data/code/vote.txt"
    before = path.read_text(encoding="utf-8")
    path.write_text(f"<<<<<<< HEAD\n{before}=======\nr2i/core/ids.py 0\n>>>>>>> other\n", encoding="utf-8")
    assert repro(edited, "code") == {"code"}
    assert path.read_text(encoding="utf-8") == before
    assert repro(edited) == set()
    assert read_code_file(path)["stages/vote.py"] == file_digest(edited / "stages/vote.py")
    assert before.splitlines()[-1] == "vote.judge_all: false"  # a default
