"""The operations that only look: stacks, their events, resources, templates and exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudformation import extensions, state
from stratolite.services.cloudformation.finding import (
    find_changes,
    find_stack,
    invalid,
    must_find,
    owner_of,
)
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.parameters import MASK, check_declared, is_secret
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import (
    EVENTS_PAGE_COUNT,
    EXPORTS_PAGE_COUNT,
    OUTPUTS_COUNT_MAX,
    RESOURCES_PAGE_COUNT,
    STACKS_AT_ONCE_MAX,
    STACKS_PAGE_COUNT,
    STEPS_AT_ONCE_MAX,
)
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.template import Template, check_template
from stratolite.services.cloudformation.template_source import read_text
from stratolite.services.cloudformation.template_text import read_template

_LOOKED_AT_COUNT_MAX = 300  # stacks passed over by one ListStacks with a filter
T = TypeVar("T")


class Reading(Service):
    def describe_stacks(self, call: Call, request: Request) -> Response:
        if name := request.get("StackName"):
            stack = find_stack(call, name)
            if stack is None or (
                not name.startswith("arn:") and stack["status"] == "DELETE_COMPLETE"
            ):
                raise invalid(f"Stack with id {name} does not exist")
            return {"Stacks": [_shape(stack)]}
        after = _token(request, str)
        found = state.live_stacks(call.tx, state.rows_of(call), after or "", STACKS_PAGE_COUNT + 1)
        return _paged(
            "Stacks", [_shape(s) for s in found], [s["name"] for s in found], STACKS_PAGE_COUNT
        )

    def list_stacks(self, call: Call, request: Request) -> Response:
        wanted = set(request.get("StackStatusFilter") or [])
        rows, place = state.rows_of(call), _token(request, int) or 0
        page: list[dict[str, Any]] = []
        for looked_at, (at, stack) in enumerate(state.all_stacks(call.tx, rows, place)):
            if len(page) == STACKS_PAGE_COUNT or looked_at == _LOOKED_AT_COUNT_MAX:
                return {"StackSummaries": page, "NextToken": str(place)}
            place = at
            if not wanted or stack["status"] in wanted:
                page.append(_summary(stack))
        return {"StackSummaries": page}

    def describe_stack_events(self, call: Call, request: Request) -> Response:
        name = request.get("StackName")
        stack = find_stack(call, name) if name else None
        if stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        before = _token(request, int) or 0
        rows = state.rows_of(call)
        found = state.events_page(call.tx, rows, stack["uuid"], before, EVENTS_PAGE_COUNT + 1)
        shapes, stamps = [event for _, event in found], [stamp for stamp, _ in found]
        return _paged("StackEvents", shapes, stamps, EVENTS_PAGE_COUNT)

    def describe_events(self, call: Call, request: Request) -> Response:
        """A stack's events, or those of one operation, newest first."""
        name, wanted = request.get("StackName"), request.get("OperationId")
        if request.get("ChangeSetName") or not name:
            raise invalid("DescribeEvents is offered by Stratolite for StackName only")
        stack = find_stack(call, name)
        if stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        only_failed = bool((request.get("Filters") or {}).get("FailedEvents"))
        rows, place = state.rows_of(call), _token(request, int) or 0
        found = state.events_page(call.tx, rows, stack["uuid"], place, _LOOKED_AT_COUNT_MAX)
        page: list[dict[str, Any]] = []
        for at, event in found:
            if len(page) == EVENTS_PAGE_COUNT:
                return {"OperationEvents": page, "NextToken": str(place)}
            place = at
            failed = event["ResourceStatus"].endswith("FAILED")
            if wanted not in (None, event.get("OperationId")) or (only_failed and not failed):
                continue
            shape = {k: v for k, v in event.items() if k != "StackName"}
            page.append({**shape, "EventType": "PROVISIONING_ERROR" if failed else "STACK_EVENT"})
        answer: Response = {"OperationEvents": page}
        if len(found) == _LOOKED_AT_COUNT_MAX:
            answer["NextToken"] = str(place)
        return answer

    def list_stack_resources(self, call: Call, request: Request) -> Response:
        stack = self._present(call, request["StackName"])
        rows, after = state.rows_of(call), _token(request, str) or ""
        found = state.records_page(call.tx, rows, stack["uuid"], after, RESOURCES_PAGE_COUNT + 1)
        shapes = [{**_resource(r), "LastUpdatedTimestamp": r["updated_s"]} for r in found]
        for shape in shapes:
            shape.pop("Timestamp")
        return _paged(
            "StackResourceSummaries", shapes, [r["id"] for r in found], RESOURCES_PAGE_COUNT
        )

    async def describe_stack_resources(self, call: Call, request: Request) -> Response:
        """Of a stack by its name, or of the one that a physical resource belongs to."""
        name, physical_id = request.get("StackName"), request.get("PhysicalResourceId")
        if name and physical_id:
            raise invalid("You cannot specify both StackName and PhysicalResourceId")
        if not name and not physical_id:
            raise invalid("Either StackName or PhysicalResourceId must be specified")
        if physical_id:
            name = await owner_of(call, physical_id)
            if not name:
                raise invalid(f"Stack for {physical_id} does not exist")
        asked = {**request, "StackName": name}
        return await call.transact(lambda inner: self._stack_resources(inner, asked))

    def _stack_resources(self, call: Call, request: Request) -> Response:
        stack = self._present(call, request["StackName"])
        rows, name = state.rows_of(call), request.get("LogicalResourceId")
        if name is None:
            found = state.records_page(call.tx, rows, stack["uuid"], "", RESOURCES_PAGE_COUNT)
        else:
            found = [_known(state.record_of(call.tx, rows, stack["uuid"], name), name, stack)]
        return {"StackResources": [_of(stack, _resource(record)) for record in found]}

    def describe_stack_resource(self, call: Call, request: Request) -> Response:
        stack, name = self._present(call, request["StackName"]), request["LogicalResourceId"]
        record = _known(
            state.record_of(call.tx, state.rows_of(call), stack["uuid"], name), name, stack
        )
        shape = _of(stack, _resource(record))
        shape["LastUpdatedTimestamp"] = shape.pop("Timestamp")
        return {"StackResourceDetail": shape}

    def _present(self, call: Call, name: str) -> Stack:
        stack = find_stack(call, name)
        if stack is None:
            raise invalid(f"Stack with id {name} does not exist")
        return stack

    def list_exports(self, call: Call, request: Request) -> Response:
        after = _token(request, str) or ""
        found = state.exports_page(call.tx, state.rows_of(call), after, EXPORTS_PAGE_COUNT + 1)
        shapes = [{"ExportingStackId": i, "Name": name, "Value": value} for name, value, i in found]
        return _paged("Exports", shapes, [name for name, _, _ in found], EXPORTS_PAGE_COUNT)

    def list_imports(self, call: Call, request: Request) -> Response:
        name, after = request["ExportName"], _token(request, str) or ""
        rows = state.rows_of(call)
        found = state.importers_page(call.tx, rows, name, after, EXPORTS_PAGE_COUNT + 1)
        if not found and not after:
            raise invalid(f"Export '{name}' is not imported by any stack.")
        return _paged("Imports", [n for _, n in found], [u for u, _ in found], EXPORTS_PAGE_COUNT)

    def describe_account_limits(self, call: Call, request: Request) -> Response:
        """What holds here. A StackLimit is not among it: there is none."""
        limits = {
            "StackOutputsLimit": OUTPUTS_COUNT_MAX,
            "ConcurrentResourcesLimit": STACKS_AT_ONCE_MAX * STEPS_AT_ONCE_MAX,
        }
        return {"AccountLimits": [{"Name": n, "Value": v} for n, v in limits.items()]}

    # -- templates

    def get_template(self, call: Call, request: Request) -> Response:
        name, rows = request.get("StackName"), state.rows_of(call)
        stage = request.get("TemplateStage", "Original").lower()
        if request.get("ChangeSetName"):
            uuid, changes = find_changes(call, request)
            version = changes.get("template")
        else:
            stack = find_stack(call, name) if name else None
            if stack is None:
                raise invalid(f"Stack with id {name} does not exist")
            uuid, version = stack["uuid"], stack["template"]
            if stack["status"] == "REVIEW_IN_PROGRESS":  # it has none yet; cdk reads the empty one
                return {"TemplateBody": "", "StagesAvailable": ["Original"]}
        text = state.template_text(call.tx, rows, uuid, version, stage) if version else ""
        if not text:
            raise invalid(f"Template for stack {name} is not available yet")
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    async def validate_template(self, call: Call, request: Request) -> Response:
        template = await _template(await read_text(call, request))
        return {
            "Parameters": [
                _without_none(
                    ParameterKey=name,
                    DefaultValue=_default(what),
                    NoEcho=is_secret(what),
                    Description=what.get("Description"),
                )
                for name, what in template.parameters.items()
            ],
            "Description": template.description,
            **_capabilities(template),
            "DeclaredTransforms": list(template.transforms),
        }

    def _stored_text(self, call: Call, name: str) -> str:
        stack = must_find(call, name, "Stack with id {} does not exist")
        if stack["status"] == "REVIEW_IN_PROGRESS":
            raise invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
        if not stack["template"]:
            return ""
        rows = state.rows_of(call)
        return state.template_text(call.tx, rows, stack["uuid"], stack["template"], "original")

    async def get_template_summary(self, call: Call, request: Request) -> Response:
        text, name = await read_text(call, request), request.get("StackName")
        if text is None and name:
            text = await call.transact(lambda inner: self._stored_text(inner, name))
        template = await _template(text)
        answer: Response = {
            "Parameters": [
                _without_none(
                    ParameterKey=name,
                    DefaultValue=_default(what),
                    ParameterType=what["Type"],
                    NoEcho=is_secret(what),
                    Description=what.get("Description"),
                    ParameterConstraints={
                        "AllowedValues": [text_of(v) for v in what.get("AllowedValues") or []]
                    },
                )
                for name, what in template.parameters.items()
            ],
            "Description": template.description,
            **_capabilities(template),
            "ResourceIdentifierSummaries": _identifiers(call.region, template),
            "ResourceTypes": sorted({r["Type"] for r in template.resources.values()}),
            "Version": "2010-09-09",
            "DeclaredTransforms": list(template.transforms),
        }
        if template.metadata:
            answer["Metadata"] = orjson.dumps(template.metadata).decode()
        return answer


