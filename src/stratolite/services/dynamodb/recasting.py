"""A table put under a KMS key, under another, or back: UpdateTable's SSESpecification, and the worker that brings what is stored along.

From the transaction that says so, all that is written is sealed (or no longer). What was written before is brought into the new form in
the background, a slice a transaction: items, index rows, the past, stream records, feeds. Both forms are read alike meanwhile, and
the worker goes on where it was after a kill. Another KMS key for a table that is under one changes no value, see ``keyring``.
"""

from __future__ import annotations

import base64
from copy import deepcopy

import orjson

from stratolite.core import Span, Tx, work
from stratolite.core.keys import span_of
from stratolite.core.work import Job, Settle
from stratolite.service import Call, Cloud
from stratolite.services.dynamodb import state, streams
from stratolite.services.dynamodb.faults import in_use, invalid
from stratolite.services.dynamodb.keyring import ours, ring
from stratolite.services.dynamodb.table import Record, Table

RECAST = "dynamodb.recast"
SLICE_COUNT = 200
SLICE_SIZE_BYTES = 1 << 20
_INVALID = "One or more parameter values were invalid: "


def turn(call: Call, table: Table, record: Record, key: str) -> None:
    """Change ``record`` (the table's, to be stored by the caller): under the KMS key ``key``, "" for none. Raises Fault."""
    keys = ring(call.cloud)
    if table.past.get("Readers"):
        raise in_use(
            f"Attempt to change a resource which is still in use: Table is being copied: {table.name}"
        )
    if key and table.sse is not None:
        keys.change(call, record, key)
    elif not key and table.sse is None:
        raise invalid(_INVALID + "Table is already encrypted by an AWS owned key")
    else:
        if key:
            keys.begin(call, record, key)
        else:
            record["Sse"] = {**record["Sse"], "Off": True}
        record["Sse"]["Status"] = "UPDATING"
        job = [table.account, table.region, table.name, table.number]
        work.put(call.tx, RECAST, orjson.dumps(job))
    streams.put_under(call.tx, table.account, table.region, table.name, record["Sse"])


def is_under_way(table: Table) -> bool:
    return table.sse is not None and table.sse["Status"] == "UPDATING"


class Recaster:
    queue = RECAST
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, number = orjson.loads(job.payload)

        def some(tx: Tx) -> bool:
            """Whether there is more."""
            table = ours(self.cloud, tx, account, region, name)
            if table is None or table.number != number or not is_under_way(table):
                return False
            at = state.progress(tx, table.space, number)
            last = _recast(tx, table, base64.b64decode(at) if at else b"")
            if last:
                state.put_progress(tx, table.space, number, base64.b64encode(last).decode())
                return True
            state.delete_progress(tx, table.space, number)
            self._finish(tx, table)
            return False

        while await self.cloud.db.transact(some):
            pass
        return None

    def _finish(self, tx: Tx, table: Table) -> None:
        record = deepcopy(table.record)
        sse = record["Sse"]
        if "Off" in sse:
            del record["Sse"]
            ring(self.cloud).retire(tx, record, sse)
        else:
            sse["Status"] = "ENABLED"
        streams.put_under(tx, table.account, table.region, table.name, record.get("Sse"))
        state.put_table(tx, table.account, table.region, record)


def _recast(tx: Tx, table: Table, after: bytes) -> bytes:
    """Some rows behind ``after``; the last of them, b"" if there were none."""
    assert table.seal is not None, "it was unlocked"
    found: list[tuple[bytes, bytes]] = []
    size = 0
    for low, high in _spans(tx, table):
        start = max(low, after + b"\x00")
        if start >= high or len(found) >= SLICE_COUNT or size >= SLICE_SIZE_BYTES:
            continue
        for row, raw in tx.scan((start, high), limit=SLICE_COUNT - len(found)):
            found.append((row, raw))
            size += len(raw)
            if size >= SLICE_SIZE_BYTES:
                break
    for row, raw in found:
        if raw and raw[0] != state.PART:
            state.recast(tx, row, raw, table.seal)
    return found[-1][0] if found else b""


def _spans(tx: Tx, table: Table) -> list[Span]:
    """Where a table's values lie, in the order of the keys."""
    spans = [state.whole_span(table.prefix), table.space.span("index", table.number)]
    if table.past_prefix is not None:
        spans.append(span_of(table.past_prefix))
    spans += [span_of(feed.prefix) for feed in table.feeds]
    listed = streams.listed(tx, table.account, table.region, table.name, None)
    spans += [span_of(streams.prefix_of(stream)) for stream in listed]
    return sorted(spans)
