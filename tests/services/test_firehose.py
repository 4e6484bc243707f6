"""Firehose: what is put comes out in objects, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import io
import json
import zipfile
from functools import partial

import corpora
import pytest
from aws_kinesis_agg.aggregator import RecordAggregator
from botocore.exceptions import ClientError
from harness import run_in_cloud
from lambdas import zipped

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.services.firehose import prefixes, timestamps
from stratolite.services.firehose.source import _items
from stratolite.services.lambda_.invoking import Answer

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/r"
BUCKET = "arn:aws:s3:::out"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:fn"
TRUST = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
                   "Principal": {"Service": ["firehose.amazonaws.com", "lambda.amazonaws.com"]}}],
})  # fmt: skip
EVERYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


class StillWorld(World):
    """Its cloud clock moves only when a test says so."""

    def __init__(self):
        super().__init__()
        self.cloud_s = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC

    def cloud(self):
        return self.cloud_s

    def advance(self, seconds):
        self.cloud_s += seconds
        self._moved()


class Scene:
    def __init__(self, h, world):
        self.h, self.world, self.invoked = h, world, []
        self.transform = lambda event: {}
        h.cloud.service("lambda").run = self._run

    async def _run(self, call, target, event, **_):
        said = json.loads(event)
        self.invoked.append(said)
        answer = self.transform(said)
        if isinstance(answer, Exception):
            return Answer(json.dumps({"errorMessage": str(answer)}).encode(), "Unhandled", "")
        return Answer(json.dumps(answer).encode(), None, "")

    async def set(self):
        h = self.h
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        await h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=EVERYTHING)
        await h("s3", "CreateBucket", Bucket="out")
        await h("lambda", "CreateFunction", FunctionName="fn", Runtime="python3.12", Role=ROLE,
                Handler="index.handler", Code={"ZipFile": zipped()})  # fmt: skip

    async def stream(self, name="d", **more):
        config = {
            "RoleARN": ROLE,
            "BucketARN": BUCKET,
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
        }
        return await self.h("firehose", "CreateDeliveryStream", DeliveryStreamName=name,
                            ExtendedS3DestinationConfiguration=config | more)  # fmt: skip

    async def put(self, *datas, name="d"):
        records = [{"Data": d if isinstance(d, bytes) else d.encode()} for d in datas]
        return await self.h("firehose", "PutRecordBatch", DeliveryStreamName=name, Records=records)

    async def objects(self):
        found = await self.h("s3", "ListObjectsV2", Bucket="out")
        out = {}
        for one in found.get("Contents", []):
            got = await self.h("s3", "GetObject", Bucket="out", Key=one["Key"])
            out[one["Key"]] = await _bytes(self.h, got["Body"])
        return out

    async def told(self):
        """Sums of the stream's metrics."""
        await self.h.cloud.metrics.flush()
        listed, now_s = await self.h("cloudwatch", "ListMetrics", Namespace="AWS/Firehose"), self.world.cloud()  # fmt: skip
        found = {}
        for metric in listed["Metrics"]:
            assert metric["Dimensions"] == [{"Name": "DeliveryStreamName", "Value": "d"}]
            answer = await self.h(
                "cloudwatch", "GetMetricStatistics", **metric, StartTime=now_s - 86_400, EndTime=now_s + 60, Period=86_400,
                Statistics=["Sum"],
            )  # fmt: skip
            found[metric["MetricName"]] = sum(point["Sum"] for point in answer["Datapoints"])
        return found

    async def until(self, count, step_s=0.0):
        for _ in range(12_000):
            found = await self.h("s3", "ListObjectsV2", Bucket="out")
            if found.get("KeyCount", 0) >= count:
                assert found["KeyCount"] == count
                return await self.objects()
            await asyncio.sleep(0.005)
            if step_s:
                self.world.advance(step_s)
        raise AssertionError(f"never {count} objects: {await self.objects()}")


async def _bytes(h, body):
    if isinstance(body, bytes):
        return body
    if hasattr(body, "path"):
        with open(body.path, "rb") as file:  # noqa: ASYNC230
            file.seek(body.offset)
            return file.read(body.size_bytes)
    return b"".join([piece async for piece in body])


@pytest.fixture
def play(tmp_path):
    world = StillWorld()

    def run(body, fresh=True):
        async def main(h):
            scene = Scene(h, world)
            if fresh:
                await scene.set()
            return await body(scene)

        return run_in_cloud(str(tmp_path / "c"), main, world)

    return run


def test_a_buffer_is_delivered_when_it_is_old_or_full(play):
    """By the cloud clock, or at its size; the key is AWS's."""

    async def body(s):
        await s.stream()
        await s.put("one\n", "two\n")
        await s.h("firehose", "PutRecord", DeliveryStreamName="d", Record={"Data": b"three\n"})
        await asyncio.sleep(0.05)
        assert await s.objects() == {}
        s.world.advance(61)
        ((key, data),) = (await s.until(1)).items()
        assert data == b"one\ntwo\nthree\n"
        assert key.startswith("2023/11/14/22/d-1-2023-11-14-22-14-21-")
        await s.put(b"x" * 600_000)
        await s.put(b"y" * 600_000)
        objects = await s.until(2)
        assert sorted(map(len, objects.values())) == [14, 1_200_000]

    play(body)


def test_what_was_accepted_survives_a_restart_and_a_missing_bucket(play):
    """It stays in the log until the object is there; each record is delivered once."""

    async def first(s):
        await s.stream()
        await s.h("s3", "DeleteBucket", Bucket="out")
        await s.put("kept\n")
        s.world.advance(61)
        await asyncio.sleep(0.1)
        await s.put("also\n")

    async def second(s):
        await s.h("s3", "CreateBucket", Bucket="out")
        s.world.advance(400)
        objects = await s.until(2, step_s=1)
        assert sorted(objects.values()) == [b"also\n", b"kept\n"]
        s.world.advance(4000)
        await asyncio.sleep(0.1)
        assert len(await s.objects()) == 2
        rows = await s.h.call().transact(_buffered)
        assert rows == 0

    play(first)
    play(second, fresh=False)


def _buffered(call):
    keys = call.keys("firehose")
    return sum(1 for kind in ("buffer", "cut") for _ in call.tx.scan(keys.span(kind)))


