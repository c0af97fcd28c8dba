"""The folder of one run with OpenRLHF: its files, whose it is, and the settings that the agent executors read there."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

from filelock import FileLock, Timeout
from pydantic import ValidationError

from r2i.core import paths
from r2i.core.disk import new_file
from r2i.core.errors import R2IError
from r2i.core.fingerprint import library_versions
from r2i.core.params import Dapo, Train
from r2i.core.records import TRAIN
from r2i.core.tables import table_parts

ENGINES = ("openrlhf", "vllm", "deepspeed", "ray", "torch", "transformers")
SETTINGS_VARIABLE = "R2I_AGENT_SETTINGS"  # environment variable: the path of Files.agent_settings


@dataclass(frozen=True)
class Files:
    """Absolute paths in one run's workspace: a folder for each base, rows, params and seed.

    Every process that trains must see them under the same paths: on a cluster the workspace is on a shared disk.
    """

    root: Path
    student: Path
    """Folder: the base with the pixel limits of this run in its processor."""
    prompts: Path
    """What OpenRLHF reads: one line for each prompt, images by reference."""
    held: Path
    """Rows that are held out for validation, as `prompts`."""
    facts: Path
    """ViewFacts of both, as JSON."""
    agent_settings: Path
    """AgentSettings, as JSON."""
    rollout_counts: Path
    """Folder: what each agent executor counts (r2i.train.openrlhf.executor.Tally)."""
    checkpoints: Path
    """DeepSpeed's checkpoints, to resume from."""
    validated: Path
    """Folder: what was measured on held-out rows (r2i.train.openrlhf.validated)."""
    result: Path
    """Folder: the trained model and its processor, written at the end."""
    tensorboard: Path
    log: Path
    """What OpenRLHF prints."""

    @classmethod
    def under(cls, root: Path) -> Self:
        """The workspace `root`; nothing is made."""
        root = root.resolve()
        return cls(
            root=root,
            student=root / "student",
            prompts=root / "prompts.parquet",
            held=root / "held.parquet",
            facts=root / "view.json",
            agent_settings=root / "agent.json",
            rollout_counts=root / "rollouts",
            checkpoints=root / "checkpoints",
            validated=root / "validated",
            result=root / "result",
            tensorboard=root / "tensorboard",
            log=root / "train.log",
        )


def fingerprint_of(train: Train, table: Path, seed: int) -> str:
    """32 hex digits that change with the rows and their images, the base, the dapo params, the seed, OpenRLHF's
    version and, where there is one, the validation. Not with the cluster, the judge's address, or r2i's code: these
    don't discard days of training."""
    where: Any = {"max_calls": True, "endpoint": {"base_url", "api_key_env", "concurrency", "rpm", "tpm"}}
    dapo = train.dapo.model_dump(mode="json", exclude={"watch": True, "judge": where})
    inputs: list[Any] = [train.base, dapo, seed, library_versions(ENGINES[:1])]
    inputs += [train.validation, train.choose, train.save_every] if train.validation else []
    digest = hashlib.sha256(json.dumps(inputs).encode())
    base = Path(train.base)
    weights = sorted(path for path in base.iterdir() if path.is_file()) if base.is_dir() else []
    for path in [*weights, *table_parts(table, TRAIN, "overlay")]:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:32]


@contextmanager
def open_workspace(fingerprint: str) -> Iterator[Files]:
    """The workspace of a run, locked for this process. Raises R2IError where another process trains in it."""
    files = Files.under(paths.training_state(fingerprint))
    files.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(files.root.with_suffix(".lock"), timeout=0), sigterm_as_interrupt():
            yield files
    except Timeout:
        raise R2IError(
            f"another process trains this very run in {files.root}", "wait until it ends, or stop it"
        ) from None


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt meanwhile: schedulers send it before they take the machine away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class AgentSettings:
    """What an agent executor needs to know; OpenRLHF builds it without arguments, in processes of its own.

    `engines`: vLLM engines that share the judge's budget, each with its own executor. `counts`: Files.rollout_counts.
    `workspace`: the main workspace, which holds the store of replies. The trainer reads `validated`: the folder of
    that name in Files; `choose`: of Train.
    """

    dapo: Dapo
    engines: int
    seed: int
    counts: Path
    workspace: Path
    validated: Path
    choose: str


def write_settings(files: Files, dapo: Dapo, engines: int, seed: int, choose: str = "last") -> None:
    """Write `files.agent_settings`. Raises R2IError for a judge that would run in the executor's process."""
    if dapo.judge and dapo.judge.endpoint.kind != "openai":
        raise R2IError(
            f"the judge of engine openrlhf can't be of kind {dapo.judge.endpoint.kind}: each vLLM engine would load it",
            "serve it on GPUs of its own and use `kind: openai` with its base_url",
        )
    values = {
        "dapo": dapo.model_dump(mode="json"),
        "engines": engines,
        "seed": seed,
        "counts": str(files.rollout_counts),
        "validated": str(files.validated),
        "choose": choose,
        "workspace": str(paths.main_workspace().resolve()),
    }
    with new_file(files.agent_settings) as part:
        part.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def read_settings() -> AgentSettings:
    """Read the file that $R2I_AGENT_SETTINGS names. Raises R2IError where it is missing or no settings."""
    name = os.environ.get(SETTINGS_VARIABLE, "")
    try:
        values = json.loads(Path(name).read_text(encoding="utf-8"))
        dapo = Dapo.model_validate(values["dapo"])
        counts, workspace, validated = (Path(values[name]) for name in ("counts", "workspace", "validated"))
        return AgentSettings(dapo, values["engines"], values["seed"], counts, workspace, validated, values["choose"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise R2IError(
            f"no agent settings in ${SETTINGS_VARIABLE} ({name or 'unset'}): {error}",
            "start the training by r2i, with the workspace on a disk that all nodes share",
        ) from error
