"""REST APIs from outside: the event a function gets, what its answer becomes, and what ends a request before it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from conftest import Platform
from lambdas import create
from services.rest_site import ECHO, ME, Site, permit

from stratolite.clock import World
from stratolite.http import HttpRequest

INTERNAL = {"message": "Internal server error"}
FORBIDDEN = {"message": "Forbidden"}
NO_TOKEN = {"message": "Missing Authentication Token"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One cloud for all these tests, whose one function stays warm; each test has an API of its own."""
    made = Platform(str(tmp_path_factory.mktemp("rest") / "cloud"), World())
    yield made
    made.close()


@pytest.fixture
def site(client: Any, platform: Any) -> Site:
    return Site(client, platform)


@pytest.fixture
def proxied(site: Site) -> Site:
    """Everything under / goes to the function."""
    site.add("ANY", "/{proxy+}")
    site.deploy()
    return site


def test_a_function_gets_the_event_of_a_proxy_integration(site: Site) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html

    Paths and path variables stay percent-encoded, as recorded against AWS by LocalStack.
    """
    site.add("ANY", "/pets/{id}/{rest+}")
    deployment = site.deploy(variables={"table": "t1"})
    head = b"POST /x HTTP/1.1\r\nHost: localhost:4566\r\nX-Thing: one\r\nX-THING: two\r\nContent-Type: text/plain\r\nUser-Agent: me"
    headers = {
        "host": "localhost:4566",
        "x-thing": "one, two",
        "content-type": "text/plain",
        "user-agent": "me",
        "x-forwarded-for": "6.6.6.6",
    }
    path = f"/_aws/execute-api/{site.id}/prod/pets/a%20b/c//d"
    request = HttpRequest("POST", path, "q=1&q=2&e=&z=%2F", headers, b"hello")
    request.raw = head
    status, answered, raw = site.send(request)
    event = json.loads(raw)
    assert (status, answered["content-type"]) == (200, "application/json")
    context = event.pop("requestContext")
    trace = event["headers"].pop("X-Amzn-Trace-Id")
    assert event.pop("multiValueHeaders") == {
        "Host": ["localhost:4566"],
        "X-Thing": ["one", "two"],
        "Content-Type": ["text/plain"],
        "User-Agent": ["me"],
        "X-Amzn-Trace-Id": [trace],
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Port": ["4566"],
        "X-Forwarded-Proto": ["http"],
    }
    assert event == {
        "resource": "/pets/{id}/{rest+}",
        "path": "/pets/a%20b/c//d",
        "httpMethod": "POST",
        "headers": {
            "Host": "localhost:4566",
            "X-Thing": "two",
            "Content-Type": "text/plain",
            "User-Agent": "me",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Port": "4566",
            "X-Forwarded-Proto": "http",
        },
        "queryStringParameters": {"q": "2", "e": "", "z": "/"},
        "multiValueQueryStringParameters": {"q": ["1", "2"], "e": [""], "z": ["/"]},
        "pathParameters": {"id": "a%20b", "rest": "c//d"},
        "stageVariables": {"table": "t1"},
        "body": "hello",
        "isBase64Encoded": False,
    }
    assert trace.startswith("Root=1-")
    assert answered["x-amzn-trace-id"] == trace
    assert answered["x-amzn-requestid"] == context["requestId"]
    assert answered["x-amz-apigw-id"] == context["extendedRequestId"]
    identity = context.pop("identity")
    assert (identity["sourceIp"], identity["userAgent"], identity["userArn"]) == (
        "127.0.0.1",
        "me",
        None,
    )
    assert {
        name: context[name]
        for name in ("accountId", "apiId", "deploymentId", "httpMethod", "path", "protocol", "resourceId")
    } == {
        "accountId": ME,
        "apiId": site.id,
        "deploymentId": deployment,
        "httpMethod": "POST",
        "path": "/prod/pets/a%20b/c//d",
        "protocol": "HTTP/1.1",
        "resourceId": site.resources["/pets/{id}/{rest+}"],
    }  # fmt: skip
    assert (context["resourcePath"], context["stage"]) == ("/pets/{id}/{rest+}", "prod")


def test_the_event_has_the_keys_aws_documents(proxied: Site) -> None:
    """Those LocalStack recorded against AWS (test_lambda_aws_proxy_integration)."""
    recorded = {
        "top": {"body", "headers", "httpMethod", "isBase64Encoded", "multiValueHeaders", "multiValueQueryStringParameters",
                "path", "pathParameters", "queryStringParameters", "requestContext", "resource", "stageVariables"},
        "context": {"accountId", "apiId", "deploymentId", "domainName", "domainPrefix", "extendedRequestId", "httpMethod",
                    "identity", "path", "protocol", "requestId", "requestTime", "requestTimeEpoch", "resourceId",
                    "resourcePath", "stage"},
        "identity": {"accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
                     "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "sourceIp", "user", "userAgent",
                     "userArn"},
    }  # fmt: skip
    _, event = proxied.said("GET", "/prod/a/")
    assert event.keys() == recorded["top"]
    assert event["requestContext"].keys() == recorded["context"]
    assert event["requestContext"]["identity"].keys() == recorded["identity"]
    assert (event["path"], event["pathParameters"], event["body"]) == ("/a/", {"proxy": "a"}, None)
    assert event["queryStringParameters"] is event["stageVariables"] is None


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"made"),
        ({"statusCode": "202"}, 202, b""),
        ({"headers": {"a": "b"}}, 200, b""),
        ({"statusCode": 200, "body": "AAEC", "isBase64Encoded": True}, 200, b"AAEC"),
        ({"statusCode": 200, "extra": 1}, 502, INTERNAL),
        ({"statusCode": "many"}, 502, INTERNAL),
        ({"statusCode": 200, "multiValueHeaders": {"a": "b"}}, 502, INTERNAL),
        ({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}, 502, INTERNAL),
        ("just a string", 502, INTERNAL),
        (None, 502, INTERNAL),
    ],
)
def test_an_answer_becomes_a_response(proxied: Site, answer: Any, status: int, body: Any) -> None:
    """As LocalStack recorded it against AWS (test_aws_proxy_response_payload_format_validation)."""
    got, headers, raw = proxied.ask("POST", "/prod/x", json.dumps({"answer": answer}).encode())
    assert got == status
    assert (json.loads(raw) if isinstance(body, dict) else raw) == body
    if status == 502:
        assert headers["x-amzn-errortype"] == "InternalServerErrorException"


def test_headers_of_an_answer_are_merged_and_some_renamed(proxied: Site) -> None:
    answer = {
        "statusCode": 200,
        "headers": {"test-multi": "solo", "flag": True, "Date": "yesterday"},
        "multiValueHeaders": {"tesT-Multi": ["multi"], "Set-Cookie": ["a=1", "b=2"]},
    }
    request = HttpRequest(
        "POST",
        f"/_aws/execute-api/{proxied.id}/prod/x",
        "",
        {"host": "localhost:4566"},
        json.dumps({"answer": answer}).encode(),
    )
    _, headers, _ = proxied.platform.send(request)
    assert [v for n, v in headers if n == "tesT-Multi"] == ["multi", "solo"]
    assert [v for n, v in headers if n == "Set-Cookie"] == ["a=1", "b=2"]
    assert dict(headers)["flag"] == "true"
    assert dict(headers)["x-amzn-Remapped-Date"] == "yesterday"


def test_a_function_that_fails_or_may_not_be_called_is_an_internal_error(site: Site) -> None:
    """502 for the function's fault, 500 where its policy does not let this method in."""
    arn = create(site.client, "guarded", ECHO)["FunctionArn"]
    proxy = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": site.uri(arn)}
    site.add("GET", "/a/{id}", proxy)
    site.add("POST", "/a/{id}", proxy)
    site.add("GET", "/get", {**proxy, "integrationHttpMethod": "GET"})
    site.deploy()
    assert site.said("GET", "/prod/a/1") == (500, INTERNAL)
    permit(site.client, "guarded", f"{site.id}/*/POST/a/*")
    permit(site.client, "guarded", f"{site.id}/test/GET/a/*", "other")
    assert site.said("GET", "/prod/a/1") == (500, INTERNAL)
    assert site.said("POST", "/prod/a/1")[0] == 200
    assert site.said("POST", "/prod/a/1", {"raise": "no"}) == (502, INTERNAL)
    assert site.said("GET", "/prod/get") == (500, INTERNAL)
    site.functions.delete_function(FunctionName="guarded")
    assert site.said("POST", "/prod/a/1")[1] == INTERNAL


