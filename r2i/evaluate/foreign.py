"""Protocols of others, read where they lie: YAML and syntax trees, no line of them is run."""

import ast
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from r2i.core.choices import LETTERS
from r2i.core.errors import ParamsError
from r2i.core.params import Sampling
from r2i.evaluate.formula import FormulaError, Module, Thing
from r2i.evaluate.loaders import load_record
from r2i.evaluate.protocol import CHINESE, DEFAULT, Origin, Protocol, Wording, content_digest

Record = dict[str, Any]
PROMPT, QUESTION, TAIL = "\ue000", "\ue001", "\ue002"  # stand for texts of an item: no prompt has such characters
COUNTS = (2, 3, 4)  # of options, with which a wording is tried
LARGEST = 2_000_000  # bytes of a file that is read


def _option(place: int) -> str:
    return chr(0xE010 + place)


class Task(NamedTuple):
    """A task of lmms-eval. `files`: the first, and those of the benchmark's other releases, which nobody can tell apart
    by an item: they must ask alike. `record`: a made one with so many options, of the form of the release."""

    folder: str
    files: tuple[str, ...]
    record: Callable[[int], Record]


def _lines(count: int, mark: str) -> list[str]:
    return [mark.format(LETTERS[place]) + _option(place) for place in range(count)]


def _as_mme(count: int) -> Record:
    return {"question": QUESTION, "multi-choice options": _lines(count, "({}) ")}


TASKS: dict[str, Task] = {
    "vstar": Task(
        "vstar_bench", ("vstar_bench.yaml",),
        lambda count: {"text": "\n".join([QUESTION, *_lines(count, "({}) ")]) + TAIL, "category": ""},
    ),
    "hrbench": Task(
        "hrbench", ("hrbench4k.yaml", "hrbench8k.yaml"),
        lambda count: {"question": QUESTION} | {LETTERS[place]: _option(place) for place in range(count)},
    ),
    "mme_realworld": Task("mme_realworld", ("mme_realworld.yaml", "mme_realworld_lite.yaml"), _as_mme),
    CHINESE["mme_realworld"]: Task("mme_realworld", ("mme_realworld_cn.yaml",), _as_mme),
    "cvbench": Task(
        "cv_bench", ("cv_bench_2d.yaml", "cv_bench_3d.yaml"),
        lambda count: {"prompt": PROMPT, "choices": [_option(place) for place in range(count)]},
    ),
    "mmstar": Task("mmstar", ("mmstar.yaml",), lambda count: {"question": PROMPT}),
}  # fmt: skip
"""By the name of the wording: the kind of benchmark, or its Chinese items'."""
SETTINGS = {"max_tokens": "max_tokens", "max_new_tokens": "max_tokens"} | {
    name: name for name in ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "repetition_penalty", "stop")
}
"""Names of decoding settings elsewhere, and ours."""


def import_lmms(place: Path, name: str) -> Protocol:
    """Out of lmms-eval's folder of tasks, or of the folder of one. Raises ParamsError where nothing can be read."""
    root = place.parent if place.name in {task.folder for task in TASKS.values()} else place
    chosen = {kind: task for kind, task in TASKS.items() if (root / task.folder / task.files[0]).is_file()
              and place in (root, root / task.folder)}  # fmt: skip
    if not chosen:
        known = ", ".join(sorted(task.folder for task in TASKS.values()))
        raise ParamsError(f"{place} has no task that r2i knows", f"name lmms_eval/tasks, or one of its: {known}")
    files = _Files(root)
    longest, text_first = _read_client(files, root.parent / "models" / "simple" / "openai.py")
    wordings = {kind: _read_task(files, root / task.folder, task, longest) for kind, task in chosen.items()}
    decoding = Sampling(max_tokens=longest)
    return _finish(name, "lmms-eval", files, decoding=decoding, text_first=text_first, wordings=wordings)


def _read_client(files: "_Files", path: Path) -> tuple[int, bool]:
    """What lmms-eval's client of servers does: tokens of a reply where a task says none; whether text comes first."""
    with _explained(path):
        code = Module(files.read(path))
        lines: dict[str, int] = {}
        for node in ast.walk(code.tree):
            if isinstance(node, ast.Dict) and isinstance(kind := _entries(node).get("type"), ast.Constant):
                lines[str(kind.value)] = max(node.lineno, lines.get(str(kind.value), 0))
        if not {"text", "image_url"} <= set(lines):
            raise FormulaError("it sends no text, or no picture")
        longest = code.call("_get_max_new_tokens", {})
        if not isinstance(longest, int) or longest < 1:
            raise FormulaError(f"a reply of {longest!r} tokens")
        return longest, lines["text"] < lines["image_url"]


