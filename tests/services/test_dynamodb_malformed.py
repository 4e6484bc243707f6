"""Bad input: more than 300 malformed requests get AWS's error, none a 5xx.

Codes  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
Words  recorded from AWS by https://github.com/nubo-db/dynamodb-conformance and https://github.com/mhart/dynalite
"""

# ruff: noqa: ISC004 - a message is a message, however many lines it takes

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest

from stratolite.http import HttpRequest
from stratolite.services.dynamodb.service import Dynamodb
from stratolite.services.dynamodbstreams.service import Dynamodbstreams

CODES = frozenset(
    (
        "ValidationException",
        "SerializationException",
        "ResourceNotFoundException",
        "AccessDeniedException",
        "TableNotFoundException",
        "BackupNotFoundException",
        "ExportNotFoundException",
        "ImportNotFoundException",
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
        "IdempotentParameterMismatchException",
        "UnknownOperationException",
        "NotImplemented",
        "ResourceInUseException",
        "PointInTimeRecoveryUnavailableException",
    )
)
TABLE = {
    "TableName": "table",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
KEY = {"pk": {"S": "a"}}
T = {"TableName": "table"}
GOOD: dict[str, dict[str, Any]] = {
    "PutItem": {**T, "Item": {**KEY, "v": {"N": "1"}}, "ConditionExpression": "attribute_not_exists(zz)"},
    "GetItem": {**T, "Key": KEY, "ProjectionExpression": "v"},
    "DeleteItem": {**T, "Key": KEY, "ReturnValues": "ALL_OLD"},
    "UpdateItem": {
        **T,
        "Key": KEY,
        "UpdateExpression": "SET v = :v",
        "ExpressionAttributeValues": {":v": {"S": "x"}},
    },
    "Query": {**T, "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "a"}}, "Limit": 1},
    "Scan": {**T, "FilterExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": "a"}}, "Segment": 0, "TotalSegments": 2},
    "BatchGetItem": {"RequestItems": {"table": {"Keys": [KEY]}}},
    "BatchWriteItem": {"RequestItems": {"table": [{"PutRequest": {"Item": KEY}}]}},
    "TransactWriteItems": {"TransactItems": [{"Put": {**T, "Item": KEY}}], "ClientRequestToken": "t"},
    "TransactGetItems": {"TransactItems": [{"Get": {**T, "Key": KEY}}]},
    "ExecuteStatement": {"Statement": 'SELECT * FROM "table" WHERE pk = ?', "Parameters": [{"S": "a"}], "Limit": 2},
    "BatchExecuteStatement": {"Statements": [{"Statement": "SELECT * FROM \"table\" WHERE pk = 'a'"}]},
    "ExecuteTransaction": {"TransactStatements": [{"Statement": "SELECT * FROM \"table\" WHERE pk = 'a'"}]},
    "DescribeTable": T,
    "UpdateTable": {**T, "DeletionProtectionEnabled": False},
    "UpdateTimeToLive": {**T, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "end"}},
    "UpdateContinuousBackups": {**T, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}},
    "ListTables": {"Limit": 5},
    "ListBackups": {"Limit": 5, "TableName": "table"},
    "CreateBackup": {**T, "BackupName": "name"},
}  # fmt: skip
JUNK: list[Any] = [None, 1, -1, 1.5, "", "x" * 3000, True, [], {}, [[]], {"a": 1}, {"S": 1}, [None]]


