"""Metrics, alarms and dashboards through boto3, on a clock that the test moves."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from eventing import come_to_rest, queue
from services.drift import drifted

from stratolite.clock import World

ACCOUNT = "000000000000"


class Clock(World):
    """The cloud clock stands at the start of an hour, and moves when told to."""

    def __init__(self) -> None:
        super().__init__()
        self._start_s = float(int(time.time()) // 3600 * 3600)

    def cloud(self) -> float:
        return self._start_s + self.cloud_offset_s

    def jump(self, seconds: float) -> None:
        self.set_cloud_offset(self.cloud_offset_s + seconds)


@pytest.fixture
def world() -> Clock:
    return Clock()


@pytest.fixture
def cw(client: Any) -> Any:
    return client("cloudwatch")


@pytest.fixture
def now(platform: Any) -> float:
    return platform.world.cloud()


def jump(platform: Any, seconds: float) -> None:
    async def move() -> None:
        platform.world.jump(seconds)

    platform.run(move())


def put(cw: Any, *data: dict[str, Any], namespace: str = "N") -> None:
    cw.put_metric_data(Namespace=namespace, MetricData=list(data))


def wait_for(what: Callable[[], Any]) -> Any:
    end = time.time() + 120
    while time.time() < end:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError("did not happen")


def refused(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response["Error"]
    return said["Code"], said["Message"]


def data(cw: Any, now: float, *queries: dict[str, Any], **more: Any) -> dict[str, list[float]]:
    """Id -> values, the oldest first, of the last hour."""
    span = {"StartTime": now - 3600, "EndTime": now + 60, "ScanBy": "TimestampAscending"}
    found = cw.get_metric_data(MetricDataQueries=list(queries), **(span | more))
    return {one["Id"]: one["Values"] for one in found["MetricDataResults"]}


def stat(name: str, statistic: str = "Sum", period: int = 60, id: str = "") -> dict[str, Any]:
    metric = {"Namespace": "N", "MetricName": name}
    return {
        "Id": id or name.lower(),
        "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic},
    }


# -- metrics


def test_values_counts_and_statistics_are_added_up(cw, now):
    put(
        cw,
        {"MetricName": "m", "Value": 1.0, "Unit": "Count", "Timestamp": now},
        {"MetricName": "m", "Values": [2.0, 5.0], "Counts": [3, 1], "Unit": "Count"},
        {
            "MetricName": "s",
            "StatisticValues": {"SampleCount": 2, "Sum": 10, "Minimum": 4, "Maximum": 6},
        },
    )
    put(cw, {"MetricName": "m", "Value": 7.0, "Timestamp": now - 120, "Unit": "Count"})
    found = cw.get_metric_statistics(
        Namespace="N",
        MetricName="m",
        StartTime=now - 300,
        EndTime=now + 60,
        Period=60,
        Statistics=["SampleCount", "Average", "Sum", "Minimum", "Maximum"],
        ExtendedStatistics=["p50", "p99.9"],
    )
    assert found["Label"] == "m"
    first, second = found["Datapoints"]
    assert (first["Sum"], first["Timestamp"].timestamp()) == (7.0, now - 120)
    assert {k: v for k, v in second.items() if k != "Timestamp"} == {
        "SampleCount": 5.0,
        "Average": 2.4,
        "Sum": 12.0,
        "Minimum": 1.0,
        "Maximum": 5.0,
        "Unit": "Count",
        "ExtendedStatistics": {"p50": 2.0, "p99.9": 5.0},
    }
    given = cw.get_metric_statistics(
        Namespace="N",
        MetricName="s",
        StartTime=now - 300,
        EndTime=now + 60,
        Period=300,
        Statistics=["Average"],
        ExtendedStatistics=["p50"],
    )
    (point,) = given["Datapoints"]
    assert (point["Average"], "ExtendedStatistics" in point) == (5.0, False)


def test_percentiles_of_many_values_stay_near(cw, now):
    values = [float(n) for n in range(1, 1001)]
    for start in range(0, 1000, 100):
        put(cw, {"MetricName": "m", "Values": values[start : start + 100]})
    found = data(cw, now, stat("m", "p90"), stat("m", "p50", id="half"), stat("m", "Sum", id="s"))
    assert found["s"] == [500_500.0]
    assert abs(found["m"][0] - 900) < 20
    assert abs(found["half"][0] - 500) < 12


def test_dimensions_and_units_tell_metrics_apart(cw, now):
    def named(value: str) -> list[dict[str, str]]:
        return [{"Name": "d", "Value": value}]

    put(
        cw,
        {"MetricName": "m", "Dimensions": named("1"), "Value": 1},
        {"MetricName": "m", "Dimensions": named("2"), "Value": 2, "Unit": "Seconds"},
        {"MetricName": "o", "Value": 3},
    )
    put(cw, {"MetricName": "m", "Value": 4}, namespace="Other")
    listed = cw.list_metrics(Namespace="N", MetricName="m")["Metrics"]
    assert [m["Dimensions"] for m in listed] == [named("1"), named("2")]
    assert len(cw.list_metrics()["Metrics"]) == 4
    assert len(cw.list_metrics(Dimensions=[{"Name": "d"}])["Metrics"]) == 2
    assert len(cw.list_metrics(Dimensions=[{"Name": "d", "Value": "2"}])["Metrics"]) == 1
    span = {"StartTime": now - 60, "EndTime": now + 60, "Period": 60, "Statistics": ["Sum"]}
    found = cw.get_metric_statistics(
        Namespace="N", MetricName="m", Dimensions=named("2"), Unit="Seconds", **span
    )
    assert found["Datapoints"][0]["Sum"] == 2
    assert not cw.get_metric_statistics(
        Namespace="N", MetricName="m", Dimensions=named("2"), Unit="Bytes", **span
    )["Datapoints"]
    assert not cw.get_metric_statistics(Namespace="N", MetricName="m", **span)["Datapoints"]


def test_high_resolution_has_seconds(cw, now):
    put(
        cw,
        *(
            {
                "MetricName": "m",
                "Value": n,
                "Timestamp": now - 10 + n,
                "StorageResolution": 1,
            }
            for n in range(10)
        ),
    )
    assert data(cw, now, stat("m", "Sum", 5))["m"] == [10.0, 35.0]
    assert data(cw, now, stat("m", "Sum", 60))["m"] == [45.0]
    assert len(data(cw, now, stat("m", "Sum", 1))["m"]) == 10


def test_metric_math(cw, now):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html"""
    for minutes, a, b in ((3, 1.0, 4.0), (2, 2.0, 0.0), (1, 3.0, None)):
        at = now - 60 * minutes
        put(cw, {"MetricName": "A", "Value": a, "Timestamp": at})
        if b is not None:
            put(cw, {"MetricName": "B", "Value": b, "Timestamp": at})
    expressions = {
        "e1": ("a + b * 2", [9.0, 2.0]),
        "e2": ("a / b", [0.25]),
        "e3": ("SUM([a, b])", [5.0, 2.0, 3.0]),
        "e4": ("FILL(b, 0) - 1", [3.0, -1.0, -1.0]),
        "e5": ("IF(a > 1, a, 0)", [0.0, 2.0, 3.0]),
        "e6": ("a - MIN(a)", [0.0, 1.0, 2.0]),
        "e7": ("AVG(METRICS())", [2.5, 1.0, 3.0]),
        "e8": ("-a ^ 2", [-1.0, -4.0, -9.0]),
        "e9": ("RUNNING_SUM(a)", [1.0, 3.0, 6.0]),
        "e10": ("DIFF(a)", [1.0, 1.0]),
        "e11": ("(a > 1) AND (a < 3)", [0.0, 1.0, 0.0]),
        "e12": ("FILL(b, REPEAT)", [4.0, 0.0, 0.0]),
        "e13": ("e6 * 10", [0.0, 10.0, 20.0]),
        "e14": ("MAX(a) + PERIOD(a)", [63.0] * 3),
        "e15": ("SLICE(SORT(METRICS(), SUM, ASC), 0)", [4.0, 0.0]),
        "e16": ("SUM(SLICE(SORT(METRICS(), MAX, DESC), 0, 1))", [4.0, 0.0]),
        "e17": ("SUM(REMOVE_EMPTY([a, a / 0]))", [1.0, 2.0, 3.0]),
        "e18": ("DATAPOINT_COUNT(METRICS())", [2.0, 2.0, 1.0]),
        "e19": ("DIFF_TIME(a)", [60.0, 60.0]),
        "e20": ("MINUTE(a)", [57.0, 58.0, 59.0]),
        "e21": ("EPOCH(a) / 60 - MINUTE(a) - 60 * (EPOCH(a) / 3600 - MINUTE(a) / 60)", [0.0] * 3),
        "e22": ("AVG(METRICS('a'))", [1.0, 2.0, 3.0]),
    }
    queries = [{"Id": k, "Expression": text} for k, (text, _) in expressions.items()]
    hidden = [{**stat(n), "ReturnData": False} for n in ("A", "B")]
    found = data(cw, now, *hidden, *queries, StartTime=now - 180, EndTime=now)
    assert found == {k: values for k, (_, values) in expressions.items()}
    for text, said in (
        ("SELECT('x')", "SELECT is not offered by Stratolite"),
        ("SEARCH('(x', 'Sum', 60)", "a ) is missing"),
        ("SEARCH('{N', 'Sum', 60)", "SEARCH"),
        ("SEARCH(':aws.AccountId=1', 'Sum', 60)", "not offered"),
        ("SEARCH(a, 'Sum', 60)", "SEARCH: wrong number or kind of arguments"),
        ("SORT(a, SUM, ASC)", "SORT wants an array of time series"),
        ("SORT([a], SUM, UP)", "UP is not the id of a query"),
        ("SLICE([a], 0.5)", "a whole number"),
        ("nope + 1", "nope is not the id of a query"),
        ("a +", "unexpected end"),
    ):
        code, message = refused(
            cw.get_metric_data,
            MetricDataQueries=[stat("A"), {"Id": "e", "Expression": text}],
            StartTime=now - 60,
            EndTime=now,
        )
        assert code == "ValidationError"
        assert said in message


