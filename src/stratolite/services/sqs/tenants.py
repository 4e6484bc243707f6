"""Tenants of a standard queue: which messages a group has waiting, where, and whether it is noisy.

A tenant is a MessageGroupId. Of its messages that may be received, the one that has waited longest is in ready, as a
message without a group is; the others are in the tenant's own backlog, and each takes the place of the one before. So the
front of ready shows every quiet tenant once, whatever another one has waiting. A noisy tenant has nothing in ready.

Noisy is who has messages waiting, sent one within five minutes, and has either 30 in flight that are more than a tenth of
all in flight, or more than a tenth of the time for which messages were in flight lately. It is quiet again when one of
the first two no longer holds, or below half of those shares. Ours is what "lately" means, half of it counts a minute later,
and that a second in all is the least that anybody is noisy for.

Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

from math import log

from stratolite.core import Tx
from stratolite.services.sqs import state
from stratolite.services.sqs.receipts import Receipt
from stratolite.services.sqs.state import (
    NEW,
    SEEN,
    Counts,
    Delivery,
    Fair,
    Message,
    Place,
    Queue,
    Tenant,
)

_FLYING_MIN, _SHARE = 30, 0.1
_SILENT_MS = 300_000
_HALF_LIFE_MS, _BUSY_MS_MIN = 60_000, 1000


# -- who is noisy


def _busy_ms(one: Tenant | Fair, flying: int, now_ms: int) -> float:
    """For how long messages of it were in flight lately, where ``flying`` are since it was last reckoned."""
    kept = 0.5 ** ((now_ms - one.busy_at_ms) / _HALF_LIFE_MS)
    return float(one.busy_ms * kept + flying * (1 - kept) * _HALF_LIFE_MS / log(2))


def reckon(one: Tenant | Fair, flying: int, now_ms: int) -> None:
    """``flying`` is about to change."""
    if now_ms > one.busy_at_ms:
        one.busy_ms, one.busy_at_ms = _busy_ms(one, flying, now_ms), now_ms


def is_noisy(c: Counts, tenant: Tenant, now_ms: int) -> bool:
    if not tenant.visible or tenant.sent_ms + _SILENT_MS <= now_ms:
        return False
    of = 0.5 if tenant.is_noisy else 1.0
    if tenant.flying >= of * _FLYING_MIN and tenant.flying > of * _SHARE * c.flying:
        return True
    assert c.fair is not None
    busy_ms = _busy_ms(tenant, tenant.flying, now_ms)
    share = of * _SHARE * _busy_ms(c.fair, c.flying, now_ms)
    return busy_ms > max(share, of * _BUSY_MS_MIN)


# -- where a tenant's messages are


def send(tx: Tx, q: Queue, c: Counts, message: Message, stamp: int) -> None:
    """Give a message that is stored already its place."""
    name, sent_ms, at_ms = message.group, message.sent_ms, message.at_ms
    tenant = _joined(tx, q, c, name)
    if at_ms > sent_ms:
        state.put_later(tx, q, at_ms, stamp, state.tenant_value(NEW, sent_ms, name))
        c.delayed += 1
        tenant.delayed += 1
    else:
        c.visible += 1
        _show(tx, q, c, name, tenant, at_ms, stamp, state.tenant_value(NEW, sent_ms, name))
    state.put_tenant(tx, q, name, tenant)


def bury(tx: Tx, q: Queue, c: Counts, message: Message, stamp: int) -> None:
    """Give a dead letter that is stored already its place."""
    name = message.group
    tenant = _joined(tx, q, c, name)
    c.visible += 1
    value = state.tenant_value(SEEN, message.sent_ms, name)
    _show(tx, q, c, name, tenant, message.at_ms, stamp, value)
    state.put_tenant(tx, q, name, tenant)


def _joined(tx: Tx, q: Queue, c: Counts, name: str) -> Tenant:
    tenant = state.tenant(tx, q, name) or Tenant()
    tenant.sent_ms = now_ms = int(tx.time_s * 1000)
    if c.fair is None:
        c.fair = Fair(busy_at_ms=now_ms)
    c.fair.messages += 1
    return tenant


def _show(
    tx: Tx, q: Queue, c: Counts, name: str, tenant: Tenant, at_ms: int, stamp: int, value: bytes
) -> None:
    """One more that may be received."""
    tenant.visible += 1
    first = tenant.first
    if tenant.is_noisy or (first is not None and first < (at_ms, stamp)):
        state.put_backlog(tx, q, name, tenant, at_ms, stamp, value)
        return
    if first is not None:
        before = state.place_value(tx, q, *first, is_later=False)
        assert before is not None, "a tenant without its place"
        state.drop_place(tx, q, *first, is_later=False)
        state.put_backlog(tx, q, name, tenant, *first, before)
    tenant.first = at_ms, stamp
    state.put_ready(tx, q, c, at_ms, stamp, value)


def _take_away(
    tx: Tx, q: Queue, c: Counts, name: str, tenant: Tenant, at_ms: int, stamp: int
) -> None:
    """One less that may be received, and not because it was received."""
    tenant.visible -= 1
    if tenant.first == (at_ms, stamp):
        state.drop_place(tx, q, at_ms, stamp, is_later=False)
        tenant.first = None
    else:
        state.drop_backlog(tx, q, name, at_ms, stamp)
    put_in_place(tx, q, c, name, tenant)


def put_in_place(tx: Tx, q: Queue, c: Counts, name: str, tenant: Tenant) -> None:
    """A quiet tenant has its place in ready, and one that has nothing waiting is quiet."""
    if tenant.is_noisy and not tenant.visible:
        tenant.is_noisy = False
        state.drop_noisy(tx, q, name)
    if tenant.visible and not tenant.is_noisy and tenant.first is None:
        for row in state.backlog(tx, q, name, tenant, 1):
            kind, sent_ms = state.read_standard_value(row.value)
            pull(tx, q, name, tenant, row)
            tenant.first = row.at_ms, row.stamp
            value = state.tenant_value(kind, sent_ms, name)
            state.put_ready(tx, q, c, row.at_ms, row.stamp, value)


def pull(tx: Tx, q: Queue, name: str, tenant: Tenant, row: Place) -> None:
    """Take the foremost of the backlog."""
    state.drop_backlog(tx, q, name, row.at_ms, row.stamp)
    tenant.head = row.at_ms, row.stamp


# -- what becomes of a message that was received


def found(tx: Tx, q: Queue, name: str) -> Tenant:
    tenant = state.tenant(tx, q, name)
    assert tenant is not None, "a message without its tenant"
    return tenant


def _landed(c: Counts, tenant: Tenant, now_ms: int) -> None:
    assert c.fair is not None
    reckon(c.fair, c.flying, now_ms)
    reckon(tenant, tenant.flying, now_ms)
    c.flying -= 1
    tenant.flying -= 1


def delete(tx: Tx, q: Queue, c: Counts, sent_ms: int, stamp: int, delivery: Delivery) -> None:
    now_ms, name, due_ms = int(tx.time_s * 1000), delivery.group, delivery.due_ms
    tenant = found(tx, q, name)
    if delivery.is_hidden:
        state.drop_place(tx, q, due_ms, stamp, is_later=True)
        _landed(c, tenant, now_ms)
    else:
        c.visible -= 1
        _take_away(tx, q, c, name, tenant, due_ms, stamp)
    drop(tx, q, c, sent_ms, stamp, delivery.parts)
    state.put_tenant(tx, q, name, tenant)


def forget(tx: Tx, q: Queue, c: Counts, message: Message, stamp: int) -> bool:
    """Remove a message that was never received; False if it waits as one without a group, as they once did."""
    name, at_ms = message.group, message.at_ms
    value = state.place_value(tx, q, at_ms, stamp, is_later=True)
    is_later = value is not None
    if value is None:
        value = state.place_value(tx, q, at_ms, stamp, is_later=False)
    if value is not None and not state.is_tenants(value):
        return False
    tenant = found(tx, q, name)
    if is_later:
        state.drop_place(tx, q, at_ms, stamp, is_later=True)
        c.delayed -= 1
        tenant.delayed -= 1
    else:
        c.visible -= 1
        _take_away(tx, q, c, name, tenant, at_ms, stamp)
    drop(tx, q, c, message.sent_ms, stamp, message.parts)
    state.put_tenant(tx, q, name, tenant)
    return True


def show_again(tx: Tx, q: Queue, c: Counts, receipt: Receipt, delivery: Delivery) -> None:
    """A visibility timeout was ended, and ``delivery`` is what is known of it since."""
    now_ms, name = int(tx.time_s * 1000), delivery.group
    tenant = found(tx, q, name)
    _landed(c, tenant, now_ms)
    c.visible += 1
    value = state.tenant_value(SEEN, receipt.sent_ms, name)
    _show(tx, q, c, name, tenant, delivery.due_ms, receipt.stamp, value)
    state.put_tenant(tx, q, name, tenant)


def settle(tx: Tx, q: Queue, c: Counts, row: Place, now_ms: int) -> None:
    """A delay or a visibility timeout is over: ``row`` is of later."""
    name = state.tenant_of(row.value)
    tenant = found(tx, q, name)
    state.drop_place(tx, q, row.at_ms, row.stamp, is_later=True)
    at_ms = row.at_ms
    if state.read_standard_value(row.value)[0] != NEW:
        delivery = state.delivery(tx, q, row.stamp)
        assert delivery is not None, "received, and nothing known of it"
        at_ms = state.came_ms(row)
        visible = delivery._replace(due_ms=at_ms, is_hidden=False)
        state.put_delivery(tx, q, row.stamp, visible)
        _landed(c, tenant, now_ms)
    else:
        c.delayed -= 1
        tenant.delayed -= 1
    c.visible += 1
    _show(tx, q, c, name, tenant, at_ms, row.stamp, row.value)
    state.put_tenant(tx, q, name, tenant)


def drop(tx: Tx, q: Queue, c: Counts, sent_ms: int, stamp: int, parts: int) -> None:
    state.drop_message(tx, q, sent_ms, stamp, parts)
    state.drop_delivery(tx, q, stamp)
    assert c.fair is not None
    c.fair.messages -= 1
