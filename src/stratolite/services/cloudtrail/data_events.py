"""Calls on items, objects and messages in a line each: what names the resource, what IAM calls the action, and the record read again.

While a call runs only what names its resource is taken from the request (``Kind.named``); ARN and action are
made of it when somebody reads the trail. Bodies, items, statements and parameters are never held.
Source  https://docs.aws.amazon.com/awscloudtrail/latest/userguide/logging-data-events-with-cloudtrail.html
        https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from stratolite.clock import iso
from stratolite.service import Request
from stratolite.services.cloudtrail import events
from stratolite.services.cloudtrail.events import Event

Named = Callable[[Request], Any]
_NAME_LENGTH_MAX = 2048  # an ARN; what is longer names nothing


class Kind(NamedTuple):
    """What all calls of an operation have in common."""

    service: str
    operation: str
    prefix: str
    """Of its IAM actions."""
    named: Named | None
    """Takes from a request what names its resources: a str, or a sequence of str and None. May raise. None: they are
    what IAM was asked about (``Service.access``), as ARNs."""
    code: str = ""
    """Of the error they ended with."""
    decision: str = "allowed"


class Row(NamedTuple):
    """One call as it is stored, see ``batches``."""

    time_ms: int
    event_id: str
    request_id: str
    names: str | Sequence[str | None]
    identity: Event
    service: str
    operation: str
    owner: str
    """The account of the resource where it is another than the caller's, else ""."""
    source: str
    code: str
    """Of the error it ended with, "" for none."""
    decision: str


def named(service: str, operation: str) -> Named | None:
    """``Kind.named`` of a data event."""
    found = _NAMED.get((service, operation), _NAMED.get((service, "")))
    return _nothing if found is None and service not in _ASKED else found


def shown(names: Any) -> str | list[str | None]:
    """``names`` as they may be stored, whatever the client made of them."""
    if isinstance(names, str):
        return names[:_NAME_LENGTH_MAX]
    if not isinstance(names, (tuple, list, set, frozenset, dict)):
        return ""
    some = list(names)[:_NAMES_COUNT_MAX]
    return [n[:_NAME_LENGTH_MAX] if isinstance(n, str) else None for n in some]


def record(row: Row, account: str, region: str) -> Event:
    """``row`` as CloudTrail words it; without what was not kept: parameters, the user's agent, an error's message."""
    owner = row.owner or row.identity.get("accountId") or account
    action, arns = _asked(row, owner if owner.isdigit() else account, region)
    event: Event = {
        "eventVersion": events.VERSION,
        "userIdentity": row.identity,
        "eventTime": iso(row.time_ms / 1000),
        "eventSource": events.source(row.service),
        "eventName": row.operation,
        "awsRegion": region,
        "sourceIPAddress": row.source or row.identity.get("invokedBy") or "stratolite",
        "requestID": row.request_id,
        "eventID": row.event_id,
        "readOnly": events.is_read(row.operation),
        "eventType": "AwsApiCall",
        "managementEvent": False,
        "eventCategory": "Data",
        "recipientAccountId": account,
        "additionalEventData": {"decision": row.decision, "action": action},
    }
    if row.code:
        event["errorCode"] = row.code
    if found := [one for arn in arns for one in events.resources(arn)]:
        event["resources"] = found
    return event


# -- what names a resource


def _nothing(_: Request) -> str:
    return ""


def _tables_of(request: Request) -> tuple[str, ...]:
    """Of a transaction's items: {"Put": {"TableName": ...}} each."""
    return tuple(
        {one["TableName"]: 0 for item in request["TransactItems"] for one in item.values()}
    )


_STATEMENT = re.compile(
    r"\s*(?:select\b.*?\bfrom|insert\s+into|update|delete\s+from|exists\s*\(\s*select\b.*?\bfrom)\s+\"?([\w.:/-]+)",
    re.IGNORECASE | re.DOTALL,
)
_STATEMENT_LENGTH_MAX = 8192  # as DynamoDB has it
_NAMES_COUNT_MAX = 100  # items of a transaction
_QUEUE_LENGTH_MAX = 200  # the end of a URL: account and name; what stands before is the client's


def _table_of(statement: str) -> str:
    """The table of a PartiQL statement; its values are nobody's business."""
    found = _STATEMENT.match(statement[:_STATEMENT_LENGTH_MAX])
    return found[1] if found else ""


def _tables_of_statements(member: str) -> Named:
    return lambda request: tuple({_table_of(one["Statement"]): 0 for one in request[member]})


def _buses(request: Request) -> tuple[str, ...]:
    names = {e.get("EventBusName") or "default": 0 for e in request["Entries"]}
    return tuple([name[:_NAME_LENGTH_MAX] for name in names])


def _first(*members: str) -> Named:
    def of(request: Request) -> Any:
        for member in members:
            if (value := request.get(member)) is not None:
                return value
        return ""

    return of


def _version(request: Request) -> tuple[str, str, str | None]:
    return request["Bucket"], request["Key"], request.get("VersionId")


