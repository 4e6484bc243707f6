"""Object Lock's rules: what a write may ask for, what may be loosened, what may be removed.

A version under an event hold is retained until so long after the hold's release, and so until then without end: its
retain-until-date moves with the clock. It never comes before the date that was set beside the hold.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.s3 import state
from stratolite.services.s3.faults import (
    invalid_argument,
    invalid_argument_alone,
    invalid_request,
    malformed_xml,
)
from stratolite.services.s3.state import Bucket, Head

MODES = ("GOVERNANCE", "COMPLIANCE")
DEFAULT_DAYS_MAX = 36_500
_DAY_MS = 86_400_000
_PER_YEAR = 365
DEFAULT_YEARS_MAX = 100
ASKING = frozenset(
    {
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ObjectLockLegalHoldStatus",
        "ObjectLockEventHold",
        "ObjectLockEventHoldDurationDays",
        "ObjectLockEventHoldDurationYears",
    }
)
Event = list[Any]
"""Of a version under an event hold [unit, count], of one whose hold was released []."""


def lock_missing() -> Fault:
    return invalid_request("Bucket is missing Object Lock Configuration")


def asked(call: Call, bucket: Bucket, request: Request) -> dict[str, Any]:
    """What a new version's ``more`` says about locks: the request's own, else the bucket's default."""
    made: dict[str, Any] = {}
    if not ASKING.isdisjoint(request):
        if "object-lock" not in bucket.on:
            raise lock_missing()
        mode, until = request.get("ObjectLockMode"), request.get("ObjectLockRetainUntilDate")
        event = event_of(
            request.get("ObjectLockEventHold"),
            request.get("ObjectLockEventHoldDurationDays"),
            request.get("ObjectLockEventHoldDurationYears"),
        )
        if event is not None and mode is None:
            raise invalid_request("An event hold requires a retention mode.")
        if (mode is None) != (until is None) and not (event and until is None):
            raise invalid_argument_alone(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be "
                "supplied",
                "x-amz-object-lock-mode" if mode is None else "x-amz-object-lock-retain-until-date",
            )
        if mode is not None:
            check_mode(mode)
            made = {"mode": mode, "until_ms": 0 if until is None else check_date(call, until)}
            if event is not None:
                made["event"] = event
        hold = request.get("ObjectLockLegalHoldStatus")
        if hold is not None:
            if hold not in ("ON", "OFF"):
                raise invalid_argument(
                    "Legal Hold must be either of 'ON' or 'OFF'",
                    "x-amz-object-lock-legal-hold",
                    hold,
                )
            made["hold"] = hold == "ON"
    if "mode" not in made and "object-lock" in bucket.on:
        config = state.config(call.tx, bucket, "object-lock") or {}
        default = (config.get("Rule") or {}).get("DefaultRetention")
        if default:
            now_ms = int(call.tx.time_s * 1000)
            made |= {"mode": default["Mode"], "until_ms": 0}
            for unit in ("Days", "Years"):
                if unit in default:
                    made["until_ms"] = now_ms + lasts_ms([unit, default[unit]])
                if unit in (default.get("DefaultEventHold") or {}):
                    made["event"] = [unit, default["DefaultEventHold"][unit]]
    return made


def event_of(status: str | None, days: int | None, years: int | None) -> Event | None:
    """What a request says of an event hold, None if nothing. Raises Fault."""
    said: list[Event] = [
        [unit, n] for unit, n in (("Days", days), ("Years", years)) if n is not None
    ]
    if status is None and not said:
        return None
    if status not in ("ON", "OFF"):
        raise invalid_argument("Event Hold must be either of 'ON' or 'OFF'", "x-amz-object-lock-event-hold", status)  # fmt: skip
    if len(said) != (status == "ON"):
        raise invalid_request(
            "An event hold that is ON requires exactly one duration, in days or in years; one that is OFF none."
        )
    for unit, count in said:
        if not 1 <= count <= (DEFAULT_DAYS_MAX if unit == "Days" else DEFAULT_YEARS_MAX):
            raise invalid_argument(
                "Event hold duration must be between 1 and 36500 days or 100 years.", unit, count
            )
    return said[0] if said else []


