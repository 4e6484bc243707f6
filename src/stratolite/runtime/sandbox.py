"""One sandbox process seen from the server: its start, one invocation at a time, its output, its end.

The frames on its channel are documented in ``guest/bootstrap.py``.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import orjson

from stratolite.clock import World
from stratolite.limits import SANDBOX_ANSWER_BYTES_MAX, SANDBOX_LINE_BYTES_MAX
from stratolite.runtime.zygote import Exit, Zygote

_HEAD = struct.Struct(">BI")
_WORD = struct.Struct(">I")
_PIPE_READ_BYTES = 16 << 10  # a turn of the loop: sixteen thousand lines, if it comes to the worst
_PIPE_READS_MAX = 4  # before an answer: what a pipe holds
_EXIT_GRACE_S = 0.5

Listen = Callable[[list[tuple[int, str]]], None]
"""Takes lines of output: (wall clock in ms, text without its last newline)."""


class Invocation(NamedTuple):
    id: str
    target: str
    """What was called, as the code should see it."""
    event: bytes
    timeout_s: float
    trace: str = ""
    client: str = ""
    """JSON given by the caller, for the code."""


class Ended(NamedTuple):
    """The process ended, by itself (``exit``), at its deadline (``timeout``) or for want of memory."""

    how: str
    """exit | timeout | memory | too-large"""
    status: int = 0
    """As in ``zygote.Exit``."""


class Gateway(NamedTuple):
    """A way out of a sandbox with a network of its own: the platform itself."""

    endpoint: str
    """Where it answers outside."""
    port: int
    """Where it answers inside, on 127.0.0.1: the same as outside, so that addresses mean the same in both."""
    open: Callable[[socket.socket], Callable[[], None]]
    """Takes over a listening socket of a sandbox and serves the platform on it, until what it returns is called."""
    secure: Secure | None = None


class Secure(NamedTuple):
    """The platform by TLS, for programs that speak nothing else to what AWS gives them a URL of."""

    certificate: Callable[[], str]
    """PEM of the only certificate, good for 127.0.0.1 inside a sandbox and nowhere else."""
    open: Callable[[socket.socket], Callable[[], None]]
    """As ``Gateway.open``."""
    port: int = 443


class Proxy(NamedTuple):
    """The other way out, for those who may: an HTTP proxy."""

    opens: Callable[[str], bool]
    """Whether sandboxes of this owner get one."""
    open: Callable[[socket.socket, str], Callable[[], None]]
    """As ``Gateway.open``, for an owner."""
    port: int = 3128


class WayOut(NamedTuple):
    port: int
    open: Callable[[socket.socket], Callable[[], None]]


class Outcome(NamedTuple):
    """Exactly one of ``answer``, ``error`` and ``ended`` is set."""

    answer: bytes | None = None
    error: bytes | None = None
    """JSON of the error the code raised, or of why it could not be loaded (``loaded`` is False)."""
    ended: Ended | None = None
    loaded: bool = True
    duration_s: float = 0.0
    peak_kb: int = 0
    init_s: float | None = None
    """How long the code took to load, on a sandbox's first invocation."""


