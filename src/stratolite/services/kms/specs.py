"""Key specs: what a key of each is for and which algorithms it knows.

Source  https://docs.aws.amazon.com/kms/latest/developerguide/symm-asymm-choose-key-spec.html
"""

from __future__ import annotations

from typing import NamedTuple

SYMMETRIC = "SYMMETRIC_DEFAULT"
ENCRYPT, SIGN, MAC, AGREE = "ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"
ENCAPSULATE = "ENCAPSULATE_DECAPSULATE"
_RSA_SIGNING = tuple(
    f"RSASSA_{scheme}_SHA_{bits}" for scheme in ("PKCS1_V1_5", "PSS") for bits in (256, 384, 512)
)
RSA_ENCRYPTION = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")


class Spec(NamedTuple):
    usages: tuple[str, ...]
    """The first is the default where there is one."""
    signing: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    bits: int = 0
    curve: str = ""
    """As the ``cryptography`` package calls it."""
    kind: str = ""
    """Its module and class there, for what is neither RSA nor a curve of ``ec``: ``mldsa.MLDSA44``."""

    @property
    def is_rsa(self) -> bool:
        return bool(self.bits) and not self.macs


SPECS: dict[str, Spec] = {
    SYMMETRIC: Spec((ENCRYPT,)),
    **{
        f"RSA_{bits}": Spec((ENCRYPT, SIGN), _RSA_SIGNING, bits=bits) for bits in (2048, 3072, 4096)
    },
    "ECC_NIST_P256": Spec((SIGN, AGREE), ("ECDSA_SHA_256",), curve="SECP256R1"),
    "ECC_NIST_P384": Spec((SIGN, AGREE), ("ECDSA_SHA_384",), curve="SECP384R1"),
    "ECC_NIST_P521": Spec((SIGN, AGREE), ("ECDSA_SHA_512",), curve="SECP521R1"),
    "ECC_SECG_P256K1": Spec((SIGN,), ("ECDSA_SHA_256",), curve="SECP256K1"),
    "ECC_NIST_EDWARDS25519": Spec((SIGN,), ("ED25519_SHA_512",), kind="ed25519.Ed25519"),
    **{
        f"ML_DSA_{size}": Spec((SIGN,), ("ML_DSA_SHAKE_256",), kind=f"mldsa.MLDSA{size}")
        for size in (44, 65, 87)
    },
    **{f"ML_KEM_{size}": Spec((ENCAPSULATE,), kind=f"mlkem.MLKEM{size}") for size in (768, 1024)},
    "HMAC_224": Spec((MAC,), macs=("HMAC_SHA_224",), bits=224),
    "HMAC_256": Spec((MAC,), macs=("HMAC_SHA_256",), bits=256),
    "HMAC_384": Spec((MAC,), macs=("HMAC_SHA_384",), bits=384),
    "HMAC_512": Spec((MAC,), macs=("HMAC_SHA_512",), bits=512),
}
REFUSED = ("SM2", "ML_KEM_512")
"""What the ``cryptography`` package has not."""
HASHES = {"256": "SHA256", "384": "SHA384", "512": "SHA512", "224": "SHA224", "1": "SHA1"}


def hash_of(algorithm: str) -> str:
    """``RSASSA_PSS_SHA_256`` -> ``SHA256``, as the ``cryptography`` package calls it."""
    return HASHES[algorithm.rpartition("_")[2]]
