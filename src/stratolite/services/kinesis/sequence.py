"""Sequence numbers: 188 bits written as a decimal of 56 digits, increasing within a shard.

    bits   184-187 2 | 148-183 second the shard began | 144-147 low bits of the shard | 72-143 order
           36-71 second of arrival | 4-35 shard | 0-3 2 (the layout's version)

``order`` is the stamp of the transaction that wrote the record << 9 | its place among the records that this call
wrote to the shard. AWS's own numbers have the same first and last parts, as far as people have found out.
"""

from __future__ import annotations

from typing import NamedTuple

INDEX_BITS = 9
ORDER_MAX = (1 << 72) - 1
_TOP = 2 << 184


class Position(NamedTuple):
    """Where in a shard to read on: at the first record not before this."""

    stamp: int
    place: int


class Number(NamedTuple):
    created_s: int
    shard: int
    order: int
    time_s: int

    @property
    def position(self) -> Position:
        return Position(self.order >> INDEX_BITS, self.order & ((1 << INDEX_BITS) - 1))


def base(created_s: int, shard: int, time_s: int) -> int:
    """All of a number but its order: ``str(base | order << 72)``."""
    return _TOP | created_s << 148 | (shard & 15) << 144 | time_s << 36 | shard << 4 | 2


def text(created_s: int, shard: int, order: int, time_s: int) -> str:
    return str(base(created_s, shard, time_s) | order << 72)


def parse(given: str) -> Number | None:
    """None for what is no sequence number of ours."""
    if not given.isascii() or not given.isdigit() or len(given) > 57:
        return None
    number = int(given)
    if number >> 184 != 2 or number & 15 != 2:
        return None
    shard = number >> 4 & 0xFFFFFFFF
    if number >> 144 & 15 != shard & 15:
        return None
    return Number(
        number >> 148 & 0xFFFFFFFFF, shard, number >> 72 & ORDER_MAX, number >> 36 & 0xFFFFFFFFF
    )
