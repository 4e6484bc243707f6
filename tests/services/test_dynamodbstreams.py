"""Streams: what changed, in order, for 24 hours; written with the item, in shards that follow each other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

HASH = [{"AttributeName": "pk", "KeyType": "HASH"}]
PK = [{"AttributeName": "pk", "AttributeType": "S"}]
HOUR_S = 3600


@pytest.fixture
def db(client: Any) -> Any:
    return client("dynamodb")


@pytest.fixture
def streams(client: Any) -> Any:
    return client("dynamodbstreams")


def advance(platform: Any, seconds: float) -> None:
    """Move the cloud clock and wait until all see it."""
    clock, world = platform.cloud.clock, platform.world
    offset_s = platform.run(platform.cloud.db.transact(lambda tx: clock.advance(tx, seconds)))
    eventually(lambda: world.cloud_offset_s >= offset_s)


def refused(code: str, call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def make(db: Any, name: str = "table", view: str = "NEW_AND_OLD_IMAGES") -> str:
    made = db.create_table(
        TableName=name,
        KeySchema=HASH,
        AttributeDefinitions=PK,
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
    )["TableDescription"]
    assert made["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": view}
    assert made["LatestStreamArn"].endswith(f":table/{name}/stream/{made['LatestStreamLabel']}")
    return made["LatestStreamArn"]


def everything(streams: Any, arn: str, kind: str = "TRIM_HORIZON", **page: Any) -> list[Any]:
    """All records of all shards."""
    return [
        r for shard in shards(streams, arn) for r in of_shard(streams, arn, shard, kind, **page)
    ]


def shards(streams: Any, arn: str) -> list[Any]:
    return streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]


def of_shard(streams: Any, arn: str, shard: Any, kind: str, **page: Any) -> Iterator[Any]:
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind
    )["ShardIterator"]
    while iterator:
        answer = streams.get_records(ShardIterator=iterator, **page)
        yield from answer["Records"]
        iterator = answer.get("NextShardIterator")
        if not answer["Records"]:
            return


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.01)


def test_each_change_is_told_in_order(db: Any, streams: Any) -> None:
    """INSERT, MODIFY, REMOVE with keys and both images, as
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html"""
    arn = make(db)
    db.put_item(TableName="table", Item={"pk": {"S": "a"}, "n": {"N": "01"}})
    update = {"UpdateExpression": "SET n = n + :v", "ExpressionAttributeValues": {":v": {"N": "1"}}}
    db.update_item(TableName="table", Key={"pk": {"S": "a"}}, **update)
    db.delete_item(TableName="table", Key={"pk": {"S": "a"}})
    records = everything(streams, arn)
    assert [r["eventName"] for r in records] == ["INSERT", "MODIFY", "REMOVE"]
    first, second, last = (r["dynamodb"] for r in records)
    assert first["Keys"] == {"pk": {"S": "a"}}
    assert "OldImage" not in first
    assert first["NewImage"]["n"] == second["OldImage"]["n"] == {"N": "1"}
    assert second["NewImage"]["n"] == last["OldImage"]["n"] == {"N": "2"}
    assert "NewImage" not in last
    assert first["SizeBytes"] == 3 + 3 + 3  # pk + a; pk + a, n + 1
    numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
    assert numbers == sorted(numbers)
    assert all(21 <= len(n) <= 40 and n.isdecimal() for n in numbers)
    assert len({r["eventID"] for r in records}) == 3
    assert {(r["eventSource"], r["eventVersion"], r["awsRegion"]) for r in records} == {
        ("aws:dynamodb", "1.1", "us-east-1")
    }
    assert not any("userIdentity" in r for r in records)


@pytest.mark.parametrize(
    ("view", "images"),
    [
        ("KEYS_ONLY", set()),
        ("NEW_IMAGE", {"NewImage"}),
        ("OLD_IMAGE", {"OldImage"}),
        ("NEW_AND_OLD_IMAGES", {"NewImage", "OldImage"}),
    ],
)
def test_a_view_type_decides_what_a_record_holds(
    db: Any, streams: Any, view: str, images: set[str]
) -> None:
    """Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html"""
    arn = make(db, view=view)
    for value in ("x", "y"):
        db.put_item(TableName="table", Item={"pk": {"S": "a"}, "v": {"S": value}})
    _, modified = everything(streams, arn)
    assert {"NewImage", "OldImage"} & modified["dynamodb"].keys() == images
    assert modified["dynamodb"]["StreamViewType"] == view


def test_a_write_that_changes_nothing_is_not_told(db: Any, streams: Any) -> None:
    """ "DynamoDB Streams doesn't write a stream record for that operation", also where only the order of a set differs."""
    arn = make(db)
    item = {"pk": {"S": "a"}, "s": {"SS": ["x", "y"]}}
    db.put_item(TableName="table", Item=item)
    db.put_item(TableName="table", Item=item)
    db.put_item(TableName="table", Item={"s": {"SS": ["y", "x"]}, "pk": {"S": "a"}})
    db.delete_item(TableName="table", Key={"pk": {"S": "none"}})
    assert len(everything(streams, arn)) == 1


def test_batches_and_transactions_are_told_of_item_by_item(db: Any, streams: Any) -> None:
    """And what a cancelled transaction would have written is not."""
    arn = make(db)
    puts = [{"PutRequest": {"Item": {"pk": {"S": str(i)}}}} for i in range(5)]
    db.batch_write_item(RequestItems={"table": puts})
    key = {"pk": {"S": "0"}}
    db.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": "table", "Key": key}},
            {"Put": {"TableName": "table", "Item": {"pk": {"S": "9"}}}},
        ]
    )
    cancelled = {"TableName": "table", "Key": key, "ConditionExpression": "attribute_exists(pk)"}
    refused(
        "TransactionCanceledException",
        db.transact_write_items,
        TransactItems=[
            {"Put": {"TableName": "table", "Item": {"pk": {"S": "8"}}}},
            {"ConditionCheck": cancelled},
        ],
    )
    told = [(r["eventName"], r["dynamodb"]["Keys"]["pk"]["S"]) for r in everything(streams, arn)]
    assert told == [*(("INSERT", str(i)) for i in range(5)), ("REMOVE", "0"), ("INSERT", "9")]


def test_a_reader_goes_on_where_it_was(db: Any, streams: Any, platform: Any) -> None:
    """Limit, NextShardIterator, LATEST, AT and AFTER a sequence number; the same after a restart."""
    arn = make(db)

    def put(*names: str) -> None:
        for name in names:
            db.put_item(TableName="table", Item={"pk": {"S": name}})

    def names(answer: Any) -> list[str]:
        return [r["dynamodb"]["Keys"]["pk"]["S"] for r in answer["Records"]]

    (shard,) = shards(streams, arn)
    of = {"StreamArn": arn, "ShardId": shard["ShardId"]}
    put("a", "b", "c")
    latest = streams.get_shard_iterator(**of, ShardIteratorType="LATEST")["ShardIterator"]
    put("d")
    assert names(streams.get_records(ShardIterator=latest)) == ["d"]
    start = streams.get_shard_iterator(**of, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    page = streams.get_records(ShardIterator=start, Limit=3)
    assert names(page) == ["a", "b", "c"]
    platform.reopen()
    page_2 = streams.get_records(ShardIterator=page["NextShardIterator"])
    assert names(page_2) == ["d"]
    put("e")
    assert names(streams.get_records(ShardIterator=page_2["NextShardIterator"])) == ["e"]
    number = page["Records"][1]["dynamodb"]["SequenceNumber"]
    for kind, found in (("AT", ["b", "c", "d", "e"]), ("AFTER", ["c", "d", "e"])):
        at = streams.get_shard_iterator(
            **of, ShardIteratorType=f"{kind}_SEQUENCE_NUMBER", SequenceNumber=number
        )
        assert names(streams.get_records(ShardIterator=at["ShardIterator"])) == found
    first = shard["SequenceNumberRange"]["StartingSequenceNumber"]
    at = streams.get_shard_iterator(
        **of, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=first
    )
    assert len(streams.get_records(ShardIterator=at["ShardIterator"])["Records"]) == 5


def test_shards_follow_each_other(db: Any, streams: Any, platform: Any) -> None:
    """After four hours the shard is closed and its child is open; a reader of the closed one comes to its end."""
    arn = make(db)
    for i in range(3):
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}})
        advance(platform, 4 * HOUR_S)
    found = shards(streams, arn)
    assert len(found) == 4
    assert [s.get("ParentShardId") for s in found] == [None, *(s["ShardId"] for s in found[:-1])]
    ids = [s["ShardId"] for s in found]
    assert ids == sorted(ids)
    assert all(28 <= len(i) <= 65 for i in ids)
    assert ["EndingSequenceNumber" in s["SequenceNumberRange"] for s in found] == [True] * 3 + [
        False
    ]
    assert [[r["dynamodb"]["Keys"]["pk"]["S"] for r in of_shard(streams, arn, s, "TRIM_HORIZON")] for s in found] == [
        ["0"], ["1"], ["2"], []
    ]  # fmt: skip
    closed = streams.get_shard_iterator(StreamArn=arn, ShardId=ids[0], ShardIteratorType="LATEST")
    assert "NextShardIterator" not in streams.get_records(ShardIterator=closed["ShardIterator"])
    page = streams.describe_stream(StreamArn=arn, Limit=2)["StreamDescription"]
    assert page["LastEvaluatedShardId"] == ids[1]
    rest = streams.describe_stream(StreamArn=arn, ExclusiveStartShardId=ids[1])["StreamDescription"]
    assert [s["ShardId"] for s in rest["Shards"]] == ids[2:]
    assert "LastEvaluatedShardId" not in rest
    child = streams.describe_stream(
        StreamArn=arn, ShardFilter={"Type": "CHILD_SHARDS", "ShardId": ids[1]}
    )["StreamDescription"]["Shards"]
    assert [s["ShardId"] for s in child] == [ids[2]]


def test_records_are_forgotten_after_24_hours(db: Any, streams: Any, platform: Any) -> None:
    """By a worker, without anybody reading; the table's rows are not more than they need be."""
    arn = make(db)
    for i in range(10):
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}})
    old = everything(streams, arn)[0]["dynamodb"]["SequenceNumber"]
    shard = shards(streams, arn)[0]["ShardId"]
    advance(platform, 12 * HOUR_S)
    db.put_item(TableName="table", Item={"pk": {"S": "later"}})
    assert len(everything(streams, arn)) == 11
    advance(platform, 12 * HOUR_S + 5)

    def rows() -> int:
        return platform.run(platform.cloud.db.transact(lambda tx: len(list(tx.scan(span)))))

    from stratolite.core import Keyspace

    span = Keyspace("000000000000", "us-east-1", "dynamodb").span("change")
    eventually(lambda: rows() == 1)
    assert [r["dynamodb"]["Keys"]["pk"]["S"] for r in everything(streams, arn)] == ["later"]
    refused(
        "TrimmedDataAccessException", streams.get_shard_iterator,
        StreamArn=arn, ShardId=shard, ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=old,
    )  # fmt: skip


