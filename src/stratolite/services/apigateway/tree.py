"""The resources of a REST API: a tree of path parts.

Source  https://docs.aws.amazon.com/apigateway/latest/api/API_CreateResource.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.apigateway.parts import (
    all_of,
    bad,
    find,
    load,
    missing,
    new_id,
    page,
    remove,
    room,
    store,
)
from stratolite.services.apigateway.patches import Field, apply_named

RESOURCES_COUNT_MAX = 300
_PART = re.compile(r"(\{[a-zA-Z0-9._:-]+\+?\}|[a-zA-Z0-9._:-]+)\Z")
_RULES = {"/parentId": Field("parentId"), "/pathPart": Field("pathPart")}
_NOT_FOUND = "Invalid Resource identifier specified"


class Tree:
    def create_resource(self, call: Call, request: Request) -> Response:
        return show(add(call, request["restApiId"], request["parentId"], request["pathPart"]))

    def get_resource(self, call: Call, request: Request) -> Response:
        found = resource(call, request["restApiId"], request["resourceId"])
        return show(found, embed=_embeds(request))

    def get_resources(self, call: Call, request: Request) -> Response:
        api = load(call, "api", request["restApiId"])["id"]
        embed = _embeds(request)
        return page(call, "resource", (api,), request, lambda r: show(r, embed=embed))

    def update_resource(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        found = resource(call, api, request["resourceId"])
        before = dict(found)
        apply_named(found, request.get("patchOperations") or (), _RULES)
        changed = [m for m in ("pathPart", "parentId") if found.get(m) != before.get(m)]
        if "parentId" not in before and changed:
            raise bad(f"Root resource cannot update its {changed[0]}.")
        if changed:
            _move(call, api, found)
        return show(found)

    def delete_resource(self, call: Call, request: Request) -> Response:
        api = request["restApiId"]
        found = resource(call, api, request["resourceId"])
        if "parentId" not in found:
            raise bad("Can't delete the root resource.")
        for one in _with_descendants(call, api, found["id"]):
            remove(call, "resource", api, one["id"])
        return {}


def resource(call: Call, api: str, name: str) -> dict[str, Any]:
    """Also for an API that is not there AWS speaks of the resource."""
    found = find(call, "resource", api, name)
    if found is None:
        raise missing(_NOT_FOUND)
    return found


def add(call: Call, api: str, parent_id: str, part: str) -> dict[str, Any]:
    """A new resource under another one."""
    parent = resource(call, api, parent_id)
    room(call, "resource", api, most=RESOURCES_COUNT_MAX, what="resources")
    made = {
        "id": new_id(call),
        "parentId": parent_id,
        "pathPart": part,
        "path": path_under(parent["path"], part),
    }
    check_part(made, parent, all_of(call, "resource", api))
    store(call, "resource", api, made["id"], record=made)
    return made


def path_under(parent: str, part: str) -> str:
    return f"/{part}" if parent == "/" else f"{parent}/{part}"


def check_part(
    made: dict[str, Any], parent: dict[str, Any], others: Iterable[dict[str, Any]]
) -> None:
    """Raises Fault for a path part that is malformed or not free under its parent."""
    part = made["pathPart"]
    if not _PART.match(part):
        raise bad(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and curly braces at the"
            " beginning and the end."
        )
    if parent.get("pathPart", "").endswith("+}"):
        raise bad(
            f"Cannot create a child of a resource with a greedy path variable: {parent['pathPart']}"
        )
    for other in others:
        if other.get("parentId") != made["parentId"] or other["id"] == made["id"]:
            continue
        if other["pathPart"] == part:
            raise Fault(
                "ConflictException",
                f"Another resource with the same parent already has this name: {part}",
            )
        if part.startswith("{") and other["pathPart"].startswith("{"):
            raise bad(
                f"A sibling ({other['pathPart']}) of this resource already has a variable path part"
                " -- only one is allowed"
            )


def _move(call: Call, api: str, found: dict[str, Any]) -> None:
    """A resource with a new name or parent, and the paths of all under it."""
    parent = resource(call, api, found["parentId"])
    below = _with_descendants(call, api, found["id"])
    if any(one["id"] == found["parentId"] for one in below):
        raise bad("Resources cannot be cyclical.")
    check_part(found, parent, all_of(call, "resource", api))
    old = next(one for one in below if one["id"] == found["id"])["path"]
    found["path"] = path_under(parent["path"], found["pathPart"])
    store(call, "resource", api, found["id"], record=found)
    for one in below:
        if one["id"] != found["id"]:
            one["path"] = found["path"] + one["path"][len(old) :]
            store(call, "resource", api, one["id"], record=one)


def _with_descendants(call: Call, api: str, name: str) -> list[dict[str, Any]]:
    everything = all_of(call, "resource", api)
    found = [one for one in everything if one["id"] == name]
    for one in found:
        found += [other for other in everything if other.get("parentId") == one["id"]]
    return found


def _embeds(request: Request) -> bool:
    return "methods" in (request.get("embed") or ())


def show(found: dict[str, Any], *, embed: bool = False) -> Response:
    """Methods are only named unless they are asked for with ``embed=methods``."""
    methods = found.get("resourceMethods")
    if methods and not embed:
        return {**found, "resourceMethods": {name: {} for name in methods}}
    return {k: v for k, v in found.items() if k != "resourceMethods" or v}