_TABLE, _OBJECT, _BUCKET = (
    itemgetter("TableName"),
    itemgetter("Bucket", "Key"),
    itemgetter("Bucket"),
)
_ASKED = ("kms", "kinesis")
_NAMED: dict[tuple[str, str], Named] = {
    ("dynamodb", ""): _TABLE,
    ("dynamodb", "BatchExecuteStatement"): _tables_of_statements("Statements"),
    ("dynamodb", "BatchGetItem"): lambda request: tuple(request["RequestItems"]),
    ("dynamodb", "BatchWriteItem"): lambda request: tuple(request["RequestItems"]),
    ("dynamodb", "ExecuteStatement"): lambda request: _table_of(request["Statement"]),
    ("dynamodb", "ExecuteTransaction"): _tables_of_statements("TransactStatements"),
    ("dynamodb", "TransactGetItems"): _tables_of,
    ("dynamodb", "TransactWriteItems"): _tables_of,
    ("dynamodbstreams", "GetRecords"): lambda request: request["ShardIterator"].partition("|")[0],
    ("dynamodbstreams", "GetShardIterator"): itemgetter("StreamArn"),
    ("events", "PutEvents"): _buses,
    ("firehose", ""): itemgetter("DeliveryStreamName"),
    ("kinesis", "PutRecord"): _first("StreamARN", "StreamName"),
    ("kinesis", "PutRecords"): _first("StreamARN", "StreamName"),
    ("lambda", ""): itemgetter("FunctionName"),
    ("logs", ""): _first("logGroupName", "logGroupIdentifier"),
    ("s3", ""): _OBJECT,
    ("s3", "DeleteObject"): _version,
    ("s3", "DeleteObjects"): _BUCKET,
    ("s3", "GetObject"): _version,
    ("s3", "HeadBucket"): _BUCKET,
    ("s3", "HeadObject"): _version,
    ("s3", "ListMultipartUploads"): _BUCKET,
    ("s3", "ListObjects"): _BUCKET,
    ("s3", "ListObjectsV2"): _BUCKET,
    ("s3", "ListObjectVersions"): _BUCKET,
    ("sns", ""): _first("TopicArn", "TargetArn"),  # a telephone number is nobody's business
    ("sqs", ""): lambda request: request["QueueUrl"][-_QUEUE_LENGTH_MAX:],
    ("sqs", "GetQueueUrl"): itemgetter("QueueName"),
    ("stepfunctions", "GetActivityTask"): itemgetter("activityArn"),
    ("stepfunctions", "StartSyncExecution"): itemgetter("stateMachineArn"),
}  # fmt: skip


# -- what IAM was asked

_ACTIONS: dict[str, dict[str, str]] = {
    "dynamodb": {
        "BatchExecuteStatement": "PartiQL*", "ExecuteStatement": "PartiQL*", "ExecuteTransaction": "PartiQL*",
        "TransactGetItems": "GetItem", "TransactWriteItems": "*Item",
    },
    "lambda": {"Invoke": "InvokeFunction", "InvokeAsync": "InvokeFunction", "InvokeWithResponseStream": "InvokeFunction"},
    "s3": {
        "CompleteMultipartUpload": "PutObject", "CopyObject": "PutObject", "CreateMultipartUpload": "PutObject",
        "DeleteObjects": "DeleteObject", "HeadBucket": "ListBucket", "HeadObject": "GetObject", "ListObjects": "ListBucket",
        "ListMultipartUploads": "ListBucketMultipartUploads", "ListObjectVersions": "ListBucketVersions",
        "ListObjectsV2": "ListBucket", "ListParts": "ListMultipartUploadParts", "SelectObjectContent": "GetObject",
        "UploadPart": "PutObject", "UploadPartCopy": "PutObject",
    },
    "sns": {"PublishBatch": "Publish"},
    "sqs": {
        "ChangeMessageVisibilityBatch": "ChangeMessageVisibility", "DeleteMessageBatch": "DeleteMessage",
        "SendMessageBatch": "SendMessage",
    },
}  # fmt: skip
_PREFIXES = {"dynamodbstreams": "dynamodb", "stepfunctions": "states"}
_KINDS = {
    "dynamodb": "table/", "events": "event-bus/", "firehose": "deliverystream/", "kinesis": "stream/",
    "lambda": "function:", "logs": "log-group:", "sqs": "",
}  # fmt: skip


def _asked(row: Row, owner: str, region: str) -> tuple[str, list[str]]:
    """(action, ARNs of the resources) of what was called."""
    service = row.service
    action = _ACTIONS.get(service, {}).get(row.operation, row.operation)
    names = [row.names] if isinstance(row.names, str) else [name or "" for name in row.names]
    if service == "s3":
        if names[2:] and names[2]:
            action += "Version"
        arn = f"arn:aws:s3:::{'/'.join(names[:2])}" if names and names[0] else ""
        if names[:1] and names[0].startswith("arn:"):
            arn = "/".join(names[:2])  # an access point
        arns = [arn]
    else:
        arns = [_arn(service, name, owner, region) for name in names]
    return f"{_PREFIXES.get(service, service)}:{action}", [arn for arn in arns if arn]


def _arn(service: str, name: str, owner: str, region: str) -> str:
    if not name or name.startswith("arn:"):
        return name
    if service == "sqs" and "/" in name:  # a URL
        account, _, queue = name.rpartition("/")
        return f"arn:aws:sqs:{region}:{account.rpartition('/')[2]}:{queue}"
    if service == "lambda" and (parts := name.split(":"))[1:2] == [
        "function"
    ]:  # ACCOUNT:function:NAME
        return f"arn:aws:lambda:{region}:{parts[0]}:{':'.join(parts[1:])}"
    kind = _KINDS.get(service)
    return f"arn:aws:{service}:{region}:{owner}:{kind}{name}" if kind is not None else ""
