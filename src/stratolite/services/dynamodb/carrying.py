"""The workers behind exports and imports: a file after the other, each settled before the next.

Both call S3 as whoever asked for them, so that buckets' owners and policies have their say.
"""

from __future__ import annotations

import asyncio
import base64
import csv
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from hashlib import md5
from typing import Any

import orjson

from stratolite.core import Keyspace, Tx, work
from stratolite.core.work import Job, Settle
from stratolite.errors import Fault
from stratolite.http import FileSlice
from stratolite.service import Call, Cloud, Principal
from stratolite.services.dynamodb import history, ion, state
from stratolite.services.dynamodb.copying import FILL_COUNT, finish, target
from stratolite.services.dynamodb.keyring import ours, ring
from stratolite.services.dynamodb.sieve import Sieve
from stratolite.services.dynamodb.table import Table
from stratolite.services.dynamodb.values import (
    ITEM_SIZE_BYTES_MAX,
    Item,
    checked_item_size,
)
from stratolite.services.dynamodb.worker import SWEEP, Sweep
from stratolite.services.dynamodb.writes import Write

EXPORT = "dynamodb.export"
IMPORT = "dynamodb.import"
FILE_SIZE_BYTES = 8 << 20
LINE_SIZE_BYTES_MAX = 2 << 20
_READ_BYTES = 1 << 20
_ZSTD_STEP_BYTES = 256
_ZSTD_WINDOW_BYTES_MAX = 8 << 20


def _call(cloud: Cloud, account: str, region: str, who: dict[str, Any]) -> Call:
    return cloud.call(account, region, principal=Principal(**who))


