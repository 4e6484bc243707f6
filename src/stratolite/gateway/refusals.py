"""Why a request is not believed, in the words AWS uses for each kind of protocol.

The kinds: ``s3`` (REST-XML of S3), ``json`` (JSON and CBOR RPC: DynamoDB, Kinesis), ``query`` (IAM, STS,
CloudFormation) and ``rest`` (Lambda, API Gateway, which a front proxy answers for).

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

from __future__ import annotations

from typing import Any

from stratolite.errors import Fault

_NOT_MATCHING = (
    "The request signature we calculated does not match the signature you provided. "
    "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
)
_NOT_MATCHING_S3 = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
_INVALID_TOKEN = "The security token included in the request is invalid."  # noqa: S105 - AWS's words
_EXPIRED_TOKEN = "The security token included in the request is expired"  # noqa: S105 - AWS's words
_MISSING = "Request is missing Authentication Token"

# why -> kind -> (code, status, message); "{why}" stands for the words of whoever refused
_WORDS: dict[str, dict[str, tuple[str, int, str]]] = {
    "unknown-key": {
        "s3": (
            "InvalidAccessKeyId",
            403,
            "The AWS Access Key Id you provided does not exist in our records.{hint}",
        ),
        "json": ("UnrecognizedClientException", 400, _INVALID_TOKEN + "{hint}"),
        "query": ("InvalidClientTokenId", 403, _INVALID_TOKEN + "{hint}"),
        "rest": ("UnrecognizedClientException", 403, _INVALID_TOKEN + "{hint}"),
    },
    "mismatch": {
        "s3": (
            "SignatureDoesNotMatch",
            403,
            _NOT_MATCHING_S3 + "{hint}",
        ),
        "json": ("InvalidSignatureException", 400, _NOT_MATCHING + "{hint}"),
        "query": ("SignatureDoesNotMatch", 403, _NOT_MATCHING + "{hint}"),
        "rest": ("InvalidSignatureException", 403, _NOT_MATCHING + "{hint}"),
    },
    "skewed": {
        "s3": (
            "RequestTimeTooSkewed",
            403,
            "The difference between the request time and the current time is too large.",
        ),
        "json": ("InvalidSignatureException", 400, "{why}"),
        "query": ("SignatureDoesNotMatch", 403, "{why}"),
        "rest": ("InvalidSignatureException", 403, "{why}"),
    },
    "expired-url": {
        "s3": ("AccessDenied", 403, "Request has expired"),
        "json": ("InvalidSignatureException", 400, "{why}"),
        "query": ("SignatureDoesNotMatch", 403, "{why}"),
        "rest": ("InvalidSignatureException", 403, "{why}"),
    },
    "expired-token": {
        "s3": ("ExpiredToken", 400, "The provided token has expired."),
        "json": ("ExpiredTokenException", 400, _EXPIRED_TOKEN),
        "query": ("ExpiredToken", 403, _EXPIRED_TOKEN),
        "rest": ("ExpiredTokenException", 403, _EXPIRED_TOKEN),
    },
    "missing": {
        "s3": ("AccessDenied", 403, "Access Denied"),
        "json": ("MissingAuthenticationTokenException", 400, _MISSING),
        "query": ("MissingAuthenticationToken", 403, _MISSING),
        "rest": ("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
    },
    "incomplete": {
        "s3": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed; {why}"),
        "json": ("IncompleteSignatureException", 400, "{why}"),
        "query": ("IncompleteSignature", 400, "{why}"),
        "rest": ("IncompleteSignatureException", 403, "{why}"),
    },
    "incomplete-url": {
        "s3": ("AuthorizationQueryParametersError", 400, "{why}"),
        "json": ("IncompleteSignatureException", 400, "{why}"),
        "query": ("IncompleteSignature", 400, "{why}"),
        "rest": ("IncompleteSignatureException", 403, "{why}"),
    },
    "unsigned-headers": {
        "s3": (
            "AccessDenied",
            403,
            "There were headers present in the request which were not signed",
        ),
        "json": ("InvalidSignatureException", 400, "{why}"),
        "query": ("SignatureDoesNotMatch", 403, "{why}"),
        "rest": ("InvalidSignatureException", 403, "{why}"),
    },
    "mechanism": {
        "s3": ("InvalidRequest", 400, "{why}"),
        "json": ("IncompleteSignatureException", 400, "{why}"),
        "query": ("IncompleteSignature", 400, "{why}"),
        "rest": ("IncompleteSignatureException", 403, "{why}"),
    },
    "wrong-scope": {
        "s3": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed; {why}"),
        "json": ("InvalidSignatureException", 400, "{why}"),
        "query": ("SignatureDoesNotMatch", 403, "{why}"),
        "rest": ("InvalidSignatureException", 403, "{why}"),
    },
}

HINT = (
    " (Keys that work here: test/test is root of account 000000000000, a 12-digit account id with the secret "
    "test is root of that account, from this machine only; and the keys made in IAM.)"
)
_S3_FAMILY = frozenset({"s3", "s3control"})
_KINDS = {"query": "query", "ec2": "query", "rest-json": "rest", "rest-xml": "rest"}


class Refused(Exception):
    """A signature that is not believed; ``fault(service, protocol)`` words it."""

    def __init__(self, why: str, words: str = "", *, hint: str = "", **members: Any) -> None:
        super().__init__(why, words)
        self.why, self.words, self.hint, self.members = why, words, hint, members

    def fault(self, service: str, protocol: str) -> Fault:
        kind = "s3" if service in _S3_FAMILY else _KINDS.get(protocol, "json")
        code, status, message = _WORDS[self.why][kind]
        message = message.replace("{why}", self.words).replace("{hint}", self.hint)
        return Fault(code, message, status=status, **(self.members if kind == "s3" else {}))
