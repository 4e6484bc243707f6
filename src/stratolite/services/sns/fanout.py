"""Published messages to subscriptions: jobs, each of them one page of a topic's subscriptions.

``sns.fanout``, ``sns.fifo``   JSON ``publication`` and {after: the subscription behind which to go on}; the second is ordered
                        by topic and group
``sns.drop``            JSON {"spans": [[start, stop] in hex]}: what a deleted topic left behind
``sns.tidy``            JSON {kind: "pending", topic, number, account, region, subscription}: a subscription that was
                        never confirmed; {kind: "archive", account, region, name, number}: what an archive keeps too long
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from stratolite import delivery
from stratolite.core import Tx
from stratolite.core.dropping import PAGE_ROWS, Dropper
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Settle, SettleAll, Worker
from stratolite.services.sns import envelopes, outbox, phones, push, state
from stratolite.services.sns.envelopes import Signed
from stratolite.services.sns.finding import read
from stratolite.services.sns.publication import Publication, kept, text_for
from stratolite.services.sns.sealing import Sealer
from stratolite.services.sns.signing import Signer
from stratolite.services.sns.state import Subscription, Topic, keys_of

PRINCIPAL = "sns.amazonaws.com"
FANOUT, FIFO, DROP, TIDY = "sns.fanout", "sns.fifo", "sns.drop", "sns.tidy"
DELIVER, HTTP, CONFIRM = "sns.deliver", "sns.http", "sns.confirm"
_PAGE = 50
_PAGE_BYTES = 2 << 20
_DELIVERIES = 120
"""In one transaction, of several messages."""
_BATCH, _BATCH_BYTES = 10, 1 << 20
"""Of SendMessageBatch: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html"""
_ENVELOPES_MAX = 32
_LINKS_MAX = 10_000
_PENDING_S = 2 * 86_400.0
_TIDY_EVERY_S = 3600.0
_DAY_MS = 86_400_000
LATER = ("lambda", "firehose", "http", "https")


def leave(call: Call, message: Publication) -> None:
    payload = kept(message, after="")
    if message["sequence"]:
        call.cloud.work.put(call.tx, FIFO, payload, partition=partition(message))
    else:
        call.cloud.work.put(call.tx, FANOUT, payload)


def partition(message: Publication) -> bytes:
    return f"{message['number']}/{message['group']}".encode()


def ask_for_confirmation(
    call: Call, topic: Topic, found: Subscription, *, has_left: bool = False
) -> None:
    """``has_left``: it was unsubscribed, and is told how to take that back."""
    said = {
        "has_left": has_left,
        "account": topic.account,
        "region": topic.region,
        "name": topic.name,
        "number": topic.number,
        "subscription": found.id,
        "id": call.world.uuid(),
        "attempt": 1,
    }
    call.cloud.work.put(call.tx, CONFIRM, orjson.dumps(said))


def forget_unconfirmed(
    call: Call, topic: Topic, found: Subscription, kind: str = "pending"
) -> None:
    """``kind``: pending, or left for one that was unsubscribed and whose token ends."""
    said = {
        "kind": kind,
        "account": topic.account,
        "region": topic.region,
        "name": topic.name,
        "number": topic.number,
        "subscription": found.id,
    }
    call.cloud.work.put(call.tx, TIDY, orjson.dumps(said), due_s=call.tx.time_s + _PENDING_S)


def plan_archive_expiry(call: Call, record: state.Record) -> None:
    """A job an hour while there is an archive; one that finds another's work done finds nothing to do."""
    said = {
        "kind": "archive",
        "account": record["account"],
        "region": record["region"],
        "name": record["name"],
        "number": record["id"],
    }
    call.cloud.work.put(call.tx, TIDY, orjson.dumps(said))


def caller(cloud: Cloud, account: str, region: str, topic_arn: str, id: str) -> Call:
    """SNS acting for a topic."""
    call = cloud.call(account, region, id)
    return call.as_service(PRINCIPAL, topic_arn)


