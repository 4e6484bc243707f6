"""The workers that deliver what follows tables: to Kinesis data streams, and to replicas in other regions.

Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds.html
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx
from stratolite.core.work import Job, Settle
from stratolite.errors import Fault
from stratolite.service import Cloud
from stratolite.services.dynamodb import feeds, state
from stratolite.services.dynamodb.feeds import Change, Version
from stratolite.services.dynamodb.history import SLICE_COUNT
from stratolite.services.dynamodb.keyring import ours
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import item_size
from stratolite.services.dynamodb.writes import Write

COPY_REPLICA = "dynamodb.copy-replica"


class KinesisDeliverer:
    """In order, at least once. What the stream does not take comes again; a stream that is gone is not asked again."""

    queue = feeds.KINESIS
    ordered = False
    concurrency = 4

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, table_number, number = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")

        def look(tx: Tx) -> tuple[str, str, list[Change]]:
            table = ours(self.cloud, tx, account, region, name)
            if table is None or table.number != table_number:
                return "", "", []
            for arn, one in (table.record.get("Kinesis") or {}).items():
                if one["Feed"] == number:
                    return arn, one["Precision"], feeds.page(tx, keys, number, table.seal)
            return "", "", []

        arn, precision, changes = await self.cloud.db.transact(look)
        taken = changes
        if changes:
            taken = await self._put(account, region, name, arn, precision, changes)
            if not taken:
                raise Fault("ProvisionedThroughputExceededException", f"nothing was taken by {arn}")

        def settle(tx: Tx) -> None:
            for change in taken:
                feeds.drop(tx, change.key)
            feeds.go_on(tx, keys, number, feeds.KINESIS, job.payload)

        return settle

    async def _put(
        self, account: str, region: str, name: str, arn: str, precision: str, changes: list[Change]
    ) -> list[Change]:
        """The changes that the stream has taken: up to the first that it has not."""
        # DynamoDB's service-linked role may; who enabled the destination had the right to.
        call = self.cloud.call(account, region)
        records = [
            {
                "Data": orjson.dumps(_kinesis_record(region, name, precision, change)),
                "PartitionKey": _partition(change.record["k"]),
            }
            for change in changes
        ]
        try:
            answer = await call.request(
                "kinesis", "PutRecords", {"StreamARN": arn, "Records": records}
            )
        except Fault as fault:
            if fault.code == "ResourceNotFoundException":
                return changes
            raise
        taken = []
        for change, result in zip(changes, answer["Records"], strict=True):
            if "ErrorCode" in result:
                break
            taken.append(change)
        return taken


def _partition(key: dict[str, Any]) -> str:
    return sha256(orjson.dumps(key, option=orjson.OPT_SORT_KEYS)).hexdigest().upper()[:32]


def _kinesis_record(region: str, name: str, precision: str, change: Change) -> dict[str, Any]:
    """As https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/kds_using-shards-and-metrics.html has it."""
    stored = change.record
    body: dict[str, Any] = {
        "ApproximateCreationDateTime": change.ms * (1000 if precision == "MICROSECOND" else 1),
        "ApproximateCreationDateTimePrecision": precision,
        "Keys": stored["k"],
    }
    size = item_size(stored["k"])
    for member, image in (("n", "NewImage"), ("o", "OldImage")):
        if member in stored:
            body[image] = stored[member]
            size += item_size(stored[member])
    body["SizeBytes"] = size
    identity = None
    if stored.get("u"):
        identity = {"principalId": "dynamodb.amazonaws.com", "type": "Service"}
    raw = f"{change.stamp:032x}"
    return {
        "awsRegion": region,
        "eventID": f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}",
        "eventName": stored["e"],
        "userIdentity": identity,
        "recordFormat": "application/json",
        "tableName": name,
        "dynamodb": body,
        "eventSource": "aws:dynamodb",
    }


class Replicator:
    """A page of changes to a replica, applied and forgotten in one transaction; the last writer wins."""

    queue = feeds.REPLICATE
    ordered = False
    concurrency = 4

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, table_number, number = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")

        def apply(tx: Tx) -> tuple[str, int, list[Write]]:
            """(the region that received, how long the oldest change had waited in ms, what is to be paid for)."""
            source = ours(self.cloud, tx, account, region, name)
            target = None
            to = ""
            if source is not None and source.number == table_number:
                for to, one in source.replicas.items():
                    if one["Feed"] == number:
                        target = ours(self.cloud, tx, account, to, name)
                        break
            waited_ms, writes = 0, []
            for change in feeds.page(tx, keys, number, source.seal if source is not None else None):
                if target is not None:
                    write = _take(tx, target, change.record, Version(change.ms, region))
                    if write is not None and target.limits:
                        writes.append(write)
                    waited_ms = max(waited_ms, int(tx.time_s * 1000) - change.ms)
                feeds.drop(tx, change.key)
            feeds.go_on(tx, keys, number, feeds.REPLICATE, job.payload)
            return (to if target is not None else ""), waited_ms, writes

        to, waited_ms, writes = await self.cloud.db.transact(apply)
        for write in writes:  # it counts as the writes of callers do, and never waits
            self.cloud.service("dynamodb").pay(write)  # type: ignore[attr-defined]  # its Base does
        if to:
            await self._measure(account, region, name, to, waited_ms)
        return None

    async def _measure(self, account: str, region: str, name: str, to: str, waited_ms: int) -> None:
        call = self.cloud.call(account, region)
        dimensions = [
            {"Name": "TableName", "Value": name},
            {"Name": "ReceivingRegion", "Value": to},
        ]
        datum = {
            "MetricName": "ReplicationLatency",
            "Dimensions": dimensions,
            "Value": float(waited_ms),
            "Unit": "Milliseconds",
        }
        arn = f"arn:aws:dynamodb:{region}:{account}:table/{name}"
        request = {"Namespace": "AWS/DynamoDB", "MetricData": [datum]}
        try:
            await call.as_service("dynamodb.amazonaws.com", arn).request(
                "cloudwatch", "PutMetricData", request
            )
        except Fault as fault:
            if fault.code != "NotImplemented":
                raise


def _take(tx: Tx, target: Table, record: dict[str, Any], made: Version) -> Write | None:
    """What was written, None where something newer is there."""
    row = target.row(record["k"])
    known = feeds.version(tx, target, row)
    if known is not None and known >= made:
        return None
    write = Write(tx, target, row, made)
    if "n" in record:
        write.put(record["n"])
    elif write.raw is not None:
        write.delete()
    else:
        feeds.put_version(tx, target, row, made)
    return write


class ReplicaCopier:
    """What was in a table before it had a replica, a slice a transaction; what is newer there already stays."""

    queue = COPY_REPLICA
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name, to = orjson.loads(job.payload)

        def copy(tx: Tx) -> bool:
            """Whether there is more."""
            source = ours(self.cloud, tx, account, region, name)
            target = ours(self.cloud, tx, account, to, name)
            if source is None or target is None or target.is_ready:
                return False
            after = bytes.fromhex(state.progress(tx, target.space, target.number) or "")
            low, high = state.whole_span(source.prefix)
            last = b""
            for count, (row, raw) in enumerate(
                state.rows(tx, (after + b"\xff" if after else low, high), source.seal), 1
            ):
                item = orjson.loads(raw)
                made = feeds.version(tx, source, row) or Version(0, region)
                _take(tx, target, {"k": source.key_of(item), "n": item}, made)
                last = row
                if count == SLICE_COUNT:
                    break
            else:
                last = b""
            if last:
                state.put_progress(tx, target.space, target.number, last.hex())
                return True
            state.delete_progress(tx, target.space, target.number)
            _is_whole(tx, target)
            return False

        while await self.cloud.db.transact(copy):
            pass
        return None


def _is_whole(tx: Tx, target: Table) -> None:
    """The replica is ACTIVE, and the others say so."""
    record = orjson.loads(orjson.dumps(target.record))
    record["Description"]["TableStatus"] = "ACTIVE"
    for index in record["Description"].get("GlobalSecondaryIndexes", ()):
        index["IndexStatus"] = "ACTIVE"
    state.put_table(tx, target.account, target.region, record)
    for other in target.replicas:
        table = state.table(tx, target.account, other, target.name)
        if table is not None and target.region in table.replicas:
            changed = orjson.loads(orjson.dumps(table.record))
            changed["Replicas"][target.region].pop("Creating", None)
            state.put_table(tx, table.account, table.region, changed)
