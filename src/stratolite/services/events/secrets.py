"""The secret that a connection has in Secrets Manager, events!connection/NAME/UUID, as far as that service is offered.

It is written when the connection is, and goes with it; what is sent to a destination is the connection's own copy.

Sources  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-target-connection.html
         https://docs.aws.amazon.com/secretsmanager/latest/userguide/service-linked-secrets.html
         secrets recorded from AWS in localstack/localstack, tests/aws/services/events/test_api_destinations_and_connection.snapshot.json
"""

from __future__ import annotations

from typing import Any

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, root
from stratolite.services.events import state

_KINDS = {"HeaderParameters": "header_parameters", "QueryStringParameters": "query_string_parameters", "BodyParameters": "body_parameters"}  # fmt: skip


def keep(call: Call, name: str, record: state.Record, parameters: dict[str, Any]) -> None:
    """The parameters as the connection's secret; ``record`` is told its ARN."""
    if "secretsmanager" not in call.cloud.services:
        return
    text = orjson.dumps(_said(record["type"], parameters)).decode()
    own, token = _platform(call), call.world.uuid()
    if arn := record.get("secret"):
        ask = {"SecretId": arn, "SecretString": text, "ClientRequestToken": token}
        try:
            own.invoke("secretsmanager", "PutSecretValue", ask)
        except Fault as fault:
            if fault.code not in ("ResourceNotFoundException", "InvalidRequestException"):
                raise
        else:
            return
    made = f"events!connection/{name}/{call.world.uuid()}"
    ask = {"Name": made, "SecretString": text, "ClientRequestToken": token}
    record["secret"] = own.invoke("secretsmanager", "CreateSecret", ask)["ARN"]


def drop(call: Call, record: state.Record) -> None:
    if arn := record.pop("secret", None):
        ask = {"SecretId": arn, "ForceDeleteWithoutRecovery": True}
        _platform(call).invoke("secretsmanager", "DeleteSecret", ask)


def _platform(call: Call) -> Call:
    """On AWS a service-linked role does it, which nobody makes here."""
    return call.scoped(call.account, call.region, root(call.account))


def _said(kind: str, parameters: dict[str, Any]) -> dict[str, Any]:
    if kind == "BASIC":
        basic = parameters["BasicAuthParameters"]
        made = {"username": basic["Username"], "password": basic["Password"]}
    elif kind == "API_KEY":
        key = parameters["ApiKeyAuthParameters"]
        made = {"api_key_name": key["ApiKeyName"], "api_key_value": key["ApiKeyValue"]}
    else:
        oauth = parameters["OAuthParameters"]
        made = {
            "client_id": oauth["ClientParameters"]["ClientID"],
            "client_secret": oauth["ClientParameters"]["ClientSecret"],
            "authorization_endpoint": oauth["AuthorizationEndpoint"],
            "http_method": oauth["HttpMethod"],
        }
        if "OAuthHttpParameters" in oauth:
            made["oauth_http_parameters"] = _http(oauth["OAuthHttpParameters"])
    if "InvocationHttpParameters" in parameters:
        made["invocation_http_parameters"] = _http(parameters["InvocationHttpParameters"])
    return made


def _http(given: dict[str, Any]) -> dict[str, Any]:
    return {
        ours: [
            {"key": one.get("Key"), "value": one.get("Value"), "is_value_secret": bool(one.get("IsValueSecret"))}
            for one in given[theirs]
        ]
        for theirs, ours in _KINDS.items()
        if given.get(theirs)
    }  # fmt: skip