def _entries(node: ast.Dict) -> dict[Any, ast.expr]:
    return {
        key.value: value for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)
    }


def _read_task(files: "_Files", folder: Path, task: Task, longest: int) -> Wording:
    there = [folder / file for file in task.files if (folder / file).is_file()]
    wordings = {path.name: _read_file(files, path, task, longest) for path in there}
    with _explained(folder):
        return _only(wordings)


def _only(wordings: Mapping[str, Wording]) -> Wording:
    """The one that all have. Raises FormulaError: an item doesn't say which release it is of."""
    first, *others = wordings
    if unlike := [name for name in others if wordings[name] != wordings[first]]:
        raise FormulaError(f"{', '.join(unlike)} asks otherwise than {first}, and items of both are of one kind")
    return wordings[first]


def _read_file(files: "_Files", path: Path, task: Task, longest: int) -> Wording:
    settings = _task_yaml(files, path)
    with _explained(path):
        function = settings.get("doc_to_text")
        if not isinstance(function, _Function):
            raise FormulaError("its doc_to_text is no function of a module beside it")
        module, _, name = function.partition(".")
        options = settings.get("lmms_eval_specific_kwargs") or {}
        more = {"lmms_eval_specific_kwargs": options.get("default", options)} if options else {}
        code = Module(files.read(path.parent / f"{module}.py"))
        decoding = {"max_tokens": longest} | _decoding(settings.get("generation_kwargs") or {})
        return infer_wording(lambda count: code.call(name, task.record(count), **more), Sampling(**decoding))


def _decoding(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: settings[theirs] for theirs, ours in SETTINGS.items() if settings.get(theirs) is not None}


class _Function(str):
    """`module.name`, of a `!function` in a task's YAML."""


class _TaskLoader(yaml.SafeLoader):
    """Names functions instead of importing them."""


_TaskLoader.add_constructor("!function", lambda loader, node: _Function(str(node.value)))


def _task_yaml(files: "_Files", path: Path, depth: int = 0) -> Record:
    """A task's settings, on those of the files that it includes."""
    with _explained(path):
        try:
            found = yaml.load(files.read(path), Loader=_TaskLoader)
        except yaml.YAMLError as error:
            raise FormulaError(f"no YAML: {error}") from error
        if not isinstance(found, dict) or depth > 5:
            raise FormulaError("no task")
    above = found.pop("include", None)
    return (_task_yaml(files, path.parent / str(above), depth + 1) if above else {}) | found


def infer_wording(render: Callable[[int], Any], decoding: Sampling | None = None) -> Wording:
    """The wording that gives, for any number of options, the text that `render` makes of a made record.

    Raises FormulaError where no wording does: options that are told in another way than one after the other.
    """
    texts = {count: render(count) for count in COUNTS}
    for text in texts.values():
        if not isinstance(text, str) or not (PROMPT in text or QUESTION in text):
            raise FormulaError("it makes no text of the question")
    for with_letters in (True, False):
        found = _guess_wording(texts[COUNTS[0]], COUNTS[0], with_letters, decoding)
        if found and all(_write(found, count) == text for count, text in texts.items()):
            return found
    raise FormulaError("its options don't stand one after the other in one form")


def _guess_wording(text: str, count: int, with_letters: bool, decoding: Sampling | None) -> Wording | None:
    """Read off the text with `count` options."""
    form: dict[str, str] = {}
    places = [text.find(_option(place)) for place in range(count)]
    if PROMPT not in text:
        if min(places) < 0 or places != sorted(places):
            return None
        gap, before = text[places[0] + 1 : places[1]], text[: places[0]]
        lead = _common_lead(before, gap)
        if not lead:
            return None
        form = {"option": lead + "{text}", "joint": gap[: len(gap) - len(lead.replace("{letter}", "B"))]}
        start = len(before) - len(lead.replace("{letter}", "A"))
        text = text[:start] + "{options}" + text[places[-1] + 1 :]
    if with_letters:
        text = text.replace(", ".join(LETTERS[:count]), "{letters}")
    choice = text.replace(PROMPT, "{prompt}").replace(QUESTION, "{question}").replace(TAIL, "{tail}")
    return Wording(choice=choice, open=choice if "{prompt}" in choice and not with_letters else None, **form,
                   decoding=decoding)  # fmt: skip


