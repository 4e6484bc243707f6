"""Function URLs over raw HTTP: who may call, what the function sees, what the caller gets."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lambdas import create

from stratolite.http import HttpRequest
from stratolite.services.lambda_.doors import answered


@pytest.fixture
def url(client: Any) -> str:
    """A public URL of a function that answers its event."""
    create(client, "fn")
    return public(client, "fn")


PUBLIC: tuple[dict[str, Any], ...] = (
    {
        "StatementId": "url",
        "Action": "lambda:InvokeFunctionUrl",
        "FunctionUrlAuthType": "NONE",
    },
    {
        "StatementId": "invoke",
        "Action": "lambda:InvokeFunction",
        "InvokedViaFunctionUrl": True,
    },
)


def public(client: Any, name: str, **more: Any) -> str:
    lam = client("lambda")
    made = lam.create_function_url_config(FunctionName=name, AuthType="NONE", **more)
    for statement in PUBLIC:
        lam.add_permission(FunctionName=name, Principal="*", **statement)
    return str(made["FunctionUrl"])


def ask(
    platform: Any,
    url: str,
    path: str = "",
    *,
    method: str = "GET",
    body: bytes = b"",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    target = urlsplit(url)
    where, _, query = path.partition("?")
    given = {"host": target.netloc} | {k.replace("_", "-"): v for k, v in headers.items()}
    request = HttpRequest(method, target.path + where, query, given, body)
    status, answer, content = platform.send(request)
    return status, {name.lower(): value for name, value in answer}, content


def test_the_event_is_payload_format_2(client, platform, url):
    """https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-payloads"""
    status, headers, body = ask(
        platform, url, "a%20b/c?q=1&q=2&x=%2F+y&e", cookie="k=v; l=w", user_agent="test", x_Odd="1"
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    event = json.loads(body)
    id_ = urlsplit(url).path.strip("/").rpartition("/")[2]
    assert event["version"] == "2.0"
    assert event["routeKey"] == "$default"
    assert event["rawPath"] == "/a%20b/c"
    assert event["rawQueryString"] == "q=1&q=2&x=%2F+y&e"
    assert event["queryStringParameters"] == {"q": "1,2", "x": "/ y", "e": ""}
    assert event["cookies"] == ["k=v", "l=w"]
    assert "cookie" not in event["headers"]
    assert event["headers"]["user-agent"] == "test"
    assert event["isBase64Encoded"] is False
    assert "body" not in event
    context = event["requestContext"]
    assert context["http"] == {
        "method": "GET",
        "path": "/a%20b/c",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "test",
    }
    assert (context["accountId"], context["apiId"], context["stage"]) == (
        "anonymous",
        id_,
        "$default",
    )


@pytest.mark.parametrize(
    ("kind", "body", "encoded"),
    [
        ("application/json", b'{"a": 1}', False),
        ("text/plain; charset=utf-8", "é".encode(), False),
        ("application/x-www-form-urlencoded", b"a=1", True),
        ("image/png", b"\x89PNG", True),
        ("text/plain", b"\xff", True),
        ("", b"x", True),
    ],
)
def test_bodies_are_text_or_base64_by_their_type(platform, url, kind, body, encoded):
    headers = {"content_type": kind} if kind else {}
    event = json.loads(ask(platform, url, method="POST", body=body, **headers)[2])
    assert event["isBase64Encoded"] is encoded
    assert event["body"] == (base64.b64encode(body).decode() if encoded else body.decode())


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        ({"hello": "world"}, 200, "application/json", b'{"hello": "world"}'),
        ("hello", 200, "application/json", b"hello"),
        (3.1, 200, "application/json", b"3.1"),
        (True, 200, "application/json", b"true"),
        (["hello", 3, True], 200, "application/json", b'["hello", 3, true]'),
        ({"statusCode": 200, "body": "body123"}, 200, "application/json", b"body123"),
        (
            {"statusCode": 404, "headers": {"Content-Type": "text/html"}, "body": "<p>"},
            404,
            "text/html",
            b"<p>",
        ),
        (
            {
                "statusCode": "201",
                "body": base64.b64encode(b"\x00\x01").decode(),
                "isBase64Encoded": True,
            },
            201,
            "application/json",
            b"\x00\x01",
        ),
        ({"statusCode": "no"}, 502, "application/json", b"Internal Server Error"),
        (
            {"statusCode": 200, "headers": {"a": "x\r\nb: y"}},
            502,
            "application/json",
            b"Internal Server Error",
        ),
    ],
)
def test_results_become_http_answers(result, status, kind, body):
    """Recorded in test_lambda.snapshot.json, TestLambdaURL::test_lambda_url_invocation."""
    answer = answered(json.dumps(result).encode())
    assert (answer.status, dict(answer.headers)["content-type"], answer.body) == (
        status,
        kind,
        body,
    )


def test_cookies_are_set_each_in_a_header_of_its_own():
    answer = answered(b'{"statusCode": 200, "cookies": ["a=1; Path=/", "b=2"]}')
    assert [v for k, v in answer.headers if k == "set-cookie"] == ["a=1; Path=/", "b=2"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda c: st.lists(c, max_size=3) | st.dictionaries(st.text(), c, max_size=3),
    max_leaves=6,
)


@given(
    st.fixed_dictionaries(
        {"statusCode": JSON},
        optional={"headers": JSON, "cookies": JSON, "body": JSON, "isBase64Encoded": JSON},
    )
)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_result_becomes_some_well_formed_answer(result):
    """A function may return anything; the connection must never break over it."""
    answer = answered(json.dumps(result).encode())
    assert 100 <= answer.status <= 599
    for name, value in answer.headers:
        assert not set("\r\n\x00") & set(name + value)


@pytest.mark.parametrize("statements", [PUBLIC[:0], PUBLIC[:1], PUBLIC[1:]])
def test_without_a_policy_for_it_a_public_url_is_forbidden(client, platform, statements):
    """AuthType NONE still asks the function's policy, for both actions since October 2025.

    Recorded: test_lambda_permission_url_invocation. https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
    """
    create(client, "fn")
    made = client("lambda").create_function_url_config(FunctionName="fn", AuthType="NONE")
    for statement in statements:
        client("lambda").add_permission(FunctionName="fn", Principal="*", **statement)
    status, headers, body = ask(platform, made["FunctionUrl"])
    assert status == 403
    assert json.loads(body) == {
        "Message": "Forbidden. For troubleshooting Function URL authorization issues, see:"
        " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
    }
    assert headers["x-amzn-errortype"] == "AccessDeniedException"


def test_a_public_url_does_not_make_the_function_public(client, url):
    """The statement for InvokeFunction holds for calls through the URL only."""
    theirs = client("lambda", account="111111111111")
    with pytest.raises(ClientError, match="AccessDenied"):
        theirs.invoke(FunctionName="arn:aws:lambda:us-east-1:000000000000:function:fn")
    assert url


def test_an_iam_url_takes_signed_requests_only(client, platform):
    create(client, "fn")
    made = client("lambda").create_function_url_config(FunctionName="fn", AuthType="AWS_IAM")
    client("lambda").add_permission(
        FunctionName="fn",
        StatementId="anyone",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="AWS_IAM",
    )
    assert ask(platform, made["FunctionUrl"])[0] == 403, "whatever the policy says"
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    signed = AWSRequest(
        "GET", made["FunctionUrl"], headers={"host": urlsplit(made["FunctionUrl"]).netloc}
    )
    SigV4Auth(Credentials("000000000000", "test"), "lambda", "us-east-1").add_auth(signed)
    headers = {k.lower().replace("-", "_"): v for k, v in signed.headers.items() if k != "host"}
    status, _, body = ask(platform, made["FunctionUrl"], **headers)
    assert status == 200
    iam = json.loads(body)["requestContext"]["authorizer"]["iam"]
    assert iam["userArn"] == "arn:aws:iam::000000000000:root"


def test_an_error_of_the_function_is_a_bad_gateway(client, platform):
    create(client, "fn", "def handler(e, c): raise ValueError('secret')")
    status, _, body = ask(platform, public(client, "fn"))
    assert (status, body) == (502, b"Internal Server Error")


def test_an_unknown_url_is_not_found(platform):
    assert ask(platform, "http://localhost:4566/_aws/lambda-url/none/")[0] == 404


def test_cors_is_answered_for_the_function(client, platform):
    """The function is not invoked for a preflight; its own CORS headers give way to the configuration's."""
    code = "def handler(e, c): return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': 'x'}, 'body': ''}"
    create(client, "fn", code)
    cors = {
        "AllowOrigins": ["http://a.example"],
        "AllowMethods": ["POST"],
        "AllowHeaders": ["x-k"],
        "MaxAge": 5,
    }
    url = public(client, "fn", Cors=cors)
    status, headers, _ = ask(
        platform,
        url,
        method="OPTIONS",
        origin="http://a.example",
        access_control_request_method="POST",
    )
    assert status == 200
    assert headers["access-control-allow-origin"] == "http://a.example"
    assert headers["access-control-allow-methods"] == "POST"
    assert headers["access-control-max-age"] == "5"
    assert not platform.cloud.runtime._members
    assert (
        ask(platform, url, origin="http://a.example")[1]["access-control-allow-origin"]
        == "http://a.example"
    )
    assert "access-control-allow-origin" not in ask(platform, url, origin="http://b.example")[1]


