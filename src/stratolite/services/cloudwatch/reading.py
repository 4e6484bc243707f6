"""Reading metrics: GetMetricStatistics and GetMetricData, in short transactions however much they read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.cloudwatch import expressions, labels, searching, state, statistics
from stratolite.services.cloudwatch.expressions import BadExpression, Scope, Series, Value
from stratolite.services.cloudwatch.labels import Found
from stratolite.services.cloudwatch.naming import (
    UNITS_IN_ORDER,
    combination,
    dimensions_of,
    wrong,
)
from stratolite.services.cloudwatch.searching import Asked
from stratolite.services.cloudwatch.state import KEPT_S, Dimensions, keys_of
from stratolite.services.cloudwatch.statistics import Summary, merged

_POINTS_MAX = 1440
_DATA_MAX = 100_800
_QUERIES_MAX = 500
_PAGE_ROWS = 2000
_FOUND_MAX, _SEARCHED_MAX, _SEARCHED_A_TX = 500, 20_000, 500
_RECENT_HOURS = 14 * 24
_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")


class Wanted(NamedTuple):
    """One metric over a time; ``unit`` "" is any."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str
    period_s: int
    start_ms: int
    stop_ms: int


def check_period(period_s: int, *, where: str = "Period") -> None:
    if period_s in (1, 5, 10, 20, 30) or (period_s > 0 and period_s % 60 == 0):
        return
    raise wrong(f"The parameter {where} must be 1, 5, 10, 20, 30, or a multiple of 60")


def resolution_of(period_s: int, start_s: float, now_s: float) -> int:
    """The coarsest rows that make up this period and go back as far."""
    best = 1 if period_s < 60 else 60
    for resolution in (60, 300, 3600):
        if period_s % resolution == 0:
            best = resolution
    age_s = now_s - start_s
    for resolution in (1, 60, 300, 3600):
        if resolution >= best and age_s <= KEPT_S[resolution]:
            return resolution
    return 3600


def rows_of(
    tx: Tx, keys: Keyspace, wanted: Wanted, from_ms: int, most: int | None
) -> tuple[list[tuple[int, str, Summary]], bool]:
    """(rows from ``from_ms`` on, whether there may be more)."""
    metric = state.metric(tx, keys, wanted.namespace, wanted.name, wanted.dimensions)
    if metric is None:
        return [], False
    resolution = resolution_of(wanted.period_s, wanted.start_ms / 1000, tx.time_s)
    if resolution == 1 and not metric["fine"]:
        resolution = 60
    rows = state.points(tx, keys, metric["id"], resolution, from_ms, wanted.stop_ms, most)
    return rows, most is not None and len(rows) == most


def bucketed(
    rows: Iterable[tuple[int, str, Summary]], wanted: Wanted
) -> dict[tuple[int, str], Summary]:
    """(start of a period, unit) -> what fell into it."""
    step = wanted.period_s * 1000
    found: dict[tuple[int, str], Summary] = {}
    for ms, unit, summary in rows:
        if wanted.unit and unit != wanted.unit:
            continue
        key = (ms - ms % step, unit)
        known = found.get(key)
        if known is None:
            made = merged([summary])
            assert made is not None
            found[key] = made
        else:
            statistics.add(known, summary)
    return found


