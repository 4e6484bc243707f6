"""Event source mappings: CreateEventSourceMapping and its sisters.

A change is written with a job for ``mapping_worker``, which carries it out and says so in State.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Worker
from stratolite.services.lambda_ import (
    mapping_jobs,
    mapping_sealing,
    mapping_settings,
    mapping_state,
    mapping_worker,
    names,
    state,
)
from stratolite.services.lambda_.invoking import Invoking
from stratolite.services.lambda_.mapping_access import as_function, source_request
from stratolite.services.lambda_.mapping_settings import Source
from stratolite.services.lambda_.names import Ref

_PAGE = 100
_OF_ONE = frozenset(
    {"GetEventSourceMapping", "UpdateEventSourceMapping", "DeleteEventSourceMapping"}
)
_MAPPING_ARN = re.compile(
    r"arn:aws:lambda:[a-z0-9-]+:\d{12}:event-source-mapping:([0-9a-f-]{36})\Z"
)
_REASONS = {"sqs": "USER_INITIATED"}
_NEEDED = {
    "sqs": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
    "kinesis": ("DescribeStream", "ListShards", "GetShardIterator"),
    "dynamodb": ("DescribeStream", "GetShardIterator"),
}


class Mappings(Invoking):
    async def create_event_source_mapping(self, call: Call, request: Request) -> Response:
        mapping_settings.refuse_others(request)
        source = mapping_settings.source(request.get("EventSourceArn"))
        settings = mapping_settings.checked(source, request, {})
        settings |= mapping_settings.starting_position(source, request, call.world.cloud())
        ref = names.function(call, request["FunctionName"])
        acting = await self._acting(call, ref)
        uuid = call.world.uuid()
        enabled = request.get("Enabled", True)

        def create(inner: Call) -> Response:
            keys = inner.keys("lambda")
            _check_source(inner, acting, source, ref)
            for other in mapping_state.of_source(inner.tx, keys, source.arn):
                known = mapping_state.get(inner.tx, keys, other)
                if known and known["config"]["FunctionArn"] == ref.arn:
                    raise _exists(source, ref, other)
            arn = f"arn:aws:lambda:{inner.region}:{inner.account}:event-source-mapping:{uuid}"
            config = {
                "UUID": uuid,
                "EventSourceMappingArn": arn,
                "EventSourceArn": source.arn,
                "FunctionArn": ref.arn,
                "LastModified": inner.tx.time_s,
                "State": "Creating",
                "StateTransitionReason": _REASONS.get(source.kind, "User action"),
                **settings,
            }
            record = {
                "config": config,
                "name": ref.name,
                "qualifier": ref.qualifier or "",
                "kind": source.kind,
                "enabled": enabled,
                "deleting": False,
                "epoch": 1,
                "begun": 0,
                "tags": request.get("Tags") or {},
            }
            mapping_state.put(inner.tx, keys, uuid, mapping_sealing.sealed(inner, record))
            mapping_jobs.carry_out(inner, uuid)
            return _described(inner, uuid, record)

        return await call.transact(create)

    async def update_event_source_mapping(self, call: Call, request: Request) -> Response:
        uuid = request["UUID"]
        record = await call.transact(lambda inner: _known(inner, uuid))
        given = request.get("FunctionName")
        ref = names.function(call, given) if given else _ref(call, record)
        acting = await self._acting(call, ref)

        def update(inner: Call) -> Response:
            keys = inner.keys("lambda")
            record = _known(inner, uuid)
            if record["deleting"]:
                raise Fault(
                    "ResourceInUseException",
                    f"Cannot update the event source mapping because it is in use: {uuid}",
                    status=400,
                    Type="User",
                )
            source = mapping_settings.source(record["config"]["EventSourceArn"])
            before = record["config"]
            if "FilterCriteria" not in request:
                before = mapping_sealing.opened(inner, record)
            settings = mapping_settings.checked(source, request, before)
            _check_source(inner, acting, source, ref)
            enabled = request.get("Enabled", record["enabled"])
            changing = "Updating"
            if enabled != record["enabled"]:
                changing = "Enabling" if enabled else "Disabling"
            config = {**record["config"], **settings}
            for member in (
                "FilterCriteria",
                "KMSKeyArn",
                "MetricsConfig",
                "ProvisionedPollerConfig",
            ):
                if member not in settings:
                    config.pop(member, None)
            config |= {"FunctionArn": ref.arn, "LastModified": inner.tx.time_s, "State": changing}
            changed = {
                **record,
                "config": config,
                "name": ref.name,
                "qualifier": ref.qualifier or "",
                "enabled": enabled,
                "epoch": record["epoch"] + (enabled and not record["enabled"]),
            }
            if ref.name != record["name"]:
                mapping_state.moved(inner.tx, keys, uuid, record["name"])
            mapping_state.put(inner.tx, keys, uuid, mapping_sealing.sealed(inner, changed))
            mapping_jobs.carry_out(inner, uuid)
            return _described(inner, uuid, changed)

        return await call.transact(update)

    def get_event_source_mapping(self, call: Call, request: Request) -> Response:
        record = _known(call, request["UUID"])
        described = _described(call, request["UUID"], record)
        try:
            return {**mapping_sealing.opened(call, record), **described}
        except Fault as fault:
            return {**described, "FilterCriteriaError": {"ErrorCode": fault.code, "Message": fault.message}}  # fmt: skip

    def delete_event_source_mapping(self, call: Call, request: Request) -> Response:
        uuid = request["UUID"]
        record = _known(call, uuid)
        config = {**record["config"], "State": "Deleting", "LastModified": call.tx.time_s}
        gone = {**record, "config": config, "deleting": True, "enabled": False}
        mapping_state.put(call.tx, call.keys("lambda"), uuid, gone)
        mapping_jobs.carry_out(call, uuid)
        return _described(call, uuid, gone)

    def list_event_source_mappings(self, call: Call, request: Request) -> Response:
        tx, keys = call.tx, call.keys("lambda")
        most = names.page_size(request, _PAGE)
        after = request.get("Marker") or ""
        arn, given = request.get("EventSourceArn"), request.get("FunctionName")
        wanted = names.function(call, given) if given else None
        if arn:
            uuids = mapping_state.of_source(tx, keys, arn, after)
        elif wanted:
            uuids = mapping_state.to_function(tx, keys, wanted.name, after)
        else:
            uuids = mapping_state.every(tx, keys, after)
        shown: list[Response] = []
        last = ""
        for uuid in islice(uuids, most + 1):
            if last and len(shown) + 1 > most:
                return {"EventSourceMappings": shown, "NextMarker": last}
            record = mapping_state.get(tx, keys, uuid)
            last = uuid
            if record is None or (wanted and record["name"] != wanted.name):
                continue
            if wanted and wanted.qualifier and record["config"]["FunctionArn"] != wanted.arn:
                continue
            shown.append(_described(call, uuid, record))
        return {"EventSourceMappings": shown}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        return self._tag(call, request, "tag_resource")

    def untag_resource(self, call: Call, request: Request) -> Response:
        return self._tag(call, request, "untag_resource")

    def list_tags(self, call: Call, request: Request) -> Response:
        return self._tag(call, request, "list_tags")

    def _tag(self, call: Call, request: Request, operation: str) -> Response:
        """Of a mapping; of anything else as before."""
        match = _MAPPING_ARN.match(request["Resource"])
        if match is None:
            answer: Response = getattr(super(), operation)(call, request)
            return answer
        record = _known(call, match[1])
        if operation == "list_tags":
            return {"Tags": record["tags"]}
        gone = request.get("TagKeys") or ()
        tags = {k: v for k, v in record["tags"].items() if k not in gone} | request.get("Tags", {})
        mapping_state.put(call.tx, call.keys("lambda"), match[1], {**record, "tags": tags})
        return {}

    async def _acting(self, call: Call, ref: Ref) -> Call:
        """A call as the function's role. Raises Fault if there is no such function, or Lambda may not be its role."""
        found = await call.transact(lambda inner: state.resolve(inner.tx, ref))
        if found is None:
            raise names.invalid("Function does not exist")
        role = found[0]["config"]["Role"]
        try:
            return await as_function(call, ref, role)
        except Fault as fault:
            raise names.invalid(
                "The role defined for the function cannot be assumed by Lambda."
            ) from fault

    def mapping_access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        arn = "*"
        if operation in _OF_ONE:
            uuid = request.get("UUID", "")
            arn = f"arn:aws:lambda:{call.region}:{call.account}:event-source-mapping:{uuid}"
        return ((f"lambda:{operation}", arn),)

    def workers(self) -> Iterable[Worker]:
        return (*super().workers(), *mapping_worker.workers(self))


