"""Which code a stage needs, and what that code means: one answer for DVC, for resumes and for kept work.

The stage `code` writes `data/code/<stage>.txt`; the stage of that name depends on this file and on no code. It has a
line for each file that the stage's script imports, with a digest of what the file *means*: comments, docstrings,
layout, and annotations that nothing reads don't count. Prompts and templates count by their bytes. What the stage
reads of params.yaml stands there with its defaults, in place of the module that declares them.

Beside them lies `params.yaml`: the chosen profile's params as they are written, for DVC. Its keys are there in every
profile, null where the profile lacks them: DVC stops where a param is missing.
"""

import ast
import hashlib
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from r2i.core.errors import R2IError

ROOT = Path(__file__).parents[2]
PACKAGE = "r2i"
DECLARES_PARAMS = ROOT / PACKAGE / "core" / "params.py"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores", "type_params"})
"""Fields of syntax nodes that repeat what others say, or that not every Python has."""
CHOSEN_PARAMS = "params.yaml"
DIGITS = 32  # of a digest, hexadecimal
WIDTHS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "asimd", "sve")  # instructions that libraries choose kernels by


def meaning(source: str, *, annotations: bool = False) -> str:
    """The syntax tree of Python code as text, the same in every Python that r2i supports.

    `annotations`: whether those of functions count. Under a decorator, which may read them, they always do; so do
    those of classes: dataclasses and pydantic models are made of them. Raises SyntaxError.
    """
    parts: list[str] = []
    _write(ast.parse(source), parts, annotations)
    return "".join(parts)


def _write(node: Any, out: list[str], annotations: bool, in_class: bool = False) -> None:
    if isinstance(node, list):
        for item in node:
            if not _is_empty(item, in_class):
                _write(item, out, annotations, in_class)
                out.append(",")
        return
    if not isinstance(node, ast.AST):
        out.append(repr(node))
        return
    ignored = IGNORED_FIELDS
    if isinstance(node, FUNCTIONS):
        in_class, annotations = False, annotations or bool(node.decorator_list)
        ignored = ignored if annotations else ignored | {"returns"}
    elif isinstance(node, ast.ClassDef):
        in_class = True
    elif isinstance(node, ast.arg) and not annotations:
        ignored = ignored | {"annotation"}
    elif isinstance(node, ast.AnnAssign) and not in_class:
        node = ast.Assign([node.target], node.value or ast.Constant(None))
    elif isinstance(node, ast.JoinedStr):  # some Pythons put empty texts between its parts
        node = ast.JoinedStr([part for part in node.values if getattr(part, "value", None) != ""])
    out.append(type(node).__name__ + "(")
    for name in node._fields:
        value = getattr(node, name, None)
        if name not in ignored and value != [] and (value is not None or isinstance(node, ast.Constant)):
            out.append(name + "=")
            _write(value, out, annotations, in_class)
    out.append(")")


def _is_empty(node: Any, in_class: bool) -> bool:
    """Whether a statement means nothing: a docstring, `pass`, a bare `x: int` outside classes, `if TYPE_CHECKING:`."""
    match node:
        case ast.Expr(ast.Constant(str())) | ast.Pass():
            return True
        case ast.AnnAssign(value=None):
            return not in_class
        case ast.If(test, _, []):
            return _is_type_checking(test)
    return False


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", None) == "TYPE_CHECKING" or getattr(test, "attr", None) == "TYPE_CHECKING"


@dataclass(frozen=True)
class Source:
    """A Python file of this repository: the digest of its meaning, and the files that it names."""

    digest: str
    needs: frozenset[Path]


