"""Condition trees compiled to closures: ``test(item, values) -> bool``.

``item`` is the parsed item ({} if there is none), ``values`` ExpressionAttributeValues, both canonical.
"""

from __future__ import annotations

import binascii
import operator
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from stratolite.services.dynamodb.grammar import Node, Path
from stratolite.services.dynamodb.numerals import compare_key
from stratolite.services.dynamodb.values import SCALARS, Item, Value, equal, kind_of

Values = Mapping[str, Value]
Test = Callable[[Item, Values], bool]
Bound = Callable[[Item], bool]
Get = Callable[[Item, Values], Value | None]


def compile_test(node: Node) -> Test:
    kind = node[0]
    if kind == "and":
        left, right = compile_test(node[1]), compile_test(node[2])
        return lambda item, values: left(item, values) and right(item, values)
    if kind == "or":
        left, right = compile_test(node[1]), compile_test(node[2])
        return lambda item, values: left(item, values) or right(item, values)
    if kind == "not":
        inner = compile_test(node[1])
        return lambda item, values: not inner(item, values)
    if kind == "cmp":
        compare = COMPARISONS[node[1]]
        x, y = compile_operand(node[2]), compile_operand(node[3])
        return lambda item, values: compare(x(item, values), y(item, values))
    if kind == "between":
        x, low, high = (compile_operand(n) for n in node[1:])
        return lambda item, values: between(x(item, values), low(item, values), high(item, values))
    if kind == "in":
        x, choices = compile_operand(node[1]), [compile_operand(n) for n in node[2]]

        def is_in(item: Item, values: Values) -> bool:
            found = x(item, values)
            return any(same(found, choice(item, values)) for choice in choices)

        return is_in
    assert kind == "fn", kind
    return _compile_function(node[1], node[2])


def needles(node: Node, values: Values) -> list[bytes]:
    """Bytes that the JSON of every item has for which the condition holds: one without them need not be parsed.

    True because items are stored as orjson writes them: no spaces, one form for one string or number.
    """
    kind = node[0]
    if kind == "and":
        return [*needles(node[1], values), *needles(node[2], values)]
    if kind == "cmp" and node[1] == "=":
        for x, y in ((node[2], node[3]), (node[3], node[2])):
            if x[0] == "path" and len(x[1]) == 1 and y[0] == "value":
                value = values[y[1]]
                if kind_of(value) in SCALARS:
                    return [orjson.dumps({x[1][0]: value})[1:-1]]
    if kind == "fn" and node[1] == "begins_with":
        x, y = node[2]
        if x[0] == "path" and len(x[1]) == 1 and y[0] == "value" and "S" in values[y[1]]:
            return [orjson.dumps({x[1][0]: values[y[1]]})[1:-3]]
    if kind == "fn" and node[1] == "attribute_exists" and len(node[2][0][1]) == 1:
        return [orjson.dumps({node[2][0][1][0]: {}})[1:-2]]
    return []


def bind(node: Node, values: Values) -> Bound:
    """The test of one request: what compares an attribute with a value knows the value already.

    A Scan asks it of every row, where looking the same value up and reading it as a number again costs more than the rest.
    """
    kind = node[0]
    if kind == "and":
        left, right = bind(node[1], values), bind(node[2], values)
        return lambda item: left(item) and right(item)
    if kind == "or":
        left, right = bind(node[1], values), bind(node[2], values)
        return lambda item: left(item) or right(item)
    if kind == "not":
        inner = bind(node[1], values)
        return lambda item: not inner(item)
    operands = {"cmp": node[2:], "between": node[1:]}.get(kind, ())
    if kind == "fn" and node[1] == "contains":
        operands = node[2]
    path, *others = operands or (("", ()),)
    if path[0] == "path" and len(path[1]) == 1 and all(other[0] == "value" for other in others):
        known = [values[other[1]] for other in others]
        found = _bind_known(str(path[1][0]), node[1] if kind != "between" else kind, known)
        if found is not None:
            return found
    test = compile_test(node)
    return lambda item: test(item, values)


_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _bind_known(name: str, relation: str, known: list[Value]) -> Bound | None:
    """``name relation known``; None where there is no short way."""
    value = known[0]
    kind, first = kind_of(value), value[kind_of(value)]
    if relation in ("=", "<>") and kind in SCALARS:
        if relation == "=":
            return lambda item: item.get(name) == value
        return lambda item: item.get(name) != value
    if relation == "contains" and kind == "S":

        def has(item: Item) -> bool:
            found = item.get(name)
            text = found.get("S") if found is not None else None
            return first in text if text is not None else contains(found, value)

        return has
    if kind not in ("S", "N"):
        return None
    form: Callable[[str], Any] = compare_key if kind == "N" else str
    if relation == "between":
        if kind_of(known[1]) != kind:
            return None
        low, high = form(first), form(known[1][kind])

        def lies(item: Item) -> bool:
            found = item.get(name)
            text = found.get(kind) if found is not None else None
            return text is not None and low <= form(text) <= high

        return lies
    sign = _SIGNS.get(relation)
    if sign is None:
        return None
    bound = form(first)

    def compares(item: Item) -> bool:
        found = item.get(name)
        text = found.get(kind) if found is not None else None
        return text is not None and sign(form(text), bound)

    return compares


