"""Checks every resource of a template before anything is touched: alone, then beside what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Made, Resource
from stratolite.services.cloudformation.differing import differences
from stratolite.services.cloudformation.dynamic import refuse_secure
from stratolite.services.cloudformation.intrinsics import (
    Mention,
    Scope,
    Unknown,
    has_unknown,
    mentions,
    text_of,
)
from stratolite.services.cloudformation.places import Misplaced, where
from stratolite.services.cloudformation.resolution import (
    attribute_from,
    conform,
    needs_of,
    replacing,
    resolved_outputs,
    scope_of,
    surroundings,
)
from stratolite.services.cloudformation.schema import load_schema
from stratolite.services.cloudformation.state import Record
from stratolite.services.cloudformation.template import Template, in_order
from stratolite.services.cloudformation.values import check_values

Values = dict[str, str]
STACK = "AWS::CloudFormation::Stack"
KNOWN_LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"


@dataclass(frozen=True)
class Live:
    """How a resource is, where that counts and not what its stack says (``drift_aware``)."""

    status: str
    """IN_SYNC, MODIFIED, DELETED, UNKNOWN or UNSUPPORTED."""
    drifted: Mapping[str, Any]
    """Property -> what it is in truth, None for nothing."""
    at_s: float
    unread: list[str]
    """Properties that nobody can read."""


@dataclass(frozen=True)
class Before:
    """What is there already: nothing for a new stack."""

    stack_name: str
    stack_id: str
    values: Values | None = None
    records: Mapping[str, Record] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    looked_up: Values = field(default_factory=dict)
    """What Parameter Store said for ``values``."""
    notify: list[str] = field(default_factory=list)
    """The stack's NotificationARNs."""
    imports: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Logical id -> primary identifier of what is there already and shall be taken in."""
    live: Mapping[str, Live] | None = None
    """Logical id -> how the resource is, for a drift-aware change set."""


class Examination:
    """Looks at every resource twice: alone, then beside what is there."""

    def __init__(
        self,
        region: str,
        template: Template,
        parameters: Mapping[str, Any],
        tags: Mapping[str, str],
        before: Before,
        handlers: Mapping[str, Resource],
        values: Values | None = None,
    ) -> None:
        self.region, self.template, self.before, self.handlers = region, template, before, handlers
        self.tags, self.parameters, self.values = tags, parameters, values or {}
        self.imports: set[str] = set()
        self.changes: list[Change] = []
        self.changed = False
        self.order: list[str] = []
        self.live: dict[str, Any] = {}
        """Of drifted resources the properties they have, None for those that were deleted."""
        self.stacks: dict[str, Any] = {}
        """Nested stacks' properties as far as they are known."""

    def forms(self) -> None:
        """Types, properties, dependencies, attributes: all that holds whatever is there already."""
        scope = scope_of(self.template, self.parameters, lambda _: None, self._note_import)
        needs = {}
        for name, resource in scope.resources.items():
            properties, needs[name] = needs_of(name, scope)
            handler = self.handlers[resource["Type"]]
            properties = conform(self.region, handler, name, properties, self.tags)
            refuse_secure(properties, resource["Type"], name)
            check_values(handler, name, properties, self._stated(name))
            if resource["Type"] == STACK:
                self.stacks[name] = properties
        self.order = in_order(needs)
        self._check_attributes(scope)
        resolved_outputs(self.template, scope)

    def _stated(self, name: str) -> Mapping[str, Any] | None:
        record = self.before.records.get(name)
        found: Mapping[str, Any] | None = record["private"]["properties"] if record else None
        return found

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
            if self.handlers[kind].attributes_open:
                continue
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

    def differences(self, exports: Mapping[str, str], nested: set[str]) -> None:
        """Fill ``changes``. ``nested`` are the stacks inside that change though their properties do not."""
        known: dict[str, Made] = {}
        scope = scope_of(
            self.template, self.parameters, known.get, exports.__getitem__, self._attribute
        )
        retyped = []
        for name in self.order:
            resource, record = scope.resources[name], self.before.records.get(name)
            live = (self.before.live or {}).get(name)
            if live is not None and live.status == "DELETED":
                record, self.live[name] = None, None
            properties, needs = needs_of(name, scope)
            properties = conform(
                self.region, self.handlers[resource["Type"]], name, properties, self.tags
            )
            if record is None:
                action = "Import" if name in self.before.imports else "Add"
                added = Change(action, name, resource["Type"], after=properties)
                if action == "Import":
                    handler = self.handlers[resource["Type"]]
                    added.physical_id = handler.physical_id_of(self.before.imports[name])
                added.live = live
                self.changes.append(added)
                continue
            if record["type"] != resource["Type"]:
                retyped.append(name)
                continue
            change = self._difference(
                record, resource, properties, surroundings(resource, needs), name in nested
            )
            if change is not None:
                self.changes.append(change)
            if change is None or change.replacement != "True":
                secret = record["private"].get("attributes") or {}
                shown = record.get("attributes") or {}
                known[name] = Made(record["physical_id"], {**shown, **secret})
        if retyped:
            raise _error(
                f"Update of resource type is not permitted. The new template modifies resource type of the following resources: [{', '.join(retyped)}]"
            )
        for name, record in self.before.records.items():
            if name not in scope.resources:
                gone = Change("Remove", name, record["type"], record.get("physical_id") or "")
                policy = record.get("deletion_policy") or "Delete"
                gone.policy = "Retain" if policy.startswith("Retain") else "Delete"
                gone.before = record["private"]["properties"]
                self.changes.append(gone)
        outputs = resolved_outputs(self.template, scope)
        self.changed = bool(self.changes) or outputs != self.before.outputs

    def _attribute(self, logical_id: str, name: str, made: Made) -> Any:
        return attribute_from(self.before.records[logical_id]["private"]["properties"], name)

    def _difference(
        self,
        record: Record,
        resource: Mapping[str, Any],
        properties: Any,
        around: dict[str, Any],
        is_nested: bool,
    ) -> Change | None:
        stated = record["private"]["properties"]
        live = (self.before.live or {}).get(record["id"])
        old = stated
        if live is not None and live.drifted:
            old = self.live[record["id"]] = self._as_it_is(record, live, properties)
        differing = sorted(k for k in {*old, *properties} if old.get(k) != properties.get(k))
        again = replacing(self.handlers[record["type"]], differing)
        physical_id = record.get("physical_id") or ""
        if not differing:
            if is_nested:
                change = Change("Modify", record["id"], record["type"], physical_id, "False")
                change.details.append(
                    {
                        "Target": {"Attribute": "Properties", "RequiresRecreation": "Never"},
                        "Evaluation": "Dynamic",
                        "ChangeSource": "Automatic",
                    }
                )
                return change
            if stated != properties:
                synced = Change("SyncWithActual", record["id"], record["type"], physical_id)
                synced.live = live
                return synced
            if all(record.get(key) == value for key, value in around.items()):
                return None
            metadata = record.get("metadata") != around["metadata"]
            change = Change(
                "Modify" if metadata else "Keep", record["id"], record["type"], physical_id, "False"
            )
            if metadata:
                change.details.append(
                    {
                        "Target": {"Attribute": "Metadata", "RequiresRecreation": "Never"},
                        "Evaluation": "Static",
                        "ChangeSource": "DirectModification",
                    }
                )
            return change
        sure = any(name in again and not has_unknown(properties.get(name)) for name in differing)
        word = "True" if sure else "Conditional" if again else "False"
        change = Change("Modify", record["id"], record["type"], physical_id, word)
        change.before, change.after = old, properties
        change.live, change.stated = live, stated
        for name in differing:
            recreation = "Never"
            if name in again:
                recreation = "Conditionally" if has_unknown(properties.get(name)) else "Always"
            target = {
                "Attribute": "Tags" if name == "Tags" else "Properties",
                "Name": name,
                "RequiresRecreation": recreation,
            }
            if name == "Tags":
                del target["Name"]
            if live is not None:
                target |= _drift_of(name, live, stated)
            sources = self._sources((resource.get("Properties") or {}).get(name))
            if live is not None and stated.get(name) == properties.get(name):
                sources = [{"Evaluation": "Static", "ChangeSource": "NoModification"}]
            for source in sources:
                change.details.append({"Target": target, **source})
        if again:
            policy = record.get("replace_policy") or "Delete"
            change.policy = (
                "ReplaceAndRetain" if policy.startswith("Retain") else "ReplaceAndDelete"
            )
        return change

    def _as_it_is(self, record: Record, live: Live, properties: Mapping[str, Any]) -> Any:
        """What the stack says of a resource, with what drifted as it is; in the template's words where it is what that wants."""
        old, handler = dict(record["private"]["properties"]), self.handlers[record["type"]]
        for name, value in live.drifted.items():
            wanted = properties.get(name)
            same = name in properties and not has_unknown(wanted)
            if same and not differences(self.region, handler, {name: wanted}, {name: value}):
                old[name] = wanted
            elif value is None:
                old.pop(name, None)
            else:
                old[name] = value
        return old

    def _sources(self, node: Any) -> list[dict[str, str]]:
        """Why a property changes, in DescribeChangeSet's words."""
        found: list[dict[str, str]] = []
        values = self.before.values or {}
        for mention in dict.fromkeys(mentions(node)):
            if mention.how == "Ref" and isinstance(self.parameters.get(mention.name), Unknown):
                found.append(
                    {
                        "Evaluation": "Dynamic",
                        "ChangeSource": "ParameterReference",
                        "CausingEntity": mention.name,
                    }
                )
            elif mention.how == "Ref" and mention.name in values:
                if self.values.get(mention.name, values[mention.name]) != values[mention.name]:
                    found.append(
                        {
                            "Evaluation": "Static",
                            "ChangeSource": "ParameterReference",
                            "CausingEntity": mention.name,
                        }
                    )
            elif mention.name in self.template.resources and mention.how in ("Ref", "GetAtt"):
                is_ref = mention.how == "Ref"
                found.append(
                    {
                        "Evaluation": "Dynamic",
                        "ChangeSource": "ResourceReference" if is_ref else "ResourceAttribute",
                        "CausingEntity": mention.name
                        if is_ref
                        else f"{mention.name}.{mention.attribute}",
                    }
                )
        if not found:
            return [{"Evaluation": "Static", "ChangeSource": "DirectModification"}]
        if any(source["ChangeSource"] == "ParameterReference" for source in found):
            found.append({"Evaluation": "Dynamic", "ChangeSource": "DirectModification"})
        return found


