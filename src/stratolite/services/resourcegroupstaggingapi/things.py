"""An ARN -> the service that keeps its tags, and how that service is asked for them.

Services spell tags as a map or as a list, under members of other names: a line of the table says which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stratolite.errors import Fault
from stratolite.service import Call

Tags = dict[str, str]


class Way(NamedTuple):
    """How one service is asked. ``where`` makes the members that name the thing, of the call and its ARN."""

    service: str
    where: Callable[[Call, str], dict[str, Any]]
    put: tuple[str, str]
    """Operation and member of the tags to add."""
    drop: tuple[str, str]
    """Operation and member of the keys to take off."""
    read: tuple[str, str]
    """Operation and member of the answer's tags."""
    pair: tuple[str, str] | None = ("Key", "Value")
    """Members of an item of the list of tags to add; None where they are a map."""


def _by(member: str) -> Callable[[Call, str], dict[str, Any]]:
    return lambda _, arn: {member: arn}


def _last(arn: str) -> str:
    return arn.split(":", 5)[5].split("/", 1)[-1]


def _queue(call: Call, arn: str) -> dict[str, Any]:
    return {"QueueUrl": f"{call.endpoint}/{call.account}/{arn.rsplit(':', 1)[1]}"}


def _parameter(call: Call, arn: str) -> dict[str, Any]:
    """The ARN leaves out the slash a name begins with. One with more slashes had it; else both may be there."""
    name = _last(arn)
    if "/" in name:
        return {"ResourceType": "Parameter", "ResourceId": f"/{name}"}
    where = {"ResourceType": "Parameter", "ResourceId": name}
    try:
        call.invoke("ssm", "ListTagsForResource", where)
    except Fault as fault:
        if fault.code != "InvalidResourceId":
            raise
        return {**where, "ResourceId": f"/{name}"}
    return where


_LISTED = ("TagResource", "Tags"), ("UntagResource", "TagKeys"), ("ListTagsForResource", "Tags")
_WAYS: dict[str, Way] = {
    "apigateway": Way("apigatewayv2", _by("ResourceArn"), *_LISTED[:2], ("GetTags", "Tags"), None),
    "cloudwatch": Way("cloudwatch", _by("ResourceARN"), *_LISTED),
    "dynamodb": Way("dynamodb", _by("ResourceArn"), *_LISTED[:2], ("ListTagsOfResource", "Tags")),
    "events": Way("events", _by("ResourceARN"), *_LISTED),
    "firehose": Way(
        "firehose",
        lambda _, arn: {"DeliveryStreamName": _last(arn)},
        ("TagDeliveryStream", "Tags"),
        ("UntagDeliveryStream", "TagKeys"),
        ("ListTagsForDeliveryStream", "Tags"),
    ),
    "glue": Way(
        "glue",
        _by("ResourceArn"),
        ("TagResource", "TagsToAdd"),
        ("UntagResource", "TagsToRemove"),
        ("GetTags", "Tags"),
        None,
    ),
    "kinesis": Way(
        "kinesis",
        _by("ResourceARN"),
        ("TagResource", "Tags"),
        ("UntagResource", "TagKeys"),
        ("ListTagsForResource", "Tags"),
        None,
    ),
    "kms": Way(
        "kms",
        _by("KeyId"),
        *_LISTED[:2],
        ("ListResourceTags", "Tags"),
        ("TagKey", "TagValue"),
    ),
    "lambda": Way("lambda", _by("Resource"), *_LISTED[:2], ("ListTags", "Tags"), None),
    "logs": Way(
        "logs",
        _by("resourceArn"),
        ("TagResource", "tags"),
        ("UntagResource", "tagKeys"),
        ("ListTagsForResource", "tags"),
        None,
    ),
    "pipes": Way(
        "pipes",
        _by("resourceArn"),
        ("TagResource", "tags"),
        ("UntagResource", "tagKeys"),
        ("ListTagsForResource", "tags"),
        None,
    ),
    "scheduler": Way("scheduler", _by("ResourceArn"), *_LISTED),
    "secretsmanager": Way(
        "secretsmanager", _by("SecretId"), *_LISTED[:2], ("DescribeSecret", "Tags")
    ),
    "sns": Way("sns", _by("ResourceArn"), *_LISTED),
    "sqs": Way(
        "sqs",
        _queue,
        ("TagQueue", "Tags"),
        ("UntagQueue", "TagKeys"),
        ("ListQueueTags", "Tags"),
        None,
    ),
    "ssm": Way(
        "ssm",
        _parameter,
        ("AddTagsToResource", "Tags"),
        ("RemoveTagsFromResource", "TagKeys"),
        ("ListTagsForResource", "TagList"),
    ),
}
"""By the service in the ARN. S3's tags are one configuration of the bucket: ``_Bucket``."""
_REST = Way(
    "apigateway",
    _by("resourceArn"),
    ("TagResource", "tags"),
    ("UntagResource", "tagKeys"),
    ("GetTags", "tags"),
    None,
)
"""Of API Gateway what is not an HTTP API's, by the first part of the path in the ARN."""
_REST_PATHS = ("/restapis/", "/apikeys/", "/usageplans/")


