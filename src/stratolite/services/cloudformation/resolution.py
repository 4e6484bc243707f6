"""A template beside what is known: a resource's properties, what it needs first, the outputs.

Used twice: by ``examination`` before anything is touched, by the engine when a resource's turn has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource
from stratolite.services.cloudformation.intrinsics import Scope, Unknown, resolve, text_of
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.schema import load_schema, not_offered, place_of
from stratolite.services.cloudformation.template import Template, depends_on

CUSTOM = "AWS::CloudFormation::CustomResource"


def pseudo(
    call: Call, stack_name: str, stack_id: str, notify: Sequence[str] = ()
) -> dict[str, Any]:
    china = call.region.startswith("cn-")
    return {
        "AWS::AccountId": call.account,
        "AWS::NotificationARNs": list(notify),
        "AWS::Partition": "aws-cn"
        if china
        else "aws-us-gov"
        if call.region.startswith("us-gov-")
        else "aws",
        "AWS::Region": call.region,
        "AWS::StackId": stack_id,
        "AWS::StackName": stack_name,
        "AWS::URLSuffix": "amazonaws.com.cn" if china else "amazonaws.com",
    }


def scope_of(
    template: Template,
    parameters: Mapping[str, Any],
    made: Callable[[str], Made | None],
    imported: Callable[[str], str],
    attribute: Callable[[str, str, Made], Any] | None = None,
    kind: type[Scope] = Scope,
) -> Scope:
    """Only resources whose condition holds are there to be referred to."""
    scope = kind(parameters, template.mappings, template.conditions, {}, made, imported, attribute)
    scope.resources = {
        name: resource
        for name, resource in template.resources.items()
        if "Condition" not in resource or scope.condition(resource["Condition"])
    }
    return scope


def needs_of(logical_id: str, scope: Scope) -> tuple[Any, set[str]]:
    """A resource's properties as far as they are known, and the resources it needs first."""
    resource = scope.resources[logical_id]
    scope.touched.clear()
    try:
        properties = resolve(resource.get("Properties") or {}, scope)
    except Misplaced as fault:
        fault.within("Resources", logical_id, "Properties")
        raise
    needs = {*scope.touched, *(d for d in depends_on(resource) if d in scope.resources)}
    if logical_id in needs:
        raise _error(
            f"Circular dependency between resources: [{logical_id}]", "Resources", logical_id
        )
    return properties, needs


def surroundings(resource: Mapping[str, Any], needs: set[str]) -> dict[str, Any]:
    """What a Record keeps of a resource besides its properties."""
    metadata = orjson.dumps(resource.get("Metadata"), option=orjson.OPT_SORT_KEYS)
    return {
        "needs": sorted(needs),
        "deletion_policy": resource.get("DeletionPolicy", "Delete"),
        "replace_policy": resource.get("UpdateReplacePolicy", "Delete"),
        **(
            {"creation_policy": resource["CreationPolicy"]}
            if resource.get("CreationPolicy")
            else {}
        ),
        "metadata": hashlib.sha256(metadata).hexdigest()[:16] if resource.get("Metadata") else "",
    }


def conform(
    region: str,
    handler: Resource,
    logical_id: str,
    properties: dict[str, Any],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """The properties in the types AWS's schema asks for, with the stack's tags where the type takes tags.

    Raises Misplaced naming what is wrong.
    """
    kind = CUSTOM if handler.type.startswith("Custom::") else handler.type
    schema = load_schema(region, kind)
    if schema is None:
        return properties
    if tags and handler.tagged:
        properties = schema.tagged(properties, tags)
    checked, problems = schema.conform(properties)
    problems = problems or not_offered(handler, checked)
    if problems:
        raise Misplaced(
            f"Properties validation failed for resource {logical_id} with message:",
            ("Resources", logical_id, "Properties"),
            [(problem, place_of(problem)) for problem in problems],
        )
    return checked


def resolved_outputs(template: Template, scope: Scope) -> list[dict[str, Any]]:
    """Outputs whose condition holds, as [{key, value, description, export}]."""
    made = []
    for key, output in template.outputs.items():
        if "Condition" in output and not scope.condition(output["Condition"]):
            continue
        try:
            value = resolve(output["Value"], scope)
            export = resolve(output["Export"]["Name"], scope) if output.get("Export") else None
        except Fault as fault:
            message = fault.message.removeprefix("Template format error: ").replace(
                "in the Resources block", "in the Outputs block"
            )
            raise _error(message) from fault
        if not isinstance(value, str | int | float | bool | Unknown):
            raise _error(
                f"Template format error: Output {key} is malformed. The Value field of every Outputs member must evaluate to a String."
            )
        row: dict[str, Any] = {
            "key": key,
            "value": value if isinstance(value, Unknown) else text_of(value),
        }
        if output.get("Description"):
            row["description"] = text_of(output["Description"])
        if export is not None:
            row["export"] = export if isinstance(export, Unknown) else text_of(export)
        made.append(row)
    return made


def replacing(handler: Resource, differing: list[str]) -> set[str]:
    """Which of the differing properties ask for a new resource."""
    if type(handler).update is Resource.update:
        return set(differing)
    return set(differing) & handler.create_only


def attribute_from(properties: Any, name: str) -> Any:
    """GetAtt of something the template itself said."""
    found = properties
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _error(message: str, *place: str) -> Misplaced:
    return Misplaced(message, place)
