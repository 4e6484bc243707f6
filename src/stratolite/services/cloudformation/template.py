"""A template whose structure has been checked: its sections, what depends on what, and in which order.

Nothing is resolved here; every message is AWS's own where it is known.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stratolite.errors import Fault
from stratolite.services.cloudformation.intrinsics import PSEUDO, function_of, mentions
from stratolite.services.cloudformation.places import Misplaced, where
from stratolite.services.cloudformation.quotas import (
    DESCRIPTION_BYTES_MAX,
    MAPPINGS_COUNT_MAX,
    OUTPUTS_COUNT_MAX,
    PARAMETERS_COUNT_MAX,
    RESOURCES_COUNT_MAX,
)

SAM = "AWS::Serverless-2016-10-31"
_SECTIONS = frozenset(
    [
        "AWSTemplateFormatVersion",
        "Conditions",
        "Description",
        "Globals",
        "Hooks",
        "Mappings",
        "Metadata",
        "Outputs",
        "Parameters",
        "Resources",
        "Rules",
        "Transform",
    ]
)
_RESOURCE_MEMBERS = frozenset(
    [
        "Condition",
        "Connectors",
        "CreationPolicy",
        "DeletionPolicy",
        "DependsOn",
        "IgnoreGlobals",
        "Metadata",
        "Properties",
        "Type",
        "UpdatePolicy",
        "UpdateReplacePolicy",
    ]
)
_NAME = re.compile(r"[A-Za-z0-9]{1,255}\Z", re.ASCII)
_TYPE = re.compile(r"[A-Za-z0-9]+(::[A-Za-z0-9@_-]+)+\Z", re.ASCII)
_POLICIES = ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot")
_NAMED_CAPABILITY = {
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
}
_CAPABILITY = frozenset(
    (*_NAMED_CAPABILITY, "AWS::IAM::AccessKey", "AWS::IAM::Policy", "AWS::IAM::RolePolicy")
) | {"AWS::IAM::UserPolicy", "AWS::IAM::GroupPolicy", "AWS::IAM::UserToGroupAddition"}


@dataclass(frozen=True)
class Template:
    """Sections as the text has them, absent ones empty."""

    description: str
    metadata: Mapping[str, Any]
    parameters: Mapping[str, Any]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]
    transforms: tuple[str, ...]
    rules: Mapping[str, Any]
    raw: Mapping[str, Any]

    def capabilities(self) -> tuple[list[str], str]:
        """What the caller must acknowledge, and AWS's reason for it."""
        types = sorted({r["Type"] for r in self.resources.values()} & _CAPABILITY)
        if not types:
            return [], ""
        named = any(
            (name := _NAMED_CAPABILITY.get(r["Type"])) and name in (r.get("Properties") or {})
            for r in self.resources.values()
        )
        capability = "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM"
        return [capability], f"The following resource(s) require capabilities: [{', '.join(types)}]"


def check_template(raw: dict[str, Any], *, transformed: bool) -> Template:
    """``transformed`` says whether transforms have been applied: before, only sections and parameters are looked at."""
    if odd := [name for name in raw if name not in _SECTIONS]:
        raise _error(
            f"Invalid template property or properties [{', '.join(sorted(odd))}]", min(odd)
        )
    version = raw.get("AWSTemplateFormatVersion", "2010-09-09")
    if str(version) != "2010-09-09":
        raise _error(
            f'Template format error: "{version}" is not a supported value for AWSTemplateFormatVersion.',
            "AWSTemplateFormatVersion",
        )
    description = raw.get("Description") or ""
    if not isinstance(description, str):
        raise _error(
            "Template format error: Every Description member must be a string.", "Description"
        )
    if len(description.encode()) > DESCRIPTION_BYTES_MAX:
        raise _error(
            f"Template format error: 'Description' length is greater than {DESCRIPTION_BYTES_MAX}.",
            "Description",
        )
    if raw.get("Hooks"):
        raise _error("Template section Hooks is not offered by Stratolite", "Hooks")
    resources = _section(raw, "Resources", RESOURCES_COUNT_MAX)
    if not resources:
        raise _error(
            "Template format error: At least one Resources member must be defined.", "Resources"
        )
    template = Template(
        description,
        _section(raw, "Metadata", 10_000),
        _section(raw, "Parameters", PARAMETERS_COUNT_MAX),
        _section(raw, "Mappings", MAPPINGS_COUNT_MAX),
        _section(raw, "Conditions", 10_000),
        resources,
        _section(raw, "Outputs", OUTPUTS_COUNT_MAX),
        _transforms(raw.get("Transform")),
        _section(raw, "Rules", 10_000),
        raw,
    )
    for name in template.parameters:
        if not _NAME.match(name):
            raise _error(
                f"Template format error: Parameter name {name} is non alphanumeric.",
                "Parameters",
                name,
            )
    if not transformed:
        if not template.transforms:
            for name in ("Resources", "Outputs"):
                _refuse_null(raw.get(name) or {}, (name,))
        return template
    for name, resource in resources.items():
        _check_resource(name, resource)
    for name, output in template.outputs.items():
        _check_output(name, output)
    _check_mappings(template.mappings)
    _check_references(template)
    return template


