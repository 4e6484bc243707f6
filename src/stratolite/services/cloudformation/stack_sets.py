"""Stack sets with self-managed permissions: one template as stacks in accounts and regions of this cloud.

    (..., "set", name)                         -> {"private": {text, parameters}, uuid, id, description, tags, roles, ...}
    (..., "instance", set uuid, account, region) -> {stack name, stack id, status, reason, "private": {overrides}}
    (..., "setop", set uuid, stamp)            -> {id, action, status, created_s, ended_s, total, done, failed, ...}
    (..., "settarget", set uuid, stamp, n)     -> the operation's n-th target, as ListStackSetOperationResults shows it

An operation is a durable job: it takes its targets one after another, in the order of the regions, and remembers how many are
done; a step writes its own target's row. As on AWS it works through two roles: the administration role here, which cloudformation.amazonaws.com must be trusted
by, and the execution role in the target's account, which the administration role must be allowed to assume.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/what-is-cfnstacksets.html
Missing, refused by name: SERVICE_MANAGED permissions, ImportStacksToStackSet. Drift: ``stack_set_drift``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Service, Settle, is_number, root
from stratolite.services.cloudformation import bus, stack_set_drift, state
from stratolite.services.cloudformation.finding import invalid, page_size
from stratolite.services.cloudformation.parameters import check_declared
from stratolite.services.cloudformation.quotas import STACKS_PAGE_COUNT
from stratolite.services.cloudformation.roles import role_principal
from stratolite.services.cloudformation.stacks import needed_text, tags_of
from stratolite.services.cloudformation.template import check_template
from stratolite.services.cloudformation.template_text import read_template

QUEUE = "cloudformation.stackset"
_NAME = re.compile(r"[a-zA-Z][-a-zA-Z0-9]{0,127}\Z", re.ASCII)
_TARGETS_COUNT_MAX = 2_000
_SETTLED_LOOK_S = 0.05
_OPERATIONS_KEPT = 20
_DROPPED_AT_ONCE = 500
Row = dict[str, Any]
_FILTERS = {
    "DETAILED_STATUS": lambda shape: shape["StackInstanceStatus"]["DetailedStatus"],
    "LAST_OPERATION_ID": lambda shape: shape.get("LastOperationId"),
    "DRIFT_STATUS": lambda shape: shape["DriftStatus"],
}


class StackSets(Service):
    async def create_stack_set(self, call: Call, request: Request) -> Response:
        name = request["StackSetName"]
        if not _NAME.match(name):
            raise invalid(
                f"1 validation error detected: Value '{name}' at 'stackSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*"
            )
        _refuse(request)
        text = await needed_text(call, request)
        raw = await asyncio.to_thread(read_template, text)
        check_declared(check_template(raw, transformed=False).parameters)
        uuid = call.world.uuid()
        row: Row = {
            "name": name,
            "uuid": uuid,
            "id": f"{name}:{uuid}",
            "status": "ACTIVE",
            "description": request.get("Description") or "",
            "capabilities": request.get("Capabilities") or [],
            "tags": tags_of(request),
            "admin_role": request.get("AdministrationRoleARN") or administration_role(call),
            "execution_role": request.get("ExecutionRoleName")
            or "AWSCloudFormationStackSetExecutionRole",
            "private": {"text": text, "parameters": _parameters(request)},
        }

        def put(inner: Call) -> None:
            rows = state.rows_of(inner)
            if _set(inner, name) is not None:
                raise Fault("NameAlreadyExistsException", f"StackSet {name} already exists", status=409)  # fmt: skip
            inner.tx.put(rows.keys.key("set", name), state.pack_row(rows, row))
            bus.tell_of_set(inner, row, "ACTIVE")

        await call.transact(put)
        return {"StackSetId": row["id"]}

    async def update_stack_set(self, call: Call, request: Request) -> Response:
        _refuse(request)
        known = await call.transact(lambda c: _must(c, request["StackSetName"]))
        text = known["private"]["text"]
        if not request.get("UsePreviousTemplate"):
            text = await needed_text(call, request)
            raw = await asyncio.to_thread(read_template, text)
            check_declared(check_template(raw, transformed=False).parameters)

        def put(inner: Call) -> str:
            row = _must(inner, request["StackSetName"])
            given = _parameters(request)
            previous = {
                p["ParameterKey"]
                for p in request.get("Parameters") or ()
                if p.get("UsePreviousValue")
            }
            kept = {k: v for k, v in row["private"]["parameters"].items() if k in previous}
            row["private"] = {"text": text, "parameters": {**kept, **given}}
            for member, key in (("Description", "description"), ("Capabilities", "capabilities")):
                if member in request:
                    row[key] = request[member]
            if "Tags" in request:
                row["tags"] = tags_of(request)
            if request.get("AdministrationRoleARN"):
                row["admin_role"] = request["AdministrationRoleARN"]
            if request.get("ExecutionRoleName"):
                row["execution_role"] = request["ExecutionRoleName"]
            _put(inner, row)
            wanted = (
                _targets(request) if request.get("Accounts") or request.get("Regions") else None
            )
            there = [(i["account"], i["region"]) for i in _instances(inner, row["uuid"])]
            chosen = [t for t in there if wanted is None or t in wanted]
            return _begin(inner, row, "UPDATE", chosen, request)

        return {"OperationId": await call.transact(put)}

    async def delete_stack_set(self, call: Call, request: Request) -> Response:
        while not await call.transact(lambda c: _drop_part(c, request["StackSetName"])):
            pass
        return {}

    def describe_stack_set(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        return {
            "StackSet": {
                **_summary(row),
                "TemplateBody": row["private"]["text"],
                "Parameters": [
                    {"ParameterKey": k, "ParameterValue": v}
                    for k, v in row["private"]["parameters"].items()
                ],
                "Capabilities": row["capabilities"],
                "Tags": [{"Key": k, "Value": v} for k, v in row["tags"].items()],
                "StackSetARN": bus.set_arn(call, row),
                "AdministrationRoleARN": row["admin_role"],
                "ExecutionRoleName": row["execution_role"],
                "OrganizationalUnitIds": [],
                "Regions": sorted({i["region"] for i in _instances(call, row["uuid"])}),
                **({"StackSetDriftDetectionDetails": row["drift"]} if row.get("drift") else {}),
            }
        }

    def list_stack_sets(self, call: Call, request: Request) -> Response:
        rows = state.rows_of(call)
        start, stop = rows.keys.span("set")
        if after := request.get("NextToken"):
            start = rows.keys.key("set", after) + b"\x00"
        found = [
            state.unpack_row(rows, raw)
            for _, raw in call.tx.scan((start, stop), limit=STACKS_PAGE_COUNT + 1)
        ]
        answer: Response = {"Summaries": [_summary(row) for row in found[:STACKS_PAGE_COUNT]]}
        if len(found) > STACKS_PAGE_COUNT:
            answer["NextToken"] = found[STACKS_PAGE_COUNT - 1]["name"]
        return answer

    # -- instances

    def create_stack_instances(self, call: Call, request: Request) -> Response:
        row, targets = _must(call, request["StackSetName"]), _targets(request)
        rows = state.rows_of(call)
        overrides = {
            p["ParameterKey"]: p.get("ParameterValue", "")
            for p in request.get("ParameterOverrides") or ()
        }
        for account, region in targets:
            key = rows.keys.key("instance", row["uuid"], account, region)
            if call.tx.get(key) is None:
                made = {
                    "account": account,
                    "region": region,
                    "stack": f"StackSet-{row['name'][:80]}-{call.world.uuid()}",
                    "stack_id": "",
                    "status": "OUTDATED",
                    "detailed": "PENDING",
                    "reason": "",
                    "private": {"overrides": overrides},
                }
                call.tx.put(key, state.pack_row(rows, made))
                bus.tell_of_instance(call, row, made, "CREATE")
        return {"OperationId": _begin(call, row, "CREATE", targets, request)}

    def update_stack_instances(self, call: Call, request: Request) -> Response:
        row, targets = _must(call, request["StackSetName"]), _targets(request)
        rows = state.rows_of(call)
        for account, region in targets:
            found = _instance(call, row["uuid"], account, region)
            if found is None:
                raise _not_found(account, region)
            if "ParameterOverrides" in request:
                found["private"]["overrides"] = {
                    p["ParameterKey"]: p.get("ParameterValue", "")
                    for p in request["ParameterOverrides"] or ()
                }
                key = rows.keys.key("instance", row["uuid"], account, region)
                call.tx.put(key, state.pack_row(rows, found))
        return {"OperationId": _begin(call, row, "UPDATE", targets, request)}

    def delete_stack_instances(self, call: Call, request: Request) -> Response:
        row, wanted = _must(call, request["StackSetName"]), _targets(request)
        targets = [t for t in wanted if _instance(call, row["uuid"], *t) is not None]
        action = "RETAIN" if request["RetainStacks"] else "DELETE"
        return {"OperationId": _begin(call, row, action, targets, request)}

    def describe_stack_instance(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        account, region = request["StackInstanceAccount"], request["StackInstanceRegion"]
        found = _instance(call, row["uuid"], account, region)
        if found is None:
            raise _not_found(account, region)
        overrides = found["private"]["overrides"].items()
        return {
            "StackInstance": {
                **_instance_shape(row, found),
                "ParameterOverrides": [
                    {"ParameterKey": k, "ParameterValue": v} for k, v in overrides
                ],
            }
        }

    def list_stack_instances(self, call: Call, request: Request) -> Response:
        """In order of account and region; with a filter a page may be short and have a next one all the same."""
        row, rows = _must(call, request["StackSetName"]), state.rows_of(call)
        filters = {f["Name"]: f["Values"] for f in request.get("Filters") or ()}
        if odd := sorted(set(filters) - set(_FILTERS)):
            raise invalid(f"ListStackInstances filter {odd[0]} is not offered by Stratolite")
        place = [request[m] for m in ("StackInstanceAccount",) if request.get(m)]
        start, stop = rows.keys.span("instance", row["uuid"], *place)
        if after := request.get("NextToken"):
            start = rows.keys.key("instance", row["uuid"], *after.split("/", 1)) + b"\x00"
        limit = page_size(request, STACKS_PAGE_COUNT)
        scanned = call.tx.scan((start, stop), limit=limit + 1)
        found = [state.unpack_row(rows, raw) for _, raw in scanned]
        answer: Response = {
            "Summaries": [
                shape
                for one in found[:limit]
                if request.get("StackInstanceRegion") in (None, one["region"])
                for shape in [_instance_shape(row, one)]
                if all(_FILTERS[name](shape) in values for name, values in filters.items())
            ]
        }
        if len(found) > limit:
            answer["NextToken"] = f"{found[limit - 1]['account']}/{found[limit - 1]['region']}"
        return answer

    # -- drift

    def detect_stack_set_drift(self, call: Call, request: Request) -> Response:
        _refuse(request)
        row = _must(call, request["StackSetName"])
        targets = [(i["account"], i["region"]) for i in _instances(call, row["uuid"])]
        return {"OperationId": _begin(call, row, "DETECT_DRIFT", targets, request)}

    def list_stack_instance_resource_drifts(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        _operation(call, row["uuid"], request["OperationId"])
        account, region = request["StackInstanceAccount"], request["StackInstanceRegion"]
        found = _instance(call, row["uuid"], account, region)
        if found is None:
            raise _not_found(account, region)
        return stack_set_drift.page(call, row["uuid"], found, request)

    # -- operations

    def describe_stack_set_operation(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        op = _operation(call, row["uuid"], request["OperationId"])
        more = {}
        if op["action"] == "DETECT_DRIFT":
            more["StackSetDriftDetectionDetails"] = stack_set_drift.details(op)
        return {"StackSetOperation": {**_op_shape(op), "StackSetId": row["id"], "ExecutionRoleName": row["execution_role"], "AdministrationRoleARN": row["admin_role"], **more}}  # fmt: skip

    def list_stack_set_operations(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        return {"Summaries": [_op_shape(op) for op in _operations(call, row["uuid"])]}

    def list_stack_set_operation_results(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        op, rows = _operation(call, row["uuid"], request["OperationId"]), state.rows_of(call)
        if "results" in op and op["ended_s"]:
            return {"Summaries": op["results"]}
        place = (row["uuid"], op["stamp"])
        start, stop = rows.keys.span("settarget", *place)
        token = request.get("NextToken") or ""
        if token and not is_number(token):
            raise invalid("Invalid NextToken")
        if token:
            start = rows.keys.key("settarget", *place, int(token)) + b"\x00"
        limit = page_size(request, STACKS_PAGE_COUNT)
        found = list(call.tx.scan((start, stop), limit=limit + 1))
        answer: Response = {"Summaries": [orjson.loads(raw) for _, raw in found[:limit]]}
        if len(found) > limit:
            answer["NextToken"] = str(rows.keys.parts(found[limit - 1][0])[3])
        return answer

    def stop_stack_set_operation(self, call: Call, request: Request) -> Response:
        row = _must(call, request["StackSetName"])
        op = _operation(call, row["uuid"], request["OperationId"])
        if op["status"] != "RUNNING":
            raise Fault("InvalidOperationException", f"Operation {op['id']} is not running")
        op["status"] = "STOPPING"
        _put_operation(call, row["uuid"], op)
        bus.tell_of_operation(call, row, op)
        return {}


class StackSetWorker:
    """The queue of operations on stack sets, one at a time for each."""

    queue = QUEUE
    ordered = True
    concurrency = 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, op_id = orjson.loads(job.payload)
        who = root(account)
        call = self._cloud.call(account, region, op_id, who)
        while True:
            found = await call.transact(lambda c: _next(c, name, op_id))
            if found is None:
                return None
            row, op, target = found
            reason = ""
            try:
                reason = await self._one(call, row, op, target)
            except Fault as fault:
                reason = fault.message
            await call.transact(lambda c: _done(c, name, op_id, target, reason))  # noqa: B023 - awaited at once

    async def _one(self, call: Call, row: Row, op: Row, target: tuple[str, str]) -> str:
        """Why the target's stack is not what it shall be; "" when it is."""
        account, region = target
        inside = await self._inside(call, row, account, region)
        instance = await call.transact(lambda c: _instance(c, row["uuid"], account, region))
        if instance is None or op["action"] == "RETAIN":
            return ""
        name = instance["stack"]
        if op["action"] == "DETECT_DRIFT":
            if not instance["stack_id"]:
                return "The stack instance has no stack"
            status, found = await stack_set_drift.detected(inside, instance["stack_id"])
            await call.transact(
                lambda c: _note_drift(c, row["uuid"], op["id"], target, status, found)
            )
            return ""
        if op["action"] == "DELETE":
            await inside.request("cloudformation", "DeleteStack", {"StackName": instance["stack_id"] or name})  # fmt: skip
            status = await _settled(inside, instance["stack_id"] or name)
            return "" if status in ("", "DELETE_COMPLETE") else f"Stack is {status}"
        wanted: Request = {
            "StackName": name,
            "TemplateBody": row["private"]["text"],
            "Parameters": [
                {"ParameterKey": k, "ParameterValue": v}
                for k, v in {
                    **row["private"]["parameters"],
                    **instance["private"]["overrides"],
                }.items()
            ],
            "Capabilities": row["capabilities"],
            "Tags": [{"Key": k, "Value": v} for k, v in row["tags"].items()],
            "ClientRequestToken": f"{op['id']}",
        }
        status = await _settled(inside, name)
        operation = "UpdateStack" if status and status != "REVIEW_IN_PROGRESS" else "CreateStack"
        if status == "ROLLBACK_COMPLETE":
            await inside.request("cloudformation", "DeleteStack", {"StackName": name})
            await _settled(inside, name)
            operation = "CreateStack"
        try:
            answer = await inside.request("cloudformation", operation, wanted)
            await call.transact(lambda c: _note_stack(c, row["uuid"], target, answer["StackId"]))
        except Fault as fault:
            if "No updates are to be performed" not in fault.message:
                raise
        status = await _settled(inside, name)
        return "" if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE") else f"Stack is {status}"

    @staticmethod
    async def _inside(call: Call, row: Row, account: str, region: str) -> Call:
        """As the execution role of the target's account. Raises Fault where one of the two roles does not let us."""
        admin, execution = row["admin_role"], f"arn:aws:iam::{account}:role/{row['execution_role']}"
        service = call.as_service("cloudformation.amazonaws.com", "")
        wanted = {"RoleArn": admin, "RoleSessionName": "AWSCloudFormation"}
        try:
            await service.request("sts", "AssumeRole", wanted)
            acting = call.scoped(call.account, call.region, role_principal(admin))
            wanted = {"RoleArn": execution, "RoleSessionName": "AWSCloudFormation"}
            await acting.request("sts", "AssumeRole", wanted)
        except Fault as fault:
            raise Fault(
                "ValidationError",
                f"Account {account} should have '{row['execution_role']}' role with trust relationship to Role '{admin.rsplit('/', 1)[-1]}'. ({fault.message})",
            ) from fault
        return call.scoped(account, region, role_principal(execution))


