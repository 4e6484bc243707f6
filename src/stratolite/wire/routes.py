"""Which operation of a REST service a method, path, query and headers ask for."""

from __future__ import annotations

from typing import Any

from stratolite.wire.model import Model


class Router:
    """Method, path, query and headers -> operation, for one service."""

    def __init__(self, model: Model) -> None:
        self._is_s3 = model.service == "s3"
        self._roots: dict[str, _Node] = {}
        for operation, entry in model.operations.items():
            path, _, query = entry["http"]["requestUri"].partition("?")
            node = self._roots.setdefault(entry["http"]["method"], _Node())
            segments = path.split("/")[1:]
            if segments[-1] == "":
                segments.pop()
            for segment in segments:
                node = node.below(segment)
            node.candidates.append(_Candidate(model, operation, entry, query))

    def match(self, method: str, path: str, query: str, headers: dict[str, str]) -> str | None:
        """The operation, None if there is none."""
        root = self._roots.get(method)
        if root is None:
            return None
        if self._is_s3:
            node = _s3_node(root, path)
            return None if node is None else node.choose(query, headers, strict=True)
        return _find(root, path.split("/")[1:], 0, query, headers)


def _s3_node(root: _Node, path: str) -> _Node | None:
    """S3 has three kinds of paths: /, /bucket (one slash may follow) and /bucket/key."""
    slash = path.find("/", 1)
    if slash == -1 or slash == len(path) - 1:
        name = path[1:].rstrip("/")
        return root.literals.get(name, root.label) if name else root
    return root.label.greedy if root.label is not None else None


def _find(
    node: _Node, segments: list[str], at: int, query: str, headers: dict[str, str]
) -> str | None:
    left = len(segments) - at
    if left == 0 or (left == 1 and segments[at] == ""):
        return node.choose(query, headers, strict=False)
    segment = segments[at]
    below = node.literals.get(segment)
    if below is not None:
        found = _find(below, segments, at + 1, query, headers)
        if found is not None:
            return found
    if node.label is not None and segment != "":
        found = _find(node.label, segments, at + 1, query, headers)
        if found is not None:
            return found
    if node.greedy is not None:
        after = node.greedy
        if after.literals:
            for end in range(len(segments) - 1, at, -1):
                found = _find(after, segments, end, query, headers)
                if found is not None:
                    return found
        return after.choose(query, headers, strict=False)
    return None


class _Node:
    """Where a path may have come to, and the operations it may mean if it ends here."""

    __slots__ = ("_plans", "candidates", "greedy", "label", "literals")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.label: _Node | None = None
        self.greedy: _Node | None = None
        self.candidates: list[_Candidate] = []
        self._plans: dict[str, tuple[list[_Candidate], str | None]] = {}

    def below(self, segment: str) -> _Node:
        if segment.endswith("+}"):
            self.greedy = self.greedy or _Node()
            return self.greedy
        if segment.startswith("{"):
            self.label = self.label or _Node()
            return self.label
        return self.literals.setdefault(segment, _Node())

    def choose(self, query: str, headers: dict[str, str], *, strict: bool) -> str | None:
        """The most demanding operation whose demands are met.

        If there is none: not ``strict`` gives the least demanding, whose service can say what is
        missing; so does a query that names a sub-resource (``?acl``).
        """
        plan = self._plans.get(query)
        if plan is None:
            plan = self._plan(query, strict)
            if len(query) <= 64 and len(self._plans) < 512:
                self._plans[query] = plan
        options, otherwise = plan
        for option in options:
            for header in option.headers:
                if header not in headers:
                    break
            else:
                return option.operation
        return otherwise

    def _plan(self, query: str, strict: bool) -> tuple[list[_Candidate], str | None]:
        """(operations that fit this query but for their headers, what to take if none fits)."""
        parts = query.split("&") if query else []
        fields = {part.partition("=")[0] for part in parts}
        fields.update(parts)
        fitting = [c for c in self.candidates if c.fixed <= fields]
        if not fitting:
            return [], None
        best = max(len(c.fixed) for c in fitting)
        fitting = [c for c in fitting if len(c.fixed) == best]
        fitting.sort(key=lambda c: (-c.demands, c.x_id not in fields, c.rank))
        options = [c for c in fitting if c.queries <= fields]
        otherwise = fitting[-1].operation if best or not strict else None
        return options, otherwise


class _Candidate:
    __slots__ = ("demands", "fixed", "headers", "operation", "queries", "rank", "x_id")

    def __init__(self, model: Model, operation: str, entry: dict[str, Any], query: str) -> None:
        self.operation = operation
        self.rank = (bool(entry.get("deprecated")), len(operation))
        parts = [part for part in query.split("&") if part]
        self.x_id = f"x-id={operation}"
        self.fixed = frozenset(
            part.removesuffix("=") for part in parts if not part.startswith("x-id=")
        )
        ref = model.input(operation) or {}
        required = frozenset(ref.get("required", ()))
        members = {k: m for k, m in model.members(ref).items() if k in required}
        self.queries = frozenset(
            m.get("locationName", k)
            for k, m in members.items()
            if m.get("location") == "querystring"
        )
        self.headers = tuple(
            m.get("locationName", k).lower()
            for k, m in members.items()
            if m.get("location") == "header"
        )
        self.demands = len(self.queries) + len(self.headers)
