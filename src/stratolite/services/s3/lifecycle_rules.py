"""Lifecycle configurations: what is accepted, and when which rule means an object.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
"""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import formatdate
from typing import Any, NamedTuple

import orjson

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.s3 import names
from stratolite.services.s3.archive_rules import midnight_after
from stratolite.services.s3.faults import invalid_argument, invalid_request, malformed_xml
from stratolite.services.s3.state import Bucket, Head

RULES_COUNT_MAX = 1000
ID_LENGTH_MAX = 255
_DAY_S = 86_400
_IA_DAYS_MIN = 30
VARIES = "varies_by_storage_class"
SMALL_BYTES = 128 << 10
"""Objects below it stay in their storage class, unless a rule's size filter says otherwise."""
_ORDER = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)
"""Transitions go down this list. https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html"""
_ANY_SIZE = ("GLACIER", "DEEP_ARCHIVE")
_ACTIONS = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionTransitions",
    "AbortIncompleteMultipartUpload",
)


class Rule(NamedTuple):
    id: str
    enabled: bool
    prefix: str
    tags: dict[str, str]
    above: int
    """Only objects larger than this; -1: all."""
    below: int
    said: dict[str, Any]
    varies: bool = False
    """Whether small objects move, too, to the classes that take any size: GLACIER and DEEP_ARCHIVE."""

    def meets(self, key: str, head: Head) -> bool:
        return (
            self.enabled
            and key.startswith(self.prefix)
            and self.above < head.size_bytes < self.below
            and all(head.tags.get(k) == v for k, v in self.tags.items())
        )


def parse(raw: bytes) -> tuple[Rule, ...]:
    """The rules of a stored configuration, for ``tx.parsed``."""
    said = orjson.loads(raw)
    varies = said["Small"] == VARIES
    return tuple(_rule(one)._replace(varies=varies) for one in said["Rules"])


def _rule(said: dict[str, Any]) -> Rule:
    given = said.get("Filter") or {}
    parts = given.get("And") or given
    tags = list(parts.get("Tags") or ()) + ([parts["Tag"]] if parts.get("Tag") else [])
    above = parts.get("ObjectSizeGreaterThan")
    below = parts.get("ObjectSizeLessThan")
    return Rule(
        said["ID"],
        said["Status"] == "Enabled",
        parts.get("Prefix") or said.get("Prefix") or "",
        {tag["Key"]: tag["Value"] for tag in tags},
        -1 if above is None else above,
        1 << 62 if below is None else below,
        said,
    )


def rules(call: Call, bucket: Bucket) -> Sequence[Rule]:
    return call.tx.parsed(bucket.config.key("lifecycle"), parse) or ()


# -- when


def due_s(action: dict[str, Any], days_name: str, since_s: float) -> float:
    """When an action is due for something that began at ``since_s``; infinity if it says no time."""
    if "Date" in action:
        return float(action["Date"])
    days = action.get(days_name)
    return midnight_after(since_s + days * _DAY_S) if days is not None else float("inf")


def expires(rules: Sequence[Rule], key: str, head: Head) -> tuple[float, Rule | None]:
    """(when, by which rule) the current version expires; infinity for never."""
    best: tuple[float, Rule | None] = (float("inf"), None)
    for rule in rules:
        action = rule.said.get("Expiration")
        if action and rule.meets(key, head):
            when = due_s(action, "Days", head.modified_ms / 1000)
            if when < best[0]:
                best = (when, rule)
    return best