def test_data_is_given_in_pages_and_either_order(cw, now):
    for n in range(6):
        put(cw, {"MetricName": "m", "Value": n, "Timestamp": now - 60 * n})
    ask = {
        "MetricDataQueries": [stat("m")],
        "StartTime": now - 3600,
        "EndTime": now + 60,
        "MaxDatapoints": 4,
    }
    first = cw.get_metric_data(**ask)
    rest = cw.get_metric_data(**ask, NextToken=first["NextToken"])
    (one,), (two,) = first["MetricDataResults"], rest["MetricDataResults"]
    assert one["Values"] + two["Values"] == [0, 1, 2, 3, 4, 5], "the newest first"
    assert (one["StatusCode"], two["StatusCode"]) == ("PartialData", "Complete")
    assert "NextToken" not in rest


def test_wrong_data_is_refused_in_awss_words(cw, now):
    """Recorded by LocalStack against AWS: test_put_metric_data_validation, test_invalid_amount_of_datapoints."""
    ask = cw.put_metric_data

    def bad(**one: Any) -> tuple[str, str]:
        return refused(ask, Namespace="N", MetricData=[{"MetricName": "m", **one}])

    assert bad(Value=1, Values=[1]) == (
        "InvalidParameterCombination",
        (
            "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive"
            " and you have specified both."
        ),
    )
    assert bad(Values=[1, 2], Counts=[1]) == (
        "InvalidParameterValue",
        "The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size.",
    )
    assert bad(Value=1, Timestamp=now - 15 * 86_400)[0] == "InvalidParameterValue"
    assert bad(Value=1, Unit="Apples")[0] == "InvalidParameterValue"
    assert refused(ask, Namespace="AWS/SQS", MetricData=[{"MetricName": "m", "Value": 1}])[0] == (
        "InvalidParameterValue"
    )
    span = {"Namespace": "N", "MetricName": "m", "Statistics": ["Sum"], "Period": 1}
    assert refused(cw.get_metric_statistics, StartTime=now - 86_400, EndTime=now, **span) == (
        "InvalidParameterCombination",
        (
            "You have requested up to 86400 datapoints, which exceeds the limit of 1440. You may reduce the"
            " datapoints requested by increasing Period, or decreasing the time range."
        ),
    )
    assert refused(cw.get_metric_statistics, StartTime=now, EndTime=now, **span)[1] == (
        "The parameter StartTime must be less than the parameter EndTime."
    )