def _common_lead(before: str, gap: str) -> str:
    """What stands before an option, `({letter}) `: where the text before A ends as that between A and B does."""
    for size in range(min(len(before), len(gap)), 0, -1):
        lead = before[-size:].replace("A", "{letter}", 1)
        if "{letter}" in lead and lead == gap[-size:].replace("B", "{letter}", 1):
            return lead.lstrip()
    return ""


def _write(wording: Wording, count: int) -> str:
    """The text of the made record with `count` options."""
    probe = Protocol(name="probe", decoding=Sampling(), wordings={DEFAULT: wording})
    options = [_option(place) for place in range(count)]
    item = {"source": "", "options": options, "question": QUESTION, "prompt": PROMPT}
    if "{tail}" in wording.choice:
        item["prompt"] = options[-1] + TAIL
    return probe.text_of(item)


class Dataset(NamedTuple):
    """A benchmark of VLMEvalKit: its class, the names of its releases there, which must ask alike, and a made record of
    what its loader reads."""

    owner: str
    names: tuple[str, ...]
    record: Callable[[int], Record]


def _by_column(count: int) -> Record:
    return {"question": QUESTION} | {LETTERS[place]: _option(place) for place in range(count)}


DATASETS: dict[str, Dataset] = {
    "vstar": Dataset("ImageMCQDataset", ("VStarBench",), _by_column),
    "hrbench": Dataset("HRBenchDataset", ("HRBench4K", "HRBench8K"), _by_column),
    "mmstar": Dataset("ImageMCQDataset", ("MMStar",), _by_column),
    "cvbench": Dataset("CVBench", ("CV-Bench-2D", "CV-Bench-3D"), lambda count: {"prompt": PROMPT}),
    "mme_realworld": Dataset("MMERealWorld", ("MME-RealWorld", "MME-RealWorld-Lite"), _as_mme),
    CHINESE["mme_realworld"]: Dataset("MMERealWorld", ("MME-RealWorld-CN",), _as_mme),
}
"""By the name of the wording."""


def import_vlmevalkit(place: Path, name: str) -> Protocol:
    """Out of a clone of VLMEvalKit, or of the package where it is installed. Raises ParamsError."""
    root = place / "vlmeval" if (place / "vlmeval").is_dir() else place
    datasets, client = root / "dataset" / "image_mcq.py", root / "api" / "gpt.py"
    files = _Files(root)
    with _explained(datasets):
        code = Module(files.read(datasets))
        wordings = {
            kind: _read_dataset(code, dataset)
            for kind, dataset in DATASETS.items()
            if kind not in CHINESE.values() or code.names(dataset.names[0])
        }
    with _explained(client):
        made = Module(files.read(client)).functions.get("OpenAIWrapper.__init__")
        if made is None:
            raise FormulaError("it has no OpenAIWrapper")
        names = [arg.arg for arg in made.args.args][-len(made.args.defaults) :]
        said = {name: _setting(value, {}) for name, value in zip(names, made.args.defaults, strict=True)}
        decoding = Sampling(**_decoding(said))
    return _finish(name, "vlmevalkit", files, decoding=decoding, wordings=wordings)


def _read_dataset(code: Module, dataset: Dataset) -> Wording:
    first, *others = dataset.names
    return _only({name: _read_release(code, dataset, name) for name in [first, *filter(code.names, others)]})


def _read_release(code: Module, dataset: Dataset, name: str) -> Wording:
    owner = dataset.owner if f"{dataset.owner}.build_prompt" in code.functions else "ImageMCQDataset"
    itself = Thing({**code.classes.get(dataset.owner, {}), "meta_only": False, "dataset_name": name,
                    "dump_image()": ""})  # fmt: skip

    def render(count: int) -> str:
        record = load_record(code, dataset.owner, name, dataset.record(count))
        messages = code.call(f"{owner}.build_prompt", itself, record)
        try:
            return "".join(message["value"] for message in messages if message["type"] == "text")
        except (TypeError, KeyError) as error:
            raise FormulaError(f"{owner}.build_prompt gives no messages") from error

    return infer_wording(render)


