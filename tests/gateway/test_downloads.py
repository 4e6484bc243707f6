"""Files on their way out: the right bytes, from memory or the disk, and files sent lately are not opened again."""

from __future__ import annotations

import os
import socket

import pytest

from stratolite.gateway import outgoing
from stratolite.gateway.outgoing import Download, Files
from stratolite.http import FileSlice

MIB = 1 << 20


def sent(part, files):
    download, pieces = Download(part, files), []
    while not download.done:
        assert download.at_hand()
        pieces.append(bytes(download.next()))
    return b"".join(pieces)


def read(part, files):
    """As if the disk alone had it; every third piece is in memory meanwhile."""
    download, pieces = Download(part, files), []
    while not download.done:
        if len(pieces) % 3 == 2 and download.at_hand():
            pieces.append(bytes(download.next()))
        else:
            pieces.append(download.read())
    return b"".join(pieces)


def pushed(part, files):
    """Through a socket that is full again and again; every second time a piece is handed out in between."""
    sending, receiving = socket.socketpair()
    with sending, receiving:
        sending.setblocking(False)
        download, got, turn = Download(part, files), b"", 0
        while not download.done:
            assert download.at_hand()
            if not download.is_mapped:
                return sent(part, files)
            try:
                download.push(sending.fileno())
            except BlockingIOError:
                turn += 1
                while True:  # empty it
                    try:
                        got += receiving.recv(MIB, socket.MSG_DONTWAIT)
                    except BlockingIOError:
                        break
                if turn % 2:
                    got += download.next()
        sending.close()
        while piece := receiving.recv(MIB):
            got += piece
        return got


@pytest.fixture
def opened(monkeypatch):
    found: list[str] = []
    real = os.open
    monkeypatch.setattr(
        outgoing.os, "open", lambda path, flags: found.append(path) or real(path, flags)
    )
    return found


def made(tmp_path, name, size):
    data = os.urandom(size)
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name), data


@pytest.mark.parametrize("way", [sent, read, pushed])
@pytest.mark.parametrize("size", [3 * MIB + 5, 9 * MIB])
def test_any_slice_is_sent_whole_the_first_time_and_the_next(tmp_path, size, way) -> None:
    path, data = made(tmp_path, "f", size)
    files = Files()
    for start, stop in (
        (0, size),
        (5, size - 7),
        (4097, 4097 + 200_000),
        (size - 200_000, size),
        (9, 99),
    ):
        for _ in range(2):
            assert way(FileSlice(path, start, stop - start), files) == data[start:stop]


def test_a_file_sent_lately_is_not_opened_again(tmp_path, opened) -> None:
    path, data = made(tmp_path, "f", 2 * MIB)
    files = Files()
    for start in (0, 0, MIB):
        assert sent(FileSlice(path, start, MIB), files) == data[start : start + MIB]
    assert opened == [path]


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_few_files_are_kept_and_large_ones_never(tmp_path, opened) -> None:
    """What is kept open keeps its room on the disk after it was deleted."""
    files = Files()
    large, _ = made(tmp_path, "large", 9 * MIB)
    before = open_files()
    for _ in range(2):
        sent(FileSlice(large, 0, MIB), files)
    assert opened == [large, large]
    assert open_files() == before
    opened.clear()
    paths = [made(tmp_path, f"f{n}", 200_000)[0] for n in range(40)]
    for path in paths:
        sent(FileSlice(path, 0, 200_000), files)
        sent(FileSlice(paths[0], 0, 200_000), files)  # in use, so never the one forgotten
    assert opened == paths
    assert open_files() == before + 2 * 16  # a map has a descriptor of its own


def test_a_file_forgotten_while_it_is_sent_stays_open_until_it_was(tmp_path) -> None:
    files = Files()
    path, data = made(tmp_path, "f", 3 * MIB)
    download = Download(FileSlice(path, 0, 3 * MIB), files)
    got = download.read()
    for number in range(20):
        sent(FileSlice(made(tmp_path, f"f{number}", 10)[0], 0, 10), files)
    os.unlink(path)
    while not download.done:
        assert download.at_hand()
        got += download.next()
    assert got == data


def test_a_file_shorter_than_promised_is_refused_before_anything_is_sent(tmp_path) -> None:
    path, _ = made(tmp_path, "f", MIB)
    files = Files()
    for _ in range(2):
        with pytest.raises(ValueError, match="shorter"):
            Download(FileSlice(path, 1, MIB), files)
        sent(FileSlice(path, 0, MIB), files)  # now it is known


def test_a_file_cut_while_it_is_read_ends_the_download(tmp_path) -> None:
    path, _ = made(tmp_path, "f", 2 * MIB)
    download = Download(FileSlice(path, 0, 2 * MIB), Files())
    download.read()
    os.truncate(path, MIB + 10)
    with pytest.raises(OSError, match="shorter"):
        download.read()


def test_what_only_the_disk_has_is_not_at_hand(tmp_path) -> None:
    """Else one cold file would hold up the loop, and everybody with it."""
    path, data = made(tmp_path, "f", 4 * MIB)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if outgoing._in_memory(file.fileno(), 0):
            pytest.skip("this file system keeps everything in memory")
    download = Download(FileSlice(path, 0, 4 * MIB), Files())
    assert not download.at_hand()
    got = b""
    while not download.done:
        got += download.next() if download.at_hand() else download.read()
    assert got == data
    assert Download(FileSlice(path, 0, 4 * MIB), Files()).at_hand()
