"""Puts the rooms together; the only file that knows them all."""

from __future__ import annotations

import os

from stratolite.clock import World
from stratolite.core.database import Database
from stratolite.core.segments import SegmentLog
from stratolite.core.store import LmdbEngine
from stratolite.core.vault import Vault
from stratolite.service import Cloud
from stratolite.services import OFFERS, resource_owner
from stratolite.services.iam.authorize import authorize


async def open_cloud(folder: str, world: World, endpoint: str = "http://127.0.0.1:4566") -> Cloud:
    """The platform over ``folder``, replayed and running, without its front door."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    db = Database(SegmentLog(f"{folder}/log"), LmdbEngine(f"{folder}/store"), world)
    db.start()
    return Cloud(
        db=db,
        world=world,
        blobs=None,
        work=None,
        runtime=None,
        vault=Vault.in_folder(f"{folder}/keys", world),
        services={offer.service: offer.make for offer in OFFERS},
        authorize=authorize,
        endpoint=endpoint,
        data_folder=folder,
        resource_owner=resource_owner,
    )
