"""The child that changes an Iceberg table with pyiceberg: reads and writes its files by asking the parent for them.

Started by file name, without stratolite: what it imports stays out of the server. It has no network, no credentials, no
files and limited memory; the parent limits its time. Frames on both pipes are 4 bytes of length, big-endian, and msgpack:

    parent  {location, steps, now_ms, properties}          the task, once
    child   {get: location}        parent  {data} | {}     {}: there is no such file
    child   {put: location, data}  parent  {}
    child   {done: {location: of the new metadata or "", rows, gone: locations nobody needs any more}} | {error: text}

A task's steps become one commit, in this order: {expire: {column, before_ms}} deletes rows, {drop: {column, values}} too,
{append: rows} adds some (timestamps are milliseconds). Then the table is tidied: small files are joined once there are
``FILES_COUNT_MAX``, snapshots older than ``SNAPSHOT_S`` go once there are ``SNAPSHOTS_COUNT_MAX``.
"""

from __future__ import annotations

import io
import os
import resource
import struct
import sys
import threading
import time
import traceback
import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec

FILES_COUNT_MAX = 100
JOINED_BYTES_MAX = 64 << 20
"""Above this small files stay as they are: joining reads all into memory."""
SNAPSHOTS_COUNT_MAX = 100
SNAPSHOT_S = 3600
METADATA_COUNT_MAX = 20


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


def main() -> None:
    memory_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
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
    table, catalog = _open(pipe, task["location"])
    before = table.metadata
    rows = _change(table, task)
    if catalog.changed:
        _join_files(table)
        _expire_snapshots(table, task["now_ms"])
    if not catalog.changed:
        return {"location": "", "rows": 0, "gone": []}
    location = catalog.finish()
    return {"location": location, "rows": rows, "gone": _gone(table.io, before, catalog.metadata)}


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
            version = int(location.rpartition("/")[2].partition("-")[0] or 0) + 1
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
    from pyiceberg.expressions import In, LessThan

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


def _join_files(table: Any) -> None:
    snapshot = table.current_snapshot()
    if snapshot is None or snapshot.summary is None:
        return
    said = snapshot.summary.additional_properties
    if int(said.get("total-data-files", 0)) < FILES_COUNT_MAX:
        return
    if int(said.get("total-files-size", 0)) > JOINED_BYTES_MAX:
        return
    table.overwrite(table.scan().to_arrow())


def _expire_snapshots(table: Any, now_ms: int) -> None:
    if len(table.metadata.snapshots) < SNAPSHOTS_COUNT_MAX:
        return
    before = datetime.fromtimestamp(now_ms / 1000 - SNAPSHOT_S).astimezone()
    table.maintenance.expire_snapshots().older_than(before).commit()


def _gone(files: Any, before: Any, after: Any) -> list[str]:
    """Files that the table named ``before`` and names no more ``after``."""
    logged = {entry.metadata_file for entry in after.metadata_log}
    gone = {entry.metadata_file for entry in before.metadata_log} - logged
    kept_ids = {s.snapshot_id for s in after.snapshots}
    expired = [s for s in before.snapshots if s.snapshot_id not in kept_ids]
    if not expired:
        return sorted(gone)
    kept: set[str] = set()
    for snapshot in after.snapshots:
        kept |= _files_of(files, snapshot)
    for snapshot in expired:
        gone |= _files_of(files, snapshot) - kept
    return sorted(gone)


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


if __name__ == "__main__":
    main()