def test_old_points_go_and_coarse_ones_stay(platform, cw, now):
    """AWS keeps minutes 15 days, five minutes 63, hours 455."""
    put(cw, {"MetricName": "m", "Value": 3, "Timestamp": now, "StorageResolution": 1})

    def kept() -> dict[int, int]:
        from stratolite.core import Keyspace

        keys = Keyspace(ACCOUNT, "us-east-1", "cloudwatch")["point"]

        async def look() -> list[int]:
            return platform.cloud.db.peek(
                lambda tx: [keys.parts(key)[1] for key, _ in tx.scan(keys.span())]
            )

        found = platform.run(look())
        return {resolution: found.count(resolution) for resolution in set(found)}

    assert kept() == {1: 1, 60: 1, 300: 1, 3600: 1}
    jump(platform, 86_400)
    wait_for(lambda: kept() == {60: 1, 300: 1, 3600: 1})
    come_to_rest(platform, "cloudwatch.sweep")  # the next one is planned by the clock as it stands
    jump(platform, 16 * 86_400)
    wait_for(lambda: kept() == {300: 1, 3600: 1})
    span = {"StartTime": now - 3600, "EndTime": now + 3600, "Period": 3600, "Statistics": ["Sum"]}
    assert cw.get_metric_statistics(Namespace="N", MetricName="m", **span)["Datapoints"]
    assert cw.list_metrics()["Metrics"] == [], "nothing came for two weeks"
    come_to_rest(platform, "cloudwatch.sweep")
    jump(platform, 456 * 86_400)
    wait_for(lambda: kept() == {})


# -- alarms


def alarm(cw: Any, name: str = "a", **more: Any) -> None:
    cw.put_metric_alarm(
        **(
            {
                "AlarmName": name,
                "Namespace": "N",
                "MetricName": "m",
                "Statistic": "Average",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 10.0,
                "ComparisonOperator": "GreaterThanThreshold",
            }
            | more
        )
    )


def state(cw: Any, name: str = "a") -> str:
    found = cw.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    (one,) = found["MetricAlarms"] + found["CompositeAlarms"]
    return one["StateValue"]


