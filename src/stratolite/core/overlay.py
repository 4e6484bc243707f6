"""Writes that lie over the store, merged into what is read from it, lazily and in key order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from stratolite.core.log import Writes

if TYPE_CHECKING:
    from stratolite.core.tx import Tx

Row = tuple[bytes, bytes]


class Layer:
    """A write set that can be read in key order; keys are sorted when somebody asks, and only new ones.

    ``writes`` may grow; nothing may be taken out of it.
    """

    __slots__ = ("_keys", "writes")

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self._keys: list[bytes] = []

    def keys(self) -> list[bytes]:
        """All keys in order. The list itself: good until the next write."""
        keys, writes = self._keys, self.writes
        fresh_count = len(writes) - len(keys)
        if fresh_count:
            fresh = islice(reversed(writes), fresh_count)  # a dict remembers what came last
            if fresh_count * 16 < len(keys):
                for key in fresh:
                    insort(keys, key)
            else:
                keys.extend(fresh)
                keys.sort()
        return keys


def between(keys: list[bytes], start: bytes, stop: bytes) -> range:
    """Where the keys in [start, stop) are in a sorted list."""
    low = bisect_left(keys, start)
    return range(low, bisect_left(keys, stop, low))


def overlaid(
    tx: Tx,
    number: int,
    rows: Iterator[Row],
    fresh: Iterator[bytes],
    writes: Writes,
    *,
    reverse: bool,
) -> Iterator[Row]:
    """``rows`` with ``writes`` of the keys ``fresh`` over them, both in the order of the scan.

    What is passed on the way makes ``tx`` need batch ``number``; what is never reached does not.
    """
    key = next(fresh, None)
    for row in rows:
        below = row[0]
        while key is not None and (key > below if reverse else key < below):
            tx.need = max(tx.need, number)
            if (value := writes[key]) is not None:
                yield key, value
            key = next(fresh, None)
        if key == below:
            tx.need = max(tx.need, number)
            if (value := writes[below]) is not None:
                yield below, value
            key = next(fresh, None)
        else:
            yield row
    while key is not None:
        tx.need = max(tx.need, number)
        if (value := writes[key]) is not None:
            yield key, value
        key = next(fresh, None)
