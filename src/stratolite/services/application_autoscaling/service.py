"""Scalable targets, their policies, scheduled actions, activities and tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from stratolite import timetable
from stratolite.errors import Fault
from stratolite.service import (
    Access,
    Call,
    Request,
    Resource,
    Response,
    Service,
    Worker,
    root,
)
from stratolite.services.application_autoscaling import checks, scaling, state
from stratolite.services.application_autoscaling.state import NAME, Place

_PAGE = 50
_TAGS_MAX = 50
_LINKED = "dynamodb.application-autoscaling.amazonaws.com"
_LINKED_ROLE = "AWSServiceRoleForApplicationAutoScaling_DynamoDBTable"
_NOT_SUSPENDED = dict.fromkeys(
    ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), False
)


class ApplicationAutoscaling(Service):
    name: ClassVar[str] = NAME
    validated: ClassVar[bool] = True

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if arn := request.get("ResourceARN"):
            return ((f"{NAME}:{operation}", arn),)
        return ((f"{NAME}:{operation}", "*"),)

    # -- targets

    def register_scalable_target(self, call: Call, request: Request) -> Response:
        place, keys, tx = checks.place(request), call.keys(NAME), call.tx
        record = state.target(tx, keys, place)
        low, high = request.get("MinCapacity"), request.get("MaxCapacity")
        if record is None:
            if low is None or high is None:
                raise checks.invalid("MinCapacity and MaxCapacity are required to register a scalable target")  # fmt: skip
            record = {
                "id": call.world.uuid().replace("-", "")[:28],
                "created_s": tx.time_s,
                "suspended": dict(_NOT_SUSPENDED),
                "tags": {},
            }
        elif request.get("Tags"):
            raise checks.invalid("You can't add tags to an existing scalable target by using the RegisterScalableTarget operation")  # fmt: skip
        record["min"] = low if low is not None else record["min"]
        record["max"] = high if high is not None else record["max"]
        checks.bounds(record["min"], record["max"])
        checks.described(call, place)
        record["role"] = _linked_role(call)
        record["suspended"] |= request.get("SuspendedState") or {}
        record["tags"] |= request.get("Tags") or {}
        scaling.start(call, place, record)
        state.put_target(tx, keys, place, record)
        return {"ScalableTargetARN": _target_arn(call, record)}

    def deregister_scalable_target(self, call: Call, request: Request) -> Response:
        place, record = _target(call, request)
        state.delete_target(call.tx, call.keys(NAME), place, record)
        return {}

    def describe_scalable_targets(self, call: Call, request: Request) -> Response:
        wanted = request.get("ResourceIds")

        def show(place: Place, _: str, record: state.Record) -> Response | None:
            if wanted and place.resource not in wanted:
                return None
            return {
                **_named(place),
                "MinCapacity": record["min"],
                "MaxCapacity": record["max"],
                "RoleARN": record["role"],
                "CreationTime": record["created_s"],
                "SuspendedState": record["suspended"],
                "ScalableTargetARN": _target_arn(call, record),
            }

        return _listed(call, request, "target", "ScalableTargets", show)

    # -- policies

    def put_scaling_policy(self, call: Call, request: Request) -> Response:
        place, keys, name = checks.place(request), call.keys(NAME), request["PolicyName"]
        config = checks.policy(request, place)
        _target(call, request, "scalable target registered")
        others = [other for other, _ in state.policies(call.tx, keys, place) if other != name]
        if others:
            raise checks.invalid("Only one TargetTrackingScaling policy for a given metric specification is allowed.")  # fmt: skip
        record = state.thing(call.tx, keys, "policy", place, name) or {
            "id": call.world.uuid(),
            "created_s": call.tx.time_s,
            "out_s": 0.0,
            "in_s": 0.0,
        }
        record["config"] = config
        state.put_thing(call.tx, keys, "policy", place, name, record)
        return {"PolicyARN": _thing_arn(call, "policy", place, name, record), "Alarms": []}

    def delete_scaling_policy(self, call: Call, request: Request) -> Response:
        _delete(call, request, "policy", "scaling policy found", request["PolicyName"])
        return {}

    def describe_scaling_policies(self, call: Call, request: Request) -> Response:
        wanted = request.get("PolicyNames")

        def show(place: Place, name: str, record: state.Record) -> Response | None:
            if wanted and name not in wanted:
                return None
            return {
                "PolicyARN": _thing_arn(call, "policy", place, name, record),
                "PolicyName": name,
                **_named(place),
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingScalingPolicyConfiguration": record["config"],
                "Alarms": [],
                "CreationTime": record["created_s"],
            }

        return _listed(call, request, "policy", "ScalingPolicies", show)

    # -- scheduled actions

    def put_scheduled_action(self, call: Call, request: Request) -> Response:
        """What the request leaves out of an action that exists stays as it is."""
        place, keys, name = checks.place(request), call.keys(NAME), request["ScheduledActionName"]
        _target(call, request, "scalable target registered")
        record = state.thing(call.tx, keys, "action", place, name)
        if record is None:
            if not request.get("Schedule") or not request.get("ScalableTargetAction"):
                raise checks.invalid("Schedule and ScalableTargetAction are required for a new scheduled action")  # fmt: skip
            record = {"id": call.world.uuid(), "created_s": call.tx.time_s, "request": {}}
        members = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
        asked = record["request"] | {m: request[m] for m in members if request.get(m) is not None}
        change = asked["ScalableTargetAction"]
        if not change.keys() & {"MinCapacity", "MaxCapacity"}:
            raise checks.invalid("ScalableTargetAction must have a MinCapacity, a MaxCapacity or both")  # fmt: skip
        checks.bounds(change.get("MinCapacity"), change.get("MaxCapacity"))
        table = checks.schedule(asked)
        if isinstance(table, timetable.At) and table.time_s <= call.tx.time_s:
            raise checks.invalid("Scheduled action time must be in the future")
        if asked.get("EndTime", float("inf")) <= asked.get("StartTime", 0.0):
            raise checks.invalid("The end time of a scheduled action must be after its start time")
        record["request"] = asked
        scaling.start_action(call, place, name, record)
        state.put_thing(call.tx, keys, "action", place, name, record)
        return {}

    def delete_scheduled_action(self, call: Call, request: Request) -> Response:
        name = request["ScheduledActionName"]
        _delete(call, request, "action", "scheduled action found", name)
        return {}

    def describe_scheduled_actions(self, call: Call, request: Request) -> Response:
        wanted = request.get("ScheduledActionNames")

        def show(place: Place, name: str, record: state.Record) -> Response | None:
            if wanted and name not in wanted:
                return None
            return {
                "ScheduledActionName": name,
                "ScheduledActionARN": _thing_arn(call, "action", place, name, record),
                **_named(place),
                **record["request"],
                "CreationTime": record["created_s"],
            }

        return _listed(call, request, "action", "ScheduledActions", show)

    # -- what was done

    def describe_scaling_activities(self, call: Call, request: Request) -> Response:
        if request.get("IncludeNotScaledActivities"):
            raise checks.not_offered("IncludeNotScaledActivities")
        resource, limit = request.get("ResourceId", ""), request.get("MaxResults") or _PAGE
        before = int.from_bytes(_token(request), "big")
        found: list[Response] = []
        if request["ServiceNamespace"] != checks.NAMESPACE:
            return {"ScalingActivities": found}
        last = 0
        for stamp, activity in state.activities(call.tx, call.keys(NAME), resource, before):
            if request.get("ScalableDimension") not in (None, activity["ScalableDimension"]):
                continue
            if len(found) == limit:
                return {"ScalingActivities": found, "NextToken": last.to_bytes(8, "big").hex()}
            found.append(activity)
            last = stamp
        return {"ScalingActivities": found}

    # -- tags, of targets

    def tag_resource(self, call: Call, request: Request) -> Response:
        place, record = _tagged(call, request)
        record["tags"] |= request["Tags"]
        if len(record["tags"]) > _TAGS_MAX:
            message = f"The number of tags exceeds the limit of {_TAGS_MAX} tags"
            raise Fault("TooManyTagsException", message, ResourceName=request["ResourceARN"])
        state.put_target(call.tx, call.keys(NAME), place, record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        place, record = _tagged(call, request)
        for name in request["TagKeys"]:
            record["tags"].pop(name, None)
        state.put_target(call.tx, call.keys(NAME), place, record)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        return {"Tags": _tagged(call, request)[1]["tags"]}

    # --

    def workers(self) -> Iterable[Worker]:
        return (scaling.Look(self.cloud), scaling.Act(self.cloud))

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.application_autoscaling.resources import RESOURCES

        return RESOURCES


def _named(place: Place) -> Response:
    return {
        "ServiceNamespace": checks.NAMESPACE,
        "ResourceId": place.resource,
        "ScalableDimension": place.dimension,
    }


def _target_arn(call: Call, record: state.Record) -> str:
    return f"arn:aws:{NAME}:{call.region}:{call.account}:scalable-target/{record['id']}"


def _thing_arn(call: Call, kind: str, place: Place, name: str, record: state.Record) -> str:
    what, named = {
        "policy": ("scalingPolicy", "policyName"),
        "action": ("scheduledAction", "scheduledActionName"),
    }[kind]
    return (
        f"arn:aws:autoscaling:{call.region}:{call.account}:{what}:{record['id']}:"
        f"resource/{checks.NAMESPACE}/{place.resource}:{named}/{name}"
    )


def _target(
    call: Call, request: Request, what: str = "scalable target found"
) -> tuple[Place, state.Record]:
    place = checks.place(request)
    record = state.target(call.tx, call.keys(NAME), place)
    if record is None:
        raise checks.missing(what, place)
    return place, record


def _delete(call: Call, request: Request, kind: str, what: str, name: str) -> None:
    place, keys = checks.place(request), call.keys(NAME)
    if state.thing(call.tx, keys, kind, place, name) is None:
        word = "policy name" if kind == "policy" else "scheduled action name"
        raise checks.missing(what, place, f", {word}: {name}")
    state.delete_thing(call.tx, keys, kind, place, name)


def _tagged(call: Call, request: Request) -> tuple[Place, state.Record]:
    arn, keys = request["ResourceARN"], call.keys(NAME)
    prefix, _, name = arn.rpartition("/")
    place = None
    if prefix == f"arn:aws:{NAME}:{call.region}:{call.account}:scalable-target":
        place = state.place_of(call.tx, keys, name)
    record = None if place is None else state.target(call.tx, keys, place)
    if place is None or record is None:
        message = f"The specified resource doesn't exist: {arn}"
        raise Fault("ResourceNotFoundException", message, ResourceName=arn)
    return place, record


def _linked_role(call: Call) -> str:
    """The ARN of the service-linked role, made with the first target; who registers it must be allowed to make it."""
    own = call.scoped(call.account, call.region, root(call.account))
    try:
        found = own.invoke("iam", "GetRole", {"RoleName": _LINKED_ROLE})
    except Fault as fault:
        if fault.code != "NoSuchEntity":
            raise
        found = call.invoke("iam", "CreateServiceLinkedRole", {"AWSServiceName": _LINKED})
    return str(found["Role"]["Arn"])


def _listed(call: Call, request: Request, kind: str, member: str, show: Any) -> Response:
    """A page of what ``show(place, name, record)`` gives, None being left out."""
    if request["ServiceNamespace"] != checks.NAMESPACE:
        return {member: []}
    resource, dimension = request.get("ResourceId"), request.get("ScalableDimension")
    if dimension and not resource and kind != "target":
        raise checks.invalid("ResourceId must be specified if ScalableDimension is")
    under = tuple(part for part in (resource, dimension if resource else None) if part)
    limit = request.get("MaxResults") or _PAGE
    found: list[Response] = []
    last = b""
    for key, parts, record in state.rows(call.tx, call.keys(NAME), kind, under, _token(request)):
        place = Place(*parts[:2])
        if dimension and place.dimension != dimension:
            continue
        shown = show(place, parts[-1], record)
        if shown is None:
            continue
        if len(found) == limit:
            return {member: found, "NextToken": last.hex()}
        found.append(shown)
        last = key
    return {member: found}


def _token(request: Request) -> bytes:
    """Where the page before ended."""
    try:
        return bytes.fromhex(request.get("NextToken") or "")
    except ValueError:
        raise Fault("InvalidNextTokenException", "The next token supplied was invalid") from None
