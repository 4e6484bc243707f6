"""What access keys, users and roles were last used for: noted in memory, written a while later and all at once.

Off the path of every call, and lost with a crash before it is written: ``iam:last-used`` in ``limits.RELAXED``.
Source  https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_last-accessed.html
"""

from __future__ import annotations

import asyncio

from stratolite.core import Tx
from stratolite.errors import Unavailable
from stratolite.limits import USED_EVERY_S
from stratolite.service import Cloud, Principal
from stratolite.services.iam import state

_HELD_COUNT_MAX = 10_000
_STALE_S = 60.0  # what was written less than this ago is left as it is


class Usage:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.held: dict[tuple[int, str], tuple[Principal, str, str]] = {}
        """What is to be written, by the identity of a principal and the service: another use of it says nothing new."""
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def note(self, who: Principal, service: str, region: str) -> None:
        """A call of a key that IAM or STS gave out."""
        key = (id(who), service)
        if key in self.held or len(self.held) >= _HELD_COUNT_MAX:
            return
        self.held[key] = who, service, region  # it holds ``who``, so its id is nobody else's
        if self._task is None and not self._closed:
            self._task = asyncio.get_running_loop().create_task(self._soon(), name="last used")

    async def _soon(self) -> None:
        await self._cloud.world.sleep(USED_EVERY_S)
        self._task = None
        await self.flush()

    async def flush(self) -> None:
        """Write what is held now."""
        while self.held:
            batch = list(self.held.items())[:500]
            for key, _ in batch:
                del self.held[key]
            uses = [use for _, use in batch]

            def write(tx: Tx, uses: list[tuple[Principal, str, str]] = uses) -> None:
                tx.relaxed = True  # iam:last-used in limits.RELAXED
                for use in uses:
                    _write(tx, *use)

            try:
                await self._cloud.db.transact(write)
            except Unavailable:
                return

    async def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        await self.flush()


def _write(tx: Tx, who: Principal, service: str, region: str) -> None:
    now_s = int(tx.time_s)
    when = {"LastUsedDate": now_s, "Region": region}
    key_id = who.access_key_id
    if key_id.startswith("AKIA") and state.get_key(tx, key_id) is not None:
        before = state.used(tx, who.account, "key", key_id)
        if (
            before is None
            or now_s - before["LastUsedDate"] >= _STALE_S
            or before["ServiceName"] != service
        ):
            state.put_used(tx, who.account, "key", key_id, when | {"ServiceName": service})
    kind = "role" if who.kind == "role" else "user"
    if who.kind == "root" or state.get(tx, who.account, kind, who.name) is None:
        return
    if kind == "role":
        before = state.used(tx, who.account, "role", who.name)
        if before is None or now_s - before["LastUsedDate"] >= _STALE_S:
            state.put_used(tx, who.account, "role", who.name, when)
    last = state.accessed_at(tx, who.account, kind, who.name, service)
    if last is None or now_s - last["LastAuthenticated"] >= _STALE_S:
        record = {"LastAuthenticated": now_s, "Region": region, "Arn": who.arn}
        state.put_accessed(tx, who.account, kind, who.name, service, record)
