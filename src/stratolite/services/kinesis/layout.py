"""Which shards a stream has after a change: ranges of hash keys, pure.

A shard is split in two, or two neighbours are merged into one. Another number of shards is reached by such steps, as
AWS does it: first every shard is split where a new border lies in it, then what lies between two borders is merged.
"""

from __future__ import annotations

from typing import NamedTuple

KEY_MAX = (1 << 128) - 1


class Span(NamedTuple):
    number: int
    start: int
    end: int
    """Inclusive, as AWS counts."""


class Step(NamedTuple):
    """``parents`` are closed and ``children`` begin."""

    parents: tuple[int, ...]
    children: tuple[Span, ...]


def uniform(count: int) -> list[tuple[int, int]]:
    size = (KEY_MAX + 1) // count
    starts = [size * n for n in range(count)]
    return list(zip(starts, [s - 1 for s in starts[1:]] + [KEY_MAX], strict=True))


def resize(open_shards: list[Span], count: int, next_number: int) -> list[Step]:
    """From ``open_shards``, in order and without gaps, to ``count`` equal ones."""
    steps: list[Step] = []
    shards = list(open_shards)
    ranges = uniform(count)

    def number() -> int:
        nonlocal next_number
        next_number += 1
        return next_number - 1

    at = 0
    for border, _ in ranges[1:]:
        while shards[at].end < border:
            at += 1
        shard = shards[at]
        if shard.start == border:
            continue
        low = Span(number(), shard.start, border - 1)
        high = Span(number(), border, shard.end)
        steps.append(Step((shard.number,), (low, high)))
        shards[at : at + 1] = [low, high]
    at = 0
    for _, end in ranges:
        one = shards[at]
        at += 1
        while one.end < end:
            other = shards[at]
            at += 1
            both = Span(number(), one.start, other.end)
            steps.append(Step((one.number, other.number), (both,)))
            one = both
    return steps
