"""Metric filters: what matches of a group's events is counted or measured, and becomes data of a metric.

Kept in the group's record, as subscription filters are, so that writing to a group without one reads nothing more: {name, pattern,
transformation: {namespace, metric, value, default or null, dimensions {name: selector}, unit or ""}, created_ms, token}. Their names
stand under ("metric-filter", name, group), too, for who asks for filters of all groups.

What the events of one PutLogEvents say is a job ``logs.metrics`` in its transaction (``worker``), so each event counts once. An event
that matches gives the value, or the number its selector finds and nothing if it finds none; one that does not match gives the default
if there is one. A dimension is left out of an event that has no value for it. Values of one minute go as one datum.

Sources  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html
         https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutMetricFilter.html
"""

from __future__ import annotations

import math
import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.logs import patterns, state, worker
from stratolite.services.logs.events import Written, group_name, group_of, page_size
from stratolite.services.logs.patterns import Pattern, Text
from stratolite.services.logs.state import Record
from stratolite.services.logs.subscriptions import Subscriptions, check_expressions, filters

_FILTERS_MAX = 100
_DIMENSIONS_MAX = 3
_MESSAGES_MAX = 50
_VALUES_MAX = 150
_VALUE_MAX = 2.0**360
_MINUTE_MS = 60_000
_PAGE, _LOOKED_AT_MAX = 50, 1000
_NAME = re.compile(r"[^:*]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_NOT_OFFERED = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFieldDimensions")
_UNITS = frozenset(
    f"{size}{rate}"
    for size in (*(f"{prefix}{unit}" for unit in ("ytes", "its") for prefix in ("B", "Kilob", "Megab", "Gigab", "Terab")), "Count")
    for rate in ("", "/Second")
) | {"Seconds", "Microseconds", "Milliseconds", "Percent", "None"}  # fmt: skip