def moves(
    rules: Sequence[Rule],
    key: str,
    head: Head,
    now_s: float,
    noncurrent_since_s: float | None = None,
    newer_count: int = 0,
) -> tuple[str, float]:
    """(storage class to move to now or "", when the next move is due); ``newer_count``: noncurrent versions newer than it."""
    member, days = "Transitions", "Days"
    since_s = head.modified_ms / 1000
    if noncurrent_since_s is not None:
        member, days = "NoncurrentVersionTransitions", "NoncurrentDays"
        since_s = noncurrent_since_s
    target, following = "", float("inf")
    depth = _ORDER.index(head.storage_class) if head.storage_class in _ORDER else 0
    for rule in rules:
        if not rule.said.get(member) or not rule.meets(key, head):
            continue
        small = head.size_bytes < SMALL_BYTES and rule.above < 0 and rule.below > 1 << 61
        for action in rule.said[member]:
            if small and not (rule.varies and action["StorageClass"] in _ANY_SIZE):
                continue
            if newer_count < (action.get("NewerNoncurrentVersions") or 0):
                continue
            below = _ORDER.index(action["StorageClass"])
            if below <= depth:
                continue
            when = due_s(action, days, since_s)
            if when <= now_s:
                target, depth = action["StorageClass"], below
            else:
                following = min(following, when)
    return target, following


def noncurrent_expires(
    rules: Sequence[Rule], key: str, head: Head, since_s: float, newer_count: int
) -> float:
    best = float("inf")
    for rule in rules:
        action = rule.said.get("NoncurrentVersionExpiration")
        if action and rule.meets(key, head):
            if newer_count < (action.get("NewerNoncurrentVersions") or 0):
                continue
            best = min(best, due_s(action, "NoncurrentDays", since_s))
    return best


def marker_expires(rules: Sequence[Rule], key: str, marker: Head) -> float:
    """Of a delete marker that is all there is left of its key."""
    best = float("inf")
    for rule in rules:
        action = rule.said.get("Expiration")
        if not action or not rule.enabled or rule.tags or not key.startswith(rule.prefix):
            continue
        if action.get("ExpiredObjectDeleteMarker"):
            best = 0.0
        else:
            best = min(best, due_s(action, "Days", marker.modified_ms / 1000))
    return best


def upload_expires(rules: Sequence[Rule], key: str, initiated_s: float) -> float:
    best = float("inf")
    for rule in rules:
        action = rule.said.get("AbortIncompleteMultipartUpload")
        if action and rule.enabled and key.startswith(rule.prefix):
            best = min(best, due_s(action, "DaysAfterInitiation", initiated_s))
    return best


def shown(call: Call, bucket: Bucket, key: str, head: Head) -> dict[str, str]:
    """x-amz-expiration of an object that a rule will expire."""
    when, rule = expires(rules(call, bucket), key, head)
    if rule is None:
        return {}
    text = formatdate(when, usegmt=True)
    return {"Expiration": f'expiry-date="{text}", rule-id="{rule.id}"'}


# -- what is accepted


def checked(given: dict[str, Any], new_id: Any) -> list[dict[str, Any]]:
    """The rules as they are kept. Raises Fault."""
    listed = given.get("Rules") or []
    if not 0 < len(listed) <= RULES_COUNT_MAX:
        raise malformed_xml()
    ids: set[str] = set()
    kept = []
    for one in listed:
        rule = {**one, "ID": one.get("ID") or new_id()}
        if len(rule["ID"]) > ID_LENGTH_MAX:
            raise invalid_argument(
                f"ID length should not exceed allowed limit of {ID_LENGTH_MAX}", "ID", rule["ID"]
            )
        if rule["ID"] in ids:
            raise invalid_argument(
                "Rule ID must be unique. Found same ID for more than one rule", "ID", rule["ID"]
            )
        ids.add(rule["ID"])
        _check_rule(rule)
        kept.append(rule)
    return kept


