"""SelectObjectContent: SQL over one object, run in a jailed child, answered as a stream of events.

The object's bytes (opened, decompressed, its scan range cut out) go into a file without a name; a child process
(``select_child``) gets its descriptor and the query, already checked and rewritten by ``select_sql``.
Source  https://docs.aws.amazon.com/AmazonS3/latest/API/API_SelectObjectContent.html
"""

from __future__ import annotations

import asyncio
import bz2
import csv
import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from stratolite.clock import iso
from stratolite.errors import Fault
from stratolite.runtime import jail
from stratolite.service import Call, Request, Response
from stratolite.services.s3 import (
    access_logs,
    archive_rules,
    content,
    encryption,
    select_faults,
    select_sql,
    select_times,
)
from stratolite.services.s3.content import Piece
from stratolite.services.s3.faults import invalid_argument, malformed_xml
from stratolite.services.s3.objects import Objects
from stratolite.services.s3.select_sql import Header, Query

EXPANDED_BYTES_MAX = 4 << 30
"""Of an object, decompressed."""
DOCUMENT_BYTES_MAX = 64 << 20
"""Of a JSON document, which is read whole."""
MEMORY_MB = 512
CPU_S_MAX = 60
TIME_S_MAX = 120.0
SELECTS_COUNT_MAX = 4
_HEADER_BYTES = 1 << 20
_PIECE_BYTES = 1 << 20
csv.field_size_limit(
    max(csv.field_size_limit(), _HEADER_BYTES)
)  # a field may be all that is looked at
MISSING = object()
"""What a path that leads nowhere leads to."""
_ROW = "v"
_CHILD = str(Path(__file__).with_name("select_child.py"))


class _Input(NamedTuple):
    kind: str
    """csv, json or parquet."""
    options: dict[str, Any]
    compression: str


class _Source(NamedTuple):
    pieces: list[Piece]
    size_bytes: int


class Selecting(Objects):
    _room: asyncio.Semaphore | None = None

    async def select_object_content(self, call: Call, request: Request) -> Response:
        if (request.get("ExpressionType") or "").upper() != "SQL":
            raise Fault(
                "InvalidExpressionType",
                "The ExpressionType is invalid. Only SQL expressions are supported.",
                status=400,
            )
        wanted = _input(request.get("InputSerialization") or {})
        output = _output(request.get("OutputSerialization") or {})
        select_sql.parse(request["Expression"])  # before anything is read

        def look(inner: Call) -> _Source:
            bucket, key, head, _ = self._found(inner, request)
            archive_rules.check_readable(inner, head)
            sse = head.more.get("sse") or {}
            data_key = encryption.open_key(inner, bucket, request["Key"], sse, request)
            pieces = content.pieces(inner.tx, bucket, key, head, data_key=data_key)
            return _Source(pieces, head.size_bytes)

        source = await call.transact(look)
        cut = _scan_range(request.get("ScanRange"), wanted, source.size_bytes)
        time_s = call.world.cloud()
        now = f"{iso(time_s)[:-1]}.{int(time_s * 1000) % 1000:03}Z"
        if self._room is None:
            self._room = asyncio.Semaphore(SELECTS_COUNT_MAX)
        await self._room.acquire()
        try:
            run = await _begin(self, source, wanted, request["Expression"], output, cut, now)
        except BaseException:
            self._room.release()
            raise
        run.watch(self._room)
        progress = bool((request.get("RequestProgress") or {}).get("Enabled"))
        events = self._events(call, request, run, source.size_bytes, progress=progress)
        return {"Payload": events}

    async def _events(
        self, call: Call, request: Request, run: _Run, size_bytes: int, *, progress: bool
    ) -> AsyncIterator[dict[str, Any]]:
        returned = 0

        def details() -> dict[str, int]:
            return {
                "BytesScanned": size_bytes,
                "BytesProcessed": run.processed,
                "BytesReturned": returned,
            }

        try:
            async with asyncio.timeout(TIME_S_MAX):
                if progress:
                    yield {"Progress": {"Details": details()}}
                async for rows in run.rows():
                    returned += len(rows)
                    yield {"Records": {"Payload": rows}}
                await call.transact(
                    lambda inner: access_logs.selected(inner, request, size_bytes, returned)
                )
                yield {"Stats": {"Details": details()}}
                yield {"End": {}}
        finally:
            await run.close()


