"""Where the database's blocking work runs: one job at a time, in order; its continuation runs on the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
import threading
from collections.abc import Callable
from typing import Protocol

Job = Callable[[], Callable[[], None]]
"""Blocks; answers with what is to be done on the loop. Must not raise."""


class Background(Protocol):
    def start(self, loop: asyncio.AbstractEventLoop) -> None: ...

    def run(self, job: Job) -> None:
        """Soon, after the jobs given earlier. Called on the loop."""
        ...

    def on_loop(self, work: Callable[[], None]) -> None:
        """Called by a job: do it on the loop, while the job waits. Raises what ``work`` raises."""
        ...

    async def stop(self) -> None:
        """After the jobs given so far."""
        ...


class CommitThread:
    """The real one. A simulation runs jobs on the loop instead, and so decides when they happen."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="commit", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def run(self, job: Job) -> None:
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._loop.call_soon_threadsafe(job())

    def on_loop(self, work: Callable[[], None]) -> None:
        done: concurrent.futures.Future[None] = concurrent.futures.Future()

        def do() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                done.set_exception(error)
            else:
                done.set_result(None)

        self._loop.call_soon_threadsafe(do)
        done.result()

    async def stop(self) -> None:
        if self._thread.is_alive():
            self._jobs.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
