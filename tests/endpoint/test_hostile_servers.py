"""Servers that are out of money, out of order or out to harm: one call, one outcome, and no wrong row."""

import asyncio
import gzip
import json
import resource
import socketserver
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from endpoint.fake_server import Answer, Server, choices, echo, error, serve

from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint, Sampling
from r2i.endpoint import Reply, Request
from r2i.endpoint.chat import ErrorBody
from r2i.endpoint.client import BODY_BYTES
from r2i.endpoint.faults import DETAIL, REFUSING_AFTER, is_about_account, is_filtered, names_request_part
from r2i.endpoint.flow import run_jobs
from r2i.endpoint.ledger import Ledger
from r2i.endpoint.options import PATTERNS, refused_option
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "R2I_REPLIES", "DVC_ROOT", "TEACHER_KEY"):
        monkeypatch.delenv(name, raising=False)


def ask(prompt: str = "why?", n: int = 1, temperature: float = 0.7) -> Request:
    return Request(prompt, (), Sampling(temperature=temperature, max_tokens=99), 5, n)


def remote(server: Server, root: Path, **params: object) -> RemoteModel:
    settings = {"kind": "openai", "model": "big", "base_url": server.url, "retries": 2, "concurrency": 1} | params
    return RemoteModel(Endpoint.model_validate(settings), Store(root / "store"), backoff_s=0.01)


def one(server: Server, root: Path, **params: object) -> tuple[str, str, str]:
    reply = remote(server, root, **params).complete([ask()])[0][0]
    return reply.text, reply.status, reply.reason


def reasons(replies: list[list[Reply]]) -> Counter[str]:
    return Counter(reply.reason or reply.status for row in replies for reply in row)


def told(status: int, message: str, **more: object) -> Answer:
    return Answer(json.dumps({"error": {"message": message} | more}), status)


# The account


OUT_OF_MONEY = [
    told(402, "Insufficient Balance", code="invalid_request_error"),
    told(402, "?"),
    told(400, "Access denied, please make sure your account is in good standing.", type="Arrearage", code="Arrearage"),
    told(400, "Your credit balance is too low to access the API."),
    told(400, "You exceeded your current quota"),
    told(400, "Billing hard limit has been reached", code="billing_hard_limit_reached"),
    told(400, "\u8d26\u6237\u4f59\u989d\u4e0d\u8db3"),
    told(403, "This account has been disabled"),
    told(400, "Your account org-1 <ak-2> is suspended, please see your plan"),
    told(410, "This model is retired"),
    told(422, "no payment method"),
    told(429, "You exceeded your current quota, see billing", type="insufficient_quota", code="insufficient_quota"),
    told(429, "Your account is in arrears, please recharge"),
    Answer(json.dumps({"code": "Arrearage", "message": "Access denied."}), 400),
    Answer(json.dumps({"error": {"message": "Insufficient credits", "code": 402}}), 200),
    Answer(json.dumps({"choices": [], "error": {"message": "x", "code": "insufficient_quota"}}), 200),
]


@pytest.mark.parametrize("refusal", OUT_OF_MONEY, ids=lambda answer: f"{answer.status} {answer.body[:60]}")
def test_a_refusal_of_the_account_stops_the_stage_and_what_came_is_kept(
    server: Server, tmp_path: Path, refusal: Answer
) -> None:
    server.answer = lambda body: echo(body) if len(server.calls) <= 4 else refusal
    requests = [ask(str(i)) for i in range(12)]
    with pytest.raises(EndpointError) as caught:
        remote(server, tmp_path).complete(requests)
    sentence = json.loads(refusal.body)
    assert (sentence.get("error") or sentence)["message"] in str(caught.value)
    assert len(server.calls) == 5
    server.answer = echo  # the bill is paid
    assert reasons(remote(server, tmp_path).complete(requests)) == {"ok": 12}
    assert len(server.calls) == 5 + 8