def lasts_ms(event: Event) -> int:
    unit, count = event
    return int(count) * (_PER_YEAR if unit == "Years" else 1) * _DAY_MS


def ends_ms(more: dict[str, Any], now_ms: int) -> int:
    """The retain-until-date of what has a mode, as it is now."""
    fixed: int = more["until_ms"]
    event = more.get("event")
    return max(fixed, now_ms + lasts_ms(event)) if event else fixed


def check_mode(mode: str) -> None:
    if mode not in MODES:
        raise invalid_argument("Unknown wormMode directive.", "x-amz-object-lock-mode", mode)


def check_date(call: Call, until: Any) -> int:
    """Milliseconds of a retention's end. Raises Fault for one that is past."""
    if not isinstance(until, (int, float)):
        raise malformed_xml()
    if until <= call.tx.time_s:
        raise invalid_argument(
            "The retain until date must be in the future!",
            "x-amz-object-lock-retain-until-date",
            until,
        )
    return int(until * 1000)


def check_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """A default retention as it is kept. Raises Fault."""
    default = rule.get("DefaultRetention")
    if not default or default.get("Mode") not in MODES:
        raise malformed_xml()
    held = default.get("DefaultEventHold")
    kept: dict[str, Any] = {"Mode": default["Mode"]}
    if held is not None:
        event = event_of("ON", held.get("Days"), held.get("Years"))
        assert event
        kept["DefaultEventHold"] = {event[0]: event[1]}
        if "Days" not in default and "Years" not in default:
            return kept
    if ("Days" in default) == ("Years" in default):
        raise malformed_xml()
    unit = "Days" if "Days" in default else "Years"
    count = default[unit]
    if count <= 0:
        raise invalid_argument(
            "Default retention period must be a positive integer value.", unit, count
        )
    if count * (_PER_YEAR if unit == "Years" else 1) > DEFAULT_DAYS_MAX:
        raise invalid_argument("Default retention period too large", unit, count)
    return {**kept, unit: count}


def _denied() -> Fault:
    return Fault(
        "AccessDenied", "Access Denied because object protected by object lock.", status=403
    )


def may_change(call: Call, head: Head, wanted: dict[str, Any], *, bypass: bool) -> None:
    """Whether a retention may become ``wanted``, as in ``more``. Longer in the same mode always; looser seldom.

    Whoever may set retentions may release an event hold: the duration begins to run.
    """
    more, now_ms = head.more, int(call.tx.time_s * 1000)
    if "mode" not in more or ends_ms(more, now_ms) <= now_ms:
        return
    if wanted.get("mode") == more["mode"] and ends_ms(wanted, now_ms) >= ends_ms(more, now_ms):
        return
    if more["mode"] == "GOVERNANCE" and bypass:
        return
    raise _denied()


def may_remove(call: Call, head: Head, *, bypass: bool) -> None:
    more = head.more
    if not more:
        return
    if more.get("hold"):
        raise _denied()
    now_ms = int(call.tx.time_s * 1000)
    if "mode" in more and ends_ms(more, now_ms) > now_ms:
        if more["mode"] == "GOVERNANCE" and bypass:
            return
        raise _denied()


def shown(call: Call, head: Head) -> dict[str, Any]:
    """The members of GetObject's answer about locks."""
    more, told = head.more, {}
    if "mode" in more:
        told["ObjectLockMode"] = more["mode"]
        told["ObjectLockRetainUntilDate"] = ends_ms(more, int(call.tx.time_s * 1000)) / 1000
    if "event" in more:
        told["ObjectLockEventHold"] = "ON" if more["event"] else "OFF"
        if more["event"]:
            unit, count = more["event"]
            told[f"ObjectLockEventHoldDuration{unit}"] = count
    if "hold" in more:
        told["ObjectLockLegalHoldStatus"] = "ON" if more["hold"] else "OFF"
    return told


def check_bypass(bucket: Bucket, request: Request) -> None:
    """Whether a delete may speak of it at all, be it to say no."""
    if "BypassGovernanceRetention" in request and "object-lock" not in bucket.on:
        raise invalid_argument_alone(
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            "x-amz-bypass-governance-retention",
        )
