"""Changes an Iceberg table in a child process, whose files the parent reads and writes as the caller.

The child's work leaves new files and no trace else: the table is as before until UpdateTableMetadataLocation names the new
metadata, with the version token that was read. Whoever asks does that in the transaction that settles what the rows came
from, so that rows are in the table exactly once, whatever happens in between.
"""

from __future__ import annotations

import asyncio
import os
import struct
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import msgspec
import orjson

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.runtime import jail
from stratolite.service import Call, Request, Response
from stratolite.services.s3tables.names import bad, not_offered, place
from stratolite.services.s3tables.tables import Tables

_PROGRAM = f"{os.path.dirname(__file__)}/child.py"
CHILD_MEMORY_BYTES_MAX = 4 << 30
CHILD_TIME_S_MAX = 300.0
FILE_BYTES_MAX = 512 << 20
"""Of one file the child reads or writes."""
FILES_COUNT_MAX = 100_000
"""How many files of a table are looked at for superfluous ones; the rest are by the next run."""
_PROPERTIES = {
    "commit.manifest-merge.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
}


TIDY = {"files": 100, "snapshots": 100, "age_ms": 3_600_000, "keep": 1}
"""How a table is kept in order where nothing else is said, see ``child``."""


class WriteFailed(Exception):
    """The table could not be changed: says why. Nothing of it is to be seen."""


def is_possible() -> bool:
    """Whether the libraries are here (``pip install stratolite[tables]``)."""
    return find_spec("pyiceberg") is not None and find_spec("pyarrow") is not None


class Writing(Tables):
    def can_write(self, call: Call, asked: Request) -> Response:
        """{Can}: whether WriteTable finds its libraries."""
        return {"Can": is_possible()}

    async def _first_metadata(self, call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
        """Metadata of a table that an Iceberg client wants made, without its location. ``wanted`` as the client writes it."""
        if not is_possible():
            raise not_offered("making tables so without the packages pyiceberg and pyarrow")
        task = {"create": wanted, "location": _NOWHERE, "now_ms": int(call.world.cloud() * 1000)}
        done = await _run(call, _NOWHERE, task)
        found: dict[str, Any] = orjson.loads(done["metadata"])
        return found

    async def write_table(self, call: Call, asked: Request) -> Response:
        """``asked``: {TableArn, Steps, Tidy?, Unreferenced?: {BeforeMs}, all as in ``child``}. Answers {MetadataLocation: "" if nothing changed, VersionToken:
        the one to give UpdateTableMetadataLocation, Rows, Gone: keys of files to drop with it, Bucket}.

        Raises WriteFailed, NotFound, and what S3 answers whoever may not read or write the table's files.
        """
        if not is_possible():
            raise not_offered("writing tables without the packages pyiceberg and pyarrow")

        def look(inner: Call) -> dict[str, Any]:
            return dict(self._table_of(inner, place(inner, asked["TableArn"])).record)

        record = await call.transact(look)
        if "metadata" not in record:
            raise bad("The table has no metadata.")
        warehouse = str(record["warehouse"])
        task = {
            "location": record["metadata"],
            "steps": asked["Steps"],
            "now_ms": int(call.world.cloud() * 1000),
            "properties": _PROPERTIES,
            "tidy": asked.get("Tidy") or TIDY,
        }
        if unreferenced := asked.get("Unreferenced"):
            task["listed"] = await _listed(call, warehouse)
            task["before_ms"] = unreferenced["BeforeMs"]
        done = await _run(call, warehouse, task)
        start = f"{warehouse}/"
        return {
            "MetadataLocation": done["location"],
            "VersionToken": record["token"],
            "Rows": done["rows"],
            "Gone": [one.removeprefix(start) for one in done["gone"] if one.startswith(start)],
            "Bucket": warehouse.removeprefix("s3://"),
        }


async def read_json(call: Call, location: str) -> dict[str, Any]:
    """A metadata file of a table, as the caller may read it."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    answer = await call.request("s3", "GetObject", {"Bucket": bucket, "Key": key})
    if answer["ContentLength"] > FILE_BYTES_MAX:
        raise WriteFailed(f"{location} is larger than {FILE_BYTES_MAX} bytes")
    found: dict[str, Any] = orjson.loads(await _whole(answer["Body"]))
    return found


async def _listed(call: Call, warehouse: str) -> list[tuple[str, int]]:
    """(location, when it was written in ms) of every file of a table."""
    found: list[tuple[str, int]] = []
    bucket, after = warehouse.removeprefix("s3://"), ""
    while True:
        asked = {"Bucket": bucket, "After": after}
        page = await call.request("s3", "ListTableObjects", asked)
        found += [(f"{warehouse}/{key}", at) for key, at in page["Objects"]]
        if not page["Objects"] or len(found) > FILES_COUNT_MAX:
            return found
        after = page["Objects"][-1][0]


_NOWHERE = "s3://nowhere"


async def _run(call: Call, warehouse: str, task: dict[str, Any]) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *jail.command(_PROGRAM, CHILD_MEMORY_BYTES_MAX, CHILD_TIME_S_MAX),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=jail.ENVIRONMENT,
        cwd="/",
    )
    try:
        async with asyncio.timeout(CHILD_TIME_S_MAX):
            return await _serve(call, warehouse, task, child)
    except TimeoutError as error:
        raise WriteFailed(f"it took longer than {CHILD_TIME_S_MAX:.0f} s") from error
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()


async def _serve(
    call: Call, warehouse: str, task: dict[str, Any], child: asyncio.subprocess.Process
) -> dict[str, Any]:
    """Answer what the child asks until it has done its task."""
    assert child.stdin is not None
    assert child.stdout is not None
    message: Any = task
    while True:
        raw = msgspec.msgpack.encode(message)
        try:
            child.stdin.write(struct.pack(">I", len(raw)) + raw)
            await child.stdin.drain()
            (size,) = struct.unpack(">I", await child.stdout.readexactly(4))
            if size > FILE_BYTES_MAX + 4096:
                raise WriteFailed(f"a file is larger than {FILE_BYTES_MAX} bytes")
            asked = msgspec.msgpack.decode(await child.stdout.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WriteFailed("the child ended without an answer") from error
        if "error" in asked:
            raise WriteFailed(asked["error"])
        if "done" in asked:
            done: dict[str, Any] = asked["done"]
            return done
        message = await _answer(call, warehouse, asked)


async def _answer(call: Call, warehouse: str, asked: dict[str, Any]) -> dict[str, Any]:
    location = asked.get("get") or asked["put"]
    start = f"{warehouse}/"
    if not location.startswith(start):
        raise WriteFailed(f"{location[:200]} is none of the table's files")
    request = {"Bucket": warehouse.removeprefix("s3://"), "Key": location.removeprefix(start)}
    if "put" in asked:
        await call.request("s3", "PutObject", {**request, "Body": asked["data"]})
        return {}
    try:
        answer = await call.request("s3", "GetObject", request)
    except Fault as fault:
        if fault.code == "NoSuchKey":
            return {}
        raise
    if answer["ContentLength"] > FILE_BYTES_MAX:
        raise WriteFailed(f"{location} is larger than {FILE_BYTES_MAX} bytes")
    return {"data": await _whole(answer["Body"])}


async def _whole(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, FileSlice):
        return await asyncio.to_thread(_read, body)
    return b"".join([piece async for piece in body])


def _read(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(part.size_bytes)
