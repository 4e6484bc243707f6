"""Signatures, MACs and shared secrets (agreed or encapsulated): what is done with keys that do not encrypt."""

from __future__ import annotations

import hmac

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.kms import material, state
from stratolite.services.kms.faults import bad_ciphertext, invalid, unsupported
from stratolite.services.kms.keys import shown
from stratolite.services.kms.lookup import check_state, find, usable
from stratolite.services.kms.specs import AGREE, ENCAPSULATE, MAC, SIGN, SPECS, SYMMETRIC, hash_of
from stratolite.services.kms.state import Key
from stratolite.services.kms.use import dry_run, refuse_recipient

_MU_BYTES = 64
_DIGEST_BYTES = {"SHA256": 32, "SHA384": 48, "SHA512": 64}


class Signing(Service):
    def sign(self, call: Call, request: Request) -> Response:
        found, how, digested = self._digested(call, request, "Sign")
        dry_run(request)
        algorithm = request["SigningAlgorithm"]
        signature = material.sign(state.material(call, found), how, digested)
        return {"KeyId": found.arn, "Signature": signature, "SigningAlgorithm": algorithm}

    def verify(self, call: Call, request: Request) -> Response:
        found, how, digested = self._digested(call, request, "Verify")
        dry_run(request)
        algorithm = request["SigningAlgorithm"]
        if not material.verify(state.material(call, found), how, digested, request["Signature"]):
            raise Fault("KMSInvalidSignatureException", "")
        return {"KeyId": found.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}

    def _digested(self, call: Call, request: Request, operation: str) -> tuple[Key, str, bytes]:
        """(key, how ``material`` signs, what it is given)."""
        found = usable(call, request["KeyId"], SIGN, operation)
        algorithm = request["SigningAlgorithm"]
        if algorithm == "ED25519_PH_SHA_512":
            raise unsupported(f"SigningAlgorithm {algorithm}")
        if algorithm not in SPECS[found.record["spec"]].signing:
            raise Fault(
                "InvalidKeyUsageException",
                f"Algorithm {algorithm} and key spec {found.record['spec']} are incompatible.",
            )
        kind, message = request.get("MessageType") or "RAW", request["Message"]
        if algorithm in material.WHOLE:
            if kind == material.EXTERNAL_MU and algorithm.startswith("ML_DSA"):
                if len(message) != _MU_BYTES:
                    raise invalid(f"EXTERNAL_MU messages must be {_MU_BYTES} bytes long.")
                return found, material.EXTERNAL_MU, message
            if kind == "RAW":
                return found, algorithm, message
        elif kind == "DIGEST":
            if len(message) != _DIGEST_BYTES[hash_of(algorithm)]:
                raise invalid(f"Digest is invalid length for algorithm {algorithm}.")
            return found, algorithm, message
        if kind != "RAW":
            raise invalid(f"MessageType {kind} is not valid for algorithm {algorithm}")
        return found, algorithm, material.digest(algorithm, message)

    def get_public_key(self, call: Call, request: Request) -> Response:
        found = find(call, request["KeyId"])
        spec = found.record["spec"]
        if spec == SYMMETRIC or found.record["usage"] == MAC:
            raise Fault("UnsupportedOperationException", f"{found.arn} has no public key")
        check_state(found)
        about = shown(found)
        algorithms = (
            "EncryptionAlgorithms", "SigningAlgorithms", "KeyAgreementAlgorithms", "EncapsulationAlgorithms",
        )  # fmt: skip
        return {
            "KeyId": found.arn,
            "PublicKey": material.public_der(state.material(call, found)),
            "CustomerMasterKeySpec": spec,
            "KeySpec": spec,
            "KeyUsage": found.record["usage"],
            **{name: about[name] for name in algorithms if name in about},
        }

    def generate_mac(self, call: Call, request: Request) -> Response:
        found, made = self._mac(call, request, "GenerateMac")
        dry_run(request)
        return {"KeyId": found.arn, "Mac": made, "MacAlgorithm": request["MacAlgorithm"]}

    def verify_mac(self, call: Call, request: Request) -> Response:
        found, made = self._mac(call, request, "VerifyMac")
        dry_run(request)
        if not hmac.compare_digest(made, request["Mac"]):
            raise Fault("KMSInvalidMacException", "")
        return {"KeyId": found.arn, "MacValid": True, "MacAlgorithm": request["MacAlgorithm"]}

    def _mac(self, call: Call, request: Request, operation: str) -> tuple[Key, bytes]:
        found = usable(call, request["KeyId"], MAC, operation)
        algorithm = request["MacAlgorithm"]
        if algorithm not in SPECS[found.record["spec"]].macs:
            raise Fault(
                "InvalidKeyUsageException",
                f"Algorithm {algorithm} is incompatible with key spec {found.record['spec']}.",
            )
        return found, material.mac(state.material(call, found), algorithm, request["Message"])

    def derive_shared_secret(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        found = usable(call, request["KeyId"], AGREE, "DeriveSharedSecret")
        dry_run(request)
        secret = material.agree(state.material(call, found), request["PublicKey"])
        if secret is None:
            raise invalid("")
        return {
            "KeyId": found.arn,
            "SharedSecret": secret,
            "KeyAgreementAlgorithm": request["KeyAgreementAlgorithm"],
            "KeyOrigin": found.record.get("origin", "AWS_KMS"),
        }

    def encapsulate(self, call: Call, request: Request) -> Response:
        found = usable(call, request["KeyId"], ENCAPSULATE, "Encapsulate")
        dry_run(request)
        secret, sealed = material.encapsulate(state.material(call, found))
        return {
            "KeyId": found.arn,
            "SharedSecret": secret,
            "SharedSecretCiphertextBlob": sealed,
            "EncapsulationAlgorithm": request["EncapsulationAlgorithm"],
        }

    def decapsulate(self, call: Call, request: Request) -> Response:
        refuse_recipient(request)
        found = usable(call, request["KeyId"], ENCAPSULATE, "Decapsulate")
        dry_run(request)
        secret = material.decapsulate(
            state.material(call, found), request["SharedSecretCiphertextBlob"]
        )
        if secret is None:
            raise bad_ciphertext()
        return {
            "KeyId": found.arn,
            "SharedSecret": secret,
            "EncapsulationAlgorithm": request["EncapsulationAlgorithm"],
        }
