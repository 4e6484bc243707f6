"""Publishing to topics, one message and batches, and to phone numbers."""

from __future__ import annotations

import re
from hashlib import sha256

from stratolite.data_keys import DataKey
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service, trace_of
from stratolite.services.sns import fanout, outbox, phones, publication, push, sealing, state
from stratolite.services.sns.finding import invalid, topic_of
from stratolite.services.sns.phones import PHONE
from stratolite.services.sns.publication import Publication
from stratolite.services.sns.sealing import Sealer
from stratolite.services.sns.state import Topic, keys_of

_BATCH_MAX = 10
_DEDUPLICATION_MS = 300_000
_FORGOTTEN_MAX = 4
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]+")
_ENTRY_ID_MAX = 80
_OF_ALL = ("InvalidParameterValueException", "ValidationException", "ValidationError")
"""Refusals of a batch's entry that AWS makes those of the batch: LocalStack's recording test_empty_or_wrong_message_attributes."""


class Publishing(Service):
    sealer: Sealer

    def publish(self, call: Call, request: Request) -> Response:
        phone = request.get("PhoneNumber")
        arns = [arn for name in ("TopicArn", "TargetArn") if (arn := request.get(name)) is not None]
        if len(arns) + bool(phone) > 1:
            raise invalid("Only one of TopicArn, TargetArn and PhoneNumber may be given")
        publication.check_subject(request.get("Subject"))
        if phone:
            return _text_message(call, request, phone)
        if arns and ":endpoint/" in arns[0]:
            return _to_device(call, request, arns[0])
        parameter = "TopicArn" if request.get("TargetArn") is None else "TargetArn"
        if not arns:
            raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
        topic = topic_of(call, arns[0], parameter)
        key = self.sealer.data_key(call, topic) if topic.key else None
        message = _read(call, topic, request, "messageAttributes")
        if publication.size_of(request["Message"], message["attributes"]) > topic.size_bytes_max:
            raise invalid("Message too long")
        return _accept(call, topic, message, key)

    def publish_batch(self, call: Call, request: Request) -> Response:
        topic = topic_of(call, request.get("TopicArn"))
        key = self.sealer.data_key(call, topic) if topic.key else None
        entries = request.get("PublishBatchRequestEntries") or []
        _check_batch(entries)
        for entry in entries:
            if structure := entry.get("MessageStructure"):
                publication.read_message(entry.get("Message"), structure)
        if topic.is_fifo and any(not entry.get("MessageGroupId") for entry in entries):
            raise _no_group()
        done: list[Response] = []
        failed: list[Response] = []
        messages: list[tuple[str, Publication]] = []
        size = 0
        for number, entry in enumerate(entries, 1):
            where = f"publishBatchRequestEntries.{number}.member.messageAttributes"
            try:
                publication.check_subject(entry.get("Subject"))
                message = _read(call, topic, entry, where)
            except Fault as fault:
                if fault.code in _OF_ALL or "Deduplication" in fault.message:
                    raise
                failed.append(_failed(entry["Id"], fault))
                continue
            size += publication.size_of(entry["Message"], message["attributes"])
            messages.append((entry["Id"], message))
        if size > topic.size_bytes_max:
            raise Fault(
                "BatchRequestTooLong",
                "The length of all the messages put together is more than the limit.",
            )
        for name, message in messages:
            done.append({"Id": name, **_accept(call, topic, message, key)})
        return {"Successful": done, "Failed": failed}


def _read(call: Call, topic: Topic, request: Request, where: str) -> Publication:
    message, texts = publication.read_message(
        request.get("Message"), request.get("MessageStructure")
    )
    given = request.get("MessageAttributes")
    attributes = publication.read_attributes(given, where) if given else {}
    group, dedup = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
    if group:
        publication.check_id("MessageGroupId", group)
    if topic.is_fifo:
        if not group:
            raise _no_group()
        if dedup:
            publication.check_id("MessageDeduplicationId", dedup)
        elif not topic.dedup_by_content:
            raise invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId"
                " provided explicitly"
            )
        else:
            dedup = sha256(request["Message"].encode()).hexdigest()
    elif dedup:
        raise invalid(
            "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not"
            " valid for this topic type"
        )
    made: Publication = {
        "topic": topic.arn,
        "number": topic.number,
        "account": topic.account,
        "region": topic.region,
        "id": call.world.uuid(),
        "ms": int(call.tx.time_s * 1000),
        "subject": request.get("Subject"),
        "message": message,
        "texts": texts,
        "attributes": attributes,
        "group": group or "",
        "dedup": dedup or "",
        "sequence": 0,
    }
    if trace := trace_of(call):
        made["trace"] = trace
    return made


