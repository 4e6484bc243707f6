"""Manifests of batch jobs read piece by piece: a CSV of objects, or an inventory's list of such files.

A place in one is JSON: {offset} of a CSV in bytes, {file, row} of an inventory.
"""

from __future__ import annotations

import csv
import io
import zlib
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from stratolite.errors import Fault
from stratolite.http import Body, FileSlice
from stratolite.service import Call
from stratolite.services.s3control.job_rules import CSV

PIECE_BYTES = 256 << 10
FILE_BYTES_MAX = 64 << 20
"""Of one file of an inventory, as it lies and unpacked."""


class Task(NamedTuple):
    bucket: str
    key: str
    version: str


class Slice(NamedTuple):
    tasks: list[Task]
    place: dict[str, int] | None
    """Where the next one begins; None: this was the last."""


def unreadable(message: str) -> Fault:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/troubleshooting-batch-operations.html"""
    return Fault("InvalidManifestContent", message, status=400)


async def whole(body: Body, most: int) -> bytes:
    if isinstance(body, bytes):
        return body

    if isinstance(body, FileSlice):
        if body.size_bytes > most:
            raise unreadable("The manifest is too large")
        with open(body.path, "rb") as file:  # noqa: ASYNC230 - a part of a file that is on this disk
            file.seek(body.offset)
            return file.read(body.size_bytes)
    pieces, size = [], 0
    async for piece in body:
        size += len(piece)
        if size > most:
            raise unreadable("The manifest is too large")
        pieces.append(piece)
    return b"".join(pieces)


def _place(manifest: dict[str, Any]) -> dict[str, str]:
    location = manifest["Location"]
    bucket, _, key = location["ObjectArn"].removeprefix("arn:aws:s3:::").partition("/")
    asked = {"Bucket": bucket, "Key": key, "IfMatch": location.get("ETag") or ""}
    if location.get("ObjectVersionId"):
        asked["VersionId"] = location["ObjectVersionId"]
    return {name: value for name, value in asked.items() if value}


async def count(call: Call, manifest: dict[str, Any]) -> int:
    """How many tasks there are. Raises Fault."""
    total, place = 0, None
    while True:
        found = await read(call, manifest, place, 1 << 30)
        total += len(found.tasks)
        place = found.place
        if place is None:
            return total


async def read(
    call: Call, manifest: dict[str, Any], place: dict[str, int] | None, most: int
) -> Slice:
    """At most ``most`` tasks from ``place`` on. Raises Fault."""
    if manifest["Spec"]["Format"] == CSV:
        return await _read_csv(call, manifest, (place or {}).get("offset", 0), most)
    return await _read_inventory(call, manifest, place or {"file": 0, "row": 0}, most)


async def _read_csv(call: Call, manifest: dict[str, Any], offset: int, most: int) -> Slice:
    asked = {**_place(manifest), "Range": f"bytes={offset}-{offset + PIECE_BYTES - 1}"}
    try:
        answer = await call.request("s3", "GetObject", asked)
    except Fault as fault:
        if (
            fault.code == "InvalidRange"
        ):  # an empty manifest, or one that ends where the last slice did
            return Slice([], None)
        raise
    raw = await whole(answer["Body"], PIECE_BYTES)
    total = int(answer["ContentRange"].rpartition("/")[2])
    last = offset + len(raw) >= total
    if not last:
        end = raw.rfind(b"\n") + 1
        if end == 0:
            raise unreadable("A line of the manifest is too long")
        raw = raw[:end]
    fields = manifest["Spec"]["Fields"]
    tasks: list[Task] = []
    used = 0
    for line in raw.splitlines(keepends=True):
        if len(tasks) == most:
            return Slice(tasks, {"offset": offset + used})
        used += len(line)
        try:
            text = line.decode().strip("\r\n")
            row = next(csv.reader([text])) if text else []
        except (UnicodeDecodeError, csv.Error) as error:
            raise unreadable("Invalid Manifest Content") from error
        if row:
            tasks.append(_task(fields, row))
    return Slice(tasks, None if last else {"offset": offset + used})


async def _read_inventory(
    call: Call, manifest: dict[str, Any], place: dict[str, int], most: int
) -> Slice:
    try:
        return await _inventory(call, manifest, place, most)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error, csv.Error) as error:
        raise unreadable("Manifest file is not properly formatted") from error


async def _inventory(
    call: Call, manifest: dict[str, Any], place: dict[str, int], most: int
) -> Slice:
    answer = await call.request("s3", "GetObject", _place(manifest))
    said = orjson.loads(await whole(answer["Body"], FILE_BYTES_MAX))
    files = said["files"]
    if place["file"] >= len(files):
        return Slice([], None)
    bucket = said["destinationBucket"].removeprefix("arn:aws:s3:::")
    asked = {"Bucket": bucket, "Key": files[place["file"]]["key"]}
    answer = await call.request("s3", "GetObject", asked)
    packed = await whole(answer["Body"], FILE_BYTES_MAX)
    unpacked = zlib.decompressobj(31).decompress(packed, FILE_BYTES_MAX)
    fields = [name.strip() for name in said["fileSchema"].split(",")]
    rows = list(csv.reader(io.StringIO(unpacked.decode())))
    part = rows[place["row"] : place["row"] + most]
    tasks = [_task(fields, row) for row in part]
    if place["row"] + most < len(rows):
        return Slice(tasks, {"file": place["file"], "row": place["row"] + most})
    following = place["file"] + 1
    return Slice(tasks, {"file": following, "row": 0} if following < len(files) else None)


def _task(fields: list[str], row: list[str]) -> Task:
    said = dict(zip(fields, row, strict=False))
    if len(row) != len(fields):
        raise unreadable("Manifest file is not properly formatted")
    missing = [name for name in ("Bucket", "Key") if not said.get(name)]
    if missing:
        raise unreadable(f"Required fields are missing in the schema: {', '.join(missing)}")
    return Task(said.get("Bucket", ""), unquote(said.get("Key", "")), said.get("VersionId", ""))
