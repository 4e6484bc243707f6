"""Object bodies on their way in (hashed, small ones held, large ones into blobs) and out (in pieces).

Memory stays flat: a body is taken in batches of ``BATCH_BYTES``, one being hashed in a thread while it is
written and the next arrives. A hop to a thread costs some 40 us, what MD5 needs for 30 KiB, so bodies up
to ``HASH_IN_LOOP_BYTES`` are hashed where they are.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stratolite.core import Tx
from stratolite.core.lanes import Hasher
from stratolite.errors import Fault
from stratolite.http import Body, BodyStream, FileSlice, hear
from stratolite.service import Cloud, Request
from stratolite.services.s3 import checksums, sealing, state
from stratolite.services.s3.faults import entity_too_large, invalid_request
from stratolite.services.s3.state import Bucket, Extent, Head, Part

HASH_IN_LOOP_BYTES = 32 << 10
BATCH_BYTES = 256 << 10
PUT_SIZE_BYTES_MAX = 5 << 30


class Sealed(NamedTuple):
    """A part of a sealed body: ``start`` to ``stop`` of its ``size_bytes``, to be opened with ``data_key``."""

    source: Extent
    """All of it, as it lies."""
    data_key: bytes
    size_bytes: int
    start: int
    stop: int


Piece = bytes | Extent | Sealed


def piece_size(piece: Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    return piece.stop - piece.start if isinstance(piece, Sealed) else piece[2]


class Content(NamedTuple):
    """A body taken in: held in ``data``, or else finished as ``blob``."""

    size_bytes: int
    md5: str
    """Hex."""
    checksum: str
    checksum_value: str
    data: bytes | None
    blob: str
    other_value: str = ""
    """Of the other checksum that was asked for."""


# -- in


def weighed(data: bytes, checksum: str, other: str = "") -> Content:
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    value = checksums.of_bytes(checksum, data)
    beside = checksums.of_bytes(other, data) if other and other != checksum else ""
    return Content(len(data), md5, checksum, value, data, "", beside)


def is_small(request: Request) -> bool:
    """Whether a body is here and hashed sooner than a thread would begin to."""
    body = request.get("Body", b"")
    return (
        type(body) is bytes
        and len(body) <= HASH_IN_LOOP_BYTES
        and checksums.at_hand(checksums.named(request))
    )


def taken_small(request: Request) -> Content:
    """Of a request that ``taken`` prepared, or of a small one as it came, then checked here."""
    body = request.get("Body", b"")
    if type(body) is Content:
        return body
    checksum, expected = checksums.wanted(request)
    content = weighed(body, checksum)
    check_digests(request, content, expected, {})
    return content


async def taken(
    cloud: Cloud,
    request: Request,
    inline_bytes_max: int,
    data_key: bytes = b"",
    other: str = "",
) -> Content:
    """The body of PutObject or UploadPart, checked against every digest the client gave.

    With a ``data_key`` what is kept is sealed, small or large; size and digests are of what came. ``other`` is a
    checksum to be made beside the client's.
    """
    body: bytes | BodyStream = request.get("Body", b"")
    checksum, expected = checksums.wanted(request)
    if isinstance(body, bytes):
        content = await asyncio.to_thread(weighed, body, checksum, other)
        if len(body) > inline_bytes_max:
            check_digests(request, content, expected, {})
            if data_key:
                salt = cloud.world.token(sealing.SALT_BYTES)
                body = await asyncio.to_thread(sealing.seal, data_key, salt, body)
            writer = cloud.blobs.writer()
            await writer.write(body)
            blob = await writer.finish()
            return content._replace(data=None, blob=blob.id)
        trailers: Mapping[str, str] = {}
    else:
        content = await _streamed(cloud, body, checksum, inline_bytes_max, data_key, other)
        trailers = body.trailers
    try:
        check_digests(request, content, expected, trailers)
    except Fault:
        if content.blob:
            await cloud.blobs.discard(content.blob)
        raise
    return sealed(cloud, content, data_key) if data_key else content


async def taken_again(
    cloud: Cloud, body: BodyStream, checksum: str, inline_bytes_max: int, data_key: bytes
) -> Content:
    """Bytes that lie here, kept once more, under another key or none."""
    content = await _streamed(cloud, body, checksum, inline_bytes_max, data_key)
    return sealed(cloud, content, data_key) if data_key else content


def sealed(cloud: Cloud, content: Content, data_key: bytes) -> Content:
    """A small body, taken in, as it is kept under ``data_key``."""
    if content.data is None:
        return content
    salt = cloud.world.token(sealing.SALT_BYTES)
    return content._replace(data=sealing.seal(data_key, salt, content.data))


async def _streamed(
    cloud: Cloud,
    body: BodyStream,
    checksum: str,
    inline_bytes_max: int,
    data_key: bytes,
    other: str = "",
) -> Content:
    if body.size_bytes is not None and body.size_bytes > PUT_SIZE_BYTES_MAX:
        raise entity_too_large(body.size_bytes, PUT_SIZE_BYTES_MAX)
    loop = asyncio.get_running_loop()
    md5, check = hashlib.md5(usedforsecurity=False), await _running(checksum)
    beside = await _running(other) if other and other != checksum else None
    hasher = Hasher(md5.update, check.update, *([beside.update] if beside else []))
    sealer = sealing.Sealer(data_key, cloud.world.token(sealing.SALT_BYTES)) if data_key else None
    writer: Any = None
    blob = ""
    held: list[bytes] = []
    held_bytes = size = 0
    in_blob = body.size_bytes is not None and body.size_bytes > inline_bytes_max
    keep = 0 if in_blob else inline_bytes_max
    if sealer is not None:
        keep = max(keep, BATCH_BYTES)

    async def hand_over() -> None:
        nonlocal held, held_bytes, writer
        if writer is None:
            writer = cloud.blobs.writer()
        batch, held, held_bytes = held, [], 0
        if sealer is not None:
            batch = [await loop.run_in_executor(None, sealer.update, b"".join(batch))]
        for piece in batch:
            await writer.write(piece)

    early = hear(body, hasher)  # before sinks and tasks have had their turns
    try:
        async for chunk in body:
            size += len(chunk)
            if size > PUT_SIZE_BYTES_MAX:
                raise entity_too_large(size, PUT_SIZE_BYTES_MAX)
            if not early:
                hasher(chunk)
            await hasher.room()
            held.append(chunk)
            held_bytes += len(chunk)
            if held_bytes > keep:
                await hand_over()
                keep = BATCH_BYTES if sealer is not None else 0
        if writer is not None or size > inline_bytes_max:
            if held:
                await hand_over()
            if sealer is not None:
                await writer.write(sealer.finish())
            blob = (await writer.finish()).id  # the disk is at it while the last pieces are hashed
        await hasher.done()
    except BaseException:
        if writer is not None:
            await writer.abort()
        raise
    data = b"".join(held) if writer is None else None
    value = b64encode(check.digest()).decode()
    other_value = b64encode(beside.digest()).decode() if beside else ""
    return Content(size, md5.hexdigest(), checksum, value, data, blob, other_value)


async def _running(checksum: str) -> checksums.Running:
    if checksums.at_hand(checksum):
        return checksums.running(checksum)
    return await asyncio.to_thread(checksums.running, checksum)


def check_digests(
    request: Request, content: Content, expected: str | None, trailers: Mapping[str, str]
) -> None:
    """Raises BadDigest or InvalidDigest; ``expected`` is the checksum given as a header."""
    header = request.get("ContentMD5")
    if header is not None:
        try:
            wanted = b64decode(header, validate=True)
        except (binascii.Error, ValueError):
            wanted = b""
        if len(wanted) != 16:
            raise Fault(
                "InvalidDigest",
                "The Content-MD5 you specified was invalid.",
                status=400,
                **{"Content-MD5": header},
            )
        if wanted.hex() != content.md5:
            raise Fault(
                "BadDigest",
                "The Content-MD5 you specified did not match what we received.",
                status=400,
                ExpectedDigest=header if "PartNumber" in request else wanted.hex(),  # as AWS does
                CalculatedDigest=b64encode(bytes.fromhex(content.md5)).decode(),
            )
    name = f"x-amz-checksum-{content.checksum.lower()}"
    if expected is None and name in trailers:
        expected = checksums.check_form(content.checksum, trailers[name].strip())
    if expected is None and "ChecksumAlgorithm" in request:
        raise invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
            "x-amz-trailer headers were found."
        )
    if expected is not None and expected != content.checksum_value:
        raise checksums.bad_digest(content.checksum)


# -- out


def pieces(
    tx: Tx,
    bucket: Bucket,
    key: bytes,
    head: Head,
    start: int = 0,
    stop: int | None = None,
    data_key: bytes = b"",
) -> list[Piece]:
    """The bytes of an object from ``start`` to ``stop``, as what they lie in."""
    if stop is None:
        stop = head.size_bytes
    if head.place == state.IN_PARTS:
        return _pieces_of_parts(tx, bucket, head, start, stop, data_key)
    if stop <= start:
        return []
    if head.place == state.IN_BLOB:
        if data_key:
            extent = (head.blob, 0, sealing.sealed_size(head.size_bytes))
            return [Sealed(extent, data_key, head.size_bytes, start, stop)]
        return [(head.blob, start, stop - start)]
    data = head.data if head.place == state.IN_HEAD else state.body(tx, bucket, key, head.order)
    if data_key:
        return [sealing.open_sealed(data_key, data, head.size_bytes, start, stop)]
    return [data[start:stop]]


def _pieces_of_parts(
    tx: Tx, bucket: Bucket, head: Head, start: int, stop: int, data_key: bytes
) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    for first, count, size in head.runs:
        end = at + count * size
        if end > start and at < stop and size:
            low = first + max(0, start - at) // size
            high = first + min(count - 1, (stop - 1 - at) // size)
            for number, part in state.parts(tx, bucket, head.upload, low, high):
                part_at = at + (number - first) * size
                found += part_pieces(
                    tx,
                    bucket,
                    head.upload,
                    (number, part),
                    (max(0, start - part_at), min(size, stop - part_at)),
                    data_key,
                )
        at = end
    return found


def part_pieces(
    tx: Tx,
    bucket: Bucket,
    upload_id: str,
    numbered: tuple[int, Part],
    span: tuple[int, int],
    data_key: bytes = b"",
) -> list[Piece]:
    number, part = numbered
    start, stop = span
    if not part.extents:
        data = state.part_body(tx, bucket, upload_id, number)
        if data_key:
            return [sealing.open_sealed(data_key, data, part.size_bytes, start, stop)]
        return [data[start:stop]]
    if data_key:
        (extent,) = part.extents
        return [Sealed(extent, data_key, part.size_bytes, start, stop)]
    found: list[Piece] = []
    at = 0
    for blob, offset, size in part.extents:
        low, high = max(start - at, 0), min(stop - at, size)
        if low < high:
            found.append((blob, offset + low, high - low))
        at += size
    return found


PARTS_PER_PAGE = 200


def body_of(
    cloud: Cloud,
    tx: Tx,
    bucket: Bucket,
    key: bytes,
    head: Head,
    start: int,
    stop: int,
    data_key: bytes = b"",
) -> Body:
    """The bytes from ``start`` to ``stop``. Of very many parts only the first page is looked up in ``tx``.

    The rest is looked up while it is sent; should the object go meanwhile, the answer breaks off.
    """
    if head.place != state.IN_PARTS or len(head.runs) == 0:
        return as_body(cloud, pieces(tx, bucket, key, head, start, stop, data_key))
    seams = page_seams(head, start, stop)
    first = pieces(tx, bucket, key, head, start, seams[0], data_key)
    if len(seams) == 1:
        return as_body(cloud, first)

    async def paged() -> AsyncIterator[bytes]:
        found, at = first, seams[0]
        async for chunk in joined(cloud, found):
            yield chunk
        for seam in seams[1:]:
            low, high = at, seam
            found = await cloud.db.transact(
                lambda tx, low=low, high=high: pieces(tx, bucket, key, head, low, high, data_key)  # type: ignore[misc]
            )
            if sum(map(piece_size, found)) != seam - at:
                raise OSError(f"object in {bucket.name} was replaced while it was being sent")
            async for chunk in joined(cloud, found):
                yield chunk
            at = seam

    return paged()


def page_seams(head: Head, start: int, stop: int) -> list[int]:
    """Ends of the pages of at most ``PARTS_PER_PAGE`` parts between ``start`` and ``stop``; the last is stop."""
    seams: list[int] = []
    at = counted = 0
    for _, count, size in head.runs:
        for _ in range(count):
            at += size
            if at <= start or not size:
                continue
            if at >= stop:
                return [*seams, stop]
            counted += 1
            if counted == PARTS_PER_PAGE:
                seams.append(at)
                counted = 0
    return [*seams, stop]


def as_body(cloud: Cloud, found: Sequence[Piece]) -> Body:
    """One piece as it lies; several one after another, with flat memory."""
    if not found:
        return b""
    if len(found) == 1:
        piece = found[0]
        if isinstance(piece, Sealed):
            return _opened(cloud, piece)
        return piece if isinstance(piece, bytes) else cloud.blobs.body(*piece)
    return joined(cloud, found)


async def joined(cloud: Cloud, found: Sequence[Piece]) -> AsyncIterator[bytes]:
    for piece in found:
        if isinstance(piece, bytes):
            yield piece
        elif isinstance(piece, Sealed):
            async for chunk in _opened(cloud, piece):
                yield chunk
        else:
            async for chunk in _chunks(cloud, piece):
                yield chunk


async def _opened(cloud: Cloud, piece: Sealed) -> AsyncIterator[bytes]:
    """A part of a sealed body, opened; raises ``sealing.Damaged`` where it is not what was sealed."""
    blob, offset, _ = piece.source
    part = sealing.window(piece.size_bytes, piece.start, piece.stop)
    salt = b"".join([c async for c in _chunks(cloud, (blob, offset, sealing.SALT_BYTES))])
    opener = sealing.Opener(piece.data_key, salt, piece.size_bytes, piece.start, piece.stop)
    async for chunk in _chunks(cloud, (blob, offset + part.offset, part.size_bytes)):
        for plain in opener.update(chunk):
            yield plain
    if last := opener.finish():
        yield last


async def _chunks(cloud: Cloud, extent: Extent) -> AsyncIterator[bytes]:
    body: Body = cloud.blobs.body(*extent)
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, FileSlice):
        async for chunk in _read(body):
            yield chunk
    else:
        async for chunk in body:
            yield chunk


async def _read(part: FileSlice) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    file = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at, end = part.offset, part.offset + part.size_bytes
        while at < end:
            chunk = await loop.run_in_executor(None, os.pread, file, min(BATCH_BYTES, end - at), at)
            if not chunk:
                raise OSError(f"{part.path} is shorter than its object says")
            yield chunk
            at += len(chunk)
    finally:
        os.close(file)


async def digests(cloud: Cloud, found: Sequence[Piece], checksum: str) -> tuple[str, str]:
    """(MD5 in hex, checksum value) of pieces, read through."""
    md5, check = hashlib.md5(usedforsecurity=False), await _running(checksum)
    updates: list[Callable[[bytes], None]] = [md5.update, check.update]

    def digest(data: bytes) -> None:
        for update in updates:
            update(data)

    async for chunk in joined(cloud, found):
        if len(chunk) <= HASH_IN_LOOP_BYTES:
            digest(chunk)
        else:
            await asyncio.to_thread(digest, chunk)
    return md5.hexdigest(), b64encode(check.digest()).decode()
