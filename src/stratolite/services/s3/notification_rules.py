"""Notification configurations: what is accepted, and which of their rules an event meets.

A rule is kept as {id, kind, arn, events, prefix, suffix}; ``kind`` is the service that is told.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.services.s3.faults import invalid_argument, malformed_xml

RULES_COUNT_MAX = 100
EVENTS = frozenset(
    {
        "s3:ObjectCreated:Put",
        "s3:ObjectCreated:Post",
        "s3:ObjectCreated:Copy",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRestore:Post",
        "s3:ObjectRestore:Completed",
        "s3:ObjectRestore:Delete",
        "s3:ReducedRedundancyLostObject",
        "s3:Replication:OperationFailedReplication",
        "s3:Replication:OperationMissedThreshold",
        "s3:Replication:OperationReplicatedAfterThreshold",
        "s3:Replication:OperationNotTracked",
        "s3:LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "s3:LifecycleTransition",
        "s3:IntelligentTiering",
        "s3:ObjectAcl:Put",
        "s3:ObjectRetention:Put",
        "s3:ObjectTagging:Put",
        "s3:ObjectTagging:Delete",
        "s3:ObjectAnnotation:Put",
        "s3:ObjectAnnotation:Delete",
    }
)
GROUPS = frozenset({f"{name.rpartition(':')[0]}:*" for name in EVENTS if name.count(":") == 2}) - {
    "s3:ObjectRetention:*"
}
# Member of the configuration -> (its ARN's member, the service in the ARN, what errors call it)
KINDS = {
    "QueueConfigurations": ("QueueArn", "sqs", "Queue"),
    "TopicConfigurations": ("TopicArn", "sns", "Topic"),
    "LambdaFunctionConfigurations": ("LambdaFunctionArn", "lambda", "CloudFunction"),
}


class Rule(NamedTuple):
    id: str
    kind: str
    """``sqs``, ``sns``, ``lambda`` or ``events``."""
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str

    def meets(self, event: str, key: str) -> bool:
        return (
            any(_covers(one, event) for one in self.events)
            and key.startswith(self.prefix)
            and key.endswith(self.suffix)
        )


def _covers(wanted: str, event: str) -> bool:
    return wanted == event or (wanted.endswith(":*") and event.startswith(wanted[:-1]))


def parse(raw: bytes) -> tuple[Rule, ...]:
    """The rules of a stored configuration (the API's shape), for ``tx.parsed``."""
    return tuple(rules_of(orjson.loads(raw)))


def rules_of(config: dict[str, Any]) -> Iterator[Rule]:
    for member, (arn_member, kind, _) in KINDS.items():
        for one in config.get(member) or ():
            filters = _filters(one)
            yield Rule(
                one.get("Id") or "",
                kind,
                one[arn_member],
                tuple(one["Events"]),
                filters.get("prefix", ""),
                filters.get("suffix", ""),
            )
    if "EventBridgeConfiguration" in config:
        yield Rule("", "events", "", ("s3:*",), "", "")


def _filters(one: dict[str, Any]) -> dict[str, str]:
    rules = ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    return {rule["Name"].lower(): rule.get("Value") or "" for rule in rules}


def checked(config: dict[str, Any], region: str, new_id: Any) -> dict[str, Any]:
    """The configuration as it is kept: checked, ids given, filter names as S3 spells them. Raises Fault."""
    kept: dict[str, Any] = {}
    ids: set[str] = set()
    for member, (arn_member, kind, argument) in KINDS.items():
        listed = config.get(member) or []
        for one in listed:
            arn = one.get(arn_member) or ""
            _check_arn(arn, kind, argument, region)
            made = {"Id": one.get("Id") or new_id(), arn_member: arn, "Events": _events(one)}
            if made["Id"] in ids:
                raise invalid_argument(
                    "Same ID used for multiple configurations. IDs must be unique.",
                    "Id",
                    made["Id"],
                )
            ids.add(made["Id"])
            if len(made["Id"]) > 255:
                raise invalid_argument("Id length must be less than 256", "Id", made["Id"])
            if one.get("Filter"):
                made["Filter"] = {"Key": {"FilterRules": _filter_rules(one)}}
            kept.setdefault(member, []).append(made)
    if len(ids) > RULES_COUNT_MAX:
        raise invalid_argument(
            f"You can have at most {RULES_COUNT_MAX} notification configurations",
            "Configurations",
            len(ids),
        )
    _check_overlap(list(rules_of(kept)))
    if config.get("EventBridgeConfiguration") is not None:
        kept["EventBridgeConfiguration"] = {}
    return kept


def _check_arn(arn: str, kind: str, argument: str, region: str) -> None:
    parts = arn.split(":")
    if len(parts) < 6 or parts[0] != "arn" or parts[2] != kind or not all(parts[3:5]):
        raise invalid_argument("The ARN could not be parsed", argument, arn)
    if parts[3] != region:
        raise invalid_argument(
            "The notification destination service region is not valid for the bucket location "
            "constraint",
            argument,
            arn,
        )
    if kind in ("sqs", "sns") and parts[-1].endswith(".fifo"):
        raise invalid_argument(
            "Invalid resource type: FIFO topics and queues are not supported", argument, arn
        )


def _events(one: dict[str, Any]) -> list[str]:
    events = one.get("Events") or []
    if not events:
        raise malformed_xml()
    for event in events:
        check_event(event)
    return list(events)


def check_event(event: str) -> None:
    """Raises Fault for an event that nobody is told of."""
    if event not in EVENTS and event not in GROUPS:
        raise invalid_argument(
            "A specified event is not supported for notifications.", "Event", event
        )


def _filter_rules(one: dict[str, Any]) -> list[dict[str, str]]:
    made: list[dict[str, str]] = []
    seen: set[str] = set()
    for rule in ((one["Filter"].get("Key") or {}).get("FilterRules")) or ():
        if rule.get("Name") is None or rule.get("Value") is None:
            raise malformed_xml()
        name = rule["Name"]
        if name.lower() not in ("prefix", "suffix"):
            raise invalid_argument(
                "filter rule name must be either prefix or suffix", "FilterRule.Name", name
            )
        if name.lower() in seen:
            raise invalid_argument(
                f"Cannot specify more than one {name.lower()} rule in a filter.",
                "FilterRule",
                name.lower(),
            )
        seen.add(name.lower())
        value = rule.get("Value") or ""
        if len(value.encode()) > 1024:
            raise invalid_argument(
                "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation",
                "FilterRule.Value",
                value,
            )
        made.append({"Name": name.capitalize(), "Value": value})
    return made


def _check_overlap(rules: Sequence[Rule]) -> None:
    """No two rules may both be met by one object and event."""
    for a, b in combinations(rules, 2):
        shared = any(_covers(x, y) or _covers(y, x) for x in a.events for y in b.events)
        prefixes = a.prefix.startswith(b.prefix) or b.prefix.startswith(a.prefix)
        suffixes = a.suffix.endswith(b.suffix) or b.suffix.endswith(a.suffix)
        if shared and prefixes and suffixes:
            raise Fault(
                "InvalidArgument",
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules "
                "if the prefixes are overlapping for the same event type.",
                status=400,
            )
