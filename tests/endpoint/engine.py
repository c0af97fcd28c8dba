"""An engine that r2i starts as it starts `vllm serve`: health, chat, and nothing that a GPU would do.

`python engine.py [--speaker MODULE:NAME] serve MODEL --port P ...`: NAME() gives the reply to each body. Below
`flock --nonblock FILE` the file stands for the device: an engine that comes while another has it can't start.
"""

import argparse
import hashlib
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *(path for path in sys.path if Path(path) != Path(__file__).parent)]

from endpoint.fake_server import Answer, choices, error, serve  # noqa: E402 - needs the path

WORDS = ("red", "blue", "green", "white", "black")


class Scripted:
    """Replies by the request's bytes alone; some prompts get an error whenever they are asked."""

    def __call__(self, body: dict[str, Any]) -> Answer:
        prompt, n = body["messages"][-1]["content"][-1]["text"], body.get("n", 1)
        number = hashlib.sha256(f"{body['model']}{prompt}".encode()).digest()[0]
        if number % 6 == 0:
            return error(503)
        if "wrong answers" in prompt:
            few = number % 6 == 1 and body["seed"] % 2  # then it is asked again
            return choices(json.dumps(WORDS[: 1 if few else 4]))
        if "Options:" in prompt:
            return choices(*(f"<answer>{'ABCD'[(number + i) % 4]}</answer>" for i in range(n)))
        step = number % 3 == 2  # then no two samples agree
        return choices(*(f"\\boxed{{{WORDS[(number + i * step) % 5]}}}" for i in range(n)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--speaker")
    parser.add_argument("--port", type=int, required=True)
    told, _ = parser.parse_known_args()
    speaker: Callable[[dict[str, Any]], Answer] = Scripted()
    if told.speaker:
        module, _, name = told.speaker.partition(":")
        speaker = getattr(importlib.import_module(module), name)()
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with serve(told.port) as server:
        server.answer = speaker
        over.wait()


if __name__ == "__main__":
    main()
