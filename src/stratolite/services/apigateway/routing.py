"""Which resource and method of a REST API a request takes.

The most specific path wins: literal segments before {variables} before {greedy+}. The resource is found by its path
alone, among those that have methods; then its method of that name, else its ANY. Path variables stay as they were sent,
percent-encoded, as recorded against AWS by LocalStack (test_lambda_aws_proxy_integration).
Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-set-up-simple-proxy.html
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import unquote


class Match(NamedTuple):
    resource: dict[str, Any]
    method: dict[str, Any]
    parameters: dict[str, str]


class _Node:
    __slots__ = ("greedy", "literals", "resource", "variable")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.variable: _Node | None = None
        self.greedy: _Node | None = None
        self.resource: tuple[dict[str, Any], list[str]] | None = None


class Router:
    def __init__(self, resources: list[dict[str, Any]]) -> None:
        self._root = _Node()
        for resource in resources:
            if resource.get("resourceMethods"):
                self._add(resource)

    def _add(self, resource: dict[str, Any]) -> None:
        node, names = self._root, []
        for segment in resource["path"].strip("/").split("/"):
            if not segment:
                continue
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
        node.resource = (resource, names)

    def match(self, method: str, path: str) -> Match | None:
        """``path`` begins with "/" and is percent-encoded; a slash at its end means nothing."""
        trimmed = path.rstrip("/")
        segments = trimmed.split("/")[1:] if trimmed else []
        found = self._walk(self._root, segments, 0, [])
        if found is None:
            return None
        (resource, names), values = found
        methods = resource["resourceMethods"]
        one = methods.get(method) or methods.get("ANY")
        if one is None:
            return None
        return Match(resource, one, dict(zip(names, values, strict=True)))

    def _walk(
        self, node: _Node, segments: list[str], at: int, values: list[str]
    ) -> tuple[tuple[dict[str, Any], list[str]], list[str]] | None:
        if at == len(segments):
            return None if node.resource is None else (node.resource, values)
        segment = segments[at]
        literal = node.literals.get(unquote(segment))
        if literal is not None and (found := self._walk(literal, segments, at + 1, values)):
            return found
        if node.variable is not None and segment:
            found = self._walk(node.variable, segments, at + 1, [*values, segment])
            if found:
                return found
        if node.greedy is not None and node.greedy.resource is not None:
            return node.greedy.resource, [*values, "/".join(segments[at:])]
        return None
