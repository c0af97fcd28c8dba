import base64
import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from endpoint.fake_server import Answer, Server, choices, echo, error
from PIL import Image

from r2i.core.errors import EndpointError, ImageError
from r2i.core.images import jpeg_bytes
from r2i.core.params import Endpoint, Sampling
from r2i.endpoint import Picture, Request, connect
from r2i.endpoint.base import canonical
from r2i.endpoint.faults import DEAD_AFTER, CircuitBreaker, Failure
from r2i.endpoint.flow import Job, run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store

JPEG = b"\xff\xd8\xff rest of a picture"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "DVC_ROOT", "OPENAI_API_KEY", "TEACHER_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(name: str = "why?", n: int = 1, images: tuple[bytes, ...] = (JPEG,)) -> Request:
    return Request(name, images, Sampling(temperature=0.7, top_p=0.9, max_tokens=99), 5, n)


def remote(server: Server, root: Path, **params: object) -> RemoteModel:
    settings = {"kind": "openai", "model": "big", "base_url": server.url, "retries": 2} | params
    return RemoteModel(Endpoint.model_validate(settings), Store(root / "store"), backoff_s=0.01)


def one(server: Server, root: Path, **params: object) -> tuple[str, str, str]:
    reply = remote(server, root, **params).complete([ask()])[0][0]
    return reply.text, reply.status, reply.reason


