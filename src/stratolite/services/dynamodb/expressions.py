"""A request's expressions checked, compiled and kept: the second request of the same form parses nothing.

A form is the expressions' texts, the placeholder names, and the names and types of the values. What depends on
the values themselves (BETWEEN bounds, attribute_type names) is checked every time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from stratolite.errors import Fault
from stratolite.services.dynamodb.conditions import COMPARISONS, Test, compile_test
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import (
    EXPRESSION_SIZE_BYTES_MAX,
    Bad,
    ConditionParser,
    Node,
    Parser,
    Path,
    ProjectionParser,
    UpdateParser,
)
from stratolite.services.dynamodb.updates import Apply, compile_update
from stratolite.services.dynamodb.values import Value, checked_size, kind_of

Request = Mapping[str, Any]

_PLANS_COUNT_MAX = 1000
_PLAN_SIZE_MAX = 20_000
_NO_NAMES: Mapping[str, str] = {}
_TYPES = ("B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M")


class Plan:
    """Compiled expressions; a member is None where the request has none."""

    __slots__ = (
        "bounds",
        "condition",
        "filter",
        "filter_node",
        "heads",
        "key_condition",
        "nested",
        "projection",
        "targets",
        "type_names",
        "update",
    )

    def __init__(self) -> None:
        self.condition: Test | None = None
        self.filter: Test | None = None
        self.filter_node: Node | None = None
        self.key_condition: Node | None = None
        self.projection: list[Path] | None = None
        self.update: Apply | None = None
        self.targets: list[Path] = []
        """The paths an update changes."""
        self.heads: frozenset[str] = frozenset()
        """First names of the filter's paths: they may not be key attributes."""
        self.nested: frozenset[str] = frozenset()
        """First names of all paths with more than one part: they may not be key attributes either."""
        self.bounds: list[tuple[str, str, str]] = []
        """(label, low, high) of values in BETWEEN."""
        self.type_names: list[tuple[str, str]] = []
        """(label, value) of values that name a type."""

    def check_values(self, values: Mapping[str, Value]) -> None:
        for label, low, high in self.bounds:
            _check_bounds(label, values[low], values[high])
        for label, name in self.type_names:
            text = values[name]["S"]
            if text not in _TYPES:
                raise invalid(
                    f"Invalid {label}: Invalid attribute type name found; type: {text}, "
                    "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
                )


EMPTY = Plan()
NO_VALUES: Mapping[str, Value] = {}
_plans: dict[Any, Plan] = {}


def plan(request: Request, labels: tuple[str, ...], legacy: tuple[str, ...] = ()) -> Plan:
    """The plan of ``request``, whose expression members may be ``labels``, in that order.

    ``legacy`` names the parameters that expressions may not be mixed with. Makes the numbers in
    ExpressionAttributeValues canonical. Raises DynamoDB's ValidationException.
    """
    texts = tuple(map(request.get, labels))
    names, values = (
        request.get("ExpressionAttributeNames"),
        request.get("ExpressionAttributeValues"),
    )
    if texts.count(None) == len(labels):
        if names is not None or values is not None:
            check_use(request, labels, legacy)
        return EMPTY
    for name in legacy:
        if name in request:
            check_use(request, labels, legacy)
            break
    form: list[str] = []
    if values is not None:
        if labels[0] == "ProjectionExpression" and texts[0] is not None:
            check_use(request, labels, legacy)
        try:
            _check_values(values, form)
        except Fault:
            _check_names(names)  # what is wrong with them is said first
            raise
    key = (labels, texts, tuple(names.items()) if names else names is None, *form, values is None)
    try:
        found = _plans.get(key)
    except TypeError:
        raise invalid("ExpressionAttributeNames contains invalid value") from None
    if found is None:
        given = [
            (label, text) for label, text in zip(labels, texts, strict=True) if text is not None
        ]
        types = dict(zip(form[::2], form[1::2], strict=True))
        found = _make(given, names, types, values is not None)
        if len(_plans) >= _PLANS_COUNT_MAX:
            _plans.clear()
        if sum(len(str(part)) for part in key) < _PLAN_SIZE_MAX:
            _plans[key] = found
    if found.bounds or found.type_names:
        found.check_values(values or NO_VALUES)
    return found


def check_use(request: Request, labels: tuple[str, ...], legacy: tuple[str, ...] = ()) -> None:
    """Refuse expressions beside legacy parameters, and placeholders without expressions.

    DynamoDB says this before it says what is wrong with any value in the request.
    """
    used = [label for label in labels if request.get(label) is not None]
    if used:
        _refuse_mixing(request, labels, legacy)
    if not used and request.get("ExpressionAttributeNames") is not None:
        raise invalid("ExpressionAttributeNames can only be specified when using expressions")
    with_values = [label for label in labels if label != "ProjectionExpression"]
    if (
        with_values
        and request.get("ExpressionAttributeValues") is not None
        and not any(label in with_values for label in used)
    ):
        verb = "are" if len(with_values) > 1 else "is"
        raise invalid(
            "ExpressionAttributeValues can only be specified when using expressions: "
            f"{' and '.join(with_values)} {verb} null"
        )


