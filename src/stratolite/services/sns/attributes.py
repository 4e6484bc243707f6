"""The attributes of topics and subscriptions: which there are and what they may be.

Sources  https://docs.aws.amazon.com/sns/latest/api/API_SetTopicAttributes.html
         https://docs.aws.amazon.com/sns/latest/api/API_SetSubscriptionAttributes.html
         https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, is_number
from stratolite.services.sns import filtering
from stratolite.services.sns.finding import invalid

_TOPIC = frozenset(
    {
        "ArchivePolicy", "ContentBasedDeduplication", "DeliveryPolicy", "DisplayName", "FifoThroughputScope",
        "FifoTopic", "KmsMasterKeyId", "MaximumMessageSize", "Policy", "SignatureVersion", "TracingConfig",
    }
)  # fmt: skip
_TOPIC_NOT_OFFERED = re.compile(
    r"(HTTP|Firehose|Lambda|Application|SQS)(Success|Failure)Feedback(RoleArn|SampleRate)|DataProtectionPolicy"
)
_OF_FIFO = frozenset(
    {"ArchivePolicy", "ContentBasedDeduplication", "FifoThroughputScope", "FifoTopic"}
)
_SUBSCRIPTION = (
    "DeliveryPolicy",
    "FilterPolicy",
    "FilterPolicyScope",
    "RawMessageDelivery",
    "RedrivePolicy",
    "ReplayPolicy",
    "SubscriptionRoleArn",
)
_RETRY = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
_BACKOFFS = ("linear", "arithmetic", "geometric", "exponential")
_CONTENT_TYPE = "text/plain; charset=UTF-8"
_DISPLAY_NAME_MAX = 100
_POLICY_BYTES_MAX = 30_720
"""https://docs.aws.amazon.com/general/latest/gr/sns.html"""
_RETRIES_MAX = 100
SIZE_BYTES_DEFAULT = 262_144
_SIZE_BYTES_MIN, _SIZE_BYTES_MAX = 1024, 1 << 20
LARGE_SUBSCRIPTIONS_MAX = 100
_LARGE = ("firehose", "lambda", "sqs")
_DELAY_S_MAX = 3600


def check_topic(call: Call, name: str, value: str, *, is_fifo: bool, is_new: bool) -> None:
    """Raises Fault for an attribute that SNS does not have or that we do not offer."""
    if _TOPIC_NOT_OFFERED.fullmatch(name):
        raise invalid(
            f"Attributes Reason: {name} is not offered by Stratolite; see docs/coverage.md"
        )
    if name not in _TOPIC or (name == "FifoTopic" and not is_new):
        raise invalid("AttributeName")
    if name in _OF_FIFO and not is_fifo and value != "false":
        raise invalid(f"Attributes Reason: {name} is only valid for FIFO topics")
    if name == "Policy" and value:
        _check_policy(call, value)
    elif name == "DisplayName" and len(value) > _DISPLAY_NAME_MAX:
        raise invalid("DisplayName")
    elif name in ("ContentBasedDeduplication", "FifoTopic"):
        if value not in ("true", "false"):
            raise invalid(f"{name}: Invalid value [{value}]. Must be true or false.")
    elif name == "FifoThroughputScope" and value not in ("Topic", "MessageGroup"):
        raise invalid(
            f"FifoThroughputScope: Invalid value [{value}]. Must be Topic or MessageGroup."
        )
    elif name == "MaximumMessageSize":
        if not is_number(value) or not _SIZE_BYTES_MIN <= int(value) <= _SIZE_BYTES_MAX:
            raise invalid(
                f"MaximumMessageSize: Invalid value [{value}]. Must be an integer between {_SIZE_BYTES_MIN} and"
                f" {_SIZE_BYTES_MAX}."
            )
    elif name == "SignatureVersion" and value not in ("1", "2"):
        raise invalid(f"SignatureVersion: Invalid value [{value}]. Must be 1 or 2.")
    elif name == "TracingConfig" and value != "PassThrough":
        raise invalid("TracingConfig Active is not offered by Stratolite; see docs/coverage.md")
    elif name == "DeliveryPolicy" and value:
        said = parse_object("DeliveryPolicy", value)
        for kind in said.get("http", {}):
            if kind not in (
                "defaultHealthyRetryPolicy",
                "defaultThrottlePolicy",
                "defaultRequestPolicy",
                "disableSubscriptionOverrides",
            ):
                raise invalid(f"DeliveryPolicy: unknown field {kind}")
        _check_retry(said.get("http", {}).get("defaultHealthyRetryPolicy"))
    elif name == "ArchivePolicy" and value:
        said = parse_object("ArchivePolicy", value)
        days = str(said.get("MessageRetentionPeriod", "0" if not said else ""))
        if not is_number(days) or (said and not 1 <= int(days) <= 365):
            raise invalid("ArchivePolicy: MessageRetentionPeriod must be between 1 and 365 days")


