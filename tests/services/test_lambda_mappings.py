"""Event source mappings: queues and streams read for functions, with failures, filters, windows and restarts.

What the function does is played by the test (``Function``): the sandbox has tests of its own.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter, defaultdict

import corpora
import pytest
from harness import run_in_cloud
from lambdas import TRUST, zipped

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.services.lambda_ import mapping_state
from stratolite.services.lambda_.invoking import Answer

ACCOUNT = "000000000000"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
STREAM = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
URL = f"http://localhost:4566/{ACCOUNT}/q"
EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


class StillWorld(World):
    """Its cloud clock moves only when a test says so."""

    def __init__(self):
        super().__init__()
        self.cloud_s = 1_700_000_000.0

    def cloud(self):
        return self.cloud_s

    def advance(self, seconds):
        self.cloud_s += seconds
        self._moved()


class Function:
    """Stands for the function: keeps what it is given, answers what ``answer`` says."""

    def __init__(self, answer=None):
        self.events = []
        self.answer = answer or (lambda event: {})

    async def run(self, call, target, event, **_):
        said = json.loads(event)
        self.events.append(said)
        result = self.answer(said)
        if asyncio.iscoroutine(result):
            result = await result
        if isinstance(result, Fault):
            raise result
        if isinstance(result, Exception):
            return Answer(b'{"errorMessage": "no"}', "Unhandled", "")
        return Answer(json.dumps(result).encode(), None, "")

    def flat(self):
        return [data for batch in self.datas() for data in batch]

    def datas(self):
        return [
            [base64.b64decode(r["kinesis"]["data"]).decode() for r in e["Records"]]
            for e in self.events
        ]

    def bodies(self):
        return [[r["body"] for r in e["Records"]] for e in self.events]


class Scene:
    """A cloud with a queue, a stream and a function ``fn`` that may do everything."""

    def __init__(self, h, world):
        self.h, self.world = h, world
        self.function = Function()

    async def set(self):
        h = self.h
        role = await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        await h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=EVERYTHING)
        await h("lambda", "CreateFunction", FunctionName="fn", Runtime="python3.12", Role=role["Role"]["Arn"],
                Handler="index.handler", Code={"ZipFile": zipped()}, Timeout=3)  # fmt: skip
        await h("sqs", "CreateQueue", QueueName="q")
        await h("kinesis", "CreateStream", StreamName="s", ShardCount=1)
        return self.watch()

    def watch(self):
        self.h.cloud.service("lambda").run = self.function.run
        return self

    async def map(self, arn, **more):
        made = await self.h(
            "lambda",
            "CreateEventSourceMapping",
            **{"FunctionName": "fn", "EventSourceArn": arn} | more,
        )
        await self.state(made["UUID"], "Enabled")
        return made["UUID"]

    async def twin(self):
        """Another function like ``fn``; its ARN."""
        role = await self.h("iam", "GetRole", RoleName="r")
        made = await self.h("lambda", "CreateFunction", FunctionName="twin", Runtime="python3.12", Role=role["Role"]["Arn"],
                            Handler="index.handler", Code={"ZipFile": zipped()}, Timeout=3)  # fmt: skip
        return made["FunctionArn"]

    async def mapped(self, uuid):
        return await self.h("lambda", "GetEventSourceMapping", UUID=uuid)

    async def state(self, uuid, wanted):
        await self.until(lambda: self._is(uuid, wanted))

    async def _is(self, uuid, wanted):
        return (await self.mapped(uuid))["State"] == wanted

    async def until(self, condition, step_s=0.0):
        """Condition comes true; the cloud clock goes on by ``step_s`` with each look."""
        for _ in range(12_000):
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)
            if step_s:
                self.world.advance(step_s)
        raise AssertionError(f"never: events={self.function.events!r}"[:2000])

    async def quiet(self):
        """Nothing more is handed over."""
        before = len(self.function.events)
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert len(self.function.events) == before

    async def put(self, *datas, stream="s", key="k"):
        for data in datas:
            await self.h(
                "kinesis", "PutRecord", StreamName=stream, PartitionKey=key, Data=data.encode()
            )

    async def send(self, *bodies, url=URL, **more):
        for body in bodies:
            await self.h("sqs", "SendMessage", QueueUrl=url, MessageBody=body, **more)

    async def left(self, url=URL):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = await self.h("sqs", "GetQueueAttributes", QueueUrl=url, AttributeNames=names)
        return sum(int(v) for v in found["Attributes"].values())

    async def has_left(self, count, url=URL):
        return await self.left(url) == count

    async def received(self, url=URL):
        found = await self.h("sqs", "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10)
        return [json.loads(m["Body"]) for m in found.get("Messages", [])]


@pytest.fixture
def play(tmp_path):
    """Run ``await body(scene)`` in a cloud; again in the same folder for what is durable."""
    world = StillWorld()

    def run(body, fresh=True):
        async def main(h):
            scene = Scene(h, world)
            await (scene.set() if fresh else asyncio.sleep(0))
            return await body(scene.watch())

        return run_in_cloud(str(tmp_path / "c"), main, world)

    return run


def no(_):
    return ValueError()


# -- queues


def test_a_queue_is_emptied_by_a_function(play):
    async def body(s):
        await s.send("early")
        await s.map(QUEUE)
        await s.send("a", "b")
        await s.until(lambda: sum(map(len, s.function.bodies())) == 3)
        await s.until(lambda: s.has_left(0))

    play(body)


def test_failed_messages_come_back_and_end_in_the_dead_letter_queue(play):
    """After the visibility timeout, as often as the redrive policy says."""

    async def body(s):
        await s.h("sqs", "CreateQueue", QueueName="dlq")
        policy = json.dumps({"deadLetterTargetArn": QUEUE[:-1] + "dlq", "maxReceiveCount": 2})
        await s.h("sqs", "SetQueueAttributes", QueueUrl=URL, Attributes={"RedrivePolicy": policy})
        s.function.answer = no
        await s.map(QUEUE)
        await s.send("poison")
        await s.until(lambda: s.function.events)
        await s.quiet()
        s.world.advance(31)
        await s.until(lambda: len(s.function.events) == 2)
        counts = [
            e["Records"][0]["attributes"]["ApproximateReceiveCount"] for e in s.function.events
        ]
        assert counts == ["1", "2"]
        dlq = URL[:-1] + "dlq"
        await s.until(lambda: s.has_left(1, dlq), step_s=5)

    play(body)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        ({}, 0), (None, 0), ([], 0), ("", 0), ({"batchItemFailures": []}, 0), ({"batchItemFailures": None}, 0),
        ("one", 1), ({"batchItemFailures": [{"itemIdentifier": ""}]}, 3),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, 3), ({"batchItemFailures": [{"foo": 1}]}, 3),
        ({"batchItemFailures": [{"itemIdentifier": "not-in-batch"}]}, 3),
    ],
)  # fmt: skip
def test_partial_batch_responses(play, answer, left):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html, and what LocalStack recorded."""

    async def body(s):
        def reply(event):
            if answer == "one":
                return {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
            return answer

        s.function.answer = reply
        await s.send("a", "b", "c")
        await s.map(QUEUE, FunctionResponseTypes=["ReportBatchItemFailures"])
        await s.until(lambda: s.function.events)
        assert s.function.bodies() == [["a", "b", "c"]]
        await s.until(lambda: s.has_left(left))
        await s.quiet()

    play(body)


def test_filtered_messages_are_deleted_and_not_handed_over(play):
    async def body(s):
        pattern = json.dumps({"body": {"kind": ["order"], "n": [{"numeric": [">", 1]}]}})
        await s.map(
            QUEUE,
            FilterCriteria={
                "Filters": [{"Pattern": pattern}, {"Pattern": '{"body": [{"prefix": "pl"}]}'}]
            },
        )
        await s.send(
            '{"kind": "order", "n": 2}',
            '{"kind": "order", "n": 1}',
            "plain",
            "other",
            '{"kind": "x"}',
        )
        await s.until(lambda: s.has_left(0))
        assert {b for e in s.function.bodies() for b in e} == {"plain", '{"kind": "order", "n": 2}'}

    play(body)


def test_a_window_gathers_more_than_ten(play):
    async def body(s):
        await s.send(*[str(n) for n in range(25)])
        await s.map(QUEUE, BatchSize=25, MaximumBatchingWindowInSeconds=60)
        await s.until(lambda: s.function.events)
        assert [len(b) for b in s.function.bodies()] == [25]
        await s.send("late")
        await s.quiet()
        s.world.advance(61)
        await s.until(lambda: len(s.function.events) == 2)

    play(body)


def test_a_fifo_queue_keeps_each_group_in_order(play):
    """Groups run beside each other, messages of one group never."""

    async def body(s):
        url, running, seen = f"{URL}.fifo", defaultdict(int), defaultdict(list)
        await s.h("sqs", "CreateQueue", QueueName="q.fifo", Attributes={"FifoQueue": "true"})

        async def answer(event):
            groups = {r["attributes"]["MessageGroupId"] for r in event["Records"]}
            for group in groups:
                running[group] += 1
                assert running[group] == 1
            await asyncio.sleep(0.003)
            for record in event["Records"]:
                seen[record["attributes"]["MessageGroupId"]].append(int(record["body"]))
            for group in groups:
                running[group] -= 1
            return {}

        s.function.answer = answer
        for n in range(30):
            await s.send(str(n), url=url, MessageGroupId=f"g{n % 3}", MessageDeduplicationId=str(n))
        await s.map(f"{QUEUE}.fifo", BatchSize=2)
        await s.until(lambda: sum(map(len, seen.values())) == 30)
        assert all(order == sorted(order) for order in seen.values())

    play(body)


def test_a_throttled_function_gets_its_messages_later(play):
    async def body(s):
        busy = [Fault("TooManyRequestsException", "Rate Exceeded.")] * 2
        s.function.answer = lambda _: busy.pop() if busy else {}
        await s.map(QUEUE)
        await s.send("a")
        await s.until(lambda: len(s.function.events) == 3, step_s=1)
        await s.until(lambda: s.has_left(0))

    play(body)


def test_at_most_so_many_batches_run_at_once(play):
    async def body(s):
        running = most = 0
        go = asyncio.Event()

        async def answer(_):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go.wait()
            running -= 1
            return {}

        s.function.answer = answer
        await s.send(*"abcdef")
        await s.map(QUEUE, BatchSize=1, ScalingConfig={"MaximumConcurrency": 2})
        await s.until(lambda: len(s.function.events) == 2)
        await s.quiet()
        go.set()
        await s.until(lambda: len(s.function.events) == 6)
        assert most == 2

    play(body)


def test_a_queues_pollers_bound_its_batches(play):
    """Ten for each: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html"""

    async def body(s):
        running = most = 0
        go = asyncio.Event()

        async def answer(_):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await go.wait()
            running -= 1
            return {}

        s.function.answer = answer
        await s.send(*(str(n) for n in range(25)))
        uuid = await s.map(QUEUE, BatchSize=1, ProvisionedPollerConfig={"MaximumPollers": 2})
        kept = {"MinimumPollers": 2, "MaximumPollers": 2}
        assert (await s.mapped(uuid))["ProvisionedPollerConfig"] == kept
        await s.until(lambda: len(s.function.events) == 20)
        await s.quiet()
        assert most == 20
        go.set()
        await s.until(lambda: len(s.function.events) == 25)

        async def refused(**ask):
            with pytest.raises(Fault) as caught:
                await s.h("lambda", "UpdateEventSourceMapping", UUID=uuid, **ask)
            return caught.value.code

        bad = "InvalidParameterValueException"
        assert await refused(ScalingConfig={"MaximumConcurrency": 2}) == bad
        assert await refused(ProvisionedPollerConfig={"PollerGroupName": "g"}) == bad
        assert (
            await refused(ProvisionedPollerConfig={"MinimumPollers": 5, "MaximumPollers": 4}) == bad
        )
        for pollers in ({"MinimumPollers": 1}, {"MinimumPollers": 201}, {"MaximumPollers": 10_001}):
            assert await refused(ProvisionedPollerConfig=pollers) == "ValidationException"
        await s.h("lambda", "UpdateEventSourceMapping", UUID=uuid, ProvisionedPollerConfig={})
        assert "ProvisionedPollerConfig" not in await s.mapped(uuid)

    play(body)


# -- streams


def test_a_stream_is_read_in_order_and_goes_on_after_a_restart(play):
    """The checkpoint is in the store: nothing is lost, and what was done is not done again."""

    async def first(s):
        await s.put("0")
        await s.map(STREAM, StartingPosition="TRIM_HORIZON", BatchSize=2)
        await s.put(*"1234")
        await s.until(lambda: s.function.flat() == list("01234"))
        assert max(map(len, s.function.datas())) <= 2
        await s.quiet()
        await s.h.cloud.metrics.flush()
        listed = await s.h(
            "cloudwatch", "ListMetrics", Namespace="AWS/Lambda", MetricName="IteratorAge"
        )
        assert listed["Metrics"][0]["Dimensions"] == [{"Name": "FunctionName", "Value": "fn"}]
        listed = await s.h("cloudwatch", "ListMetrics", Namespace="AWS/Kinesis")
        assert {m["MetricName"] for m in listed["Metrics"]} >= {
            "IncomingRecords",
            "GetRecords.Bytes",
        }

    async def second(s):
        await s.quiet()
        assert s.function.events == []
        await s.put("5")
        await s.until(lambda: s.function.datas() == [["5"]])

    play(first)
    play(second, fresh=False)


@pytest.mark.parametrize(
    ("position", "wanted"), [("LATEST", "c"), ("TRIM_HORIZON", "abc"), ("AT_TIMESTAMP", "bc")]
)
def test_reading_begins_where_the_mapping_says(play, position, wanted):
    async def body(s):
        await s.put("a")
        s.world.advance(10)
        more = {"StartingPositionTimestamp": s.world.cloud_s} if position == "AT_TIMESTAMP" else {}
        await s.put("b")
        await s.map(STREAM, StartingPosition=position, **more)
        await s.put("c")
        await s.until(lambda: "".join(s.function.flat()) == wanted)

    play(body)


def test_a_failing_batch_is_tried_again_and_then_given_up_to_its_destination(play):
    """The record that AWS sends, as LocalStack recorded it; what comes behind goes on in order.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """

    async def body(s):
        s.function.answer = lambda e: ValueError() if "bad" in str(s.function.datas()[-1]) else {}
        await s.put("bad")
        uuid = await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", BatchSize=1, MaximumRetryAttempts=1,
            DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        )  # fmt: skip
        await s.put("good")
        await s.until(lambda: s.function.datas()[-1:] == [["good"]], step_s=0.2)
        assert s.function.datas() == [["bad"], ["bad"], ["good"]]
        (said,) = await s.received()
        number = s.function.events[0]["Records"][0]["kinesis"]["sequenceNumber"]
        assert said["requestContext"].pop("requestId")
        assert said.pop("timestamp").endswith("Z")
        assert said == {
            "requestContext": {
                "functionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:fn",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 2,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "version": "1.0",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": number,
                "endSequenceNumber": number,
                "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20.000Z",
                "approximateArrivalOfLastRecord": "2023-11-14T22:13:20.000Z",
                "batchSize": 1,
                "streamArn": STREAM,
            },
        }
        assert (await s.mapped(uuid))["LastProcessingResult"] == "OK"

    play(body)


