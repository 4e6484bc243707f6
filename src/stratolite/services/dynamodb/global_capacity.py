"""What a template says of a global table's capacity, as tables, replicas and scalers have it, and back.

Writes are the table's and always scaled; reads are each replica's, fixed or scaled. A scaled capacity begins at its SeedCapacity or
its least, and is left where scaling has brought it afterwards.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-globaltable-readprovisionedthroughputsettings.html
        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-globaltable-writeprovisionedthroughputsettings.html
        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-globaltable-capacityautoscalingsettings.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stratolite.services.dynamodb.faults import invalid

Properties = dict[str, Any]
_READ, _WRITE = "ReadProvisionedThroughputSettings", "WriteProvisionedThroughputSettings"
_SCALED = {_READ: "ReadCapacityAutoScalingSettings", _WRITE: "WriteCapacityAutoScalingSettings"}
_UNITS = {_READ: "ReadCapacityUnits", _WRITE: "WriteCapacityUnits"}
_ON_DEMAND = {
    "ReadOnDemandThroughputSettings": "MaxReadRequestUnits",
    "WriteOnDemandThroughputSettings": "MaxWriteRequestUnits",
}
SETTINGS = frozenset((_READ, _WRITE, *_ON_DEMAND))
_POLICY = "TargetTrackingScalingPolicyConfiguration"
NOT_SCALED = {"AutoScalingDisabled": True}
_TABLE = "AWS::DynamoDB::GlobalTable"


def is_on_demand(properties: Properties) -> bool:
    return properties.get("BillingMode") == "PAY_PER_REQUEST"


# -- as a plain table has it


def plain(properties: Properties, replica: Properties, current: Properties | None) -> Properties:
    """Capacity and global indexes of one replica as properties of AWS::DynamoDB::Table.

    ``current``: what DescribeTable says of it, None before it is there. Raises ValidationException for what is missing.
    """
    found = _capacity(properties, properties, replica, current, "the table")
    own = {i["IndexName"]: i for i in replica.get("GlobalSecondaryIndexes") or ()}
    there = {i["IndexName"]: i for i in (current or {}).get("GlobalSecondaryIndexes", ())}
    names = {i["IndexName"] for i in properties.get("GlobalSecondaryIndexes") or ()}
    if unknown := sorted(own.keys() - names):
        raise invalid(f"{_TABLE}: the table has no global secondary index: {', '.join(unknown)}")
    if "GlobalSecondaryIndexes" in properties:
        found["GlobalSecondaryIndexes"] = [
            {k: v for k, v in index.items() if k not in SETTINGS}
            | _capacity(properties, index, own.get(name, {}), there.get(name), f"the index {name}")
            for index in properties["GlobalSecondaryIndexes"]
            for name in (index["IndexName"],)
        ]
    return found


def _capacity(
    properties: Properties,
    shared: Properties,
    own: Properties,
    current: Properties | None,
    what: str,
) -> Properties:
    if is_on_demand(properties):
        limits: dict[str, int] = {}
        for settings in _ON_DEMAND:
            limits |= own.get(settings) or shared.get(settings) or {}
        return {"OnDemandThroughput": limits} if limits else {}
    held = (current or {}).get("ProvisionedThroughput", {})
    units = {}
    for settings, unit in _UNITS.items():
        said = own.get(settings) or shared.get(settings)
        if said is None:
            raise invalid(
                f"{_TABLE}: {settings} must be specified for {what} when BillingMode is PROVISIONED"
            )
        units[unit] = _units(said, settings, held.get(unit) or 0)
    return {"ProvisionedThroughput": units}


def _units(said: Properties, settings: str, held: int) -> int:
    scaled, fixed = said.get(_SCALED[settings]), said.get(_UNITS[settings])
    if (scaled is None) is (fixed is None):
        raise invalid(
            f"{_TABLE}: {settings} must have either {_UNITS[settings]} or {_SCALED[settings]}"
        )
    if scaled is None:
        return int(fixed)  # type: ignore[arg-type]  # one of them is there
    low, high = int(scaled["MinCapacity"]), int(scaled["MaxCapacity"])
    begin = int(scaled.get("SeedCapacity", low))
    return min(max(held, low), high) if held else begin


# -- as a replica has it


def override(here: Properties, *, on_demand: bool) -> Properties:
    """Of ``plain`` properties or a description, what a Create or Update of the replica says for itself."""
    found = _override(here, on_demand)
    indexes = [
        {"IndexName": index["IndexName"], **own}
        for index in here.get("GlobalSecondaryIndexes") or ()
        if (own := _override(index, on_demand))
    ]
    if indexes:
        found["GlobalSecondaryIndexes"] = indexes
    return found


def _override(thing: Properties, on_demand: bool) -> Properties:
    member, unit = "ProvisionedThroughput", "ReadCapacityUnits"
    if on_demand:
        member, unit = "OnDemandThroughput", "MaxReadRequestUnits"
    units = (thing.get(member) or {}).get(unit)
    return {} if units is None else {f"{member}Override": {unit: units}}


# -- as its scalers have it


def scalers(properties: Properties, regions: Iterable[str], *, are_off: bool = False) -> Properties:
    """The members of UpdateTableReplicaAutoScaling for the replicas in ``regions``; ``are_off``: nothing is to be scaled."""
    indexes = properties.get("GlobalSecondaryIndexes") or ()
    found: Properties = {
        "ProvisionedWriteCapacityAutoScalingUpdate": _scaler(properties, {}, _WRITE, are_off),
    }
    if indexes:
        found["GlobalSecondaryIndexUpdates"] = [
            {
                "IndexName": index["IndexName"],
                "ProvisionedWriteCapacityAutoScalingUpdate": _scaler(index, {}, _WRITE, are_off),
            }
            for index in indexes
        ]
    updates = []
    for replica in properties["Replicas"]:
        if replica["Region"] not in regions:
            continue
        own = {i["IndexName"]: i for i in replica.get("GlobalSecondaryIndexes") or ()}
        update = {
            "RegionName": replica["Region"],
            "ReplicaProvisionedReadCapacityAutoScalingUpdate": _scaler(
                properties, replica, _READ, are_off
            ),
        }
        if indexes:
            update["ReplicaGlobalSecondaryIndexUpdates"] = [
                {
                    "IndexName": index["IndexName"],
                    "ProvisionedReadCapacityAutoScalingUpdate": _scaler(
                        index, own.get(index["IndexName"], {}), _READ, are_off
                    ),
                }
                for index in indexes
            ]
        updates.append(update)
    return {**found, "ReplicaUpdates": updates}


def _scaler(shared: Properties, own: Properties, settings: str, is_off: bool) -> Properties:
    said = own.get(settings) or shared.get(settings) or {}
    scaled = said.get(_SCALED[settings])
    if scaled is None or is_off:
        return dict(NOT_SCALED)
    return {
        "MinimumUnits": int(scaled["MinCapacity"]),
        "MaximumUnits": int(scaled["MaxCapacity"]),
        "ScalingPolicyUpdate": {_POLICY: scaled[_POLICY]},
    }


# -- and back


def said(thing: Properties, scaler: Properties | None, settings: str) -> Properties | None:
    """ReadProvisionedThroughputSettings or WriteProvisionedThroughputSettings of a table or an index as it is now."""
    if scaler is not None and not scaler["AutoScalingDisabled"] and scaler["ScalingPolicies"]:
        config = scaler["ScalingPolicies"][0][_POLICY]
        bounds = {
            "MinCapacity": scaler["MinimumUnits"],
            "MaxCapacity": scaler["MaximumUnits"],
        }
        return {_SCALED[settings]: {**bounds, _POLICY: config}}
    if settings == _WRITE:
        return None
    return {_UNITS[settings]: thing["ProvisionedThroughput"][_UNITS[settings]]}


def limits(thing: Properties) -> Properties:
    """ReadOnDemandThroughputSettings and WriteOnDemandThroughputSettings of a table or an index as it is now."""
    held = thing.get("OnDemandThroughput") or {}
    return {settings: {unit: held[unit]} for settings, unit in _ON_DEMAND.items() if unit in held}


def placed(
    found: Properties, reads: dict[str, dict[str, Properties]], stated: Properties
) -> Properties:
    """``found`` with what its replicas read, told where the template tells it: of the table, or of each replica.

    ``reads``: region -> index, "" being the table -> settings. What the template tells of the table is what a replica has that
    has it otherwise, if there is one; where it tells nothing, limits are the table's and provisioned reads the replica's.
    """
    by_region = {r["Region"]: r for r in stated.get("Replicas") or ()}
    for name in ("", *(i["IndexName"] for i in found.get("GlobalSecondaryIndexes") or ())):
        shared = _of(stated, name)
        for settings in (_READ, "ReadOnDemandThroughputSettings"):
            values = {r: of[name][settings] for r, of in reads.items() if settings in of[name]}
            own = {r for r in values if settings in _of(by_region.get(r, {}), name)}
            if settings not in shared and (own or settings == _READ):
                own = set(values)
            said_here = shared.get(settings)
            following = [value for region, value in values.items() if region not in own]
            others = [value for value in following if value != said_here]
            common = next(iter(others or following), said_here)
            if common is not None:
                _of(found, name)[settings] = common
            for replica in found["Replicas"]:
                value = values.get(replica["Region"])
                if replica["Region"] in own or (value is not None and value != common):
                    _of(replica, name, make=True)[settings] = value
        for replica in found["Replicas"]:
            if name and _of(by_region.get(replica["Region"], {}), name):
                _of(replica, name, make=True)
    return found


def _of(owner: Properties, index: str, *, make: bool = False) -> Properties:
    """A table, a replica, or the index of one; ``make``: an index that is not there yet is written down."""
    if not index:
        return owner
    for one in owner.get("GlobalSecondaryIndexes") or ():
        if one["IndexName"] == index:
            return one  # type: ignore[no-any-return]
    found = {"IndexName": index} if make else {}
    if make:
        owner.setdefault("GlobalSecondaryIndexes", []).append(found)
    return found
