"""What every operation of REST APIs needs: loading a part or saying that it is not there, ids, pages."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway import state

Record = state.Record
SERVICE = "apigateway"
MEMBERS_ARE_OURS = ("stackToken", "authorizersFlushed", "sealed")
"""Members of records that no answer shows."""
_PAGE_COUNT, _PAGE_COUNT_MAX = 25, 500

_MISSING = {
    "resource": "Invalid Resource identifier specified",
    "validator": "Invalid Request Validator identifier specified",
    "authorizer": "Invalid Authorizer identifier specified",
    "deployment": "Invalid Deployment identifier specified",
    "stage": "Invalid stage identifier specified",
    "key": "Invalid API Key identifier specified",
    "plan": "Invalid Usage Plan ID specified",
    "response": "Gateway response type not defined on api",
}


def bad(message: str) -> Fault:
    return Fault("BadRequestException", message)


def missing(message: str) -> Fault:
    return Fault("NotFoundException", message)


def not_offered(what: str) -> Fault:
    return bad(f"{what} is not offered by Stratolite yet")


def load(call: Call, kind: str, *name: str) -> Record:
    """A copy of one record. Raises Fault NotFoundException in the words AWS has for its kind."""
    found = state.get(call.tx, call.keys(SERVICE), kind, *name)
    if found is not None:
        return found
    if kind == "api":
        raise missing(f"Invalid API identifier specified {call.account}:{name[0]}")
    if kind == "model":
        raise missing(f"Invalid model name specified: {name[-1]}")
    raise missing(_MISSING[kind])


def find(call: Call, kind: str, *name: str) -> Record | None:
    return state.get(call.tx, call.keys(SERVICE), kind, *name)


def store(call: Call, kind: str, *name: str, record: Record) -> None:
    state.put(call.tx, call.keys(SERVICE), kind, *name, record=record)


def remove(call: Call, kind: str, *name: str) -> None:
    state.delete(call.tx, call.keys(SERVICE), kind, *name)


def all_of(call: Call, kind: str, *name: str) -> list[Record]:
    return state.all_of(call.tx, call.keys(SERVICE), kind, *name)


def made_before(call: Call, kind: str, request: Request, *name: str) -> Record | None:
    """What an earlier attempt at the same step of a stack has made."""
    token = request.get("StackToken")
    if token is None:
        return None
    return next((r for r in all_of(call, kind, *name) if r.get("stackToken") == token), None)


def shown(record: Mapping[str, Any]) -> Response:
    return {name: value for name, value in record.items() if name not in MEMBERS_ARE_OURS}


def given(request: Request, *members: str) -> dict[str, Any]:
    return {name: request[name] for name in members if request.get(name) is not None}


def new_id(call: Call, length: int = 6) -> str:
    """Of a-z and 0-9, as AWS makes them: ten characters for APIs, six for their parts."""
    return base64.b32encode(call.world.token(7))[:length].decode().lower()


def page(
    call: Call,
    kind: str,
    prefix: tuple[str, ...],
    request: Request,
    show: Callable[[Record], Response] = shown,
    *,
    member: str = "items",
) -> Response:
    """A page of a listing; ``position`` leads to the next one."""
    limit = request.get("limit")
    if limit is None or not 0 < int(limit) <= _PAGE_COUNT_MAX:
        limit = _PAGE_COUNT
    keys = call.keys(SERVICE)
    after = position(request.get("position"))
    found, last = state.page(call.tx, keys, kind, prefix, after, int(limit))
    answer: Response = {member: [show(record) for record in found]}
    if last is not None:
        answer["position"] = base64.urlsafe_b64encode(last.encode()).decode()
    return answer


def position(text: str | None) -> str:
    if not text:
        return ""
    try:
        return base64.urlsafe_b64decode(text).decode()
    except ValueError as error:
        raise bad("Invalid position parameter specified") from error


def room(call: Call, kind: str, *name: str, most: int, what: str) -> None:
    """Raises Fault LimitExceededException where there are as many as there may be."""
    if state.count(call.tx, call.keys(SERVICE), kind, *name, most=most) >= most:
        raise Fault("LimitExceededException", f"Maximum number of {what} reached: {most}")


def api_arn(call: Call, *path: str) -> str:
    return f"arn:aws:apigateway:{call.region}::/{'/'.join(path)}"


def check_unused(call: Call, api: str, member: str, name: str, what: str) -> None:
    """Raises ConflictException while a method of the API names it."""
    for resource in all_of(call, "resource", api):
        for verb, method in (resource.get("resourceMethods") or {}).items():
            if method.get(member) == name:
                raise Fault(
                    "ConflictException",
                    f"Cannot delete {what} '{name}', is referenced in method: {resource['path']}/{verb}",
                )
