"""Rules and their targets: which events go where, and as what."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite import delivery, http_targets, timetable
from stratolite.errors import Fault
from stratolite.input_template import placeholders, steps
from stratolite.patterns import PatternError, compile_pattern
from stratolite.service import Call, Cloud, Request, Response, Service
from stratolite.services.events import jobs, names, state
from stratolite.services.events.buses import find, merged
from stratolite.services.events.names import invalid
from stratolite.services.events.state import DEFAULT

_RULES_MAX = 2000  # a bus; AWS: 300, raised on request
_TARGETS_MAX = 5
_PAGE = 100
_PATTERN_LENGTH_MAX = 4096
_PREDEFINED = frozenset((
    "aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time", "aws.events.event", "aws.events.event.json",
))  # fmt: skip
_INPUTS = ("Input", "InputPath", "InputTransformer")
_EVENT_HAS = ("id", "account", "source", "time", "region", "detail-type")
"""What TestEventPattern asks of an event; AWS's page names ``resources``, too, which AWS does not miss.

localstack/localstack, tests/aws/services/events/test_events_patterns.snapshot.json
"""
NOT_OFFERED = (
    "RunCommandParameters", "EcsParameters", "BatchParameters", "RedshiftDataParameters", "SageMakerPipelineParameters", "AppSyncParameters",
)  # fmt: skip


class Rules(Service):
    def put_rule(self, call: Call, request: Request) -> Response:
        name, keys, tx = request["Name"], call.keys("events"), call.tx
        bus_name = names.own_bus(call, request.get("EventBusName"))
        pattern, schedule = request.get("EventPattern"), request.get("ScheduleExpression")
        if not pattern and not schedule:
            raise invalid(
                "Parameter(s) EventPattern or ScheduleExpression must be specified.",
            )
        if pattern:
            check_pattern(pattern)
        if schedule:
            if bus_name != DEFAULT:
                raise invalid("ScheduleExpression is supported only on the default event bus.")
            parse_schedule(schedule)
        find(call, bus_name)
        known = state.get(tx, keys, "rule", bus_name, name)
        count = 0 if known else state.count(tx, keys, "rule", bus_name, limit=_RULES_MAX)
        if count >= _RULES_MAX:
            raise names.limit_reached()
        tags = known["tags"] if known else merged({}, request.get("Tags"))
        record = {
            "pattern": pattern or "",
            "schedule": schedule or "",
            "state": request.get("State", "ENABLED"),
            "description": request.get("Description", ""),
            "role": request.get("RoleArn", ""),
            "tags": tags,
        }
        _settle(call, bus_name, name, record)
        return {"RuleArn": names.rule_arn(call.region, call.account, bus_name, name)}

    def describe_rule(self, call: Call, request: Request) -> Response:
        bus_name, record = _find(call, request)
        answer = _described(call, bus_name, request["Name"], record)
        return answer | {"CreatedBy": call.account}

    def list_rules(self, call: Call, request: Request) -> Response:
        bus_name = names.own_bus(call, request.get("EventBusName"))
        find(call, bus_name)
        prefix, after = request.get("NamePrefix", ""), names.after(request)
        limit = request.get("Limit") or _PAGE
        found: list[Response] = []
        rows = state.rows(
            call.tx, call.keys("events"), "rule", bus_name, prefix=prefix, after=after
        )
        for name, record in rows:
            if len(found) == limit:
                return {"Rules": found, "NextToken": names.token(found[-1]["Name"])}
            found.append(_described(call, bus_name, name, record))
        return {"Rules": found}

    def delete_rule(self, call: Call, request: Request) -> Response:
        bus_name, keys = names.own_bus(call, request.get("EventBusName")), call.keys("events")
        find(call, bus_name)
        name = request["Name"]
        if state.get(call.tx, keys, "rule", bus_name, name) is None:
            return {}
        if state.targets(call.tx, keys, bus_name, name):
            raise invalid("Rule can't be deleted since it has targets.")
        state.delete(call.tx, keys, "rule", bus_name, name)
        state.changed(call.tx, keys, bus_name)
        return {}

    def enable_rule(self, call: Call, request: Request) -> Response:
        return self._set_state(call, request, "ENABLED")

    def disable_rule(self, call: Call, request: Request) -> Response:
        return self._set_state(call, request, "DISABLED")

    def _set_state(self, call: Call, request: Request, wanted: str) -> Response:
        bus_name, record = _find(call, request)
        if record["state"] != wanted:
            _settle(call, bus_name, request["Name"], {**record, "state": wanted})
        return {}

    def test_event_pattern(self, call: Call, request: Request) -> Response:
        pattern = check_pattern(request["EventPattern"])
        try:
            event = orjson.loads(request["Event"])
        except orjson.JSONDecodeError:
            event = None
        if not isinstance(event, dict) or any(member not in event for member in _EVENT_HAS):
            raise invalid("Parameter Event is not valid.")
        return {"Result": pattern.matches(event)}

    # -- targets

    def put_targets(self, call: Call, request: Request) -> Response:
        bus_name, keys = names.own_bus(call, request.get("EventBusName")), call.keys("events")
        find(call, bus_name)
        rule = request["Rule"]
        if state.get(call.tx, keys, "rule", bus_name, rule) is None:
            raise names.no_rule(bus_name, rule)
        known = {t["Id"] for t in state.targets(call.tx, keys, bus_name, rule)}
        for target in request["Targets"]:
            self._check_target(call, target)
            known.add(target["Id"])
            state.put_target(call.tx, keys, bus_name, rule, target)
        if len(known) > _TARGETS_MAX:
            raise names.limit_reached()
        return {"FailedEntryCount": 0, "FailedEntries": []}

    def remove_targets(self, call: Call, request: Request) -> Response:
        bus_name, keys = names.own_bus(call, request.get("EventBusName")), call.keys("events")
        find(call, bus_name)
        rule = request["Rule"]
        if state.get(call.tx, keys, "rule", bus_name, rule) is None:
            raise names.no_rule(bus_name, rule)
        failed = [
            {
                "TargetId": one,
                "ErrorCode": "ResourceNotFoundException",
                "ErrorMessage": f"Rule {rule} does not have target {one}.",
            }
            for one in request["Ids"]
            if not state.delete_target(call.tx, keys, bus_name, rule, one)
        ]
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    def list_targets_by_rule(self, call: Call, request: Request) -> Response:
        bus_name, keys = names.own_bus(call, request.get("EventBusName")), call.keys("events")
        find(call, bus_name)
        rule = request["Rule"]
        if state.get(call.tx, keys, "rule", bus_name, rule) is None:
            raise names.no_rule(bus_name, rule)
        limit = request.get("Limit") or _PAGE
        found: list[state.Record] = []
        rows = state.rows(call.tx, keys, "target", bus_name, rule, after=names.after(request))
        for _, target in rows:
            if len(found) == limit:
                return {"Targets": found, "NextToken": names.token(found[-1]["Id"])}
            found.append(target)
        return {"Targets": found}

    def list_rule_names_by_target(self, call: Call, request: Request) -> Response:
        bus_name = names.own_bus(call, request.get("EventBusName"))
        find(call, bus_name)
        limit = request.get("Limit") or _PAGE
        found, after = state.rules_aimed_at(
            call.tx,
            call.keys("events"),
            request["TargetArn"],
            bus_name,
            names.after(request),
            limit,
        )
        return {"RuleNames": found} | ({"NextToken": names.token(after)} if after else {})

    def _check_target(self, call: Call, target: dict[str, Any]) -> None:
        """Raises Fault for a target nothing could be sent to, or not in the way it asks for."""
        for member in NOT_OFFERED:
            if target.get(member):
                raise names.not_offered(f"Target {member}")
        arn = target["Arn"]
        kind = check_target_arn(arn, call.cloud)
        is_destination = kind == "http" and ":api-destination/" in arn
        needs_role = is_destination or kind in ("kinesis", "firehose", "states")
        if needs_role and not target.get("RoleArn"):
            raise invalid(f"RoleArn is required for target {arn}.")
        if given := target.get("HttpParameters"):
            if kind != "http":
                raise invalid(f"HttpParameters are not supported for target {arn}.")
            try:
                http_targets.check_headers(arn, given)
            except ValueError as error:
                raise invalid(f"Parameter HttpParameters is not valid. Reason: {error}.") from error
        fifo = kind == "sqs" and arn.endswith(".fifo")
        if fifo and not target.get("SqsParameters", {}).get("MessageGroupId"):
            raise invalid(
                f"Parameter(s) SqsParameters must be specified for target: {target['Id']}."
            )
        _check_input(target)


def check_target_arn(arn: str, cloud: Cloud | None = None) -> str:
    """The kind of target. Raises Fault for one that nothing can be sent to, as far as can be said without ``cloud``."""
    try:
        parsed = delivery.parse(arn)
        if parsed.service == "events" and parsed.resource.startswith("event-bus/"):
            return "events"
        if http_targets.is_http(arn):
            if cloud is not None:
                http_targets.check(cloud, arn)
            return "http"
        return delivery.kind_of(arn) if cloud is None else delivery.check(cloud, arn)
    except ValueError as error:
        raise invalid(f"Parameter Arn is not valid. Reason: {error}.") from error


def check_pattern(text: str) -> Any:
    """The compiled pattern. Raises Fault InvalidEventPatternException."""
    if len(text) > _PATTERN_LENGTH_MAX:
        raise invalid("Event pattern is longer than 4096 characters.")
    try:
        return compile_pattern(text)
    except PatternError as error:
        raise Fault(
            "InvalidEventPatternException", f"Event pattern is not valid. Reason: {error}"
        ) from error


def parse_schedule(text: str) -> timetable.Timetable:
    """Raises Fault for what is neither a rate nor a cron expression."""
    try:
        found = timetable.parse(text, strict_plural=True)
    except ValueError as error:
        raise invalid("Parameter ScheduleExpression is not valid.") from error
    if isinstance(found, timetable.At):
        raise invalid("Parameter ScheduleExpression is not valid.")
    return found


def _check_input(target: dict[str, Any]) -> None:
    name, given = target["Id"], [m for m in _INPUTS if target.get(m)]
    if len(given) > 1:
        raise invalid(
            f"Only one of Input, InputPath, or InputTransformer must be provided for target {name}."
        )
    if text := target.get("Input"):
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise invalid(f"JSON syntax error in input for target {name}: {error}") from error
    if path := target.get("InputPath"):
        _check_path(path, f"InputPath for target {name} is invalid.")
    if transformer := target.get("InputTransformer"):
        known = transformer.get("InputPathsMap") or {}
        for key, path in known.items():
            if key.lower().startswith("aws."):
                raise invalid(f"InputPathsMap for target {name} contains invalid key {key}.")
            _check_path(path, f"InputPathsMap for target {name} contains invalid path {path}.")
        for placeholder in placeholders(transformer["InputTemplate"]):
            if placeholder not in known and placeholder not in _PREDEFINED:
                raise invalid(
                    f"InputTemplate for target {name} contains invalid placeholder {placeholder}."
                )


def _check_path(path: str, complaint: str) -> None:
    try:
        steps(path)
    except ValueError as error:
        raise invalid(complaint) from error


def _find(call: Call, request: Request) -> tuple[str, state.Record]:
    bus_name = names.own_bus(call, request.get("EventBusName"))
    find(call, bus_name)
    record = state.get(call.tx, call.keys("events"), "rule", bus_name, request["Name"])
    if record is None:
        raise names.no_rule(bus_name, request["Name"])
    return bus_name, record


def _settle(call: Call, bus_name: str, name: str, record: state.Record) -> None:
    """Keep a rule; one that is on by a timetable gets a new timer, whatever timer it had is void."""
    record |= {"timer": 0, "anchor_s": call.tx.time_s}
    if record["schedule"] and record["state"] != "DISABLED":
        record["timer"] = jobs.start_timer(call, name, record)
    state.put(call.tx, call.keys("events"), "rule", bus_name, name, record=record)
    state.changed(call.tx, call.keys("events"), bus_name)


_MEMBERS = (
    ("EventPattern", "pattern"), ("ScheduleExpression", "schedule"), ("State", "state"), ("Description", "description"), ("RoleArn", "role"),
)  # fmt: skip


def _described(call: Call, bus_name: str, name: str, record: state.Record) -> Response:
    answer = {
        "Name": name,
        "Arn": names.rule_arn(call.region, call.account, bus_name, name),
        "EventBusName": bus_name,
    }
    return answer | {member: record[field] for member, field in _MEMBERS if record[field]}
