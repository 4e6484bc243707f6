"""The child that runs jq and pyarrow: one request on its input, one answer on its output, both msgpack.

Started by file name, without stratolite: what it imports stays out of the server. It is jailed
(``runtime.guest.jail``); the parent limits its time. A record that cannot be done is told with a reason; the others are.

    {kind: "jq", query, records}                        -> {keys: [{key: text} | null], errors: [text | null]}
    {kind: "convert", form, columns, options, records}  -> {data, failed: [[index, reason], ...]}
    {kind: "snappy" | "hadoop", data}                   -> {data}
"""

from __future__ import annotations

import contextlib
import decimal
import io
import json
import re
import struct
import sys
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

LAZY = True
"""jq or pyarrow, as the request says."""


def main() -> None:
    request = msgspec.msgpack.decode(sys.stdin.buffer.read())
    try:
        answer = _DO[request["kind"]](request)
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the parent's answer
        answer = {"error": f"{type(error).__name__}: {error}"[:1000]}
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


# -- jq


def partition_keys(request: dict[str, Any]) -> dict[str, Any]:
    import jq

    program = jq.compile(request["query"])
    keys: list[dict[str, str] | None] = []
    errors: list[str | None] = []
    for record in request["records"]:
        try:
            found = program.input_text(record.decode()).first()
            _of(dict, found)
            keys.append({name: _key(name, value) for name, value in found.items()})
            errors.append(None)
        except (ValueError, TypeError, StopIteration) as error:
            keys.append(None)
            errors.append(str(error)[:500])
    return {"keys": keys, "errors": errors}


def _key(name: str, value: Any) -> str:
    if value is None or value == "" or isinstance(value, dict | list):
        raise ValueError(f"partition key {name} is null, empty or no single value")
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


# -- snappy


def snappy(request: dict[str, Any]) -> dict[str, Any]:
    """The framing format: https://github.com/google/snappy/blob/main/framing_format.txt"""
    import pyarrow as pa
    from awscrt.checksums import crc32c

    data, codec = request["data"], pa.Codec("snappy")
    out = [b"\xff\x06\x00\x00sNaPpY"]
    for at in range(0, len(data), 65_536):
        piece = data[at : at + 65_536]
        check = crc32c(piece)
        masked = ((check >> 15 | check << 17) + 0xA282EAD8) & 0xFFFFFFFF
        packed = codec.compress(piece, asbytes=True)
        out.append(b"\x00" + (len(packed) + 4).to_bytes(3, "little") + struct.pack("<I", masked))
        out.append(packed)
    return {"data": b"".join(out)}


def hadoop(request: dict[str, Any]) -> dict[str, Any]:
    """Hadoop's block format: for each block its length, then the length of its compressed form and that."""
    import pyarrow as pa

    data, codec = request["data"], pa.Codec("snappy")
    out = []
    for at in range(0, len(data), 262_144):
        piece = data[at : at + 262_144]
        packed = codec.compress(piece, asbytes=True)
        out.append(struct.pack(">II", len(piece), len(packed)) + packed)
    return {"data": b"".join(out)}


# -- Parquet and ORC


def convert(request: dict[str, Any]) -> dict[str, Any]:
    import pyarrow as pa

    options = request["options"]
    _times.extend(re.compile(text) if text else None for text in options.get("times") or ())
    columns = [(name, _Type.parse(text)) for name, text in request["columns"]]
    values: list[list[Any]] = [[] for _ in columns]
    failed: list[tuple[int, str]] = []
    fold = options.get("fold", True)
    mapped = {k.lower(): v for k, v in (options.get("mappings") or {}).items()}
    for index, record in enumerate(request["records"]):
        try:
            said = json.loads(record)
            _of(dict, said)
            if options.get("dots"):
                said = {key.replace(".", "_"): value for key, value in said.items()}
            known = {key.lower(): value for key, value in said.items()} if fold else said
            row = []
            for name, kind in columns:
                key = mapped.get(name.lower(), name)
                row.append(kind.read(known.get(key.lower() if fold else key)))
        except (ValueError, TypeError, ArithmeticError) as error:
            failed.append((index, str(error)[:500]))
            continue
        for column, value in zip(values, row, strict=True):
            column.append(value)
    if len(failed) == len(request["records"]):
        return {"data": b"", "failed": failed}
    arrays = [
        pa.array(column, type=kind.arrow())
        for column, (_, kind) in zip(values, columns, strict=True)
    ]
    table = pa.table(dict(zip([name for name, _ in columns], arrays, strict=True)))
    out = io.BytesIO()
    write = _write_parquet if request["form"] == "parquet" else _write_orc
    write(table, out, options["settings"])
    return {"data": out.getvalue(), "failed": failed}


