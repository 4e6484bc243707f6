"""Kinesis Data Streams as boto3 sees them."""

from __future__ import annotations

import hashlib
import json

import cbor2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from conftest import ENDPOINT, to_http

from stratolite.clock import World


class StillWorld(World):
    """Its cloud clock moves only when a test says so: limits are per second. Signatures live in real time."""

    cloud_s = 1_700_000_000.25

    def cloud(self):
        return self.cloud_s

    def advance(self, seconds):
        self.cloud_s += seconds
        self._moved()


@pytest.fixture
def world():
    return StillWorld()


@pytest.fixture
def kinesis(client):
    return client("kinesis")


@pytest.fixture
def advance(platform, world):
    def move(seconds):
        platform.loop.call_soon_threadsafe(world.advance, seconds)
        platform.run(_turn())

    async def _turn():
        return None

    return move


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def read(kinesis, stream, shard=0, kind="TRIM_HORIZON", limit=10_000, pages=5, **more):
    """Everything in a shard from there on, and the last answer."""
    shard = f"shardId-{shard:012d}"
    at = kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more
    )["ShardIterator"]
    found = []
    for _ in range(pages):
        page = kinesis.get_records(ShardIterator=at, Limit=limit)
        found += page["Records"]
        at = page.get("NextShardIterator")
        if at is None or not page["Records"]:
            break
    return found, page


def put(kinesis, stream, *datas, key="k", **more):
    return [
        kinesis.put_record(StreamName=stream, PartitionKey=key, Data=data, **more) for data in datas
    ]


