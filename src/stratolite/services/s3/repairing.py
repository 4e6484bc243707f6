"""Makes damaged bodies whole from the same bytes in another place: a replica, a copy, another version, a part.

A second walk over all bodies finds those of the size and the digest; one is taken only if its bytes, read through, have the digests
that the damaged one's record says, one of them cryptographic (its MD5, or a SHA checksum): a CRC alone could be made to
match. So what lies under a KMS key with a CRC alone is not repaired. The bytes are written anew, under the damaged one's own data key, and take
the old blob's place in the record unless that has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stratolite.core import Tx
from stratolite.service import Cloud
from stratolite.services.s3 import bodies, content, sealing, state
from stratolite.services.s3.bodies import Stored
from stratolite.services.s3.content import Content
from stratolite.services.s3.copying import Again
from stratolite.services.s3.state import Bucket

_CRYPTOGRAPHIC = ("SHA1", "SHA256")


class Hurt(NamedTuple):
    bucket: Bucket
    body: Stored


async def repair(cloud: Cloud, hurt: Sequence[Hurt]) -> list[str]:
    """For each where its bytes were found, "BUCKET/KEY", or "": it is as it was."""
    sources = [""] * len(hurt)
    wanted: dict[int, list[int]] = {}
    for number, (_, body) in enumerate(hurt):
        if (
            body.place is not None
            and body.size_bytes
            and (body.md5 or body.checksum in _CRYPTOGRAPHIC)
        ):
            wanted.setdefault(body.size_bytes, []).append(number)
    if not wanted:
        return sources
    async for bucket, page in bodies.every(cloud):
        for body in page:
            for number in wanted.get(body.size_bytes, ()):
                one = hurt[number]
                itself = (bucket.id, body.place) == (one.bucket.id, one.body.place)
                if itself or sources[number] or body.unopened or not _alike(one.body, body):
                    continue
                if await _taken(cloud, one, body):
                    sources[number] = f"{bucket.name}/{body.key.decode(errors='replace')}"
    return sources


def _alike(hurt: Stored, other: Stored) -> bool:
    """By what the records say; the bytes are looked at when they are taken."""
    by_checksum = bool(hurt.checksum) and (hurt.checksum, hurt.value) == (other.checksum, other.value)  # fmt: skip
    return by_checksum or bool(hurt.md5 and hurt.md5 == other.md5)


def _proves(hurt: Stored, taken: Content) -> bool:
    if hurt.checksum and taken.checksum_value != hurt.value:
        return False
    if hurt.md5:
        return taken.md5 == hurt.md5
    return hurt.checksum in _CRYPTOGRAPHIC


async def _taken(cloud: Cloud, hurt: Hurt, other: Stored) -> bool:
    """Whether the bytes of ``other`` were the right ones and now are the body's."""
    body = hurt.body
    have = sum(map(content.piece_size, other.pieces))
    if have != body.size_bytes:
        return False
    checksum = body.checksum or "CRC64NVME"
    again = Again(cloud, other.pieces)
    try:
        taken = await content.taken_again(cloud, again, checksum, -1, body.data_key)
    except (OSError, ValueError):  # not whole either
        return False
    if taken.size_bytes != body.size_bytes or not _proves(body, taken):
        await cloud.blobs.discard(taken.blob)
        return False
    if not await cloud.db.transact(lambda tx: _put(cloud, tx, hurt, taken)):
        await cloud.blobs.discard(taken.blob)
        return False
    return True


def _put(cloud: Cloud, tx: Tx, hurt: Hurt, taken: Content) -> bool:
    """The new blob for the old; whether the old was still named."""
    bucket, body = hurt
    place = body.place
    assert place is not None
    if place.upload:
        found = next(iter(state.parts(tx, bucket, place.upload, place.number, place.number)), None)
        if found is None or found[1].etag != body.md5:
            return False
        part = found[1]
        for blob, _, _ in part.extents:
            cloud.blobs.unlink(tx, blob)
        size = sealing.sealed_size(body.size_bytes) if body.data_key else body.size_bytes
        part.extents = [(taken.blob, 0, size)]
        cloud.blobs.link(tx, taken.blob)
        state.put_part(tx, bucket, place.upload, place.number, part)
        return True
    raw = tx.get(place.row)
    head = state.decode_head(raw) if raw is not None else None
    if head is None or head.blob not in _blobs(body):
        return False
    cloud.blobs.unlink(tx, head.blob)
    head.blob = taken.blob
    cloud.blobs.link(tx, taken.blob)
    state.put_row(tx, place.row, head)
    return True


def _blobs(body: Stored) -> set[str]:
    return {
        piece.source[0] if isinstance(piece, content.Sealed) else piece[0]
        for piece in body.pieces
        if not isinstance(piece, bytes)
    }
