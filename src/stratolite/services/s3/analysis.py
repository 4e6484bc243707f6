"""Storage class analysis: what is stored and read of a bucket's objects by their age, exported once a day as CSV.

Reads and uploads are counted in memory and added to rows every few seconds (``s3:storage-class-analysis`` in
``limits.RELAXED``). A job of queue ``s3.analytics``, JSON Walk below, goes through the bucket a slice at a time at
midnight of the cloud clock, makes the day's record of what it saw and what was counted since the last one, and puts the whole
history as one file into the destination, as s3.amazonaws.com for the source bucket: the destination's policy decides.

    (account, region, "s3", "g", id, config, "c", class, age) -> JSON Counts      not in a record yet
    (account, region, "s3", "g", id, config, "h", day)        -> msgpack Record   a day of the history

Ages are those of ``AGES``, "" for objects smaller than 128 KiB, which only the rows of ALL have in them.

AWS does not publish how it finds the age for a transition to STANDARD_IA. Here it is the youngest age from which on fewer
bytes were read in the last 30 days than were stored: STANDARD_IA is cheaper below about one retrieval a month. There is
none before 30 days were observed; it is recommended once it was the same for 7 days.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/analytics-storage-class.html
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any

import msgspec

from stratolite.core import Tx, work
from stratolite.core.dropping import delete_page, leave
from stratolite.errors import Fault, Unavailable
from stratolite.limits import METRICS_EVERY_S, METRICS_HELD_MAX
from stratolite.service import Call, Cloud, Job, Settle
from stratolite.services.s3 import counting, state
from stratolite.services.s3.listing import Row, version_rows
from stratolite.services.s3.state import Bucket, Head

_log = logging.getLogger("stratolite.s3")
QUEUE = "s3.analytics"
DROP = "s3.metadata-drop"
PAGE_COUNT = 500
PAGES_COUNT = 40
"""Of one job."""
HISTORY_DAYS_MAX = 1100
"""Days of the file; older ones go."""
OBSERVED_DAYS = 30
STABLE_DAYS = 7
SMALL_BYTES = 128 << 10
_DAY_S = 86_400
_MB = 1 << 20
_FIRST_DAYS = (0, 15, 30, 45, 60, 75, 90, 120, 150, 180, 365, 730)
AGES = (
    *(f"{first:03d}-{after - 1:03d}" for first, after in pairwise(_FIRST_DAYS)),
    f"{_FIRST_DAYS[-1]}+",
)
SMALL = ""
ALL = "ALL"
_IA_DAYS_MIN = 30
"""Lifecycle moves nothing to STANDARD_IA before."""
HEADER = (
    "Date",
    "ConfigId",
    "Filter",
    "StorageClass",
    "ObjectAge",
    "ObjectCount",
    "DataUploaded_MB",
    "Storage_MB",
    "DataRetrieved_MB",
    "GetRequestCount",
    "CumulativeAccessRatio",
    "ObjectAgeForSIATransition",
    "RecommendedObjectAgeForSIATransition",
)
_UPLOADS = frozenset({"PutObject", "CopyObject"})


class Counts(msgspec.Struct):
    """Of the objects of one storage class and age."""

    objects: int = 0
    stored: int = 0
    uploaded: int = 0
    retrieved: int = 0
    gets: int = 0

    def add(self, other: Counts) -> None:
        self.objects += other.objects
        self.stored += other.stored
        self.uploaded += other.uploaded
        self.retrieved += other.retrieved
        self.gets += other.gets


Kept = dict[str, dict[str, Counts]]
"""Storage class -> age -> counts."""


class Record(msgspec.Struct):
    """What the file says of a day."""

    counts: Kept
    ratios: dict[str, dict[str, float]] = {}
    """Storage class -> age, or ALL -> bytes read for each byte stored, of these ages and older ones."""
    transition: int | None = None
    """The observed age for STANDARD_IA."""


class Walk(msgspec.Struct):
    """Where the making of a day's record stands."""

    account: str
    region: str
    bucket: str
    id: int
    config: str
    at: str = ""
    """Base64 of the bound to go on from."""
    seen: Kept = {}


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def age_of(head: Head, now_s: float) -> str:
    if head.size_bytes < SMALL_BYTES:
        return SMALL
    days = (now_s - head.modified_ms / 1000) // _DAY_S
    return AGES[max(sum(days >= first for first in _FIRST_DAYS), 1) - 1]


# -- counting


