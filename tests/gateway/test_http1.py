# ruff: noqa: ASYNC110 - what a peer has seen by now has no event to wait for
"""The HTTP/1.1 server over real sockets: order, framing, back-pressure, limits, and an end with grace."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from stratolite.clock import World
from stratolite.gateway import outgoing
from stratolite.gateway.listener import Server, serve
from stratolite.gateway.outgoing import Download
from stratolite.http import FileSlice, HttpRequest, HttpResponse
from stratolite.limits import DESCRIPTORS_KEPT

H = b"Host: localhost\r\n"


class Fake:
    """An application that echoes, counts, waits and streams."""

    world = World()

    def __init__(self) -> None:
        self.seen: list[HttpRequest] = []
        self.waiting: list[Callable[[], None]] = []
        self.arrived = asyncio.Event()
        self.file: FileSlice | None = None

    def handle(self, request: HttpRequest, respond: Any) -> None:
        self.seen.append(request)
        path = request.path
        if path == "/later":
            self.waiting.append(lambda: respond(HttpResponse(200, [], b"later")))
            self.arrived.set()
        elif path == "/count":
            self.counting = asyncio.ensure_future(self._count(request, respond))
        elif path == "/refuse":
            respond(HttpResponse(403, [], b"no"))
        elif path == "/file":
            respond(HttpResponse(200, [], self.file))
        elif path == "/made":
            respond(HttpResponse(200, [], self._made(int(request.query))))
        elif path == "/breaks":
            respond(HttpResponse(200, [], self._breaks()))
        elif path == "/empty":
            respond(HttpResponse(204, [("Content-Length", "7")], b"ignored"))
        elif path == "/head":
            respond(HttpResponse(200, [("Content-Length", "12345")], b""))
        elif path == "/split":
            respond(HttpResponse(200, [("X-Evil", "a\r\nSet-Cookie: b")], b""))
        else:
            body = request.body
            respond(HttpResponse(200, [], b"%s %s" % (path.encode(), body)))

    async def _count(self, request: HttpRequest, respond: Any) -> None:
        size, digest = 0, hashlib.md5()
        try:
            if isinstance(request.body, bytes):
                size = len(request.body)
            else:
                async for piece in request.body:
                    size += len(piece)
                    digest.update(piece)
        except Exception as error:
            respond(HttpResponse(400, [], repr(error).encode()))
            return
        respond(HttpResponse(200, [], b"%d" % size))

    async def _made(self, count: int) -> Any:
        for _ in range(count):
            yield b"z" * 65536

    async def _breaks(self) -> Any:
        yield b"some"
        raise RuntimeError("half way")


def run(body: Callable[[Fake, Server], Any], **options: Any) -> Any:
    async def main() -> Any:
        app = Fake()
        server = await serve(app, "127.0.0.1", 0, **options)
        try:
            return await asyncio.wait_for(body(app, server), 60)
        finally:
            await server.close(graceful=False)

    return uvloop.run(main())


async def ask(server: Server, raw: bytes, *, eof: bool = True) -> bytes:
    """Everything the server says to ``raw`` until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(raw)
    if eof:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()


def answers(raw: bytes, *options: Any) -> list[tuple[int, bytes]]:
    """(status, body) of each answer; fails unless every byte belongs to a well-formed one."""
    out = []
    while raw:
        head, sep, raw = raw.partition(b"\r\n\r\n")
        assert sep, head
        lines = head.split(b"\r\n")
        assert lines[0].startswith(b"HTTP/1.1 "), lines[0]
        status = int(lines[0].split(b" ")[1])
        fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
        if status in (100, 204):
            assert b"content-length" not in fields
            out.append((status, b""))
        elif b"transfer-encoding" in fields:
            body = b""
            while True:
                size, _, raw = raw.partition(b"\r\n")
                piece, raw = raw[: int(size, 16)], raw[int(size, 16) + 2 :]
                if not piece:
                    break
                body += piece
            out.append((status, body))
        else:
            size = int(fields[b"content-length"])
            assert len(raw) >= size
            out.append((status, raw[:size]))
            raw = raw[size:]
    return out


