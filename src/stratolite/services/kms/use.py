"""Encrypting and decrypting, data keys, random bytes: what is done with a key for encryption."""

from __future__ import annotations

import asyncio
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, prepared
from stratolite.services.kms import blobs, material, state
from stratolite.services.kms.faults import bad_ciphertext, invalid, unsupported
from stratolite.services.kms.lookup import find, usable
from stratolite.services.kms.specs import ENCRYPT, RSA_ENCRYPTION, SYMMETRIC
from stratolite.services.kms.state import Key, Place, material_id

PLAIN_SIZE_BYTES_MAX = 4096
_PAIRS = ("RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "ML_KEM_768", "ML_KEM_1024")  # fmt: skip


def refuse_recipient(request: Request) -> None:
    if request.get("Recipient"):
        raise unsupported("Recipient (Nitro enclave attestation)")


def dry_run(request: Request) -> None:
    if request.get("DryRun"):
        raise Fault(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        )


def ignores_ciphertext(request: Request) -> bool:
    """Whether a dry run asks for its permissions alone, of a key that is named."""
    modifiers = request.get("DryRunModifiers")
    if modifiers and not request.get("DryRun"):
        raise invalid("DryRunModifiers can only be specified when DryRun is true.")
    return bool(modifiers)


class Use(Service):
    def encrypt(self, call: Call, request: Request) -> Response:
        found = usable(call, request["KeyId"], ENCRYPT, "Encrypt")
        algorithm = _algorithm(found, request.get("EncryptionAlgorithm"))
        dry_run(request)
        return self._sealed(
            call, found, algorithm, request["Plaintext"], request.get("EncryptionContext")
        )

    def _sealed(
        self, call: Call, found: Key, algorithm: str, plain: bytes, context: dict[str, str] | None
    ) -> Response:
        if algorithm == SYMMETRIC:
            sealed = seal(call, found, plain, context or {})
        else:
            made = material.rsa_encrypt(state.material(call, found), algorithm, plain)
            if made is None:
                spec, most = (
                    found.record["spec"],
                    material.rsa_room_bytes(found.record["spec"], algorithm),
                )
                raise invalid(
                    f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger than {most} bytes."
                )
            sealed = made
        return {"CiphertextBlob": sealed, "KeyId": found.arn, "EncryptionAlgorithm": algorithm}

    def decrypt(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        if ignores_ciphertext(request):
            asked = request.get("EncryptionAlgorithm")
            _algorithm(usable(call, request["KeyId"], ENCRYPT, "Decrypt"), asked)
            dry_run(request)
        found, plain, algorithm = opened(
            call,
            request["CiphertextBlob"],
            request.get("KeyId"),
            request.get("EncryptionAlgorithm") or SYMMETRIC,
            request.get("EncryptionContext") or {},
            "Decrypt",
        )
        dry_run(request)
        response: Response = {
            "KeyId": found.arn,
            "Plaintext": plain,
            "EncryptionAlgorithm": algorithm,
        }
        if algorithm == SYMMETRIC:
            blob = blobs.parse(request["CiphertextBlob"])
            assert blob is not None
            response["KeyMaterialId"] = material_id(found, blob.number)
        return response

    def re_encrypt(self, call: Call, request: Request) -> Response:
        target = usable(call, request["DestinationKeyId"], ENCRYPT, "ReEncrypt")
        algorithm = _algorithm(target, request.get("DestinationEncryptionAlgorithm"))
        if ignores_ciphertext(request):
            asked = request.get("SourceEncryptionAlgorithm")
            _algorithm(usable(call, request["SourceKeyId"], ENCRYPT, "ReEncrypt"), asked)
            dry_run(request)
        source, plain, old = opened(
            call,
            request["CiphertextBlob"],
            request.get("SourceKeyId"),
            request.get("SourceEncryptionAlgorithm") or SYMMETRIC,
            request.get("SourceEncryptionContext") or {},
            "ReEncrypt",
        )
        dry_run(request)
        context = request.get("DestinationEncryptionContext")
        sealed = self._sealed(call, target, algorithm, plain, context)
        return {
            "CiphertextBlob": sealed["CiphertextBlob"],
            "SourceKeyId": source.arn,
            "KeyId": sealed["KeyId"],
            "SourceEncryptionAlgorithm": old,
            "DestinationEncryptionAlgorithm": sealed["EncryptionAlgorithm"],
        }

    # -- data keys

    def generate_data_key(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        plain, response = self._data_key(call, request, "GenerateDataKey")
        return {**response, "Plaintext": plain}

    def generate_data_key_without_plaintext(self, call: Call, request: Request) -> Response:
        return self._data_key(call, request, "GenerateDataKeyWithoutPlaintext")[1]

    def _data_key(self, call: Call, request: Request, operation: str) -> tuple[bytes, Response]:
        found = _symmetric(call, request["KeyId"], operation)
        spec, size = request.get("KeySpec"), request.get("NumberOfBytes")
        if (spec is None) == (size is None):
            raise invalid("Please specify either number of bytes or key spec.")
        if size is None:
            size = {"AES_256": 32, "AES_128": 16}[str(spec)]
        dry_run(request)
        plain = call.world.token(size)
        sealed = seal(call, found, plain, request.get("EncryptionContext") or {})
        return plain, {
            "CiphertextBlob": sealed,
            "KeyId": found.arn,
            "KeyMaterialId": material_id(found),
        }

    async def _make_pair(self, call: Call, request: Request) -> Request:
        spec = request["KeyPairSpec"]
        if spec not in _PAIRS:
            raise unsupported(f"KeyPairSpec {spec}")
        return {**request, "_pair": await asyncio.to_thread(material.make, call.world, spec)}

    @prepared(_make_pair)
    def generate_data_key_pair(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        response = self._pair(call, request, "GenerateDataKeyPair")
        return {**response, "PrivateKeyPlaintext": request["_pair"]}

    @prepared(_make_pair)
    def generate_data_key_pair_without_plaintext(self, call: Call, request: Request) -> Response:
        return self._pair(call, request, "GenerateDataKeyPairWithoutPlaintext")

    def _pair(self, call: Call, request: Request, operation: str) -> Response:
        found = _symmetric(call, request["KeyId"], operation)
        dry_run(request)
        private = request["_pair"]
        return {
            "PrivateKeyCiphertextBlob": seal(
                call, found, private, request.get("EncryptionContext") or {}
            ),
            "PublicKey": material.public_der(private),
            "KeyId": found.arn,
            "KeyPairSpec": request["KeyPairSpec"],
            "KeyMaterialId": material_id(found),
        }

    def generate_random(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        size = request.get("NumberOfBytes")
        if size is None:
            raise invalid("NumberOfBytes is required.")
        if request.get("CustomKeyStoreId"):
            raise unsupported("A custom key store")
        return {"Plaintext": call.world.token(size)}


def _symmetric(call: Call, key_id: str, operation: str) -> Key:
    found = usable(call, key_id, ENCRYPT, operation)
    if found.record["spec"] != SYMMETRIC:
        raise Fault(
            "InvalidKeyUsageException",
            f"{found.arn} key spec is {found.record['spec']} which is not valid for {operation}.",
        )
    return found


def _algorithm(found: Key, asked: str | None) -> str:
    asked = asked or SYMMETRIC
    known = (SYMMETRIC,) if found.record["spec"] == SYMMETRIC else RSA_ENCRYPTION
    if asked not in known:
        raise Fault(
            "InvalidKeyUsageException",
            f"Algorithm {asked} and key spec {found.record['spec']} are incompatible.",
        )
    return asked


def seal(call: Call, found: Key, plain: bytes, context: dict[str, str]) -> bytes:
    number = len(found.record["materials"]) - 1
    head, nonce = blobs.head(found.place.account, found.id, number), call.world.token(12)
    bound = blobs.bound(head, context)
    return head + nonce + material.seal(state.material(call, found), nonce, plain, bound)


def key_of_blob(call: Call, raw: bytes) -> Key:
    """Raises InvalidCiphertextException."""
    blob = blobs.parse(raw)
    if blob is None:
        raise bad_ciphertext()
    place = Place(blob.account, call.region)
    return find(call, place.arn(f"key/{blob.key_id}"))


def opened(
    call: Call,
    sealed: bytes,
    key_id: str | None,
    algorithm: str,
    context: dict[str, Any],
    operation: str,
) -> tuple[Key, bytes, str]:
    """(key, plaintext, algorithm). Raises Fault."""
    if algorithm != SYMMETRIC:
        if not key_id:
            raise invalid(
                "KeyId is required when decrypting with an asymmetric encryption algorithm"
            )
        found = usable(call, key_id, ENCRYPT, operation)
        _algorithm(found, algorithm)
        plain = material.rsa_decrypt(state.material(call, found), algorithm, sealed)
    else:
        holder = key_of_blob(call, sealed)
        if key_id and find(call, key_id).id != holder.id:
            raise Fault(
                "IncorrectKeyException",
                "The key ID in the request does not identify a CMK that can perform this operation.",
            )
        found = usable(call, holder.arn, ENCRYPT, operation)
        blob = blobs.parse(sealed)
        assert blob is not None
        if blob.number >= len(found.record["materials"]):
            raise bad_ciphertext()
        plain = material.open_sealed(
            state.material(call, found, blob.number),
            blob.nonce,
            blob.sealed,
            blobs.bound(blob.head, context),
        )
    if plain is None:
        raise bad_ciphertext()
    return found, plain, algorithm
