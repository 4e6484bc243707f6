"""Metrics embedded in log events, as AWS Lambda Powertools writes them, end in CloudWatch.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit
from eventing import come_to_rest
from lambdas import create

from stratolite.services.logs import embedded

NOW_MS = int(time.time() * 1000)


def document(**members: Any) -> dict[str, Any]:
    directive = {"Namespace": "Shop", "Dimensions": [["service"]], "Metrics": [{"Name": "orders", "Unit": "Count"}]}  # fmt: skip
    whole = {"_aws": {"Timestamp": NOW_MS, "CloudWatchMetrics": [directive]}, "service": "checkout", "orders": 1}  # fmt: skip
    return whole | members


def written(client: Any, *messages: str) -> None:
    logs = client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    events = [{"timestamp": NOW_MS, "message": message} for message in messages]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)


def statistics(client: Any, name: str, namespace: str = "Shop", **dimensions: str) -> tuple[float, float]:  # fmt: skip
    """(how many samples, their sum)."""
    found = client("cloudwatch").get_metric_statistics(
        Namespace=namespace, MetricName=name, StartTime=NOW_MS / 1000 - 600, EndTime=NOW_MS / 1000 + 3000, Period=3600,
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()], Statistics=["Sum", "SampleCount"],
    )["Datapoints"]  # fmt: skip
    return sum(p["SampleCount"] for p in found), sum(p["Sum"] for p in found)


def test_what_powertools_logs_becomes_metrics(platform, client):
    """Each document once: values, lists of values, units, and every set of dimensions."""
    metrics = Metrics(namespace="Shop", service="checkout")
    for value in (3, 4):
        metrics.add_metric(name="orders", unit=MetricUnit.Count, value=value)
    metrics.add_metric(name="seconds", unit=MetricUnit.Seconds, value=0.5)
    metrics.add_dimension(name="stage", value="test")
    text = json.dumps(metrics.serialize_metric_set())
    metrics.clear_metrics()
    twice = document(country="at")
    twice["_aws"]["CloudWatchMetrics"][0]["Dimensions"] = [["service"], ["service", "country"], []]
    written(client, "plain", text, json.dumps(twice))
    come_to_rest(platform, "logs.metrics")
    assert statistics(client, "orders", service="checkout", stage="test") == (2, 7)
    assert statistics(client, "seconds", service="checkout", stage="test") == (1, 0.5)
    for dimensions in ({"service": "checkout"}, {"service": "checkout", "country": "at"}, {}):
        assert statistics(client, "orders", **dimensions) == (1, 1)


def test_documents_that_are_not_as_specified_are_counted_and_the_others_read(platform, client):
    bad = document(orders="many")
    own = document()
    own["_aws"]["CloudWatchMetrics"][0]["Namespace"] = "AWS/SQS"
    long = document(orders=2)
    long["_aws"]["CloudWatchMetrics"][0]["Metrics"].append({"Name": "n" * 300})
    long["n" * 300] = 1
    messages = [json.dumps(one) for one in (bad, own, long, document(orders=4))]
    written(client, *messages, '{"_aws": not JSON', '{"said": "nothing of _aws"}')
    come_to_rest(platform, "logs.metrics")
    platform.run(platform.cloud.metrics.flush())
    assert statistics(client, "orders", service="checkout") == (2, 6)
    where = {"namespace": "AWS/Logs", "LogGroupName": "g"}
    assert statistics(client, "EMFValidationErrors", **where) == (2, 2)
    assert statistics(client, "EMFParsingErrors", **where) == (1, 1)


@pytest.mark.parametrize(
    "broken",
    [
        {"Timestamp": "now", "CloudWatchMetrics": []},
        {"Timestamp": NOW_MS - 15 * 86_400_000, "CloudWatchMetrics": []},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": {}},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": ""}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Dimensions": ["a"]}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Dimensions": [["absent"]]}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Dimensions": [["a"] * 31]}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Metrics": [{"Name": "absent"}]}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Metrics": [{"Name": "b"}] * 101}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Metrics": [{"Name": "true"}]}]},
        {"Timestamp": NOW_MS, "CloudWatchMetrics": [{"Namespace": "n", "Metrics": [{"Name": "long"}]}]},
    ],
)  # fmt: skip
def test_a_document_must_be_as_specified(broken):
    members = {"a": "x", "b": 1, "true": True, "long": [1] * 101}
    with pytest.raises(ValueError, match="must|more than|has no"):
        embedded.data_of(json.dumps({"_aws": broken, **members}), NOW_MS)


def test_what_a_function_prints_becomes_metrics(platform, client):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Generation.html: no call, no permission, a line on stdout."""
    code = f"import json\ndef handler(event, context): print(json.dumps({document(orders=5)!r}))"
    create(client, "fn", code)
    for _ in range(2):
        client("lambda").invoke(FunctionName="fn")
    for _ in range(600):
        platform.run(platform.cloud.service("lambda").output.flush())
        come_to_rest(platform, "logs.metrics")
        if statistics(client, "orders", service="checkout") == (2, 10):
            return
    raise AssertionError(statistics(client, "orders", service="checkout"))
