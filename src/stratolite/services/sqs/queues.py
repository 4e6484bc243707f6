"""Queues: create, find, describe, change, purge, tag, delete."""

from __future__ import annotations

import re
from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.sqs import attributes, fifo, standard, state, worker
from stratolite.services.sqs.attributes import parse_arn
from stratolite.services.sqs.content import invalid
from stratolite.services.sqs.finding import key_of, no_queue, queue_of, url_of
from stratolite.services.sqs.state import Queue

_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_DELETED_RECENTLY_MS = 60_000
_PURGE_EVERY_MS = 60_000
_LIST_MAX = 1000
_TAGS_MAX = 50
_TAG_KEY = re.compile(r"(?!aws:)[\w\s.:/=+\-@]{1,128}", re.IGNORECASE)
_TAG_VALUE = re.compile(r"[\w\s.:/=+\-@]{0,256}")


class Queues(Service):
    def create_queue(self, call: Call, request: Request) -> Response:
        name = request.get("QueueName") or ""
        is_fifo = name.endswith(".fifo")
        given = dict(request.get("Attributes") or {})
        _check_name(name, is_fifo=is_fifo or given.get("FifoQueue") == "true")
        if is_fifo and given.get("FifoQueue", "").lower() != "true":
            raise invalid(
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
            )
        wanted = attributes.checked(given, is_fifo=is_fifo, is_new=True)
        attributes.check_principals(call, wanted)
        tags = request.get("tags") or {}
        _check_tags(tags)
        keys, tx = key_of(call.account, call.region), call.tx
        token = request.get("StackToken")  # not AWS's: a stack's step finds what it made before
        now_ms = int(tx.time_s * 1000)
        found = state.queue(tx, keys, name)
        if found is not None:
            _check_same(found, given, wanted, token)
            return {"QueueUrl": url_of(call, found)}
        gone_ms = state.gone_ms(tx, keys, name)
        if gone_ms is not None:
            if gone_ms + _DELETED_RECENTLY_MS > now_ms:
                raise Fault(
                    "QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the"
                    " same name.",
                )
            state.forget_gone(tx, keys, name)
        number = tx.stamp()
        record: state.Record = {
            "name": name,
            "account": call.account,
            "region": call.region,
            "id": number,
            "box": number,
            "created_ms": now_ms,
            "modified_ms": now_ms,
            "purged_ms": 0,
            "attributes": {k: v for k, v in wanted.items() if v},
            "tags": tags,
            "token": token,
        }
        attributes.check_throughput(record["attributes"])
        _check_redrive(call, record, wanted)
        state.put_queue(tx, keys, record)
        return {"QueueUrl": f"{call.endpoint}/{call.account}/{name}"}

    def get_queue_url(self, call: Call, request: Request) -> Response:
        owner = request.get("QueueOwnerAWSAccountId") or call.account
        found = state.queue(call.tx, key_of(owner, call.region), request["QueueName"])
        if found is None:
            raise no_queue()
        return {"QueueUrl": url_of(call, found)}

    def list_queues(self, call: Call, request: Request) -> Response:
        keys = key_of(call.account, call.region)
        most, after = _page(request)
        found: list[Queue] = []
        for q in state.queues(call.tx, keys, request.get("QueueNamePrefix") or "", after):
            if len(found) == most:
                return _listed(call, "QueueUrls", found, request)
            found.append(q)
        return {"QueueUrls": [url_of(call, q) for q in found]} if found else {}

    def list_dead_letter_source_queues(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        keys = key_of(q.account, q.region)
        most, after = _page(request)
        found: list[Queue] = []
        for name in state.sources(call.tx, keys, q.arn, after):
            source = state.queue(call.tx, keys, name)
            assert source is not None, "a source that is gone"
            if len(found) == most:
                return _listed(call, "queueUrls", found, request)
            found.append(source)
        return {"queueUrls": [url_of(call, source) for source in found]}

    def get_queue_attributes(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        names = request.get("AttributeNames") or ()
        for name in names:
            if name != "All" and name not in attributes.ALL:
                raise attributes.unknown(name)
        if not names:
            return {}
        tx = call.tx
        c = state.counts(tx, q)
        if any(name == "All" or name.startswith("Approximate") for name in names):
            order = fifo if q.is_fifo else standard
            if order.settle(tx, q, c):
                state.put_counts(tx, q, c)
        found = {
            "QueueArn": q.arn,
            "ApproximateNumberOfMessages": str(c.visible),
            "ApproximateNumberOfMessagesNotVisible": str(c.flying),
            "ApproximateNumberOfMessagesDelayed": str(c.delayed),
            "CreatedTimestamp": str(q.record["created_ms"] // 1000),
            "LastModifiedTimestamp": str(q.record["modified_ms"] // 1000),
            **attributes.effective(q.attributes, is_fifo=q.is_fifo),
        }
        if "All" not in names:
            found = {name: value for name, value in found.items() if name in names}
        return {"Attributes": found} if found else {}

    def set_queue_attributes(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        given = request.get("Attributes") or {}
        if not given:
            raise Fault("MissingParameter", "The request must contain the parameter Attributes.")
        wanted = attributes.checked(given, is_fifo=q.is_fifo, is_new=False)
        attributes.check_principals(call, wanted)
        kept = {k: v for k, v in {**q.attributes, **wanted}.items() if v}
        attributes.check_throughput(kept)
        changed = {**q.record, "attributes": kept, "modified_ms": int(call.tx.time_s * 1000)}
        _check_redrive(call, changed, wanted)
        state.put_queue(call.tx, key_of(q.account, q.region), changed)
        if "MessageRetentionPeriod" in wanted:
            c = state.counts(call.tx, q)
            c.expiry_ms = 0
            worker.plan_expiry(call.cloud, call.tx, q, c, soon=True)
            state.put_counts(call.tx, q, c)
        return {}

    def purge_queue(self, call: Call, request: Request) -> Response:
        """The box is changed for an empty one, whatever is in it."""
        q = queue_of(call, request)
        tx = call.tx
        now_ms = int(tx.time_s * 1000)
        if q.record["purged_ms"] + _PURGE_EVERY_MS > now_ms:
            raise Fault(
                "PurgeQueueInProgress",
                f"Only one PurgeQueue operation on {q.name} is allowed every 60 seconds.",
                status=403,
            )
        changed = {**q.record, "box": tx.stamp(), "purged_ms": now_ms}
        state.put_queue(tx, key_of(q.account, q.region), changed)
        worker.drop_spans(call, q.spans())
        return {}

    def delete_queue(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        keys, now_ms = key_of(q.account, q.region), int(call.tx.time_s * 1000)
        worker.drop_spans(call, state.drop_queue(call.tx, keys, q, now_ms))
        worker.forget_name(call, q, now_ms + _DELETED_RECENTLY_MS)
        return {}

    # -- tags

    def tag_queue(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        tags = {**q.record["tags"], **(request.get("Tags") or {})}
        _check_tags(tags)
        self._put_tags(call, q, tags)
        return {}

    def untag_queue(self, call: Call, request: Request) -> Response:
        q = queue_of(call, request)
        gone = set(request.get("TagKeys") or ())
        self._put_tags(call, q, {k: v for k, v in q.record["tags"].items() if k not in gone})
        return {}

    def list_queue_tags(self, call: Call, request: Request) -> Response:
        tags = queue_of(call, request).record["tags"]
        return {"Tags": tags} if tags else {}

    def _put_tags(self, call: Call, q: Queue, tags: dict[str, str]) -> None:
        state.put_queue(call.tx, key_of(q.account, q.region), {**q.record, "tags": tags})


def _check_name(name: str, *, is_fifo: bool) -> None:
    if not name:
        raise invalid("Queue name cannot be empty")
    if is_fifo:
        plain = name.removesuffix(".fifo")
        if plain == name or not _NAME.fullmatch(plain) or len(name) > 80:
            raise invalid(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores,"
                " must end with .fifo suffix and be 1 to 80 in length."
            )
    elif not _NAME.fullmatch(name):
        raise invalid(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )


def _check_same(
    found: Queue, given: dict[str, str], wanted: dict[str, str], token: str | None
) -> None:
    if token and found.record["token"] != token:
        raise Fault("QueueNameExists", f"A queue already exists with the name {found.name}")
    now = attributes.effective(found.attributes, is_fifo=found.is_fifo)
    for name in given:
        if name in wanted and not _same(wanted[name], now.get(name, "")):
            raise Fault(
                "QueueNameExists",
                "A queue already exists with the same name and a different value for attribute"
                f" {name}",
            )


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return bool(orjson.loads(one) == orjson.loads(other))
    except orjson.JSONDecodeError:
        return False


def _check_redrive(call: Call, record: state.Record, wanted: dict[str, str]) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html"""
    policy = wanted.get("RedrivePolicy")
    if not policy:
        return
    arn = f"arn:aws:sqs:{record['region']}:{record['account']}:{record['name']}"
    target = orjson.loads(policy)["deadLetterTargetArn"]
    parsed = parse_arn(target)
    keys = key_of(record["account"], record["region"])
    found = None
    if parsed is not None and parsed[:2] == (record["region"], record["account"]):
        found = state.queue(call.tx, keys, parsed[2])
    if found is None:
        if target == arn:
            raise attributes.wrong_redrive(
                policy, "Dead letter target owner should be another queue."
            )
        raise attributes.wrong_redrive(policy, "Dead letter target does not exist.")
    if found.is_fifo != record["name"].endswith(".fifo"):
        raise attributes.wrong_redrive(
            policy, "Dead-letter queue must be same type of queue as the source."
        )
    if not attributes.allows_source(found.attributes.get("RedriveAllowPolicy", ""), arn):
        raise attributes.wrong_redrive(
            policy, f"Queue {target} does not allow {arn} to use it as a dead-letter queue."
        )


def _page(request: Request) -> tuple[int, str]:
    """(how many at most, the name to go on behind)."""
    most, token = request.get("MaxResults"), request.get("NextToken")
    if most is not None and not 1 <= most <= _LIST_MAX:
        raise invalid(
            f"Value {most} for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1"
            " and 1000."
        )
    if token is None:
        return most or _LIST_MAX, ""
    if not token.startswith("after-"):
        raise invalid("Invalid or expired next token.")
    return most or _LIST_MAX, token.removeprefix("after-")


def _listed(call: Call, member: str, found: list[Queue], request: Request) -> Response:
    """There is more; without MaxResults AWS does not say so."""
    answer: dict[str, Any] = {member: [url_of(call, q) for q in found]}
    if request.get("MaxResults"):
        answer["NextToken"] = f"after-{found[-1].name}"
    return answer


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > _TAGS_MAX:
        raise invalid(f"Too many tags added for queue: at most {_TAGS_MAX}.")
    for key, value in tags.items():
        if not _TAG_KEY.fullmatch(key):
            raise invalid(f"Tag keys must be 1 to 128 characters and not begin with aws: {key}")
        if not _TAG_VALUE.fullmatch(value):
            raise invalid(f"Tag values must be at most 256 letters, digits or of _.:/=+-@ : {key}")
