"""Backups on demand, point-in-time recovery, and tables restored from either.

A backup is the table as it was when it was asked for, in blobs of compressed lines of JSON, made in the background while
writes go on (``copying``). With point-in-time recovery a table keeps what its writes replace for as many days as it says
(``history``). A restored table is CREATING while it is filled; its ItemCount shows how far that is.

A backup's record (state's ("backup", id)), JSON:

    {"Details", "Source", "Features"    what DescribeBackup answers
     "Record"                           the table's record as it was
     "At": ms, "After": base64          as of when; the last row copied
     "Pieces": int                      how many there are
     "Uses": int}                       restores under way

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Backup-and-Restore.html
"""

from __future__ import annotations

import base64
from copy import deepcopy
from typing import Any

import orjson

from stratolite.core import work
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.dynamodb import history, keyring, recasting, schema, shapes, state
from stratolite.services.dynamodb.base import Base, place_of, table_arn
from stratolite.services.dynamodb.copying import BACKUP, DATA_KEY, DROP_BACKUP, PURGE, RESTORE
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.table import Record, Table
from stratolite.services.dynamodb.tables import described

LISTED_COUNT_MAX = 100
LOOKED_AT_COUNT_MAX = 1000
DAYS_MAX = 35
_DAY_S = 86_400


