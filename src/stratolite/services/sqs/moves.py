"""Message move tasks: what a dead-letter queue holds goes back, a page a transaction, at the asked rate.

A task is JSON {id, began_ms, destination (an ARN, "" for where each message came from), rate (a second, 0 for any),
to_move, moved, status (RUNNING, CANCELLING, CANCELLED, COMPLETED, FAILED), reason}. What it moves is new in its
queue: another message id, another age.
Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Service, Settle
from stratolite.services.sqs import fair, fifo, standard, state, worker
from stratolite.services.sqs.attributes import parse_arn
from stratolite.services.sqs.content import invalid
from stratolite.services.sqs.finding import key_of
from stratolite.services.sqs.permissions import arn_queue
from stratolite.services.sqs.state import Counts, Message, Queue

QUEUE = "sqs.move"
_LISTED_MAX = 10
_RATE_MAX = 500
_PAGE = 50
_ACTIVE = ("RUNNING", "CANCELLING")


class Moves(Service):
    def start_message_move_task(self, call: Call, request: Request) -> Response:
        tx, keys = call.tx, key_of(call.account, call.region)
        q = _source(call, request["SourceArn"])
        rate = request.get("MaxNumberOfMessagesPerSecond")
        if rate is not None and not 1 <= rate <= _RATE_MAX:
            raise invalid(
                f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1"
                f" and {_RATE_MAX}, if provided."
            )
        if not state.has_sources(tx, keys, q.arn):
            raise invalid("Source queue must be configured as a Dead Letter Queue.")
        destination = request.get("DestinationArn") or ""
        if destination:
            found = arn_queue(call, destination)
            if found is None:
                raise _missing("DestinationArn")
            if found.is_fifo != q.is_fifo:
                raise invalid("The destination queue must be of the same type as the source queue.")
            if found.number == q.number:
                raise invalid("Source queue arn and destination queue arn cannot be the same.")
        if any(t["status"] in _ACTIVE for t in state.tasks(tx, keys, q.number, 1)):
            raise invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a"
                " given time."
            )
        c = state.counts(tx, q)
        newest = state.tasks(tx, keys, q.number, 1)
        began_ms = int(tx.time_s * 1000)
        if newest:
            began_ms = max(began_ms, newest[0]["began_ms"] + 1)
        task = {
            "id": call.world.uuid(),
            "began_ms": began_ms,
            "destination": destination,
            "rate": rate or 0,
            "to_move": c.visible + c.delayed,
            "moved": 0,
            "status": "RUNNING",
            "reason": "",
        }
        state.put_task(tx, keys, q.number, task)
        state.trim_tasks(tx, keys, q.number, _LISTED_MAX)
        said = {
            "account": q.account,
            "region": q.region,
            "name": q.name,
            "queue": q.number,
            "began_ms": began_ms,
        }
        call.cloud.work.put(tx, QUEUE, orjson.dumps(said))
        return {"TaskHandle": _handle(q, task)}

    def list_message_move_tasks(self, call: Call, request: Request) -> Response:
        q = _source(call, request["SourceArn"])
        most = request.get("MaxResults") or 1
        if not 1 <= most <= _LISTED_MAX:
            raise invalid(
                f"Value {most} for parameter MaxResults is invalid. Reason: Must be between 1 and {_LISTED_MAX},"
                " if provided."
            )
        tasks = state.tasks(call.tx, key_of(q.account, q.region), q.number, most)
        return {"Results": [_described(q, task) for task in tasks]}

    def cancel_message_move_task(self, call: Call, request: Request) -> Response:
        source, task_id = _read_handle(request["TaskHandle"])
        q = _source(call, source)
        keys = key_of(q.account, q.region)
        tasks = state.tasks(call.tx, keys, q.number, _LISTED_MAX)
        task = next((one for one in tasks if one["id"] == task_id), None)
        if task is None:
            raise Fault("ResourceNotFoundException", "Task does not exist.", status=404)
        if task["status"] != "RUNNING":
            raise invalid("Only active tasks can be cancelled.")
        state.put_task(call.tx, keys, q.number, {**task, "status": "CANCELLING"})
        return {"ApproximateNumberOfMessagesMoved": task["moved"]}


def handle_source(handle: str) -> str:
    """The ARN in a task's handle."""
    return _read_handle(handle)[0]


def _handle(q: Queue, task: state.Record) -> str:
    said = {"taskId": task["id"], "sourceArn": q.arn}
    return base64.b64encode(orjson.dumps(said)).decode()


