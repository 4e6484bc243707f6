"""Object Lock: retention and legal holds of versions, and who may remove or loosen them.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import names, replication_rules, state, versions
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.faults import invalid_request, malformed_xml
from stratolite.services.s3.lock_rules import (
    MODES,
    check_date,
    check_rule,
    ends_ms,
    event_of,
    lasts_ms,
    lock_missing,
    may_change,
)
from stratolite.services.s3.objects import touched


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
        until = float(ends_ms(more, int(call.tx.time_s * 1000)) // 1000)
        told: dict[str, Any] = {"Mode": more["mode"], "RetainUntilDate": until}
        if "event" in more:
            told["EventHold"] = "ON" if more["event"] else "OFF"
            if more["event"]:
                told["EventHoldDuration"] = dict([more["event"]])
        return {"Retention": told}

    def put_object_retention(self, call: Call, request: Request) -> Response:
        found = self._locked_version(call, request, "PUT")
        wanted = payload(request, "Retention")
        retention = _retention(call, found.head.more, wanted)
        bypass = bool(request.get("BypassGovernanceRetention"))
        may_change(call, found.head, retention, bypass=bypass)
        more = {k: v for k, v in found.head.more.items() if k not in _RETENTION}
        found.head.more = more | retention
        _note(call, found)
        versions.save(call, found)
        touched(call, found.bucket, request["Key"], found.head, "ObjectRetention:Put")
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
        _note(call, found)
        versions.save(call, found)
        return {}


_RETENTION = ("mode", "until_ms", "event")


def _retention(call: Call, now: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What is asked for, as in ``more``; {} for none. Raises Fault.

    An event hold goes on where nothing is said of it, and so does a date beside it.
    """
    mode, until = wanted.get("Mode"), wanted.get("RetainUntilDate")
    lasts = wanted.get("EventHoldDuration") or {}
    event = event_of(wanted.get("EventHold"), lasts.get("Days"), lasts.get("Years"))
    held = now.get("event")
    if mode is None and event is None:
        if until is not None:
            raise malformed_xml()
        return {}
    if mode is None and held and event == []:
        mode = now["mode"]
    if mode is None:
        raise invalid_request("An event hold requires a retention mode.")
    if mode not in MODES:
        raise malformed_xml()
    until_ms = check_date(call, until) if until is not None else 0
    made: dict[str, Any] = {"mode": mode, "until_ms": until_ms}
    if event == [] and held:
        released_ms = int(call.tx.time_s * 1000) + lasts_ms(held)
        made["until_ms"] = max(until_ms, now["until_ms"], released_ms)
    elif until is None and (event or held):
        made["until_ms"] = now.get("until_ms", 0)
    elif until is None:
        if event is None:
            raise malformed_xml()
        raise invalid_request("A retain until date is required where no event hold is ON.")
    if event is None and "event" in now:
        event = now["event"]
    return made if event is None else {**made, "event": event}


def _note(call: Call, found: versions.Found) -> None:
    """What changed goes where the object went."""
    if "replication" in found.bucket.on and found.head.version:
        replication_rules.note(call, found.bucket, found.key, found.head, modified=True)


def _no_lock() -> Fault:
    return Fault(
        "NoSuchObjectLockConfiguration",
        "The specified object does not have a ObjectLock configuration",
        status=404,
    )
