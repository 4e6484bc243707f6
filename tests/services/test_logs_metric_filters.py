"""Metric filters: what log events say becomes data of metrics, once for each event.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html; answers and errors as recorded in LocalStack's
tests/aws/services/logs/test_logs_metric_filters.snapshot.json
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import advance, come_to_rest, queue, received

NOW_MS = int(time.time() * 1000)
TOPIC = "arn:aws:sns:us-east-1:000000000000:t"


@pytest.fixture
def logs(client: Any) -> Any:
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    return logs


def put(logs: Any, pattern: str, name: str = "f", group: str = "g", **said: Any) -> None:
    whole = {"metricNamespace": "Shop", "metricName": "m", "metricValue": "1"} | said
    logs.put_metric_filter(logGroupName=group, filterName=name, filterPattern=pattern, metricTransformations=[whole])  # fmt: skip


def say(logs: Any, *messages: str, ago_ms: int = 0) -> None:
    events = [{"timestamp": NOW_MS - ago_ms, "message": message} for message in messages]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)


def statistics(client: Any, name: str = "m", namespace: str = "Shop", **dimensions: str) -> tuple[float, float]:  # fmt: skip
    """(how many samples, their sum)."""
    found = client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=name, StartTime=NOW_MS / 1000 - 7200, EndTime=NOW_MS / 1000 + 7200, Period=3600,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()], Statistics=["Sum", "SampleCount"],
    )["Datapoints"]  # fmt: skip
    return sum(p["SampleCount"] for p in found), sum(p["Sum"] for p in found)


def refused(call: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*given, **named)
    error = caught.value.response["Error"]
    return f"{error['Code']}: {error['Message']}"


def test_what_matches_is_counted_once_and_the_rest_gives_the_default(client, platform, logs):
    """Also when the server stops between the events and their metrics."""
    put(logs, "ERROR", "errors", metricName="errors", defaultValue=0, unit="Count")
    put(logs, "ERROR", "plain", metricName="plain")
    say(logs, "ERROR 1", "fine", "ERROR 2")
    say(logs, "fine")
    platform.reopen()
    come_to_rest(platform, "logs.metrics")
    assert statistics(client, "errors") == (4, 2)
    assert statistics(client, "plain") == (2, 2)
    (listed,) = client("cloudwatch").list_metrics(MetricName="errors")["Metrics"]
    assert listed == {"Namespace": "Shop", "MetricName": "errors", "Dimensions": []}


def test_values_and_dimensions_are_read_from_the_event(client, platform, logs):
    """Where an event has no number there is no value; where it has no dimension, the metric is without it."""
    put(logs, "{ $.latency = * }", metricValue="$.latency", unit="Milliseconds", dimensions={"Path": "$.request.path", "Ok": "$.ok"})  # fmt: skip
    say(
        logs,
        json.dumps({"latency": 12.5, "request": {"path": "/a"}, "ok": True}),
        json.dumps({"latency": "7", "request": {"path": "/a"}, "ok": True}),
        json.dumps({"latency": 3, "request": {}}),
        json.dumps({"latency": "slow", "request": {"path": "/a"}, "ok": True}),
        json.dumps({"latency": 9e999, "request": {"path": "/a"}, "ok": True}).replace("Infinity", "9e999"),
        "no JSON",
    )  # fmt: skip
    come_to_rest(platform, "logs.metrics")
    assert statistics(client, Path="/a", Ok="true") == (2, 19.5)
    assert statistics(client) == (1, 3)
    point = client("cloudwatch").get_metric_statistics(
        Namespace="Shop", MetricName="m", StartTime=NOW_MS / 1000 - 7200, EndTime=NOW_MS / 1000 + 7200, Period=3600,
        Statistics=["Maximum"], Unit="Milliseconds",
    )["Datapoints"]  # fmt: skip
    assert [p["Maximum"] for p in point] == [3]


def test_fields_are_values_and_dimensions_too(client, platform, logs):
    put(logs, "[ip, id, user, time, request, status, bytes]", metricValue="$bytes", dimensions={"Status": "$status", "Third": "$3"})  # fmt: skip
    assert "valid selector" in refused(put, logs, "[ip, user]", dimensions={"Status": "$status"})
    put(logs, "[..., bytes > 2000]", "big", metricName="big")
    line = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /a HTTP/1.0" 200 {}'
    say(logs, line.format(1534), line.format(2666))
    come_to_rest(platform, "logs.metrics")
    assert statistics(client, Status="200") == (2, 4200)
    assert statistics(client, "big") == (1, 1)


def test_many_values_are_one_datum_a_minute_at_the_events_time(client, platform, logs):
    put(logs, "{ $.v = * }", metricValue="$.v")
    say(logs, *(json.dumps({"v": n}) for n in range(400)), ago_ms=3_600_000)
    come_to_rest(platform, "logs.metrics")
    found = client("cloudwatch").get_metric_statistics(
        Namespace="Shop", MetricName="m", StartTime=NOW_MS / 1000 - 3700, EndTime=NOW_MS / 1000 - 3500, Period=60,
        Statistics=["SampleCount", "Sum"], ExtendedStatistics=["p50"],
    )["Datapoints"]  # fmt: skip
    (point,) = found
    assert (point["SampleCount"], point["Sum"]) == (400, sum(range(400)))


def test_an_alarm_is_told_of_what_a_log_says(client, platform, logs):
    """From PutLogEvents to a queue: filter, metric, alarm, topic."""
    url, arn = queue(client, services=("sns.amazonaws.com",))
    client("sns").create_topic(Name="t")
    client("sns").subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)
    put(logs, "?ERROR ?FATAL", metricName="errors", defaultValue=0)
    client("cloudwatch").put_metric_alarm(
        AlarmName="a", Namespace="Shop", MetricName="errors", Statistic="Sum", Period=60, EvaluationPeriods=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold", Threshold=1, AlarmActions=[TOPIC],
    )  # fmt: skip
    since_ms = int(time.time() * 1000) - NOW_MS  # alarms look at the last minutes alone
    say(logs, "FATAL end", ago_ms=-since_ms)
    come_to_rest(platform, "logs.metrics")
    advance(platform, 61)
    (message,) = received(client, url)
    assert json.loads(message["Message"])["NewStateValue"] == "ALARM"


def test_filters_are_described_replaced_and_deleted(client, logs):
    put(logs, " ", "basic", defaultValue=0)
    put(logs, '{$.message = "test"}', "json", metricName="other", unit="Bytes", dimensions={"D": "$.d"})  # fmt: skip
    first, second = logs.describe_metric_filters(logGroupName="g")["metricFilters"]
    created_ms = first.pop("creationTime")
    assert isinstance(created_ms, int)
    assert first == {
        "applyOnTransformedLogs": False, "filterName": "basic", "filterPattern": " ", "logGroupName": "g",
        "metricTransformations": [{"defaultValue": 0.0, "metricName": "m", "metricNamespace": "Shop", "metricValue": "1"}],
    }  # fmt: skip
    assert second["metricTransformations"][0]["dimensions"] == {"D": "$.d"}
    assert logs.describe_log_groups()["logGroups"][0]["metricFilterCount"] == 2
    put(logs, "x", "basic")
    found = logs.describe_metric_filters(logGroupName="g", filterNamePrefix="b")["metricFilters"]
    assert [(f["filterPattern"], f["creationTime"]) for f in found] == [("x", created_ms)]
    logs.delete_metric_filter(logGroupName="g", filterName="basic")
    gone = refused(logs.delete_metric_filter, logGroupName="g", filterName="basic")
    assert gone == "ResourceNotFoundException: The specified metric filter does not exist."
    assert [f["filterName"] for f in logs.describe_metric_filters()["metricFilters"]] == ["json"]
    logs.delete_log_group(logGroupName="g")
    assert logs.describe_metric_filters()["metricFilters"] == []
    logs.create_log_group(logGroupName="g")
    assert logs.describe_metric_filters(logGroupName="g")["metricFilters"] == []


def test_filters_of_all_groups_are_found_by_prefix_and_metric_in_pages(client, logs):
    logs.create_log_group(logGroupName="h")
    for group in ("h", "g"):
        for number in range(3):
            put(logs, "x", f"f-{number}", group, metricName=f"m{number}", metricNamespace="A.B-c_d/1#2:metricNamespace")  # fmt: skip
    pages = logs.get_paginator("describe_metric_filters").paginate(filterNamePrefix="f-", PaginationConfig={"PageSize": 2})  # fmt: skip
    every = [(f["filterName"], f["logGroupName"]) for page in pages for f in page["metricFilters"]]
    assert every == [(f"f-{n}", g) for n in range(3) for g in ("g", "h")]
    of_one = logs.describe_metric_filters(metricName="m1", metricNamespace="A.B-c_d/1#2:metricNamespace")  # fmt: skip
    assert [f["logGroupName"] for f in of_one["metricFilters"]] == ["g", "h"]
    pages = logs.get_paginator("describe_metric_filters").paginate(logGroupName="h", PaginationConfig={"PageSize": 1})  # fmt: skip
    assert [f["filterName"] for page in pages for f in page["metricFilters"]] == ["f-0", "f-1", "f-2"]  # fmt: skip


def test_what_is_wrong_is_refused_in_aws_words(client, logs):
    """Of dimensions: hashicorp/terraform-provider-aws issue 22105 and aws-cloudformation-resource-providers-logs issue 64."""
    invalid, name = "InvalidParameterException: ", "X" * 513
    length = f"{invalid}1 validation error detected: Value '{name}' at 'filterName' failed to satisfy constraint: Member must have length less than or equal to 512"  # fmt: skip
    assert refused(put, logs, "x", name) == length
    assert refused(logs.delete_metric_filter, logGroupName="g", filterName=name) == length
    assert "'filterPattern' failed to satisfy constraint: Member must have length less than or equal to 1024" in refused(put, logs, "X" * 1025)  # fmt: skip
    assert "at 'metricName' failed to satisfy constraint: Member must have length less than or equal to 255" in refused(logs.describe_metric_filters, metricName="X" * 256, metricNamespace="v")  # fmt: skip
    two = [{"metricName": f"metric{n}", "metricNamespace": f"namespace{n}", "metricValue": "1"} for n in (1, 2)]  # fmt: skip
    said = refused(logs.put_metric_filter, logGroupName="g", filterName="f", filterPattern="x", metricTransformations=two)  # fmt: skip
    assert said == (
        f"{invalid}1 validation error detected: Value '[MetricTransformation(metricName=metric1, metricNamespace=namespace1, metricValue=1,"
        " defaultValue=null, unit=null, dimensions=null), MetricTransformation(metricName=metric2, metricNamespace=namespace2, metricValue=1,"
        " defaultValue=null, unit=null, dimensions=null)]' at 'metricTransformations' failed to satisfy constraint: Member must have length"
        " less than or equal to 1"
    )  # fmt: skip
    wrong = f"{invalid}Invalid metric transformation: "
    assert refused(put, logs, "?ERROR ?WARN", dimensions={"d": "x"}) == f"{invalid}The specified filter pattern does not support dimensions"  # fmt: skip
    assert refused(put, logs, "{ $.a = 1 }", dimensions={"d": "$.d"}, defaultValue=0) == f"{wrong}dimensions and default value are mutually exclusive properties"  # fmt: skip
    assert refused(put, logs, "{ $.a = 1 }", dimensions={"d": "VPC-A"}) == f"{wrong}dimension value must be valid selector"  # fmt: skip
    assert refused(put, logs, "[length]", metricValue="length").startswith(wrong)
    assert refused(put, logs, "x", metricValue="$.a").startswith(wrong)
    assert refused(put, logs, "{ $.a 1 }") == f"{invalid}Invalid metric filter pattern"
    assert "at 'metricTransformations.1.member.unit'" in refused(put, logs, "x", unit="Apples")
    gone = refused(put, logs, "x", group="none")
    assert gone == "ResourceNotFoundException: The specified log group does not exist."
    for number in range(5):
        put(logs, f"%a{number}%", f"f{number}")
    assert refused(put, logs, "%a%", "f9") == "LimitExceededException: Resource limit exceeded."
    put(logs, "%b%", "f4")
    put(logs, "b", "f9")


def test_groups_tell_how_much_came_in(client, platform, logs):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html"""
    say(logs, "12345", "é")
    platform.run(platform.cloud.metrics.flush())
    assert statistics(client, "IncomingLogEvents", "AWS/Logs", LogGroupName="g")[1] == 2
    assert statistics(client, "IncomingBytes", "AWS/Logs", LogGroupName="g")[1] == 7 + 2 * 26
    assert statistics(client, "IncomingLogEvents", "AWS/Logs")[1] == 2