def _write_parquet(table: Any, out: io.BytesIO, settings: dict[str, Any]) -> None:
    """As a ParquetSerDe says; padding is for blocks of HDFS and has no meaning here."""
    from pyarrow import parquet

    compression = settings.get("Compression") or "SNAPPY"
    is_second = settings.get("WriterVersion") == "V2"
    parquet.write_table(
        table,
        out,
        compression="none" if compression == "UNCOMPRESSED" else compression.lower(),
        version="2.6" if is_second else "1.0",
        data_page_version="2.0" if is_second else "1.0",
        data_page_size=settings.get("PageSizeBytes"),
        use_dictionary=bool(settings.get("EnableDictionaryCompression", False)),
    )


def _write_orc(table: Any, out: io.BytesIO, settings: dict[str, Any]) -> None:
    """As an OrcSerDe says; padding as above."""
    from pyarrow import orc

    compression = settings.get("Compression") or "SNAPPY"
    names = [name.lower() for name in table.column_names]
    bloomed = [
        names.index(name.lower())
        for name in settings.get("BloomFilterColumns") or ()
        if name.lower() in names
    ]
    orc.write_table(
        table,
        out,
        compression="uncompressed" if compression == "NONE" else compression.lower(),
        file_version="0.11" if settings.get("FormatVersion") == "V0_11" else "0.12",
        stripe_size=settings.get("StripeSizeBytes", 64 << 20),
        row_index_stride=settings.get("RowIndexStride", 10_000),
        dictionary_key_size_threshold=float(settings.get("DictionaryKeyThreshold", 0)),
        bloom_filter_columns=bloomed or None,
        bloom_filter_fpp=float(settings.get("BloomFilterFalsePositiveProbability", 0.05)),
    )


class _Type:
    """A Hive type: what JSON becomes in it, and what Arrow calls it."""

    def __init__(self, name: str, inner: list[tuple[str, _Type]], numbers: list[int]) -> None:
        self.name, self.inner, self.numbers = name, inner, numbers

    @classmethod
    def parse(cls, text: str) -> _Type:
        found, rest = cls._parse(text.replace(" ", "").lower(), 0)
        if rest:
            raise ValueError(f"column type {text} is not known")
        return found

    @classmethod
    def _parse(cls, text: str, depth: int) -> tuple[_Type, str]:
        if depth > 20:
            raise ValueError("column type nested too deeply")
        at = next((n for n, c in enumerate(text) if c in "<>(),:"), len(text))
        name, rest = text[:at], text[at:]
        inner: list[tuple[str, _Type]] = []
        numbers: list[int] = []
        if rest.startswith("("):
            inside, _, rest = rest[1:].partition(")")
            numbers = [int(part) for part in inside.split(",")]
        elif rest.startswith("<"):
            rest = "," + rest[1:]
            while rest.startswith(","):
                rest, field = rest[1:], ""
                if name == "struct":
                    field, _, rest = rest.partition(":")
                kind, rest = cls._parse(rest, depth + 1)
                inner.append((field, kind))
            if not rest.startswith(">"):
                raise ValueError("column type is not closed")
            rest = rest[1:]
        if name not in _SIMPLE and name not in ("array", "map", "struct", "decimal"):
            raise ValueError(f"column type {name} is not known")
        return cls(name, inner, numbers), rest

    def arrow(self) -> Any:
        import pyarrow as pa

        if self.name == "array":
            return pa.list_(self.inner[0][1].arrow())
        if self.name == "map":
            return pa.map_(self.inner[0][1].arrow(), self.inner[1][1].arrow())
        if self.name == "struct":
            return pa.struct([(field, kind.arrow()) for field, kind in self.inner])
        if self.name == "decimal":
            return pa.decimal128(*(self.numbers or [10, 0]))
        if self.name == "timestamp":
            return pa.timestamp("ms")
        return getattr(pa, _SIMPLE[self.name])()

    def read(self, value: Any) -> Any:
        """Raises ValueError or TypeError for a value that is not of the type."""
        if value is None:
            return None
        name = self.name
        if name == "array":
            return [self.inner[0][1].read(one) for one in _of(list, value)]
        if name == "map":
            key, kind = self.inner[0][1], self.inner[1][1]
            return [(key.read(k), kind.read(v)) for k, v in _of(dict, value).items()]
        if name == "struct":
            known = {k.lower(): v for k, v in _of(dict, value).items()}
            return {field: kind.read(known.get(field)) for field, kind in self.inner}
        if name in _LIMITS:
            number = int(value)
            if not -_LIMITS[name] <= number < _LIMITS[name]:
                raise ValueError(f"{value} is out of range for {name}")
            return number
        if name in ("float", "double"):
            return float(value)
        if name == "decimal":
            step = decimal.Decimal(1).scaleb(-(self.numbers[1] if len(self.numbers) > 1 else 0))
            return decimal.Decimal(str(value)).quantize(step)
        if name == "boolean":
            if isinstance(value, bool):
                return value
            if str(value).lower() in ("true", "false"):
                return str(value).lower() == "true"
            raise ValueError(f"{value} is not a boolean")
        if name == "date":
            return _time_of(value).date() if _times else date.fromisoformat(str(value)[:10])
        if name == "timestamp":
            if _times:
                return _time_of(value)
            if isinstance(value, int | float):
                return datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None)
            time = datetime.fromisoformat(str(value))
            return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
        if name == "binary":
            return str(value).encode()
        if isinstance(value, bool):
            return str(value).lower()
        return value if isinstance(value, str) else json.dumps(value)


