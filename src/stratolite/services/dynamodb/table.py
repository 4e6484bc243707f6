"""A table as operations see it: its keys and indexes, read once from the stored record and kept parsed.

The record (JSON, under state's ("table", name)):

    {"Description": {...}     what DescribeTable answers, without what is counted or derived
     "Key": int               the number under which its rows lie; a re-created table gets another
     "Indexes": {name: int}   the numbers of its indexes' rows
     "Tags": {key: value}, "TimeToLive": [attribute, number of its rows], absent where it is off
     "TimeToLiveSet": s       when UpdateTimeToLive last changed it, absent where it never did
     "Stream": [number, label, view type], absent where it has none
     "Counted": true              items and bytes are counted from the first item on (see state's ("count", ...))
     "Past": {"Number": n, "Days": n, "Since": s, "Readers": [ids]}   what was is kept, under a number of its own: for
                                  point-in-time recovery (Days, Since; absent where it is off) and for copies being made
     "HasPolicy": true            there is a resource policy
     "Sse": {...}                 it is under a KMS key, see ``keyring``
     "Own": {"" or global index: ["Read", "MaxRead"]}   a replica's capacities that are not the group's, see ``overrides``
     "Strong": region or ""          its replicas are strongly consistent, with a witness there or none, see ``strong``
     "Kinesis": {stream ARN: {"Feed": number, "Status", "Precision"}}, "Replicas": {region: {"Feed": number, "Status"}}}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from stratolite.core import Keyspace
from stratolite.services.dynamodb import keycode
from stratolite.services.dynamodb.faults import invalid
from stratolite.services.dynamodb.sealing import Seal
from stratolite.services.dynamodb.values import Item, Value, kind_of, size

HASH_SIZE_BYTES_MAX = 2048
RANGE_SIZE_BYTES_MAX = 1024
_SUFFIX_SIZE_BYTES_MAX = 2048

Record = dict[str, Any]


class KeyAttribute(NamedTuple):
    name: str
    kind: str
    """S, N or B."""
    is_hash: bool
    encode: Callable[[str], bytes]


class Feed(NamedTuple):
    """Somebody who is told of every change, see ``feeds``."""

    kind: str
    """kinesis or replica."""
    number: int
    prefix: bytes


class Index:
    """A secondary index: where its rows lie and what they hold."""

    def __init__(
        self,
        description: dict[str, Any],
        prefix: bytes,
        count_key: bytes | None,
        table: Table,
        *,
        is_local: bool,
    ) -> None:
        self.name: str = description["IndexName"]
        self.prefix, self.count_key = prefix, count_key
        self.is_local = is_local
        self.is_active = description.get("IndexStatus", "ACTIVE") == "ACTIVE"
        self.keys = table.key_attributes(description["KeySchema"])
        """Those of the hash key, then those of the range key; a global index may have several of each."""
        self.hashes_count = sum(key.is_hash for key in self.keys)
        names = [k.name for k in table.keys]
        self.cursor = names + [k.name for k in self.keys if k.name not in names]
        """The attributes of an ExclusiveStartKey."""
        projection = description["Projection"]
        self.projects_all = projection["ProjectionType"] == "ALL"
        self.projected = frozenset((*self.cursor, *projection.get("NonKeyAttributes", ())))

    def row(self, table: Table, item: Item) -> bytes | None:
        """The key of ``item``'s row, None if it has none (a sparse index)."""
        parts = []
        for name, kind, _, encode in self.keys:
            value = item.get(name)
            text = value.get(kind) if value is not None else None
            if not text:
                return None
            parts.append(encode(text))
        hashed = parts[0] if self.hashes_count == 1 else b"".join(parts[: self.hashes_count])
        return self.prefix + keycode.bucket(hashed) + b"".join(parts) + table.suffix(item)

    def check_sizes(self, item: Item) -> None:
        """Attributes of one key share its limit. Those that are there are of the right kinds."""
        for is_hash in (True, False):
            values = [item.get(key.name) for key in self.keys if key.is_hash is is_hash]
            _check_length(
                sum(size(value) for value in values if value is not None), is_hash=is_hash
            )

    def part(self, item: Item) -> Item:
        """What of ``item`` is projected into the index."""
        if self.projects_all:
            return item
        projected = self.projected
        return {name: value for name, value in item.items() if name in projected}


