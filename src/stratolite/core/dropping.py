"""What deleted things leave behind, deleted later: a queue of spans of keys, a page a transaction.

    leave(tx, "sqs.drop", spans)     in the transaction that makes them superfluous
    Dropper(db, "sqs.drop")          that queue's worker

A job is JSON {"spans": [[start, stop] in hex]}.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from stratolite.core.database import Database
from stratolite.core.keys import Span
from stratolite.core.tx import Tx
from stratolite.core.work import Job, Settle, put

PAGE_ROWS = 1000


def leave(tx: Tx, queue: str, spans: Iterable[Span]) -> None:
    said = {"spans": [[start.hex(), stop.hex()] for start, stop in spans]}
    put(tx, queue, orjson.dumps(said))


def delete_page(tx: Tx, span: Span, most: int = PAGE_ROWS) -> bool:
    """Delete up to ``most`` rows of ``span``; whether some may be left."""
    gone = [key for key, _ in tx.scan(span, limit=most)]
    for key in gone:
        tx.delete(key)
    return len(gone) == most


class Dropper:
    ordered, concurrency = False, 2

    def __init__(self, db: Database, queue: str) -> None:
        self._db, self.queue = db, queue

    async def handle(self, job: Job) -> Settle | None:
        for start, stop in orjson.loads(job.payload)["spans"]:
            span = bytes.fromhex(start), bytes.fromhex(stop)

            def page(tx: Tx, span: Span = span) -> bool:
                return delete_page(tx, span)

            while await self._db.transact(page):
                pass
        return None
