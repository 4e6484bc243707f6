"""AWS::DynamoDB::Table: Ref is the table's name, GetAtt Arn and TableId.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
Missing, refused by name when a template asks for them: streams, point-in-time recovery, imports, Kinesis
streaming, contributor insights, resource policies, warm throughput, customer KMS keys.
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Response, Spec
from stratolite.services.dynamodb.faults import invalid

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
)
_REFUSED = (
    "StreamSpecification",
    "ImportSourceSpecification",
    "KinesisStreamSpecification",
    "ResourcePolicy",
    "WarmThroughput",
)
_STACK = "aws:cloudformation:stack-id"
_LOGICAL = "aws:cloudformation:logical-id"


class TableResource(Resource):
    type = "AWS::DynamoDB::Table"
    create_only = frozenset(
        ("TableName", "KeySchema", "LocalSecondaryIndexes", "ImportSourceSpecification")
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = _request(spec)
        name = spec.properties.get("TableName") or spec.generated_name(255)
        tags = {**_tags(spec), _STACK: spec.stack_id, _LOGICAL: spec.logical_id}
        wanted |= {"TableName": name, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        try:
            await call.request("dynamodb", "CreateTable", wanted)
        except Fault as fault:
            if fault.code != "ResourceInUseException" or not await _is_ours(call, name, spec):
                raise
        await _set_time_to_live(call, name, spec)
        return _made(await _describe(call, name))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = _request(old), _request(new)
        await _update_settings(call, physical_id, before, after)
        await _update_indexes(call, physical_id, after)
        described = await _describe(call, physical_id)
        gone, kept = _tags(old), _tags(new)
        if removed := [key for key in gone if key not in kept]:
            request = {"ResourceArn": described["TableArn"], "TagKeys": removed}
            await call.request("dynamodb", "UntagResource", request)
        if kept:
            listed = [{"Key": k, "Value": v} for k, v in kept.items()]
            request = {"ResourceArn": described["TableArn"], "Tags": listed}
            await call.request("dynamodb", "TagResource", request)
        await _set_time_to_live(call, physical_id, new)
        return _made(await _describe(call, physical_id))

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await call.request("dynamodb", "DeleteTable", {"TableName": physical_id})
        except Fault as fault:
            if fault.code != "ResourceNotFoundException":
                raise


def _request(spec: Spec) -> dict[str, Any]:
    """What of the properties CreateTable takes as it is. Raises Fault for properties that are not offered."""
    properties = spec.properties
    for name in _REFUSED:
        if properties.get(name):
            raise invalid(f"AWS::DynamoDB::Table: {name} is not offered by Stratolite")
    for name, member in (
        ("PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"),
        ("ContributorInsightsSpecification", "Enabled"),
    ):
        if _flag((properties.get(name) or {}).get(member, False)):
            raise invalid(f"AWS::DynamoDB::Table: {name} is not offered by Stratolite")
    request = {name: _typed(properties[name]) for name in _PASSED if name in properties}
    for index in request.get("GlobalSecondaryIndexes") or ():
        if (index.pop("ContributorInsightsSpecification", None) or {}).get("Enabled"):
            raise invalid(
                "AWS::DynamoDB::Table: GlobalSecondaryIndexes.ContributorInsightsSpecification "
                "is not offered by Stratolite"
            )
    if "DeletionProtectionEnabled" in request:
        request["DeletionProtectionEnabled"] = _flag(request["DeletionProtectionEnabled"])
    if sse := properties.get("SSESpecification"):
        request["SSESpecification"] = {
            "Enabled": _flag(sse.get("SSEEnabled", False)),
            **{k: sse[k] for k in ("SSEType", "KMSMasterKeyId") if k in sse},
        }
    return request


_INTEGERS = frozenset(
    ("ReadCapacityUnits", "WriteCapacityUnits", "MaxReadRequestUnits", "MaxWriteRequestUnits")
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
    return Made(
        described["TableName"],
        {"Arn": described["TableArn"], "TableId": described["TableId"]},
    )


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
    throughputs = {
        index["IndexName"]: index["ProvisionedThroughput"]
        for index in after.get("GlobalSecondaryIndexes") or ()
        if index.get("ProvisionedThroughput")
    }
    updates = [
        {
            "Update": {
                "IndexName": index["IndexName"],
                "ProvisionedThroughput": throughputs[index["IndexName"]],
            }
        }
        for index in current.get("GlobalSecondaryIndexes", ())
        if index["IndexName"] in throughputs
        and any(
            index["ProvisionedThroughput"][u] != throughputs[index["IndexName"]][u] for u in units
        )
    ]
    if updates:
        request["GlobalSecondaryIndexUpdates"] = updates
    protected = after.get("DeletionProtectionEnabled", False)
    if protected != current["DeletionProtectionEnabled"]:
        request["DeletionProtectionEnabled"] = protected
    for member in ("TableClass", "SSESpecification", "OnDemandThroughput"):
        if after.get(member) != before.get(member):
            default = {"TableClass": "STANDARD", "SSESpecification": {"Enabled": False}}
            request[member] = after.get(member, default.get(member, {}))
    if request:
        await call.request("dynamodb", "UpdateTable", {"TableName": name, **request})


async def _update_indexes(call: Call, name: str, after: dict[str, Any]) -> None:
    """Drop and create global indexes until the table has those wanted, one at a time."""
    current = await _describe(call, name)
    wanted = {i["IndexName"]: i for i in after.get("GlobalSecondaryIndexes") or ()}
    there = {i["IndexName"]: i for i in current.get("GlobalSecondaryIndexes", ())}
    for index_name, index in there.items():
        if index_name not in wanted or _form(index) != _form(wanted[index_name]):
            change = {"Delete": {"IndexName": index_name}}
            await call.request(
                "dynamodb",
                "UpdateTable",
                {"TableName": name, "GlobalSecondaryIndexUpdates": [change]},
            )
            there[index_name] = {}
    for index_name, index in wanted.items():
        if not there.get(index_name):
            await call.request(
                "dynamodb",
                "UpdateTable",
                {
                    "TableName": name,
                    "AttributeDefinitions": after["AttributeDefinitions"],
                    "GlobalSecondaryIndexUpdates": [{"Create": index}],
                },
            )
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


async def _set_time_to_live(call: Call, name: str, spec: Spec) -> None:
    wanted = spec.properties.get("TimeToLiveSpecification") or {}
    attribute = wanted.get("AttributeName") if _flag(wanted.get("Enabled", False)) else None
    response = await call.request("dynamodb", "DescribeTimeToLive", {"TableName": name})
    current = response["TimeToLiveDescription"].get("AttributeName")
    if current == attribute:
        return
    for enabled, other in ((False, current), (True, attribute)):
        if other is not None:
            change = {"Enabled": enabled, "AttributeName": other}
            await call.request(
                "dynamodb",
                "UpdateTimeToLive",
                {"TableName": name, "TimeToLiveSpecification": change},
            )
