"""Replication carried out: a version of a source bucket becomes the same version of its destination.

The version keeps its id, its time and what was said about it; it takes its place among the destination's versions by
when it was made, whatever order the copies come in. Bodies are shared, not copied. Everything is done in the name of
the rule's role, in one transaction with the status of the source.
"""

from __future__ import annotations

import logging
from base64 import b64decode
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Principal, Settle
from stratolite.services.s3 import (
    encryption,
    journal,
    lock_rules,
    replication_rules,
    state,
    versions,
)
from stratolite.services.s3.entry import ENFORCED
from stratolite.services.s3.events import Happening, happened, iso_ms, record
from stratolite.services.s3.objects import created
from stratolite.services.s3.replication_rules import QUEUE, Rule
from stratolite.services.s3.state import Bucket, Head
from stratolite.services.s3.versions import Found
from stratolite.services.s3.worker import drop_annotations

if TYPE_CHECKING:
    from stratolite.services.s3.copying import Copying

_log = logging.getLogger("stratolite.s3")
_PRINCIPAL = "s3.amazonaws.com"


async def assumed(call: Call, role_arn: str, session: str, principal: str) -> Principal:
    """The role's principal, assumed by an AWS service. Raises Fault."""
    acting = call.as_service(principal, call.principal.source_arn)
    ask = {"RoleArn": role_arn, "RoleSessionName": session, "DurationSeconds": 3600}
    answer = await acting.request("sts", "AssumeRole", ask)
    who = answer["AssumedRoleUser"]
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return Principal(
        "role",
        account,
        who["Arn"],
        name=name,
        session=session,
        user_id=who["AssumedRoleId"],
    )