def check_large(size_bytes_max: int, protocols: Sequence[str]) -> None:
    """Raises Fault where a topic that takes large messages would have subscriptions of these ``protocols``.

    https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html
    """
    if size_bytes_max <= SIZE_BYTES_DEFAULT:
        return
    if len(protocols) > LARGE_SUBSCRIPTIONS_MAX:
        raise invalid(
            f"MaximumMessageSize: a topic with more than {SIZE_BYTES_DEFAULT} has at most"
            f" {LARGE_SUBSCRIPTIONS_MAX} subscriptions"
        )
    for protocol in protocols:
        if protocol not in _LARGE:
            raise invalid(
                f"MaximumMessageSize: a topic with more than {SIZE_BYTES_DEFAULT} has no subscriptions of"
                f" {protocol}, only of {', '.join(_LARGE)}"
            )


def check_subscription(
    name: str, value: str, *, protocol: str, is_fifo: bool, endpoint: str, scope: str, policy: str
) -> None:
    """``scope`` and ``policy`` are FilterPolicyScope and FilterPolicy as they will be. Raises Fault."""
    if name not in _SUBSCRIPTION:
        raise invalid("AttributeName")
    if name == "RawMessageDelivery":
        if value.lower() not in ("true", "false"):
            raise invalid(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
        if value.lower() == "true" and protocol not in ("sqs", "http", "https", "firehose"):
            raise invalid("Delivery protocol does not support raw message delivery.")
    elif name in ("FilterPolicy", "FilterPolicyScope"):
        if scope not in ("MessageAttributes", "MessageBody"):
            raise invalid(
                f"FilterPolicyScope: Invalid value [{scope}]. Please use either MessageBody or MessageAttributes"
            )
        if policy:
            _check_filter(policy, scope)
    elif name == "RedrivePolicy" and value:
        said = parse_object("RedrivePolicy", value)
        target = str(said.get("deadLetterTargetArn", ""))
        if not re.fullmatch(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[\w.-]+", target):
            raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")
        if is_fifo and endpoint.endswith(".fifo") and not target.endswith(".fifo"):
            raise invalid(
                "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic."
            )
    elif name == "DeliveryPolicy" and value:
        if protocol not in ("http", "https"):
            raise invalid("Delivery policy is only supported for HTTP and HTTPS subscriptions")
        said = parse_object("DeliveryPolicy", value)
        for kind in said:
            if kind not in (
                "healthyRetryPolicy",
                "throttlePolicy",
                "requestPolicy",
                "sicklyRetryPolicy",
                "guaranteed",
            ):
                raise invalid(f"DeliveryPolicy: unknown field {kind}")
        _check_retry(said.get("healthyRetryPolicy"))
    elif name == "ReplayPolicy" and value:
        if not is_fifo:
            raise invalid("ReplayPolicy: Replay Policy is only supported for FIFO topics")
        replay_times(value)


def _check_filter(policy: str, scope: str) -> None:
    try:
        filtering.check(policy, scope)
    except filtering.BadFilter as error:
        raise invalid(f"FilterPolicy: {error}") from error
    if scope == "MessageAttributes" and filtering.is_nested(policy):
        raise invalid("Filter policy scope MessageAttributes does not support nested filter policy")


def parse_object(name: str, value: str) -> dict[str, Any]:
    try:
        said = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise invalid(f"{name}: failed to parse JSON. {error}") from None
    if not isinstance(said, dict):
        raise invalid(f"{name}: failed to parse JSON. It must be an object")
    return said


def _check_retry(policy: Any) -> None:
    if not policy:
        return
    merged = {**_RETRY, **policy}
    for name, value in merged.items():
        if name == "backoffFunction":
            if value not in _BACKOFFS:
                raise invalid(
                    f"DeliveryPolicy: backoffFunction must be one of {', '.join(_BACKOFFS)}"
                )
        elif name not in _RETRY:
            raise invalid(f"DeliveryPolicy: unknown field {name}")
        elif not isinstance(value, int) or not 0 <= value <= _DELAY_S_MAX:
            raise invalid(f"DeliveryPolicy: {name} must be between 0 and {_DELAY_S_MAX}")
    if merged["numRetries"] > _RETRIES_MAX:
        raise invalid(f"DeliveryPolicy: numRetries must be between 0 and {_RETRIES_MAX}")
    if merged["minDelayTarget"] > merged["maxDelayTarget"]:
        raise invalid("DeliveryPolicy: minDelayTarget must not be larger than maxDelayTarget")
    parts = (
        merged["numNoDelayRetries"] + merged["numMinDelayRetries"] + merged["numMaxDelayRetries"]
    )
    if parts > merged["numRetries"]:
        raise invalid("DeliveryPolicy: more retries in its phases than numRetries")


def topic_delivery(policy: str) -> dict[str, Any]:
    """EffectiveDeliveryPolicy of a topic."""
    http = orjson.loads(policy or "{}").get("http", {})
    request = http.get("defaultRequestPolicy") or {}
    return {
        "http": {
            "defaultHealthyRetryPolicy": {
                **_RETRY,
                **(http.get("defaultHealthyRetryPolicy") or {}),
            },
            "disableSubscriptionOverrides": bool(http.get("disableSubscriptionOverrides")),
            **({"defaultThrottlePolicy": t} if (t := http.get("defaultThrottlePolicy")) else {}),
            "defaultRequestPolicy": {
                "headerContentType": request.get("headerContentType", _CONTENT_TYPE)
            },
        }
    }


def delivery(topic_policy: str, policy: str) -> dict[str, Any]:
    """EffectiveDeliveryPolicy of a subscription over HTTP."""
    http = topic_delivery(topic_policy)["http"]
    said = {} if http["disableSubscriptionOverrides"] else orjson.loads(policy or "{}")
    return {
        "healthyRetryPolicy": {
            **http["defaultHealthyRetryPolicy"],
            **(said.get("healthyRetryPolicy") or {}),
        },
        "sicklyRetryPolicy": None,
        "throttlePolicy": said.get("throttlePolicy") or http.get("defaultThrottlePolicy"),
        "requestPolicy": said.get("requestPolicy") or http["defaultRequestPolicy"],
        "guaranteed": False,
    }


def retry_delay_s(retry: dict[str, Any], attempt: int) -> float | None:
    """Before the retry after ``attempt`` (1 for the first try); None when there is none."""
    if attempt > retry["numRetries"]:
        return None
    if attempt <= retry["numNoDelayRetries"]:
        return 0.0
    low, high = retry["minDelayTarget"], retry["maxDelayTarget"]
    attempt -= retry["numNoDelayRetries"]
    if attempt <= retry["numMinDelayRetries"]:
        return float(low)
    attempt -= retry["numMinDelayRetries"]
    backoff = (
        retry["numRetries"]
        - retry["numNoDelayRetries"]
        - retry["numMinDelayRetries"]
        - retry["numMaxDelayRetries"]
    )
    if attempt > backoff:
        return float(high)
    part = attempt / backoff
    kind = retry["backoffFunction"]
    if kind == "arithmetic":
        part = attempt * (attempt + 1) / (backoff * (backoff + 1))
    elif kind in ("geometric", "exponential"):
        part = (2**attempt - 1) / (2**backoff - 1)
    return float(low + (high - low) * part)


def replay_times(value: str) -> tuple[int, int | None] | None:
    """(start, end) in ms of a ReplayPolicy; None for "{}", which stops a replay. Raises Fault."""
    said = parse_object("ReplayPolicy", value)
    if not said:
        return None
    if said.get("PointType") != "Timestamp" or "StartingPoint" not in said:
        raise invalid("ReplayPolicy: PointType must be Timestamp, with a StartingPoint")

    def ms(name: str) -> int | None:
        text = said.get(name)
        if text is None:
            return None
        try:
            at = datetime.fromisoformat(str(text))
        except ValueError:
            raise invalid(f"ReplayPolicy: {name} is not a timestamp") from None
        return int(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)

    start_ms, end_ms = ms("StartingPoint"), ms("EndingPoint")
    assert start_ms is not None
    if end_ms is not None and end_ms <= start_ms:
        raise invalid("ReplayPolicy: EndingPoint must be after StartingPoint")
    return start_ms, end_ms


def kms_refusal() -> Fault:
    return invalid("Attributes Reason: KmsMasterKeyId is not offered by Stratolite yet")


def _check_policy(call: Call, value: str) -> None:
    try:
        statements = Document.parse(value, has_principal=True).statements
    except Malformed as error:
        raise invalid("Policy Error: null") from error
    actions = [action.lower() for one in statements for action in one.actions]
    if any(action != "*" and not action.startswith("sns:") for action in actions):
        raise invalid("Policy statement action out of service scope!")
    if len(value.encode()) > _POLICY_BYTES_MAX:
        raise invalid(f"Policy: must be at most {_POLICY_BYTES_MAX} bytes")
    if principals.unknown(call, value):
        raise invalid("Policy Error: PrincipalNotFound")
