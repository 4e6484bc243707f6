"""Global tables (version 2019.11.21): replicas of a table in other regions, made and taken away by UpdateTable.

Every replica is a table of its region that feeds each of the others (``feeds``, ``following``). Indexes, time to live,
billing and write capacity are changed in all of them together; read capacity too, where a replica has no own (``overrides``);
policies, tags, recovery, Kinesis destinations and protection are each one's own.
Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import orjson

from stratolite import regions
from stratolite.core import Tx, work
from stratolite.service import Call
from stratolite.services.dynamodb import overrides, recasting, scaling, state, streams
from stratolite.services.dynamodb.faults import in_use, invalid, not_offered
from stratolite.services.dynamodb.following import COPY_REPLICA
from stratolite.services.dynamodb.keyring import MANAGED, ring
from stratolite.services.dynamodb.table import Record, Table
from stratolite.services.dynamodb.worker import SWEEP, Sweep

VERSION = "2019.11.21"
REPLICAS_COUNT_MAX = 30
_VIEW = "NEW_AND_OLD_IMAGES"


def change(call: Call, table: Table, updates: list[dict[str, Any]], key: str | None) -> None:
    """Carry out the ReplicaUpdates of an UpdateTable that puts the table under ``key`` (see ``keyring.wanted_key``)."""
    named = [u["Update"]["RegionName"] for u in updates if u.get("Update") and "KMSMasterKeyId" in u["Update"]]  # fmt: skip
    check_key(table, key, named)
    for update in updates:
        actions = [(k, v) for k, v in update.items() if v is not None]
        if len(actions) != 1:
            raise invalid(
                "One and only one of Create, Update, Delete must be given in a replica update"
            )
        kind, wanted = actions[0]
        if kind == "Disassociate":
            raise not_offered("UpdateTable", "ReplicaUpdates.Disassociate")
        region = wanted["RegionName"]
        if region == table.region:
            raise invalid(
                "Cannot add, delete, or update the local region through ReplicaUpdates. "
                "Use CreateTable, DeleteTable, or UpdateTable as required."
            )
        current = state.table(call.tx, table.account, table.region, table.name)
        assert current is not None, "it is being updated"
        if kind == "Create":
            _create(call, current, wanted)
        elif region not in current.replicas:
            raise invalid(
                "Replica specified in the Replica Update or Replica Delete action of the request was not found."
            )
        elif kind == "Delete":
            take_away(call, current, region)
        elif kind != "Update" or wanted.keys() - _OWN:
            raise invalid(f"ReplicaUpdates: {', '.join(wanted)} is not offered by Stratolite")
        else:
            _update(call, table.account, region, table.name, wanted)


_OWN = frozenset(("RegionName", "TableClassOverride", "KMSMasterKeyId", *overrides.MEMBERS))
"""What a replica may have otherwise."""


def check_key(table: Table, key: str | None, named: Sequence[str] = ()) -> None:
    """All replicas are under keys of one kind: AWS's own, AWS managed, or the customer's, which each replica names.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html
    """
    if key in (None, "", MANAGED):
        return
    if missing := sorted(table.replicas.keys() - set(named)):
        raise invalid(
            "One or more parameter values were invalid: KMSMasterKeyId must be specified for each replica "
            f"when a customer managed key is used: {', '.join(missing)}"
        )


def _update(call: Call, account: str, region: str, name: str, wanted: dict[str, Any]) -> None:
    there = state.table(call.tx, account, region, name)
    assert there is not None, "members name each other"
    record = deepcopy(there.record)
    if (table_class := wanted.get("TableClassOverride")) is not None:
        now_s = round(call.tx.time_s, 3)
        summary = {"TableClass": table_class, "LastUpdateDateTime": now_s}
        record["Description"]["TableClassSummary"] = summary
    overrides.apply(record, wanted, round(call.tx.time_s, 3))
    if (key := wanted.get("KMSMasterKeyId")) is not None:
        recasting.turn(call.scoped(account, region), there, record, key)
    state.put_table(call.tx, account, region, record)


def _create(call: Call, table: Table, wanted: dict[str, Any]) -> None:
    region = wanted["RegionName"]
    if region not in regions.beside(table.region):
        raise invalid(f"Invalid region name: {region}")
    if extra := wanted.keys() - _OWN:
        raise invalid(
            f"ReplicaUpdates.Create: {', '.join(sorted(extra))} is not offered by Stratolite; see docs/coverage.md"
        )
    if len(table.replicas) >= REPLICAS_COUNT_MAX:
        raise invalid(f"A global table has at most {REPLICAS_COUNT_MAX} replicas")
    tx, account = call.tx, table.account
    if region in table.replicas or state.table(tx, account, region, table.name) is not None:
        raise invalid(_THERE.format(name=table.name))
    if any(one.get("Creating") for one in table.replicas.values()):
        raise invalid("Only one replica may be created at a time")
    if not table.is_on_demand:
        scaling.check_scaled(call, table)
    members = [table.region, *table.replicas]
    for member in members:
        there = state.table(tx, account, member, table.name)
        assert there is not None, "members name each other"
        record = deepcopy(there.record)
        _stream(call, there, record)
        record["Description"]["GlobalTableVersion"] = VERSION
        record.setdefault("Replicas", {})[region] = _feed(call) | {"Creating": True}
        state.put_table(tx, account, member, record)
    made = _replica(call, table, region)
    made["Replicas"] = {member: _feed(call) for member in members}
    _set_own(call, made, wanted)
    if (key := _key_of_replica(table, wanted)) is not None:
        ring(call.cloud).begin(call, made, key)
    begin_stream(call, account, region, made)
    state.put_table(tx, account, region, made)
    if not table.is_on_demand:
        scaling.copy(call, table, region)
    work.put(tx, COPY_REPLICA, orjson.dumps([account, table.region, table.name, region]))


def bare(call: Call, table: Table, wanted: dict[str, Any]) -> Record:
    """The record of a replica with nothing in it, without a stream, that belongs to nobody yet: what a Create asks for."""
    region = wanted["RegionName"]
    if extra := wanted.keys() - _OWN | wanted.keys() & {"KMSMasterKeyId"}:
        raise invalid(
            f"ReplicaUpdates.Create: {', '.join(sorted(extra))} is not offered by Stratolite; see docs/coverage.md"
        )
    if state.table(call.tx, table.account, region, table.name) is not None:
        raise invalid(_THERE.format(name=table.name))
    made = _replica(call, table, region)
    made["Description"]["TableStatus"] = "ACTIVE"
    _set_own(call, made, wanted)
    return made


def _set_own(call: Call, made: Record, wanted: dict[str, Any]) -> None:
    if "TableClassOverride" in wanted:
        made["Description"]["TableClassSummary"] = {"TableClass": wanted["TableClassOverride"]}
    overrides.apply(made, wanted, round(call.tx.time_s, 3))


_THERE = (
    "Failed to create a the new replica of table with name: '{name}' because one or more replicas "
    "already existed as tables."
)


def _feed(call: Call) -> dict[str, Any]:
    return {"Feed": call.tx.stamp(), "Status": "ACTIVE"}


def _stream(call: Call, table: Table, record: Record) -> None:
    """Replicas have streams with both images."""
    if table.stream_label:
        if table.stream_view != _VIEW:
            raise invalid(
                "One or more parameter values were invalid: Table must have a stream with the view type "
                f"{_VIEW} to have replicas"
            )
        return
    begin_stream(call, table.account, table.region, record)


def begin_stream(call: Call, account: str, region: str, record: Record, view: str = _VIEW) -> None:
    """Give the table of ``record`` a new stream, and say so in the record."""
    description = record["Description"]
    name = description["TableName"]
    made = streams.begin(
        call.tx, account, region, name, view, description["KeySchema"], record.get("Sse")
    )
    description["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    description["LatestStreamLabel"], description["LatestStreamArn"] = made.label, made.arn
    record["Stream"] = [made.number, made.label, view]


def _replica(call: Call, table: Table, region: str) -> Record:
    """A record like the table's, for another region, with rows of its own."""
    description = deepcopy(table.description)
    arn = f"arn:aws:dynamodb:{region}:{table.account}:table/{table.name}"
    for gone in ("StreamSpecification", "LatestStreamLabel", "LatestStreamArn", "RestoreSummary"):
        description.pop(gone, None)
    description |= {
        "TableArn": arn,
        "TableId": call.world.uuid(),
        "TableStatus": "CREATING",
        "CreationDateTime": round(call.tx.time_s, 3),
        "DeletionProtectionEnabled": False,
        "GlobalTableVersion": VERSION,
    }
    record: Record = {
        "Description": description,
        "Key": call.tx.stamp(),
        "Indexes": {name: call.tx.stamp() for name in table.record["Indexes"]},
        "Tags": {},
        "Counted": True,
    }
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        for index in description.get(member, ()):
            index["IndexArn"] = f"{arn}/index/{index['IndexName']}"
            if member == "GlobalSecondaryIndexes":
                index["IndexStatus"] = "ACTIVE"
                index.pop("Backfilling", None)
    if table.ttl_attribute is not None:
        record["TimeToLive"] = [table.ttl_attribute, call.tx.stamp()]
    return record


