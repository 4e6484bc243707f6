"""Backups, point-in-time recovery and restores: a table as it was, while writes go on and across kills.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Backup-and-Restore.html
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from replicas import eventually, refused

SCHEMA = {
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "N"},
        {"AttributeName": "g", "AttributeType": "S"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by-g",
            "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
DAY_S = 86_400


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


def advance(platform: Any, seconds: float) -> None:
    clock, world = platform.cloud.clock, platform.world
    offset_s = platform.run(platform.cloud.db.transact(lambda tx: clock.advance(tx, seconds)))
    eventually(lambda: world.cloud_offset_s >= offset_s)


def items(db: Any, table: str) -> list[Any]:
    found, page = [], {}
    while True:
        page = db.scan(
            TableName=table, **({"ExclusiveStartKey": page["LastEvaluatedKey"]} if page else {})
        )
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(found, key=lambda i: (i["pk"]["S"], int(i["sk"]["N"])))


class Model:
    """A table, and what it must hold."""

    def __init__(self, db: Any, name: str, seed: int) -> None:
        self.db, self.name, self.rand = db, name, random.Random(seed)
        self.items: dict[tuple[str, int], Any] = {}

    def write(self, count: int) -> None:
        for _ in range(count):
            key = (f"p{self.rand.randrange(6)}", self.rand.randrange(40))
            names = {"pk": {"S": key[0]}, "sk": {"N": str(key[1])}}
            if self.rand.random() < 0.3:
                self.db.delete_item(TableName=self.name, Key=names)
                self.items.pop(key, None)
            else:
                item = {
                    **names,
                    "g": {"S": f"g{self.rand.randrange(3)}"},
                    "v": {"N": str(self.rand.randrange(9))},
                }
                self.db.put_item(TableName=self.name, Item=item)
                self.items[key] = item

    def sorted(self) -> list[Any]:
        return [self.items[key] for key in sorted(self.items)]


def status(db: Any, table: str) -> str:
    return db.describe_table(TableName=table)["Table"]["TableStatus"]


def restored(db: Any, name: str) -> list[Any]:
    eventually(lambda: status(db, name) == "ACTIVE")
    table = db.describe_table(TableName=name)["Table"]
    assert table["RestoreSummary"]["RestoreInProgress"] is False
    found = items(db, name)
    assert table["ItemCount"] == len(found)
    indexed = sorted(
        (i for g in ("g0", "g1", "g2") for i in db.query(
            TableName=name, IndexName="by-g", KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": g}})["Items"]),
        key=lambda i: (i["pk"]["S"], int(i["sk"]["N"])),
    )  # fmt: skip
    assert indexed == found
    return found


def test_a_backup_is_the_table_when_it_was_asked_for(db: Any, platform: Any) -> None:
    """Writes that come while it is made are not in it; it outlives its table and a restart; it can be had as often as wanted."""
    db.create_table(TableName="table", **SCHEMA)
    model = Model(db, "table", 1)
    model.write(400)
    wanted = model.sorted()
    details = db.create_backup(TableName="table", BackupName="first")["BackupDetails"]
    model.write(100)
    arn = details["BackupArn"]
    assert details["BackupStatus"] == "CREATING"

    def described() -> Any:
        return db.describe_backup(BackupArn=arn)["BackupDescription"]

    eventually(lambda: described()["BackupDetails"]["BackupStatus"] == "AVAILABLE")
    assert described()["SourceTableDetails"]["ItemCount"] == len(wanted)
    assert (
        described()["SourceTableFeatureDetails"]["GlobalSecondaryIndexes"][0]["IndexName"] == "by-g"
    )
    db.delete_table(TableName="table")
    platform.reopen()
    for name in ("again", "third"):
        made = db.restore_table_from_backup(TargetTableName=name, BackupArn=arn)["TableDescription"]
        assert (made["TableStatus"], made["RestoreSummary"]["RestoreInProgress"]) == (
            "CREATING",
            True,
        )
        assert made["RestoreSummary"]["SourceBackupArn"] == arn
    assert restored(db, "again") == restored(db, "third") == wanted
    refused(
        "TableAlreadyExistsException",
        db.restore_table_from_backup,
        TargetTableName="again",
        BackupArn=arn,
    )
    listed = db.list_backups(TableName="table")["BackupSummaries"]
    assert [(b["BackupName"], b["TableName"]) for b in listed] == [("first", "table")]
    assert (
        db.delete_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]
        == "DELETED"
    )
    message = refused("BackupNotFoundException", db.describe_backup, BackupArn=arn)
    assert message == f"Backup not found: {arn}"
    eventually(
        lambda: not rows(platform, "past") and not rows(platform, "piece/" + arn.rpartition("/")[2])
    )


def rows(platform: Any, kind: str) -> int:
    from stratolite.core import Keyspace

    span = Keyspace("000000000000", "us-east-1", "dynamodb").span(kind)
    return platform.run(platform.cloud.db.transact(lambda tx: len(list(tx.scan(span)))))


def test_backups_are_listed_in_pages(db: Any) -> None:
    db.create_table(TableName="table", **SCHEMA)
    db.create_table(TableName="other", **SCHEMA)
    for i in range(3):
        db.create_backup(TableName="table", BackupName=f"number{i}")
    db.create_backup(TableName="other", BackupName="others")
    found, page = [], db.list_backups(Limit=1, TableName="table")
    while True:
        found += [b["BackupName"] for b in page["BackupSummaries"]]
        if "LastEvaluatedBackupArn" not in page:
            break
        page = db.list_backups(
            Limit=1, TableName="table", ExclusiveStartBackupArn=page["LastEvaluatedBackupArn"]
        )
    assert found == ["number0", "number1", "number2"]
    assert len(db.list_backups()["BackupSummaries"]) == 4
    assert db.list_backups(BackupType="SYSTEM")["BackupSummaries"] == []
    refused("TableNotFoundException", db.create_backup, TableName="nobody", BackupName="name")


def test_a_table_goes_back_to_any_second(db: Any, platform: Any) -> None:
    """Each of the states it went through since recovery was enabled, while it is written to."""
    db.create_table(TableName="table", **SCHEMA)
    model = Model(db, "table", 2)
    model.write(60)
    refused(
        "PointInTimeRecoveryUnavailableException", db.restore_table_to_point_in_time,
        SourceTableName="table", TargetTableName="never", UseLatestRestorableTime=True,
    )  # fmt: skip
    recovery = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 7}
    on = db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=recovery)
    said = on["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert (said["PointInTimeRecoveryStatus"], said["RecoveryPeriodInDays"]) == ("ENABLED", 7)
    states = []
    for _ in range(4):
        advance(platform, 10)
        states.append((platform.world.cloud(), model.sorted()))
        advance(platform, 10)
        model.write(40)
    platform.reopen()
    for i, (at_s, _) in enumerate(states):
        made = db.restore_table_to_point_in_time(
            SourceTableName="table", TargetTableName=f"back{i}", RestoreDateTime=at_s
        )["TableDescription"]
        assert made["RestoreSummary"]["SourceTableArn"].endswith("table/table")
    db.restore_table_to_point_in_time(
        SourceTableName="table", TargetTableName="latest", UseLatestRestorableTime=True
    )
    latest = model.sorted()
    model.write(50)
    for i, (_, wanted) in enumerate(states):
        assert restored(db, f"back{i}") == wanted
    assert restored(db, "latest") == latest
    for wrong in (states[0][0] - 1000, platform.world.cloud() + 1000):
        refused(
            "InvalidRestoreTimeException", db.restore_table_to_point_in_time,
            SourceTableName="table", TargetTableName="never", RestoreDateTime=wrong,
        )  # fmt: skip
    off = {"PointInTimeRecoveryEnabled": False}
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=off)
    eventually(lambda: not rows(platform, "past"))


def test_the_past_is_forgotten_after_the_recovery_period(db: Any, platform: Any) -> None:
    """A pass a day takes away what no time of the window needs, and nothing else."""
    db.create_table(TableName="table", **SCHEMA)
    recovery = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 2}
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=recovery)
    model = Model(db, "table", 3)
    model.write(50)
    assert rows(platform, "past") > 0
    advance(platform, 1.5 * DAY_S)
    at_s, wanted = platform.world.cloud(), model.sorted()
    advance(platform, 10)
    model.write(10)
    young = rows(platform, "past")
    advance(platform, DAY_S)
    eventually(lambda: rows(platform, "past") <= 10 < young)
    db.restore_table_to_point_in_time(
        SourceTableName="table", TargetTableName="back", RestoreDateTime=at_s
    )
    assert restored(db, "back") == wanted
    description = db.describe_continuous_backups(TableName="table")["ContinuousBackupsDescription"]
    window = description["PointInTimeRecoveryDescription"]
    assert (window["LatestRestorableDateTime"] - window["EarliestRestorableDateTime"]).days == 2


def test_a_table_being_restored_is_described_and_nothing_else(db: Any, platform: Any) -> None:
    """Its ItemCount grows; it goes on after a kill; neither it nor its source can be deleted meanwhile."""
    db.create_table(TableName="table", **SCHEMA)
    for start in range(0, 3000, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": f"p{n % 7}"}, "sk": {"N": str(n)}, "g": {"S": f"g{n % 3}"}}}}
            for n in range(start, start + 25)
        ]  # fmt: skip
        db.batch_write_item(RequestItems={"table": puts})
    arn = db.create_backup(TableName="table", BackupName="first")["BackupDetails"]["BackupArn"]
    refused("ResourceInUseException", db.delete_table, TableName="table")
    refused("BackupInUseException", db.delete_backup, BackupArn=arn)
    eventually(
        lambda: (
            db.describe_backup(BackupArn=arn)["BackupDescription"]["BackupDetails"]["BackupStatus"]
            == "AVAILABLE"
        )
    )
    db.restore_table_from_backup(
        TargetTableName="back", BackupArn=arn, BillingModeOverride="PROVISIONED", GlobalSecondaryIndexOverride=[],
        ProvisionedThroughputOverride={"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
    )  # fmt: skip
    seen = set()

    def count() -> int:
        table = db.describe_table(TableName="back")["Table"]
        seen.add(table["ItemCount"])
        if table["TableStatus"] == "CREATING":
            key = {"pk": {"S": "p0"}, "sk": {"N": "0"}}
            refused("ResourceNotFoundException", db.get_item, TableName="back", Key=key)
            refused("ResourceInUseException", db.delete_table, TableName="back")
        return table["ItemCount"]

    eventually(lambda: count() > 0)
    platform.reopen()
    eventually(lambda: count() == 3000 and status(db, "back") == "ACTIVE")
    assert all(n % 100 == 0 for n in seen)
    assert len(items(db, "back")) == 3000
    table = db.describe_table(TableName="back")["Table"]
    assert "GlobalSecondaryIndexes" not in table
    assert table["ProvisionedThroughput"]["WriteCapacityUnits"] == 4
    db.delete_table(TableName="table")