def test_records_come_back_in_order_after_a_restart(kinesis, platform):
    """Sequence numbers are AWS's kind of decimal and strictly increase."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    numbers = [int(r["SequenceNumber"]) for r in put(kinesis, "s", b"1", b"2", b"3")]
    batch = kinesis.put_records(
        StreamName="s", Records=[{"PartitionKey": str(n), "Data": b"%d" % n} for n in range(4, 104)]
    )
    numbers += [int(r["SequenceNumber"]) for r in batch["Records"]]
    assert batch["FailedRecordCount"] == 0
    assert numbers == sorted(set(numbers))
    assert {len(str(n)) for n in numbers} == {56}
    platform.reopen()
    found, page = read(kinesis, "s", limit=7)
    assert [r["Data"] for r in found] == [b"%d" % n for n in range(1, 36)]  # five calls a second
    assert page["MillisBehindLatest"] == 0


def test_partition_keys_and_explicit_hash_keys_choose_the_shard(kinesis):
    """MD5 of the key, or the number given."""
    kinesis.create_stream(StreamName="s", ShardCount=3)
    shards = kinesis.list_shards(StreamName="s")["Shards"]
    ranges = [
        (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
        for s in shards
    ]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 2**128 - 1
    assert [a[1] + 1 for a in ranges[:-1]] == [b[0] for b in ranges[1:]]
    for key in ("a", "b", "é", "same"):
        hashed = int(hashlib.md5(key.encode()).hexdigest(), 16)
        wanted = next(n for n, (low, high) in enumerate(ranges) if low <= hashed <= high)
        (answer,) = put(kinesis, "s", b"x", key=key)
        assert answer["ShardId"] == shards[wanted]["ShardId"]
    for shard, (low, high) in zip(shards, ranges, strict=True):
        for edge in (low, high):
            (answer,) = put(kinesis, "s", b"x", ExplicitHashKey=str(edge))
            assert answer["ShardId"] == shard["ShardId"]
    code, said = refused(
        kinesis.put_record, StreamName="s", PartitionKey="k", Data=b"", ExplicitHashKey=str(2**128)
    )
    assert code == "InvalidArgumentException"
    assert said.startswith(
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]."
    )


def test_every_type_of_iterator_begins_where_it_says(kinesis, advance):
    kinesis.create_stream(StreamName="s", ShardCount=1)
    one, two = put(kinesis, "s", b"1", b"2")
    advance(10.5)
    (three,) = put(kinesis, "s", b"3")
    four, five = put(kinesis, "s", b"4", b"5")

    def datas(kind, **more):
        advance(2)
        return [r["Data"] for r in read(kinesis, "s", kind=kind, **more)[0]]

    assert datas("TRIM_HORIZON") == [b"1", b"2", b"3", b"4", b"5"]
    assert datas("LATEST") == []
    assert datas("AT_SEQUENCE_NUMBER", StartingSequenceNumber=two["SequenceNumber"])[0] == b"2"
    assert datas("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=three["SequenceNumber"]) == [
        b"4",
        b"5",
    ]
    assert datas("AT_TIMESTAMP", Timestamp=1_700_000_005) == [b"3", b"4", b"5"]
    assert datas("AT_TIMESTAMP", Timestamp=1_700_000_000) == [b"1", b"2", b"3", b"4", b"5"]
    assert datas("AT_TIMESTAMP", Timestamp=1_700_000_012) == []
    first = kinesis.list_shards(StreamName="s")["Shards"][0]["SequenceNumberRange"][
        "StartingSequenceNumber"
    ]
    assert (
        int(first)
        < int(one["SequenceNumber"])
        < int(four["SequenceNumber"])
        < int(five["SequenceNumber"])
    )
    assert datas("AT_SEQUENCE_NUMBER", StartingSequenceNumber=first)[0] == b"1"


def test_iterators_refuse_as_aws_does(kinesis, advance):
    """Messages as kinesalite recorded them from AWS."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    (one,) = put(kinesis, "s", b"1")
    shard = {"StreamName": "s", "ShardId": "shardId-000000000000"}
    ask = kinesis.get_shard_iterator
    at = ask(**shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    advance(301)
    code, said = refused(kinesis.get_records, ShardIterator=at)
    assert code == "ExpiredIteratorException"
    assert said == (
        "Iterator expired. The iterator was created at time Tue Nov 14 22:13:20 UTC 2023 while right now it is Tue Nov"
        " 14 22:18:21 UTC 2023 which is further in the future than the tolerated delay of 300000 milliseconds."
    )
    for bad in ("AAAA", at[:-4] + "AAA=", "not base 64!"):
        assert refused(kinesis.get_records, ShardIterator=bad) == (
            "InvalidArgumentException",
            "Invalid ShardIterator.",
        )
    code, said = refused(
        ask, **shard, ShardIteratorType="LATEST", StartingSequenceNumber=one["SequenceNumber"]
    )
    assert code == "InvalidArgumentException"
    assert said.endswith("Request specified LATEST and also a StartingSequenceNumber.")
    code, said = refused(ask, **shard, ShardIteratorType="AT_SEQUENCE_NUMBER")
    assert said.endswith("Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber.")
    code, said = refused(
        ask, **shard, ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="5"
    )
    assert said == (
        "StartingSequenceNumber 5 used in GetShardIterator on shard shardId-000000000000 in stream s under account"
        " 000000000000 is invalid."
    )
    code, said = refused(ask, **shard, ShardIteratorType="AT_TIMESTAMP", Timestamp=1_800_000_000)
    assert said.startswith(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis."
    )
    code, said = refused(
        ask, **{**shard, "ShardId": "shardId-000000000009"}, ShardIteratorType="LATEST"
    )
    assert (code, said) == (
        "ResourceNotFoundException",
        "Shard shardId-000000000009 in stream s under account 000000000000 does not exist",
    )
    kinesis.create_stream(StreamName="t", ShardCount=1)
    code, said = refused(
        ask, StreamName="t", ShardId="0", ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=one["SequenceNumber"],
    )  # fmt: skip
    assert said.endswith("is invalid because it did not come from this stream.")


def test_a_split_and_a_merge_keep_the_order_of_every_key(kinesis, advance):
    """Parents are read to their end, where ChildShards say how to go on; nothing is lost or out of order."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    keys = [f"key{n}" for n in range(20)]
    sent = 0

    def send():
        nonlocal sent
        for key in keys:
            put(kinesis, "s", b"%d" % sent, key=key)
            sent += 1

    send()
    kinesis.split_shard(
        StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126)
    )
    send()
    kinesis.split_shard(
        StreamName="s", ShardToSplit="shardId-000000000002", NewStartingHashKey=str(2**127)
    )
    send()
    kinesis.merge_shards(
        StreamName="s",
        ShardToMerge="shardId-000000000001",
        AdjacentShardToMerge="shardId-000000000003",
    )
    send()
    seen = {key: [] for key in keys}
    todo, done = [0], set()
    while todo:
        number = todo.pop(0)
        if number in done:
            continue
        advance(1)
        found, last = read(kinesis, "s", number)
        for record in found:
            seen[record["PartitionKey"]].append(int(record["Data"]))
        done.add(number)
        for child in last.get("ChildShards", ()):
            parents = {int(p[-3:]) for p in child["ParentShards"]}
            if parents <= done:
                todo.append(int(child["ShardId"][-3:]))
    assert all(order == sorted(order) and len(order) == 4 for order in seen.values())
    shards = {s["ShardId"][-1]: s for s in kinesis.list_shards(StreamName="s")["Shards"]}
    assert shards["5"]["ParentShardId"][-1] == "1"
    assert shards["5"]["AdjacentParentShardId"][-1] == "3"
    starts = {n: int(s["SequenceNumberRange"]["StartingSequenceNumber"]) for n, s in shards.items()}
    ends = {n: s["SequenceNumberRange"].get("EndingSequenceNumber") for n, s in shards.items()}
    assert {n for n, end in ends.items() if end is None} == {"4", "5"}
    assert int(ends["0"]) > starts["0"]
    assert starts["1"] > int(ends["0"])
    assert refused(
        kinesis.split_shard, StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey="5"
    )[0] == "ResourceInUseException"  # fmt: skip
    code, said = refused(
        kinesis.merge_shards, StreamName="s", ShardToMerge="shardId-000000000004",
        AdjacentShardToMerge="shardId-000000000005",
    )  # fmt: skip
    assert (code, said) == (
        "InvalidArgumentException",
        "Shards shardId-000000000004 and shardId-000000000005 in stream s under account 000000000000 are not an adjacent pair of shards eligible for merging",
    )


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 3), (4, 3), (5, 3), (3, 6), (7, 4)])
def test_another_shard_count_leaves_equal_ranges_and_a_lineage(kinesis, before, after):
    """Every shard has at most two parents, as AWS's UpdateShardCount makes them."""
    kinesis.create_stream(StreamName="s", ShardCount=before)
    answer = kinesis.update_shard_count(
        StreamName="s", TargetShardCount=after, ScalingType="UNIFORM_SCALING"
    )
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (before, after)
    opened = kinesis.list_shards(StreamName="s", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    starts = sorted(int(s["HashKeyRange"]["StartingHashKey"]) for s in opened)
    assert starts == [2**128 // after * n for n in range(after)]
    assert (
        kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"][
            "OpenShardCount"
        ]
        == after
    )
    for key in range(30):
        put(kinesis, "s", b"x", key=str(key))


def test_shard_count_has_its_limits(kinesis):
    kinesis.create_stream(StreamName="s", ShardCount=4)
    ask = kinesis.update_shard_count
    for wanted in (9, 1):
        code, said = refused(
            ask, StreamName="s", TargetShardCount=wanted, ScalingType="UNIFORM_SCALING"
        )
        assert code == "LimitExceededException"
        assert f"Current open shard count: 4 Target shard count: {wanted}" in said
    for wanted in (5, 4, 5, 4, 5, 4, 5, 4, 5, 4):
        ask(StreamName="s", TargetShardCount=wanted, ScalingType="UNIFORM_SCALING")
    assert (
        refused(ask, StreamName="s", TargetShardCount=5, ScalingType="UNIFORM_SCALING")[0]
        == "LimitExceededException"
    )
    code, said = refused(kinesis.create_stream, StreamName="t", ShardCount=997)
    assert code == "LimitExceededException"
    assert "Current shard count for the account: 4. Limit: 1000." in said


def test_shards_are_listed_in_pages_and_by_filter(kinesis, advance):
    kinesis.create_stream(StreamName="s", ShardCount=4)
    advance(100)
    kinesis.split_shard(
        StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey="100"
    )
    page = kinesis.list_shards(StreamName="s", MaxResults=4)
    rest = kinesis.list_shards(NextToken=page["NextToken"])
    assert [s["ShardId"][-1] for s in page["Shards"] + rest["Shards"]] == list("012345")
    assert "NextToken" not in rest

    def filtered(**only):
        found = kinesis.list_shards(StreamName="s", ShardFilter=only)["Shards"]
        return "".join(s["ShardId"][-1] for s in found)

    assert filtered(Type="AT_LATEST") == "12345"
    assert filtered(Type="AT_TRIM_HORIZON") == "0123"
    assert filtered(Type="FROM_TRIM_HORIZON") == "012345"
    assert filtered(Type="AFTER_SHARD_ID", ShardId="shardId-000000000003") == "45"
    assert filtered(Type="AT_TIMESTAMP", Timestamp=1_700_000_050) == "0123"
    advance(100)
    assert filtered(Type="FROM_TIMESTAMP", Timestamp=1_700_000_150) == "12345"
    assert refused(kinesis.list_shards)[1] == "Either NextToken or StreamName should be provided."


def test_a_shard_takes_a_thousand_records_and_a_mebibyte_a_second(kinesis, advance):
    """Records of a batch are throttled one by one, each with AWS's words."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    batch = [{"PartitionKey": "k", "Data": b"x"}] * 400
    failed = [
        kinesis.put_records(StreamName="s", Records=batch)["FailedRecordCount"] for _ in range(3)
    ]
    assert failed == [0, 0, 200]
    code, said = refused(kinesis.put_record, StreamName="s", PartitionKey="k", Data=b"x")
    assert code == "ProvisionedThroughputExceededException"
    assert (
        said
        == "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000."
    )
    advance(1)
    answer = kinesis.put_records(
        StreamName="s", Records=[{"PartitionKey": "k", "Data": b"x" * 400_000}] * 3
    )
    assert [r.get("ErrorCode") for r in answer["Records"]] == [
        None,
        None,
        "ProvisionedThroughputExceededException",
    ]
    advance(1)
    assert len(read(kinesis, "s")[0]) == 1002


def test_a_shard_is_read_five_times_and_two_mebibytes_a_second(kinesis, advance):
    kinesis.create_stream(StreamName="s", ShardCount=1)
    at = kinesis.get_shard_iterator(StreamName="s", ShardId="0", ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    for _ in range(5):
        kinesis.get_records(ShardIterator=at)
    assert (
        refused(kinesis.get_records, ShardIterator=at)[0]
        == "ProvisionedThroughputExceededException"
    )
    for _ in range(5):
        advance(1)
        put(kinesis, "s", b"x" * 1_000_000)
    advance(1)
    assert len(kinesis.get_records(ShardIterator=at)["Records"]) == 5
    advance(1)
    assert (
        refused(kinesis.get_records, ShardIterator=at)[0]
        == "ProvisionedThroughputExceededException"
    )
    advance(2)
    assert len(kinesis.get_records(ShardIterator=at)["Records"]) == 5


def test_large_records_are_kept_whole(kinesis, advance):
    """Up to 10 MiB where the stream allows it, in parts of a value each."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    code, said = refused(
        kinesis.put_record, StreamName="s", PartitionKey="k", Data=b"x" * (1 << 20) + b"y"
    )
    assert code == "ValidationException"
    assert said == (
        "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim=1048577 cap=1048577]' at 'data' failed to"
        " satisfy constraint: Member must have length less than or equal to 1048576"
    )
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    kinesis.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10_240)
    large = bytes(range(256)) * 15_000
    put(kinesis, "s", large)
    advance(1)
    put(kinesis, "s", b"small")
    assert [r["Data"] for r in read(kinesis, "s", pages=1)[0]] == [large, b"small"]


