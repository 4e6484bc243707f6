"""An event as paths and values, each value with where in the arrays of objects on its way it stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple

from stratolite.patterns.conditions import FALSE, NULL, TRUE

Seats = tuple[tuple[int, int], ...]
"""(array, element) for each array with objects or arrays on the way; arrays are numbered through the event."""


class Field(NamedTuple):
    value: Hashable
    seats: Seats


class Wanted:
    """The paths that some rule asks for; what lies elsewhere in an event is not looked at."""

    def __init__(self) -> None:
        self._leaves: Counter[str] = Counter()
        self._ways: Counter[str] = Counter()

    def add(self, path: str, count: int) -> None:
        self._leaves[path] += count
        if not self._leaves[path]:
            del self._leaves[path]
        at = path.find(".")
        while at >= 0:
            self._ways[path[:at]] += count
            if not self._ways[path[:at]]:
                del self._ways[path[:at]]
            at = path.find(".", at + 1)

    def fields(self, event: dict[str, Any]) -> dict[str, list[Field]]:
        found: dict[str, list[Field]] = {}
        self._object(event, "", (), found, [0])
        return found

    def _object(
        self,
        node: dict[str, Any],
        path: str,
        seats: Seats,
        found: dict[str, list[Field]],
        arrays: list[int],
    ) -> None:
        leaves, ways = self._leaves, self._ways
        for name, value in node.items():
            here = path + name
            if here in leaves or here in ways:
                self._value(value, here, seats, found, arrays)

    def _value(
        self, value: Any, here: str, seats: Seats, found: dict[str, list[Field]], arrays: list[int]
    ) -> None:
        kind = type(value)
        if kind is dict:
            if here in self._ways:
                self._object(value, here + ".", seats, found, arrays)
        elif kind is list:
            array = arrays[0]
            arrays[0] += 1
            for at, one in enumerate(value):
                inside = (*seats, (array, at)) if type(one) in (dict, list) else seats
                self._value(one, here, inside, found, arrays)
        elif here in self._leaves:
            if value is None:
                value = NULL
            elif kind is bool:
                value = TRUE if value else FALSE
            if here in found:
                found[here].append(Field(value, seats))
            else:
                found[here] = [Field(value, seats)]


def together(one: Seats, other: Seats) -> Seats | None:
    """Both, or None if they are different elements of one array."""
    if not one or one == other:
        return other
    if not other:
        return one
    known = dict(one)
    for array, at in other:
        if known.setdefault(array, at) != at:
            return None
    return tuple(known.items())
