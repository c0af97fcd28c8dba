"""Code by its meaning: what counts, and what doesn't."""

from pathlib import Path

import pytest

from r2i.core.errors import R2IError
from r2i.core.fingerprint import ROOT, code_digests, file_digest, meaning, needed_files

PLAIN = '''
def area(box: Box, scale=2) -> int:
    """Pixels."""
    side: int = box[0] * scale
    return side
'''


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace('"""Pixels."""', '"""Square pixels."""\n    # why'),
        PLAIN.replace('    """Pixels."""\n', ""),
        PLAIN.replace("box: Box, scale=2", "box,\n    scale=2,\n").replace("-> int", "-> float"),
        PLAIN.replace("side: int =", "side ="),
        PLAIN.replace("box[0] * scale", "(\n        box[0]\n        * scale\n    )"),
        PLAIN + '"a text that nobody reads"\n',
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from r2i.core.boxes import Box\n" + PLAIN,
    ],
)
def test_comments_docstrings_layout_and_unread_annotations_mean_nothing(other: str) -> None:
    head = "from typing import TYPE_CHECKING\n" if "TYPE_CHECKING" in other else ""
    assert meaning(other) == meaning(head + PLAIN)


@pytest.mark.parametrize(
    "other",
    [
        PLAIN.replace("scale=2", "scale=3"),
        PLAIN.replace("scale=2", "scale=2.0"),
        PLAIN.replace("box[0]", "box[1]"),
        PLAIN.replace("return side", "return -side"),
        "@cache\n" + PLAIN.lstrip(),
        PLAIN.replace("return side", "'text'\n    return f'{side!r}'"),
    ],
)
def test_what_runs_means_something(other: str) -> None:
    assert meaning(other) != meaning(PLAIN)


def test_annotations_that_something_reads_count() -> None:
    model = "class Size(BaseModel):\n    width: int = 1\n    height: int\n"
    assert meaning(model) != meaning(model.replace("width: int", "width: float"))
    assert meaning(model) != meaning(model.replace("    height: int\n", ""))
    command = "@app.command()\ndef main(rows: int = 1): ...\n"
    assert meaning(command) != meaning(command.replace("int", "str"))
    script = "def main(rows: int = 1): ...\n"
    assert meaning(script, annotations=True) != meaning(script.replace("int", "str"), annotations=True)


def test_f_strings_mean_the_same_in_every_python() -> None:
    """Python 3.12 puts empty texts between their parts, 3.11 does not."""
    assert "Constant(value='')" not in meaning("f'{a}{b:>{c}}'")
    assert "Constant(value='')" in meaning("f('')")


def test_a_file_needs_what_it_imports_inside_functions_and_the_prompts_that_it_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.write_text("def main():\n    from r2i.core.boxes import iou\n    load_prompt('question', 'write', style)\n")
    names = {path.relative_to(ROOT).as_posix() for path in needed_files(script) if path != script}
    assert {"r2i/core/boxes.py", "r2i/question/prompts/mini/write.txt", "r2i/question/prompts/paper/write.txt"} <= names
    assert not any(name.endswith("validate.txt") for name in names)
    script.write_text("load_prompt(room, 'write', style)\n")
    with pytest.raises(R2IError, match=r"script\.py:1"):
        needed_files(script)


def test_a_training_needs_the_prompt_of_its_targets_and_files_that_are_run_by_path() -> None:
    code = code_digests("r2i.train.run")
    assert any(name.endswith("mini/reply.txt") for name in code)
    assert any(name.endswith("openrlhf/agent.py") for name in code)
    assert any(name.endswith("shim/flash_attn/bert_padding.py") for name in code)
    assert not any(name.endswith("/params.py") for name in code)


def test_a_missing_or_broken_file_of_code_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(R2IError, match=r"gone\.py"):
        file_digest(tmp_path / "gone.py")
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(R2IError, match=r"broken\.py"):
        file_digest(tmp_path / "broken.py")
