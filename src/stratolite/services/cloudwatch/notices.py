"""What alarms send when their state changes: to topics, to functions, to the default event bus.

Sources  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
         https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html
         https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from stratolite.service_events import Entry, entry
from stratolite.services.cloudwatch.state import Record

_REGIONS = {
    "us-east-1": "US East (N. Virginia)",
    "us-east-2": "US East (Ohio)",
    "us-west-1": "US West (N. California)",
    "us-west-2": "US West (Oregon)",
    "eu-west-1": "EU (Ireland)",
    "eu-west-2": "EU (London)",
    "eu-west-3": "EU (Paris)",
    "eu-central-1": "EU (Frankfurt)",
    "eu-north-1": "EU (Stockholm)",
    "ap-northeast-1": "Asia Pacific (Tokyo)",
    "ap-southeast-1": "Asia Pacific (Singapore)",
    "ap-southeast-2": "Asia Pacific (Sydney)",
    "ap-south-1": "Asia Pacific (Mumbai)",
    "ca-central-1": "Canada (Central)",
    "sa-east-1": "South America (Sao Paulo)",
}


def when(ms: int) -> str:
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}+0000"


def region_name(region: str) -> str:
    return _REGIONS.get(region, region)


def subject(alarm: Record, region: str) -> str:
    return f'{alarm["state"]}: "{alarm["name"]}" in {region_name(region)}'[:100]


def topic_message(alarm: Record, old: Record, account: str, region: str) -> str:
    """``old`` is the alarm before its state changed."""
    settings = alarm["settings"]
    said: dict[str, Any] = {
        "AlarmName": alarm["name"],
        "AlarmDescription": settings.get("AlarmDescription"),
        "AWSAccountId": account,
        "AlarmConfigurationUpdatedTimestamp": when(alarm["updated_ms"]),
        "NewStateValue": alarm["state"],
        "NewStateReason": alarm["reason"],
        "StateChangeTime": when(alarm["changed_ms"]),
        "Region": region_name(region),
        "AlarmArn": alarm["arn"],
        "OldStateValue": old["state"],
        "OKActions": settings.get("OKActions", []),
        "AlarmActions": settings.get("AlarmActions", []),
        "InsufficientDataActions": settings.get("InsufficientDataActions", []),
        "ActionExecutedAfterMuteWindow": False,
    }
    if alarm["kind"] == "metric":
        said["Trigger"] = _trigger(settings)
    else:
        said["AlarmRule"] = settings["AlarmRule"]
        if alarm.get("reason_data"):
            triggers = orjson.loads(alarm["reason_data"]).get("triggeringAlarms", [])
            said["TriggeringChildren"] = [
                {
                    "Arn": one["arn"],
                    "State": {
                        "Value": one["state"]["value"],
                        "Timestamp": one["state"]["timestamp"],
                    },
                }
                for one in triggers
            ]
    return orjson.dumps(said).decode()


def _trigger(settings: Record) -> Record:
    common = {
        "Period": settings.get("Period") or _period(settings.get("Metrics") or ()),
        "EvaluationPeriods": settings["EvaluationPeriods"],
        "ComparisonOperator": settings["ComparisonOperator"],
        "Threshold": settings.get("Threshold"),
        "TreatMissingData": settings.get("TreatMissingData", ""),
        "EvaluateLowSampleCountPercentile": settings.get("EvaluateLowSampleCountPercentile", ""),
    }
    if "DatapointsToAlarm" in settings:
        common["DatapointsToAlarm"] = settings["DatapointsToAlarm"]
    if "Metrics" in settings:
        return {**common, "Metrics": [_shown_query(one) for one in settings["Metrics"]]}
    percentile = settings.get("ExtendedStatistic")
    names = {"SampleCount": "SAMPLE_COUNT"}
    plain = settings.get("Statistic", "")
    return {
        "MetricName": settings["MetricName"],
        "Namespace": settings["Namespace"],
        "StatisticType": "ExtendedStatistic" if percentile else "Statistic",
        **(
            {"ExtendedStatistic": percentile}
            if percentile
            else {"Statistic": names.get(plain, plain.upper())}
        ),
        "Unit": settings.get("Unit"),
        "Dimensions": [
            {"value": d["Value"], "name": d["Name"]} for d in settings.get("Dimensions", [])
        ],
        **common,
    }


def _period(queries: Sequence[Record]) -> int | None:
    """Of the metrics an expression is made of, which all have one."""
    periods = (one["MetricStat"]["Period"] for one in queries if one.get("MetricStat"))
    return next(periods, None)


def _shown_query(one: Record) -> Record:
    """As it was given, with dimensions as a topic's message has them."""
    if not one.get("MetricStat"):
        return one
    stat = one["MetricStat"]
    shown = [{"value": d["Value"], "name": d["Name"]} for d in stat["Metric"].get("Dimensions", ())]
    return {**one, "MetricStat": {**stat, "Metric": {**stat["Metric"], "Dimensions": shown}}}


