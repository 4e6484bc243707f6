"""The operations that change a stack: create, update, delete, cancel, continue a rollback, protect.

Each checks the request, prepares the proposal outside the store and, in one transaction, checks again and leaves
an operation for ``engine``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudformation import engine, extensions, quotas, signals, state
from stratolite.services.cloudformation.change_tree import drop_changes
from stratolite.services.cloudformation.examination import Before
from stratolite.services.cloudformation.finding import find_stack, invalid, must_find, stack_arn
from stratolite.services.cloudformation.proposal import (
    Proposal,
    before_of,
    has_failed,
    prepare,
)
from stratolite.services.cloudformation.quotas import (
    MONITORING_MINUTES_MAX,
    NOTIFICATION_ARNS_COUNT_MAX,
    ROLLBACK_TRIGGERS_COUNT_MAX,
    TAGS_COUNT_MAX,
)
from stratolite.services.cloudformation.removal import is_creation
from stratolite.services.cloudformation.stack_policy import policy_of
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.template_source import read_text

UPDATABLE = (
    "CREATE_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
)
_NAME = re.compile(r"[A-Za-z][-A-Za-z0-9]{0,127}\Z", re.ASCII)
_CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+\Z", re.ASCII)


class StackChanges(Service):
    async def _prepare_create(self, call: Call, request: Request) -> Request:
        name = new_name(request.get("StackName"))
        check_request(request)
        text = await needed_text(call, request)
        policy = await policy_of(call, request, "StackPolicyBody", "StackPolicyURL")
        uuid = call.world.uuid()
        before = Before(
            name, stack_arn(call, name, uuid), notify=request.get("NotificationARNs") or []
        )
        tags = tags_of(request)
        proposal = await prepare(call, text, request.get("Parameters") or [], tags, before)
        acknowledge(proposal, request)
        return {**request, "uuid": uuid, "proposal": proposal, "tags": tags, "policy": policy}

    async def create_stack(self, call: Call, request: Request) -> Response:
        known = await call.transact(lambda c: _made_by_token(c, request))
        if known is not None:
            return known
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
        if rollback_disabled(request) is not None and request.get("OnFailure"):
            raise invalid("You cannot specify both DisableRollback and OnFailure")
        on_failure = (
            "DO_NOTHING" if rollback_disabled(request) else request.get("OnFailure", "ROLLBACK")
        )
        minutes = request.get("TimeoutInMinutes")
        stack = new_stack(call, name, request["uuid"], role)
        stack["client_token"] = token
        stack["timeout_minutes"] = minutes
        stack["protected"] = bool(request.get("EnableTerminationProtection"))
        stack["notify"] = request.get("NotificationARNs") or []
        stack["monitor"] = monitor_of(request) or {}
        stack["policy"] = request["policy"] or ""
        stack["retain_except_on_create"] = bool(request.get("RetainExceptOnCreate"))
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
                "retain_except_on_create": stack["retain_except_on_create"],
            },
        )
        return {"StackId": stack["id"], "OperationId": stack["op"]["id"]}

    async def _prepare_update(self, call: Call, request: Request) -> Request:
        check_request(request)
        stack, records, current = await call.transact(lambda c: _to_update(c, request))
        if request.get("UsePreviousTemplate"):
            text = current
        else:
            text = await needed_text(call, request)
        policy = await policy_of(call, request, "StackPolicyBody", "StackPolicyURL")
        during = await policy_of(
            call, request, "StackPolicyDuringUpdateBody", "StackPolicyDuringUpdateURL"
        )
        tags = tags_of(request) if "Tags" in request else stack["tags"]
        before = before_of(stack, records)
        if "NotificationARNs" in request:
            before = replace(before, notify=request["NotificationARNs"])
        proposal = await prepare(call, text, request.get("Parameters") or [], tags, before)
        acknowledge(proposal, request)
        return {
            **request,
            "stack": stack,
            "proposal": proposal,
            "tags": tags,
            "policy": policy,
            "during": during,
        }

    async def update_stack(self, call: Call, request: Request) -> Response:
        known = await call.transact(lambda c: _updated_by_token(c, request))
        if known is not None:
            return known
        ready = await self._prepare_update(call, request)
        answer = await call.transact(lambda inner: self._update(inner, ready))
        await until_settled(call, answer["StackId"])
        return answer

    def _update(self, call: Call, request: Request) -> Response:
        looked_at, token = request["stack"], request.get("ClientRequestToken")
        stack = unchanged_since(call, looked_at)
        proposal: Proposal = request["proposal"]
        same = not proposal.changed and request["tags"] == stack["tags"]
        if (
            same
            and not has_failed(stack)
            and "NotificationARNs" not in request
            and "RollbackConfiguration" not in request
        ):
            raise invalid("No updates are to be performed.")
        if role := take_role(call, request.get("RoleARN")):
            stack["role_arn"] = role
        if request["policy"] is not None:
            stack["policy"] = request["policy"]
        clear_changes(call, stack)
        stack["token"] = token
        begin(
            call,
            stack,
            "update",
            proposal,
            {
                "tags": request["tags"],
                "capabilities": request.get("Capabilities") or [],
                "client_token": token,
                "on_failure": "DO_NOTHING" if rollback_disabled(request) else "ROLLBACK",
                "retain_except_on_create": bool(request.get("RetainExceptOnCreate")),
                "policy": request["during"],
                "notify": request.get("NotificationARNs", stack.get("notify") or []),
                "monitor": monitor_of(request) or stack.get("monitor") or {},
            },
        )
        return {"StackId": stack["id"], "OperationId": stack["op"]["id"]}

    def rollback_stack(self, call: Call, request: Request) -> Response:
        """After an operation that failed with its rollback disabled."""
        check_deployment(request)
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        if stack["status"] not in ("CREATE_FAILED", "UPDATE_FAILED") or not stack.get("op"):
            raise invalid(
                f"Stack:{stack['id']} is in {stack['status']} state and can not be rolled back."
            )
        if role := take_role(call, request.get("RoleARN")):
            stack["role_arn"] = role
        stack["op"].update(halted=False, principal=asdict(call.principal))
        if request.get("RetainExceptOnCreate"):
            stack["op"]["retain_except_on_create"] = True
        word = "" if is_creation(stack) else "UPDATE_"
        enter(call, stack, f"{word}ROLLBACK_IN_PROGRESS")
        engine.start(call, stack)
        return {"StackId": stack["id"], "OperationId": stack["op"]["id"]}

    async def delete_stack(self, call: Call, request: Request) -> Response:
        stack_id = await call.transact(lambda inner: self._delete(inner, request))
        if stack_id:
            await until_settled(call, stack_id)
        return {}

    def _delete(self, call: Call, request: Request) -> str:
        """The stack's id if there is anything to delete."""
        check_deployment(request)
        stack = find_stack(call, request["StackName"])
        if stack is None or stack["status"] in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return ""
        retain = request.get("RetainResources") or []
        force = request.get("DeletionMode", "STANDARD") != "STANDARD"
        if force and stack["status"] != "DELETE_FAILED":
            raise invalid(
                f"Invalid operation on stack [{stack['id']}]. DeletionMode FORCE_DELETE_STACK can only be specified when the stack is in DELETE_FAILED state."
            )
        if retain and stack["status"] != "DELETE_FAILED":
            raise invalid(
                f"Invalid operation on stack [{stack['id']}]. RetainResources can only be specified when the stack is in DELETE_FAILED state."
            )
        if _root_of(call, stack).get("protected"):
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
        members = {
            "retain": retain,
            "force": force,
            "client_token": request.get("ClientRequestToken"),
        }
        begin_delete(call, stack, members)
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
        if request.get("ForceRollback"):
            raise invalid("ContinueUpdateRollback ForceRollback is not offered by Stratolite")
        skip = request.get("ResourcesToSkip") or []
        for name in skip:
            self._skip(call, stack, name)
        stack["op"].update(halted=False, principal=asdict(call.principal))
        enter(call, stack, "UPDATE_ROLLBACK_IN_PROGRESS")
        engine.start(call, stack)
        return {}

    @staticmethod
    def _skip(call: Call, root: Stack, name: str) -> None:
        """Give up the way back of one resource, of a nested stack where it is NestedStackName.LogicalId.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-continueupdaterollback.html
        """
        rows, stack, refused = (
            state.rows_of(call),
            root,
            invalid(
                f"Invalid resource to skip: [{name}]. Only resources that failed to update can be skipped"
            ),
        )
        nested, _, logical_id = name.rpartition(".")
        if nested:
            found = state.named_stack(call.tx, rows, nested)
            if found is None or found.get("root_id") != (root.get("root_id") or root["id"]):
                raise refused
            stack = found
        record = state.record_of(call.tx, rows, stack["uuid"], logical_id)
        if record is None or record["status"] != "UPDATE_FAILED" or not stack.get("op"):
            raise refused
        stack["op"].setdefault("skip", []).append(logical_id)
        if stack is not root:
            state.put_stack(call.tx, rows, stack)

    def _set_policy(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        stack["policy"] = request["policy"] or ""
        state.put_stack(call.tx, state.rows_of(call), stack)
        return {}

    async def set_stack_policy(self, call: Call, request: Request) -> Response:
        policy = await policy_of(call, request, "StackPolicyBody", "StackPolicyURL")
        ready = {**request, "policy": policy}
        return await call.transact(lambda inner: self._set_policy(inner, ready))

    def get_stack_policy(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        return {"StackPolicyBody": stack["policy"]} if stack.get("policy") else {}

    def signal_resource(self, call: Call, request: Request) -> Response:
        stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
        name, rows = request["LogicalResourceId"], state.rows_of(call)
        record = state.record_of(call.tx, rows, stack["uuid"], name)
        if record is None:
            raise invalid(f"Resource {name} does not exist for stack {stack['name']}")
        if record["status"] != "CREATE_IN_PROGRESS" or not record.get("creation_policy"):
            raise invalid(
                f"Resource [{name}] is in {record['status']} state and can not be signaled"
            )
        signal = {
            "UniqueId": request["UniqueId"],
            "Status": request["Status"],
            "Reason": "",
            "Data": "",
        }
        signals.add_signal(call.tx, rows, (stack["uuid"], name, "policy"), signal)
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


def check_request(request: Request) -> None:
    check_deployment(request)
    monitor_of(request)
    notify = request.get("NotificationARNs") or []
    if len(notify) > NOTIFICATION_ARNS_COUNT_MAX:
        raise invalid(
            f"1 validation error detected: Value '{notify}' at 'notificationARNs' failed to satisfy constraint: Member must have length less than or equal to {NOTIFICATION_ARNS_COUNT_MAX}"
        )
    for capability in request.get("Capabilities") or []:
        if capability not in _CAPABILITIES:
            raise invalid(
                f"1 validation error detected: Value '[{capability}]' at 'capabilities' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [CAPABILITY_NAMED_IAM, CAPABILITY_IAM, CAPABILITY_AUTO_EXPAND]]"
            )


def check_deployment(request: Request) -> dict[str, Any]:
    """DeploymentConfig as given. EXPRESS may end before resources are ready; here an operation waits for them in both modes."""
    given: dict[str, Any] = request.get("DeploymentConfig") or {}
    if given.get("Mode", "STANDARD") not in ("STANDARD", "EXPRESS"):
        raise invalid(
            f"1 validation error detected: Value '{given['Mode']}' at 'deploymentConfig.mode' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, EXPRESS]"
        )
    return given


def rollback_disabled(request: Request) -> bool | None:
    """Whether a failure leaves what was made: said in either of two places, by EXPRESS if in none; None if by nothing.

    cdk counts on it that EXPRESS leaves what was made unless DisableRollback is false.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-express-mode.html
    """
    deployment = request.get("DeploymentConfig") or {}
    given: bool | None = request.get("DisableRollback")
    if given is None:
        given = deployment.get("DisableRollback")
    return True if given is None and deployment.get("Mode") == "EXPRESS" else given


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


def monitor_of(request: Request) -> dict[str, Any] | None:
    """{"minutes", "triggers": ARNs of alarms}; None if the request says nothing of it."""
    given = request.get("RollbackConfiguration")
    if given is None:
        return None
    triggers = given.get("RollbackTriggers") or []
    for trigger in triggers:
        if trigger["Type"] not in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"):
            raise invalid("Rollback Trigger Type not supported")
        if ":alarm:" not in trigger["Arn"]:
            raise invalid("RelativeId of a Rollback Trigger's ARN is incorrect")
    if len(triggers) > ROLLBACK_TRIGGERS_COUNT_MAX:
        raise invalid(f"A stack has at most {ROLLBACK_TRIGGERS_COUNT_MAX} rollback triggers")
    minutes = given.get("MonitoringTimeInMinutes") or 0
    if not 0 <= minutes <= MONITORING_MINUTES_MAX:
        raise invalid(
            f"1 validation error detected: Value '{minutes}' at 'rollbackConfiguration.monitoringTimeInMinutes' failed to satisfy constraint: Member must have value less than or equal to {MONITORING_MINUTES_MAX}"
        )
    return {
        "minutes": minutes,
        "triggers": [trigger["Arn"] for trigger in triggers],
        "shape": given,
    }


def acknowledge(proposal: Proposal, request: Request, *, expands: bool = True) -> None:
    """Raises Fault unless the caller named the capabilities and types the template needs.

    ``expands``: transforms need theirs too (not in a change set, which shows what they made).
    """
    given = set(request.get("Capabilities") or [])
    needed = list(proposal.template.capabilities()[0])
    transforms = set(proposal.transforms)
    for capabilities, theirs in proposal.nested:
        needed += [capability for capability in capabilities if capability not in needed]
        transforms.update(theirs)
    if "CAPABILITY_NAMED_IAM" in given:
        given.add("CAPABILITY_IAM")
    missing = [capability for capability in needed if capability not in given]
    transforms -= {extensions.NAME}
    if expands and transforms and "CAPABILITY_AUTO_EXPAND" not in given:
        missing.append("CAPABILITY_AUTO_EXPAND")
    if missing:
        raise Fault(
            "InsufficientCapabilitiesException", f"Requires capabilities : [{', '.join(missing)}]"
        )
    allowed = request.get("ResourceTypes") or []
    for resource in proposal.template.resources.values():
        if allowed and not any(_is_among(resource["Type"], pattern) for pattern in allowed):
            raise invalid(
                f"Resource type {resource['Type']} is not allowed by parameter ResourceTypes [{', '.join(allowed)}]"
            )


def _is_among(kind: str, pattern: str) -> bool:
    return pattern in ("AWS::*", kind) or (
        pattern.endswith("::*") and kind.startswith(pattern[:-1])
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


def _made_by_token(call: Call, request: Request) -> Response | None:
    """The answer to a CreateStack that came before with the same token."""
    token = request.get("ClientRequestToken")
    known = find_stack(call, request["StackName"]) if token and request.get("StackName") else None
    if known is None or known.get("client_token") != token:
        return None
    return {"StackId": known["id"]}


def _updated_by_token(call: Call, request: Request) -> Response | None:
    token = request.get("ClientRequestToken")
    known = find_stack(call, request["StackName"]) if token else None
    if known is None or known.get("token") != token:
        return None
    return {"StackId": known["id"]}


def _root_of(call: Call, stack: Stack) -> Stack:
    if not stack.get("root_id"):
        return stack
    uuid = stack["root_id"].rsplit("/", 1)[-1]
    return state.stack_of(call.tx, state.rows_of(call), uuid) or stack


def begin_delete(
    call: Call, stack: Stack, members: Mapping[str, Any], *, inside: bool = False
) -> None:
    op = stack.get("op")
    clear_changes(call, stack)
    stack["op"] = {
        **new_op(call, "delete"),
        "phase": "delete",
        "retain": [],
        "status_before": stack["status"],
        "op_before": op,
        **members,
    }
    enter(call, stack, "DELETE_IN_PROGRESS")
    if not inside:
        engine.start(call, stack)


def begin(
    call: Call,
    stack: Stack,
    kind: str,
    proposal: Proposal,
    members: Mapping[str, Any],
    *,
    inside: bool = False,
) -> None:
    """Store the proposal and start the operation that carries it out (``inside``: the parent's job does)."""
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
        proposal.looked_up,
        inside=inside,
    )


def begin_with(
    call: Call,
    stack: Stack,
    kind: str,
    members: Mapping[str, Any],
    values: dict[str, str],
    looked_up: dict[str, str],
    *,
    inside: bool = False,
) -> None:
    """The template is stored already."""
    rows = state.rows_of(call)
    failed = stack["op"] if kind == "update" and has_failed(stack) else None
    stack["op"] = {**new_op(call, kind), "imports_before": stack["imports"], **members}
    if failed is not None:
        _carry_on(call, stack, failed)
    stack["private"]["op_parameters"] = values
    stack["private"]["op_looked_up"] = looked_up
    if kind == "create":
        stack["template"], stack["private"]["parameters"] = members["template"], values
        stack["private"]["looked_up"] = looked_up
        for key in ("description", "capabilities", "tags", "secret"):
            stack[key] = members[key]
    else:
        stack["updated_s"] = call.tx.time_s
    for name in members["imports"]:
        state.export_value(call.tx, rows, name)
    state.add_imports(call.tx, rows, stack, set(members["imports"]))
    stack["last_op"] = [kind, stack["op"]["id"]]
    enter(call, stack, f"{kind.upper()}_IN_PROGRESS")
    if not inside:
        engine.start(call, stack)


def _carry_on(call: Call, stack: Stack, failed: dict[str, Any]) -> None:
    """The operation takes on what failed ones have left: a way back leads to before the first of them."""
    stack["op"] |= {
        "chain": [*failed.get("chain", ()), failed["id"]],
        "from_create": failed["kind"] == "create" or bool(failed.get("from_create")),
        "imports_before": failed.get("imports_before") or [],
        "drift_aware": bool(failed.get("drift_aware") or stack["op"].get("drift_aware")),
    }
    if failed["template"] not in (stack["template"], stack["op"]["template"]):
        state.drop_template(call.tx, state.rows_of(call), stack["uuid"], failed["template"])


def enter(call: Call, stack: Stack, status: str) -> None:
    stack["status"], stack["reason"] = status, "User Initiated"
    rows = state.rows_of(call)
    state.add_event(call, rows, stack, status, reason="User Initiated")
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


def _to_update(call: Call, request: Request) -> tuple[Stack, list[Record], str]:
    stack = must_find(call, request["StackName"], "Stack [{}] does not exist")
    must_be_updatable(stack, stays=bool(rollback_disabled(request)))
    rows = state.rows_of(call)
    records = state.records(call.tx, rows, stack["uuid"])
    return stack, records, current_text(call, stack)


def current_text(call: Call, stack: Stack) -> str:
    """The template that the stack has, or after a failure that stayed, tried to have."""
    version = stack["op"]["template"] if has_failed(stack) else stack["template"]
    rows = state.rows_of(call)
    return state.template_text(call.tx, rows, stack["uuid"], version, "original")


def must_be_updatable(stack: Stack, *, stays: bool) -> None:
    """``stays``: a failure of the update would leave the stack as it is then."""
    if stack["status"] == "REVIEW_IN_PROGRESS":
        raise invalid(f"Stack [{stack['name']}] does not exist")
    if has_failed(stack) and stack.get("op"):
        if not stays:
            raise invalid(
                f"This stack is currently in a non-terminal [{stack['status']}] state. To update the stack from this state, please use the disable-rollback parameter with update-stack API. To rollback to the last known good state, use the rollback-stack API"
            )
        return
    if stack["status"] not in UPDATABLE:
        raise invalid(f"Stack:{stack['id']} is in {stack['status']} state and can not be updated.")


def unchanged_since(call: Call, looked_at: Stack) -> Stack:
    """The stack now; the proposal was made for it as it was."""
    stack = state.stack_of(call.tx, state.rows_of(call), looked_at["uuid"])
    if stack is None:
        raise invalid(f"Stack [{looked_at['name']}] does not exist")
    if stack["revision"] != looked_at["revision"]:
        must_be_updatable(stack, stays=True)
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
                drop_changes(call, stack, changes)
