"""The child that changes an Iceberg table with pyiceberg: reads and writes its files by asking the parent for them.

Started by file name, without stratolite: what it imports stays out of the server. It is jailed (``runtime.guest.jail``); the
parent limits its time. Frames on both pipes are 4 bytes of length, big-endian, and msgpack:

    parent  {location, steps, now_ms, properties, tidy, listed?, before_ms?}          the task, once
    child   {get: location}        parent  {data} | {}     {}: there is no such file
    child   {put: location, data}  parent  {}
    child   {done: {location: of the new metadata or "", rows, gone: locations nobody needs any more}} | {error: text}

A task {create: what an Iceberg client wants, location, now_ms} is done as {metadata: JSON}. Any other's steps become one
commit, in this order: {expire: {column, before_ms}} deletes rows, {drop: {column, values}} too, {append: rows} adds some
(timestamps are milliseconds); {commit: {requirements, updates}} stands alone and is an Iceberg client's. Then the table is
tidied as {files, snapshots, age_ms, keep} says: files are joined once there are so many, 0 for never; once there are so many
snapshots those older than ``age_ms`` go, 0 for never, but for the ``keep`` newest. ``gone`` has what only they named, and of
``listed`` ([location, time of writing] of the files there are) what is older than ``before_ms`` and named by nobody.
"""

from __future__ import annotations

import io
import os
import re
import struct
import sys
import threading
import time
import traceback
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

JOINED_BYTES_MAX = 64 << 20
"""Above this small files stay as they are: joining reads all into memory."""


class Pipe:
    """Question and answer over the two pipes; asked from several threads."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._in, self._out = os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")
        self._lock = threading.Lock()

    def read(self) -> Any:
        (size,) = struct.unpack(">I", self._in.read(4))
        return msgspec.msgpack.decode(self._in.read(size))

    def write(self, message: dict[str, Any]) -> None:
        raw = msgspec.msgpack.encode(message)
        self._out.write(struct.pack(">I", len(raw)) + raw)
        self._out.flush()

    def ask(self, message: Any) -> Any:
        with self._lock:
            self.write(message)
            return self.read()


class WithoutPandas:
    """Where pandas is installed pyarrow takes half a second to load it, and nothing here needs it."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        if name == "pandas":
            raise ImportError(name)


LAZY = True
"""Which of pyiceberg's modules a task takes is seen when it is done."""


def warm() -> None:
    sys.meta_path.insert(0, WithoutPandas())


def main() -> None:
    pipe = Pipe(0, os.dup(1))
    os.dup2(2, 1)  # what a library prints is no answer
    task = pipe.read()
    try:
        answer: dict[str, Any] = {"done": work(pipe, task)}
    except Exception as error:  # noqa: BLE001 - whatever a library raises is the parent's answer
        at = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(at.filename)}:{at.lineno}"
        answer = {"error": f"{type(error).__name__} at {place}: {error}"[:1000]}
    pipe.write(answer)


def work(pipe: Pipe, task: dict[str, Any]) -> dict[str, Any]:
    _keep_time(task["now_ms"])
    if "create" in task:
        return {"metadata": _created(task["create"], task["location"])}
    table, catalog = _open(pipe, task["location"])
    before = table.metadata
    rows = _change(table, task)
    if catalog.changed or not task["steps"]:
        _join_files(table, task["tidy"])
        _expire_snapshots(table, task["tidy"], task["now_ms"])
    location = catalog.finish() if catalog.changed else ""
    after = catalog.metadata or before
    gone = _gone(table.io, before, after)
    if "before_ms" in task:
        kept = _named_by(table.io, after) | {location or task["location"]}
        gone |= {one for one, at in task["listed"] if at < task["before_ms"] and one not in kept}
    return {"location": location, "rows": rows, "gone": sorted(gone)}


