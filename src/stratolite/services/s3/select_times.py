"""S3 Select's timestamps, kept as their text: Ion's, with its precision and its offset, computed on in DuckDB's SQL.

A timestamp is `2010T`, `2010-02T`, `2010-02-03`, `2010-02-03T04:05Z` or longer; without an offset its offset is unknown,
which is written -00:00 and counts as UTC. Two of them are compared as instants, never as texts.
Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-select-sql-reference-date.html
         https://amazon-ion.github.io/ion-docs/docs/spec.html#timestamp
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from stratolite.services.s3.select_faults import fault, marked

_SHAPE = (
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?"
    r"((?:[+-]\d\d:\d\d)?Z|[+-]\d\d(?::\d\d)?)?)?)?)?"
)
"""Year, month, day, hour, minute, second, fraction, offset. AWS's page has one that ends ``+08:00Z``: Z it is."""
_WHOLE = f"(?:{_SHAPE})T?"
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_TEXTS = ("%YT", "%Y-%mT", "%Y-%m-%d")


def _part(number: int, default: str) -> str:
    return f"coalesce(nullif(regexp_extract(x, '{_SHAPE}', {number}), ''), '{default}')"


_MACROS = f"""
st_zone(x) AS CASE WHEN regexp_extract(x, '{_SHAPE}', 8) LIKE '%Z' THEN 'Z' ELSE rpad({_part(8, "-00:00")}, 6, ':00') END;
st_offset(x) AS CASE WHEN st_zone(x) IN ('Z', '-00:00') THEN 0 ELSE CAST(substr(st_zone(x), 1, 1) || '1' AS INTEGER)
    * (CAST(substr(st_zone(x), 2, 2) AS INTEGER) * 60 + CAST(substr(st_zone(x), 5, 2) AS INTEGER)) END;
st_local(x) AS TRY_CAST({_part(1, "")} || '-' || {_part(2, "01")} || '-' || {_part(3, "01")} || ' ' || {_part(4, "00")}
    || ':' || {_part(5, "00")} || ':' || {_part(6, "00")} AS TIMESTAMP);
st_fraction(x) AS rpad(substr({_part(7, ".")}, 2, 9), 9, '0');
st_instant(x) AS st_local(x) - to_minutes(st_offset(x)) + to_microseconds(CAST(substr(st_fraction(x), 1, 6) AS BIGINT));
st_precision(x) AS CASE WHEN {_part(6, "")} <> '' THEN 6 WHEN {_part(4, "")} <> '' THEN 5 WHEN {_part(3, "")} <> '' THEN 3
    WHEN {_part(2, "")} <> '' THEN 2 ELSE 1 END;
st_text(x, moment, precise) AS CASE precise WHEN 1 THEN strftime(moment, '%YT') WHEN 2 THEN strftime(moment, '%Y-%mT')
    WHEN 3 THEN strftime(moment, '%Y-%m-%d') WHEN 6 THEN strftime(moment, '%Y-%m-%dT%H:%M:%S')
    || regexp_extract(x, '{_SHAPE}', 7) || st_zone(x) ELSE strftime(moment, '%Y-%m-%dT%H:%M') || st_zone(x) END;
st_valid(x) AS regexp_full_match(x, '{_WHOLE}') AND st_local(x) IS NOT NULL AND length(x) > 4;
st_part(x, n) AS CAST(coalesce(nullif(regexp_extract(x, '{_SHAPE}', n), ''), CASE WHEN n < 4 THEN '1' ELSE '0' END) AS BIGINT)
"""
MACROS = [one.strip() for one in _MACROS.split(";")]
"""What follows ``CREATE MACRO``; ``x`` is a timestamp's text everywhere."""


def literal(text: str) -> str | None:
    """A timestamp between backticks, as it is kept; None where ``text`` is none."""
    found = re.fullmatch(_WHOLE, text)
    if found is None or len(text) == 4:
        return None
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        at = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    if hour is None:
        form = _TEXTS[0 if month is None else 1 if day is None else 2]
        return form.replace("%Y", year).replace("%m", f"{at:%m}").replace("%d", f"{at:%d}")
    tail = "Z" if (zone or "").endswith("Z") else (zone or "-00:00")
    seconds = "" if second is None else f":{second}{fraction or ''}"
    return f"{year}-{month}-{day}T{hour}:{minute}{seconds}{tail}"


def _of(text: str, body: str) -> str:
    """``body`` with ``x`` for ``text``, which is written once however often ``body`` has it."""
    return f"list_transform([{text}], lambda x: {body})[1]"