def _check_source(call: Call, acting: Call, source: Source, ref: Ref) -> None:
    """Raises Fault if the source is not there, or the function's role may not read it."""
    as_role = acting.scoped(acting.account, source.region)
    as_role.tx = call.tx
    service, ask = call.cloud.service(source.service), source_request(call, source)
    for operation in _NEEDED[source.kind]:
        try:
            call.cloud.authorize(as_role, service, operation, ask)
        except Fault as fault:
            if not fault.code.startswith("AccessDenied"):
                raise _no_source(source, fault) from fault
            raise _denied(source, operation) from fault
    owner = call.scoped(source.account, source.region)
    operation, more = ("GetQueueAttributes", {"AttributeNames": ["VisibilityTimeout"]})
    if source.is_stream:
        operation, more = "DescribeStream", {}
    try:
        owner.principal = as_role.principal
        found = owner.invoke(source.service, operation, ask | more)
    except Fault as fault:
        raise _no_source(source, fault) from fault
    if source.arn != source.stream_arn:
        try:
            owner.invoke("kinesis", "DescribeStreamConsumer", {"ConsumerARN": source.arn})
        except Fault as fault:
            raise names.invalid(f"Stream consumer not found: {source.arn}") from fault
    if source.kind != "sqs":
        return
    visible_s = int(found["Attributes"]["VisibilityTimeout"])
    resolved = state.resolve(call.tx, ref)
    if resolved is None:
        raise names.invalid("Function does not exist")
    timeout_s = resolved[0]["config"]["Timeout"]
    if visible_s < timeout_s:
        raise names.invalid(
            f"Queue visibility timeout: {visible_s} seconds is less than Function timeout: {timeout_s} seconds"
        )


