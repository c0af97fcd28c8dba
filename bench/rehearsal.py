"""A profile rehearsed: its whole DAG, images to report.html, with small models and few photographs, without a GPU.

`make rehearsal PROFILE=one-gpu` (or paper, released, one-card): in a clone, on the profile's own params but for the
counts, paths and commands in bench/rehearsal.yaml. One server, or an engine that r2i starts, speaks for all that the
profile names; SAM 2, the student, OpenRLHF, Ray and the vLLM of the student are the real ones on the CPU. Writes
bench/results/rehearsal.json: whether the report was reached, and seconds by stage. `--folder` keeps the clone and goes
on in it. A run that fails replaces none that reached its report.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
# not bench itself, whose labs.py would hide tests/labs
sys.path[:] = [
    str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "real_openrlhf"),
    *(path for path in sys.path if Path(path).resolve() != ROOT / "bench"),
]  # fmt: skip

from clone import clone  # noqa: E402 - needs the path
from endpoint.fake_server import serve  # noqa: E402
from on_cpu import HERE, environment  # noqa: E402

from bench.rehearsal_parts.pools import make_benchmark, make_photographs, make_published  # noqa: E402
from bench.rehearsal_parts.speaker import Speaker  # noqa: E402
from bench.result import STAGES, merge_result, note_code  # noqa: E402
from r2i.core.params import load_params  # noqa: E402
from r2i.core.servers import variable  # noqa: E402

RESULT = ROOT / "bench" / "results" / "rehearsal.json"
OVERLAY = ROOT / "bench" / "rehearsal.yaml"
MODELS = Path("models/rehearsal")
NOTES = Path(".r2i/rehearsal.json")  # of a clone: the code that it was begun with, and seconds by stage
OF_THE_USER = ("DVC_", "R2I_SERVER_", "R2I_STORE", "R2I_REPLIES")
"""How variables begin that lead out of the clone: made replies under real models' names go into its own store alone."""
MAY_CHANGE = frozenset({
    "rehearsal", "sample.images", "sample.workers", "crop.sam2_model", "crop.sam2_config", "train.base",
    "train.threads", "train.dapo.epochs", "train.dapo.max_steps", "train.dapo.rollout_prompts",
    "train.dapo.train_prompts", "train.cluster.nodes", "train.cluster.gpus_per_node", "train.cluster.memory_share",
    "train.cluster.enforce_eager", "train.sft.steps", "train.sft.batch", "evaluate.engine",
    "evaluate.samples", "evaluate.attention.items", "evaluate.bootstrap", "endpoints.student.model",
    "endpoints.student.flags",
    *(f"endpoints.{name}.command" for name in ("qwen3-vl-8b", "glm-4-1v-9b", "judge", "student")),
})  # fmt: skip
"""Counts, paths of models, and where and by what things run: all else is rehearsed as the profile has it."""
PYTHON = Path(os.environ.get("R2I_OPENRLHF_PYTHON") or ROOT / ".r2i" / "openrlhf-venv" / "bin" / "python")
"""Of the stages: the environment of `make test-openrlhf`."""
RUNNING = re.compile(r"Running stage '([^']+)'")


def changes(profile: str) -> dict[str, Any]:
    """Of the profile's section, as bench/rehearsal.yaml has them."""
    return dict(yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))[profile])


