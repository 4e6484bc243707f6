"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import os
import re
import signal
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import orjson

from stratolite.clock import World
from stratolite.core.blobs import Blobs, open_shelf
from stratolite.core.cloud_clock import CloudClock
from stratolite.core.disk import Disk
from stratolite.core.floors import Floors
from stratolite.core.home import Home, Place
from stratolite.core.keeper import Keeper
from stratolite.core.seals import Seals
from stratolite.core.vault import FirstKey, Rekeyed, Vault, open_vault
from stratolite.core.vault import rekey as change_keys
from stratolite.core.work import Worker, Workers
from stratolite.egress import BadRule, Egress, Own
from stratolite.errors import Fenced
from stratolite.gateway.hosts import Hosts
from stratolite.metrics import Metrics
from stratolite.runtime import Gateway, Proxy, Runtime, Secure, programs
from stratolite.service import Cloud, Principal, Request, Response, root
from stratolite.services import OFFERS, resource_owner
from stratolite.services.cloudtrail.recorder import Recorder
from stratolite.services.iam import state
from stratolite.services.iam.authorize import authorize
from stratolite.services.iam.usage import Usage
from stratolite.wire import check, documents, redacted, spoken

if TYPE_CHECKING:
    from stratolite.services.s3.doctor import Finding

_ACCOUNT = "000000000000"


async def open_cloud(
    folder: str,
    world: World,
    endpoint: str = "http://127.0.0.1:4566",
    url: str | None = None,
    *,
    egress: Iterable[str] = (),
    data_events: bool = False,
    strict: bool = False,
) -> Cloud:
    """The platform over ``folder``, replayed and running, without its front door.

    With a ``url`` (``s3://bucket/prefix``, see ``core.objects``) the log and its snapshots are there.
    ``egress`` are rules of that room, ``strict`` is how functions are isolated (``runtime``). ``data_events``: the
    trail records them, too. Raises BadRule, Locked.
    """
    way_out = Egress(egress)
    home = Home(folder, world, url)
    if os.stat(folder).st_mode & 0o077:  # it was there before us
        os.chmod(folder, 0o700)
    db = home.database()
    db.start()
    clock = CloudClock(db, world)
    clock.start()
    floors = Floors()
    keeper = Keeper(home, db, world, floors)
    blobs = Blobs(db, world, open_shelf(folder, url, world), floors)
    try:
        vault = await open_vault(db, world, Seals(folder), _first_key(home, url))
    except BaseException:
        await clock.close()
        await blobs.close()
        await db.close()
        raise

    def worker_of(queue: str) -> Worker | None:
        name = queue.partition(".")[0]
        if not any(offer.service == name and offer.queues for offer in OFFERS):
            return None
        return next((w for w in cloud.service(name).workers() if w.queue == queue), None)

    cloud = Cloud(
        db=db,
        world=world,
        blobs=blobs,
        work=Workers(db, world, worker_of),
        runtime=Runtime(
            f"{folder}/cache", world, modules=f"{folder}/{programs.MODULES}", strict=strict
        ),
        vault=vault,
        services={offer.service: offer.make for offer in OFFERS},
        authorize=authorize,
        endpoint=endpoint,
        data_folder=folder,
        resource_owner=resource_owner,
        clock=clock,
        validate=check,
        documents=documents,
        spoken=spoken,
        egress=way_out,
        keeper=keeper,
    )
    cloud.usage = Usage(cloud)
    cloud.metrics = Metrics(cloud)
    cloud.trail = Recorder(cloud, redacted, data_events=data_events)
    if way_out.rules.for_functions:
        from stratolite.egress.proxy import Proxy as Proxying

        proxying = Proxying(way_out)
        cloud.runtime.proxy = Proxy(
            lambda owner: way_out.rules.opens(_function(owner)),
            lambda listener, owner: proxying.serve(listener, _function(owner)),
        )
    blobs.start()
    cloud.work.start()
    keeper.start()
    return cloud


def _function(arn: str) -> str:
    """Its name: what rules call it."""
    return arn.rpartition(":")[2]


def _first_key(home: Home, url: str | None) -> FirstKey:
    """Before there were root seals the key of everything lay beside the data: ``keys/master``."""
    if url:
        objects = home.objects
        return FirstKey(lambda: objects.get("keys/master"), lambda: objects.delete("keys/master"))
    disk, folder = Disk(), f"{home.folder}/keys"

    def delete() -> None:
        disk.unlink(f"{folder}/master")
        disk.sync_folder(folder)
        with contextlib.suppress(OSError):
            os.rmdir(folder)

    return FirstKey(lambda: disk.read_file(f"{folder}/master"), delete)


