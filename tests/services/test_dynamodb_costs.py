"""What a call costs does not grow with what is stored: keys read and written, bytes, rows looked at, the same at any size."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import pytest
from eventing import advance

from stratolite.services.dynamodb import state
from stratolite.services.dynamodb.writes import Write

SIZES = (1_000, 1_000_000) if os.environ.get("STRATOLITE_SOAK") else (200, 4_000)
G = {"AttributeName": "g", "AttributeType": "S"}
BY_G = {
    "IndexName": "by-g",
    "KeySchema": [
        {"AttributeName": "g", "KeyType": "HASH"},
        {"AttributeName": "pk", "KeyType": "RANGE"},
    ],
    "Projection": {"ProjectionType": "ALL"},
}
PAD = {"S": "x" * 500}


class Counted:
    """Counts what the calls of clients read and write; not what workers do beside them."""

    def __init__(self, platform: Any) -> None:
        database, app = platform.cloud.db, platform.app
        self.gets = self.rows = self.puts = self.bytes = 0
        self.is_call = False
        get, scan, merge = database.get_committed, database.scan_committed, database._merge
        handle = app.handle

        def counted_handle(*words: Any) -> Any:
            """These calls' transactions run inside this one step of the loop: nothing else runs meanwhile."""
            self.is_call = True
            try:
                return handle(*words)
            finally:
                self.is_call = False

        def counted_get(tx: Any, key: bytes) -> Any:
            self.gets += self.is_call
            return get(tx, key)

        def counted_scan(*words: Any, **more: Any) -> Any:
            for row in scan(*words, **more):
                self.rows += self.is_call
                yield row

        def counted_merge(tx: Any) -> None:
            if self.is_call:
                self.puts += len(tx.writes)
                self.bytes += sum(len(k) + len(v or b"") for k, v in tx.writes.items())
            merge(tx)

        app.handle = counted_handle
        database.get_committed, database.scan_committed = counted_get, counted_scan
        database._merge = counted_merge

    def since(self, call: Any) -> tuple[int, int, int, int]:
        before = (self.gets, self.rows, self.puts, self.bytes)
        call()
        after = (self.gets, self.rows, self.puts, self.bytes)
        return tuple(b - a for a, b in zip(before, after, strict=True))  # type: ignore[return-value]


@pytest.fixture
def costs(platform: Any, client: Any) -> Any:
    db = client("dynamodb")
    db.create_table(
        TableName="table",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}, G],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[BY_G],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    recovery = {"PointInTimeRecoveryEnabled": True}
    db.update_continuous_backups(TableName="table", PointInTimeRecoverySpecification=recovery)
    counted = Counted(platform)

    def item(i: int) -> dict[str, Any]:
        return {"pk": {"S": f"k{i:08d}"}, "g": {"S": f"g{i % 50:02d}"}, "body": PAD}

    def fill(start: int, stop: int) -> None:
        """As calls write, with all that follows, but many items a transaction: a million requests would take the soak hours."""

        def some(tx: Any, numbers: range) -> None:
            table = state.table(tx, "000000000000", "us-east-1", "table")
            assert table is not None
            for i in numbers:
                made = item(i)
                Write(tx, table, table.row(made)).put(made)

        for at in range(start, stop, 500):
            numbers = range(at, min(at + 500, stop))
            platform.run(platform.cloud.db.transact(partial(some, numbers=numbers)))

    def measure() -> dict[str, tuple[int, int, int, int]]:
        key = {"pk": {"S": "k00000007"}}
        query = {
            "TableName": "table", "IndexName": "by-g", "KeyConditionExpression": "g = :g", "Limit": 3,
            "ExpressionAttributeValues": {":g": {"S": "g07"}},
        }  # fmt: skip
        update = {
            "TableName": "table", "Key": key, "UpdateExpression": "SET body = :p",
            "ExpressionAttributeValues": {":p": {"S": "y" * 500}},
        }  # fmt: skip
        statement = {"Statement": "SELECT * FROM \"table\" WHERE pk = 'k00000007'"}
        writes = [
            {"Put": {"TableName": "table", "Item": {**item(n), "body": {"S": "z"}}}}
            for n in (1, 2, 3)
        ]
        # Forgets the tokens of ten minutes ago, as each transaction does some: the cost of time, not of size.
        check = {"TableName": "table", "Key": key, "ConditionExpression": "attribute_exists(pk)"}
        db.transact_write_items(TransactItems=[{"ConditionCheck": check}])
        found = {
            "get": counted.since(lambda: db.get_item(TableName="table", Key=key)),
            "put": counted.since(
                lambda: db.put_item(TableName="table", Item={**item(7), "body": {"S": "w" * 500}})
            ),
            "update": counted.since(lambda: db.update_item(**update)),
            "query": counted.since(lambda: db.query(**query)),
            "scan": counted.since(lambda: db.scan(TableName="table", Limit=5)),
            "partiql": counted.since(lambda: db.execute_statement(**statement)),
            "transact": counted.since(lambda: db.transact_write_items(TransactItems=writes)),
            "describe": counted.since(lambda: db.describe_table(TableName="table")),
        }
        fill(1, 8)
        return found

    return fill, measure


def test_a_call_costs_the_same_at_any_size(costs: Any, platform: Any) -> None:
    """With an index, a stream and recovery on: gets, rows, puts, bytes a call; and a quarter of an hour later."""
    fill, measure = costs
    fill(0, SIZES[0])
    small = measure()
    print(f"{SIZES[0]} items: {small}")
    fill(SIZES[0], SIZES[1])
    advance(platform, 900)
    large = measure()
    print(f"{SIZES[1]} items: {large}")
    assert large == small
    # The item, its row in the index (and none elsewhere), its past, its stream record; sizes stay as they are.
    assert small["put"][2] == 4
    assert small["get"][2] == small["query"][2] == small["scan"][2] == 0
    assert small["query"][1] <= 5
    assert small["scan"][1] <= 8