def leaves(tree: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values."""
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{at}{name}.")
        else:
            yield f"{at}{name}", value


def overlaid(params: Mapping[str, Any], profile: str) -> dict[str, Any]:
    """params.yaml's content with `profile` chosen and changed."""
    profiles = {**params["profiles"], profile: _merged(params["profiles"][profile], changes(profile))}
    return {**params, "profile": profile, "profiles": profiles}


def _merged(tree: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    nested = {name: _merged(tree.get(name, {}), value) for name, value in change.items() if isinstance(value, Mapping)}
    return {**tree, **change, **nested}


def prepare(folder: Path, profile: str) -> None:
    """The clone on its params; what was made in it before is left."""
    clone(folder, profile)
    path = folder / "params.yaml"
    params = overlaid(yaml.safe_load(path.read_text(encoding="utf-8")), profile)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    make_models(folder / MODELS)
    write_engine(folder / ".r2i" / "speak")
    pools = folder / "data" / "pools"
    if not pools.is_dir():
        make_photographs(pools / "sa1b" / "sa_000000.tar")
        make_benchmark(pools / "zoombench" / "test.parquet")
        make_published(folder / "downloads" / "zwz-rl" / "train-00000.parquet")


def write_engine(path: Path) -> None:
    """The program that speaks for a vLLM which r2i starts: in this environment, not in that of the stages."""
    path.parent.mkdir(exist_ok=True)
    engine = f'"{sys.executable}" tests/endpoint/engine.py --speaker bench.rehearsal_parts.speaker:Speaker "$@"'
    path.write_text(f"#!/bin/sh\nPYTHONPATH= exec {engine}\n", encoding="utf-8")
    path.chmod(0o755)


def make_models(folder: Path) -> None:
    """Students and SAM 2 below `folder`, each once."""
    from bench.rehearsal_parts.models import make_sam2, make_student

    qwen25 = partial(make_student, family="qwen2_5_vl")
    for name, make in (("student", make_student), ("student-2.5", qwen25), ("sam2", make_sam2)):
        if not (folder / name).is_dir():
            make(folder / f"{name}.part")
            (folder / f"{name}.part").rename(folder / name)


def environment_of(folder: Path, profile: str, address: str) -> dict[str, str]:
    """Of every process of the clone: one GPU that isn't there, every server at `address`."""
    endpoints = load_params(folder / "params.yaml").profiles[profile].endpoints
    return {
        **{name: value for name, value in environment(1).items() if not name.startswith(OF_THE_USER)},
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(map(str, (HERE / "shim", folder))),
        "DVC_NO_ANALYTICS": "1",
        "R2I_TEACHER_KEY": "teacher",
        "R2I_JUDGE_KEY": "judge",
        **{variable(name): address for name in endpoints},
    }


def commands_of(profile: str) -> list[list[str]]:
    published = ["python", "-m", "r2i.cli.main", "rows", "import", "downloads/zwz-rl", "data/rows/zwz", "--write"]
    return [[*published] if profile == "released" else ["true"], ["dvc", "repro"]]


def rehearse(folder: Path, profile: str) -> dict[str, Any]:
    """Run the profile in `folder`; what of it is recorded."""
    prepare(folder, profile)
    with serve() as server:
        server.answer = Speaker()
        env = environment_of(folder, profile, server.url)
        ended, seconds = 0, dict[str, float]()
        for command in commands_of(profile):
            ended, took = follow(folder, command, env)
            seconds |= took
            if ended:
                print(f"{' '.join(command)} ended with {ended}; what there is lies in {folder}", file=sys.stderr)
                break
    page = folder / "data" / "report" / "report.html"
    reached = ended == 0 and page.is_file() and "Rehearsal" in page.read_text(encoding="utf-8")
    return {"reached_report": reached, "stages_s": seconds}


def follow(folder: Path, command: list[str], env: Mapping[str, str]) -> tuple[int, dict[str, float]]:
    """Run a command and pass on what it says; its exit code, and the seconds of each stage that DVC ran."""
    starts: list[tuple[str, float]] = []
    with subprocess.Popen(
        command, cwd=folder, env=dict(env), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as running:
        assert running.stdout
        for line in running.stdout:
            print(line, end="", flush=True)
            if found := RUNNING.search(line):
                starts.append((found[1], time.monotonic()))
    ends = [began for _, began in starts[1:]] + [time.monotonic()]
    return running.returncode, {name: round(end - began, 1) for (name, began), end in zip(starts, ends, strict=False)}


def begin(folder: Path, code: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the clone, with which code it was begun."""
    path = folder / NOTES
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"code": code["code"], "stages_s": {}}), encoding="utf-8")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def record(result: Path, folder: Path, profile: str, found: Mapping[str, Any], code: dict[str, Any]) -> None:
    """Write what was found, with the seconds of stages that this clone did before: by the same code alone."""
    notes = begin(folder, code)
    if notes["code"] != code["code"]:
        print("not recorded: this clone was begun with other code, rehearse in a new one", file=sys.stderr)
        return
    found = {**found, "stages_s": notes["stages_s"] | found["stages_s"]}
    (folder / NOTES).write_text(json.dumps({**notes, "stages_s": found["stages_s"]}), encoding="utf-8")
    before = json.loads(result.read_text(encoding="utf-8"))["profiles"] if result.exists() else {}
    if not found["reached_report"] and before.get(profile, {}).get("reached_report"):
        print(f"not recorded: {profile} has reached its report before, {result.name} keeps that", file=sys.stderr)
        return
    names = list(yaml.safe_load(OVERLAY.read_text(encoding="utf-8")))
    merge_result(result, {"profiles": {**before, profile: found}}, code, profile, names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile", choices=sorted(yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))))
    parser.add_argument("--folder", type=Path)
    told = parser.parse_args()
    code = note_code(*STAGES, ROOT / "bench" / "rehearsal_parts" / "models.py", profiles=[told.profile])
    folder = (told.folder or Path(tempfile.mkdtemp(prefix="rehearsal-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    begin(folder, code)
    found = rehearse(folder, told.profile)
    print(json.dumps(found, indent=1))
    record(RESULT, folder, told.profile, found, code)
    if not told.folder and found["reached_report"]:
        shutil.rmtree(folder)
    sys.exit(not found["reached_report"])


if __name__ == "__main__":
    main()
