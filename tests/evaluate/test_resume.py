"""2 000 items, and a server that dies twice in their midst."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from made_rows import item_row

from r2i.core.errors import EndpointError
from r2i.core.ids import unit_of
from r2i.core.params import Cut, Endpoint, Evaluate, Zoom
from r2i.endpoint.remote import RemoteModel
from r2i.endpoint.store import Store
from r2i.evaluate.predict import predict
from r2i.evaluate.summary import summarise

ITEMS = 2000
CFG = Evaluate(prompts="paper", views=["zoom"], samples=0, max_tokens=64, zoom=Zoom())


class Mortal:
    """Says where to look, then a letter, by the prompt alone; after `life` replies every connection is dropped."""

    def __init__(self, life: int | None, paid: Counter[str]) -> None:
        self.life, self.paid, self.lock = life, paid, threading.Lock()

    def reply(self, prompt: str, images: int) -> str | None:
        with self.lock:
            if self.life == 0:
                return None
            self.life = None if self.life is None else self.life - 1
            self.paid[prompt] += 1
        draw = unit_of(prompt)
        if "bbox_2d" in prompt:
            return '{"bbox_2d": [100, 100, 400, 900]}' if draw < 0.9 else "I see nothing"
        return f"<answer>{'ABCD'[int(4 * draw)]}</answer>"


@contextmanager
def serve(mortal: Mortal) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
            text = mortal.reply(content[-1]["text"], len(content) - 1)
            if text is None:
                self.close_connection = True
                return
            choice = {"index": 0, "finish_reason": "stop", "message": {"content": text}}
            usage = {"prompt_tokens": 100 * len(content), "completion_tokens": 7}
            body = json.dumps({"id": "1", "choices": [choice], "usage": usage}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # 32 clients connect at once, and retry nothing

    http = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def evaluate(url: str, folder: Path, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    endpoint = Endpoint(kind="openai", model="m", base_url=url, retries=0, concurrency=32)
    model = RemoteModel(endpoint, store=Store(folder / "store"), backoff_s=0.01)
    return predict(model, items, CFG, Cut(), 0, kind="openai", scratch=folder / "scratch")


def test_no_item_is_lost_or_scored_twice_and_no_call_is_paid_twice(tmp_path: Path) -> None:
    items = [item_row(number) for number in range(ITEMS)]
    paid: Counter[str] = Counter()
    for life in (1100, 1500):  # of the 4 000 calls that it takes
        with serve(Mortal(life, paid)) as url, pytest.raises(EndpointError):
            evaluate(url, tmp_path, items)
    assert paid.total() == 1100 + 1500
    with serve(Mortal(None, paid)) as url:
        rows = evaluate(url, tmp_path, items)
    assert set(paid.values()) == {1} and paid.total() == 2 * ITEMS
    assert Counter(row["item_id"] for row in rows) == Counter(item["item_id"] for item in items)
    assert {row["status"] for row in rows} == {"ok"} and {row["rule"] for row in rows} == {"letter"}
    found = summarise(rows)
    assert found["zoom"]["without_box"] == sum(row["first_reply"] == "I see nothing" for row in rows) > 100
    # 200 tokens for one picture and the text, 300 for two: the look, and the answer to it
    assert found["view"]["zoom"]["tokens_in"] == 500 * found["zoom"]["with_box"] + 400 * found["zoom"]["without_box"]
    assert evaluate("http://127.0.0.1:9/v1", tmp_path, items) == rows  # scored again: no server at all
