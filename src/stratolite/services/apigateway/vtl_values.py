"""The values of mapping templates: how Java shows them, what their methods do, what is in them.

JSON's values stay what they are in Python; an array read from JSON is a ``JsonArray``, which shows itself as JSON
where a list of the template's own shows itself as Java does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from stratolite import allowed_pattern

TEXT_CHARACTERS_MAX = 10 << 20
ITEMS_COUNT_MAX = 50_000


class Failed(Exception):
    """A template cannot go on; the request ends as an internal server error."""


class JsonArray(list[Any]):
    """An array out of JSON."""


class Methods:
    """An object with methods of its own: ``$input``, ``$util``."""

    def property(self, name: str) -> Any:
        return None

    def method(self, name: str, arguments: list[Any]) -> Any:
        raise NotImplementedError


def from_json(value: Any) -> Any:
    if isinstance(value, list):
        return JsonArray(from_json(item) for item in value)
    if isinstance(value, dict):
        return {key: from_json(item) for key, item in value.items()}
    return value


def to_json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError as error:
        raise Failed(str(error)) from error


def bounded(size: int) -> None:
    if size > TEXT_CHARACTERS_MAX:
        raise Failed("the template makes too much text")


def text(value: Any) -> str:
    """As Velocity writes it; nothing for what is not there."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, JsonArray):
        return to_json(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_inner(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inner(item) for item in value) + "]"
    if isinstance(value, Methods):
        return ""
    return str(value)


def _inner(value: Any) -> str:
    return "null" if value is None else text(value)


_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
}


def is_true(value: Any) -> bool:
    """Velocity 1.7: everything is but null and false."""
    return value is not None and value is not False


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float) and isinstance(right, int | float):
        return left == right
    if type(left) is not type(right) and left is not None and right is not None:
        return text(left) == text(right)
    # what is not there equals the empty text, as recorded against AWS
    if left is None or right is None:
        other = right if left is None else left
        return other is None or (isinstance(other, str) and not other)
    return bool(left == right)


def compared(operator: str, left: Any, right: Any) -> bool:
    if not (_is_number(left) and _is_number(right)):
        return False
    return bool(_COMPARED[operator](left, right))


def arithmetic(operator: str, left: Any, right: Any) -> Any:
    """Null where Java could not; whole numbers are divided as Java divides them."""
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        made = text(left) + text(right)
        bounded(len(made))
        return made
    if not (_is_number(left) and _is_number(right)):
        return None
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return _small(left * right)
    if right == 0:
        return None
    whole = isinstance(left, int) and isinstance(right, int)
    quotient = left / right
    if operator == "/":
        return _truncated(left, right) if whole else quotient
    return left - right * _truncated(left, right) if whole else left % right


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _small(value: float) -> int | float:
    if isinstance(value, int) and value.bit_length() > 64:
        raise Failed("a number is too large")
    return value


def _truncated(left: int, right: int) -> int:
    found = abs(left) // abs(right)
    return found if (left < 0) == (right < 0) else -found


def span(first: Any, last: Any) -> list[int]:
    if not (isinstance(first, int) and isinstance(last, int)):
        raise Failed("a range wants whole numbers")
    if abs(last - first) >= ITEMS_COUNT_MAX:
        raise Failed("a range is too long")
    step = 1 if last >= first else -1
    return list(range(first, last + step, step))


def items(value: Any) -> list[Any]:
    """What #foreach goes through."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def item(holder: Any, name: Any) -> Any:
    """A property, an entry, an element."""
    if isinstance(holder, Methods):
        return holder.property(str(name))
    if isinstance(holder, dict):
        found = holder.get(name if name in holder else text(name))
        if found is None and name not in holder and name == "empty":
            return not holder
        return found
    if isinstance(holder, list) and isinstance(name, int):
        return holder[name] if -len(holder) <= name < len(holder) else None
    if isinstance(holder, list | str) and name == "empty":
        return not holder
    return None


def set_item(holder: Any, name: Any, value: Any) -> None:
    if isinstance(holder, dict):
        if len(holder) >= ITEMS_COUNT_MAX:
            raise Failed("a map is too large")
        holder[name if isinstance(name, str) else text(name)] = value
    elif isinstance(holder, list) and isinstance(name, int) and -len(holder) <= name < len(holder):
        holder[name] = value


def call(holder: Any, name: str, arguments: list[Any]) -> Any:
    """A method's answer; null for a method nobody has."""
    if isinstance(holder, Methods):
        return holder.method(name, arguments)
    table: dict[str, Callable[..., Any]] = (
        _ON_TEXT
        if isinstance(holder, str)
        else _ON_MAP
        if isinstance(holder, dict)
        else _ON_LIST
        if isinstance(holder, list)
        else {}
    )
    found = table.get(name) or _ON_ALL.get(name)
    if found is None:
        return None
    try:
        return found(holder, *arguments)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise Failed(f"{name}: {error}") from error


def _put(holder: dict[str, Any], key: Any, value: Any) -> Any:
    old = holder.get(text(key))
    set_item(holder, text(key), value)
    return old