def _place(data: str) -> tuple[str, str | None]:
    """(folder, URL of the log): a server of a log elsewhere keeps its own view in a folder of its own.

    Raises OSError if the folder is something else.
    """
    if "://" not in data:
        if os.path.exists(data) and not os.path.isdir(data):
            raise OSError(f"{data} is not a folder")
        return data, None
    name = hashlib.sha256(data.encode()).hexdigest()[:16]
    views = os.environ.get("STRATOLITE_VIEWS") or os.path.expanduser("~/.stratolite-views")
    return f"{views}/{name}", data


def _inhabited(data: str) -> tuple[str, str | None]:
    """As ``_place``; raises OSError where there is no log, and makes nothing there."""
    folder, url = _place(data)
    if url is None:
        there = os.path.isdir(f"{folder}/log")
    elif url.startswith("file://") and not os.path.isdir(unquote(urlsplit(url).path)):
        there = False
    else:
        place = Place(folder, url, World()).objects()
        there = any(place.names(prefix) for prefix in ("log/", "floor/"))
    if not there:
        raise OSError(f"{data} holds no cloud")
    return folder, url


def _is_new(folder: str, url: str | None) -> bool:
    """Whether nothing was ever kept there."""
    return url is None and not (os.path.isdir(folder) and os.listdir(folder))


def _root_key() -> tuple[str, str] | None:
    """The real root key, from STRATOLITE_ROOT_KEY=ACCESS_KEY_ID:SECRET. Raises OSError if it is not one."""
    text = os.environ.get("STRATOLITE_ROOT_KEY", "")
    if not text:
        return None
    key_id, colon, secret = text.partition(":")
    if not colon or not re.fullmatch(r"A[A-Z0-9]{15,127}", key_id) or len(secret) < 16:
        raise OSError(
            "STRATOLITE_ROOT_KEY is not ACCESS_KEY_ID:SECRET (an id of 16 or more of A-Z and 0-9 that begins with A,"
            " a secret of 16 or more characters)"
        )
    return key_id, secret


class Listening(NamedTuple):
    """Where the front door is and whom it lets in."""

    host: str
    port: int
    cert_file: str | None = None
    key_file: str | None = None
    names: tuple[str, ...] = ()
    """Further host names that are ours."""
    sigv2: bool = True
    """Whether S3 requests may be signed the old, weak way (boto3 presigns so by default)."""
    egress: tuple[str, ...] = ()
    """What may be reached from here, as rules of that room."""
    data_events: bool = False
    """Whether the trail records what is done to items, objects and messages, too."""
    strict: bool = False
    """Functions start from a fresh interpreter each."""


def run(data: str, listening: Listening, say: Callable[[str], None]) -> None:
    """Serve ``data`` until SIGINT or SIGTERM; ``say`` gets the ready line.

    Raises OSError, Unavailable, Fenced or Damaged if it cannot start, the last two also if it cannot go on.
    """
    import uvloop

    uvloop.run(_serve(data, listening, say))


def _is_ours(hosts: Hosts, host: str, name: str) -> bool:
    return name == host or hosts.place(f"[{name}]" if ":" in name else name).ours


