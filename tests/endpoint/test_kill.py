"""A client that is killed, stopped, or not alone: what was paid for stays, and is not paid for again."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bench.endpoint_parts.check import check, stored_samples
from bench.endpoint_parts.client import Work, run_client, start
from bench.endpoint_parts.kills import run_with_kills
from bench.endpoint_parts.plan import Plan
from bench.endpoint_parts.serving import Served, serving

STEADY = Plan(capacity=16, latency_s=0.05)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def work(server: Served, folder: Path, name: str, **more: object) -> Work:
    settings: dict[str, object] = {"requests": 240, "n": (1, 2), "endpoint": {"concurrency": 16}} | more
    return Work(server.url, str(folder / f"{name} store"), table=str(folder / f"{name}.json"), **settings)  # type: ignore[arg-type]


def test_killed_five_times_it_pays_for_no_more_than_was_in_flight_and_says_the_same(tmp_path: Path) -> None:
    with serving(STEADY) as server:
        told = work(server, tmp_path, "killed")
        killed = run_with_kills(told, server, kills=5)
        counts = server.counts()
    assert killed.kills == 5
    assert counts["served_distinct"] == told.requests
    assert counts["served"] <= counts["served_distinct"] + killed.in_flight
    with serving(STEADY) as server:
        run_client(work(server, tmp_path, "calm"))
        assert server.counts()["served"] == told.requests
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "calm.json").read_bytes()


def test_two_clients_on_one_store_pay_for_no_call_twice(tmp_path: Path) -> None:
    with serving(STEADY) as server:
        one = work(server, tmp_path, "shared")
        other = replace(one, table=str(tmp_path / "other.json"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(run_client, [one, other]))
        counts = server.counts()
        text = (tmp_path / "shared.json").read_text()
        assert (tmp_path / "other.json").read_text() == text
        assert not any(check(one, json.loads(text), server.calls()).values())
    assert (counts["received"], counts["served"]) == (one.requests, one.requests)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_within_two_seconds_and_what_came_is_kept(tmp_path: Path, name: signal.Signals) -> None:
    with serving(Plan(latency_s=0.02, faults=0.5, kinds=("stall",))) as server:  # half of the calls never come back
        told = work(server, tmp_path, "stopped", endpoint={"concurrency": 64}, knows_server=True)
        with start(told) as client:
            while client.poll() is None and server.counts()["in_flight"] < 40:
                time.sleep(0.01)
            client.send_signal(name)
            began = time.monotonic()
            assert client.wait(10) == 130
            assert time.monotonic() - began < 2.0
        counts = server.counts()
        assert 0 < counts["served_samples"] == stored_samples(Path(told.store))
    with serving(Plan()) as server:
        run_client(work(server, tmp_path, "stopped"))
        assert server.counts()["served"] == told.requests - counts["served"]