@pytest.fixture
def send(platform: Any, client: Any) -> Any:
    """(status, code, message) of a raw request, signed or not as the platform's own test client would."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    client("dynamodb").create_table(**TABLE)

    def ask(operation: str, body: Any, prefix: str = "DynamoDB_20120810") -> tuple[int, str, str]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {
            "X-Amz-Target": f"{prefix}.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Host": "localhost:4566",
        }
        request = AWSRequest("POST", "http://localhost:4566/", data=raw, headers=headers)
        SigV4Auth(Credentials("test", "test"), "dynamodb", "us-east-1").add_auth(request)
        sent = {name.lower(): value for name, value in request.headers.items()}
        status, _, answer = platform.send(HttpRequest("POST", "/", "", sent, raw))
        said = json.loads(answer) if answer else {}
        return (
            status,
            said.get("__type", "").rpartition("#")[2],
            said.get("message") or said.get("Message") or "",
        )

    return ask


def test_no_malformed_request_is_our_failure(send: Any) -> None:
    """Each member of a good request in turn is something else, or gone; at each depth."""
    count = 0
    for operation, good in GOOD.items():
        for body in variants(good):
            status, code, _ = send(operation, body)
            count += 1
            assert status < 500 or code == "NotImplemented", (operation, body, status, code)
            assert status == 200 or code in CODES, (operation, body, status, code)
    assert count > 800


def variants(value: Any) -> Any:
    """``value`` with one thing in it, at any depth, replaced by junk or taken away."""
    if isinstance(value, dict):
        for name, inner in value.items():
            rest = {k: v for k, v in value.items() if k != name}
            yield rest
            for junk in JUNK[:: 1 if len(value) < 3 else 3]:
                yield {**rest, name: junk}
            for other in variants(inner):
                yield {**rest, name: other}
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            for other in variants(inner):
                yield [*value[:i], other, *value[i + 1 :]]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"1", b"\xff\xfe", b'{"a":', b"{}" * 2, b"[" * 5000, b'{"TableName":"\\ud800"}'],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_json_object_is_said_to_be_none(send: Any, body: bytes) -> None:
    for operation in ("PutItem", "Scan", "ExecuteStatement", "CreateTable"):
        status, code, _ = send(operation, body)
        assert (status, code in CODES) == (400, True), (operation, code)


def test_every_operation_refuses_nonsense_kindly(send: Any) -> None:
    """All that are offered, with nothing and with everything wrong."""
    for service, prefix in (
        (Dynamodb, "DynamoDB_20120810"),
        (Dynamodbstreams, "DynamoDBStreams_20120810"),
    ):
        names = [
            n for n in dir(service) if not n.startswith("_") and n in _operations(service.name)
        ]
        assert names
        for name in names:
            operation = _operations(service.name)[name]
            for body in (
                {},
                {"TableName": 1},
                {"TableName": []},
                {"ResourceArn": "x", "TableArn": "arn:x", "StreamArn": 5},
            ):
                status, code, _ = send(operation, body, prefix)
                assert status < 500, (operation, body, code)
                assert status == 200 or code in CODES, (operation, body, code)


@lru_cache
def _operations(service: str) -> dict[str, str]:
    import botocore.session
    from botocore import xform_name

    names = botocore.session.get_session().get_service_model(service).operation_names
    return {xform_name(name): name for name in names}


WORDS = [
    ("PutItem", {**T, "Item": {}}, "One or more parameter values were invalid: Missing the key pk in the item"),
    ("PutItem", {**T, "Item": {"pk": {"N": "1"}}},
     "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N"),
    ("PutItem", {**T, "Item": {"pk": {"S": ""}}},
     "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string "
     "value. Key: pk"),
    ("PutItem", {**T, "Item": {**KEY, "v": {}}},
     "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
    ("PutItem", {**T, "Item": {**KEY, "v": {"S": "a", "N": "1"}}},
     "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"),
    ("PutItem", {**T, "Item": {**KEY, "v": {"N": "abc"}}}, "The parameter cannot be converted to a numeric value: abc"),
    ("PutItem", {**T, "Item": {**KEY, "v": {"SS": []}}},
     "One or more parameter values were invalid: An string set  may not be empty"),
    ("PutItem", {**T, "Item": {**KEY, "v": {"SS": ["a", "a"]}}},
     "One or more parameter values were invalid: Input collection [a, a] contains duplicates."),
    ("GetItem", {**T, "Key": {}}, "The provided key element does not match the schema"),
    ("GetItem", {**T, "Key": {**KEY, "x": {"S": "a"}}}, "The provided key element does not match the schema"),
    ("GetItem", {**T, "Key": {"pk": {"S": "not there"}}, "ProjectionExpression": "pk.a"},
     "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk"),
    ("GetItem", {**T, "Key": KEY, "ProjectionExpression": ""},
     "Invalid ProjectionExpression: The expression can not be empty;"),
    ("UpdateItem", {**T, "Key": KEY, "UpdateExpression": "SET pk = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}},
     "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key"),
    ("UpdateItem", {**T, "Key": KEY, "UpdateExpression": "SET v = :v"},
     "Invalid UpdateExpression: An expression attribute value used in expression is not defined; attribute value: :v"),
    ("UpdateItem", {**T, "Key": KEY, "UpdateExpression": "SET name = :v", "ExpressionAttributeValues": {":v": {"S": "x"}}},
     "Invalid UpdateExpression: Attribute name is a reserved keyword; reserved keyword: name"),
    ("Query", {**T}, "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."),
    ("Scan", {**T, "Segment": 1}, "The TotalSegments parameter is required but was not present in the request "
     "when Segment parameter is present"),
    ("Scan", {**T, "Segment": 2, "TotalSegments": 2},
     "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than "
     "TotalSegments: 2"),
    ("BatchGetItem", {"RequestItems": {"table": {"Keys": [KEY, KEY]}}}, "Provided list of item keys contains duplicates"),
    ("BatchWriteItem", {"RequestItems": {}}, "The requestItems parameter is required for BatchWriteItem"),
    ("CreateTable", {**TABLE, "AttributeDefinitions": []},
     "Invalid KeySchema: Some index key attribute have no definition"),
    ("CreateTable", {**TABLE, "TableName": "a"},
     "1 validation error detected: Value 'a' at 'tableName' failed to satisfy constraint: Member must have length greater "
     "than or equal to 3"),
    ("ExecuteStatement", {"Statement": "SELECTT"},
     "Statement wasn't well formed, can't be processed: Expected data manipulation"),
    ("UpdateTable", {**T}, "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
     "GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "message"), WORDS, ids=range(len(WORDS)))
def test_the_words_are_awss(send: Any, operation: str, body: Any, message: str) -> None:
    assert send(operation, body) == (400, "ValidationException", message)


# -- what has the wrong form: said before anything else, in the words of AWS's framework, by what belongs there

JAVA = "com.amazonaws.dynamodb.v20120810"
MAP = "Start of structure or map found where not expected"
FIELD, ELEMENT = "Unexpected field type", "Unexpected value type in payload"
PARSER = "Unexpected token received from parser"


def cannot(given: str, wanted: str) -> str:
    return f"{given}_VALUE cannot be converted to {wanted}"


def collection(what: str) -> str:
    return f"Unrecognized collection type {what}"


TEXT = [
    (True, cannot("TRUE", "String")), (False, cannot("FALSE", "String")), (23, cannot("NUMBER", "String")),
    (34.56, cannot("DECIMAL", "String")), ([], collection("class java.lang.String")), ({}, MAP),
]  # fmt: skip
FLAG = [
    ("23", PARSER), (23, cannot("NUMBER", "Boolean")), (34.56, cannot("DECIMAL", "Boolean")),
    ([], collection("class java.lang.Boolean")), ({}, MAP),
]  # fmt: skip
LIST = [("23", FIELD), (True, FIELD), (23, FIELD), (34.56, FIELD), ({}, MAP)]
BLOB = [
    (True, "only base-64-encoded strings are convertible to bytes"),
    ([], collection("class java.nio.ByteBuffer")),
    ({}, MAP),
    ("23456", "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
    ("=+/=", "Invalid last non-pad Base64 character dectected"),
    ("+/+=", "Invalid last non-pad Base64 character dectected"),
]


def number(wanted: str) -> list[tuple[Any, str]]:
    return [
        ("23", cannot("STRING", wanted)), (True, cannot("TRUE", wanted)), (False, cannot("FALSE", wanted)),
        ([], collection(f"class java.lang.{wanted}")), ({}, MAP),
    ]  # fmt: skip


def mapped(to: str) -> list[tuple[Any, str]]:
    of_list = collection(f"java.util.Map<java.lang.String, {to}>")
    return [("23", FIELD), (True, FIELD), (23, FIELD), ([], of_list)]


def structure(name: str, said: str = ELEMENT) -> list[tuple[Any, str]]:
    return [("23", said), (True, said), (34.56, said), ([], collection(f"class {JAVA}.{name}"))]


VALUE, VALUES = structure("AttributeValue"), mapped(f"{JAVA}.AttributeValue")
INSIDE = [
    ("S", TEXT), ("N", TEXT), ("B", BLOB), ("BOOL", FLAG), ("NULL", FLAG), ("SS", LIST), ("SS.0", TEXT), ("NS", LIST),
    ("BS.0", BLOB), ("L", LIST), ("L.0", VALUE), ("M", VALUES), ("M.a", VALUE), ("M.a.BS.0", BLOB),
]  # fmt: skip
FORMS: list[tuple[str, str, list[tuple[Any, str]]]] = [
    ("GetItem", "TableName", TEXT), ("GetItem", "ConsistentRead", FLAG), ("GetItem", "AttributesToGet", LIST),
    ("GetItem", "AttributesToGet.0", TEXT), ("GetItem", "ExpressionAttributeNames", mapped("java.lang.String")),
    ("PutItem", "Item", VALUES), ("PutItem", "Item.a", VALUE), *(("PutItem", f"Item.a.{at}", said) for at, said in INSIDE),
    *(("DeleteItem", f"Key.a.{at}", said) for at, said in INSIDE[:6]),
    ("DeleteItem", "Expected", mapped(f"{JAVA}.ExpectedAttributeValue")),
    ("DeleteItem", "Expected.a", structure("ExpectedAttributeValue")), ("DeleteItem", "Expected.a.Exists", FLAG),
    ("UpdateItem", "AttributeUpdates", mapped(f"{JAVA}.AttributeValueUpdate")),
    ("UpdateItem", "AttributeUpdates.a.Value.S", TEXT), ("UpdateItem", "UpdateExpression", TEXT),
    ("UpdateItem", "ExpressionAttributeValues", VALUES), ("UpdateItem", "ExpressionAttributeValues.a", VALUE),
    ("Query", "Limit", number("Integer")), ("Query", "KeyConditions", mapped(f"{JAVA}.Condition")),
    ("Query", "KeyConditions.a", structure("Condition")), ("Query", "KeyConditions.a.AttributeValueList", LIST),
    ("Query", "QueryFilter.a.ComparisonOperator", TEXT), ("Query", "ScanIndexForward", FLAG),
    ("Query", "ExclusiveStartKey.a.N", TEXT), ("Scan", "Segment", number("Integer")), ("Scan", "FilterExpression", TEXT),
    ("Scan", "ScanFilter.a.AttributeValueList.0.B", BLOB),
    ("BatchGetItem", "RequestItems", mapped(f"{JAVA}.KeysAndAttributes")),
    ("BatchGetItem", "RequestItems.a", structure("KeysAndAttributes")), ("BatchGetItem", "RequestItems.a.Keys", LIST),
    ("BatchGetItem", "RequestItems.a.ConsistentRead", FLAG),
    ("BatchWriteItem", "RequestItems", mapped(f"java.util.List<{JAVA}.WriteRequest>")),
    ("BatchWriteItem", "RequestItems.a.0.PutRequest", structure("PutRequest", FIELD)),
    ("BatchWriteItem", "RequestItems.a.0.DeleteRequest.Key.a", VALUE),
    ("CreateTable", "KeySchema.0", structure("KeySchemaElement")), ("CreateTable", "AttributeDefinitions", LIST),
    ("CreateTable", "ProvisionedThroughput", structure("ProvisionedThroughput", FIELD)),
    ("CreateTable", "ProvisionedThroughput.ReadCapacityUnits", number("Long")),
    ("CreateTable", "GlobalSecondaryIndexes.0.Projection", structure("Projection", FIELD)),
    ("UpdateTable", "GlobalSecondaryIndexUpdates.0.Update.ProvisionedThroughput.WriteCapacityUnits", number("Long")),
    ("TagResource", "Tags.0", structure("Tag")), ("UntagResource", "TagKeys", LIST), ("ListTables", "Limit", number("Integer")),
]  # fmt: skip


def placed(path: str, junk: Any) -> Any:
    """A request of nothing but ``junk`` at ``path``, in which 0 is the first of a list."""
    body = junk
    for step in reversed(path.split(".")):
        body = [body] if step == "0" else {step: body}
    return body


def test_a_wrong_form_is_named_before_all_else(send: Any) -> None:
    """Recorded from AWS by https://github.com/architect/dynalite (its test suite's assertType), each for the whole request."""
    count = 0
    for operation, path, said in FORMS:
        for junk, message in said:
            got = send(operation, placed(path, junk))
            assert got == (400, "SerializationException", message), (operation, path, junk)
            count += 1
    assert count + len(WORDS) >= 300


def test_words_stand_for_truths_and_are_kept_as_truths(send: Any, client: Any) -> None:
    """DynamoDB's parser takes them; recorded from AWS by https://github.com/architect/dynalite (validations/index.js)."""
    item = {**KEY, "yes": {"BOOL": "YES"}, "no": {"BOOL": "0"}, "none": {"NULL": "true"}}
    assert send("PutItem", {**T, "Item": item})[0] == 200
    kept = client("dynamodb").get_item(**T, Key=KEY, ConsistentRead=True)["Item"]
    assert kept == {**KEY, "yes": {"BOOL": True}, "no": {"BOOL": False}, "none": {"NULL": True}}
    assert send("PutItem", {**T, "Item": {**KEY, "none": {"NULL": "no"}}}) == (
        400,
        "ValidationException",
        "One or more parameter values were invalid: Null attribute value types must have the value of true",
    )