class _Run:
    """A child at work."""

    def __init__(self, child: asyncio.subprocess.Process, processed: int, kind: str) -> None:
        self._child, self._kind = child, kind
        self.processed = processed
        self._room: asyncio.Semaphore | None = None
        self._watch: asyncio.TimerHandle | None = None

    def watch(self, room: asyncio.Semaphore) -> None:
        """Give the place in ``room`` back when it ends, also where nobody ever asks for its rows."""
        self._room = room
        loop = asyncio.get_running_loop()
        self._watch = loop.call_later(TIME_S_MAX + 5, self._end)

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._room is not None:
            self._room.release()
            self._room = None
        if self._child.returncode is None:
            with suppress(ProcessLookupError):
                self._child.kill()

    async def frame(self) -> tuple[bytes, bytes]:
        """(kind, payload). Raises Fault for an error of the query, or a child that went away."""
        assert self._child.stdout is not None
        try:
            head = await self._child.stdout.readexactly(5)
            (size,) = struct.unpack(">I", head[:4])
            payload = await self._child.stdout.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise Fault(
                "Busy",
                "The query needed more memory or time than is allowed. Reduce your request.",
                status=503,
            ) from error
        if head[4:] == b"E":
            said = orjson.loads(payload)
            raise select_faults.raised(said["kind"], said["message"], self._kind)
        return head[4:], payload

    async def rows(self) -> AsyncIterator[bytes]:
        while True:
            kind, payload = await self.frame()
            if kind == b"D":
                return
            yield payload

    async def close(self) -> None:
        self._end()
        await self._child.wait()


