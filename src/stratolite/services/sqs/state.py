"""The keys of SQS, see the front page; the only file that knows them.

Keys of messages are packed here by hand (``core.keys`` says how): they are most of what a call costs.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

import msgspec
import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.keys import Span
from stratolite.service import Cloud

Record = dict[str, Any]
"""Parsed and shared between transactions: never change one, put a new one."""
_SIGN = 1 << 63
_PAIR = Struct(">BQBQ")
_ONE = Struct(">BQ")
_PIECE_BYTES = 900 << 10  # of a message in one value
NEW, SEEN, OFTEN = b"n", b"r", b"o"
"""A standard queue's row is of a message never received, received before, or ``OFTEN_MIN`` times and more."""
OFTEN_MIN = 3
_VALUE = Struct(">cQ")


class Queue:
    """A queue's record, read once; from JSON {name, account, region, id, box, created_ms, modified_ms, purged_ms,
    attributes as they were set, tags, token of the stack that made it}."""

    def __init__(self, raw: bytes) -> None:
        self.record = record = orjson.loads(raw)
        self.name: str = record["name"]
        self.account: str = record["account"]
        self.region: str = record["region"]
        self.number: int = record["id"]
        self.box: int = record["box"]
        self.arn = f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"
        self.is_fifo = self.name.endswith(".fifo")
        self.attributes: dict[str, str] = record["attributes"]
        self.visibility_s = self._number("VisibilityTimeout", 30)
        self.delay_s = self._number("DelaySeconds", 0)
        self.wait_s = self._number("ReceiveMessageWaitTimeSeconds", 0)
        self.size_bytes_max = self._number("MaximumMessageSize", 1 << 20)
        self.retention_ms = self._number("MessageRetentionPeriod", 345_600) * 1000
        redrive = orjson.loads(self.attributes.get("RedrivePolicy") or "{}")
        self.target: str = redrive.get("deadLetterTargetArn", "")
        self.receives_max = int(redrive.get("maxReceiveCount", 0))
        self.policy = self.attributes.get("Policy", "")
        self.key = self.attributes.get("KmsMasterKeyId", "")
        self.key_reuse_s = self._number("KmsDataKeyReusePeriodSeconds", 300)
        self.dedup_by_content = self.attributes.get("ContentBasedDeduplication") == "true"
        self.dedup_by_group = self.attributes.get("DeduplicationScope") == "messageGroup"
        self._dimensions = (("QueueName", self.name),)
        keys = Keyspace(self.account, self.region, "sqs")
        for kind in _KINDS:
            setattr(self, f"_{kind}", keys[kind][self.box].prefix)
        self.counts_key: bytes = self._counts
        self.ready_span: Span = self._ready, self._ready + b"\xff"
        self.later_span: Span = self._later, self._later + b"\xff"
        self.noisy_span: Span = self._noisy, self._noisy + b"\xff"

    _counts: bytes
    _message: bytes
    _part: bytes
    _delivery: bytes
    _ready: bytes
    _later: bytes
    _line: bytes
    _group: bytes
    _delayed: bytes
    _known: bytes
    _forget: bytes
    _tenant: bytes
    _backlog: bytes
    _noisy: bytes

    def _number(self, name: str, default: int) -> int:
        return int(self.attributes.get(name, default))

    def measure(
        self, cloud: Cloud, name: str, value: float = 1, unit: str = "Count", times: int = 1
    ) -> None:
        """A sample of one of AWS/SQS's metrics, ``times`` over."""
        place = self.account, self.region, "AWS/SQS", self._dimensions
        cloud.measure(*place, name, value, unit, times)

    def spans(self) -> list[Span]:
        """Everything in the box."""
        return [
            (prefix, prefix + b"\xff") for kind in _KINDS for prefix in (getattr(self, f"_{kind}"),)
        ]

    def until(self, span: Span, ms: int) -> Span:
        """The part of ready or later up to ``ms``, inclusive."""
        return span[0], span[0] + _ONE.pack(0x15, ms + 1 | _SIGN)


