"""Metrics embedded in log events: a JSON document whose ``_aws`` says which of its members are metrics.

Timestamp ms, and for each directive of CloudWatchMetrics a Namespace, sets of Dimensions and Metrics that name members.
Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

from __future__ import annotations

from typing import Any

import orjson

_METRICS_MAX, _VALUES_MAX, _DIMENSIONS_MAX = 100, 100, 30
_PAST_MS, _FUTURE_MS = 14 * 86_400_000, 2 * 3_600_000
Datum = dict[str, Any]
"""As PutMetricData takes it."""


class Unreadable(ValueError):
    """It is no JSON: what AWS counts in EMFParsingErrors."""


def data_of(message: str, now_ms: int) -> list[tuple[str, Datum]]:
    """(namespace, datum) of each metric and set of dimensions; () for what has none.

    Raises Unreadable, and ValueError for a document that says what it must not (EMFValidationErrors): then it has no metrics.
    """
    try:
        document = orjson.loads(message)
    except orjson.JSONDecodeError:
        raise Unreadable("no JSON") from None
    about = document.get("_aws") if isinstance(document, dict) else None
    if not isinstance(about, dict) or "CloudWatchMetrics" not in about:
        return []
    ms, directives = about.get("Timestamp"), about["CloudWatchMetrics"]
    if type(ms) is not int or not now_ms - _PAST_MS <= ms <= now_ms + _FUTURE_MS:
        raise ValueError("Timestamp must be milliseconds of the last two weeks")
    found: list[tuple[str, Datum]] = []
    for directive in _list(directives, "CloudWatchMetrics"):
        namespace = directive.get("Namespace") if isinstance(directive, dict) else None
        if not isinstance(namespace, str) or not namespace or namespace.startswith("AWS/"):
            raise ValueError("Namespace must be a name that is not AWS's own")
        sets = [_dimensions(document, one) for one in _list(directive.get("Dimensions", [[]]), "Dimensions")]  # fmt: skip
        metrics = _list(directive.get("Metrics", []), "Metrics")
        if len(metrics) > _METRICS_MAX:
            raise ValueError(f"more than {_METRICS_MAX} metrics")
        for metric in metrics:
            datum = _metric(document, metric) | {"Timestamp": ms / 1000}
            found += [(namespace, {**datum, "Dimensions": dimensions}) for dimensions in sets]
    return found


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be an array")  # noqa: TRY004 - one kind for all that is wrong with a document
    return value


def _dimensions(document: dict[str, Any], names: Any) -> list[dict[str, str]]:
    if len(_list(names, "a set of dimensions")) > _DIMENSIONS_MAX:
        raise ValueError(f"more than {_DIMENSIONS_MAX} dimensions")
    found = []
    for name in names:
        value = document.get(name) if isinstance(name, str) else None
        if not isinstance(value, str):
            raise ValueError(f"the dimension {name} has no text")  # noqa: TRY004
        found.append({"Name": name, "Value": value})
    return found


def _metric(document: dict[str, Any], metric: Any) -> Datum:
    name = metric.get("Name") if isinstance(metric, dict) else None
    value = document.get(name) if isinstance(name, str) else None
    values: list[Any] = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= _VALUES_MAX or any(type(v) not in (int, float) for v in values):
        raise ValueError(f"the metric {name} has no numbers")
    datum: Datum = {"MetricName": name, "Values": [float(v) for v in values]}
    return datum | {k: metric[k] for k in ("Unit", "StorageResolution") if metric.get(k)}