async def _template(text: str | None) -> Template:
    if not text:
        raise invalid("Either Template URL or Template Body must be specified.")
    return await asyncio.to_thread(_read, text)


def _read(text: str) -> Template:
    try:
        raw = read_template(text)
        template = check_template(raw, transformed=raw.get("Transform") is None)
        check_declared(template.parameters)
    except Misplaced as fault:
        raise fault.with_lines(text) from None
    return template


def _identifiers(region: str, template: Template) -> list[dict[str, Any]]:
    """What an import must say of each resource."""
    found: dict[str, list[str]] = {}
    for name, resource in template.resources.items():
        if isinstance(resource, dict) and isinstance(resource.get("Type"), str):
            found.setdefault(resource["Type"], []).append(name)
    return [
        {
            "ResourceType": kind,
            "LogicalResourceIds": names,
            "ResourceIdentifiers": list(schema.identifiers),
        }
        for kind, names in found.items()
        if (schema := load_schema(region, kind)) is not None and schema.identifiers
    ]


def _default(what: dict[str, Any]) -> str | None:
    return text_of(what["Default"]) if "Default" in what else None


def _capabilities(template: Template) -> dict[str, Any]:
    needed, reason = template.capabilities()
    if set(template.transforms) - {extensions.NAME}:
        needed = [*needed, "CAPABILITY_AUTO_EXPAND"]
    return {"Capabilities": needed, **({"CapabilitiesReason": reason} if reason else {})}


