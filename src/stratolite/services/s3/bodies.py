"""Every body there is, a page of rows at a time: where it lies, what it must come to, and the key it is sealed with.

For who looks after what is stored, not for callers: IAM and key policies are not asked. A key that KMS does not use (disabled, to be
deleted, its material gone) and a customer's key leave a body ``unopened``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud
from stratolite.services.s3 import content, encryption, sealing, state
from stratolite.services.s3.content import Piece, Sealed
from stratolite.services.s3.encryption import VAULT_PURPOSE
from stratolite.services.s3.state import Annotation, Bucket, Head, Part, Upload

PAGE_COUNT = 100


class Place(NamedTuple):
    """What names the blob of a body: a head's row, or an upload's part."""

    row: bytes
    upload: str = ""
    number: int = 0


class Stored(NamedTuple):
    """Bytes to be read, and what they must come to."""

    key: bytes
    version: str
    name: str
    pieces: list[Piece]
    size_bytes: int
    checksum: str
    value: str
    unopened: str
    """Why it cannot be opened, only be there or not; "" for all others."""
    md5: str = ""
    """In hex, where it is known."""
    data_key: bytes = b""
    """What it is sealed with, b"" for nothing."""
    place: Place | None = None
    """None where it does not lie in a blob of its own."""


def operator(cloud: Cloud) -> Cloud:
    """The cloud as it serves whoever holds its folder: policies are not asked and nothing is recorded."""
    return replace(cloud, authorize=lambda *_: None, trail=None)


async def every(cloud: Cloud) -> AsyncIterator[tuple[Bucket, list[Stored]]]:
    cloud = operator(cloud)
    for bucket in await cloud.db.transact(lambda tx: list(state.every_bucket(tx))):
        for rows in (bucket.heads, bucket.versions, bucket.uploads, bucket.annotations):
            at = b""
            while True:
                low = at
                call = cloud.call(bucket.account, bucket.region)
                page = await call.transact(
                    lambda inner, low=low, rows=rows, bucket=bucket: _page(inner, bucket, rows, low)  # type: ignore[misc]
                )
                yield bucket, page.bodies
                if not page.at:
                    break
                at = page.at


class _Page(NamedTuple):
    bodies: list[Stored]
    at: bytes
    """Where the next one begins, b"": this was the last."""


def _page(call: Call, bucket: Bucket, rows: Keyspace, low: bytes) -> _Page:
    tx = call.tx
    start, stop = rows.span()
    seen = list(tx.scan((low or start, stop), limit=PAGE_COUNT))
    bodies: list[Stored] = []
    for row, raw in seen:
        if rows is bucket.annotations:
            bodies.append(_annotation(call, bucket, row, state.decode_annotation(raw)))
            continue
        key = state.key_of(rows, row)
        if rows is bucket.uploads:
            upload = state.decode_upload(raw)
            bodies += _parts(call, bucket, key, upload, state.upload_id_of(rows, row))
        else:
            bodies += _bodies(call, bucket, row, key, state.decode_head(raw))
    at = seen[-1][0] + b"\0" if len(seen) == PAGE_COUNT else b""
    return _Page(bodies, at)


def _data_key(call: Call, bucket: Bucket, key: bytes, more: dict[str, Any]) -> tuple[bytes, str]:
    """(data key, why it cannot be had)."""
    sse = more.get("sse")
    if not sse:
        return b"", ""
    if sse["alg"] == "C":
        return b"", "sealed with a customer's key, which is not kept"
    try:
        return encryption.open_key(call, bucket, key.decode(), sse, {}), ""
    except Fault as fault:
        return b"", f"sealed under {sse.get('key')}, which KMS does not use: {fault.message}"


def _bodies(call: Call, bucket: Bucket, row: bytes, key: bytes, head: Head) -> Iterator[Stored]:
    tx = call.tx
    if head.place == state.MARKER:
        return
    data_key, unopened = _data_key(call, bucket, key, head.more)
    version = head.version or "null"
    if head.place == state.IN_PARTS:
        for first, count, _ in head.runs:
            for number, part in state.parts(tx, bucket, head.upload, first, first + count - 1):
                pieces = _part_pieces(tx, bucket, head.upload, number, part, data_key)
                yield Stored(
                    key, version, f"part {number}", pieces, part.size_bytes, head.checksum,
                    part.checksum_value, unopened, *_of_part(row, head.upload, number, part, data_key),
                )  # fmt: skip
        return
    if unopened and head.place == state.IN_BLOB:
        pieces = [(head.blob, 0, sealing.sealed_size(head.size_bytes))]
    elif unopened:
        return  # it lies in the log, whose own checksums were looked at when it was read
    else:
        try:
            pieces = content.pieces(tx, bucket, key, head, data_key=data_key)
        except (AssertionError, sealing.Damaged):
            pieces = []
    hidden = "sse" in head.more and encryption.hides_digest(head.more["sse"])
    yield Stored(
        key, version, "body", pieces, head.size_bytes, head.checksum, head.checksum_value, unopened,
        "" if hidden else head.etag, data_key, Place(row) if head.place == state.IN_BLOB else None,
    )  # fmt: skip


def _of_part(
    row: bytes, upload_id: str, number: int, part: Part, data_key: bytes
) -> tuple[str, bytes, Place | None]:
    return part.etag, data_key, Place(row, upload_id, number) if part.extents else None


def _annotation(call: Call, bucket: Bucket, row: bytes, one: Annotation) -> Stored:
    space, name = bucket.annotations.parts(row)
    assert isinstance(space, int)
    assert isinstance(name, str)
    data_key = call.cloud.vault.open(one.key, VAULT_PURPOSE)
    size, pieces = one.size_bytes, list[Piece]()
    try:
        if one.blob:
            pieces = [Sealed((one.blob, 0, sealing.sealed_size(size)), data_key, size, 0, size)]
        else:
            data = state.annotation_body(call.tx, bucket, space, name)
            pieces = [sealing.open_sealed(data_key, data, size, 0, size)]
    except (AssertionError, sealing.Damaged):
        pass
    return Stored(
        name.encode(), "", "annotation", pieces, size, one.checksum, one.checksum_value, ""
    )


def _parts(
    call: Call, bucket: Bucket, key: bytes, upload: Upload, upload_id: str
) -> Iterator[Stored]:
    data_key, unopened = _data_key(call, bucket, key, upload.more)
    for number, part in state.parts(call.tx, bucket, upload_id):
        pieces = _part_pieces(call.tx, bucket, upload_id, number, part, data_key)
        name = f"part {number} of upload {upload_id}"
        yield Stored(
            key, "", name, pieces, part.size_bytes, upload.checksum, part.checksum_value, unopened,
            *_of_part(b"", upload_id, number, part, data_key),
        )  # fmt: skip


def _part_pieces(
    tx: Tx, bucket: Bucket, upload_id: str, number: int, part: Part, data_key: bytes
) -> list[Piece]:
    span = (0, part.size_bytes)
    try:
        return content.part_pieces(tx, bucket, upload_id, (number, part), span, data_key)
    except (AssertionError, sealing.Damaged):
        return []