_KINDS = (
    "counts", "message", "part", "delivery", "ready", "later", "line", "group", "delayed", "known", "forget",
    "tenant", "backlog", "noisy",
)  # fmt: skip


class Message(msgspec.Struct, array_like=True):
    """Stored as a msgpack array in this order."""

    id: str
    body: str
    md5: bytes
    attributes: dict[str, tuple[str, Any]]
    """Name -> (data type, text or bytes)."""
    sender: str
    sent_ms: int
    at_ms: int
    """When it could first be received here."""
    trace: str = ""
    group: str = ""
    dedup: str = ""
    source: str = ""
    """ARN of the queue it was moved from as a dead letter."""
    sequence: int = 0
    """Of a FIFO queue: the stamp it was sent under."""
    parts: int = 0
    """How many rows of "part" follow, of the msgpack bytes."""
    sealed: bytes = b""
    """Of a queue with a KMS key, instead of ``body``: 12 bytes of nonce, then AES-256-GCM of its UTF-8."""
    data_key: bytes = b""
    """What it is sealed with, as KMS gave it."""
    sealed_at: str = ""
    """ARN of the queue that sealed it, which both are bound to."""


class Delivery(NamedTuple):
    """What happened to a message that was received; in its row 3 x 8 and 2 x 4 bytes, a byte, the group's UTF-8."""

    due_ms: int
    """Hidden until then; in a standard queue its row in ready or later is there."""
    first_ms: int
    last_ms: int
    receives: int
    parts: int
    is_hidden: bool
    """Whether its row is in later."""
    group: str = ""
    """Of a FIFO queue, and of a standard one where the message waits as its tenant's."""
    is_ended: bool = False
    """Of a standard queue: it is not hidden because somebody ended its time, and not because that was over."""


class Group(msgspec.Struct, array_like=True):
    """A group of a FIFO queue that has messages."""

    at_ms: int
    stamp: int
    """Its row in ready or later: (at_ms, stamp)."""
    is_later: bool
    flying: list[tuple[int, int, int]]
    """Those in flight: (stamp, sent ms, hidden until ms)."""


class Tenant(msgspec.Struct, array_like=True):
    """A group of a standard queue that has messages, see ``fair``; a msgpack array."""

    visible: int = 0
    flying: int = 0
    delayed: int = 0
    sent_ms: int = 0
    """When it last sent."""
    first: tuple[int, int] | None = None
    """(ms, stamp) of its row in ready; a noisy one has none."""
    head: tuple[int, int] = (0, 0)
    """Of its backlog, as ``Counts.head`` is of ready."""
    is_noisy: bool = False
    busy_ms: float = 0.0
    """For how long its messages were in flight lately, as of ``busy_at_ms``."""
    busy_at_ms: int = 0

    @property
    def total(self) -> int:
        return self.visible + self.flying + self.delayed


class Fair:
    """Of a standard queue that holds messages of groups, behind its counts: 3 x 8 bytes."""

    __slots__ = ("busy_at_ms", "busy_ms", "messages")

    def __init__(self, messages: int = 0, busy_ms: float = 0.0, busy_at_ms: int = 0) -> None:
        self.messages = messages  # of groups
        self.busy_ms, self.busy_at_ms = busy_ms, busy_at_ms  # as a tenant's, of all messages


