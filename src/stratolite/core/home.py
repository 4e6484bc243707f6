"""Where a cloud lives, and how log, snapshots and store are opened there so that they agree.

A folder holds everything:                 With a bucket (or a shared folder) the log is there, and
                                           the folder is this server's own:
    log/        segments (``segments``)        log/ floor/ manifests/ runs/   (``objects``, ``snapshots``)
    snapshots/  manifests/ runs/
    store/      the engine's files             store/ store.mark in the folder
    store.mark  "<boot id> open" or "<boot id> clean": who wrote the store last

The log is the truth. The store is believed if it was closed cleanly (its files synced, then the mark), or if the
machine has not restarted since it was opened: an engine that does not sync survives ``kill -9`` but not power loss.
It is not believed if its position lies beyond the log's end, or before what the log still has, or if the
engine cannot open it. Then it is removed and made again: runs of the newest manifest into ``store.fresh``, renamed
when whole, and the log's tail over it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import NamedTuple, Protocol

from stratolite.clock import World
from stratolite.core import snapshots
from stratolite.core.database import Database
from stratolite.core.disk import Disk
from stratolite.core.log import Damaged, Log
from stratolite.core.objects import FolderObjects, ObjectLog, Objects, open_objects
from stratolite.core.segments import SegmentFolder, SegmentLog
from stratolite.core.store import Engine, LmdbEngine
from stratolite.errors import Fenced, Unavailable

_RESTORE_ATTEMPTS = 3


class Place(NamedTuple):
    """What names a cloud's log: a URL if it is shared, else the folder's own segments."""

    folder: str
    url: str | None
    world: World

    @classmethod
    def parse(cls, text: str, world: World) -> Place:
        """``text`` as ``str(place)`` gives it: a folder, or a folder, a tab and a URL."""
        folder, _, url = text.partition("\t")
        return cls(folder, url or None, world)

    def __str__(self) -> str:
        return f"{self.folder}\t{self.url}" if self.url else self.folder

    def objects(self) -> Objects:
        """Where the snapshots are."""
        if self.url:
            return open_objects(self.url, self.world)
        return FolderObjects(f"{self.folder}/snapshots", self.world)

    def log(self) -> Log:
        if self.url:
            return ObjectLog(open_objects(self.url, self.world), self.world)
        return SegmentLog(f"{self.folder}/log", world=self.world)

    def reader(self) -> snapshots.Entries:
        """The log as another process may read it beside its writer."""
        return self.log() if self.url else SegmentFolder(f"{self.folder}/log")


class Stores(Protocol):
    """The engine's files, by name. A simulation brings its own."""

    def open(self, name: str) -> Engine: ...

    def sync(self, name: str) -> None:
        """Of a closed engine: its files are durable."""
        ...

    def remove(self, name: str) -> None: ...

    def rename(self, old: str, new: str) -> None: ...


class FolderStores:
    def __init__(self, folder: str, make: Callable[[str], Engine] = LmdbEngine) -> None:
        self._folder, self._make = folder, make

    def open(self, name: str) -> Engine:
        return self._make(f"{self._folder}/{name}")

    def sync(self, name: str) -> None:
        disk, folder = Disk(), f"{self._folder}/{name}"
        for file in disk.names(folder):
            fd = disk.open(f"{folder}/{file}", write=True)
            try:
                os.fsync(fd)
            finally:
                disk.close(fd)
        disk.sync_folder(folder)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(f"{self._folder}/{name}")

    def rename(self, old: str, new: str) -> None:
        os.rename(f"{self._folder}/{old}", f"{self._folder}/{new}")


