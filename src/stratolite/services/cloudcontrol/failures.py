"""What a handler's fault is in Cloud Control's terms: one of its error codes, and the exception of that code.

Source  https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-test-contract-errors.html
"""

from __future__ import annotations

from stratolite.errors import Fault
from stratolite.service import Resource

_PARTS = (
    ("AccessDenied", "AccessDenied"),
    ("NotAuthorized", "AccessDenied"),
    ("UnauthorizedOperation", "AccessDenied"),
    ("AlreadyExist", "AlreadyExists"),
    ("EntityExists", "AlreadyExists"),
    ("ResourceExists", "AlreadyExists"),
    ("AlreadyOwnedByYou", "AlreadyExists"),
    ("NameExists", "AlreadyExists"),
    ("ResourceInUse", "ResourceConflict"),
    ("Conflict", "ResourceConflict"),
    ("Throttl", "Throttling"),
    ("TooManyRequests", "Throttling"),
    ("LimitExceeded", "ServiceLimitExceeded"),
    ("QuotaExceeded", "ServiceLimitExceeded"),
    ("NotFound", "NotFound"),
    ("NoSuch", "NotFound"),
    ("DoesNotExist", "NotFound"),
    ("Invalid", "InvalidRequest"),
    ("Validation", "InvalidRequest"),
    ("Malformed", "InvalidRequest"),
    ("BadRequest", "InvalidRequest"),
    ("MissingParameter", "InvalidRequest"),
)
"""What stands in a service's error code -> Cloud Control's."""
_EXCEPTIONS = {
    "AccessDenied": "AccessDeniedException",
    "AlreadyExists": "AlreadyExistsException",
    "NotFound": "ResourceNotFoundException",
    "ResourceConflict": "ResourceConflictException",
    "Throttling": "ThrottlingException",
    "ServiceLimitExceeded": "ServiceLimitExceededException",
    "InvalidRequest": "InvalidRequestException",
    "NotStabilized": "NotStabilizedException",
    "InternalFailure": "HandlerInternalFailureException",
}


def code_of(handler: Resource, fault: Fault, operation: str) -> str:
    """A HandlerErrorCode."""
    if fault.code in handler.gone:
        return "NotFound"
    if operation == "CREATE" and fault.code == "ResourceInUseException":
        return "AlreadyExists"  # of DynamoDB and Kinesis
    return next(
        (code for part, code in _PARTS if part in fault.code),
        "GeneralServiceException",
    )


def told(handler: Resource, message: str, token: str, code: str) -> str:
    return f"{handler.type} Handler returned status FAILED: {message} (HandlerErrorCode: {code}, RequestToken: {token})"


def missing(handler: Resource, identifier: str) -> str:
    return f"Resource of type '{handler.type}' with identifier '{identifier}' was not found."


def exception(handler: Resource, message: str, token: str, code: str) -> Fault:
    """The answer of an operation that waits for its handler."""
    name = _EXCEPTIONS.get(code, "GeneralServiceException")
    status = 404 if code == "NotFound" else 400
    return Fault(name, told(handler, message, token, code), status=status)