def import_zwz(place: Path, name: str) -> Protocol:
    """Out of a clone of the reference: its evaluation script that uses no tool. Raises ParamsError."""
    files = _Files(place)
    paths = [place] if place.is_file() else sorted(place.glob("*/*.py")) + sorted(place.glob("*.py"))
    texts = {path: files.peek(path) for path in paths}
    found = [path for path, text in texts.items() if "SamplingParams(" in text and '"system"' in text]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ParamsError(f"{place} has not one script with a system message and SamplingParams: {names}",
                          "name the script itself, e.g. CLONE/mm-eval/infer_without_tool.py")  # fmt: skip
    (path,) = found
    with _explained(path):
        tree = Module(files.read(path)).tree
        defaults = _argument_defaults(tree)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            "SamplingParams")]  # fmt: skip
        contents = list(_system_messages(tree))
        if len(calls) != 1 or len(contents) != 1:
            raise FormulaError(f"{len(calls)} SamplingParams and {len(contents)} system messages")
        said = {word.arg: _setting(word.value, defaults) for word in calls[0].keywords if word.arg}
        if unknown := sorted(set(said) - set(SETTINGS) - {"seed"}):
            raise FormulaError(f"SamplingParams with what r2i can't send: {', '.join(unknown)}")
        pixels = {value for value in _dict_values(tree, "max_pixels") if isinstance(value, int)}
        if len(pixels) > 1:
            raise FormulaError(f"several max_pixels: {sorted(pixels)}")
        return _finish(
            name, "zwz", files, decoding=Sampling(system=contents[0], **_decoding(said)),
            max_pixels=next(iter(pixels), None), remove=sorted(_removed(tree)),
            wordings={DEFAULT: Wording(choice="{prompt}", open="{prompt}")},
        )  # fmt: skip


def _argument_defaults(tree: ast.AST) -> dict[str, Any]:
    """Of the options that a script's argparse has, by their name."""
    found = {}
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(_, "add_argument"), [ast.Constant(str(flag)), *_], keywords):
                default = next((word.value for word in keywords if word.arg == "default"), None)
                if default is not None:
                    with suppress(ValueError):
                        found[flag.lstrip("-").replace("-", "_")] = ast.literal_eval(default)
    return found


def _setting(node: ast.expr, defaults: Mapping[str, Any]) -> Any:
    """A literal, or the default of an option of the script. Raises FormulaError for anything else: what is sent would
    depend on who runs it."""
    match node:
        case ast.Attribute(ast.Name("args"), name) if name in defaults:
            return defaults[name]
    try:
        return ast.literal_eval(node)
    except ValueError as error:
        raise FormulaError(
            f"line {node.lineno}: {ast.unparse(node)[:60]} is neither written out nor an option's default"
        ) from error


def _system_messages(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            entries = _entries(node)
            match entries.get("role"), entries.get("content"):
                case ast.Constant("system"), ast.Constant(str(text)):
                    yield text


def _dict_values(tree: ast.AST, name: str) -> Iterator[Any]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and isinstance(value := _entries(node).get(name), ast.Constant):
            yield value.value


def _removed(tree: ast.AST) -> set[str]:
    """Texts that the script takes out of an item's."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(ast.Attribute(ast.Subscript(), "replace"), [ast.Constant(str(mark)), ast.Constant("")]) if (
                mark
            ):
                found.add(mark)
    return found


def _finish(name: str, kind: str, files: "_Files", **values: Any) -> Protocol:
    try:
        made = Protocol(name=name, **values)
    except ValidationError as error:
        raise ParamsError(
            f"what {kind} says is no protocol: {error}", "write one by hand (docs/protocols.md)"
        ) from error
    return made.model_copy(update={"origin": Origin(kind=kind, files=files.hashes, content=content_digest(made))})


class _Files:
    """Files below a place, with the hashes of those that were read."""

    def __init__(self, place: Path) -> None:
        self.place = place if place.is_dir() else place.parent
        self.hashes: dict[str, str] = {}

    def peek(self, path: Path) -> str:
        """Its text; raises ParamsError where it can't be read."""
        try:
            if path.stat().st_size > LARGEST:
                return ""
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ParamsError(f"{path} can't be read: {error.strerror}", "name the place where it lies") from error

    def read(self, path: Path) -> str:
        text = self.peek(path)
        inside = path.is_relative_to(self.place)
        name = path.relative_to(self.place if inside else self.place.parent).as_posix()
        self.hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return text


class _explained:
    """What a file says that can't be read is an error about that file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, at: Any) -> None:
        if isinstance(error, FormulaError | ValidationError):
            raise ParamsError(
                f"{self.path}: {error}", "write its wording by hand (docs/protocols.md), from what it sends"
            ) from error
