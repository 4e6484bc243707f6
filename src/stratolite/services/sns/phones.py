"""Phone numbers: those whose owners want no more messages, and those of the SMS sandbox.

Nothing is ever sent, so an account here is out of the sandbox from the start and may publish to any number; numbers can be added to it and
verified all the same, with the password that the outbox has. A number opts out where its owner would answer STOP:
`stratolite outbox --stop NUMBER` (``doors``). What is for it then goes nowhere.

Source  https://docs.aws.amazon.com/sns/latest/dg/sms_manage.html#sms_manage_optout
        https://docs.aws.amazon.com/sns/latest/dg/sns-sms-sandbox.html
"""

from __future__ import annotations

import re

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.sns import outbox, state
from stratolite.services.sns.finding import invalid
from stratolite.services.sns.state import keys_of

PHONE = re.compile(r"\+?[1-9](?:[-./() ]?\d){3,18}")
_PAGE = 100
_SANDBOX_MAX = 10
_AGAIN_MS = 24 * 3_600_000
"""A pending number can be deleted at once, a verified one a day after it was verified."""
_OPT_IN_MS = 30 * 24 * 3_600_000
"""A number may be opted in once in 30 days."""
_NOT_DIGIT = re.compile(r"[^\d]")


def plain(number: str) -> str:
    """A number in the one form it is kept in."""
    return "+" + _NOT_DIGIT.sub("", number)


def stop(tx: Tx, keys: Keyspace, number: str) -> None:
    """Its owner answered STOP."""
    known = state.phone(tx, keys, "opted-out", number) or {}
    state.put_phone(tx, keys, "opted-out", number, {**known, "out": True})


def is_opted_out(tx: Tx, keys: Keyspace, number: str) -> bool:
    known = state.phone(tx, keys, "opted-out", plain(number))
    return known is not None and known["out"]


class Phones(Service):
    # -- opting out

    def check_if_phone_number_is_opted_out(self, call: Call, request: Request) -> Response:
        number = _number(request.get("phoneNumber"), "PhoneNumber")
        keys = keys_of(call.account, call.region)
        return {"isOptedOut": is_opted_out(call.tx, keys, number)}

    def list_phone_numbers_opted_out(self, call: Call, request: Request) -> Response:
        keys = keys_of(call.account, call.region)
        found: list[str] = []
        for number, record in state.phones(call.tx, keys, "opted-out", request.get("nextToken") or ""):  # fmt: skip
            if not record["out"]:
                continue
            if len(found) == _PAGE:
                return {"phoneNumbers": found, "nextToken": found[-1]}
            found.append(number)
        return {"phoneNumbers": found}

    def opt_in_phone_number(self, call: Call, request: Request) -> Response:
        number = _number(request.get("phoneNumber"), "PhoneNumber")
        keys, now_ms = keys_of(call.account, call.region), int(call.tx.time_s * 1000)
        known = state.phone(call.tx, keys, "opted-out", number)
        if known is None or not known["out"]:
            return {}
        if now_ms - known.get("in_ms", -_OPT_IN_MS) < _OPT_IN_MS:
            raise invalid(f"PhoneNumber Reason: {number} was opted in less than 30 days ago")
        state.put_phone(call.tx, keys, "opted-out", number, {"out": False, "in_ms": now_ms})
        return {}

    # -- the sandbox

    def get_sms_sandbox_account_status(self, call: Call, request: Request) -> Response:
        return {"IsInSandbox": False}

    def create_sms_sandbox_phone_number(self, call: Call, request: Request) -> Response:
        number, keys = _number(request.get("PhoneNumber"), "PhoneNumber"), keys_of(call.account, call.region)  # fmt: skip
        if is_opted_out(call.tx, keys, number):
            raise Fault("OptedOut", f"{number} is opted out", status=400)
        known = state.phone(call.tx, keys, "sandbox", number)
        if known is not None and known["status"] == "Verified":
            raise Fault("UserError", f"{number} is already verified", status=400)
        if known is None and sum(1 for _ in state.phones(call.tx, keys, "sandbox", "")) >= _SANDBOX_MAX:  # fmt: skip
            raise Fault("UserError", f"The account has {_SANDBOX_MAX} numbers in its sandbox", status=400)  # fmt: skip
        password = f"{int.from_bytes(call.world.token(4)) % 1_000_000:06d}"
        state.put_phone(call.tx, keys, "sandbox", number, {"status": "Pending", "password": password})  # fmt: skip
        text = f"Your verification code is {password}."
        outbox.put(call.tx, keys, outbox.Mail("sms", number, None, text, "", call.world.uuid()))
        return {}

    def verify_sms_sandbox_phone_number(self, call: Call, request: Request) -> Response:
        number, keys = _number(request.get("PhoneNumber"), "PhoneNumber"), keys_of(call.account, call.region)  # fmt: skip
        known = _known(call, keys, number)
        if known["status"] == "Pending":
            if request.get("OneTimePassword") != known["password"]:
                raise Fault("VerificationException", "The one-time password does not match", status=400)  # fmt: skip
            verified = {"status": "Verified", "verified_ms": int(call.tx.time_s * 1000)}
            state.put_phone(call.tx, keys, "sandbox", number, verified)
        return {}

    def delete_sms_sandbox_phone_number(self, call: Call, request: Request) -> Response:
        number, keys = _number(request.get("PhoneNumber"), "PhoneNumber"), keys_of(call.account, call.region)  # fmt: skip
        known = _known(call, keys, number)
        if call.tx.time_s * 1000 - known.get("verified_ms", -_AGAIN_MS) < _AGAIN_MS:
            raise Fault("UserError", f"{number} was verified less than 24 hours ago", status=400)
        state.drop_phone(call.tx, keys, "sandbox", number)
        return {}

    def list_sms_sandbox_phone_numbers(self, call: Call, request: Request) -> Response:
        keys, most = keys_of(call.account, call.region), request.get("MaxResults") or _PAGE
        found: list[Response] = []
        for number, record in state.phones(call.tx, keys, "sandbox", request.get("NextToken") or ""):  # fmt: skip
            if len(found) == most:
                return {"PhoneNumbers": found, "NextToken": found[-1]["PhoneNumber"]}
            found.append({"PhoneNumber": number, "Status": record["status"]})
        return {"PhoneNumbers": found}

    def list_origination_numbers(self, call: Call, request: Request) -> Response:
        """Numbers are bought from AWS; an account that bought none has none."""
        return {"PhoneNumbers": []}


def _number(given: str | None, parameter: str) -> str:
    if not given or not PHONE.fullmatch(given):
        raise invalid(f"{parameter} Reason: input incorrectly formatted")
    return plain(given)


def _known(call: Call, keys: Keyspace, number: str) -> state.Record:
    known = state.phone(call.tx, keys, "sandbox", number)
    if known is None:
        raise Fault("ResourceNotFound", f"{number} is not in the sandbox", status=404)
    return known
