"""Replication configurations: what is accepted, which rule means a version, and the job left with the version.

A job of queue ``s3.replicate``, JSON: {account, region, bucket, id, key (base64), order, version, rule, role, to,
since_s, size?}; ``size`` where it is among what a measured rule has pending. Jobs of one key and one destination keep their order.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication.html
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from stratolite.service import Call
from stratolite.services.s3 import state
from stratolite.services.s3.faults import (
    invalid_argument,
    invalid_request,
    malformed_xml,
)
from stratolite.services.s3.state import Bucket, Head

QUEUE = "s3.replicate"
RULES_COUNT_MAX = 1000
THRESHOLD_MINUTES = 15
"""Of S3 Replication Time Control, which knows no other."""
_ARN = "arn:aws:s3:::"


class Rule(NamedTuple):
    id: str
    enabled: bool
    priority: int
    prefix: str
    tags: dict[str, str]
    markers: bool
    to: str
    """Name of the destination bucket."""
    said: dict[str, Any]

    def takes(self, head: Head, *, modified: bool = False) -> bool:
        """Whether versions like this one go: those under KMS keys where the rule says so, and what was changed of a replica."""
        said = self.said.get("SourceSelectionCriteria") or {}
        goes_back = modified and _is_on(said, "ReplicaModifications")
        if head.more.get("replication") == "REPLICA" and not goes_back:
            return False
        return self.opens(head)

    def opens(self, head: Head) -> bool:
        """Whether the rule goes for what is sealed as this one is."""
        chosen = self.said.get("SourceSelectionCriteria") or {}
        algorithm = (head.more.get("sse") or {}).get("alg", "")
        return not algorithm.startswith("aws:kms") or _is_on(chosen, "SseKmsEncryptedObjects")

    @property
    def is_measured(self) -> bool:
        return _is_on(self.said["Destination"], "Metrics")

    @property
    def is_timed(self) -> bool:
        return _is_on(self.said["Destination"], "ReplicationTime")

    def meets(self, key: str, tags: dict[str, str]) -> bool:
        return (
            self.enabled
            and key.startswith(self.prefix)
            and all(tags.get(k) == v for k, v in self.tags.items())
        )


class Rules(NamedTuple):
    role: str
    rules: tuple[Rule, ...]


def parse(raw: bytes) -> Rules:
    """For ``tx.parsed``."""
    said = orjson.loads(raw)
    return Rules(said["Role"], tuple(_rule(one) for one in said["Rules"]))


def _rule(said: dict[str, Any]) -> Rule:
    given = said.get("Filter")
    parts = (given or {}).get("And") or given or {}
    tags = list(parts.get("Tags") or ()) + ([parts["Tag"]] if parts.get("Tag") else [])
    marked = (said.get("DeleteMarkerReplication") or {}).get("Status")
    return Rule(
        said["ID"],
        said["Status"] == "Enabled",
        said.get("Priority") or 0,
        parts.get("Prefix") or said.get("Prefix") or "",
        {tag["Key"]: tag["Value"] for tag in tags},
        # a configuration of the first version, without Filter, replicates delete markers
        marked == "Enabled" if given is not None else marked != "Disabled",
        said["Destination"]["Bucket"].removeprefix(_ARN),
        said,
    )


def _is_on(chosen: dict[str, Any], name: str) -> bool:
    return bool((chosen.get(name) or {}).get("Status") == "Enabled")


def rules(call: Call, bucket: Bucket) -> Rules:
    return call.tx.parsed(bucket.config.key("replication"), parse) or Rules("", ())


def chosen(found: Sequence[Rule], key: str, tags: dict[str, str]) -> Iterator[Rule]:
    """For each destination the rule of the highest priority that means the object."""
    seen: set[str] = set()
    for rule in sorted(found, key=lambda r: -r.priority):
        if rule.to not in seen and rule.meets(key, tags):
            seen.add(rule.to)
            yield rule


def note(call: Call, bucket: Bucket, key: bytes, head: Head, *, modified: bool = False) -> None:
    """Leave the version for replication and say so in its head, which the caller writes.

    ``modified``: it is what is said about it that has changed, of a replica, perhaps, which stays one.
    """
    role, every = rules(call, bucket)
    left = False
    for rule in chosen(every, key.decode(), head.tags):
        if rule.takes(head, modified=modified):
            put(call, bucket, key, head, rule, role)
            left = True
    if left and head.more.get("replication") != "REPLICA":
        head.more = {**head.more, "replication": "PENDING"}


def note_marker(call: Call, bucket: Bucket, key: bytes, marker: Head) -> None:
    role, every = rules(call, bucket)
    for rule in chosen(every, key.decode(), {}):
        if rule.markers and not rule.tags:
            put(call, bucket, key, marker, rule, role)


def job(
    call: Call, bucket: Bucket, key: bytes, head: Head, rule: Rule, role: str
) -> dict[str, Any]:
    return {
        "account": bucket.account,
        "region": bucket.region,
        "bucket": bucket.name,
        "id": bucket.id,
        "key": b64encode(key).decode(),
        "order": head.order,
        "version": head.version,
        "rule": rule.id,
        "role": role,
        "to": rule.to,
        "since_s": call.tx.time_s,
    }


def put(call: Call, bucket: Bucket, key: bytes, head: Head, rule: Rule, role: str) -> None:
    payload = job(call, bucket, key, head, rule, role)
    if rule.is_measured:
        payload["size"] = head.size_bytes
        pending(call, bucket, rule.to, rule.id, 1, head.size_bytes)
    line = f"{bucket.id} {rule.to} ".encode() + key
    partition = hashlib.blake2b(line, digest_size=16).digest()
    call.cloud.work.put(call.tx, QUEUE, orjson.dumps(payload), partition=partition)


def pending(
    call: Call, bucket: Bucket, to: str, rule: str, operations: int, size_bytes: int
) -> None:
    """So much more waits for a rule whose replication is measured, less where negative.

    The bucket's configuration "replication-pending:RULE" is JSON [operations, bytes], while there are some.
    """
    kind = f"replication-pending:{rule}"
    known = state.config(call.tx, bucket, kind) or (0, 0)
    count, total = max(known[0] + operations, 0), max(known[1] + size_bytes, 0)
    if count:
        state.put_config(call.tx, bucket, kind, [count, total])
    else:
        total = 0
        state.delete_config(call.tx, bucket, kind)
    measure(call, bucket, to, rule, "OperationsPendingReplication", count)
    measure(call, bucket, to, rule, "BytesPendingReplication", total, "Bytes")


def measure(
    call: Call, bucket: Bucket, to: str, rule: str, name: str, value: float, unit: str = "Count"
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html#s3-cloudwatch-replication-metrics"""
    dimensions = (("DestinationBucket", to), ("RuleId", rule), ("SourceBucket", bucket.name))
    place = (bucket.account, bucket.region, "AWS/S3", dimensions)
    call.cloud.measure(*place, name, float(value), unit)


