import asyncio
import json
import os
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from endpoint.fake_server import Answer, Server, choices, echo, error
from endpoint.server_shapes import SHAPES, Shape

from r2i.core.params import Endpoint, Sampling
from r2i.endpoint import Reply, Request, options
from r2i.endpoint.base import canonical
from r2i.endpoint.chat import ErrorBody
from r2i.endpoint.options import PATTERNS, refused_option
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store
from r2i.tools.replies.stats import read_call_log
from r2i.tools.replies.text import spent_text

JPEG = b"\xff\xd8\xff rest of a picture"
FORM = canonical({"name": "said", "schema": {"type": "object", "properties": {"said": {"type": "string"}}}})


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R2I_STORE", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def ask(prompt: str, n: int = 4, form: str | None = FORM, temperature: float = 0.7) -> Request:
    return Request(prompt, (JPEG,), Sampling(temperature=temperature, max_tokens=99), 5, n, form=form)


def remote(server: Server, root: Path, **params: object) -> RemoteModel:
    settings = {"kind": "openai", "model": "big", "base_url": server.url, "retries": 2, "concurrency": 2} | params
    return RemoteModel(Endpoint.model_validate(settings), Store(root / "store"), backoff_s=0.01)


def watch(server: Server, answer: Any) -> Counter[str]:
    """Let the server answer so, and count its answers by status."""
    counts: Counter[str] = Counter()

    def counted(body: dict[str, Any]) -> Answer:
        made: Answer = answer(body)
        counts[str(made.status)] += 1
        return made

    server.answer = counted
    return counts


def all_ok(replies: list[list[Reply]]) -> bool:
    return all(reply.status == "ok" for row in replies for reply in row)


@pytest.mark.parametrize("name", SHAPES)
def test_each_option_that_a_known_server_refuses_costs_one_call_and_the_next_run_none(
    server: Server, tmp_path: Path, name: str
) -> None:
    shape: Shape = SHAPES[name]
    counts = watch(server, shape.answer)
    first = remote(server, tmp_path)
    replies = first.complete([ask(str(i)) for i in range(13)])
    assert all_ok(replies)
    assert first.options.refused == shape.left_out
    refused = sum(counts.values()) - counts["200"]
    assert refused == len(shape.left_out - (shape.ignores & {"n"}))
    assert all(len({reply.text for reply in row}) == 4 for row in replies) or shape.left_out & {"seed"}
    is_prose = "response_format" in shape.left_out | shape.ignores
    assert replies[3][0].text.startswith("It is red" if is_prose else '{"said": "3"}')  # a bare text is no JSON's fault
    later = remote(server, tmp_path)
    assert all_ok(later.complete([ask(str(i)) for i in range(13, 20)]))
    assert sum(counts.values()) - counts["200"] == refused
    assert later.options.refused == shape.left_out
    line = json.loads((tmp_path / "calls.jsonl").read_text().splitlines()[0])
    assert sum(line["refused_options"].values()) == refused and not line["errors"]


def test_greedy_samples_are_asked_one_by_one(server: Server, tmp_path: Path) -> None:
    server.answer = SHAPES["vLLM: greedy"].answer
    model = remote(server, tmp_path)
    assert all_ok(model.complete([ask("a", temperature=0.0)]))
    assert not model.options.refused and len(server.calls) == 4


def test_a_server_that_ignores_n_is_asked_side_by_side_for_the_rest(server: Server, tmp_path: Path) -> None:
    server.answer = SHAPES["Ollama"].answer
    model = remote(server, tmp_path, concurrency=8)
    model.complete([ask("a", n=8)])
    assert [call.get("n", 1) for call in server.calls] == [8] + [1] * 7


def test_a_server_that_once_gave_fewer_choices_still_takes_n(server: Server, tmp_path: Path) -> None:
    server.answer = echo
    model = remote(server, tmp_path)
    model.complete([ask("a", n=3, form=None)])
    server.script(choices("x"))
    model.complete([ask("b", n=3, form=None)])
    assert not model.options.refused
    assert [call.get("n", 1) for call in server.calls] == [3, 3, 2]


