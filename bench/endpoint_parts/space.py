"""Memory of a client with thousands of pictures, and how fast their replies come back without a server."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.endpoint_parts.check import stored_samples
from bench.endpoint_parts.client import NOWHERE, Work, run_client
from bench.endpoint_parts.pictures import make_files
from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import serving
from bench.endpoint_parts.speed import SIZE
from r2i.endpoint.archive import open_archive
from r2i.endpoint.store import Store
from r2i.tools.replies.pack import pack

MOST = 20_000


def memory(scratch: Path, scale: float) -> dict[str, Any]:
    """Peak resident memory at two sizes, each in a fresh process, 256 calls in flight, 300 KB a picture."""
    make_files(scratch / "pictures", SIZE)
    peaks, details = {}, {}
    for requests in (5_000, MOST):
        with serving(Plan(256, latency_s=1.0)) as server:
            result = run_client(replace(_work(scratch, int(requests * scale), str(requests)), url=server.url))
            counts = server.counts()
        peaks[str(requests)] = result["peak_rss_mb"]
        details[str(requests)] = result | {name: counts[name] for name in ("served", "most_in_flight", "megabytes_in")}
    return {"peak_rss_mb": peaks, "memory": details}


def replay(scratch: Path, scale: float) -> dict[str, Any]:
    """The replies of `memory`'s larger run again, from the live store and from an archive, with no server.

    Keys are made anew from the pictures' bytes, as a stage does. Seconds leave the start of Python out.
    """
    requests = int(MOST * scale)
    told = _work(scratch, requests, str(MOST))
    make_files(scratch / "pictures", SIZE)
    if not Path(told.store).exists():
        with serving(Plan(256)) as server:
            run_client(replace(told, url=server.url))
    assert stored_samples(Path(told.store)) == requests
    live = run_client(told)
    archive = scratch / "replies"
    began = time.perf_counter()
    pack(Store(Path(told.store)), open_archive(archive))
    pack_s = time.perf_counter() - began
    packed = run_client(replace(told, store=str(scratch / "empty store"), archive=str(archive)))
    for result in (live, packed):
        assert result["replies"] == {"ok": requests}, json.dumps(result)
    sizes = [file.stat().st_size / 1e6 for file in archive.iterdir()]
    return {
        "replay_20000_s": {"store": live["wall_s"], "archive": packed["wall_s"]},
        "replay": {
            "requests": requests, "store": live, "archive": packed, "pack_s": pack_s,
            "segments": len(sizes), "archive_mb": sum(sizes),
        },
    }  # fmt: skip


def _work(scratch: Path, requests: int, name: str) -> Work:
    return Work(
        NOWHERE, str(scratch / f"store {name}"), requests, pictures=str(scratch / "pictures"), picture_bytes=SIZE,
        endpoint={"concurrency": 256},
    )  # fmt: skip
