"""Replication configurations: what is accepted, which rule means a version, and the job left with the version.

A job of queue ``s3.replicate``, JSON: {account, region, bucket, id, key (base64), order, version, rule, role, to,
since_s}. Jobs of one key and one destination keep their order.
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
    line = f"{bucket.id} {rule.to} ".encode() + key
    partition = hashlib.blake2b(line, digest_size=16).digest()
    call.cloud.work.put(call.tx, QUEUE, orjson.dumps(payload), partition=partition)


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
        _check_destination(call, bucket, rule["Destination"])
        kept.append(rule)
    return {"Role": role, "Rules": kept}


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
