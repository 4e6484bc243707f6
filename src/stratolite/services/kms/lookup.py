"""Which key a request means: an id, an ARN, an alias or an alias's ARN; and whether it may be used now."""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, root
from stratolite.services.kms import bus, material, state
from stratolite.services.kms.faults import (
    disabled,
    invalid_key_id,
    no_alias,
    not_found,
    pending_deletion,
    wrong_state,
    wrong_usage,
)
from stratolite.services.kms.specs import ENCRYPT, SYMMETRIC
from stratolite.services.kms.state import Key, Place

KEY_ID = re.compile(
    r"mrk-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
AWS_NAMES = re.compile(r"alias/aws/[a-z0-9-]{1,64}")
ROTATION_DAYS = 365
EXTERNAL = "EXTERNAL"
_DAY_S = 86_400


def find(call: Call, key_id: str) -> Key:
    """Raises NotFoundException. The key of a service is made here when it is first named."""
    place, rest = split(call, key_id)
    if rest.startswith("alias/"):
        alias = state.alias(call.tx, place, rest)
        if alias is not None:
            return _there(call, place, alias["key"])
        if AWS_NAMES.fullmatch(rest) and place.account == call.account:
            return make_managed(call, place, rest)
        raise no_alias(place.arn(rest))
    name = rest.removeprefix("key/")
    if not KEY_ID.fullmatch(name):
        raise invalid_key_id(key_id)
    return _there(call, place, name)


def split(call: Call, key_id: str) -> tuple[Place, str]:
    """(where, ``key/ID``, ``alias/NAME`` or whatever it was)."""
    if not key_id.startswith("arn:"):
        return state.here(call), key_id
    parts = key_id.split(":", 5)
    if len(parts) != 6 or parts[2] != "kms":
        raise invalid_key_id(key_id)
    if parts[3] != call.region:
        raise Fault("NotFoundException", f"Invalid arn {parts[3]}")
    return Place(parts[4], parts[3]), parts[5]


def _there(call: Call, place: Place, key_id: str) -> Key:
    found = state.key(call.tx, place, key_id)
    if found is None or (
        found.record["deletion_s"] is not None and found.record["deletion_s"] <= call.tx.time_s
    ):
        raise not_found(place.arn(f"key/{key_id}"))
    return without_expired(call, rotated(call, found))


def without_expired(call: Call, found: Key) -> Key:
    """The key as it is once imported material whose time has come is gone; a job removes it from the store."""
    if not is_external(found):
        return found
    left = expired(found.record, call.tx.time_s)
    return found if left is None else Key(found.place, left)


def expired(record: dict[str, Any], now_s: float) -> dict[str, Any] | None:
    """The record of a key without its expired materials, None if there are none."""

    def over(one: dict[str, Any] | None) -> bool:
        return bool(one and one["sealed"] and one["valid_to_s"] and one["valid_to_s"] <= now_s)

    entries, pending = record["materials"], record["pending"]
    if not over(pending) and not any(map(over, entries)):
        return None
    left = [{**one, "sealed": ""} if over(one) else one for one in entries]
    return {**record, "materials": left, "pending": None if over(pending) else pending}


def is_external(found: Key) -> bool:
    return found.record.get("origin") == EXTERNAL


def is_replica(found: Key) -> bool:
    multi = found.record.get("multi")
    return multi is not None and multi["primary"] != found.place.region


def rotated(call: Call, found: Key) -> Key:
    """The key with the material that its automatic rotation owes it by now; a replica's primary owes it."""
    if is_replica(found) and (family := state.relatives(call.tx, found)):
        rotated(call, family[0])
        again = state.key(call.tx, found.place, found.id)
        assert again is not None, found.id
        return again
    rotation = found.record.get("rotation")
    if not rotation or not rotation["on"] or rotation["next_s"] > call.tx.time_s:
        return found
    if found.record["deletion_s"] is not None or not found.record["enabled"]:
        return found
    step_s = rotation["days"] * _DAY_S
    missed = int((call.tx.time_s - rotation["next_s"]) // step_s)
    at_s = rotation["next_s"] + missed * step_s  # one new material is enough, however late we look
    fresh = material.make(call.world, SYMMETRIC)
    sealed = state.seal(call, found.id, fresh, at_s, "AUTOMATIC")
    fresh_key = state.put_shared(
        call.tx,
        found,
        materials=[*found.record["materials"], sealed],
        rotation={**rotation, "next_s": at_s + step_s},
    )
    bus.tell_of_rotation(call, fresh_key)
    return fresh_key


def usable(call: Call, key_id: str, usage: str, operation: str) -> Key:
    """Raises Fault for a key that is off, going, or for something else."""
    found = find(call, key_id)
    check_state(found)
    if found.record["usage"] != usage:
        raise wrong_usage(found.arn, found.record["usage"], operation)
    return found


def check_state(found: Key) -> None:
    check_stays(found)
    if state_of(found) == "PendingImport":
        raise wrong_state(found.arn, "pending import")
    if not found.record["enabled"]:
        raise disabled(found.arn)


def check_stays(found: Key) -> None:
    """Raises Fault for a key that is going."""
    if found.record["deletion_s"] is not None:
        raise pending_deletion(found.arn)
    if found.record.get("window_days"):
        raise wrong_state(found.arn, "pending replica deletion")


def state_of(found: Key) -> str:
    """KeyState: https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html"""
    record = found.record
    if record["deletion_s"] is not None:
        return "PendingDeletion"
    if record.get("window_days"):
        return "PendingReplicaDeletion"
    held = record["materials"]
    if is_external(found) and not (held and all(one["sealed"] for one in held)):
        return "PendingImport"
    return "Enabled" if record["enabled"] else "Disabled"


def make_managed(call: Call, place: Place, alias: str) -> Key:
    service = alias.removeprefix("alias/aws/")
    what = "S3 objects" if service == "s3" else f"{service} data"
    key_id = call.world.uuid()
    record = fresh_record(call, place, key_id, ENCRYPT, SYMMETRIC)
    record |= {
        "manager": "AWS",
        "description": f"Default key that protects my {what} when no other key is defined",
        "policy": managed_policy(place, service),
        "materials": [
            state.seal(call, key_id, material.make(call.world, SYMMETRIC), call.tx.time_s)
        ],
        "rotation": {
            "on": True,
            "days": ROTATION_DAYS,
            "next_s": call.tx.time_s + ROTATION_DAYS * _DAY_S,
        },
    }
    made = state.put_key(call.tx, place, record)
    now_s = call.tx.time_s
    state.put_alias(call.tx, place, alias, {"key": key_id, "created_s": now_s, "updated_s": now_s})
    return made


def fresh_record(call: Call, place: Place, key_id: str, usage: str, spec: str) -> dict[str, Any]:
    return {
        "id": key_id,
        "created_s": call.tx.time_s,
        "description": "",
        "usage": usage,
        "spec": spec,
        "manager": "CUSTOMER",
        "enabled": True,
        "deletion_s": None,
        "policy": default_policy(place.account),
        "tags": {},
        "materials": [],
        "rotation": None,
    }


def default_policy(account: str) -> dict[str, Any]:
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
    return {
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [
            {
                "Sid": "Enable IAM User Permissions",
                "Effect": "Allow",
                "Principal": {"AWS": root(account).arn},
                "Action": "kms:*",
                "Resource": "*",
            }
        ],
    }


def managed_policy(place: Place, service: str) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Id": f"auto-{service}-1",
        "Statement": [
            {
                "Sid": f"Allow access through {service} for all principals in the account that are "
                f"authorized to use {service}",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": [
                    "kms:Encrypt",
                    "kms:Decrypt",
                    "kms:ReEncrypt*",
                    "kms:GenerateDataKey*",
                    "kms:CreateGrant",
                    "kms:DescribeKey",
                ],
                "Resource": "*",
                "Condition": {
                    "StringEquals": {
                        "kms:CallerAccount": place.account,
                        "kms:ViaService": f"{service}.{place.region}.amazonaws.com",
                    }
                },
            },
            {
                "Sid": "Allow direct access to key metadata to the account",
                "Effect": "Allow",
                "Principal": {"AWS": root(place.account).arn},
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
                "Resource": "*",
            },
        ],
    }


def check_managed(found: Key) -> None:
    """What belongs to a service is not the user's to change."""

    if found.record["manager"] == "AWS":
        raise Fault(
            "AccessDeniedException",
            f"{found.arn} is an AWS managed key, which cannot be changed",
        )