def test_an_alarm_sees_its_metric_and_tells_its_topic(platform, client, cw, now):
    """Message and history as recorded by LocalStack against AWS: test_put_metric_alarm."""
    sns, sqs = client("sns"), client("sqs")
    topic = sns.create_topic(Name="t")["TopicArn"]
    queue_arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    url = sqs.create_queue(QueueName="q", Attributes={"Policy": policy})["QueueUrl"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue_arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    alarm(
        cw,
        AlarmActions=[topic],
        OKActions=[topic],
        Dimensions=[{"Name": "d", "Value": "v"}],
        AlarmDescription="why",
        Unit="Seconds",
        TreatMissingData="ignore",
    )
    (described,) = cw.describe_alarms()["MetricAlarms"]
    assert described["StateValue"] == "INSUFFICIENT_DATA"
    assert described["StateReason"] == "Unchecked: Initial alarm creation"
    assert described["AlarmArn"] == f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:a"
    one = {"MetricName": "m", "Unit": "Seconds", "Dimensions": [{"Name": "d", "Value": "v"}]}
    put(cw, one | {"Values": [21.0, 22.0]})
    jump(platform, 61)
    wait_for(lambda: state(cw) == "ALARM")
    (got,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)["Messages"]
    said = json.loads(got["Body"])
    assert said["AlarmName"] == "a"
    assert said["NewStateValue"] == "ALARM"
    assert said["OldStateValue"] == "INSUFFICIENT_DATA"
    assert said["Region"] == "US East (N. Virginia)"
    assert said["NewStateReason"].startswith("Threshold Crossed: 1 datapoint [21.5 (")
    assert said["NewStateReason"].endswith(")] was greater than the threshold (10.0).")
    assert said["Trigger"] == {
        "MetricName": "m",
        "Namespace": "N",
        "StatisticType": "Statistic",
        "Statistic": "AVERAGE",
        "Unit": "Seconds",
        "Dimensions": [{"name": "d", "value": "v"}],
        "Period": 60,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 10.0,
        "TreatMissingData": "ignore",
        "EvaluateLowSampleCountPercentile": "",
    }
    put(cw, one | {"Value": 1.0, "Timestamp": now + 61})
    jump(platform, 60)
    wait_for(lambda: state(cw) == "OK")
    items = wait_for(
        lambda: (
            (h := cw.describe_alarm_history(AlarmName="a")["AlarmHistoryItems"])
            and len(h) >= 5
            and h
        )
    )
    updates = [i for i in items if i["HistoryItemType"] == "StateUpdate"]
    assert [u["HistorySummary"] for u in updates] == [
        "Alarm updated from ALARM to OK",
        "Alarm updated from INSUFFICIENT_DATA to ALARM",
    ]
    told = json.loads(updates[1]["HistoryData"])
    assert told["newState"]["stateReasonData"]["recentDatapoints"] == [21.5]
    assert {i["HistorySummary"] for i in items if i["HistoryItemType"] == "Action"} == {
        f"Successfully executed action {topic}"
    }
    only = cw.describe_alarm_history(AlarmName="a", HistoryItemType="ConfigurationUpdate")
    assert [i["HistorySummary"] for i in only["AlarmHistoryItems"]] == ['Alarm "a" created']


def test_alarms_are_set_switched_found_and_deleted(client, cw):
    sns = client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    alarm(cw, "one", AlarmActions=[topic], Tags=[{"Key": "k", "Value": "v"}])
    alarm(cw, "two", MetricName="other", TreatMissingData="ignore")
    cw.disable_alarm_actions(AlarmNames=["one"])
    cw.set_alarm_state(AlarmName="one", StateValue="ALARM", StateReason="testing")
    assert state(cw, "one") == "ALARM"
    assert [a["AlarmName"] for a in cw.describe_alarms(StateValue="ALARM")["MetricAlarms"]] == [
        "one"
    ]
    assert len(cw.describe_alarms(AlarmNamePrefix="t")["MetricAlarms"]) == 1
    found = cw.describe_alarms_for_metric(Namespace="N", MetricName="other")["MetricAlarms"]
    assert [a["AlarmName"] for a in found] == ["two"]
    first = cw.describe_alarms(MaxRecords=1)
    rest = cw.describe_alarms(MaxRecords=1, NextToken=first["NextToken"])
    assert [a["AlarmName"] for a in first["MetricAlarms"] + rest["MetricAlarms"]] == ["one", "two"]
    arn = first["MetricAlarms"][0]["AlarmArn"]
    cw.tag_resource(ResourceARN=arn, Tags=[{"Key": "x", "Value": "y"}])
    cw.untag_resource(ResourceARN=arn, TagKeys=["k"])
    assert cw.list_tags_for_resource(ResourceARN=arn)["Tags"] == [{"Key": "x", "Value": "y"}]
    assert refused(cw.set_alarm_state, AlarmName="no", StateValue="OK", StateReason="x")[0] == (
        "ResourceNotFound"
    )
    code, message = refused(
        cw.set_alarm_state, AlarmName="one", StateValue="INVALID", StateReason="x"
    )
    assert code == "ValidationError"
    assert message == (
        "1 validation error detected: Value 'INVALID' at 'stateValue' failed to satisfy constraint: Member"
        " must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
    )
    assert "not offered" in refused_alarm(cw, AlarmActions=["arn:aws:automate:us-east-1:ec2:stop"])
    assert "not offered" in refused_alarm(cw, ThresholdMetricId="x")
    cw.delete_alarms(AlarmNames=["one", "two", "never"])
    assert cw.describe_alarms()["MetricAlarms"] == []


def refused_alarm(cw: Any, **more: Any) -> str:
    with pytest.raises(ClientError) as error:
        alarm(cw, "bad", **more)
    return error.value.response["Error"]["Message"]


def test_composite_alarms_follow_their_rules(cw):
    """As recorded by LocalStack against AWS: test_trigger_composite_alarm."""
    for name in ("one", "two"):
        alarm(cw, name, TreatMissingData="ignore")
    arn = f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm"
    rule = f'ALARM("{arn}:one") OR (ALARM(two) AND NOT OK("one"))'
    cw.put_composite_alarm(AlarmName="both", AlarmRule=rule)
    cw.set_alarm_state(AlarmName="one", StateValue="ALARM", StateReason="testing")
    (both,) = cw.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert both["StateValue"] == "ALARM"
    assert both["AlarmRule"] == rule
    assert both["StateReason"].startswith(f"{arn}:one transitioned to ALARM at ")
    assert json.loads(both["StateReasonData"])["triggeringAlarms"][0]["arn"] == f"{arn}:one"
    cw.set_alarm_state(AlarmName="one", StateValue="OK", StateReason="testing")
    cw.set_alarm_state(AlarmName="two", StateValue="ALARM", StateReason="testing")
    assert state(cw, "both") == "OK"
    children = cw.describe_alarms(ChildrenOfAlarmName="both")["MetricAlarms"]
    assert [a["AlarmName"] for a in children] == ["one", "two"]
    parents = cw.describe_alarms(ParentsOfAlarmName="one")["CompositeAlarms"]
    assert [a["AlarmName"] for a in parents] == ["both"]
    assert "depending on it" in refused(cw.delete_alarms, AlarmNames=["one"])[1]
    for bad in ("ALARM(", "ALARM(one) OR", "ALARM(nope)", "ALARM(both)", "MAYBE(one)"):
        assert refused(cw.put_composite_alarm, AlarmName="both", AlarmRule=bad)[0] == (
            "ValidationError"
        )


def test_a_search_finds_metrics_by_schema_and_terms(cw, now):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html"""
    for namespace, name, value, dimensions in (
        ("Shop", "Errors", 1, {"Function": "ProjectA-one"}),
        ("Shop", "Errors", 2, {"Function": "ProjectB-two"}),
        ("Shop", "Errors", 4, {"Function": "ProjectB-two", "Stage": "x"}),
        ("Shop", "Invocations", 8, {"Function": "ProjectA-one"}),
        ("Other", "VolumeReadOps", 16, {}),
    ):
        listed = [{"Name": n, "Value": v} for n, v in dimensions.items()]
        put(
            cw,
            {"MetricName": name, "Value": value, "Timestamp": now - 60, "Dimensions": listed},
            namespace=namespace,
        )

    def search(query: str, around: str = "{}") -> list[tuple[str, list[float]]]:
        text = around.format(f"SEARCH('{query}', 'Sum', 60)")
        found = cw.get_metric_data(
            MetricDataQueries=[{"Id": "e", "Expression": text}], StartTime=now - 60, EndTime=now
        )
        return [(one["Label"], one["Values"]) for one in found["MetricDataResults"]]

    assert search('{Shop,Function} MetricName="Errors"') == [
        ("ProjectA-one", [1]),
        ("ProjectB-two", [2]),
    ]
    assert search("{Shop,Function}") == [
        ("ProjectA-one Errors", [1]),
        ("ProjectB-two Errors", [2]),
        ("ProjectA-one Invocations", [8]),
    ]
    assert search("{Shop, Stage, Function}") == [("Errors", [4])]
    for query, values in (
        ("MetricName=ReadOps", [16]),
        ("readops", []),
        ("volume", [16]),
        ("Namespace=Shop NOT errors", [8]),
        ('"ProjectA-one" errors', [1]),
        ("Function=two", [2, 4]),
        ("(one OR volume) NOT MetricName=Errors", [8, 16]),
        ("project/b AND Stage=x", [4]),
        ("NOT Shop", [16]),
        (
            '{Shop,Function} MetricName="Errors" OR (MetricName="Invocations" AND (ProjectA OR ProjectB))',
            [1, 2, 8],
        ),
    ):
        assert sorted(v for _, found in search(query) for v in found) == values, query
    assert search("{Shop,Function} Errors", "SUM({})") == [("e", [3])]
    assert search("{Shop,Function} Errors", "SORT({}, MAX, DESC)") == [
        ("ProjectB-two", [2]),
        ("ProjectA-one", [1]),
    ]
    code, said = refused(
        cw.put_metric_alarm,
        AlarmName="s",
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Metrics=[{"Id": "e", "Expression": "SUM(SEARCH('x', 'Sum', 60))"}],
    )
    assert (code, "SEARCH" in said) == ("ValidationError", True)


def test_labels_say_what_differs_and_what_they_are_told_to(cw, now):
    """test_label_generation in tests/aws/services/cloudwatch/test_cloudwatch.snapshot.json of LocalStack, as AWS answered."""
    put(
        cw,
        *(
            {"MetricName": "metric1", "Value": v, "Unit": "Seconds", "Timestamp": now - 60}
            for v in (0, 2, 7, 100)
        ),
    )

    def labels(*pairs: tuple[str, int], **more: Any) -> list[str]:
        queries = [stat("metric1", *pair, id=f"r{n}") | more for n, pair in enumerate(pairs)]
        found = cw.get_metric_data(MetricDataQueries=queries, StartTime=now - 60, EndTime=now)
        return [result["Label"] for result in found["MetricDataResults"]]

    assert labels(("Sum", 60), ("Minimum", 30)) == ["metric1 Sum 60", "metric1 Minimum 30"]
    assert labels(("Sum", 60), ("Minimum", 60)) == ["metric1 Sum", "metric1 Minimum"]
    assert labels(("Sum", 60), ("Sum", 30)) == ["metric1 60", "metric1 30"]
    assert labels(("Sum", 60), ("Sum", 60)) == ["metric1", "metric1"]
    assert labels(("Sum", 60), Label="of all") == ["of all"]
    told = "${PROP('MetricName')} ${PROP('Stat')}: ${MAX} of ${LABEL} ${PROP('Dim.d')}|${NONE}"
    assert labels(("Sum", 60), Label=told) == ["metric1 Sum: 109 of metric1 |${NONE}"]
    wrong = stat("metric1") | {"Label": "${LAST_TIME}"}
    code, said = refused(cw.get_metric_data, MetricDataQueries=[wrong], StartTime=now - 60, EndTime=now)  # fmt: skip
    assert code == "ValidationError"
    assert "LAST_TIME} in a label is not offered" in said


def test_data_of_several_units_is_that_of_one_and_says_so(cw, now):
    """test_get_metric_data_different_units_no_unit_in_query of the same snapshots: the first of AWS's list that there is."""
    several = [
        {"MetricName": "m", "Value": v, "Unit": u, "Timestamp": now - 60}
        for v, u in ((60000, "Milliseconds"), (60, "Seconds"))
    ]

    def answered() -> Any:
        query = stat("m", id="m1")
        (result,) = cw.get_metric_data(MetricDataQueries=[query], StartTime=now - 60, EndTime=now)[
            "MetricDataResults"
        ]
        return result["Values"], [m["Value"] for m in result.get("Messages", [])]

    put(cw, *several)
    assert answered() == ([60000], ["Multiple units returned: '[Milliseconds, Seconds]'"])
    put(cw, {"MetricName": "m", "Value": 5, "Unit": "Count", "Timestamp": now - 60})
    assert answered() == ([5], ["Multiple units returned: '[Count, Milliseconds, Seconds]'"])


def test_extended_statistics_are_read_in_both_ways(cw, now):
    put(
        cw,
        {
            "MetricName": "m",
            "Values": [1, 2, 3, 4, 100],
            "Counts": [1, 1, 1, 1, 1],
            "Timestamp": now - 60,
        },
    )
    span = {"StartTime": now - 60, "EndTime": now, "Period": 60}
    names = ["p50", "tm80", "PR(:3)", "IQM"]
    (point,) = cw.get_metric_statistics(
        Namespace="N", MetricName="m", ExtendedStatistics=names, **span
    )["Datapoints"]
    assert point["ExtendedStatistics"] == {"p50": 3, "tm80": 2.5, "PR(:3)": 60, "IQM": 3}
    query = stat("m", id="m1")
    query["MetricStat"]["Stat"] = "TS(:4)"
    assert data(cw, now, query, StartTime=now - 60, EndTime=now) == {"m1": [10]}
    for wrong in ("Sum", "tm"):
        code, _ = refused(
            cw.get_metric_statistics,
            Namespace="N",
            MetricName="m",
            ExtendedStatistics=[wrong],
            **span,
        )
        assert code == "InvalidParameterValue"


def told(client: Any, url: str) -> list[str]:
    """What the topics told the queue, one after the other."""
    found = []
    while answer := client("sqs").receive_message(QueueUrl=url).get("Messages"):
        client("sqs").delete_message(QueueUrl=url, ReceiptHandle=answer[0]["ReceiptHandle"])
        said = json.loads(json.loads(answer[0]["Body"])["Message"])
        found.append(f"{said['AlarmName']} {said['OldStateValue']} -> {said['NewStateValue']}")
    return found


def test_a_suppressor_holds_the_actions_of_a_composite_alarm(platform, client, cw):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-suppression.html"""
    url, arn = queue(client, services=("sns.amazonaws.com",))
    topic = client("sns").create_topic(Name="t")["TopicArn"]
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for name in ("child", "quiet"):
        alarm(cw, name, TreatMissingData="ignore")
        cw.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="made")
    whole = {
        "AlarmName": "both", "AlarmRule": "ALARM(child)", "AlarmActions": [topic], "OKActions": [topic], "ActionsSuppressor": "quiet",
        "ActionsSuppressorWaitPeriod": 120, "ActionsSuppressorExtensionPeriod": 180,
    }  # fmt: skip
    for name in ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod"):
        assert (
            name
            in refused(cw.put_composite_alarm, **{k: v for k, v in whole.items() if k != name})[1]
        )
    assert (
        "does not exist"
        in refused(cw.put_composite_alarm, **whole | {"ActionsSuppressor": "nope"})[1]
    )
    cw.put_composite_alarm(**whole)

    def is_(name: str, value: str) -> None:
        cw.set_alarm_state(AlarmName=name, StateValue=value, StateReason="test")

    def by() -> tuple[str, str]:
        (both,) = cw.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
        assert both["ActionsSuppressor"] == "quiet"
        return both["StateValue"], both.get("ActionsSuppressedBy", "")

    def passes(seconds: float) -> list[str]:
        jump(platform, seconds)
        come_to_rest(platform, "cloudwatch.release", "cloudwatch.action", "sns.fanout")
        return told(client, url)

    assert by() == ("OK", "WaitPeriod")  # from INSUFFICIENT_DATA
    assert passes(121) == ["both INSUFFICIENT_DATA -> OK"]
    is_("child", "ALARM")
    assert by() == ("ALARM", "WaitPeriod")
    assert passes(60) == []
    is_("quiet", "ALARM")
    assert by() == ("ALARM", "Alarm")
    assert passes(600) == [], "as long as the suppressor is in ALARM"
    is_("quiet", "OK")
    assert by() == ("ALARM", "ExtensionPeriod")
    assert passes(170) == []
    assert passes(11) == ["both OK -> ALARM"]
    assert by() == ("ALARM", "")
    is_("child", "OK")
    is_("child", "ALARM")
    assert passes(121) == [], "back where it was before the wait was over"
    assert "depending on it" in refused(cw.delete_alarms, AlarmNames=["quiet"])[1]
    is_("child", "OK")
    cw.put_composite_alarm(
        **{k: v for k, v in whole.items() if not k.startswith("ActionsSuppressor")}
    )
    assert passes(600) == [], "what was held by a suppressor that is gone is not carried out"
    is_("child", "ALARM")
    assert passes(0) == ["both OK -> ALARM"]
    cw.delete_alarms(AlarmNames=["quiet"])


def test_a_percentile_of_too_few_samples_changes_nothing_if_so_told(platform, cw, now):
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html: p90 needs 10 / (1 - 0.9)."""
    for name, told_to in (("waits", "ignore"), ("acts", "evaluate")):
        cw.put_metric_alarm(
            AlarmName=name, Namespace="N", MetricName="m", ExtendedStatistic="p90", Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold", EvaluateLowSampleCountPercentile=told_to,
        )  # fmt: skip
    put(cw, {"MetricName": "m", "Values": [2.0], "Counts": [99.0]})
    jump(platform, 61)
    wait_for(lambda: state(cw, "acts") == "ALARM")
    assert state(cw, "waits") == "INSUFFICIENT_DATA"
    put(
        cw,
        {
            "MetricName": "m",
            "Values": [2.0],
            "Counts": [100.0],
            "Timestamp": platform.world.cloud(),
        },
    )
    jump(platform, 61)
    wait_for(lambda: state(cw, "waits") == "ALARM")
    (found,) = cw.describe_alarms(AlarmNames=["waits"])["MetricAlarms"]
    (point,) = json.loads(found["StateReasonData"])["evaluatedDatapoints"]
    assert (point["sampleCount"], point["value"]) == (100, 2)
    assert (
        "supported"
        in refused(
            cw.put_metric_alarm,
            AlarmName="x",
            Namespace="N",
            MetricName="m",
            ExtendedStatistic="p90",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            EvaluateLowSampleCountPercentile="maybe",
        )[1]
    )


def test_tags_of_what_is_gone_are_none(cw):
    """list_tags_for_deleted_resource in LocalStack's snapshots, as AWS answered."""
    alarm(cw, Tags=[{"Key": "k", "Value": "v"}])
    (found,) = cw.describe_alarms()["MetricAlarms"]
    assert cw.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == [
        {"Key": "k", "Value": "v"}
    ]
    cw.delete_alarms(AlarmNames=["a"])
    assert cw.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"] == []


def test_an_alarm_on_an_expression(platform, cw, now):
    cw.put_metric_alarm(
        AlarmName="rate",
        EvaluationPeriods=1,
        Threshold=0.5,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Metrics=[
            {"Id": "e", "Expression": "errors / all"},
            {**stat("Errors", id="errors"), "ReturnData": False},
            {**stat("All", id="all"), "ReturnData": False},
        ],
    )
    put(cw, {"MetricName": "Errors", "Value": 3}, {"MetricName": "All", "Value": 4})
    jump(platform, 61)
    wait_for(lambda: state(cw, "rate") == "ALARM")


def test_dashboards_are_kept_as_they_are(cw):
    body = json.dumps({"widgets": [{"type": "metric"}]})
    cw.put_dashboard(DashboardName="d", DashboardBody=body)
    found = cw.get_dashboard(DashboardName="d")
    assert found["DashboardBody"] == body
    assert found["DashboardArn"] == f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/d"
    (entry,) = cw.list_dashboards(DashboardNamePrefix="d")["DashboardEntries"]
    assert entry["Size"] == len(body)
    assert refused(cw.put_dashboard, DashboardName="d !", DashboardBody=body) == (
        "InvalidParameterValue",
        (
            "The value for field DashboardName contains invalid characters. It can only contain alphanumerics,"
            " dash (-) and underscore (_).\n"
        ),
    )
    assert refused(cw.put_dashboard, DashboardName="d", DashboardBody="{")[0] == (
        "InvalidParameterInput"
    )
    cw.delete_dashboards(DashboardNames=["d"])
    assert refused(cw.get_dashboard, DashboardName="d")[0] == "ResourceNotFound"


def test_a_stack_makes_alarms_and_dashboards(client, cw):
    cfn = client("cloudformation")
    template = {
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic"},
            "Alarm": {
                "Type": "AWS::CloudWatch::Alarm",
                "Properties": {
                    "Namespace": "AWS/SQS",
                    "MetricName": "ApproximateNumberOfMessagesVisible",
                    "Dimensions": [{"Name": "QueueName", "Value": "q"}],
                    "Statistic": "Sum",
                    "Period": "300",
                    "EvaluationPeriods": 1,
                    "Threshold": "1",
                    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
                    "AlarmActions": [{"Ref": "Topic"}],
                    "Tags": [{"Key": "k", "Value": "v"}],
                },
            },
            "Both": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": {"AlarmRule": {"Fn::Sub": 'ALARM("${Alarm}")'}},
            },
            "Board": {
                "Type": "AWS::CloudWatch::Dashboard",
                "Properties": {"DashboardBody": '{"widgets": []}'},
            },
        },
        "Outputs": {
            "Alarm": {"Value": {"Ref": "Alarm"}},
            "Arn": {"Value": {"Fn::GetAtt": ["Alarm", "Arn"]}},
        },
    }

    def wait(what: str) -> None:
        cfn.get_waiter(f"stack_{what}_complete").wait(
            StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
        )

    cfn.create_stack(StackName="s", TemplateBody=json.dumps(template))
    wait("create")
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    made = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    (one,) = cw.describe_alarms(AlarmNames=[made["Alarm"]])["MetricAlarms"]
    assert (one["AlarmArn"], one["Threshold"], one["Period"]) == (made["Arn"], 1.0, 300)
    assert drifted(cfn, "s") == {}
    template["Resources"]["Alarm"]["Properties"]["Threshold"] = 5
    cfn.update_stack(StackName="s", TemplateBody=json.dumps(template))
    wait("update")
    (one,) = cw.describe_alarms(AlarmNames=[made["Alarm"]])["MetricAlarms"]
    assert one["Threshold"] == 5.0
    cfn.delete_stack(StackName="s")
    wait("delete")
    assert cw.describe_alarms()["MetricAlarms"] == []
    assert cw.list_dashboards()["DashboardEntries"] == []