class Carrier:
    """How messages reach subscriptions of each kind; in a settling transaction."""

    def __init__(self, cloud: Cloud, signer: Signer, sealer: Sealer, tokens: Any) -> None:
        """``tokens`` gives the token of a subscription's unsubscribe link."""
        self.cloud, self.signer, self.sealer, self._tokens = cloud, signer, sealer, tokens
        self._envelopes: dict[tuple[str, str, bool], tuple[str, str]] = {}
        self._links: dict[str, str] = {}

    async def signatures(self, wave: Wave) -> dict[bytes, dict[str, Signed]]:
        """Job -> text -> its signature, for the texts that go out in an envelope."""
        found: dict[bytes, dict[str, Signed]] = {job: {} for job in wave.messages}
        if wave.topic.is_fifo:
            return found
        texts = [
            (job, text)
            for job, message in wave.messages.items()
            for text in {text_for(message, o.protocol) for o in wave.wanted[job] if _is_wrapped(o)}
        ]
        if texts:
            fields = (envelopes.notification_fields(wave.messages[j], text) for j, text in texts)
            to_sign = [envelopes.to_sign(one) for one in fields]
            made = await self.signer.sign_all(to_sign, wave.topic.signature_version)
            for (job, text), signed in zip(texts, made, strict=True):
                found[job][text] = signed
        return found

    def envelope(
        self,
        message: Publication,
        found: Subscription,
        signed: dict[str, Signed],
        *,
        is_replayed: bool = False,
    ) -> str:
        """Made once for all subscriptions but for their links."""
        text = text_for(message, found.protocol)
        key = message["id"], text, is_replayed
        known = self._envelopes.get(key)
        if known is None:
            if len(self._envelopes) >= _ENVELOPES_MAX:
                self._envelopes.clear()
            made = envelopes.notification(message, text, signed.get(text), is_replayed=is_replayed)
            before, _, behind = made.partition(envelopes.URL_PLACE)
            known = self._envelopes[key] = before, behind
        return f"{known[0]}{self.unsubscribe_url(found)}{known[1]}"

    def unsubscribe_url(self, found: Subscription) -> str:
        link = self._links.get(found.arn)
        if link is None:
            if len(self._links) >= _LINKS_MAX:
                self._links.clear()
            token = self._tokens(found.arn)
            link = envelopes.unsubscribe_url(self.cloud.endpoint, found.arn, token)
            self._links[found.arn] = link
        return link

    def body(
        self,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
        *,
        is_replayed: bool = False,
    ) -> tuple[str, dict[str, Any]]:
        """What a queue gets, and its message attributes."""
        if found.is_raw:
            return text_for(message, found.protocol), raw_attributes(message)
        return self.envelope(message, found, signed, is_replayed=is_replayed), {}

    def to_queue(
        self,
        call: Call,
        found: Subscription,
        messages: Sequence[tuple[Publication, dict[str, Signed]]],
    ) -> None:
        """In batches; what the queue does not take goes to the dead letters."""
        place = queue_of(call, found.endpoint)
        entries = [sent(place, *self.body(found, *one), one[0]) for one in messages]
        for start, stop in _cuts(entries):
            for number in send_batch(place, entries[start:stop]):
                self.dead_letter(call, found, *messages[start + number])

    def now(
        self, call: Call, found: Subscription, message: Publication, signed: dict[str, Signed]
    ) -> None:
        """Deliver in this transaction to anything but a queue, or leave a job that will."""
        if found.protocol in LATER:
            queue = HTTP if found.protocol.startswith("http") else DELIVER
            payload = kept(message, subscription=found.id, attempt=1)
            call.cloud.work.put(call.tx, queue, payload)
        else:
            if not self._is_wanted(call, found, message):
                return
            text = text_for(message, found.platform or found.protocol)
            if found.protocol == "email-json":
                text = self.envelope(message, found, signed)
            subject = message["subject"] or "AWS Notification Message"
            if found.protocol == "sms":
                subject = None  # type: ignore[assignment]
            elif found.protocol == "email":
                text += f"\n\n--\nTo stop receiving notifications from this topic: {self.unsubscribe_url(found)}"
            mail = outbox.Mail(
                "push" if found.platform else found.protocol,
                found.endpoint,
                subject,
                text,
                found.topic_arn,
                message["id"],
            )
            outbox.put(call.tx, keys_of(message["account"], message["region"]), mail)

    def _is_wanted(self, call: Call, found: Subscription, message: Publication) -> bool:
        """Whether the phone or device of a subscription takes messages."""
        if found.protocol == "sms":
            keys = keys_of(message["account"], message["region"])
            return not phones.is_opted_out(call.tx, keys, found.endpoint)
        if found.platform:
            device = push.endpoint(call, found.endpoint)
            return device is not None and bool(device["enabled"])
        return True

    def dead_letter(
        self,
        call: Call,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
    ) -> None:
        """What cannot be delivered: to the subscription's dead-letter queue, if there is one that takes it."""
        if not found.dead_letters:
            return
        text, attributes = self.body(found, message, signed)
        name = "NumberOfNotificationsRedrivenToDlq"
        try:
            send(call, found.dead_letters, text, attributes, message)
        except Fault:  # AWS drops it, too
            name = "NumberOfNotificationsFailedToRedriveToDlq"
        where = delivery.parse(found.topic_arn)
        dimensions = (("TopicName", where.resource),)
        call.cloud.measure(where.account, where.region, "AWS/SNS", dimensions, name)


