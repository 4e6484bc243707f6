"""JSON Web Tokens: taken apart, and their signatures checked against JSON Web Keys (RFC 7515, 7517, 7518).

RS256, RS384, RS512, ES256, ES384 and ES512, as STS takes them; ``none`` and shared secrets are never believed.
"""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

import orjson

_HASHES = {"256": "SHA256", "384": "SHA384", "512": "SHA512"}
_CURVES = {"ES256": ("P-256", "SECP256R1", 32), "ES384": ("P-384", "SECP384R1", 48), "ES512": ("P-521", "SECP521R1", 66)}  # fmt: skip
_RSA_BITS = 2048, 8192  # what is smaller is no protection, what is larger only costs


class Token(NamedTuple):
    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


def parse(text: str) -> Token:
    """Raises ValueError for what is no token. Says nothing of its signature."""
    pieces = text.split(".")
    if len(pieces) != 3:
        raise ValueError("not three parts")
    header, claims = (orjson.loads(_bytes(piece)) for piece in pieces[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise ValueError("not objects")  # noqa: TRY004 - what came from outside is no token
    return Token(header, claims, f"{pieces[0]}.{pieces[1]}".encode(), _bytes(pieces[2]))


def is_signed_by(token: Token, keys: list[dict[str, Any]]) -> bool:
    """Whether one of ``keys`` (JWKs), of the token's ``kid`` if it names one, signed it."""
    algorithm, kid = token.header.get("alg"), token.header.get("kid")
    for key in keys:
        if kid is not None and key.get("kid") not in (None, kid):
            continue
        if key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
            continue
        try:
            if _verifies(token, str(algorithm), key):
                return True
        except (ValueError, KeyError, TypeError):
            continue  # not a key for this
    return False


def _verifies(token: Token, algorithm: str, key: dict[str, Any]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if algorithm[2:] not in _HASHES:
        return False
    digest = getattr(hashes, _HASHES[algorithm[2:]])()
    try:
        if algorithm[:2] == "RS" and key["kty"] == "RSA":
            modulus = _number(key["n"])
            if not _RSA_BITS[0] <= modulus.bit_length() <= _RSA_BITS[1]:
                return False
            made = rsa.RSAPublicNumbers(_number(key["e"]), modulus).public_key()
            made.verify(token.signature, token.signed, padding.PKCS1v15(), digest)
            return True
        if algorithm in _CURVES and key["kty"] == "EC":
            name, curve, size = _CURVES[algorithm]
            if key["crv"] != name or len(token.signature) != 2 * size:
                return False
            point = ec.EllipticCurvePublicNumbers(
                _number(key["x"]), _number(key["y"]), getattr(ec, curve)()
            ).public_key()
            r, s = (
                int.from_bytes(half, "big")
                for half in (token.signature[:size], token.signature[size:])
            )
            point.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False


def _bytes(text: str) -> bytes:
    return base64.b64decode(
        text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
    )


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
