"""The annotation table of S3 Metadata: its schema, and what is annotated of a bucket's objects as its rows, a page at a time.

Which annotations there are S3 knows; their texts are read as the configuration's role, one GetObjectAnnotation each, so what
the role may not read does not get into the table.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-annotation-schema.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-enable-disable-annotation-tables.html
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from itertools import islice
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call
from stratolite.services.s3 import state, versions
from stratolite.services.s3.listing import version_rows
from stratolite.services.s3.state import Annotation, Bucket, Head

ROWS_COUNT_MAX = 5000
TEXT_BYTES_MAX = 16 << 20
"""Of one commit; one text more may come in."""
VERSIONS_COUNT_MAX = 5000
"""Versions that one page looks at, most of which may have no annotation."""
_GONE = frozenset({"NoSuchBucket", "NoSuchKey", "NoSuchVersion", "NoSuchAnnotation"})

# (column, type, whether it is required) in order
_COLUMNS = (
    ("bucket", "string", True),
    ("object_key", "string", True),
    ("object_version_id", "string", False),
    ("object_join_key", "string", True),
    ("name", "string", True),
    ("sequence_number", "string", True),
    ("last_modified_date", "timestamp", False),
    ("size", "long", False),
    ("e_tag", "string", False),
    ("checksum_algorithm", "string", False),
    ("replication_status", "string", False),
    ("text_value", "string", False),
)
SCHEMA = {
    "schemaV2": {
        "type": "struct",
        "fields": [
            {"id": number, "name": name, "type": kind, "required": required}
            for number, (name, kind, required) in enumerate(_COLUMNS, 1)
        ],
    }
}
"""As CreateTable's ``metadata.iceberg`` has it."""


class One(NamedTuple):
    """An annotation, with the version it is of."""

    key: bytes
    head: Head
    name: str
    made: Annotation


class Page(NamedTuple):
    found: list[One]
    at: str
    """Where the next one goes on; "" where nothing is left."""


class Limits:
    """How much may still come into a commit."""

    def __init__(self) -> None:
        self.rows, self.text, self.versions = ROWS_COUNT_MAX, TEXT_BYTES_MAX, VERSIONS_COUNT_MAX

    @property
    def are_reached(self) -> bool:
        return min(self.rows, self.text) <= 0


def page(call: Call, bucket: Bucket, low: bytes, high: bytes, at: str, limits: Limits) -> Page:
    """Annotations of the versions between two bounds, from ``at`` on, in order of version and name."""
    found: list[One] = []
    after = ""
    if at:
        row, after = orjson.loads(at)
        low = b64decode(row)
    for entry in islice(version_rows(call.tx, bucket, low, high), limits.versions + 1):
        if limits.versions == 0:
            return Page(found, _at(entry.row, ""))
        limits.versions -= 1
        assert entry.value is not None
        head = state.decode_head(entry.value)
        held = head.more.get("annotations")
        if held is not None:
            for name, made in state.annotations_of(
                call.tx, bucket, held["space"], "", after if entry.row == low else ""
            ):
                if limits.are_reached:
                    return Page(found, _at(entry.row, found[-1].name if found else after))
                limits.rows -= 1
                limits.text -= made.size_bytes
                found.append(One(entry.key, head, name, made))
        if limits.are_reached:
            return Page(found, _at(entry.row + b"\0", ""))
    return Page(found, "")


def _at(row: bytes, after: str) -> str:
    return orjson.dumps([b64encode(row).decode(), after]).decode()


async def rows(acting: Call, bucket: Bucket, found: list[One]) -> list[dict[str, Any]]:
    """The rows, their texts read as ``acting``; what is gone by now has none. Raises Fault where it may not read them."""
    made = []
    for one in found:
        try:
            text = await _text(acting, bucket, one)
        except Fault as fault:
            if fault.code in _GONE:
                continue
            if not fault.code.startswith("KMS."):  # its object's key cannot be used
                raise
            text = None
        made.append(_row(bucket, one, text))
    return made


def _row(bucket: Bucket, one: One, text: str | None) -> dict[str, Any]:
    made = one.made
    return {
        "bucket": bucket.name,
        "object_key": one.key.decode(),
        "object_version_id": versions.shown(one.head) if bucket.versioning else None,
        "object_join_key": f"{one.head.more['annotations']['space']:016x}",
        "name": one.name,
        "sequence_number": f"{made.modified_ms:016x}",
        "last_modified_date": made.modified_ms,
        "size": made.size_bytes,
        "e_tag": made.etag,
        "checksum_algorithm": made.checksum or None,
        "replication_status": one.head.more.get("replication"),
        "text_value": text,
    }


async def _text(acting: Call, bucket: Bucket, one: One) -> str:
    asked = {"Bucket": bucket.name, "Key": one.key.decode(), "AnnotationName": one.name}
    if bucket.versioning:
        asked["VersionId"] = versions.shown(one.head)
    answer = await acting.request("s3", "GetObjectAnnotation", asked)
    body = answer["AnnotationPayload"]
    if isinstance(body, FileSlice):
        body = await asyncio.to_thread(_read, body)
    elif not isinstance(body, bytes):
        body = b"".join([piece async for piece in body])
    return str(body, "utf-8")


def _read(part: FileSlice) -> bytes:
    with open(part.path, "rb") as file:
        file.seek(part.offset)
        return file.read(part.size_bytes)