def test_configurations_come_and_go(client, platform):
    lam = client("lambda")
    create(client, "fn")
    made = lam.create_function_url_config(FunctionName="fn", AuthType="AWS_IAM")
    with pytest.raises(ClientError, match="FunctionUrlConfig exists for this Lambda function"):
        lam.create_function_url_config(FunctionName="fn", AuthType="NONE")
    assert lam.update_function_url_config(FunctionName="fn", AuthType="NONE")["AuthType"] == "NONE"
    got = lam.get_function_url_config(FunctionName="fn")
    assert (got["FunctionUrl"], got["AuthType"]) == (made["FunctionUrl"], "NONE")
    assert len(lam.list_function_url_configs(FunctionName="fn")["FunctionUrlConfigs"]) == 1
    lam.delete_function_url_config(FunctionName="fn")
    with pytest.raises(ClientError, match="The resource you requested does not exist"):
        lam.get_function_url_config(FunctionName="fn")
    assert ask(platform, made["FunctionUrl"])[0] == 404


def test_a_streaming_url_answers_with_what_the_handler_said_and_reads_nothing_into_it(
    client, platform, url
):
    """As recorded in test_lambda_url_echo_invoke[RESPONSE_STREAM] of LocalStack's tests."""
    client("lambda").update_function_url_config(FunctionName="fn", InvokeMode="RESPONSE_STREAM")
    status, headers, body = ask(platform, url)
    assert status == 200
    assert headers["content-type"] == "application/octet-stream"
    assert json.loads(body)["version"] == "2.0"


def test_a_url_is_of_a_function_or_an_alias_never_of_a_version(client: Any) -> None:
    """Zappa makes one of the ARN that CreateFunction answered: published or not, that is the function's."""
    made = create(client, "fn", Publish=True)
    assert made["Version"] == "1"
    assert made["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:fn"
    lam = client("lambda")
    config = lam.create_function_url_config(FunctionName=made["FunctionArn"], AuthType="NONE")
    assert config["FunctionArn"] == made["FunctionArn"]
    asked = {"FunctionName": f"{made['FunctionArn']}:1", "AuthType": "NONE"}
    with pytest.raises(ClientError, match="Value '1' at 'qualifier' failed to satisfy constraint"):
        lam.create_function_url_config(**asked)
