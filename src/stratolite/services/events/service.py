"""The operations of EventBridge put together, and what IAM must allow for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import orjson

from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.events import jobs, names, state, worker
from stratolite.services.events.archives import Archives
from stratolite.services.events.buses import Buses
from stratolite.services.events.connections import Connections
from stratolite.services.events.destinations import Destinations
from stratolite.services.events.putting import Putting
from stratolite.services.events.rules import Rules

_ON_BUS = frozenset({"CreateEventBus", "DescribeEventBus", "UpdateEventBus", "DeleteEventBus"})
_BUS_POLICY = frozenset({"PutPermission", "RemovePermission"})
_ON_RULE = {
    "PutRule": "Name", "DescribeRule": "Name", "DeleteRule": "Name", "EnableRule": "Name", "DisableRule": "Name",
    "PutTargets": "Rule", "RemoveTargets": "Rule", "ListTargetsByRule": "Rule",
}  # fmt: skip
_ON_NAMED = {
    "CreateArchive": ("archive", "ArchiveName"), "DescribeArchive": ("archive", "ArchiveName"), "UpdateArchive": ("archive", "ArchiveName"),
    "DeleteArchive": ("archive", "ArchiveName"), "StartReplay": ("replay", "ReplayName"), "DescribeReplay": ("replay", "ReplayName"),
    "CancelReplay": ("replay", "ReplayName"),
    "CreateConnection": ("connection", "Name"), "DescribeConnection": ("connection", "Name"), "UpdateConnection": ("connection", "Name"),
    "DeleteConnection": ("connection", "Name"), "DeauthorizeConnection": ("connection", "Name"),
    "CreateApiDestination": ("api-destination", "Name"), "DescribeApiDestination": ("api-destination", "Name"),
    "UpdateApiDestination": ("api-destination", "Name"), "DeleteApiDestination": ("api-destination", "Name"),
}  # fmt: skip
_WITH_UUID = frozenset({"connection", "api-destination"})


class Events(Buses, Rules, Putting, Archives, Connections, Destinations):
    name: ClassVar[str] = "events"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("events:event-bus", "events:rule")

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        keys, where = call.keys("events"), f"arn:aws:events:{call.region}:{call.account}"
        if kind == "events:event-bus":
            for name, record in state.rows(call.tx, keys, "bus", after=after):
                yield Tagged(name, f"{where}:event-bus/{name}", record["tags"])
            return
        for bus, name, record in state.all_rules(call.tx, keys, after):
            path = name if bus == state.DEFAULT else f"{bus}/{name}"
            yield Tagged(f"{bus}|{name}", f"{where}:rule/{path}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        action = f"events:{operation}"
        if operation == "PutEvents":
            buses = {names.bus(call, e.get("EventBusName")).arn for e in request["Entries"]}
            return tuple((action, arn) for arn in sorted(buses))
        if arn := request.get("ResourceARN") or request.get("ApiDestinationArn"):
            return ((action, arn),)
        if operation in _ON_BUS or operation in _BUS_POLICY:
            given = request.get("EventBusName" if operation in _BUS_POLICY else "Name")
            return ((action, names.bus(call, given).arn),)
        if operation in _ON_RULE:
            bus = names.bus(call, request.get("EventBusName"))
            rule = request[_ON_RULE[operation]]
            needed = [(action, names.rule_arn(bus.region, bus.account, bus.name, rule))]
            roles = {request.get("RoleArn")} | {t.get("RoleArn") for t in request.get("Targets") or ()}  # fmt: skip
            needed += [("iam:PassRole", role) for role in sorted(r for r in roles if r)]
            return tuple(needed)
        if operation in _ON_NAMED:
            kind, member = _ON_NAMED[operation]
            rest = "/*" if kind in _WITH_UUID else ""
            return ((action, names.arn(call, kind, f"{request[member]}{rest}")),)
        return ((action, "*"),)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        if needed[0] == "iam:PassRole":
            return {"iam:passedtoservice": [jobs.SERVICE]}
        if operation != "PutEvents":
            return {}
        entries = request["Entries"]
        found = {
            "events:source": [e["Source"] for e in entries if e.get("Source")],
            "events:detail-type": [e["DetailType"] for e in entries if e.get("DetailType")],
        }
        return {key: values for key, values in found.items() if values}

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """A bus's own policy; and the platform's services may put their events on their account's buses."""
        found = names.BUS_ARN.match(resource)
        if found is None:
            return None
        who = call.principal
        if who.kind == "service" and who.source_account == found[2]:
            return _platform_may(who.name)
        keys = call.scoped(found[2], found[1]).keys("events")
        bus = state.bus(call.tx, keys, found[3])
        return bus["policy"] if bus else None

    def alone(self, call: Call, operation: str, request: Request) -> Sequence[str] | None:
        """Buses of others may be named by PutEvents; and a bus's policy may deny even its owner."""
        return None if operation in ("PutEvents", "DescribeEventBus") else ()

    def is_heard(self, call: Call, what: str) -> bool:
        """What ``service_events`` asks before it has an event made for the default bus."""
        return state.is_heard(call.tx, call.keys("events"), state.DEFAULT, what)

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.events.resources import RESOURCES

        return RESOURCES


def _platform_may(service: str) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "events:PutEvents",
        "Resource": "*",
    }
    return orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()
