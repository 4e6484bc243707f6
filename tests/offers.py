"""What the CloudFormation handlers offer, beside what the templates of ``tests/templates/good`` ask for.

A place is where something stands in a type's properties, dotted, ``*`` for a list's items or a map's values:
``Rules.*.Status``. ``offered`` reads places from AWS's schema, less what the handler does not offer; ``Used`` reads them
from a template, for each of its steps and after its transforms.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from stratolite.service import Made, Resource
from stratolite.services.cloudformation import extensions, sam
from stratolite.services.cloudformation.intrinsics import resolve
from stratolite.services.cloudformation.parameters import parsed
from stratolite.services.cloudformation.resolution import CUSTOM, scope_of
from stratolite.services.cloudformation.schema import Schema, load_schema
from stratolite.services.cloudformation.template import SAM, check_template
from stratolite.services.cloudformation.template_text import read_part, read_template

GOOD = Path(__file__).parent / "templates" / "good"
PARTS = GOOD.with_name("parts")
STEPS = ("1", "2", "3")
_PSEUDO = {
    "AWS::AccountId": "000000000000",
    "AWS::NotificationARNs": [],
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/s/id",
    "AWS::StackName": "s",
    "AWS::URLSuffix": "amazonaws.com",
}


def schema_of(handler: Resource) -> Schema:
    kind = CUSTOM if handler.type.startswith("Custom::") else handler.type
    schema = load_schema("us-east-1", kind)
    assert schema is not None
    return schema


def offered(handler: Resource) -> set[str]:
    """Every place a template may set."""
    schema = schema_of(handler)
    read_only = {".".join(path) for path in schema.refused}
    never = {place for place, kept in handler.refused.items() if not kept - {""}}

    def below(node: Any, at: str, seen: frozenset[str]) -> Iterator[str]:
        while isinstance(node, dict) and "$ref" in node:
            if node["$ref"] in seen:
                return  # a form within itself is offered once
            seen |= {node["$ref"]}
            node = schema.find(node["$ref"])
        if not isinstance(node, dict):
            return
        for name, inner in node.get("properties", {}).items():
            place = f"{at}.{name}" if at else name
            if place.replace(".*", "") in read_only or place in never:
                continue
            if not at and handler.properties is not None and name not in handler.properties:
                continue
            yield place
            yield from below(inner, place, seen)
        for inner in (node.get("items"), *node.get("patternProperties", {}).values()):
            yield from below(inner, f"{at}.*", seen)
        for word in ("allOf", "anyOf", "oneOf"):
            for inner in node.get(word, ()):
                yield from below(inner, at, seen)

    return set(below(schema.root, "", frozenset()))


def places(node: Any, at: str = "") -> Iterator[str]:
    """Every place that is set; a map's values stand under their keys and under ``*``."""
    if isinstance(node, dict):
        for key, value in node.items():
            for name in (key, "*") if at else (key,):
                place = f"{at}.{name}" if at else name
                yield place
                yield from places(value, place)
    elif isinstance(node, list):
        for item in node:
            yield from places(item, f"{at}.*")


@cache
def resources_of(path: Path, step: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Logical id -> type and properties at a step, Ref as the logical id, GetAtt as an ARN with name and attribute."""
    raw = _included(read_template(path.read_text()))
    first = check_template(raw, transformed=False)
    values = {n: str(w.get("Default", "")) for n, w in first.parameters.items()}
    values["Step"] = step
    parameters = {**parsed(first.parameters, values), **_PSEUDO}
    raw = {key: value for key, value in raw.items() if key != "Transform"}
    for name in first.transforms:
        if name == extensions.NAME:
            scope = scope_of(first, parameters, lambda _: None, str)
            raw = extensions.extend(raw, scope)
        elif name == SAM:
            raw = sam.transform_now({**raw, "Transform": SAM}, values, "us-east-1")
            raw.pop("Transform", None)
    template = check_template(raw, transformed=True)
    scope = scope_of(
        template,
        parameters,
        Made,
        lambda name: f"{name},b,c",
        lambda name, attribute, _: f"arn:aws:service:us-east-1:000000000000:{name}.{attribute}",
    )
    return {
        name: (resource["Type"], resolve(resource.get("Properties") or {}, scope))
        for name, resource in scope.resources.items()
    }


def _included(node: Any) -> Any:
    """With what AWS::Include finds in ``tests/templates/parts``."""
    if isinstance(node, list):
        return [_included(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _included(value) for key, value in node.items() if key != "Fn::Transform"}
    if "Fn::Transform" in node:
        location = node["Fn::Transform"]["Parameters"]["Location"]
        made |= read_part((PARTS / location.rpartition("/")[2]).read_text())
    return made


def used(path: Path) -> set[tuple[str, str]]:
    """(type, place) of what a template sets at one of its steps."""
    return {
        (kind, place)
        for step in STEPS
        for kind, properties in resources_of(path, step).values()
        for place in places(properties)
    }


def changed(path: Path, handler_of: Any) -> set[tuple[str, str]]:
    """(type, top-level property) of what an update of a template changes without replacing the resource."""
    found = set()
    for one, other in pairwise(STEPS):
        before, after = resources_of(path, one), resources_of(path, other)
        for name in before.keys() & after.keys():
            (kind, was), (then, now) = before[name], after[name]
            handler = handler_of(kind)
            if kind != then or handler is None:
                continue
            differing = {k for k in was.keys() | now.keys() if was.get(k) != now.get(k)}
            if not differing & handler.create_only:
                found |= {(kind, key) for key in differing}
    return found
