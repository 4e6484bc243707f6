"""The order of a FIFO queue: groups take turns, and a group gives what comes before the first of its that is in flight.

Exactly once: a message sent again under a deduplication id of the last five minutes is not taken in again.
Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
"""

from __future__ import annotations

from typing import Any

from stratolite.core import Tx
from stratolite.services.sqs import state
from stratolite.services.sqs.receipts import Receipt
from stratolite.services.sqs.standard import ROUNDS_MAX, Dead, Delivered
from stratolite.services.sqs.state import Counts, Delivery, Group, Message, Queue

DEDUPLICATION_MS = 300_000
_SETTLED_MAX = 200
_FORGOTTEN_MAX = 4  # a call; what is remembered grows by one at most


def twin(tx: Tx, q: Queue, message: Message) -> tuple[str, int] | None:
    """(message id, sequence) of a message of the same deduplication id, sent in the last five minutes."""
    scope = message.group if q.dedup_by_group else ""
    now_ms = int(tx.time_s * 1000)
    found = state.known(tx, q, "sent", scope, message.dedup, now_ms)
    return None if found is None else (found[0], found[1])


def send(tx: Tx, q: Queue, c: Counts, message: Message) -> None:
    """Take it in; ``message.sequence`` is set."""
    stamp = message.sequence = tx.stamp()
    now_ms = int(tx.time_s * 1000)
    scope = message.group if q.dedup_by_group else ""
    until_ms = now_ms + DEDUPLICATION_MS
    state.put_known(tx, q, "sent", scope, message.dedup, [message.id, stamp], until_ms)
    state.forget(tx, q, now_ms, _FORGOTTEN_MAX)
    _join(tx, q, c, stamp, message)


def _join(tx: Tx, q: Queue, c: Counts, stamp: int, message: Message) -> None:
    state.put_message(tx, q, stamp, message)
    state.put_in_line(tx, q, message.group, stamp, message.sent_ms)
    if message.at_ms > message.sent_ms:
        state.put_delayed(tx, q, message.at_ms, stamp)
        c.delayed += 1
    else:
        c.visible += 1
    if state.group(tx, q, message.group) is None:
        is_later = message.at_ms > int(tx.time_s * 1000)
        _place(tx, q, c, message.group, None, message.at_ms, [], is_later=is_later)


def bury(tx: Tx, q: Queue, c: Counts, message: Message, delivery: Delivery, now_ms: int) -> None:
    """Take in a dead letter: a new place in line, and how often it was received."""
    stamp = message.sequence = tx.stamp()
    message.sent_ms = message.at_ms = now_ms
    _join(tx, q, c, stamp, message)
    kept = delivery._replace(
        due_ms=now_ms, parts=message.parts, is_hidden=False, group=message.group
    )
    state.put_delivery(tx, q, stamp, kept)


def _place(
    tx: Tx,
    q: Queue,
    c: Counts,
    name: str,
    old: Group | None,
    at_ms: int,
    flying: list[tuple[int, int, int]],
    *,
    is_later: bool,
) -> None:
    """The group may be received from at ``at_ms``, behind those that could be before."""
    if old is not None:
        state.drop_place(tx, q, old.at_ms, old.stamp, is_later=old.is_later)
    _count(c, old, flying)
    stamp = tx.stamp()
    if is_later:
        state.put_later(tx, q, at_ms, stamp, name.encode())
    else:
        state.put_ready(tx, q, c, at_ms, stamp, name.encode())
    state.put_group(tx, q, name, Group(at_ms, stamp, is_later, flying))


def _count(c: Counts, old: Group | None, flying: list[tuple[int, int, int]]) -> None:
    """Earlier versions did not count, so what they left may not be there to be taken off."""
    before = old is not None and bool(old.flying)
    c.groups_flying = max(0, c.groups_flying + bool(flying) - before)


def receive(
    tx: Tx, q: Queue, c: Counts, most: int, hidden_ms: int, dead: Dead | None
) -> list[Delivered]:
    now_ms = int(tx.time_s * 1000)
    found: list[Delivered] = []
    mine: set[str] = set()
    for _ in range(ROUNDS_MAX):
        wanted = most - len(found)
        rows = state.places(tx, q, c, now_ms, wanted + len(mine))
        fresh = [row for row in rows if row.value.decode() not in mine]
        for row in fresh[:wanted]:
            name = row.value.decode()
            group = state.group(tx, q, name)
            assert group is not None, "a place without its group"
            mine.add(name)
            if not row.is_later:
                c.head = row.at_ms, row.stamp
            found += _take(tx, q, c, name, group, most - len(found), hidden_ms, dead)
            if len(found) == most:
                return found
        if len(fresh) < wanted:
            break
    return found


