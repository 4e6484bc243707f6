"""Several writers at once, one who changes the table's encryption, and kill -9 in between: table, index, stream and count agree with what was acknowledged."""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from live.server_process import ServerProcess

WRITERS, KEYS_COUNT, CALLS_COUNT = 3, 6, 30
KILLS = 20 if os.environ.get("STRATOLITE_SOAK") else 2
TABLE = "orders"
Item = dict[str, Any] | None


class Writer:
    """Changes items of its own and knows, of each, what it may be: more than one thing only while a call is unanswered."""

    def __init__(self, number: int) -> None:
        self.random = random.Random(number)
        self.keys = [{"pk": {"S": f"w{number}"}, "sk": {"S": str(n)}} for n in range(KEYS_COUNT)]
        self.known: list[Item] = [None] * KEYS_COUNT
        self.asked: dict[int, Item] = {}
        """What the call under way makes of which items."""
        self.calls_count = 0
        self.warm = threading.Event()

    def run(self, server: ServerProcess) -> None:
        """Until the server is gone."""
        db = server.client("dynamodb")
        self.calls_count = 0
        try:
            while True:
                self.step(db)
                self.known = [self.asked.get(n, item) for n, item in enumerate(self.known)]
                self.asked = {}
                self.calls_count += 1
                if self.calls_count == CALLS_COUNT:
                    self.warm.set()
        except BotoCoreError:
            pass  # whether the last call was carried out, nobody has said
        finally:
            self.warm.set()

    def step(self, db: Any) -> None:
        at, value = self.random.randrange(KEYS_COUNT), str(self.random.randrange(10**6))
        key, old = self.keys[at], self.known[at]
        new = {**key, "v": {"S": value}}
        if self.random.random() < 0.7:
            new["g"] = {"S": f"g{self.random.randrange(3)}"}
        what = self.random.choice(["put", "update", "delete", "transact", "batch"])
        if what == "put":
            self.asked = {at: new}
            db.put_item(TableName=TABLE, Item=new)
        elif what == "update":
            self.asked = {at: {**(old or key), "v": {"S": value}}}
            words = {"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": {"S": value}}}  # fmt: skip
            db.update_item(TableName=TABLE, Key=key, **words)
        elif what == "delete":
            self.asked = {at: None}
            db.delete_item(TableName=TABLE, Key=key)
        else:
            other = (at + 1) % KEYS_COUNT
            items = [new, {**new, **self.keys[other]}]
            self.asked = {at: items[0], other: items[1]}
            if what == "transact":
                puts = [{"Put": {"TableName": TABLE, "Item": item}} for item in items]
                db.transact_write_items(TransactItems=puts)
            else:
                puts = [{"PutRequest": {"Item": item}} for item in items]
                assert not db.batch_write_item(RequestItems={TABLE: puts})["UnprocessedItems"]

    def look(self, db: Any) -> None:
        """All of the call under way was carried out, or nothing of it."""
        done = set()
        for at, new in self.asked.items():
            found = db.get_item(TableName=TABLE, Key=self.keys[at]).get("Item")
            assert found in (new, self.known[at]), (found, new, self.known[at])
            if new != self.known[at]:
                done.add(found == new)
            self.known[at] = found
        assert len(done) <= 1, "half a transaction"
        self.asked = {}


class Turner:
    """Puts the table under a KMS key and takes it away again, as fast as it may, until the server is gone."""

    def __init__(self) -> None:
        self.turns_count = 0
        self.wrong: list[str] = []

    def run(self, server: ServerProcess) -> None:
        db = server.client("dynamodb")
        try:
            while not self.wrong:
                self.step(db)
        except BotoCoreError:
            pass

    def step(self, db: Any) -> None:
        on = "SSEDescription" in db.describe_table(TableName=TABLE)["Table"]
        try:
            db.update_table(TableName=TABLE, SSESpecification={"Enabled": not on})
            self.turns_count += 1
        except ClientError as error:
            said = error.response["Error"]
            under_way = said["Code"] == "ResourceInUseException"
            if not under_way and "AWS owned key" not in said["Message"]:
                self.wrong.append(str(error))


def test_what_was_acknowledged_is_there_everywhere_after_kills(tmp_path: Path) -> None:
    server = ServerProcess(str(tmp_path / "cloud"))
    try:
        db = server.client("dynamodb")
        arn = create(db)
        writers, turner = [Writer(n) for n in range(WRITERS)], Turner()
        for _ in range(KILLS):
            threads = [threading.Thread(target=w.run, args=(server,)) for w in (*writers, turner)]
            for thread in threads:
                thread.start()
            for writer in writers:
                assert writer.warm.wait(120)
            server.kill()
            for thread in threads:
                thread.join(120)
                assert not thread.is_alive()
            assert sum(writer.calls_count for writer in writers) >= CALLS_COUNT
            assert not turner.wrong
            server.start()
            db = server.client("dynamodb")
            for writer in writers:
                writer.look(db)
                writer.warm.clear()
            agree(server, arn, [item for w in writers for item in w.known if item is not None])
        assert turner.turns_count
    finally:
        server.stop()


def create(db: Any) -> str:
    """The ARN of the table's stream."""
    by_g = {
        "IndexName": "by-g",
        "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    made = db.create_table(
        TableName=TABLE,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": n, "AttributeType": "S"} for n in ("pk", "sk", "g")
        ],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[by_g],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])


def agree(server: ServerProcess, arn: str, wanted: list[dict[str, Any]]) -> None:
    db = server.client("dynamodb")
    assert by_key(db.scan(TableName=TABLE)["Items"]) == by_key(wanted)
    indexed = [item for item in wanted if "g" in item]
    assert by_key(db.scan(TableName=TABLE, IndexName="by-g")["Items"]) == by_key(indexed)
    described = db.describe_table(TableName=TABLE)["Table"]
    assert described["ItemCount"] == len(wanted)
    assert described["GlobalSecondaryIndexes"][0]["ItemCount"] == len(indexed)
    told: dict[Any, Any] = {}
    for record in changes(server, arn):
        change = record["dynamodb"]
        name = key_of(change["Keys"])
        assert told.get(name) == change.get("OldImage"), (
            "the stream skips a change, or tells it twice"
        )
        told[name] = change.get("NewImage")
    assert {name: item for name, item in told.items() if item} == by_key(wanted)


def changes(server: ServerProcess, arn: str) -> list[Any]:
    streams = server.client("dynamodbstreams")
    found: list[Any] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        place = {"StreamArn": arn, "ShardId": shard["ShardId"]}
        iterator = streams.get_shard_iterator(**place, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]  # fmt: skip
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            found += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return found


def key_of(item: Any) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def by_key(items: list[Any]) -> dict[tuple[str, str], Any]:
    assert len({key_of(item) for item in items}) == len(items)
    return {key_of(item): item for item in items}
