"""One client's HTTP/1.1 connection: requests in, answers out in their order, both held back when too fast.

    data_received -> head -> (body whole | Incoming) -> handle(request, respond) -> respond -> next request

While a request is being answered nothing further is parsed, and at most ``PIPELINED_BYTES_MAX`` (and one
read of the socket) is kept.

Why not httptools: on a boto3 head its bare callbacks take 2.7 us and ours 4.5 us with all checks; done as
strictly, the difference is under 1 us of some 35 a GetItem, and llhttp lets pass what we refuse.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import socket
import sys
import termios
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from stratolite.errors import Fault
from stratolite.gateway.head import Head, Malformed, read_head
from stratolite.gateway.incoming import Chunked, Counted, Incoming, cut_short, too_slow
from stratolite.gateway.outgoing import CONTINUE, Download, Outgoing, Ready, refusal
from stratolite.http import FileSlice, HttpRequest, HttpResponse
from stratolite.limits import (
    BODY_STREAM_ABOVE_BYTES,
    DRAIN_BYTES_MAX,
    HEAD_SIZE_BYTES_MAX,
    LINGER_S,
    PIPELINED_BYTES_MAX,
    WRITE_BUFFERED_BYTES_MAX,
)

Respond = Callable[[HttpResponse], None]


class Visitor(Protocol):
    """A request that is being answered, as ``handle`` gives it back."""

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        ...


class Known(Protocol):
    """A request of a kind seen before, whose head need not be read line by line."""

    length: int
    """Of its body, in bytes."""
    expects: bool

    def run(self, body: bytes, peer: str, respond: Respond) -> bool:
        """False: nothing happened, it is to be read and handled as any other."""
        ...

    def welcome(self, peer: str, tell: Callable[[bool], None]) -> None:
        """Whether its sender may send its body; ``tell`` may be called before this returns."""
        ...

    def request(self, body: bytes, peer: str) -> Head: ...

    def leave(self) -> None: ...


Handle = Callable[[HttpRequest, Respond], Visitor | None]
Find = Callable[[bytes, int, str], Known | None]
"""(what was received, where its head ends before the empty line, scheme)."""
_log = logging.getLogger("stratolite.gateway")
_NEVER = float("inf")
_REQUESTS_A_TURN_MAX = 32
_APART_ABOVE_BYTES = 16 << 10  # a body is sent behind its head instead of being copied behind it


class Owner(Protocol):
    """What a connection knows of the server it belongs to."""

    handle: Handle
    find: Find | None
    out: Outgoing
    scheme: str
    peer: str
    """Who all its clients are, if their addresses do not say."""
    idle_s: float
    request_s: float
    now_s: float
    """The mono clock, renewed by the sweep that enforces deadlines."""
    stopping: bool

    def joined(self, connection: Connection) -> bool: ...
    def left(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_buffer",
        "_busy",
        "_close",
        "_download",
        "_expects",
        "_fetching",
        "_gathering",
        "_have",
        "_head_only",
        "_held",
        "_incoming",
        "_lingering",
        "_looping",
        "_need",
        "_old",
        "_owner",
        "_parts",
        "_paused",
        "_peer",
        "_request",
        "_resumed",
        "_sender",
        "_transport",
        "_untaken",
        "_visitor",
        "deadline_s",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._buffer = b""
        self._request: HttpRequest | Known | None = None  # its body is still being gathered
        self._visitor: Visitor | None = None  # being answered
        self._gathering = False
        self._parts: list[bytes] = []
        self._have = self._need = 0
        self._incoming: Incoming | None = None
        self._busy = self._looping = self._close = self._paused = self._lingering = False
        self._expects = self._head_only = self._old = False
        self._held = 0  # reasons not to read: 1 the body's reader is slow, 2 requests come faster than answers
        self._download: Download | None = None
        self._fetching = False  # a thread waits for the disk
        self._sender: asyncio.Task[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._untaken = 0  # bytes that waited for the client when we last looked
        self.deadline_s = _NEVER

    @property
    def idle(self) -> bool:
        """Nothing of a request is here."""
        return not (self._busy or self._buffer or self._request or self._lingering)

    # -- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's
        self._transport = made = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._peer = self._owner.peer or (peer[0] if isinstance(peer, tuple) else "")
        made.set_write_buffer_limits(WRITE_BUFFERED_BYTES_MAX)
        self.deadline_s = self._owner.now_s + self._owner.request_s
        if not self._owner.joined(self):
            self._refuse(503, "too many connections")

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._owner.left(self)
        if self._incoming is not None and not self._incoming.complete:
            self._incoming.fail(cut_short())
        self._download = None
        self._wake_sender()
        if self._sender is not None:
            self._sender.cancel()
        if self._busy and self._visitor is not None:
            self._visitor.leave()
        self._visitor = None

    def eof_received(self) -> bool:
        """A client may shut down its half and still wait for the answer (TLS cannot)."""
        if self._owner.scheme == "https":
            return False
        if self._incoming is not None and not self._incoming.complete:
            return False
        if self._busy:
            self._close = True
            return True
        return False

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        try:
            if self._incoming is not None and not self._incoming.complete:
                self._feed(data)
            elif self._gathering:
                self._gather(data)
            else:
                if not self._buffer:
                    if not self._busy:
                        self.deadline_s = self._owner.now_s + self._owner.request_s
                    self._buffer = data
                else:
                    self._buffer += data
                if self._busy:
                    if len(self._buffer) > PIPELINED_BYTES_MAX:
                        self._hold(2)
                    return
            if not self._looping:
                self._advance()
        except Malformed as bad:
            self._refuse(bad.status, str(bad))

    def pause_writing(self) -> None:
        self._paused = True
        self._untaken = self._unsent()
        self.deadline_s = self._owner.now_s + self._owner.idle_s

    def resume_writing(self) -> None:
        self._paused = False
        self.deadline_s = _NEVER
        if self._download is not None:
            self._pump()
        self._wake_sender()
        if not self._busy:
            self._rest()
            self._advance_safely()

    def overdue(self) -> None:
        """The deadline has passed (called by the sweep)."""
        self.deadline_s = _NEVER
        if self._transport is None:
            return
        if self._paused and not self._lingering and self._taking():
            self.deadline_s = self._owner.now_s + self._owner.idle_s
        elif self._paused or self._lingering:
            self._transport.abort()  # the client does not take its answer
        elif self._incoming is not None and not self._incoming.complete and self._busy:
            if self._incoming.reading:  # else it is we who are slow
                self._incoming.fail(too_slow())
                self._close = True
            else:
                self.deadline_s = self._owner.now_s + self._owner.request_s
        elif self._busy:
            return
        elif self._buffer or self._request is not None:
            self._refuse(408, "the request took too long to arrive")
        else:
            self._transport.close()

    def _taking(self) -> bool:
        """Whether the client has taken anything of what waits since we last looked."""
        before, self._untaken = self._untaken, self._unsent()
        return self._untaken < before

    def _unsent(self) -> int:
        """Bytes that wait for the client, here and in the kernel."""
        transport = self._transport
        if transport is None:
            return 0
        queued = bytearray(4)
        with contextlib.suppress(OSError):  # a kernel that does not say
            fd = transport.get_extra_info("socket").fileno()
            fcntl.ioctl(fd, termios.TIOCOUTQ, queued)
        return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)

    def stop(self) -> None:
        """Finish what is in flight, then close."""
        self._close = True
        if self.idle and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- requests

    def _advance(self) -> None:
        """Parse and hand over requests until one has to wait. Raises Malformed."""
        self._looping = True
        turns = _REQUESTS_A_TURN_MAX
        find = self._owner.find
        try:
            while self._buffer and not self._busy and not self._paused and self._request is None:
                if self._transport is None or self._transport.is_closing():
                    self._buffer = b""
                    return
                buffer = self._buffer
                end = buffer.find(b"\r\n\r\n", 0, HEAD_SIZE_BYTES_MAX + 4)
                if end < 0:
                    if buffer[:2] == b"\r\n":  # RFC 9112 2.2: one empty line may come first
                        self._buffer = buffer[2:]
                        if self._buffer[:2] == b"\r\n":
                            raise Malformed(400, "empty lines before a request")
                        continue
                    if len(buffer) > HEAD_SIZE_BYTES_MAX:
                        raise Malformed(431, f"head larger than {HEAD_SIZE_BYTES_MAX} bytes")
                    if b"\n\n" in buffer or b"\0" in buffer:
                        raise Malformed(400, "bare LF or NUL in the head")
                    break
                if not turns:  # let others have the loop
                    self._hold(2)
                    asyncio.get_running_loop().call_soon(self._advance_safely)
                    return
                turns -= 1
                if find is not None and self._take(find, buffer, end):
                    continue
                head = read_head(buffer[:end], self._peer, self._owner.scheme)
                self._begin(head, buffer, end + 4)
        finally:
            self._looping = False
        if self._held & 2 and len(self._buffer) <= PIPELINED_BYTES_MAX:
            self._release(2)

    def _take(self, find: Find, buffer: bytes, end: int) -> bool:
        """Whether the request is of a kind seen before, and on its way or waiting for its body."""
        known = find(buffer, end, self._owner.scheme)
        if known is None or (known.expects and not known.length):
            return False
        start = end + 4
        stop = start + known.length
        if stop > len(buffer):
            if known.length > BODY_STREAM_ABOVE_BYTES:
                return False
            self._request, self._gathering = known, True
            self._parts, self._have, self._need = (
                [buffer[start:]],
                len(buffer) - start,
                known.length,
            )
            self._buffer = b""
            if known.expects and not self._have:
                self._expects = True
                known.welcome(self._peer, partial(self._welcomed, known))
            return True
        self._buffer = buffer[stop:]
        if self._run(known, buffer[start:stop]):
            return True
        self._buffer = buffer
        return False

    def _welcomed(self, known: Known, allowed: bool) -> None:
        if self._request is not known or not self._expects:
            return  # it did not wait for our word
        if allowed:
            self._continue()
        else:  # the long way finds the words of the refusal
            asyncio.get_running_loop().call_soon(self._read_again, known)

    def _read_again(self, known: Known) -> None:
        if self._request is not known or not self._expects:
            return
        self._request, self._gathering, self._parts = None, False, []
        try:
            self._begin(known.request(b"", self._peer), b"", 0)
        except Malformed as bad:
            self._refuse(bad.status, str(bad))

    def _run(self, known: Known, body: bytes) -> bool:
        self._busy, self._head_only = True, False
        self.deadline_s = _NEVER
        self._visitor = known
        if known.run(body, self._peer, self.respond):
            return True
        self._busy, self._visitor = False, None
        return False

    def _begin(self, head: Head, buffer: bytes, start: int) -> None:
        if head.close:
            self._close = True
            self._old = head.old
        length = head.length
        self._expects = head.expects and length != 0
        if head.expects and length == 0:
            self._go_on()
        # who waits for our word gets it when somebody wants the body: not before it is known that he may send it
        waits = self._expects and len(buffer) == start
        if 0 <= length <= BODY_STREAM_ABOVE_BYTES and not waits:
            stop = start + length
            if len(buffer) >= stop:
                if length:
                    head.body = buffer[start:stop]
                self._buffer = buffer[stop:]
                self._dispatch(head)
                return
            self._request, self._gathering = head, True
            self._parts, self._have, self._need = [buffer[start:]], len(buffer) - start, length
            self._buffer = b""
            return
        self._request = head
        self._incoming = Incoming(
            Chunked() if length < 0 else Counted(length), self._hold, self._release, self._continue
        )
        self._buffer = b""
        if len(buffer) > start:
            self._feed(buffer[start:])
        if self._request is not None and (length >= 0 or waits):
            self._dispatch_stream()

    def _gather(self, data: bytes) -> None:
        self._expects = False  # it was told, or did not wait for our word
        self._parts.append(data)
        self._have += len(data)
        if self._have >= self._need:
            whole = b"".join(self._parts)
            request, self._request, self._gathering, self._parts = self._request, None, False, []
            assert request is not None
            if self._have != self._need:
                whole, self._buffer = whole[: self._need], whole[self._need :]
            if isinstance(request, HttpRequest):
                request.body = whole
                self._dispatch(request)
            elif not self._run(request, whole):
                self._dispatch(request.request(whole, self._peer))

    def _feed(self, data: bytes) -> None:
        incoming = self._incoming
        assert incoming is not None
        self._expects = False  # it did not wait for our word
        try:
            self._buffer = incoming.feed(data)
        except Malformed as bad:
            if not self._busy:
                raise
            self._close = True
            incoming.fail(cut_short() if self._transport is None else _as_fault(bad))
            self._hold()
            return
        if self._busy:
            self.deadline_s = (
                _NEVER if incoming.complete else self._owner.now_s + self._owner.request_s
            )
            return
        request = self._request
        if request is None:  # answered already: the rest of its body is being dropped
            if incoming.complete:
                self._incoming = None
                self._rest()
            return
        assert isinstance(request, HttpRequest)
        if incoming.complete and incoming.buffered <= BODY_STREAM_ABOVE_BYTES:
            request.body = incoming.whole()
            self._request = self._incoming = None
            self._dispatch(request)
        elif incoming.buffered > BODY_STREAM_ABOVE_BYTES:
            self._dispatch_stream()

    def _dispatch_stream(self) -> None:
        request, self._request = self._request, None
        assert isinstance(request, HttpRequest)
        assert self._incoming is not None
        request.body = self._incoming
        self._dispatch(request)
        if self._busy and not self._incoming.complete:
            self.deadline_s = self._owner.now_s + self._owner.request_s

    def _dispatch(self, request: HttpRequest) -> None:
        self._busy = True
        self.deadline_s = _NEVER
        self._head_only = request.method == "HEAD"
        # an answer given at once begins nothing further: it would be taken for the one of this visitor
        looping, self._looping = self._looping, True
        try:
            visitor = self._owner.handle(request, self.respond)
        finally:
            self._looping = looping
        if self._busy:
            self._visitor = visitor
        elif not looping and self._buffer:
            self._advance_safely()

    def _continue(self) -> None:
        if self._expects:
            self._expects = False
            self._go_on()

    def _go_on(self) -> None:
        """Also where there is no body to wait for: the botocore of awscli, if it hears nothing, mistakes the next answer."""
        if self._transport is not None:
            self._transport.write(CONTINUE)

    # -- answers

    @property
    def _plain(self) -> bool:
        """Whether there is a request to be answered, and nothing about its answer is special."""
        return (
            self._busy
            and self._incoming is None
            and not (self._close or self._head_only or self._owner.stopping)
        )

    def respond(self, response: HttpResponse) -> None:
        """Send the answer to the request in hand. Called once a request; never raises."""
        transport = self._transport
        if transport is None:
            _discard(response)
            return
        if type(response) is Ready and type(response.body) is bytes and self._plain:
            owner, body = self._owner, response.body
            if len(body) > _APART_ABOVE_BYTES:
                transport.write(owner.out.start(response, len(body), False, False))
                transport.write(body)
            else:
                transport.write(owner.out.ready(response))
            self._busy, self._visitor = False, None
            if self._buffer:
                self._rest()
                self._advance_safely()
            else:
                self.deadline_s = owner.now_s + owner.idle_s
            return
        if not self._busy:
            _log.error("a request was answered twice status=%s", response.status)
            return
        if self._owner.stopping:
            self._close = True
        incoming = self._incoming
        if incoming is not None and not incoming.complete:
            self._judge_rest(incoming)
        try:
            self._answer(transport, response)
        except (OSError, ValueError) as error:  # a header or file that cannot be sent: nothing was
            _log.error("answer cannot be sent status=%s", response.status, exc_info=error)
            self._close = True
            _discard(response)
            self._answer(transport, HttpResponse(500))

    def _answer(self, transport: asyncio.Transport, response: HttpResponse) -> None:
        body = response.body
        out = self._owner.out
        if type(body) is bytes:
            transport.write(out.whole(response, body, self._head_only, self._close))
            self._finish()
        elif isinstance(body, FileSlice):
            head = out.start(response, body.size_bytes, self._head_only, self._close)
            if self._head_only or not body.size_bytes:
                transport.write(head)
                self._finish()
                return
            self._download = Download(body, out.files)
            if self._paused:
                transport.write(head)
            else:
                self._pump(head)
        else:
            self._sender = asyncio.ensure_future(self._send(response))

    def _judge_rest(self, incoming: Incoming) -> None:
        """The answer came before the whole request did: is the rest worth reading?"""
        left = incoming.left
        if self._expects or left is None or left > DRAIN_BYTES_MAX:
            self._close = True

    def _pump(self, head: bytes = b"") -> None:
        """Send what the client takes now of the file; ``resume_writing`` goes on."""
        download, transport = self._download, self._transport
        assert download is not None
        try:
            while transport is not None and not self._paused and not self._fetching:
                if download.done:
                    self._download = None
                    self._finish()
                    self._advance_safely()
                    return
                if transport.is_closing():  # its descriptor may be somebody else's by now
                    self._download = None
                    return
                if not download.at_hand():
                    if head:
                        transport.write(head)
                    self._fetching = True
                    piece = asyncio.get_running_loop().run_in_executor(None, download.read)
                    piece.add_done_callback(partial(self._fetched, download))
                    return
                if self._is_bare and download.is_mapped and not transport.get_write_buffer_size():
                    fd = transport.get_extra_info("socket").fileno()
                    try:
                        if head:
                            head = _sent_with_more(fd, head)
                        if not head:
                            download.push(fd)
                            continue
                    except BlockingIOError:
                        pass  # the transport waits until there is room again
                if head:
                    transport.write(head)
                    head = b""
                transport.write(download.next())
                transport = self._transport
        except OSError as error:
            self._break_off(error)

    @property
    def _is_bare(self) -> bool:
        """Whether what is written to the descriptor is what the client gets."""
        return self._owner.scheme == "http"

    def _fetched(self, download: Download, piece: asyncio.Future[bytes]) -> None:
        """The disk has brought the next piece."""
        self._fetching = False
        if piece.cancelled():
            return
        error = piece.exception()
        if self._download is not download or self._transport is None:
            return
        if error is not None:
            self._break_off(error)
            return
        self._transport.write(piece.result())
        self._pump()

    def _break_off(self, error: BaseException) -> None:
        """A client that left is nobody's failure; a file that was cut is ours."""
        level = logging.DEBUG if isinstance(error, ConnectionError) else logging.ERROR
        _log.log(level, "download broke off: %s", error)
        self._download = None
        self.abort()

    async def _send(self, response: HttpResponse) -> None:
        """An answer made as it goes. If making it fails the connection is cut: the client must notice."""
        body = response.body
        assert not isinstance(body, (bytes, FileSlice))
        out, complete = self._owner.out, False
        try:
            frame = out.frame(response, self._head_only, self._close, self._old)
            if frame.until_close:
                self._close = True
            self._write(frame.head)
            if not self._head_only and frame.has_body:
                async for piece in body:
                    if self._transport is None:
                        return
                    if piece:
                        self._write(frame.wrap(piece))
                    if self._paused:
                        await self._until_resumed()
                self._write(frame.end())
            complete = True
        except asyncio.CancelledError:
            if self._transport is not None:
                raise
        except Exception as error:  # noqa: BLE001 - logged once, and the client sees a cut connection
            _log.error("answer broke off", exc_info=error)
        finally:
            self._sender = None
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()
            if complete:
                self._finish()
                self._advance_safely()
            else:
                self.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    async def _until_resumed(self) -> None:
        if self._transport is not None:
            self._resumed = asyncio.get_running_loop().create_future()
            await self._resumed

    def _wake_sender(self) -> None:
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)

    def _finish(self) -> None:
        """The answer is written: on to the next request, or away."""
        self._busy, self._visitor = False, None
        incoming = self._incoming
        if incoming is not None:
            if incoming.complete:
                self._incoming = None
            else:
                incoming.drop()
        if self._transport is None:
            return
        if self._close:
            if incoming is not None and not incoming.complete:
                self._linger()
            else:
                self._transport.close()
            return
        self._rest()
        if not self._looping and self._buffer:
            self._advance_safely()

    def _rest(self) -> None:
        wait_s = self._owner.request_s if self._buffer or self._incoming else self._owner.idle_s
        self.deadline_s = self._owner.now_s + wait_s

    def _advance_safely(self) -> None:
        if self._looping or self._transport is None:
            return
        try:
            self._advance()
        except Malformed as bad:
            self._refuse(bad.status, str(bad))

    def _linger(self) -> None:
        """Closing now would reset the connection before the client reads our answer."""
        transport = self._transport
        assert transport is not None
        self._lingering = True
        self._buffer = b""
        self.deadline_s = self._owner.now_s + LINGER_S
        if self._held:
            self._held = 0
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _refuse(self, status: int, why: str) -> None:
        """Answer what is not HTTP, and close."""
        if self._transport is None:
            return
        self._buffer, self._request, self._parts = b"", None, []
        self._transport.write(refusal(status, why))
        self._busy = False
        self._close = True
        self._linger()

    def _hold(self, reason: int = 1) -> None:
        if not self._held and self._transport is not None:
            self._transport.pause_reading()
        self._held |= reason

    def _release(self, reason: int = 1) -> None:
        if not self._held:
            return
        self._held &= ~reason
        if not self._held and self._transport is not None:
            self._transport.resume_reading()


def _sent_with_more(fd: int, head: bytes) -> bytes:
    """Sends a head that the kernel holds until its body follows; what it did not take. Raises OSError."""
    sending = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    try:
        return head[sending.send(head, socket.MSG_MORE | socket.MSG_DONTWAIT) :]
    finally:
        sending.detach()


def _discard(response: HttpResponse) -> None:
    """The client left: end what was making the answer."""
    close = getattr(response.body, "aclose", None)
    if close is not None:
        asyncio.ensure_future(close())  # noqa: RUF006 - nothing waits for it


def _as_fault(bad: Malformed) -> Fault:
    return Fault("InvalidRequest", str(bad), status=bad.status)
