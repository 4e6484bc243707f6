"""Which sandbox takes an invocation: an idle one of its kind, last used first, or a new one."""

from __future__ import annotations

import asyncio
import logging
import os
import sysconfig
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stratolite.clock import World
from stratolite.errors import Unavailable
from stratolite.limits import (
    BUNDLE_UNUSED_S_MAX,
    SANDBOX_IDLE_S,
    SANDBOX_INIT_S_MAX,
    SANDBOX_MEMORY_SHARE_MAX,
    SANDBOXES_MAX,
)
from stratolite.runtime import programs, scratch
from stratolite.runtime.bundles import Bundles
from stratolite.runtime.sandbox import (
    Gateway,
    Invocation,
    Listen,
    Outcome,
    Proxy,
    Sandbox,
    Secure,
    WayOut,
)
from stratolite.runtime.zygote import Zygote, ZygoteLost

_log = logging.getLogger("stratolite.runtime")
_SWEEP_EVERY_S = 15.0
_REMOVALS_TRIED_MAX = 100  # what still writes there has been killed, and is gone in milliseconds
_REMOVED_AGAIN_S = 0.05
_NOT_PROXIED = "127.0.0.1,localhost,.localhost,::1"


_WITHOUT = {
    "uid": "no user id of their own",
    "pids": "they see other processes",
    "mounts": "no root folder of their own",
    "tmp": "they share /tmp with everybody and may fill it",
    "network": "they reach the server's port anywhere and may use the default keys",
    "connects": "they reach the network",
    "calls": "all system calls",
    "memory": "memory and processes counted one by one",
    "walls": "no Landlock",
    "signals": "no Landlock for signals",
}
"""A guard, and what its absence means."""


