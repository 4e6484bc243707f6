"""What AWS does that its published models do not say: names, statuses, roots, lost protocols."""

from __future__ import annotations

import re
from typing import Any

JSON_SHAPES: dict[str, frozenset[str]] = {
    "dynamodb": frozenset({"AttributeValue"}),
    "dynamodbstreams": frozenset({"AttributeValue"}),
}
"""Shapes that stay in their JSON form in requests and responses (a blob in them is base64 text)."""

# -- which service a request is for ---------------------------------------------------------------

SPOKEN = frozenset(
    [
        "apigateway",
        "apigatewayv2",
        "application-autoscaling",
        "appsync",
        "athena",
        "cloudcontrol",
        "cloudformation",
        "cloudtrail",
        "cloudwatch",
        "cognito-idp",
        "dynamodb",
        "dynamodbstreams",
        "ecr",
        "events",
        "firehose",
        "glue",
        "iam",
        "kinesis",
        "kms",
        "lambda",
        "logs",
        "organizations",
        "pipes",
        "rds-data",
        "resourcegroupstaggingapi",
        "s3",
        "s3control",
        "s3tables",
        "scheduler",
        "secretsmanager",
        "serverlessrepo",
        "sns",
        "sqs",
        "ssm",
        "stepfunctions",
        "sts",
        "xray",
    ]
)
"""Services whose models a request may make us load. Anybody can write any service into an unsigned
or wrongly signed request, and all of botocore's models together take seconds and gigabytes."""

AMZ_CBOR = "application/x-amz-cbor-1.1"
"""Content type of a CBOR body under JSON's X-Amz-Target (protocol ``amz-cbor``): Kinesis only."""

TARGETS: dict[str, str] = {
    "AnyScaleFrontendService": "application-autoscaling",
    "DynamoDB_20120810": "dynamodb",
    "DynamoDBStreams_20120810": "dynamodbstreams",
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
    "AmazonEC2ContainerRegistry_V20150921": "ecr",
    "Kinesis_20131202": "kinesis",
    "Firehose_20150804": "firehose",
    "AWSStepFunctions": "stepfunctions",
    "Logs_20140328": "logs",
    "GraniteServiceVersion20100801": "cloudwatch",
    "TrentService": "kms",
    "secretsmanager": "secretsmanager",
    "AmazonSSM": "ssm",
    "AmazonAthena": "athena",
    "CloudApiService": "cloudcontrol",
    "ResourceGroupsTaggingAPI_20170126": "resourcegroupstaggingapi",
    "AWSGlue": "glue",
    "CloudTrail_20131101": "cloudtrail",
    "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101": "cloudtrail",
    "AWSOrganizationsV20161128": "organizations",
    "AWSCognitoIdentityProviderService": "cognito-idp",
}
"""``X-Amz-Target`` prefix (and smithy service name) -> service. Others are found by signing name."""

SIGNING_NAMES: dict[str, tuple[str, ...]] = {
    "s3": ("s3", "s3control"),
    "s3express": ("s3",),
    "s3-outposts": ("s3control",),
    "s3-object-lambda": ("s3",),
    "apigateway": ("apigatewayv2", "apigateway"),
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "monitoring": ("cloudwatch",),
    "states": ("stepfunctions",),
    "cloudcontrolapi": ("cloudcontrol",),
    "tagging": ("resourcegroupstaggingapi",),
}
"""Signing name -> services, most particular first; where absent, the signing name is the service."""

QUERY_VERSIONS: dict[str, str] = {
    "2011-06-15": "sts",
    "2010-05-08": "iam",
    "2010-03-31": "sns",
    "2010-05-15": "cloudformation",
    "2012-11-05": "sqs",
    "2010-08-01": "cloudwatch",
}
"""``Version`` of an unsigned query request -> service (AssumeRoleWithWebIdentity is unsigned)."""

# -- errors ---------------------------------------------------------------------------------------

ERROR_PREFIXES: dict[str, str] = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#",
    "dynamodbstreams": "com.amazonaws.dynamodb.v20120810#",
    "sqs": "com.amazonaws.sqs#",
}
"""What stands before the code in ``__type``."""

QUERY_ERRORS: dict[str, dict[str, str]] = {
    "sqs": {
        "AccessDenied": "AccessDeniedException",
        "InvalidParameterValue": "InvalidParameterValueException",
        "MissingParameter": "MissingRequiredParameterException",
    },
}
"""Codes of the query wire that the model has no shape for -> what JSON's ``__type`` says instead."""

CORAL_ERRORS: dict[str, str] = {
    "ValidationException": "com.amazon.coral.validate#",
    **dict.fromkeys(
        (
            "AccessDeniedException",
            "ExpiredTokenException",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "InternalFailure",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SerializationException",
            "ServiceUnavailable",
            "ServiceUnavailableException",
            "ThrottlingException",
            "UnknownOperationException",
            "UnrecognizedClientException",
        ),
        "com.amazon.coral.service#",
    ),
}
"""Errors of AWS's framework rather than of DynamoDB, which names them so."""

