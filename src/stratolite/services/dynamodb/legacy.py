"""The parameters from before expressions: Expected, AttributeUpdates, QueryFilter, ScanFilter, AttributesToGet.

They become the same tests and changes that expressions compile to.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LegacyConditionalParameters.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stratolite.services.dynamodb.conditions import (
    COMPARISONS,
    Test,
    Values,
    begins_with,
    between,
    contains,
    same,
)
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Path
from stratolite.services.dynamodb.keyconditions import LENGTHS, check_condition_map
from stratolite.services.dynamodb.updates import Apply, added, arithmetic, taken
from stratolite.services.dynamodb.values import Item, Value, checked_size, kind_of

_INVALID = "One or more parameter values were invalid: "

_Relation = Callable[[Value | None, list[Value]], bool]
_RELATIONS: dict[str, _Relation] = {
    "EQ": lambda x, v: same(x, v[0]),
    "NE": lambda x, v: not same(x, v[0]),
    "LE": lambda x, v: COMPARISONS["<="](x, v[0]),
    "LT": lambda x, v: COMPARISONS["<"](x, v[0]),
    "GE": lambda x, v: COMPARISONS[">="](x, v[0]),
    "GT": lambda x, v: COMPARISONS[">"](x, v[0]),
    "NULL": lambda x, _: x is None,
    "NOT_NULL": lambda x, _: x is not None,
    "CONTAINS": lambda x, v: contains(x, v[0]),
    "NOT_CONTAINS": lambda x, v: x is not None and not contains(x, v[0]),
    "BEGINS_WITH": lambda x, v: begins_with(x, v[0]),
    "IN": lambda x, v: any(same(x, each) for each in v),
    "BETWEEN": lambda x, v: between(x, v[0], v[1]),
}


def _test(parts: list[tuple[str, str, list[Value]]], operator: str | None) -> Test:
    bound = [(name, _RELATIONS[relation], values) for name, relation, values in parts]
    together = any if operator == "OR" else all

    def test(item: Item, _: Values) -> bool:
        return together(relation(item.get(name), values) for name, relation, values in bound)

    return test


def filter_test(conditions: Mapping[str, Any], operator: str | None) -> Test | None:
    """QueryFilter or ScanFilter as a test."""
    check_condition_map(conditions)
    parts = [
        (name, c["ComparisonOperator"], c.get("AttributeValueList") or [])
        for name, c in conditions.items()
    ]
    return _test(parts, operator) if parts else None


def expected_test(request: Mapping[str, Any]) -> Test | None:
    """Expected and ConditionalOperator as a test, None without them."""
    expected, operator = request.get("Expected"), request.get("ConditionalOperator")
    if expected is None:
        if operator is not None:
            raise invalid(
                _INVALID + "ConditionalOperator cannot be used without Filter or Expected"
            )
        return None
    if operator is not None and not expected:
        raise invalid(_INVALID + "ConditionalOperator cannot be used without Filter or Expected")
    parts = [_expected(name, condition) for name, condition in expected.items()]
    return _test(parts, operator) if parts else None


def _expected(name: str, condition: Mapping[str, Any]) -> tuple[str, str, list[Value]]:
    operator, values = condition.get("ComparisonOperator"), condition.get("AttributeValueList")
    value, exists = condition.get("Value"), condition.get("Exists")
    for given in [*(values or []), *([value] if value is not None else [])]:
        checked_size(given)
    if values is not None and value is not None:
        raise invalid(
            f"{_INVALID}Value and AttributeValueList cannot be used together for Attribute: {name}"
        )
    if operator is not None:
        if exists is not None:
            raise invalid(
                f"{_INVALID}Exists and ComparisonOperator cannot be used together for Attribute: {name}"
            )
        if operator not in ("NULL", "NOT_NULL") and values is None and value is None:
            raise invalid(
                f"{_INVALID}Value or AttributeValueList must be used with ComparisonOperator: {operator} "
                f"for Attribute: {name}"
            )
        given = values if values is not None else [value] if value is not None else []
        low, high = LENGTHS[operator]
        if not low <= len(given) <= high:
            raise invalid(
                f"{_INVALID}Invalid number of argument(s) for the {operator} ComparisonOperator"
            )
        check_condition_map({name: {"ComparisonOperator": operator, "AttributeValueList": given}})
        return name, operator, given
    if values is not None:
        raise invalid(
            f"{_INVALID}AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
        )
    if exists is False:
        if value is not None:
            raise invalid(
                f"{_INVALID}Value cannot be used when Exists is false for Attribute: {name}"
            )
        return name, "NULL", []
    if value is None:
        shown = "null" if exists is None else "true"
        raise invalid(
            f"{_INVALID}Value must be provided when Exists is {shown} for Attribute: {name}"
        )
    return name, "EQ", [value]


def attribute_updates(updates: Mapping[str, Any]) -> tuple[Apply, list[Path]]:
    """AttributeUpdates as a change, and the attributes it touches."""
    for update in updates.values():
        value, action = update.get("Value"), update.get("Action", "PUT")
        if value is None:
            if action != "DELETE":
                raise invalid(
                    _INVALID + "Only DELETE action is allowed when no attribute value is specified"
                )
            continue
        checked_size(value)
        kind = kind_of(value)
        if action == "DELETE" and kind not in ("SS", "NS", "BS"):
            raise invalid(
                f"{_INVALID}DELETE action with value is not supported for the type {kind}"
            )
        if action == "ADD" and kind not in ("L", "SS", "NS", "BS", "N"):
            raise invalid(f"{_INVALID}ADD action is not supported for the type {kind}")

    def apply(item: Item, _: Values) -> None:
        for name, update in updates.items():
            _update(item, name, update.get("Action", "PUT"), update.get("Value"))

    return apply, [(name,) for name in updates]


def _update(item: Item, name: str, action: str, value: Value | None) -> None:
    if value is None:
        item.pop(name, None)
        return
    if action == "PUT":
        item[name] = value
        return
    kind, old = kind_of(value), item.get(name)
    if old is not None and kind not in old:
        raise invalid("Type mismatch for attribute to update")
    if action == "DELETE":
        left = taken(old, value)
        if left is None:
            del item[name]
        elif left:
            item[name] = left
    elif old is None:
        item[name] = value
    elif kind == "N":
        item[name] = {"N": arithmetic(old["N"], value["N"])}
    elif kind == "L":
        item[name] = {"L": old["L"] + value["L"]}
    else:
        item[name] = added(old, value)


def creates_item(updates: Mapping[str, Any]) -> bool:
    """Whether these updates make an item that was not there: a DELETE alone does not."""
    return not updates or any(u.get("Action", "PUT") != "DELETE" for u in updates.values())


def attributes_to_get(request: Mapping[str, Any]) -> list[Path] | None:
    names = request.get("AttributesToGet")
    if names is None:
        return None
    for i, name in enumerate(names):
        if name in names[:i]:
            raise invalid(f"{_INVALID}Duplicate value in attribute name: {name}")
    return [(name,) for name in names]
