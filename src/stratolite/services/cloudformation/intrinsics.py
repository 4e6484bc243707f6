"""Resolves the intrinsic functions of a template to plain values.

What only a resource that does not exist yet can tell is ``Unknown``, and everything computed from it:
so one resolver serves to check a template before anything is touched and to carry it out.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Made
from stratolite.services.cloudformation import aws_types
from stratolite.services.cloudformation.places import Misplaced
from stratolite.services.cloudformation.quotas import DEPTH_MAX, RESOLVED_BYTES_MAX


class Unknown(NamedTuple):
    """A value that ``logical_id`` has once it exists."""

    logical_id: str


class _NoValue:
    def __repr__(self) -> str:
        return "AWS::NoValue"


NO_VALUE: Final = _NoValue()
"""``AWS::NoValue``: the property or list item is not there at all."""

PSEUDO = frozenset(
    f"AWS::{name}"
    for name in [
        "AccountId",
        "NotificationARNs",
        "NoValue",
        "Partition",
        "Region",
        "StackId",
        "StackName",
        "URLSuffix",
    ]
)


@dataclass
class Scope:
    """Everything a function may look at."""

    parameters: Mapping[str, Any]
    """Pseudo parameters too; list types are lists."""
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Any]
    """As the template has them; only their names count here."""
    made: Callable[[str], Made | None]
    """A resource as it is, None as long as it is not."""
    imported: Callable[[str], str]
    """An export's value. Raises Fault if nobody exports it."""
    attribute: Callable[[str, str, Made], Any] | None = None
    """What else GetAtt gives for a logical id, a name and what its handler told."""
    touched: set[str] = field(default_factory=set)
    """Logical ids that were referred to."""
    _verdicts: dict[str, bool | None] = field(default_factory=dict)

    def condition(self, name: str) -> bool:
        """Raises Fault for a condition nobody defines or that refers to itself."""
        known = self._verdicts.get(name, self)
        if isinstance(known, bool):
            return known
        if known is None:
            raise _error(f"Template format error: Circular dependencies for condition {name}")
        if name not in self.conditions:
            raise _error(
                f"Template format error: Unresolved condition dependency {name} in the Conditions block of the template"
            )
        self._verdicts[name] = None
        try:
            verdict = truth(self.conditions[name], self)
        except Misplaced as fault:
            if not fault.place or fault.place[0] != "Conditions":
                fault.within("Conditions", name)
            raise
        self._verdicts[name] = verdict
        return verdict


def resolve(node: Any, scope: Scope, depth: int = 0) -> Any:
    """Raises Fault ValidationError where AWS would."""
    if depth > DEPTH_MAX:
        raise _error("Template error: functions are nested too deep")
    if isinstance(node, dict):
        if (name := function_of(node)) is not None:
            run = _RUN.get(name)
            if run is None:
                raise _error(
                    f"Template error: Encountered unsupported function: {name} Supported functions are: [{', '.join(n for n in _RUN if n not in EXTENSIONS)}]"
                )
            try:
                return run(node[name], scope, depth + 1)
            except Misplaced as fault:
                fault.within(name)
                raise
        items: dict[str, Any] = {}
        for key, value in node.items():
            try:
                resolved = resolve(value, scope, depth + 1)
            except Misplaced as fault:
                fault.within(str(key))
                raise
            if resolved is not NO_VALUE:
                items[key] = resolved
        return items
    if isinstance(node, list):
        values: list[Any] = []
        for n, value in enumerate(node):
            try:
                resolved = resolve(value, scope, depth + 1)
            except Misplaced as fault:
                fault.within(str(n))
                raise
            if resolved is not NO_VALUE:
                values.append(resolved)
        return values
    return node


def function_of(node: dict[str, Any]) -> str | None:
    """The function's name if the mapping is a call of one."""
    if len(node) == 1:
        (name,) = node
        if name == "Ref" or name.startswith("Fn::"):
            return str(name)
    return None


def has_unknown(value: Any) -> bool:
    if isinstance(value, Unknown):
        return True
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return False


