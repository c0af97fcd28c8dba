"""Every section of docs/extending.md, as it stands on the page, is applied to a copy of the repository and run."""

import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from clone import ROOT, run

PAGE = ROOT / "docs" / "extending.md"
BLOCK = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = ("r2i", "stages", "params.yaml", "dvc.yaml", "pyproject.toml")
MOST_FILES = 4
"""That an addition may touch, its test aside."""


@dataclass(frozen=True)
class Section:
    """`files`: new ones, text by path. `diffs`: patches. `checks`: Python that must end without an error."""

    title: str
    files: dict[str, str]
    diffs: list[str]
    checks: list[str]

    def touched(self) -> set[str]:
        return self.files.keys() | {path for diff in self.diffs for path in re.findall(r"^\+\+\+ b/(\S+)", diff, re.M)}


def read_sections(text: str) -> list[Section]:
    found = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        blocks = [match.groups() for match in BLOCK.finditer(part)]
        files = {path: code for language, path, code in blocks if language != "diff" and path and path != "check"}
        diffs = [code for language, _, code in blocks if language == "diff"]
        checks = [code for language, path, code in blocks if language == "python" and path == "check"]
        found.append(Section(part.partition("\n")[0], files, diffs, checks))
    return found


def apply_diff(diff: str, root: Path) -> None:
    """A unified diff whose hunks are found by their lines, which must stand once in the file, and not by numbers."""
    for part in re.split(r"^--- a/\S+\n\+\+\+ b/", diff, flags=re.MULTILINE)[1:]:
        name, _, hunks = part.partition("\n")
        text = (root / name).read_text(encoding="utf-8")
        for hunk in re.split(r"^@@.*\n", hunks, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines(keepends=True)
            old, new = ("".join(line[1:] or "\n" for line in lines if line[0] in kept) for kept in (" -\n", " +\n"))
            assert text.count(old) == 1, f"{name} has these lines {text.count(old)} times:\n{old}"
            text = text.replace(old, new)
        (root / name).write_text(text, encoding="utf-8")


SECTIONS = read_sections(PAGE.read_text(encoding="utf-8"))
SHOWN = [section for section in SECTIONS if section.checks]


def test_the_page_shows_each_kind_of_addition() -> None:
    titles = " ".join(section.title for section in SHOWN)
    assert all(kind in titles for kind in ("importer", "dimension", "endpoint", "view", "objective")), titles


@pytest.mark.parametrize("section", SHOWN, ids=lambda section: section.title.replace(" ", "-"))
def test_an_addition_works_as_it_stands_on_the_page(section: Section, tmp_path: Path) -> None:
    assert len(section.touched()) <= MOST_FILES, sorted(section.touched())
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    shutil.copytree(ROOT / "models" / "mini", tmp_path / "models" / "mini")
    for path, code in section.files.items():
        assert not (tmp_path / path).exists(), f"{path} exists already"
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(code, encoding="utf-8")
    for diff in section.diffs:
        apply_diff(diff, tmp_path)
    for check in section.checks:
        done = run(tmp_path, sys.executable, "-c", check)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
