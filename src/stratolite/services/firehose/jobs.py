"""The work Firehose's calls leave, JSON.

``firehose.flush``    {account, region, name, id, number}: cut what is gathered, if it is still the ``number``-th gathering
``firehose.deliver``  {account, region, name, id, number}: make objects of a cut; one after another for a stream
``firehose.source``   {account, region, name, id, shard}: read a Kinesis source (shard "") or one shard of it
``firehose.drop``     {spans: [[start, stop] in hex]}: what a deleted stream left behind
"""

from __future__ import annotations

import orjson

from stratolite.core import Span
from stratolite.core.dropping import leave
from stratolite.service import Call
from stratolite.services.firehose import state
from stratolite.services.firehose.state import Record, Ref

FLUSH, DELIVER = "firehose.flush", "firehose.deliver"
SOURCE, DROP = "firehose.source", "firehose.drop"


def _said(ref: Ref, stream_id: int, **more: object) -> bytes:
    place = {"account": ref.account, "region": ref.region, "name": ref.name, "id": stream_id}
    return orjson.dumps(place | more)


def _partition(stream_id: int, shard: str = "") -> bytes:
    return f"{stream_id}/{shard}".encode()


def flush_at(call: Call, ref: Ref, stream_id: int, number: int, due_s: float) -> None:
    said = _said(ref, stream_id, number=number)
    call.cloud.work.put(call.tx, FLUSH, said, due_s=due_s)


def deliver(call: Call, ref: Ref, stream_id: int, number: int, due_s: float | None = None) -> None:
    said = _said(ref, stream_id, number=number)
    call.cloud.work.put(call.tx, DELIVER, said, partition=_partition(stream_id), due_s=due_s)


def read(call: Call, ref: Ref, stream_id: int, shard: str = "", due_s: float | None = None) -> None:
    said = _said(ref, stream_id, shard=shard)
    partition = _partition(stream_id, shard)
    call.cloud.work.put(call.tx, SOURCE, said, partition=partition, due_s=due_s)


def drop(call: Call, spans: list[Span]) -> None:
    leave(call.tx, DROP, spans)


def cut(call: Call, ref: Ref, stream_id: int, gathered: Record) -> Record:
    """What is gathered becomes a cut with its job; the gathering after it."""
    record = {name: gathered[name] for name in ("first", "bytes", "records", "since_s")}
    record |= {"last": call.tx.stamp(), "cut_s": call.tx.time_s, "attempts": 0, "done": False}
    state.put_cut(call.tx, ref, stream_id, gathered["number"], record)
    deliver(call, ref, stream_id, gathered["number"])
    return {
        "number": gathered["number"] + 1,
        "first": 0,
        "bytes": 0,
        "records": 0,
        "since_s": 0.0,
        "waiting": gathered["waiting"] + gathered["bytes"],
    }