def _is_wrapped(found: Subscription) -> bool:
    return not found.is_raw and found.protocol in ("sqs", "email-json")


def raw_attributes(message: Publication) -> dict[str, Any]:
    """Message attributes as SQS takes them."""
    import base64

    found: dict[str, Any] = {}
    for name, (kind, value) in message["attributes"].items():
        if kind.startswith("Binary"):
            found[name] = {"DataType": kind, "BinaryValue": base64.b64decode(value)}
        else:
            found[name] = {"DataType": kind, "StringValue": value}
    return found


class Place(NamedTuple):
    """A queue, and a call in its account and region."""

    call: Call
    url: str
    name: str


def queue_of(call: Call, arn: str) -> Place:
    _, _, _, region, account, name = arn.split(":")
    return Place(call.scoped(account, region), f"{call.endpoint}/{account}/{name}", name)


def sent(place: Place, body: str, attributes: dict[str, Any], message: Publication) -> Request:
    """The message as SendMessage takes it, but for the queue."""
    request: Request = {"MessageBody": body}
    if attributes:
        request["MessageAttributes"] = attributes
    if place.name.endswith(".fifo"):
        request["MessageGroupId"] = message["group"] or "sns"
        request["MessageDeduplicationId"] = message["dedup"] or message["id"]
    elif message["group"] and not message["sequence"]:
        request["MessageGroupId"] = message["group"]
    if trace := message.get("trace"):
        header = {"DataType": "String", "StringValue": trace}
        request["MessageSystemAttributes"] = {"AWSTraceHeader": header}
    return request


def send(
    call: Call, queue_arn: str, body: str, attributes: dict[str, Any], message: Publication
) -> None:
    """SendMessage in this transaction. Raises Fault."""
    place = queue_of(call, queue_arn)
    request = {"QueueUrl": place.url, **sent(place, body, attributes, message)}
    place.call.invoke("sqs", "SendMessage", request)


def send_batch(place: Place, entries: list[Request]) -> list[int]:
    """SendMessageBatch in this transaction; which of the entries were not taken."""
    entries = [{"Id": str(number), **entry} for number, entry in enumerate(entries)]
    request = {"QueueUrl": place.url, "Entries": entries}
    try:
        answer = place.call.invoke("sqs", "SendMessageBatch", request)
    except Fault:
        return list(range(len(entries)))
    return [int(one["Id"]) for one in answer.get("Failed", ())]


