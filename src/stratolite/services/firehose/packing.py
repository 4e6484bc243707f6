"""What is in an object: its records one after another, compressed; or columns of Parquet or ORC."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from typing import Any

from stratolite.service import Call
from stratolite.services.firehose import children, parsing

_SERIALIZERS = {"ParquetSerDe": "parquet", "OrcSerDe": "orc"}


async def compressed(form: str, data: bytes, name: str) -> bytes:
    """``name`` is what a ZIP calls its file. Raises ChildFailed."""
    if form == "GZIP":
        return await asyncio.to_thread(gzip.compress, data, 6, mtime=0)
    if form == "ZIP":
        return await asyncio.to_thread(_zipped, data, name)
    if form == "UNCOMPRESSED":
        return data
    kind = "snappy" if form == "Snappy" else "hadoop"
    answer = await children.ask({"kind": kind, "data": data})
    packed: bytes = answer["data"]
    return packed


def _zipped(data: bytes, name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def form_of(conversion: dict[str, Any]) -> str:
    serializer = conversion["OutputFormatConfiguration"]["Serializer"]
    return next(form for name, form in _SERIALIZERS.items() if name in serializer)


async def columns(acting: Call, conversion: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and Hive types of the table's columns, as ``acting`` (a role) may see them. Raises Fault."""
    schema = conversion["SchemaConfiguration"]
    there = acting.scoped(acting.account, schema.get("Region") or acting.region)
    ask = {"DatabaseName": schema["DatabaseName"]}
    version = schema.get("VersionId", "LATEST")
    if version == "LATEST":
        found = (await there.request("glue", "GetTable", ask | {"Name": schema["TableName"]}))[
            "Table"
        ]
    else:
        ask |= {"TableName": schema["TableName"], "VersionId": version}
        found = (await there.request("glue", "GetTableVersion", ask))["TableVersion"]["Table"]
    described = (found.get("StorageDescriptor") or {}).get("Columns") or ()
    return [(column["Name"], column.get("Type", "string")) for column in described]


async def converted(
    conversion: dict[str, Any], columns: list[tuple[str, str]], records: list[bytes]
) -> tuple[bytes, list[tuple[int, str]]]:
    """The file, and which records could not be in it. Raises ChildFailed."""
    serializer = conversion["OutputFormatConfiguration"]["Serializer"]
    form = form_of(conversion)
    settings = serializer["ParquetSerDe" if form == "parquet" else "OrcSerDe"] or {}
    deserializer = conversion["InputFormatConfiguration"]["Deserializer"]
    openx = deserializer.get("OpenXJsonSerDe") or {}
    hive = deserializer.get("HiveJsonSerDe") or {}
    options = {
        "settings": settings,
        "times": [parsing.expression(pattern) for pattern in hive.get("TimestampFormats") or ()],
        "fold": openx.get("CaseInsensitive", True),
        "mappings": openx.get("ColumnToJsonKeyMappings"),
        "dots": openx.get("ConvertDotsInJsonKeysToUnderscores", False),
    }
    request = {
        "kind": "convert",
        "form": form,
        "columns": columns,
        "options": options,
        "records": records,
    }
    answer = await children.ask(request)
    return answer["data"], [(index, why) for index, why in answer["failed"]]
