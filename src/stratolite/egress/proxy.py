"""The HTTP proxy in a sandbox: CONNECT for anything encrypted, absolute URLs for plain HTTP, rules for both.

One connection carries one request or one tunnel. What the function asks for is resolved, judged and connected to out
here (``room.Egress.connect``); the sandbox itself cannot even ask for a name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

import h11

from stratolite.egress.failed import Failed, Refused
from stratolite.egress.room import Egress
from stratolite.limits import (
    EGRESS_CONNECT_S_MAX,
    EGRESS_HEAD_BYTES_MAX,
    EGRESS_PROXIED_ALL_MAX,
    EGRESS_PROXIED_IDLE_S,
    EGRESS_PROXIED_MAX,
)

_READ_BYTES = 64 << 10
_PAUSE_S = 1.0
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer upgrade".split()
)
_STATUS = {"refused": 403, "name": 502, "connect": 502, "timeout": 504, "tls": 502}

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """``serve`` takes over a sandbox's listening socket until what it returns is called."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._count = 0

    def serve(self, listener: socket.socket, who: str) -> Callable[[], None]:
        """For the function ``who``."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        under_way: set[asyncio.Task[None]] = set()

        def take() -> None:
            try:
                made, _ = listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:  # no descriptor is free: whoever waits is looked at again later
                loop.remove_reader(listener.fileno())
                loop.call_later(_PAUSE_S, look)
                return
            if len(under_way) >= EGRESS_PROXIED_MAX or self._count >= EGRESS_PROXIED_ALL_MAX:
                made.close()
                return
            self._count += 1
            task = loop.create_task(self._connection(made, who))
            under_way.add(task)
            task.add_done_callback(ended)

        def ended(task: asyncio.Task[None]) -> None:
            self._count -= 1
            under_way.discard(task)

        def look() -> None:
            if listener.fileno() >= 0:
                loop.add_reader(listener.fileno(), take)

        look()

        def cut() -> None:
            loop.remove_reader(listener.fileno())
            listener.close()
            for task in under_way:
                task.cancel()

        return cut

    async def _connection(self, sock: socket.socket, who: str) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=sock)
        except OSError:
            sock.close()
            return
        try:
            with suppress(OSError, TimeoutError):
                await self._carry(reader, writer, who)
        finally:
            writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: str
    ) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=EGRESS_HEAD_BYTES_MAX)
        try:
            async with asyncio.timeout(EGRESS_CONNECT_S_MAX):
                while (event := http.next_event()) is h11.NEED_DATA:
                    http.receive_data(await reader.read(_READ_BYTES))
            if not isinstance(event, h11.Request):
                return
            host, port, target = _asked(event)
            far = await self._egress.connect(who, host, port)
        except h11.RemoteProtocolError as error:
            await _say(writer, 400, str(error))
            return
        except Failed as failed:
            await _say(writer, _STATUS.get(failed.why, 502), str(failed))
            return
        try:
            there = await asyncio.open_connection(sock=far)
        except BaseException:
            far.close()
            raise
        try:
            if event.method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                there[1].write(http.trailing_data[0])
                sending = _copy(reader, there[1])
            else:
                there[1].write(_head(event, target))
                sending = _send_body(http, event, reader, there[1])
            await _both(sending, _copy(there[0], writer))
        finally:
            there[1].transport.abort()


async def _both(
    sending: Coroutine[None, None, None], answering: Coroutine[None, None, None]
) -> None:
    """Until the far end has said all; what is sent meanwhile may end before."""
    task = asyncio.ensure_future(sending)
    try:
        await answering
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError, TimeoutError, h11.ProtocolError):
            await task


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(EGRESS_PROXIED_IDLE_S):
            data = await reader.read(_READ_BYTES)
            writer.write(data)
            await writer.drain()
        if not data:
            with suppress(OSError):
                writer.write_eof()
            return


def _asked(request: h11.Request) -> tuple[str, int, bytes]:
    """Host, port and the target to send on. Raises Refused."""
    given = request.target.decode("ascii")
    try:
        if request.method == b"CONNECT":
            parts = urlsplit(f"//{given}")
            if not parts.hostname or not parts.port:
                raise ValueError("CONNECT wants HOST:PORT")
            return parts.hostname, parts.port, b""
        parts = urlsplit(given)
        if parts.scheme.lower() != "http" or not parts.hostname:
            raise ValueError("a proxy wants http:// and a host, or CONNECT")
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        return parts.hostname, 80 if parts.port is None else parts.port, target.encode()
    except ValueError as error:
        raise Refused(str(error)) from error


def _head(request: h11.Request, target: bytes) -> bytes:
    """The request as the server gets it: its own Host, and this connection is its last."""
    host = urlsplit(request.target.decode("ascii")).netloc.rpartition("@")[2]
    lines = [b"%b %b HTTP/1.1" % (request.method, target), b"Host: " + host.encode()]
    lines += [
        b"%b: %b" % (name, value)
        for name, value in request.headers
        if name not in _HOP_BY_HOP and name not in (b"host", b"transfer-encoding")
    ]
    if any(name == b"transfer-encoding" for name, _ in request.headers):
        lines.append(b"Transfer-Encoding: chunked")
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def _send_body(
    http: h11.Connection,
    request: h11.Request,
    reader: asyncio.StreamReader,
    to: asyncio.StreamWriter,
) -> None:
    """As h11 read it, so that both ends agree where it ends."""
    chunked = any(name == b"transfer-encoding" for name, _ in request.headers)
    while not isinstance(event := http.next_event(), h11.EndOfMessage):
        if event is h11.NEED_DATA:
            async with asyncio.timeout(EGRESS_PROXIED_IDLE_S):
                http.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Data):
            data = bytes(event.data)
            to.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            await to.drain()
        else:
            return
    if chunked:
        to.write(b"0\r\n\r\n")


async def _say(writer: asyncio.StreamWriter, status: int, why: str) -> None:
    body = f"stratolite: {why}\n".encode()
    reason = HTTPStatus(status).phrase
    writer.write(
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    writer.write_eof()
