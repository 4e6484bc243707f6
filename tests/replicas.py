"""Tables with replicas, as tests of several rooms make and watch them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

G = {"AttributeName": "g", "AttributeType": "S"}
BY_G = {
    "IndexName": "by-g",
    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}
TABLE = {
    "TableName": "table",
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def add(db: Any, region: str) -> Any:
    return db.update_table(TableName="table", ReplicaUpdates=[{"Create": {"RegionName": region}}])


def statuses(db: Any) -> dict[str, str]:
    table = db.describe_table(TableName="table")["Table"]
    return {r["RegionName"]: r["ReplicaStatus"] for r in table.get("Replicas", ())}


def contents_of(db: Any) -> list[Any]:
    return sorted(db.scan(TableName="table")["Items"], key=lambda i: i["pk"]["S"])
