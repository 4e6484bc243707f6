"""Receiving from a standard queue whose messages have groups: quiet tenants before noisy ones, see ``tenants``.

What is in ready comes first, longest available first; where that does not suffice, the noisy tenant with the fewest
messages in flight. Whether a quiet one has become noisy is looked at when its message is next, and whether a noisy one is
still with every receive: at most some forty can be, by their shares, whatever waits.

Source  https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import NamedTuple

from stratolite.core import Tx
from stratolite.services.sqs import standard, state, tenants
from stratolite.services.sqs.standard import Dead, Delivered
from stratolite.services.sqs.state import (
    NEW,
    OFTEN,
    OFTEN_MIN,
    SEEN,
    Counts,
    Delivery,
    Place,
    Queue,
)

_NOISY_MAX = 64
_LOOKED_MAX = 200
"""Messages looked at in one receive, where some had expired or went to the dead letters."""
_SETTLED_MAX = 20  # more than a receive makes anew


class _Visit:
    """A tenant while a receive takes from it; its place and its record are put at the end."""

    def __init__(self, tx: Tx, q: Queue, name: str, most: int) -> None:
        self._tx, self._q, self._most = tx, q, most
        self.name = name
        found = state.tenant(tx, q, name)
        assert found is not None, "a place without its tenant"
        self.tenant = found
        tenants.reckon(found, found.flying, int(tx.time_s * 1000))
        self._rows: list[Place] = []

    def next(self) -> Place | None:
        """The foremost of its backlog."""
        if not self._rows and self.tenant.visible:
            self._rows = state.backlog(self._tx, self._q, self.name, self.tenant, self._most)[::-1]
        return self._rows[-1] if self._rows else None

    def pull(self, row: Place) -> None:
        """Take ``row``, which is its first in ready or the foremost of its backlog."""
        if self.tenant.first == (row.at_ms, row.stamp):
            state.drop_place(self._tx, self._q, row.at_ms, row.stamp, is_later=False)
            self.tenant.first = None
        else:
            self._rows.pop()
            tenants.pull(self._tx, self._q, self.name, self.tenant, row)

    def turn_noisy(self, row: Place) -> None:
        """``row`` is its foremost."""
        tenant = self.tenant
        tenant.is_noisy = True
        state.put_noisy(self._tx, self._q, self.name)
        if tenant.first is not None:
            self.pull(row)
            state.put_backlog(self._tx, self._q, self.name, tenant, row.at_ms, row.stamp, row.value)


def receive(
    tx: Tx, q: Queue, c: Counts, most: int, hidden_ms: int, dead: Dead | None
) -> list[Delivered]:
    now_ms = int(tx.time_s * 1000)
    assert c.fair is not None
    tenants.reckon(c.fair, c.flying, now_ms)
    if c.flying or c.delayed:
        standard.settle(tx, q, c, _SETTLED_MAX)
    visits: dict[str, _Visit] = {}
    noisy = _still_noisy(tx, q, c, visits, now_ms, most)
    found: list[Delivered] = []
    heap: list[tuple[int, int, Place]] = []  # the front of ready, and what came forward since
    after, is_more = c.head, True
    for _ in range(_LOOKED_MAX):
        if is_more and (not heap or heap[0][:2] > after):
            rows = state.ready_places(tx, q, after, now_ms, most)
            is_more = len(rows) == most
            heap.extend((row.at_ms, row.stamp, row) for row in rows)
            heapify(heap)
            if rows:
                after = rows[-1].at_ms, rows[-1].stamp
        if not heap or len(found) == most:
            break
        row = heappop(heap)[2]
        name = state.tenant_of(row.value)
        if not name:
            one = standard.take(tx, q, c, row, now_ms, hidden_ms, dead)
            if one is not None:
                found.append(one)
            continue
        visit = visits.get(name)
        if visit is None:
            visit = visits[name] = _Visit(tx, q, name, most)
        if visit.tenant.first is not None:
            c.head = row.at_ms, row.stamp
        if tenants.is_noisy(c, visit.tenant, now_ms):
            visit.turn_noisy(row)
            noisy.append(visit)
            continue
        found += _take(tx, q, c, visit, row, now_ms, hidden_ms, dead)
        if (following := visit.next()) is not None:
            value = following.value + name.encode()
            heappush(heap, (following.at_ms, following.stamp, following._replace(value=value)))
    if len(found) < most and noisy:
        found += _of_noisy(tx, q, c, noisy, most - len(found), hidden_ms, dead)
    for name, visit in visits.items():
        tenants.put_in_place(tx, q, c, name, visit.tenant)
        state.put_tenant(tx, q, name, visit.tenant)
    return found


def _still_noisy(
    tx: Tx, q: Queue, c: Counts, visits: dict[str, _Visit], now_ms: int, most: int
) -> list[_Visit]:
    """Those that were noisy and are; the others are among the quiet ones again."""
    still = []
    for name in state.noisy(tx, q, _NOISY_MAX):
        visit = _Visit(tx, q, name, most)
        if tenants.is_noisy(c, visit.tenant, now_ms):
            visits[name] = visit
            still.append(visit)
            continue
        visit.tenant.is_noisy = False
        state.drop_noisy(tx, q, name)
        tenants.put_in_place(tx, q, c, name, visit.tenant)
        state.put_tenant(tx, q, name, visit.tenant)
    return still


def _of_noisy(
    tx: Tx, q: Queue, c: Counts, noisy: list[_Visit], most: int, hidden_ms: int, dead: Dead | None
) -> list[Delivered]:
    now_ms = int(tx.time_s * 1000)
    found: list[Delivered] = []
    heap = [(visit.tenant.flying, n, visit) for n, visit in enumerate(noisy)]
    heapify(heap)
    for _ in range(_LOOKED_MAX):
        if not heap or len(found) == most:
            break
        _, n, visit = heappop(heap)
        row = visit.next()
        if row is not None:
            found += _take(tx, q, c, visit, row, now_ms, hidden_ms, dead)
            heappush(heap, (visit.tenant.flying, n, visit))
    return found


def _take(
    tx: Tx, q: Queue, c: Counts, visit: _Visit, row: Place, now_ms: int, hidden_ms: int, dead: Dead | None
) -> list[Delivered]:  # fmt: skip
    """The message, received; nothing if it had expired or is a dead letter."""
    tenant, name, stamp = visit.tenant, visit.name, row.stamp
    kind, sent_ms = state.read_standard_value(row.value)
    message = state.message(tx, q, sent_ms, stamp)
    assert message is not None, "a place without its message"
    before = state.delivery(tx, q, stamp) if kind != NEW else None
    visit.pull(row)
    c.visible -= 1
    tenant.visible -= 1
    if sent_ms + q.retention_ms <= now_ms or (
        before is not None
        and q.target
        and before.receives >= q.receives_max
        and dead is not None
        and dead(message, before)
    ):
        tenants.drop(tx, q, c, sent_ms, stamp, message.parts)
        return []
    is_durable = state.is_durable(tx, q, sent_ms, stamp)
    first_ms, count = (before.first_ms, before.receives) if before is not None else (now_ms, 0)
    due_ms = now_ms + hidden_ms
    delivery = Delivery(due_ms, first_ms, now_ms, count + 1, message.parts, True, name)
    state.put_delivery(tx, q, stamp, delivery)
    kind = SEEN if count + 1 < OFTEN_MIN else OFTEN
    state.put_later(tx, q, due_ms, stamp, state.tenant_value(kind, sent_ms, name))
    c.flying += 1
    tenant.flying += 1
    return [Delivered(stamp, message, delivery, is_durable)]


# -- looking, and taking nothing


def waiting(tx: Tx, q: Queue, c: Counts, most: int) -> list[Place]:
    """Messages that could be received now, up to ``most``."""
    now_ms = int(tx.time_s * 1000)
    found = []
    for row in state.places(tx, q, c, now_ms, most):
        found.append(row)
        name = state.tenant_of(row.value)
        if name and not row.is_later and len(found) < most:
            found += state.backlog(tx, q, name, tenants.found(tx, q, name), most - len(found))
        if len(found) >= most:
            return found[:most]
    for name in state.noisy(tx, q, most):
        found += state.backlog(tx, q, name, tenants.found(tx, q, name), most - len(found))
        if len(found) >= most:
            break
    return found


class Quiet(NamedTuple):
    """Messages that are of no noisy tenant."""

    noisy_count: int
    visible: int
    flying: int
    delayed: int
    age_s: float


def quiet(tx: Tx, q: Queue, c: Counts) -> Quiet:
    visible, flying, delayed = c.visible, c.flying, c.delayed
    names = state.noisy(tx, q, _NOISY_MAX)
    for name in names:
        tenant = tenants.found(tx, q, name)
        visible -= tenant.visible
        flying -= tenant.flying
        delayed -= tenant.delayed
    oldest_ms = None
    for sent_ms, stamp in state.oldest(tx, q, 1):
        message = state.message(tx, q, sent_ms, stamp)
        if message is not None and message.group not in names:
            oldest_ms = sent_ms
    if oldest_ms is None:
        for row in state.ready_places(tx, q, (0, 0), int(tx.time_s * 1000), 1):
            oldest_ms = state.read_standard_value(row.value)[1]
    age_s = 0.0 if oldest_ms is None else max(0.0, tx.time_s - oldest_ms / 1000)
    return Quiet(len(names), visible, flying, delayed, age_s)
