"""REST APIs in stacks: SAM's implicit and explicit APIs, and an API resource by resource as CDK and Serverless write it."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from conftest import Platform

from stratolite.cli.stack import local_url
from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.services.cloudformation import sam

CODE = """
import json

def handler(event, context):
    who = (event["requestContext"].get("authorizer") or {}).get("principalId")
    return {"statusCode": 200, "body": json.dumps({"resource": event["resource"], "who": who})}

def judge(event, context):
    token = event["authorizationToken"]
    effect = "Allow" if token == "good" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": event["methodArn"]}
    return {"principalId": token, "policyDocument": {"Version": "2012-10-17", "Statement": [statement]}}
"""
SAM = """
Transform: AWS::Serverless-2016-10-31
Parameters: {Greeting: {Type: String, Default: hello}}
Globals:
  Function:
    Runtime: python3.11
    Handler: app.handler
    CodeUri: {Bucket: code, Key: code.zip}
Resources:
  Notes:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        List: {Type: Api, Properties: {Path: /notes, Method: get}}
        One: {Type: Api, Properties: {Path: "/notes/{id}", Method: any}}
  Guarded:
    Type: AWS::Serverless::Api
    Properties:
      StageName: live
      Variables: {greeting: !Ref Greeting}
      Cors: {AllowOrigin: "'https://a.example'", AllowHeaders: "'authorization'", AllowMethods: "'GET'"}
      BinaryMediaTypes: [image~1png]
      GatewayResponses:
        DEFAULT_4XX:
          ResponseParameters: {Headers: {Access-Control-Allow-Origin: "'https://a.example'"}}
      Auth:
        DefaultAuthorizer: Judge
        AddDefaultAuthorizerToCorsPreflight: false
        Authorizers: {Judge: {FunctionArn: !GetAtt Judge.Arn}}
        UsagePlan: {CreateUsagePlan: PER_API, Quota: {Limit: 100, Period: DAY}}
  Judge:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.judge}
  Secrets:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Get: {Type: Api, Properties: {RestApiId: !Ref Guarded, Path: /secrets, Method: get}}
        Key: {Type: Api, Properties: {RestApiId: !Ref Guarded, Path: /keyed, Method: get, Auth: {Authorizer: NONE, ApiKeyRequired: true}}}
Outputs:
  Url: {Value: !Sub "https://${ServerlessRestApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/Prod/notes"}
  Guarded: {Value: !Sub "https://${Guarded}.execute-api.${AWS::Region}.amazonaws.com/live/"}
  Key: {Value: !Ref GuardedApiKey}
