"""Labels of GetMetricData's results: the default one, and what stands in ``${...}``.

``${PROP('MetricName')}`` and the like are of the metric; ``${MAX}``, ``${LAST}`` and the like of the values that are returned.
Sources  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/graph-dynamic-labels.html
         tests/aws/services/cloudwatch/test_cloudwatch.snapshot.json of LocalStack: test_label_generation
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from stratolite.errors import Fault
from stratolite.service import Call, Request
from stratolite.services.cloudwatch.expressions import Series

_DYNAMIC = re.compile(r"\$\{\s*(?:PROP\(\s*'([^']*)'\s*\)|([A-Z_]+))\s*\}")
_OF_VALUES: dict[str, Callable[[list[float]], float]] = {
    "AVG": lambda values: math.fsum(values) / len(values),
    "DATAPOINT_COUNT": lambda values: float(len(values)),
    "FIRST": lambda values: values[0],
    "LAST": lambda values: values[-1],
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
}
_OF_TIMES = frozenset(
    f"{which}{kind}"
    for which in ("FIRST", "LAST", "MIN", "MAX", "FIRST_LAST", "MIN_MAX")
    for kind in ("_TIME", "_TIME_RELATIVE", "_RANGE", "_TIME_RANGE", "_TIME_RANGE_RELATIVE")
)


def default(query: Request, queries: list[Request]) -> str:
    """The metric's name, with the statistic and the period where the request has several; an expression's id."""
    stat = query.get("MetricStat")
    if not stat:
        return str(query["Id"])
    others = [other["MetricStat"] for other in queries if other.get("MetricStat")]
    parts = [str(stat["Metric"].get("MetricName", ""))]
    parts += [str(stat[name]) for name in ("Stat", "Period") if len({o[name] for o in others}) > 1]
    return " ".join(parts)


class Found(dict[int, float]):
    """The series of a metric that a search found; what is made of it is none."""

    def __init__(self, series: Series, stat: Request) -> None:
        super().__init__(series)
        self.stat = stat


def of_found(query: Request, usual: str, one: Series, several: list[Series]) -> tuple[Request, str]:
    """The query and its usual label; of a metric that was found, as if it had been asked for: what the others have not."""
    if not isinstance(one, Found):
        return query, usual
    others = [other.stat["Metric"] for other in several if isinstance(other, Found)]
    metric, parts = one.stat["Metric"], []
    values = [(d["Name"], d["Value"]) for d in metric["Dimensions"]]
    common = [{(d["Name"], d["Value"]) for d in other["Dimensions"]} for other in others]
    parts = [value for name, value in values if any((name, value) not in had for had in common)]
    if not parts or len({other["MetricName"] for other in others}) > 1:
        parts.append(metric["MetricName"])
    return {**query, "MetricStat": one.stat}, " ".join(parts)


def check(label: str) -> None:
    """Raises Fault for what no label here can say."""
    for match in _DYNAMIC.finditer(label):
        if match[2] in _OF_TIMES:
            raise Fault(
                "ValidationError", f"${{{match[2]}}} in a label is not offered by Stratolite"
            )


def said(call: Call, query: Request, usual: str, series: Series) -> str:
    """The query's label with what stands in it put in; what is not known stays as it is."""
    given = query.get("Label")
    if not given or "${" not in given:
        return given or usual

    def one(match: re.Match[str]) -> str:
        if match[1] is not None:
            return _property(call, query, match[1])
        if match[2] == "LABEL":
            return usual
        found = _OF_VALUES.get(match[2])
        if found is None:
            return match[0]
        values = [value for _, value in sorted(series.items())]
        return f"{found(values):.12g}" if values else "--"

    return _DYNAMIC.sub(one, given)


def _property(call: Call, query: Request, name: str) -> str:
    stat = query.get("MetricStat") or {}
    metric = stat.get("Metric") or {}
    if name.startswith("Dim."):
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions") or ()}
        return str(dimensions.get(name[4:], ""))
    known = {
        "AccountId": call.account,
        "Region": call.region,
        "MetricName": metric.get("MetricName", ""),
        "Namespace": metric.get("Namespace", ""),
        "Period": stat.get("Period", query.get("Period") or ""),
        "Stat": stat.get("Stat", ""),
    }
    return str(known.get(name, ""))