def test_an_integration_may_call_in_a_role_of_its_own(site: Site) -> None:
    """Then the role's policies decide, and the role must trust API Gateway."""
    arn = create(site.client, "roled", ECHO)["FunctionArn"]
    iam = site.client("iam")

    def role(name: str, service: str) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        allow = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy)
        return str(made)

    proxy = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": site.uri(arn)}
    trusted = role("gateway", "apigateway.amazonaws.com")
    site.add("GET", "/a", {**proxy, "credentials": trusted})
    site.add("GET", "/b", {**proxy, "credentials": role("other", "ec2.amazonaws.com")})
    site.deploy()
    assert site.said("GET", "/prod/a")[0] == 200
    assert site.said("GET", "/prod/b") == (500, INTERNAL)
    iam.delete_role_policy(RoleName="gateway", PolicyName="p")
    assert site.said("GET", "/prod/a") == (500, INTERNAL)


def test_a_function_that_takes_too_long_is_given_up(site: Site) -> None:
    code = "import time\ndef handler(event, context):\n    time.sleep(50)\n"
    arn = create(site.client, "slow", code, Timeout=60)["FunctionArn"]
    permit(site.client, "slow", f"{site.id}/*")
    proxy = {"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": site.uri(arn)}
    site.add("POST", "/a", {**proxy, "timeoutInMillis": 50})
    site.deploy()
    assert site.said("POST", "/prod/a") == (504, {"message": "Endpoint request timed out"})


