"""Request bodies on their way in: the chunked coding, and a stream that holds its sender back."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping

from stratolite.errors import Fault
from stratolite.gateway.head import Malformed
from stratolite.limits import STREAM_BUFFERED_BYTES_MAX

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e]*)?")
_LINE_SIZE_BYTES_MAX = 512
_PIECES_COUNT_MAX = 1024
_TRAILER_SIZE_BYTES_MAX = 8 << 10


class Counted:
    """A body of a declared length."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """-> (pieces of the body, what follows it)."""
        if len(data) < self.left:
            self.left -= len(data)
            return [data], b""
        piece, rest = (
            (data, b"") if len(data) == self.left else (data[: self.left], data[self.left :])
        )
        self.left, self.done = 0, True
        return [piece], rest


class Chunked:
    """A body in the chunked coding (RFC 9112, 7.1). Extensions and trailers are read and dropped."""

    __slots__ = ("_left", "_line", "_state", "_trailer_size", "done")

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        self._line = b""
        self._state = "size"
        self._trailer_size = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """-> (pieces of the body, what follows it). Raises Malformed."""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.done:
            if self._state == "data":
                take = min(self._left, end - at)
                pieces.append(data[at : at + take])
                at += take
                self._left -= take
                if not self._left:
                    self._state = "after"
                continue
            newline = data.find(b"\n", at)
            stop = end if newline < 0 else newline + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > _LINE_SIZE_BYTES_MAX:
                raise Malformed(400, "chunk line too long")
            if newline >= 0:
                line, self._line = self._line, b""
                if line[-2:] != b"\r\n" or b"\r" in line[:-2]:
                    raise Malformed(400, "bare CR or LF in the chunked coding")
                self._take(line[:-2])
        return pieces, data[at:]

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            found = _SIZE.fullmatch(line)
            if not found:
                raise Malformed(400, "bad chunk size")
            self._left = int(found[1], 16)
            self._state = "data" if self._left else "trailer"
        elif self._state == "after":
            if line:
                raise Malformed(400, "chunk longer than its size")
            self._state = "size"
        elif line:
            self._trailer_size += len(line)
            if self._trailer_size > _TRAILER_SIZE_BYTES_MAX:
                raise Malformed(431, "trailers too large")
        else:
            self.done = True


class Incoming:
    """A ``http.BodyStream``: what has arrived and was not read yet, at most about a megabyte.

    ``hold`` and ``release`` stop and start reading from the socket; ``wanted`` is called once, when
    somebody begins to read (it sends 100 Continue).
    """

    def __init__(
        self,
        framing: Counted | Chunked,
        hold: Callable[[], None],
        release: Callable[[], None],
        wanted: Callable[[], None],
    ) -> None:
        self.size_bytes = framing.left if isinstance(framing, Counted) else None
        self.trailers: Mapping[str, str] = {}
        self.buffered = 0
        self.reading = False
        """Somebody waits for the next piece."""
        self._framing = framing
        self._hold, self._release, self._wanted = hold, release, wanted
        self._pieces: deque[bytes] = deque()
        self._heard: list[Callable[[bytes], None]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._held = self._asked = False
        self.dropping = False

    @property
    def complete(self) -> bool:
        """Everything has arrived."""
        return self._framing.done

    @property
    def asked(self) -> bool:
        return self._asked

    @property
    def left(self) -> int | None:
        """Bytes still to come, None when unknown."""
        return self._framing.left if isinstance(self._framing, Counted) else None

    def feed(self, data: bytes) -> bytes:
        """What came from the socket; returns what follows the body. Raises Malformed."""
        pieces, rest = self._framing.feed(data)
        if not self.dropping:
            piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if (
                piece
            ):  # one a read of the socket: one-byte chunks must not cost forty times their size
                self._pieces.append(piece)
                self.buffered += len(piece)
                for heard in self._heard:
                    heard(piece)
            full = (
                self.buffered > STREAM_BUFFERED_BYTES_MAX or len(self._pieces) > _PIECES_COUNT_MAX
            )
            if full and not self._held and not self._framing.done:
                self._held = True
                self._hold()
        self._wake()
        return rest

    def hear(self, heard: Callable[[bytes], None]) -> bool:
        """See ``http.hear``. What was read already is not heard."""
        for piece in self._pieces:
            heard(piece)
        self._heard.append(heard)
        return True

    def whole(self) -> bytes:
        """All of it, once complete."""
        assert self._framing.done
        return b"".join(self._pieces)

    def drop(self) -> None:
        """Nobody will read the rest."""
        self.dropping = True
        self._pieces.clear()
        self.buffered = 0
        self._unhold()

    def fail(self, error: Exception) -> None:
        self._failure = error
        self._wake()

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> bytes:
        if not self._asked:
            self._asked = True
            if not self._framing.done:
                self._wanted()
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._framing.done:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            self.reading = True
            try:
                await self._waiter
            finally:
                self.reading = False
                self._waiter = None
        piece = self._pieces.popleft()
        self.buffered -= len(piece)
        if (
            self._held
            and self.buffered <= STREAM_BUFFERED_BYTES_MAX // 4
            and len(self._pieces) <= _PIECES_COUNT_MAX // 4
        ):
            self._unhold()
        return piece

    def _unhold(self) -> None:
        if self._held:
            self._held = False
            self._release()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def cut_short() -> Fault:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
    return Fault(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
        status=400,
    )


def too_slow() -> Fault:
    return Fault(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed.",
        status=400,
    )