"""
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(str(tmp_path_factory.mktemp("stacks") / "cloud"), World())
    # the translator takes long to start on a busy machine, and the first stack would wait for it
    started = sam.transform({"Transform": sam.SAM, "Resources": {}}, {}, "us-east-1")
    with suppress(Fault):
        asyncio.run_coroutine_threadsafe(started, made.loop).result(300)
    yield made
    made.close()


def deployed(client: Any, name: str, body: str, operation: str = "create_stack", **more: Any) -> dict[str, Any]:  # fmt: skip
    """The stack, once it is as ``body`` says."""
    cfn = client("cloudformation")
    getattr(cfn, operation)(StackName=name, TemplateBody=body, Capabilities=CAPABILITIES, **more)
    stack = ended(cfn, name)
    events = cfn.describe_stack_events(StackName=name)["StackEvents"]
    assert stack["StackStatus"].endswith(("CREATE_COMPLETE", "UPDATE_COMPLETE")), [
        (e["LogicalResourceId"], e.get("ResourceStatusReason")) for e in events
    ]
    return stack


def ended(cfn: Any, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        stack: dict[str, Any] = cfn.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(0.05)
    raise AssertionError(stack)


def removed(client: Any, stack: dict[str, Any]) -> None:
    cfn = client("cloudformation")
    cfn.delete_stack(StackName=stack["StackId"])
    assert ended(cfn, stack["StackId"])["StackStatus"] == "DELETE_COMPLETE"


def outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}


def get(platform: Platform, url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], Any]:  # fmt: skip
    """What is behind a URL that AWS would print, asked where this cloud serves it."""
    path = local_url(url, "http://localhost:4566").removeprefix("http://localhost:4566")
    sent = {"host": "localhost:4566"} | {k.replace("_", "-"): v for k, v in headers.items()}
    status, answered, raw = platform.send(HttpRequest(method, path, "", sent, b""))
    return status, {k.lower(): v for k, v in answered}, json.loads(raw) if raw else None


def test_sam_apis_are_deployed_served_changed_and_deleted(client: Any, platform: Platform) -> None:
    s3, api = client("s3"), client("apigateway")
    s3.create_bucket(Bucket="code")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("app.py", CODE)
    s3.put_object(Bucket="code", Key="code.zip", Body=out.getvalue())
    stack = deployed(client, "app", SAM)
    made = outputs(stack)

    # -- the implicit API
    status, _, said = get(platform, made["Url"])
    assert (status, said) == (200, {"resource": "/notes", "who": None})
    assert get(platform, made["Url"] + "/7", "DELETE")[2]["resource"] == "/notes/{id}"
    assert get(platform, made["Url"] + "/7/8")[0] == 403

    # -- the explicit one: CORS, authorizer, key, gateway responses
    url = made["Guarded"]
    status, headers, said = get(platform, url + "secrets", "OPTIONS", origin="https://a.example")
    assert (status, headers["access-control-allow-origin"]) == (200, "https://a.example")
    assert headers["access-control-allow-headers"] == "authorization"
    status, headers, said = get(platform, url + "secrets")
    assert (status, said) == (401, {"message": "Unauthorized"})
    assert headers["access-control-allow-origin"] == "https://a.example"
    assert get(platform, url + "secrets", authorization="good")[2]["who"] == "good"
    assert get(platform, url + "secrets", authorization="bad")[0] == 403
    assert get(platform, url + "keyed")[::2] == (403, {"message": "Forbidden"})
    value = api.get_api_key(apiKey=made["Key"], includeValue=True)["value"]
    assert get(platform, url + "keyed", x_api_key=value)[0] == 200
    (found,) = [a for a in api.get_rest_apis()["items"] if a.get("binaryMediaTypes")]
    assert found["binaryMediaTypes"] == ["image/png"]
    stage = api.get_stage(restApiId=found["id"], stageName="live")
    assert stage["variables"] == {"greeting": "hello"}

    # -- a new path and a changed variable
    changed = SAM.replace("Path: /notes,", "Path: /new,")
    given = [{"ParameterKey": "Greeting", "ParameterValue": "bye"}]
    stack = deployed(client, "app", changed, "update_stack", Parameters=given)
    assert get(platform, made["Url"])[0] == 403
    assert get(platform, made["Url"].replace("/notes", "/new"))[0] == 200
    stage = api.get_stage(restApiId=found["id"], stageName="live")
    assert stage["variables"] == {"greeting": "bye"}

    removed(client, stack)
    assert api.get_rest_apis()["items"] == []
    assert api.get_api_keys()["items"] == api.get_usage_plans()["items"] == []
    assert get(platform, made["Url"])[::2] == (403, {"message": "Forbidden"})


def piecewise(template: str = "one", **more: Any) -> str:
    """As CDK's RestApi and the Serverless Framework's http events write an API: every part a resource."""

    def part(kind: str, *depends: str, **properties: Any) -> dict[str, Any]:
        made: dict[str, Any] = {"Type": f"AWS::ApiGateway::{kind}", "Properties": properties}
        return made | ({"DependsOn": list(depends)} if depends else {})

    api, root = {"Ref": "Api"}, {"Fn::GetAtt": ["Api", "RootResourceId"]}
    mock = {
        "Type": "MOCK",
        "RequestTemplates": {"application/json": '{"statusCode": 200}'},
        "IntegrationResponses": [
            {
                "StatusCode": "200",
                "ResponseTemplates": {"application/json": json.dumps({"said": template})},
                "ResponseParameters": {"method.response.header.X-A": "'b'"},
            }
        ],
    }
    method = {
        "RestApiId": api, "HttpMethod": "POST", "AuthorizationType": "NONE", "Integration": mock,
        "MethodResponses": [{"StatusCode": "200", "ResponseParameters": {"method.response.header.X-A": True}}],
        "RequestModels": {"application/json": {"Ref": "Shape"}}, "RequestValidatorId": {"Ref": "Check"},
    }  # fmt: skip
    resources = {
        "Api": part(
            "RestApi", Name="pieces", EndpointConfiguration={"Types": ["REGIONAL"]}, **more
        ),
        "Shape": part(
            "Model",
            RestApiId=api,
            ContentType="application/json",
            Schema={"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}},
        ),
        "Check": part("RequestValidator", RestApiId=api, ValidateRequestBody=True),
        "Pets": part("Resource", RestApiId=api, ParentId=root, PathPart="pets"),
        "Method": part("Method", ResourceId={"Ref": "Pets"}, **method),
        "Missing": part(
            "GatewayResponse",
            RestApiId=api,
            ResponseType="MISSING_AUTHENTICATION_TOKEN",
            StatusCode="404",
            ResponseTemplates={"application/json": '{"no": $context.error.messageString}'},
        ),
        f"Deployment{template}": part(
            "Deployment", "Method", RestApiId=api, StageName="dev", Description=template
        ),
        "Account": part("Account"),
        "Stage": part(
            "Stage",
            RestApiId=api,
            StageName="prod",
            DeploymentId={"Ref": f"Deployment{template}"},
            MethodSettings=[
                {
                    "ResourcePath": "/*",
                    "HttpMethod": "*",
                    "MetricsEnabled": True,
                    "ThrottlingRateLimit": 100,
                }
            ],
        ),
    }
    return json.dumps({"Resources": resources, "Outputs": {"Id": {"Value": api}}})


def test_an_api_of_single_resources_is_deployed_changed_and_deleted(
    client: Any, platform: Platform
) -> None:
    stack = deployed(client, "pieces", piecewise())
    api = outputs(stack)["Id"]
    url = f"https://{api}.execute-api.us-east-1.amazonaws.com"

    def post(stage: str, body: bytes) -> tuple[int, Any]:
        path = f"/_aws/execute-api/{api}/{stage}/pets"
        request = HttpRequest("POST", path, "", {"host": "localhost:4566"}, body)
        status, _, raw = platform.send(request)
        return status, json.loads(raw)

    assert post("prod", b'{"a": 1}') == (200, {"said": "one"})
    assert post("dev", b'{"a": 1}') == (200, {"said": "one"})
    assert post("prod", b'{"a": "x"}') == (400, {"message": "Invalid request body"})
    assert get(platform, f"{url}/prod/none")[::2] == (404, {"no": "Missing Authentication Token"})

    stack = deployed(client, "pieces", piecewise("two", Description="second"), "update_stack")
    assert post("prod", b'{"a": 1}') == post("dev", b'{"a": 1}') == (200, {"said": "two"})
    rest = client("apigateway")
    assert rest.get_rest_api(restApiId=api)["description"] == "second"
    assert len(rest.get_deployments(restApiId=api)["items"]) == 1
    removed(client, stack)
    assert rest.get_rest_apis()["items"] == []
