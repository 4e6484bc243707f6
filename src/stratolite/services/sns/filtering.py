"""Filter policies of subscriptions: checked, compiled, asked about a message.

A policy is an object of keys, each with a list of alternatives; all keys must match. Alternatives are plain
values or {operator: operand}. With the scope MessageBody keys may hold objects, too, and a key with dots is the path
that it spells, in the policy as in the message. ``$or`` holds policies of which one must match.
Source  https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
        https://docs.aws.amazon.com/sns/latest/dg/string-value-matching.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

Match = Callable[[Any], bool]
"""Of one value of the message."""
_KEYS_MAX = 5
_COMBINATIONS_MAX = 150
_BYTES_MAX = 256 << 10
_TESTS = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_NUMBER_MAX = 1e9


class BadFilter(ValueError):
    """What is wrong with a policy, in AWS's words."""


class Filter:
    """A compiled policy; ``matches`` says whether a message is wanted."""

    def __init__(self, policy: dict[str, Any], scope: str) -> None:
        self._of_body = scope == "MessageBody"
        self._tree = _Node(policy, paths=self._of_body)

    def matches(self, body: str, attributes: Mapping[str, tuple[str, str]]) -> bool:
        """``attributes``: name -> (data type, value; base64 where binary)."""
        if not self._of_body:
            return self._tree.matches(_flat(attributes))
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        return isinstance(said, dict) and self._tree.matches(_unfolded(said))

    def why_not(self, body: str, attributes: Mapping[str, tuple[str, str]]) -> str:
        """Why a message that does not match was left out, as the metrics of a topic call it."""
        if self._of_body:
            return "MessageBody" if isinstance(_parsed(body), dict) else "InvalidMessageBody"
        if not attributes:
            return "NoMessageAttributes"
        arrays = (value for kind, value in attributes.values() if kind == "String.Array")
        is_valid = all(isinstance(_parsed(value), list) for value in arrays)
        return "MessageAttributes" if is_valid else "InvalidAttributes"


def _parsed(text: str) -> Any:
    """None for what is not JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def compiled(policy: str, scope: str) -> Filter:
    """Of a policy that was checked before."""
    return Filter(orjson.loads(policy), scope)


def check(policy: str, scope: str) -> None:
    """Raises BadFilter."""
    try:
        said = orjson.loads(policy)
    except orjson.JSONDecodeError as error:
        raise BadFilter(f"failed to parse JSON. {error}") from None
    if not isinstance(said, dict) or len(policy.encode()) > _BYTES_MAX:
        raise BadFilter("failed to parse JSON. Filter policy must be an object of at most 256 KB")
    _Node(said, paths=scope == "MessageBody")
    _check_anything_but(said)
    leaves, combinations = _measure(said, 1, scope)
    if combinations > _COMBINATIONS_MAX:
        raise BadFilter("Filter policy is too complex")
    if leaves > _KEYS_MAX:
        raise BadFilter("Filter policy can not have more than 5 keys")


def _check_anything_but(said: Any) -> None:
    """LocalStack's recording test_validate_policy_nested_anything_but_operator."""
    if isinstance(said, dict):
        but = said.get("anything-but")
        if isinstance(but, dict) and "suffix" in but:
            raise BadFilter("Unsupported anything-but pattern: suffix")
        said = list(said.values())
    if isinstance(said, list):
        for one in said:
            _check_anything_but(one)


def is_nested(policy: str) -> bool:
    said = orjson.loads(policy)
    return any(isinstance(value, dict) for value in said.values())


def _measure(policy: dict[str, Any], level: int, scope: str) -> tuple[int, int]:
    """(keys at the leaves, combinations of values): a value of a nested key counts once a level."""
    leaves, combinations = 0, 1
    for key, value in policy.items():
        if key == "$or" and isinstance(value, list) and _is_or(value):
            parts = [_measure(one, level, scope) for one in value]
            leaves += sum(part[0] for part in parts)
            combinations *= sum(part[1] for part in parts)
        elif isinstance(value, dict):
            inner = _measure(value, level + 1, scope)
            leaves, combinations = leaves + inner[0], combinations * inner[1]
        else:
            leaves += 1
            combinations *= len(value) * (level if scope == "MessageBody" else 1)
    return leaves, combinations


