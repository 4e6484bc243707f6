"""URLs and host names: what is read from them, what is refused, where a redirect leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from stratolite.egress.addresses import parse
from stratolite.egress.failed import Refused
from stratolite.limits import EGRESS_URL_BYTES_MAX

Headers = Sequence[tuple[str, str]]
PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    scheme: str
    host: str
    """Lower case, ASCII, without brackets."""
    port: int
    target: str
    login: str
    """``user:password`` of the URL, unquoted."""

    @property
    def host_header(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == PORTS[self.scheme] else f"{shown}:{self.port}"


def place_of(url: str) -> Place:
    """Raises Refused for what is not an absolute http or https URL."""
    if len(url) > EGRESS_URL_BYTES_MAX or any(c <= " " or c == "\x7f" for c in url) or "\\" in url:
        raise Refused("not a URL: too long, or with blanks or control characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Refused(f"not a URL: {error}") from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not parts.hostname:
        raise Refused("not an http or https URL with a host")
    if port == 0:
        raise Refused("port 0 is none")
    target = quote(parts.path or "/", safe="%/:@!$&'()*+,;=~-._[]|^")
    if parts.query:
        target += "?" + quote(parts.query, safe="%/:@!$&'()*+,;=~-._?[]|^")
    login = ""
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Place(scheme, host_of(parts.hostname), port or PORTS[scheme], target, login)


def host_of(name: str) -> str:
    name = name.lower().rstrip(".")
    try:
        return str(parse(name))
    except ValueError:
        pass
    if ":" in name or "%" in name:
        raise Refused(f"{name} is not an address")
    try:
        ascii_name = name.encode("idna").decode("ascii") if not name.isascii() else name
    except UnicodeError as error:
        raise Refused(f"{name} is not a host name: {error}") from error
    labels = ascii_name.split(".")
    if len(ascii_name) > 253 or not all(0 < len(label) <= 63 for label in labels):
        raise Refused(f"{ascii_name[:80]} is not a host name")
    if not all(c.isalnum() or c in "-_." for c in ascii_name):
        raise Refused(f"{ascii_name} is not a host name")
    return ascii_name


def redirected(
    url: str, location: str, status: int, method: str, body: bytes, headers: Headers
) -> tuple[str, str, bytes, Headers]:
    """What to ask next. Credentials go to no other place than they were meant for."""
    before, after = place_of(url), place_of(urljoin(url, location))
    if before.scheme == "https" and after.scheme == "http":
        raise Refused("redirected from https to http")
    dropped = set()
    if (before.scheme, before.host, before.port) != (after.scheme, after.host, after.port):
        dropped = {"authorization", "cookie", "x-api-key"}
    if status == 303 or (status in (301, 302) and method == "POST"):
        method, body = "GET", b""
        dropped |= {"content-type", "content-encoding"}
    kept = [(n, v) for n, v in headers if n.lower() not in dropped]
    return urljoin(url, location), method, body, kept
