"""KMS's errors, word for word where they are known.

Source  https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from stratolite.errors import Fault


def not_found(arn: str) -> Fault:
    return Fault("NotFoundException", f"Key '{arn}' does not exist")


def no_alias(arn: str) -> Fault:
    return Fault("NotFoundException", f"Alias {arn} is not found.")


def invalid_key_id(key_id: str) -> Fault:
    return Fault("NotFoundException", f"Invalid keyId '{key_id}'")


def invalid(message: str) -> Fault:
    return Fault("ValidationException", message)


def absent(member: str) -> Fault:
    at = f"{member[:1].lower()}{member[1:]}"
    return invalid(
        f"1 validation error detected: Value null at '{at}' failed to satisfy constraint: Member must not be null"
    )


def disabled(arn: str) -> Fault:
    return Fault("DisabledException", f"{arn} is disabled.")


def pending_deletion(arn: str) -> Fault:
    return Fault("KMSInvalidStateException", f"{arn} is pending deletion.")


def wrong_state(arn: str, state: str) -> Fault:
    return Fault("KMSInvalidStateException", f"{arn} is {state}.")


def wrong_usage(arn: str, usage: str, operation: str) -> Fault:
    return Fault(
        "InvalidKeyUsageException",
        f"{arn} key usage is {usage} which is not valid for {operation}.",
    )


def unsupported(what: str) -> Fault:
    return Fault("UnsupportedOperationException", f"{what} is not offered by Stratolite")


def bad_marker() -> Fault:
    return Fault("InvalidMarkerException", "The marker is not valid.")


def bad_ciphertext() -> Fault:
    return Fault("InvalidCiphertextException", "")