def test_a_form_is_refused_alone_where_another_is_taken(server: Server, tmp_path: Path) -> None:
    other = canonical({"name": "other", "schema": {"type": "object", "properties": {}}})

    def answer(body: dict[str, Any]) -> Answer:
        if "other" in json.dumps(body.get("response_format")):
            return error(400, "Invalid schema for response_format 'other': 'minItems' is not permitted")
        return echo(body)

    counts = watch(server, answer)
    model = remote(server, tmp_path)
    assert all_ok(model.complete([ask(str(i), 1) for i in range(5)]))
    assert all_ok(model.complete([ask(str(i), 1, other) for i in range(5)]))
    assert model.options.refused == {"response_format.other"} and counts["400"] == 1
    assert all_ok(model.complete([ask("later", 1)])) and "response_format" in server.calls[-1]


def test_calls_wait_for_the_first_one_and_then_use_all_slots(server: Server, tmp_path: Path) -> None:
    together = threading.Barrier(8)  # broken unless eight calls are under way at once
    alone: list[int] = []

    def answer(body: dict[str, Any]) -> Answer:
        if len(server.calls) == 1:
            time.sleep(0.3)
            alone.append(len(server.calls))
        else:
            together.wait(20)
        return echo(body)

    server.answer = answer
    assert all_ok(remote(server, tmp_path, concurrency=8).complete([ask(str(i), 1) for i in range(9)]))
    assert alone == [1]
    later = remote(server, tmp_path, concurrency=8)
    assert all_ok(later.complete([ask(str(i), 1) for i in range(9, 17)]))  # what was learned holds


def test_a_first_call_that_gets_no_answer_does_not_hold_the_others_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "TURN_S", 0.2)
    ended = threading.Event()

    def answer(body: dict[str, Any]) -> Answer:
        if len(server.calls) == 1:
            ended.wait(5)
        elif len(server.calls) == 30:  # all others came while the first one hangs
            ended.set()
        return echo(body)

    server.answer = answer
    started = time.monotonic()
    assert all_ok(remote(server, tmp_path, concurrency=8).complete([ask(str(i), 1) for i in range(30)]))
    assert time.monotonic() - started < 5


def test_a_first_call_that_fails_for_a_moment_passes_its_turn_on(server: Server, tmp_path: Path) -> None:
    refusal = error(400, "n must be 1")
    passing = iter([error(503), error(503)])
    counts = watch(server, lambda body: next(passing, refusal if "n" in body else echo(body)))
    assert all_ok(remote(server, tmp_path).complete([ask(str(i)) for i in range(6)]))
    assert counts["400"] == 1


def test_two_processes_hear_one_refusal(server: Server, tmp_path: Path) -> None:
    """Threads with an event loop each: claims tell them apart as they do processes."""

    def answer(body: dict[str, Any]) -> Answer:
        time.sleep(0.05)
        return error(400, "n must be 1") if "n" in body else echo(body)

    counts = watch(server, answer)
    models = [remote(server, tmp_path) for _ in range(3)]
    replies: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda i=i, model=model: replies.append(model.complete([ask(f"{i} {j}") for j in range(5)]))
        )
        for i, model in enumerate(models)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == 3 and all(all_ok(one) for one in replies)
    assert counts["400"] == 1


