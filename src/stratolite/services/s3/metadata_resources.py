"""What AWS::S3::Bucket says of S3 Metadata: MetadataConfiguration and its first version, MetadataTableConfiguration.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-s3-bucket-metadataconfiguration.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call

_V2, _V1 = "MetadataConfiguration", "MetadataTableConfiguration"
_NAMES = (
    "JournalTableConfiguration",
    "InventoryTableConfiguration",
    "AnnotationTableConfiguration",
)
_OFF = {"ConfigurationState": "DISABLED"}


async def configure(call: Call, bucket: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Make what ``new`` says of what is there, be it ``old``, ``new`` or between."""
    if _V2 in new and _V1 in new:
        raise Fault(
            "ValidationException", f"{_V1} and {_V2} cannot be specified for the same bucket"
        )
    for kind in (_V2, _V1):
        if kind not in new and kind in old and await _shown(call, bucket, kind) is not None:
            await call.request("s3", f"DeleteBucket{kind}", {"Bucket": bucket})
    if _V1 in new:
        await _first_version(call, bucket, new[_V1])
    if _V2 in new:
        await _second_version(call, bucket, old.get(_V2), new[_V2])


async def _first_version(call: Call, bucket: str, given: dict[str, Any]) -> None:
    said = given["S3TablesDestination"]
    target = {name: said[name] for name in ("TableBucketArn", "TableName")}
    there = await _shown(call, bucket, _V1)
    if there is not None:
        now = there["MetadataTableConfigurationResult"]["S3TablesDestinationResult"]
        if all(now[name] == value for name, value in target.items()):
            return
        await call.request("s3", f"DeleteBucket{_V1}", {"Bucket": bucket})
    asked = {"Bucket": bucket, _V1: {"S3TablesDestination": target}}
    await call.request("s3", f"CreateBucket{_V1}", asked)


async def _second_version(
    call: Call, bucket: str, old: dict[str, Any] | None, given: dict[str, Any]
) -> None:
    journal = given["JournalTableConfiguration"]
    inventory, annotation = (
        given.get(f"{n}TableConfiguration") for n in ("Inventory", "Annotation")
    )
    there = await _shown(call, bucket, _V2)
    if there is None:
        made = {"JournalTableConfiguration": _journal(journal)}
        if inventory:
            made["InventoryTableConfiguration"] = _optional(inventory)
        if annotation:
            made["AnnotationTableConfiguration"] = _optional(annotation)
        await call.request("s3", f"CreateBucket{_V2}", {"Bucket": bucket, _V2: made})
        return
    if old is not None and _is_sealed_anew(old, given):
        raise Fault(
            "InvalidRequest",
            "The encryption of a metadata table is settled when it is made: remove the configuration and its tables first.",
        )
    now = there["MetadataConfigurationResult"]
    wanted = _expiration(journal)
    if now["JournalTableConfigurationResult"]["RecordExpiration"] != wanted:
        asked = {"Bucket": bucket, "JournalTableConfiguration": {"RecordExpiration": wanted}}
        await call.request("s3", "UpdateBucketMetadataJournalTableConfiguration", asked)
    on = _optional(inventory or _OFF)
    state = now["InventoryTableConfigurationResult"]["ConfigurationState"]
    if state != on["ConfigurationState"]:
        asked = {"Bucket": bucket, "InventoryTableConfiguration": on}
        await call.request("s3", "UpdateBucketMetadataInventoryTableConfiguration", asked)
    on, known = _optional(annotation or _OFF), now.get("AnnotationTableConfigurationResult", _OFF)
    if any(known.get(name) != on.get(name) for name in ("ConfigurationState", "Role")):
        if known["ConfigurationState"] == "ENABLED":
            on.pop("EncryptionConfiguration", None)
        asked = {"Bucket": bucket, "AnnotationTableConfiguration": on}
        await call.request("s3", "UpdateBucketMetadataAnnotationTableConfiguration", asked)