def _created(wanted: dict[str, Any], location: str) -> str:
    from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import new_table_metadata
    from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder

    if not wanted.get("schema"):
        raise ValueError("a table needs a schema")
    spec, order = wanted.get("partition-spec"), wanted.get("write-order")
    properties = wanted.get("properties") or {}
    if properties.get("format-version", "2") != "2":
        raise ValueError("tables are of format version 2")
    made = new_table_metadata(
        schema=Schema.model_validate(wanted["schema"]),
        partition_spec=PartitionSpec.model_validate(spec) if spec else UNPARTITIONED_PARTITION_SPEC,
        sort_order=SortOrder.model_validate(order) if order else UNSORTED_SORT_ORDER,
        location=location,
        properties=properties,
    )
    text: str = made.model_dump_json(exclude_none=True)
    return text


def _keep_time(now_ms: int) -> None:
    """Times in the table are the cloud clock's, which the parent gave."""
    import pyiceberg.table.update

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(now_ms / 1000, tz)

    time.time = lambda: now_ms / 1000  # noqa: TID251 - it is the cloud clock's that is put in its place
    pyiceberg.table.update.datetime = Clock


def _open(pipe: Pipe, location: str) -> tuple[Any, Any]:
    from pyiceberg.catalog.noop import NoopCatalog
    from pyiceberg.io import FileIO, InputFile, OutputFile
    from pyiceberg.serializers import FromInputFile, ToOutputFile
    from pyiceberg.table import CommitTableResponse, Table
    from pyiceberg.table.locations import load_location_provider
    from pyiceberg.table.update import update_table_metadata

    sizes: dict[str, int] = {}

    class File(InputFile, OutputFile):  # type: ignore[misc]
        def _data(self) -> bytes:
            answer = pipe.ask({"get": self.location})
            if "data" not in answer:
                raise FileNotFoundError(self.location)
            data: bytes = answer["data"]
            return data

        def __len__(self) -> int:
            if self.location not in sizes:
                sizes[self.location] = len(self._data())
            return sizes[self.location]

        def exists(self) -> bool:
            return self.location in sizes or "data" in pipe.ask({"get": self.location})

        def open(self, seekable: bool = True) -> Any:
            return io.BytesIO(self._data())

        def to_input_file(self) -> Any:
            return self

        def create(self, overwrite: bool = False) -> Any:
            return Written(self.location)

    class Written(io.BytesIO):
        def __init__(self, location: str) -> None:
            super().__init__()
            self._location = location

        def close(self) -> None:
            if not self.closed:
                data = self.getvalue()
                sizes[self._location] = len(data)
                pipe.ask({"put": self._location, "data": data})
            super().close()

    class Files(FileIO):  # type: ignore[misc]
        def new_input(self, location: str) -> Any:
            return File(location)

        def new_output(self, location: str) -> Any:
            return File(location)

        def delete(self, location: Any) -> None:
            """The parent deletes, with the commit."""

    files = Files()

    class Catalog(NoopCatalog):  # type: ignore[misc]
        """Keeps the commits of this task in memory; ``finish`` writes the metadata they come to."""

        changed = False
        metadata: Any = None

        def commit_table(self, table: Any, requirements: Any, updates: Any) -> Any:
            base = table.metadata if self.metadata is None else self.metadata
            for requirement in requirements:
                requirement.validate(base)
            logged = None if self.changed else location
            self.metadata = update_table_metadata(base, updates, metadata_location=logged)
            self.changed = True
            return CommitTableResponse(metadata=self.metadata, metadata_location=location)

        def load_table(self, identifier: Any) -> Any:
            """As it is by now: asked for after a commit that found nothing to do."""
            found = metadata if self.metadata is None else self.metadata
            return Table(identifier, found, location, files, self)

        def finish(self) -> str:
            said = re.match(r"(\d{1,9})-", location.rpartition("/")[2])
            version = int(said[1]) + 1 if said else len(self.metadata.metadata_log)
            name = f"{version:05d}-{uuid.uuid4()}.metadata.json"  # noqa: TID251 - no World here
            provider = load_location_provider(self.metadata.location, self.metadata.properties)
            to: str = provider.new_metadata_location(name)
            ToOutputFile.table_metadata(self.metadata, files.new_output(to))
            return to

    catalog = Catalog("stratolite")
    metadata = FromInputFile.table_metadata(files.new_input(location))
    return Table(("table",), metadata, location, files, catalog), catalog