async def _settled(call: Call, name: str) -> str:
    """The stack's status when nothing is under way; "" if it is not there."""
    while True:
        try:
            found = await call.request("cloudformation", "DescribeStacks", {"StackName": name})
        except Fault as fault:
            if "does not exist" in fault.message:
                return ""
            raise
        status = str(found["Stacks"][0]["StackStatus"])
        if not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            return status
        await call.world.sleep(_SETTLED_LOOK_S)


def administration_role(call: Call) -> str:
    """The one AWS takes where none is named."""
    return f"arn:aws:iam::{call.account}:role/AWSCloudFormationStackSetAdministrationRole"


def _refuse(request: Request) -> None:
    if request.get("PermissionModel", "SELF_MANAGED") != "SELF_MANAGED":
        raise invalid("PermissionModel SERVICE_MANAGED is not offered by Stratolite")
    for member in ("AutoDeployment", "ManagedExecution", "CallAs", "StackId"):
        given = request.get(member)
        if given and given != "SELF" and (not isinstance(given, Mapping) or any(given.values())):
            raise invalid(f"StackSet {member} is not offered by Stratolite")


def _parameters(request: Request) -> dict[str, str]:
    return {
        p["ParameterKey"]: p.get("ParameterValue", "")
        for p in request.get("Parameters") or ()
        if not p.get("UsePreviousValue")
    }