def test_attempts_are_counted_on_after_a_restart(play):
    """Two attempts before, one after it: MaximumRetryAttempts=2 is used up. What halving found stays halved."""

    async def tried(s, uuid):
        keys = s.h.call().keys("lambda")
        rows = await s.h.cloud.db.transact(
            lambda tx: [row for _, row in mapping_state.checkpoints(tx, keys, uuid)]
        )
        return [count for row in rows for _, count in (row.get("tried") or {}).values()]

    def poisoned(s):
        s.function.answer = lambda e: ValueError() if "bad" in s.function.datas()[-1] else {}

    async def first(s):
        poisoned(s)
        await s.put("a", "b", "c", "bad", "d")
        uuid = await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", BisectBatchOnFunctionError=True, MaximumRetryAttempts=2,
            DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        )  # fmt: skip
        for _ in range(600):
            if await tried(s, uuid) == [2]:
                break
            s.world.advance(0.2)
            await asyncio.sleep(0.02)
        assert s.function.datas()[-2:] == [["bad"], ["bad"]]

    async def second(s):
        poisoned(s)
        await s.until(lambda: s.function.datas()[-1:] == [["d"]], step_s=0.2)
        assert s.function.datas() == [["a", "b", "c"], ["bad"], ["d"]]
        (said,) = await s.received()
        assert said["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert said["requestContext"]["approximateInvokeCount"] == 3

    play(first)
    play(second, fresh=False)


def test_bisecting_finds_the_poison(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html: halves, in order, until one record is left."""

    async def body(s):
        s.function.answer = lambda e: ValueError() if "bad" in s.function.datas()[-1] else {}
        await s.put("a", "b", "c", "bad", "d")
        await s.h("s3", "CreateBucket", Bucket="failed")
        await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", BisectBatchOnFunctionError=True, MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failed"}},
        )  # fmt: skip
        await s.until(lambda: s.function.datas()[-1:] == [["d"]], step_s=0.2)
        good = [d for batch in s.function.datas() if "bad" not in batch for d in batch]
        assert good == ["a", "b", "c", "d"]
        (kept,) = (await s.h("s3", "ListObjectsV2", Bucket="failed"))["Contents"]
        assert kept["Key"].startswith("aws/lambda/")
        assert "/shardId-000000000000/2023/11/14/2023-11-14T22.13." in kept["Key"]

    play(body)


def test_a_partial_failure_goes_on_from_the_failed_record(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html: the lowest counts."""

    async def body(s):
        failing = True

        def answer(event):
            nonlocal failing
            numbers = [r["kinesis"]["sequenceNumber"] for r in event["Records"]]
            if failing:
                failing = False
                return {
                    "batchItemFailures": [{"itemIdentifier": n} for n in (numbers[3], numbers[1])]
                }
            return {}

        s.function.answer = answer
        await s.put(*"abcd")
        await s.map(
            STREAM,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        await s.until(lambda: len(s.function.events) == 2, step_s=0.2)
        assert s.function.datas() == [list("abcd"), list("bcd")]

    play(body)


@pytest.mark.parametrize(
    ("answer", "again"),
    [
        ({}, False), (None, False), ({"batchItemFailures": []}, False), ({"batchItemFailures": None}, False),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, True), ({"batchItemFailures": [{"itemIdentifier": None}]}, True),
        ({"batchItemFailures": [{"sequence": "1"}]}, True), ({"batchItemFailures": [{"itemIdentifier": "not-in-batch"}]}, True),
        (ValueError(), True),
    ],
)  # fmt: skip
def test_what_a_function_may_say_of_a_stream_s_batch(play, answer, again):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html: success and failure conditions."""

    async def body(s):
        left = [answer]
        s.function.answer = lambda _: left.pop() if left else {}
        await s.put(*"abc")
        await s.map(
            STREAM,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        await s.until(lambda: s.function.events)
        await s.put("d")
        await s.until(lambda: s.function.datas()[-1][-1] == "d", step_s=0.2)
        first = [d for batch in s.function.datas()[1:] for d in batch]
        assert first == (list("abcd") if again else ["d"])

    play(body)


def test_bisecting_cuts_where_the_function_says(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html: at the sequence number it returned."""

    async def body(s):
        def answer(event):
            named = {s.function.datas()[-1][n]: r for n, r in enumerate(event["Records"])}
            if "bad" not in named:
                return {}
            return {"batchItemFailures": [{"itemIdentifier": named["bad"]["kinesis"]["sequenceNumber"]}]}  # fmt: skip

        s.function.answer = answer
        await s.put("a", "b", "bad", "c")
        await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", BisectBatchOnFunctionError=True, MaximumRetryAttempts=1,
            FunctionResponseTypes=["ReportBatchItemFailures"], DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        )  # fmt: skip
        await s.until(lambda: s.function.datas()[-1:] == [["c"]], step_s=0.2)
        seen = s.function.datas()
        assert seen[:2] == [["a", "b", "bad", "c"], ["bad", "c"]], "the rest, before it is halved"
        assert [d for batch in seen for d in batch if d in "ab"] == ["a", "b"], "what was before it is done"  # fmt: skip
        (said,) = await s.received()
        assert said["KinesisBatchInfo"]["batchSize"] == 1

    play(body)


def test_too_old_records_are_given_up(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html: MaximumRecordAgeInSeconds."""

    async def body(s):
        await s.put("old")
        s.world.advance(100)
        await s.put("new")
        await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", MaximumRecordAgeInSeconds=60,
            DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        )  # fmt: skip
        await s.until(lambda: s.function.datas() == [["new"]])
        (said,) = await s.received()
        assert said["requestContext"]["condition"] == "RecordAgeExceeded"
        assert "responseContext" not in said
        assert said["requestContext"]["approximateInvokeCount"] == 1, (
            "as AWS says, though it never was"
        )

    play(body)


def test_a_record_that_no_invocation_takes_goes_to_the_destination(play):
    """https://docs.aws.amazon.com/streams/latest/dev/large-records.html: 6 MiB as base64, with what stands around it."""

    async def body(s):
        await s.h("kinesis", "UpdateMaxRecordSize", StreamARN=STREAM, MaxRecordSizeInKiB=10_240)
        await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", DestinationConfig={"OnFailure": {"Destination": QUEUE}}
        )  # fmt: skip
        for data in (b"x" * (4 << 20), b"y" * (5 << 20), b"small"):
            record = {"StreamARN": STREAM, "PartitionKey": "k", "Data": data}
            await s.h("kinesis", "PutRecord", **record)
            s.world.advance(1)
        await s.until(lambda: s.function.flat()[-1:] == ["small"])
        assert [len(data) for data in s.function.flat()] == [4 << 20, 5]
        (said,) = await s.received()
        assert said["requestContext"]["condition"] == "MaximumPayloadSizeExceeded"
        assert "responseContext" not in said
        assert said["KinesisBatchInfo"]["batchSize"] == 1

    play(body)


def test_keys_stay_in_order_when_several_batches_run_at_once(play):
    async def body(s):
        running = most = 0

        async def answer(event):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.003)
            running -= 1
            return {}

        s.function.answer = answer
        for n in range(40):
            await s.put(str(n), key=f"k{n % 8}")
        await s.map(STREAM, StartingPosition="TRIM_HORIZON", BatchSize=4, ParallelizationFactor=4)
        await s.until(lambda: sum(map(len, s.function.datas())) == 40)
        seen = defaultdict(list)
        for event in s.function.events:
            for record in event["Records"]:
                seen[record["kinesis"]["partitionKey"]].append(record["kinesis"]["sequenceNumber"])
        assert all(order == sorted(order, key=int) for order in seen.values())
        assert most > 1

    play(body)


