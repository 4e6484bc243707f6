"""HTTP APIs from outside: what a function is told of a request, and what becomes of its answer."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from botocore.exceptions import ClientError

from stratolite.http import HttpRequest
from stratolite.services.apigatewayv2.routing import Router, problem

ECHO = """
import json
def handler(event, context):
    path = event.get("rawPath", event.get("path"))
    if path.endswith("/raise"): raise ValueError("no")
    if path.endswith("/plain"): return {"a": 1}
    if path.endswith("/cookies"): return {"statusCode": 201, "cookies": ["a=1", "b=2"], "headers": {"X-A": "b"}, "body": "made"}
    if path.endswith("/binary"): return {"statusCode": 200, "isBase64Encoded": True, "body": "AAEC"}
    if path.endswith("/split"): return {"statusCode": 200, "headers": {"x": "a\\r\\nb: c"}, "body": ""}
    if path.endswith("/nonsense"): return {"statusCode": "many"}
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(event)}
"""
TRUST = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ]
    }
)


class Site:
    """An API over one function, asked through the path form."""

    def __init__(self, client, platform):
        self.api, self.functions, self.platform = client("apigatewayv2"), client("lambda"), platform
        role = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)["Role"][
            "Arn"
        ]
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("index.py", ECHO)
        self.function = self.functions.create_function(
            FunctionName="echo",
            Runtime="python3.13",
            Role=role,
            Handler="index.handler",
            Code={"ZipFile": out.getvalue()},
        )["FunctionArn"]
        self.id = self.api.create_api(Name="site", ProtocolType="HTTP")["ApiId"]

    def permit(self, source="*"):
        self.functions.add_permission(
            FunctionName="echo", StatementId="api", Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{self.id}/{source}",
        )  # fmt: skip

    def integrate(self, version="2.0"):
        made = self.api.create_integration(
            ApiId=self.id,
            IntegrationType="AWS_PROXY",
            IntegrationUri=self.function,
            PayloadFormatVersion=version,
        )
        return f"integrations/{made['IntegrationId']}"

    def route(self, *keys, version="2.0", stage="$default"):
        target = self.integrate(version)
        for key in keys:
            self.api.create_route(ApiId=self.id, RouteKey=key, Target=target)
        self.api.create_stage(ApiId=self.id, StageName=stage, AutoDeploy=True)

    def ask(self, method, path, body=b"", query="", **headers):
        found = {"host": "localhost:4566"} | {k.replace("_", "-"): v for k, v in headers.items()}
        request = HttpRequest(method, f"/_aws/execute-api/{self.id}{path}", query, found, body)
        status, answered, raw = self.platform.send(request)
        return status, {k.lower(): v for k, v in answered}, raw, answered


@pytest.fixture
def site(client, platform):
    return Site(client, platform)


def test_a_function_is_told_the_whole_request(site):
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"""
    site.route("POST /pets/{id}/toys")
    site.permit()
    status, _, raw, _ = site.ask(
        "POST",
        "/pets/a%20b/toys",
        b'{"x":1}',
        "q=1&q=2&e=",
        content_type="application/json",
        cookie="k=v; w=z",
        user_agent="me",
    )
    event = json.loads(raw)
    assert status == 200
    assert (event["version"], event["routeKey"], event["rawPath"]) == (
        "2.0",
        "POST /pets/{id}/toys",
        "/pets/a b/toys",
    )
    assert event["pathParameters"] == {"id": "a b"}
    assert (event["rawQueryString"], event["queryStringParameters"]) == (
        "q=1&q=2&e=",
        {"q": "1,2", "e": ""},
    )
    assert (event["cookies"], event["body"], event["isBase64Encoded"]) == (
        ["k=v", "w=z"],
        '{"x":1}',
        False,
    )
    http = event["requestContext"]["http"]
    assert (http["method"], http["userAgent"], http["sourceIp"]) == ("POST", "me", "127.0.0.1")
    assert "cookie" not in event["headers"]


def test_a_body_that_is_no_text_arrives_as_base64(site):
    site.route("POST /x")
    site.permit()
    event = json.loads(
        site.ask("POST", "/x", b"\x00\xff", content_type="application/octet-stream")[2]
    )
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)