class Backups(Base):
    def create_backup(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.CREATE_BACKUP, request)
        table = self._source(call, request["TableName"])
        if not table.is_ready:
            raise Fault("TableInUseException", f"Table is being created: {table.name}")
        if recasting.is_under_way(table):
            raise Fault("TableInUseException", f"Table is being updated: {table.name}")
        now_ms = int(call.tx.time_s * 1000)
        name = f"{now_ms:014d}-{call.world.token(4).hex()}"
        record = history.add_reader(call.tx, table, name)
        description = described(call.tx, record)
        details = {
            "BackupArn": f"{table.arn}/backup/{name}",
            "BackupName": request["BackupName"],
            "BackupSizeBytes": description["TableSizeBytes"],
            "BackupStatus": "CREATING",
            "BackupType": "USER",
            "BackupCreationDateTime": now_ms / 1000,
        }
        backup = {
            "Details": details,
            "Source": _source_of(description),
            "Features": _features_of(table, description),
            "Record": record,
            "At": now_ms
            - 1,  # a write of this very millisecond comes after us: it will be in the past
            "After": "",
            "Pieces": 0,
            "Uses": 0,
        }
        state.put_copy(call.tx, table.space, "backup", name, backup)
        work.put(call.tx, BACKUP, orjson.dumps([table.account, table.region, name]))
        return {"BackupDetails": details}

    def describe_backup(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.ONE_BACKUP, request)
        return {
            "BackupDescription": _backup_description(self._backup(call, request["BackupArn"])[1])
        }

    def list_backups(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.LIST_BACKUPS, request)
        name = request.get("TableName")
        if name is not None and ":" in name:
            name = place_of(call, name)[1]
        low, high = request.get("TimeRangeLowerBound"), request.get("TimeRangeUpperBound")
        limit = request.get("Limit", LISTED_COUNT_MAX)
        kind = request.get("BackupType", "ALL")
        after = request.get("ExclusiveStartBackupArn", "").rpartition("/")[2]
        found: list[dict[str, Any]] = []
        last = None
        listed = state.copies(call.tx, call.keys("dynamodb"), "backup", after)
        for looked, (_, backup) in enumerate(listed, 1):
            if len(found) == limit or looked > LOOKED_AT_COUNT_MAX:
                break
            details, source = backup["Details"], backup["Source"]
            last = details["BackupArn"]
            made_s = details["BackupCreationDateTime"]
            if (
                (name is None or source["TableName"] == name)
                and (low is None or made_s >= low)
                and (high is None or made_s < high)
                and kind in ("ALL", "USER")
            ):
                found.append({**{k: source[k] for k in _SUMMARY}, **details})
        else:
            last = None
        response: Response = {"BackupSummaries": found}
        if last is not None:
            response["LastEvaluatedBackupArn"] = last
        return response

    def delete_backup(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.ONE_BACKUP, request)
        name, backup = self._backup(call, request["BackupArn"])
        if backup["Details"]["BackupStatus"] != "AVAILABLE" or backup["Uses"]:
            raise Fault("BackupInUseException", f"Backup is in use: {request['BackupArn']}")
        backup["Details"]["BackupStatus"] = "DELETED"
        keys = call.keys("dynamodb")
        state.delete_copy(call.tx, keys, "backup", name)
        job = [call.account, call.region, name, backup["Pieces"]]
        work.put(call.tx, DROP_BACKUP, orjson.dumps(job))
        return {"BackupDescription": _backup_description(backup)}

    # -- point-in-time recovery

    def update_continuous_backups(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.UPDATE_RECOVERY, request)
        wanted = request["PointInTimeRecoverySpecification"]
        table = self._source(call, request["TableName"])
        record = deepcopy(table.record)
        if wanted["PointInTimeRecoveryEnabled"]:
            past = record.setdefault("Past", {"Number": call.tx.stamp()})
            days = wanted.get("RecoveryPeriodInDays", DAYS_MAX)
            if "Days" not in past:
                past["Since"] = round(call.tx.time_s, 3)
                job = [table.account, table.region, table.name, past["Number"], ""]
                due_s = call.tx.time_s + _DAY_S
                work.put(call.tx, PURGE, orjson.dumps(job), due_s=due_s)
            past["Days"] = days
        elif "Past" in record:
            record["Past"].pop("Days", None)
            record["Past"].pop("Since", None)
            history.forget_unless_wanted(call.tx, table.account, table.region, record)
        state.put_table(call.tx, table.account, table.region, record)
        return {"ContinuousBackupsDescription": _recovery(call, record)}

    def describe_continuous_backups(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.NAMED_TABLE, request)
        table = self._source(call, request["TableName"])
        return {"ContinuousBackupsDescription": _recovery(call, table.record)}

    # -- restores

    def restore_table_from_backup(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.RESTORE_BACKUP, request)
        name, backup = self._backup(call, request["BackupArn"])
        if backup["Details"]["BackupStatus"] != "AVAILABLE":
            raise Fault("BackupInUseException", f"Backup is being made: {request['BackupArn']}")
        backup["Uses"] += 1
        state.put_copy(call.tx, call.keys("dynamodb"), "backup", name, backup)
        summary = {
            "SourceBackupArn": backup["Details"]["BackupArn"],
            "SourceTableArn": backup["Source"]["TableArn"],
            "RestoreDateTime": backup["Details"]["BackupCreationDateTime"],
        }
        of = {"Backup": name}
        if (sse := backup["Record"].get("Sse")) is not None:
            source = backup["Source"]["TableName"]
            data_key = self.keyring.data_key(call, call.account, call.region, source, sse)
            sealed = call.cloud.vault.seal(data_key, DATA_KEY)
            of["DataKey"] = base64.b64encode(sealed).decode()
        return self._restore(call, request, backup["Record"], summary, of)

    def restore_table_to_point_in_time(self, call: Call, request: Request) -> Response:
        shapes.check(shapes.RESTORE_TIME, request)
        source = request.get("SourceTableArn") or request.get("SourceTableName")
        if source is None:
            raise invalid("Either SourceTableArn or SourceTableName must be given")
        table = self._source(call, source)
        at_ms, at_s = restorable(call, table, request.get("RestoreDateTime"), request)
        reader = call.world.token(8).hex()
        history.add_reader(call.tx, table, reader)
        summary = {"SourceTableArn": table.arn, "RestoreDateTime": at_s}
        of = {"Table": table.name, "Key": table.number, "At": at_ms, "Reader": reader}
        return self._restore(call, request, table.record, summary, of)

    def _restore(
        self,
        call: Call,
        request: Request,
        record: Record,
        summary: dict[str, Any],
        source: dict[str, Any],
    ) -> Response:
        name = request["TargetTableName"]
        if state.table(call.tx, call.account, call.region, name) is not None:
            raise Fault("TableAlreadyExistsException", f"Table already exists: {name}")
        wanted = _creation(record["Description"], request)
        schema.check_create(wanted)
        made = schema.new_record(call, wanted, call.world.uuid(), table_arn(call, name))
        made["Counted"] = True
        made["Description"]["TableStatus"] = "CREATING"
        key = keyring.wanted_key(request, "SSESpecificationOverride")
        if key is None and "Off" not in record.get("Sse", {"Off": True}):
            key = record["Sse"]["Key"]
        if key:
            self.keyring.begin(call, made, key)
        made["Description"]["RestoreSummary"] = {**summary, "RestoreInProgress": True}
        state.put_table(call.tx, call.account, call.region, made)
        job = {"Account": call.account, "Region": call.region, "Name": name, "Number": made["Key"]}
        work.put(call.tx, RESTORE, orjson.dumps({**job, **source}))
        return {"TableDescription": described(call.tx, made, status="CREATING")}

    # -- finding

    def _source(self, call: Call, name: str) -> Table:
        account, plain = place_of(call, name) if ":" in name else (call.account, name)
        found = state.table(call.tx, account, call.region, plain)
        if found is None:
            raise Fault("TableNotFoundException", f"Table not found: {name}")
        return found

    def _backup(self, call: Call, arn: str) -> tuple[str, dict[str, Any]]:
        """(id, record). Raises BackupNotFoundException."""
        table, _, name = arn.partition("/backup/")
        found = None
        if name and place_of(call, table)[0] == call.account:
            found = state.copy(call.tx, call.keys("dynamodb"), "backup", name)
        if found is None or found["Details"]["BackupArn"] != arn:
            raise Fault("BackupNotFoundException", f"Backup not found: {arn}")
        return name, found


