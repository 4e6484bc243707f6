"""Subscription filters: what matches of a group's events is sent on to a function or a stream as it comes in.

Kept in the group's record, so that writing to a group without one reads nothing more: {name, pattern, destination (ARN), role or "",
distribution, created_ms}. What matched of one PutLogEvents is a job in its transaction:

``logs.subscription``  JSON {account, region, group, number (the group's), stream, stream_number, filter, destination, role,
                       distribution, first_s, attempts, events: [[ms, stamp]]}

A function's own policy must let logs.amazonaws.com; streams are written to as the filter's role. What is throttled or broken is tried
again for a day, what may not be written to is dropped, as on AWS.
Source  https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
        https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutSubscriptionFilter.html
"""

from __future__ import annotations

import base64
import gzip
import logging
import re
from typing import Any

import orjson

from stratolite import delivery
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Settle
from stratolite.services.logs import patterns, state
from stratolite.services.logs.events import Events, Written, group_name, group_of, page_size
from stratolite.services.logs.sealing import Sealer
from stratolite.services.logs.state import Record, event_id

QUEUE = "logs.subscription"
_log = logging.getLogger("stratolite.logs")
_PRINCIPAL = "logs.amazonaws.com"
_FILTERS_MAX = 2
_WITH_EXPRESSIONS_MAX = 5
_EVENTS_BYTES_MAX = 256 << 10
"""Of messages sent on together; it is compressed before it is held against the limits of functions and streams."""
_RETRY_S_FIRST, _RETRY_S_MAX, _AGE_S_MAX = 1.0, 300.0, 86_400.0
_NAME = re.compile(r"[^:*]{1,512}")
_PAGE = 50
_DESTINATION = re.compile(
    r"arn:aws:(lambda|kinesis|firehose):[a-z0-9-]+:\d{12}:(?:function:|stream/|deliverystream/)(\S+)\Z"
)
_NAMES = {"kinesis": "Kinesis stream", "firehose": "Firehose stream"}
_CHECKED = {"kinesis": "Kinesis stream", "firehose": "Firehose"}


class Subscriptions(Events):
    async def put_subscription_filter(self, call: Call, request: Request) -> Response:
        made = await call.transact(lambda inner: _checked(inner, request))
        await _try(call, group_name(call, request), made)

        def put(inner: Call) -> None:
            group = group_of(inner, request)
            others = [f for f in filters(group) if f["name"] != made["name"]]
            _check_count(others)
            _keep(inner, request, group, [*others, made])

        await call.transact(put)
        return {}

    def describe_subscription_filters(self, call: Call, request: Request) -> Response:
        name, prefix = request["logGroupName"], request.get("filterNamePrefix") or ""
        most, after = page_size(request, _PAGE), request.get("nextToken") or ""
        found = sorted(filters(group_of(call, request)), key=lambda f: str(f["name"]))
        found = [f for f in found if f["name"].startswith(prefix) and f["name"] > after]
        answer: Response = {"subscriptionFilters": [_described(name, f) for f in found[:most]]}
        if len(found) > most:
            answer["nextToken"] = found[most - 1]["name"]
        return answer

    def delete_subscription_filter(self, call: Call, request: Request) -> Response:
        group = group_of(call, request)
        left = [f for f in filters(group) if f["name"] != request["filterName"]]
        if len(left) == len(filters(group)):
            raise Fault(
                "ResourceNotFoundException", "The specified subscription filter does not exist."
            )
        _keep(call, request, group, left)
        return {}

    def forward(
        self,
        call: Call,
        name: str,
        group: Record,
        stream: tuple[int, str],
        events: list[Written],
    ) -> None:
        for one in filters(group):
            pattern = patterns.compiled(one["pattern"])
            wanted = [e for e in events if pattern.matches(e[2])]
            for start, stop in _cuts(wanted):
                job = _job(call, name, group, stream, one, wanted[start:stop])
                call.cloud.work.put(call.tx, QUEUE, job)


def filters(group: Record) -> list[Record]:
    """Of a group; records that are older have none."""
    found: list[Record] = group.get("subscriptions") or []
    return found


def _job(
    call: Call,
    name: str,
    group: Record,
    stream: tuple[int, str],
    one: Record,
    events: list[Written],
) -> bytes:
    return orjson.dumps(
        {
            "account": call.account,
            "region": call.region,
            "group": name,
            "number": group["id"],
            "stream": stream[1],
            "stream_number": stream[0],
            "filter": one["name"],
            "destination": one["destination"],
            "role": one["role"],
            "distribution": one["distribution"],
            "first_s": call.tx.time_s,
            "attempts": 0,
            "events": [[ms, stamp] for ms, stamp, _ in events],
        }
    )


