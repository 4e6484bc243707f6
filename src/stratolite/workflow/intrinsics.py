"""Intrinsic functions: States.Format('Hello {}', $.name) and its fellows.

    call = parse("States.Array($.a, States.UUID())")       # ValueError: it is no call
    call.value(view)                                       # Trouble (States.IntrinsicFailure): it cannot be computed

Source  https://docs.aws.amazon.com/step-functions/latest/dg/intrinsic-functions.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from stratolite.workflow import paths
from stratolite.workflow.failures import INTRINSIC, Trouble
from stratolite.workflow.surroundings import View, seeded

ARRAY_LENGTH_MAX = 1000
"""Of ArrayRange."""
TEXT_LENGTH_MAX = 10_000
"""Of what Base64Encode, Base64Decode and Hash work on."""
_DEPTH_MAX = 10
_NAME = re.compile(r"States\.([A-Za-z0-9]+)\(")
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?(?=\s*[,)])")
_HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Text:
    """A literal with its {} still in it; ``pieces`` are what stands between them, unescaped."""

    pieces: tuple[str, ...]

    @property
    def plain(self) -> str:
        return "{}".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple[Any, ...]

    def value(self, view: View) -> Any:
        """Raises Trouble, paths.Missing as a path's reading does."""
        given = [_value(argument, view) for argument in self.arguments]
        return _FUNCTIONS[self.name](given, self, view)


def _value(argument: Any, view: View) -> Any:
    if isinstance(argument, Text):
        return argument.plain
    if isinstance(argument, paths.Path):
        return view.read(argument)
    if isinstance(argument, Call):
        return argument.value(view)
    return argument


@lru_cache(maxsize=2048)
def parse(text: str) -> Call:
    """Raises ValueError for what is no call of a function there is, with as many arguments as it takes."""
    call, at = _call(text, 0, 1)
    if text[at:].strip():
        raise ValueError(text)
    return call


def _call(text: str, at: int, depth: int) -> tuple[Call, int]:
    found = _NAME.match(text, at)
    if found is None or found[1] not in _FUNCTIONS or depth > _DEPTH_MAX:
        raise ValueError(text)
    name, at = found[1], found.end()
    arguments: list[Any] = []
    at = _blank(text, at)
    while not text.startswith(")", at):
        argument, at = _argument(text, at, depth)
        arguments.append(argument)
        at = _blank(text, at)
        if text.startswith(",", at):
            at = _blank(text, at + 1)
            if text.startswith(")", at):
                raise ValueError(text)
        elif not text.startswith(")", at):
            raise ValueError(text)
    least, most = _ARGUMENTS[name]
    if not least <= len(arguments) <= most:
        raise ValueError(text)
    return Call(name, tuple(arguments)), at + 1


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _argument(text: str, at: int, depth: int) -> tuple[Any, int]:
    if text.startswith("'", at):
        return _text(text, at + 1)
    if text.startswith("States.", at):
        return _call(text, at, depth + 1)
    if text.startswith("$", at):
        end = _end_of_path(text, at)
        return paths.parse(text[at:end].rstrip()), end
    for word, value in (("true", True), ("false", False), ("null", None)):
        if text.startswith(word, at):
            return value, at + len(word)
    number = _NUMBER.match(text, at)
    if number is None:
        raise ValueError(text)
    is_whole = number[1] is None and number[2] is None
    return (int(number[0]) if is_whole else float(number[0])), number.end()


def _text(text: str, at: int) -> tuple[Text, int]:
    pieces: list[str] = []
    made = ""
    while at < len(text):
        letter = text[at]
        if letter == "'":
            return Text((*pieces, made)), at + 1
        if letter == "\\":
            escaped = text[at + 1 : at + 2]
            if escaped not in ("'", "{", "}", "\\") or not escaped:
                raise ValueError(text)
            made, at = made + escaped, at + 2
        elif text.startswith("{}", at):
            pieces.append(made)
            made, at = "", at + 2
        else:
            made, at = made + letter, at + 1
    raise ValueError(text)


def _end_of_path(text: str, at: int) -> int:
    depth, quote = 0, ""
    while at < len(text):
        letter = text[at]
        if quote:
            if letter == "\\":
                at += 1
            elif letter == quote:
                quote = ""
        elif letter in "'\"":
            quote = letter
        elif letter in "[(":
            depth += 1
        elif letter in "])" and depth:
            depth -= 1
        elif letter in ",)" and not depth:
            return at
        at += 1
    raise ValueError(text)


# -- the functions


def _bad(call: Call) -> Trouble:
    return Trouble(f"Invalid arguments in States.{call.name}", INTRINSIC)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _whole(value: Any, call: Call) -> int:
    """Numbers are rounded to whole ones as Java does it, halves upwards."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(call)
    return math.floor(value + 0.5) if isinstance(value, float) else value


def _list(value: Any, call: Call) -> list[Any]:
    if not isinstance(value, list):
        raise _bad(call)
    return value


def _string(value: Any, call: Call) -> str:
    if not isinstance(value, str):
        raise _bad(call)
    return value


def _short(value: Any, call: Call) -> str:
    text = _string(value, call)
    if len(text) > TEXT_LENGTH_MAX:
        raise _bad(call)
    return text


def _format(given: list[Any], call: Call, view: View) -> Any:
    template = call.arguments[0]
    pieces = template.pieces if isinstance(template, Text) else _pieces(given[0], call)
    if len(pieces) != len(given):
        raise _bad(call)
    made = [pieces[0]]
    for value, piece in zip(given[1:], pieces[1:], strict=True):
        made += [_java(value), piece]
    return "".join(made)


def _java(value: Any) -> str:
    """As AWS writes objects and lists into texts: {a=1, b=[]}."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}={_java(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_java, value)) + "]"
    return _shown(value)


