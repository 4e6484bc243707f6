"""Snapshots: sorted runs folded from the log, and manifests that say which runs make up a position.

A snapshot never reads the store. A child process at low priority reads the entries since the last snapshot,
keeps the newest value of each key, and writes them as a run, merged with the older runs that are not much
larger. So a byte is rewritten some log2(state / step) times, and there are about as many runs.

Objects (``objects``), each a frame (``frames``), all created once and never changed:

    runs/<sequence 20>-<token 16>-<number 6>    STRATRUN; a piece: MessagePack map {key: value | nil}, ascending,
                                                nil deletes what older runs say; written for manifest <sequence>
    manifests/<sequence 20>                     STRATMAN; MessagePack array

        [sequence, position, time_ms, [[first, last, [[name, rows, size_bytes], ...]], ...]]

``position`` is the last entry covered, ``time_ms`` its time (cloud clock), then the runs, oldest first, each with the
first and last position it covers and its pieces in key order. Of a key, the newest run that has it is right.
A manifest is created only if its sequence number is free: whoever comes second drops what it wrote. A piece whose
sequence is above the newest manifest's may still be wanted; below, it is wanted if a manifest names it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol

import msgspec

from stratolite.clock import World
from stratolite.core import frames
from stratolite.core.log import Damaged, Writes, decode_entry
from stratolite.core.objects import Objects
from stratolite.core.store import Engine, apply
from stratolite.errors import Unavailable

PIECE_SIZE_BYTES = 8 << 20
FOLD_SIZE_BYTES = 128 << 20  # of keys and values in memory while folding
MERGE_RATIO = 2
_AHEAD = 8  # pieces fetched at once


class Piece(NamedTuple):
    name: str
    rows: int
    size_bytes: int


class Run(NamedTuple):
    first: int
    last: int
    pieces: list[Piece]

    @property
    def size_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)


class Manifest(NamedTuple):
    sequence: int
    position: int
    time_ms: int
    runs: list[Run]


class Entries(Protocol):
    """What is folded: a ``Log`` or a ``SegmentFolder``."""

    def entries(self, start: int) -> Iterator[tuple[int, bytes]]: ...


_encode = msgspec.msgpack.Encoder().encode
_decode_rows = msgspec.msgpack.Decoder(Writes).decode
_decode_manifest = msgspec.msgpack.Decoder(Manifest).decode
Rows = Iterator[tuple[bytes, bytes | None]]


def manifest_name(sequence: int) -> str:
    return f"manifests/{sequence:020d}"


def read_manifest(objects: Objects, name: str) -> Manifest | None:
    """None if it is gone. Raises Damaged, Unavailable."""
    data = objects.get(name)
    if data is None:
        return None
    try:
        return _decode_manifest(frames.unframe(frames.MANIFEST, data, name))
    except msgspec.MsgspecError as error:
        raise Damaged(f"object={name} cannot be decoded: {error}") from error


def manifests(objects: Objects) -> list[Manifest]:
    """All that are there, oldest first."""
    found = (read_manifest(objects, name) for name in objects.names("manifests/"))
    return [manifest for manifest in found if manifest is not None]


def newest_manifest(objects: Objects) -> Manifest | None:
    for name in reversed(objects.names("manifests/")):
        if (manifest := read_manifest(objects, name)) is not None:
            return manifest
    return None


def load(objects: Objects, manifest: Manifest, engine: Engine) -> None:
    """Fill an empty engine. Raises Unavailable if a piece is gone: then a newer manifest is there."""
    pieces = [piece for run in manifest.runs for piece in run.pieces]
    ahead = _AHEAD if objects.far else 1
    with ThreadPoolExecutor(ahead) as pool:
        for at in range(0, len(pieces), ahead):
            for rows in pool.map(partial(_read_piece, objects), pieces[at : at + ahead]):
                apply(engine, rows, 0)
    apply(engine, {}, manifest.position)


def _read_piece(objects: Objects, piece: Piece) -> Writes:
    data = objects.get(piece.name)
    if data is None:
        raise Unavailable(f"object={piece.name} is gone")
    try:
        rows = _decode_rows(frames.unframe(frames.RUN, data, piece.name))
    except msgspec.MsgspecError as error:
        raise Damaged(f"object={piece.name} cannot be decoded: {error}") from error
    if len(rows) != piece.rows:
        raise Damaged(f"object={piece.name} rows={len(rows)}, its manifest says {piece.rows}")
    return rows


# -- making one


def advance(log: Entries, objects: Objects, world: World, through: int) -> Manifest | None:
    """Cover the log up to ``through``, or less where memory bounds it. Gives the newest manifest.

    Raises Trimmed if the log no longer has what the newest manifest lacks (another has made a newer one).
    """
    before = newest_manifest(objects)
    start = before.position + 1 if before else 1
    folded, position, time_ms = _fold(log, start, through)
    if position < start:
        return before
    sequence = before.sequence + 1 if before else 1
    older = list(before.runs) if before else []
    merged: list[Run] = []
    size = sum(len(key) + len(value or b"") for key, value in folded.items())
    while older and older[-1].size_bytes <= MERGE_RATIO * size:
        run = older.pop()
        merged.insert(0, run)
        size += run.size_bytes
    rows: Rows = iter(sorted(folded.items()))
    if merged:
        rows = _merge([*(_rows_of(objects, run) for run in merged), rows])
    if not older:
        rows = ((key, value) for key, value in rows if value is not None)
    pieces = _write_pieces(objects, world, sequence, rows)
    fresh = Run(merged[0].first if merged else start, position, pieces)
    made = Manifest(sequence, position, time_ms, [*older, fresh])
    return _publish(objects, made)


def _fold(log: Entries, start: int, through: int) -> tuple[Writes, int, int]:
    """(newest value of each key, last position, its time in ms) from ``start`` on."""
    folded: Writes = {}
    position, size, time_ms = start - 1, 0, 0
    if start > through:
        return folded, position, time_ms
    for at, payload in log.entries(start):
        entry = decode_entry(payload)
        folded.update(entry.writes)
        position, time_ms = at, entry.time_ms
        size += len(payload)
        if at == through or size >= FOLD_SIZE_BYTES:
            break
    return folded, position, time_ms


def _rows_of(objects: Objects, run: Run) -> Rows:
    for piece in run.pieces:
        yield from _read_piece(objects, piece).items()


def _merge(sources: list[Rows]) -> Rows:
    """One row a key, from the last source that has it."""
    last: bytes | None = None
    aged = [_aged(rows, age) for age, rows in enumerate(sources)]
    for key, _, value in heapq.merge(*aged, key=lambda row: row[:2]):
        if key != last:
            last = key
            yield key, value


def _aged(rows: Rows, age: int) -> Iterator[tuple[bytes, int, bytes | None]]:
    for key, value in rows:
        yield key, -age, value


def _write_pieces(objects: Objects, world: World, sequence: int, rows: Rows) -> list[Piece]:
    token = world.token(8).hex()
    pieces: list[Piece] = []
    held: Writes = {}
    size = 0

    def write() -> None:
        name = f"runs/{sequence:020d}-{token}-{len(pieces):06d}"
        data = frames.frame(frames.RUN, _encode(held))
        # A retry of our own PUT may find itself; nobody else has this name.
        objects.put_new(name, data)
        pieces.append(Piece(name, len(held), len(data)))

    for key, value in rows:
        held[key] = value
        size += len(key) + len(value or b"")
        if size >= PIECE_SIZE_BYTES:
            write()
            held, size = {}, 0
    if held:
        write()
    return pieces


def _publish(objects: Objects, made: Manifest) -> Manifest | None:
    name, data = manifest_name(made.sequence), frames.frame(frames.MANIFEST, _encode(made))
    if objects.put_new(name, data) or objects.get(name) == data:
        return made
    collect_pieces(objects, [piece.name for piece in made.runs[-1].pieces])
    return newest_manifest(objects)


def collect_pieces(objects: Objects, names: list[str]) -> None:
    for name in names:
        objects.delete(name)


def unwanted(objects: Objects, kept: list[Manifest]) -> list[str]:
    """Names of manifests and pieces that ``kept`` (with the newest among them) make superfluous."""
    newest = max(manifest.sequence for manifest in kept)
    wanted = {piece.name for m in kept for run in m.runs for piece in run.pieces}
    wanted |= {manifest_name(m.sequence) for m in kept}
    return [
        name
        for prefix in ("manifests/", "runs/")
        for name in objects.names(prefix)
        if name not in wanted and int(name[len(prefix) :][:20]) <= newest
    ]