class Exporter:
    queue = EXPORT
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        account, region, name = orjson.loads(job.payload)
        keys = Keyspace(account, region, "dynamodb")
        record = await self.cloud.db.transact(lambda tx: state.copy(tx, keys, "export", name))
        if record is None:
            return None
        call = _call(self.cloud, account, region, record["Who"])
        try:
            return await self._next_file(call, keys, name, record, job)
        except Fault as fault:
            message = fault.message
            code = f"S3{fault.code}"

            def failed(tx: Tx) -> None:
                self._end(tx, keys, name, "FAILED", FailureCode=code, FailureMessage=message)

            return failed

    async def _next_file(
        self, call: Call, keys: Keyspace, name: str, record: dict[str, Any], job: Job
    ) -> Settle:
        after = base64.b64decode(record["After"])
        lines: list[bytes] = []
        size, billed = 0, 0
        while True:
            read = _changes if record["From"] else _items
            found, after = await self.cloud.db.transact(
                partial(read, call=call, record=record, after=after)
            )
            lines += [line for line, _ in found if line]
            size += sum(len(line) for line, _ in found)
            billed += sum(cost for _, cost in found)
            if not after or size >= FILE_SIZE_BYTES:
                break
        if record["Description"]["ExportFormat"] == "ION":
            kind = "Record" if record["From"] else "Item"
            lines = await asyncio.to_thread(lambda: [ion.line(kind, line) for line in lines])
        entry = None
        if lines or not record["Files"]:
            entry = await self._put_file(call, name, record, lines)
        done = not after
        if done:
            files = await self.cloud.db.transact(
                lambda tx: [each for _, each in state.copies(tx, keys, f"export-file/{name}", "")]
            )
            await self._put_manifests(
                call, name, record, [*files, *([entry] if entry else [])], billed
            )

        def settle(tx: Tx) -> None:
            current = state.copy(tx, keys, "export", name)
            if current is None:
                return
            if entry is not None:
                state.put_copy(tx, keys, f"export-file/{name}", f"{current['Files']:08d}", entry)
                current["Files"] += 1
            current["Description"]["ItemCount"] += len(lines)
            current["Description"]["BilledSizeBytes"] += billed
            current["After"] = base64.b64encode(after).decode()
            state.put_copy(tx, keys, "export", name, current)
            if done:
                self._end(
                    tx,
                    keys,
                    name,
                    "COMPLETED",
                    ExportManifest=_key(record, name, "manifest-summary.json"),
                )
            else:
                work.put(tx, EXPORT, job.payload)

        return settle

    async def _put_file(
        self, call: Call, name: str, record: dict[str, Any], lines: list[bytes]
    ) -> dict[str, Any]:
        packed = await asyncio.to_thread(gzip.compress, b"".join(lines), 6)
        # The same name at a second attempt: it replaces what the first may have left.
        label = md5(f"{name}/{record['Files']}".encode(), usedforsecurity=False).hexdigest()[:26]
        ending = "ion" if record["Description"]["ExportFormat"] == "ION" else "json"
        key = _key(record, name, f"data/{label}.{ending}.gz")
        digest = await asyncio.to_thread(lambda: md5(packed, usedforsecurity=False).digest())
        await self._put(call, record, key, packed)
        return {
            "itemCount": len(lines),
            "md5Checksum": base64.b64encode(digest).decode(),
            "etag": digest.hex(),
            "dataFileS3Key": key,
        }

    async def _put_manifests(
        self,
        call: Call,
        name: str,
        record: dict[str, Any],
        files: list[dict[str, Any]],
        billed: int,
    ) -> None:
        said = record["Description"]
        manifest_files = b"".join(orjson.dumps(entry) + b"\n" for entry in files)
        summary: dict[str, Any] = {
            "version": "2023-08-01" if record["From"] else "2020-06-30",
            "exportArn": said["ExportArn"],
            "startTime": _iso(said["StartTime"]),
            "endTime": _iso(call.world.cloud()),
            "tableArn": said["TableArn"],
            "tableId": said["TableId"],
            "s3Bucket": said["S3Bucket"],
            "s3Prefix": said.get("S3Prefix"),
            "s3SseAlgorithm": said["S3SseAlgorithm"],
            "s3SseKmsKeyId": said.get("S3SseKmsKeyId"),
            "manifestFilesS3Key": _key(record, name, "manifest-files.json"),
            "billedSizeBytes": said["BilledSizeBytes"] + billed,
            "itemCount": sum(entry["itemCount"] for entry in files),
            "outputFormat": said["ExportFormat"],
            "exportType": said["ExportType"],
        }
        if record["From"]:
            span = said["IncrementalExportSpecification"]
            summary |= {
                "exportFromTime": _iso(span["ExportFromTime"]),
                "exportToTime": _iso(span["ExportToTime"]),
                "outputView": span["ExportViewType"],
            }
        else:
            summary["exportTime"] = _iso(said["ExportTime"])
        for file, body in (
            ("manifest-files.json", manifest_files),
            ("manifest-summary.json", orjson.dumps(summary)),
        ):
            check = base64.b64encode(md5(body, usedforsecurity=False).digest())
            await self._put(call, record, _key(record, name, file), body)
            await self._put(call, record, _key(record, name, file.replace(".json", ".md5")), check)

    async def _put(self, call: Call, record: dict[str, Any], key: str, body: bytes) -> None:
        said = record["Description"]
        request = {"Bucket": said["S3Bucket"], "Key": key, "Body": body}
        if "S3BucketOwner" in said:
            request["ExpectedBucketOwner"] = said["S3BucketOwner"]
        if said["S3SseAlgorithm"] == "KMS":
            request["ServerSideEncryption"] = "aws:kms"
            if "S3SseKmsKeyId" in said:
                request["SSEKMSKeyId"] = said["S3SseKmsKeyId"]
        await call.request("s3", "PutObject", request)

    def _end(self, tx: Tx, keys: Keyspace, name: str, status: str, **more: Any) -> None:
        record = state.copy(tx, keys, "export", name)
        if record is None:
            return
        record["Description"] |= {"ExportStatus": status, "EndTime": round(tx.time_s, 3), **more}
        state.put_copy(tx, keys, "export", name, record)
        _, _, _, region, account, _ = record["Description"]["TableArn"].split(":", 5)
        history.drop_reader(tx, account, region, record["Table"], name)