def test_delivering_a_cut_again_writes_the_same_objects(play):
    """A crash between the object and the end of its job: the key follows from the cut."""

    async def body(s):
        from stratolite.services.firehose import delivery, jobs

        await s.stream()
        await s.put("a", "b")
        s.world.advance(61)
        done = delivery._Delivery.run

        async def twice(self):
            await done(self)
            await done(self)

        delivery._Delivery.run = twice
        try:
            objects = await s.until(1)
            await asyncio.sleep(0.05)
        finally:
            delivery._Delivery.run = done
        assert list(objects.values()) == [b"ab"]
        assert len(await s.objects()) == 1
        assert jobs.DELIVER == "firehose.deliver"

    play(body)


@pytest.mark.parametrize("form", ["GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"])
def test_objects_are_compressed(play, form):
    async def body(s):
        await s.stream(CompressionFormat=form, Prefix="p/")
        text = b"0123456789" * 20_000
        await s.put(text)
        s.world.advance(61)
        ((key, data),) = (await s.until(1)).items()
        assert key.startswith("p/2023/11/14/22/")
        assert key.endswith(
            {"GZIP": ".gz", "ZIP": ".zip", "Snappy": ".snappy", "HADOOP_SNAPPY": ".hsnappy"}[form]
        )
        assert len(data) < len(text) / 5
        assert _plain(form, data, len(text)) == text

    play(body)


def _plain(form, data, size):
    if form == "GZIP":
        return gzip.decompress(data)
    if form == "ZIP":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.read(archive.namelist()[0])
    import pyarrow as pa

    codec, out, at = pa.Codec("snappy"), [], 10 if form == "Snappy" else 0
    while at < len(data):
        if form == "Snappy":
            length = int.from_bytes(data[at + 1 : at + 4], "little")
            piece, at = data[at + 8 : at + 4 + length], at + 4 + length
            plain = min(65_536, size - sum(map(len, out)))
        else:
            plain, length = (
                int.from_bytes(data[at : at + 4], "big"),
                int.from_bytes(data[at + 4 : at + 8], "big"),
            )
            piece, at = data[at + 8 : at + 8 + length], at + 8 + length
        out.append(codec.decompress(piece, plain, asbytes=True))
    return b"".join(out)


def processors(*given):
    return {"Enabled": True, "Processors": [
        {"Type": kind, "Parameters": [{"ParameterName": k, "ParameterValue": v} for k, v in parameters.items()]}
        for kind, parameters in given
    ]}  # fmt: skip


def test_a_function_changes_drops_and_fails_records(play):
    """The event has the keys of the published one; what fails lies under the error prefix as AWS writes it."""

    async def body(s):
        def transform(event):
            out = []
            for record in event["records"]:
                text = base64.b64decode(record["data"]).decode()
                result = {"drop": "Dropped", "bad": "ProcessingFailed"}.get(text, "Ok")
                data = base64.b64encode(text.upper().encode() + b"\n").decode()
                out.append({"recordId": record["recordId"], "result": result, "data": data})
            return {"records": out}

        s.transform = transform
        await s.stream(
            ProcessingConfiguration=processors(("Lambda", {"LambdaArn": FUNCTION})),
            ErrorOutputPrefix="err/!{firehose:error-output-type}/!{timestamp:yyyy}/",
            S3BackupMode="Enabled",
            S3BackupConfiguration={"RoleARN": ROLE, "BucketARN": BUCKET, "Prefix": "raw/"},
        )
        await s.put("a", "drop", "bad", "b")
        s.world.advance(61)
        objects = await s.until(3)
        by_place = {key.split("/")[0]: data for key, data in objects.items()}
        assert by_place["2023"] == b"A\nB\n"
        assert by_place["raw"] == b"adropbadb"
        (failed_key,) = [key for key in objects if key.startswith("err/processing-failed/2023/d-1-")]  # fmt: skip
        said = json.loads(objects[failed_key])
        assert base64.b64decode(said["rawData"]) == b"bad"
        assert (said["errorCode"], said["attemptsMade"], said["lambdaArn"]) == (
            "Lambda.ProcessingFailedStatus", 1, FUNCTION,
        )  # fmt: skip
        example = json.loads(
            corpora.one("lambda-events", "kinesis-firehose-event.json").read_text()
        )
        assert s.invoked[0].keys() <= example.keys()
        assert s.invoked[0]["records"][0].keys() <= example["records"][0].keys()
        found = await s.told()
        assert found.pop("ExecuteProcessing.Duration") >= 0
        assert found.pop("DeliveryToS3.Bytes") == 4 + len(objects[failed_key])
        assert {name: found.pop(name) for name in list(found) if not name.endswith("DataFreshness")} == {
            "IncomingPutRequests": 1, "IncomingRecords": 4, "IncomingBytes": 9,
            "PutRecordBatch.Requests": 1, "PutRecordBatch.Records": 4, "PutRecordBatch.Bytes": 9,
            "ExecuteProcessing.Success": 1, "SucceedProcessing.Records": 2, "SucceedProcessing.Bytes": 4,
            "DeliveryToS3.Success": 2, "DeliveryToS3.Records": 2,
            "BackupToS3.Success": 1, "BackupToS3.Records": 4, "BackupToS3.Bytes": 9,
        }  # fmt: skip
        assert found.keys() == {"DeliveryToS3.DataFreshness", "BackupToS3.DataFreshness"}

    play(body)


def test_records_of_cloudwatch_logs_are_decompressed_and_only_their_messages_kept(play):
    """https://docs.aws.amazon.com/firehose/latest/dev/writing-with-cloudwatch-logs-decompression.html"""

    async def body(s):
        def record(kind, *texts):
            events = [{"id": "1", "timestamp": 1, "message": text} for text in texts]
            said = {"messageType": kind, "logGroup": "g", "logStream": "s", "logEvents": events}
            return gzip.compress(json.dumps(said).encode())

        steps = [("Decompression", {"CompressionFormat": "GZIP"}), ("CloudWatchLogProcessing", {"DataMessageExtraction": "true"})]  # fmt: skip
        await s.stream(ProcessingConfiguration=processors(*steps), Prefix="out/", ErrorOutputPrefix="err/!{firehose:error-output-type}/")  # fmt: skip
        cut = record("DATA_MESSAGE", "lost")[:-3]
        await s.put(record("CONTROL_MESSAGE", "checking"), record("DATA_MESSAGE", "one", "two"), b"no gzip", cut, gzip.compress(b"[]"), record("DATA_MESSAGE", "three"))  # fmt: skip
        s.world.advance(61)
        found = {key.split("/")[1] if key.startswith("err") else "out": data for key, data in (await s.until(3)).items()}  # fmt: skip
        assert found["out"] == b"one\ntwo\nthree\n"
        broken = [json.loads(line) for line in found["decompression-failed"].splitlines()]
        assert [base64.b64decode(one["rawData"]) for one in broken] == [b"no gzip", cut]
        [other] = [json.loads(line) for line in found["processing-failed"].splitlines()]
        assert other["errorCode"] == "CloudWatchLogProcessing.Failed"
        for bad, why in (
            ([steps[1]], "needs a Decompression processor"),
            ([("Decompression", {"CompressionFormat": "ZIP"})], "must be GZIP"),
            ([steps[0], ("CloudWatchLogProcessing", {})], "must be true"),
        ):
            with pytest.raises(Fault, match=why):
                await s.stream("e", ProcessingConfiguration=processors(*bad))

    play(body)


