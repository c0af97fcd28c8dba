"""The server as a process: `with serving(Plan(capacity=64)) as server:`, then `server.url`, `server.counts()`."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.endpoint_parts.plan import Plan

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A server that runs on 127.0.0.1."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def counts(self) -> dict[str, Any]:
        """Calls received, served (= paid), abandoned by the client, in flight; the latencies that were drawn."""
        return self._get("/counts")

    def calls(self) -> list[dict[str, Any]]:
        """Of each distinct call that was served: `model, prompt, seed, n`, `served` times, `samples` in all."""
        return self._get("/calls")

    def _get(self, path: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def serving(plan: Plan) -> Iterator[Served]:
    """A server, until the end of the block."""
    command = [sys.executable, "-m", "bench.endpoint_parts.server", json.dumps(asdict(plan))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield Served(int(process.stdout.readline()))
        finally:
            process.stdin.close()  # it ends with it
            process.wait(10)
