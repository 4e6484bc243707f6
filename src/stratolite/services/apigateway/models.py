"""Models and request validators of a REST API.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/models-mappings-models.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import json
import re
from typing import Any

from stratolite import allowed_pattern
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
    page,
    remove,
    shown,
    store,
)
from stratolite.services.apigateway.patches import Field, apply_named, boolean

_NAME = re.compile(r"[a-zA-Z0-9]+\Z")
_RULES = {"/description": Field("description"), "/schema": Field("schema")}
_VALIDATOR_RULES = {
    "/name": Field("name"),
    "/validateRequestParameters": Field("validateRequestParameters", boolean),
    "/validateRequestBody": Field("validateRequestBody", boolean),
}
_EMPTY = "Model schema must have at least 1 property or array items defined"


class Models:
    def create_model(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        return shown(add_model(call, api, request))

    def get_model(self, call: Call, request: Request) -> Response:
        return shown(load(call, "model", request["restApiId"], request["modelName"]))

    def get_models(self, call: Call, request: Request) -> Response:
        load(call, "api", request["restApiId"])
        return page(call, "model", (request["restApiId"],), request)

    def update_model(self, call: Call, request: Request) -> Response:
        where = (request["restApiId"], request["modelName"])
        record = load(call, "model", *where)
        apply_named(record, request.get("patchOperations") or (), _RULES)
        _check_schema(record.get("schema"))
        store(call, "model", *where, record=record)
        return shown(record)

    def delete_model(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["modelName"]
        load(call, "model", api, name)
        for resource in all_of(call, "resource", api):
            for verb, method in (resource.get("resourceMethods") or {}).items():
                if name in (method.get("requestModels") or {}).values():
                    raise _in_use(name, "request", f"{resource['path']}/{verb}")
                for response in (method.get("methodResponses") or {}).values():
                    if name in (response.get("responseModels") or {}).values():
                        raise _in_use(name, "response", f"{resource['path']}/{verb}")
        remove(call, "model", api, name)
        return {}

    # -- validators

    def create_request_validator(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        if find(call, "api", api) is None:
            raise bad("Invalid REST API identifier specified")
        if again := made_before(call, "validator", request, api):
            return shown(again)
        return shown(add_validator(call, api, request))

    def get_request_validator(self, call: Call, request: Request) -> Response:
        return shown(load(call, "validator", request["restApiId"], request["requestValidatorId"]))

    def get_request_validators(self, call: Call, request: Request) -> Response:
        load(call, "api", request["restApiId"])
        return page(call, "validator", (request["restApiId"],), request)

    def update_request_validator(self, call: Call, request: Request) -> Response:
        where = (request["restApiId"], request["requestValidatorId"])
        record = load(call, "validator", *where)
        apply_named(record, request.get("patchOperations") or (), _VALIDATOR_RULES)
        if not record.get("name"):
            raise bad("Request Validator name cannot be blank")
        store(call, "validator", *where, record=record)
        return shown(record)

    def delete_request_validator(self, call: Call, request: Request) -> Response:
        api, name = request["restApiId"], request["requestValidatorId"]
        load(call, "validator", api, name)
        check_unused(call, api, "requestValidatorId", name, "request validator")
        remove(call, "validator", api, name)
        return {}


def add_model(call: Call, api: str, request: Request) -> dict[str, Any]:
    """A new model of what CreateModel asks for. Raises Fault."""
    name = request["name"]
    if not name:
        raise bad("Model name must be non-empty")
    if not _NAME.match(name):
        raise bad("Model name must be alphanumeric: " + name)
    if find(call, "model", api, name) is not None:
        raise Fault("ConflictException", "Model name already exists for this REST API")
    _check_schema(request.get("schema"))
    record = {"id": new_id(call)} | given(request, "name", "description", "schema", "contentType")
    store(call, "model", api, name, record=record)
    return record


def add_validator(call: Call, api: str, request: Request) -> dict[str, Any]:
    record: dict[str, Any] = {
        "id": new_id(call),
        "name": request.get("name") or "",
        "validateRequestBody": bool(request.get("validateRequestBody")),
        "validateRequestParameters": bool(request.get("validateRequestParameters")),
    }
    if request.get("StackToken"):
        record["stackToken"] = request["StackToken"]
    store(call, "validator", api, record["id"], record=record)
    return record


def _in_use(name: str, kind: str, where: str) -> Fault:
    return Fault(
        "ConflictException",
        f"Cannot delete model '{name}', is referenced in method {kind}: {where}",
    )


def _check_schema(text: str | None) -> None:
    if not text:
        raise bad(_EMPTY)
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise bad(f"Invalid model schema specified: {error}") from error
    if not isinstance(schema, dict):
        raise bad(_EMPTY)
    _check_parts(schema)


def _check_parts(schema: Any) -> None:
    """References must stay in the API, and patterns must be such that matching them ends."""
    if isinstance(schema, list):
        for item in schema:
            _check_parts(item)
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            ours = value.startswith(("https://apigateway.amazonaws.com/restapis/", "#"))
            if not ours:
                raise bad(
                    "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema"
                    f" specified. Unsupported reference: {value}]"
                )
        elif key == "pattern" and isinstance(value, str):
            try:
                allowed_pattern.read(value)
            except allowed_pattern.Refused as error:
                raise bad(f"Invalid model schema specified: pattern {value}: {error}") from error
        else:
            _check_parts(value)