@pytest.mark.parametrize(
    "unit", ["account ", "account!", "account", "insufficient_", "insufficient a", "! ", "\n", "x_"]
)
def test_an_error_of_any_length_is_read_in_little_time(unit: str) -> None:
    long = unit * (2**16 // len(unit))
    started = time.perf_counter()
    is_about_account(400, ErrorBody(long, long, long, long))
    is_filtered(ErrorBody(long, long, long, long))
    refused_option(400, ErrorBody(long), PATTERNS)
    refused_option(500, ErrorBody(long), PATTERNS)
    names_request_part(long[:DETAIL])
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("message", ["You exceeded your current quota, check billing details", "rate of credits"])
def test_a_rate_that_is_called_a_quota_passes(server: Server, tmp_path: Path, message: str) -> None:
    server.script(told(429, message), told(429, message))
    assert one(server, tmp_path)[1] == "ok"


def test_words_of_the_prompt_that_a_refusal_quotes_say_nothing_about_the_account(
    server: Server, tmp_path: Path
) -> None:
    prompt = "What is the account balance on the bill?"
    server.answer = lambda body: told(422, f"invalid input: {prompt}") if "balance" in json.dumps(body) else echo(body)
    replies = remote(server, tmp_path).complete([ask("a"), ask(prompt), ask("b")])
    assert reasons(replies) == {"ok": 2, "bad_request": 1}


@pytest.mark.parametrize("status", [400, 405, 413, 418, 422, 451])
@pytest.mark.parametrize("left", [3, 20])
def test_a_series_of_refusals_to_the_end_stops_the_stage_and_is_not_stored(
    server: Server, tmp_path: Path, status: int, left: int
) -> None:
    server.answer = lambda body: echo(body) if len(server.calls) <= 10 else told(status, "Access denied by policy 17")
    requests = [ask(str(i)) for i in range(10 + left)]
    with pytest.raises(EndpointError, match="Access denied by policy 17"):
        remote(server, tmp_path).complete(requests)
    assert len(server.calls) == 10 + left
    server.answer = echo
    assert reasons(remote(server, tmp_path).complete(requests)) == {"ok": 10 + left}
    assert len(server.calls) == 10 + 2 * left


def test_a_long_series_of_refusals_stops_the_stage_before_its_end(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: echo(body) if len(server.calls) <= 10 else told(400, "this image is too large")
    with pytest.raises(EndpointError, match="too large"):
        remote(server, tmp_path).complete([ask(str(i)) for i in range(600)])
    assert len(server.calls) <= 10 + REFUSING_AFTER + 1  # one may have been under way


def test_a_refusal_is_stored_once_a_later_call_shows_that_it_was_the_rows_own(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: told(400, "no") if "bad" in json.dumps(body) else echo(body)
    model = remote(server, tmp_path)
    assert reasons(model.complete([ask("good"), ask("bad")])) == {"ok": 1, "bad_request": 1}
    assert not model.is_stored(ask("bad"))  # nothing came after it: it may have been the account
    assert reasons(remote(server, tmp_path).complete([ask("bad"), ask("better")])) == {"ok": 1, "bad_request": 1}
    assert remote(server, tmp_path).is_stored(ask("bad"))


def test_rows_that_a_server_refuses_for_what_they_are_do_not_stop_the_stage(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: told(400, "image too large") if "bad" in json.dumps(body) else echo(body)
    requests = [ask("good"), *(ask(f"bad {i}") for i in range(5))]
    for _ in range(2):  # in the second run, they alone are asked
        assert reasons(remote(server, tmp_path).complete(requests)) == {"ok": 1, "bad_request": 5}


@pytest.mark.parametrize("refusal", [
    told(400, "blocked by content_filter"), told(400, "x", code="data_inspection_failed"),
    told(403, "Your input was flagged by moderation"), told(400, "x", code="content_policy_violation"),
])  # fmt: skip
def test_a_refusal_of_the_content_is_the_rows_own(server: Server, tmp_path: Path, refusal: Answer) -> None:
    server.answer = lambda body: refusal if "bad" in json.dumps(body) else echo(body)
    replies = remote(server, tmp_path).complete([ask("good"), *(ask(f"bad {i}") for i in range(4))])
    assert reasons(replies) == {"ok": 1, "refused": 4}


# Endings


def test_one_choice_in_trouble_costs_no_other_and_is_asked_again(server: Server, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        made = json.loads(echo(body).body)
        if body.get("n", 1) == 4:
            made["choices"][1]["finish_reason"] = "network_error"
            made["choices"][2] |= {"finish_reason": None, "message": {"content": "half a sen"}}
        return Answer(json.dumps(made))

    server.answer = answer
    (replies,) = remote(server, tmp_path).complete([ask(n=4)])
    assert [call.get("n", 1) for call in server.calls] == [4, 2]
    assert [reply.status for reply in replies] == ["ok"] * 4
    assert len({reply.text for reply in replies}) == 4 and not any("half" in reply.text for reply in replies)
    record = remote(server, tmp_path).store.read(replies[0].key.partition("/")[0])
    assert [call["samples"] for call in record.calls] == [[0, 3], [1, 2]]


@pytest.mark.parametrize("finish", ["network_error", "abort", None])
def test_an_ending_that_does_not_pass_is_the_reason_of_a_row_that_is_not_stored(
    server: Server, tmp_path: Path, finish: Any
) -> None:
    server.answer = lambda body: choices("The col", finish=finish)
    assert one(server, tmp_path) == ("", "failed", finish or "unfinished")
    assert len(server.calls) == 3
    server.answer = echo
    assert one(server, tmp_path)[1] == "ok"


@pytest.mark.parametrize("usage", [
    {"prompt_tokens": -1, "completion_tokens": -1}, {"completion_tokens": 10**30}, {"prompt_tokens": float("inf")},
    {"prompt_tokens": 1e300}, {"prompt_tokens": "many"}, [], "x",
])  # fmt: skip
def test_a_reply_with_absurd_usage_is_stored_and_can_be_read_back(server: Server, tmp_path: Path, usage: Any) -> None:
    server.answer = lambda body: choices(*"abcd", usage=usage)
    first = remote(server, tmp_path).complete([ask(n=4)])
    assert [reply.text for reply in first[0]] == [*"abcd"]
    assert remote(server, tmp_path).complete([ask(n=4)]) == first
    assert len(server.calls) == 1


def test_a_call_without_a_refused_option_that_fails_for_a_moment_is_no_bad_request(
    server: Server, tmp_path: Path
) -> None:
    passing = iter([error(503), choices("cut", finish="network_error"), error(429)])
    server.answer = lambda body: error(400, "no seed, please") if "seed" in body else next(passing, choices("red"))
    model = remote(server, tmp_path, retries=4)
    assert model.complete([ask()])[0][0].text == "red"
    assert model.options.refused == {"seed"} and len(server.calls) == 5


@pytest.mark.parametrize(("status", "message"), [
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (400, "this model does not support image input"), (404, "No endpoints found that support image input"),
])  # fmt: skip
def test_a_model_that_takes_no_pictures_ends_the_stage_at_once(
    server: Server, tmp_path: Path, status: int, message: str
) -> None:
    server.answer = lambda body: error(status, message)
    with pytest.raises(EndpointError, match=r"big at .* takes no pictures"):
        remote(server, tmp_path).complete([ask(str(i)) for i in range(9)])
    assert len(server.calls) == 1


# Whose reply it is


def test_another_model_in_mid_run_stops_the_stage_and_its_reply_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: choices("x", model="big-0905" if len(server.calls) <= 5 else "tiny-1b")
    with pytest.raises(EndpointError, match="answered as big-0905, and now as tiny-1b"):
        remote(server, tmp_path).complete([ask(str(i)) for i in range(20)])
    assert len(server.calls) == 6
    assert len(list((tmp_path / "store").rglob("*.json"))) == 5


@pytest.mark.parametrize(("served", "warned"), [
    ("tiny-1b", True), ("bigger", True), ("big", False), ("BIG", False), ("org/big", False), ("big-2025-09-05", False),
])  # fmt: skip
def test_a_server_that_names_another_model_is_told_once(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], served: str, warned: bool
) -> None:
    server.answer = lambda body: choices("x", model=served)
    model = remote(server, tmp_path)
    model.complete([ask(str(i)) for i in range(5)])
    model.complete([ask("later")])
    assert capsys.readouterr().err.count(f"answers as {served}") == warned


def test_eight_samples_that_are_one_cached_reply_are_counted_and_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that takes neither `seed` nor `n`, and keeps replies by body."""
    kept: dict[str, Answer] = {}

    def gateway(body: dict[str, Any]) -> Answer:
        if "seed" in body:
            return told(400, "Unsupported parameter", param="seed")
        if body.get("n", 1) > 1:
            return told(400, "n must be 1", param="n")
        return kept.setdefault(json.dumps(body), choices("kiwi", id=f"c{len(kept)}"))

    server.answer = gateway
    model, ledger = remote(server, tmp_path), Ledger()

    def job() -> Any:
        yield [(model, ask(n=8))]

    run_jobs([job()], ledger)
    assert ledger.metrics()["big"]["identical"] == 1
    assert "7 responses of big had come before" in capsys.readouterr().err


def test_four_samples_of_one_call_that_are_one_text_are_counted(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: choices(*["Reply: kiwi"] * body["n"])
    model, ledger = remote(server, tmp_path), Ledger()

    def job(number: int) -> Any:
        yield [(model, ask(str(number), n=4))]

    run_jobs([job(0), job(1)], ledger)
    assert ledger.metrics()["big"]["identical"] == 2
    again = Ledger()
    run_jobs([job(0), job(1)], again)
    assert again.metrics() == ledger.metrics(), "a replay has the metrics of the live run"


@pytest.mark.parametrize(("text", "requests", "told"), [("x" * 200, 1, True), ("red", 10, True), ("red", 9, False)])
def test_samples_that_are_alike_beyond_chance_are_told(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, requests: int, told: bool
) -> None:
    server.answer = lambda body: choices(*[text] * body["n"])
    remote(server, tmp_path).complete([ask(str(number), n=4) for number in range(requests)])
    assert (f"{requests} of {requests} requests to big got identical samples" in capsys.readouterr().err) == told


def test_samples_that_differ_or_are_not_drawn_count_as_no_repetition(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, ledger = remote(server, tmp_path), Ledger()

    def job(request: Request) -> Any:
        yield [(model, request)]

    run_jobs([job(ask("a", n=4))], ledger)
    server.answer = lambda body: choices(*["x"] * body.get("n", 1), id=str(len(server.calls)))
    run_jobs([job(ask("b", n=4, temperature=0.0)), job(ask("c"))], ledger)
    assert "identical" not in ledger.metrics()["big"]
    assert "had come before" not in capsys.readouterr().err


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_prompt_goes_to_another_host_and_no_page_is_an_answer(server: Server, tmp_path: Path, status: int) -> None:
    with serve() as other:
        to = other.url.replace("127.0.0.1", "localhost")
        server.answer = lambda body: Answer("", status, {"Location": f"{to}/chat/completions"})
        with pytest.raises(EndpointError, match=r"redirects calls .*localhost.*base_url"):
            remote(server, tmp_path).complete([ask()])
        moved, server.calls[:] = server.answer, []
        server.answer = lambda body: echo(body) if len(server.calls) == 1 else moved(body)
        replies = remote(server, tmp_path, retries=0).complete([ask("a"), ask("b")])
        assert reasons(replies) == {"ok": 1, "redirected": 1}
        assert not other.calls and not other.gets and not server.gets


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_page_of_the_same_host_is_no_answer(server: Server, tmp_path: Path, status: int) -> None:
    server.answer = lambda body: Answer("", status, {"Location": "/v1/page"})
    with pytest.raises(EndpointError, match="redirects calls"):
        remote(server, tmp_path).complete([ask()])
    assert not server.gets


def test_a_redirect_that_repeats_the_call_on_the_same_host_is_followed(server: Server, tmp_path: Path) -> None:
    server.script(Answer("", 308, {"Location": "/v1/chat/completions/"}))
    assert one(server, tmp_path)[1] == "ok"
    server.answer = lambda body: Answer("", 307, {"Location": f"/v1/{len(server.calls)}"})
    with pytest.raises(EndpointError, match="redirects calls"):
        remote(server, tmp_path).complete([ask("round and round")])
    assert len(server.calls) < 10


@pytest.mark.parametrize("at", ["whole", "half"])
def test_a_second_response_is_not_the_next_questions(server: Server, tmp_path: Path, at: str) -> None:
    second = choices("WRONG").body
    assert isinstance(second, str)
    raw = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(second)}\r\n\r\n{second}"
    after = raw.encode() if at == "whole" else raw[: len(raw) // 2].encode()

    def answer(body: dict[str, Any]) -> Answer:
        made = echo(body)
        return Answer(made.body, after=after)

    server.answer = answer
    replies = remote(server, tmp_path).complete([ask(f"q{i}") for i in range(10)])
    assert all(row[0].text.startswith(f"q{i}/") for i, row in enumerate(replies))


# Bodies and headers


def completion(text: str = "red") -> bytes:
    body = choices(text).body
    assert isinstance(body, str)
    return body.encode()


BAD_BODIES = {
    "nested": Answer("[" * 20_000),
    "nested completion": Answer(b'{"choices": [' + b'{"a":' * 20_000),
    "infinite usage": Answer(completion()[:-1].replace(b"null", b'{"prompt_tokens": 1e999, "x": NaN}') + b"}x"),
    "latin-1": Answer(completion("caf\u00e9").replace(b"\\u00e9", b"\xe9"), 200, {"Content-Type": "text/html"}),
    "utf-16": Answer(completion().decode().encode("utf-16")),
    "gzip of what is none": Answer(completion(), 200, {"Content-Encoding": "gzip"}),
    "brotli": Answer(completion(), 200, {"Content-Encoding": "br"}),
    "gzip in gzip": Answer(gzip.compress(gzip.compress(completion())), 200, {"Content-Encoding": "gzip, gzip"}),
    "gzip bomb": Answer(gzip.compress(bytes(200 * 2**20), 6), 200, {"Content-Encoding": "gzip"}),
    "deflate bomb": Answer(zlib.compress(bytes(200 * 2**20), 6), 200, {"Content-Encoding": "deflate"}),
    "too long": Answer(completion("x" * (BODY_BYTES + 64 * 99))),
    "two": Answer(completion() + completion()),
    "empty": Answer(b""),
    "no content": Answer(b"", 204),
    "half": Answer(completion()[:-20]),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_any_body_is_a_failed_row_in_bounded_memory(server: Server, tmp_path: Path, name: str) -> None:
    server.answer = lambda body: BAD_BODIES[name] if "bad" in json.dumps(body) else echo(body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    replies = remote(server, tmp_path, concurrency=8).complete([ask("good"), ask("bad"), ask("fine")])
    assert [row[0].status for row in replies] == ["ok", "failed", "ok"]
    assert replies[1][0].reason == "server_error"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024  # kB


BAD_ERRORS = {
    "nested": Answer("[" * 20_000, 400),
    "nested in the message": Answer('{"error": {"message": ' + "[" * 20_000 + "}}", 400),
    "infinite": Answer('{"error": {"message": "no", "code": 1e999, "param": NaN}}', 400),
    "a number": Answer('{"error": 7}', 400),
    "charset": Answer('{"error": {"message": "no"}}', 400, {"Content-Type": "text/plain; charset=undefined"}),
    "packed": Answer(b"xx", 400, {"Content-Encoding": "br"}),
    "bomb": Answer(gzip.compress(bytes(200 * 2**20)), 400, {"Content-Encoding": "gzip"}),
    "bytes": Answer(bytes(range(256)), 400),
    "date": Answer("{}", 418, {"Retry-After": "Fri, 31 Dec 99999999999 23:59:59 GMT"}),
    "long": Answer("x" * 5_000_000, 400),
}


@pytest.mark.parametrize("name", BAD_ERRORS)
def test_any_error_is_a_failed_row(server: Server, tmp_path: Path, name: str) -> None:
    server.answer = lambda body: BAD_ERRORS[name] if "bad" in json.dumps(body) else echo(body)
    replies = remote(server, tmp_path).complete([ask("good"), ask("bad"), ask("fine")])
    assert [row[0].status for row in replies] == ["ok", "failed", "ok"]


@contextmanager
def serve_raw(data: bytes, more: bytes = b"", pause_s: float = 0.01) -> Iterator[Server]:
    """A server that answers every request with `data` and closes, or goes on with `more` again and again."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(2**16)
                self.wfile.write(data)
                while more:
                    time.sleep(pause_s)
                    self.wfile.write(more)

    class Raw(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Raw(("127.0.0.1", 0), Handler) as raw:
        thread = threading.Thread(target=raw.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield Server(url=f"http://127.0.0.1:{raw.server_address[1]}/v1")
        raw.shutdown()
        thread.join()


GOOD = completion()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
WIRES = {
    "nothing": b"",
    "noise": bytes(range(256)) * 100,
    "old": GOOD,
    "status": b"HTTP/1.1 999999 X\r\n\r\n",
    "not a number": b"HTTP/1.1 abc X\r\n\r\n",
    "length too large": HEAD + b"Content-Length: 99999\r\n\r\n" + GOOD,
    "length too small": HEAD + b"Content-Length: 20\r\n\r\n" + GOOD,
    "length negative": HEAD + b"Content-Length: -1\r\n\r\n" + GOOD,
    "length absurd": HEAD + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n" + GOOD,
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + GOOD,
    "chunks cut": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + GOOD,
    "chunks of no number": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + GOOD,
    "an unknown transfer": HEAD + b"Transfer-Encoding: gzip, x\r\n\r\n" + GOOD,
    "long header": HEAD + b"X: " + b"x" * 500_000 + b"\r\n\r\n" + GOOD,
    "header of no name": HEAD + b": x\r\n\r\n" + GOOD,
    "bytes in a header": HEAD + b"Retry-After: \xff\xfe\x00\r\n\r\n" + GOOD,
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + GOOD,
    "wait for it": b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000,
    "cookies": b"HTTP/1.1 500 X\r\n" + b"Set-Cookie: a=b; Max-Age=1e999; Expires=x; Domain=\xff\r\n" * 50 + b"\r\n",
}


@pytest.mark.parametrize("name", WIRES)
def test_any_bytes_of_a_server_are_a_failed_row(tmp_path: Path, name: str) -> None:
    with serve_raw(WIRES[name]) as server:
        text, status, reason = one(server, tmp_path, retries=1, timeout_s=5)
    assert (text, status) == ("", "failed") and reason in ("connection", "server_error")


@pytest.mark.parametrize("head", [HEAD + b"\r\n", HEAD + b"Content-Length: 500000000\r\n\r\n"])
def test_a_body_without_end_is_given_up_at_the_limit(tmp_path: Path, head: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve_raw(head, b" " * 2**16, pause_s=0.0) as server:
        assert one(server, tmp_path, retries=1, timeout_s=20)[2] == "server_error"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60 * 1024  # kB


@pytest.mark.parametrize("head", [HEAD + b"\r\n ", HEAD + b"X-Y: ", b"HTTP/1.1 400 X\r\n\r\n{"])
def test_a_reply_that_never_ends_times_out(tmp_path: Path, head: bytes) -> None:
    with serve_raw(head, head[-1:]) as server:
        started = time.monotonic()
        assert one(server, tmp_path, retries=0, timeout_s=0.5)[2] == "timeout"
        assert time.monotonic() - started < 3


@pytest.mark.parametrize("value", ["Fri, 31 Dec 99999999999 23:59:59 GMT", "nan", "inf", "1e400", "-5", "\u00b2"])
def test_an_absurd_retry_after_is_not_waited_for(server: Server, tmp_path: Path, value: str) -> None:
    server.script(Answer("{}", 429, {"Retry-After": value}))
    assert one(server, tmp_path)[1] == "ok"


def test_packed_replies_are_read_though_none_were_asked_for(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: Answer(gzip.compress(completion()), 200, {"Content-Encoding": "gzip"})
    assert one(server, tmp_path) == ("red", "ok", "")


@pytest.mark.parametrize("charset", ["undefined", "utf-7", "ebcdic"])
def test_a_completion_is_utf_8_whatever_its_charset(server: Server, tmp_path: Path, charset: str) -> None:
    body = completion("caf\u00e9").replace(b"\\u00e9", "\u00e9".encode())
    server.answer = lambda _: Answer(body, 200, {"Content-Type": f"text/html; charset={charset}"})
    assert one(server, tmp_path) == ("caf\u00e9", "ok", "")


def test_a_large_body_does_not_hold_up_other_calls(server: Server, tmp_path: Path) -> None:
    """Two megabytes of empty objects take a good part of a second to read."""
    heavy = Answer(b'{"choices": [' + b"{}," * 600_000 + b"{}]}")
    server.answer = lambda body: heavy if "bad" in json.dumps(body) else echo(body)
    model, longest = remote(server, tmp_path, concurrency=4, retries=0), 0.0

    async def watch() -> list[Reply]:
        nonlocal longest
        task = asyncio.ensure_future(model.ask(ask("bad")))
        while not task.done():
            started = time.monotonic()
            await asyncio.sleep(0.005)
            longest = max(longest, time.monotonic() - started)
        await model.settle(1.0)
        return task.result()

    assert asyncio.run(watch())[0].reason == "server_error"
    assert longest < 0.4


def test_a_call_whose_reply_came_while_the_loop_stood_still_did_not_time_out(server: Server, tmp_path: Path) -> None:
    """A job that takes longer than the time limit for one reply costs no other call."""
    model = remote(server, tmp_path, concurrency=8, retries=0, timeout_s=0.4)

    def job(name: str) -> Any:
        (first,) = yield [(model, ask(name))]
        if name == "heavy":
            time.sleep(1.0)
        return first

    server.answer = lambda body: (time.sleep(0.2 if "light" in json.dumps(body) else 0), echo(body))[1]  # type: ignore
    replies = run_jobs([job("heavy"), *(job(f"light {i}") for i in range(7))])
    assert reasons(replies) == {"ok": 8}


# Keys, addresses, the environment


@pytest.mark.parametrize("key", ["EMPTY", "-", "token", "a", "none", "1234", "big", "password"])
def test_a_placeholder_of_a_key_alters_no_text(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TEACHER_KEY", key)
    text = f"The sign says {key}: a token - EMPTY."
    server.answer = lambda body: choices(text, model="big")
    assert one(server, tmp_path, api_key_env="TEACHER_KEY") == (text, "ok", "")
    assert server.headers[0]["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("escape", [
    lambda key: key, lambda key: key.replace("/", "\\/"), lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    lambda key: "".join(f"\\u{ord(c):04X}" if c in "/-" else c for c in key),
])  # fmt: skip
def test_a_key_is_hidden_however_json_writes_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], escape: Any
) -> None:
    key = "sk-ab/cd-0123456789"
    monkeypatch.setenv("TEACHER_KEY", key)
    quoted = escape(key)
    good = (
        f'{{"choices": [{{"finish_reason": "stop", "message": {{"content": "key {quoted}"}}}}], "model": "{quoted}"}}'
    )
    bodies = [
        Answer(good), Answer(f'{{"error": {{"message": "wrong {quoted}", "code": "{quoted}"}}}}', 400),
        Answer(f'{{"error": "{quoted}", '), Answer(f'{{"cut": "{quoted}', 400), Answer(f"<html>{key}", 418),
        Answer(f'{{"error": {{"message": "{quoted}"}}}}'), Answer("", 307, {"Location": f"http://x.invalid/{key}"}),
    ]  # fmt: skip
    left = iter(bodies)
    server.answer = lambda body: next(left, bodies[0])
    model = remote(server, tmp_path, api_key_env="TEACHER_KEY", retries=0)
    replies = model.complete([ask(str(i)) for i in range(8)])
    assert replies[0][0].text == "key ***"
    server.answer = lambda body: Answer(f'{{"error": {{"message": "wrong {quoted}"}}}}', 401)
    with pytest.raises(EndpointError) as caught:
        model.complete([ask("more")])
    assert "wrong ***" in str(caught.value)
    shown = "".join(capsys.readouterr()) + str(caught.value) + repr(replies)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert key not in shown and key.encode() not in stored and quoted.encode() not in stored


def test_nothing_of_openai_in_the_shell_is_sent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL", "ADMIN_KEY", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "http://of-the-shell.invalid")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer of-the-shell\nX-Other: of-the-shell")
    monkeypatch.setenv("TEACHER_KEY", "sk-of-the-params")
    assert one(server, tmp_path, api_key_env="TEACHER_KEY")[1] == "ok"
    (headers,) = server.headers
    assert headers["authorization"] == "Bearer sk-of-the-params"
    assert "of-the-shell" not in json.dumps(headers)
    assert set(headers) == {
        "host", "accept", "accept-encoding", "connection", "user-agent", "content-type", "content-length",
        "authorization",
    }  # fmt: skip


@pytest.mark.parametrize("key", ["sk-\u00fc-0123456789", "sk-1\nX-Evil: 1", "sk 1", "sk-\u200b1", "Bearer x"])
def test_a_key_that_no_header_can_hold_is_named_and_not_shown(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TEACHER_KEY", key)
    with pytest.raises(EndpointError, match=r"\$TEACHER_KEY holds no API key") as caught:
        remote(server, tmp_path, api_key_env="TEACHER_KEY").complete([ask()])
    assert key not in str(caught.value) and not server.calls


@pytest.mark.parametrize("address", [
    "http://127.0.0.1:99999/v1", "http://[::1", "127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://host:port/v1",
    "http://user:pass@127.0.0.1/v1", "http:///v1", "http://a b/v1", "", "http://\x00/v1",
])  # fmt: skip
def test_an_address_that_is_none_ends_the_stage_and_says_so(tmp_path: Path, address: str) -> None:
    sound = remote(Server(url="http://host/v1"), tmp_path)
    model = RemoteModel(sound.params.model_copy(update={"base_url": address}), sound.store)
    with pytest.raises(EndpointError, match="base_url") as caught:
        model.complete([ask()])
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9", "http://[::1"])
def test_a_proxy_of_no_use_ends_the_stage_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    model = remote(Server(url="http://teacher.invalid/v1"), tmp_path, retries=0)
    with pytest.raises(EndpointError, match="HTTP_PROXY"):
        model.complete([ask()])


def test_a_proxy_at_a_port_that_does_not_exist_is_a_row_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:99999")
    model = remote(Server(url="http://teacher.invalid/v1"), tmp_path, retries=0)
    assert model.complete([ask()])[0][0].reason == "connection"


def test_no_escape_of_a_server_reaches_the_terminal(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steer = "\x1b[2J\x1b]0;owned\x07\u202e"
    server.answer = lambda body: choices("x", model=f"tiny{steer}")
    one(server, tmp_path / "a")
    server.answer = lambda body: error(401, f"no{steer}")
    with pytest.raises(EndpointError) as caught:
        one(server, tmp_path / "b")
    server.answer = lambda body: Answer("", 302, {"Location": "http://x/\x1b[2J"})
    with pytest.raises(EndpointError) as moved:
        one(server, tmp_path / "c")
    shown = "".join(capsys.readouterr()) + str(caught.value) + str(moved.value)
    assert "tiny" in shown and "no\\x1b[2J" in shown
    assert not set(shown) & {"\x1b", "\x07", "\u202e"}
