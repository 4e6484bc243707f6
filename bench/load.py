"""A load of ready-made requests: what boto3 puts on the wire, recorded beforehand and replayed over kept connections.

The generator shares the machine with the server it measures, so it must cost little and the same for every server.
It is a loop over epoll, a few microseconds a request. What follows an answer's head is received with ``MSG_TRUNC``,
which drops bytes in the kernel without copying them: a generator that copies a MiB out of its socket costs as much as
the server that sends it, and then measures itself. The server's own CPU time is the figure that counts.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any, NamedTuple

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config


class _Recorded(Exception):
    pass


class Recorder:
    """Requests as boto3 sends them, as bytes: ``recorder.s3.put_object(...)`` -> what goes over the wire.

    Left out is ``Expect: 100-continue`` of PutObject: the replay sends head and body at once, as clients may.
    """

    def __init__(
        self, server: Any, service: str, keys: tuple[str, ...] | None = None, **config: Any
    ) -> None:
        key_id, secret, token = (*(keys or server.keys), None)[:3]
        self._client = boto3.client(
            service,
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **config
            ),
        )
        self._client.meta.events.register("before-send", self._record)
        self._port = server.port
        self.sent = b""

    def _record(self, request: Any, **_: Any) -> AWSResponse:
        body = request.body or b""
        if not isinstance(body, (bytes, bytearray)):
            body = body.read() if hasattr(body, "read") else body.encode()
        path = "/" + request.url.split("/", 3)[3]
        headers = {
            "Accept-Encoding": "identity",
            **{
                k: v if isinstance(v, str) else v.decode("latin-1")
                for k, v in request.headers.items()
            },
        }
        headers.pop("Expect", None)
        if not any(name.lower() == "host" for name in headers):
            headers["Host"] = f"127.0.0.1:{self._port}"
        lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        head = f"{request.method} {path} HTTP/1.1\r\n{lines}\r\n"
        self.sent = head.encode("latin-1") + bytes(body)
        raise _Recorded

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(**request: Any) -> bytes:
            with contextlib.suppress(_Recorded):
                method(**request)
            return self.sent

        return call


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


_BUFFER = bytearray(1 << 20)
_DROPPED = memoryview(_BUFFER)


class _Connection:
    """Sends, counts what comes back, sends the next."""

    def __init__(self, port: int, requests: list[bytes], at: int, step: int) -> None:
        self.port, self.requests, self.at, self.step = port, requests, at, step
        self.times: list[float] = []
        self.left, self.head = 0, b""
        self.hangs_up = False
        """Some servers close after every answer: then a connection a request is what they cost."""
        self.dial()

    def dial(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self) -> None:
        self.sent_s = time.perf_counter()
        self.socket.sendall(self.requests[self.at % len(self.requests)])
        self.at += self.step

    def receive(self) -> bool:
        """Whether the answer is complete. Raises RuntimeError for one that is not 2xx."""
        while self.left > 0:
            try:
                got = self.socket.recv_into(
                    _DROPPED, min(self.left, len(_BUFFER)), socket.MSG_TRUNC | socket.MSG_DONTWAIT
                )
            except BlockingIOError:
                return False
            if not got:
                raise RuntimeError("cut off")
            self.left -= got
            if not self.left:
                return self.finish()
        try:
            data = self.socket.recv(64 << 10, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        if not data:
            raise RuntimeError("closed before its answer")
        self.head += data
        end = self.head.find(b"\r\n\r\n")
        if end < 0:
            return False
        if not self.head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"refused: {self.head[:900]!r}")
        lower = self.head[:end].lower() + b"\r\n"
        self.hangs_up = b"\nconnection: close" in lower
        at = lower.find(b"content-length:")
        if at >= 0:
            length = int(lower[at + 15 : lower.find(b"\r", at)])
            self.left = end + 4 + length - len(self.head)
            return self.finish() if self.left <= 0 else False
        if b"transfer-encoding: chunked" in lower and not self.head.endswith(b"0\r\n\r\n"):
            return False
        return self.finish()

    def finish(self) -> bool:
        self.times.append(time.perf_counter() - self.sent_s)
        self.left, self.head = 0, b""
        return True


def replay(server: Any, requests: list[bytes], connections: int = 8) -> None:
    """Every request once, for filling. Raises RuntimeError at the first answer that is not 2xx."""
    _drive(server.port, requests, connections, len(requests), float("inf"))


def run(server: Any, requests: list[bytes], connections: int, seconds: float) -> Result:
    """Raises RuntimeError at the first answer that is not 2xx."""
    before_s, began = server.cpu_s(), time.perf_counter()
    times = sorted(_drive(server.port, requests, connections, 1 << 62, began + seconds))
    wall_s, cpu_s = time.perf_counter() - began, server.cpu_s() - before_s
    count = len(times)
    return Result(
        count, wall_s, cpu_s / count * 1e6, times[count // 2] * 1e3, times[int(count * 0.99)] * 1e3
    )


def _drive(
    port: int, requests: list[bytes], connections: int, count_max: int, end_s: float
) -> list[float]:
    connections = min(connections, count_max)
    # each lane has its own share: a quick one must not send what a slow one has still to send
    lanes = [_Connection(port, requests, n, connections) for n in range(connections)]
    poll = select.epoll()
    by_fd = {}
    try:
        for lane in lanes:
            by_fd[lane.socket.fileno()] = lane
            poll.register(lane.socket.fileno(), select.EPOLLIN)
            lane.send()
        busy = len(lanes)
        while busy:
            for fd, _ in poll.poll(60):
                lane = by_fd[fd]
                if not lane.receive():
                    continue
                if lane.at >= count_max or time.perf_counter() >= end_s:
                    busy -= 1
                    poll.unregister(fd)
                    continue
                if lane.hangs_up:
                    poll.unregister(fd)
                    del by_fd[fd]
                    lane.socket.close()
                    lane.dial()
                    by_fd[lane.socket.fileno()] = lane
                    poll.register(lane.socket.fileno(), select.EPOLLIN)
                lane.send()
    finally:
        poll.close()
        for lane in lanes:
            lane.socket.close()
    return [time_s for lane in lanes for time_s in lane.times]
