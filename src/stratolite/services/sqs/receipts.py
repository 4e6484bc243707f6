"""Receipt handles: which delivery of which message, signed so that nobody makes one up.

base64url of  tag (12 bytes, keyed BLAKE2b) | queue number | box | sent ms | stamp | times received, each 8 or 4
bytes big-endian. They hold as long as the message does, whatever restarts in between.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

from stratolite.errors import Fault

_BODY = Struct(">QQQQI")
_TAG_BYTES = 12
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


class Receipt(NamedTuple):
    queue: int
    box: int
    sent_ms: int
    stamp: int
    receives: int
    """The how manieth delivery it was."""


class Receipts:
    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(digest_size=_TAG_BYTES, key=key)

    def write(self, *receipt: int) -> str:
        body = _BODY.pack(*receipt)
        text = b2a_base64(self._tag(body) + body, newline=False)
        return text.translate(_TO_URL).decode()

    def read(self, text: str, queue: int) -> Receipt:
        """Raises Fault for what is no handle of this queue."""
        try:
            raw = a2b_base64(text.encode().translate(_FROM_URL))
        except ValueError:
            raise _bad(text) from None
        body = raw[_TAG_BYTES:]
        if len(body) != _BODY.size or self._tag(body) != raw[:_TAG_BYTES]:
            raise _bad(text)
        receipt = Receipt(*_BODY.unpack(body))
        if receipt.queue != queue:
            raise _bad(text)
        return receipt

    def _tag(self, body: bytes) -> bytes:
        tag = self._keyed.copy()
        tag.update(body)
        return tag.digest()


def _bad(text: str) -> Fault:
    return Fault(
        "ReceiptHandleIsInvalid",
        f'The input receipt handle "{text}" is not a valid receipt handle.',
    )
