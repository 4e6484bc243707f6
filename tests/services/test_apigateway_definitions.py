"""The definition of a REST API: made piece by piece or imported, changed by patches, refused in AWS's words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from conftest import Platform
from lambdas import create
from services.rest_site import ME, Site, permit

from stratolite.clock import World
from stratolite.service import snake
from stratolite.services.apigateway import Apigateway
from stratolite.services.apigateway.access import needed
from stratolite.wire.redaction import HIDDEN, redacted

MOCK = {"type": "MOCK", "requestTemplates": {"application/json": '{"statusCode": 200}'}}
NO_RESOURCE = "Invalid Resource identifier specified"
NO_METHOD = "Invalid Method identifier specified"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(str(tmp_path_factory.mktemp("definitions") / "cloud"), World())
    yield made
    made.close()


@pytest.fixture
def api(client: Any) -> Any:
    return client("apigateway")


@pytest.fixture
def made(api: Any) -> dict[str, Any]:
    return dict(api.create_rest_api(name="a"))


def refused(work: Any, **request: Any) -> tuple[str, str]:
    """(code, message) of the error."""
    with pytest.raises(ClientError) as error:
        work(**request)
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def patch(*operations: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(("op", "path", "value"), one, strict=False)) for one in operations]


def test_an_api_is_what_aws_says_of_a_new_one(api: Any) -> None:
    """As LocalStack recorded it (test_create_rest_api_with_optional_params)."""
    made = api.create_rest_api(name="a")
    del made["ResponseMetadata"], made["createdDate"]
    assert made == {
        "id": made["id"],
        "name": "a",
        "apiKeySource": "HEADER",
        "disableExecuteApiEndpoint": False,
        "endpointConfiguration": {"types": ["EDGE"], "ipAddressType": "ipv4"},
        "rootResourceId": made["rootResourceId"],
    }
    assert {m["name"] for m in api.get_models(restApiId=made["id"])["items"]} == {"Empty", "Error"}
    changed = api.update_rest_api(
        restApiId=made["id"],
        patchOperations=patch(
            ("replace", "/description", "d"),
            ("add", "/binaryMediaTypes/image~1png"),
            ("add", "/binaryMediaTypes/image~1gif"),
            ("remove", "/binaryMediaTypes/image~1png"),
            ("replace", "/minimumCompressionSize", "10"),
            ("replace", "/endpointConfiguration/types/EDGE", "REGIONAL"),
        ),
    )
    assert (changed["description"], changed["binaryMediaTypes"], changed["tags"]) == ("d", ["image/gif"], {})  # fmt: skip
    assert (changed["minimumCompressionSize"], changed["endpointConfiguration"]["types"]) == (10, ["REGIONAL"])  # fmt: skip


def test_bad_apis_are_refused_in_awss_words(api: Any, made: dict[str, Any]) -> None:
    bad, create = "BadRequestException", api.create_rest_api
    assert refused(create, name="a", description="") == (
        bad,
        "Description cannot be an empty string",
    )
    size = "Invalid minimum compression size, must be between 0 and 10485760"
    assert refused(create, name="a", minimumCompressionSize=-1) == (bad, size)
    assert refused(create, name="a", endpointConfiguration={"types": ["EDGE", "REGIONAL"]}) == (
        bad,
        "Cannot create an api with multiple Endpoint Types.",
    )
    assert "PRIVATE" in refused(create, name="a", endpointConfiguration={"types": ["PRIVATE"]})[1]

    def update(*operation: Any) -> tuple[str, str]:
        return refused(api.update_rest_api, restApiId=made["id"], patchOperations=patch(operation))

    assert update("replace", "/binaryMediaTypes", "x") == (
        bad,
        "Invalid patch path /binaryMediaTypes",
    )
    assert update("add", "/name", "x") == (
        bad,
        "Invalid patch operation specified. Must be one of: [replace]",
    )
    code, words = update("wrong", "/name", "x")
    assert code == "ValidationException"
    assert words.startswith(
        "1 validation error detected: Value 'wrong' at 'updateRestApiInput.patchOperations.1.member.op' failed to"
        " satisfy constraint: Member must satisfy enum value set: ["
    )
    response = {"restApiId": made["id"], "responseType": "FAKE"}
    words = refused(api.get_gateway_response, **response)[1]
    assert words.startswith("1 validation error detected: Value 'FAKE' at 'responseType' failed")
    assert refused(api.get_rest_api, restApiId="nope") == (
        "NotFoundException",
        f"Invalid API identifier specified {ME}:nope",
    )


def test_resources_are_a_tree(api: Any, made: dict[str, Any]) -> None:
    where = {"restApiId": made["id"]}

    def add(parent: str, part: str) -> Any:
        return api.create_resource(**where, parentId=parent, pathPart=part)

    root = made["rootResourceId"]
    pets = add(root, "pets")
    assert (pets["path"], pets["parentId"], pets["pathPart"]) == ("/pets", root, "pets")
    toys = add(add(pets["id"], "{id}")["id"], "toys")
    assert toys["path"] == "/pets/{id}/toys"
    greedy = add(root, "{proxy+}")["id"]
    conflict = "Another resource with the same parent already has this name: pets"
    assert refused(add, parent=root, part="pets") == ("ConflictException", conflict)
    sibling = "A sibling ({proxy+}) of this resource already has a variable path part -- only one is allowed"
    assert refused(add, parent=root, part="{other}")[1] == sibling
    child = "Cannot create a child of a resource with a greedy path variable: {proxy+}"
    assert refused(add, parent=greedy, part="x")[1] == child
    assert refused(add, parent="nope", part="x") == ("NotFoundException", NO_RESOURCE)
    assert refused(add, parent=root, part="a b")[0] == "BadRequestException"

    def move(resource: str, *operation: Any) -> Any:
        return api.update_resource(**where, resourceId=resource, patchOperations=patch(operation))

    assert move(pets["id"], "replace", "/pathPart", "dogs")["path"] == "/dogs"
    assert api.get_resource(**where, resourceId=toys["id"])["path"] == "/dogs/{id}/toys"
    assert refused(lambda: move(pets["id"], "replace", "/parentId", toys["id"]))[1] == (
        "Resources cannot be cyclical."
    )
    assert refused(lambda: move(root, "replace", "/pathPart", "x"))[1] == (
        "Root resource cannot update its pathPart."
    )
    assert refused(lambda: move(pets["id"], "replace", "/invalid", "x"))[1] == (
        "Invalid patch path  '/invalid' specified for op 'replace'. Must be one of: [/parentId, /pathPart]"
    )
    api.delete_resource(**where, resourceId=pets["id"])
    assert refused(api.get_resource, **where, resourceId=toys["id"])[1] == NO_RESOURCE
    listed = api.get_resources(**where, limit=1)
    assert len(listed["items"]) == 1
    rest = api.get_resources(**where, limit=1, position=listed["position"])
    assert {r["path"] for r in listed["items"] + rest["items"]} == {"/", "/{proxy+}"}


def test_methods_and_what_belongs_to_them(api: Any, made: dict[str, Any]) -> None:
    """Shapes and words as LocalStack recorded them (test_put_method_validation and others)."""
    where = {
        "restApiId": made["id"],
        "resourceId": made["rootResourceId"],
        "httpMethod": "GET",
    }
    assert refused(api.get_method, **where) == ("NotFoundException", NO_METHOD)
    code, words = refused(api.put_method, **where | {"httpMethod": "FETCH"}, authorizationType="NONE")  # fmt: skip
    assert (
        words
        == "Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY"
    )
    assert code == "BadRequestException"
    assert refused(api.put_method, **where, authorizationType="CUSTOM")[1] == (
        "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a"
        " valid authorizer."
    )
    assert "COGNITO_USER_POOLS is not offered" in refused(api.put_method, **where, authorizationType="COGNITO_USER_POOLS")[1]  # fmt: skip
    assert refused(api.put_method, **where, authorizationType="NONE", requestModels={"application/json": "No"})[1] == (
        "Invalid model identifier specified: No"
    )  # fmt: skip
    twice = {"method.request.header.a": True, "method.request.querystring.a": True}
    assert refused(api.put_method, **where, authorizationType="NONE", requestParameters=twice)[
        1
    ] == ("Parameter names must be unique across querystring, header and path")
    api.put_method(**where, authorizationType="NONE")
    assert refused(api.put_method, **where, authorizationType="NONE")[0] == "ConflictException"
    assert refused(api.get_integration, **where)[1] == "Invalid Integration identifier specified"
    kept = api.put_integration(**where, **MOCK)
    del kept["ResponseMetadata"]
    assert kept == {
        "type": "MOCK",
        "requestTemplates": MOCK["requestTemplates"],
        "passthroughBehavior": "WHEN_NO_MATCH",
        "timeoutInMillis": 29000,
        "cacheNamespace": made["rootResourceId"],
        "cacheKeyParameters": [],
    }
    api.put_method_response(**where, statusCode="200", responseModels={"application/json": "Empty"})
    answer = api.put_integration_response(**where, statusCode="200", selectionPattern="")
    assert (answer["statusCode"], answer["selectionPattern"]) == ("200", "")
    assert (
        refused(api.get_method_response, **where, statusCode="404")[1]
        == "Invalid Response status code specified"
    )
    whole = api.get_method(**where)
    assert (
        whole["methodIntegration"]["integrationResponses"].keys()
        == whole["methodResponses"].keys()
        == {"200"}
    )
    assert api.get_resources(restApiId=made["id"])["items"][0]["resourceMethods"] == {"GET": {}}
    embedded = api.get_resources(restApiId=made["id"], embed=["methods"])["items"][0]
    assert embedded["resourceMethods"]["GET"]["authorizationType"] == "NONE"
    in_use = refused(api.delete_model, restApiId=made["id"], modelName="Empty")
    assert in_use[0] == "ConflictException"
    changed = api.update_method_response(
        **where,
        statusCode="200",
        patchOperations=patch(
            ("add", "/responseParameters/method.response.header.my-header", "true"),
            ("remove", "/responseModels/application~1json"),
        ),
    )
    assert changed["responseParameters"] == {"method.response.header.my-header": True}
    assert "responseModels" not in changed
    api.delete_integration_response(**where, statusCode="200")
    api.delete_method(**where)
    assert refused(api.delete_method, **where)[1] == NO_METHOD


@pytest.mark.parametrize(
    ("integration", "words"),
    [
        ({"type": "HTTP", "uri": "http://a.example"}, "Enumeration value for HttpMethod must be non-empty"),
        ({"type": "HTTP", "integrationHttpMethod": "GET", "uri": "ftp://a"}, "Invalid HTTP endpoint specified for URI"),
        ({"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": "x"}, "Invalid ARN specified in the request"),
        ({"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": f"arn:aws:lambda:us-east-1:{ME}:function:f"},
         "AWS ARN for integration must contain path or action"),
        ({"type": "AWS_PROXY", "integrationHttpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:sqs:path/x"},
         "Integrations of type 'AWS_PROXY' currently only supports Lambda function and Firehose stream invocations."),
        ({"type": "AWS", "integrationHttpMethod": "POST", "uri": "arn:aws:apigateway:us-east-1:rekognition:action/DetectFaces"},
         "An AWS integration with rekognition is not offered by Stratolite yet"),
        ({"type": "HTTP", "integrationHttpMethod": "GET", "uri": "http://a.example", "connectionType": "VPC_LINK"},
         "A VPC link is not offered by Stratolite yet"),
        ({**MOCK, "requestParameters": {"integration.request.header.a": "what"}},
         "Invalid mapping expression specified: Validation Result: warnings : [], errors : [Invalid mapping expression specified: what]"),
        ({**MOCK, "timeoutInMillis": 30000}, "Timeout should be between 50 ms and 29000 ms"),
        ({"type": "MOCK", "requestTemplates": {"application/json": "#macro(a)#end"}},
         "Invalid mapping template for application/json: #macro is not offered by Stratolite yet"),
    ],
)  # fmt: skip
def test_integrations_nobody_could_serve_are_refused(api: Any, made: dict[str, Any], integration: Any, words: str) -> None:  # fmt: skip
    where = {"restApiId": made["id"], "resourceId": made["rootResourceId"], "httpMethod": "GET"}
    api.put_method(**where, authorizationType="NONE")
    assert refused(api.put_integration, **where, **integration) == ("BadRequestException", words)


def test_an_api_without_methods_or_integrations_is_not_deployed(api: Any, made: dict[str, Any]) -> None:  # fmt: skip
    where = {"restApiId": made["id"]}
    assert refused(api.create_deployment, **where)[1] == "The REST API doesn't contain any methods"
    api.put_method(
        **where, resourceId=made["rootResourceId"], httpMethod="GET", authorizationType="NONE"
    )
    assert refused(api.create_deployment, **where)[1] == "No integration defined for method"
    assert (
        refused(api.create_stage, **where, stageName="s", deploymentId="x")[0]
        == "BadRequestException"
    )


def test_gateway_responses_have_defaults_and_may_be_changed(api: Any, made: dict[str, Any]) -> None:
    """As LocalStack recorded them (test_gateway_response_crud, test_update_gateway_response)."""
    where = {"restApiId": made["id"], "responseType": "MISSING_AUTHENTICATION_TOKEN"}
    default = api.get_gateway_response(**where)
    assert (default["defaultResponse"], default["statusCode"]) == (True, "403")
    assert default["responseTemplates"] == {"application/json": '{"message":$context.error.messageString}'}  # fmt: skip
    _, words = refused(api.delete_gateway_response, **where)
    assert words == "Gateway response type not defined on api"
    assert len(api.get_gateway_responses(restApiId=made["id"])["items"]) == 21
    changed = api.update_gateway_response(**where, patchOperations=patch(("replace", "/statusCode", "404")))  # fmt: skip
    assert (changed["defaultResponse"], changed["statusCode"]) == (False, "404")
    assert refused(api.update_gateway_response, **where, patchOperations=patch(("add", "/statusCode", "4")))[1] in (
        "Invalid patch path /statusCode",
        "Invalid patch operation specified. Must be one of: [replace]",
    )  # fmt: skip
    api.put_gateway_response(
        restApiId=made["id"],
        responseType="DEFAULT_5XX",
        responseParameters={"gatewayresponse.header.x": "'y'"},
    )
    listed = {
        r["responseType"]: r for r in api.get_gateway_responses(restApiId=made["id"])["items"]
    }
    assert listed["INTEGRATION_FAILURE"]["responseParameters"] == {
        "gatewayresponse.header.x": "'y'"
    }
    assert listed["UNAUTHORIZED"]["responseParameters"] == {}


def test_authorizers_validators_and_models_are_checked(api: Any, made: dict[str, Any]) -> None:
    where = {"restApiId": made["id"]}
    words = "Unable to complete operation due to concurrent modification. Please try again later."
    assert refused(api.create_authorizer, restApiId="nope", name="n", type="TOKEN") == (
        "ConflictException",
        words,
    )
    assert "COGNITO_USER_POOLS is not offered" in refused(api.create_authorizer, **where, name="n", type="COGNITO_USER_POOLS")[1]  # fmt: skip
    assert (
        refused(api.create_request_validator, restApiId="nope")[1]
        == "Invalid REST API identifier specified"
    )
    validator = api.create_request_validator(**where, name="v")
    changed = api.update_request_validator(
        **where,
        requestValidatorId=validator["id"],
        patchOperations=patch(("replace", "/validateRequestBody", "true")),
    )
    assert (changed["validateRequestBody"], changed["validateRequestParameters"]) == (True, False)
    model = {**where, "name": "Thing", "contentType": "application/json"}
    empty = "Model schema must have at least 1 property or array items defined"
    assert refused(api.create_model, **model)[1] == empty
    outside = json.dumps({"$ref": "http://a.example/schema"})
    assert "Unsupported reference" in refused(api.create_model, **model, schema=outside)[1]
    api.create_model(**model, schema="{}")
    assert refused(api.create_model, **model, schema="{}")[0] == "ConflictException"
    assert refused(api.get_model, **where, modelName="No")[1] == "Invalid model name specified: No"


def test_keys_plans_account_and_tags(api: Any) -> None:
    key = api.create_api_key(name="abc", value="v" * 20, tags={"a": "1"})
    assert (key["enabled"], key["value"], key["stageKeys"]) == (False, "v" * 20, [])
    assert refused(api.create_api_key, value="v" * 20)[0] == "ConflictException"
    assert (
        refused(api.create_api_key, value="short")[1]
        == "API Key value should be at least 20 characters"
    )
    assert "value" not in api.get_api_key(apiKey=key["id"])
    assert [k["id"] for k in api.get_api_keys(nameQuery="ab")["items"]] == [key["id"]]
    assert api.get_api_keys(nameQuery="bc")["items"] == []
    plan = api.create_usage_plan(name="p", throttle={"burstLimit": 20, "rateLimit": 10.0})["id"]
    stages = patch(("add", "/apiStages", "x"))
    assert (
        refused(api.update_usage_plan, usagePlanId=plan, patchOperations=stages)[1]
        == "Invalid API Stage specified"
    )
    stages = patch(("add", "/apiStages", "x:y"))
    assert refused(api.update_usage_plan, usagePlanId=plan, patchOperations=stages) == (
        "NotFoundException",
        f"Invalid API Stage {{api: x, stage: y}} specified for usageplan {plan}",
    )
    api.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
    assert [k["value"] for k in api.get_usage_plan_keys(usagePlanId=plan)["items"]] == ["v" * 20]
    arn = f"arn:aws:apigateway:us-east-1::/apikeys/{key['id']}"
    api.tag_resource(resourceArn=arn, tags={"b": "2"})
    api.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert api.get_tags(resourceArn=arn)["tags"] == {"b": "2"}
    role = f"arn:aws:iam::{ME}:role/logs"
    account = api.update_account(patchOperations=patch(("replace", "/cloudwatchRoleArn", role)))
    assert (account["cloudwatchRoleArn"], account["throttleSettings"]["burstLimit"]) == (role, 5000)
    api.delete_usage_plan(usagePlanId=plan)
    api.delete_api_key(apiKey=key["id"])
    assert refused(api.get_api_key, apiKey=key["id"])[1] == "Invalid API Key identifier specified"


def test_iam_sees_paths_and_verbs(client: Any, api: Any, made: dict[str, Any]) -> None:
    """https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagement.html"""
    iam = client("iam")
    iam.create_user(UserName="reader")
    start = f"arn:aws:apigateway:us-east-1::/restapis/{made['id']}"
    statement = {"Effect": "Allow", "Action": "apigateway:GET", "Resource": f"{start}/resources*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = client("apigateway", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    where = {"restApiId": made["id"]}
    assert reader.get_resources(**where)["items"]
    assert reader.get_resource(**where, resourceId=made["rootResourceId"])["path"] == "/"
    words = refused(reader.create_resource, **where, parentId=made["rootResourceId"], pathPart="x")[
        1
    ]
    assert f"apigateway:POST on resource: {start}/resources/{made['rootResourceId']}" in words
    assert "apigateway:GET on resource: " in refused(reader.get_rest_apis)[1]


SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "pets", "version": "7", "description": "d"},
    "basePath": "/base/path",
    "x-amazon-apigateway-binary-media-types": ["image/png"],
    "x-amazon-apigateway-request-validators": {"all": {"validateRequestBody": True, "validateRequestParameters": True}},
    "x-amazon-apigateway-request-validator": "all",
    "x-amazon-apigateway-gateway-responses": {
        "DEFAULT_4XX": {"responseParameters": {"gatewayresponse.header.x-four": "'yes'"}}
    },
    "securityDefinitions": {
        "key": {"type": "apiKey", "name": "x-api-key", "in": "header"},
        "sigv4": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4"},
    },
    "definitions": {
        "Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        "Pets": {"type": "array", "items": {"$ref": "#/definitions/Pet"}},
    },
    "paths": {
        "/pets/{id}": {
            "parameters": [{"name": "q", "in": "query", "required": True, "type": "string"}],
            "post": {
                "operationId": "PutPets",
                "parameters": [{"in": "body", "name": "Pets", "schema": {"$ref": "#/definitions/Pets"}}],
                "responses": {"200": {"description": "ok", "headers": {"X-A": {"type": "string"}}}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": "{statusCode: 200}"},
                    "responses": {
                        "default": {
                            "statusCode": 200,
                            "responseParameters": {"method.response.header.X-A": "'b'"},
                            "responseTemplates": {"application/json": '{"id": "$input.params(\'id\')"}'},
                        }
                    },
                },
            },
            "get": {"security": [{"sigv4": []}, {"key": []}], "x-amazon-apigateway-integration": {"type": "mock"}},
        },
    },
}  # fmt: skip


def test_a_swagger_definition_makes_an_api_that_serves(
    client: Any, platform: Any, api: Any
) -> None:
    made = api.import_rest_api(body=json.dumps(SWAGGER))
    assert (made["name"], made["version"], made["description"]) == ("pets", "7", "d")
    assert made["binaryMediaTypes"] == ["image/png"]
    where = {"restApiId": made["id"]}
    resources = {r["path"]: r for r in api.get_resources(**where, embed=["methods"])["items"]}
    assert resources.keys() == {"/", "/pets", "/pets/{id}"}
    methods = resources["/pets/{id}"]["resourceMethods"]
    assert (methods["GET"]["authorizationType"], methods["GET"]["apiKeyRequired"]) == (
        "AWS_IAM",
        True,
    )
    assert methods["POST"]["operationName"] == "PutPets"
    assert methods["POST"]["requestModels"] == {"application/json": "Pets"}
    assert methods["POST"]["requestParameters"] == {
        "method.request.path.id": True,
        "method.request.querystring.q": True,
    }
    schema = json.loads(api.get_model(**where, modelName="Pets")["schema"])
    assert schema["items"]["$ref"].endswith(f"{made['id']}/models/Pet")
    assert {m["name"] for m in api.get_models(**where)["items"]} == {"Pet", "Pets"}
    api.create_deployment(**where, stageName="prod")
    site = Site.__new__(Site)
    site.platform, site.id = platform, made["id"]
    status, headers, raw = site.ask("POST", "/prod/pets/7", b'[{"name": "x"}]', "q=1")
    assert (status, headers["x-a"], json.loads(raw)) == (200, "b", {"id": "7"})
    status, headers, raw = site.ask("POST", "/prod/pets/7", b'[{"nam": "x"}]', "q=1")
    assert (status, headers["x-four"]) == (400, "yes")
    assert site.said("POST", "/prod/pets/7") == (
        400,
        {"message": "Missing required request parameters: [q]"},
    )

    # -- merged: what is new is added; overwritten: what is old is gone
    other = {"openapi": "3.0.1", "info": {"title": "new"}, "paths": {"/other": {"x-amazon-apigateway-any-method": {"x-amazon-apigateway-integration": {"type": "mock"}}}}}  # fmt: skip
    merged = api.put_rest_api(**where, mode="merge", body=json.dumps(other))
    assert (merged["name"], merged["id"]) == ("new", made["id"])
    assert {r["path"] for r in api.get_resources(**where)["items"]} == {
        "/",
        "/pets",
        "/pets/{id}",
        "/other",
    }
    api.put_rest_api(**where, mode="overwrite", body=json.dumps(other))
    assert {r["path"] for r in api.get_resources(**where)["items"]} == {"/", "/other"}
    assert site.ask("POST", "/prod/pets/7", b'[{"name": "x"}]', "q=1")[0] == 200, "as deployed"


@pytest.mark.parametrize(("mode", "paths"), [("ignore", {"/pets"}), ("prepend", {"/base", "/base/path", "/base/path/pets"}), ("split", {"/path", "/path/pets"})])  # fmt: skip
def test_the_base_path_is_ignored_prepended_or_split(api: Any, mode: str, paths: set[str]) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/import-export-api-basepath.html"""
    for start in ({"swagger": "2.0", "basePath": "/base/path"}, {"openapi": "3.0.1", "servers": [{"url": "https://a.example/{b}/path", "variables": {"b": {"default": "base"}}}]}):  # fmt: skip
        body = {**start, "info": {"title": "b"}, "paths": {"/pets": {"get": {"x-amazon-apigateway-integration": {"type": "mock"}}}}}  # fmt: skip
        made = api.import_rest_api(body=json.dumps(body), parameters={"basepath": mode})
        found = {r["path"] for r in api.get_resources(restApiId=made["id"])["items"]}
        assert found == {"/"} | paths


