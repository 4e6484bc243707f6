"""The forms requests may have: types first (SerializationException), then all constraints in one answer.

DynamoDB checks a request's members before it looks at anything else and reports up to ten errors at once:
"2 validation errors detected: Value 'x' at 'select' failed to satisfy constraint: ...; Value ...". A member that
is null counts as absent, one that is unknown is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.services.dynamodb.faults import invalid, malformed
from stratolite.services.dynamodb.values import MAP_IS_LIST, check_type

ERRORS_COUNT_MAX = 10
_KNOWN_COUNT_MAX = 1000
_KNOWN_SIZE_MAX = 300


class Shape:
    """``ok`` is the quick test; ``clean`` raises for wrong types and drops nulls; ``errors`` explains."""

    required = False

    def ok(self, value: Any) -> bool:
        raise NotImplementedError

    def clean(self, value: Any) -> Any:
        raise NotImplementedError

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        raise NotImplementedError


def _failed(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_shown(value)}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return str(value)


class Text(Shape):
    def __init__(
        self,
        *,
        minimum: int = 0,
        maximum: int = 1 << 30,
        pattern: str = "",
        enum: tuple[str, ...] = (),
        required: bool = False,
    ) -> None:
        self.minimum, self.maximum, self.pattern, self.enum = minimum, maximum, pattern, enum
        self.match = re.compile(pattern).fullmatch if pattern else None
        self.required = required

    def ok(self, value: Any) -> bool:
        if type(value) is not str:
            return False
        if self.enum:
            return value in self.enum
        return self.minimum <= len(value) <= self.maximum and (
            self.match is None or self.match(value) is not None
        )

    def clean(self, value: Any) -> str:
        if type(value) is str:
            return value
        raise malformed(_cannot(value, "String"))

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        if self.enum and value not in self.enum:
            wanted = f"Member must satisfy enum value set: [{', '.join(self.enum)}]"
            found.append(_failed(value, path, wanted))
        if len(value) < self.minimum:
            found.append(
                _failed(
                    value, path, f"Member must have length greater than or equal to {self.minimum}"
                )
            )
        if len(value) > self.maximum:
            found.append(
                _failed(
                    value, path, f"Member must have length less than or equal to {self.maximum}"
                )
            )
        if self.match is not None and value and not self.match(value):
            found.append(
                _failed(
                    value, path, f"Member must satisfy regular expression pattern: {self.pattern}"
                )
            )


def _cannot(value: Any, wanted: str) -> str:
    if isinstance(value, bool):
        return f"{str(value).upper()}_VALUE cannot be converted to {wanted}"
    if isinstance(value, int):
        return f"NUMBER_VALUE cannot be converted to {wanted}"
    if isinstance(value, float):
        return f"DECIMAL_VALUE cannot be converted to {wanted}"
    if isinstance(value, str):
        return f"STRING_VALUE cannot be converted to {wanted}"
    if isinstance(value, list):
        return f"Unrecognized collection type class java.lang.{wanted}"
    return "Start of structure or map found where not expected"


class Integer(Shape):
    def __init__(
        self,
        minimum: int = -(2**63),
        maximum: int = 2**63,
        *,
        required: bool = False,
        label: str = "",
    ) -> None:
        self.minimum, self.maximum, self.required, self.label = minimum, maximum, required, label

    def ok(self, value: Any) -> bool:
        return type(value) is int and self.minimum <= value <= self.maximum

    def clean(self, value: Any) -> int:
        if type(value) is int:
            return value
        if type(value) is float and abs(value) < 2**63:
            return int(value)
        raise malformed(_cannot(value, "Integer"))

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        if value < self.minimum:
            wanted = f"Member must have value greater than or equal to {self.minimum}"
        elif value > self.maximum:
            wanted = f"Member must have value less than or equal to {self.maximum}"
        else:
            return
        if self.label:  # Query spells it so
            found.append(f"Value at '{self.label}' failed to satisfy constraint: {wanted}")
        else:
            found.append(_failed(value, path, wanted))


class Double(Shape):
    def __init__(self, *, required: bool = False) -> None:
        self.required = required

    def ok(self, value: Any) -> bool:
        return type(value) in (int, float)

    def clean(self, value: Any) -> float:
        if self.ok(value):
            return float(value)
        raise malformed(_cannot(value, "Double"))

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        return


class Flag(Shape):
    def __init__(self, *, required: bool = False) -> None:
        self.required = required

    def ok(self, value: Any) -> bool:
        return type(value) is bool

    def clean(self, value: Any) -> bool:
        if type(value) is bool:
            return value
        if type(value) is str and value.upper() in ("TRUE", "FALSE"):
            return value.upper() == "TRUE"
        raise malformed(_cannot(value, "Boolean"))

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        return


class Attributes(Shape):
    """Checked by others: a map of attribute values."""

    def __init__(self, *, required: bool = False) -> None:
        self.required = required

    def ok(self, value: Any) -> bool:
        return type(value) is dict

    def clean(self, value: Any) -> Any:
        if type(value) is dict:
            for inner in value.values():
                check_type(inner)
            return value
        raise malformed(MAP_IS_LIST if isinstance(value, list) else "Unexpected field type")

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        return


class OneValue(Attributes):
    """The same of a single attribute value."""

    def clean(self, value: Any) -> Any:
        check_type(value)
        return value


class Structure(Shape):
    """``label`` is the name DynamoDB shows it by inside a list."""

    def __init__(
        self, members: Mapping[str, Shape], *, required: bool = False, label: str = ""
    ) -> None:
        self.members, self.required, self.label = members, required, label
        self.needed = [name for name, shape in members.items() if shape.required]

    def ok(self, value: Any) -> bool:
        if type(value) is not dict:
            return False
        members = self.members
        for name, inner in value.items():
            shape = members.get(name)
            if shape is not None and not shape.ok(inner):
                return False
        for name in self.needed:  # noqa: SIM110 - a generator costs more than the rest of this
            if name not in value:
                return False
        return True

    def clean(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise malformed(
                "Unrecognized collection type class com.amazonaws.dynamodb.v20120810"
                if isinstance(value, list)
                else "Unexpected field type"
            )
        for name in list(value):
            shape = self.members.get(name)
            if value[name] is None:
                del value[name]
            elif shape is not None:
                value[name] = shape.clean(value[name])
        return value

    def show(self, value: dict[str, Any]) -> str:
        inner = ", ".join(f"{k[0].lower()}{k[1:]}={_shown(v)}" for k, v in value.items())
        return f"{self.label}({inner})"

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        prefix = f"{path}." if path else ""
        for name, shape in self.members.items():
            where = prefix + name[0].lower() + name[1:]
            inner = value.get(name)
            if inner is not None:
                shape.errors(inner, where, found)
            elif shape.required:
                found.append(_failed(None, where, "Member must not be null"))


class Listed(Shape):
    def __init__(
        self, element: Shape, minimum: int = 0, maximum: int = 1 << 30, *, required: bool = False
    ) -> None:
        self.element, self.minimum, self.maximum = element, minimum, maximum
        self.required = required

    def ok(self, value: Any) -> bool:
        return (
            type(value) is list
            and self.minimum <= len(value) <= self.maximum
            and all(map(self.element.ok, value))
        )

    def clean(self, value: Any) -> list[Any]:
        if type(value) is not list:
            raise malformed(
                "Start of structure or map found where not expected"
                if isinstance(value, dict)
                else "Unexpected field type"
            )
        return [self.element.clean(inner) for inner in value if inner is not None]

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        shown = value
        if isinstance(self.element, Structure) and self.element.label:
            shown = [self.element.show(element) for element in value]
        if len(value) < self.minimum:
            found.append(
                _failed(
                    shown, path, f"Member must have length greater than or equal to {self.minimum}"
                )
            )
        if len(value) > self.maximum:
            found.append(
                _failed(
                    shown, path, f"Member must have length less than or equal to {self.maximum}"
                )
            )
        for i, inner in enumerate(value):
            self.element.errors(inner, f"{path}.{i + 1}.member", found)


class Mapped(Shape):
    def __init__(self, element: Shape, *, required: bool = False) -> None:
        self.element, self.required = element, required

    def ok(self, value: Any) -> bool:
        return type(value) is dict and all(map(self.element.ok, value.values()))

    def clean(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise malformed("Unexpected field type")
        return {
            name: self.element.clean(inner) for name, inner in value.items() if inner is not None
        }

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        for name, inner in value.items():
            self.element.errors(inner, f"{path}.{name}.member", found)


def check(shape: Structure, request: dict[str, Any]) -> None:
    """Raise what DynamoDB answers to a request of the wrong form; afterwards members have their types."""
    if shape.ok(request):
        return
    shape.clean(request)
    found: list[str] = []
    shape.errors(request, "", found)
    if found:
        found = found[:ERRORS_COUNT_MAX]
        plural = "s" if len(found) > 1 else ""
        raise invalid(f"{len(found)} validation error{plural} detected: {'; '.join(found)}")


# -- the pieces

NAME_PATTERN = "[a-zA-Z0-9_.-]+"


class TableName(Text):
    """A table's name, or its ARN."""

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self._known: set[str] = set()

    def ok(self, value: Any) -> bool:
        if type(value) is not str:
            return False
        if value in self._known:
            return True
        if not super().ok(value) and not value.startswith("arn:"):
            return False
        if len(self._known) < _KNOWN_COUNT_MAX and len(value) < _KNOWN_SIZE_MAX:
            self._known.add(value)  # the same few names come over and over
        return True

    def errors(self, value: Any, path: str, found: list[str]) -> None:
        if not value.startswith("arn:"):
            super().errors(value, path, found)


