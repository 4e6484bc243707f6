"""What AWS's own resource schemas say about a type: which properties there are, of which form.

The schemas are those cfn-lint carries: one small JSON file a type, found by a table a region. Only the
files are read (cfnlint itself is never imported), only for types in use, without their descriptions.
``conform`` checks properties and gives them back in their types (CloudFormation takes "true" for true and 5 for
"5"), wording what is wrong as AWS's resource handlers do.
Sources  https://github.com/aws-cloudformation/cfn-lint/tree/main/src/cfnlint/data/schemas
         https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import orjson

from stratolite import allowed_pattern
from stratolite.service import Resource
from stratolite.services.cloudformation.intrinsics import Unknown, text_of

_KEPT = frozenset(
    [
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "const",
        "definitions",
        "enum",
        "items",
        "maximum",
        "maxItems",
        "maxLength",
        "minimum",
        "minItems",
        "minLength",
        "oneOf",
        "pattern",
        "patternProperties",
        "properties",
        "required",
        "type",
    ]
)
DYNAMIC = "{{resolve:"
_PROBLEMS_COUNT_MAX = 10
_PATTERN_VALUE_LENGTH_MAX = 512
_DEPTH_MAX = 40
_NAMES = {
    dict: "JSONObject",
    list: "JSONArray",
    str: "String",
    bool: "Boolean",
    int: "Integer",
    float: "Double",
    type(None): "Null",
}
_TITLES = {
    "object": "JSONObject",
    "array": "JSONArray",
    "string": "String",
    "boolean": "Boolean",
    "integer": "Integer",
    "number": "Number",
}


def has_type(region: str, type_name: str) -> bool:
    """Whether AWS has the type in ``region``."""
    return type_name in _table(region)


class Schema:
    """One type's schema."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.root = _stripped(tree)
        self.definitions = self.root.get("definitions", {})
        self.read_only = _pointers(tree, "readOnlyProperties")
        writable = {
            *_pointers(tree, "createOnlyProperties"),
            *_pointers(tree, "writeOnlyProperties"),
        }
        self.refused = self.read_only - writable
        self.create_only = frozenset(path[0] for path in _pointers(tree, "createOnlyProperties"))
        """Top-level properties whose change means replacement on AWS."""
        self.identifier = _pointers(tree, "primaryIdentifier")
        self.identifiers = tuple(
            pointer.removeprefix("/properties/").replace("/", ".")
            for pointer in tree.get("primaryIdentifier") or ()
        )
        """The primary identifier's properties in AWS's order."""
        self.write_only = _pointers(tree, "writeOnlyProperties")
        tagging = tree.get("tagging") or {}
        self.tags = (
            tagging.get("tagProperty", "/properties/Tags") if tagging.get("taggable") else ""
        )

    def conform(self, properties: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The properties in their types, and what is wrong with them (``#/Path: message``)."""
        problems: list[str] = []
        value = self._check(self.root, properties, "#", problems, 0)
        problems.extend(
            f"#: read-only key [{path[0]}] is not permitted"
            for path in sorted(self.refused)
            if len(path) == 1 and path[0] in properties
        )
        return value, problems[:_PROBLEMS_COUNT_MAX]

    def has_attribute(self, name: str) -> bool:
        """Whether GetAtt may ask for ``name``; dots lead inside."""
        path = tuple(name.split("."))
        return path in self.read_only or path[0] in self.root.get("properties", {})

    def is_named_by(self, old: dict[str, Any], new: dict[str, Any]) -> bool:
        """Whether both sets of properties give the resource the same identity: two cannot be at once."""
        keys = [path[0] for path in self.identifier if len(path) == 1]
        return bool(keys) and all(key in new and old.get(key) == new[key] for key in keys)

    def tagged(self, properties: dict[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
        """With ``tags`` added where the type takes tags; the resource's own win."""
        name = self.tags.removeprefix("/properties/")
        form = self.root.get("properties", {}).get(name)
        while isinstance(form, dict) and "$ref" in form:
            form = self.find(form["$ref"])
        if not isinstance(form, dict):
            return properties
        if form.get("type") == "object":
            own = properties.get(name, {})
            return {**properties, name: {**tags, **own}} if isinstance(own, dict) else properties
        own = properties.get(name, [])
        if not isinstance(own, list):
            return properties
        known = {tag.get("Key") for tag in own if isinstance(tag, dict)}
        more = [{"Key": key, "Value": value} for key, value in tags.items() if key not in known]
        return {**properties, name: [*own, *more]}

    def _check(self, schema: Any, value: Any, at: str, problems: list[str], depth: int) -> Any:
        if isinstance(value, Unknown) or schema is True or len(problems) >= _PROBLEMS_COUNT_MAX:
            return value
        if isinstance(value, str) and DYNAMIC in value:
            return value  # looked at again when it is resolved
        if depth > _DEPTH_MAX or not isinstance(schema, dict):
            return value
        if (ref := schema.get("$ref")) is not None:
            return self._check(self.find(ref), value, at, problems, depth + 1)
        wanted = schema.get("type")
        if wanted is not None:
            kinds = wanted if isinstance(wanted, list) else [wanted]
            fits, value = _in_type(kinds, value)
            if not fits:
                names = " or ".join(_TITLES.get(str(kind), str(kind)) for kind in kinds)
                problems.append(
                    f"{at}: expected type: {names}, found: {_NAMES.get(type(value), '?')}"
                )
                return value
        if isinstance(value, dict):
            value = self._check_object(schema, value, at, problems, depth)
        elif isinstance(value, list):
            items = schema.get("items")
            if items is not None:
                value = [
                    self._check(items, item, f"{at}/{n}", problems, depth + 1)
                    for n, item in enumerate(value)
                ]
            if len(value) < schema.get("minItems", 0):
                problems.append(
                    f"{at}: expected minimum item count: {schema['minItems']}, found: {len(value)}"
                )
            if "maxItems" in schema and len(value) > schema["maxItems"]:
                problems.append(
                    f"{at}: expected maximum item count: {schema['maxItems']}, found: {len(value)}"
                )
        else:
            _check_scalar(schema, value, at, problems)
        return self._check_choices(schema, value, at, problems, depth)

    def _check_object(
        self,
        schema: dict[str, Any],
        value: dict[str, Any],
        at: str,
        problems: list[str],
        depth: int,
    ) -> dict[str, Any]:
        properties = schema.get("properties", {})
        patterns = schema.get("patternProperties", {})
        extra = schema.get("additionalProperties", True)
        made = {}
        for key, item in value.items():
            inner = properties.get(key)
            if inner is None and patterns:
                inner = next(iter(patterns.values()))  # services check the keys themselves
            if inner is None and extra is False:
                problems.append(f"{at}: extraneous key [{key[:100]}] is not permitted")
                continue
            inner = extra if inner is None else inner
            made[key] = self._check(inner, item, f"{at}/{key}", problems, depth + 1)
        problems.extend(
            f"{at}: required key [{key}] not found"
            for key in schema.get("required", ())
            if key not in value
        )
        return made

    def _check_choices(
        self, schema: dict[str, Any], value: Any, at: str, problems: list[str], depth: int
    ) -> Any:
        for part in schema.get("allOf", ()):
            value = self._check(part, value, at, problems, depth + 1)
        for word in ("anyOf", "oneOf"):
            if not schema.get(word):
                continue
            failures: list[str] = []
            for choice in schema[word]:
                wrong: list[str] = []
                checked = self._check(choice, value, at, wrong, depth + 1)
                if not wrong:
                    value = checked
                    break
                failures.append(wrong[0])
            else:
                problems.append(
                    f"{at}: #: no subschema matched out of the total {len(failures)} subschemas; {failures[0]}"
                )
        return value

    def find(self, ref: str) -> Any:
        """What ``#/definitions/Name`` means."""
        found: Any = self.root
        for part in ref.removeprefix("#/").split("/"):
            found = found.get(part, True) if isinstance(found, dict) else True
        return found


def _in_type(kinds: list[str], value: Any) -> tuple[bool, Any]:
    """Whether ``value`` is, or can be read as, one of ``kinds``; text wins where it is one of several."""
    if len(kinds) > 1 and "string" in kinds and isinstance(value, bool | int | float):
        return True, text_of(value)
    for kind in kinds:
        if (
            (kind == "object" and isinstance(value, dict))
            or (kind == "array" and isinstance(value, list))
            or (kind == "string" and isinstance(value, str))
            or (kind == "boolean" and isinstance(value, bool))
            or (kind == "integer" and type(value) is int)
            or (kind == "number" and type(value) in (int, float))
            or (kind == "null" and value is None)
        ):
            return True, value
    for kind in kinds:
        if kind == "string" and isinstance(value, bool | int | float):
            return True, text_of(value)
        if isinstance(value, str):
            if kind == "boolean" and value.lower() in ("true", "false"):
                return True, value.lower() == "true"
            if kind in ("integer", "number") and (number := _number(value, kind)) is not None:
                return True, number
        if kind == "integer" and type(value) is float and value.is_integer():
            return True, int(value)
    return False, value


def _number(text: str, kind: str) -> int | float | None:
    if len(text) > 40:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    if number.is_integer():
        return int(number)
    return number if kind == "number" and number - number == 0 else None


def _check_scalar(schema: dict[str, Any], value: Any, at: str, problems: list[str]) -> None:
    allowed = schema.get("enum")
    if (
        allowed is not None
        and value not in allowed
        and text_of(value) not in [text_of(a) for a in allowed]
    ):
        problems.append(f"{at}: #: {text_of(value)[:100]} is not a valid enum value")
    if "const" in schema and value != schema["const"]:
        problems.append(
            f"{at}: expected constant value: {schema['const']}, found: {text_of(value)[:100]}"
        )
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            problems.append(
                f"{at}: expected minLength: {schema['minLength']}, actual: {len(value)}"
            )
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            problems.append(
                f"{at}: expected maxLength: {schema['maxLength']}, actual: {len(value)}"
            )
        if "pattern" in schema and not _fits(schema["pattern"], value):
            problems.append(f"{at}: failed validation constraint for keyword [pattern]")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            problems.append(f"{at}: {value} is not greater or equal to {schema['minimum']}")
        if "maximum" in schema and value > schema["maximum"]:
            problems.append(f"{at}: {value} is not less or equal to {schema['maximum']}")


@functools.lru_cache(512)
def _pattern(text: str) -> Any:
    """None for one that uses what we do not match: the service itself will say what is wrong then."""
    try:
        return allowed_pattern.read(rf"[\s\S]*(?:{text})[\s\S]*")
    except allowed_pattern.Refused:
        return None


def _fits(pattern: str, value: str) -> bool:
    tree = _pattern(pattern)
    if tree is None or len(value) > _PATTERN_VALUE_LENGTH_MAX:
        return True
    try:
        return allowed_pattern.matches(tree, value)
    except allowed_pattern.Refused:
        return True


def not_offered(handler: Resource, properties: dict[str, Any]) -> list[str]:
    """What AWS has and the handler does not do, in the words ``conform`` uses."""
    problems = []
    if handler.properties is not None:
        problems += [
            f"#: property [{name}] of {handler.type} is not offered by Stratolite"
            for name in properties
            if name not in handler.properties
        ]
    for path, harmless in handler.refused.items():
        for at, value in places_at(properties, path):
            if isinstance(value, Unknown):
                if harmless - {""} or not value.logical_id:
                    continue
            elif _text(value) in harmless:
                continue
            if isinstance(value, str | int | float) and harmless - {""}:
                problems.append(
                    f"{at}: value {text_of(value)[:100]} is not offered by Stratolite; offered: {', '.join(sorted(harmless))}"
                )
            else:
                outer, _, name = at.rpartition("/")
                problems.append(
                    f"{outer}: property [{name}] of {handler.type} is not offered by Stratolite"
                )
    return problems


def _text(value: Any) -> str:
    return ("" if not value else "set") if isinstance(value, dict | list) else text_of(value)


def places_at(properties: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    """(``#/Rules/0/Id``, what stands there) for everything at ``Rules.*.Id``; "" is all properties."""
    return _at(properties, path.split(".") if path else [], "#")


def _at(node: Any, path: list[str], at: str) -> Iterator[tuple[str, Any]]:
    """Everything that stands at ``path``, with where."""
    if not path:
        yield at, node
    elif path[0] == "*":
        for n, item in enumerate(node if isinstance(node, list) else ()):
            yield from _at(item, path[1:], f"{at}/{n}")
    elif isinstance(node, dict) and path[0] in node:
        yield from _at(node[path[0]], path[1:], f"{at}/{path[0]}")


_KEY = re.compile(r"(?:extraneous key|read-only key|property) \[(.*?)\]")


def place_of(problem: str) -> tuple[str, ...]:
    """Where in the properties one of the problems above is."""
    at, _, message = problem.partition(": ")
    place = tuple(at.split("/")[1:])
    key = _KEY.match(message)
    return (*place, key[1]) if key else place


def _pointers(tree: dict[str, Any], name: str) -> frozenset[tuple[str, ...]]:
    """``/properties/A/B`` as ("A", "B")."""
    return frozenset(
        tuple(part for part in pointer.split("/")[2:] if part != "*")
        for pointer in tree.get(name) or ()
    )


def _stripped(node: Any, *, names: bool = False) -> Any:
    """Only what ``conform`` reads; ``names`` says that the keys are property names."""
    if isinstance(node, dict):
        return {
            key: _stripped(
                value,
                names=not names and key in ("properties", "definitions", "patternProperties"),
            )
            for key, value in node.items()
            if names or key in _KEPT
        }
    if isinstance(node, list):
        return [_stripped(item) for item in node]
    return node


@functools.cache
def _folder() -> str:
    spec = find_spec("cfnlint")
    assert spec is not None, "cfn-lint is a dependency"
    assert spec.submodule_search_locations is not None
    return f"{spec.submodule_search_locations[0]}/data/schemas"


@functools.lru_cache(4)
def _table(region: str) -> dict[str, str]:
    """Type -> name of its schema's file. A region AWS does not have offers what us-east-1 does."""
    folder = f"{_folder()}/providers"
    path = f"{folder}/{region}.json"
    if "/" in region or not os.path.exists(path):
        path = f"{folder}/us-east-1.json"
    with open(path, "rb") as file:
        table: dict[str, str] = orjson.loads(file.read())
    return table


@functools.lru_cache(16)
def schema_text(region: str, type_name: str) -> str | None:
    """AWS's schema as it is; None for a type AWS does not have."""
    name = _table(region).get(type_name)
    if name is None:
        return None
    with open(f"{_folder()}/resources/{name}.json", encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(64)
def load_schema(region: str, type_name: str) -> Schema | None:
    """None for a type AWS does not have."""
    name = _table(region).get(type_name)
    if name is None:
        return None
    with open(f"{_folder()}/resources/{name}.json", "rb") as file:
        return Schema(orjson.loads(file.read()))
