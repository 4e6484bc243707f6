"""One server on a simulated disk: crashed at every boundary, and at random for longer histories."""

from __future__ import annotations

import random

import pytest
from sim.machines import SHORT, history
from sim.seeds import seeds
from sim.simulated import SimDisk, Steps

from stratolite.core.segments import SegmentReader


def _boundaries() -> list[str]:
    _, spent = history(0, SHORT, [], "kill")
    return spent[0].kinds


@pytest.mark.parametrize("ending", ["kill", "power"])
def test_a_crash_at_any_boundary_loses_nothing_acknowledged(ending):
    """Every write, sync, rename, link, unlink and apply of a history with rolls, snapshots and trims."""
    kinds = _boundaries()
    assert len(kinds) > 100
    for at in range(1, len(kinds) + 1):
        for seed in range(1 if ending == "kill" else 3):
            try:
                history(seed * 1000 + at, SHORT, [Steps(crash_at=at)], ending)
            except BaseException as error:
                raise AssertionError(
                    f"{ending} crash_at={at} {kinds[at - 1]} seed={seed}"
                ) from error


def test_a_failed_call_at_any_boundary_is_recovered_from_in_place():
    """ENOSPC, failed syncs and renames: Unavailable for who was waiting, then service as before."""
    kinds = _boundaries()
    for at in range(1, len(kinds) + 1):
        try:
            history(at, SHORT, [Steps(faults={at: "error"})], "power")
        except BaseException as error:
            raise AssertionError(f"fault_at={at} {kinds[at - 1]}") from error


# A failed sync after one removal, a removal, power loss: the older one was back, the log had a hole.
# An empty segment, an entry too large for it: the segment was known twice, and trimmed while in use.
_ONCE_FAILED = [5099, 11293]


def _random_history(seed: int) -> None:
    rand = random.Random(seed)
    plan = rand.choices(
        ["write", "read", "turn", "settle", "snapshot", "sleep", "close"],
        [10, 3, 6, 3, 1, 1, 0.3],
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
        history(seed, plan, lives, "any")
    except BaseException as error:
        raise AssertionError(f"SIM_SEED={seed}") from error


def test_random_histories_with_many_crashes_and_faults():
    """Longer, with several crashes, faults in between, stores wiped."""
    for seed in (*_ONCE_FAILED, *seeds(300)):
        _random_history(seed)


def _no_sync(self: SimDisk, fd: int) -> None:
    self.steps.step("sync")


def _no_folder_sync(self: SimDisk, path: str) -> None:
    self.steps.step("sync_folder")


def _keep_tail(self: SegmentReader) -> None:
    self._disk.sync(self.fd)


def _believe(self: SimDisk) -> str:
    return "same"


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (SimDisk, "sync", _no_sync),
        (SimDisk, "sync_folder", _no_folder_sync),
        (SegmentReader, "clean_tail", _keep_tail),
        (SimDisk, "boot_id", _believe),
    ],
)
def test_the_simulation_notices_what_is_left_out(monkeypatch, where, name, broken):
    """Negative controls: no sync, no sync of names, an uncleaned tail, a store believed after power loss."""
    monkeypatch.setattr(where, name, broken)
    with pytest.raises(AssertionError, match="SIM_SEED="):
        for seed in range(2000):
            _random_history(seed)
