import asyncio
import os
import signal
import threading
from collections.abc import Sequence

import pytest

from r2i.core.params import Sampling
from r2i.endpoint.base import Reply, Request, ServedModel
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger


def request(prompt: str) -> Request:
    return Request(prompt, (), Sampling(), 0)


def reply(text: str) -> Reply:
    return Reply(text, "ok", "", "key", "m", 10, 1)


class InProcess:
    """Keeps the batches that it was asked."""

    kind, price, loaded = "local", None, None

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.batches: list[list[str]] = []

    def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
        self.batches.append([one.prompt for one in requests])
        return [[reply(one.prompt.upper())] for one in requests]


class Behind(InProcess, ServedModel):
    """Behind a server: each request takes as long as it says."""

    def __init__(self, name: str = "remote") -> None:
        super().__init__(name)
        self.in_flight = self.most = 0
        self.settled: list[float] = []

    async def ask(self, request: Request) -> list[Reply]:
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(float(request.prompt.rpartition(" ")[2]))
        self.in_flight -= 1
        if "defect" in request.prompt:
            raise ValueError(request.prompt)
        return [reply(request.prompt.upper())]

    def is_stored(self, request: Request) -> bool:
        return False

    def progress(self) -> str:
        return ""

    async def settle(self, grace_s: float) -> None:
        self.settled.append(grace_s)


def chain(*steps: tuple[InProcess, str]) -> Job[list[str]]:
    said = []
    for model, prompt in steps:
        ((answer,),) = yield [(model, request(prompt))]
        said.append(answer.text)
    return said


def test_results_are_in_the_order_of_the_jobs_and_all_calls_are_in_flight_together() -> None:
    model = Behind()
    results = run_jobs([chain((model, f"{i} {0.05 - i / 1000}")) for i in range(40)])
    assert [said[0].partition(" ")[0] for said in results] == [str(i) for i in range(40)]
    assert model.most == 40
    assert len(model.settled) == 1


def test_a_slow_job_holds_no_other_back() -> None:
    first, second = Behind("a"), Behind("b")
    order = []

    def job(name: str, slow: float) -> Job[None]:
        yield [(first, request(f"{name} {slow}"))]
        yield [(second, request(f"{name} 0"))]
        order.append(name)

    run_jobs([job("slow", 0.2), *(job(str(i), 0.0) for i in range(5))])
    assert order[-1] == "slow"


def test_a_model_in_process_is_asked_in_one_batch_for_all_jobs() -> None:
    teacher, student = InProcess("teacher"), InProcess("student")
    jobs = [
        chain((teacher, "a1"), (student, "a2")),
        chain((teacher, "b1"), (teacher, "b2"), (student, "b3")),
    ]
    assert run_jobs(jobs) == [["A1", "A2"], ["B1", "B2", "B3"]]
    # all of the teacher's rounds come before the student's only one
    assert (teacher.batches, student.batches) == ([["a1", "b1"], ["b2"]], [["a2", "b3"]])


def test_batches_in_process_do_not_depend_on_when_a_server_replies() -> None:
    def batches(delays: list[float]) -> list[list[str]]:
        server, local = Behind(), InProcess()
        run_jobs([chain((server, f"{i} {delay}"), (local, str(i))) for i, delay in enumerate(delays)])
        return local.batches

    assert batches([0.05, 0.0, 0.02]) == batches([0.0, 0.03, 0.0]) == [["0", "1", "2"]]


def test_several_models_may_be_asked_in_one_step() -> None:
    server, local = Behind(), InProcess()

    def job() -> Job[list[str]]:
        replies = yield [(local, request("x")), (server, request("y 0")), (local, request("z"))]
        return [one.text for (one,) in replies]

    assert run_jobs([job(), job()]) == [["X", "Y 0", "Z"]] * 2
    assert local.batches == [["x", "z", "x", "z"]]


def test_jobs_are_made_when_their_turn_comes() -> None:
    model, made, most = Behind(), 0, 0

    def jobs() -> "object":
        nonlocal made, most
        for i in range(5000):
            made += 1
            most = max(most, made - finished[0])
            yield job(i)

    finished = [0]

    def job(i: int) -> Job[None]:
        yield [(model, request("x 0"))]
        finished[0] += 1

    run_jobs(jobs(), total=5000)  # type: ignore[arg-type]
    assert finished == [5000]
    assert most <= 2048


def test_a_job_without_asks_has_its_result_and_no_jobs_have_none() -> None:
    assert run_jobs([chain(), chain()]) == [[], []]
    assert run_jobs([]) == []


def test_the_first_error_is_raised_as_it_is_and_models_settle() -> None:
    model = Behind()
    with pytest.raises(ValueError, match="defect"):
        run_jobs([chain((model, "a 5")), chain((model, "defect 0"))])
    assert model.settled == [10.0]


def test_an_error_of_a_job_itself_is_raised_as_it_is() -> None:
    def broken() -> Job[None]:
        yield [(InProcess(), request("x"))]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_jobs([broken()])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_haste(number: signal.Signals) -> None:
    model = Behind()
    threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
    with pytest.raises(KeyboardInterrupt):
        run_jobs([chain((model, "a 30"))])
    assert model.settled == [1.0]


def test_ctrl_c_does_not_wait_for_a_model_in_process() -> None:
    class Slow(InProcess):
        def complete(self, requests: Sequence[Request]) -> list[list[Reply]]:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(10**7):
                pass
            raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        run_jobs([chain((Slow(), "x"))])


def test_the_ledger_counts_every_reply() -> None:
    ledger = Ledger()
    server, local = Behind(), InProcess()
    run_jobs([chain((server, "a 0"), (local, "b"), (local, "c"))], ledger)
    one = {"requests": 1, "samples": 1, "tokens_in": 10, "tokens_out": 1}
    two = {"requests": 2, "samples": 2, "tokens_in": 20, "tokens_out": 2}
    assert ledger.metrics() == {"local": two, "remote": one}


def test_few_jobs_start_few_workers_and_many_are_all_under_way_at_once() -> None:
    tasks: list[int] = []
    model = Behind()

    def job(number: int) -> Job[str]:
        ((answer,),) = yield [(model, request(f"{number} 0.5"))]
        tasks.append(len(asyncio.all_tasks()))
        return answer.text

    assert run_jobs(job(number) for number in range(3)) == ["0 0.5", "1 0.5", "2 0.5"]
    assert model.most == 3 and max(tasks) < 12
    assert len(run_jobs(job(number) for number in range(300))) == 300 and model.most == 300
