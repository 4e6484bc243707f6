"""Makes the tables of S3 Metadata and moves into them what the buckets' journals hold.

Jobs of queue ``s3.metadata``, JSON {bucket: [name, account, region, id], number, kind, at}, one after another for a bucket;
``number`` is the configuration's, and a job of one that is gone does nothing. Rows go into a table exactly once: the
transaction that names the table's new metadata is the one that deletes the rows, and until it is done the files written
before are nobody's. All is done as metadata.s3.amazonaws.com: policies and keys that shut it out make the table FAILED.

    create     the tables, then ACTIVE and, for the inventory, BACKFILLING
    journal    ``JOURNAL_LATE_S`` after a change: the rows that wait
    backfill   ``BACKFILL_LATE_S`` after its creation: every version there is, a page a job; then ACTIVE
    inventory  ``INVENTORY_LATE_S`` after a change: all versions of the keys that changed, in place of those in the table
    annotation-backfill  the same for the annotation table: every annotation there is
    annotation  ``INVENTORY_LATE_S`` after a change: all annotations of the keys where they changed, in place of those in the table
    expire     every day: journal records older than the configuration says
"""

from __future__ import annotations

import logging
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, NamedTuple

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Response, Settle
from stratolite.services.s3 import annotation_table, journal, state
from stratolite.services.s3.journal import INVENTORY_LATE_S, PRINCIPAL, QUEUE, put_job
from stratolite.services.s3.listing import Row, version_rows
from stratolite.services.s3.metadata_tables import TABLES, expect_expiry
from stratolite.services.s3.state import Bucket

_log = logging.getLogger("stratolite.s3")
BACKFILL_LATE_S = 900.0
ROWS_COUNT_MAX = 5000
"""Of one commit."""
KEYS_COUNT_MAX = 500
_DAY_S = 86_400.0
_FOR_EVER = frozenset({"AccessDenied", "AccessDeniedException", "NotFoundException", "NoSuchBucket", "ForbiddenException"})  # fmt: skip


class _Task(NamedTuple):
    call: Call
    bucket: Bucket
    config: dict[str, Any]
    number: int
    kind: str
    at: str

    def table(self, name: str) -> dict[str, Any] | None:
        """One of ``TABLES``, while it can be written."""
        table = self.config.get(name)
        usable = table is not None and table["status"] in ("ACTIVE", "BACKFILLING")
        return table if usable else None


class Recorder:
    queue = QUEUE
    ordered = True
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        name, account, region, _ = said["bucket"]
        acting = self._cloud.call(account, region, job.id.hex()).as_service(
            PRINCIPAL, f"arn:aws:s3:::{name}"
        )
        if said["kind"] == "create":
            return lambda tx: _settled(acting, tx, said, _create)
        task = await acting.transact(lambda inner: _task(inner, said))
        if task is None:
            return None
        task = task._replace(call=acting)
        table, do = _KINDS[said["kind"]]
        try:
            settle = await do(task)
        except Fault as fault:
            if fault.code not in _FOR_EVER:
                raise
            failed = fault
            return lambda tx: _settled(acting, tx, said, lambda t: _fail(t, table, failed))

        def commit(tx: Tx) -> None:
            try:
                with tx.savepoint():
                    _settled(acting, tx, said, settle)
            except Fault as fault:
                if fault.code not in _FOR_EVER:
                    raise
                failed = fault
                _settled(acting, tx, said, lambda t: _fail(t, table, failed))

        return commit


def _settled(acting: Call, tx: Tx, said: dict[str, Any], settle: Callable[[_Task], None]) -> None:
    acting.tx = tx
    task = _task(acting, said)
    if task is not None:
        settle(task)


def _task(call: Call, said: dict[str, Any]) -> _Task | None:
    """None where the configuration is gone, or another one."""
    bucket = state.bucket(call.tx, said["bucket"][0])
    if bucket is None or bucket.id != said["bucket"][3]:
        return None
    config = state.config(call.tx, bucket, "metadata")
    if config is None or config["number"] != said["number"]:
        return None
    return _Task(call, bucket, config, said["number"], said["kind"], said["at"])


def _put_table(task: _Task, name: str, **changed: Any) -> _Task:
    config = {**task.config, name: {**task.config[name], **changed}}
    state.put_config(task.call.tx, task.bucket, "metadata", config)
    return task._replace(config=config)


