"""A table as it was: who keeps its past, and its items at a time, slice by slice, while writes go on.

While a table has a "Past" (see ``table``), each write leaves what it replaces in a row of its own, by key and time. So an
item at time T is what its first change after T replaced, or the item itself where there was none: any slice of the key
space can be read at T, at any later time, in a transaction of its own.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

from stratolite.core import Tx, work
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.table import Record, Table
from stratolite.services.dynamodb.worker import SWEEP, Sweep

SLICE_COUNT = 200
SLICE_SIZE_BYTES = 1 << 20


class Slice(NamedTuple):
    """``items`` are (row, JSON); ``last`` is where the next one begins, b"" at the end of the table."""

    items: list[tuple[bytes, bytes]]
    last: bytes


def items_at(tx: Tx, table: Table, at_ms: int, after: bytes) -> Slice:
    """Some of the items there were at ``at_ms``, behind the row ``after``. The past must reach back to then."""
    low, high = state.whole_span(table.prefix)
    now = state.rows(tx, (after + b"\xff" if after else low, high), table.seal)
    was = state.changed_rows(tx, table, after, at_ms)
    here, past = next(now, None), next(was, None)
    items: list[tuple[bytes, bytes]] = []
    last, size = b"", 0
    for _ in range(SLICE_COUNT):
        if here is None and past is None:
            return Slice(items, b"")
        if past is None or (here is not None and here[0] < past[0]):
            assert here is not None
            last, raw = here
        else:
            last, changed = past
            raw = b""
            if changed is not None:
                raw = changed.raw or b""
            elif here is not None and here[0] == last:
                raw = here[1]
            past = next(was, None)
        if here is not None and here[0] == last:
            here = next(now, None)
        if raw:
            items.append((last, raw))
            size += len(raw)
            if size >= SLICE_SIZE_BYTES:
                break
    return Slice(items, last if here is not None or past is not None else b"")


class Change(NamedTuple):
    """An item before and after a span of time; None: there was none."""

    row: bytes
    old: bytes | None
    new: bytes | None
    at_ms: int
    """When the last change within the span was made, as near as is known."""


def changes_between(
    tx: Tx, table: Table, from_ms: int, to_ms: int, after: bytes
) -> tuple[list[Change], bytes]:
    """Some of the items that changed in (from_ms, to_ms], behind the row ``after``, and where to go on."""
    found: list[Change] = []
    last, size = b"", 0
    count = 0
    for row, first in state.changed_rows(tx, table, after, from_ms):
        last, count = row, count + 1
        if first is not None and first.until_ms <= to_ms:
            then = state.was_at(tx, table, row, to_ms)
            new = state.get(tx, row, table.seal) if then is None else then.raw
            found.append(Change(row, first.raw, new, first.until_ms))
            size += len(first.raw or b"") + len(new or b"")
        if count >= SLICE_COUNT or size >= SLICE_SIZE_BYTES:
            return found, last
    return found, b""


# -- who keeps it


def add_reader(tx: Tx, table: Table, reader: str) -> Record:
    """Keep the past for ``reader`` from now on; the new record, stored."""
    record = deepcopy(table.record)
    past = record.setdefault("Past", {"Number": tx.stamp()})
    past.setdefault("Readers", []).append(reader)
    state.put_table(tx, table.account, table.region, record)
    return record


def drop_reader(tx: Tx, account: str, region: str, name: str, reader: str) -> None:
    """``reader`` has read; the past goes if nobody else wants it."""
    table = state.table(tx, account, region, name)
    if table is None or reader not in table.past.get("Readers", ()):
        return
    record = deepcopy(table.record)
    past = record["Past"]
    past["Readers"].remove(reader)
    if not past["Readers"]:
        del past["Readers"]
    forget_unless_wanted(tx, account, region, record)
    state.put_table(tx, account, region, record)


def forget_unless_wanted(tx: Tx, account: str, region: str, record: Record) -> None:
    past = record.get("Past")
    if past is not None and not past.get("Readers") and "Days" not in past:
        work.put(tx, SWEEP, Sweep(account, region, 0, None, only_past=past["Number"]).pack())
        del record["Past"]
