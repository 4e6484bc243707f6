"""Rotation: new material on a schedule or on demand; what older material sealed can still be opened."""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import bus, material, state
from stratolite.services.kms.faults import invalid, unsupported
from stratolite.services.kms.lookup import ROTATION_DAYS, check_managed, check_state, find
from stratolite.services.kms.specs import SYMMETRIC
from stratolite.services.kms.state import Key, material_id

PERIOD_DAYS = (90, 2560)
ON_DEMAND_COUNT_MAX = 25
_DAY_S = 86_400


class Rotation(Service):
    def enable_key_rotation(self, call: Call, request: Request) -> Response:
        found = self._rotating(call, request)
        days = request.get("RotationPeriodInDays") or ROTATION_DAYS
        if not PERIOD_DAYS[0] <= days <= PERIOD_DAYS[1]:
            raise invalid(
                f"RotationPeriodInDays must be between {PERIOD_DAYS[0]} and {PERIOD_DAYS[1]}"
            )
        rotation = {"on": True, "days": days, "next_s": call.tx.time_s + days * _DAY_S}
        state.put_key(call.tx, found.place, {**found.record, "rotation": rotation})
        return {}

    def disable_key_rotation(self, call: Call, request: Request) -> Response:
        found = self._rotating(call, request)
        state.put_key(call.tx, found.place, {**found.record, "rotation": None})
        return {}

    def _rotating(self, call: Call, request: Request) -> Key:
        found = find(call, request["KeyId"])
        check_managed(found)
        check_state(found)
        if found.record["spec"] != SYMMETRIC:
            raise unsupported(f"Rotation of a {found.record['spec']} key")
        return found

    def get_key_rotation_status(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        rotation = found.record["rotation"]
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
                "LimitExceededException", "You have reached the limit of on-demand rotations"
            )
        fresh = material.make(call.world, SYMMETRIC)
        sealed = state.seal(call, found.id, fresh, call.tx.time_s, "ON_DEMAND")
        materials = [*found.record["materials"], sealed]
        fresh_key = state.put_key(call.tx, found.place, {**found.record, "materials": materials})
        bus.tell_of_rotation(call, fresh_key)
        return {"KeyId": found.arn}

    def list_key_rotations(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        with_first = request.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
        listed = []
        for number, one in enumerate(found.record["materials"]):
            if not one["kind"] and not with_first:
                continue
            last = number == len(found.record["materials"]) - 1
            told = {
                "KeyId": found.arn,
                "KeyMaterialId": material_id(found, number),
                "KeyMaterialState": "CURRENT" if last else "NON_CURRENT",
            }
            if one["kind"]:
                told |= {"RotationDate": one["at_s"], "RotationType": one["kind"]}
            listed.append(told)
        return {"Rotations": listed, "Truncated": False}
