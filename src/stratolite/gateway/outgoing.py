"""Answers on their way out: heads as bytes, and the three ways a body leaves (whole, file, as it is made)."""

from __future__ import annotations

import mmap
import os
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

from stratolite.clock import World
from stratolite.http import FileSlice, HttpResponse

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_BODILESS = frozenset({204, 304})
_PIECE_SIZE_BYTES = 1 << 20
_MAPS_COUNT_MAX = 16
_MAP_KEPT_SIZE_BYTES_MAX = 8 << 20
_COPIED_SIZE_BYTES_MAX = 128 << 10  # smaller files are read, larger ones mapped


class Ready(HttpResponse):
    """A 200 whose header lines are text already, each with its line end and known to be well-formed."""

    __slots__ = ("lines",)

    def __init__(self, lines: str, body: bytes | FileSlice) -> None:
        self.status = 200
        self.lines = lines
        self.body = body

    @property
    def headers(self) -> list[tuple[str, str]]:  # type: ignore[override]  # made when somebody looks
        pairs = [line.partition(": ") for line in self.lines.split("\r\n")[:-1]]
        return [(name, value) for name, _, value in pairs]


class Frame(NamedTuple):
    """How a body of unknown making is laid on the wire."""

    head: bytes
    has_body: bool
    chunked: bool
    until_close: bool

    def wrap(self, piece: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece

    def end(self) -> bytes:
        return b"0\r\n\r\n" if self.chunked else b""


class Outgoing:
    """Renders heads. Content-Length, Date and Connection are ours; a service's own are dropped."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.maps = Maps()
        self._second = -1
        self._date = ""

    def ready(self, response: Ready) -> bytes:
        self._tick()
        body = response.body
        assert type(body) is bytes
        head = f"HTTP/1.1 200 OK\r\n{response.lines}{self._date}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def whole(self, response: HttpResponse, body: bytes, head_only: bool, close: bool) -> bytes:
        if head_only or response.status in _BODILESS:
            return self.start(response, len(body), head_only, close)
        return self._head(response, f"Content-Length: {len(body)}\r\n", close) + body

    def start(self, response: HttpResponse, size_bytes: int, head_only: bool, close: bool) -> bytes:
        """The head before ``size_bytes`` of body; for HEAD, what the service says the size is."""
        if type(response) is Ready and not head_only and not close:
            self._tick()
            text = f"HTTP/1.1 200 OK\r\n{response.lines}{self._date}Content-Length: {size_bytes}\r\n\r\n"
            return text.encode()
        if response.status in _BODILESS:
            return self._head(response, "", close)
        declared = _declared(response) if head_only and not size_bytes else None
        return self._head(response, f"Content-Length: {declared or size_bytes}\r\n", close)

    def frame(
        self, response: HttpResponse, head_only: bool, close: bool, old: bool = False
    ) -> Frame:
        """For a body that is an iterator: of a declared length, else chunked, for HTTP/1.0 until the close."""
        if response.status in _BODILESS:
            return Frame(self._head(response, "", close), False, False, False)
        declared = _declared(response)
        if declared is not None:
            return Frame(
                self._head(response, f"Content-Length: {declared}\r\n", close), True, False, False
            )
        if old:
            return Frame(self._head(response, "", True), True, False, True)
        return Frame(
            self._head(response, "Transfer-Encoding: chunked\r\n", close),
            not head_only,
            True,
            False,
        )

    def _tick(self) -> None:
        second = int(self._world.wall())
        if second != self._second:
            self._second = second
            self._date = f"Date: {formatdate(second, usegmt=True)}\r\n"

    def _head(self, response: HttpResponse, framing: str, close: bool) -> bytes:
        status = response.status
        parts = [_STATUS.get(status) or f"HTTP/1.1 {status:03d} \r\n"]
        count = 1
        for name, value in response.headers:
            if name.lower() not in _OURS:
                parts.append(f"{name}: {value}\r\n")
                count += 1
        self._tick()
        parts.append(self._date)
        parts.append(framing)
        parts.append("Connection: close\r\n\r\n" if close else "\r\n")
        text = "".join(parts)
        try:
            head = text.encode("latin-1")
        except UnicodeEncodeError:
            head = text.encode()
        if head.count(b"\n") != count + 2 + (framing != "") + close or b"\0" in head:
            raise ValueError("a response header contains a line break or NUL")
        return head


def _declared(response: HttpResponse) -> int | None:
    for name, value in response.headers:
        if name.lower() == "content-length":
            return int(value)
    return None


class Maps:
    """Files sent lately, mapped: the faults of a fresh map and its unmapping are a quarter of what sending costs.

    What is deleted meanwhile keeps its room on the disk until it is forgotten here; hence few, and no large ones.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, mmap.mmap] = {}  # by path, the one used last at the end

    def find(self, path: str) -> mmap.mmap | None:
        found = self._known.pop(path, None)
        if found is not None:
            self._known[path] = found
        return found

    def keep(self, path: str, made: mmap.mmap) -> None:
        if len(self._known) >= _MAPS_COUNT_MAX:
            del self._known[next(iter(self._known))]  # unmapped when the last download lets go
        self._known[path] = made


class Download:
    """A file slice, piece by piece: mapped, so that the kernel's pages go out without a copy of ours.

    Raises OSError or ValueError before anything is sent if the file is not as it was promised.
    """

    __slots__ = ("_at", "_bytes", "_end", "_map")

    def __init__(self, part: FileSlice, maps: Maps) -> None:
        self._map: mmap.mmap | None = None
        self._bytes: bytes | None = None
        if part.size_bytes > _COPIED_SIZE_BYTES_MAX:
            self._map = maps.find(part.path)
            self._at, self._end = part.offset, part.offset + part.size_bytes
            if self._map is not None:
                if len(self._map) < self._end:
                    raise ValueError(f"file shorter than promised path={part.path}")
                return
        fd = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size_bytes = os.fstat(fd).st_size
            if size_bytes < part.offset + part.size_bytes:
                raise ValueError(f"file shorter than promised path={part.path}")
            if part.size_bytes <= _COPIED_SIZE_BYTES_MAX:
                self._bytes = os.pread(fd, part.size_bytes, part.offset)
                return
            if size_bytes <= _MAP_KEPT_SIZE_BYTES_MAX:
                self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
                maps.keep(part.path, self._map)
                return
            whole = part.offset & ~(mmap.ALLOCATIONGRANULARITY - 1)
            self._at = part.offset - whole
            self._end = self._at + part.size_bytes
            self._map = mmap.mmap(
                fd, self._end, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED, offset=whole
            )
            self._map.madvise(mmap.MADV_SEQUENTIAL)
        finally:
            os.close(fd)

    def next(self) -> bytes | memoryview | None:
        """The next piece, None at the end."""
        if self._map is None:
            piece, self._bytes = self._bytes, None
            return piece or None
        if self._at >= self._end:
            return None
        start, self._at = self._at, min(self._end, self._at + _PIECE_SIZE_BYTES)
        return memoryview(self._map)[start : self._at]


def refusal(status: int, why: str) -> bytes:
    """The answer to what could not be read as a request."""
    body = f"{why}\n".encode()
    line = _STATUS.get(status) or _STATUS[400]
    head = f"{line}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
