"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

import os

from stratolite.clock import World
from stratolite.core.blob_files import FileShelf
from stratolite.core.blobs import Blobs
from stratolite.core.database import Database
from stratolite.core.floors import Floors
from stratolite.core.segments import SegmentLog
from stratolite.core.store import LmdbEngine
from stratolite.core.vault import Vault
from stratolite.core.work import Worker, Workers
from stratolite.service import Cloud
from stratolite.services import OFFERS, resource_owner
from stratolite.services.iam.authorize import authorize


async def open_cloud(folder: str, world: World, endpoint: str = "http://127.0.0.1:4566") -> Cloud:
    """The platform over ``folder``, replayed and running, without its front door."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    db = Database(SegmentLog(f"{folder}/log"), LmdbEngine(f"{folder}/store"), world)
    db.start()
    floors = Floors()
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
    )
    blobs.start()
    cloud.work.start()
    return cloud
