"""CloudFormation's AWS::S3::Bucket, AWS::S3::BucketPolicy and AWS::S3::AccessPoint.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucketpolicy.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created
from stratolite.services.s3 import (
    bucket_settings,
    cors,
    lifecycle_rules,
    metadata_resources,
    names,
    notification_rules,
    website,
)
from stratolite.services.s3.bucket_properties import READ

_OFFERED = frozenset(
    {
        "AbacStatus",
        "AccelerateConfiguration",
        "AccessControl",
        "AnalyticsConfigurations",
        "BucketEncryption",
        "BucketName",
        "BucketNamePrefix",
        "BucketNamespace",
        "CorsConfiguration",
        "IntelligentTieringConfigurations",
        "InventoryConfigurations",
        "LifecycleConfiguration",
        "LoggingConfiguration",
        "MetadataConfiguration",
        "MetadataTableConfiguration",
        "MetricsConfigurations",
        "NotificationConfiguration",
        "ObjectLockConfiguration",
        "ObjectLockEnabled",
        "OwnershipControls",
        "PublicAccessBlockConfiguration",
        "ReplicationConfiguration",
        "Tags",
        "VersioningConfiguration",
        "WebsiteConfiguration",
    }
)
_CANNED = {
    "PublicRead": "public-read",
    "PublicReadWrite": "public-read-write",
    "AuthenticatedRead": "authenticated-read",
    "LogDeliveryWrite": "log-delivery-write",
    "BucketOwnerRead": "bucket-owner-read",
    "BucketOwnerFullControl": "bucket-owner-full-control",
    "AwsExecRead": "aws-exec-read",
    "Private": "private",
}


_TABLES = ("MetadataConfiguration", "MetadataTableConfiguration")


def _check_lifecycle(given: dict[str, Any]) -> None:
    lifecycle_rules.checked(_lifecycle(given), partial(next, map("unnamed-{}".format, count())))


class Bucket(Resource):
    type = "AWS::S3::Bucket"
    service = "s3"
    gone = frozenset({"NoSuchBucket", "404", "NotFound"})
    create_only = frozenset(
        {"BucketName", "BucketNamePrefix", "BucketNamespace", "ObjectLockEnabled"}
    )
    properties: ClassVar[frozenset[str] | None] = _OFFERED
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "AnalyticsConfigurations.*": lambda one: bucket_settings.check_analytics(_analytics(one)),
        "CorsConfiguration": lambda given: cors.check(_cors(given)["CORSRules"]),
        "InventoryConfigurations.*": lambda one: bucket_settings.check_inventory(_inventory(one)),
        "IntelligentTieringConfigurations.*": lambda one: bucket_settings.check_tiering(
            _tiering(one)
        ),
        "LifecycleConfiguration": _check_lifecycle,
        **{
            f"NotificationConfiguration.{kind}.*.Event": notification_rules.check_event
            for kind in ("LambdaConfigurations", "QueueConfigurations", "TopicConfigurations")
        },
        "WebsiteConfiguration": lambda given: website.check(_website(given)),
    }
    stand_ins: ClassVar[Mapping[str, str | None]] = {
        "AnalyticsConfigurations.*": "arn:aws:s3:::known-later",
        "InventoryConfigurations.*": "arn:aws:s3:::known-later",
    }
    unread = frozenset({"ObjectLockEnabled"})

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        _check(properties)
        name = _name(call, spec)
        # ``_token`` is ours, not AWS's: it tells a repeat of this step from somebody else's bucket.
        request: dict[str, Any] = {"Bucket": name, "_token": spec.token}
        if call.region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": call.region}
        if str(properties.get("ObjectLockEnabled", False)).lower() == "true":
            request["ObjectLockEnabledForBucket"] = True
        if "BucketNamespace" in properties:
            request["BucketNamespace"] = properties["BucketNamespace"]
        await call.request("s3", "CreateBucket", request)
        with created(name):
            await _configure(call, name, {}, properties)
            return await self._whole(call, name, properties)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        _check(new.properties)
        await _configure(call, physical_id, old.properties, new.properties)
        return await self._whole(call, physical_id, new.properties)

    async def _whole(self, call: Call, name: str, properties: dict[str, Any]) -> Made:
        made = _made(call, name)
        for kind in _TABLES:
            if kind in properties:
                made.attributes[kind] = await metadata_resources.attributes(call, name, kind)
        return made

    async def stabilise(self, call: Call, physical_id: str, spec: Spec) -> bool:
        """Ready once the metadata tables are there; a table that cannot be made is the bucket's failure."""
        for kind in _TABLES:
            if kind in spec.properties:
                return await metadata_resources.are_there(call, physical_id, kind)
        return True

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await call.request("s3", "DeleteBucket", {"Bucket": physical_id})
        except Fault as fault:
            if fault.code != "NoSuchBucket":
                raise

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            "ListBuckets",
            "Buckets",
            "Name",
            token,
            cursor=("ContinuationToken", "ContinuationToken"),
            MaxBuckets=100,
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """In a stack only what its template states."""
        if await self.ask_if_there(call, "HeadBucket", Bucket=physical_id) is None:
            return None
        made: dict[str, Any] = {"BucketName": physical_id}
        abac = (await self.ask(call, "GetBucketAbac", Bucket=physical_id))["AbacStatus"]["Status"]
        if abac == "Enabled" or "AbacStatus" in spec.properties:
            made["AbacStatus"] = abac
        for name, (operation, spelled) in READ.items():
            if spec.stack_id and name not in spec.properties:
                continue
            try:
                answer = await self.ask(call, operation, Bucket=physical_id)
            except Fault as fault:
                if "NoSuch" not in fault.code and "NotFound" not in fault.code:
                    raise
                continue
            if found := spelled(answer):
                made[name] = found
        for kind in _TABLES:
            if kind in spec.properties or not spec.stack_id:
                tables = await metadata_resources.read(call, physical_id, kind, spec.properties)
                if tables is not None:
                    made[kind] = tables
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._whole(call, physical_id, spec.properties)


