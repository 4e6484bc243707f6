"""What S3 Batch Operations asks of S3 beyond its API: lists for manifests, checksums, replication of what is there.

No request from outside names these operations (``wire`` knows no such names); the job's role must be allowed what AWS
documents for each.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-iam-role-policies.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from itertools import islice
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.s3 import (
    archive_rules,
    content,
    encryption,
    replication_rules,
    state,
    versions,
)
from stratolite.services.s3.copying import Copying
from stratolite.services.s3.entry import bucket_of
from stratolite.services.s3.listing import version_rows
from stratolite.services.s3.replication import Replicator, assumed
from stratolite.services.s3.state import Bucket, Head

_KINDS = {
    "SSES3": ("", "AES256"),
    "SSEKMS": ("aws:kms",),
    "DSSEKMS": ("aws:kms:dsse",),
    "SSEC": ("C",),
    "NOTSSE": (),
}
"""Filter of a manifest -> ``alg`` of the objects it means; every object is encrypted, if only by its word."""


class Batch(Copying):
    def list_for_batch(self, call: Call, asked: Request) -> Response:
        """``asked``: {Bucket, ExpectedBucketOwner?, Filter, After, MaxKeys}, ``After`` being the last answer's ``Next``.

        Answers {Rows: [key, version id or ""], Next: "" for the end}. Every version of an object, no delete markers.
        """
        bucket = bucket_of(call, asked)
        meets = _filter(call, bucket, asked.get("Filter") or {})
        low = base64.b64decode(asked["After"]) or state.at_prefix(b"")
        every = version_rows(call.tx, bucket, low, state.past_prefix(b""))
        listed: list[list[str]] = []
        looked = 0
        for row in islice(every, asked["MaxKeys"]):
            looked += 1
            low = row.row + b"\0"
            assert row.value is not None
            head = state.decode_head(row.value)
            if head.place != state.MARKER and meets(row.key.decode(), head):
                version = versions.shown(head) if bucket.versioning else ""
                listed.append([row.key.decode(), version])
        ended = looked < asked["MaxKeys"]
        return {"Rows": listed, "Next": "" if ended else base64.b64encode(low).decode()}

    async def compute_checksum(self, call: Call, asked: Request) -> Response:
        """Of the whole object, read through: {ETag, Value: bytes}. ``asked``: {Bucket, Key, VersionId?, Algorithm}."""

        def look(inner: Call) -> tuple[str, list[content.Piece]]:
            bucket, key, head, _ = self._found(inner, asked)
            archive_rules.check_readable(inner, head)
            sse = head.more.get("sse") or {}
            data_key = encryption.open_key(inner, bucket, asked["Key"], sse, {})
            return head.etag, content.pieces(inner.tx, bucket, key, head, data_key=data_key)

        etag, pieces = await call.transact(look)
        _, value = await content.digests(self.cloud, pieces, asked["Algorithm"])
        return {"ETag": etag, "Value": base64.b64decode(value)}

    async def initiate_replication(self, call: Call, asked: Request) -> Response:
        """A version that is there goes where the bucket's rules send new ones, now. Raises Fault if it did not."""
        arn = f"arn:aws:s3:::{asked['Bucket']}"

        def look(inner: Call) -> list[dict[str, Any]]:
            bucket, key, head, _ = self._found(inner, asked)
            role, every = replication_rules.rules(inner, bucket)
            return [
                replication_rules.job(inner, bucket, key, head, rule, role)
                for rule in replication_rules.chosen(every, asked["Key"], head.tags)
                if rule.opens(head)
            ]

        jobs = await call.transact(look)
        if not jobs:
            raise Fault("InvalidRequest", "No replication rule applies to the object", status=400)
        replicator = Replicator(self)
        for said in jobs:
            own = self.cloud.call(said["account"], said["region"], call.request_id)
            acting = own.as_service("s3.amazonaws.com", arn)
            role = await assumed(acting, said["role"], "s3-replication", "s3.amazonaws.com")
            failed = await acting.transact(
                lambda inner, said=said, role=role: replicator.replicate(inner, said, role)  # type: ignore[misc]
            )
            if failed is not None:
                raise failed
        return {}


def _filter(call: Call, bucket: Bucket, said: dict[str, Any]) -> Callable[[str, Head], bool]:
    """Whether a version belongs in the manifest. https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_JobManifestGeneratorFilter.html"""
    names = said.get("KeyNameConstraint") or {}
    prefixes = tuple(names.get("MatchAnyPrefix") or ())
    suffixes = tuple(names.get("MatchAnySuffix") or ())
    parts = names.get("MatchAnySubstring") or ()
    after, before = said.get("CreatedAfter"), said.get("CreatedBefore")
    statuses = said.get("ObjectReplicationStatuses") or ()
    more, less = said.get("ObjectSizeGreaterThanBytes"), said.get("ObjectSizeLessThanBytes")
    classes, kinds = said.get("MatchAnyStorageClass") or (), said.get("MatchAnyObjectEncryption")
    eligible = said.get("EligibleForReplication")
    rules = replication_rules.rules(call, bucket).rules if eligible is not None else ()

    def meets(key: str, head: Head) -> bool:
        made_s = head.modified_ms / 1000
        return (
            (not prefixes or key.startswith(prefixes))
            and (not suffixes or key.endswith(suffixes))
            and (not parts or any(one in key for one in parts))
            and (after is None or made_s > after)
            and (before is None or made_s < before)
            and (not statuses or head.more.get("replication", "NONE") in statuses)
            and (more is None or head.size_bytes > more)
            and (less is None or head.size_bytes < less)
            and (not classes or head.storage_class in classes)
            and (not kinds or any(_sealed_so(head, one) for one in kinds))
            and (eligible is None or eligible == _goes(head, key))
        )

    def _goes(head: Head, key: str) -> bool:
        return any(rule.opens(head) for rule in replication_rules.chosen(rules, key, head.tags))

    return meets


def _sealed_so(head: Head, said: dict[str, Any]) -> bool:
    ((kind, more),) = ((k, v or {}) for k, v in said.items() if v is not None)
    sse = head.more.get("sse") or {}
    if sse.get("alg", "") not in _KINDS[kind]:
        return False
    if "KmsKeyArn" in more and more["KmsKeyArn"] != sse.get("key"):
        return False
    return "BucketKeyEnabled" not in more or bool(more["BucketKeyEnabled"]) == ("bk" in sse)
