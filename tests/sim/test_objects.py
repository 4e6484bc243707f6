"""Several servers on one simulated bucket: crashes, frozen processes, unknown outcomes, late PUTs, trimming."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from sim.ledger import Ledger
from sim.machines import SHORT, Machine, history, settle
from sim.seeds import seeds
from sim.simulated import Crash, SimBucket, Steps

from stratolite.clock import SeededWorld
from stratolite.core.log import Trimmed
from stratolite.core.objects import ObjectLog
from stratolite.errors import Unavailable

_FAULTS = ["lost", "late", "done", "retried"]
_ACTIONS = {
    "write": 12,
    "read": 3,
    "turn": 6,
    "settle": 3,
    "snapshot": 0.7,
    "sleep": 1,
    "deliver": 0.5,
    "freeze": 0.3,
    "thaw": 0.6,
    "kill": 0.2,
    "power": 0.2,
    "wipe": 0.2,
    "close": 0.2,
}


def _steps(rand: random.Random) -> Steps:
    faults = {rand.randrange(1, 300): rand.choice(_FAULTS) for _ in range(rand.randrange(5))}
    if rand.random() < 0.2:  # out of reach for a while
        first = rand.randrange(1, 300)
        faults |= dict.fromkeys(range(first, first + rand.randrange(40)), "lost")
    return Steps(rand.choice([0, rand.randrange(1, 400)]), faults)


async def _open(machine: Machine) -> None:
    try:
        machine.open()
    except (Crash, Unavailable, Trimmed):
        machine.restart(Steps())


async def _close(machine: Machine) -> None:
    assert machine.db is not None
    closing = asyncio.ensure_future(machine.db.close())
    for turn in range(3000):
        if closing.done() or machine.steps.dead:
            break
        await asyncio.sleep(0)
        if turn % 20 == 19:
            machine.world.advance(1.0)
    if closing.done() and not isinstance(closing.exception(), Crash):
        closing.result()
        machine.db = None
        return
    closing.cancel()


async def _history(seed: int, seen: Counter[str]) -> None:
    rand = random.Random(seed)
    world, ledger, bucket = SeededWorld(seed), Ledger(), SimBucket()
    machines = [Machine(world, ledger, bucket) for _ in range(rand.randrange(1, 4))]
    for machine in machines:
        machine.restart(_steps(rand))
    actions, weights = list(_ACTIONS), list(_ACTIONS.values())
    for _ in range(rand.randrange(20, 200)):
        machine, action = rand.choice(machines), rand.choices(actions, weights)[0]
        seen[action] += 1
        if machine.db is None:
            await _open(machine)
        if machine.db is not None:
            try:
                await _act(machine, action, rand)
            except Crash:
                pass
            except Trimmed:
                seen["trimmed under a snapshot"] += 1
        for each in machines:
            if each.db is not None and isinstance(each.db.failure, Trimmed):
                seen["trimmed under a writer"] += 1
            if each.steps.dead:
                seen["crash"] += 1
                each.restart(_steps(rand))
    bucket.deliver_late()
    seen["trimmed"] += any(name.startswith("floor/") for name in bucket.objects)
    seen["deleted"] += not any(name == f"log/{1:020d}" for name in bucket.objects)
    for machine in machines:
        if machine.db is None or machine.background.frozen or rand.random() < 0.5:
            machine.restart(Steps())
            machine.open()
        machine.steps.faults, machine.steps.crash_at = {}, 0
    for machine in machines:
        await settle(machine)
    for machine in machines:
        assert machine.db is not None
        looked = asyncio.ensure_future(machine.db.catch_up())
        await settle(machine)
        await looked
        ledger.check(machine.state())
        # It can still write, and what it writes is seen.
        ledger.write(machine.db)
        await settle(machine)
        ledger.check(machine.state())
    for machine in machines:
        machine.restart(Steps())
    seen["acked"] += len(ledger.acked)
    seen["unavailable"] += ledger.unavailable


async def _act(machine: Machine, action: str, rand: random.Random) -> None:
    assert machine.bucket is not None
    if action == "turn":
        await asyncio.sleep(0)
    elif action == "settle":
        await settle(machine)
    elif action == "sleep":
        machine.world.advance(rand.choice([0.1, 2.0, 40.0, 70.0, 150.0]))
    elif action == "deliver":
        machine.bucket.deliver_late()
    elif action == "freeze":
        machine.background.frozen = True
    elif action == "thaw":
        machine.background.thaw()
    elif action == "kill":
        machine.restart(_steps(rand))
    elif action == "power":
        machine.lose_power(rand, _steps(rand))
    elif action == "wipe":
        machine.restart(_steps(rand))
        machine.stores.wipe()
    elif action == "close":
        if not machine.background.frozen:
            await _close(machine)
    else:
        machine.do(action)


def _run(seed: int, seen: Counter[str]) -> None:
    try:
        asyncio.run(_history(seed, seen))
    except BaseException as error:
        raise AssertionError(f"SIM_SEED={seed}") from error


def test_servers_on_one_bucket_lose_nothing_acknowledged():
    """With lost races, retries that find themselves, PUTs that land after they were given up, and a floor."""
    seen: Counter[str] = Counter()
    chosen = seeds(400)
    for seed in chosen:
        _run(seed, seen)
    if len(chosen) == 1:
        return
    for happened in ("crash", "acked", "unavailable", "deleted", "trimmed under a writer"):
        assert seen[happened], (happened, seen)


def _boundaries() -> list[str]:
    _, spent = history(0, SHORT, [], "kill", SimBucket())
    return spent[0].kinds


@pytest.mark.parametrize("ending", ["kill", "power"])
def test_a_crash_at_any_boundary_loses_nothing_acknowledged(ending):
    """Every PUT, answer of a PUT, GET, list, delete and apply, of log, snapshots and floor."""
    kinds = _boundaries()
    assert len(kinds) > 100
    for at in range(1, len(kinds) + 1):
        try:
            history(at, SHORT, [Steps(crash_at=at)], ending, SimBucket())
        except BaseException as error:
            raise AssertionError(f"{ending} crash_at={at} {kinds[at - 1]}") from error


@pytest.mark.parametrize("fault", _FAULTS)
def test_an_unknown_outcome_at_any_boundary_is_recovered_from_in_place(fault):
    """The request lost, the answer lost, the object there only later, or a retry that found itself."""
    kinds = _boundaries()
    for at in range(1, len(kinds) + 1):
        for length in (1, 6):  # one failure, or more than append tries
            try:
                faults = dict.fromkeys(range(at, at + length), fault)
                history(at, SHORT, [Steps(faults=faults)], "kill", SimBucket())
            except BaseException as error:
                raise AssertionError(f"fault_at={at} {kinds[at - 1]} length={length}") from error


async def _silent_writer() -> None:
    """One is stopped before its PUT; another goes on, folds, publishes a floor, deletes; the first wakes up."""
    world, ledger, bucket = SeededWorld(1), Ledger(), SimBucket()
    silent, busy = Machine(world, ledger, bucket), Machine(world, ledger, bucket)
    for machine in (silent, busy):
        machine.open()
        machine.do("write")
        await settle(machine)
    silent.do("write")
    await settle(silent)
    silent.background.frozen = True
    silent.do("write")
    for _ in range(4):
        for _ in range(3):
            busy.do("write")
            await settle(busy)
        world.advance(70.0)
        busy.snapshot()
    assert f"log/{4:020d}" not in bucket.objects
    acked = len(ledger.acked)
    silent.background.thaw()
    await settle(silent)
    assert len(ledger.acked) == acked, "acknowledged below the floor"
    silent.do("write")
    await settle(silent)
    ledger.check(silent.state())
    for machine in (silent, busy):
        machine.restart(Steps())


def test_a_silent_writer_below_the_floor_is_not_acknowledged():
    asyncio.run(_silent_writer())


def test_without_the_check_of_the_floor_it_would_be(monkeypatch):
    """Negative control: the simulation must notice."""

    def trust(self: ObjectLog, position: int, began: tuple[float, float]) -> None:
        self._contact = began

    monkeypatch.setattr(ObjectLog, "_confirm", trust)
    with pytest.raises(AssertionError):
        asyncio.run(_silent_writer())