class Reading(Service):
    async def get_metric_statistics(self, call: Call, request: Request) -> Response:
        plain = request.get("Statistics") or []
        extended = request.get("ExtendedStatistics") or []
        if not plain and not extended:
            raise Fault("MissingParameter", "Must specify either Statistics or ExtendedStatistics")
        for name in plain:
            if not statistics.is_plain(name):
                raise wrong(f"The value {name} for parameter Statistics is invalid.")
        for name in extended:
            if not statistics.is_extended(name):
                raise wrong(f"The value {name} for parameter ExtendedStatistics is invalid.")
        start_s, stop_s, period_s = request["StartTime"], request["EndTime"], request["Period"]
        if start_s >= stop_s:
            raise wrong("The parameter StartTime must be less than the parameter EndTime.")
        check_period(period_s)
        count = int((stop_s - start_s) // period_s)
        if count > _POINTS_MAX:
            raise combination(
                f"You have requested up to {count} datapoints, which exceeds the limit of {_POINTS_MAX}. You may"
                " reduce the datapoints requested by increasing Period, or decreasing the time range."
            )
        wanted = Wanted(
            request["Namespace"],
            request["MetricName"],
            dimensions_of(request.get("Dimensions")),
            request.get("Unit") or "",
            period_s,
            _floor_ms(start_s, period_s),
            int(stop_s * 1000),
        )
        points = []
        for (ms, unit), summary in sorted((await self._read(call, wanted)).items()):
            point: Response = {"Timestamp": ms / 1000, "Unit": unit}
            for name in plain:
                point[name] = statistics.statistic(summary, name)
            more = {name: statistics.statistic(summary, name) for name in extended}
            if more := {name: value for name, value in more.items() if value is not None}:
                point["ExtendedStatistics"] = more
            if len(point) > 2:
                points.append(point)
        return {"Label": request["MetricName"], "Datapoints": points}

    async def get_metric_data(self, call: Call, request: Request) -> Response:
        queries = request.get("MetricDataQueries") or []
        start_s, stop_s = request["StartTime"], request["EndTime"]
        _check_queries(queries, start_s, stop_s)
        most = request.get("MaxDatapoints") or _DATA_MAX
        if not 1 <= most <= _DATA_MAX:
            raise wrong(f"The parameter MaxDatapoints must be between 1 and {_DATA_MAX}.")
        skip = _skip(request.get("NextToken"))
        newest_first = request.get("ScanBy", "TimestampDescending") != "TimestampAscending"
        series = await self._series(call, queries, start_s, stop_s)
        results: list[Response] = []
        left, seen, more = most, 0, False
        for query, one, label, units in series:
            rows = sorted(one.items(), reverse=newest_first)
            before = max(0, min(len(rows), skip - seen))
            seen += len(rows)
            shown = rows[before : before + left]
            left -= len(shown)
            unfinished = before + len(shown) < len(rows)
            more = more or unfinished
            result: Response = {
                "Id": query["Id"],
                "Label": label,
                "Timestamps": [ms / 1000 for ms, _ in shown],
                "Values": [value for _, value in shown],
                "StatusCode": "PartialData" if unfinished else "Complete",
            }
            if len(units) > 1:
                several = f"Multiple units returned: '[{', '.join(units)}]'"
                result["Messages"] = [{"Code": "MultipleUnits", "Value": several}]
            results.append(result)
        answer: Response = {"MetricDataResults": results, "Messages": []}
        if more:
            answer["NextToken"] = f"skip-{skip + most - left}"
        return answer

    async def _series(
        self, call: Call, queries: list[Request], start_s: float, stop_s: float
    ) -> list[tuple[Request, Series, str, list[str]]]:
        """(query, series, label, units its data has) of what is to be returned."""
        named: dict[str, Value] = {}
        metrics: dict[str, Series] = {}
        units: dict[str, list[str]] = {}
        period_s = 0
        for query in queries:
            stat = query.get("MetricStat")
            if stat is None:
                continue
            wanted = wanted_of(stat, start_s, stop_s)
            period_s = max(period_s, wanted.period_s)
            found = await self._read(call, wanted)
            one = series_of(found, stat["Stat"])
            named[query["Id"]] = metrics[query["Id"]] = one
            units[query["Id"]] = sorted({unit for _, unit in found})
        searched = await self._searched(call, queries, start_s, stop_s)
        period_s = max([period_s, *(asked.period_s for asked in searched)])
        period_s = period_s or next((q["Period"] for q in queries if q.get("Period")), 60)
        step = period_s * 1000
        first = _floor_ms(start_s, period_s)
        times = list(range(first, int(stop_s * 1000), step))[:_DATA_MAX]
        results: list[tuple[Request, Series, str, list[str]]] = []
        returned = [q for q in queries if q.get("ReturnData") is not False]
        evaluate_all(queries, named, metrics, times, period_s, searched)
        for query in returned:
            value, usual = named[query["Id"]], labels.default(query, returned)
            if isinstance(value, float):
                value = dict.fromkeys(times, value) if math.isfinite(value) else {}
            several = value if isinstance(value, list) else [value]
            for one in several:
                label = labels.said(call, *labels.of_found(query, usual, one, several), one)
                results.append((query, one, label, units.get(query["Id"], [])))
        return results

    async def _searched(
        self, call: Call, queries: list[Request], start_s: float, stop_s: float
    ) -> dict[Asked, list[Series]]:
        """What each SEARCH of the expressions finds. Raises Fault."""
        found: dict[Asked, list[Series]] = {}
        for query in queries:
            for asked in searching.searches_in(query.get("Expression") or ""):
                if asked in found:
                    continue
                check_statistic(asked.stat)
                period_s = asked.period_s or query.get("Period") or 300
                check_period(period_s)
                found[asked] = []
                for metric in await self._metrics_of(call, asked.query):
                    stat = {"Metric": metric, "Period": period_s, "Stat": asked.stat}
                    read = await self._read(call, wanted_of(stat, start_s, stop_s))
                    found[asked].append(Found(series_of(read, asked.stat), stat))
        return found

    async def _metrics_of(self, call: Call, query: str) -> list[Request]:
        """The metrics that a search names, a page a transaction; those that got data in two weeks."""
        keys = keys_of(call.account, call.region)
        try:
            search = searching.parse(query)
        except BadExpression as error:
            raise Fault("ValidationError", f"Error in expression: {error}") from error
        found: list[Request] = []
        after, looked_at = b"", 0
        while len(found) < _FOUND_MAX:

            def page(tx: Tx, after: bytes = after) -> tuple[bytes, list[Request]]:
                since, some, last = int(tx.time_s // 3600) - _RECENT_HOURS, [], b""
                rows = state.metrics(tx, keys, search.namespace, after)
                for place, where, name, dimensions, record in islice(rows, _SEARCHED_A_TX):
                    last = place
                    if record["hour"] >= since and search.holds(where, name, dimensions):
                        shown = [{"Name": n, "Value": v} for n, v in dimensions]
                        some.append({"Namespace": where, "MetricName": name, "Dimensions": shown})
                return last, some

            after, some = await call.cloud.db.transact(page)
            found += some
            looked_at += _SEARCHED_A_TX
            if not after:
                break
            if looked_at >= _SEARCHED_MAX:
                raise Fault("ValidationError", f"SEARCH looks at no more than {_SEARCHED_MAX} metrics: name a namespace")  # fmt: skip
        return found[:_FOUND_MAX]

    async def _read(self, call: Call, wanted: Wanted) -> dict[tuple[int, str], Summary]:
        keys = keys_of(call.account, call.region)
        found: dict[tuple[int, str], Summary] = {}
        at_ms, more = wanted.start_ms, True
        while more:

            def page(tx: Tx, at_ms: int = at_ms) -> tuple[list[tuple[int, str, Summary]], bool]:
                return rows_of(tx, keys, wanted, at_ms, _PAGE_ROWS)

            rows, more = await call.cloud.db.transact(page)
            if more:  # the last time may have further units: read it again
                last = rows[-1][0]
                rows = [row for row in rows if row[0] < last]
                at_ms = last
            for key, summary in bucketed(rows, wanted).items():
                known = found.get(key)
                if known is None:
                    found[key] = summary
                else:
                    statistics.add(known, summary)
        return found


def wanted_of(stat: Request, start_s: float, stop_s: float) -> Wanted:
    metric, period_s = stat["Metric"], stat["Period"]
    return Wanted(
        metric.get("Namespace") or "",
        metric.get("MetricName") or "",
        dimensions_of(metric.get("Dimensions")),
        stat.get("Unit") or "",
        period_s,
        _floor_ms(start_s, period_s),
        int(stop_s * 1000),
    )


def series_of(found: dict[tuple[int, str], Summary], stat: str) -> Series:
    """One statistic of a metric; of the unit that AWS takes first where data has several."""
    units = {unit for _, unit in found}
    chosen = min(units, key=UNITS_IN_ORDER.index) if len(units) > 1 else ""
    series = {
        ms: statistics.statistic(one, stat)
        for (ms, unit), one in sorted(found.items())
        if not chosen or unit == chosen
    }
    return {ms: value for ms, value in series.items() if value is not None}


def evaluate_all(
    queries: list[Request],
    named: dict[str, Value],
    metrics: dict[str, Series],
    times: list[int],
    period_s: int,
    searched: Mapping[Asked, list[Series]] | None = None,
) -> None:
    """Put the values of all expressions into ``named``, those first that others use. Raises Fault."""
    left = {q["Id"]: q["Expression"] for q in queries if q.get("Expression")}
    while left:
        ready = [i for i, text in left.items() if not expressions.names_in(text) & set(left)]
        if not ready:
            raise wrong(f"Error in expression '{next(iter(left))}': it depends on itself")
        for name in ready:
            try:
                scope = Scope(named, metrics, times, period_s, searched)
                named[name] = expressions.evaluate(left.pop(name), scope)
            except BadExpression as error:
                raise Fault("ValidationError", f"Error in expression '{name}': {error}") from error


def _check_queries(queries: list[Request], start_s: float, stop_s: float) -> None:
    if not queries:
        raise Fault("MissingParameter", "The parameter MetricDataQueries is required.")
    if len(queries) > _QUERIES_MAX:
        raise wrong(
            f"The collection MetricDataQueries must not have a size greater than {_QUERIES_MAX}."
        )
    if start_s >= stop_s:
        raise Fault(
            "ValidationError", "The parameter StartTime must be less than the parameter EndTime."
        )
    seen = set()
    for query in queries:
        check_query(query)
        if query["Id"] in seen:
            raise Fault(
                "ValidationError",
                "The values for parameter id in MetricDataQueries are not unique.",
            )
        seen.add(query["Id"])


def check_query(query: Request) -> None:
    """Raises Fault for a MetricDataQuery that is wrong by itself."""
    if not _ID.fullmatch(query.get("Id") or ""):
        raise Fault(
            "ValidationError",
            f"The value {query.get('Id')} for parameter MetricDataQueries.member.Id is not matching the"
            " expected pattern ^[a-z][a-zA-Z0-9_]*$.",
        )
    stat = query.get("MetricStat")
    if bool(stat) == bool(query.get("Expression")):
        raise Fault(
            "ValidationError",
            f"Exactly one of MetricStat and Expression must be given for the query {query['Id']}.",
        )
    labels.check(query.get("Label") or "")
    if query.get("AccountId"):
        raise wrong("AccountId: metrics of other accounts are not offered by Stratolite")
    if stat:
        check_period(stat["Period"], where="MetricStat.Period")
        check_statistic(stat["Stat"])


def check_statistic(name: str) -> None:
    if not statistics.is_known(name):
        raise wrong(f"The value {name} for parameter Stat is invalid.")


def _floor_ms(at_s: float, period_s: int) -> int:
    ms, step = int(at_s * 1000), period_s * 1000
    return ms - ms % step


def _skip(token: str | None) -> int:
    if not token:
        return 0
    digits = token.removeprefix("skip-")
    if digits == token or not is_number(digits):
        raise Fault("InvalidNextToken", "The next token is invalid.")
    return int(digits)
