"""Versions of an object: which one a request means, what a write keeps and what a delete leaves.

A version id is 32 characters of base64: the 8 bytes of the version's order, 12 of chance and the CRC32 of these, by
which one that was made up is told from one whose version is gone (until November 2026 the CRC was chance, too). "null"
is the version written while versioning was off; there is at most one of a key.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from email.utils import formatdate
from typing import NamedTuple
from zlib import crc32

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.s3 import journal, state
from stratolite.services.s3.faults import invalid_argument, no_such_key
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.worker import drop_annotations, drop_parts

_ALPHABET = b"._"
_ID_LENGTH = 32
NULL = "null"


class Found(NamedTuple):
    """A version of an object, where it lies."""

    bucket: Bucket
    key: bytes
    head: Head
    current: bool


def new_id(call: Call, order: int) -> str:
    raw = order.to_bytes(8, "big") + call.world.token(12)
    return b64encode(raw + crc32(raw).to_bytes(4, "big"), _ALPHABET).decode()


def order_of(version_id: str) -> int:
    """Raises InvalidArgument for what never was a version id."""
    try:
        raw = b64decode(version_id.encode("ascii"), _ALPHABET, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 24 or len(version_id) != _ID_LENGTH or raw[0] > 127:
        raise _invalid(version_id)
    return int.from_bytes(raw[:8], "big")


def _invalid(version_id: str) -> Fault:
    return invalid_argument("Invalid version id specified", "versionId", version_id)


def _was_issued(version_id: str) -> bool:
    raw = b64decode(version_id, _ALPHABET)
    return crc32(raw[:20]) == int.from_bytes(raw[20:], "big")


def shown(head: Head) -> str:
    return head.version or NULL


def find(call: Call, bucket: Bucket, key: bytes, version_id: str) -> Found | None:
    """The version of that id, a delete marker too; None if it is gone. Raises InvalidArgument for what is no id.

    LocalStack's recorded test_delete_object_versioned (delete-with-bad-version).
    """
    wanted = "" if version_id == NULL else version_id
    found = _find(call, bucket, key, wanted)
    if found is None and wanted and not _was_issued(wanted):
        raise _invalid(version_id)
    return found


def _find(call: Call, bucket: Bucket, key: bytes, wanted: str) -> Found | None:
    tx = call.tx
    order = order_of(wanted) if wanted else 0
    current = state.head(tx, bucket, key)
    if current is not None and current.version == wanted:
        return Found(bucket, key, current, True)
    if not bucket.versioning:
        return None
    if not wanted:
        found_order = state.null_order(tx, bucket, key)
        if found_order is None:
            return None
        order = found_order
    head = state.older(tx, bucket, key, order)
    if head is None or head.version != wanted:
        return None
    return Found(bucket, key, head, False)


def get(
    call: Call,
    bucket: Bucket,
    key: bytes,
    version_id: str | None,
    method: str = "GET",
    *,
    of_tags: bool = False,
) -> Found:
    """The object a request means. Raises NoSuchKey, NoSuchVersion, or 405 for a delete marker's id.

    What is set on a delete marker, or taken from it, and its tags are 405, too, where it is the newest version.
    """
    if not version_id:
        current = state.head(call.tx, bucket, key)
        if current is not None:
            return Found(bucket, key, current, True)
        fault = no_such_key(key.decode())
        if bucket.versioning:
            marker = state.newest_older(call.tx, bucket, key)
            if marker is not None and (of_tags or method != "GET"):
                raise marker_not_allowed(marker, method)
            if marker is not None:
                fault.members["_headers"] = [
                    ("x-amz-delete-marker", "true"),
                    ("x-amz-version-id", shown(marker)),
                ]
        raise fault
    found = find(call, bucket, key, version_id)
    if found is None:
        raise no_such_version(key, version_id)
    if found.head.place == state.MARKER:
        raise marker_not_allowed(found.head, method)
    return found


def no_such_version(key: bytes, version_id: str) -> Fault:
    return Fault(
        "NoSuchVersion",
        "The specified version does not exist.",
        status=404,
        Key=key.decode(),
        VersionId=version_id,
    )


def marker_not_allowed(marker: Head, method: str) -> Fault:
    return Fault(
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        status=405,
        Method=method,
        ResourceType="DeleteMarker",
        _headers=[
            ("x-amz-delete-marker", "true"),
            ("x-amz-version-id", shown(marker)),
            ("Allow", "DELETE"),
            ("Last-Modified", formatdate(marker.modified_ms // 1000, usegmt=True)),
        ],
    )


def save(call: Call, found: Found) -> None:
    """Write a version back whose head was changed."""
    if found.current:
        state.put_head(call.tx, found.bucket, found.key, found.head)
    else:
        state.put_older(call.tx, found.bucket, found.key, found.head)


def make_room(call: Call, bucket: Bucket, key: bytes, old: Head | None) -> tuple[int, str]:
    """(order, version id) of what is about to become the newest version; ``old`` is the current one.

    What it replaces is gone or kept as an older version when this returns; the row under "o" is the caller's.
    """
    if not bucket.versioning:
        if old is not None:
            drop_body(call, bucket, key, old)
        return 0, ""
    order = call.tx.stamp()
    if bucket.versioning == "Enabled":
        if old is not None:
            state.put_older(call.tx, bucket, key, old)
        return order, new_id(call, order)
    _drop_null(call, bucket, key, old)
    return order, ""


def _drop_null(call: Call, bucket: Bucket, key: bytes, current: Head | None) -> None:
    """The null version makes place for another; a current version that is none is kept."""
    if current is not None:
        if not current.version:
            drop_body(call, bucket, key, current)
            return
        state.put_older(call.tx, bucket, key, current)
    order = state.null_order(call.tx, bucket, key)
    if order is not None:
        old = state.older(call.tx, bucket, key, order)
        assert old is not None, (bucket.name, key, order)
        drop_body(call, bucket, key, old)
        state.delete_older(call.tx, bucket, key, old)


def remove(call: Call, found: Found) -> None:
    """One version, for good. The newest of those left becomes the current one."""
    bucket, key, head, current = found
    drop_body(call, bucket, key, head)
    if not current:
        state.delete_older(call.tx, bucket, key, head)
        if head.place != state.MARKER or state.head(call.tx, bucket, key) is not None:
            return
    else:
        state.delete_head(call.tx, bucket, key)
        if not bucket.versioning:
            return
    newest = state.newest_older(call.tx, bucket, key)
    if newest is not None and newest.place != state.MARKER:
        state.delete_older(call.tx, bucket, key, newest)
        state.put_head(call.tx, bucket, key, newest)


def insert(call: Call, bucket: Bucket, key: bytes, head: Head) -> None:
    """A version made elsewhere takes its place by its order; its body is there already."""
    current = state.head(call.tx, bucket, key)
    newest = state.newest_older(call.tx, bucket, key)
    last = max(
        -1 if current is None else current.order,
        newest.order if newest is not None and current is None else -1,
    )
    if head.order < last:
        state.put_older(call.tx, bucket, key, head)
        return
    if current is not None:
        state.put_older(call.tx, bucket, key, current)
        state.delete_head(call.tx, bucket, key)
    if head.place == state.MARKER:
        state.put_older(call.tx, bucket, key, head)
    else:
        state.put_head(call.tx, bucket, key, head)


def mark_deleted(call: Call, bucket: Bucket, key: bytes, old: Head | None) -> Head:
    """A delete marker in front of everything."""
    order, version = make_room(call, bucket, key, old)
    marker = Head(
        "", 0, int(call.tx.time_s * 1000), "STANDARD", "", "", "", state.MARKER, b"", "", "", [],
        {}, {}, {}, "private", order, version,
    )  # fmt: skip
    if old is not None:
        state.delete_head(call.tx, bucket, key)
    state.put_older(call.tx, bucket, key, marker)
    return marker


def drop_body(call: Call, bucket: Bucket, key: bytes, head: Head) -> None:
    """Of a version being replaced or deleted; the head is the caller's."""
    if "annotations" in head.more:
        journal.annotated(call, bucket, key)
        drop_annotations(call.cloud, call.tx, bucket, head.more["annotations"]["space"])
    if head.place == state.IN_ROW:
        state.delete_body(call.tx, bucket, key, head.order)
    elif head.place == state.IN_BLOB:
        call.cloud.blobs.unlink(call.tx, head.blob)
    elif head.place == state.IN_PARTS:
        drop_parts(call.cloud, call.tx, bucket, head.upload)
