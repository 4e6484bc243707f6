"""Operations on databases, and tags of them."""

from __future__ import annotations

import re
from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.glue import bus, names, state, worker

_DATABASE = re.compile(r"arn:aws:glue:[a-z0-9-]+:\d{12}:database/([^/]+)\Z")


class Databases(Service):
    def create_database(self, call: Call, request: Request) -> Response:
        names.check_catalog(call, request)
        given = request["DatabaseInput"]
        name = names.name(given["Name"], "databaseInput.name")
        if state.get_database(call.tx, call.keys("glue"), name) is not None:
            raise Fault("AlreadyExistsException", "Database already exists.")
        record = {"made_s": call.tx.time_s, "input": given, "tags": request.get("Tags") or {}}
        state.put_database(call.tx, call.keys("glue"), name, record)
        bus.tell_of_database(call, name, "CreateDatabase")
        return {}

    def get_database(self, call: Call, request: Request) -> Response:
        name = names.database(call, request, "Name")
        record = state.get_database(call.tx, call.keys("glue"), name)
        assert record is not None
        return {"Database": _described(call, name, record)}

    def get_databases(self, call: Call, request: Request) -> Response:
        names.check_catalog(call, request)
        most = names.limit(request)
        members = names.attributes(request, {"NAME": "Name", "TARGET_DATABASE": "TargetDatabase"})
        if not names.shares(request, "FOREIGN", "ALL", "FEDERATED"):
            return {"DatabaseList": []}  # no other account shares its catalog here
        shown: list[dict[str, Any]] = []
        for name, record in state.databases(
            call.tx, call.keys("glue"), request.get("NextToken") or ""
        ):
            if len(shown) >= most:
                return {"DatabaseList": shown, "NextToken": shown[-1]["Name"]}
            described = _described(call, name, record)
            shown.append({m: described[m] for m in members if m in described} or described)
        return {"DatabaseList": shown}

    def update_database(self, call: Call, request: Request) -> Response:
        name = names.database(call, request, "Name")
        given = request["DatabaseInput"]
        if names.name(given["Name"], "databaseInput.name") != name:
            raise Fault("InvalidInputException", "A database cannot be renamed.")
        record = state.get_database(call.tx, call.keys("glue"), name)
        assert record is not None
        state.put_database(call.tx, call.keys("glue"), name, {**record, "input": given})
        return {}

    def delete_database(self, call: Call, request: Request) -> Response:
        name = names.database(call, request, "Name")
        worker.drop(call, state.drop_database(call.tx, call.keys("glue"), name))
        bus.tell_of_database(call, name, "DeleteDatabase")
        return {}

    # -- tags

    def tag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        tags = {**record["tags"], **request["TagsToAdd"]}
        if len(tags) > 50:
            raise Fault("InvalidInputException", "At most 50 tags.")
        state.put_database(call.tx, call.keys("glue"), name, {**record, "tags": tags})
        return {}

    def untag_resource(self, call: Call, request: Request) -> Response:
        name, record = _tagged(call, request)
        tags = {k: v for k, v in record["tags"].items() if k not in request["TagsToRemove"]}
        state.put_database(call.tx, call.keys("glue"), name, {**record, "tags": tags})
        return {}

    def get_tags(self, call: Call, request: Request) -> Response:
        return {"Tags": _tagged(call, request)[1]["tags"]}


def _tagged(call: Call, request: Request) -> tuple[str, state.Record]:
    match = _DATABASE.match(request["ResourceArn"])
    if match is None:
        raise Fault(
            "InvalidInputException",
            "Tags on anything but databases are not offered by Stratolite; see docs/coverage.md",
        )
    record = state.get_database(call.tx, call.keys("glue"), match[1])
    if record is None:
        raise names.no_database(match[1])
    return match[1], record


def _described(call: Call, name: str, record: state.Record) -> dict[str, Any]:
    return {
        **record["input"],
        "Name": name,
        "CreateTime": record["made_s"],
        "CatalogId": call.account,
    }