def _check_names(names: Mapping[str, str] | None) -> None:
    if names is not None:
        if not names:
            raise invalid("ExpressionAttributeNames must not be empty")
        for key in names:
            _check_placeholder("ExpressionAttributeNames", key, "#")


def _refuse_mixing(request: Request, labels: tuple[str, ...], legacy: tuple[str, ...]) -> None:
    others = [name for name in legacy if request.get(name) is not None]
    if others == ["KeyConditions"] and request.get("KeyConditionExpression") is None:
        return
    if others:
        used = [label for label in labels if request.get(label) is not None]
        raise invalid(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(others)}}} "
            f"Expression parameters: {{{', '.join(used)}}}"
        )


def _check_values(values: Mapping[str, Any], form: list[str]) -> None:
    """Check the values and make them canonical; add each one's name and type to ``form``."""
    if not values:
        raise invalid("ExpressionAttributeValues must not be empty")
    for name, value in values.items():
        try:
            checked_size(value)
        except Fault as fault:
            for key in values:
                _check_placeholder("ExpressionAttributeValues", key, ":")
            if fault.code == "ValidationException":
                raise invalid(
                    f"ExpressionAttributeValues contains invalid value: {fault.message} for key {name}"
                ) from None
            raise
        form.append(name)
        form.extend(value)


_PLACEHOLDER = re.compile(r"[#:][0-9a-zA-Z_]+", re.ASCII).fullmatch


def _check_placeholder(member: str, key: str, sign: str) -> None:
    if not _PLACEHOLDER(key) or key[0] != sign:
        raise invalid(f'{member} contains invalid key: Syntax error; key: "{key}"')


def _make(
    texts: list[tuple[str, str]],
    names: Mapping[str, str] | None,
    types: Mapping[str, str],
    has_values: bool,
) -> Plan:
    _check_names(names)
    for key in types:
        _check_placeholder("ExpressionAttributeValues", key, ":")
    made = Plan()
    used_names: set[str] = set()
    used_values: set[str] = set()
    nested: set[str] = set()
    for label, text in sorted(texts, key=lambda pair: _ORDER.index(pair[0])):
        parser = _parse(made, label, text, names or _NO_NAMES, types)
        used_names |= parser.used_names
        used_values |= parser.used_values
        nested |= {str(path[0]) for path in parser.paths if len(path) > 1}
        if label == "FilterExpression":
            made.heads = frozenset(str(path[0]) for path in parser.paths)
    made.nested = frozenset(nested)
    for member, given, used in (
        ("ExpressionAttributeNames", names or {}, used_names),
        ("ExpressionAttributeValues", types if has_values else {}, used_values),
    ):
        unused = [key for key in given if key not in used]
        if unused:
            raise invalid(
                f"Value provided in {member} unused in expressions: keys: {{{', '.join(unused)}}}"
            )
    return made


_ORDER = (
    "UpdateExpression",
    "ConditionExpression",
    "KeyConditionExpression",
    "FilterExpression",
    "ProjectionExpression",
)


def _parse(
    made: Plan, label: str, text: str, names: Mapping[str, str], types: Mapping[str, str]
) -> Parser:
    if not text.strip(" \t\r\n"):
        raise invalid(f"Invalid {label}: The expression can not be empty;")
    if (length := len(text.encode())) > EXPRESSION_SIZE_BYTES_MAX:
        raise invalid(
            f"Invalid {label}: Expression size has exceeded the maximum allowed size; expression size: {length}"
        )
    try:
        if label == "ProjectionExpression":
            projection = ProjectionParser(text, names)
            made.projection = projection.parse()
            return projection
        if label == "UpdateExpression":
            update = UpdateParser(text, names, types)
            made.update = compile_update(update.parse())
            made.targets = update.targets
            return update
        condition = ConditionParser(text, names, types)
        node = condition.parse()
    except Bad as error:
        raise invalid(f"Invalid {label}: {error}") from None
    made.bounds += [(label, low, high) for low, high in condition.compared]
    made.type_names += [(label, name) for name in condition.type_names]
    if label == "KeyConditionExpression":
        made.key_condition = node
    elif label == "FilterExpression":
        made.filter, made.filter_node = compile_test(node), node
    else:
        made.condition = compile_test(node)
    return condition


def _check_bounds(label: str, low: Value, high: Value) -> None:
    low_kind, high_kind = kind_of(low), kind_of(high)
    if low_kind != high_kind:
        problem = "same data type for lower and upper bounds"
    elif COMPARISONS[">"](low, high):
        problem = "upper bound to be greater than or equal to lower bound"
    else:
        return
    raise invalid(
        f"Invalid {label}: The BETWEEN operator requires {problem}; "
        f"lower bound operand: AttributeValue: {{{low_kind}:{low[low_kind]}}}, "
        f"upper bound operand: AttributeValue: {{{high_kind}:{high[high_kind]}}}"
    )
