"""Who may call: the API's policy, IAM, and what a Lambda authorizer says.

Sources https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
        https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-authorization-flow.html
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from stratolite import allowed_pattern
from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.policy import Document, Malformed, Question, decide
from stratolite.service import Call
from stratolite.services.apigateway.authorizers import identity_sources
from stratolite.services.apigateway.context import Context
from stratolite.services.apigateway.incoming import Incoming
from stratolite.services.apigateway.parameters import request_value
from stratolite.services.apigateway.refusals import Refusal
from stratolite.services.apigateway.targets import function_text, with_variables

INVOKE = "execute-api:Invoke"
_KEPT_COUNT_MAX = 4096
_TIMEOUT_S = 29.0
_log = logging.getLogger("stratolite.apigateway")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an authorizer said of a caller."""

    policy: Document
    context: Context
    """For ``$context.authorizer``: principalId and what the function adds, as texts."""
    key: str | None
    """``usageIdentifierKey``: the caller's API key, where the API takes it from its authorizer."""


class Verdicts:
    """Authorizers' answers, kept as long as their TTL says by the cloud clock, the oldest dropped first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kept: OrderedDict[tuple[str, ...], tuple[float, Verdict]] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> Verdict | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._world.cloud():
            del self._kept[key]
            return None
        return found[1]

    def put(self, key: tuple[str, ...], verdict: Verdict, ttl_s: int) -> None:
        self._kept[key] = (self._world.cloud() + ttl_s, verdict)
        self._kept.move_to_end(key)
        while len(self._kept) > _KEPT_COUNT_MAX:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked about: a request for one method of one stage."""

    call: Call
    incoming: Incoming
    context: Context
    variables: dict[str, str]
    arn: str
    """arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH"""
    policy: str | None
    """The API's resource policy."""
    flushed: int
    """How often the stage's kept verdicts were thrown away."""


def check_policy(asking: Asking) -> None:
    """Of a method without authorization: the API's policy alone, and only if there is one. Raises Refusal."""
    if asking.policy is None:
        return
    decision = decide(
        _question(asking, "anonymous"),
        resource_policy=_policy(asking.policy),
    )
    if not decision.allowed:
        raise denied("anonymous", asking.arn, explicit=decision.by is not None)


async def ask(verdicts: Verdicts, authorizer: dict[str, Any], asking: Asking) -> Verdict:
    """What the authorizer's function says, or said. Raises Refusal for everything but an allow."""
    values = [
        request_value(source, asking.incoming, asking.context, asking.variables)
        for source in identity_sources(authorizer)
    ]
    wanted = authorizer["type"] == "TOKEN" or authorizer["authorizerResultTtlInSeconds"]
    if wanted and not all(values):
        raise Refusal("UNAUTHORIZED")
    if authorizer["type"] == "TOKEN":
        _check_token(authorizer, values[0] or "")
    if asking.policy is not None:
        _check_denial(asking)
    ttl_s = authorizer["authorizerResultTtlInSeconds"]
    api, stage = asking.context["apiId"], asking.context["stage"]
    edition = f"{asking.context['deploymentId']}/{asking.flushed}"
    key = (api, stage, authorizer["id"], edition, *(value or "" for value in values))
    verdict = verdicts.get(key) if ttl_s else None
    latency_ms = 0
    if verdict is None:
        world = asking.call.world
        began_s = world.mono()
        verdict = await _invoke(authorizer, asking, values)
        latency_ms = int((world.mono() - began_s) * 1000)
        if ttl_s:
            verdicts.put(key, verdict, ttl_s)
    _judge(verdict, asking)
    asking.context["authorizer"] = {**verdict.context, "integrationLatency": latency_ms}
    return verdict


def _check_token(authorizer: dict[str, Any], token: str) -> None:
    expression = authorizer.get("identityValidationExpression")
    if not expression:
        return
    try:
        if allowed_pattern.matches(allowed_pattern.read(expression), token):
            return
    except allowed_pattern.Refused as error:
        _log.info("identityValidationExpression %s: %s", expression, error)
    raise Refusal("UNAUTHORIZED")


def _check_denial(asking: Asking) -> None:
    """An explicit deny of the API's policy ends it before the function is asked."""
    policy = _policy(asking.policy or "")
    decision = decide(_question(asking, "anonymous"), resource_policy=policy)
    if decision.by is not None and not decision.allowed:
        raise denied("anonymous", asking.arn, explicit=True)


def _judge(verdict: Verdict, asking: Asking) -> None:
    """The function's policy and the API's together, as in one account: an allow of either is enough."""
    policy = _policy(asking.policy) if asking.policy else None
    decision = decide(
        _question(asking, "authorized"), identity=(verdict.policy,), resource_policy=policy
    )
    if decision.allowed:
        return
    words = "User is not authorized to access this resource"
    if decision.by is not None:
        words += " with an explicit deny"
    raise Refusal("ACCESS_DENIED", words)