class Counts:
    """Of a box's messages; 6 x 8 bytes. ``expiry_ms`` is when the job that expires them is due, 0 without one.

    ``head`` is (ms, stamp) of a row of ready before which there are none, itself included: they go in at the end
    and are taken from the front, and what was taken lately would be in the way of every look at the front.

    ``groups_flying``, of a FIFO queue: how many groups have messages in flight; 8 bytes behind them, where there are any.
    """

    __slots__ = ("delayed", "expiry_ms", "fair", "flying", "groups_flying", "head", "visible")

    def __init__(
        self,
        visible: int = 0,
        flying: int = 0,
        delayed: int = 0,
        expiry_ms: int = 0,
        head_ms: int = 0,
        head_stamp: int = 0,
    ) -> None:
        self.visible, self.flying, self.delayed = visible, flying, delayed
        self.expiry_ms, self.head = expiry_ms, (head_ms, head_stamp)
        self.fair: Fair | None = None
        self.groups_flying = 0

    @property
    def total(self) -> int:
        return self.visible + self.flying + self.delayed


_COUNTS = Struct(">qqqqQQ")
_FAIR = Struct(">QdQ")
_GROUPS = Struct(">Q")
_DELIVERY = Struct(">QQQIIB")
_SHOWN, _HIDDEN, _ENDED = range(3)  # a delivery's last byte
_encode = msgspec.msgpack.Encoder().encode
_decode_message = msgspec.msgpack.Decoder(Message).decode
_decode_group = msgspec.msgpack.Decoder(Group).decode
_decode_tenant = msgspec.msgpack.Decoder(Tenant).decode

# -- queues


@lru_cache(maxsize=4096)
def _queue_key(keys: Keyspace, name: str) -> bytes:
    return keys.key("queue", name)


def queue(tx: Tx, keys: Keyspace, name: str) -> Queue | None:
    """``keys`` as ``finding.key_of`` gives them, so that the key is made once."""
    return tx.parsed(_queue_key(keys, name), Queue)


def record_span(q: Queue) -> Span:
    """Where a change of the queue itself shows: it was purged or deleted."""
    key = Keyspace(q.account, q.region, "sqs").key("queue", q.name)
    return key, key + b"\x00"


def put_queue(tx: Tx, keys: Keyspace, record: Record) -> None:
    """The record, and its place among the sources of its dead-letter queue."""
    name = record["name"]
    old = queue(tx, keys, name)
    before = old.target if old else ""
    after = orjson.loads(record["attributes"].get("RedrivePolicy") or "{}")
    target = after.get("deadLetterTargetArn", "")
    if before and before != target:
        tx.delete(keys.key("source", before, name))
    if target and before != target:
        tx.put(keys.key("source", target, name), b"")
    tx.put(keys.key("queue", name), orjson.dumps(record))


def drop_queue(tx: Tx, keys: Keyspace, found: Queue, now_ms: int) -> list[Span]:
    """Forget the queue; the spans of what it leaves behind."""
    tx.delete(keys.key("queue", found.name))
    tx.put(keys.key("gone", found.name), b"%d" % now_ms)
    if found.target:
        tx.delete(keys.key("source", found.target, found.name))
    return [*found.spans(), keys.span("task", found.number)]


def queues(tx: Tx, keys: Keyspace, prefix: str, after: str) -> Iterator[Queue]:
    names = keys["queue"]
    start, stop = names.span()
    if prefix:
        start = names.key(prefix)[:-1]  # without the end mark: everything that begins so
        stop = start + b"\xff"
    if after:
        start = max(start, names.key(after) + b"\x00")
    for _, raw in tx.scan((start, stop)):
        found = Queue(raw)
        if found.name.startswith(prefix):
            yield found


def sources(tx: Tx, keys: Keyspace, target: str, after: str) -> Iterator[str]:
    space = keys["source"][target]
    start, stop = space.span()
    if after:
        start = space.key(after) + b"\x00"
    for key, _ in tx.scan((start, stop)):
        yield str(space.parts(key)[0])


def has_sources(tx: Tx, keys: Keyspace, target: str) -> bool:
    return next(sources(tx, keys, target, ""), None) is not None


def gone_ms(tx: Tx, keys: Keyspace, name: str) -> int | None:
    raw = tx.get(keys.key("gone", name))
    return None if raw is None else int(raw)


def forget_gone(tx: Tx, keys: Keyspace, name: str) -> None:
    tx.delete(keys.key("gone", name))


