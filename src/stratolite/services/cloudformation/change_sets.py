"""Change sets: an update (or a creation) prepared, shown, and carried out later. ``aws cloudformation deploy`` uses them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, Spec, is_number, prepared
from stratolite.services.cloudformation import drift_aware, state
from stratolite.services.cloudformation.change_tree import drop_changes, is_whole
from stratolite.services.cloudformation.examination import KNOWN_LATER, Before, with_values
from stratolite.services.cloudformation.finding import (
    find_changes,
    find_stack,
    invalid,
    must_find,
    owner_of,
    stack_arn,
)
from stratolite.services.cloudformation.parameters import MASK
from stratolite.services.cloudformation.proposal import (
    Nest,
    Proposal,
    before_of,
    has_failed,
    prepare,
)
from stratolite.services.cloudformation.quotas import CHANGE_SETS_PAGE_COUNT, VALUES_BYTES_MAX
from stratolite.services.cloudformation.reading import parameters_shape
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.stacks import (
    UPDATABLE,
    acknowledge,
    begin_with,
    check_request,
    clear_changes,
    current_text,
    enter,
    monitor_of,
    must_be_updatable,
    needed_text,
    new_name,
    new_stack,
    rollback_disabled,
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
        check_request(request)
        name, kind = request["ChangeSetName"], request.get("ChangeSetType", "UPDATE")
        if not _NAME.match(name):
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
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
            if kind == "CREATE" or not stack["template"]:
                before = Before(stack["name"], stack["id"])
        notify = request.get("NotificationARNs", (stack or {}).get("notify")) or []
        before = replace(before, notify=notify)
        if kind == "IMPORT":
            before = replace(before, imports=_to_import(call, request))
        if _reverts(request, kind):
            assert stack is not None, "an update has one"
            before = replace(before, live=await drift_aware.live_of(call, stack, records))
        tags = tags_of(request) if "Tags" in request or stack is None else stack["tags"]
        given = request.get("Parameters") or []
        nest = Nest(whole=bool(request.get("IncludeNestedStacks")))
        proposal = await prepare(call, text, given, tags, before, nest)
        if request.get("ImportExistingResources") and kind != "IMPORT":
            before = replace(before, imports=await _existing(call, proposal, before))
            if before.imports:
                proposal = await prepare(call, text, given, tags, before, nest)
        acknowledge(proposal, request, expands=False)
        if kind == "IMPORT":
            await check_import(call, proposal, before)
        return {
            **request,
            "stack": stack,
            "uuid": uuid,
            "proposal": proposal,
            "tags": tags,
            "live": before.live,
        }

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
        changed = kind != "UPDATE" or proposal.changed or request["tags"] != stack["tags"]
        changed |= has_failed(stack)  # it is tried again
        changes = _changes(call, name, stack, proposal, request["tags"])
        changes |= {
            "kind": kind,
            "status": "CREATE_COMPLETE" if changed else "FAILED",
            "execution": "AVAILABLE" if changed else "UNAVAILABLE",
            "reason": "" if changed else _NO_CHANGES,
            "text": request.get("Description") or "",
            "role_arn": role,
            "on_failure": request.get("OnStackFailure"),
            "notify": request.get("NotificationARNs", stack.get("notify")) or [],
            "monitor": monitor_of(request) or stack.get("monitor") or {},
            "deployment": request.get("DeploymentConfig") or {},
            "imports_existing": bool(request.get("ImportExistingResources")),
            "capabilities": request.get("Capabilities") or [],
            "whole": bool(request.get("IncludeNestedStacks")),
        }
        if request["live"] is not None:
            changes["drift"] = drift_aware.overall(request["live"])
            changes["private"]["live"] = proposal.live
        if known := state.changes_named(call.tx, rows, stack["uuid"], name):
            drop_changes(call, stack, known)
        if changed and changes["whole"]:
            _put_nested(call, stack, changes, proposal, changes)
        if changed:
            _keep_template(call, stack, changes, proposal)
        state.put_changes(call.tx, rows, stack["uuid"], changes)
        return {"Id": changes["id"], "StackId": stack["id"]}

    def describe_change_set(self, call: Call, request: Request) -> Response:
        uuid, changes = find_changes(call, request)
        stack = state.stack_of(call.tx, state.rows_of(call), uuid)
        assert stack is not None
        token = request.get("NextToken") or "0"
        if not is_number(token):
            raise invalid("Invalid NextToken")
        start = int(token)
        answer: Response = {
            **_summary(stack, changes),
            "Parameters": parameters_shape(
                {
                    **changes["private"]["parameters"],
                    **dict.fromkeys(changes.get("later") or (), KNOWN_LATER),
                },
                changes["secret"],
                changes["private"].get("looked_up") or {},
            ),
            "NotificationARNs": changes.get("notify") or [],
            "RollbackConfiguration": (changes.get("monitor") or {}).get("shape") or {},
            "Capabilities": changes["capabilities"],
            "Tags": [{"Key": key, "Value": value} for key, value in changes["tags"].items()],
            "Changes": changes["changes"][start : start + _CHANGES_PAGE_COUNT],
        }
        if changes.get("deployment"):
            answer["DeploymentConfig"] = changes["deployment"]
        if changes.get("drift"):
            answer["DeploymentMode"] = drift_aware.REVERT
            answer["StackDriftStatus"] = changes["drift"]
        if changes["on_failure"]:
            answer["OnStackFailure"] = changes["on_failure"]
        values = changes["private"].get("values") or []
        if request.get("IncludePropertyValues") and values:
            answer["Changes"] = [
                with_values(shape, values[start + n]) for n, shape in enumerate(answer["Changes"])
            ]
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
        """One that is not there (any more) is deleted: cdk deletes by name before it creates."""
        try:
            uuid, changes = find_changes(call, request)
        except Fault as fault:
            if fault.code != "ChangeSetNotFound":
                raise
            return {}
        if changes.get("parent_id"):
            raise Fault(
                "InvalidChangeSetStatus",
                f"ChangeSet [{changes['id']}] can only be deleted from its root change set [{changes['root_id']}]",
            )
        stack = state.stack_of(call.tx, state.rows_of(call), uuid)
        assert stack is not None
        drop_changes(call, stack, changes)
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
        if not is_whole(call, changes):
            raise Fault(
                "InvalidChangeSetStatus",
                f"ChangeSet [{changes['id']}] cannot be executed in its current status of [OBSOLETE]",
            )
        kind = changes["kind"].lower()
        on_failure = changes["on_failure"] or "ROLLBACK"
        said = {"DeploymentConfig": changes.get("deployment") or {}, **request}
        if rollback_disabled(said):
            if changes["on_failure"]:
                raise invalid("You cannot specify both DisableRollback and OnStackFailure")
            on_failure = "DO_NOTHING"
        if kind == "update" or (kind == "import" and stack["template"]):
            must_be_updatable(stack, stays=on_failure == "DO_NOTHING")
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
        if changes.get("drift"):
            drift_aware.take_over(call, stack, changes)
        begin_with(
            call,
            stack,
            kind,
            {
                **{key: changes[key] for key in ("template", "secret", "description", "imports")},
                "tags": changes["tags"],
                "capabilities": changes["capabilities"],
                "notify": changes.get("notify") or [],
                "monitor": changes.get("monitor") or {},
                "adopt": changes.get("adopt") or {},
                "drift_aware": bool(changes.get("drift")),
                "nested": changes.get("nested") or {},
                "retain_except_on_create": bool(request.get("RetainExceptOnCreate")),
                "on_failure": on_failure,
                "change_set_id": changes["id"],
                "client_token": request.get("ClientRequestToken"),
            },
            changes["private"]["parameters"],
            changes["private"].get("looked_up") or {},
        )
        return str(stack["id"])


def _reverts(request: Request, kind: str) -> bool:
    mode = request.get("DeploymentMode")
    if mode and mode != drift_aware.REVERT:
        raise invalid(
            f"1 validation error detected: Value '{mode}' at 'deploymentMode' failed to satisfy constraint: Member must satisfy enum value set: [REVERT_DRIFT]"
        )
    if mode and kind != "UPDATE":
        raise invalid(f"DeploymentMode {mode} is for change sets of type UPDATE, not {kind}")
    return bool(mode)


def _changes(
    call: Call, name: str, stack: Stack, proposal: Proposal, tags: dict[str, str]
) -> dict[str, Any]:
    """What a change set of any kind has of its proposal."""
    shown = [change for change in proposal.changes if change.action != "Keep"]
    uuid = call.world.uuid()
    return {
        "name": name,
        "uuid": uuid,
        "id": f"arn:aws:cloudformation:{call.region}:{call.account}:changeSet/{name}/{uuid}",
        "created_s": call.tx.time_s,
        "changes": [c.shape() for c in shown],
        "adopt": {c.logical_id: c.physical_id for c in shown if c.action == "Import"},
        "template": None,
        "secret": proposal.secret,
        "description": proposal.template.description,
        "imports": sorted(proposal.imports),
        "tags": tags,
        "nested": {},
        "later": [],
        "private": {
            "parameters": proposal.values,
            "looked_up": proposal.looked_up,
            "values": _values(proposal, stack),
        },
    }


def _put_nested(
    call: Call, parent: Stack, above: dict[str, Any], proposal: Proposal, root: dict[str, Any]
) -> None:
    """A change set for every nested stack that is made or changed; ``above`` is its parent's, still to be stored."""
    rows = state.rows_of(call)
    for shape in above["changes"]:
        change = shape["ResourceChange"]
        inside = proposal.inside.get(change["LogicalResourceId"])
        if inside is None or change["Action"] not in ("Add", "Modify"):
            continue
        uuid = inside.before.stack_id.rsplit("/", 1)[-1]
        stack = state.stack_of(call.tx, rows, uuid)
        kind = "CREATE" if stack is None else "UPDATE"
        if stack is None:
            stack = new_stack(call, inside.before.stack_name, uuid, parent["role_arn"])
            stack["parent_id"] = parent["id"]
            stack["root_id"] = parent.get("root_id") or parent["id"]
            state.add_stack(call.tx, rows, stack)
            enter(call, stack, "REVIEW_IN_PROGRESS")
        elif not inside.proposal.changed and inside.tags == stack["tags"]:
            continue
        suffix = call.world.token(4).hex().upper()
        name = f"{root['name'][:70]}-{change['LogicalResourceId'][:40]}-{suffix}"
        changes = {
            **_changes(call, name, stack, inside.proposal, inside.tags),
            **{key: above[key] for key in ("capabilities", "deployment")},
            "imports_existing": False,
            "kind": kind,
            "status": "CREATE_COMPLETE",
            "execution": "UNAVAILABLE",
            "reason": "Executable from root change set",
            "text": "",
            "role_arn": "",
            "on_failure": None,
            "notify": stack.get("notify") or [],
            "monitor": {},
            "whole": True,
            "parent_id": above["id"],
            "root_id": root["id"],
            "later": sorted(inside.later),
        }
        _put_nested(call, stack, changes, inside.proposal, root)
        _keep_template(call, stack, changes, inside.proposal)
        state.put_changes(call.tx, rows, stack["uuid"], changes)
        change["ChangeSetId"] = changes["id"]
        above["nested"][change["LogicalResourceId"]] = [stack["uuid"], name]


