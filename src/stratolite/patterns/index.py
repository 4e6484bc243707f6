"""Many rules at once: a tree in which rules share what they have in common, so that an event walks few of them.

A rule's branch is a way down: first the paths that only compare whole values, then the others. A node knows the
paths its rules go on with, and for each path finds by hashing which conditions a value meets: whole values, first
and last characters (also those of wildcards), the same without case; ranges and networks by bisection. Only
``anything-but``, which most values meet, is looked at one by one, each distinct one once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from itertools import accumulate
from typing import Any, Generic, TypeVar

from stratolite.patterns import grammar
from stratolite.patterns.conditions import Condition, address, holds
from stratolite.patterns.fields import Field, Seats, Wanted, together
from stratolite.patterns.grammar import Branch

K = TypeVar("K", bound=Hashable)
_KEPT_MAX = 2048
_WHOLE = frozenset(("exact", "address", "caseless"))


class Pattern:
    """One compiled pattern."""

    __slots__ = ("_alone", "branches")

    def __init__(self, branches: tuple[Branch, ...]) -> None:
        self.branches = branches
        """One of them must hold: path -> conditions, one of which must be met."""
        self._alone: Patterns[int] | None = None

    def matches(self, event: dict[str, Any]) -> bool:
        if self._alone is None:
            self._alone = Patterns()
            self._alone.add(0, self)
        return bool(self._alone.match(event))


@lru_cache(maxsize=_KEPT_MAX)
def compile_pattern(text: str) -> Pattern:
    """Raises PatternError. Kept: the same text gives the same Pattern."""
    return Pattern(grammar.parse(text).branches)


class Patterns(Generic[K]):
    """Which of many patterns match an event."""

    def __init__(self) -> None:
        self._root: _Node[K] = _Node()
        self._wanted = Wanted()
        self._known: dict[K, Pattern] = {}

    def __len__(self) -> int:
        return len(self._known)

    def add(self, key: K, pattern: Pattern) -> None:
        """``pattern`` under ``key``, in place of what was there."""
        self.remove(key)
        self._known[key] = pattern
        for branch in pattern.branches:
            node = self._root
            for path, conditions in _way(branch):
                self._wanted.add(path, 1)
                node = node.go(path, conditions)
            node.rules[key] = node.rules.get(key, 0) + 1

    def remove(self, key: K) -> None:
        """Nothing happens if it is not there."""
        pattern = self._known.pop(key, None)
        if pattern is None:
            return
        for branch in pattern.branches:
            node, way = self._root, []
            for path, conditions in _way(branch):
                self._wanted.add(path, -1)
                way.append((node, path, conditions))
                node = node.go(path, conditions)
            node.rules[key] -= 1
            if not node.rules[key]:
                del node.rules[key]
            for above, path, conditions in reversed(way):
                if not node.is_empty():
                    break
                above.cut(path, conditions)
                node = above

    def match(self, event: dict[str, Any]) -> set[K]:
        """The keys of the patterns that ``event`` (a parsed JSON object) matches."""
        found: set[K] = set()
        fields = self._wanted.fields(event)
        self._walk(self._root, (), fields, found)
        return found

    def _walk(
        self, node: _Node[K], seats: Seats, fields: dict[str, list[Field]], found: set[K]
    ) -> None:
        if node.rules:
            found.update(node.rules)
        fans = node.fans
        if fans:
            few, many = (fans, fields) if len(fans) < len(fields) else (fields, fans)
            for path in few:
                if path not in many:
                    continue
                fan = fans[path]
                seen: set[tuple[int, Seats]] = set()
                for value, at in fields[path]:
                    both = together(seats, at) if at else seats
                    if both is None:
                        continue
                    for child in fan.met(value):
                        if (id(child), both) not in seen:
                            seen.add((id(child), both))
                            self._walk(child, both, fields, found)
        for path, children in node.absent.items():
            if path not in fields:
                for child in children:
                    self._walk(child, seats, fields, found)


def _way(branch: Branch) -> list[tuple[str, frozenset[Condition]]]:
    return sorted(
        branch.items(), key=lambda item: (any(c.kind not in _WHOLE for c in item[1]), item[0])
    )


class _Node(Generic[K]):
    __slots__ = ("absent", "children", "fans", "rules")

    def __init__(self) -> None:
        self.children: dict[tuple[str, frozenset[Condition]], _Node[K]] = {}
        self.fans: dict[str, _Fan[K]] = {}
        self.absent: dict[str, list[_Node[K]]] = {}
        self.rules: dict[K, int] = {}

    def is_empty(self) -> bool:
        return not self.children and not self.rules

    def go(self, path: str, conditions: frozenset[Condition]) -> _Node[K]:
        child = self.children.get((path, conditions))
        if child is None:
            child = self.children[path, conditions] = _Node()
            for condition in conditions:
                if condition.kind == "absent":
                    self.absent.setdefault(path, []).append(child)
                else:
                    self.fans.setdefault(path, _Fan()).add(condition, child)
        return child

    def cut(self, path: str, conditions: frozenset[Condition]) -> None:
        child = self.children.pop((path, conditions))
        for condition in conditions:
            if condition.kind == "absent":
                self.absent[path].remove(child)
                if not self.absent[path]:
                    del self.absent[path]
            else:
                self.fans[path].remove(condition, child)
        if path in self.fans and self.fans[path].is_empty():
            del self.fans[path]


_Edge = tuple[Condition | None, "_Node[K]"]
"""The condition to be asked still, None when finding the edge has answered it."""


class _Ends(Generic[K]):
    """Edges by how a text begins (or, of reversed texts, ends)."""

    __slots__ = ("by_length",)

    def __init__(self) -> None:
        self.by_length: dict[int, dict[str, list[_Edge[K]]]] = {}

    def add(self, text: str, edge: _Edge[K]) -> None:
        self.by_length.setdefault(len(text), {}).setdefault(text, []).append(edge)

    def remove(self, text: str, edge: _Edge[K]) -> None:
        texts = self.by_length[len(text)]
        texts[text].remove(edge)
        if not texts[text]:
            del texts[text]
        if not texts:
            del self.by_length[len(text)]

    def met(self, value: str) -> Iterator[_Edge[K]]:
        for length, texts in self.by_length.items():
            yield from texts.get(value[:length], ())


class _Ranges(Generic[K]):
    """Edges by lowest and highest value: sorted by the lowest, with the highest of all before each place."""

    __slots__ = ("_highest", "_lows", "edges")

    def __init__(self) -> None:
        self.edges: list[tuple[Any, Any, Condition, _Node[K]]] = []
        self._lows: list[Any] = []
        self._highest: list[Any] = []

    def add(self, low: Any, high: Any, condition: Condition, child: _Node[K]) -> None:
        self.edges.append((low, high, condition, child))
        self._lows = []

    def remove(self, condition: Condition, child: _Node[K]) -> None:
        self.edges = [e for e in self.edges if e[2] != condition or e[3] is not child]
        self._lows = []

    def around(self, value: Any) -> Iterator[tuple[Condition, _Node[K]]]:
        """Edges whose range, its ends included, has ``value``."""
        if not self._lows and self.edges:
            self.edges.sort(key=lambda edge: edge[0])
            self._lows = [edge[0] for edge in self.edges]
            self._highest = list(accumulate((edge[1] for edge in self.edges), max))
        for at in range(bisect_right(self._lows, value) - 1, -1, -1):
            if self._highest[at] < value:
                return
            _, high, condition, child = self.edges[at]
            if high >= value:
                yield condition, child


_ENDS = {
    "prefix": "begins",
    "suffix": "ends",
    "caseless-prefix": "caseless-begins",
    "caseless-suffix": "caseless-ends",
}


class _Fan(Generic[K]):
    """The edges of one path out of one node."""

    __slots__ = ("addresses", "caseless", "ends", "exact", "networks", "numbers", "others")

    def __init__(self) -> None:
        self.exact: dict[Hashable, list[_Node[K]]] = {}
        self.caseless: dict[str, list[_Node[K]]] = {}
        self.addresses: dict[Hashable, list[_Node[K]]] = {}
        self.ends: dict[str, _Ends[K]] = {}
        self.numbers: _Ranges[K] = _Ranges()
        self.networks: _Ranges[K] = _Ranges()
        self.others: list[tuple[Condition, _Node[K]]] = []

    def is_empty(self) -> bool:
        ranged = self.numbers.edges or self.networks.edges
        hashed = self.exact or self.caseless or self.addresses or self.ends
        return not (hashed or ranged or self.others)

    def _hashed(self, condition: Condition) -> dict[Any, list[_Node[K]]] | None:
        tables: dict[str, dict[Any, list[_Node[K]]]] = {
            "exact": self.exact,
            "caseless": self.caseless,
            "address": self.addresses,
        }
        return tables.get(condition.kind)

    def add(self, condition: Condition, child: _Node[K]) -> None:
        if (table := self._hashed(condition)) is not None:
            table.setdefault(condition.value, []).append(child)
        elif (place := _end(condition)) is not None:
            where, text, still = place
            self.ends.setdefault(where, _Ends()).add(text, (still, child))
        elif condition.kind == "numeric":
            self.numbers.add(condition.value.low, condition.value.high, condition, child)
        elif condition.kind == "cidr":
            version, low, high = condition.value
            self.networks.add((version, low), (version, high), condition, child)
        else:
            self.others.append((condition, child))

    def remove(self, condition: Condition, child: _Node[K]) -> None:
        if (table := self._hashed(condition)) is not None:
            table[condition.value].remove(child)
            if not table[condition.value]:
                del table[condition.value]
        elif (place := _end(condition)) is not None:
            where, text, still = place
            self.ends[where].remove(text, (still, child))
            if not self.ends[where].by_length:
                del self.ends[where]
        elif condition.kind == "numeric":
            self.numbers.remove(condition, child)
        elif condition.kind == "cidr":
            self.networks.remove(condition, child)
        else:
            self.others.remove((condition, child))

    def met(self, value: Hashable) -> Iterable[_Node[K]]:
        found: list[_Node[K]] = []
        if value in self.exact:
            found += self.exact[value]
        if isinstance(value, str):
            ips = self.addresses or self.networks.edges
            if ips and (number := address(value)) is not None:
                found += self.addresses.get(number, ())
                found += [child for _, child in self.networks.around(number)]
            if self.caseless:
                found += self.caseless.get(value.lower(), ())
            for where, ends in self.ends.items():
                text = value.lower() if where.startswith("caseless") else value
                if where.endswith("ends"):
                    text = text[::-1]
                for still, child in ends.met(text):
                    if still is None or holds(still, value):
                        found.append(child)
        elif self.numbers.edges and isinstance(value, int | float):
            found += [child for c, child in self.numbers.around(value) if holds(c, value)]
        found += [child for condition, child in self.others if holds(condition, value)]
        return found


def _end(condition: Condition) -> tuple[str, str, Condition | None] | None:
    """(which ends, the text there, what must be asked still), None for what cannot be found so."""
    kind, wanted = condition
    if kind in _ENDS:
        where = _ENDS[kind]
        return where, wanted[::-1] if where.endswith("ends") else wanted, None
    if kind == "wildcard":
        first, last = wanted.parts[0], wanted.parts[-1]
        if len(last) > len(first):
            return "ends", last[::-1], condition
        return "begins", first, condition
    return None
