"""A browser's requests to the explorer, and what they cost its server."""

import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.explore_parts.make import DIMENSIONS, WORDS


@contextmanager
def explorer(at: Path, root: Path) -> Iterator[tuple[str, int, float]]:
    """`r2i explore` in the workspace `at`: its address, its process and the seconds until it showed answers."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "r2i.cli.main", "explore", "--port", "0"]
    env = {**os.environ, "PYTHONPATH": str(root)}
    server = subprocess.Popen(command, cwd=at, env=env, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().decode().split("/  ")[0]
        get(f"{address}/t/answers")
        yield address, server.pid, time.perf_counter() - started
    finally:
        server.terminate()
        server.wait(20)


def get(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return bytes(answer.read())


def requests(count: int, rows: int, seed: int = 1) -> list[tuple[str, str]]:
    """(kind, path) of seeded requests. Words are searched once each, so that no search finds its answer kept."""
    rng = random.Random(seed)
    pairs = rng.sample([(a, b) for a in WORDS for b in WORDS], count)
    kinds = ["filter"] * 50 + ["deep"] * 15 + ["sorted"] * 10 + ["gallery"] * 10 + ["search"] * 15
    return [(kind, _path(kind, rng, rows, " ".join(pairs[n]))) for n, kind in enumerate(rng.choices(kinds, k=count))]


def _path(kind: str, rng: random.Random, rows: int, words: str) -> str:
    slug = rng.choice(["answers"] * 6 + ["train", "votes", "questions"])
    asked: list[tuple[str, str]] = []
    if rng.random() < 0.7:
        asked.append(("dimension", rng.choice(DIMENSIONS)))
    if rng.random() < 0.6:
        asked += [("agreement", f"{n} of 8") for n in rng.sample(range(3, 9), 2)]
    if rng.random() < 0.3:
        asked.append(("status", "ok"))
    if kind in ("deep", "sorted"):
        slug, asked = "answers", asked[:1] if kind == "sorted" else []
        share = 0.05 if asked else 0.9
        asked.append(("page", str(rng.randint(1, max(1, int(rows * share / 50))))))
    if kind == "sorted":
        asked += [("sort", "sample"), ("down", rng.choice(["", "1"]))]
    if kind == "gallery":
        asked.append(("look", "gallery"))
    if kind == "search":
        asked.append(("text", words))
    if kind == "replies":
        slug = "answers"
        asked += [("text", words), ("long", "1")]
    return f"/t/{slug}?{urlencode(asked)}"


def reply_searches(count: int, seed: int = 2) -> list[tuple[str, str]]:
    """Searches in every answer's whole reply, each for other words."""
    rng = random.Random(seed)
    pairs = rng.sample([f"{a} {b}" for a in WORDS for b in WORDS], count)
    return [("replies", _path("replies", rng, 0, words)) for words in pairs]


def measure(address: str, paths: list[tuple[str, str]]) -> list[tuple[str, float]]:
    """(kind, milliseconds) of each, one after the other."""
    found = []
    for kind, path in paths:
        started = time.perf_counter()
        body = get(address + path)
        found.append((kind, (time.perf_counter() - started) * 1000))
        assert b'id="count"' in body, path
    return found


def peak_mb(pid: int) -> float:
    """Most memory that a process has held so far, MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
