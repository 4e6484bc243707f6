"""What all of DynamoDB's operations need: finding a table, and naming what IAM must allow."""

from __future__ import annotations

import re

from stratolite.service import Call, Cloud, Service
from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.capacity import Cost
from stratolite.services.dynamodb.faults import invalid, not_found
from stratolite.services.dynamodb.keyring import Keyring
from stratolite.services.dynamodb.meter import WRITE, Meter
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.writes import Write

_ARN = re.compile(r"arn:aws[\w-]*:dynamodb:([\w-]+):(\d{12}):table/([\w.-]+)(?:/.*)?").fullmatch


class Base(Service):
    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.meter = Meter(cloud)
        self.keyring = Keyring(cloud)

    def table(self, call: Call, name: str, message: str = "Requested resource not found") -> Table:
        """The table called ``name`` here, or whose ARN it is, of whichever account, for reading and writing its items.

        Raises ResourceNotFoundException, and what KMS says of a caller who may not use its key.
        """
        account = call.account
        if ":" in name:
            account, name = place_of(call, name)
        found = state.table(call.tx, account, call.region, name)
        if found is not None and found.is_plain:
            return found
        if found is None or not found.is_ready:
            raise not_found(message)
        return self.keyring.unlocked(call, found)

    def pay(self, write: Write, times: int = 1) -> None:
        """What a write has cost is taken from what its table may."""
        cost = Cost(write.table)
        cost.add_write(write.old, write.new, times)
        self.meter.pay(write.table, WRITE, write.tx.time_s, cost)
        for region in (
            write.table.replicas if write.table.is_strong and write.version is None else ()
        ):
            there = state.table(write.tx, write.table.account, region, write.table.name)
            if there is not None:
                cost = Cost(there)
                cost.add_write(write.old, write.new, times)
                self.meter.pay(there, WRITE, write.tx.time_s, cost)

    def known(self, call: Call, name: str, message: str) -> Table:
        """The same, of tables that are still being filled as well."""
        account = call.account
        if ":" in name:
            account, name = place_of(call, name)
        found = state.table(call.tx, account, call.region, name)
        if found is None:
            raise not_found(message)
        return found


def place_of(call: Call, arn: str) -> tuple[str, str]:
    """(account, name) of the table in an ARN, which must be of this region."""
    found = _ARN(arn)
    if found is None:
        raise invalid(f"Invalid table ARN: {arn}")
    region, account, name = found.groups()
    if region != call.region:
        raise not_found(f"Requested resource not found: the table is in another region; arn={arn}")
    return account, name


def table_arn(call: Call, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"