class MetricFilters(Subscriptions):
    def put_metric_filter(self, call: Call, request: Request) -> Response:
        _check_name("filterName", request["filterName"])
        pattern = patterns.compiled(request["filterPattern"], "metric ")
        transformation = _transformation(request, pattern)
        for member in _NOT_OFFERED:
            if request.get(member):
                raise _bad(f"{member} is not offered by Stratolite; see docs/coverage.md")
        name, group = request["filterName"], group_of(call, request)
        old = next((one for one in metric_filters(group) if one["name"] == name), None)
        others = [one for one in metric_filters(group) if one is not old]
        token = request.get("StackToken")  # not AWS's: a stack's step finds what it made before
        if old is not None and token and old["token"] != token:
            raise Fault("ResourceAlreadyExistsException", f"The metric filter {name} already exists")  # fmt: skip
        if len(others) >= _FILTERS_MAX:
            raise Fault("LimitExceededException", "Resource limit exceeded.")
        check_expressions(pattern, [*others, *filters(group)])
        made = {
            "name": name,
            "pattern": request["filterPattern"],
            "transformation": transformation,
            "created_ms": old["created_ms"] if old else int(call.tx.time_s * 1000),
            "token": old["token"] if old else token,
        }
        self._keep_metric_filters(call, request, group, [*others, made])
        if old is None:
            state.put_metric_filter(call.tx, call.keys("logs"), name, group_name(call, request))
        return {}

    def describe_metric_filters(self, call: Call, request: Request) -> Response:
        prefix, most = request.get("filterNamePrefix") or "", page_size(request, _PAGE)
        _check_name("filterNamePrefix", prefix)
        for member in ("metricName", "metricNamespace"):
            _check_length(member, request.get(member) or "", 255)
        if bool(request.get("metricName")) != bool(request.get("metricNamespace")):
            raise _bad("You must specify both metricName and metricNamespace.")
        after = request.get("nextToken") or ""
        found: list[Response] = []
        place = after
        for looked_at, (name, group, one) in enumerate(self._of(call, request, prefix, after)):
            if len(found) == most or looked_at == _LOOKED_AT_MAX:
                return {"metricFilters": found, "nextToken": place}
            place = f"{name}:{group}"
            if one is not None and _is_asked_for(one, request):
                found.append(_described(group, one))
        return {"metricFilters": found}

    def _of(self, call: Call, request: Request, prefix: str, after: str) -> Any:
        """(name, group, filter), by name and group, behind a place."""
        name_after, _, group_after = after.partition(":")
        if request.get("logGroupName"):
            for one in sorted(metric_filters(group_of(call, request)), key=lambda f: str(f["name"])):  # fmt: skip
                if one["name"].startswith(prefix) and (not after or one["name"] > name_after):
                    yield one["name"], request["logGroupName"], one
            return
        keys = call.keys("logs")
        for name, group in state.metric_filters(call.tx, keys, prefix, (name_after, group_after)):
            record = state.get_group(call.tx, keys, group)
            every = metric_filters(record) if record else []
            yield name, group, next((one for one in every if one["name"] == name), None)

    def delete_metric_filter(self, call: Call, request: Request) -> Response:
        name = request["filterName"]
        _check_name("filterName", name)
        group = group_of(call, request)
        left = [one for one in metric_filters(group) if one["name"] != name]
        if len(left) == len(metric_filters(group)):
            raise Fault("ResourceNotFoundException", "The specified metric filter does not exist.")
        self._keep_metric_filters(call, request, group, left)
        state.drop_metric_filter(call.tx, call.keys("logs"), name, group_name(call, request))
        return {}

    def test_metric_filter(self, call: Call, request: Request) -> Response:
        pattern = patterns.compiled(request["filterPattern"], "metric ")
        messages = request["logEventMessages"]
        if not 1 <= len(messages) <= _MESSAGES_MAX:
            side = "greater than or equal to 1" if not messages else f"less than or equal to {_MESSAGES_MAX}"  # fmt: skip
            raise _bad(
                f"1 validation error detected: Value '[{', '.join(messages)}]' at 'logEventMessages' failed to satisfy"
                f" constraint: Member must have length {side}"
            )
        texts = [Text(message) for message in messages]
        return {
            "matches": [
                {"eventNumber": number, "eventMessage": text.message, "extractedValues": pattern.extracted(text)}
                for number, text in enumerate(texts)
                if pattern.holds(text)
            ]
        }  # fmt: skip

    def observe(self, call: Call, group: Record, events: list[Written]) -> None:
        data: dict[str, list[dict[str, Any]]] = {}
        texts = [(ms, Text(message)) for ms, _, message in events]
        for one in metric_filters(group):
            namespace = one["transformation"]["namespace"]
            data.setdefault(namespace, []).extend(_data(one, texts))
        for namespace, found in data.items():
            worker.leave_metrics(call, namespace, found)

    def _keep_metric_filters(
        self, call: Call, request: Request, group: Record, found: list[Record]
    ) -> None:
        kept = {**group, "metric_filters": found}
        state.put_group(call.tx, call.keys("logs"), group_name(call, request), kept)


def metric_filters(group: Record) -> list[Record]:
    """Of a group; records that are older have none."""
    found: list[Record] = group.get("metric_filters") or []
    return found


