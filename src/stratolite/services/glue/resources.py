"""CloudFormation types of the catalog: Database, Table, Partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec


class _Type(Resource):
    service = "glue"
    gone = frozenset({"EntityNotFoundException"})

    async def _make(self, call: Call, operation: str, spec: Spec, **ask: Any) -> None:
        """A repeat after a crash finds its own."""
        try:
            await self.ask(call, operation, **ask)
        except Fault as fault:
            if fault.code != "AlreadyExistsException" or not await self._is_ours(call, spec):
                raise

    async def _is_ours(self, call: Call, spec: Spec) -> bool:
        """Whether what is there is as the template has it, made in the last minute."""
        return False


class _Database(_Type):
    type = "AWS::Glue::Database"
    create_only = frozenset({"CatalogId", "DatabaseName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "DatabaseInput.FederatedDatabase": frozenset({""})
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        given = _database_input(spec)
        await self._make(
            call, "CreateDatabase", spec, CatalogId=spec.properties["CatalogId"], DatabaseInput=given
        )  # fmt: skip
        return Made(given["Name"].lower())

    async def _is_ours(self, call: Call, spec: Spec) -> bool:
        name = _database_input(spec)["Name"]
        found = await self.ask(call, "GetDatabase", Name=name)
        return bool(call.world.cloud() - found["Database"]["CreateTime"] < 60)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        given = {**_database_input(new), "Name": physical_id}
        await self.ask(call, "UpdateDatabase", Name=physical_id, DatabaseInput=given)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteDatabase", Name=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetDatabase", Name=physical_id)
        if found is None:
            return None
        given = _without(found["Database"], "CreateTime", "CatalogId")
        return {"CatalogId": call.account, "DatabaseName": physical_id, "DatabaseInput": given}

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "GetDatabases", NextToken=token or None)
        return [d["Name"] for d in page["DatabaseList"]], page.get("NextToken", "")


def _database_input(spec: Spec) -> dict[str, Any]:
    given = spec.properties["DatabaseInput"]
    name = spec.properties.get("DatabaseName") or given.get("Name")
    return {**given, "Name": name or spec.generated_name(255, lower=True)}


class _Table(_Type):
    type = "AWS::Glue::Table"
    create_only = frozenset({"CatalogId", "DatabaseName", "Name"})
    properties: ClassVar[frozenset[str] | None] = frozenset(
        {"CatalogId", "DatabaseName", "Name", "TableInput"}
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        props, given = spec.properties, _table_input(spec)
        await self._make(
            call, "CreateTable", spec, CatalogId=props["CatalogId"],
            DatabaseName=props["DatabaseName"], TableInput=given,
        )  # fmt: skip
        return Made(given["Name"].lower())

    async def _is_ours(self, call: Call, spec: Spec) -> bool:
        ask = {"DatabaseName": spec.properties["DatabaseName"], "Name": _table_input(spec)["Name"]}
        found = await self.ask(call, "GetTable", **ask)
        return bool(call.world.cloud() - found["Table"]["CreateTime"] < 60)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, after = (s.properties["TableInput"].get("Name") for s in (old, new))
        if before != after and "Name" not in new.properties:
            raise Fault("InvalidInputException", "TableInput.Name cannot change: give the table a Name, whose change replaces it")  # fmt: skip
        given = {**_table_input(new), "Name": physical_id}
        await self.ask(
            call, "UpdateTable", DatabaseName=new.properties["DatabaseName"], TableInput=given
        )
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        database = spec.properties["DatabaseName"]
        await self.ask_if_there(call, "DeleteTable", DatabaseName=database, Name=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        database = spec.properties["DatabaseName"]
        found = await self.ask_if_there(call, "GetTable", DatabaseName=database, Name=physical_id)
        if found is None:
            return None
        given = _without(
            found["Table"], "CreateTime", "UpdateTime", "CatalogId", "DatabaseName", "VersionId",
            "IsRegisteredWithLakeFormation", "CreatedBy",
        )  # fmt: skip
        place = {"CatalogId": call.account, "DatabaseName": database, "Name": physical_id}
        return place | {"TableInput": given}


def _table_input(spec: Spec) -> dict[str, Any]:
    given = dict(spec.properties["TableInput"])
    name = spec.properties.get("Name") or given.get("Name")
    if isinstance(given.get("Parameters"), dict):
        given["Parameters"] = {k: _text(v) for k, v in given["Parameters"].items()}
    return {**given, "Name": name or spec.generated_name(255, lower=True)}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else orjson.dumps(value).decode()


class _Partition(_Type):
    type = "AWS::Glue::Partition"
    by_identifier = False
    create_only = frozenset({"CatalogId", "DatabaseName", "TableName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        values = props["PartitionInput"]["Values"]
        await self._make(call, "CreatePartition", spec, **_place(spec), PartitionInput=props["PartitionInput"])  # fmt: skip
        return Made("|".join((props["DatabaseName"], props["TableName"], *values)))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        given = new.properties["PartitionInput"]
        before = old.properties["PartitionInput"]["Values"]
        await self.ask(
            call, "UpdatePartition", **_place(new), PartitionValueList=before, PartitionInput=given
        )
        return Made("|".join((*physical_id.split("|")[:2], *given["Values"])))

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        values = spec.properties["PartitionInput"]["Values"]
        await self.ask_if_there(call, "DeletePartition", **_place(spec), PartitionValues=values)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        values = physical_id.split("|")[2:]
        found = await self.ask_if_there(
            call, "GetPartition", **_place(spec), PartitionValues=values
        )
        if found is None:
            return None
        given = _without(
            found["Partition"], "CreationTime", "CatalogId", "DatabaseName", "TableName"
        )
        return {"CatalogId": call.account, **_place(spec), "PartitionInput": given}


def _place(spec: Spec) -> dict[str, Any]:
    return {name: spec.properties[name] for name in ("DatabaseName", "TableName")}


def _without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in names}


RESOURCES: tuple[Resource, ...] = (_Database(), _Table(), _Partition())