@dataclass
class Change:
    """What an update would do to one resource, ``shape`` being DescribeChangeSet's words for it."""

    action: str
    """Add, Modify, Remove, Import, or Keep where only its surroundings change."""
    logical_id: str
    type: str
    physical_id: str = ""
    replacement: str = ""
    details: list[dict[str, Any]] = field(default_factory=list)
    policy: str = ""
    before: Any = None
    after: Any = None
    """Properties, where they are known."""
    live: Live | None = None
    stated: Any = None
    """What the stack said of it, for a drift-aware change set."""

    def shape(self) -> dict[str, Any]:
        change: dict[str, Any] = {
            "Action": self.action,
            "LogicalResourceId": self.logical_id,
            "ResourceType": self.type,
            "Scope": list(dict.fromkeys(d["Target"]["Attribute"] for d in self.details)),
            "Details": self.details,
        }
        if self.physical_id:
            change["PhysicalResourceId"] = self.physical_id
        if self.replacement:
            change["Replacement"] = self.replacement
        if self.policy:
            change["PolicyAction"] = self.policy
        if self.live is not None:
            change["ResourceDriftStatus"] = self.live.status
            change["ResourceDriftIgnoredAttributes"] = [
                {"Path": f"/Properties/{name}", "Reason": "WRITE_ONLY_PROPERTY"}
                for name in self.live.unread
            ]
        return {"Type": "Resource", "ResourceChange": change}

    def values(self) -> list[Any]:
        """Properties before and after, what is not known yet as AWS writes it."""
        stated = [_shown(self.stated)] if self.live is not None else []
        return [_shown(self.before), _shown(self.after), *stated]


