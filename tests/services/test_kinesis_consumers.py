"""A consumer as the Kinesis Client Library is one, over records aggregated as the Kinesis Producer Library does it.

Workers hold leases on shards in a DynamoDB table: taken by conditional writes, kept alive by a counter, carried over by
whoever sees the counter stand still. Children of a shard begin when it is checkpointed at its end.
Sources  https://docs.aws.amazon.com/streams/latest/dev/kcl-concepts.html
         https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records

FAMILIES = [f"family{n}" for n in range(6)]
END = "SHARD_END"


@pytest.fixture
def table(client: Any) -> Any:
    client("dynamodb").create_table(
        TableName="leases", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
    )  # fmt: skip
    return client("dynamodb")


class Producer:
    """Several user records a Kinesis record; those of a family go together, under its name."""

    def __init__(self, kinesis: Any) -> None:
        self.kinesis, self.count = kinesis, 0
        self.sent: dict[str, list[int]] = defaultdict(list)

    def send(self, rounds: int) -> None:
        for _ in range(rounds):
            for family in FAMILIES:
                made = RecordAggregator()
                for key in (family, f"{family}-a", f"{family}-b", family):
                    made.add_user_record(key, str(self.count).encode())
                    self.sent[key].append(self.count)
                    self.count += 1
                key, _, data = made.clear_and_get().get_contents()
                assert data.startswith(b"\xf3\x89\x9a\xc2")
                self.kinesis.put_record(StreamName="s", PartitionKey=key, Data=data)


class Worker:
    """One step at a time: look at shards, take leases, read a page of each, checkpoint."""

    def __init__(self, client: Any, name: str, seen: list[tuple[str, int]]) -> None:
        self.kinesis, self.table, self.name, self.seen = client("kinesis"), client("dynamodb"), name, seen  # fmt: skip
        self.counters: dict[str, str] = {}
        self.held: dict[str, str | None] = {}
        """Shard -> iterator."""

    def leases(self) -> dict[str, dict[str, str]]:
        items = self.table.scan(TableName="leases", ConsistentRead=True)["Items"]
        rows = [
            {name: next(iter(value.values())) for name, value in item.items()} for item in items
        ]
        return {row["leaseKey"]: row for row in rows}

    def find_shards(self) -> None:
        for shard in self.kinesis.list_shards(StreamName="s")["Shards"]:
            parents = [shard[n] for n in ("ParentShardId", "AdjacentParentShardId") if n in shard]
            row = {"leaseKey": {"S": shard["ShardId"]}, "parents": {"S": " ".join(parents)}, "checkpoint": {"S": "TRIM_HORIZON"},
                   "owner": {"S": "-"}, "counter": {"N": "0"}}  # fmt: skip
            with suppress(self.table.exceptions.ConditionalCheckFailedException):
                self.table.put_item(TableName="leases", Item=row, ConditionExpression="attribute_not_exists(leaseKey)")  # fmt: skip

    def take(self, most: int) -> None:
        """Of leases that are free, or whose counter has not moved since the last look."""
        leases = self.leases()
        for shard, row in leases.items():
            still = self.counters.get(shard) == row["counter"] and row["owner"] != self.name
            self.counters[shard] = row["counter"]
            waits = any(leases.get(p, {"checkpoint": END})["checkpoint"] != END for p in row["parents"].split())  # fmt: skip
            if shard in self.held or row["checkpoint"] == END or waits or len(self.held) >= most:
                continue
            if (row["owner"] == "-" or still) and self.write(
                shard, row["counter"], owner=self.name
            ):
                self.held[shard] = self.iterator(shard, row["checkpoint"])

    def write(self, shard: str, counter: str, **values: str) -> bool:
        """A conditional write that moves the counter; False when somebody else was faster."""
        names = {"#c": "counter"} | {f"#{name}": name for name in values}
        sets = "".join(f", #{name} = :{name}" for name in values)
        given = {f":{name}": {"S": value} for name, value in values.items()}
        try:
            answer = self.table.update_item(
                TableName="leases", Key={"leaseKey": {"S": shard}}, UpdateExpression=f"SET #c = #c + :one{sets}",
                ConditionExpression="#c = :old", ExpressionAttributeNames=names, ReturnValues="ALL_NEW",
                ExpressionAttributeValues={**given, ":one": {"N": "1"}, ":old": {"N": counter}},
            )  # fmt: skip
        except self.table.exceptions.ConditionalCheckFailedException:
            return False
        self.counters[shard] = answer["Attributes"]["counter"]["N"]
        return True

    def iterator(self, shard: str, checkpoint: str) -> str:
        at = {"ShardIteratorType": "TRIM_HORIZON"}
        if checkpoint != "TRIM_HORIZON":
            at = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": checkpoint}  # fmt: skip
        found = self.kinesis.get_shard_iterator(StreamName="s", ShardId=shard, **at)
        return str(found["ShardIterator"])

    def read(self, *, checkpoints: bool = True) -> int:
        """How many user records; those of a worker that dies before its checkpoint are read again."""
        count = 0
        for shard, iterator in list(self.held.items()):
            page = self.kinesis.get_records(ShardIterator=iterator, Limit=5)
            rows = [{"kinesis": {"data": r["Data"], "partitionKey": r["PartitionKey"]} | {"sequenceNumber": r["SequenceNumber"]}} for r in page["Records"]]  # fmt: skip
            for one in opened(rows):
                self.seen.append(one)
                count += 1
            self.held[shard] = after = page.get("NextShardIterator")
            if not checkpoints:
                continue
            done = rows[-1]["kinesis"]["sequenceNumber"] if rows else None
            if after is None:
                done = END
            more = {"checkpoint": done} if done else {}
            if not self.write(shard, self.counters[shard], **more) or after is None:
                del self.held[shard]
        return count

    def is_done(self) -> bool:
        """Both parents at their end, their four children in hand and nothing new in them."""
        ends = [row["checkpoint"] == END for row in self.leases().values()]
        return ends.count(True) == 2 and len(self.held) == 4 and not self.read()


def opened(rows: list[Any]) -> list[tuple[str, int]]:
    """(partition key, number) of user records."""
    import base64

    for row in rows:
        row["kinesis"]["data"] = base64.b64encode(row["kinesis"]["data"]).decode()
        row["kinesis"] |= {"kinesisSchemaVersion": "1.0", "approximateArrivalTimestamp": 0}
    found = deaggregate_records(rows)
    return [(one["kinesis"]["partitionKey"], int(base64.b64decode(one["kinesis"]["data"]))) for one in found]  # fmt: skip


def test_a_kcl_style_consumer_survives_a_lost_worker_and_resharding(client, table):
    """Every user record of every aggregate, in the order of its key; twice only what was read and not checkpointed."""
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=2)
    producer = Producer(kinesis)
    seen: dict[str, list[tuple[str, int]]] = {"ann": [], "bob": []}
    ann, bob = (Worker(client, name, seen[name]) for name in seen)
    producer.send(4)
    ann.find_shards()
    ann.take(1)
    bob.take(1)
    assert len(ann.held) == len(bob.held) == 1
    assert not set(ann.held) & set(bob.held)
    for worker in (ann, bob):
        worker.read()
    for shard in kinesis.list_shards(StreamName="s")["Shards"]:
        low, high = (int(shard["HashKeyRange"][n]) for n in ("StartingHashKey", "EndingHashKey"))
        kinesis.split_shard(StreamName="s", ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2))  # fmt: skip
    producer.send(3)
    again = len(seen["ann"])
    ann.read(checkpoints=False)  # and is never heard of again
    lost = seen["ann"][again:]
    assert lost
    for _ in range(60):
        bob.find_shards()
        bob.take(10)
        bob.read()
        if bob.is_done():
            break
    kept = seen["ann"][:again] + seen["bob"]
    assert len(kept) == len(set(kept)) == producer.count
    order: dict[str, list[int]] = defaultdict(list)
    for key, number in kept:
        order[key].append(number)
    assert order == producer.sent
    assert set(lost) <= set(seen["bob"])


def test_a_lease_is_taken_by_one_of_those_who_try(client, table):
    """The conditional write decides, whoever looked first."""
    client("kinesis").create_stream(StreamName="s", ShardCount=1)
    ann, bob = Worker(client, "ann", []), Worker(client, "bob", [])
    ann.find_shards()
    before = next(iter(ann.leases().values()))["counter"]
    shard = next(iter(ann.leases()))
    assert ann.write(shard, before, owner="ann")
    assert not bob.write(shard, before, owner="bob")
    assert bob.leases()[shard]["owner"] == "ann"
