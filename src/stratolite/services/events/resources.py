"""CloudFormation types of EventBridge: EventBus, EventBusPolicy, Rule, Archive, Connection, ApiDestination."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, picked
from stratolite.services.events import rules

_RATE = 300  # an API destination's, a second, where its template does not say


def _text(value: Any) -> str | None:
    """A JSON property as the API's text."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()


def _tags(spec: Spec) -> list[dict[str, str]] | None:
    found = [{"Key": t["Key"], "Value": str(t["Value"])} for t in spec.properties.get("Tags") or ()]
    return found or None


class _Type(Resource):
    service = "events"

    async def tag(self, call: Call, arn: str, old: Spec, new: Spec) -> None:
        before = {t["Key"] for t in old.properties.get("Tags") or ()}
        after = _tags(new) or []
        if gone := sorted(before - {t["Key"] for t in after}):
            await self.ask(call, "UntagResource", ResourceARN=arn, TagKeys=gone)
        if after:
            await self.ask(call, "TagResource", ResourceARN=arn, Tags=after)


class EventBus(_Type):
    type = "AWS::Events::EventBus"
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        ("EventSourceName", "KmsKeyIdentifier", "LogConfig"), frozenset({""})
    )

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListEventBuses", "EventBuses", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeEventBus", Name=physical_id)
        if found is None:
            return None
        names = ("DeadLetterConfig", "Description", "Name", "Policy")
        made = {name: found[name] for name in names if name in found}
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=found["Arn"])
        return {**made, "Tags": tags.get("Tags") or []}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        answer = await self.ask(
            call,
            "CreateEventBus",
            Name=wanted["Name"],
            Description=wanted.get("Description"),
            DeadLetterConfig=wanted.get("DeadLetterConfig"),
            Tags=_tags(spec),
            StackToken=spec.token,
        )
        with created(wanted["Name"]):
            await self._policy(call, wanted["Name"], None, wanted.get("Policy"))
        return self._made(wanted["Name"], answer["EventBusArn"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        wanted = new.properties
        answer = await self.ask(
            call,
            "UpdateEventBus",
            Name=physical_id,
            Description=wanted.get("Description", ""),
            DeadLetterConfig=wanted.get("DeadLetterConfig") or {},
        )
        await self.tag(call, answer["Arn"], old, new)
        await self._policy(call, physical_id, old.properties.get("Policy"), wanted.get("Policy"))
        return self._made(physical_id, answer["Arn"])

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteEventBus", Name=physical_id)

    async def _policy(self, call: Call, name: str, old: Any, new: Any) -> None:
        if new:
            await self.ask(call, "PutPermission", EventBusName=name, Policy=_text(new))
        elif old:
            await self.ask(call, "RemovePermission", EventBusName=name, RemoveAllPermissions=True)

    def _made(self, name: str, arn: str) -> Made:
        return Made(name, {"Arn": arn, "Name": name})


class EventBusPolicy(_Type):
    type = "AWS::Events::EventBusPolicy"
    by_identifier = False
    create_only = frozenset({"EventBusName", "StatementId"})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        bus, _, sid = physical_id.partition("|")
        found = await self.ask_if_there(call, "DescribeEventBus", Name=bus)
        policy = orjson.loads((found or {}).get("Policy") or '{"Statement":[]}')
        statement = next((s for s in policy["Statement"] if s.get("Sid") == sid), None)
        if statement is None:
            return None
        place = {"EventBusName": spec.properties.get("EventBusName", bus), "StatementId": sid}
        return place | {"Statement": statement}

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._put(call, spec)
        return Made(f"{_bus_of(spec)}|{spec.properties['StatementId']}")

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._put(call, new)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        bus, _, sid = physical_id.partition("|")
        await self.ask_if_there(call, "RemovePermission", EventBusName=bus, StatementId=sid)

    async def _put(self, call: Call, spec: Spec) -> None:
        wanted, bus = spec.properties, _bus_of(spec)
        sid = wanted["StatementId"]
        if statement := wanted.get("Statement"):
            found = orjson.loads(statement) if isinstance(statement, str) else dict(statement)
            described = await self.ask(call, "DescribeEventBus", Name=bus)
            policy = orjson.loads(described.get("Policy") or '{"Version":"2012-10-17","Statement":[]}')  # fmt: skip
            kept = [s for s in policy["Statement"] if s.get("Sid") != sid]
            whole = {**policy, "Statement": [*kept, found | {"Sid": sid}]}
            await self.ask(call, "PutPermission", EventBusName=bus, Policy=_text(whole))
            return
        await self.ask(
            call,
            "PutPermission",
            EventBusName=bus,
            StatementId=sid,
            Action=wanted.get("Action"),
            Principal=wanted.get("Principal"),
            Condition=wanted.get("Condition"),
        )


def _bus_of(spec: Spec) -> str:
    return str(spec.properties.get("EventBusName") or "default")


def _rule_of(physical_id: str, spec: Spec) -> tuple[str, str]:
    """(bus, name) of a rule; a bus of the template's is written as it is there."""
    bus, _, name = physical_id.rpartition("|")
    return str(spec.properties.get("EventBusName") or bus or "default"), name


class Rule(_Type):
    """Its physical id is the rule's name, or ``BUS|NAME`` on another bus than the default one, as on AWS."""

    type = "AWS::Events::Rule"
    create_only = frozenset({"Name", "EventBusName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        f"Targets.*.{member}": frozenset({""}) for member in rules.NOT_OFFERED
    }
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "EventPattern": lambda pattern: rules.check_pattern(_text(pattern) or ""),
        "ScheduleExpression": rules.parse_schedule,
        "Targets.*.Arn": rules.check_target_arn,
    }
    stand_ins: ClassVar[Mapping[str, str | None]] = {"EventPattern": "10.0.0.0/24"}

    async def create(self, call: Call, spec: Spec) -> Made:
        name = spec.properties.get("Name") or spec.generated_name(64)
        bus = _bus_of(spec)
        physical_id = name if bus == "default" else f"{bus}|{name}"
        arn = await self._put(call, name, spec)
        with created(physical_id):
            await self._aim(call, name, spec, ())
        return Made(physical_id, {"Arn": arn})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        name = physical_id.rpartition("|")[2]
        arn = await self._put(call, name, new)
        await self.tag(call, arn, old, new)
        before = [t["Id"] for t in old.properties.get("Targets") or ()]
        await self._aim(call, name, new, before)
        return Made(physical_id, {"Arn": arn})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        bus, name = _rule_of(physical_id, spec)
        listed = await self.ask_if_there(call, "ListTargetsByRule", Rule=name, EventBusName=bus)
        if listed and listed["Targets"]:
            ids = [t["Id"] for t in listed["Targets"]]
            await self.ask_if_there(call, "RemoveTargets", Rule=name, EventBusName=bus, Ids=ids)
        await self.ask_if_there(call, "DeleteRule", Name=name, EventBusName=bus)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        bus, name = _rule_of(physical_id, spec)
        found = await self.ask_if_there(call, "DescribeRule", Name=name, EventBusName=bus)
        if found is None:
            return None
        made: dict[str, Any] = {
            key: found[key]
            for key in ("Description", "EventPattern", "RoleArn", "ScheduleExpression", "State")
            if key in found
        }
        made |= {"Name": name, "EventBusName": spec.properties.get("EventBusName", bus)}
        listed = await self.ask(call, "ListTargetsByRule", Rule=name, EventBusName=bus)
        made["Targets"] = listed.get("Targets") or []
        tags = await self.ask(call, "ListTagsForResource", ResourceARN=found["Arn"])
        made["Tags"] = tags.get("Tags") or []
        return made

    async def _put(self, call: Call, name: str, spec: Spec) -> str:
        wanted = spec.properties
        answer = await self.ask(
            call,
            "PutRule",
            Name=name,
            EventBusName=_bus_of(spec),
            EventPattern=_text(wanted.get("EventPattern")),
            ScheduleExpression=wanted.get("ScheduleExpression"),
            State=wanted.get("State"),
            Description=wanted.get("Description"),
            RoleArn=wanted.get("RoleArn"),
            Tags=_tags(spec),
        )
        return str(answer["RuleArn"])

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        bus, name = _rule_of(physical_id, spec)
        found = await self.ask(call, "DescribeRule", Name=name, EventBusName=bus)
        return Made(physical_id, {"Arn": found["Arn"]})

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        """Of its ARN, arn:aws:events:REGION:ACCOUNT:rule/[BUS/]NAME."""
        bus, _, name = str(identifier["Arn"]).partition(":rule/")[2].rpartition("/")
        return f"{bus}|{name}" if bus else name

    async def _aim(self, call: Call, name: str, spec: Spec, before: Any) -> None:
        bus, targets = _bus_of(spec), list(spec.properties.get("Targets") or ())
        if gone := sorted(set(before) - {t["Id"] for t in targets}):
            await self.ask_if_there(call, "RemoveTargets", Rule=name, EventBusName=bus, Ids=gone)
        if targets:
            await self.ask(call, "PutTargets", Rule=name, EventBusName=bus, Targets=targets)


class Archive(_Type):
    type = "AWS::Events::Archive"
    create_only = frozenset({"ArchiveName", "SourceArn"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {"KmsKeyIdentifier": frozenset({""})}

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListArchives", "Archives", "ArchiveName", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeArchive", ArchiveName=physical_id)
        if found is None:
            return None
        names = ("ArchiveName", "Description", "EventPattern", "RetentionDays")
        made = {name: found[name] for name in names if name in found}
        return {**made, "SourceArn": found["EventSourceArn"]}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("ArchiveName") or spec.generated_name(48)
        try:
            await self.ask(
                call, "CreateArchive", ArchiveName=name, EventSourceArn=wanted["SourceArn"], **_kept(wanted)
            )  # fmt: skip
        except Fault as fault:
            if fault.code != "ResourceAlreadyExistsException" or wanted.get("ArchiveName"):
                raise
        return self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        kept = {"Description": "", "EventPattern": "", "RetentionDays": 0} | {
            k: v for k, v in _kept(new.properties).items() if v is not None
        }
        await self.ask(call, "UpdateArchive", ArchiveName=physical_id, **kept)
        return self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteArchive", ArchiveName=physical_id)

    def _made(self, call: Call, name: str) -> Made:
        arn = f"arn:aws:events:{call.region}:{call.account}:archive/{name}"
        return Made(name, {"Arn": arn, "ArchiveName": name})


def _kept(wanted: dict[str, Any]) -> dict[str, Any]:
    return {
        "Description": wanted.get("Description"),
        "EventPattern": _text(wanted.get("EventPattern")),
        "RetentionDays": wanted.get("RetentionDays"),
    }


class Connection(_Type):
    type = "AWS::Events::Connection"
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        ("InvocationConnectivityParameters", "KmsKeyIdentifier", "AuthParameters.ConnectivityParameters"),
        frozenset({""}),
    )  # fmt: skip

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListConnections", "Connections", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """Without its secrets, which nobody is shown."""
        found = await self.ask_if_there(call, "DescribeConnection", Name=physical_id)
        if found is None:
            return None
        return picked(found, "Name", "Description", "AuthorizationType", "AuthParameters")

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._made(call, physical_id)

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or spec.generated_name(64)
        try:
            await self.ask(call, "CreateConnection", Name=name, **_linked(wanted))
        except Fault as fault:
            if fault.code != "ResourceAlreadyExistsException" or wanted.get("Name"):
                raise
        return await self._made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self.ask(call, "UpdateConnection", Name=physical_id, **_linked(new.properties))
        return await self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteConnection", Name=physical_id)

    async def _made(self, call: Call, name: str) -> Made:
        found = await self.ask(call, "DescribeConnection", Name=name)
        arn = found["ConnectionArn"]
        made = {"Arn": arn, "ArnForPolicy": arn.rpartition("/")[0]}
        return Made(name, made | picked(found, "SecretArn"))


def _linked(wanted: dict[str, Any]) -> dict[str, Any]:
    return {"Description": ""} | picked(
        wanted, "AuthorizationType", "AuthParameters", "Description"
    )


class ApiDestination(_Type):
    type = "AWS::Events::ApiDestination"
    create_only = frozenset({"Name"})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListApiDestinations", "ApiDestinations", "Name", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeApiDestination", Name=physical_id)
        return None if found is None else dict(found)

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("Name") or spec.generated_name(64)
        try:
            answer = await self.ask(call, "CreateApiDestination", Name=name, **_pointed(wanted))
        except Fault as fault:
            if fault.code != "ResourceAlreadyExistsException" or wanted.get("Name"):
                raise
            answer = await self.ask(call, "DescribeApiDestination", Name=name)
        return self._made(name, answer["ApiDestinationArn"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        answer = await self.ask(call, "UpdateApiDestination", Name=physical_id, **_pointed(new.properties))  # fmt: skip
        return self._made(physical_id, answer["ApiDestinationArn"])

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteApiDestination", Name=physical_id)

    def _made(self, name: str, arn: str) -> Made:
        return Made(name, {"Arn": arn, "ArnForPolicy": arn.rpartition("/")[0]})


def _pointed(wanted: dict[str, Any]) -> dict[str, Any]:
    names = ("ConnectionArn", "Description", "HttpMethod", "InvocationEndpoint", "InvocationRateLimitPerSecond")  # fmt: skip
    return {"Description": "", "InvocationRateLimitPerSecond": _RATE} | picked(wanted, *names)


RESOURCES = (EventBus(), EventBusPolicy(), Rule(), Archive(), Connection(), ApiDestination())
