"""Which rows a Query reads: KeyConditionExpression or KeyConditions as one hash value and one range of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Node
from stratolite.services.dynamodb.values import Value, checked_size, kind_of


class KeyCondition(NamedTuple):
    """``operator`` is EQ, LT, LE, GT, GE, BEGINS_WITH or BETWEEN; ``values`` its one or two values."""

    operator: str
    values: list[Value]


KeyConditions = dict[str, KeyCondition]

_OPERATORS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
_TURNED = {"EQ": "EQ", "LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE"}


def from_expression(node: Node, values: Mapping[str, Value]) -> KeyConditions:
    found: KeyConditions = {}
    _collect(node, values, found)
    return found


def _collect(node: Node, values: Mapping[str, Value], found: KeyConditions) -> None:
    kind = node[0]
    if kind == "and":
        _collect(node[1], values, found)
        _collect(node[2], values, found)
        return
    if kind in ("or", "not", "in"):
        raise invalid(f"Invalid operator used in KeyConditionExpression: {kind.upper()}")
    if kind == "cmp":
        if node[1] == "<>":
            raise invalid("Invalid operator used in KeyConditionExpression: <>")
        operator, operands = _OPERATORS[node[1]], [node[2], node[3]]
    elif kind == "between":
        operator, operands = "BETWEEN", list(node[1:])
    else:
        if node[1] != "begins_with":
            raise invalid(f"Invalid operator used in KeyConditionExpression: {node[1]}")
        operator, operands = "BEGINS_WITH", node[2]
    if operator in ("BETWEEN", "BEGINS_WITH") and operands[0][0] != "path":
        shown = "BETWEEN" if operator == "BETWEEN" else "begins_with"
        raise invalid(
            f"Invalid condition in KeyConditionExpression: {shown} operator must have the key "
            "attribute as its first operand"
        )
    name, at = None, 0
    for i, operand in enumerate(operands):
        if operand[0] == "fn":
            raise invalid("KeyConditionExpressions cannot contain nested operations")
        if operand[0] == "path":
            if name is not None:
                raise invalid(
                    "Invalid condition in KeyConditionExpression: "
                    "Multiple attribute names used in one condition"
                )
            if len(operand[1]) > 1:
                raise invalid("KeyConditionExpressions cannot have conditions on nested attributes")
            name, at = operand[1][0], i
    if name is None:
        raise invalid("Invalid condition in KeyConditionExpression: No key attribute specified")
    if name in found:
        raise invalid(
            "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key"
        )
    rest = [values[o[1]] for i, o in enumerate(operands) if i != at]
    found[name] = KeyCondition(_TURNED[operator] if at else operator, rest)


LENGTHS = {
    "NULL": (0, 0),
    "NOT_NULL": (0, 0),
    "EQ": (1, 1),
    "NE": (1, 1),
    "LE": (1, 1),
    "LT": (1, 1),
    "GE": (1, 1),
    "GT": (1, 1),
    "CONTAINS": (1, 1),
    "NOT_CONTAINS": (1, 1),
    "BEGINS_WITH": (1, 1),
    "IN": (1, 1 << 30),
    "BETWEEN": (2, 2),
}
_TYPES_OF = {
    "LE": "SNB",
    "LT": "SNB",
    "GE": "SNB",
    "GT": "SNB",
    "CONTAINS": "SNB",
    "NOT_CONTAINS": "SNB",
    "BEGINS_WITH": "SB",
    "IN": "SNB",
    "BETWEEN": "SNB",
}


def check_condition_map(conditions: Mapping[str, Any]) -> None:
    """What DynamoDB asks of KeyConditions, QueryFilter and ScanFilter alike."""
    from stratolite.services.dynamodb.conditions import COMPARISONS

    for condition in conditions.values():
        operator, values = (
            condition["ComparisonOperator"],
            condition.get("AttributeValueList") or [],
        )
        for value in values:
            checked_size(value)
        low, high = LENGTHS[operator]
        if not low <= len(values) <= high:
            raise invalid(
                "One or more parameter values were invalid: "
                f"Invalid number of argument(s) for the {operator} ComparisonOperator"
            )
        kinds = {kind_of(value) for value in values}
        if len(kinds) > 1:
            raise invalid(
                "One or more parameter values were invalid: "
                "AttributeValues inside AttributeValueList must be of same type"
            )
        for kind in kinds:
            if operator in _TYPES_OF and kind not in _TYPES_OF[operator]:
                raise invalid(
                    f"One or more parameter values were invalid: ComparisonOperator {operator} "
                    f"is not valid for {kind} AttributeValue type"
                )
        if operator == "BETWEEN" and COMPARISONS[">"](values[0], values[1]):
            raise invalid(
                "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
            )


def from_legacy(conditions: Mapping[str, Any]) -> KeyConditions:
    check_condition_map(conditions)
    return {
        name: KeyCondition(c["ComparisonOperator"], c.get("AttributeValueList") or [])
        for name, c in conditions.items()
    }
