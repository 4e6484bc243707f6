"""API keys: who callers say they are. Their values are sealed on disk and found by a digest.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-setup-api-keys.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, is_number
from stratolite.services.apigateway import state
from stratolite.services.apigateway.parts import (
    SERVICE,
    all_of,
    bad,
    given,
    load,
    made_before,
    new_id,
    room,
    shown,
    store,
)
from stratolite.services.apigateway.parts import position as position_of
from stratolite.services.apigateway.patches import Field, apply_named, boolean

KEYS_COUNT_MAX = 10_000
_NAME_MAX, _DESCRIPTION_MAX = 1024, 125_000
_VALUE = re.compile(r"[a-zA-Z0-9]+\Z")
_PAGE_COUNT, _PAGE_COUNT_MAX = 25, 500
_RULES = {
    "/description": Field("description"),
    "/enabled": Field("enabled", boolean),
    "/name": Field("name"),
    "/customerId": Field("customerId"),
}


class ApiKeys:
    def create_api_key(self, call: Call, request: Request) -> Response:
        if again := made_before(call, "key", request):
            return _with_value(call, again)
        value = request.get("value") or _new_value(call)
        _check_value(value)
        keys = call.keys(SERVICE)
        if state.key_of(call.tx, keys, value) is not None:
            raise Fault("ConflictException", "API Key already exists")
        room(call, "key", most=KEYS_COUNT_MAX, what="API keys")
        now_s = int(call.tx.time_s)
        record: dict[str, Any] = {
            "id": new_id(call, 10),
            "enabled": bool(request.get("enabled")),
            "createdDate": now_s,
            "lastUpdatedDate": now_s,
            "stageKeys": [_stage(call, one) for one in request.get("stageKeys") or ()],
        } | given(request, "name", "description", "customerId", "tags")
        if request.get("StackToken"):
            record["stackToken"] = request["StackToken"]
        _check(record)
        state.put_value(call.tx, keys, record, value)
        store(call, "key", record["id"], record=record)
        return _with_value(call, record)

    def get_api_key(self, call: Call, request: Request) -> Response:
        record = load(call, "key", request["apiKey"])
        answer = _with_value(call, record) if request.get("includeValue") else shown(record)
        return {"tags": {}, **answer}

    def get_api_keys(self, call: Call, request: Request) -> Response:
        """The newest first, as AWS lists them."""
        start, customer = request.get("nameQuery"), request.get("customerId")
        found = [
            key
            for key in all_of(call, "key")
            if (start is None or key.get("name", "").startswith(start))
            and (customer is None or key.get("customerId") == customer)
        ]
        found.sort(key=lambda key: (-key["createdDate"], key["id"]))
        page, position = paged(found, request)
        show = (lambda k: _with_value(call, k)) if request.get("includeValues") else shown
        return {"items": [show(key) for key in page]} | position

    def update_api_key(self, call: Call, request: Request) -> Response:
        record = load(call, "key", request["apiKey"])
        for operation in request.get("patchOperations") or ():
            if operation.get("path") == "/stages" and operation["op"] in ("add", "remove"):
                _patch_stages(call, record, operation)
            else:
                apply_named(record, (operation,), _RULES)
        _check(record)
        record["lastUpdatedDate"] = int(call.tx.time_s)
        store(call, "key", record["id"], record=record)
        return {"tags": {}, **shown(record)}

    def delete_api_key(self, call: Call, request: Request) -> Response:
        record = load(call, "key", request["apiKey"])
        state.delete_key(call.tx, call.keys(SERVICE), record)
        return {}


def _stage(call: Call, one: dict[str, Any]) -> str:
    """A stage as keys remember it. What lets a key in is a usage plan, and nothing else since there are these."""
    api, name = one.get("restApiId") or "", one.get("stageName") or ""
    load(call, "stage", api, name)
    return f"{api}/{name}"


def _patch_stages(call: Call, record: dict[str, Any], operation: dict[str, Any]) -> None:
    api, _, name = str(operation.get("value") or "").partition("/")
    kept = [stage for stage in record["stageKeys"] if stage != f"{api}/{name}"]
    if operation["op"] == "add":
        kept.append(_stage(call, {"restApiId": api, "stageName": name}))
    record["stageKeys"] = kept


def paged(found: list[Any], request: Request) -> tuple[list[Any], Response]:
    """A page of a list that is whole in memory, and ``position`` if there is more; positions are numbers here."""
    import base64

    limit = int(request.get("limit") or _PAGE_COUNT)
    limit = limit if 0 < limit <= _PAGE_COUNT_MAX else _PAGE_COUNT
    text = position_of(request.get("position"))
    if text and not is_number(text):
        raise bad("Invalid position parameter specified")
    start = int(text or 0)
    more = start + limit < len(found)
    position = base64.urlsafe_b64encode(str(start + limit).encode()).decode()
    return found[start : start + limit], {"position": position} if more else {}


def _with_value(call: Call, record: dict[str, Any]) -> Response:
    return {**shown(record), "value": state.value_of(call.tx, record)}


def _new_value(call: Call) -> str:
    """Forty letters and digits, as AWS makes them."""
    import base64

    text = base64.b64encode(call.world.token(60)).decode()
    return re.sub(r"[^a-zA-Z0-9]", "x", text)[:40]


def _check_value(value: str) -> None:
    if len(value) < 20:
        raise bad("API Key value should be at least 20 characters")
    if len(value) > 128:
        raise bad("API Key value exceeds maximum size of 128 characters")
    if not _VALUE.match(value):
        raise bad("API Key value should be alphanumeric")


def _check(record: dict[str, Any]) -> None:
    if len(record.get("name") or "") > _NAME_MAX:
        raise bad("Invalid API Key name, can be at most 1024 characters.")
    if len(record.get("description") or "") > _DESCRIPTION_MAX:
        raise bad("Invalid API Key description specified.")
