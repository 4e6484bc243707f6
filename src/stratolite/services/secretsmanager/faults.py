"""Secrets, found by name or ARN, and the faults about them, in AWS's words (recorded by localstack/localstack)."""

from __future__ import annotations

import re

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.secretsmanager import state

_ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:([a-z0-9-]+):(\d{12}):secret:(.+)\Z", re.DOTALL)


def not_found(what: str = "the specified secret.") -> Fault:
    return Fault("ResourceNotFoundException", f"Secrets Manager can't find {what}")


def bad_request(message: str) -> Fault:
    return Fault("InvalidRequestException", message)


def bad_parameter(message: str) -> Fault:
    return Fault("InvalidParameterException", message)


def not_offered(what: str) -> Fault:
    return bad_parameter(f"{what} is not offered by Stratolite; see docs/coverage.md")


def arn_of(call: Call, name: str, record: state.Record) -> str:
    return f"arn:aws:secretsmanager:{call.region}:{call.account}:secret:{name}-{record['suffix']}"


def home(call: Call, secret_id: str) -> tuple[Call, str]:
    """Where a secret lies, and what is left of its id. Raises Fault for another region's."""
    found = _ARN.match(secret_id)
    if found is None:
        return call, secret_id
    if found[1] != call.region:
        raise not_found()
    return (call if found[2] == call.account else call.scoped(found[2], found[1])), found[3]


def find(call: Call, secret_id: str) -> tuple[Call, str, state.Record]:
    """By name, by ARN, or by ARN without its six random characters. Raises Fault."""
    where, text = home(call, secret_id)
    keys = where.keys("secretsmanager")
    if secret_id != text and len(text) > 7 and text[-7] == "-":
        record = state.get(call.tx, keys, text[:-7])
        if record is not None and record["suffix"] == text[-6:]:
            return where, text[:-7], record
    record = state.get(call.tx, keys, text)
    if record is None:
        raise not_found()
    return where, text, record


def find_alive(call: Call, secret_id: str) -> tuple[Call, str, state.Record]:
    """Raises Fault for one that was marked for deletion, too."""
    where, name, record = find(call, secret_id)
    if record["deleted_s"]:
        raise bad_request(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    return where, name, record


def find_own(call: Call, secret_id: str) -> tuple[Call, str, state.Record]:
    """One that may be changed here. Raises Fault for a replica, whose changes come from its primary."""
    where, name, record = find_alive(call, secret_id)
    refuse_replica(record)
    return where, name, record


def refuse_replica(record: state.Record) -> None:
    if record.get("primary"):
        raise bad_parameter(
            "Operation not permitted on a replica secret. Call must be made in primary secret's region."
        )
