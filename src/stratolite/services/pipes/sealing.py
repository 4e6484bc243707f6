"""What AWS encrypts of a pipe under a key of one's own: its filters and its input templates.

Who makes, changes or reads the pipe must be let by the key (kms:DescribeKey, GenerateDataKey, Decrypt), and the pipe's role to run
it (kms:Decrypt).
Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-encryption-pipes-cmkey.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.data_keys import SealedText, open_text, seal_text
from stratolite.errors import Fault
from stratolite.service import Call

_VIA = "pipes"
_PLACES = (
    ("SourceParameters", "FilterCriteria"), ("EnrichmentParameters", "InputTemplate"), ("TargetParameters", "InputTemplate"),
)  # fmt: skip


def sealed(call: Call, arn: str, asked: dict[str, Any]) -> SealedText | None:
    """Takes them out of what is asked for; None where there is no key. Raises Fault."""
    key = asked.get("KmsKeyIdentifier")
    if not key:
        return None
    taken: dict[str, Any] = {}
    for member, part in _PLACES:
        given = asked.get(member) or {}
        if part in given:
            taken.setdefault(member, {})[part] = given[part]
            asked[member] = {name: value for name, value in given.items() if name != part}
    try:
        call.invoke("kms", "DescribeKey", {"KeyId": key, "_via": _VIA})
        return seal_text(call, key, orjson.dumps(taken).decode(), _context(arn), _VIA)
    except Fault as fault:
        message = f"The KmsKeyIdentifier cannot be used: {fault.message}"
        raise Fault("ValidationException", message, status=400) from fault


def opened(call: Call, arn: str, record: dict[str, Any]) -> dict[str, Any]:
    """The request of a pipe with all that was taken out of it. Raises Fault, KMS's own."""
    request: dict[str, Any] = record["request"]
    if (text := record.get("sealed")) is None:
        return request
    taken = orjson.loads(open_text(call, text, _context(arn), _VIA))
    return request | {member: (request.get(member) or {}) | parts for member, parts in taken.items()}  # fmt: skip


def _context(arn: str) -> dict[str, str]:
    return {"aws:pipe:arn": arn}
