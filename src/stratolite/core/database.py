"""Transactions over one log: an overlay of batches not yet in the store, and group commit.

Three generations lie over the store's newest applied reading:

    current   writes of transactions run since the last hand-over; batch number ``_number``
    flying    the batch the commit thread is making durable; batch number ``_number - 1``
    store     everything durable, through one ``Reading`` renewed after each batch

``submit`` runs a body at once. Its answer is released when the newest batch it read from or wrote to
is durable. The commit thread takes one batch at a time: append to the log, apply to the store, tell the
loop. The next batch is handed over when the thread is idle and the loop has run what had come in: fewer,
larger batches, which also keeps the thread's work out of the loop's way. While a batch that is being
gathered is near its limit, transactions wait before they run.

If another process takes the position first (a shared log), the winner's entry is applied and every
transaction that ran since is run again, in order: that is validation, and the only retry there is.
On a shared log the tail is also looked at when there is nothing to do, and before the first transaction
after ``_STALE_S`` without a look: what a caller sees is never older than that.

When the log or the store fails, every caller gets Unavailable, and nothing is acknowledged until
log and store have been opened again and replayed: only that tells which of the writes in flight are
true. It is tried with growing pauses for as long as it takes (a full disk, a bucket out of reach).
What no retry can mend (``Damaged``, ``Fenced``) stays failed and calls ``on_dead``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, TypeVar

from stratolite.clock import World
from stratolite.core.background import Background, CommitThread
from stratolite.core.log import Damaged, Entry, Log, Writes, decode_entry, encode_entry
from stratolite.core.overlay import Layer, between, overlaid
from stratolite.core.store import Engine, StoreFull, apply
from stratolite.core.tx import Tx, Wait
from stratolite.core.waits import Parked, Waits
from stratolite.errors import Conflict, Fault, Fenced, Unavailable
from stratolite.limits import BATCH_SIZE_BYTES_MAX, RELAXED_GATHER_S, TX_SIZE_BYTES_MAX

T = TypeVar("T")
Body = Callable[[Tx], T]
Done = Callable[[Any, BaseException | None], None]
_log = logging.getLogger("stratolite.database")
_MISS = object()
_PARSED_COUNT_MAX = 10_000
_SEQUENCE_BITS = 24
_APPLIED_AT_ONCE = (
    1000  # entries of others in one job, so that a far tail does not hold the loop's work
)
_HOLD_ABOVE_BYTES = BATCH_SIZE_BYTES_MAX - TX_SIZE_BYTES_MAX
_STALE_S = 1.0
_TURNS_MAX = 8  # of the loop that a batch waits while each brings more of it
_FOLLOW_S = 0.5, 4.0  # between looks at a shared log's tail: at first, and when it is quiet
_RECOVER_S = 0.1, 5.0  # between attempts to open log and store again: at first, and at most


class Database:
    def __init__(
        self,
        log: Log,
        engine: Engine,
        world: World,
        *,
        reopen: Callable[[], tuple[Log, Engine]] | None = None,
        closed: Callable[[], None] | None = None,
        background: Background | None = None,
    ) -> None:
        """Replays what the log has and the store lacks. Call ``start`` on the loop that will use it.

        ``reopen`` opens log and store again after a failure; without it a failure is final. ``closed``
        is called at the end of an orderly close.
        """
        self._log, self._engine, self._world = log, engine, world
        self.shared = log.shared
        self._writer = world.token(16)
        self._last_time_s = 0.0
        looked_s = world.mono()
        try:
            _, self._last_time_s = replay(log, engine)
        except BaseException as error:
            engine.close()
            log.close()
            if isinstance(error, OSError):
                raise Unavailable(f"the store cannot be brought up to date: {error}") from error
            raise
        self._reading = engine.reading()
        self._number = self._reading.position + 1
        self.durable = self._reading.position
        self._current: Writes = {}
        self._flying: Writes = {}
        self._current_size_bytes = 0
        self._current_waiters: list[tuple[Body[Any], Done, Any, BaseException | None]] = []
        self._flying_waiters: list[tuple[Body[Any], Done, Any, BaseException | None]] = []
        self._busy = self._kicked = False
        self._lazy: asyncio.TimerHandle | None = None
        self._gathered_count = self._turns = 0  # of the batch about to be handed over
        self._sequence = 0
        self._followers: list[asyncio.Future[None]] = []
        self._layers: dict[int, Layer] = {}  # write sets that were scanned, by identity
        self._waits = Waits(world, self._resume)
        self.failure: BaseException | None = None
        """Why nothing more is acknowledged, once that is so."""
        self.parsed: dict[bytes, tuple[Any, int, Any]] = {}
        """What ``Tx.parsed`` keeps: key -> (parse, batch that wrote the value as far as known, parsed). An entry is
        true as long as it is here: whatever writes its key, or takes a write back, removes it."""
        self.vault: Any = None
        """What ``state`` files seal with (``core.vault``), once it is open."""
        self.on_dead: Callable[[BaseException], None] | None = None
        """Called once with a failure that no retry can mend: the process should end."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._background = background or CommitThread()
        self._reopen, self._closed = reopen, closed
        self._recover_pause_s = _RECOVER_S[0]
        self._closing = False
        self.appended_bytes = 0
        self._looked_s = looked_s
        self._began_s = self._looked_s  # the job under way, or the last one
        self._held: list[Parked] = []  # wait for a look at the tail that begins after they came
        self._looking: list[Parked] = []  # the look under way is theirs
        self._full: list[Parked] = []  # wait for room in the batch
        self._tasks: set[asyncio.Future[Any]] = set()

    @property
    def log(self) -> Log:
        """The log as it is open now; another object after a recovery."""
        return self._log

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._background.start(self._loop)
        if self.shared:
            self._keep(self._follow())

    def _keep(self, task: Coroutine[Any, Any, None]) -> None:
        kept = asyncio.ensure_future(task)
        self._tasks.add(kept)
        kept.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Make durable what was acknowledged or is about to be, then close."""
        self._closing = True
        if self._current and not self._busy and not self._kicked:
            self._kick_soon()
        while self._current or self._busy:  # noqa: ASYNC110 - only close() waits for all to be done
            await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, not time
        for task in list(self._tasks):
            task.cancel()
        await self._background.stop()
        self._waits.close()
        for parked in self._waits.take_all():
            parked.done(None, Unavailable("closing"))
        if self.failure is None:
            self._reading.close()
            self._engine.close()
            if self._closed:  # under the log's lock still
                self._closed()
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
        if self._current_size_bytes > _HOLD_ABOVE_BYTES:
            self._full.append(parked := Parked(self._waits, body, done))
            return parked
        if self.shared and self._world.mono() - self._looked_s > _STALE_S:
            self._held.append(parked := Parked(self._waits, body, done))
            self._look()
            return parked
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
        if self.failure is not None:
            raise Unavailable(str(self.failure))
        tx = Tx(self, max(self._world.cloud(), self._last_time_s))
        result = body(tx)
        assert not tx.writes, "peek is for reading"
        return result

    def _run(self, body: Body[Any], done: Done, parked: Parked | None = None) -> Parked | None:
        now_s = self._world.cloud()
        if now_s < self._last_time_s:  # noqa: PLR1730 - max() costs more, on every transaction
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
                size_bytes = _size_bytes(tx.writes)
                if size_bytes > TX_SIZE_BYTES_MAX:
                    result = None
                    error = Fault(
                        "RequestEntityTooLarge",
                        f"One call may write {TX_SIZE_BYTES_MAX} bytes, this one wrote {size_bytes}",
                        status=413,
                    )
                else:
                    self._merge(tx)
                    self._current_size_bytes += size_bytes
        if tx.need > self.durable:
            waiters = self._current_waiters if tx.need == self._number else self._flying_waiters
            # A relaxed one is answered now, but a lost race must not lose what it wrote.
            waiters.append((body, _answered if tx.relaxed else done, result, error))
            if not tx.relaxed:
                if self._lazy is not None and not self._kicked:
                    self._kick_soon()  # now somebody does wait for it
                return None
        done(result, error)
        return None

    def _merge(self, tx: Tx) -> None:
        self._current.update(tx.writes)
        if not self.parsed.keys().isdisjoint(tx.writes):
            for key in tx.writes:
                self.parsed.pop(key, None)
        tx.need = self._number
        if not self._kicked and not self._busy:
            if tx.relaxed:
                self._kick_later()
            else:
                self._kick_soon()
        if self._waits.count:
            self._waits.changed(tx.writes)

    def _kick_soon(self) -> None:
        self._kicked = True
        assert self._loop is not None, "start() comes first"
        self._loop.call_soon(self._kick)

    def _kick_later(self) -> None:
        """Nobody waits for it: let it go with the next batch that somebody waits for, or after a moment."""
        if self._lazy is None:
            assert self._loop is not None, "start() comes first"
            self._lazy = self._loop.call_later(RELAXED_GATHER_S, self._kick)

    # -- following the log

    async def beyond(self, position: int) -> None:
        """Returns when something after ``position`` is durable."""
        while self.durable <= position:
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._followers.append(waiting)
            await waiting

    async def read_log(self, position: int, size_bytes: int) -> list[tuple[int, Entry]]:
        """Durable entries from ``position`` on, a page of about ``size_bytes``. Raises as ``Log.read``."""
        page: asyncio.Future[list[tuple[int, Entry]]] = asyncio.get_running_loop().create_future()
        durable = self.durable

        def read() -> Callable[[], None]:
            found: list[tuple[int, Entry]] = []
            left_bytes = size_bytes
            try:
                for at, payload in self._log.entries(position):
                    found.append((at, decode_entry(payload)))
                    left_bytes -= len(payload)
                    if left_bytes <= 0 or at >= durable:
                        break
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                return partial(_give, page, None, error)
            return partial(_give, page, found, None)

        if self.failure is not None:
            raise Unavailable(str(self.failure))
        self._background.run(read)
        return await page

    def _tell_followers(self) -> None:
        waiting, self._followers = self._followers, []
        for one in waiting:
            if not one.done():
                one.set_result(None)

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

    def is_durable(self, key: bytes) -> bool:
        return key not in self._current and key not in self._flying

    def scan_committed(
        self, tx: Tx, start: bytes, stop: bytes, *, reverse: bool, expected: int
    ) -> Iterator[tuple[bytes, bytes]]:
        rows = self._reading.scan(start, stop, reverse=reverse, expected=expected)
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

    def remember_parsed(
        self, key: bytes, number: int, parse: Any, made: Any
    ) -> tuple[Any, int, Any]:
        if len(self.parsed) > _PARSED_COUNT_MAX:
            self.parsed.clear()
        known = self.parsed[key] = (parse, number, made)
        return known

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

    def _release_full(self) -> None:
        full, self._full = self._full, []
        for parked in full:
            asyncio.get_running_loop().call_soon(self._retry, parked)

    def _retry(self, parked: Parked) -> None:
        if not parked.given_up and self._current_size_bytes > _HOLD_ABOVE_BYTES:
            self._full.append(parked)
        else:
            self._resume(parked)

    # -- committing

    def _kick(self) -> None:
        """Hand the batch over, unless this turn of the loop brought more of it and the next one may, too."""
        self._kicked = False
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._busy or not self._current:
            return
        count = len(self._current_waiters)
        if count > self._gathered_count and self._turns < _TURNS_MAX:
            self._gathered_count = count
            self._turns += 1
            self._kick_soon()
            return
        self._gathered_count = self._turns = 0
        self._busy = True
        self._flying, self._current = self._current, {}
        self._flying_waiters, self._current_waiters = self._current_waiters, []
        self._background.run(
            partial(self._commit, self._number, self._flying, int(self._last_time_s * 1000))
        )
        self._number += 1
        self._sequence = 0
        if self.shared:
            self._began_s = self._world.mono()
        self._current_size_bytes = 0
        self._release_full()

    def _commit(self, number: int, writes: Writes, time_ms: int) -> Callable[[], None]:
        """In the background: make the batch durable and visible, or learn who was first."""
        try:
            payload = encode_entry(Entry(self._writer, time_ms, writes))
            if self._log.append(number, payload):
                self._apply(writes, number)
                self.appended_bytes += len(payload)
                return partial(self._committed, number)
            theirs = self._apply_tail(number)
            if not theirs:
                raise Conflict(f"position={number} is taken but cannot be read")
            return partial(self._lost, theirs)
        except BaseException as error:  # noqa: BLE001 - whatever it is, nothing more is acknowledged
            return partial(self._failed, error)

    def _apply_tail(self, position: int) -> list[Entry]:
        """Apply the entries from ``position`` on, up to a bound."""
        theirs: list[Entry] = []
        while len(theirs) < _APPLIED_AT_ONCE:
            payload = self._log.read(position + len(theirs))
            if payload is None:
                break
            entry = decode_entry(payload)
            self._apply(entry.writes, position + len(theirs))
            theirs.append(entry)
        return theirs

    def _apply(self, writes: Writes, position: int) -> None:
        while True:
            try:
                self._engine.apply(writes, position)
                return
            except StoreFull:
                self._background.on_loop(self._engine.grow)  # the loop is the one that reads

    def _committed(self, number: int) -> None:
        self.durable = number
        self._looked_s = self._began_s
        self._renew()
        released, self._flying_waiters = self._flying_waiters, []
        self._flying, self._busy = {}, False
        self._layers.clear()
        if self._held:
            self._look()
        elif self._current and not self._kicked:
            self._kick_soon()
        if self._followers:
            self._tell_followers()
        for _, done, result, error in released:
            try:
                done(result, error)
            except Exception:  # noqa: BLE001 - a bug of one caller; the others' answers must go out
                _log.exception("an answer could not be given")

    def _lost(self, theirs: list[Entry]) -> None:
        """Others' entries have our positions: forget what we ran since, and run it again."""
        self.parsed.clear()
        undone = [self._flying, self._current]
        self._current_size_bytes = 0
        self.durable += len(theirs)
        self._number = self.durable + 1
        self._sequence = 0
        self._last_time_s = max(self._last_time_s, *(entry.time_ms / 1000 for entry in theirs))
        self._looked_s = self._began_s
        self._renew()
        again = self._flying_waiters + self._current_waiters
        self._flying_waiters, self._current_waiters = [], []
        self._flying, self._current, self._busy = {}, {}, False
        self._layers.clear()
        if self._waits.count:  # they saw what we take back, or did not see theirs
            for writes in (*(entry.writes for entry in theirs), *undone):
                self._waits.changed(writes)
        for body, done, _, _ in again:
            self._run(body, done)
        if self._held:
            self._look()
        self._release_full()

    # -- a log that others write to

    def _look(self) -> None:
        """Apply what others appended, unless a job under way will tell anyway."""
        if not self._busy:
            self._busy = True
            self._began_s = self._world.mono()
            self._looking, self._held = self._held, []
            self._background.run(partial(self._look_now, self.durable + 1))

    def _look_now(self, position: int) -> Callable[[], None]:
        try:
            return partial(self._looked, self._apply_tail(position))
        except BaseException as error:  # noqa: BLE001 - as in _commit
            return partial(self._failed, error)

    def _looked(self, theirs: list[Entry]) -> None:
        released, self._looking = self._looking, []
        if len(theirs) == _APPLIED_AT_ONCE:  # not the end yet
            self._held += released
            released = []
        if theirs:
            self._lost(theirs)
        else:
            self._busy = False
            self._looked_s = self._began_s
            if self._held:
                self._look()
            else:
                self._kick()
        for parked in released:
            self._resume(parked)

    async def _follow(self) -> None:
        pause_s, seen = _FOLLOW_S[0], self.durable
        while True:
            await self._world.sleep(pause_s)
            pause_s = _FOLLOW_S[0] if self.durable != seen else min(pause_s * 2, _FOLLOW_S[1])
            seen = self.durable
            quiet = self._world.mono() - self._looked_s >= _FOLLOW_S[0]  # a commit is a look, too
            if quiet and self.failure is None and not self._closing:
                self._look()

    async def catch_up(self) -> None:
        """See everything that others had acknowledged when this was called. Raises Unavailable."""
        self._looked_s = float("-inf")
        await self.transact(lambda _: None)

    # -- failure and recovery

    def _failed(self, error: BaseException) -> None:
        self.failure = error
        self.parsed.clear()
        self._reading.close()
        waiting = self._flying_waiters + self._current_waiters
        self._flying_waiters, self._current_waiters = [], []
        self._flying, self._current, self._busy = {}, {}, False
        self._layers.clear()
        for _, done, _, _ in waiting:
            done(None, Unavailable(str(error)))
        held = self._held + self._looking + self._full
        self._held, self._looking, self._full = [], [], []
        self._current_size_bytes = 0
        for parked in (*held, *self._waits.take_all()):
            parked.done(None, Unavailable(str(error)))
        self._background.run(self._abandon)

    def _abandon(self) -> Callable[[], None]:
        """In the background: let go of log and store, whatever state they are in."""
        for part in (self._engine, self._log):
            with contextlib.suppress(
                Exception
            ):  # they failed already; opening again tells what is true
                part.close()
        return self._plan_recovery

    def _plan_recovery(self) -> None:
        assert self.failure is not None
        if self._closing:
            return
        if self._reopen is None or not _mendable(self.failure):
            if self.on_dead:
                self.on_dead(self.failure)
            return
        self._keep(self._recover_later())

    async def _recover_later(self) -> None:
        pause_s = self._recover_pause_s
        self._recover_pause_s = min(pause_s * 2, _RECOVER_S[1])
        await self._world.sleep(pause_s)
        self._busy = True
        self._began_s = self._world.mono()
        self._background.run(self._recover)

    def _recover(self) -> Callable[[], None]:
        assert self._reopen is not None
        try:
            log, engine = self._reopen()
        except BaseException as error:  # noqa: BLE001 - the next attempt, or the end
            return partial(self._unrecovered, error)
        try:
            _, time_s = replay(log, engine)
            return partial(self._recovered, log, engine, time_s)
        except BaseException as error:  # noqa: BLE001 - as above
            for part in (engine, log):
                with contextlib.suppress(Exception):
                    part.close()
            return partial(self._unrecovered, error)

    def _unrecovered(self, error: BaseException) -> None:
        self.failure, self._busy = error, False
        self._plan_recovery()

    def _recovered(self, log: Log, engine: Engine, time_s: float) -> None:
        self._log, self._engine = log, engine
        self._last_time_s = max(self._last_time_s, time_s)
        self._reading = engine.reading()
        self.durable = self._reading.position
        self._number = self.durable + 1
        self._sequence = 0
        self._busy, self.failure = False, None
        self._recover_pause_s = _RECOVER_S[0]
        self._looked_s = self._began_s

    def _renew(self) -> None:
        self._reading.close()
        self._reading = self._engine.reading()