async def _serve(data: str, listening: Listening, say: Callable[[str], None]) -> None:
    from stratolite.gateway.app import App
    from stratolite.gateway.auth import check_listen
    from stratolite.gateway.credentials import credentials_of
    from stratolite.gateway.inner_tls import InnerTls
    from stratolite.gateway.listener import serve, serve_sandbox, stranger

    host = listening.host
    root_key = _root_key()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    folder, url = _place(data)
    if _is_new(folder, url) and (refusal := check_listen(host, root_key is not None)):
        raise OSError(
            refusal
        )  # there is no key in what is not there yet, and nothing is left behind
    try:
        cloud = await open_cloud(
            folder,
            World(),
            url=url,
            egress=listening.egress,
            data_events=listening.data_events,
            strict=listening.strict,
        )
    except BadRule as error:
        raise OSError(f"--egress {error}") from error
    except Fenced as error:
        if url:
            raise
        raise Fenced(
            f"data folder {folder} is in use by another stratolite; stop it or pass another --data"
        ) from error
    has_root_keys = root_key is not None or cloud.db.peek(state.has_root_keys)
    if refusal := check_listen(host, has_root_keys):
        await cloud.close()
        raise OSError(refusal)
    dead: list[BaseException] = []

    def die(error: BaseException) -> None:
        dead.append(error)
        stop.set()

    cloud.db.on_dead = die
    find = credentials_of(cloud)

    def credentials(key_id: str, token: str | None) -> tuple[str, Principal] | None:
        if root_key and key_id == root_key[0] and token is None:
            return root_key[1], root(_ACCOUNT, key_id)
        return find(key_id, token)

    app = App(cloud, credentials=credentials, names=listening.names, allow_sigv2=listening.sigv2)
    try:
        server = await serve(
            app,
            host,
            listening.port,
            cert_file=listening.cert_file,
            key_file=listening.key_file,
        )
    except OSError:
        await cloud.close()
        raise
    scheme = "https" if listening.cert_file else "http"
    shown = f"[{host}]" if ":" in host else host
    cloud.endpoint = f"{scheme}://{shown}:{server.port}"
    cloud.egress.own = Own(
        server.port, scheme, lambda name: _is_ours(app.hosts, host, name), stranger(app, scheme)
    )
    inner = InnerTls(app.world)
    cloud.runtime.gateway = Gateway(
        cloud.endpoint,
        server.port,
        lambda listener: serve_sandbox(app, listener),
        Secure(
            lambda: inner.made.certificate,
            lambda listener: serve_sandbox(app, listener, inner.made.context),
        ),
    )
    gc.collect()
    gc.freeze()  # what start-up made lives as long as the process; do not look at it again
    gc.set_threshold(50_000, 20, 50)
    say(f"ready {cloud.endpoint}")
    cloud.runtime.warm()  # it says at once, not with the first function, what functions are not kept from here
    await stop.wait()
    await server.close(graceful=True)
    await cloud.close()
    if dead:
        raise dead[0]


async def ask(data: str, account: str, service: str, operation: str, request: Request) -> Response:
    """One call by an account's root on ``data``, which no server has open. Raises what opening and the call raise."""
    folder, url = _place(data)
    cloud = await open_cloud(folder, World(), url=url)
    try:
        call = cloud.call(account, "us-east-1")
        return await call.request(service, operation, request)
    finally:
        await cloud.close()


class Examined(NamedTuple):
    bodies_count: int
    orphans_count: int
    damaged: list[Finding]
    unchecked: list[Finding]
    repaired: list[Finding]


async def doctor(data: str) -> Examined:
    """Read every stored body and repair what can be (see ``services.s3.doctor``), and let go of blobs that nobody names.

    Raises OSError where no cloud is.
    """
    folder, url = _inhabited(data)
    cloud = await open_cloud(folder, World(), url=url)
    from stratolite.services.s3.doctor import Finding, examine

    try:
        done = Examined(0, await cloud.blobs.sweep(), [], [], [])
        async for found in examine(cloud):
            if isinstance(found, Finding):
                whole = done.repaired if found.repaired_from else done.damaged
                (done.unchecked if found.harmless else whole).append(found)
            else:
                done = done._replace(bodies_count=done.bodies_count + found)
        return done
    finally:
        await cloud.close()


async def rekey(data: str) -> Rekeyed:
    """Seal everything secret in ``data`` anew (see ``core.vault.rekey``); no server may be running on it.

    Raises OSError where no cloud is.
    """
    folder, url = _inhabited(data)
    world = World()
    cloud = await open_cloud(folder, world, url=url)
    try:
        return await change_keys(cloud.db, world, Seals(folder), cloud.vault, _first_format)
    finally:
        await cloud.close()


def _first_format(vault: Vault, _: bytes, value: bytes) -> bytes:
    """A row of IAM or CloudFormation that holds a value of format 1, which does not say its purpose: sealed anew."""
    if not value.startswith(b"{") or not re.search(rb'"[Ss]ealed":"A[Q-Za-f]', value):
        return value
    row = orjson.loads(value)
    for field in ("Sealed", "sealed"):
        if not isinstance(text := row.get(field), str):
            continue
        for purpose in (
            f"access-key:{row.get('AccessKeyId')}",
            f"mfa:{row.get('SerialNumber')}",
            "cloudformation",
        ):
            with contextlib.suppress(ValueError):
                plain = vault.open(base64.b64decode(text), purpose)
                row[field] = base64.b64encode(vault.seal(plain, purpose)).decode()
                return orjson.dumps(row)
    return value
