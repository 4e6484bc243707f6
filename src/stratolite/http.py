"""HTTP messages as plain data, shared by gateway, wire and the doors services open.

Nothing here parses or sends: ``gateway`` does. Header names are lower case in requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class BodyStream(Protocol):
    """A request body still arriving. Read it to its end or the connection closes."""

    size_bytes: int | None
    """Decoded length if the client declared one."""
    trailers: Mapping[str, str]
    """Trailing headers (aws-chunked checksums), complete once iteration has ended."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks as they arrive. Raises Fault for a bad chunk signature or a short body."""
        ...


def hear(body: BodyStream, heard: Callable[[bytes], None]) -> bool:
    """Have ``heard`` called with every piece once it has arrived, before it is read.

    False, and nothing done, where the pieces are only made when they are read.
    """
    ask = getattr(body, "hear", None)
    return ask is not None and ask(heard)


class HttpRequest:
    """One request. ``path`` and ``query`` are as sent (still percent-encoded)."""

    __slots__ = ("body", "headers", "method", "path", "peer", "query", "raw", "scheme")

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: bytes | BodyStream,
        *,
        peer: str = "127.0.0.1",
        scheme: str = "http",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.peer = peer
        self.scheme = scheme
        self.raw = b""
        """The head as it came, without its empty line; "" of a request made otherwise."""


@dataclass(frozen=True, slots=True)
class FileSlice:
    """A part of an immutable file, sent without copying it through Python.

    Only files that never shrink may be named here: they are mapped, and a truncated map kills.
    """

    path: str
    offset: int
    size_bytes: int


Body = bytes | FileSlice | AsyncIterator[bytes]


@dataclass(slots=True)
class HttpResponse:
    """One response. The gateway adds Content-Length (or chunked), Date and Connection."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Body = b""
