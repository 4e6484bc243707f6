"""The keys of DynamoDB in the store, and nothing but: tables, items, index rows, tokens.

Under (account, region, "dynamodb"):

    ("table", name)                     -> JSON, see ``table``
    ("item", table) bucket key          -> an item, see below
    ("index", table, index) bucket key  -> the projected part of an item, the same form
    ("ttl", table, ttl, expires_s, row) -> ""        ``row`` is the item's key without the table's prefix
    ("ttl-job", table)                  -> JSON [job id, base64; due_s]   the job that waits for the first of them
    ("count", table, index)             -> <items: 8 bytes><bytes of their JSON: 8 bytes>; index 0: the table itself
    ("past", past, row, ms, stamp)      -> the item that lay at ``row`` until then (its JSON, "" if there was none);
                                           in pieces where it is long; only while somebody may want it back
    ("backup" | "export" | "import", id) -> JSON, see ``backups``, ``exports``, ``imports``; an id begins with its time
    ("piece/" id of a backup, i)        -> JSON {"Blob": its id, "Items": how many}
    ("progress", table)                 -> JSON: how far the table has been filled from a backup or an import
    ("policy", table name, label)       -> JSON [policy, revision id]; label: of a stream, "" for the table's own
    ("token", token)                    -> JSON [sha256 of the request, hex; expires_ms]
    ("token-end", expires_ms, token)    -> ""

``table``, ``index`` and ``ttl`` are numbers no other table, index or TTL setting ever had. ``bucket`` and ``key`` are ``keycode``'s; an
index row's key is its index key, then its table key (or b"\\x03" and the SHA-256 of one over 2 KiB).

An item is its JSON with canonical numbers: {"pk": {"S": "a"}, ...}. One whose JSON is longer than a value may be
(400 KB of many tiny attributes grow in JSON) lies in pieces right behind its key:

    key                     -> 0x02 <pieces: 1 byte>
    key 0xFE <i: 1 byte>    -> 0x01 <i-th piece>

In a table under a KMS key each such value (of items, index rows, the past, streams and feeds) is sealed before it is stored, and
put into pieces after: see ``sealing``. Its first byte is then 0x03, not "{". Keys are not sealed: rows are found and sorted by them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace, Span, Tx
from stratolite.core.keys import pack, span_of, unpack
from stratolite.limits import VALUE_SIZE_BYTES_MAX
from stratolite.services.dynamodb import keycode
from stratolite.services.dynamodb.sealing import OVERHEAD_BYTES, SEALED, Seal
from stratolite.services.dynamodb.table import Index, Record, Table
from stratolite.services.dynamodb.values import Item

_PIECE = VALUE_SIZE_BYTES_MAX - 1
_ONE_SIZE_BYTES_MAX = VALUE_SIZE_BYTES_MAX - OVERHEAD_BYTES
"""Of JSON that lies in one piece, sealed or not."""
_JSON = 0x7B  # "{"
PART, _PIECES = 0x01, 0x02
TOKEN_LIFE_MS = 600_000


@lru_cache(maxsize=4096)
def _table_key(account: str, region: str, name: str) -> bytes:
    return Keyspace(account, region, "dynamodb").key("table", name)


# -- tables


def table(tx: Tx, account: str, region: str, name: str) -> Table | None:
    return tx.parsed(_table_key(account, region, name), Table)


def put_table(tx: Tx, account: str, region: str, record: Record) -> None:
    name = record["Description"]["TableName"]
    tx.put(_table_key(account, region, name), orjson.dumps(record))


def delete_table(tx: Tx, account: str, region: str, name: str) -> None:
    tx.delete(_table_key(account, region, name))


def table_names(tx: Tx, keys: Keyspace, after: str | None, limit: int) -> tuple[list[str], bool]:
    """Up to ``limit`` names behind ``after``, and whether there are more."""
    start, stop = keys.span("table")
    if after is not None:
        start = keys.key("table", after) + b"\xff"
    names = [str(keys.parts(key)[1]) for key, _ in tx.scan((start, stop), limit=limit + 1)]
    return names[:limit], len(names) > limit


# -- items and index rows


def get(tx: Tx, row: bytes, seal: Seal | None) -> bytes | None:
    """The JSON of an item, None if there is none. ``seal``: its table's."""
    raw = tx.get(row)
    if raw is None or raw[0] == _JSON:
        return raw
    return whole(tx, row, raw, seal)