def test_pipelined_requests_are_answered_in_order() -> None:
    """Even when the first takes longest: nothing overtakes on one connection."""

    async def body(app: Fake, server: Server) -> None:
        raw = (
            b"GET /later HTTP/1.1\r\n" + H + b"\r\n"
            b"POST /b HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\nabc"
            b"POST /c HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"
            b"GET /made?2 HTTP/1.1\r\n" + H + b"\r\n"
            b"GET /d HTTP/1.1\r\n" + H + b"\r\n"
        )
        asked = asyncio.ensure_future(ask(server, raw, eof=False))
        await app.arrived.wait()
        await asyncio.sleep(0.05)
        assert len(app.seen) == 1
        app.waiting.pop()()
        while len(app.seen) < 5:
            await asyncio.sleep(0.01)
        await server.close()
        assert answers(await asked) == [
            (200, b"later"),
            (200, b"/b b'abc'".replace(b"b'abc'", b"abc")),
            (200, b"/c xyz"),
            (200, b"z" * 131072),
            (200, b"/d "),
        ]

    run(body)


def test_a_connection_that_waits_reads_no_further() -> None:
    """A client cannot fill our memory with requests it does not take the answers of."""

    async def body(app: Fake, server: Server) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.transport.set_write_buffer_limits(1 << 16)
        writer.write(b"GET /later HTTP/1.1\r\n" + H + b"\r\n")
        await app.arrived.wait()
        one, sent = b"GET /x HTTP/1.1\r\n" + H + b"\r\n", 0
        try:
            while sent < 100 << 20:
                writer.write(one * 2000)
                sent += len(one) * 2000
                await asyncio.wait_for(writer.drain(), 0.5)
        except TimeoutError:
            pass
        assert sent < 30 << 20  # kernel buffers, and one read of ours
        connection = next(iter(server._connections))
        assert len(connection._buffer) < 1 << 20
        writer.transport.abort()

    run(body)


def test_reading_goes_on_after_it_was_held_back() -> None:
    """Held back behind a slow request: then a stream, a whole body, and a head cut in two must still arrive."""

    async def body(app: Fake, server: Server) -> None:
        small = b"GET /x HTTP/1.1\r\n" + H + b"X-Pad: " + b"p" * 900 + b"\r\n\r\n"
        raw = b"GET /later HTTP/1.1\r\n" + H + b"\r\n"
        raw += b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 400000\r\n\r\n" + b"b" * 400_000
        raw += small * 400
        raw += b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 60000\r\n\r\n" + b"b" * 60_000
        raw += b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 900000\r\n\r\n" + b"b" * 900_000
        raw += b"GET /x HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"
        asked = asyncio.ensure_future(ask(server, raw, eof=False))
        await app.arrived.wait()
        await asyncio.sleep(0.1)  # for the kernel to hand over as much as it will
        app.waiting.pop()()
        got = answers(await asked)
        assert len(got) == 405
        assert [b for _, b in got if b.isdigit()] == [b"400000", b"60000", b"900000"]

    run(body)


@pytest.mark.parametrize("seed", range(12))
def test_any_mix_of_requests_is_answered_each_in_its_turn(seed) -> None:
    """Sizes around every threshold, both framings, slow and immediate answers, cut anywhere."""
    rand = random.Random(seed)

    async def answer_later(app: Fake) -> None:
        while True:
            await asyncio.sleep(0.001)
            if app.waiting:
                app.waiting.pop()()

    async def body(app: Fake, server: Server) -> None:
        raw, expected = b"", []
        for _ in range(60):
            kind = rand.choice(["get", "later", "made", "count", "count", "chunked", "refuse"])
            if kind in ("count", "chunked"):
                size = rand.choice([0, 1, 5000, 65_535, 65_536, 65_537, 200_000, 700_000])
                head = b"PUT /count HTTP/1.1\r\n" + H
                if kind == "count":
                    raw += head + b"Content-Length: %d\r\n\r\n" % size + b"c" * size
                else:
                    step = rand.choice([1000, 70_000])
                    sizes = [min(step, size - at) for at in range(0, size, step)]
                    pieces = b"".join(b"%x\r\n%b\r\n" % (n, b"c" * n) for n in sizes)
                    raw += head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
                expected.append((200, b"%d" % size))
            elif kind == "refuse":  # its body is not read by whom it is for
                size = rand.choice([10, 100_000])
                raw += (
                    b"PUT /refuse HTTP/1.1\r\n"
                    + H
                    + b"Content-Length: %d\r\n\r\n" % size
                    + b"r" * size
                )
                expected.append((403, b"no"))
            else:
                path = {"get": b"/x", "later": b"/later", "made": b"/made?5"}[kind]
                raw += b"GET " + path + b" HTTP/1.1\r\n" + H + b"\r\n"
                content = {"get": b"/x ", "later": b"later", "made": b"z" * 327_680}[kind]
                expected.append((200, content))
        raw += b"GET /x HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"
        expected.append((200, b"/x "))
        helper = asyncio.ensure_future(answer_later(app))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        got = asyncio.ensure_future(reader.read())
        while raw:
            cut = rand.choice([1, 100, 10_000, 300_000])
            writer.write(raw[:cut])
            raw = raw[cut:]
            await writer.drain()
        assert answers(await got) == expected
        helper.cancel()
        writer.close()

    run(body)


