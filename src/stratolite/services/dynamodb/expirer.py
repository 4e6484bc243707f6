"""The worker that deletes items whose time to live has ended; see ``expiry``."""

from __future__ import annotations

import orjson

from stratolite.core import Tx
from stratolite.core.work import Job, Settle
from stratolite.service import Cloud
from stratolite.services.dynamodb import expiry, state
from stratolite.services.dynamodb.keyring import ours
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.writes import Write


class Expirer:
    """A slice per job; the job that settles leaves the next one."""

    queue = expiry.EXPIRE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = expiry.decode(job.payload)

        def carry_out(tx: Tx) -> None:
            table = ours(self.cloud, tx, wanted.account, wanted.region, wanted.name)
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
                    expiry.start(tx, table, now_s, last)
                    return
            count = _delete_due(tx, table, now_s)
            if count:
                dimensions = (("TableName", table.name),)
                place = table.account, table.region, "AWS/DynamoDB", dimensions
                self.cloud.measure(*place, "TimeToLiveDeletedItemCount", count)
            following = state.first_ttl(tx, table, now_s - expiry.PAST_S_MAX)
            if following is None:
                state.put_ttl_job(tx, table, None, 0)
            else:
                expiry.start(
                    tx, table, following if following <= now_s else following + expiry.LATE_S, None
                )

        return carry_out


def _fill(tx: Tx, table: Table, after: bytes) -> bytes:
    """Write the rows of some items behind ``after``; the last of them, b"" if there were none."""
    low, high = state.whole_span(table.prefix)
    last = b""
    found = []
    for row, raw in state.rows(tx, (after + b"\xff" if after else low, high), table.seal):
        found.append((row, raw))
        if len(found) >= expiry.FILL_COUNT:
            break
    for row, raw in found:
        seconds = expiry.expires_s(table, orjson.loads(raw))
        if seconds is not None:
            state.put_ttl(tx, table, seconds, row)
        last = row
    return last


def _delete_due(tx: Tx, table: Table, now_s: int) -> int:
    """How many were deleted, a page at most."""
    count = 0
    for seconds, row in state.due_ttl(
        tx, table, now_s - expiry.PAST_S_MAX, now_s, expiry.EXPIRE_COUNT
    ):
        raw = state.get(tx, row, table.seal)
        item = None if raw is None else orjson.loads(raw)
        if raw is None or expiry.expires_s(table, item) != seconds:
            state.delete_ttl(tx, table, seconds, row)
            continue
        Write(tx, table, row).delete(expired=True)
        count += 1
    return count