def whole(tx: Tx, row: bytes, raw: bytes, seal: Seal | None) -> bytes:
    """The JSON of an item that is in pieces, sealed or both, from its first value."""
    raw = _joined(tx, row, raw)
    if raw[0] == SEALED:
        assert seal is not None, "whoever reads a sealed table has unlocked it"
        return seal.open(row, raw)
    return raw


def _joined(tx: Tx, row: bytes, raw: bytes) -> bytes:
    if raw[0] != _PIECES:
        return raw
    pieces = []
    for i in range(raw[1]):
        piece = tx.get(row + bytes((0xFE, i)))
        assert piece is not None, "pieces are written and deleted together"
        pieces.append(piece[1:])
    return b"".join(pieces)


def recast(tx: Tx, row: bytes, raw: bytes, seal: Seal) -> bool:
    """Store what lies at ``row`` (``raw``, no piece) in the form that ``seal`` wants now; whether it was another."""
    held = _joined(tx, row, raw)
    if (held[0] == SEALED) is seal.seals:
        return False
    plain = held if seal.seals else seal.open(row, held)
    delete(tx, row, plain)
    put(tx, row, plain, None, seal)
    return True


def put(tx: Tx, row: bytes, raw: bytes, old: bytes | None, seal: Seal | None) -> None:
    """Store the item ``raw`` where ``old`` (its JSON, None if there was none) lies."""
    if old is not None and len(old) > _ONE_SIZE_BYTES_MAX:
        delete(tx, row, old)
    if seal is not None and seal.seals:
        raw = seal.close(row, raw)
    if len(raw) <= VALUE_SIZE_BYTES_MAX:
        tx.put(row, raw)
        return
    count = -(-len(raw) // _PIECE)
    tx.put(row, bytes((_PIECES, count)))
    for i in range(count):
        tx.put(row + bytes((0xFE, i)), b"\x01" + raw[i * _PIECE : (i + 1) * _PIECE])


def put_all(tx: Tx, table: Table, found: Iterable[tuple[bytes, bytes]]) -> None:
    """Store items, (row, JSON) each, of a table that nobody follows, and count them at once."""
    items = size_bytes = 0
    seal = table.seal
    for row, raw in found:
        old = get(tx, row, seal)
        put(tx, row, raw, old, seal)
        if old is None:
            items += 1
            size_bytes += len(raw)
        else:
            size_bytes += len(raw) - len(old)
    if table.count_key is not None and (items or size_bytes):
        count(tx, table.count_key, items, size_bytes)


def delete(tx: Tx, row: bytes, old: bytes) -> None:
    tx.delete(row)
    if len(old) > _ONE_SIZE_BYTES_MAX:
        for i in range(-(-(len(old) + OVERHEAD_BYTES) // _PIECE)):
            tx.delete(row + bytes((0xFE, i)))


def rows(
    tx: Tx, span: Span, seal: Seal | None, *, reverse: bool = False, expected: int = 0
) -> Iterator[tuple[bytes, bytes]]:
    """(key, JSON) of the items or index rows in ``span``, lazily."""
    for row, raw in tx.scan(span, reverse=reverse, expected=expected):
        first = raw[0]
        if first == _JSON:
            yield row, raw
        elif first != PART:
            yield row, whole(tx, row, raw, seal)


def row_keys(tx: Tx, span: Span, *, reverse: bool = False) -> Iterator[bytes]:
    """The same without what lies there, for which no key is needed."""
    for row, raw in tx.scan(span, reverse=reverse):
        if raw[0] != PART:
            yield row


def index_item(
    tx: Tx,
    table: Table,
    old: Item | None,
    new: Item | None,
    old_raw: bytes | None,
    new_raw: bytes | None,
) -> None:
    """Bring every index of ``table`` from ``old`` to ``new`` (None: no such item), whose JSON the other two are."""
    for index in table.indexes:
        before = None if old is None else index.row(table, old)
        after = None if new is None else index.row(table, new)
        if before is not None and not index.is_active and tx.get(before) is None:
            before = None  # the filling of a new index has not come to this item
        gone = b"" if before is None else _part(index, old, old_raw)
        raw = b"" if after is None else _part(index, new, new_raw)
        if before == after:
            if gone == raw:
                continue
            assert before is not None, "rows that are both missing are equal and empty"
            put(tx, before, raw, gone, table.seal)
            items = 0
        else:
            if before is not None:
                delete(tx, before, gone)
            if after is not None:
                put(tx, after, raw, None, table.seal)
            items = (after is not None) - (before is not None)
        if index.count_key is not None and (items or len(raw) != len(gone)):
            count(tx, index.count_key, items, len(raw) - len(gone))


def _part(index: Index, item: Item | None, raw: bytes | None) -> bytes:
    """The JSON of what an index holds of an item."""
    assert item is not None, "its row has a key"
    if index.projects_all and raw is not None:
        return raw
    return orjson.dumps(index.part(item))


# -- counts


def count(tx: Tx, key: bytes, items: int, size_bytes: int) -> None:
    """Add to the counts at ``key`` (``Table.count_key``, ``Index.count_key``)."""
    known_items, known_bytes = counts(tx, key)
    total = (max(known_items + items, 0) << 64) + max(known_bytes + size_bytes, 0)
    tx.put(key, total.to_bytes(16, "big"))


def counts(tx: Tx, key: bytes) -> tuple[int, int]:
    """(items, bytes of their JSON)."""
    raw = tx.get(key)
    if raw is None:
        return 0, 0
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")


# -- what was


def put_past(tx: Tx, table: Table, row: bytes, old: bytes | None) -> None:
    """Remember that ``old`` (its JSON, None: no item) lay at ``row`` until now."""
    assert table.past_prefix is not None, "somebody wants it"
    key = table.past_prefix + pack((row[len(table.prefix) :], int(tx.time_s * 1000), tx.stamp()))
    if old is None:
        tx.put(key, b"")
    else:
        put(tx, key, old, None, table.seal)


class Was(NamedTuple):
    """``raw`` (JSON, None: no item) lay at ``row`` until ``until_ms``."""

    row: bytes
    until_ms: int
    raw: bytes | None


def _was(tx: Tx, table: Table, span: Span) -> Was | None:
    """The first of the past in ``span``."""
    assert table.past_prefix is not None, "somebody wants it"
    for key, raw in tx.scan(span):
        if raw and raw[0] == PART:
            continue  # a piece
        row, until_ms, _ = unpack(key[len(table.past_prefix) :])
        assert isinstance(row, bytes), key
        assert isinstance(until_ms, int), key
        old = None if not raw else raw if raw[0] == _JSON else whole(tx, key, raw, table.seal)
        return Was(table.prefix + row, until_ms, old)
    return None


def changed_rows(
    tx: Tx, table: Table, after: bytes, since_ms: int
) -> Iterator[tuple[bytes, Was | None]]:
    """(row, how it was at ``since_ms``) for rows behind ``after`` with a past; None: it has not changed since.

    Two reads a row, however often it changed.
    """
    assert table.past_prefix is not None, "somebody wants it"
    end = span_of(table.past_prefix)[1]
    start = table.past_prefix
    if after:
        start += pack((after[len(table.prefix) :],)) + b"\xff"
    while (first := _was(tx, table, (start, end))) is not None:
        of_row = table.past_prefix + pack((first.row[len(table.prefix) :],))
        stop = of_row + b"\xff"
        if first.until_ms > since_ms:
            yield first.row, first
        else:
            yield first.row, _was(tx, table, (of_row + pack((since_ms + 1,)), stop))
        start = stop


def was_at(tx: Tx, table: Table, row: bytes, at_ms: int) -> Was | None:
    """How ``row`` was at ``at_ms``; None: it has not changed since."""
    assert table.past_prefix is not None, "somebody wants it"
    of_row = table.past_prefix + pack((row[len(table.prefix) :],))
    return _was(tx, table, (of_row + pack((at_ms + 1,)), of_row + b"\xff"))


def old_past(
    tx: Tx, keys: Keyspace, past: int, start: bytes, before_ms: int, limit: int
) -> tuple[list[bytes], bytes]:
    """(keys of what was replaced before ``before_ms``, where to go on), of ``limit`` rows looked at."""
    prefix = keys.key("past", past)
    found: list[bytes] = []
    last, count, is_old = b"", 0, False
    for key, raw in tx.scan((start or prefix, span_of(prefix)[1]), limit=limit):
        if not raw or raw[0] != PART:  # else a piece of the one before
            until_ms = unpack(key[len(prefix) :])[1]
            assert isinstance(until_ms, int), key
            is_old = until_ms < before_ms
        if is_old:
            found.append(key)
        last, count = key, count + 1
    return found, last + b"\x00" if count == limit else b""


# -- backups, exports, imports


def copy(tx: Tx, keys: Keyspace, kind: str, name: str) -> dict[str, Any] | None:
    """The record of a backup, export or import."""
    raw = tx.get(keys.key(kind, name))
    return None if raw is None else orjson.loads(raw)


def put_copy(tx: Tx, keys: Keyspace, kind: str, name: str, record: dict[str, Any]) -> None:
    tx.put(keys.key(kind, name), orjson.dumps(record))


def delete_copy(tx: Tx, keys: Keyspace, kind: str, name: str) -> None:
    tx.delete(keys.key(kind, name))


def copies(tx: Tx, keys: Keyspace, kind: str, after: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, record) behind ``after``, oldest first; lazily."""
    start, stop = keys.span(kind)
    if after:
        start = keys.key(kind, after) + b"\x00"
    for key, raw in tx.scan((start, stop)):
        yield str(keys.parts(key)[1]), orjson.loads(raw)


def progress(tx: Tx, keys: Keyspace, number: int) -> Any:
    """How far the filling of a table came; None at its beginning."""
    raw = tx.get(keys.key("progress", number))
    return None if raw is None else orjson.loads(raw)


def put_progress(tx: Tx, keys: Keyspace, number: int, at: Any) -> None:
    tx.put(keys.key("progress", number), orjson.dumps(at))


def delete_progress(tx: Tx, keys: Keyspace, number: int) -> None:
    tx.delete(keys.key("progress", number))


# -- resource policies


def policy(tx: Tx, account: str, region: str, table: str, label: str) -> tuple[str, str] | None:
    """(policy, revision id) of a table, or with ``label`` of one of its streams."""
    raw = tx.get(Keyspace(account, region, "dynamodb").key("policy", table, label))
    if raw is None:
        return None
    text, revision = orjson.loads(raw)
    return text, revision


def put_policy(
    tx: Tx, account: str, region: str, table: str, label: str, text: str, revision: str
) -> None:
    key = Keyspace(account, region, "dynamodb").key("policy", table, label)
    tx.put(key, orjson.dumps([text, revision]))


def delete_policies(tx: Tx, account: str, region: str, table: str) -> None:
    """A table's own and those of its streams, which go with it."""
    keys = Keyspace(account, region, "dynamodb")
    for key, _ in tx.scan(keys.span("policy", table)):
        tx.delete(key)


def delete_policy(tx: Tx, account: str, region: str, table: str, label: str) -> None:
    tx.delete(Keyspace(account, region, "dynamodb").key("policy", table, label))


def table_spans(keys: Keyspace, number: int) -> list[Span]:
    """All rows of a table and of its indexes."""
    return [
        whole_span(keys.key("item", number)),
        keys.span("index", number),
        keys.span("ttl", number),
        keys.span("ttl-job", number),
        keys.span("count", number),
        keys.span("version", number),
    ]


def index_span(keys: Keyspace, number: int, index: int) -> Span:
    return whole_span(keys.key("index", number, index))


def whole_span(prefix: bytes) -> Span:
    """All rows under a table's or index's prefix; their first byte, of a bucket, may be 0xFF."""
    return prefix, keycode.after(prefix)


# -- time to live


def put_ttl(tx: Tx, table: Table, expires_s: int, row: bytes) -> None:
    tx.put(
        table.space.key("ttl", table.number, table.ttl_number, expires_s, row[len(table.prefix) :]),
        b"",
    )


def delete_ttl(tx: Tx, table: Table, expires_s: int, row: bytes) -> None:
    tx.delete(
        table.space.key("ttl", table.number, table.ttl_number, expires_s, row[len(table.prefix) :])
    )


def due_ttl(
    tx: Tx, table: Table, after_s: int, until_s: int, limit: int
) -> list[tuple[int, bytes]]:
    """(expires_s, row) of items due from ``after_s`` to ``until_s``, earliest first."""
    start = table.space.key("ttl", table.number, table.ttl_number, after_s)
    stop = table.space.key("ttl", table.number, table.ttl_number, until_s + 1)
    found = []
    for key, _ in tx.scan((start, stop), limit=limit):
        _, _, _, expires_s, row = table.space.parts(key)
        assert isinstance(expires_s, int), key
        assert isinstance(row, bytes), key
        found.append((expires_s, table.prefix + row))
    return found


def first_ttl(tx: Tx, table: Table, after_s: int) -> int | None:
    """The earliest expiry from ``after_s`` on."""
    span = (
        table.space.key("ttl", table.number, table.ttl_number, after_s),
        table.space.span("ttl", table.number, table.ttl_number)[1],
    )
    for key, _ in tx.scan(span, limit=1):
        expires_s = table.space.parts(key)[3]
        assert isinstance(expires_s, int), key
        return expires_s
    return None


def ttl_job(tx: Tx, table: Table) -> tuple[bytes, int] | None:
    """(job id, due_s) of the job that waits."""
    raw = tx.get(table.space.key("ttl-job", table.number))
    if raw is None:
        return None
    job, due_s = orjson.loads(raw)
    return base64.b64decode(job), due_s


def put_ttl_job(tx: Tx, table: Table, job: bytes | None, due_s: int) -> None:
    key = table.space.key("ttl-job", table.number)
    if job is None:
        tx.delete(key)
    else:
        tx.put(key, orjson.dumps([base64.b64encode(job).decode(), due_s]))


# -- idempotency tokens of TransactWriteItems


def token(tx: Tx, keys: Keyspace, name: str) -> tuple[str, int] | None:
    """(hash of the request, expires_ms) of a token still known."""
    raw = tx.get(keys.key("token", name))
    if raw is None:
        return None
    digest, expires_ms = orjson.loads(raw)
    return (digest, expires_ms) if expires_ms > tx.time_s * 1000 else None


def put_token(tx: Tx, keys: Keyspace, name: str, digest: str) -> None:
    """Remember ``name`` for ten minutes and forget a few that are past theirs."""
    now_ms = int(tx.time_s * 1000)
    start, _ = keys.span("token-end")
    for key, _ in list(tx.scan((start, keys.key("token-end", now_ms)), limit=4)):
        ended = keys.parts(key)[2]
        tx.delete(key)
        known = tx.get(keys.key("token", ended))
        if known is not None and orjson.loads(known)[1] <= now_ms:
            tx.delete(keys.key("token", ended))
    expires_ms = now_ms + TOKEN_LIFE_MS
    tx.put(keys.key("token", name), orjson.dumps([digest, expires_ms]))
    tx.put(keys.key("token-end", expires_ms, name), b"")