def sampled_ms(tx: Tx, keys: Keyspace) -> int:
    """When the account's queues are next looked at for their metrics; 0 for not."""
    return int(tx.get(keys.key("sampled")) or 0)


def put_sampled_ms(tx: Tx, keys: Keyspace, ms: int) -> None:
    if ms:
        tx.put(keys.key("sampled"), b"%d" % ms)
    else:
        tx.delete(keys.key("sampled"))


# -- counts


def counts(tx: Tx, q: Queue) -> Counts:
    raw = tx.get(q.counts_key)
    if raw is None:
        return Counts()
    if len(raw) == _COUNTS.size:
        return Counts(*_COUNTS.unpack(raw))
    found = Counts(*_COUNTS.unpack_from(raw))
    if q.is_fifo:
        (found.groups_flying,) = _GROUPS.unpack_from(raw, _COUNTS.size)
        return found
    found.fair = Fair(*_FAIR.unpack_from(raw, _COUNTS.size))
    return found


def put_counts(tx: Tx, q: Queue, c: Counts) -> None:
    raw = _COUNTS.pack(c.visible, c.flying, c.delayed, c.expiry_ms, *c.head)
    if (fair := c.fair) is not None and fair.messages:
        raw += _FAIR.pack(fair.messages, fair.busy_ms, fair.busy_at_ms)
    elif c.groups_flying > 0:
        raw += _GROUPS.pack(c.groups_flying)
    tx.put(q.counts_key, raw)


# -- messages


def _pair(prefix: bytes, a: int, b: int) -> bytes:
    return prefix + _PAIR.pack(0x15, a | _SIGN, 0x15, b | _SIGN)


def _one(prefix: bytes, a: int) -> bytes:
    return prefix + _ONE.pack(0x15, a | _SIGN)


def _pair_of(prefix: bytes, key: bytes) -> tuple[int, int]:
    _, a, _, b = _PAIR.unpack_from(key, len(prefix))
    return a ^ _SIGN, b ^ _SIGN


