"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

from stratolite.clock import World
from stratolite.core.blobs import Blobs, open_shelf
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.keeper import Keeper
from stratolite.core.vault import Vault
from stratolite.core.work import Worker, Workers
from stratolite.runtime import Runtime
from stratolite.service import Cloud
from stratolite.services import OFFERS, resource_owner
from stratolite.services.iam.authorize import authorize


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
    blobs = Blobs(db, world, open_shelf(folder, url, world), floors)

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
    from stratolite.gateway.credentials import credentials_of
    from stratolite.gateway.listener import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    cloud = await open_cloud(data, World())
    server = await serve(
        App(cloud, credentials=credentials_of(cloud)),
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
