"""What an integration points at: a function, named whole or by API Gateway's path to it."""

from __future__ import annotations

import re

_LAMBDA_URI = re.compile(
    r"arn:aws:apigateway:[a-z0-9-]+:lambda:path/2015-03-31/functions/(arn:aws:lambda:[^/]+)/invocations\Z"
)
_LAMBDA_ARN = re.compile(r"arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[^/]+\Z")


def function_arn(uri: str) -> str | None:
    """The function behind an integration URI, given whole or as API Gateway's path to it."""
    if found := _LAMBDA_URI.match(uri):
        return found[1]
    return uri if _LAMBDA_ARN.match(uri) else None