class Table:
    """Frozen: it is shared by all calls that find the same stored record."""

    seal: Seal | None = None
    """What opens and seals its values, in a copy made for those who may (``keyring``)."""

    def __init__(self, raw: bytes) -> None:
        record: Record = orjson.loads(raw)
        self.record = record
        self.description: dict[str, Any] = record["Description"]
        self.name: str = self.description["TableName"]
        self.arn: str = self.description["TableArn"]
        self.is_on_demand = (
            self.description.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
        )
        self.limits = _limits(self.description, is_on_demand=self.is_on_demand)
        """(global index or "", Read or Write) -> units a second, where there is a limit."""
        _, _, _, self.region, self.account, _ = self.arn.split(":", 5)
        region, account = self.region, self.account
        self.space = keys = Keyspace(account, region, "dynamodb")
        self.number: int = record["Key"]
        self.prefix = keys.key("item", record["Key"])
        self.kinds = {
            d["AttributeName"]: d["AttributeType"] for d in self.description["AttributeDefinitions"]
        }
        self.keys = self.key_attributes(self.description["KeySchema"])
        self.key_names = frozenset(k.name for k in self.keys)
        self.cursor = [k.name for k in self.keys]
        self.hash = self.keys[0]
        self.range = self.keys[1] if len(self.keys) > 1 else None
        self.indexes = [
            Index(
                described,
                keys.key("index", record["Key"], record["Indexes"][described["IndexName"]]),
                keys.key("count", record["Key"], record["Indexes"][described["IndexName"]])
                if record.get("Counted")
                else None,
                self,
                is_local=member == "LocalSecondaryIndexes",
            )
            for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes")
            for described in self.description.get(member, ())
        ]
        self.index_named = {index.name: index for index in self.indexes}
        self.index_keys = [
            (index, key)
            for index in sorted(self.indexes, key=lambda i: i.is_local)
            for key in index.keys
        ]
        self.wide_indexes = [
            index for index in self.indexes if len(index.keys) > 2 or index.hashes_count > 1
        ]
        """Those with keys of several attributes."""
        ttl = record.get("TimeToLive")
        self.ttl_attribute: str | None = ttl[0] if ttl else None
        self.ttl_number: int = ttl[1] if ttl else 0
        stream = record.get("Stream")
        self.stream_prefix = keys.key("change", stream[0]) if stream else None
        self.stream_label: str = stream[1] if stream else ""
        self.stream_view: str = stream[2] if stream else ""
        self.count_key = keys.key("count", self.number, 0) if record.get("Counted") else None
        self.past: dict[str, Any] = record.get("Past") or {}
        self.past_number: int = self.past.get("Number", 0)
        self.past_prefix = keys.key("past", self.past_number) if self.past else None
        self.is_ready = self.description.get("TableStatus", "ACTIVE") == "ACTIVE"
        """False while it is being restored or imported: then it is described, and nothing else."""
        self.sse: dict[str, Any] | None = record.get("Sse")
        self.is_plain = self.is_ready and self.sse is None
        """Whether its items are there to be read as they are stored."""
        self.has_policy = bool(record.get("HasPolicy"))
        self.replicas: dict[str, Any] = record.get("Replicas") or {}
        self.is_strong = "Strong" in record
        self.feeds = [
            Feed(kind, one["Feed"], keys.key("feed", one["Feed"]))
            for kind, member in (("kinesis", "Kinesis"), ("replica", "Replicas"))
            for one in (record.get(member) or {}).values()
            if one["Status"] == "ACTIVE"
        ]
        self.is_followed = bool(
            self.indexes or ttl or stream or record.get("Past") or self.feeds or self.replicas
        )
        """Whether a write to an item leads to other rows."""

    def key_attributes(self, schema: list[dict[str, str]]) -> list[KeyAttribute]:
        found = []
        for element in schema:
            name = element["AttributeName"]
            kind = self.kinds[name]
            found.append(
                KeyAttribute(name, kind, element["KeyType"] == "HASH", keycode.ENCODERS[kind])
            )
        return found

    def row(self, key: Item) -> bytes:
        """Where the item with this (checked) key lies; ``key`` may be a whole item."""
        name, kind, _, encode = self.hash
        row = self._start(encode(key[name][kind]))
        if self.range is None:
            return row
        name, kind, _, encode = self.range
        return row + encode(key[name][kind])

    def plain_row(self, key: Any) -> bytes | None:
        """``row`` of a key that needs no further check, being of short ASCII strings; None says nothing."""
        if type(key) is not dict or len(key) != len(self.keys):
            return None
        row = b""
        for name, kind, _, encode in self.keys:
            value = key.get(name)
            if kind != "S" or type(value) is not dict or len(value) != 1:
                return None
            text = value.get("S")
            if type(text) is not str or not 0 < len(text) <= _PLAIN_LENGTH_MAX:
                return None
            if not text.isascii():
                return None
            row += encode(text) if row else self._start(encode(text))
        return row

    def item_row(self, item: Item) -> bytes | None:
        """``check_item`` and ``row`` in one walk over (checked) keys; None says nothing."""
        row = b""
        for name, kind, _, encode in self.keys:
            value = item.get(name)
            text = value.get(kind) if value is not None else None
            if not text or kind == "B" or len(text) > _PLAIN_LENGTH_MAX:
                return None
            row += encode(text) if row else self._start(encode(text))
        if self.index_keys:
            self.check_index_keys(item)
        return row

    def _start(self, part: bytes) -> bytes:
        return self.prefix + keycode.bucket(part) + part

    def suffix(self, item: Item) -> bytes:
        """What tells apart the rows of an index that have equal index keys."""
        name, kind, _, encode = self.hash
        part = encode(item[name][kind])
        if self.range is not None:
            name, kind, _, encode = self.range
            part += encode(item[name][kind])
        if len(part) > _SUFFIX_SIZE_BYTES_MAX:
            from hashlib import sha256

            return b"\x03" + sha256(part).digest()
        return part

    def key_of(self, item: Item) -> Item:
        return {name: item[name] for name in self.cursor}

    # -- what DynamoDB asks of keys

    def check_key(self, key: Any) -> None:
        """``key`` (checked as values) must be exactly this table's key."""
        if len(key) != len(self.keys):
            raise invalid(MISMATCH)
        for attribute in self.keys:
            check_key_part(attribute, key.get(attribute.name))

    def check_item(self, item: Item) -> None:
        """``item`` (checked as values) must have the table's key and fit its indexes."""
        for name, kind, is_hash, _ in self.keys:
            value = item.get(name)
            if value is None:
                raise invalid(
                    f"One or more parameter values were invalid: Missing the key {name} in the item"
                )
            text = value.get(kind)
            if text is None:
                raise invalid(
                    "One or more parameter values were invalid: "
                    f"Type mismatch for key {name} expected: {kind} actual: {kind_of(value)}"
                )
            if kind != "N":
                if not text:
                    raise invalid(_EMPTY.format(prefix=_NOT_VALID, kind=_WORDS[kind], name=name))
                if len(text) > RANGE_SIZE_BYTES_MAX // 4:
                    check_size(kind, text, is_hash=is_hash)
        if self.index_keys:
            self.check_index_keys(item)

    def check_index_keys(self, item: Item) -> None:
        for index, (name, kind, is_hash, _) in self.index_keys:
            value = item.get(name)
            if value is None:
                continue
            text = value.get(kind)
            if text is None:
                raise invalid(
                    "One or more parameter values were invalid: "
                    f"Type mismatch for Index Key {name} Expected: {kind} Actual: {kind_of(value)} "
                    f"IndexName: {index.name}"
                )
            if kind != "N":
                if not text:
                    raise invalid(
                        f"{_NOT_VALID}A value specified for a secondary index key is not supported. "
                        f"The AttributeValue for a key attribute cannot contain an empty {_WORDS[kind]} "
                        f"value. IndexName: {index.name}, IndexKey: {name}"
                    )
                check_size(kind, text, is_hash=is_hash)
        for index in self.wide_indexes:
            index.check_sizes(item)

    def check_nested(self, nested: frozenset[str]) -> None:
        """Expressions may not look inside key attributes."""
        for attribute in self.keys:
            if attribute.name in nested:
                raise invalid(_SCALAR + f"Key: {attribute.name}")
        for _, attribute in self.index_keys:
            if attribute.name in nested:
                raise invalid(_SCALAR + f"IndexKey: {attribute.name}")