def _fail(task: _Task, name: str, fault: Fault) -> None:
    """For good: one deletes the configuration and its tables, and makes another.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-access-control.html
    """
    _log.warning("the %s table of %s cannot be written: %r", name, task.bucket.name, fault)
    if name in task.config:
        error = {"ErrorCode": fault.code, "ErrorMessage": fault.message}
        _put_table(task, name, status="FAILED", error=error)


# -- create


def _create(task: _Task) -> None:
    for name in TABLES:
        table = task.config.get(name)
        if table is None or table["status"] != "CREATING":
            continue
        asked = {
            "Bucket": task.config["bucket"],
            "Namespace": task.config["namespace"],
            "Name": table["name"],
            "Id": table["arn"].rpartition("/")[2],
            "Service": PRINCIPAL,
            "Encryption": table["encryption"],
            "Schema": annotation_table.SCHEMA
            if name == "annotation"
            else journal.schema(of_journal=name == "journal"),
        }
        try:
            task.call.invoke("s3tables", "KeepManagedTable", asked)
        except Fault as fault:
            _fail(task, name, fault)
            task = _task_again(task)
            continue
        status = "ACTIVE" if name == "journal" else "BACKFILLING"
        task = _put_table(task, name, status=status)
        if name == "journal":
            expect_expiry(task.call.tx, task.bucket, task.config)
        else:
            due_s = task.call.tx.time_s + BACKFILL_LATE_S
            kind = "backfill" if name == "inventory" else "annotation-backfill"
            put_job(task.call.tx, task.bucket, task.number, kind, due_s)


def _task_again(task: _Task) -> _Task:
    return task._replace(config=state.config(task.call.tx, task.bucket, "metadata"))


# -- writing


async def _write(task: _Task, table: dict[str, Any], *steps: dict[str, Any]) -> Response:
    asked = {"TableArn": table["arn"], "Steps": list(steps)}
    return await task.call.request("s3tables", "WriteTable", asked)


def _commit(task: _Task, name: str, written: Response | None) -> None:
    """In the settling transaction: the table is what was written, or Conflict says that it is another by now."""
    if written is None or not written["MetadataLocation"]:
        return
    table = task.config.get(name)
    if table is None:
        return
    arn = table["arn"]
    found = task.call.invoke("s3tables", "GetTable", {"tableArn": arn})
    asked = {
        "tableBucketARN": arn.partition("/table/")[0],
        "namespace": found["namespace"][0],
        "name": found["name"],
        "versionToken": written["VersionToken"],
        "metadataLocation": written["MetadataLocation"],
    }
    task.call.invoke("s3tables", "UpdateTableMetadataLocation", asked)
    if written["Gone"]:
        dropped = {"Bucket": written["Bucket"], "Keys": written["Gone"]}
        task.call.invoke("s3", "DropTableObjects", dropped)


async def _journal(task: _Task) -> Callable[[_Task], None]:
    table, span = task.table("journal"), task.bucket.journal.span(task.number)
    rows: list[tuple[bytes, bytes]] = []
    if table is not None:
        rows = await task.call.transact(lambda c: list(c.tx.scan(span, limit=ROWS_COUNT_MAX)))
    written = None
    if rows and table is not None:
        written = await _write(task, table, {"append": [orjson.loads(raw) for _, raw in rows]})

    def settle(task: _Task) -> None:
        tx = task.call.tx
        _commit(task, "journal", written)
        for key, _ in rows:
            tx.delete(key)
        if len(rows) == ROWS_COUNT_MAX:
            put_job(tx, task.bucket, task.number, "journal")
        elif next(tx.scan(span, limit=1), None) is not None:
            put_job(tx, task.bucket, task.number, "journal", tx.time_s + journal.JOURNAL_LATE_S)
        else:
            state.delete_config(tx, task.bucket, "metadata-journal-job")

    return settle


async def _expire(task: _Task) -> Callable[[_Task], None]:
    table, written = task.table("journal"), None
    expiration = task.config["journal"]["expiration"]
    if table is not None and expiration["Expiration"] == "ENABLED":
        before_s = task.call.world.cloud() - expiration["Days"] * _DAY_S
        if before_s > 0:
            said = {"column": "record_timestamp", "before_ms": int(before_s * 1000)}
            written = await _write(task, table, {"expire": said})

    def settle(task: _Task) -> None:
        _commit(task, "journal", written)
        if task.config["journal"]["expiration"]["Expiration"] == "ENABLED":
            put_job(task.call.tx, task.bucket, task.number, "expire", task.call.tx.time_s + _DAY_S)
        else:
            state.delete_config(task.call.tx, task.bucket, "metadata-expire-job")

    return settle


