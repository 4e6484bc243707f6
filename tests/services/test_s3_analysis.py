"""Storage class analysis and request metrics: what is done to a bucket's objects is counted, for whom a configuration asks."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"
DAY_S = 86_400
LARGE = b"l" * (256 << 10)


def code(caught: Any) -> tuple[str, int]:
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Analysed:
    """A bucket ``box`` whose analyses go to ``reports``."""

    def __init__(self, client: Any, platform: Any) -> None:
        self.client, self.platform, self.s3 = client, platform, client("s3")
        for name in ("box", "reports"):
            self.s3.create_bucket(Bucket=name)
        self.let_in("arn:aws:s3:::box")

    def let_in(self, source: str) -> None:
        """https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-bucket-policies.html#example-bucket-policies-s3-inventory-1"""
        allow = {
            "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "s3:PutObject",
            "Resource": "arn:aws:s3:::reports/*",
            "Condition": {
                "ArnLike": {"aws:SourceArn": source},
                "StringEquals": {"aws:SourceAccount": ACCOUNT, "s3:x-amz-acl": "bucket-owner-full-control"},
            },
        }  # fmt: skip
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self.s3.put_bucket_policy(Bucket="reports", Policy=policy)

    def analyse(self, name: str = "all", export: bool = True, **said: Any) -> None:
        there = {"Bucket": "arn:aws:s3:::reports", "Format": "CSV", "Prefix": "ages", "BucketAccountId": ACCOUNT}  # fmt: skip
        asked: dict[str, Any] = {"Id": name, "StorageClassAnalysis": {}, **said}
        if export:
            asked["StorageClassAnalysis"] = {
                "DataExport": {
                    "OutputSchemaVersion": "V_1",
                    "Destination": {"S3BucketDestination": there},
                }
            }
        self.s3.put_bucket_analytics_configuration(
            Bucket="box", Id=name, AnalyticsConfiguration=asked
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.platform.cloud.world.cloud(), UTC)

    def advance(self, seconds: float) -> None:
        cloud = self.platform.cloud
        self.platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))

    def to_midnight(self) -> None:
        self.advance(DAY_S - self.platform.cloud.world.cloud() % DAY_S + 1)

    def rows(self, name: str = "all") -> list[dict[str, str]]:
        try:
            got = self.s3.get_object(Bucket="reports", Key=f"ages/box/{name}.csv")
        except ClientError:
            return []
        assert got["ContentType"] == "text/csv"
        return list(csv.DictReader(io.StringIO(got["Body"].read().decode())))

    def next_day(self, name: str = "all") -> list[dict[str, str]]:
        """The rows of the day that begins next."""
        self.to_midnight()
        return self.today(name)

    def today(self, name: str = "all") -> list[dict[str, str]]:
        today = f"{self.now():%m-%d-%Y}"

        def made() -> list[dict[str, str]]:
            return [row for row in self.rows(name) if row["Date"] == today]

        until(made)
        return made()


@pytest.fixture
def made(client: Any, platform: Any) -> Analysed:
    return Analysed(client, platform)


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%m-%d-%Y").replace(tzinfo=UTC)


