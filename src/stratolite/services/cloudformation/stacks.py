"""The operations that change a stack: create, update, delete, cancel, continue a rollback, protect.

Each checks the request, prepares the proposal outside the store and, in one transaction, checks again and leaves
an operation for ``engine``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudformation import engine, quotas, state
from stratolite.services.cloudformation.examination import Before
from stratolite.services.cloudformation.finding import find_stack, invalid, must_find, stack_arn
from stratolite.services.cloudformation.proposal import Proposal, prepare
from stratolite.services.cloudformation.quotas import TAGS_COUNT_MAX
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.template_source import read_text

UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,127}\Z", re.ASCII)
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+\Z", re.ASCII)
_NOT_OFFERED = [
    "NotificationARNs",
    "StackPolicyBody",
    "StackPolicyURL",
    "StackPolicyDuringUpdateBody",
    "StackPolicyDuringUpdateURL",
    "ResourceTypes",
    "RetainExceptOnCreate",
    "ResourcesToImport",
    "ImportExistingResources",
    "DeploymentConfig",
    "DeploymentMode",
]


class StackChanges(Service):
    async def _prepare_create(self, call: Call, request: Request) -> Request:
        name = new_name(request.get("StackName"))
        refuse_unoffered("CreateStack", request)
        text = await needed_text(call, request)
        uuid = call.world.uuid()
        before = Before(name, stack_arn(call, name, uuid))
        tags = tags_of(request)
        proposal = await prepare(call, text, request.get("Parameters") or [], tags, before)
        acknowledge(proposal, request)
        return {**request, "uuid": uuid, "proposal": proposal, "tags": tags}

    async def create_stack(self, call: Call, request: Request) -> Response:
        ready = await self._prepare_create(call, request)
        answer = await call.transact(lambda inner: self._create(inner, ready))
        await until_settled(call, answer["StackId"])
        return answer

    def _create(self, call: Call, request: Request) -> Response:
        rows, name, token = (
            state.rows_of(call),
            request["StackName"],
            request.get("ClientRequestToken"),
        )
        known = state.named_stack(call.tx, rows, name)
        if known is not None:
            if token and known.get("client_token") == token:
                return {"StackId": known["id"]}
            raise Fault("AlreadyExistsException", f"Stack [{name}] already exists")
        role = take_role(call, request.get("RoleARN"))
        if request.get("DisableRollback") is not None and request.get("OnFailure"):
            raise invalid("You cannot specify both DisableRollback and OnFailure")
        on_failure = (
            "DO_NOTHING" if request.get("DisableRollback") else request.get("OnFailure", "ROLLBACK")
        )
        minutes = request.get("TimeoutInMinutes")
        stack = new_stack(call, name, request["uuid"], role)
        stack["client_token"] = token
        stack["timeout_minutes"] = minutes
        stack["protected"] = bool(request.get("EnableTerminationProtection"))
        stack["on_failure"] = on_failure
        state.add_stack(call.tx, rows, stack)
        begin(
            call,
            stack,
            "create",
            request["proposal"],
            {
                "tags": request["tags"],
                "capabilities": request.get("Capabilities") or [],
                "on_failure": on_failure,
                "client_token": token,
                "deadline_s": call.tx.time_s + 60 * minutes if minutes else None,
            },
        )
        return {"StackId": stack["id"]}

    async def _prepare_update(self, call: Call, request: Request) -> Request:
        refuse_unoffered("UpdateStack", request)
        if request.get("DisableRollback"):
            raise invalid("UpdateStack DisableRollback is not offered by Stratolite yet")
        stack, records, current = await call.transact(lambda c: _to_update(c, request["StackName"]))
        if request.get("UsePreviousTemplate"):
            text = current
        else:
            text = await needed_text(call, request)
        tags = tags_of(request) if "Tags" in request else stack["tags"]
        proposal = await prepare(
            call, text, request.get("Parameters") or [], tags, before_of(stack, records)
        )
        acknowledge(proposal, request)
        return {**request, "stack": stack, "proposal": proposal, "tags": tags}

    async def update_stack(self, call: Call, request: Request) -> Response:
        ready = await self._prepare_update(call, request)
        answer = await call.transact(lambda inner: self._update(inner, ready))
        await until_settled(call, answer["StackId"])
        return answer

    def _update(self, call: Call, request: Request) -> Response:
        looked_at, token = request["stack"], request.get("ClientRequestToken")
        stack = unchanged_since(call, looked_at)
        proposal: Proposal = request["proposal"]
        if not proposal.changed and request["tags"] == stack["tags"]:
            raise invalid("No updates are to be performed.")
        if role := take_role(call, request.get("RoleARN")):
            stack["role_arn"] = role
        clear_changes(call, stack)
        begin(
            call,
            stack,
            "update",
            proposal,
            {
                "tags": request["tags"],
                "capabilities": request.get("Capabilities") or [],
                "client_token": token,
            },
        )
        return {"StackId": stack["id"]}

    async def delete_stack(self, call: Call, request: Request) -> Response:
        stack_id = await call.transact(lambda inner: self._delete(inner, request))
        if stack_id:
            await until_settled(call, stack_id)
        return {}

    def _delete(self, call: Call, request: Request) -> str:
        """The stack's id if there is anything to delete."""
        stack = find_stack(call, request["StackName"])
        if stack is None or stack["status"] in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return ""
        retain = request.get("RetainResources") or []
        if request.get("DeletionMode", "STANDARD") != "STANDARD":
            raise invalid(
                "DeleteStack DeletionMode FORCE_DELETE_STACK is not offered by Stratolite yet"
            )
        if retain and stack["status"] != "DELETE_FAILED":
            raise invalid(
                f"Invalid operation on stack [{stack['id']}]. RetainResources can only be specified when the stack is in DELETE_FAILED state."
            )
        if stack.get("protected"):
            raise invalid(
                f"Stack [{stack['name']}] cannot be deleted while TerminationProtection is enabled"
            )
        if role := take_role(call, request.get("RoleARN")):
            stack["role_arn"] = role
        op, rows = stack.get("op"), state.rows_of(call)
        if op is not None and not op.get("halted"):
            if op["kind"] != "create" or op["phase"] != "forward":
                raise invalid(
                    f"Stack [{stack['name']}] cannot be deleted while in status {stack['status']}"
                )
            op["cancel"], op["then"] = (
                True,
                "delete",
            )  # the worker turns round after the steps under way
            state.put_stack(call.tx, rows, stack)
            return str(stack["id"])
        clear_changes(call, stack)
        stack["op"] = {
            **new_op(call, "delete"),
            "phase": "delete",
            "retain": retain,
            "status_before": stack["status"],
            "op_before": op,
            "client_token": request.get("ClientRequestToken"),
        }
        enter(call, stack, "DELETE_IN_PROGRESS")
        engine.start(call, stack)
        return str(stack["id"])

    def cancel_update_stack(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        op = stack.get("op")
        if op is None or stack["status"] != "UPDATE_IN_PROGRESS":
            raise invalid("CancelUpdateStack cannot be called from current stack status")
        op["cancel"] = True
        state.put_stack(call.tx, state.rows_of(call), stack)
        return {}

    def continue_update_rollback(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        if stack["status"] != "UPDATE_ROLLBACK_FAILED":
            raise invalid(
                f"Stack:{stack['id']} is in {stack['status']} state and can not continue rolling back."
            )
        if role := take_role(call, request.get("RoleARN")):
            stack["role_arn"] = role
        skip = request.get("ResourcesToSkip") or []
        rows = state.rows_of(call)
        for name in skip:
            record = state.record_of(call.tx, rows, stack["uuid"], name)
            if record is None or record["status"] != "UPDATE_FAILED":
                raise invalid(
                    f"Invalid resource to skip: [{name}]. Only resources that failed to update can be skipped"
                )
        stack["op"].update(halted=False, skip=skip, principal=asdict(call.principal))
        enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS")
        engine.start(call, stack)
        return {}

    def update_termination_protection(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        stack["protected"] = bool(request["EnableTerminationProtection"])
        state.put_stack(call.tx, state.rows_of(call), stack)
        return {"StackId": stack["id"]}


# -- what a request says


def new_name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.match(name):
        raise invalid(
            f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
        )
    return name


def refuse_unoffered(operation: str, request: Request) -> None:
    for member in _NOT_OFFERED:
        if request.get(member):
            raise invalid(f"{operation} {member} is not offered by Stratolite yet")
    if (request.get("RollbackConfiguration") or {}).get("RollbackTriggers"):
        raise invalid(
            f"{operation} RollbackConfiguration.RollbackTriggers is not offered by Stratolite yet"
        )
    for capability in request.get("Capabilities") or []:
        if capability not in _CAPABILITIES:
            raise invalid(
                f"1 validation error detected: Value '[{capability}]' at 'capabilities' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [CAPABILITY_NAMED_IAM, CAPABILITY_IAM, CAPABILITY_AUTO_EXPAND]]"
            )


async def needed_text(call: Call, request: Request) -> str:
    text = await read_text(call, request)
    if text is None:
        raise invalid("Either Template URL or Template Body must be specified.")
    return text


def tags_of(request: Request) -> dict[str, str]:
    tags = request.get("Tags") or []
    if len(tags) > TAGS_COUNT_MAX:
        raise invalid(
            f"Number of tags, {len(tags)}, is greater than maximum allowed, {TAGS_COUNT_MAX}"
        )
    made: dict[str, str] = {}
    for tag in tags:
        key = tag.get("Key") or ""
        if not key or key.lower().startswith("aws:"):
            raise invalid(f"aws: prefixed tag key names are not allowed for external use: {key}")
        if key in made:
            raise invalid(f"Duplicate tag keys found: {key}")
        made[key] = tag.get("Value") or ""
    return made


def acknowledge(proposal: Proposal, request: Request, *, expands: bool = True) -> None:
    """Raises Fault unless the caller named the capabilities the template needs.

    ``expands``: transforms need theirs too (not in a change set, which shows what they made).
    """
    given = set(request.get("Capabilities") or [])
    needed, _ = proposal.template.capabilities()
    if "CAPABILITY_NAMED_IAM" in given:
        given.add("CAPABILITY_IAM")
    missing = [capability for capability in needed if capability not in given]
    if expands and proposal.transforms and "CAPABILITY_AUTO_EXPAND" not in given:
        missing.append("CAPABILITY_AUTO_EXPAND")
    if missing:
        raise Fault(
            "InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]"
        )


def take_role(call: Call, arn: str | None) -> str:
    """The role a stack works as: CloudFormation must be trusted by it. "" for none."""
    if not arn:
        return ""
    match = _ROLE.match(arn)
    if match is None or match[1] != call.account:
        raise invalid(f"Role {arn} is invalid or cannot be assumed")
    as_service = call.as_service("cloudformation.amazonaws.com", "")
    as_service.depth += 1
    try:
        as_service.invoke(
            "sts", "AssumeRole", {"RoleArn": arn, "RoleSessionName": "AWSCloudFormation"}
        )
    except Fault as fault:
        raise invalid(f"Role {arn} is invalid or cannot be assumed") from fault
    return arn


# -- stacks


def new_stack(call: Call, name: str, uuid: str, role: str) -> Stack:
    return {
        "uuid": uuid,
        "id": stack_arn(call, name, uuid),
        "name": name,
        "status": "REVIEW_IN_PROGRESS",
        "reason": "",
        "created_s": call.tx.time_s,
        "role_arn": role,
        "tags": {},
        "capabilities": [],
        "description": "",
        "secret": [],
        "outputs": [],
        "exports": [],
        "imports": [],
        "template": None,
        "op": None,
        "private": {"parameters": {}},
    }


def new_op(call: Call, kind: str) -> dict[str, Any]:
    return {
        "id": call.world.uuid(),
        "kind": kind,
        "phase": "forward",
        "principal": asdict(call.principal),
        "template": None,
        "imports": [],
        "change_set_id": None,
    }


def begin(
    call: Call, stack: Stack, kind: str, proposal: Proposal, members: Mapping[str, Any]
) -> None:
    """Store the proposal and start the operation that carries it out."""
    version = call.world.uuid()
    rows = state.rows_of(call)
    state.put_template(call.tx, rows, stack["uuid"], version, proposal.original, proposal.processed)
    begin_with(
        call,
        stack,
        kind,
        {
            "template": version,
            "secret": proposal.secret,
            "description": proposal.template.description,
            "imports": sorted(proposal.imports),
            **members,
        },
        proposal.values,
    )


def begin_with(
    call: Call, stack: Stack, kind: str, members: Mapping[str, Any], values: dict[str, str]
) -> None:
    """The template is stored already."""
    rows = state.rows_of(call)
    stack["op"] = {**new_op(call, kind), "imports_before": stack["imports"], **members}
    stack["private"]["op_parameters"] = values
    if kind == "create":
        stack["template"], stack["private"]["parameters"] = members["template"], values
        for key in ("description", "capabilities", "tags", "secret"):
            stack[key] = members[key]
    else:
        stack["updated_s"] = call.tx.time_s
    for name in members["imports"]:
        state.export_value(call.tx, rows, name)
    state.add_imports(call.tx, rows, stack, set(members["imports"]))
    enter(call, stack, f"{kind.upper()}_IN_PROGRESS")
    engine.start(call, stack)


def enter(call: Call, stack: Stack, status: str) -> None:
    stack["status"], stack["reason"] = status, "User Initiated"
    rows = state.rows_of(call)
    state.add_event(call.tx, rows, stack, status, reason="User Initiated")
    state.put_stack(call.tx, rows, stack)


async def until_settled(call: Call, stack_id: str) -> None:
    """Return when the operation has ended, or after ``ANSWER_WAIT_S``.

    The waiters of every SDK look once at once and then every 30 s: most stacks here are ready in a few
    tenths of a second, and whoever asks straight after the answer shall see that.
    """
    uuid = stack_id.rsplit("/", 1)[-1]

    deadline_s = call.world.cloud() + quotas.ANSWER_WAIT_S

    def look(inner: Call) -> None:
        rows, tx = state.rows_of(inner), inner.tx
        if tx.time_s < deadline_s and state.in_progress(tx, rows, uuid):
            tx.wait([state.stack_span(rows, uuid)], deadline_s)

    with contextlib.suppress(TimeoutError):  # where the cloud clock stands still
        async with asyncio.timeout(quotas.ANSWER_WAIT_S):
            await call.transact(look)


def _to_update(call: Call, name: str) -> tuple[Stack, list[Record], str]:
    stack = must_find(call, name, "Stack [{}] does not exist")
    must_be_updatable(stack)
    rows = state.rows_of(call)
    records = state.records(call.tx, rows, stack["uuid"])
    text = state.template_text(call.tx, rows, stack["uuid"], stack["template"], "original")
    return stack, records, text


def must_be_updatable(stack: Stack) -> None:
    if stack["status"] == "REVIEW_IN_PROGRESS":
        raise invalid(f"Stack [{stack['name']}] does not exist")
    if stack["status"] not in UPDATABLE:
        raise invalid(f"Stack:{stack['id']} is in {stack['status']} state and can not be updated.")


def before_of(stack: Stack, records: list[Record]) -> Before:
    return Before(
        stack["name"],
        stack["id"],
        stack["private"]["parameters"],
        {record["id"]: record for record in records},
        stack["outputs"],
    )


def unchanged_since(call: Call, looked_at: Stack) -> Stack:
    """The stack now; the proposal was made for it as it was."""
    stack = state.stack_of(call.tx, state.rows_of(call), looked_at["uuid"])
    if stack is None:
        raise invalid(f"Stack [{looked_at['name']}] does not exist")
    if stack["revision"] != looked_at["revision"]:
        must_be_updatable(stack)
        raise invalid(
            f"Stack:{stack['id']} was changed by another request meanwhile; send this one again"
        )
    return stack


def clear_changes(call: Call, stack: Stack, keep: str = "") -> None:
    """Change sets were made for the stack as it was: forget them, except the one being executed."""
    rows, after = state.rows_of(call), ""
    while page := state.changes_page(call.tx, rows, stack["uuid"], after, 100):
        after = page[-1]["name"]
        for changes in page:
            if changes["name"] != keep:
                state.drop_changes(call.tx, rows, stack["uuid"], changes)
                if changes.get("template") not in (None, stack.get("template")):
                    state.drop_template(call.tx, rows, stack["uuid"], changes["template"])
