"""Resource policies of tables and streams: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy.

IAM asks ``access.resource_policy`` for what is put here. A policy's revision id is made of its text.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
"""

from __future__ import annotations

from copy import deepcopy
from hashlib import sha256

from stratolite import principals
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import shapes, state, streams
from stratolite.services.dynamodb.base import Base, place_of
from stratolite.services.dynamodb.faults import invalid, not_found

POLICY_SIZE_BYTES_MAX = 20 << 10
_NONE = "NO_POLICY"
_INVALID = "One or more parameter values were invalid"


class Policies(Base):
    def put_resource_policy(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.PUT_POLICY, request)
        account, name, label = self._owner(call, request["ResourceArn"])
        text = checked(call, request["Policy"])
        self._expect(call, account, name, label, request.get("ExpectedRevisionId"))
        state.put_policy(call.tx, account, call.region, name, label, text, revision(text))
        self._flag(call, account, name, label, has_policy=True)
        return {"RevisionId": revision(text)}

    def get_resource_policy(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.GET_POLICY, request)
        account, name, label = self._owner(call, request["ResourceArn"])
        found = state.policy(call.tx, account, call.region, name, label)
        if found is None:
            raise _no_policy(request["ResourceArn"])
        return {"Policy": found[0], "RevisionId": found[1]}

    def delete_resource_policy(self, call: Call, request: Request) -> Response:
        """Of none is no failure, unless a revision of one is expected."""
        shapes.check(shapes.DELETE_POLICY, request)
        account, name, label = self._owner(call, request["ResourceArn"])
        self._expect(call, account, name, label, request.get("ExpectedRevisionId"))
        found = state.policy(call.tx, account, call.region, name, label)
        if found is None:
            return {}
        state.delete_policy(call.tx, account, call.region, name, label)
        self._flag(call, account, name, label, has_policy=False)
        return {"RevisionId": found[1]}

    def _owner(self, call: Call, arn: str) -> tuple[str, str, str]:
        """(account, table name, stream label or "") of a table or stream that is there."""
        table, _, label = arn.partition("/stream/")
        account, name = place_of(call, table)
        there: object = state.table(call.tx, account, call.region, name)
        if label:
            there = streams.find(call.tx, account, call.region, name, label)
        if there is None:
            raise not_found(f"Requested resource not found: ResourceArn: {arn} not found")
        return account, name, label

    def _expect(self, call: Call, account: str, name: str, label: str, wanted: str | None) -> None:
        if wanted is None:
            return
        found = state.policy(call.tx, account, call.region, name, label)
        if wanted != (_NONE if found is None else found[1]):
            raise Fault(
                "PolicyNotFoundException",
                "Resource-based policy not found for the provided ResourceArn: "
                "the expected revision is not the current one",
            )

    def _flag(self, call: Call, account: str, name: str, label: str, *, has_policy: bool) -> None:
        table = None if label else state.table(call.tx, account, call.region, name)
        if table is None or table.has_policy is has_policy:
            return
        record = deepcopy(table.record)
        if has_policy:
            record["HasPolicy"] = True
        else:
            del record["HasPolicy"]
        state.put_table(call.tx, account, call.region, record)


def checked(call: Call, text: str) -> str:
    """Raises ValidationException for what is no policy with principals, or too long."""
    if len(text.encode()) > POLICY_SIZE_BYTES_MAX:
        raise invalid(
            f"Resource policies may be at most {POLICY_SIZE_BYTES_MAX} bytes; size_bytes={len(text.encode())}"
        )
    try:
        statements = Document.parse(text, has_principal=True).statements
    except Malformed as error:
        raise invalid(f"{_INVALID}: Invalid policy document: {error}") from None
    named = [action for one in statements for action in one.actions]
    if foreign := [a for a in named if a != "*" and not a.lower().startswith("dynamodb:")]:
        listed = ", ".join(f'"{action}"' for action in foreign)
        said = f"Invalid policy document: The following action names are invalid: {listed}"
        raise invalid(f"{_INVALID}: {said}")
    if principals.unknown(call, text):
        raise invalid(f"{_INVALID}: Invalid principal in policy document.")
    return text


def revision(text: str) -> str:
    number = int.from_bytes(sha256(text.encode()).digest()[:6], "big")
    return f"{number:015d}"


def _no_policy(arn: str) -> Fault:
    return Fault(
        "PolicyNotFoundException",
        f"Resource-based policy not found for the provided ResourceArn: {arn}",
    )
