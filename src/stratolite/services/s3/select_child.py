"""Runs one S3 Select query in a process of its own, jailed: started by path, imports nothing of ours.

stdin: one line of JSON {format, fd, sql, names, header ..., output, limits}; the data is the inherited descriptor
``fd``, which has no name any more. stdout: frames, u32 big-endian length and a byte of kind before each:
R rows as they are to be sent, E an error (JSON {code, message}), D the end.

The jail: a user and network namespace of its own where the kernel allows, nothing written to files, no new privileges,
memory and CPU bounded by rlimits; inside it DuckDB with external access off (the one descriptor excepted), no
extensions loaded or installed, its memory and threads bounded and its configuration locked before the query is seen.
"""

from __future__ import annotations

import csv
import ctypes
import io
import json
import os
import resource
import struct
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

FRAME_BYTES = 128 << 10
ROWS_COUNT = 2000
_CLONE_NEWUSER, _CLONE_NEWNET, _PR_SET_NO_NEW_PRIVS = 0x10000000, 0x40000000, 38


def jail(memory_bytes: int, cpu_s: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWNET)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def send(kind: bytes, payload: bytes) -> None:
    out = sys.stdout.buffer
    out.write(struct.pack(">I", len(payload)) + kind + payload)
    out.flush()


def connected(path: str, memory_mb: int) -> Any:
    import duckdb

    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_unsigned_extensions": "false",
        "threads": "1",
    }
    db = duckdb.connect(":memory:", config=config)
    for statement in (
        "SET TimeZone='UTC'",
        f"SET memory_limit='{memory_mb}MB'",
        "SET temp_directory=''",
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
        f" max_line_size={1 << 21}, columns={{{names}}}{comment})"
    )


def table_of(said: dict[str, Any], path: str) -> str:
    if said["format"] == "csv":
        return csv_table(said, path)
    if said["format"] == "parquet":
        return f"read_parquet({quoted(path)})"
    never = "'\x01%Y'"  # texts that look like dates stay texts
    return (
        f"read_json({quoted(path)}, format='newline_delimited', records=true, sample_size=-1, maximum_depth=-1,"
        f" dateformat={never}, timestampformat={never}, maximum_object_size={16 << 20})"
    )


def plain(value: Any) -> Any:
    """As JSON takes it."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def text_of(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    shown = plain(value)
    return shown if isinstance(shown, str) else str(shown)


class Rows:
    """Rows as bytes of the output format."""

    def __init__(self, output: dict[str, Any], names: list[str], *, whole: bool) -> None:
        self._output, self._names, self._whole = output, names, whole

    def encode(self, rows: list[tuple[Any, ...]]) -> bytes:
        if self._output["kind"] == "json":
            return self._json(rows)
        return self._csv(rows)

    def _json(self, rows: list[tuple[Any, ...]]) -> bytes:
        end, lines = self._output["record"], []
        for row in rows:
            pairs = zip(self._names, row, strict=True)
            made = {k: plain(v) for k, v in pairs if v is not None or not self._whole}
            lines.append(json.dumps(made, separators=(",", ":"), ensure_ascii=False, default=str))
        return "".join(line + end for line in lines).encode()

    def _csv(self, rows: list[tuple[Any, ...]]) -> bytes:
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
        writer.writerows([text_of(value) for value in row] for row in rows)
        return text.getvalue().encode()


def main() -> None:
    said = json.loads(sys.stdin.buffer.readline())
    path = f"/proc/self/fd/{said['fd']}"
    db = connected(path, said["memory_mb"])
    db.execute("SELECT 1").fetchall()
    jail(said["memory_mb"] * 4 << 20, said["cpu_s"])
    try:
        found = db.execute(said["sql"].replace("\0TABLE\0", table_of(said, path)))
        own = [column[0] for column in found.description]
        rows = Rows(said["output"], said["names"] or own, whole=not said["names"])
        send(b"S", b"")
        while page := found.fetchmany(ROWS_COUNT):
            body = rows.encode(page)
            for at in range(0, len(body), FRAME_BYTES):
                send(b"R", body[at : at + FRAME_BYTES])
        send(b"D", b"")
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        kind = type(error).__name__
        send(b"E", json.dumps({"kind": kind, "message": str(error)[:1000]}).encode())


if __name__ == "__main__":
    main()
    os._exit(0)
