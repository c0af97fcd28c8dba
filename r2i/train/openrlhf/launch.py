"""OpenRLHF as a process of this machine, or as a job of a running Ray cluster.

Both end with the run that wants them: the process under r2i/endpoint/guard.py also by kill -9; a job after that
goes on, and the next run with the same fingerprint follows it, or takes its result, instead of starting another.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from r2i.core.errors import R2IError
from r2i.core.servers import CLUSTER, variable
from r2i.endpoint import guard
from r2i.train.openrlhf.environment import Environment
from r2i.train.openrlhf.log_tail import log_begun
from r2i.train.openrlhf.ray_job import RayJob

TRAINER = "r2i.train.openrlhf.trainer"
REPORT_S = 15.0  # until a cluster that has just begun counts its resources
CONNECT_S = 10.0


class Training(Protocol):
    """A training that was started; its output is added to a log."""

    began: int
    """Bytes of the log that are older."""

    def alive(self) -> bool: ...

    def ended_as(self) -> str:
        """Empty where it ended well, else e.g. `exit code 1`. Only after its end."""

    def stop(self) -> None:
        """End it, with all that it started."""


class LocalTraining:
    """`python -m r2i.train.openrlhf.trainer flags`, with a Ray cluster of its own that ends with it."""

    def __init__(self, flags: list[str], environment: Environment, log: Path) -> None:
        command = [sys.executable, "-m", TRAINER, *flags]
        self.began = log_begun(log, f"{datetime.now(UTC).isoformat(timespec='seconds')} {' '.join(command)}")
        with log.open("ab") as file:
            # -I: neither this folder nor PYTHON* variables change what the guard imports
            self.guard = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment.local(),
                cwd=log.parent,
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self.guard.poll() is None

    def ended_as(self) -> str:
        code = self.guard.wait()
        number = -code if code < 0 else code - 128
        return "" if code == 0 else f"exit code {code}" + (f" (signal {number})" if number > 0 else "")

    def stop(self) -> None:
        assert self.guard.stdin is not None
        self.guard.stdin.close()  # which makes the guard stop everything
        with suppress(subprocess.TimeoutExpired):
            self.guard.wait(guard.GRACE_S + guard.LAST_S + 1)


def left_behind(
    environment: Environment, log: Path, address: str | None, name: str, whole: Callable[[], bool]
) -> Training | None:
    """What a killed run with this `name` left on the cluster, running or ended with a `whole` result; None on this
    machine. To ask before any file of the workspace is touched: the job may be writing it. Raises R2IError where the
    cluster doesn't answer."""
    return RayJob.found(environment, log, address, name, whole) if address else None


def launch(flags: list[str], environment: Environment, log: Path, address: str | None, name: str) -> Training:
    """Start OpenRLHF here or, with `address` of a Ray job server, there. `name`: of the job, by which a later run
    finds it. Raises R2IError where the cluster doesn't take it."""
    if address is None:
        return LocalTraining(flags, environment, log)
    return RayJob.submitted(["-m", TRAINER, *flags], environment, log, address, name)


def gpus_there(address: str | None) -> int | None:
    """GPUs of this machine or of the cluster; None where the cluster doesn't say."""
    if address is None:
        import torch

        return torch.cuda.device_count()
    end = time.monotonic() + REPORT_S
    while (usage := _usage(address)) == {} and time.monotonic() < end:
        time.sleep(0.5)
    return None if not usage else int(usage["GPU"][1]) if "GPU" in usage else 0


def _usage(address: str) -> dict[str, Any] | None:
    """What the cluster reports of each resource; {} where it has just begun, None where it can't be asked."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/cluster_status", timeout=CONNECT_S) as answer:
            report: Any = json.load(answer)["data"]["clusterStatus"]
        return dict(report["loadMetricsReport"]["usage"])
    return None


def refuse_too_few_gpus(wanted: int, there: int | None, address: str | None) -> None:
    """Raises R2IError where fewer GPUs are there than train.cluster asks for."""
    if there is None or there >= wanted:
        return
    where = f"the Ray cluster at {address}" if address else "this machine"
    raise R2IError(
        f"train.cluster asks for {wanted} GPUs, and {where} has {there}",
        f"change train.cluster, give the address of a Ray cluster in ${variable(CLUSTER)}, or use engine: trl",
    )


def wait_while_alive(training: Training, seconds: float) -> bool:
    """Wait so long, less where it ends before; whether it is alive."""
    end = time.monotonic() + seconds
    while training.alive():
        if time.monotonic() >= end:
            return True
        time.sleep(0.1)
    return False
