"""A chat-completions server on 127.0.0.1 that misbehaves to order."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """`after`: bytes that follow the response, unasked."""

    body: str | bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: bytes = b""


def choices(*texts: str | None, finish: str = "stop", usage: dict[str, int] | None = None, **more: object) -> Answer:
    made = [{"index": i, "finish_reason": finish, "message": {"content": text}} for i, text in enumerate(texts)]
    return Answer(json.dumps({"id": "1", "object": "chat.completion", "choices": made, "usage": usage} | more))


def error(status: int, message: str = "injected", **headers: str) -> Answer:
    return Answer(json.dumps({"error": {"message": message}}), status, headers)


def echo(body: dict[str, Any]) -> Answer:
    """`n` choices that differ, and that differ between seeds."""
    return choices(
        *(f"{body['messages'][0]['content'][-1]['text']}/{body['seed']}/{i}" for i in range(body.get("n", 1)))
    )


@dataclass
class Server:
    """`answer(body)` gives the reply to each call; `calls` and `headers` keep what came."""

    answer: Callable[[dict[str, Any]], Answer] = echo
    calls: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    gets: int = 0
    url: str = ""
    in_flight: int = 0
    most_in_flight: int = 0
    lock: Any = field(default_factory=threading.Lock)

    def script(self, *answers: Answer) -> None:
        """These answers first, one a call; then `echo`."""
        left = iter(answers)
        self.answer = lambda body: next(left, None) or echo(body)


@contextmanager
def serve(port: int = 0) -> Iterator[Server]:
    """`port`: 0 for a free one."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a response of two writes waits for an acknowledgement

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with state.lock:
                state.calls.append(body)
                state.headers.append({name.lower(): value for name, value in self.headers.items()})
                state.in_flight += 1
                state.most_in_flight = max(state.most_in_flight, state.in_flight)
            answer = state.answer(body)
            with state.lock:
                state.in_flight -= 1
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            data = answer.body.encode() if isinstance(answer.body, str) else answer.body
            self.send_response(answer.status)
            for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data + answer.after)

        def do_GET(self) -> None:
            with state.lock:
                state.gets += 1
            self._send(choices("from a page"))

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *args: Any) -> None:  # a client that gave up waiting
            pass

    http = Quiet(("127.0.0.1", port), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
