"""One event on its way to one target: to an AWS API here, to another bus, or by HTTP to an API destination or REST API."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from stratolite import delivery, http_targets
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.http_targets import NotTaken
from stratolite.input_template import MISSING, select
from stratolite.service import Call, Settle, root
from stratolite.services.events import destinations, jobs, names, state

_REST_S_MAX = 5.0
"""https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-gateway-target.html"""
_MESSAGE_LENGTH_MAX = 1024
Said = dict[str, Any]


async def send(service: Any, call: Call, said: Said) -> Settle | None:
    """Raises Fault, ValueError or NotTaken; what it returns belongs into the settling transaction."""
    target, document = said["target"], said["document"]
    arn = delivery.parse(target["Arn"])
    role = target.get("RoleArn")
    if role:
        session = said["rule"].rpartition("/")[2][:64].ljust(2, "_")
        acting = await call.as_role(role, jobs.SERVICE, said["rule"], session)
    else:
        acting = call.as_service(jobs.SERVICE, said["rule"])
    if http_targets.is_http(target["Arn"]):
        if arn.service == "events" and not role:  # of a rule made when none was asked for
            acting = call.scoped(call.account, call.region, root(call.account))
        return await _by_http(call, said, acting, arn)
    if arn.service == "events":
        forwards = acting if role else call.scoped(call.account, call.region, root(call.account))
        return await _to_bus(service, call, forwards, said)
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


async def _to_bus(service: Any, call: Call, acting: Call, said: Said) -> Settle | None:
    """The event keeps its account, its region and, within it, its id; a chain of buses has an end.

    Recorded in localstack/localstack, tests/aws/services/events/test_events_cross_account_region.snapshot.json.
    """
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

    if bus.region != call.region:  # there it is another event, of the region it came from
        event |= {"id": call.world.uuid()}

    def settle(tx: Tx) -> None:
        there.tx = tx
        jobs.route(there, bus, [event], hops=said["hops"] + 1, trace=said.get("trace", ""))

    return settle


# -- by HTTP


async def _by_http(call: Call, said: Said, acting: Call, arn: delivery.Arn) -> Settle | None:
    """Later, where the destination's InvocationRateLimitPerSecond asks for it: that is no attempt of the event's."""
    is_destination = arn.service == "events"
    if is_destination and not said.get("has_turn"):
        there = call.scoped(arn.account, arn.region)
        wait_s = await there.transact(lambda inner: destinations.turn_s(inner, arn))
        if wait_s > 0:
            later = orjson.dumps({**said, "has_turn": True})

            def wait(tx: Tx) -> None:
                call.cloud.work.put(tx, jobs.DELIVER, later, due_s=tx.time_s + wait_s)

            return wait
    asked = http_targets.Parameters(*(tuple(map(_pair, part)) for part in said.get("http") or ()))
    if not is_destination:
        from_rule = (("X-Amz-Source-Arn", said["rule"]), ("X-Amz-Source-Account", said["account"]))
        asked = asked._replace(headers=asked.headers + from_rule)
    try:
        async with asyncio.timeout(None if is_destination else _REST_S_MAX):
            await http_targets.send(acting, said["target"]["Arn"], said["document"], asked, has_turn=True)  # fmt: skip
    except TimeoutError as error:
        raise NotTaken(0, f"no answer within {_REST_S_MAX:g} s", is_final=False) from error
    return None


def _pair(one: Any) -> Any:
    return tuple(one) if isinstance(one, list) else one
