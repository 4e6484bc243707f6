"""Bodies under a KMS key: sealed for who sends them, opened for who receives them.

Only the body is sealed; ids, times and attributes are not, as on AWS. A data key serves one caller for the queue's
KmsDataKeyReusePeriodSeconds, in which KMS is not asked again: that much later a change of the key or its policy shows.
Each message carries its data key as KMS sealed it, so that it outlives a change of the queue's key and a move.
Sources  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-server-side-encryption.html
         https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
"""

from __future__ import annotations

from stratolite.data_keys import DataKey, Known, asker, decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.sqs.state import Message, Queue

_CODES = {
    "AccessDeniedException": "KmsAccessDenied",
    "DisabledException": "KmsDisabled",
    "InvalidKeyUsageException": "KmsInvalidKeyUsage",
    "KMSInvalidStateException": "KmsInvalidState",
    "NotFoundException": "KmsNotFound",
    "ThrottlingException": "KmsThrottled",
}


class Sealer:
    def __init__(self) -> None:
        self._made, self._opened = Known(), Known()

    def data_key(self, call: Call, q: Queue) -> DataKey:
        """For what this caller sends. Raises Fault, KMS's as SQS names them; who sends must be allowed Decrypt, too."""
        place = (*asker(call.principal), q.arn, q.key)
        if (known := self._made.get(place, call.tx.time_s)) is not None:
            return known
        made = _kms(
            call, q, "GenerateDataKey", {"KeyId": q.key, "KeySpec": "AES_256", **_context(q.arn)}
        )
        sealed = made["CiphertextBlob"]
        _kms(call, q, "Decrypt", {"CiphertextBlob": sealed, **_context(q.arn)})
        found = DataKey(made["Plaintext"], sealed, call.tx.time_s + q.key_reuse_s)
        return self._made.keep(place, found)

    def body(self, call: Call, q: Queue, message: Message) -> str:
        """What was sent. Raises Fault."""
        if not message.sealed:
            return message.body
        place = (*asker(call.principal), message.data_key.hex())
        known = self._opened.get(place, call.tx.time_s)
        if known is None:
            ask = {"CiphertextBlob": message.data_key, **_context(message.sealed_at)}
            plain = _kms(call, q, "Decrypt", ask)["Plaintext"]
            known = DataKey(plain, message.data_key, call.tx.time_s + q.key_reuse_s)
            self._opened.keep(place, known)
        return decrypt(known.plain, message.sealed, message.sealed_at.encode()).decode()


def seal(call: Call, q: Queue, key: DataKey, message: Message) -> None:
    message.sealed = encrypt(call.world, key.plain, message.body.encode(), q.arn.encode())
    message.body, message.data_key, message.sealed_at = "", key.sealed, q.arn


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
