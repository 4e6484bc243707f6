"""Sending, receiving and deleting messages, one and in batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from hashlib import md5, sha256
from typing import Any

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.sqs import content, fifo, sealing, standard, state, worker
from stratolite.services.sqs.attributes import parse_arn
from stratolite.services.sqs.content import SIZE_BYTES_MAX, invalid
from stratolite.services.sqs.finding import key_of, queue_of
from stratolite.services.sqs.receipts import Receipts
from stratolite.services.sqs.sealing import Sealer
from stratolite.services.sqs.standard import Delivered
from stratolite.services.sqs.state import Counts, Delivery, Message, Queue

IN_FLIGHT_MAX = 120_000
_RECEIVED_MAX = 10
_BATCH_MAX = 10
_WAIT_S_MAX = 20
_HIDDEN_S_MAX = 43_200
_DELAY_S_MAX = 900
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_SYSTEM = (
    "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
    "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
)  # fmt: skip


class Messages(Service):
    receipts: Receipts
    sealer: Sealer

    # -- sending

    def send_message(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        tx = call.tx
        message, size = _read(call, q, request)
        content.check_size(size, q.size_bytes_max)
        if q.key:
            sealing.seal(call, q, self.sealer.data_key(call, q), message)
        c = state.counts(tx, q)
        answer = _accept(call, q, c, message)
        worker.plan_expiry(call.cloud, tx, q, c)
        state.put_counts(tx, q, c)
        q.measure(call.cloud, "NumberOfMessagesSent")
        q.measure(call.cloud, "SentMessageSize", size, "Bytes")
        return answer

    def send_message_batch(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        tx, entries = call.tx, request.get("Entries") or []
        _check_batch(entries)
        total = sum([_size(entry) for entry in entries])
        if total > SIZE_BYTES_MAX:
            raise Fault(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {SIZE_BYTES_MAX} bytes. You have sent {total} bytes.",
            )
        if q.is_fifo:
            for entry in entries:
                if not entry.get("MessageDeduplicationId") and not q.dedup_by_content:
                    raise _no_deduplication()
                if not entry.get("MessageGroupId"):
                    raise invalid("The request must contain the parameter MessageGroupId.")
        data_key = self.sealer.data_key(call, q) if q.key else None
        c = state.counts(tx, q)
        sizes: dict[int, int] = {}

        def send(entry: Request) -> Response:
            message, size = _read(call, q, entry)
            content.check_size(size, q.size_bytes_max)
            if data_key is not None:
                sealing.seal(call, q, data_key, message)
            answer = _accept(call, q, c, message)
            sizes[size] = sizes.get(size, 0) + 1
            return answer

        answer = _each(entries, send)
        for size, times in sizes.items():
            q.measure(call.cloud, "SentMessageSize", size, "Bytes", times)
        if answer["Successful"]:
            q.measure(call.cloud, "NumberOfMessagesSent", len(answer["Successful"]))
            worker.plan_expiry(call.cloud, tx, q, c)
            state.put_counts(tx, q, c)
        return answer

    # -- receiving

    def receive_message(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        tx = call.tx
        most = _number(request, "MaxNumberOfMessages", 1)
        if not 1 <= most <= _RECEIVED_MAX:
            raise invalid(
                f"Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and"
                " 10, if provided."
            )
        wait_s = _number(request, "WaitTimeSeconds", q.wait_s)
        if not 0 <= wait_s <= _WAIT_S_MAX:
            raise invalid(
                f"Value {wait_s} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20,"
                " if provided."
            )
        hidden_s = _hidden_s(request, q.visibility_s)
        system = _system_names(request)
        attempt = request.get("ReceiveRequestAttemptId")
        if attempt is not None:
            if not q.is_fifo:
                raise invalid(
                    f"Value {attempt} for parameter ReceiveRequestAttemptId is invalid. Reason: The request"
                    " include parameter that is not valid for this queue type."
                )
            content.check_id("ReceiveRequestAttemptId", attempt)
        c = state.counts(tx, q)
        if c.flying >= IN_FLIGHT_MAX:
            state_changed = _settle(tx, q, c)
            if c.flying >= IN_FLIGHT_MAX:
                if state_changed:
                    state.put_counts(tx, q, c)
                if q.is_fifo or wait_s:  # only the standard queue's short poll is told
                    return {}
                raise Fault(
                    "OverLimit",
                    f"Too many messages in flight for queue {q.name}: at most {IN_FLIGHT_MAX}",
                    status=403,
                )
        found = self._receive(call, q, c, most, hidden_s * 1000, attempt)
        if not found:
            until_s = request.setdefault("WaitUntil", tx.time_s + wait_s)  # not AWS's: of this call
            if tx.time_s < until_s and not tx.writes:
                _wait(tx, q, until_s)
            if tx.writes:
                state.put_counts(tx, q, c)
            q.measure(call.cloud, "NumberOfEmptyReceives")
            return {}
        state.put_counts(tx, q, c)
        q.measure(call.cloud, "NumberOfMessagesReceived", len(found))
        if not q.is_fifo and not tx.is_nested and all(one.is_durable for one in found):
            tx.relaxed = True  # sqs:visibility in limits.RELAXED
        names = request.get("MessageAttributeNames") or ()
        return {"Messages": [self._shown(call, q, one, system, names) for one in found]}

    def _receive(
        self, call: Call, q: Queue, c: Counts, most: int, hidden_ms: int, attempt: str | None
    ) -> list[Delivered]:
        tx = call.tx
        dead = _undertaker(call, q) if q.target else None
        most = min(most, IN_FLIGHT_MAX - c.flying)
        if not q.is_fifo:
            return standard.receive(tx, q, c, most, hidden_ms, dead)
        if attempt is not None:
            again = fifo.attempted(tx, q, attempt, hidden_ms, c)
            if again is not None:
                return again
        found = fifo.receive(tx, q, c, most, hidden_ms, dead)
        if attempt is not None and found:
            fifo.remember(tx, q, attempt, found)
        return found

    def _shown(
        self, call: Call, q: Queue, one: Delivered, system: Iterable[str], names: Iterable[str]
    ) -> dict[str, Any]:
        message, delivery = one.message, one.delivery
        shown: dict[str, Any] = {
            "MessageId": message.id,
            "ReceiptHandle": self.receipts.write(
                q.number, q.box, message.sent_ms, one.stamp, delivery.receives
            ),
            "MD5OfBody": message.md5.hex(),
            "Body": message.body or self.sealer.body(call, q, message),
        }
        if system:
            shown["Attributes"] = _system_attributes(message, delivery, system)
        if message.attributes and (chosen := content.chosen(message.attributes, names)):
            shown["MessageAttributes"] = content.shown(chosen)
            shown["MD5OfMessageAttributes"] = content.digest(chosen)
        return shown

    # -- deleting

    def delete_message(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        c = state.counts(call.tx, q)
        self._delete(call, q, c, request)
        return _counted(call.tx, q, c)

    def delete_message_batch(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        entries = request.get("Entries") or []
        _check_batch(entries)
        c = state.counts(call.tx, q)
        answer = _each(entries, lambda entry: self._delete(call, q, c, entry))
        _counted(call.tx, q, c)
        return answer

    def _delete(self, call: Call, q: Queue, c: Counts, entry: Request) -> Response:
        handle = _handle(entry)
        receipt = self.receipts.read(handle, q.number)
        q.measure(call.cloud, "NumberOfMessagesDeleted")
        if receipt.box != q.box:
            return {}  # purged
        if not q.is_fifo:
            standard.delete(call.tx, q, c, receipt)
        elif not fifo.delete(call.tx, q, c, receipt):
            raise invalid(
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: The receipt handle has"
                " expired."
            )
        return {}

    # -- visibility

    def change_message_visibility(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        c = state.counts(call.tx, q)
        self._hide(call, q, c, request)
        return _counted(call.tx, q, c)

    def change_message_visibility_batch(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        entries = request.get("Entries") or []
        _check_batch(entries)
        c = state.counts(call.tx, q)
        answer = _each(entries, lambda entry: self._hide(call, q, c, entry))
        call.tx.relaxed = False  # one of them may have made a message visible sooner
        _counted(call.tx, q, c)
        return answer

    def _hide(self, call: Call, q: Queue, c: Counts, entry: Request) -> Response:
        if entry.get("VisibilityTimeout") is None:
            raise Fault(
                "MissingParameter", "The request must contain the parameter VisibilityTimeout."
            )
        hidden_s = _hidden_s(entry, 0)
        handle = _handle(entry)
        receipt = self.receipts.read(handle, q.number)
        order = fifo if q.is_fifo else standard
        delivery = order.flying(call.tx, q, receipt) if receipt.box == q.box else None
        if delivery is None:
            raise invalid(
                f"Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is"
                " not available for visibility timeout change."
            )
        due_ms = int(call.tx.time_s * 1000) + hidden_s * 1000
        if due_ms - delivery.last_ms > _HIDDEN_S_MAX * 1000:
            raise invalid(
                f"Value {hidden_s} for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout"
                f" for the message is beyond the limit [{_HIDDEN_S_MAX} seconds]."
            )
        order.hide(call.tx, q, c, receipt, delivery, due_ms)
        if not q.is_fifo and due_ms >= delivery.due_ms and not call.tx.is_nested:
            call.tx.relaxed = (
                True  # sqs:visibility in limits.RELAXED: losing it is an earlier delivery
            )
        return {}


# -- what is sent


def _read(call: Call, q: Queue, request: Request) -> tuple[Message, int]:
    """The message of SendMessage or of a batch's entry, and its size in bytes."""
    raw = content.check_body(request.get("MessageBody"))
    body: str = request["MessageBody"]
    size = len(raw)
    given = request.get("MessageAttributes")
    attributes = content.attributes(given) if given else {}
    if attributes:
        size += content.attributes_size(attributes)
    trace = getattr(call, "trace", "")
    if system := request.get("MessageSystemAttributes"):
        if set(system) - {"AWSTraceHeader"}:
            raise invalid(
                f"Message system attribute name '{next(iter(set(system) - {'AWSTraceHeader'}))}' is invalid."
            )
        trace = str(content.attributes(system, "system")["AWSTraceHeader"][1])
    group = request.get("MessageGroupId")
    dedup = request.get("MessageDeduplicationId")
    delay_s = request.get("DelaySeconds")
    if group is not None and (group or not q.is_fifo):
        content.check_id("MessageGroupId", group)
    if dedup is not None:
        content.check_id("MessageDeduplicationId", dedup)
    if q.is_fifo:
        if delay_s:
            raise _not_for_type("DelaySeconds", delay_s)
        if not group:
            raise Fault(
                "MissingParameter", "The request must contain the parameter MessageGroupId."
            )
        if not dedup:
            if not q.dedup_by_content:
                raise _no_deduplication()
            dedup = sha256(raw).hexdigest()
        delay_s = q.delay_s
    else:
        if dedup is not None:
            raise _not_for_type("MessageDeduplicationId", dedup)
        if delay_s is None:
            delay_s = q.delay_s
        elif not 0 <= delay_s <= _DELAY_S_MAX:
            raise invalid(
                f"Value {delay_s} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and"
                f" <= {_DELAY_S_MAX}."
            )
    now_ms = int(call.tx.time_s * 1000)
    who = call.principal
    message = Message(
        call.world.uuid(),
        body,
        md5(raw, usedforsecurity=False).digest(),
        attributes,
        who.user_id or who.name or who.account or "anonymous",
        now_ms,
        now_ms + delay_s * 1000,
        trace,
        group or "",
        dedup or "",
    )
    return message, size


