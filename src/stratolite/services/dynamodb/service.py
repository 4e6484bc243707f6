"""DynamoDB's operations, put together by topic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.dynamodb import access as reach
from stratolite.services.dynamodb import state, values
from stratolite.services.dynamodb.backups import Backups
from stratolite.services.dynamodb.batches import Batches
from stratolite.services.dynamodb.destinations import Destinations
from stratolite.services.dynamodb.items import Items
from stratolite.services.dynamodb.policies import Policies
from stratolite.services.dynamodb.scaling import Scaling
from stratolite.services.dynamodb.statements import Statements
from stratolite.services.dynamodb.tables import Tables
from stratolite.services.dynamodb.transfers import Transfers

_TAGGED_PAGE = 100


class Dynamodb(
    Items, Batches, Statements, Tables, Policies, Backups, Destinations, Transfers, Scaling
):
    name = "dynamodb"

    tag_types: ClassVar[tuple[str, ...]] = ("dynamodb:table",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        keys, more = call.keys("dynamodb"), True
        while more:
            names, more = state.table_names(call.tx, keys, after or None, _TAGGED_PAGE)
            for name in names:
                table = state.table(call.tx, call.account, call.region, name)
                if table is not None:
                    yield Tagged(name, table.arn, table.record["Tags"])
                after = name

    def inspect(self, operation: str, request: Request) -> None:
        values.inspect(request)

    # as they are: every call asks them
    access = staticmethod(reach.needed)
    alone = staticmethod(reach.alone)
    resource_policy = staticmethod(reach.resource_policy)

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        return reach.condition_keys(call, operation, request, needed)

    def workers(self) -> Iterable[Worker]:
        from stratolite.services.dynamodb.carrying import Exporter, Importer
        from stratolite.services.dynamodb.copying import (
            BackupDropper,
            BackupMaker,
            Purger,
            Restorer,
        )
        from stratolite.services.dynamodb.expirer import Expirer
        from stratolite.services.dynamodb.following import (
            KinesisDeliverer,
            ReplicaCopier,
            Replicator,
        )
        from stratolite.services.dynamodb.recasting import Recaster
        from stratolite.services.dynamodb.worker import Backfiller, Sweeper, Trimmer

        cloud = self.cloud
        return (
            Sweeper(cloud),
            Backfiller(cloud),
            Trimmer(cloud),
            Expirer(cloud),
            BackupMaker(cloud),
            BackupDropper(cloud),
            Restorer(cloud),
            Purger(cloud),
            Exporter(cloud),
            Importer(cloud),
            KinesisDeliverer(cloud),
            Replicator(cloud),
            ReplicaCopier(cloud),
            Recaster(cloud),
        )

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.dynamodb.global_resources import GlobalTableResource
        from stratolite.services.dynamodb.resources import TableResource

        return (TableResource(), GlobalTableResource())
