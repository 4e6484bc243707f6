"""Transactions whose effects tell on each other, and the check that all acknowledged is there and nothing is half done."""

from __future__ import annotations

from typing import Any

from stratolite.core.database import Database
from stratolite.core.tx import Tx
from stratolite.errors import Unavailable


class Ledger:
    """Each transaction takes the next number ``n``; writes it under two keys of its own and under shared ones."""

    def __init__(self) -> None:
        self.count = 0
        self.acked: dict[int, int] = {}  # transaction -> its number
        self.seen = 0  # the highest count a finished read has shown
        self.unavailable = 0

    def write(self, db: Database) -> None:
        self.count += 1
        mine = self.count

        def body(tx: Tx) -> int:
            n = int(tx.get(b"n") or 0)
            assert tx.get(b"a/%d" % mine) is None
            tx.put(b"n", b"%d" % (n + 1))
            tx.put(b"a/%d" % mine, b"%d" % n)
            tx.put(b"b/%d" % mine, b"%d %s" % (n, b"." * (mine * 37 % 700)))
            tx.put(b"last", b"%d" % mine)
            if mine % 3:
                tx.put(b"sometimes", b"%d" % mine)
            else:
                tx.delete(b"sometimes")
            return n

        def done(result: Any, error: BaseException | None) -> None:
            if error is None:
                self.acked[mine] = result
                return
            assert isinstance(error, Unavailable), repr(error)
            self.unavailable += 1

        db.submit(body, done)

    def read(self, db: Database) -> None:
        def done(result: Any, error: BaseException | None) -> None:
            if error is None:
                self.seen = max(self.seen, result)
            else:
                assert isinstance(error, Unavailable), repr(error)

        db.submit(lambda tx: int(tx.get(b"n") or 0), done)

    def check(self, state: dict[bytes, bytes]) -> None:
        numbers = {int(k[2:]): int(v) for k, v in state.items() if k.startswith(b"a/")}
        twins = {int(k[2:]): int(v.split()[0]) for k, v in state.items() if k.startswith(b"b/")}
        assert numbers == twins, "half applied"
        n = int(state.get(b"n", b"0"))
        assert sorted(numbers.values()) == list(range(n)), ("numbers", n, sorted(numbers.values()))
        lost = {i: k for i, k in self.acked.items() if numbers.get(i) != k}
        assert not lost, ("acknowledged and not there", lost)
        assert self.seen <= n, ("a read showed more than there is", self.seen, n)
        if n:
            last = max(numbers, key=lambda i: numbers[i])
            assert int(state[b"last"]) == last
            assert state.get(b"sometimes") == (b"%d" % last if last % 3 else None)
        assert set(numbers) <= set(range(1, self.count + 1))