def _accept(call: Call, q: Queue, c: Counts, message: Message) -> Response:
    """Take the message in; SendMessage's answer."""
    answer: Response = {"MessageId": message.id, "MD5OfMessageBody": message.md5.hex()}
    if message.attributes:
        answer["MD5OfMessageAttributes"] = content.digest(message.attributes)
    if message.trace and message.trace != getattr(call, "trace", ""):
        trace = {"AWSTraceHeader": ("String", message.trace)}
        answer["MD5OfMessageSystemAttributes"] = content.digest(trace)  # type: ignore[arg-type]
    if not q.is_fifo:
        standard.send(call.tx, q, c, message)
        return answer
    twin = fifo.twin(call.tx, q, message)
    if twin is None:
        fifo.send(call.tx, q, c, message)
        twin = message.id, message.sequence
    answer["MessageId"] = twin[0]
    answer["SequenceNumber"] = f"{twin[1]:020d}"
    return answer


def _size(entry: Request) -> int:
    """As AWS adds up a batch, before looking closer at its entries."""
    body = entry.get("MessageBody") or ""
    size = len(body) if body.isascii() else len(body.encode())
    attributes = entry.get("MessageAttributes")
    if not attributes:
        return size
    for name, one in attributes.items():
        value = one.get("StringValue") or one.get("BinaryValue") or ""
        size += len(name.encode()) + len(one.get("DataType") or "")
        size += len(value.encode()) if isinstance(value, str) else len(value)
    return size