TABLE = TableName(minimum=1, maximum=255, pattern=NAME_PATTERN, required=True)
INDEX = Text(minimum=3, maximum=255, pattern=NAME_PATTERN)
CAPACITY = Text(enum=("INDEXES", "TOTAL", "NONE"))
METRICS = Text(enum=("SIZE", "NONE"))
RETURN_VALUES = Text(enum=("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"))
ON_FAILURE = Text(enum=("ALL_OLD", "NONE"))
SELECT = Text(enum=("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES"))
EITHER = Text(enum=("OR", "AND"))
TEXT = Text()
FLAG = Flag()
ITEM = Attributes()
ONE = OneValue()
NAMES = Mapped(TEXT)
OPERATOR = (
    "IN",
    "NULL",
    "BETWEEN",
    "LT",
    "NOT_CONTAINS",
    "EQ",
    "GT",
    "NOT_NULL",
    "NE",
    "LE",
    "BEGINS_WITH",
    "GE",
    "CONTAINS",
)
CONDITIONS = Mapped(
    Structure(
        {
            "AttributeValueList": Listed(ONE),
            "ComparisonOperator": Text(enum=OPERATOR, required=True),
        }
    )
)
EXPECTED = Mapped(
    Structure(
        {
            "AttributeValueList": Listed(ONE),
            "ComparisonOperator": Text(enum=OPERATOR),
            "Exists": FLAG,
            "Value": ONE,
        }
    )
)
ATTRIBUTES = Listed(TEXT, 1, 255)
EXPRESSION = {"ExpressionAttributeNames": NAMES, "ExpressionAttributeValues": ITEM}
CONDITION = {"ConditionExpression": TEXT, **EXPRESSION}
LEGACY_CONDITION = {"ConditionalOperator": EITHER, "Expected": EXPECTED}

