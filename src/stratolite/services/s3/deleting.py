"""DeleteObject and DeleteObjects: a marker in front, or one version for good, where its locks let it go."""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import lock_rules, names, replication_rules, state, versions
from stratolite.services.s3.conditions import matches
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.events import Happening, happened
from stratolite.services.s3.faults import (
    malformed_xml,
    not_offered,
    precondition_failed,
)
from stratolite.services.s3.state import Bucket

DELETE_COUNT_MAX = 1000


class Gone(NamedTuple):
    """What a deletion did: the version removed or the marker made, if it is to be named."""

    version: str | None = None
    is_marker: bool = False


class Deleting(Service):
    def delete_object(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        key = names.key_bytes(request["Key"])
        for member in ("MFA", "IfMatchLastModifiedTime", "IfMatchSize"):
            if request.get(member) is not None:
                raise not_offered(f"parameter {member}")
        bypass = bool(request.get("BypassGovernanceRetention"))
        lock_rules.check_bypass(bucket, request)
        version_id = request.get("VersionId") or None
        gone = delete(call, bucket, key, version_id, if_match=request.get("IfMatch"), bypass=bypass)
        response: Response = {}
        if gone.version is not None:
            response["VersionId"] = gone.version
        if gone.is_marker:
            response["DeleteMarker"] = True
        return response

    def delete_objects(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        asked = payload(request, "Delete")
        listed = asked.get("Objects") or []
        if not 0 < len(listed) <= DELETE_COUNT_MAX or not all(one.get("Key") for one in listed):
            raise malformed_xml()
        if request.get("MFA") is not None:
            raise not_offered("parameter MFA")
        bypass = bool(request.get("BypassGovernanceRetention"))
        lock_rules.check_bypass(bucket, request)
        deleted: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for one in listed:
            version_id = one.get("VersionId") or None
            try:
                about = {"Bucket": bucket.name, "Key": one["Key"]}
                if version_id:
                    about["VersionId"] = version_id
                if one.get("ETag") is not None:
                    about["IfMatch"] = one["ETag"]
                if bypass:
                    about["BypassGovernanceRetention"] = True
                self.cloud.authorize(call, self, "DeleteObject", about)
                for member in ("LastModifiedTime", "Size"):
                    if one.get(member) is not None:
                        raise not_offered(f"parameter {member}")
                with call.tx.savepoint():
                    gone = delete(
                        call,
                        bucket,
                        names.key_bytes(one["Key"]),
                        version_id,
                        if_match=one.get("ETag"),
                        bypass=bypass,
                    )
            except Fault as fault:
                if fault.members.get("ArgumentName") == "versionId":
                    # LocalStack's recorded test_delete_objects (delete-object-wrong-version-id)
                    fault = versions.no_such_version(names.key_bytes(one["Key"]), version_id or "")
                code = fault.code.removesuffix("Exception")  # AccessDenied here
                error = {"Key": one["Key"], "Code": code, "Message": fault.message}
                if version_id:
                    error["VersionId"] = version_id
                errors.append(error)
                continue
            shown: dict[str, Any] = {"Key": one["Key"]}
            if version_id:
                shown["VersionId"] = version_id
            if gone.is_marker:
                shown["DeleteMarker"] = True
                shown["DeleteMarkerVersionId"] = gone.version
            deleted.append(shown)
        response: Response = {}
        if deleted and not asked.get("Quiet"):
            response["Deleted"] = deleted
        if errors:
            response["Errors"] = errors
        return response


def delete(
    call: Call,
    bucket: Bucket,
    key: bytes,
    version_id: str | None,
    *,
    if_match: str | None = None,
    bypass: bool = False,
    event: str = "ObjectRemoved",
) -> Gone:
    """Of one key, in the caller's transaction. Raises Fault; what is not there is gone already."""
    if version_id is not None:
        return _delete_version(call, bucket, key, version_id, bypass=bypass, event=event)
    old = state.head(call.tx, bucket, key)
    if if_match is not None and (old is None or not matches(if_match, old.etag)):
        raise precondition_failed("If-Match")
    if not bucket.versioning:
        if old is not None:
            versions.drop_body(call, bucket, key, old)
            state.delete_head(call.tx, bucket, key)
            if bucket.on:
                happened(call, bucket, Happening(f"{event}:Delete", key.decode()))
        return Gone()
    marker = versions.mark_deleted(call, bucket, key, old)
    shown = versions.shown(marker)
    if bucket.on:
        if "replication" in bucket.on:
            replication_rules.note_marker(call, bucket, key, marker)
        what = Happening(
            f"{event}:DeleteMarkerCreated",
            key.decode(),
            etag="d41d8cd98f00b204e9800998ecf8427e",
            version=shown,
            head=marker,
        )
        happened(call, bucket, what)
    return Gone(shown, True)


def _delete_version(
    call: Call, bucket: Bucket, key: bytes, version_id: str, *, bypass: bool, event: str
) -> Gone:
    found = versions.find(call, bucket, key, version_id)
    if found is None:
        return Gone(version_id)
    lock_rules.may_remove(call, found.head, bypass=bypass)
    versions.remove(call, found)
    is_marker = found.head.place == state.MARKER
    if bucket.on:
        version = version_id if bucket.versioning else None
        what = Happening(f"{event}:Delete", key.decode(), version=version)
        happened(call, bucket, what)
    return Gone(version_id, is_marker)
