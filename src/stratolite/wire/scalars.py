"""Numbers, booleans, timestamps and blobs as text, the way AWS writes and reads them."""

from __future__ import annotations

import base64
import math
import re
from binascii import Error as Base64Error
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any


class Malformed(ValueError):
    """A request that does not fit its model; the message is AWS's. Each protocol makes its Fault."""


_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?\Z")
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1
TIMESTAMP_MIN, TIMESTAMP_MAX = -62_135_596_800.0, 253_402_300_799.0
"""Years 1 to 9999: what can be written as a date again."""


def integer(text: str) -> int:
    text = text.strip()
    if not _INTEGER.match(text):
        raise Malformed("STRING_VALUE can not be converted to an Integer")
    value = int(text)
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise Malformed("NUMBER_VALUE can not be converted to a Long")
    return value


def number(text: str) -> float:
    text = text.strip()
    if _NUMBER.match(text):
        return float(text)
    if text in _SPECIAL:
        return _SPECIAL[text]
    raise Malformed("STRING_VALUE can not be converted to a Double")


def boolean(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered == "true":
        return True
    if lowered == "false":
        return False
    raise Malformed("STRING_VALUE can not be converted to a Boolean")


def blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raise Malformed(f"'{text[:64]}' can not be decoded as base64") from None


def string(text: str) -> str:
    return text


def timestamp(text: str) -> float:
    """Epoch seconds of an ISO 8601, RFC 822 or numeric text."""
    text = text.strip()
    try:
        if _NUMBER.match(text):
            found = float(text)
            return found if TIMESTAMP_MIN <= found <= TIMESTAMP_MAX else _refuse(text)
        if text[:1].isdigit():
            moment = datetime.fromisoformat(text)
        else:
            from email.utils import parsedate_to_datetime

            moment = parsedate_to_datetime(text)
        return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return _refuse(text)


def _refuse(text: str) -> float:
    raise Malformed(f"Invalid date value: {text[:64]}")


@lru_cache(maxsize=8192)
def iso8601(seconds: float) -> str:
    """2006-02-03T16:45:09.000Z"""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


@lru_cache(maxsize=1024)
def rfc822(seconds: float) -> str:
    """Sun, 06 Nov 1994 08:49:37 GMT"""
    t = datetime.fromtimestamp(int(seconds), UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02d} {_MONTHS[t.month - 1]} {t.year:04d} "
        f"{t.hour:02d}:{t.minute:02d}:{t.second:02d} GMT"
    )


def unix(seconds: float) -> str:
    return str(int(seconds)) if seconds == int(seconds) else repr(seconds)


TIMESTAMP_WRITERS: dict[str, Callable[[float], str]] = {
    "iso8601": iso8601,
    "rfc822": rfc822,
    "unixTimestamp": unix,
}


def base64_text(data: Any) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode("ascii")


def boolean_text(value: Any) -> str:
    return "true" if value else "false"


def number_text(value: Any) -> str:
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
    return str(value)


READERS = {
    "integer": integer,
    "long": integer,
    "float": number,
    "double": number,
    "boolean": boolean,
    "blob": blob,
    "timestamp": timestamp,
}
"""Type -> text to value; types not here are strings."""


def text_writer(ref: dict[str, Any], timestamp_format: str) -> Any:
    """Value -> text for a scalar ref."""
    kind = ref["type"]
    if kind == "timestamp":
        return TIMESTAMP_WRITERS[ref.get("timestampFormat", timestamp_format)]
    return {
        "boolean": boolean_text,
        "blob": base64_text,
        "float": number_text,
        "double": number_text,
    }.get(kind, str)