def _without_none(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not None}


# -- shapes


def _known(record: Record | None, name: str, stack: Stack) -> Record:
    if record is None:
        raise invalid(f"Resource {name} does not exist for stack {stack['name']}")
    return record


def _of(stack: Stack, shape: dict[str, Any]) -> dict[str, Any]:
    return {"StackName": stack["name"], "StackId": stack["id"], **shape}


def _resource(record: Record) -> dict[str, Any]:
    return _without_none(
        LogicalResourceId=record["id"],
        PhysicalResourceId=record.get("physical_id"),
        ResourceType=record["type"],
        Timestamp=record["updated_s"],
        ResourceStatus=record["status"],
        ResourceStatusReason=record.get("reason") or None,
        DriftInformation=_without_none(
            StackResourceDriftStatus=record.get("drift") or "NOT_CHECKED",
            LastCheckTimestamp=record.get("drift_checked_s"),
        ),
    )


def _summary(stack: Stack) -> dict[str, Any]:
    return _without_none(
        StackId=stack["id"],
        StackName=stack["name"],
        TemplateDescription=stack["description"] or None,
        CreationTime=stack["created_s"],
        LastUpdatedTime=stack.get("updated_s"),
        DeletionTime=stack.get("deleted_s"),
        StackStatus=stack["status"],
        StackStatusReason=stack["reason"] or None,
        DriftInformation=stack_drift(stack),
        ParentId=stack.get("parent_id"),
        RootId=stack.get("root_id"),
    )


