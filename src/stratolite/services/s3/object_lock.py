"""Object Lock: retention and legal holds of versions, and who may remove or loosen them.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import names, state, versions
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.faults import malformed_xml
from stratolite.services.s3.lock_rules import (
    check_date,
    check_rule,
    lock_missing,
    may_change,
)


class ObjectLocks(Service):
    def get_object_lock_configuration(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "object-lock")
        if found is None:
            raise Fault(
                "ObjectLockConfigurationNotFoundError",
                "Object Lock configuration does not exist for this bucket",
                status=404,
                BucketName=bucket.name,
            )
        return {"ObjectLockConfiguration": dict(found)}

    def put_object_lock_configuration(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "ObjectLockConfiguration")
        if wanted.get("ObjectLockEnabled") != "Enabled":
            raise malformed_xml()
        if bucket.versioning != "Enabled":
            raise Fault(
                "InvalidBucketState",
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
                status=409,
            )
        kept: dict[str, Any] = {"ObjectLockEnabled": "Enabled"}
        if wanted.get("Rule") is not None:
            kept["Rule"] = {"DefaultRetention": check_rule(wanted["Rule"])}
        state.put_config(call.tx, bucket, "object-lock", kept)
        return {}

    def _locked_version(self, call: Call, request: Request, method: str = "GET") -> versions.Found:
        bucket = bucket_of(call, request)
        if "object-lock" not in bucket.on:
            raise lock_missing()
        key = names.key_bytes(request["Key"])
        return versions.get(call, bucket, key, request.get("VersionId"), method)

    def get_object_retention(self, call: Call, request: Request) -> Response:
        found = self._locked_version(call, request)
        more = found.head.more
        if "mode" not in more:
            raise _no_lock()
        until = float(more["until_ms"] // 1000)
        return {"Retention": {"Mode": more["mode"], "RetainUntilDate": until}}

    def put_object_retention(self, call: Call, request: Request) -> Response:
        found = self._locked_version(call, request, "PUT")
        wanted = payload(request, "Retention")
        mode, until = wanted.get("Mode"), wanted.get("RetainUntilDate")
        if (mode is None) != (until is None):
            raise malformed_xml()
        until_ms = 0
        if mode is not None:
            if mode not in ("GOVERNANCE", "COMPLIANCE"):
                raise malformed_xml()
            until_ms = check_date(call, until)
        bypass = bool(request.get("BypassGovernanceRetention"))
        may_change(call, found.head, mode, until_ms, bypass=bypass)
        more = {k: v for k, v in found.head.more.items() if k not in ("mode", "until_ms")}
        if mode is not None:
            more |= {"mode": mode, "until_ms": until_ms}
        found.head.more = more
        versions.save(call, found)
        return {}

    def get_object_legal_hold(self, call: Call, request: Request) -> Response:
        found = self._locked_version(call, request)
        if "hold" not in found.head.more:
            raise _no_lock()
        return {"LegalHold": {"Status": "ON" if found.head.more["hold"] else "OFF"}}

    def put_object_legal_hold(self, call: Call, request: Request) -> Response:
        status = (request.get("LegalHold") or {}).get("Status")
        if status not in ("ON", "OFF"):
            bucket_of(call, request)
            raise malformed_xml()
        found = self._locked_version(call, request, "PUT")
        found.head.more = {**found.head.more, "hold": status == "ON"}
        versions.save(call, found)
        return {}


def _no_lock() -> Fault:
    return Fault(
        "NoSuchObjectLockConfiguration",
        "The specified object does not have a ObjectLock configuration",
        status=404,
    )
