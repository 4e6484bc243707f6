"""Keeps snapshots fresh and the past no longer than somebody needs it.

A new snapshot is made when ``every_bytes`` were appended since the last, by a child process. Snapshots are kept
for ``keep_s`` (any second of that time can be restored: the newest snapshot before it, and the log from there), and
as long as a hold of ``Floors`` needs the log from there. What the oldest kept snapshot covers may go from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys

from stratolite.clock import World
from stratolite.core import snapshots
from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.log import Damaged
from stratolite.core.objects import GRACE_S
from stratolite.core.snapshots import Manifest
from stratolite.errors import Unavailable
from stratolite.limits import SNAPSHOT_EVERY_BYTES, SNAPSHOT_EVERY_ENTRIES, SNAPSHOT_KEEP_S

_log = logging.getLogger(__name__)
_LOOK_S = 5.0
_FORGET_S = 300.0  # also without a new snapshot: the window moves on
_CHILD_TIME_S_MAX = 3600.0


class Keeper:
    def __init__(
        self,
        home: Home,
        db: Database,
        world: World,
        floors: Floors,
        *,
        every_bytes: int = SNAPSHOT_EVERY_BYTES,
        keep_s: float = SNAPSHOT_KEEP_S,
    ) -> None:
        self._home, self._db, self._world, self._floors = home, db, world, floors
        self._every_bytes, self._keep_s = every_bytes, keep_s
        self._covered: int | None = None
        self._bytes_at_snapshot = 0
        self._unwanted_since: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._child: asyncio.subprocess.Process | None = None

    def start(self) -> None:
        self._task = asyncio.ensure_future(self._keep())

    async def close(self) -> None:
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._child and self._child.returncode is None:
            self._child.kill()  # what it wrote is unwanted until a manifest names it
            await self._child.wait()

    async def _keep(self) -> None:
        forgot_s, failed = self._world.mono(), ""
        while True:
            await self._world.sleep(_LOOK_S)
            try:
                if due := await self._due():
                    await self.snapshot()
                if due or self._unwanted_since or self._world.mono() - forgot_s > _FORGET_S:
                    forgot_s = self._world.mono()
                    await self.forget()
                failed = ""
            except (Unavailable, Damaged, OSError) as error:
                # No call depends on it, and the next look tries again; the log grows meanwhile.
                if str(error) != failed:
                    failed = str(error)
                    _log.warning("no snapshot for now: %s", failed)

    async def _due(self) -> bool:
        if self._covered is None:
            newest = await asyncio.to_thread(snapshots.newest_manifest, self._home.objects)
            self._covered = newest.position if newest else 0
        if self._db.appended_bytes - self._bytes_at_snapshot >= self._every_bytes:
            return self._db.durable > self._covered
        return self._db.durable - self._covered >= SNAPSHOT_EVERY_ENTRIES

    async def snapshot(self) -> None:
        """Cover the log up to what is durable now. Raises Unavailable if the child failed."""
        through, bytes_then = self._db.durable, self._db.appended_bytes
        self._child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what lies in the folder we were started from is not ours to import
            "-m",
            "stratolite.core.snapshot_child",
            str(self._home.place),
            str(through),
            stdin=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(_CHILD_TIME_S_MAX):
                _, errors = await self._child.communicate()
        except TimeoutError as error:
            self._child.kill()
            await self._child.wait()
            raise Unavailable("the snapshot took too long") from error
        if self._child.returncode:
            raise Unavailable(f"snapshot failed: {errors.decode(errors='replace')[-500:]}")
        newest = await asyncio.to_thread(snapshots.newest_manifest, self._home.objects)
        self._covered = newest.position if newest else 0
        if self._covered >= through:
            self._bytes_at_snapshot = bytes_then

    async def forget(self) -> None:
        """Let go of snapshots, runs and log that nobody needs. Raises Unavailable."""
        await asyncio.to_thread(self._forget, self._floors.lowest(self._db.durable))

    def _forget(self, lowest: int) -> None:
        kept = needed(
            snapshots.manifests(self._home.objects),
            since_ms=int((self._world.cloud() - self._keep_s) * 1000),
            lowest=lowest,
        )
        if not kept:
            return
        self._db.log.trim(min(kept[0].position, lowest) + 1)
        # Others may be restoring from what we no longer want: give them the time to read it.
        now_s, grace_s = self._world.mono(), GRACE_S if self._db.shared else 0.0
        names = snapshots.unwanted(self._home.objects, kept)
        self._unwanted_since = {n: self._unwanted_since.get(n, now_s) for n in names}
        for name, since_s in list(self._unwanted_since.items()):
            if now_s - since_s >= grace_s:
                self._home.objects.delete(name)
                del self._unwanted_since[name]


def needed(made: list[Manifest], *, since_ms: int, lowest: int) -> list[Manifest]:
    """Of all manifests, oldest first: the newest, those younger than ``since_ms``, and the one before them.

    The same for positions above ``lowest``, which somebody still reads from.
    """
    for index in range(len(made) - 1, -1, -1):
        if made[index].time_ms <= since_ms and made[index].position <= lowest:
            return made[index:]
    return made
