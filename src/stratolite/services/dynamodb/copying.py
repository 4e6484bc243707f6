"""The workers that copy tables: into backups, from backups and from the past into new tables; and that forget the past.

A backup is made a piece at a time: the job that settles a piece leaves the next one. A table is filled in transactions of
some items each, which remember how far they came (state's ("progress", table)), so that filling goes on there after a
crash and no item is counted twice.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
from functools import partial
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx, work
from stratolite.core.work import Job, Settle
from stratolite.service import Cloud
from stratolite.services.dynamodb import history, state
from stratolite.services.dynamodb.keyring import ours, ring
from stratolite.services.dynamodb.sealing import Seal
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.writes import Write

BACKUP = "dynamodb.backup"
DROP_BACKUP = "dynamodb.drop-backup"
RESTORE = "dynamodb.restore"
PURGE = "dynamodb.purge"
PIECE_SIZE_BYTES = 8 << 20
FILL_COUNT = 100
PURGE_COUNT = 500
PURGE_EVERY_S = 86_400
_DROP_COUNT = 100


DATA_KEY = "dynamodb restore"
"""What the vault seals the data key of a backup for that is being restored for whom KMS let."""


def _place(name: str, number: int) -> bytes:
    """What a piece of a backup is sealed for."""
    return f"backup/{name}/{number:08d}".encode()


def _seal_of(tx: Tx, cloud: Cloud, backup: dict[str, Any]) -> Seal:
    sse, description = backup["Record"]["Sse"], backup["Record"]["Description"]
    _, _, _, region, account, _ = description["TableArn"].split(":", 5)
    keys = ring(cloud)
    us = keys.ourselves(tx, account, region, description["TableArn"])
    found = keys.seal(us, account, region, description["TableName"], sse)
    assert found is not None, "the table is under a key"
    return found


def _piece_kind(name: str) -> str:
    return f"piece/{name}"


def _piece(tx: Tx, keys: Keyspace, name: str, number: int) -> dict[str, Any] | None:
    return state.copy(tx, keys, _piece_kind(name), f"{number:08d}")


class BackupMaker:
    queue = BACKUP
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")
        db = self.cloud.db
        backup = await db.transact(lambda tx: state.copy(tx, keys, "backup", name))
        if backup is None:
            return None
        source, after = backup["Record"], base64.b64decode(backup["After"])
        table_name, number = source["Description"]["TableName"], source["Key"]
        lines: list[bytes] = []
        size, done = 0, False
        while size < PIECE_SIZE_BYTES:

            def read(tx: Tx, after: bytes = after) -> history.Slice:
                table = ours(self.cloud, tx, account, region, table_name)
                assert table is not None, "a table that is read is not deleted"
                assert table.number == number, "nor made again"
                return history.items_at(tx, table, backup["At"], after)

            part = await db.transact(read)
            lines += [raw for _, raw in part.items]
            size += sum(len(raw) for _, raw in part.items)
            after, done = part.last, not part.last
            if done:
                break
        packed = await asyncio.to_thread(gzip.compress, b"\n".join(lines), 1)
        if "Sse" in source:
            seal = await db.transact(partial(_seal_of, cloud=self.cloud, backup=backup))
            packed = seal.close(_place(name, backup["Pieces"]), packed)
        writer = self.cloud.blobs.writer()
        await writer.write(packed)
        blob = await writer.finish()

        def settle(tx: Tx) -> None:
            current = state.copy(tx, keys, "backup", name)
            if current is None:
                return
            self.cloud.blobs.link(tx, blob.id)
            piece = {"Blob": blob.id, "Items": len(lines)}
            state.put_copy(tx, keys, _piece_kind(name), f"{current['Pieces']:08d}", piece)
            current["Pieces"] += 1
            current["After"] = base64.b64encode(after).decode()
            if done:
                current["Details"]["BackupStatus"] = "AVAILABLE"
                history.drop_reader(tx, account, region, table_name, name)
            else:
                work.put(tx, BACKUP, job.payload)
            state.put_copy(tx, keys, "backup", name, current)

        return settle


class BackupDropper:
    queue = DROP_BACKUP
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, _ = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")

        def drop(tx: Tx) -> bool:
            found = []
            for i, piece in state.copies(tx, keys, _piece_kind(name), ""):
                found.append((i, piece["Blob"]))
                if len(found) == _DROP_COUNT:
                    break
            for i, blob in found:
                self.cloud.blobs.unlink(tx, blob)
                state.delete_copy(tx, keys, _piece_kind(name), i)
            return bool(found)

        while await self.cloud.db.transact(drop):
            pass
        return None


class Restorer:
    queue = RESTORE
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = orjson.loads(job.payload)
        if "Backup" in wanted:
            await self._from_backup(wanted)
        else:
            await self._from_past(wanted)

        def settle(tx: Tx) -> None:
            finish(tx, self.cloud, wanted)
            keys = Keyspace(wanted["Account"], wanted["Region"], "dynamodb")
            if "Reader" in wanted:
                history.drop_reader(
                    tx, wanted["Account"], wanted["Region"], wanted["Table"], wanted["Reader"]
                )
            elif (backup := state.copy(tx, keys, "backup", wanted["Backup"])) is not None:
                backup["Uses"] -= 1
                state.put_copy(tx, keys, "backup", wanted["Backup"], backup)

        return settle

    async def _from_backup(self, wanted: dict[str, Any]) -> None:
        keys = Keyspace(wanted["Account"], wanted["Region"], "dynamodb")
        db, name = self.cloud.db, wanted["Backup"]
        seal = None
        if "DataKey" in wanted:
            data_key = self.cloud.vault.open(base64.b64decode(wanted["DataKey"]), DATA_KEY)
            seal = ring(self.cloud).seal_of(data_key)
        at = await db.transact(lambda tx: state.progress(tx, keys, wanted["Number"])) or [0, 0]
        while True:
            number, line = at
            piece = await db.transact(partial(_piece, keys=keys, name=name, number=number))
            if piece is None:
                return
            packed = await self.cloud.blobs.read(piece["Blob"])
            if seal is not None:
                packed = seal.open(_place(name, number), packed)
            lines = (await asyncio.to_thread(gzip.decompress, packed)).split(b"\n")
            while line < len(lines) and lines != [b""]:
                some = lines[line : line + FILL_COUNT]
                is_last = line + FILL_COUNT >= len(lines)
                following = [number + 1, 0] if is_last else [number, line + FILL_COUNT]
                put = partial(
                    fill,
                    cloud=self.cloud,
                    wanted=wanted,
                    raws=some,
                    at=[number, line],
                    following=following,
                )
                if not await db.transact(put):
                    return
                line += FILL_COUNT
            at = [number + 1, 0]

    async def _from_past(self, wanted: dict[str, Any]) -> None:
        keys = Keyspace(wanted["Account"], wanted["Region"], "dynamodb")

        def copy(tx: Tx) -> bool:
            """Whether there is more."""
            source = ours(self.cloud, tx, wanted["Account"], wanted["Region"], wanted["Table"])
            assert source is not None, "a table that is read is not deleted"
            at = state.progress(tx, keys, wanted["Number"])
            after = base64.b64decode(at) if at else b""
            part = history.items_at(tx, source, wanted["At"], after)
            following = base64.b64encode(part.last).decode()
            raws = [raw for _, raw in part.items]
            going = fill(tx, self.cloud, wanted, raws, at, following)
            return going and bool(part.last)

        while await self.cloud.db.transact(copy):
            pass


class Purger:
    """Forgets what is older than a table's recovery period: a pass over its past a day, a slice at a time."""

    queue = PURGE
    ordered = False
    concurrency = 1

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, number, start = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")

        def purge(tx: Tx) -> None:
            table = state.table(tx, account, region, name)
            if table is None or table.past_number != number or "Days" not in table.past:
                return
            before_ms = int((tx.time_s - table.past["Days"] * 86_400) * 1000)
            old, following = state.old_past(
                tx, keys, number, base64.b64decode(start), before_ms, PURGE_COUNT
            )
            for key in old:
                tx.delete(key)
            at = base64.b64encode(following).decode()
            due_s = None if following else tx.time_s + PURGE_EVERY_S
            work.put(tx, PURGE, orjson.dumps([account, region, name, number, at]), due_s=due_s)

        return purge


