"""The folder of one run with OpenRLHF: whose it is, and what goes on in it."""

import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from r2i.core import paths
from r2i.core.errors import R2IError
from r2i.core.fingerprint import library_versions
from r2i.core.params import Train
from r2i.core.records import TRAIN
from r2i.core.tables import table_parts
from r2i.train.openrlhf.files import Files

ENGINES = ("openrlhf", "vllm", "deepspeed", "ray", "torch", "transformers")


def fingerprint_of(train: Train, table: Path, seed: int) -> str:
    """32 hex digits that change with the rows and their pictures, the base, the dapo params, the seed and
    OpenRLHF's version. Not with the cluster, the judge's address, or r2i's code: days of training are not thrown
    away for those."""
    where: Any = {"max_calls": True, "endpoint": {"base_url", "api_key_env", "concurrency", "rpm", "tpm"}}
    dapo = train.dapo.model_dump(mode="json", exclude={"watch": True, "judge": where})
    told = [train.base, dapo, seed, library_versions(ENGINES[:1])]
    found = hashlib.sha256(json.dumps(told).encode())
    base = Path(train.base)
    weights = sorted(path for path in base.iterdir() if path.is_file()) if base.is_dir() else []
    for path in [*weights, *table_parts(table, TRAIN, "overlay")]:
        with path.open("rb") as file:
            found.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:32]


@contextmanager
def open_workspace(fingerprint: str) -> Iterator[Files]:
    """Its files, for this process alone. Raises R2IError where another one trains in it."""
    files = Files.under(paths.training_state(fingerprint))
    files.root.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(files.root.with_suffix(".lock"), timeout=0), sigterm_as_interrupt():
            yield files
    except Timeout:
        raise R2IError(
            f"another process trains this very run in {files.root}", "wait for its end, or stop it"
        ) from None


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM is a KeyboardInterrupt meanwhile: schedulers send it before they take the machine away."""
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
