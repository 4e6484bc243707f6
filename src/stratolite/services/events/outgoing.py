"""One event on its way to one target: to an AWS API here, to another bus, or by HTTP to an API destination."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from stratolite import delivery
from stratolite.core import Tx
from stratolite.egress import Failed, Refused
from stratolite.errors import Fault
from stratolite.input_template import MISSING, select
from stratolite.service import Call, Settle, root
from stratolite.services.events import connections, jobs, names, state

_HTTP_S_MAX = 5.0
"""https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html"""
_ANSWER_BYTES_MAX = 64 << 10
_MESSAGE_LENGTH_MAX = 1024
_RETRIED_STATUSES = frozenset({401, 407, 409, 429})
Said = dict[str, Any]


class NotTaken(Exception):
    """An API destination did not take an event. ``status`` is its answer's, 0 if there was none."""

    def __init__(self, status: int, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.status, self.is_final = status, is_final


async def send(service: Any, call: Call, said: Said) -> Settle | None:
    """Raises Fault, ValueError or NotTaken; what it returns belongs into the settling transaction."""
    target, document = said["target"], said["document"]
    arn = delivery.parse(target["Arn"])
    role = target.get("RoleArn")
    if arn.service == "events" and arn.resource.startswith("api-destination/"):
        return await _to_destination(call, said, arn)
    if role:
        session = said["rule"].rpartition("/")[2][:64].ljust(2, "_")
        acting = await call.as_role(role, jobs.SERVICE, said["rule"], session)
    else:
        acting = call.as_service(jobs.SERVICE, said["rule"])
    if arn.service == "events":
        forwards = acting if role else call.scoped(call.account, call.region, root(call.account))
        return await _to_bus(service, forwards, said)
    options = delivery.Options(
        group_id=target.get("SqsParameters", {}).get("MessageGroupId", ""),
        deduplication_id=said["id"],
        partition_key=said["key"] or said["id"],
        name=f"{said['id']}_{said['rule'].rpartition('/')[2]}"[:80],
    )
    await delivery.send(acting, target["Arn"], document, options)
    return None


async def bury(call: Call, said: Said) -> None:
    """To the target's dead-letter queue, saying why.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    dead = said["dead"]
    attributes = {
        "RULE_ARN": said["rule"],
        "TARGET_ARN": said["target"]["Arn"],
        "ERROR_CODE": dead["code"],
        "ERROR_MESSAGE": dead["message"] or "-",
        "RETRY_ATTEMPTS": str(dead.get("retries", 0)),
    }
    if dead.get("condition"):
        attributes["EXHAUSTED_RETRY_CONDITION"] = dead["condition"]
    acting = call.as_service(jobs.SERVICE, said["rule"])
    queue = said["target"]["DeadLetterConfig"]["Arn"]
    await delivery.bury(acting, queue, said["event"], attributes)


def may_retry(error: Exception) -> bool:
    if isinstance(error, NotTaken):
        return not error.is_final
    return delivery.may_retry(error)


def reason(error: Exception) -> tuple[str, str]:
    """ERROR_CODE and ERROR_MESSAGE as a dead-letter queue is told them."""
    text = str(error)[:_MESSAGE_LENGTH_MAX]
    if isinstance(error, NotTaken):
        return ("SDK_CLIENT_ERROR" if error.status else "ENDPOINT_UNREACHABLE"), text
    if not isinstance(error, Fault):
        return "INVALID_PARAMETER", text
    if error.code.startswith("AccessDenied"):
        return "NO_PERMISSIONS", text
    if "NotFound" in error.code or "NonExistent" in error.code or error.code == "NotImplemented":
        return "NO_RESOURCE", text
    return ("THROTTLING" if delivery.may_retry(error) else "INVALID_PARAMETER"), text


def partition_key(path: str | None, event: Said) -> str:
    """What a Kinesis target's PartitionKeyPath finds in the event; "" without one."""
    if not path:
        return ""
    try:
        found = select(path, event)
    except ValueError:
        return ""
    return (
        ""
        if found is MISSING
        else found
        if isinstance(found, str)
        else orjson.dumps(found).decode()
    )


# -- another bus


async def _to_bus(service: Any, acting: Call, said: Said) -> Settle | None:
    """The event keeps its id and account; a chain of buses has an end."""
    bus = names.bus(acting, said["target"]["Arn"])
    if said["hops"] >= jobs.HOPS_MAX:
        raise ValueError(f"the event has come over {jobs.HOPS_MAX} buses already")
    there = acting.scoped(bus.account, bus.region)
    ask = {"Entries": [{"EventBusName": bus.arn}]}

    def check(inner: Call) -> None:
        inner.cloud.authorize(inner, service, "PutEvents", ask)
        if state.bus(inner.tx, inner.keys("events"), bus.name) is None:
            raise names.no_bus(bus.name)

    await there.transact(check)
    event = orjson.loads(said["document"])
    if not isinstance(event, dict):
        raise ValueError("what a bus is sent must be an event")  # noqa: TRY004 - one kind for all that is no event

    def settle(tx: Tx) -> None:
        there.tx = tx
        jobs.route(there, bus, [event | {"region": bus.region}], hops=said["hops"] + 1)

    return settle


# -- somewhere else


async def _to_destination(call: Call, said: Said, arn: delivery.Arn) -> Settle | None:
    """Later, where the destination's InvocationRateLimitPerSecond asks for it: that is no attempt of the event's."""
    name = arn.resource.split("/")[1]

    def look(inner: Call) -> tuple[state.Record, state.Record, float]:
        tx, keys = inner.tx, inner.keys("events")
        found = state.get(tx, keys, "destination", name)
        if found is None:
            raise names.missing(f"An api-destination '{name}' does not exist.")
        link = state.get(tx, keys, "connection", found["connection"].split("/")[1])
        if link is None:
            raise names.missing(f"Connection '{found['connection']}' does not exist.")
        turn_s = 0.0 if said.get("has_turn") else state.turn_s(tx, keys, name, found["rate"])
        return found, link, turn_s - tx.time_s

    destination, connection, wait_s = await call.transact(look)
    if wait_s > 0:
        later = orjson.dumps({**said, "has_turn": True})

        def wait(tx: Tx) -> None:
            call.cloud.work.put(tx, jobs.DELIVER, later, due_s=tx.time_s + wait_s)

        return wait
    if not connection["sealed"]:
        raise NotTaken(
            0, f"Connection '{destination['connection']}' is deauthorized", is_final=True
        )
    extra = said["target"].get("HttpParameters") or {}
    headers = [("content-type", "application/json; charset=utf-8"), ("user-agent", "Amazon/EventBridge/ApiDestinations")]  # fmt: skip
    headers += (extra.get("HeaderParameters") or {}).items()
    query = dict(extra.get("QueryStringParameters") or {})
    url = _fill_path(destination["endpoint"], extra.get("PathParameterValues") or [])
    body = said["document"].encode()
    try:
        more = await connections.credentials(call, connection)
        headers += more.headers
        query |= more.query
        if more.body:
            document = orjson.loads(body)
            if isinstance(document, dict):
                body = orjson.dumps(document | more.body)
        if query:
            pairs = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in query.items())
            url += ("&" if "?" in url else "?") + pairs
        answer = await call.cloud.egress.request(
            destination["method"],
            url,
            headers,
            b"" if destination["method"] in ("GET", "HEAD") else body,
            timeout_s=_HTTP_S_MAX,
            answer_bytes_max=_ANSWER_BYTES_MAX,
        )
    except Failed as failed:
        raise NotTaken(0, str(failed), is_final=isinstance(failed, Refused)) from failed
    if not 200 <= answer.status < 300:
        final = answer.status < 500 and answer.status not in _RETRIED_STATUSES
        raise NotTaken(answer.status, f"HTTP status {answer.status}", is_final=final)
    return None


def _fill_path(endpoint: str, values: list[str]) -> str:
    """Each ``*`` in the path by the next value, percent-encoded."""
    left = iter(values)
    parts = endpoint.split("*")
    out = parts[0]
    for part in parts[1:]:
        out += quote(next(left, ""), safe="") + part
    return out
