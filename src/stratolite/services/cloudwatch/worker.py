"""What CloudWatch does in the background, a page a transaction.

``cloudwatch.evaluate``  JSON {account, region, due_ms}: looks at all alarms, then again a period later
``cloudwatch.sweep``     JSON {account, region, due_ms}: deletes points that are too old, then again six hours later
``cloudwatch.action``    JSON {account, region, action, alarm, old, attempt}: one action of a state change; action "" is an
                         older version's event on the default bus, which is now committed with the change
``cloudwatch.release``   JSON {account, region, name, until_ms}: a composite alarm's actions were held back until now
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle, Worker
from stratolite.service_events import announce
from stratolite.services.cloudwatch import (
    alarm_rules,
    evaluation,
    notices,
    reading,
    state,
    statistics,
    suppression,
)
from stratolite.services.cloudwatch.expressions import Series, Value
from stratolite.services.cloudwatch.state import Record, keys_of

_EVALUATE, _SWEEP, _ACTION = "cloudwatch.evaluate", "cloudwatch.sweep", "cloudwatch.action"
_PAGE = 20
_SWEPT_MAX = 500
_EVERY_MS, _FINE_EVERY_MS = 60_000, 10_000
_SWEEP_EVERY_MS = 6 * 3_600_000
_TRIES_MAX = 8
_ACTIONS = {
    "OK": "OKActions",
    "ALARM": "AlarmActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
PRINCIPAL, TO_FUNCTIONS = "cloudwatch.amazonaws.com", "lambda.alarms.cloudwatch.amazonaws.com"
TO_BUS = "events.amazonaws.com"


def plan_evaluation(call: Call) -> None:
    """One chain of jobs an account and region; a new alarm is looked at soon."""
    now_ms = int(call.tx.time_s * 1000)
    _plan(call, _EVALUATE, "evaluate", now_ms)


def plan_sweep(call: Call) -> None:
    keys = keys_of(call.account, call.region)
    if not state.planned_ms(call.tx, keys, "sweep"):
        _plan(call, _SWEEP, "sweep", int(call.tx.time_s * 1000) + _SWEEP_EVERY_MS)


def _plan(call: Call, queue: str, job: str, due_ms: int) -> None:
    """A job that is not the planned one ends without another."""
    keys = keys_of(call.account, call.region)
    state.put_planned_ms(call.tx, keys, job, due_ms)
    said = {"account": call.account, "region": call.region, "due_ms": due_ms}
    call.cloud.work.put(call.tx, queue, orjson.dumps(said), due_s=due_ms / 1000)


def note(call: Call, alarm: Record, item: str, summary: str, data: Record) -> None:
    row = {
        "name": alarm["name"],
        "kind": alarm["kind"],
        "item": item,
        "summary": summary,
        "data": orjson.dumps(data).decode(),
        "ms": int(call.tx.time_s * 1000),
    }
    state.put_history(call.tx, keys_of(call.account, call.region), row)


def change(call: Call, alarm: Record, value: str, reason: str, data: str) -> None:
    """Put an alarm into a state: its history, its actions, the composite alarms above it."""
    tx, keys = call.tx, keys_of(call.account, call.region)
    now_ms = int(tx.time_s * 1000)
    fresh = {**alarm, "state": value, "reason": reason, "reason_data": data, "changed_ms": now_ms}
    if value == alarm["state"]:
        state.put_alarm(tx, keys, fresh)
        return
    fresh["moved_ms"] = now_ms
    fresh["suppressed"], acts = suppression.held(call, fresh, alarm)
    state.put_alarm(tx, keys, fresh)
    said = {
        "version": "1.0",
        "oldState": _told(alarm),
        "newState": _told(fresh),
    }
    summary = f"Alarm updated from {alarm['state']} to {value}"
    note(call, fresh, "StateUpdate", summary, said)
    announce(call, TO_BUS, lambda: notices.bus_entry(fresh, alarm), fresh["arn"])
    if acts:
        _leave_actions(call, fresh, alarm)
    for held in suppression.suppressor_changed(call, fresh["name"], alarm["state"], value):
        release(call, held)
    for parent in state.parents(tx, keys, fresh["name"]):
        evaluate_composite(call, parent, fresh)


def release(call: Call, alarm: Record) -> None:
    """Carry out the actions of a composite alarm that nothing holds back any longer."""
    free = {**alarm, "suppressed": None}
    state.put_alarm(call.tx, keys_of(call.account, call.region), free)
    _leave_actions(call, free, alarm["suppressed"]["old"])


def _leave_actions(call: Call, alarm: Record, old: Record) -> None:
    settings = alarm["settings"]
    for action in settings[_ACTIONS[alarm["state"]]] if settings["ActionsEnabled"] else []:
        job = {
            "account": call.account,
            "region": call.region,
            "action": action,
            "alarm": alarm,
            "old": old,
            "attempt": 1,
        }
        call.cloud.work.put(call.tx, _ACTION, orjson.dumps(job))


def tell_of_settings(call: Call, alarm: Record, operation: str, old: Record | None = None) -> None:
    """The default bus, of an alarm that was made, changed or deleted."""
    announce(call, TO_BUS, lambda: notices.configuration_entry(alarm, operation, old), alarm["arn"])


def _told(alarm: Record) -> Record:
    told = {"stateValue": alarm["state"], "stateReason": alarm["reason"]}
    if alarm["reason_data"]:
        told["stateReasonData"] = orjson.loads(alarm["reason_data"])
    return told


def evaluate_composite(call: Call, name: str, trigger: Record | None = None) -> None:
    tx, keys = call.tx, keys_of(call.account, call.region)
    found = state.alarm(tx, keys, name)
    if found is None or found["kind"] != "composite":
        return
    rule = alarm_rules.parse(found["settings"]["AlarmRule"])
    states: dict[str, Record] = {}

    def look(child: str) -> str:
        one = states.get(child) or state.alarm(tx, keys, child)
        if one is None:
            return "INSUFFICIENT_DATA"
        states[child] = one
        return str(one["state"])

    value = "ALARM" if rule.holds(look) else "OK"
    if value == found["state"]:
        return
    cause = trigger or next(iter(states.values()), None)
    reason, data = f"The alarm rule evaluates to {value}", ""
    if cause is not None:
        moved = notices.when(cause["moved_ms"])
        reason = f"{cause['arn']} transitioned to {cause['state']} at {moved}"
        told = {"value": cause["state"], "timestamp": moved}
        data = orjson.dumps({"triggeringAlarms": [{"arn": cause["arn"], "state": told}]}).decode()
    change(call, found, value, reason, data)


def evaluate_metric(call: Call, alarm: Record) -> None:
    """Look at a metric alarm's datapoints and change its state where they say so."""
    settings = alarm["settings"]
    period_s = _period_s(settings)
    step = period_s * 1000
    granule = 3600 if period_s % 3600 == 0 else 300 if period_s % 300 == 0 else min(period_s, 60)
    now_ms = int(call.tx.time_s * 1000)
    stop_ms = now_ms - now_ms % (granule * 1000)
    periods = settings["EvaluationPeriods"]
    count = periods + evaluation.EXTRA
    start_ms = stop_ms - count * step
    counts: Series = {}
    series = _series(call, settings, period_s, start_ms, stop_ms, counts)
    datapoints = [(ms, series.get(ms)) for ms in range(start_ms, stop_ms, step)]
    rules = evaluation.Rules(
        settings["ComparisonOperator"],
        float(settings["Threshold"]),
        periods,
        settings.get("DatapointsToAlarm", periods),
        settings.get("TreatMissingData", "missing"),
    )
    verdict = evaluation.judge(datapoints, rules)
    if not verdict.state or verdict.state == alarm["state"]:
        return
    if _says_too_little(settings, verdict.evaluated, counts):
        return
    data: Record = {
        "version": "1.0",
        "queryDate": notices.when(now_ms),
        "startDate": notices.when(start_ms),
        "period": period_s,
        "recentDatapoints": [value for _, value in verdict.evaluated],
        "threshold": rules.threshold,
        "evaluatedDatapoints": [
            {
                "timestamp": notices.when(ms),
                **({"sampleCount": counts[ms]} if ms in counts else {}),
                "value": value,
            }
            for ms, value in reversed(verdict.evaluated)
        ],
    }
    if statistic := settings.get("Statistic") or settings.get("ExtendedStatistic"):
        data["statistic"] = statistic
    if settings.get("Unit"):
        data["unit"] = settings["Unit"]
    change(call, alarm, verdict.state, verdict.reason, orjson.dumps(data).decode())


