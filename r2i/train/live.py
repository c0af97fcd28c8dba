"""A training run in MLflow while it trains; it never delays the training and never makes it fail.

Lines of the curve go into a bounded queue; a thread sends them in batches. Where the server is or goes down, one
warning is printed and the rest is dropped; the curve's file has all lines. $R2I_LIVE=0 switches it off.
"""

import hashlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2i.core.curve import Line
from r2i.core.tracking import CONNECT_S, CURVE_TAG, tracking_uri, without_password
from r2i.train.live_store import LiveStore
from r2i.train.watch import CollapseWarning

QUEUE = 10_000  # lines and tags; a run that is so far behind loses some
EVERY_S = 1.0  # between two batches
LONGEST_S = 60.0  # that the end of a training waits for a store that keeps answering
Item = tuple[str, Any]


class Live:
    """A sink of the curve (r2i.core.curve.CurveSink) that writes to MLflow from a thread. No method waits or raises."""

    def __init__(self, store: LiveStore | None) -> None:
        self._items: queue.Queue[Item] = queue.Queue(QUEUE)
        self._store = store
        self._over, self._lost = threading.Event(), threading.Event()
        self._warned = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        if store:
            self._thread.start()

    def __call__(self, step: int, steps: int, line: Line) -> None:
        self._put("line", (step, int(time.time() * 1000), dict(line)))

    def warn(self, warning: CollapseWarning) -> None:
        """Tag the run with it."""
        self._put("tag", (f"r2i.warning.{warning.kind}", str(warning)))

    def tag_curve(self, path: Path) -> None:
        """Tag the run with the digest of its curve's file: `r2i track` finds it by that."""
        self._put("tag", (CURVE_TAG, hashlib.sha256(path.read_bytes()).hexdigest()))

    def end(self, status: str) -> None:
        """Send what is left and the run's `status`; wait as long as the store answers, else about 2 s."""
        if not self._store:
            return
        self._put("status", status)
        self._over.set()
        end = time.monotonic() + LONGEST_S
        while self._thread.is_alive() and time.monotonic() < end and not self._lost.is_set():
            if self._store.waits_s() > CONNECT_S:
                break
            self._thread.join(0.05)
        if self._thread.is_alive():
            self._give_up(f"no answer from {self._store.name}")

    def _put(self, kind: str, value: Any) -> None:
        if self._store and not self._lost.is_set():
            try:
                self._items.put_nowait((kind, value))
            except queue.Full:
                self._give_up(f"{self._store.name} is too slow")

    def _run(self) -> None:
        assert self._store
        try:
            self._store.open()
            while not self._lost.is_set():
                over = self._over.wait(EVERY_S)
                self._store.send(self._taken())
                if over and self._items.empty():
                    return
        except Exception as error:  # of many kinds, by the kind of store; none may reach the training
            self._give_up((str(error).splitlines() or [type(error).__name__])[0][:200])

    def _taken(self) -> list[Item]:
        items: list[Item] = []
        while not self._items.empty():
            items.append(self._items.get_nowait())
        return items

    def _give_up(self, why: str) -> None:
        with self._warned:
            if self._lost.is_set():
                return
            self._lost.set()
        what = f"warning: training is not followed in MLflow ({without_password(why)}); it goes on, its curve is kept"
        print(what, file=sys.stderr, flush=True)


@contextmanager
def live_run(name: str, params: Mapping[str, Any], fingerprint: str) -> Iterator[Live]:
    """A run in the experiment of `r2i track`, for as long as the block runs. `name`: of the stage.

    A training that was killed and goes on, known by its `fingerprint`, goes on in the same run. The run ends as
    FINISHED, KILLED (Ctrl-C, SIGTERM) or FAILED.
    """
    uri = tracking_uri()
    live = Live(None if os.environ.get("R2I_LIVE") == "0" else LiveStore(uri, name, params, fingerprint))
    try:
        yield live
    except (KeyboardInterrupt, SystemExit):
        live.end("KILLED")
        raise
    except BaseException:
        live.end("FAILED")
        raise
    live.end("FINISHED")
