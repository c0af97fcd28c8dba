"""One launch of a server under `guard.py`: its command, environment, log and end."""

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from r2i.core.params import Endpoint
from r2i.endpoint import guard
from r2i.endpoint.quote import escape_controls, hide_key

HOST = "127.0.0.1"
KEY_VARIABLE = "VLLM_API_KEY"
TAIL = 15  # last lines of the log that an error quotes
SEARCHED = 2**18  # bytes at the end of the log that are searched for errors
COLOR = re.compile(r"\x1b\[[0-9;]*m")
EXCEPTION_LINE = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): .+")
ACCESS_LINE = re.compile(r'HTTP/1\.\d" 200')  # of the access log, which is full of them
PORT_TAKEN = re.compile(r"address already in use|EADDRINUSE", re.IGNORECASE)


class Launch:
    """A server that was started; it may have ended since. `log`: file to which its output is appended."""

    def __init__(self, params: Endpoint, log: Path) -> None:
        self.log, self.port, self.key = log, free_port(), _key(params)
        command = server_command(params, self.port)
        self.shown = hide_key(shlex.join(command), self.key)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(f"\n=== {datetime.now(UTC).isoformat(timespec='seconds')} {self.shown}\n".encode())
            file.flush()
            self.log_start = file.tell()
            # -I: neither this folder nor PYTHON* variables change what the guard imports
            self.guard = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, str(os.getpid()), *command],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=server_environment(params),
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether the server, or the guard that stops it, still runs."""
        return self.guard.poll() is None

    def end(self, wait_s: float) -> None:
        """Close the pipe, which makes the guard stop the server, and wait up to `wait_s` seconds for it."""
        assert self.guard.stdin is not None
        self.guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.guard.wait(wait_s)

    def exit_code(self) -> str:
        """How the server ended: `1`, or `137 (signal 9)`."""
        code = self.guard.poll() or 0
        number = -code if code < 0 else code - 128
        return f"{code} (signal {number})" if number > 0 else str(code)

    def port_was_taken(self) -> bool:
        """Whether the log says that another process listens on the port."""
        return any(PORT_TAKEN.search(line) for line in self._lines())

    def describe_log(self) -> str:
        """The end of the log; before it an exception that stands further up, which is often the cause."""
        lines = self._lines()
        errors = [match.group()[:500] for line in lines if (match := EXCEPTION_LINE.search(line))]
        last = [line[:300] for line in lines[-TAIL:]]
        earlier = f"further up in its log: {errors[0]}; " if errors and errors[0] not in "\n".join(last) else ""
        return earlier + "the end of its log:\n" + "\n".join(f"    {line}" for line in last or ["(nothing)"])

    def _lines(self) -> list[str]:
        """Output since the launch without empty lines and successful calls; of a long log, the last part."""
        with self.log.open("rb") as file:
            file.seek(max(self.log_start, file.seek(0, os.SEEK_END) - SEARCHED))
            text = file.read().decode("utf-8", "replace")
        lines = (escape_controls(COLOR.sub("", line).rstrip()) for line in hide_key(text, self.key).splitlines())
        return [line for line in lines if line and not ACCESS_LINE.search(line)]


def server_command(params: Endpoint, port: int) -> list[str]:
    """`vllm serve MODEL ...`, without the API key: other users can see command lines."""
    folder = params.image_folder
    return [
        *params.command,
        params.model,
        *("--host", HOST, "--port", str(port), "--served-model-name", params.model),
        *(["--allowed-local-media-path", str(Path(folder).resolve())] if folder else []),
        *params.flags,
    ]


def server_environment(params: Endpoint) -> dict[str, str]:
    """This process's environment and `params.env`, with VLLM_API_KEY set to this server's key or unset.

    Keys of another service are not passed on.
    """
    inherited = {
        name: value for name, value in os.environ.items() if name != KEY_VARIABLE and not name.startswith("OPENAI_")
    }
    key = _key(params)
    return inherited | params.env | ({KEY_VARIABLE: key} if key else {})


def _key(params: Endpoint) -> str:
    return os.environ.get(params.api_key_env, "").strip() if params.api_key_env else ""


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
