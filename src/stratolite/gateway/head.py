"""Reads the head of an HTTP/1.1 request, strictly: what two parsers could read differently is refused.

RFC 9112. Refused: bare CR or LF, NUL and other controls, obs-fold, spaces in names, absolute and authority
targets, several values where one decides (Host, Content-Length, Authorization ...), Content-Length together
with Transfer-Encoding, any coding but ``chunked``.
"""

from __future__ import annotations

import re

from stratolite.limits import HEADERS_COUNT_MAX


class Malformed(Exception):
    """Not HTTP as we speak it: answer ``status`` and close."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Head:
    """A request's head; ``headers`` has lower-case names. ``length`` is -1 for a chunked body."""

    __slots__ = ("close", "expects", "headers", "length", "method", "old", "path", "query")

    def __init__(self, method: str, target: str, headers: dict[str, str]) -> None:
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        self.length = 0
        self.close = False
        self.old = False
        """HTTP/1.0: no chunked answers, no 100 Continue, closed after the answer."""
        self.expects = False


_PLAIN = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
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
_names: dict[str, str] = {}  # header names as sent -> lower case; being here means being a token
_hosts: set[str] = set()  # Host headers found well-formed
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


def read_head(raw: bytes) -> Head:
    """``raw`` is everything before the empty line, without it. Raises Malformed."""
    lines = raw.decode("latin-1").split("\r\n")
    count = len(lines) - 1
    if raw.translate(None, _PLAIN) != b"\r\n" * count:
        raise Malformed(400, "control character, bare CR or bare LF in the head")
    if count > HEADERS_COUNT_MAX:
        raise Malformed(431, f"more than {HEADERS_COUNT_MAX} headers")
    try:
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise Malformed(400, "request line is not METHOD TARGET VERSION") from None
    headers = _headers(lines)
    head = Head(method, target, headers)
    if method not in _METHODS and not _METHOD.fullmatch(method):
        raise Malformed(400, "bad method")
    if not (target[:1] == "/" or (target == "*" and method == "OPTIONS")):
        raise Malformed(400, "only origin-form request targets are served")
    if "#" in target or not target.isascii():
        raise Malformed(400, "bad character in the request target")
    if version != "HTTP/1.1":
        if version != "HTTP/1.0":
            raise Malformed(505 if version[:5] == "HTTP/" else 400, "only HTTP/1.1 is spoken here")
        if "transfer-encoding" in headers:
            raise Malformed(400, "Transfer-Encoding in HTTP/1.0")
        head.close = head.old = True
    elif "host" not in headers:
        raise Malformed(400, "no Host header")
    _framing(head, headers)
    return head


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    names = _names
    for line in lines[1:]:
        key, colon, value = line.partition(":")
        name = names.get(key) or _name(key)
        if not colon:
            raise Malformed(400, "header without a colon")
        if name in headers:
            if name in _ONE_VALUE:
                raise Malformed(400, f"more than one {name} header")
            value = headers[name] + ("; " if name == "cookie" else ",") + value.strip(" \t")
        headers[name] = value.strip(" \t")
    return headers


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
        if expect.lower() != "100-continue":
            raise Malformed(417, "only 100-continue can be expected")
        head.expects = not head.old


def _name(key: str) -> str:
    if not _TOKEN.fullmatch(key):
        raise Malformed(400, "bad header name")
    if len(_names) >= _NAMES_COUNT_MAX:
        _names.clear()
    name = _names[key] = key.lower()
    return name
