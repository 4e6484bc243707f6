"""Table buckets and their namespaces: create, get, list, delete."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import islice
from typing import Any

import orjson

from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3tables import names, state
from stratolite.services.s3tables.names import Place

PAGE_COUNT_MAX = 1000
BUCKETS_COUNT_MAX = 10_000


class Buckets(Service):
    def create_table_bucket(self, call: Call, request: Request) -> Response:
        name = request["name"]
        names.check_bucket(name)
        where = Place(call.account, call.region, name)
        if state.bucket(call.tx, where.keys, name) is not None:
            raise names.conflict(
                "The bucket that you tried to create already exists, and you own it."
            )
        made = {**new_bucket(call, "customer"), **token_of(request)}
        if request.get("tags"):
            made["tags"] = dict(request["tags"])
        if encryption := request.get("encryptionConfiguration"):
            made["encryption"] = checked_encryption(encryption)
        if storage := request.get("storageClassConfiguration"):
            made["storage"] = storage["storageClass"]
        state.put_bucket(call.tx, where.keys, name, made)
        return {"arn": where.arn}

    def get_table_bucket(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        return _shown(where, record)

    def list_table_buckets(self, call: Call, request: Request) -> Response:
        keys, kind = call.keys("s3tables"), request.get("type")
        after, prefix = _after(request, 1), request.get("prefix") or ""
        rows = (
            (name, record)
            for name, record in state.buckets(call.tx, keys, after[0] if after else "", prefix)
            if kind in (None, record["kind"])
        )
        found, token = page(rows, request.get("maxBuckets"), lambda row: [row[0]])
        shown = [_shown(Place(call.account, call.region, n), record) for n, record in found]
        return {"tableBuckets": shown, **token}

    def delete_table_bucket(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        if next(state.namespaces(call.tx, where.keys, where.bucket, ""), None) is not None:
            raise names.conflict("The bucket that you tried to delete is not empty.")
        state.delete_bucket(call.tx, where.keys, where.bucket)
        return {}

    # -- namespaces

    def create_namespace(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        (name,) = request["namespace"]
        names.check_namespace(name)
        old = state.namespace(call.tx, where.keys, where.bucket, name)
        if old is not None and not made_by(old, request):
            raise names.conflict("A namespace with an identical name already exists in the bucket.")
        if old is None:
            put_namespace(call, where, name, token_of(request))
        return {"tableBucketARN": where.arn, "namespace": [name]}

    def get_namespace(self, call: Call, request: Request) -> Response:
        where, bucket = self._bucket(call, request)
        name = request["namespace"]
        record = state.namespace(call.tx, where.keys, where.bucket, name)
        if record is None:
            raise names.no_namespace()
        return _shown_namespace(where, bucket, name, record)

    def list_namespaces(self, call: Call, request: Request) -> Response:
        where, bucket = self._bucket(call, request)
        after, prefix = _after(request, 1), request.get("prefix") or ""
        start = after[0] if after else ""
        rows = state.namespaces(call.tx, where.keys, where.bucket, start, prefix)
        found, token = page(rows, request.get("maxNamespaces"), lambda row: [row[0]])
        return {"namespaces": [_shown_namespace(where, bucket, *row) for row in found], **token}

    def delete_namespace(self, call: Call, request: Request) -> Response:
        where, record = self._bucket(call, request)
        check_owned(call, record)
        name = request["namespace"]
        if state.namespace(call.tx, where.keys, where.bucket, name) is None:
            raise names.no_namespace()
        if next(state.tables(call.tx, where.keys, where.bucket, name, ()), None) is not None:
            raise names.conflict("The namespace that you tried to delete is not empty.")
        state.delete_namespace(call.tx, where.keys, where.bucket, name)
        return {}

    def _bucket(self, call: Call, request: Request) -> tuple[Place, state.Record]:
        """The table bucket a request names. Raises NotFound."""
        where = names.place(call, request["tableBucketARN"])
        record = state.bucket(call.tx, where.keys, where.bucket)
        if record is None or where.table:
            raise names.no_bucket()
        return where, record


def new_bucket(call: Call, kind: str) -> state.Record:
    return {"id": call.world.uuid(), "made_s": call.tx.time_s, "kind": kind, "tags": {}}


def token_of(request: Request) -> dict[str, str]:
    """What a record keeps of our CloudFormation step that makes it; nothing from outside carries it."""
    token = request.get("_token")
    return {"token_of_step": token} if token else {}


def made_by(record: state.Record | None, request: Request) -> bool:
    """Whether an earlier attempt of the same step made it."""
    token = request.get("_token")
    return record is not None and bool(token) and record.get("token_of_step") == token


def put_namespace(call: Call, where: Place, name: str, more: dict[str, str] | None = None) -> None:
    record = {"id": call.world.uuid(), "made_s": call.tx.time_s, "by": call.principal.account}
    record |= more or {}
    state.put_namespace(call.tx, where.keys, where.bucket, name, record)


def is_service(call: Call) -> bool:
    """Whether S3 itself asks, for what it keeps in tables."""
    who = call.principal
    return who.kind == "service" and who.name in (names.METADATA_SERVICE, names.MAINTENANCE_SERVICE)


def check_owned(call: Call, record: state.Record) -> None:
    """Raises Forbidden where the bucket or table is a service's and somebody else would change it."""
    if record["kind"] == "aws" and not is_service(call):
        raise names.read_only()


def checked_encryption(given: dict[str, Any]) -> dict[str, str]:
    algorithm, key = given["sseAlgorithm"], given.get("kmsKeyArn")
    if algorithm == "AES256" and key:
        raise names.bad("kmsKeyArn must not be specified when sseAlgorithm is AES256.")
    if algorithm == "aws:kms" and not key:
        raise names.bad("kmsKeyArn must be specified when sseAlgorithm is aws:kms.")
    return {k: given[k] for k in ("sseAlgorithm", "kmsKeyArn") if given.get(k)}


def page(rows: Any, most: int | None, place_of: Any) -> tuple[list[Any], dict[str, str]]:
    """A page of ``rows``, and the member with the token of the next where there is one."""
    most = most or PAGE_COUNT_MAX
    found = list(islice(rows, most + 1))
    if len(found) <= most:
        return found, {}
    found = found[:most]
    token = urlsafe_b64encode(orjson.dumps(place_of(found[-1]))).decode()
    return found, {"continuationToken": token}


def _after(request: Request, length: int) -> tuple[str, ...]:
    return after_of(request.get("continuationToken"), length)


def after_of(token: str | None, length: int) -> tuple[str, ...]:
    """What a continuation token says, () for none. Raises BadRequest."""
    if not token:
        return ()
    try:
        said = orjson.loads(urlsafe_b64decode(token.encode("ascii")))
    except ValueError:
        said = None
    if not isinstance(said, list) or len(said) != length or not all(type(s) is str for s in said):
        raise names.bad("The continuation token is not valid.")
    return tuple(said)


def _shown(where: Place, record: state.Record) -> dict[str, Any]:
    return {
        "arn": where.arn,
        "name": where.bucket,
        "ownerAccountId": where.account,
        "createdAt": record["made_s"],
        "tableBucketId": record["id"],
        "type": record["kind"],
    }


def _shown_namespace(
    where: Place, bucket: state.Record, name: str, record: state.Record
) -> dict[str, Any]:
    return {
        "namespace": [name],
        "createdAt": record["made_s"],
        "createdBy": record["by"],
        "ownerAccountId": where.account,
        "namespaceId": record["id"],
        "tableBucketId": bucket["id"],
    }
