"""Putting data into metrics, and listing metrics."""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.cloudwatch import statistics, worker
from stratolite.services.cloudwatch.naming import UNITS, combination, dimensions_of, wrong
from stratolite.services.cloudwatch.state import (
    Dimensions,
    add_fine_point,
    add_point,
    keys_of,
    touch_metric,
)
from stratolite.services.cloudwatch.state import metrics as stored
from stratolite.services.cloudwatch.statistics import Summary

_DATA_MAX = 1000
_VALUES_MAX = 150
_PAST_S, _FUTURE_S = 14 * 86_400, 2 * 3600
_VALUE_MAX = 2.0**360
_PAGE = 500
_LOOKED_AT_MAX = 5000
_RECENT_HOURS = 3
_LISTED_HOURS = 14 * 24
_NAMESPACE = re.compile(r"[^:][\x20-\x7e]{0,254}")


class Metrics(Service):
    def put_metric_data(self, call: Call, request: Request) -> Response:
        namespace = request.get("Namespace") or ""
        _check_namespace(call, namespace)
        if request.get("EntityMetricData"):
            raise wrong("EntityMetricData is not offered by Stratolite; see docs/coverage.md")
        data = request.get("MetricData") or []
        if not data:
            raise Fault("MissingParameter", "The parameter MetricData is required.")
        if len(data) > _DATA_MAX:
            raise wrong(f"The collection MetricData must not have a size greater than {_DATA_MAX}.")
        read = [_datum(call, number, one) for number, one in enumerate(data, 1)]
        keys, tx = keys_of(call.account, call.region), call.tx
        for name, dimensions, ms, unit, summary, fine in read:
            metric = touch_metric(tx, keys, (namespace, name, dimensions), fine=fine)
            add_point(tx, keys, metric, ms, unit, summary)
            if fine:
                add_fine_point(tx, keys, metric, ms, unit, summary)
        worker.plan_sweep(call)
        if call.principal.kind == "service" and not tx.is_nested:
            tx.relaxed = True  # cloudwatch:metrics in limits.RELAXED
        return {}

    def list_metrics(self, call: Call, request: Request) -> Response:
        if request.get("IncludeLinkedAccounts") or request.get("OwningAccount"):
            raise wrong("metrics of other accounts are not offered by Stratolite")
        wanted = {d["Name"]: d.get("Value") for d in request.get("Dimensions") or ()}
        name = request.get("MetricName")
        now_hour = int(call.tx.time_s // 3600)
        hours = _RECENT_HOURS if request.get("RecentlyActive") == "PT3H" else _LISTED_HOURS
        after = _place(request.get("NextToken"))
        found: list[Response] = []
        keys = keys_of(call.account, call.region)
        rows = stored(call.tx, keys, request.get("Namespace") or "", after)
        for looked_at, (place, where, metric, dimensions, record) in enumerate(rows):
            if len(found) == _PAGE or looked_at == _LOOKED_AT_MAX:
                token = base64.urlsafe_b64encode(after).decode()
                return {"Metrics": found, "NextToken": token}
            after = place
            if name is not None and metric != name:
                continue
            if record["hour"] < now_hour - hours:
                continue
            has = dict(dimensions)
            if any(k not in has or (v is not None and has[k] != v) for k, v in wanted.items()):
                continue
            shown = [{"Name": k, "Value": v} for k, v in dimensions]
            found.append({"Namespace": where, "MetricName": metric, "Dimensions": shown})
        return {"Metrics": found}


def _check_namespace(call: Call, namespace: str) -> None:
    if not namespace:
        raise Fault("MissingParameter", "The parameter Namespace is required.")
    if not _NAMESPACE.fullmatch(namespace):
        raise wrong(f"The value {namespace} for parameter Namespace is invalid.")
    if namespace.startswith("AWS/") and call.principal.kind != "service":
        raise wrong("The value AWS/ for parameter Namespace is invalid.")


def _datum(
    call: Call, number: int, one: dict[str, Any]
) -> tuple[str, Dimensions, int, str, Summary, bool]:
    where = f"MetricData.member.{number}"
    name = one.get("MetricName") or ""
    if not name or len(name) > 255:
        raise wrong(f"The parameter {where}.MetricName is required and at most 255 characters.")
    unit = one.get("Unit") or "None"
    if unit not in UNITS:
        raise wrong(
            f"The parameter {where}.Unit must be a value in the set [ {', '.join(sorted(UNITS))} ]."
        )
    resolution = one.get("StorageResolution") or 60
    if resolution not in (1, 60):
        raise wrong(f"The parameter {where}.StorageResolution must be 1 or 60.")
    now_s = call.tx.time_s
    at_s = one.get("Timestamp")
    if at_s is None:
        at_s = now_s
    elif not now_s - _PAST_S <= at_s <= now_s + _FUTURE_S:
        raise wrong(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks and no more than"
            " two hours in the future."
        )
    return (
        name,
        dimensions_of(one.get("Dimensions")),
        int(at_s * 1000),
        unit,
        _summary(where, one),
        resolution == 1,
    )


def _summary(where: str, one: dict[str, Any]) -> Summary:
    value, values, given = one.get("Value"), one.get("Values"), one.get("StatisticValues")
    for first, second, both in (
        ("Value", "Values", value is not None and values),
        ("Value", "StatisticValues", value is not None and given),
        ("StatisticValues", "Values", given and values),
    ):
        if both:
            raise combination(
                f"The parameters {where}.{first} and {where}.{second} are mutually exclusive and you have"
                " specified both."
            )
    if value is not None:
        return statistics.of_value(_number(f"{where}.Value", value))
    if values:
        counts = one.get("Counts")
        if counts is not None and len(counts) != len(values):
            raise wrong(
                f"The parameters {where}.Values and {where}.Counts must be of the same size."
            )
        if len(values) > _VALUES_MAX:
            raise wrong(
                f"The collection {where}.Values must not have a size greater than {_VALUES_MAX}."
            )
        read = [_number(f"{where}.Values", v) for v in values]
        each = [_number(f"{where}.Counts", c) for c in counts] if counts else [1.0] * len(read)
        if any(count <= 0 for count in each):
            raise wrong(f"The parameter {where}.Counts must be greater than 0.")
        return statistics.of_values(read, each)
    if given:
        names = ("SampleCount", "Sum", "Minimum", "Maximum")
        numbers = [_number(f"{where}.StatisticValues.{n}", given[n]) for n in names]
        if numbers[0] <= 0 or numbers[2] > numbers[3]:
            raise wrong(f"The parameter {where}.StatisticValues is invalid.")
        return statistics.of_statistics(*numbers)
    raise Fault(
        "MissingParameter",
        f"At least one of the parameters {where}.Value, {where}.Values or {where}.StatisticValues must be"
        " specified.",
    )


def _number(where: str, value: float) -> float:
    if not math.isfinite(value) or abs(value) > _VALUE_MAX:
        raise wrong(f"The value {value} for parameter {where} is invalid.")
    return float(value)


def _place(token: str | None) -> bytes:
    if not token:
        return b""
    try:
        return base64.urlsafe_b64decode(token.encode())
    except (binascii.Error, ValueError):
        raise Fault("InvalidNextToken", "The next token is invalid.") from None