async def _backfill(task: _Task) -> Callable[[_Task], None]:
    table, written = task.table("inventory"), None
    rows: list[Row] = []
    if table is not None and table["status"] == "BACKFILLING":
        low = b64decode(task.at) or state.at_prefix(b"")

        def read(call: Call) -> list[Row]:
            found = version_rows(call.tx, task.bucket, low, state.past_prefix(b""))
            return list(islice(found, ROWS_COUNT_MAX))

        rows = await task.call.transact(read)
        if rows:
            written = await _write(task, table, {"append": [_row(task.bucket, r) for r in rows]})

    def settle(task: _Task) -> None:
        tx, inventory = task.call.tx, task.config.get("inventory")
        if table is None or inventory is None or inventory["number"] != table["number"]:
            return
        _commit(task, "inventory", written)
        if len(rows) == ROWS_COUNT_MAX:
            at = b64encode(rows[-1].row + b"\0").decode()
            put_job(tx, task.bucket, task.number, "backfill", at=at)
            return
        task = _put_table(task, "inventory", status="ACTIVE")
        if next(tx.scan(task.bucket.stale.span(inventory["number"]), limit=1), None) is not None:
            put_job(tx, task.bucket, task.number, "inventory", tx.time_s)
            state.put_config(tx, task.bucket, "metadata-inventory-job", True)

    return settle


def _row(bucket: Bucket, row: Row) -> dict[str, Any]:
    assert row.value is not None
    head = state.decode_head(row.value)
    order = head.order or head.modified_ms
    return {
        "bucket": bucket.name,
        "key": row.key.decode(),
        "sequence_number": f"{order:016x}",
        **journal.described(bucket, head),
    }


async def _inventory(task: _Task) -> Callable[[_Task], None]:
    table, written = task.table("inventory"), None
    stale: list[tuple[bytes, bytes]] = []
    if table is not None:
        space = task.bucket.stale[table["number"]]

        def read(call: Call) -> tuple[list[tuple[bytes, bytes]], list[dict[str, Any]]]:
            taken: list[tuple[bytes, bytes]] = []
            rows: list[dict[str, Any]] = []
            for found, mark in call.tx.scan(space.span(), limit=KEYS_COUNT_MAX):
                key = state.key_of(space, found)
                low, high = state.escape(key), state.past_key(key)
                versions = [
                    {**_row(task.bucket, r), "sequence_number": mark.decode()}
                    for r in version_rows(call.tx, task.bucket, low, high)
                ]
                if taken and len(rows) + len(versions) > ROWS_COUNT_MAX:
                    break
                taken.append((found, mark))
                rows += versions
            return taken, rows

        stale, rows = await task.call.transact(read)
        if stale:
            keys = [state.key_of(space, found).decode() for found, _ in stale]
            drop = {"column": "key", "values": keys}
            written = await _write(task, table, {"drop": drop}, {"append": rows})

    def settle(task: _Task) -> None:
        tx, inventory = task.call.tx, task.config.get("inventory")
        state.delete_config(tx, task.bucket, "metadata-inventory-job")
        if table is None or inventory is None or inventory["number"] != table["number"]:
            return
        _commit(task, "inventory", written)
        for found, mark in stale:
            if tx.get(found) == mark:
                tx.delete(found)
        if next(tx.scan(task.bucket.stale.span(inventory["number"]), limit=1), None) is not None:
            late_s = 0.0 if len(stale) == KEYS_COUNT_MAX else INVENTORY_LATE_S
            put_job(tx, task.bucket, task.number, "inventory", tx.time_s + late_s)
            state.put_config(tx, task.bucket, "metadata-inventory-job", True)

    return settle


async def _as_role(task: _Task) -> Call:
    source = f"arn:aws:s3:::{task.bucket.name}"
    return await task.call.as_role(task.config["role"], PRINCIPAL, source, "S3Metadata")