GET_ITEM = Structure(
    {
        "ReturnConsumedCapacity": CAPACITY,
        "TableName": TABLE,
        "Key": Attributes(required=True),
        "AttributesToGet": ATTRIBUTES,
        "ConsistentRead": FLAG,
        "ProjectionExpression": TEXT,
        "ExpressionAttributeNames": NAMES,
    }
)
_WRITE = {
    "ReturnConsumedCapacity": CAPACITY,
    "TableName": TABLE,
    "ReturnItemCollectionMetrics": METRICS,
    "ReturnValues": RETURN_VALUES,
    "ReturnValuesOnConditionCheckFailure": ON_FAILURE,
    **LEGACY_CONDITION,
    **CONDITION,
}
PUT_ITEM = Structure({"Item": Attributes(required=True), **_WRITE})
DELETE_ITEM = Structure({"Key": Attributes(required=True), **_WRITE})
UPDATE_ITEM = Structure(
    {
        "Key": Attributes(required=True),
        **_WRITE,
        "UpdateExpression": TEXT,
        "AttributeUpdates": Mapped(
            Structure({"Action": Text(enum=("ADD", "PUT", "DELETE")), "Value": ONE})
        ),
    }
)
_READ = {
    "Select": SELECT,
    "IndexName": INDEX,
    "ReturnConsumedCapacity": CAPACITY,
    "TableName": TABLE,
    "ConditionalOperator": EITHER,
    "AttributesToGet": ATTRIBUTES,
    "ExclusiveStartKey": ITEM,
    "ConsistentRead": FLAG,
    "FilterExpression": TEXT,
    "ProjectionExpression": TEXT,
    **EXPRESSION,
}
QUERY = Structure(
    {
        **_READ,
        "QueryFilter": CONDITIONS,
        "Limit": Integer(1, 2**31, label="Limit"),
        "KeyConditions": CONDITIONS,
        "ScanIndexForward": FLAG,
        "KeyConditionExpression": TEXT,
    }
)
SCAN = Structure(
    {
        **_READ,
        "ScanFilter": CONDITIONS,
        "TotalSegments": Integer(1, 1_000_000),
        "Segment": Integer(0, 999_999),
        "Limit": Integer(1, 2**31),
    }
)
BATCH_GET = Structure(
    {
        "ReturnConsumedCapacity": CAPACITY,
        "RequestItems": Mapped(
            Structure(
                {
                    "Keys": Listed(ITEM, 1, required=True),
                    "AttributesToGet": ATTRIBUTES,
                    "ConsistentRead": FLAG,
                    "ProjectionExpression": TEXT,
                    "ExpressionAttributeNames": NAMES,
                }
            ),
            required=True,
        ),
    }
)
BATCH_WRITE = Structure(
    {
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
        "RequestItems": Mapped(
            Listed(
                Structure(
                    {
                        "DeleteRequest": Structure({"Key": Attributes(required=True)}),
                        "PutRequest": Structure({"Item": Attributes(required=True)}),
                    }
                )
            ),
            required=True,
        ),
    }
)
_CONDITIONED = {"TableName": TABLE, "ReturnValuesOnConditionCheckFailure": ON_FAILURE, **CONDITION}
_KEY = Attributes(required=True)
TRANSACT_WRITE = Structure(
    {
        "ReturnConsumedCapacity": CAPACITY,
        "ReturnItemCollectionMetrics": METRICS,
        "ClientRequestToken": Text(minimum=1, maximum=36),
        "TransactItems": Listed(
            Structure(
                {
                    "ConditionCheck": Structure(
                        {"Key": _KEY, **_CONDITIONED, "ConditionExpression": Text(required=True)}
                    ),
                    "Put": Structure({"Item": _KEY, **_CONDITIONED}),
                    "Delete": Structure({"Key": _KEY, **_CONDITIONED}),
                    "Update": Structure(
                        {"Key": _KEY, **_CONDITIONED, "UpdateExpression": Text(required=True)}
                    ),
                }
            ),
            1,
            100,
            required=True,
        ),
    }
)
TRANSACT_GET = Structure(
    {
        "ReturnConsumedCapacity": CAPACITY,
        "TransactItems": Listed(
            Structure(
                {
                    "Get": Structure(
                        {
                            "TableName": TABLE,
                            "Key": _KEY,
                            "ProjectionExpression": TEXT,
                            "ExpressionAttributeNames": NAMES,
                        },
                        required=True,
                    )
                }
            ),
            1,
            100,
            required=True,
        ),
    }
)

