"""The attributes of queues: which there are, what they may be, what they are when nobody set them.

Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call

_NUMBERS: dict[str, tuple[int, int, str]] = {
    "DelaySeconds": (0, 900, "0"),
    "MaximumMessageSize": (1024, 1 << 20, "1048576"),
    "MessageRetentionPeriod": (60, 1_209_600, "345600"),
    "ReceiveMessageWaitTimeSeconds": (0, 20, "0"),
    "VisibilityTimeout": (0, 43_200, "30"),
}
"""Least, most, default."""
_BOOLEANS = frozenset({"ContentBasedDeduplication", "FifoQueue", "SqsManagedSseEnabled"})
_CHOICES: dict[str, tuple[str, ...]] = {
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_FIFO_DEFAULTS = {
    "FifoQueue": "true",
    "DeduplicationScope": "queue",
    "FifoThroughputLimit": "perQueue",
    "ContentBasedDeduplication": "false",
}
COMPUTED = (
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
)
_SETTABLE = (
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "Policy",
    "RedrivePolicy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
    "FifoQueue",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "ContentBasedDeduplication",
)
ALL = (*COMPUTED, *_SETTABLE)
_ARN = re.compile(r"arn:aws[a-z-]*:sqs:([a-z0-9-]*):(\d{12}):([a-zA-Z0-9_.-]+)")
_SOURCES_MAX = 10
_POLICY_BYTES_MAX, _STATEMENTS_MAX, _ACTIONS_MAX, _PRINCIPALS_MAX = 8_192, 20, 7, 50


def _policy(value: str) -> None:
    """Raises Fault for what is no queue policy.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html
    """
    try:
        statements = Document.parse(value, has_principal=True, any_resource=True).statements
    except Malformed as error:
        raise bad_value("Policy") from error
    every = [action.lower() for one in statements for action in one.actions]
    if len(value.encode()) > _POLICY_BYTES_MAX or any(a != "*" and not a.startswith("sqs:") for a in every):  # fmt: skip
        raise bad_value("Policy")
    for one in statements:
        if (count := len(one.actions)) > _ACTIONS_MAX:
            raise Fault("OverLimit", f"{count} actions were found in a statement from the submitted policy, max allowed is {_ACTIONS_MAX}")  # fmt: skip
    for what, count, most in (
        ("statements", len(statements), _STATEMENTS_MAX),
        ("principals", sum(len(one.principals or ()) for one in statements), _PRINCIPALS_MAX),
    ):
        if count > most:
            raise Fault("OverLimit", f"{count} {what} were found in the submitted policy, max allowed is {most}")  # fmt: skip


def check_principals(call: Call, wanted: dict[str, str]) -> None:
    """Raises Fault for a policy among the attributes that lets in somebody who does not exist."""
    if (text := wanted.get("Policy")) and principals.unknown(call, text):
        raise bad_value("Policy")


def bad_value(name: str, reason: str = "") -> Fault:
    said = f"Invalid value for the parameter {name}."
    return Fault("InvalidAttributeValue", f"{said} Reason: {reason}" if reason else said)


def unknown(name: str) -> Fault:
    return Fault("InvalidAttributeName", f"Unknown Attribute {name}.")


def checked(given: dict[str, str], *, is_fifo: bool, is_new: bool) -> dict[str, str]:
    """The attributes to keep; "" takes one away. Raises Fault for an unknown name or a wrong value."""
    kept: dict[str, str] = {}
    for name, value in given.items():
        if name not in _SETTABLE:
            raise unknown(name)
        if name == "FifoQueue":
            _check_type(value, is_fifo=is_fifo, is_new=is_new)
            continue
        if name in _FIFO_DEFAULTS and not is_fifo:
            if name in _CHOICES:
                raise Fault(
                    "InvalidAttributeName",
                    f"You can specify the {name} only when FifoQueue is set to true.",
                )
            raise unknown(name)
        kept[name] = _checked(name, value)
    return kept


def check_throughput(kept: dict[str, str]) -> None:
    """Raises Fault for a limit by groups where groups are not deduplicated by themselves.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
    """
    if (
        kept.get("FifoThroughputLimit") == "perMessageGroupId"
        and kept.get("DeduplicationScope") != "messageGroup"
    ):
        raise bad_value(
            "FifoThroughputLimit",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.",
        )


def _check_type(value: str, *, is_fifo: bool, is_new: bool) -> None:
    if not is_new:
        if not is_fifo:
            raise unknown("FifoQueue")
        if value.lower() != "true":
            raise bad_value("FifoQueue", "Modifying queue type is not supported.")
    elif value.lower() != "true":
        raise unknown("FifoQueue")


def _checked(name: str, value: str) -> str:
    if name in _NUMBERS:
        least, most, _ = _NUMBERS[name]
        if not value.isascii() or not value.isdigit() or not least <= int(value) <= most:
            raise bad_value(name)
        return str(int(value))
    if name in _BOOLEANS:
        if value.lower() not in ("true", "false"):
            raise bad_value(name)
        return value.lower()
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise bad_value(name)
        return value
    if name == "Policy" and value:
        _policy(value)
    elif name == "RedrivePolicy" and value:
        _redrive_policy(value)
    elif name == "RedriveAllowPolicy" and value:
        _allow_policy(value)
    elif name == "KmsDataKeyReusePeriodSeconds" and not (
        value.isdigit() and 60 <= int(value) <= 86_400
    ):
        raise bad_value(name)
    return value


def _object(name: str, value: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    def wrong(reason: str) -> Fault:
        return Fault(
            "InvalidParameterValue",
            f"Value {value} for parameter {name} is invalid. Reason: {reason}",
        )

    try:
        said = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise wrong(f"{name} is not a valid JSON map.") from None
    if not isinstance(said, dict):
        raise wrong(f"{name} is not a valid JSON map.")
    if extra := [key for key in said if key not in allowed]:
        raise wrong(
            f"Only following attributes are supported: [{', '.join(allowed)}], not {extra[0]}."
        )
    return said


def wrong_redrive(value: str, reason: str) -> Fault:
    return Fault(
        "InvalidParameterValue",
        f"Value {value} for parameter RedrivePolicy is invalid. Reason: {reason}",
    )


def _redrive_policy(value: str) -> None:
    said = _object("RedrivePolicy", value, ("deadLetterTargetArn", "maxReceiveCount"))
    target, most = said.get("deadLetterTargetArn"), said.get("maxReceiveCount")
    if target is None:
        raise wrong_redrive(
            value, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn."
        )
    if most is None:
        raise wrong_redrive(
            value, "Redrive policy does not contain mandatory attribute: maxReceiveCount."
        )
    if not isinstance(target, str) or not _ARN.fullmatch(target):
        raise wrong_redrive(value, f"Invalid value for deadLetterTargetArn: {target}.")
    if not re.fullmatch(r"\d{1,4}", str(most)) or not 1 <= int(most) <= 1000:
        raise wrong_redrive(
            value,
            f"Invalid value for maxReceiveCount: {most}, valid values are from 1 to 1000 both inclusive.",
        )


def _allow_policy(value: str) -> None:
    said = _object("RedriveAllowPolicy", value, ("redrivePermission", "sourceQueueArns"))
    permission, arns = said.get("redrivePermission"), said.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise bad_value("RedriveAllowPolicy")
    if permission == "byQueue":
        if not isinstance(arns, list) or not 1 <= len(arns) <= _SOURCES_MAX:
            raise bad_value("RedriveAllowPolicy")
        if not all(isinstance(arn, str) and _ARN.fullmatch(arn) for arn in arns):
            raise bad_value("RedriveAllowPolicy")
    elif arns is not None:
        raise bad_value("RedriveAllowPolicy")


def allows_source(allow_policy: str, source: str) -> bool:
    """Whether a queue of this RedriveAllowPolicy ("" for none) may be the dead-letter queue of ``source``."""
    said = orjson.loads(allow_policy) if allow_policy else {"redrivePermission": "allowAll"}
    permission = said["redrivePermission"]
    return permission == "allowAll" or (
        permission == "byQueue" and source in said["sourceQueueArns"]
    )


def parse_arn(arn: str) -> tuple[str, str, str] | None:
    """(region, account, name) of a queue's ARN."""
    match = _ARN.fullmatch(arn)
    return None if match is None else (match[1], match[2], match[3])


def effective(kept: dict[str, str], *, is_fifo: bool) -> dict[str, str]:
    """All attributes that were or could have been set, as GetQueueAttributes shows them."""
    found = {name: default for name, (_, _, default) in _NUMBERS.items()}
    if is_fifo:
        found |= _FIFO_DEFAULTS
    found["SqsManagedSseEnabled"] = "false" if kept.get("KmsMasterKeyId") else "true"
    found |= {name: value for name, value in kept.items() if value}
    if "KmsMasterKeyId" not in found:
        found.pop("KmsDataKeyReusePeriodSeconds", None)
    return {name: found[name] for name in _SETTABLE if name in found}