async def _annotate_all(task: _Task) -> Callable[[_Task], None]:
    table, written, at = task.table("annotation"), None, ""
    if table is not None and table["status"] == "BACKFILLING":

        def read(call: Call) -> annotation_table.Page:
            low, high = state.at_prefix(b""), state.past_prefix(b"")
            limits = annotation_table.Limits()
            return annotation_table.page(call, task.bucket, low, high, task.at, limits)

        found, at = await task.call.transact(read)
        acting = await _as_role(task)
        rows = await annotation_table.rows(acting, task.bucket, found)
        if rows:
            written = await _write(task, table, {"append": rows})

    def settle(task: _Task) -> None:
        tx, annotation = task.call.tx, task.config.get("annotation")
        if table is None or annotation is None or annotation["number"] != table["number"]:
            return
        _commit(task, "annotation", written)
        if at:
            put_job(tx, task.bucket, task.number, "annotation-backfill", at=at)
            return
        task = _put_table(task, "annotation", status="ACTIVE")
        if next(tx.scan(task.bucket.stale.span(annotation["number"]), limit=1), None) is not None:
            put_job(tx, task.bucket, task.number, "annotation", tx.time_s)
            state.put_config(tx, task.bucket, "metadata-annotation-job", True)

    return settle


class _Stale(NamedTuple):
    """What a commit brings up to date."""

    drop: list[bytes]
    """Keys all of whose rows go first."""
    found: list[annotation_table.One]
    done: list[tuple[bytes, bytes]]
    """Marks that are carried out with it, as they were read."""
    at: str
    """Where a key goes on that has more annotations than a commit takes: JSON [row of its mark, the mark, page's ``at``]."""
    more: bool = False
    """Whether marks were left for want of room."""


def _stale_annotations(task: _Task, number: int, call: Call) -> _Stale:
    space, limits = task.bucket.stale[number], annotation_table.Limits()

    def page(row: bytes, at: str) -> annotation_table.Page:
        key = state.key_of(space, row)
        bounds = state.escape(key), state.past_key(key)
        return annotation_table.page(call, task.bucket, *bounds, at, limits)

    def further(row: bytes, mark: bytes, at: str) -> str:
        return orjson.dumps([b64encode(row).decode(), mark.decode(), at]).decode() if at else ""

    if task.at:
        said, mark, at = orjson.loads(task.at)
        row = b64decode(said)
        found, at = page(row, at)
        done = [] if at else [(row, mark.encode())]
        return _Stale([], found, done, further(row, mark.encode(), at), more=True)
    drop: list[bytes] = []
    every: list[annotation_table.One] = []
    marks: list[tuple[bytes, bytes]] = []
    for row, raw in call.tx.scan(space.span(), limit=KEYS_COUNT_MAX):
        found, at = page(row, "")
        if at and drop:
            return _Stale(drop, every, marks, "", more=True)
        drop.append(state.key_of(space, row))
        every += found
        if at:
            return _Stale(drop, every, [], further(row, raw, at))
        marks.append((row, raw))
    return _Stale(drop, every, marks, "", more=len(marks) == KEYS_COUNT_MAX)


async def _annotate(task: _Task) -> Callable[[_Task], None]:
    table, written = task.table("annotation"), None
    stale = _Stale([], [], [], "")
    if table is not None:
        number = table["number"]
        stale = await task.call.transact(lambda call: _stale_annotations(task, number, call))
        steps: list[dict[str, Any]] = []
        if stale.drop:
            keys = [key.decode() for key in stale.drop]
            steps.append({"drop": {"column": "object_key", "values": keys}})
        if stale.found:
            acting = await _as_role(task)
            rows = await annotation_table.rows(acting, task.bucket, stale.found)
            steps.append({"append": rows})
        if steps:
            written = await _write(task, table, *steps)

    def settle(task: _Task) -> None:
        tx, annotation = task.call.tx, task.config.get("annotation")
        state.delete_config(tx, task.bucket, "metadata-annotation-job")
        if table is None or annotation is None or annotation["number"] != table["number"]:
            return
        _commit(task, "annotation", written)
        for row, mark in stale.done:
            if tx.get(row) == mark:
                tx.delete(row)
        left = next(tx.scan(task.bucket.stale.span(annotation["number"]), limit=1), None)
        if left is not None or stale.at:
            due_s = tx.time_s + (0.0 if stale.at or stale.more else INVENTORY_LATE_S)
            put_job(tx, task.bucket, task.number, "annotation", due_s, stale.at)
            state.put_config(tx, task.bucket, "metadata-annotation-job", True)

    return settle


_Doing = Callable[[_Task], Awaitable[Callable[[_Task], None]]]
_KINDS: dict[str, tuple[str, _Doing]] = {
    "journal": ("journal", _journal),
    "expire": ("journal", _expire),
    "backfill": ("inventory", _backfill),
    "inventory": ("inventory", _inventory),
    "annotation-backfill": ("annotation", _annotate_all),
    "annotation": ("annotation", _annotate),
}
"""Kind of job -> (the table it writes, what does it)."""