def _not_for_type(name: str, value: object) -> Fault:
    return invalid(
        f"Value {value} for parameter {name} is invalid. Reason: The request include parameter that is not"
        " valid for this queue type."
    )


def _no_deduplication() -> Fault:
    return invalid(
        "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided"
        " explicitly"
    )


# -- what is received


def _undertaker(call: Call, q: Queue) -> standard.Dead:
    """Moves messages of ``q`` that were received too often."""
    parsed = parse_arn(q.target)

    def bury(message: Message, delivery: Delivery) -> bool:
        target = parsed and state.queue(call.tx, key_of(q.account, q.region), parsed[2])
        if not target or target.number == q.number or target.is_fifo != q.is_fifo:
            return False
        c = state.counts(call.tx, target)
        message.source, message.parts = q.arn, 0
        order = fifo if q.is_fifo else standard
        order.bury(call.tx, target, c, message, delivery, int(call.tx.time_s * 1000))
        worker.plan_expiry(call.cloud, call.tx, target, c)
        state.put_counts(call.tx, target, c)
        return True

    return bury


def _wait(tx: Tx, q: Queue, until_s: float) -> None:
    """Park until a message may be there: what becomes available within the wait is in these spans."""
    later = q.until(q.later_span, int(until_s * 1000) + 1)
    due_ms = state.next_due_ms(tx, q)
    if due_ms is not None:
        until_s = min(until_s, (due_ms + 1) / 1000)
    tx.wait([q.ready_span, later, state.record_span(q)], until_s)