def test_a_stream_outlives_its_end_by_a_day(db: Any, streams: Any, platform: Any) -> None:
    """Disabled with UpdateTable or with its table, it is DISABLED and readable, then gone; another one has another ARN."""
    arn = make(db)
    db.put_item(TableName="table", Item={"pk": {"S": "a"}})
    assert "already has an enabled stream" in refused(
        "ValidationException", db.update_table, TableName="table",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )  # fmt: skip
    off = {"TableName": "table", "StreamSpecification": {"StreamEnabled": False}}
    described = db.update_table(**off)["TableDescription"]
    assert "StreamSpecification" not in described
    assert described["LatestStreamArn"] == arn
    assert "no stream to disable" in refused("ValidationException", db.update_table, **off)
    db.put_item(TableName="table", Item={"pk": {"S": "b"}})
    assert streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"
    assert len(everything(streams, arn)) == 1
    on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    again = db.update_table(TableName="table", StreamSpecification=on)["TableDescription"]
    assert again["LatestStreamArn"] != arn
    listed = streams.list_streams(TableName="table")["Streams"]
    assert [s["StreamArn"] for s in listed] == sorted([arn, again["LatestStreamArn"]])
    db.delete_table(TableName="table")
    assert len(streams.list_streams()["Streams"]) == 2
    assert len(everything(streams, arn)) == 1
    advance(platform, 25 * HOUR_S)
    eventually(lambda: not streams.list_streams()["Streams"])
    message = refused("ResourceNotFoundException", streams.describe_stream, StreamArn=arn)
    assert message == f"Requested resource not found: Stream: {arn} not found"