def _pieces(value: Any, call: Call) -> tuple[str, ...]:
    return tuple(_string(value, call).split("{}"))


def _string_to_json(given: list[Any], call: Call, view: View) -> Any:
    text = _string(given[0], call)
    if not text.strip():
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad(call) from error


def _array_partition(given: list[Any], call: Call, view: View) -> Any:
    items, size = _list(given[0], call), _whole(given[1], call)
    if size < 1:
        raise _bad(call)
    return [items[at : at + size] for at in range(0, len(items), size)]


def _array_contains(given: list[Any], call: Call, view: View) -> Any:
    return any(_same(one, given[1]) for one in _list(given[0], call))


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _array_range(given: list[Any], call: Call, view: View) -> Any:
    first, last, step = (_whole(value, call) for value in given)
    if step == 0 or abs(last - first) // abs(step) + 1 > ARRAY_LENGTH_MAX:
        raise _bad(call)
    return list(range(first, last + (1 if step > 0 else -1), step))


def _array_get_item(given: list[Any], call: Call, view: View) -> Any:
    items, at = _list(given[0], call), _whole(given[1], call)
    if not 0 <= at < len(items):
        raise _bad(call)
    return items[at]


def _array_unique(given: list[Any], call: Call, view: View) -> Any:
    seen: dict[bytes, Any] = {}
    for one in _list(given[0], call):
        seen.setdefault(orjson.dumps(one, option=orjson.OPT_SORT_KEYS), one)
    return list(seen.values())


def _base64_encode(given: list[Any], call: Call, view: View) -> Any:
    return base64.b64encode(_short(given[0], call).encode()).decode()


def _base64_decode(given: list[Any], call: Call, view: View) -> Any:
    try:
        return base64.b64decode(_short(given[0], call), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _bad(call) from error


def _hash(given: list[Any], call: Call, view: View) -> Any:
    kind = _HASHES.get(_string(given[1], call))
    text = _shown(given[0])
    if kind is None or len(text) > TEXT_LENGTH_MAX:
        raise _bad(call)
    return hashlib.new(kind, text.encode(), usedforsecurity=False).hexdigest()


def _json_merge(given: list[Any], call: Call, view: View) -> Any:
    first, second, is_deep = given
    if not isinstance(first, dict) or not isinstance(second, dict) or is_deep is not False:
        raise _bad(call)  # AWS offers the shallow merge alone
    return {**first, **second}


def _math_random(given: list[Any], call: Call, view: View) -> Any:
    first, last = _whole(given[0], call), _whole(given[1], call)
    if last <= first:
        raise _bad(call)
    number = seeded(given[2]) if len(given) == 3 else view.chance.number()
    return first + int(number * (last - first))


def _math_add(given: list[Any], call: Call, view: View) -> Any:
    return _whole(given[0], call) + _whole(given[1], call)


def _string_split(given: list[Any], call: Call, view: View) -> Any:
    text, letters = _string(given[0], call), _string(given[1], call)
    if not letters:
        return [text]
    return [part for part in re.split("[" + re.escape(letters) + "]", text) if part]


_FUNCTIONS: dict[str, Callable[[list[Any], Call, View], Any]] = {
    "Array": lambda given, call, view: given,
    "ArrayContains": _array_contains,
    "ArrayGetItem": _array_get_item,
    "ArrayLength": lambda given, call, view: len(_list(given[0], call)),
    "ArrayPartition": _array_partition,
    "ArrayRange": _array_range,
    "ArrayUnique": _array_unique,
    "Base64Decode": _base64_decode,
    "Base64Encode": _base64_encode,
    "Format": _format,
    "Hash": _hash,
    "JsonMerge": _json_merge,
    "JsonToString": lambda given, call, view: orjson.dumps(given[0]).decode(),
    "MathAdd": _math_add,
    "MathRandom": _math_random,
    "StringSplit": _string_split,
    "StringToJson": _string_to_json,
    "UUID": lambda given, call, view: view.chance.uuid(),
}
_ARGUMENTS = {
    "Array": (0, 1000), "ArrayContains": (2, 2), "ArrayGetItem": (2, 2), "ArrayLength": (1, 1), "ArrayPartition": (2, 2),
    "ArrayRange": (3, 3), "ArrayUnique": (1, 1), "Base64Decode": (1, 1), "Base64Encode": (1, 1), "Format": (1, 1000),
    "Hash": (2, 2), "JsonMerge": (3, 3), "JsonToString": (1, 1), "MathAdd": (2, 2), "MathRandom": (2, 3), "StringSplit": (2, 2),
    "StringToJson": (1, 1), "UUID": (0, 0),
}  # fmt: skip
