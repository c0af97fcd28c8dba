"""A job of a running Ray cluster, followed through its job server. The nodes must see the workspace, this
repository and its Python under the same paths."""

import asyncio
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from r2i.core.errors import R2IError
from r2i.core.servers import CLUSTER, variable
from r2i.train.openrlhf.environment import Environment
from r2i.train.openrlhf.log_tail import log_begun

LOOK_S = 2.0  # between two questions about its status
PATIENCE_S = 600.0  # for which the job server may be away
STOP_S = 30.0
OVER = ("SUCCEEDED", "FAILED", "STOPPED")


class RayJob:
    """A job of the cluster at `address`: of an earlier run, or a new one."""

    def __init__(self, client: Any, job: str, environment: Environment, log: Path, address: str) -> None:
        self.client, self.job, self.address, self.hide = client, job, address, environment.hide
        self.status, self._asked = "PENDING", 0.0
        self._heard, self._copied = time.monotonic(), 0
        self.began = log_begun(log, f"{datetime.now(UTC).isoformat(timespec='seconds')} job {self.job} at {address}")
        threading.Thread(target=self._follow, args=(log,), daemon=True).start()

    @classmethod
    def found(
        cls, environment: Environment, log: Path, address: str, name: str, whole: Callable[[], bool]
    ) -> Self | None:
        """The job `name` that a killed run left behind: one that still runs or, where its result is `whole`, has ended
        well. Raises R2IError where the cluster doesn't answer."""
        with _cluster(environment, address) as client:
            job = _left_behind(client.list_jobs(), name, whole)
        return cls(client, job, environment, log, address) if job else None

    @classmethod
    def submitted(cls, arguments: list[str], environment: Environment, log: Path, address: str, name: str) -> Self:
        """`python <arguments>` on the cluster's head. Raises R2IError where the cluster doesn't take it."""
        with _cluster(environment, address) as client:
            job = client.submit_job(
                entrypoint=shlex.join([sys.executable, *arguments]),
                runtime_env={"env_vars": environment.job()},
                metadata={"r2i": name},
            )
        return cls(client, str(job), environment, log, address)

    def alive(self) -> bool:
        if self.status not in OVER and time.monotonic() - self._asked >= LOOK_S:
            self._ask()
        return self.status not in OVER

    def ended_as(self) -> str:
        if self.status == "SUCCEEDED":
            return ""
        told = ""
        with suppress(Exception):
            told = self.hide(str(self.client.get_job_info(self.job).message or ""))
        return f"{self.status.lower()}" + (f" ({told.strip().splitlines()[-1][:300]})" if told.strip() else "")

    def stop(self) -> None:
        with suppress(RuntimeError, OSError):
            self.client.stop_job(self.job)
            end = time.monotonic() + STOP_S
            while self.alive() and time.monotonic() < end:
                time.sleep(0.5)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        try:
            self.status = str(self.client.get_job_status(self.job).value)
            self._heard = time.monotonic()
        except (RuntimeError, OSError) as error:
            if time.monotonic() - self._heard > PATIENCE_S:
                raise R2IError(
                    f"the Ray cluster at {self.address} has not answered for {PATIENCE_S:.0f} s ({error})",
                    "run again when it is back: a job that still runs is followed, else the last checkpoint is used",
                ) from error

    def _follow(self, log: Path) -> None:
        """Copy the job's output to `log`; after a broken connection again, past what is there."""
        while True:
            with suppress(Exception):  # of many kinds; what counts is the status
                asyncio.run(self._copy(log))
            if self.status in OVER:
                return
            time.sleep(LOOK_S)

    async def _copy(self, log: Path) -> None:
        seen = 0
        with log.open("ab") as file:
            async for text in self.client.tail_job_logs(self.job):
                data = text.encode()
                file.write(data[max(0, self._copied - seen) :])
                file.flush()
                seen += len(data)
                self._copied = max(self._copied, seen)


def _left_behind(jobs: list[Any], name: str, whole: Callable[[], bool]) -> str | None:
    """The id of the newest job `name`, where there is something to take from it."""
    ours = [job for job in jobs if (job.metadata or {}).get("r2i") == name and job.submission_id]
    running = [job for job in ours if str(job.status.value) not in OVER]
    newest = max(running or ours, key=lambda job: job.start_time or 0, default=None)
    if newest and (running or (str(newest.status.value) == "SUCCEEDED" and whole())):
        what = "still runs: it is followed" if running else "has ended well: its result is taken"
        print(f"job {newest.submission_id} {what}", file=sys.stderr)
        return str(newest.submission_id)
    return None


@contextmanager
def _cluster(environment: Environment, address: str) -> Iterator[Any]:
    """A client of the job server at `address`; what it can't do is an R2IError without the keys."""
    try:
        from ray.job_submission import JobSubmissionClient

        yield JobSubmissionClient(address)
    except (ImportError, ConnectionError, RuntimeError, OSError) as error:
        first = environment.hide((str(error).splitlines() or [type(error).__name__])[0])[:300]
        raise R2IError(
            f"the Ray cluster at {address} takes no job: {first}",
            f"${variable(CLUSTER)}, or {CLUSTER} in servers.yaml, is the address of its job server, e.g. http://head:8265",
        ) from error