def read_source(path: Path) -> Source:
    """Raises R2IError where the file is missing or no Python."""
    try:
        return _parse(path, path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise R2IError(f"{path} can't be read as Python: {error}", "repair it, or take it from git") from error


@cache
def _parse(path: Path, text: str) -> Source:
    tree = ast.parse(text)
    is_script = path.parent.name == "stages"  # Typer reads the annotations of its functions
    parts: list[str] = []
    _write(tree, parts, is_script)
    needs = {found for node in _nodes(tree) for found in _named_files(node, path)}
    return Source(_digest("".join(parts).encode()), frozenset(needs - {path}))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of the tree but those that only type checkers see."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and _is_type_checking(node.test)):
            yield from _nodes(node)


def _named_files(node: ast.AST, path: Path) -> Iterator[Path]:
    match node:
        case ast.Import(names):
            for alias in names:
                yield from module_files(alias.name)
        case ast.ImportFrom(str(module), names, 0):
            for alias in names:
                yield from module_files(f"{module}.{alias.name}")
        case ast.Call(ast.Name("load_prompt"), [ast.Constant(str(room)), ast.Constant(str(name)), *_]):
            yield from (ROOT / PACKAGE / room / "prompts").glob(f"*/{name}.txt")
        case ast.Call(ast.Name("load_prompt")):
            raise R2IError(f"{path}:{node.lineno}: load_prompt with a computed name", "write room and name as texts")
        case ast.Constant(str(text)) if re.fullmatch(r"\w[\w.]*", text):  # run by name or path, or templates
            if text.startswith(f"{PACKAGE}."):
                yield from module_files(text)
            elif "." in text or text.isidentifier():
                yield from _siblings(path.parent / text)


def _siblings(named: Path) -> Iterator[Path]:
    if named.suffix and named.is_file():
        yield named
    elif named.is_dir() and not (named / "__init__.py").is_file():
        yield from (file for file in named.rglob("*") if file.is_file() and file.suffix != ".pyc")


def module_files(name: str) -> Iterator[Path]:
    """The files that importing a module of this package reads: its own, and the __init__ of each package above it."""
    parts = name.split(".")
    if parts[0] != PACKAGE:
        return
    for end in range(1, len(parts) + 1):
        place = ROOT.joinpath(*parts[:end])
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                yield file


def needed_files(*entries: Path) -> list[Path]:
    """All files of the repository that running these ones may read: sources, prompts, templates; not empty ones.

    The module that declares params is left out: who needs it says which params.
    """
    seen: set[Path] = set()
    waiting = list(entries)
    while waiting:
        path = waiting.pop()
        if path not in seen and path != DECLARES_PARAMS:
            seen.add(path)
            if path.suffix == ".py":
                waiting += read_source(path).needs
    return sorted(path for path in seen if path.stat().st_size)


def code_digests(*entries: Path | str) -> dict[str, str]:
    """By path from the repository's root, the digest of each file that the entries need.

    An entry is a file, or the name of a module. Raises R2IError where a file is missing or no Python.
    """
    files = [file for entry in entries for file in ([entry] if isinstance(entry, Path) else module_files(entry))]
    return {path.relative_to(ROOT).as_posix(): file_digest(path) for path in needed_files(*files)}


def file_digest(path: Path) -> str:
    """Of a Python file's meaning, of any other file's bytes."""
    return read_source(path).digest if path.suffix == ".py" else _digest(path.read_bytes())


def differing_files(digests: Mapping[str, str], root: Path = Path()) -> list[str]:
    """The paths, from `root`, of files that are gone or mean something else than `digests` say."""
    return [path for path, digest in digests.items() if _digest_or_none(root / path) != digest]


def _digest_or_none(path: Path) -> str | None:
    try:
        return file_digest(path)
    except (OSError, R2IError):
        return None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def library_versions(libraries: Iterable[str]) -> dict[str, str]:
    """By name; left out where they are missing."""
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_kind() -> str:
    """Vendor and vector instructions, by which numerical libraries choose their kernels, e.g. `GenuineIntel avx2`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.system()} {platform.machine()}"
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags", facts.get("Features", "")).split()
    return " ".join([facts.get("vendor_id", platform.machine()), *(name for name in WIDTHS if name in flags)])


def machine() -> dict[str, str]:
    """What decides about the last bits of sums, as far as it can be told from outside."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"cpu": cpu_kind(), "python": python, "torch": version("torch"), "system": platform.system()}


def code_files(params: Any) -> dict[str, str]:
    """Name and text of the file of each stage script, and of CHOSEN_PARAMS. `params`: r2i.core.params.Params.

    A script's PARAMS are the keys of its part of params.yaml, without the profile. One with `{run}` in it gives a file
    for each of `runs`, one with `{model}` for each of `models`: `train-dapo.txt`, `evaluate-base.txt`.
    """
    values = _values(params)
    found = {name: text for script in _scripts() for name, text in _files_of(script, values).items()}
    return found | {CHOSEN_PARAMS: yaml.safe_dump(chosen_params(params), sort_keys=True, allow_unicode=True)}


def chosen_params(params: Any) -> dict[str, Any]:
    """What CHOSEN_PARAMS holds: every key that a stage reads, as it is written, null where it isn't."""
    written = _values(params, exclude_unset=True)
    read = {key for script in _scripts() for keys in _keys_of(script, written).values() for key in keys}
    chosen: dict[str, Any] = {}
    for key in sorted(read, key=lambda key: key.count(".")):
        _put(chosen, key.split("."), look_up(written, key))
    return chosen


def _scripts() -> list[Path]:
    """Those of the stages whose code and params count."""
    return [path for path in sorted((ROOT / "stages").glob("*.py")) if declared_params(path) is not None]


def code_text(stage: str, params: Any, which: str = "") -> str:
    """The text of `data/code/<stage>.txt`; of a stage with a file for each run or model, that of `which`."""
    return _files_of(ROOT / "stages" / f"{stage}.py", _values(params))[_name_of(stage, which)]


def _values(params: Any, exclude_unset: bool = False) -> dict[str, Any]:
    """The chosen profile's sections, and what stands beside `profiles`; of a model that it doesn't evaluate nothing."""
    whole = params.model_dump(mode="json", by_alias=True, exclude_unset=exclude_unset)
    models = {name: model if name in params.evaluated else {"from": None} for name, model in whole["models"].items()}
    chosen = whole.pop("profiles")[whole["profile"]]
    values: dict[str, Any] = _without_addresses({**chosen, **whole, "models": models})
    return values


def _without_addresses(value: Any) -> Any:
    """A server's address is a fact of a machine: no output depends on it."""
    if isinstance(value, list):
        return [_without_addresses(one) for one in value]
    if isinstance(value, dict):
        dropped = {"base_url", "name"} if "model" in value else set()  # of an endpoint
        return {key: _without_addresses(one) for key, one in value.items() if key not in dropped}
    return value


def _keys_of(script: Path, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """By the name of each of its runs or models ("": it has none), the keys that a stage script reads."""
    keys = declared_params(script) or []
    marks = {"{run}": values["runs"], "{model}": values["models"]}
    mark = next((mark for mark in marks if any(mark in key for key in keys)), None)
    if mark is None:
        return {"": keys}
    return {name: [key.replace(mark, name) for key in keys] for name in marks[mark]}


def _files_of(script: Path, values: Mapping[str, Any]) -> dict[str, str]:
    code = [f"{path} {digest}" for path, digest in code_digests(script).items()]
    found = {}
    for name, keys in _keys_of(script, values).items():
        lines = [line for key in keys for line in _leaves(key, look_up(values, key))]
        found[_name_of(script.stem, name)] = "\n".join(code + lines) + "\n"
    return found


def _name_of(stage: str, which: str) -> str:
    return f"{stage}-{which}.txt" if which else f"{stage}.txt"


def read_code_file(path: Path) -> dict[str, str]:
    """The digests by path in a file that `code_files` wrote; {} where it is missing."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.partition(" ") for line in lines)
    return {name: digest for name, _, digest in pairs if not name.endswith(":")}


def declared_params(script: Path) -> list[str] | None:
    """A stage script's PARAMS, in order; None where it has none."""
    for node in ast.parse(script.read_text(encoding="utf-8")).body:
        match node:
            case ast.Assign([ast.Name("PARAMS")], value):
                return list(ast.literal_eval(value))
    return None


def look_up(values: Any, key: str) -> Any:
    """What stands below a dotted key; None where there is nothing."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _put(tree: dict[str, Any], parts: list[str], value: Any) -> None:
    first, *rest = parts
    if rest:
        tree[first] = tree.get(first) or {}
        _put(tree[first], rest, value)
    else:
        tree[first] = value


def _leaves(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}", inner)
    else:
        yield f"{key}: {json.dumps(value, ensure_ascii=False, sort_keys=True)}"
