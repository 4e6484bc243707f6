"""Read capacity that one replica of a global table has for itself, of the table and of its global indexes.

The value stands where every table has it; the record's "Own" says that it is this replica's and stays when the group's changes:
"Read" (ReadCapacityUnits) or "MaxRead" (MaxReadRequestUnits on demand). Write capacity is always the group's.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateReplicationGroupMemberAction.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

from stratolite.service import Request
from stratolite.services.dynamodb import schema
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.table import Record, Table


class Capacity(NamedTuple):
    """One kind of read capacity: its mark in "Own", where a table has it, where a replica update does."""

    mark: str
    member: str
    unit: str
    override: str


_CAPACITIES = (
    Capacity("Read", "ProvisionedThroughput", "ReadCapacityUnits", "ProvisionedThroughputOverride"),
    Capacity("MaxRead", "OnDemandThroughput", "MaxReadRequestUnits", "OnDemandThroughputOverride"),
)
MEMBERS = (*(capacity.override for capacity in _CAPACITIES), "GlobalSecondaryIndexes")


def apply(record: Record, wanted: dict[str, Any], now_s: float) -> None:
    """Give the replica of ``record`` what a Create or Update of it says. Raises ValidationException."""
    description = record["Description"]
    on_demand = description.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    indexes = {i["IndexName"]: i for i in description.get("GlobalSecondaryIndexes", ())}
    for said in (wanted, *wanted.get("GlobalSecondaryIndexes", ())):
        name = said.get("IndexName", "")
        if name and name not in indexes:
            raise invalid(
                f"One or more parameter values were invalid: The table has no global secondary index: {name}"
            )
        thing = indexes[name] if name else description
        for capacity in _CAPACITIES:
            units = (said.get(capacity.override) or {}).get(capacity.unit)
            if units is None:
                continue
            if on_demand is not (capacity.mark == "MaxRead"):
                mode = "PAY_PER_REQUEST" if on_demand else "PROVISIONED"
                raise invalid(
                    f"One or more parameter values were invalid: {capacity.override} cannot be specified "
                    f"when BillingMode is {mode}"
                )
            _set(thing, capacity, units, now_s)
            mark(record, name, capacity.mark)


def _set(thing: dict[str, Any], capacity: Capacity, units: int, now_s: float) -> None:
    held = dict(thing.get(capacity.member) or {})
    before = held.get(capacity.unit)
    if capacity.mark == "Read" and before != units:
        schema.check_units({"ReadCapacityUnits": units, "WriteCapacityUnits": 1})
        grown = before is None or units > before
        held["LastIncreaseDateTime" if grown else "LastDecreaseDateTime"] = now_s
        held["NumberOfDecreasesToday"] += not grown
    thing[capacity.member] = {**held, capacity.unit: units}


def mark(record: Record, index: str, what: str) -> None:
    """From now on ``what`` ("Read", "MaxRead") of the table ("") or an index is this replica's own."""
    marks = record.setdefault("Own", {}).setdefault(index, [])
    if what not in marks:
        marks.append(what)


def forget(record: Record, index: str) -> None:
    """An index is gone."""
    record.get("Own", {}).pop(index, None)


def described(record: Record) -> dict[str, Any]:
    """The overrides of a ReplicaDescription."""
    own, description = record.get("Own") or {}, record["Description"]
    found: dict[str, Any] = dict(_overrides(description, own.get("", ())))
    indexes = [
        {"IndexName": index["IndexName"], **said}
        for index in description.get("GlobalSecondaryIndexes", ())
        if (said := dict(_overrides(index, own.get(index["IndexName"], ()))))
    ]
    if indexes:
        found["GlobalSecondaryIndexes"] = indexes
    if "TableClassSummary" in description:
        found["ReplicaTableClassSummary"] = description["TableClassSummary"]
    return found


def _overrides(thing: dict[str, Any], marks: list[str]) -> Iterator[tuple[str, dict[str, int]]]:
    for capacity in _CAPACITIES:
        if capacity.mark in marks:
            yield capacity.override, {capacity.unit: thing[capacity.member][capacity.unit]}


def kept(source: Table, replica: Table, request: Request) -> Request:
    """An UpdateTable of ``source`` as it goes on to ``replica``: without the read capacity that either has for itself, and
    without what would change nothing."""
    request = deepcopy(request)
    billed_anew = "BillingMode" in request and (request["BillingMode"] == "PROVISIONED") is (
        replica.is_on_demand
    )
    indexes = {i["IndexName"]: i for i in replica.description.get("GlobalSecondaryIndexes", ())}
    _keep(source, replica, "", replica.description, request, same_goes=not billed_anew)
    updates = []
    for change in request.get("GlobalSecondaryIndexUpdates") or ():
        update = change.get("Update")
        if update is not None and (index := indexes.get(update["IndexName"])) is not None:
            _keep(source, replica, update["IndexName"], index, update, same_goes=not billed_anew)
        updates.append(change)
    if updates:
        request["GlobalSecondaryIndexUpdates"] = updates
    return request


def _keep(
    source: Table,
    replica: Table,
    name: str,
    thing: dict[str, Any],
    said: dict[str, Any],
    *,
    same_goes: bool,
) -> None:
    marks = {*_marks(source, name), *_marks(replica, name)}
    for capacity in _CAPACITIES:
        wanted = said.get(capacity.member)
        if wanted is None:
            continue
        held = thing.get(capacity.member) or {}
        if capacity.mark in marks:
            wanted.pop(capacity.unit, None)
            if capacity.unit in held:
                wanted[capacity.unit] = held[capacity.unit]
        if same_goes and all(held.get(unit) == units for unit, units in wanted.items()):
            del said[capacity.member]


def _marks(table: Table, name: str) -> list[str]:
    found: list[str] = (table.record.get("Own") or {}).get(name, [])
    return found
