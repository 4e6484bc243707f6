"""Checks every resource of a template before anything is touched: alone, then beside what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource
from stratolite.services.cloudformation.intrinsics import (
    Mention,
    Scope,
    Unknown,
    has_unknown,
    mentions,
)
from stratolite.services.cloudformation.parameters import parsed
from stratolite.services.cloudformation.places import Misplaced, where
from stratolite.services.cloudformation.resolution import (
    attribute_from,
    conform,
    needs_of,
    pseudo,
    replacing,
    resolved_outputs,
    scope_of,
    surroundings,
)
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.state import Record
from stratolite.services.cloudformation.template import Template, in_order

Values = dict[str, str]


@dataclass(frozen=True)
class Before:
    """What is there already: nothing for a new stack."""

    stack_name: str
    stack_id: str
    values: Values | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)


class Examination:
    """Looks at every resource twice: alone, then beside what is there."""

    def __init__(
        self,
        call: Call,
        template: Template,
        values: Values,
        tags: Mapping[str, str],
        before: Before,
        handlers: Mapping[str, Resource],
    ) -> None:
        self.region, self.template, self.before, self.handlers = (
            call.region,
            template,
            before,
            handlers,
        )
        self.tags = tags
        self.imports: set[str] = set()
        self.changes: list[Change] = []
        self.changed = False
        self.parameters = {
            **parsed(template.parameters, values),
            **pseudo(call, before.stack_name, before.stack_id),
        }
        self.order: list[str] = []

    def forms(self) -> None:
        """Types, properties, dependencies, attributes: all that holds whatever is there already."""
        scope = scope_of(self.template, self.parameters, lambda _: None, self._note_import)
        needs = {}
        for name, resource in scope.resources.items():
            properties, needs[name] = needs_of(name, scope)
            conform(self.region, self.handlers[resource["Type"]], name, properties, self.tags)
        self.order = in_order(needs)
        self._check_attributes(scope)
        resolved_outputs(self.template, scope)

    def _note_import(self, name: str) -> str:
        self.imports.add(name)
        return Unknown("")  # type: ignore[return-value]  # its value is looked up before differences()

    def _check_attributes(self, scope: Scope) -> None:
        parts = (
            [r.get("Properties") for r in scope.resources.values()],
            list(self.template.outputs.values()),
        )
        for mention in mentions(list(parts)):
            if (
                mention.how != "GetAtt"
                or not mention.attribute
                or mention.name not in scope.resources
            ):
                continue
            kind = scope.resources[mention.name]["Type"]
            offered = self.handlers[kind].attributes
            schema = load_schema(self.region, kind)
            if (schema is not None and not schema.has_attribute(mention.attribute)) or (
                offered is not None
                and mention.attribute.split(".")[0] not in offered
                and mention.attribute.split(".")[0]
                not in scope.resources[mention.name].get("Properties", {})
            ):
                raise self._unsupported(mention)

    def _unsupported(self, mention: Mention) -> Misplaced:
        tree = {
            "Resources": {
                n: {"Properties": r.get("Properties")} for n, r in self.template.resources.items()
            },
            "Outputs": dict(self.template.outputs),
        }
        return Misplaced(
            f"Template error: resource {mention.name} does not support attribute type {mention.attribute} in Fn::GetAtt",
            where(tree, lambda node: mention in mentions(node)),
        )

    def differences(self, exports: Mapping[str, str]) -> None:
        """Fill ``changes``."""
        known: dict[str, Made] = {}
        scope = scope_of(
            self.template, self.parameters, known.get, exports.__getitem__, self._attribute
        )
        retyped = []
        for name in self.order:
            resource, record = scope.resources[name], self.before.records.get(name)
            properties, needs = needs_of(name, scope)
            properties = conform(
                self.region, self.handlers[resource["Type"]], name, properties, self.tags
            )
            if record is None:
                self.changes.append(Change("Add", name, resource["Type"]))
                continue
            if record["type"] != resource["Type"]:
                retyped.append(name)
                continue
            change = self._difference(record, properties, surroundings(resource, needs))
            if change is not None:
                self.changes.append(change)
            if change is None or change.replacement != "True":
                known[name] = Made(record["physical_id"], record.get("attributes") or {})
        if retyped:
            raise _error(
                f"Update of resource type is not permitted. The new template modifies resource type of the following resources: [{', '.join(retyped)}]"
            )
        for name, record in self.before.records.items():
            if name not in scope.resources:
                self.changes.append(
                    Change("Remove", name, record["type"], record.get("physical_id") or "")
                )
        outputs = resolved_outputs(self.template, scope)
        self.changed = bool(self.changes) or outputs != self.before.outputs

    def _attribute(self, logical_id: str, name: str, made: Made) -> Any:
        return attribute_from(self.before.records[logical_id]["private"]["properties"], name)

    def _difference(self, record: Record, properties: Any, around: dict[str, Any]) -> Change | None:
        old = record["private"]["properties"]
        differing = sorted(k for k in {*old, *properties} if old.get(k) != properties.get(k))
        again = replacing(self.handlers[record["type"]], differing)
        physical_id = record.get("physical_id") or ""
        if not differing:
            if all(record.get(key) == value for key, value in around.items()):
                return None
            metadata = record.get("metadata") != around["metadata"]
            action = "Modify" if metadata else "Keep"
            return Change(
                action, record["id"], record["type"], physical_id, "False", metadata=metadata
            )
        sure = any(name in again and not has_unknown(properties.get(name)) for name in differing)
        word = "True" if sure else "Conditional" if again else "False"
        details = [(name, "Always" if name in again else "Never") for name in differing]
        return Change("Modify", record["id"], record["type"], physical_id, word, details)


@dataclass
class Change:
    """What an update would do to one resource, ``AWS`` being DescribeChangeSet's words for it."""

    action: str
    """Add, Modify, Remove, or Keep where only its surroundings change."""
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    properties: list[tuple[str, str]] = field(default_factory=list)
    """(name, Always | Never)"""
    metadata: bool = False

    def shape(self) -> dict[str, Any]:
        change: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.type,
            "Scope": [],
            "Details": [],
        }
        if self.physical_id:
            change["PhysicalResourceId"] = self.physical_id
        if self.replacement:
            change["Replacement"] = self.replacement
        if self.properties:
            change["Scope"].append("Properties")
        if self.metadata:
            change["Scope"].append("Metadata")
        for name, recreation in self.properties:
            target = {"Attribute": "Properties", "Name": name, "RequiresRecreation": recreation}
            change["Details"].append(
                {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}
            )
        return {"Type": "Resource", "ResourceChange": change}


def _error(message: str) -> Fault:
    return Fault("ValidationError", message)
