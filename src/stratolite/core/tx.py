"""One transaction: reads see its own writes over everything committed before it.

Transactions run one after another on the event loop, so a transaction sees the latest ordered state
and nothing changes under it. Its body takes ``tx`` first, touches nothing else and is quick (under
10 ms): it runs again after a lost race for a log position, or when what it waited for happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from stratolite.core.keys import Span
from stratolite.core.log import Writes
from stratolite.core.overlay import Layer, between, overlaid
from stratolite.errors import Fault
from stratolite.limits import KEY_SIZE_BYTES_MAX, VALUE_SIZE_BYTES_MAX

if TYPE_CHECKING:
    from stratolite.core.database import Database

T = TypeVar("T")
_MISS = object()
_FEW = 32  # writes are looked through; more are sorted once and kept so


class Wait(BaseException):
    """Raised by ``Tx.wait``: drop what was written; run again on a change in ``spans`` or at ``until_s``."""

    def __init__(self, spans: Sequence[Span], until_s: float) -> None:
        self.spans = spans
        self.until_s = until_s


class Tx:
    __slots__ = ("_below", "_db", "_layers", "need", "relaxed", "time_s", "writes")

    def __init__(self, db: Database, time_s: float) -> None:
        self._db = db
        # writes of the calls around this savepoint, outermost first
        self._below: tuple[Writes, ...] = ()
        self._layers: dict[int, Layer] | None = None  # of write sets that are large and scanned
        self.writes: Writes = {}
        self.need = 0
        """The newest batch this transaction read from or writes to; its answer waits for that one."""
        self.time_s = time_s
        """The cloud clock at the start of the transaction, never earlier than an earlier transaction's."""
        self.relaxed = False
        """Set only for what ``limits.RELAXED`` lists: answer before the sync."""

    @property
    def vault(self) -> Any:
        """The cloud's vault: the same for every transaction, so asking it is no reading."""
        return self._db.vault

    # -- reading

    def get(self, key: bytes) -> bytes | None:
        if self.writes and (value := self.writes.get(key, _MISS)) is not _MISS:
            return value  # type: ignore[return-value]
        if self._below:
            for writes in reversed(self._below):
                if (value := writes.get(key, _MISS)) is not _MISS:
                    return value  # type: ignore[return-value]
        return self._db.get_committed(self, key)

    def is_durable(self, key: bytes) -> bool:
        """Whether what ``get`` gives for ``key`` is on disk already: a relaxed answer may show nothing else."""
        own = key in self.writes or any(key in writes for writes in self._below)
        return not own and self._db.is_durable(key)

    def parsed(self, key: bytes, parse: Callable[[bytes], T]) -> T | None:
        """``parse(value)``, None where there is none, kept until the key is written. Treat it as frozen."""
        if not self.writes and not self._below:
            known = self._db.parsed.get(key)
            if known is not None and known[0] is parse:
                if known[1] > self.need:  # noqa: PLR1730 - max() costs more, on every call
                    self.need = known[1]
                return known[2]  # type: ignore[no-any-return]
        return self._parsed(key, parse)

    def _parsed(self, key: bytes, parse: Callable[[bytes], T]) -> T | None:
        for writes in (self.writes, *reversed(self._below)):
            if key in writes:  # which may never be committed
                own = writes[key]
                return None if own is None else parse(own)
        known = self._db.parsed.get(key)
        if known is None or known[0] is not parse:
            need, self.need = self.need, 0
            raw = self._db.get_committed(self, key)
            number, self.need = self.need, max(self.need, need)
            made = None if raw is None else parse(raw)
            known = self._db.remember_parsed(key, number, parse, made)
        self.need = max(self.need, known[1])
        return known[2]  # type: ignore[no-any-return]

    def scan(
        self, span: Span, *, reverse: bool = False, limit: int | None = None, expected: int = 0
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows of ``span`` in key order, lazily: stop iterating when you have enough.

        ``expected``: how many the caller will probably take, if it knows but will not be held to it.
        Writing inside the span while iterating is undefined; collect first.
        """
        start, stop = span
        rows = self._db.scan_committed(
            self, start, stop, reverse=reverse, expected=limit or expected
        )
        for writes in (*self._below, self.writes):
            if writes and (keys := self._own_keys(writes, start, stop)):
                fresh = reversed(keys) if reverse else iter(keys)
                rows = overlaid(self, 0, rows, fresh, writes, reverse=reverse)
        return rows if limit is None else islice(rows, limit)

    def _own_keys(self, writes: Writes, start: bytes, stop: bytes) -> list[bytes]:
        """A copy: the caller may write elsewhere while it iterates."""
        if len(writes) <= _FEW:
            return sorted([key for key in writes if start <= key < stop])
        if self._layers is None:
            self._layers = {}
        layer = self._layers.get(id(writes))
        if layer is None or layer.writes is not writes:
            layer = self._layers[id(writes)] = Layer(writes)
        keys = layer.keys()
        at = between(keys, start, stop)
        return keys[at.start : at.stop]

    # -- writing

    def put(self, key: bytes, value: bytes) -> None:
        """Raises Fault for a key or value over the limits; a transaction's sum is looked at when it ends."""
        if len(value) > VALUE_SIZE_BYTES_MAX or not 0 < len(key) <= KEY_SIZE_BYTES_MAX:
            raise _too_large(key, value)
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        self.writes[key] = None

    def stamp(self) -> int:
        """A number larger than any given out by an earlier transaction (position << 24 | sequence).

        Use it in keys that must sort in commit order, written by this transaction: one that writes
        nothing is not remembered, and its stamps may be given out again after a crash. Below 2**63.
        """
        return self._db.next_stamp()

    # -- nested calls

    @property
    def is_nested(self) -> bool:
        """Whether this is a call inside another's transaction: it may not decide that all of it is ``relaxed``."""
        return bool(self._below)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote if it raises; otherwise its writes join this transaction."""
        outer, below = self.writes, self._below
        self._below = (*below, outer)
        self.writes = {}
        try:
            yield
        except BaseException:
            self._below = below
            self.writes = outer
            raise
        self._below = below
        outer.update(self.writes)
        self.writes = outer

    # -- waiting

    def wait(self, spans: Sequence[Span], until_s: float) -> None:
        """End this run; run the transaction again when a key in ``spans`` changes, or at ``until_s``.

        ``until_s`` is on the cloud clock; the body must check ``tx.time_s`` against its own deadline,
        or it would wait for ever. Does not return.
        """
        raise Wait(spans, until_s)


def _too_large(key: bytes, value: bytes) -> Fault:
    return Fault(
        "RequestEntityTooLarge",
        f"key_size_bytes={len(key)} (1 to {KEY_SIZE_BYTES_MAX}),"
        f" value_size_bytes={len(value)} (at most {VALUE_SIZE_BYTES_MAX})",
        status=413,
    )
