"""CloudFormation types of S3 Tables: TableBucket, Namespace, Table and the policies of buckets and tables.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_S3Tables.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, tag_list

_COMPACTION, _SNAPSHOTS, _FILES = (
    "icebergCompaction",
    "icebergSnapshotManagement",
    "icebergUnreferencedFileRemoval",
)


class _Type(Resource):
    service = "s3tables"
    gone = frozenset({"NotFoundException"})

    async def _retag(self, call: Call, arn: str, old: Spec, new: Spec) -> None:
        before, wanted = old.tags(), new.tags()
        if gone := sorted(before.keys() - wanted.keys()):
            await self.ask(call, "UntagResource", resourceArn=arn, tagKeys=gone)
        if fresh := {k: v for k, v in wanted.items() if before.get(k) != v}:
            await self.ask(call, "TagResource", resourceArn=arn, tags=fresh)


# -- table buckets


class TableBucket(_Type):
    type = "AWS::S3Tables::TableBucket"
    create_only = frozenset({"TableBucketName"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "MetricsConfiguration.Status": frozenset({"Disabled"}),
        "ReplicationConfiguration": frozenset(),
    }
    unread = frozenset({"MetricsConfiguration"})

    async def create(self, call: Call, spec: Spec) -> Made:
        given = spec.properties
        answer = await self.ask(
            call,
            "CreateTableBucket",
            name=given["TableBucketName"],
            encryptionConfiguration=_encryption(given.get("EncryptionConfiguration")),
            storageClassConfiguration=_storage(given),
            tags=spec.tags() or None,
            _token=spec.token,
        )
        with created(answer["arn"]):
            await self._removal(call, answer["arn"], {}, given)
        return _made_bucket(answer["arn"])

    async def _removal(
        self, call: Call, arn: str, old: dict[str, Any], new: dict[str, Any]
    ) -> None:
        said = new.get("UnreferencedFileRemoval")
        if said == old.get("UnreferencedFileRemoval"):
            return
        said = said or {}
        settings = {}
        for ours, theirs in (
            ("NoncurrentDays", "nonCurrentDays"),
            ("UnreferencedDays", "unreferencedDays"),
        ):
            if ours in said:
                settings[theirs] = said[ours]
        value = {
            "status": said.get("Status", "Enabled").lower(),
            "settings": {_FILES: settings},
        }
        await self.ask(
            call,
            "PutTableBucketMaintenanceConfiguration",
            tableBucketARN=arn,
            type=_FILES,
            value=value,
        )

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        given, where = new.properties, {"tableBucketARN": physical_id}
        encryption = _encryption(given.get("EncryptionConfiguration"))
        if encryption is not None:
            asked = {"encryptionConfiguration": encryption}
            await self.ask(call, "PutTableBucketEncryption", **where, **asked)
        elif "EncryptionConfiguration" in old.properties:
            await self.ask(call, "DeleteTableBucketEncryption", **where)
        storage = _storage(given) or {"storageClass": "STANDARD"}
        await self.ask(
            call, "PutTableBucketStorageClass", **where, storageClassConfiguration=storage
        )
        await self._removal(call, physical_id, old.properties, given)
        await self._retag(call, physical_id, old, new)
        return _made_bucket(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteTableBucket", tableBucketARN=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        where = {"tableBucketARN": physical_id}
        found = await self.ask_if_there(call, "GetTableBucket", **where)
        if found is None:
            return None
        sealed = await self.ask(call, "GetTableBucketEncryption", **where)
        storage = await self.ask(call, "GetTableBucketStorageClass", **where)
        kept = await self.ask(call, "GetTableBucketMaintenanceConfiguration", **where)
        tags = await self.ask(call, "ListTagsForResource", resourceArn=physical_id)
        removal = kept["configuration"][_FILES]
        days = removal["settings"][_FILES]
        encryption = sealed["encryptionConfiguration"]
        shown = {"SSEAlgorithm": encryption["sseAlgorithm"]}
        if "kmsKeyArn" in encryption:
            shown["KMSKeyArn"] = encryption["kmsKeyArn"]
        return {
            "TableBucketARN": physical_id,
            "TableBucketName": found["name"],
            "EncryptionConfiguration": shown,
            "StorageClassConfiguration": {
                "StorageClass": storage["storageClassConfiguration"]["storageClass"]
            },
            "UnreferencedFileRemoval": {
                "Status": removal["status"].capitalize(),
                "NoncurrentDays": days["nonCurrentDays"],
                "UnreferencedDays": days["unreferencedDays"],
            },
            "Tags": tag_list(tags["tags"]),
        }

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return _made_bucket(physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        cursor = ("continuationToken", "continuationToken")
        return await self.page_of(
            call, "ListTableBuckets", "tableBuckets", "arn", token, cursor=cursor, type="customer"
        )


def _made_bucket(arn: str) -> Made:
    return Made(arn, {"TableBucketARN": arn})


def _encryption(given: dict[str, Any] | None) -> dict[str, str] | None:
    if not given:
        return None
    made = {"sseAlgorithm": given.get("SSEAlgorithm", "AES256")}
    if "KMSKeyArn" in given:
        made["kmsKeyArn"] = given["KMSKeyArn"]
    return made


def _storage(given: dict[str, Any]) -> dict[str, str] | None:
    said = (given.get("StorageClassConfiguration") or {}).get("StorageClass")
    return {"storageClass": said} if said else None


class TableBucketPolicy(_Type):
    type = "AWS::S3Tables::TableBucketPolicy"
    create_only = frozenset({"TableBucketARN"})

    async def create(self, call: Call, spec: Spec) -> Made:
        arn = spec.properties["TableBucketARN"]
        policy = _text(spec.properties["ResourcePolicy"])
        await self.ask(call, "PutTableBucketPolicy", tableBucketARN=arn, resourcePolicy=policy)
        return Made(arn)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteTableBucketPolicy", tableBucketARN=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetTableBucketPolicy", tableBucketARN=physical_id)
        if found is None:
            return None
        policy = orjson.loads(found["resourcePolicy"])
        return {"TableBucketARN": physical_id, "ResourcePolicy": policy}


def _text(policy: Any) -> str:
    return policy if isinstance(policy, str) else orjson.dumps(policy).decode()


# -- namespaces


class Namespace(_Type):
    type = "AWS::S3Tables::Namespace"
    create_only = frozenset({"TableBucketARN", "Namespace"})

    async def create(self, call: Call, spec: Spec) -> Made:
        bucket, name = spec.properties["TableBucketARN"], spec.properties["Namespace"]
        asked = {"tableBucketARN": bucket, "namespace": [name], "_token": spec.token}
        await self.ask(call, "CreateNamespace", **asked)
        return Made(f"{bucket}|{name}")

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        bucket, _, name = physical_id.partition("|")
        await self.ask_if_there(call, "DeleteNamespace", tableBucketARN=bucket, namespace=name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        bucket, _, name = physical_id.partition("|")
        asked = {"tableBucketARN": bucket, "namespace": name}
        if await self.ask_if_there(call, "GetNamespace", **asked) is None:
            return None
        return {"TableBucketARN": bucket, "Namespace": name}

    def physical_id_of(self, identifier: Mapping[str, Any]) -> str:
        return f"{identifier['TableBucketARN']}|{identifier['Namespace']}"


# -- tables


class Table(_Type):
    type = "AWS::S3Tables::Table"
    create_only = frozenset(
        {
            "TableBucketARN",
            "OpenTableFormat",
            "IcebergMetadata",
            "WithoutMetadata",
            "StorageClassConfiguration",
        }
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        given = spec.properties
        if ("IcebergMetadata" in given) == ("WithoutMetadata" in given):
            raise Fault(
                "ValidationException", "Specify either IcebergMetadata or WithoutMetadata: Yes."
            )
        iceberg = _iceberg(given["IcebergMetadata"]) if "IcebergMetadata" in given else None
        answer = await self.ask(
            call,
            "CreateTable",
            **_named(given),
            format=given["OpenTableFormat"],
            metadata=None if iceberg is None else {"iceberg": iceberg},
            storageClassConfiguration=_storage(given),
            tags=spec.tags() or None,
            _token=spec.token,
        )
        with created(answer["tableARN"]):
            await self._keep(call, {}, given)
        return await self._made(call, answer["tableARN"])

    async def _keep(self, call: Call, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Maintenance that differs; what is not said goes back to its default."""
        for ours, theirs, members in _UPKEEP:
            said = new.get(ours)
            if said == old.get(ours):
                continue
            said = said or {}
            settings = {api: said[name] for name, api in members.items() if name in said}
            value = {"status": said.get("Status", "enabled"), "settings": {theirs: settings}}
            asked = {**_named(new), "type": theirs, "value": value}
            await self.ask(call, "PutTableMaintenanceConfiguration", **asked)

    async def _made(self, call: Call, arn: str) -> Made:
        found = await self.ask(call, "GetTable", tableArn=arn)
        attributes = {
            "TableARN": arn,
            "VersionToken": found["versionToken"],
            "WarehouseLocation": found["warehouseLocation"],
        }
        return Made(arn, attributes)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        found = await self.ask(call, "GetTable", tableArn=physical_id)
        there = {**old.properties, "Namespace": found["namespace"][0], "TableName": found["name"]}
        moved: dict[str, Any] = {}
        if there["Namespace"] != new.properties["Namespace"]:
            moved["newNamespaceName"] = new.properties["Namespace"]
        if there["TableName"] != new.properties["TableName"]:
            moved["newName"] = new.properties["TableName"]
        if moved:
            await self.ask(call, "RenameTable", **_named(there), **moved)
        await self._keep(call, old.properties, new.properties)
        await self._retag(call, physical_id, old, new)
        return await self._made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        found = await self.ask_if_there(call, "GetTable", tableArn=physical_id)
        if found is not None:
            await self.ask_if_there(call, "DeleteTable", **_place(physical_id, found))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetTable", tableArn=physical_id)
        if found is None:
            return None
        place = _place(physical_id, found)
        kept = await self.ask(call, "GetTableMaintenanceConfiguration", **place)
        storage = await self.ask(call, "GetTableStorageClass", **place)
        tags = await self.ask(call, "ListTagsForResource", resourceArn=physical_id)
        made = {
            "TableARN": physical_id,
            "TableBucketARN": place["tableBucketARN"],
            "Namespace": place["namespace"],
            "TableName": place["name"],
            "OpenTableFormat": found["format"],
            "VersionToken": found["versionToken"],
            "WarehouseLocation": found["warehouseLocation"],
            "StorageClassConfiguration": {
                "StorageClass": storage["storageClassConfiguration"]["storageClass"]
            },
            "Tags": tag_list(tags["tags"]),
        }
        for ours, theirs, members in _UPKEEP:
            said = kept["configuration"][theirs]
            settings = said["settings"][theirs]
            made[ours] = {"Status": said["status"]}
            made[ours] |= {name: settings[api] for name, api in members.items()}
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._made(call, physical_id)


