"""Replicas: a secret's copies in other regions, which follow it in the transaction of each change.

A primary's record has ``replicas``: region -> {kms, status, message}; a replica's has ``primary``, the region of its primary, and the
primary's suffix, values, stages, tags, description and policy. A replica that cannot be written is Failed, says why, and is left
alone until ReplicateSecretToRegions names it again. AWS copies a moment later; here a replica is never behind.
Source  https://docs.aws.amazon.com/secretsmanager/latest/userguide/replicate-secrets.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stratolite import regions
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.secretsmanager import faults, state
from stratolite.services.secretsmanager.faults import arn_of, bad_parameter, bad_request

_COPIED = ("suffix", "description", "tags", "policy", "changed_s", "rotated_s", "stages", "token")
IN_SYNC, FAILED = "InSync", "Failed"


class Replicas(Service):
    def replicate_secret_to_regions(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        force = bool(request.get("ForceOverwriteReplicaSecret"))
        replicate(where, name, record, request["AddReplicaRegions"], force=force)
        state.put(call.tx, where.keys("secretsmanager"), name, record)
        return {"ARN": arn_of(where, name, record), "ReplicationStatus": shown(where, name, record)}

    def remove_regions_from_replication(self, call: Call, request: Request) -> Response:
        where, name, record = faults.find_own(call, request["SecretId"])
        known = record.get("replicas") or {}
        regions = request["RemoveReplicaRegions"]
        if odd := sorted(set(regions) - set(known)):
            raise bad_parameter(f"The secret {name} has no replica in {', '.join(odd)}.")
        for region in dict.fromkeys(regions):
            del known[region]
            there, replica = _replica(where, name, record, region)
            if replica is not None:
                state.delete(call.tx, there.keys("secretsmanager"), name, replica)
        state.put(call.tx, where.keys("secretsmanager"), name, record)
        return {"ARN": arn_of(where, name, record), "ReplicationStatus": shown(where, name, record)}

    def stop_replication_to_replica(self, call: Call, request: Request) -> Response:
        """Asked of the replica: it is a secret of its own from now on."""
        where, name, record = faults.find_alive(call, request["SecretId"])
        region = record.pop("primary", "")
        if not region:
            raise bad_request(f"The secret {name} is not a replica.")
        home = where.scoped(where.account, region)
        primary = state.get(call.tx, home.keys("secretsmanager"), name)
        if primary is not None and primary["suffix"] == record["suffix"]:
            (primary.get("replicas") or {}).pop(where.region, None)
            state.put(call.tx, home.keys("secretsmanager"), name, primary)
        state.put(call.tx, where.keys("secretsmanager"), name, record)
        return {"ARN": arn_of(where, name, record)}


def replicate(
    call: Call, name: str, record: state.Record, wanted: list[dict[str, Any]], *, force: bool
) -> None:
    """Make or make again the replicas of ``wanted``; into ``record``, which the caller keeps.

    Raises Fault for a region that cannot be, or if the caller may not read the secret itself.
    """
    replicas = record.setdefault("replicas", {})
    others = regions.beside(call.region) - {call.region}
    for one in wanted:
        if one.get("Region") not in others:
            raise bad_parameter("Invalid replica region.")
    values = _values(call, name, record)
    for one in wanted:
        kms = one.get("KmsKeyId") or ""
        kms = "" if kms.endswith("alias/aws/secretsmanager") else kms
        replicas[one["Region"]] = {"kms": kms, "status": IN_SYNC, "message": ""}
        _tried(
            call,
            record,
            one["Region"],
            lambda there: _make(there, name, record, values, call.region, force=force),
        )


def keep(call: Call, name: str, record: state.Record) -> None:
    """A changed secret, and with it what its replicas have of it besides values."""
    for region in in_sync(record):
        _tried(call, record, region, lambda there: _follow(there, name, record))
    state.put(call.tx, call.keys("secretsmanager"), name, record)


def put_value(
    call: Call, name: str, record: state.Record, version: str, value: state.Record
) -> None:
    for region in in_sync(record):
        _tried(call, record, region, lambda there: _put_value(there, name, record, version, value))


def drop_value(call: Call, name: str, record: state.Record, version: str) -> None:
    for region in in_sync(record):
        there, replica = _replica(call, name, record, region)
        if replica is not None and replica["versions"].pop(version, None) is not None:
            state.drop_value(call.tx, there.keys("secretsmanager"), name, version)
            state.put(call.tx, there.keys("secretsmanager"), name, replica)


def refuse_deletion(name: str, record: state.Record) -> None:
    if regions := sorted(record.get("replicas") or ()):
        raise bad_parameter(
            f"You can't delete secret {name} that still has replica regions [{', '.join(regions)}]"
        )


def in_sync(record: state.Record) -> list[str]:
    known = record.get("replicas") or {}
    return [region for region, about in known.items() if about["status"] == IN_SYNC]


def shown(call: Call, name: str, record: state.Record) -> list[Response]:
    """ReplicationStatus, as the primary and each replica say it."""
    found: list[Response] = []
    for region, about in sorted((record.get("replicas") or {}).items()):
        one: Response = {"Region": region, "Status": about["status"]}
        one["KmsKeyId"] = about["kms"] or "alias/aws/secretsmanager"
        one["StatusMessage"] = about["message"] or "Replication succeeded"
        _, replica = _replica(call, name, record, region)
        if replica is not None and replica["accessed_s"]:
            one["LastAccessedDate"] = replica["accessed_s"]
        found.append(one)
    return found


def _values(call: Call, name: str, record: state.Record) -> dict[str, state.Record]:
    context = {"arn": arn_of(call, name, record), "kms": record["kms"]}
    return {v: state.get_value(call, name, v, context) for v in record["versions"]}


def _tried(call: Call, record: state.Record, region: str, act: Callable[[Call], None]) -> None:
    """What a replica's region refuses, its key above all, fails the replica and not the call."""
    try:
        with call.tx.savepoint():
            act(call.scoped(call.account, region))
    except Fault as fault:
        record["replicas"][region] |= {"status": FAILED, "message": f"Replication failed: {fault.message}"}  # fmt: skip


