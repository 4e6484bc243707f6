"""The order of a standard queue: what has been available longest comes first.

Messages with a group are their ``tenants``', and where a queue has any, ``fair`` receives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stratolite.core import Tx
from stratolite.services.sqs import state, tenants
from stratolite.services.sqs.receipts import Receipt
from stratolite.services.sqs.state import (
    NEW,
    OFTEN,
    OFTEN_MIN,
    SEEN,
    Counts,
    Delivery,
    Message,
    Place,
    Queue,
)

ROUNDS_MAX = 20
"""Of looking for messages in one receive, where what was found had expired or went to the dead letters."""
_SETTLED_MAX = 200

Dead = Callable[[Message, Delivery], bool]
"""Give a message to the dead-letter queue; False if there is none."""


class Delivered(NamedTuple):
    stamp: int
    message: Message
    delivery: Delivery
    is_durable: bool


def send(tx: Tx, q: Queue, c: Counts, message: Message) -> None:
    stamp = tx.stamp()
    state.put_message(tx, q, stamp, message)
    if message.group:
        tenants.send(tx, q, c, message, stamp)
        return
    is_later = message.at_ms > message.sent_ms
    value = state.standard_value(NEW, message.sent_ms)
    if is_later:
        state.put_later(tx, q, message.at_ms, stamp, value)
        c.delayed += 1
    else:
        state.put_ready(tx, q, c, message.at_ms, stamp, value)
        c.visible += 1


def bury(tx: Tx, q: Queue, c: Counts, message: Message, delivery: Delivery, now_ms: int) -> None:
    """Take in a dead letter: it keeps its id, its age and how often it was received."""
    stamp = tx.stamp()
    message.at_ms = now_ms
    state.put_message(tx, q, stamp, message)
    kept = delivery._replace(
        due_ms=now_ms, parts=message.parts, is_hidden=False, group=message.group
    )
    state.put_delivery(tx, q, stamp, kept)
    if message.group:
        tenants.bury(tx, q, c, message, stamp)
        return
    state.put_ready(tx, q, c, now_ms, stamp, state.standard_value(SEEN, message.sent_ms))
    c.visible += 1


def receive(
    tx: Tx, q: Queue, c: Counts, most: int, hidden_ms: int, dead: Dead | None
) -> list[Delivered]:
    now_ms = int(tx.time_s * 1000)
    found: list[Delivered] = []
    mine: set[int] = set()  # with no visibility timeout they are there again
    for _ in range(ROUNDS_MAX):
        wanted = most - len(found)
        rows = state.places(tx, q, c, now_ms, wanted + len(mine))
        fresh = [row for row in rows if row.stamp not in mine]
        for row in fresh[:wanted]:
            one = take(tx, q, c, row, now_ms, hidden_ms, dead)
            if one is not None:
                found.append(one)
                if not hidden_ms:
                    mine.add(one.stamp)
        if len(found) == most or len(fresh) < wanted:
            break
    return found


def take(
    tx: Tx, q: Queue, c: Counts, row: Place, now_ms: int, hidden_ms: int, dead: Dead | None
) -> Delivered | None:
    kind, sent_ms = state.read_standard_value(row.value)
    stamp = row.stamp
    message = state.message(tx, q, sent_ms, stamp)
    assert message is not None, "a place without its message"
    before = state.delivery(tx, q, stamp) if kind != NEW else None
    state.drop_place(tx, q, row.at_ms, stamp, is_later=row.is_later)
    if not row.is_later:
        c.head = row.at_ms, stamp
    _uncount(c, kind, is_later=row.is_later)
    if sent_ms + q.retention_ms <= now_ms:
        _drop(tx, q, sent_ms, stamp, message.parts, is_known=before is not None)
        return None
    if (
        before is not None
        and q.target
        and before.receives >= q.receives_max
        and dead is not None
        and dead(message, before)
    ):
        _drop(tx, q, sent_ms, stamp, message.parts, is_known=True)
        return None
    is_durable = state.is_durable(tx, q, sent_ms, stamp)
    first_ms, count = (before.first_ms, before.receives) if before is not None else (now_ms, 0)
    due_ms = now_ms + hidden_ms
    delivery = Delivery(due_ms, first_ms, now_ms, count + 1, message.parts, True)
    state.put_delivery(tx, q, stamp, delivery)
    kind = SEEN if count + 1 < OFTEN_MIN else OFTEN
    state.put_later(tx, q, due_ms, stamp, state.standard_value(kind, sent_ms))
    c.flying += 1
    return Delivered(stamp, message, delivery, is_durable)


def _uncount(c: Counts, kind: bytes, *, is_later: bool) -> None:
    if not is_later:
        c.visible -= 1
    elif kind == NEW:
        c.delayed -= 1
    else:
        c.flying -= 1


def _drop(tx: Tx, q: Queue, sent_ms: int, stamp: int, parts: int, *, is_known: bool) -> None:
    state.drop_message(tx, q, sent_ms, stamp, parts)
    if is_known:
        state.drop_delivery(tx, q, stamp)


def delete(tx: Tx, q: Queue, c: Counts, receipt: Receipt) -> None:
    """Delete what was received, by the handle of any time it was: what AWS does, if not what it promises.

    LocalStack's recording tests/aws/services/sns/test_sns_filter_policy.snapshot.json, test_filter_policy.
    """
    sent_ms, stamp = receipt.sent_ms, receipt.stamp
    delivery = state.delivery(tx, q, stamp)
    if delivery is None:
        forget(tx, q, c, sent_ms, stamp)  # that it was received is what a crash took away
        return
    if delivery.group:
        tenants.delete(tx, q, c, sent_ms, stamp, delivery)
        return
    if c.fair is not None:
        tenants.reckon(c.fair, c.flying, int(tx.time_s * 1000))
    state.drop_place(tx, q, delivery.due_ms, stamp, is_later=delivery.is_hidden)
    _uncount(c, SEEN, is_later=delivery.is_hidden)
    _drop(tx, q, sent_ms, stamp, delivery.parts, is_known=True)


def forget(tx: Tx, q: Queue, c: Counts, sent_ms: int, stamp: int) -> None:
    """Remove a message whatever its state, if it is there."""
    message = state.message(tx, q, sent_ms, stamp)
    if message is None:
        return
    delivery = state.delivery(tx, q, stamp)
    if delivery is not None and delivery.group:
        tenants.delete(tx, q, c, sent_ms, stamp, delivery)
        return
    if message.group and delivery is None and tenants.forget(tx, q, c, message, stamp):
        return
    if delivery is not None:
        at_ms, is_later, kind = delivery.due_ms, delivery.is_hidden, SEEN
    else:
        at_ms, kind = message.at_ms, NEW
        is_later = state.has_place(tx, q, at_ms, stamp, is_later=True)
    state.drop_place(tx, q, at_ms, stamp, is_later=is_later)
    _uncount(c, kind, is_later=is_later)
    _drop(tx, q, sent_ms, stamp, message.parts, is_known=delivery is not None)


def flying(tx: Tx, q: Queue, receipt: Receipt) -> Delivery | None:
    """The delivery of this handle's message, whichever it is of: also after its time, as AWS does until it is received
    again, but not once it was ended. LocalStack's test_change_message_visibility_after_visibility_timeout_expiration.

    A tenant's message that was counted as visible meanwhile is available no more.
    """
    delivery = state.delivery(tx, q, receipt.stamp)
    if delivery is None or delivery.is_ended or (delivery.group and not delivery.is_hidden):
        return None
    return delivery


def hide(tx: Tx, q: Queue, c: Counts, receipt: Receipt, delivery: Delivery, due_ms: int) -> None:
    """Move the end of a visibility timeout; now ends it."""
    is_hidden = due_ms > int(tx.time_s * 1000)
    stamp = receipt.stamp
    state.drop_place(tx, q, delivery.due_ms, stamp, is_later=delivery.is_hidden)
    if not delivery.is_hidden:  # its time was over, and it was counted as visible
        c.flying += 1
        c.visible -= 1
    kind = SEEN if delivery.receives < OFTEN_MIN else OFTEN
    value = state.tenant_value(kind, receipt.sent_ms, delivery.group)
    if not is_hidden and kind == SEEN:
        due_ms = receipt.sent_ms  # its place among those that wait
    changed = delivery._replace(due_ms=due_ms, is_hidden=is_hidden, is_ended=not is_hidden)
    state.put_delivery(tx, q, stamp, changed)
    if is_hidden:
        state.put_later(tx, q, due_ms, stamp, value)
    elif delivery.group:
        tenants.show_again(tx, q, c, receipt, changed)
    else:
        state.put_ready(tx, q, c, due_ms, stamp, value)
        c.flying -= 1
        c.visible += 1


def settle(tx: Tx, q: Queue, c: Counts, most: int = _SETTLED_MAX) -> bool:
    """Count a page of what has become visible as visible; whether there was any."""
    now_ms = int(tx.time_s * 1000)
    due = state.due_places(tx, q, now_ms, most)
    if due and c.fair is not None:
        tenants.reckon(c.fair, c.flying, now_ms)
    for row in due:
        if state.is_tenants(row.value):
            tenants.settle(tx, q, c, row, now_ms)
            continue
        kind, _ = state.read_standard_value(row.value)
        _uncount(c, kind, is_later=True)
        c.visible += 1
        state.drop_place(tx, q, row.at_ms, row.stamp, is_later=True)
        at_ms = row.at_ms
        if kind != NEW and (delivery := state.delivery(tx, q, row.stamp)) is not None:
            at_ms = state.came_ms(row)
            visible = delivery._replace(due_ms=at_ms, is_hidden=False)
            state.put_delivery(tx, q, row.stamp, visible)
        state.put_ready(tx, q, c, at_ms, row.stamp, row.value)
    return bool(due)