def _limits(description: dict[str, Any], *, is_on_demand: bool) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], float] = {}
    for thing in (description, *description.get("GlobalSecondaryIndexes", ())):
        name = thing.get("IndexName", "")
        for kind in ("Read", "Write"):
            if is_on_demand:
                most = (thing.get("OnDemandThroughput") or {}).get(f"Max{kind}RequestUnits", -1)
            else:
                most = thing.get("ProvisionedThroughput", {}).get(f"{kind}CapacityUnits", 0)
            if most > 0:
                found[name, kind] = most
    return found


MISMATCH = "The provided key element does not match the schema"
_SCALAR = (
    "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: "
)
_PLAIN_LENGTH_MAX = RANGE_SIZE_BYTES_MAX // 4
_INVALID = "One or more parameter values were invalid: "
_NOT_VALID = "One or more parameter values are not valid. "
_WORDS = {"S": "string", "B": "binary"}
_EMPTY = "{prefix}The AttributeValue for a key attribute cannot contain an empty {kind} value. Key: {name}"


def check_key_part(attribute: KeyAttribute, value: Value | None) -> None:
    text = value.get(attribute.kind) if value is not None else None
    if text is None:
        raise invalid(MISMATCH)
    if attribute.kind != "N":
        if not text:
            raise invalid(
                _EMPTY.format(prefix=_NOT_VALID, kind=_WORDS[attribute.kind], name=attribute.name)
            )
        if len(text) > RANGE_SIZE_BYTES_MAX // 4:
            check_size(attribute.kind, text, is_hash=attribute.is_hash)


def check_size(kind: str, text: str, *, is_hash: bool) -> None:
    length = len(text.encode()) if kind == "S" else len(text) // 4 * 3 - text[-2:].count("=")
    _check_length(length, is_hash=is_hash)


def _check_length(length: int, *, is_hash: bool) -> None:
    if is_hash and length > HASH_SIZE_BYTES_MAX:
        raise invalid(
            f"{_INVALID}Size of hashkey has exceeded the maximum size limit of{HASH_SIZE_BYTES_MAX} bytes"
        )
    if not is_hash and length > RANGE_SIZE_BYTES_MAX:
        raise invalid(
            f"{_INVALID}Aggregated size of all range keys has exceeded the size limit of {RANGE_SIZE_BYTES_MAX} bytes"
        )