# -- tables

_THROUGHPUT = Structure(
    {
        "WriteCapacityUnits": Integer(1, required=True),
        "ReadCapacityUnits": Integer(1, required=True),
    }
)
_KEY_SCHEMA = Listed(
    Structure(
        {
            "AttributeName": Text(minimum=1, maximum=255, required=True),
            "KeyType": Text(enum=("HASH", "RANGE"), required=True),
        },
        label="KeySchemaElement",
    ),
    1,
    2,
    required=True,
)
_WIDE_KEY_SCHEMA = Listed(_KEY_SCHEMA.element, 1, required=True)
"""Of a global index: its keys may have several attributes each, see ``schema``."""
_DEFINITIONS = Listed(
    Structure(
        {
            "AttributeName": Text(minimum=1, maximum=255, required=True),
            "AttributeType": Text(enum=("B", "N", "S"), required=True),
        }
    )
)
_PROJECTION = Structure(
    {
        "ProjectionType": Text(enum=("ALL", "INCLUDE", "KEYS_ONLY")),
        "NonKeyAttributes": Listed(Text(minimum=1, maximum=255), 1, 100),
    },
    required=True,
)
_INDEX_NAME = Text(minimum=3, maximum=255, pattern=NAME_PATTERN, required=True)
_ON_DEMAND = Structure({"MaxReadRequestUnits": Integer(-1), "MaxWriteRequestUnits": Integer(-1)})
_WARM = Structure({"ReadUnitsPerSecond": Integer(1), "WriteUnitsPerSecond": Integer(1)})
_GLOBAL = {
    "WarmThroughput": _WARM,
    "IndexName": _INDEX_NAME,
    "KeySchema": _WIDE_KEY_SCHEMA,
    "Projection": _PROJECTION,
    "ProvisionedThroughput": _THROUGHPUT,
    "OnDemandThroughput": _ON_DEMAND,
}
TAGS = Listed(Structure({"Key": Text(required=True), "Value": Text(required=True)}))
_BILLING = Text(enum=("PROVISIONED", "PAY_PER_REQUEST"))
_SSE = Structure({"Enabled": FLAG, "SSEType": Text(enum=("AES256", "KMS")), "KMSMasterKeyId": TEXT})
_SETTINGS: dict[str, Shape] = {
    "BillingMode": _BILLING,
    "ProvisionedThroughput": _THROUGHPUT,
    "SSESpecification": _SSE,
    "DeletionProtectionEnabled": FLAG,
    "TableClass": Text(enum=("STANDARD", "STANDARD_INFREQUENT_ACCESS")),
    "StreamSpecification": Structure(
        {
            "StreamEnabled": Flag(),
            "StreamViewType": Text(
                enum=("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY")
            ),
        }
    ),
    "OnDemandThroughput": _ON_DEMAND,
    "WarmThroughput": _WARM,
}
CREATE_TABLE = Structure(
    {
        "AttributeDefinitions": Listed(_DEFINITIONS.element, required=True),
        "TableName": Text(minimum=3, maximum=255, pattern=NAME_PATTERN, required=True),
        **_SETTINGS,
        "KeySchema": _KEY_SCHEMA,
        "LocalSecondaryIndexes": Listed(
            Structure(
                {"IndexName": _INDEX_NAME, "KeySchema": _KEY_SCHEMA, "Projection": _PROJECTION}
            )
        ),
        "GlobalSecondaryIndexes": Listed(Structure(_GLOBAL)),
        "Tags": TAGS,
        "ResourcePolicy": TEXT,
    }
)
_OWN_READS: dict[str, Shape] = {
    "ProvisionedThroughputOverride": Structure({"ReadCapacityUnits": Integer(1)}),
    "OnDemandThroughputOverride": Structure({"MaxReadRequestUnits": Integer(-1)}),
}
_REPLICA = Structure(
    {
        "RegionName": Text(required=True),
        "KMSMasterKeyId": TEXT,
        "TableClassOverride": Text(enum=("STANDARD", "STANDARD_INFREQUENT_ACCESS")),
        **_OWN_READS,
        "GlobalSecondaryIndexes": Listed(Structure({"IndexName": _INDEX_NAME, **_OWN_READS}), 1),
    }
)
_WITNESS = Structure({"RegionName": Text(required=True)})
UPDATE_TABLE = Structure(
    {
        "ReplicaUpdates": Listed(
            Structure({"Create": _REPLICA, "Update": _REPLICA, "Delete": _REPLICA}), 1
        ),
        "MultiRegionConsistency": Text(enum=("EVENTUAL", "STRONG")),
        "GlobalTableWitnessUpdates": Listed(
            Structure({"Create": _WITNESS, "Delete": _WITNESS}), 1, 1
        ),
        "TableName": TABLE,
        "AttributeDefinitions": _DEFINITIONS,
        **_SETTINGS,
        "GlobalSecondaryIndexUpdates": Listed(
            Structure(
                {
                    "Update": Structure(
                        {
                            "IndexName": _INDEX_NAME,
                            "ProvisionedThroughput": _THROUGHPUT,
                            "OnDemandThroughput": _ON_DEMAND,
                            "WarmThroughput": _WARM,
                        }
                    ),
                    "Create": Structure(_GLOBAL),
                    "Delete": Structure({"IndexName": _INDEX_NAME}),
                }
            )
        ),
    }
)
_POLICY = {
    "PolicyName": Text(minimum=1, maximum=256),
    "TargetTrackingScalingPolicyConfiguration": Structure(
        {
            "DisableScaleIn": FLAG,
            "ScaleInCooldown": Integer(),
            "ScaleOutCooldown": Integer(),
            "TargetValue": Double(required=True),
        },
        required=True,
    ),
}
_SCALED = Structure(
    {
        "MinimumUnits": Integer(1),
        "MaximumUnits": Integer(1),
        "AutoScalingDisabled": FLAG,
        "AutoScalingRoleArn": Text(minimum=1, maximum=1600),
        "ScalingPolicyUpdate": Structure(_POLICY),
    }
)
SCALE_REPLICAS = Structure(
    {
        "TableName": TABLE,
        "ProvisionedWriteCapacityAutoScalingUpdate": _SCALED,
        "GlobalSecondaryIndexUpdates": Listed(
            Structure(
                {"IndexName": _INDEX_NAME, "ProvisionedWriteCapacityAutoScalingUpdate": _SCALED}
            ),
            1,
        ),
        "ReplicaUpdates": Listed(
            Structure(
                {
                    "RegionName": Text(required=True),
                    "ReplicaProvisionedReadCapacityAutoScalingUpdate": _SCALED,
                    "ReplicaGlobalSecondaryIndexUpdates": Listed(
                        Structure(
                            {
                                "IndexName": _INDEX_NAME,
                                "ProvisionedReadCapacityAutoScalingUpdate": _SCALED,
                            }
                        )
                    ),
                }
            ),
            1,
        ),
    }
)
NAMED_TABLE = Structure({"TableName": TABLE})
LIST_TABLES = Structure(
    {
        "ExclusiveStartTableName": Text(minimum=3, maximum=255, pattern=NAME_PATTERN),
        "Limit": Integer(1, 100),
    }
)
TIME_TO_LIVE = Structure(
    {
        "TableName": TABLE,
        "TimeToLiveSpecification": Structure(
            {
                "Enabled": Flag(required=True),
                "AttributeName": Text(minimum=1, maximum=255, required=True),
            },
            required=True,
        ),
    }
)

