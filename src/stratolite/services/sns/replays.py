"""Replaying a FIFO topic's archive to one subscription, a page a transaction, then going on with what is new.

``sns.replay``   JSON {account, region, name, number (of the topic), subscription, run, at: [ms, stamp]}

A replay without an end delivers what is published meanwhile, too, in its turn: until it has caught up, nothing
else does. Source  https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-subscriber.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Job, Settle
from stratolite.services.sns import attributes, state
from stratolite.services.sns.fanout import Carrier, caller, send
from stratolite.services.sns.finding import invalid
from stratolite.services.sns.publication import text_for
from stratolite.services.sns.state import Subscription, Topic, keys_of

QUEUE = "sns.replay"
_PAGE = 50
_FIRST = -1


def begin(call: Call, topic: Topic, found: Subscription, policy: str) -> None:
    """Start a replay in place of any other; "{}" only ends one. Raises Fault."""
    times = attributes.replay_times(policy)
    keys = keys_of(topic.account, topic.region)
    kept = {k: v for k, v in found.attributes.items() if k != "ReplayPolicy"}
    record: state.Record = {**found.record, "attributes": kept}
    record.pop("replay", None)
    if times is not None:
        if not topic.archive_days:
            raise invalid("ReplayPolicy: the topic has no ArchivePolicy")
        run = call.world.uuid()
        kept["ReplayPolicy"] = policy
        record["replay"] = {
            "start_ms": times[0],
            "end_ms": times[1],
            "status": "Pending",
            "run": run,
        }
        said = {
            "account": topic.account,
            "region": topic.region,
            "name": topic.name,
            "number": topic.number,
            "subscription": found.id,
            "run": run,
            "at": [times[0], _FIRST],
        }
        call.cloud.work.put(call.tx, QUEUE, orjson.dumps(said))
    state.put_subscription(call.tx, keys, topic.number, record)


class Replayer:
    queue, ordered, concurrency = QUEUE, False, 8

    def __init__(self, carrier: Carrier) -> None:
        self._carrier, self._cloud = carrier, carrier.cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        call = caller(
            self._cloud,
            said["account"],
            said["region"],
            f"arn:aws:sns:{said['region']}:{said['account']}:{said['name']}",
            said["run"],
        )

        def settle(tx: Tx) -> None:
            call.tx = tx
            self._page(call, said)

        return settle

    def _page(self, call: Call, said: dict[str, Any]) -> None:
        tx, keys = call.tx, keys_of(said["account"], said["region"])
        topic = state.topic(tx, keys, said["name"])
        if topic is None or topic.number != said["number"]:
            return
        found = state.subscription(tx, keys, topic.number, said["subscription"])
        if found is None or found.record.get("replay", {}).get("run") != said["run"]:
            return
        replay = found.record["replay"]
        rows = state.archived(tx, keys, topic.number, tuple(said["at"]), replay["end_ms"], _PAGE)
        status = "In progress"
        for _, _, raw in rows:
            message = self._carrier.sealer.opened(call, orjson.loads(raw))
            if message is None:
                continue
            text = text_for(message, found.protocol)
            if found.filter is None or found.filter.matches(text, message["attributes"]):
                try:
                    text, given = self._carrier.body(found, message, {}, is_replayed=True)
                    send(call, found.endpoint, text, given, message)
                except Fault:
                    self._carrier.dead_letter(call, found, message, {})
        if rows:
            payload = orjson.dumps({**said, "at": [rows[-1][0], rows[-1][1]]})
            call.cloud.work.put(tx, QUEUE, payload)
        else:
            status = "Completed"
        if status != replay["status"]:
            changed = {**found.record, "replay": {**replay, "status": status}}
            state.put_subscription(tx, keys, topic.number, changed)
