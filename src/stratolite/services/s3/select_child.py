"""Runs one S3 Select query in a process of its own, jailed (``runtime.guest.jail``): started by path, imports nothing of ours.

stdin: one line of JSON {format, fd, sql, names, raw, macros, header ..., output, limits}; the data is the inherited
descriptor ``fd``, which has no name any more. In ``sql`` stands ``\\0TABLE\\0`` for the table, and for a path into a
JSON record what ``filled`` reads. stdout: frames, u32 big-endian length and a byte of kind before each:
R rows as they are to be sent, E an error (JSON {code, message}), D the end.

Inside the jail DuckDB has external access off (the one descriptor excepted), loads and installs no extensions, its memory and
threads are bounded and its configuration is locked before the query is seen.
"""

from __future__ import annotations

import csv
import io
import json
import re
import struct
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

FRAME_BYTES = 128 << 10
ROWS_COUNT = 2000
LINE_BYTES_MAX = 1 << 20
"""Of a record of CSV: https://docs.aws.amazon.com/AmazonS3/latest/userguide/selecting-content-from-objects.html"""


def warm() -> None:
    """DuckDB, and what it imports with the first row of each kind; beginning it reads what the machine has."""
    import duckdb

    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_unsigned_extensions": "false",
        "threads": "1",
    }
    _DB.append(duckdb.connect(":memory:", config=config))
    kinds = "1.5::DECIMAL(9, 2), DATE '2000-01-01', TIMESTAMPTZ '2000-01-01 00:00:00Z'"
    _DB[0].execute(f"SELECT {kinds}").fetchall()


_DB: list[Any] = []


def send(kind: bytes, payload: bytes) -> None:
    out = sys.stdout.buffer
    out.write(struct.pack(">I", len(payload)) + kind + payload)
    out.flush()


def connected(path: str, memory_mb: int) -> Any:
    db = _DB[0]
    for statement in (
        "SET TimeZone='UTC'",
        f"SET memory_limit='{memory_mb}MB'",
        "SET temp_directory=''",
        "SET ieee_floating_point_ops=false",  # what is divided by zero is an error
        f"SET allowed_paths=['{path}']",
        "SET enable_external_access=false",
        "SET lock_configuration=true",
    ):
        db.execute(statement)
    return db


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def csv_table(said: dict[str, Any], path: str) -> str:
    names = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in said["columns"])
    comment = f", comment={quoted(said['comment'])}" if said["comment"] else ""
    return (
        f"read_csv({quoted(path)}, auto_detect=false, all_varchar=true, null_padding=true, strict_mode=false,"
        f" header={'true' if said['skip_first'] else 'false'}, delim={quoted(said['delimiter'])},"
        f" quote={quoted(said['quote'])}, escape={quoted(said['escape'])}, nullstr='\x01',"
        f" max_line_size={LINE_BYTES_MAX}, parallel={'false' if said.get('lines_in_quotes') else 'true'}, columns={{{names}}}{comment})"
    )


def table_of(said: dict[str, Any], path: str, db: Any) -> str:
    if said["format"] == "csv":
        return csv_table(said, path)
    if said["format"] == "parquet":
        return (
            row_groups(db, path, *said["scan"])
            if "scan" in said
            else f"read_parquet({quoted(path)})"
        )
    return (
        f"(SELECT json AS j FROM read_json_objects({quoted(path)}, format='newline_delimited',"  # noqa: S608
        f" maximum_object_size={16 << 20}))"
    )


def row_groups(db: Any, path: str, start: int, stop: int) -> str:
    """The rows of the row groups that begin in a range of bytes."""
    begins = "min(least(data_page_offset, coalesce(dictionary_page_offset, data_page_offset)))"
    groups = db.execute(
        f"SELECT {begins}, max(row_group_num_rows) FROM parquet_metadata({quoted(path)})"  # noqa: S608
        " GROUP BY row_group_id ORDER BY row_group_id"
    ).fetchall()
    wanted, first = ["false"], 0
    for offset, count in groups:
        if start <= offset < stop:
            wanted.append(f"file_row_number BETWEEN {first} AND {first + count - 1}")
        first += count
    numbered = f"read_parquet({quoted(path)}, file_row_number=true)"
    return f"(SELECT * EXCLUDE (file_row_number) FROM {numbered} WHERE {' OR '.join(wanted)})"  # noqa: S608


# -- paths into JSON records


_PLACE = re.compile("\0(raw|typed|there)(.*?)\0", re.DOTALL)
_AMBIGUOUS = "error('\x02AmbiguousFieldName\x02')"


def filled(sql: str, db: Any, table: str, root: str | None) -> str:
    """``sql`` with each ``\\0mode[steps]\\0`` written out, by the structure of all records.

    raw is the JSON's text and NULL where there is none, typed a value of DuckDB's, there whether there is one.
    ``root`` is the member that holds the row, None where the record is the row.
    """
    if _PLACE.search(sql) is None:
        return sql
    (said,) = db.execute(f"SELECT json_group_structure(j) FROM {table}").fetchone()  # noqa: S608
    begun = [("", json.loads(said) if said else "NULL")]
    begun = below(begun, [root]) if root else begun

    def written(place: re.Match[str]) -> str:
        found = below(begun, json.loads(place[2]))
        present = [f'json_extract("r".j, {quoted(pointer)}) IS NOT NULL' for pointer, _ in found]
        if place[1] == "there":
            return f"({' OR '.join(present) or 'false'})"
        values = [extracted(pointer, kind, raw=place[1] == "raw") for pointer, kind in found]
        if len(values) < 2:
            return values[0] if values else "NULL"
        twice = " + ".join(f"CAST({one} AS INTEGER)" for one in present)
        return f"(CASE WHEN {twice} > 1 THEN {_AMBIGUOUS} ELSE coalesce({', '.join(values)}) END)"

    return _PLACE.sub(written, sql)


