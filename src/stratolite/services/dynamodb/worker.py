"""Work that follows table operations: rows of dropped tables swept, new indexes filled, old stream records trimmed.

Each job is done a slice at a time, a transaction each, and starts again where it was if the process dies: a swept
row is gone, a backfill remembers in its payload how far it came.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import orjson

from stratolite.core import Keyspace, Tx, work
from stratolite.core.work import Job, Settle
from stratolite.service import Cloud
from stratolite.services.dynamodb import state, streams
from stratolite.services.dynamodb.keyring import ours
from stratolite.services.dynamodb.table import Table

SWEEP = "dynamodb.sweep"
BACKFILL = "dynamodb.backfill"
SWEEP_COUNT = 500
BACKFILL_COUNT = 100
SLICE_SIZE_BYTES = 1 << 20
TRIM_COUNT = 500
TRIM_EVERY_S = 60

_pack = msgspec.msgpack.Encoder().encode


class Sweep(NamedTuple):
    """Payload, msgpack: the rows of a table, or of one of its indexes."""

    account: str
    region: str
    table: int
    only_index: int | None
    only_ttl: int | None = None
    only_past: int | None = None
    only_feed: int | None = None

    def pack(self) -> bytes:
        return _pack(self)


class Backfill(NamedTuple):
    """Payload, msgpack: an index to fill from the items behind ``after``."""

    account: str
    region: str
    name: str
    index_name: str
    table: int
    after: bytes

    def pack(self) -> bytes:
        return _pack(self)


_sweep_of = msgspec.msgpack.Decoder(Sweep).decode
_backfill_of = msgspec.msgpack.Decoder(Backfill).decode


class Sweeper:
    queue = SWEEP
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = _sweep_of(job.payload)
        keys = Keyspace(wanted.account, wanted.region, "dynamodb")
        if wanted.only_feed is not None:
            spans = [
                keys.span("feed", wanted.only_feed),
                keys.span("feed-job", wanted.only_feed),
            ]
        elif wanted.only_past is not None:
            spans = [keys.span("past", wanted.only_past)]
        elif wanted.only_ttl is not None:
            spans = [keys.span("ttl", wanted.table, wanted.only_ttl)]
        elif wanted.only_index is None:
            spans = state.table_spans(keys, wanted.table)
        else:
            spans = [state.index_span(keys, wanted.table, wanted.only_index)]

        def slice_away(tx: Tx) -> bool:
            count = 0
            for span in spans:
                for key in [key for key, _ in tx.scan(span, limit=SWEEP_COUNT - count)]:
                    tx.delete(key)
                    count += 1
            return count == SWEEP_COUNT

        while await self.cloud.db.transact(slice_away):
            pass
        return None


class Backfiller:
    """A slice per job: the job that settles leaves the next one, so no long job is ever repeated."""

    queue = BACKFILL
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = _backfill_of(job.payload)

        def fill(tx: Tx) -> None:
            table = ours(self.cloud, tx, wanted.account, wanted.region, wanted.name)
            if table is None or table.record["Key"] != wanted.table:
                return  # dropped meanwhile
            index = table.index_named.get(wanted.index_name)
            if index is None:
                return
            low, high = state.whole_span(table.prefix)
            last, size = b"", 0
            for count, (row, raw) in enumerate(
                _slice(tx, table, max(low, wanted.after + b"\xff" if wanted.after else low), high)
            ):
                item = orjson.loads(raw)
                place = index.row(table, item)
                if place is not None and tx.get(place) is None:  # else a write was faster
                    part = orjson.dumps(index.part(item))
                    state.put(tx, place, part, None, table.seal)
                    if index.count_key is not None:
                        state.count(tx, index.count_key, 1, len(part))
                last, size = row, size + len(raw)
                assert count < BACKFILL_COUNT
            if last:
                work.put(tx, BACKFILL, wanted._replace(after=last).pack())
            else:
                _activate(tx, wanted, table)

        return fill


class Trimmer:
    """Forgets a stream's records after 24 hours and, that long after its end, the stream itself.

    One job a stream waits for the oldest record; where there is none it looks again when one could be due.
    """

    queue = streams.TRIM
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, table, label = orjson.loads(job.payload)

        def trim(tx: Tx) -> None:
            stream = streams.find(tx, account, region, table, label)
            if stream is None:
                return
            horizon_s = int(tx.time_s) - streams.RETENTION_S
            span = streams.old_span(stream, horizon_s)
            old = [key for key, _ in tx.scan(span, limit=TRIM_COUNT)]
            for key in old:
                tx.delete(key)
            if len(old) == TRIM_COUNT:
                work.put(tx, streams.TRIM, job.payload)
                return
            if stream.closed_s is not None and stream.closed_s < horizon_s:
                streams.delete(tx, stream)
                return
            first_s = streams.first_second(tx, stream)
            if first_s is None:
                first_s = int(tx.time_s) if stream.closed_s is None else stream.closed_s
            due_s = max(first_s + streams.RETENTION_S + 2, int(tx.time_s) + TRIM_EVERY_S)
            work.put(tx, streams.TRIM, job.payload, due_s=due_s)

        return trim


def _slice(tx: Tx, table: Table, low: bytes, high: bytes) -> list[tuple[bytes, bytes]]:
    found, size = [], 0
    for row, raw in state.rows(tx, (low, high), table.seal):
        found.append((row, raw))
        size += len(raw)
        if len(found) >= BACKFILL_COUNT or size >= SLICE_SIZE_BYTES:
            break
    return found


def _activate(tx: Tx, wanted: Backfill, table: Table) -> None:
    record = orjson.loads(orjson.dumps(table.record))
    for index in record["Description"].get("GlobalSecondaryIndexes", ()):
        if index["IndexName"] == wanted.index_name:
            index["IndexStatus"] = "ACTIVE"
            index.pop("Backfilling", None)
    state.put_table(tx, wanted.account, wanted.region, record)
