"""Reads the text of a template, JSON or YAML, into plain dicts, lists and scalars.

YAML is read from PyYAML's event stream, so nothing is ever built that the text does not spell out: aliases,
merges and foreign tags are refused as AWS refuses them, nodes are counted, depth is bounded. Short
forms become long ones (``!Ref x`` -> ``{"Ref": "x"}``, ``!GetAtt a.b`` -> ``{"Fn::GetAtt": ["a", "b"]}``).
Dates and numbers with leading zeros stay the text they were: ``2012-10-17`` is a version, not a day.
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.services.cloudformation.quotas import DEPTH_MAX, NODES_COUNT_MAX

_FUNCTIONS = {
    **{
        f"!{name}": f"Fn::{name}"
        for name in [
            "And",
            "Base64",
            "Cidr",
            "Contains",
            "EachMemberEquals",
            "EachMemberIn",
            "Equals",
            "FindInMap",
            "GetAtt",
            "GetAZs",
            "If",
            "ImportValue",
            "Join",
            "Length",
            "Not",
            "Or",
            "RefAll",
            "Select",
            "Split",
            "Sub",
            "ToJsonString",
            "Transform",
            "ValueOf",
            "ValueOfAll",
        ]
    },
    "!Ref": "Ref",
    "!Condition": "Condition",
}
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ["str", "int", "float", "bool", "null", "map", "seq"]
)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?\Z|[-+]?[1-9][0-9]*\.\Z")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


def read_template(text: str) -> dict[str, Any]:
    """Raises Fault ValidationError in AWS's words for anything that is not one well-formed mapping."""
    tree = _read_json(text) if text.lstrip()[:1] == "{" else _read_yaml(text)
    if not isinstance(tree, dict):
        raise Fault("ValidationError", "Template format error: unsupported structure.")
    return tree


def read_part(text: str) -> Any:
    """A piece of a template: what AWS::Include finds."""
    return _read_json(text) if text.lstrip()[:1] == "{" else _read_yaml(text)


def _read_json(text: str) -> Any:
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            return _read_yaml(text)  # a flow mapping is YAML as well
        except Fault:
            where = f"(line {error.lineno}, column {error.colno})"
            text = f"Template format error: JSON not well-formed. {where}"
            raise Fault("ValidationError", text) from None
    measure(tree)
    return tree


def measure(tree: Any) -> None:
    """Raises Fault for a tree of too many nodes, or nested too deep: YAML's are counted while they are read."""
    count = 0
    level = [tree]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
        count += len(below)
        if count > NODES_COUNT_MAX:
            raise _too_large()
        if not below:
            return
        level = below
    raise _too_large()


def _too_large() -> Fault:
    return Fault(
        "ValidationError", "Template format error: the template is nested or repeated too much"
    )


class _Reader:
    """Recursive descent over the events of one document."""

    def __init__(self, text: str) -> None:
        import yaml

        self.yaml = yaml
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.events = yaml.parse(text, Loader=loader)
        self.count = 0

    def document(self) -> Any:
        yaml = self.yaml
        next(self.events)  # the stream's start
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        tree = self.node(next(self.events), 0)
        next(self.events)
        if not isinstance(next(self.events), yaml.StreamEndEvent):
            raise Fault("ValidationError", "Template format error: YAML not well-formed.")
        return tree

    def node(self, event: Any, depth: int) -> Any:
        yaml = self.yaml
        self.count += 1
        if self.count > NODES_COUNT_MAX or depth > DEPTH_MAX:
            raise _too_large()
        if isinstance(event, yaml.AliasEvent):
            text = "Template error: YAML aliases are not allowed in CloudFormation templates."
            raise Fault("ValidationError", text)
        if isinstance(event, yaml.ScalarEvent):
            value: Any = self.scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                value.append(self.node(item, depth + 1))
        else:
            value = self.mapping(depth)
        tag = event.tag
        if tag is None or tag == "!" or tag in _PLAIN:
            return value
        function = _FUNCTIONS.get(tag)
        if function is None:
            line = event.start_mark.line + 1
            column = event.start_mark.column + 1
            text = f"Template format error: Unsupported tag {tag} (line {line}, column {column})"
            raise Fault("ValidationError", text)
        if function == "Fn::GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {function: value}

    def mapping(self, depth: int) -> dict[str, Any]:
        yaml = self.yaml
        made: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or (event.value == "<<" and not event.style):
                raise Fault(
                    "ValidationError", f"Template format error: YAML not well-formed. {_at(event)}"
                )
            key = event.value
            if key in made:
                text = (
                    f"Template format error: YAML not well-formed. Duplicate key {key} {_at(event)}"
                )
                raise Fault("ValidationError", text)
            made[key] = self.node(next(self.events), depth + 1)
        return made

    def scalar(self, event: Any) -> Any:
        text = event.value
        if event.tag is not None and event.tag.endswith(":str"):
            return text
        if not event.implicit[0] or (event.tag is not None and event.tag.startswith("!")):
            return text  # quoted, a block, or a function's argument
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.match(text) and len(text) < 19:
            return int(text)
        if _FLOAT.match(text) and len(text) < 19:
            return float(text)
        return text


def _at(event: Any) -> str:
    return f"(line {event.start_mark.line + 1}, column {event.start_mark.column + 1})"


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        return _Reader(text).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        message = f"Template format error: YAML not well-formed.{where}"
    except (yaml.YAMLError, StopIteration, UnicodeError):
        message = "Template format error: YAML not well-formed."
    raise Fault("ValidationError", message)
