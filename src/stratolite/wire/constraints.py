"""Holds a request against its model's constraints: required, lengths, ranges, patterns, enums, in AWS's words.

For services whose ``Service.validated`` says so (``service.perform`` asks before it runs an operation). The checks of
an operation are compiled from botocore's model at its first call; the constraints are not kept anywhere else.

Words as AWS's JSON services say them: "2 validation errors detected: Value 'x y' at 'name' failed to satisfy
constraint: Member must satisfy regular expression pattern: [a-z]+; Value ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.wire.model import read_raw

_CODES = {
    "ecr": "InvalidParameterException",
    "iam": "ValidationError",
    "resourcegroupstaggingapi": "InvalidParameterException",
    "s3tables": "BadRequestException",
    "sts": "ValidationError",
    "scheduler": "ValidationException",
    "pipes": "ValidationException",
}
_INPUT_NAMED = frozenset({"apigateway"})
"""Services that say 'putIntegrationInput.type' of a member of the body, and 'responseType' of one in the path."""
_PATTERNS = {"s3tables": {"NamespaceName": "[0-9a-z_-]*"}}
"""Service -> shape -> its pattern, where AWS takes more than its model says: the namespaces of S3 Metadata's tables."""
_ENUMS = {
    "events": {
        "ApiDestinationHttpMethod": ["HEAD", "POST", "PATCH", "DELETE", "PUT", "GET", "OPTIONS"],
        "ConnectionOAuthHttpMethod": ["GET", "POST", "PUT", "get", "post", "put"],
    }
}
"""Service -> shape -> its values, where AWS lists them in another order, or takes more than its model says.

localstack/localstack, tests/aws/services/events/test_api_destinations_and_connection.snapshot.json
"""
_ELEMENTS = {
    "PutEventsRequestEntry": (
        "Time", "Source", "Resources", "DetailType", "Detail", "EventBusName", "TraceHeader", "KmsKeyIdentifier", "InternalMetadata",
    ),
}  # fmt: skip
"""Shape -> its members as AWS's own program has them, whose lists it shows as Java does: "[PutEventsRequestEntry(time=null, ...)]".

localstack/localstack, tests/aws/services/events/test_events.snapshot.json
"""
_ERRORS_COUNT_MAX = 50
_DEPTH_MAX = 32
Check = Callable[[Any, str], Iterator[str]]

# Patterns of the models that say in more than one way how a blank may be read: against blanks and one bad character
# Python's engine would try all of them, for years. On the right what takes the same texts and reads them once.
_TEXT = r"\t*[\x20-\x7E][\t\x20-\x7E]*"
_READ_ONCE = {
    r"^[ \t]*[\x20-\x7E]+([ \t]+[\x20-\x7E]+)*[ \t]*$": _TEXT,
    r"[ \t]*[\x20-\x7E]+([ \t]+[\x20-\x7E]+)*[ \t]*|(\$(\.[\w/_-]+(\[(\d+|\*)\])*)*)": (
        rf"{_TEXT}|(\$(\.[\w/_-]+(\[(\d+|\*)\])*)*)"
    ),
    r"^[ \t]*[^\x00-\x1F:\x7F]+([ \t]+[^\x00-\x1F:\x7F]+)*[ \t]*$": r"\t*[^\x00-\x1F:\x7F][^\x00-\x08\x0A-\x1F:\x7F]*",
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"[a-z0-9*]+(?:[._\-/][a-z0-9*]+)*",
    r"^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$": r"[a-z0-9A-Z][\.\-\w]*[a-z0-9A-Z]",
}


def check(service: str, operation: str, request: dict[str, Any]) -> None:
    """Raises Fault for a request that is not as the model of ``service`` says."""
    checker = _compiled(service, operation)
    if checker is None:
        return
    found: list[str] = []
    for sentence in checker(request, ""):
        found.append(sentence)
        if len(found) == _ERRORS_COUNT_MAX:
            break
    if service == "iam":
        found = list(_terse(found))
    if found and service in _INPUT_NAMED:
        found = [_of_input(service, operation, sentence) for sentence in found]
    if found:
        count = f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected"
        code = _CODES.get(service, "ValidationException")
        raise Fault(code, f"{count}: {'; '.join(found)}", status=400)


def _of_input(service: str, operation: str, sentence: str) -> str:
    """The sentence with the member's place as part of the operation's input, if it is in the body."""
    value, at, rest = sentence.rpartition(" at '")
    first = re.split(r"[.']", rest, maxsplit=1)[0]
    if first in _outside_body(service, operation):
        return sentence
    return f"{value}{at}{_lower(operation)}Input.{rest}"


@lru_cache(maxsize=256)
def _outside_body(service: str, operation: str) -> frozenset[str]:
    raw = _raw(service)
    shape = raw["shapes"][raw["operations"][operation]["input"]["shape"]]
    return frozenset(_lower(n) for n, m in shape["members"].items() if "location" in m)


_NAME_PATTERNS = ("[\\w+=,.@-]+", "[\\w+=/:,.@-]+", "(\\u002F)|")


def _terse(found: list[str]) -> Iterator[str]:
    """IAM does not repeat what it was given, and has its own words for names and paths: those are left to it."""
    for sentence in found:
        _, _, rest = sentence.rpartition(" at '")
        rest, enum, _ = rest.partition(" enum value set")
        pattern = rest.partition("regular expression pattern: ")[2]
        if not pattern.startswith(_NAME_PATTERNS):
            yield f"Value at '{rest}{enum}"


@lru_cache(maxsize=1024)
def _compiled(service: str, operation: str) -> Check | None:
    raw = _raw(service)
    if operation not in raw["operations"]:
        return None  # one part of the platform asks another
    shape = raw["operations"][operation].get("input")
    return _checker(raw["shapes"], shape["shape"], {}) if shape else None


