"""Receipt handles: which delivery of which message, signed so that nobody makes one up.

base64url of  tag (12 bytes, keyed BLAKE2b) | queue number | box | sent ms | stamp | times received, each 8 or 4
bytes big-endian. They hold as long as the message does, whatever restarts in between.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from stratolite.errors import Fault

_BODY = Struct(">QQQQI")
_TAG_BYTES = 12


class Receipt(NamedTuple):
    queue: int
    box: int
    sent_ms: int
    stamp: int
    receives: int
    """The how manieth delivery it was."""


class Receipts:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, *receipt: int) -> str:
        body = _BODY.pack(*receipt)
        return base64.urlsafe_b64encode(self._tag(body) + body).decode()

    def read(self, text: str, queue: int) -> Receipt:
        """Raises Fault for what is no handle of this queue."""
        try:
            raw = base64.urlsafe_b64decode(text.encode())
        except (binascii.Error, ValueError):
            raise _bad(text) from None
        body = raw[_TAG_BYTES:]
        if len(body) != _BODY.size or self._tag(body) != raw[:_TAG_BYTES]:
            raise _bad(text)
        receipt = Receipt(*_BODY.unpack(body))
        if receipt.queue != queue:
            raise _bad(text)
        return receipt

    def _tag(self, body: bytes) -> bytes:
        return blake2b(body, digest_size=_TAG_BYTES, key=self._key).digest()


def _bad(text: str) -> Fault:
    return Fault(
        "ReceiptHandleIsInvalid",
        f'The input receipt handle "{text}" is not a valid receipt handle.',
    )
