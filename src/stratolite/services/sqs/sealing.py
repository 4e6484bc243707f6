"""Bodies under a KMS key: sealed for who sends them, opened for who receives them.

Only the body is sealed; ids, times and attributes are not, as on AWS. A data key serves one caller for the queue's
KmsDataKeyReusePeriodSeconds, in which KMS is not asked again: that much later a change of the key or its policy shows.
Each message carries its data key as KMS sealed it, so that it outlives a change of the queue's key and a move.
Sources  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-server-side-encryption.html
         https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
"""

from __future__ import annotations

from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.sqs.state import Message, Queue

_KEPT_MAX = 4096
_CODES = {
    "AccessDeniedException": "KmsAccessDenied",
    "DisabledException": "KmsDisabled",
    "InvalidKeyUsageException": "KmsInvalidKeyUsage",
    "KMSInvalidStateException": "KmsInvalidState",
    "NotFoundException": "KmsNotFound",
    "ThrottlingException": "KmsThrottled",
}


class DataKey(NamedTuple):
    plain: bytes
    sealed: bytes
    until_s: float


class Sealer:
    def __init__(self) -> None:
        self._made: dict[tuple[str, ...], DataKey] = {}
        self._opened: dict[tuple[str, ...], DataKey] = {}

    def data_key(self, call: Call, q: Queue) -> DataKey:
        """For what this caller sends. Raises Fault, KMS's as SQS names them; who sends must be allowed Decrypt, too."""
        place = (*_asker(call), q.arn, q.key)
        known = self._made.get(place)
        if known is not None and call.tx.time_s < known.until_s:
            return known
        made = _kms(
            call, q, "GenerateDataKey", {"KeyId": q.key, "KeySpec": "AES_256", **_context(q.arn)}
        )
        sealed = made["CiphertextBlob"]
        _kms(call, q, "Decrypt", {"CiphertextBlob": sealed, **_context(q.arn)})
        found = DataKey(made["Plaintext"], sealed, call.tx.time_s + q.key_reuse_s)
        return _keep(self._made, place, found)

    def body(self, call: Call, q: Queue, message: Message) -> str:
        """What was sent. Raises Fault."""
        if not message.sealed:
            return message.body
        place = (*_asker(call), message.data_key.hex())
        known = self._opened.get(place)
        if known is None or call.tx.time_s >= known.until_s:
            ask = {"CiphertextBlob": message.data_key, **_context(message.sealed_at)}
            plain = _kms(call, q, "Decrypt", ask)["Plaintext"]
            known = DataKey(plain, message.data_key, call.tx.time_s + q.key_reuse_s)
            _keep(self._opened, place, known)
        raw, bound = message.sealed, message.sealed_at.encode()
        return _aes(known.plain).decrypt(raw[:12], raw[12:], bound).decode()  # type: ignore[no-any-return]


def seal(call: Call, q: Queue, key: DataKey, message: Message) -> None:
    nonce = call.world.token(12)
    bound = q.arn.encode()
    message.sealed = nonce + _aes(key.plain).encrypt(nonce, message.body.encode(), bound)
    message.body, message.data_key, message.sealed_at = "", key.sealed, q.arn


def _asker(call: Call) -> tuple[str, ...]:
    who = call.principal
    return who.kind, who.arn, who.source_arn, who.session_policy


def _context(arn: str) -> dict[str, dict[str, str]]:
    return {"EncryptionContext": {"aws:sqs:arn": arn}}


def _kms(call: Call, q: Queue, operation: str, request: Request) -> Response:
    """KMS in the queue's account and region, asked in the caller's name by way of SQS."""
    there = call.scoped(q.account, q.region)
    try:
        return there.invoke("kms", operation, {**request, "_via": "sqs"})
    except Fault as fault:
        code = _CODES.get(fault.code)
        if code is None:
            raise
        raise Fault(code, fault.message, status=400) from fault


def _keep(kept: dict[tuple[str, ...], DataKey], place: tuple[str, ...], key: DataKey) -> DataKey:
    if len(kept) >= _KEPT_MAX:
        kept.clear()
    kept[place] = key
    return key


def _aes(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)