class Busy(Exception):
    """No sandbox may be started now. ``reason`` is ``owner`` (its own limit) or ``machine``."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"no sandbox is free and none may be started: limit of the {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Launch:
    """What a sandbox of one kind is, and how it is counted."""

    owner: str
    """Whose: limits are counted by it."""
    edition: str
    """Which line of the owner's code. A new ``key`` for an edition replaces the old one's sandboxes."""
    key: str
    """Stands for everything that makes sandboxes interchangeable: code, settings."""
    handler: str
    runtime: str
    memory_mb: int
    tmp_mb: int = 512


@dataclass(frozen=True, slots=True)
class Start:
    """What is needed only when a new sandbox starts."""

    code_folder: str
    environment: dict[str, str]
    layer_folders: list[str] = field(default_factory=list)
    fresh_until_s: float = float("inf")
    """Mono clock; afterwards (credentials run out) the sandbox takes no more invocations."""


@dataclass(slots=True, eq=False)
class _Member:
    launch: Launch
    sandbox: Sandbox
    fresh_until_s: float
    tmp_folder: str
    idle_since_s: float = 0.0
    stale: bool = False
    """Ends after its invocation: its owner has changed."""


class Runtime:
    """All sandboxes of this server. Nothing runs until the first ``invoke`` or ``warm``."""

    def __init__(
        self,
        folder: str,
        world: World,
        *,
        sites: list[str] | None = None,
        modules: str = "",
        strict: bool = False,
    ) -> None:
        """``folder`` is a cache: what is in it may be lost between runs. ``strict``: see the front page.

        ``modules`` is where packages for Node functions are, or will be (``programs.MODULES``).
        """
        self.strict = strict
        self._folder, self._world = os.path.abspath(folder), world
        self._sites = sites if sites is not None else _own_sites()
        self._modules = os.path.abspath(modules) if modules and programs.node() else ""
        self._zygote: Zygote | None = None
        self._starting: asyncio.Task[Zygote] | None = None
        self._idle: dict[str, list[_Member]] = {}
        self._members: set[_Member] = set()
        self._pending: dict[str, int] = {}
        self._current: dict[str, str] = {}
        """The newest key of each edition that was invoked."""
        self._sweeper: asyncio.Task[None] | None = None
        self._removals: set[asyncio.Task[None]] = set()
        self._count = 0
        self._closed = False
        self.before_close: list[Callable[[], Awaitable[None]]] = []
        """What must still be done with sandboxes' output before the store closes."""
        self.gateway: Gateway | None = None
        """What sandboxes with a network of their own reach at ``AWS_ENDPOINT_URL``; None: nothing."""
        self.proxy: Proxy | None = None
        """What those who may leave get besides; None: nobody may."""
        self.bundles = Bundles(f"{self._folder}/code", world)
        self.memory_mb_max = int(_physical_mb() * SANDBOX_MEMORY_SHARE_MAX)

    @property
    def guards(self) -> list[str]:
        """What sandboxes are kept from here, see ``guest/confine.py``; empty before the first start."""
        return self._zygote.guards if self._zygote else []

    @property
    def missing(self) -> str:
        """One line for people: what sandboxes are not kept from here; empty: nothing, or none was started yet."""
        guards = self.guards
        if not guards:
            return ""
        held = {*guards, "connects"} if "network" in guards else {*guards}
        lost = [why for guard, why in _WITHOUT.items() if guard not in held]
        if not lost:
            return ""
        why = [g.partition(": ")[2] for g in guards if g.startswith("no-")]
        reason = f" ({'; '.join(why)})" if why else "" if os.geteuid() == 0 else " (not root)"
        if self.proxy is not None and "network" not in guards:
            lost.append("--egress opens nothing to them")
        return f"functions are not fully contained here{reason}: {', '.join(lost)}"

    @property
    def pids(self) -> list[int]:
        """The zygote's and its sandboxes' process ids, for status and measurements."""
        zygote = [self._zygote.pid] if self._zygote else []
        return zygote + [m.sandbox.seen_pid or m.sandbox._pid for m in self._members]

    def warm(self) -> None:
        """Start the zygote in the background, so that the first invocation need not wait for it."""
        if self._zygote is None and self._starting is None and not self._closed:
            self._starting = asyncio.get_running_loop().create_task(self._start_zygote())
            self._starting.add_done_callback(_ignore)

    async def invoke(
        self,
        launch: Launch,
        invocation: Invocation,
        starting: Callable[[], Awaitable[tuple[Start, Listen]]],
        *,
        owner_max: int | None = None,
        begin: Callable[[Listen, Outcome | None], Listen] | None = None,
    ) -> Outcome:
        """Run one invocation. Raises Busy, also when the system refuses a process, or ZygoteLost.

        ``starting`` is awaited only for a new sandbox: its code, environment, and who hears its output.
        ``begin(listen, failed)`` is called with the chosen sandbox's listener once the code is loaded, or was not
        (``failed``), and may put its own in front for this invocation.
        """
        if self._current.get(launch.edition, launch.key) != launch.key:
            self.end(launch.owner, launch.edition)
        self._current[launch.edition] = launch.key
        member = self._take_idle(launch)
        if member is None:
            if owner_max is not None and self._busy(launch.owner) >= owner_max:
                raise Busy("owner")
            return await self._cold(launch, invocation, starting, begin)
        return await self._run(member, invocation, begin, cold=False)

    async def _cold(
        self,
        launch: Launch,
        invocation: Invocation,
        starting: Callable[[], Awaitable[tuple[Start, Listen]]],
        begin: Callable[[Listen, Outcome | None], Listen] | None,
    ) -> Outcome:
        self._make_room(launch)
        self._pending[launch.owner] = self._pending.get(launch.owner, 0) + 1
        try:
            zygote, (start, listen) = await asyncio.gather(self._get_zygote(), starting())
            try:
                member = await self._start(zygote, launch, start, listen)
            except ZygoteLost:  # it died under us: once more with a new one
                member = await self._start(await self._get_zygote(), launch, start, listen)
            except OSError as error:
                _log.warning("no sandbox can be started: %s", error)
                raise Busy("machine") from error
        finally:
            self._pending[launch.owner] -= 1
            if not self._pending[launch.owner]:
                del self._pending[launch.owner]
        member.stale = self._current.get(launch.edition) != launch.key
        return await self._run(member, invocation, begin, cold=True)

    async def _run(
        self,
        member: _Member,
        invocation: Invocation,
        begin: Callable[[Listen, Outcome | None], Listen] | None,
        *,
        cold: bool,
    ) -> Outcome:
        sandbox, listen = member.sandbox, member.sandbox.listen
        try:
            failed = None
            if cold:
                failed = await sandbox.load(max(SANDBOX_INIT_S_MAX, invocation.timeout_s))
            if begin is not None:
                sandbox.listen = begin(listen, failed)
            return failed or await sandbox.invoke(invocation)
        except BaseException:  # whoever waited has gone away: the process may be in any state
            sandbox.kill()
            raise
        finally:
            sandbox.listen = listen
            self._put_back(member)

    def end(self, owner: str, edition: str | None = None) -> None:
        """End idle sandboxes of ``owner`` (one edition of it) now, busy ones after their invocation."""
        for member in list(self._members):
            launch = member.launch
            if launch.owner != owner or edition not in (None, launch.edition):
                continue
            self._current.pop(launch.edition, None)
            member.stale = True
            idle = self._idle.get(launch.key, [])
            if member in idle:
                idle.remove(member)
                member.sandbox.kill()

    async def close(self) -> None:
        for last in self.before_close:
            await last()
        self._closed = True
        if self._sweeper:
            self._sweeper.cancel()
        if self._starting:
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._zygote:
            await self._zygote.close()
        self._idle.clear()
        await self._clean()

    # -- members

    async def _start(self, zygote: Zygote, launch: Launch, start: Start, listen: Listen) -> _Member:
        self._count += 1
        tmp = ""
        if "tmp" not in zygote.guards:
            tmp = f"{self._folder}/scratch/{os.getpid()}-{self._count}"
            os.makedirs(tmp, mode=0o700)
        spec = {
            "handler": launch.handler,
            "runtime": launch.runtime,
            "task": start.code_folder,
            "layers": start.layer_folders,
            "tmp": tmp,
            "memory_mb": launch.memory_mb,
            "tmp_mb": launch.tmp_mb,
            "env": self._environment(zygote, launch.owner, start.environment),
            "sites": self._sites,
            "port": self.gateway.port if self.gateway else 0,
            "program": programs.start(launch.runtime, launch.memory_mb),
            "modules": self._modules,
            "certificate": "",
        }
        ways_out = self._ways_out(launch.owner)
        if (secure := self._secure(zygote, launch.runtime)) is not None:
            loop = asyncio.get_running_loop()
            spec["certificate"] = await loop.run_in_executor(None, secure.certificate)
            ways_out.append(WayOut(secure.port, secure.open))
        sandbox = Sandbox(self._world, zygote, spec, listen, ways_out)
        member = _Member(launch, sandbox, start.fresh_until_s, tmp)
        sandbox.on_end = lambda: self._drop(member)
        self._members.add(member)
        await sandbox.start()
        return member

    def _ways_out(self, owner: str) -> list[WayOut]:
        ways = [WayOut(self.gateway.port, self.gateway.open)] if self.gateway else []
        if port := self._proxy_port(owner):
            proxy = self.proxy
            assert proxy is not None
            ways.append(WayOut(port, lambda listener: proxy.open(listener, owner)))
        return ways

    def _secure(self, zygote: Zygote, runtime: str) -> Secure | None:
        """Only what is written for Node insists on https, and only a network of its own has the port free."""
        gateway = self.gateway
        if gateway is None or gateway.secure is None or gateway.port == gateway.secure.port:
            return None
        return (
            gateway.secure if runtime.startswith("nodejs") and "network" in zygote.guards else None
        )

    async def url_inside(self, runtime: str) -> str:
        """Where the platform answers in a sandbox of this runtime, by https where that is to be had. "": nowhere.

        Raises Unavailable where no sandbox can be made now: the server is stopping.
        """
        if self.gateway is None:
            return ""
        try:
            zygote = await self._get_zygote()
        except ZygoteLost as lost:
            raise Unavailable(str(lost)) from lost
        secure = self._secure(zygote, runtime)
        return f"http://127.0.0.1:{self.gateway.port}" if secure is None else "https://127.0.0.1"

    def _proxy_port(self, owner: str) -> int:
        """Where ``owner``'s sandboxes find the proxy, 0: nowhere."""
        if self.proxy is None or not self.proxy.opens(owner):
            return 0
        taken = self.gateway.port if self.gateway else 0
        return self.proxy.port if self.proxy.port != taken else self.proxy.port + 1

    def _environment(self, zygote: Zygote, owner: str, asked: dict[str, str]) -> dict[str, str]:
        """Who was told where the platform answers outside is told where it answers inside, and of the proxy."""
        if "network" not in zygote.guards:
            return asked
        told = dict(asked)
        gateway = self.gateway
        if gateway is not None and asked.get("AWS_ENDPOINT_URL") == gateway.endpoint:
            told["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{gateway.port}"
        if port := self._proxy_port(owner):
            proxy = {"HTTP_PROXY": f"http://127.0.0.1:{port}", "NO_PROXY": _NOT_PROXIED}
            proxy["HTTPS_PROXY"] = proxy["HTTP_PROXY"]
            for name, value in proxy.items():
                told.setdefault(name, value)
                told.setdefault(name.lower(), told[name])
        return told

    def _take_idle(self, launch: Launch) -> _Member | None:
        idle = self._idle.get(launch.key)
        while idle:
            member = idle.pop()
            if member.sandbox.is_up() and member.fresh_until_s > self._world.mono():
                return member
            member.sandbox.kill()
        return None

    def _put_back(self, member: _Member) -> None:
        if not member.sandbox.alive:
            return
        if member.stale or self._closed:
            member.sandbox.kill()
            return
        member.idle_since_s = self._world.mono()
        self._idle.setdefault(member.launch.key, []).append(member)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    def _drop(self, member: _Member) -> None:
        self._members.discard(member)
        idle = self._idle.get(member.launch.key)
        if idle is not None:
            if member in idle:
                idle.remove(member)
            if not idle:
                del self._idle[member.launch.key]
        if member.tmp_folder:
            removal = asyncio.get_running_loop().create_task(self._remove(member.tmp_folder))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    def _busy(self, owner: str) -> int:
        mine = sum(1 for m in self._members if m.launch.owner == owner and m.sandbox.alive)
        idle = sum(
            1
            for row in self._idle.values()
            for m in row
            if m.launch.owner == owner and m.sandbox.alive
        )
        return mine - idle + self._pending.get(owner, 0)

    def _make_room(self, launch: Launch) -> None:
        """End idle sandboxes, longest unused first, until one more fits. Raises Busy."""
        alive = [m for m in self._members if m.sandbox.alive]
        count = len(alive) + sum(self._pending.values())
        memory_mb = sum(m.launch.memory_mb for m in alive) + launch.memory_mb
        idle = sorted((m for row in self._idle.values() for m in row), key=lambda m: m.idle_since_s)
        for member in idle:
            if count < SANDBOXES_MAX and memory_mb <= self.memory_mb_max:
                return
            self._idle[member.launch.key].remove(member)
            member.sandbox.kill()
            count -= 1
            memory_mb -= member.launch.memory_mb
        if count >= SANDBOXES_MAX or (memory_mb > self.memory_mb_max and count > 0):
            raise Busy("machine")

    async def _sweep(self) -> None:
        while True:
            await self._world.sleep(_SWEEP_EVERY_S)
            before = self._world.mono() - SANDBOX_IDLE_S
            for row in list(self._idle.values()):
                for member in [m for m in row if m.idle_since_s <= before]:
                    row.remove(member)
                    member.sandbox.kill()

    # -- the zygote

    async def _get_zygote(self) -> Zygote:
        if self._zygote is not None and self._zygote.alive:
            return self._zygote
        if self._closed:
            raise ZygoteLost("the server is stopping")
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_task(self._start_zygote())
        return await asyncio.shield(self._starting)

    async def _start_zygote(self) -> Zygote:
        try:
            if self._zygote is None:  # no sandbox uses any code yet
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self.bundles.prune, BUNDLE_UNUSED_S_MAX)
                await self._clean()
            root = f"{self._folder}/root"
            os.makedirs(root, mode=0o700, exist_ok=True)
            if self._modules:
                os.makedirs(self._modules, exist_ok=True)
            sites = self._sites + programs.folders()
            self._zygote = await Zygote.start(
                root, sites, modules=self._modules, strict=self.strict
            )
            if self.missing:
                _log.warning("%s", self.missing)
            return self._zygote
        finally:
            self._starting = None

    async def _clean(self) -> None:
        """Delete what functions left in their /tmp; none of them runs."""
        await asyncio.gather(*self._removals)
        folder = f"{self._folder}/scratch"
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, os.path.isdir, folder):
            for name in await loop.run_in_executor(None, os.listdir, folder):
                await self._remove(f"{folder}/{name}")

    async def _remove(self, folder: str) -> None:
        """Delete a /tmp, whatever is left in there by processes that may be dying yet."""
        for _ in range(_REMOVALS_TRIED_MAX):
            if await asyncio.get_running_loop().run_in_executor(None, scratch.remove, folder):
                return
            await self._world.sleep(_REMOVED_AGAIN_S)
        _log.warning("what a function left cannot be deleted: %s", folder)


def _ignore(started: asyncio.Task[Zygote]) -> None:
    """Whoever needs the zygote starts it again and hears why it does not start."""
    if not started.cancelled():
        started.exception()


def _own_sites() -> list[str]:
    """Where the server's own packages are: functions find the AWS SDK there."""
    paths = sysconfig.get_paths()
    return list(dict.fromkeys(os.path.realpath(paths[name]) for name in ("purelib", "platlib")))


def _physical_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
