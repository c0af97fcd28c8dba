"""A vLLM that r2i starts, watches and stops: `kind: vllm`.

Between this process and the server stands `guard.py`, which stops the server when this process is gone.
"""

import http.client
import re
import shlex
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.guard import GRACE_S, LAST_S
from r2i.endpoint.launch import HOST, Launch, server_environment

TRIES = 3  # the port that was free may be taken when the server wants it
LOOK_S = 0.1  # between two looks at a server that starts


class VllmServer:
    """One `vllm serve` of `params.model`. All methods may be called from any thread.

    `log`: where its output is added; None: `.r2i/logs/vllm-<model>.log` in $DVC_ROOT, or else here.
    """

    def __init__(self, params: Endpoint, log: Path | None = None) -> None:
        self.params = params
        self.log = log or _default_log(params.model)
        self._starting = threading.Lock()  # held by the thread that starts
        self._changing = threading.Lock()  # held for a moment, when the two below change
        self._halt = threading.Event()  # `stop` was called since the last start began
        self._launch: Launch | None = None

    def start(self) -> str:
        """The server's base URL, once it is healthy; it is started unless it runs.

        Raises EndpointError when the command is missing, when it dies, when it isn't healthy after
        `start_timeout_s`, and, at once, when `stop` is called meanwhile.
        """
        with self._starting:
            launch = self._launch
            if launch is None or not launch.alive():
                launch = self._start()
        return f"http://{HOST}:{launch.port}/v1"

    def _start(self) -> Launch:
        self._halt.clear()
        self._refuse_missing()
        print(f"{self.params.model}: the server starts, its log is {self.log}", file=sys.stderr, flush=True)
        began = time.monotonic()
        for attempt in range(1, TRIES + 1):
            launch = self._begin()
            if self._is_healthy(launch, began + self.params.start_timeout_s):
                spent = time.monotonic() - began
                print(f"{self.params.model}: the server is ready after {spent:.0f} s", file=sys.stderr, flush=True)
                return launch
            if attempt == TRIES or not launch.port_was_taken():
                raise self._death(launch)
        raise AssertionError("unreachable")

    def _begin(self) -> Launch:
        """Launch it, unless `stop` was called: the lock lets neither miss the other."""
        with self._changing:
            self._refuse_halted()
            try:
                self._launch = Launch(self.params, self.log)
            except OSError as error:
                raise EndpointError(f"the server of {self.params.model} can't be started: {error}") from error
            return self._launch

    def _is_healthy(self, launch: Launch, end: float) -> bool:
        """Wait until it is; False when it dies. Raises EndpointError at the time `end`, and after `stop`."""
        healthy, enough = threading.Event(), threading.Event()
        # in a thread of its own: a server that takes connections and says nothing must not delay `stop`
        threading.Thread(target=_probe, args=(launch.port, healthy, enough), daemon=True).start()
        try:
            while not healthy.is_set():
                self._halt.wait(LOOK_S)
                self._refuse_halted()
                if not launch.alive():
                    return False
                if time.monotonic() > end:
                    self.stop()
                    what = f"was not healthy in {self.params.start_timeout_s:g} s"
                    raise self._error(launch, what, "give it more start_timeout_s, or see what it waits for")
        finally:
            enough.set()
        return launch.alive()  # else it was somebody else who took the port and gave that answer

    def _refuse_halted(self) -> None:
        if self._halt.is_set():
            raise EndpointError(f"the server of {self.params.model} was stopped while it started")

    def check(self) -> None:
        """Raises EndpointError when the server has died since it was started."""
        launch = self._launch
        if launch is not None and not launch.alive():
            raise self._death(launch)

    def stop(self, wait_s: float = GRACE_S + LAST_S + 1) -> None:
        """Stop the server, if it runs, with all its processes; a `start` that is under way raises.

        `wait_s`: most seconds to wait for its end, which comes also when nobody waits.
        """
        with self._changing:
            self._halt.set()
            launch, self._launch = self._launch, None
        if launch is not None:
            launch.end(wait_s)

    def _death(self, launch: Launch) -> EndpointError:
        what = f"ended with exit code {launch.exit_code()}"
        return self._error(launch, what, "see command, flags and env in params.yaml")

    def _error(self, launch: Launch, what: str, remedy: str) -> EndpointError:
        cause = f"the server of {self.params.model} {what} (`{launch.shown}`); {launch.last_words()}"
        return EndpointError(cause, f"{remedy}; the whole log is {self.log}")

    def _refuse_missing(self) -> None:
        command = self.params.command
        if command and shutil.which(command[0], path=server_environment(self.params).get("PATH")):
            return
        raise EndpointError(
            f"{self.params.model} is to be served by `{shlex.join(command)}`, and there is no such program here",
            "on a machine with a GPU: `uv pip install -e '.[gpu]' --override overrides.txt`; or name another program "
            "in `command`; or serve the model elsewhere and use `kind: openai` with its base_url",
        )


def _default_log(model: str) -> Path:
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-.") or "model"
    return paths.server_logs() / f"vllm-{slug}.log"


def _probe(port: int, healthy: threading.Event, enough: threading.Event) -> None:
    """Ask for GET /health, with no proxy between, until it is 200 or nobody wants to know."""
    while not enough.wait(LOOK_S):
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                healthy.set()
                return
        connection.close()
