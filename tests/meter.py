"""Counts what is read of one service's keys."""

from __future__ import annotations

from typing import Any


class Meter:
    """Keys of a service looked up and rows read below all transactions; not those of the workers."""

    def __init__(self, db: Any, service: str) -> None:
        self.read, self._part = 0, b"\x02%s\x00" % service.encode()
        self._get, self._scan = db.get_committed, db.scan_committed
        db.get_committed, db.scan_committed = self._one, self._rows

    def _one(self, tx: Any, key: bytes) -> Any:
        self.read += self._part in key
        return self._get(tx, key)

    def _rows(self, tx: Any, start: bytes, stop: bytes, **how: Any) -> Any:
        for key, value in self._scan(tx, start, stop, **how):
            self.read += self._part in key
            yield key, value

    def taken(self) -> int:
        taken, self.read = self.read, 0
        return taken
