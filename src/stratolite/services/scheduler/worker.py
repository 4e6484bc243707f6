"""When schedules come due, and the calls of their targets. What the jobs hold: the front page."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from stratolite import delivery, timetable
from stratolite.clock import iso
from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.input_template import MISSING, fill
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.scheduler import checks, sealing, state

if TYPE_CHECKING:
    from stratolite.service import Cloud

SERVICE = "scheduler.amazonaws.com"
_FIRE, _DELIVER, _DROP = "scheduler.fire", "scheduler.deliver", "scheduler.drop"
_DAY_S = 86_400.0
_PAGE_ROWS = 200
Said = dict[str, Any]


def start(call: Call, group: str, name: str, record: state.Record) -> int:
    """The stamp of a schedule's new timer; 0 if it is off or never comes due."""
    request = record["request"]
    if request["State"] != "ENABLED":
        return 0
    table = checks.table_of(request)
    start_s = request.get("StartDate")
    if isinstance(table, timetable.Rate):
        due_s: float | None = max(start_s or 0.0, call.tx.time_s)
        record["anchor_s"] = due_s
    elif isinstance(table, timetable.At):
        due_s = table.time_s if table.time_s > call.tx.time_s else None
    else:
        due_s = table.after(max(call.tx.time_s, (start_s or 0.0) - 1.0), 0.0)
    if not _in_time(request, table, due_s):
        return 0
    stamp = call.tx.stamp()
    _put_fire(call, {"group": group, "name": name, "timer": stamp}, request, due_s)
    return stamp


def _in_time(request: Said, table: timetable.Timetable, due_s: float | None) -> bool:
    if due_s is None:
        return False
    end_s = request.get("EndDate")
    return end_s is None or isinstance(table, timetable.At) or due_s <= end_s


def _put_fire(call: Call, said: Said, request: Said, due_s: float | None) -> None:
    assert due_s is not None
    window_s = request["FlexibleTimeWindow"].get("MaximumWindowInMinutes", 0) * 60
    chance = int.from_bytes(call.world.token(4), "big") / 2**32
    at_s = due_s + window_s * chance
    made = {**said, "account": call.account, "region": call.region, "due_s": due_s, "at_s": at_s}
    call.cloud.work.put(call.tx, _FIRE, orjson.dumps(made), due_s=at_s)


def drop_group(call: Call, group: str) -> None:
    said = {"account": call.account, "region": call.region, "group": group}
    call.cloud.work.put(call.tx, _DROP, orjson.dumps(said))


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (_Fire(cloud), _Deliver(cloud), _Drop(cloud))


class _Fire:
    queue, ordered, concurrency = _FIRE, False, 16

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        group, name = said["group"], said["name"]
        execution = call.world.uuid()

        def settle(tx: Tx) -> None:
            call.tx = tx
            keys = call.keys("scheduler")
            record = state.schedule(tx, keys, group, name)
            if record is None or record["timer"] != said["timer"]:
                return
            request = record["request"]
            delivered = {
                "account": call.account, "region": call.region, "target": request["Target"], "execution": execution,
                "schedule": f"arn:aws:scheduler:{call.region}:{call.account}:schedule/{group}/{name}", "due_s": said["due_s"],
                "attempts": 0, "first_s": tx.time_s, "dead": None, "sealed": record.get("sealed"),
            }  # fmt: skip
            self._cloud.work.put(tx, _DELIVER, orjson.dumps(delivered))
            table = checks.table_of(request)
            next_s = table.after(max(said["due_s"], tx.time_s - _DAY_S), record["anchor_s"])
            if isinstance(table, timetable.At) or not _in_time(request, table, next_s):
                if request["ActionAfterCompletion"] == "DELETE":
                    state.delete_schedule(tx, keys, group, name)
                return
            _put_fire(call, {"group": group, "name": name, "timer": said["timer"]}, request, next_s)

        return settle


