"""Messages under a topic's KMS key: sealed when they are accepted, opened when they are sent.

Only the text is sealed; subject, id, time and attributes are not, as on AWS. A data key serves one publisher for five
minutes, in which KMS is not asked again. Each message carries its data key as KMS sealed it, and who published it: in that
name KMS is asked to open it, should the data key not be known any more (the process was killed, an archive is replayed).
While KMS refuses, the message waits; once its key is gone for good, or after the 23 days for which SNS tries, it is dropped.
Sources  https://docs.aws.amazon.com/sns/latest/dg/sns-server-side-encryption.html
         https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
         https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
"""

from __future__ import annotations

import base64
from dataclasses import fields

import orjson

from stratolite.data_keys import DataKey, Known, asker, decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call, Principal, Request, Response
from stratolite.services.sns.publication import Publication, Sealed
from stratolite.services.sns.state import Topic

_REUSE_S = 300.0
_TRIED_MS = 23 * 86_400_000
_CODES = {
    "AccessDeniedException": "KMSAccessDenied",
    "DisabledException": "KMSDisabled",
    "KMSInvalidStateException": "KMSInvalidState",
    "NotFoundException": "KMSNotFound",
    "ThrottlingException": "KMSThrottling",
}
_FIELDS = [(field.name, field.default) for field in fields(Principal)]


class Sealer:
    def __init__(self) -> None:
        self._made, self._opened = Known(), Known()

    def data_key(self, call: Call, topic: Topic) -> DataKey:
        """For what this caller publishes. Raises Fault, KMS's as SNS names them; it takes GenerateDataKey and Decrypt."""
        place = (*asker(call.principal), topic.arn, topic.key)
        if (known := self._made.get(place, call.tx.time_s)) is not None:
            return known
        there = call.scoped(topic.account, topic.region)
        context = _context(topic.arn)
        ask = {"KeyId": topic.key, "KeySpec": "AES_256", **context}
        made = _kms(there, "GenerateDataKey", ask)
        sealed = made["CiphertextBlob"]
        _kms(there, "Decrypt", {"CiphertextBlob": sealed, **context})
        found = DataKey(made["Plaintext"], sealed, call.tx.time_s + _REUSE_S)
        self._opened.keep((*asker(call.principal), sealed.hex()), found)
        return self._made.keep(place, found)

    def opened(self, call: Call, message: Publication) -> Publication | None:
        """With its text; None once nobody can have it. Raises Fault while KMS refuses: the message is to wait."""
        sealed = message.get("sealed")
        if sealed is None:
            return message
        who = Principal(**sealed["by"])
        data_key = base64.b64decode(sealed["key"])
        place = (*asker(who), data_key.hex())
        known = self._opened.get(place, call.tx.time_s)
        if known is None:
            try:
                plain = _open(call, who, message, sealed, data_key)
            except Fault as fault:
                age_ms = call.tx.time_s * 1000 - message["ms"]
                if fault.code == "KMSNotFound" or age_ms > _TRIED_MS:
                    return None
                raise
            known = self._opened.keep(place, DataKey(plain, data_key, call.tx.time_s + _REUSE_S))
        raw = base64.b64decode(sealed["text"])
        text = decrypt(known.plain, raw, message["topic"].encode())
        said, texts = orjson.loads(text)
        return {**message, "message": said, "texts": texts}


def seal(call: Call, key: DataKey, message: Publication) -> None:
    """The text stays in ``message`` for who has it in hand; what is kept of it is sealed: ``publication.kept``."""
    text = orjson.dumps([message["message"], message["texts"]])
    raw = encrypt(call.world, key.plain, text, message["topic"].encode())
    who = call.principal
    message["sealed"] = {
        "text": base64.b64encode(raw).decode(),
        "key": base64.b64encode(key.sealed).decode(),
        "by": {n: found for n, default in _FIELDS if (found := getattr(who, n)) != default},
        "context": dict(call.context),
    }


def _open(
    call: Call, who: Principal, message: Publication, sealed: Sealed, data_key: bytes
) -> bytes:
    """The data key. Raises Fault."""
    account, region = message["account"], message["region"]
    asking = Call(
        call.cloud,
        who,
        region,
        call.request_id,
        call.endpoint,
        account=account,
        context=sealed["context"],
    )
    asking.service, asking.tx = "sns", call.tx
    ask = {"CiphertextBlob": data_key, **_context(message["topic"])}
    return _kms(asking, "Decrypt", ask)["Plaintext"]  # type: ignore[no-any-return]


def _context(topic_arn: str) -> dict[str, dict[str, str]]:
    return {"EncryptionContext": {"aws:sns:topicArn": topic_arn}}


def _kms(call: Call, operation: str, request: Request) -> Response:
    """KMS asked in the publisher's name by way of SNS."""
    try:
        return call.invoke("kms", operation, {**request, "_via": "sns"})
    except Fault as fault:
        code = _CODES.get(fault.code)
        if code is None:
            raise
        raise Fault(code, fault.message, status=400) from fault