# -- filling a table


def target(tx: Tx, cloud: Cloud, wanted: dict[str, Any]) -> Table | None:
    """The table that is being filled, None if it is gone or done."""
    table = ours(cloud, tx, wanted["Account"], wanted["Region"], wanted["Name"])
    if table is None or table.number != wanted["Number"] or table.is_ready:
        return None
    return table


def fill(
    tx: Tx, cloud: Cloud, wanted: dict[str, Any], raws: list[bytes], at: Any, following: Any
) -> bool:
    """Put items that are right as they are, if the filling has come to ``at``; whether to go on."""
    table = target(tx, cloud, wanted)
    if table is None:
        return False
    known = state.progress(tx, table.space, table.number)
    if known is not None and known != at:
        return True  # done by an earlier attempt
    for raw in raws:
        item = orjson.loads(raw)
        Write(tx, table, table.row(item)).put(item)
    state.put_progress(tx, table.space, table.number, following)
    return True


def finish(tx: Tx, cloud: Cloud, wanted: dict[str, Any]) -> None:
    """The table is whole."""
    table = target(tx, cloud, wanted)
    if table is None:
        return
    record = orjson.loads(orjson.dumps(table.record))
    description = record["Description"]
    description["TableStatus"] = "ACTIVE"
    if "RestoreSummary" in description:
        description["RestoreSummary"]["RestoreInProgress"] = False
    state.delete_progress(tx, table.space, table.number)
    state.put_table(tx, table.account, table.region, record)