def _key(record: dict[str, Any], name: str, file: str) -> str:
    prefix = record["Description"].get("S3Prefix")
    return f"{prefix}/AWSDynamoDB/{name}/{file}" if prefix else f"AWSDynamoDB/{name}/{file}"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _source(tx: Tx, call: Call, record: dict[str, Any]) -> Table:
    table = ours(call.cloud, tx, call.account, call.region, record["Table"])
    assert table is not None, "a table that is read is not deleted"
    return table


def _items(
    tx: Tx, call: Call, record: dict[str, Any], after: bytes
) -> tuple[list[tuple[bytes, int]], bytes]:
    """Lines of a full export with the bytes they count for (b"" for what is read and not taken), and where to go on."""
    table = _source(tx, call, record)
    part = history.items_at(tx, table, record["At"], after)
    sieve = _sieve(table, record)
    if sieve is None:
        return [(b'{"Item":%b}\n' % raw, len(raw)) for _, raw in part.items], part.last
    found = []
    for _, raw in part.items:
        item = orjson.loads(raw)
        line = b'{"Item":%b}\n' % orjson.dumps(sieve.cut(item)) if sieve.takes(item) else b""
        found.append((line, len(raw) if sieve.reads(item) else 0))
    return found, part.last


def _sieve(table: Table, record: dict[str, Any]) -> Sieve | None:
    wanted = record["Description"].get("FilterSpecification")
    return None if wanted is None else Sieve(table, wanted)


def _image(raw: bytes, sieve: Sieve | None) -> Any:
    return orjson.Fragment(raw) if sieve is None else sieve.cut(orjson.loads(raw))


def _changes(
    tx: Tx, call: Call, record: dict[str, Any], after: bytes
) -> tuple[list[tuple[bytes, int]], bytes]:
    """The same of an incremental export."""
    table = _source(tx, call, record)
    view = record["Description"]["IncrementalExportSpecification"]["ExportViewType"]
    sieve = _sieve(table, record)
    changes, last = history.changes_between(tx, table, record["From"], record["At"], after)
    lines = []
    for change in changes:
        if change.old == change.new:
            continue
        item = orjson.loads(
            change.new or change.old or b"{}"
        )  # the latest there is: it is filtered
        if sieve is not None and not sieve.takes(item):
            lines.append((b"", len(change.new or change.old or b"") if sieve.reads(item) else 0))
            continue
        line: dict[str, Any] = {
            "Metadata": {"WriteTimestampMicros": {"N": str(change.at_ms * 1000)}},
            "Keys": table.key_of(item),
        }
        if change.old is not None and view == "NEW_AND_OLD_IMAGES":
            line["OldImage"] = _image(change.old, sieve)
        if change.new is not None:
            line["NewImage"] = _image(change.new, sieve)
        raw = orjson.dumps(line) + b"\n"
        lines.append((raw, len(raw)))
    return lines, last


