"""The workers: a target is looked at every minute of the cloud clock; scheduled actions change its bounds when they are due."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from stratolite import timetable
from stratolite.clock import iso
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Response, Settle
from stratolite.service_events import announce, entry
from stratolite.services.application_autoscaling import checks, state
from stratolite.services.application_autoscaling.state import NAME, Place

if TYPE_CHECKING:
    from stratolite.service import Cloud

_log = logging.getLogger("stratolite.application-autoscaling")
LOOK, ACT = f"{NAME}.look", f"{NAME}.act"
_MINUTE_S = 60
_LATE_S = 10
"""After the end of a minute until its metric is read: services' counts are written within five seconds."""
_OUT_MINUTES, _IN_MINUTES = 2, 15
_IN_MARGIN = 0.8
_DAY_S = 86_400.0
_NO_TABLE = "ValidationException"


class Wish(NamedTuple):
    """What a capacity should be, and why."""

    capacity: int
    cause: str
    policy: str = ""
    is_out: bool = False


def start(call: Call, place: Place, record: state.Record) -> None:
    """Look at a target now, and every minute from then on; what waited for it before is void."""
    record["timer"] = call.tx.stamp()
    _put(call, place, LOOK, {"timer": record["timer"]}, call.tx.time_s)


def start_action(call: Call, place: Place, name: str, record: state.Record) -> None:
    record["timer"] = call.tx.stamp()
    asked = record["request"]
    record["anchor_s"] = max(asked.get("StartTime", 0.0), call.tx.time_s)
    table = checks.schedule(asked)
    if isinstance(table, timetable.Rate) and asked.get("StartTime", 0.0) > call.tx.time_s:
        due_s: float | None = record["anchor_s"]
    else:
        due_s = table.after(record["anchor_s"], record["anchor_s"])
    _put_act(call, place, name, record, due_s)


def _put_act(
    call: Call, place: Place, name: str, record: state.Record, due_s: float | None
) -> None:
    if due_s is not None and due_s <= record["request"].get("EndTime", float("inf")):
        said = {"name": name, "timer": record["timer"], "due_s": due_s}
        _put(call, place, ACT, said, due_s)


def _put(call: Call, place: Place, queue: str, said: dict[str, Any], due_s: float) -> None:
    said |= {"account": call.account, "region": call.region}
    said |= {"resource": place.resource, "dimension": place.dimension}
    call.cloud.work.put(call.tx, queue, orjson.dumps(said), due_s=due_s)