def _compile_function(name: str, args: list[Node]) -> Test:
    first = compile_operand(args[0])
    if name == "attribute_exists":
        return lambda item, values: first(item, values) is not None
    if name == "attribute_not_exists":
        return lambda item, values: first(item, values) is None
    second = compile_operand(args[1])
    relation = _RELATIONS[name]
    return lambda item, values: relation(first(item, values), second(item, values))


def compile_operand(node: Node) -> Get:
    kind = node[0]
    if kind == "path":
        return compile_path(node[1])
    if kind == "value":
        name = node[1]
        return lambda _, values: values[name]
    assert node[1] == "size", node
    inner = compile_operand(node[2][0])
    return lambda item, values: size_of(inner(item, values))


def compile_path(path: Path) -> Get:
    head, rest = path[0], path[1:]
    assert isinstance(head, str), path
    if not rest:
        return lambda item, _: item.get(head)
    return lambda item, _: find(item, path)


def find(item: Item, path: Path) -> Value | None:
    """What lies at ``path``, None if nothing does."""
    value = item.get(path[0])  # type: ignore[arg-type]  # a path starts with a name
    for part in path[1:]:
        if value is None:
            return None
        if isinstance(part, int):
            elements = value.get("L")
            value = elements[part] if elements is not None and part < len(elements) else None
        else:
            members = value.get("M")
            value = members.get(part) if members is not None else None
    return value


def size_of(value: Value | None) -> Value | None:
    """size(): a string's characters (as Java counts them), a binary's bytes, a collection's elements."""
    if value is None:
        return None
    ((kind, inner),) = value.items()
    if kind == "S":
        return {"N": str(len(inner) if inner.isascii() else len(inner.encode("utf-16-le")) // 2)}
    if kind == "B":
        return {"N": str(len(binascii.a2b_base64(inner)))}
    if kind in ("N", "BOOL", "NULL"):
        return None
    return {"N": str(len(inner))}


def same(x: Value | None, y: Value | None) -> bool:
    return x is not None and y is not None and equal(x, y)


def different(x: Value | None, y: Value | None) -> bool:
    """A missing attribute differs from every value."""
    return not same(x, y)


def _rank(x: Value | None, y: Value | None) -> tuple[Any, Any] | None:
    """Two things that order as the values do; None if they do not compare."""
    if x is None or y is None:
        return None
    for kind, a in x.items():
        b = y.get(kind)
        if b is None:
            return None
        if kind == "N":
            return compare_key(a), compare_key(b)
        if kind == "S":
            return a, b
        if kind == "B":
            return binascii.a2b_base64(a), binascii.a2b_base64(b)
    return None


def _less(x: Value | None, y: Value | None) -> bool:
    pair = _rank(x, y)
    return pair is not None and pair[0] < pair[1]


def _less_or_same(x: Value | None, y: Value | None) -> bool:
    pair = _rank(x, y)
    return pair is not None and pair[0] <= pair[1]


COMPARISONS: dict[str, Callable[[Value | None, Value | None], bool]] = {
    "=": same,
    "<>": different,
    "<": _less,
    "<=": _less_or_same,
    ">": lambda x, y: _less(y, x),
    ">=": lambda x, y: _less_or_same(y, x),
}


def between(x: Value | None, low: Value | None, high: Value | None) -> bool:
    return _less_or_same(low, x) and _less_or_same(x, high)


def begins_with(x: Value | None, start: Value | None) -> bool:
    if x is None or start is None:
        return False
    if "S" in x and "S" in start:
        return bool(x["S"].startswith(start["S"]))
    if "B" in x and "B" in start:
        return binascii.a2b_base64(x["B"]).startswith(binascii.a2b_base64(start["B"]))
    return False


def has_type(x: Value | None, name: Value | None) -> bool:
    return x is not None and name is not None and kind_of(x) == name.get("S")


def contains(x: Value | None, wanted: Value | None) -> bool:
    """A part of a string or binary, a member of a set, an element of a list."""
    if x is None or wanted is None:
        return False
    ((kind, inner),) = x.items()
    ((wanted_kind, wanted_inner),) = wanted.items()
    if kind == "L":
        if wanted_kind in SCALARS:  # equal as they are, and found a hundred times faster
            return wanted in inner
        return any(equal(element, wanted) for element in inner)
    if kind == "S" and wanted_kind == "S":
        return wanted_inner in inner
    if kind == "B" and wanted_kind == "B":
        return binascii.a2b_base64(wanted_inner) in binascii.a2b_base64(inner)
    return kind == wanted_kind + "S" and wanted_inner in inner


_RELATIONS: dict[str, Callable[[Value | None, Value | None], bool]] = {
    "begins_with": begins_with,
    "contains": contains,
    "attribute_type": has_type,
}