def _put_all(holder: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        set_item(holder, key, value)


def _add(holder: list[Any], *arguments: Any) -> bool:
    if len(holder) >= ITEMS_COUNT_MAX:
        raise Failed("a list is too long")
    if len(arguments) == 2:
        holder.insert(int(arguments[0]), arguments[1])
    else:
        holder.append(arguments[0])
    return True


def _add_all(holder: list[Any], more: list[Any]) -> bool:
    if len(holder) + len(more) > ITEMS_COUNT_MAX:
        raise Failed("a list is too long")
    holder.extend(list(more))
    return bool(more)


def _drop(holder: list[Any], what: Any) -> Any:
    if isinstance(what, int) and not isinstance(what, bool):
        return holder.pop(what)
    if what in holder:
        holder.remove(what)
        return True
    return False


# -- texts and regular expressions


def _tree(pattern: str) -> Any:
    try:
        return allowed_pattern.read(pattern)
    except allowed_pattern.Refused as error:
        raise Failed(f"the regular expression {pattern}: {error}") from error


def _found(pattern: str, subject: str) -> list[tuple[int, int]]:
    """Where a pattern matches, from left to right, each time as long as it can."""
    tree, at, places = _tree(pattern), 0, []
    match = allowed_pattern.Match(tree, subject)
    try:
        while at <= len(subject):
            end = max(match.through(tree, {at}), default=-1)
            if end > at:
                places.append((at, end))
                at = end
            else:
                if end == at:
                    places.append((at, at))
                at += 1
    except allowed_pattern.Refused as error:
        raise Failed(f"the regular expression {pattern}: {error}") from error
    return places


def _replace(subject: str, pattern: str, by: str, most: int | None = None) -> str:
    by = _replacement(text(by))
    pieces, at = [], 0
    for start, end in _found(text(pattern), subject)[:most]:
        pieces += [subject[at:start], by]
        at = end
    made = "".join([*pieces, subject[at:]])
    bounded(len(made))
    return made


def _replacement(by: str) -> str:
    """Java's: a backslash takes the next character as it is; groups are not offered."""
    out, at = [], 0
    while at < len(by):
        if by[at] == "\\":
            at += 1
        elif by[at] == "$":
            raise Failed("groups in a replacement are not offered")
        out.append(by[at : at + 1])
        at += 1
    return "".join(out)


def _split(subject: str, pattern: str, limit: int = 0) -> list[str]:
    pieces: list[str] = []
    at = 0
    for start, end in _found(text(pattern), subject):
        if limit > 0 and len(pieces) == limit - 1:
            break
        if end > start or start > at:
            pieces.append(subject[at:start])
            at = end
    pieces.append(subject[at:])
    if limit == 0:
        while len(pieces) > 1 and not pieces[-1]:
            pieces.pop()
    return pieces


def _matches(subject: str, pattern: str) -> bool:
    try:
        return allowed_pattern.matches(_tree(text(pattern)), subject)
    except allowed_pattern.Refused as error:
        raise Failed(f"the regular expression {pattern}: {error}") from error


def _plain_replace(subject: str, old: str, new: str) -> str:
    if len(new) > 1 and len(subject) * len(new) > TEXT_CHARACTERS_MAX * 4:
        raise Failed("the template makes too much text")
    made = subject.replace(old, new)
    bounded(len(made))
    return made


def _substring(subject: str, start: int, end: int | None = None) -> str:
    stop = len(subject) if end is None else end
    if not 0 <= start <= stop <= len(subject):
        raise Failed("substring: out of range")
    return subject[start:stop]


_ON_ALL: dict[str, Callable[..., Any]] = {
    "toString": text,
    "equals": equal,
    "intValue": int,
    "longValue": int,
    "doubleValue": float,
}
_ON_MAP: dict[str, Callable[..., Any]] = {
    "get": lambda m, key: m.get(text(key)),
    "getOrDefault": lambda m, key, other: m.get(text(key), other),
    "put": _put,
    "putAll": _put_all,
    "remove": lambda m, key: m.pop(text(key), None),
    "keySet": list,
    "values": lambda m: list(m.values()),
    "entrySet": lambda m: [_Entry(key, value) for key, value in m.items()],
    "containsKey": lambda m, key: text(key) in m,
    "containsValue": lambda m, value: value in m.values(),
    "size": len,
    "isEmpty": lambda m: not m,
}
_ON_LIST: dict[str, Callable[..., Any]] = {
    "get": lambda a, index: a[index],
    "set": lambda a, index, value: a.__setitem__(index, value),
    "add": _add,
    "addAll": _add_all,
    "remove": _drop,
    "contains": lambda a, value: value in a,
    "indexOf": lambda a, value: a.index(value) if value in a else -1,
    "size": len,
    "length": len,
    "isEmpty": lambda a: not a,
    "toArray": list,
}
_ON_TEXT: dict[str, Callable[..., Any]] = {
    "length": len,
    "isEmpty": lambda s: not s,
    "substring": _substring,
    "indexOf": lambda s, part, start=0: s.find(part, start),
    "lastIndexOf": lambda s, part: s.rfind(part),
    "charAt": lambda s, index: s[index],
    "contains": lambda s, part: part in s,
    "startsWith": lambda s, part: s.startswith(part),
    "endsWith": lambda s, part: s.endswith(part),
    "equalsIgnoreCase": lambda s, other: s.lower() == text(other).lower(),
    "compareTo": lambda s, other: (s > other) - (s < other),
    "toLowerCase": lambda s: s.lower(),
    "toUpperCase": lambda s: s.upper(),
    "trim": lambda s: s.strip(),
    "concat": lambda s, other: arithmetic("+", s, other),
    "replace": _plain_replace,
    "replaceAll": _replace,
    "replaceFirst": lambda s, pattern, by: _replace(s, pattern, by, 1),
    "split": _split,
    "matches": _matches,
}


class _Entry(Methods):
    """Of a map's ``entrySet``."""

    def __init__(self, key: str, value: Any) -> None:
        self._pair = {"key": key, "value": value}

    def property(self, name: str) -> Any:
        return self._pair.get(name)

    def method(self, name: str, arguments: list[Any]) -> Any:
        return self._pair.get({"getKey": "key", "getValue": "value"}.get(name, ""))