class Importer:
    """Objects in the order of their keys, lines in theirs; what is no item is counted and left."""

    queue = IMPORT
    ordered = False
    concurrency = 2

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    async def handle(self, job: Job) -> Settle | None:
        wanted = orjson.loads(job.payload)
        keys = Keyspace(wanted["Account"], wanted["Region"], "dynamodb")
        name = wanted["Import"]
        record = await self.cloud.db.transact(lambda tx: state.copy(tx, keys, "import", name))
        if record is None:
            return None
        status: dict[str, Any] = {"ImportStatus": "COMPLETED"}
        try:
            await self._read_all(wanted, record)
        except Fault as fault:
            status = {
                "ImportStatus": "FAILED",
                "FailureCode": f"S3{fault.code}",
                "FailureMessage": fault.message,
            }

        def settle(tx: Tx) -> None:
            current = state.copy(tx, keys, "import", name)
            if current is None:
                return
            current["Description"] |= {**status, "EndTime": round(tx.time_s, 3)}
            state.put_copy(tx, keys, "import", name, current)
            if status["ImportStatus"] == "COMPLETED":
                finish(tx, self.cloud, wanted)
            elif (table := target(tx, self.cloud, wanted)) is not None:
                _drop(tx, self.cloud, table)

        return settle

    async def _read_all(self, wanted: dict[str, Any], record: dict[str, Any]) -> None:
        keys = Keyspace(wanted["Account"], wanted["Region"], "dynamodb")
        said = record["Description"]
        call = _call(self.cloud, wanted["Account"], wanted["Region"], record["Who"])
        source = said["S3BucketSource"]
        at = await self.cloud.db.transact(lambda tx: state.progress(tx, keys, wanted["Number"]))
        key, line = at or ["", 0]
        listing: dict[str, Any] = {"Bucket": source["S3Bucket"]}
        if "S3KeyPrefix" in source:
            listing["Prefix"] = source["S3KeyPrefix"]
        if "S3BucketOwner" in source:
            listing["ExpectedBucketOwner"] = source["S3BucketOwner"]
        if key:
            await self._read_one(call, wanted, said, key, line)
            listing["StartAfter"] = key
        while True:
            page = await call.request("s3", "ListObjectsV2", listing)
            for found in page.get("Contents", ()):
                await self._read_one(call, wanted, said, found["Key"], 0)
            if not page.get("IsTruncated"):
                return
            listing["ContinuationToken"] = page["NextContinuationToken"]

    async def _read_one(
        self, call: Call, wanted: dict[str, Any], said: dict[str, Any], key: str, skip: int
    ) -> None:
        bucket = said["S3BucketSource"]["S3Bucket"]
        answer = await call.request("s3", "GetObject", {"Bucket": bucket, "Key": key})
        chunks = _chunks(answer["Body"])
        if said["InputCompressionType"] != "NONE":
            chunks = _unpacked(chunks, said["InputCompressionType"])
        parse = _parser(said)
        some: list[bytes] = []
        at, count = [key, skip], 0
        async for line in _lines(chunks):
            count += 1
            if count == 1 and parse.takes_header:
                parse.header(line)
                continue
            if count <= skip or not line.strip():
                continue
            some.append(line)
            if len(some) == FILL_COUNT:
                await self._fill(wanted, parse, some, at, [key, count])
                some, at = [], [key, count]
        await self._fill(wanted, parse, some, at, [key, count])

    async def _fill(
        self, wanted: dict[str, Any], parse: Format, lines: list[bytes], at: Any, following: Any
    ) -> None:
        some = await asyncio.to_thread(lambda: [(line, parse.item(line)) for line in lines])

        def put(tx: Tx) -> None:
            table = target(tx, self.cloud, wanted)
            if table is None:
                return
            known = state.progress(tx, table.space, table.number)
            if known is not None and known > at:
                return  # done by an earlier attempt
            errors = 0
            for _, item in some:
                try:
                    if item is None or checked_item_size(item) > ITEM_SIZE_BYTES_MAX:
                        raise Fault("ValidationException", "no item")
                    table.check_item(item)
                except Fault:
                    errors += 1
                    continue
                Write(tx, table, table.row(item)).put(item)
            state.put_progress(tx, table.space, table.number, following)
            record = state.copy(tx, table.space, "import", wanted["Import"])
            assert record is not None, "imports are not deleted"
            said = record["Description"]
            said["ProcessedItemCount"] += len(some)
            said["ProcessedSizeBytes"] += sum(len(line) + 1 for line, _ in some)
            said["ImportedItemCount"] += len(some) - errors
            said["ErrorCount"] += errors
            state.put_copy(tx, table.space, "import", wanted["Import"], record)

        await self.cloud.db.transact(put)


def _drop(tx: Tx, cloud: Cloud, table: Table) -> None:
    """A table that could not be imported was never there."""
    if table.sse is not None:
        ring(cloud).retire(tx, table.record, table.sse)
    state.delete_table(tx, table.account, table.region, table.name)
    state.delete_progress(tx, table.space, table.number)
    work.put(tx, SWEEP, Sweep(table.account, table.region, table.number, None).pack())


