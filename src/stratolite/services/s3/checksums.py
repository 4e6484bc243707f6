"""The checksums S3 keeps with an object: computing, checking and combining those of parts.

A checksum is kept as S3 shows it: base64 of the big-endian value, a composite one with ``-N`` after
it. An object has one, of the algorithm its writer chose, else CRC64NVME.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import binascii
import hashlib
import sys
import zlib
from base64 import b64decode, b64encode
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

from stratolite.errors import Fault
from stratolite.services.s3.faults import invalid_request

DEFAULT = "CRC64NVME"
CRC_BYTES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8}
_HASHES: dict[str, Callable[..., Any]] = {
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA512": hashlib.sha512,
    "MD5": hashlib.md5,
}
_XXHASHES = {"XXHASH64": "xxhash64", "XXHASH3": "xxhash3_64", "XXHASH128": "xxhash3_128"}
"""As awscrt calls them."""
_IMPORTED = frozenset({"CRC32C", "CRC64NVME", *_XXHASHES})
ALGORITHMS = (*CRC_BYTES, *_HASHES, *_XXHASHES)
MEMBERS = {f"Checksum{name}": name for name in ALGORITHMS}
_ALL_MEMBERS = frozenset(MEMBERS)
_NAMING = _ALL_MEMBERS | {"ChecksumAlgorithm"}
DIGEST_BYTES = {
    **CRC_BYTES,
    "SHA1": 20,
    "SHA256": 32,
    "SHA512": 64,
    "MD5": 16,
    "XXHASH64": 8,
    "XXHASH3": 8,
    "XXHASH128": 16,
}


class Running(Protocol):
    """A checksum being computed. ``hashlib`` objects are."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, name: str) -> None:
        self._step = _crc_step(name)
        self._size = CRC_BYTES[name]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _XxHash:
    def __init__(self, name: str) -> None:
        from awscrt.checksums import XXHash

        self._state = getattr(XXHash, f"new_{_XXHASHES[name]}")()
        self.update = self._state.update

    def digest(self) -> bytes:
        return bytes(self._state.finalize())


@cache
def _crc_step(name: str) -> Callable[[bytes, int], int]:
    if name == "CRC32":
        return zlib.crc32
    # 40 ms to import, so at the first checksum that zlib does not have; 20 us a MiB then.
    from awscrt import checksums

    return checksums.crc32c if name == "CRC32C" else checksums.crc64nvme  # type: ignore[no-any-return]


def at_hand(name: str = DEFAULT) -> bool:
    """Whether computing it needs no import first; else do it in a thread."""
    return name not in _IMPORTED or "awscrt.checksums" in sys.modules


def running(name: str) -> Running:
    if name in CRC_BYTES:
        return _Crc(name)
    return _XxHash(name) if name in _XXHASHES else _HASHES[name](usedforsecurity=False)


def of_bytes(name: str, data: bytes) -> str:
    if name in CRC_BYTES:
        value = _crc_step(name)(data, 0)
        return b2a_base64(value.to_bytes(CRC_BYTES[name], "big"), newline=False).decode()
    check = running(name)
    check.update(data)
    return b64encode(check.digest()).decode()


def named(request: Mapping[str, Any]) -> str:
    """The algorithm a request names, right or not."""
    if _NAMING.isdisjoint(request):
        return DEFAULT
    asked = request.get("ChecksumAlgorithm")
    if asked is None:
        asked = next((MEMBERS[m] for m in MEMBERS.keys() & request.keys()), DEFAULT)
    return asked


def wanted(request: Mapping[str, Any]) -> tuple[str, str | None]:
    """(algorithm, value the client expects or None) of a request with a body.

    The value may still come in the body's trailers. Raises Fault for two checksums or a bad one.
    """
    if _NAMING.isdisjoint(request):
        return DEFAULT, None
    given = _ALL_MEMBERS.intersection(request)
    if len(given) > 1:
        raise invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    if len(given) == 1 and (asked := request.get("ChecksumAlgorithm")) is not None:
        (member,) = given
        if MEMBERS.get(member) == asked:  # what SDKs send
            return asked, check_form(asked, request[member])
    found: tuple[str, str] | None = None
    for member in given:
        name = MEMBERS[member]
        found = (name, check_form(name, request[member]))
    asked = request.get("ChecksumAlgorithm")
    if asked is not None:
        check_algorithm(asked)
        if found is not None and found[0] != asked:
            raise invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid.")
        return asked, found[1] if found else None
    return found or (DEFAULT, None)


def check_algorithm(name: str) -> None:
    if name not in ALGORITHMS:
        raise invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid "
            f"types: [{', '.join(sorted(ALGORITHMS))}]"
        )


def check_form(name: str, value: str) -> str:
    try:
        right = len(a2b_base64(value, strict_mode=True)) == DIGEST_BYTES[name]
    except (binascii.Error, ValueError):
        right = False
    if not right:
        raise invalid_request(f"Value for x-amz-checksum-{name.lower()} header is invalid.")
    return value


def bad_digest(name: str) -> Fault:
    return Fault(
        "BadDigest",
        f"The {name} you specified did not match the calculated checksum.",
        status=400,
    )


def composite(name: str, values: Sequence[str]) -> str:
    """Checksum of the checksums of the parts."""
    joined = b"".join(b64decode(value) for value in values)
    return f"{of_bytes(name, joined)}-{len(values)}"


def combined(name: str, values: Sequence[tuple[str, int]]) -> str:
    """The CRC of the whole from (CRC, size) of its parts, without its bytes."""
    assert name in CRC_BYTES, name
    from awscrt import checksums

    join = {
        "CRC32": checksums.combine_crc32,
        "CRC32C": checksums.combine_crc32c,
        "CRC64NVME": checksums.combine_crc64nvme,
    }[name]
    total = 0
    for at, (value, size) in enumerate(values):
        part = int.from_bytes(b64decode(value), "big")
        total = join(total, part, size) if at else part
    return b64encode(total.to_bytes(CRC_BYTES[name], "big")).decode()
