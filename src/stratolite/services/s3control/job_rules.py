"""What is accepted as a batch job, and how one is shown."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Request

OPERATIONS = frozenset(
    {
        "LambdaInvoke",
        "S3PutObjectCopy",
        "S3PutObjectAcl",
        "S3PutObjectTagging",
        "S3DeleteObjectTagging",
        "S3InitiateRestoreObject",
        "S3PutObjectLegalHold",
        "S3PutObjectRetention",
        "S3ReplicateObject",
        "S3ComputeObjectChecksum",
        "S3UpdateObjectEncryption",
    }
)
CHECKSUMS = (
    "CRC32",
    "CRC32C",
    "CRC64NVME",
    "MD5",
    "SHA1",
    "SHA256",
    "SHA512",
    "XXHASH64",
    "XXHASH3",
    "XXHASH128",
)
CSV = "S3BatchOperations_CSV_20180820"
INVENTORY = "S3InventoryReport_CSV_20161130"
GENERATED = "S3InventoryReport_CSV_20211130"
PRIORITY_MAX = 2**31 - 1
_ARN = "arn:aws:s3:::"
_FIELDS = ("Ignore", "Bucket", "Key", "VersionId")
KEPT = (
    "Operation",
    "Report",
    "Manifest",
    "ManifestGenerator",
    "Description",
    "Priority",
    "RoleArn",
    "Tags",
)


def invalid(message: str) -> Fault:
    return Fault("InvalidRequest", message, status=400)


def not_offered(what: str) -> Fault:
    return Fault(
        "NotImplemented", f"S3 Batch Operations: {what} is not offered by Stratolite", status=501
    )


def check(request: Request) -> None:
    """Raises Fault."""
    operation = {k: v for k, v in (request.get("Operation") or {}).items() if v is not None}
    if len(operation) != 1:
        raise invalid("Exactly one operation must be specified")
    (kind,) = operation
    if kind not in OPERATIONS:
        raise not_offered(f"the operation {kind}")
    generator, manifest = request.get("ManifestGenerator"), request.get("Manifest")
    if bool(generator) == bool(manifest):
        raise invalid("Exactly one of Manifest and ManifestGenerator must be specified")
    if manifest:
        _check_manifest(manifest)
    else:
        _check_generator((generator or {}).get("S3JobManifestGenerator") or {})
    report = request.get("Report") or {}
    if report.get("Enabled"):
        if not str(report.get("Bucket") or "").startswith(_ARN):
            raise invalid("Report bucket must be specified")
        if report.get("Format", "Report_CSV_20180820") != "Report_CSV_20180820":
            raise invalid("Report format must be Report_CSV_20180820")
        if report.get("ReportScope") not in ("AllTasks", "FailedTasksOnly"):
            raise invalid("Report scope must be AllTasks or FailedTasksOnly")
    check_priority(request)
    if not str(request.get("RoleArn") or "").startswith("arn:aws:iam::"):
        raise invalid("Invalid role ARN")
    if kind == "S3PutObjectCopy" and not operation[kind].get("TargetResource"):
        raise invalid("TargetResource must be specified")
    if kind == "S3ComputeObjectChecksum":
        algorithm = operation[kind].get("ChecksumAlgorithm") or "CRC64NVME"
        if algorithm not in CHECKSUMS:
            raise not_offered(f"the checksum {algorithm}")
        if (operation[kind].get("ChecksumType") or "FULL_OBJECT") != "FULL_OBJECT":
            raise not_offered("a composite checksum")


def check_priority(request: Request) -> None:
    """Raises Fault: https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_CreateJob.html"""
    if not 0 <= int(request.get("Priority") or 0) <= PRIORITY_MAX:
        raise invalid(f"Priority must be between 0 and {PRIORITY_MAX}")


def _check_generator(said: dict[str, Any]) -> None:
    if not str(said.get("SourceBucket") or "").startswith(_ARN):
        raise invalid("Invalid source bucket ARN")
    output = said.get("ManifestOutputLocation") or {}
    if said.get("EnableManifestOutput"):
        if not str(output.get("Bucket") or "").startswith(_ARN):
            raise invalid("ManifestOutputLocation must be specified")
        if output.get("ManifestFormat") != GENERATED:
            raise invalid(f"Manifest format must be {GENERATED}")


def _check_manifest(manifest: dict[str, Any]) -> None:
    spec = manifest.get("Spec") or {}
    if spec.get("Format") not in (CSV, INVENTORY):
        raise invalid(f"Manifest format {spec.get('Format')} is not supported")
    fields = spec.get("Fields") or []
    if spec["Format"] == CSV:
        if not fields or any(field not in _FIELDS for field in fields):
            raise invalid("Fields of the manifest must be among Bucket, Key, VersionId and Ignore")
        if "Bucket" not in fields or "Key" not in fields:
            raise invalid("Manifest fields must contain Bucket and Key")
    elif fields:
        raise invalid("Fields must not be specified for an inventory manifest")
    location = manifest.get("Location") or {}
    if not str(location.get("ObjectArn") or "").startswith(_ARN):
        raise invalid("Invalid manifest ARN")


def shown(record: dict[str, Any], arn: str) -> dict[str, Any]:
    """JobDescriptor."""
    told: dict[str, Any] = {
        "JobId": record["id"],
        "JobArn": arn,
        "ConfirmationRequired": record["ConfirmationRequired"],
        "Status": record["status"],
        "Operation": record["Operation"],
        "Priority": record["Priority"],
        "ProgressSummary": progress(record),
        "Report": record["Report"],
        "CreationTime": record["created_s"],
        "RoleArn": record["RoleArn"],
        "FailureReasons": record["failures"],
    }
    for name in ("Manifest", "ManifestGenerator"):
        if name in record:
            told[name] = record[name]
    if place := record.get("generated"):
        told["GeneratedManifestDescriptor"] = {"Format": GENERATED, "Location": place}
    if record.get("Description"):
        told["Description"] = record["Description"]
    if record.get("reason"):
        told["StatusUpdateReason"] = record["reason"]
    if record["ended_s"]:
        told["TerminationDate"] = record["ended_s"]
    if record["status"] == "Suspended":
        told["SuspendedDate"] = record.get("suspended_s", record["created_s"])
        told["SuspendedCause"] = "AwaitingConfirmation"
    return told


def listed(record: dict[str, Any]) -> dict[str, Any]:
    (operation,) = record["Operation"]
    told: dict[str, Any] = {
        "JobId": record["id"],
        "Operation": operation,
        "Priority": record["Priority"],
        "Status": record["status"],
        "CreationTime": record["created_s"],
        "ProgressSummary": progress(record),
    }
    if record.get("Description"):
        told["Description"] = record["Description"]
    if record["ended_s"]:
        told["TerminationDate"] = record["ended_s"]
    return told


def progress(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "TotalNumberOfTasks": record["total"],
        "NumberOfTasksSucceeded": record["succeeded"],
        "NumberOfTasksFailed": record["failed"],
        "Timers": {"ElapsedTimeInActiveSeconds": int(record["active_s"])},
    }
