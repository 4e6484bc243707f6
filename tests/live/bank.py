"""A bank over one shared log: what its servers do, and the auditor who reads the raw log afterwards.

    python bank.py FOLDER URL MEMBER [unvalidated]     one server: runs until it is killed; writes FOLDER/acked-MEMBER

Every transaction writes a key of its own, ``z<uid>``, and appends "uid position" to its server's file once acknowledged.
The state must hold after every entry of the log, whoever wrote it:

    a<nn>      accounts: never below 0, their sum never changes            (lost updates)
    p<n>.0/1   pairs: each transfer reads both and takes from one; their sum never below 0   (write skew)
    r<uid>     rows: a transaction counts them by a scan and adds one only below five        (phantoms)
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from typing import Any

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.home import Home
from stratolite.core.log import Entry, decode_entry
from stratolite.core.objects import ObjectLog, open_objects
from stratolite.core.tx import Tx
from stratolite.errors import Unavailable

ACCOUNTS, PAIRS, ROWS_MAX, START = 20, 5, 5, 100
_CLIENTS = 6


def account(i: int) -> bytes:
    return b"a%03d" % i


def pair(i: int) -> tuple[bytes, bytes]:
    return b"p%d.0" % i, b"p%d.1" % i


def found(tx: Tx) -> None:
    for i in range(ACCOUNTS):
        tx.put(account(i), b"%d" % START)
    for i in range(PAIRS):
        for key in pair(i):
            tx.put(key, b"50")


class Unvalidated(Database):
    """After a lost race the stale write set goes to the next position, as if nobody had read anything."""

    def _lost(self, theirs: list[Entry]) -> None:
        writes = {**self._flying, **self._current}
        waiters = self._flying_waiters + self._current_waiters
        self._flying_waiters, self._current_waiters = [], []
        super()._lost(theirs)
        self._current = writes
        self._current_waiters = waiters
        assert self._loop is not None
        self._loop.call_soon(self._kick)


def _transaction(rand: random.Random, uid: bytes) -> Any:
    chance = rand.random()
    one, other = rand.sample(range(ACCOUNTS), 2)
    amount, which, half = rand.randint(1, 20), rand.randrange(PAIRS), rand.randrange(2)

    def run(tx: Tx) -> bool:
        if chance < 0.5:
            have, there = int(tx.get(account(one)) or 0), int(tx.get(account(other)) or 0)
            if have < amount:
                return False
            tx.put(account(one), b"%d" % (have - amount))
            tx.put(account(other), b"%d" % (there + amount))
        elif chance < 0.75:
            keys = pair(which)
            both = [int(tx.get(key) or 0) for key in keys]
            step = -50 if sum(both) >= 50 else 50
            tx.put(keys[half], b"%d" % (both[half] + step))
        elif chance < 0.9:
            rows = list(tx.scan((b"r", b"s")))
            if len(rows) < ROWS_MAX:
                tx.put(b"r" + uid, b"1")
            else:
                tx.delete(rows[amount % len(rows)][0])
        else:
            total = sum(int(v) for _, v in tx.scan((b"a", b"b")))
            assert total == ACCOUNTS * START, total
            assert len(list(tx.scan((b"r", b"s")))) <= ROWS_MAX
            return False
        tx.put(b"z" + uid, b"1")
        return True

    return run


async def serve(folder: str, url: str, member: int, validated: bool) -> None:
    world = World()
    rand = random.Random(int.from_bytes(world.token(8)))
    home = Home(f"{folder}/member-{member}", world, url)
    while True:
        try:
            log, engine = home.open()
            break
        except Unavailable:
            await asyncio.sleep(0.1)
    db = (Database if validated else Unvalidated)(log, engine, world, reopen=home.open)
    db.start()
    acked = os.open(f"{folder}/acked-{member}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    async def client(number: int) -> None:
        count = 0
        while True:
            count += 1
            uid = b"%d.%d.%d" % (os.getpid(), number, count)
            try:
                if await db.transact(_transaction(rand, uid)):
                    os.write(acked, b"%s\n" % uid)
            except Unavailable:
                await asyncio.sleep(0.05)
            except AssertionError:
                if validated:
                    print("a read saw an impossible state", file=sys.stderr)
                    os._exit(3)
            await asyncio.sleep(rand.random() * 0.004)

    await asyncio.gather(*(client(number) for number in range(_CLIENTS)))


class Audit:
    """Replays the raw log from nothing and writes down what should not be."""

    def __init__(self) -> None:
        self.state: dict[bytes, bytes] = {}
        self.position = 0
        self.writers: set[bytes] = set()
        self.where: dict[bytes, int] = {}
        self.wrong: list[str] = []

    def read(self, url: str) -> Audit:
        for position, payload in ObjectLog(open_objects(url), World()).entries(1):
            self.position = position
            self._entry(position, decode_entry(payload))
        return self

    def _entry(self, position: int, entry: Entry) -> None:
        self.writers.add(entry.writer)
        for key, value in entry.writes.items():
            if key[:1] == b"z":
                if key[1:] in self.where:
                    self.wrong.append(f"position={position} {key!r} twice")
                self.where[key[1:]] = position
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value
        money = [int(self.state[account(i)]) for i in range(ACCOUNTS)]
        if sum(money) != ACCOUNTS * START or min(money) < 0:
            self.wrong.append(f"position={position} accounts sum={sum(money)} least={min(money)}")
        for i in range(PAIRS):
            if sum(int(self.state[key]) for key in pair(i)) < 0:
                self.wrong.append(f"position={position} pair={i} below 0")
        if (rows := sum(key[:1] == b"r" for key in self.state)) > ROWS_MAX:
            self.wrong.append(f"position={position} rows={rows}")


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:] != ["unvalidated"]))