def alarm_data(alarm: Record, old: Record) -> Record:
    """The alarm as functions and the event bus are told of it."""
    settings = alarm["settings"]
    configuration: Record = {}
    if settings.get("AlarmDescription"):
        configuration["description"] = settings["AlarmDescription"]
    if alarm["kind"] == "metric":
        configuration["metrics"] = _metrics(alarm)
    else:
        configuration["alarmRule"] = settings["AlarmRule"]
        for name in suppression_settings(settings):
            configuration[name[0].lower() + name[1:]] = settings[name]
    return {
        "alarmName": alarm["name"],
        "state": _state(alarm),
        "previousState": _state(old),
        "configuration": configuration,
    }


def _state(alarm: Record) -> Record:
    said = {
        "value": alarm["state"],
        "reason": alarm["reason"],
        "timestamp": when(alarm["changed_ms"]),
    }
    if alarm.get("reason_data"):
        said["reasonData"] = alarm["reason_data"]
    if suppressed := alarm.get("suppressed"):
        said["actionsSuppressedBy"] = suppressed["by"]
        said["actionsSuppressedReason"] = suppressed_reason(suppressed)
    return said


def _metrics(alarm: Record) -> list[Record]:
    settings = alarm["settings"]
    if "Metrics" in settings:
        return [_query(one) for one in settings["Metrics"]]
    stat = {
        "metric": {
            "namespace": settings["Namespace"],
            "name": settings["MetricName"],
            "dimensions": {d["Name"]: d["Value"] for d in settings.get("Dimensions", [])},
        },
        "period": settings["Period"],
        "stat": settings.get("Statistic") or settings["ExtendedStatistic"],
    }
    if settings.get("Unit"):
        stat["unit"] = settings["Unit"]
    return [{"id": alarm["id"], "metricStat": stat, "returnData": True}]


def _query(one: Record) -> Record:
    said: Record = {"id": one["Id"], "returnData": one.get("ReturnData", True)}
    if one.get("Expression"):
        said["expression"] = one["Expression"]
    if one.get("Label"):
        said["label"] = one["Label"]
    if stat := one.get("MetricStat"):
        metric = stat["Metric"]
        said["metricStat"] = {
            "metric": {
                "namespace": metric.get("Namespace"),
                "name": metric.get("MetricName"),
                "dimensions": {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])},
            },
            "period": stat["Period"],
            "stat": stat["Stat"],
        }
    return said


def suppressed_reason(suppressed: Record) -> str:
    return f"Actions suppressed by {suppressed['by']}"


def suppression_settings(settings: Record) -> list[str]:
    return [name for name in settings if name.startswith("ActionsSuppressor")]


def function_event(alarm: Record, old: Record, account: str, region: str) -> bytes:
    return orjson.dumps({
        "source": "aws.cloudwatch",
        "alarmArn": alarm["arn"],
        "accountId": account,
        "time": when(alarm["changed_ms"]),
        "region": region,
        "alarmData": alarm_data(alarm, old),
    })  # fmt: skip


def configuration_entry(alarm: Record, operation: str, old: Record | None = None) -> Entry:
    """An alarm that was made, changed or deleted (create, update, delete), for the default bus.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    detail = {
        "alarmName": alarm["name"],
        "operation": operation,
        "state": _state(alarm),
        "configuration": _settings(alarm),
    }
    if old is not None:
        detail["previousConfiguration"] = _settings(old)
    return entry("aws.cloudwatch", "CloudWatch Alarm Configuration Change", [alarm["arn"]], detail, time_s=alarm["updated_ms"] / 1000)  # fmt: skip


def _settings(alarm: Record) -> Record:
    """All of the settings, members beginning small: ``alarmActions``, ``evaluationPeriods`` ..."""
    given = alarm["settings"]
    shown = {name[0].lower() + name[1:]: given[name] for name in given if name not in _OF_METRIC}
    if "alarmDescription" in shown:
        shown["description"] = shown.pop("alarmDescription")
    if "oKActions" in shown:
        shown["okActions"] = shown.pop("oKActions")
    if alarm["kind"] == "metric":
        shown["metrics"] = _metrics(alarm)
    return {**shown, "alarmName": alarm["name"], "timestamp": when(alarm["updated_ms"])}


_OF_METRIC = frozenset({
    "MetricName", "Namespace", "Dimensions", "Period", "Statistic", "ExtendedStatistic", "Unit", "Metrics",
})  # fmt: skip


def bus_entry(alarm: Record, old: Record) -> Entry:
    data, time_s = alarm_data(alarm, old), alarm["changed_ms"] / 1000
    return entry("aws.cloudwatch", "CloudWatch Alarm State Change", [alarm["arn"]], data, time_s=time_s)  # fmt: skip
