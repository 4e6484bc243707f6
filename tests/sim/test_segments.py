"""One server on a simulated disk: crashed at every boundary, and at random for longer histories."""

from __future__ import annotations

import asyncio
import os
import random

import pytest

from sim.ledger import Ledger
from sim.machines import Machine, run_plan
from sim.simulated import Steps
from stratolite.clock import SeededWorld

_SHORT = (
    "write write settle write turn write turn read write settle snapshot write write settle "
    "write write write settle write settle write read settle snapshot write settle close "
    "write write settle read write settle snapshot write turn read"
).split()


def _history(
    seed: int,
    plan: list[str],
    lives: list[Steps],
    ending: str,
) -> tuple[Machine, list[Steps]]:
    """Run ``plan`` over processes that get ``lives`` one after another, then ones without faults.

    ``ending`` is how a process ends: "kill", "power", or "any".
    """
    rand = random.Random(seed)
    ledger = Ledger()
    machine = Machine(SeededWorld(seed), ledger)
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


def _boundaries() -> list[str]:
    _, spent = _history(0, list(_SHORT), [], "kill")
    return spent[0].kinds


@pytest.mark.parametrize("ending", ["kill", "power"])
def test_a_crash_at_any_boundary_loses_nothing_acknowledged(ending):
    """Every write, sync, rename, link, unlink and apply of a history with rolls, snapshots and trims."""
    kinds = _boundaries()
    assert len(kinds) > 100
    for at in range(1, len(kinds) + 1):
        for seed in range(1 if ending == "kill" else 3):
            try:
                _history(seed * 1000 + at, list(_SHORT), [Steps(crash_at=at)], ending)
            except BaseException as error:
                raise AssertionError(
                    f"{ending} crash_at={at} {kinds[at - 1]} seed={seed}"
                ) from error


def test_a_failed_call_at_any_boundary_is_recovered_from_in_place():
    """ENOSPC, failed syncs and renames: Unavailable for who was waiting, then service as before."""
    kinds = _boundaries()
    for at in range(1, len(kinds) + 1):
        try:
            machine, _ = _history(at, list(_SHORT), [Steps(faults={at: "error"})], "power")
        except BaseException as error:
            raise AssertionError(f"fault_at={at} {kinds[at - 1]}") from error


def _random_history(seed: int) -> None:
    rand = random.Random(seed)
    plan = rand.choices(
        ["write", "read", "turn", "settle", "snapshot", "close"],
        [10, 3, 6, 3, 1, 0.3],
        k=rand.randrange(20, 150),
    )
    lives = []
    for _ in range(rand.randrange(1, 6)):
        faults = {rand.randrange(1, 200): "error" for _ in range(rand.randrange(4))}
        first = rand.randrange(1, 200)
        if rand.random() < 0.3:  # a disk that stays full for a while
            faults |= dict.fromkeys(range(first, first + rand.randrange(30)), "error")
        lives.append(Steps(rand.randrange(1, 300), faults))
    try:
        _history(seed, plan, lives, "any")
    except BaseException as error:
        raise AssertionError(f"seed={seed}") from error


def test_random_histories_with_many_crashes_and_faults():
    """Longer, with several crashes, faults in between, stores wiped. SIM_COUNT runs more, SIM_SEED one."""
    if "SIM_SEED" in os.environ:
        _random_history(int(os.environ["SIM_SEED"]))
        return
    for seed in range(int(os.environ.get("SIM_COUNT", "150"))):
        _random_history(seed)