def _says_too_little(settings: Record, evaluated: list[tuple[int, float]], counts: Series) -> bool:
    """Whether a percentile's newest datapoint is of too few samples to change the state, which ``ignore`` asks for.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html
    """
    if settings.get("EvaluateLowSampleCountPercentile") != "ignore" or not evaluated:
        return False
    name = settings.get("ExtendedStatistic") or ""
    if not statistics.is_percentile(name):
        return False
    share = float(name[1:]) / 100
    rest = 1 - share if share >= 0.5 else share
    return counts.get(evaluated[-1][0], 0.0) * rest < 10 - 1e-9


def _period_s(settings: Record) -> int:
    if "Metrics" not in settings:
        return int(settings["Period"])
    periods = [q["MetricStat"]["Period"] for q in settings["Metrics"] if q.get("MetricStat")]
    return max(periods, default=60)


def _series(
    call: Call, settings: Record, period_s: int, start_ms: int, stop_ms: int, counts: Series
) -> Series:
    """By the start of each period counted back from ``stop_ms``; how many samples go to ``counts``, for a single metric."""
    if "Metrics" not in settings:
        stat = {
            "Metric": {n: settings.get(n) for n in ("Namespace", "MetricName", "Dimensions")},
            "Period": period_s,
            "Stat": settings.get("Statistic") or settings["ExtendedStatistic"],
            "Unit": settings.get("Unit"),
        }
        return _read(call, stat, start_ms, stop_ms, counts)
    named: dict[str, Value] = {}
    metrics: dict[str, Series] = {}
    for query in settings["Metrics"]:
        if stat := query.get("MetricStat"):
            one = _read(call, {**stat, "Period": period_s}, start_ms, stop_ms, {})
            named[query["Id"]] = metrics[query["Id"]] = one
    times = list(range(start_ms, stop_ms, period_s * 1000))
    try:
        reading.evaluate_all(settings["Metrics"], named, metrics, times, period_s)
    except Fault:
        return {}
    returned = next(q["Id"] for q in settings["Metrics"] if q.get("ReturnData") is not False)
    value = named[returned]
    if isinstance(value, float):
        return dict.fromkeys(times, value)
    return value if isinstance(value, dict) else {}


