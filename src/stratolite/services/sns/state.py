"""The keys of SNS, see the front page; the only file that knows them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.keys import Span
from stratolite.limits import VALUE_SIZE_BYTES_MAX
from stratolite.service import Cloud
from stratolite.services.sns.filtering import Filter, compiled

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""
_GLOBAL = Keyspace("", "", "sns")
_PAGE_BYTES = 4 << 20  # of an archive, looked at in one transaction


class Topic:
    """A topic's record, read once; from JSON {name, account, region, id, created_ms, attributes as they were set,
    tags, counts {confirmed, pending, deleted}, token of the stack that made it}."""

    def __init__(self, raw: bytes) -> None:
        self.record = record = orjson.loads(raw)
        self.name: str = record["name"]
        self.account: str = record["account"]
        self.region: str = record["region"]
        self.number: int = record["id"]
        self.arn = f"arn:aws:sns:{self.region}:{self.account}:{self.name}"
        self.is_fifo = self.name.endswith(".fifo")
        self.attributes: dict[str, str] = record["attributes"]
        self.policy = self.attributes.get("Policy", "")
        self.key = self.attributes.get("KmsMasterKeyId", "")
        self.dedup_by_content = self.attributes.get("ContentBasedDeduplication") == "true"
        self.dedup_by_group = self.attributes.get("FifoThroughputScope") == "MessageGroup"
        self.size_bytes_max = int(self.attributes.get("MaximumMessageSize") or 262_144)
        self.signature_version = self.attributes.get("SignatureVersion", "1")
        archive = orjson.loads(self.attributes.get("ArchivePolicy") or "{}")
        self.archive_days = int(archive.get("MessageRetentionPeriod", 0))

    def measure(self, cloud: Cloud, name: str, value: float = 1, unit: str = "Count") -> None:
        """A sample of one of AWS/SNS's metrics."""
        dimensions = (("TopicName", self.name),)
        cloud.measure(self.account, self.region, "AWS/SNS", dimensions, name, value, unit)


class Subscription:
    """A subscription's record, read once; from JSON {id, topic ARN, protocol, endpoint, owner, principal,
    attributes, confirmed (bool), authenticated (bool), token, unsubscribe_authenticated,
    replay {start_ms, end_ms or null, status, run}, stack}."""

    def __init__(self, raw: bytes) -> None:
        self.record = record = orjson.loads(raw)
        self.id: str = record["id"]
        self.topic_arn: str = record["topic"]
        self.arn = f"{self.topic_arn}:{self.id}"
        self.protocol: str = record["protocol"]
        self.endpoint: str = record["endpoint"]
        self.platform = self.endpoint.split("/")[1] if self.protocol == "application" else ""
        """GCM, APNS ... of a device."""
        self.attributes: dict[str, str] = record["attributes"]
        self.is_raw = self.attributes.get("RawMessageDelivery") == "true"
        redrive = orjson.loads(self.attributes.get("RedrivePolicy") or "{}")
        self.dead_letters: str = redrive.get("deadLetterTargetArn", "")
        policy = self.attributes.get("FilterPolicy", "")
        scope = self.attributes.get("FilterPolicyScope", "MessageAttributes")
        self.filter: Filter | None = compiled(policy, scope) if policy not in ("", "{}") else None

    @property
    def is_replaying(self) -> bool:
        """Live messages come to it by the replay, which has no end, and not beside it."""
        replay = self.record.get("replay")
        return bool(
            replay and replay["status"] in ("Pending", "In progress") and replay["end_ms"] is None
        )


@lru_cache(maxsize=2000)
def _subscription(raw: bytes) -> Subscription:
    return Subscription(raw)


@lru_cache(maxsize=4096)
def keys_of(account: str, region: str) -> Keyspace:
    return Keyspace(account, region, "sns")


# -- topics


def topic(tx: Tx, keys: Keyspace, name: str) -> Topic | None:
    return tx.parsed(keys.key("topic", name), Topic)


