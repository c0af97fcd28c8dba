"""README and docs name what there is: links lead somewhere, commands and targets exist."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from r2i.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
WORD = r"[a-z][a-z-]*"


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        if "://" in name or name.startswith("mailto:"):
            continue
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in set(anchors(file)), f"{page.name}: {target}"


def anchors(page: Path) -> Iterator[str]:
    """As GitHub makes them of headings."""
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def commands(page: Path, start: str) -> Iterator[list[str]]:
    """The words after `start` in each piece of code, as far as they look like commands."""
    for code in CODE.findall(page.read_text(encoding="utf-8")):
        for line in code.splitlines():
            for found in re.findall(rf"(?:^|[`$&;(] ?){start} ((?:{WORD} ?)+)", line.partition(" #")[0]):
                yield found.split()


def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(rf"^({WORD}):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for words in commands(page, "make"):
        assert words[0] in targets, f"{page.name}: make {words[0]}"


def test_commands_of_r2i_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in commands(page, "r2i"):
        assert words[0] in root.commands, f"{page.name}: r2i {words[0]}"
        group = root.commands[words[0]]
        if words[1:] and hasattr(group, "commands"):
            assert words[1] in group.commands, f"{page.name}: r2i {' '.join(words[:2])}"


def test_benches_exist(page: Path) -> None:
    for name in re.findall(r"bench/(\w+)\.py", page.read_text(encoding="utf-8")):
        assert (ROOT / "bench" / f"{name}.py").is_file(), f"{page.name}: bench/{name}.py"


def test_the_readme_is_short_and_names_every_room() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rooms = {path.parent.name for path in (ROOT / "r2i").glob("*/__init__.py")}
    assert len(text.splitlines()) <= 130
    assert {room for room in rooms if f"  {room}/ " not in text} == set()


def test_every_bench_can_be_imported() -> None:
    """Each as a script's first lines are run, none measured; remotes names servers that are no package of ours."""
    scripts = [path for path in sorted((ROOT / "bench").glob("*.py")) if not path.name.startswith("remote")]
    code = "import runpy, sys\nfor path in sys.argv[1:]:\n  runpy.run_path(path, run_name='imported')"
    done = subprocess.run([sys.executable, "-c", code, *map(str, scripts)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
