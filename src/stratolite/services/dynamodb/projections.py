"""Parts of an item: what ProjectionExpression, AttributesToGet and UPDATED_NEW leave of it."""

from __future__ import annotations

from collections.abc import Sequence

from stratolite.services.dynamodb.conditions import find
from stratolite.services.dynamodb.grammar import Path
from stratolite.services.dynamodb.values import Item, Value


def project(item: Item, paths: Sequence[Path]) -> Item:
    """The item with only what ``paths`` name; list elements close up, in the list's order."""
    out: Item = {}
    nested: dict[str, list[Path]] = {}
    for path in paths:
        head = path[0]
        assert isinstance(head, str), path
        if len(path) == 1:
            if head in item:
                out[head] = item[head]
        elif find(item, path) is not None:
            nested.setdefault(head, []).append(path[1:])
    for head, rest in nested.items():
        out[head] = _part(item[head], rest)
    return out


def _part(value: Value, paths: list[Path]) -> Value:
    """``value`` with only what ``paths``, all of them found in it, name."""
    if not paths[0]:
        return value
    below: dict[str | int, list[Path]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    if "M" in value:
        return {"M": {name: _part(value["M"][name], rest) for name, rest in below.items()}}
    return {
        "L": [
            _part(value["L"][i], below[i]) for i in sorted(k for k in below if isinstance(k, int))
        ]
    }
