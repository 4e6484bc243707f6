"""Names, ARNs, pages and faults of the catalog."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.glue import state

PAGE_MAX = 100
BATCH_MAX = 100
VERSIONS_MAX = 1000
LOOKED_AT_MAX = 2000
"""Rows a call with an expression looks at, before it answers with a token to go on."""


def name(given: Any, field: str) -> str:
    """Folded to lower case, as it is stored. Raises Fault."""
    text = str(given)
    if not 1 <= len(text) <= 255 or any(ord(char) < 32 for char in text):
        raise Fault(
            "InvalidInputException",
            f"1 validation error detected: Value '{text[:300]}' at '{field}' failed to satisfy constraint: Member must"
            " have length less than or equal to 255",
        )
    return text.lower()


def check_catalog(call: Call, request: Request) -> None:
    given = request.get("CatalogId")
    if given and given != call.account:
        raise Fault(
            "InvalidInputException",
            f"CatalogId {given} is not offered by Stratolite; see docs/coverage.md",
        )


def refuse(request: Request, *members: str) -> None:
    for member in members:
        if request.get(member):
            raise Fault(
                "InvalidInputException",
                f"{member} is not offered by Stratolite; see docs/coverage.md",
            )


def attributes(request: Request, known: dict[str, str]) -> list[str]:
    """The members that AttributesToGet wants of what is listed; none: all of them. Raises Fault.

    ``known``: attribute -> member; NAME must be among those that are given.
    """
    wanted = request.get("AttributesToGet")
    if wanted is None:
        return []
    if "NAME" not in wanted or not known.keys() >= set(wanted):
        raise Fault(
            "InvalidInputException",
            f"AttributesToGet {wanted} must have NAME, and nothing but {', '.join(known)}.",
        )
    return [known[one] for one in wanted]


def shares(request: Request, *kinds: str) -> bool:
    """Whether ResourceShareType asks for what an account has itself. Raises Fault."""
    kind = request.get("ResourceShareType", "ALL")
    if kind not in kinds:
        raise Fault(
            "InvalidInputException",
            f"1 validation error detected: Value '{kind}' at 'resourceShareType' failed to satisfy constraint: Member must"
            f" satisfy enum value set: [{', '.join(kinds)}]",
        )
    return bool(kind == "ALL")


def database(call: Call, request: Request, member: str = "DatabaseName") -> str:
    """The name of a database that is there. Raises Fault."""
    check_catalog(call, request)
    found = name(request[member], member[:1].lower() + member[1:])
    if state.get_database(call.tx, call.keys("glue"), found) is None:
        raise no_database(found)
    return found


def table(
    call: Call, request: Request, member: str = "TableName"
) -> tuple[state.Table, state.Record]:
    """A table that is there. Raises Fault."""
    found = state.Table(call.keys("glue"), database(call, request), name(request[member], member))
    record = state.get_table(call.tx, found)
    if record is None:
        raise no_table(found.name)
    return found, record


def no_database(given: str) -> Fault:
    return Fault("EntityNotFoundException", f"Database {given} not found.")


def no_table(given: str) -> Fault:
    return Fault("EntityNotFoundException", f"Table {given} not found.")


def limit(request: Request) -> int:
    most = request.get("MaxResults") or PAGE_MAX
    if not 1 <= most <= 1000:
        raise Fault(
            "InvalidInputException",
            f"1 validation error detected: Value '{most}' at 'maxResults' failed to satisfy constraint: Member must have"
            " value between 1 and 1000",
        )
    return min(int(most), PAGE_MAX)


def arn(call: Call, *parts: str) -> str:
    kind = ("catalog", "database", "table")[len(parts)]
    place = "/".join((kind, *parts))
    return f"arn:aws:glue:{call.region}:{call.account}:{place}"
