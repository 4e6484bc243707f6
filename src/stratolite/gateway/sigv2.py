"""Signature Version 2 of S3: weak, still what boto3 presigns with, and to be switched off (``allow_sigv2``).

Weak: HMAC-SHA1 with the secret itself, no region, no body, and only ``x-amz-*``, Content-MD5, Content-Type
and the date of the headers are signed.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTAuthentication.html
"""

from __future__ import annotations

import base64
import calendar
import hmac
from collections.abc import Mapping
from email.utils import parsedate
from typing import NamedTuple
from urllib.parse import unquote

from stratolite.errors import Fault
from stratolite.gateway.refusals import Refused
from stratolite.http import HttpRequest
from stratolite.limits import CLOCK_SKEW_S_MAX

_SUBRESOURCES = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "encryption",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "retention",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)


class WeakClaim(NamedTuple):
    key_id: str
    signature: str
    expires: str
    """Seconds since the epoch of a signed URL, empty for a signed header."""
    amz: Mapping[str, str]
    """``x-amz-*`` sent in the query, which count as headers."""

    @property
    def token(self) -> str | None:
        return self.amz.get("x-amz-security-token")


def weak_claim(request: HttpRequest) -> WeakClaim | None:
    """None if ``request`` is not signed so. Raises Fault for half a signature."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        if not authorization.startswith("AWS "):
            raise Fault("InvalidArgument", "Unsupported Authorization Type", status=400)
        key_id, colon, signature = authorization[4:].rpartition(":")
        if not colon or not key_id:
            raise Fault(
                "InvalidArgument",
                "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature",
                status=400,
            )
        amz = {}
        if token := request.headers.get("x-amz-security-token"):
            amz["x-amz-security-token"] = token
        return WeakClaim(key_id, signature, "", amz)
    if "AWSAccessKeyId=" not in request.query:
        return None
    pairs: dict[str, str] = {}
    amz = {}
    for pair in request.query.split("&"):
        name, _, value = pair.partition("=")
        name, value = unquote(name), unquote(value)
        if name in ("AWSAccessKeyId", "Signature", "Expires"):
            if name in pairs:
                raise Fault(
                    "InvalidArgument", f"{name} must not be given more than once", status=400
                )
            pairs[name] = value
        elif name.startswith("x-amz-"):
            amz[name] = value
    if len(pairs) != 3:
        raise Fault(
            "AccessDenied",
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
            status=403,
        )
    return WeakClaim(pairs["AWSAccessKeyId"], pairs["Signature"], pairs["Expires"], amz)


def check_time(request: HttpRequest, claim: WeakClaim, now_s: float) -> None:
    """Raises Fault."""
    if claim.expires:
        if not (claim.expires.isascii() and claim.expires.isdigit() and len(claim.expires) < 16):
            raise Fault(
                "AccessDenied",
                f"Invalid date (should be seconds since epoch): {claim.expires}",
                status=403,
            )
        if now_s > int(claim.expires):
            raise Fault("AccessDenied", "Request has expired", status=403)
        return
    headers = request.headers
    parsed = parsedate(headers.get("x-amz-date", headers.get("date", "")))
    sent_s = -1 if parsed is None else calendar.timegm(parsed)
    if sent_s < 0:  # nor was there a day before the epoch (ceph/s3-tests, bad_date_before_epoch)
        raise Fault(
            "AccessDenied",
            "AWS authentication requires a valid Date or x-amz-date header",
            status=403,
        )
    if abs(now_s - sent_s) > CLOCK_SKEW_S_MAX:
        raise Fault(
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            status=403,
        )


def check_signature(request: HttpRequest, claim: WeakClaim, secret: str) -> None:
    """``request.path`` in path form, bucket first. Raises Refused."""
    headers = request.headers
    amz = {n: v for n, v in headers.items() if n.startswith("x-amz-")}
    for name, value in claim.amz.items():
        amz[name] = f"{amz[name]},{value}" if name in amz and claim.expires else value
    date = claim.expires or ("" if "x-amz-date" in amz else headers.get("date", ""))
    lines = [
        request.method,
        headers.get("content-md5", ""),
        headers.get("content-type", ""),
        date,
        *(f"{name}:{' '.join(amz[name].split())}" for name in sorted(amz)),
    ]
    given = claim.signature.encode("latin-1", "replace")
    # a bucket's own resource is /bucket or /bucket/, whichever the client took it for
    paths = [request.path] + ([f"{request.path}/"] if request.path.count("/") == 1 else [])
    rest = _subresources(request.query)
    if not any(
        hmac.compare_digest(_signed([*lines, path + rest], secret), given) for path in paths
    ):
        raise Refused("mismatch", AWSAccessKeyId=claim.key_id, SignatureProvided=claim.signature)


def _signed(lines: list[str], secret: str) -> bytes:
    text = "\n".join(lines).encode("latin-1", "replace")
    return base64.b64encode(hmac.digest(secret.encode(), text, "sha1"))


def _subresources(query: str) -> str:
    if not query:
        return ""
    kept = []
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if name in _SUBRESOURCES:
            kept.append((name, f"{name}={unquote(value)}" if equals else name))
    kept.sort(key=lambda pair: pair[0])
    return "?" + "&".join(text for _, text in kept) if kept else ""
