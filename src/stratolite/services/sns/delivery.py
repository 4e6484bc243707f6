"""What leaves SNS outside a transaction: to functions, delivery streams and web addresses, tried again as AWS does.

``sns.deliver``, ``sns.http``   JSON ``publication`` and {subscription, attempt}
``sns.confirm``               JSON {account, region, name, number (of the topic), subscription, id, attempt}

Source  https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.egress import Failed
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle, Worker
from stratolite.services.sns import attributes, envelopes, fanout, outbox, publication, state
from stratolite.services.sns.envelopes import Signed
from stratolite.services.sns.fanout import Carrier, caller
from stratolite.services.sns.finding import read
from stratolite.services.sns.publication import Publication, text_for
from stratolite.services.sns.state import Subscription, Topic, keys_of

_HTTP_TIMEOUT_S = 15.0
_ANSWER_BYTES_MAX = 64 << 10
_AGENT = "Amazon Simple Notification Service Agent"
_MANAGED_TRIES_MAX = 100_015
"""3 at once, 2 after 1 s, 10 after 1 to 20 s, 100,000 after 20 s."""
_AGAIN = frozenset(
    {
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "KMSThrottlingException",
        "LimitExceededException",
        "ServiceException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)


def managed_delay_s(attempt: int) -> float | None:
    """Before the retry after ``attempt`` at an endpoint that AWS manages."""
    if attempt > _MANAGED_TRIES_MAX:
        return None
    if attempt <= 3:
        return 0.0
    if attempt <= 5:
        return 1.0
    return min(20.0, 20.0 ** ((attempt - 6) / 9)) if attempt <= 15 else 20.0


class NotTaken(Exception):
    """A delivery that failed; ``again`` says whether another try may help."""

    def __init__(self, why: str, *, again: bool) -> None:
        super().__init__(why)
        self.again = again


class Deliverer:
    def __init__(self, carrier: Carrier, queue: str) -> None:
        self._carrier, self._cloud = carrier, carrier.cloud
        self.queue, self.ordered, self.concurrency = queue, False, 64

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        number, attempt = said.pop("subscription"), said.pop("attempt")
        kept: Publication = said
        keys = keys_of(kept["account"], kept["region"])

        def look(tx: Tx) -> tuple[Topic, Subscription, float, Publication] | None:
            topic = state.topic(tx, keys, read(kept["topic"]).name)
            if topic is None or topic.number != kept["number"]:
                return None
            found = state.subscription(tx, keys, topic.number, number)
            if found is None:
                return None
            call = caller(self._cloud, topic.account, topic.region, topic.arn, kept["id"])
            call.tx = tx
            message = self._carrier.sealer.opened(call, kept)
            return message and (topic, found, _turn_s(tx, topic, found), message)

        place = await self._cloud.db.transact(look)
        if place is None:
            return None
        topic, found, turn_s, message = place
        if turn_s:

            def wait(tx: Tx) -> None:
                self._cloud.work.put(tx, self.queue, job.payload, due_s=turn_s)

            return wait
        call = caller(self._cloud, message["account"], message["region"], topic.arn, message["id"])
        if trace := message.get("trace"):
            call.trace = trace
        signed: dict[str, Signed] = {}
        if not found.is_raw or found.protocol == "lambda":
            text = text_for(message, found.protocol)
            fields = envelopes.notification_fields(message, text)
            signer = self._carrier.signer
            signed[text] = await signer.sign(envelopes.to_sign(fields), topic.signature_version)
        try:
            await self._deliver(call, topic, found, message, signed)
        except NotTaken as failure:
            topic.measure(self._cloud, "NumberOfNotificationsFailed")
            return self._failed(call, job, topic, found, message, signed, failure, attempt)
        topic.measure(self._cloud, "NumberOfNotificationsDelivered")
        return None

    def _failed(
        self,
        call: Call,
        job: Job,
        topic: Topic,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
        failure: NotTaken,
        attempt: int,
    ) -> Settle:
        delay_s = None
        if failure.again:
            if found.protocol.startswith("http"):
                policy = _http_policy(topic, found)
                delay_s = attributes.retry_delay_s(policy["healthyRetryPolicy"], attempt)
            else:
                delay_s = managed_delay_s(attempt)

        def settle(tx: Tx) -> None:
            call.tx = tx
            if delay_s is None:
                self._carrier.dead_letter(call, found, message, signed)
                return
            payload = publication.kept(message, subscription=found.id, attempt=attempt + 1)
            self._cloud.work.put(tx, self.queue, payload, due_s=tx.time_s + delay_s)

        return settle

    async def _deliver(
        self,
        call: Call,
        topic: Topic,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
    ) -> None:
        """Raises NotTaken."""
        text = text_for(message, found.protocol)
        if found.protocol.startswith("http"):
            body = text if found.is_raw else self._carrier.envelope(message, found, signed)
            headers = [
                ("x-amz-sns-message-type", "Notification"),
                ("x-amz-sns-message-id", message["id"]),
                ("x-amz-sns-topic-arn", topic.arn),
                ("x-amz-sns-subscription-arn", found.arn),
            ]
            if found.is_raw:
                headers.append(("x-amz-sns-rawdelivery", "true"))
            policy = _http_policy(topic, found)
            await _post(self._carrier, found.endpoint, policy, headers, body)
            return
        try:
            if found.protocol == "lambda":
                _, _, _, region, account, _ = found.endpoint.split(":", 5)
                url = self._carrier.unsubscribe_url(found)
                event = envelopes.lambda_event(message, text, signed[text], url, found.arn)
                request = {
                    "FunctionName": found.endpoint,
                    "InvocationType": "Event",
                    "Payload": event,
                }
                await call.scoped(account, region).request("lambda", "Invoke", request)
            else:
                await self._to_stream(call, found, message, signed)
        except Fault as fault:
            raise NotTaken(fault.message, again=fault.code in _AGAIN) from fault

    async def _to_stream(
        self,
        call: Call,
        found: Subscription,
        message: Publication,
        signed: dict[str, Signed],
    ) -> None:
        """As the role of SubscriptionRoleArn."""
        _, _, _, region, account, stream = found.endpoint.split(":", 5)
        role = found.attributes.get("SubscriptionRoleArn", "")
        acting = await call.as_role(role, fanout.PRINCIPAL, message["topic"], "sns-delivery")
        text = text_for(message, "firehose")
        body = text if found.is_raw else _one_line(self._carrier.envelope(message, found, signed))
        request = {
            "DeliveryStreamName": stream.partition("/")[2],
            "Record": {"Data": f"{body}\n".encode()},
        }
        await acting.scoped(account, region).request("firehose", "PutRecord", request)


def _one_line(envelope: str) -> str:
    return orjson.dumps(orjson.loads(envelope)).decode()


def _turn_s(tx: Tx, topic: Topic, found: Subscription) -> float:
    """0 when a message may go now, and the next one a moment later; else when to try again."""
    if not found.protocol.startswith("http"):
        return 0.0
    throttle = _http_policy(topic, found)["throttlePolicy"] or {}
    rate = throttle.get("maxReceivesPerSecond")
    if not rate:
        return 0.0
    keys = keys_of(topic.account, topic.region)
    now_ms = int(tx.time_s * 1000)
    slot_ms = state.slot_ms(tx, keys, topic.number, found.id)
    if slot_ms > now_ms:
        return slot_ms / 1000
    state.put_slot_ms(tx, keys, topic.number, found.id, now_ms + max(1, 1000 // int(rate)))
    return 0.0


def _http_policy(topic: Topic, found: Subscription) -> dict[str, Any]:
    return attributes.delivery(
        topic.attributes.get("DeliveryPolicy", ""), found.attributes.get("DeliveryPolicy", "")
    )


async def _post(
    carrier: Carrier,
    url: str,
    policy: dict[str, Any],
    headers: list[tuple[str, str]],
    body: str,
) -> None:
    """Raises NotTaken for anything but 2xx; 4xx but 429 is final."""
    kind = (policy["requestPolicy"] or {}).get("headerContentType") or "text/plain; charset=UTF-8"
    sent = [
        *headers,
        ("content-type", kind),
        ("user-agent", _AGENT),
        ("accept-encoding", "gzip,deflate"),  # what is said beside the status is read by nobody
    ]
    try:
        answer = await carrier.cloud.egress.request(
            "POST",
            url,
            sent,
            body.encode(),
            timeout_s=_HTTP_TIMEOUT_S,
            answer_bytes_max=_ANSWER_BYTES_MAX,
        )
    except Failed as failure:
        raise NotTaken(str(failure), again=True) from failure
    if not 200 <= answer.status < 300:
        again = answer.status >= 500 or answer.status in (408, 429)
        raise NotTaken(f"HTTP status {answer.status}", again=again)


class Confirmer:
    """Asks an endpoint whether it wants what it was subscribed to, and tells a web address that it no longer is."""

    queue, ordered, concurrency = fanout.CONFIRM, False, 16

    def __init__(self, carrier: Carrier) -> None:
        self._carrier, self._cloud = carrier, carrier.cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = keys_of(said["account"], said["region"])
        has_left = said.get("has_left", False)

        def look(tx: Tx) -> tuple[Topic, Subscription, int] | None:
            topic = state.topic(tx, keys, said["name"])
            if topic is None or topic.number != said["number"]:
                return None
            look_up = state.left if has_left else state.subscription
            found = look_up(tx, keys, topic.number, said["subscription"])
            return None if found is None else (topic, found, int(tx.time_s * 1000))

        place = await self._cloud.db.transact(look)
        if place is None or (place[1].record["confirmed"] and not has_left):
            return None
        topic, found, now_ms = place
        token = found.record["token"]
        url = envelopes.subscribe_url(self._cloud.endpoint, topic.arn, token)
        gone = found.arn if has_left else ""
        fields = envelopes.confirmation_fields(topic.arn, said["id"], now_ms, token, url, gone)
        signer = self._carrier.signer
        signed = await signer.sign(envelopes.to_sign(fields), topic.signature_version)
        body = envelopes.confirmation(fields, signed)
        call = caller(self._cloud, topic.account, topic.region, topic.arn, said["id"])
        protocol = found.protocol
        if protocol.startswith("http"):
            return await self._post(job, topic, found, body, said)

        def settle(tx: Tx) -> None:
            call.tx = tx
            if protocol == "sqs":
                message: Any = {"group": "", "dedup": "", "id": said["id"], "sequence": 0}
                try:
                    fanout.send(call, found.endpoint, body, {}, message)
                except Fault:
                    return  # its owner may confirm by the token alone
            elif protocol.startswith("email"):
                text = body if protocol == "email-json" else f"{fields['Message']}\n\n{url}"
                subject = "AWS Notification - Subscription Confirmation"
                mail = outbox.Mail(protocol, found.endpoint, subject, text, topic.arn, said["id"])
                outbox.put(tx, keys, mail)

        return settle

    async def _post(
        self, job: Job, topic: Topic, found: Subscription, body: str, said: dict[str, Any]
    ) -> Settle | None:
        headers = [
            ("x-amz-sns-message-type", orjson.loads(body)["Type"]),
            ("x-amz-sns-message-id", said["id"]),
            ("x-amz-sns-topic-arn", topic.arn),
        ]
        if said.get("has_left"):
            headers.append(("x-amz-sns-subscription-arn", found.arn))
        policy = _http_policy(topic, found)
        try:
            await _post(self._carrier, found.endpoint, policy, headers, body)
        except NotTaken as failure:
            retry = policy["healthyRetryPolicy"]
            delay_s = attributes.retry_delay_s(retry, said["attempt"]) if failure.again else None
            if delay_s is None:
                return None

            def again(tx: Tx) -> None:
                payload = orjson.dumps({**said, "attempt": said["attempt"] + 1})
                self._cloud.work.put(tx, self.queue, payload, due_s=tx.time_s + delay_s)

            return again
        return None


def workers(carrier: Carrier) -> Iterable[Worker]:
    return (
        Deliverer(carrier, fanout.DELIVER),
        Deliverer(carrier, fanout.HTTP),
        Confirmer(carrier),
    )
