"""``$context``: what API Gateway says about a request besides the request itself.

Source  https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-variables-for-access-logging.html
        the keys of a proxy event as recorded against AWS by LocalStack (test_lambda_aws_proxy_integration)
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from stratolite.service import Call, Principal
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.routing import Match

Context = dict[str, Any]
_IDENTITY = ("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType",
             "cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId")  # fmt: skip


def new_context(
    call: Call, account: str, api: str, stage: dict[str, Any], incoming: Incoming
) -> Context:
    now_s = call.world.cloud()
    moment = datetime.fromtimestamp(now_s, UTC)
    identity: Context = dict.fromkeys(_IDENTITY)
    identity |= {
        "sourceIp": incoming.peer,
        "user": None,
        "userAgent": incoming.header("user-agent"),
        "userArn": None,
    }
    return {
        "accountId": account,
        "apiId": api,
        "deploymentId": stage["deploymentId"],
        "domainName": incoming.header("host") or "",
        "domainPrefix": api,
        "extendedRequestId": extended_id(call),
        "httpMethod": incoming.method,
        "identity": identity,
        "path": incoming.raw_path,
        "protocol": "HTTP/1.1",
        "requestId": call.request_id,
        "requestTime": moment.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now_s * 1000),
        "stage": stage["stageName"],
    }


def add_match(context: Context, match: Match) -> None:
    context["resourceId"] = match.resource["id"]
    context["resourcePath"] = match.resource["path"]
    if match.method.get("operationName"):
        context["operationName"] = match.method["operationName"]


def add_caller(context: Context, who: Principal) -> None:
    """Of a signed request, where the method wants one."""
    context["identity"] |= {
        "accessKey": who.access_key_id,
        "accountId": who.account,
        "caller": who.user_id,
        "user": who.user_id,
        "userArn": who.arn,
    }


def extended_id(call: Call) -> str:
    """As AWS writes it: eleven bytes in base64."""
    return base64.b64encode(call.world.token(11)).decode()


def trace_header(call: Call, incoming: Incoming) -> str:
    """``X-Amzn-Trace-Id``: the caller's, or a new root.

    https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
    """
    given = incoming.header("x-amzn-trace-id")
    if given and "Root=" in given:
        return given
    token = call.world.token(12).hex()
    return f"Root=1-{int(call.world.wall()):08x}-{token}"
