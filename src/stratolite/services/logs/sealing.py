"""Log groups under a KMS key: messages sealed when they come in, opened for whoever may read them.

It is CloudWatch Logs that must be let by the key (as logs.REGION.amazonaws.com, for the group's ARN), not who writes or reads. A group
has a data key for each key it was ever associated with; KMS is asked about it every five minutes. What came in before the group
had a key stays as it is; what came in under one needs it for ever, also after it was dissociated.

A message's row begins with 0xFF, which no UTF-8 does, if it is sealed: 0xFF | which data key (2 bytes) | nonce | AES-256-GCM.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
"""

from __future__ import annotations

import base64

from stratolite.data_keys import DataKey, Known, decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.logs import state

_ASKED_EVERY_S = 300.0
_KEYS_MAX = 1_000
_SEALED = b"\xff"


class Sealer:
    def __init__(self) -> None:
        self._known = Known()

    def associated(self, call: Call, name: str, group: state.Record, key: str) -> state.Record:
        """The group with this key from now on. Raises Fault for a key that Logs may not use."""
        arn = group_arn(call, name)
        if not key.startswith("arn:"):
            raise Fault("InvalidParameterException", "kmsKeyId must be the ARN of a KMS key.")
        if len(group.get("data_keys") or ()) >= _KEYS_MAX:
            raise Fault("LimitExceededException", "Resource limit exceeded.")
        try:
            made = _kms(call, name, "GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256"})
        except Fault as fault:
            raise Fault(
                "InvalidParameterException",
                f"The specified KMS key does not exist or is not allowed to be used with Arn '{arn}'",
            ) from fault
        sealed = base64.b64encode(made["CiphertextBlob"]).decode()
        kept = [*(group.get("data_keys") or ()), {"key": key, "sealed": sealed}]
        return {**group, "data_keys": kept, "sealed_by": len(kept) - 1}

    def sealed(self, call: Call, name: str, group: state.Record, message: bytes) -> bytes:
        """As it is to be kept. Raises Fault where the key does not let Logs."""
        number = group.get("sealed_by")
        if number is None:
            return message
        key = self._key(call, name, group, number)
        row: bytes = _SEALED + number.to_bytes(2, "big") + encrypt(call.world, key, message)
        return row

    def opened(self, call: Call, name: str, group: state.Record, raw: bytes) -> str:
        """The text of a row. Raises Fault."""
        if raw[:1] != _SEALED:
            return raw.decode()
        key = self._key(call, name, group, int.from_bytes(raw[1:3], "big"))
        return decrypt(key, raw[3:]).decode()

    def _key(self, call: Call, name: str, group: state.Record, number: int) -> bytes:
        sealed = group["data_keys"][number]["sealed"]
        known = self._known.get((sealed,), call.tx.time_s)
        if known is None:
            blob = base64.b64decode(sealed)
            try:
                plain: bytes = _kms(call, name, "Decrypt", {"CiphertextBlob": blob})["Plaintext"]
            except Fault as fault:
                raise Fault(
                    "AccessDeniedException",
                    f"The KMS key of the log group {name} cannot be used: {fault.message}",
                    status=400,
                ) from fault
            until_s = call.tx.time_s + _ASKED_EVERY_S
            known = self._known.keep((sealed,), DataKey(plain, blob, until_s))
        return known.plain


def group_arn(call: Call, name: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}"


def _kms(call: Call, name: str, operation: str, request: Request) -> Response:
    arn = group_arn(call, name)
    acting = call.as_service(f"logs.{call.region}.amazonaws.com", arn)
    return acting.invoke("kms", operation, {**request, "EncryptionContext": {"aws:logs:arn": arn}})
