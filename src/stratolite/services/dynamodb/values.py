"""Attribute values in their JSON form ({"S": "a"}): checked, made canonical, measured, compared.

Sizes follow DynamoDB's rules: names and strings by their UTF-8 bytes, numbers by two digits a byte, one byte for
a boolean or null, 3 bytes for a list or map and one more for each element.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache
from typing import Any

from stratolite.errors import Fault
from stratolite.services.dynamodb import numerals
from stratolite.services.dynamodb.faults import invalid, malformed

Value = dict[str, Any]
"""One attribute value, e.g. {"N": "1"}."""
Item = dict[str, Value]

ITEM_SIZE_BYTES_MAX = 400 << 10
NESTING_MAX = 31
"""Lists and maps within each other: the attribute itself is the first of DynamoDB's 32 levels."""

_INVALID = "One or more parameter values were invalid: "
MAP_IS_LIST = (
    "Unrecognized collection type java.util.Map<java.lang.String, "
    "com.amazonaws.dynamodb.v20120810.AttributeValue>"
)


def checked_size(value: Any, depth: int = 0) -> int:
    """Check one attribute value, make its numbers canonical in place, return its size in bytes.

    Raises ValidationException or SerializationException as DynamoDB does.
    """
    if type(value) is not dict:
        if type(value) is Checked:
            return value.outcome()
        raise malformed(
            "Unexpected value type in payload"
            if not isinstance(value, list)
            else "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"
        )
    if len(value) != 1:
        _tidy(value)
    for kind, inner in value.items():
        if kind == "S":
            if type(inner) is not str:
                raise _wrong_type(inner, "String")
            return len(inner) if inner.isascii() else len(inner.encode())
        if kind == "N":
            if type(inner) is not str:
                raise _wrong_type(inner, "String")
            value["N"] = text = _number(inner)
            return numerals.size_bytes(text)
        check = _CHECKS.get(kind)
        if check is None or inner is None:
            _tidy(value)
            return checked_size(value, depth)
        return check(value, inner, depth)
    raise AssertionError("_tidy leaves exactly one member")


def check_type(value: Any) -> None:
    """Raise SerializationException where an attribute value is none by its form: said before all else that is wrong."""
    try:
        checked_size(value)
    except Fault as fault:
        if fault.code == "SerializationException":
            raise


class Checked(Value):
    """A value that was checked beforehand (``inspect``): its size, or what is wrong with it."""

    __slots__ = ("_fault", "_size")

    def __init__(self, value: Value) -> None:
        self._fault: Fault | None = None
        self._size = 0
        try:
            self._size = checked_size(value)
        except Fault as fault:
            self._fault = fault
        super().__init__(value)

    def outcome(self) -> int:
        if self._fault is not None:
            raise self._fault
        return self._size


_OF_VALUES = frozenset({"Item", "Key", "ExpressionAttributeValues"})
_INSPECTED_DEPTH_MAX = 6  # TransactItems: list, action, Item, attribute


def inspect(request: Any, depth: int = 0) -> None:
    """Check the values of a request's items, keys and expressions; see ``Service.inspect``."""
    if depth > _INSPECTED_DEPTH_MAX:
        return
    if type(request) is list:
        for each in request:
            inspect(each, depth + 1)
    elif type(request) is dict:
        for name, part in request.items():
            if name in _OF_VALUES and type(part) is dict:
                for attribute, value in part.items():
                    if type(value) is dict:
                        part[attribute] = Checked(value)
            else:
                inspect(part, depth + 1)


def checked_item_size(item: Any) -> int:
    """Check a map of attributes, make its numbers canonical in place, return the item's size in bytes."""
    if type(item) is not dict:
        raise malformed("Unexpected field type")
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(name.encode())
        # what most values are, without the call
        if type(value) is dict and len(value) == 1 and type(text := value.get("S")) is str:
            size += len(text) if text.isascii() else len(text.encode())
        else:
            size += checked_size(value)
    return size


def is_in_order(item: Any) -> bool:
    """Check a map of attributes and make its numbers canonical in place, without measuring it.

    False (or a Fault) where ``checked_item_size`` has something to say, or was asked beforehand.
    """
    if type(item) is not dict:
        return False
    for value in item.values():
        if type(value) is not dict or len(value) != 1:
            return False
        if type(value.get("S")) is str:
            continue
        ((kind, inner),) = value.items()
        if kind == "N" and type(inner) is str:
            value["N"] = _number(inner)
        elif kind != "BOOL" or type(inner) is not bool:
            checked_size(value)
    return True


