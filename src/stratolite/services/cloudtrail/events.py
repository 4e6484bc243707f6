"""What a record of the trail says: CloudTrail's fields, from a call and how it ended.

Source  https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
        https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
"""

from __future__ import annotations

import re
from typing import Any

from stratolite.clock import iso
from stratolite.errors import Fault
from stratolite.service import Call, Principal

Event = dict[str, Any]
VERSION = "1.11"

# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html
DATA: dict[str, frozenset[str]] = {
    "dynamodb": frozenset({
        "BatchExecuteStatement", "BatchGetItem", "BatchWriteItem", "DeleteItem", "ExecuteStatement", "ExecuteTransaction",
        "GetItem", "PutItem", "Query", "Scan", "TransactGetItems", "TransactWriteItems", "UpdateItem",
    }),
    "dynamodbstreams": frozenset({"GetRecords", "GetShardIterator"}),
    "events": frozenset({"PutEvents"}),
    "firehose": frozenset({"PutRecord", "PutRecordBatch"}),
    "kinesis": frozenset({
        "GetRecords", "GetShardIterator", "PutRecord", "PutRecords", "SubscribeToShard",
    }),
    "kms": frozenset({  # management events on AWS, where they are nearly all there are and are left out by a switch, too
        "Decapsulate", "Decrypt", "Encapsulate", "Encrypt", "GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext",
        "GenerateDataKeyWithoutPlaintext", "GenerateMac", "GenerateRandom", "ReEncrypt", "Sign", "Verify", "VerifyMac",
    }),
    "lambda": frozenset({"Invoke", "InvokeAsync", "InvokeWithResponseStream"}),
    "logs": frozenset({"FilterLogEvents", "GetLogEvents", "GetLogRecord", "PutLogEvents", "StartLiveTail"}),
    "cloudwatch": frozenset({"GetMetricData", "GetMetricStatistics", "PutMetricData"}),
    "s3": frozenset({
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteObject",
        "DeleteObjectAnnotation", "DeleteObjects", "DeleteObjectTagging", "GetObject", "GetObjectAcl",
        "GetObjectAnnotation", "GetObjectAttributes", "GetObjectLegalHold",
        "GetObjectRetention", "GetObjectTagging", "GetObjectTorrent", "HeadBucket", "HeadObject", "ListMultipartUploads",
        "ListObjectAnnotations", "ListObjectVersions", "ListObjects", "ListObjectsV2", "ListParts", "PutObject", "PutObjectAcl",
        "PutObjectAnnotation", "PutObjectLegalHold", "PutObjectRetention", "PutObjectTagging", "RestoreObject", "SelectObjectContent",
        "UpdateObjectEncryption", "UploadPart", "UploadPartCopy",
        "ComputeChecksum", "InitiateReplication", "ListForBatch",  # what S3 Batch Operations asks of S3 itself
    }),
    "sns": frozenset({"Publish", "PublishBatch"}),
    "sqs": frozenset({
        "ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "DeleteMessage", "DeleteMessageBatch",
        "GetQueueAttributes", "GetQueueUrl", "ReceiveMessage", "SendMessage", "SendMessageBatch",
    }),
    "stepfunctions": frozenset({"GetActivityTask", "SendTaskHeartbeat", "StartSyncExecution"}),
}  # fmt: skip
INSIDE: dict[str, frozenset[str]] = {
    "events": frozenset({"InvokeApiDestination"}),
    "s3": frozenset({
        "CheckTableObject", "DropAccessPoint", "DropTableBucket", "DropTableObjects", "KeepAccessPoint", "KeepAccountBlock",
        "KeepTableBucket", "ListTableObjects", "PutTableObject",
    }),
    "s3tables": frozenset({"CanWrite", "KeepManagedTable", "RulesOfTable", "WriteTable"}),
}  # fmt: skip
"""What one part of the platform asks of another and AWS does not have: no event of anybody's."""
_READS = re.compile(
    r"(Get|List|Describe|Head|Lookup|Search|BatchGet|Query|Scan|Select|Filter|Receive|Simulate|Decode|Validate|Check"
    r"|Estimate|Detect|AssumeRole)(?=[A-Z]|$)"
)
_SOURCES = {
    "apigatewayv2": "apigateway",
    "cloudwatch": "monitoring",
    "dynamodbstreams": "dynamodb",
    "s3control": "s3",
    "stepfunctions": "states",
    "resourcegroupstaggingapi": "tagging",
    "cloudcontrol": "cloudcontrolapi",
}
_ARN = re.compile(r"arn:aws[\w-]*:([\w-]+):[^:]*:(\d{12})?:([\w-]+)?")


def is_data(service: str, operation: str) -> bool:
    return operation in DATA.get(service, ())


def is_read(operation: str) -> bool:
    return bool(_READS.match(operation))