# -- PartiQL

_PARAMETERS = Listed(ITEM, 1)
EXECUTE_STATEMENT = Structure(
    {
        "Statement": Text(minimum=1, maximum=8192, required=True),
        "Parameters": _PARAMETERS,
        "ConsistentRead": FLAG,
        "NextToken": Text(minimum=1, maximum=32768),
        "ReturnConsumedCapacity": CAPACITY,
        "Limit": Integer(1, 2**31),
        "ReturnValuesOnConditionCheckFailure": ON_FAILURE,
    }
)
BATCH_STATEMENT = Structure(
    {
        "Statements": Listed(
            Structure(
                {
                    "Statement": Text(minimum=1, maximum=8192, required=True),
                    "Parameters": _PARAMETERS,
                    "ConsistentRead": FLAG,
                    "ReturnValuesOnConditionCheckFailure": ON_FAILURE,
                }
            ),
            1,
            25,
            required=True,
        ),
        "ReturnConsumedCapacity": CAPACITY,
    }
)
TRANSACT_STATEMENT = Structure(
    {
        "TransactStatements": Listed(
            Structure(
                {
                    "Statement": Text(minimum=1, maximum=8192, required=True),
                    "Parameters": _PARAMETERS,
                    "ReturnValuesOnConditionCheckFailure": ON_FAILURE,
                }
            ),
            1,
            100,
            required=True,
        ),
        "ClientRequestToken": Text(minimum=1, maximum=36),
        "ReturnConsumedCapacity": CAPACITY,
    }
)

