"""A client's connection without a socket: bytes in, bytes out, through the gateway's own HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from stratolite.gateway.http1 import Connection
from stratolite.gateway.listener import Server
from stratolite.gateway.ways import Errand, Ways
from stratolite.http import HttpRequest


class Wire:
    """A transport whose client is ``peer``; ``sent`` gathers what the server wrote."""

    def __init__(self, platform: Any, peer: str = "127.0.0.1") -> None:
        self._platform, self._peer = platform, peer
        self.sent = b""
        self._changed = asyncio.Event()
        self.connection: Connection
        platform.run(self._open())

    async def _open(self) -> None:
        app = self._platform.app
        self.connection = Connection(Server(app, "http", 75.0, 60.0, 100))
        self.connection.connection_made(self)  # type: ignore[arg-type]

    def get_extra_info(self, name: str) -> Any:
        return (self._peer, 4567) if name == "peername" else None

    def set_write_buffer_limits(self, _size: int) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 1  # so that files are written to it, as it has no descriptor

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...
    def abort(self) -> None: ...

    def write(self, data: Any) -> None:
        self.sent += data
        self._changed.set()

    def push(self, data: bytes) -> None:
        """What the client sends, whether or not an answer comes."""

        async def receive() -> None:
            self.connection.data_received(data)

        self._platform.run(receive())

    def leave(self) -> None:
        async def lose() -> None:
            self.connection.connection_lost(None)

        self._platform.run(lose())

    def ask(self, request: HttpRequest) -> tuple[int, list[tuple[str, str]], bytes]:
        """(status, headers, body) of the answer to a whole request."""
        self.push(rendered(request))
        return self.answer()

    def answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        return self._platform.run(self._answer())

    async def _answer(self) -> tuple[int, list[tuple[str, str]], bytes]:
        while True:
            head, empty, rest = self.sent.partition(b"\r\n\r\n")
            if empty and not head.startswith(b"HTTP/1.1 100"):
                lines = head.decode("latin-1").split("\r\n")
                pairs = [line.partition(": ")[::2] for line in lines[1:]]
                length = next((int(v) for k, v in pairs if k.lower() == "content-length"), 0)
                if len(rest) >= length:
                    self.sent = rest[length:]
                    return int(lines[0].split(" ")[1]), pairs, rest[:length]
            elif empty:
                self.sent = rest
                continue
            self._changed.clear()
            await self._changed.wait()


def rendered(request: HttpRequest) -> bytes:
    query = f"?{request.query}" if request.query else ""
    body = request.body
    assert isinstance(body, bytes)
    headers = dict(request.headers)
    if body or request.method in ("PUT", "POST"):
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"{request.method} {request.path}{query} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1") + body


def ask(platform: Any, request: HttpRequest) -> tuple[int, list[tuple[str, str]], bytes]:
    """``request`` on a connection of its own from its ``peer``."""
    return Wire(platform, request.peer).ask(request)


def noted(monkeypatch: Any) -> list[bool]:
    """Whether each request from now on takes the short way."""
    found: list[bool] = []
    find, run = Ways.find, Errand.run

    def finding(self: Any, *given: Any) -> Any:
        found.append(False)
        return find(self, *given)

    def running(self: Any, *given: Any) -> bool:
        found[-1] = run(self, *given)
        return found[-1]

    monkeypatch.setattr(Ways, "find", finding)
    monkeypatch.setattr(Errand, "run", running)
    return found