def _check_rule(rule: dict[str, Any]) -> None:
    if rule.get("Status") not in ("Enabled", "Disabled"):
        raise malformed_xml()
    if ("Filter" in rule) == ("Prefix" in rule):
        raise malformed_xml()
    _check_filter(rule.get("Filter") or {})
    if not any(rule.get(action) for action in _ACTIONS):
        raise invalid_request("At least one action needs to be specified in a rule")
    tagged = bool(_rule(rule).tags)
    expiration = rule.get("Expiration")
    if expiration is not None:
        said = [m for m in ("Days", "Date", "ExpiredObjectDeleteMarker") if m in expiration]
        if len(said) != 1:
            raise malformed_xml()
        _check_when(expiration, "Days", "Expiration")
        if tagged and "ExpiredObjectDeleteMarker" in expiration:
            raise invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags.")
    for action in rule.get("Transitions") or ():
        _check_transition(action, "Days", "Transition")
        days, last = action.get("Days"), (expiration or {}).get("Days")
        if days is not None and last is not None and last <= days:
            raise invalid_argument(
                f"'Days' in the Expiration action for filter '(prefix={_rule(rule).prefix})' must "
                "be greater than 'Days' in the Transition action",
                "Days",
                last,
            )
    for action in rule.get("NoncurrentVersionTransitions") or ():
        _check_transition(action, "NoncurrentDays", "NoncurrentVersionTransition")
        _check_newer(action)
    noncurrent = rule.get("NoncurrentVersionExpiration")
    if noncurrent is not None:
        if not {"NoncurrentDays", "NewerNoncurrentVersions"} & noncurrent.keys():
            raise malformed_xml()
        if "NoncurrentDays" not in noncurrent:
            raise malformed_xml()
        _check_when(noncurrent, "NoncurrentDays", "NoncurrentVersionExpiration")
        _check_newer(noncurrent)
    abort = rule.get("AbortIncompleteMultipartUpload")
    if abort is not None:
        if "DaysAfterInitiation" not in abort:
            raise malformed_xml()
        _check_when(abort, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
        if tagged:
            raise invalid_request("AbortIncompleteMultipartUpload cannot be specified with Tags.")


def _check_filter(given: dict[str, Any]) -> None:
    if len(given) > 1:
        raise malformed_xml()
    parts = given.get("And")
    if parts is not None:
        count = sum(1 for m in parts if m != "Tags") + len(parts.get("Tags") or ())
        if count < 2:
            raise malformed_xml()
    else:
        parts = given
    tags = list(parts.get("Tags") or ()) + ([parts["Tag"]] if parts.get("Tag") else [])
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise invalid_request("Duplicate Tag Keys are not allowed.")
    names.tags_of_set(tags)
    above, below = parts.get("ObjectSizeGreaterThan"), parts.get("ObjectSizeLessThan")
    if above is not None and below is not None and above >= below:
        raise invalid_request(
            "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."
        )


def _check_newer(action: dict[str, Any]) -> None:
    newer = action.get("NewerNoncurrentVersions")
    if newer is not None and not 1 <= newer <= 100:
        raise invalid_argument(
            "'NewerNoncurrentVersions' must be an integer between 1 and 100",
            "NewerNoncurrentVersions",
            newer,
        )


def _check_when(action: dict[str, Any], days_name: str, name: str) -> None:
    if days_name in action and "Date" in action:
        raise malformed_xml()
    days = action.get(days_name)
    if days is not None and days < (0 if name.endswith("Transition") else 1):
        kind = "non-negative" if name.endswith("Transition") else "positive"
        raise invalid_argument(
            f"'{days_name}' for {name} action must be a {kind} integer", days_name, days
        )
    date = action.get("Date")
    if date is not None and float(date) % _DAY_S:
        raise Fault("InvalidArgument", "'Date' must be at midnight GMT", status=400)


def _check_transition(action: dict[str, Any], days_name: str, name: str) -> None:
    target = action.get("StorageClass")
    if target not in _ORDER or target in ("STANDARD", "REDUCED_REDUNDANCY"):
        raise malformed_xml()
    if (days_name in action) == ("Date" in action):
        raise malformed_xml()
    _check_when(action, days_name, name)
    days = action.get(days_name)
    if target in ("STANDARD_IA", "ONEZONE_IA") and days is not None and days < _IA_DAYS_MIN:
        raise invalid_argument(
            f"'{days_name}' in {name} action must be greater than or equal to {_IA_DAYS_MIN} for "
            f"storageClass '{target}'",
            days_name,
            days,
        )
