"""Who gets through to a REST API's integration: authorizers, IAM, policies, API keys, rates, valid requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import Platform, to_http
from lambdas import create
from services.rest_site import ME, Site, permit

from stratolite.clock import World

JUDGE = """
def handler(event, context):
    token = event.get("authorizationToken") or event["headers"].get("x-who")
    if token == "nobody": raise Exception("Unauthorized")
    if token == "broken": raise Exception("other")
    if token == "odd": return {"principalId": 1}
    effect = "Allow" if token.startswith("allow") else "Deny"
    resource = event["methodArn"] if token != "elsewhere" else event["methodArn"] + "/else"
    if token == "elsewhere": effect = "Allow"
    if token == "nothing": effect, resource = "Allow", []
    return {
        "principalId": token,
        "policyDocument": {"Version": "2012-10-17", "Statement": [
            {"Effect": effect, "Action": "execute-api:Invoke", "Resource": event["methodArn"].rpartition("/")[0] + "/*" if token == "allow-all" else resource}]},
        "context": {"number": 7, "yes": True, "asked": context.aws_request_id, "type": event["type"]},
        "usageIdentifierKey": token + "x" * 20,
    }
"""
DENIED = {"Message": "User is not authorized to access this resource"}
EXPLICIT = {"Message": "User is not authorized to access this resource with an explicit deny"}
FORBIDDEN = {"message": "Forbidden"}
UNAUTHORIZED = {"message": "Unauthorized"}
SAYS = '{"who": "$context.authorizer.principalId", "number": "$context.authorizer.number", "yes": "$context.authorizer.yes", "asked": "$context.authorizer.asked", "key": "$context.identity.apiKeyId", "arn": "$context.identity.userArn"}'


class Clock(World):
    """The cloud clock stands still, or jumps when told to."""

    ahead_s = 0.0

    def cloud(self) -> float:
        return 1_800_000_000.0 + self.ahead_s


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(str(tmp_path_factory.mktemp("callers") / "cloud"), Clock())
    yield made
    made.close()


@pytest.fixture
def site(client: Any, platform: Any) -> Site:
    return Site(client, platform)


@pytest.fixture
def judge(client: Any) -> str:
    """The function of the authorizers."""
    functions = client("lambda")
    try:
        arn = create(client, "judge", JUDGE)["FunctionArn"]
        permit(client, "judge", "*/authorizers/*")
    except functions.exceptions.ResourceConflictException:
        arn = functions.get_function_configuration(FunctionName="judge")["FunctionArn"]
    return str(arn)


def authorizer(site: Site, judge: str, **more: Any) -> str:
    made = {
        "name": "judge",
        "type": "TOKEN",
        "identitySource": "method.request.header.Authorization",
        "authorizerUri": site.uri(judge),
        "authorizerResultTtlInSeconds": 0,
    }
    return str(site.api.create_authorizer(restApiId=site.id, **(made | more))["id"])


def test_a_token_authorizer_lets_in_whom_its_function_allows(site: Site, judge: str) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html"""
    kept = authorizer(site, judge, identityValidationExpression="[a-z-]+")
    where = site.mock("GET", "/a", SAYS)
    operations = [
        {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
        {"op": "replace", "path": "/authorizerId", "value": kept},
    ]
    site.api.update_method(**where, patchOperations=operations)
    site.deploy()
    status, said = site.said("GET", "/prod/a", authorization="allow")
    assert (status, said["who"], said["number"], said["yes"]) == (200, "allow", "7", "true")
    assert site.said("GET", "/prod/a", authorization="deny") == (403, EXPLICIT)
    for token in ("elsewhere", "nothing"):
        assert site.said("GET", "/prod/a", authorization=token) == (403, DENIED)
    for token in ("nobody", "NOT VALID"):
        assert site.said("GET", "/prod/a", authorization=token) == (401, UNAUTHORIZED)
    assert site.said("GET", "/prod/a") == (401, UNAUTHORIZED)
    for token, error in (
        ("broken", "AuthorizerFailureException"),
        ("odd", "AuthorizerConfigurationException"),
    ):
        status, headers, raw = site.ask("GET", "/prod/a", authorization=token)
        assert (status, json.loads(raw)) == (500, {"message": None})
        assert headers["x-amzn-errortype"] == error
    with pytest.raises(ClientError, match=f"Cannot delete authorizer '{kept}', is referenced"):
        site.api.delete_authorizer(restApiId=site.id, authorizerId=kept)


def test_an_answer_is_kept_for_its_ttl_by_the_cloud_clock(site: Site, judge: str, platform: Any) -> None:  # fmt: skip
    """And judges every method it is used for: what is kept is the policy."""
    kept = authorizer(site, judge, authorizerResultTtlInSeconds=60)
    for path in ("/a", "/b"):
        where = site.mock("GET", path, SAYS)
        operations = [
            {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
            {"op": "replace", "path": "/authorizerId", "value": kept},
        ]
        site.api.update_method(**where, patchOperations=operations)
    site.deploy()

    def asked(path: str = "/prod/a", token: str = "allow-all") -> str:
        return str(site.said("GET", path, authorization=token)[1]["asked"])

    first = asked()
    assert asked() == asked("/prod/b") == first
    assert asked(token="allow") != first
    assert site.said("GET", "/prod/b", authorization="allow") == (403, DENIED)
    platform.world.ahead_s += 61
    second = asked()
    assert second != first
    site.api.flush_stage_authorizers_cache(restApiId=site.id, stageName="prod")
    assert asked() != second


def test_a_request_authorizer_gets_the_request(site: Site, judge: str) -> None:
    sources = "method.request.header.x-who,method.request.querystring.q"
    kept = authorizer(
        site, judge, type="REQUEST", identitySource=sources, authorizerResultTtlInSeconds=300
    )
    where = site.mock("GET", "/a", SAYS)
    operations = [
        {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
        {"op": "replace", "path": "/authorizerId", "value": kept},
    ]
    site.api.update_method(**where, patchOperations=operations)
    site.deploy()
    assert site.said("GET", "/prod/a", query="q=1", x_who="allow")[1]["who"] == "allow"
    assert site.said("GET", "/prod/a", x_who="allow") == (401, UNAUTHORIZED)
    assert site.said("GET", "/prod/a", query="q=1", x_who="deny") == (403, EXPLICIT)


def signed(site: Site, path: str, key: str = ME, secret: str = "test") -> tuple[int, Any]:
    url = f"http://localhost:4566/_aws/execute-api/{site.id}{path}"
    request = AWSRequest("GET", url)
    SigV4Auth(Credentials(key, secret), "execute-api", "us-east-1").add_auth(request)
    status, _, raw = site.send(to_http(request.prepare()))
    return status, json.loads(raw)


def test_iam_decides_about_signed_requests(site: Site) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-iam-policy-examples-for-api-execution.html"""
    for path in ("/a", "/b"):
        where = site.mock("GET", path, SAYS)
        operations = [{"op": "replace", "path": "/authorizationType", "value": "AWS_IAM"}]
        site.api.update_method(**where, patchOperations=operations)
    site.deploy()
    assert site.said("GET", "/prod/a") == (403, {"message": "Missing Authentication Token"})
    assert signed(site, "/prod/a")[1]["arn"] == f"arn:aws:iam::{ME}:root"
    status, said = signed(site, "/prod/a", secret="wrong")
    assert status == 403
    assert said["message"].startswith("The request signature we calculated does not match")
    iam = site.client("iam")
    iam.create_user(UserName=f"u{site.id}")
    key = iam.create_access_key(UserName=f"u{site.id}")["AccessKey"]
    arn = f"arn:aws:execute-api:us-east-1:{ME}:{site.id}/prod/GET/a"
    statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=f"u{site.id}", PolicyName="p", PolicyDocument=policy)
    mine = (key["AccessKeyId"], key["SecretAccessKey"])
    assert signed(site, "/prod/a", *mine)[0] == 200
    who = f"arn:aws:iam::{ME}:user/u{site.id}"
    masked = f"arn:aws:execute-api:us-east-1:********{ME[-4:]}:{site.id}/prod/GET/b"
    words = f"User: {who} is not authorized to perform: execute-api:Invoke on resource: {masked}"
    assert signed(site, "/prod/b", *mine) == (403, {"Message": words})


def test_a_resource_policy_decides_who_gets_near_an_api(site: Site) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html"""
    site.mock("GET", "/a", "{}")
    site.mock("GET", "/b", "{}")

    def put(*statements: dict[str, Any]) -> None:
        policy = {"Version": "2012-10-17", "Statement": list(statements)}
        operations = [{"op": "replace", "path": "/policy", "value": json.dumps(policy)}]
        site.api.update_rest_api(restApiId=site.id, patchOperations=operations)

    base = {"Principal": "*", "Action": "execute-api:Invoke"}
    near = {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}
    put(
        {"Effect": "Allow", "Resource": "execute-api:/prod/GET/a", "Condition": near, **base},
        {"Effect": "Allow", "Resource": "execute-api:/test/*", **base},
        {"Effect": "Deny", "Resource": "execute-api:/test/GET/b", **base},
    )
    site.deploy()
    site.deploy("test")
    assert site.said("GET", "/prod/a")[0] == 200
    start = f"arn:aws:execute-api:us-east-1:********{ME[-4:]}:{site.id}"
    words = f"User: anonymous is not authorized to perform: execute-api:Invoke on resource: {start}"
    assert site.said("GET", "/prod/b") == (403, {"Message": f"{words}/prod/GET/b"})
    denied = {"Message": f"{words}/test/GET/b with an explicit deny"}
    assert site.said("GET", "/test/b") == (403, denied)
    with pytest.raises(ClientError, match="Invalid policy document"):
        site.api.update_rest_api(
            restApiId=site.id,
            patchOperations=[{"op": "replace", "path": "/policy", "value": "{}"}],
        )


@pytest.fixture
def keyed(site: Site) -> tuple[Site, str, str]:
    """(site with a method that wants a key, its usage plan, the key's value)"""
    where = site.mock("GET", "/a", SAYS)
    operations = [{"op": "replace", "path": "/apiKeyRequired", "value": "true"}]
    site.api.update_method(**where, patchOperations=operations)
    site.deploy()
    plan = site.api.create_usage_plan(name="p", apiStages=[{"apiId": site.id, "stage": "prod"}])[
        "id"
    ]
    key = site.api.create_api_key(name="k", enabled=True)
    site.api.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    return site, plan, key["value"]


def test_a_method_that_wants_a_key_gets_one(keyed: tuple[Site, str, str]) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html"""
    site, plan, value = keyed
    status, said = site.said("GET", "/prod/a", x_api_key=value)
    key = site.api.get_api_keys(includeValues=True)["items"]
    (kept,) = [k["id"] for k in key if k["value"] == value]
    assert (status, said["key"]) == (200, kept)
    status, headers, raw = site.ask("GET", "/prod/a")
    assert (status, json.loads(raw)) == (403, FORBIDDEN)
    assert headers["x-amzn-errortype"] == "ForbiddenException"
    assert site.said("GET", "/prod/a", x_api_key="x" * 40) == (403, FORBIDDEN)
    disable = [{"op": "replace", "path": "/enabled", "value": "false"}]
    site.api.update_api_key(apiKey=kept, patchOperations=disable)
    assert site.said("GET", "/prod/a", x_api_key=value) == (403, FORBIDDEN)
    enable = [{"op": "replace", "path": "/enabled", "value": "true"}]
    site.api.update_api_key(apiKey=kept, patchOperations=enable)
    site.deploy("test")
    assert site.said("GET", "/test/a", x_api_key=value) == (403, FORBIDDEN), "not in the plan"
    site.api.delete_usage_plan_key(usagePlanId=plan, keyId=kept)
    assert site.said("GET", "/prod/a", x_api_key=value) == (403, FORBIDDEN)


def test_quotas_and_rates_hold_and_come_back_with_time(keyed: tuple[Site, str, str], platform: Any) -> None:  # fmt: skip
    site, plan, value = keyed

    def limit(*pairs: tuple[str, Any], op: str = "replace") -> None:
        operations = [{"op": op, "path": path, "value": str(v)} for path, v in pairs]
        site.api.update_usage_plan(usagePlanId=plan, patchOperations=operations)

    def asked() -> tuple[int, Any]:
        status, said = site.said("GET", "/prod/a", x_api_key=value)
        return status, said if status != 200 else None

    limit(("/throttle/rateLimit", 1), ("/throttle/burstLimit", 2))
    assert [asked()[0] for _ in range(3)] == [200, 200, 429]
    assert asked() == (429, {"message": "Too Many Requests"})
    platform.world.ahead_s += 1
    assert [asked()[0] for _ in range(2)] == [200, 429]
    limit(("/throttle", ""), op="remove")
    limit(("/quota/limit", 2), ("/quota/period", "DAY"))
    assert [asked()[0] for _ in range(2)] == [200, 200]
    assert asked() == (429, {"message": "Limit Exceeded"})
    day = "2027-01-15"
    usage = site.api.get_usage(usagePlanId=plan, startDate=day, endDate=day)["items"]
    assert list(usage.values()) == [[[2, 0]]]
    platform.world.ahead_s += 86_400
    assert asked()[0] == 200


def test_a_stage_has_rates_of_its_own(site: Site, platform: Any) -> None:
    site.mock("GET", "/a", "{}")
    site.mock("GET", "/b", "{}")
    site.deploy()
    operations = [
        {"op": "replace", "path": f"/{path}/throttling/{limit}", "value": "1"}
        for path in ("~1a/GET",)
        for limit in ("rateLimit", "burstLimit")
    ]
    stage = site.api.update_stage(restApiId=site.id, stageName="prod", patchOperations=operations)
    assert stage["methodSettings"]["a/GET"]["throttlingBurstLimit"] == 1
    assert [site.said("GET", "/prod/a")[0] for _ in range(2)] == [200, 429]
    assert [site.said("GET", "/prod/b")[0] for _ in range(2)] == [200, 200]
    platform.world.ahead_s += 1
    assert site.said("GET", "/prod/a")[0] == 200


def test_an_api_may_take_the_key_from_its_authorizer(
    client: Any, platform: Any, judge: str
) -> None:
    site = Site(client, platform, apiKeySource="AUTHORIZER")
    kept = authorizer(site, judge)
    where = site.mock("GET", "/a", SAYS)
    operations = [
        {"op": "replace", "path": "/authorizationType", "value": "CUSTOM"},
        {"op": "replace", "path": "/authorizerId", "value": kept},
        {"op": "replace", "path": "/apiKeyRequired", "value": "true"},
    ]
    site.api.update_method(**where, patchOperations=operations)
    site.deploy()
    assert site.said("GET", "/prod/a", authorization="allow") == (403, FORBIDDEN)
    stages = [{"apiId": site.id, "stage": "prod"}]
    plan = site.api.create_usage_plan(name="p", apiStages=stages)["id"]
    key = site.api.create_api_key(name="k", enabled=True, value="allow" + "x" * 20)["id"]
    site.api.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    assert site.said("GET", "/prod/a", authorization="allow")[1]["key"] == key


def test_a_validator_wants_parameters_and_a_body_of_the_model(site: Site) -> None:
    """Words as LocalStack recorded them against AWS (test_api_gateway_request_validator)."""
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}
    site.api.create_model(
        restApiId=site.id, name="Thing", contentType="application/json", schema=json.dumps(schema)
    )
    validator = site.api.create_request_validator(
        restApiId=site.id, name="v", validateRequestBody=True, validateRequestParameters=True
    )["id"]
    where = {"restApiId": site.id, "resourceId": site.resource("/{id}"), "httpMethod": "POST"}
    needed = ("header.x-header-param", "path.issuer", "querystring.qs1")
    site.api.put_method(
        **where,
        authorizationType="NONE",
        requestValidatorId=validator,
        requestModels={"application/json": "Thing"},
        requestParameters={f"method.request.{name}": True for name in needed},
    )
    mock = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
    site.api.put_integration(**where, **mock)
    site.api.put_integration_response(**where, statusCode="200")
    site.deploy()
    said = site.said("POST", "/prod/1", {"a": 1})
    words = "Missing required request parameters: [x-header-param, issuer, qs1]"
    assert said == (400, {"message": words})
    rename = [
        {"op": "remove", "path": "/requestParameters/method.request.path.issuer"},
        {"op": "add", "path": "/requestParameters/method.request.path.id", "value": "true"},
    ]
    site.api.update_method(**where, patchOperations=rename)
    site.deploy()
    for body, status in (({"a": 1}, 200), ({"a": "x"}, 400), ({}, 400)):
        raw = json.dumps(body).encode()
        assert site.ask("POST", "/prod/1", raw, "qs1=1", x_header_param="x")[0] == status
    assert site.said("POST", "/prod/1", b"{", "qs1=1", x_header_param="x") == (
        400,
        {"message": "Invalid request body"},
    )
