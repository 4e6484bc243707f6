"""What format 1 wrote must open for ever. A folder a format; its files are never made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stratolite.clock import SeededWorld
from stratolite.core import frames, snapshots
from stratolite.core.disk import Disk
from stratolite.core.home import Home
from stratolite.core.log import decode_entry
from stratolite.core.objects import FolderObjects, ObjectLog
from stratolite.core.segments import SegmentFolder

_GOLDEN = Path(__file__).parent / "1"
_STATE = {b"e": b"short key", b"\x00": b"NUL", b"b": b"", b"c" * 600: b"long key"}
_LAST = {b"d": b"after the snapshot"}


@pytest.fixture
def golden(tmp_path):
    """A copy: opening a log cleans its tail, and cut files are filled again."""
    shutil.copytree(_GOLDEN, tmp_path / "golden")
    return tmp_path / "golden"


@pytest.mark.parametrize("kind", ["segments", "objects"])
def test_every_entry_of_a_log_is_read(golden, kind):
    if kind == "segments":
        log = SegmentFolder(f"{golden}/log")
    else:
        log = ObjectLog(FolderObjects(f"{golden}/objects"), SeededWorld(1))
    entries = [decode_entry(payload) for _, payload in log.entries(1)]
    assert [entry.time_ms - 1_700_000_000_000 for entry in entries] == [1, 2, 3, 4]
    assert {entry.writer for entry in entries} == {b"golden-writer-id"}
    state = {}
    for entry in entries:
        state.update(entry.writes)
    assert {k: v for k, v in state.items() if v is not None} == _STATE | _LAST
    log.close()


def test_a_snapshot_and_its_log_make_a_store(golden):
    (golden / "objects").rename(golden / "snapshots")
    home = Home(str(golden), SeededWorld(1))
    db = home.database()
    assert db.durable == 4
    assert home.rebuilt == "it was empty"
    assert dict(db.peek(lambda tx: list(tx.scan((b"", b"\xff"))))) == _STATE | _LAST


def test_the_manifest_says_what_it_said(golden):
    made = snapshots.newest_manifest(FolderObjects(f"{golden}/objects"))
    assert (made.sequence, made.position, made.time_ms) == (2, 3, 1_700_000_000_003)
    assert [(run.first, run.last) for run in made.runs] == [(1, 2), (3, 3)]


def test_the_frame_is_byte_for_byte_the_documented_one():
    """docs/formats.md, spelt out with no code of ours."""
    import struct
    import zlib

    for path in _GOLDEN.glob("objects/*/*"):
        data = Disk().read_file(str(path))
        kind = {"log": frames.LOG, "runs": frames.RUN, "manifests": frames.MANIFEST}[
            path.parent.name
        ]
        assert data[:8] == kind
        assert struct.unpack_from("<II", data, 8) == (
            1,
            zlib.crc32(data[:12], zlib.crc32(data[16:])),
        )


def test_the_segment_is_byte_for_byte_the_documented_one():
    import struct
    import zlib

    data = Disk().read_file(str(_GOLDEN / "log" / f"{1:020d}.seg"))
    magic, version, salt, crc = struct.unpack_from("<8sIII", data, 0)
    assert (magic, version, crc) == (b"STRATSEG", 1, zlib.crc32(data[:16]))
    at, position = 32, 0
    while data[at : at + 4] == b"SREC":
        position += 1
        length, found, crc = struct.unpack_from("<IQI", data, at + 4)
        payload = data[at + 20 : at + 20 + length]
        assert found == position
        assert crc == zlib.crc32(payload, zlib.crc32(data[at + 4 : at + 16], salt))
        at += 20 + length
    assert position >= 1
    assert not any(data[at:])
