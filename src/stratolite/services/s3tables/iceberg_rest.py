"""The Iceberg REST catalog over S3 Tables: engines attach a table bucket at /iceberg with SigV4, signing name s3tables.

What a request asks for becomes the operations of S3 Tables, in the caller's name: IAM and policies decide as they do there.
A commit's requirements and updates are pyiceberg's to judge, in the child; its outcome is swapped in by the version token.
Engines read and write the tables' files through S3 with credentials of their own; GetConfig tells them where that is.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/s3-tables-integrating-open-source.html
         https://github.com/apache/iceberg/blob/main/open-api/rest-catalog-open-api.yaml

Not offered: staged creation of tables, views, registering, namespaces of several levels or with properties, dropping a table
without its files, server-side scan planning, commits to several tables at once.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, quote, unquote

import orjson

from stratolite.errors import Fault
from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Call, Door, Response
from stratolite.services.s3tables.names import bad, not_offered
from stratolite.services.s3tables.writing import WriteFailed, Writing, read_json

Json = dict[str, Any]
_SEPARATOR = "\x1f"
_STATUS = {"BadRequestException": 400, "NotFoundException": 404, "ConflictException": 409}
_TYPES = {
    400: "BadRequestException",
    403: "ForbiddenException",
    404: "NoSuchTableException",
    409: "CommitFailedException",
    501: "UnsupportedOperationException",
}
_PATH = re.compile(r"/v1/(?P<prefix>[^/]+)/(?P<rest>.+)")
_PAGE_COUNT_MAX = 1000


class IcebergRest(Writing):
    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        if call.principal.kind == "anonymous":
            return _refused(403, "ForbiddenException", "Missing Authentication Token")
        try:
            status, answer = await self._answered(call, door.path, request)
        except WriteFailed as failed:
            said = str(failed)
            if said.startswith("CommitFailedException"):
                return _refused(409, "CommitFailedException", said)
            return _refused(400, "BadRequestException", said)
        except Fault as fault:
            status = fault.status or _STATUS.get(fault.code, 0)
            if not status:
                status = 403 if fault.code.startswith("AccessDenied") else 500
            kind = _TYPES.get(status, fault.code)
            if status == 404 and "table" not in fault.message:
                kind = "NoSuchNamespaceException"
            if status == 409 and "already exists" in fault.message:
                kind = "AlreadyExistsException"
            return _refused(status, kind, fault.message)
        body = b"" if answer is None else orjson.dumps(answer)
        return HttpResponse(status, [("Content-Type", "application/json")], body)

    async def _answered(
        self, call: Call, path: str, request: HttpRequest
    ) -> tuple[int, Json | None]:
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        if path == "/v1/config" and request.method == "GET":
            return 200, await self._config(call, query)
        match = _PATH.fullmatch(path)
        if match is None:
            raise not_offered(f"{request.method} {path[:200]}")
        arn = unquote(match["prefix"])
        steps = [unquote(step) for step in match["rest"].split("/")]
        given: Json = {}
        if isinstance(request.body, bytes) and request.body:
            try:
                given = orjson.loads(request.body)
            except orjson.JSONDecodeError:
                raise bad("The body is no JSON.") from None
            if not isinstance(given, dict):
                raise bad("The body is no JSON object.")
        method, shape = request.method, tuple(steps[i] if i % 2 == 0 else "*" for i in range(len(steps)))  # fmt: skip
        if steps == ["tables", "rename"]:
            shape = ("tables", "rename")
        do = self._routes_of_rest().get((method, shape))
        if do is None:
            raise not_offered(f"{method} {path[:200]}")
        return await do(call, arn, steps, given | {"_query": query})

    def _routes_of_rest(self) -> dict[tuple[str, tuple[str, ...]], Callable[..., Awaitable[tuple[int, Json | None]]]]:  # fmt: skip
        one, tables, table = ("namespaces", "*"), ("namespaces", "*", "tables"), ("namespaces", "*", "tables", "*")  # fmt: skip
        return {
            ("GET", ("namespaces",)): self._list_namespaces,
            ("POST", ("namespaces",)): self._create_namespace,
            ("GET", one): self._get_namespace,
            ("HEAD", one): self._get_namespace,
            ("DELETE", one): self._drop_namespace,
            ("GET", tables): self._list_tables,
            ("POST", tables): self._create_table,
            ("GET", table): self._load_table,
            ("HEAD", table): self._has_table,
            ("POST", table): self._commit_table,
            ("DELETE", table): self._drop_table,
            ("POST", ("tables", "rename")): self._rename_table,
        }

    async def _ask(self, call: Call, operation: str, **request: Any) -> Response:
        return await call.request("s3tables", operation, request)

    async def _config(self, call: Call, query: dict[str, str]) -> Json:
        arn = query.get("warehouse") or ""
        await self._ask(call, "GetTableBucket", tableBucketARN=arn)
        defaults = {
            "s3.endpoint": call.endpoint,
            "s3.path-style-access": "true",
            "s3.region": call.region,
        }
        return {"defaults": defaults, "overrides": {"prefix": quote(arn, safe="")}}

    # -- namespaces

    async def _list_namespaces(
        self, call: Call, arn: str, _: list[str], given: Json
    ) -> tuple[int, Json]:
        if given["_query"].get("parent"):
            return 200, {"namespaces": []}
        answer = await self._ask(call, "ListNamespaces", tableBucketARN=arn, **_cursor(given))
        found = [one["namespace"] for one in answer["namespaces"]]
        return 200, {"namespaces": found, **_next(answer)}

    async def _create_namespace(
        self, call: Call, arn: str, _: list[str], given: Json
    ) -> tuple[int, Json]:
        if given.get("properties"):
            raise not_offered("properties of namespaces")
        name = _one(given.get("namespace"))
        await self._ask(call, "CreateNamespace", tableBucketARN=arn, namespace=[name])
        return 200, {"namespace": [name], "properties": {}}

    async def _get_namespace(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, Json]:
        name = _namespace(steps)
        await self._ask(call, "GetNamespace", tableBucketARN=arn, namespace=name)
        return 200, {"namespace": [name], "properties": {}}

    async def _drop_namespace(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, None]:
        name = _namespace(steps)
        await self._ask(call, "DeleteNamespace", tableBucketARN=arn, namespace=name)
        return 204, None

    # -- tables

    async def _list_tables(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, Json]:
        asked = {"tableBucketARN": arn, "namespace": _namespace(steps), **_cursor(given)}
        answer = await self._ask(call, "ListTables", **asked)
        found = [{"namespace": t["namespace"], "name": t["name"]} for t in answer["tables"]]
        return 200, {"identifiers": found, **_next(answer)}

    async def _create_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, Json]:
        if given.get("stage-create"):
            raise not_offered("staged creation of tables")
        if given.get("location"):
            raise bad("The location of a table is chosen by S3 Tables.")
        name = _text(given, "name")
        wanted = {k: given.get(k) for k in ("schema", "partition-spec", "write-order", "properties")}  # fmt: skip
        first = await self._first_metadata(call, wanted)
        place = {"tableBucketARN": arn, "namespace": _namespace(steps), "name": name}
        asked = {**place, "format": "ICEBERG", "metadata": {"iceberg": {}}, "_first": first}
        await self._ask(call, "CreateTable", **asked)
        return 200, await self._loaded(call, place)

    async def _load_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, Json]:
        return 200, await self._loaded(call, _place(arn, steps))

    async def _has_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, None]:
        await self._ask(call, "GetTable", **_place(arn, steps))
        return 204, None

    async def _loaded(self, call: Call, place: dict[str, str]) -> Json:
        found = await self._ask(call, "GetTableMetadataLocation", **place)
        location = found.get("metadataLocation")
        if location is None:
            raise Fault(
                "NotFoundException", "The specified table does not exist: it has no metadata."
            )
        metadata = await read_json(call, location)
        return {"metadata-location": location, "metadata": metadata, "config": {}}

    async def _commit_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, Json]:
        place = _place(arn, steps)
        table = await self._ask(call, "GetTable", **place)
        commit = {k: given.get(k) or [] for k in ("requirements", "updates")}
        if not all(isinstance(part, list) for part in commit.values()):
            raise bad("requirements and updates must be lists.")
        asked = {"TableArn": table["tableARN"], "Steps": [{"commit": commit}]}
        asked["Tidy"] = {"files": 0, "snapshots": 0, "age_ms": 0, "keep": 1}
        written = await self._ask(call, "WriteTable", **asked)
        if written["MetadataLocation"]:
            await self._ask(
                call,
                "UpdateTableMetadataLocation",
                **place,
                versionToken=written["VersionToken"],
                metadataLocation=written["MetadataLocation"],
            )
        made = await self._loaded(call, place)
        return 200, {k: made[k] for k in ("metadata-location", "metadata")}

    async def _drop_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, None]:
        if given["_query"].get("purgeRequested", "false").lower() != "true":
            raise bad("S3 Tables drops a table with its files only: set purgeRequested=true.")
        await self._ask(call, "DeleteTable", **_place(arn, steps))
        return 204, None

    async def _rename_table(
        self, call: Call, arn: str, steps: list[str], given: Json
    ) -> tuple[int, None]:
        source, to = (given.get(k) for k in ("source", "destination"))
        if not isinstance(source, dict) or not isinstance(to, dict):
            raise bad("source and destination must be objects.")
        place = {
            "tableBucketARN": arn,
            "namespace": _one(source.get("namespace")),
            "name": _text(source, "name"),
        }
        moved = {"newNamespaceName": _one(to.get("namespace")), "newName": _text(to, "name")}
        await self._ask(call, "RenameTable", **place, **moved)
        return 204, None


def _cursor(given: Json) -> dict[str, Any]:
    token = given["_query"].get("pageToken")
    return {"continuationToken": token} if token else {}


def _next(answer: Response) -> Json:
    token = answer.get("continuationToken")
    return {"next-page-token": token} if token else {}


def _namespace(steps: list[str]) -> str:
    return _one(steps[1].split(_SEPARATOR))


def _one(levels: Any) -> str:
    if not isinstance(levels, list) or len(levels) != 1 or not isinstance(levels[0], str):
        raise bad("Namespaces are lists of one level.")
    return levels[0]


def _text(given: Json, name: str) -> str:
    found = given.get(name)
    if not isinstance(found, str):
        raise bad(f"{name} must be a string.")
    return found


def _place(arn: str, steps: list[str]) -> dict[str, str]:
    return {"tableBucketARN": arn, "namespace": _namespace(steps), "name": steps[3]}


def _refused(status: int, kind: str, message: str) -> HttpResponse:
    error = {"error": {"message": message, "type": kind, "code": status}}
    return HttpResponse(status, [("Content-Type", "application/json")], orjson.dumps(error))
