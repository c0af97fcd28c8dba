"""ZoomBench as a task folder for lmms-eval, which has none of its own: it reads the published dataset, not ours."""

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


def write_zoombench(folder: Path) -> list[str]:
    """Write `folder`, to stand as lmms_eval/tasks/zoombench or behind --include_path; names of its files.

    Raises R2IError where `folder` holds something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "zoombench.yaml").is_file():
        raise R2IError(f"{folder} holds something else than an export", "name another folder")
    _, _, grading = (TEMPLATES / "lmms_utils.py").read_text(encoding="utf-8").partition('"""\n\n')
    before, mark, after = grading.partition("# What follows is r2i/core/reasoning.py")
    own = (TASKS / "utils.txt").read_text(encoding="utf-8")
    with new_folder(folder) as part:
        for file in sorted(TASKS.glob("*.yaml")):
            shutil.copy(file, part / file.name)
        text = f"{DOCSTRING}{before.rstrip()}\n\n\n{own.strip()}\n\n\n{mark}{after}"
        (part / "utils.py").write_text(text, encoding="utf-8")
    return sorted(file.name for file in folder.iterdir())
