"""AWS::DynamoDB::GlobalTable: a table with replicas; Ref is its name, GetAtt Arn, StreamArn and TableId of the stack's region.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-globaltable.html
Refused by name: provisioned capacity, which asks for auto scaling here, and what one replica alone may have of capacity; contributor
insights, strong consistency, witnesses, vector indexes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, picked
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.resources import (
    TableResource,
    is_settled,
    other_key,
    read_table,
)

_NO = frozenset({"false"})
_SHARED = (
    "AttributeDefinitions",
    "BillingMode",
    "KeySchema",
    "LocalSecondaryIndexes",
    "StreamSpecification",
    "TableName",
    "TimeToLiveSpecification",
    "WarmThroughput",
)
_OWN = (
    "DeletionProtectionEnabled",
    "KinesisStreamSpecification",
    "PointInTimeRecoverySpecification",
    "ResourcePolicy",
    "TableClass",
    "Tags",
)


class GlobalTableResource(Resource):
    type = "AWS::DynamoDB::GlobalTable"
    by_identifier = False
    service = "dynamodb"
    create_only = frozenset(("TableName", "KeySchema", "LocalSecondaryIndexes"))
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "BillingMode": frozenset({"PAY_PER_REQUEST"}),
        "GlobalTableSourceArn": frozenset(),
        "KeySchema.KeyType": frozenset(),
        "KeySchema.AttributeName": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.AttributeName": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.KeyType": frozenset(),
        "GlobalTableWitnesses": frozenset(),
        "GlobalTableSettingsReplicationMode": frozenset(),
        "MultiRegionConsistency": frozenset({"EVENTUAL"}),
        "ReadProvisionedThroughputSettings": frozenset(),
        "TableType": frozenset(),
        "VectorIndexes": frozenset(),
        "WriteProvisionedThroughputSettings": frozenset(),
        "GlobalSecondaryIndexes.*.ReadProvisionedThroughputSettings": frozenset(),
        "GlobalSecondaryIndexes.*.WriteProvisionedThroughputSettings": frozenset(),
        "Replicas.*.DisassociationProtectionEnabled": _NO,
        "Replicas.*.ContributorInsightsSpecification.Enabled": _NO,
        "Replicas.*.ContributorInsightsSpecification.Mode": frozenset(),
        "Replicas.*.GlobalSecondaryIndexes": frozenset(),
        "Replicas.*.GlobalTableSettingsReplicationMode": frozenset(),
        "Replicas.*.ReadOnDemandThroughputSettings": frozenset(),
        "Replicas.*.ReadProvisionedThroughputSettings": frozenset(),
        "Replicas.*.ReplicaStreamSpecification": frozenset(),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        here = _here(call, spec)
        made = await TableResource().create(call, here)
        with created(made.physical_id):
            await _set_replicas(call, made.physical_id, spec)
        return Made(made.physical_id, (await _made(call, made.physical_id)).attributes)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before = _here(call, old)
        if "StreamSpecification" not in new.properties and len(new.properties["Replicas"]) > 1:
            raise invalid(
                "AWS::DynamoDB::GlobalTable: StreamSpecification is needed with several replicas"
            )
        await _set_encryption(call, physical_id, new)
        await TableResource().update(call, physical_id, before, _here(call, new))
        await _set_replicas(call, physical_id, new)
        return await _made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        """All replicas, the others first."""
        for region in [r["Region"] for r in spec.properties["Replicas"]]:
            if region != call.region:
                there = call.scoped(call.account, region)
                await self.ask_if_there(there, "DeleteTable", TableName=physical_id)
        await self.ask_if_there(call, "DeleteTable", TableName=physical_id)

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        described = await call.request("dynamodb", "DescribeTable", {"TableName": physical_id})
        return is_settled(described["Table"])

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        here = await read_table(call, physical_id)
        if here is None:
            return None
        found = {name: here[name] for name in _SHARED if name in here}
        if "GlobalSecondaryIndexes" in here:
            indexes = here["GlobalSecondaryIndexes"]
            found["GlobalSecondaryIndexes"] = [_split_limits(index) for index in indexes]
        found |= _split_limits(picked(here, "OnDemandThroughput"))
        described = await call.request("dynamodb", "DescribeTable", {"TableName": physical_id})
        regions = [call.region, *(r["RegionName"] for r in described["Table"].get("Replicas", ()))]
        replicas = []
        for region in regions:
            there = await read_table(call.scoped(call.account, region), physical_id)
            if there is not None:
                own = {name: there[name] for name in _OWN if name in there}
                sse = there.get("SSESpecification")
                if sse is not None:
                    found["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS"}
                if sse is not None and "KMSMasterKeyId" in sse:
                    own["SSESpecification"] = {"KMSMasterKeyId": sse["KMSMasterKeyId"]}
                replicas.append({"Region": region, **own})
        return {**found, "MultiRegionConsistency": "EVENTUAL", "Replicas": replicas}


def _here(call: Call, spec: Spec, region: str = "") -> Spec:
    """What the template says of the replica in a region, as properties of a plain table."""
    region = region or call.region
    for replica in spec.properties["Replicas"]:
        if replica["Region"] == region:
            break
    else:
        raise invalid(
            f"AWS::DynamoDB::GlobalTable: Replicas must have one in the stack's own region; region={region}"
        )
    properties = {k: spec.properties[k] for k in _SHARED if k in spec.properties}
    if "GlobalSecondaryIndexes" in spec.properties:
        properties["GlobalSecondaryIndexes"] = [
            _on_demand(index) for index in spec.properties["GlobalSecondaryIndexes"]
        ]
    limits = {k: v for k, v in spec.properties.items() if k in _ON_DEMAND}
    properties |= _on_demand(limits)
    if (sse := spec.properties.get("SSESpecification")) is not None:
        properties["SSESpecification"] = {**sse, **(replica.get("SSESpecification") or {})}
    if properties.get("BillingMode") != "PAY_PER_REQUEST":
        raise invalid(
            "AWS::DynamoDB::GlobalTable: BillingMode PROVISIONED is not offered by Stratolite"
        )
    properties |= {k: replica[k] for k in _OWN if k in replica}
    return Spec(
        "AWS::DynamoDB::Table",
        spec.logical_id,
        spec.stack_name,
        spec.stack_id,
        spec.token,
        properties,
    )


_ON_DEMAND = ("ReadOnDemandThroughputSettings", "WriteOnDemandThroughputSettings")


def _on_demand(thing: dict[str, Any]) -> dict[str, Any]:
    """A table's or index's limits as a plain table has them, under OnDemandThroughput."""
    limits = {k: v for name in _ON_DEMAND for k, v in (thing.get(name) or {}).items()}
    rest = {k: v for k, v in thing.items() if k not in _ON_DEMAND}
    return {**rest, "OnDemandThroughput": limits} if limits else rest


def _split_limits(thing: dict[str, Any]) -> dict[str, Any]:
    """The other way round."""
    limits = thing.get("OnDemandThroughput") or {}
    made = {k: v for k, v in thing.items() if k != "OnDemandThroughput"}
    for name, limit in zip(
        _ON_DEMAND, ("MaxReadRequestUnits", "MaxWriteRequestUnits"), strict=True
    ):
        if limit in limits:
            made[name] = {limit: limits[limit]}
    return made


async def _set_encryption(call: Call, name: str, spec: Spec) -> None:
    """All replicas in one change, for they are under keys of one kind; then until what is stored has followed."""
    described = await call.request("dynamodb", "DescribeTable", {"TableName": name})
    request: dict[str, Any] = {"TableName": name}
    here = await other_key(call, name, _here(call, spec).properties)
    updates = []
    for region in [r["RegionName"] for r in described["Table"].get("Replicas", ())]:
        if region not in [r["Region"] for r in spec.properties["Replicas"]]:
            continue
        there = call.scoped(call.account, region)
        wanted = await other_key(there, name, _here(call, spec, region).properties)
        if wanted is not None and (key := wanted.get("KMSMasterKeyId")):
            updates.append({"Update": {"RegionName": region, "KMSMasterKeyId": key}})
    if here is not None:
        request["SSESpecification"] = here
    if updates:
        request["ReplicaUpdates"] = updates
    if len(request) > 1:
        await call.request("dynamodb", "UpdateTable", request)
        regions = [r["RegionName"] for r in described["Table"].get("Replicas", ())]
        for region in (call.region, *regions):
            await _wait(call.scoped(call.account, region), name)


async def _set_replicas(call: Call, name: str, spec: Spec) -> None:
    """One replica at a time, each whole before the next, then what is its own."""
    wanted = [r["Region"] for r in spec.properties["Replicas"]]
    described = await call.request("dynamodb", "DescribeTable", {"TableName": name})
    there = [r["RegionName"] for r in described["Table"].get("Replicas", ())]
    for region in [r for r in there if r not in wanted]:
        await _change(call, name, {"Delete": {"RegionName": region}})
    for region in wanted:
        if region == call.region:
            continue
        if region not in there:
            wanted_sse = _here(call, spec, region).properties.get("SSESpecification") or {}
            key = {k: v for k, v in wanted_sse.items() if k == "KMSMasterKeyId"}
            await _change(call, name, {"Create": {"RegionName": region, **key}})
            await _wait(call, name)
        own = _here(call, spec, region)
        scoped = call.scoped(call.account, region)
        await TableResource().update(scoped, name, own, own)


async def _change(call: Call, name: str, update: dict[str, Any]) -> None:
    await call.request("dynamodb", "UpdateTable", {"TableName": name, "ReplicaUpdates": [update]})


async def _wait(call: Call, name: str) -> None:
    """Another replica may be made only when this one is whole."""
    step_s = 0.02
    while True:
        described = await call.request("dynamodb", "DescribeTable", {"TableName": name})
        if is_settled(described["Table"]):
            return
        await call.world.sleep(step_s)
        step_s = min(step_s * 1.5, 1.0)


async def _made(call: Call, name: str) -> Made:
    try:
        described = (await call.request("dynamodb", "DescribeTable", {"TableName": name}))["Table"]
    except Fault as fault:
        raise invalid(f"The table is gone: {fault.message}") from fault
    attributes = {"Arn": described["TableArn"], "TableId": described["TableId"]}
    if "StreamSpecification" in described:
        attributes["StreamArn"] = described["LatestStreamArn"]
    return Made(name, attributes)
