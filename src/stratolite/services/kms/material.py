"""Making key material and using it: AES, RSA, elliptic curves and HMAC, all by the ``cryptography`` package.

Material is 32 bytes for a symmetric key, the key itself for HMAC, PKCS #8 (DER) for all else.
"""

from __future__ import annotations

import hashlib
import hmac
from importlib import import_module
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stratolite.clock import World
from stratolite.services.kms.faults import unsupported
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
    elif about.kind:
        try:
            key = _private(about.kind).generate()
        except UnsupportedAlgorithm as error:  # an OpenSSL before 3.5
            raise unsupported(f"KeySpec {spec} with this version of OpenSSL") from error
    else:
        key = rsa.generate_private_key(65537, about.bits)
    return key.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _private(kind: str) -> Any:
    module, _, name = kind.partition(".")
    found = import_module(f"cryptography.hazmat.primitives.asymmetric.{module}")
    return getattr(found, f"{name}PrivateKey")


def fits(material: bytes, spec: str) -> bool:
    """Whether somebody's material is some for a key of this spec."""
    about = SPECS[spec]
    if spec == SYMMETRIC:
        return len(material) == 32
    if about.macs:
        return len(material) == about.bits // 8
    try:
        key: Any = serialization.load_der_private_key(material, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    if about.curve:
        return isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
            key.curve, getattr(ec, about.curve)
        )
    if about.kind:
        return isinstance(key, _private(about.kind))
    return isinstance(key, rsa.RSAPrivateKey) and key.key_size == about.bits


def unwrap(private: bytes, algorithm: str, wrapped: bytes) -> bytes | None:
    """Material that was wrapped for its way here, None if it was not, or otherwise.

    RSA_AES_KEY_WRAP: an AES key under RSA-OAEP, then the material under that key as RFC 5649 has it.
    https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html
    """
    if not algorithm.startswith("RSA_AES_KEY_WRAP"):
        return rsa_decrypt(private, algorithm, wrapped)
    key: Any = serialization.load_der_private_key(private, None)
    size = key.key_size // 8
    aes = rsa_decrypt(private, algorithm, wrapped[:size])
    if aes is None or len(aes) not in (16, 24, 32):
        return None
    try:
        return keywrap.aes_key_unwrap_with_padding(aes, wrapped[size:])
    except (keywrap.InvalidUnwrap, ValueError):
        return None


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


def rsa_room_bytes(spec: str, algorithm: str) -> int:
    """How much OAEP leaves of an RSA key's size: RFC 8017, 7.1.1."""
    digest_bytes = 20 if algorithm.endswith("SHA_1") else 32
    return int(spec.removeprefix("RSA_")) // 8 - 2 * digest_bytes - 2


def rsa_decrypt(material: bytes, algorithm: str, sealed: bytes) -> bytes | None:
    key: Any = serialization.load_der_private_key(material, None)
    try:
        return key.decrypt(sealed, _oaep(algorithm))  # type: ignore[no-any-return]
    except ValueError:
        return None


WHOLE = ("ED25519_SHA_512", "ML_DSA_SHAKE_256")
"""Algorithms that are given the message, not its digest."""
EXTERNAL_MU = "EXTERNAL_MU"


def digest(algorithm: str, message: bytes) -> bytes:
    return hashlib.new(hash_of(algorithm).lower(), message).digest()


def sign(material: bytes, algorithm: str, digested: bytes) -> bytes:
    """``digested``: the digest, for Ed25519 and ML-DSA the message itself, for EXTERNAL_MU its 64 bytes."""
    key: Any = serialization.load_der_private_key(material, None)
    if algorithm in WHOLE:
        return key.sign(digested)  # type: ignore[no-any-return]
    if algorithm == EXTERNAL_MU:
        return key.sign_mu(digested)  # type: ignore[no-any-return]
    chosen = utils.Prehashed(getattr(hashes, hash_of(algorithm))())
    if algorithm.startswith("ECDSA"):
        return key.sign(digested, ec.ECDSA(chosen))  # type: ignore[no-any-return]
    return key.sign(digested, _signing_padding(algorithm), chosen)  # type: ignore[no-any-return]


def verify(material: bytes, algorithm: str, digested: bytes, signature: bytes) -> bool:
    key: Any = serialization.load_der_private_key(material, None)
    try:
        if algorithm in WHOLE:
            key.public_key().verify(signature, digested)
            return True
        if algorithm == EXTERNAL_MU:
            key.public_key().verify_mu(signature, digested)
            return True
        chosen = utils.Prehashed(getattr(hashes, hash_of(algorithm))())
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


def encapsulate(material: bytes) -> tuple[bytes, bytes]:
    """(shared secret, its ciphertext), by ML-KEM."""
    key: Any = serialization.load_der_private_key(material, None)
    return key.public_key().encapsulate()  # type: ignore[no-any-return]


def decapsulate(material: bytes, sealed: bytes) -> bytes | None:
    """The shared secret; None if the ciphertext is of another length. Another key's gives another secret, as FIPS 203 wants."""
    key: Any = serialization.load_der_private_key(material, None)
    try:
        return key.decapsulate(sealed)  # type: ignore[no-any-return]
    except ValueError:
        return None