def test_what_was_learned_is_tried_again_after_a_day(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = lambda body: error(400, "n must be 1") if "n" in body else echo(body)
    remote(server, tmp_path).complete([ask("a")])
    server.answer = echo  # upgraded
    assert remote(server, tmp_path).options.refused == {"n"}
    now = time.time() + 90_000
    monkeypatch.setattr(options.time, "time", lambda: now)
    model = remote(server, tmp_path)
    model.complete([ask("b")])
    assert not model.options.refused and server.calls[-1]["n"] == 4


def test_another_model_or_address_is_another_server(server: Server, tmp_path: Path) -> None:
    server.answer = lambda body: error(400, "n must be 1") if "n" in body else echo(body)
    remote(server, tmp_path).complete([ask("a")])
    assert not remote(server, tmp_path, model="small").options.refused
    assert not remote(server, tmp_path, base_url=server.url + "/other").options.refused


@pytest.mark.parametrize("data", [b"", b"[]", b'{"unix_s": "x"}', b"\xff", b"{}"])
def test_a_damaged_note_is_none(server: Server, tmp_path: Path, data: bytes) -> None:
    server.answer = lambda body: error(400, "n must be 1") if "n" in body else echo(body)
    first = remote(server, tmp_path)
    first.complete([ask("a")])
    for path in first.options.folder.glob("*.json"):
        path.write_bytes(data)
    later = remote(server, tmp_path)
    assert not later.options.refused and all_ok(later.complete([ask("b")]))


@pytest.mark.parametrize(("status", "message"), [(400, "no seed of doubt here"), (500, "an unknown seed")])
def test_a_refusal_that_only_mentions_an_option_leaves_nothing_out(
    server: Server, tmp_path: Path, status: int, message: str
) -> None:
    server.answer = lambda body: error(status, message) if "bad" in json.dumps(body) else echo(body)
    model = remote(server, tmp_path)
    replies = model.complete([ask("good", 1), ask("bad", 1)])
    assert [row[0].reason for row in replies] == ["", "bad_request" if status == 400 else "server_error"]
    assert not model.options.refused and not remote(server, tmp_path).options.refused


def test_a_sampling_that_is_no_default_is_never_left_out(server: Server, tmp_path: Path) -> None:
    message = (
        "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is supported."
    )
    body = json.dumps({"error": {"message": message, "param": "temperature", "code": "unsupported_value"}})
    server.answer = lambda sent: Answer(body, 400) if sent.get("temperature", 1) != 1 else echo(sent)
    model = remote(server, tmp_path)
    replies = model.complete([ask("a", temperature=1.0), ask("b")])
    assert [row[0].reason for row in replies] == ["", "bad_request"] and not model.options.refused


def test_the_progress_line_and_the_message_say_what_was_refused(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = lambda body: error(400, "n must be 1") if "n" in body else echo(body)
    model = remote(server, tmp_path)

    async def go() -> str:
        await model.ask(ask("a"))
        line = model.progress()
        await model.settle(1)
        return line

    assert "1 x n refused, asked again" in asyncio.run(go())
    ((run, spent),) = read_call_log(tmp_path / "calls.jsonl").items()
    assert "option refused, asked again: 1 n" in spent_text(*run, spent) and "failed" not in spent_text(*run, spent)
    told = capsys.readouterr().err
    assert told.count("big: the server takes no n: each sample is a call of its own") == 1 and "bad_request" not in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_costs_no_reply(server: Server, tmp_path: Path) -> None:
    (tmp_path / "servers").mkdir(mode=0o500)
    assert all_ok(remote(server, tmp_path).complete([ask("a")]))


@pytest.mark.parametrize("text", ["n must be 1", "Invalid 'n'", '{"param": "n"}', "parameter n>1", "`n` unsupported"])
def test_messages_about_n_are_known(text: str) -> None:
    assert refused_option(400, ErrorBody(text), PATTERNS) == "n"


@pytest.mark.parametrize("text", ["not an image", "don't", "top_n", "a line\\n break", "max_tokens", "N/A"])
def test_messages_about_other_things_are_not(text: str) -> None:
    assert refused_option(400, ErrorBody(text), PATTERNS) == ""


def test_a_named_param_decides_before_any_word_of_the_message() -> None:
    assert refused_option(400, ErrorBody("no seed, please", param="n"), PATTERNS) == "n"
    assert refused_option(400, ErrorBody("n is not a seed", param="messages"), PATTERNS) == ""
    assert refused_option(400, ErrorBody("bad", param="seed"), {"n"}) == ""  # it was not sent
    schema = ErrorBody("Invalid schema", param="text.format.schema")
    assert refused_option(400, schema, PATTERNS) == "response_format"
    too_large = ErrorBody("max_tokens: 10000 > 4096, the maximum", param="max_tokens")
    assert refused_option(400, too_large, PATTERNS) == ""


@pytest.mark.parametrize("status", [401, 402, 403, 408, 409, 429, 503, 529])
def test_a_status_of_the_account_or_of_too_much_load_is_about_no_option(status: int) -> None:
    assert refused_option(status, ErrorBody("n is not supported"), PATTERNS) == ""


def test_what_was_left_out_is_stored_with_the_reply(server: Server, tmp_path: Path) -> None:
    server.answer = SHAPES["Mistral"].answer
    model = remote(server, tmp_path)
    request = replace(ask("a"))
    model.complete([request])
    record = model.store.read(request.key("big", True))
    assert record.calls[0]["left_out"] == ["seed"]