def test_an_end_by_time_to_live_says_who_did_it(db: Any, streams: Any, platform: Any) -> None:
    """ "userIdentity": a service's delete, so that archives can tell it from a caller's.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    """
    arn = make(db)
    db.update_time_to_live(
        TableName="table", TimeToLiveSpecification={"Enabled": True, "AttributeName": "end"}
    )
    end_s = int(platform.world.cloud()) + 100
    db.put_item(TableName="table", Item={"pk": {"S": "a"}, "end": {"N": str(end_s)}})
    advance(platform, 103)
    eventually(lambda: len(everything(streams, arn)) == 2)
    removed = everything(streams, arn)[1]
    assert removed["eventName"] == "REMOVE"
    assert removed["userIdentity"] == {
        "PrincipalId": "dynamodb.amazonaws.com",
        "Type": "Service",
    }
    assert removed["dynamodb"]["OldImage"]["end"] == {"N": str(end_s)}


def test_iterators_end_and_are_checked(db: Any, streams: Any, platform: Any) -> None:
    """Fifteen minutes, and nothing but our own text.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
    """
    arn = make(db)
    (shard,) = shards(streams, arn)
    of = {"StreamArn": arn, "ShardId": shard["ShardId"]}
    iterator = streams.get_shard_iterator(**of, ShardIteratorType="LATEST")["ShardIterator"]
    assert iterator.startswith(arn + "|")
    for bad in ("x" * 40, arn + "|1|AAAA", arn + "|1|WzEsMiwzXQ==", iterator[:-4], "|1|"):
        refused("ValidationException", streams.get_records, ShardIterator=bad)
    refused("ValidationException", streams.get_records, ShardIterator=iterator, Limit=1001)
    advance(platform, 901)
    refused("ExpiredIteratorException", streams.get_records, ShardIterator=iterator)
    number = "1" * 30
    for bad in (
        {"ShardIteratorType": "AT_SEQUENCE_NUMBER"},
        {"ShardIteratorType": "LATEST", "SequenceNumber": number},
        {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": number},
        {"ShardIteratorType": "NEVER"},
    ):
        refused("ValidationException", streams.get_shard_iterator, **of, **bad)
    refused(
        "ResourceNotFoundException", streams.get_shard_iterator,
        StreamArn=arn, ShardId="shardId-" + "0" * 24, ShardIteratorType="LATEST",
    )  # fmt: skip
    for call in (streams.describe_stream, streams.list_streams):
        refused("ValidationException", call, StreamArn=arn, Limit=101) if call == (
            streams.describe_stream
        ) else refused("ValidationException", call, Limit=101)
    assert refused("ValidationException", streams.describe_stream, StreamArn="s" * 50)


def test_streams_are_listed_in_pages(db: Any, streams: Any) -> None:
    arns = [make(db, name) for name in ("one", "two", "zoo")]
    found, page = [], streams.list_streams(Limit=1)
    while True:
        found += [s["StreamArn"] for s in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            break
        page = streams.list_streams(Limit=1, ExclusiveStartStreamArn=page["LastEvaluatedStreamArn"])
    assert found == arns
    assert streams.list_streams(TableName="nobody")["Streams"] == []


def test_a_stream_specification_is_whole(db: Any) -> None:
    for wanted in (
        {"StreamEnabled": True},
        {"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"},
        {"StreamEnabled": True, "StreamViewType": "Fisk"},
    ):
        refused(
            "ValidationException", db.create_table, TableName="table", KeySchema=HASH,
            AttributeDefinitions=PK, BillingMode="PAY_PER_REQUEST", StreamSpecification=wanted,
        )  # fmt: skip


def test_reading_a_stream_is_a_right_of_its_own(client: Any, db: Any) -> None:
    """dynamodb:GetRecords and the others on the stream's ARN, not the table's.

    Source  https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
    """
    import json

    arn = make(db)
    iam = client("iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    mine = client("dynamodbstreams", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def allow(resource: str) -> None:
        statement = {
            "Effect": "Allow",
            "Action": [
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator",
            ],
            "Resource": resource,
        }
        iam.put_user_policy(
            UserName="reader", PolicyName="p",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )  # fmt: skip

    allow(arn.partition("/stream")[0])
    refused("AccessDeniedException", mine.describe_stream, StreamArn=arn)
    allow(arn.partition("/stream")[0] + "/stream/*")
    assert everything(mine, arn) == []
    refused("AccessDeniedException", mine.list_streams)


def test_a_record_costs_one_more_row(platform: Any, db: Any) -> None:
    """Beside the item and the table's count, whatever is stored, and however many records there are."""
    writes: list[int] = []
    database = platform.cloud.db
    merge = database._merge

    def counted(tx: Any) -> None:
        if not tx.relaxed:  # the trail's batches come when they come
            writes.append(len(tx.writes))
        merge(tx)

    make(db)
    database._merge = counted
    for i in range(200):
        db.put_item(TableName="table", Item={"pk": {"S": str(i)}})
    assert set(writes) == {3}


def test_a_record_with_two_large_images_is_whole(db: Any, streams: Any) -> None:
    """Its JSON is longer than a value may be."""
    arn = make(db)
    large = {f"a{i:05d}": {"S": ""} for i in range(32_000)}
    for end in ("x", "y"):
        db.put_item(TableName="table", Item={"pk": {"S": "a"}, "end": {"S": end}, **large})
    first, second = everything(streams, arn)
    assert first["dynamodb"]["NewImage"] == second["dynamodb"]["OldImage"]
    assert len(second["dynamodb"]["NewImage"]) == 32_002
