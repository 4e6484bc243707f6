"""Data keys at work: AES-256-GCM under them, and which are known for how long without KMS being asked.

What is written and read often keeps its data keys (``Known``); a text of a configuration has one of its own (``seal_text``).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple, TypedDict

from stratolite.clock import World
from stratolite.service import Call, Principal

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


class SealedText(TypedDict):
    """As it is kept, in JSON; both base64."""

    data_key: str
    text: str


def seal_text(call: Call, key: str, text: str, context: Mapping[str, str], via: str) -> SealedText:
    """Sealed under the KMS key ``key``, for whoever ``call`` is. ``via``: the service that asks. Raises Fault, KMS's own."""
    ask = {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": dict(context), "_via": via}
    made = call.invoke("kms", "GenerateDataKey", ask)
    row = encrypt(call.world, made["Plaintext"], text.encode())
    return {
        "data_key": b64encode(made["CiphertextBlob"]).decode(),
        "text": b64encode(row).decode(),
    }


def open_text(call: Call, sealed: SealedText, context: Mapping[str, str], via: str) -> str:
    """Raises Fault, KMS's own, where it does not let whoever ``call`` is."""
    blob = b64decode(sealed["data_key"])
    ask = {"CiphertextBlob": blob, "EncryptionContext": dict(context), "_via": via}
    key = call.invoke("kms", "Decrypt", ask)["Plaintext"]
    return decrypt(key, b64decode(sealed["text"])).decode()


def _aes(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
