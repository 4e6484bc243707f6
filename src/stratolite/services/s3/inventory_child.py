"""The child that writes an inventory's file in columns: one request on its input, the file on its output.

Started by file name, without stratolite: pyarrow stays out of the server. It is jailed (``runtime.guest.jail``).

    msgpack {form: "Parquet" | "ORC", columns: [[name, kind, required], ...], rows: [[value | null, ...], ...]}

Kinds: text, bool, int, time (milliseconds since the epoch).
"""

from __future__ import annotations

import io
import sys
from typing import Any

import msgspec


def warm() -> None:
    """pyarrow, and the time zone its ORC writer looks up."""
    import pyarrow as pa
    from pyarrow import orc, parquet  # noqa: F401

    orc.write_table(pa.table({"t": pa.array([0], pa.timestamp("ms"))}), io.BytesIO())


def main() -> None:
    sys.stdout.buffer.write(written(msgspec.msgpack.decode(sys.stdin.buffer.read())))


def written(request: dict[str, Any]) -> bytes:
    import pyarrow as pa

    is_parquet = request["form"] == "Parquet"
    kinds = {
        "text": pa.string(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "time": pa.timestamp("ms", tz="UTC" if is_parquet else None),
    }
    fields = [pa.field(name, kinds[kind], nullable=not required) for name, kind, required in request["columns"]]  # fmt: skip
    columns = list(zip(*request["rows"], strict=True)) or [()] * len(fields)
    arrays = [pa.array(list(c), type=f.type) for c, f in zip(columns, fields, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    out = io.BytesIO()
    if is_parquet:
        from pyarrow import parquet

        parquet.write_table(table, out, compression="snappy", version="2.6")
    else:
        from pyarrow import orc

        orc.write_table(table, out, compression="zlib")
    return out.getvalue()
