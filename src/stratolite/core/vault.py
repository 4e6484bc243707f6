"""Seals what is secret before it is stored or handed out: AES-256-GCM under the cloud's own key.

A sealed value:  0x01 | nonce (12) | ciphertext and tag (n + 16);  ``purpose`` is authenticated with it,
so a value sealed for one purpose cannot be opened for another.
The key is 32 random bytes in ``keys/master`` of the data folder, mode 0600; with a log on a bucket, the
object of that name beside it (who may read the bucket has the data anyway).
"""

from __future__ import annotations

import hmac
import os

from stratolite.clock import World
from stratolite.core.objects import Objects
from stratolite.errors import Unavailable

_VERSION = b"\x01"
_OBJECT = "keys/master"


class Vault:
    def __init__(self, key: bytes, world: World) -> None:
        assert len(key) == 32
        self._key, self._world = key, world

    @classmethod
    def in_folder(cls, folder: str, world: World) -> Vault:
        """The key of this data folder, made on first use and synced before it is used."""
        path = f"{folder}/master"
        try:
            with open(path, "rb") as file:
                return cls(file.read(), world)
        except FileNotFoundError:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        key = world.token(32)
        fresh = f"{path}.new"
        fd = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(fd, key)
        os.fsync(fd)
        os.close(fd)
        os.rename(fresh, path)
        folder_fd = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(folder_fd)
        os.close(folder_fd)
        return cls(key, world)

    @classmethod
    def in_bucket(cls, objects: Objects, world: World) -> Vault:
        """The key all servers of a shared log have: whoever comes first makes it."""
        key = objects.get(_OBJECT)
        if key is None:
            key = world.token(32)
            if not objects.put_new(_OBJECT, key):
                key = objects.get(_OBJECT)
        if key is None:
            raise Unavailable(f"object={_OBJECT} is there and cannot be read")
        return cls(key, world)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = self._world.token(12)
        return _VERSION + nonce + AESGCM(self._key).encrypt(nonce, plain, purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Raises ValueError for anything this vault did not seal for ``purpose``."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if sealed[:1] != _VERSION or len(sealed) < 29:
            raise ValueError("not a sealed value")
        try:
            return AESGCM(self._key).decrypt(sealed[1:13], sealed[13:], purpose.encode())
        except InvalidTag as error:
            raise ValueError("sealed for another purpose or by another key") from error

    def derive(self, purpose: str) -> bytes:
        """32 bytes that only this cloud can compute for ``purpose``."""
        return hmac.digest(self._key, b"derive\x00" + purpose.encode(), "sha256")
