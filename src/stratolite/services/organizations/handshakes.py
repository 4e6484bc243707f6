"""How an account that stands alone comes into an organization: it is invited and accepts.

Source  https://docs.aws.amazon.com/organizations/latest/APIReference/API_InviteAccountToOrganization.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.organizations import state
from stratolite.services.organizations.tree import Member, identity, management

_OPEN_S = 15 * 86_400
_OPEN_COUNT_MAX = 20


class Handshakes:
    """Mixed into ``Organizations``."""

    def join(
        self, call: Call, found: Member, account: str, name: str, email: str, method: str
    ) -> dict[str, Any]:
        raise NotImplementedError

    def invite_account_to_organization(self, call: Call, request: Request) -> Response:
        found, target = management(call), request["Target"]
        account = target["Id"]
        if target["Type"] != "ACCOUNT" or not re.fullmatch(r"\d{12}", account):
            raise Fault(
                "InvalidInputException",
                "Target must be the ACCOUNT type with twelve digits; EMAIL is not offered by Stratolite",
            )
        if state.organization_of(call.tx, account) is not None:
            raise Fault(
                "HandshakeConstraintViolationException",
                "The account is already a member of an organization.",
                Reason="ALREADY_IN_AN_ORGANIZATION",
            )
        waiting = [_load(call, h) for h, _ in state.edges(call.tx, "inviting", found.id)]
        if any(h["Account"] == account and _state(call, h) == "OPEN" for h in waiting):
            raise Fault(
                "DuplicateHandshakeException",
                "A handshake with the same action and target already exists.",
            )
        if sum(_state(call, h) == "OPEN" for h in waiting) >= _OPEN_COUNT_MAX:
            raise Fault(
                "ConstraintViolationException",
                "Too many handshakes are open.",
                Reason="HANDSHAKE_RATE_LIMIT_EXCEEDED",
            )
        name, now_s = identity(call, "h-", 12), int(call.tx.time_s)
        record = {
            "Id": name,
            "Organization": found.id,
            "Master": call.account,
            "Account": account,
            "State": "OPEN",
            "RequestedTimestamp": now_s,
            "ExpirationTimestamp": now_s + _OPEN_S,
            "Notes": request.get("Notes", ""),
        }
        state.put(call.tx, record, "handshake", name)
        state.edge(call.tx, "invited", account, name)
        state.edge(call.tx, "inviting", found.id, name)
        return {"Handshake": _shown(call, record)}

    def accept_handshake(self, call: Call, request: Request) -> Response:
        record = _own(call, request, "Account")
        if state.organization_of(call.tx, call.account) is not None:
            raise Fault(
                "HandshakeConstraintViolationException",
                "The account is already a member of an organization.",
                Reason="ALREADY_IN_AN_ORGANIZATION",
            )
        organization = state.get(call.tx, "organization", record["Organization"])
        if organization is None:
            raise _none()
        found = Member(record["Organization"], organization)
        self.join(
            call, found, call.account, call.account, f"{call.account}@stratolite.invalid", "INVITED"
        )
        return _ended(call, record, "ACCEPTED")

    def decline_handshake(self, call: Call, request: Request) -> Response:
        return _ended(call, _own(call, request, "Account"), "DECLINED")

    def cancel_handshake(self, call: Call, request: Request) -> Response:
        return _ended(call, _own(call, request, "Master"), "CANCELED")

    def describe_handshake(self, call: Call, request: Request) -> Response:
        record = state.get(call.tx, "handshake", request["HandshakeId"])
        if record is None or call.account not in (record["Account"], record["Master"]):
            raise _none()
        return {"Handshake": _shown(call, record)}

    def list_handshakes_for_account(self, call: Call, request: Request) -> Response:
        held = state.edges(call.tx, "invited", call.account)
        return {"Handshakes": [_shown(call, _load(call, h)) for h, _ in held]}

    def list_handshakes_for_organization(self, call: Call, request: Request) -> Response:
        held = state.edges(call.tx, "inviting", management(call).id)
        return {"Handshakes": [_shown(call, _load(call, h)) for h, _ in held]}


def _load(call: Call, name: str) -> dict[str, Any]:
    record = state.get(call.tx, "handshake", name)
    assert record is not None, name
    return record


def _own(call: Call, request: Request, side: str) -> dict[str, Any]:
    record = state.get(call.tx, "handshake", request["HandshakeId"])
    if record is None or record[side] != call.account:
        raise _none()
    if _state(call, record) != "OPEN":
        raise Fault(
            "HandshakeAlreadyInStateException",
            "The specified handshake is already in the requested state.",
        )
    return dict(record)


def _none() -> Fault:
    return Fault("HandshakeNotFoundException", "We can't find a handshake with that ID.")


def _state(call: Call, record: dict[str, Any]) -> str:
    is_over = record["State"] == "OPEN" and call.tx.time_s >= record["ExpirationTimestamp"]
    return "EXPIRED" if is_over else str(record["State"])


def _ended(call: Call, record: dict[str, Any], state_name: str) -> Response:
    record["State"] = state_name
    state.delete(call.tx, "invited", record["Account"], record["Id"])
    state.delete(call.tx, "inviting", record["Organization"], record["Id"])
    state.put(call.tx, record, "handshake", record["Id"])
    return {"Handshake": _shown(call, record)}


def _shown(call: Call, record: dict[str, Any]) -> dict[str, Any]:
    owner, organization = record["Master"], record["Organization"]
    return {
        "Id": record["Id"],
        "Arn": f"arn:aws:organizations::{owner}:handshake/{organization}/invite/{record['Id']}",
        "Parties": [
            {"Id": organization.removeprefix("o-"), "Type": "ORGANIZATION"},
            {"Id": record["Account"], "Type": "ACCOUNT"},
        ],
        "State": _state(call, record),
        "RequestedTimestamp": record["RequestedTimestamp"],
        "ExpirationTimestamp": record["ExpirationTimestamp"],
        "Action": "INVITE",
        "Resources": [
            {"Value": organization, "Type": "ORGANIZATION"},
            {"Value": record["Account"], "Type": "ACCOUNT"},
        ],
    }