def _make(
    there: Call,
    name: str,
    record: state.Record,
    values: dict[str, state.Record],
    primary: str,
    *,
    force: bool,
) -> None:
    keys = there.keys("secretsmanager")
    known = state.get(there.tx, keys, name)
    if known is not None:
        own = known.get("primary") == primary and known["suffix"] == record["suffix"]
        free = force and not known.get("primary") and not known.get("replicas")
        if not own and not free:
            raise bad_request(f"Secret name {name} already exists in region {there.region}.")
        state.delete(there.tx, keys, name, known)
    replica = {
        **{key: record[key] for key in _COPIED},
        "kms": record["replicas"][there.region]["kms"],
        "primary": primary,
        "created_s": there.tx.time_s,
        "accessed_s": 0,
        "deleted_s": 0,
        "due_s": 0,
        "rotation": None,
        "timer": 0,
        "versions": {},
    }
    state.put(there.tx, keys, name, replica)
    for version, value in values.items():
        _put_value(there, name, record, version, value)


def _follow(there: Call, name: str, record: state.Record) -> None:
    keys = there.keys("secretsmanager")
    replica = state.get(there.tx, keys, name)
    if replica is not None:
        state.put(there.tx, keys, name, {**replica, **{key: record[key] for key in _COPIED}})


def _put_value(
    there: Call, name: str, record: state.Record, version: str, value: state.Record
) -> None:
    keys = there.keys("secretsmanager")
    replica = state.get(there.tx, keys, name)
    if replica is None:
        return
    context = {"arn": arn_of(there, name, replica), "kms": replica["kms"]}
    state.put_value(there, name, version, value, context)
    about = record["versions"].get(version) or {"created_s": there.tx.time_s}
    replica["versions"][version] = {"created_s": about["created_s"], "accessed_s": 0}
    state.put(there.tx, keys, name, replica)


def _replica(
    call: Call, name: str, record: state.Record, region: str
) -> tuple[Call, state.Record | None]:
    """Where a replica lies; None where another secret has its name."""
    there = call.scoped(call.account, region)
    found = state.get(call.tx, there.keys("secretsmanager"), name)
    if found is not None and (found.get("primary"), found["suffix"]) != (call.region, record["suffix"]):  # fmt: skip
        found = None
    return there, found
