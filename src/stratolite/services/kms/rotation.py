"""Rotation: new material on a schedule or on demand; what older material sealed can still be opened."""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import bus, imports, material, state
from stratolite.services.kms.faults import invalid
from stratolite.services.kms.keys import expiry, page
from stratolite.services.kms.lookup import (
    ROTATION_DAYS,
    check_managed,
    check_state,
    find,
    is_external,
    is_replica,
)
from stratolite.services.kms.specs import SYMMETRIC
from stratolite.services.kms.state import Key, material_id

PERIOD_DAYS = (90, 2560)
ON_DEMAND_COUNT_MAX = 25
_DAY_S = 86_400


class Rotation(Service):
    def enable_key_rotation(self, call: Call, request: Request) -> Response:
        found = self._rotating(call, request, on_schedule=True)
        days = request.get("RotationPeriodInDays") or ROTATION_DAYS
        if not PERIOD_DAYS[0] <= days <= PERIOD_DAYS[1]:
            raise invalid(
                f"RotationPeriodInDays must be between {PERIOD_DAYS[0]} and {PERIOD_DAYS[1]}"
            )
        rotation = {"on": True, "days": days, "next_s": call.tx.time_s + days * _DAY_S}
        state.put_shared(call.tx, found, rotation=rotation)
        return {}

    def disable_key_rotation(self, call: Call, request: Request) -> Response:
        found = self._rotating(call, request, on_schedule=True)
        state.put_shared(call.tx, found, rotation=None)
        return {}

    def _rotating(self, call: Call, request: Request, *, on_schedule: bool = False) -> Key:
        found = find(call, request["KeyId"])
        check_managed(found)
        if on_schedule and is_external(found):
            raise imports.wrong_origin(found)
        check_state(found)
        if found.record["spec"] != SYMMETRIC:
            raise Fault("UnsupportedOperationException", "")
        if is_replica(found):
            raise _unfit(found, "is a replica key: its primary key is what is rotated.")
        return found

    def get_key_rotation_status(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        going = found.record["deletion_s"] is not None or found.record.get("window_days")
        rotation = (
            None if going else found.record["rotation"]
        )  # it is back if the deletion is cancelled
        response: Response = {"KeyRotationEnabled": bool(rotation), "KeyId": found.arn}
        if rotation:
            response["RotationPeriodInDays"] = rotation["days"]
            response["NextRotationDate"] = rotation["next_s"]
        return response

    def rotate_key_on_demand(self, call: Call, request: Request) -> Response:
        found = self._rotating(call, request)
        made = sum(1 for one in found.record["materials"] if one["kind"] == "ON_DEMAND")
        if made >= ON_DEMAND_COUNT_MAX:
            raise Fault(
                "LimitExceededException",
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations"
                f" can be performed for this key: {found.arn}",
            )
        if is_external(found):
            imports.rotate(call, found)
            return {"KeyId": found.arn}
        fresh = material.make(call.world, SYMMETRIC)
        sealed = state.seal(call, found.id, fresh, call.tx.time_s, "ON_DEMAND")
        materials = [*found.record["materials"], sealed]
        fresh_key = state.put_shared(call.tx, found, materials=materials)
        bus.tell_of_rotation(call, fresh_key)
        return {"KeyId": found.arn}

    def list_key_rotations(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        if found.record["spec"] != SYMMETRIC:
            raise Fault("UnsupportedOperationException", "")
        with_first = request.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
        listed = []
        entries = found.record["materials"]
        pending = found.record.get("pending")
        for number, one in enumerate([*entries, pending] if pending else entries):
            if not one["kind"] and not with_first:
                continue
            told = {"KeyId": found.arn, "KeyMaterialId": material_id(found, number)}
            told["KeyMaterialState"] = (
                "NON_CURRENT"
                if number < len(entries) - 1
                else ("CURRENT" if number < len(entries) else _to_come(call, found))
            )
            if is_external(found):
                told["ImportState"] = "IMPORTED" if one["sealed"] else "PENDING_IMPORT"
                told |= expiry(one)
                if one["about"]:
                    told["KeyMaterialDescription"] = one["about"]
            if one["kind"]:
                told |= {"RotationDate": one["at_s"], "RotationType": one["kind"]}
            listed.append(told)
        return page(
            request,
            "Rotations",
            listed,
            lambda one: str(one["KeyMaterialId"]),
            ordered=False,
            default=100,
        )


def _unfit(found: Key, why: str) -> Fault:
    return Fault("UnsupportedOperationException", f"{found.arn} {why}")


def _to_come(call: Call, found: Key) -> str:
    """KeyMaterialState of the material that was imported to be rotated to."""
    if all(one.record["pending"] for one in state.relatives(call.tx, found)):
        return "PENDING_ROTATION"
    return "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