def put_message(tx: Tx, q: Queue, stamp: int, message: Message) -> None:
    raw = _encode(message)
    if len(raw) > _PIECE_BYTES:
        message.parts = -(-len(raw) // _PIECE_BYTES) - 1
        raw = _encode(message)
        for n in range(1, message.parts + 1):
            piece = raw[n * _PIECE_BYTES : (n + 1) * _PIECE_BYTES]
            tx.put(_pair(q._part, stamp, n), piece)
        raw = b"\x00" + bytes([message.parts]) + raw[:_PIECE_BYTES]
    tx.put(_pair(q._message, message.sent_ms, stamp), raw)


def message(tx: Tx, q: Queue, sent_ms: int, stamp: int) -> Message | None:
    raw = tx.get(_pair(q._message, sent_ms, stamp))
    return None if raw is None else _whole(tx, q, stamp, raw)


def _whole(tx: Tx, q: Queue, stamp: int, raw: bytes) -> Message:
    """A message of several pieces starts with 0 (no msgpack array does) and their number."""
    if raw[:1] == b"\x00":
        pieces = [raw[2:]]
        for n in range(1, raw[1] + 1):
            piece = tx.get(_pair(q._part, stamp, n))
            assert piece is not None
            pieces.append(piece)
        raw = b"".join(pieces)
    return _decode_message(raw)


def is_durable(tx: Tx, q: Queue, sent_ms: int, stamp: int) -> bool:
    """Whether the message itself is on disk, so that a relaxed answer may show it."""
    return tx.is_durable(_pair(q._message, sent_ms, stamp))


def drop_message(tx: Tx, q: Queue, sent_ms: int, stamp: int, parts: int) -> None:
    tx.delete(_pair(q._message, sent_ms, stamp))
    for n in range(1, parts + 1):
        tx.delete(_pair(q._part, stamp, n))


def oldest(tx: Tx, q: Queue, most: int) -> list[tuple[int, int]]:
    """(sent ms, stamp) of the oldest messages."""
    rows = tx.scan((q._message, q._message + b"\xff"), limit=most)
    return [_pair_of(q._message, key) for key, _ in rows]


# -- deliveries


def delivery(tx: Tx, q: Queue, stamp: int) -> Delivery | None:
    raw = tx.get(_one(q._delivery, stamp))
    if raw is None:
        return None
    due_ms, first_ms, last_ms, receives, parts, state = _DELIVERY.unpack_from(raw)
    group = raw[_DELIVERY.size :].decode()
    is_hidden, is_ended = state == _HIDDEN, state == _ENDED
    return Delivery(due_ms, first_ms, last_ms, receives, parts, is_hidden, group, is_ended)


def put_delivery(tx: Tx, q: Queue, stamp: int, d: Delivery) -> None:
    state = _HIDDEN if d.is_hidden else _ENDED if d.is_ended else _SHOWN
    tx.put(_one(q._delivery, stamp), _DELIVERY.pack(*d[:5], state) + d.group.encode())


def drop_delivery(tx: Tx, q: Queue, stamp: int) -> None:
    tx.delete(_one(q._delivery, stamp))


# -- places: what may be received, and what may later


class Place(NamedTuple):
    at_ms: int
    stamp: int
    is_later: bool
    value: bytes


def places(tx: Tx, q: Queue, c: Counts, now_ms: int, most: int) -> list[Place]:
    """Up to ``most`` of what may be received at ``now_ms``, longest available first; of a standard queue, what comes back
    by its age, unless it was received often.

    Messages of a standard queue that are in flight or delayed have the rows of later: where there are none, what is ready
    is all there is.
    """
    ready = ready_places(tx, q, c.head, now_ms, most)
    if len(ready) == most and not c.flying and not c.delayed and not q.is_fifo:
        return ready
    due = due_places(tx, q, now_ms, most)
    if not due:
        return ready
    return sorted(ready + due, key=None if q.is_fifo else _age)[:most]


def _age(row: Place) -> tuple[int, int]:
    return (came_ms(row), row.stamp)


def came_ms(row: Place) -> int:
    """Where a row of a standard queue's later belongs in ready.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html:
    a message received three or more times goes to the back.
    """
    kind, sent_ms = read_standard_value(row.value)
    return sent_ms if row.is_later and kind == SEEN else row.at_ms


def ready_places(tx: Tx, q: Queue, after: tuple[int, int], now_ms: int, most: int) -> list[Place]:
    start = _pair(q._ready, *after) + b"\x00"
    stop = q.until(q.ready_span, now_ms)[1]
    return list(_places(tx, q._ready, (start, stop), is_later=False, most=most))


def due_places(tx: Tx, q: Queue, now_ms: int, most: int) -> list[Place]:
    """Rows of later whose time has come."""
    rows = _places(tx, q._later, q.until(q.later_span, now_ms), is_later=True, most=most)
    return list(rows)


def _places(
    tx: Tx, prefix: bytes, span: Span, *, is_later: bool, most: int | None = None
) -> Iterator[Place]:
    for key, value in tx.scan(span, limit=most):
        yield Place(*_pair_of(prefix, key), is_later, value)


def next_due_ms(tx: Tx, q: Queue) -> int | None:
    for key, _ in tx.scan(q.later_span, limit=1):
        return _pair_of(q._later, key)[0]
    return None


def put_later(tx: Tx, q: Queue, at_ms: int, stamp: int, value: bytes) -> None:
    tx.put(_pair(q._later, at_ms, stamp), value)


def put_ready(tx: Tx, q: Queue, c: Counts, at_ms: int, stamp: int, value: bytes) -> None:
    tx.put(_pair(q._ready, at_ms, stamp), value)
    if (at_ms, stamp) <= c.head:
        c.head = at_ms, stamp - 1


def drop_place(tx: Tx, q: Queue, at_ms: int, stamp: int, *, is_later: bool) -> None:
    tx.delete(_pair(q._later if is_later else q._ready, at_ms, stamp))


def has_place(tx: Tx, q: Queue, at_ms: int, stamp: int, *, is_later: bool) -> bool:
    return tx.get(_pair(q._later if is_later else q._ready, at_ms, stamp)) is not None


def place_value(tx: Tx, q: Queue, at_ms: int, stamp: int, *, is_later: bool) -> bytes | None:
    return tx.get(_pair(q._later if is_later else q._ready, at_ms, stamp))


def standard_value(kind: bytes, sent_ms: int) -> bytes:
    return _VALUE.pack(kind, sent_ms)


def read_standard_value(value: bytes) -> tuple[bytes, int]:
    kind, sent_ms = _VALUE.unpack_from(value)
    return kind, sent_ms


# -- standard: tenants. In ready and later the value of a tenant's message ends with its group's UTF-8


def tenant_value(kind: bytes, sent_ms: int, group: str) -> bytes:
    return _VALUE.pack(kind, sent_ms) + group.encode()


def tenant_of(value: bytes) -> str:
    """The group in a row of ready or later; "" for a message that is nobody's."""
    return value[_VALUE.size :].decode()


def is_tenants(value: bytes) -> bool:
    return len(value) > _VALUE.size


def tenant(tx: Tx, q: Queue, name: str) -> Tenant | None:
    raw = tx.get(Keyspace(name, prefix=q._tenant).prefix)
    return None if raw is None else _decode_tenant(raw)


def put_tenant(tx: Tx, q: Queue, name: str, found: Tenant) -> None:
    """Or forget it, where it has no messages left."""
    key = Keyspace(name, prefix=q._tenant).prefix
    if found.total:
        tx.put(key, _encode(found))
    else:
        tx.delete(key)


def put_backlog(
    tx: Tx, q: Queue, name: str, found: Tenant, at_ms: int, stamp: int, value: bytes
) -> None:
    tx.put(_pair(_backlog(q, name), at_ms, stamp), value[: _VALUE.size])
    if (at_ms, stamp) <= found.head:
        found.head = at_ms, stamp - 1


def drop_backlog(tx: Tx, q: Queue, name: str, at_ms: int, stamp: int) -> None:
    tx.delete(_pair(_backlog(q, name), at_ms, stamp))


def backlog(tx: Tx, q: Queue, name: str, found: Tenant, most: int) -> list[Place]:
    """What has waited longest of what a tenant has beside its row in ready."""
    prefix = _backlog(q, name)
    span = _pair(prefix, *found.head) + b"\x00", prefix + b"\xff"
    return list(_places(tx, prefix, span, is_later=False, most=most))


def _backlog(q: Queue, name: str) -> bytes:
    return Keyspace(name, prefix=q._backlog).prefix


def put_noisy(tx: Tx, q: Queue, name: str) -> None:
    tx.put(Keyspace(name, prefix=q._noisy).prefix, name.encode())


def drop_noisy(tx: Tx, q: Queue, name: str) -> None:
    tx.delete(Keyspace(name, prefix=q._noisy).prefix)


def noisy(tx: Tx, q: Queue, most: int) -> list[str]:
    return [value.decode() for _, value in tx.scan(q.noisy_span, limit=most)]


# -- FIFO: lines and groups


def _line(q: Queue, group: str) -> Keyspace:
    return Keyspace(group, prefix=q._line)


def put_in_line(tx: Tx, q: Queue, group: str, stamp: int, sent_ms: int) -> None:
    tx.put(_line(q, group).key(stamp), _ONE.pack(0, sent_ms))


def take_from_line(tx: Tx, q: Queue, group: str, stamp: int) -> None:
    tx.delete(_line(q, group).key(stamp))


def line(tx: Tx, q: Queue, group: str, most: int) -> list[tuple[int, int]]:
    """(stamp, sent ms) of a group's first messages in order."""
    space = _line(q, group)
    found = []
    for key, value in tx.scan(space.span(), limit=most):
        (stamp,) = space.parts(key)
        assert isinstance(stamp, int)
        found.append((stamp, int(_ONE.unpack(value)[1])))
    return found


def group(tx: Tx, q: Queue, name: str) -> Group | None:
    raw = tx.get(Keyspace(name, prefix=q._group).prefix)
    return None if raw is None else _decode_group(raw)


def put_group(tx: Tx, q: Queue, name: str, found: Group) -> None:
    tx.put(Keyspace(name, prefix=q._group).prefix, _encode(found))


def drop_group(tx: Tx, q: Queue, name: str) -> None:
    tx.delete(Keyspace(name, prefix=q._group).prefix)


def put_delayed(tx: Tx, q: Queue, at_ms: int, stamp: int) -> None:
    tx.put(_pair(q._delayed, at_ms, stamp), b"")


def drop_delayed(tx: Tx, q: Queue, at_ms: int, stamp: int) -> bool:
    """Whether it was still counted as delayed."""
    key = _pair(q._delayed, at_ms, stamp)
    if tx.get(key) is None:
        return False
    tx.delete(key)
    return True


def settle_delayed(tx: Tx, q: Queue, now_ms: int, most: int) -> int:
    """Forget up to ``most`` delays that are over; how many."""
    span = (q._delayed, q._delayed + _ONE.pack(0x15, now_ms + 1 | _SIGN))
    over = [key for key, _ in tx.scan(span, limit=most)]
    for key in over:
        tx.delete(key)
    return len(over)


# -- FIFO: what is remembered for a while


def known(tx: Tx, q: Queue, kind: str, scope: str, name: str, now_ms: int) -> Any:
    """What was put under this name, if it is not to be forgotten yet."""
    raw = tx.get(Keyspace(kind, scope, name, prefix=q._known).prefix)
    if raw is None or int.from_bytes(raw[:8], "big") <= now_ms:
        return None
    return msgspec.msgpack.decode(raw[8:])


def put_known(
    tx: Tx, q: Queue, kind: str, scope: str, name: str, value: Any, until_ms: int
) -> None:
    key = Keyspace(kind, scope, name, prefix=q._known).prefix
    tx.put(key, until_ms.to_bytes(8, "big") + _encode(value))
    tx.put(_pair(q._forget, until_ms, tx.stamp()), key)


def forget(tx: Tx, q: Queue, now_ms: int, most: int) -> int:
    """Forget up to ``most`` of what is over; how many rows that were."""
    span = (q._forget, q._forget + _ONE.pack(0x15, now_ms + 1 | _SIGN))
    rows = list(tx.scan(span, limit=most))
    for row, key in rows:
        tx.delete(row)
        raw = tx.get(key)
        if raw is not None and int.from_bytes(raw[:8], "big") <= now_ms:
            tx.delete(key)
    return len(rows)


# -- tasks that move messages


def put_task(tx: Tx, keys: Keyspace, queue_number: int, task: Record) -> None:
    tx.put(keys.key("task", queue_number, -task["began_ms"]), orjson.dumps(task))


def task(tx: Tx, keys: Keyspace, queue_number: int, began_ms: int) -> Record | None:
    raw = tx.get(keys.key("task", queue_number, -began_ms))
    return None if raw is None else orjson.loads(raw)


def tasks(tx: Tx, keys: Keyspace, queue_number: int, most: int) -> list[Record]:
    """The newest first."""
    return [orjson.loads(raw) for _, raw in tx.scan(keys.span("task", queue_number), limit=most)]


def trim_tasks(tx: Tx, keys: Keyspace, queue_number: int, kept: int) -> None:
    for key, _ in list(tx.scan(keys.span("task", queue_number), limit=kept + 5))[kept:]:
        tx.delete(key)