def _read_handle(text: str) -> tuple[str, str]:
    """(the source's ARN, the task's id), as AWS's handles have them."""
    try:
        said = orjson.loads(base64.b64decode(text.encode(), validate=True))
        return str(said["sourceArn"]), str(said["taskId"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise invalid("Value for parameter TaskHandle is invalid.") from None


def _described(q: Queue, task: state.Record) -> Response:
    shown: dict[str, Any] = {
        "Status": task["status"],
        "SourceArn": q.arn,
        "ApproximateNumberOfMessagesMoved": task["moved"],
        "ApproximateNumberOfMessagesToMove": task["to_move"],
        "StartedTimestamp": task["began_ms"],
    }
    if task["status"] == "RUNNING":
        shown["TaskHandle"] = _handle(q, task)
    if task["destination"]:
        shown["DestinationArn"] = task["destination"]
    if task["rate"]:
        shown["MaxNumberOfMessagesPerSecond"] = task["rate"]
    if task["reason"]:
        shown["FailureReason"] = task["reason"]
    return shown


def _source(call: Call, arn: str) -> Queue:
    if parse_arn(arn) is None:
        raise invalid(
            "You must use this format to specify the SourceArn:"
            " arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
        )
    found = arn_queue(call, arn)
    if found is None:
        raise _missing("SourceArn")
    return found


def _missing(member: str) -> Fault:
    return Fault(
        "ResourceNotFoundException",
        f"The resource that you specified for the {member} parameter doesn't exist.",
        status=404,
    )


class Mover:
    """Carries a task out; with a rate, a second's worth a job."""

    queue, ordered, concurrency = QUEUE, False, 4

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        while await self._cloud.db.transact(lambda tx: _take_in_page(tx, said)):
            pass
        rate = await self._cloud.db.transact(lambda tx: _rate(tx, said))
        left = rate or None
        while True:
            most = _PAGE if left is None else min(_PAGE, left)

            def page(tx: Tx, most: int = most) -> int:
                return _move_page(self._cloud, tx, said, most)

            moved = await self._cloud.db.transact(page)
            if moved < 0:
                return None
            if left is not None:
                left -= moved
                if left <= 0:
                    break

        def again(tx: Tx) -> None:
            self._cloud.work.put(tx, QUEUE, job.payload, due_s=tx.time_s + 1)

        return again


def _rate(tx: Tx, said: dict[str, Any]) -> int:
    task = state.task(tx, key_of(said["account"], said["region"]), said["queue"], said["began_ms"])
    return int(task["rate"]) if task is not None else 0


def _take_in_page(tx: Tx, said: dict[str, Any]) -> bool:
    """Before anything is moved: have a task move, too, what is still counted as in flight though its time is over. Whether
    there may be more of it."""
    keys = key_of(said["account"], said["region"])
    q = state.queue(tx, keys, said["name"])
    task = state.task(tx, keys, said["queue"], said["began_ms"])
    if q is None or q.number != said["queue"] or task is None:
        return False
    if task["status"] != "RUNNING" or task["moved"]:
        return False
    c = state.counts(tx, q)
    any_more = fifo.settle(tx, q, c) if q.is_fifo else standard.settle(tx, q, c)
    if any_more:
        state.put_counts(tx, q, c)
    state.put_task(tx, keys, q.number, {**task, "to_move": c.visible + c.delayed})
    return any_more


def _move_page(cloud: Cloud, tx: Tx, said: dict[str, Any], most: int) -> int:
    """How many were moved; -1 once the task is over."""
    keys = key_of(said["account"], said["region"])
    q = state.queue(tx, keys, said["name"])
    task = state.task(tx, keys, said["queue"], said["began_ms"])
    if q is None or q.number != said["queue"] or task is None or task["status"] not in _ACTIVE:
        return -1

    def end(status: str, reason: str = "") -> int:
        state.put_task(tx, keys, q.number, {**task, "status": status, "reason": reason})
        return -1

    if task["status"] == "CANCELLING":
        return end("CANCELLED")
    if task["moved"] >= task["to_move"]:
        return end("COMPLETED")
    c = state.counts(tx, q)
    moved = 0
    for sent_ms, stamp, message in _next(tx, q, c, min(most, task["to_move"] - task["moved"])):
        target_arn = task["destination"] or message.source
        parsed = parse_arn(target_arn) if target_arn else None
        target = state.queue(tx, keys, parsed[2]) if parsed else None
        if target is None or target.is_fifo != q.is_fifo:
            if moved:
                break  # say so in the next page, with what was moved kept
            why = (
                "AWS.SimpleQueueService.NonExistentQueue"
                if target_arn
                else "CouldNotDetermineMessageSource"
            )
            return end("FAILED", why)
        (fifo if q.is_fifo else standard).forget(tx, q, c, sent_ms, stamp)
        _give(cloud, tx, target, message)
        moved += 1
    if not moved:
        return end("COMPLETED")
    state.put_counts(tx, q, c)
    state.put_task(tx, keys, q.number, {**task, "moved": task["moved"] + moved})
    return moved


def _next(tx: Tx, q: Queue, c: Counts, most: int) -> list[tuple[int, int, Message]]:
    """Messages that could be received now."""
    now_ms = int(tx.time_s * 1000)
    found: list[tuple[int, int, Message]] = []
    is_fair = c.fair is not None
    places = fair.waiting(tx, q, c, most) if is_fair else state.places(tx, q, c, now_ms, most)
    for place in places:
        if q.is_fifo:
            rows = state.line(tx, q, place.value.decode(), most - len(found))
        else:
            rows = [(place.stamp, state.read_standard_value(place.value)[1])]
        for stamp, sent_ms in rows:
            message = state.message(tx, q, sent_ms, stamp)
            assert message is not None, "a place without its message"
            found.append((sent_ms, stamp, message))
        if len(found) >= most:
            break
    return found


def _give(cloud: Cloud, tx: Tx, target: Queue, message: Message) -> None:
    now_ms = int(tx.time_s * 1000)
    message.id = cloud.world.uuid()
    message.source, message.parts = "", 0
    message.sent_ms, message.at_ms = now_ms, now_ms + target.delay_s * 1000
    c = state.counts(tx, target)
    (fifo if target.is_fifo else standard).send(tx, target, c, message)
    worker.plan_expiry(cloud, tx, target, c)
    state.put_counts(tx, target, c)
