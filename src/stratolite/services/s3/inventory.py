"""Inventory reports: once a day or week, every object of a bucket as rows of gzipped CSV, Parquet or ORC, and manifests naming the files.

A job of queue ``s3.inventory``, JSON Report below, makes one file of at most ``FILE_ROWS_COUNT`` rows and leaves the
next; the last one writes the manifest and leaves the report of the next day. Objects are put as s3.amazonaws.com for
the source bucket, so the destination's policy decides.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from stratolite.core import Tx, work
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.s3 import inventory_columns, lifecycle_rules, lock_rules, state, versions
from stratolite.services.s3.events import iso_ms
from stratolite.services.s3.grants import canonical_id, grants_of
from stratolite.services.s3.lifecycle_rules import Rule
from stratolite.services.s3.listing import Row, version_rows
from stratolite.services.s3.object_marks import acl_of
from stratolite.services.s3.state import Bucket, Head

_log = logging.getLogger("stratolite.s3")
QUEUE = "s3.inventory"
FILE_ROWS_COUNT = 20_000
PAGE_COUNT = 500
_DAY_S = 86_400
_VERSION_FIELDS = ("VersionId", "IsLatest", "IsDeleteMarker")


class Report(msgspec.Struct):
    account: str
    region: str
    bucket: str
    id: int
    config: str
    began_s: float
    at: str = ""
    before: str = ""
    """Base64 of the key the last file ended in."""
    files: list[dict[str, Any]] = []


def start(tx: Tx, bucket: Bucket, said: dict[str, Any], now_s: float) -> None:
    """The first report comes at the next midnight."""
    midnight_s = (now_s // _DAY_S + 1) * _DAY_S
    report = Report(bucket.account, bucket.region, bucket.name, bucket.id, said["Id"], midnight_s)
    _put(tx, bucket, report, midnight_s)


def _put(tx: Tx, bucket: Bucket, report: Report, due_s: float) -> None:
    kind = f"inventory-job:{report.config}"
    waiting = state.config(tx, bucket, kind)
    if waiting:
        work.cancel(tx, b64decode(waiting))
    job = work.put(tx, QUEUE, msgspec.json.encode(report), due_s=due_s)
    state.put_config(tx, bucket, kind, b64encode(job).decode())


class Reporter:
    queue = QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        report = msgspec.json.decode(job.payload, type=Report)
        cloud, arn = self._cloud, f"arn:aws:s3:::{report.bucket}"
        call = cloud.call(report.account, report.region, job.id.hex()).as_service("s3.amazonaws.com", arn)  # fmt: skip

        def look(inner: Call) -> tuple[Bucket, dict[str, Any]] | None:
            bucket = state.bucket(inner.tx, report.bucket)
            if bucket is None or bucket.id != report.id:
                return None
            said = state.config(inner.tx, bucket, f"inventory:{report.config}")
            return None if said is None else (bucket, said)

        found = await call.transact(look)
        if found is None:
            return None
        bucket, said = found
        if not said.get("IsEnabled"):
            return lambda tx: _next_report(tx, bucket, said, report)
        try:
            done = await self._file(call, bucket, said, report)
            if done:
                await self._manifest(call, said, report)
        except Fault as fault:
            _log.warning("inventory %s of %s is not delivered: %r", report.config, arn, fault)
            return lambda tx: _next_report(tx, bucket, said, report)
        if done:
            return lambda tx: _next_report(tx, bucket, said, report)
        return lambda tx: _put(tx, bucket, report, tx.time_s)

    async def _file(self, call: Call, bucket: Bucket, said: dict[str, Any], report: Report) -> bool:
        """Write one file; whether it was the last."""
        form = said["Destination"]["S3BucketDestination"]["Format"]
        lines: list[list[str]] = []
        rules = await call.transact(lambda inner: lifecycle_rules.rules(inner, bucket))
        count, done = 0, False
        while count < FILE_ROWS_COUNT and not done:
            rows = await call.transact(lambda inner: _page(inner.tx, bucket, said, report))
            done = len(rows) < PAGE_COUNT
            if rows:
                report.at = b64encode(rows[-1].row + b"\0").decode()
            count += len(rows)
            for row in rows:
                line = _line(bucket, said, row, report, rules)
                if line is not None:
                    lines.append(line)
        place = f"{_place(said, report)}/data/{call.world.uuid()}"
        if form == "CSV":
            place, kind = f"{place}.csv.gz", "application/x-gzip"
            body = _gzipped(lines)
        else:
            place, kind = f"{place}.{inventory_columns.EXTENSIONS[form]}", "binary/octet-stream"
            body = await inventory_columns.written(form, fields(said), lines)
        await _deliver(call, said, place, body, kind)
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        report.files.append({"key": place, "size": len(body), "MD5checksum": digest})
        return done

    async def _manifest(self, call: Call, said: dict[str, Any], report: Report) -> None:
        target = said["Destination"]["S3BucketDestination"]
        manifest = {
            "sourceBucket": report.bucket,
            "destinationBucket": target["Bucket"],
            "version": "2016-11-30",
            "creationTimestamp": str(int(report.began_s * 1000)),
            "fileFormat": target["Format"],
            "fileSchema": _schema(said),
            "files": report.files,
        }
        began = datetime.fromtimestamp(report.began_s, UTC)
        there = target["Bucket"].removeprefix("arn:aws:s3:::")
        named = "\n".join(f"s3://{there}/{file['key']}" for file in report.files).encode()
        hive = f"{_place(said, report)}/hive/dt={began:%Y-%m-%d-%H-%M}/symlink.txt"
        await _deliver(call, said, hive, named, "text/plain")
        body = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
        stamp = began.strftime("%Y-%m-%dT%H-%MZ")
        place = f"{_place(said, report)}/{stamp}"
        await _deliver(call, said, f"{place}/manifest.json", body, "application/json")
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest().encode()
        await _deliver(call, said, f"{place}/manifest.checksum", digest, "text/plain")


def _next_report(tx: Tx, bucket: Bucket, said: dict[str, Any], report: Report) -> None:
    if state.config(tx, bucket, f"inventory:{report.config}") is None:
        return
    days = 7 if said["Schedule"]["Frequency"] == "Weekly" else 1
    due_s = (tx.time_s // _DAY_S + days) * _DAY_S
    fresh = Report(bucket.account, bucket.region, bucket.name, bucket.id, report.config, due_s)
    _put(tx, bucket, fresh, due_s)


def fields(said: dict[str, Any]) -> list[str]:
    versioned = _VERSION_FIELDS if said["IncludedObjectVersions"] == "All" else ()
    return ["Bucket", "Key", *versioned, *said.get("OptionalFields", ())]


def _schema(said: dict[str, Any]) -> str:
    form = said["Destination"]["S3BucketDestination"]["Format"]
    if form == "CSV":
        return ", ".join(fields(said))
    return inventory_columns.schema(form, fields(said))


def _gzipped(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(lines)
    return gzip.compress(text.getvalue().encode(), 6, mtime=0)


def _place(said: dict[str, Any], report: Report) -> str:
    prefix = said["Destination"]["S3BucketDestination"].get("Prefix") or ""
    start_of = f"{prefix}/" if prefix else ""
    return f"{start_of}{report.bucket}/{report.config}"


async def _deliver(call: Call, said: dict[str, Any], key: str, body: bytes, kind: str) -> None:
    target = said["Destination"]["S3BucketDestination"]["Bucket"].removeprefix("arn:aws:s3:::")
    put: dict[str, Any] = {"Bucket": target, "Key": key, "Body": body, "ContentType": kind}
    sealed = said["Destination"]["S3BucketDestination"].get("Encryption") or {}
    if sealed.get("SSEKMS"):  # the key's policy must let S3 use it
        put |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": sealed["SSEKMS"]["KeyId"]}
    elif "SSES3" in sealed:
        put["ServerSideEncryption"] = "AES256"
    if owner := said["Destination"]["S3BucketDestination"].get("AccountId"):
        put["ExpectedBucketOwner"] = owner
    await call.request("s3", "PutObject", {**put, "ACL": "bucket-owner-full-control"})


def _page(tx: Tx, bucket: Bucket, said: dict[str, Any], report: Report) -> list[Row]:
    prefix = ((said.get("Filter") or {}).get("Prefix") or "").encode()
    low = b64decode(report.at)
    start_at, stop = max(low, state.at_prefix(prefix)), state.past_prefix(prefix)
    return list(islice(version_rows(tx, bucket, start_at, stop), PAGE_COUNT))


def _line(
    bucket: Bucket, said: dict[str, Any], row: Row, report: Report, rules: Sequence[Rule]
) -> list[str] | None:
    assert row.value is not None
    head = state.decode_head(row.value)
    key = b64encode(row.key).decode()
    latest = key != report.before
    report.before = key
    if said["IncludedObjectVersions"] == "Current" and (not latest or head.place == state.MARKER):
        return None
    marker = head.place == state.MARKER
    in_text = said["Destination"]["S3BucketDestination"]["Format"] == "CSV"
    line = [bucket.name, quote(row.key.decode(), safe="/") if in_text else row.key.decode()]
    if said["IncludedObjectVersions"] == "All":
        shown = versions.shown(head) if bucket.versioning else ""
        line += [shown, str(latest).lower(), str(marker).lower()]
    for name in said.get("OptionalFields", ()):
        text = ""
        if name == _EXPIRES:
            if latest and not marker:
                text = _expiration(rules, row.key.decode(), head)
        elif name == _RETAINED:
            if "mode" in head.more:
                ends_ms = lock_rules.ends_ms(head.more, int(report.began_s * 1000))
                text = iso_ms(ends_ms / 1000)
        elif not marker and name in _FIELDS:
            text = _FIELDS[name](bucket, head)
        line.append(text)
    return line


def _expiration(rules: Sequence[Rule], key: str, head: Head) -> str:
    when_s, rule = lifecycle_rules.expires(rules, key, head)
    return "" if rule is None else iso_ms(when_s)


def _acl(bucket: Bucket, head: Head) -> str:
    """The JSON of https://docs.aws.amazon.com/AmazonS3/latest/userguide/objectacl.html, in base64."""
    holder = head.more.get("owner", bucket.account)
    listed = [
        {"uri" if kind == "Group" else "canonicalId": name, "type": kind, "permission": permission}
        for kind, name, permission in grants_of(acl_of(head), holder, bucket.account)
    ]
    said = {"version": "2022-11-10", "status": "AVAILABLE", "grants": listed}
    return b64encode(orjson.dumps(said)).decode()


