"""Files on their way out: the right bytes, and files sent lately cost no opening and mapping."""

from __future__ import annotations

import os

import pytest

from stratolite.gateway import outgoing
from stratolite.gateway.outgoing import Download, Maps
from stratolite.http import FileSlice

MIB = 1 << 20


def sent(part, maps):
    download, pieces = Download(part, maps), []
    while (piece := download.next()) is not None:
        pieces.append(bytes(piece))
    return b"".join(pieces)


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


@pytest.mark.parametrize("size", [3 * MIB + 5, 9 * MIB])
def test_any_slice_is_sent_whole_the_first_time_and_the_next(tmp_path, size) -> None:
    path, data = made(tmp_path, "f", size)
    maps = Maps()
    for start, stop in (
        (0, size),
        (5, size - 7),
        (4097, 4097 + 200_000),
        (size - 200_000, size),
        (9, 99),
    ):
        for _ in range(2):
            assert sent(FileSlice(path, start, stop - start), maps) == data[start:stop]


def test_a_file_sent_lately_is_not_opened_again(tmp_path, opened) -> None:
    path, data = made(tmp_path, "f", 2 * MIB)
    maps = Maps()
    for start in (0, 0, MIB):
        assert sent(FileSlice(path, start, MIB), maps) == data[start : start + MIB]
    assert opened == [path]


def test_few_files_are_kept_and_large_ones_never(tmp_path, opened) -> None:
    """What is kept mapped keeps its room on the disk after it was deleted."""
    maps = Maps()
    large, _ = made(tmp_path, "large", 9 * MIB)
    for _ in range(2):
        sent(FileSlice(large, 0, MIB), maps)
    assert opened == [large, large]
    opened.clear()
    paths = [made(tmp_path, f"f{n}", 200_000)[0] for n in range(40)]
    for path in paths:
        sent(FileSlice(path, 0, 200_000), maps)
        sent(FileSlice(paths[0], 0, 200_000), maps)  # in use, so never the one forgotten
    assert opened == paths
    assert len(maps._known) == 16


def test_a_file_shorter_than_promised_is_refused_before_anything_is_sent(tmp_path) -> None:
    path, _ = made(tmp_path, "f", MIB)
    maps = Maps()
    for _ in range(2):
        with pytest.raises(ValueError, match="shorter"):
            Download(FileSlice(path, 1, MIB), maps)
        sent(FileSlice(path, 0, MIB), maps)  # now it is known