def made(text: str, failed: str) -> str:
    """SQL for the timestamp a text says; ``failed`` is the error's code where it says none."""
    kept = "CASE WHEN x IS NULL OR st_valid(x) THEN st_text(x, st_local(x), st_precision(x))"
    return _of(f"CAST({text} AS VARCHAR)", f"{kept} ELSE error('{marked(failed)}') END")


def _known(text: str) -> str:
    return made(text, "ValueParseFailure")


def instant(text: str) -> str:
    """SQL for the moment, to compare."""
    return _of(_known(text), "st_instant(x)")


def part_of(word: str, *, zones: bool) -> str:
    part = word.lower()
    if part not in _PARTS and not (zones and part in ("timezone_hour", "timezone_minute")):
        raise fault("ParseExpectedDatePart")
    return part


def added(part: str, quantity: str, text: str) -> str:
    """Precision is added as necessary: a month to a year makes a year and month."""
    needed = (1, 2, 3, 5, 5, 6)[_PARTS.index(part)]
    pair = f"{{'t': {_known(text)}, 'n': CAST({quantity} AS INTEGER)}}"
    moved = f"st_local(x.t) + to_{part}s(x.n)"
    text = f"st_text(x.t, {moved}, greatest(st_precision(x.t), {needed}))"
    outside = f"year({moved}) NOT BETWEEN 1 AND 9999"
    return _of(pair, f"CASE WHEN {outside} THEN error('{marked('IntegerOverflow')}') ELSE {text} END")  # fmt: skip


def between(part: str, first: str, second: str) -> str:
    """Whole parts: two timestamps are a day apart when 24 hours are between them."""
    return f"date_sub('{part}', {instant(first)}, {instant(second)})"


def extracted(part: str, text: str) -> str:
    zones = {
        "timezone_hour": "CAST(trunc(st_offset(x) / 60) AS BIGINT)",
        "timezone_minute": "st_offset(x) % 60",
        "second": "(st_part(x, 6) + CAST('0.' || st_fraction(x) AS DECIMAL(18, 9)))",
    }
    return _of(_known(text), zones.get(part) or f"st_part(x, {_PARTS.index(part) + 1})")


# Symbol -> DuckDB's format of the local time; None: written otherwise, see _symbol.
_SYMBOLS: dict[str, str | None] = {
    "yy": "%y", "y": None, "yyyy": "%Y", "M": "%-m", "MM": "%m", "MMM": "%b", "MMMM": "%B", "MMMMM": None, "d": "%-d",
    "dd": "%d", "a": "%p", "h": "%-I", "hh": "%I", "H": "%-H", "HH": "%H", "m": "%-M", "mm": "%M", "s": "%-S", "ss": "%S",
    "n": None,
}  # fmt: skip


def formatted(text: str, pattern: str) -> str:
    """SQL for a timestamp as ``pattern`` has it. Raises Fault for a pattern that is none."""
    pieces, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "'":
            end = pattern.find("'", at + 1)
            if end < 0:
                raise fault("EvaluatorUnterminatedTimestampFormatPatternToken")
            pieces.append(_quoted(pattern[at + 1 : end] or "'"))
            at = end + 1
        elif letter.isalpha():
            end = at
            while end < len(pattern) and pattern[end] == letter:
                end += 1
            pieces.append(_symbol(pattern[at:end]))
            at = end
        else:
            pieces.append(_quoted(letter))
            at += 1
    return _of(_known(text), " || ".join(pieces) or "''")


def _symbol(symbol: str) -> str:
    letter, count = symbol[0], len(symbol)
    form = _SYMBOLS.get(symbol)
    if form is not None:
        return f"strftime(st_local(x), '{form}')"
    if symbol == "y":
        return "CAST(st_part(x, 1) AS VARCHAR)"
    if symbol == "MMMMM":
        return "substr(strftime(st_local(x), '%B'), 1, 1)"
    if symbol == "n":
        return "CAST(CAST(st_fraction(x) AS BIGINT) AS VARCHAR)"
    if letter == "S" and count <= 9:
        return f"substr(st_fraction(x), 1, {count})"
    if letter in "Xx" and count <= 5:
        zone = "CASE WHEN st_offset(x) = 0 THEN '+00:00' ELSE st_zone(x) END"
        if count == 1:
            zone = f"CASE WHEN ({zone}) LIKE '%:00' THEN substr({zone}, 1, 3) ELSE replace({zone}, ':', '') END"
        elif count in (2, 4):
            zone = f"replace({zone}, ':', '')"
        return f"CASE WHEN {'true' if letter == 'X' else 'false'} AND st_offset(x) = 0 THEN 'Z' ELSE {zone} END"
    if letter in "yMdahHmsSnXx":
        raise fault("EvaluatorInvalidTimestampFormatPatternToken")
    raise fault("EvaluatorInvalidTimestampFormatPatternSymbol")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
