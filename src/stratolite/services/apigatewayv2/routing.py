"""Which route of an HTTP API a request takes.

The most specific wins: literal segments before {variables} before {greedy+}, the named method before
ANY, and $default when nothing else matches.
Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "ANY")
_KEY = re.compile(rf"({'|'.join(METHODS)}) (/.*)\Z")
_SEGMENT = re.compile(r"\{[A-Za-z0-9._:-]+\+?\}|[^{}]*\Z")
DEFAULT = "$default"


class Match(NamedTuple):
    route_key: str
    integration: dict[str, Any] | None
    parameters: dict[str, str]
    """Path variables, decoded."""


class _Node:
    __slots__ = ("greedy", "literals", "routes", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.greedy: _Node | None = None
        self.routes: dict[str, tuple[str, list[str], dict[str, Any] | None]] = {}


def problem(route_key: str) -> str | None:
    """What is wrong with a route key, in AWS's words, or None."""
    if route_key == DEFAULT:
        return None
    found = _KEY.match(route_key)
    if not found:
        return (
            "The provided route key is not formatted properly for HTTP protocol. "
            'Format should be "<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
        )
    segments = _split(found[2])
    if not all(_SEGMENT.match(s) for s in segments):
        return f"Invalid path in route key: {route_key}"
    if any(s.endswith("+}") for s in segments[:-1]):
        return "A greedy path variable must be at the end of the path"
    names = [s.strip("{}+") for s in segments if s.startswith("{")]
    if len(names) != len(set(names)):
        return f"Duplicate path variables in route key: {route_key}"
    return None


def _split(path: str) -> list[str]:
    return [s for s in path.split("/") if s]


class Router:
    """Compiled from a table of [route key, integration id, integration]."""

    def __init__(self, table: list[list[Any]]) -> None:
        self._root = _Node()
        self._default: Match | None = None
        for route_key, _, integration in table:
            if route_key == DEFAULT:
                self._default = Match(DEFAULT, integration, {})
            else:
                self._add(route_key, integration)

    def _add(self, route_key: str, integration: dict[str, Any] | None) -> None:
        method, path = route_key.split(" ", 1)
        node, names = self._root, []
        for segment in _split(path):
            if not segment.startswith("{"):
                node = node.literals.setdefault(segment, _Node())
                continue
            names.append(segment.strip("{}+"))
            if segment.endswith("+}"):
                node.greedy = node.greedy or _Node()
                node = node.greedy
            else:
                node.variable = node.variable or _Node()
                node = node.variable
        node.routes[method] = (route_key, names, integration)

    def match(self, method: str, path: str) -> Match | None:
        """``path`` is still percent-encoded."""
        segments = [unquote(s) for s in _split(path)]
        found = self._walk(self._root, segments, 0, [], method)
        if found is None:
            return self._default
        (route_key, names, integration), values = found
        return Match(route_key, integration, dict(zip(names, values, strict=True)))

    def _walk(
        self, node: _Node, segments: list[str], at: int, values: list[str], method: str
    ) -> tuple[tuple[str, list[str], dict[str, Any] | None], list[str]] | None:
        if at == len(segments):
            route = node.routes.get(method) or node.routes.get("ANY")
            return (route, values) if route else None
        segment = segments[at]
        literal = node.literals.get(segment)
        if literal and (found := self._walk(literal, segments, at + 1, values, method)):
            return found
        if node.variable:
            found = self._walk(node.variable, segments, at + 1, [*values, segment], method)
            if found:
                return found
        if node.greedy:
            route = node.greedy.routes.get(method) or node.greedy.routes.get("ANY")
            if route:
                return route, [*values, "/".join(segments[at:])]
        return None