def _land(c: Counts, group: Group, now_ms: int) -> list[tuple[int, int, int]]:
    """What was in flight for long enough is visible again; what is in flight still."""
    still = [one for one in group.flying if one[2] > now_ms]
    landed = len(group.flying) - len(still)
    c.flying -= landed
    c.visible += landed
    return still


def _take(
    tx: Tx,
    q: Queue,
    c: Counts,
    name: str,
    group: Group,
    most: int,
    hidden_ms: int,
    dead: Dead | None,
) -> list[Delivered]:
    """Up to ``most`` messages of a group's head, in order, and none behind one in flight."""
    now_ms = int(tx.time_s * 1000)
    found: list[Delivered] = []
    flying = _land(c, group, now_ms)
    not_yet = {stamp for stamp, _, _ in flying}
    is_end = False
    for _ in range(ROUNDS_MAX):
        wanted = most - len(found)
        rows = state.line(tx, q, name, len(found) + wanted)[len(found) :]
        for stamp, sent_ms in rows:
            is_end = stamp in not_yet
            if is_end:
                break
            message = state.message(tx, q, sent_ms, stamp)
            assert message is not None, "a place in line without its message"
            is_end = message.at_ms > now_ms
            if is_end:
                break
            was_delayed = message.at_ms > sent_ms and state.drop_delayed(
                tx, q, message.at_ms, stamp
            )
            if was_delayed:
                c.delayed -= 1
            else:
                c.visible -= 1
            before = state.delivery(tx, q, stamp)
            is_over = sent_ms + q.retention_ms <= now_ms
            if is_over or (
                before is not None
                and q.target
                and before.receives >= q.receives_max
                and dead is not None
                and dead(message, before)
            ):
                _drop(tx, q, name, sent_ms, stamp, message.parts)
                continue
            first_ms, count = (before.first_ms, before.receives) if before else (now_ms, 0)
            due_ms = now_ms + hidden_ms
            delivery = Delivery(due_ms, first_ms, now_ms, count + 1, message.parts, True, name)
            state.put_delivery(tx, q, stamp, delivery)
            c.flying += 1
            flying.append((stamp, sent_ms, due_ms))
            found.append(Delivered(stamp, message, delivery, is_durable=False))
        if is_end or len(found) == most or len(rows) < wanted:
            break
    if found:
        _place(tx, q, c, name, group, now_ms + hidden_ms, flying, is_later=True)
    else:
        _rest(tx, q, c, name, group, flying)
    return found


def _drop(tx: Tx, q: Queue, name: str, sent_ms: int, stamp: int, parts: int) -> None:
    state.drop_message(tx, q, sent_ms, stamp, parts)
    state.drop_delivery(tx, q, stamp)
    state.take_from_line(tx, q, name, stamp)


def _rest(
    tx: Tx,
    q: Queue,
    c: Counts,
    name: str,
    group: Group,
    flying: list[tuple[int, int, int]],
) -> None:
    """Where the group stands after something was taken from it or given back."""
    now_ms = int(tx.time_s * 1000)
    head = state.line(tx, q, name, 1)
    if not head:
        state.drop_place(tx, q, group.at_ms, group.stamp, is_later=group.is_later)
        state.drop_group(tx, q, name)
        _count(c, group, [])
        return
    stamp, sent_ms = head[0]
    due_ms = next((due_ms for one, _, due_ms in flying if one == stamp), None)
    if due_ms is not None:
        _place(tx, q, c, name, group, due_ms, flying, is_later=True)
        return
    message = state.message(tx, q, sent_ms, stamp) if q.delay_s else None
    at_ms = max(message.at_ms if message is not None else now_ms, now_ms)
    _place(tx, q, c, name, group, at_ms, flying, is_later=at_ms > now_ms)


def delete(tx: Tx, q: Queue, c: Counts, receipt: Receipt) -> bool:
    """Delete what was received; False if its handle has expired. Gone already is fine."""
    delivery = state.delivery(tx, q, receipt.stamp)
    if delivery is None:
        return True
    if delivery.receives != receipt.receives or delivery.due_ms <= int(tx.time_s * 1000):
        return False
    forget(tx, q, c, receipt.sent_ms, receipt.stamp, delivery)
    return True


