"""AWS::DynamoDB::Table: Ref is the table's name, GetAtt Arn, StreamArn and TableId.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
Missing, refused by name when a template asks for them: contributor insights (CloudWatch has no insight rules here), vector indexes,
tags of streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Response, Spec, created
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.keyring import MANAGED

WAIT_S_MAX = 3600.0
_STEP_S_MAX = 1.0
_PASSED = (
    "AttributeDefinitions",
    "BillingMode",
    "DeletionProtectionEnabled",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "LocalSecondaryIndexes",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "TableClass",
    "WarmThroughput",
)
_NO = frozenset({"false"})
_STACK = "aws:cloudformation:stack-id"
_LOGICAL = "aws:cloudformation:logical-id"


class TableResource(Resource):
    type = "AWS::DynamoDB::Table"
    service = "dynamodb"
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ContributorInsightsSpecification.Enabled": _NO,
        "ContributorInsightsSpecification.Mode": frozenset(),
        "GlobalSecondaryIndexes.*.ContributorInsightsSpecification.Mode": frozenset(),
        "GlobalSecondaryIndexes.*.ContributorInsightsSpecification.Enabled": _NO,
        "KeySchema.AttributeName": frozenset(),
        "KeySchema.KeyType": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.AttributeName": frozenset(),
        "LocalSecondaryIndexes.*.KeySchema.KeyType": frozenset(),
        "StreamSpecification.Tags": frozenset(),
        "VectorIndexes": frozenset(),
    }
    """AWS's schema has a KeySchema that is one object, for nobody: CreateTable takes a list."""
    unread = frozenset({"ImportSourceSpecification"})
    create_only = frozenset(
        ("TableName", "KeySchema", "LocalSecondaryIndexes", "ImportSourceSpecification")
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = _request(spec)
        name = spec.properties.get("TableName") or spec.generated_name(255)
        tags = {**_tags(spec), _STACK: spec.stack_id, _LOGICAL: spec.logical_id}
        wanted |= {"TableName": name, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        if (source := spec.properties.get("ImportSourceSpecification")) is not None:
            return await _imported(call, spec, source, wanted)
        try:
            await call.request("dynamodb", "CreateTable", wanted)
        except Fault as fault:
            if fault.code != "ResourceInUseException" or not await _is_ours(call, name, spec):
                raise
        with created(name):
            await set_extras(call, name, spec.properties)
        return _made(await _describe(call, name))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = _request(old), _request(new)
        await _drop_indexes(call, physical_id, after)
        await _update_settings(call, physical_id, before, after)
        await _make_indexes(call, physical_id, after)
        described = await _describe(call, physical_id)
        gone, kept = _tags(old), _tags(new)
        if removed := [key for key in gone if key not in kept]:
            request = {"ResourceArn": described["TableArn"], "TagKeys": removed}
            await call.request("dynamodb", "UntagResource", request)
        if kept:
            listed = [{"Key": k, "Value": v} for k, v in kept.items()]
            request = {"ResourceArn": described["TableArn"], "Tags": listed}
            await call.request("dynamodb", "TagResource", request)
        await _set_stream(call, physical_id, new.properties)
        await set_extras(call, physical_id, new.properties)
        await _set_encryption(call, physical_id, new.properties)
        return _made(await _describe(call, physical_id))

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteTable", TableName=physical_id)

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        return is_settled(await _describe(call, physical_id))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await read_table(call, physical_id)
        held = (found or {}).get("SSESpecification")
        said = spec.properties.get("SSESpecification") or {}
        key = said.get("KMSMasterKeyId")
        if held and key and await key_arn(call, key) == held.get("KMSMasterKeyId"):
            held["KMSMasterKeyId"] = key
        return found

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        start = {"ExclusiveStartTableName": token} if token else {}
        page = await call.request("dynamodb", "ListTables", start)
        return page["TableNames"], page.get("LastEvaluatedTableName", "")


def is_settled(described: Response) -> bool:
    """Whether table, indexes and replicas are ACTIVE."""
    indexes = described.get("GlobalSecondaryIndexes", ())
    replicas = described.get("Replicas", ())
    return (
        described["TableStatus"] == "ACTIVE"
        and all(index["IndexStatus"] == "ACTIVE" for index in indexes)
        and all(replica["ReplicaStatus"] == "ACTIVE" for replica in replicas)
    )


async def read_table(call: Call, name: str) -> dict[str, Any] | None:
    """A table's properties as a template writes them."""
    try:
        table = await _describe(call, name)
    except Fault as fault:
        if fault.code == "ResourceNotFoundException":
            return None
        raise
    on_demand = table.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    found: dict[str, Any] = {
        "TableName": name,
        "KeySchema": table["KeySchema"],
        "AttributeDefinitions": table["AttributeDefinitions"],
        "BillingMode": "PAY_PER_REQUEST" if on_demand else "PROVISIONED",
        "DeletionProtectionEnabled": table["DeletionProtectionEnabled"],
    }
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if table.get(member):
            found[member] = [_index_properties(index, on_demand) for index in table[member]]
    if not on_demand:
        found["ProvisionedThroughput"] = _capacity(table)
    if "TableClassSummary" in table:
        found["TableClass"] = table["TableClassSummary"]["TableClass"]
    found["WarmThroughput"] = _warm(table)
    if "OnDemandThroughput" in table:
        found["OnDemandThroughput"] = table["OnDemandThroughput"]
    if (sse := table.get("SSEDescription")) is not None:
        found["SSESpecification"] = {"SSEEnabled": True, "SSEType": "KMS"}
        about = await call.request("kms", "DescribeKey", {"KeyId": sse["KMSMasterKeyArn"]})
        if about["KeyMetadata"]["KeyManager"] != "AWS":
            found["SSESpecification"]["KMSMasterKeyId"] = sse["KMSMasterKeyArn"]
    if "StreamSpecification" in table:
        view = table["StreamSpecification"]["StreamViewType"]
        found["StreamSpecification"] = {"StreamViewType": view}
        of_stream = await _policy(call, table["LatestStreamArn"])
        if of_stream is not None:
            document = {"PolicyDocument": orjson.loads(of_stream)}
            found["StreamSpecification"]["ResourcePolicy"] = document
    ttl = await call.request("dynamodb", "DescribeTimeToLive", {"TableName": name})
    if attribute := ttl["TimeToLiveDescription"].get("AttributeName"):
        found["TimeToLiveSpecification"] = {"AttributeName": attribute, "Enabled": True}
    recovery = await _recovery(call, name)
    if recovery["PointInTimeRecoveryStatus"] == "ENABLED":
        found["PointInTimeRecoverySpecification"] = {
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": recovery["RecoveryPeriodInDays"],
        }
    for arn, precision in (await _destinations(call, name)).items():
        found["KinesisStreamSpecification"] = {"StreamArn": arn, _PRECISION: precision}
    policy = await _policy(call, table["TableArn"])
    if policy is not None:
        found["ResourcePolicy"] = {"PolicyDocument": orjson.loads(policy)}
    listed = await call.request(
        "dynamodb", "ListTagsOfResource", {"ResourceArn": table["TableArn"]}
    )
    tags = [tag for tag in listed["Tags"] if not tag["Key"].startswith("aws:")]
    if tags:
        found["Tags"] = tags
    return found


def _index_properties(index: dict[str, Any], on_demand: bool) -> dict[str, Any]:
    made = {k: index[k] for k in ("IndexName", "KeySchema", "Projection")}
    if "ProvisionedThroughput" in index and not on_demand:
        made["ProvisionedThroughput"] = _capacity(index)
    if "OnDemandThroughput" in index:
        made["OnDemandThroughput"] = index["OnDemandThroughput"]
    if "WarmThroughput" in index:  # a local index has its table's
        made["WarmThroughput"] = _warm(index)
    return made


def _warm(thing: dict[str, Any]) -> dict[str, int]:
    return {k: thing["WarmThroughput"][k] for k in ("ReadUnitsPerSecond", "WriteUnitsPerSecond")}


def _capacity(thing: dict[str, Any]) -> dict[str, int]:
    return {
        k: thing["ProvisionedThroughput"][k] for k in ("ReadCapacityUnits", "WriteCapacityUnits")
    }


def _request(spec: Spec) -> dict[str, Any]:
    """What of the properties CreateTable takes as it is. Raises Fault for properties that are not offered."""
    properties = spec.properties
    request = {name: _typed(properties[name]) for name in _PASSED if name in properties}
    for index in request.get("GlobalSecondaryIndexes") or ():
        index.pop("ContributorInsightsSpecification", None)
    if "DeletionProtectionEnabled" in request:
        request["DeletionProtectionEnabled"] = _flag(request["DeletionProtectionEnabled"])
    if stream := properties.get("StreamSpecification"):
        request["StreamSpecification"] = {
            "StreamEnabled": True,
            "StreamViewType": stream["StreamViewType"],
        }
    if _flag((sse := properties.get("SSESpecification") or {}).get("SSEEnabled", False)):
        request["SSESpecification"] = {"Enabled": True, "SSEType": "KMS"}
        if "KMSMasterKeyId" in sse:
            request["SSESpecification"]["KMSMasterKeyId"] = sse["KMSMasterKeyId"]
    return request


_INTEGERS = frozenset(
    (
        "ReadCapacityUnits",
        "WriteCapacityUnits",
        "MaxReadRequestUnits",
        "MaxWriteRequestUnits",
        "ReadUnitsPerSecond",
        "WriteUnitsPerSecond",
        "RecoveryPeriodInDays",
    )
)


def _typed(value: Any, name: str = "") -> Any:
    """Numbers as numbers: templates write them as strings as often as not."""
    if isinstance(value, dict):
        return {k: _typed(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_typed(v) for v in value]
    if name in _INTEGERS:
        try:
            return int(value)
        except ValueError:
            raise invalid(f"AWS::DynamoDB::Table: {name} is not a number: {value}") from None
    return value


def _flag(value: Any) -> bool:
    return value is True or str(value).lower() == "true"


def _tags(spec: Spec) -> dict[str, str]:
    return {tag["Key"]: str(tag["Value"]) for tag in spec.properties.get("Tags") or ()}


async def _describe(call: Call, name: str) -> Response:
    response = await call.request("dynamodb", "DescribeTable", {"TableName": name})
    return response["Table"]  # type: ignore[no-any-return]  # the model's shape


def _made(described: Response) -> Made:
    attributes = {"Arn": described["TableArn"], "TableId": described["TableId"]}
    if "StreamSpecification" in described:
        attributes["StreamArn"] = described["LatestStreamArn"]
    return Made(described["TableName"], attributes)


async def _is_ours(call: Call, name: str, spec: Spec) -> bool:
    """Whether an earlier attempt at this very resource made the table."""
    described = await _describe(call, name)
    request = {"ResourceArn": described["TableArn"]}
    listed = await call.request("dynamodb", "ListTagsOfResource", request)
    tags = {tag["Key"]: tag["Value"] for tag in listed["Tags"]}
    return tags.get(_STACK) == spec.stack_id and tags.get(_LOGICAL) == spec.logical_id


async def _update_settings(
    call: Call, name: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    current = await _describe(call, name)
    request: dict[str, Any] = {}
    is_on_demand = current.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    mode = after.get("BillingMode", "PROVISIONED")
    if (mode == "PAY_PER_REQUEST") is not is_on_demand:
        request["BillingMode"] = mode
    units = ("ReadCapacityUnits", "WriteCapacityUnits")
    wanted = after.get("ProvisionedThroughput")
    if wanted and any(wanted[u] != current["ProvisionedThroughput"][u] for u in units):
        request["ProvisionedThroughput"] = wanted
    there = {i["IndexName"]: i for i in current.get("GlobalSecondaryIndexes", ())}
    updates = [
        {"Update": {"IndexName": index["IndexName"], **change}}
        for index in after.get("GlobalSecondaryIndexes") or ()
        if index["IndexName"] in there
        and (change := _index_change(there[index["IndexName"]], index))
    ]
    if updates:
        request["GlobalSecondaryIndexUpdates"] = updates
    protected = after.get("DeletionProtectionEnabled", False)
    if protected != current["DeletionProtectionEnabled"]:
        request["DeletionProtectionEnabled"] = protected
    for member in ("TableClass", "OnDemandThroughput", "WarmThroughput"):
        if after.get(member) != before.get(member) and (
            member != "WarmThroughput" or member in after
        ):
            default = {"TableClass": "STANDARD"}
            request[member] = after.get(member, default.get(member, {}))
    if request:
        await call.request("dynamodb", "UpdateTable", {"TableName": name, **request})


def _index_change(held: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """What an UpdateTable must say of an index for its capacity to be what is wanted."""
    change: dict[str, Any] = {}
    throughput = wanted.get("ProvisionedThroughput")
    if throughput and any(held["ProvisionedThroughput"][u] != throughput[u] for u in throughput):
        change["ProvisionedThroughput"] = throughput
    limits, known = wanted.get("OnDemandThroughput") or {}, held.get("OnDemandThroughput") or {}
    if any(known.get(unit, -1) != limits.get(unit, -1) for unit in (*limits, *known)):
        change["OnDemandThroughput"] = dict.fromkeys(known, -1) | limits
    warm = wanted.get("WarmThroughput") or {}
    if any(held["WarmThroughput"][unit] < warm[unit] for unit in warm):
        change["WarmThroughput"] = warm
    return change


async def _drop_indexes(call: Call, name: str, after: dict[str, Any]) -> None:
    """Those that are not wanted, or wanted otherwise; first, for they have a say in what the table may be."""
    current = await _describe(call, name)
    wanted = {i["IndexName"]: i for i in after.get("GlobalSecondaryIndexes") or ()}
    for index in current.get("GlobalSecondaryIndexes", ()):
        index_name = index["IndexName"]
        if index_name not in wanted or _form(index) != _form(wanted[index_name]):
            change = {"Delete": {"IndexName": index_name}}
            request = {"TableName": name, "GlobalSecondaryIndexUpdates": [change]}
            await call.request("dynamodb", "UpdateTable", request)


async def _make_indexes(call: Call, name: str, after: dict[str, Any]) -> None:
    """Those that are not there, one at a time."""
    current = await _describe(call, name)
    there = {i["IndexName"] for i in current.get("GlobalSecondaryIndexes", ())}
    for index in after.get("GlobalSecondaryIndexes") or ():
        if index["IndexName"] not in there:
            request = {
                "TableName": name,
                "AttributeDefinitions": after["AttributeDefinitions"],
                "GlobalSecondaryIndexUpdates": [{"Create": index}],
            }
            await call.request("dynamodb", "UpdateTable", request)
        await _wait_for_indexes(call, name)


def _form(index: dict[str, Any]) -> Any:
    projection = index["Projection"]
    return (
        index["KeySchema"],
        projection["ProjectionType"],
        sorted(projection.get("NonKeyAttributes") or ()),
    )


async def _wait_for_indexes(call: Call, name: str) -> None:
    waited_s, step_s = 0.0, 0.02
    while True:
        described = await _describe(call, name)
        indexes = described.get("GlobalSecondaryIndexes", ())
        if all(index["IndexStatus"] == "ACTIVE" for index in indexes):
            return
        if waited_s > WAIT_S_MAX:
            raise invalid(f"An index of table {name} was not filled in {WAIT_S_MAX:.0f} s")
        await call.world.sleep(step_s)
        waited_s += step_s
        step_s = min(step_s * 1.5, _STEP_S_MAX)


async def _set_time_to_live(call: Call, name: str, wanted: dict[str, Any]) -> None:
    """One change at a time: another attribute takes two updates of the stack, an hour apart, as AWS says.

    Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-table-timetolivespecification.html
    """
    attribute = wanted.get("AttributeName") if _flag(wanted.get("Enabled", False)) else None
    response = await call.request("dynamodb", "DescribeTimeToLive", {"TableName": name})
    current = response["TimeToLiveDescription"].get("AttributeName")
    if current == attribute:
        return
    change = {"Enabled": attribute is not None, "AttributeName": attribute or current}
    request = {"TableName": name, "TimeToLiveSpecification": change}
    await call.request("dynamodb", "UpdateTimeToLive", request)


# -- tables made of files

_OF_IMPORTS = (
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "OnDemandThroughput",
    "ProvisionedThroughput",
    "SSESpecification",
    "TableName",
)


async def _imported(call: Call, spec: Spec, source: dict[str, Any], wanted: dict[str, Any]) -> Made:
    """The table as ImportTable makes it, then what ImportTable does not take. A repeat finds the same import by its token."""
    name = wanted["TableName"]
    request: dict[str, Any] = {
        "ClientToken": spec.token,
        "TableCreationParameters": {k: v for k, v in wanted.items() if k in _OF_IMPORTS},
        **source,
    }
    made = await call.request("dynamodb", "ImportTable", request)
    arn = {"ImportArn": made["ImportTableDescription"]["ImportArn"]}
    step_s = 0.02
    while True:
        described = await call.request("dynamodb", "DescribeImport", arn)
        said = described["ImportTableDescription"]
        if said["ImportStatus"] != "IN_PROGRESS":
            break
        await call.world.sleep(step_s)
        step_s = min(step_s * 1.5, _STEP_S_MAX)
    if said["ImportStatus"] != "COMPLETED":
        raise invalid(f"The import failed: {said['FailureCode']}: {said['FailureMessage']}")
    with created(name):
        table = await _describe(call, name)
        tags = {"ResourceArn": table["TableArn"], "Tags": wanted["Tags"]}
        await call.request("dynamodb", "TagResource", tags)
        await _update_settings(call, name, {}, wanted)
        await _set_stream(call, name, spec.properties)
        await set_extras(call, name, spec.properties)
    return _made(await _describe(call, name))


# -- what is not part of CreateTable


async def key_arn(call: Call, key: str) -> str:
    about = await call.request("kms", "DescribeKey", {"KeyId": key})
    return str(about["KeyMetadata"]["Arn"])


async def other_key(call: Call, name: str, properties: dict[str, Any]) -> dict[str, Any] | None:
    """The SSESpecification that UpdateTable needs for the table to be as ``properties`` say; None: it is."""
    wanted: dict[str, Any] = properties.get("SSESpecification") or {}
    held = (await _describe(call, name)).get("SSEDescription")
    if not _flag(wanted.get("SSEEnabled", False)):
        return {"Enabled": False} if held else None
    key = wanted.get("KMSMasterKeyId", MANAGED)
    if held and held["KMSMasterKeyArn"] == await key_arn(call, key):
        return None
    return {"Enabled": True, "SSEType": "KMS"} | ({} if key == MANAGED else {"KMSMasterKeyId": key})


async def _set_encryption(call: Call, name: str, properties: dict[str, Any]) -> None:
    """The last of an update: until what is stored has followed, the table takes no other change."""
    if (wanted := await other_key(call, name, properties)) is not None:
        request = {"TableName": name, "SSESpecification": wanted}
        await call.request("dynamodb", "UpdateTable", request)


_PRECISION = "ApproximateCreationDateTimePrecision"


async def set_extras(call: Call, name: str, properties: dict[str, Any]) -> None:
    """Bring all that has operations of its own from whatever it is to what ``properties`` say."""
    await _set_time_to_live(call, name, properties.get("TimeToLiveSpecification") or {})
    await _set_recovery(call, name, properties.get("PointInTimeRecoverySpecification") or {})
    await _set_destination(call, name, properties.get("KinesisStreamSpecification") or {})
    table = await _describe(call, name)
    await _set_policy(call, table["TableArn"], properties.get("ResourcePolicy") or {})
    if "StreamSpecification" in table:
        stream = properties.get("StreamSpecification") or {}
        await _set_policy(call, table["LatestStreamArn"], stream.get("ResourcePolicy") or {})


async def _set_stream(call: Call, name: str, properties: dict[str, Any]) -> None:
    """Another view type is another stream."""
    wanted = (properties.get("StreamSpecification") or {}).get("StreamViewType")
    table = await _describe(call, name)
    current = table.get("StreamSpecification", {}).get("StreamViewType")
    if current == wanted:
        return
    if current is not None:
        off = {"TableName": name, "StreamSpecification": {"StreamEnabled": False}}
        await call.request("dynamodb", "UpdateTable", off)
    if wanted is not None:
        on = {"StreamEnabled": True, "StreamViewType": wanted}
        await call.request(
            "dynamodb", "UpdateTable", {"TableName": name, "StreamSpecification": on}
        )


async def _recovery(call: Call, name: str) -> dict[str, Any]:
    found = await call.request("dynamodb", "DescribeContinuousBackups", {"TableName": name})
    recovery: dict[str, Any] = found["ContinuousBackupsDescription"][
        "PointInTimeRecoveryDescription"
    ]
    return recovery


async def _set_recovery(call: Call, name: str, wanted: dict[str, Any]) -> None:
    enabled = _flag(wanted.get("PointInTimeRecoveryEnabled", False))
    days = int(wanted.get("RecoveryPeriodInDays", 35))
    current = await _recovery(call, name)
    if enabled is (current["PointInTimeRecoveryStatus"] == "ENABLED") and (
        not enabled or current["RecoveryPeriodInDays"] == days
    ):
        return
    specification: dict[str, Any] = {"PointInTimeRecoveryEnabled": enabled}
    if enabled:
        specification["RecoveryPeriodInDays"] = days
    request = {"TableName": name, "PointInTimeRecoverySpecification": specification}
    await call.request("dynamodb", "UpdateContinuousBackups", request)


async def _destinations(call: Call, name: str) -> dict[str, str]:
    """Enabled Kinesis streams and their precisions."""
    found = await call.request(
        "dynamodb", "DescribeKinesisStreamingDestination", {"TableName": name}
    )
    return {
        one["StreamArn"]: one[_PRECISION]
        for one in found["KinesisDataStreamDestinations"]
        if one["DestinationStatus"] == "ACTIVE"
    }


async def _set_destination(call: Call, name: str, wanted: dict[str, Any]) -> None:
    arn = wanted.get("StreamArn")
    precision = wanted.get(_PRECISION, "MILLISECOND")
    current = await _destinations(call, name)
    for other in current:
        if other != arn:
            off = {"TableName": name, "StreamArn": other}
            await call.request("dynamodb", "DisableKinesisStreamingDestination", off)
    if arn is None or current.get(arn) == precision:
        return
    verb = "Update" if arn in current else "Enable"
    request: dict[str, Any] = {
        "TableName": name,
        "StreamArn": arn,
        f"{verb}KinesisStreamingConfiguration": {_PRECISION: precision},
    }
    await call.request("dynamodb", f"{verb}KinesisStreamingDestination", request)


async def _policy(call: Call, arn: str) -> str | None:
    try:
        found = await call.request("dynamodb", "GetResourcePolicy", {"ResourceArn": arn})
    except Fault as fault:
        if fault.code == "PolicyNotFoundException":
            return None
        raise
    return str(found["Policy"])


async def _set_policy(call: Call, arn: str, wanted: dict[str, Any]) -> None:
    document = wanted.get("PolicyDocument")
    current = await _policy(call, arn)
    if document is None:
        if current is not None:
            await call.request("dynamodb", "DeleteResourcePolicy", {"ResourceArn": arn})
        return
    text = document if isinstance(document, str) else orjson.dumps(document).decode()
    if text != current:
        request = {"ResourceArn": arn, "Policy": text}
        await call.request("dynamodb", "PutResourcePolicy", request)
