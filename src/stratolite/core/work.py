"""Work done later: durable queues of jobs, put in the transaction that makes them necessary.

    work.put(tx, "lambda.async", payload)                        # with the facts that call for it
    work.put(tx, "logs.expire", payload, due_s=...)              # not before then, on the cloud clock

A job's life: put -> ready (or later, until it is due) -> claimed -> settled, which removes it together
with what its effect led to. The effect runs between the two, outside the store. A crash or an error
brings the job back: effects happen at least once, settling exactly once.

Jobs of a queue start in the order they became ready. Where the worker is ``ordered``, jobs of one
partition run one after another and a failing one holds up its own partition, nobody else's.

Keys, all under ("", "", "work"); a row is msgpack [stamp, attempts, partition, due_ms]:

    ("queue", queue)                       -> ""       every queue ever used
    ("job", queue, stamp)                  -> payload  there until settled or cancelled; of a larger one the first
                                              VALUE_SIZE_BYTES_MAX bytes
    ("part", queue, stamp, n)              -> the n-th as many bytes of a payload that is larger, from 1 on
    ("later", queue, due_ms, stamp)        -> row
    ("ready", queue, order)                -> row      order: the stamp at which it became ready
    ("claim", queue, stamp)                -> msgpack [owner, attempts, until_ms, partition, due_ms]
    ("head", queue, partition)             -> msgpack stamp: the one job of it that may run
    ("behind", queue, partition, order)    -> row      ready, but behind the head of its partition

The last two exist for ordered queues only, and ``behind`` only for jobs that were found ready while
their partition had a head. ``owner`` is one run of one process, ``attempts`` fences its claims from each
other, ``until_ms`` (wall clock) ends a claim where several processes share the log; elsewhere nobody
else can be running, and a claim by anyone but us is dead. ``due_ms`` is what the job was put for, 0 for at
once, through all its attempts: a part of its id. Rows and claims written before it was kept end without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.keys import Keyspace, unpack
from stratolite.core.keys import pack as pack_key
from stratolite.core.tx import Tx
from stratolite.errors import Unavailable
from stratolite.limits import (
    VALUE_SIZE_BYTES_MAX,
    WORK_CLOSE_S,
    WORK_LEASE_S,
    WORK_PARTITION_BYTES_MAX,
    WORK_PAUSE_S,
    WORK_RETRY_S_FIRST,
    WORK_RETRY_S_MAX,
    WORK_STEP_COUNT_MAX,
)

T = TypeVar("T")
_log = logging.getLogger("stratolite.work")
_WORK = Keyspace("", "", "work")
_QUEUES = _WORK["queue"]
_encode = msgspec.msgpack.Encoder().encode
_decode_stamp = msgspec.msgpack.Decoder(int).decode


class Job(NamedTuple):
    """A unit of committed work."""

    id: bytes
    """What ``put`` answered for it."""
    queue: str
    partition: bytes
    payload: bytes
    attempt: int
    """1 the first time."""


Settle = Callable[[Tx], None]
SettleAll = Callable[[Tx, list[Job]], None]
"""Gets those of the jobs that are still to be settled."""


class Worker(Protocol):
    """Carries out the jobs of one queue: claim (the platform), effect (``handle``), settle (a tx).

    ``handle`` runs outside the store and may run again after a crash. What it returns is run in the
    transaction that removes the job, only while the claim still holds. If it raises, the job comes
    back after a growing delay, for ever: handle what must not be retried.

    A worker with ``endless = True`` has jobs that end only when somebody wants them to (whoever reads a
    stream): they are cancelled at once when we are asked to stop, and begin again at the next start.

    A worker with ``together = N`` is not ``ordered`` and has ``handle_all(jobs) -> SettleAll | None`` instead of ``handle``:
    it gets up to N jobs that are ready at the same time, and settles them in one transaction. A job that came back is
    carried out alone. ``concurrency`` is then how many such bundles are under way.
    """

    queue: str
    """``<service>.<what>``, e.g. ``lambda.async``."""
    ordered: bool
    """Whether jobs of one partition run one after another, oldest first."""
    concurrency: int

    async def handle(self, job: Job) -> Settle | None: ...


class _Row(NamedTuple):
    stamp: int
    attempts: int
    partition: bytes
    due_ms: int = 0


class _Claim(NamedTuple):
    owner: bytes
    attempts: int
    until_ms: int
    partition: bytes
    due_ms: int = 0


_decode_row = msgspec.msgpack.Decoder(_Row).decode
_decode_claim = msgspec.msgpack.Decoder(_Claim).decode


class _QueueKeys:
    """Where one queue keeps its rows."""

    __slots__ = ("behind", "claim", "head", "job", "later", "part", "ready", "seen")

    def __init__(self, queue: str) -> None:
        self.seen = _QUEUES.key(queue)
        self.job, self.later, self.ready = (_WORK[k][queue] for k in ("job", "later", "ready"))
        self.claim, self.head, self.behind = (_WORK[k][queue] for k in ("claim", "head", "behind"))
        self.part = _WORK["part"][queue]

    def put_payload(self, tx: Tx, stamp: int, payload: bytes) -> None:
        tx.put(self.job.key(stamp), payload[:VALUE_SIZE_BYTES_MAX])
        for at in range(VALUE_SIZE_BYTES_MAX, len(payload), VALUE_SIZE_BYTES_MAX):
            part = payload[at : at + VALUE_SIZE_BYTES_MAX]
            tx.put(self.part.key(stamp, at // VALUE_SIZE_BYTES_MAX), part)

    def payload(self, tx: Tx, stamp: int) -> bytes | None:
        first = tx.get(self.job.key(stamp))
        if first is None or len(first) < VALUE_SIZE_BYTES_MAX:
            return first
        return b"".join([first, *(part for _, part in tx.scan(self.part.span(stamp)))])

    def drop_payload(self, tx: Tx, stamp: int) -> bool:
        """Whether it was there."""
        key = self.job.key(stamp)
        first = tx.get(key)
        if first is None:
            return False
        tx.delete(key)
        if len(first) == VALUE_SIZE_BYTES_MAX:
            for part_key, _ in list(tx.scan(self.part.span(stamp))):
                tx.delete(part_key)
        return True


_KEYS: dict[str, _QueueKeys] = {}


def _keys(queue: str) -> _QueueKeys:
    found = _KEYS.get(queue)
    if found is None:
        found = _KEYS[queue] = _QueueKeys(queue)
    return found


def put(
    tx: Tx, queue: str, payload: bytes, *, partition: bytes = b"", due_s: float | None = None
) -> bytes:
    """Leave a job for the worker of ``queue``; its id. ``due_s`` is on the cloud clock.

    ``payload`` is as large as a transaction may be, else Fault at its end. Jobs of a ``partition`` keep their order where the
    worker asks for it; one that is due later takes its place when it is due.
    """
    assert len(partition) <= WORK_PARTITION_BYTES_MAX, len(partition)
    keys = _keys(queue)
    stamp = tx.stamp()
    if tx.get(keys.seen) is None:
        tx.put(keys.seen, b"")
    keys.put_payload(tx, stamp, payload)
    due_ms = 0
    if due_s is not None and due_s > tx.time_s:
        due_ms = int(due_s * 1000) + 1  # never before the time that was asked for
    row = _encode(_Row(stamp, 0, partition, due_ms))
    tx.put(keys.later.key(due_ms, stamp) if due_ms else keys.ready.key(stamp), row)
    return pack_key((queue, stamp, due_ms))


def cancel(tx: Tx, job_id: bytes) -> bool:
    """Take a job back; False if it is already settled or cancelled.

    One under way is not interrupted, but what it wants to settle is dropped.
    """
    queue, stamp, due_ms = unpack(job_id)
    assert isinstance(queue, str)
    assert isinstance(stamp, int)
    keys = _keys(queue)
    if not keys.drop_payload(tx, stamp):
        return False
    if due_ms:
        tx.delete(keys.later.key(due_ms, stamp))
    return True  # a ready row is dropped when the worker comes to it


class Workers:
    """Carries out what is left in the queues. ``start`` on the loop, ``close`` before the database."""

    put = staticmethod(put)
    cancel = staticmethod(cancel)

    def __init__(self, db: Database, world: World, find: Callable[[str], Worker | None]) -> None:
        """``find`` gives the worker of a queue, None if nobody has it; asked when it has its first job."""
        self.db, self.world, self._find = db, world, find
        self.owner = world.token(8)
        self._registered: dict[str, Worker] = {}
        self._runners: dict[str, _Runner] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def register(self, worker: Worker) -> None:
        """A worker that ``find`` does not know."""
        self._registered[worker.queue] = worker

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._watch(), name="work: queues"))
        if self.db.shared:
            self._tasks.append(loop.create_task(self._renew_for_ever(), name="work: leases"))

    async def close(self) -> None:
        """Take no more; give what is under way ``WORK_CLOSE_S``; hand back what is left."""
        if self._closing:
            return
        self._closing = True
        runners = list(self._runners.values())
        endless = [task for r in runners if r.is_endless for task in r.running.values()]
        await _stop([*self._tasks, *(r.task for r in runners), *endless])
        running = [task for runner in runners for task in runner.running.values()]
        if running:
            _, late = await asyncio.wait(running, timeout=WORK_CLOSE_S)
            await _stop(list(late))
        try:
            for runner in runners:
                await self.db.transact(runner.hand_back)
        except Unavailable:
            pass  # what we hold is taken over by the next to start

    def worker(self, queue: str) -> Worker | None:
        return self._registered.get(queue) or self._find(queue)

    async def pause(self) -> None:
        """Raises Unavailable when we are closing anyway."""
        if self._closing:
            raise Unavailable("closing")
        await self.world.sleep(WORK_PAUSE_S)

    async def transact(self, body: Callable[[Tx], T]) -> T:
        """Again and again while the log cannot be written."""
        while True:
            try:
                return await self.db.transact(body)
            except Unavailable:
                await self.pause()

    async def _watch(self) -> None:
        """A runner for every queue that has ever had a job; parked until it has one again."""
        loop = asyncio.get_running_loop()
        while True:
            for queue in await self.transact(self._new_queues):
                runner = self._runners[queue] = _Runner(self, queue)
                runner.task = loop.create_task(runner.run(), name=f"work: {queue}")
                runner.task.add_done_callback(_report)

    def _new_queues(self, tx: Tx) -> list[str]:
        fresh = []
        for key, _ in tx.scan(_QUEUES.span()):
            (queue,) = _QUEUES.parts(key)
            assert isinstance(queue, str)
            if queue not in self._runners:
                fresh.append(queue)
        if not fresh:
            tx.wait([_QUEUES.span()], float("inf"))
        return fresh

    async def _renew_for_ever(self) -> None:
        while True:
            await self.world.sleep(WORK_LEASE_S / 3)
            for runner in list(self._runners.values()):
                if runner.running:
                    await self.transact(runner.renew)


class _Taken(NamedTuple):
    job: Job
    stamp: int
    due_ms: int


class _Runner:
    """One queue's jobs, from ready to settled."""

    task: asyncio.Task[None]

    def __init__(self, workers: Workers, queue: str) -> None:
        self.queue, self.keys = queue, _keys(queue)
        self.running: dict[int, asyncio.Task[None]] = {}
        self._world, self._workers, self._transact = workers.world, workers, workers.transact
        self._owner, self._shared = workers.owner, workers.db.shared
        self._worker: Worker | None = None
        self._first = True
        self._together = 1
        self._room = asyncio.Event()

    @property
    def is_endless(self) -> bool:
        return bool(getattr(self._worker, "endless", False))

    async def run(self) -> None:
        await self._transact(self._look)
        self._worker = self._workers.worker(self.queue)
        if self._worker is None:
            _log.error("jobs wait in queue=%s, which nobody here carries out", self.queue)
            return
        self._together = getattr(self._worker, "together", 1)
        while True:
            if self._places() <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            try:
                taken = await self._workers.db.transact(self._claim)
            except Unavailable:  # perhaps claimed all the same: look through our own claims, too
                self._first = True
                await self._workers.pause()
                continue
            self._first = False
            for bundle in self._bundles(taken):
                task = asyncio.get_running_loop().create_task(
                    self._carry_out(bundle), name=f"work: {self.queue}"
                )
                self.running |= dict.fromkeys((one.stamp for one in bundle), task)
                task.add_done_callback(_report)

    def _places(self) -> int:
        """How many more jobs may be taken."""
        assert self._worker is not None
        if self._together == 1:
            return self._worker.concurrency - len(self.running)
        return (self._worker.concurrency - len(set(self.running.values()))) * self._together

    def _bundles(self, taken: list[_Taken]) -> list[list[_Taken]]:
        if self._together == 1:
            return [[one] for one in taken]
        fresh = [one for one in taken if one.job.attempt == 1]
        starts = range(0, len(fresh), self._together)
        alone = [[one] for one in taken if one.job.attempt > 1]
        return [fresh[at : at + self._together] for at in starts] + alone

    # -- claim

    def _look(self, tx: Tx) -> None:
        """Return when there is something to do; the worker is not even imported before."""
        keys = self.keys
        for space in (keys.ready, keys.claim):
            for _ in tx.scan(space.span(), limit=1):
                return
        until_s = self._next_due_s(tx)
        if until_s > tx.time_s:
            tx.wait([keys.ready.span(), keys.later.span()], until_s)

    def _claim(self, tx: Tx) -> list[_Taken]:
        worker, keys = self._worker, self.keys
        assert worker is not None
        moved = self._bring_due(tx)
        if self._first or self._shared:
            moved |= self._take_over(tx)
        room = self._places()
        taken: list[_Taken] = []
        until_ms = int(self._wall_s(tx) * 1000 + WORK_LEASE_S * 1000) if self._shared else 0
        for key, raw in list(tx.scan(keys.ready.span(), limit=WORK_STEP_COUNT_MAX)):
            row = _decode_row(raw)
            stamp, attempts, partition, due_ms = row
            payload = keys.payload(tx, stamp)
            if worker.ordered:
                head = tx.get(keys.head.key(partition))
                if head is not None and _decode_stamp(head) != stamp:
                    (order,) = keys.ready.parts(key)
                    tx.delete(key)
                    tx.put(keys.behind.key(partition, order), raw)
                    moved = True
                    continue
                if payload is None:
                    tx.delete(key)
                    self._free(tx, partition)
                    moved = True
                    continue
                if head is None:
                    tx.put(keys.head.key(partition), _encode(stamp))
            elif payload is None:
                tx.delete(key)
                moved = True
                continue
            tx.delete(key)
            claim = _Claim(self._owner, attempts + 1, until_ms, partition, due_ms)
            tx.put(keys.claim.key(stamp), _encode(claim))
            job_id = pack_key((self.queue, stamp, due_ms))
            job = Job(job_id, self.queue, partition, payload, attempts + 1)
            taken.append(_Taken(job, stamp, due_ms))
            if len(taken) == room:
                break
        if not taken and not moved:
            until_s = self._next_due_s(tx)
            if self._shared:
                until_s = min(until_s, self._next_expiry_s(tx))
            tx.wait([keys.ready.span(), keys.later.span()], until_s)
        return taken

    def _bring_due(self, tx: Tx) -> bool:
        later = self.keys.later
        start, _ = later.span()
        stop = later.key(int(tx.time_s * 1000) + 1)
        due = list(tx.scan((start, stop), limit=WORK_STEP_COUNT_MAX))
        for key, raw in due:
            tx.delete(key)
            row = _decode_row(raw)
            if not row.due_ms and not row.attempts:  # put before rows said it: its key does
                due_ms, _ = later.parts(key)
                assert isinstance(due_ms, int)
                raw = _encode(row._replace(due_ms=due_ms))  # noqa: PLW2901 - the same row, whole
            tx.put(self.keys.ready.key(tx.stamp()), raw)
        return bool(due)

    def _next_due_s(self, tx: Tx) -> float:
        for key, _ in tx.scan(self.keys.later.span(), limit=1):
            due_ms, _ = self.keys.later.parts(key)
            assert isinstance(due_ms, int)
            return due_ms / 1000
        return float("inf")

    def _take_over(self, tx: Tx) -> bool:
        """Claims that nobody works on become ready again, before everything that is."""
        now_ms = self._wall_s(tx) * 1000
        dead = []
        for key, raw in tx.scan(self.keys.claim.span()):
            claim = _decode_claim(raw)
            if claim.owner == self._owner:
                (stamp,) = self.keys.claim.parts(key)
                if stamp not in self.running:
                    dead.append((key, claim))
            elif not self._shared or claim.until_ms < now_ms:
                dead.append((key, claim))
        for key, claim in dead:
            self._make_ready(tx, key, claim, claim.attempts)
        return bool(dead)

    def _next_expiry_s(self, tx: Tx) -> float:
        others = (_decode_claim(raw) for _, raw in tx.scan(self.keys.claim.span()))
        first_ms = min((c.until_ms for c in others if c.owner != self._owner), default=None)
        if first_ms is None:
            return float("inf")
        return max((first_ms + 1) / 1000 + self._world.cloud_offset_s, tx.time_s + 0.001)

    def _make_ready(self, tx: Tx, claim_key: bytes, claim: _Claim, attempts: int) -> None:
        (stamp,) = self.keys.claim.parts(claim_key)
        assert isinstance(stamp, int)
        tx.delete(claim_key)
        row = _Row(stamp, attempts, claim.partition, claim.due_ms)
        tx.put(self.keys.ready.key(stamp), _encode(row))

    # -- effect and settle

    async def _carry_out(self, bundle: list[_Taken]) -> None:
        try:
            settle = await self._effect(bundle)
            await self._transact(lambda tx: self._settle(tx, bundle, settle))
        except Exception:  # noqa: BLE001 - whatever a worker raises, its job comes back
            attempt = bundle[0].job.attempt
            _log.exception("queue=%s jobs=%d attempt=%d failed", self.queue, len(bundle), attempt)
            await self._transact(lambda tx: self._all_again(tx, bundle))
        finally:
            for one in bundle:
                del self.running[one.stamp]
            self._room.set()

    async def _effect(self, bundle: list[_Taken]) -> SettleAll | None:
        worker: Any = self._worker
        if self._together > 1:
            return await worker.handle_all([one.job for one in bundle])  # type: ignore[no-any-return]
        settle: Settle | None = await worker.handle(bundle[0].job)
        return None if settle is None else lambda tx, _: settle(tx)

    def _still_ours(self, tx: Tx, taken: _Taken) -> bool:
        raw = tx.get(self.keys.claim.key(taken.stamp))
        if raw is None:
            return False
        claim = _decode_claim(raw)
        return claim.owner == self._owner and claim.attempts == taken.job.attempt

    def _settle(self, tx: Tx, bundle: list[_Taken], settle: SettleAll | None) -> None:
        ours = [one for one in bundle if self._still_ours(tx, one)]
        jobs = []
        for one in ours:
            tx.delete(self.keys.claim.key(one.stamp))
            if self.keys.drop_payload(tx, one.stamp):  # else it was cancelled under way
                jobs.append(one.job)
        if jobs and settle is not None:
            settle(tx, jobs)
        assert self._worker is not None
        if self._worker.ordered:
            for one in ours:
                self._free(tx, one.job.partition)

    def _all_again(self, tx: Tx, bundle: list[_Taken]) -> None:
        for one in bundle:
            self._again(tx, one)

    def _again(self, tx: Tx, taken: _Taken) -> None:
        """Failed: back after a growing delay, the partition kept."""
        if not self._still_ours(tx, taken):
            return
        stamp, job = taken.stamp, taken.job
        tx.delete(self.keys.claim.key(stamp))
        delay_s = min(WORK_RETRY_S_MAX, WORK_RETRY_S_FIRST * 2 ** min(job.attempt - 1, 30))
        due_ms = int((tx.time_s + delay_s) * 1000)
        row = _Row(stamp, job.attempt, job.partition, taken.due_ms)
        tx.put(self.keys.later.key(due_ms, stamp), _encode(row))

    def _free(self, tx: Tx, partition: bytes) -> None:
        """The head of the partition is gone: the next one behind it takes its place."""
        keys = self.keys
        for key, raw in tx.scan(keys.behind.span(partition), limit=1):
            _, order = keys.behind.parts(key)
            tx.delete(key)
            tx.put(keys.ready.key(order), raw)
            tx.put(keys.head.key(partition), _encode(_decode_row(raw).stamp))
            return
        tx.delete(keys.head.key(partition))

    # -- leases

    def renew(self, tx: Tx) -> None:
        until_ms = int((self._wall_s(tx) + WORK_LEASE_S) * 1000)
        for stamp in self.running:
            key = self.keys.claim.key(stamp)
            raw = tx.get(key)
            if raw is not None and (claim := _decode_claim(raw)).owner == self._owner:
                tx.put(key, _encode(claim._replace(until_ms=until_ms)))

    def hand_back(self, tx: Tx) -> None:
        """Everything we claimed and did not settle is ready again; it was not its fault."""
        for key, raw in list(tx.scan(self.keys.claim.span())):
            claim = _decode_claim(raw)
            if claim.owner == self._owner:
                self._make_ready(tx, key, claim, claim.attempts - 1)

    def _wall_s(self, tx: Tx) -> float:
        """A user's jump of the cloud clock must not end leases."""
        return tx.time_s - self._world.cloud_offset_s


def _report(task: asyncio.Task[None]) -> None:
    """A task nobody awaits must not fail in silence."""
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, Unavailable):
        _log.error("%s ended", task.get_name(), exc_info=error)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
