"""What services of this cloud put on the default bus of the account and region it happened in.

    announce(call, "ssm.amazonaws.com", lambda: entry(...))     # in the transaction in which it happened

An event is committed with what it tells of. Where no rule and no archive of the bus could want it, it is not even made:
that costs one look at one key.

Source  https://docs.aws.amazon.com/eventbridge/latest/ref/events.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, cast

import orjson

from stratolite.service import Call

Entry = dict[str, Any]
"""An entry of PutEvents."""


def entry(
    source: str,
    detail_type: str,
    resources: list[str],
    detail: Mapping[str, Any],
    *,
    time_s: float | None = None,
) -> Entry:
    """``time_s``: cloud clock; None: when it is put."""
    made: Entry = {
        "Source": source,
        "DetailType": detail_type,
        "Resources": resources,
        "Detail": orjson.dumps(detail).decode(),
    }
    if time_s is not None:
        made["Time"] = time_s
    return made


def announce(call: Call, principal: str, make: Callable[[], Entry], source_arn: str = "") -> None:
    """Put what ``make`` gives on the default bus of ``call``'s account and region, as the service ``principal``."""
    if is_heard(call):
        acting = call.as_service(principal, source_arn)
        acting.invoke("events", "PutEvents", {"Entries": [make()]})


def is_heard(call: Call, what: Literal["", "call", "read"] = "") -> bool:
    """Whether anybody could want an event of the default bus; with ``what`` one about a management call, or one that only reads."""
    cloud = call.cloud
    if "events" not in cloud.services:
        return False
    return cast(_Bus, cloud.service("events")).is_heard(call, what)


BY_TRAIL = "AWS API Call via CloudTrail"
_CHANGES_THAT_GET = frozenset({"GetFederationToken", "GetSessionToken"})


def only_reads(operation: str) -> bool:
    """Whether the event of such a call is only for rules that ask for all management events.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html
    """
    return operation.startswith(("Describe", "Get", "List")) and operation not in _CHANGES_THAT_GET


class _Bus(Protocol):
    def is_heard(self, call: Call, what: str) -> bool: ...
