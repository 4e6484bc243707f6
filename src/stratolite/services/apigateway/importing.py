"""A definition written into an API: models, validators, authorizers, resources with their methods, gateway responses."""

from __future__ import annotations

import json
from typing import Any

from stratolite.service import Call
from stratolite.services.apigateway import authorizers, gateway_responses, models, openapi, state
from stratolite.services.apigateway.integrations import new_integration, new_response
from stratolite.services.apigateway.methods import check_method, check_response
from stratolite.services.apigateway.openapi import Definition, Operation
from stratolite.services.apigateway.parts import SERVICE, all_of, bad, new_id, remove, store
from stratolite.services.apigateway.refusals import KINDS
from stratolite.services.apigateway.tree import RESOURCES_COUNT_MAX, check_part, path_under

Record = dict[str, Any]


def has_models(definition: Definition) -> bool:
    return bool(definition.models)


def clear(call: Call, api: Record) -> None:
    """Everything a definition could bring: for an import that overwrites."""
    kinds = ("resource", "model", "validator", "authorizer", "response")
    state.delete_parts(call.tx, call.keys(SERVICE), api["id"], kinds)
    root = {"id": api["rootResourceId"], "path": "/"}
    store(call, "resource", api["id"], root["id"], record=root)


def write(call: Call, api: Record, definition: Definition) -> list[str]:
    """Adds to what is there; what has the same name is replaced. The warnings. Raises Fault."""
    name = api["id"]
    for model in definition.models:
        schema = json.dumps(openapi.model_schema(name, model["schema"]))
        remove(call, "model", name, model["name"])
        models.add_model(call, name, {**model, "schema": schema})
    found = _Found(
        {v["name"]: v["id"] for v in all_of(call, "validator", name)},
        {a["name"]: a["id"] for a in all_of(call, "authorizer", name)},
    )
    for validator, members in definition.validators.items():
        if validator in found.validators:
            remove(call, "validator", name, found.validators[validator])
        made = models.add_validator(call, name, {"name": validator, **(members or {})})
        found.validators[validator] = made["id"]
    for authorizer in definition.authorizers:
        if authorizer["name"] in found.authorizers:
            remove(call, "authorizer", name, found.authorizers[authorizer["name"]])
        made = authorizers.add(call, name, authorizer)
        found.authorizers[authorizer["name"]] = made["id"]
    _resources(call, name, definition, found)
    for response in definition.responses:
        if response["responseType"] not in KINDS:
            raise bad(f"Invalid gateway response type: {response['responseType']}")
        gateway_responses.put(call, name, response)
    return definition.warnings


class _Found:
    """Names to ids."""

    def __init__(self, validators: dict[str, str], known: dict[str, str]) -> None:
        self.validators, self.authorizers = validators, known


def _resources(call: Call, api: str, definition: Definition, found: _Found) -> None:
    """In memory, so that many paths cost no more than one reading and one writing of each resource."""
    by_path = {one["path"]: one for one in all_of(call, "resource", api)}
    changed: dict[str, Record] = {}
    for operation in definition.operations:
        resource = _resource(call, by_path, changed, operation.path)
        methods = resource.setdefault("resourceMethods", {})
        methods[operation.verb] = _method(call, api, resource["id"], operation, found)
        changed[resource["id"]] = resource
    if len(by_path) > RESOURCES_COUNT_MAX:
        raise bad(f"Maximum number of resources reached: {RESOURCES_COUNT_MAX}")
    for resource in changed.values():
        store(call, "resource", api, resource["id"], record=resource)


def _resource(
    call: Call, by_path: dict[str, Record], changed: dict[str, Record], path: str
) -> Record:
    if path in by_path:
        return by_path[path]
    above, _, part = path.rpartition("/")
    parent = _resource(call, by_path, changed, above or "/")
    made = {
        "id": new_id(call),
        "parentId": parent["id"],
        "pathPart": part,
        "path": path_under(parent["path"], part),
    }
    check_part(made, parent, by_path.values())
    by_path[path] = changed[made["id"]] = made
    return made


def _method(call: Call, api: str, resource_id: str, operation: Operation, found: _Found) -> Record:
    made: Record = {
        "httpMethod": operation.verb,
        "authorizationType": operation.authorization,
        "apiKeyRequired": operation.key_required,
    }
    if operation.authorizer is not None:
        made["authorizerId"] = found.authorizers[operation.authorizer]
    if operation.name:
        made["operationName"] = operation.name
    if operation.parameters:
        made["requestParameters"] = operation.parameters
    if operation.models:
        made["requestModels"] = operation.models
    if operation.validator is not None:
        validator = found.validators.get(operation.validator)
        if validator is None:
            raise bad(f"Invalid Request Validator specified: {operation.validator}")
        made["requestValidatorId"] = validator
    check_method(call, api, made)
    for response in operation.responses.values():
        check_response(call, api, response)
    if operation.responses:
        made["methodResponses"] = operation.responses
    if operation.integration is not None:
        integration = new_integration(operation.integration, resource_id)
        responses = [new_response(one) for one in operation.integration_responses]
        if responses:
            integration["integrationResponses"] = {one["statusCode"]: one for one in responses}
        made["methodIntegration"] = integration
    return made