# -- reading objects


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    elif isinstance(body, FileSlice):
        at, end = body.offset, body.offset + body.size_bytes
        while at < end:
            piece = await asyncio.to_thread(_read_at, body.path, at, min(_READ_BYTES, end - at))
            at += len(piece)
            yield piece
    else:
        async for piece in body:
            yield piece


def _read_at(path: str, at: int, size: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(size)


def _unpacked(chunks: AsyncIterator[bytes], how: str) -> AsyncIterator[bytes]:
    return _unzipped(chunks) if how == "GZIP" else _unsqueezed(chunks)


async def _unzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A gzip file of one or several members; never more than a piece of it in memory."""
    unpack = zlib.decompressobj(31)
    async for chunk in chunks:
        rest = chunk
        while rest:
            try:
                yield unpack.decompress(rest, _READ_BYTES)
            except zlib.error as error:
                raise Fault("InvalidObjectState", f"not a gzip file: {error}") from error
            rest = unpack.unconsumed_tail
            if unpack.eof:
                rest, unpack = unpack.unused_data, zlib.decompressobj(31)


async def _unsqueezed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A Zstandard file of one or several frames, given a little at a time: a small piece can hold a great deal."""
    import zstandard

    def fresh() -> zstandard.ZstdDecompressionObj:
        return zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX).decompressobj()

    unpack = fresh()
    async for chunk in chunks:
        for at in range(0, len(chunk), _ZSTD_STEP_BYTES):
            rest = chunk[at : at + _ZSTD_STEP_BYTES]
            while rest:
                try:
                    yield unpack.decompress(rest)
                except zstandard.ZstdError as error:
                    raise Fault("InvalidObjectState", f"not a Zstandard file: {error}") from error
                rest = b""
                if unpack.eof:
                    rest, unpack = unpack.unused_data, fresh()


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    held = b""
    async for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(held) > LINE_SIZE_BYTES_MAX:
            raise Fault("InvalidObjectState", f"a line is longer than {LINE_SIZE_BYTES_MAX} bytes")
    if held:
        yield held


class _Json:
    """A line is {"Item": {...}}."""

    takes_header = False

    def header(self, line: bytes) -> None:
        raise AssertionError(line)

    def item(self, line: bytes) -> Item | None:
        try:
            item = orjson.loads(line)["Item"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return item if isinstance(item, dict) else None


class _Csv:
    """All attributes are strings, but key attributes are what the table says of them.

    Source  https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Format.html
    """

    def __init__(self, names: list[str] | None, delimiter: str, kinds: dict[str, str]) -> None:
        self.takes_header = names is None
        self.names, self.delimiter, self.kinds = names or [], delimiter, kinds

    def header(self, line: bytes) -> None:
        self.names = self._split(line) or []

    def item(self, line: bytes) -> Item | None:
        values = self._split(line)
        if values is None or len(values) > len(self.names):
            return None
        item = {}
        for name, value in zip(self.names, values, strict=False):
            if value:
                kind = self.kinds.get(name, "S")
                item[name] = {kind: value}
        return item

    def _split(self, line: bytes) -> list[str] | None:
        try:
            rows: Iterator[list[str]] = csv.reader(
                [line.decode().rstrip("\r")], delimiter=self.delimiter
            )
            return next(rows, None)
        except (UnicodeDecodeError, csv.Error):
            return None


class _Ion:
    """A line is $ion_1_0 {Item:{...}}."""

    takes_header = False

    def header(self, line: bytes) -> None:
        raise AssertionError(line)

    def item(self, line: bytes) -> Item | None:
        return ion.item(line)


Format = _Json | _Csv | _Ion


def _parser(said: dict[str, Any]) -> Format:
    if said["InputFormat"] == "ION":
        return _Ion()
    if said["InputFormat"] != "CSV":
        return _Json()
    options = (said.get("InputFormatOptions") or {}).get("Csv") or {}
    definitions = said["TableCreationParameters"]["AttributeDefinitions"]
    kinds = {d["AttributeName"]: d["AttributeType"] for d in definitions}
    return _Csv(options.get("HeaderList"), options.get("Delimiter", ","), kinds)
