"""A vLLM that r2i starts, monitors and stops (`kind: vllm`), and the name under which its replies are filed.

The server runs under `guard.py`, which stops it when this process is gone.
"""

import hashlib
import http.client
import re
import shlex
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from r2i.core import paths
from r2i.core.errors import EndpointError
from r2i.core.params import Endpoint
from r2i.endpoint.guard import GRACE_S, LAST_S
from r2i.endpoint.launch import HOST, Launch, server_environment

TRIES = 3  # launches: another process may take the free port first
POLL_S = 0.1  # between two health checks of a starting server
BLOCK = 2**20  # bytes of a file that are hashed at once


class VllmServer:
    """One `vllm serve` of `params.model`. All methods may be called from any thread.

    `log`: file to which its output is appended; None: `.r2i/logs/vllm-<model>.log` in $DVC_ROOT, or else here.
    """

    def __init__(self, params: Endpoint, log: Path | None = None) -> None:
        self.params = params
        self.log = log or _default_log(params.model)
        self._starting = threading.Lock()  # of the thread that starts the server
        self._changing = threading.Lock()  # held briefly, while the two below change
        self._stopped = threading.Event()  # `stop` was called since the last start began
        self._launch: Launch | None = None

    def start(self) -> str:
        """The server's base URL, once it is healthy; it is started unless it runs.

        Raises EndpointError when the command is missing, when the server dies or isn't healthy after
        `start_timeout_s`, and, at once, when `stop` is called meanwhile.
        """
        with self._starting:
            launch = self._launch
            if launch is None or not launch.alive():
                launch = self._start()
        return f"http://{HOST}:{launch.port}/v1"

    def _start(self) -> Launch:
        self._stopped.clear()
        self._require_command()
        print(f"{self.params.model}: the server starts, its log is {self.log}", file=sys.stderr, flush=True)
        started = time.monotonic()
        for attempt in range(1, TRIES + 1):
            launch = self._begin()
            if self._wait_until_healthy(launch, started + self.params.start_timeout_s):
                spent = time.monotonic() - started
                print(f"{self.params.model}: the server is ready after {spent:.0f} s", file=sys.stderr, flush=True)
                return launch
            if attempt == TRIES or not launch.port_was_taken():
                raise self._death(launch)
        raise AssertionError("unreachable")

    def _begin(self) -> Launch:
        """Launch the server, unless `stop` was called: the lock lets neither miss the other."""
        with self._changing:
            self._raise_if_stopped()
            try:
                self._launch = Launch(self.params, self.log)
            except OSError as error:
                raise EndpointError(f"the server of {self.params.model} can't be started: {error}") from error
            return self._launch

    def _wait_until_healthy(self, launch: Launch, end: float) -> bool:
        """Whether the server gets healthy; False if it dies. Raises EndpointError at time `end` and after `stop`."""
        healthy, done = threading.Event(), threading.Event()
        # in a thread of its own: a server that accepts connections and never responds must not delay `stop`
        threading.Thread(target=_probe, args=(launch.port, healthy, done), daemon=True).start()
        try:
            while not healthy.is_set():
                self._stopped.wait(POLL_S)
                self._raise_if_stopped()
                if not launch.alive():
                    return False
                if time.monotonic() > end:
                    self.stop()
                    what = f"was not healthy in {self.params.start_timeout_s:g} s"
                    raise self._error(launch, what, "raise start_timeout_s, or see what it waits for")
        finally:
            done.set()
        return launch.alive()  # else another process took the port and responded

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise EndpointError(f"the server of {self.params.model} was stopped while it started")

    def check(self) -> None:
        """Raises EndpointError when the server has died since it was started."""
        launch = self._launch
        if launch is not None and not launch.alive():
            raise self._death(launch)

    def stop(self, wait_s: float = GRACE_S + LAST_S + 1) -> None:
        """Stop the server, if it runs, with all its processes; a `start` that is under way raises.

        `wait_s`: maximum number of seconds to wait for its end, which comes also when nobody waits.
        """
        with self._changing:
            self._stopped.set()
            launch, self._launch = self._launch, None
        if launch is not None:
            launch.end(wait_s)

    def _death(self, launch: Launch) -> EndpointError:
        what = f"ended with exit code {launch.exit_code()}"
        return self._error(launch, what, "see command, flags and env in params.yaml")

    def _error(self, launch: Launch, what: str, remedy: str) -> EndpointError:
        cause = f"the server of {self.params.model} {what} (`{launch.shown}`); {launch.describe_log()}"
        return EndpointError(cause, f"{remedy}; the whole log is {self.log}")

    def _require_command(self) -> None:
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


def _probe(port: int, healthy: threading.Event, done: threading.Event) -> None:
    """GET /health, without a proxy, until it returns 200 or `done` is set."""
    while not done.wait(POLL_S):
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                healthy.set()
                return
        connection.close()


class NamedEndpoint(NamedTuple):
    """An endpoint, and the name under which its model is served and its replies are filed."""

    params: Endpoint
    name: str


def name_by_weights(params: Endpoint) -> NamedEndpoint:
    """The endpoint with a name that follows from the weights, where it is known: `stored_name`."""
    name = stored_name(params)
    if name == params.model:
        return NamedEndpoint(params, name)
    # vLLM takes the last one of a flag that is given twice: the first is the folder's bare path
    return NamedEndpoint(params.model_copy(update={"flags": [*params.flags, "--served-model-name", name]}), name)


def stored_name(params: Endpoint) -> str:
    """The name under which the store files a model's replies: `<folder>@<12 hex digits>`, or the model's own name.

    A folder that r2i's vLLM serves is named by a digest of its files: it keeps its path when it is trained or fetched
    anew, and no reply of other weights may be replayed. Weights behind a hub id or an `openai` server are not known.
    """
    if params.kind != "vllm" or not Path(params.model).is_dir():
        return params.model
    return f"{params.model}@{digest_folder(Path(params.model))[:12]}"


def digest_folder(folder: Path) -> str:
    """sha256 over the relative path and content of each file below `folder`, in order of paths.

    Hidden files and `__pycache__` are left out: a hub's download keeps times in them.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not _is_ignored(path, folder)):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _is_ignored(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
