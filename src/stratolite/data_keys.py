"""Data keys at work: AES-256-GCM under them, and which are known for how long without KMS being asked."""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.clock import World
from stratolite.service import Principal

_NONCE_BYTES = 12
_KEPT_MAX = 4096

Place = tuple[str, ...]


class DataKey(NamedTuple):
    plain: bytes
    sealed: bytes
    """As KMS sealed it."""
    until_s: float
    """On the cloud clock."""


class Known:
    """Data keys by who asked for them and what for."""

    def __init__(self) -> None:
        self._kept: dict[Place, DataKey] = {}

    def get(self, place: Place, now_s: float) -> DataKey | None:
        known = self._kept.get(place)
        return known if known is not None and now_s < known.until_s else None

    def keep(self, place: Place, key: DataKey) -> DataKey:
        if len(self._kept) >= _KEPT_MAX:
            self._kept.clear()
        self._kept[place] = key
        return key


def asker(who: Principal) -> Place:
    """What decides whether KMS would answer ``who`` as before."""
    return who.kind, who.arn, who.source_arn, who.session_policy


def encrypt(world: World, key: bytes, plain: bytes, bound: bytes | None = None) -> bytes:
    """nonce (12) | ciphertext | tag (16); ``bound`` must be said again to open it."""
    nonce = world.token(_NONCE_BYTES)
    sealed: bytes = nonce + _aes(key).encrypt(nonce, plain, bound)
    return sealed


def decrypt(key: bytes, sealed: bytes, bound: bytes | None = None) -> bytes:
    """Raises cryptography's InvalidTag for what was not sealed so."""
    plain: bytes = _aes(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    return plain


def _aes(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
