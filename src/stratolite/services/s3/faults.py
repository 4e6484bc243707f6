"""S3's errors, word for word: one function or constant per answer.

Source  https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

from stratolite.errors import Fault


def no_such_bucket(bucket: str) -> Fault:
    return Fault(
        "NoSuchBucket", "The specified bucket does not exist", status=404, BucketName=bucket
    )


def no_such_key(key: str) -> Fault:
    return Fault("NoSuchKey", "The specified key does not exist.", status=404, Key=key)


def no_such_upload(upload_id: str) -> Fault:
    return Fault(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
        "been aborted or completed.",
        status=404,
        UploadId=upload_id,
    )


def access_denied() -> Fault:
    return Fault("AccessDenied", "Access Denied", status=403)


def invalid_argument(message: str, name: str, value: object) -> Fault:
    return Fault(
        "InvalidArgument", message, status=400, ArgumentName=name, ArgumentValue=str(value)
    )


def invalid_argument_alone(message: str, name: str) -> Fault:
    """Of an argument whose value AWS does not repeat."""
    return Fault("InvalidArgument", message, status=400, ArgumentName=name)


def invalid_request(message: str) -> Fault:
    return Fault("InvalidRequest", message, status=400)


def malformed_xml() -> Fault:
    return Fault(
        "MalformedXML",
        "The XML you provided was not well-formed or did not validate against our published schema",
        status=400,
    )


def precondition_failed(condition: str) -> Fault:
    return Fault(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        status=412,
        Condition=condition,
    )


def not_offered(what: str) -> Fault:
    """For a member of an offered operation that we would otherwise have to ignore."""
    return Fault("NotImplemented", f"S3 {what} is not offered by Stratolite", status=501)


def header_not_implemented(header: str, more: str) -> Fault:
    return Fault(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        status=501,
        Header=header,
        additionalMessage=more,
    )


def conflict(condition: str, key: str) -> Fault:
    return Fault(
        "ConditionalRequestConflict",
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
        status=409,
        Condition=condition,
        Key=key,
    )


def invalid_range(requested: str, size_bytes: int) -> Fault:
    return Fault(
        "InvalidRange",
        "The requested range is not satisfiable",
        status=416,
        RangeRequested=requested,
        ActualObjectSize=str(size_bytes),
    )


def entity_too_large(size_bytes: int, most: int) -> Fault:
    return Fault(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
        status=400,
        ProposedSize=str(size_bytes),
        MaxSizeAllowed=str(most),
    )
