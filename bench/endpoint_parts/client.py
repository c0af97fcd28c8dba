"""A client in a process of its own: asks what it is told to, measures itself, says so in one line of JSON.

    python -m bench.endpoint_parts.client '{"url": ..., "store": ..., "requests": 1000, ...}'

It runs as a stage does (r2i.core.stage), so that its exit codes are a stage's.
"""

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.endpoint_parts.pictures import picture
from bench.endpoint_parts.serving import ROOT
from r2i.core.params import Endpoint, Sampling
from r2i.endpoint.base import Picture, Reply, Request

NOWHERE = "http://127.0.0.1:9/v1"  # no server


@dataclass(frozen=True)
class Work:
    """What a client is told: `requests` prompts, each asked `n` times (or of the counts in `n`, in turn).

    Request i belongs to model i mod `models`. `pictures`: a folder (pictures.make_files) of one picture for each
    `prompts_per_picture` requests, `picture_bytes` long; None: no images. `endpoint`: further fields of Endpoint.
    `knows_server`: an earlier run has learned what the server takes, else the first call is alone. `table`: where the
    replies go, as sorted JSON.
    """

    url: str
    store: str
    requests: int
    n: int | Sequence[int] = 1
    models: int = 1
    pictures: str | None = None
    picture_bytes: int = 300_000
    prompts_per_picture: int = 1
    endpoint: dict[str, Any] | None = None
    backoff_s: float = 1.0
    knows_server: bool = False
    archive: str | None = None
    table: str | None = None

    def request(self, index: int) -> Request:
        images: tuple[Picture, ...] = ()
        if self.pictures:
            images = (picture(Path(self.pictures), index // self.prompts_per_picture, self.picture_bytes),)
        n = self.n if isinstance(self.n, int) else self.n[index % len(self.n)]
        return Request(prompt(index), images, Sampling(temperature=0.7, max_tokens=256), seed=index, n=n)


def prompt(index: int) -> str:
    return f"Question {index}: what colour is the small thing at the left?"


def work(told: Work) -> dict[str, Any]:
    """Do it. Returns seconds, CPU and memory of this process, and how the replies ended."""
    import httpx2  # noqa: F401 - its import, a good part of a second, is no part of what is measured

    from r2i.endpoint.flow import run_jobs

    models = make_models(told)

    def jobs() -> Iterator[Any]:
        for index in range(told.requests):
            yield one(models[index % told.models], told.request(index))

    print("started", flush=True)
    before, started = _cpu_s(), time.perf_counter()
    replies: list[list[Reply]] = run_jobs(jobs(), total=told.requests)
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    if told.table:
        Path(told.table).write_text(as_table(replies), encoding="utf-8")
    return {
        "wall_s": wall_s,
        "cpu_ms_per_request": cpu_s / told.requests * 1e3,
        "peak_rss_mb": peak_rss_mb(),
        "replies": dict(Counter(reply.reason or reply.status for row in replies for reply in row)),
    }


def make_models(told: Work) -> list[Any]:
    """One RemoteModel for each name, all on one store."""
    from r2i.endpoint.options import options_of
    from r2i.endpoint.remote import RemoteModel
    from r2i.endpoint.store import Store

    settings = {"kind": "openai", "base_url": told.url} | (told.endpoint or {})
    store = Store(Path(told.store), Path(told.archive) if told.archive else None)
    names = [f"m{index}" for index in range(told.models)]
    models = [
        RemoteModel(Endpoint.model_validate(settings | {"model": name}), store=store, backoff_s=told.backoff_s)
        for name in names
    ]
    if told.knows_server:
        for model in models:
            for request in map(told.request, range(8)):
                model.options.take(options_of(request, request.n, form=True), request.n)
    return models


def one(model: Any, request: Request) -> Any:
    """A job that asks one request."""
    (replies,) = yield [(model, request)]
    return replies


def as_table(replies: Sequence[Sequence[Reply]]) -> str:
    return json.dumps([[asdict(reply) for reply in row] for row in replies], sort_keys=True, indent=1)


def peak_rss_mb() -> float:
    """Most resident memory of this process. `ru_maxrss` would count that of who started it, up to its start."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def start(told: Work, module: str = "client") -> subprocess.Popen[str]:
    """The client as a process. It says `started` once its imports are done, and its result at the end."""
    command = [sys.executable, "-m", f"bench.endpoint_parts.{module}", json.dumps(asdict(told))]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def run_client(told: Work, module: str = "client") -> dict[str, Any]:
    """Run it to its end. Raises CalledProcessError where it fails."""
    with start(told, module) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, output)
    return json.loads(output.splitlines()[-1])


def main(settings: str) -> None:
    print(json.dumps(work(Work(**json.loads(settings)))), flush=True)


if __name__ == "__main__":
    from r2i.core.stage import run_stage

    run_stage(main)