_SUMMARY = ("TableName", "TableId", "TableArn")


def restorable(
    call: Call, table: Table, wanted_s: float | None, request: Request
) -> tuple[int, float]:
    """(ms to read the past at, seconds to say) of a wanted time; None: the latest. Raises what DynamoDB would."""
    if "Days" not in table.past:
        raise Fault(
            "PointInTimeRecoveryUnavailableException",
            f"Point in time recovery is not enabled for table '{table.name}'",
        )
    now_s = call.tx.time_s
    if wanted_s is None:
        if request.get("UseLatestRestorableTime") is False:
            raise invalid("Either RestoreDateTime or UseLatestRestorableTime must be given")
        wanted_s = now_s
    earliest_s = _earliest(table.record, now_s)
    if not earliest_s <= wanted_s <= now_s:
        raise Fault(
            "InvalidRestoreTimeException",
            f"Invalid restore time: it must be from {earliest_s:.3f} to {now_s:.3f}",
        )
    return min(int(wanted_s * 1000), int(now_s * 1000) - 1), round(wanted_s, 3)


def _earliest(record: Record, now_s: float) -> float:
    past = record["Past"]
    return max(past["Since"], round(now_s - past["Days"] * _DAY_S, 3))  # type: ignore[no-any-return]


def _recovery(call: Call, record: Record) -> dict[str, Any]:
    recovery: dict[str, Any] = {"PointInTimeRecoveryStatus": "DISABLED"}
    past = record.get("Past") or {}
    if "Days" in past:
        recovery = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": past["Days"],
            "EarliestRestorableDateTime": _earliest(record, call.tx.time_s),
            "LatestRestorableDateTime": round(call.tx.time_s, 3),
        }
    return {"ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery}


def _source_of(description: dict[str, Any]) -> dict[str, Any]:
    source = {
        name: description[name]
        for name in ("TableName", "TableId", "TableArn", "TableSizeBytes", "KeySchema", "ItemCount")
    }
    source["TableCreationDateTime"] = description["CreationDateTime"]
    units = description["ProvisionedThroughput"]
    source["ProvisionedThroughput"] = {
        k: units[k] for k in ("ReadCapacityUnits", "WriteCapacityUnits")
    }
    mode = description.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    source["BillingMode"] = mode
    if "OnDemandThroughput" in description:
        source["OnDemandThroughput"] = description["OnDemandThroughput"]
    return source


def _features_of(table: Table, description: dict[str, Any]) -> dict[str, Any]:
    features: dict[str, Any] = {}
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        if indexes := description.get(member):
            features[member] = [
                {k: i[k] for k in ("IndexName", "KeySchema", "Projection")} for i in indexes
            ]
    if "StreamSpecification" in description:
        features["StreamDescription"] = description["StreamSpecification"]
    if table.ttl_attribute is not None:
        features["TimeToLiveDescription"] = {
            "TimeToLiveStatus": "ENABLED",
            "AttributeName": table.ttl_attribute,
        }
    if table.sse is not None:
        features["SSEDescription"] = keyring.description(table.sse)
    return features


def _backup_description(backup: dict[str, Any]) -> dict[str, Any]:
    return {
        "BackupDetails": backup["Details"],
        "SourceTableDetails": backup["Source"],
        "SourceTableFeatureDetails": backup["Features"],
    }


_UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")


def _creation(description: dict[str, Any], request: Request) -> dict[str, Any]:
    """What CreateTable would be asked for a table like this one, with the overrides of a restore."""
    wanted: dict[str, Any] = {"KeySchema": description["KeySchema"]}
    mode = request.get("BillingModeOverride") or description.get("BillingModeSummary", {}).get(
        "BillingMode", "PROVISIONED"
    )
    wanted["BillingMode"] = mode
    on_demand = mode == "PAY_PER_REQUEST"
    if not on_demand:
        units = request.get("ProvisionedThroughputOverride") or description["ProvisionedThroughput"]
        wanted["ProvisionedThroughput"] = {name: max(units[name], 1) for name in _UNITS}
    if limits := request.get("OnDemandThroughputOverride") or description.get("OnDemandThroughput"):
        wanted["OnDemandThroughput"] = limits
    if "TableClassSummary" in description:
        wanted["TableClass"] = description["TableClassSummary"]["TableClass"]
    for member, override in (
        ("LocalSecondaryIndexes", "LocalSecondaryIndexOverride"),
        ("GlobalSecondaryIndexes", "GlobalSecondaryIndexOverride"),
    ):
        there = {i["IndexName"]: i for i in description.get(member, ())}
        chosen = request.get(override)
        for index in chosen or ():
            if index["IndexName"] not in there:
                raise invalid(
                    f"{override}: the source has no index {index['IndexName']}; a restore makes no new ones"
                )
        indexes = []
        for index in there.values() if chosen is None else chosen:
            made = {k: index[k] for k in ("IndexName", "KeySchema", "Projection")}
            if member == "GlobalSecondaryIndexes" and not on_demand:
                units = index.get("ProvisionedThroughput") or wanted["ProvisionedThroughput"]
                made["ProvisionedThroughput"] = {name: max(units[name], 1) for name in _UNITS}
            indexes.append(made)
        if indexes:
            wanted[member] = indexes
    used = {
        key["AttributeName"]
        for part in (
            wanted,
            *wanted.get("LocalSecondaryIndexes", ()),
            *wanted.get("GlobalSecondaryIndexes", ()),
        )
        for key in part["KeySchema"]
    }
    wanted["AttributeDefinitions"] = [
        d for d in description["AttributeDefinitions"] if d["AttributeName"] in used
    ]
    wanted["TableName"] = request["TargetTableName"]
    return wanted