def test_one_connection_does_not_keep_the_loop() -> None:
    """A thousand requests in one read are answered all, but others come in between."""

    async def body(app: Fake, server: Server) -> None:
        count = 30_000
        raw = (b"GET /x HTTP/1.1\r\n" + H + b"\r\n") * count
        last = b"GET /y HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"
        many = asyncio.ensure_future(ask(server, raw + last, eof=False))
        while not app.seen:
            await asyncio.sleep(0)
        assert len(app.seen) < 500
        assert len(answers(await many)) == count + 1

    run(body)


def test_an_expectation_that_is_not_ours_to_meet_is_passed_over() -> None:
    """As S3 does; RFC 9110 10.1.1 lets a server refuse it or not."""

    async def body(app: Fake, server: Server) -> None:
        raw = b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\nx"
        assert answers(await ask(server, raw)) == [(200, b"1")]

    run(body)


@pytest.mark.parametrize("size", [1, 65_536, 100_000])
def test_a_body_is_asked_for_before_it_is_sent(size: int) -> None:
    """And only by who wants it: a client that may not send it has its refusal first."""

    async def body(app: Fake, server: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"PUT /count HTTP/1.1\r\n"
            + H
            + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % size
        )
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"x" * size)
        writer.write_eof()
        assert answers(await reader.read()) == [(200, b"%d" % size)]
        writer.close()
        refused = await ask(
            server,
            b"PUT /refuse HTTP/1.1\r\n"
            + H
            + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % size,
            eof=False,
        )
        assert answers(refused) == [(403, b"no")]
        assert b"Connection: close" in refused
        chunked = b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        refused = await ask(server, b"PUT /refuse HTTP/1.1\r\n" + H + chunked, eof=False)
        assert answers(refused) == [(403, b"no")]

    run(body)