class BucketPolicy(Resource):
    type = "AWS::S3::BucketPolicy"
    create_only = frozenset({"Bucket"})

    service = "s3"
    gone = frozenset({"NoSuchBucket", "NoSuchBucketPolicy"})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetBucketPolicy", Bucket=physical_id)
        if found is None:
            return None
        return {"Bucket": physical_id, "PolicyDocument": orjson.loads(found["Policy"])}

    async def create(self, call: Call, spec: Spec) -> Made:
        document = spec.properties["PolicyDocument"]
        text = document if isinstance(document, str) else orjson.dumps(document).decode()
        bucket = spec.properties["Bucket"]
        await call.request("s3", "PutBucketPolicy", {"Bucket": bucket, "Policy": text})
        return Made(bucket)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self.create(call, new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await call.request("s3", "DeleteBucketPolicy", {"Bucket": physical_id})
        except Fault as fault:
            if fault.code != "NoSuchBucket":
                raise


class AccessPoint(Resource):
    type = "AWS::S3::AccessPoint"
    service = "s3control"
    gone = frozenset({"NoSuchAccessPoint"})
    create_only = frozenset({"Bucket", "Name", "BucketAccountId", "VpcConfiguration"})
    properties: ClassVar[frozenset[str] | None] = frozenset(
        {
            "Bucket",
            "BucketAccountId",
            "Name",
            "Policy",
            "PublicAccessBlockConfiguration",
            "Tags",
        }
    )

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        name = properties.get("Name") or spec.generated_name(50, lower=True)
        asked: dict[str, Any] = {"AccountId": call.account, "Name": name}
        for member in ("Bucket", "BucketAccountId"):
            if member in properties:
                asked[member] = properties[member]
        if "PublicAccessBlockConfiguration" in properties:
            asked["PublicAccessBlockConfiguration"] = _block_of(properties)
        if tags := spec.tags():
            asked["Tags"] = [{"Key": k, "Value": v} for k, v in tags.items()]
        try:
            await call.request("s3control", "CreateAccessPoint", asked)
        except Fault as fault:  # from an earlier attempt at this step, if its name is ours
            if fault.code != "AccessPointAlreadyOwnedByYou" or "Name" in properties:
                raise
        with created(name):
            await self._policy(call, name, properties)
        return await self._made(call, name)

    async def _policy(self, call: Call, name: str, properties: dict[str, Any]) -> None:
        where = {"AccountId": call.account, "Name": name}
        if policy := properties.get("Policy"):
            text = policy if isinstance(policy, str) else orjson.dumps(policy).decode()
            await call.request("s3control", "PutAccessPointPolicy", {**where, "Policy": text})
        else:
            await call.request("s3control", "DeleteAccessPointPolicy", where)

    async def _made(self, call: Call, name: str) -> Made:
        where = {"AccountId": call.account, "Name": name}
        found = await call.request("s3control", "GetAccessPoint", where)
        return Made(
            name,
            {
                "Arn": found["AccessPointArn"],
                "Alias": found["Alias"],
                "Name": name,
                "NetworkOrigin": "Internet",
            },
        )

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        where = {"AccountId": call.account, "Name": physical_id}
        block = _block_of(new.properties)
        if block != _block_of(old.properties):
            asked = {**where, "PublicAccessBlockConfiguration": block}
            await call.request("s3control", "KeepAccessPointBlock", asked)
        await self._policy(call, physical_id, new.properties)
        arn = f"arn:aws:s3:{call.region}:{call.account}:accesspoint/{physical_id}"
        about = {"AccountId": call.account, "ResourceArn": arn}
        before, wanted = old.tags(), new.tags()
        if gone := sorted(before.keys() - wanted.keys()):
            await call.request("s3control", "UntagResource", {**about, "TagKeys": gone})
        if fresh := {k: v for k, v in wanted.items() if before.get(k) != v}:
            tags = [{"Key": k, "Value": v} for k, v in fresh.items()]
            await call.request("s3control", "TagResource", {**about, "Tags": tags})
        return await self._made(call, physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        where = {"AccountId": call.account, "Name": physical_id}
        found = await self.ask_if_there(call, "GetAccessPoint", **where)
        if found is None:
            return None
        made = {name: found[name] for name in ("Bucket", "BucketAccountId", "Name")}
        made["PublicAccessBlockConfiguration"] = found["PublicAccessBlockConfiguration"]
        try:
            policy = await self.ask(call, "GetAccessPointPolicy", **where)
            made["Policy"] = orjson.loads(policy["Policy"])
        except Fault as fault:
            if fault.code != "NoSuchAccessPointPolicy":
                raise
        about = {"AccountId": call.account, "ResourceArn": found["AccessPointArn"]}
        tags = await self.ask(call, "ListTagsForResource", **about)
        made["Tags"] = tags["Tags"]
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return await self._made(call, physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            "ListAccessPoints",
            "AccessPointList",
            "Name",
            token,
            cursor=("NextToken", "NextToken"),
            AccountId=call.account,
        )

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        where = {"AccountId": call.account, "Name": physical_id}
        try:
            await call.request("s3control", "DeleteAccessPoint", where)
        except Fault as fault:
            if fault.code != "NoSuchAccessPoint":
                raise


RESOURCES: tuple[Resource, ...] = (Bucket(), BucketPolicy(), AccessPoint())


def _name(call: Call, spec: Spec) -> str:
    """The bucket's: given, made of its prefix, or generated; with the namespace's suffix in the account's own.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
    """
    given = spec.properties
    if "BucketName" in given and "BucketNamePrefix" in given:
        raise Fault(
            "ValidationException", "BucketName and BucketNamePrefix cannot be specified together"
        )
    if name := given.get("BucketName"):
        return str(name)
    suffix = ""
    if given.get("BucketNamespace") == names.ACCOUNT_REGIONAL:
        suffix = names.namespace_suffix(call.account, call.region)
        if prefix := given.get("BucketNamePrefix"):
            return f"{prefix}{suffix}"
    elif prefix := given.get("BucketNamePrefix"):
        return f"{prefix}-{spec.token[-12:].lower()}"
    return f"{spec.generated_name(63 - len(suffix), lower=True)}{suffix}"


def _block_of(properties: dict[str, Any]) -> dict[str, bool]:
    """An access point's public access block: all is blocked where nothing is said."""
    given = properties.get("PublicAccessBlockConfiguration")
    if given is None:
        return dict.fromkeys(_BLOCKS, True)
    return {name: _true(given.get(name)) for name in _BLOCKS}


_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


def _check(properties: dict[str, Any]) -> None:
    control = properties.get("AccessControl", "Private")
    if control not in _CANNED:
        raise Fault("ValidationException", f"{control} is not a valid AccessControl")


async def _configure(call: Call, bucket: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put what ``new`` says, unset what only ``old`` said."""
    for name, (operation, member, shape, unset) in _CONFIGURATIONS.items():
        if name in new:
            request: dict[str, Any] = {"Bucket": bucket, member: shape(new[name]), **_CONTROL}
            for beside, inside in _BESIDE.get(name, ()):
                if inside in new[name]:
                    request[beside] = new[name][inside]
            await call.request("s3", f"Put{operation}", request)
        elif name in old and unset:
            await call.request("s3", unset, {"Bucket": bucket, **_CONTROL})
        elif name in old:  # unset by an empty one
            await call.request("s3", f"Put{operation}", {"Bucket": bucket, member: shape({})})
    for name, (operation, member, one_shape) in _MANY.items():
        wanted = {one["Id"]: one for one in new.get(name) or ()}
        for one_id, one in wanted.items():
            request = {"Bucket": bucket, "Id": one_id, member: one_shape(one)}
            await call.request("s3", f"Put{operation}", request)
        for one in old.get(name) or ():
            if one["Id"] not in wanted:
                await _forget(call, operation, bucket, one["Id"])
    await metadata_resources.configure(call, bucket, old, new)
    control = new.get("AccessControl", "Private")
    if control != old.get("AccessControl", "Private"):
        await call.request("s3", "PutBucketAcl", {"Bucket": bucket, "ACL": _CANNED[control]})


async def _forget(call: Call, operation: str, bucket: str, one_id: str) -> None:
    try:
        await call.request("s3", f"Delete{operation}", {"Bucket": bucket, "Id": one_id})
    except Fault as fault:
        if fault.code != "NoSuchConfiguration":
            raise


def _made(call: Call, name: str) -> Made:
    port = urlsplit(call.endpoint).netloc.partition(":")[2]
    suffix = f":{port}" if port else ""
    regional = f"{name}.s3.{call.region}.localhost{suffix}"
    return Made(
        name,
        {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.localhost{suffix}",
            "RegionalDomainName": regional,
            "DualStackDomainName": regional,
            "WebsiteURL": f"{call.endpoint}/_aws/s3-website/{name}",
        },
    )


# -- CloudFormation's spelling to the API's


def _website(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if "IndexDocument" in given:
        made["IndexDocument"] = {"Suffix": given["IndexDocument"]}
    if "ErrorDocument" in given:
        made["ErrorDocument"] = {"Key": given["ErrorDocument"]}
    if "RedirectAllRequestsTo" in given:
        made["RedirectAllRequestsTo"] = given["RedirectAllRequestsTo"]
    if given.get("RoutingRules"):
        made["RoutingRules"] = [_routing_rule(rule) for rule in given["RoutingRules"]]
    return made


def _routing_rule(given: dict[str, Any]) -> dict[str, Any]:
    made = {"Redirect": {k: str(v) for k, v in given["RedirectRule"].items()}}
    if "RoutingRuleCondition" in given:
        made["Condition"] = {k: str(v) for k, v in given["RoutingRuleCondition"].items()}
    return made


_CORS_NAMES = {"Id": "ID", "ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}


def _cors(given: dict[str, Any]) -> dict[str, Any]:
    rules = []
    for rule in given["CorsRules"]:
        made = {_CORS_NAMES.get(name, name): value for name, value in rule.items()}
        if "MaxAgeSeconds" in made:
            made["MaxAgeSeconds"] = int(made["MaxAgeSeconds"])
        rules.append(made)
    return {"CORSRules": rules}


def _block(given: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value).lower() == "true" for name, value in given.items()}


def _encryption(given: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault") or {},
            "BucketKeyEnabled": _true(rule.get("BucketKeyEnabled", False)),
            **{k: rule[k] for k in ("BlockedEncryptionTypes",) if k in rule},
        }
        for rule in given["ServerSideEncryptionConfiguration"]
    ]
    return {"Rules": rules}


def _same(given: dict[str, Any]) -> dict[str, Any]:
    return given


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _versioning(given: dict[str, Any]) -> dict[str, Any]:
    return {"Status": given.get("Status", "Suspended")}


def _lock(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"ObjectLockEnabled": given.get("ObjectLockEnabled", "Enabled")}
    if default := (given.get("Rule") or {}).get("DefaultRetention"):
        kept = {k: int(v) if k in ("Days", "Years") else v for k, v in default.items()}
        if held := default.get("DefaultEventHold"):
            kept["DefaultEventHold"] = {unit: int(count) for unit, count in held.items()}
        made["Rule"] = {"DefaultRetention": kept}
    return made


def _logging(given: dict[str, Any]) -> dict[str, Any]:
    if not given:
        return {}
    enabled = {
        "TargetBucket": given.get("DestinationBucketName"),
        "TargetPrefix": given.get("LogFilePrefix", ""),
    }
    if "TargetObjectKeyFormat" in given:
        enabled["TargetObjectKeyFormat"] = given["TargetObjectKeyFormat"]
    return {"LoggingEnabled": enabled}


def _accelerate(given: dict[str, Any]) -> dict[str, Any]:
    return {"Status": given.get("AccelerationStatus", "Suspended")}


def _seconds(date: Any) -> float:
    text = str(date).replace("Z", "+00:00")
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _filter(rule: dict[str, Any]) -> dict[str, Any]:
    """TagFilters, Prefix and sizes as the API's Filter."""
    parts: list[tuple[str, Any]] = []
    if rule.get("Prefix") not in (None, ""):
        parts.append(("Prefix", rule["Prefix"]))
    sizes = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")
    parts += [(name, int(rule[name])) for name in sizes if name in rule]
    tags = rule.get("TagFilters") or ()
    if len(parts) + len(tags) > 1:
        both: dict[str, Any] = dict(parts)
        if tags:
            both["Tags"] = list(tags)
        return {"And": both}
    if tags:
        return {"Tag": tags[0]}
    return dict(parts) if parts else {"Prefix": ""}


def _lifecycle(given: dict[str, Any]) -> dict[str, Any]:
    return {"Rules": [_lifecycle_rule(rule) for rule in given["Rules"]]}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"Status": rule["Status"], "Filter": _filter(rule)}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    expiration: dict[str, Any] = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = int(rule["ExpirationInDays"])
    if "ExpirationDate" in rule:
        expiration["Date"] = _seconds(rule["ExpirationDate"])
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = _true(rule["ExpiredObjectDeleteMarker"])
    if expiration:
        made["Expiration"] = expiration
    moves = list(rule.get("Transitions") or ()) + (
        [rule["Transition"]] if "Transition" in rule else []
    )
    if moves:
        made["Transitions"] = [
            {"StorageClass": _class(one)}
            | ({"Days": int(one["TransitionInDays"])} if "TransitionInDays" in one else {})
            | ({"Date": _seconds(one["TransitionDate"])} if "TransitionDate" in one else {})
            for one in moves
        ]
    if "NoncurrentVersionExpirationInDays" in rule:
        days = int(rule["NoncurrentVersionExpirationInDays"])
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": days}
    if "NoncurrentVersionExpiration" in rule:
        said = rule["NoncurrentVersionExpiration"]
        made["NoncurrentVersionExpiration"] = {k: int(v) for k, v in said.items()}
    older = list(rule.get("NoncurrentVersionTransitions") or ()) + (
        [rule["NoncurrentVersionTransition"]] if "NoncurrentVersionTransition" in rule else []
    )
    if older:
        made["NoncurrentVersionTransitions"] = [
            {"StorageClass": _class(one), "NoncurrentDays": int(one["TransitionInDays"])}
            | {k: int(one[k]) for k in ("NewerNoncurrentVersions",) if k in one}
            for one in older
        ]
    if "AbortIncompleteMultipartUpload" in rule:
        days = int(rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made


def _class(move: dict[str, Any]) -> str:
    """``Glacier`` is CloudFormation's old word for GLACIER."""
    return "GLACIER" if move["StorageClass"] == "Glacier" else str(move["StorageClass"])


def _replication(given: dict[str, Any]) -> dict[str, Any]:
    rules = []
    for rule in given["Rules"]:
        made = {("ID" if k == "Id" else k): v for k, v in rule.items()}
        if "Priority" in made:
            made["Priority"] = int(made["Priority"])
        if "Filter" in made:
            said = made["Filter"]
            parts = said.get("And") or said
            tags = list(parts.get("TagFilters") or ()) + (
                [parts["TagFilter"]] if "TagFilter" in parts else []
            )
            made["Filter"] = _filter({"Prefix": parts.get("Prefix"), "TagFilters": tags})
        rules.append(made)
    return {"Role": given["Role"], "Rules": rules}


def _inventory(given: dict[str, Any]) -> dict[str, Any]:
    target = given["Destination"]
    there = {"Bucket": target["BucketArn"], "Format": target["Format"]}
    for ours, theirs in (("Prefix", "Prefix"), ("BucketAccountId", "AccountId")):
        if ours in target:
            there[theirs] = target[ours]
    made: dict[str, Any] = {
        "Id": given["Id"],
        "IsEnabled": _true(given["Enabled"]),
        "IncludedObjectVersions": given["IncludedObjectVersions"],
        "Schedule": {"Frequency": given["ScheduleFrequency"]},
        "Destination": {"S3BucketDestination": there},
    }
    if given.get("OptionalFields"):
        made["OptionalFields"] = given["OptionalFields"]
    if given.get("Prefix"):
        made["Filter"] = {"Prefix": given["Prefix"]}
    return made


def _of_id(given: dict[str, Any]) -> dict[str, Any]:
    """Metrics and the like: an id and a filter."""
    made: dict[str, Any] = {"Id": given["Id"]}
    if given.get("Prefix") or given.get("TagFilters"):
        made["Filter"] = _filter(given)
    return made


def _analytics(given: dict[str, Any]) -> dict[str, Any]:
    made = {**_of_id(given), "StorageClassAnalysis": {}}
    if export := given["StorageClassAnalysis"].get("DataExport"):
        target = export["Destination"]
        there = {"Bucket": target["BucketArn"]}
        there |= {name: target[name] for name in ("BucketAccountId", "Format", "Prefix") if name in target}  # fmt: skip
        made["StorageClassAnalysis"]["DataExport"] = {
            "OutputSchemaVersion": export["OutputSchemaVersion"],
            "Destination": {"S3BucketDestination": there},
        }
    return made


def _tiering(given: dict[str, Any]) -> dict[str, Any]:
    tiers = [{**one, "Days": int(one["Days"])} for one in given["Tierings"]]
    return {**_of_id(given), "Status": given["Status"], "Tierings": tiers}


_LISTENERS = {
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
}


def _notifications(given: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for ours, (theirs, arn, arn_member) in _LISTENERS.items():
        for one in given.get(ours) or ():
            rule = {arn_member: one[arn], "Events": [one["Event"]]}
            if rules := ((one.get("Filter") or {}).get("S3Key") or {}).get("Rules"):
                rule["Filter"] = {"Key": {"FilterRules": rules}}
            made.setdefault(theirs, []).append(rule)
    bridge = given.get("EventBridgeConfiguration")
    if bridge is not None and str(bridge.get("EventBridgeEnabled", True)).lower() == "true":
        made["EventBridgeConfiguration"] = {}
    return made


def _metrics(given: dict[str, Any]) -> dict[str, Any]:
    made = _of_id(given)
    if point := given.get("AccessPointArn"):
        parts = made.pop("Filter", {})
        both = parts.pop("And", None)
        if both is None:
            both = {
                ("Tags" if k == "Tag" else k): ([v] if k == "Tag" else v) for k, v in parts.items()
            }
        made["Filter"] = (
            {"And": {**both, "AccessPointArn": point}} if both else {"AccessPointArn": point}
        )
    return made


def _abac(given: str) -> dict[str, Any]:
    return {"Status": given or "Disabled"}


def _tags(given: list[dict[str, Any]]) -> dict[str, Any]:
    return {"TagSet": given}


_CONTROL = {"_control": True}
"""Tags are set where ABAC is enabled, too: CloudFormation does it as S3 Control does."""
# Property -> members of the request that stand inside it: (the request's, the property's).
_BESIDE = {
    "LifecycleConfiguration": (
        ("TransitionDefaultMinimumObjectSize", "TransitionDefaultMinimumObjectSize"),
    )
}

# Property -> (operation after Put, its member, shape, operation that unsets it), in order of application.
_CONFIGURATIONS: dict[str, tuple[str, str, Any, str]] = {
    "VersioningConfiguration": ("BucketVersioning", "VersioningConfiguration", _versioning, ""),
    "ObjectLockConfiguration": ("ObjectLockConfiguration", "ObjectLockConfiguration", _lock, ""),
    "AccelerateConfiguration": (
        "BucketAccelerateConfiguration",
        "AccelerateConfiguration",
        _accelerate,
        "",
    ),
    "LoggingConfiguration": ("BucketLogging", "BucketLoggingStatus", _logging, ""),
    "LifecycleConfiguration": (
        "BucketLifecycleConfiguration",
        "LifecycleConfiguration",
        _lifecycle,
        "DeleteBucketLifecycle",
    ),
    "ReplicationConfiguration": (
        "BucketReplication",
        "ReplicationConfiguration",
        _replication,
        "DeleteBucketReplication",
    ),
    "OwnershipControls": (
        "BucketOwnershipControls",
        "OwnershipControls",
        _same,
        "DeleteBucketOwnershipControls",
    ),
    "PublicAccessBlockConfiguration": (
        "PublicAccessBlock",
        "PublicAccessBlockConfiguration",
        _block,
        "DeletePublicAccessBlock",
    ),
    "BucketEncryption": (
        "BucketEncryption",
        "ServerSideEncryptionConfiguration",
        _encryption,
        "DeleteBucketEncryption",
    ),
    "WebsiteConfiguration": (
        "BucketWebsite",
        "WebsiteConfiguration",
        _website,
        "DeleteBucketWebsite",
    ),
    "CorsConfiguration": ("BucketCors", "CORSConfiguration", _cors, "DeleteBucketCors"),
    "Tags": ("BucketTagging", "Tagging", _tags, "DeleteBucketTagging"),
    "AbacStatus": ("BucketAbac", "AbacStatus", _abac, ""),
    "NotificationConfiguration": (
        "BucketNotificationConfiguration",
        "NotificationConfiguration",
        _notifications,
        "",
    ),
}

# Property that lists configurations with ids -> (operation after Put, its member, shape).
_MANY: dict[str, tuple[str, str, Any]] = {
    "InventoryConfigurations": (
        "BucketInventoryConfiguration",
        "InventoryConfiguration",
        _inventory,
    ),
    "MetricsConfigurations": ("BucketMetricsConfiguration", "MetricsConfiguration", _metrics),
    "AnalyticsConfigurations": (
        "BucketAnalyticsConfiguration",
        "AnalyticsConfiguration",
        _analytics,
    ),
    "IntelligentTieringConfigurations": (
        "BucketIntelligentTieringConfiguration",
        "IntelligentTieringConfiguration",
        _tiering,
    ),
}
