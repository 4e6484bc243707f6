"""Transactions against a dict: what they see, when they are answered, what happens after a lost race."""

from __future__ import annotations

import asyncio
import queue
import tempfile

from core.memory import MemoryLog
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from obstore.store import MemoryStore

from stratolite.clock import SeededWorld, World
from stratolite.core.database import Database
from stratolite.core.log import Entry, decode_entry, encode_entry
from stratolite.core.objects import BucketObjects, ObjectLog
from stratolite.core.segments import SegmentLog
from stratolite.core.store import LmdbEngine

KEYS = [b"a", b"b", b"c", b"ca", b"cb", b"d" * 600, b"d" * 600 + b"e", b"f"]
EDGES = [b"", *KEYS, b"\xff"]
keys = st.sampled_from(KEYS)
spans = st.tuples(st.sampled_from(EDGES), st.sampled_from(EDGES))
values = st.binary(min_size=1, max_size=2)
steps = st.deferred(
    lambda: st.one_of(
        st.tuples(st.just("get"), keys),
        st.tuples(st.just("parsed"), keys),
        st.tuples(st.just("scan"), spans, st.booleans(), st.none() | st.integers(0, 3)),
        st.tuples(st.just("put"), keys, values),
        st.tuples(st.just("delete"), keys),
        st.tuples(st.just("stamp")),
        st.tuples(st.just("nested"), st.lists(steps, max_size=4), st.booleans()),
    )
)
programs = st.lists(steps, max_size=6)
writes = st.dictionaries(keys, st.none() | values, min_size=1, max_size=5)


class Undo(Exception):
    """A nested call's fault."""


class GatedLog:
    """Nothing is durable before the test says so; the test may also let somebody else come first."""

    def __init__(self, inner, rival):
        """``rival`` is the same log as somebody else has it open; None where nobody else can."""
        self.inner, self.rival, self.shared = inner, rival, inner.shared
        self.payloads = []
        self.verdicts = queue.SimpleQueue()

    @property
    def first(self):
        return self.inner.first

    def append(self, position, payload):
        foreign = self.verdicts.get()
        if foreign is not None and position > len(self.payloads):
            self.append_foreign(foreign)
        if not self.inner.append(position, payload):
            return False
        self.payloads.append(payload)
        assert position == len(self.payloads)
        return True

    def append_foreign(self, foreign):
        payload = encode_entry(Entry(b"somebody else...", 0, foreign))
        assert self.rival.append(len(self.payloads) + 1, payload)
        self.payloads.append(payload)

    def read(self, position):
        return self.inner.read(position)

    def entries(self, position):
        return self.inner.entries(position)

    def close(self):
        self.inner.close()


