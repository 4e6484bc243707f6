"""The log of objects: on a folder, in memory and over HTTP, with several writers."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from live import bucket

from stratolite.clock import SeededWorld, World
from stratolite.core.log import Damaged, Trimmed
from stratolite.core.objects import BucketObjects, FolderObjects, ObjectLog, open_objects
from stratolite.errors import Unavailable


@pytest.fixture(scope="module")
def port():
    with bucket.serving("reliable") as port:
        yield port


@pytest.fixture(params=["folder", "memory", "s3", "gs", "az"])
def objects(request, tmp_path, port, monkeypatch):
    if request.param == "folder":
        return FolderObjects(f"{tmp_path}/objects")
    if request.param == "memory":
        return open_objects("memory://")
    for name, value in bucket.LOGINS.items():
        monkeypatch.setenv(name, value)
    return open_objects(bucket.url_of(request.param, port, tmp_path.name))


def test_a_name_is_given_once(objects):
    assert objects.put_new("log/1", b"one")
    assert not objects.put_new("log/1", b"two")
    assert objects.get("log/1") == b"one"
    assert objects.get("log/2") is None


def test_of_many_at_once_one_wins(objects):
    """Put-if-absent is what the whole log rests on."""
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(30):
            name = f"log/{round_}"
            won = list(pool.map(lambda i, n=name: objects.put_new(n, b"%d" % i), range(8)))
            assert won.count(True) == 1
            assert objects.get(name) == b"%d" % won.index(True)


def test_names_are_sorted_and_can_be_asked_for_after_one(objects):
    for i in (3, 1, 2):
        objects.put_new(f"log/{i}", b"")
    objects.put_new("runs/9", b"x")
    assert objects.names("log/") == ["log/1", "log/2", "log/3"]
    assert objects.names("log/", "log/1") == ["log/2", "log/3"]
    objects.delete("log/2")
    objects.delete("log/2")
    assert objects.names("log/") == ["log/1", "log/3"]
    assert objects.names("none/") == []


def test_a_folder_keeps_its_objects_to_itself(tmp_path):
    FolderObjects(f"{tmp_path}/objects").put_new("log/1", b"one")
    for folder, _, files in os.walk(f"{tmp_path}/objects"):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600
    assert os.listdir(f"{tmp_path}/objects/.tmp") == []


def test_writers_take_turns(objects):
    """Whoever loses reads the winner's entry and takes the next number."""
    one, two = ObjectLog(objects, World()), ObjectLog(objects, World())
    assert one.append(1, b"one")
    assert not two.append(1, b"two")
    assert two.read(1) == b"one"
    assert two.append(2, b"two")
    assert [p for _, p in one.entries(1)] == [b"one", b"two"]
    assert one.read(3) is None


class _Losing:
    """Carries out some calls and loses the answer, or the call."""

    far = False

    def __init__(self, objects, script):
        self.objects, self.script = objects, list(script)

    def put_new(self, name, data):
        what = self.script.pop(0) if self.script else "ok"
        if what == "lost":
            raise Unavailable("time-out")
        made = self.objects.put_new(name, data)
        if what == "answer lost":
            raise Unavailable("500")
        if what == "retried":
            return False
        return made

    def __getattr__(self, name):
        return getattr(self.objects, name)


@pytest.mark.parametrize(
    "script", [["lost"], ["answer lost"], ["retried"], ["lost", "lost", "answer lost"]]
)
def test_a_put_that_finds_itself_is_ours(objects, script):
    log = ObjectLog(_Losing(objects, script), SeededWorld(1))
    assert log.append(1, b"mine")
    assert ObjectLog(objects, World()).read(1) == b"mine"


def test_a_put_that_finds_another_is_lost_even_after_a_time_out(objects):
    """The same writer's older batch, arriving late, is another batch."""
    ObjectLog(objects, World()).append(1, b"late")
    assert not ObjectLog(_Losing(objects, ["lost"]), SeededWorld(1)).append(1, b"mine")


def test_what_cannot_be_learnt_is_unavailable_and_stays_so(objects):
    log = ObjectLog(_Losing(objects, ["lost"] * 9), SeededWorld(1))
    with pytest.raises(Unavailable):
        log.append(1, b"mine")
    with pytest.raises(Unavailable):
        log.append(1, b"mine")


def test_a_damaged_object_is_named(objects):
    log = ObjectLog(objects, World())
    log.append(1, b"one")
    data = objects.get("log/00000000000000000001")
    objects.delete("log/00000000000000000001")
    objects.put_new("log/00000000000000000001", data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Damaged, match="log/00000000000000000001"):
        log.read(1)


def test_a_hole_is_refused(objects):
    log = ObjectLog(objects, World())
    for position in range(1, 6):
        log.append(position, b"x")
    objects.delete(f"log/{3:020d}")
    with pytest.raises(Damaged, match="00003 is missing"):
        list(ObjectLog(objects, World()).entries(1))


def test_the_floor_is_published_before_anything_goes(objects):
    """And nothing goes before everybody had the time to see it."""
    world = SeededWorld(1)
    log = ObjectLog(objects, world, grace_s=60.0)
    for position in range(1, 11):
        log.append(position, b"%d" % position)
    log.trim(5)
    assert objects.names("floor/") == [f"floor/{5:020d}"]
    assert len(objects.names("log/")) == 10
    world.advance(100.0)
    log.trim(7)
    assert len(objects.names("log/")) == 10
    world.advance(30.0)
    log.trim(7)
    assert objects.names("log/")[0] == f"log/{5:020d}"
    with pytest.raises(Trimmed):
        ObjectLog(objects, world).read(4)


def test_a_silent_writer_reads_the_floor_before_it_believes_its_put(objects):
    """Its number was made, folded and deleted meanwhile: the PUT succeeds and means nothing."""
    world = SeededWorld(1)
    silent, busy = ObjectLog(objects, world), ObjectLog(objects, world)
    for position in range(1, 10):
        busy.append(position, b"x")
    assert silent.read(1)
    for _ in range(3):
        busy.trim(9)
        world.advance(130.0)
    assert objects.get(f"log/{2:020d}") is None
    with pytest.raises(Trimmed):
        silent.append(2, b"below the floor")


def test_urls_say_where(tmp_path):
    assert isinstance(open_objects(f"file://{tmp_path}/with%20space"), FolderObjects)
    assert os.path.isdir(f"{tmp_path}/with space")
    url = "s3://bucket/prefix?endpoint=http://127.0.0.1:1&region=eu-west-1"
    assert isinstance(open_objects(url), BucketObjects)
    for bad in ("ftp://x/y", "s3:///nothing", "file://host/x", "s3://b/p?what=1", "plain"):
        with pytest.raises(ValueError, match="url="):
            open_objects(bad)
