"""``glue.drop``: JSON {"spans": [[start, stop] in hex]}: what a deleted database or table left behind, a page a transaction."""

from __future__ import annotations

import orjson

from stratolite.core import Span, Tx
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.glue import state

_DROP = "glue.drop"
_PAGE_ROWS = 1000


def drop(call: Call, spans: list[Span]) -> None:
    """At once if it is little, so that a name used again finds nothing; the rest later."""
    left = [span for span in spans if state.delete_page(call.tx, span, _PAGE_ROWS)]
    if left:
        said = {"spans": [[start.hex(), stop.hex()] for start, stop in left]}
        call.cloud.work.put(call.tx, _DROP, orjson.dumps(said))


class Drop:
    queue, ordered, concurrency = _DROP, False, 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        for start, stop in orjson.loads(job.payload)["spans"]:
            span = bytes.fromhex(start), bytes.fromhex(stop)

            def page(tx: Tx, span: Span = span) -> bool:
                return state.delete_page(tx, span, _PAGE_ROWS)

            while await self._cloud.db.transact(page):
                pass
        return None
