"""Transactions over one log: an overlay of batches not yet in the store, and group commit.

Three generations lie over the store's newest applied reading:

    current   writes of transactions run since the last hand-over; batch number ``_number``
    flying    the batch the commit thread is making durable; batch number ``_number - 1``
    store     everything durable, through one ``Reading`` renewed after each batch

``submit`` runs a body at once. Its answer is released when the newest batch it read from or wrote to
is durable. The commit thread takes one batch at a time: append to the log, apply to the store, tell the
loop. The next batch is handed over once per loop turn, when the thread is idle.

If another process takes the position first (a shared log), the winner's entry is applied and every
transaction that ran since is run again, in order: that is validation, and the only retry there is.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from stratolite.clock import World
from stratolite.core.log import Entry, Log, Writes, decode_entry, encode_entry
from stratolite.core.overlay import Layer, between, overlaid
from stratolite.core.store import Engine, StoreFull
from stratolite.core.tx import Tx, Wait
from stratolite.core.waits import Parked, Waits
from stratolite.errors import Conflict, Unavailable

T = TypeVar("T")
Body = Callable[[Tx], T]
Done = Callable[[Any, BaseException | None], None]
_MISS = object()
_PARSED_COUNT_MAX = 10_000
_SEQUENCE_BITS = 24


class Database:
    def __init__(self, log: Log, engine: Engine, world: World) -> None:
        """Replays what the log has and the store lacks. Call ``start`` on the loop that will use it."""
        self._log, self._engine, self._world = log, engine, world
        self.shared = log.shared
        self._writer = world.token(16)
        self._reading = engine.reading()
        self._last_time_s = 0.0
        self._replay()
        self._number = self._reading.position + 1
        self.durable = self._reading.position
        self._current: Writes = {}
        self._flying: Writes = {}
        self._current_waiters: list[tuple[Body[Any], Done, Any, BaseException | None]] = []
        self._flying_waiters: list[tuple[Body[Any], Done, Any, BaseException | None]] = []
        self._busy = self._kicked = False
        self._sequence = 0
        self._layers: dict[int, Layer] = {}  # write sets that were scanned, by identity
        self._waits = Waits(world, self._resume)
        self.failure: BaseException | None = None
        """Why nothing more is acknowledged, once that is so."""
        self.parsed: dict[bytes, tuple[bytes, Any, Any]] = {}
        self._handover: queue.SimpleQueue[tuple[int, Writes, int] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._commit_loop, name="commit", daemon=True)

    def _replay(self) -> None:
        position = self._reading.position + 1
        while (payload := self._log.read(position)) is not None:
            entry = decode_entry(payload)
            self._apply(entry.writes, position)
            self._last_time_s = max(self._last_time_s, entry.time_ms / 1000)
            position += 1
        self._renew()

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def close(self) -> None:
        """Make durable what was acknowledged or is about to be, then close."""
        while self._current or self._busy:
            await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, not time
        if self._thread.is_alive():
            self._handover.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
        self._waits.close()
        for parked in self._waits.take_all():
            parked.done(None, Unavailable("closing"))
        self._reading.close()
        self._engine.close()
        self._log.close()

    # -- running transactions

    def submit(self, body: Body[T], done: Done) -> Parked | None:
        """Run ``body(tx)`` now; call ``done(result, None)`` or ``done(None, error)`` when it is safe to answer.

        ``done`` may be called before ``submit`` returns. ``body`` may run several times. If it waits
        (``Tx.wait``), the handle to give that up by is returned.
        """
        if self.failure is not None:
            done(None, Unavailable(str(self.failure)))
            return None
        return self._run(body, done)

    async def transact(self, body: Body[T]) -> T:
        """``submit``, awaited."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def done(result: Any, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        parked = self.submit(body, done)
        if parked is None:
            return await future
        try:
            return await future
        finally:
            parked.cancel()

    def peek(self, body: Body[T]) -> T:
        """Run a read-only body now on the newest ordered state, durable or not.

        For what is looked up before a transaction and harmless if its batch is never acknowledged
        (whose key signed this?). Raises what the body raises.
        """
        tx = Tx(self, max(self._world.cloud(), self._last_time_s))
        result = body(tx)
        assert not tx.writes, "peek is for reading"
        return result

    def _run(self, body: Body[Any], done: Done, parked: Parked | None = None) -> Parked | None:
        now_s = self._world.cloud()
        if now_s < self._last_time_s:
            now_s = self._last_time_s
        self._last_time_s = now_s
        tx = Tx(self, now_s)
        result, error = None, None
        try:
            result = body(tx)
        except Wait as wait:
            return self._park(body, done, wait, parked)
        except Exception as caught:  # noqa: BLE001 - the caller's answer, released like any other
            error = caught
        else:
            if tx.writes:
                self._merge(tx)
        if tx.need > self.durable and not tx.relaxed:
            waiters = self._current_waiters if tx.need == self._number else self._flying_waiters
            waiters.append((body, done, result, error))
        else:
            done(result, error)
        return None

    def _merge(self, tx: Tx) -> None:
        self._current.update(tx.writes)
        tx.need = self._number
        if not self._kicked and not self._busy:
            self._kicked = True
            assert self._loop is not None, "start() comes first"
            self._loop.call_soon(self._kick)
        if self._waits.count:
            self._waits.changed(tx.writes)

    # -- what Tx asks

    def get_committed(self, tx: Tx, key: bytes) -> bytes | None:
        if self._current and (value := self._current.get(key, _MISS)) is not _MISS:
            tx.need = self._number
            return value  # type: ignore[return-value]
        if self._flying and (value := self._flying.get(key, _MISS)) is not _MISS:
            if tx.need < self._number:
                tx.need = self._number - 1
            return value  # type: ignore[return-value]
        return self._reading.get(key)

    def scan_committed(
        self, tx: Tx, start: bytes, stop: bytes, *, reverse: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = self._reading.scan(start, stop, reverse=reverse)
        for number, writes in ((self._number - 1, self._flying), (self._number, self._current)):
            if writes:
                layer = self._layers.get(id(writes))
                if layer is None or layer.writes is not writes:
                    layer = self._layers[id(writes)] = Layer(writes)
                keys = layer.keys()
                if at := between(keys, start, stop):
                    order = reversed(at) if reverse else at
                    # not a copy: nothing is merged into a generation while a transaction runs
                    fresh = map(keys.__getitem__, order)
                    rows = overlaid(tx, number, rows, fresh, writes, reverse=reverse)
        return rows

    def next_stamp(self) -> int:
        self._sequence += 1
        return self._number << _SEQUENCE_BITS | self._sequence

    def remember_parsed(self, key: bytes, raw: bytes, parse: Any, made: Any) -> None:
        if len(self.parsed) > _PARSED_COUNT_MAX:
            self.parsed.clear()
        self.parsed[key] = (raw, parse, made)

    # -- waiting

    def _park(self, body: Body[Any], done: Done, wait: Wait, parked: Parked | None) -> Parked:
        if parked is None:
            parked = Parked(self._waits, body, done)
        self._waits.park(parked, wait)
        return parked

    def _resume(self, parked: Parked) -> None:
        if parked.given_up:
            return
        if self.failure is not None:
            parked.done(None, Unavailable(str(self.failure)))
            return
        self._run(parked.body, parked.done, parked)

    # -- committing

    def _kick(self) -> None:
        self._kicked = False
        if self._busy or not self._current:
            return
        self._busy = True
        self._flying, self._current = self._current, {}
        self._flying_waiters, self._current_waiters = self._current_waiters, []
        self._handover.put((self._number, self._flying, int(self._last_time_s * 1000)))
        self._number += 1
        self._sequence = 0

    def _commit_loop(self) -> None:
        assert self._loop is not None
        while (batch := self._handover.get()) is not None:
            number, writes, time_ms = batch
            try:
                payload = encode_entry(Entry(self._writer, time_ms, writes))
                if self._log.append(number, payload):
                    self._apply(writes, number)
                    self._loop.call_soon_threadsafe(self._committed, number)
                    continue
                taken = self._log.read(number)
                if taken is None:
                    raise Conflict(f"position={number} is taken but cannot be read")
                entry = decode_entry(taken)
                self._apply(entry.writes, number)
                if entry.writer == self._writer:  # our own PUT, retried below us
                    self._loop.call_soon_threadsafe(self._committed, number)
                else:
                    self._loop.call_soon_threadsafe(self._lost, number, entry.writes)
            except BaseException as error:  # noqa: BLE001 - whatever it is, nothing more is acknowledged
                self._loop.call_soon_threadsafe(self._failed, error)
                return

    def _apply(self, writes: Writes, position: int) -> None:
        while True:
            try:
                self._engine.apply(writes, position)
                return
            except StoreFull:
                self._grow()

    def _grow(self) -> None:
        """On the loop, which is the one that reads, while the commit thread waits."""
        loop = self._loop
        if loop is None or threading.current_thread() is not self._thread:
            self._engine.grow()
            return
        grown: concurrent.futures.Future[None] = concurrent.futures.Future()

        def grow() -> None:
            try:
                self._engine.grow()
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                grown.set_exception(error)
            else:
                grown.set_result(None)

        loop.call_soon_threadsafe(grow)
        grown.result()

    def _committed(self, number: int) -> None:
        self.durable = number
        self._renew()
        released, self._flying_waiters = self._flying_waiters, []
        self._flying, self._busy = {}, False
        self._layers.clear()
        self._kick()  # the next batch leaves before the answers are written
        for _, done, result, error in released:
            done(result, error)

    def _lost(self, number: int, theirs: Writes) -> None:
        """Someone else's entry has our position: forget what we ran since, and run it again."""
        undone = [self._flying, self._current]
        self.durable = number
        self._number = number + 1
        self._sequence = 0
        self._renew()
        again = self._flying_waiters + self._current_waiters
        self._flying_waiters, self._current_waiters = [], []
        self._flying, self._current, self._busy = {}, {}, False
        self._layers.clear()
        if self._waits.count:  # they saw what we take back, or did not see theirs
            for writes in (theirs, *undone):
                self._waits.changed(writes)
        for body, done, _, _ in again:
            self._run(body, done)

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        waiting = self._flying_waiters + self._current_waiters
        self._flying_waiters, self._current_waiters = [], []
        self._flying, self._current, self._busy = {}, {}, False
        for _, done, _, _ in waiting:
            done(None, Unavailable(str(error)))
        for parked in self._waits.take_all():
            parked.done(None, Unavailable(str(error)))

    def _renew(self) -> None:
        self._reading.close()
        self._reading = self._engine.reading()