DYNAMODB_MESSAGES = {"AccessDeniedException": "Message", "SerializationException": "Message"}
"""How these of them spell their message; SDKs read either (recorded from AWS by https://github.com/architect/dynalite)."""

STATUSES: dict[str, int] = {
    "AccessDenied": 403,
    "AuthFailure": 403,
    "ExpiredToken": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "InvalidClientTokenId": 403,
    "NotImplemented": 501,
    "RequestExpired": 403,
    "ServiceUnavailable": 503,
    "ServiceUnavailableException": 503,
    "SignatureDoesNotMatch": 403,
}
"""Statuses of errors common to all services; others are 400."""

REST_STATUSES: dict[str, int] = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestEntityTooLargeException": 413,
    "ThrottlingException": 429,
    "TooManyRequestsException": 429,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
"""Errors common to REST services, which use more of HTTP's statuses than JSON services do."""

S3_STATUSES: dict[str, int] = {
    "AccountProblem": 403,
    "AllAccessDisabled": 403,
    "BucketAlreadyExists": 409,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "ConditionalRequestConflict": 409,
    "CrossLocationLoggingProhibitted": 403,
    "ExpiredToken": 400,
    "InvalidAccessKeyId": 403,
    "InvalidBucketState": 409,
    "InvalidObjectState": 403,
    "InvalidRange": 416,
    "InvalidTag": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchAccessPoint": 404,
    "NoSuchBucket": 404,
    "NoSuchBucketPolicy": 404,
    "NoSuchConfiguration": 404,
    "NoSuchCORSConfiguration": 404,
    "NoSuchKey": 404,
    "NoSuchLifecycleConfiguration": 404,
    "NoSuchObjectLockConfiguration": 404,
    "NoSuchPublicAccessBlockConfiguration": 404,
    "NoSuchTagSet": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NoSuchWebsiteConfiguration": 404,
    "NotModified": 304,
    "NotSignedUp": 403,
    "ObjectLockConfigurationNotFoundError": 404,
    "ObjectNotInActiveTierError": 403,
    "OperationAborted": 409,
    "OwnershipControlsNotFoundError": 404,
    "PermanentRedirect": 301,
    "PreconditionFailed": 412,
    "Redirect": 307,
    "ReplicationConfigurationNotFoundError": 404,
    "RequestTimeTooSkewed": 403,
    "RestoreAlreadyInProgress": 409,
    "ServerSideEncryptionConfigurationNotFoundError": 404,
    "SlowDown": 503,
    "TemporaryRedirect": 307,
}
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; all others are 400."""


def dynamodb_words(message: str) -> str:
    """``NUMBER_VALUE can not be converted to a String`` as DynamoDB says it."""
    return _CONVERTED.sub("cannot be converted to ", message).removesuffix(".")


_CONVERTED = re.compile("can not be converted to an? ")

# -- S3's names -----------------------------------------------------------------------------------

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

S3_HEADERS: dict[str, dict[str, str]] = {
    "GetObject": {"x-amz-server-side-encryption": "ServerSideEncryption", "if-range": "IfRange"},
    "HeadObject": {"x-amz-server-side-encryption": "ServerSideEncryption", "if-range": "IfRange"},
}
"""Headers S3 looks at though the operation's model has no member for them.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html "should not be sent for GET requests"
https://github.com/aws/aws-sdk-kotlin/issues/1645 "S3 handles the If-Range header correctly"
"""

S3_ROOTS: dict[str, str] = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "CreateSession": "CreateSessionResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycle": "LifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotification": "NotificationConfiguration",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBucketAnalyticsConfigurations": "ListBucketAnalyticsConfigurationResult",
    "ListBucketInventoryConfigurations": "ListInventoryConfigurationsResult",
    "ListBucketMetricsConfigurations": "ListMetricsConfigurationsResult",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}
"""Root elements of S3's answers, from each operation's page in the API reference."""

# -- SQS's lost query protocol --------------------------------------------------------------------
# SQS spoke only query until 2023 and still does; the model keeps its names no more.
# https://docs.aws.amazon.com/AWSSimpleQueueService/2012-11-05/APIReference/Welcome.html (version
# before JSON), https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
# sqs-making-api-requests-xml.html

_SQS_NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"

_SQS_LISTS: dict[str, str] = {
    "AWSAccountIdList": "AWSAccountId",
    "ActionNameList": "ActionName",
    "AttributeNameList": "AttributeName",
    "BatchResultErrorEntryList": "BatchResultErrorEntry",
    "BinaryList": "BinaryListValue",
    "ChangeMessageVisibilityBatchRequestEntryList": "ChangeMessageVisibilityBatchRequestEntry",
    "ChangeMessageVisibilityBatchResultEntryList": "ChangeMessageVisibilityBatchResultEntry",
    "DeleteMessageBatchRequestEntryList": "DeleteMessageBatchRequestEntry",
    "DeleteMessageBatchResultEntryList": "DeleteMessageBatchResultEntry",
    "ListMessageMoveTasksResultEntryList": "ListMessageMoveTasksResultEntry",
    "MessageAttributeNameList": "MessageAttributeName",
    "MessageList": "Message",
    "MessageSystemAttributeList": "MessageSystemAttributeName",
    "QueueUrlList": "QueueUrl",
    "SendMessageBatchRequestEntryList": "SendMessageBatchRequestEntry",
    "SendMessageBatchResultEntryList": "SendMessageBatchResultEntry",
    "StringList": "StringListValue",
    "TagKeyList": "TagKey",
}
"""Flattened list -> name of its elements, which replaces the member's own."""