def shown(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    names = ("StorageClass", "ObjectAge", "ObjectCount", "DataUploaded_MB", "Storage_MB", "DataRetrieved_MB", "GetRequestCount", "CumulativeAccessRatio")  # fmt: skip
    return [tuple(row[name] for name in names) for row in rows]


def test_a_day_s_record_has_what_was_stored_uploaded_and_read_by_age(made: Analysed) -> None:
    """Columns and age groups: https://docs.aws.amazon.com/AmazonS3/latest/userguide/analytics-storage-class.html"""
    s3 = made.s3
    s3.put_object(Bucket="box", Key="docs/old", Body=LARGE)  # nobody counts yet
    made.advance(20 * DAY_S)
    made.to_midnight()
    made.analyse(Filter={"Prefix": "docs/"})
    s3.put_object(Bucket="box", Key="docs/new", Body=LARGE * 2)
    s3.put_object(Bucket="box", Key="docs/small", Body=b"s" * 1024)
    s3.put_object(Bucket="box", Key="docs/cold", Body=LARGE, StorageClass="STANDARD_IA")
    s3.put_object(Bucket="box", Key="elsewhere", Body=LARGE)
    s3.copy_object(Bucket="box", Key="docs/copy", CopySource="box/docs/old")
    upload = s3.create_multipart_upload(Bucket="box", Key="docs/parts")["UploadId"]
    part = s3.upload_part(
        Bucket="box", Key="docs/parts", UploadId=upload, PartNumber=1, Body=LARGE * 4
    )
    s3.complete_multipart_upload(
        Bucket="box", Key="docs/parts", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )  # fmt: skip
    s3.get_object(Bucket="box", Key="docs/old")
    s3.get_object(Bucket="box", Key="docs/old", Range="bytes=0-131071")
    s3.get_object(Bucket="box", Key="docs/new")
    s3.get_object(Bucket="box", Key="docs/small")
    s3.head_object(Bucket="box", Key="docs/old")
    s3.get_object(Bucket="box", Key="elsewhere")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="box", Key="docs/none")
    made.to_midnight()
    s3.get_object(Bucket="box", Key="docs/old")
    rows = made.next_day()
    assert list(rows[0]) == [
        "Date", "ConfigId", "Filter", "StorageClass", "ObjectAge", "ObjectCount", "DataUploaded_MB", "Storage_MB",
        "DataRetrieved_MB", "GetRequestCount", "CumulativeAccessRatio", "ObjectAgeForSIATransition",
        "RecommendedObjectAgeForSIATransition",
    ]  # fmt: skip
    assert {(r["ConfigId"], r["Filter"]) for r in rows} == {("all", "prefix=docs/")}
    assert {r["ObjectAgeForSIATransition"] for r in rows} == {""}  # too soon to say
    assert made.rows() == rows  # the first one has all since the configuration
    assert shown(rows) == [
        ("STANDARD", "000-014", "3", "0.75", "1.75", "0.5", "1", "0.5625"),
        ("STANDARD_IA", "000-014", "1", "0.25", "0.25", "0", "0", "0"),
        ("STANDARD", "015-029", "1", "0", "0.25", "0.625", "3", "2.5"),
        ("STANDARD", "ALL", "5", "0.750977", "2.000977", "1.125977", "5", "0.562714"),
        ("STANDARD_IA", "ALL", "1", "0.25", "0.25", "0", "0", "0"),
    ]


def test_the_history_is_one_file_sorted_by_age_and_the_age_for_a_transition_is_observed(
    made: Analysed,
) -> None:
    """Nothing before 30 days; recommended once it was the same for seven."""
    s3 = made.s3
    for key in ("cold/old", "hot/old"):
        s3.put_object(Bucket="box", Key=key, Body=LARGE)
    made.advance(100 * DAY_S)
    for name in ("cold", "hot"):
        made.analyse(name, Filter={"Prefix": f"{name}/"})
    made.to_midnight()
    observed: dict[str, list[tuple[str, str]]] = {"cold": [], "hot": []}
    for _ in range(38):
        s3.put_object(Bucket="box", Key="cold/new", Body=LARGE)
        for key in ("cold/new", "cold/new", "hot/old"):
            s3.get_object(Bucket="box", Key=key)
        made.to_midnight()
        for name, seen in observed.items():
            (last,) = [r for r in made.today(name) if r["ObjectAge"] == "ALL"]
            seen.append(
                (last["ObjectAgeForSIATransition"], last["RecommendedObjectAgeForSIATransition"])
            )
    assert observed["cold"] == [("", "")] * 29 + [("30", "")] * 6 + [("30", "30")] * 3
    assert observed["hot"] == [("", "")] * 38  # read thirty times a month, at any age
    rows = made.rows("cold")
    order = [(r["ObjectAge"], _day(r["Date"])) for r in rows]
    ages = sorted({age for age, _ in order})
    assert ages == ["000-014", "090-119", "120-149", "ALL"]
    assert order == sorted(order)
    days = [day for age, day in order if age == "ALL"]
    assert all(b - a == timedelta(days=1) for a, b in pairwise(days))


