"""What happened to an object, told: the record each kind of listener gets, left as work in the same transaction.

A job of queue ``s3.notify``, JSON: {account, region, bucket, kind, arn, body, detail_type, since_s, trace}: ``body`` is
what the listener gets, written when the object was; ``trace`` is there if a function wrote it (``Call.trace``). Jobs of one object and one listener keep their order.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import orjson

from stratolite.service import Call
from stratolite.services.s3 import journal, notification_rules
from stratolite.services.s3.grants import owner
from stratolite.services.s3.notification_rules import Rule
from stratolite.services.s3.state import Bucket, Head

QUEUE = "s3.notify"

# Event -> EventBridge's detail type. https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
_DETAIL_TYPES = {
    "ObjectCreated": "Object Created",
    "ObjectRemoved": "Object Deleted",
    "LifecycleExpiration": "Object Deleted",
    "LifecycleTransition": "Object Storage Class Changed",
    "ObjectAcl": "Object ACL Updated",
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectRestore:Post": "Object Restore Initiated",
    "ObjectRestore:Completed": "Object Restore Completed",
    "ObjectRestore:Delete": "Object Restore Expired",
}
_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "LifecycleExpiration:Delete": "Lifecycle Expiration",
    "LifecycleExpiration:DeleteMarkerCreated": "Lifecycle Expiration",
}
_DELETIONS = {
    "Delete": "Permanently Deleted",
    "DeleteMarkerCreated": "Delete Marker Created",
}
_VERSION_2_3 = ("ObjectAcl", "ObjectTagging", "ObjectAnnotation", "Lifecycle", "IntelligentTiering")


class Happening(NamedTuple):
    """``event`` is without its ``s3:``; what is None is not said of such an event."""

    event: str
    key: str
    size_bytes: int | None = None
    etag: str | None = None
    version: str | None = None
    sequenced: bool = True
    """Whether it stands in a sequence with others (writes and deletions do, tags and ACLs do not)."""
    more: dict[str, Any] | None = None
    """Further top-level members of the record (glacierEventData ...)."""
    detail: dict[str, Any] | None = None
    """Further members of EventBridge's detail."""
    head: Head | None = None
    """The version it happened to, where there is one left."""


def happened(call: Call, bucket: Bucket, what: Happening) -> None:
    """Leave word for every listener of the bucket whom ``what`` concerns, and for its metadata tables."""
    if "metadata" in bucket.on:
        record(call, bucket, what)
    if "notification" not in bucket.on:
        return
    rules = call.tx.parsed(bucket.config.key("notification"), notification_rules.parse) or ()
    sequencer = ""
    for rule in rules:
        if rule.kind == "events":
            if _detail_type(what.event) is None:
                continue
        elif not rule.meets(f"s3:{what.event}", what.key):
            continue
        if what.sequenced and not sequencer:
            sequencer = f"{call.tx.stamp():018X}"
        body = (
            _detail(call, bucket, what, sequencer)
            if rule.kind == "events"
            else {"Records": [_record(call, bucket, rule, what, sequencer)]}
        )
        put(call, bucket, rule, what.key, body, _detail_type(what.event) or "")


def record(call: Call, bucket: Bucket, what: Happening) -> None:
    """For the metadata tables only."""
    who = call.principal
    by = journal.Author(
        who.name if who.kind == "service" else who.account or None,
        None if who.kind == "service" else source_ip(call),
        call.request_id,
    )
    journal.note(call, bucket, what.event, what.key, what.version, what.head, by)


def put(
    call: Call, bucket: Bucket, rule: Rule, key: str, body: dict[str, Any], detail_type: str
) -> None:
    payload = {
        "account": bucket.account,
        "region": bucket.region,
        "bucket": bucket.name,
        "kind": rule.kind,
        "arn": rule.arn,
        "body": orjson.dumps(body).decode(),
        "detail_type": detail_type,
        "since_s": call.tx.time_s,
    }
    if trace := getattr(call, "trace", ""):
        payload["trace"] = trace
    listener = f"{bucket.id} {rule.arn} {key}".encode()
    partition = hashlib.blake2b(listener, digest_size=16).digest()
    call.cloud.work.put(call.tx, QUEUE, orjson.dumps(payload), partition=partition)


def _record(
    call: Call, bucket: Bucket, rule: Rule, what: Happening, sequencer: str
) -> dict[str, Any]:
    thing: dict[str, Any] = {"key": quote_plus(what.key, safe="/")}
    if what.size_bytes is not None:
        thing["size"] = what.size_bytes
    if what.etag is not None:
        thing["eTag"] = what.etag
    if what.version is not None:
        thing["versionId"] = what.version
    if sequencer:
        thing["sequencer"] = sequencer
    record: dict[str, Any] = {
        "eventVersion": _version(what.event),
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": iso_ms(call.tx.time_s),
        "eventName": what.event,
        "userIdentity": {"principalId": _principal_id(call)},
        "requestParameters": {"sourceIPAddress": source_ip(call)},
        "responseElements": {
            "x-amz-request-id": call.request_id,
            "x-amz-id-2": base64.b64encode(f"stratolite/{call.request_id}".encode()).decode(),
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule.id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": owner(bucket.account)["ID"][:14].upper()},
                "arn": f"arn:aws:s3:::{bucket.name}",
            },
            "object": thing,
        },
    }
    return record | (what.more or {})


def _detail(call: Call, bucket: Bucket, what: Happening, sequencer: str) -> dict[str, Any]:
    thing: dict[str, Any] = {"key": what.key}
    if what.size_bytes is not None:
        thing["size"] = what.size_bytes
    if what.etag is not None:
        thing["etag"] = what.etag
    if what.version is not None:
        thing["version-id"] = what.version
    if sequencer and not what.event.startswith("ObjectRestore"):
        thing["sequencer"] = sequencer
    who = call.principal
    detail: dict[str, Any] = {
        "version": "0",
        "bucket": {"name": bucket.name},
        "object": thing,
        "request-id": call.request_id,
        "requester": who.name if who.kind == "service" else who.account or "Anonymous",
    }
    if who.kind != "service":  # "only present for events triggered by an S3 request"
        detail["source-ip-address"] = source_ip(call)
    if reason := _REASONS.get(what.event):
        detail["reason"] = reason
    group, _, kind = what.event.partition(":")
    if group in ("ObjectRemoved", "LifecycleExpiration"):
        detail["deletion-type"] = _DELETIONS[kind]
    return detail | (what.detail or {})


def _version(event: str) -> str:
    if event.startswith(_VERSION_2_3):
        return "2.3"
    return "2.2" if event.startswith("Replication") else "2.1"


def _detail_type(event: str) -> str | None:
    return _DETAIL_TYPES.get(event) or _DETAIL_TYPES.get(event.partition(":")[0])


def _principal_id(call: Call) -> str:
    who = call.principal
    if who.kind == "service":
        return who.name
    if who.kind == "anonymous":
        return "Anonymous"
    return f"AWS:{who.user_id or who.account}"


def source_ip(call: Call) -> str:
    context = call.context
    return context.get("aws:SourceIp") or context.get("aws:sourceip") or "127.0.0.1"


def iso_ms(time_s: float) -> str:
    now = datetime.fromtimestamp(time_s, UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"
