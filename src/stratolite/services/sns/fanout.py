"""Published messages to subscriptions: jobs, each of them one page of a topic's subscriptions.

``sns.fanout``, ``sns.fifo``   JSON ``publication`` and {after: the subscription behind which to go on}; the second is ordered
                        by topic and group
``sns.drop``            JSON {"spans": [[start, stop] in hex]}: what a deleted topic left behind
``sns.tidy``            JSON {kind: "pending", topic, number, account, region, subscription}: a subscription that was
                        never confirmed; {kind: "archive", account, region, name, number}: what an archive keeps too long
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.core.keys import Span
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Settle, Worker
from stratolite.services.sns import envelopes, outbox, state
from stratolite.services.sns.envelopes import Signed
from stratolite.services.sns.finding import read
from stratolite.services.sns.publication import Publication, text_for
from stratolite.services.sns.signing import Signer
from stratolite.services.sns.state import Subscription, Topic, keys_of

PRINCIPAL = "sns.amazonaws.com"
FANOUT, FIFO, DROP, TIDY = "sns.fanout", "sns.fifo", "sns.drop", "sns.tidy"
DELIVER, HTTP, CONFIRM = "sns.deliver", "sns.http", "sns.confirm"
_PAGE = 50
_PAGE_BYTES = 2 << 20
_DROP_ROWS = 1000
_LINKS_MAX = 10_000
_PENDING_S = 2 * 86_400.0
_TIDY_EVERY_S = 3600.0
_DAY_MS = 86_400_000
LATER = ("lambda", "firehose", "http", "https")


def leave(call: Call, message: Publication) -> None:
    payload = orjson.dumps({**message, "after": ""})
    if message["sequence"]:
        call.cloud.work.put(call.tx, FIFO, payload, partition=partition(message))
    else:
        call.cloud.work.put(call.tx, FANOUT, payload)


def partition(message: Publication) -> bytes:
    return f"{message['number']}/{message['group']}".encode()


def drop_spans(call: Call, spans: list[Span]) -> None:
    said = {"spans": [[start.hex(), stop.hex()] for start, stop in spans]}
    call.cloud.work.put(call.tx, DROP, orjson.dumps(said))


def ask_for_confirmation(call: Call, topic: Topic, found: Subscription) -> None:
    said = {
        "account": topic.account,
        "region": topic.region,
        "name": topic.name,
        "number": topic.number,
        "subscription": found.id,
        "id": call.world.uuid(),
        "attempt": 1,
    }
    call.cloud.work.put(call.tx, CONFIRM, orjson.dumps(said))


def forget_unconfirmed(call: Call, topic: Topic, found: Subscription) -> None:
    said = {
        "kind": "pending",
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

    def __init__(self, cloud: Cloud, signer: Signer, tokens: Any) -> None:
        """``tokens`` gives the token of a subscription's unsubscribe link."""
        self.cloud, self.signer, self._tokens = cloud, signer, tokens
        self._envelope: tuple[str, str, bool, str] | None = None
        self._links: dict[str, str] = {}

    async def signatures(
        self, topic: Topic, message: Publication, wanted: Iterable[Subscription]
    ) -> dict[str, Signed]:
        """Text -> its signature, for the texts that go out in an envelope."""
        if topic.is_fifo:
            return {}
        texts = {text_for(message, one.protocol) for one in wanted if _is_wrapped(one)}
        found = {}
        for text in texts:
            fields = envelopes.notification_fields(message, text)
            signed = await self.signer.sign(envelopes.to_sign(fields), topic.signature_version)
            found[text] = signed
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
        known = self._envelope
        if known is None or known[:3] != (message["id"], text, is_replayed):
            made = envelopes.notification(message, text, signed.get(text), is_replayed=is_replayed)
            known = self._envelope = message["id"], text, is_replayed, made
        return known[3].replace(envelopes.URL_PLACE, self.unsubscribe_url(found), 1)

    def unsubscribe_url(self, found: Subscription) -> str:
        link = self._links.get(found.arn)
        if link is None:
            if len(self._links) >= _LINKS_MAX:
                self._links.clear()
            token = self._tokens(found.arn)
            link = envelopes.unsubscribe_url(self.cloud.endpoint, found.arn, token)
            self._links[found.arn] = link
        return link

    def to_queue(
        self,
        call: Call,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
        *,
        is_replayed: bool = False,
    ) -> None:
        """Raises Fault if the queue does not take it."""
        if found.is_raw:
            body = text_for(message, "sqs")
            attributes = raw_attributes(message)
        else:
            body = self.envelope(message, found, signed, is_replayed=is_replayed)
            attributes = {}
        send(call, found.endpoint, body, attributes, message)

    def now(
        self, call: Call, found: Subscription, message: Publication, signed: dict[str, Signed]
    ) -> None:
        """Deliver in this transaction, or leave a job that will."""
        if found.protocol == "sqs":
            try:
                self.to_queue(call, found, message, signed)
            except Fault:
                self.dead_letter(call, found, message, signed)
        elif found.protocol in LATER:
            said = {**message, "subscription": found.id, "attempt": 1}
            queue = HTTP if found.protocol.startswith("http") else DELIVER
            call.cloud.work.put(call.tx, queue, orjson.dumps(said))
        else:
            text = text_for(message, found.protocol)
            if found.protocol == "email-json":
                text = self.envelope(message, found, signed)
            subject = message["subject"] or "AWS Notification Message"
            if found.protocol == "sms":
                subject = None  # type: ignore[assignment]
            elif found.protocol == "email":
                text += f"\n\n--\nTo stop receiving notifications from this topic: {self.unsubscribe_url(found)}"
            mail = outbox.Mail(
                found.protocol, found.endpoint, subject, text, found.topic_arn, message["id"]
            )
            outbox.put(call.tx, keys_of(message["account"], message["region"]), mail)

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
        if found.is_raw:
            body, attributes = text_for(message, found.protocol), raw_attributes(message)
        else:
            body, attributes = self.envelope(message, found, signed), {}
        try:
            send(call, found.dead_letters, body, attributes, message)
        except Fault:
            return  # AWS drops it, too, and counts it in NumberOfNotificationsFailedToRedriveToDlq


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