def _read(call: Call, stat: Record, start_ms: int, stop_ms: int, counts: Series) -> Series:
    wanted = reading.wanted_of(stat, start_ms / 1000, stop_ms / 1000)._replace(start_ms=start_ms)
    keys = keys_of(call.account, call.region)
    rows, _ = reading.rows_of(call.tx, keys, wanted, start_ms, None)
    step = wanted.period_s * 1000
    shift = stop_ms % step  # periods end at ``stop_ms``, wherever that is
    moved = [(ms - shift, unit, summary) for ms, unit, summary in rows]
    found = reading.bucketed(moved, wanted)
    series = reading.series_of(found, stat["Stat"])
    counts.update({ms + shift: n for ms, n in reading.series_of(found, "SampleCount").items()})
    return {ms + shift: value for ms, value in series.items()}


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Evaluator(cloud), _Sweeper(cloud), _Actor(cloud), _Releaser(cloud))


class _Chained:
    """A job that does its rounds and plans itself again, unless another was planned since."""

    queue, ordered, concurrency = "", False, 4
    plan = ""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def _call(self, said: Record) -> Call:
        return self._cloud.call(said["account"], said["region"], self.queue)

    def _is_planned(self, tx: Tx, keys: Keyspace, said: Record) -> bool:
        return bool(state.planned_ms(tx, keys, self.plan) == said["due_ms"])

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys, call = keys_of(said["account"], said["region"]), self._call(said)
        if not await self._cloud.db.transact(lambda tx: self._is_planned(tx, keys, said)):
            return None
        every_ms = await self.round(call)

        def again(tx: Tx) -> None:
            if not self._is_planned(tx, keys, said):
                return
            if not every_ms:
                state.drop_planned(tx, keys, self.plan)
                return
            now_ms = int(tx.time_s * 1000)
            due_ms = now_ms - now_ms % every_ms + every_ms
            state.put_planned_ms(tx, keys, self.plan, due_ms)
            payload = orjson.dumps({**said, "due_ms": due_ms})
            self._cloud.work.put(tx, self.queue, payload, due_s=due_ms / 1000)

        return again

    async def round(self, call: Call) -> int:
        """When the next round is due, in ms; 0 for none."""
        raise NotImplementedError