@lru_cache(maxsize=256)
def _policy(text: str) -> Document:
    return Document.parse(text, has_principal=True)


def _question(asking: Asking, kind: str) -> Question:
    context = {name.lower(): [value] for name, value in asking.call.context.items()}
    who = f"arn:aws:iam::{asking.call.account}:authorized" if kind != "anonymous" else ""
    account = asking.call.account
    return Question(kind, account if who else "", who, "", INVOKE, asking.arn, account, context)


def denied(who: str, arn: str, *, explicit: bool) -> Refusal:
    """In AWS's words, which hide most of the account."""
    parts = arn.split(":", 5)
    parts[4] = f"********{parts[4][-4:]}"
    words = f"User: {who} is not authorized to perform: {INVOKE} on resource: {':'.join(parts)}"
    return Refusal("ACCESS_DENIED", words + (" with an explicit deny" if explicit else ""))


async def _invoke(authorizer: dict[str, Any], asking: Asking, values: list[str | None]) -> Verdict:
    function = with_variables(function_text(authorizer["authorizerUri"]) or "", asking.variables)
    call, account = asking.call, asking.call.account
    source = f"arn:aws:execute-api:{call.region}:{account}:{asking.context['apiId']}/authorizers/{authorizer['id']}"
    request = {
        "FunctionName": function,
        "Payload": orjson.dumps(_event(authorizer, asking, values)),
    }
    try:
        role = authorizer.get("authorizerCredentials")
        name = "apigateway.amazonaws.com"
        if role:
            hop = await call.as_role(role, name, source, "BackplaneAssumeRoleSession")
        else:
            hop = call.as_service(name, source)
        answer = await asyncio.wait_for(hop.request("lambda", "Invoke", request), _TIMEOUT_S)
    except (Fault, TimeoutError) as error:
        _log.info("authorizer %s cannot be asked: %s", authorizer["name"], error)
        raise Refusal("AUTHORIZER_CONFIGURATION_ERROR") from error
    payload = bytes(answer.get("Payload") or b"")
    if answer.get("FunctionError"):
        if _message(payload) == "Unauthorized":
            raise Refusal("UNAUTHORIZED")
        raise Refusal("AUTHORIZER_FAILURE")
    return _read(payload)


def _message(payload: bytes) -> str:
    try:
        said = orjson.loads(payload)
    except ValueError:
        return ""
    return str(said.get("errorMessage", "")) if isinstance(said, dict) else ""


def _event(authorizer: dict[str, Any], asking: Asking, values: list[str | None]) -> dict[str, Any]:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-input.html"""
    incoming, context = asking.incoming, asking.context
    if authorizer["type"] == "TOKEN":
        return {
            "type": "TOKEN",
            "methodArn": asking.arn,
            "authorizationToken": values[0],
        }
    return {
        "type": "REQUEST",
        "methodArn": asking.arn,
        "resource": context["resourcePath"],
        "path": incoming.path,
        "httpMethod": incoming.method,
        "headers": incoming.single_headers(),
        "multiValueHeaders": incoming.headers,
        "queryStringParameters": incoming.single_query(),
        "multiValueQueryStringParameters": incoming.query,
        "pathParameters": incoming.parameters,
        "stageVariables": asking.variables,
        "requestContext": context,
    }


def _read(payload: bytes) -> Verdict:
    """https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html"""
    try:
        said = orjson.loads(payload)
        policy = Document.parse(orjson.dumps(_of_something(said["policyDocument"])).decode())
        added = said.get("context") or {}
        principal = said["principalId"]
        if not isinstance(principal, str) or any(
            isinstance(v, dict | list) for v in added.values()
        ):
            raise ValueError("principalId is a text, and context has no objects")
    except (ValueError, KeyError, TypeError, AttributeError, Malformed) as error:
        _log.info("an authorizer's answer is not of the form: %s", error)
        raise Refusal("AUTHORIZER_CONFIGURATION_ERROR") from error
    context = {name: _text(value) for name, value in added.items()}
    return Verdict(policy, {"principalId": principal, **context}, said.get("usageIdentifierKey"))


def _of_something(policy: dict[str, Any]) -> dict[str, Any]:
    """Without statements about no resource at all, as Chalice writes them to say no: they are no fault on AWS.

    https://aws.github.io/chalice/topics/authorizers.html
    """
    statements = policy["Statement"]
    listed = statements if isinstance(statements, list) else [statements]
    return {**policy, "Statement": [one for one in listed if one.get("Resource") != []]}


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
