"""A listening socket and its connections: opening, deadlines, the cap, and a graceful end."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from stratolite.clock import World
from stratolite.gateway.auth import SANDBOX
from stratolite.gateway.http1 import Connection, Find, Handle
from stratolite.gateway.outgoing import Outgoing
from stratolite.limits import (
    CONNECTION_DESCRIPTORS,
    CONNECTIONS_MAX,
    DESCRIPTORS_KEPT,
    IDLE_TIMEOUT_S,
    REQUEST_TIMEOUT_S,
    SANDBOX_CONNECTIONS_MAX,
    STOP_S,
)


class Application(Protocol):
    @property
    def world(self) -> World: ...

    @property
    def handle(self) -> Handle: ...


async def serve(
    app: Application,
    host: str,
    port: int,
    *,
    cert_file: str | None = None,
    key_file: str | None = None,
    idle_s: float = IDLE_TIMEOUT_S,
    request_s: float = REQUEST_TIMEOUT_S,
    connections_max: int = CONNECTIONS_MAX,
) -> Server:
    """Listen on ``host`` and ``port`` (0: any free one, see ``Server.port``). Raises OSError."""
    most = min(connections_max, (_descriptors() - DESCRIPTORS_KEPT) // CONNECTION_DESCRIPTORS)
    server = Server(app, "https" if cert_file else "http", idle_s, request_s, most)
    context = None
    if cert_file:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert_file, key_file)
    await server.listen(host, port, context)
    return server


def serve_sandbox(
    app: Application, listener: socket.socket, context: ssl.SSLContext | None = None
) -> Callable[[], None]:
    """Serve one sandbox's way out, by TLS with a ``context``; what is returned ends it and closes ``listener``.

    ``peer`` of its requests is ``SANDBOX``: no loopback address, so the default keys are not believed.
    """
    scheme = "http" if context is None else "https"
    server = Server(
        app, scheme, IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S, SANDBOX_CONNECTIONS_MAX, peer=SANDBOX
    )
    server.accept(listener, context)
    return server.cut


def stranger(app: Application, scheme: str) -> Callable[[], Awaitable[socket.socket]]:
    """Connections to ourselves for what we send out: each call gives one end, the other is served as a sandbox's."""
    server = Server(app, scheme, IDLE_TIMEOUT_S, REQUEST_TIMEOUT_S, CONNECTIONS_MAX, peer=SANDBOX)

    async def opened() -> socket.socket:
        here, there = socket.socketpair()
        for end in (here, there):
            end.setblocking(False)
        server.look()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(server), there)
        return here

    return opened


def _deadline(connection: Connection) -> float:
    return connection.deadline_s


def _descriptors() -> int:
    """How many this process may have, after asking for all it can get."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX * CONNECTION_DESCRIPTORS + DESCRIPTORS_KEPT
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY:
        return wanted
    return max(soft, DESCRIPTORS_KEPT + 16 * CONNECTION_DESCRIPTORS)


class Server:
    """``port`` it listens on; ``close`` ends it. What connections see of it is ``http1.Owner``."""

    def __init__(
        self,
        app: Application,
        scheme: str,
        idle_s: float,
        request_s: float,
        connections_max: int,
        *,
        peer: str = "",
    ) -> None:
        self.handle = app.handle
        self.find: Find | None = getattr(app, "find", None)
        self.scheme, self.peer = scheme, peer
        self.idle_s, self.request_s = idle_s, request_s
        self.stopping = False
        self._world = app.world
        self.out = Outgoing(app.world)
        self.now_s = app.world.mono()
        self.port = 0
        self._connections: set[Connection] = set()
        self._connections_max = connections_max
        self._empty: asyncio.Event = asyncio.Event()
        self._listening: asyncio.Server | None = None
        self._sweep_every_s = min(1.0, idle_s / 4, request_s / 4)
        self._timer: asyncio.TimerHandle | None = None
        self._accepting: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._joining: set[asyncio.Task[object]] = set()

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            lambda: Connection(self), host, port, backlog=1024, ssl=context
        )
        self.port = self._listening.sockets[0].getsockname()[1]
        self._sweep()

    def accept(self, listener: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """Take connections from a socket that listens already, without a wait: cold starts pass here."""
        listener.setblocking(False)
        self._accepting, self._context = listener, context
        self._sweep()

    def look(self) -> None:
        """Keep deadlines from now on, if nothing else made it do so."""
        if self._timer is None:
            self._sweep()

    def _take(self) -> None:
        assert self._accepting is not None
        try:
            made, _ = self._accepting.accept()
        except (BlockingIOError, ConnectionError):  # gone again
            return
        except OSError:
            # No descriptor is free: whoever waits is looked at again with the next sweep.
            asyncio.get_running_loop().remove_reader(self._accepting.fileno())
            return
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        joining = loop.create_task(
            loop.connect_accepted_socket(lambda: Connection(self), made, ssl=self._context)
        )
        self._joining.add(joining)
        joining.add_done_callback(self._joined)

    def _joined(self, joining: asyncio.Task[object]) -> None:
        self._joining.discard(joining)
        if not joining.cancelled():
            joining.exception()  # it had gone before it was here

    def cut(self) -> None:
        """The other end is gone: close all at once. For what ``accept`` took over."""
        assert self._accepting is not None
        self.stopping = True
        asyncio.get_running_loop().remove_reader(self._accepting.fileno())
        self._accepting.close()
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()

    async def close(self, graceful: bool = True) -> None:
        """Take no more connections; finish what is in flight (at most ``STOP_S``), then close all."""
        assert self._listening is not None
        self.stopping = True
        self._listening.close()
        if graceful and self._connections:
            for connection in list(self._connections):
                connection.stop()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), STOP_S)
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.abort()
        await self._listening.wait_closed()

    def joined(self, connection: Connection) -> bool:
        """False: over the cap, turn it away. Who has been silent longest makes room first.

        Else a client that opens many and says nothing would lock out everybody.
        """
        connections = self._connections
        if len(connections) >= self._connections_max:
            silent = min((c for c in connections if c.idle), key=_deadline, default=None)
            if silent is not None:
                connections.discard(silent)
                silent.abort()
        connections.add(connection)
        self._empty.clear()
        return len(connections) <= self._connections_max

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        """Enforce deadlines. One pass a second costs less than a timer a request."""
        self.now_s = now_s = self._world.mono()
        if self._accepting is not None:
            asyncio.get_running_loop().add_reader(self._accepting.fileno(), self._take)
        late = [c for c in self._connections if c.deadline_s < now_s]
        for connection in late:
            connection.overdue()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._sweep_every_s, self._sweep)