def with_values(shape: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    """A change's ``shape`` with what DescribeChangeSet adds for IncludePropertyValues."""
    before, after, *stated = values
    change = {**shape["ResourceChange"]}
    contexts = [("BeforeContext", before), ("AfterContext", after)]
    contexts += [("PreviousDeploymentContext", one) for one in stated]
    for member, properties in contexts:
        if properties is not None:
            change[member] = orjson.dumps({"Properties": properties}).decode()
    details = []
    for detail in change["Details"]:
        target, name = dict(detail["Target"]), detail["Target"].get("Name")
        name = name or ("Tags" if target["Attribute"] == "Tags" else None)
        if name is not None and before is not None and after is not None:
            target["Path"] = f"/Properties/{name}"
            was, is_now = name in before, name in after
            target["AttributeChangeType"] = (
                "Modify" if was and is_now else "Add" if is_now else "Remove"
            )
            if was:
                target["BeforeValue"] = _as_text(before[name])
            if is_now:
                target["AfterValue"] = _as_text(after[name])
        details.append({**detail, "Target": target})
    change["Details"] = details
    return {**shape, "ResourceChange": change}


def _drift_of(name: str, live: Live, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Where a property's values come from, and how it drifted."""
    if name not in live.drifted:
        return {"BeforeValueFrom": "PREVIOUS_DEPLOYMENT_STATE", "AfterValueFrom": "TEMPLATE"}
    drift: dict[str, Any] = {"DriftDetectionTimestamp": live.at_s}
    for member, value in (("PreviousValue", stated.get(name)), ("ActualValue", live.drifted[name])):
        if value is not None:
            drift[member] = _as_text(value)
    return {"BeforeValueFrom": "ACTUAL_STATE", "AfterValueFrom": "TEMPLATE", "Drift": drift}


def _as_text(value: Any) -> str:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else text_of(value)


def _shown(value: Any) -> Any:
    if isinstance(value, Unknown):
        return KNOWN_LATER
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value


def _error(message: str) -> Fault:
    return Fault("ValidationError", message)