def test_format_1_has_its_own_shape(site):
    site.route("GET /x/{id}", version="1.0")
    site.permit()
    event = json.loads(site.ask("GET", "/x/7", query="a=1&a=2")[2])
    assert (event["version"], event["httpMethod"], event["path"], event["resource"]) == (
        "1.0",
        "GET",
        "/x/7",
        "/x/{id}",
    )
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    assert site.ask("GET", "/x/plain")[0] == 500


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/raise", 500, b'{"message":"Internal Server Error"}'), ("/plain", 200, b'{"a":1}'), ("/cookies", 201, b"made"),
     ("/binary", 200, b"\x00\x01\x02"), ("/split", 500, b'{"message":"Internal Server Error"}'),
     ("/nonsense", 500, b'{"message":"Internal Server Error"}')],
)  # fmt: skip
def test_an_answer_becomes_a_response(site, path, status, body):
    site.route("$default")
    site.permit()
    got, _, raw, answered = site.ask("GET", path)
    assert (got, raw) == (status, body)
    if path == "/cookies":
        assert [v for k, v in answered if k == "Set-Cookie"] == ["a=1", "b=2"]


def test_without_permission_the_function_is_not_called(site):
    """Also with a permission for another API or another route: the source ARN is checked."""
    site.route("GET /a", "GET /b")
    assert site.ask("GET", "/a")[0] == 500
    site.permit("*/GET/b")
    assert site.ask("GET", "/a")[0] == 500
    assert site.ask("GET", "/b")[0] == 200


def test_what_has_no_route_or_stage_is_not_found(site):
    site.route("GET /a", stage="prod")
    site.permit()
    assert site.ask("GET", "/prod/a")[0] == 200
    assert json.loads(site.ask("GET", "/prod/a")[2])["rawPath"] == "/prod/a"
    assert site.ask("GET", "/a")[:3:2] == (404, b'{"message":"Not Found"}')
    assert site.ask("POST", "/prod/a")[0] == 404
    site.id = "aaaaaaaaaa"
    assert site.ask("GET", "/prod/a")[:3:2] == (403, b'{"message":"Forbidden"}')


def test_a_stage_without_auto_deploy_serves_what_was_deployed(site):
    """A new route is not there until it is deployed."""
    target = site.integrate()
    site.permit()
    site.api.create_stage(ApiId=site.id, StageName="s")
    site.api.create_route(ApiId=site.id, RouteKey="GET /a", Target=target)
    assert site.ask("GET", "/s/a")[0] == 404
    site.api.create_deployment(ApiId=site.id, StageName="s")
    assert site.ask("GET", "/s/a")[0] == 200
    site.api.create_route(ApiId=site.id, RouteKey="GET /b", Target=target)
    assert site.ask("GET", "/s/b")[0] == 404


def test_cors_is_the_apis_and_not_the_functions(site):
    rules = {
        "AllowOrigins": ["https://a.example"],
        "AllowMethods": ["GET"],
        "AllowHeaders": ["x-a"],
        "MaxAge": 9,
    }
    site.api.update_api(ApiId=site.id, CorsConfiguration=rules)
    site.route("GET /a")
    site.permit()
    status, headers, _, _ = site.ask(
        "OPTIONS", "/a", origin="https://a.example", access_control_request_method="GET"
    )
    assert status == 204
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert (headers["access-control-allow-methods"], headers["access-control-max-age"]) == (
        "GET",
        "9",
    )
    assert (
        site.ask("GET", "/a", origin="https://a.example")[1]["access-control-allow-origin"]
        == "https://a.example"
    )
    assert "access-control-allow-origin" not in site.ask("GET", "/a", origin="https://b.example")[1]


def test_an_openapi_definition_makes_the_same_api(site):
    """The form SAM's translator gives its HTTP APIs."""
    uri = (
        f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{site.function}/invocations"
    )
    way = {
        "x-amazon-apigateway-integration": {
            "httpMethod": "POST",
            "type": "aws_proxy",
            "uri": uri,
            "payloadFormatVersion": "2.0",
        }
    }
    definition = {
        "openapi": "3.0.1",
        "info": {"title": "pets", "version": "1"},
        "paths": {"/pets/{id}": {"get": way}, "$default": {"x-amazon-apigateway-any-method": way}},
    }
    made = site.api.import_api(Body=json.dumps(definition))
    assert made["Name"] == "pets"
    site.id = made["ApiId"]
    site.api.create_stage(ApiId=site.id, StageName="$default", AutoDeploy=True)
    site.permit()
    assert json.loads(site.ask("GET", "/pets/3")[2])["pathParameters"] == {"id": "3"}
    assert json.loads(site.ask("PUT", "/other")[2])["routeKey"] == "$default"
    keys = {r["RouteKey"] for r in site.api.get_routes(ApiId=site.id)["Items"]}
    assert keys == {"GET /pets/{id}", "$default"}