def test_tags_choose_what_is_analysed_and_counts_survive_a_restart(made: Analysed) -> None:
    s3 = made.s3
    chosen = {"And": {"Prefix": "d", "Tags": [{"Key": "k", "Value": "v"}, {"Key": "l", "Value": "w"}]}}  # fmt: skip
    made.analyse("tagged", Filter=chosen)
    s3.put_object(Bucket="box", Key="da", Body=LARGE, Tagging="k=v&l=w")
    s3.put_object(Bucket="box", Key="db", Body=LARGE, Tagging="k=v")
    for key in ("da", "db"):
        s3.get_object(Bucket="box", Key=key)
    made.platform.reopen()
    s3.get_object(Bucket="box", Key="da")
    made.to_midnight()
    (row, _) = made.next_day("tagged")
    assert row["Filter"] == "prefix=d;tag:k=v;tag:l=w"
    assert (row["ObjectCount"], row["DataUploaded_MB"], row["GetRequestCount"]) == ("1", "0.25", "2")  # fmt: skip


def test_a_destination_that_lets_nobody_in_gets_nothing_and_later_all(made: Analysed) -> None:
    made.let_in("arn:aws:s3:::another")
    made.analyse()
    made.s3.put_object(Bucket="box", Key="a", Body=LARGE)
    made.to_midnight()
    made.to_midnight()
    waiting = made.platform.cloud.world.sleep(0.5)
    made.platform.run(waiting)
    assert made.rows() == []
    made.let_in("arn:aws:s3:::box")
    made.next_day()
    assert len({row["Date"] for row in made.rows()}) == 2


def test_a_configuration_that_goes_takes_its_counts_along(made: Analysed) -> None:
    cloud = made.platform.cloud

    def left() -> int:
        def look(tx: Any) -> int:
            return sum(b"\x02s3\x00\x02g\x00" in k for k, _ in tx.scan((b"\x00", b"\xfe")))

        made.platform.run(made.platform.cloud.metrics.flush())
        return int(made.platform.run(cloud.db.transact(look)))

    made.analyse()
    made.s3.put_object(Bucket="box", Key="a", Body=LARGE)
    assert left() == 1
    made.s3.delete_bucket_analytics_configuration(Bucket="box", Id="all")
    made.s3.get_object(Bucket="box", Key="a")
    assert left() == 0
    made.analyse(export=False)  # for the console, of which there is none: nothing is counted
    made.s3.get_object(Bucket="box", Key="a")
    assert left() == 0
    made.analyse()
    made.s3.get_object(Bucket="box", Key="a")
    assert left() == 1
    made.s3.delete_object(Bucket="box", Key="a")
    made.s3.delete_bucket(Bucket="box")
    assert left() == 0


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"OutputSchemaVersion": "V_2"}, "MalformedXML"),
        ({"Destination": {"S3BucketDestination": {"Bucket": "reports", "Format": "CSV"}}}, "InvalidS3DestinationBucket"),
        ({"Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::reports", "Format": "XML"}}}, "MalformedXML"),
    ],
)  # fmt: skip
def test_an_export_says_where_and_how(made: Analysed, wrong: dict[str, Any], wanted: str) -> None:
    there = {"Bucket": "arn:aws:s3:::reports", "Format": "CSV"}
    export = {"OutputSchemaVersion": "V_1", "Destination": {"S3BucketDestination": there}, **wrong}
    with pytest.raises(ClientError) as caught:
        made.s3.put_bucket_analytics_configuration(
            Bucket="box", Id="x",
            AnalyticsConfiguration={"Id": "x", "StorageClassAnalysis": {"DataExport": export}},
        )  # fmt: skip
    assert code(caught) == (wanted, 400)
    assert "AnalyticsConfigurationList" not in made.s3.list_bucket_analytics_configurations(
        Bucket="box"
    )


# -- request metrics


class Watched:
    def __init__(self, client: Any, platform: Any) -> None:
        self.platform, self.cw = platform, client("cloudwatch")

    def total(self, name: str, filter_id: str, kind: str = "Sum") -> float | None:
        self.platform.run(self.platform.cloud.metrics.flush())
        now = datetime.fromtimestamp(self.platform.cloud.world.cloud(), UTC)
        found = self.cw.get_metric_statistics(
            Namespace="AWS/S3", MetricName=name, Period=7200,
            Dimensions=[{"Name": "BucketName", "Value": "box"}, {"Name": "FilterId", "Value": filter_id}],
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1), Statistics=[kind],
        )["Datapoints"]  # fmt: skip
        return sum(one[kind] for one in found) if found else None


def configure(s3: Any, name: str, **only: Any) -> None:
    said = {"Id": name, **({"Filter": only} if only else {})}
    s3.put_bucket_metrics_configuration(Bucket="box", Id=name, MetricsConfiguration=said)


