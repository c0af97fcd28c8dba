"""ZoomBench for tools that have no task of it, lmms-eval and VLMEvalKit: they read the published dataset, not ours."""

import shutil
from pathlib import Path

from r2i.core.disk import new_folder
from r2i.core.errors import R2IError
from r2i.tools.exports.lmms import TEMPLATES

TASKS = TEMPLATES / "zoombench"
DOCSTRING = '''"""ZoomBench (arXiv 2602.11858) for lmms-eval: the full and the crop view of the same questions.

It grades by rule only: the option's letter, its text, or the answer itself, plain.
"""

import hashlib
'''
QUESTIONS = """# ZoomBench as published: `image`, `crop_image`, the question with its options as `query` or `prompt`,
# its answer as `response` or `answer`.
"""
REGISTER = (
    "copy it into vlmeval/dataset of a clone, and in its __init__.py add `from .zoombench import ZoomBench` and "
    "`ZoomBench` to IMAGE_DATASET; then `python run.py --data ZoomBench ZoomBench_Crop --model ...`"
)
OWN_LINES = "# What follows is r2i/core/reasoning.py"


def write_zoombench(folder: Path) -> list[str]:
    """Write `folder`, to stand as lmms_eval/tasks/zoombench or behind --include_path; names of its files.

    Raises R2IError where `folder` holds something else.
    """
    _require_export(folder, "zoombench.yaml")
    before, after = _grading("import re\n")
    with new_folder(folder) as part:
        for file in sorted(TASKS.glob("*.yaml")):
            shutil.copy(file, part / file.name)
        text = f"{DOCSTRING}{before}\n\n\n{QUESTIONS}\n{_text('utils')}\n\n\n{_text('questions')}\n\n\n{after}"
        (part / "utils.py").write_text(text, encoding="utf-8")
    return _names(folder)


def write_vlmevalkit(folder: Path) -> list[str]:
    """Write `folder`, to be laid over a clone's vlmeval/dataset: its dataset class; names of its files.

    Raises R2IError where `folder` holds something else.
    """
    _require_export(folder, "zoombench.py")
    before, after = _grading("def is_right(")
    head, _, classes = _text("vlmevalkit").partition("\n\n\n")
    letters = 'LETTERS = "ABCDEFGHIJ"\nDoc = dict[str, Any]'
    with new_folder(folder) as part:
        text = f"{head}\n{letters}\n\n\n{classes}\n\n\n{QUESTIONS}\n\n{_text('questions')}\n\n\n{before}\n\n\n{after}"
        (part / "zoombench.py").write_text(text, encoding="utf-8")
    return _names(folder)


def _grading(first: str) -> tuple[str, str]:
    """The rules of lmms_utils.py from `first` on, and the lines of our own that follow them there."""
    text = (TEMPLATES / "lmms_utils.py").read_text(encoding="utf-8")
    rules, own, after = text.partition(OWN_LINES)
    return rules[rules.index(first) :].rstrip(), own + after


def _text(name: str) -> str:
    return (TASKS / f"{name}.txt").read_text(encoding="utf-8").strip()


def _require_export(folder: Path, file: str) -> None:
    if folder.is_dir() and any(folder.iterdir()) and not (folder / file).is_file():
        raise R2IError(f"{folder} holds something else than an export", "name another folder")


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())