def _cuts(entries: list[Request]) -> Iterator[tuple[int, int]]:
    """Where batches begin and end: as many as SQS takes at once, of no more bytes than it does."""
    start, total = 0, 0
    for number, entry in enumerate(entries):
        body = entry["MessageBody"]
        size = len(body) if body.isascii() else len(body.encode())
        if attributes := entry.get("MessageAttributes"):
            size += sum(len(name) * 4 + _attribute_bytes(one) for name, one in attributes.items())
        if number > start and (number - start == _BATCH or total + size > _BATCH_BYTES):
            yield start, number
            start, total = number, 0
        total += size
    yield start, len(entries)


def _attribute_bytes(given: dict[str, Any]) -> int:
    """At least what SQS makes of it."""
    value = given.get("StringValue", "").encode() or given.get("BinaryValue", b"")
    return len(given["DataType"]) * 4 + len(value)


class Wave(NamedTuple):
    """Messages of a topic on their way to one page of its subscriptions."""

    topic: Topic
    call: Call
    listed: list[Subscription]
    is_last: bool
    messages: dict[bytes, Publication]
    """By the job that carries it, as are these:"""
    wanted: dict[bytes, list[Subscription]]
    signed: dict[bytes, dict[str, Signed]]


class FanOut:
    """What waits goes out together: a page of subscriptions is looked up once for all messages of a topic, and each queue
    takes them in batches, in one transaction."""

    queue, ordered, concurrency, together = FANOUT, False, 4, _BATCH

    def __init__(self, carrier: Carrier) -> None:
        self._carrier, self._cloud = carrier, carrier.cloud

    async def handle(self, job: Job) -> Settle | None:
        settle = await self.handle_all([job])
        return None if settle is None else lambda tx: settle(tx, [job])

    async def handle_all(self, jobs: list[Job]) -> SettleAll | None:
        groups: dict[tuple[str, int, str], dict[bytes, Publication]] = {}
        for job in jobs:
            said = orjson.loads(job.payload)
            after = said.pop("after")
            groups.setdefault((said["topic"], said["number"], after), {})[job.id] = said
        size = sum(len(job.payload) + 1000 for job in jobs)
        most = max(1, min(_PAGE, _DELIVERIES // len(jobs), _PAGE_BYTES // size))

        def pages(tx: Tx) -> list[Wave]:
            found = (self._wave(tx, *group, most, messages) for group, messages in groups.items())
            return [wave for wave in found if wave is not None]

        waves = await self._cloud.db.transact(pages)
        for wave in waves:
            for job_id, message in wave.messages.items():
                wave.wanted[job_id] = [one for one in wave.listed if wants(one, message)]
            wave.signed.update(await self._carrier.signatures(wave))

        def settle(tx: Tx, left: list[Job]) -> None:
            for wave in waves:
                self._send(tx, wave, [job for job in left if job.id in wave.messages])

        return settle if waves else None

    def _wave(
        self,
        tx: Tx,
        arn: str,
        number: int,
        after: str,
        most: int,
        messages: dict[bytes, Publication],
    ) -> Wave | None:
        place = read(arn)
        keys = keys_of(place.account, place.region)
        topic = state.topic(tx, keys, place.name)
        if topic is None or topic.number != number:
            return None
        listed = state.subscriptions(tx, keys, number, after, most + 1)
        is_last = len(listed) <= most
        del listed[most:]
        first = next(iter(messages.values()))
        call = caller(self._cloud, place.account, place.region, arn, first["id"])
        call.tx = tx
        return Wave(topic, call, listed, is_last, self._opened(call, messages), {}, {})

    def _opened(self, call: Call, messages: dict[bytes, Publication]) -> dict[bytes, Publication]:
        """Without those that nobody can open any more. Raises Fault while KMS refuses one of them."""
        sealer = self._carrier.sealer
        found = ((job, sealer.opened(call, message)) for job, message in messages.items())
        return {job: message for job, message in found if message is not None}

    def _send(self, tx: Tx, wave: Wave, jobs: list[Job]) -> None:
        wave.call.tx = tx
        to_queues: dict[str, tuple[Subscription, list[bytes]]] = {}
        for job in jobs:
            message, wanted = wave.messages[job.id], wave.wanted[job.id]
            self._measure(wave, message, wanted)
            for one in wanted:
                if one.protocol == "sqs":
                    to_queues.setdefault(one.id, (one, []))[1].append(job.id)
                else:
                    self._carrier.now(wave.call, one, message, wave.signed[job.id])
            if not wave.is_last:
                payload = kept(message, after=wave.listed[-1].id)
                self._cloud.work.put(tx, self.queue, payload, partition=job.partition)
        for found, its in to_queues.values():
            self._carrier.to_queue(
                wave.call, found, [(wave.messages[job], wave.signed[job]) for job in its]
            )

    def _measure(self, wave: Wave, message: Publication, wanted: list[Subscription]) -> None:
        """https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html"""
        delivered = sum(one.protocol not in LATER for one in wanted)
        wave.topic.measure(self._cloud, "NumberOfNotificationsDelivered", delivered)
        if len(wanted) == len(wave.listed):
            return
        taken, attributes = {one.id for one in wanted}, message["attributes"]
        for one in wave.listed:
            if one.id in taken or one.filter is None or not may_have(one):
                continue
            why = one.filter.why_not(text_for(message, one.protocol), attributes)
            wave.topic.measure(self._cloud, "NumberOfNotificationsFilteredOut")
            wave.topic.measure(self._cloud, f"NumberOfNotificationsFilteredOut-{why}")


class InOrder(FanOut):
    """Messages of a FIFO topic's group go one after another."""

    queue, ordered, concurrency, together = FIFO, True, 64, 1


def may_have(found: Subscription) -> bool:
    """Whether messages go to it at all just now."""
    return bool(found.record["confirmed"]) and not found.is_replaying


def wants(found: Subscription, message: Publication) -> bool:
    if not may_have(found):
        return False
    if found.filter is None:
        return True
    return found.filter.matches(text_for(message, found.protocol), message["attributes"])


class Tidier:
    queue, ordered, concurrency = TIDY, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = keys_of(said["account"], said["region"])

        def topic_of(tx: Tx) -> Topic | None:
            topic = state.topic(tx, keys, said["name"])
            return topic if topic is not None and topic.number == said["number"] else None

        if said["kind"] == "left":
            return lambda tx: state.drop_left(tx, keys, said["number"], said["subscription"])

        if said["kind"] == "pending":

            def drop(tx: Tx) -> None:
                topic = topic_of(tx)
                if topic is None:
                    return
                found = state.subscription(tx, keys, topic.number, said["subscription"])
                if found is not None and not found.record["confirmed"]:
                    state.drop_subscription(tx, keys, topic.number, found)
                    counts = topic.record["counts"]
                    counts = {**counts, "pending": counts["pending"] - 1}
                    state.put_topic(tx, keys, {**topic.record, "counts": counts})

            return drop

        def page(tx: Tx) -> bool:
            topic = topic_of(tx)
            if topic is None:
                return False
            before_ms = int(tx.time_s * 1000) - topic.archive_days * _DAY_MS
            return state.expire_archive(tx, keys, topic.number, before_ms, PAGE_ROWS)

        while await self._cloud.db.transact(page):
            pass

        def again(tx: Tx) -> None:
            topic = topic_of(tx)
            if topic is not None and topic.archive_days:
                self._cloud.work.put(tx, TIDY, job.payload, due_s=tx.time_s + _TIDY_EVERY_S)

        return again


def workers(carrier: Carrier) -> Iterable[Worker]:
    return (
        FanOut(carrier),
        InOrder(carrier),
        Dropper(carrier.cloud.db, DROP),
        Tidier(carrier.cloud),
    )
