"""The catalog's operations, put together from their topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.core.dropping import Dropper
from stratolite.service import Access, Call, Request, Resource, Service, Tagged, Worker
from stratolite.services.glue import names, state
from stratolite.services.glue.databases import Databases
from stratolite.services.glue.partitions import Partitions
from stratolite.services.glue.tables import Tables
from stratolite.services.glue.worker import DROP

_TAGS = frozenset({"TagResource", "UntagResource", "GetTags"})


class Glue(Databases, Tables, Partitions, Service):
    name: ClassVar[str] = "glue"

    tag_types: ClassVar[tuple[str, ...]] = ("glue:database",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        where = f"arn:aws:glue:{call.region}:{call.account}:database"
        for name, record in state.databases(call.tx, call.keys("glue"), after):
            yield Tagged(name, f"{where}/{name}", record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """The catalog, and on the way down the database and the table, must all be allowed, as by AWS.

        https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html
        """
        action = f"glue:{operation}"
        if operation in _TAGS:
            return ((action, str(request.get("ResourceArn", "*"))),)
        found = [(action, names.arn(call))]
        database = request.get("DatabaseName") or request.get("DatabaseInput", {}).get("Name")
        table = request.get("TableName") or request.get("TableInput", {}).get("Name")
        if database and not table and operation in ("GetTable", "DeleteTable"):
            table = request.get("Name")
        if not database and "Database" in operation:
            database = request.get("Name")
        if database:
            found.append((action, names.arn(call, str(database).lower())))
        if database and operation == "GetTables":
            table = "*"
        if database and table:
            found.append((action, names.arn(call, str(database).lower(), str(table).lower())))
        return found

    def workers(self) -> Iterable[Worker]:
        return (Dropper(self.cloud.db, DROP),)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.glue.resources import RESOURCES

        return RESOURCES
