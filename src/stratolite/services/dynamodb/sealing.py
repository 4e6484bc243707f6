"""What is stored of a table under a KMS key: sealed with AES-256-GCM, value by value, under the table's data key.

    0x03 | salt (12) | number (4) | ciphertext and tag (16)

The key of a value is HMAC-SHA256(data key, "item" | salt), its nonce eight zero bytes and the number; the place where it lies is
authenticated with it, so no value can be put in another's place. A salt is random and serves one run of a server for at most 2**32
values: no nonce comes twice, however many values a table sees (random nonces under one key would have to end at as many).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

SEALED = 0x03
_SALT_BYTES = 12
_HEAD_BYTES = 1 + _SALT_BYTES + 4
_TAG_BYTES = 16
OVERHEAD_BYTES = _HEAD_BYTES + _TAG_BYTES
_NUMBER_MAX = (1 << 32) - 1
_KEPT_MAX = 1024
_ZEROS = bytes(8)


class Seal:
    """A data key at work. ``seals``: whether what is stored from now on is sealed; False while a table is being opened."""

    __slots__ = ("_ciphers", "_fresh", "_key", "_number", "_own", "_token", "seals")

    def __init__(self, data_key: bytes, token: Callable[[int], bytes], *, seals: bool) -> None:
        """``token(n)``: n random bytes."""
        self.seals = seals
        self._key, self._token = data_key, token
        self._ciphers: dict[bytes, Any] = {}
        self._fresh = b""
        self._own: Any = None
        self._number = _NUMBER_MAX

    def close(self, place: bytes, plain: bytes) -> bytes:
        """What is stored at ``place`` for ``plain``."""
        number = self._number = self._number + 1
        if number > _NUMBER_MAX:
            self._fresh = self._token(_SALT_BYTES)
            self._own = self._cipher(self._fresh)
            number = self._number = 0
        counter = number.to_bytes(4, "big")
        sealed: bytes = self._own.encrypt(_ZEROS + counter, plain, place)
        return b"\x03%b%b%b" % (self._fresh, counter, sealed)

    def open(self, place: bytes, sealed: bytes) -> bytes:
        """Raises Damaged for what was not sealed with this key for this place."""
        from cryptography.exceptions import InvalidTag

        salt, counter = sealed[1 : 1 + _SALT_BYTES], sealed[1 + _SALT_BYTES : _HEAD_BYTES]
        cipher = self._ciphers.get(salt) or self._cipher(salt)
        try:
            return cipher.decrypt(_ZEROS + counter, sealed[_HEAD_BYTES:], place)  # type: ignore[no-any-return]
        except InvalidTag as error:
            raise Damaged(f"a sealed value was changed; place={place.hex()}") from error

    def _cipher(self, salt: bytes) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if len(self._ciphers) >= _KEPT_MAX:
            self._ciphers.clear()
        made = AESGCM(hmac.digest(self._key, b"item" + salt, "sha256"))
        self._ciphers[salt] = made
        return made


class Damaged(ValueError):
    """Not sealed with this key, or not what was sealed."""