# defect 15 of the reference
def test_four_samples_cost_one_call_and_one_upload(server: Server, tmp_path: Path) -> None:
    replies = remote(server, tmp_path).complete([ask(n=4)])[0]
    body = server.calls[0]
    assert len(server.calls) == 1
    assert (body["n"], body["temperature"], body["top_p"], body["max_tokens"]) == (4, 0.7, 0.9, 99)
    content = body["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert content[0]["image_url"]["url"].startswith("data:image/jpeg;base64,/9j/")  # /9j/: FF D8 FF in base64
    assert [reply.status for reply in replies] == ["ok"] * 4
    assert len({reply.text for reply in replies}) == len({reply.key for reply in replies}) == 4


# defect 18 of the reference
def test_a_second_run_goes_by_request_not_by_place_and_pays_nothing(server: Server, tmp_path: Path) -> None:
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


def test_fewer_choices_than_n_are_made_up_for(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: choices("x", "y") if body.get("n", 1) == 4 else echo(body)
    replies = remote(server, tmp_path).complete([ask(n=4)])[0]
    assert [reply.text for reply in replies[:2]] == ["x", "y"]
    assert [call.get("n", 1) for call in server.calls] == [4, 2]
    assert len({reply.text for reply in replies}) == 4


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_a_passing_failure_is_tried_again(server: Server, tmp_path: Path, status: int) -> None:
    server.script(error(status), error(status))
    assert one(server, tmp_path)[1] == "ok"
    assert len(server.calls) == 3


# defect 16 of the reference
def test_retries_end_and_the_row_fails_with_its_reason(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(429)
    assert one(server, tmp_path) == ("", "failed", "rate_limited")
    assert len(server.calls) == 3  # the first try and 2 retries
    server.answer = lambda body: error(500)
    assert one(server, tmp_path) == ("", "failed", "server_error")


# defect 16 of the reference
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


# defect 21 of the reference
def test_truncated_refused_and_empty_replies_are_no_answers(server: Server, tmp_path: Path) -> None:
    cases = [
        (choices("The color is", finish="length"), ("The color is", "failed", "truncated")),
        (choices(None), ("", "failed", "empty")),
        (choices(" \n"), (" \n", "failed", "empty")),
        (choices(None, finish="content_filter"), ("", "failed", "refused")),
        (error(400, "blocked by content_filter"), ("", "failed", "refused")),
    ]
    for number, (answer, expected) in enumerate(cases):
        server.script(answer)
        assert one(server, tmp_path / str(number)) == expected
    assert len(server.calls) == len(cases)  # none of them is tried again within a run


def test_what_was_paid_for_is_kept_even_if_it_is_no_answer(server: Server, tmp_path: Path) -> None:
    server.script(choices("cut", finish="length"))
    assert one(server, tmp_path)[2] == "truncated"
    assert one(server, tmp_path) == ("cut", "failed", "truncated")
    assert len(server.calls) == 1


def test_a_failure_without_a_reply_is_asked_again_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(500)
    assert one(server, tmp_path)[2] == "server_error"
    server.answer = echo
    assert one(server, tmp_path)[1] == "ok"


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


# defect 13 of the reference
def test_the_type_sent_is_that_of_the_bytes(server: Server, tmp_path: Path) -> None:
    def shown(data: bytes) -> str:
        remote(server, tmp_path).complete([ask(images=(data,))])
        return str(server.calls[-1]["messages"][0]["content"][0]["image_url"]["url"]).partition(",")[0]

    assert shown(b"\x89PNG\r\n\x1a\n rest") == "data:image/png;base64"
    assert shown(JPEG) == "data:image/jpeg;base64"
    reply = remote(server, tmp_path).complete([ask(images=(b"GIF89a",))])[0][0]
    assert (reply.status, reply.reason, len(server.calls)) == ("failed", "bad_request", 2)


def test_a_picture_that_cannot_be_read_fails_its_own_request(server: Server, tmp_path: Path) -> None:
    def broken() -> bytes:
        raise ImageError("truncated")

    model = remote(server, tmp_path)
    good, bad = model.complete([ask("good"), ask("bad", images=(Picture(broken, "name"),))])
    assert (good[0].status, bad[0].reason) == ("ok", "truncated")


def test_pictures_are_scaled_down_when_sent_and_once_in_the_key(server: Server, tmp_path: Path) -> None:
    data = jpeg_bytes(Image.new("RGB", (200, 100), (9, 9, 9)))
    whole, small = Picture.of(data), Picture.of(data).within(5000)
    replies = remote(server, tmp_path).complete([ask(images=(whole,)), ask(images=(small,))])
    assert replies[0][0].key != replies[1][0].key
    sizes = set()
    for call in server.calls:
        url = call["messages"][0]["content"][0]["image_url"]["url"]
        sizes.add(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size)
    assert sizes == {(200, 100), (100, 50)}
    assert Picture.of(data).within(10**6).load() == data


def test_images_go_by_file_address_to_a_server_on_this_host(server: Server, tmp_path: Path) -> None:
    seen = []

    def read(body: dict[str, Any]) -> Answer:
        url = body["messages"][0]["content"][0]["image_url"]["url"]
        seen.append((url.partition(":")[0], Path(url.removeprefix("file://")).read_bytes()))
        return echo(body)

    server.answer = read
    folder = tmp_path / "images"
    replies = remote(server, tmp_path / "store", image_folder=str(folder)).complete([ask("a"), ask("b")])
    assert seen == [("file", JPEG)] * 2
    assert not list(folder.iterdir())
    server.answer = echo
    assert remote(server, tmp_path / "store").complete([ask("a"), ask("b")]) == replies  # no part of the key


@pytest.mark.parametrize(("status", "names"), [(401, "TEACHER_KEY"), (403, "TEACHER_KEY"), (404, "base_url")])
# defect 16 of the reference
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
    paid = len(server.calls)
    assert paid <= alive + DEAD_AFTER + 1  # one may have been under way
    server.answer = echo
    remote(server, tmp_path).complete([ask(str(i)) for i in range(100)])
    assert len(server.calls) == paid + 100 - alive


def test_a_server_that_takes_nothing_ends_the_stage(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(400, "this model takes no images")
    with pytest.raises(EndpointError, match="takes no images"):
        remote(server, tmp_path).complete([ask(str(i)) for i in range(500)])
    assert len(server.calls) < 400
    assert not list((tmp_path / "store").rglob("*.json"))  # set up rightly, it may take them all


def test_failures_with_successes_between_them_do_not_end_the_stage(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: echo(body) if len(server.calls) % 10 == 0 else error(500)
    replies = remote(server, tmp_path, concurrency=1, retries=0).complete([ask(str(i)) for i in range(60)])
    assert sum(row[0].status == "ok" for row in replies) == 6


def test_a_server_that_was_never_there_is_waited_for_half_a_minute() -> None:
    breaker: CircuitBreaker[None] = CircuitBreaker(Endpoint(kind="openai", model="m", base_url="http://127.0.0.1:9/v1"))
    failed = Failure("connection", "ConnectError: refused", transient=True)
    for began_s in (100.0, 120.0):
        breaker.note_attempt(replace(failed, began_s=began_s))
    breaker.note_attempt(Failure("server_error", "HTTP 503: loading", transient=True, began_s=125.0))  # it is there
    breaker.note_attempt(replace(failed, began_s=131.0))
    with pytest.raises(EndpointError, match=r"no connection to http://127\.0\.0\.1:9/v1 in 30 s: "):
        breaker.note_attempt(replace(failed, began_s=161.0))
    breaker.answered = True
    breaker.note_attempt(replace(failed, began_s=261.0))  # it restarts


def test_a_refused_connection_is_a_row_with_its_reason(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert one(Server(url=f"http://127.0.0.1:{port}/v1"), tmp_path)[2] == "connection"


# defect 17 of the reference
def test_a_slow_reply_times_out_and_our_own_queue_does_not_count(server: Server, tmp_path: Path) -> None:
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


# defect 20 of the reference
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
    with connect(Endpoint(kind="openai", model="big", base_url=server.url)) as model:
        assert model.complete([ask()])[0][0].status == "ok"
    assert len(list((tmp_path / "store").rglob("*.json"))) == 1


def test_equal_endpoints_share_one_model_while_both_are_connected(server: Server) -> None:
    endpoint = Endpoint(kind="openai", model="big", base_url=server.url)
    with connect(endpoint) as first:
        with connect(endpoint.model_copy()) as second, connect(endpoint.model_copy(update={"model": "other"})) as third:
            assert first is second and first is not third
        with connect(endpoint) as again:
            assert again is first
    with connect(endpoint) as later:
        assert later is not first


FORM = canonical({"name": "verdict", "schema": {"type": "object", "properties": {}}})


def form_ask(name: str = "why?") -> Request:
    return replace(ask(name), form=FORM)


def test_a_form_is_enforced_and_part_of_the_key(server: Server, tmp_path: Path) -> None:
    first = remote(server, tmp_path).complete([form_ask()])[0][0]
    sent = server.calls[0]["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {**json.loads(FORM), "strict": True}}
    second = remote(server, tmp_path, enforce_form=False).complete([form_ask()])[0][0]
    assert "response_format" not in server.calls[1]
    assert first.key != second.key
    assert second.key == remote(server, tmp_path).complete([ask()])[0][0].key


def test_a_name_that_cannot_be_resolved_ends_the_stage_at_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    server.url = "http://teacher.invalid:8000/v1"
    started = time.monotonic()
    with pytest.raises(EndpointError, match=r"teacher\.invalid.*base_url"):
        remote(server, tmp_path, retries=8).complete([ask(str(i)) for i in range(20)])
    assert time.monotonic() - started < 5


def test_a_request_is_given_up_when_patience_ends(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(503)
    started = time.monotonic()
    assert one(server, tmp_path, retries=1000, patience_s=0.3)[2] == "server_error"
    assert time.monotonic() - started < 5


def test_requests_a_minute_are_spread(server: Server, tmp_path: Path) -> None:
    started = time.monotonic()
    remote(server, tmp_path, rpm=600).complete([ask(str(i)) for i in range(15)])  # 10 a second, 10 at once
    assert time.monotonic() - started >= 0.4


def test_tokens_a_minute_are_kept(server: Server, tmp_path: Path) -> None:
    started = time.monotonic()
    requests = [ask(str(i), images=()) for i in range(30)]  # about 50 tokens each, by the guess and by what is counted
    server.answer = lambda body: choices("a", usage={"prompt_tokens": 45, "completion_tokens": 5})
    remote(server, tmp_path, tpm=12_000).complete(requests)  # 200 a second, 1000 at once
    assert time.monotonic() - started >= 1


def test_tokens_are_shared_out_among_the_samples_of_a_call(server: Server, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 700, "completion_tokens": 10}
    server.answer = lambda body: choices("a", "b", "c", usage=usage)
    price = {"input": 2.0, "output": 10.0}
    model = remote(server, tmp_path, price=price)
    ledger = Ledger()
    run_jobs([single(model, ask(n=3))], ledger)
    (replies,) = model.complete([ask(n=3)])
    assert [(reply.tokens_in, reply.tokens_out) for reply in replies] == [(700, 4), (0, 3), (0, 3)]
    counts = {"requests": 1, "samples": 3, "tokens_in": 700, "tokens_out": 10, "cost": pytest.approx(0.0015)}
    assert ledger.metrics() == {"big": counts}
    again = Ledger()
    run_jobs([single(remote(server, tmp_path, price=price), ask(n=3))], again)
    assert again.metrics() == ledger.metrics()  # a replay counts the same
    assert len(server.calls) == 1


def test_what_was_paid_is_written_beside_the_store(server: Server, tmp_path: Path) -> None:
    server.script(error(500))
    model = remote(server, tmp_path)
    model.complete([ask("a", n=2), ask("b")])
    model.complete([ask("a", n=2), ask("c")])
    remote(server, tmp_path).complete([ask("a", n=2)])  # a replay: nothing to write
    first, second = (json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines())
    assert (first["calls"], first["samples"], first["replayed"], first["errors"]) == (2, 3, 0, {"server_error": 1})
    assert (second["calls"], second["samples"], second["replayed"]) == (1, 1, 2)


def test_the_progress_line_counts(server: Server, tmp_path: Path) -> None:
    model = remote(server, tmp_path, price={"input": 1.0, "output": 1.0})
    lines = []

    def job() -> Job[None]:
        yield [(model, ask())]
        lines.append(model.progress())

    run_jobs([job()])
    assert re.fullmatch(r"big: 1 calls, [\d.]+/s, 0 in flight of 64; 0\.00 M tokens in, .* cost 0\.00", lines[0])
    assert model.progress() == ""


def test_keys_appear_nowhere(server: Server, tmp_path: Path) -> None:
    """Neither in what a stage prints when it breaks, nor in any file it leaves."""
    key = "sk-very-secret-0123456789"
    server.answer = lambda body: choices(f"your key is {key}") if "quote" in json.dumps(body) else error(418, key)
    script = tmp_path / "stage.py"
    script.write_text(
        "from r2i.endpoint import Request, connect\n"
        "from r2i.core.params import Endpoint, Sampling\n"
        "from r2i.core.stage import run_stage\n"
        f"endpoint = Endpoint(kind='openai', model='big', base_url='{server.url}', api_key_env='TEACHER_KEY')\n"
        "def main() -> None:\n"
        "    with connect(endpoint) as model:\n"
        "        print(model.complete([Request('quote', (), Sampling(), 0), Request('odd', (), Sampling(), 0)]))\n"
        "        model.client = None\n"
        "        def defect(body, answered):\n"
        "            raise RuntimeError('a defect of ours')\n"
        "        import r2i.endpoint.client\n"
        "        r2i.endpoint.client.ChatClient.send = lambda self, body, answered: defect(body, answered)\n"
        "        model.complete([Request('more', (), Sampling(), 0)])\n"
        "run_stage(main)\n"
    )
    environment = os.environ | {"TEACHER_KEY": key, "R2I_STORE": str(tmp_path / "store")}
    done = subprocess.run([sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "a defect of ours" in done.stderr
    assert "your key is ***" in done.stdout
    assert key not in done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def single(model: RemoteModel, request: Request) -> Job[None]:
    yield [(model, request)]
