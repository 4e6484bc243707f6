"""Global tables with strong consistency across regions (MRSC): every write is made in all replicas, in its own transaction.

Three regions of one set: three replicas, or two and a witness, which has nothing of its own here, one log being all regions' truth.
They begin empty and together, and end together; there is no time to live, no local index and no transaction on them, as on AWS.
The record has "Strong": the witness's region, or "" (see ``table``). Words of refusals are ours where AWS's are not known.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
        https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTable.html
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from stratolite.service import Call, Request
from stratolite.services.dynamodb import globaltables, scaling, state
from stratolite.services.dynamodb.faults import invalid, not_offered
from stratolite.services.dynamodb.table import Record, Table

STRONG = "STRONG"
_REGION_SETS = (
    frozenset(("us-east-1", "us-east-2", "us-west-2")),
    frozenset(("eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1")),
    frozenset(("ap-northeast-1", "ap-northeast-2", "ap-northeast-3")),
)
_INVALID = "One or more parameter values were invalid: "
_OTHERS_COUNT = 2
_MODE = _INVALID + "The consistency mode of a global table cannot be changed after it was created"
_WHOLE = (
    _INVALID + "A global table with multi-Region strong consistency has three replicas, or two replicas and a witness: "
    "they are created together, and deleted together but for one"
)  # fmt: skip


def concerns(table: Table, request: Request) -> bool:
    """Whether an UpdateTable is about the regions of such a table."""
    if request.get("MultiRegionConsistency") == STRONG or request.get("GlobalTableWitnessUpdates"):
        return True
    updates = request.get("ReplicaUpdates") or ()
    return table.is_strong and any("Update" not in update for update in updates)


def change(call: Call, table: Table, request: Request) -> None:
    updates = request.get("ReplicaUpdates") or []
    witnesses = request.get("GlobalTableWitnessUpdates") or []
    made = [u["Create"] for u in updates if "Create" in u]
    gone = [u["Delete"]["RegionName"] for u in updates if "Delete" in u]
    witness = [u["Create"]["RegionName"] for u in witnesses if "Create" in u]
    dismissed = [u["Delete"]["RegionName"] for u in witnesses if "Delete" in u]
    if len(made) + len(gone) != len(updates) or ((made or witness) and (gone or dismissed)):
        raise invalid(_WHOLE)
    if made or witness:
        if request.get("MultiRegionConsistency") != STRONG:
            raise invalid(_INVALID + "A witness asks for MultiRegionConsistency STRONG")
        _begin(call, table, made, witness)
        return
    if not table.is_strong:
        raise invalid(_MODE if table.replicas else _WHOLE)
    _end(call, table, gone, dismissed)


def _begin(call: Call, table: Table, made: list[dict[str, Any]], witness: list[str]) -> None:
    if table.replicas:
        raise invalid(_WHOLE if table.is_strong else _MODE)
    regions = [one["RegionName"] for one in made]
    everywhere = {table.region, *regions, *witness}
    if not made or len(witness) > 1 or len(regions) + len(witness) != _OTHERS_COUNT:
        raise invalid(_WHOLE)
    sets = [one for one in _REGION_SETS if everywhere <= one]
    if len(everywhere) != _OTHERS_COUNT + 1 or not sets:
        raise invalid(
            f"{_INVALID}Replicas and witness must be in three regions of one set: {', '.join(sorted(everywhere))}"
        )
    _check_table(call, table)
    group = [table.region, *regions]
    records: dict[str, Record] = {table.region: deepcopy(table.record)}
    for wanted in made:
        records[wanted["RegionName"]] = globaltables.bare(call, table, wanted)
    for region, record in records.items():
        record["Description"]["GlobalTableVersion"] = globaltables.VERSION
        record["Strong"] = witness[0] if witness else ""
        record["Replicas"] = {
            other: {"Feed": call.tx.stamp(), "Status": STRONG} for other in group if other != region
        }
        state.put_table(call.tx, table.account, region, record)
    for region in regions if not table.is_on_demand else ():
        scaling.copy(call, table, region)


def _check_table(call: Call, table: Table) -> None:
    for _ in call.tx.scan(state.whole_span(table.prefix), limit=1):
        raise invalid(_INVALID + "The table must be empty to have strongly consistent replicas")
    if table.ttl_attribute is not None:
        raise invalid(_INVALID + "Time to Live is not supported with strong consistency")
    if any(index.is_local for index in table.indexes):
        raise invalid(_INVALID + "Local secondary indexes are not supported with strong consistency")  # fmt: skip
    check_key(table)
    if not table.is_on_demand:
        scaling.check_scaled(call, table)


def check_key(table: Table) -> None:
    if table.sse is not None or table.is_strong:
        raise not_offered("UpdateTable", "a KMS key of a strongly consistent global table")


def _end(call: Call, table: Table, gone: list[str], dismissed: list[str]) -> None:
    """All others go; what is left is a table of its own region."""
    held = [table.record["Strong"]] if table.record["Strong"] else []
    if set(gone) != table.replicas.keys() or dismissed != held:
        raise invalid(_WHOLE)
    for region in gone:
        globaltables.take_away(call, table, region)


def check_deletion(table: Table) -> None:
    if table.is_strong:
        raise invalid(_WHOLE)


def check_transaction(table: Table) -> None:
    if table.is_strong:
        raise invalid(
            "Transactions are not supported on global tables with multi-Region strong consistency: "
            f"TableName: {table.name}"
        )


def described(record: Record) -> dict[str, Any]:
    """What a TableDescription says of it."""
    if "Strong" not in record:
        return {}
    found: dict[str, Any] = {"MultiRegionConsistency": STRONG}
    if witness := record["Strong"]:
        found["GlobalTableWitnesses"] = [{"RegionName": witness, "WitnessStatus": "ACTIVE"}]
    return found