def test_what_has_passed_the_retention_is_not_read_and_goes(kinesis, advance, platform):
    kinesis.create_stream(StreamName="s", ShardCount=2)
    put(kinesis, "s", b"old", ExplicitHashKey="0")
    advance(20 * 3600)
    put(kinesis, "s", b"new", ExplicitHashKey="0")
    kinesis.split_shard(StreamName="s", ShardToSplit="1", NewStartingHashKey=str(2**127 + 2**126))
    assert [r["Data"] for r in read(kinesis, "s")[0]] == [b"old", b"new"]
    kinesis.increase_stream_retention_period(StreamName="s", RetentionPeriodHours=48)
    advance(5 * 3600)
    assert [r["Data"] for r in read(kinesis, "s")[0]] == [b"old", b"new"]
    kinesis.decrease_stream_retention_period(StreamName="s", RetentionPeriodHours=24)
    advance(2)
    assert [r["Data"] for r in read(kinesis, "s")[0]] == [b"new"]
    advance(26 * 3600)
    for _ in range(5_000):
        if len(kinesis.list_shards(StreamName="s")["Shards"]) == 3:
            break
    assert [s["ShardId"][-1] for s in kinesis.list_shards(StreamName="s")["Shards"]] == [
        "0",
        "2",
        "3",
    ]
    code, said = refused(
        kinesis.increase_stream_retention_period, StreamName="s", RetentionPeriodHours=8761
    )
    assert code == "InvalidArgumentException"
    code, said = refused(
        kinesis.increase_stream_retention_period, StreamName="s", RetentionPeriodHours=23
    )
    assert (
        said
        == "Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too short."
    )


