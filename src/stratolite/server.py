"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

from stratolite.clock import World
from stratolite.core.blob_files import FileShelf
from stratolite.core.blobs import Blobs
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.keeper import Keeper
from stratolite.core.vault import Vault
from stratolite.core.work import Worker, Workers
from stratolite.errors import Fault
from stratolite.runtime import Runtime
from stratolite.service import Cloud, Principal
from stratolite.services import OFFERS, resource_owner
from stratolite.services.iam.authorize import authorize
from stratolite.services.iam.credentials import AccessKeys
from stratolite.services.sts.tokens import Expired, Tokens


async def open_cloud(
    folder: str, world: World, endpoint: str = "http://127.0.0.1:4566", url: str | None = None
) -> Cloud:
    """The platform over ``folder``, replayed and running, without its front door.

    With a ``url`` (``s3://bucket/prefix``, see ``core.objects``) the log and its snapshots are there.
    """
    home = Home(folder, world, url)
    db = home.database()
    db.start()
    floors = Floors()
    keeper = Keeper(home, db, world, floors)
    blobs = Blobs(db, world, FileShelf(f"{folder}/blobs", world), floors)

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
        runtime=Runtime(f"{folder}/cache", world),
        vault=Vault.in_folder(f"{folder}/keys", world),
        services={offer.service: offer.make for offer in OFFERS},
        authorize=authorize,
        endpoint=endpoint,
        data_folder=folder,
        resource_owner=resource_owner,
        keeper=keeper,
    )
    blobs.start()
    cloud.work.start()
    keeper.start()
    return cloud


class Credentials:
    """Who signed, for the gateway: long-lived keys are IAM's, temporary ones are in their token."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._keys = AccessKeys(cloud.db, cloud.vault)
        self._tokens = Tokens(cloud.vault)

    def __call__(self, key_id: str, token: str | None) -> tuple[str, Principal] | None:
        """(secret, principal) or None. Raises Fault ExpiredToken."""
        if token is None:
            return self._keys.open(key_id)
        try:
            return self._tokens.open(key_id, token, self._cloud.world.wall())
        except Expired as error:
            raise Fault("ExpiredToken", "The security token included in the request is expired", status=403) from error


def run(
    data: str,
    host: str,
    port: int,
    cert_file: str | None,
    key_file: str | None,
    say: Callable[[str], None],
) -> None:
    """Serve ``data`` until SIGINT or SIGTERM; ``say`` gets the ready line. Raises OSError if it cannot start."""
    import uvloop

    uvloop.run(_serve(data, host, port, cert_file, key_file, say))


async def _serve(
    data: str,
    host: str,
    port: int,
    cert_file: str | None,
    key_file: str | None,
    say: Callable[[str], None],
) -> None:
    from stratolite.gateway.app import App
    from stratolite.gateway.listener import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    cloud = await open_cloud(data, World())
    server = await serve(
        App(cloud, credentials=Credentials(cloud)),
        host,
        port,
        cert_file=cert_file,
        key_file=key_file,
    )
    scheme = "https" if cert_file else "http"
    shown = f"[{host}]" if ":" in host else host
    cloud.endpoint = f"{scheme}://{shown}:{server.port}"
    gc.collect()
    gc.freeze()  # what start-up made lives as long as the process; do not look at it again
    gc.set_threshold(50_000, 20, 50)
    say(f"ready {cloud.endpoint}")
    await stop.wait()
    await server.close(graceful=True)
    await cloud.close()
