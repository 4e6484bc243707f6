"""Object Lock's rules: what a write may ask for, what may be loosened, what may be removed."""

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
    not_offered,
)
from stratolite.services.s3.state import Bucket, Head

MODES = ("GOVERNANCE", "COMPLIANCE")
DEFAULT_DAYS_MAX = 36_500
_DAY_MS = 86_400_000
_PER_YEAR = 365
ASKING = frozenset({"ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus"})


def lock_missing() -> Fault:
    return invalid_request("Bucket is missing Object Lock Configuration")


def asked(call: Call, bucket: Bucket, request: Request) -> dict[str, Any]:
    """What a new version's ``more`` says about locks: the request's own, else the bucket's default."""
    made: dict[str, Any] = {}
    if not ASKING.isdisjoint(request):
        if "object-lock" not in bucket.on:
            raise lock_missing()
        mode, until = request.get("ObjectLockMode"), request.get("ObjectLockRetainUntilDate")
        if (mode is None) != (until is None):
            raise invalid_argument_alone(
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be "
                "supplied",
                "x-amz-object-lock-mode" if mode is None else "x-amz-object-lock-retain-until-date",
            )
        if mode is not None:
            check_mode(mode)
            made = {"mode": mode, "until_ms": check_date(call, until)}
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
            days = default.get("Days") or default["Years"] * _PER_YEAR
            until_ms = int(call.tx.time_s * 1000) + days * _DAY_MS
            made |= {"mode": default["Mode"], "until_ms": until_ms}
    return made


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
    if default.get("DefaultEventHold") is not None:
        raise not_offered("event holds")
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
    return {"Mode": default["Mode"], unit: count}


def _denied() -> Fault:
    return Fault(
        "AccessDenied", "Access Denied because object protected by object lock.", status=403
    )


def may_change(call: Call, head: Head, mode: str | None, until_ms: int, *, bypass: bool) -> None:
    """Whether a retention may become another one. Longer in the same mode always; looser seldom."""
    more = head.more
    if "mode" not in more or more["until_ms"] <= call.tx.time_s * 1000:
        return
    if mode == more["mode"] and until_ms >= more["until_ms"]:
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
    if "mode" in more and more["until_ms"] > call.tx.time_s * 1000:
        if more["mode"] == "GOVERNANCE" and bypass:
            return
        raise _denied()


def shown(head: Head) -> dict[str, Any]:
    """The members of GetObject's answer about locks."""
    more, told = head.more, {}
    if "mode" in more:
        told["ObjectLockMode"] = more["mode"]
        told["ObjectLockRetainUntilDate"] = more["until_ms"] / 1000
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