class Machine(RuleBasedStateMachine):
    shared = False

    @initialize()
    def open(self):
        self.folder = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.log = GatedLog(*self.logs())
        self.db = Database(self.log, LmdbEngine(f"{self.folder.name}/store"), SeededWorld(1))
        self.loop.run_until_complete(self._start())
        self.pending = {}  # batch number -> the write sets run into it, in order
        self.truth = {}  # what the log says, entry by entry
        self.read_count = 0
        self.unanswered = {}
        self.count = 0
        self.stamps = []
        self.waiters = {}

    def logs(self):
        log = MemoryLog(shared=self.shared)
        return log, MemoryLog(log.payloads, shared=True)

    async def _start(self):
        self.db.start()

    # -- the model

    def _catch_up(self):
        """Take what the log holds for true; after somebody else's entry, forget what ran since."""
        while self.read_count < self.db.durable:
            entry = decode_entry(self.log.payloads[self.read_count])
            self.read_count += 1
            if entry.writer == b"somebody else...":
                self.pending.clear()
                self.stamps = [s for s in self.stamps if s >> 24 < self.read_count]
            else:
                mine = {}
                for one in self.pending.pop(self.read_count):
                    mine.update(one)
                assert mine == entry.writes
            self.truth.update(entry.writes)

    def _state(self):
        self._catch_up()
        state = dict(self.truth)
        for number in sorted(self.pending):
            for one in self.pending[number]:
                state.update(one)
        return {k: v for k, v in state.items() if v is not None}

    def _number_of(self, key):
        """The newest pending batch that writes ``key``."""
        found = [n for n, sets in self.pending.items() if any(key in one for one in sets)]
        return max(found, default=0)

    def _run(self, tx, program, levels, needs):
        """Carry out ``program`` on the transaction and on the model, comparing all they see."""
        for step in program:
            kind = step[0]
            own = {k: v for level in levels[1:] for k, v in level.items()}
            state = {**levels[0], **own}
            if kind == "get":
                assert tx.get(step[1]) == state.get(step[1])
                if step[1] not in own:
                    needs.add(self._number_of(step[1]))
            elif kind == "parsed":
                raw = state.get(step[1])
                assert tx.parsed(step[1], bytes.hex) == (None if raw is None else raw.hex())
                if step[1] not in own:
                    needs.add(self._number_of(step[1]))
            elif kind == "scan":
                (start, stop), reverse, limit = step[1:]
                rows = sorted(
                    (k, v) for k, v in state.items() if v is not None and start <= k < stop
                )
                if reverse:
                    rows.reverse()
                seen = list(tx.scan((start, stop), reverse=reverse, limit=limit))
                assert seen == rows[:limit]
                for key in KEYS:
                    if start <= key < stop and (
                        limit is None or self._passed(key, seen, limit, reverse)
                    ):
                        needs.add(self._number_of(key))
            elif kind == "put":
                tx.put(step[1], step[2])
                levels[-1][step[1]] = step[2]
            elif kind == "delete":
                tx.delete(step[1])
                levels[-1][step[1]] = None
            elif kind == "stamp":
                self.run_stamps.append(tx.stamp())
            else:
                try:
                    with tx.savepoint():
                        self._run(tx, step[1], [*levels, inner := {}], needs)
                        if step[2]:
                            raise Undo
                except Undo:
                    pass
                else:
                    levels[-1].update(inner)

    @staticmethod
    def _passed(key, seen, limit, reverse):
        if limit == 0:
            return False
        if len(seen) < limit:
            return True
        return key >= seen[-1][0] if reverse else key <= seen[-1][0]

    # -- what happens

    @rule(program=programs, fails=st.booleans())
    def submit(self, program, fails):
        name = self.count = self.count + 1
        seen = {}

        def body(tx):
            state = self._state()
            levels, needs = [state, {}], {0}
            self.run_stamps = []
            self._run(tx, program, levels, needs)
            assert tx.writes == levels[1]
            if fails:
                raise Undo
            if levels[1]:
                self.pending.setdefault(self.db._number, []).append(dict(levels[1]))
                assert all(stamp > max(self.stamps, default=0) for stamp in self.run_stamps)
                self.stamps += self.run_stamps
            seen["wrote"], seen["need"] = bool(levels[1]), max(needs)
            return name

        def done(result, error):
            assert self.unanswered.pop(name, "already answered") == "asked"
            assert (result, type(error)) == ((None, Undo) if fails else (name, type(None)))
            if not fails:  # never before what it saw or wrote is in the log
                assert self.db.durable >= (seen["number"] if seen["wrote"] else seen["need"])

        def noting(tx):
            seen["number"] = self.db._number
            return body(tx)

        self.unanswered[name] = "asked"
        self.loop.run_until_complete(self._submit(noting, done))
        if (
            not fails
            and not seen["wrote"]
            and not self._has_own(program)
            and seen["need"] <= self.db.durable
        ):
            assert name not in self.unanswered, "waits for a batch it does not depend on"

    def _has_own(self, program):
        return any(
            s[0] in ("put", "delete") or (s[0] == "nested" and self._has_own(s[1])) for s in program
        )

    async def _submit(self, body, done):
        return self.db.submit(body, done)

    @rule(key=keys, span=spans)
    def wait_for(self, key, span):
        """Parks until ``key`` is there, woken by a span that covers it."""
        name = self.count = self.count + 1
        start, stop = min(span[0], key), max(span[1], key + b"\x00")
        self.waiters[name] = key

        def body(tx):
            if tx.get(key) is None:
                tx.wait([(start, stop)], float("inf"))

        def done(result, error):
            assert error is None
            del self.waiters[name]

        parked = self.loop.run_until_complete(self._submit(body, done))
        assert parked is None or name in self.waiters

    @rule(turns=st.integers(1, 3))
    def turn(self, turns):
        for _ in range(turns):
            self.loop.run_until_complete(asyncio.sleep(0))

    @precondition(lambda self: self.db._flying)
    @rule(foreign=writes, lost=st.sampled_from([True, True, False]))
    def decide(self, foreign, lost):
        """The batch in flight gets its position, or somebody else's entry does."""
        before = self.db.durable
        self.log.verdicts.put(foreign if lost and self.shared else None)

        async def until_decided():
            while self.db.durable == before:
                assert self.db.failure is None
                await asyncio.sleep(0.0005)

        self.loop.run_until_complete(asyncio.wait_for(until_decided(), 60))

    def teardown(self):
        if not hasattr(self, "db"):
            return
        self.loop.run_until_complete(asyncio.sleep(0))
        for _ in range(10):
            if not self.db._busy and not self.db._current:
                break
            if self.db._flying:
                self.decide(None, False)
            self.turn(2)
        self.turn(3)
        assert not self.unanswered
        state = self._state()
        assert not [k for k in self.waiters.values() if k in state], (
            "slept through what it waited for"
        )
        state_read = self.loop.run_until_complete(
            self.db.transact(lambda tx: dict(tx.scan((b"\x00", b"\xff"))))
        )
        assert state_read == state
        self.db._waits.take_all()
        self.loop.run_until_complete(self.db.close())
        self.loop.close()
        self.folder.cleanup()


