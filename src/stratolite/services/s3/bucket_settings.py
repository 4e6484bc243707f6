"""What can be set on a bucket about its versions, their fate and who pays: versioning, lifecycle, replication and the like."""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault
from stratolite.service import Call, Request, Response, Service
from stratolite.services.s3 import (
    analysis,
    counting,
    inventory,
    inventory_columns,
    lifecycle,
    lifecycle_rules,
    names,
    replication_rules,
    state,
)
from stratolite.services.s3.entry import bucket_of, payload
from stratolite.services.s3.faults import (
    invalid_argument,
    invalid_request,
    malformed_xml,
    not_offered,
)
from stratolite.services.s3.state import Bucket

_SMALL_BY_DEFAULT = "all_storage_classes_128K"
_SMALL = (_SMALL_BY_DEFAULT, lifecycle_rules.VARIES)


class BucketSettings(Service):
    # -- versioning

    def get_bucket_versioning(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        return {"Status": bucket.versioning} if bucket.versioning else {}

    def put_bucket_versioning(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "VersioningConfiguration")
        if request.get("MFA") or wanted.get("MFADelete") == "Enabled":
            raise not_offered("MFA delete")
        status = wanted.get("Status")
        if status is None:
            raise Fault(
                "IllegalVersioningConfigurationException",
                "The Versioning element must be specified",
                status=400,
            )
        if status not in ("Enabled", "Suspended"):
            raise malformed_xml()
        if status == "Suspended":
            if "object-lock" in bucket.on:
                raise Fault(
                    "InvalidBucketState",
                    "An Object Lock configuration is present on this bucket, so the versioning state "
                    "cannot be changed.",
                    status=409,
                )
            if "replication" in bucket.on:
                raise Fault(
                    "InvalidBucketState",
                    "A replication configuration is present on this bucket, so you cannot change the "
                    "versioning state. To change the versioning state, first delete the replication "
                    "configuration.",
                    status=409,
                )
        state.put_bucket(call.tx, bucket, versioning=status)
        return {}

    # -- lifecycle

    def get_bucket_lifecycle_configuration(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "lifecycle")
        if found is None:
            raise _missing(
                "NoSuchLifecycleConfiguration",
                "The lifecycle configuration does not exist",
                bucket,
            )
        return {"Rules": found["Rules"], "TransitionDefaultMinimumObjectSize": found["Small"]}

    def put_bucket_lifecycle_configuration(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "LifecycleConfiguration")
        small = request.get("TransitionDefaultMinimumObjectSize") or _SMALL_BY_DEFAULT
        if small not in _SMALL:
            raise invalid_request(f"Invalid TransitionDefaultMinimumObjectSize found: {small}")
        rules = lifecycle_rules.checked(wanted, call.world.uuid)
        state.put_config(call.tx, bucket, "lifecycle", {"Rules": rules, "Small": small})
        lifecycle.start(call.tx, bucket, call.tx.time_s)
        return {"TransitionDefaultMinimumObjectSize": small}

    def delete_bucket_lifecycle(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        lifecycle.stop(call.tx, bucket)
        state.delete_config(call.tx, bucket, "lifecycle")
        return {}

    # -- replication

    def get_bucket_replication(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        found = state.config(call.tx, bucket, "replication")
        if found is None:
            raise _missing(
                "ReplicationConfigurationNotFoundError",
                "The replication configuration was not found",
                bucket,
            )
        return {"ReplicationConfiguration": dict(found)}

    def put_bucket_replication(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "ReplicationConfiguration")
        kept = replication_rules.checked(call, bucket, wanted)
        state.put_config(call.tx, bucket, "replication", kept)
        return {}

    def delete_bucket_replication(self, call: Call, request: Request) -> Response:
        return _unset(call, request, "replication")

    # -- who pays, how far away

    def get_bucket_request_payment(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        return {"Payer": state.config(call.tx, bucket, "request-payment") or "BucketOwner"}

    def put_bucket_request_payment(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        payer = payload(request, "RequestPaymentConfiguration").get("Payer")
        if payer not in ("Requester", "BucketOwner"):
            raise malformed_xml()
        if payer == "Requester":
            state.put_config(call.tx, bucket, "request-payment", payer)
        else:
            state.delete_config(call.tx, bucket, "request-payment")
        return {}

    def get_bucket_accelerate_configuration(self, call: Call, request: Request) -> Response:
        status = state.config(call.tx, bucket_of(call, request), "accelerate")
        return {"Status": status} if status else {}

    def put_bucket_accelerate_configuration(self, call: Call, request: Request) -> Response:
        """Kept; there is no faraway edge that could make anything faster."""
        bucket = bucket_of(call, request)
        status = payload(request, "AccelerateConfiguration").get("Status")
        if "." in bucket.name:
            raise invalid_request(
                "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
            )
        if status not in ("Enabled", "Suspended"):
            raise malformed_xml()
        state.put_config(call.tx, bucket, "accelerate", status)
        return {}

    # -- logging

    def get_bucket_logging(self, call: Call, request: Request) -> Response:
        found = state.config(call.tx, bucket_of(call, request), "logging")
        return {"LoggingEnabled": found} if found else {}

    def put_bucket_logging(self, call: Call, request: Request) -> Response:
        bucket = bucket_of(call, request)
        wanted = payload(request, "BucketLoggingStatus").get("LoggingEnabled")
        if not wanted:
            state.delete_config(call.tx, bucket, "logging")
            return {}
        target = state.bucket(call.tx, wanted.get("TargetBucket") or "")
        if target is None or target.account != bucket.account:
            raise Fault(
                "InvalidTargetBucketForLogging",
                "The target bucket for logging does not exist"
                if target is None
                else "The owner for the bucket to be logged and the target bucket must be the same.",
                status=400,
                TargetBucket=wanted.get("TargetBucket"),
            )
        if target.region != bucket.region:
            there = {} if bucket.region == "us-east-1" else {"SourceBucketLocation": bucket.region}
            raise Fault(
                "CrossLocationLoggingProhibitted",
                "Cross S3 location logging not allowed. ",
                status=403,
                TargetBucketLocation=target.region,
                **there,
            )
        _check_key_format(wanted.get("TargetObjectKeyFormat"))
        state.put_config(call.tx, bucket, "logging", wanted)
        return {}

    # -- configurations of which a bucket may have many, each with an id

    def get_bucket_inventory_configuration(self, call: Call, request: Request) -> Response:
        return _get(call, request, "inventory", "InventoryConfiguration")

    def put_bucket_inventory_configuration(self, call: Call, request: Request) -> Response:
        bucket, said = _put(call, request, "inventory", "InventoryConfiguration")
        check_inventory(said)
        inventory.start(call.tx, bucket, said, call.tx.time_s)
        return {"_status": 204}

    def delete_bucket_inventory_configuration(self, call: Call, request: Request) -> Response:
        return _delete(call, request, "inventory")

    def list_bucket_inventory_configurations(self, call: Call, request: Request) -> Response:
        return _list(call, request, "inventory", "InventoryConfigurationList")

    def get_bucket_analytics_configuration(self, call: Call, request: Request) -> Response:
        return _get(call, request, "analytics", "AnalyticsConfiguration")

    def put_bucket_analytics_configuration(self, call: Call, request: Request) -> Response:
        bucket, said = _put(call, request, "analytics", "AnalyticsConfiguration")
        check_analytics(said)
        analysis.start(call.tx, bucket, said)
        return {"_status": 204}

    def delete_bucket_analytics_configuration(self, call: Call, request: Request) -> Response:
        response = _delete(call, request, "analytics")
        bucket = bucket_of(call, request)
        analysis.stop(call.tx, bucket, request["Id"])
        counting.keep(call.tx, bucket, "analytics", request["Id"], None)
        return response

    def list_bucket_analytics_configurations(self, call: Call, request: Request) -> Response:
        return _list(call, request, "analytics", "AnalyticsConfigurationList")

    def get_bucket_metrics_configuration(self, call: Call, request: Request) -> Response:
        return _get(call, request, "metrics", "MetricsConfiguration")

    def put_bucket_metrics_configuration(self, call: Call, request: Request) -> Response:
        bucket, said = _put(call, request, "metrics", "MetricsConfiguration")
        check_filter(said)
        counting.keep(call.tx, bucket, "metrics", said["Id"], said)
        return {"_status": 204}

    def delete_bucket_metrics_configuration(self, call: Call, request: Request) -> Response:
        response = _delete(call, request, "metrics")
        counting.keep(call.tx, bucket_of(call, request), "metrics", request["Id"], None)
        return response

    def list_bucket_metrics_configurations(self, call: Call, request: Request) -> Response:
        return _list(call, request, "metrics", "MetricsConfigurationList")

    def get_bucket_intelligent_tiering_configuration(
        self, call: Call, request: Request
    ) -> Response:
        return _get(call, request, "tiering", "IntelligentTieringConfiguration")

    def put_bucket_intelligent_tiering_configuration(
        self, call: Call, request: Request
    ) -> Response:
        """Accepted: tiers differ in price alone, and there is none."""
        _, said = _put(call, request, "tiering", "IntelligentTieringConfiguration")
        check_tiering(said)
        return {"_status": 204}

    def delete_bucket_intelligent_tiering_configuration(
        self, call: Call, request: Request
    ) -> Response:
        return _delete(call, request, "tiering")

    def list_bucket_intelligent_tiering_configurations(
        self, call: Call, request: Request
    ) -> Response:
        return _list(call, request, "tiering", "IntelligentTieringConfigurationList")


PAGE_COUNT_MAX = 100
CONFIGURATIONS_COUNT_MAX = 1000
ID_LENGTH_MAX = 64


def _missing(code: str, message: str, bucket: Bucket) -> Fault:
    return Fault(code, message, status=404, BucketName=bucket.name)


def _unset(call: Call, request: Request, kind: str) -> Response:
    state.delete_config(call.tx, bucket_of(call, request), kind)
    return {}


def _get(call: Call, request: Request, kind: str, member: str) -> Response:
    bucket = bucket_of(call, request)
    found = state.config(call.tx, bucket, f"{kind}:{request['Id']}")
    if found is None:
        raise Fault(
            "NoSuchConfiguration", "The specified configuration does not exist.", status=404
        )
    return {member: found}


def _put(call: Call, request: Request, kind: str, member: str) -> tuple[Bucket, dict[str, Any]]:
    bucket = bucket_of(call, request)
    said = payload(request, member)
    bad = not request["Id"] or len(request["Id"]) > ID_LENGTH_MAX
    if kind == "tiering" and (bad or said.get("Id") != request["Id"]):
        raise malformed_xml()
    if bad:
        raise invalid_argument("The configuration ID is not valid.", "Id", request["Id"])
    if said.get("Id") != request["Id"]:
        if kind == "tiering":
            raise malformed_xml()  # as recorded, unlike the others
        raise Fault(
            "IdMismatch",
            "Document ID does not match the specified configuration ID.",
            status=400,
        )
    name = f"{kind}:{request['Id']}"
    if state.config(call.tx, bucket, name) is None:
        held = sum(1 for _ in state.configs(call.tx, bucket, f"{kind}:", CONFIGURATIONS_COUNT_MAX))
        if held >= CONFIGURATIONS_COUNT_MAX:
            raise Fault(
                "TooManyConfigurations",
                "You are attempting to create a new configuration but have already reached the "
                "1,000-configuration limit.",
                status=400,
            )
    state.put_config(call.tx, bucket, name, said)
    return bucket, said


def _delete(call: Call, request: Request, kind: str) -> Response:
    _get(call, request, kind, "")
    return _unset(call, request, f"{kind}:{request['Id']}")


def _list(call: Call, request: Request, kind: str, member: str) -> Response:
    bucket = bucket_of(call, request)
    token = request.get("ContinuationToken") or ""
    listed = list(state.configs(call.tx, bucket, f"{kind}:", PAGE_COUNT_MAX + 1, f"{kind}:{token}"))
    response: Response = {"IsTruncated": len(listed) > PAGE_COUNT_MAX}
    if response["IsTruncated"]:
        response["NextContinuationToken"] = listed[PAGE_COUNT_MAX - 1]["Id"]
    if token:
        response["ContinuationToken"] = token
    if listed:
        response[member] = listed[:PAGE_COUNT_MAX]
    return response


def _check_key_format(given: dict[str, Any] | None) -> None:
    if given is None:
        return
    if len(given) != 1:
        raise malformed_xml()
    source = (given.get("PartitionedPrefix") or {}).get("PartitionDateSource")
    if source not in (None, "EventTime", "DeliveryTime"):
        raise malformed_xml()


_TIER_DAYS_MIN = {"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}
_TIER_DAYS_MAX = 730


def check_tiering(said: dict[str, Any]) -> None:
    """Raises Fault for an IntelligentTieringConfiguration that is wrong."""
    tiers = said.get("Tierings") or []
    if said.get("Status") not in ("Enabled", "Disabled") or not tiers:
        raise malformed_xml()
    check_filter(said)
    for tier in tiers:
        least = _TIER_DAYS_MIN.get(tier.get("AccessTier"))
        if least is None:
            raise malformed_xml()
        if not least <= (tier.get("Days") or 0) <= _TIER_DAYS_MAX:
            raise invalid_argument(
                f"'Days' for {tier['AccessTier']} must be between {least} and {_TIER_DAYS_MAX}",
                "Days",
                tier.get("Days"),
            )
    if len({tier["AccessTier"] for tier in tiers}) != len(tiers):
        raise malformed_xml()


def check_analytics(said: dict[str, Any]) -> None:
    """Raises Fault for an AnalyticsConfiguration that is wrong, or not offered."""
    if "StorageClassAnalysis" not in said:
        raise malformed_xml()
    check_filter(said)
    export = said["StorageClassAnalysis"].get("DataExport")
    if not export:
        return
    target = (export.get("Destination") or {}).get("S3BucketDestination") or {}
    if not str(target.get("Bucket") or "").startswith("arn:aws:s3:::"):
        raise Fault("InvalidS3DestinationBucket", "Invalid bucket ARN.", status=400)
    if target.get("Format") != "CSV" or export.get("OutputSchemaVersion") != "V_1":
        raise malformed_xml()


def check_filter(said: dict[str, Any]) -> None:
    """Of a metrics, analytics or tiering configuration. Raises Fault."""
    given = said.get("Filter")
    if given is None:
        return
    parts = given.get("And")
    if len(given) != 1 or (parts is not None and not parts):
        raise malformed_xml()
    parts = given if parts is None else parts
    tags = list(parts.get("Tags") or ()) + ([parts["Tag"]] if parts.get("Tag") else [])
    if parts is not given and sum(m != "Tags" for m in parts) + len(tags) < 2:
        raise malformed_xml()
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise invalid_request("Duplicate Tag Keys are not allowed.")
    names.tags_of_set(tags)


def check_inventory(said: dict[str, Any]) -> None:
    """Raises Fault for an InventoryConfiguration that is wrong, or not offered."""
    target = (said.get("Destination") or {}).get("S3BucketDestination") or {}
    if not str(target.get("Bucket") or "").startswith("arn:aws:s3:::"):
        raise Fault("InvalidS3DestinationBucket", "Invalid bucket ARN.", status=400)
    if target.get("Format") not in ("CSV", "Parquet", "ORC"):
        raise malformed_xml()
    if target["Format"] != "CSV" and not inventory_columns.is_there():
        raise not_offered(
            f"inventory in {target['Format']} without pip install 'stratolite[parquet]'"
        )
    if not inventory.OPTIONAL.issuperset(said.get("OptionalFields") or ()):
        raise malformed_xml()
    if said.get("IncludedObjectVersions") not in ("All", "Current"):
        raise malformed_xml()
    if (said.get("Schedule") or {}).get("Frequency") not in ("Daily", "Weekly"):
        raise malformed_xml()
