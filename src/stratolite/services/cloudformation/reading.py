"""The operations that only look: stacks, their events, resources, templates and exports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudformation import state
from stratolite.services.cloudformation.finding import find_changes, find_stack, invalid, must_find
from stratolite.services.cloudformation.intrinsics import text_of
from stratolite.services.cloudformation.parameters import MASK, check_declared, is_secret
from stratolite.services.cloudformation.quotas import (
    EVENTS_PAGE_COUNT,
    EXPORTS_PAGE_COUNT,
    RESOURCES_PAGE_COUNT,
    STACKS_PAGE_COUNT,
)
from stratolite.services.cloudformation.state import Record, Stack
from stratolite.services.cloudformation.template import SAM, Template, check_template
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

    def describe_stack_resources(self, call: Call, request: Request) -> Response:
        if request.get("PhysicalResourceId"):
            raise invalid(
                "DescribeStackResources by PhysicalResourceId is not offered by Stratolite yet"
            )
        if not request.get("StackName"):
            raise invalid("Either StackName or PhysicalResourceId must be specified")
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
    raw = read_template(text)
    template = check_template(raw, transformed=raw.get("Transform") is None)
    check_declared(template.parameters)
    return template


def _default(what: dict[str, Any]) -> str | None:
    return text_of(what["Default"]) if "Default" in what else None


def _capabilities(template: Template) -> dict[str, Any]:
    needed, reason = template.capabilities()
    if SAM in template.transforms:
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
        DriftInformation={"StackResourceDriftStatus": "NOT_CHECKED"},
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
        DriftInformation={"StackDriftStatus": "NOT_CHECKED"},
    )


def parameters_shape(values: dict[str, str], secret: Iterable[str]) -> list[dict[str, str]]:
    hidden = set(secret)
    return [
        {"ParameterKey": name, "ParameterValue": MASK if name in hidden else value}
        for name, value in values.items()
    ]


def _shape(stack: Stack) -> dict[str, Any]:
    shape = _summary(stack)
    shape.pop("TemplateDescription", None)
    shape.update(
        _without_none(
            ChangeSetId=stack.get("change_set_id"),
            Description=stack["description"] or None,
            Parameters=parameters_shape(stack["private"]["parameters"], stack["secret"]),
            DisableRollback=stack.get("on_failure") == "DO_NOTHING",
            NotificationARNs=[],
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
            RollbackConfiguration={},
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
