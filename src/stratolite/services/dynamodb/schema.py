"""What tables may look like: the rules of CreateTable and UpdateTable, and the descriptions they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.dynamodb.faults import invalid, not_offered
from stratolite.services.dynamodb.table import Record

GLOBAL_INDEXES_COUNT_MAX = 20
LOCAL_INDEXES_COUNT_MAX = 5
UNITS_MAX = 1_000_000_000_000
PROJECTED_COUNT_MAX = 100
KEY_ATTRIBUTES_COUNT_MAX = 4
"""Of a global index's hash key, and as many of its range key.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.DesignPattern.MultiAttributeKeys.html
"""
_INVALID = "One or more parameter values were invalid: "

Wanted = Mapping[str, Any]


def check_offered(operation: str, request: Wanted) -> None:
    """Raise for parameters of CreateTable and UpdateTable that mean something we do not do."""
    for name in (
        "VectorIndexes",
        "VectorIndexUpdates",
        "GlobalTableSourceArn",
        "GlobalTableSettingsReplicationMode",
        "DisassociationProtectionEnabled",
    ):
        if request.get(name):
            raise not_offered(operation, name)


def check_stream(request: Wanted) -> None:
    """Raise where a StreamSpecification says half of what it must."""
    wanted = request.get("StreamSpecification")
    if wanted is None:
        return
    enabled, view = wanted.get("StreamEnabled"), wanted.get("StreamViewType")
    if enabled and view is None:
        raise invalid(
            _INVALID
            + "StreamEnabled has been set to true, but StreamViewType has not been specified"
        )
    if not enabled and view is not None:
        raise invalid(
            _INVALID + "StreamViewType cannot be specified when StreamEnabled is set to false"
        )


def check_create(request: Wanted) -> None:
    """The rules of CreateTable beyond its form, in the order DynamoDB reports them."""
    on_demand = request.get("BillingMode") == "PAY_PER_REQUEST"
    throughput = request.get("ProvisionedThroughput")
    if on_demand and throughput:
        raise invalid(
            _INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified "
            "when BillingMode is PAY_PER_REQUEST"
        )
    if not on_demand:
        if not throughput:
            raise invalid(
                _INVALID + "ReadCapacityUnits and WriteCapacityUnits must both be specified "
                "when BillingMode is PROVISIONED"
            )
        check_units(throughput)
    definitions = request["AttributeDefinitions"]
    defined = [d["AttributeName"] for d in definitions]
    schema = request["KeySchema"]
    if len(schema) > len(definitions):
        raise invalid("Invalid KeySchema: Some index key attribute have no definition")
    _check_schema(schema, defined)
    used = {k["AttributeName"] for k in schema}
    names: set[str] = set()
    if (local := request.get("LocalSecondaryIndexes")) is not None:
        _check_local(local, schema, defined, names)
    if (others := request.get("GlobalSecondaryIndexes")) is not None:
        if not others:
            raise invalid(_INVALID + "List of GlobalSecondaryIndexes is empty")
        for index in others:
            check_global(index, defined, names, on_demand=on_demand)
        if len(others) > GLOBAL_INDEXES_COUNT_MAX:
            raise invalid(
                f"{_INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_COUNT_MAX}"
            )
    for index in (*(local or ()), *(others or ())):
        used |= {k["AttributeName"] for k in index["KeySchema"]}
    check_definitions(definitions, used, has_indexes=bool(local or others))


def check_definitions(
    definitions: list[dict[str, str]], used: set[str], *, has_indexes: bool
) -> None:
    defined = [d["AttributeName"] for d in definitions]
    for i, name in enumerate(defined):
        if name in defined[:i]:
            raise invalid("Cannot have two attributes with the same name")
    if set(defined) != used:
        if not has_indexes:
            raise invalid(
                _INVALID + "Number of attributes in KeySchema does not exactly match number of "
                "attributes defined in AttributeDefinitions"
            )
        raise invalid(
            f"{_INVALID}Some AttributeDefinitions are not used. AttributeDefinitions: [{', '.join(defined)}], "
            f"keys used: [{', '.join(sorted(used))}]"
        )


def check_units(throughput: Wanted) -> None:
    for name in ("ReadCapacityUnits", "WriteCapacityUnits"):
        if throughput[name] > UNITS_MAX:
            raise invalid(f"Given value {throughput[name]} for {name} is out of bounds")


def _check_schema(
    schema: list[dict[str, str]], defined: list[str], *, is_global: bool = False
) -> None:
    keys = [k["AttributeName"] for k in schema]
    if any(key not in defined for key in keys):
        raise invalid(
            f"{_INVALID}Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(keys)}], AttributeDefinitions: [{', '.join(defined)}]"
        )
    if len(keys) == 2 and keys[0] == keys[1]:
        raise invalid(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name"
        )
    if schema[0]["KeyType"] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if is_global:
        _check_wide(schema, keys)
    elif len(schema) == 2 and schema[1]["KeyType"] != "RANGE":
        raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def _check_wide(schema: list[dict[str, str]], keys: list[str]) -> None:
    """Up to four attributes of the hash key, then up to four of the range key. The words are ours."""
    kinds = [k["KeyType"] for k in schema]
    for kind in ("HASH", "RANGE"):
        if (count := kinds.count(kind)) > KEY_ATTRIBUTES_COUNT_MAX:
            raise invalid(
                f"Invalid KeySchema: {count} {kind} key attributes exceed the limit of {KEY_ATTRIBUTES_COUNT_MAX}"
            )
    if kinds != sorted(kinds):
        raise invalid("Invalid KeySchema: All HASH key attributes must come before RANGE ones")
    if twice := [key for i, key in enumerate(keys) if key in keys[:i]]:
        raise invalid(f"Invalid KeySchema: Duplicate key attribute: {twice[0]}")


def _check_local(
    indexes: list[dict[str, Any]], table: list[dict[str, str]], defined: list[str], names: set[str]
) -> None:
    if not indexes:
        raise invalid(_INVALID + "List of LocalSecondaryIndexes is empty")
    if len(table) != 2:
        raise invalid(
            _INVALID + "Table KeySchema does not have a range key, which is required when "
            "specifying a LocalSecondaryIndex"
        )
    for index in indexes:
        name, schema = index["IndexName"], index["KeySchema"]
        _check_schema(schema, defined)
        if len(schema) != 2:
            raise invalid(f"{_INVALID}Index KeySchema does not have a range key for index: {name}")
        hash_name, table_hash = schema[0]["AttributeName"], table[0]["AttributeName"]
        if hash_name != table_hash:
            raise invalid(
                f"{_INVALID}Index KeySchema does not have the same leading hash key as table KeySchema "
                f"for index: {name}. index hash key: {hash_name}, table hash key: {table_hash}"
            )
        _check_projection(index)
        _check_new_name(name, names)
    if len(indexes) > LOCAL_INDEXES_COUNT_MAX:
        raise invalid(
            f"{_INVALID}Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_COUNT_MAX}"
        )


def check_global(index: Wanted, defined: list[str], names: set[str], *, on_demand: bool) -> None:
    name = index["IndexName"]
    _check_schema(index["KeySchema"], defined, is_global=True)
    _check_projection(index)
    throughput = index.get("ProvisionedThroughput")
    if on_demand and throughput:
        raise invalid(
            f"{_INVALID}ProvisionedThroughput should not be specified for index: {name} "
            "when BillingMode is PAY_PER_REQUEST"
        )
    if not on_demand:
        if not throughput:
            raise invalid(f"{_INVALID}ProvisionedThroughput must be specified for index: {name}")
        check_units(throughput)
    _check_new_name(name, names)


def _check_projection(index: Wanted) -> None:
    projection = index["Projection"]
    kind, others = projection.get("ProjectionType"), projection.get("NonKeyAttributes")
    if kind is None:
        raise invalid(_INVALID + "Unknown ProjectionType: null")
    if others and kind != "INCLUDE":
        raise invalid(f"{_INVALID}ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and not others:
        raise invalid(f"{_INVALID}ProjectionType is INCLUDE, but NonKeyAttributes is not specified")


def _check_new_name(name: str, names: set[str]) -> None:
    if name in names:
        raise invalid(f"{_INVALID}Duplicate index name: {name}")
    names.add(name)


# -- descriptions


def described_throughput(wanted: Wanted | None) -> dict[str, int]:
    wanted = wanted or {}
    return {
        "NumberOfDecreasesToday": 0,
        "ReadCapacityUnits": wanted.get("ReadCapacityUnits", 0),
        "WriteCapacityUnits": wanted.get("WriteCapacityUnits", 0),
    }


def new_record(call: Call, request: Wanted, table_id: str, arn: str) -> Record:
    """The stored record of a table to be created; raises what DynamoDB would for its tags."""
    now_s = round(call.tx.time_s, 3)
    number = call.tx.stamp()
    description: dict[str, Any] = {
        "AttributeDefinitions": request["AttributeDefinitions"],
        "TableName": request["TableName"],
        "KeySchema": request["KeySchema"],
        "TableStatus": "ACTIVE",
        "CreationDateTime": now_s,
        "ProvisionedThroughput": described_throughput(request.get("ProvisionedThroughput")),
        "TableArn": arn,
        "TableId": table_id,
        "DeletionProtectionEnabled": request.get("DeletionProtectionEnabled", False),
    }
    if request.get("BillingMode") == "PAY_PER_REQUEST":
        description["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": now_s,
        }
    set_options(description, request, now_s)
    record: Record = {"Description": description, "Key": number, "Indexes": {}, "Tags": {}}
    for index in request.get("LocalSecondaryIndexes") or ():
        name = index["IndexName"]
        record["Indexes"][name] = call.tx.stamp()
        description.setdefault("LocalSecondaryIndexes", []).append(
            {
                "IndexName": name,
                "KeySchema": index["KeySchema"],
                "Projection": index["Projection"],
                "IndexArn": f"{arn}/index/{name}",
            }
        )
    for index in request.get("GlobalSecondaryIndexes") or ():
        add_global(call, record, index, "ACTIVE")
    return record


WARM_ON_DEMAND = {"ReadUnitsPerSecond": 12_000, "WriteUnitsPerSecond": 4_000}


def warm(thing: Wanted, table: Wanted) -> dict[str, Any]:
    """WarmThroughput of a table or global index: what it has been given, else what its mode begins with.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html
    """
    given = thing.get("WarmThroughput")
    if given is None:
        given = WARM_ON_DEMAND
        if table.get("BillingModeSummary", {}).get("BillingMode") != "PAY_PER_REQUEST":
            throughput = thing["ProvisionedThroughput"]
            given = {
                "ReadUnitsPerSecond": throughput["ReadCapacityUnits"],
                "WriteUnitsPerSecond": throughput["WriteCapacityUnits"],
            }
    return {**given, "Status": "ACTIVE"}


def set_warm(thing: dict[str, Any], wanted: Wanted, table: Wanted, what: str) -> None:
    """Raises for less than there is: it only grows."""
    current = warm(thing, table)
    for name in ("ReadUnitsPerSecond", "WriteUnitsPerSecond"):
        if wanted.get(name, current[name]) < current[name]:
            raise invalid(
                f"{_INVALID}Requested {name} for WarmThroughput for {what} is lower than current WarmThroughput, "
                "decreasing WarmThroughput is not supported"
            )
    thing["WarmThroughput"] = {name: wanted.get(name, current[name]) for name in WARM_ON_DEMAND}


def set_options(description: dict[str, Any], request: Wanted, now_s: float) -> None:
    """TableClass, OnDemandThroughput and WarmThroughput as DescribeTable shows them."""
    if (warmed := request.get("WarmThroughput")) is not None:
        set_warm(description, warmed, description, "table")
    if (table_class := request.get("TableClass")) is not None:
        description["TableClassSummary"] = {"TableClass": table_class, "LastUpdateDateTime": now_s}
    if (on_demand := request.get("OnDemandThroughput")) is not None:
        description["OnDemandThroughput"] = on_demand


def add_global(call: Call, record: Record, index: Wanted, status: str) -> None:
    """Describe a new global index in ``record`` and give it a number of its own."""
    name, description = index["IndexName"], record["Description"]
    record["Indexes"][name] = call.tx.stamp()
    made = {
        "IndexName": name,
        "KeySchema": index["KeySchema"],
        "Projection": index["Projection"],
        "IndexStatus": status,
        "ProvisionedThroughput": described_throughput(index.get("ProvisionedThroughput")),
        "IndexArn": f"{description['TableArn']}/index/{name}",
    }
    if status == "CREATING":
        made["Backfilling"] = True
    if (on_demand := index.get("OnDemandThroughput")) is not None:
        made["OnDemandThroughput"] = on_demand
    if (warmed := index.get("WarmThroughput")) is not None:
        set_warm(made, warmed, description, f"index {name}")
    description.setdefault("GlobalSecondaryIndexes", []).append(made)


def check_tags(tags: Mapping[str, str], *, ours: bool = False) -> None:
    """``ours``: the call comes from another service here, which may set tags that start with aws:."""
    if len(tags) > 50:
        raise invalid(f"{_INVALID}Too many tags: the limit is 50 for a resource")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(
                f"{_INVALID}Tag keys have 1 to 128 characters, tag values up to 256; tag={key[:128]}"
            )
        if key.lower().startswith("aws:") and not ours:
            raise Fault("ValidationException", f"Tag keys may not start with aws:; tag={key}")