def test_a_busy_on_demand_stream_gets_more_shards(kinesis, advance):
    """More than half of what a shard may take in a second: it is split, and order within it is kept."""
    kinesis.create_stream(StreamName="s", StreamModeDetails={"StreamMode": "ON_DEMAND"})
    assert len(kinesis.list_shards(StreamName="s")["Shards"]) == 4
    batch = [
        {"PartitionKey": str(n), "Data": b"x", "ExplicitHashKey": str(n << 90)} for n in range(500)
    ]
    for _ in range(2):
        kinesis.put_records(StreamName="s", Records=batch)
    for _ in range(50):
        opened = kinesis.list_shards(StreamName="s", ShardFilter={"Type": "AT_LATEST"})["Shards"]
        if len(opened) == 5:
            break
    assert len(opened) == 5
    code, _ = refused(
        kinesis.update_shard_count,
        StreamName="s",
        TargetShardCount=8,
        ScalingType="UNIFORM_SCALING",
    )
    assert code == "ValidationException"


def test_records_are_spread_over_the_shards_of_a_stream_that_asks_for_it(kinesis):
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamRecordDistributionStrategy.html: whatever their key."""
    mode = {"StreamMode": "ON_DEMAND"}
    kinesis.create_stream(StreamName="s", StreamModeDetails=mode)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    same = [{"PartitionKey": "k", "Data": b"x"} for _ in range(8)]

    def shards():
        answer = kinesis.put_records(StreamName="s", Records=same)
        return sorted(r["ShardId"] for r in answer["Records"])

    assert len(set(shards())) == 1
    kinesis.update_stream_record_distribution_strategy(StreamARN=arn, RecordDistributionStrategy="AUTO")  # fmt: skip
    assert [shards().count(f"shardId-{n:012d}") for n in range(4)] == [2, 2, 2, 2]
    described = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]
    assert described["RecordDistributionStrategy"] == "AUTO"
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "PROVISIONED"})
    assert len(set(shards())) == 1
    for call, request in (
        (kinesis.update_stream_record_distribution_strategy, {"StreamARN": arn}),
        (kinesis.create_stream, {"StreamName": "p", "ShardCount": 1}),
    ):
        code, said = refused(call, **request, RecordDistributionStrategy="AUTO")
        assert code == "InvalidArgumentException"
        assert "On-Demand" in said


def test_a_stream_is_warm_at_once_for_an_account_that_has_committed(kinesis, advance):
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamWarmThroughput.html"""
    mode = {"StreamMode": "ON_DEMAND"}
    kinesis.create_stream(StreamName="s", StreamModeDetails=mode)
    kinesis.put_record(StreamName="s", PartitionKey="k", Data=b"before")
    warm = {"StreamName": "s", "WarmThroughputMiBps": 10}
    assert refused(kinesis.update_stream_warm_throughput, **warm)[0] == "ValidationException"
    settings = lambda: kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]  # noqa: E731
    commit = lambda status: kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": status})  # noqa: E731  # fmt: skip
    assert settings() == {"Status": "DISABLED"}
    commit("ENABLED")
    assert settings()["Status"] == "ENABLED"
    answer = kinesis.update_stream_warm_throughput(**warm)
    assert answer["WarmThroughput"] == {"TargetMiBps": 10, "CurrentMiBps": 10}
    opened = kinesis.list_shards(StreamName="s", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert len(opened) == 10
    kinesis.update_stream_warm_throughput(StreamName="s", WarmThroughputMiBps=2)
    described = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]
    assert described["WarmThroughput"] == {"TargetMiBps": 2, "CurrentMiBps": 10}
    kinesis.create_stream(StreamName="w", StreamModeDetails=mode, WarmThroughputMiBps=7)
    assert len(kinesis.list_shards(StreamName="w")["Shards"]) == 7
    code, _ = refused(kinesis.update_stream_warm_throughput, StreamName="s", WarmThroughputMiBps=201)  # fmt: skip
    assert code == "ValidationException"
    commit("DISABLED")
    assert settings()["Status"] == "ENABLED_UNTIL_EARLIEST_ALLOWED_END"
    kinesis.update_stream_warm_throughput(**warm)
    advance(86_401)
    assert settings()["Status"] == "DISABLED"
    assert refused(kinesis.update_stream_warm_throughput, **warm)[0] == "ValidationException"