class Sender:
    queue, ordered, concurrency = QUEUE, False, 16

    def __init__(self, cloud: Cloud, sealer: Sealer) -> None:
        self._cloud, self._sealer = cloud, sealer

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        try:
            events = await call.transact(lambda inner: self._read(inner, said))
        except Fault as fault:  # its key does not let Logs read it
            return self._failed(said, fault)
        if not events:
            return None  # deleted since
        document = {
            "messageType": "DATA_MESSAGE",
            "owner": said["account"],
            "logGroup": said["group"],
            "logStream": said["stream"],
            "subscriptionFilters": [said["filter"]],
            "logEvents": events,
        }
        try:
            size = await _send(call, said["group"], said, document)
        except Fault as fault:
            return self._failed(said, fault)
        self._measure(said, "ForwardedLogEvents", len(events))
        self._measure(said, "ForwardedBytes", size, "Bytes")
        return None

    def _read(self, call: Call, said: dict[str, Any]) -> list[dict[str, Any]]:
        keys, found = call.keys("logs"), []
        group = state.get_group(call.tx, keys, said["group"])
        if group is None or group["id"] != said["number"]:
            return []
        for ms, stamp in said["events"]:
            row = state.message(call.tx, keys, said["number"], said["stream_number"], ms, stamp)
            if row is not None:
                text = self._sealer.opened(call, said["group"], group, row)
                found.append({"id": event_id(ms, stamp), "timestamp": ms, "message": text})
        return found

    def _failed(self, said: dict[str, Any], fault: Fault) -> Settle | None:
        again = delivery.may_retry(fault)
        self._measure(said, "DeliveryThrottling" if again else "DeliveryErrors", 1)
        if not again:
            _log.warning("dropped: group=%s filter=%s destination=%s %s: %s", said["group"], said["filter"], said["destination"], fault.code, fault.message)  # fmt: skip
            return None

        def settle(tx: Tx) -> None:
            wait_s = min(_RETRY_S_MAX, _RETRY_S_FIRST * 2 ** min(said["attempts"], 20))
            if tx.time_s + wait_s - said["first_s"] <= _AGE_S_MAX:
                later = orjson.dumps({**said, "attempts": said["attempts"] + 1})
                self._cloud.work.put(tx, QUEUE, later, due_s=tx.time_s + wait_s)

        return settle

    def _measure(self, said: dict[str, Any], name: str, value: float, unit: str = "Count") -> None:
        kind = {"lambda": "Lambda", "kinesis": "Kinesis Data Stream", "firehose": "Kinesis Firehose"}  # fmt: skip
        dimensions = (
            ("DestinationType", kind[delivery.parse(said["destination"]).service]),
            ("FilterName", said["filter"]),
            ("LogGroupName", said["group"]),
        )
        self._cloud.measure(said["account"], said["region"], "AWS/Logs", dimensions, name, value, unit)  # fmt: skip


def _checked(call: Call, request: Request) -> Record:
    """The filter as it is kept. Raises Fault."""
    group = group_of(call, request)
    name, pattern = request["filterName"], request["filterPattern"]
    for member in ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFields"):
        if request.get(member):
            raise _bad(f"{member} is not offered by Stratolite; see docs/coverage.md")
    if not _NAME.fullmatch(name):
        raise _bad(
            f"1 validation error detected: Value '{name}' at 'filterName' failed to satisfy constraint:"
            " Member must satisfy regular expression pattern: [^:*]*"
        )
    compiled = patterns.compiled(pattern, "subscription ")
    destination, role = request["destinationArn"], request.get("roleArn") or ""
    if re.match(r"arn:aws:logs:[a-z0-9-]+:\d{12}:destination:", destination):
        raise _bad("Logical destinations are not offered by Stratolite; see docs/coverage.md")
    found = _DESTINATION.match(destination)
    if found is None:
        raise _bad("Invalid destination ARN")
    if found[1] == "lambda" and role:
        raise _bad("destinationArn for vendor lambda cannot be used with roleArn")
    if found[1] != "lambda" and not role:
        raise _bad(f"destinationArn for vendor {found[1]} cannot be used without roleArn")
    distribution = request.get("distribution") or "ByLogStream"
    if distribution not in ("Random", "ByLogStream"):
        raise _bad(
            f"1 validation error detected: Value '{distribution}' at 'distribution' failed to satisfy constraint:"
            " Member must satisfy enum value set: [Random, ByLogStream]"
        )
    before = next((f for f in filters(group) if f["name"] == name), None)
    others = [f for f in filters(group) if f["name"] != name]
    _check_count(others)
    check_expressions(compiled, [*others, *(group.get("metric_filters") or [])])
    return {
        "name": name,
        "pattern": pattern,
        "destination": destination,
        "role": role,
        "distribution": distribution,
        "created_ms": before["created_ms"] if before else int(call.tx.time_s * 1000),
    }


