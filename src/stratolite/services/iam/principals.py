"""Whether the principals a policy names are there: AWS takes no trust in users and roles that do not exist.

Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
        https://repost.aws/knowledge-center/iam-principal-policy
"""

from __future__ import annotations

import json
import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.iam import state

_ACCOUNT = re.compile(r"(\d{12}|arn:aws:iam::\d{12}:root)\Z", re.ASCII)
_HOLDER = re.compile(r"arn:aws:iam::(\d{12}):(user|role)/(.*/)?([\w+=,.@-]+)\Z", re.ASCII)
_SESSION = re.compile(
    r"arn:aws:sts::(\d{12}):(assumed-role|federated-user)/[\w+=,.@/-]+\Z", re.ASCII
)
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)+\Z", re.ASCII)
_UNIQUE = re.compile(r"(AIDA|AROA)[A-Z0-9]{12,}\Z")


def check(call: Call, text: str) -> None:
    """Raises Fault MalformedPolicyDocument for a principal of a trust policy that cannot be."""
    if found := unknown(call, text):
        kind, value = found
        said = f'Invalid principal in policy: "{kind.upper()}":"{value}"'
        raise Fault("MalformedPolicyDocument", said)


def unknown(call: Call, text: str) -> tuple[str, str] | None:
    """(kind, value) of the first principal that cannot be."""
    statements = json.loads(text)["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        raw = statement.get("Principal", statement.get("NotPrincipal"))
        for kind, values in (raw if isinstance(raw, dict) else {"AWS": raw}).items():
            for value in values if isinstance(values, list) else [values]:
                if not _is_there(call, kind, value):
                    return kind, str(value)
    return None


def _is_there(call: Call, kind: str, value: Any) -> bool:
    if not isinstance(value, str):
        return False
    if kind == "Service":
        return _SERVICE.match(value) is not None
    if kind != "AWS":
        return True
    if value == "*" or any(p.match(value) for p in (_ACCOUNT, _SESSION, _UNIQUE)):
        return True
    match = _HOLDER.match(value)
    if match is None:
        return False
    record = state.get(call.tx, match[1], match[2], match[4])
    return record is not None and record["Arn"] == value
