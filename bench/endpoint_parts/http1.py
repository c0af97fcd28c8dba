"""As little HTTP/1.1 as an OpenAI client needs, fast enough to take 400 KB bodies by the hundred a second."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal

LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """What to send. `cut`: only half of the body, then close the connection, or say nothing more (`stall`).

    `sent` is called once all of it has gone out to a client that is still there.
    """

    body: bytes
    status: int = 200
    type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: Literal["", "close", "stall"] = ""
    sent: Callable[[], None] | None = None

    def bytes(self) -> bytes:
        fields = {"Content-Type": self.type, "Content-Length": str(len(self.body)), **self.headers}
        head = f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        body = self.body[: len(self.body) // 2] if self.cut else self.body
        return head.encode() + b"\r\n" + body


Handle = Callable[[str, bytes], Awaitable[Answer]]


class Connection(asyncio.Protocol):
    """One keep-alive connection. `handle(target, body)` is cancelled when the client goes away."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.buffer = bytearray()
        self.head: bytes | None = None  # of the request whose body is on its way
        self.missing = 0  # length of that body, bytes
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.task is None:
            self._read()

    def _read(self) -> None:
        """Start to answer the next request if all of it is here."""
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.head = bytes(self.buffer[:end])
            del self.buffer[: end + 4]
            length = LENGTH.search(self.head)
            self.missing = int(length[1]) if length else 0
        if len(self.buffer) >= self.missing:
            body = bytes(self.buffer[: self.missing])
            del self.buffer[: self.missing]
            target = " ".join(self.head.split(b"\r\n", 1)[0].decode().split(" ")[:2])
            self.head = None
            self.task = asyncio.get_running_loop().create_task(self._answer(target, body))

    async def _answer(self, target: str, body: bytes) -> None:
        answer = await self.handle(target, body)
        if self.transport.is_closing():
            return
        self.transport.write(answer.bytes())
        if answer.sent:
            answer.sent()
        if answer.cut == "close":
            self.transport.close()
        elif answer.cut == "stall":
            await asyncio.Event().wait()  # until the client gives up
        self.task = None
        if not answer.cut:
            self._read()
