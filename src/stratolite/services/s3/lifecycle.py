"""Lifecycle rules carried out: a walk over the bucket, a slice a job, until nothing more is due; then sleep until it is.

A job of queue ``s3.lifecycle``, JSON Walk below. The bucket's config "lifecycle-job" has the ticket of the one that counts;
any other found in the queue does nothing. A slice looks at ``ROWS_COUNT`` rows; the position in the payload makes a
restart go on where it stood. A walk that ends leaves the next one for the earliest time anything seen is due, at
most a day later, as tags and rules may change what is due.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-conflicts.html
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from stratolite.core import Tx, work
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.s3 import lifecycle_rules, state, versions
from stratolite.services.s3.deleting import delete
from stratolite.services.s3.events import Happening, happened
from stratolite.services.s3.lifecycle_rules import Rule
from stratolite.services.s3.listing import Row, version_rows
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.worker import drop_parts

QUEUE = "s3.lifecycle"
ROWS_COUNT = 100
_DAY_S = 86_400
_PRINCIPAL = "s3.amazonaws.com"


class Walk(msgspec.Struct):
    """Where a walk stands."""

    account: str
    region: str
    bucket: str
    id: int
    at: str = ""
    """Base64 of the bound to go on from."""
    phase: str = "objects"
    due_s: float = 1e18
    """The earliest time at which something seen so far is due."""
    began_s: float = 0.0
    key: str = ""
    """Base64 of the key the last slice ended in, with what is known of it:"""
    newer_ms: int = 0
    newer_count: int = 0
    ticket: int = 0


def start(tx: Tx, bucket: Bucket, due_s: float) -> None:
    stop(tx, bucket)
    walk = Walk(bucket.account, bucket.region, bucket.name, bucket.id, began_s=due_s)
    _put(tx, bucket, walk, due_s)


def stop(tx: Tx, bucket: Bucket) -> None:
    waiting = state.config(tx, bucket, "lifecycle-job")
    if waiting:
        work.cancel(tx, b64decode(waiting["job"]))
        state.delete_config(tx, bucket, "lifecycle-job")


def _put(tx: Tx, bucket: Bucket, walk: Walk, due_s: float) -> None:
    walk.ticket = tx.stamp()
    job = work.put(tx, QUEUE, msgspec.json.encode(walk), due_s=due_s)
    kept = {"job": b64encode(job).decode(), "ticket": walk.ticket}
    state.put_config(tx, bucket, "lifecycle-job", kept)


class Expirer:
    queue = QUEUE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = job.payload
        walk = msgspec.json.decode(said, type=Walk)
        cloud = self._cloud
        call = cloud.call(walk.account, walk.region, job.id.hex()).as_service(_PRINCIPAL, f"arn:aws:s3:::{walk.bucket}")  # fmt: skip

        def carry_out(tx: Tx) -> None:
            call.tx = tx
            walk = msgspec.json.decode(said, type=Walk)  # anew: a slice moves it on
            bucket = state.bucket(tx, walk.bucket)
            if bucket is None or bucket.id != walk.id or "lifecycle" not in bucket.on:
                return
            waiting = state.config(tx, bucket, "lifecycle-job")
            if waiting is None or waiting["ticket"] != walk.ticket:
                return
            _go_on(call, bucket, walk)

        return carry_out


def _go_on(call: Call, bucket: Bucket, walk: Walk) -> None:
    rules = lifecycle_rules.rules(call, bucket)
    now_s = call.tx.time_s
    if walk.phase == "objects":
        if not walk.at:
            walk.began_s = now_s
        done = _objects(call, bucket, rules, walk)
        if done:
            walk.phase, walk.at = "uploads", ""
    elif _uploads(call, bucket, rules, walk):
        following = min(walk.due_s, (walk.began_s // _DAY_S + 1) * _DAY_S)
        fresh = Walk(bucket.account, bucket.region, bucket.name, bucket.id)
        _put(call.tx, bucket, fresh, max(following, now_s + 1))
        return
    _put(call.tx, bucket, walk, now_s)


class _Seen(NamedTuple):
    row: Row
    head: Head
    current: bool


def _objects(call: Call, bucket: Bucket, rules: Any, walk: Walk) -> bool:
    """One slice; whether it was the last."""
    low = b64decode(walk.at) or state.at_prefix(b"")
    high = state.past_prefix(b"")
    seen = []
    for row in islice(version_rows(call.tx, bucket, low, high), ROWS_COUNT):
        assert row.value is not None
        head = state.decode_head(row.value)
        current = len(row.row) == len(state.escape(row.key)) + 1
        seen.append(_Seen(row, head, current))
    for one in seen:
        key = one.row.key
        if b64encode(key).decode() != walk.key:
            walk.key, walk.newer_ms, walk.newer_count = b64encode(key).decode(), 0, 0
        _consider(call, bucket, rules, one, walk)
        walk.newer_ms = one.head.modified_ms
    if len(seen) < ROWS_COUNT:
        return True
    walk.at = b64encode(seen[-1].row.row + b"\0").decode()
    return False


def _consider(call: Call, bucket: Bucket, rules: Any, one: _Seen, walk: Walk) -> None:
    key, head = one.row.key, one.head
    name, now_s = key.decode(), call.tx.time_s
    if one.current:
        when, _ = lifecycle_rules.expires(rules, name, head)
        if when <= now_s:
            keeps = bucket.versioning == "Enabled" or (bucket.versioning and head.version)
            if keeps and _move(call, bucket, rules, one, None, walk):
                walk.due_s = (
                    now_s  # a transition comes before a delete marker, not before a deletion
                )
            else:
                delete(call, bucket, key, None, event="LifecycleExpiration")
            return
        walk.due_s = min(walk.due_s, when)
        _move(call, bucket, rules, one, None, walk)
        return
    if head.place == state.MARKER and walk.newer_ms == 0:
        _consider_marker(call, bucket, rules, one, walk)
        return
    since_s = walk.newer_ms / 1000
    when = lifecycle_rules.noncurrent_expires(rules, name, head, since_s, walk.newer_count)
    newer_count, walk.newer_count = walk.newer_count, walk.newer_count + 1
    if when <= now_s:
        _remove(call, bucket, key, head)
        return
    walk.due_s = min(walk.due_s, when)
    if head.place != state.MARKER:
        _move(call, bucket, rules, one, since_s, walk, newer_count)


def _consider_marker(call: Call, bucket: Bucket, rules: Any, one: _Seen, walk: Walk) -> None:
    """A delete marker in front goes once nothing is behind it."""
    key = one.row.key
    behind = list(call.tx.scan(bucket.versions.span(key), limit=2))
    if len(behind) > 1:
        return
    when = lifecycle_rules.marker_expires(rules, key.decode(), one.head)
    if when <= call.tx.time_s:
        _remove(call, bucket, key, one.head)
    else:
        walk.due_s = min(walk.due_s, when)


def _remove(call: Call, bucket: Bucket, key: bytes, head: Head) -> None:
    with suppress(Fault):  # locked: the next walk asks again
        delete(call, bucket, key, versions.shown(head), event="LifecycleExpiration")


def _move(
    call: Call,
    bucket: Bucket,
    rules: tuple[Rule, ...],
    one: _Seen,
    since_s: float | None,
    walk: Walk,
    newer_count: int = 0,
) -> bool:
    """Into another storage class, if that is due; whether it was."""
    key, head = one.row.key, one.head
    now_s = call.tx.time_s
    target, following = lifecycle_rules.moves(
        rules, key.decode(), head, now_s, since_s, newer_count
    )
    walk.due_s = min(walk.due_s, following)
    if not target:
        return False
    head.storage_class = target
    versions.save(call, versions.Found(bucket, key, head, one.current))
    what = Happening(
        "LifecycleTransition",
        key.decode(),
        head.size_bytes,
        head.etag,
        head.version or None,
        more={"lifecycleEventData": {"transitionEventData": {"destinationStorageClass": target}}},
        detail={"destination-storage-class": target},
        head=head,
    )
    happened(call, bucket, what)
    return True


def _uploads(call: Call, bucket: Bucket, rules: Any, walk: Walk) -> bool:
    rows = bucket.uploads
    start_key, stop_key = rows.span()
    if walk.at:
        start_key = rows.prefix + b64decode(walk.at)
    seen = list(call.tx.scan((start_key, stop_key), limit=ROWS_COUNT))
    for row, raw in seen:
        key, upload_id = state.key_of(rows, row), state.upload_id_of(rows, row)
        initiated_s = state.decode_upload(raw).initiated_ms / 1000
        when = lifecycle_rules.upload_expires(rules, key.decode(), initiated_s)
        if when <= call.tx.time_s:
            state.delete_upload(call.tx, bucket, key, upload_id)
            drop_parts(call.cloud, call.tx, bucket, upload_id)
        else:
            walk.due_s = min(walk.due_s, when)
    if len(seen) < ROWS_COUNT:
        return True
    walk.at = b64encode(seen[-1][0][len(rows.prefix) :] + b"\0").decode()
    return False