def _change(table: Any, task: dict[str, Any]) -> int:
    """Carry out the steps in one commit; how many rows were added."""
    if not task["steps"]:
        return 0
    from pyiceberg.expressions import In, LessThan
    from pyiceberg.table import CommitTableRequest

    if commit := task["steps"][0].get("commit"):
        asked = CommitTableRequest.model_validate(
            {"identifier": {"namespace": [], "name": "table"}, **commit}
        )
        base = table.metadata.location
        table.catalog.commit_table(table, asked.requirements, asked.updates)
        if table.catalog.metadata.location != base or table.catalog.metadata.format_version != 2:
            raise ValueError("location and format version of a table cannot be changed")
        return 0
    added = 0
    with table.transaction() as tx:
        wanted = task["properties"]
        if any(table.metadata.properties.get(k) != v for k, v in wanted.items()):
            tx.set_properties(**wanted)
        for step in task["steps"]:
            if expire := step.get("expire"):
                moment = datetime.fromtimestamp(expire["before_ms"] / 1000, UTC)
                said = moment.replace(tzinfo=None).isoformat(timespec="milliseconds")
                if table.current_snapshot() is not None:
                    tx.delete(LessThan(expire["column"], said))
            if (drop := step.get("drop")) and table.current_snapshot() is not None:
                tx.delete(In(drop["column"], drop["values"]))
            if rows := step.get("append"):
                tx.append(_arrow(table, rows))
                added += len(rows)
    return added


def _arrow(table: Any, rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    schema = schema_to_pyarrow(table.schema(), include_field_ids=False)
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_timestamp(field.type):
            values = [None if v is None else v * 1000 for v in values]  # microseconds
        elif pa.types.is_map(field.type):
            values = [None if v is None else list(v.items()) for v in values]
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _join_files(table: Any, tidy: dict[str, int]) -> None:
    snapshot = table.current_snapshot()
    if not tidy["files"] or snapshot is None or snapshot.summary is None:
        return
    said = snapshot.summary.additional_properties
    if int(said.get("total-data-files", 0)) < tidy["files"]:
        return
    if int(said.get("total-files-size", 0)) > JOINED_BYTES_MAX:
        return
    table.overwrite(table.scan().to_arrow())


def _expire_snapshots(table: Any, tidy: dict[str, int], now_ms: int) -> None:
    found = sorted(table.metadata.snapshots, key=_age)
    if not tidy["snapshots"] or len(found) < tidy["snapshots"]:
        return
    heads = {ref.snapshot_id for ref in table.metadata.refs.values()}
    old = [
        s.snapshot_id
        for s in found[max(tidy["keep"], 1) :]
        if s.timestamp_ms < now_ms - tidy["age_ms"] and s.snapshot_id not in heads
    ]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()


def _age(snapshot: Any) -> tuple[int, int]:
    """For an order with the newest first."""
    return -snapshot.timestamp_ms, -(snapshot.sequence_number or 0)


def _gone(files: Any, before: Any, after: Any) -> set[str]:
    """Files that the table named ``before`` and names no more ``after``."""
    logged = {entry.metadata_file for entry in after.metadata_log}
    gone = {entry.metadata_file for entry in before.metadata_log} - logged
    kept_ids = {s.snapshot_id for s in after.snapshots}
    expired = [s for s in before.snapshots if s.snapshot_id not in kept_ids]
    if expired:
        kept = _named_by(files, after)
        for snapshot in expired:
            gone |= _files_of(files, snapshot) - kept
    return gone


def _named_by(files: Any, metadata: Any) -> set[str]:
    """Every file that the table's snapshots and its log of metadata name."""
    found = {entry.metadata_file for entry in metadata.metadata_log}
    found |= {one.statistics_path for one in metadata.statistics}
    for snapshot in metadata.snapshots:
        found |= _files_of(files, snapshot)
    return found


_SEEN: dict[str, set[str]] = {}


def _files_of(files: Any, snapshot: Any) -> set[str]:
    found = {snapshot.manifest_list}
    for manifest in snapshot.manifests(files):
        path = manifest.manifest_path
        found.add(path)
        if path not in _SEEN:
            entries = manifest.fetch_manifest_entry(files, discard_deleted=True)
            _SEEN[path] = {entry.data_file.file_path for entry in entries}
        found |= _SEEN.get(path, set())
    return found