def test_what_the_services_did_becomes_metrics(platform, client, cw, now):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""
    sqs, sns = client("sqs"), client("sns")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    alarm(
        cw,
        "backlog",
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": "q"}],
        Statistic="Maximum",
        Threshold=1.0,
    )
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="hello")
    (got,) = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.publish(TopicArn=topic, Message="m")

    def flush() -> None:
        platform.run(platform.cloud.metrics.flush())

    def total(namespace: str, dimension: tuple[str, str], name: str, kind: str = "Sum") -> float:
        found = cw.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": dimension[0], "Value": dimension[1]}],
            StartTime=now - 60,
            EndTime=now + 3600,
            Period=3600,
            Statistics=[kind],
        )["Datapoints"]
        return found[0][kind] if found else -1

    flush()
    queue = ("QueueName", "q")
    assert total("AWS/SQS", queue, "NumberOfMessagesSent") == 3
    assert total("AWS/SQS", queue, "SentMessageSize", "Average") == 5
    assert total("AWS/SQS", queue, "NumberOfMessagesReceived") == 1
    assert total("AWS/SQS", queue, "NumberOfMessagesDeleted") == 1
    assert total("AWS/SNS", ("TopicName", "t"), "NumberOfMessagesPublished") == 1
    jump(platform, 61)

    def backlog() -> bool:
        flush()
        return total("AWS/SQS", queue, "ApproximateNumberOfMessagesVisible", "Maximum") == 2

    wait_for(backlog)
    jump(platform, 60)
    wait_for(lambda: state(cw, "backlog") == "ALARM")


