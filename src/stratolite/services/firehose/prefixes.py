"""Where an object lies: prefixes with expressions, and its name; pure.

    !{timestamp:yyyy/MM/dd}   !{firehose:random-string}   !{firehose:error-output-type}
    !{partitionKeyFromQuery:customer}   !{partitionKeyFromLambda:customer}

A prefix without any expression is followed by ``yyyy/MM/dd/HH/``.
Source  https://docs.aws.amazon.com/firehose/latest/dev/s3-prefixes.html
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stratolite.services.firehose import timestamps

_EXPRESSION = re.compile(r"!\{([^}:]*):([^}]*)\}")
_DEFAULT = "yyyy/MM/dd/HH/"
EXTENSIONS = {
    "UNCOMPRESSED": "",
    "GZIP": ".gz",
    "ZIP": ".zip",
    "Snappy": ".snappy",
    "HADOOP_SNAPPY": ".hsnappy",
}
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def check(prefix: str, *, is_error: bool, is_partitioned: bool) -> None:
    """Raises ValueError for expressions that are wrong, or not for this kind of prefix."""
    rest = _EXPRESSION.sub("", prefix)
    if "!{" in rest:
        raise ValueError(f"an expression of {prefix} is not closed")
    for space, value in _EXPRESSION.findall(prefix):
        if space == "timestamp":
            timestamps.check(value)
        elif space == "firehose":
            if value not in ("random-string", "error-output-type"):
                raise ValueError(f"!{{firehose:{value}}} means nothing")
            if value == "error-output-type" and not is_error:
                raise ValueError("!{firehose:error-output-type} is for ErrorOutputPrefix only")
        elif space in ("partitionKeyFromQuery", "partitionKeyFromLambda"):
            if is_error or not is_partitioned:
                raise ValueError(f"!{{{space}:{value}}} needs dynamic partitioning")
        else:
            raise ValueError(f"the namespace {space} means nothing")


def has_expressions(prefix: str) -> bool:
    return _EXPRESSION.search(prefix) is not None


def has_error_type(prefix: str) -> bool:
    return "!{firehose:error-output-type}" in prefix


def wanted_keys(prefix: str, space: str) -> set[str]:
    """The partition keys a prefix asks ``space`` (partitionKeyFromQuery, ...) for."""
    return {value for found, value in _EXPRESSION.findall(prefix) if found == space}


def zone(name: str | None) -> tzinfo:
    """Raises ValueError."""
    if not name or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"the time zone {name} is not known") from error


def evaluated(
    prefix: str,
    time_s: float,
    within: tzinfo,
    seed: str,
    *,
    keys: Mapping[str, Mapping[str, str]] | None = None,
    error_type: str = "",
) -> str:
    """``keys``: namespace -> key -> value. ``seed`` decides what is random."""
    time = datetime.fromtimestamp(time_s, within)

    def one(match: re.Match[str]) -> str:
        space, value = match.groups()
        if space == "timestamp":
            return timestamps.spell(value, time)
        if space == "firehose":
            return error_type if value == "error-output-type" else _random(seed + value)
        return (keys or {}).get(space, {}).get(value, "")

    made = _EXPRESSION.sub(one, prefix)
    if not has_expressions(prefix):
        if error_type:
            made += f"{error_type}/"
        made += timestamps.spell(_DEFAULT, time)
    return made


def file_name(stream: str, version: int, time_s: float, seed: str, extension: str) -> str:
    raw = hashlib.sha256(seed.encode()).hexdigest()
    uuid = f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-8{raw[17:20]}-{raw[20:32]}"
    time = datetime.fromtimestamp(time_s, UTC)
    return f"{stream}-{version}-{time:%Y-%m-%d-%H-%M-%S}-{uuid}{extension}"


def _random(seed: str) -> str:
    raw = hashlib.sha256(seed.encode()).digest()
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in raw[:11])
