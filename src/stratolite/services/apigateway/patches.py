"""Patch operations: which paths a thing has, which operations on them, and AWS's words for all others.

Source  https://docs.aws.amazon.com/apigateway/latest/api/patch-operations.html
        words as recorded against AWS by LocalStack, tests/aws/services/apigateway
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stratolite.services.apigateway.parts import bad, missing

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A member that is one value. ``read`` makes it of the operation's text."""

    member: str
    read: Callable[[str], Any] = str
    operations: tuple[str, ...] = ("replace",)


@dataclass(frozen=True, slots=True)
class Entries:
    """A member that is a map; the path goes on with the key."""

    member: str
    read: Callable[[str], Any] = str
    absent: str = "Invalid parameter name specified"
    """What AWS says of a key to replace or take out that is not there."""
    upserts: bool = False
    """Whether ``replace`` adds what is not there."""


@dataclass(frozen=True, slots=True)
class Values:
    """A member that is a list of texts, which the path goes on with."""

    member: str


Rule = Field | Entries | Values


def boolean(text: str) -> bool:
    """Whatever is not "true" is false, as AWS reads it."""
    return text.lower() == "true"


def number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad(f"Invalid number: {text}") from None


def rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise bad(f"Invalid number: {text}") from None


def unescape(part: str) -> str:
    """A part of a JSON pointer (RFC 6901)."""
    return part.replace("~1", "/").replace("~0", "~")


def apply(
    record: Record, operations: Sequence[Mapping[str, Any]], rules: Mapping[str, Rule]
) -> Record:
    """Change ``record``. Errors in the words of APIs, methods, integrations and their responses."""
    for operation in operations:
        op, path = operation["op"], operation.get("path")
        rule, rest = _rule(rules, path or "")
        if rule is None or (isinstance(rule, Field) and rest):
            raise bad(f"Invalid patch path {path or 'null'}")
        if isinstance(rule, Field):
            if op not in rule.operations:
                raise bad(_only(rule.operations))
            if op == "remove":
                record.pop(rule.member, None)
            else:
                record[rule.member] = rule.read(str(operation.get("value") or ""))
        elif not rest or op not in ("add", "replace", "remove"):
            raise bad(f"Invalid patch path {path}")
        elif isinstance(rule, Values):
            _values(record, rule, op, rest, operation.get("value"))
        else:
            _entry(record, rule, op, rest, operation.get("value"))
    return record


def apply_named(
    record: Record, operations: Sequence[Mapping[str, Any]], rules: Mapping[str, Rule]
) -> Record:
    """``apply`` where only ``replace`` is known and errors name the paths: resources, models, validators, keys."""
    for operation in operations:
        op, path = operation["op"], operation.get("path")
        if op != "replace":
            raise bad(
                f"Invalid patch path  '{path}' specified for op '{op}'. Please choose supported operations"
            )
        rule, rest = _rule(rules, path or "")
        if rule is None or (rest and isinstance(rule, Field)):
            paths = ", ".join(rules)
            raise bad(
                f"Invalid patch path  '{path}' specified for op '{op}'. Must be one of: [{paths}]"
            )
        apply(record, (operation,), rules)
    return record


def _only(operations: tuple[str, ...]) -> str:
    if len(operations) == 1:
        return f"Invalid patch operation specified. Must be one of: [{operations[0]}]"
    return f"Invalid patch operation specified. Must be {'|'.join(repr(o) for o in operations)}"


def _rule(rules: Mapping[str, Rule], path: str) -> tuple[Rule | None, str]:
    """The rule of a path, and what of the path is a key."""
    if path in rules:
        return rules[path], ""
    for start, rule in rules.items():
        if path.startswith(f"{start}/"):
            return rule, unescape(path[len(start) + 1 :])
    return None, ""


def _entry(record: Record, rule: Entries, op: str, key: str, value: Any) -> None:
    entries = record.get(rule.member) or {}
    if key not in entries and (op == "remove" or (op == "replace" and not rule.upserts)):
        raise missing(rule.absent)
    if op == "remove":
        del entries[key]
    else:
        entries[key] = rule.read(str(value or ""))
    if entries:
        record[rule.member] = entries
    else:
        record.pop(rule.member, None)


def _values(record: Record, rule: Values, op: str, item: str, value: Any) -> None:
    values: list[str] = record.get(rule.member) or []
    if op == "replace" and item in values:
        values[values.index(item)] = str(value or "")
    elif op == "remove":
        values = [one for one in values if one != item]
    elif item not in values:
        values.append(item)
    if values:
        record[rule.member] = values
    else:
        record.pop(rule.member, None)