def _accept(call: Call, topic: Topic, message: Publication, key: DataKey | None) -> Response:
    """Leave it to the workers; Publish's answer."""
    size = publication.size_of(message["message"], message["attributes"])
    topic.measure(call.cloud, "NumberOfMessagesPublished")
    topic.measure(call.cloud, "PublishSize", size, "Bytes")
    if key is not None:
        sealing.seal(call, key, message)
    if not topic.is_fifo:
        fanout.leave(call, message)
        return {"MessageId": message["id"]}
    tx, keys = call.tx, keys_of(topic.account, topic.region)
    scope = message["group"] if topic.dedup_by_group else ""
    twin = state.known(tx, keys, topic.number, scope, message["dedup"], message["ms"])
    if twin is None:
        message["sequence"] = tx.stamp()
        twin = message["id"], message["sequence"]
        until_ms = message["ms"] + _DEDUPLICATION_MS
        state.put_known(tx, keys, topic.number, (scope, message["dedup"]), twin, until_ms)
        state.forget(tx, keys, topic.number, message["ms"], _FORGOTTEN_MAX)
        if topic.archive_days:
            state.put_archived(tx, keys, topic.number, message["ms"], publication.kept(message))
        fanout.leave(call, message)
    return {"MessageId": twin[0], "SequenceNumber": f"{twin[1]:020d}"}


def _text_message(call: Call, request: Request, phone: str) -> Response:
    if not PHONE.fullmatch(phone):
        raise invalid(f"PhoneNumber Reason: {phone} is not valid to publish to")
    message, texts = publication.read_message(
        request.get("Message"), request.get("MessageStructure")
    )
    fresh, keys = call.world.uuid(), keys_of(call.account, call.region)
    if phones.is_opted_out(call.tx, keys, phone):
        return {"MessageId": fresh}  # on AWS, too, only the delivery's log says so
    mail = outbox.Mail("sms", phone, None, (texts or {}).get("sms", message), "", fresh)
    outbox.put(call.tx, keys, mail)
    return {"MessageId": fresh}


def _to_device(call: Call, request: Request, arn: str) -> Response:
    found = push.endpoint(call, arn)
    if found is None:
        raise invalid("TargetArn Reason: No endpoint found for the target arn specified")
    if not found["enabled"]:
        raise Fault("EndpointDisabled", "Endpoint is disabled", status=400)
    message, texts = publication.read_message(
        request.get("Message"), request.get("MessageStructure")
    )
    fresh, platform = call.world.uuid(), push.place_of(arn, "TargetArn").platform
    text = (texts or {}).get(platform, message)
    mail = outbox.Mail("push", arn, request.get("Subject"), text, "", fresh)
    outbox.put(call.tx, keys_of(call.account, call.region), mail)
    return {"MessageId": fresh}


def _no_group() -> Fault:
    return invalid("The MessageGroupId parameter is required for FIFO topics")


def _failed(name: str, fault: Fault) -> Response:
    code = "ParameterValueInvalid" if fault.code == "InvalidParameterValueException" else fault.code
    return {"Id": name, "Code": code, "Message": fault.message, "SenderFault": True}


def _check_batch(entries: list[Request]) -> None:
    if not entries:
        raise Fault("EmptyBatchRequest", "The batch request doesn't contain any entries.")
    if len(entries) > _BATCH_MAX:
        raise Fault(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        )
    seen = set()
    for entry in entries:
        name = entry.get("Id") or ""
        if len(name) > _ENTRY_ID_MAX:
            raise Fault(
                "InvalidBatchEntryId",
                f"The Id of a batch entry in the batch request is too long: {name}",
            )
        if not _ENTRY_ID.fullmatch(name):
            raise Fault(
                "InvalidBatchEntryId",
                f"The Id of a batch entry in the batch request contains an impermissible character: {name}",
            )
        if name in seen:
            raise Fault(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            )
        seen.add(name)
