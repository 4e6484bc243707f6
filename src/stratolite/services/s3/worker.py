"""Removes what is too much for one transaction: parts of large uploads, annotations, the uploads of a deleted bucket.

Queue ``s3.sweep``; payload: JSON {bucket: [name, account, region, id], upload: id or "", keep: runs, space?}. An
empty upload stands for all uploads of the bucket; parts in the runs are kept; a space for its annotations. Each round removes up to ``SWEEP_COUNT_MAX`` parts and, if there is
more, leaves the rest as a new job, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import orjson

from stratolite.core import Tx
from stratolite.service import Cloud, Job, Settle
from stratolite.services.s3 import state
from stratolite.services.s3.state import Bucket, Run

QUEUE = "s3.sweep"
SWEEP_COUNT_MAX = 200
ANNOTATIONS_COUNT_MAX = 20
"""A multi-delete has a thousand objects in one transaction."""
PART_NUMBER_MAX = 10_000


def drop_parts(cloud: Cloud, tx: Tx, bucket: Bucket, upload_id: str) -> None:
    """Remove the parts of an upload that nothing names any more: now, or later if they are many."""
    drop_unlisted(cloud, tx, bucket, upload_id, ())


def drop_unlisted(
    cloud: Cloud, tx: Tx, bucket: Bucket, upload_id: str, keep: Sequence[Run]
) -> None:
    """Remove the parts of a completed upload that its object does not name: now, or later if many."""
    if not drop_some_parts(cloud, tx, bucket, upload_id, keep):
        put_sweep(cloud, tx, bucket, upload_id, keep)


def drop_some_parts(
    cloud: Cloud, tx: Tx, bucket: Bucket, upload_id: str, keep: Sequence[Run] = ()
) -> bool:
    """Whether that were all."""
    some: list[tuple[int, state.Part]] = []
    for low, high in gaps(keep):
        wanted = SWEEP_COUNT_MAX - len(some)
        some += islice(state.parts(tx, bucket, upload_id, low, high), wanted)
        if len(some) == SWEEP_COUNT_MAX:
            break
    for number, part in some:
        for blob, _, _ in part.extents:
            cloud.blobs.unlink(tx, blob)
        state.delete_part(tx, bucket, upload_id, number)
    return len(some) < SWEEP_COUNT_MAX


def drop_annotations(cloud: Cloud, tx: Tx, bucket: Bucket, space: int) -> None:
    """Of a version that is gone: some now, the rest later."""
    some = list(islice(state.annotations_of(tx, bucket, space), ANNOTATIONS_COUNT_MAX))
    for name, one in some:
        if one.blob:
            cloud.blobs.unlink(tx, one.blob)
        state.delete_annotation(tx, bucket, space, name)
    if len(some) == ANNOTATIONS_COUNT_MAX:
        place = [bucket.name, bucket.account, bucket.region, bucket.id]
        cloud.work.put(tx, QUEUE, orjson.dumps({"bucket": place, "space": space}))


def gaps(keep: Sequence[Run]) -> Iterator[tuple[int, int]]:
    """(first, last) part numbers between the runs."""
    low = 1
    for first, count, _ in keep:
        if low < first:
            yield low, first - 1
        low = first + count
    if low <= PART_NUMBER_MAX:
        yield low, PART_NUMBER_MAX


def put_sweep(
    cloud: Cloud, tx: Tx, bucket: Bucket, upload_id: str, keep: Sequence[Run] = ()
) -> None:
    place = [bucket.name, bucket.account, bucket.region, bucket.id]
    payload = {"bucket": place, "upload": upload_id, "keep": keep}
    cloud.work.put(tx, QUEUE, orjson.dumps(payload))


class Sweep:
    queue = QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        asked = orjson.loads(job.payload)
        name, account, region, number = asked["bucket"]
        bucket = Bucket(name, account, region, number)

        def settle(tx: Tx) -> None:
            if "space" in asked:
                drop_annotations(self._cloud, tx, bucket, asked["space"])
            elif asked["upload"]:
                drop_unlisted(self._cloud, tx, bucket, asked["upload"], asked["keep"])
            else:
                self._drop_uploads(tx, bucket)

        return settle

    def _drop_uploads(self, tx: Tx, bucket: Bucket) -> None:
        for row, _ in tx.scan(bucket.uploads.span(), limit=1):
            key = state.key_of(bucket.uploads, row)
            upload_id = state.upload_id_of(bucket.uploads, row)
            drop_parts(self._cloud, tx, bucket, upload_id)
            state.delete_upload(tx, bucket, key, upload_id)
            put_sweep(self._cloud, tx, bucket, "")