def _tiered(told: Callable[[Head], str]) -> Callable[[Bucket, Head], str]:
    return lambda _, head: told(head) if head.storage_class == "INTELLIGENT_TIERING" else ""


_FIELDS: dict[str, Any] = {
    "Size": lambda _, h: str(h.size_bytes),
    "LastModifiedDate": lambda _, h: iso_ms(h.modified_ms / 1000),
    "StorageClass": lambda _, h: h.storage_class,
    "ETag": lambda _, h: h.etag,
    "IsMultipartUploaded": lambda _, h: str(h.place == state.IN_PARTS).lower(),
    "ReplicationStatus": lambda _, h: h.more.get("replication", ""),
    "EncryptionStatus": lambda _, h: {
        "C": "SSE-C",
        "aws:kms": "SSE-KMS",
        "aws:kms:dsse": "DSSE-KMS",
    }.get((h.more.get("sse") or {}).get("alg", ""), "SSE-S3"),
    "ObjectLockMode": lambda _, h: h.more.get("mode", ""),
    "ObjectLockEventHoldStatus": lambda _, h: (
        "" if "event" not in h.more else "ON" if h.more["event"] else "OFF"
    ),
    "ObjectLockEventHoldDuration": lambda _, h: (
        str(lock_rules.lasts_ms(h.more["event"]) // (_DAY_S * 1000)) if h.more.get("event") else ""
    ),
    "ObjectLockLegalHoldStatus": lambda _, h: "On" if h.more.get("hold") else "Off",
    "ChecksumAlgorithm": lambda _, h: h.checksum,
    "ObjectOwner": lambda b, h: canonical_id(h.more.get("owner", b.account)),
    "BucketKeyStatus": lambda _, h: "ENABLED" if "bk" in (h.more.get("sse") or {}) else "DISABLED",
    "ObjectAccessControlList": _acl,
    # nothing moves between the tiers here
    "IntelligentTieringAccessTier": _tiered(lambda _: "FREQUENT"),
    "IntelligentTieringReferenceDate": _tiered(lambda h: iso_ms(h.modified_ms / 1000)),
}
_EXPIRES = "LifecycleExpirationDate"
_RETAINED = "ObjectLockRetainUntilDate"
OPTIONAL = frozenset({*_FIELDS, _EXPIRES, _RETAINED})