def test_what_goes_wrong_is_in_the_log_stream_it_names(play):
    """https://docs.aws.amazon.com/firehose/latest/dev/monitoring-with-cloudwatch-logs.html"""

    async def body(s):
        await s.h("logs", "CreateLogGroup", logGroupName="g")
        await s.h("logs", "CreateLogStream", logGroupName="g", logStreamName="errors")
        options = {"Enabled": True, "LogGroupName": "g", "LogStreamName": "errors"}
        s.transform = lambda _: ValueError("no")
        lambda_ = processors(("Lambda", {"LambdaArn": FUNCTION, "NumberOfRetries": "0"}))
        await s.stream(ProcessingConfiguration=lambda_, CloudWatchLoggingOptions=options)
        await s.stream("other", BucketARN="arn:aws:s3:::gone", CloudWatchLoggingOptions=options)
        await s.put("a", "b")
        s.world.advance(61)
        await s.until(1)
        await s.put("c", name="other")
        s.world.advance(61)
        for _ in range(6_000):
            events = (await s.h("logs", "GetLogEvents", logGroupName="g", logStreamName="errors"))["events"]  # fmt: skip
            if len(events) >= 2:
                break
            await asyncio.sleep(0.005)
        said = [json.loads(event["message"]) for event in events[:2]]
        arn = "arn:aws:firehose:us-east-1:000000000000:deliverystream/"
        assert said == [
            {"deliveryStreamARN": arn + "d", "destination": BUCKET, "deliveryStreamVersionId": 1, "message": "no", "errorCode": "Lambda.FunctionError", "processor": FUNCTION},
            {"deliveryStreamARN": arn + "other", "destination": "arn:aws:s3:::gone", "deliveryStreamVersionId": 1, "message": said[1]["message"], "errorCode": "S3.NoSuchBucket"},
        ]  # fmt: skip
        with pytest.raises(Fault, match="LogGroupName and LogStreamName are required"):
            await s.stream("e", CloudWatchLoggingOptions={"Enabled": True})

    play(body)


def test_a_function_that_keeps_failing_is_tried_four_times(play):
    async def body(s):
        s.transform = lambda _: ValueError("no")
        await s.stream(ProcessingConfiguration=processors(("Lambda", {"LambdaArn": FUNCTION})))
        await s.put("a")
        s.world.advance(61)
        ((key, data),) = (await s.until(1)).items()
        assert len(s.invoked) == 4
        assert key.startswith("processing-failed/2023/11/14/22/d-1-")
        said = json.loads(data)
        assert (said["errorCode"], said["attemptsMade"], said["errorMessage"]) == (
            "Lambda.FunctionError",
            4,
            "no",
        )

    play(body)


def test_records_are_partitioned_by_a_jq_query(play):
    """Keys of a query and of time in the prefix; a record without its key lies under the error prefix."""

    async def body(s):
        query = "{customer: .customer.id, day: (.at | .[0:10])}"
        await s.stream(
            Prefix="c=!{partitionKeyFromQuery:customer}/d=!{partitionKeyFromQuery:day}/!{timestamp:HH}/",
            ErrorOutputPrefix="bad/!{firehose:error-output-type}/",
            DynamicPartitioningConfiguration={"Enabled": True},
            BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
            ProcessingConfiguration=processors(
                ("RecordDeAggregation", {"SubRecordType": "JSON"}),
                (
                    "MetadataExtraction",
                    {"MetadataExtractionQuery": query, "JsonParsingEngine": "JQ-1.6"},
                ),
                ("AppendDelimiterToRecord", {"Delimiter": "\\n"}),
            ),
        )
        one = '{"customer": {"id": 1}, "at": "2024-05-06T1"}'
        two = '{"customer": {"id": "x"}, "at": "2024-05-07T1"}'
        await s.put(one + one, two, '{"at": "2024-05-06"}', "no json")
        s.world.advance(61)
        objects = await s.until(3)
        places = {key.rpartition("/")[0]: data for key, data in objects.items()}
        assert places["c=1/d=2024-05-06/22"] == f"{one}\n{one}\n".encode()
        assert places["c=x/d=2024-05-07/22"] == f"{two}\n".encode()
        failed = [json.loads(line) for line in places["bad/processing-failed"].splitlines()]
        assert sorted(base64.b64decode(f["rawData"]) for f in failed) == [
            b"no json",
            b'{"at": "2024-05-06"}',
        ]

    play(body)


def test_a_query_that_never_ends_holds_nobody_up(play, monkeypatch):
    from stratolite.services.firehose import children

    monkeypatch.setattr(children, "CHILD_TIME_S_MAX", 0.5)

    async def body(s):
        await s.stream(
            Prefix="!{partitionKeyFromQuery:a}/", ErrorOutputPrefix="bad/",
            DynamicPartitioningConfiguration={"Enabled": True},
            BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
            ProcessingConfiguration=processors(
                ("MetadataExtraction", {"MetadataExtractionQuery": "def f: f; f", "JsonParsingEngine": "JQ-1.6"})
            ),
        )  # fmt: skip
        await s.put("{}")
        s.world.advance(61)
        ((key, data),) = (await s.until(1)).items()
        assert key.startswith("bad/")
        assert "longer than" in json.loads(data)["errorMessage"]

    play(body)


COLUMNS = [
    ("id", "bigint"), ("name", "string"), ("price", "decimal(10,2)"), ("tags", "array<string>"), ("at", "timestamp"),
    ("where", "struct<lat:double,lon:double>"), ("ok", "boolean"), ("attrs", "map<string,int>"), ("day", "date"),
]  # fmt: skip
LINE = {
    "ID": 7, "name": "n", "price": 1.5, "tags": ["a", "b"], "at": "2024-01-02T03:04:05Z", "where": {"lat": 1, "lon": 2.5},
    "ok": True, "attrs": {"k": 1}, "day": "2024-01-02", "more": "left out",
}  # fmt: skip


