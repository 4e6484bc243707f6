"""Reads the head of an HTTP/1.1 request, strictly: what two parsers could read differently is refused.

RFC 9112. Refused: bare CR or LF, NUL and other controls, obs-fold, spaces in names, absolute and authority
targets, several values where one decides (Host, Content-Length, Authorization ...), Content-Length together
with Transfer-Encoding, any coding but ``chunked``.
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.http import HttpRequest
from stratolite.limits import HEADERS_COUNT_MAX


class Malformed(Exception):
    """Not HTTP as we speak it: answer ``status`` and close."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Head(HttpRequest):
    """A request whose body has not been read; ``headers`` has lower-case names."""

    __slots__ = ("close", "expects", "length", "old")

    def __init__(
        self,
        raw: bytes,
        start: tuple[str, str, str, bool],
        headers: dict[str, str],
        peer: str,
        scheme: str,
    ) -> None:
        self.raw = raw
        self.method, self.path, self.query, self.old = start
        """``old``: HTTP/1.0: no chunked answers, no 100 Continue, closed after the answer."""
        self.headers = headers
        self.body = b""
        self.peer = peer
        self.scheme = scheme
        self.length = 0
        """Of the body in bytes, -1 for a chunked one."""
        self.close = self.old
        self.expects = False


_PLAIN = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_CONTROL = "control character, bare CR or bare LF in the head"
_METHOD = re.compile(r"[A-Z][A-Z\-]{0,19}")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]*)(:[0-9]{1,5})?")
_ONE_VALUE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "host",
        "origin",
        "sec-fetch-site",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-target",
    }
)
_NAMES_COUNT_MAX = 2000
_LINE_KEPT_SIZE_BYTES_MAX = 96
_names: dict[str, str] = {}  # header names as sent -> lower case; being here means being a token
_hosts: set[str] = set()  # Host headers found well-formed
# Clients send the same lines over and over: what was found well-formed is read once.
_lines: dict[bytes, tuple[str, str]] = {}
_starts: dict[bytes, tuple[str, str, str, bool]] = {}
# These never come again, or are nobody's to keep.
_PASSING = frozenset(
    {
        "amz-sdk-invocation-id",
        "authorization",
        "content-md5",
        "cookie",
        "x-amz-content-sha256",
        "x-amz-security-token",
    }
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def read_head(raw: bytes, peer: str, scheme: str) -> Head:
    """``raw`` is everything before the empty line, without it. Raises Malformed."""
    lines = raw.split(b"\r\n")
    if len(lines) - 1 > HEADERS_COUNT_MAX:
        raise Malformed(431, f"more than {HEADERS_COUNT_MAX} headers")
    first = lines[0]
    start = _starts.get(first) or _read_start(first)
    del lines[0]
    pairs: list[Any] = list(map(_lines.get, lines))
    while None in pairs:
        at = pairs.index(None)
        pairs[at] = _read_line(lines[at])
    headers = dict(pairs)
    if len(headers) != len(pairs):
        headers = _joined(pairs)
    head = Head(raw, start, headers, peer, scheme)
    if head.old:
        if "transfer-encoding" in headers:
            raise Malformed(400, "Transfer-Encoding in HTTP/1.0")
    elif "host" not in headers:
        raise Malformed(400, "no Host header")
    _framing(head, headers)
    return head


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Headers of which some came more than once. Raises Malformed where one value decides."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        if name in headers:
            if name in _ONE_VALUE:
                raise Malformed(400, f"more than one {name} header")
            headers[name] += ("; " if name == "cookie" else ",") + value
        else:
            headers[name] = value
    return headers


def _read_start(line: bytes) -> tuple[str, str, str, bool]:
    """(method, path, query, whether HTTP/1.0) of a request line."""
    if line.translate(None, _PLAIN):
        raise Malformed(400, _CONTROL)
    try:
        method, target, version = line.decode("latin-1").split(" ")
    except ValueError:
        raise Malformed(400, "request line is not METHOD TARGET VERSION") from None
    if method not in _METHODS and not _METHOD.fullmatch(method):
        raise Malformed(400, "bad method")
    if not (target[:1] == "/" or (target == "*" and method == "OPTIONS")):
        raise Malformed(400, "only origin-form request targets are served")
    if "#" in target or not target.isascii():
        raise Malformed(400, "bad character in the request target")
    old = version == "HTTP/1.0"
    if version != "HTTP/1.1" and not old:
        raise Malformed(505 if version[:5] == "HTTP/" else 400, "only HTTP/1.1 is spoken here")
    path, _, query = target.partition("?")
    start = method, path, query, old
    if len(line) <= _LINE_KEPT_SIZE_BYTES_MAX:
        if len(_starts) >= _NAMES_COUNT_MAX:
            _starts.clear()
        _starts[line] = start
    return start


def _read_line(line: bytes) -> tuple[str, str]:
    """(name in lower case, value) of a header line."""
    if line.translate(None, _PLAIN):
        raise Malformed(400, _CONTROL)
    key, colon, value = line.decode("latin-1").partition(":")
    name = _names.get(key) or _name(key)
    if not colon:
        raise Malformed(400, "header without a colon")
    read = name, value.strip(" \t")
    if len(line) <= _LINE_KEPT_SIZE_BYTES_MAX and name not in _PASSING:
        if len(_lines) >= _NAMES_COUNT_MAX:
            _lines.clear()
        _lines[line] = read
    return read


def _framing(head: Head, headers: dict[str, str]) -> None:
    host = headers.get("host")
    if host and host not in _hosts:
        if not _AUTHORITY.fullmatch(host):
            raise Malformed(400, "bad Host header")
        if len(_hosts) >= _NAMES_COUNT_MAX:
            _hosts.clear()
        _hosts.add(host)
    if (length := headers.get("content-length")) is not None:
        if not (length.isdigit() and length.isascii() and len(length) <= 18):
            raise Malformed(400, "bad Content-Length")
        head.length = int(length)
    if (coding := headers.get("transfer-encoding")) is not None:
        if length is not None:
            raise Malformed(400, "both Content-Length and Transfer-Encoding")
        if coding.lower() != "chunked":
            raise Malformed(501, "only the chunked transfer coding is offered")
        head.length = -1
    if (connection := headers.get("connection")) is not None and "close" in connection.lower():
        head.close = True
    if (expect := headers.get("expect")) is not None:
        # Other expectations are as though they were not there, as on S3 (RFC 9110 10.1.1 lets either be).
        head.expects = expect.lower() == "100-continue" and not head.old


def _name(key: str) -> str:
    if not _TOKEN.fullmatch(key):
        raise Malformed(400, "bad header name")
    if len(_names) >= _NAMES_COUNT_MAX:
        _names.clear()
    name = _names[key] = key.lower()
    return name