def size(value: Value) -> int:
    """The size of a value that was checked before (a stored one)."""
    ((kind, inner),) = value.items()
    if kind == "S":
        return len(inner) if inner.isascii() else len(inner.encode())
    if kind == "N":
        return _number_size(inner)
    if kind == "B":
        return _binary_size(inner)
    if kind in ("BOOL", "NULL"):
        return 1
    if kind == "SS":
        return sum(len(s.encode()) for s in inner)
    if kind == "NS":
        return sum(map(_number_size, inner))
    if kind == "BS":
        return sum(map(_binary_size, inner))
    if kind == "L":
        # numbers first: a hundred thousand of them fit into an item, and nothing else comes in such numbers
        numbers = [element["N"] for element in inner if "N" in element]
        total = 3 + len(inner) + sum(map(_number_size, numbers))
        if len(numbers) == len(inner):
            return total
        return total + sum(size(element) for element in inner if "N" not in element)
    return 3 + len(inner) + item_size(inner)


_number_size = lru_cache(maxsize=4096)(numerals.size_bytes)


def check_nesting(item: Item) -> None:
    """Raises ValidationException for an item of checked values that has become too deep."""
    level = [value for value in item.values() if "M" in value or "L" in value]
    depth = 0
    while level:
        depth = _deeper(depth)
        inside = (v["L"] if "L" in v else v["M"].values() for v in level)
        level = [v for inner in inside for v in inner if "M" in v or "L" in v]


def item_size(item: Item) -> int:
    return sum(len(name.encode()) + size(value) for name, value in item.items())


def _tidy(value: Value) -> None:
    """Drop nulls and members that are no type, as DynamoDB's parser does; exactly one must be left."""
    for kind in [k for k, v in value.items() if v is None or (k not in _CHECKS and k not in "SN")]:
        del value[kind]
    if not value:
        raise invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        )
    if len(value) > 1:
        for kind in list(value):  # what is wrong inside is reported first
            checked_size({kind: value[kind]})
        raise invalid(
            "Supplied AttributeValue has more than one datatypes set, "
            "must contain exactly one of the supported datatypes"
        )


def _wrong_type(given: Any, wanted: str) -> Fault:
    if given is None:
        return invalid(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        )
    if isinstance(given, bool):
        return malformed(f"{str(given).upper()}_VALUE cannot be converted to {wanted}")
    if isinstance(given, int):
        return malformed(f"NUMBER_VALUE cannot be converted to {wanted}")
    if isinstance(given, float):
        return malformed(f"DECIMAL_VALUE cannot be converted to {wanted}")
    if isinstance(given, list):
        return malformed(f"Unrecognized collection type class java.lang.{wanted}")
    if isinstance(given, dict):
        return malformed("Start of structure or map found where not expected")
    return malformed(f"STRING_VALUE cannot be converted to {wanted}")


def _number(text: str) -> str:
    try:
        return numerals.canonical(text)
    except numerals.NotANumber as error:
        raise invalid(str(error)) from None


def _binary(text: Any) -> bytes:
    if type(text) is not str:
        if isinstance(text, list):
            raise malformed("Unrecognized collection type class java.nio.ByteBuffer")
        if isinstance(text, dict):
            raise malformed("Start of structure or map found where not expected")
        raise malformed("only base-64-encoded strings are convertible to bytes")
    if len(text) % 4:
        raise malformed(
            f"Base64 encoded length is expected a multiple of 4 bytes but found: {len(text)}"
        )
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        if text.isascii() and re.fullmatch("[A-Za-z0-9+/=]*", text):
            raise malformed("Invalid last non-pad Base64 character dectected") from None
        raise malformed("Invalid Base64 character detected") from None
    if binascii.b2a_base64(raw, newline=False).decode() != text:
        raise malformed("Invalid last non-pad Base64 character dectected")
    return raw


def _binary_size(text: str) -> int:
    return len(text) // 4 * 3 - (text[-2:].count("=") if text else 0)


def _check_binary(_value: Value, inner: Any, _depth: int) -> int:
    return len(_binary(inner))


_TRUTHS = dict.fromkeys(("TRUE", "1", "YES"), True) | dict.fromkeys(("FALSE", "0", "NO"), False)
"""Texts that DynamoDB's parser takes for a boolean (recorded from AWS by https://github.com/architect/dynalite)."""