@pytest.mark.parametrize("form", ["Parquet", "Orc"])
def test_json_becomes_columns_of_a_glue_table(play, form):
    async def body(s):
        await s.h("glue", "CreateDatabase", DatabaseInput={"Name": "lake"})
        columns = [{"Name": n, "Type": t} for n, t in COLUMNS]
        await s.h("glue", "CreateTable", DatabaseName="lake",
                  TableInput={"Name": "t", "StorageDescriptor": {"Columns": columns}})  # fmt: skip
        await s.stream(
            Prefix="data/", BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
            DataFormatConversionConfiguration={
                "SchemaConfiguration": {"DatabaseName": "lake", "TableName": "t", "RoleARN": ROLE, "Region": "us-east-1"},
                "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
                "OutputFormatConfiguration": {"Serializer": {f"{form}SerDe": {}}},
            },
        )  # fmt: skip
        await s.put(json.dumps(LINE), json.dumps({"id": 8}), json.dumps({"id": "no number"}))
        s.world.advance(61)
        objects = await s.until(2)
        key = next(k for k in objects if k.endswith(f".{form.lower()}"))
        row, empty = _read(form, objects[key])
        assert (row["id"], row["name"], str(row["price"]), row["tags"]) == (
            7,
            "n",
            "1.50",
            ["a", "b"],
        )
        assert row["at"].isoformat() == "2024-01-02T03:04:05"
        assert row["where"] == {"lat": 1.0, "lon": 2.5}
        assert (row["ok"], dict(row["attrs"]), str(row["day"])) == (True, {"k": 1}, "2024-01-02")
        assert empty["id"] == 8
        assert empty["name"] is None
        (failed,) = [d for k, d in objects.items() if "format-conversion-failed" in k]
        assert json.loads(failed)["errorCode"] == "DataFormatConversion.ParseError"

    play(body)


TIMES = {
    "yyyy-MM-dd'T'HH:mm:ss.SSSZ": ("2024-01-02T03:04:05.600+02:00", "2024-01-02T01:04:05.600000"),
    "d MMM yyyy, h:mm a": ("2 Jan 2024, 3:04 PM", "2024-01-02T15:04:00"),
    "EEE MMM dd HH:mm:ss z yyyy": ("Tue Jan 02 03:04:05 UTC 2024", "2024-01-02T03:04:05"),
    "yyyyMMddHHmmss": (20240102030405, "2024-01-02T03:04:05"),
    "yyyyDDD": ("2024033", "2024-02-02T00:00:00"),
    "yy/M/d": ("24/1/2", "2024-01-02T00:00:00"),
    "millis": (1704164645600, "2024-01-02T03:04:05.600000"),
}


def test_times_are_read_as_the_patterns_say(play):
    """Joda-Time's: https://docs.aws.amazon.com/firehose/latest/APIReference/API_HiveJsonSerDe.html"""

    async def body(s):
        await s.h("glue", "CreateDatabase", DatabaseInput={"Name": "lake"})
        columns = [{"Name": "at", "Type": "timestamp"}, {"Name": "day", "Type": "date"}]
        await s.h("glue", "CreateTable", DatabaseName="lake",
                  TableInput={"Name": "t", "StorageDescriptor": {"Columns": columns}})  # fmt: skip

        def conversion(formats, serializer):
            return {
                "SchemaConfiguration": {"DatabaseName": "lake", "TableName": "t", "RoleARN": ROLE},
                "InputFormatConfiguration": {"Deserializer": {"HiveJsonSerDe": {"TimestampFormats": formats}}},
                "OutputFormatConfiguration": {"Serializer": serializer},
            }  # fmt: skip

        hints = {"SizeInMBs": 64, "IntervalInSeconds": 60}
        await s.stream(
            Prefix="data/", BufferingHints=hints,
            DataFormatConversionConfiguration=conversion(list(TIMES), {"ParquetSerDe": {}}),
        )  # fmt: skip
        await s.put(*(json.dumps({"at": given, "day": given}) for given, _ in TIMES.values()))
        await s.put(json.dumps({"at": "2024-01-02 03:04:05"}))  # of none of the formats
        s.world.advance(61)
        objects = await s.until(2)
        (data,) = [d for k, d in objects.items() if k.endswith(".parquet")]
        rows = _read("Parquet", data)
        assert [row["at"].isoformat() for row in rows] == [wanted for _, wanted in TIMES.values()]
        assert [row["day"].isoformat() for row in rows] == [w[:10] for _, w in TIMES.values()]
        for formats, serializer in (
            (["qq"], {"ParquetSerDe": {}}), (["HH:mm"], {"ParquetSerDe": {}}), (["yyyy'"], {"ParquetSerDe": {}}), (["yyyy yyyy"], {"ParquetSerDe": {}}),
            (["millis"], {"ParquetSerDe": {"PageSizeBytes": 1}}), (["millis"], {"ParquetSerDe": {"WriterVersion": "V3"}}),
            (["millis"], {"OrcSerDe": {"StripeSizeBytes": 1}}), (["millis"], {"OrcSerDe": {"BloomFilterFalsePositiveProbability": 2}}),
        ):  # fmt: skip
            with pytest.raises(Fault) as caught:
                await s.stream("bad", BufferingHints=hints, DataFormatConversionConfiguration=conversion(formats, serializer))  # fmt: skip
            assert caught.value.code == "InvalidArgumentException"

    play(body)


def test_files_are_written_as_the_serializer_says(play):
    """https://docs.aws.amazon.com/firehose/latest/APIReference/API_ParquetSerDe.html and API_OrcSerDe.html"""

    async def body(s):
        from pyarrow import orc, parquet

        await s.h("glue", "CreateDatabase", DatabaseInput={"Name": "lake"})
        columns = [{"Name": "a", "Type": "string"}]
        await s.h("glue", "CreateTable", DatabaseName="lake",
                  TableInput={"Name": "t", "StorageDescriptor": {"Columns": columns}})  # fmt: skip
        serializers = {
            "plain": {"ParquetSerDe": {}},
            "worded": {"ParquetSerDe": {"EnableDictionaryCompression": True, "Compression": "GZIP", "WriterVersion": "V2"}},
            "orc": {"OrcSerDe": {"Compression": "ZLIB", "FormatVersion": "V0_11", "RowIndexStride": 2000, "BloomFilterColumns": ["A"]}},
        }  # fmt: skip
        for name, serializer in serializers.items():
            await s.stream(
                name, Prefix=f"{name}/", BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
                DataFormatConversionConfiguration={
                    "SchemaConfiguration": {"DatabaseName": "lake", "TableName": "t", "RoleARN": ROLE},
                    "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
                    "OutputFormatConfiguration": {"Serializer": serializer},
                },
            )  # fmt: skip
            await s.put(*['{"a": "same"}'] * 100, name=name)
        s.world.advance(61)
        files = {key.split("/")[0]: data for key, data in (await s.until(3)).items()}
        plain, worded = (
            parquet.ParquetFile(io.BytesIO(files[name])).metadata.row_group(0).column(0)
            for name in ("plain", "worded")
        )
        assert (plain.compression, plain.has_dictionary_page) == ("SNAPPY", False)
        assert (worded.compression, worded.has_dictionary_page) == ("GZIP", True)
        columnar = orc.ORCFile(io.BytesIO(files["orc"]))
        assert (columnar.compression, columnar.file_version) == ("ZLIB", "0.11")
        assert (columnar.row_index_stride, columnar.nrows) == (2000, 100)

    play(body)