def put_topic(tx: Tx, keys: Keyspace, record: Record) -> None:
    tx.put(keys.key("topic", record["name"]), orjson.dumps(record))


def topics(tx: Tx, keys: Keyspace, after: str) -> Iterator[Topic]:
    names = keys["topic"]
    start, stop = names.span()
    if after:
        start = names.key(after) + b"\x00"
    for _, raw in tx.scan((start, stop)):
        yield Topic(raw)


def drop_topic(tx: Tx, keys: Keyspace, found: Topic) -> list[Span]:
    """Forget the topic; the spans of what it leaves behind."""
    tx.delete(keys.key("topic", found.name))
    kinds = ("subscription", "same", "known", "forget", "archive", "slot")
    return [keys.span(kind, found.number) for kind in kinds]


# -- subscriptions


def subscription(tx: Tx, keys: Keyspace, topic_number: int, id: str) -> Subscription | None:
    raw = tx.get(keys.key("subscription", topic_number, id))
    return None if raw is None else _subscription(raw)


def put_subscription(tx: Tx, keys: Keyspace, topic_number: int, record: Record) -> None:
    tx.put(keys.key("subscription", topic_number, record["id"]), orjson.dumps(record))
    key = _same(keys, topic_number, record["protocol"], record["endpoint"])
    tx.put(key, record["id"].encode())


def drop_subscription(tx: Tx, keys: Keyspace, topic_number: int, found: Subscription) -> None:
    tx.delete(keys.key("subscription", topic_number, found.id))
    tx.delete(_same(keys, topic_number, found.protocol, found.endpoint))
    tx.delete(keys.key("slot", topic_number, found.id))


def left(tx: Tx, keys: Keyspace, topic_number: int, id: str) -> Subscription | None:
    """One that was unsubscribed lately and may be restored."""
    raw = tx.get(keys.key("left", topic_number, id))
    return None if raw is None else Subscription(raw)


def put_left(tx: Tx, keys: Keyspace, topic_number: int, record: Record) -> None:
    tx.put(keys.key("left", topic_number, record["id"]), orjson.dumps(record))


def drop_left(tx: Tx, keys: Keyspace, topic_number: int, id: str) -> None:
    tx.delete(keys.key("left", topic_number, id))


def same(tx: Tx, keys: Keyspace, topic_number: int, protocol: str, endpoint: str) -> str | None:
    """The id of the subscription of this endpoint."""
    raw = tx.get(_same(keys, topic_number, protocol, endpoint))
    return None if raw is None else raw.decode()


def _same(keys: Keyspace, topic_number: int, protocol: str, endpoint: str) -> bytes:
    return keys.key("same", topic_number, protocol, endpoint)


def subscriptions(
    tx: Tx, keys: Keyspace, topic_number: int, after: str, most: int
) -> list[Subscription]:
    space = keys["subscription"][topic_number]
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\x00"
    return [_subscription(raw) for _, raw in tx.scan((start, stop), limit=most)]


