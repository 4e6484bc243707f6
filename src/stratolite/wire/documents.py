"""Requests and answers as JSON documents in an SDK's spelling: members begin with a capital, times are text.

    read_request("stepfunctions", "StartExecution", {"StateMachineArn": ..., "Input": {"n": 1}})    # -> a request of the model
    write_answer("stepfunctions", "StartExecution", answer)                                          # -> {"ExecutionArn": ..., ...}

It is how workflows write calls of an AWS API. A member that is text in the model and is given as anything else becomes its
JSON text, a blob likewise, a streaming one always; names are found whatever their case, unknown ones are left out. Raises Malformed (ValueError).

Source  https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
"""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.wire import scalars
from stratolite.wire.faults import FaultWriter
from stratolite.wire.model import Model, Ref, load
from stratolite.wire.scalars import Malformed

_DEPTH_MAX = 100


def members(service: str, operation: str) -> frozenset[str]:
    """The names of the request's members, in lower case."""
    model = load(service)
    ref = model.input(operation)
    return frozenset() if ref is None else frozenset(n.lower() for n in model.members(ref))


def is_operation(service: str, operation: str) -> bool:
    return operation in load(service).operations


def is_error(service: str, code: str) -> bool:
    """Whether the service's model knows the error."""
    return code in load(service).errors()


def status(service: str, fault: Fault) -> int:
    """The HTTP status the fault would be answered with."""
    writer = _faults(service)
    return writer.status(fault, writer.shape(fault))


@lru_cache(maxsize=64)
def _faults(service: str) -> FaultWriter:
    model = load(service)
    return FaultWriter(model, model.protocols[0])


def read_request(service: str, operation: str, document: dict[str, Any]) -> dict[str, Any]:
    model = load(service)
    ref = model.input(operation)
    found: dict[str, Any] = {} if ref is None else _read(model, ref, document, 0)
    return found


def write_answer(service: str, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
    """What streams must have been read into bytes before."""
    model = load(service)
    ref = model.output(operation)
    found: dict[str, Any] = {} if ref is None else _write(model, ref, answer)
    return found


def _read(model: Model, ref: Ref, value: Any, depth: int) -> Any:
    kind = ref["type"]
    if depth > _DEPTH_MAX:
        raise Malformed("the document is nested too deep")
    if ref["shape"] in model.json_shapes or ref.get("document"):
        return value
    if kind == "structure":
        if not isinstance(value, dict):
            raise Malformed("Unexpected value type in payload")
        known = {name.lower(): (name, member) for name, member in model.members(ref).items()}
        made = {}
        for name, inner in value.items():
            entry = known.get(name.lower())
            if entry is not None and inner is not None:
                made[entry[0]] = _read(model, entry[1], inner, depth + 1)
        return made
    if kind == "list":
        if not isinstance(value, list):
            raise Malformed("Unexpected field type")
        element = model.resolve(ref["member"])
        return [_read(model, element, inner, depth + 1) for inner in value]
    if kind == "map":
        if not isinstance(value, dict):
            raise Malformed("Unexpected field type")
        element = model.resolve(ref["value"])
        return {name: _read(model, element, inner, depth + 1) for name, inner in value.items() if inner is not None}  # fmt: skip
    if kind == "blob" and ref.get("streaming"):
        return orjson.dumps(
            value
        )  # S3 gets even a string with its quotes, as AWS was recorded to do
    return _read_scalar(kind, value)


def _read_scalar(kind: str, value: Any) -> Any:
    if kind in ("string", "character"):
        return value if isinstance(value, str) else orjson.dumps(value).decode()
    if kind == "blob":
        return value.encode() if isinstance(value, str) else orjson.dumps(value)
    if kind == "timestamp":
        if isinstance(value, str):
            return scalars.timestamp(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Malformed("Invalid date value")
        return value
    if kind == "boolean":
        if not isinstance(value, bool):
            raise Malformed("STRING_VALUE can not be converted to a Boolean")
        return value
    if isinstance(value, str):
        return scalars.integer(value) if kind in ("integer", "long") else scalars.number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("the value is no number")
    return int(value) if kind in ("integer", "long") and float(value).is_integer() else value


def _write(model: Model, ref: Ref, value: Any) -> Any:
    if isinstance(value, orjson.Fragment):
        value = orjson.loads(orjson.dumps(value))
    if value is None or ref["shape"] in model.json_shapes or ref.get("document"):
        return orjson.loads(orjson.dumps(value))
    kind = ref["type"]
    if kind == "structure":
        known = model.members(ref)
        return {
            f"{name[:1].upper()}{name[1:]}": _write(model, known[name], inner)
            for name, inner in value.items()
            if inner is not None and name in known
        }
    if kind == "list":
        element = model.resolve(ref["member"])
        return [_write(model, element, inner) for inner in value]
    if kind == "map":
        element = model.resolve(ref["value"])
        return {name: _write(model, element, inner) for name, inner in value.items()}
    if kind == "timestamp":
        return scalars.iso8601(value)
    if kind == "blob":
        return _text(value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
