"""The operations of S3 Tables put together, and what IAM must allow for each.

Source  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-setting-up.html
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3tables.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from stratolite.service import Access, Call, Request, Resource, Tagged, Worker
from stratolite.services.s3tables import names, state
from stratolite.services.s3tables.iceberg_rest import IcebergRest
from stratolite.services.s3tables.maintenance import Keeper, Maintenance
from stratolite.services.s3tables.managed import Managed
from stratolite.services.s3tables.names import Place
from stratolite.services.s3tables.state import Name

_INSIDE = frozenset({"KeepManagedTable", "RulesOfTable", "CanWrite", "WriteTable"})
_NAMELESS = frozenset({"CreateNamespace", "CreateTable", "GetNamespace", "DeleteNamespace"})
"""On the table bucket, whatever else they name."""
_ALSO = {
    "CreateTableBucket": {
        "encryptionConfiguration": "PutTableBucketEncryption",
        "storageClassConfiguration": "PutTableBucketStorageClass",
        "tags": "TagResource",
    },
    "CreateTable": {
        "encryptionConfiguration": "PutTableEncryption",
        "storageClassConfiguration": "PutTableStorageClass",
        "metadata": "PutTableData",
        "tags": "TagResource",
    },
}
"""Operation -> member of the request -> action it needs beside."""


class S3tables(Managed, Maintenance, IcebergRest):
    name: ClassVar[str] = "s3tables"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("s3tables:bucket",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        for name, record in state.buckets(call.tx, call.keys("s3tables"), after):
            arn = Place(call.account, call.region, name).arn
            yield Tagged(name, arn, record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if operation in _INSIDE:
            return ()
        action = f"s3tables:{operation}"
        if operation == "ListTableBuckets":
            return ((action, "*"),)
        if operation == "CreateTableBucket":
            resource = Place(call.account, call.region, request["name"]).arn
        elif arn := request.get("tableArn") or request.get("resourceArn"):
            resource = str(arn)
        else:
            resource = self._named(call, operation, request)
        also = _ALSO.get(operation, {})
        return [
            (action, resource),
            *((f"s3tables:{more}", resource) for m, more in also.items() if request.get(m)),
        ]

    def _named(self, call: Call, operation: str, request: Request) -> str:
        """The ARN of the table that is named; of its bucket where there is none."""
        arn = str(request.get("tableBucketARN") or "*")
        where = names.place_of(arn)
        name = request.get("name")
        if where is None or not name or operation in _NAMELESS:
            return arn
        place = Name(where.bucket, request.get("namespace") or "", name)
        record = state.table(call.tx, where.keys, place)
        return arn if record is None else where._replace(table=record["id"]).arn

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        _, resource = needed
        where = names.place_of(resource)
        table: Name | None = None
        tags: dict[str, Any] = {}
        if where is not None:
            holder = state.bucket(call.tx, where.keys, where.bucket)
            if where.table:
                table = state.by_id(call.tx, where.keys, where.bucket, where.table)
                holder = table and state.table(call.tx, where.keys, table)
            tags = (holder or {}).get("tags") or {}
        namespace = table.namespace if table else request.get("namespace")
        if isinstance(namespace, list):
            namespace = namespace[0] if namespace else None
        if namespace:
            found["s3tables:namespace"] = [str(namespace)]
        if name := table.table if table else request.get("name"):
            found["s3tables:tablename"] = [str(name)]
        if encryption := request.get("encryptionConfiguration"):
            found["s3tables:ssealgorithm"] = [encryption["sseAlgorithm"]]
            if key := encryption.get("kmsKeyArn"):
                found["s3tables:kmskeyarn"] = [key]
        given = request.get("tags") or {}
        for start, pairs in (("aws:resourcetag/", tags), ("aws:requesttag/", given)):
            found |= {f"{start}{k}".lower(): [str(v)] for k, v in pairs.items()}
        if keys := [*given, *(request.get("tagKeys") or ())]:
            found["aws:tagkeys"] = keys
        return found

    def workers(self) -> Iterable[Worker]:
        return (Keeper(self),)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.s3tables.resources import RESOURCES

        return RESOURCES