def test_a_queue_of_groups_says_what_waits_beside_the_noisy_ones(platform, client, cw, now):
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    one = {"MessageBody": "m", "MessageGroupId": "noisy"}
    for _ in range(5):
        entries = [{"Id": str(n), **one} for n in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    for _ in range(4):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="m", MessageGroupId="quiet")
    sqs.send_message(QueueUrl=url, **one)
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=600)
    sqs.send_message(QueueUrl=url, MessageBody="m", DelaySeconds=600)
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    url = sqs.create_queue(QueueName="q.fifo", Attributes=fifo)["QueueUrl"]
    for group in ("a", "b", "c", "c"):
        sqs.send_message(QueueUrl=url, MessageBody=group, MessageGroupId=group)
    sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2, VisibilityTimeout=600)
    jump(platform, 61)

    def latest(name: str, queue: str = "q") -> float:
        platform.run(platform.cloud.metrics.flush())
        found = cw.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName=name,
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - 60,
            EndTime=now + 3600,
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]
        return found[0]["Maximum"] if found else -1

    wait_for(lambda: latest("ApproximateNumberOfNoisyGroups") == 1)
    assert latest("ApproximateNumberOfMessagesVisible") == 12
    assert latest("ApproximateNumberOfMessagesVisibleInQuietGroups") == 1
    assert latest("ApproximateNumberOfMessagesNotVisible") == 41
    assert latest("ApproximateNumberOfMessagesNotVisibleInQuietGroups") == 1
    assert latest("ApproximateNumberOfMessagesDelayedInQuietGroups") == 1
    assert latest("ApproximateAgeOfOldestMessageInQuietGroups") >= 1
    assert latest("ApproximateNumberOfGroupsWithInflightMessages", "q.fifo") == 2
    assert latest("NumberOfDeduplicatedSentMessages", "q.fifo") == 1
    assert latest("ApproximateNumberOfNoisyGroups", "q.fifo") == -1