def _flat(attributes: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """Message attributes as the values that policies are about."""
    found: dict[str, Any] = {}
    for name, (kind, value) in attributes.items():
        if kind == "String.Array":
            try:
                listed = orjson.loads(value)
            except orjson.JSONDecodeError:
                continue
            found[name] = listed if isinstance(listed, list) else [listed]
        elif kind.startswith("Number"):
            try:
                found[name] = float(value)
            except ValueError:
                continue
        elif kind.startswith("String"):
            found[name] = value
    return found


def _unfolded(said: Any) -> Any:
    """With keys that spell paths as the objects that they stand for.

    LocalStack's recording test_filter_policy_on_message_body_dot_attribute.
    """
    if isinstance(said, list):
        return [_unfolded(one) for one in said]
    if not isinstance(said, dict):
        return said
    found: dict[str, Any] = {}
    for key, value in said.items():
        inner = _unfolded(value)
        first, *rest = key.split(".")
        for name in reversed(rest):
            inner = {name: inner}
        found[first] = _merged(found[first], inner) if first in found else inner
    return found


def _merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        both = {k: _merged(one[k], other[k]) for k in one.keys() & other.keys()}
        return {**one, **other, **both}
    return [part for said in (one, other) for part in (said if isinstance(said, list) else [said])]


class _Node:
    def __init__(self, policy: dict[str, Any], *, paths: bool) -> None:
        self._keys: list[tuple[str, _Node | _Values]] = []
        self._ors: list[list[_Node]] = []
        for key, value in policy.items():
            if key == "$or" and isinstance(value, list) and _is_or(value):
                self._ors.append([_Node(one, paths=paths) for one in value])
            elif paths and "." in key:
                first, _, rest = key.partition(".")
                self._keys.append((first, _Node({rest: value}, paths=paths)))
            elif isinstance(value, dict):
                if not value:
                    raise BadFilter("Empty objects are not allowed")
                self._keys.append((key, _Node(value, paths=paths)))
            elif isinstance(value, list):
                self._keys.append((key, _Values(value)))
            else:
                raise BadFilter(f'"{key}" must be an object or an array')

    def matches(self, value: Any) -> bool:
        if isinstance(value, list):
            return any(self.matches(one) for one in value)
        if not isinstance(value, dict):
            value = {}
        for key, wanted in self._keys:
            if isinstance(wanted, _Node):
                if not wanted.matches(value.get(key, {})):
                    return False
            elif not wanted.matches(value, key):
                return False
        return all(any(node.matches(value) for node in nodes) for nodes in self._ors)


def _is_or(value: list[Any]) -> bool:
    """``$or`` is an operator only for two or more objects that are no match expressions."""
    return len(value) >= 2 and all(
        isinstance(one, dict) and one and not set(one) & set(_OPERATORS) for one in value
    )


class _Values:
    """The alternatives of one key."""

    def __init__(self, listed: list[Any]) -> None:
        if not listed:
            raise BadFilter("Empty arrays are not allowed")
        self._exists: set[bool] = set()
        self._tests: list[Match] = []
        for one in listed:
            if isinstance(one, dict):
                self._operator(one)
            elif isinstance(one, list):
                raise BadFilter("Match value must be String, number, true, false, or null")
            else:
                self._tests.append(_equals(one))

    def _operator(self, one: dict[str, Any]) -> None:
        if len(one) != 1:
            raise BadFilter("Only one key allowed in match expression")
        ((name, operand),) = one.items()
        if name == "exists":
            if not isinstance(operand, bool):
                raise BadFilter("exists match pattern must be either true or false.")
            self._exists.add(operand)
            return
        make = _OPERATORS.get(name)
        if make is None:
            raise BadFilter(f"Unrecognized match type {name}")
        self._tests.append(make(operand))

    def matches(self, holder: dict[str, Any], key: str) -> bool:
        if key not in holder:
            return False in self._exists
        value = holder[key]
        values = _leaves(value)
        if True in self._exists and values:
            return True
        return any(test(one) for one in values for test in self._tests)


def _leaves(value: Any) -> list[Any]:
    """Every plain value of a list, however nested; objects are no values."""
    if isinstance(value, list):
        return [leaf for one in value for leaf in _leaves(one)]
    return [] if isinstance(value, dict) else [value]


def _equals(wanted: Any) -> Match:
    if isinstance(wanted, bool) or wanted is None:
        return lambda value: value is wanted
    if isinstance(wanted, int | float):
        return lambda value: _is_number(value) and value == wanted
    return lambda value: isinstance(value, str) and value == wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(name: str, operand: Any) -> str:
    if not isinstance(operand, str):
        raise BadFilter(f"{name} match pattern must be a string")
    return operand


def _prefix(operand: Any) -> Match:
    start = _text("prefix", operand)
    return lambda value: isinstance(value, str) and value.startswith(start)


def _suffix(operand: Any) -> Match:
    end = _text("suffix", operand)
    return lambda value: isinstance(value, str) and value.endswith(end)


def _ignoring_case(operand: Any) -> Match:
    wanted = _text("equals-ignore-case", operand).lower()
    return lambda value: isinstance(value, str) and value.lower() == wanted


def _wildcard(operand: Any) -> Match:
    text = _text("wildcard", operand)
    if "**" in text:
        raise BadFilter("Consecutive wildcard characters are not allowed")
    pieces = text.split("*")
    if len(pieces) == 1:
        return _equals(text)
    return lambda value: isinstance(value, str) and _glob(pieces, value)


def _glob(pieces: list[str], value: str) -> bool:
    """Whether ``value`` is the pieces in order with anything between; no backtracking is needed."""
    first, *middle, last = pieces
    if len(value) < len(first) + len(last) or not value.startswith(first):
        return False
    if not value.endswith(last):
        return False
    at, end = len(first), len(value) - len(last)
    for piece in middle:
        found = value.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def _anything_but(operand: Any) -> Match:
    if isinstance(operand, dict):
        if len(operand) != 1:
            raise BadFilter("Only one key allowed in match expression")
        ((name, inner),) = operand.items()
        make = {
            "prefix": _prefix,
            "suffix": _suffix,  # of policies of earlier versions, which took it
            "wildcard": _wildcard,
            "equals-ignore-case": _ignoring_case,
        }.get(name)
        if make is None:
            raise BadFilter(f"Unsupported anything-but pattern: {name}")
        listed = inner if isinstance(inner, list) else [inner]
        tests = [make(one) for one in listed]
    else:
        listed = operand if isinstance(operand, list) else [operand]
        if not listed:
            raise BadFilter("Empty arrays are not allowed")
        if any(isinstance(one, dict | list) for one in listed):
            raise BadFilter("Inside anything but list, start|null|boolean is not supported.")
        tests = [_equals(one) for one in listed]
    return lambda value: not any(test(value) for test in tests)


def _numeric(operand: Any) -> Match:
    """[op, number] or a range of two."""
    if not isinstance(operand, list):
        raise BadFilter("Value of numeric must be an array.")
    if not operand:
        raise BadFilter("Invalid member in numeric match: ]")
    rest = list(operand)
    tests: list[tuple[str, float]] = []
    while rest:
        operator = rest.pop(0)
        if not isinstance(operator, str):
            if tests:
                raise BadFilter(f"Bad value in numeric range: {operator}")
            raise BadFilter(f"Invalid member in numeric match: {operator}")
        if operator not in _TESTS:
            if tests:
                raise BadFilter(f"Bad numeric range operator: {operator}")
            raise BadFilter(f"Unrecognized numeric range operator: {operator}")
        if tests and (operator not in ("<", "<=") or tests[0][0] not in (">", ">=")):
            if tests[0][0] not in (">", ">="):
                raise BadFilter("Too many elements in numeric expression")
            raise BadFilter(f"Bad numeric range operator: {operator}")
        value = rest.pop(0) if rest else None
        if not _is_number(value):
            said = "equals" if operator == "=" else operator
            raise BadFilter(f"Value of {said} must be numeric")
        assert value is not None
        if abs(value) > _NUMBER_MAX:
            raise BadFilter(f"Value of {operator} must be between -10^9 and 10^9")
        tests.append((operator, value))
        if len(tests) == 2 and rest:
            raise BadFilter("Too many terms in numeric range expression")
    if len(tests) == 2 and tests[0][1] >= tests[1][1]:
        raise BadFilter("Bottom must be less than top")
    return lambda value: _is_number(value) and all(_TESTS[op](value, n) for op, n in tests)


def _cidr(operand: Any) -> Match:
    text = _text("prefix", operand)  # AWS says prefix here, too
    if text.count("/") != 1:
        raise BadFilter("Malformed CIDR, one '/' required")
    address, _, bits = text.partition("/")
    if not bits.isdigit():
        raise BadFilter("Malformed CIDR, mask bits must be an integer")
    if not re.fullmatch(r"[0-9A-Fa-f:.]+", address):
        raise BadFilter(f"Nonstandard IP address: {address}")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadFilter(f"Nonstandard IP address: {address}") from None

    def test(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return test


_OPERATORS: dict[str, Callable[[Any], Match]] = {
    "anything-but": _anything_but,
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _ignoring_case,
    "wildcard": _wildcard,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _equals,  # by name only: looked at where the key may be missing
}