class Look:
    queue, ordered, concurrency = LOOK, False, 8

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self.cloud.call(said["account"], said["region"])
        place = Place(said["resource"], said["dimension"])
        has_policy, now_s = await call.transact(
            lambda inner: (bool(state.policies(inner.tx, inner.keys(NAME), place)), inner.tx.time_s)
        )
        minutes = await self._consumed(call, place, now_s) if has_policy else {}

        def settle(tx: Tx) -> None:
            call.tx = tx
            record = state.target(tx, call.keys(NAME), place)
            if record is None or record["timer"] != said["timer"]:
                return
            _scale(call, place, record, minutes)
            # from when it was read: if the clock has leapt since, at once again
            due_s = (int(now_s - _LATE_S) // _MINUTE_S + 1) * _MINUTE_S + _LATE_S
            _put(call, place, LOOK, {"timer": record["timer"]}, due_s)

        return settle

    async def _consumed(self, call: Call, place: Place, now_s: float) -> dict[int, float]:
        """Minute -> units a second consumed in it, of the last whole minutes that have a metric."""
        if self.cloud.metrics is not None:
            await self.cloud.metrics.flush()
        end_s = int(now_s - _LATE_S) // _MINUTE_S * _MINUTE_S
        dimensions = [{"Name": "TableName", "Value": place.table}]
        if place.index_name:
            dimensions.insert(0, {"Name": "GlobalSecondaryIndexName", "Value": place.index_name})
        request = {
            "Namespace": "AWS/DynamoDB",
            "MetricName": f"Consumed{place.kind}CapacityUnits",
            "Dimensions": dimensions,
            "StartTime": float(end_s - _IN_MINUTES * _MINUTE_S),
            "EndTime": float(end_s),
            "Period": _MINUTE_S,
            "Statistics": ["Sum"],
        }
        points = (await call.request("cloudwatch", "GetMetricStatistics", request))["Datapoints"]
        ago = {int(end_s - point["Timestamp"]) // _MINUTE_S: point["Sum"] for point in points}
        return {minute: units / _MINUTE_S for minute, units in ago.items()}


class Act:
    queue, ordered, concurrency = ACT, False, 8

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self.cloud.call(said["account"], said["region"])
        place, name = Place(said["resource"], said["dimension"]), said["name"]

        def settle(tx: Tx) -> None:
            call.tx, keys = tx, call.keys(NAME)
            action = state.thing(tx, keys, "action", place, name)
            record = state.target(tx, keys, place)
            if action is None or record is None or action["timer"] != said["timer"]:
                return
            if not record["suspended"]["ScheduledScalingSuspended"]:
                _change_bounds(call, place, name, record, action["request"]["ScalableTargetAction"])
            table = checks.schedule(action["request"])
            next_s = table.after(max(said["due_s"], tx.time_s - _DAY_S), action["anchor_s"])
            _put_act(call, place, name, action, next_s)

        return settle


def _change_bounds(
    call: Call, place: Place, name: str, record: state.Record, change: dict[str, int]
) -> None:
    """Both bounds as the action says; one it leaves out gives way where they would cross."""
    low, high = change.get("MinCapacity"), change.get("MaxCapacity")
    record["min"] = low if low is not None else min(record["min"], high or record["min"])
    record["max"] = high if high is not None else max(record["max"], record["min"])
    parts = [
        f"{word} capacity to {value}" for word, value in (("min", low), ("max", high)) if value is not None
    ]  # fmt: skip
    _note(
        call,
        place,
        f"Setting {' and '.join(parts)}",
        f"scheduled action name {name} was triggered",
        f"Successfully set {' and '.join(parts)}",
    )
    start(call, place, record)
    state.put_target(call.tx, call.keys(NAME), place, record)


def _scale(call: Call, place: Place, record: state.Record, minutes: dict[int, float]) -> None:
    try:
        there = checks.described(call, place)
    except Fault as fault:
        if fault.code != _NO_TABLE:
            raise
        return  # its target outlives a table, as on AWS
    units = there.get("ProvisionedThroughput") or {}
    current = units.get(f"{place.kind}CapacityUnits", 0)
    if not current or there.get("TableStatus", there.get("IndexStatus")) != "ACTIVE":
        return  # on demand, or busy: next minute
    wish = _wanted(call, place, record, current, minutes)
    if wish is None or wish.capacity == current:
        return
    _set(call, place, units, wish)
    if wish.policy:
        keys = call.keys(NAME)
        policy = state.thing(call.tx, keys, "policy", place, wish.policy)
        assert policy is not None, "it was read in this transaction"
        policy["out_s" if wish.is_out else "in_s"] = call.tx.time_s
        state.put_thing(call.tx, keys, "policy", place, wish.policy, policy)


def _wanted(
    call: Call, place: Place, record: state.Record, current: int, minutes: dict[int, float]
) -> Wish | None:
    """Inside the bounds first; then what a policy says."""
    low, high, suspended = record["min"], record["max"], record["suspended"]
    if current < low:
        return Wish(low, f"minimum capacity was set to {low}")
    if current > high:
        return Wish(high, f"maximum capacity was set to {high}")
    for name, policy in state.policies(call.tx, call.keys(NAME), place):
        config = policy["config"]
        share = config["TargetValue"] / 100
        busy = [minutes.get(ago, 0.0) for ago in range(1, _OUT_MINUTES + 1)]
        quiet = [minutes.get(ago) for ago in range(1, _IN_MINUTES + 1)]
        if min(busy) > current * share:
            if suspended["DynamicScalingOutSuspended"] or _cools(call, policy, "Out"):
                continue
            capacity = min(high, math.ceil(max(busy) / share))
            cause = (
                f"consumed capacity above {config['TargetValue']:g} percent triggered policy {name}"
            )
            return Wish(capacity, cause, name, is_out=True)
        known = [units for units in quiet if units is not None]
        below = current * share * _IN_MARGIN
        if len(known) == _IN_MINUTES and max(known) < below and not config.get("DisableScaleIn"):
            if suspended["DynamicScalingInSuspended"] or _cools(call, policy, "In"):
                continue
            capacity = max(low, math.ceil(max(known) / share))
            cause = (
                f"consumed capacity below {config['TargetValue']:g} percent triggered policy {name}"
            )
            return Wish(capacity, cause, name)
    return None


def _cools(call: Call, policy: state.Record, way: str) -> bool:
    """Whether the last activity of the same way is too short ago."""
    rest_s = policy["config"].get(f"Scale{way}Cooldown") or 0
    return bool(call.tx.time_s < policy[f"{way.lower()}_s"] + rest_s)


def _set(call: Call, place: Place, units: Response, wish: Wish) -> None:
    wanted = {f"{kind}CapacityUnits": units[f"{kind}CapacityUnits"] for kind in ("Read", "Write")}
    wanted[f"{place.kind}CapacityUnits"] = wish.capacity
    request: dict[str, Any] = {"TableName": place.table}
    if place.index_name:
        update = {"IndexName": place.index_name, "ProvisionedThroughput": wanted}
        request["GlobalSecondaryIndexUpdates"] = [{"Update": update}]
    else:
        request["ProvisionedThroughput"] = wanted
    what = f"{place.kind.lower()} capacity units to {wish.capacity}"
    try:
        call.invoke("dynamodb", "UpdateTable", request)
    except Fault as fault:
        _log.warning("cannot set %s of %s: %s", what, place.resource, fault.message)
        _note(call, place, f"Setting {what}.", wish.cause, f"Failed to set {what}. Reason: {fault.message}", "Failed")  # fmt: skip
        return
    done = f"Successfully set {what}. Change successfully fulfilled by {checks.NAMESPACE}."
    _note(call, place, f"Setting {what}.", wish.cause, done)
    if wish.is_out:
        _tell_of_the_most(call, place, units[f"{place.kind}CapacityUnits"], wish.capacity)


def _tell_of_the_most(call: Call, place: Place, old: int, new: int) -> None:
    """The default bus hears of a target that was scaled out as far as it may.

    https://docs.aws.amazon.com/autoscaling/application/userguide/monitoring-eventbridge.html
    """
    record = state.target(call.tx, call.keys(NAME), place)
    if record is None or new != record["max"]:
        return
    now = iso(call.tx.time_s)
    detail = {
        "startTime": now,
        "endTime": now,
        "newDesiredCapacity": new,
        "oldDesiredCapacity": old,
        "minCapacity": record["min"],
        "maxCapacity": record["max"],
        "resourceId": place.resource,
        "scalableDimension": place.dimension,
        "serviceNamespace": checks.NAMESPACE,
        "statusCode": "Successful",
        "scaledToMax": True,
        "direction": "scale-out",
    }
    what = "Application Auto Scaling Scaling Activity State Change"
    announce(
        call,
        "application-autoscaling.amazonaws.com",
        lambda: entry("aws.application-autoscaling", what, [], detail),
    )


def _note(
    call: Call, place: Place, what: str, cause: str, message: str, status: str = "Successful"
) -> None:
    activity = {
        "ActivityId": call.world.uuid(),
        "ServiceNamespace": checks.NAMESPACE,
        "ResourceId": place.resource,
        "ScalableDimension": place.dimension,
        "Description": what,
        "Cause": cause,
        "StartTime": call.tx.time_s,
        "EndTime": call.tx.time_s,
        "StatusCode": status,
        "StatusMessage": message,
    }
    state.add_activity(call.tx, call.keys(NAME), place, activity)
