"""What the Parameter Store keeps: the only code that touches its keys. Each function takes ``tx`` or ``call`` first.

A SecureString's stored value is {"sealed": base64} (by the vault) or {"kms": base64} (by AWS KMS under the parameter's ARN).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call

Record = dict[str, Any]
PURPOSE = "ssm"
_OF_A_VERSION = (
    "type", "key", "description", "pattern", "tier", "data_type", "version", "modified_s", "user", "value",
)  # fmt: skip


def get(tx: Tx, keys: Keyspace, name: str) -> Record | None:
    raw = tx.get(keys.key("parameter", name))
    return None if raw is None else orjson.loads(raw)


def put(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    tx.put(keys.key("parameter", name), orjson.dumps(record))


def put_version(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    kept = {field: record[field] for field in _OF_A_VERSION}
    tx.put(keys.key("version", name, record["version"]), orjson.dumps(kept))


def get_version(tx: Tx, keys: Keyspace, name: str, number: int) -> Record | None:
    raw = tx.get(keys.key("version", name, number))
    return None if raw is None else orjson.loads(raw)


def drop_version(tx: Tx, keys: Keyspace, name: str, number: int) -> None:
    tx.delete(keys.key("version", name, number))


def versions(tx: Tx, keys: Keyspace, name: str, after: int) -> Iterator[Record]:
    start, stop = keys.span("version", name)
    if after:
        start = keys.key("version", name, after) + b"\x00"
    for _, raw in tx.scan((start, stop)):
        yield orjson.loads(raw)


def delete(tx: Tx, keys: Keyspace, name: str, record: Record) -> None:
    """A parameter has at most a hundred versions."""
    for number in range(record["oldest"], record["version"] + 1):
        tx.delete(keys.key("version", name, number))
    tx.delete(keys.key("parameter", name))


def rows(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[tuple[str, Record]]:
    """Parameters whose names begin with ``prefix``, in order, behind ``after``."""
    start, stop = keys.span("parameter")
    if prefix:
        start = keys.key("parameter", prefix)[:-1]  # without the end of the string
        stop = start + b"\xff"
    if after:
        start = max(start, keys.key("parameter", after) + b"\x00")
    for key, raw in tx.scan((start, stop)):
        yield str(keys.parts(key)[1]), orjson.loads(raw)


def children(tx: Tx, keys: Keyspace, path: str, after: str) -> Iterator[tuple[str, Record]]:
    """Parameters right under ``path`` ("/a/"): what lies deeper is leapt over, not read through."""
    start = keys.key("parameter", path)[:-1]
    stop = start + b"\xff"
    if after:
        start = max(start, keys.key("parameter", after) + b"\x00")
    while True:
        leap = b""
        for key, raw in tx.scan((start, stop)):
            name = str(keys.parts(key)[1])
            deeper = name.find("/", len(path))
            if deeper >= 0:
                leap = keys.key("parameter", name[: deeper + 1])[:-1] + b"\xff"
                break
            yield name, orjson.loads(raw)
        if not leap:
            return
        start = leap


def sealed(call: Call, arn: str, key: str, value: str) -> dict[str, str]:
    """Raises Fault if the caller may not encrypt by ``key``."""
    if not key:
        return {"sealed": base64.b64encode(call.cloud.vault.seal(value.encode(), PURPOSE)).decode()}
    ask = {"KeyId": key, "Plaintext": value.encode(), "EncryptionContext": {"PARAMETER_ARN": arn}}
    answer = call.invoke("kms", "Encrypt", ask)
    return {"kms": base64.b64encode(answer["CiphertextBlob"]).decode()}


def opened(call: Call, arn: str, value: dict[str, str]) -> str:
    """Raises Fault if the caller may not decrypt."""
    if "sealed" in value:
        plain: bytes = call.cloud.vault.open(base64.b64decode(value["sealed"]), PURPOSE)
        return plain.decode()
    blob = base64.b64decode(value["kms"])
    try:
        answer = call.invoke("kms", "Decrypt", {"CiphertextBlob": blob, "EncryptionContext": {"PARAMETER_ARN": arn}})  # fmt: skip
    except Fault as fault:
        if fault.code.startswith("AccessDenied"):
            raise Fault("AccessDeniedException", fault.message, status=400) from fault
        raise Fault("InvalidKeyId", fault.message) from fault
    text: bytes = answer["Plaintext"]
    return text.decode()
