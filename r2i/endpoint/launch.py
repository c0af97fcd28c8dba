"""One launch of a server under `guard.py`: its command, its environment, its log, its end."""

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

HOST = "127.0.0.1"
KEY_VARIABLE = "VLLM_API_KEY"
HIDDEN = "***"
TAIL = 15  # lines of the log that an error shows
READ = 2**18  # bytes at the end of the log in which errors are looked for
COMPLAINT = re.compile(r"(?:\w+\.)*\w*(?:Error|Exception): .+")
WENT_WELL = re.compile(r'HTTP/1\.\d" 200')  # of an access log, which fills with them
TAKEN = re.compile(r"address already in use|EADDRINUSE", re.IGNORECASE)


class Launch:
    """A server that was started; it may have ended since. `log`: where its output is added."""

    def __init__(self, params: Endpoint, log: Path) -> None:
        self.log, self.port, self.key = log, free_port(), _key(params)
        command = server_command(params, self.port)
        self.shown = self._scrub(shlex.join(command))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(f"\n=== {datetime.now(UTC).isoformat(timespec='seconds')} {self.shown}\n".encode())
            file.flush()
            self.began = file.tell()
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
        return self.guard.poll() is None

    def end(self, wait_s: float) -> None:
        """End the pipe, which makes the guard stop the server, and wait so many seconds for it."""
        assert self.guard.stdin is not None
        self.guard.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.guard.wait(wait_s)

    def exit_code(self) -> str:
        """`1`, or `137 (signal 9)`."""
        code = self.guard.poll() or 0
        number = -code if code < 0 else code - 128
        return f"{code} (signal {number})" if number > 0 else str(code)

    def port_was_taken(self) -> bool:
        return any(TAKEN.search(line) for line in self._lines())

    def last_words(self) -> str:
        """The end of the log; an error that stands further up is quoted first: it is often the cause."""
        lines = self._lines()
        errors = [found.group()[:500] for line in lines if (found := COMPLAINT.search(line))]
        last = [line[:300] for line in lines[-TAIL:]]
        earlier = f"further up in its log: {errors[0]}; " if errors and errors[0] not in "\n".join(last) else ""
        return earlier + "the end of its log:\n" + "\n".join(f"    {line}" for line in last or ["(nothing)"])

    def _lines(self) -> list[str]:
        """What was said since the launch, less empty lines and calls that went well; of much, the last part."""
        with self.log.open("rb") as file:
            file.seek(max(self.began, file.seek(0, os.SEEK_END) - READ))
            text = file.read().decode("utf-8", "replace")
        lines = (line.rstrip() for line in self._scrub(text).splitlines())
        return [line for line in lines if line and not WENT_WELL.search(line)]

    def _scrub(self, text: str) -> str:
        return text.replace(self.key, HIDDEN) if self.key else text


def server_command(params: Endpoint, port: int) -> list[str]:
    """`vllm serve MODEL ...`; the key is no part of it, since other users can see command lines."""
    folder = params.image_folder
    return [
        *params.command,
        params.model,
        *("--host", HOST, "--port", str(port), "--served-model-name", params.model),
        *(["--allowed-local-media-path", str(Path(folder).resolve())] if folder else []),
        *params.flags,
    ]


def server_environment(params: Endpoint) -> dict[str, str]:
    """Ours, without a VLLM_API_KEY that isn't meant for this server, and with the one that is."""
    ours = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    key = _key(params)
    return ours | params.env | ({KEY_VARIABLE: key} if key else {})


def _key(params: Endpoint) -> str:
    return os.environ.get(params.api_key_env, "").strip() if params.api_key_env else ""


def free_port() -> int:
    """One that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
