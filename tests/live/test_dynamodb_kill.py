"""Backups, restores and new replicas go on after kill -9, and nothing is counted or written twice."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from live.server_process import ServerProcess

COUNT, KILLS = 4000, 6


@pytest.mark.skipif(not os.environ.get("STRATOLITE_SOAK"), reason="a soak: STRATOLITE_SOAK=1")
def test_tables_are_filled_across_kills(tmp_path: Path) -> None:
    """Six kills while a table is restored and another is copied to a second region."""
    server = ServerProcess(str(tmp_path / "cloud"))
    try:
        _fill_across_kills(server)
    finally:
        server.stop()


def _fill_across_kills(server: ServerProcess) -> None:
    db = server.client("dynamodb")
    by_g = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    db.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in ("pk", "g")],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[by_g],
    )
    for start in range(0, COUNT, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": f"k{i}"}, "g": {"S": f"g{i % 9}"}}}}
            for i in range(start, start + 25)
        ]
        db.batch_write_item(RequestItems={"orders": puts})
    made = db.create_backup(TableName="orders", BackupName="one")
    arn = made["BackupDetails"]["BackupArn"]
    server.kill()
    server.start()
    db = server.client("dynamodb")

    def status() -> str:
        described = db.describe_backup(BackupArn=arn)["BackupDescription"]
        return described["BackupDetails"]["BackupStatus"]

    _wait(lambda: status() == "AVAILABLE")
    db.restore_table_from_backup(TargetTableName="back", BackupArn=arn)
    replica = {"Create": {"RegionName": "eu-west-1"}}
    db.update_table(TableName="orders", ReplicaUpdates=[replica])
    for kill in range(KILLS):
        server.kill()
        server.start()
        db = server.client("dynamodb")
        db.put_item(TableName="orders", Item={"pk": {"S": f"during{kill}"}})
        time.sleep(0.2)  # some of the work
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    west = boto3.client("dynamodb", endpoint_url=server.endpoint, region_name="eu-west-1", **keys)
    assert west.meta.region_name == "eu-west-1"

    def table(client: Any, name: str) -> Any:
        return client.describe_table(TableName=name)["Table"]

    _wait(lambda: table(db, "back")["TableStatus"] == "ACTIVE")
    _wait(lambda: table(west, "orders")["ItemCount"] == COUNT + KILLS)
    back = table(db, "back")
    assert back["ItemCount"] == back["GlobalSecondaryIndexes"][0]["ItemCount"] == COUNT
    for index in ({}, {"IndexName": "by-g"}):
        pages = db.get_paginator("scan").paginate(TableName="back", Select="COUNT", **index)
        assert sum(page["Count"] for page in pages) == COUNT
    assert table(west, "orders")["TableStatus"] == "ACTIVE"


def _wait(holds: Any) -> None:
    deadline = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.05)