def all_subscriptions(
    tx: Tx, keys: Keyspace, after: tuple[int, str] | None
) -> Iterator[tuple[int, Subscription]]:
    """(topic's number, subscription) of all topics."""
    space = keys["subscription"]
    start, stop = space.span()
    if after is not None:
        start = space.key(*after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        number, _ = space.parts(key)
        assert isinstance(number, int)
        yield number, _subscription(raw)


# -- FIFO topics: what was published in the last minutes


def known(
    tx: Tx, keys: Keyspace, topic_number: int, scope: str, dedup: str, now_ms: int
) -> tuple[str, int] | None:
    raw = tx.get(keys.key("known", topic_number, scope, dedup))
    if raw is None or int.from_bytes(raw[:8], "big") <= now_ms:
        return None
    message_id, sequence = orjson.loads(raw[8:])
    return message_id, sequence


def put_known(
    tx: Tx,
    keys: Keyspace,
    topic_number: int,
    named: tuple[str, str],
    value: tuple[str, int],
    until_ms: int,
) -> None:
    """``named`` is (scope, deduplication id), ``value`` (message id, sequence)."""
    key = keys.key("known", topic_number, *named)
    tx.put(key, until_ms.to_bytes(8, "big") + orjson.dumps(value))
    tx.put(keys.key("forget", topic_number, until_ms, tx.stamp()), key)


def forget(tx: Tx, keys: Keyspace, topic_number: int, now_ms: int, most: int) -> None:
    space = keys["forget"][topic_number]
    for row, key in list(tx.scan((space.span()[0], space.key(now_ms + 1)), limit=most)):
        tx.delete(row)
        raw = tx.get(key)
        if raw is not None and int.from_bytes(raw[:8], "big") <= now_ms:
            tx.delete(key)


# -- archives


def put_archived(tx: Tx, keys: Keyspace, topic_number: int, ms: int, raw: bytes) -> None:
    """What is larger than a value may be is in further rows right behind the first."""
    stamp = tx.stamp()
    tx.put(keys.key("archive", topic_number, ms, stamp), raw[:VALUE_SIZE_BYTES_MAX])
    for at in range(VALUE_SIZE_BYTES_MAX, len(raw), VALUE_SIZE_BYTES_MAX):
        part = raw[at : at + VALUE_SIZE_BYTES_MAX]
        tx.put(keys.key("archive", topic_number, ms, stamp, at), part)


def archived(
    tx: Tx,
    keys: Keyspace,
    topic_number: int,
    start: tuple[int, int],
    end_ms: int | None,
    most: int,
) -> list[tuple[int, int, bytes]]:
    """(ms, stamp, publication) behind ``start`` (ms, stamp) and not after ``end_ms``, of not many more than ``_PAGE_BYTES``."""
    space = keys["archive"][topic_number]
    stop = space.span()[1] if end_ms is None else space.key(end_ms + 1)
    found: list[tuple[int, int, bytes]] = []
    size = 0
    for key, raw in tx.scan((space.key(*start) + b"\xff", stop), expected=most):
        ms, stamp, *at = space.parts(key)
        assert isinstance(ms, int)
        assert isinstance(stamp, int)
        size += len(raw)
        if at and not found:
            continue  # its first is expired
        if at:
            found[-1] = ms, stamp, found[-1][2] + raw
        elif len(found) == most or size > _PAGE_BYTES:
            break
        else:
            found.append((ms, stamp, raw))
    return found


def expire_archive(tx: Tx, keys: Keyspace, topic_number: int, before_ms: int, most: int) -> bool:
    """Delete up to ``most`` messages archived before; whether some are left."""
    space = keys["archive"][topic_number]
    gone = [k for k, _ in tx.scan((space.span()[0], space.key(before_ms)), limit=most)]
    for key in gone:
        tx.delete(key)
    return len(gone) == most


# -- throttling, SMS attributes, the outbox, signing


def slot_ms(tx: Tx, keys: Keyspace, topic_number: int, id: str) -> int:
    return int(tx.get(keys.key("slot", topic_number, id)) or 0)


def put_slot_ms(tx: Tx, keys: Keyspace, topic_number: int, id: str, ms: int) -> None:
    tx.put(keys.key("slot", topic_number, id), b"%d" % ms)


def sms_attributes(tx: Tx, keys: Keyspace) -> dict[str, str]:
    raw = tx.get(keys.key("sms"))
    return {} if raw is None else orjson.loads(raw)


def put_sms_attributes(tx: Tx, keys: Keyspace, attributes: dict[str, str]) -> None:
    tx.put(keys.key("sms"), orjson.dumps(attributes))


def phone(tx: Tx, keys: Keyspace, kind: str, number: str) -> Record | None:
    """What is known of a number: ``kind`` is opted-out or sandbox."""
    raw = tx.get(keys.key(kind, number))
    return None if raw is None else orjson.loads(raw)


def put_phone(tx: Tx, keys: Keyspace, kind: str, number: str, record: Record) -> None:
    tx.put(keys.key(kind, number), orjson.dumps(record))


def drop_phone(tx: Tx, keys: Keyspace, kind: str, number: str) -> None:
    tx.delete(keys.key(kind, number))


def phones(tx: Tx, keys: Keyspace, kind: str, after: str) -> Iterator[tuple[str, Record]]:
    space = keys[kind]
    for key, raw in tx.scan((space.key(after) + b"\x00", space.span()[1])):
        yield str(space.parts(key)[0]), orjson.loads(raw)


# -- mobile push


def push(tx: Tx, keys: Keyspace, platform: str, name: str, id: str) -> Record | None:
    """An application (id "") or one of its endpoints."""
    raw = tx.get(_push_key(keys, platform, name, id))
    return None if raw is None else orjson.loads(raw)


def put_push(tx: Tx, keys: Keyspace, platform: str, name: str, id: str, *, record: Record) -> None:
    if id:
        _drop_token(tx, keys, platform, name, push(tx, keys, platform, name, id))
        tx.put(keys.key("device", f"{platform}/{name}", record["token"]), id.encode())
    tx.put(_push_key(keys, platform, name, id), orjson.dumps(record))


def drop_push(tx: Tx, keys: Keyspace, platform: str, name: str, id: str) -> None:
    """An endpoint; or an application, whose endpoints stay as they are on AWS, and nobody reaches them."""
    if id:
        _drop_token(tx, keys, platform, name, push(tx, keys, platform, name, id))
    tx.delete(_push_key(keys, platform, name, id))


def pushes(tx: Tx, keys: Keyspace, of: str, after: str) -> Iterator[tuple[str, Record]]:
    """Applications as (PLATFORM/NAME, record), or with ``of`` one of these its endpoints by id."""
    space = keys["endpoint"][of] if of else keys["application"]
    for key, raw in tx.scan((space.key(after) + b"\x00", space.span()[1])):
        yield str(space.parts(key)[0]), orjson.loads(raw)


def pushed_to(tx: Tx, keys: Keyspace, platform: str, name: str, token: str) -> str | None:
    """The id of the endpoint with this token."""
    raw = tx.get(keys.key("device", f"{platform}/{name}", token))
    return None if raw is None else raw.decode()


def _drop_token(tx: Tx, keys: Keyspace, platform: str, name: str, old: Record | None) -> None:
    if old is not None:
        tx.delete(keys.key("device", f"{platform}/{name}", old["token"]))


def _push_key(keys: Keyspace, platform: str, name: str, id: str) -> bytes:
    app = f"{platform}/{name}"
    return keys.key("endpoint", app, id) if id else keys.key("application", app)


def put_mail(tx: Tx, keys: Keyspace, mail: Record) -> None:
    tx.put(keys.key("outbox", mail["ms"], tx.stamp()), orjson.dumps(mail))


def mails(tx: Tx, keys: Keyspace, after: tuple[int, int], most: int) -> list[Record]:
    """Mails in order behind ``after``, each with its place."""
    space = keys["outbox"]
    found = []
    for key, raw in tx.scan((space.key(*after) + b"\x00", space.span()[1]), limit=most):
        found.append({**orjson.loads(raw), "place": list(space.parts(key))})
    return found


def expire_mails(tx: Tx, keys: Keyspace, before_ms: int, most: int) -> None:
    space = keys["outbox"]
    for key, _ in list(tx.scan((space.span()[0], space.key(before_ms)), limit=most)):
        tx.delete(key)


def signing(tx: Tx) -> Record | None:
    raw = tx.get(_GLOBAL.key("signing"))
    return None if raw is None else orjson.loads(raw)


def put_signing(tx: Tx, record: Record) -> None:
    tx.put(_GLOBAL.key("signing"), orjson.dumps(record))