def _read(form, data):
    if form == "Parquet":
        from pyarrow import parquet

        return parquet.read_table(io.BytesIO(data)).to_pylist()
    from pyarrow import orc

    return orc.read_table(io.BytesIO(data)).to_pylist()


def test_a_kinesis_stream_is_delivered_through_a_split(play):
    """From the creation on, in order of each shard, each record once, also after a restart."""

    async def first(s):
        arn = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
        await s.h("kinesis", "CreateStream", StreamName="s", ShardCount=1)
        await s.h(
            "firehose", "CreateDeliveryStream", DeliveryStreamName="d", DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": ROLE},
            S3DestinationConfiguration={
                "RoleARN": ROLE, "BucketARN": BUCKET, "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60}},
        )  # fmt: skip
        await s.h("kinesis", "PutRecord", StreamName="s", PartitionKey="k", Data=b"0")
        await s.h(
            "kinesis",
            "SplitShard",
            StreamName="s",
            ShardToSplit="0",
            NewStartingHashKey=str(2**127),
        )
        await s.h("kinesis", "PutRecord", StreamName="s", PartitionKey="k", Data=b"1")
        await asyncio.sleep(0.2)
        with pytest.raises(Fault) as caught:
            await s.put("x")
        assert (
            caught.value.message
            == "This operation is not permitted on KinesisStreamAsSource delivery stream type."
        )

    async def second(s):
        await s.h("kinesis", "PutRecord", StreamName="s", PartitionKey="k", Data=b"2")
        await asyncio.sleep(0.2)
        s.world.advance(61)
        objects = await s.until(1)
        assert list(objects.values()) == [b"012"]
        found = await s.told()
        assert found["KinesisMillisBehindLatest"] == 0
        assert found["DataReadFromKinesisStream.Records"] == found["DataReadFromKinesisStream.Bytes"] >= 1  # fmt: skip
        assert "IncomingPutRequests" not in found

    play(first)
    play(second, fresh=False)


def test_what_a_producer_library_put_together_is_delivered_one_by_one(play):
    """https://docs.aws.amazon.com/streams/latest/dev/kpl-with-firehose.html; what only looks like it stays as it is."""

    def together(*datas):
        made = RecordAggregator()
        for number, data in enumerate(datas):
            made.add_user_record(f"key{number % 3}", data)
        return made.clear_and_get().get_contents()[2]

    many = [b"%d," % number for number in range(2500)]
    broken = together(b"x", b"y")[:-1] + b"?"
    cut = b"\xf3\x89\x9a\xc2\x1a\xff\xff"
    cut += hashlib.md5(cut[4:]).digest()
    sent = [together(b"a", b"b", b"c"), b"plain", broken, cut, together(*many)]

    async def body(s):
        arn = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
        await s.h("kinesis", "CreateStream", StreamName="s", ShardCount=1)
        await s.h(
            "firehose", "CreateDeliveryStream", DeliveryStreamName="d", DeliveryStreamType="KinesisStreamAsSource",
            KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": ROLE},
            ExtendedS3DestinationConfiguration={
                "RoleARN": ROLE, "BucketARN": BUCKET, "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
                "ProcessingConfiguration": {"Enabled": True, "Processors": [{"Type": "AppendDelimiterToRecord"}]}},
        )  # fmt: skip
        for data in sent:
            await s.h("kinesis", "PutRecord", StreamName="s", PartitionKey="k", Data=data)
        wanted = b"".join(d + b"\n" for d in (b"a", b"b", b"c", b"plain", broken, cut, *many))
        for _ in range(600):
            s.world.advance(61)
            await asyncio.sleep(0.05)
            found = await s.objects()
            if sum(map(len, found.values())) >= len(wanted):
                break
        assert b"".join(found[name] for name in sorted(found)) == wanted

    play(body)


def test_reading_goes_on_within_a_record_that_was_put_together():
    """The checkpoint counts its user records: what was taken before a crash is not taken again."""
    made = RecordAggregator()
    for number in range(4):
        made.add_user_record("k", b"%d" % number)
    data = made.clear_and_get().get_contents()[2]
    rows = [
        {"Data": data, "PartitionKey": "k", "SequenceNumber": n, "ApproximateArrivalTimestamp": 1.0}
        for n in "78"
    ]
    items = list(_items(rows, {"after": "6"}, "shard"))
    assert [item.row for item in items] == [
        {"after": "6", "part": 1}, {"after": "6", "part": 2}, {"after": "6", "part": 3}, {"after": "7"},
        {"after": "7", "part": 1}, {"after": "7", "part": 2}, {"after": "7", "part": 3}, {"after": "8"},
    ]  # fmt: skip
    for at, item in enumerate(items[:4]):
        left = rows if "part" in item.row else rows[1:]
        assert list(_items(left, item.row, "shard")) == items[at + 1 :]


def test_an_endpoint_gets_records_and_what_it_refuses_goes_to_s3(play):
    """The request as https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html has it."""

    async def body(s):
        taken = []

        async def request(method, url, headers, content, **_):
            from stratolite.egress import Answer as HttpAnswer

            said = json.loads(gzip.decompress(content))
            taken.append((dict(headers), said))
            if len(taken) == 1:
                return HttpAnswer(500, [], b"not now")
            records = [base64.b64decode(r["data"]) for r in said["records"]]
            ok = {"requestId": said["requestId"], "timestamp": 1}
            if records == [b"odd"]:
                return HttpAnswer(200, [], b'{"requestId": null}')
            return HttpAnswer(200 if records != [b"refused"] else 400, [], json.dumps(ok).encode())

        s.h.cloud.egress.request = request
        seen = []

        def measure(account, region, namespace, dimensions, name, value, *_, **__):
            seen.append((name, value))

        s.h.cloud.measure = measure
        await s.h("logs", "CreateLogGroup", logGroupName="g")
        await s.h("logs", "CreateLogStream", logGroupName="g", logStreamName="errors")
        await s.h(
            "firehose", "CreateDeliveryStream", DeliveryStreamName="h",
            HttpEndpointDestinationConfiguration={
                "EndpointConfiguration": {"Url": "https://hooks.example.com/x", "AccessKey": "secret-key"},
                "S3BackupMode": "FailedDataOnly", "RoleARN": ROLE,
                "CloudWatchLoggingOptions": {"Enabled": True, "LogGroupName": "g", "LogStreamName": "errors"},
                "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
                "RequestConfiguration": {
                    "ContentEncoding": "GZIP", "CommonAttributes": [{"AttributeName": "a", "AttributeValue": "b"}]},
                "RetryOptions": {"DurationInSeconds": 30},
                "S3Configuration": {"RoleARN": ROLE, "BucketARN": BUCKET},
            },
        )  # fmt: skip
        described = await s.h("firehose", "DescribeDeliveryStream", DeliveryStreamName="h")
        assert "secret-key" not in str(described)
        await s.put("one", name="h")
        s.world.advance(61)
        for _ in range(12_000):
            await asyncio.sleep(0.005)
            s.world.advance(0.1)
            if len(taken) == 2:
                break
        assert taken[0][1]["requestId"] == taken[1][1]["requestId"]
        headers = taken[1][0]
        assert headers["x-amz-firehose-access-key"] == "secret-key"
        assert json.loads(headers["x-amz-firehose-common-attributes"]) == {
            "commonAttributes": {"a": "b"}
        }
        http, s3 = "DeliveryToHttpEndpoint", "DeliveryToS3"
        for one in ("Success", 0), ("Success", 1), ("Records", 1), ("Bytes", 3):
            assert (f"{http}.{one[0]}", one[1]) in seen
        assert not [name for name, _ in seen if name.startswith(s3)]
        await s.put("refused", name="h")
        s.world.advance(61)
        ((key, data),) = (await s.until(1, step_s=1)).items()
        assert key.startswith("http-endpoint-failed/2023/")
        failure = json.loads(data)
        assert base64.b64decode(failure["rawData"]) == b"refused"
        assert failure["errorCode"] == "HttpEndpoint.DestinationException"
        events = (await s.h("logs", "GetLogEvents", logGroupName="g", logStreamName="errors"))["events"]  # fmt: skip
        line = json.loads(events[0]["message"])
        assert (line["errorCode"], line["message"]) == (
            "HttpEndpoint.DestinationException",
            "The following response was received from the endpoint destination. 500: not now",
        )
        await s.put("odd", name="h")
        s.world.advance(61)
        objects = await s.until(2, step_s=1)
        objects.pop(key)
        ((_, data),) = objects.items()
        failure = json.loads(data)
        assert failure["errorCode"] == "HttpEndpoint.InvalidResponseFromDestination"
        assert failure["errorMessage"].endswith('Raw response received: 200 {"requestId": null}')

    play(body)


def test_an_endpoints_key_is_in_secrets_manager(play):
    """https://docs.aws.amazon.com/firehose/latest/dev/secrets-manager-whats-secret.html: what is there now is sent."""

    async def body(s):
        keys = []

        async def request(method, url, headers, content, **_):
            from stratolite.egress import Answer as HttpAnswer

            keys.append(dict(headers).get("x-amz-firehose-access-key"))
            ok = {"requestId": json.loads(content)["requestId"], "timestamp": 1}
            return HttpAnswer(200, [], json.dumps(ok).encode())

        s.h.cloud.egress.request = request
        made = await s.h(
            "secretsmanager", "CreateSecret", Name="key", SecretString='{"api_key": "one"}'
        )
        endpoint = {
            "EndpointConfiguration": {"Url": "https://hooks.example.com/x", "AccessKey": "unused"},
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 60},
            "S3Configuration": {"RoleARN": ROLE, "BucketARN": BUCKET},
        }
        secret = {"Enabled": True, "SecretARN": made["ARN"], "RoleARN": ROLE}
        for bad in (
            {"Enabled": True, "RoleARN": ROLE},
            {"Enabled": True, "SecretARN": made["ARN"]},
        ):
            with pytest.raises(Fault) as caught:
                await s.h("firehose", "CreateDeliveryStream", DeliveryStreamName="h",
                          HttpEndpointDestinationConfiguration=endpoint | {"SecretsManagerConfiguration": bad})  # fmt: skip
            assert caught.value.code == "InvalidArgumentException"
        await s.h("firehose", "CreateDeliveryStream", DeliveryStreamName="h",
                  HttpEndpointDestinationConfiguration=endpoint | {"SecretsManagerConfiguration": secret})  # fmt: skip
        described = await s.h("firehose", "DescribeDeliveryStream", DeliveryStreamName="h")
        (destination,) = described["DeliveryStreamDescription"]["Destinations"]
        assert (
            destination["HttpEndpointDestinationDescription"]["SecretsManagerConfiguration"]
            == secret
        )

        async def sent(text):
            count = len(keys)
            await s.put(text, name="h")
            s.world.advance(61)
            for _ in range(12_000):
                if len(keys) > count:
                    return keys[-1]
                await asyncio.sleep(0.005)
                s.world.advance(0.1)
            raise AssertionError("never sent")

        assert await sent("1") == "one"
        await s.h(
            "secretsmanager", "PutSecretValue", SecretId="key", SecretString='{"api_key": "two"}'
        )
        assert await sent("2") == "two"
        await s.h("firehose", "UpdateDestination", DeliveryStreamName="h", CurrentDeliveryStreamVersionId="1",
                  DestinationId="destinationId-000000000001",
                  HttpEndpointDestinationUpdate={"SecretsManagerConfiguration": {"Enabled": False}})  # fmt: skip
        assert await sent("3") == "unused"

    play(body)


