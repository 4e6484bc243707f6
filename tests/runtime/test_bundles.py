"""Zip files from anywhere must not write outside their folder, nor fill the disk."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import stat
import zipfile
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stratolite.clock import World
from stratolite.runtime import BadBundle, Bundles
from stratolite.runtime import bundles as module


def zipped(*members: tuple[str, bytes, int]) -> bytes:
    """(name, content, mode with file type) each."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777


def unpack(folder: Any, data: bytes) -> str:
    bundles = Bundles(f"{folder}/code", World())
    sha256 = asyncio.run(bundles.unpack(data))
    found = bundles.folder(sha256)
    assert found is not None
    return found


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_content_appears_under_its_hash_once(tmp_path):
    """Two functions with one zip share one folder, and a cold start finds it by hash."""
    data = zipped(
        ("a.py", b"x = 1", FILE), ("pkg/b.py", b"", FILE), ("run.sh", b"", stat.S_IFREG | 0o755)
    )
    folder = unpack(tmp_path, data)
    assert unpack(tmp_path, data) == folder
    assert read(f"{folder}/a.py") == "x = 1"
    assert os.stat(f"{folder}/run.sh").st_mode & 0o111
    assert sorted(os.listdir(f"{tmp_path}/code")) == [os.path.basename(folder)]


def test_code_is_readable_by_the_sandboxs_user_whatever_the_umask(tmp_path):
    """A server with umask 077 would otherwise make functions that cannot be imported."""
    before = os.umask(0o077)
    try:
        folder = unpack(tmp_path, zipped(("pkg/b.py", b"", FILE)))
    finally:
        os.umask(before)
    for path in (folder, f"{folder}/pkg", f"{folder}/pkg/b.py"):
        assert os.stat(path).st_mode & 0o004, path


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\..\\evil"])
def test_paths_out_of_the_bundle_are_refused(tmp_path, name):
    """Zip slip: https://security.snyk.io/research/zip-slip-vulnerability"""
    with pytest.raises(BadBundle):
        unpack(tmp_path, zipped((name, b"evil", FILE)))
    assert os.listdir(f"{tmp_path}/code") == []


@pytest.mark.parametrize(
    "members",
    [
        (("l", b"/etc", LINK),),
        (("l", b"..", LINK),),
        (("d/l", b"../..", LINK),),
        (("d/up", b"..", LINK), ("d/far", b"up/..", LINK), ("d/far/evil", b"evil", FILE)),
        (("d/up", b"..", LINK), ("d/up/evil/x", b"x", LINK)),
        (("d/a", b"", FILE), ("d/far", b"sub/../../keys", LINK), ("d/sub", b"..", LINK)),
    ],
)
def test_links_lead_nowhere_outside_and_nothing_is_written_through_them(tmp_path, members):
    """Each link may look harmless by itself and lead out together with another."""
    try:
        folder = unpack(tmp_path, zipped(*members))
    except BadBundle:
        folder = None
    assert set(os.listdir(tmp_path)) <= {"code"}
    assert all(len(name) == 64 for name in os.listdir(f"{tmp_path}/code"))
    for where, folders, files in os.walk(folder) if folder else ():
        for name in folders + files:
            real = os.path.realpath(f"{where}/{name}")
            assert real.startswith(os.path.realpath(folder)), name


def merged(folder: Any, *zips: bytes) -> str:
    bundles = Bundles(f"{folder}/code", World())

    async def all_of() -> str:
        return await bundles.merged([await bundles.unpack(each) for each in zips])

    return asyncio.run(all_of())


def test_layers_over_one_another_write_through_no_link(tmp_path):
    """Harmless links of two layers can lead out of their common folder, where a third layer then writes."""
    os.mkdir(f"{tmp_path}/keys")
    folder = merged(
        tmp_path,
        zipped(("d/a", b"", FILE), ("d/far", b"sub/../../keys", LINK)),
        zipped(("d/b", b"", FILE), ("d/sub", b"..", LINK)),
        zipped(("d/far/evil", b"evil", FILE)),
    )
    assert os.listdir(f"{tmp_path}/keys") == []
    assert read(f"{folder}/d/far/evil") == "evil"


def test_a_later_layer_replaces_what_an_earlier_one_brought(tmp_path):
    """Whatever kind it was: a file, a folder or a link."""
    folder = merged(
        tmp_path,
        zipped(("a", b"1", FILE), ("b/x", b"1", FILE), ("c", b"a", LINK), ("kept", b"1", FILE)),
        zipped(("a/x", b"2", FILE), ("b", b"2", FILE), ("c", b"2", FILE), ("both/x", b"2", FILE)),
    )
    found = {name: read(f"{folder}/{name}") for name in ("a/x", "b", "c", "kept", "both/x")}
    assert found == {"a/x": "2", "b": "2", "c": "2", "kept": "1", "both/x": "2"}


def test_a_link_inside_the_bundle_stays(tmp_path):
    folder = unpack(
        tmp_path, zipped(("lib.so.1", b"elf", FILE), ("d/lib.so", b"../lib.so.1", LINK))
    )
    assert read(f"{folder}/d/lib.so") == "elf"


def test_a_bomb_is_refused_by_what_it_unpacks_to(tmp_path, monkeypatch):
    """AWS: unzipped size at most 262,144,000 bytes; a bomb's own word for its size is not believed."""
    monkeypatch.setattr(module, "BUNDLE_UNPACKED_BYTES_MAX", 1000)
    with pytest.raises(BadBundle) as honest:
        unpack(tmp_path, zipped(("a", b"\0" * 2000, FILE)))
    assert honest.value.too_large
    lying = bytearray(zipped(("a", b"\0" * 2000, FILE)))
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = lying.index(mark) + at
        lying[place : place + 4] = (10).to_bytes(4, "little")
    with pytest.raises(BadBundle):
        unpack(tmp_path, bytes(lying))
    assert os.listdir(f"{tmp_path}/code") == []


@example(bytes(19), 194, b"\x00")  # a member without a name
@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.binary(max_size=8))
def test_any_bytes_are_unpacked_or_refused(tmp_path_factory, data, at, patch):
    """Anything but BadBundle would be a traceback for the caller."""
    good = bytearray(zipped(("a.py", b"x = 1", FILE), ("d/b.py", data, FILE)))
    good[at : at + len(patch)] = patch
    folder = tmp_path_factory.mktemp("any")
    for candidate in (data, bytes(good)):
        with contextlib.suppress(BadBundle):
            unpack(folder, candidate)
    assert set(os.listdir(folder)) <= {"code"}


def test_code_that_is_not_used_any_more_is_pruned_and_what_is_used_stays(tmp_path):
    """Every deploy leaves a folder behind."""
    used = unpack(tmp_path, zipped(("a.py", b"1", FILE)))
    unused = unpack(tmp_path, zipped(("a.py", b"2", FILE)))
    for path in (used, unused):
        os.utime(path, (0, 0))
    bundles = Bundles(f"{tmp_path}/code", World())
    assert bundles.folder(os.path.basename(used)) == used
    bundles.prune(60)
    assert os.listdir(f"{tmp_path}/code") == [os.path.basename(used)]
