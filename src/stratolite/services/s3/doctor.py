"""Looks at every object there is, says which bytes are not what their record says, and repairs what it can.

Bodies are read through and their checksum computed again: of an object in one piece its own, of one in parts that of
each part, uploads in progress and annotations too. A sealed body is opened, under a KMS key too, and so proves itself; one under a
customer's key, or a key that KMS does not use, is looked at for being there. What is damaged is repaired where the same bytes lie in
another place (``repairing``). Pages of ``bodies.PAGE_COUNT`` rows, flat memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

from stratolite.service import Cloud
from stratolite.services.s3 import bodies, content, repairing
from stratolite.services.s3.bodies import Stored
from stratolite.services.s3.repairing import Hurt
from stratolite.services.s3.state import Bucket

REPAIRS_COUNT_MAX = 10_000
"""Of one run; it can be run again."""


class Finding(NamedTuple):
    """Something that is wrong, or (``harmless``) that could not be looked at."""

    bucket: str
    key: str
    version: str
    what: str
    harmless: bool = False
    repaired_from: str = ""
    """Where the same bytes lay from which it is whole again, "" where it is not."""


async def examine(cloud: Cloud) -> AsyncIterator[Finding | int]:
    """Findings, and after each page the number of bodies looked at in it. What is damaged comes last, repaired or not."""
    hurt: list[tuple[Finding, Hurt]] = []
    async for bucket, page in bodies.every(cloud):
        for body in page:
            found = await _weigh(cloud, bucket, body)
            if found is None:
                continue
            if found.harmless or len(hurt) >= REPAIRS_COUNT_MAX:
                yield found
            else:
                hurt.append((found, Hurt(bucket, body)))
        yield len(page)
    sources = await repairing.repair(cloud, [one for _, one in hurt])
    for (found, _), source in zip(hurt, sources, strict=True):
        yield found._replace(repaired_from=source)


async def _weigh(cloud: Cloud, bucket: Bucket, body: Stored) -> Finding | None:
    def finding(what: str, *, harmless: bool = False) -> Finding:
        key = body.key.decode(errors="replace")
        return Finding(bucket.name, key, body.version, f"{body.name}: {what}", harmless)

    try:
        if body.unopened:
            async for _ in content.joined(cloud, body.pieces):
                pass
            return finding(body.unopened, harmless=True)
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