def test_an_update_changes_what_it_says_and_no_more(play):
    """https://docs.aws.amazon.com/firehose/latest/APIReference/API_UpdateDestination.html"""

    async def body(s):
        bucket = {"RoleARN": ROLE, "BucketARN": BUCKET}
        await s.stream(S3BackupMode="Enabled", S3BackupConfiguration=bucket | {"Prefix": "b/"})

        async def update(version, **change):
            await s.h("firehose", "UpdateDestination", DeliveryStreamName="d", CurrentDeliveryStreamVersionId=version,
                      DestinationId="destinationId-000000000001", ExtendedS3DestinationUpdate=change)  # fmt: skip

        await update("1", S3BackupUpdate={"CompressionFormat": "GZIP"})
        described = await s.h("firehose", "DescribeDeliveryStream", DeliveryStreamName="d")
        (destination,) = described["DeliveryStreamDescription"]["Destinations"]
        backup = destination["ExtendedS3DestinationDescription"]["S3BackupDescription"]
        assert (backup["Prefix"], backup["CompressionFormat"]) == ("b/", "GZIP")
        with pytest.raises(Fault) as caught:
            await update("2", S3BackupMode="Disabled")
        assert caught.value.code == "InvalidArgumentException"

    play(body)


def test_where_records_come_from_decides_on_encryption(play):
    """https://docs.aws.amazon.com/firehose/latest/dev/encryption.html: a Kinesis source has its own."""

    async def body(s):
        hint = {"ThroughputHintInMBs": 7}
        config = {"RoleARN": ROLE, "BucketARN": BUCKET}

        async def refused(operation, **ask):
            with pytest.raises(Fault) as caught:
                await s.h("firehose", operation, **ask)
            return caught.value.code

        create = partial(refused, "CreateDeliveryStream", DeliveryStreamName="x", S3DestinationConfiguration=config)  # fmt: skip
        bad = "InvalidArgumentException"
        assert await create(DirectPutSourceConfiguration={"ThroughputHintInMBs": 101}) == bad
        await s.h("kinesis", "CreateStream", StreamName="s", ShardCount=1)
        source = {
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": {
                "KinesisStreamARN": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s",
                "RoleARN": ROLE,
            },
        }
        assert await create(**source, DirectPutSourceConfiguration=hint) == bad
        owned = {"KeyType": "AWS_OWNED_CMK"}
        assert await create(**source, DeliveryStreamEncryptionConfigurationInput=owned) == bad
        await s.h("firehose", "CreateDeliveryStream", DeliveryStreamName="k", S3DestinationConfiguration=config, **source)  # fmt: skip
        for operation in ("StartDeliveryStreamEncryption", "StopDeliveryStreamEncryption"):
            assert await refused(operation, DeliveryStreamName="k") == bad
        await s.h("firehose", "CreateDeliveryStream", DeliveryStreamName="d", S3DestinationConfiguration=config,
                  DirectPutSourceConfiguration=hint, DeliveryStreamEncryptionConfigurationInput=owned)  # fmt: skip
        described = (await s.h("firehose", "DescribeDeliveryStream", DeliveryStreamName="d"))["DeliveryStreamDescription"]  # fmt: skip
        assert described["Source"] == {"DirectPutSourceDescription": hint}
        assert (await s.put("x"))["Encrypted"] is True

    play(body)