async def _begin(
    service: Objects,
    source: _Source,
    wanted: _Input,
    expression: str,
    output: dict[str, Any],
    cut: tuple[int, int] | None,
    now: str,
) -> _Run:
    folder = f"{service.cloud.data_folder}/cache"
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        size = await _fill(service, source, wanted, cut, file)
        said, query = await asyncio.to_thread(_described, wanted, expression, now, file)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        if wanted.kind == "parquet" and cut:
            said["scan"] = cut
        said |= {
            "fd": file.fileno(),
            "sql": query.sql("\0TABLE\0", "\0raw[]\0" if wanted.kind == "json" else "*"),
            "names": query.names or said["columns_named"],
            "raw": query.raw,
            "whole": not query.names and wanted.kind != "json",
            "macros": select_times.MACROS,
            "output": output,
            "memory_mb": MEMORY_MB,
        }
        child = await asyncio.create_subprocess_exec(
            *jail.command(_CHILD, MEMORY_MB * 4 << 20, CPU_S_MAX, [file.fileno()]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
            env=jail.ENVIRONMENT,
            cwd="/",
            limit=1 << 20,
        )
    run = _Run(child, size, wanted.kind)
    try:
        assert child.stdin is not None
        child.stdin.write(orjson.dumps(said) + b"\n")
        await child.stdin.drain()
        async with asyncio.timeout(TIME_S_MAX):
            await run.frame()  # S: the query began
    except BaseException as error:
        await run.close()
        if isinstance(error, TimeoutError):
            raise Fault("Busy", "The query took longer than is allowed.", status=503) from error
        raise
    return run


async def _fill(
    service: Objects,
    source: _Source,
    wanted: _Input,
    cut: tuple[int, int] | None,
    file: IO[bytes],
) -> int:
    """The object's bytes into ``file``, decompressed, the scan range alone; how many."""
    if wanted.kind == "parquet":
        cut = None  # it is the child that knows where row groups begin
    delimiter = (wanted.options.get("RecordDelimiter") or "\n").encode()
    change = wanted.kind == "csv" and delimiter not in (b"\n", b"\r\n")
    total, carried = 0, b""
    scan = _Scan(cut, delimiter if change else b"\n") if cut else None
    header = _header_of(wanted, cut, delimiter if change else b"\n")
    chunks = content.joined(service.cloud, source.pieces)
    async for piece in _expanded(chunks, wanted.compression):
        data = piece
        if scan is not None:
            data = header.take(piece) + scan.take(piece)
        if change:
            data, carried = _as_lines(carried + data, delimiter)
        total += len(data)
        if total > EXPANDED_BYTES_MAX:
            raise Fault("OverMaxRecordSize", "The object is too large, decompressed.", status=400)
        file.write(data)
        if scan is not None and scan.done:
            break
    rest = carried + (scan.rest() if scan is not None else b"")
    if change:
        rest = b"".join(_as_lines(rest, delimiter))
    file.write(rest)
    return total + len(rest)


def _as_lines(data: bytes, delimiter: bytes) -> tuple[bytes, bytes]:
    """Its records as lines, and what may be the beginning of a delimiter."""
    *records, last = data.split(delimiter)
    held = max((n for n in range(len(delimiter)) if last.endswith(delimiter[:n])), default=0)
    kept = last[: len(last) - held]
    return b"\n".join([*records, kept]), last[len(last) - held :]


async def _expanded(chunks: AsyncIterator[bytes], compression: str) -> AsyncIterator[bytes]:
    """Decompressed, in pieces of at most ``_PIECE_BYTES``: a few bytes may stand for gigabytes."""
    if compression == "NONE":
        async for chunk in chunks:
            yield chunk
        return
    expand = _bunzip() if compression == "BZIP2" else _gunzip()
    async for chunk in chunks:
        pieces = expand(chunk)
        while True:
            try:
                piece = await asyncio.to_thread(next, pieces, None)
            except (zlib.error, OSError, EOFError) as error:
                raise Fault(
                    "InvalidCompressionFormat",
                    f"{compression} is not applicable to the queried object. Please correct "
                    "the request and try again.",
                    status=400,
                ) from error
            if piece is None:
                break
            yield piece


Expand = Callable[[bytes], Iterator[bytes]]


def _bunzip() -> Expand:
    made = bz2.BZ2Decompressor()

    def expand(chunk: bytes) -> Iterator[bytes]:
        nonlocal made
        while True:
            yield made.decompress(chunk, _PIECE_BYTES)
            chunk = b""
            if made.eof:
                chunk, made = made.unused_data, bz2.BZ2Decompressor()
                if not chunk:
                    return
            elif made.needs_input:
                return

    return expand


def _gunzip() -> Expand:
    inflate = zlib.decompressobj(31)

    def expand(chunk: bytes) -> Iterator[bytes]:
        nonlocal inflate
        while True:
            piece = inflate.decompress(chunk, _PIECE_BYTES)
            yield piece
            chunk = inflate.unconsumed_tail
            if inflate.eof:
                chunk, inflate = inflate.unused_data, zlib.decompressobj(31)
                if not chunk:
                    return
            elif not chunk and len(piece) < _PIECE_BYTES:
                return

    return expand


def _header_of(wanted: _Input, cut: tuple[int, int] | None, delimiter: bytes) -> _Scan:
    """The first record, where it has the columns' names and is in front of the range: it counts for every range."""
    named = (wanted.options.get("FileHeaderInfo") or "NONE").upper() != "NONE"
    before = wanted.kind == "csv" and named and cut is not None and cut[0] > 0
    header = _Scan((0, 1), delimiter)
    header.done = not before
    return header


class _Scan:
    """Lets through the records that begin in a range of bytes, whole."""

    def __init__(self, cut: tuple[int, int], delimiter: bytes = b"\n") -> None:
        self._start, self._stop = cut
        self._delimiter = delimiter
        self._at, self._held = 0, b""
        self._begun = self._start == 0
        self.done = False

    def take(self, data: bytes) -> bytes:
        if self.done:
            return b""
        data, size, self._held = self._held + data, len(self._delimiter), b""
        if not self._begun:  # a record begins behind the delimiter before the range
            found = data.find(self._delimiter, max(0, self._start - size - self._at))
            if found < 0:
                self._hold(data)
                return b""
            self._begun = True
            self._at, data = self._at + found + size, data[found + size :]
            if self._at >= self._stop:
                self.done = True
                return b""
        found = data.find(self._delimiter, max(0, self._stop - size - self._at))
        if found < 0:
            return self._hold(data)
        self.done = True
        return data[: found + size]

    def _hold(self, data: bytes) -> bytes:
        """Keep what may be the beginning of a delimiter; the rest."""
        passed = len(data) - (len(self._delimiter) - 1)
        passed = max(0, passed)
        self._at, self._held = self._at + passed, data[passed:]
        return data[:passed]

    def rest(self) -> bytes:
        """What was held, at the end of the object."""
        return self._held if self._begun else b""


def _described(
    wanted: _Input, expression: str, now: str, file: IO[bytes]
) -> tuple[dict[str, Any], Query]:
    if wanted.kind == "csv":
        return _described_csv(wanted.options, expression, now, file)
    query = select_sql.parse(expression, wanted.kind, now=now)
    said = {"format": wanted.kind, "columns": [], "columns_named": [], "skip_first": False}
    if wanted.kind == "json":
        lines = wanted.options.get("Type", "").upper() == "LINES"
        steps = query.path[1:]
        if not lines or steps:
            _flatten(file, steps)
            said["root"] = _ROW
    return said, query


def _described_csv(
    options: dict[str, Any], expression: str, now: str, file: IO[bytes]
) -> tuple[dict[str, Any], Query]:
    delimiter = options.get("FieldDelimiter") or ","
    quote = options.get("QuoteCharacter") or '"'
    header = (options.get("FileHeaderInfo") or "NONE").upper()
    file.seek(0)
    sample = file.read(_HEADER_BYTES).decode("utf-8", "replace")
    comment = options.get("Comments") or ""
    reader = csv.reader(
        (
            line
            for line in io.StringIO(sample, newline="")
            if not comment or not line.startswith(comment)
        ),
        delimiter=delimiter[0],
        quotechar=quote,
    )
    try:
        rows = [row for row, _ in zip(reader, range(1000), strict=False)]
    except csv.Error as error:
        raise select_faults.fault("CSVParsingError") from error
    widest = max((len(row) for row in rows), default=1)
    columns = [f"_{n}" for n in range(1, widest + 1)]
    names = [name.strip() for name in rows[0]] if header == "USE" and rows else None
    said = {
        "format": "csv",
        "columns": columns,
        "columns_named": _unique(names or [], widest),
        "skip_first": header in ("USE", "IGNORE"),
        "delimiter": delimiter,
        "quote": quote,
        "escape": options.get("QuoteEscapeCharacter") or quote,
        "comment": comment,
        "lines_in_quotes": _flag(options.get("AllowQuotedRecordDelimiter")),
    }
    return said, select_sql.parse(expression, "csv", Header(names, widest), now=now)


def _unique(header: list[str], widest: int) -> list[str]:
    """What ``*`` calls the columns: none twice."""
    names: list[str] = []
    for number in range(widest):
        name = header[number].strip() if number < len(header) else ""
        if not name or name in names:
            name = f"_{number + 1}"
        names.append(name)
    return names


def _flatten(file: IO[bytes], steps: list[str | int]) -> None:
    """JSON documents, or what lies below ``steps`` in them, one a line as {_ROW: ...}. Raises Fault."""
    file.seek(0, os.SEEK_END)
    if file.tell() > DOCUMENT_BYTES_MAX:
        raise Fault("OverMaxRecordSize", "The JSON document is too large.", status=400)
    file.seek(0)
    text = file.read().decode("utf-8", "replace")
    decoder, at, out = json.JSONDecoder(), 0, []
    while (at := _past_space(text, at)) < len(text):
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise select_faults.fault("JSONParsingError") from error
        out += [
            orjson.dumps({} if one is MISSING else {_ROW: one}) for one in _below(document, steps)
        ]
    file.seek(0)
    file.truncate()
    file.write(b"\n".join(out) + (b"\n" if out else b""))


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n\ufeff":
        at += 1
    return at


def _below(value: Any, steps: list[str | int]) -> list[Any]:
    """What ``steps`` lead to: at least one, which is MISSING where nothing matches."""
    found = [value]
    for step in steps:
        following: list[Any] = []
        for one in found:
            if isinstance(step, str):
                following.append(_member(one, step))
            elif step == select_sql.ANY:
                following += (one if isinstance(one, list) else []) or [MISSING]
            elif step == select_sql.MEMBERS:
                following += (list(one.values()) if isinstance(one, dict) else []) or [MISSING]
            else:
                held = isinstance(one, list) and step < len(one)
                following.append(one[step] if held else MISSING)
        found = following
    return found


def _member(value: Any, name: str) -> Any:
    if not isinstance(value, dict):
        return MISSING
    if name in value:
        return value[name]
    return next((value[key] for key in value if key.lower() == name.lower()), MISSING)


# -- what the request says


def _input(said: dict[str, Any]) -> _Input:
    kinds = [kind for kind in ("CSV", "JSON", "Parquet") if kind in said]
    if len(kinds) != 1:
        raise Fault(
            "InvalidDataSource",
            "Invalid data source type. Only CSV, JSON, and Parquet are supported.",
            status=400,
        )
    options = said[kinds[0]] or {}
    compression = (said.get("CompressionType") or "NONE").upper()
    if compression not in ("NONE", "GZIP", "BZIP2"):
        raise Fault(
            "InvalidCompressionFormat",
            "The file is not in a supported compression format. Only GZIP and BZIP2 are supported.",
            status=400,
        )
    if kinds[0] == "Parquet" and compression != "NONE":
        raise Fault(
            "InvalidCompressionFormat",
            "Whole-object compression is not supported for Parquet.",
            status=400,
        )
    if kinds[0] == "JSON" and (options.get("Type") or "").upper() not in ("LINES", "DOCUMENT"):
        raise Fault(
            "InvalidJsonType",
            "The JsonType is invalid. Only DOCUMENT and LINES are supported.",
            status=400,
        )
    if kinds[0] == "CSV":
        header = (options.get("FileHeaderInfo") or "NONE").upper()
        if header not in ("USE", "IGNORE", "NONE"):
            raise Fault(
                "InvalidFileHeaderInfo",
                "The FileHeaderInfo is invalid. Only NONE, USE, and IGNORE are supported.",
                status=400,
            )
    return _Input(kinds[0].lower(), options, compression)


def _output(said: dict[str, Any]) -> dict[str, Any]:
    if ("CSV" in said) == ("JSON" in said):
        raise malformed_xml()
    if "JSON" in said:
        return {"kind": "json", "record": (said["JSON"] or {}).get("RecordDelimiter") or "\n"}
    options = said["CSV"] or {}
    quote = options.get("QuoteCharacter") or '"'
    fields = (options.get("QuoteFields") or "ASNEEDED").upper()
    if fields not in ("ALWAYS", "ASNEEDED"):
        raise Fault(
            "InvalidQuoteFields",
            "The QuoteFields is invalid. Only ALWAYS and ASNEEDED are supported.",
            status=400,
        )
    delimiter = options.get("FieldDelimiter") or ","
    if len(delimiter) != 1 or len(quote) != 1:
        raise invalid_argument(
            "Delimiters and quotes are one character", "FieldDelimiter", delimiter
        )
    return {
        "kind": "csv",
        "delimiter": delimiter,
        "record": options.get("RecordDelimiter") or "\n",
        "quote": quote,
        "escape": options.get("QuoteEscapeCharacter") or quote,
        "always": fields == "ALWAYS",
    }


def _flag(value: Any) -> bool:
    return str(value).lower() == "true"


def _scan_range(said: dict[str, Any] | None, wanted: _Input, size: int) -> tuple[int, int] | None:
    if not said:
        return None
    if (
        wanted.compression != "NONE"
        or (wanted.kind == "json" and wanted.options["Type"].upper() != "LINES")
        or _flag(wanted.options.get("AllowQuotedRecordDelimiter"))
    ):
        raise Fault(
            "UnsupportedScanRangeInput",
            "Scan range queries are not supported on this type of object.",
            status=400,
        )
    start, end = said.get("Start"), said.get("End")
    if start is None and end is None:
        raise malformed_xml()
    if start is None:
        return max(0, size - int(end or 0)), size
    stop = size if end is None else min(size, int(end) + 1)
    if start >= size or stop <= start:
        raise Fault("InvalidScanRange", "The provided scan range is invalid", status=400)
    return int(start), stop
