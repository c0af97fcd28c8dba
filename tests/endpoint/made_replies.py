"""Requests and replies for tests of the store, the archive and the commands."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2i.core.params import Sampling
from r2i.endpoint.base import Picture, Reply, Request, sample_key
from r2i.endpoint.record import Record

ROOT = Path(__file__).parents[2]


def made_request(number: int = 0, prompt: str = "How many dots?") -> Request:
    picture = Picture.of(b"\xff\xd8\xff" + str(number).encode())
    return Request(prompt, (picture,), Sampling(temperature=0.7), seed=number, n=4, prompt_sha256="f" * 64)


def made_key(number: int = 0) -> str:
    return made_request(number).key("big")


def made_reply(
    number: int = 0, sample: int = 0, text: str = "four dots 🔴", reason: str = "", tokens: tuple[int, int] = (7, 3)
) -> Reply:
    status = "failed" if reason else "ok"
    return Reply(text, status, reason, sample_key(made_key(number), sample), "big", *tokens)


def made_call(*samples: int) -> dict[str, Any]:
    return {"samples": list(samples), "kind": "openai", "served_model": "big-0905", "finish": ["stop"], "seconds": 1.25}


def made_record(number: int = 0, texts: Mapping[int, str] | None = None) -> Record:
    texts = {0: "four", 1: "4"} if texts is None else texts
    replies = {i: made_reply(number, i, text) for i, text in texts.items()}
    return Record(made_request(number).parts("big"), "f" * 64, replies, [made_call(*texts)])


def put(store: Any, number: int, texts: Mapping[int, str], reason: str = "") -> None:
    """Put made replies of request `number` into `store`."""
    replies = {i: made_reply(number, i, text, reason) for i, text in texts.items()}
    request = made_request(number)
    store.put(request.key("big"), request.parts("big"), "f" * 64, replies, made_call(*texts))


def noise(number: int, size: int) -> str:
    """`size` characters that no compression makes much smaller."""
    block = hashlib.shake_256(str(number).encode()).hexdigest(size // 2 + 1)
    return block[:size]


def start_python(code: str, *args: object) -> subprocess.Popen[str]:
    """Another process that runs `code`; `sys.argv[1:]` are `args`."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