@pytest.mark.parametrize(
    "processor",
    [
        ("Lambda", {"LambdaArn": FUNCTION, "NumberOfRetries": "many"}),
        ("Lambda", {"LambdaArn": FUNCTION, "NumberOfRetries": "301"}),
        ("Lambda", {"LambdaArn": FUNCTION, "BufferSizeInMBs": "0.1"}),
        ("Lambda", {"LambdaArn": FUNCTION, "Delimiter": "x"}),
        ("AppendDelimiterToRecord", {"Delimiter": "\\x1"}),
        ("RecordDeAggregation", {"SubRecordType": "DELIMITED"}),
        ("RecordDeAggregation", {"SubRecordType": "DELIMITED", "Delimiter": "?"}),
        ("RecordDeAggregation", {"SubRecordType": "CSV"}),
        ("Decompression", {"CompressionFormat": "ZIP"}),
        ("CloudWatchLogProcessing", {"DataMessageExtraction": "true"}),
    ],
)
def test_a_processor_that_could_not_work_is_refused(play, processor):
    """When the stream is made, not when its first records are to be delivered."""

    async def body(s):
        with pytest.raises(Fault) as caught:
            await s.stream(ProcessingConfiguration=processors(processor))
        assert caught.value.code == "InvalidArgumentException"

    play(body)


