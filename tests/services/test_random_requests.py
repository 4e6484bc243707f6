"""Requests of random shapes, on every offered operation: an answer or a refusal, never a bug of ours.

The shapes are botocore's, filled with strings that mean something somewhere (ARNs, JSON, numbers, tokens), with what AWS
never sends, and with what earlier answers gave under the same name, so that calls also meet what others have made. One
seed is played in every run; with STRATOLITE_SOAK=1 there are more, and STRATOLITE_FUZZ_SEEDS="7 8" names them.
"""

from __future__ import annotations

import json
import os
import random
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from conftest import _Raw, to_http

from stratolite import wire
from stratolite.http import HttpResponse
from stratolite.service import snake
from stratolite.services import OFFERS

SEEDS = [int(seed) for seed in os.environ.get("STRATOLITE_FUZZ_SEEDS", "").split()] or (
    list(range(1, 21)) if os.environ.get("STRATOLITE_SOAK") else [1]
)
EACH = 2
"""Requests to one operation in one round."""
DEPTH_MAX = 6
STRINGS = (
    "", "a", "b", "q", "x" * 70, "x" * 3000, "é\0", "\x01", "\ud7ff", " ", "../..", "/", "*", "null", "true", "100", "-1", "1e400", "²",
    "{}", "[]", "[{}]", "{", '"', '{"a":[1,{"b":null}]}', '{"Version":"2012-10-17","Statement":[]}',
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}',
    '{"Resources":{"Q":{"Type":"AWS::SQS::Queue"}}}', '{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}',
    "2020-01-01", "2020-01-01T00:00:00Z", "rate(1 minute)", "cron(0 12 * * ? *)", "at(2099-01-01T00:00:00)",
    "arn", "arn:", "arn:aws:s3", ":::::::", "arn:aws:s3:::b", "arn:aws:iam::000000000000:role/x", "arn:aws:sqs:us-east-1:000000000000:q",
    "arn:aws:lambda:us-east-1:000000000000:function:f", "arn:aws:kinesis:us-east-1:000000000000:stream/a",
    "arn:aws:dynamodb:us-east-1:000000000000:table/a", "arn:aws:events:eu-west-1:111111111111:rule/a/b",
    "000000000000", "us-east-1", "s3://b/a", "http://localhost:1/", "bytes=5-1", "$LATEST", "$.a[", "eyJhIjoxfQ==", "AAAA",
)  # fmt: skip
NUMBERS = (0, 1, 1, 2, 5, 10, 100, 1000, -1, 2**31 - 1, -(2**31), 2**63 - 1)
FLOATS = (0.0, 1.5, -1.0, 1e300, 5e-324)
BLOBS = (b"", b"a", b"{}", b"[1]", b"\x00\xff", b"PK\x03\x04", b'{"a":1}', b"x" * 5000)
ROLE = "arn:aws:iam::000000000000:role/x"
FURNITURE: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "dynamodb": (
        ("CreateTable", {"TableName": "aaa", "BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
                         "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}]}),
        ("PutItem", {"TableName": "aaa", "Item": {"k": {"S": "a"}}}),
    ),
    "ecr": (("CreateRepository", {"repositoryName": "aa"}),),
    "events": (
        ("CreateEventBus", {"Name": "b"}),
        ("PutRule", {"Name": "a", "ScheduleExpression": "rate(1 minute)", "State": "DISABLED"}),
    ),
    "glue": (("CreateDatabase", {"DatabaseInput": {"Name": "a"}}), ("CreateTable", {"DatabaseName": "a", "TableInput": {"Name": "b"}})),
    "iam": (("CreateUser", {"UserName": "a"}), ("CreateGroup", {"GroupName": "b"})),
    "kinesis": (("CreateStream", {"StreamName": "a", "ShardCount": 1}),),
    "kms": (("CreateKey", {}),),
    "logs": (("CreateLogGroup", {"logGroupName": "a"}), ("CreateLogStream", {"logGroupName": "a", "logStreamName": "b"})),
    "organizations": (("CreateOrganization", {}),),
    "s3": (
        ("CreateBucket", {"Bucket": "box"}),
        ("PutBucketVersioning", {"Bucket": "box", "VersioningConfiguration": {"Status": "Enabled"}}),
        ("PutObject", {"Bucket": "box", "Key": "a", "Body": b'{"a":1}'}),
        ("CreateMultipartUpload", {"Bucket": "box", "Key": "b"}),
    ),
    "s3tables": (("CreateTableBucket", {"name": "box"}),),
    "secretsmanager": (("CreateSecret", {"Name": "a", "SecretString": "{}"}),),
    "sns": (("CreateTopic", {"Name": "a"}), ("CreatePlatformApplication", {"Name": "a", "Platform": "GCM", "Attributes": {"PlatformCredential": "a"}})),
    "sqs": (("CreateQueue", {"QueueName": "q"}),),
    "ssm": (("PutParameter", {"Name": "a", "Value": "b", "Type": "String"}),),
    "stepfunctions": (("CreateStateMachine", {"name": "a", "roleArn": ROLE, "definition": '{"StartAt":"A","States":{"A":{"Type":"Pass","End":true}}}'}),),
    "cloudformation": (("CreateStack", {"StackName": "a", "TemplateBody": '{"Resources":{"W":{"Type":"AWS::CloudFormation::WaitConditionHandle"}}}'}),),
    "apigateway": (("CreateRestApi", {"name": "a"}),),
    "apigatewayv2": (("CreateApi", {"Name": "a", "ProtocolType": "HTTP"}),),
    "firehose": (("CreateDeliveryStream", {"DeliveryStreamName": "a", "ExtendedS3DestinationConfiguration": {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::box"}}),),
    "scheduler": (("CreateScheduleGroup", {"Name": "a"}),),
    "s3control": (("CreateAccessPoint", {"AccountId": "000000000000", "Name": "point", "Bucket": "box"}), ("CreateAccessGrantsInstance", {"AccountId": "000000000000"})),
}  # fmt: skip
"""What is there before, if it can be made: requests that name it reach further."""
KNOWN = {
    "typename": ("AWS::SQS::Queue", "AWS::S3::Bucket", "AWS::IAM::Role", "AWS::DynamoDB::Table", "AWS::Lambda::Function"),
    "desiredstate": ('{"QueueName":"a"}', '{"RoleName":{}}', '{"BucketName":1,"Tags":[{}]}', '{"KeySchema":null}'),
    "patchdocument": ('[{"op":"add","path":"/Tags","value":[]}]', '[{"op":"move"}]', '[{"op":"remove","path":"/a/-/0"}]', '{"op":1}'),
    "filterpattern": ("{ $.a = 1 }", "[a, b]", "{ $.a", '"a'),
    "eventpattern": ('{"source":["a"]}', '{"source":"a"}', '{"a":[{"prefix":1}]}'),
    "statement": ("SELECT * FROM aaa", "SELECT", "INSERT INTO aaa VALUE {'k':'b'}", "UPDATE aaa SET a=1 WHERE k='a'"),
    "expression": ("SELECT * FROM S3Object", "SELECT s.a FROM S3Object s LIMIT " + "9" * 5000),
    "body": ('{"openapi":"3.0.1","info":{"title":"a"},"paths":{"/a":{"get":{}}}}', '{"swagger":"2.0","paths":{"a":1}}'),
}  # fmt: skip
"""By member's name: what a string at random would never be."""
_WAITS = {"WaitTimeSeconds": 0}
"""Members that would only make the test slow."""
_APART = {
    ("logs", "StartLiveTail"),  # goes on for hours
    ("stepfunctions", "GetActivityTask"),  # waits a minute for a task
    ("s3", "WriteGetObjectResponse"),  # waits for a request whose route it names
}


class Shapes:
    """Requests from shapes. ``seen`` is what answers gave: member's name -> values."""

    def __init__(self, rand: random.Random) -> None:
        self.rand = rand
        self.seen: dict[str, list[Any]] = {name: list(some) for name, some in KNOWN.items()}

    def of(self, shape: Any, name: str = "", depth: int = 0) -> Any:
        rand, kind = self.rand, shape.type_name
        known = self.seen.get(name.lower())
        if known and rand.random() < 0.5:
            value = rand.choice(known)
            if kind == "string":
                return value
            if kind == "blob":
                return value.encode()
        if kind == "structure":
            if depth > DEPTH_MAX:
                return {}
            chance = 0.4 if depth < 2 else 0.25
            needed = rand.random() < 0.9
            names = [
                n
                for n in shape.members
                if (n in shape.required_members and needed) or rand.random() < chance
            ]
            if getattr(shape, "is_tagged_union", False) and names:
                names = [rand.choice(names)]
            return {n: _WAITS.get(n, self.of(shape.members[n], n, depth + 1)) for n in names}
        if kind == "list":
            element = name.removesuffix("s")
            return [self.of(shape.member, element, depth + 1) for _ in range(rand.choice((0, 1, 1, 2)))]  # fmt: skip
        if kind == "map":
            keys = rand.sample(("k", "a", "Policy", "*", "x" * 300, ""), rand.choice((0, 1, 1, 2)))
            if enum := getattr(shape.key, "enum", None):
                keys = [rand.choice(enum) for _ in keys]
            return {key: self.of(shape.value, key, depth + 1) for key in keys}
        if kind in ("string", "character"):
            enum = getattr(shape, "enum", None)
            if enum and rand.random() < 0.85:
                return rand.choice(enum)
            if getattr(shape, "metadata", {}).get("hostLabel"):
                return "a"
            return rand.choice(STRINGS)
        if kind in ("integer", "long"):
            return rand.choice(NUMBERS)
        if kind in ("float", "double"):
            return rand.choice(FLOATS)
        if kind == "boolean":
            return rand.random() < 0.5
        if kind == "blob":
            return rand.choice(BLOBS)
        assert kind == "timestamp", kind
        return rand.choice(
            (
                datetime(1970, 1, 1, tzinfo=UTC),
                datetime(2020, 9, 13, tzinfo=UTC),
                datetime(2099, 1, 1, tzinfo=UTC),
            )
        )

    def learn(self, value: Any, name: str = "") -> None:
        """Remember the strings of an answer under their members' names."""
        if isinstance(value, dict):
            for key, one in value.items():
                if key != "ResponseMetadata":
                    self.learn(one, str(key))
        elif isinstance(value, list):
            for one in value[:3]:
                self.learn(one, name.removesuffix("s"))
        elif isinstance(value, str) and name:
            kept = self.seen.setdefault(name.lower(), [])
            kept.append(value)
            del kept[:-8]


def operations(service: str) -> list[str]:
    from house.test_rooms import service_class

    cls = service_class(service)
    return [
        name
        for name in wire.operations(service)
        if hasattr(cls, snake(name)) and (service, name) not in _APART
    ]


class Sender:
    """The other end of botocore: what comes back, and the status of what cannot be waited for."""

    def __init__(self, platform: Any) -> None:
        self.platform = platform
        self.status, self.body = 0, b""

    def __call__(self, request: Any, **_: Any) -> Any:
        self.status, headers, self.body = self.platform.run(self._answer(to_http(request)))
        return AWSResponse(request.url, self.status, headers, _Raw(self.body))

    async def _answer(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        import asyncio

        answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.platform.app.handle(request, answered.set_result)
        response = await answered
        body = b""
        if request.method != "HEAD" and isinstance(response.body, bytes):
            body = response.body
        elif not isinstance(response.body, bytes) and hasattr(response.body, "aclose"):
            await response.body.aclose()
        return response.status, dict(response.headers), body


def _user(client: Any, name: str) -> dict[str, str]:
    """Who may do everything, but about whose requests IAM must know all that policies can ask for."""
    iam, told = client("iam"), {"Null": {"aws:RequestTag/no": "false", "aws:TagKeys": "false"}}
    everything = {"Action": "*", "Resource": "*"}
    statements = [{"Effect": "Allow", **everything}, {"Effect": "Deny", **everything, "Condition": told}]  # fmt: skip
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_any_shape_gets_an_answer_or_a_refusal(platform, client, caplog, seed):
    """Whatever a request holds, a 5xx other than NotImplemented is our bug; and every answer can be parsed."""
    sender, broken = Sender(platform), []
    for service in (offer.service for offer in OFFERS):
        options = {"parameter_validation": False, "inject_host_prefix": False}
        user = _user(client, f"who-asks-{service}")  # what is asked of IAM may be the end of users
        root, other = client(service, **options), client(service, **user, **options)
        # (seeded by service: what one of them gained must not change what the others are asked)
        shapes = Shapes(random.Random(zlib.crc32(f"{seed} {service}".encode())))
        for made in (root, other):
            made.meta.events.register_first("before-send", sender)
        names = operations(service)
        shapes.rand.shuffle(names)
        model = root.meta.service_model
        asked: list[tuple[str, dict[str, Any] | None]] = list(FURNITURE.get(service, ()))
        asked += [(name, None) for name in names for _ in range(EACH)]
        for number, (name, given) in enumerate(asked):
            made = root if given is not None or number % 2 else other
            shape = model.operation_model(name).input_shape
            request = given if given is not None else shapes.of(shape) if shape is not None else {}
            if service == "s3control":
                request["AccountId"] = "000000000000"
            if "QueueUrl" in request and service == "sqs":
                request["QueueUrl"] = "http://localhost:4566/000000000000/q"
            sender.status = 0
            caplog.clear()
            problem = ""
            try:
                shapes.learn(getattr(made, snake(name))(**request))
                shapes.learn(request)
            except ClientError as error:
                if sender.status >= 500 and error.response["Error"]["Code"] != "NotImplemented":
                    problem = f"{sender.status} {sender.body[:200]!r}"
            except BotoCoreError:
                pass  # it was not sent, or what came back is not what botocore's checksums and shapes expect
            except TimeoutError:
                problem = "no answer"
            except (ResponseParserError, ValueError, TypeError, KeyError, AttributeError) as error:
                if sender.status:
                    problem = f"{error!r} {sender.body[:300]!r}"
            if problem:
                why = caplog.records[-1].exc_text if caplog.records else ""
                broken.append(f"{service} {name} {request!r:.600}\n  {problem}\n{why}")
    assert not broken, f"seed {seed}\n" + "\n".join(broken)


_NEEDING = ("organizations", "secretsmanager", "sns", "sqs", "ssm")
NUMBER = "1" * 5000
FOUND: tuple[tuple[str, str, dict[str, Any], str], ...] = (
    ("apigatewayv2", "GetApis", {"MaxResults": "x"}, "BadRequestException"),
    ("apigatewayv2", "GetApis", {"MaxResults": "-1"}, "BadRequestException"),
    ("cloudformation", "ListTypes", {"Visibility": "PUBLIC", "MaxResults": -1}, "ValidationError"),
    ("cloudformation", "ListTypes", {"Visibility": "PRIVATE", "MaxResults": -1}, "ValidationError"),
    ("cloudwatch", "DescribeAlarmHistory", {"NextToken": "²"}, "InvalidNextToken"),
    ("iam", "SimulateCustomPolicy", {"PolicyInputList": [], "ActionNames": ["s3:GetObject"], "ContextEntries": [{"ContextKeyType": "string"}]}, "InvalidInput"),
    ("iam", "SimulateCustomPolicy", {"PolicyInputList": [], "ActionNames": ["s3:GetObject"], "ResourceOwner": "me"}, "InvalidInput"),
    ("kinesis", "DescribeStreamSummary", {"StreamARN": "x"}, "ValidationException"),
    ("kinesis", "PutRecord", {"StreamARN": ":::", "Data": b"", "PartitionKey": "a"}, "ValidationException"),
    ("kinesis", "ListTagsForResource", {"ResourceARN": "arn:aws:kinesis"}, "ValidationException"),
    ("kms", "ReEncrypt", {"DestinationKeyId": "100"}, "ValidationException"),
    ("lambda", "ListEventSourceMappings", {"MaxItems": -(2**31)}, "ValidationException"),
    ("lambda", "ListFunctions", {"MaxItems": -1}, "ValidationException"),
    ("organizations", "ListPolicies", {"Filter": "SERVICE_CONTROL_POLICY", "MaxResults": -1}, "InvalidInputException"),
    ("s3control", "ListAccessPoints", {"AccountId": "000000000000", "MaxResults": -1}, "InvalidRequest"),
    ("sns", "ListSubscriptions", {"NextToken": "²"}, "InvalidParameter"),
    ("sns", "ListSubscriptions", {"NextToken": NUMBER}, "InvalidParameter"),
    ("serverlessrepo", "ListApplications", {"MaxItems": -1}, "BadRequestException"),
    ("logs", "DescribeSubscriptionFilters", {"logGroupName": "a", "limit": -1}, "InvalidParameterException"),
    ("iam", "SimulateCustomPolicy", {"PolicyInputList": [], "ActionNames": ["s3:GetObject"], "Marker": "x"}, "ValidationError"),
    ("secretsmanager", "TagResource", {"SecretId": "a", "Tags": [{"Value": "a"}]}, "InvalidParameterException"),
    ("secretsmanager", "ReplicateSecretToRegions", {"SecretId": "a", "AddReplicaRegions": [{}]}, "InvalidParameterException"),
    ("sns", "AddPermission", {"TopicArn": "arn:aws:sns:us-east-1:000000000000:a", "Label": "a", "AWSAccountId": ["000000000000"], "ActionName": []}, "InvalidParameter"),
    ("sqs", "AddPermission", {"QueueUrl": "http://localhost:4566/000000000000/q", "Label": "a", "AWSAccountIds": [], "Actions": []}, "MissingParameter"),
    ("ssm", "GetParameterHistory", {"Name": "a", "NextToken": NUMBER}, "InvalidNextToken"),
    ("stepfunctions", "CreateActivity", {"name": "a", "tags": [{}]}, "ValidationException"),
)  # fmt: skip


def test_what_was_found_is_refused(client):
    """Answered with 500 once."""
    wrong = []
    for service in _NEEDING:
        made = client(service)
        for name, given in FURNITURE[service]:
            getattr(made, snake(name))(**given)
    for service, operation, request, code in FOUND:
        made = client(service, parameter_validation=False, inject_host_prefix=False)
        with pytest.raises(ClientError) as refused:
            getattr(made, snake(operation))(**request)
        answer = refused.value.response
        got = answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]
        if got != (400, code):
            wrong.append((operation, request, got, code))
    assert not wrong


def test_a_grant_needs_somebody(client):
    """Its model lets the grantee out, for services as grantees, which need a source and somebody to retire the grant."""
    kms = client("kms")
    about = {"KeyId": kms.create_key()["KeyMetadata"]["KeyId"], "Operations": ["Decrypt"]}
    for more, code in (
        ({}, "ValidationException"),
        ({"GranteeServicePrincipal": "s3.amazonaws.com"}, "ValidationException"),
    ):
        with pytest.raises(ClientError) as refused:
            kms.create_grant(**about, **more)
        assert refused.value.response["Error"]["Code"] == code
