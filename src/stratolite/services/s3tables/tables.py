"""Tables: create, get, list, rename, delete, and where their metadata is."""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response
from stratolite.services.s3tables import iceberg, names, state
from stratolite.services.s3tables.buckets import (
    Buckets,
    after_of,
    check_owned,
    checked_encryption,
    made_by,
    page,
    token_of,
)
from stratolite.services.s3tables.names import Place
from stratolite.services.s3tables.state import Name, Record
from stratolite.services.s3tables.upkeep import expect

_METADATA_FOLDER = "metadata"
METADATA_LOCATION_LENGTH_MAX = 2048


class Found:
    """A table where it lies; ``record`` is frozen."""

    __slots__ = ("name", "record", "where")

    def __init__(self, where: Place, name: Name, record: Record) -> None:
        self.where, self.name, self.record = where, name, record

    @property
    def arn(self) -> str:
        return self.where._replace(table=self.record["id"]).arn

    def put(self, call: Call, **changed: Any) -> None:
        """With what is given changed; None takes it away."""
        made = {k: v for k, v in {**self.record, **changed}.items() if v is not None}
        state.put_table(call.tx, self.where.keys, self.name, made)
        self.record = made


class Tables(Buckets):
    def create_table(self, call: Call, request: Request) -> Response:
        where, bucket = self._bucket(call, request)
        check_owned(call, bucket)
        name = Name(where.bucket, request["namespace"], request["name"])
        names.check_table(name.table)
        old = state.table(call.tx, where.keys, name)
        if old is not None and made_by(old, request):
            there = Found(where, name, old)
            return {"tableARN": there.arn, "versionToken": old["token"]}
        self._check_free(call, where, name, names.no_namespace())
        encryption = request.get("encryptionConfiguration")
        chosen = checked_encryption(encryption) if encryption else bucket.get("encryption")
        storage = (request.get("storageClassConfiguration") or {}).get("storageClass")
        found = make_table(
            call,
            where,
            name,
            kind="customer",
            encryption=chosen or {"sseAlgorithm": "AES256"},
            storage=storage or bucket.get("storage") or "STANDARD",
            tags=dict(request.get("tags") or {}),
        )
        if step := token_of(request):
            found.put(call, **step)
        given = (request.get("metadata") or {}).get("iceberg")
        if first := request.get("_first"):  # of an Iceberg client; nothing from outside carries it
            put_first(call, found, first)
        elif given is not None:
            write_first(call, found, given)
        return {"tableARN": found.arn, "versionToken": found.record["token"]}

    def _check_free(self, call: Call, where: Place, name: Name, missing: Fault) -> None:
        if state.namespace(call.tx, where.keys, where.bucket, name.namespace) is None:
            raise missing
        if state.table(call.tx, where.keys, name) is not None:
            raise names.conflict("A table with an identical name already exists in the namespace.")

    def get_table(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        record, bucket = found.record, state.bucket(call.tx, found.where.keys, found.where.bucket)
        assert bucket is not None, found.where
        namespace = state.namespace(
            call.tx, found.where.keys, found.where.bucket, found.name.namespace
        )
        shown = {
            **_summary(found),
            "versionToken": record["token"],
            "warehouseLocation": record["warehouse"],
            "createdBy": record["by"],
            "modifiedBy": record["changed_by"],
            "ownerAccountId": found.where.account,
            "format": "ICEBERG",
            "tableBucketId": bucket["id"],
        }
        if namespace is not None:
            shown["namespaceId"] = namespace["id"]
        if "metadata" in record:
            shown["metadataLocation"] = record["metadata"]
        return shown

    def list_tables(self, call: Call, request: Request) -> Response:
        where, _ = self._bucket(call, request)
        namespace = request.get("namespace") or ""
        if namespace and state.namespace(call.tx, where.keys, where.bucket, namespace) is None:
            raise names.no_namespace()
        after = after_of(request.get("continuationToken"), 2)
        prefix = request.get("prefix") or ""
        rows = state.tables(call.tx, where.keys, where.bucket, namespace, after, prefix)
        found, token = page(rows, request.get("maxTables"), lambda row: list(row[0][1:]))
        return {"tables": [_summary(Found(where, *row)) for row in found], **token}

    def rename_table(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        check_owned(call, found.record)
        _check_token(found, request.get("versionToken"))
        to_namespace, to_name = request.get("newNamespaceName"), request.get("newName")
        if to_namespace is None and to_name is None:
            raise names.bad("Neither a new namespace name nor a new table name is specified.")
        name = Name(
            found.where.bucket, to_namespace or found.name.namespace, to_name or found.name.table
        )
        names.check_table(name.table)
        missing = Fault("NotFoundException", "The specified destination namespace does not exist.")
        self._check_free(call, found.where, name, missing)
        state.delete_table(call.tx, found.where.keys, found.name, found.record["id"])
        Found(found.where, name, found.record).put(call, **_changed(call))
        return {}

    def delete_table(self, call: Call, request: Request) -> Response:
        """Its files go with it. Of a table that a service keeps, too: that is how one gets rid of it.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-delete-table.html
        """
        found = self._table(call, request)
        _check_token(found, request.get("versionToken"))
        state.delete_table(call.tx, found.where.keys, found.name, found.record["id"])
        self._warehouse(call, found, "DropTableBucket")
        return {}

    # -- where the metadata is

    def get_table_metadata_location(self, call: Call, request: Request) -> Response:
        found = self._table(call, request)
        shown = {
            "versionToken": found.record["token"],
            "warehouseLocation": found.record["warehouse"],
        }
        if "metadata" in found.record:
            shown["metadataLocation"] = found.record["metadata"]
        return shown

    def update_table_metadata_location(self, call: Call, request: Request) -> Response:
        """Compare-and-swap: of writers with one version token the first wins, the others are told of the conflict."""
        found = self._table(call, request)
        check_owned(call, found.record)
        _check_token(found, request["versionToken"])
        location = request["metadataLocation"]
        start = f"{found.record['warehouse']}/"
        if not location.startswith(start) or not location.endswith(".metadata.json"):
            raise names.bad("The specified metadata location is not valid.")
        try:
            self._warehouse(call, found, "CheckTableObject", Key=location.removeprefix(start))
        except Fault as fault:
            if fault.code != "NoSuchKey":
                raise
            raise names.bad("The specified metadata location is not valid.") from fault
        found.put(call, metadata=location, **_changed(call))
        return {
            "name": found.name.table,
            "tableARN": found.arn,
            "namespace": [found.name.namespace],
            "versionToken": found.record["token"],
            "metadataLocation": location,
        }

    # -- finding

    def _table(self, call: Call, request: Request) -> Found:
        """The table a request names, by bucket and name or by its ARN. Raises NotFound."""
        if arn := request.get("tableArn") or request.get("TableArn"):
            if request.get("tableBucketARN") or request.get("namespace") or request.get("name"):
                raise names.bad("Specify either tableArn, or tableBucketARN, namespace and name.")
            return self._table_of(call, names.place(call, arn))
        if not all(request.get(m) for m in ("tableBucketARN", "namespace", "name")):
            raise names.bad("Specify either tableArn, or tableBucketARN, namespace and name.")
        where, _ = self._bucket(call, request)
        name = Name(where.bucket, request["namespace"], request["name"])
        if state.namespace(call.tx, where.keys, where.bucket, name.namespace) is None:
            raise names.no_namespace()
        record = state.table(call.tx, where.keys, name)
        if record is None:
            raise names.no_table()
        return Found(where, name, record)

    def _table_of(self, call: Call, where: Place) -> Found:
        name = state.by_id(call.tx, where.keys, where.bucket, where.table)
        record = None if name is None else state.table(call.tx, where.keys, name)
        if name is None or record is None:
            raise names.no_table()
        return Found(where._replace(table=""), name, record)

    def _warehouse(self, call: Call, found: Found, operation: str, **asked: Any) -> Response:
        """One of S3's own operations on the bucket where the table's files are."""
        there = call.scoped(found.where.account, found.where.region)
        return there.invoke("s3", operation, {"Bucket": warehouse_of(found.record), **asked})


def warehouse_of(record: Record) -> str:
    return str(record["warehouse"]).removeprefix("s3://")


def make_table(
    call: Call,
    where: Place,
    name: Name,
    *,
    kind: str,
    encryption: dict[str, str],
    storage: str,
    tags: dict[str, str],
    service: str = "",
    table_id: str = "",
) -> Found:
    """A table without metadata, and the bucket for its files."""
    chance = call.world.token(17).hex()
    bucket = f"{call.world.uuid()[:18]}-{chance}--table-s3"
    record: Record = {
        "id": table_id or call.world.uuid(),
        "made_s": call.tx.time_s,
        "by": call.principal.account or where.account,
        "warehouse": f"s3://{bucket}",
        "kind": kind,
        "encryption": encryption,
        "storage": storage,
        "tags": tags,
        **_changed(call),
    }
    if service:
        record["service"] = service
    found = Found(where, name, record)
    found.put(call)
    asked = {
        "Bucket": bucket,
        "TableArn": found.arn,
        "ReadOnly": kind == "aws",
        "Encryption": encryption,
    }
    call.scoped(where.account, where.region).invoke("s3", "KeepTableBucket", asked)
    expect(call.tx, where._replace(table=record["id"]))
    return found


def write_first(call: Call, found: Found, given: dict[str, Any]) -> None:
    """The first metadata file, with the table's schema."""
    location = found.record["warehouse"]
    now_ms = int(call.tx.time_s * 1000)
    raw = iceberg.metadata(given, location, call.world.uuid(), now_ms)
    _put_first(call, found, raw)


def put_first(call: Call, found: Found, metadata: dict[str, Any]) -> None:
    """The first metadata file, as it came but for its place."""
    raw = orjson.dumps({**metadata, "location": found.record["warehouse"]})
    if len(raw) > iceberg.METADATA_BYTES_MAX:
        raise names.bad(f"The table's metadata is larger than {iceberg.METADATA_BYTES_MAX} bytes.")
    _put_first(call, found, raw)


def _put_first(call: Call, found: Found, raw: bytes) -> None:
    key = f"{_METADATA_FOLDER}/00000-{call.world.uuid()}.metadata.json"
    asked = {"Bucket": warehouse_of(found.record), "Key": key, "Body": raw}
    call.scoped(found.where.account, found.where.region).invoke("s3", "PutTableObject", asked)
    found.put(call, metadata=f"{found.record['warehouse']}/{key}")


def _changed(call: Call) -> dict[str, Any]:
    """A change's time, author and the version token that follows from it."""
    return {
        "changed_s": call.tx.time_s,
        "changed_by": call.principal.account,
        "token": call.world.token(10).hex(),
    }


def _check_token(found: Found, given: str | None) -> None:
    if given is not None and given != found.record["token"]:
        raise names.conflict("Provided version token does not match the table version token.")


def _summary(found: Found) -> dict[str, Any]:
    record = found.record
    shown = {
        "namespace": [found.name.namespace],
        "name": found.name.table,
        "type": record["kind"],
        "tableARN": found.arn,
        "createdAt": record["made_s"],
        "modifiedAt": record["changed_s"],
    }
    if "service" in record:
        shown["managedByService"] = record["service"]
    return shown
