"""Alarms: put, describe, set, switch, delete.

A record is JSON {name, id (a UUID), arn, kind (metric, composite), settings as they were given, children (of a
composite one), suppressor (its name, "") and suppressed (see ``suppression``), state, reason, reason_data, updated_ms, changed_ms,
moved_ms, tags, token}: ``updated_ms`` of the configuration, ``changed_ms`` of the state's reason, ``moved_ms`` of its value.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service, is_number
from stratolite.services.cloudwatch import (
    alarm_rules,
    evaluation,
    notices,
    reading,
    searching,
    state,
    suppression,
    worker,
)
from stratolite.services.cloudwatch.alarm_rules import BadRule
from stratolite.services.cloudwatch.naming import UNITS, combination, dimensions_of, wrong
from stratolite.services.cloudwatch.state import Record, keys_of

_STATES = ("INSUFFICIENT_DATA", "ALARM", "OK")
ACTIONS = ("OKActions", "AlarmActions", "InsufficientDataActions")
_ACTIONS_MAX = 5
_OFFERED_ACTION = re.compile(r"arn:aws[a-z-]*:(sns|lambda):[a-z0-9-]+:\d{12}:.+")
_PAGE_MAX = 100
_LOOKED_AT_MAX = 2000
_COMMON = ("AlarmDescription", "ActionsEnabled", *ACTIONS)
_METRIC = (
    *_COMMON, "MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit",
    "EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator", "TreatMissingData",
    "EvaluateLowSampleCountPercentile", "Metrics",
)  # fmt: skip
NOT_OFFERED = (
    "ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria", "EvaluationInterval",
    "ActionConfiguration",
)  # fmt: skip
_DAY_S = 86_400


def arn_of(call: Call, name: str) -> str:
    return f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm:{name}"


class Alarms(Service):
    def put_metric_alarm(self, call: Call, request: Request) -> Response:
        _check_common(request)
        settings = {name: request[name] for name in _METRIC if request.get(name) is not None}
        _check_metric(settings)
        self._put(call, request, "metric", settings, [])
        worker.plan_evaluation(call)
        return {}

    def put_composite_alarm(self, call: Call, request: Request) -> Response:
        _check_common(request)
        name, keys = request["AlarmName"], keys_of(call.account, call.region)
        try:
            rule = alarm_rules.parse(request.get("AlarmRule") or "")
        except BadRule as error:
            raise Fault("ValidationError", f"AlarmRule: {error}") from error
        for child in rule.children:
            if child == name or _reaches(call, child, name):
                raise Fault("ValidationError", "Alarm rules must not form a cycle.")
            if state.alarm(call.tx, keys, child) is None:
                raise Fault(
                    "ValidationError",
                    "Could not save the composite alarm as alarms"
                    f" [{arn_of(call, child)}] in the alarm rule do not exist",
                )
        suppressor = self._suppressor(call, request)
        wanted = (*_COMMON, "AlarmRule", *(suppression.SETTINGS if suppressor else ()))
        settings = {n: request[n] for n in wanted if request.get(n) is not None}
        self._put(call, request, "composite", settings, list(rule.children), suppressor)
        worker.evaluate_composite(call, name)
        return {}

    def _suppressor(self, call: Call, request: Request) -> str:
        """The name of the alarm that suppresses the actions, "" for none. Raises Fault."""
        given = request.get("ActionsSuppressor") or ""
        if not given:
            return ""
        for name in suppression.SETTINGS[1:]:
            seconds = request.get(name)
            if seconds is None or seconds < 0:
                raise Fault("ValidationError", f"{name} is required with ActionsSuppressor.")
        name = suppression.name_of(given)
        if name == request["AlarmName"]:
            raise Fault("ValidationError", "An alarm cannot suppress its own actions.")
        if state.alarm(call.tx, keys_of(call.account, call.region), name) is None:
            raise Fault(
                "ValidationError",
                f"Could not save the composite alarm as the actions suppressor {arn_of(call, name)} does not exist",
            )
        return name

    def _put(
        self,
        call: Call,
        request: Request,
        kind: str,
        settings: Record,
        children: list[str],
        suppressor: str = "",
    ) -> None:
        tx, keys, name = call.tx, keys_of(call.account, call.region), request["AlarmName"]
        now_ms = int(tx.time_s * 1000)
        found = state.alarm(tx, keys, name)
        token = request.get("StackToken")  # not AWS's: a stack's step finds what it made before
        if found is not None and token and found["token"] != token:
            raise Fault("ValidationError", f"The alarm {name} already exists.")
        if found is not None and found["kind"] != kind:
            raise Fault("ValidationError", f"An alarm of another type exists with the name {name}.")
        for name_, default in (("ActionsEnabled", True), *((n, []) for n in ACTIONS)):
            settings.setdefault(name_, default)
        if kind == "metric":
            settings.setdefault("Dimensions", [])
        tags = {tag["Key"]: tag["Value"] for tag in request.get("Tags") or ()}
        record = {
            "id": call.world.uuid(),
            "state": "INSUFFICIENT_DATA",
            "reason": "Unchecked: Initial alarm creation",
            "reason_data": "",
            "changed_ms": now_ms,
            "moved_ms": now_ms,
            "tags": tags,
            "token": token,
            **(found or {}),
            "name": name,
            "arn": arn_of(call, name),
            "kind": kind,
            "settings": settings,
            "children": children,
            "suppressor": suppressor,
            "updated_ms": now_ms,
        }
        if not suppressor or suppressor != (found or {}).get("suppressor"):
            record["suppressed"] = None
        state.put_alarm(tx, keys, record)
        summary = f'Alarm "{name}" {"created" if found is None else "updated"}'
        worker.note(call, record, "ConfigurationUpdate", summary, {"version": "1.0"})
        worker.tell_of_settings(call, record, "create" if found is None else "update", found)

    def delete_alarms(self, call: Call, request: Request) -> Response:
        keys = keys_of(call.account, call.region)
        names = request.get("AlarmNames") or []
        if len(names) > _PAGE_MAX:
            raise wrong(f"The collection AlarmNames must not have a size greater than {_PAGE_MAX}.")
        found = [one for name in names if (one := state.alarm(call.tx, keys, name))]
        going = {one["name"] for one in found}
        for one in found:
            above = state.parents(call.tx, keys, one["name"])
            for parent in above + state.suppressed_by(call.tx, keys, one["name"]):
                if parent not in going:
                    raise Fault(
                        "ValidationError",
                        f"Cannot delete {one['name']} as there are composite alarms depending on it.",
                    )
        for one in found:
            state.drop_alarm(call.tx, keys, one)
            summary = f'Alarm "{one["name"]}" deleted'
            worker.note(call, one, "ConfigurationUpdate", summary, {"version": "1.0"})
            worker.tell_of_settings(call, one, "delete")
        return {}

    def describe_alarms(self, call: Call, request: Request) -> Response:
        most = request.get("MaxRecords") or 50
        if not 1 <= most <= _PAGE_MAX:
            raise wrong(f"The value {most} for parameter MaxRecords is invalid.")
        kinds = request.get("AlarmTypes") or ["MetricAlarm"]
        keys, tx = keys_of(call.account, call.region), call.tx
        names = request.get("AlarmNames")
        if names and request.get("AlarmNamePrefix"):
            raise combination("AlarmNames and AlarmNamePrefix are mutually exclusive.")
        rows: Any
        if names:
            rows = (one for name in names if (one := state.alarm(tx, keys, name)))
        elif child := request.get("ParentsOfAlarmName"):
            rows = (state.alarm(tx, keys, name) for name in state.parents(tx, keys, child))
            kinds = ["CompositeAlarm"]
        elif parent := request.get("ChildrenOfAlarmName"):
            children = (state.alarm(tx, keys, parent) or {}).get("children", [])
            rows = (one for name in children if (one := state.alarm(tx, keys, name)))
            kinds = ["MetricAlarm", "CompositeAlarm"]
        else:
            prefix, after = request.get("AlarmNamePrefix") or "", request.get("NextToken") or ""
            rows = state.alarms(tx, keys, prefix, after)
        answer: Response = {"MetricAlarms": [], "CompositeAlarms": [], "LogAlarms": []}
        count, last = 0, ""
        for looked_at, one in enumerate(rows):
            if count == most or looked_at == _LOOKED_AT_MAX:
                answer["NextToken"] = last
                break
            last = one["name"]
            member = "MetricAlarms" if one["kind"] == "metric" else "CompositeAlarms"
            if member[:-1] not in kinds or not _is_asked_for(one, request):
                continue
            answer[member].append(described(one))
            count += 1
        return answer

    def describe_alarms_for_metric(self, call: Call, request: Request) -> Response:
        wanted = request["Namespace"], request["MetricName"]
        dimensions = dimensions_of(request.get("Dimensions"))
        found = []
        rows = state.alarms(call.tx, keys_of(call.account, call.region), "", "")
        for looked_at, one in enumerate(rows):
            if looked_at == _LOOKED_AT_MAX:
                break
            settings = one["settings"]
            if (settings.get("Namespace"), settings.get("MetricName")) != wanted:
                continue
            if dimensions_of(settings.get("Dimensions")) != dimensions:
                continue
            same = ("Statistic", "ExtendedStatistic", "Period", "Unit")
            if all(request.get(n) in (None, settings.get(n)) for n in same):
                found.append(described(one))
        return {"MetricAlarms": found}

    def describe_alarm_history(self, call: Call, request: Request) -> Response:
        most = request.get("MaxRecords") or _PAGE_MAX
        start_ms = int((request.get("StartDate") or 0) * 1000)
        stop = request.get("EndDate")
        stop_ms = int(stop * 1000) if stop is not None else 1 << 62
        reverse = request.get("ScanBy", "TimestampDescending") != "TimestampAscending"
        if token := request.get("NextToken"):
            if not is_number(token):
                raise Fault("InvalidNextToken", "The next token is invalid.")
            start_ms, stop_ms = (
                (start_ms, min(stop_ms, int(token))) if reverse else (int(token), stop_ms)
            )
        kinds, item = request.get("AlarmTypes") or [], request.get("HistoryItemType")
        keys = keys_of(call.account, call.region)
        rows = state.history(
            call.tx, keys, request.get("AlarmName") or "", (start_ms, stop_ms), reverse=reverse
        )
        found: list[Response] = []
        for looked_at, ((ms, _), one) in enumerate(rows):
            if len(found) >= most or looked_at >= _LOOKED_AT_MAX:
                token = str(ms + 1 if reverse else ms)
                return {"AlarmHistoryItems": found, "NextToken": token}
            kind = "MetricAlarm" if one["kind"] == "metric" else "CompositeAlarm"
            if (item and one["item"] != item) or (kinds and kind not in kinds):
                continue
            found.append({
                "AlarmName": one["name"],
                "AlarmType": kind,
                "Timestamp": ms / 1000,
                "HistoryItemType": one["item"],
                "HistorySummary": one["summary"],
                "HistoryData": one["data"],
            })  # fmt: skip
        return {"AlarmHistoryItems": found}

    def set_alarm_state(self, call: Call, request: Request) -> Response:
        name, value = request["AlarmName"], request["StateValue"]
        if value not in _STATES:
            raise Fault(
                "ValidationError",
                f"1 validation error detected: Value '{value}' at 'stateValue' failed to satisfy constraint:"
                f" Member must satisfy enum value set: [{', '.join(_STATES)}]",
            )
        data = request.get("StateReasonData") or ""
        if data:
            try:
                orjson.loads(data)
            except orjson.JSONDecodeError:
                raise Fault("InvalidFormat", "StateReasonData was not valid JSON") from None
        found = state.alarm(call.tx, keys_of(call.account, call.region), name)
        if found is None:
            raise Fault("ResourceNotFound", "")
        worker.change(call, found, value, request["StateReason"], data)
        return {}

    def enable_alarm_actions(self, call: Call, request: Request) -> Response:
        return self._switch(call, request, on=True)

    def disable_alarm_actions(self, call: Call, request: Request) -> Response:
        return self._switch(call, request, on=False)

    def _switch(self, call: Call, request: Request, *, on: bool) -> Response:
        keys = keys_of(call.account, call.region)
        for name in request["AlarmNames"]:
            found = state.alarm(call.tx, keys, name)
            if found is not None:
                settings = {**found["settings"], "ActionsEnabled": on}
                state.put_alarm(call.tx, keys, {**found, "settings": settings})
        return {}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        tags = self._tags(call, request["ResourceARN"])
        given = {t["Key"]: t["Value"] for t in request["Tags"]}
        self._keep_tags(call, request["ResourceARN"], tags | given)
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        tags = self._tags(call, request["ResourceARN"])
        kept = {k: v for k, v in tags.items() if k not in request["TagKeys"]}
        self._keep_tags(call, request["ResourceARN"], kept)
        return {}

    def list_tags_for_resource(self, call: Call, request: Request) -> Response:
        """None of what is gone."""
        tags = (_thing(call, request["ResourceARN"]) or {}).get("tags") or {}
        return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}

    def _tags(self, call: Call, arn: str) -> dict[str, str]:
        """An alarm's or a dashboard's."""
        found = _thing(call, arn)
        if found is None:
            raise Fault("ResourceNotFoundException", f"Unknown resource: {arn}")
        tags: dict[str, str] = found.get("tags") or {}
        return tags

    def _keep_tags(self, call: Call, arn: str, tags: dict[str, str]) -> None:
        record = {**(_thing(call, arn) or {}), "tags": tags}
        if name := _dashboard_name(arn):
            state.put_dashboard(call.tx, keys_of(call.account, ""), name, record)
        else:
            state.put_alarm(call.tx, keys_of(call.account, call.region), record)

    def alarm_access(self, call: Call, operation: str, request: Request) -> list[Access]:
        action = f"cloudwatch:{operation}"
        names = request.get("AlarmNames") or (
            [request["AlarmName"]] if request.get("AlarmName") else []
        )
        if arn := request.get("ResourceARN"):
            return [(action, arn)]
        return [(action, arn_of(call, name)) for name in names] or [(action, "*")]


def described(one: Record) -> Response:
    shown = {
        "AlarmName": one["name"],
        "AlarmArn": one["arn"],
        "AlarmConfigurationUpdatedTimestamp": one["updated_ms"] / 1000,
        "StateValue": one["state"],
        "StateReason": one["reason"],
        "StateUpdatedTimestamp": one["changed_ms"] / 1000,
        "StateTransitionedTimestamp": one["moved_ms"] / 1000,
        **one["settings"],
    }
    if one["reason_data"]:
        shown["StateReasonData"] = one["reason_data"]
    if suppressed := one.get("suppressed"):
        shown["ActionsSuppressedBy"] = suppressed["by"]
        shown["ActionsSuppressedReason"] = notices.suppressed_reason(suppressed)
    return shown


def _is_asked_for(one: Record, request: Request) -> bool:
    wanted, prefix = request.get("StateValue"), request.get("ActionPrefix")
    if wanted and one["state"] != wanted:
        return False
    actions = [a for name in ACTIONS for a in one["settings"][name]]
    return not prefix or any(action.startswith(prefix) for action in actions)


def _check_common(request: Request) -> None:
    name = request.get("AlarmName") or ""
    if not 1 <= len(name) <= 255:
        raise Fault("ValidationError", "AlarmName must be 1 to 255 characters.")
    for member in NOT_OFFERED:
        if request.get(member):
            raise Fault("ValidationError", f"{member} is not offered by Stratolite")
    for member in ACTIONS:
        listed = request.get(member) or []
        if len(listed) > _ACTIONS_MAX:
            raise Fault("ValidationError", f"{member} must have at most {_ACTIONS_MAX} entries.")
        for action in listed:
            check_action(action)


def check_action(arn: str) -> None:
    """Raises Fault for an action that no alarm can take here."""
    if not _OFFERED_ACTION.fullmatch(arn):
        raise Fault(
            "ValidationError",
            f"Invalid arn syntax or an action that is not offered by Stratolite: {arn}",
        )


def _check_metric(settings: Record) -> None:
    if settings.get("ComparisonOperator") not in evaluation.COMPARISONS:
        raise Fault(
            "ValidationError",
            f"ComparisonOperator {settings.get('ComparisonOperator')} is unknown or not offered by Stratolite",
        )
    low = settings.get("EvaluateLowSampleCountPercentile", "evaluate")
    if low not in ("evaluate", "ignore"):
        raise Fault(
            "ValidationError",
            f"Option {low} is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are evaluate"
            " and ignore.",
        )
    if settings.get("TreatMissingData", "missing") not in evaluation.TREATMENTS:
        raise Fault(
            "ValidationError",
            f"The value '{settings['TreatMissingData']}' for parameter 'TreatMissingData' is not supported."
            f" Option must be one of the following: [breaching, notBreaching, ignore, missing]",
        )
    if "Threshold" not in settings:
        raise Fault("ValidationError", "Threshold is required.")
    periods = settings.get("EvaluationPeriods")
    if periods is None or periods < 1:
        raise Fault("ValidationError", "EvaluationPeriods must be at least 1.")
    needed = settings.get("DatapointsToAlarm")
    if needed is not None and not 1 <= needed <= periods:
        raise Fault("ValidationError", "DatapointsToAlarm must be between 1 and EvaluationPeriods.")
    if settings.get("Unit", "None") not in UNITS:
        raise Fault("ValidationError", f"The unit {settings['Unit']} is unknown.")
    if "Metrics" in settings:
        if "MetricName" in settings:
            raise combination("MetricName and Metrics are mutually exclusive.")
        for query in settings["Metrics"]:
            reading.check_query(query)
            if searching.searches_in(query.get("Expression") or ""):
                raise Fault(
                    "ValidationError", "SEARCH is not supported in the metrics of an alarm."
                )
        returned = [q for q in settings["Metrics"] if q.get("ReturnData") is not False]
        if len(returned) != 1:
            raise Fault("ValidationError", "Exactly one of the Metrics must have ReturnData true.")
        period_s = period_of(settings)
    else:
        for name in ("MetricName", "Namespace", "Period"):
            if name not in settings:
                raise Fault("MissingParameter", f"The parameter {name} is required.")
        if ("Statistic" in settings) == ("ExtendedStatistic" in settings):
            raise combination("Exactly one of Statistic and ExtendedStatistic must be given.")
        dimensions_of(settings.get("Dimensions"))
        period_s = settings["Period"]
        reading.check_period(period_s)
        reading.check_statistic(settings.get("Statistic") or settings["ExtendedStatistic"])
    limit_s = _DAY_S if period_s < 3600 else 7 * _DAY_S
    if period_s * periods > limit_s:
        raise Fault(
            "ValidationError",
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).",
        )


def period_of(settings: Record) -> int:
    if "Metrics" not in settings:
        return int(settings["Period"])
    periods = [q["MetricStat"]["Period"] for q in settings["Metrics"] if q.get("MetricStat")]
    periods += [q["Period"] for q in settings["Metrics"] if q.get("Period")]
    return max(periods, default=60)


def _reaches(call: Call, start: str, goal: str) -> bool:
    """Whether the rule of ``start`` leads to ``goal``."""
    keys = keys_of(call.account, call.region)
    left, seen = [start], set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        children = (state.alarm(call.tx, keys, name) or {}).get("children", [])
        if goal in children:
            return True
        left += children
    return False


def _dashboard_name(arn: str) -> str:
    return arn.partition(":dashboard/")[2]


def _thing(call: Call, arn: str) -> Record | None:
    """What has the ARN and may have tags: an alarm, a dashboard."""
    if name := _dashboard_name(arn):
        return state.dashboard(call.tx, keys_of(call.account, ""), name)
    name = arn.partition(":alarm:")[2]
    return state.alarm(call.tx, keys_of(call.account, call.region), name) if name else None
