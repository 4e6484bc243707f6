"""Authorizers: the parts of an API that say which function is asked who may call.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_CreateAuthorizer.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway.parts import (
    all_of,
    bad,
    check_unused,
    find,
    given,
    load,
    made_before,
    new_id,
    not_offered,
    page,
    remove,
    room,
    shown,
    store,
)
from stratolite.services.apigateway.patches import Field, apply_named, number
from stratolite.services.apigateway.targets import function_text, has_variables, is_function

AUTHORIZERS_COUNT_MAX = 10
TTL_S_MAX = 3600
TTL_S_DEFAULT = 300
_MEMBERS = ("name", "type", "authorizerUri", "authorizerCredentials", "identitySource",
            "identityValidationExpression", "authType")  # fmt: skip
_SOURCE = re.compile(
    r"(method\.request\.(header|querystring|multivaluequerystring|multivalueheader)\.[^,\s]+|stageVariables\.[A-Za-z0-9_]+"
    r"|context\.[A-Za-z0-9_.]+)\Z"
)
_RULES = {
    "/name": Field("name"),
    "/type": Field("type"),
    "/authorizerUri": Field("authorizerUri"),
    "/authorizerCredentials": Field("authorizerCredentials"),
    "/identitySource": Field("identitySource"),
    "/identityValidationExpression": Field("identityValidationExpression"),
    "/authorizerResultTtlInSeconds": Field("authorizerResultTtlInSeconds", number),
    "/authType": Field("authType"),
}


class Authorizers:
    def create_authorizer(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        if find(call, "api", api) is None:  # AWS's own words, as LocalStack recorded them
            raise Fault(
                "ConflictException",
                "Unable to complete operation due to concurrent modification. Please try again later.",
            )
        if again := made_before(call, "authorizer", request, api):
            return shown(again)
        room(call, "authorizer", api, most=AUTHORIZERS_COUNT_MAX, what="authorizers")
        return shown(add(call, api, request))

    def get_authorizer(self, call: Call, request: Request) -> Response:
        return shown(load(call, "authorizer", request["restApiId"], request["authorizerId"]))

    def get_authorizers(self, call: Call, request: Request) -> Response:
        load(call, "api", request["restApiId"])
        return page(call, "authorizer", (request["restApiId"],), request)

    def update_authorizer(self, call: Call, request: Request) -> Response:
        where = (request["restApiId"], request["authorizerId"])
        record = load(call, "authorizer", *where)
        apply_named(record, request.get("patchOperations") or (), _RULES)
        _check(record)
        store(call, "authorizer", *where, record=record)
        return shown(record)

    def delete_authorizer(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["authorizerId"]
        load(call, "authorizer", api, name)
        check_unused(call, api, "authorizerId", name, "authorizer")
        remove(call, "authorizer", api, name)
        return {}


def add(call: Call, api: str, request: Request) -> dict[str, Any]:
    """A new authorizer of what CreateAuthorizer asks for. Raises Fault."""
    if any(one["name"] == request["name"] for one in all_of(call, "authorizer", api)):
        raise bad("Authorizer name must be unique. Authorizer already exists in this RestApi.")
    record = {"id": new_id(call)} | given(request, *_MEMBERS)
    record.setdefault("authType", "custom")
    record["authorizerResultTtlInSeconds"] = request.get(
        "authorizerResultTtlInSeconds", TTL_S_DEFAULT
    )
    if request.get("StackToken"):
        record["stackToken"] = request["StackToken"]
    _check(record)
    store(call, "authorizer", api, record["id"], record=record)
    return record


def _check(record: dict[str, Any]) -> None:
    kind = record["type"]
    if kind == "COGNITO_USER_POOLS":
        raise not_offered("An authorizer of type COGNITO_USER_POOLS")
    if kind not in ("TOKEN", "REQUEST"):
        raise bad("Invalid authorizer type specified. Must be one of [TOKEN, REQUEST, COGNITO_USER_POOLS]")  # fmt: skip
    if not record.get("name"):
        raise bad("Authorizer name cannot be empty")
    uri = record.get("authorizerUri") or ""
    function = function_text(uri)
    if function is None or not (is_function(function) or has_variables(function)):
        raise bad(
            f"Invalid Authorizer URI: {uri}. Authorizer URI should be a valid API Gateway ARN that represents a Lambda"
            " function invocation."
        )
    ttl_s = record["authorizerResultTtlInSeconds"]
    if not 0 <= ttl_s <= TTL_S_MAX:
        raise bad("Authorizer result TTL must be between 0 and 3600 seconds")
    sources = identity_sources(record)
    if kind == "TOKEN" and (len(sources) != 1 or not sources[0].startswith("method.request.header.")):  # fmt: skip
        raise bad("Identity source is a required field and must be one header for an authorizer of type TOKEN")  # fmt: skip
    if not sources and ttl_s:
        raise bad("Identity source is required for authorizers of type REQUEST whose results are kept")  # fmt: skip
    for source in sources:
        if not _SOURCE.match(source):
            raise bad(f"Invalid mapping expression specified: {source}")


def identity_sources(record: dict[str, Any]) -> list[str]:
    """The expressions whose values name the caller."""
    return [one.strip() for one in (record.get("identitySource") or "").split(",") if one.strip()]