def send(
    call: Call, queue_arn: str, body: str, attributes: dict[str, Any], message: Publication
) -> None:
    """SendMessage in this transaction. Raises Fault."""
    _, _, _, region, account, name = queue_arn.split(":")
    inner = call.scoped(account, region)
    request: dict[str, Any] = {
        "QueueUrl": f"{call.endpoint}/{account}/{name}",
        "MessageBody": body,
    }
    if attributes:
        request["MessageAttributes"] = attributes
    if name.endswith(".fifo"):
        request["MessageGroupId"] = message["group"] or "sns"
        request["MessageDeduplicationId"] = message["dedup"] or message["id"]
    elif message["group"] and not message["sequence"]:
        request["MessageGroupId"] = message["group"]
    inner.invoke("sqs", "SendMessage", request)


class FanOut:
    """Both queues; messages of a FIFO topic's group go one after another."""

    def __init__(self, carrier: Carrier, queue: str) -> None:
        self._carrier, self._cloud = carrier, carrier.cloud
        self.queue, self.ordered = queue, queue == FIFO
        self.concurrency = 64 if queue == FIFO else 32

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        after = said.pop("after")
        message: Publication = said
        keys = keys_of(message["account"], message["region"])
        name = read(message["topic"]).name
        most = max(1, min(_PAGE, _PAGE_BYTES // (len(job.payload) + 1000)))

        def page(tx: Tx) -> tuple[Topic, list[Subscription]] | None:
            topic = state.topic(tx, keys, name)
            if topic is None or topic.number != message["number"]:
                return None
            return topic, state.subscriptions(tx, keys, topic.number, after, most)

        found = await self._cloud.db.transact(page)
        if found is None:
            return None
        topic, listed = found
        wanted = [one for one in listed if wants(one, message)]
        delivered = sum(one.protocol not in LATER for one in wanted)
        topic.measure(self._cloud, "NumberOfNotificationsDelivered", delivered)
        if filtered := sum(one.filter is not None for one in listed if one not in wanted):
            topic.measure(self._cloud, "NumberOfNotificationsFilteredOut", filtered)
        signed = await self._carrier.signatures(topic, message, wanted)
        call = caller(self._cloud, message["account"], message["region"], topic.arn, message["id"])

        def settle(tx: Tx) -> None:
            call.tx = tx
            for one in wanted:
                self._carrier.now(call, one, message, signed)
            if len(listed) == most:
                payload = orjson.dumps({**message, "after": listed[-1].id})
                self._cloud.work.put(tx, self.queue, payload, partition=job.partition)

        return settle


def wants(found: Subscription, message: Publication) -> bool:
    if not found.record["confirmed"] or found.is_replaying:
        return False
    if found.filter is None:
        return True
    return found.filter.matches(text_for(message, found.protocol), message["attributes"])


class Dropper:
    queue, ordered, concurrency = DROP, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        transact = self._cloud.db.transact
        for start, stop in orjson.loads(job.payload)["spans"]:
            span = bytes.fromhex(start), bytes.fromhex(stop)
            while await transact(lambda tx, span=span: state.delete_page(tx, span, _DROP_ROWS)):  # type: ignore[misc]
                pass
        return None


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
            return state.expire_archive(tx, keys, topic.number, before_ms, _DROP_ROWS)

        while await self._cloud.db.transact(page):
            pass

        def again(tx: Tx) -> None:
            topic = topic_of(tx)
            if topic is not None and topic.archive_days:
                self._cloud.work.put(tx, TIDY, job.payload, due_s=tx.time_s + _TIDY_EVERY_S)

        return again


def workers(carrier: Carrier) -> Iterable[Worker]:
    return (
        FanOut(carrier, FANOUT),
        FanOut(carrier, FIFO),
        Dropper(carrier.cloud),
        Tidier(carrier.cloud),
    )