def _iam(kind: str, member: str, *, by_arn: bool = False) -> Way:
    """Operations of IAM are named after what they tag; paths stand in ARNs only."""
    return Way(
        "iam",
        _by(member) if by_arn else lambda _, arn: {member: arn.rsplit("/", 1)[-1]},
        (f"Tag{kind}", "Tags"),
        (f"Untag{kind}", "TagKeys"),
        (f"List{kind}Tags", "Tags"),
    )


_IAM_WAYS = {
    "instance-profile": _iam("InstanceProfile", "InstanceProfileName"),
    "mfa": _iam("MFADevice", "SerialNumber", by_arn=True),
    "oidc-provider": _iam("OpenIDConnectProvider", "OpenIDConnectProviderArn", by_arn=True),
    "policy": _iam("Policy", "PolicyArn", by_arn=True),
    "role": _iam("Role", "RoleName"),
    "saml-provider": _iam("SAMLProvider", "SAMLProviderArn", by_arn=True),
    "server-certificate": _iam("ServerCertificate", "ServerCertificateName"),
    "user": _iam("User", "UserName"),
}
_UNLISTED = ("role/", "user/")
_IAM_REGION = "us-east-1"


def is_listed(arn: str) -> bool:
    """IAM's users and roles can be tagged, and are not found by their tags.

    https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/supported-services.html
    """
    parts = arn.split(":", 5)
    return len(parts) < 6 or parts[2] != "iam" or not parts[5].startswith(_UNLISTED)


def read(call: Call, arn: str) -> Tags:
    """In the transaction, as the caller. Raises the service's Fault."""
    way = _way(call, arn)
    if way is None:
        return _bucket_tags(call, arn)
    operation, member = way.read
    answer = call.invoke(way.service, operation, way.where(call, arn))
    return _as_map(answer.get(member) or {}, way)


def put(call: Call, arn: str, tags: Mapping[str, str]) -> None:
    way = _way(call, arn)
    if way is None:
        _put_bucket_tags(call, arn, {**_bucket_tags(call, arn), **tags})
        return
    operation, member = way.put
    given: Any = dict(tags)
    if way.pair is not None:
        key, value = way.pair
        given = [{key: k, value: v} for k, v in tags.items()]
    call.invoke(way.service, operation, {**way.where(call, arn), member: given})


def drop(call: Call, arn: str, keys: list[str]) -> None:
    way = _way(call, arn)
    if way is None:
        left = {k: v for k, v in _bucket_tags(call, arn).items() if k not in keys}
        _put_bucket_tags(call, arn, left)
        return
    operation, member = way.drop
    call.invoke(way.service, operation, {**way.where(call, arn), member: keys})


def _way(call: Call, arn: str) -> Way | None:
    """None for a bucket. Raises Fault for what is not of this account and region, or not offered."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or not parts[5]:
        raise bad(f"Invalid ARN: {arn}")
    _, _, service, region, account, thing = parts
    region = region or (_IAM_REGION if service == "iam" else "")
    if region not in ("", call.region) or account not in ("", call.account):
        raise bad(f"{arn} is not a resource of account {call.account} in {call.region}")
    if service == "s3":
        return None
    ways, name = (_IAM_WAYS, thing.split("/")[0]) if service == "iam" else (_WAYS, service)
    if name not in ways:
        raise bad(f"Tags of {service} are not offered here by Stratolite: {arn}")
    if service == "apigateway" and thing.startswith(_REST_PATHS):
        return _REST
    return ways[name]


def _bucket(arn: str) -> str:
    return arn.split(":", 5)[5]


def _bucket_tags(call: Call, arn: str) -> Tags:
    try:
        found = call.invoke("s3", "GetBucketTagging", {"Bucket": _bucket(arn)})
    except Fault as fault:
        if fault.code != "NoSuchTagSet":
            raise
        return {}
    return {tag["Key"]: tag["Value"] for tag in found["TagSet"]}


def _put_bucket_tags(call: Call, arn: str, tags: Tags) -> None:
    where = {"Bucket": _bucket(arn)}
    if not tags:
        call.invoke("s3", "DeleteBucketTagging", where)
        return
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    call.invoke("s3", "PutBucketTagging", {**where, "Tagging": {"TagSet": listed}})


def _as_map(tags: Any, way: Way) -> Tags:
    if isinstance(tags, dict):
        return dict(tags)
    key, value = way.pair or ("Key", "Value")  # Kinesis takes a map and gives a list
    return {tag[key]: tag.get(value, "") for tag in tags}


def bad(message: str) -> Fault:
    return Fault("InvalidParameterException", message)
