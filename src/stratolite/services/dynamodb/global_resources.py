"""AWS::DynamoDB::GlobalTable: a table with replicas; Ref is its name, GetAtt Arn, StreamArn and TableId of the stack's region.

What it says of capacity is ``global_capacity``'s to read.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-globaltable.html
Refused by name: replicas of other accounts (GlobalTableSourceArn, TableType, GlobalTableSettingsReplicationMode), contributor
insights, vector indexes, tags of streams. The consistency of a table that is there does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Response, Spec, created, picked
from stratolite.services.dynamodb import global_capacity
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.global_capacity import Properties
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
_READ, _WRITE = "ReadProvisionedThroughputSettings", "WriteProvisionedThroughputSettings"


class GlobalTableResource(Resource):
    type = "AWS::DynamoDB::GlobalTable"
    by_identifier = False
    service = "dynamodb"
    create_only = frozenset(("TableName", "KeySchema", "LocalSecondaryIndexes"))
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "GlobalTableSourceArn": frozenset(),
        "KeySchema.KeyType": frozenset(),
        "KeySchema.AttributeName": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.AttributeName": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.KeyType": frozenset(),
        "GlobalTableSettingsReplicationMode": frozenset(),
        "TableType": frozenset(),
        "VectorIndexes": frozenset(),
        "Replicas.*.DisassociationProtectionEnabled": _NO,
        "Replicas.*.ContributorInsightsSpecification.Enabled": _NO,
        "Replicas.*.GlobalSecondaryIndexes.*.ContributorInsightsSpecification.Enabled": _NO,
        "Replicas.*.GlobalSecondaryIndexes.*.ContributorInsightsSpecification.Mode": frozenset(),
        "Replicas.*.ContributorInsightsSpecification.Mode": frozenset(),
        "Replicas.*.GlobalTableSettingsReplicationMode": frozenset(),
        "Replicas.*.ReplicaStreamSpecification.Tags": frozenset(),
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        made = await TableResource().create(call, _here(call, spec))
        with created(made.physical_id):
            await _set_replicas(call, made.physical_id, spec)
        return Made(made.physical_id, (await _made(call, made.physical_id)).attributes)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        if _is_strong(old) is not _is_strong(new):
            raise invalid(
                "AWS::DynamoDB::GlobalTable: MultiRegionConsistency cannot be changed once the table is there"
            )
        has_stream = "StreamSpecification" in new.properties or _is_strong(new)
        if not has_stream and len(new.properties["Replicas"]) > 1:
            raise invalid(
                "AWS::DynamoDB::GlobalTable: StreamSpecification is needed with several replicas"
            )
        current = await _describe(call, physical_id)
        before, after = _here(call, old, current=current), _here(call, new, current=current)
        if global_capacity.is_on_demand(new.properties):
            await _scale_no_more(call, physical_id, old)
        await _set_encryption(call, physical_id, new)
        await TableResource().update(call, physical_id, before, after)
        await _set_replicas(call, physical_id, new)
        return await _made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        """All replicas, the others first; none is scaled any more."""
        await _scale_no_more(call, physical_id, spec)
        if _is_strong(spec):
            await _end_strong(call, physical_id)
        for region in [r["Region"] for r in spec.properties["Replicas"]]:
            if region != call.region:
                there = call.scoped(call.account, region)
                await self.ask_if_there(there, "DeleteTable", TableName=physical_id)
        await self.ask_if_there(call, "DeleteTable", TableName=physical_id)

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        return is_settled(await _describe(call, physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        here = await read_table(call, physical_id)
        if here is None:
            return None
        found = {name: here[name] for name in _SHARED if name in here}
        if "StreamSpecification" in found:
            found["StreamSpecification"] = picked(found["StreamSpecification"], "StreamViewType")
        table = await _describe(call, physical_id)
        found["MultiRegionConsistency"] = table.get("MultiRegionConsistency", "EVENTUAL")
        if "MultiRegionConsistency" in table:
            witnesses = [{"Region": w["RegionName"]} for w in table.get("GlobalTableWitnesses", ())]
            found |= {"GlobalTableWitnesses": witnesses} if witnesses else {}
        scalers = await _scalers(call, physical_id, here)
        found |= _writes(table, scalers.get(call.region), "")
        if "GlobalSecondaryIndexes" in here:
            found["GlobalSecondaryIndexes"] = [
                picked(index, "IndexName", "KeySchema", "Projection", "WarmThroughput")
                | _writes(table, scalers.get(call.region), index["IndexName"])
                for index in here["GlobalSecondaryIndexes"]
            ]
        replicas = []
        reads: dict[str, dict[str, Properties]] = {}
        for region in [call.region, *(r["RegionName"] for r in table.get("Replicas", ()))]:
            scoped = call.scoped(call.account, region)
            there = await read_table(scoped, physical_id)
            if there is None:
                continue
            own = {name: there[name] for name in _OWN if name in there}
            if "ResourcePolicy" in (stream := there.get("StreamSpecification") or {}):
                own["ReplicaStreamSpecification"] = picked(stream, "ResourcePolicy")
            sse = there.get("SSESpecification")
            if sse is not None:
                found["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS"}
            if sse is not None and "KMSMasterKeyId" in sse:
                own["SSESpecification"] = {"KMSMasterKeyId": sse["KMSMasterKeyId"]}
            described = await _describe(scoped, physical_id)
            reads[region] = _reads(described, scalers.get(region))
            replicas.append({"Region": region, **own})
        return global_capacity.placed({**found, "Replicas": replicas}, reads, spec.properties)


def _thing(table: Response, index: str) -> dict[str, Any]:
    if not index:
        return dict(table)
    return next(dict(i) for i in table["GlobalSecondaryIndexes"] if i["IndexName"] == index)


def _scaler(of_region: Response | None, index: str, kind: str) -> dict[str, Any] | None:
    if of_region is None:
        return None
    if not index:
        settings = of_region[f"ReplicaProvisioned{kind}CapacityAutoScalingSettings"]
    else:
        found = next(i for i in of_region["GlobalSecondaryIndexes"] if i["IndexName"] == index)
        settings = found[f"Provisioned{kind}CapacityAutoScalingSettings"]
    return dict(settings)


def _writes(table: Response, of_region: Response | None, index: str) -> Properties:
    """What the table or an index has in common in all regions."""
    thing = _thing(table, index)
    if of_region is None:
        return picked(global_capacity.limits(thing), "WriteOnDemandThroughputSettings")
    write = global_capacity.said(thing, _scaler(of_region, index, "Write"), _WRITE)
    return {_WRITE: write} if write is not None else {}


def _reads(described: Response, of_region: Response | None) -> dict[str, Properties]:
    """What a replica has of reads, by index, "" being the table."""
    names = ("", *(i["IndexName"] for i in described.get("GlobalSecondaryIndexes", ())))
    if of_region is None:
        every = {name: global_capacity.limits(_thing(described, name)) for name in names}
        return {name: picked(one, "ReadOnDemandThroughputSettings") for name, one in every.items()}
    return {
        name: {
            _READ: global_capacity.said(
                _thing(described, name), _scaler(of_region, name, "Read"), _READ
            )
        }
        for name in names
    }


def _here(call: Call, spec: Spec, region: str = "", current: Response | None = None) -> Spec:
    """What the template says of the replica in a region, as properties of a plain table.

    ``current``: the table there, if it is: capacity that is scaled stays what it is.
    """
    region = region or call.region
    for replica in spec.properties["Replicas"]:
        if replica["Region"] == region:
            break
    else:
        raise invalid(
            f"AWS::DynamoDB::GlobalTable: Replicas must have one in the stack's own region; region={region}"
        )
    properties = {k: spec.properties[k] for k in _SHARED if k in spec.properties}
    properties |= global_capacity.plain(spec.properties, replica, current)
    if (sse := spec.properties.get("SSESpecification")) is not None:
        properties["SSESpecification"] = {**sse, **(replica.get("SSESpecification") or {})}
    if (stream := replica.get("ReplicaStreamSpecification")) is not None:
        properties["StreamSpecification"] = {**properties.get("StreamSpecification", {}), **stream}
    properties |= {k: replica[k] for k in _OWN if k in replica}
    return Spec(
        "AWS::DynamoDB::Table",
        spec.logical_id,
        spec.stack_name,
        spec.stack_id,
        spec.token,
        properties,
    )


async def _describe(call: Call, name: str) -> Response:
    response = await call.request("dynamodb", "DescribeTable", {"TableName": name})
    return response["Table"]  # type: ignore[no-any-return]  # the model's shape


# -- capacity


async def _scalers(call: Call, name: str, here: dict[str, Any]) -> dict[str, Response]:
    """By region, how a provisioned table is scaled."""
    if global_capacity.is_on_demand(here):
        return {}
    answer = await call.request("dynamodb", "DescribeTableReplicaAutoScaling", {"TableName": name})
    replicas = answer["TableAutoScalingDescription"]["Replicas"]
    return {replica["RegionName"]: replica for replica in replicas}


async def _scale(call: Call, name: str, spec: Spec) -> None:
    if global_capacity.is_on_demand(spec.properties):
        return
    described = await _describe(call, name)
    regions = [call.region, *(r["RegionName"] for r in described.get("Replicas", ()))]
    request = {"TableName": name, **global_capacity.scalers(spec.properties, regions)}
    await call.request("dynamodb", "UpdateTableReplicaAutoScaling", request)


async def _scale_no_more(call: Call, name: str, spec: Spec) -> None:
    """Before the table goes, or is on demand."""
    if global_capacity.is_on_demand(spec.properties):
        return
    try:
        described = await _describe(call, name)
    except Fault as fault:
        if fault.code == "ResourceNotFoundException":
            return
        raise
    if described.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST":
        return
    regions = [call.region, *(r["RegionName"] for r in described.get("Replicas", ()))]
    indexes = {i["IndexName"] for i in described.get("GlobalSecondaryIndexes", ())}
    properties = dict(spec.properties)
    if "GlobalSecondaryIndexes" in properties:
        properties["GlobalSecondaryIndexes"] = [
            i for i in properties["GlobalSecondaryIndexes"] if i["IndexName"] in indexes
        ]
    off = global_capacity.scalers(properties, regions, are_off=True)
    await call.request("dynamodb", "UpdateTableReplicaAutoScaling", {"TableName": name, **off})


async def _override(call: Call, name: str, region: str, spec: Spec) -> None:
    """Reads of the replica in another region become what the template says of it."""
    current = await _describe(call.scoped(call.account, region), name)
    on_demand = global_capacity.is_on_demand(spec.properties)
    here = _here(call, spec, region, current).properties
    wanted = global_capacity.override(here, on_demand=on_demand)
    held = global_capacity.override(current, on_demand=on_demand)
    if wanted == held:
        return
    await _change(call, name, {"Update": {"RegionName": region, **_lifted(held), **wanted}})


def _lifted(held: dict[str, Any]) -> dict[str, Any]:
    """A limit on demand that the template no longer has."""
    return {k: {"MaxReadRequestUnits": -1} for k in held if k == "OnDemandThroughputOverride"}


async def _set_encryption(call: Call, name: str, spec: Spec) -> None:
    """All replicas in one change, for they are under keys of one kind; then until what is stored has followed."""
    described = await _describe(call, name)
    request: dict[str, Any] = {"TableName": name}
    here = await other_key(call, name, _here(call, spec).properties)
    updates = []
    for region in [r["RegionName"] for r in described.get("Replicas", ())]:
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
        regions = [r["RegionName"] for r in described.get("Replicas", ())]
        for region in (call.region, *regions):
            await _wait(call.scoped(call.account, region), name)


async def _set_replicas(call: Call, name: str, spec: Spec) -> None:
    """One replica at a time, each whole before the next, then what is its own.

    The table is scaled before it has replicas, for DynamoDB asks for that, and all are afterwards.
    """
    wanted = [r["Region"] for r in spec.properties["Replicas"]]
    there = [r["RegionName"] for r in (await _describe(call, name)).get("Replicas", ())]
    if _is_strong(spec):
        if there and wanted == [call.region]:
            await _end_strong(call, name)
        await _scale(call, name, spec)
        if not there and len(wanted) > 1:
            await _begin_strong(call, name, spec)
            there = wanted
    for region in [r for r in there if r not in wanted]:
        await _change(call, name, {"Delete": {"RegionName": region}})
    await _scale(call, name, spec)
    for region in wanted:
        if region == call.region:
            continue
        if region in there:
            await _override(call, name, region, spec)
        else:
            own = _here(call, spec, region).properties
            create = {
                "RegionName": region,
                **global_capacity.override(
                    own, on_demand=global_capacity.is_on_demand(spec.properties)
                ),
            }
            if "KMSMasterKeyId" in (sse := own.get("SSESpecification") or {}):
                create["KMSMasterKeyId"] = sse["KMSMasterKeyId"]
            await _change(call, name, {"Create": create})
            await _wait(call, name)
        scoped = call.scoped(call.account, region)
        here = _here(call, spec, region, await _describe(scoped, name))
        await TableResource().update(scoped, name, here, here)
    await _scale(call, name, spec)


def _is_strong(spec: Spec) -> bool:
    return spec.properties.get("MultiRegionConsistency") == "STRONG"


async def _begin_strong(call: Call, name: str, spec: Spec) -> None:
    """All replicas and the witness at once, while the table is empty."""
    on_demand = global_capacity.is_on_demand(spec.properties)
    creates = []
    for region in [r["Region"] for r in spec.properties["Replicas"]]:
        if region != call.region:
            own = _here(call, spec, region).properties
            create = global_capacity.override(own, on_demand=on_demand)
            creates.append({"Create": {"RegionName": region, **create}})
    request: dict[str, Any] = {
        "TableName": name,
        "MultiRegionConsistency": "STRONG",
        "ReplicaUpdates": creates,
    }
    witnesses = [w["Region"] for w in spec.properties.get("GlobalTableWitnesses") or ()]
    if witnesses:
        request["GlobalTableWitnessUpdates"] = [{"Create": {"RegionName": w}} for w in witnesses]
    await call.request("dynamodb", "UpdateTable", request)


async def _end_strong(call: Call, name: str) -> None:
    """What is left is a table of the stack's region alone; none if that is gone already."""
    try:
        table = await _describe(call, name)
    except Fault as fault:
        if fault.code == "ResourceNotFoundException":
            return
        raise
    if "Replicas" not in table:
        return
    request: dict[str, Any] = {
        "TableName": name,
        "ReplicaUpdates": [{"Delete": {"RegionName": r["RegionName"]}} for r in table["Replicas"]],
    }
    if witnesses := table.get("GlobalTableWitnesses"):
        gone = [{"Delete": {"RegionName": w["RegionName"]}} for w in witnesses]
        request["GlobalTableWitnessUpdates"] = gone
    await call.request("dynamodb", "UpdateTable", request)


async def _change(call: Call, name: str, update: dict[str, Any]) -> None:
    await call.request("dynamodb", "UpdateTable", {"TableName": name, "ReplicaUpdates": [update]})


async def _wait(call: Call, name: str) -> None:
    """Another replica may be made only when this one is whole."""
    step_s = 0.02
    while True:
        if is_settled(await _describe(call, name)):
            return
        await call.world.sleep(step_s)
        step_s = min(step_s * 1.5, 1.0)


async def _made(call: Call, name: str) -> Made:
    try:
        described = await _describe(call, name)
    except Fault as fault:
        raise invalid(f"The table is gone: {fault.message}") from fault
    attributes = {"Arn": described["TableArn"], "TableId": described["TableId"]}
    if "StreamSpecification" in described:
        attributes["StreamArn"] = described["LatestStreamArn"]
    return Made(name, attributes)
