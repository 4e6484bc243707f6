"""What follows a table item by item, in order: its Kinesis destinations and its replicas in other regions.

Under (account, region, "dynamodb"):

    ("feed", feed, ms, stamp)      -> a change in the form of a stream record (see ``streams``), until it is delivered
    ("feed-job", feed)             -> "" while a job is to deliver the feed
    ("version", table, row)        -> <ms: 8 bytes><region>: when and where the item at ``row`` was written or deleted last;
                                      only in tables with replicas

``feed`` is a number no other feed ever had. A write puts its row and, if none is there, the job; the job that delivers a
page leaves the next one while there are rows, so a feed is delivered by one job at a time, in order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Tx, work
from stratolite.core.keys import pack, span_of, unpack
from stratolite.services.dynamodb import state, streams
from stratolite.services.dynamodb.sealing import Seal
from stratolite.services.dynamodb.table import Feed, Table
from stratolite.services.dynamodb.values import Item

KINESIS = "dynamodb.kinesis"
REPLICATE = "dynamodb.replicate"
RETENTION_MS = 24 * 3600 * 1000
"""What cannot be delivered for a day is lost, as it is in DynamoDB."""
PAGE_COUNT = 100
PAGE_SIZE_BYTES = 1 << 20
_QUEUES = {"kinesis": KINESIS, "replica": REPLICATE}


class Version(NamedTuple):
    """The last writer wins: the greater version does."""

    ms: int
    region: str


def note(
    tx: Tx,
    table: Table,
    key: Item,
    before: bytes | None,
    after: bytes | None,
    kinds: tuple[str, ...],
    *,
    expired: bool,
) -> None:
    """Leave a change to those of ``kinds`` who follow ``table``."""
    raw = b""
    for feed in table.feeds:
        if feed.kind in kinds:
            raw = raw or streams.form("NEW_AND_OLD_IMAGES", key, before, after, expired=expired)
            state.put(
                tx, feed.prefix + pack((int(tx.time_s * 1000), tx.stamp())), raw, None, table.seal
            )
            wake(tx, table, feed)


def wake(tx: Tx, table: Table, feed: Feed) -> None:
    flag = table.space.key("feed-job", feed.number)
    if tx.get(flag) is None:
        tx.put(flag, b"")
        job = [table.account, table.region, table.name, table.number, feed.number]
        work.put(tx, _QUEUES[feed.kind], orjson.dumps(job))


class Change(NamedTuple):
    key: bytes
    ms: int
    stamp: int
    record: dict[str, Any]


def page(tx: Tx, keys: Keyspace, number: int, seal: Seal | None) -> list[Change]:
    """The first changes of a feed that are not too old; those that are go. ``seal``: its table's."""
    prefix = keys.key("feed", number)
    oldest_ms = int(tx.time_s * 1000) - RETENTION_MS
    found: list[Change] = []
    size = 0
    lost: list[bytes] = []
    for key, raw in state.rows(tx, span_of(prefix), seal):
        ms, stamp = unpack(key[len(prefix) :])
        assert isinstance(ms, int), key
        assert isinstance(stamp, int), key
        if ms < oldest_ms:
            lost.append(key)
            if len(lost) == PAGE_COUNT:
                break
            continue
        found.append(Change(key, ms, stamp, orjson.loads(raw)))
        size += len(raw)
        if len(found) == PAGE_COUNT or size >= PAGE_SIZE_BYTES:
            break
    for key in lost:
        drop(tx, key)
    return found


def drop(tx: Tx, key: bytes) -> None:
    for each, _ in list(tx.scan((key, key + b"\xff"))):
        tx.delete(each)


def go_on(tx: Tx, keys: Keyspace, number: int, queue: str, payload: bytes) -> None:
    """After a page: the next job, or none until there is something again."""
    for _ in tx.scan(span_of(keys.key("feed", number)), limit=1):
        work.put(tx, queue, payload)
        return
    tx.delete(keys.key("feed-job", number))


# -- versions


def version(tx: Tx, table: Table, row: bytes) -> Version | None:
    raw = tx.get(_version_key(table, row))
    return None if raw is None else Version(int.from_bytes(raw[:8], "big"), raw[8:].decode())


def put_version(tx: Tx, table: Table, row: bytes, made: Version) -> None:
    tx.put(_version_key(table, row), made.ms.to_bytes(8, "big") + made.region.encode())


def _version_key(table: Table, row: bytes) -> bytes:
    return table.space.key("version", table.number, row[len(table.prefix) :])