def _check_count(others: list[Record]) -> None:
    if len(others) >= _FILTERS_MAX:
        raise Fault("LimitExceededException", "Resource limit exceeded.")


def check_expressions(pattern: patterns.Pattern, others: list[Record]) -> None:
    """Raises Fault where a group would have too many filters with regular expressions."""
    if not pattern.expressions:
        return
    count = sum(1 for one in others if patterns.compiled(one["pattern"]).expressions)
    if count >= _WITH_EXPRESSIONS_MAX:
        raise Fault("LimitExceededException", "Resource limit exceeded.")


def _keep(call: Call, request: Request, group: Record, found: list[Record]) -> None:
    kept = {**group, "subscriptions": found}
    state.put_group(call.tx, call.keys("logs"), group_name(call, request), kept)


async def _try(call: Call, group: str, made: Record) -> None:
    """A dry run of a function, a control message to a stream. Raises Fault."""
    kind = delivery.parse(made["destination"]).service
    try:
        if kind == "lambda":
            ask = {"FunctionName": made["destination"], "InvocationType": "DryRun"}
            await _acting(call, group, made["destination"]).request("lambda", "Invoke", ask)
            return
        checking = f"CWL CONTROL MESSAGE: Checking health of destination {_CHECKED[kind]}."
        event = {"id": "", "timestamp": made["created_ms"], "message": checking}
        document = {
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [event],
        }
        await _send(call, group, {**made, "stream": group}, document)
    except Fault as fault:
        if kind == "lambda":
            raise _bad(
                "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to"
                " execute your function."
            ) from fault
        name = _NAMES[kind]
        raise _bad(
            f"Could not deliver test message to specified {name}. Check if the given {name.replace('Kinesis', 'kinesis')}"
            " is in ACTIVE state."
        ) from fault


def _acting(call: Call, group: str, destination: str) -> Call:
    target = delivery.parse(destination)
    acting = call.as_service(_PRINCIPAL, _source(call, group))
    return acting.scoped(target.account, target.region)


def _source(call: Call, group: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account}:log-group:{group}:*"


async def _send(call: Call, group: str, to: Record, document: dict[str, Any]) -> int:
    """How many bytes it was. Raises Fault."""
    raw = gzip.compress(orjson.dumps(document), mtime=0)
    arn = to["destination"]
    target = delivery.parse(arn)
    if target.service == "lambda":
        payload = orjson.dumps({"awslogs": {"data": base64.b64encode(raw).decode()}})
        ask: Request = {"FunctionName": arn, "InvocationType": "Event", "Payload": payload}
        await _acting(call, group, arn).request("lambda", "Invoke", ask)
        return len(raw)
    session = "CloudWatchLogs"
    acting = await call.as_role(to["role"], _PRINCIPAL, _source(call, group), session)
    there = acting.scoped(target.account, target.region)
    if target.service == "kinesis":
        by_stream = to["distribution"] == "ByLogStream"
        key = to["stream"][:256] if by_stream else call.world.uuid()
        await there.request("kinesis", "PutRecord", {"StreamARN": arn, "Data": raw, "PartitionKey": key})  # fmt: skip
    else:
        name = target.resource.removeprefix("deliverystream/")
        ask = {"DeliveryStreamName": name, "Record": {"Data": raw}}
        await there.request("firehose", "PutRecord", ask)
    return len(raw)


def _cuts(events: list[Written]) -> list[tuple[int, int]]:
    """Where jobs begin and end."""
    found, start, total = [], 0, 0
    for number, (_, _, text) in enumerate(events):
        size = len(text.encode())
        if number > start and total + size > _EVENTS_BYTES_MAX:
            found.append((start, number))
            start, total = number, 0
        total += size
    if events:
        found.append((start, len(events)))
    return found


def _described(group: str, one: Record) -> Response:
    shown = {
        "filterName": one["name"],
        "logGroupName": group,
        "filterPattern": one["pattern"],
        "destinationArn": one["destination"],
        "distribution": one["distribution"],
        "creationTime": one["created_ms"],
        "applyOnTransformedLogs": False,
    }
    return {**shown, "roleArn": one["role"]} if one["role"] else shown


def _bad(message: str) -> Fault:
    return Fault("InvalidParameterException", message)