class Replicator:
    queue = QUEUE
    ordered = True
    concurrency = 8

    def __init__(self, service: Copying) -> None:
        self._service = service

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        cloud, account = self._service.cloud, said["account"]
        arn = f"arn:aws:s3:::{said['bucket']}"
        call = cloud.call(account, said["region"], job.id.hex()).as_service(_PRINCIPAL, arn)
        role: Principal | None = None
        try:
            role = await assumed(call, said["role"], "s3-replication", _PRINCIPAL)
        except Fault as fault:
            _log.warning("replication of %s: its role cannot be assumed: %r", arn, fault)

        def settle(tx: Tx) -> None:
            call.tx = tx
            self.replicate(call, said, role)
            bucket = state.bucket(tx, said["bucket"])
            if "size" in said and bucket is not None and bucket.id == said["id"]:
                what = -1, -said["size"]
                replication_rules.pending(call, bucket, said["to"], said["rule"], *what)

        return settle

    def replicate(self, call: Call, said: dict[str, Any], role: Principal | None) -> Fault | None:
        """One job, in the caller's transaction. What kept it from being done, which its status says, too."""
        failure: Fault | None = None
        bucket = state.bucket(call.tx, said["bucket"])
        if bucket is None or bucket.id != said["id"]:
            return None
        key = b64decode(said["key"])
        found = versions.find(call, bucket, key, said["version"] or versions.NULL)
        if found is None or found.head.order != said["order"]:
            return None
        rules = replication_rules.rules(call, bucket).rules
        rule = next((one for one in rules if one.id == said["rule"]), None)
        if rule is None or not rule.enabled:
            return None
        try:
            if role is None:
                raise _CannotReplicate("AssumeRoleNotPermitted")
            with call.tx.savepoint():
                self._copy(call, found, rule, role)
        except (_CannotReplicate, Fault) as why:
            _log.warning("replication of %s/%s failed: %s", bucket.name, key, why)
            failure = why if isinstance(why, Fault) else Fault(str(why), "Replication failed")
            self._tell_failure(call, found, rule, said, failure.code)
            status = "FAILED"
        else:
            status = "COMPLETED"
            self._tell_late(call, found, rule, said)
        self._measure(call, bucket, rule, said, failed=failure is not None)
        if found.head.place != state.MARKER and found.head.more.get("replication") != "REPLICA":
            fresh = versions.find(call, bucket, key, said["version"] or versions.NULL)
            assert fresh is not None
            fresh.head.more = {**fresh.head.more, "replication": status}
            versions.save(call, fresh)
        return failure

    def _copy(self, call: Call, found: Found, rule: Rule, role: Principal) -> None:
        """Raises _CannotReplicate for what the role may not, or the destination cannot take."""
        bucket, key, source, _ = found
        name = key.decode()
        target = state.bucket(call.tx, rule.to)
        if target is None or target.versioning != "Enabled":
            raise _CannotReplicate("DstBucketNotFound" if target is None else "DstBucketUnversioned")  # fmt: skip
        if not source.version:
            raise _CannotReplicate("SrcObjectNotEligible")
        is_marker = source.place == state.MARKER
        reading = call.scoped(bucket.account, bucket.region, role)
        self._allowed(reading, "GetObjectVersionForReplication", bucket, name)
        writing = call.scoped(target.account, target.region, role)
        action = "ReplicateDelete" if is_marker else "ReplicateObject"
        self._allowed(writing, action, target, name)
        there = versions.find(writing, target, key, source.version)
        if there is not None:
            if _locks(there.head) != _locks(source):
                for right in ("GetObjectRetention", "GetObjectLegalHold"):
                    self._allowed(reading, right, bucket, name)
                self._bring_locks(writing, source, there.head)
            if there.head.tags != source.tags:
                self._allowed(writing, "ReplicateTags", target, name)
                there.head.tags = source.tags
                self._tell_tables(call, there, "ObjectTagging:Put")
            self._bring_annotations(writing, found, there)
            versions.save(writing, there)
            return
        sse = source.more.get("sse") or {}
        if sse.get("alg") == "C" and encryption.blocks_customers(writing, target):
            raise _CannotReplicate("DstPutObjectNotPermitted")
        replica = self._replica(writing, found, target, rule)
        if sse.get("alg", "").startswith("aws:kms"):
            data_key = encryption.open_key(reading, bucket, name, sse, {})
            master = rule.said["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"]
            said: dict[str, Any] = {"alg": "aws:kms", "key": master, "bucket_key": "bk" in sse}
            sealed = encryption.wrapped(writing, target, name, said, data_key)
            replica.more = {**replica.more, "sse": sealed}
        versions.insert(writing, target, key, replica)
        if is_marker:
            what = "ObjectRemoved:DeleteMarkerCreated"
            self._tell_tables(call, Found(target, key, replica, False), what)
        else:
            told = call.scoped(target.account, target.region)
            created(told, target, name, replica, "Put")

    def _allowed(self, acting: Call, action: str, bucket: Bucket, name: str) -> None:
        asked = {"Bucket": bucket.name, "Key": name}
        try:
            self._service.cloud.authorize(acting, self._service, action, asked)
        except Fault as fault:
            raise _CannotReplicate(_REFUSALS[action]) from fault

    def _tell_tables(self, call: Call, there: Found, event: str) -> None:
        """What nobody is notified of stands in the destination's metadata tables nevertheless."""
        bucket, key, head, _ = there
        if "metadata" in bucket.on:
            told = call.scoped(bucket.account, bucket.region)
            record(told, bucket, Happening(event, key.decode(), version=head.version, head=head))

    def _replica(self, call: Call, found: Found, target: Bucket, rule: Rule) -> Head:
        bucket, key, source, _ = found
        destination = rule.said["Destination"]
        own = ("replication", "owner", "grants", "annotations")
        more = {k: v for k, v in source.more.items() if k not in own}
        if held := source.more.get("annotations"):
            more["annotations"] = self._service.copy_annotations(call, found, target, held)
            journal.annotated(call, target, key)
        if source.place != state.MARKER:
            more["replication"] = "REPLICA"
        translated = (destination.get("AccessControlTranslation") or {}).get("Owner")
        owner = source.more.get("owner", bucket.account)
        if translated != "Destination" and owner != target.account and target.ownership != ENFORCED:
            more["owner"] = owner
        replica = Head(
            source.etag,
            source.size_bytes,
            source.modified_ms,
            destination.get("StorageClass") or source.storage_class,
            source.checksum,
            source.checksum_type,
            source.checksum_value,
            source.place,
            source.data,
            source.blob,
            source.upload,
            source.runs,
            source.headers,
            source.metadata,
            source.tags,
            source.acl,
            source.order,
            source.version,
            more,
        )
        if source.place == state.IN_BLOB:
            call.cloud.blobs.link(call.tx, source.blob)
        elif source.place == state.IN_ROW:
            data = state.body(call.tx, bucket, key, source.order)
            state.put_body(call.tx, target, key, source.order, data)
        elif source.place == state.IN_PARTS:
            replica.upload = self._service.copy_parts(call, found, target)
        return replica

    def _bring_locks(self, call: Call, source: Head, replica: Head) -> None:
        """A hold that was released is released now: its duration runs from here.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-replication
        """
        before = replica.more.get("event")
        more = {k: v for k, v in replica.more.items() if k not in _LOCKS} | _locks(source)
        if before and more.get("event") == []:
            released_ms = int(call.tx.time_s * 1000) + lock_rules.lasts_ms(before)
            more["until_ms"] = max(more["until_ms"], released_ms)
        replica.more = more

    def _bring_annotations(self, call: Call, found: Found, there: Found) -> None:
        """Those of the source in place of the replica's, if they are not the same."""
        source, replica = found.head, there.head
        held, old = source.more.get("annotations"), replica.more.get("annotations")

        def told(bucket: Bucket, one: dict[str, Any] | None) -> list[tuple[str, str]]:
            if one is None:
                return []
            every = state.annotations_of(call.tx, bucket, one["space"])
            return [(name, annotation.etag) for name, annotation in every]

        if told(found.bucket, held) == told(there.bucket, old):
            return
        journal.annotated(call, there.bucket, there.key)
        if old is not None:
            drop_annotations(call.cloud, call.tx, there.bucket, old["space"])
        more = {k: v for k, v in replica.more.items() if k != "annotations"}
        if held is not None:
            more["annotations"] = self._service.copy_annotations(call, found, there.bucket, held)
        replica.more = more

    def _measure(
        self, call: Call, bucket: Bucket, rule: Rule, said: dict[str, Any], *, failed: bool
    ) -> None:
        if not rule.is_measured:
            return
        measure = partial(replication_rules.measure, call, bucket, rule.to, rule.id)
        measure("OperationsFailedReplication", float(failed))
        if not failed:
            latency_s = max(call.tx.time_s - said["since_s"], 0.0)
            measure("ReplicationLatency", latency_s, "Seconds")

    def _tell_late(self, call: Call, found: Found, rule: Rule, said: dict[str, Any]) -> None:
        """Behind the threshold of S3 Replication Time Control, which passes unseen only while no server runs."""
        late_s = call.tx.time_s - said["since_s"]
        if rule.is_timed and late_s > replication_rules.THRESHOLD_MINUTES * 60:
            threshold_s = replication_rules.THRESHOLD_MINUTES * 60
            self._tell(call, found, rule, said, "Replication:OperationMissedThreshold", {"threshold": threshold_s})  # fmt: skip
            more = {"replicationTime": round(late_s, 3), "threshold": threshold_s}
            self._tell(call, found, rule, said, "Replication:OperationReplicatedAfterThreshold", more)  # fmt: skip

    def _tell_failure(
        self, call: Call, found: Found, rule: Rule, said: dict[str, Any], why: str
    ) -> None:
        what = "Replication:OperationFailedReplication"
        self._tell(call, found, rule, said, what, {"failureReason": why})

    def _tell(
        self,
        call: Call,
        found: Found,
        rule: Rule,
        said: dict[str, Any],
        event: str,
        more: dict[str, Any],
    ) -> None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
        head = found.head
        about = {
            "replicationRuleId": rule.id,
            "destinationBucket": f"arn:aws:s3:::{rule.to}",
            "s3Operation": "OBJECT_DELETE" if head.place == state.MARKER else "OBJECT_PUT",
            "requestTime": iso_ms(said["since_s"]),
            **more,
        }
        what = Happening(
            event,
            found.key.decode(),
            head.size_bytes,
            head.etag,
            head.version or None,
            more={"replicationEventData": about},
        )
        happened(call, found.bucket, what)


_LOCKS = ("mode", "until_ms", "event", "hold")


def _locks(head: Head) -> dict[str, Any]:
    return {name: head.more[name] for name in _LOCKS if name in head.more}


class _CannotReplicate(Exception):
    """Says why, in the words of https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-failure-codes.html"""


_REFUSALS = {
    "GetObjectVersionForReplication": "SrcGetObjectNotPermitted",
    "GetObjectRetention": "SrcGetObjectRetentionNotPermitted",
    "GetObjectLegalHold": "SrcGetObjectLegalHoldNotPermitted",
    "ReplicateObject": "DstPutObjectNotPermitted",
    "ReplicateDelete": "DstDelObjNotPermitted",
    "ReplicateTags": "DstPutTaggingNotPermitted",
}
