"""What S3 Metadata's tables are made of: a row for each change to an object, left in the transaction of the change.

A row waits under the bucket's ``journal`` until the worker (``metadata_worker``) has moved it into the journal table; a key
whose rows in the inventory or annotation table are to be written anew stands under ``stale``. Both are kept for one configuration only: its
number stands in their keys.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-schema.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-inventory-schema.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from stratolite.core import Tx, work
from stratolite.service import Call
from stratolite.services.s3 import state
from stratolite.services.s3.state import Bucket, Head

QUEUE = "s3.metadata"
PRINCIPAL = "metadata.s3.amazonaws.com"
JOURNAL_LATE_S = 60.0
"""How long a change may wait for others to go into the table with."""
INVENTORY_LATE_S = 3600.0
_RECORDS = {
    "ObjectCreated": "CREATE",
    "ObjectTagging": "UPDATE_METADATA",
    "LifecycleTransition": "UPDATE_METADATA",
    "ObjectRemoved": "DELETE",
    "LifecycleExpiration": "DELETE",
}
_ENCRYPTION = {"C": "SSE-C", "aws:kms": "SSE-KMS", "aws:kms:dsse": "DSSE-KMS"}

# (column, type, whether it is required) in order; of the journal those with a "j" only, of both the others.
_COLUMNS: tuple[tuple[str, str, bool, str], ...] = (
    ("bucket", "string", True, ""),
    ("key", "string", True, ""),
    ("sequence_number", "string", True, ""),
    ("record_type", "string", True, "j"),
    ("record_timestamp", "timestamp", True, "j"),
    ("version_id", "string", False, ""),
    ("is_delete_marker", "boolean", False, ""),
    ("size", "long", False, ""),
    ("last_modified_date", "timestamp", False, ""),
    ("e_tag", "string", False, ""),
    ("storage_class", "string", False, ""),
    ("is_multipart", "boolean", False, ""),
    ("encryption_status", "string", False, ""),
    ("is_bucket_key_enabled", "boolean", False, ""),
    ("kms_key_arn", "string", False, ""),
    ("checksum_algorithm", "string", False, ""),
    ("object_tags", "map", False, ""),
    ("user_metadata", "map", False, ""),
    ("requester", "string", False, "j"),
    ("source_ip_address", "string", False, "j"),
    ("request_id", "string", False, "j"),
)


def schema(*, of_journal: bool) -> dict[str, Any]:
    """As CreateTable's ``metadata.iceberg`` has it."""
    columns = [c for c in _COLUMNS if of_journal or not c[3]]
    inside = len(columns) + 1
    fields: list[dict[str, Any]] = []
    for number, (name, kind, required, _) in enumerate(columns, 1):
        said: Any = kind
        if kind == "map":
            said = {"type": "map", "key-id": inside, "key": "string", "value-id": inside + 1, "value": "string"}  # fmt: skip
            inside += 2
        fields.append({"id": number, "name": name, "type": said, "required": required})
    return {"schemaV2": {"type": "struct", "fields": fields}}


class Author(NamedTuple):
    """Who made a change, as the journal has it; None for what is not said."""

    requester: str | None
    source_ip: str | None
    request_id: str


def note(
    call: Call, bucket: Bucket, event: str, key: str, version: str | None, head: Head | None, by: Author
) -> None:  # fmt: skip
    """A row of what happened to an object, if its kind is one that the tables tell of.

    ``head`` is the version as it is now, a delete marker too, None of one that is gone.
    """
    record = _RECORDS.get(event.partition(":")[0])
    config = state.config(call.tx, bucket, "metadata")
    if record is None or config is None:
        return
    sequence = f"{call.tx.stamp():016x}"
    if config["journal"]["status"] != "FAILED":
        row: dict[str, Any] = {
            "bucket": bucket.name,
            "key": key,
            "sequence_number": sequence,
            "record_type": record,
            "record_timestamp": int(call.tx.time_s * 1000),
            "version_id": version,
        }
        if head is not None:
            row |= described(bucket, head)
            row |= {
                "requester": by.requester,
                "source_ip_address": by.source_ip,
                "request_id": by.request_id,
            }
        call.tx.put(bucket.journal.key(config["number"], call.tx.stamp()), orjson.dumps(row))
        _wake(call.tx, bucket, config, "journal", JOURNAL_LATE_S)
    inventory = config.get("inventory")
    if inventory is not None and inventory["status"] != "FAILED":
        call.tx.put(bucket.stale.key(inventory["number"], key.encode()), sequence.encode())
        if inventory["status"] == "ACTIVE":
            _wake(call.tx, bucket, config, "inventory", INVENTORY_LATE_S)


def annotated(call: Call, bucket: Bucket, key: bytes) -> None:
    """What is annotated of ``key`` is no more what the annotation table has, if there is one."""
    if "metadata" not in bucket.on:
        return
    config = state.config(call.tx, bucket, "metadata")
    table = (config or {}).get("annotation")
    if table is None or table["status"] == "FAILED":
        return
    sequence = f"{call.tx.stamp():016x}"
    call.tx.put(bucket.stale.key(table["number"], key), sequence.encode())
    if table["status"] == "ACTIVE":
        _wake(call.tx, bucket, config, "annotation", INVENTORY_LATE_S)


def _wake(tx: Tx, bucket: Bucket, config: dict[str, Any], kind: str, late_s: float) -> None:
    """Have the worker come, unless it is to come anyway."""
    if state.config(tx, bucket, f"metadata-{kind}-job") is None:
        put_job(tx, bucket, config["number"], kind, tx.time_s + late_s)
        state.put_config(tx, bucket, f"metadata-{kind}-job", True)


def put_job(
    tx: Tx, bucket: Bucket, number: int, kind: str, due_s: float | None = None, at: str = ""
) -> None:
    """``kind``: see ``metadata_worker``; ``at`` where it goes on."""
    place = [bucket.name, bucket.account, bucket.region, bucket.id]
    said = {"bucket": place, "number": number, "kind": kind, "at": at}
    partition = f"{bucket.id}".encode()
    work.put(tx, QUEUE, orjson.dumps(said), partition=partition, due_s=due_s)


def described(bucket: Bucket, head: Head) -> dict[str, Any]:
    """The columns that both tables have of a version."""
    marker = head.place == state.MARKER
    said: dict[str, Any] = {
        "version_id": (head.version or "null") if bucket.versioning else None,
        "is_delete_marker": marker,
        "last_modified_date": head.modified_ms,
    }
    if marker:
        return said | {"size": 0}
    sse = head.more.get("sse") or {}
    return said | {
        "size": head.size_bytes,
        "e_tag": head.etag,
        "storage_class": head.storage_class,
        "is_multipart": head.place == state.IN_PARTS,
        "encryption_status": _ENCRYPTION.get(sse.get("alg", ""), "SSE-S3"),
        "is_bucket_key_enabled": "bk" in sse,
        "kms_key_arn": sse.get("key"),
        "checksum_algorithm": head.checksum or None,
        "object_tags": head.tags,
        "user_metadata": head.metadata,
    }
