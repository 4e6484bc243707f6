"""What SQS does in the background, a page a transaction.

``sqs.drop``    JSON {"spans": [[start, stop] in hex]}: what a purge or a deleted queue left behind
``sqs.forget``  JSON {account, region, name, gone_ms}: a deleted queue's name may be used again
``sqs.expire``  JSON {account, region, name, box, due_ms}: messages that have passed the queue's retention; planned
                when a queue has messages, again for the oldest that is left
``sqs.sample``  JSON {account, region, due_ms}: how many messages each queue has, for its metrics; every minute while
                one has any
``sqs.move``    JSON {account, region, name, queue, began_ms}: a message move task, see ``moves``
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.core.dropping import Dropper, leave
from stratolite.core.keys import Span
from stratolite.service import Call, Cloud, Job, Settle, Worker
from stratolite.services.sqs import fair, fifo, standard, state
from stratolite.services.sqs.fair import Quiet
from stratolite.services.sqs.finding import key_of
from stratolite.services.sqs.state import Counts, Queue

_DROP, _FORGET, _EXPIRE, _SAMPLE = "sqs.drop", "sqs.forget", "sqs.expire", "sqs.sample"
_SAMPLE_EVERY_MS = 60_000
_SAMPLED_MAX = 100
_SETTLED_PAGES_MAX = 500
"""Of a queue, in a minute; what is left is counted in the next one."""
_PAGE_ROWS = 1000
_EXPIRED_MAX = 100
_FORGOTTEN_MAX = 500


def drop_spans(call: Call, spans: list[Span]) -> None:
    leave(call.tx, _DROP, spans)


def forget_name(call: Call, q: Queue, due_ms: int) -> None:
    said = {"account": q.account, "region": q.region, "name": q.name}
    call.cloud.work.put(call.tx, _FORGET, orjson.dumps(said), due_s=due_ms / 1000)


def plan_expiry(cloud: Cloud, tx: Tx, q: Queue, c: Counts, *, soon: bool = False) -> None:
    """One job a box, due when its oldest message is."""
    if not c.expiry_ms:
        _plan_sample(cloud, tx, q)
        now_ms = int(tx.time_s * 1000)
        c.expiry_ms = now_ms + (0 if soon else q.retention_ms)
        said = {
            "account": q.account,
            "region": q.region,
            "name": q.name,
            "box": q.box,
            "due_ms": c.expiry_ms,
        }
        cloud.work.put(tx, _EXPIRE, orjson.dumps(said), due_s=c.expiry_ms / 1000)


def _plan_sample(cloud: Cloud, tx: Tx, q: Queue) -> None:
    keys = key_of(q.account, q.region)
    if not state.sampled_ms(tx, keys):
        _put_sample(cloud, tx, {"account": q.account, "region": q.region})


def _put_sample(cloud: Cloud, tx: Tx, said: dict[str, Any]) -> None:
    now_ms = int(tx.time_s * 1000)
    due_ms = now_ms - now_ms % _SAMPLE_EVERY_MS + _SAMPLE_EVERY_MS
    state.put_sampled_ms(tx, key_of(said["account"], said["region"]), due_ms)
    cloud.work.put(tx, _SAMPLE, orjson.dumps({**said, "due_ms": due_ms}), due_s=due_ms / 1000)


def workers(cloud: Cloud) -> Iterable[Worker]:
    return (Dropper(cloud.db, _DROP), _Forget(cloud), _Expire(cloud), _Sample(cloud))


class _Forget:
    queue, ordered, concurrency = _FORGET, False, 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = key_of(said["account"], said["region"])

        def settle(tx: Tx) -> None:
            gone_ms = state.gone_ms(tx, keys, said["name"])
            if gone_ms is not None and gone_ms + 60_000 <= int(tx.time_s * 1000):
                state.forget_gone(tx, keys, said["name"])

        return settle


class _Expire:
    queue, ordered, concurrency = _EXPIRE, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = key_of(said["account"], said["region"])

        def ours(tx: Tx) -> tuple[Queue, Counts] | None:
            """The queue, while this is the job that was planned for its box."""
            q = state.queue(tx, keys, said["name"])
            if q is None or q.box != said["box"]:
                return None
            c = state.counts(tx, q)
            return (q, c) if c.expiry_ms == said["due_ms"] else None

        def page(tx: Tx) -> bool:
            found = ours(tx)
            return found is not None and expire_page(tx, *found)

        while await self._cloud.db.transact(page):
            pass

        def settle(tx: Tx) -> None:
            found = ours(tx)
            if found is None:
                return
            q, c = found
            c.expiry_ms = 0
            for sent_ms, _ in state.oldest(tx, q, 1):
                now_ms = int(tx.time_s * 1000)
                due_ms = max(sent_ms + q.retention_ms, now_ms + 1000)
                c.expiry_ms = due_ms
                payload = orjson.dumps({**said, "due_ms": due_ms})
                self._cloud.work.put(tx, _EXPIRE, payload, due_s=due_ms / 1000)
            state.put_counts(tx, q, c)

        return settle


class _Sample:
    queue, ordered, concurrency = _SAMPLE, False, 2

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        keys = key_of(said["account"], said["region"])
        after, any_left = "", False
        while True:

            def page(tx: Tx, after: str = after) -> list[tuple[Queue, Counts, float, Quiet | None]]:
                found = []
                for q in islice(state.queues(tx, keys, "", after), _SAMPLED_MAX):
                    c = state.counts(tx, q)
                    quiet = fair.quiet(tx, q, c) if c.fair is not None else None
                    found.append((q, c, _age_s(tx, q), quiet))
                return found

            rows = await self._cloud.db.transact(page)
            if late := [q for q, c, *_ in rows if c.flying or c.delayed]:
                for q in late:
                    await self._settle(q)
                rows = await self._cloud.db.transact(page)
            for q, c, age_s, quiet in rows:
                any_left = any_left or c.total > 0
                q.measure(self._cloud, "ApproximateNumberOfMessagesVisible", c.visible)
                q.measure(self._cloud, "ApproximateNumberOfMessagesNotVisible", c.flying)
                q.measure(self._cloud, "ApproximateNumberOfMessagesDelayed", c.delayed)
                q.measure(self._cloud, "ApproximateAgeOfOldestMessage", age_s, "Seconds")
                if q.is_fifo:
                    groups = c.groups_flying
                    q.measure(self._cloud, "ApproximateNumberOfGroupsWithInflightMessages", groups)
                if quiet is not None:
                    _measure_quiet(self._cloud, q, quiet)
            if len(rows) < _SAMPLED_MAX:
                break
            after = rows[-1][0].name

        def again(tx: Tx) -> None:
            if state.sampled_ms(tx, keys) != said["due_ms"]:
                return
            state.put_sampled_ms(tx, keys, 0)
            if any_left:
                _put_sample(self._cloud, tx, said)

        return again

    async def _settle(self, q: Queue) -> None:
        """Count as visible what has become visible since somebody looked."""
        order = fifo if q.is_fifo else standard

        def page(tx: Tx) -> bool:
            now = state.queue(tx, key_of(q.account, q.region), q.name)
            if now is None or now.number != q.number:
                return False
            c = state.counts(tx, now)
            if not order.settle(tx, now, c):
                return False
            state.put_counts(tx, now, c)
            return True

        for _ in range(_SETTLED_PAGES_MAX):
            if not await self._cloud.db.transact(page):
                return


def _measure_quiet(cloud: Cloud, q: Queue, quiet: Quiet) -> None:
    """While messages of groups are there; without, these numbers are those of the whole queue."""
    q.measure(cloud, "ApproximateNumberOfNoisyGroups", quiet.noisy_count)
    q.measure(cloud, "ApproximateNumberOfMessagesVisibleInQuietGroups", quiet.visible)
    q.measure(cloud, "ApproximateNumberOfMessagesNotVisibleInQuietGroups", quiet.flying)
    q.measure(cloud, "ApproximateNumberOfMessagesDelayedInQuietGroups", quiet.delayed)
    q.measure(cloud, "ApproximateAgeOfOldestMessageInQuietGroups", quiet.age_s, "Seconds")


def _age_s(tx: Tx, q: Queue) -> float:
    for sent_ms, _ in state.oldest(tx, q, 1):
        return max(0.0, tx.time_s - sent_ms / 1000)
    return 0.0


def expire_page(tx: Tx, q: Queue, c: Counts) -> bool:
    """Remove up to ``_EXPIRED_MAX`` messages that are too old; whether there may be more."""
    now_ms = int(tx.time_s * 1000)
    order = fifo if q.is_fifo else standard
    old = [
        (sent_ms, stamp)
        for sent_ms, stamp in state.oldest(tx, q, _EXPIRED_MAX)
        if sent_ms + q.retention_ms <= now_ms
    ]
    for sent_ms, stamp in old:
        order.forget(tx, q, c, sent_ms, stamp)
    forgotten = state.forget(tx, q, now_ms, _FORGOTTEN_MAX)
    if old:
        state.put_counts(tx, q, c)
    return len(old) == _EXPIRED_MAX or forgotten == _FORGOTTEN_MAX
