"""Faults and kills: what is lost, invented, or paid for twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.endpoint_parts.check import check
from bench.endpoint_parts.client import Work, run_client
from bench.endpoint_parts.kills import run_with_kills
from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import serving


def faults(scratch: Path, scale: float) -> dict[str, Any]:
    """10 000 requests of 1 to 4 samples to a server that fails three attempts in ten, in twelve ways."""
    told = Work(
        "", str(scratch / "faults"), int(10_000 * scale), n=(1, 2, 3, 4), backoff_s=0.02,
        table=str(scratch / "faults.json"), endpoint={"concurrency": 256, "timeout_s": 1.0, "retries": 30},
    )  # fmt: skip
    with serving(Plan(256, latency_s=0.02, faults=0.3, retry_after_s=0.02)) as server:
        result = run_client(replace(told, url=server.url))
        counts, calls = server.counts(), server.calls()
    found = check(told, json.loads(Path(str(told.table)).read_text(encoding="utf-8")), calls)
    kept = ("received", "served", "served_distinct", "served_samples", "abandoned", "faults")
    return {"faults": found | {"requests": told.requests} | {name: counts[name] for name in kept} | result}


def kills(scratch: Path, scale: float, times: int = 20) -> dict[str, Any]:
    """kill -9 at 20 random moments, each time resumed; then an undisturbed run to compare the table with."""
    told = Work(
        "", str(scratch / "killed"), int(3_000 * scale), n=(1, 2), table=str(scratch / "killed.json"),
        endpoint={"concurrency": 64},
    )  # fmt: skip
    plan = Plan(64, latency_s=0.1)
    with serving(plan) as server:
        killed = run_with_kills(
            replace(told, url=server.url), server, times, most_calls=max(10, told.requests // times)
        )
        counts = server.counts()
    calm = replace(told, store=str(scratch / "calm"), table=str(scratch / "calm.json"))
    with serving(plan) as server:
        run_client(replace(calm, url=server.url))
    same = Path(str(told.table)).read_bytes() == Path(str(calm.table)).read_bytes()
    return {
        "kills": {
            "kills": killed.kills,
            "requests": told.requests,
            "served": counts["served"],
            "distinct": counts["served_distinct"],
            "paid_again": counts["served"] - counts["served_distinct"],
            "in_flight_at_kills": killed.in_flight,
            "within_bound": counts["served"] <= counts["served_distinct"] + killed.in_flight,
            "table_identical": same,
        }
    }