def test_limits_and_refusals(play):
    async def body(s):
        async def refused(operation, **ask):
            with pytest.raises(Fault) as caught:
                await s.h("firehose", operation, **ask)
            return caught.value.code, caught.value.message

        assert await refused("PutRecord", DeliveryStreamName="d", Record={"Data": b""}) == (
            "ResourceNotFoundException", f"Firehose d under account {ACCOUNT} not found.",
        )  # fmt: skip
        await s.stream()
        code, said = await refused(
            "PutRecord", DeliveryStreamName="d", Record={"Data": b"x" * 1_024_001}
        )
        assert code == "ValidationException"
        assert said.endswith(
            "at 'record.data' failed to satisfy constraint: Member must have length less than or equal to 1024000"
        )
        big = [{"Data": b"x" * 1_000_000}] * 5
        assert (await refused("PutRecordBatch", DeliveryStreamName="d", Records=big))[
            1
        ] == "Records size exceeds 4 MB limit"
        assert (
            await refused("PutRecordBatch", DeliveryStreamName="d", Records=[{"Data": b""}] * 501)
        )[0] == "ValidationException"
        base = {"RoleARN": ROLE, "BucketARN": BUCKET}
        assert await refused("CreateDeliveryStream", DeliveryStreamName="d", S3DestinationConfiguration=base) == (
            "ResourceInUseException", f"Firehose d under accountId {ACCOUNT} already exists",
        )  # fmt: skip
        nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
        await s.h("iam", "CreateRole", RoleName="other",
                  AssumeRolePolicyDocument=TRUST.replace("firehose.amazonaws.com", "sns.amazonaws.com"))  # fmt: skip
        other = f"arn:aws:iam::{ACCOUNT}:role/other"
        stream = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
        for role, ask in (
            (nobody, {"S3DestinationConfiguration": base | {"RoleARN": nobody}}),
            (other, {"ExtendedS3DestinationConfiguration": base | {"RoleARN": other}}),
            (nobody, {"ExtendedS3DestinationConfiguration": base | {
                "S3BackupMode": "Enabled", "S3BackupConfiguration": base | {"RoleARN": nobody}}}),
            (nobody, {"HttpEndpointDestinationConfiguration": {
                "EndpointConfiguration": {"Url": "https://127.0.0.1:1"}, "S3Configuration": base | {"RoleARN": nobody}}}),
            (other, {"S3DestinationConfiguration": base, "DeliveryStreamType": "KinesisStreamAsSource",
                     "KinesisStreamSourceConfiguration": {"KinesisStreamARN": stream, "RoleARN": other}}),
        ):  # fmt: skip
            assert await refused("CreateDeliveryStream", DeliveryStreamName="e", **ask) == (
                "InvalidArgumentException",
                f"Firehose is unable to assume role {role}. Please check the role provided.",
            ), ask
        assert await refused(
            "UpdateDestination", DeliveryStreamName="d", CurrentDeliveryStreamVersionId="1",
            DestinationId="destinationId-000000000001", ExtendedS3DestinationUpdate={"RoleARN": other},
        ) == ("InvalidArgumentException", f"Firehose is unable to assume role {other}. Please check the role provided.")  # fmt: skip
        for member, value in (
            ("RedshiftDestinationConfiguration", {}),
            ("SplunkDestinationConfiguration", {}),
        ):
            assert (
                "not offered"
                in (
                    await refused("CreateDeliveryStream", DeliveryStreamName="e", **{member: value})
                )[1]
            )
        for bad in (
            {"BufferingHints": {"SizeInMBs": 129, "IntervalInSeconds": 60}}, {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 901}},
            {"BufferingHints": {"SizeInMBs": 1}}, {"BufferingHints": {"IntervalInSeconds": 60}},
            {"Prefix": "!{timestamp:yyyy}/"}, {"Prefix": "!{nope:x}/", "ErrorOutputPrefix": "e/"},
            {"Prefix": "!{timestamp:yyyy", "ErrorOutputPrefix": "e/"},
            {"Prefix": "!{partitionKeyFromQuery:a}/", "ErrorOutputPrefix": "e/"},
            {"ProcessingConfiguration": processors(("MetadataExtraction", {"MetadataExtractionQuery": 'import "x" as $x; {}'}))},
            {"CustomTimeZone": "Nowhere/Land"}, {"BucketARN": "out"}, {"CompressionFormat": "RAR"},
        ):  # fmt: skip
            ask = {"DeliveryStreamName": "e", "ExtendedS3DestinationConfiguration": base | bad}
            assert (await refused("CreateDeliveryStream", **ask))[
                0
            ] == "InvalidArgumentException", bad
        await s.h("firehose", "UpdateDestination", DeliveryStreamName="d", CurrentDeliveryStreamVersionId="1",
                  DestinationId="destinationId-000000000001", ExtendedS3DestinationUpdate={"Prefix": "new/"})  # fmt: skip
        described = (await s.h("firehose", "DescribeDeliveryStream", DeliveryStreamName="d"))[
            "DeliveryStreamDescription"
        ]
        assert described["VersionId"] == "2"
        assert described["Destinations"][0]["ExtendedS3DestinationDescription"]["Prefix"] == "new/"
        code, _ = await refused("UpdateDestination", DeliveryStreamName="d", CurrentDeliveryStreamVersionId="1",
                                DestinationId="destinationId-000000000001", ExtendedS3DestinationUpdate={})  # fmt: skip
        assert code == "ConcurrentModificationException"
        await s.h(
            "firehose",
            "TagDeliveryStream",
            DeliveryStreamName="d",
            Tags=[{"Key": "a", "Value": "1"}],
        )
        assert (await s.h("firehose", "ListTagsForDeliveryStream", DeliveryStreamName="d"))[
            "Tags"
        ] == [{"Key": "a", "Value": "1"}]
        await s.put("x")
        await s.h("firehose", "DeleteDeliveryStream", DeliveryStreamName="d")
        assert (await s.h("firehose", "ListDeliveryStreams"))["DeliveryStreamNames"] == []
        s.world.advance(100)
        await asyncio.sleep(0.05)
        assert await s.objects() == {}

    play(body)


def test_tags_on_a_new_stream_need_their_own_permission(client):
    """https://docs.aws.amazon.com/firehose/latest/APIReference/API_CreateDeliveryStream.html"""
    iam = client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    iam.create_user(UserName="u")
    statement = {"Effect": "Allow", "Action": ["firehose:CreateDeliveryStream", "iam:PassRole"], "Resource": "*"}  # fmt: skip
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    theirs = client("firehose", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    config = {"RoleARN": ROLE, "BucketARN": BUCKET}
    theirs.create_delivery_stream(DeliveryStreamName="a", S3DestinationConfiguration=config)
    with pytest.raises(ClientError) as caught:
        theirs.create_delivery_stream(
            DeliveryStreamName="b",
            S3DestinationConfiguration=config,
            Tags=[{"Key": "k", "Value": "v"}],
        )
    assert "firehose:TagDeliveryStream" in caught.value.response["Error"]["Message"]


def test_timestamps_are_javas():
    from datetime import UTC, datetime

    time = datetime(2024, 3, 5, 16, 7, 9, 45_000, UTC)
    assert timestamps.spell("yyyy/MM/dd/HH", time) == "2024/03/05/16"
    assert timestamps.spell("yy-M-d'T'hh:mm:ss.SSS a", time) == "24-3-5T04:07:09.045 PM"
    assert timestamps.spell("EEE MMM dd, 'o''clock' DDD", time) == "Tue Mar 05, o'clock 065"
    with pytest.raises(ValueError, match="is not offered"):
        timestamps.check("yyyy-qq")
    key = prefixes.evaluated("!{firehose:random-string}/x/", 0, prefixes.zone(None), "seed")
    assert key == prefixes.evaluated("!{firehose:random-string}/x/", 5, prefixes.zone(None), "seed")
    assert len(key) == 11 + 3


def test_a_template_makes_a_delivery_stream(client):
    iam, s3 = client("iam"), client("s3")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    s3.create_bucket(Bucket="out")
    destination = {"RoleARN": ROLE, "BucketARN": BUCKET, "Prefix": "a/"}
    resource = {
        "Type": "AWS::KinesisFirehose::DeliveryStream",
        "Properties": {"ExtendedS3DestinationConfiguration": destination},
    }
    outputs = {"Arn": {"Value": {"Fn::GetAtt": ["F", "Arn"]}}}
    cloudformation, firehose = client("cloudformation"), client("firehose")

    def template():
        return json.dumps({"Resources": {"F": resource}, "Outputs": outputs})

    cloudformation.create_stack(StackName="st", TemplateBody=template())
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    (name,) = firehose.list_delivery_streams()["DeliveryStreamNames"]
    destination["Prefix"] = "b/"
    cloudformation.update_stack(StackName="st", TemplateBody=template())
    cloudformation.get_waiter("stack_update_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    found = firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"]
    assert found["Destinations"][0]["ExtendedS3DestinationDescription"]["Prefix"] == "b/"
    cloudformation.delete_stack(StackName="st")
    cloudformation.get_waiter("stack_delete_complete").wait(
        StackName="st", WaiterConfig={"Delay": 0.05}
    )
    assert firehose.list_delivery_streams()["DeliveryStreamNames"] == []