def test_a_stream_changes_its_mode_twice_a_day_and_may_be_warm_at_once(kinesis, advance):
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateStreamMode.html and
    https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html"""
    kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "ENABLED"})
    kinesis.create_stream(StreamName="s", ShardCount=2)
    summary = lambda: kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]  # noqa: E731
    arn = summary()["StreamARN"]
    assert not summary().keys() & {"RecordDistributionStrategy", "WarmThroughput"}

    def change(mode, **more):
        return {"StreamARN": arn, "StreamModeDetails": {"StreamMode": mode}, **more}

    warm = change("PROVISIONED", WarmThroughputMiBps=5)
    assert refused(kinesis.update_stream_mode, **warm)[0] == "ValidationException"
    kinesis.update_stream_mode(**change("ON_DEMAND", WarmThroughputMiBps=5))
    assert summary()["WarmThroughput"] == {"TargetMiBps": 5, "CurrentMiBps": 5}
    assert summary()["RecordDistributionStrategy"] == "USER_PARTITION_KEY"
    for ask in (kinesis.split_shard, kinesis.merge_shards):
        shards = (
            {"ShardToSplit": "0", "NewStartingHashKey": "1000"}
            if ask == kinesis.split_shard
            else {"ShardToMerge": "2", "AdjacentShardToMerge": "3"}
        )
        code, said = refused(ask, StreamName="s", **shards)
        assert code == "ValidationException"
        assert said.endswith("is in On-Demand mode.")
    for n in range(50):
        kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=f"c{n}")
    code, said = refused(kinesis.register_stream_consumer, StreamARN=arn, ConsumerName="d")
    assert (code, "limit of 50" in said) == ("LimitExceededException", True)
    kinesis.update_stream_mode(**change("PROVISIONED"))
    assert refused(kinesis.update_stream_mode, **change("ON_DEMAND"))[0] == "LimitExceededException"
    advance(86_401)
    kinesis.update_stream_mode(**change("ON_DEMAND"))


def test_a_dry_run_checks_everything_and_does_nothing(client, kinesis, advance):
    """https://docs.aws.amazon.com/streams/latest/dev/kds-dryrun-validation.html: one a second and stream."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]["ConsumerARN"]  # fmt: skip
    at = {"StreamName": "s", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(**at)["ShardIterator"]
    record = {"PartitionKey": "k", "Data": b"x"}
    asks = [
        (kinesis.put_record, {"StreamName": "s", **record}),
        (kinesis.put_records, {"StreamName": "s", "Records": [record]}),
        (kinesis.get_shard_iterator, at),
        (kinesis.get_records, {"ShardIterator": iterator}),
        (kinesis.subscribe_to_shard, {"ConsumerARN": consumer, "ShardId": "0", "StartingPosition": {"Type": "LATEST"}}),
    ]  # fmt: skip
    for ask, request in asks:
        advance(1)
        assert refused(ask, **request, DryRun=True)[0] == "DryRunOperationException"
        assert refused(ask, **request, DryRun=True)[0] == "ThrottlingException"
    gone = {"StreamName": "gone", **record, "DryRun": True}
    assert refused(kinesis.put_record, **gone)[0] == "ResourceNotFoundException"
    bad = {"StreamName": "s", **record, "ExplicitHashKey": str(2**128), "DryRun": True}
    assert refused(kinesis.put_record, **bad)[0] == "InvalidArgumentException"
    other = client("kinesis", account="111111111111")
    theirs = {"StreamARN": arn, **record, "DryRun": True}
    assert refused(other.put_record, **theirs)[0] == "AccessDeniedException"
    assert read(kinesis, "s")[0] == []
    kinesis.split_shard(StreamName="s", ShardToSplit="0", NewStartingHashKey="1000")
    assert subscribe(kinesis, consumer)[-1]["ChildShards"]  # nobody holds the subscription


def test_an_iterator_is_not_used_under_another_streams_name(client, kinesis):
    """What is allowed is the stream that is named: it must be the iterator's."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    put(kinesis, "s", b"secret")
    at = {"StreamName": "s", "ShardId": "0", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(**at)["ShardIterator"]
    other = client("kinesis", account="111111111111")
    other.create_stream(StreamName="own", ShardCount=1)
    own = other.describe_stream_summary(StreamName="own")["StreamDescriptionSummary"]["StreamARN"]
    code, _ = refused(other.get_records, ShardIterator=iterator, StreamARN=own)
    assert code == "InvalidArgumentException"
    assert refused(other.get_records, ShardIterator=iterator)[0] == "AccessDeniedException"


@pytest.mark.parametrize("border", ["", "abc", "-5", "01", "1" * 40])
def test_a_border_that_is_no_hash_key_is_refused(client, kinesis, border):
    kinesis.create_stream(StreamName="s", ShardCount=1)
    careless = client("kinesis", parameter_validation=False)
    code, said = refused(careless.split_shard, StreamName="s", ShardToSplit="0", NewStartingHashKey=border)  # fmt: skip
    assert code == "ValidationException"
    assert "'newStartingHashKey'" in said


def test_tagging_what_is_made_needs_its_own_permission(client, kinesis):
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_CreateStream.html and API_RegisterStreamConsumer.html"""
    iam = client("iam")
    iam.create_user(UserName="u")
    statement = {"Effect": "Allow", "Action": ["kinesis:CreateStream", "kinesis:RegisterStreamConsumer"], "Resource": "*"}  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = client("kinesis", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    theirs.create_stream(StreamName="s", ShardCount=1)
    code, said = refused(theirs.create_stream, StreamName="t", ShardCount=1, Tags={"a": "1"})
    assert code == "AccessDeniedException"
    assert "kinesis:AddTagsToStream" in said
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    theirs.register_stream_consumer(StreamARN=arn, ConsumerName="c")
    code, said = refused(
        theirs.register_stream_consumer, StreamARN=arn, ConsumerName="d", Tags={"a": "1"}
    )
    assert code == "AccessDeniedException"
    assert "kinesis:TagResource" in said


def test_shards_are_measured_if_the_stream_is_monitored_so(kinesis, platform, advance, monkeypatch):
    """https://docs.aws.amazon.com/streams/latest/dev/monitoring-with-cloudwatch.html"""
    seen = {}

    def measure(account, region, namespace, dimensions, name, value=1.0, *_, **__):
        if ("ShardId", "shardId-000000000000") in dimensions:
            seen[name] = seen.get(name, 0) + value

    monkeypatch.setattr(platform.cloud, "measure", measure)
    kinesis.create_stream(StreamName="s", ShardCount=1)
    put(kinesis, "s", b"1")
    read(kinesis, "s", pages=1)
    assert seen == {}
    wanted = ["IncomingBytes", "IncomingRecords", "OutgoingRecords", "WriteProvisionedThroughputExceeded"]  # fmt: skip
    kinesis.enable_enhanced_monitoring(StreamName="s", ShardLevelMetrics=wanted)
    advance(1)
    records = [{"PartitionKey": "k", "Data": b"xx"}] * 500
    for _ in range(2):
        kinesis.put_records(StreamName="s", Records=records)
    kinesis.put_records(StreamName="s", Records=records[:3])
    read(kinesis, "s", pages=1)
    assert seen == {
        "IncomingBytes": 3000, "IncomingRecords": 1000, "OutgoingRecords": 1001, "WriteProvisionedThroughputExceeded": 3,
    }  # fmt: skip


def subscribe(kinesis, arn, kind="TRIM_HORIZON", **more):
    answer = kinesis.subscribe_to_shard(
        ConsumerARN=arn, ShardId="shardId-000000000000", StartingPosition={"Type": kind, **more}
    )
    return [e["SubscribeToShardEvent"] for e in answer["EventStream"]]


def test_a_subscription_pushes_until_the_shard_ends(kinesis, platform, advance):
    """Enhanced fan-out: an event stream; after a split it says which shards go on."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    made = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"]
    assert made["ConsumerARN"] == f"{arn}/consumer/c:1700000000"
    one, two = put(kinesis, "s", b"1", b"2")
    kinesis.split_shard(StreamName="s", ShardToSplit="0", NewStartingHashKey="1000")
    events = subscribe(kinesis, made["ConsumerARN"])
    assert [r["Data"] for e in events for r in e["Records"]] == [b"1", b"2"]
    assert [c["ShardId"][-1] for c in events[-1]["ChildShards"]] == ["1", "2"]
    after = subscribe(
        kinesis, made["ConsumerARN"], "AFTER_SEQUENCE_NUMBER", SequenceNumber=one["SequenceNumber"]
    )
    assert [r["SequenceNumber"] for r in after[0]["Records"]] == [two["SequenceNumber"]]
    found = kinesis.describe_stream_consumer(StreamARN=arn, ConsumerName="c")["ConsumerDescription"]
    assert found["ConsumerStatus"] == "ACTIVE"
    assert (
        refused(kinesis.register_stream_consumer, StreamARN=arn, ConsumerName="c")[0]
        == "ResourceInUseException"
    )
    assert refused(kinesis.delete_stream, StreamName="s")[0] == "ResourceInUseException"
    kinesis.deregister_stream_consumer(ConsumerARN=made["ConsumerARN"])
    assert kinesis.list_stream_consumers(StreamARN=arn)["Consumers"] == []
    kinesis.delete_stream(StreamName="s")


def test_a_subscription_waits_for_records_and_ends_after_five_minutes(kinesis, platform, world):
    """It waits on keys: nothing is looked at until something is written or a heartbeat is due."""
    import asyncio

    from harness import Harness

    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    consumer = kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="c")["Consumer"][
        "ConsumerARN"
    ]
    h = Harness(platform.cloud)

    async def run():
        ask = {"ConsumerARN": consumer, "ShardId": "0", "StartingPosition": {"Type": "LATEST"}}
        events = (await h("kinesis", "SubscribeToShard", **ask))["EventStream"]
        first = await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not waiting.done()
        await h("kinesis", "PutRecord", StreamName="s", PartitionKey="k", Data=b"x")
        pushed = await waiting
        with pytest.raises(Exception) as taken:
            await h("kinesis", "SubscribeToShard", **ask)
        world.advance(6)
        other = (await h("kinesis", "SubscribeToShard", **ask))["EventStream"]
        ended = [e async for e in events]
        await anext(other)
        world.advance(300)
        rest = [e async for e in other]
        return first, pushed, taken.value, ended, rest

    first, pushed, taken, ended, rest = platform.run(run())
    assert first["SubscribeToShardEvent"]["Records"] == []
    assert [r["Data"] for r in pushed["SubscribeToShardEvent"]["Records"]] == [b"x"]
    assert taken.code == "ResourceInUseException"
    assert all(not e["SubscribeToShardEvent"]["Records"] for e in ended)
    assert rest == []


def test_policies_let_others_write(client, kinesis):
    """A stream's own policy opens it to another account, by ARN."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    other = client("kinesis", account="111111111111")
    code, _ = refused(other.put_record, StreamARN=arn, PartitionKey="k", Data=b"x")
    assert code == "AccessDeniedException"
    assert kinesis.get_resource_policy(ResourceARN=arn)["Policy"] == "{}"
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "111111111111"},
        "Action": "kinesis:PutRecord",
        "Resource": arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    kinesis.put_resource_policy(ResourceARN=arn, Policy=policy)
    other.put_record(StreamARN=arn, PartitionKey="k", Data=b"x")
    assert len(read(kinesis, "s")[0]) == 1
    at = {"StreamARN": arn, "ShardId": "0", "ShardIteratorType": "LATEST"}
    assert refused(other.get_shard_iterator, **at)[0] == "AccessDeniedException"
    kinesis.delete_resource_policy(ResourceARN=arn)
    assert (
        refused(other.put_record, StreamARN=arn, PartitionKey="k", Data=b"x")[0]
        == "AccessDeniedException"
    )


def test_settings_are_kept(kinesis):
    kinesis.create_stream(StreamName="s", ShardCount=1, Tags={"a": "1"})
    arn = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    kinesis.start_stream_encryption(StreamName="s", EncryptionType="KMS", KeyId="alias/aws/kinesis")
    assert put(kinesis, "s", b"x")[0]["EncryptionType"] == "KMS"
    assert read(kinesis, "s")[0][0]["EncryptionType"] == "KMS"
    kinesis.stop_stream_encryption(StreamName="s", EncryptionType="KMS", KeyId="alias/aws/kinesis")
    kinesis.enable_enhanced_monitoring(StreamName="s", ShardLevelMetrics=["IncomingBytes"])
    kinesis.add_tags_to_stream(StreamName="s", Tags={"b": "2"})
    kinesis.tag_resource(ResourceARN=arn, Tags={"c": "3"})
    kinesis.remove_tags_from_stream(StreamName="s", TagKeys=["a"])
    assert (
        kinesis.list_tags_for_resource(ResourceARN=arn)["Tags"]
        == kinesis.list_tags_for_stream(StreamName="s")["Tags"]
    )
    assert [t["Key"] for t in kinesis.list_tags_for_stream(StreamName="s")["Tags"]] == ["b", "c"]
    kinesis.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    described = kinesis.describe_stream(StreamName="s")["StreamDescription"]
    assert described["EncryptionType"] == "NONE"
    assert described["EnhancedMonitoring"] == [{"ShardLevelMetrics": ["IncomingBytes"]}]
    assert described["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert kinesis.describe_limits()["OnDemandStreamCount"] == 1
    code, said = refused(kinesis.describe_stream, StreamName="nope")
    assert (code, said) == (
        "ResourceNotFoundException",
        "Stream nope under account 000000000000 not found.",
    )
    assert refused(kinesis.create_stream, StreamName="s", ShardCount=1)[1] == (
        "Stream s under account 000000000000 already exists."
    )
    assert kinesis.list_streams(Limit=1)["StreamNames"] == ["s"]


def signed(operation, body, content_type):
    request = AWSRequest(
        "POST", f"{ENDPOINT}/", data=body,
        headers={"X-Amz-Target": f"Kinesis_20131202.{operation}", "Content-Type": content_type},
    )  # fmt: skip
    SigV4Auth(Credentials("000000000000", "test"), "kinesis", "us-east-1").add_auth(request)
    return to_http(request.prepare())


def test_the_old_cbor_of_javas_sdk_is_spoken(kinesis, platform, client):
    """application/x-amz-cbor-1.1: blobs as bytes, times in milliseconds, faults in CBOR too; beside JSON on one key."""
    kinesis = client("kinesis")
    kinesis.create_stream(StreamName="s", ShardCount=1)

    def ask(operation, request):
        sent = signed(operation, cbor2.dumps(request), "application/x-amz-cbor-1.1")
        sent.headers["x-amz-date"] = sent.headers["x-amz-date"]
        status, headers, body = platform.send(sent)
        assert dict(headers)["Content-Type"] == "application/x-amz-cbor-1.1"
        return status, cbor2.loads(body, semantic_decoders={1: lambda value, *_: value})

    status, _ = ask("PutRecord", {"StreamName": "s", "PartitionKey": "k", "Data": b"\x00\xff"})
    assert status == 200
    at = ask("GetShardIterator", {
        "StreamName": "s", "ShardId": "0", "ShardIteratorType": "AT_TIMESTAMP",
        "Timestamp": cbor2.CBORTag(1, 1_700_000_000_000),
    })[1]["ShardIterator"]  # fmt: skip
    (record,) = ask("GetRecords", {"ShardIterator": at})[1]["Records"]
    assert record["Data"] == b"\x00\xff"
    assert record["ApproximateArrivalTimestamp"] == 1_700_000_000_250
    status, fault = ask("DescribeStream", {"StreamName": "nope"})
    assert status == 400
    assert fault == {
        "__type": "ResourceNotFoundException",
        "message": "Stream nope under account 000000000000 not found.",
    }