def _is_sealed_anew(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether a table that stays is to be encrypted otherwise."""
    for name in _NAMES:
        before, after = old.get(name) or {}, new.get(name) or {}
        stays = all(t.get("ConfigurationState", "ENABLED") == "ENABLED" for t in (before, after))
        if before and after and stays:
            sealed = [t.get("EncryptionConfiguration") for t in (before, after)]
            if sealed[0] != sealed[1]:
                return True
    return False


def _journal(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"RecordExpiration": _expiration(given)}
    if "EncryptionConfiguration" in given:
        made["EncryptionConfiguration"] = given["EncryptionConfiguration"]
    return made


def _expiration(given: dict[str, Any]) -> dict[str, Any]:
    said = given["RecordExpiration"]
    made = {"Expiration": said["Expiration"]}
    if "Days" in said:
        made["Days"] = int(said["Days"])
    return made


def _optional(given: dict[str, Any]) -> dict[str, Any]:
    """A table that may be there or not: inventory or annotation."""
    names = ("ConfigurationState", "EncryptionConfiguration", "Role")
    return {name: given[name] for name in names if name in given}


async def _shown(call: Call, bucket: str, kind: str) -> dict[str, Any] | None:
    try:
        answer = await call.request("s3", f"GetBucket{kind}", {"Bucket": bucket})
    except Fault as fault:
        if fault.code in ("MetadataConfigurationNotFound", "NoSuchBucket"):
            return None
        raise
    found: dict[str, Any] = answer[f"GetBucket{kind}Result"]
    return found


async def are_there(call: Call, bucket: str, kind: str) -> bool:
    """Whether the tables are made. Raises Fault where one cannot be."""
    shown = await _shown(call, bucket, kind)
    if shown is None:
        return True
    tables = [{"TableStatus": shown.get("Status"), **shown}]
    if kind == _V2:
        result = shown["MetadataConfigurationResult"]
        tables = [result.get(f"{name}Result", _OFF) for name in _NAMES]
    for table in tables:
        if table.get("TableStatus") == "FAILED":
            error = table["Error"]
            raise Fault(error["ErrorCode"], error["ErrorMessage"])
    return all(table.get("TableStatus") != "CREATING" for table in tables)


async def attributes(call: Call, bucket: str, kind: str) -> dict[str, Any]:
    """What GetAtt gives below the property."""
    shown = await _shown(call, bucket, kind)
    if shown is None:
        return {}
    if kind == _V1:
        result = shown["MetadataTableConfigurationResult"]["S3TablesDestinationResult"]
        names = ("TableArn", "TableNamespace")
        return {"S3TablesDestination": {name: result[name] for name in names}}
    result = shown["MetadataConfigurationResult"]
    made: dict[str, Any] = {"Destination": result["DestinationResult"]}
    for name in _NAMES:
        table = result.get(f"{name}Result", _OFF)
        if "TableArn" in table:
            made[name] = {one: table[one] for one in ("TableArn", "TableName")}
    return made


async def read(call: Call, bucket: str, kind: str, stated: dict[str, Any]) -> dict[str, Any] | None:
    """The property as it is now; how a table is encrypted is read where the template says it."""
    shown = await _shown(call, bucket, kind)
    if shown is None:
        return None
    if kind == _V1:
        result = shown["MetadataTableConfigurationResult"]["S3TablesDestinationResult"]
        names = ("TableBucketArn", "TableName")
        return {"S3TablesDestination": {name: result[name] for name in names}}
    result = shown["MetadataConfigurationResult"]
    journal = result["JournalTableConfigurationResult"]
    inventory = result["InventoryTableConfigurationResult"]
    made: dict[str, Any] = {
        "JournalTableConfiguration": {"RecordExpiration": journal["RecordExpiration"]}
    }
    said = stated.get(_V2) or {}
    if inventory["ConfigurationState"] == "ENABLED" or "InventoryTableConfiguration" in said:
        state = {"ConfigurationState": inventory["ConfigurationState"]}
        made["InventoryTableConfiguration"] = state
    annotation = result.get("AnnotationTableConfigurationResult")
    if annotation is not None:
        names = ("ConfigurationState", "Role")
        shown = {name: annotation[name] for name in names if name in annotation}
        made["AnnotationTableConfiguration"] = shown
    for name in _NAMES:
        table = result.get(f"{name}Result", _OFF)
        if "EncryptionConfiguration" in (said.get(name) or {}) and "TableArn" in table:
            made[name]["EncryptionConfiguration"] = await _encryption(call, result, table)
    return made


async def _encryption(call: Call, result: dict[str, Any], table: dict[str, Any]) -> dict[str, str]:
    destination = result["DestinationResult"]
    asked = {
        "tableBucketARN": destination["TableBucketArn"],
        "namespace": destination["TableNamespace"],
        "name": table["TableName"],
    }
    answer = await call.request("s3tables", "GetTableEncryption", asked)
    found = answer["encryptionConfiguration"]
    made = {"SseAlgorithm": found["sseAlgorithm"]}
    if "kmsKeyArn" in found:
        made["KmsKeyArn"] = found["kmsKeyArn"]
    return made