class _Deliver:
    queue, ordered, concurrency = _DELIVER, False, 64

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        document = "{}"
        if not said["dead"]:
            _measure(self._cloud, said, "InvocationAttemptCount")
        try:
            session = said["schedule"].rpartition("/")[2][:64].ljust(2, "_")
            role = said["target"]["RoleArn"]
            acting = await call.as_role(role, SERVICE, said["schedule"], session)
            document = _document(said, await self._input(acting, said))
            if said["dead"]:
                await _bury(acting, said, document)
                _measure(self._cloud, said, "InvocationsSentToDeadLetterCount")
            else:
                await _send(acting, said, document)
        except (Fault, ValueError) as error:
            code = error.code if isinstance(error, Fault) else "ValidationException"
            if not said["dead"]:
                busy = any(word in code for word in ("Throttl", "TooManyRequests", "Exceeded"))
                name = "TargetErrorThrottledCount" if busy else "TargetErrorCount"
                _measure(self._cloud, said, name)
            failure = delivery.Failure(code, str(error)[:1024], delivery.may_retry(error))
            over = partial(_measure_failure, self._cloud, said, code)
            return delivery.failed(self._cloud, _DELIVER, said, failure, over)
        return None

    async def _input(self, acting: Call, said: Said) -> str:
        """As the schedule's role. Raises Fault, but for what goes to the dead-letter queue: that goes without it."""
        sealed = said.get("sealed")
        if sealed is None:
            return said["target"].get("Input") or "{}"
        try:
            return await acting.transact(lambda c: sealing.opened(c, said["schedule"], sealed))
        except Fault:
            if said["dead"]:
                return "{}"
            raise


def _measure_failure(cloud: Cloud, said: Said, code: str) -> None:
    """What is not tried again."""
    if said["dead"]:
        for name in ("", f"_{code}"):
            _measure(cloud, said, f"InvocationsFailedToBeSentToDeadLetterCount{name}")
        return
    _measure(cloud, said, "InvocationDroppedCount")


def _measure(cloud: Cloud, said: Said, name: str) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/monitoring-cloudwatch.html"""
    group = said["schedule"].split("/")[1]
    for dimensions in ((("ScheduleGroup", group),), ()):
        cloud.measure(said["account"], said["region"], "AWS/Scheduler", dimensions, name)


def _document(said: Said, text: str) -> str:
    """The target's Input, with the scheduler's own placeholders filled in."""
    own = {
        "aws.scheduler.schedule-arn": said["schedule"],
        "aws.scheduler.scheduled-time": iso(said["due_s"]),
        "aws.scheduler.execution-id": said["execution"],
        "aws.scheduler.attempt-number": str(said["attempts"] + 1),
    }
    if "<aws.scheduler." not in text:
        return text
    return fill(text, lambda name: own.get(name, MISSING), must_be_json=False)


async def _send(acting: Call, said: Said, document: str) -> None:
    target = said["target"]
    there = acting.scoped(said["account"], said["region"])
    if (found := checks.universal(target["Arn"])) is not None:
        service, operation = found
        given = orjson.loads(document)
        request = there.cloud.documents.read_request(service, operation, given)
        await there.request(service, operation, request)
        return
    arn = delivery.parse(target["Arn"])
    if arn.service == "events":
        wanted = target["EventBridgeParameters"]
        entry = {"EventBusName": target["Arn"], "Source": wanted["Source"], "DetailType": wanted["DetailType"], "Detail": document}  # fmt: skip
        answer = await there.request("events", "PutEvents", {"Entries": [entry]})
        if answer["FailedEntryCount"]:
            failed = answer["Entries"][0]
            raise Fault(failed["ErrorCode"], failed["ErrorMessage"], status=400)
        return
    options = delivery.Options(
        group_id=(target.get("SqsParameters") or {}).get("MessageGroupId", ""),
        deduplication_id=said["execution"],
        partition_key=(target.get("KinesisParameters") or {}).get("PartitionKey", ""),
        name=said["execution"],
    )
    await delivery.send(there, target["Arn"], document, options)


async def _bury(acting: Call, said: Said, document: str) -> None:
    """https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html"""
    dead = said["dead"]
    attributes = {
        "ERROR_CODE": dead["code"],
        "ERROR_MESSAGE": dead["message"] or "-",
        "EXECUTION_ID": said["execution"],
        "IS_PAYLOAD_TRUNCATED": "false",
        "RETRY_ATTEMPTS": str(dead["retries"]),
        "SCHEDULED_TIME": iso(said["due_s"]),
        "SCHEDULE_ARN": said["schedule"],
        "TARGET_ARN": said["target"]["Arn"],
    }
    if dead["condition"]:
        attributes["EXHAUSTED_RETRY_CONDITION"] = dead["condition"]
    queue = said["target"]["DeadLetterConfig"]["Arn"]
    await delivery.bury(acting, queue, document, attributes)


class _Drop:
    queue, ordered, concurrency = _DROP, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = self._cloud.call(said["account"], said["region"])
        group = said["group"]

        def page(inner: Call) -> bool:
            return state.drop_page(inner.tx, inner.keys("scheduler"), group, _PAGE_ROWS)

        while await call.transact(page):
            pass

        def settle(tx: Tx) -> None:
            state.delete_group(tx, call.keys("scheduler"), group)

        return settle