def _data(one: Record, texts: list[tuple[int, Text]]) -> list[dict[str, Any]]:
    """What the events say of the filter's metric, as PutMetricData takes it."""
    said, pattern = one["transformation"], patterns.compiled(one["pattern"])
    found: dict[tuple[int, tuple[tuple[str, str], ...]], tuple[int, dict[float, int]]] = {}
    for ms, text in texts:
        dimensions: tuple[tuple[str, str], ...] = ()
        if pattern.holds(text):
            value = _value(pattern, text, said["value"])
            named = ((name, pattern.value(text, at)) for name, at in said["dimensions"].items())
            dimensions = tuple((name, at[:1024]) for name, at in named if at)
        else:
            value = said["default"]
        if value is None:
            continue
        _, values = found.setdefault((ms // _MINUTE_MS, dimensions), (ms, {}))
        values[value] = values.get(value, 0) + 1
    return [
        {
            "MetricName": said["metric"],
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
            "Timestamp": ms / 1000,
            "Unit": said["unit"] or "None",
            "Values": [value for value, _ in part],
            "Counts": [float(count) for _, count in part],
        }
        for (_, dimensions), (ms, values) in found.items()
        for part in _parts(list(values.items()))
    ]


def _parts(values: list[tuple[float, int]]) -> list[list[tuple[float, int]]]:
    return [values[at : at + _VALUES_MAX] for at in range(0, len(values), _VALUES_MAX)]


def _value(pattern: Pattern, text: Text, said: str) -> float | None:
    """The number to count with; None for an event that has none."""
    given = pattern.value(text, said) if said.startswith("$") else said
    if given is None or _NUMBER.fullmatch(given) is None:
        return None
    value = float(given)
    return value if math.isfinite(value) and abs(value) <= _VALUE_MAX else None


def _transformation(request: Request, pattern: Pattern) -> Record:
    """As it is kept. Raises Fault."""
    listed = request["metricTransformations"]
    if len(listed) != 1:
        side = "less than or equal to 1" if listed else "greater than or equal to 1"
        raise _bad(
            f"1 validation error detected: Value '[{', '.join(_told(one) for one in listed)}]' at 'metricTransformations'"
            f" failed to satisfy constraint: Member must have length {side}"
        )
    given = listed[0]
    for member, most in (("metricName", 255), ("metricNamespace", 255), ("metricValue", 100)):
        _check_length(f"metricTransformations.1.member.{member}", given[member], most, 1)
    unit = given.get("unit") or ""
    if unit and unit not in _UNITS:
        raise _bad(
            f"1 validation error detected: Value '{unit}' at 'metricTransformations.1.member.unit' failed to satisfy"
            f" constraint: Member must satisfy enum value set: [{', '.join(sorted(_UNITS))}]"
        )
    dimensions = given.get("dimensions") or {}
    default = given.get("defaultValue")
    if len(dimensions) > _DIMENSIONS_MAX:
        raise _wrong(f"a metric filter has at most {_DIMENSIONS_MAX} dimensions")
    if dimensions and default is not None:
        raise _wrong("dimensions and default value are mutually exclusive properties")
    if dimensions and pattern.kind == "terms":
        raise _bad("The specified filter pattern does not support dimensions")
    for name, at in dimensions.items():
        if not name.strip() or not name.isascii() or name.startswith(":") or len(name) > 255:
            raise _wrong(f"the dimension name {name} is not valid")
        if not at.startswith("$") or not pattern.selects(at):
            raise _wrong("dimension value must be valid selector")
    value = given["metricValue"]
    is_number = _NUMBER.fullmatch(value) is not None
    if not is_number and not (value.startswith("$") and pattern.selects(value)):
        raise _wrong("metric value must be a valid number or selector")
    return {
        "namespace": given["metricNamespace"],
        "metric": given["metricName"],
        "value": value,
        "default": default,
        "dimensions": dict(dimensions),
        "unit": unit,
    }


def _told(one: Request) -> str:
    """As AWS shows a transformation in an error."""
    names = ("metricName", "metricNamespace", "metricValue", "defaultValue", "unit", "dimensions")
    shown = (f"{name}={'null' if one.get(name) is None else one[name]}" for name in names)
    return f"MetricTransformation({', '.join(shown)})"


def _described(group: str, one: Record) -> Response:
    said = one["transformation"]
    shown = {
        "metricName": said["metric"],
        "metricNamespace": said["namespace"],
        "metricValue": said["value"],
    }
    if said["default"] is not None:
        shown["defaultValue"] = said["default"]
    if said["dimensions"]:
        shown["dimensions"] = said["dimensions"]
    if said["unit"]:
        shown["unit"] = said["unit"]
    return {
        "filterName": one["name"],
        "filterPattern": one["pattern"],
        "metricTransformations": [shown],
        "creationTime": one["created_ms"],
        "logGroupName": group,
        "applyOnTransformedLogs": False,
    }


def _is_asked_for(one: Record, request: Request) -> bool:
    name, said = request.get("metricName"), one["transformation"]
    return not name or (said["metric"], said["namespace"]) == (name, request["metricNamespace"])


def _check_name(member: str, name: str) -> None:
    _check_length(member, name, 512)
    if not _NAME.fullmatch(name):
        raise _bad(
            f"1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint:"
            " Member must satisfy regular expression pattern: [^:*]*"
        )


def _check_length(member: str, value: str, most: int, least: int = 0) -> None:
    if not least <= len(value) <= most:
        side = f"less than or equal to {most}" if value else f"greater than or equal to {least}"
        raise _bad(
            f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint:"
            f" Member must have length {side}"
        )


def _wrong(what: str) -> Fault:
    return _bad(f"Invalid metric transformation: {what}")


def _bad(message: str) -> Fault:
    return Fault("InvalidParameterException", message)
