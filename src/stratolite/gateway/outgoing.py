"""Answers on their way out: heads as bytes, and the three ways a body leaves (whole, file, as it is made)."""

from __future__ import annotations

import errno
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
_COPIED_SIZE_BYTES_MAX = 128 << 10  # smaller files are read, larger ones mapped
_ONE_BYTE = [bytearray(1)]
_NO_WAIT = getattr(os, "RWF_NOWAIT", 0)
_FILES_KEPT_COUNT_MAX = 16
_FILE_KEPT_SIZE_BYTES_MAX = 8 << 20


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
        self.files = Files()
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


class Opened:
    """A file, open and mapped while somebody holds this; what it keeps on the disk goes with it."""

    __slots__ = ("fd", "map", "size_bytes")

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.size_bytes = os.fstat(self.fd).st_size
        self.map: mmap.mmap | None = None
        if self.size_bytes > _COPIED_SIZE_BYTES_MAX:
            self.map = mmap.mmap(self.fd, 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED)
            if self.size_bytes > _FILE_KEPT_SIZE_BYTES_MAX:
                self.map.madvise(mmap.MADV_SEQUENTIAL)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Files:
    """Files sent lately: the faults of a fresh map and its unmapping are a quarter of what sending costs.

    What is deleted meanwhile keeps its room on the disk until it is forgotten here; hence few, and no large ones.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Opened] = {}  # by path, the one used last at the end

    def open(self, path: str) -> Opened:
        """Raises OSError."""
        found = self._known.pop(path, None) or Opened(path)
        if found.size_bytes <= _FILE_KEPT_SIZE_BYTES_MAX:
            if len(self._known) >= _FILES_KEPT_COUNT_MAX:
                del self._known[next(iter(self._known))]  # closed when the last download lets go
            self._known[path] = found
        return found


class Download:
    """A file slice, piece by piece: mapped, so that the kernel's pages go out without a copy of ours.

    Raises OSError or ValueError before anything is sent if the file is not as it was promised.
    """

    __slots__ = ("_at", "_end", "_file", "_known")

    def __init__(self, part: FileSlice, files: Files) -> None:
        self._file = files.open(part.path)
        self._at, self._end = part.offset, part.offset + part.size_bytes
        self._known = self._at  # up to here it is in memory
        if self._file.size_bytes < self._end:
            raise ValueError(f"file shorter than promised path={part.path}")

    @property
    def done(self) -> bool:
        return self._at >= self._end

    def at_hand(self) -> bool:
        """Whether the next piece is in memory: else reading it waits for the disk, and ``read`` belongs in a thread."""
        if self._at >= self._known:
            fd, stop = self._file.fd, min(self._at + _PIECE_SIZE_BYTES, self._end)
            if not (_in_memory(fd, self._at) and _in_memory(fd, stop - 1)):
                return False
            self._known = stop
        return True

    @property
    def is_mapped(self) -> bool:
        return self._file.map is not None

    def push(self, fd: int) -> None:
        """What is at hand and mapped, as much as a socket takes now.

        Raises BlockingIOError where it is full, OSError where it is gone.
        """
        assert self._file.map is not None
        with memoryview(self._file.map) as view:
            while self._at < self._known:
                with view[self._at : self._known] as part:
                    self._at += os.write(fd, part)

    def next(self) -> bytes | memoryview:
        """The next piece, which is at hand."""
        start, self._at = self._at, self._known
        if self._file.map is None:
            return os.pread(self._file.fd, self._at - start, start)
        return memoryview(self._file.map)[start : self._at]

    def read(self) -> bytes:
        """The next piece, from the disk. Raises OSError."""
        stop = min(self._at + _PIECE_SIZE_BYTES, self._end)
        piece = os.pread(self._file.fd, stop - self._at, self._at)
        if len(piece) != stop - self._at:
            raise OSError("a file became shorter while it was being sent")
        self._at = self._known = stop
        return piece


def _in_memory(fd: int, offset: int) -> bool:
    try:
        os.preadv(fd, _ONE_BYTE, offset, _NO_WAIT)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system that cannot tell
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
    return True


def refusal(status: int, why: str) -> bytes:
    """The answer to what could not be read as a request."""
    body = f"{why}\n".encode()
    line = _STATUS.get(status) or _STATUS[400]
    head = f"{line}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
