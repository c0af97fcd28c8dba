"""A server that fails three calls in ten: nothing is lost, nothing invented, nothing paid for twice."""

import json
from pathlib import Path

import pytest

from bench.endpoint_parts.check import check
from bench.endpoint_parts.client import Work, as_table, make_models
from bench.endpoint_parts.plan import FAULTS, Plan
from bench.endpoint_parts.serving import serving

STALLED_S = 1.0  # a call that took so long is given up


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(told: Work) -> list[list[dict[str, object]]]:
    (model,) = make_models(told)
    return json.loads(as_table(model.complete([told.request(index) for index in range(told.requests)])))


def test_of_600_requests_with_30_percent_faults_none_is_lost_invented_or_paid_twice(tmp_path: Path) -> None:
    endpoint = {"concurrency": 64, "timeout_s": STALLED_S, "retries": 20}
    with serving(Plan(latency_s=0.01, faults=0.3, retry_after_s=0.02)) as server:
        told = Work(server.url, str(tmp_path / "store"), 600, n=(1, 2, 3, 4), backoff_s=0.01, endpoint=endpoint)
        table = ask(told)
        counts = server.counts()
        assert set(counts["faults"]) == set(FAULTS)
        assert check(told, table, server.calls()) == {"lost": 0, "invented": 0, "paid_twice": 0, "stored_amiss": 0}
        reasons = {reply["reason"] for row in table for reply in row}
        assert reasons == {"", "truncated", "refused"}  # the others pass, and were tried again
        assert ask(told) == table  # from the store
        assert server.counts()["received"] == counts["received"]
        # 600 x (1+2+3+4)/4 samples, each once
        assert counts["served_samples"] == 1500


def test_the_check_sees_what_it_is_there_for(tmp_path: Path) -> None:
    with serving(Plan()) as server:
        told = Work(server.url, str(tmp_path / "store"), 4, n=2)
        table = ask(told)
        told_again = Work(server.url, str(tmp_path / "other store"), 4, n=2)
        ask(told_again)
        calls = server.calls()
        assert check(told, table, calls)["paid_twice"] == 8
        assert check(told, table, calls)["stored_amiss"] == 8
        swapped = [table[1], table[0], *table[2:]]
        assert check(told, swapped, calls)["invented"] == 4
        doubled = [[table[0][0], table[0][0]], *table[1:]]
        assert check(told, doubled, calls)["invented"] == 1
        failed: list[list[dict[str, object]]] = [
            [{"text": "", "status": "failed", "reason": "timeout"}] * 2,
            *table[1:3],
        ]
        assert check(told, failed, calls)["lost"] == 4
