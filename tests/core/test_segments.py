"""Segment files: what is cut, what is refused, what is read."""

from __future__ import annotations

import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stratolite.clock import SeededWorld
from stratolite.core.disk import Disk
from stratolite.core.log import Damaged, Trimmed
from stratolite.core.segments import SegmentFolder, SegmentLog
from stratolite.errors import Fenced, Unavailable


def _log(folder, size=4096, disk=None):
    return SegmentLog(f"{folder}/log", size, world=SeededWorld(1), disk=disk, background=False)


def _fill(folder, count, size=100):
    log = _log(folder)
    for position in range(1, count + 1):
        assert log.append(position, b"%d " % position + b"x" * size)
    log.close()


def _segments(folder):
    return sorted(name for name in os.listdir(f"{folder}/log") if name.endswith(".seg"))


def _damage(folder, name, at, data=b"\xff"):
    with open(f"{folder}/log/{name}", "r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_was_appended_is_read_after_opening_again(tmp_path):
    """Over several segments; positions past the end are None."""
    _fill(tmp_path, 100)
    assert len(_segments(tmp_path)) > 2
    log = _log(tmp_path)
    assert log.last == 100
    for position in (100, 1, 50, 51, 2):
        assert log.read(position) == b"%d " % position + b"x" * 100
    assert log.read(101) is None
    assert [position for position, _ in log.entries(7)] == list(range(7, 101))
    log.close()


def test_a_taken_position_is_refused(tmp_path):
    log = _log(tmp_path)
    assert log.append(1, b"one")
    assert not log.append(1, b"other")
    assert log.read(1) == b"one"
    log.close()


def test_one_process_at_a_time(tmp_path):
    log = _log(tmp_path)
    with pytest.raises(Fenced):
        _log(tmp_path)
    log.close()
    _log(tmp_path).close()


def test_an_entry_larger_than_a_segment_gets_one_of_its_own(tmp_path):
    log = _log(tmp_path)
    large = os.urandom(50_000)
    for position, payload in enumerate([b"small", large, b"small too", large], 1):
        assert log.append(position, payload)
    log.close()
    log = _log(tmp_path)
    assert [p for _, p in log.entries(1)] == [b"small", large, b"small too", large]
    log.close()


def test_an_empty_segment_too_small_is_replaced(tmp_path):
    """After a crash between making it and writing to it; trimming must not take it for an older one."""
    log = _log(tmp_path)
    log.append(1, b"x" * 3900)
    log._roll(2, 100)
    log.close()
    log = _log(tmp_path)
    assert log.append(2, b"y" * 9000)
    log.trim(2)
    assert log.read(2) == b"y" * 9000
    assert log.append(3, b"z")
    log.close()
    log = _log(tmp_path)
    assert [p for p, _ in log.entries(2)] == [2, 3]
    log.close()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_torn_last_record_is_cut_and_never_comes_back(tmp_path_factory, data):
    """Any part of the newest record missing or different: it was never acknowledged, and is gone for good."""
    folder = tmp_path_factory.mktemp("torn")
    log = _log(folder)
    for position in range(1, 4):
        log.append(position, b"%d" % position * 200)
    start, end = log._newest.offsets[-1], log._newest.end
    log.close()
    at = data.draw(st.integers(start, end - 1))
    with open(f"{folder}/log/{_segments(folder)[-1]}", "r+b") as file:
        file.seek(at)
        old = file.read(end - at)
        file.seek(at)
        new = data.draw(st.sampled_from([bytes(end - at), os.urandom(end - at)]))
        file.write(new)
    if new == old:
        return
    log = _log(folder)
    assert log.last == 2
    assert log.append(3, b"another")
    log.close()
    log = _log(folder)
    assert [p for _, p in log.entries(1)] == [b"1" * 200, b"2" * 200, b"another"]
    log.close()


def test_an_old_record_behind_a_torn_one_does_not_come_back(tmp_path):
    """A short new record in a torn one's place must not uncover what lay behind it."""
    log = _log(tmp_path)
    log.append(1, b"a" * 50)
    log.append(2, b"b" * 500)
    at = log._newest.offsets[1]
    log.close()
    _damage(tmp_path, _segments(tmp_path)[0], at, b"\0")
    log = _log(tmp_path)
    end, fd = log._newest.end, log._newest.fd
    assert not any(os.pread(fd, 4096, end))
    log.close()


@pytest.mark.parametrize("what", ["magic", "length", "position", "payload"])
def test_damage_before_a_whole_record_is_refused(tmp_path, what):
    """It was acknowledged: the file and the place are named, nothing is dropped."""
    _fill(tmp_path, 5)
    name = _segments(tmp_path)[0]
    log = _log(tmp_path)
    at = log._newest.offsets[2] + {"magic": 0, "length": 4, "position": 8, "payload": 40}[what]
    log.close()
    _damage(tmp_path, name, at)
    with pytest.raises(Damaged, match=f"{name} position=3 offset="):
        _log(tmp_path)


def test_damage_in_an_older_segment_is_found_when_it_is_read(tmp_path):
    """Opening costs the newest segment only; reading the older one refuses."""
    _fill(tmp_path, 100)
    _damage(tmp_path, _segments(tmp_path)[0], 60)
    log = _log(tmp_path)
    assert log.read(100)
    with pytest.raises(Damaged):
        log.read(1)
    log.close()


def test_a_missing_segment_is_a_hole(tmp_path):
    _fill(tmp_path, 100)
    os.unlink(f"{tmp_path}/log/{_segments(tmp_path)[1]}")
    log = _log(tmp_path)
    with pytest.raises(Damaged, match="missing"):
        list(log.entries(1))
    log.close()


def test_a_segment_without_a_header_is_refused(tmp_path):
    _fill(tmp_path, 3)
    _damage(tmp_path, _segments(tmp_path)[0], 0, bytes(32))
    with pytest.raises(Damaged, match="header"):
        _log(tmp_path)


def test_a_record_inside_a_value_is_no_record(tmp_path):
    """A user may store bytes that look like one; without the segment's salt they do not count."""
    _fill(tmp_path, 3)
    with open(f"{tmp_path}/log/{_segments(tmp_path)[0]}", "rb") as file:
        stolen = file.read()
    log = SegmentLog(f"{tmp_path}/other", 4096, world=SeededWorld(2), background=False)
    log.append(1, b"first")
    log.append(2, stolen[32:400])
    at = log._newest.offsets[1]
    log.close()
    name = f"{tmp_path}/other/{1:020d}.seg"
    with open(name, "r+b") as file:
        file.seek(at)
        file.write(b"\0")
    log = SegmentLog(f"{tmp_path}/other", 4096, background=False)
    assert log.last == 1
    log.close()


def test_opening_reads_the_newest_segment_only(tmp_path):
    """Restart costs the same with many segments as with two."""

    class Counting(Disk):
        opened = 0

        def open(self, path, *, write=False):
            self.opened += path.endswith(".seg")
            return super().open(path, write=write)

    _fill(tmp_path, 400)
    assert len(_segments(tmp_path)) > 10
    disk = Counting()
    log = _log(tmp_path, disk=disk)
    assert disk.opened == 1
    assert log.read(400)
    assert disk.opened == 1
    log.close()


def test_a_fresh_segment_is_not_read_through(tmp_path):
    """It is known to be empty: what an append costs must not grow with the size of segments."""

    class Counting(Disk):
        read_bytes = 0

        def read(self, fd, at, size_bytes):
            self.read_bytes += size_bytes
            return super().read(fd, at, size_bytes)

    disk = Counting()
    log = _log(tmp_path, size=64 << 10, disk=disk)
    for position in range(1, 51):
        log.append(position, b"x" * 10_000)
    assert len(_segments(tmp_path)) > 5
    assert disk.read_bytes < 64 * len(_segments(tmp_path))
    assert log.read(50) == log.read(1) == b"x" * 10_000
    log.close()


def test_files_are_ours_alone(tmp_path):
    _fill(tmp_path, 50)
    assert stat.S_IMODE(os.stat(f"{tmp_path}/log").st_mode) == 0o700
    for name in os.listdir(f"{tmp_path}/log"):
        assert stat.S_IMODE(os.stat(f"{tmp_path}/log/{name}").st_mode) == 0o600, name


def test_trimming_keeps_what_is_above_the_floor(tmp_path):
    _fill(tmp_path, 100)
    log = _log(tmp_path)
    log.trim(60)
    assert 1 < log.first <= 60
    assert [p for p, _ in log.entries(log.first)] == list(range(log.first, 101))
    with pytest.raises(Trimmed):
        log.read(1)
    log.trim(10_000)
    assert log.read(100)
    log.close()
    log = _log(tmp_path)
    assert log.append(101, b"on")
    log.close()


def test_no_append_makes_zeros_once_a_spare_is_ready(tmp_path):
    """The next segment is written by another thread before it is needed."""
    import threading

    wrote: list[str] = []

    class Watching(Disk):
        def write(self, fd, parts, at):
            wrote.append(threading.current_thread().name)
            super().write(fd, parts, at)

    log = SegmentLog(f"{tmp_path}/log", 8192, disk=Watching())
    log.append(1, b"x" * 5000)
    log._preparing.join()
    assert wrote.count("segment") >= 2
    wrote.clear()
    log.append(2, b"x" * 5000)
    log._preparing.join()
    assert wrote.count("MainThread") == 1
    log.close()


def test_any_failed_call_makes_it_unavailable_until_opened_again(tmp_path):
    class Failing(Disk):
        failing = False

        def sync(self, fd):
            if self.failing:
                raise OSError(5, "sync failed")
            super().sync(fd)

    disk = Failing()
    log = _log(tmp_path, disk=disk)
    log.append(1, b"one")
    disk.failing = True
    with pytest.raises(Unavailable):
        log.append(2, b"two")
    disk.failing = False
    with pytest.raises(Unavailable):
        log.append(2, b"two")
    log.close()
    log = _log(tmp_path)
    assert log.last in (1, 2)
    assert log.append(log.last + 1, b"three")
    log.close()


def test_a_reader_beside_the_writer_sees_what_is_durable(tmp_path):
    """Snapshots fold the log while it is written."""
    log = _log(tmp_path)
    for position in range(1, 60):
        log.append(position, b"%d" % position * 20)
        if position % 20 == 0:
            beside = SegmentFolder(f"{tmp_path}/log")
            assert [p for p, _ in beside.entries(1)] == list(range(1, position + 1))
            beside.close()
    log.close()
