"""Making key material and using it: AES, RSA, elliptic curves and HMAC, all by the ``cryptography`` package.

Material is 32 bytes for a symmetric key, the key itself for HMAC, PKCS #8 (DER) for RSA and curves.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stratolite.clock import World
from stratolite.services.kms.specs import SPECS, SYMMETRIC, hash_of


def make(world: World, spec: str) -> bytes:
    """RSA keys take up to seconds: not on the event loop."""
    about = SPECS[spec]
    if spec == SYMMETRIC:
        return world.token(32)
    if about.macs:
        return world.token(about.bits // 8)
    key: Any
    if about.curve:
        key = ec.generate_private_key(getattr(ec, about.curve)())
    else:
        key = rsa.generate_private_key(65537, about.bits)
    return key.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_der(material: bytes) -> bytes:
    key: Any = serialization.load_der_private_key(material, None)
    return key.public_key().public_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def seal(material: bytes, nonce: bytes, plain: bytes, bound: bytes) -> bytes:
    return AESGCM(material).encrypt(nonce, plain, bound)


def open_sealed(material: bytes, nonce: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """None if it is not what was sealed."""
    try:
        return AESGCM(material).decrypt(nonce, sealed, bound)
    except InvalidTag:
        return None


def _oaep(algorithm: str) -> padding.OAEP:
    chosen = getattr(hashes, hash_of(algorithm))()
    return padding.OAEP(padding.MGF1(chosen), chosen, None)


def rsa_encrypt(material: bytes, algorithm: str, plain: bytes) -> bytes | None:
    """None if it is too long."""
    key: Any = serialization.load_der_private_key(material, None)
    try:
        return key.public_key().encrypt(plain, _oaep(algorithm))  # type: ignore[no-any-return]
    except ValueError:
        return None


def rsa_decrypt(material: bytes, algorithm: str, sealed: bytes) -> bytes | None:
    key: Any = serialization.load_der_private_key(material, None)
    try:
        return key.decrypt(sealed, _oaep(algorithm))  # type: ignore[no-any-return]
    except ValueError:
        return None


def digest(algorithm: str, message: bytes) -> bytes:
    return hashlib.new(hash_of(algorithm).lower(), message).digest()


def sign(material: bytes, algorithm: str, digested: bytes) -> bytes:
    key: Any = serialization.load_der_private_key(material, None)
    chosen = utils.Prehashed(getattr(hashes, hash_of(algorithm))())
    if algorithm.startswith("ECDSA"):
        return key.sign(digested, ec.ECDSA(chosen))  # type: ignore[no-any-return]
    return key.sign(digested, _signing_padding(algorithm), chosen)  # type: ignore[no-any-return]


def verify(material: bytes, algorithm: str, digested: bytes, signature: bytes) -> bool:
    key: Any = serialization.load_der_private_key(material, None)
    chosen = utils.Prehashed(getattr(hashes, hash_of(algorithm))())
    try:
        if algorithm.startswith("ECDSA"):
            key.public_key().verify(signature, digested, ec.ECDSA(chosen))
        else:
            key.public_key().verify(signature, digested, _signing_padding(algorithm), chosen)
    except InvalidSignature:
        return False
    return True


def _signing_padding(algorithm: str) -> Any:
    if "_PSS_" in algorithm:
        chosen = getattr(hashes, hash_of(algorithm))()
        return padding.PSS(padding.MGF1(chosen), chosen.digest_size)
    return padding.PKCS1v15()


def mac(material: bytes, algorithm: str, message: bytes) -> bytes:
    return hmac.digest(material, message, hash_of(algorithm).lower())


def agree(material: bytes, peer_der: bytes) -> bytes | None:
    """The shared secret (ECDH); None if the peer's key is of another curve."""
    key: Any = serialization.load_der_private_key(material, None)
    try:
        peer = serialization.load_der_public_key(peer_der)
        return key.exchange(ec.ECDH(), peer)  # type: ignore[no-any-return]
    except (ValueError, TypeError):
        return None
