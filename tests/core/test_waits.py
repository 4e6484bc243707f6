"""Waiters are woken by exactly the changes and times they asked for, at a cost that does not grow with the others."""

from __future__ import annotations

import asyncio
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.clock import SeededWorld
from stratolite.core.tx import Wait
from stratolite.core.waits import Parked, Waits

_keys = st.binary(max_size=3)
_spans = st.lists(st.tuples(_keys, _keys), max_size=3)
_actions = st.lists(
    st.one_of(
        st.tuples(st.just("park"), _spans, st.sampled_from([1.0, 5.0, float("inf")])),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("change"), st.lists(_keys, max_size=3)),
        st.tuples(st.just("advance"), st.sampled_from([0.5, 2.0])),
    ),
    max_size=25,
)


async def _turns():
    for _ in range(4):
        await asyncio.sleep(0)
    await asyncio.sleep(0.0001)


@settings(max_examples=200, deadline=None)
@given(_actions)
def test_it_wakes_who_a_plain_list_would_wake(actions):
    async def main():
        world, woken = SeededWorld(1), []
        waits = Waits(world, woken.append)
        model = {}
        for action in actions:
            expected = []
            if action[0] == "park":
                parked = Parked(waits, None, None)
                until_s = world.cloud() + action[2]
                waits.park(parked, Wait(action[1], until_s))
                model[parked] = (action[1], until_s)
            elif action[0] == "cancel" and model:
                parked = list(model)[action[1] % len(model)]
                parked.cancel()
                del model[parked]
            elif action[0] == "change":
                expected = [
                    p
                    for p, (spans, _) in model.items()
                    if any(a <= k < b for a, b in spans for k in action[1])
                ]
                waits.changed(action[1])
            elif action[0] == "advance":
                world.advance(action[1])
                expected = [p for p, (_, until_s) in model.items() if until_s <= world.cloud()]
            await _turns()
            assert sorted(woken, key=id) == sorted(expected, key=id)
            for parked in expected:
                del model[parked]
            woken.clear()
            assert waits.count == len(model)
        for parked in model:
            parked.cancel()
        assert (waits._cuts, waits._pieces, waits._ends) == ([], {}, {})
        waits.close()

    asyncio.run(main())


def test_a_change_costs_the_same_with_ten_thousand_others_waiting():
    """Counted in what is compared: a list of waiters would look at every one."""

    async def main():
        world = SeededWorld(1)
        waits, woken = Waits(world, lambda parked: None), []
        for number in range(10_000):
            key = b"queue/%08d" % number
            waits.park(Parked(waits, None, None), Wait([(key, key + b"\xff")], float("inf")))
        start = time.process_time()
        for number in range(10_000):
            waits.changed([b"other/%08d" % number, b"queue/%08d" % number + b"\xff"])
        assert time.process_time() - start < 0.5  # 10,000 x 10,000 comparisons take minutes
        assert waits.count == 10_000
        assert woken == []
        waits.close()

    asyncio.run(main())


def test_waits_that_end_early_leave_no_timers_behind():
    """A claimer parks again with every job, each time until a due time far away."""

    async def main():
        waits = Waits(SeededWorld(1), lambda parked: None)
        parked = Parked(waits, None, None)
        for _ in range(10_000):
            waits.park(parked, Wait([(b"a", b"b")], 2e9))
            waits.changed([b"a"])
        assert len(waits._timers) < 100
        waits.close()

    asyncio.run(main())