def _settle(tx: Tx, q: Queue, c: Counts) -> bool:
    return fifo.settle(tx, q, c) if q.is_fifo else standard.settle(tx, q, c)


def _system_names(request: Request) -> tuple[str, ...]:
    asked = [
        *(request.get("AttributeNames") or ()),
        *(request.get("MessageSystemAttributeNames") or ()),
    ]
    if not asked:
        return ()
    if "All" in asked:
        return _SYSTEM
    for name in asked:
        if name not in _SYSTEM:
            raise Fault("InvalidAttributeName", f"Unknown Attribute {name}.")
    return tuple(asked)


def _system_attributes(
    message: Message, delivery: Delivery, names: Iterable[str]
) -> dict[str, str]:
    known = {
        "SenderId": message.sender,
        "SentTimestamp": str(message.sent_ms),
        "ApproximateReceiveCount": str(delivery.receives),
        "ApproximateFirstReceiveTimestamp": str(delivery.first_ms),
        "SequenceNumber": f"{message.sequence:020d}" if message.sequence else "",
        "MessageDeduplicationId": message.dedup,
        "MessageGroupId": message.group,
        "AWSTraceHeader": message.trace,
        "DeadLetterQueueSourceArn": message.source,
    }
    return {name: known[name] for name in names if known[name]}


# -- what they have in common


def _number(request: Request, name: str, default: int) -> int:
    value = request.get(name)
    return default if value is None else int(value)


def _hidden_s(request: Request, default: int) -> int:
    hidden_s = _number(request, "VisibilityTimeout", default)
    if not 0 <= hidden_s <= _HIDDEN_S_MAX:
        raise invalid(
            f"Value {hidden_s} for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200,"
            " if provided."
        )
    return hidden_s


def _handle(entry: Request) -> str:
    handle = entry.get("ReceiptHandle")
    if not handle:
        raise Fault("MissingParameter", "The request must contain the parameter ReceiptHandle.")
    return str(handle)


def _counted(tx: Tx, q: Queue, c: Counts) -> Response:
    if tx.writes:
        state.put_counts(tx, q, c)
    return {}


def _check_batch(entries: list[Request]) -> None:
    if not entries:
        raise Fault("EmptyBatchRequest", "There should be at least one entry in the request.")
    if len(entries) > _BATCH_MAX:
        raise Fault(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {_BATCH_MAX}. You have sent {len(entries)}.",
        )
    seen = set()
    for entry in entries:
        name = entry.get("Id") or ""
        if not _ENTRY_ID.fullmatch(name):
            raise Fault(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be"
                " at most 80 letters long.",
            )
        if name in seen:
            raise Fault("BatchEntryIdsNotDistinct", f"Id {name} repeated.")
        seen.add(name)


def _each(entries: list[Request], do: Callable[[Request], Response]) -> Response:
    """Every entry on its own: one that fails does not keep the others from what they are for."""
    done: list[Response] = []
    failed: list[Response] = []
    for entry in entries:
        try:
            done.append({"Id": entry["Id"], **do(entry)})
        except Fault as fault:
            failed.append({
                "Id": entry["Id"],
                "SenderFault": True,
                "Code": fault.code,
                "Message": fault.message,
            })  # fmt: skip
    answer: Response = {"Successful": done}
    if failed:
        answer["Failed"] = failed
    return answer