@pytest.mark.parametrize("is_fifo", [False, True])
def test_messages_whose_time_has_come_are_visible_though_nobody_looks(platform, client, cw, now, is_fifo):  # fmt: skip
    """Alarms on a dead-letter queue, which nobody receives from, look at nothing else."""
    sqs = client("sqs")
    more = {"MessageGroupId": "g"} if is_fifo else {}
    given = {"FifoQueue": "true", "ContentBasedDeduplication": "true"} if is_fifo else {}
    name = "q.fifo" if is_fifo else "q"
    url = sqs.create_queue(QueueName=name, Attributes={**given, "DelaySeconds": "20"})["QueueUrl"]
    for text in ("received", "delayed"):
        sqs.send_message(QueueUrl=url, MessageBody=text, **more)
        if text == "received":
            jump(platform, 21)
            assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=25)["Messages"]
    jump(platform, 61)

    def latest(metric: str) -> float:
        platform.run(platform.cloud.metrics.flush())
        found = cw.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName=metric,
            Dimensions=[{"Name": "QueueName", "Value": name}],
            StartTime=now - 60,
            EndTime=now + 3600,
            Period=3600,
            Statistics=["Maximum"],
        )["Datapoints"]
        return found[0]["Maximum"] if found else -1

    wait_for(lambda: latest("ApproximateNumberOfMessagesVisible") == 2)
    assert latest("ApproximateNumberOfMessagesNotVisible") == 0
    assert latest("ApproximateNumberOfMessagesDelayed") == 0
