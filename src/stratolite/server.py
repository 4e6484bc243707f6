"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

from stratolite.clock import World
from stratolite.core.blob_files import FileShelf
from stratolite.core.blobs import Blobs
from stratolite.core.floors import Floors
from stratolite.core.home import Home
from stratolite.core.keeper import Keeper
from stratolite.core.vault import Vault
from stratolite.core.work import Worker, Workers
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
        runtime=None,
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