def _targets(request: Request) -> list[tuple[str, str]]:
    if request.get("DeploymentTargets", {}).get("OrganizationalUnitIds"):
        raise invalid("DeploymentTargets OrganizationalUnitIds is not offered by Stratolite")
    accounts = request.get("Accounts") or (request.get("DeploymentTargets") or {}).get("Accounts")
    regions = request.get("Regions") or []
    if not accounts or not regions:
        raise invalid("Accounts and Regions must be specified")
    if len(accounts) * len(regions) > _TARGETS_COUNT_MAX:
        raise Fault("LimitExceededException", f"More than {_TARGETS_COUNT_MAX} stack instances")
    for account in accounts:
        if not re.fullmatch(r"\d{12}", account):
            raise invalid(f"Account {account} is not an account id")
    return [(account, region) for region in regions for account in accounts]


def _set(call: Call, name: str) -> Row | None:
    rows = state.rows_of(call)
    raw = call.tx.get(rows.keys.key("set", name.split(":", maxsplit=1)[0]))
    return None if raw is None else state.unpack_row(rows, raw)


def _must(call: Call, name: str) -> Row:
    row = _set(call, name)
    if row is None or (":" in name and row["id"] != name):
        raise Fault("StackSetNotFoundException", f"StackSet {name} not found", status=404)
    return row