def test_a_streams_consumer_is_a_source_of_its_own(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html: its ARN stands in the events."""

    async def body(s):
        made = await s.h("kinesis", "RegisterStreamConsumer", StreamARN=STREAM, ConsumerName="c")
        arn = made["Consumer"]["ConsumerARN"]
        await s.map(arn, StartingPosition="TRIM_HORIZON")
        await s.put("a")
        await s.until(lambda: s.function.events)
        assert s.function.events[0]["Records"][0]["eventSourceARN"] == arn
        found = await s.h("lambda", "ListEventSourceMappings", EventSourceArn=arn)
        assert len(found["EventSourceMappings"]) == 1

    play(body)


def test_filters_see_the_decoded_data(play):
    async def body(s):
        pattern = json.dumps({"data": {"temp": [{"numeric": [">", 20]}]}, "partitionKey": ["k"]})
        await s.put('{"temp": 30}', '{"temp": 10}', "no json")
        await s.put('{"temp": 99}', key="other")
        await s.map(
            STREAM,
            StartingPosition="TRIM_HORIZON",
            FilterCriteria={"Filters": [{"Pattern": pattern}]},
        )
        await s.until(lambda: s.function.events)
        await s.quiet()
        assert s.function.datas() == [['{"temp": 30}']]

    play(body)


def test_a_mapping_counts_its_events_if_it_is_to(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics"""

    async def body(s):
        counts = {}

        def measure(account, region, namespace, dimensions, name, value, *_, **__):
            if dimensions[0][0] == "EventSourceMappingUUID":
                place = counts.setdefault(dimensions[0][1], {})
                place[name] = place.get(name, 0) + value

        s.h.cloud.measure = measure

        def answer(event):
            if "messageId" in event["Records"][0]:
                return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["messageId"]}]}
            return ValueError() if len(event["Records"]) > 1 else {}

        s.function.answer = answer
        want = {"Metrics": ["EventCount"]}
        filters = {"Filters": [{"Pattern": json.dumps({"body": {"n": [1]}})}]}
        await s.send('{"n": 1}', '{"n": 1}', '{"n": 2}')
        queue = await s.map(QUEUE, FunctionResponseTypes=["ReportBatchItemFailures"], FilterCriteria=filters, MetricsConfig=want)  # fmt: skip
        await s.until(lambda: s.has_left(1))
        await s.h("lambda", "UpdateEventSourceMapping", UUID=queue, Enabled=False)
        await s.state(queue, "Disabled")
        assert (await s.mapped(queue))["MetricsConfig"] == want
        assert counts.pop(queue) == {
            "PolledEventCount": 3, "FilteredOutEventCount": 1, "InvokedEventCount": 2, "FailedInvokeEventCount": 1, "DeletedEventCount": 2,
        }  # fmt: skip
        await s.put("a", "b")
        failed = {"OnFailure": {"Destination": QUEUE}}
        stream = await s.map(STREAM, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0, DestinationConfig=failed, MetricsConfig=want)  # fmt: skip
        uncounted = await s.map(STREAM, FunctionName=await s.twin(), StartingPosition="TRIM_HORIZON")  # fmt: skip
        await s.until(lambda: s.has_left(2))
        await s.put("c")
        await s.until(lambda: counts[stream].get("InvokedEventCount") == 3)
        assert counts[stream] == {
            "PolledEventCount": 3, "InvokedEventCount": 3, "FailedInvokeEventCount": 2, "DroppedEventCount": 2,
            "OnFailureDestinationDeliveredEventCount": 2,
        }  # fmt: skip
        assert uncounted not in counts

    play(body)


