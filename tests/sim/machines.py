"""A database on a simulated machine, driven through a plan, killed, and opened again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from sim.ledger import Ledger
from sim.simulated import (
    Crash,
    LoopBackground,
    SimBucket,
    SimDisk,
    SimObjects,
    SimStores,
    Steps,
)

from stratolite.clock import SeededWorld
from stratolite.core import snapshots
from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.keeper import Keeper
from stratolite.core.log import Log
from stratolite.core.objects import FolderObjects, ObjectLog
from stratolite.core.segments import SegmentFolder, SegmentLog
from stratolite.errors import Unavailable

FOLDER = "/cloud"
_SEGMENT_SIZE_BYTES = 4096
_TURNS_MAX = 3000


class Machine:
    """One server: a disk and a store of its own; the log on the disk, or in a bucket shared with others."""

    def __init__(self, world: SeededWorld, ledger: Ledger, bucket: SimBucket | None = None) -> None:
        self.world, self.ledger, self.bucket = world, ledger, bucket
        self.steps = Steps()
        self.disk, self.stores = SimDisk(self.steps), SimStores(self.steps)
        self.db: Database | None = None

    def restart(self, steps: Steps) -> None:
        """The process is gone; the next ``open`` is by another one."""
        self.steps.dead = True
        if self.db is not None:
            for task in list(self.db._tasks):
                task.cancel()
            self.db = None
        self.steps = self.stores.steps = steps
        self.disk.kill(steps)

    def lose_power(self, rand: random.Random, steps: Steps) -> None:
        self.restart(steps)
        self.disk.lose_power(rand, steps)
        self.stores.lose_power(rand)

    def open(self) -> None:
        """Raises Crash, Unavailable."""
        if self.bucket is None:
            self.objects: FolderObjects | SimObjects = FolderObjects(
                f"{FOLDER}/snapshots", self.world, self.disk
            )
        else:
            self.objects = SimObjects(self.bucket, self.steps)
        self.home = Home(
            FOLDER,
            self.world,
            disk=self.disk,
            stores=self.stores,
            objects=self.objects,
            open_log=self._open_log,
        )
        self.background = LoopBackground(self.steps)
        log, engine = self.home.open()
        self.db = Database(
            log,
            engine,
            self.world,
            reopen=self.home.open,
            closed=self.home.mark_clean,
            background=self.background,
        )
        self.db.start()
        self.keeper = Keeper(self.home, self.db, self.world, Floors(), keep_s=5.0)

    def _open_log(self) -> Log:
        if self.bucket is not None:
            return ObjectLog(SimObjects(self.bucket, self.steps), self.world)
        return SegmentLog(
            f"{FOLDER}/log", _SEGMENT_SIZE_BYTES, world=self.world, disk=self.disk, background=False
        )

    def snapshot(self) -> None:
        assert self.db is not None
        try:
            log = (
                SegmentFolder(f"{FOLDER}/log", self.disk)
                if self.bucket is None
                else ObjectLog(SimObjects(self.bucket, self.steps), self.world)
            )
            snapshots.advance(log, self.objects, self.world, self.db.durable)
            self.keeper._forget(self.db.durable)
        except Unavailable:
            pass  # the keeper tries again later

    def do(self, action: str) -> None:
        """Begin an action. Raises Crash."""
        assert self.db is not None
        if action == "write":
            self.ledger.write(self.db)
        elif action == "read":
            self.ledger.read(self.db)
        elif action == "snapshot" and self.db.failure is None:
            self.snapshot()

    def state(self) -> dict[bytes, bytes]:
        assert self.db is not None
        return dict(self.db.peek(lambda tx: list(tx.scan((b"", b"\xff")))))


async def settle(machine: Machine) -> None:
    """Turn the loop until the machine is idle or dead; time passes where it must."""
    for turn in range(_TURNS_MAX):
        await asyncio.sleep(0)
        if machine.steps.dead or machine.db is None or machine.background.frozen:
            return
        db = machine.db
        if db.failure is None and not (db._busy or db._current or db._held or db._kicked):
            return
        if turn % 20 == 19:
            machine.world.advance(1.0 if db.failure is None else 6.0)
    raise AssertionError(f"not idle: {machine.db and machine.db.failure!r}")


async def run_plan(
    machine: Machine, plan: list[str], after_crash: Callable[[Machine], None]
) -> None:
    """Carry out the plan; after each crash let ``after_crash`` decide what is left, open, check, go on."""
    todo = [*plan, "end"]
    while todo or machine.db is None:
        try:
            if machine.db is None:
                machine.open()
                await settle(machine)
                if not machine.steps.dead:
                    machine.ledger.check(machine.state())
            action = todo[0] if todo else "end"
            if action == "turn":
                await asyncio.sleep(0)
            elif action == "settle":
                await settle(machine)
            elif action == "close" and machine.db is not None:
                db = machine.db
                closing = asyncio.ensure_future(db.close())
                for _ in range(_TURNS_MAX):
                    if closing.done() or machine.steps.dead:
                        break
                    await asyncio.sleep(0)
                if closing.done():
                    closing.result()
                    machine.db = None
                else:
                    closing.cancel()
            elif action == "sleep":
                machine.world.advance(3.0)
            elif action == "end":
                await settle(machine)
            elif machine.db is not None:
                machine.do(action)
            todo = todo[1:]
        except Crash:
            pass
        except (
            Unavailable
        ):  # opening failed for a fault: the process would end and be started again
            machine.steps.dead = True
        if machine.steps.dead:
            after_crash(machine)
    assert machine.db is not None
    machine.ledger.check(machine.state())
    machine.restart(Steps())


SHORT = [
    *["write", "write", "settle", "write", "turn", "write", "turn", "read", "write", "settle"],
    *[
        "snapshot",
        "write",
        "write",
        "settle",
        "sleep",
        "write",
        "write",
        "write",
        "settle",
        "write",
    ],
    *["settle", "write", "read", "settle", "snapshot", "sleep", "write", "settle", "close"],
    *["write", "write", "settle", "read", "write", "settle", "snapshot", "write", "turn", "read"],
    *["sleep", "write", "settle", "write", "settle", "snapshot", "sleep", "write", "write"],
    *[
        "write",
        "settle",
        "snapshot",
        "close",
        "write",
        "settle",
        "read",
        "sleep",
        "snapshot",
        "write",
    ],
]


def history(
    seed: int,
    plan: list[str],
    lives: list[Steps],
    ending: str,
    bucket: SimBucket | None = None,
) -> tuple[Machine, list[Steps]]:
    """Run ``plan`` over processes that get ``lives`` one after another, then ones without faults.

    ``ending`` is how a process ends: "kill", "power", or "any".
    """
    rand = random.Random(seed)
    ledger = Ledger()
    machine = Machine(SeededWorld(seed), ledger, bucket)
    spent: list[Steps] = []

    def next_life(machine: Machine) -> None:
        steps = lives.pop(0) if lives else Steps()
        spent.append(steps)
        how = ending if ending != "any" else rand.choice(["kill", "power", "power", "wipe"])
        if how == "power":
            machine.lose_power(rand, steps)
        else:
            machine.restart(steps)
            if how == "wipe":
                machine.stores.wipe()

    next_life(machine)

    async def main() -> None:
        await run_plan(machine, plan, next_life)
        # Whatever is true now is still true after one more loss of power.
        machine.lose_power(rand, Steps())
        await run_plan(machine, [], next_life)

    asyncio.run(main())
    return machine, spent
