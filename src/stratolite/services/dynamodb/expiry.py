"""Time to live: items deleted after the time their TTL attribute names, by a worker that sleeps until then.

For each item of a table with TTL whose attribute is a number of seconds there is a row (state's ("ttl", table,
...)), written with the item, so what is due is a range of keys. One job a table waits for the earliest of
them; a write with an earlier time replaces that job. Items go at most ``LATE_S`` after their time.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import orjson

from stratolite.core import Tx, work
from stratolite.core.work import Job, Settle
from stratolite.service import Cloud
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import Item

EXPIRE = "dynamodb.expire"
EXPIRE_COUNT = 50
FILL_COUNT = 200
LATE_S = 60
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


_decode = msgspec.msgpack.Decoder(Expire).decode


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


class Expirer:
    """A slice per job; the job that settles leaves the next one."""

    queue = EXPIRE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = _decode(job.payload)

        def carry_out(tx: Tx) -> None:
            table = state.table(tx, wanted.account, wanted.region, wanted.name)
            if table is None or table.record["Key"] != wanted.table:
                return  # dropped meanwhile; its rows are swept
            waiting = state.ttl_job(tx, table)
            if waiting is None or waiting[0] != job.id:
                return  # another job took over
            if table.ttl_attribute is None:
                state.put_ttl_job(tx, table, None, 0)
                return
            now_s = int(tx.time_s)
            if wanted.fill_after is not None:
                last = _fill(tx, table, wanted.fill_after)
                if last:
                    start(tx, table, now_s, last)
                    return
            _delete_due(tx, table, now_s)
            following = state.first_ttl(tx, table, now_s - PAST_S_MAX)
            if following is None:
                state.put_ttl_job(tx, table, None, 0)
            else:
                start(tx, table, following if following <= now_s else following + LATE_S, None)

        return carry_out


def _fill(tx: Tx, table: Table, after: bytes) -> bytes:
    """Write the rows of some items behind ``after``; the last of them, b"" if there were none."""
    low, high = state.whole_span(table.prefix)
    last = b""
    found = []
    for row, raw in state.rows(tx, (after + b"\xff" if after else low, high)):
        found.append((row, raw))
        if len(found) >= FILL_COUNT:
            break
    for row, raw in found:
        seconds = expires_s(table, orjson.loads(raw))
        if seconds is not None:
            state.put_ttl(tx, table, seconds, row)
        last = row
    return last


def _delete_due(tx: Tx, table: Table, now_s: int) -> None:
    for seconds, row in state.due_ttl(tx, table, now_s - PAST_S_MAX, now_s, EXPIRE_COUNT):
        raw = state.get(tx, row)
        item = None if raw is None else orjson.loads(raw)
        if raw is None or expires_s(table, item) != seconds:
            state.delete_ttl(tx, table, seconds, row)
            continue
        state.delete(tx, row, raw)
        state.delete_ttl(tx, table, seconds, row)
        if table.indexes:
            state.index_item(tx, table, item, None)
