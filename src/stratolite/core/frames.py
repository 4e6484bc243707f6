"""The frame around every object stored whole (log objects, runs, manifests): what it is, which format, its CRC.

offset  size  field
0       8     kind, ASCII: "STRATLOG" a log entry, "STRATRUN" a piece of a run, "STRATMAN" a manifest
8       4     format of the body, little-endian, 1
12      4     CRC-32 of the body and then of bytes 0..11, little-endian
16      n     body
"""

from __future__ import annotations

import struct
import zlib

from stratolite.core.log import Damaged

LOG, RUN, MANIFEST = b"STRATLOG", b"STRATRUN", b"STRATMAN"
FORMAT = 1
_HEAD = struct.Struct("<8sI")
_CRC = struct.Struct("<I")
SIZE_BYTES = 16


def frame(kind: bytes, body: bytes) -> bytes:
    head = _HEAD.pack(kind, FORMAT)
    return b"".join((head, _CRC.pack(zlib.crc32(head, zlib.crc32(body))), body))


def unframe(kind: bytes, data: bytes, name: str) -> memoryview:
    """The body. Raises Damaged, naming the object, unless it is whole, of this kind and of a format we know."""
    if len(data) < SIZE_BYTES or data[:8] != kind:
        raise Damaged(f"object={name} is no {kind.decode()} size_bytes={len(data)}")
    version = _HEAD.unpack_from(data)[1]
    if version != FORMAT:
        raise Damaged(f"object={name} has format={version}, this version reads {FORMAT}")
    body = memoryview(data)[SIZE_BYTES:]
    if _CRC.unpack_from(data, 12)[0] != zlib.crc32(data[:12], zlib.crc32(body)):
        raise Damaged(f"object={name} fails its CRC size_bytes={len(data)}")
    return body