_UPKEEP: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Compaction", _COMPACTION, {"TargetFileSizeMB": "targetFileSizeMB"}),
    (
        "SnapshotManagement",
        _SNAPSHOTS,
        {
            "MaxSnapshotAgeHours": "maxSnapshotAgeHours",
            "MinSnapshotsToKeep": "minSnapshotsToKeep",
        },
    ),
)


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tableBucketARN": given["TableBucketARN"],
        "namespace": given["Namespace"],
        "name": given["TableName"],
    }


def _place(arn: str, found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tableBucketARN": arn.partition("/table/")[0],
        "namespace": found["namespace"][0],
        "name": found["name"],
    }


def _iceberg(given: Mapping[str, Any]) -> dict[str, Any]:
    """IcebergMetadata as CreateTable's ``metadata.iceberg``."""
    made: dict[str, Any] = {}
    if "IcebergSchema" in given:
        fields = [_lower(field) for field in given["IcebergSchema"]["SchemaFieldList"]]
        made["schema"] = {"fields": fields}
    if "IcebergSchemaV2" in given:
        said = given["IcebergSchemaV2"]
        made["schemaV2"] = {
            "type": said["SchemaV2FieldType"],
            "fields": [_lower(field) for field in said["SchemaV2FieldList"]],
        }
        if "SchemaId" in said:
            made["schemaV2"]["schemaId"] = said["SchemaId"]
        if "IdentifierFieldIds" in said:
            made["schemaV2"]["identifierFieldIds"] = said["IdentifierFieldIds"]
    if "IcebergPartitionSpec" in given:
        said = _lower(given["IcebergPartitionSpec"])
        made["partitionSpec"] = {**said, "fields": [_lower(f) for f in said["fields"]]}
    if "IcebergSortOrder" in given:
        said = {"orderId": 1, **_lower(given["IcebergSortOrder"])}
        made["writeOrder"] = {**said, "fields": [_lower(f) for f in said["fields"]]}
    if "TableProperties" in given:
        made["properties"] = dict(given["TableProperties"])
    return made