def test_children_are_read_after_their_parents(play):
    """Splits and merges on the way; every record of a key in order."""

    async def body(s):
        await s.put("0")
        await s.map(STREAM, StartingPosition="TRIM_HORIZON", BatchSize=3)
        await s.h(
            "kinesis",
            "SplitShard",
            StreamName="s",
            ShardToSplit="0",
            NewStartingHashKey=str(2**127),
        )
        for n in range(1, 6):
            await s.put(str(n), key=f"k{n}")
        await s.h(
            "kinesis", "MergeShards", StreamName="s", ShardToMerge="1", AdjacentShardToMerge="2"
        )
        for n in range(6, 10):
            await s.put(str(n), key=f"k{n - 5}")
        await s.until(lambda: sum(map(len, s.function.datas())) == 10)
        flat = s.function.flat()
        assert flat[0] == "0"
        assert sorted(flat[6:]) == list("6789")
        await s.put("last")
        await s.until(lambda: s.function.datas()[-1] == ["last"])

    play(body)


def test_tumbling_windows_carry_state_and_end(play):
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html"""

    async def body(s):
        def answer(event):
            count = event["state"].get("count", 0) + len(event["Records"])
            return {"state": {"count": count}}

        s.function.answer = answer
        await s.map(
            STREAM, StartingPosition="TRIM_HORIZON", TumblingWindowInSeconds=60, BatchSize=2
        )
        await s.put(*"abc")
        await s.until(lambda: sum(map(len, s.function.datas())) == 3)
        s.world.advance(65)
        await s.until(lambda: s.function.events[-1]["isFinalInvokeForWindow"])
        final = s.function.events[-1]
        assert final["Records"] == []
        assert final["state"] == {"count": 3}
        assert final["window"] == {"start": "2023-11-14T22:13:00Z", "end": "2023-11-14T22:14:00Z"}
        await s.put("d")
        await s.until(lambda: s.function.datas()[-1] == ["d"])
        assert s.function.events[-1]["state"] == {}
        example = json.loads(
            corpora.one("lambda-events", "kinesis-time-window-event.json").read_text()
        )
        assert s.function.events[-1].keys() == example.keys()

    play(body)


def test_changes_of_a_table_reach_a_function(play):
    async def body(s):
        made = await s.h(
            "dynamodb", "CreateTable", TableName="table", BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )  # fmt: skip
        arn = made["TableDescription"]["LatestStreamArn"]
        item = {"id": {"S": "a"}, "n": {"N": "1"}}
        await s.h("dynamodb", "PutItem", TableName="table", Item=item)
        pattern = json.dumps({"eventName": ["INSERT", "MODIFY"]})
        uuid = await s.map(
            arn, StartingPosition="TRIM_HORIZON", FilterCriteria={"Filters": [{"Pattern": pattern}]}
        )
        await s.until(lambda: s.function.events)
        await s.h("dynamodb", "DeleteItem", TableName="table", Key={"id": {"S": "a"}})
        await s.h("dynamodb", "PutItem", TableName="table", Item={**item, "n": {"N": "2"}})
        await s.until(lambda: len(s.function.events) == 2)
        (one,) = s.function.events[0]["Records"]
        assert one["dynamodb"]["NewImage"] == item
        assert one["eventSourceARN"] == arn
        example = json.loads(corpora.one("lambda-events", "dynamodb-event.json").read_text())[
            "Records"
        ][0]
        assert one.keys() == example.keys() - {"userIdentity"}
        assert type(one["dynamodb"]["ApproximateCreationDateTime"]) is int
        await s.h("lambda", "DeleteEventSourceMapping", UUID=uuid)

    play(body)


def test_a_tables_change_that_is_given_up_is_told_as_aws_tells_it(play):
    """Times without their thousandths: test_lambda_integration_dynamodbstreams.snapshot.json of localstack/localstack."""

    async def body(s):
        made = await s.h(
            "dynamodb", "CreateTable", TableName="table", BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )  # fmt: skip
        arn = made["TableDescription"]["LatestStreamArn"]
        await s.h("dynamodb", "PutItem", TableName="table", Item={"id": {"S": "a"}})
        s.function.answer = lambda _: ValueError()
        await s.map(
            arn, StartingPosition="TRIM_HORIZON", MaximumRetryAttempts=0,
            DestinationConfig={"OnFailure": {"Destination": QUEUE}},
        )  # fmt: skip
        await s.until(lambda: s.function.events)
        await s.until(lambda: s.has_left(1))
        (said,) = await s.received()
        number = s.function.events[0]["Records"][0]["dynamodb"]["SequenceNumber"]
        batch = said["DDBStreamBatchInfo"]
        assert batch.pop("shardId").startswith("shardId-")
        assert batch == {
            "startSequenceNumber": number,
            "endSequenceNumber": number,
            "approximateArrivalOfFirstRecord": "2023-11-14T22:13:20Z",
            "approximateArrivalOfLastRecord": "2023-11-14T22:13:20Z",
            "batchSize": 1,
            "streamArn": arn,
        }

    play(body)


def _types(value):
    if isinstance(value, dict):
        return {k: _types(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_types(v) for v in value[:1]]
    return "number" if isinstance(value, int | float) else type(value).__name__


def test_events_have_the_keys_and_types_of_the_published_ones(play):
    async def body(s):
        await s.put("x")
        await s.map(STREAM, StartingPosition="TRIM_HORIZON")
        await s.until(lambda: s.function.events)
        example = json.loads(corpora.one("lambda-events", "kinesis-event.json").read_text())
        assert _types(s.function.events[0]) == _types(example)
        attributes = {"Attribute3": {"DataType": "Binary", "BinaryValue": b"1100"},
                      "Attribute1": {"DataType": "String", "StringValue": "x"}}  # fmt: skip
        await s.map(QUEUE)
        await s.send("body", MessageAttributes=attributes)
        await s.until(lambda: len(s.function.events) == 2)
        (record,) = s.function.events[1]["Records"]
        example = json.loads(corpora.one("lambda-events", "sqs-event.json").read_text())["Records"][
            0
        ]
        assert _types({k: v for k, v in record.items() if k != "messageAttributes"}) == _types(
            {k: v for k, v in example.items() if k != "messageAttributes"}
        )
        assert record["messageAttributes"]["Attribute3"]["binaryValue"] == "MTEwMA=="
        assert (
            record["messageAttributes"]["Attribute1"].keys()
            == example["messageAttributes"]["Attribute1"].keys()
        )

    play(body)


# -- Powertools


def test_powertools_read_batches_and_answer_for_them(play):
    """https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/: its parser takes the events, and what its
    processor reports is tried again, nothing else."""
    from aws_lambda_powertools.utilities.batch import (
        BatchProcessor,
        EventType,
        process_partial_response,
    )
    from aws_lambda_powertools.utilities.parser import parse
    from aws_lambda_powertools.utilities.parser.models import KinesisDataStreamModel, SqsModel

    tried = Counter()

    def answer(event):
        is_queue = event["Records"][0]["eventSource"] == "aws:sqs"
        parse(event=event, model=SqsModel if is_queue else KinesisDataStreamModel)

        def one(record):
            text = record.body if is_queue else record.kinesis.data_as_text()
            tried[text] += 1
            if text.startswith("bad") and tried[text] == 1:
                raise ValueError(text)

        kind = EventType.SQS if is_queue else EventType.KinesisDataStreams
        processor = BatchProcessor(event_type=kind, raise_on_entire_batch_failure=False)
        return process_partial_response(
            event=event, record_handler=one, processor=processor, context=None
        )

    async def body(s):
        s.function.answer = answer
        await s.send("one", "bad two", "three")
        await s.map(QUEUE, FunctionResponseTypes=["ReportBatchItemFailures"])
        await s.until(lambda: s.function.events)
        s.world.advance(31)
        await s.until(lambda: s.has_left(0))
        assert tried == {"one": 1, "bad two": 2, "three": 1}
        await s.put("r1", "bad r2", "r3")
        await s.map(
            STREAM,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
        )
        await s.until(lambda: tried["bad r2"] == 2 and tried["r3"] == 2, step_s=0.2)
        assert tried["r1"] == 1

    play(body)


# -- switching


def test_a_mapping_is_switched_off_and_on_changed_and_deleted(play):
    async def body(s):
        uuid = await s.map(STREAM, StartingPosition="TRIM_HORIZON")
        await s.put("a")
        await s.until(lambda: s.function.datas() == [["a"]])
        answer = await s.h("lambda", "UpdateEventSourceMapping", UUID=uuid, Enabled=False)
        assert answer["State"] == "Disabling"
        await s.state(uuid, "Disabled")
        await s.put("b", "c")
        await s.quiet()
        answer = await s.h(
            "lambda", "UpdateEventSourceMapping", UUID=uuid, Enabled=True, BatchSize=1
        )
        assert answer["State"] == "Enabling"
        await s.until(lambda: s.function.datas() == [["a"], ["b"], ["c"]])
        await s.h("lambda", "UpdateEventSourceMapping", UUID=uuid, BatchSize=5)
        await s.state(uuid, "Enabled")
        await s.put("d")
        await s.until(lambda: s.function.datas()[-1] == ["d"])
        listed = await s.h(
            "lambda", "ListEventSourceMappings", FunctionName="fn", EventSourceArn=STREAM
        )
        assert [m["BatchSize"] for m in listed["EventSourceMappings"]] == [5]
        assert (await s.h("lambda", "DeleteEventSourceMapping", UUID=uuid))["State"] == "Deleting"
        await s.until(lambda: _gone(s, uuid))
        await s.put("e")
        await s.quiet()
        queued = await s.map(QUEUE)
        await s.h("lambda", "UpdateEventSourceMapping", UUID=queued, Enabled=False)
        await s.state(queued, "Disabled")
        await s.send("x")
        await s.quiet()
        await s.h("lambda", "UpdateEventSourceMapping", UUID=queued, Enabled=True)
        await s.until(lambda: s.function.events[-1]["Records"][0].get("body") == "x")

    async def _gone(s, uuid):
        try:
            await s.mapped(uuid)
        except Fault as fault:
            assert fault.message == "The resource you requested does not exist."
            return True
        return False

    play(body)


def test_what_a_mapping_may_not_say(play):
    """Messages as LocalStack's snapshots recorded them from AWS."""

    async def body(s):
        async def refused(**ask):
            with pytest.raises(Fault) as caught:
                await s.h("lambda", "CreateEventSourceMapping", **{"FunctionName": "fn"} | ask)
            return caught.value.code, caught.value.message

        bad = "InvalidParameterValueException"
        assert await refused() == (bad, "Unrecognized event source.")
        for service, name in (
            ("kafka", "Amazon MSK"),
            ("mq", "Amazon MQ"),
            ("rds", "Amazon DocumentDB"),
        ):
            arn = f"arn:aws:{service}:us-east-1:000000000000:cluster/c/1"
            _, said = await refused(EventSourceArn=arn)
            assert said.startswith(f"An event source of {name} is not offered")
        servers = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:9092"]}}
        _, said = await refused(SelfManagedEventSource=servers, Topics=["t"])
        assert said.startswith("SelfManagedEventSource is not offered")
        pollers = {"MinimumPollers": 2}
        assert await refused(EventSourceArn=STREAM, StartingPosition="LATEST", ProvisionedPollerConfig=pollers) == (
            bad, "Unsupported ProvisionedPollerConfig parameter for given event source mapping type.",
        )  # fmt: skip
        assert await refused(EventSourceArn=QUEUE, FunctionName="nope") == (
            bad,
            "Function does not exist",
        )
        assert await refused(EventSourceArn=QUEUE, BatchSize=11) == (
            bad, "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
        )  # fmt: skip
        assert await refused(EventSourceArn=STREAM) == (
            bad, "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
        )  # fmt: skip
        assert await refused(EventSourceArn=STREAM, StartingPosition="invalid") == (
            "ValidationException", "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
        )  # fmt: skip
        for pattern in ("simple string", '{"a": 1}', '{"a": [{"nope": 1}]}', ""):
            filters = {"Filters": [{"Pattern": pattern}]}
            assert await refused(EventSourceArn=QUEUE, FilterCriteria=filters) == (
                bad,
                "Invalid filter pattern definition.",
            )
        consumer = f"{STREAM}/consumer/nobody:1700000000"
        assert await refused(EventSourceArn=consumer, StartingPosition="LATEST") == (
            bad,
            f"Stream consumer not found: {consumer}",
        )
        later = {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": 4e9}
        assert (await refused(EventSourceArn=STREAM, **later))[0] == bad
        fifo = {"OnFailure": {"Destination": f"{QUEUE}.fifo"}}
        _, said = await refused(
            EventSourceArn=STREAM, StartingPosition="LATEST", DestinationConfig=fifo
        )
        assert said.startswith("The provided destination config DestinationConfig is invalid")
        destination = {"OnFailure": {"Destination": QUEUE}}
        assert await refused(EventSourceArn=QUEUE, DestinationConfig=destination) == (
            bad, "Unsupported DestinationConfig parameter for given event source mapping type.",
        )  # fmt: skip
        assert (await refused(EventSourceArn=QUEUE + "x"))[1] == (
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error"
            " Message: The specified queue does not exist."
        )
        uuid = await s.map(QUEUE)
        assert await refused(EventSourceArn=QUEUE) == (
            "ResourceConflictException",
            f'An event source mapping with SQS arn (" {QUEUE} ") and function (" fn ") already exists. Please update or delete the existing mapping with UUID {uuid}',
        )  # fmt: skip
        await s.h("lambda", "UpdateFunctionConfiguration", FunctionName="fn", Timeout=60)
        await s.h("sqs", "CreateQueue", QueueName="other")
        assert (await refused(EventSourceArn=QUEUE[:-1] + "other"))[1] == (
            "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"
        )
        await s.h(
            "iam",
            "PutRolePolicy",
            RoleName="r",
            PolicyName="p",
            PolicyDocument=EVERYTHING.replace('"*"', '"s3:*"', 1),
        )
        assert (await refused(EventSourceArn=QUEUE[:-1] + "other"))[1] == (
            "The provided execution role does not have permissions to call ReceiveMessage on SQS"
        )
        _, said = await refused(EventSourceArn=STREAM, StartingPosition="LATEST")
        assert said.startswith(
            f"Cannot access stream {STREAM}. Please ensure the role can perform the GetRecords,"
        )

    play(body)


def test_a_role_that_may_no_longer_read_holds_the_mapping_up(play):
    """Reads happen as the function's role, each one checked."""

    async def body(s):
        uuid = await s.map(STREAM, StartingPosition="TRIM_HORIZON")
        await s.h("iam", "DeleteRolePolicy", RoleName="r", PolicyName="p")
        await s.put("a")
        await s.until(lambda: _denied(s, uuid))
        assert s.function.events == []
        await s.h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=EVERYTHING)
        await s.until(lambda: s.function.datas() == [["a"]], step_s=1)

    async def _denied(s, uuid):
        return (await s.mapped(uuid))["LastProcessingResult"] == "PROBLEM: AccessDeniedException"

    play(body)


def test_a_template_maps_a_queue(client):
    """AWS::Lambda::EventSourceMapping is there when the stack is, changes with it and goes with it."""
    import lambdas

    client("sqs").create_queue(QueueName="q")
    role = lambdas.role(client)
    client("iam").put_role_policy(
        RoleName="function-role", PolicyName="p", PolicyDocument=EVERYTHING
    )
    lambdas.create(client, "fn", Role=role)
    cloudformation, function = client("cloudformation"), client("lambda")

    def template(size):
        mapping = {"EventSourceArn": QUEUE, "FunctionName": "fn", "BatchSize": size}
        return json.dumps(
            {"Resources": {"M": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": mapping}}}
        )

    cloudformation.create_stack(StackName="st", TemplateBody=template(3))
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    (found,) = function.list_event_source_mappings(EventSourceArn=QUEUE)["EventSourceMappings"]
    assert (found["State"], found["BatchSize"]) == ("Enabled", 3)
    cloudformation.update_stack(StackName="st", TemplateBody=template(4))
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    assert function.get_event_source_mapping(UUID=found["UUID"])["BatchSize"] == 4
    cloudformation.delete_stack(StackName="st")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    assert function.list_event_source_mappings()["EventSourceMappings"] == []
