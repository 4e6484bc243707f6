"""A PartiQL statement with its parameters: checked, and taken apart into the keys it names and what else it asks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.services.dynamodb import keyconditions, partiql
from stratolite.services.dynamodb.conditions import Test, compile_test
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.grammar import Node
from stratolite.services.dynamodb.keyconditions import KeyCondition, KeyConditions
from stratolite.services.dynamodb.table import KeyAttribute, Table
from stratolite.services.dynamodb.values import Item, Value, checked_size, kind_of

_EXPONENT = re.compile(r"[+-]?[\d.]+[eE]([+-]?\d+)").fullmatch
_NESTED = "Nesting Levels have exceeded supported limits: "
_MANDATORY = "Where clause does not contain a mandatory equality on all key attributes"


class Bound(NamedTuple):
    """A statement and the values of its literals and parameters by their node names."""

    statement: partiql.Statement
    values: dict[str, Value]

    def value(self, node: Node) -> Value:
        return self.values[node[1]]

    def item(self) -> Item:
        """What an INSERT puts."""
        return {
            name: partiql.composed(node, self.values) for name, node in self.statement.item.items()
        }


def bind(text: str, parameters: Sequence[Any] | None) -> Bound:
    """Raises ValidationException for a statement that cannot be, or parameters that do not fit it."""
    statement = partiql.parse(text)
    given = list(parameters or ())
    for value in given:
        _check_parameter(value)
    if len(given) != statement.parameters:
        raise invalid("Number of parameters in request and statement don't match.")
    values = dict(statement.literals)
    for i, value in enumerate(given):
        values[f"?{i}"] = value
    for name, node in statement.composed.items():
        values[name] = partiql.composed(node, values)
    for operator, operand in statement.checks:
        if operand[0] == "value" and (kind := kind_of(values[operand[1]])) not in ("S", "N", "B"):
            raise invalid(
                "Incorrect operand type for operator or function; "
                f"operator or function: {operator}, operand type: {kind}"
            )
    return Bound(statement, values)


def _check_parameter(value: Any) -> None:
    for text in _numbers(value):
        found = _EXPONENT(text) if isinstance(text, str) else None
        if found is not None and not -(2**31) < int(found[1][:15]) < 2**31:
            raise invalid(f"The parameter cannot be converted to a numeric value: {text}")
    try:
        checked_size(value)
    except Fault as fault:
        if fault.message.startswith(_NESTED):
            raise invalid(
                f"{_NESTED}Attributes in the item have nested levels beyond supported limit"
            ) from None
        raise


def _numbers(value: Any, depth: int = 0) -> Iterator[Any]:
    """The texts of all numbers in a value, as far down as values may nest."""
    if not isinstance(value, dict) or depth > 32:
        return
    for kind, inner in value.items():
        if kind == "N":
            yield inner
        elif kind == "NS" and isinstance(inner, list):
            yield from inner
        elif kind == "L" and isinstance(inner, list):
            for each in inner:
                yield from _numbers(each, depth + 1)
        elif kind == "M" and isinstance(inner, dict):
            for each in inner.values():
                yield from _numbers(each, depth + 1)


def conjuncts(node: Node | None) -> list[Node]:
    if node is None:
        return []
    if node[0] == "and":
        return [*conjuncts(node[1]), *conjuncts(node[2])]
    return [node]


def all_of(nodes: Sequence[Node]) -> Test | None:
    """A test that all of them hold; None where there are none."""
    if not nodes:
        return None
    tests = [compile_test(node) for node in nodes]
    if len(tests) == 1:
        return tests[0]
    return lambda item, values: all(test(item, values) for test in tests)


def _equality(node: Node, name: str) -> Node | None:
    """The value node in ``name = value``."""
    if node[0] != "cmp" or node[1] != "=":
        return None
    for x, y in ((node[2], node[3]), (node[3], node[2])):
        if x == ("path", (name,)) and y[0] == "value":
            return y  # type: ignore[no-any-return]
    return None


def single_key(bound: Bound, table: Table, *, message: str = _MANDATORY) -> tuple[Item, list[Node]]:
    """(the key an INSERT's, UPDATE's or DELETE's WHERE names, the rest of it)."""
    key: Item = {}
    rest = []
    for node in conjuncts(bound.statement.where):
        for attribute in table.keys:
            value = _equality(node, attribute.name)
            if value is None:
                continue
            given = bound.value(value)
            if attribute.name not in key:
                key[attribute.name] = given
            elif key[attribute.name] != given:
                raise invalid(
                    f"Multiple conditions on same key {attribute.name}. "
                    "Only single item Update/Insert/Delete are supported"
                )
            break
        else:
            rest.append(node)
    if len(key) != len(table.keys):
        raise invalid(message)
    for attribute in table.keys:
        if attribute.kind not in key[attribute.name]:
            raise invalid(
                "Key attribute's data type should match its data type in table's schema: "
                f"Key {attribute.name}"
            )
    return {attribute.name: key[attribute.name] for attribute in table.keys}, rest


class Access(NamedTuple):
    """How a SELECT reaches its rows: ranges of keys, and a filter for what they hold."""

    hashes: list[KeyConditions] | None
    """Values of the hash key, an equality for each of its attributes; None: all of the table or index is read."""
    ranges: KeyConditions
    """Conditions on the range key, from the left, the last of them may be a range."""
    rest: list[Node]


def access(bound: Bound, keys: list[KeyAttribute]) -> Access:
    parts = conjuncts(bound.statement.where)
    rest = list(parts)
    hashes: list[KeyConditions] = [{}]
    for key in (key for key in keys if key.is_hash):
        found = _choices(bound, rest, key.name)
        if found is None:
            return Access(None, {}, parts)
        node, choices = found
        rest.remove(node)
        for given in choices:
            _check_kind(key, given)
        hashes = [
            {**one, key.name: KeyCondition("EQ", [given])} for one in hashes for given in choices
        ]
    ranges: KeyConditions = {}
    for key in (key for key in keys if not key.is_hash):
        for node in rest:
            condition = _range(node, key.name, bound.values)
            if condition is not None and all(key.kind in v for v in condition.values):
                ranges[key.name] = condition
                rest.remove(node)
                break
        if key.name not in ranges or ranges[key.name].operator != "EQ":
            break
    return Access(hashes, ranges, rest)


def _choices(bound: Bound, nodes: list[Node], name: str) -> tuple[Node, list[Value]] | None:
    """What ``name`` may be, by the first of ``nodes`` that says so with ``=`` or IN."""
    for node in nodes:
        value = _equality(node, name)
        if value is not None:
            return node, [bound.value(value)]
        if node[0] == "in" and node[1] == ("path", (name,)) and _all_values(node[2]):
            choices: list[Value] = []
            for choice in node[2]:
                if bound.value(choice) not in choices:
                    choices.append(bound.value(choice))
            return node, choices
    return None


def _all_values(nodes: list[Node]) -> bool:
    return all(node[0] == "value" for node in nodes)


def _check_kind(attribute: KeyAttribute, value: Value) -> None:
    if attribute.kind not in value:
        raise invalid(
            "One or more parameter values were invalid: "
            "Condition parameter type does not match schema type"
        )


def _range(node: Node, name: str, values: Mapping[str, Value]) -> KeyCondition | None:
    """``node`` as a condition on the range key ``name``, if it is one."""
    if node[0] not in ("cmp", "between", "fn"):
        return None
    operands = node[2] if node[0] == "fn" else node[2:] if node[0] == "cmp" else node[1:]
    paths = [operand for operand in operands if operand[0] != "value"]
    if paths != [("path", (name,))] or (node[0] != "cmp" and operands[0] != paths[0]):
        return None
    if (node[0] == "fn" and node[1] != "begins_with") or (node[0] == "cmp" and node[1] == "<>"):
        return None
    found = keyconditions.from_expression(node, values)[name]
    if found.operator == "BEGINS_WITH" and "N" in found.values[0]:
        return None
    return found


def paths_in(nodes: Sequence[Node]) -> Iterator[str]:
    """First names of all paths in conditions, in order."""
    for node in nodes:
        if node[0] == "path":
            yield node[1][0]
            continue
        parts = node[2] if node[0] == "fn" else [n for n in node[1:] if not isinstance(n, str)]
        for part in parts:
            yield from paths_in(part if isinstance(part, list) else [part])
