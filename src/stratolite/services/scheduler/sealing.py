"""The input of a schedule with a KmsKeyArn, which is all of it that AWS encrypts under a key of one's own.

Who makes or changes the schedule must be let by the key (kms:DescribeKey, GenerateDataKey, Decrypt), who reads it, and the schedule's
role to call the target (kms:Decrypt).
Source  https://docs.aws.amazon.com/scheduler/latest/UserGuide/encryption-rest.html
"""

from __future__ import annotations

from typing import Any

from stratolite.data_keys import SealedText, open_text, seal_text
from stratolite.errors import Fault
from stratolite.service import Call

_VIA = "scheduler"


def sealed(call: Call, arn: str, asked: dict[str, Any]) -> SealedText | None:
    """The input of what is asked for, taken out of it; None where there is no key or no input. Raises Fault."""
    key, target = asked.get("KmsKeyArn"), asked["Target"]
    if not key:
        return None
    try:
        call.invoke("kms", "DescribeKey", {"KeyId": key, "_via": _VIA})
        if "Input" not in target:
            return None
        made = seal_text(call, key, target["Input"], _context(arn), _VIA)
    except Fault as fault:
        raise Fault("ValidationException", f"The KmsKeyArn cannot be used: {fault.message}", status=400) from fault  # fmt: skip
    asked["Target"] = {name: value for name, value in target.items() if name != "Input"}
    return made


def opened(call: Call, arn: str, text: SealedText) -> str:
    """Raises Fault, KMS's own."""
    return open_text(call, text, _context(arn), _VIA)


def _context(arn: str) -> dict[str, str]:
    return {"aws:scheduler:schedule:arn": arn}
