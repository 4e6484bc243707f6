"""Where in a template's text something is wrong: a fault that knows its place, and the line of a place.

A place is a path of keys and list indexes as text, ``("Resources", "Queue", "Properties", "Tags", "0")``. Lines are looked
up only when something is wrong, in the text as it was sent: what a transform made leads to what it was made from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stratolite.errors import Fault
from stratolite.services.cloudformation.quotas import DEPTH_MAX

Place = tuple[str, ...]


class Misplaced(Fault):
    """A ValidationError at a place. ``further`` are more of its kind, each with its own."""

    def __init__(
        self,
        message: str,
        place: Sequence[str] = (),
        further: Sequence[tuple[str, Place]] = (),
    ) -> None:
        super().__init__("ValidationError", "\n".join([message, *(m for m, _ in further)]))
        self._head = message
        self.place: Place = tuple(place)
        self.further = further

    def within(self, *outer: str) -> Misplaced:
        """The place was seen from inside ``outer``."""
        self.place = (*outer, *self.place)
        return self

    def with_lines(self, text: str) -> Fault:
        """The same, saying the lines of ``text``."""
        said = [self._head, *self._lines(text)]
        if not self.further and self.place and (line := line_of(text, self.place)):
            said = [f"{self._head} (line {line})"]
        return Fault(self.code, "\n".join(said))

    def _lines(self, text: str) -> list[str]:
        said = []
        for message, place in self.further:
            line = line_of(text, (*self.place, *place))
            said.append(f"{message} (line {line})" if line else message)
        return said


def where(node: Any, holds: Callable[[Any], bool], at: Place = ()) -> Place:
    """The innermost place inside ``node`` for which ``holds`` is true."""
    children: list[tuple[str, Any]] = []
    if isinstance(node, dict):
        children = [(str(key), value) for key, value in node.items()]
    elif isinstance(node, list):
        children = [(str(n), value) for n, value in enumerate(node)]
    for key, child in children:
        if holds(child):
            return where(child, holds, (*at, key))
    return at


def line_of(text: str, place: Sequence[str]) -> int:
    """The line (from 1) where ``place`` stands, or the longest beginning of it that is there; 0 if none is."""
    import yaml

    if text.lstrip()[:1] == "{":
        text = text.replace("\t", " ")  # JSON's white space, which YAML does not take
    try:
        return _Finder(yaml, text).find(list(place))
    except (yaml.YAMLError, StopIteration, RecursionError):
        return 0


class _Finder:
    def __init__(self, yaml: Any, text: str) -> None:
        self.yaml = yaml
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events = yaml.parse(text, Loader=loader)
        self.best = 0

    def find(self, place: list[str]) -> int:
        next(self.events)
        next(self.events)
        self._look(next(self.events), place, 0)
        return self.best

    def _look(self, event: Any, place: list[str], depth: int) -> bool:
        """Follow ``place`` below the node that begins with ``event``; whether it was found to its end."""
        yaml = self.yaml
        if depth > DEPTH_MAX:
            return True
        if event.__class__ in (yaml.ScalarEvent, yaml.AliasEvent):
            return True
        tag = getattr(event, "tag", None) or ""
        if place and tag.startswith("!") and place[0] in (f"Fn::{tag[1:]}", tag[1:]):
            place = place[1:]  # a short form is its own key
        if not place:
            return True
        if isinstance(event, yaml.SequenceStartEvent):
            number = 0
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                if str(number) == place[0]:
                    self.best = item.start_mark.line + 1
                    return self._look(item, place[1:], depth + 1)
                self._skip(item)
                number += 1
            return True
        made_from = ""
        lines: dict[str, int] = {}
        while not isinstance(key := next(self.events), yaml.MappingEndEvent):
            name = getattr(key, "value", "")
            if name == place[0]:
                self.best = key.start_mark.line + 1
                return self._look(next(self.events), place[1:], depth + 1)
            if depth == 1 and place[0].startswith(name) and len(name) > len(made_from):
                made_from, lines[name] = name, key.start_mark.line + 1
            self._skip(next(self.events))
        if made_from:  # a transform made FunctionRole from Function
            self.best = lines[made_from]
        return True

    def _skip(self, event: Any) -> None:
        yaml = self.yaml
        depth = 0
        while True:
            if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                depth += 1
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = next(self.events)
