"""S3 Metadata on a bucket: the configuration of its journal, live inventory and annotation tables, set, changed, shown, removed.

The tables themselves are made and filled by ``metadata_worker``; until then their status is CREATING.

Sources  https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-overview.html
         https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketMetadataConfiguration.html
         https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketMetadataTableConfiguration.html
         https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-enable-disable-annotation-tables.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.core import Tx
from stratolite.core.dropping import delete_page, leave
from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.s3 import journal, state
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.faults import (
    invalid_argument,
    invalid_request,
    malformed_xml,
    not_offered,
)
from stratolite.services.s3.state import Bucket

DROP = "s3.metadata-drop"
MANAGED_BUCKET = "aws-s3"
V1_NAMESPACE = "aws_s3_metadata"
EXPIRATION_DAYS_MIN, EXPIRATION_DAYS_MAX = 7, 2_147_483_647
_JOBS = (
    "metadata-journal-job",
    "metadata-inventory-job",
    "metadata-annotation-job",
    "metadata-expire-job",
)
TABLES = ("journal", "inventory", "annotation")
_ROLE = re.compile(r"arn:aws:iam::(\d{12}):role/.+")


def tables_arn(account: str, region: str, bucket: str) -> str:
    return f"arn:aws:s3tables:{region}:{account}:bucket/{bucket}"


def access(call: Call, operation: str, request: Request, arn: str) -> list[Access] | None:
    """What IAM must allow beside the action on the bucket ``arn``; None for other operations.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/metadata-tables-permissions.html
    """
    for verb in ("Create", "Get", "Delete"):
        if operation in (f"{verb}BucketMetadataConfiguration", f"{verb}BucketMetadataTableConfiguration"):  # fmt: skip
            action = f"s3:{verb}BucketMetadataTableConfiguration"
            break
    else:
        if not operation.startswith("UpdateBucketMetadata"):
            return None
        action = f"s3:{operation}"
    needed = [(action, arn)]
    if operation.startswith(("Get", "Delete")) or "Journal" in operation:
        return needed
    if role := _role_of(request):
        needed.append(("iam:PassRole", role))
    if "Annotation" in operation:
        return needed
    given = request.get("MetadataTableConfiguration") or {}
    there = (given.get("S3TablesDestination") or {}).get("TableBucketArn")
    bucket = there or tables_arn(call.account, call.region, MANAGED_BUCKET)
    if not there:
        needed.append(("s3tables:CreateTableBucket", bucket))
    needed += [("s3tables:CreateNamespace", bucket), ("s3tables:CreateTable", bucket)]
    needed += [(f"s3tables:{a}", f"{bucket}/table/*") for a in ("GetTable", "PutTablePolicy")]
    keys = _keys(request)
    if keys:
        needed.append(("s3tables:PutTableEncryption", f"{bucket}/table/*"))
    return needed + [("kms:DescribeKey", key) for key in keys]


def _role_of(request: Request) -> str | None:
    whole = request.get("MetadataConfiguration") or request
    role: str | None = (whole.get("AnnotationTableConfiguration") or {}).get("Role")
    return role


def _keys(request: Request) -> list[str]:
    whole = request.get("MetadataConfiguration") or request
    kinds = ("Journal", "Inventory", "Annotation")
    parts = [whole.get(f"{kind}TableConfiguration") for kind in kinds]
    said = [(part or {}).get("EncryptionConfiguration") or {} for part in parts]
    return [one["KmsKeyArn"] for one in said if one.get("KmsKeyArn")]


class MetadataTables(Service):
    # -- the second version: tables in the table bucket aws-s3

    def create_bucket_metadata_configuration(self, call: Call, request: Request) -> Response:
        bucket = self._free(call, request)
        given = payload(request, "MetadataConfiguration")
        said = given.get("JournalTableConfiguration")
        if not said:
            raise malformed_xml()
        number = call.tx.stamp()
        config: dict[str, Any] = {
            "version": 2,
            "number": number,
            "bucket": MANAGED_BUCKET,
            "namespace": f"b_{bucket.name.replace('.', '_')}",
            "journal": {
                "name": "journal",
                "status": "CREATING",
                "expiration": _expiration(said.get("RecordExpiration")),
                "encryption": _encryption(call, said.get("EncryptionConfiguration")),
            },
        }
        inventory = given.get("InventoryTableConfiguration")
        if inventory and _is_enabled(inventory):
            config["inventory"] = _new_table(call, "inventory", inventory)
        annotation = given.get("AnnotationTableConfiguration")
        if annotation:
            config["role"] = _role(bucket, annotation, "")
            config["annotation"] = _new_annotation(call, annotation)
        _start(call, bucket, config)
        return {}

    def get_bucket_metadata_configuration(self, call: Call, request: Request) -> Response:
        bucket, config = self._configured(call, request, 2)
        journal_table, inventory = config["journal"], config.get("inventory")
        result = {
            "DestinationResult": {
                "TableBucketType": "aws",
                "TableBucketArn": tables_arn(bucket.account, bucket.region, config["bucket"]),
                "TableNamespace": config["namespace"],
            },
            "JournalTableConfigurationResult": {
                **_shown(journal_table),
                "RecordExpiration": journal_table["expiration"],
            },
            "InventoryTableConfigurationResult": {"ConfigurationState": "DISABLED"}
            if inventory is None
            else {"ConfigurationState": "ENABLED", **_shown(inventory)},
        }
        if "annotation" in config:
            table = config["annotation"]
            result["AnnotationTableConfigurationResult"] = {
                "ConfigurationState": "DISABLED" if table is None else "ENABLED",
                **({} if table is None else _shown(table)),
                **({"Role": config["role"]} if config["role"] else {}),
            }
        return {"GetBucketMetadataConfigurationResult": {"MetadataConfigurationResult": result}}

    def delete_bucket_metadata_configuration(self, call: Call, request: Request) -> Response:
        """The tables stay, to be read or deleted in S3 Tables."""
        forget(call.tx, self._configured(call, request, 2)[0])
        return {}

    def update_bucket_metadata_journal_table_configuration(
        self, call: Call, request: Request
    ) -> Response:
        bucket, config = self._configured(call, request, 2)
        said = payload(request, "JournalTableConfiguration")
        expiration = _expiration(said.get("RecordExpiration"))
        config = {**config, "journal": {**config["journal"], "expiration": expiration}}
        state.put_config(call.tx, bucket, "metadata", config)
        expect_expiry(call.tx, bucket, config)
        return {}

    def update_bucket_metadata_inventory_table_configuration(
        self, call: Call, request: Request
    ) -> Response:
        bucket, config = self._configured(call, request, 2)
        said = payload(request, "InventoryTableConfiguration")
        wanted = _is_enabled(said)
        if wanted == ("inventory" in config):
            return {}
        config = dict(config)
        if wanted:
            config["inventory"] = _with_arn(
                call, bucket, config, _new_table(call, "inventory", said)
            )
            journal.put_job(call.tx, bucket, config["number"], "create")
        else:
            _drop(call.tx, bucket.stale.span(config.pop("inventory")["number"]))
        state.put_config(call.tx, bucket, "metadata", config)
        return {}

    def update_bucket_metadata_annotation_table_configuration(
        self, call: Call, request: Request
    ) -> Response:
        bucket, config = self._configured(call, request, 2)
        said = payload(request, "AnnotationTableConfiguration")
        there = config.get("annotation")
        config = {**config, "role": _role(bucket, said, config.get("role", ""))}
        if not _is_enabled(said):
            if there is not None:
                _drop(call.tx, bucket.stale.span(there["number"]))
            config["annotation"] = None
        elif there is None:
            made = _new_annotation(call, said)
            assert made is not None
            config["annotation"] = _with_arn(call, bucket, config, made)
            journal.put_job(call.tx, bucket, config["number"], "create")
        elif (sealed := said.get("EncryptionConfiguration")) and (
            _encryption(call, sealed) != there["encryption"]
        ):
            raise invalid_request(
                "The encryption of a metadata table is set when it is created and cannot be changed."
            )
        state.put_config(call.tx, bucket, "metadata", config)
        return {}

    # -- the first version: one journal in a table bucket of the customer's

    def create_bucket_metadata_table_configuration(self, call: Call, request: Request) -> Response:
        bucket = self._free(call, request)
        said = payload(request, "MetadataTableConfiguration").get("S3TablesDestination") or {}
        arn, name = said.get("TableBucketArn") or "", said.get("TableName") or ""
        start = tables_arn(bucket.account, bucket.region, "")
        if not arn.startswith(start) or "/" in arn.removeprefix(start):
            raise invalid_argument(
                "The table bucket must be in the same Region and account as the bucket.",
                "TableBucketArn",
                arn,
            )
        if not name or not name.replace("_", "").isalnum() or name != name.lower():
            raise invalid_argument("The table name is not valid.", "TableName", name)
        config = {
            "version": 1,
            "number": call.tx.stamp(),
            "bucket": arn.removeprefix(start),
            "namespace": V1_NAMESPACE,
            "journal": {
                "name": name,
                "status": "CREATING",
                "expiration": {"Expiration": "DISABLED"},
                "encryption": None,
            },
        }
        _start(call, bucket, config)
        return {}

    def get_bucket_metadata_table_configuration(self, call: Call, request: Request) -> Response:
        bucket, config = self._configured(call, request, 1)
        table = config["journal"]
        arn = tables_arn(bucket.account, bucket.region, config["bucket"])
        made: dict[str, Any] = {
            "MetadataTableConfigurationResult": {
                "S3TablesDestinationResult": {
                    "TableBucketArn": arn,
                    "TableName": table["name"],
                    "TableArn": table["arn"],
                    "TableNamespace": config["namespace"],
                }
            },
            "Status": table["status"],
        }
        if "error" in table:
            made["Error"] = table["error"]
        return {"GetBucketMetadataTableConfigurationResult": made}

    def delete_bucket_metadata_table_configuration(self, call: Call, request: Request) -> Response:
        forget(call.tx, self._configured(call, request, 1)[0])
        return {}

    # -- both

    def _free(self, call: Call, request: Request) -> Bucket:
        """A bucket that has no such configuration yet, where the libraries for one are here."""
        bucket = bucket_of(call, request)
        if state.config(call.tx, bucket, "metadata") is not None:
            raise Fault(
                "MetadataConfigurationAlreadyExists",
                "The metadata table configuration already exists.",
                status=409,
                BucketName=bucket.name,
            )
        if not call.invoke("s3tables", "CanWrite", {})["Can"]:
            raise not_offered("metadata tables without pip install 'stratolite[tables]'")
        return bucket

    def _configured(
        self, call: Call, request: Request, version: int
    ) -> tuple[Bucket, dict[str, Any]]:
        bucket = bucket_of(call, request)
        config = state.config(call.tx, bucket, "metadata")
        if config is None or config["version"] != version:
            raise Fault(
                "MetadataConfigurationNotFound",
                "The metadata table configuration does not exist.",
                status=404,
                BucketName=bucket.name,
            )
        return bucket, config


def _start(call: Call, bucket: Bucket, config: dict[str, Any]) -> None:
    tx = call.tx
    for name in TABLES:
        if config.get(name) is not None:
            config[name] = _with_arn(call, bucket, config, config[name])
    state.put_config(tx, bucket, "metadata", config)
    journal.put_job(tx, bucket, config["number"], "create")


def _with_arn(
    call: Call, bucket: Bucket, config: dict[str, Any], table: dict[str, Any]
) -> dict[str, Any]:
    """The table that is to be made has its ARN already: a stack that makes the bucket gives it to others."""
    there = tables_arn(bucket.account, bucket.region, config["bucket"])
    return {**table, "arn": f"{there}/table/{call.world.uuid()}"}


def forget(tx: Tx, bucket: Bucket) -> None:
    """The bucket has no metadata configuration any more; what waited for its tables is dropped."""
    config = state.config(tx, bucket, "metadata")
    if config is None:
        return
    for kind in ("metadata", *_JOBS):
        state.delete_config(tx, bucket, kind)
    _drop(tx, bucket.journal.span(config["number"]))
    for name in ("inventory", "annotation"):
        if table := config.get(name):
            _drop(tx, bucket.stale.span(table["number"]))


def _drop(tx: Tx, span: tuple[bytes, bytes]) -> None:
    if delete_page(tx, span):
        leave(tx, DROP, [span])


def expect_expiry(tx: Tx, bucket: Bucket, config: dict[str, Any]) -> None:
    """Have old records of the journal deleted every day, where that is wanted."""
    if config["journal"]["expiration"]["Expiration"] != "ENABLED":
        return
    if state.config(tx, bucket, "metadata-expire-job") is None:
        journal.put_job(tx, bucket, config["number"], "expire", tx.time_s)
        state.put_config(tx, bucket, "metadata-expire-job", True)


def _shown(table: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "TableStatus": table["status"],
        "TableName": table["name"],
        "TableArn": table["arn"],
    }
    if "error" in table:
        shown["Error"] = table["error"]
    return shown


def _new_table(call: Call, name: str, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "number": call.tx.stamp(),
        "status": "CREATING",
        "encryption": _encryption(call, said.get("EncryptionConfiguration")),
    }


def _new_annotation(call: Call, said: dict[str, Any]) -> dict[str, Any] | None:
    """None for one that is disabled."""
    return _new_table(call, "annotation", said) if _is_enabled(said) else None


def _role(bucket: Bucket, said: dict[str, Any], known: str) -> str:
    """One that is known need not be said again."""
    role = said.get("Role") or known
    if not role and not _is_enabled(said):
        return ""
    match = _ROLE.fullmatch(role)
    if match is None or match[1] != bucket.account:
        raise invalid_argument(
            "An IAM role of the account of the bucket must be specified to enable the annotation table.",
            "Role",
            role,
        )
    return str(role)


def _is_enabled(said: dict[str, Any]) -> bool:
    if said.get("ConfigurationState") not in ("ENABLED", "DISABLED"):
        raise malformed_xml()
    return bool(said["ConfigurationState"] == "ENABLED")


def _expiration(said: dict[str, Any] | None) -> dict[str, Any]:
    if not said or said.get("Expiration") not in ("ENABLED", "DISABLED"):
        raise malformed_xml()
    if said["Expiration"] == "DISABLED":
        return {"Expiration": "DISABLED"}
    days = said.get("Days")
    if days is None or not EXPIRATION_DAYS_MIN <= days <= EXPIRATION_DAYS_MAX:
        raise invalid_argument(
            "Journal table records must be retained for a minimum of 7 days.", "Days", days
        )
    return {"Expiration": "ENABLED", "Days": days}


def _encryption(call: Call, said: dict[str, Any] | None) -> dict[str, str] | None:
    """As S3 Tables writes it; None for the table bucket's default."""
    if said is None:
        return None
    algorithm, key = said.get("SseAlgorithm"), said.get("KmsKeyArn")
    if algorithm not in ("AES256", "aws:kms"):
        raise malformed_xml()
    if (algorithm == "aws:kms") != bool(key):
        raise invalid_argument("KmsKeyArn must be specified with aws:kms, and with it only.", "KmsKeyArn", key)  # fmt: skip
    if not key:
        return {"sseAlgorithm": "AES256"}
    if not key.startswith(f"arn:aws:kms:{call.region}:") or ":key/" not in key:
        raise invalid_argument("The KMS key must be in the Region of the bucket.", "KmsKeyArn", key)
    return {"sseAlgorithm": "aws:kms", "kmsKeyArn": key}
