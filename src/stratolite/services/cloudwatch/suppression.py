"""Composite alarms whose actions wait for another alarm: held back while the suppressor is in ALARM, and a while around it.

A composite alarm with a suppressor that changes its state is held by the suppressor (Alarm), or for the wait period in which the
suppressor may still go to ALARM (WaitPeriod); when the suppressor leaves ALARM, for the extension period (ExtensionPeriod). Then
its actions are carried out, unless it is back where it was by then. Held is kept in its record as ``suppressed``: {by, until_ms or
null, old: the record before, base: the state whose actions were last carried out}; the end is a job ``cloudwatch.release`` in the
transaction that sets it.

Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-suppression.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.service import Call
from stratolite.services.cloudwatch import state
from stratolite.services.cloudwatch.state import Record, keys_of

RELEASE = "cloudwatch.release"
SETTINGS = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")


def name_of(suppressor: str) -> str:
    """Of an alarm that is given by name or ARN."""
    return suppressor.split(":alarm:", 1)[-1] if suppressor.startswith("arn:") else suppressor


def held(call: Call, fresh: Record, old: Record) -> tuple[Record | None, bool]:
    """(what holds the actions of a change of state, whether they are carried out now)."""
    settings, before = fresh["settings"], old.get("suppressed")
    if not settings.get("ActionsSuppressor") or not settings["ActionsEnabled"]:
        return None, True
    base = before["base"] if before else old["state"]
    if fresh["state"] == base:
        return None, before is None
    kept = {"base": base, "old": {**old, "suppressed": None}}
    suppressor = state.alarm(call.tx, keys_of(call.account, call.region), fresh["suppressor"])
    if suppressor is not None and suppressor["state"] == "ALARM":
        return {**kept, "by": "Alarm", "until_ms": None}, False
    if before and before["by"] == "ExtensionPeriod":
        return {**kept, "by": "ExtensionPeriod", "until_ms": before["until_ms"]}, False
    found = _timed(call, fresh, kept, "WaitPeriod")
    return found, found is None


def suppressor_changed(call: Call, name: str, before: str, after: str) -> list[Record]:
    """Those that an alarm held and holds no longer, whose actions are to be carried out now."""
    keys = keys_of(call.account, call.region)
    found: list[Record] = []
    if before == after or "ALARM" not in (before, after):
        return found
    for composite in state.suppressed_by(call.tx, keys, name):
        alarm = state.alarm(call.tx, keys, composite)
        suppressed: Any = alarm and alarm.get("suppressed")
        if alarm is None or not suppressed:
            continue
        changed: Record | None = {**suppressed, "by": "Alarm", "until_ms": None}
        if after != "ALARM":
            changed = _timed(call, alarm, suppressed, "ExtensionPeriod")
        if changed is None:
            found.append(alarm)
        else:
            state.put_alarm(call.tx, keys, {**alarm, "suppressed": changed})
    return found


def due(call: Call, name: str, until_ms: int) -> Record | None:
    """The alarm whose time of being held ends now, None for one that is held otherwise since."""
    alarm = state.alarm(call.tx, keys_of(call.account, call.region), name)
    suppressed = alarm and alarm.get("suppressed")
    return alarm if suppressed and suppressed["until_ms"] == until_ms else None


def _timed(call: Call, alarm: Record, kept: Record, by: str) -> Record | None:
    """None for a period of no time."""
    period_s = alarm["settings"][f"ActionsSuppressor{by}"]
    if not period_s:
        return None
    until_ms = int(call.tx.time_s * 1000) + period_s * 1000
    said = {
        "account": call.account,
        "region": call.region,
        "name": alarm["name"],
        "until_ms": until_ms,
    }
    call.cloud.work.put(call.tx, RELEASE, orjson.dumps(said), due_s=until_ms / 1000)
    return {**kept, "by": by, "until_ms": until_ms}
