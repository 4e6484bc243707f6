"""Looks at every object there is and says which bytes are not what their record says.

Bodies are read through and their checksum computed again: of an object in one piece its own, of one in parts that of
each part, uploads in progress and annotations too. A sealed body proves itself where its key is the vault's; one sealed by KMS or a
customer's key is looked at for being there and of the right size. Pages of ``PAGE_COUNT`` rows, flat memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

from stratolite.core import Keyspace, Tx
from stratolite.service import Cloud
from stratolite.services.s3 import content, sealing, state
from stratolite.services.s3.content import Piece, Sealed
from stratolite.services.s3.encryption import VAULT_PURPOSE
from stratolite.services.s3.state import Annotation, Bucket, Head, Part, Upload

PAGE_COUNT = 100


class Finding(NamedTuple):
    """Something that is wrong, or (``harmless``) that could not be looked at."""

    bucket: str
    key: str
    version: str
    what: str
    harmless: bool = False


class _Body(NamedTuple):
    """Bytes to be read, and what they must come to."""

    key: bytes
    version: str
    name: str
    pieces: list[Piece]
    size_bytes: int
    checksum: str
    value: str
    opaque: bool
    """Sealed with a key that is not ours: only there or not there."""


async def examine(cloud: Cloud) -> AsyncIterator[Finding | int]:
    """Findings, and after each page the number of bodies looked at in it."""
    for bucket in await cloud.db.transact(lambda tx: list(state.every_bucket(tx))):
        for rows in (bucket.heads, bucket.versions, bucket.uploads, bucket.annotations):
            at = b""
            while True:
                low = at
                page = await cloud.db.transact(
                    lambda tx, low=low, rows=rows, bucket=bucket: _page(
                        cloud, tx, bucket, rows, low
                    )  # type: ignore[misc]
                )
                for body in page.bodies:
                    found = await _weigh(cloud, bucket, body)
                    if found is not None:
                        yield found
                yield len(page.bodies)
                if not page.at:
                    break
                at = page.at


class _Page(NamedTuple):
    bodies: list[_Body]
    at: bytes
    """Where the next one begins, b"": this was the last."""


def _page(cloud: Cloud, tx: Tx, bucket: Bucket, rows: Keyspace, low: bytes) -> _Page:
    start, stop = rows.span()
    seen = list(tx.scan((low or start, stop), limit=PAGE_COUNT))
    bodies: list[_Body] = []
    for row, raw in seen:
        if rows is bucket.annotations:
            bodies.append(_annotation(cloud, tx, bucket, row, state.decode_annotation(raw)))
            continue
        key = state.key_of(rows, row)
        if rows is bucket.uploads:
            upload = state.decode_upload(raw)
            bodies += _parts(cloud, tx, bucket, key, upload, state.upload_id_of(rows, row))
        else:
            bodies += _bodies(cloud, tx, bucket, key, state.decode_head(raw))
    at = seen[-1][0] + b"\0" if len(seen) == PAGE_COUNT else b""
    return _Page(bodies, at)


def _data_key(cloud: Cloud, more: dict[str, Any]) -> tuple[bytes, bool]:
    """(data key, whether it is not ours to open)."""
    sse = more.get("sse")
    if not sse:
        return b"", False
    if sse["alg"] != "AES256":
        return b"", True
    return cloud.vault.open(sse["w"], VAULT_PURPOSE), False


def _bodies(cloud: Cloud, tx: Tx, bucket: Bucket, key: bytes, head: Head) -> Iterator[_Body]:
    if head.place == state.MARKER:
        return
    data_key, opaque = _data_key(cloud, head.more)
    version = head.version or "null"
    if head.place == state.IN_PARTS:
        for first, count, _ in head.runs:
            for number, part in state.parts(tx, bucket, head.upload, first, first + count - 1):
                pieces = _part_pieces(tx, bucket, head.upload, number, part, data_key)
                yield _Body(
                    key, version, f"part {number}", pieces, part.size_bytes, head.checksum,
                    part.checksum_value, opaque,
                )  # fmt: skip
        return
    if opaque and head.place == state.IN_BLOB:
        pieces = [(head.blob, 0, sealing.sealed_size(head.size_bytes))]
    elif opaque:
        return  # it lies in the log, whose own checksums were looked at when it was read
    else:
        try:
            pieces = content.pieces(tx, bucket, key, head, data_key=data_key)
        except (AssertionError, sealing.Damaged):
            pieces = []
    yield _Body(
        key, version, "body", pieces, head.size_bytes, head.checksum, head.checksum_value, opaque
    )


def _annotation(cloud: Cloud, tx: Tx, bucket: Bucket, row: bytes, one: Annotation) -> _Body:
    space, name = bucket.annotations.parts(row)
    assert isinstance(space, int)
    assert isinstance(name, str)
    data_key = cloud.vault.open(one.key, VAULT_PURPOSE)
    size, pieces = one.size_bytes, list[Piece]()
    try:
        if one.blob:
            pieces = [Sealed((one.blob, 0, sealing.sealed_size(size)), data_key, size, 0, size)]
        else:
            data = state.annotation_body(tx, bucket, space, name)
            pieces = [sealing.open_sealed(data_key, data, size, 0, size)]
    except (AssertionError, sealing.Damaged):
        pass
    return _Body(
        name.encode(), "", "annotation", pieces, size, one.checksum, one.checksum_value, False
    )


def _parts(
    cloud: Cloud, tx: Tx, bucket: Bucket, key: bytes, upload: Upload, upload_id: str
) -> Iterator[_Body]:
    data_key, opaque = _data_key(cloud, upload.more)
    for number, part in state.parts(tx, bucket, upload_id):
        pieces = _part_pieces(tx, bucket, upload_id, number, part, data_key)
        name = f"part {number} of upload {upload_id}"
        yield _Body(
            key, "", name, pieces, part.size_bytes, upload.checksum, part.checksum_value, opaque
        )


def _part_pieces(
    tx: Tx, bucket: Bucket, upload_id: str, number: int, part: Part, data_key: bytes
) -> list[Piece]:
    span = (0, part.size_bytes)
    try:
        return content.part_pieces(tx, bucket, upload_id, (number, part), span, data_key)
    except (AssertionError, sealing.Damaged):
        return []


async def _weigh(cloud: Cloud, bucket: Bucket, body: _Body) -> Finding | None:
    def finding(what: str, *, harmless: bool = False) -> Finding:
        key = body.key.decode(errors="replace")
        return Finding(bucket.name, key, body.version, f"{body.name}: {what}", harmless)

    size = 0
    try:
        if body.opaque:
            async for chunk in content.joined(cloud, body.pieces):
                size += len(chunk)
            return finding("sealed with a key that is not ours; not opened", harmless=True)
        _, value = await content.digests(cloud, body.pieces, body.checksum or "CRC64NVME")
    except FileNotFoundError:
        return finding("its blob is not there")
    except (OSError, ValueError) as error:
        return finding(f"cannot be read: {error}")
    have = sum(map(content.piece_size, body.pieces))
    if have != body.size_bytes:
        return finding(f"has {have} bytes instead of {body.size_bytes}")
    if body.checksum and value != body.value:
        return finding(f"{body.checksum} is {value} instead of {body.value}")
    return None
