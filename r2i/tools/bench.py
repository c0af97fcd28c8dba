"""One model, one benchmark, one command: the stages benchmark, evaluate, score and report in a folder of their own."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import yaml

from r2i.core import paths
from r2i.core.boxes import BoxUnit
from r2i.core.disk import new_file
from r2i.core.errors import ParamsError, R2IError
from r2i.core.fingerprint import ROOT
from r2i.core.names import RESERVED
from r2i.core.params import OWN_PROTOCOL, BenchmarkKind, Params, load_params
from r2i.core.prompts import has_prompt
from r2i.core.yaml_text import read_yaml
from r2i.importing.boxes import BoxForm

PARAMS = Path("params.yaml")
PROFILE = "bench"
MAX_TOKENS = 2048  # of a reply, unless told
LOOKS = 200  # most items whose attention is measured
GAP_VIEWS = ("full", "crop")
PARTS = ("boxed", "told", "recut", "removed", "blind")


@dataclass(frozen=True)
class Bench:
    """What is asked for. `model`: a folder, a hub id, or with `endpoint` the server's name for it. `prompts`: None: by
    the model."""

    model: str
    benchmark: Path
    endpoint: str | None = None
    key_env: str | None = None
    kind: str | None = None
    columns: tuple[str, ...] = ()
    box_unit: str | None = None
    box_form: str | None = None
    items: int | None = None
    protocol: str | None = None
    prompts: str | None = None
    parts: bool = False
    max_tokens: int | None = None
    judge: str | None = None
    judge_endpoint: str | None = None
    judge_key_env: str | None = None


def short_name(model: str) -> str:
    """Of a model in its params and of its folder: the last part of its path, its hub id or its served name."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-")[:64]
    return name if name and name not in RESERVED else f"model-{name}".rstrip("-")


def bench_folder(asked: Bench) -> Path:
    """Where a model is measured unless told: data/bench/<its name>, with the protocol and the judge that it names, so
    that `r2i compare` finds each."""
    protocol = Path(asked.protocol).stem if asked.protocol and asked.protocol != OWN_PROTOCOL else None
    return Path("data/bench") / "-".join(short_name(name) for name in (asked.model, protocol, asked.judge) if name)


def write_bench(
    asked: Bench, folder: Path, guess_kind: Callable[[Path], str], check: Callable[[Params], str]
) -> Params:
    """The params of `asked` as `folder`/params.yaml. `guess_kind`: of a benchmark whose kind is not told. `check`: the
    version of its files, once the protocol can ask about it.

    Raises R2IError where the folder holds something else, or what is asked can't be: no model folder, no protocol, a
    protocol that says nothing of the benchmark.
    """
    if folder.exists() and not folder.is_dir():
        raise R2IError(f"{folder} is a file", "name another folder: --out")
    if folder.is_dir() and any(folder.iterdir()) and not _is_bench(folder):
        raise R2IError(f"{folder} holds something else than a bench", "name another folder: --out")
    if not asked.benchmark.exists():
        raise R2IError(f"there is no benchmark at {asked.benchmark}", "give the file or folder as it was downloaded")
    if asked.endpoint and not asked.endpoint.startswith(("http://", "https://")):
        raise R2IError(f"{asked.endpoint} is no address of a server", "write all of it: http://host:8000/v1")
    if not asked.endpoint and "/" not in asked.model and not Path(asked.model).is_dir():
        raise R2IError(
            f"{asked.model} is neither a folder here nor a hub id (owner/name)", "name its server: --endpoint URL"
        )
    if not asked.endpoint and _looks_like_a_folder(asked.model) and not Path(asked.model).expanduser().is_dir():
        raise R2IError(f"there is no folder {asked.model}", "name a folder of weights, a hub id, or an --endpoint")
    if asked.judge and not asked.judge_endpoint and not asked.endpoint:
        raise R2IError("a judge needs a server", "name its address: --judge-endpoint URL")
    values = params_of(asked, guess_kind)
    folder.mkdir(parents=True, exist_ok=True)
    params = _write(values, folder / PARAMS)
    values["profiles"][PROFILE]["benchmark"]["sources"][0]["version"] = check(params)
    return _write(values, folder / PARAMS)


def _write(values: dict[str, Any], path: Path) -> Params:
    with new_file(path) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=4096), encoding="utf-8")
        return load_params(part)


def is_hub_id(model: str) -> bool:
    """Whether a model's name is that of the hub: `models/x` is a path where `models` is a folder."""
    path = Path(model)
    return not (path.is_dir() or path.is_absolute() or len(path.parts) != 2 or path.parent.is_dir())


def _looks_like_a_folder(model: str) -> bool:
    path = Path(model).expanduser()
    return not is_hub_id(str(path)) and ("/" in model or model.startswith("."))