def forget(
    tx: Tx, q: Queue, c: Counts, sent_ms: int, stamp: int, delivery: Delivery | None = None
) -> None:
    """Remove a message whatever its state, if it is there."""
    name = delivery.group if delivery else ""
    parts, delayed_ms = delivery.parts if delivery else 0, 0
    if not name:
        message = state.message(tx, q, sent_ms, stamp)
        if message is None:
            return
        name, parts = message.group, message.parts
        delayed_ms = message.at_ms if message.at_ms > sent_ms else 0
    group = state.group(tx, q, name)
    assert group is not None, "a message without its group"
    left = [one for one in group.flying if one[0] != stamp]
    if len(left) < len(group.flying):
        c.flying -= 1
    elif delayed_ms and state.drop_delayed(tx, q, delayed_ms, stamp):
        c.delayed -= 1
    else:
        c.visible -= 1
    _drop(tx, q, name, sent_ms, stamp, parts)
    _rest(tx, q, c, name, group, left)


def flying(tx: Tx, q: Queue, receipt: Receipt) -> Delivery | None:
    """The delivery of this handle, while it hides its message."""
    delivery = state.delivery(tx, q, receipt.stamp)
    if delivery is None or delivery.receives != receipt.receives or not delivery.is_hidden:
        return None
    return delivery if delivery.due_ms > int(tx.time_s * 1000) else None


def hide(tx: Tx, q: Queue, c: Counts, receipt: Receipt, delivery: Delivery, due_ms: int) -> None:
    """Move the end of a visibility timeout; now ends it."""
    group = state.group(tx, q, delivery.group)
    assert group is not None, "a message without its group"
    is_hidden = due_ms > int(tx.time_s * 1000)
    left = [one for one in group.flying if one[0] != receipt.stamp]
    if is_hidden:
        left.append((receipt.stamp, receipt.sent_ms, due_ms))
    else:
        c.flying -= 1
        c.visible += 1
    changed = delivery._replace(due_ms=due_ms, is_hidden=is_hidden)
    state.put_delivery(tx, q, receipt.stamp, changed)
    _rest(tx, q, c, delivery.group, group, left)


def settle(tx: Tx, q: Queue, c: Counts) -> bool:
    """Count a page of what has become visible as visible; whether there was any."""
    now_ms = int(tx.time_s * 1000)
    over = state.settle_delayed(tx, q, now_ms, _SETTLED_MAX)
    c.delayed -= over
    c.visible += over
    due = state.due_places(tx, q, now_ms, _SETTLED_MAX)
    for row in due:
        name = row.value.decode()
        group = state.group(tx, q, name)
        assert group is not None, "a place without its group"
        still = _land(c, group, now_ms)
        _count(c, group, still)
        state.drop_place(tx, q, row.at_ms, row.stamp, is_later=True)
        state.put_ready(tx, q, c, row.at_ms, row.stamp, row.value)
        state.put_group(tx, q, name, Group(row.at_ms, row.stamp, False, still))
    return bool(over or due)


# -- a receive that is tried again


def attempted(tx: Tx, q: Queue, attempt: str, hidden_ms: int, c: Counts) -> list[Delivered] | None:
    """What the same attempt got in the last five minutes, if all of it is still in flight, hidden anew.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
    """
    now_ms = int(tx.time_s * 1000)
    rows: list[Any] | None = state.known(tx, q, "got", "", attempt, now_ms)
    if not rows:
        return None
    found: list[Delivered] = []
    for sent_ms, stamp, count in rows:
        receipt = Receipt(q.number, q.box, sent_ms, stamp, count)
        delivery = flying(tx, q, receipt)
        message = state.message(tx, q, sent_ms, stamp) if delivery else None
        if message is None or delivery is None:
            return None
        found.append(Delivered(stamp, message, delivery, is_durable=False))
    due_ms = now_ms + hidden_ms
    for one in found:
        receipt = Receipt(q.number, q.box, one.message.sent_ms, one.stamp, one.delivery.receives)
        hide(tx, q, c, receipt, one.delivery, due_ms)
    return found


def remember(tx: Tx, q: Queue, attempt: str, found: list[Delivered]) -> None:
    rows = [[one.message.sent_ms, one.stamp, one.delivery.receives] for one in found]
    until_ms = int(tx.time_s * 1000) + DEDUPLICATION_MS
    state.put_known(tx, q, "got", "", attempt, rows, until_ms)