def _put(call: Call, row: Row) -> None:
    rows = state.rows_of(call)
    call.tx.put(rows.keys.key("set", row["name"]), state.pack_row(rows, row))


def _instances(call: Call, uuid: str) -> list[Row]:
    rows = state.rows_of(call)
    found = call.tx.scan(rows.keys.span("instance", uuid), limit=_TARGETS_COUNT_MAX)
    return [state.unpack_row(rows, raw) for _, raw in found]


def _instance(call: Call, uuid: str, account: str, region: str) -> Row | None:
    rows = state.rows_of(call)
    raw = call.tx.get(rows.keys.key("instance", uuid, account, region))
    return None if raw is None else state.unpack_row(rows, raw)


def _put_instance(call: Call, uuid: str, row: Row) -> None:
    rows = state.rows_of(call)
    key = rows.keys.key("instance", uuid, row["account"], row["region"])
    call.tx.put(key, state.pack_row(rows, row))


def _note_stack(call: Call, uuid: str, target: tuple[str, str], stack_id: str) -> None:
    found = _instance(call, uuid, *target)
    if found is not None:
        _put_instance(call, uuid, {**found, "stack_id": stack_id})


def _note_drift(
    call: Call,
    uuid: str,
    op_id: str,
    target: tuple[str, str],
    status: str,
    shapes: list[dict[str, Any]],
) -> None:
    found = _instance(call, uuid, *target)
    if found is not None:
        drift = {"status": status, "checked_s": call.tx.time_s, "operation": op_id}
        _put_instance(call, uuid, {**found, "drift": drift})
        stack_set_drift.put(call, uuid, *target, shapes)


