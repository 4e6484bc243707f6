"""A load of ready-made requests: signed by botocore beforehand, replayed over kept connections.

The generator costs a few microseconds a request, so what it shares of the machine is nearly the same for every server;
the figure that counts is the server's own CPU time.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import uvloop
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def signed(
    server: Any,
    service: str,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str] | None = None,
) -> bytes:
    """One HTTP/1.1 request as bytes, as an SDK would send it."""
    request = AWSRequest(method, server.endpoint + path, data=body, headers=dict(headers or {}))
    request.headers["Host"] = f"127.0.0.1:{server.port}"
    request.headers["Content-Length"] = str(len(body))
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(Credentials(*server.keys), service, "us-east-1").add_auth(request)
    head = "".join(f"{k}: {v}\r\n" for k, v in request.headers.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Result(NamedTuple):
    count: int
    seconds: float
    cpu_us: float
    """Server CPU a request, microseconds."""
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


class _Connection(asyncio.BufferedProtocol):
    """Sends, counts what comes back, sends the next. Bodies are received into one buffer and never looked at."""

    _buffer = memoryview(bytearray(1 << 20))  # shared: what was received is dealt with at once

    def __init__(
        self,
        port: int,
        requests: list[bytes],
        at: int,
        step: int,
        end_s: float,
        done: asyncio.Future[None],
    ) -> None:
        self.requests, self.at, self.step, self.end_s, self.done = requests, at, step, end_s, done
        self.left = self.count = 0
        self.head = b""
        self.times: list[float] = []
        self.port = port
        self.hangs_up = False
        """Some servers close after every answer: then a connection a request is what they cost."""
        self.dialling: asyncio.Task[Any] | None = None

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        self.sent_s = time.perf_counter()
        self.transport.write(self.requests[self.at % len(self.requests)])
        self.at += self.step

    def get_buffer(self, _hint):
        return self._buffer

    def buffer_updated(self, count):
        if self.left:
            self.left -= count
        elif not self.begin(bytes(self._buffer[: min(count, 64 << 10)]), count):
            return
        if self.left <= 0:
            now = time.perf_counter()
            self.times.append(now - self.sent_s)
            self.count += 1
            self.left, self.head = 0, b""
            if now >= self.end_s:
                self.transport.close()
            elif self.hangs_up:
                self.transport.close()
                loop = asyncio.get_running_loop()
                self.dialling = loop.create_task(
                    loop.create_connection(lambda: self, "127.0.0.1", self.port)
                )
            else:
                self.send()

    def begin(self, data, count):
        """Whether the head is here; what is still to come goes into ``left``."""
        have = len(self.head) + count
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.head.startswith(b"HTTP/1.1 2"):
            self.fail(f"refused: {self.head[:600]!r}")
            return False
        lower = self.head[:end].lower() + b"\r\n"
        self.hangs_up = b"\nconnection: close" in lower
        at = lower.find(b"content-length:")
        if at >= 0:
            self.left = end + 4 + int(lower[at + 15 : lower.find(b"\r", at)]) - have
        elif b"transfer-encoding: chunked" in lower and not self.head.endswith(b"0\r\n\r\n"):
            return False
        return True

    def fail(self, why):
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
        self.transport.close()

    def connection_lost(self, error):
        dialling, self.dialling = self.dialling, None
        if dialling is None and not self.done.done():
            self.done.set_result(None)


def replay(server: Any, requests: list[bytes], connections: int = 8) -> None:
    """Every request once, for filling. Raises RuntimeError at the first answer that is not 2xx."""

    async def lane(mine: list[bytes]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for request in mine:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 2"):
                raise RuntimeError(f"refused: {head!r}")
            length = head.lower().split(b"content-length:")[1].split(b"\r")[0]
            await reader.readexactly(int(length))
        writer.close()

    async def main() -> None:
        await asyncio.gather(*(lane(requests[n::connections]) for n in range(connections)))

    uvloop.run(main())


def run(server: Any, requests: list[bytes], connections: int, seconds: float) -> Result:
    """Raises RuntimeError at the first answer that is not 2xx."""

    async def main():
        loop = asyncio.get_running_loop()
        end_s = time.perf_counter() + seconds
        made = []
        for lane in range(connections):
            done = loop.create_future()
            _, protocol = await loop.create_connection(
                lambda lane=lane, done=done: _Connection(
                    server.port, requests, lane, connections, end_s, done
                ),
                "127.0.0.1",
                server.port,
            )
            made.append(protocol)
        await asyncio.gather(*(p.done for p in made))
        return made

    before_s, began = server.cpu_s(), time.perf_counter()
    made = uvloop.run(main())
    wall_s, cpu_s = time.perf_counter() - began, server.cpu_s() - before_s
    times = sorted(t for p in made for t in p.times)
    count = len(times)
    return Result(
        count, wall_s, cpu_s / count * 1e6, times[count // 2] * 1e3, times[int(count * 0.99)] * 1e3
    )