def _boolean(given: Any) -> bool:
    if type(given) is bool:
        return given
    if type(given) is not str:
        raise _wrong_type(given, "Boolean")
    if (found := _TRUTHS.get(given.upper())) is None:
        raise malformed("Unexpected token received from parser")
    return found


def _check_boolean(value: Value, inner: Any, _depth: int) -> int:
    value["BOOL"] = _boolean(inner)
    return 1


def _check_null(value: Value, inner: Any, _depth: int) -> int:
    if not _boolean(inner):
        raise invalid(_INVALID + "Null attribute value types must have the value of true")
    value["NULL"] = True
    return 1


def _listed(inner: Any) -> list[Any]:
    if type(inner) is list:
        return inner
    raise malformed(
        "Start of structure or map found where not expected"
        if isinstance(inner, dict)
        else "Unexpected field type"
    )


def _check_strings(_value: Value, inner: Any, _depth: int) -> int:
    total = 0
    for text in _listed(inner):
        if type(text) is not str:
            raise _wrong_type(text, "String")
        total += len(text.encode())
    if not inner:
        raise invalid(_INVALID + "An string set  may not be empty")
    if len(set(inner)) != len(inner):
        raise invalid(f"{_INVALID}Input collection [{', '.join(inner)}] contains duplicates.")
    return total


def _check_numbers(value: Value, inner: Any, _depth: int) -> int:
    for text in _listed(inner):
        if type(text) is not str:
            raise _wrong_type(text, "String")
    if not inner:
        raise invalid(_INVALID + "An number set  may not be empty")
    value["NS"] = numbers = [_number(text) for text in inner]
    if len(set(numbers)) != len(numbers):
        raise invalid("Input collection contains duplicates")
    return sum(map(numerals.size_bytes, numbers))


def _check_binaries(_value: Value, inner: Any, _depth: int) -> int:
    total = sum(len(_binary(text)) for text in _listed(inner))
    if not inner:
        raise invalid(_INVALID + "Binary sets should not be empty")
    if len(set(inner)) != len(inner):
        raise invalid(
            f"{_INVALID}Input collection [{', '.join(inner)}]of type BS contains duplicates."
        )
    return total


def too_large() -> Fault:
    return invalid("Item size has exceeded the maximum allowed size")


def _deeper(depth: int) -> int:
    if depth >= NESTING_MAX:
        raise invalid(
            "Nesting Levels have exceeded supported limits: "
            "Attributes in the item have nested levels beyond supported limit"
        )
    return depth + 1


def _check_list(_value: Value, inner: Any, depth: int) -> int:
    below = _deeper(depth)
    total = 3
    for element in _listed(inner):
        total += 1 + checked_size(element, below)
        if total > ITEM_SIZE_BYTES_MAX:  # no use looking at a million more of them
            raise too_large()
    return total


def _check_map(_value: Value, inner: Any, depth: int) -> int:
    below = _deeper(depth)
    if type(inner) is not dict:
        raise malformed(MAP_IS_LIST if isinstance(inner, list) else "Unexpected field type")
    total = 3
    for name, element in inner.items():
        total += 1 + len(name.encode()) + checked_size(element, below)
        if total > ITEM_SIZE_BYTES_MAX:
            raise too_large()
    return total


_CHECKS = {
    "B": _check_binary,
    "BOOL": _check_boolean,
    "NULL": _check_null,
    "SS": _check_strings,
    "NS": _check_numbers,
    "BS": _check_binaries,
    "L": _check_list,
    "M": _check_map,
}


def kind_of(value: Value) -> str:
    """ "S", "N", ..."""
    for kind in value:
        return kind
    raise AssertionError("a checked value has a type")


def equal(left: Value, right: Value) -> bool:
    """Equality as expressions see it: sets without order, also inside lists and maps."""
    if left == right:
        return True
    for kind, x in left.items():
        y = right.get(kind)
        if y is None or kind in SCALARS:
            return False
        if kind in _SETS:
            return len(x) == len(y) and set(x) == set(y)
        if kind == "L":
            return len(x) == len(y) and all(map(equal, x, y))
        if kind == "M":
            return x.keys() == y.keys() and all(equal(v, y[k]) for k, v in x.items())
    return False


SCALARS = frozenset(("S", "N", "B", "BOOL", "NULL"))
_SETS = frozenset(("SS", "NS", "BS"))


def clone(value: Any) -> Any:
    """A copy that shares nothing changeable."""
    if type(value) is dict:
        return {k: clone(v) for k, v in value.items()}
    if type(value) is list:
        return [clone(v) for v in value]
    return value