class _Evaluator(_Chained):
    queue, plan = _EVALUATE, "evaluate"

    async def round(self, call: Call) -> int:
        after, every_ms = "", 0
        while True:

            def page(inner: Call, after: str = after) -> tuple[str, int]:
                keys = keys_of(inner.account, inner.region)
                least_ms, last = 0, ""
                rows = list(islice(state.alarms(inner.tx, keys, "", after), _PAGE))
                for alarm in rows:
                    last = alarm["name"]
                    if alarm["kind"] == "metric":
                        fine = _period_s(alarm["settings"]) < 60
                        own_ms = _FINE_EVERY_MS if fine else _EVERY_MS
                        least_ms = min(least_ms or own_ms, own_ms)
                        evaluate_metric(inner, alarm)
                return (last if len(rows) == _PAGE else ""), least_ms

            after, least_ms = await call.transact(page)
            if least_ms:
                every_ms = min(every_ms or least_ms, least_ms)
            if not after:
                return every_ms


class _Sweeper(_Chained):
    queue, plan = _SWEEP, "sweep"

    async def round(self, call: Call) -> int:
        place, is_any = b"", False
        while True:

            def page(inner: Call, place: bytes = place) -> tuple[bytes | None, bool]:
                """One metric's page: (the place to go on behind, whether the metric is still there)."""
                tx, keys = inner.tx, keys_of(inner.account, inner.region)
                for at, namespace, name, dimensions, record in state.metrics(tx, keys, "", place):
                    more, any_left = state.expire_points(tx, keys, record["id"], _SWEPT_MAX)
                    if more:
                        return place, True
                    if not any_left:
                        state.drop_metric(tx, keys, namespace, name, dimensions)
                    return at, any_left
                return None, False

            found, is_left = await call.transact(page)
            is_any = is_any or is_left
            if found is None:
                return _SWEEP_EVERY_MS if is_any else 0
            place = found


class _Releaser:
    queue, ordered, concurrency = suppression.RELEASE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"], self.queue)

        def settle(tx: Tx) -> None:
            call.tx = tx
            alarm = suppression.due(call, said["name"], said["until_ms"])
            if alarm is not None:
                release(call, alarm)

        return settle


class _Actor:
    """Carries out an action; a few times if it fails, then the history says so."""

    queue, ordered, concurrency = _ACTION, False, 16

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        account, region, action = said["account"], said["region"], said["action"]
        alarm, old = said["alarm"], said["old"]
        call = self._cloud.call(account, region, alarm["id"])
        try:
            await self._act(call, action, alarm, old)
        except Fault as fault:
            if not action:
                return None  # nobody has a default bus, or it is no place for this
            return self._failed(call, job, said, fault)
        if not action:
            return None

        def settle(tx: Tx) -> None:
            call.tx = tx
            told = {"actionState": "Succeeded", "notificationResource": action}
            note(call, alarm, "Action", f"Successfully executed action {action}", told)

        return settle

    def _failed(self, call: Call, job: Job, said: dict[str, Any], fault: Fault) -> Settle:
        action, alarm = said["action"], said["alarm"]

        def settle(tx: Tx) -> None:
            call.tx = tx
            status = fault.status or 400
            if status >= 500 and status != 501 and said["attempt"] < _TRIES_MAX:
                payload = orjson.dumps({**said, "attempt": said["attempt"] + 1})
                due_s = tx.time_s + 2 ** said["attempt"]
                self._cloud.work.put(tx, self.queue, payload, due_s=due_s)
                return
            told = {
                "actionState": "Failed",
                "notificationResource": action,
                "error": fault.message,
            }
            summary = f'Failed to execute action {action}. Received error: "{fault.message}"'
            note(call, alarm, "Action", summary, told)

        return settle

    async def _act(self, call: Call, action: str, alarm: Record, old: Record) -> None:
        """Raises Fault."""
        account, region = call.account, call.region
        if not action:
            service = call.as_service(TO_BUS, alarm["arn"])
            entry = notices.bus_entry(alarm, old)
            await service.request("events", "PutEvents", {"Entries": [entry]})
            return
        _, _, target, where, owner, _ = action.split(":", 5)
        if target == "sns":
            service = call.as_service(PRINCIPAL, alarm["arn"]).scoped(owner, where)
            await service.request(
                "sns",
                "Publish",
                {
                    "TopicArn": action,
                    "Subject": notices.subject(alarm, region),
                    "Message": notices.topic_message(alarm, old, account, region),
                },
            )
            return
        service = call.as_service(TO_FUNCTIONS, alarm["arn"]).scoped(owner, where)
        await service.request(
            "lambda",
            "Invoke",
            {
                "FunctionName": action,
                "InvocationType": "Event",
                "Payload": notices.function_event(alarm, old, account, region),
            },
        )
