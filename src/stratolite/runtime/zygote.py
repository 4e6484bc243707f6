"""The server's end of a zygote: starts it, asks it for sandbox processes, hears of their ends.

The messages are documented in ``guest/zygote.py``. Everything here runs on the event loop; no call blocks.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import orjson

_log = logging.getLogger("stratolite.runtime")
_GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest", "zygote.py")
_MESSAGE_SIZE_BYTES_MAX = 64 << 10


class ZygoteLost(Exception):
    """The zygote ended, and all sandboxes with it. Start another and try again."""


class Exit(NamedTuple):
    status: int
    """Exit status, or minus the signal's number."""
    peak_kb: int


_Forked = tuple[int, list[socket.socket]]
_WAYS_OUT_MAX = 3


class Zygote:
    """One running zygote. ``guards`` names what its sandboxes are kept from."""

    def __init__(self, process: subprocess.Popen[bytes], end: socket.socket) -> None:
        self._process, self._socket = process, end
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._forks: dict[int, tuple[asyncio.Future[_Forked], Callable[[Exit], None]]] = {}
        self._exits: dict[int, Callable[[Exit], None]] = {}
        self._count = 0
        self._reaped: asyncio.Future[int] | None = None
        self.alive = True
        self.guards: list[str] = []
        self.pid = process.pid
        self._loop.add_reader(end.fileno(), self._readable)

    @classmethod
    async def start(
        cls, root_folder: str, sites: list[str], *, modules: str = "", strict: bool = False
    ) -> Zygote:
        """``root_folder`` is where a sandbox's root may be mounted; ``sites`` are readable in it.

        ``modules``, a folder, is there as /var/runtime/node_modules.

        ``strict``: sandboxes execute Python anew instead of going on from a fork.

        Raises ZygoteLost when it does not come up.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - vfork: a millisecond; our own file
                [sys.executable, "-I", "-S", _GUEST, str(theirs.fileno())],
                env={},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        zygote = cls(process, ours)
        wish = {"root": root_folder, "sites": sites, "modules": modules, "strict": strict}
        ours.send(orjson.dumps(wish))
        await zygote._ready
        return zygote

    async def fork(
        self, channel: int, output: int, ended: Callable[[Exit], None], ports: Sequence[int] = ()
    ) -> tuple[int, list[socket.socket]]:
        """The pid of a new sandbox process that holds copies of both descriptors.

        Also, if it has a network of its own, the sockets that listen in there on ``ports`` of 127.0.0.1.
        ``ended`` is called once when it has ended. Raises OSError if the system refuses, ZygoteLost.
        """
        if not self.alive:
            raise ZygoteLost("the zygote has ended")
        self._count += 1
        future: asyncio.Future[_Forked] = self._loop.create_future()
        self._forks[self._count] = (future, ended)
        message = orjson.dumps({"fork": self._count, "ports": ports})
        socket.send_fds(self._socket, [message], [channel, output])
        return await future

    def kill(self, pid: int) -> None:
        """End a sandbox at once, with everything it started as far as the guards reach."""
        if pid in self._exits and self.alive:
            try:
                self._socket.send(orjson.dumps({"kill": pid}))
            except OSError:
                self._lost()

    async def close(self) -> None:
        """End it and every sandbox; returns when the processes are gone."""
        self._lost()
        assert self._reaped is not None
        await self._reaped

    def _readable(self) -> None:
        found: list[int] = []
        try:
            raw, found, _, _ = socket.recv_fds(self._socket, _MESSAGE_SIZE_BYTES_MAX, _WAYS_OUT_MAX)
        except BlockingIOError:
            return
        except OSError:
            raw = b""
        if not raw:
            self._lost()
            return
        message = orjson.loads(raw)
        if "exit" in message:
            if ended := self._exits.pop(message["exit"], None):
                ended(Exit(message["status"], message["peak_kb"]))
        elif "forked" in message:
            future, ended = self._forks.pop(message["forked"])
            self._exits[message["pid"]] = ended
            ways_out = [socket.socket(fileno=descriptor) for descriptor in found]
            if not future.done():
                future.set_result((message["pid"], ways_out))
                return
            self.kill(message["pid"])  # nobody waits for it any more
            for way_out in ways_out:
                way_out.close()
        elif "failed" in message:
            future, _ = self._forks.pop(message["failed"])
            if not future.done():
                future.set_exception(OSError(message["error"]))
        elif "ready" in message:
            self.guards = message["ready"]
            self._ready.set_result(None)

    def _lost(self) -> None:
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._reaped = self._loop.run_in_executor(None, self._process.wait)
        lost = ZygoteLost("the zygote has ended")
        if not self._ready.done():
            self._ready.set_exception(lost)
        for future, _ in self._forks.values():
            if not future.done():
                future.set_exception(lost)
        self._forks.clear()
        exits, self._exits = self._exits, {}
        for ended in exits.values():
            ended(Exit(-9, 0))
