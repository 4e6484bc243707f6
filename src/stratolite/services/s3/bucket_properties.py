"""What hangs on a bucket in CloudFormation's spelling, read from the API's: the way back of what ``resources`` puts.

``READ``: property -> (operation after Get or List, how its answer is spelled in a template).
Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Answer = Mapping[str, Any]


def _only(given: Answer, *names: str, **renamed: str) -> dict[str, Any]:
    """The members there are; ``renamed``: the template's name -> the API's."""
    pairs = [*((name, name) for name in names), *renamed.items()]
    return {ours: given[theirs] for ours, theirs in pairs if given.get(theirs) not in (None, "")}


def _date(moment: Any) -> str:
    if not isinstance(moment, datetime):
        moment = datetime.fromtimestamp(float(moment), UTC)
    return str(moment.astimezone(UTC).isoformat().replace("+00:00", "Z"))


def _filtered(rule: Answer) -> dict[str, Any]:
    """A Filter as Prefix, TagFilters and sizes beside each other."""
    said = rule.get("Filter") or {}
    parts = said.get("And") or said
    sizes = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")
    made = _only(parts, "Prefix", "AccessPointArn")
    made |= {name: str(parts[name]) for name in sizes if name in parts}
    tags = [*(parts.get("Tags") or ()), *([parts["Tag"]] if "Tag" in parts else ())]
    return made | ({"TagFilters": tags} if tags else {})


def _encryption(answer: Answer) -> dict[str, Any]:
    rules = [
        {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
        | _only(
            rule,
            "BlockedEncryptionTypes",
            ServerSideEncryptionByDefault="ApplyServerSideEncryptionByDefault",
        )
        | {"BucketKeyEnabled": bool(rule.get("BucketKeyEnabled"))}
        for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]
    ]
    return {"ServerSideEncryptionConfiguration": rules}


def _cors(answer: Answer) -> dict[str, Any]:
    names = ("AllowedHeaders", "AllowedMethods", "AllowedOrigins")
    renamed = {"Id": "ID", "ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}
    return {"CorsRules": [_only(rule, *names, **renamed) for rule in answer["CORSRules"]]}


def _move(move: Answer, days: str) -> dict[str, Any]:
    made = _only(move, "StorageClass", "NewerNoncurrentVersions", TransitionInDays=days)
    return made | ({"TransitionDate": _date(move["Date"])} if move.get("Date") else {})


def _lifecycle_rule(rule: Answer) -> dict[str, Any]:
    made = _only(rule, "Status", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload", "Prefix", Id="ID")  # fmt: skip
    made |= _filtered(rule)
    ends = rule.get("Expiration") or {}
    made |= _only(ends, "ExpiredObjectDeleteMarker", ExpirationInDays="Days")
    if ends.get("Date"):
        made["ExpirationDate"] = _date(ends["Date"])
    for name, days in (("Transitions", "Days"), ("NoncurrentVersionTransitions", "NoncurrentDays")):
        if rule.get(name):
            made[name] = [_move(move, days) for move in rule[name]]
    return made


def _lifecycle(answer: Answer) -> dict[str, Any]:
    made = _only(answer, "TransitionDefaultMinimumObjectSize")
    return made | {"Rules": [_lifecycle_rule(rule) for rule in answer["Rules"]]}


def _logging(answer: Answer) -> dict[str, Any]:
    renamed = {"DestinationBucketName": "TargetBucket", "LogFilePrefix": "TargetPrefix"}
    return _only(answer.get("LoggingEnabled") or {}, "TargetObjectKeyFormat", **renamed)


_LISTENERS = {
    "QueueConfigurations": ("QueueConfigurations", "Queue", "QueueArn"),
    "TopicConfigurations": ("TopicConfigurations", "Topic", "TopicArn"),
    "LambdaConfigurations": ("LambdaFunctionConfigurations", "Function", "LambdaFunctionArn"),
}


def _notifications(answer: Answer) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for ours, (theirs, name, arn) in _LISTENERS.items():
        for one in answer.get(theirs) or ():
            rules = [
                {"Name": rule["Name"].lower(), "Value": rule["Value"]}
                for rule in ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
            ]
            only = {"Filter": {"S3Key": {"Rules": rules}}} if rules else {}
            made.setdefault(ours, []).extend(
                {"Event": event, name: one[arn], **only} for event in one["Events"]
            )
    if "EventBridgeConfiguration" in answer:
        made["EventBridgeConfiguration"] = {"EventBridgeEnabled": True}
    return made


def _replication(answer: Answer) -> dict[str, Any]:
    given = answer["ReplicationConfiguration"]
    return {"Role": given["Role"], "Rules": [_replicated(rule) for rule in given["Rules"]]}


def _replicated(rule: Answer) -> dict[str, Any]:
    names = ("Status", "Priority", "DeleteMarkerReplication", "SourceSelectionCriteria", "Destination", "Prefix")  # fmt: skip
    made = _only(rule, *names, Id="ID")
    if said := rule.get("Filter"):
        both = said.get("And")
        inside = _only(both or said, "Prefix", TagFilters="Tags", TagFilter="Tag")
        made["Filter"] = {"And": inside} if both else inside
    return made


def _website(answer: Answer) -> dict[str, Any]:
    made = _only(answer, "RedirectAllRequestsTo")
    if "IndexDocument" in answer:
        made["IndexDocument"] = answer["IndexDocument"]["Suffix"]
    if "ErrorDocument" in answer:
        made["ErrorDocument"] = answer["ErrorDocument"]["Key"]
    if answer.get("RoutingRules"):
        renamed = {"RedirectRule": "Redirect", "RoutingRuleCondition": "Condition"}
        made["RoutingRules"] = [_only(rule, **renamed) for rule in answer["RoutingRules"]]
    return made


def _inventory(one: Answer) -> dict[str, Any]:
    there = one["Destination"]["S3BucketDestination"]
    made = _only(one, "Id", "IncludedObjectVersions", "OptionalFields")
    renamed = {"BucketArn": "Bucket", "BucketAccountId": "AccountId"}
    return {
        **made,
        **_filtered(one),
        "Enabled": one["IsEnabled"],
        "ScheduleFrequency": one["Schedule"]["Frequency"],
        "Destination": _only(there, "Format", "Prefix", **renamed),
    }


def _of_id(one: Answer) -> dict[str, Any]:
    return _only(one, "Id", "Status", "Tierings") | _filtered(one)


def _analytics(one: Answer) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if export := (one.get("StorageClassAnalysis") or {}).get("DataExport"):
        there = export["Destination"]["S3BucketDestination"]
        made["DataExport"] = {
            "OutputSchemaVersion": export["OutputSchemaVersion"],
            "Destination": _only(there, "BucketAccountId", "Format", "Prefix", BucketArn="Bucket"),
        }
    return {**_of_id(one), "StorageClassAnalysis": made}


def _many(spelled: Callable[[Answer], dict[str, Any]], member: str) -> Callable[[Answer], Any]:
    return lambda answer: [spelled(one) for one in answer.get(member) or ()]


READ: Mapping[str, tuple[str, Callable[[Answer], Any]]] = {
    "AccelerateConfiguration": (
        "GetBucketAccelerateConfiguration",
        lambda answer: _only(answer, AccelerationStatus="Status"),
    ),
    "AnalyticsConfigurations": (
        "ListBucketAnalyticsConfigurations",
        _many(_analytics, "AnalyticsConfigurationList"),
    ),
    "BucketEncryption": ("GetBucketEncryption", _encryption),
    "CorsConfiguration": ("GetBucketCors", _cors),
    "IntelligentTieringConfigurations": (
        "ListBucketIntelligentTieringConfigurations",
        _many(_of_id, "IntelligentTieringConfigurationList"),
    ),
    "InventoryConfigurations": (
        "ListBucketInventoryConfigurations",
        _many(_inventory, "InventoryConfigurationList"),
    ),
    "LifecycleConfiguration": ("GetBucketLifecycleConfiguration", _lifecycle),
    "LoggingConfiguration": ("GetBucketLogging", _logging),
    "MetricsConfigurations": (
        "ListBucketMetricsConfigurations",
        _many(_of_id, "MetricsConfigurationList"),
    ),
    "NotificationConfiguration": ("GetBucketNotificationConfiguration", _notifications),
    "ObjectLockConfiguration": (
        "GetObjectLockConfiguration",
        lambda answer: dict(answer["ObjectLockConfiguration"]),
    ),
    "OwnershipControls": ("GetBucketOwnershipControls", lambda answer: answer["OwnershipControls"]),
    "PublicAccessBlockConfiguration": (
        "GetPublicAccessBlock",
        lambda answer: answer["PublicAccessBlockConfiguration"],
    ),
    "ReplicationConfiguration": ("GetBucketReplication", _replication),
    "Tags": ("GetBucketTagging", lambda answer: answer["TagSet"]),
    "VersioningConfiguration": ("GetBucketVersioning", lambda answer: _only(answer, "Status")),
    "WebsiteConfiguration": ("GetBucketWebsite", _website),
}
