"""CloudFormation's AWS::S3::Bucket and AWS::S3::BucketPolicy.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucketpolicy.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created

_OFFERED = frozenset(
    {
        "BucketName",
        "WebsiteConfiguration",
        "CorsConfiguration",
        "PublicAccessBlockConfiguration",
        "OwnershipControls",
        "BucketEncryption",
        "Tags",
        "AccessControl",
        "NotificationConfiguration",
    }
)


class Bucket(Resource):
    type = "AWS::S3::Bucket"
    create_only = frozenset({"BucketName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        _check(properties)
        name = properties.get("BucketName") or spec.generated_name(63, lower=True)
        # ``_token`` is ours, not AWS's: it tells a repeat of this step from somebody else's bucket.
        request: dict[str, Any] = {"Bucket": name, "_token": spec.token}
        if call.region != "us-east-1":
            request["CreateBucketConfiguration"] = {"LocationConstraint": call.region}
        await call.request("s3", "CreateBucket", request)
        with created(name):
            await _configure(call, name, {}, properties)
        return _made(call, name)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        _check(new.properties)
        await _configure(call, physical_id, old.properties, new.properties)
        return _made(call, physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await call.request("s3", "DeleteBucket", {"Bucket": physical_id})
        except Fault as fault:
            if fault.code != "NoSuchBucket":
                raise


class BucketPolicy(Resource):
    type = "AWS::S3::BucketPolicy"
    create_only = frozenset({"Bucket"})

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


RESOURCES: tuple[Resource, ...] = (Bucket(), BucketPolicy())


def _check(properties: dict[str, Any]) -> None:
    unknown = sorted(set(properties) - _OFFERED)
    if unknown:
        raise Fault(
            "NotImplemented",
            f"AWS::S3::Bucket property {', '.join(unknown)} is not offered by Stratolite",
            status=501,
        )
    control = properties.get("AccessControl", "Private")
    if control != "Private":
        raise Fault(
            "NotImplemented",
            f"AWS::S3::Bucket AccessControl {control} is not offered by Stratolite; use a bucket policy",
            status=501,
        )


async def _configure(call: Call, bucket: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put what ``new`` says, unset what only ``old`` said."""
    for name, (operation, member, shape, unset) in _CONFIGURATIONS.items():
        if name in new:
            request = {"Bucket": bucket, member: shape(new[name])}
            await call.request("s3", f"Put{operation}", request)
        elif name in old and unset:
            await call.request("s3", unset, {"Bucket": bucket})
        elif name in old:  # unset by an empty one
            await call.request("s3", f"Put{operation}", {"Bucket": bucket, member: shape({})})


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
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in given["ServerSideEncryptionConfiguration"]
    ]
    return {"Rules": rules}


def _same(given: dict[str, Any]) -> dict[str, Any]:
    return given


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


def _tags(given: list[dict[str, Any]]) -> dict[str, Any]:
    return {"TagSet": given}


# Property -> (operation after Put, its member, shape, operation that unsets it), in order of application.
_CONFIGURATIONS: dict[str, tuple[str, str, Any, str]] = {
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
    "NotificationConfiguration": (
        "BucketNotificationConfiguration",
        "NotificationConfiguration",
        _notifications,
        "",
    ),
}