def _no_source(source: Source, fault: Fault) -> Fault:
    if source.kind == "sqs":
        return names.invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error"
            f" Message: {fault.message}"
        )
    return names.invalid(f"Stream not found: {source.arn}")


def _denied(source: Source, operation: str) -> Fault:
    if source.kind == "sqs":
        return names.invalid(
            f"The provided execution role does not have permissions to call {operation} on SQS"
        )
    listing = "ListStreams"
    return names.invalid(
        f"Cannot access stream {source.arn}. Please ensure the role can perform the GetRecords, GetShardIterator,"
        f" DescribeStream, {'ListShards, and ' if source.kind == 'kinesis' else 'and '}{listing} Actions on your stream"
        " in IAM."
    )


def _exists(source: Source, ref: Ref, uuid: str) -> Fault:
    if source.kind == "sqs":
        return names.conflict(
            f'An event source mapping with SQS arn (" {source.arn} ") and function (" {ref.name} ") already exists.'
            f" Please update or delete the existing mapping with UUID {uuid}"
        )
    return names.conflict(
        f'The event source arn (" {source.arn} ") and function (" {ref.name} ") provided mapping already exists. Please'
        f" update or delete the existing mapping with UUID {uuid}"
    )


def _known(call: Call, uuid: str) -> mapping_state.Record:
    record = mapping_state.get(call.tx, call.keys("lambda"), uuid)
    if record is None:
        raise names.missing("The resource you requested does not exist.")
    return record


def _ref(call: Call, record: mapping_state.Record) -> Ref:
    return Ref(call.account, call.region, record["name"], record["qualifier"] or None)


def _described(call: Call, uuid: str, record: mapping_state.Record) -> dict[str, Any]:
    described = dict(record["config"])
    if record["kind"] != "sqs":
        described["LastProcessingResult"] = mapping_state.result(call.tx, call.keys("lambda"), uuid)
    return described