def _not_found(account: str, region: str) -> Fault:
    return Fault("StackInstanceNotFoundException", f"Stack instance of {account} in {region} was not found", status=404)  # fmt: skip


def _begin(
    call: Call, row: Row, action: str, targets: list[tuple[str, str]], request: Request
) -> str:
    rows = state.rows_of(call)
    known = _operations(call, row["uuid"])
    if any(op["status"] in ("RUNNING", "STOPPING") for op in known):
        raise Fault("OperationInProgressException", f"Another Operation on StackSet {row['id']} is in progress", status=409)  # fmt: skip
    preferences = request.get("OperationPreferences") or {}
    if order := preferences.get("RegionOrder"):
        place = {region: n for n, region in enumerate(order)}
        targets = sorted(targets, key=lambda t: place.get(t[1], len(place)))
    op: Row = {
        "id": request.get("OperationId") or call.world.uuid(),
        "action": action,
        "status": "RUNNING",
        "created_s": call.tx.time_s,
        "ended_s": None,
        "total": len(targets),
        "done": 0,
        "failed": 0,
        "tolerated": int(preferences.get("FailureToleranceCount") or 0),
        "preferences": preferences,
        "stamp": call.tx.stamp(),
    }
    _put_operation(call, row["uuid"], op)
    bus.tell_of_operation(call, row, op)
    for n, target in enumerate(targets):
        _put_target(call, row["uuid"], op, n, target, "PENDING")
    payload = orjson.dumps([call.account, call.region, row["name"], op["id"]])
    work.put(call.tx, QUEUE, payload, partition=row["uuid"].encode())
    for old in known[_OPERATIONS_KEPT:]:
        for key, _ in list(call.tx.scan(rows.keys.span("settarget", row["uuid"], old["stamp"]))):
            call.tx.delete(key)
        call.tx.delete(rows.keys.key("setop", row["uuid"], old["stamp"]))
    return str(op["id"])


