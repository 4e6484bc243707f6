"""Operations on tables themselves: create, describe, list, update, delete, tags, limits, time to live.

A table is ACTIVE as soon as its record is written; CreateTable still answers CREATING and DeleteTable DELETING, as
DynamoDB does. ``meter`` holds calls to their throughput.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from stratolite.core import Keyspace, Tx, work
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import (
    expiry,
    globaltables,
    keyring,
    overrides,
    recasting,
    schema,
    shapes,
    state,
    streams,
    strong,
)
from stratolite.services.dynamodb.base import Base, table_arn
from stratolite.services.dynamodb.faults import in_use, invalid, not_found
from stratolite.services.dynamodb.policies import checked, revision
from stratolite.services.dynamodb.table import Record, Table
from stratolite.services.dynamodb.worker import BACKFILL, SWEEP, Backfill, Sweep

TABLES_COUNT_PAGE = 100
_INVALID = "One or more parameter values were invalid: "


class Tables(Base):
    def create_table(self, call: Call, request: Request) -> Response:
        _check_named(request)
        shapes.check(shapes.CREATE_TABLE, request)
        schema.check_create(request)
        schema.check_stream(request)
        schema.check_offered("CreateTable", request)
        key = keyring.wanted_key(request)
        name = request["TableName"]
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or ()}
        schema.check_tags(tags, ours=call.depth > 0)
        if state.table(call.tx, call.account, call.region, name) is not None:
            raise in_use(f"Table already exists: {name}")
        record = schema.new_record(call, request, call.world.uuid(), table_arn(call, name))
        record["Tags"], record["Counted"] = tags, True
        if key:
            self.keyring.begin(call, record, key)
        if (policy := request.get("ResourcePolicy")) is not None:
            record["HasPolicy"] = True
            state.put_policy(
                call.tx,
                call.account,
                call.region,
                name,
                "",
                checked(call, policy),
                revision(policy),
            )
        if (request.get("StreamSpecification") or {}).get("StreamEnabled"):
            view = request["StreamSpecification"]["StreamViewType"]
            globaltables.begin_stream(call, call.account, call.region, record, view)
        state.put_table(call.tx, call.account, call.region, record)
        return {"TableDescription": described(call.tx, record, status="CREATING")}

    def describe_table(self, call: Call, request: Request) -> Response:
        table = self._named(call, request)
        record = table.record
        if table.sse is not None:
            is_lost = self.keyring.is_lost(call.tx, record)
            if is_lost is not ("Lost" in table.sse):
                record = deepcopy(record)
                record["Sse"].pop("Lost", None)
                if is_lost:
                    record["Sse"]["Lost"] = round(call.tx.time_s, 3)
                state.put_table(call.tx, table.account, table.region, record)
        return {"Table": described(call.tx, record)}

    def list_tables(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.LIST_TABLES, request)
        names, more = state.table_names(
            call.tx,
            call.keys("dynamodb"),
            request.get("ExclusiveStartTableName"),
            request.get("Limit", TABLES_COUNT_PAGE),
        )
        response: Response = {"TableNames": names}
        if more:
            response["LastEvaluatedTableName"] = names[-1]
        return response

    def delete_table(self, call: Call, request: Request) -> Response:
        table = self._named(call, request)
        if table.description.get("DeletionProtectionEnabled"):
            raise invalid(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        if table.past.get("Readers") or not table.is_ready:
            raise in_use(
                f"Attempt to change a resource which is still in use: Table is being copied: {table.name}"
            )
        _check_unmoved(table)
        strong.check_deletion(table)
        globaltables.drop(call, table)
        return {"TableDescription": described(call.tx, table.record, status="DELETING")}

    def update_table(self, call: Call, request: Request) -> Response:
        _check_named(request)
        shapes.check(shapes.UPDATE_TABLE, request)
        schema.check_offered("UpdateTable", request)
        schema.check_stream(request)
        if not any(request.get(name) is not None for name in _UPDATES):
            raise invalid(
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, "
                "GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required"
            )
        throughput = request.get("ProvisionedThroughput")
        if request.get("BillingMode") == "PROVISIONED" and throughput is None:
            raise invalid(
                _INVALID + "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
            )
        if throughput is not None:
            schema.check_units(throughput)
        key = keyring.wanted_key(request)
        changes = request.get("GlobalSecondaryIndexUpdates") or []
        _check_changes(changes)
        table = self._settled(call, request["TableName"])
        updates = request.get("ReplicaUpdates")
        if strong.concerns(table, request):
            others = [name for name in _UPDATES if request.get(name) is not None]
            if set(others) - _OF_STRONG:
                raise invalid(
                    _INVALID + "Replicas cannot be changed together with " + ", ".join(others)
                )
            strong.change(call, table, request)
            changed = state.table(call.tx, table.account, table.region, table.name)
            assert changed is not None, "its replicas were changed"
            return {"TableDescription": described(call.tx, changed.record, status="UPDATING")}
        if updates:
            others = [name for name in _UPDATES if request.get(name) is not None]
            if set(others) - {"ReplicaUpdates", "SSESpecification", "MultiRegionConsistency"}:
                raise invalid(
                    _INVALID + "ReplicaUpdates cannot be combined with " + ", ".join(others[:-1])
                )
            if key is not None:
                self._update(call, table, request)
            globaltables.change(call, table, updates, key)
            changed = state.table(call.tx, table.account, table.region, table.name)
            assert changed is not None, "its replicas were changed"
            return {"TableDescription": described(call.tx, changed.record, status="UPDATING")}
        if table.replicas:
            globaltables.check_key(table, key)
        if table.is_strong and key is not None:
            strong.check_key(table)
        answer = self._update(call, table, request)
        shared = {k: v for k, v in request.items() if k in _SHARED}
        for region in table.replicas if shared.keys() - {"AttributeDefinitions"} else ():
            replica = state.table(call.tx, table.account, region, table.name)
            if replica is not None:
                self._update(call, replica, overrides.kept(table, replica, shared))
        return {"TableDescription": answer}

    def _update(self, call: Call, table: Table, request: Request) -> dict[str, Any]:
        """Change one table; its description meanwhile."""
        call = call.scoped(table.account, table.region)
        changes = request.get("GlobalSecondaryIndexUpdates") or []
        record: Record = deepcopy(table.record)
        _update_billing(call, table, record, request)
        description = record["Description"]
        if (protected := request.get("DeletionProtectionEnabled")) is not None:
            description["DeletionProtectionEnabled"] = protected
        schema.set_options(description, request, round(call.tx.time_s, 3))
        for change in changes:
            _change_index(call, record, request, change)
        if (key := keyring.wanted_key(request)) is not None:
            recasting.turn(call, table, record, key)
        if request.get("StreamSpecification") is not None:
            _change_stream(call, table, record, request["StreamSpecification"])
        state.put_table(call.tx, call.account, call.region, record)
        answer = described(call.tx, record, status="UPDATING")
        for change in changes:
            if (deleted := change.get("Delete")) is not None:
                answer.setdefault("GlobalSecondaryIndexes", []).append(
                    {**_index_of(table, deleted["IndexName"]), "IndexStatus": "DELETING"}
                )
        return answer

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        table = self._tagged(call, request)
        if request.get("Tags") is None:
            raise invalid(_MUST_NOT_BE_NULL.format("tags"))
        tags = shapes.TAGS.clean(request["Tags"])
        if not tags:
            raise invalid("Atleast one Tag needs to be provided as Input.")
        record = deepcopy(table.record)
        record["Tags"] |= {tag["Key"]: tag["Value"] for tag in tags}
        schema.check_tags({t["Key"]: t["Value"] for t in tags}, ours=call.depth > 0)
        schema.check_tags(record["Tags"], ours=True)
        state.put_table(call.tx, table.account, table.region, record)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        table = self._tagged(call, request)
        if request.get("TagKeys") is None:
            raise invalid(_MUST_NOT_BE_NULL.format("tagKeys"))
        if not request["TagKeys"]:
            raise invalid("Atleast one Tag Key needs to be provided as Input.")
        record = deepcopy(table.record)
        for key in request["TagKeys"]:
            record["Tags"].pop(key, None)
        state.put_table(call.tx, table.account, table.region, record)
        return {}

    def list_tags_of_resource(self, call: Call, request: Request) -> Response:
        table = self._tagged(call, request)
        return {"Tags": [{"Key": k, "Value": v} for k, v in table.record["Tags"].items()]}

    def _tagged(self, call: Call, request: Request) -> Table:
        arn = request.get("ResourceArn")
        if not arn:
            raise invalid("Invalid TableArn")
        parts = str(arn).split(":", 5)
        if len(parts) != 6 or parts[2] != "dynamodb" or not parts[5].startswith("table/"):
            raise invalid(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
        try:
            return self.known(call, arn, "")
        except Fault as fault:
            raise not_found(f"Requested resource not found: ResourcArn: {arn} not found") from fault

    # -- what is described only

    def describe_limits(self, call: Call, request: Request) -> Response:
        return {
            "AccountMaxReadCapacityUnits": 80_000,
            "AccountMaxWriteCapacityUnits": 80_000,
            "TableMaxReadCapacityUnits": 40_000,
            "TableMaxWriteCapacityUnits": 40_000,
        }

    def describe_endpoints(self, call: Call, request: Request) -> Response:
        address = call.endpoint.split("://", 1)[-1].rstrip("/")
        return {"Endpoints": [{"Address": address, "CachePeriodInMinutes": 1440}]}

    def update_time_to_live(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.TIME_TO_LIVE, request)
        wanted = request["TimeToLiveSpecification"]
        table = self._settled(call, request["TableName"])
        current, name = table.ttl_attribute, wanted["AttributeName"]
        if wanted["Enabled"] and table.is_strong:
            raise invalid("Time to Live is not supported with multi-Region strong consistency")
        if wanted["Enabled"] and current == name:
            raise invalid("TimeToLive is already enabled")
        if not wanted["Enabled"] and current is None:
            raise invalid("TimeToLive is already disabled")
        if current not in (None, name):
            raise invalid(
                f"TimeToLive is active on a different AttributeName: current AttributeName is {current}"
            )
        if call.tx.time_s < table.record.get("TimeToLiveSet", 0) + expiry.CHANGE_S:
            raise invalid("Time to live has been modified multiple times within a fixed interval")
        for region in (table.region, *table.replicas):
            replica = state.table(call.tx, table.account, region, table.name)
            if replica is not None:
                _set_time_to_live(call, replica, name if wanted["Enabled"] else None)
        return {"TimeToLiveSpecification": {"Enabled": wanted["Enabled"], "AttributeName": name}}

    def describe_time_to_live(self, call: Call, request: Request) -> Response:
        table = self._named(call, request)
        if table.ttl_attribute is None:
            return {"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}
        return {
            "TimeToLiveDescription": {
                "TimeToLiveStatus": "ENABLED",
                "AttributeName": table.ttl_attribute,
            }
        }

    def _settled(self, call: Call, name: str) -> Table:
        """A table that may be changed. Raises ResourceInUseException for one that is still being filled."""
        table = self.known(call, name, f"Requested resource not found: Table: {name} not found")
        if not table.is_ready:
            raise in_use(
                f"Attempt to change a resource which is still in use: Table is being created: {table.name}"
            )
        _check_unmoved(table)
        return table

    def _named(self, call: Call, request: Request) -> Table:
        _check_named(request)
        shapes.check(shapes.NAMED_TABLE, request)
        name = request["TableName"]
        return self.known(call, name, f"Requested resource not found: Table: {name} not found")


_MUST_NOT_BE_NULL = "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null"


def _check_unmoved(table: Table) -> None:
    if recasting.is_under_way(table):
        raise in_use(
            f"Attempt to change a resource which is still in use: Table is being updated: {table.name}"
        )


def _check_named(request: Request) -> None:
    if request.get("TableName") is None:
        raise invalid("The parameter 'TableName' is required but was not present in the request")


_UPDATES = (
    "ProvisionedThroughput",
    "BillingMode",
    "GlobalSecondaryIndexUpdates",
    "SSESpecification",
    "DeletionProtectionEnabled",
    "TableClass",
    "StreamSpecification",
    "OnDemandThroughput",
    "WarmThroughput",
    "ReplicaUpdates",
    "GlobalTableWitnessUpdates",
    "MultiRegionConsistency",
)
_OF_STRONG = frozenset(("ReplicaUpdates", "GlobalTableWitnessUpdates", "MultiRegionConsistency"))
_SHARED = frozenset(
    (
        "AttributeDefinitions",
        "BillingMode",
        "GlobalSecondaryIndexUpdates",
        "OnDemandThroughput",
        "ProvisionedThroughput",
        "SSESpecification",
    )
)
"""What replicas have in common: a change of it is made in all of them."""


def described(tx: Tx, record: Record, status: str | None = None) -> dict[str, Any]:
    """A TableDescription, with counts as of now (DynamoDB brings them up to date every six hours)."""
    out: dict[str, Any] = deepcopy(record["Description"])
    _, _, _, region, account, _ = out["TableArn"].split(":", 5)
    keys = Keyspace(account, region, "dynamodb")

    def counted(number: int) -> tuple[int, int]:
        return state.counts(tx, keys.key("count", record["Key"], number))

    out["ItemCount"], out["TableSizeBytes"] = counted(0)
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        for index in out.get(member, ()):
            number = record["Indexes"][index["IndexName"]]
            index["ItemCount"], index["IndexSizeBytes"] = counted(number)
            if member == "GlobalSecondaryIndexes":
                index["WarmThroughput"] = schema.warm(index, out)
            if status in ("CREATING", "DELETING") and "IndexStatus" in index:
                index["IndexStatus"] = status
    out["WarmThroughput"] = schema.warm(out, out)
    if replicas := globaltables.described(tx, record):
        out["Replicas"] = replicas
    out |= strong.described(record)
    if (sse := record.get("Sse")) is not None:
        out["SSEDescription"] = keyring.description(sse)
        if sse["Status"] == "UPDATING":
            out["TableStatus"] = "UPDATING"
        if "Lost" in sse:
            out["TableStatus"] = "INACCESSIBLE_ENCRYPTION_CREDENTIALS"
    if status is not None:
        out["TableStatus"] = status
    return out


def _set_time_to_live(call: Call, table: Table, attribute: str | None) -> None:
    record = deepcopy(table.record)
    record["TimeToLiveSet"] = int(call.tx.time_s)
    if attribute is not None:
        record["TimeToLive"] = [attribute, call.tx.stamp()]
    elif record.pop("TimeToLive", None) is not None:
        job = Sweep(table.account, table.region, table.number, None, only_ttl=table.ttl_number)
        work.put(call.tx, SWEEP, job.pack())
    state.put_table(call.tx, table.account, table.region, record)
    if attribute is not None:
        expiry.start(call.tx, table, int(call.tx.time_s), b"")


def _change_stream(call: Call, table: Table, record: Record, wanted: dict[str, Any]) -> None:
    if wanted.get("StreamEnabled"):
        if table.stream_label:
            raise invalid(f"Table already has an enabled stream: TableName: {table.name}")
        view = wanted["StreamViewType"]
        globaltables.begin_stream(call, table.account, table.region, record, view)
        return
    if table.replicas and not table.is_strong:
        raise invalid(
            f"Streams cannot be disabled on a table with replicas: TableName: {table.name}"
        )
    if not table.stream_label:
        raise invalid(f"Table has no stream to disable: TableName: {table.name}")
    streams.end(call.tx, call.account, call.region, table.name, table.stream_label)
    del record["Stream"], record["Description"]["StreamSpecification"]


def _update_billing(call: Call, table: Table, record: Record, request: Request) -> None:
    description = record["Description"]
    throughput, mode = request.get("ProvisionedThroughput"), request.get("BillingMode")
    on_demand = mode == "PAY_PER_REQUEST" or (mode is None and table.is_on_demand)
    if throughput is not None and on_demand:
        raise invalid(
            _INVALID + "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified "
            "when BillingMode is PAY_PER_REQUEST"
        )
    now_s = round(call.tx.time_s, 3)
    if mode == "PAY_PER_REQUEST" and not table.is_on_demand:
        description["BillingModeSummary"] = {
            "BillingMode": "PAY_PER_REQUEST",
            "LastUpdateToPayPerRequestDateTime": now_s,
        }
        description["ProvisionedThroughput"] = schema.described_throughput(None)
        record.pop("Own", None)
        for index in description.get("GlobalSecondaryIndexes", ()):
            index["ProvisionedThroughput"] = schema.described_throughput(None)
    if mode == "PROVISIONED" and table.is_on_demand:
        updated = {
            c["Update"]["IndexName"]
            for c in request.get("GlobalSecondaryIndexUpdates") or ()
            if c.get("Update")
        }
        missing = [i.name for i in table.indexes if not i.is_local and i.name not in updated]
        if missing:
            raise invalid(
                f"{_INVALID}ProvisionedThroughput must be specified for index: {','.join(missing)}"
            )
        description["BillingModeSummary"]["BillingMode"] = "PROVISIONED"
    if throughput is not None:
        _set_throughput(description, throughput, now_s)


def _set_throughput(described_thing: dict[str, Any], wanted: dict[str, int], now_s: float) -> None:
    """Raises where nothing would change, as DynamoDB does."""
    current = described_thing["ProvisionedThroughput"]
    differences = [
        wanted[name] - current[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")
    ]
    if not any(differences):
        raise invalid(
            "The provisioned throughput for the table will not change. The requested value equals the "
            "current value. Current ReadCapacityUnits provisioned for the table: "
            f"{current['ReadCapacityUnits']}. Requested ReadCapacityUnits: {wanted['ReadCapacityUnits']}. "
            "Current WriteCapacityUnits provisioned for the table: "
            f"{current['WriteCapacityUnits']}. Requested WriteCapacityUnits: {wanted['WriteCapacityUnits']}. "
            "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        )
    if max(differences) > 0:
        current["LastIncreaseDateTime"] = now_s
    if min(differences) < 0:
        current["LastDecreaseDateTime"] = now_s
        current["NumberOfDecreasesToday"] += 1
    current |= {name: wanted[name] for name in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _check_changes(changes: list[dict[str, Any]]) -> None:
    names: set[str] = set()
    for change in changes:
        actions = [change[k] for k in ("Update", "Create", "Delete") if change.get(k)]
        if not actions:
            raise invalid(
                _INVALID
                + "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, "
                "GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        for action in actions:
            if action["IndexName"] in names:
                raise invalid(
                    f"{_INVALID}Only one global secondary index update per index is allowed "
                    f"simultaneously. Index: {action['IndexName']}"
                )
            names.add(action["IndexName"])
    if sum(1 for change in changes if change.get("Create") or change.get("Delete")) > 1:
        raise Fault(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )


def _index_of(table: Table, name: str) -> dict[str, Any]:
    found = [
        i for i in table.description.get("GlobalSecondaryIndexes", ()) if i["IndexName"] == name
    ]
    return dict(found[0])


def _change_index(call: Call, record: Record, request: Request, change: dict[str, Any]) -> None:
    description = record["Description"]
    indexes = description.get("GlobalSecondaryIndexes", [])
    by_name = {index["IndexName"]: index for index in indexes}
    if (created := change.get("Create")) is not None:
        _create_index(call, record, request, created, set(by_name))
        return
    wanted = change.get("Update") or change["Delete"]
    name = wanted["IndexName"]
    if name not in by_name:
        raise not_found("Requested resource not found")
    if change.get("Update"):
        if (throughput := wanted.get("ProvisionedThroughput")) is not None:
            schema.check_units(throughput)
            _set_throughput(by_name[name], throughput, round(call.tx.time_s, 3))
        if (on_demand := wanted.get("OnDemandThroughput")) is not None:
            by_name[name]["OnDemandThroughput"] = on_demand
        if (warmed := wanted.get("WarmThroughput")) is not None:
            schema.set_warm(by_name[name], warmed, description, f"index {name}")
        return
    indexes.remove(by_name[name])
    if not indexes:
        del description["GlobalSecondaryIndexes"]
    number = record["Indexes"].pop(name)
    overrides.forget(record, name)
    used = {
        key["AttributeName"]
        for part in (description, *indexes, *description.get("LocalSecondaryIndexes", ()))
        for key in part["KeySchema"]
    }
    description["AttributeDefinitions"] = [
        d for d in description["AttributeDefinitions"] if d["AttributeName"] in used
    ]
    job = Sweep(call.account, call.region, record["Key"], number)
    work.put(call.tx, SWEEP, job.pack())


def _create_index(
    call: Call, record: Record, request: Request, index: dict[str, Any], names: set[str]
) -> None:
    description = record["Description"]
    if any(i["IndexStatus"] != "ACTIVE" for i in description.get("GlobalSecondaryIndexes", ())):
        raise Fault(
            "LimitExceededException",
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        )
    known = {d["AttributeName"]: d for d in description["AttributeDefinitions"]}
    for definition in request.get("AttributeDefinitions") or ():
        name = definition["AttributeName"]
        if name in known and known[name] != definition:
            raise invalid(
                f"{_INVALID}Attribute {name} is already defined with another type in this table"
            )
        if name in known or name in {k["AttributeName"] for k in index["KeySchema"]}:
            known[name] = definition
    if index["IndexName"] in names:
        raise invalid("Attempting to create an index which already exists")
    names |= {i["IndexName"] for i in description.get("LocalSecondaryIndexes", ())}
    on_demand = description.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    schema.check_global(index, list(known), names, on_demand=on_demand)
    if len(description.get("GlobalSecondaryIndexes", ())) >= schema.GLOBAL_INDEXES_COUNT_MAX:
        raise invalid(
            f"{_INVALID}GlobalSecondaryIndex count exceeds the per-table limit of {schema.GLOBAL_INDEXES_COUNT_MAX}"
        )
    description["AttributeDefinitions"] = list(known.values())
    schema.add_global(call, record, index, "CREATING")
    job = Backfill(
        call.account, call.region, description["TableName"], index["IndexName"], record["Key"], b""
    )
    work.put(call.tx, BACKFILL, job.pack())
