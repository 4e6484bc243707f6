"""Request metrics of buckets: counted for those that ask for them, by the filters they ask with.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/metrics-dimensions.html
"""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def s3(client: Any) -> Any:
    s3 = client("s3")
    s3.create_bucket(Bucket="bbb")
    return s3


def ask(s3: Any, name: str, **filter: Any) -> None:
    said = {"Id": name} | ({"Filter": filter} if filter else {})
    s3.put_bucket_metrics_configuration(Bucket="bbb", Id=name, MetricsConfiguration=said)


def counted(platform: Any, client: Any, name: str) -> dict[str, float]:
    """Metric -> sum, of a configuration; those that are 0 left out, and what real time makes."""
    platform.run(platform.cloud.metrics.flush())
    cw, now = client("cloudwatch"), platform.cloud.world.cloud()
    dimensions = [{"Name": "BucketName", "Value": "bbb"}, {"Name": "FilterId", "Value": name}]
    found = {}
    for metric in cw.list_metrics(Namespace="AWS/S3", Dimensions=dimensions)["Metrics"]:
        points = cw.get_metric_statistics(
            Namespace="AWS/S3", MetricName=metric["MetricName"], Dimensions=dimensions, StartTime=now - 3600, EndTime=now + 3600,
            Period=3600, Statistics=["Sum"],
        )["Datapoints"]  # fmt: skip
        found[metric["MetricName"]] = sum(p["Sum"] for p in points)
    return {k: v for k, v in found.items() if v and k != "FirstByteLatency"}


def test_requests_are_counted_by_their_kind(platform, client, s3):
    s3.put_object(Bucket="bbb", Key="before", Body=b"x")
    ask(s3, "all")
    s3.put_object(Bucket="bbb", Key="k", Body=b"12345")
    s3.put_object(Bucket="bbb", Key="large", Body=b"x" * 300_000)
    assert s3.get_object(Bucket="bbb", Key="k")["Body"].read() == b"12345"
    assert s3.get_object(Bucket="bbb", Key="k", Range="bytes=0-1")["Body"].read() == b"12"
    s3.head_object(Bucket="bbb", Key="k")
    s3.list_objects_v2(Bucket="bbb")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="bbb", Key="none")
    s3.delete_object(Bucket="bbb", Key="k")
    assert counted(platform, client, "all") == {
        "AllRequests": 8, "PutRequests": 2, "GetRequests": 3, "HeadRequests": 1, "ListRequests": 1, "DeleteRequests": 1,
        "BytesUploaded": 300_005, "BytesDownloaded": 7, "4xxErrors": 1,
    }  # fmt: skip
    s3.delete_bucket_metrics_configuration(Bucket="bbb", Id="all")
    s3.head_object(Bucket="bbb", Key="large")
    assert counted(platform, client, "all")["AllRequests"] == 9  # the last is the deletion itself


def test_filters_choose_by_prefix_and_tags(platform, client, s3):
    ask(s3, "prefix", Prefix="a/")
    ask(s3, "tag", Tag={"Key": "t", "Value": "1"})
    ask(s3, "both", And={"Prefix": "a/", "Tags": [{"Key": "t", "Value": "1"}]})
    s3.put_object(Bucket="bbb", Key="a/plain", Body=b"x")
    s3.put_object(Bucket="bbb", Key="a/tagged", Body=b"x", Tagging="t=1")
    s3.put_object(Bucket="bbb", Key="tagged", Body=b"x", Tagging="t=1")
    for key in ("a/plain", "a/tagged", "tagged"):
        s3.get_object(Bucket="bbb", Key=key)["Body"].read()
    s3.list_objects_v2(Bucket="bbb")
    assert {name: counted(platform, client, name)["AllRequests"] for name in ("prefix", "tag", "both")} == {"prefix": 4, "tag": 4, "both": 2}  # fmt: skip
    assert "ListRequests" not in counted(platform, client, "prefix")
