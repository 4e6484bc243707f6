"""Finds stacks and change sets by what a request calls them."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.state import Stack

_STACKS_PAGE_COUNT = 20
_NAME_OR_ID = re.compile(r"[a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*")


class Plain(Fault):
    """A resource's failure in CloudFormation's own words, which no handler's code is added to."""

    def __init__(self, message: str, **members: Any) -> None:
        super().__init__("GeneralServiceException", message, **members)


def invalid(message: str) -> Fault:
    return Fault("ValidationError", message)


def page_size(request: Request, most: int) -> int:
    """How many are on a page: MaxResults, and ``most`` at most. Raises Fault."""
    asked = request.get("MaxResults", most)
    if asked < 1:
        raise invalid(
            f"1 validation error detected: Value '{asked}' at 'maxResults' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        )
    return min(int(asked), most)


def stack_arn(call: Call, name: str, uuid: str) -> str:
    return f"arn:aws:cloudformation:{call.region}:{call.account}:stack/{name}/{uuid}"


def find_stack(call: Call, name: str) -> Stack | None:
    """By name (the one there is now) or by id (deleted ones too). Raises Fault for what can be neither."""
    if not _NAME_OR_ID.fullmatch(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: {_NAME_OR_ID.pattern}"
        )
    rows = state.rows_of(call)
    if not name.startswith("arn:"):
        return state.named_stack(call.tx, rows, name)
    uuid = name.rsplit("/", 1)[-1]
    found = state.stack_of(call.tx, rows, uuid)
    return found if found is not None and found["id"] == name else None


def must_find(call: Call, name: str, message: str) -> Stack:
    """Raises Fault with ``message`` about ``name``; a deleted stack is there no more."""
    stack = find_stack(call, name)
    if stack is None or stack["status"] == "DELETE_COMPLETE":
        raise invalid(message.format(name))
    return stack


def find_changes(call: Call, request: Request) -> tuple[str, dict[str, Any]]:
    """The stack's uuid and the change set, by its ARN or by its name and the stack's."""
    rows, name = state.rows_of(call), request["ChangeSetName"]
    found = None
    if name.startswith("arn:"):
        found = state.changes_by_uuid(call.tx, rows, name.rsplit("/", 1)[-1])
        if found is not None and found[1]["id"] != name:
            found = None
    else:
        if not request.get("StackName"):
            raise invalid(
                "StackName must be specified if ChangeSetName is not specified as an ARN."
            )
        stack = find_stack(call, request["StackName"])
        if stack is None:
            raise invalid(f"Stack [{request['StackName']}] does not exist")
        changes = state.changes_named(call.tx, rows, stack["uuid"], name)
        found = None if changes is None else (stack["uuid"], changes)
    if found is None:
        raise Fault("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")
    return found


async def owner_of(call: Call, physical_id: str, kind: str = "") -> str:
    """The id of the stack that a resource belongs to, "" if of none.

    One look into the index; where a cloud was written to before there was one, it is made first, a few stacks at a time.
    """

    def indexed(inner: Call, after: str) -> str:
        rows = state.rows_of(inner)
        if state.is_indexed(inner.tx, rows):
            return ""
        return state.index_page(inner.tx, rows, after, _STACKS_PAGE_COUNT)

    def look(inner: Call) -> str:
        stack = state.owner_of(inner.tx, state.rows_of(inner), physical_id, kind)
        return "" if stack is None else str(stack["id"])

    after = ""
    while after := await call.transact(partial(indexed, after=after)):
        pass
    return await call.transact(look)