def below(found: list[tuple[str, Any]], steps: list[Any]) -> list[tuple[str, Any]]:
    """(JSON pointer, structure) of what ``steps`` lead to; a name has any case, unless it is a list of one."""
    for step in steps:
        following: list[tuple[str, Any]] = []
        for pointer, kind in found:
            if isinstance(step, int):
                if kind == "JSON" or isinstance(kind, list):
                    following.append((f"{pointer}/{step}", "JSON" if kind == "JSON" else kind[0]))
                continue
            name = step if isinstance(step, str) else step[0]
            if kind == "JSON":
                following.append((f"{pointer}/{escaped(name)}", "JSON"))
            elif isinstance(kind, dict):
                following += [
                    (f"{pointer}/{escaped(key)}", kind[key])
                    for key in kind
                    if key == name or (isinstance(step, str) and key.lower() == name.lower())
                ]
        found = following
    return found


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def extracted(pointer: str, kind: Any, *, raw: bool) -> str:
    if raw or isinstance(kind, (dict, list)):
        return f'json_extract("r".j, {quoted(pointer)})'
    text = f'json_extract_string("r".j, {quoted(pointer)})'
    if kind in ("VARCHAR", "JSON"):
        return text
    if kind == "NULL":
        return "NULL"
    return f"CAST({text} AS {'HUGEINT' if 'INT' in kind else kind})"


def plain(value: Any) -> Any:
    """As JSON takes it."""
    if isinstance(value, (datetime, date)):
        shown = value.isoformat().replace("+00:00", "")
        return shown + "Z" if "T" in shown else shown
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def text_of(value: Any) -> str:
    if value is None or value is ...:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    shown = plain(value)
    return shown if isinstance(shown, str) else str(shown)


class Rows:
    """Rows as bytes of the output format.

    ``names`` say what each item is called, ``raw`` which are JSON's text. Without names the one item is a whole record.
    ``whole`` are rows as they were found, of which what is NULL is left out.
    """

    def __init__(
        self, output: dict[str, Any], names: list[str], raw: list[bool], *, whole: bool
    ) -> None:
        self._output, self._names, self._raw, self._whole = output, names, raw, whole

    def encode(self, rows: list[tuple[Any, ...]]) -> bytes:
        made = [self._pairs(row) for row in rows]
        return self._json(made) if self._output["kind"] == "json" else self._csv(made)

    def _pairs(self, row: tuple[Any, ...]) -> list[tuple[str, Any]]:
        """What is MISSING is ``...``."""
        if not self._names:
            record = ... if row[0] is None else json.loads(row[0])
            return list(record.items()) if isinstance(record, dict) else [("_1", record)]
        values = [
            (json.loads(value) if value is not None else ...) if raw else value
            for value, raw in zip(row, self._raw, strict=True)
        ]
        return list(zip(self._names, values, strict=True))

    def _json(self, rows: list[list[tuple[str, Any]]]) -> bytes:
        end, lines = self._output["record"], []
        for row in rows:
            made = {
                k: plain(v) for k, v in row if v is not ... and (v is not None or not self._whole)
            }
            lines.append(json.dumps(made, separators=(",", ":"), ensure_ascii=False, default=str))
        return "".join(line + end for line in lines).encode()

    def _csv(self, rows: list[list[tuple[str, Any]]]) -> bytes:
        said, text = self._output, io.StringIO(newline="")
        style: Any = csv.QUOTE_ALL if said["always"] else csv.QUOTE_MINIMAL
        doubled = said["escape"] == said["quote"]
        writer = csv.writer(
            text,
            delimiter=said["delimiter"],
            quotechar=said["quote"],
            escapechar=None if doubled else said["escape"],
            doublequote=doubled,
            lineterminator=said["record"],
            quoting=style,
        )
        writer.writerows([text_of(value) for _, value in row] for row in rows)
        return text.getvalue().encode()


def main() -> None:
    said = json.loads(sys.stdin.buffer.readline())
    path = f"/proc/self/fd/{said['fd']}"
    db = connected(path, said["memory_mb"])
    for macro in said.get("macros", []):
        db.execute(f"CREATE MACRO {macro}")
    try:
        table = table_of(said, path, db)
        sql = filled(said["sql"], db, table, said.get("root"))
        found = db.execute(sql.replace("\0TABLE\0", table))
        own = [] if said["format"] == "json" else [column[0] for column in found.description]
        names = said["names"] or own
        raw = said.get("raw") or [False] * len(names)
        rows = Rows(said["output"], names, raw, whole=said.get("whole", True))
        send(b"S", b"")
        while page := found.fetchmany(ROWS_COUNT):
            body = rows.encode(page)
            for at in range(0, len(body), FRAME_BYTES):
                send(b"R", body[at : at + FRAME_BYTES])
        send(b"D", b"")
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        kind = type(error).__name__
        text = str(error)  # the line that is wrong stands in the middle, however long
        text = text if len(text) <= 2000 else f"{text[:500]} {text[-1500:]}"
        send(b"E", json.dumps({"kind": kind, "message": text}).encode())