def test_requests_are_metrics_of_the_configurations_whose_filters_they_meet(
    client: Any, platform: Any
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html"""
    s3, control, watched = client("s3"), client("s3control"), Watched(client, platform)
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="docs/before", Body=b"x")
    configure(s3, "EntireBucket")
    configure(s3, "docs", Prefix="docs/")
    configure(s3, "red", Tag={"Key": "colour", "Value": "red"})
    control.create_access_point(AccountId=ACCOUNT, Name="door", Bucket="box")
    point = f"arn:aws:s3:us-east-1:{ACCOUNT}:accesspoint/door"
    configure(s3, "door", AccessPointArn=point)
    s3.put_object(Bucket="box", Key="docs/a", Body=b"12345", Tagging="colour=red")
    s3.put_object(Bucket="box", Key="b", Body=b"123")
    s3.get_object(Bucket="box", Key="docs/a")
    s3.get_object(Bucket=point, Key="b")
    s3.head_object(Bucket="box", Key="docs/a")
    s3.list_objects_v2(Bucket="box")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="box", Key="docs/none")
    upload = s3.create_multipart_upload(Bucket="box", Key="docs/p")["UploadId"]
    s3.abort_multipart_upload(Bucket="box", Key="docs/p", UploadId=upload)
    s3.delete_object(Bucket="box", Key="docs/a")

    def totals(name: str) -> dict[str, float | None]:
        names = ("AllRequests", "GetRequests", "PutRequests", "HeadRequests", "DeleteRequests", "PostRequests", "ListRequests", "BytesUploaded", "BytesDownloaded", "4xxErrors", "5xxErrors")  # fmt: skip
        return {one: watched.total(one, name) for one in names}

    assert totals("docs") == {
        "AllRequests": 7, "GetRequests": 2, "PutRequests": 1, "HeadRequests": 1, "DeleteRequests": 2, "PostRequests": 1,
        "ListRequests": None, "BytesUploaded": 5, "BytesDownloaded": 5, "4xxErrors": 1, "5xxErrors": 0,
    }  # fmt: skip
    assert totals("red") == {
        "AllRequests": 4, "GetRequests": 1, "PutRequests": 1, "HeadRequests": 1, "DeleteRequests": 1, "PostRequests": None,
        "ListRequests": None, "BytesUploaded": 5, "BytesDownloaded": 5, "4xxErrors": 0, "5xxErrors": 0,
    }  # fmt: skip
    door = totals("door")
    assert (door["AllRequests"], door["GetRequests"], door["BytesDownloaded"]) == (1, 1, 3)
    whole = totals("EntireBucket")
    assert (whole["GetRequests"], whole["PutRequests"], whole["ListRequests"]) == (3, 2, 1)
    assert watched.total("4xxErrors", "docs", "Average") == pytest.approx(1 / 7)
    latency = watched.total("FirstByteLatency", "docs", "Maximum")
    assert latency is not None
    assert 0 < latency < 60_000
    s3.delete_bucket_metrics_configuration(Bucket="box", Id="docs")
    s3.get_object(Bucket="box", Key="docs/before")
    assert watched.total("GetRequests", "docs") == 2
    assert watched.total("GetRequests", "EntireBucket") == 4


def test_selects_are_counted_with_what_they_scanned_and_returned(
    client: Any, platform: Any
) -> None:
    s3, watched = client("s3"), Watched(client, platform)
    s3.create_bucket(Bucket="box")
    s3.put_object(Bucket="box", Key="a.csv", Body=b"1,2\n3,4\n")
    configure(s3, "EntireBucket")
    answer = s3.select_object_content(
        Bucket="box", Key="a.csv", Expression="SELECT s._1 FROM S3Object s", ExpressionType="SQL",
        InputSerialization={"CSV": {}}, OutputSerialization={"CSV": {}},
    )  # fmt: skip
    got = b"".join(e["Records"]["Payload"] for e in answer["Payload"] if "Records" in e)
    assert got == b"1\n3\n"
    names = ("SelectRequests", "AllRequests", "SelectBytesScanned", "SelectBytesReturned")
    assert [watched.total(name, "EntireBucket") for name in names] == [1, 1, 8, 4]


def test_configurations_are_put_and_refused_as_aws_was_recorded_to_do_it(client: Any) -> None:
    """LocalStack's tests/aws/services/s3/test_s3.snapshot.json (put_inventory_report_exceptions, put_bucket_logging_cross_locations,
    get_bucket_policy_invalid_account_id) and test_s3_api.snapshot.json (put_bucket_metrics_configuration, bucket_ownership_controls_exc)."""
    s3, west = client("s3"), client("s3", region="us-west-2")
    s3.create_bucket(Bucket="box")
    west.create_bucket(Bucket="west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})

    def refused(call: Any, **request: Any) -> dict[str, Any]:
        with pytest.raises(ClientError) as caught:
            call(**request)
        answer = caught.value.response
        found = {k: v for k, v in answer["Error"].items() if k not in ("RequestId", "HostId")}
        return found | {"status": answer["ResponseMetadata"]["HTTPStatusCode"]}

    def inventory(bucket: str) -> dict[str, Any]:
        there = {"Bucket": bucket, "Format": "CSV"}
        return {
            "Id": "one", "IsEnabled": True, "IncludedObjectVersions": "All", "Schedule": {"Frequency": "Daily"},
            "Destination": {"S3BucketDestination": there},
        }  # fmt: skip

    put = s3.put_bucket_inventory_configuration
    for answer in (
        put(Bucket="box", Id="one", InventoryConfiguration=inventory("arn:aws:s3:::west")),
        s3.put_bucket_metrics_configuration(Bucket="box", Id="a", MetricsConfiguration={"Id": "a"}),
    ):
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    asked = {"Bucket": "box", "InventoryConfiguration": inventory("arn:aws:s3:::west")}
    assert refused(put, Id="other", **asked) == {
        "Code": "IdMismatch", "Message": "Document ID does not match the specified configuration ID.", "status": 400,
    }  # fmt: skip
    tiering = s3.put_bucket_intelligent_tiering_configuration
    tiers = {
        "Id": "one",
        "Status": "Enabled",
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
    }
    asked = {"Bucket": "box", "IntelligentTieringConfiguration": tiers}
    assert tiering(Id="one", **asked)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(tiering, Id="other", **asked)["Code"] == "MalformedXML"
    asked = {"Bucket": "box", "InventoryConfiguration": inventory("west")}
    assert refused(put, Id="one", **asked) == {
        "Code": "InvalidS3DestinationBucket", "Message": "Invalid bucket ARN.", "status": 400,
    }  # fmt: skip
    log = {"LoggingEnabled": {"TargetBucket": "west", "TargetPrefix": ""}}
    assert refused(s3.put_bucket_logging, Bucket="box", BucketLoggingStatus=log) == {
        "Code": "CrossLocationLoggingProhibitted", "Message": "Cross S3 location logging not allowed. ",
        "TargetBucketLocation": "us-west-2", "status": 403,
    }  # fmt: skip
    log = {"LoggingEnabled": {"TargetBucket": "box", "TargetPrefix": ""}}
    found = refused(west.put_bucket_logging, Bucket="west", BucketLoggingStatus=log)
    assert (found["SourceBucketLocation"], found["TargetBucketLocation"]) == ("us-west-2", "us-east-1")  # fmt: skip
    for value in ("RandomValue", ""):
        assert refused(s3.create_bucket, Bucket="another", ObjectOwnership=value) == {
            "Code": "InvalidArgument", "Message": f"Invalid x-amz-object-ownership header: {value}",
            "ArgumentName": "x-amz-object-ownership", "status": 400,
        }  # fmt: skip
    for account in ("0000", "0000000000020", "abcd", "aa000000000$"):
        assert refused(s3.get_bucket_policy, Bucket="box", ExpectedBucketOwner=account) == {
            "Code": "InvalidBucketOwnerAWSAccountID", "status": 400,
            "Message": f"The value of the expected bucket owner parameter must be an AWS Account ID... [{account}]",
        }  # fmt: skip


def test_filters_say_one_thing_or_several_together(client: Any) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="box")
    for wrong in (
        {"And": {"Prefix": "a"}},
        {"And": {"Tags": [{"Key": "a", "Value": "b"}]}},
    ):
        with pytest.raises(ClientError) as caught:
            configure(s3, "x", **wrong)
        assert code(caught) == ("MalformedXML", 400)
