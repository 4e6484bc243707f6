"""Methods of resources and the responses they declare.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_PutMethod.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway.parts import bad, find, given, missing, not_offered, store
from stratolite.services.apigateway.patches import Entries, Field, Rule, apply, boolean
from stratolite.services.apigateway.tree import resource

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "ANY")
AUTHORIZATIONS = ("NONE", "AWS_IAM", "CUSTOM")
_MEMBERS = ("authorizationType", "authorizerId", "operationName", "requestParameters", "requestModels",
            "requestValidatorId")  # fmt: skip
_PARAMETER = re.compile(r"method\.request\.(path|querystring|header|multivaluequerystring|multivalueheader)\.(.+)\Z")  # fmt: skip
_RESPONSE_PARAMETER = re.compile(r"method\.response\.header\..+\Z")
_STATUS = re.compile(r"[1-5]\d\d\Z")
NO_METHOD = "Invalid Method identifier specified"
NO_STATUS = "Invalid Response status code specified"
_NO_AUTHORIZER = (
    "Invalid authorizer ID specified. Setting the authorization type to CUSTOM or COGNITO_USER_POOLS requires a"
    " valid authorizer."
)
_RULES: dict[str, Rule] = {
    "/authorizationType": Field("authorizationType"),
    "/authorizerId": Field("authorizerId"),
    "/apiKeyRequired": Field("apiKeyRequired", boolean),
    "/operationName": Field("operationName"),
    "/requestValidatorId": Field("requestValidatorId"),
    "/requestParameters": Entries("requestParameters", boolean),
    "/requestModels": Entries("requestModels"),
}
_RESPONSE_RULES: dict[str, Rule] = {
    "/responseParameters": Entries("responseParameters", boolean),
    "/responseModels": Entries("responseModels", absent="Content-Type specified was not found"),
}


class Methods:
    def put_method(self, call: Call, request: Request) -> Response:
        api, where = request["restApiId"], request["resourceId"]
        found = resource(call, api, where)
        verb = request["httpMethod"]
        if verb not in METHODS:
            raise bad(
                "Invalid HttpMethod specified. Valid options are GET,PUT,POST,DELETE,PATCH,OPTIONS,HEAD,ANY"
            )
        if request.get("authorizationScopes"):
            raise not_offered("authorizationScopes")
        methods = found.setdefault("resourceMethods", {})
        if verb in methods:
            raise Fault("ConflictException", "Method already exists for this resource")
        made = {
            "httpMethod": verb,
            "apiKeyRequired": bool(request.get("apiKeyRequired")),
        } | {k: v for k, v in given(request, *_MEMBERS).items() if v not in ({}, "")}
        check_method(call, api, made)
        methods[verb] = made
        store(call, "resource", api, where, record=found)
        return made

    def get_method(self, call: Call, request: Request) -> Response:
        return method(call, request)[1]

    def update_method(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        apply(one, request.get("patchOperations") or (), _RULES)
        if one["authorizationType"] != "CUSTOM":
            one.pop("authorizerId", None)
        if not one.get("requestValidatorId"):
            one.pop("requestValidatorId", None)
        check_method(call, request["restApiId"], one)
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return one

    def delete_method(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        del found["resourceMethods"][one["httpMethod"]]
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return {}

    # -- responses

    def put_method_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        status = check_status(request["statusCode"])
        responses = one.setdefault("methodResponses", {})
        if status in responses:
            raise Fault("ConflictException", "Response already exists for this resource")
        made = {"statusCode": status} | given(request, "responseParameters", "responseModels")
        check_response(call, request["restApiId"], made)
        responses[status] = made
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return made

    def get_method_response(self, call: Call, request: Request) -> Response:
        return method_response(method(call, request)[1], request)

    def update_method_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        response = method_response(one, request)
        apply(response, request.get("patchOperations") or (), _RESPONSE_RULES)
        check_response(call, request["restApiId"], response)
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return response

    def delete_method_response(self, call: Call, request: Request) -> Response:
        found, one = method(call, request)
        method_response(one, request)
        del one["methodResponses"][request["statusCode"]]
        if not one["methodResponses"]:
            del one["methodResponses"]
        store(call, "resource", request["restApiId"], found["id"], record=found)
        return {}


def method(
    call: Call, request: Request, absent: str = NO_METHOD
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(resource, its method), both to be changed and the resource to be stored."""
    found = resource(call, request["restApiId"], request["resourceId"])
    one = (found.get("resourceMethods") or {}).get(request["httpMethod"])
    if one is None:
        raise missing(absent)
    return found, one


def method_response(one: dict[str, Any], request: Request) -> dict[str, Any]:
    found: dict[str, Any] | None = (one.get("methodResponses") or {}).get(request["statusCode"])
    if found is None:
        raise missing(NO_STATUS)
    return found


def check_status(status: str) -> str:
    if not _STATUS.match(status):
        raise bad(f"Invalid status code: {status}")
    return status


def check_method(call: Call, api: str, one: dict[str, Any]) -> None:
    """Raises Fault for what a method names and is not there, or is not offered."""
    kind = one["authorizationType"]
    if kind == "COGNITO_USER_POOLS":
        raise not_offered("Authorization by COGNITO_USER_POOLS")
    if kind not in AUTHORIZATIONS:
        raise bad("Invalid authorization type specified. Valid options are NONE, AWS_IAM, CUSTOM, COGNITO_USER_POOLS")  # fmt: skip
    if kind == "CUSTOM" and find(call, "authorizer", api, one.get("authorizerId") or "") is None:
        raise bad(_NO_AUTHORIZER)
    validator = one.get("requestValidatorId")
    if validator and find(call, "validator", api, validator) is None:
        raise bad("Invalid Request Validator identifier specified")
    for name in (one.get("requestModels") or {}).values():
        _check_model(call, api, name)
    names: list[str] = []
    for parameter in one.get("requestParameters") or {}:
        matched = _PARAMETER.match(parameter)
        if matched is None:
            raise bad(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : "
                f"[Invalid mapping expression parameter specified: {parameter}]"
            )
        names.append(matched[2])
    if len(names) != len(set(names)):
        raise bad("Parameter names must be unique across querystring, header and path")


def check_response(call: Call, api: str, response: dict[str, Any]) -> None:
    for name in (response.get("responseModels") or {}).values():
        _check_model(call, api, name)
    for parameter in response.get("responseParameters") or {}:
        if not _RESPONSE_PARAMETER.match(parameter):
            raise bad(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : "
                f"[Invalid mapping expression parameter specified: {parameter}]"
            )


def _check_model(call: Call, api: str, name: str) -> None:
    if find(call, "model", api, name) is None:
        raise bad(f"Invalid model identifier specified: {name}")
