"""Change sets: an update (or a creation) prepared, shown, and carried out later. ``aws cloudformation deploy`` uses them."""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, prepared
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.examination import Before
from stratolite.services.cloudformation.finding import (
    find_changes,
    find_stack,
    invalid,
    must_find,
    stack_arn,
)
from stratolite.services.cloudformation.proposal import Proposal, prepare
from stratolite.services.cloudformation.quotas import CHANGE_SETS_PAGE_COUNT
from stratolite.services.cloudformation.reading import parameters_shape
from stratolite.services.cloudformation.stacks import (
    UPDATABLE,
    acknowledge,
    before_of,
    begin_with,
    clear_changes,
    enter,
    must_be_updatable,
    needed_text,
    new_name,
    new_stack,
    refuse_unoffered,
    tags_of,
    take_role,
    until_settled,
)
from stratolite.services.cloudformation.state import Record, Stack

_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,127}\Z", re.ASCII)
_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_CHANGES_PAGE_COUNT = 100


class ChangeSets(Service):
    async def _prepare(self, call: Call, request: Request) -> Request:
        refuse_unoffered("CreateChangeSet", request)
        name, kind = request["ChangeSetName"], request.get("ChangeSetType", "UPDATE")
        if not _NAME.match(name):
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        if kind not in ("CREATE", "UPDATE"):
            raise invalid(f"CreateChangeSet ChangeSetType {kind} is not offered by Stratolite yet")
        stack, records, current = await call.transact(
            lambda c: _to_change(c, request["StackName"], kind, name)
        )
        text = current if request.get("UsePreviousTemplate") else await needed_text(call, request)
        if stack is None:
            uuid = call.world.uuid()
            before = Before(
                new_name(request["StackName"]), stack_arn(call, request["StackName"], uuid)
            )
        else:
            uuid = stack["uuid"]
            before = before_of(stack, records)
            if kind == "CREATE":
                before = Before(stack["name"], stack["id"])
        tags = tags_of(request) if "Tags" in request or stack is None else stack["tags"]
        proposal = await prepare(call, text, request.get("Parameters") or [], tags, before)
        acknowledge(proposal, request, expands=False)
        return {**request, "stack": stack, "uuid": uuid, "proposal": proposal, "tags": tags}

    @prepared(_prepare)
    def create_change_set(self, call: Call, request: Request) -> Response:
        rows, looked_at, name = state.rows_of(call), request["stack"], request["ChangeSetName"]
        kind = request.get("ChangeSetType", "UPDATE")
        stack, _, _ = _to_change(call, request["StackName"], kind, name)
        if (stack and stack["uuid"]) != (looked_at and looked_at["uuid"]):
            raise invalid(
                f"Stack [{request['StackName']}] was changed by another request meanwhile"
            )
        role = take_role(call, request.get("RoleARN"))
        if stack is None:
            stack = new_stack(call, request["StackName"], request["uuid"], role)
            state.add_stack(call.tx, rows, stack)
            enter(call, stack, "REVIEW_IN_PROGRESS")
        proposal: Proposal = request["proposal"]
        changed = kind == "CREATE" or proposal.changed or request["tags"] != stack["tags"]
        uuid = call.world.uuid()
        arn = f"arn:aws:cloudformation:{call.region}:{call.account}:changeSet/{name}/{uuid}"
        changes: dict[str, Any] = {
            "name": name,
            "uuid": uuid,
            "id": arn,
            "kind": kind,
            "status": "CREATE_COMPLETE" if changed else "FAILED",
            "execution": "AVAILABLE" if changed else "UNAVAILABLE",
            "reason": "" if changed else _NO_CHANGES,
            "created_s": call.tx.time_s,
            "text": request.get("Description") or "",
            "role_arn": role,
            "on_failure": request.get("OnStackFailure"),
            "changes": [c.shape() for c in proposal.changes if c.action != "Keep"],
            "template": None,
            "secret": proposal.secret,
            "description": proposal.template.description,
            "imports": sorted(proposal.imports),
            "tags": request["tags"],
            "capabilities": request.get("Capabilities") or [],
            "private": {"parameters": proposal.values},
        }
        if changed:
            changes["template"] = call.world.uuid()
            state.put_template(
                call.tx,
                rows,
                stack["uuid"],
                changes["template"],
                proposal.original,
                proposal.processed,
            )
        if known := state.changes_named(call.tx, rows, stack["uuid"], name):
            state.drop_changes(call.tx, rows, stack["uuid"], known)
        state.put_changes(call.tx, rows, stack["uuid"], changes)
        return {"Id": arn, "StackId": stack["id"]}

    def describe_change_set(self, call: Call, request: Request) -> Response:
        uuid, changes = find_changes(call, request)
        stack = state.stack_of(call.tx, state.rows_of(call), uuid)
        assert stack is not None
        token = request.get("NextToken") or "0"
        if not token.isdecimal():
            raise invalid("Invalid NextToken")
        start = int(token)
        answer: Response = {
            **_summary(stack, changes),
            "Parameters": parameters_shape(changes["private"]["parameters"], changes["secret"]),
            "NotificationARNs": [],
            "RollbackConfiguration": {},
            "Capabilities": changes["capabilities"],
            "Tags": [{"Key": key, "Value": value} for key, value in changes["tags"].items()],
            "Changes": changes["changes"][start : start + _CHANGES_PAGE_COUNT],
        }
        if start + _CHANGES_PAGE_COUNT < len(changes["changes"]):
            answer["NextToken"] = str(start + _CHANGES_PAGE_COUNT)
        return answer

    def list_change_sets(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        rows, after = state.rows_of(call), request.get("NextToken") or ""
        page = state.changes_page(call.tx, rows, stack["uuid"], after, CHANGE_SETS_PAGE_COUNT + 1)
        answer: Response = {
            "Summaries": [_summary(stack, c) for c in page[:CHANGE_SETS_PAGE_COUNT]]
        }
        if len(page) > CHANGE_SETS_PAGE_COUNT:
            answer["NextToken"] = page[CHANGE_SETS_PAGE_COUNT - 1]["name"]
        return answer

    def delete_change_set(self, call: Call, request: Request) -> Response:
        uuid, changes = find_changes(call, request)
        rows = state.rows_of(call)
        stack = state.stack_of(call.tx, rows, uuid)
        state.drop_changes(call.tx, rows, uuid, changes)
        in_use = changes["execution"] == "EXECUTE_COMPLETE"
        if (
            changes["template"]
            and not in_use
            and stack
            and stack["template"] != changes["template"]
        ):
            state.drop_template(call.tx, rows, uuid, changes["template"])
        return {}

    async def execute_change_set(self, call: Call, request: Request) -> Response:
        stack_id = await call.transact(lambda inner: self._execute(inner, request))
        await until_settled(call, stack_id)
        return {}

    def _execute(self, call: Call, request: Request) -> str:
        """The stack's id."""
        uuid, changes = find_changes(call, request)
        rows = state.rows_of(call)
        stack = state.stack_of(call.tx, rows, uuid)
        assert stack is not None
        if changes["execution"] != "AVAILABLE":
            status = changes["execution"] if changes["status"] != "FAILED" else "FAILED"
            raise Fault(
                "InvalidChangeSetStatus",
                f"ChangeSet [{changes['id']}] cannot be executed in its current status of [{status}]",
            )
        kind = changes["kind"].lower()
        on_failure = changes["on_failure"] or "ROLLBACK"
        if request.get("DisableRollback"):
            if kind == "update":
                raise invalid(
                    "ExecuteChangeSet DisableRollback of an update is not offered by Stratolite yet"
                )
            on_failure = "DO_NOTHING"
        if request.get("RetainExceptOnCreate"):
            raise invalid("ExecuteChangeSet RetainExceptOnCreate is not offered by Stratolite yet")
        if kind == "update":
            must_be_updatable(stack)
        elif stack["status"] != "REVIEW_IN_PROGRESS":
            raise invalid(
                f"Stack:{stack['id']} is in {stack['status']} state and can not be updated."
            )
        if changes["role_arn"]:
            stack["role_arn"] = take_role(call, changes["role_arn"])
        changes["execution"] = "EXECUTE_COMPLETE"
        clear_changes(call, stack, keep=changes["name"])
        state.put_changes(call.tx, rows, uuid, changes)
        stack["on_failure"] = on_failure
        stack["change_set_id"] = changes["id"]
        begin_with(
            call,
            stack,
            kind,
            {
                **{key: changes[key] for key in ("template", "secret", "description", "imports")},
                "tags": changes["tags"],
                "capabilities": changes["capabilities"],
                "on_failure": on_failure,
                "change_set_id": changes["id"],
                "client_token": request.get("ClientRequestToken"),
            },
            changes["private"]["parameters"],
        )
        return str(stack["id"])


def _to_change(
    call: Call, name: str, kind: str, changes_name: str
) -> tuple[Stack | None, list[Record], str]:
    """The stack (None where it is to be made), its records and its template. Raises Fault if it cannot be changed."""
    rows, stack = state.rows_of(call), find_stack(call, name)
    if kind == "CREATE":
        if stack is not None and stack["status"] != "REVIEW_IN_PROGRESS":
            raise Fault(
                "AlreadyExistsException",
                f"Stack [{name}] already exists and cannot be created again with the changeSet [{changes_name}].",
            )
    else:
        if stack is None or stack["status"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            raise invalid(f"Stack [{name}] does not exist")
        if stack["status"] not in UPDATABLE:
            must_be_updatable(stack)
    if stack is None:
        return None, [], ""
    known = state.changes_named(call.tx, rows, stack["uuid"], changes_name)
    if known is not None and known["execution"] == "AVAILABLE":  # the CLI names them by the second
        raise Fault("AlreadyExistsException", f"ChangeSet [{changes_name}] already exists")
    text = ""
    if stack["template"]:
        text = state.template_text(call.tx, rows, stack["uuid"], stack["template"], "original")
    return stack, state.records(call.tx, rows, stack["uuid"]), text


def _summary(stack: Stack, changes: dict[str, Any]) -> dict[str, Any]:
    shape = {
        "StackId": stack["id"],
        "StackName": stack["name"],
        "ChangeSetId": changes["id"],
        "ChangeSetName": changes["name"],
        "ExecutionStatus": changes["execution"],
        "Status": changes["status"],
        "CreationTime": changes["created_s"],
        "IncludeNestedStacks": False,
    }
    if changes["reason"]:
        shape["StatusReason"] = changes["reason"]
    if changes["text"]:
        shape["Description"] = changes["text"]
    return shape