def _error(message: str, *place: str) -> Fault:
    return Misplaced(message, place)


def _section(raw: dict[str, Any], name: str, count_max: int) -> dict[str, Any]:
    section = raw.get(name)
    if section is None:
        return {}
    is_included = isinstance(section, dict) and section.keys() == {"Fn::Transform"}
    if not isinstance(section, dict) or (
        name != "Metadata" and _is_call(section) and not is_included
    ):
        raise _error(f"Template format error: Every {name} member must be a map.", name)
    if len(section) > count_max:
        raise _error(
            f"Template format error: Number of {name.lower()}, {len(section)}, is greater than maximum allowed, {count_max}",
            name,
        )
    return section


def _is_call(section: dict[str, Any]) -> bool:
    name = function_of(section)
    return name is not None and not name.startswith("Fn::ForEach::")


def _transforms(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [] if value is None else [value]
    names = [one.get("Name") if isinstance(one, dict) else one for one in names]
    if not all(isinstance(name, str) for name in names):
        raise _error("Key Name of transform definition must be a string.", "Transform")
    return tuple(names)


def _check_resource(name: str, resource: Any) -> None:
    if not _NAME.match(name):
        raise _error(
            f"Template format error: Resource name {name} is non alphanumeric.", "Resources", name
        )
    if not isinstance(resource, dict):
        raise _error(
            "Template format error: Any Resources member must be an object.", "Resources", name
        )
    kind = resource.get("Type")
    if not isinstance(kind, str):
        raise _error(
            f"Template format error: [/Resources/{name}] Every Resources object must contain a Type member.",
            "Resources",
            name,
        )
    if kind.endswith("::MODULE"):
        raise _error(
            f"Module {kind} of {name} is not offered by Stratolite: no registry of modules",
            "Resources",
            name,
            "Type",
        )
    if not _TYPE.match(kind):
        raise _error(
            f"Template format error: Unrecognized resource types: [{kind}]",
            "Resources",
            name,
            "Type",
        )
    if odd := sorted(set(resource) - _RESOURCE_MEMBERS):
        raise _error(f"Invalid template resource property '{odd[0]}'", "Resources", name, odd[0])
    if resource.get("UpdatePolicy"):
        raise _error(
            f"Resource attribute UpdatePolicy of {name} is not offered by Stratolite: no type here has one",
            "Resources",
            name,
            "UpdatePolicy",
        )
    if resource.get("CreationPolicy") and kind != "AWS::CloudFormation::WaitCondition":
        raise _error(
            f"CreationPolicy of {name} is not offered by Stratolite for {kind}, only for AWS::CloudFormation::WaitCondition",
            "Resources",
            name,
            "CreationPolicy",
        )
    if not isinstance(resource.get("Properties") or {}, dict):
        raise _error(
            f"Template format error: [/Resources/{name}/Properties] Every Properties member must be an object.",
            "Resources",
            name,
            "Properties",
        )
    for member in ("DeletionPolicy", "UpdateReplacePolicy"):
        policy = resource.get(member, "Delete")
        if policy not in _POLICIES:
            raise _error(
                f"Template error: Unrecognized {member} {policy} for resource {name}",
                "Resources",
                name,
                member,
            )
        if policy == "Snapshot":
            raise _error(
                f"Template error: resource type {kind} does not support {member} Snapshot ({name})",
                "Resources",
                name,
                member,
            )
    condition = resource.get("Condition")
    if condition is not None and not isinstance(condition, str):
        raise _error(
            f"Template format error: [/Resources/{name}/Condition] Every Condition member must be a string.",
            "Resources",
            name,
            "Condition",
        )
    if not all(isinstance(other, str) for other in depends_on(resource)):
        raise _error(
            "Template format error: DependsOn must be a string or list of strings.",
            "Resources",
            name,
            "DependsOn",
        )


def depends_on(resource: Mapping[str, Any]) -> list[str]:
    value = resource.get("DependsOn")
    return value if isinstance(value, list) else [] if value is None else [value]


def _check_output(name: str, output: Any) -> None:
    if not _NAME.match(name):
        raise _error(
            f"Template format error: Output name {name} is non alphanumeric.", "Outputs", name
        )
    if not isinstance(output, dict):
        raise _error(
            "Template format error: Any Outputs member must be an object.", "Outputs", name
        )
    if "Value" not in output:
        raise _error(
            f"Template format error: [/Outputs/{name}] Every Outputs member must contain a Value object",
            "Outputs",
            name,
        )
    if odd := sorted(set(output) - {"Condition", "Description", "Export", "Value"}):
        raise _error(f"Invalid template output property '{odd[0]}'", "Outputs", name, odd[0])
    export = output.get("Export")
    if export is not None and (not isinstance(export, dict) or set(export) != {"Name"}):
        raise _error(
            f"Template format error: Output {name} is malformed. The Name field of every Export member must be specified.",
            "Outputs",
            name,
            "Export",
        )


def _check_mappings(mappings: Mapping[str, Any]) -> None:
    for name, mapping in mappings.items():
        if not isinstance(mapping, dict):
            raise _error(
                f"Template format error: Every Mappings member {name} must be a map",
                "Mappings",
                name,
            )
        for key, row in mapping.items():
            if not isinstance(row, dict):
                raise _error(
                    f"Template format error: Every Mappings member {name} must be a map",
                    "Mappings",
                    name,
                    key,
                )
            for attribute, value in row.items():
                if isinstance(value, dict):
                    raise _error(
                        "Template format error: Every Mappings attribute must be a String or a List.",
                        "Mappings",
                        name,
                        key,
                        attribute,
                    )


def _refuse_null(node: Any, place: tuple[str, ...]) -> None:
    if node is None:
        raise _error(f"[/{'/'.join(place)}] 'null' values are not allowed in templates", *place)
    if isinstance(node, dict):
        for key, value in node.items():
            _refuse_null(value, (*place, str(key)))
    elif isinstance(node, list):
        for n, value in enumerate(node):
            _refuse_null(value, (*place, str(n)))


def _check_references(template: Template) -> None:
    """Every name leads to something, whichever way the conditions go."""
    resources, known = template.resources, {*template.parameters, *PSEUDO}
    conditions = dict(template.conditions)
    if odd := sorted({m.name for m in mentions(conditions) if m.how == "Ref"} - known):
        raise _mentioned(
            f"Template format error: Unresolved dependencies [{', '.join(odd)}]. Cannot reference resources in the Conditions block of the template",
            {"Conditions": conditions},
            "Ref",
            odd[0],
        )
    for block, parts in (
        ("Resources", {n: {"Properties": r.get("Properties")} for n, r in resources.items()}),
        ("Outputs", dict(template.outputs)),
    ):
        tree = {block: parts}
        found = list(mentions(tree))
        refs = {m.name for m in found if m.how == "Ref"} - known - set(resources)
        waiting = {}
        if block == "Resources":
            waiting = {
                d: n for n, r in resources.items() for d in depends_on(r) if d not in resources
            }
        if refs or waiting:
            odd = sorted({*refs, *waiting})
            head = "Template format error: " if block == "Resources" else ""
            text = f"{head}Unresolved resource dependencies [{', '.join(odd)}] in the {block} block of the template"
            if not refs:
                raise _error(text, "Resources", waiting[odd[0]], "DependsOn")
            raise _mentioned(text, tree, "Ref", min(refs))
        for mention in found:
            if mention.how == "GetAtt" and mention.name not in resources:
                raise _mentioned(
                    f"Template error: instance of Fn::GetAtt references undefined resource {mention.name}",
                    tree,
                    "GetAtt",
                    mention.name,
                )
            if mention.how == "Condition" and mention.name not in template.conditions:
                raise _mentioned(
                    f"Template error: unresolved condition dependency {mention.name} in Fn::If",
                    tree,
                    "Condition",
                    mention.name,
                )
        for name, part in (resources if block == "Resources" else template.outputs).items():
            condition = part.get("Condition")
            if condition is not None and condition not in template.conditions:
                kind = "resource" if block == "Resources" else "output"
                raise _error(
                    f"Template format error: Unresolved condition dependency {condition} in {kind} {name}",
                    block,
                    name,
                    "Condition",
                )


def _mentioned(message: str, tree: Any, how: str, name: str) -> Fault:
    """At the first place that names it so."""

    def holds(node: Any) -> bool:
        return any(m.how == how and m.name == name for m in mentions(node))

    return _error(message, *where(tree, holds))


def in_order(depends: Mapping[str, Iterable[str]]) -> list[str]:
    """The names so that each comes after what it depends on. Raises Fault naming a circle."""
    left = {name: {d for d in needs if d in depends} for name, needs in depends.items()}
    order: list[str] = []
    while left:
        ready = sorted(name for name, needs in left.items() if not needs)
        if not ready:
            circle = sorted(_on_circle(left))
            raise _error(
                f"Circular dependency between resources: [{', '.join(circle)}]",
                "Resources",
                circle[0],
            )
        order.extend(ready)
        for name in ready:
            del left[name]
        gone = set(ready)
        for waiting in left.values():
            waiting.difference_update(gone)
    return order


def _on_circle(left: dict[str, set[str]]) -> set[str]:
    """Without those that only depend on the circle."""
    while True:
        needed = set().union(*left.values())
        idle = [name for name in left if name not in needed]
        if not idle:
            return set(left)
        left = {name: needs for name, needs in left.items() if name not in idle}
