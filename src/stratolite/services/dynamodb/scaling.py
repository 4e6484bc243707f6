"""Auto scaling of all replicas of a table at once, as scalable targets and policies of ``application-autoscaling``.

Each region's targets are that service's, and nothing of them is kept here: write capacity is scaled alike in every region, read
capacity in each as it says. A table without replicas is its only one.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTableReplicaAutoScaling.html
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTableReplicaAutoScaling.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_reqs_bestpractices.html
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import overrides, shapes, state
from stratolite.services.dynamodb.base import Base
from stratolite.services.dynamodb.faults import in_use, invalid, not_found
from stratolite.services.dynamodb.table import Table

SCALER = "application-autoscaling"
READ, WRITE = "Read", "Write"
_NOT_SCALED = {"AutoScalingDisabled": True}


class Scaling(Base):
    def describe_table_replica_auto_scaling(self, call: Call, request: Request) -> Response:
        return {
            "TableAutoScalingDescription": _described(
                call, self._scaled(call, request, shapes.NAMED_TABLE)
            )
        }

    def update_table_replica_auto_scaling(self, call: Call, request: Request) -> Response:
        table = self._scaled(call, request, shapes.SCALE_REPLICAS)
        if table.is_on_demand:
            raise invalid(
                "One or more parameter values were invalid: Auto scaling settings cannot be specified "
                "when BillingMode is PAY_PER_REQUEST"
            )
        if not table.is_ready:
            raise in_use(
                f"Attempt to change a resource which is still in use: Table is being created: {table.name}"
            )
        if not any(request.get(name) for name in _UPDATES):
            raise invalid(f"At least one of {', '.join(_UPDATES)} is required")
        regions = _regions(table)
        for index, update in _writes(request):
            for region in regions:
                _set(call, table, region, index, WRITE, update)
        for update in request.get("ReplicaUpdates") or ():
            region = update["RegionName"]
            if region not in regions:
                raise invalid(
                    "Replica specified in the Replica Update or Replica Delete action of the request was not found."
                )
            for index, settings in _reads(update):
                _set(call, table, region, index, READ, settings)
                if len(regions) > 1:
                    _own(call, table, region, index)
        return {"TableAutoScalingDescription": _described(call, table)}

    def _scaled(self, call: Call, request: Request, form: shapes.Structure) -> Table:
        shapes.check(form, request)
        name = request["TableName"]
        return self.known(call, name, f"Requested resource not found: Table: {name} not found")


_UPDATES = (
    "GlobalSecondaryIndexUpdates",
    "ProvisionedWriteCapacityAutoScalingUpdate",
    "ReplicaUpdates",
)


def _writes(request: Request) -> Iterator[tuple[str, dict[str, Any]]]:
    if (update := request.get("ProvisionedWriteCapacityAutoScalingUpdate")) is not None:
        yield "", update
    for index in request.get("GlobalSecondaryIndexUpdates") or ():
        if (update := index.get("ProvisionedWriteCapacityAutoScalingUpdate")) is not None:
            yield index["IndexName"], update


def _reads(replica: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if (update := replica.get("ReplicaProvisionedReadCapacityAutoScalingUpdate")) is not None:
        yield "", update
    for index in replica.get("ReplicaGlobalSecondaryIndexUpdates") or ():
        if (update := index.get("ProvisionedReadCapacityAutoScalingUpdate")) is not None:
            yield index["IndexName"], update


def _regions(table: Table) -> list[str]:
    return [table.region, *table.replicas]


def _own(call: Call, table: Table, region: str, index: str) -> None:
    """A replica whose reads are scaled has a read capacity of its own."""
    there = state.table(call.tx, table.account, region, table.name)
    assert there is not None, "members name each other"
    record = deepcopy(there.record)
    overrides.mark(record, index, READ)
    state.put_table(call.tx, table.account, region, record)


# -- the targets of one capacity


def _place(table: Table, index: str, kind: str) -> dict[str, str]:
    what = "index" if index else "table"
    return {
        "ServiceNamespace": "dynamodb",
        "ResourceId": f"table/{table.name}/index/{index}" if index else f"table/{table.name}",
        "ScalableDimension": f"dynamodb:{what}:{kind}CapacityUnits",
    }


def _set(
    call: Call, table: Table, region: str, index: str, kind: str, update: dict[str, Any]
) -> None:
    """Bring a target and its policy to what an AutoScalingSettingsUpdate says. Raises what ``application-autoscaling`` does."""
    if index and index not in table.index_named:
        raise not_found(f"Requested resource not found: Index: {index} of table: {table.name}")
    call, place = call.scoped(table.account, region), _place(table, index, kind)
    target, policy = _held(call, place)
    if update.get("AutoScalingDisabled"):
        if target is not None:
            call.invoke(SCALER, "DeregisterScalableTarget", dict(place))
        return
    bounds = {"MinCapacity": "MinimumUnits", "MaxCapacity": "MaximumUnits"}
    bounds["RoleARN"] = "AutoScalingRoleArn"
    said = {name: update[member] for name, member in bounds.items() if member in update}
    call.invoke(SCALER, "RegisterScalableTarget", {**place, **said})
    if (wanted := update.get("ScalingPolicyUpdate")) is None:
        return
    old = policy["PolicyName"] if policy is not None else None
    name = wanted.get("PolicyName") or old
    name = name or f"DynamoDB{kind}CapacityUtilization:{place['ResourceId']}"
    if old not in (None, name):
        call.invoke(SCALER, "DeleteScalingPolicy", {**place, "PolicyName": old})
    _put_policy(call, place, name, kind, wanted["TargetTrackingScalingPolicyConfiguration"])


def _put_policy(
    call: Call, place: dict[str, str], name: str, kind: str, config: dict[str, Any]
) -> None:
    metric = {"PredefinedMetricType": f"DynamoDB{kind}CapacityUtilization"}
    request = {
        **place,
        "PolicyName": name,
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            **config,
            "PredefinedMetricSpecification": metric,
        },
    }
    call.invoke(SCALER, "PutScalingPolicy", request)


def _held(call: Call, place: dict[str, str]) -> tuple[Response | None, Response | None]:
    """The target at ``place`` and its policy, None where there is none."""
    of_target: dict[str, Any] = {**place, "ResourceIds": [place["ResourceId"]]}
    del of_target["ResourceId"]
    targets = call.invoke(SCALER, "DescribeScalableTargets", of_target)["ScalableTargets"]
    if not targets:
        return None, None
    policies = call.invoke(SCALER, "DescribeScalingPolicies", dict(place))["ScalingPolicies"]
    return targets[0], policies[0] if policies else None


def check_scaled(call: Call, table: Table) -> None:
    """Raises where a provisioned table is to have replicas whose write capacity nobody scales, as DynamoDB does."""
    here = call.scoped(table.account, table.region)
    if _held(here, _place(table, "", WRITE))[0] is None:
        raise invalid("Table write capacity should either be Pay-Per-Request or AutoScaled.")


def copy(call: Call, table: Table, region: str) -> None:
    """A new replica of ``table`` in ``region`` is scaled as the table is."""
    here, there = (call.scoped(table.account, r) for r in (table.region, region))
    for index, kind in _capacities(table):
        place = _place(table, index, kind)
        target, policy = _held(here, place)
        if target is None:
            continue
        bounds = {name: target[name] for name in ("MinCapacity", "MaxCapacity")}
        there.invoke(SCALER, "RegisterScalableTarget", {**place, **bounds})
        if policy is not None:
            config = policy["TargetTrackingScalingPolicyConfiguration"]
            _put_policy(there, place, policy["PolicyName"], kind, config)


def drop(call: Call, table: Table) -> None:
    """A replica that is taken away is scaled no more."""
    there = call.scoped(table.account, table.region)
    for index, kind in _capacities(table):
        place = _place(table, index, kind)
        if _held(there, place)[0] is not None:
            there.invoke(SCALER, "DeregisterScalableTarget", dict(place))


def _capacities(table: Table) -> Iterator[tuple[str, str]]:
    """(global index, or "" for the table, Read or Write) of all that can be scaled."""
    for index in ("", *(i.name for i in table.indexes if not i.is_local)):
        yield from ((index, READ), (index, WRITE))


# -- descriptions


def _described(call: Call, table: Table) -> dict[str, Any]:
    return {
        "TableName": table.name,
        "TableStatus": table.description["TableStatus"],
        "Replicas": [_of_region(call, table, region) for region in _regions(table)],
    }


def _of_region(call: Call, table: Table, region: str) -> dict[str, Any]:
    there = state.table(call.tx, table.account, region, table.name)
    assert there is not None, "members name each other"
    scoped = call.scoped(table.account, region)

    def settings(index: str, kind: str) -> dict[str, Any]:
        return _settings(*_held(scoped, _place(table, index, kind)))

    indexes = [
        {
            "IndexName": index["IndexName"],
            "IndexStatus": index["IndexStatus"],
            "ProvisionedReadCapacityAutoScalingSettings": settings(index["IndexName"], READ),
            "ProvisionedWriteCapacityAutoScalingSettings": settings(index["IndexName"], WRITE),
        }
        for index in there.description.get("GlobalSecondaryIndexes", ())
    ]
    is_made = table.replicas.get(region, {}).get("Creating")
    return {
        "RegionName": region,
        "GlobalSecondaryIndexes": indexes,
        "ReplicaProvisionedReadCapacityAutoScalingSettings": settings("", READ),
        "ReplicaProvisionedWriteCapacityAutoScalingSettings": settings("", WRITE),
        "ReplicaStatus": "CREATING" if is_made or not there.is_ready else "ACTIVE",
    }


def _settings(target: Response | None, policy: Response | None) -> dict[str, Any]:
    if target is None:
        return dict(_NOT_SCALED)
    found: dict[str, Any] = {
        "MinimumUnits": target["MinCapacity"],
        "MaximumUnits": target["MaxCapacity"],
        "AutoScalingDisabled": False,
        "AutoScalingRoleArn": target["RoleARN"],
        "ScalingPolicies": [],
    }
    if policy is not None:
        config = dict(policy["TargetTrackingScalingPolicyConfiguration"])
        config.pop("PredefinedMetricSpecification", None)
        found["ScalingPolicies"].append(
            {
                "PolicyName": policy["PolicyName"],
                "TargetTrackingScalingPolicyConfiguration": config,
            }
        )
    return found
