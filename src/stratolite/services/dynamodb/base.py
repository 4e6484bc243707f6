"""What all of DynamoDB's operations need: finding a table, and naming what IAM must allow."""

from __future__ import annotations

from stratolite.service import Call, Service
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.faults import invalid, not_found
from stratolite.services.dynamodb.table import Table


class Base(Service):
    def table(self, call: Call, name: str, message: str = "Requested resource not found") -> Table:
        """The table called ``name`` (a name or an ARN) here. Raises ResourceNotFoundException."""
        if ":" in name:
            name = name_of(call, name)
        found = state.table(call.tx, call.account, call.region, name)
        if found is None:
            raise not_found(message)
        return found


def name_of(call: Call, arn: str) -> str:
    """The table's name in an ARN; it must be of this account and region."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "dynamodb" or not parts[5].startswith("table/"):
        raise invalid(f"Invalid table ARN: {arn}")
    if parts[3] != call.region or parts[4] != call.account:
        raise not_found(
            f"Requested resource not found: tables of other accounts or regions are not reachable; arn={arn}"
        )
    return parts[5][6:].split("/", 1)[0]


def table_arn(call: Call, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"
