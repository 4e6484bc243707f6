"""Gateway responses: what an API says in its own name, changed by its owner.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_PutGatewayResponse.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.service import Call, Request, Response
from stratolite.services.apigateway.parts import all_of, bad, find, load, remove, store
from stratolite.services.apigateway.patches import Entries, Field, Rule, apply
from stratolite.services.apigateway.refusals import DEFAULT_TEMPLATE, KINDS, effective

_STATUS = re.compile(r"[1-5]\d\d\Z")
_SOURCE = re.compile(
    r"(method\.request\.(path|querystring|header|multivaluequerystring|multivalueheader)\..+|context\..+"
    r"|stageVariables\..+|'.*')\Z",
    re.DOTALL,
)
_RULES: dict[str, Rule] = {
    "/statusCode": Field("statusCode"),
    "/responseParameters": Entries("responseParameters"),
    "/responseTemplates": Entries("responseTemplates"),
}


class GatewayResponses:
    def put_gateway_response(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        return put(call, api, request)

    def get_gateway_response(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        return _all(call, api)[request["responseType"]]

    def get_gateway_responses(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        load(call, "api", api)
        return {"items": list(_all(call, api).values())}

    def update_gateway_response(self, call: Call, request: Request) -> Response:
        api, kind = request["restApiId"], request["responseType"]
        load(call, "api", api)
        found = find(call, "response", api, kind) or {
            **_default(kind),
            "defaultResponse": False,
        }
        operations = request.get("patchOperations") or ()
        for operation in operations:
            for member in ("responseTemplates", "responseParameters"):
                inside = (operation.get("path") or "").startswith(f"/{member}/")
                if inside and operation["op"] != "remove" and not operation.get("value"):
                    raise bad(f"Invalid null or empty value in {member}")
        apply(found, operations, _RULES)
        found.setdefault("responseParameters", {})
        found.setdefault("responseTemplates", {})
        _check(found)
        store(call, "response", api, kind, record=found)
        return found

    def delete_gateway_response(self, call: Call, request: Request) -> Response:
        api, kind = request["restApiId"], request["responseType"]
        load(call, "api", api)
        load(call, "response", api, kind)
        remove(call, "response", api, kind)
        return {}


def put(call: Call, api: str, request: Request) -> dict[str, Any]:
    """What PutGatewayResponse asks for. Raises Fault."""
    kind = request["responseType"]
    record = _default(kind) | {"defaultResponse": False}
    for member in ("statusCode", "responseParameters", "responseTemplates"):
        if request.get(member):
            record[member] = request[member]
    _check(record)
    store(call, "response", api, kind, record=record)
    return record


def _check(record: dict[str, Any]) -> None:
    status = record.get("statusCode")
    if status is not None and not _STATUS.match(status):
        raise bad(f"Invalid status code: {status}")
    for target, source in record["responseParameters"].items():
        if not target.startswith("gatewayresponse.header.") or not _SOURCE.match(source):
            raise bad(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors : "
                f"[Invalid mapping expression specified: {source if target.startswith('gatewayresponse.header.') else target}]"
            )


def _default(kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "responseType": kind,
        "responseParameters": {},
        "responseTemplates": {"application/json": DEFAULT_TEMPLATE},
        "defaultResponse": True,
    }
    if (status := KINDS[kind].status) is not None:
        made["statusCode"] = str(status)
    return made


def _all(call: Call, api: str) -> dict[str, dict[str, Any]]:
    """Every type in alphabetical order; what 4XX or 5XX define shows in all of theirs."""
    defined = {one["responseType"]: one for one in all_of(call, "response", api)}
    shown: dict[str, dict[str, Any]] = {}
    for kind in sorted(KINDS):
        if kind in defined:
            shown[kind] = defined[kind]
            continue
        made = _default(kind)
        general = effective(kind, defined)
        if general is not None:
            made |= {m: general[m] for m in ("responseParameters", "responseTemplates")}
            if general.get("statusCode"):
                made["statusCode"] = general["statusCode"]
        shown[kind] = made
    return shown