def _is_bench(folder: Path) -> bool:
    """Whether the params in `folder` are a bench's: those of a repository are not written over."""
    try:
        written = read_yaml((folder / PARAMS).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(written, dict) and written.get("profile") == PROFILE


def params_of(asked: Bench, guess_kind: Callable[[Path], str]) -> dict[str, Any]:
    """As they are written."""
    source: dict[str, Any] = {"kind": asked.kind or guess_kind(asked.benchmark), "path": str(asked.benchmark.resolve())}
    source |= _told(asked)
    prompts = asked.prompts or style_of(asked.model)
    pointed = [view for view in PARTS if view != "told" or has_prompt("core", "told", prompts)]
    views = [*GAP_VIEWS, *(pointed if asked.parts else ())]
    name = short_name(asked.model)
    evaluate: dict[str, Any] = {
        "prompts": prompts, "batch": 8, "views": views, "samples": 0, "max_tokens": asked.max_tokens or MAX_TOKENS
    }  # fmt: skip
    if asked.protocol:
        evaluate["protocol"] = _protocol(asked.protocol)
        if asked.max_tokens and evaluate["protocol"] != OWN_PROTOCOL:
            raise ParamsError(
                f"--max-tokens: how long a reply may be is part of protocol {asked.protocol}",
                "leave it out, or change max_tokens in the protocol's file",
            )
    if asked.endpoint:
        evaluate["endpoints"] = {name: _server(asked.model, asked.endpoint, asked.key_env)}
    else:
        evaluate["attention"] = {"items": LOOKS}  # a server shows none
    if asked.judge:
        address = asked.judge_endpoint or asked.endpoint or ""
        is_there = urlsplit(address)[:2] == urlsplit(asked.endpoint or "")[:2]  # scheme, host and port
        judge = _server(asked.judge, address, asked.judge_key_env or (asked.key_env if is_there else None))
        evaluate["judge"] = {"endpoint": judge, "max_calls": 1_000_000}
    folder = Path(asked.model).expanduser()
    origin = "server" if asked.endpoint else str(folder.resolve()) if folder.is_dir() else asked.model
    model = {"from": origin, "needs": str(paths.BENCHMARK), "title": asked.model}
    profile = {"benchmark": {"sources": [source]}, "evaluate": evaluate}
    return {"seed": 0, "profile": PROFILE, "runs": {}, "models": {name: model}, "profiles": {PROFILE: profile}}


def _told(asked: Bench) -> dict[str, Any]:
    """What is told of the benchmark. Raises ParamsError for a word that is none of ours."""
    known = {"kind": get_args(BenchmarkKind), "box_unit": get_args(BoxUnit), "box_form": get_args(BoxForm)}
    for key, words in known.items():
        if (word := getattr(asked, key)) and word not in words:
            raise ParamsError(f"--{key.replace('_', '-')} {word}: no such word", f"one of {', '.join(words)}")
    pairs = [pair.partition("=") for pair in asked.columns]
    if wrong := [f"{ours}{sign}{theirs}" for ours, sign, theirs in pairs if not (ours and theirs)]:
        raise ParamsError(f"--column {wrong[0]}: no NAME=COLUMN", "our name, then the file's: --column image=photo")
    columns = {ours: theirs for ours, _, theirs in pairs}
    values = {"columns": columns, "box_unit": asked.box_unit, "box_form": asked.box_form, "items": asked.items}
    return {key: value for key, value in values.items() if value}


def _server(model: str, address: str, key_env: str | None) -> dict[str, Any]:
    return {"kind": "openai", "model": model, "base_url": address, **({"api_key_env": key_env} if key_env else {})}


def _protocol(name: str) -> str:
    """A protocol's name, or the whole path of its file: the stages run in another folder. Raises ParamsError."""
    places = (Path(name), Path("protocols") / f"{name}.yaml", ROOT / "protocols" / f"{name}.yaml")
    found = next((str(place.resolve()) for place in places if place.is_file()), None)
    if found is None and name != OWN_PROTOCOL:
        raise ParamsError(
            f"there is no protocol {name}: no file {name}, no protocols/{name}.yaml",
            f"write it by `r2i protocol import` out of a clone of the reference or an installed lmms-eval "
            f"(docs/protocols.md), or leave --protocol out: {OWN_PROTOCOL}, our own",
        )
    return found or name


def style_of(model: str) -> str:
    """Of our prompts: `mini` for a folder whose tokenizer knows whole words alone, as that of models/mini."""
    try:
        told = json.loads((Path(model).expanduser() / "tokenizer.json").read_text(encoding="utf-8"))
        return "mini" if told["model"]["type"] == "WordLevel" else "paper"
    except (OSError, ValueError, KeyError, TypeError):
        return "paper"


def run_stages(folder: Path, model: str) -> Iterator[str]:
    """Run them one after the other; the name of each before it begins. What was finished before is not asked again.

    Raises R2IError where one fails, which has said why.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    if paths.state_folder().is_dir():  # replies that the pipeline has paid for are not paid for again
        environment.setdefault("R2I_STORE", str(paths.reply_store().resolve()))
    for stage in (["benchmark"], ["evaluate", "--model", model], ["score"], ["report"]):
        yield stage[0]
        command = [sys.executable, str(ROOT / "stages" / f"{stage[0]}.py"), *stage[1:]]
        code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        if code == 130 or code < 0:
            raise KeyboardInterrupt
        if code:
            raise R2IError(f"{stage[0]} failed in {folder}", "mend what it says above, then run the same command again")