def test_who_waits_though_there_is_no_body_hears_so_once() -> None:
    """botocore says Expect with empty objects too, and takes its next answer for a part of this one if it hears nothing."""

    async def body(app: Fake, server: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        empty = (
            b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n"
        )
        for _ in range(3):  # the later ones are of a kind seen before
            writer.write(empty)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(1) == b"0"
        writer.close()

    run(body)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_arrive_whole_in_any_pieces(size, chunked) -> None:
    """Up to 64 KiB as bytes, above as a stream, and the next request is found behind it."""

    async def body(app: Fake, server: Server) -> None:
        content = os.urandom(size)
        if chunked:
            framed = b"Transfer-Encoding: chunked\r\n\r\n"
            for at in range(0, size, 10_000):
                piece = content[at : at + 10_000]
                framed += b"%X;ext=1\r\n%b\r\n" % (len(piece), piece)
            framed += b"0\r\nTrailer: x\r\n\r\n"
        else:
            framed = b"Content-Length: %d\r\n\r\n" % size + content
        raw = b"PUT /count HTTP/1.1\r\n" + H + framed + b"GET /next HTTP/1.1\r\n" + H + b"\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        rand = random.Random(size)
        while raw:
            cut = rand.randint(1, 40_000)
            writer.write(raw[:cut])
            raw = raw[cut:]
            await asyncio.sleep(0)
        expected = [(200, b"%d" % size), (200, b"/next ")]
        got = b""
        while got.count(b"HTTP/1.1 200") < 2 or not got.endswith(b"/next "):
            got += await reader.read(10_000)
        assert answers(got) == expected
        assert isinstance(app.seen[0].body, bytes) is (size <= 65536)
        writer.close()

    run(body)


SMUGGLING = [
    b"POST / HTTP/1.1\r\n"
    + H
    + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 3, 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length: \xb3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length : 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n"
    + H
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 16 + b"\r\nabc",
    b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n folded: c\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b" A: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A\x00: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: b\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: b\rc\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: b\nC: d\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b": b\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET http://evil/ HTTP/1.1\r\n" + H + b"\r\n",
    b"CONNECT evil:80 HTTP/1.1\r\n" + H + b"\r\n",
    b"GET * HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /#x HTTP/1.1\r\n" + H + b"\r\n",
    b"GET /\xc3\xa4 HTTP/1.1\r\n" + H + b"\r\n",
    b"GET  / HTTP/1.1\r\n" + H + b"\r\n",
    b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    b"GET /\r\n\r\n",
    b"get / HTTP/1.1\r\n" + H + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"A: " + b"x" * 20_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n",
    b"GET / HTTP/1.1\r\n" + H + b"Authorization: a\r\nAuthorization: b\r\n\r\n",
]


@pytest.mark.parametrize("raw", SMUGGLING, ids=range(len(SMUGGLING)))
def test_what_could_be_read_two_ways_is_refused_and_closed(raw) -> None:
    """A proxy before us might read it the other way; what follows must not become a request."""

    async def body(app: Fake, server: Server) -> None:
        got = answers(
            await ask(server, raw + b"GET /smuggled HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        )
        assert len(got) == 1
        assert 400 <= got[0][0] <= 505
        assert all(request.path != "/smuggled" for request in app.seen)

    run(body)


def test_no_body_where_there_must_be_none() -> None:
    async def body(app: Fake, server: Server) -> None:
        raw = (
            b"GET /empty HTTP/1.1\r\n"
            + H
            + b"\r\nGET /x HTTP/1.1\r\n"
            + H
            + b"Connection: close\r\n\r\n"
        )
        assert answers(await ask(server, raw)) == [(204, b""), (200, b"/x ")]
        head = await ask(server, b"HEAD /head HTTP/1.1\r\n" + H + b"\r\n")
        assert head.endswith(b"\r\n\r\n")
        assert b"Content-Length: 12345\r\n" in head
        head = await ask(server, b"HEAD /made?3 HTTP/1.1\r\n" + H + b"\r\n")
        assert head.endswith(b"\r\n\r\n")

    run(body)


def test_http_1_0_is_answered_and_closed() -> None:
    async def body(app: Fake, server: Server) -> None:
        assert answers(await ask(server, b"GET /x HTTP/1.0\r\n\r\n", eof=False)) == [(200, b"/x ")]
        made = await ask(server, b"GET /made?1 HTTP/1.0\r\n\r\n", eof=False)
        assert made.partition(b"\r\n\r\n")[2] == b"z" * 65536

    run(body)


def test_a_header_cannot_be_split_by_its_value() -> None:
    async def body(app: Fake, server: Server) -> None:
        raw = await ask(server, b"GET /split HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        assert answers(raw) == [(500, b"")]
        assert b"Set-Cookie" not in raw

    run(body)


def test_an_answer_that_breaks_half_way_is_seen_to_be_broken() -> None:
    """Cut off without its last chunk: the client must not take the half for the whole."""

    async def body(app: Fake, server: Server) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /breaks HTTP/1.1\r\n" + H + b"\r\n")
        got = b""
        with pytest.raises(ConnectionResetError):
            while piece := await reader.read(1000):
                got += piece
            raise ConnectionResetError
        assert not got.endswith(b"0\r\n\r\n")
        writer.close()

    run(body)


def test_slow_heads_and_idle_connections_are_ended() -> None:
    """Slowloris: a byte now and then keeps nothing open."""

    async def body(app: Fake, server: Server) -> None:
        async def dribble() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            got = asyncio.ensure_future(reader.read())
            for byte in b"GET /x HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1000:
                if got.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            writer.close()
            return await got

        assert answers(await dribble())[0][0] == 408
        idle = await ask(server, b"GET /x HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        assert answers(idle) == [(200, b"/x ")]
        assert await ask(server, b"", eof=False) == b""
        stuck = await ask(
            server, b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 100000\r\n\r\nxx", eof=False
        )
        assert answers(stuck)[0][0] == 400
        assert b"RequestTimeout" in stuck

    run(body, idle_s=0.4, request_s=0.4)


def test_a_body_cut_short_is_an_error_for_its_reader() -> None:
    async def body(app: Fake, server: Server) -> None:
        raw = await ask(
            server, b"PUT /count HTTP/1.1\r\n" + H + b"Content-Length: 100000\r\n\r\nxx"
        )
        assert raw == b""
        while server.connection_count:
            await asyncio.sleep(0.01)

    run(body)


def test_no_more_connections_than_the_cap() -> None:
    async def body(app: Fake, server: Server) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
        for _, writer in kept:
            writer.write(b"GET /later HTTP/1.1\r\n" + H + b"\r\n")
        while len(app.waiting) < 3:
            await asyncio.sleep(0.01)
        assert answers(await ask(server, b"", eof=False))[0][0] == 503
        for _, writer in kept:
            writer.close()

    run(body, connections_max=3)


def test_who_says_nothing_makes_room() -> None:
    """Else one client with many silent connections locks out everybody."""

    async def body(app: Fake, server: Server) -> None:
        silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(8)]
        raw = await ask(
            server, b"GET /x HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n", eof=False
        )
        assert answers(raw) == [(200, b"/x ")]
        assert server.connection_count <= 3
        for _, writer in silent:
            writer.close()

    run(body, connections_max=3)


def test_connections_leave_descriptors_for_the_rest(monkeypatch) -> None:
    """A log that cannot open its next file takes no more writes, whoever holds the descriptors."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = limits[1] if limits[1] != resource.RLIM_INFINITY else 1 << 20
    for most, wanted in ((320, 320), (hard, min(hard, 3 * 4096 + DESCRIPTORS_KEPT))):
        code = (
            f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, {most}));"
            "from stratolite.gateway import listener; print(listener._descriptors())"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert int(said.stdout) == wanted
    assert limits == resource.getrlimit(resource.RLIMIT_NOFILE)

    async def body(app: Fake, server: Server) -> None:
        # every client may be in the middle of a file, up or down
        assert server._connections_max == (1000 - DESCRIPTORS_KEPT) // 3

    monkeypatch.setattr("stratolite.gateway.listener._descriptors", lambda: 1000)
    run(body)


def test_a_graceful_stop_finishes_what_is_in_flight() -> None:
    async def body(app: Fake, server: Server) -> None:
        idle = asyncio.ensure_future(ask(server, b"", eof=False))
        asked = asyncio.ensure_future(
            ask(server, b"GET /later HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        )
        await app.arrived.wait()
        closing = asyncio.ensure_future(server.close())
        assert await idle == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port)
        app.waiting.pop()()
        raw = await asked
        assert answers(raw) == [(200, b"later")]
        assert b"Connection: close" in raw
        await closing

    run(body)


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_two_hundred_megabytes_go_up_and_down_in_flat_memory(tmp_path) -> None:
    """A body is never held: what comes faster than it is read, or goes faster than it is taken, waits."""
    path = tmp_path / "big"
    size = 200 << 20
    with open(path, "wb") as file:
        file.truncate(size)

    async def up(server: Server, head: bytes, chunked: bool) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head)
        piece = b"x" * (1 << 20)
        framed = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        for _ in range(200):
            writer.write(framed)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
        writer.write_eof()
        got = await reader.read()
        writer.close()
        return got

    async def down(server: Server, path: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(b"GET " + path + b" HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        got = 0
        while piece := await reader.read(1 << 20):
            got += len(piece)
        writer.close()
        return got

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(path), 0, size)
        before = _peak_kib()
        head = b"PUT /count HTTP/1.1\r\n" + H
        counted = b"Content-Length: %d\r\n\r\n" % size
        assert answers(await up(server, head + counted, False)) == [(200, b"%d" % size)]
        assert answers(await up(server, head + b"Transfer-Encoding: chunked\r\n\r\n", True)) == [
            (200, b"%d" % size)
        ]
        held = _peak_kib() - before
        assert held < 40 << 10, f"{held} KiB more"
        assert await down(server, b"/made?3200") > size
        held = _peak_kib() - before
        assert held < 60 << 10, f"{held} KiB more"
        assert (
            await down(server, b"/file") == size
        )  # its mapped pages count as ours, so no bound here

    run(body)


def test_a_file_waits_for_a_client_that_does_not_read(tmp_path) -> None:
    """Else a few slow clients would queue whole files."""
    path = tmp_path / "big"
    with open(path, "wb") as file:
        file.truncate(200 << 20)

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(path), 0, 200 << 20)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(b"GET /file HTTP/1.1\r\n" + H + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.2)
        connection = next(iter(server._connections))
        assert 0 < connection._transport.get_write_buffer_size() < 4 << 20
        writer.transport.abort()

    run(body)


@pytest.mark.parametrize("way", ["file", "made?400"])
def test_who_takes_an_answer_slowly_gets_all_of_it_and_who_takes_nothing_is_cut_off(
    tmp_path, way
) -> None:
    """A slow line needs longer for what waits here than an idle connection may take; S3 lets it."""
    size = 400 << 16
    with open(tmp_path / "f", "wb") as file:
        file.truncate(size)

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(tmp_path / "f"), 0, size)

        async def opened() -> socket.socket:
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
            peer.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(peer, ("127.0.0.1", server.port))
            await loop.sock_sendall(peer, b"GET /%b HTTP/1.0\r\n\r\n" % way.encode())
            return peer

        slow, stuck = await opened(), await opened()
        begun, got = asyncio.get_running_loop().time(), 0
        first = b""
        while piece := await asyncio.get_running_loop().sock_recv(slow, 64 << 10):
            first, got = first or piece, got + len(piece)
            if asyncio.get_running_loop().time() - begun < 3:
                await asyncio.sleep(0.1)
        assert got - first.index(b"\r\n\r\n") - 4 == size
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := await asyncio.get_running_loop().sock_recv(stuck, 1 << 20):
                got += len(piece)
        assert got < size
        slow.close()
        stuck.close()

    run(body, idle_s=0.8)


def test_a_file_goes_straight_to_the_socket(tmp_path, monkeypatch) -> None:
    """Its head leaves with it; only what the socket had no room for passes through the transport."""
    (tmp_path / "f").write_bytes(os.urandom(8 << 20))
    real, sizes = os.write, []

    def written(fd: int, data: Any) -> int:
        sizes.append(real(fd, data))
        return sizes[-1]

    monkeypatch.setattr(outgoing.os, "write", written)

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(tmp_path / "f"), 5, (8 << 20) - 5)
        raw = await ask(server, b"GET /file HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
        assert answers(raw) == [(200, (tmp_path / "f").read_bytes()[5:])]

    run(body)
    assert sum(sizes) >= 64 << 10


@pytest.mark.parametrize("bare", [False, True], ids=["half in memory", "nothing in memory"])
def test_a_file_on_the_disk_alone_is_read_in_a_thread(tmp_path, monkeypatch, bare) -> None:
    content = os.urandom(5 << 20)
    (tmp_path / "f").write_bytes(content)
    threads, turns = set(), iter(range(1 << 30))
    real = Download.read
    monkeypatch.setattr(outgoing, "_in_memory", lambda *_: not bare and next(turns) % 4 < 2)

    def seen(download: Download) -> bytes:
        threads.add(threading.current_thread())
        return real(download)

    monkeypatch.setattr(Download, "read", seen)

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(tmp_path / "f"), 3, (5 << 20) - 3)
        asked = b"GET /file HTTP/1.1\r\n" + H
        raw = await ask(server, asked + b"\r\n" + asked + b"Connection: close\r\n\r\n", eof=False)
        assert answers(raw) == [(200, content[3:])] * 2
        assert threads
        assert threading.current_thread() not in threads

    run(body)


def test_a_file_cut_under_a_download_cuts_the_connection(tmp_path, monkeypatch) -> None:
    (tmp_path / "f").write_bytes(bytes(5 << 20))
    monkeypatch.setattr(outgoing, "_in_memory", lambda *_: False)
    real = Download.read

    def cut(download: Download) -> bytes:
        os.truncate(tmp_path / "f", 3 << 20)
        return real(download)

    monkeypatch.setattr(Download, "read", cut)

    async def body(app: Fake, server: Server) -> None:
        app.file = FileSlice(str(tmp_path / "f"), 0, 5 << 20)
        raw = await ask(server, b"GET /file HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        head, _, got = raw.partition(b"\r\n\r\n")
        assert b"content-length: %d" % (5 << 20) in head.lower()
        assert len(got) <= 3 << 20

    run(body)


def test_a_part_of_a_file_is_sent_from_any_offset(tmp_path) -> None:
    """Maps start at page boundaries; slices do not."""
    content = os.urandom(3 << 20)
    (tmp_path / "f").write_bytes(content)

    async def body(app: Fake, server: Server) -> None:
        for offset, size in ((0, 3 << 20), (1, 200_000), (4097, 2_500_001), (3 << 20, 0), (5, 10)):
            app.file = FileSlice(str(tmp_path / "f"), offset, size)
            raw = await ask(server, b"GET /file HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")
            assert answers(raw) == [(200, content[offset : offset + size])]
        app.file = FileSlice(str(tmp_path / "f"), 10, 3 << 20)
        raw = await ask(server, b"GET /file HTTP/1.1\r\n" + H + b"\r\n", eof=False)
        assert answers(raw) == [(500, b"")]

    run(body)
