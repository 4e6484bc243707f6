"""Management calls as events of the default bus: "AWS API Call via CloudTrail".

On AWS a trail must be logging for them to come. Here, where there are none, they come to rules and archives whose pattern
names this detail type. What a service does of its own accord (a role assumed to deliver an event) is in the history and not
on the bus, so that no rule feeds itself.

Source  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
        https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail-management.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.service import Call
from stratolite.service_events import BY_TRAIL, Entry, announce, entry, is_heard, only_reads
from stratolite.services.cloudtrail.state import Record

_PRINCIPAL = "cloudtrail.amazonaws.com"


def tell(call: Call, records: list[Record]) -> None:
    """Of those of ``records`` that somebody could want. Raises nothing that a record could be the cause of."""
    if not is_heard(call, "call"):
        return
    hears_reads = is_heard(call, "read")
    for record in records:
        event = orjson.loads(record.raw)
        if event["managementEvent"] and event["userIdentity"]["type"] != "AWSService" and (hears_reads or not only_reads(event["eventName"])):  # fmt: skip
            announce(call, _PRINCIPAL, lambda e=event, r=record: _entry(e, r))  # type: ignore[misc]


def _entry(event: dict[str, Any], record: Record) -> Entry:
    source = f"aws.{event['eventSource'].removesuffix('.amazonaws.com')}"
    return entry(source, BY_TRAIL, [], event, time_s=record.time_ms / 1000)