# -- resource policies

_RESOURCE = Text(minimum=1, maximum=1283, required=True)
_REVISION = Text(minimum=1, maximum=255)
PUT_POLICY = Structure(
    {
        "ResourceArn": _RESOURCE,
        "Policy": Text(required=True),
        "ExpectedRevisionId": _REVISION,
        "ConfirmRemoveSelfResourceAccess": FLAG,
    }
)
GET_POLICY = Structure({"ResourceArn": _RESOURCE})
DELETE_POLICY = Structure({"ResourceArn": _RESOURCE, "ExpectedRevisionId": _REVISION})

# -- backups and restores

_ARN = Text(minimum=37, maximum=1024, required=True)
_TARGET = Text(minimum=3, maximum=255, pattern=NAME_PATTERN, required=True)
_OVERRIDES: dict[str, Shape] = {
    "BillingModeOverride": _BILLING,
    "GlobalSecondaryIndexOverride": Listed(Structure(_GLOBAL)),
    "LocalSecondaryIndexOverride": Listed(
        Structure({"IndexName": _INDEX_NAME, "KeySchema": _KEY_SCHEMA, "Projection": _PROJECTION})
    ),
    "ProvisionedThroughputOverride": _THROUGHPUT,
    "OnDemandThroughputOverride": _ON_DEMAND,
    "SSESpecificationOverride": _SSE,
}
CREATE_BACKUP = Structure(
    {
        "TableName": TABLE,
        "BackupName": Text(minimum=3, maximum=255, pattern=NAME_PATTERN, required=True),
    }
)
ONE_BACKUP = Structure({"BackupArn": _ARN})
LIST_BACKUPS = Structure(
    {
        "TableName": TableName(minimum=1, maximum=1024, pattern=NAME_PATTERN),
        "Limit": Integer(1, 100),
        "ExclusiveStartBackupArn": Text(minimum=37, maximum=1024),
        "BackupType": Text(enum=("USER", "SYSTEM", "AWS_BACKUP", "ALL")),
    }
)
UPDATE_RECOVERY = Structure(
    {
        "TableName": TABLE,
        "PointInTimeRecoverySpecification": Structure(
            {
                "PointInTimeRecoveryEnabled": Flag(required=True),
                "RecoveryPeriodInDays": Integer(1, 35),
            },
            required=True,
        ),
    }
)
RESTORE_BACKUP = Structure({"TargetTableName": _TARGET, "BackupArn": _ARN, **_OVERRIDES})
RESTORE_TIME = Structure(
    {
        "TargetTableName": _TARGET,
        "SourceTableArn": Text(minimum=1, maximum=1024),
        "SourceTableName": Text(minimum=3, maximum=255, pattern=NAME_PATTERN),
        "UseLatestRestorableTime": FLAG,
        **_OVERRIDES,
    }
)

