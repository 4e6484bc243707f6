"""Multi-region keys: one key with the same id and material in several regions.

What they share (material, rotation, which region is the primary) is written to all of them in one transaction, so no
key is ever ``Creating`` or ``Updating``: a replica can be used as soon as ReplicateKey answers.

Source  https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html
"""

from __future__ import annotations

import orjson

from stratolite import regions
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import policies, state
from stratolite.services.kms.faults import invalid
from stratolite.services.kms.keys import shown, tags_of
from stratolite.services.kms.lookup import check_state, check_stays, find, fresh_record, is_external
from stratolite.services.kms.state import Key, Place


class Regions(Service):
    def replicate_key(self, call: Call, request: Request) -> Response:
        found = _primary(call, request)
        if is_external(found):
            check_stays(found)
        else:
            check_state(found)
        region = request["ReplicaRegion"]
        multi = found.record["multi"]
        if region not in regions.beside(found.place.region) or region == found.place.region:
            raise invalid(f"ReplicaRegion {region} is not valid for {found.arn}")
        place = Place(found.place.account, region)
        if region in multi["replicas"]:
            before = state.key(call.tx, place, found.id)
            if request.get("_token") and before and before.record.get("token") == request["_token"]:
                return _answer(before)
            raise Fault(
                "AlreadyExistsException",
                f"A replica of {found.arn} already exists in {region}.",
            )
        there = call.scoped(call.account, region)
        call.cloud.authorize(there, self, "CreateKey", {"Tags": request.get("Tags") or []})
        record = fresh_record(there, place, found.id, found.record["usage"], found.record["spec"])
        record |= {
            "description": request.get("Description") or "",
            "tags": tags_of(request.get("Tags") or (), {}),
            "materials": found.record["materials"],
            "rotation": found.record["rotation"],
            "multi": {**multi, "replicas": [*multi["replicas"], region]},
        }
        if request.get("_token"):
            record["token"] = request["_token"]
        if is_external(found):
            record |= {
                "origin": found.record["origin"],
                "enabled": False,
                "pending": None,
                "materials": [{**one, "sealed": ""} for one in found.record["materials"]],
            }
        made = Key(place, record)
        if request.get("Policy"):
            record["policy"] = policies.checked(
                there, made, request["Policy"],
                bypass=bool(request.get("BypassPolicyLockoutSafetyCheck")),
            )  # fmt: skip
        made = state.put_key(call.tx, place, record)
        for one in state.relatives(call.tx, made):
            state.put_key(call.tx, one.place, {**one.record, "multi": record["multi"]})
        return _answer(made)

    def update_primary_region(self, call: Call, request: Request) -> Response:
        found = _primary(call, request)
        check_state(found)
        region, multi = request["PrimaryRegion"], found.record["multi"]
        if region not in multi["replicas"]:
            arn = Place(found.place.account, region).arn(f"key/{found.id}")
            raise Fault("NotFoundException", f"Key '{arn}' does not exist")
        there = call.scoped(call.account, region)
        call.cloud.authorize(there, self, "UpdatePrimaryRegion", {"KeyId": found.id})
        check_state(find(there, found.id))
        replicas = [found.place.region if one == region else one for one in multi["replicas"]]
        state.put_shared(call.tx, found, multi={"primary": region, "replicas": replicas})
        return {}


def _primary(call: Call, request: Request) -> Key:
    """Raises UnsupportedOperationException for any other key."""
    found = find(call, request["KeyId"])
    multi = found.record.get("multi")
    if multi is None:
        raise Fault("UnsupportedOperationException", f"{found.arn} is not a multi-region key.")
    if multi["primary"] != found.place.region:
        raise Fault(
            "UnsupportedOperationException",
            f"{found.arn} is not a multi-region primary key.",
        )
    return found


def _answer(made: Key) -> Response:
    text = orjson.dumps(made.record["policy"], option=orjson.OPT_INDENT_2).decode()
    tags = [{"TagKey": k, "TagValue": v} for k, v in made.record["tags"].items()]
    return {"ReplicaKeyMetadata": shown(made), "ReplicaPolicy": text, "ReplicaTags": tags}
