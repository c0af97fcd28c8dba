import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_server import Answer, Server, choices, echo, error, serve

from r2i.endpoint import Request, connect
from r2i.endpoint.remote import DEAD_AFTER, RemoteModel
from r2i.endpoint.store import Store
from r2i.errors import EndpointError
from r2i.params import Endpoint, Sampling

JPEG = b"\xff\xd8\xff rest of a picture"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "DVC_ROOT", "OPENAI_API_KEY", "TEACHER_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(name: str = "why?", n: int = 1, images: tuple[bytes, ...] = (JPEG,)) -> Request:
    return Request(name, images, Sampling(temperature=0.7, top_p=0.9, max_tokens=99), 5, n)


def remote(server: Server, root: Path, **params: object) -> RemoteModel:
    settings = {"kind": "openai", "model": "big", "base_url": server.url, "retries": 2} | params
    return RemoteModel(Endpoint.model_validate(settings), Store(root), backoff_s=0.01)


def one(server: Server, root: Path, **params: object) -> tuple[str, str, str]:
    reply = remote(server, root, **params).complete([ask()])[0][0]
    return reply.text, reply.status, reply.reason


def test_four_samples_cost_one_call_with_the_image_before_the_text(server: Server, tmp_path: Path) -> None:
    replies = remote(server, tmp_path).complete([ask(n=4)])[0]
    body = server.calls[0]
    assert len(server.calls) == 1
    assert (body["n"], body["temperature"], body["top_p"], body["max_tokens"]) == (4, 0.7, 0.9, 99)
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")  # /9j/: FF D8 FF in base64
    assert [reply.status for reply in replies] == ["ok"] * 4
    assert len({reply.text for reply in replies}) == len({reply.key for reply in replies}) == 4


def test_a_second_run_pays_nothing_and_says_the_same(server: Server, tmp_path: Path) -> None:
    requests = [ask(f"q{i}", n=2) for i in range(6)]
    first = remote(server, tmp_path).complete(requests)
    paid = len(server.calls)
    assert paid == 6
    assert remote(server, tmp_path).complete(requests[::-1]) == first[::-1]
    assert len(server.calls) == paid