def test_yaml_is_a_definition_too_and_nonsense_is_none(api: Any) -> None:
    text = "swagger: '2.0'\ninfo: {title: y, version: 2020-01-01}\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration: {type: mock}\n"
    made = api.import_rest_api(body=text.encode())
    assert (made["name"], made["version"]) == ("y", "2020-01-01")
    for body in (
        b"",
        b"{",
        b"just text",
        b"[1]",
        b"swagger: '9'",
        b"a: &a [1]\nb: *a\nswagger: '2.0'",
    ):
        code, words = refused(api.import_rest_api, body=body)
        assert code == "BadRequestException"
        assert words.startswith("Invalid OpenAPI input")
    cognito = {**SWAGGER, "securityDefinitions": {"c": {"type": "apiKey", "x-amazon-apigateway-authorizer": {"type": "cognito_user_pools"}}}}  # fmt: skip
    assert (
        "COGNITO_USER_POOLS is not offered"
        in refused(api.import_rest_api, body=json.dumps(cognito))[1]
    )


NAKED = """
def handler(event, context):
    if event.get("fail"): raise Exception(event["fail"])
    return {"got": event}
"""


def test_a_function_without_proxy_gets_what_the_template_makes(client: Any, platform: Any) -> None:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/handle-errors-in-lambda-integration.html"""
    site = Site(client, platform)
    arn = create(client, "naked", NAKED)["FunctionArn"]
    permit(client, "naked", f"{site.id}/*")
    template = (
        '{"name": $input.json("$.name"), "stage": "$context.stage", "fail": "$!input.params("fail")",'
        ' "size": $input.path("$.list").size()}'
    )
    where = site.add(
        "POST",
        "/a",
        {
            "type": "AWS",
            "integrationHttpMethod": "POST",
            "uri": site.uri(arn),
            "requestTemplates": {"application/json": template},
            "passthroughBehavior": "NEVER",
        },
    )
    for status, pattern, made in (
        ("200", "", '{"name": $input.json("$.got.name"), "all": $input.json("$.got")}'),
        ("404", "(\\n|.)*not found(\\n|.)*", '{"said": $input.json("$.errorMessage")}'),
        ("418", "teapot.*", "#set($context.responseOverride.status = 419)#set($context.responseOverride.header.X-T = 'y')t"),
    ):  # fmt: skip
        site.api.put_integration_response(
            **where, statusCode=status, selectionPattern=pattern, responseTemplates={"application/json": made}
        )  # fmt: skip
    site.deploy()
    status, said = site.said("POST", "/prod/a", {"name": "x", "list": [1, 2]})
    assert (status, said["name"]) == (200, "x")
    assert said["all"] == {"name": "x", "stage": "prod", "fail": "", "size": 2}
    status, said = site.said("POST", "/prod/a", {"name": 1, "list": []}, "fail=pet+not+found")
    assert (status, said) == (404, {"said": "pet not found"})
    raw = json.dumps({"name": 1, "list": []}).encode()
    status, headers, body = site.ask("POST", "/prod/a", raw, "fail=teapot!")
    assert (status, headers["x-t"], body) == (419, "y", b"t")
    assert site.said("POST", "/prod/a", b"<a/>", content_type="text/xml") == (
        415,
        {"message": "Unsupported Media Type"},
    )


def test_http_integrations_go_out_through_egress(
    client: Any, platform: Any, monkeypatch: Any
) -> None:
    """What is sent is what the mappings say, and the answer is mapped back by its status."""
    from stratolite.egress import Answer, Refused

    sent: list[Any] = []

    async def request(
        method: str, url: str, headers: Any = (), body: bytes = b"", **_: Any
    ) -> Answer:
        if "refused" in url:
            raise Refused("not from here")
        sent.append((method, url, dict(headers), body))
        return Answer(
            404 if "none" in url else 200, [("x-backend", "1"), ("date", "then")], b'{"n": [1]}'
        )

    monkeypatch.setattr(platform.cloud.egress, "request", request)
    site = Site(client, platform)
    site.add("POST", "/p/{id}", {
        "type": "HTTP_PROXY", "integrationHttpMethod": "PUT", "uri": "https://${stageVariables.host}/x/{id}",
        "requestParameters": {"integration.request.path.id": "method.request.path.id",
                              "integration.request.header.X-Stage": "context.stage",
                              "integration.request.querystring.more": "'1'"},
    })  # fmt: skip
    where = site.add("GET", "/h/{id}", {
        "type": "HTTP", "integrationHttpMethod": "GET", "uri": "https://b.example/{id}",
        "requestParameters": {"integration.request.path.id": "method.request.path.id"},
    })  # fmt: skip
    for status, pattern in (("200", "2\\d{2}"), ("410", "404")):
        site.api.put_integration_response(
            **where, statusCode=status, selectionPattern=pattern,
            responseParameters={"method.response.header.X-B": "integration.response.header.x-backend",
                                "method.response.header.X-N": "integration.response.body.n[0]"},
        )  # fmt: skip
    site.add("GET", "/r", {"type": "HTTP_PROXY", "integrationHttpMethod": "GET", "uri": "https://refused.example"})  # fmt: skip
    site.deploy(variables={"host": "a.example"})
    status, headers, raw = site.ask(
        "POST", "/prod/p/7", b"hi", "q=a+b", x_mine="m", content_type="text/plain"
    )
    assert (status, raw, headers["x-amzn-remapped-date"]) == (200, b'{"n": [1]}', "then")
    method, url, headers, body = sent[-1]
    assert (method, url, body) == ("PUT", "https://a.example/x/7?q=a+b&more=1", b"hi")
    assert (headers["x-mine"], headers["X-Stage"], headers["content-type"]) == (
        "m",
        "prod",
        "text/plain",
    )
    assert "host" not in {name.lower() for name in headers}
    status, headers, raw = site.ask("GET", "/prod/h/9")
    assert (status, headers["x-b"], headers["x-n"], raw) == (200, "1", "1", b'{"n": [1]}')
    assert site.ask("GET", "/prod/h/none")[0] == 410
    assert site.said("GET", "/prod/r") == (
        504,
        {"message": "Network error communicating with endpoint"},
    )


def test_the_value_of_a_key_is_on_no_record() -> None:
    """Its model does not call it sensitive, and the trail would keep it."""
    kept = redacted("apigateway", "CreateApiKey", {"name": "k", "value": "v" * 20})
    assert kept == {"name": "k", "value": HIDDEN}


def test_what_iam_is_asked_are_the_verbs_and_paths_of_the_model() -> None:
    """Of every operation offered, its members named after themselves."""
    model = botocore.session.get_session().get_service_model("apigateway")
    seen = 0
    for name in model.operation_names:
        if not hasattr(Apigateway, snake(name)):
            continue
        operation = model.operation_model(name)
        members = operation.input_shape.members if operation.input_shape else {}
        request = {m: m for m, shape in members.items() if shape.type_name == "string"}
        path = operation.http["requestUri"].partition("?")[0]
        for member, shape in members.items():
            if shape.serialization.get("location") == "uri":
                path = path.replace(f"{{{shape.serialization['name']}}}", member)
        ((action, resource),) = needed(SimpleNamespace(region="eu-west-1"), name, request)
        asked = (action, resource)
        verb = operation.http["method"]
        assert asked == (f"apigateway:{verb}", f"arn:aws:apigateway:eu-west-1::{path}"), name
        seen += 1
    assert seen > 70


def test_what_a_method_names_is_not_deleted(api: Any, made: dict[str, Any]) -> None:
    """And may be once no method does."""
    mine = {"restApiId": made["id"]}
    root = {**mine, "resourceId": made["rootResourceId"]}
    uri = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:000000000000:function:f/invocations"
    asks = {"identitySource": "method.request.header.Auth", "authorizerUri": uri}
    guard = api.create_authorizer(**mine, name="guard", type="TOKEN", **asks)["id"]
    check = api.create_request_validator(**mine, name="check")["id"]
    named = {"authorizerId": guard, "requestValidatorId": check}
    api.put_method(**root, httpMethod="GET", authorizationType="CUSTOM", **named)
    assert refused(api.delete_authorizer, **mine, authorizerId=guard) == (
        "ConflictException", f"Cannot delete authorizer '{guard}', is referenced in method: //GET"
    )  # fmt: skip
    assert refused(api.delete_request_validator, **mine, requestValidatorId=check) == (
        "ConflictException", f"Cannot delete request validator '{check}', is referenced in method: //GET"
    )  # fmt: skip
    api.delete_method(**root, httpMethod="GET")
    api.delete_authorizer(**mine, authorizerId=guard)
    api.delete_request_validator(**mine, requestValidatorId=check)
