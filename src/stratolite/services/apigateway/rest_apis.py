"""REST APIs themselves: made, changed, deleted, and written anew from a definition."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response, prepared
from stratolite.services.apigateway import importing, openapi, state
from stratolite.services.apigateway.parts import (
    SERVICE,
    bad,
    given,
    load,
    made_before,
    new_id,
    not_offered,
    page,
    room,
    shown,
    store,
)
from stratolite.services.apigateway.patches import Entries, Field, Rule, Values, apply, boolean

APIS_COUNT_MAX = 600
_COMPRESSION_BYTES_MAX = 10_485_760
_MEMBERS = ("name", "description", "version", "binaryMediaTypes", "apiKeySource", "disableExecuteApiEndpoint",
            "tags")  # fmt: skip
_RULES: dict[str, Rule] = {
    "/name": Field("name"),
    "/description": Field("description", operations=("add", "replace", "remove")),
    "/version": Field("version"),
    "/policy": Field("policy"),
    "/apiKeySource": Field("apiKeySource"),
    "/disableExecuteApiEndpoint": Field("disableExecuteApiEndpoint", boolean),
    "/minimumCompressionSize": Field("minimumCompressionSize"),
    "/binaryMediaTypes": Values("binaryMediaTypes"),
    "/endpointConfiguration/ipAddressType": Field("ipAddressType"),
    "/endpointConfiguration/types": Entries("types"),
}
DEFAULT_MODELS = (
    (
        "Empty",
        "This is a default empty schema model",
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "title": "Empty Schema",
            "type": "object",
        },
    ),
    (
        "Error",
        "This is a default error schema model",
        {
            "$schema": "http://json-schema.org/draft-04/schema#",
            "title": "Error Schema",
            "type": "object",
            "properties": {"message": {"type": "string"}},
        },
    ),
)


async def _read_definition(service: Any, call: Call, request: Request) -> Request:  # noqa: ARG001
    """The body read before the transaction, in a thread: it may have six megabytes."""
    parameters = request.get("parameters") or {}
    definition = await asyncio.to_thread(openapi.read, request["body"], parameters)
    return {**request, "definition": definition}


class RestApis:
    def create_rest_api(self, call: Call, request: Request) -> Response:
        if again := made_before(call, "api", request):
            return shown_api(again)
        if request.get("cloneFrom"):
            raise not_offered("cloneFrom")
        for member, words in (("name", "API name"), ("description", "Description")):
            if request.get(member) == "":
                raise bad(f"{words} cannot be an empty string")
        record = _new(call, request)
        record |= given(request, *_MEMBERS) | {
            "endpointConfiguration": _endpoint(request.get("endpointConfiguration") or {})
        }
        if "minimumCompressionSize" in request:
            record["minimumCompressionSize"] = _compression(request["minimumCompressionSize"])
        if request.get("policy"):
            record["policy"] = policy(call, record["id"], request["policy"])
        if request.get("securityPolicy") or request.get("endpointAccessMode"):
            raise not_offered("securityPolicy")
        _save(call, record)
        return shown_api(record)

    def get_rest_api(self, call: Call, request: Request) -> Response:
        return shown_api(load(call, "api", request["restApiId"]))

    def get_rest_apis(self, call: Call, request: Request) -> Response:
        return page(call, "api", (), request, shown_api)

    def update_rest_api(self, call: Call, request: Request) -> Response:
        record = load(call, "api", request["restApiId"])
        endpoint = record["endpointConfiguration"]
        for operation in request.get("patchOperations") or ():
            path = operation.get("path") or ""
            if path.startswith("/endpointConfiguration/types/"):
                if operation["op"] not in ("add", "remove", "replace"):
                    raise bad("Invalid patch operation specified. Must be 'add'|'remove'|'replace'")
                endpoint = _endpoint({**endpoint, "types": [operation.get("value") or ""]})
                continue
            apply(record, (operation,), _RULES)
            if path == "/minimumCompressionSize":
                record["minimumCompressionSize"] = _compression(operation.get("value"))
            elif path == "/policy":
                text = operation.get("value")
                record["policy"] = policy(call, record["id"], text) if text else None
            elif path == "/apiKeySource" and record["apiKeySource"] not in ("HEADER", "AUTHORIZER"):
                raise bad("Invalid API key source specified. Must be one of [HEADER, AUTHORIZER]")
            elif path == "/endpointConfiguration/ipAddressType":
                kind = record.pop("ipAddressType")
                if kind not in ("ipv4", "dualstack"):
                    raise bad("ipAddressType must be either ipv4 or dualstack.")
                endpoint = {**endpoint, "ipAddressType": kind}
        record["endpointConfiguration"] = endpoint
        for member in ("minimumCompressionSize", "policy"):
            if record.get(member) is None:
                record.pop(member, None)
        store(call, "api", record["id"], record=record)
        return shown_api({"tags": {}, **record})

    def delete_rest_api(self, call: Call, request: Request) -> Response:
        api = load(call, "api", request["restApiId"])["id"]
        keys = call.keys(SERVICE)
        for plan in state.all_of(call.tx, keys, "plan"):
            kept = [s for s in plan["apiStages"] if s["apiId"] != api]
            if len(kept) != len(plan["apiStages"]):
                store(call, "plan", plan["id"], record={**plan, "apiStages": kept})
        state.delete_api(call.tx, keys, api)
        return {}

    # -- from a definition

    @prepared(_read_definition)
    def import_rest_api(self, call: Call, request: Request) -> Response:
        record = _new(call, request)
        record["endpointConfiguration"] = _endpoint({})
        definition: openapi.Definition = request["definition"]
        if kinds := (request.get("parameters") or {}).get("endpointConfigurationTypes"):
            record["endpointConfiguration"] = _endpoint({"types": kinds.split(",")})
        _save(call, record, models=importing.has_models(definition))
        return self._write(call, record, definition, request, merge=False)

    @prepared(_read_definition)
    def put_rest_api(self, call: Call, request: Request) -> Response:
        record = load(call, "api", request["restApiId"])
        merge = request.get("mode", "merge") == "merge"
        definition: openapi.Definition = request["definition"]
        if not merge:
            importing.clear(call, record)
            for member in ("description", "version", "binaryMediaTypes", "policy", "minimumCompressionSize"):  # fmt: skip
                record.pop(member, None)
        made = self._write(call, record, definition, request, merge=merge)
        return {"tags": {}, **made}

    def _write(
        self,
        call: Call,
        record: dict[str, Any],
        definition: openapi.Definition,
        request: Request,
        *,
        merge: bool,
    ) -> Response:
        api = definition.api
        if api.get("endpointConfiguration"):
            record["endpointConfiguration"] = _endpoint(api["endpointConfiguration"])
        if api.get("minimumCompressionSize") is not None:
            record["minimumCompressionSize"] = _compression(api["minimumCompressionSize"])
        if api.get("policy"):
            record["policy"] = policy(call, record["id"], json.dumps(api["policy"]))
        record |= given(api, "name", "description", "version", "apiKeySource", "disableExecuteApiEndpoint")  # fmt: skip
        if kinds := api.get("binaryMediaTypes"):
            old = record.get("binaryMediaTypes") or [] if merge else []
            record["binaryMediaTypes"] = list(dict.fromkeys([*old, *kinds]))
        store(call, "api", record["id"], record=record)
        warnings = importing.write(call, record, definition)
        if warnings and request.get("failOnWarnings"):
            raise bad("Warnings found during import:\n\t" + "\n\t".join(warnings))
        return shown_api(record) | ({"warnings": warnings} if warnings else {})


def _new(call: Call, request: Request) -> dict[str, Any]:
    room(call, "api", most=APIS_COUNT_MAX, what="APIs")
    record: dict[str, Any] = {
        "id": new_id(call, 10),
        "name": "",
        "createdDate": int(call.tx.time_s),
        "apiKeySource": "HEADER",
        "disableExecuteApiEndpoint": False,
        "rootResourceId": new_id(call, 10),
    }
    if request.get("StackToken"):
        record["stackToken"] = request["StackToken"]
    return record


def _save(call: Call, record: dict[str, Any], *, models: bool = False) -> None:
    """A new API with its root, and the models every API begins with unless its definition brings its own."""
    api = record["id"]
    store(call, "api", api, record=record)
    state.put_home(call.tx, api, call.account, call.region)
    root = {"id": record["rootResourceId"], "path": "/"}
    store(call, "resource", api, root["id"], record=root)
    for name, description, schema in () if models else DEFAULT_MODELS:
        model = {
            "id": new_id(call),
            "name": name,
            "description": description,
            "schema": json.dumps(schema),
            "contentType": "application/json",
        }
        store(call, "model", api, name, record=model)


def policy(call: Call, api: str, text: str) -> str:
    """A resource policy as it is kept: ``execute-api:/...`` stands for this API.

    Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-resource-policies-examples.html
    """
    try:
        document = json.loads(text if text.lstrip()[:2] != "{\\" else json.loads(f'"{text}"'))
        statements = document.get("Statement") or []
        for statement in statements if isinstance(statements, list) else [statements]:
            for member in ("Resource", "NotResource"):
                if member in statement:
                    statement[member] = _whole(call, api, statement[member])
        made = json.dumps(document, separators=(",", ":"))
        Document.parse(made, has_principal=True)
    except (ValueError, AttributeError, Malformed) as error:
        raise bad(
            "Invalid policy document. Please check the policy syntax and ensure that Principals are valid."
        ) from error
    return made


def shown_api(record: dict[str, Any]) -> Response:
    """As AWS shows an API: the policy escaped once more, as a text inside JSON would be."""
    answer = shown(record)
    if "policy" in answer:
        answer["policy"] = json.dumps(answer["policy"])[1:-1].replace("/", "\\/")
    return answer


def _whole(call: Call, api: str, resource: Any) -> Any:
    if isinstance(resource, list):
        return [_whole(call, api, one) for one in resource]
    start = f"arn:aws:execute-api:{call.region}:{call.account}:{api}"
    if isinstance(resource, str) and resource.startswith("execute-api:/"):
        return f"{start}/{resource.removeprefix('execute-api:/')}"
    return resource


def _endpoint(wanted: dict[str, Any]) -> dict[str, Any]:
    kinds = wanted.get("types")
    if kinds == []:
        raise bad("REGIONAL Configuration and EDGE Configuration cannot be both DISABLED.")
    kinds = kinds or ["EDGE"]
    if len(kinds) > 1:
        raise bad("Cannot create an api with multiple Endpoint Types.")
    if kinds[0] not in ("EDGE", "REGIONAL", "PRIVATE"):
        raise bad("Invalid EndpointTypes specified. Valid options are REGIONAL,EDGE,PRIVATE")
    if kinds[0] == "PRIVATE" or wanted.get("vpcEndpointIds"):
        raise not_offered("A PRIVATE endpoint")
    return {"types": list(kinds), "ipAddressType": wanted.get("ipAddressType") or "ipv4"}


def _compression(value: Any) -> int | None:
    """Bytes; None switches it off."""
    if value is None or value == "":
        return None
    try:
        size_bytes = int(value)
    except ValueError:
        size_bytes = -1
    if not 0 <= size_bytes <= _COMPRESSION_BYTES_MAX:
        raise bad("Invalid minimum compression size, must be between 0 and 10485760")
    return size_bytes
