"""Transactions that wait for a change or a time, found by the keys that change.

The key space is cut at the start and stop of every span somebody waits on. Each piece between two cuts
knows who waits on it, so a written key finds its waiters by one bisection however many there are.
"""

from __future__ import annotations

import asyncio
import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from stratolite.clock import World
from stratolite.core.keys import Span

if TYPE_CHECKING:
    from stratolite.core.tx import Wait

_NEVER = float("inf")


class Parked:
    """A transaction that waits; the handle to give it up by."""

    __slots__ = ("_waits", "body", "done", "given_up", "number", "spans", "until_s")

    def __init__(self, waits: Waits, body: Callable[..., Any], done: Callable[..., None]) -> None:
        self._waits = waits
        self.body, self.done = body, done
        self.spans: Sequence[Span] = ()
        self.until_s = _NEVER
        self.number = 0  # 0 while it is not parked
        self.given_up = False

    def cancel(self) -> None:
        """Nobody is interested any more; ``done`` will not be called by a later wake-up."""
        self.given_up = True
        self._waits.remove(self)


class Waits:
    def __init__(self, world: World, resume: Callable[[Parked], None]) -> None:
        """``resume`` runs a transaction again; called from the loop, never from inside another."""
        self._world, self._resume = world, resume
        self._cuts: list[bytes] = []
        self._pieces: dict[bytes, set[Parked]] = {}  # a cut -> who waits on what follows it
        self._ends: dict[bytes, int] = {}  # a cut -> how many spans start or stop there
        self._timers: list[tuple[float, int, Parked]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._number = 0
        self.count = 0
        world.watch(self._clock_moved)

    def park(self, parked: Parked, wait: Wait) -> None:
        self._number += 1
        self.count += 1
        parked.number, parked.spans, parked.until_s = self._number, wait.spans, wait.until_s
        for start, stop in wait.spans:
            if start < stop:
                self._add(parked, start, stop)
        if wait.until_s != _NEVER:
            if len(self._timers) > 2 * self.count + 64:  # most are of waits that ended early
                self._timers = [t for t in self._timers if t[2].number == t[1]]
                heapq.heapify(self._timers)
            heapq.heappush(self._timers, (wait.until_s, parked.number, parked))
            if self._timers[0][1] == parked.number:
                self._arm()

    def remove(self, parked: Parked) -> bool:
        """False if it was not parked."""
        if not parked.number:
            return False
        parked.number = 0
        self.count -= 1
        for start, stop in parked.spans:
            if start < stop:
                self._drop(parked, start, stop)
        return True

    def changed(self, keys: Iterable[bytes]) -> None:
        """Wake who waits on one of ``keys``, the longest waiting first."""
        cuts, pieces = self._cuts, self._pieces
        if not cuts:
            return
        woken: set[Parked] = set()
        for key in keys:
            at = bisect_right(cuts, key)
            if at and (found := pieces[cuts[at - 1]]):
                woken |= found
        if woken:
            self._wake(sorted(woken, key=lambda parked: parked.number))

    def take_all(self) -> list[Parked]:
        """Everybody, no longer parked."""
        every = {p for piece in self._pieces.values() for p in piece}
        every |= {timer[2] for timer in self._timers if timer[2].number == timer[1]}
        ordered = sorted(every, key=lambda parked: parked.number)
        for parked in ordered:
            self.remove(parked)
        return ordered

    def close(self) -> None:
        self._world.unwatch(self._clock_moved)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # -- the pieces

    def _add(self, parked: Parked, start: bytes, stop: bytes) -> None:
        self._cut(start)
        self._cut(stop)
        cuts, pieces = self._cuts, self._pieces
        at = bisect_left(cuts, start)
        while cuts[at] != stop:
            pieces[cuts[at]].add(parked)
            at += 1

    def _drop(self, parked: Parked, start: bytes, stop: bytes) -> None:
        cuts, pieces = self._cuts, self._pieces
        at = bisect_left(cuts, start)
        while cuts[at] != stop:
            pieces[cuts[at]].discard(parked)
            at += 1
        for cut in (start, stop):
            self._ends[cut] -= 1
            if not self._ends[cut]:  # what follows is now as what came before
                del self._ends[cut], pieces[cut]
                del cuts[bisect_left(cuts, cut)]

    def _cut(self, key: bytes) -> None:
        if key in self._ends:
            self._ends[key] += 1
            return
        at = bisect_left(self._cuts, key)
        before = self._pieces[self._cuts[at - 1]] if at else ()
        insort(self._cuts, key)
        self._pieces[key] = set(before)
        self._ends[key] = 1

    # -- the clock

    def _clock_moved(self) -> None:
        if self._timers:
            self._arm()

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._timers:
            delay_s = max(0.0, self._timers[0][0] - self._world.cloud())
            # a day at a time: loops refuse very long timers
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(delay_s, 86_400.0), self._wake_due)

    def _wake_due(self) -> None:
        now_s, due = self._world.cloud(), []
        while self._timers and self._timers[0][0] <= now_s:
            _, number, parked = heapq.heappop(self._timers)
            if parked.number == number:
                due.append(parked)
        self._wake(due)
        self._arm()

    def _wake(self, woken: Sequence[Parked]) -> None:
        loop = asyncio.get_running_loop()
        for parked in woken:
            self.remove(parked)
            loop.call_soon(self._resume, parked)
