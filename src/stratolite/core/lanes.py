"""Work on the pieces of one body, in order, in a thread, while the loop takes in the next ones.

A hop to a thread and back costs the loop some 40 us: a lane makes one for all that has come meanwhile, and
nobody waits for it unless it falls behind by ``LANE_BEHIND_BYTES_MAX``, so memory stays flat.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from stratolite.limits import (
    HASHED_TOGETHER_BYTES,
    HASHING_THREADS_MAX,
    LANE_BEHIND_BYTES_MAX,
)


class Lane:
    """Called on one loop. After a piece of work has failed the rest is passed over, but for what is put ``always``."""

    __slots__ = (
        "_done",
        "_enough",
        "_failure",
        "_guard",
        "_loop",
        "_pool",
        "_put",
        "_running",
        "_todo",
        "_waiter",
    )

    def __init__(self, pool: Executor) -> None:
        self._pool, self._loop = pool, asyncio.get_running_loop()
        self._todo: deque[tuple[Callable[[Any], None], Any, int, bool]] = deque()
        self._put = self._done = 0
        """Bytes given and dealt with; each piece counts one more, so that an empty one is waited for."""
        self._guard, self._running = threading.Lock(), False
        self._failure: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._enough = 0

    @property
    def idle(self) -> bool:
        return self._put == self._done

    def put(
        self, work: Callable[[Any], None], piece: Any, size_bytes: int, *, always: bool = False
    ) -> None:
        """``work(piece)`` after all that was put before."""
        self._put += size_bytes + 1
        self._todo.append((work, piece, size_bytes + 1, always))
        with self._guard:
            if self._running:
                return
            self._running = True
        self._pool.submit(self._run)

    async def room(self) -> None:
        """Until it is no longer far behind. Raises what the work raised."""
        if self._put - self._done > LANE_BEHIND_BYTES_MAX:
            await self._until(LANE_BEHIND_BYTES_MAX)
        if self._failure is not None:
            raise self._failure

    async def done(self) -> None:
        """Until all of it is. Raises what the work raised."""
        await self.ended()
        if self._failure is not None:
            raise self._failure

    async def ended(self) -> None:
        """As ``done``, whether or not it failed."""
        if self._put != self._done:
            await self._until(0)

    async def _until(self, behind: int) -> None:
        self._enough = behind
        waiter = self._waiter = self._loop.create_future()
        if self._put - self._done <= behind:  # before the thread could see that somebody waits
            self._waiter = None
            return
        await waiter

    def _run(self) -> None:
        while True:
            while self._todo:
                work, piece, size, always = self._todo.popleft()
                if self._failure is None or always:
                    try:
                        work(piece)
                    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                        self._failure = error
                work = piece = None  # type: ignore[assignment]
                self._done += size
                if self._waiter is not None and self._put - self._done <= self._enough:
                    self._loop.call_soon_threadsafe(self._wake)
            with self._guard:
                if not self._todo:
                    self._running = False
                    return

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None or self._put - self._done > self._enough:
            return  # called for one that did not have to wait
        self._waiter = None
        if not waiter.done():
            waiter.set_result(None)


_HASHERS = ThreadPoolExecutor(HASHING_THREADS_MAX, thread_name_prefix="hash")


class Hasher:
    """Digests of one body, made in a thread of what it is called with, piece after piece, whatever their size."""

    __slots__ = ("_lane", "_pending", "_pending_bytes", "_updates")

    def __init__(self, *updates: Callable[[bytes], object]) -> None:
        self._updates = updates
        self._lane = Lane(_HASHERS)
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def __call__(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes >= HASHED_TOGETHER_BYTES:
            self._hand_over()

    async def room(self) -> None:
        """Until it is no longer far behind."""
        await self._lane.room()

    async def done(self) -> None:
        """Until the digests are of all there was."""
        if self._pending:
            self._hand_over()
        await self._lane.done()

    def _hand_over(self) -> None:
        pending, size_bytes = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        self._lane.put(self._update, pending, size_bytes)

    def _update(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            for update in self._updates:
                update(piece)
