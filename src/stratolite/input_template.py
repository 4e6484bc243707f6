"""What a target is sent in place of the whole event: a path into it, or a text with parts of it filled in.

    select("$.detail.items[0].id", event)                      -> a value, or MISSING
    fill('{"who": <name>, "text": "for <name>"}', values.get)   -> JSON text
    fill_text('for <name>', values.get)                         -> text that need not be JSON

In a template, <name> outside a JSON string stands for the value as JSON ("" if it is missing); inside a string for
its text: strings as they are, objects and lists as JSON, without its quotation marks if the template is a string and no
object: with them the result is no JSON. It must be JSON, or lines of JSON strings, as AWS demands. ValueError says it is
neither.

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
         answers recorded from AWS in localstack/localstack, tests/aws/services/events/test_events_inputs.snapshot.json
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

MISSING: Any = object()
_PLACEHOLDER = re.compile(r"<([A-Za-z0-9_.$\[\]*'\"/-]+)>")
_STEP = re.compile(r"""\.([A-Za-z0-9_/*$@-]+)|\[(\d+|\*)\]|\['([^']*)'\]|\["([^"]*)"\]""")
_PATH_STEPS_MAX = 100


def steps(path: str) -> list[str | int]:
    """``$.a.b[0]`` as ["a", "b", 0]; "*" stands for all elements. Raises ValueError for what is no path."""
    if not path.startswith("$"):
        raise ValueError(path)
    found: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or len(found) == _PATH_STEPS_MAX:
            raise ValueError(path)
        name, index, single, double = step.groups()
        if index is not None:
            found.append(index if index == "*" else int(index))
        else:
            found.append(next(n for n in (name, single, double) if n is not None))
        at = step.end()
    return found


def select(path: str, document: Any) -> Any:
    """The value at ``path``, MISSING if there is none. Raises ValueError for what is no path."""
    return _select(steps(path), document)


def _select(path: list[str | int], value: Any) -> Any:
    for number, step in enumerate(path):
        if step == "*" and isinstance(value, list):
            inner = (_select(path[number + 1 :], one) for one in value)
            return [one for one in inner if one is not MISSING]
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return MISSING
            value = value[step]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return MISSING
    return value


def placeholders(template: str) -> list[str]:
    """The names in a template, in order, each as often as it occurs."""
    return _PLACEHOLDER.findall(template)


def fill(template: str, value_of: Callable[[str], Any], *, must_be_json: bool = True) -> str:
    """The template with its placeholders replaced. Raises ValueError if what comes out is not JSON."""
    out: list[str] = []
    at, quoted, is_object = 0, False, template.lstrip().startswith(("{", "["))
    for found in _PLACEHOLDER.finditer(template):
        between = template[at : found.start()]
        quoted = _is_quoted(between, quoted=quoted)
        out.append(between)
        value = value_of(found[1])
        out.append(_in_string(value, is_object=is_object) if quoted else _bare(value))
        at = found.end()
    out.append(template[at:])
    text = "".join(out)
    if must_be_json and not is_json(text):
        raise ValueError(text[:200])
    return text


def fill_text(template: str, value_of: Callable[[str], Any]) -> str:
    """The template as plain text: strings as they are, other values as JSON, nothing for what is missing."""

    def plain(found: re.Match[str]) -> str:
        value = value_of(found[1])
        if value is MISSING:
            return ""
        return value if isinstance(value, str) else orjson.dumps(value).decode()

    return _PLACEHOLDER.sub(plain, template)


def is_json(text: str) -> bool:
    """One JSON document, or lines of JSON strings."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        lines = text.split("\n")
        if len(lines) < 2 or not all(line.strip().startswith('"') for line in lines):
            return False
        try:
            for line in lines:
                orjson.loads(line)
        except orjson.JSONDecodeError:
            return False
    return True


def _is_quoted(text: str, *, quoted: bool) -> bool:
    """Whether the end of ``text`` is inside a JSON string, if its start is."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
    return quoted


def _bare(value: Any) -> str:
    return '""' if value is MISSING else orjson.dumps(value).decode()


def _in_string(value: Any, *, is_object: bool) -> str:
    if value is MISSING:
        return ""
    if isinstance(value, str):
        return orjson.dumps(value)[1:-1].decode()
    text = orjson.dumps(value).decode()
    if is_object:
        if '"' in text:
            raise ValueError(f"{text[:200]} is no part of a string")
        return text
    return text.replace('\\"', "").replace('"', "").replace("\\", "\\\\")