def text_of(value: Any) -> str:
    """A scalar as CloudFormation writes it into a string."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _error(message: str) -> Fault:
    return Misplaced(message)


# -- references


class Mention(NamedTuple):
    """That a template names something: how, what, and for GetAtt which attribute."""

    how: str
    """Ref, GetAtt, Condition (in Fn::If), Map."""
    name: str
    attribute: str = ""


def mentions(node: Any) -> Iterator[Mention]:
    """Everything ``node`` names, in branches not taken as well."""
    if isinstance(node, list):
        for item in node:
            yield from mentions(item)
        return
    if not isinstance(node, dict):
        return
    name = function_of(node)
    argument = node[name] if name else None
    if name == "Ref" and isinstance(argument, str):
        yield Mention("Ref", argument)
    elif name == "Fn::GetAtt" and (parts := _attribute_parts(argument)) is not None:
        if isinstance(parts[0], str):
            yield Mention("GetAtt", parts[0], parts[1] if isinstance(parts[1], str) else "")
        yield from mentions(parts[1])
    elif name == "Fn::Sub":
        text, variables = argument, {}
        if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
            text, variables = argument
            yield from mentions(list(variables.values()))
        if isinstance(text, str):
            for found in _VARIABLE.finditer(text):
                variable = found[1].strip()
                if found[1].startswith("!") or variable in variables:
                    continue
                owner, dot, attribute = variable.partition(".")
                yield Mention("GetAtt", owner, attribute) if dot else Mention("Ref", variable)
    elif (
        name == "Fn::If"
        and isinstance(argument, list)
        and argument
        and isinstance(argument[0], str)
    ):
        yield Mention("Condition", argument[0])
        yield from mentions(argument[1:])
    else:
        for value in node.values():
            yield from mentions(value)


# -- functions


def _ref(name: Any, scope: Scope, _depth: int) -> Any:
    if not isinstance(name, str):
        raise _error("Template format error: Every Ref object must have a single String value.")
    if name == "AWS::NoValue":
        return NO_VALUE
    if name in scope.parameters:
        return scope.parameters[name]
    if name not in scope.resources:
        raise _error(
            f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
        )
    scope.touched.add(name)
    made = scope.made(name)
    return Unknown(name) if made is None else made.physical_id


def _attribute_parts(argument: Any) -> list[Any] | None:
    if isinstance(argument, str):
        argument = argument.split(".", 1)
    return argument if isinstance(argument, list) and len(argument) == 2 else None


def _get_att(argument: Any, scope: Scope, depth: int) -> Any:
    parts = _attribute_parts(argument)
    name = parts and resolve(parts[1], scope, depth)
    if not parts or not isinstance(parts[0], str) or not isinstance(name, str):
        raise _error(
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"
        )
    return _attribute(parts[0], name, scope)


def _attribute(logical_id: str, name: str, scope: Scope) -> Any:
    if logical_id not in scope.resources:
        raise _error(
            f"Template error: instance of Fn::GetAtt references undefined resource {logical_id}"
        )
    scope.touched.add(logical_id)
    made = scope.made(logical_id)
    if made is None:
        return Unknown(logical_id)
    if name in made.attributes:
        return made.attributes[name]
    found: Any = made.attributes
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if found is None and scope.attribute is not None:
        found = scope.attribute(logical_id, name, made)
    if found is None:
        raise _error(
            f"Template error: resource {logical_id} does not support attribute type {name} in Fn::GetAtt"
        )
    return found


_VARIABLE = re.compile(r"\$\{([^{}$]*)\}")


def _sub(argument: Any, scope: Scope, depth: int) -> Any:
    variables: dict[str, Any] = {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
        text, variables = argument
    else:
        text = argument
    if not isinstance(text, str):
        raise _error(
            "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a"
            " string as first argument, and an optional second argument to specify a mapping of values to"
            " replace in the string"
        )
    pieces: list[Any] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        pieces.append(text[end : found.start()])
        end = found.end()
        name = found[1].strip()
        if found[1].startswith("!"):
            pieces.append(f"${{{found[1][1:]}}}")
        elif name in variables:
            pieces.append(resolve(variables[name], scope, depth))
        elif "." in name:
            pieces.append(_attribute(*name.split(".", 1), scope))  # type: ignore[call-arg] # split in two
        else:
            pieces.append(_ref(name, scope, depth))
    pieces.append(text[end:])
    return _joined("", pieces, "Fn::Sub")


def _joined(delimiter: str, pieces: list[Any], function: str) -> Any:
    size = 0
    texts = []
    for piece in pieces:
        if isinstance(piece, Unknown):
            return piece
        if isinstance(piece, dict | list) or piece is NO_VALUE:
            raise _error(
                f"Template error: {function} must be given strings, numbers and booleans, not a list or a map"
            )
        texts.append(text_of(piece))
        size += len(texts[-1]) + len(delimiter)
        if size > RESOLVED_BYTES_MAX:
            raise _error(
                f"Template error: {function} makes a string of more than {RESOLVED_BYTES_MAX} bytes"
            )
    return delimiter.join(texts)


def _join(argument: Any, scope: Scope, depth: int) -> Any:
    fault = _error(
        "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of"
        " strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
    )
    if not isinstance(argument, list) or len(argument) != 2 or not isinstance(argument[0], str):
        raise fault
    pieces = resolve(argument[1], scope, depth)
    if isinstance(pieces, Unknown):
        return pieces
    if not isinstance(pieces, list):
        raise fault
    return _joined(argument[0], pieces, "Fn::Join")


def _select(argument: Any, scope: Scope, depth: int) -> Any:
    if not isinstance(argument, list) or len(argument) != 2:
        raise _error(
            "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
        )
    index, items = resolve(argument[0], scope, depth), resolve(argument[1], scope, depth)
    for value in (index, items):
        if isinstance(value, Unknown):
            return value
    if isinstance(index, bool) or not re.fullmatch(r"-?\d{1,9}", str(index)):
        raise _error("Template error: Fn::Select requires a list argument with a valid index value")
    if not isinstance(items, list):
        raise _error(
            "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
        )
    if not 0 <= int(index) < len(items):
        raise _error(f"Template error: Fn::Select cannot select nonexistent value at index {index}")
    return items[int(index)]


def _split(argument: Any, scope: Scope, depth: int) -> Any:
    if (
        not isinstance(argument, list)
        or len(argument) != 2
        or not isinstance(argument[0], str)
        or not argument[0]
    ):
        raise _error(
            "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string"
            " to be split or a function that returns a string to be split."
        )
    text = resolve(argument[1], scope, depth)
    if isinstance(text, Unknown):
        return text
    if isinstance(text, dict | list) or text is NO_VALUE:
        raise _error("Template error: Fn::Split must be given a string to split")
    return text_of(text).split(argument[0])


def _find_in_map(argument: Any, scope: Scope, depth: int) -> Any:
    default: Any = NO_VALUE
    if (
        isinstance(argument, list)
        and len(argument) == 4
        and isinstance(argument[3], dict)
        and set(argument[3]) == {"DefaultValue"}
    ):
        default, argument = argument[3]["DefaultValue"], argument[:3]
    if not isinstance(argument, list) or len(argument) != 3:
        raise _error(
            "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the"
            " attribute for return value"
        )
    path = [resolve(part, scope, depth) for part in argument]
    for part in path:
        if isinstance(part, Unknown):
            raise _error("Template error: Fn::FindInMap cannot depend on a resource")
    if not isinstance(path[0], str) or path[0] not in scope.mappings:
        if default is not NO_VALUE:
            return resolve(default, scope, depth)
        raise _error(
            f"Template error: Mapping named '{path[0]}' is not present in the 'Mappings' section of template."
        )
    found: Any = scope.mappings[path[0]]
    for part in path[1:]:
        found = found.get(text_of(part)) if isinstance(found, dict) else None
    if found is None and default is not NO_VALUE:
        return resolve(default, scope, depth)
    if found is None:
        raise _error(f"Template error: Unable to get mapping for {'::'.join(map(text_of, path))}")
    return found


def _base64(argument: Any, scope: Scope, depth: int) -> Any:
    text = resolve(argument, scope, depth)
    if isinstance(text, Unknown):
        return text
    if isinstance(text, dict | list) or text is NO_VALUE:
        raise _error("Template error: every Fn::Base64 object must have a String-typed value.")
    return base64.b64encode(text_of(text).encode()).decode()


def _cidr(argument: Any, scope: Scope, depth: int) -> Any:
    if not isinstance(argument, list) or not 2 <= len(argument) <= 3:
        raise _error(
            "Template error: every Fn::Cidr object requires two or three parameters, the ip block, the count and the"
            " bits of a subnet"
        )
    values = [resolve(part, scope, depth) for part in argument]
    for value in values:
        if isinstance(value, Unknown):
            return value
    try:
        block = ipaddress.ip_network(text_of(values[0]), strict=False)
        count = int(values[1])
        bits = int(values[2]) if len(values) == 3 else 8
        if not 1 <= count <= 256:
            raise ValueError("count")
        subnets = block.subnets(new_prefix=block.max_prefixlen - bits)
        made = [str(subnet) for subnet in islice(subnets, count)]
    except (TypeError, ValueError):
        raise _error(f"Template error: Fn::Cidr cannot divide {values}") from None
    if len(made) < count:
        raise _error(f"Template error: Fn::Cidr cannot take {count} subnets from {values[0]}")
    return made


def _get_azs(argument: Any, scope: Scope, depth: int) -> Any:
    region = resolve(argument, scope, depth) or scope.parameters["AWS::Region"]
    if not isinstance(region, str):
        raise _error("Template error: Fn::GetAZs cannot depend on a resource; give it a region")
    return aws_types.zones(region)


def _import_value(argument: Any, scope: Scope, depth: int) -> Any:
    name = resolve(argument, scope, depth)
    if isinstance(name, Unknown):
        raise _error(
            "Template error: the attribute in Fn::ImportValue must not depend on any resources, imported values, or Fn::GetAZs"
        )
    if isinstance(name, dict | list) or name is NO_VALUE:
        raise _error(
            "Template error: the attribute in Fn::ImportValue must be a string or a function that returns a string"
        )
    return scope.imported(text_of(name))


def _if(argument: Any, scope: Scope, depth: int) -> Any:
    if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):
        raise _error("Template error: Fn::If requires a list argument with three elements")
    return resolve(argument[1 if scope.condition(argument[0]) else 2], scope, depth)


def _length(argument: Any, scope: Scope, depth: int) -> Any:
    items = resolve(argument, scope, depth)
    if isinstance(items, Unknown):
        return items
    if not isinstance(items, list):
        raise _error(
            "Template error: Fn::Length must be given a list, or a function that gives one"
        )
    return len(items)


def _to_json_string(argument: Any, scope: Scope, depth: int) -> Any:
    value = resolve(argument, scope, depth)
    if not isinstance(value, dict | list) or isinstance(value, Unknown):
        raise _error("Template error: Fn::ToJsonString must be given an object or an array")
    unknown = next(unknowns(value), None)
    if unknown is not None:
        return unknown
    return orjson.dumps(value).decode()


def unknowns(value: Any) -> Iterator[Unknown]:
    if isinstance(value, Unknown):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from unknowns(item)


def _transform(argument: Any, _scope: Scope, _depth: int) -> Any:
    name = argument.get("Name") if isinstance(argument, dict) else argument
    raise _error(f"Fn::Transform {name} stands where no transform is applied")


def _only_in_conditions(name: str) -> Callable[[Any, Scope, int], Any]:
    def refuse(_argument: Any, _scope: Scope, _depth: int) -> Any:
        raise _error(
            f"Template error: {name} is only allowed in the Conditions block of the template"
        )

    return refuse


_RUN: dict[str, Callable[[Any, Scope, int], Any]] = {
    "Fn::Base64": _base64,
    "Fn::GetAtt": _get_att,
    "Fn::GetAZs": _get_azs,
    "Fn::ImportValue": _import_value,
    "Fn::Join": _join,
    "Fn::Split": _split,
    "Fn::FindInMap": _find_in_map,
    "Fn::Select": _select,
    "Ref": _ref,
    "Fn::Equals": _only_in_conditions("Fn::Equals"),
    "Fn::If": _if,
    "Fn::Not": _only_in_conditions("Fn::Not"),
    "Fn::And": _only_in_conditions("Fn::And"),
    "Fn::Or": _only_in_conditions("Fn::Or"),
    "Fn::Sub": _sub,
    "Fn::Cidr": _cidr,
    "Fn::Transform": _transform,
    "Fn::Length": _length,
    "Fn::ToJsonString": _to_json_string,
}
FUNCTIONS = frozenset(_RUN)
EXTENSIONS = frozenset({"Fn::Length", "Fn::ToJsonString"})
"""Functions of the transform AWS::LanguageExtensions."""


# -- conditions


@dataclass
class RuleValues:
    """Values that only Rules may ask for: those of all parameters of a type, and what AWS knows of what a value names."""

    declared: Mapping[str, str]
    """Parameter -> its type."""

    def of(self, node: Any, scope: Scope, depth: int) -> Any:
        name = function_of(node) if isinstance(node, dict) else None
        if name == "Fn::RefAll":
            kind = node[name]
            if kind == aws_types.ZONE:
                return resolve({"Fn::GetAZs": ""}, scope, depth)
            raise _error(
                f"Rules: Fn::RefAll of {kind} is not offered by Stratolite: its service has none of them here"
            )
        if name in ("Fn::ValueOf", "Fn::ValueOfAll"):
            of = node[name][0] if isinstance(node[name], list) and node[name] else node[name]
            kind = self.declared.get(of, of) if isinstance(of, str) else "?"
            raise _error(
                f"Rules: {name} of {kind} is not offered by Stratolite: its service has no attributes of them here"
            )
        return resolve(node, scope, depth)


def truth(node: Any, scope: Scope, depth: int = 0, *, rules: RuleValues | None = None) -> bool:
    """Whether a condition holds; with ``rules`` also the functions that only Rules may use."""
    value = resolve if rules is None else rules.of
    if depth > DEPTH_MAX:
        raise _error("Template error: conditions are nested too deep")
    if isinstance(node, dict) and len(node) == 1:
        ((name, argument),) = node.items()
        if name == "Condition" and isinstance(argument, str):
            return scope.condition(argument)
        if name == "Fn::Not" and isinstance(argument, list) and len(argument) == 1:
            return not truth(argument[0], scope, depth + 1, rules=rules)
        if name in ("Fn::And", "Fn::Or"):
            if not isinstance(argument, list) or not 2 <= len(argument) <= 10:
                raise _error(
                    f"Template error: every {name} object requires a list of at least 2 and at most 10 boolean parameters."
                )
            verdicts = [truth(item, scope, depth + 1, rules=rules) for item in argument]
            return all(verdicts) if name == "Fn::And" else any(verdicts)
        if name == "Fn::Equals":
            if not isinstance(argument, list) or len(argument) != 2:
                raise _error(
                    "Template error: every Fn::Equals object requires a list of 2 string parameters."
                )
            left: Any = value(argument[0], scope, depth + 1)
            right: Any = value(argument[1], scope, depth + 1)
            if has_unknown(left) or has_unknown(right):
                raise _error("Template error: conditions cannot depend on resources")
            return bool(_comparable(left) == _comparable(right))
        if rules and name in _RULES and isinstance(argument, list) and len(argument) == 2:
            sides = [value(side, scope, depth + 1) for side in argument]
            few, many = (
                [text_of(v) for v in s] if isinstance(s, list) else [text_of(s)] for s in sides
            )
            return _RULES[name](few, many)
    raise _error(
        "Template format error: Every Condition member must be a boolean function (Fn::And, Fn::Equals, Fn::Not, Fn::Or or Condition)"
    )


_RULES: dict[str, Callable[[list[str], list[str]], bool]] = {
    "Fn::Contains": lambda values, wanted: all(w in values for w in wanted),
    "Fn::EachMemberEquals": lambda values, wanted: all(v == w for v in values for w in wanted),
    "Fn::EachMemberIn": lambda values, allowed: all(v in allowed for v in values),
}
RULE_FUNCTIONS = frozenset(_RULES)
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-rules.html"""


def _comparable(value: Any) -> Any:
    return value if isinstance(value, dict | list) or value is NO_VALUE else text_of(value)
