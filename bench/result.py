"""What every bench writes: its figures, and the code that they were measured with (r2i/report/measured.py)."""

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from r2i.core.fingerprint import module_files
from r2i.core.metrics import write_metrics
from r2i.report.measured import MEASURED, describe_code

ROOT = Path(__file__).resolve().parent.parent
STAGES = sorted((ROOT / "stages").glob("*.py"))
HELPERS = ("bench", "tests")  # folders whose modules benches import

Record = dict[str, Any]


def note_code(*runs: Path | str, profiles: Iterable[str] = (), outs: Iterable[str] = ()) -> Record:
    """The code as it is now: call it before anything is measured.

    The bench and what it imports count without being named. `runs`: scripts and modules that it starts as processes;
    `profiles`: of params.yaml that it reads; `outs`: paths in dvc.lock whose contents it measures.
    """
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    scripts = [run for run in runs if isinstance(run, Path)] + [Path(file).resolve() for file in files if file]
    own = sorted({path for path in scripts if _is_helper(path)})
    needs = sorted({need for path in own for need in _imported_files(path)})
    others = [run for run in runs if run not in own]
    return describe_code(*needs, *others, files=own, profiles=profiles, outs=outs)


def _is_helper(path: Path) -> bool:
    in_place = any(path.is_relative_to(ROOT / name) for name in HELPERS)
    return in_place and path.suffix == ".py" and path != Path(__file__).resolve()  # the recorder is not measured


def _imported_files(path: Path) -> Iterator[Path]:
    """The files of r2i that a script imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield from module_files(name)


def write_result(path: Path, values: Mapping[str, Any], code: Record) -> None:
    """Write the figures of a whole bench. `code`: what `note_code` gave when it began."""
    write_metrics(path, {**values, MEASURED: {path.stem: code}})


def merge_result(path: Path, values: Mapping[str, Any], code: Record, part: str, parts: Iterable[str]) -> None:
    """Put the figures of one of `parts` beside those of the others, each with the code of its own run."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    records = {name: (before.get(MEASURED) or {}).get(name) for name in parts}
    write_metrics(path, {**before, **values, MEASURED: records | {part: code}})
