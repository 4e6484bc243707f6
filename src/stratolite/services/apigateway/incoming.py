"""A request as an API sees it: headers and query with all their values, the path behind the stage, the body."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from stratolite.http import HttpRequest

BODY_BYTES_MAX = 10 << 20
_DROPPED = frozenset({
    "connection", "content-length", "content-md5", "expect", "max-forwards", "proxy-authenticate", "server", "te",
    "transfer-encoding", "trailer", "upgrade", "www-authenticate", "forwarded", "x-forwarded-for", "x-forwarded-host",
    "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
})  # fmt: skip
"""What an API never sees, as recorded against AWS (test_apigateway_header_remapping_aws); and what claims an address."""


@dataclass(slots=True)
class Incoming:
    method: str
    path: str
    """Behind the stage, percent-encoded."""
    raw_path: str
    """As sent, with the stage in front."""
    headers: dict[str, list[str]]
    query: dict[str, list[str]]
    peer: str
    scheme: str
    body: bytes = b""
    parameters: dict[str, str] = field(default_factory=dict)
    """Path variables."""

    def header(self, name: str) -> str | None:
        """The last value, whatever the case of the name."""
        lower = name.lower()
        for known, values in self.headers.items():
            if known.lower() == lower:
                return values[-1]
        return None

    @property
    def content_type(self) -> str | None:
        return self.header("content-type")

    def single_headers(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.headers.items()}

    def single_query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in self.query.items()}


def read(request: HttpRequest, stage: str, path: str) -> Incoming:
    """``path`` as the client sent it behind the stage. The body is read later."""
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    trimmed = "/" + path.lstrip("/")
    headers = _headers(request)
    return Incoming(
        request.method, trimmed, f"/{stage}{path}", headers, query, request.peer, request.scheme
    )


def _headers(request: HttpRequest) -> dict[str, list[str]]:
    """In the case in which they were sent, where the request came by a socket."""
    found: dict[str, list[str]] = {}
    pairs = _sent(request.raw) or list(request.headers.items())
    spelling: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in _DROPPED or lower not in request.headers:
            continue
        found.setdefault(spelling.setdefault(lower, name), []).append(value)
    return found


def _sent(raw: bytes) -> list[tuple[str, str]]:
    pairs = []
    for line in raw.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            pairs.append((name.decode("latin-1"), value.strip(b" \t").decode("latin-1")))
    return pairs


async def body_of(request: HttpRequest) -> bytes | None:
    """The whole body, None if it is too large."""
    if isinstance(request.body, bytes):
        return request.body if len(request.body) <= BODY_BYTES_MAX else None
    parts, size = [], 0
    async for part in request.body:
        size += len(part)
        if size <= BODY_BYTES_MAX:
            parts.append(part)
    return b"".join(parts) if size <= BODY_BYTES_MAX else None
