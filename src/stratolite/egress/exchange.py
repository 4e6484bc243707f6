"""One HTTP/1.1 request over a connection that is open, and its answer, as ``h11`` reads it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import suppress

import h11

from stratolite.egress.answer import Answer
from stratolite.egress.failed import Failed, Refused
from stratolite.egress.places import Headers, Place
from stratolite.limits import EGRESS_HEAD_BYTES_MAX

_OURS_TO_SAY = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})
_READ_BYTES = 64 << 10
_INTERIM_MAX = 8  # 1xx answers before the answer


def request(place: Place, method: str, headers: Headers, body: bytes) -> h11.Request:
    """What is sent. Raises Refused for what no HTTP can say."""
    given = [(n, v) for n, v in headers if n.lower() not in _OURS_TO_SAY]
    names = {n.lower() for n, _ in given}
    said = [("Host", place.host_header), ("Connection", "close"), *given]
    if "user-agent" not in names:
        said.append(("User-Agent", "Stratolite"))
    if place.login and "authorization" not in names:
        said.append(("Authorization", f"Basic {b64encode(place.login.encode()).decode()}"))
    if body or method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
        said.append(("Content-Length", str(len(body))))
    try:
        raw = [(n.encode("ascii"), v.encode("utf-8")) for n, v in said]
        return h11.Request(method=method.encode("ascii"), target=place.target, headers=raw)
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise Refused(f"not a request that can be sent: {error}") from error


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    place: Place,
    said: h11.Request,
    body: bytes,
    answer_bytes_max: int,
) -> Answer:
    """The answer to ``said``; the connection is gone afterwards. Raises Failed."""
    try:
        http = h11.Connection(h11.CLIENT, max_incomplete_event_size=EGRESS_HEAD_BYTES_MAX)
        out = http.send(said) or b""
        if body:
            out += http.send(h11.Data(data=body)) or b""
        out += http.send(h11.EndOfMessage()) or b""
        writer.write(out)
        # Who answers before it has read everything is heard all the same.
        sending = asyncio.ensure_future(writer.drain())
        try:
            return await _answer(http, reader, answer_bytes_max)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await sending
    except h11.ProtocolError as error:
        raise Failed("protocol", f"{place.host} does not speak HTTP: {error}") from error
    except OSError as error:
        raise Failed("connect", f"{place.host}:{place.port}: {error}") from error
    finally:
        writer.transport.abort()


async def _answer(
    http: h11.Connection, reader: asyncio.StreamReader, answer_bytes_max: int
) -> Answer:
    status, headers, interim = 0, [], 0
    body: list[bytes] = []
    size = 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > _INTERIM_MAX or event.status_code == 101:
                raise Failed("protocol", "an answer that does not begin")
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = [(n.decode("ascii"), v.decode("latin-1")) for n, v in event.headers]
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > answer_bytes_max:
                raise Failed("too-large", f"the answer is larger than {answer_bytes_max} bytes")
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, headers, b"".join(body))
        else:
            raise Failed("protocol", "the connection ended before the answer")