def source(service: str) -> str:
    """The ``eventSource``."""
    return f"{_SOURCES.get(service, service)}.amazonaws.com"


def identity(who: Principal) -> Event:
    """The ``userIdentity``."""
    if who.kind == "service":
        return {"type": "AWSService", "invokedBy": who.name}
    if who.kind == "anonymous":
        return {"type": "AWSAccount", "principalId": "", "accountId": "anonymous"}
    kind = {"root": "Root", "user": "IAMUser", "role": "AssumedRole"}.get(who.kind, "FederatedUser")
    said: Event = {
        "type": kind,
        "principalId": who.user_id or who.account,
        "arn": who.arn,
        "accountId": who.account,
    }
    if who.access_key_id:
        said["accessKeyId"] = who.access_key_id
    if who.kind == "user":
        said["userName"] = who.name
    if who.access_key_id.startswith("ASIA") or who.kind in ("role", "federated"):
        attributes = {"mfaAuthenticated": "true" if who.mfa_s else "false"}
        if who.issued_s:
            attributes["creationDate"] = iso(who.issued_s)
        said["sessionContext"] = {"attributes": attributes}
        if who.kind == "role":
            said["sessionContext"]["sessionIssuer"] = {
                "type": "Role",
                "principalId": who.user_id.partition(":")[0],
                "accountId": who.account,
                "userName": who.name,
            }
        if who.source_identity:
            said["sessionContext"]["sourceIdentity"] = who.source_identity
    return said


def user_name(event: Event) -> str | None:
    """What LookupEvents calls ``Username``."""
    who = event["userIdentity"]
    if who["type"] == "Root":
        return "root"
    if who["type"] in ("AssumedRole", "FederatedUser"):
        return str(who["arn"].rsplit("/", 1)[-1])
    name: str | None = who.get("userName") or who.get("invokedBy")
    return name


def made(
    call: Call,
    service: str,
    operation: str,
    parameters: dict[str, Any],
    noted: tuple[str, str, str],
    error: BaseException | None,
) -> Event:
    """The record but for its id, time and recipient. ``noted`` is (action, resource, encoded message)."""
    action, resource, message = noted
    who, asked = call.principal, source(service)
    event: Event = {
        "eventVersion": VERSION,
        "userIdentity": identity(who),
        "eventSource": asked,
        "eventName": operation,
        "awsRegion": call.region,
        "sourceIPAddress": call.context.get("aws:SourceIp") or who.name or "stratolite",
        "userAgent": (call.context.get("aws:UserAgent") or who.name or "stratolite")[:1024],
        "requestParameters": parameters or None,
        "responseElements": None,
        "requestID": call.request_id,
        "readOnly": is_read(operation),
        "eventType": "AwsApiCall",
        "managementEvent": not is_data(service, operation),
        "eventCategory": "Data" if is_data(service, operation) else "Management",
    }
    if call.depth and who.kind != "service":
        event["userIdentity"]["invokedBy"] = asked
    if error is not None:
        event["errorCode"] = code(error)
    if isinstance(error, Fault):
        event["errorMessage"] = error.message[:2048]
    if found := resources(resource):
        event["resources"] = found
    more = {"decision": decision(error, message), "action": action}
    if message:
        more["encodedAuthorizationMessage"] = message
    event["additionalEventData"] = more
    return event


def decision(error: BaseException | None, message: str = "") -> str:
    """``message`` explains a denial."""
    denied = isinstance(error, Fault) and (bool(message) or error.code.startswith("AccessDenied"))
    return "denied" if denied else "allowed"


def code(error: BaseException) -> str:
    """The ``errorCode``."""
    return error.code if isinstance(error, Fault) else "InternalFailure"


def resources(arn: str) -> list[Event]:
    found = _ARN.match(arn)
    if found is None:
        return []
    service, account, kind = found.groups()
    if service == "s3":
        kind = "Object" if "/" in arn else "Bucket"
    title = "".join(word[:1].upper() + word[1:] for word in (kind or service).split("-"))
    named = f"AWS::{_TITLES.get(service, service.upper())}::{title}"
    said = {"ARN": arn, "type": named}
    return [said | {"accountId": account} if account else said]


_TITLES = {
    "apigateway": "ApiGateway", "cloudformation": "CloudFormation", "dynamodb": "DynamoDB", "events": "Events",
    "firehose": "KinesisFirehose", "glue": "Glue", "kinesis": "Kinesis", "lambda": "Lambda", "logs": "Logs",
    "pipes": "Pipes", "scheduler": "Scheduler", "secretsmanager": "SecretsManager", "states": "StepFunctions",
}  # fmt: skip


def stamped(event: Event, event_id: str, time_s: float, account: str) -> Event:
    """The record of one account."""
    return event | {
        "eventTime": iso(time_s),
        "eventID": event_id,
        "recipientAccountId": account,
    }