def replay(log: Log, engine: Engine) -> tuple[int, float]:
    """Apply what the log has and the store lacks. Gives the last position and the newest entry's time, in s."""
    reading = engine.reading()
    position, time_s = reading.position, 0.0
    reading.close()
    if position >= log.first and (newest := log.read(position)) is not None:
        time_s = decode_entry(newest).time_ms / 1000
    for position, payload in log.entries(position + 1):  # noqa: B020 - the first value is the start
        entry = decode_entry(payload)
        apply(engine, entry.writes, position)
        time_s = max(time_s, entry.time_ms / 1000)
    return position, time_s


def _give(
    future: asyncio.Future[list[tuple[int, Entry]]],
    found: list[tuple[int, Entry]] | None,
    error: BaseException | None,
) -> None:
    if future.done():
        return
    if found is None:
        assert error is not None
        future.set_exception(error)
    else:
        future.set_result(found)


def _size_bytes(writes: Writes) -> int:
    if None in writes.values():
        return sum(map(len, writes)) + sum([len(value) for value in writes.values() if value])
    return sum(map(len, writes)) + sum(map(len, writes.values()))  # type: ignore[arg-type]


def _mendable(error: BaseException) -> bool:
    return isinstance(error, Exception) and not isinstance(error, Damaged | Fenced)


def _answered(_result: Any, _error: BaseException | None) -> None:
    """The caller of a relaxed transaction has its answer."""
