"""Restores of archived objects: who is told that one was asked for, is done, and that its copy has expired.

A restore is done as soon as it is asked for. It leaves a job of queue ``s3.restored`` for the end of its days, JSON
Restored below; one that was prolonged since, or whose version is gone, does nothing then.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
"""

from __future__ import annotations

from typing import Any

import msgspec

from stratolite.core import Tx, work
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.s3 import state, versions
from stratolite.services.s3.events import Happening, happened, iso_ms
from stratolite.services.s3.versions import Found

QUEUE = "s3.restored"
_PRINCIPAL = "s3.amazonaws.com"


class Restored(msgspec.Struct):
    account: str
    region: str
    bucket: str
    id: int
    key: str
    version: str
    """As shown: "null" for the null version."""
    until_ms: int


def restored(call: Call, found: Found) -> None:
    """Tell of a restore whose head says until when it holds, and see to its end."""
    bucket, head = found.bucket, found.head
    until_ms, source = head.more["restored_ms"], head.storage_class
    _tell(call, found, "Post", detail={"source-storage-class": source})
    restoration = {
        "lifecycleRestorationExpiryTime": iso_ms(until_ms / 1000),
        "lifecycleRestoreStorageClass": source,
    }
    until = iso_ms(until_ms / 1000).replace(".000Z", "Z")
    _tell(
        call.as_service(_PRINCIPAL, f"arn:aws:s3:::{bucket.name}"),
        found,
        "Completed",
        more={"glacierEventData": {"restoreEventData": restoration}},
        detail={"restore-expiry-time": until, "source-storage-class": source},
    )
    job = Restored(
        bucket.account, bucket.region, bucket.name, bucket.id, found.key.decode(), versions.shown(head), until_ms
    )  # fmt: skip
    work.put(call.tx, QUEUE, msgspec.json.encode(job), due_s=until_ms / 1000)


def _tell(
    call: Call,
    found: Found,
    event: str,
    more: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    head = found.head
    what = Happening(
        f"ObjectRestore:{event}", found.key.decode(), head.size_bytes, head.etag, head.version or None,
        more=more, detail=detail,
    )  # fmt: skip
    happened(call, found.bucket, what)


class Expirer:
    """Takes back what was restored, when its days are over."""

    queue = QUEUE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = msgspec.json.decode(job.payload, type=Restored)
        call = self._cloud.call(said.account, said.region, job.id.hex()).as_service(
            _PRINCIPAL, f"arn:aws:s3:::{said.bucket}"
        )

        def expire(tx: Tx) -> None:
            call.tx = tx
            bucket = state.bucket(tx, said.bucket)
            if bucket is None or bucket.id != said.id:
                return
            found = versions.find(call, bucket, said.key.encode(), said.version)
            if found is None or found.head.more.get("restored_ms") != said.until_ms:
                return
            kept = found.head.more
            found.head.more = {name: kept[name] for name in kept if name != "restored_ms"}
            versions.save(call, found)
            _tell(call, found, "Delete")

        return expire