class Tally:
    """Reads and uploads that are not in the store yet."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._held: dict[tuple[str, str, str, int, str, str, str], Counts] = {}
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        if cloud.metrics is not None:
            cloud.metrics.beside(self.flush)

    @staticmethod
    def counts(operation: str) -> bool:
        return operation == "GetObject" or operation in _UPLOADS

    def add(
        self, call: Call, bucket: Bucket, configs: list[str], operation: str, head: Head, size: int
    ) -> None:
        age = age_of(head, self._cloud.world.cloud())
        counts = Counts(gets=1, retrieved=size)
        if operation in _UPLOADS:
            counts = Counts(uploaded=head.size_bytes)
        for config in configs:
            place = (bucket.name, bucket.account, bucket.region, bucket.id)
            key = (*place, config, head.storage_class, age)
            held = self._held.get(key)
            if held is not None:
                held.add(counts)
            elif len(self._held) < METRICS_HELD_MAX:
                self._held[key] = msgspec.structs.replace(counts)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._soon(), name="analysis")

    async def _soon(self) -> None:
        await self._cloud.world.sleep(METRICS_EVERY_S)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """What was counted up to now is in the store when this returns."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        async with self._writing:
            held, self._held = self._held, {}
            if not held:
                return
            try:
                await self._cloud.db.transact(lambda tx: _keep(tx, held))
            except Unavailable:
                for key, counts in held.items():
                    counts.add(self._held.get(key) or Counts())
                    self._held[key] = counts
                _log.warning("what was counted for analyses is not written yet", exc_info=True)


def _keep(tx: Tx, held: dict[tuple[str, str, str, int, str, str, str], Counts]) -> None:
    for (name, _, _, number, config, storage_class, age), counts in held.items():
        bucket = state.bucket(tx, name)
        if bucket is None or bucket.id != number or _said(tx, bucket, config) is None:
            continue
        key = bucket.analysis.key(config, "c", storage_class, age)
        raw = tx.get(key)
        both = msgspec.json.decode(raw, type=Counts) if raw else Counts()
        both.add(counts)
        tx.put(key, msgspec.json.encode(both))


# -- the configuration


def _said(tx: Tx, bucket: Bucket, config: str) -> dict[str, Any] | None:
    """The configuration, if it is there and exports."""
    said: dict[str, Any] | None = state.config(tx, bucket, f"analytics:{config}")
    return said if said is not None and _destination(said) else None


def _destination(said: dict[str, Any]) -> dict[str, Any]:
    export = said["StorageClassAnalysis"].get("DataExport") or {}
    found: dict[str, Any] = (export.get("Destination") or {}).get("S3BucketDestination") or {}
    return found


