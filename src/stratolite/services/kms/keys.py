"""Keys: create, describe, list, switch on and off, schedule for deletion, tags."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, prepared
from stratolite.services.kms import material, policies, state
from stratolite.services.kms.blobs import MULTI
from stratolite.services.kms.faults import bad_marker, invalid, unsupported, wrong_state
from stratolite.services.kms.lookup import (
    EXTERNAL,
    KEY_ID,
    check_managed,
    check_stays,
    find,
    fresh_record,
    is_external,
    state_of,
)
from stratolite.services.kms.specs import ENCAPSULATE, ENCRYPT, REFUSED, SPECS, SYMMETRIC
from stratolite.services.kms.state import Key, Place, material_id

DELETION_DAYS = (7, 30)
TAGS_COUNT_MAX = 50
PAGE_COUNT_MAX = 1000
DAY_S = 86_400
PURGE = "kms.purge"


def _spec_of(request: Request) -> str:
    spec = request.get("KeySpec") or request.get("CustomerMasterKeySpec") or SYMMETRIC
    return str(spec)


def _needs_no_thread(request: Request) -> bool:
    found = SPECS.get(_spec_of(request))
    return found is None or not found.is_rsa or request.get("Origin") == EXTERNAL


def check_origin(origin: str) -> None:
    """Raises Fault for where material cannot come from here."""
    if origin not in ("AWS_KMS", EXTERNAL):
        raise unsupported(f"Origin {origin}")


def check_spec(spec: str) -> None:
    """Raises Fault for a key spec that is none, or not offered."""
    if spec in REFUSED:
        raise unsupported(f"KeySpec {spec}")
    if spec not in SPECS:
        raise invalid(f"KeySpec {spec} is not supported")


def checked_usage(spec: str, usage: str | None) -> str:
    """The usage of a key of that spec, given or the default. Raises Fault where they do not fit."""
    check_spec(spec)
    if usage is None and spec != SYMMETRIC:
        raise invalid(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        )
    if (usage or ENCRYPT) not in SPECS[spec].usages:
        raise invalid(f"KeyUsage {usage or ENCRYPT} is not compatible with KeySpec {spec}")
    return usage or ENCRYPT


class Keys(Service):
    async def _make_rsa(self, call: Call, request: Request) -> Request:
        made = await asyncio.to_thread(material.make, call.world, _spec_of(request))
        return {**request, "_material": made}

    @prepared(_make_rsa, unless=_needs_no_thread)
    def create_key(self, call: Call, request: Request) -> Response:
        spec = _spec_of(request)
        origin = request.get("Origin") or "AWS_KMS"
        check_origin(origin)
        if request.get("CustomKeyStoreId") or request.get("XksKeyId"):
            raise unsupported("A custom key store")
        usage = checked_usage(spec, request.get("KeyUsage"))
        place, key_id = state.here(call), call.world.uuid()
        token = request.get("_token")  # of our CloudFormation step: a repeat finds its own
        if token is not None:
            key_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"kms {call.account} {token}"))
        if request.get("MultiRegion"):
            key_id = MULTI + key_id.replace("-", "")
        if token is not None and (before := state.key(call.tx, place, key_id)) is not None:
            return {"KeyMetadata": shown(before)}
        record = fresh_record(call, place, key_id, usage, spec)
        record["description"] = request.get("Description") or ""
        record["tags"] = tags_of(request.get("Tags") or (), {})
        found = Key(place, record)
        if request.get("Policy"):
            record["policy"] = policies.checked(
                call, found, request["Policy"],
                bypass=bool(request.get("BypassPolicyLockoutSafetyCheck")),
            )  # fmt: skip
        if request.get("MultiRegion"):
            record["multi"] = {"primary": call.region, "replicas": []}
        if origin == EXTERNAL:
            record |= {"origin": EXTERNAL, "enabled": False, "pending": None}
        else:
            made = request.get("_material") or material.make(call.world, spec)
            record["materials"] = [state.seal(call, key_id, made, call.tx.time_s)]
        return {"KeyMetadata": shown(state.put_key(call.tx, place, record))}

    def describe_key(self, call: Call, request: Request) -> Response:
        return {"KeyMetadata": shown(find(call, request["KeyId"]))}

    def list_keys(self, call: Call, request: Request) -> Response:
        owners = request.get("ResourceOwners") or ("SELF",)
        if "SELF" not in owners:  # there is no RAM that could share keys of others
            raise unsupported(f"ResourceOwners {' '.join(owners)}")
        most, after = request.get("Limit") or 100, request.get("Marker") or ""
        if after and not KEY_ID.fullmatch(after):
            raise bad_marker()
        place = state.here(call)
        listed = state.keys(call.tx, place, after, most + 1)
        response: Response = {
            "Keys": [{"KeyId": k, "KeyArn": place.arn(f"key/{k}")} for k in listed[:most]],
            "Truncated": len(listed) > most,
        }
        if len(listed) > most:
            response["NextMarker"] = listed[most - 1]
        return response

    def update_key_description(self, call: Call, request: Request) -> Response:
        self._change(call, request, description=request["Description"])
        return {}

    def enable_key(self, call: Call, request: Request) -> Response:
        self._switch(call, request, enabled=True)
        return {}

    def disable_key(self, call: Call, request: Request) -> Response:
        self._switch(call, request, enabled=False)
        return {}

    def _switch(self, call: Call, request: Request, *, enabled: bool) -> None:
        found = find(call, request["KeyId"])
        if state_of(found) == "PendingImport":
            raise wrong_state(found.arn, "pending import")
        self._change(call, request, enabled=enabled)

    def _change(self, call: Call, request: Request, **changes: Any) -> Key:
        found = find(call, request["KeyId"])
        check_managed(found)
        check_stays(found)
        return state.put_key(call.tx, found.place, {**found.record, **changes})

    def schedule_key_deletion(self, call: Call, request: Request) -> Response:
        days = request.get("PendingWindowInDays") or DELETION_DAYS[1]
        if not DELETION_DAYS[0] <= days <= DELETION_DAYS[1]:
            raise invalid(
                f"PendingWindowInDays must be between {DELETION_DAYS[0]} and {DELETION_DAYS[1]}"
            )
        found = find(call, request["KeyId"])
        multi = found.record.get("multi")
        if multi and multi["primary"] == found.place.region and multi["replicas"]:
            self._change(call, request, window_days=days, enabled=False)
            return {
                "KeyId": found.arn,
                "KeyState": "PendingReplicaDeletion",
                "PendingWindowInDays": days,
            }
        due_s = call.tx.time_s + days * DAY_S
        found = self._change(call, request, deletion_s=due_s, enabled=False)
        payload = orjson.dumps([*found.place, found.id])
        call.cloud.work.put(call.tx, PURGE, payload, due_s=due_s)
        return {
            "KeyId": found.arn,
            "DeletionDate": due_s,
            "KeyState": "PendingDeletion",
            "PendingWindowInDays": days,
        }

    def cancel_key_deletion(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        if found.record["deletion_s"] is None and not found.record.get("window_days"):
            raise wrong_state(found.arn, "not pending deletion")
        record = {k: v for k, v in found.record.items() if k != "window_days"}
        state.put_key(call.tx, found.place, {**record, "deletion_s": None})
        return {"KeyId": found.arn}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        self._change(call, request, tags=tags_of(request["Tags"], found.record["tags"]))
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        gone = set(request["TagKeys"])
        self._change(
            call, request, tags={k: v for k, v in found.record["tags"].items() if k not in gone}
        )
        return {}

    def list_resource_tags(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        tags = [{"TagKey": k, "TagValue": v} for k, v in sorted(found.record["tags"].items())]
        return page(request, "Tags", tags, lambda tag: str(tag["TagKey"]))


def page(
    request: Request,
    member: str,
    listed: list[dict[str, Any]],
    place: Callable[[dict[str, Any]], str],
    *,
    ordered: bool = True,
    default: int = 50,
) -> Response:
    """``Limit`` of what is ``listed``, behind ``Marker``: the ``place`` of the last one shown. Raises InvalidMarkerException."""
    most, after = request.get("Limit") or default, request.get("Marker") or ""
    start = 0
    if after:
        places = [place(one) for one in listed]
        if ordered:
            start = sum(1 for one in places if one <= after)
        elif after in places:
            start = places.index(after) + 1
        else:
            raise bad_marker()
    shown = listed[start : start + most]
    response: Response = {member: shown, "Truncated": start + most < len(listed)}
    if response["Truncated"]:
        response["NextMarker"] = place(shown[-1])
    return response


def shown(found: Key) -> dict[str, Any]:
    """KeyMetadata."""
    record = found.record
    state_name = state_of(found)
    told: dict[str, Any] = {
        "AWSAccountId": found.place.account,
        "KeyId": found.id,
        "Arn": found.arn,
        "CreationDate": record["created_s"],
        "Enabled": state_name == "Enabled",
        "Description": record["description"],
        "KeyUsage": record["usage"],
        "KeyState": state_name,
        "Origin": record.get("origin", "AWS_KMS"),
        "KeyManager": record["manager"],
        "CustomerMasterKeySpec": record["spec"],
        "KeySpec": record["spec"],
        "MultiRegion": "multi" in record,
    }
    if multi := record.get("multi"):
        told["MultiRegionConfiguration"] = _shown_regions(found, multi)
    if record.get("window_days"):
        told["PendingDeletionWindowInDays"] = record["window_days"]
    if is_external(found) and record["materials"]:
        told |= expiry(record["materials"][-1])
    if record["deletion_s"] is not None:
        told["DeletionDate"] = record["deletion_s"]
    spec = SPECS[record["spec"]]
    if record["usage"] == ENCRYPT:
        told["EncryptionAlgorithms"] = (
            [SYMMETRIC]
            if record["spec"] == SYMMETRIC
            else ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
        )
        if record["spec"] == SYMMETRIC and record["materials"]:
            told["CurrentKeyMaterialId"] = material_id(found)
    elif record["usage"] == "SIGN_VERIFY":
        told["SigningAlgorithms"] = list(spec.signing)
    elif record["usage"] == "GENERATE_VERIFY_MAC":
        told["MacAlgorithms"] = list(spec.macs)
    elif record["usage"] == ENCAPSULATE:
        told["EncapsulationAlgorithms"] = ["ML_KEM"]
    else:
        told["KeyAgreementAlgorithms"] = ["ECDH"]
    return told


def _shown_regions(found: Key, multi: dict[str, Any]) -> dict[str, Any]:
    def one(region: str) -> dict[str, str]:
        return {"Arn": Place(found.place.account, region).arn(f"key/{found.id}"), "Region": region}

    is_primary = multi["primary"] == found.place.region
    return {
        "MultiRegionKeyType": "PRIMARY" if is_primary else "REPLICA",
        "PrimaryKey": one(multi["primary"]),
        "ReplicaKeys": [one(region) for region in multi["replicas"]],
    }


def expiry(entry: dict[str, Any]) -> dict[str, Any]:
    """Of imported material: ExpirationModel and ValidTo."""
    if not entry["sealed"]:
        return {}
    if entry["valid_to_s"] is None:
        return {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": entry["valid_to_s"]}


def tags_of(given: Any, have: dict[str, str]) -> dict[str, str]:
    keys = [tag["TagKey"] for tag in given]
    if len(set(keys)) != len(keys):
        raise Fault("TagException", "Duplicate tag keys")
    if any(key.lower().startswith("aws:") for key in keys):
        raise Fault("TagException", "Tags beginning with aws: are reserved")
    tags = have | {tag["TagKey"]: tag["TagValue"] for tag in given}
    if len(tags) > TAGS_COUNT_MAX:
        raise Fault("TagException", "Too many tags")
    return tags
