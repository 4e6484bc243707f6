"""What Secrets Manager keeps: the only code that touches its keys. Each function takes ``tx`` first.

A stored value is JSON {"sealed": hex} (by the vault), or {"key": hex, "kms": key id, "sealed": hex}: by a data key of 32 bytes
that AWS KMS encrypted (AES-256-GCM: nonce (12) | ciphertext and tag). Opened, it is JSON {"SecretString": text} or {"SecretBinary": hex}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.data_keys import decrypt, encrypt
from stratolite.errors import Fault
from stratolite.service import Call

Record = dict[str, Any]
PURPOSE = "secretsmanager"


def get(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    """A copy of one secret's record."""
    raw = tx.get(keys.key("secret", name))
    return None if raw is None else orjson.loads(raw)


def put(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("secret", name), orjson.dumps(record))


def delete(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    """The secret and all its values."""
    for version in record["versions"]:
        tx.delete(keys.key("value", name, version))
    tx.delete(keys.key("secret", name))


def rows(
    tx: Tx, keys: Keyspace, after: str, *, reverse: bool = False
) -> Iterator[tuple[str, Record]]:
    start, stop = keys.span("secret")
    if after and reverse:
        stop = keys.key("secret", after)
    elif after:
        start = keys.key("secret", after) + b"\x00"
    for key, raw in tx.scan((start, stop), reverse=reverse):
        yield str(keys.parts(key)[1]), orjson.loads(raw)


def put_value(call: Call, name: str, version: str, value: Record, context: Record) -> None:
    """``context``: {arn, kms}; with a KMS key of the user's, the caller must be allowed to encrypt by it."""
    plain = orjson.dumps(value)
    if not context["kms"]:
        stored = {"sealed": call.cloud.vault.seal(plain, PURPOSE).hex()}
    else:
        key = call.world.token(32)
        answer = call.invoke(
            "kms",
            "Encrypt",
            {"KeyId": context["kms"], "Plaintext": key, "EncryptionContext": _context(context, version)},
        )  # fmt: skip
        sealed = encrypt(call.world, key, plain)
        stored = {"key": answer["CiphertextBlob"].hex(), "kms": answer["KeyId"], "sealed": sealed.hex()}  # fmt: skip
    call.tx.put(call.keys("secretsmanager").key("value", name, version), orjson.dumps(stored))


def get_value(call: Call, name: str, version: str, context: Record) -> Record:
    """Raises Fault if the caller may not decrypt by the secret's KMS key."""
    raw = call.tx.get(call.keys("secretsmanager").key("value", name, version))
    assert raw is not None, (name, version)
    stored = orjson.loads(raw)
    sealed = bytes.fromhex(stored["sealed"])
    if "key" not in stored:
        found: Record = orjson.loads(call.cloud.vault.open(sealed, PURPOSE))
        return found
    ask = {"CiphertextBlob": bytes.fromhex(stored["key"]), "EncryptionContext": _context(context, version)}  # fmt: skip
    try:
        key = call.invoke("kms", "Decrypt", ask)["Plaintext"]
    except Fault as fault:
        if fault.code.startswith("AccessDenied"):
            raise Fault("AccessDeniedException", "Access to KMS is not allowed", status=400) from fault  # fmt: skip
        raise Fault(
            "DecryptionFailure",
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
        ) from fault
    opened: Record = orjson.loads(decrypt(key, sealed))
    return opened


def drop_value(tx: Tx, keys: Keyspace, name: str, version: str) -> None:
    tx.delete(keys.key("value", name, version))


def _context(context: Record, version: str) -> dict[str, str]:
    """https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html"""
    return {"SecretARN": context["arn"], "SecretVersionId": version}
