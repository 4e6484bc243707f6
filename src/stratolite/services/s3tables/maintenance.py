"""Maintenance of tables: what is set for it, and a worker that carries it out once a day on the cloud clock.

Compaction joins a table's files where they are many and small; snapshot management expires snapshots; unreferenced file removal
deletes files that no snapshot names. Done by ``child`` as maintenance.s3tables.amazonaws.com, committed by compare-and-swap:
if a writer came between, the next day's run tries again.

Each run leaves the next (``upkeep``). In a table's record
``upkeep`` is what was set, as the API writes it, ``ran`` how the last runs ended: {type: [status, time, message]}.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-maintenance.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-considerations.html
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.core import Tx
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Job, Request, Response, Settle
from stratolite.services.s3tables import names
from stratolite.services.s3tables.buckets import check_owned
from stratolite.services.s3tables.names import Place
from stratolite.services.s3tables.settings import Settings
from stratolite.services.s3tables.state import Record, put_bucket
from stratolite.services.s3tables.tables import Found
from stratolite.services.s3tables.upkeep import QUEUE, expect
from stratolite.services.s3tables.writing import WriteFailed, Writing

COMPACTION, SNAPSHOTS, FILES = (
    "icebergCompaction",
    "icebergSnapshotManagement",
    "icebergUnreferencedFileRemoval",
)
_DEFAULTS: dict[str, dict[str, Any]] = {
    COMPACTION: {"targetFileSizeMB": 512, "strategy": "auto"},
    SNAPSHOTS: {"minSnapshotsToKeep": 1, "maxSnapshotAgeHours": 120},
    FILES: {"unreferencedDays": 3, "nonCurrentDays": 10},
}
_JOINED_FROM = 10
"""How many files a table has before they are joined."""
_ENDS = frozenset({"AccessDenied", "AccessDeniedException", "ConflictException"})


class Maintenance(Settings, Writing):
    def put_table_maintenance_configuration(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        check_owned(call, found.record)
        kind, value = request["type"], request["value"]
        settings = _checked(kind, value)
        if kind == COMPACTION:
            if settings["strategy"] not in ("auto", "binpack"):
                raise names.not_offered(f"compaction strategy {settings['strategy']}")
            if not 64 <= settings["targetFileSizeMB"] <= 512:
                raise names.bad("targetFileSizeMB must be between 64 and 512.")
        upkeep = dict(found.record.get("upkeep") or {})
        upkeep[kind] = {"status": value.get("status") or "enabled", "settings": settings}
        found.put(call, upkeep=upkeep)
        return {}

    def get_table_maintenance_configuration(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        shown = {kind: _shown(kind, _of(found.record, kind)) for kind in (COMPACTION, SNAPSHOTS)}
        return {"tableARN": found.arn, "configuration": shown}

    def get_table_maintenance_job_status(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        _, bucket = self._bucket(call, {"tableBucketARN": found.where.arn})
        shown = {}
        for kind in (COMPACTION, SNAPSHOTS, FILES):
            holder = bucket if kind == FILES else found.record
            if _of(holder, kind)["status"] == "disabled":
                shown[kind] = {"status": "Disabled"}
                continue
            ran = (found.record.get("ran") or {}).get(kind)
            if ran is None:
                shown[kind] = {"status": "Not_Yet_Run"}
                continue
            status, at_s, message = ran
            shown[kind] = {"status": status, "lastRunTimestamp": at_s}
            if message:
                shown[kind]["failureMessage"] = message
        return {"tableARN": found.arn, "status": shown}

    def put_table_bucket_maintenance_configuration(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        value = request["value"]
        said = {"status": value.get("status") or "enabled", "settings": _checked(FILES, value)}
        put_bucket(call.tx, where.keys, where.bucket, {**record, "upkeep": {FILES: said}})
        return {}

    def get_table_bucket_maintenance_configuration(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        return {
            "tableBucketARN": where.arn,
            "configuration": {FILES: _shown(FILES, _of(record, FILES))},
        }


def _checked(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """The settings of a maintenance type, with what was not said as AWS has it. Raises BadRequest."""
    given = value.get("settings") or {}
    if set(given) - {kind}:
        raise names.bad(f"The settings for maintenance type {kind} cannot contain others.")
    return {**_DEFAULTS[kind], **(given.get(kind) or {})}


def _of(record: Record, kind: str) -> dict[str, Any]:
    said = (record.get("upkeep") or {}).get(kind)
    return said or {"status": "enabled", "settings": _DEFAULTS[kind]}


def _shown(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    return {"status": said["status"], "settings": {kind: said["settings"]}}


class Keeper:
    queue = QUEUE
    ordered = False
    concurrency = 1

    def __init__(self, service: Maintenance) -> None:
        self._service = service

    @property
    def _cloud(self) -> Cloud:
        return self._service.cloud

    async def handle(self, job: Job) -> Settle | None:
        said = orjson.loads(job.payload)
        where = Place(said["account"], said["region"], said["bucket"], said["table"])
        call = self._cloud.call(where.account, where.region, job.id.hex()).as_service(
            names.MAINTENANCE_SERVICE, where.arn
        )

        def look(inner: Call) -> tuple[Record, Record] | None:
            try:
                found = self._service._table_of(inner, where)
            except Fault:
                return None  # deleted: nobody looks after it any more
            return found.record, self._service._bucket(inner, {"tableBucketARN": where._replace(table="").arn})[1]  # fmt: skip

        seen = await call.transact(look)
        if seen is None:
            return None
        table, bucket = seen
        on = [k for k in (COMPACTION, SNAPSHOTS) if _of(table, k)["status"] == "enabled"]
        if _of(bucket, FILES)["status"] == "enabled":
            on.append(FILES)
        written: Response | None = None
        message = ""
        if on and "metadata" in table:
            try:
                written = await self._written(call, where, table, bucket, on)
            except (WriteFailed, Fault) as error:
                if isinstance(error, Fault) and error.code not in _ENDS:
                    raise
                message = str(error)[:500]

        def settle(tx: Tx) -> None:
            call.tx = tx
            told = message
            try:
                found = self._service._table_of(call, where)
                if written is not None:
                    with tx.savepoint():
                        self._commit(call, found, written)
            except Fault as fault:
                if fault.code == "NotFoundException":
                    return
                if fault.code not in _ENDS:
                    raise
                told = fault.message
            found = self._service._table_of(call, where)
            if on and "metadata" in table:
                status = "Failed" if told else "Successful"
                ran = dict(found.record.get("ran") or {})
                ran |= {kind: [status, tx.time_s, told] for kind in on}
                found.put(call, ran=ran)
            expect(tx, where)

        return settle

    async def _written(
        self, call: Call, where: Place, table: Record, bucket: Record, on: list[str]
    ) -> Response:
        snapshots, files = _of(table, SNAPSHOTS)["settings"], _of(bucket, FILES)["settings"]
        asked: dict[str, Any] = {
            "TableArn": where.arn,
            "Steps": [],
            "Tidy": {
                "files": _JOINED_FROM if COMPACTION in on else 0,
                "snapshots": 1 if SNAPSHOTS in on else 0,
                "age_ms": snapshots["maxSnapshotAgeHours"] * 3_600_000,
                "keep": snapshots["minSnapshotsToKeep"],
            },
        }
        if FILES in on:
            days = files["unreferencedDays"] + files["nonCurrentDays"]
            before_s = call.world.cloud() - days * 86_400
            asked["Unreferenced"] = {"BeforeMs": int(before_s * 1000)}
        return await call.request("s3tables", "WriteTable", asked)

    def _commit(self, call: Call, found: Found, written: Response) -> None:
        if written["MetadataLocation"]:
            asked = {
                "tableBucketARN": found.where.arn,
                "namespace": found.name.namespace,
                "name": found.name.table,
                "versionToken": written["VersionToken"],
                "metadataLocation": written["MetadataLocation"],
            }
            call.invoke("s3tables", "UpdateTableMetadataLocation", asked)
        elif found.record["token"] != written["VersionToken"]:
            raise names.conflict("The table has changed meanwhile.")
        if written["Gone"]:
            dropped = {"Bucket": written["Bucket"], "Keys": written["Gone"]}
            call.invoke("s3", "DropTableObjects", dropped)