def _put_target(
    call: Call,
    uuid: str,
    op: Row,
    n: int,
    target: tuple[str, str],
    status: str,
    reason: str = "",
) -> None:
    rows = state.rows_of(call)
    shown = {"Account": target[0], "Region": target[1], "Status": status}
    if reason:
        shown["StatusReason"] = reason
    call.tx.put(rows.keys.key("settarget", uuid, op["stamp"], n), orjson.dumps(shown))


def _target(call: Call, uuid: str, op: Row, n: int) -> tuple[str, str]:
    rows = state.rows_of(call)
    raw = call.tx.get(rows.keys.key("settarget", uuid, op["stamp"], n))
    if raw is None:
        account, region = op["targets"][n]
        return account, region
    shown = orjson.loads(raw)
    return shown["Account"], shown["Region"]


def _drop_part(call: Call, name: str) -> bool:
    """A page of what a set leaves; True when nothing of it is left. Raises Fault for a set that has instances."""
    row, rows = _set(call, name), state.rows_of(call)
    if row is None:
        return True
    if any(call.tx.scan(rows.keys.span("instance", row["uuid"]), limit=1)):
        raise Fault("StackSetNotEmptyException", "StackSet is not empty", status=409)
    for kind in ("settarget", "setop"):
        found = list(call.tx.scan(rows.keys.span(kind, row["uuid"]), limit=_DROPPED_AT_ONCE))
        for key, _ in found:
            call.tx.delete(key)
        if found:
            return False
    call.tx.delete(rows.keys.key("set", row["name"]))
    bus.tell_of_set(call, row, "DELETED")
    return True


def _operations(call: Call, uuid: str) -> list[Row]:
    """Newest first; the last twenty are kept."""
    rows = state.rows_of(call)
    found = call.tx.scan(rows.keys.span("setop", uuid), reverse=True, limit=50)
    return [_current(orjson.loads(raw)) for _, raw in found]


def _current(op: Row) -> Row:
    """Operations had their ``targets`` and ``results`` in themselves before each target had a row."""
    if "targets" in op and "total" not in op:
        op["total"] = len(op["targets"])
        op["failed"] = sum(result["Status"] == "FAILED" for result in op["results"])
    return op


def _operation(call: Call, uuid: str, op_id: str) -> Row:
    for op in _operations(call, uuid):
        if op["id"] == op_id:
            return op
    raise Fault("OperationNotFoundException", f"Operation {op_id} not found", status=404)


def _put_operation(call: Call, uuid: str, op: Row) -> None:
    rows = state.rows_of(call)
    call.tx.put(rows.keys.key("setop", uuid, op["stamp"]), orjson.dumps(op))


