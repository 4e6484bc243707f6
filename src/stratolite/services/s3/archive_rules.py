"""Archived storage classes: their objects must be restored before they are read, and for how long that holds.

The body lies where all others lie, so a restore is done as soon as it is asked for.
Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html
"""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.s3.faults import invalid_argument, malformed_xml, not_offered
from stratolite.services.s3.state import Head

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
_DAY_S = 86_400
_TIERS = ("Standard", "Bulk", "Expedited")


def midnight_after(time_s: float) -> int:
    """The first midnight, UTC, not before ``time_s``."""
    return -int(-time_s // _DAY_S) * _DAY_S


def is_restored(call: Call, head: Head) -> bool:
    return bool(head.more.get("restored_ms", 0) > call.tx.time_s * 1000)


def check_readable(call: Call, head: Head) -> None:
    if head.storage_class in ARCHIVED and not is_restored(call, head):
        raise Fault(
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            status=403,
            StorageClass=head.storage_class,
        )


def shown(call: Call, head: Head) -> dict[str, str]:
    if not is_restored(call, head):
        return {}
    until = formatdate(head.more["restored_ms"] // 1000, usegmt=True)
    return {"Restore": f'ongoing-request="false", expiry-date="{until}"'}


def restore(call: Call, head: Head, wanted: dict[str, Any]) -> bool:
    """Make it readable for the days asked for; whether it was already. Raises Fault."""
    if any(wanted.get(m) is not None for m in ("Type", "SelectParameters", "OutputLocation")):
        raise not_offered("restore of type SELECT")
    if head.storage_class not in ARCHIVED:
        raise Fault(
            "InvalidObjectState",
            "Restore is not allowed for the object's current storage class",
            status=403,
            StorageClass=head.storage_class,
        )
    days = wanted.get("Days")
    if days is None:
        raise malformed_xml()
    if days < 1:
        raise invalid_argument("Restoration days should be at least 1", "Days", days)
    tier = (wanted.get("GlacierJobParameters") or {}).get("Tier") or wanted.get("Tier")
    if tier is not None and tier not in _TIERS:
        raise malformed_xml()
    already = is_restored(call, head)
    until_s = midnight_after(call.tx.time_s + days * _DAY_S)
    head.more = {**head.more, "restored_ms": until_s * 1000}
    return already