def stack_drift(stack: Stack) -> dict[str, Any]:
    drift = stack.get("drift")
    if not drift:
        return {"StackDriftStatus": "NOT_CHECKED"}
    return {"StackDriftStatus": drift["status"], "LastCheckTimestamp": drift["checked_s"]}


def _last_operations(stack: Stack) -> list[dict[str, str]] | None:
    if not stack.get("last_op"):
        return None
    kind, op_id = stack["last_op"]
    word = {"create": "CREATE_STACK", "delete": "DELETE_STACK"}.get(kind, "UPDATE_STACK")
    return [{"OperationType": word, "OperationId": op_id}]


def parameters_shape(
    values: dict[str, str], secret: Iterable[str], looked_up: Mapping[str, str]
) -> list[dict[str, str]]:
    hidden = set(secret)
    shapes = []
    for name, value in values.items():
        shape = {"ParameterKey": name, "ParameterValue": MASK if name in hidden else value}
        if name in looked_up:
            shape["ResolvedValue"] = MASK if name in hidden else looked_up[name]
        shapes.append(shape)
    return shapes


def _shape(stack: Stack) -> dict[str, Any]:
    shape = _summary(stack)
    shape.pop("TemplateDescription", None)
    shape.update(
        _without_none(
            ChangeSetId=stack.get("change_set_id"),
            Description=stack["description"] or None,
            Parameters=parameters_shape(
                stack["private"]["parameters"],
                stack["secret"],
                stack["private"].get("looked_up") or {},
            ),
            DisableRollback=stack.get("on_failure") == "DO_NOTHING",
            NotificationARNs=stack.get("notify") or [],
            TimeoutInMinutes=stack.get("timeout_minutes"),
            Capabilities=stack["capabilities"],
            Outputs=[
                _without_none(
                    OutputKey=row["key"],
                    OutputValue=row["value"],
                    Description=row.get("description"),
                    ExportName=row.get("export"),
                )
                for row in stack["outputs"]
            ],
            RoleARN=stack["role_arn"] or None,
            Tags=[{"Key": key, "Value": value} for key, value in stack["tags"].items()],
            EnableTerminationProtection=bool(stack.get("protected")),
            RollbackConfiguration=(stack.get("monitor") or {}).get("shape") or {},
            RetainExceptOnCreate=True if stack.get("retain_except_on_create") else None,
            LastOperations=_last_operations(stack),
        )
    )
    return shape


# -- pages


def _token(request: Request, kind: Callable[[str], T]) -> T | None:
    """Where the page before ended: a key of ours, given back as it was."""
    token = request.get("NextToken")
    if token is None:
        return None
    try:
        return kind(token)
    except ValueError:
        raise Fault("ValidationError", "Invalid NextToken") from None


def _paged(name: str, shapes: list[Any], places: list[Any], limit: int) -> Response:
    """``shapes`` has one more than fits if there is another page."""
    answer: Response = {name: shapes[:limit]}
    if len(shapes) > limit:
        answer["NextToken"] = str(places[limit - 1])
    return answer