def test_a_full_store_needs_neither_key_nor_server(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    first = remote(server, tmp_path, api_key_env="TEACHER_KEY").complete([ask()])
    monkeypatch.delenv("TEACHER_KEY")
    away = remote(server, tmp_path, api_key_env="TEACHER_KEY", base_url="http://127.0.0.1:9/v1")
    assert away.complete([ask()]) == first


def test_two_samples_more_cost_one_call_for_two(server: Server, tmp_path: Path) -> None:
    two = remote(server, tmp_path).complete([ask(n=2)])[0]
    four = remote(server, tmp_path).complete([ask(n=4)])[0]
    assert four[:2] == two
    assert [call["n"] for call in server.calls] == [2, 2]
    assert len({reply.text for reply in four}) == 4  # another seed: samples 2 and 3 are not 0 and 1 again


def test_the_same_request_twice_is_asked_once(server: Server, tmp_path: Path) -> None:
    replies = remote(server, tmp_path).complete([ask(), ask()])
    assert replies[0] == replies[1]
    assert len(server.calls) == 1


def test_fewer_choices_than_n_are_made_up_one_by_one(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: choices("x", "y") if body.get("n", 1) > 1 else echo(body)
    replies = remote(server, tmp_path).complete([ask(n=4)])[0]
    assert [reply.text for reply in replies[:2]] == ["x", "y"]
    assert [call.get("n", 1) for call in server.calls] == [4, 1, 1]
    assert len({reply.text for reply in replies}) == 4


def test_a_server_that_refuses_n_is_asked_one_by_one_from_then_on(server: Server, tmp_path: Path) -> None:
    refusal = error(400, "n must be 1 for this model")
    server.answer = lambda body: refusal if body.get("n", 1) > 1 else echo(body)
    replies = remote(server, tmp_path, concurrency=1).complete([ask("a", n=3), ask("b", n=3)])
    assert all(reply.status == "ok" for row in replies for reply in row)
    assert [call.get("n", 1) for call in server.calls] == [3, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    server.script(error(status), error(status))
    assert one(server, tmp_path)[1] == "ok"
    assert len(server.calls) == 3


def test_retries_end_and_the_row_fails_with_its_reason(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(429)
    assert one(server, tmp_path) == ("", "failed", "rate_limited")
    assert len(server.calls) == 3  # the first try and 2 retries
    server.answer = lambda body: error(500)
    assert one(server, tmp_path) == ("", "failed", "server_error")


def test_retry_after_is_waited_for(server: Server, tmp_path: Path) -> None:
    server.script(error(429, Retry_After="1"))
    started = time.monotonic()
    assert one(server, tmp_path)[1] == "ok"
    assert time.monotonic() - started >= 1  # the back-off alone would be 0.01 s


@pytest.mark.parametrize(
    "body", ["<html>Bad Gateway</html>", '{"choices": [{"mess', '{"choices": []}', "null", '{"error": "overloaded"}']
)
@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_a_body_that_is_no_completion_is_tried_again_then_fails(
    server: Server, tmp_path: Path, body: str, kind: str
) -> None:
    broken = Answer(body, 200, {"Content-Type": kind})
    server.script(broken)
    assert one(server, tmp_path / "a")[1] == "ok"
    server.answer = lambda _: broken
    assert one(server, tmp_path / "b") == ("", "failed", "server_error")
    assert len(server.calls) == 2 + 3


def test_truncated_refused_and_empty_replies_are_no_answers(server: Server, tmp_path: Path) -> None:
    server.script(choices("The color is", finish="length"))
    assert one(server, tmp_path) == ("The color is", "failed", "truncated")
    server.script(choices(None))
    assert one(server, tmp_path) == ("", "failed", "empty")
    server.script(choices(" \n"))
    assert one(server, tmp_path) == (" \n", "failed", "empty")
    server.script(choices(None, finish="content_filter"))
    assert one(server, tmp_path) == ("", "failed", "refused")
    assert len(server.calls) == 4  # none of them is tried again within a run


def test_passing_failures_are_asked_again_in_the_next_run_and_refusals_are_not(server: Server, tmp_path: Path) -> None:
    server.script(choices("cut", finish="length"))
    assert one(server, tmp_path)[2] == "truncated"
    assert one(server, tmp_path)[1] == "ok"
    server.script(choices(None, finish="content_filter"))
    assert one(server, tmp_path / "other")[2] == "refused"
    assert one(server, tmp_path / "other")[2] == "refused"
    assert len(server.calls) == 3


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_bad_request_fails_its_row_alone_and_is_kept(server: Server, tmp_path: Path, status: int) -> None:
    server.answer = lambda body: error(status) if "bad" in json.dumps(body) else echo(body)
    model = remote(server, tmp_path, concurrency=1)
    replies = model.complete([ask("good"), ask("bad", n=2), ask("also good")])
    assert [row[0].status for row in replies] == ["ok", "failed", "ok"]
    assert [reply.reason for reply in replies[1]] == ["bad_request"] * 2
    paid = len(server.calls)
    assert paid == 3
    assert remote(server, tmp_path).complete([ask("bad", n=2)]) == [replies[1]]
    assert len(server.calls) == paid


def test_refusals_of_a_server_that_takes_nothing_are_not_kept(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(400, "this model takes no images")
    assert one(server, tmp_path)[2] == "bad_request"
    server.answer = echo  # the server was started again, with another setting
    assert one(server, tmp_path)[1] == "ok"


def test_image_bytes_that_are_no_jpeg_are_not_sent_as_one(server: Server, tmp_path: Path) -> None:
    reply = remote(server, tmp_path).complete([ask(images=(b"\x89PNG\r\n\x1a\n",))])[0][0]
    assert (reply.status, reply.reason, len(server.calls)) == ("failed", "bad_request", 0)


@pytest.mark.parametrize(("status", "names"), [(401, "TEACHER_KEY"), (403, "TEACHER_KEY"), (404, "base_url")])
def test_a_wrong_key_or_address_ends_the_stage_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, names: str
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    server.answer = lambda body: error(status, "wrong key: sk-secret")
    with pytest.raises(EndpointError, match=names) as caught:
        remote(server, tmp_path, api_key_env="TEACHER_KEY", concurrency=1).complete([ask(str(i)) for i in range(50)])
    assert len(server.calls) == 1
    assert "sk-secret" not in str(caught.value)


def test_a_missing_key_is_named_before_any_call(server: Server, tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="TEACHER_KEY"):
        remote(server, tmp_path, api_key_env="TEACHER_KEY").complete([ask()])
    assert not server.calls


def test_the_key_is_sent_and_stored_nowhere_and_a_foreign_one_is_not_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", "sk-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    remote(server, tmp_path, api_key_env="TEACHER_KEY").complete([ask("a")])
    remote(server, tmp_path).complete([ask("b")])
    assert [headers["authorization"] for headers in server.headers] == ["Bearer sk-secret", "Bearer none"]
    assert not any(b"sk-" in path.read_bytes() for path in tmp_path.rglob("*.json"))


def test_a_dead_server_ends_the_stage_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    alive = 3
    server.answer = lambda body: echo(body) if len(server.calls) <= alive else error(500, "wrong key: sk-secret")
    model = remote(server, tmp_path, concurrency=1, retries=0)
    with pytest.raises(EndpointError, match=r"20 calls in a row .* server_error"):
        model.complete([ask(str(i)) for i in range(100)])
    assert len(server.calls) == alive + DEAD_AFTER
    server.answer = echo
    remote(server, tmp_path).complete([ask(str(i)) for i in range(100)])
    assert len(server.calls) == alive + DEAD_AFTER + 100 - alive


def test_failures_with_successes_between_them_do_not_end_the_stage(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: echo(body) if len(server.calls) % 10 == 0 else error(500)
    replies = remote(server, tmp_path, concurrency=1, retries=0).complete([ask(str(i)) for i in range(60)])
    assert sum(row[0].status == "ok" for row in replies) == 6


def test_a_refused_connection_is_a_row_with_its_reason(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert one(Server(url=f"http://127.0.0.1:{port}/v1"), tmp_path)[2] == "connection"


def test_a_slow_reply_times_out_and_the_wait_in_our_queue_does_not_count(server: Server, tmp_path: Path) -> None:
    def slow(body: dict[str, object]) -> Answer:
        time.sleep(1.0 if "slow" in json.dumps(body) else 0.1)
        return echo(body)

    server.answer = slow
    model = remote(server, tmp_path, concurrency=1, retries=0, timeout_s=0.5)
    replies = model.complete([ask("slow"), *(ask(str(i)) for i in range(8))])  # 8 x 0.1 s of queue > 0.5 s
    assert [row[0].reason for row in replies] == ["timeout"] + [""] * 8


def test_no_more_calls_are_in_flight_than_allowed(server: Server, tmp_path: Path) -> None:
    def slow(body: dict[str, object]) -> Answer:
        time.sleep(0.05)
        return echo(body)

    server.answer = slow
    remote(server, tmp_path, concurrency=4).complete([ask(str(i)) for i in range(24)])
    assert server.most_in_flight == 4


def test_replies_do_not_depend_on_the_order_in_which_calls_return(server: Server, tmp_path: Path) -> None:
    requests = [ask(str(i)) for i in range(12)]
    calm = remote(server, tmp_path / "a", concurrency=1).complete(requests)

    def uneven(body: dict[str, object]) -> Answer:
        time.sleep(0.05 if len(server.calls) % 2 else 0.0)
        return echo(body)

    server.answer = uneven
    assert remote(server, tmp_path / "b", concurrency=12).complete(requests[::-1]) == calm[::-1]


def test_connect_chooses_by_kind(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R2I_STORE", str(tmp_path / "store"))
    model = connect(Endpoint(kind="openai", model="big", base_url=server.url))
    assert model.complete([ask()])[0][0].status == "ok"
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1
