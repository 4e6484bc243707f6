"""JSON bodies, in and out: typed decoding at C speed, with a slow reader that knows AWS's errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Annotated, Any, TypedDict

import msgspec
import orjson

from stratolite.wire.model import Model, Ref
from stratolite.wire.scalars import (
    INTEGER_MAX,
    INTEGER_MIN,
    TIMESTAMP_MAX,
    TIMESTAMP_MIN,
    Malformed,
    base64_text,
)
from stratolite.wire.tree import DEPTH_MAX, Convert, Readers, Writers

ReadBody = Callable[[bytes], dict[str, Any]]

_TYPES: dict[str, Any] = {
    "integer": Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)],
    "long": Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)],
    "timestamp": Annotated[float, msgspec.Meta(ge=TIMESTAMP_MIN, le=TIMESTAMP_MAX)],
    "float": float,
    "double": float,
    "boolean": bool,
    "blob": bytes,
}


class JsonBodies:
    """Readers and writers of one model's JSON bodies."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._readers = Readers(model)
        self._writers = Writers(model)
        self._types: dict[str, Any] = {}

    def reader(self, ref: Ref, members: dict[str, Ref] | None = None) -> ReadBody:
        """Body bytes -> dict of the model; of ``members`` only, if given. Raises Malformed.

        The first try decodes straight into the model's types without a walk, which fits all that
        SDKs send. What it refuses (nulls, times as text, NaN, and what is truly wrong) is read
        again by the strict reader.
        """
        strict = self._readers.of(ref) if members is None else self._readers.fields(members)
        fast = self._fast(ref, members)

        def read_slow(body: bytes) -> dict[str, Any]:
            return strict(parse(body))  # type: ignore[no-any-return]

        if fast is None:
            return read_slow

        def read(body: bytes) -> dict[str, Any]:
            try:
                found = fast(body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return strict(parse(body))  # type: ignore[no-any-return]
            if len(body) > _SHALLOW_SIZE_BYTES_MAX:
                check_depth(body)
            return found  # type: ignore[no-any-return]

        return read

    def writer(self, ref: Ref, members: dict[str, Ref] | None = None) -> Callable[[Any], bytes]:
        """Dict of the model -> body bytes."""
        convert: Convert | None
        convert = self._writers.of(ref) if members is None else self._writers.fields(members)
        dumps = orjson.dumps
        if convert is None:
            return lambda value: dumps(value, _blob)
        return lambda value: dumps(convert(value), _blob)

    def _fast(self, ref: Ref, members: dict[str, Ref] | None) -> Callable[[bytes], Any] | None:
        if members is None:
            if not self._is_plain(ref):
                return None
            return msgspec.json.Decoder(self._type(ref)).decode
        if not all(
            m.get("locationName", name) == name and self._is_plain(m) for name, m in members.items()
        ):
            return None
        fields = {name: self._type(member) for name, member in members.items()}
        return msgspec.json.Decoder(_typed_dict("Body", fields)).decode

    def _is_plain(self, ref: Ref) -> bool:
        """Whether names and times on the wire are those of the model."""
        seen: set[str] = set()
        stack = [ref]
        while stack:
            ref = stack.pop()
            kind = ref["type"]
            if kind == "timestamp":
                if ref.get("timestampFormat", "unixTimestamp") != "unixTimestamp":
                    return False
            elif kind == "list":
                if ref.get("sparse"):
                    return False
                stack.append(self._model.resolve(ref["member"]))
            elif kind == "map":
                stack.append(self._model.resolve(ref["value"]))
            elif kind == "structure":
                if ref["shape"] in seen or ref["shape"] in self._model.json_shapes:
                    continue
                seen.add(ref["shape"])
                for name, member in self._model.members(ref).items():
                    if member.get("locationName", name) != name:
                        return False
                    stack.append(member)
        return True

    def _type(self, ref: Ref) -> Any:
        name, kind = ref["shape"], ref["type"]
        if name in self._model.json_shapes:
            return dict[str, Any]
        if kind == "list":
            return list[self._type(self._model.resolve(ref["member"]))]  # type: ignore[misc]
        if kind == "map":
            return dict[str, self._type(self._model.resolve(ref["value"]))]  # type: ignore[misc]
        if kind != "structure":
            return _TYPES.get(kind, str)
        if ref.get("document"):
            return Any
        found = self._types.get(name)
        if found is None:
            self._types[name] = found = _typed_dict(name, {})
            # The class is known before its members are, which lets a shape contain itself.
            for member_name, member in self._model.members(ref).items():
                found.__annotations__[member_name] = self._type(member)
        return found


def _typed_dict(name: str, fields: dict[str, Any]) -> Any:
    return TypedDict(name, fields, total=False)  # type: ignore[operator]


def parse(body: bytes) -> Any:
    """Any JSON value no deeper than DEPTH_MAX. Raises Malformed."""
    if len(body) > _SHALLOW_SIZE_BYTES_MAX:
        check_depth(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Malformed("Unexpected token received from parser") from None


_SHALLOW_SIZE_BYTES_MAX = 2 * DEPTH_MAX  # what is nested deeper has more brackets than that
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def check_depth(body: bytes) -> None:
    """Refuse what is nested so deep that it could be read but not be written again."""
    # In whole steps over the body: a regular expression for its strings cost more than parsing a large batch.
    marks = body.translate(None, _OTHERS)
    if len(marks) <= 2 * DEPTH_MAX:  # every level is closed again
        return
    if b"\\" in body:
        marks = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS)
    brackets = marks.replace(b'""', b"")
    if b'"' in brackets:  # in strings, too: every other piece is one
        brackets = b"".join(brackets.split(b'"')[::2])
    leafless = brackets.replace(b"{}", b"").replace(b"[]", b"")  # at most two levels less
    if len(leafless) <= 2 * (DEPTH_MAX - 2):
        return
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > DEPTH_MAX:
        raise Malformed(f"Nesting deeper than {DEPTH_MAX} levels")


def _blob(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64_text(value)
    raise TypeError(f"not an AWS value: {type(value).__name__}")