class SharedMachine(Machine):
    shared = True

    @precondition(lambda self: not self.db._busy and not self.db._current)
    @rule(foreign=writes)
    def somebody_appends(self, foreign):
        """Not in a race with us; we learn of it when we look, at the latest after a second without."""
        self.log.append_foreign(foreign)

    @rule(key=keys)
    def read_after_a_while(self, key):
        """What was acknowledged to others more than a second ago is seen, or waited for."""
        if self.db._busy or self.db._kicked:  # a batch about to be handed over looks, too
            return
        self.db._world.advance(1.5)
        known, seen = len(self.log.payloads), []

        def done(result, error):
            assert error is None
            seen.append(self.db.durable)

        self.loop.run_until_complete(self._submit(lambda tx: tx.get(key), done))

        async def until_seen():
            while self.db._busy and not self.db._flying:  # noqa: ASYNC110 - a thread decides
                await asyncio.sleep(0.0005)

        self.loop.run_until_complete(asyncio.wait_for(until_seen(), 60))
        assert self.db.durable >= known
        assert all(durable >= known for durable in seen)


class OnSegments(Machine):
    def logs(self):
        return SegmentLog(f"{self.folder.name}/log", world=World()), None


class OnObjects(SharedMachine):
    def logs(self):
        objects = BucketObjects(MemoryStore())
        return ObjectLog(objects, World()), ObjectLog(objects, World())


Machine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
SharedMachine.TestCase.settings = Machine.TestCase.settings
OnSegments.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
OnObjects.TestCase.settings = OnSegments.TestCase.settings
TestOneWriter = Machine.TestCase
TestSeveralWriters = SharedMachine.TestCase
TestOneWriterOnSegments = OnSegments.TestCase
TestSeveralWritersOnObjects = OnObjects.TestCase
