"""Turns parsed JSON and CBOR trees into dicts of the model, checking every type, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from stratolite.wire import scalars
from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import Malformed

Convert = Callable[[Any], Any]

DEPTH_MAX = 200  # orjson writes no deeper than 254


def _string(value: Any) -> str:
    if type(value) is str:
        return value
    raise _wrong(value, "a String", "java.lang.String")


def _integer(value: Any) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int:
        if not scalars.INTEGER_MIN <= value <= scalars.INTEGER_MAX:
            raise Malformed("NUMBER_VALUE can not be converted to a Long")
        return value
    raise _wrong(value, "an Integer", "java.lang.Integer")


def _long(value: Any) -> int:
    if type(value) is int or type(value) is float:
        return _integer(value)
    raise _wrong(value, "a Long", "java.lang.Long")


def _number(value: Any) -> float:
    if type(value) is float or type(value) is int:
        return value
    if type(value) is str and value in ("NaN", "Infinity", "-Infinity"):
        return scalars.number(value)
    raise _wrong(value, "a Double", "java.lang.Double")


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _wrong(value, "a Boolean", "java.lang.Boolean")


def _dynamodb_boolean(value: Any) -> bool:
    """DynamoDB takes some texts for one (recorded from AWS by https://github.com/architect/dynalite)."""
    if type(value) is bool:
        return value
    if type(value) is str:
        if value.upper() in ("TRUE", "1", "YES"):
            return True
        if value.upper() in ("FALSE", "0", "NO"):
            return False
        raise Malformed("Unexpected token received from parser")
    return _boolean(value)


def _base64(value: Any) -> bytes:
    if type(value) is str:
        return scalars.blob(value)
    raise _wrong(value, "a ByteBuffer", "java.nio.ByteBuffer")


def _bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise _wrong(value, "a ByteBuffer", "java.nio.ByteBuffer")


def _timestamp(value: Any) -> float:
    if type(value) is float or type(value) is int:
        if not scalars.TIMESTAMP_MIN <= value <= scalars.TIMESTAMP_MAX:  # also refuses NaN
            raise Malformed("Invalid date value")
        return value
    if type(value) is str:
        return scalars.timestamp(value)
    if isinstance(value, datetime):
        return value.timestamp()
    raise _wrong(value, "a Timestamp", "java.util.Date")


_JAVA = {"boolean": "Boolean", "integer": "Integer", "long": "Long", "double": "Double"}
_SCALARS: dict[str, Convert] = {
    "string": _string,
    "character": _string,
    "integer": _integer,
    "long": _long,
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "blob": _base64,
}


def _wrong(value: Any, wanted: str, java: str) -> Malformed:
    if isinstance(value, dict):
        return Malformed("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return Malformed(f"Unrecognized collection type class {java}")
    if isinstance(value, bool):
        return Malformed(f"{'TRUE' if value else 'FALSE'}_VALUE can not be converted to {wanted}")
    if isinstance(value, str):
        return Malformed(f"STRING_VALUE can not be converted to {wanted}")
    if isinstance(value, bytes):
        return Malformed(f"BINARY_VALUE can not be converted to {wanted}")
    if isinstance(value, float):
        return Malformed(f"DECIMAL_VALUE can not be converted to {wanted}")
    if isinstance(value, int):
        return Malformed(f"NUMBER_VALUE can not be converted to {wanted}")
    return Malformed(f"NULL_VALUE can not be converted to {wanted}")


class Readers:
    """Strict readers of one model's shapes, compiled as asked for."""

    def __init__(self, model: Model, *, cbor: bool = False) -> None:
        self._model = model
        self._cbor = cbor
        self._structures: dict[str, Convert] = {}
        self._is_dynamodb = model.service.startswith("dynamodb")
        names = model.operations if self._is_dynamodb else ()
        self._inputs = {ref["shape"] for name in names if (ref := model.input(name)) is not None}

    def of(self, ref: Ref) -> Convert:
        kind = ref["type"]
        if ref["shape"] in self._model.json_shapes:
            return self._document_structure(ref)
        if kind == "structure":
            return _document if ref.get("document") else self._structure(ref)
        if kind == "list":
            return _list(self.of(self._model.resolve(ref["member"])), bool(ref.get("sparse")))
        if kind == "map":
            value = self._model.resolve(ref["value"])
            named = self._java(ref) if self._is_dynamodb else "java.util.Map"
            fills = value["shape"] in self._model.json_shapes
            return _map(self.of(value), bool(ref.get("sparse")), named, fills=fills)
        if kind == "blob" and self._cbor:
            return _bytes
        if kind == "boolean" and self._is_dynamodb:
            return _dynamodb_boolean
        return _SCALARS[kind]

    def _of_list(self, ref: Ref) -> str:
        """What is said of a list where a structure belongs; DynamoDB names its class, but not of a whole request."""
        if not self._is_dynamodb or ref["shape"] in self._inputs:
            return "Start of list found where not expected"
        return f"Unrecognized collection type {self._java(ref, 'class ')}"

    def _java(self, ref: Ref, of_class: str = "") -> str:
        kind = ref["type"]
        if kind == "list":
            return f"java.util.List<{self._java(self._model.resolve(ref['member']))}>"
        if kind == "map":
            return (
                f"java.util.Map<java.lang.String, {self._java(self._model.resolve(ref['value']))}>"
            )
        if kind == "structure":
            return f"{of_class}com.amazonaws.dynamodb.v20120810.{ref['shape']}"
        return f"{of_class}java.lang.{_JAVA.get(kind, 'String')}"

    def _document_structure(self, ref: Ref) -> Convert:
        of_list = self._of_list(ref)

        def read(value: Any) -> Any:
            if type(value) is not dict:
                if isinstance(value, list):
                    raise Malformed(of_list)
                raise _wrong_collection(value)
            return value

        return read

    def _member(self, ref: Ref) -> Convert:
        """A reader of a structure's member, which DynamoDB words otherwise than an element where it is no structure."""
        if not self._is_dynamodb or ref["type"] != "structure" or ref.get("document"):
            return self.of(ref)
        return self._structure(ref, "Unexpected field type")

    def _structure(self, ref: Ref, said: str = "Unexpected value type in payload") -> Convert:
        """``said``: of what is neither a structure nor a list."""
        found = self._structures.get(ref["shape"] + said)
        if found is not None:
            return found
        table: dict[str, tuple[str, Convert]] = {}
        of_list = self._of_list(ref)

        def structure(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise Malformed(of_list if isinstance(value, list) else said)
            out = {}
            for key, item in value.items():
                entry = table.get(key)
                if entry is not None and item is not None:
                    out[entry[0]] = entry[1](item)
            return out

        self._structures[ref["shape"] + said] = structure
        for name, member in self._model.members(ref).items():
            table[member.get("locationName", name)] = (name, self._member(member))
        return structure

    def fields(self, members: dict[str, Ref]) -> Convert:
        """A reader of an unnamed structure made of ``members`` (the body part of a REST input)."""
        table = {m.get("locationName", name): (name, self.of(m)) for name, m in members.items()}

        def structure(value: Any) -> dict[str, Any]:
            if type(value) is not dict:
                raise _wrong_collection(value)
            out = {}
            for key, item in value.items():
                entry = table.get(key)
                if entry is not None and item is not None:
                    out[entry[0]] = entry[1](item)
            return out

        return structure


def _wrong_collection(value: Any) -> Malformed:
    if isinstance(value, list):
        return Malformed("Start of list found where not expected")
    return Malformed("Unexpected value type in payload")


def _document(value: Any) -> Any:
    return value


def _list(element: Convert, sparse: bool) -> Convert:
    def read(value: Any) -> list[Any]:
        if type(value) is not list:
            if isinstance(value, dict):
                raise Malformed("Start of structure or map found where not expected.")
            raise Malformed("Unexpected field type")
        if sparse:
            return [None if item is None else element(item) for item in value]
        return [element(item) for item in value]

    return read


def _map(element: Convert, sparse: bool, named: str, *, fills: bool) -> Convert:
    """``fills``: for DynamoDB a null is an AttributeValue that is empty, not an absent one."""

    def read(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            if isinstance(value, list):
                raise Malformed(f"Unrecognized collection type {named}")
            raise Malformed("Unexpected field type")
        out = {}
        for key, item in value.items():
            if type(key) is not str:
                raise _wrong(key, "a String", "java.lang.String")
            if item is not None:
                out[key] = element(item)
            elif sparse:
                out[key] = None
            elif fills:
                out[key] = {}
        return out

    return read


class Writers:
    """Converters of answers into JSON or CBOR trees; None where nothing has to change."""

    def __init__(self, model: Model, *, cbor: bool = False, millis: bool = False) -> None:
        self._model = model
        self._cbor = cbor
        self._millis = millis
        self._identity: dict[str, bool] = {}
        self._structures: dict[str, Convert] = {}
        self._is_dynamodb = model.service.startswith("dynamodb")
        names = model.operations if self._is_dynamodb else ()
        self._inputs = {ref["shape"] for name in names if (ref := model.input(name)) is not None}

    def of(self, ref: Ref) -> Convert | None:
        if self.is_identity(ref):
            return None
        kind = ref["type"]
        if kind == "structure":
            return self._structure(ref)
        if kind == "list":
            element = self.of(self._model.resolve(ref["member"]))
            assert element is not None  # or the list were identity
            return _each(element)
        if kind == "map":
            element = self.of(self._model.resolve(ref["value"]))
            assert element is not None  # or the map were identity
            return _each_value(element)
        if kind == "timestamp":
            if self._cbor:
                from cbor2 import CBORTag

                if self._millis:
                    return lambda seconds: CBORTag(1, round(seconds * 1000))
                return lambda seconds: CBORTag(1, seconds)
            return scalars.TIMESTAMP_WRITERS[ref["timestampFormat"]]
        return _json_number

    def is_identity(self, ref: Ref) -> bool:
        """Whether the serialiser writes the value as it is (orjson gets blobs through ``default``)."""
        seen: set[str] = set()
        stack = [ref]
        while stack:
            ref = stack.pop()
            kind = ref["type"]
            if kind == "timestamp":
                if self._cbor or ref.get("timestampFormat", "unixTimestamp") != "unixTimestamp":
                    return False
            elif kind in ("float", "double"):
                if not self._cbor:
                    return False
            elif kind == "list":
                stack.append(self._model.resolve(ref["member"]))
            elif kind == "map":
                stack.append(self._model.resolve(ref["value"]))
            elif kind == "structure" and not ref.get("document"):
                name = ref["shape"]
                if name in seen or name in self._model.json_shapes:
                    continue
                seen.add(name)
                for key, member in self._model.members(ref).items():
                    if not self._cbor and member.get("locationName", key) != key:
                        return False
                    stack.append(member)
        return True

    def _structure(self, ref: Ref) -> Convert:
        found = self._structures.get(ref["shape"])
        if found is not None:
            return found
        table: dict[str, tuple[str, Convert | None]] = {}
        self._structures[ref["shape"]] = write = _fields(table)
        self._fill(table, self._model.members(ref))
        return write

    def fields(self, members: dict[str, Ref]) -> Convert | None:
        """A writer of an unnamed structure made of ``members``."""
        table: dict[str, tuple[str, Convert | None]] = {}
        self._fill(table, members)
        return _fields(table) if table else None

    def _fill(self, table: dict[str, tuple[str, Convert | None]], members: dict[str, Ref]) -> None:
        for name, member in members.items():
            wire = name if self._cbor else member.get("locationName", name)
            convert = self.of(member)
            if convert is not None or wire != name:
                table[name] = (wire, convert)


def _fields(table: dict[str, tuple[str, Convert | None]]) -> Convert:
    def write(value: Any) -> dict[str, Any]:
        out = {}
        for name, item in value.items():
            if item is None:
                continue
            entry = table.get(name)
            if entry is None:
                out[name] = item
            else:
                wire, convert = entry
                out[wire] = item if convert is None else convert(item)
        return out

    return write


def _each(element: Convert) -> Convert:
    return lambda value: [None if item is None else element(item) for item in value]


def _each_value(element: Convert) -> Convert:
    return lambda value: {
        key: None if item is None else element(item) for key, item in value.items()
    }


def _json_number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return scalars.number_text(value)
    return value
