"""The mini checkpoint behind a real HTTP server, as a lab's teacher: what it was asked can be counted.

Requests that wait are answered in one batch, as vLLM would.
"""

import base64
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from endpoint.fake_server import Answer, Server, choices, serve

from r2i.core.params import Sampling
from r2i.endpoint.base import Reply, Request

Waiting = tuple[Request, "Future[list[Reply]]"]


def read_body(body: dict[str, Any]) -> Request:
    """A chat completion's body as the request that it stands for."""
    *pictures, text = body["messages"][0]["content"]
    data = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in pictures]
    sampling = Sampling(temperature=body["temperature"], top_p=body["top_p"], max_tokens=body["max_tokens"])
    return Request(text["text"], tuple(data), sampling, body["seed"], body.get("n", 1))


def completion(replies: list[Reply]) -> Answer:
    finish = "length" if any(reply.reason == "truncated" for reply in replies) else "stop"
    tokens = {"prompt_tokens": replies[0].tokens_in, "completion_tokens": sum(reply.tokens_out for reply in replies)}
    return choices(*(reply.text for reply in replies), finish=finish, usage=tokens)


@contextmanager
def teacher(checkpoint: Path) -> Iterator[Server]:
    """Serve `checkpoint`; `server.calls` keeps every body that came, `server.url` is its base_url."""
    from r2i.endpoint.local import LocalModel

    model, waiting = LocalModel(checkpoint), queue.SimpleQueue[Waiting | None]()

    def work() -> None:
        while (first := waiting.get()) is not None:
            batch = [first]
            while not waiting.empty() and (more := waiting.get()) is not None:
                batch.append(more)
            for (_, future), replies in zip(batch, model.complete([request for request, _ in batch]), strict=True):
                future.set_result(replies)

    def answer(body: dict[str, Any]) -> Answer:
        future: Future[list[Reply]] = Future()
        waiting.put((read_body(body), future))
        return completion(future.result(120))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    with serve() as server:
        server.answer = answer
        yield server
    waiting.put(None)
    worker.join(30)
