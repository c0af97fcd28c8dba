"""Wall time against the bound N·L/C + L_max, and against one thread per image."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.endpoint_parts.client import Work, run_client
from bench.endpoint_parts.pictures import make_files
from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import serving

SIZE = 300_000  # bytes of a picture
LATENCY_S = 2.0  # mean of one sequence


def bound(scratch: Path, scale: float) -> dict[str, Any]:
    """One sample a request, a picture of its own with each, at two capacities.

    The client is told a limit far above the capacity: it must find out by itself what the server takes.
    """
    make_files(scratch / "pictures", SIZE)
    result: dict[str, Any] = {"bound_ratio": {}, "bound_ratio_429": {}, "bound": {}, "bound_429": {}}
    for reject, suffix in ((False, ""), (True, "_429")):
        for capacity, concurrency in ((64, 256), (256, 512)):
            told = Work(
                "", str(scratch / f"store {capacity}{suffix}"), max(8, int(scale * 16 * capacity)),
                pictures=str(scratch / "pictures"), picture_bytes=SIZE,
                endpoint={"concurrency": concurrency, "retries": 50}, knows_server=True,
            )  # fmt: skip
            plan = Plan(capacity, reject, LATENCY_S * min(1.0, scale * 4))
            found = measure(told, plan)
            result[f"bound_ratio{suffix}"][str(capacity)] = found["ratio"]
            result[f"bound{suffix}"][str(capacity)] = found
    return result


def measure(told: Work, plan: Plan, module: str = "client") -> dict[str, Any]:
    """Run a client against a fresh server. `ratio`: its wall time over the bound for its N sequences.

    With several models the sequences are spread evenly over as many servers of that capacity.
    """
    with serving(plan) as server:
        result = run_client(replace(told, url=server.url), module)
        counts = server.counts()
    latency_s, sequences = counts["latency_mean_s"], counts["sequences"]
    bound_s = sequences / told.models * latency_s / plan.capacity + counts["latency_max_s"]
    kept = ("received", "served", "most_in_flight", "latency_mean_s", "latency_max_s", "sequences", "megabytes_in")
    return {
        "ratio": result["wall_s"] / bound_s,
        "bound_s": bound_s,
        "capacity": plan.capacity,
        **{name: counts[name] for name in kept},
        "refused": counts["faults"].get("429", 0),
        **result,
    }


def serial(scratch: Path, scale: float) -> dict[str, Any]:
    """The same questions, pictures and numbers of samples for both: 3 questions x 8 samples for each picture.

    Serial: 48 threads, one per picture, 24 calls in a row, each with its upload. Ours: 6 requests with n = 4 in any
    order, limit 256. Serial never has more than 48 calls in flight, so that one run of it stands for all capacities;
    `two models`: half of the samples from each of two teachers, each a server of capacity 64.
    """
    make_files(scratch / "pictures", SIZE)
    images = max(2, int(96 * scale))
    told = Work(
        "", str(scratch / "store"), images * 6, n=4, prompts_per_picture=6,
        pictures=str(scratch / "pictures"), picture_bytes=SIZE, endpoint={"concurrency": 256},
        knows_server=True,
    )  # fmt: skip
    plan = Plan(64, latency_s=LATENCY_S / 2 * min(1.0, scale * 4))
    theirs = measure(told, plan, "serial")
    ours = {
        "64": measure(replace(told, store=str(scratch / "store 64")), plan),
        "256": measure(replace(told, store=str(scratch / "store 256")), replace(plan, capacity=256)),
        "64, two models": measure(replace(told, store=str(scratch / "store two"), models=2), plan),
    }
    ratios = {name: theirs["wall_s"] / found["wall_s"] for name, found in ours.items()}
    return {
        "vs_serial_threads": ratios["64"],
        "vs_serial": {"images": images, "ratio": ratios, "serial": theirs, "ours": ours},
    }