def _next(call: Call, name: str, op_id: str) -> tuple[Row, Row, tuple[str, str]] | None:
    """The operation's next target; None when it has come to its end, which is then noted."""
    row = _set(call, name)
    if row is None:
        return None
    op = None
    with contextlib.suppress(Fault):
        op = _operation(call, row["uuid"], op_id)
    if op is None or op["status"] not in ("RUNNING", "STOPPING"):
        return None
    over = op["failed"] > op["tolerated"]
    if op["done"] < op["total"] and not over and op["status"] == "RUNNING":
        return row, op, _target(call, row["uuid"], op, op["done"])
    why = "Cancelled since failure tolerance has exceeded" if over else "Stopped by user"
    for n in range(op["done"], op["total"]):
        _put_target(call, row["uuid"], op, n, _target(call, row["uuid"], op, n), "CANCELLED", why)
    stopped = op["status"] == "STOPPING"
    op["status"] = "STOPPED" if stopped else "FAILED" if over else "SUCCEEDED"
    op["ended_s"] = call.tx.time_s
    _put_operation(call, row["uuid"], op)
    if op["action"] == "DETECT_DRIFT":
        _put(call, {**row, "drift": stack_set_drift.details(op)})
    bus.tell_of_operation(call, row, op)
    return None


def _done(call: Call, name: str, op_id: str, target: tuple[str, str], reason: str) -> None:
    row = _set(call, name)
    if row is None:
        return
    op = _operation(call, row["uuid"], op_id)
    account, region = target
    status = "FAILED" if reason else "SUCCEEDED"
    _put_target(call, row["uuid"], op, op["done"], target, status, reason)
    op["done"] += 1
    op["failed"] += bool(reason)
    found = _instance(call, row["uuid"], account, region)
    drift = (found or {}).get("drift") or {}
    if op["action"] == "DETECT_DRIFT" and drift.get("operation") == op_id:
        count = "drifted" if drift["status"] == "DRIFTED" else "in_sync"
        op[count] = op.get(count, 0) + 1
    _put_operation(call, row["uuid"], op)
    if found is None or op["action"] == "DETECT_DRIFT":
        return
    if op["action"] in ("DELETE", "RETAIN") and not reason:
        rows = state.rows_of(call)
        stack_set_drift.forget(call.tx, rows, row["uuid"], account, region)
        call.tx.delete(rows.keys.key("instance", row["uuid"], account, region))
        bus.tell_of_instance(call, row, {**found, "detailed": "SUCCEEDED"}, op["action"])
        return
    found.update(
        status="OUTDATED" if reason else "CURRENT",
        detailed="FAILED" if reason else "SUCCEEDED",
        reason=reason,
        operation=op_id,
    )
    _put_instance(call, row["uuid"], found)
    bus.tell_of_instance(call, row, found, op["action"])


# -- shapes


def _summary(row: Row) -> dict[str, Any]:
    return {
        "StackSetName": row["name"],
        "StackSetId": row["id"],
        "Description": row["description"],
        "Status": row["status"],
        "PermissionModel": "SELF_MANAGED",
        **(
            {
                "DriftStatus": drift["DriftStatus"],
                "LastDriftCheckTimestamp": drift["LastDriftCheckTimestamp"],
            }
            if (drift := row.get("drift"))
            else {}
        ),
    }


def _instance_shape(row: Row, found: Row) -> dict[str, Any]:
    shape = {
        "StackSetId": row["id"],
        "Region": found["region"],
        "Account": found["account"],
        "Status": found["status"],
        "StackInstanceStatus": {"DetailedStatus": found["detailed"]},
        "DriftStatus": "NOT_CHECKED",
    }
    if drift := found.get("drift"):
        shape["DriftStatus"] = drift["status"]
        shape["LastDriftCheckTimestamp"] = drift["checked_s"]
    if found["stack_id"]:
        shape["StackId"] = found["stack_id"]
    if found["reason"]:
        shape["StatusReason"] = found["reason"]
    if found.get("operation"):
        shape["LastOperationId"] = found["operation"]
    return shape


def _op_shape(op: Row) -> dict[str, Any]:
    shape = {
        "OperationId": op["id"],
        "Action": "DELETE" if op["action"] == "RETAIN" else op["action"],
        "Status": op["status"],
        "CreationTimestamp": op["created_s"],
        "OperationPreferences": op["preferences"],
        "StatusDetails": {"FailedStackInstancesCount": op["failed"]},
    }
    if op["ended_s"]:
        shape["EndTimestamp"] = op["ended_s"]
    return shape
