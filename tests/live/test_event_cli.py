"""The unmodified ``aws`` command line with the services of events, over a real socket: a session each, as a user types it.

Its commands run in this process (``awscli.clidriver``): starting ``aws`` anew for each of them costs more than all they do.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from awscli.clidriver import create_clidriver
from live.server_process import ServerProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]
ACCOUNT = "000000000000"
LINES_MAX = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(str(tmp_path_factory.mktemp("cli") / "data"))
    yield made
    made.stop()


class Aws:
    """``aws(line)``: what ``aws`` prints for these words, as JSON where it is; ``{name}`` stands for a value."""

    def __init__(self, capsys: Any, endpoint: str) -> None:
        self._capsys, self._driver = capsys, create_clidriver()
        self._where = ["--endpoint-url", endpoint]

    def __call__(self, line: str, *more: str, fails: bool = False) -> Any:
        status = self._driver.main([*self._where, *line.split(), *more])
        out, err = self._capsys.readouterr()
        assert (status != 0) == fails, (line, out, err)
        if fails:
            return err
        return json.loads(out) if out[:1] in "{[" and out else out

    def until(self, line: str, holds: Any, *more: str) -> Any:
        """The first answer for which ``holds``; each asks the cloud itself to wait or to have gone on."""
        for _ in range(LINES_MAX):
            if holds(found := self(line, *more)):
                return found
            self("sqs receive-message --wait-time-seconds 1 --queue-url", self.empty)
        raise AssertionError(found)

    empty: str


@pytest.fixture
def aws(server: ServerProcess, tmp_path: Path, monkeypatch: Any, capsys: Any) -> Aws:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_DEFAULT_OUTPUT": "json",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made = Aws(capsys, server.endpoint)
    made.empty = made("sqs create-queue --queue-name empty")["QueueUrl"]
    return made


def queue(aws: Aws, name: str, service: str = "") -> tuple[str, str]:
    """(URL, ARN) of a new queue that ``service`` may send to."""
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    attributes = {"ReceiveMessageWaitTimeSeconds": "20"}
    if service:
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": arn}  # fmt: skip
        attributes["Policy"] = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = aws(f"sqs create-queue --queue-name {name} --attributes", json.dumps(attributes))
    return url["QueueUrl"], arn


def role(aws: Aws, name: str, service: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    made = aws(f"iam create-role --role-name {name} --assume-role-policy-document", json.dumps({"Version": "2012-10-17", "Statement": [trust]}))  # fmt: skip
    aws(f"iam put-role-policy --role-name {name} --policy-name p --policy-document", json.dumps({"Version": "2012-10-17", "Statement": [allow]}))  # fmt: skip
    return str(made["Role"]["Arn"])


def received(aws: Aws, url: str) -> list[str]:
    """The bodies of what is there, once there is something."""
    for _ in range(3):
        if got := aws("sqs receive-message --max-number-of-messages 10 --queue-url", url):
            return [m["Body"] for m in got["Messages"]]
    raise AssertionError(f"nothing came to {url}")


def test_sqs(aws: Aws) -> None:
    url, arn = queue(aws, "jobs")
    attribute = json.dumps({"kind": {"DataType": "String", "StringValue": "x"}})
    sent = aws(f"sqs send-message --queue-url {url} --message-body hello --message-attributes", attribute)  # fmt: skip
    batch = aws(f"sqs send-message-batch --queue-url {url} --entries Id=1,MessageBody=a Id=2,MessageBody=b")  # fmt: skip
    assert [one["Id"] for one in batch["Successful"]] == ["1", "2"]
    got = aws(f"sqs receive-message --queue-url {url} --max-number-of-messages 10 --attribute-names All --message-attribute-names All")["Messages"]  # fmt: skip
    assert [m["Body"] for m in got] == ["hello", "a", "b"]
    assert got[0]["MessageId"] == sent["MessageId"]
    assert got[0]["MessageAttributes"]["kind"]["StringValue"] == "x"
    for message in got:
        aws(f"sqs delete-message --queue-url {url} --receipt-handle", message["ReceiptHandle"])
    shown = aws(f"sqs get-queue-attributes --queue-url {url} --attribute-names All")["Attributes"]
    assert (shown["QueueArn"], shown["ApproximateNumberOfMessages"]) == (arn, "0")
    assert url in aws("sqs list-queues --queue-name-prefix jo")["QueueUrls"]
    assert aws("sqs get-queue-url --queue-name jobs")["QueueUrl"] == url
    aws(f"sqs purge-queue --queue-url {url}")
    aws(f"sqs delete-queue --queue-url {url}")
    told = aws("sqs get-queue-url --queue-name jobs", fails=True)
    assert "AWS.SimpleQueueService.NonExistentQueue" in told


def test_sns(aws: Aws) -> None:
    url, arn = queue(aws, "news", "sns.amazonaws.com")
    topic = aws("sns create-topic --name news --tags Key=team,Value=a")["TopicArn"]
    subscribed = aws(f"sns subscribe --topic-arn {topic} --protocol sqs --notification-endpoint {arn}")["SubscriptionArn"]  # fmt: skip
    aws(f"sns set-subscription-attributes --subscription-arn {subscribed} --attribute-name RawMessageDelivery --attribute-value true")  # fmt: skip
    aws(f"sns publish --topic-arn {topic} --subject s --message hello")
    assert received(aws, url) == ["hello"]
    aws(f"sns publish-batch --topic-arn {topic} --publish-batch-request-entries Id=1,Message=a")
    assert received(aws, url) == ["a"]
    (listed,) = aws(f"sns list-subscriptions-by-topic --topic-arn {topic}")["Subscriptions"]
    assert listed["Endpoint"] == arn
    assert aws(f"sns list-tags-for-resource --resource-arn {topic}")["Tags"] == [{"Key": "team", "Value": "a"}]  # fmt: skip
    aws(f"sns unsubscribe --subscription-arn {subscribed}")
    aws(f"sns delete-topic --topic-arn {topic}")
    assert "NotFound" in aws(f"sns get-topic-attributes --topic-arn {topic}", fails=True)


def test_events(aws: Aws) -> None:
    url, arn = queue(aws, "orders", "events.amazonaws.com")
    bus = aws("events create-event-bus --name shop")["EventBusArn"]
    pattern = json.dumps({"source": ["shop"], "detail": {"price": [{"numeric": [">", 10]}]}})
    aws("events put-rule --name dear --event-bus-name shop --event-pattern", pattern)
    aws(f"events put-targets --rule dear --event-bus-name shop --targets Id=1,Arn={arn}")
    aws(f"events create-archive --archive-name kept --event-source-arn {bus}")
    details = [{"Source": "shop", "DetailType": "order", "EventBusName": "shop", "Detail": json.dumps({"price": price})} for price in (5, 50)]  # fmt: skip
    Path("entries.json").write_text(json.dumps(details))
    put = aws("events put-events --entries file://entries.json")
    assert put["FailedEntryCount"] == 0
    (body,) = received(aws, url)
    assert json.loads(body)["detail"] == {"price": 50}
    event = json.loads(body)
    tested = aws("events test-event-pattern --event-pattern", pattern, "--event", json.dumps(event))
    assert tested == {"Result": True}
    assert aws("events list-rules --event-bus-name shop")["Rules"][0]["Name"] == "dear"
    aws.until("events describe-archive --archive-name kept", lambda a: a["EventCount"] == 2)
    destination = json.dumps({"Arn": bus})
    aws(f"events start-replay --replay-name again --event-source-arn arn:aws:events:us-east-1:{ACCOUNT}:archive/kept --event-start-time 2020-01-01T00:00:00Z --event-end-time 2099-01-01T00:00:00Z --destination", destination)  # fmt: skip
    (again,) = received(aws, url)
    assert json.loads(again)["replay-name"] == "again"
    aws("events remove-targets --rule dear --event-bus-name shop --ids 1")
    aws("events delete-rule --name dear --event-bus-name shop")
    assert "ResourceNotFoundException" in aws("events describe-rule --name dear --event-bus-name shop", fails=True)  # fmt: skip


def test_scheduler(aws: Aws) -> None:
    url, arn = queue(aws, "ticks")
    target = {"Arn": arn, "RoleArn": role(aws, "scheduler", "scheduler.amazonaws.com"), "Input": "tick"}  # fmt: skip
    made = aws("scheduler create-schedule --name often --flexible-time-window Mode=OFF --schedule-expression", "rate(1 minute)", "--target", json.dumps(target))  # fmt: skip
    assert made["ScheduleArn"].endswith(":schedule/default/often")
    assert received(aws, url) == ["tick"]
    shown = aws("scheduler get-schedule --name often")
    assert (shown["ScheduleExpression"], shown["State"]) == ("rate(1 minute)", "ENABLED")
    assert [s["Name"] for s in aws("scheduler list-schedules --name-prefix of")["Schedules"]] == ["often"]  # fmt: skip
    aws("scheduler delete-schedule --name often")
    assert "ResourceNotFoundException" in aws("scheduler get-schedule --name often", fails=True)
    wrong = aws("scheduler create-schedule --name odd --flexible-time-window Mode=OFF --schedule-expression", "cron(* * *)", "--target", json.dumps(target), fails=True)  # fmt: skip
    assert "ValidationException" in wrong
    assert "Invalid Schedule Expression cron(* * *)." in wrong


def test_pipes(aws: Aws) -> None:
    (source, source_arn), (url, arn) = queue(aws, "from"), queue(aws, "to")
    runs_as = role(aws, "pipe", "pipes.amazonaws.com")
    aws(f"pipes create-pipe --name p --source {source_arn} --target {arn} --role-arn {runs_as}")
    aws(f"sqs send-message --queue-url {source} --message-body carried")
    assert json.loads(received(aws, url)[0])["body"] == "carried"
    assert aws("pipes describe-pipe --name p")["CurrentState"] == "RUNNING"
    assert [p["Name"] for p in aws("pipes list-pipes")["Pipes"]] == ["p"]
    aws("pipes stop-pipe --name p")
    aws.until("pipes describe-pipe --name p", lambda p: p["CurrentState"] == "STOPPED")
    aws("pipes delete-pipe --name p")
    aws.until("pipes list-pipes", lambda listed: listed["Pipes"] == [])


def test_kinesis_and_firehose(aws: Aws) -> None:
    aws("kinesis create-stream --stream-name s --shard-count 2")
    aws("kinesis wait stream-exists --stream-name s")
    put = aws("kinesis put-record --stream-name s --partition-key k --data hello")
    aws("kinesis put-records --stream-name s --records Data=again,PartitionKey=k")
    shards = aws("kinesis list-shards --stream-name s")["Shards"]
    assert put["ShardId"] in [shard["ShardId"] for shard in shards]
    at = aws(f"kinesis get-shard-iterator --stream-name s --shard-iterator-type TRIM_HORIZON --shard-id {put['ShardId']}")  # fmt: skip
    records = aws("kinesis get-records --shard-iterator", at["ShardIterator"])["Records"]
    assert [r["PartitionKey"] for r in records] == ["k", "k"]
    summary = aws("kinesis describe-stream-summary --stream-name s")["StreamDescriptionSummary"]
    assert (summary["OpenShardCount"], summary["StreamStatus"]) == (2, "ACTIVE")

    aws("s3 mb s3://kept")
    runs_as = role(aws, "firehose", "firehose.amazonaws.com")
    where = {"RoleARN": runs_as, "BucketARN": "arn:aws:s3:::kept", "BufferingHints": {"IntervalInSeconds": 0, "SizeInMBs": 1}}  # fmt: skip
    aws("firehose create-delivery-stream --delivery-stream-name d --extended-s3-destination-configuration", json.dumps(where))  # fmt: skip
    aws("firehose put-record --delivery-stream-name d --record Data=hello")
    found = aws.until("s3api list-objects-v2 --bucket kept", lambda listed: bool(listed and listed.get("Contents")))  # fmt: skip
    key = found["Contents"][0]["Key"]
    aws(f"s3 cp s3://kept/{key} got.txt")
    assert Path("got.txt").read_text() == "hello"
    assert aws("firehose list-delivery-streams")["DeliveryStreamNames"] == ["d"]
    aws("firehose delete-delivery-stream --delivery-stream-name d")
    aws("kinesis delete-stream --stream-name s")
    assert "ResourceNotFoundException" in aws("kinesis describe-stream-summary --stream-name s", fails=True)  # fmt: skip


def test_event_source_mappings(aws: Aws) -> None:
    url, arn = queue(aws, "work")
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("index.py", "def handler(event, context): print(event)\n")
    Path("code.zip").write_bytes(code.getvalue())
    runs_as = role(aws, "function", "lambda.amazonaws.com")
    aws(f"lambda create-function --function-name fn --runtime python3.12 --handler index.handler --role {runs_as} --zip-file fileb://code.zip")  # fmt: skip
    made = aws(f"lambda create-event-source-mapping --function-name fn --event-source-arn {arn} --batch-size 5")  # fmt: skip
    uuid = made["UUID"]
    aws(f"sqs send-message --queue-url {url} --message-body hello")
    count = "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessages"
    aws.until(
        f"sqs get-queue-attributes --queue-url {url} --attribute-names",
        lambda shown: set(shown["Attributes"].values()) == {"0"},
        *count,
    )
    (listed,) = aws("lambda list-event-source-mappings --function-name fn")["EventSourceMappings"]
    assert (listed["UUID"], listed["BatchSize"], listed["State"]) == (uuid, 5, "Enabled")
    aws(f"lambda update-event-source-mapping --uuid {uuid} --no-enabled --batch-size 7")
    off = aws.until(f"lambda get-event-source-mapping --uuid {uuid}", lambda m: m["State"] == "Disabled")  # fmt: skip
    assert off["BatchSize"] == 7
    aws(f"lambda delete-event-source-mapping --uuid {uuid}")
    aws.until(
        "lambda list-event-source-mappings --function-name fn",
        lambda listed: not listed["EventSourceMappings"],
    )
    assert "fn" in json.dumps(aws("logs describe-log-groups"))


def test_cloudwatch(aws: Aws) -> None:
    url, arn = queue(aws, "alarms", "sns.amazonaws.com")
    topic = aws("sns create-topic --name alarms")["TopicArn"]
    aws(f"sns subscribe --topic-arn {topic} --protocol sqs --notification-endpoint {arn} --attributes RawMessageDelivery=true")  # fmt: skip
    for value in ("1", "3"):
        aws(f"cloudwatch put-metric-data --namespace shop --metric-name orders --value {value} --dimensions kind=a")  # fmt: skip
    now = datetime.now(UTC)
    start, end = ((now + timedelta(minutes=m)).isoformat() for m in (-10, 10))
    got = aws(f"cloudwatch get-metric-statistics --namespace shop --metric-name orders --dimensions Name=kind,Value=a --start-time {start} --end-time {end} --period 60 --statistics Sum SampleCount")  # fmt: skip
    assert sum(d["Sum"] for d in got["Datapoints"]) == 4
    assert sum(d["SampleCount"] for d in got["Datapoints"]) == 2
    (listed,) = aws("cloudwatch list-metrics --namespace shop")["Metrics"]
    assert listed["MetricName"] == "orders"
    aws(f"cloudwatch put-metric-alarm --alarm-name many --namespace shop --metric-name orders --statistic Sum --period 60 --evaluation-periods 1 --threshold 2 --comparison-operator GreaterThanThreshold --dimensions Name=kind,Value=a --alarm-actions {topic}")  # fmt: skip
    aws("cloudwatch set-alarm-state --alarm-name many --state-value ALARM --state-reason tried")
    assert json.loads(received(aws, url)[0])["NewStateReason"] == "tried"
    (shown,) = aws("cloudwatch describe-alarms --alarm-names many")["MetricAlarms"]
    assert shown["AlarmActions"] == [topic]
    aws("cloudwatch delete-alarms --alarm-names many")
    assert aws("cloudwatch describe-alarms --alarm-names many")["MetricAlarms"] == []
