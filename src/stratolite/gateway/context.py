"""The condition keys of IAM that only the front door knows, worked out when somebody asks.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import parse_qsl

from stratolite.gateway.auth import SANDBOX
from stratolite.gateway.hosts import is_loopback
from stratolite.gateway.sigv4 import ALGORITHM
from stratolite.http import HttpRequest


class Context(Mapping[str, str]):
    """Condition keys of a request, made when somebody asks."""

    __slots__ = ("_request", "source")
    _NAMES = ("aws:SourceIp", "aws:SecureTransport", "aws:UserAgent", "aws:Referer")

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self.source = request.peer if request.peer != SANDBOX else ""
        """aws:SourceIp, "" where there is none: for the trail, which keeps it of every call."""

    def __getitem__(self, name: str) -> str:
        request = self._request
        if name == "aws:SourceIp":
            if request.peer == SANDBOX:  # as through a VPC endpoint: there is no such address
                raise KeyError(name)
            return request.peer
        if name == "aws:SecureTransport":
            return "true" if request.scheme == "https" or _stays_here(request.peer) else "false"
        if name == "aws:UserAgent":
            return request.headers["user-agent"]
        if name == "aws:Referer":
            return request.headers["referer"]
        if name.startswith("s3:"):
            return _of_s3(request, name)
        raise KeyError(name)

    def __bool__(self) -> bool:
        return True  # without asking for each name, as ``or`` would

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._NAMES if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        try:
            self[name]  # type: ignore[index]
        except KeyError:
            return False
        return True


def _of_s3(request: HttpRequest, name: str) -> str:
    """What S3 asks of a signature for its own keys, by their names; of s3:signatureAge, when it was made (seconds).

    https://docs.aws.amazon.com/AmazonS3/latest/API/bucket-policy-s3-sigv4-conditions.html
    """
    if name == "s3:x-amz-content-sha256":
        return request.headers["x-amz-content-sha256"]
    authorization = request.headers.get("authorization")
    asked = dict(parse_qsl(request.query)) if "Signature=" in request.query else {}
    if name == "s3:authType":
        if authorization is not None:
            return "REST-HEADER"
        if asked:
            return "REST-QUERY-STRING"
        if request.method == "POST" and request.headers.get("content-type", "").startswith(
            "multipart/form-data"
        ):
            return "POST"
    elif name == "s3:signatureversion":
        if authorization is not None:
            return "AWS" if authorization.startswith("AWS ") else ALGORITHM
        if asked:
            return asked.get("X-Amz-Algorithm", "AWS")
    elif name == "s3:signatureAge" and "X-Amz-Date" in asked:
        made = datetime.strptime(asked["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
        return str(made.timestamp())
    raise KeyError(name)


def _stays_here(peer: str) -> bool:
    """Whether what ``peer`` says never leaves this machine: docs/decisions/0027-secure-transport.md."""
    return peer == SANDBOX or is_loopback(peer)
