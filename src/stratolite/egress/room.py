"""The way out: resolve once, judge every address, connect to the one judged, and one request over it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import NamedTuple

from stratolite.egress.addresses import Address, parse
from stratolite.egress.answer import Answer
from stratolite.egress.failed import Failed, Refused
from stratolite.egress.places import Headers, Place, host_of, place_of, redirected
from stratolite.egress.rules import SERVICES, Rules
from stratolite.limits import (
    EGRESS_ADDRESSES_MAX,
    EGRESS_ANSWER_BYTES_MAX,
    EGRESS_CONNECT_S_MAX,
    EGRESS_REDIRECTS_MAX,
    EGRESS_REQUESTS_MAX,
    EGRESS_TIME_S,
)

Resolve = Callable[[str], Awaitable[list[str]]]
"""A host name's addresses, in the order to be tried. Raises OSError."""

_LOOPBACK = ("127.0.0.1", "::1")


class Own(NamedTuple):
    """This cloud's own endpoint: reached without the network, and as a stranger."""

    port: int
    scheme: str
    is_ours: Callable[[str], bool]
    """Whether a host name is ours."""
    open: Callable[[], Awaitable[socket.socket]]
    """A connected socket on whose other end the gateway serves somebody it believes no key of root's."""


class Egress:
    """``own`` is set once the front door is open; ``resolve`` and ``trust`` (a PEM file) are for tests and odd networks."""

    def __init__(
        self,
        rules: Iterable[str] = (),
        *,
        resolve: Resolve | None = None,
        trust: str | None = None,
    ) -> None:
        self.rules = Rules(rules)
        self.own: Own | None = None
        self._resolve = resolve or _by_system
        self._trust = trust
        self._tls: ssl.SSLContext | None = None
        self._slots: asyncio.Semaphore | None = None

    def check(self, url: str) -> None:
        """Raises Refused for a URL that no request could go to, as far as is seen without asking for its name."""
        place = place_of(url)
        if self._is_own(place):
            return
        with suppress(ValueError):
            self._judge(SERVICES, place.host, parse(place.host), place.port)

    async def request(
        self,
        method: str,
        url: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        timeout_s: float = EGRESS_TIME_S,
        answer_bytes_max: int = EGRESS_ANSWER_BYTES_MAX,
        redirects_max: int = 0,
        who: str = SERVICES,
    ) -> Answer:
        """One request and its answer, all of it within ``timeout_s``.

        Host, length and connection headers are ours to say; those given are left out. Raises Failed, Refused.
        """
        if self._slots is None:
            self._slots = asyncio.Semaphore(EGRESS_REQUESTS_MAX)
        try:
            async with asyncio.timeout(timeout_s), self._slots:
                for _ in range(min(redirects_max, EGRESS_REDIRECTS_MAX) + 1):
                    place = place_of(url)
                    answer = await self._exchange(
                        who, place, method, headers, body, answer_bytes_max
                    )
                    location = answer.header("location")
                    if redirects_max == 0 or not 300 <= answer.status < 400 or location is None:
                        return answer
                    url, method, body, headers = redirected(
                        url, location, answer.status, method, body, headers
                    )
        except TimeoutError as error:
            raise Failed("timeout", f"no answer within {timeout_s:g} s") from error
        raise Failed("protocol", f"more than {redirects_max} redirects")

    async def connect(self, who: str, host: str, port: int) -> socket.socket:
        """A connection to ``host``, for the proxy: who may reach it, over the address judged. Raises Failed, Refused."""
        host = host_of(host)
        sock: socket.socket | None = None
        try:
            async with asyncio.timeout(EGRESS_CONNECT_S_MAX):
                addresses = await self._addresses(who, host, port)
                unreachable: OSError | None = None
                for address in addresses[:EGRESS_ADDRESSES_MAX]:
                    sock = socket.socket(
                        socket.AF_INET6 if address.version == 6 else socket.AF_INET
                    )
                    sock.setblocking(False)
                    try:
                        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
                        break
                    except OSError as error:
                        unreachable = error
                        sock.close()
                        sock = None
        except BaseException as error:
            if sock is not None:
                sock.close()
            if isinstance(error, TimeoutError):
                raise Failed("timeout", f"{host}:{port} does not answer") from error
            raise
        if sock is None:
            raise Failed("connect", f"{host}:{port}: {unreachable}") from unreachable
        if self._is_ourselves(sock, port):
            sock.close()
            raise Refused(f"{host}:{port} is this server's own port")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    # -- where to

    async def _addresses(self, who: str, host: str, port: int) -> list[Address]:
        """What ``host`` leads to. One address that may not be reached and none is: a name must not choose its moment."""
        try:
            found = [parse(host)]
        except ValueError:
            if host == "localhost" or host.endswith(".localhost"):  # RFC 6761: never asked for
                found = [parse(address) for address in _LOOPBACK]
            else:
                found = await self._asked(who, host, port)
        for address in found:
            self._judge(who, host, address, port)
            if self.own is not None and port == self.own.port and address.is_loopback:
                raise Refused(f"{host}:{port} is this server's own port")
        return found

    async def _asked(self, who: str, host: str, port: int) -> list[Address]:
        if not self.rules.may_resolve(who, host, port):
            raise Refused(f"{host}:{port} is not listed by --egress")
        try:
            found = [parse(text) for text in await self._resolve(host)]
        except (OSError, UnicodeError) as error:
            raise Failed("name", f"{host} has no address: {error}") from error
        except ValueError as error:
            raise Refused(str(error)) from error
        if not found:
            raise Failed("name", f"{host} has no address")
        return found

    def _judge(self, who: str, host: str, address: Address, port: int) -> None:
        if why := self.rules.refusal(who, host, address, port):
            raise Refused(why)

    def _is_own(self, place: Place) -> bool:
        own = self.own
        return own is not None and place.port == own.port and own.is_ours(place.host)

    def _is_ourselves(self, sock: socket.socket, port: int) -> bool:
        """Whether this leads back here, by another address of this machine than loopback."""
        own = self.own
        return (
            own is not None and port == own.port and sock.getsockname()[0] == sock.getpeername()[0]
        )

    # -- one request

    async def _exchange(
        self,
        who: str,
        place: Place,
        method: str,
        headers: Headers,
        body: bytes,
        answer_bytes_max: int,
    ) -> Answer:
        from stratolite.egress.exchange import exchange, request  # h11 with the first, not at start

        said = request(place, method, headers, body)
        reader, writer = await self._open(who, place)
        return await exchange(reader, writer, place, said, body, answer_bytes_max)

    async def _open(
        self, who: str, place: Place
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._is_own(place):
            assert self.own is not None
            if place.scheme != self.own.scheme:
                raise Failed("tls", f"our own endpoint speaks {self.own.scheme}")
            if not self.rules.opens(who):
                raise Refused("nothing leaves: --egress none")
            return await asyncio.open_connection(sock=await self.own.open())
        sock = await self.connect(who, place.host, place.port)
        if place.scheme == "http":
            return await asyncio.open_connection(sock=sock)
        if self._tls is None:
            self._tls = _tls(self._trust)
        try:
            return await asyncio.open_connection(
                sock=sock, ssl=self._tls, server_hostname=place.host
            )
        except (ssl.SSLError, OSError) as error:
            raise Failed("tls", f"{place.host}: {error}") from error
        except BaseException:
            sock.close()
            raise


def _tls(trust: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _by_system(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