class Home:
    """Opens log and store, and opens them again after a failure."""

    def __init__(
        self,
        folder: str,
        world: World,
        url: str | None = None,
        *,
        disk: Disk | None = None,
        stores: Stores | None = None,
        objects: Objects | None = None,
        open_log: Callable[[], Log] | None = None,
    ) -> None:
        """Raises Unavailable if the folder cannot be made or the bucket not reached."""
        self.folder, self._world = folder, world
        self.place = Place(folder, url, world)
        self._disk, self._stores = disk or Disk(), stores or FolderStores(folder)
        self._mark = f"{folder}/store.mark"
        try:
            self._disk.make_folder(folder)
        except OSError as error:
            raise Unavailable(f"folder={folder} cannot be made: {error}") from error
        self.objects = objects or self.place.objects()
        self._open_log = open_log or self.place.log
        self.rebuilt: str | None = None
        """Why the store was made again at the last opening, None if it was not."""

    def open(self) -> tuple[Log, Engine]:
        """Raises Unavailable (try again), Fenced (another server is here), Damaged (needs a person)."""
        log = self._open_log()
        try:
            return log, self._open_store(log)
        except BaseException as error:
            log.close()
            if isinstance(error, OSError):
                raise Unavailable(f"store cannot be opened: {error}") from error
            raise

    def database(self) -> Database:
        log, engine = self.open()
        return Database(log, engine, self._world, reopen=self.open, closed=self.mark_clean)

    def mark_clean(self) -> None:
        """After the database was closed: the store may be believed even after power loss."""
        with contextlib.suppress(
            OSError
        ):  # then it is made again, which costs time and nothing else
            self._stores.sync("store")
            self._disk.replace_file(self._mark, f"{self._disk.boot_id()} clean\n".encode())

    def _open_store(self, log: Log) -> Engine:
        self.rebuilt = None
        self._stores.remove("store.fresh")
        boot = self._disk.boot_id()
        words = (self._disk.read_file(self._mark) or b"").decode("ascii", "replace").split()
        believed = words[-1:] == ["clean"] or (bool(boot) and words == [boot, "open"])
        if not believed:
            if words:
                self.rebuilt = "the machine restarted while it was open"
            self._stores.remove(
                "store"
            )  # before the mark: a mark says that what is there may be believed
        if words != [boot, "open"]:
            self._disk.replace_file(self._mark, f"{boot} open\n".encode())
        else:  # a process killed just after its rename has left us a mark that power loss would take back
            self._disk.sync_folder(self.folder)
        engine, position = self._try_store()
        manifest = None
        if engine is None or position == 0 or isinstance(log, SegmentLog):
            manifest = snapshots.newest_manifest(self.objects)
        if isinstance(log, SegmentLog) and manifest and log.last < manifest.position:
            if engine:
                engine.close()
            raise Damaged(
                f"the log ends with position={log.last}, but manifest={manifest.sequence} covers "
                f"position={manifest.position}: acknowledged entries may be missing from the log folder"
            )
        if engine is not None:
            why = self._doubt(log, position)
            if why is None and (position or manifest is None):
                return engine
            engine.close()
            self.rebuilt = self.rebuilt or why or "it was empty"
        return self._rebuild(log)

    def _try_store(self) -> tuple[Engine | None, int]:
        try:
            engine = self._stores.open("store")
            reading = engine.reading()
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the engine says, the log can make it again
            self.rebuilt = f"it cannot be opened: {error}"
            return None, 0
        position = reading.position
        reading.close()
        return engine, position

    def _doubt(self, log: Log, position: int) -> str | None:
        if position < log.first - 1:
            return f"its position={position}, the log starts at {log.first}"
        if position >= log.first and log.read(position) is None:
            return f"its position={position} lies beyond the log's end"
        return None

    def _rebuild(self, log: Log) -> Engine:
        for attempt in range(_RESTORE_ATTEMPTS):
            manifest = snapshots.newest_manifest(self.objects)
            covered = manifest.position if manifest else 0
            if covered < log.first - 1:
                raise Damaged(f"the log starts at position={log.first}, snapshots end at {covered}")
            self._stores.remove("store")
            self._stores.remove("store.fresh")
            engine = self._stores.open("store.fresh")
            try:
                if manifest:
                    snapshots.load(self.objects, manifest, engine)
            except Unavailable:
                if attempt + 1 == _RESTORE_ATTEMPTS:
                    raise
                continue  # another server may have replaced the manifest and its runs meanwhile
            finally:
                engine.close()
            self._stores.rename("store.fresh", "store")
            return self._stores.open("store")
        raise AssertionError("unreachable")
