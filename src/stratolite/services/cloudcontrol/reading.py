"""GetResource and ListResources: what is there, read through the type's handler as the caller."""

from __future__ import annotations

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Resource, Response, Service
from stratolite.services.cloudcontrol.failures import code_of, exception, missing
from stratolite.services.cloudcontrol.models import (
    Properties,
    acting,
    named,
    read,
    refuse_version,
    type_of,
)
from stratolite.services.cloudformation.schema import Schema

_PAGE = 100


async def found_now(call: Call, handler: Resource, schema: Schema, request: Request) -> Properties:
    """The properties of the resource that ``request`` names, read as it says. Raises Fault by the handler's error code."""
    identifier, token = request["Identifier"], call.world.uuid()
    named(schema, identifier)
    as_whom = await acting(call, request.get("RoleArn"))
    try:
        found = await read(as_whom, handler, schema, identifier)
    except Fault as fault:
        code = code_of(handler, fault, "READ")
        raise exception(handler, fault.message, token, code) from fault
    if found is None:
        raise exception(handler, missing(handler, identifier), token, "NotFound")
    return found[1]


class Reading(Service):
    async def get_resource(self, call: Call, request: Request) -> Response:
        kind, identifier = request["TypeName"], request["Identifier"]
        refuse_version(request)
        handler, schema = type_of(call, kind, "READ")
        found = await found_now(call, handler, schema, request)
        shape = {"Identifier": identifier, "Properties": orjson.dumps(found).decode()}
        return {"TypeName": kind, "ResourceDescription": shape}

    async def list_resources(self, call: Call, request: Request) -> Response:
        """A page is what the service's own listing gives at once, at most MaxResults of it."""
        kind = request["TypeName"]
        refuse_version(request)
        handler, schema = type_of(call, kind, "LIST")
        if request.get("ResourceModel"):
            text = f"ResourceModel for the list of {kind} is not offered by Stratolite"
            raise Fault("InvalidRequestException", text)
        limit = min(int(request.get("MaxResults") or _PAGE), _PAGE)
        skip, after = _place(request.get("NextToken") or "")
        as_whom = await acting(call, request.get("RoleArn"))
        try:
            ids, following = await handler.identifiers(as_whom, after)
        except Fault as fault:
            code = code_of(handler, fault, "LIST")
            raise exception(handler, fault.message, call.world.uuid(), code) from fault
        page = ids[skip : skip + limit]
        answer: Response = {
            "TypeName": kind,
            "ResourceDescriptions": [
                {
                    "Identifier": identifier,
                    "Properties": orjson.dumps(named(schema, identifier)).decode(),
                }
                for identifier in page
            ],
        }
        if skip + limit < len(ids):
            answer["NextToken"] = f"{skip + limit}:{after}"
        elif following:
            answer["NextToken"] = f"0:{following}"
        return answer


def _place(token: str) -> tuple[int, str]:
    """How many of a page were given already, and the service's own token of that page."""
    skip, colon, after = token.partition(":")
    if not token:
        return 0, ""
    if not colon or not skip.isascii() or not skip.isdigit() or len(skip) > 9:
        raise Fault("InvalidRequestException", "NextToken is not valid")
    return int(skip), after
