"""Parameter policies of advanced parameters: when one expires, and what is told before that or when nothing changes.

A policy in a record: {type, text, status, due_s, job}. due_s: when it is carried out, on the cloud clock; job: the pending one's id
in base64, "" when it is done. An Expiration deletes the parameter; the other two tell the account's bus.

    ssm.policy   {account, region, name, type}: one policy whose time has come

Source  https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-policies.html
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault
from stratolite.service import Call
from stratolite.services.ssm.names import invalid

QUEUE = "ssm.policy"
_POLICIES_MAX = 10
_UNITS_S = {"days": 86_400, "hours": 3_600}
_ATTRIBUTES = {
    "Expiration": {"Timestamp"},
    "ExpirationNotification": {"Before", "Unit"},
    "NoChangeNotification": {"After", "Unit"},
}
Policy = dict[str, Any]


def read(text: str, now_s: float) -> list[Policy]:
    """The policies of a PutParameter, none of them begun. Raises Fault, in the kinds of AWS's model."""
    try:
        given = orjson.loads(text or "[]")
    except orjson.JSONDecodeError as error:
        raise _bad_attribute(f"Policies must be a JSON array: {error}") from error
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise _bad_attribute("Policies must be a JSON array of objects")
    given = [one for one in given if one]  # [{}] takes all of them away
    if len(given) > _POLICIES_MAX:
        raise Fault("PoliciesLimitExceededException", f"You specified more than the maximum number of allowed policies for the parameter. The maximum is {_POLICIES_MAX}.")  # fmt: skip
    found = [_policy(one) for one in given]
    ends = [p["end_s"] for p in found if p["type"] == "Expiration"]
    if len(ends) > 1:
        raise Fault("IncompatiblePolicyException", "There is a conflict in the policies specified for this parameter. You can't, for example, specify two Expiration policies for a parameter. Review your policies, and try again.")  # fmt: skip
    if ends and ends[0] <= now_s:
        raise _bad_attribute("The Timestamp of an Expiration policy must be in the future.")
    if not ends and any(p["type"] == "ExpirationNotification" for p in found):
        raise Fault("IncompatiblePolicyException", "An ExpirationNotification policy needs an Expiration policy beside it.")  # fmt: skip
    return found


def _policy(one: dict[str, Any]) -> Policy:
    kind, attributes = one.get("Type"), one.get("Attributes")
    if kind not in _ATTRIBUTES:
        raise Fault("InvalidPolicyTypeException", f"The policy type isn't supported. Parameter Store supports the following policy types: Expiration, ExpirationNotification, and NoChangeNotification. Given: {kind}")  # fmt: skip
    if one.get("Version", "1.0") != "1.0":
        raise _bad_attribute(f"Version {one['Version']} of a {kind} policy is not 1.0.")
    if not isinstance(attributes, dict) or set(attributes) != _ATTRIBUTES[kind]:
        wanted = " and ".join(sorted(_ATTRIBUTES[kind]))
        raise _bad_attribute(f"The attributes of a {kind} policy are {wanted}.")
    made: Policy = {
        "type": kind,
        "text": orjson.dumps(one).decode(),
        "status": "Pending",
        "job": "",
    }
    if kind == "Expiration":
        return {**made, "end_s": _instant(attributes["Timestamp"])}
    return {**made, "span_s": _span(kind, attributes)}


def _instant(text: Any) -> float:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise _bad_attribute(f"The Timestamp {text} of an Expiration policy is not a date and time in ISO 8601.") from error  # fmt: skip
    if when.tzinfo is None:
        raise _bad_attribute(f"The Timestamp {text} of an Expiration policy has no time zone.")
    return when.astimezone(UTC).timestamp()


def _span(kind: str, attributes: dict[str, Any]) -> float:
    count, unit = str(attributes.get("Before", attributes.get("After"))), str(attributes["Unit"])
    if not count.isascii() or not count.isdigit() or not 1 <= int(count) <= 100_000:
        raise _bad_attribute(f"A {kind} policy needs a whole number of days or hours, not {count}.")
    if unit.lower() not in _UNITS_S:
        raise _bad_attribute(f"The Unit of a {kind} policy is Days or Hours, not {unit}.")
    return float(int(count) * _UNITS_S[unit.lower()])


def _bad_attribute(message: str) -> Fault:
    return Fault("InvalidPolicyAttributeException", message)


def need_advanced() -> Fault:
    return invalid("Parameter policies are available for parameters in the advanced tier only. To use them, upgrade the parameter to the advanced-parameter tier.")  # fmt: skip


def start(call: Call, name: str, policies: list[Policy], before: list[Policy]) -> None:
    """Leave a job for each that is still to come; those of ``before`` are taken back.

    An Expiration keeps its time through updates of the value; a NoChangeNotification counts from each of them anew.
    """
    stop(call, before)
    end_s = next((p["end_s"] for p in policies if p["type"] == "Expiration"), 0.0)
    for policy in policies:
        kind = policy["type"]
        if kind == "NoChangeNotification":
            policy |= {"due_s": call.tx.time_s + policy["span_s"], "status": "Pending"}
        else:
            policy["due_s"] = end_s - policy.get("span_s", 0.0)
        if policy["status"] == "Pending":
            said = {"account": call.account, "region": call.region, "name": name, "text": policy["text"]}  # fmt: skip
            job = work.put(call.tx, QUEUE, orjson.dumps(said), due_s=policy["due_s"])
            policy["job"] = base64.b64encode(job).decode()


def stop(call: Call, policies: list[Policy]) -> None:
    for policy in policies:
        if policy["job"]:
            work.cancel(call.tx, base64.b64decode(policy["job"]))
            policy["job"] = ""


def shown(policies: list[Policy]) -> list[dict[str, str]]:
    return [
        {"PolicyText": p["text"], "PolicyType": p["type"], "PolicyStatus": p["status"]}
        for p in policies
    ]