def _key_of_replica(table: Table, wanted: dict[str, Any]) -> str | None:
    """The KMS key a new replica is under: of the table's kind. Raises ValidationException."""
    given: str | None = wanted.get("KMSMasterKeyId")
    if table.sse is None:
        if given is not None:
            raise invalid(
                "One or more parameter values were invalid: KMSMasterKeyId cannot be specified for a replica "
                "of a table that is encrypted by an AWS owned key"
            )
        return None
    if given is None and not table.sse.get("Managed"):
        raise invalid(
            "One or more parameter values were invalid: KMSMasterKeyId must be specified for a replica "
            "of a table that is encrypted by a customer managed key"
        )
    return given or MANAGED


def take_away(call: Call, table: Table, region: str) -> None:
    """The replica's table goes, and the others forget it."""
    there = state.table(call.tx, table.account, region, table.name)
    if there is not None:
        if there.description.get("DeletionProtectionEnabled"):
            raise invalid(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        if there.past.get("Readers"):
            raise in_use(
                f"Attempt to change a resource which is still in use: Table is being copied: {there.arn}"
            )
        if not there.is_on_demand:
            scaling.drop(call, there)
        drop(call, there)


def drop(call: Call, table: Table) -> None:
    """Take a table away with all that hangs on it; its replicas go on without it."""
    tx = call.tx
    for member in table.replicas:
        other = state.table(tx, table.account, member, table.name)
        if other is not None and table.region in other.replicas:
            record = deepcopy(other.record)
            gone = record["Replicas"].pop(table.region)
            sweep_feed(call, other, gone["Feed"])
            if not record["Replicas"]:
                del record["Replicas"]
                record.pop("Strong", None)
                record["Description"].pop("GlobalTableVersion", None)
            state.put_table(tx, other.account, other.region, record)
    state.delete_table(tx, table.account, table.region, table.name)
    state.delete_policies(tx, table.account, table.region, table.name)
    if table.sse is not None:
        ring(call.cloud).retire(tx, table.record, table.sse)
    if table.stream_label:
        streams.end(tx, table.account, table.region, table.name, table.stream_label)
    for feed in table.feeds:
        sweep_feed(call, table, feed.number)
    if table.past:
        past = Sweep(table.account, table.region, 0, None, only_past=table.past_number)
        work.put(tx, SWEEP, past.pack())
    work.put(tx, SWEEP, Sweep(table.account, table.region, table.number, None).pack())


def sweep_feed(call: Call, table: Table, number: int) -> None:
    job = Sweep(table.account, table.region, 0, None, only_feed=number)
    work.put(call.tx, SWEEP, job.pack())


def described(tx: Tx, record: Record) -> list[dict[str, Any]]:
    """The Replicas of a TableDescription: those in the other regions."""
    found = []
    for region, one in (record.get("Replicas") or {}).items():
        name = record["Description"]["TableName"]
        account = record["Description"]["TableArn"].split(":")[4]
        found.append(
            {
                "RegionName": region,
                "ReplicaStatus": "CREATING" if one.get("Creating") else "ACTIVE",
                "ReplicaArn": f"arn:aws:dynamodb:{region}:{account}:table/{name}",
            }
        )
        there = state.table(tx, account, region, name)
        if there is None:
            continue
        found[-1] |= overrides.described(there.record)
        if there.sse is not None:
            found[-1]["KMSMasterKeyId"] = there.sse["Key"]
    return found
