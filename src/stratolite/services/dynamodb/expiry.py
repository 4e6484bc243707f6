"""Time to live: what a table remembers of when its items are to go, so that a worker can sleep until then.

For each item of a table with TTL whose attribute is a number of seconds there is a row (state's ("ttl", table,
...)), written with the item, so what is due is a range of keys. One job a table waits for the earliest of
them; a write with an earlier time replaces that job. Items go at most ``LATE_S`` after their time.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from stratolite.core import Tx, work
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import Item

EXPIRE = "dynamodb.expire"
EXPIRE_COUNT = 50
FILL_COUNT = 200
LATE_S = 1
CHANGE_S = 3600
"""How long a change of a table's time to live lasts; until then there is no other.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html
"""
PAST_S_MAX = 5 * 365 * 86400
"""A time longer ago than five years is taken for a mistake, as DynamoDB does."""


class Expire(NamedTuple):
    """Payload, msgpack. ``fill_after``: rows for the items behind it are still to be written; None: done."""

    account: str
    region: str
    name: str
    table: int
    fill_after: bytes | None

    def pack(self) -> bytes:
        return msgspec.msgpack.encode(self)


decode = msgspec.msgpack.Decoder(Expire).decode


def expires_s(table: Table, item: Item | None) -> int | None:
    """When ``item`` is to go; None if it says nothing usable."""
    if item is None or table.ttl_attribute is None:
        return None
    text = item.get(table.ttl_attribute, {}).get("N")
    if text is None or len(text) > 18:
        return None
    seconds = int(text.partition(".")[0])
    return seconds if seconds > 0 else None


def note(tx: Tx, table: Table, row: bytes, old: Item | None, new: Item | None) -> None:
    """Keep the TTL row of an item that changes from ``old`` to ``new``."""
    before, after = expires_s(table, old), expires_s(table, new)
    if before == after:
        return
    if before is not None:
        state.delete_ttl(tx, table, before, row)
    if after is not None:
        state.put_ttl(tx, table, after, row)
        wake(tx, table, after)


def wake(tx: Tx, table: Table, due_s: int) -> None:
    """See to it that the table's job comes at most ``LATE_S`` after ``due_s``."""
    by_s = max(due_s + LATE_S, int(tx.time_s))
    waiting = state.ttl_job(tx, table)
    if waiting is not None and waiting[1] <= by_s:
        return
    if waiting is not None:
        work.cancel(tx, waiting[0])
    start(tx, table, by_s, None)


def start(tx: Tx, table: Table, due_s: int, fill_after: bytes | None) -> None:
    _, _, _, region, account, _ = table.arn.split(":", 5)
    wanted = Expire(account, region, table.name, table.record["Key"], fill_after)
    job = work.put(tx, EXPIRE, wanted.pack(), due_s=due_s)
    state.put_ttl_job(tx, table, job, due_s)
