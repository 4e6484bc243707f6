from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stratolite.core.lanes import Hasher, Lane
from stratolite.limits import HASHED_TOGETHER_BYTES, LANE_BEHIND_BYTES_MAX


def on_a_loop(test):
    @functools.wraps(test)
    def run(**given):
        asyncio.run(test(**given))

    return run


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


@on_a_loop
async def test_pieces_are_dealt_with_in_order_and_waited_for(pool):
    lane, seen = Lane(pool), []
    assert lane.idle
    for number in range(2000):
        lane.put(seen.append, number, number % 3)
        if number % 7 == 0:
            await lane.done()
            assert seen == list(range(number + 1))
            assert lane.idle
    await lane.done()
    assert seen == list(range(2000))


@on_a_loop
async def test_two_lanes_of_one_pool_do_not_wait_for_each_other(pool):
    first, second = Lane(pool), Lane(pool)
    gate = threading.Event()
    first.put(lambda _: gate.wait(60), None, 0)
    second.put(lambda _: gate.set(), None, 0)
    await asyncio.wait_for(asyncio.gather(first.done(), second.done()), 60)


@on_a_loop
async def test_who_gives_waits_when_the_lane_is_far_behind_and_only_then(pool):
    lane, gate = Lane(pool), threading.Event()
    lane.put(lambda _: gate.wait(60), None, LANE_BEHIND_BYTES_MAX // 2)
    await lane.room()
    lane.put(lambda _: None, None, LANE_BEHIND_BYTES_MAX // 2)
    waiting = asyncio.ensure_future(lane.room())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    await asyncio.wait_for(waiting, 60)


@on_a_loop
async def test_after_a_failure_the_rest_is_passed_over_but_for_what_cleans_up(pool):
    lane, seen = Lane(pool), []

    def fail(_):
        raise OSError("full")

    lane.put(seen.append, 1, 1)
    lane.put(fail, None, 1)
    lane.put(seen.append, 2, 1)
    with pytest.raises(OSError, match="full"):
        await lane.done()
    lane.put(seen.append, 3, 1)
    lane.put(seen.append, 4, 0, always=True)
    await lane.ended()
    assert seen == [1, 4]
    with pytest.raises(OSError, match="full"):
        await lane.room()


@on_a_loop
async def test_a_wait_that_was_cancelled_leaves_the_lane_whole(pool):
    lane, gate, seen = Lane(pool), threading.Event(), []
    lane.put(lambda _: gate.wait(60), None, 1)
    waiting = asyncio.ensure_future(lane.done())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    lane.put(seen.append, "after", 1)
    gate.set()
    await asyncio.wait_for(lane.done(), 60)
    assert seen == ["after"]


@on_a_loop
async def test_digests_are_of_all_pieces_in_order_and_small_ones_share_a_trip(monkeypatch):
    trips, put = [], Lane.put

    def counted(self, work, piece, size_bytes, **given):
        trips.append(size_bytes)
        put(self, work, piece, size_bytes, **given)

    monkeypatch.setattr(Lane, "put", counted)
    first, second = hashlib.sha256(), hashlib.md5()
    hasher = Hasher(first.update, second.update)
    pieces = [os.urandom(size) for size in [1] * 500 + [HASHED_TOGETHER_BYTES, 3, 0, 200_000] * 3]
    for piece in pieces:
        hasher(piece)
        await hasher.room()
    await hasher.done()
    whole = b"".join(pieces)
    assert first.digest() == hashlib.sha256(whole).digest()
    assert second.digest() == hashlib.md5(whole).digest()
    assert sum(trips) == len(whole)
    assert len(trips) <= 6
    await hasher.done()  # nothing is left


@on_a_loop
async def test_a_digest_that_fails_is_told(pool):
    def broken(_):
        raise ValueError("no such digest")

    hasher = Hasher(broken)
    hasher(b"piece")
    with pytest.raises(ValueError, match="no such digest"):
        await hasher.done()