def _keep_template(call: Call, stack: Stack, changes: dict[str, Any], proposal: Proposal) -> None:
    changes["template"] = call.world.uuid()
    place = (call.tx, state.rows_of(call), stack["uuid"], changes["template"])
    state.put_template(*place, proposal.original, proposal.processed)


def _to_change(
    call: Call, name: str, kind: str, changes_name: str
) -> tuple[Stack | None, list[Record], str]:
    """The stack (None where it is to be made), its records and its template. Raises Fault if it cannot be changed."""
    rows, stack = state.rows_of(call), find_stack(call, name)
    if kind == "IMPORT" and (stack is None or stack["status"] == "REVIEW_IN_PROGRESS"):
        pass  # a stack made by an import
    elif kind == "CREATE":
        if stack is not None and stack["status"] != "REVIEW_IN_PROGRESS":
            raise Fault(
                "AlreadyExistsException",
                f"Stack [{name}] already exists and cannot be created again with the changeSet [{changes_name}].",
            )
    else:
        if stack is None or stack["status"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            raise invalid(f"Stack [{name}] does not exist")
        if kind == "IMPORT" and has_failed(stack):
            raise invalid(
                f"Stack:{stack['id']} is in {stack['status']} state and can not be updated."
            )
        if stack["status"] not in UPDATABLE:
            must_be_updatable(stack, stays=True)
    if stack is None:
        return None, [], ""
    known = state.changes_named(call.tx, rows, stack["uuid"], changes_name)
    if known is not None and known["execution"] == "AVAILABLE":  # the CLI names them by the second
        raise Fault("AlreadyExistsException", f"ChangeSet [{changes_name}] already exists")
    text = ""
    if stack["template"]:
        text = current_text(call, stack)
    return stack, state.records(call.tx, rows, stack["uuid"]), text


def _to_import(call: Call, request: Request) -> dict[str, dict[str, Any]]:
    """Logical id -> primary identifier, its parts in the schema's order."""
    found: dict[str, dict[str, Any]] = {}
    for one in request.get("ResourcesToImport") or ():
        kind, given = one["ResourceType"], one["ResourceIdentifier"]
        handler, schema = call.cloud.resource(kind), load_schema(call.region, kind)
        if handler is None or schema is None or not handler.can("read"):
            raise invalid(f"ResourceTypes [{kind}] are not supported for Import")
        if set(given) != set(schema.identifiers):
            raise invalid(
                f"Resource identifiers of {kind} are [{', '.join(schema.identifiers)}], not [{', '.join(sorted(given))}]"
            )
        found[one["LogicalResourceId"]] = {key: given[key] for key in schema.identifiers}
    if not found:
        raise invalid("ResourcesToImport must be specified for ChangeSetType IMPORT")
    return found


async def _existing(call: Call, proposal: Proposal, before: Before) -> dict[str, dict[str, Any]]:
    """Of the resources to be added those that are there already, as ``_to_import`` has them.

    They have a name of their own and a DeletionPolicy that retains them, and belong to no stack. Names count that are
    known before the change set is carried out; AWS's page has it that they must stand in the template.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources-automatically.html
    """
    found: dict[str, dict[str, Any]] = {}
    for change in proposal.changes:
        handler, schema = call.cloud.resource(change.type), load_schema(call.region, change.type)
        policy = proposal.template.resources.get(change.logical_id, {}).get("DeletionPolicy")
        if (
            change.action != "Add"
            or policy not in ("Retain", "RetainExceptOnCreate")
            or handler is None
            or schema is None
            or not handler.can("read")
        ):
            continue
        identifier = {key: change.after.get(key) for key in schema.identifiers}
        if not identifier or not all(isinstance(value, str) for value in identifier.values()):
            continue
        physical_id = handler.physical_id_of(identifier)
        spec = Spec(
            change.type, change.logical_id, before.stack_name, before.stack_id, "", change.after
        )
        if await handler.read(call, physical_id, spec) is None:
            continue
        if not await owner_of(call, physical_id, change.type):
            found[change.logical_id] = identifier
    return found


async def check_import(call: Call, proposal: Proposal, before: Before) -> None:
    """An import takes in what is there and changes nothing else. Raises Fault in AWS's words."""
    resources = proposal.template.resources
    others = [c.logical_id for c in proposal.changes if c.action not in ("Import", "Keep", "Add")]
    if others:
        raise invalid(
            f"As part of the import operation, you cannot modify or add [{', '.join(others)}]"
        )
    if missing := [c.logical_id for c in proposal.changes if c.action == "Add"]:
        raise invalid(f"Resources [{', '.join(missing)}] is missing from ResourceToImport list")
    if odd := sorted(set(before.imports) - set(resources)):
        raise invalid(f"Resources [{', '.join(odd)}] to import are not in the template")
    for change in proposal.changes:
        if change.action != "Import":
            continue
        if "DeletionPolicy" not in resources[change.logical_id]:
            raise invalid(
                f"Resource {change.logical_id} to import must have a DeletionPolicy in the template"
            )
        handler = call.cloud.resource(change.type)
        assert handler is not None
        spec = Spec(
            change.type, change.logical_id, before.stack_name, before.stack_id, "", change.after
        )
        if await handler.read(call, change.physical_id, spec) is None:
            raise invalid(f"Resource {change.physical_id} of type {change.type} does not exist")


def _values(proposal: Proposal, stack: Stack) -> list[Any]:
    """Properties before and after each change, secrets masked; none at all where they are too many."""
    secrets = {proposal.values[name] for name in proposal.secret if name in proposal.values}
    old = stack["private"].get("parameters") or {}
    secrets |= {old[name] for name in stack.get("secret") or () if name in old}
    values = [
        _masked(change.values(), secrets) for change in proposal.changes if change.action != "Keep"
    ]
    return values if len(orjson.dumps(values)) <= VALUES_BYTES_MAX else []


def _masked(node: Any, secrets: set[str]) -> Any:
    if isinstance(node, str):
        for secret in secrets:
            if secret:
                node = node.replace(secret, MASK)
        return node
    if isinstance(node, dict):
        return {key: _masked(value, secrets) for key, value in node.items()}
    if isinstance(node, list):
        return [_masked(item, secrets) for item in node]
    return node


def _summary(stack: Stack, changes: dict[str, Any]) -> dict[str, Any]:
    shape = {
        "StackId": stack["id"],
        "StackName": stack["name"],
        "ChangeSetId": changes["id"],
        "ChangeSetName": changes["name"],
        "ExecutionStatus": changes["execution"],
        "Status": changes["status"],
        "CreationTime": changes["created_s"],
        "IncludeNestedStacks": bool(changes.get("whole")),
        "ImportExistingResources": bool(changes.get("imports_existing")),
    }
    if changes["reason"]:
        shape["StatusReason"] = changes["reason"]
    if changes.get("parent_id"):
        shape["ParentChangeSetId"], shape["RootChangeSetId"] = (
            changes["parent_id"],
            changes["root_id"],
        )
    if changes["text"]:
        shape["Description"] = changes["text"]
    return shape
