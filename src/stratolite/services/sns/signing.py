"""The cloud's own certificate, and signatures by it: RSA over SHA-1 (version 1) or SHA-256 (version 2).

The key is made when the first message is signed and kept sealed; all servers of a log have the same.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from stratolite.core import Tx
from stratolite.errors import Unavailable
from stratolite.service import Cloud
from stratolite.services.sns import state
from stratolite.services.sns.envelopes import Signed

_PURPOSE = "sns:signing"
_YEARS = 30
_KEPT_MAX = 4_096
"""Signatures remembered, of 344 characters each."""


class _Key(NamedTuple):
    private: Any
    certificate: str
    name: str


class Signer:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._key: _Key | None = None
        self._made: dict[bytes, asyncio.Future[str]] = {}

    async def sign(self, text: bytes, version: str) -> Signed:
        (signed,) = await self.sign_all([text], version)
        return signed

    async def sign_all(self, texts: Sequence[bytes], version: str) -> list[Signed]:
        """In a thread, half a millisecond each, and once for a text: all deliveries of a message have the same signature.

        https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message-verify-message-signature.html: what is signed
        says nothing of the subscription.
        """
        key = await self._known()
        names = [hashlib.blake2b(text, digest_size=32, person=version.encode()).digest() for text in texts]  # fmt: skip
        missing = {n: text for n, text in zip(names, texts, strict=True) if n not in self._made}
        wanted = [self._made.get(name) or self._promise(name) for name in names]
        if missing:
            await self._make(key, missing, version)
        url = self._url(key)
        return [Signed(version, await asyncio.shield(one), url) for one in wanted]

    def _promise(self, name: bytes) -> asyncio.Future[str]:
        while len(self._made) >= _KEPT_MAX:
            del self._made[next(iter(self._made))]
        made = self._made[name] = asyncio.get_running_loop().create_future()
        return made

    async def _make(self, key: _Key, texts: dict[bytes, bytes], version: str) -> None:
        loop, promised = asyncio.get_running_loop(), {name: self._made.get(name) for name in texts}
        try:
            made = await loop.run_in_executor(None, _sign_all, key.private, list(texts.values()), version)  # fmt: skip
        except BaseException:
            for name, one in promised.items():
                self._made.pop(name, None)
                if one is not None and not one.done():
                    one.set_exception(Unavailable("another delivery of the message gave up"))
                    one.exception()  # whether anybody waits for it or not
            raise
        for one, raw in zip(promised.values(), made, strict=True):
            if one is not None and not one.done():
                one.set_result(base64.b64encode(raw).decode())

    async def certificate(self, name: str) -> str | None:
        """The PEM of this file name."""
        key = await self._known()
        return key.certificate if name == key.name else None

    def _url(self, key: _Key) -> str:
        return f"{self._cloud.endpoint}/_aws/sns/{key.name}"

    async def _known(self) -> _Key:
        if self._key is None:
            transact = self._cloud.db.transact
            record = await transact(state.signing)
            if record is None:
                loop = asyncio.get_running_loop()
                now = datetime.fromtimestamp(self._cloud.world.wall(), UTC)
                made = await loop.run_in_executor(None, partial(_make, now))
                sealed = self._cloud.vault.seal(made[0].encode(), _PURPOSE).hex()

                def keep(tx: Tx) -> state.Record:
                    known = state.signing(tx)
                    if known is None:
                        known = {"key": sealed, "certificate": made[1]}
                        state.put_signing(tx, known)
                    return known

                record = await transact(keep)
            self._key = self._open(record)
        return self._key

    def _open(self, record: state.Record) -> _Key:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        pem = self._cloud.vault.open(bytes.fromhex(record["key"]), _PURPOSE)
        name = f"SimpleNotificationService-{_fingerprint(record['certificate'])}.pem"
        return _Key(load_pem_private_key(pem, None), record["certificate"], name)


def _fingerprint(pem: str) -> str:
    from hashlib import sha256

    return sha256(pem.encode()).hexdigest()[:32]


def _sign_all(private: Any, texts: Sequence[bytes], version: str) -> list[bytes]:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - what version 1 is
    return [private.sign(text, PKCS1v15(), algorithm) for text in texts]


def _make(now: datetime) -> tuple[str, str]:
    """(private key, self-signed certificate), both PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    private = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.stratolite.localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * _YEARS))
        .sign(private, hashes.SHA256())
    )
    key = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return key.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()