def checked(call: Call, bucket: Bucket, given: dict[str, Any]) -> dict[str, Any]:
    """The configuration as it is kept. Raises Fault."""
    role, listed = given.get("Role") or "", given.get("Rules") or []
    if bucket.versioning != "Enabled":
        raise invalid_request(
            "Versioning must be 'Enabled' on the bucket to apply a replication configuration"
        )
    if not role.startswith("arn:aws:iam::"):
        raise invalid_argument("Invalid Role specified in replication configuration", "Role", role)
    if not 0 < len(listed) <= RULES_COUNT_MAX:
        raise malformed_xml()
    kept, ids, priorities = [], set(), set()
    for one in listed:
        rule = {**one, "ID": one.get("ID") or call.world.uuid()}
        if rule.get("Status") not in ("Enabled", "Disabled") or "Destination" not in rule:
            raise malformed_xml()
        if ("Filter" in rule) and "Prefix" in rule:
            raise malformed_xml()
        if "Filter" in rule and ("Priority" not in rule or "DeleteMarkerReplication" not in rule):
            raise malformed_xml()
        if rule["ID"] in ids:
            raise invalid_argument(
                "Rule Id must be unique. Found same Id for more than one rule", "ID", rule["ID"]
            )
        ids.add(rule["ID"])
        if "Filter" in rule and rule["Priority"] in priorities:
            raise invalid_request(
                f"Found duplicate priority {rule['Priority']}. Priorities must be unique."
            )
        priorities.add(rule.get("Priority"))
        sealed = _is_on(rule.get("SourceSelectionCriteria") or {}, "SseKmsEncryptedObjects")
        if sealed != bool((rule["Destination"].get("EncryptionConfiguration") or {}).get("ReplicaKmsKeyID")):  # fmt: skip
            raise invalid_request(
                "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present, and the other way round."
            )
        if _rule(rule).tags and _is_on(rule, "DeleteMarkerReplication"):
            raise invalid_request(
                "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 "
                "Developer Guide for more information."
            )
        _check_destination(call, bucket, rule["Destination"])
        _check_time(rule["Destination"])
        kept.append(rule)
    return {"Role": role, "Rules": kept}


def _check_time(said: dict[str, Any]) -> None:
    """S3 Replication Time Control: of 15 minutes, with metrics. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ReplicationTime.html"""
    timed, metrics = said.get("ReplicationTime"), said.get("Metrics")
    for given, member in ((timed, "Time"), (metrics, "EventThreshold")):
        if given is None:
            continue
        if given.get("Status") not in ("Enabled", "Disabled"):
            raise malformed_xml()
        minutes = (given.get(member) or {}).get("Minutes")
        if minutes not in (None, THRESHOLD_MINUTES) or (minutes is None and given is timed):
            raise invalid_argument(
                f"{member} must be {THRESHOLD_MINUTES} minutes.", "Minutes", minutes
            )
    if _is_on(said, "ReplicationTime") and not _is_on(said, "Metrics"):
        raise invalid_request("ReplicationTime must be specified together with Metrics.")


def _check_destination(call: Call, bucket: Bucket, said: dict[str, Any]) -> None:
    arn = said.get("Bucket") or ""
    if not arn.startswith(_ARN):
        raise invalid_argument("Invalid bucket ARN", "Bucket", arn)
    target = state.bucket(call.tx, arn.removeprefix(_ARN))
    if target is None:
        raise invalid_request("Destination bucket must have versioning enabled.")
    if target.versioning != "Enabled":
        raise invalid_request("Destination bucket must have versioning enabled.")
    if target.id == bucket.id:
        raise invalid_request("Destination bucket cannot be the same as the source bucket.")
