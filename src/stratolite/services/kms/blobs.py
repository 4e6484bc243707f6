"""The form of a symmetric ciphertext: it says which key can open it, and is bound to its encryption context.

0x01 | account (12 digits) | key id (16 bytes) | number of the key material (2, big-endian) | nonce (12) | sealed
0x02   the same of a multi-region key, whose id is "mrk-" and these 16 bytes in hex
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import NamedTuple

import orjson

_PLAIN, _MULTI = b"\x01", b"\x02"
MULTI = "mrk-"
_HEAD = 31
_NONCE = 12


class Blob(NamedTuple):
    account: str
    key_id: str
    number: int
    nonce: bytes
    sealed: bytes
    head: bytes


def head(account: str, key_id: str, number: int) -> bytes:
    version = _MULTI if key_id.startswith(MULTI) else _PLAIN
    raw = uuid.UUID(key_id.removeprefix(MULTI)).bytes
    return version + account.encode() + raw + number.to_bytes(2, "big")


def parse(raw: bytes) -> Blob | None:
    if len(raw) < _HEAD + _NONCE + 16 or raw[:1] not in (_PLAIN, _MULTI) or not raw[1:13].isdigit():
        return None
    return Blob(
        raw[1:13].decode(),
        f"{MULTI}{raw[13:29].hex()}" if raw[:1] == _MULTI else str(uuid.UUID(bytes=raw[13:29])),
        int.from_bytes(raw[29:31], "big"),
        raw[_HEAD : _HEAD + _NONCE],
        raw[_HEAD + _NONCE :],
        raw[:_HEAD],
    )


def bound(head: bytes, context: Mapping[str, str]) -> bytes:
    """What is authenticated with the sealed bytes."""
    return head + orjson.dumps(dict(context), option=orjson.OPT_SORT_KEYS)