_SQS_MAPS: dict[str, tuple[str, str, str]] = {
    "MessageBodyAttributeMap": ("MessageAttribute", "Name", "Value"),
    "MessageBodySystemAttributeMap": ("MessageSystemAttribute", "Name", "Value"),
    "MessageSystemAttributeMap": ("Attribute", "Name", "Value"),
    "QueueAttributeMap": ("Attribute", "Name", "Value"),
    "TagMap": ("Tag", "Key", "Value"),
}
"""Flattened map -> names of its entries, keys and values."""

QUERY_MESSAGES = {
    "The specified queue does not exist.": "The specified queue does not exist for this wsdl version.",
}
"""Messages that SQS words differently in its older protocol."""

_SQS_ERRORS: dict[str, tuple[str, int]] = {
    "BatchEntryIdsNotDistinct": ("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", 400),
    "BatchRequestTooLong": ("AWS.SimpleQueueService.BatchRequestTooLong", 400),
    "EmptyBatchRequest": ("AWS.SimpleQueueService.EmptyBatchRequest", 400),
    "InvalidBatchEntryId": ("AWS.SimpleQueueService.InvalidBatchEntryId", 400),
    "KmsAccessDenied": ("KMS.AccessDeniedException", 400),
    "KmsDisabled": ("KMS.DisabledException", 400),
    "KmsInvalidKeyUsage": ("KMS.InvalidKeyUsageException", 400),
    "KmsInvalidState": ("KMS.InvalidStateException", 400),
    "KmsNotFound": ("KMS.NotFoundException", 400),
    "KmsOptInRequired": ("KMS.OptInRequired", 403),
    "KmsThrottled": ("KMS.ThrottlingException", 400),
    "MessageNotInflight": ("AWS.SimpleQueueService.MessageNotInflight", 400),
    "OverLimit": ("OverLimit", 403),
    "PurgeQueueInProgress": ("AWS.SimpleQueueService.PurgeQueueInProgress", 403),
    "QueueDeletedRecently": ("AWS.SimpleQueueService.QueueDeletedRecently", 400),
    "QueueDoesNotExist": ("AWS.SimpleQueueService.NonExistentQueue", 400),
    "QueueNameExists": ("QueueAlreadyExists", 400),
    "RequestThrottled": ("RequestThrottled", 403),
    "ResourceNotFoundException": ("ResourceNotFoundException", 404),
    "TooManyEntriesInBatchRequest": ("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", 400),
    "UnsupportedOperation": ("AWS.SimpleQueueService.UnsupportedOperation", 400),
}
"""Error shape -> (code on the query wire and in ``x-amzn-query-error``, status there)."""


def apply(service: str, raw: dict[str, Any]) -> None:
    """Mend a freshly read model in place."""
    if service == "sqs":
        _restore_sqs_query(raw)
    elif service == "kinesis":
        raw["metadata"]["protocols"] = ["json", "amz-cbor"]


def _restore_sqs_query(raw: dict[str, Any]) -> None:
    shapes = raw["shapes"]
    raw["metadata"]["protocols"] = ["json", "query"]
    raw["metadata"]["xmlNamespace"] = _SQS_NAMESPACE
    for name, element in _SQS_LISTS.items():
        if name in shapes:
            shapes[name].update(flattened=True, queryName=element)
    for name, (entry, key, value) in _SQS_MAPS.items():
        if name in shapes:
            shapes[name].update(flattened=True, queryName=entry, queryKey=key, queryValue=value)
    for name, (code, status) in _SQS_ERRORS.items():
        if name in shapes:
            shapes[name]["error"] = {"code": code, "httpStatusCode": status}
    for name, operation in raw["operations"].items():
        if "output" in operation:
            operation["output"] = {**operation["output"], "resultWrapper": f"{name}Result"}