# -- Kinesis streaming destinations

_STREAMING = Structure(
    {"ApproximateCreationDateTimePrecision": Text(enum=("MILLISECOND", "MICROSECOND"))}
)
DESTINATION = Structure(
    {
        "TableName": TABLE,
        "StreamArn": _ARN,
        "EnableKinesisStreamingConfiguration": _STREAMING,
        "UpdateKinesisStreamingConfiguration": _STREAMING,
    }
)

# -- exports and imports

_TABLE_ARN = Text(minimum=1, maximum=1024, required=True)
_BUCKET = Text(
    minimum=1, maximum=255, pattern="[a-z0-9A-Z]+[\\.\\-\\w]*[a-z0-9A-Z]+", required=True
)
_OWNER = Text(pattern="[0-9]{12}")
_PREFIX = Text(maximum=1024)
EXPORT = Structure(
    {
        "TableArn": _TABLE_ARN,
        "S3Bucket": _BUCKET,
        "S3BucketOwner": _OWNER,
        "S3Prefix": _PREFIX,
        "S3SseAlgorithm": Text(enum=("AES256", "KMS")),
        "S3SseKmsKeyId": Text(minimum=1, maximum=2048),
        "ExportFormat": Text(enum=("DYNAMODB_JSON", "ION")),
        "ExportType": Text(enum=("FULL_EXPORT", "INCREMENTAL_EXPORT")),
        "IncrementalExportSpecification": Structure(
            {"ExportViewType": Text(enum=("NEW_IMAGE", "NEW_AND_OLD_IMAGES"))}
        ),
        "FilterSpecification": Structure(
            {
                "FilterExpression": TEXT,
                "ProjectionExpression": TEXT,
                "KeyConditionExpression": TEXT,
                "ExpressionAttributeNames": NAMES,
                "ExpressionAttributeValues": ITEM,
            }
        ),
    }
)
ONE_EXPORT = Structure({"ExportArn": _ARN})
LIST_EXPORTS = Structure(
    {
        "TableArn": Text(minimum=1, maximum=1024),
        "MaxResults": Integer(1, 25),
        "NextToken": Text(minimum=1, maximum=1024),
    }
)
IMPORT = Structure(
    {
        "S3BucketSource": Structure(
            {"S3BucketOwner": _OWNER, "S3Bucket": _BUCKET, "S3KeyPrefix": _PREFIX}, required=True
        ),
        "InputFormat": Text(enum=("DYNAMODB_JSON", "ION", "CSV"), required=True),
        "InputFormatOptions": Structure(
            {
                "Csv": Structure(
                    {
                        "Delimiter": Text(minimum=1, maximum=1, pattern="[,;:|\\t ]"),
                        "HeaderList": Listed(Text(minimum=1, maximum=65536), 1, 255),
                    }
                )
            }
        ),
        "InputCompressionType": Text(enum=("GZIP", "ZSTD", "NONE")),
        "TableCreationParameters": Structure(
            {
                "TableName": _TARGET,
                "AttributeDefinitions": Listed(_DEFINITIONS.element, required=True),
                "KeySchema": _KEY_SCHEMA,
                "BillingMode": _BILLING,
                "ProvisionedThroughput": _THROUGHPUT,
                "OnDemandThroughput": _ON_DEMAND,
                "SSESpecification": _SSE,
                "GlobalSecondaryIndexes": Listed(Structure(_GLOBAL)),
            },
            required=True,
        ),
    }
)
ONE_IMPORT = Structure({"ImportArn": _ARN})
LIST_IMPORTS = Structure(
    {
        "TableArn": Text(minimum=1, maximum=1024),
        "PageSize": Integer(1, 25),
        "NextToken": Text(minimum=1, maximum=1024),
    }
)