def test_what_has_no_method_or_stage_is_refused_as_aws_does(site: Site) -> None:
    site.mock("GET", "/a", "{}")
    site.mock("GET", "/a/{b}", "{}")
    site.mock("ANY", "/{proxy+}", '{"greedy": true}')
    site.deploy()
    assert site.said("GET", "/prod/a") == (200, {})
    assert site.said("GET", "/prod/a/x/") == (200, {})
    assert site.said("GET", "/prod/a/x/y") == (200, {"greedy": True})
    status, headers, raw = site.ask("POST", "/prod/a")
    assert (status, json.loads(raw)) == (403, NO_TOKEN)
    assert headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"
    assert site.said("GET", "/prod") == (403, NO_TOKEN)
    assert site.said("GET", "/test/a") == (403, FORBIDDEN)
    assert site.said("GET", "/") == (403, FORBIDDEN)
    site.id = "aaaaaaaaaa"
    assert site.said("GET", "/prod/a") == (403, FORBIDDEN)


def test_every_form_of_its_address_leads_to_an_api(site: Site) -> None:
    site.mock("GET", "/a", '{"path": "$context.path"}')
    site.mock("GET", "/", '{"path": "$context.path"}')
    site.deploy()
    assert site.said("GET", "/prod/_user_request_/a") == (200, {"path": "/prod/a"})
    assert site.said("GET", "/prod/_user_request_") == (200, {"path": "/prod"})
    assert site.said("GET", "/prod/") == (200, {"path": "/prod/"})
    older = f"/restapis/{site.id}/prod/_user_request_/a"
    status, _, raw = site.send(HttpRequest("GET", older, "", {"host": "localhost:4566"}, b""))
    assert (status, json.loads(raw)) == (200, {"path": "/prod/a"})
    for host in (
        f"{site.id}.execute-api.us-east-1.localhost:4566",
        f"{site.id}.execute-api.localhost",
    ):
        status, _, raw = site.send(HttpRequest("GET", "/prod/a", "", {"host": host}, b""))
        assert (status, json.loads(raw)) == (200, {"path": "/prod/a"})
    operations = [{"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "true"}]
    site.api.update_rest_api(restApiId=site.id, patchOperations=operations)
    assert site.said("GET", "/prod/a") == (403, FORBIDDEN)


def test_a_stage_serves_what_was_deployed_and_nothing_newer(site: Site) -> None:
    where = site.mock("GET", "/a", '{"edition": 1}')
    first = site.deploy()
    site.api.update_integration_response(
        **where,
        statusCode="200",
        patchOperations=[
            {
                "op": "replace",
                "path": "/responseTemplates/application~1json",
                "value": '{"edition": 2}',
            }
        ],
    )
    site.mock("GET", "/b", "{}")
    assert site.said("GET", "/prod/a") == (200, {"edition": 1})
    assert site.said("GET", "/prod/b") == (403, NO_TOKEN)
    second = site.deploy("test")
    assert site.said("GET", "/test/a") == (200, {"edition": 2})
    assert site.said("GET", "/prod/a") == (200, {"edition": 1})
    with pytest.raises(
        ClientError, match="Active stages pointing to this deployment must be moved or deleted"
    ):
        site.api.delete_deployment(restApiId=site.id, deploymentId=first)
    site.api.update_stage(
        restApiId=site.id,
        stageName="prod",
        patchOperations=[{"op": "replace", "path": "/deploymentId", "value": second}],
    )
    assert site.said("GET", "/prod/b") == (200, {})
    site.api.delete_deployment(restApiId=site.id, deploymentId=first)
    site.api.delete_stage(restApiId=site.id, stageName="test")
    assert site.said("GET", "/test/a") == (403, FORBIDDEN)
    site.platform.reopen()
    assert site.said("GET", "/prod/a") == (200, {"edition": 2})


def test_binary_media_types_decide_what_is_base64(client: Any, platform: Any) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/lambda-proxy-binary-media.html"""
    site = Site(client, platform, binaryMediaTypes=["image/png", "application/*"])
    site.add("POST", "/a")
    site.deploy()
    _, event = site.said("POST", "/prod/a", b"\x00\xff", content_type="image/png")
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)
    _, event = site.said("POST", "/prod/a", b"a\xff", content_type="text/plain")
    assert (event["body"], event["isBase64Encoded"]) == ("a�", False)
    answer = json.dumps({"answer": {"body": "AAEC", "isBase64Encoded": True}}).encode()
    assert (
        site.ask("POST", "/prod/a", answer, content_type="text/x", accept="image/png")[2]
        == b"\x00\x01\x02"
    )
    assert (
        site.ask("POST", "/prod/a", answer, content_type="text/x", accept="text/html")[2] == b"AAEC"
    )


def test_small_answers_stay_as_they_are_and_large_ones_are_compressed(
    client: Any, platform: Any
) -> None:
    import gzip

    site = Site(client, platform, minimumCompressionSize=20)
    site.mock("GET", "/small", "{}")
    site.mock("GET", "/large", '{"a": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}')
    site.deploy()
    assert site.ask("GET", "/prod/small", accept_encoding="gzip")[2] == b"{}"
    _, headers, raw = site.ask("GET", "/prod/large", accept_encoding="gzip, br")
    assert headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(raw))["a"].startswith("aaa")
    assert site.said("GET", "/prod/large")[1]["a"].startswith("aaa")
