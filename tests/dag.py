"""Which files of this repository a stage script imports, found by reading the source.

`python tests/dag.py` prints, for every stage, what its `deps` in dvc.yaml must name.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROMPT = re.compile(r"""(?:load_prompt|prompts)\(\s*["'](\w+)["']""")


def module_file(name: str) -> Path | None:
    """The file of an `r2i` module, or None for anything else."""
    path = ROOT / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def imported(path: Path) -> set[Path]:
    """Files that `path` imports directly, also inside functions; packages' __init__ files included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != "r2i":
            continue
        for end in range(1, len(parts) + 1):
            if file := module_file(".".join(parts[:end])):
                files.add(file)
    return files


def needed(script: Path) -> set[Path]:
    """All files of the repository that running `script` may read: sources and prompts."""
    seen: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        waiting += imported(path) - seen
        source = path.read_text(encoding="utf-8")
        for room in PROMPT.findall(source):
            seen |= set((ROOT / "r2i" / room / "prompts").rglob("*.txt"))
        if '"templates"' in source:
            seen |= {file for file in (path.parent / "templates").rglob("*") if file.is_file()}
    return {path for path in seen if path.stat().st_size}


def deps_lines(script: Path) -> list[str]:
    """`needed`, with prompts and templates given by their folder, as dvc.yaml writes them."""
    lines = set()
    for path in needed(script):
        relative = path.relative_to(ROOT)
        lines.add(str(Path(*relative.parts[:3])) if path.suffix != ".py" else str(relative))
    return sorted(lines, key=lambda line: (not line.startswith("stages"), line.count("/"), line))


if __name__ == "__main__":
    for script in sorted((ROOT / "stages").glob("*.py")):
        print(f"{script.stem}:")
        print("".join(f"      - {line}\n" for line in deps_lines(script)))