_times: list[re.Pattern[str] | None] = []
"""How this request's texts are read as times, one of them (``parsing``); None is milliseconds. Empty: as Java writes them."""


def _time_of(value: Any) -> datetime:
    """In UTC, without saying so. Raises ValueError."""
    text = str(value)
    for form in _times:
        if form is None:
            if re.fullmatch(r"-?\d{1,15}", text):
                return datetime.fromtimestamp(int(text) / 1000, UTC).replace(tzinfo=None)
        elif (match := form.fullmatch(text)) is not None:
            with contextlib.suppress(ValueError):  # no such day: perhaps it is of another form
                return _made({k: v for k, v in match.groupdict().items() if v is not None})
    raise ValueError(f"{text[:100]} is not a time of the given formats")


def _made(found: dict[str, str]) -> datetime:
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 1900 if year >= 70 else 2000
    month = int(found.get("month", 1))
    if name := found.get("month_name"):
        names = [one for one in _MONTHS if one == name.lower() or one[:3] == name.lower()]
        if not names:
            raise ValueError(f"{name} is no month")
        month = _MONTHS.index(names[0]) + 1
    hour = int(found.get("hour", 0))
    if "hour_1_24" in found:
        hour = int(found["hour_1_24"]) % 24
    if "hour_12" in found:
        hour = int(found["hour_12"]) % 12 + (12 if found.get("half", "am").lower() == "pm" else 0)
    micros = int(found.get("fraction", "0").ljust(6, "0")[:6])
    minute, second = int(found.get("minute", 0)), int(found.get("second", 0))
    time = datetime(year, month, int(found.get("day", 1)), hour, minute, second, micros)  # noqa: DTZ001
    if days := found.get("day_of_year"):
        time += timedelta(days=int(days) - 1)
    offset = found.get("offset", "Z")
    if offset[0] in "+-":
        digits = offset[1:].replace(":", "").ljust(4, "0")
        ahead = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
        time += ahead if offset[0] == "-" else -ahead
    return time


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{str(value)[:100]} is no {kind.__name__}")
    return value


_SIMPLE = {
    "string": "string", "varchar": "string", "char": "string", "tinyint": "int8", "smallint": "int16", "int": "int32",
    "integer": "int32", "bigint": "int64", "float": "float32", "double": "float64", "boolean": "bool_",
    "date": "date32", "timestamp": "timestamp", "binary": "binary",
}  # fmt: skip
_LIMITS = {
    "tinyint": 1 << 7,
    "smallint": 1 << 15,
    "int": 1 << 31,
    "integer": 1 << 31,
    "bigint": 1 << 63,
}
_DO = {"jq": partition_keys, "convert": convert, "snappy": snappy, "hadoop": hadoop}