def test_bad_input_gets_awss_errors(site):
    target = site.integrate()
    site.api.create_route(ApiId=site.id, RouteKey="GET /a", Target=target)
    for code, work in (
        (
            "ConflictException",
            lambda: site.api.create_route(ApiId=site.id, RouteKey="GET /a", Target=target),
        ),
        (
            "ConflictException",
            lambda: site.api.delete_integration(ApiId=site.id, IntegrationId=target.split("/")[1]),
        ),
        ("BadRequestException", lambda: site.api.create_route(ApiId=site.id, RouteKey="FETCH /a")),
        (
            "BadRequestException",
            lambda: site.api.create_route(
                ApiId=site.id, RouteKey="GET /b", AuthorizationType="JWT"
            ),
        ),
        (
            "BadRequestException",
            lambda: site.api.create_integration(
                ApiId=site.id, IntegrationType="HTTP_PROXY", IntegrationUri="http://x"
            ),
        ),
        ("BadRequestException", lambda: site.api.create_api(Name="w", ProtocolType="WEBSOCKET")),
        ("NotFoundException", lambda: site.api.get_api(ApiId="nope")),
        ("NotFoundException", lambda: site.api.delete_route(ApiId=site.id, RouteId="nope")),
    ):
        with pytest.raises(ClientError) as error:
            work()
        assert error.value.response["Error"]["Code"] == code


def test_listings_are_paged_and_a_deleted_api_is_gone(site):
    target = site.integrate()
    for number in range(5):
        site.api.create_route(ApiId=site.id, RouteKey=f"GET /{number}", Target=target)
    seen, token = [], {}
    while True:
        page = site.api.get_routes(ApiId=site.id, MaxResults="2", **token)
        seen += [r["RouteKey"] for r in page["Items"]]
        assert len(page["Items"]) <= 2
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == [f"GET /{n}" for n in range(5)]
    site.api.delete_api(ApiId=site.id)
    with pytest.raises(site.api.exceptions.NotFoundException):
        site.api.get_routes(ApiId=site.id)


# -- the pure rule


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [("GET", "/pets/dog/1", "GET /pets/dog/1"), ("GET", "/pets/dog/2", "GET /pets/dog/{id}"), ("GET", "/pets/cat/2", "GET /pets/{proxy+}"),
     ("POST", "/test/5", "ANY /{proxy+}"), ("GET", "/", "$default"), ("POST", "/pets/dog/1", "ANY /{proxy+}")],
)  # fmt: skip
def test_the_most_specific_route_wins(method, path, route):
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html has this table."""
    keys = [
        "GET /pets/dog/1",
        "GET /pets/dog/{id}",
        "GET /pets/{proxy+}",
        "ANY /{proxy+}",
        "$default",
    ]
    assert Router([[key, "", None] for key in keys]).match(method, path).route_key == route


@pytest.mark.parametrize("key", ["get /a", "GET a", "GET /{a+}/b", "GET /{a}/{a}", "GET /{a", ""])
def test_malformed_route_keys_are_refused(key):
    assert problem(key)


def test_an_api_tells_of_its_requests_by_stage_too(site, client):
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html"""
    site.route("GET /x")
    site.permit()
    assert [site.ask("GET", path)[0] for path in ("/x", "/x", "/none")] == [200, 200, 404]
    site.platform.run(site.platform.cloud.metrics.flush())
    cw, now = client("cloudwatch"), site.platform.cloud.world.cloud()

    def total(name, *dimensions):
        points = cw.get_metric_statistics(
            Namespace="AWS/ApiGateway", MetricName=name, Dimensions=[{"Name": n, "Value": v} for n, v in dimensions],
            StartTime=now - 3600, EndTime=now + 3600, Period=3600, Statistics=["Sum", "SampleCount"],
        )["Datapoints"]  # fmt: skip
        return sum(p["SampleCount"] for p in points), sum(p["Sum"] for p in points)

    for where in ([("ApiId", site.id)], [("ApiId", site.id), ("Stage", "$default")]):
        assert total("Count", *where) == (3, 3)
        assert total("4xx", *where) == (3, 1)
        assert total("5xx", *where) == (3, 0)
        assert total("Latency", *where)[0] == 3
        assert total("IntegrationLatency", *where)[0] == 2