def start(tx: Tx, bucket: Bucket, said: dict[str, Any]) -> None:
    """The first report comes at the first midnight that is a day away; one that is changed keeps its history and its time."""
    counting.keep(tx, bucket, "analytics", said["Id"], said)
    if not _destination(said):
        stop(tx, bucket, said["Id"])
    elif state.config(tx, bucket, f"analytics-job:{said['Id']}") is None:
        due_s = -(-(tx.time_s + _DAY_S) // _DAY_S) * _DAY_S
        _put(tx, bucket, Walk(bucket.account, bucket.region, bucket.name, bucket.id, said["Id"]), due_s)  # fmt: skip


def stop(tx: Tx, bucket: Bucket, config: str) -> None:
    """The configuration is gone, or exports no more; what was counted for it goes, too."""
    kind = f"analytics-job:{config}"
    waiting = state.config(tx, bucket, kind)
    if waiting:
        work.cancel(tx, b64decode(waiting))
        state.delete_config(tx, bucket, kind)
        _drop(tx, bucket.analysis.span(config))


def forget(tx: Tx, bucket: Bucket) -> None:
    """The bucket is about to go."""
    if "counted" in bucket.on:
        _drop(tx, bucket.analysis.span())


def _drop(tx: Tx, span: tuple[bytes, bytes]) -> None:
    if delete_page(tx, span):
        leave(tx, DROP, [span])


def _put(tx: Tx, bucket: Bucket, walk: Walk, due_s: float) -> None:
    job = work.put(tx, QUEUE, msgspec.json.encode(walk), due_s=due_s)
    state.put_config(tx, bucket, f"analytics-job:{walk.config}", b64encode(job).decode())


# -- the report


class Analyst:
    queue = QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud, tally: Tally) -> None:
        self._cloud, self._tally = cloud, tally

    async def handle(self, job: Job) -> Settle | None:
        walk = msgspec.json.decode(job.payload, type=Walk)
        arn = f"arn:aws:s3:::{walk.bucket}"
        call = self._cloud.call(walk.account, walk.region, job.id.hex()).as_service("s3.amazonaws.com", arn)  # fmt: skip

        def look(inner: Call) -> tuple[Bucket, dict[str, Any]] | None:
            bucket = state.bucket(inner.tx, walk.bucket)
            if bucket is None or bucket.id != walk.id:
                return None
            said = _said(inner.tx, bucket, walk.config)
            return None if said is None else (bucket, said)

        found = await call.transact(look)
        if found is None:
            return None
        bucket, said = found
        rule = counting.rule_of(walk.config, said.get("Filter") or {})
        for _ in range(PAGES_COUNT):
            page = await call.transact(lambda inner: _page(inner.tx, bucket, rule, walk.at))
            _count(walk, rule, page, self._cloud.world.cloud())
            if len(page) < PAGE_COUNT:
                break
        else:
            return lambda tx: _put(tx, bucket, walk, tx.time_s)
        await self._tally.flush()
        day = int(self._cloud.world.cloud() // _DAY_S)
        history, counted = await call.transact(lambda c: _recorded(c.tx, bucket, walk, day))
        try:
            await _deliver(call, said, walk, history)
        except Fault as fault:
            _log.warning("the analysis %s of %s is not delivered: %r", walk.config, arn, fault)
        record = history[-1][1]

        def settle(tx: Tx) -> None:
            if _said(tx, bucket, walk.config) is None:
                return
            tx.put(bucket.analysis.key(walk.config, "h", day), _encode(record))
            for key, raw in counted:
                _take(tx, key, raw)
            days = bucket.analysis[walk.config]["h"]
            for key, _ in list(tx.scan((days.span()[0], days.key(day - HISTORY_DAYS_MAX + 1)))):
                tx.delete(key)
            fresh = Walk(walk.account, walk.region, walk.bucket, walk.id, walk.config)
            _put(tx, bucket, fresh, (tx.time_s // _DAY_S + 1) * _DAY_S)

        return settle


def _take(tx: Tx, key: bytes, raw: bytes) -> None:
    """What went into the record is counted no more; what came since stays."""
    now = tx.get(key)
    if now == raw:
        tx.delete(key)
    elif now is not None:
        left, taken = (msgspec.json.decode(one, type=Counts) for one in (now, raw))
        left.uploaded -= taken.uploaded
        left.retrieved -= taken.retrieved
        left.gets -= taken.gets
        tx.put(key, msgspec.json.encode(left))


def _page(tx: Tx, bucket: Bucket, rule: counting.Rule, at: str) -> list[Row]:
    prefix = rule.prefix.encode()
    low = max(b64decode(at), state.at_prefix(prefix))
    return list(islice(version_rows(tx, bucket, low, state.past_prefix(prefix)), PAGE_COUNT))


def _count(walk: Walk, rule: counting.Rule, page: list[Row], now_s: float) -> None:
    """A page of versions into ``walk``."""
    for row in page:
        assert row.value is not None
        head = state.decode_head(row.value)
        if head.place != state.MARKER and rule.meets(row.key.decode(), head.tags, ""):
            one = Counts(objects=1, stored=head.size_bytes)
            _counts(walk.seen, head.storage_class, age_of(head, now_s)).add(one)
    if page:
        walk.at = b64encode(page[-1].row + b"\0").decode()


def _counts(kept: Kept, storage_class: str, age: str) -> Counts:
    return kept.setdefault(storage_class, {}).setdefault(age, Counts())


History = list[tuple[int, Record]]
"""(day, its record), oldest first."""


def _recorded(
    tx: Tx, bucket: Bucket, walk: Walk, day: int
) -> tuple[History, list[tuple[bytes, bytes]]]:
    """The history with today's record, and the rows that went into it."""
    rows = bucket.analysis[walk.config]
    counts: Kept = {name: dict(ages) for name, ages in walk.seen.items()}
    counted = list(tx.scan(rows["c"].span()))
    for key, raw in counted:
        storage_class, age = rows["c"].parts(key)
        assert isinstance(storage_class, str)
        assert isinstance(age, str)
        known = counts.get(storage_class, {}).get(age)
        both = msgspec.json.decode(raw, type=Counts)
        if known is not None:
            both.add(known)
        counts.setdefault(storage_class, {})[age] = both
    days = rows["h"]
    bounds = days.key(day - HISTORY_DAYS_MAX + 1), days.key(day)
    history: History = []
    for key, raw in tx.scan(bounds):
        (when,) = days.parts(key)
        assert isinstance(when, int)
        history.append((when, _decode(raw)))
    record = Record(counts)
    history.append((day, record))
    records = [one for _, one in history]
    for name in counts:
        every = {age: _ratio(records, name, AGES[at:]) for at, age in enumerate(AGES)}
        every[ALL] = _ratio(records, name, (*AGES, SMALL))
        record.ratios[name] = {age: ratio for age, ratio in every.items() if ratio is not None}
    if len(records) >= OBSERVED_DAYS:
        record.transition = _transition(record.ratios.get("STANDARD", {}))
    return history, counted


def _transition(ratios: dict[str, float]) -> int | None:
    """The age in days from which on objects are read too seldom for STANDARD; None if there is none."""
    found = None
    for first, age in reversed(list(zip(_FIRST_DAYS, AGES, strict=True))):
        ratio = ratios.get(age)
        if ratio is None:
            continue
        if ratio >= 1 or first < _IA_DAYS_MIN:
            break
        found = first
    return found


def _ratio(records: list[Record], storage_class: str, ages: tuple[str, ...]) -> float | None:
    """Bytes read in the last days for each byte stored in them, of these ages together; None where nothing was stored."""
    last = records[-OBSERVED_DAYS:]
    every = [r.counts.get(storage_class, {}).get(age) for r in last for age in ages]
    stored = sum(one.stored for one in every if one is not None) / len(last)
    if not stored:
        return None
    return sum(one.retrieved for one in every if one is not None) / stored


# -- the file


def written(history: History, said: dict[str, Any]) -> bytes:
    """Sorted by date within object age group, ALL at the end."""
    rule = counting.rule_of(said["Id"], said.get("Filter") or {})
    parts = [f"prefix={rule.prefix}"] if rule.prefix else []
    named = ";".join(parts + [f"tag:{key}={value}" for key, value in rule.tags.items()])
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(HEADER)
    records = [record for _, record in history]
    classes = sorted({name for record in records for name in record.counts} | {"STANDARD"})
    for age in (*AGES, ALL):
        for number, (day, record) in enumerate(history, 1):
            date = datetime.fromtimestamp(day * _DAY_S, UTC).strftime("%m-%d-%Y")
            for name in classes:
                held = record.counts.get(name, {})
                counts = held.get(age)
                if age == ALL:
                    counts = Counts()
                    for one in held.values():
                        counts.add(one)
                elif counts is None:
                    continue
                ratio = record.ratios.get(name, {}).get(age)
                told: tuple[Any, Any] = ("", "")
                if age == ALL and name == "STANDARD":
                    told = _told(record.transition), _told(_recommended(records[:number]))
                out.writerow(
                    (
                        date,
                        said["Id"],
                        named,
                        name,
                        age,
                        counts.objects,
                        _mb(counts.uploaded),
                        _mb(counts.stored),
                        _mb(counts.retrieved),
                        counts.gets,
                        "" if ratio is None else _short(ratio),
                        *told,
                    )
                )
    return text.getvalue().encode()


def _recommended(records: list[Record]) -> int | None:
    last = {record.transition for record in records[-STABLE_DAYS:]}
    return records[-1].transition if len(last) == 1 and len(records) >= STABLE_DAYS else None


def _told(days: int | None) -> Any:
    return "" if days is None else days


def _mb(size_bytes: int) -> str:
    return _short(size_bytes / _MB)


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


async def _deliver(call: Call, said: dict[str, Any], walk: Walk, history: History) -> None:
    there = _destination(said)
    start_of = f"{there['Prefix'].rstrip('/')}/" if there.get("Prefix") else ""
    put: dict[str, Any] = {
        "Bucket": there["Bucket"].removeprefix("arn:aws:s3:::"),
        "Key": f"{start_of}{walk.bucket}/{walk.config}.csv",
        "Body": await asyncio.to_thread(written, history, said),
        "ContentType": "text/csv",
        "ACL": "bucket-owner-full-control",
    }
    if there.get("BucketAccountId"):
        put["ExpectedBucketOwner"] = there["BucketAccountId"]
    await call.request("s3", "PutObject", put)