@lru_cache(maxsize=1)
def _raw(service: str) -> dict[str, Any]:
    """Only the last one asked for is kept: compiling is rare and a model is large."""
    raw = read_raw(service)
    shapes = dict(raw["shapes"])
    for name, pattern in _PATTERNS.get(service, {}).items():
        shapes[name] = {**shapes[name], "pattern": pattern}
    for name, values in _ENUMS.get(service, {}).items():
        shapes[name] = {**shapes[name], "enum": values}
    return {**raw, "shapes": shapes}


def _checker(shapes: dict[str, Any], name: str, known: dict[str, Check]) -> Check:
    """The check of a shape; ``known`` ends the recursion of shapes that contain themselves."""
    if name in known:
        return lambda value, path: known[name](value, path)  # noqa: PLW0108 - known changes below
    known[name] = _nothing
    made = known[name] = _make(shapes, shapes[name], known)
    return made


def _nothing(value: Any, path: str) -> Iterator[str]:  # noqa: ARG001 - one shape for all checks
    return iter(())


def _make(shapes: dict[str, Any], shape: dict[str, Any], known: dict[str, Check]) -> Check:
    kind = shape["type"]
    if kind == "structure":
        return _structure(shapes, shape, known)
    if kind == "list":
        return _list(shape, _checker(shapes, shape["member"]["shape"], known))
    if kind == "map":
        keys = _checker(shapes, shape["key"]["shape"], known)
        return _map(shape, keys, _checker(shapes, shape["value"]["shape"], known))
    if kind == "string":
        return _string(shape)
    if kind in ("integer", "long", "float", "double"):
        return _number(shape)
    if kind == "blob":
        return _sized(shape)
    return _nothing


def _structure(shapes: dict[str, Any], shape: dict[str, Any], known: dict[str, Check]) -> Check:
    required = [(n, _lower(n)) for n in shape.get("required", ())]
    members = {
        n: (_lower(n), _checker(shapes, m["shape"], known))
        for n, m in shape.get("members", {}).items()
    }

    def structure(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, dict) or path.count(".") > _DEPTH_MAX:
            return
        for name, lower in required:
            if value.get(name) is None:
                yield f"Value null at '{path}{lower}' failed to satisfy constraint: Member must not be null"
        for name, inner in value.items():
            found = members.get(name)
            if found is not None and inner is not None:
                yield from found[1](inner, f"{path}{found[0]}.")

    return structure


def _list(shape: dict[str, Any], each: Check) -> Check:
    size, element = _length(shape), shape["member"]["shape"]

    def elements(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, list):
            for sentence in size(value, path):
                yield (
                    sentence.replace(_shown(value), _as_java(element, value), 1)
                    if element in _ELEMENTS
                    else sentence
                )
            for number, inner in enumerate(value, 1):
                yield from each(inner, f"{path}{number}.member.")

    return elements


def _map(shape: dict[str, Any], keys: Check, values: Check) -> Check:
    size = _length(shape)

    def entries(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            yield from size(value, path)
            for key, inner in value.items():
                yield from keys(key, path)
                yield from values(inner, f"{path}{key}.member.")

    return entries


def _string(shape: dict[str, Any]) -> Check:
    size, enum = _length(shape), shape.get("enum")
    pattern = _pattern(shape.get("pattern"))
    longest = shape.get("max")

    def text(value: Any, path: str) -> Iterator[str]:
        if not isinstance(value, str):
            return
        # a pattern is not tried on what is far too long for it
        tried = pattern is not None and (longest is None or len(value) <= 4 * longest)
        if tried and not pattern.fullmatch(value):  # type: ignore[union-attr]
            yield _says(
                value, path, f"satisfy regular expression pattern: {shape['pattern'].strip()}"
            )
        yield from size(value, path)
        if enum and value not in enum:
            yield _says(value, path, f"satisfy enum value set: [{', '.join(enum)}]")

    return text


def _number(shape: dict[str, Any]) -> Check:
    low, high = shape.get("min"), shape.get("max")

    def number(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if low is not None and value < low:
            yield _says(value, path, f"have value greater than or equal to {low}")
        if high is not None and value > high:
            yield _says(value, path, f"have value less than or equal to {high}")

    return number


def _sized(shape: dict[str, Any]) -> Check:
    size = _length(shape)

    def blob(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, bytes):
            yield from size(value, path)

    return blob


def _length(shape: dict[str, Any]) -> Check:
    low, high = shape.get("min"), shape.get("max")

    def length(value: Any, path: str) -> Iterator[str]:
        if low is not None and len(value) < low:
            yield _says(value, path, f"have length greater than or equal to {low}")
        if high is not None and len(value) > high:
            yield _says(value, path, f"have length less than or equal to {high}")

    return length


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    text = text.strip()
    try:
        return re.compile(_READ_ONCE.get(text, text), re.DOTALL)
    except re.error:  # Java's \p{...}: left to the service
        return None


def _says(value: Any, path: str, constraint: str) -> str:
    shown = value if isinstance(value, str) else _shown(value)
    at = path.removesuffix(".")
    return f"Value '{shown}' at '{at}' failed to satisfy constraint: Member must {constraint}"


def _as_java(element: str, values: list[Any]) -> str:
    made = []
    for value in values:
        told = value if isinstance(value, dict) else {}
        members = (f"{_lower(name)}={_java(told.get(name))}" for name in _ELEMENTS[element])
        made.append(f"{element}({', '.join(members)})")
    return f"[{', '.join(made)}]"


def _java(value: Any) -> str:
    return "null" if value is None else value if isinstance(value, str) else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return f"[{', '.join(value)}]"
    return orjson.dumps(value, default=str).decode()


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