def _lower(given: Mapping[str, Any]) -> dict[str, Any]:
    """Names as the API spells them: SourceId -> sourceId."""
    return {name[:1].lower() + name[1:]: value for name, value in given.items()}


class TablePolicy(_Type):
    type = "AWS::S3Tables::TablePolicy"
    create_only = frozenset({"TableARN"})

    async def create(self, call: Call, spec: Spec) -> Made:
        arn, policy = spec.properties["TableARN"], _text(spec.properties["ResourcePolicy"])
        place = _place(arn, await self.ask(call, "GetTable", tableArn=arn))
        await self.ask(call, "PutTablePolicy", **place, resourcePolicy=policy)
        attributes = {
            "TableBucketARN": place["tableBucketARN"],
            "Namespace": place["namespace"],
            "TableName": place["name"],
        }
        return Made(arn, attributes)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        found = await self.ask_if_there(call, "GetTable", tableArn=physical_id)
        if found is not None:
            await self.ask_if_there(call, "DeleteTablePolicy", **_place(physical_id, found))

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetTable", tableArn=physical_id)
        if found is None:
            return None
        place = _place(physical_id, found)
        said = await self.ask_if_there(call, "GetTablePolicy", **place)
        if said is None:
            return None
        return {
            "TableARN": physical_id,
            "TableBucketARN": place["tableBucketARN"],
            "Namespace": place["namespace"],
            "TableName": place["name"],
            "ResourcePolicy": orjson.loads(said["resourcePolicy"]),
        }


RESOURCES: tuple[Resource, ...] = (
    TableBucket(),
    Namespace(),
    Table(),
    TableBucketPolicy(),
    TablePolicy(),
)
