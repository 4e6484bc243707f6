"""Time and chance: the only two things here that are not a function of the input.

Everything else takes a ``World``. It has three clocks, all in seconds as float:

``wall``   seconds since the epoch; for signatures, credentials, TLS.
``mono``   never jumps; for leases, time-outs and sandboxes.
``cloud``  wall + an offset that users may move forward (never back); for TTL, schedules, retention,
           retries and visibility. The offset is a key in the store; ``core`` sets it here at start.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable


def iso(time_s: float) -> str:
    """``2006-02-03T16:45:09Z``; parts of a second are left out."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_UUIDS_AT_ONCE = 64


class World:
    """Real time and real randomness."""

    cloud_offset_s: float = 0.0

    def __init__(self) -> None:
        self._watchers: list[Callable[[], None]] = []
        self._random: list[str] = []

    def watch(self, moved: Callable[[], None]) -> None:
        """Call ``moved`` whenever a clock has jumped, so that timers set on it can be set anew."""
        self._watchers.append(moved)

    def unwatch(self, moved: Callable[[], None]) -> None:
        if moved in self._watchers:
            self._watchers.remove(moved)

    def set_cloud_offset(self, offset_s: float) -> None:
        """Move the cloud clock forward to wall + ``offset_s``; a smaller offset than now is ignored."""
        if offset_s > self.cloud_offset_s:
            self.cloud_offset_s = offset_s
            self._moved()

    def _moved(self) -> None:
        for moved in list(self._watchers):
            moved()

    def wall(self) -> float:
        return time.time()

    def mono(self) -> float:
        return time.monotonic()

    def cloud(self) -> float:
        return self.wall() + self.cloud_offset_s

    def token(self, size_bytes: int) -> bytes:
        """Unpredictable bytes, fit for keys and ids."""
        return os.urandom(size_bytes)

    def uuid(self) -> str:
        """A random (version 4) UUID in its usual 36 characters."""
        try:
            text = self._random.pop()  # what any thread may do at any time
        except IndexError:
            digits = self.token(16 * _UUIDS_AT_ONCE).hex()
            fresh = [digits[at : at + 32] for at in range(0, len(digits), 32)]
            text = fresh.pop()
            self._random.extend(fresh)
        head, variant = f"{text[:8]}-{text[8:12]}-4{text[13:16]}", _VARIANT[text[16]]
        return f"{head}-{variant}{text[17:20]}-{text[20:]}"

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait on the mono clock."""
        return asyncio.sleep(seconds)

    def pause(self, seconds: float) -> None:
        """Block this thread, never the loop's."""
        time.sleep(seconds)


class SeededWorld(World):
    """A world that moves only when told to and repeats for a given seed.

    ``wall`` starts at ``start_s``; ``advance`` moves all clocks and wakes sleepers whose time came.
    """

    def __init__(self, seed: int, start_s: float = 1_700_000_000.0) -> None:
        super().__init__()
        self._rand = random.Random(seed)  # noqa: S311 - a simulation wants repeatable chance
        self._wall_s = start_s
        self._mono_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def wall(self) -> float:
        return self._wall_s

    def mono(self) -> float:
        return self._mono_s

    def token(self, size_bytes: int) -> bytes:
        return self._rand.randbytes(size_bytes)

    def sleep(self, seconds: float) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._mono_s + seconds, future))
        return future

    def pause(self, seconds: float) -> None:
        self._wall_s += seconds
        self._mono_s += seconds

    def advance(self, seconds: float) -> None:
        self._wall_s += seconds
        self._mono_s += seconds
        due = [f for at, f in self._sleepers if at <= self._mono_s]
        self._sleepers = [(at, f) for at, f in self._sleepers if at > self._mono_s]
        for future in due:
            if not future.done():
                future.set_result(None)
        self._moved()
