"""REST methods that are calls of AWS's own APIs, with no function between, in each protocol that such an API speaks.

https://docs.aws.amazon.com/apigateway/latest/developerguide/integrating-api-with-aws-services-kinesis.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/integrating-api-with-aws-services-s3.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT

from stratolite.http import HttpRequest
from stratolite.services import OFFERS
from stratolite.services.apigateway.targets import APIS
from stratolite.wire.overlays import SIGNING_NAMES

ROLE = f"arn:aws:iam::{ACCOUNT}:role/gateway"
FORM = "application/x-www-form-urlencoded"


class Site:
    """A REST API whose methods are put one by one, and asked."""

    def __init__(self, platform: Any, client: Any, *allowed: str) -> None:
        self.gateway, self._platform = client("apigateway"), platform
        trust = {"Effect": "Allow", "Principal": {"Service": "apigateway.amazonaws.com"}}
        iam = client("iam")
        iam.create_role(
            RoleName="gateway",
            AssumeRolePolicyDocument=json.dumps(
                {"Statement": [{**trust, "Action": "sts:AssumeRole"}]}
            ),
        )
        statement = {"Effect": "Allow", "Action": list(allowed), "Resource": "*"}
        iam.put_role_policy(
            RoleName="gateway",
            PolicyName="p",
            PolicyDocument=json.dumps({"Statement": [statement]}),
        )
        self.api = self.gateway.create_rest_api(name="site", binaryMediaTypes=["image/png"])["id"]
        self.root = self.gateway.get_resources(restApiId=self.api)["items"][0]["id"]

    def put(self, part: str, verb: str, uri: str, **integration: Any) -> None:
        """``responses``: status -> (selection pattern, template)."""
        place = {"restApiId": self.api}
        known = self.gateway.get_resources(**place, limit=500)["items"]
        found = next((r for r in known if r["path"] == f"/{part}"), None)
        found = found or self.gateway.create_resource(**place, parentId=self.root, pathPart=part)
        place |= {"resourceId": found["id"], "httpMethod": verb}
        parameters = integration.pop("parameters", {})
        responses = integration.pop("responses", {"200": ("", None)})
        self.gateway.put_method(**place, authorizationType="NONE", requestParameters=parameters)
        self.gateway.put_integration(
            **place,
            type="AWS",
            integrationHttpMethod=integration.pop("method", "POST"),
            uri=f"arn:aws:apigateway:us-east-1:{uri}",
            **{"credentials": ROLE, **integration},
        )
        for status, (pattern, template) in responses.items():
            self.gateway.put_method_response(**place, statusCode=status)
            more = {"selectionPattern": pattern} if pattern else {}
            more |= {"responseTemplates": {"application/json": template}} if template else {}
            self.gateway.put_integration_response(**place, statusCode=status, **more)

    def ask(self, verb: str, path: str, body: bytes = b"", query: str = "", kind: str = "application/json") -> tuple[int, bytes]:  # fmt: skip
        where = f"/_aws/execute-api/{self.api}/v1/{path}"
        headers = {"host": "localhost:4566", "content-type": kind, "accept": kind}
        status, _, answer = self._platform.send(HttpRequest(verb, where, query, headers, body))
        return status, answer

    def deploy(self) -> None:
        self.gateway.create_deployment(restApiId=self.api, stageName="v1")


def test_a_queue_is_sent_to_by_path_and_by_action(platform: Any, client: Any) -> None:
    """A form that a template makes, and parameters that the query is mapped to."""
    site, sqs = Site(platform, client, "sqs:SendMessage"), client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    template = "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
    site.put(
        "path",
        "POST",
        f"sqs:path/{ACCOUNT}/q",
        requestParameters={"integration.request.header.Content-Type": f"'{FORM}'"},
        requestTemplates={"application/json": template},
        responses={"200": ("", "#set($x = $input.path('$'))done")},
    )
    site.put(
        "action",
        "GET",
        "sqs:action/SendMessage",
        parameters={"method.request.querystring.text": True},
        requestParameters={
            "integration.request.querystring.QueueUrl": f"'{url}'",
            "integration.request.querystring.MessageBody": "method.request.querystring.text",
        },
    )
    site.deploy()
    assert site.ask("POST", "path", b'{"a": "1&2"}')[0] == 200
    status, answer = site.ask("GET", "action", query="text=by%20query")
    assert status == 200
    assert b"<SendMessageResponse" in answer or b"MessageId" in answer
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(m["Body"] for m in got) == ["by query", '{"a": "1&2"}']


def test_a_table_is_written_and_read_and_its_refusals_are_answers(
    platform: Any, client: Any
) -> None:
    """JSON by action: the answer's template sees what DynamoDB answers, a pattern its status."""
    site = Site(platform, client, "dynamodb:PutItem", "dynamodb:GetItem")
    client("dynamodb").create_table(
        TableName="things",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    put = """{"TableName": "things", "Item": {"id": {"S": $input.json('$.id')}, "n": {"N": "$input.path('$.n')"}, "b": {"B": "AQI="}},
              "ConditionExpression": "attribute_not_exists(id)"}"""
    refused = ("4\\d{2}", "$input.path('$.__type')")
    site.put(
        "items",
        "POST",
        "dynamodb:action/PutItem",
        requestTemplates={"application/json": put},
        responses={"201": ("", '{"made": true}'), "409": refused},
    )
    get = '{"TableName": "things", "Key": {"id": {"S": "$input.params(\'id\')"}}}'
    site.put(
        "item",
        "GET",
        "dynamodb:action/GetItem",
        requestTemplates={"application/json": get},
        responses={"200": ("", "$input.path('$.Item.n.N') $input.path('$.Item.b.B')")},
    )
    site.deploy()
    assert site.ask("POST", "items", b'{"id": "a", "n": 5}') == (201, b'{"made": true}')
    assert site.ask("GET", "item", query="id=a") == (200, b"5 AQI=")
    status, answer = site.ask("POST", "items", b'{"id": "a", "n": 6}')
    assert (status, answer) == (409, b"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException")  # fmt: skip
    status, answer = site.ask("POST", "items", b'{"id": 7, "n": 6}')
    assert (status, answer.endswith(b"SerializationException")) == (409, True)


def test_objects_are_put_and_got_by_their_paths(platform: Any, client: Any) -> None:
    """S3's path has the bucket and the key in it; bytes stay bytes, and what is not there is 404 as S3 says it."""
    site = Site(platform, client, "s3:PutObject", "s3:GetObject", "s3:ListBucket")
    client("s3").create_bucket(Bucket="pictures")
    mapped = {"integration.request.path.key": "method.request.querystring.key"}
    given = {"method.request.querystring.key": True}
    statuses = {"200": ("", None), "404": ("404", None)}
    for verb in ("PUT", "GET"):
        site.put(
            "pictures",
            verb,
            "s3:path/pictures/{key}",
            method=verb,
            parameters=given,
            requestParameters=mapped,
            responses=statuses,
        )
    site.deploy()
    picture = bytes(range(256))
    where = {"query": "key=a/b.png", "kind": "image/png"}
    assert site.ask("PUT", "pictures", picture, **where)[0] == 200
    assert client("s3").get_object(Bucket="pictures", Key="a/b.png")["Body"].read() == picture
    assert site.ask("GET", "pictures", **where) == (200, picture)
    status, answer = site.ask("GET", "pictures", query="key=none")
    assert (status, b"<Code>NoSuchKey</Code>" in answer) == (404, True)


def test_an_event_is_put_with_its_target_in_a_header(platform: Any, client: Any) -> None:
    """How one writes it where AWS has no action: the path is the root, X-Amz-Target says what."""
    site = Site(platform, client, "events:PutEvents")
    template = '{"Entries": [{"Source": "site", "DetailType": "t", "Detail": "$util.escapeJavaScript($input.body)"}]}'
    site.put(
        "events",
        "POST",
        "events:path//",
        requestParameters={
            "integration.request.header.X-Amz-Target": "'AWSEvents.PutEvents'",
            "integration.request.header.Content-Type": "'application/x-amz-json-1.1'",
        },
        requestTemplates={"application/json": template},
    )
    site.deploy()
    status, answer = site.ask("POST", "events", b'{"n": 1}')
    assert (status, json.loads(answer)["FailedEntryCount"]) == (200, 0)


def test_the_role_decides_what_a_method_may(platform: Any, client: Any) -> None:
    """What IAM refuses is the service's answer; a role that cannot be taken is no answer at all."""
    site, sqs = Site(platform, client, "sqs:GetQueueUrl"), client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    mapped = {
        "integration.request.querystring.QueueUrl": f"'{url}'",
        "integration.request.querystring.MessageBody": "'x'",
    }
    outcomes = {"200": ("", None), "403": ("403", None)}
    site.put("refused", "GET", "sqs:action/SendMessage", requestParameters=mapped, responses=outcomes)  # fmt: skip
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    site.put("nobody", "GET", "sqs:action/SendMessage", requestParameters=mapped, credentials=nobody)  # fmt: skip
    site.deploy()
    status, answer = site.ask("GET", "refused")
    assert (status, b"sqs:sendmessage" in answer.lower()) == (403, True)
    assert site.ask("GET", "nobody")[0] == 500
    assert sqs.receive_message(QueueUrl=url).get("Messages") is None


@pytest.mark.parametrize(
    ("uri", "credentials", "said"),
    [
        ("sqs:action/SendMessage", "", "Role ARN must be specified for AWS integrations"),
        ("rekognition:action/DetectFaces", ROLE, "An AWS integration with rekognition is not offered"),
        ("elsewhere", ROLE, "AWS ARN for integration must contain path or action"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_when_it_is_put(
    platform: Any, client: Any, uri: str, credentials: str, said: str
) -> None:
    site = Site(platform, client, "sqs:SendMessage")
    with pytest.raises(ClientError, match=said):
        site.put("x", "GET", uri, credentials=credentials)


def test_every_api_that_may_be_called_is_offered() -> None:
    offered = {offer.service for offer in OFFERS}
    for name in APIS:
        assert SIGNING_NAMES.get(name, (name,))[0] in offered, name