class Sandbox(asyncio.Protocol):
    """Make one with ``start``. Not usable any more once ``alive`` is False."""

    def __init__(
        self,
        world: World,
        zygote: Zygote,
        spec: dict[str, Any],
        listen: Listen,
        ways_out: Sequence[WayOut] = (),
    ) -> None:
        self._world, self._zygote, self._spec, self.listen = world, zygote, spec, listen
        self._ways_out = ways_out
        self._close_ways: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._output = -1
        self._peek: socket.socket | None = None
        self._line = b""
        self._kill_reason: Ended | None = None
        self._pid = 0
        self.seen_pid = 0
        """Its process id for us; ``_pid`` is the zygote's word for it. What it says itself: for display only."""
        self.alive = True
        self.used = False
        self.init_s = 0.0
        self.on_end: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Fork it and hand over what it is to be. Raises OSError, ``ZygoteLost``."""
        begun = self._world.mono()
        ours, theirs = socket.socketpair()
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(read, False)
            self._output = read
            ours.setblocking(False)
            self._peek = ours.dup()
            await self._loop.connect_accepted_socket(lambda: self, ours)
            self._loop.add_reader(read, self._drain, 1)
            ports = [way.port for way in self._ways_out]
            self._pid, opened = await self._zygote.fork(theirs.fileno(), write, self._exited, ports)
            for way, listener in zip(self._ways_out, opened, strict=False):
                self._close_ways.append(way.open(listener))
        except BaseException:
            self._exited(Exit(-9, 0))
            raise
        finally:
            theirs.close()
            os.close(write)
        self._send(ord("C"), orjson.dumps(self._spec))
        self._begun = begun

    async def load(self, limit_s: float) -> Outcome | None:
        """Wait until the code is loaded; None, or what came instead."""
        kind, body = await self._answer(limit_s)
        self.init_s = self._world.mono() - self._begun
        if kind == ord("S"):
            self.seen_pid = int(body) if body.isdigit() and len(body) < 10 else self._pid
            return None
        if kind == ord("F") and _sound(kind, body, True):
            self.kill()
            await self._exit
            return Outcome(error=body, loaded=False, duration_s=self.init_s, init_s=self.init_s)
        return Outcome(
            ended=await self._how(), loaded=False, duration_s=self.init_s, init_s=self.init_s
        )

    async def invoke(self, invocation: Invocation) -> Outcome:
        init_s = None if self.used else self.init_s
        self.used = True
        begun, wall = self._world.mono(), self._world.wall()
        about = orjson.dumps({
            "id": invocation.id,
            "deadline_ms": int((wall + invocation.timeout_s) * 1000),
            "arn": invocation.target,
            "trace": invocation.trace,
            "client": invocation.client,
        })  # fmt: skip
        self._send(ord("I"), _WORD.pack(len(about)) + about + invocation.event)
        kind, body = await self._answer(invocation.timeout_s)
        duration_s = self._world.mono() - begun
        if kind in (ord("R"), ord("E")) and _sound(kind, body[4:], len(body) >= _WORD.size):
            self._drain()
            (peak_kb,) = _WORD.unpack_from(body)
            rest = bytes(body[4:])
            if kind == ord("R"):
                return Outcome(answer=rest, duration_s=duration_s, peak_kb=peak_kb, init_s=init_s)
            return Outcome(error=rest, duration_s=duration_s, peak_kb=peak_kb, init_s=init_s)
        self.kill()  # if it still lives it said something it should not
        ended = await self._how()
        peak_kb = self._spec["memory_mb"] << 10 if ended.how == "memory" else self._peak_kb()
        return Outcome(ended=ended, duration_s=duration_s, peak_kb=peak_kb, init_s=init_s)

    def kill(self, reason: Ended | None = None) -> None:
        """End it at once; what waits for it hears ``reason``."""
        self.alive = False
        if not self._exit.done():
            self._kill_reason = self._kill_reason or reason
            self._zygote.kill(self._pid)

    def is_up(self) -> bool:
        """Whether it can still be given work, as far as the system knows now."""
        if not self.alive or self._peek is None:
            return False
        try:
            return bool(self._peek.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True  # silent, as it should be
        except OSError:
            return False

    async def gone(self) -> None:
        await asyncio.shield(self._exit)

    # -- the channel

    def _send(self, kind: int, body: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_HEAD.pack(kind, len(body)) + body)

    async def _answer(self, limit_s: float) -> tuple[int, bytes]:
        """The next frame; kind 0 when the process ended or was ended instead."""
        if not self.alive or self._exit.done():
            return 0, b""
        self._waiting = self._loop.create_future()
        timer = self._loop.call_later(limit_s, self.kill, Ended("timeout"))
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    async def _how(self) -> Ended:
        self.alive = False
        exited = await asyncio.shield(self._exit)
        if self._kill_reason is not None:
            return self._kill_reason
        if exited.status == 137:
            return Ended("memory", -9)
        if self._spec.get("program") and exited.status > 128:  # a signal, see guest/bootstrap.py
            return Ended("exit", 128 - exited.status)
        return Ended("exit", exited.status)

    def _peak_kb(self) -> int:
        return self._exit.result().peak_kb if self._exit.done() else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(buffer)
            if size > SANDBOX_ANSWER_BYTES_MAX:
                buffer.clear()
                self.kill(Ended("too-large", size))
                return
            end = _HEAD.size + size
            if len(buffer) < end:
                return
            body = bytes(memoryview(buffer)[_HEAD.size : end])
            del buffer[:end]
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result((kind, body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        """It closed its end: it is about to exit, with its status if it is quick, or is of no use."""
        self.alive = False
        if not self._exit.done():
            self._loop.call_later(_EXIT_GRACE_S, self.kill)

    def _exited(self, exited: Exit) -> None:
        if self._exit.done():
            return
        self.alive = False
        self._drain()
        if self._output >= 0:
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
        if self._line:
            self._emit([self._line])
            self._line = b""
        if self._peek is not None:
            self._peek.close()
            self._peek = None
        if self._transport is not None:
            self._transport.abort()
        while self._close_ways:
            self._close_ways.pop()()
        self._exit.set_result(exited)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result((0, b""))
        self.on_end()

    # -- output

    def _drain(self, reads: int = _PIPE_READS_MAX) -> None:
        """Everything in the pipe now, or its first part. What was printed before an answer is there before the answer."""
        lines: list[bytes] = []
        for _ in range(reads):  # a function that never stops printing does not stop us
            if self._output < 0:
                break
            try:
                data = os.read(self._output, _PIPE_READ_BYTES)
            except BlockingIOError:
                break
            if not data:
                self._loop.remove_reader(self._output)
                break
            *whole, self._line = (self._line + data).split(b"\n")
            lines += whole
            if len(self._line) > SANDBOX_LINE_BYTES_MAX:
                lines.append(self._line)
                self._line = b""
        if lines:
            self._emit(lines)

    def _emit(self, lines: list[bytes]) -> None:
        now_ms = int(self._world.wall() * 1000)
        self.listen([
            (now_ms, line[:SANDBOX_LINE_BYTES_MAX].decode("utf-8", "replace").replace("\x1e", "\n"))
            for line in lines
        ])  # fmt: skip


def _sound(kind: int, body: bytes, long_enough: bool) -> bool:
    """Whether a frame can be what it says: the code in there may write to the channel too."""
    if kind == ord("R"):
        return long_enough
    try:
        error = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return long_enough and isinstance(error, dict) and isinstance(error.get("errorType"), str)
