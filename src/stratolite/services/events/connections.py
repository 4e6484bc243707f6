"""Connections and API destinations: where events go by HTTP, and how they prove themselves there. ``destinations`` sends them.

What a connection proves itself with is sealed by the vault and never answered. ``secrets`` keeps it in Secrets Manager, too;
``authorizing`` gets the tokens of OAuth connections.
"""

from __future__ import annotations

import base64
import re
from typing import Any, NamedTuple

import orjson

from stratolite.egress import Refused
from stratolite.service import Call, Request, Response, Service
from stratolite.services.events import jobs, names, secrets, state
from stratolite.services.events.names import invalid

_PURPOSE, _TOKEN_PURPOSE = "events:connection", "events:token"
_PAGE = 100
_RATE = 300
_SECRETS = (
    ("ApiKeyAuthParameters", "ApiKeyValue"), ("BasicAuthParameters", "Password"), ("OAuthParameters", "ClientParameters", "ClientSecret"),
)  # fmt: skip
_NEEDED = {"BASIC": "BasicAuthParameters", "API_KEY": "ApiKeyAuthParameters", "OAUTH_CLIENT_CREDENTIALS": "OAuthParameters"}  # fmt: skip
_CONNECTION_ARN = re.compile(r"arn:aws[\w-]*:events:[a-z0-9-]*:(?:\d{12})?:connection/([.\-_A-Za-z0-9]+)/([\-A-Za-z0-9]+)\Z")  # fmt: skip
_HTTP_KINDS = ("HeaderParameters", "QueryStringParameters", "BodyParameters")


class Connections(Service):
    def create_connection(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("events")
        _refuse(request)
        if state.get(call.tx, keys, "connection", name) is not None:
            raise names.there_already(f"Connection {name} already exists.")
        kind = request["AuthorizationType"]
        parameters = request["AuthParameters"]
        if _NEEDED[kind] not in parameters:
            raise invalid(f"{_NEEDED[kind]} must be provided for authorization type {kind}.")
        now_s = call.tx.time_s
        record = {
            "uuid": call.world.uuid(),
            "type": kind,
            "description": request.get("Description", ""),
            "created_s": now_s,
            "modified_s": now_s,
            "authorized_s": now_s,
        }
        _seal(call, record, parameters)
        _authorize(call, name, record)
        secrets.keep(call, name, record, parameters)
        state.put(call.tx, keys, "connection", name, record=record)
        return _connection(call, name, record, "ConnectionArn", "CreationTime", "LastModifiedTime")

    def describe_connection(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        record = _find_connection(call, name)
        answer = _connection(call, name, record)
        answer |= {"AuthorizationType": record["type"], "AuthParameters": record["parameters"]}
        if record.get("secret"):
            answer["SecretArn"] = record["secret"]
        return answer | ({"Description": record["description"]} if record["description"] else {})

    def list_connections(self, call: Call, request: Request) -> Response:
        rows, token = _page(call, "connection", request)
        listed = [
            _connection(call, name, record) | {"AuthorizationType": record["type"]}
            for name, record in rows
            if request.get("ConnectionState") in (None, state_of(record))
        ]
        return {"Connections": listed} | token

    def update_connection(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("events")
        _refuse(request)
        record = _find_connection(call, name)
        kind = str(request.get("AuthorizationType", record["type"]))
        parameters = request.get("AuthParameters")
        if kind != record["type"] and _NEEDED[kind] not in (parameters or {}):
            raise invalid(f"{_NEEDED[kind]} must be provided for authorization type {kind}.")
        record |= {"type": kind, "modified_s": call.tx.time_s}
        record["description"] = request.get("Description", record["description"])
        if parameters is not None:
            old = unsealed(call, record) if record["sealed"] else {}
            for other in _NEEDED.values():
                if other != _NEEDED[kind]:
                    old.pop(other, None)  # of the type it was
            if _NEEDED[kind] not in old and _NEEDED[kind] not in parameters:
                raise invalid(f"{_NEEDED[kind]} must be provided for authorization type {kind}.")
            whole = _merged(old, parameters)
            _seal(call, record, whole)
            record["authorized_s"] = call.tx.time_s
            _authorize(call, name, record)
            secrets.keep(call, name, record, whole)
        state.put(call.tx, keys, "connection", name, record=record)
        members = ("ConnectionArn", "CreationTime", "LastModifiedTime", "LastAuthorizedTime")
        return _connection(call, name, record, *members)

    def deauthorize_connection(self, call: Call, request: Request) -> Response:
        """Its secrets are forgotten; destinations over it are INACTIVE until an update gives it others."""
        name = request["Name"]
        record = _find_connection(call, name)
        record |= {"sealed": None, "token": None, "parameters": {}, "modified_s": call.tx.time_s}
        secrets.drop(call, record)
        state.put(call.tx, call.keys("events"), "connection", name, record=record)
        members = ("ConnectionArn", "CreationTime", "LastModifiedTime", "LastAuthorizedTime")
        return _connection(call, name, record, *members)

    def delete_connection(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        record = _find_connection(call, name)
        secrets.drop(call, record)
        state.delete(call.tx, call.keys("events"), "connection", name)
        members = ("ConnectionArn", "CreationTime", "LastModifiedTime", "LastAuthorizedTime")
        return _connection(call, name, record, *members) | {"ConnectionState": "DELETING"}

    # -- API destinations

    def create_api_destination(self, call: Call, request: Request) -> Response:
        name, keys = request["Name"], call.keys("events")
        if state.get(call.tx, keys, "destination", name) is not None:
            raise names.there_already(f"An api-destination '{name}' already exists.")
        _check_connection(call, request["ConnectionArn"])
        self._check_endpoint(call, request["InvocationEndpoint"])
        now_s = call.tx.time_s
        record = {
            "uuid": call.world.uuid(),
            "connection": request["ConnectionArn"].split(":", 5)[5],
            "description": request.get("Description", ""),
            "endpoint": request["InvocationEndpoint"],
            "method": request["HttpMethod"],
            "rate": request.get("InvocationRateLimitPerSecond", _RATE),
            "created_s": now_s,
            "modified_s": now_s,
        }
        state.put(call.tx, keys, "destination", name, record=record)
        return _destination(call, name, record, brief=True)

    def describe_api_destination(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        record = _find_destination(call, name)
        answer = _destination(call, name, record)
        return answer | ({"Description": record["description"]} if record["description"] else {})

    def list_api_destinations(self, call: Call, request: Request) -> Response:
        wanted = request.get("ConnectionArn", "").partition("connection")[2]
        rows, token = _page(call, "destination", request)
        listed = [
            _destination(call, name, record)
            for name, record in rows
            if not wanted or record["connection"] == f"connection{wanted}"
        ]
        return {"ApiDestinations": listed} | token

    def update_api_destination(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        record = _find_destination(call, name)
        if "ConnectionArn" in request:
            _check_connection(call, request["ConnectionArn"])
            record["connection"] = request["ConnectionArn"].split(":", 5)[5]
        if "InvocationEndpoint" in request:
            self._check_endpoint(call, request["InvocationEndpoint"])
        for member, field in (("Description", "description"), ("InvocationEndpoint", "endpoint"), ("HttpMethod", "method"), ("InvocationRateLimitPerSecond", "rate")):  # fmt: skip
            if member in request:
                record[field] = request[member]
        record["modified_s"] = call.tx.time_s
        state.put(call.tx, call.keys("events"), "destination", name, record=record)
        return _destination(call, name, record, brief=True)

    def delete_api_destination(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        _find_destination(call, name)
        state.delete(call.tx, call.keys("events"), "destination", name)
        state.delete(call.tx, call.keys("events"), "turn", name)
        return {}

    def _check_endpoint(self, call: Call, url: str) -> None:
        """An endpoint that could never be reached from here is refused now, not found out later."""
        try:
            call.cloud.egress.check(url.replace("*", "x"))
        except Refused as refused:
            raise invalid(f"Parameter InvocationEndpoint is not valid. Reason: {refused}") from refused  # fmt: skip


class Proof(NamedTuple):
    """What a connection adds to a request."""

    headers: list[tuple[str, str]]
    query: dict[str, str]
    body: dict[str, Any]


def proof_of(call: Call, record: state.Record) -> Proof:
    """Of an OAuth connection that has no token yet: without one."""
    parameters = unsealed(call, record)
    proof = Proof([], {}, {})
    add(proof, parameters.get("InvocationHttpParameters") or {})
    if record["type"] == "BASIC":
        basic = parameters["BasicAuthParameters"]
        pair = f"{basic['Username']}:{basic['Password']}".encode()
        proof.headers.append(("authorization", f"Basic {base64.b64encode(pair).decode()}"))
    elif record["type"] == "API_KEY":
        key = parameters["ApiKeyAuthParameters"]
        proof.headers.append((key["ApiKeyName"], key["ApiKeyValue"]))
    elif sealed := record.get("token"):
        token = call.cloud.vault.open(bytes.fromhex(sealed), _TOKEN_PURPOSE).decode()
        proof.headers.append(("authorization", f"Bearer {token}"))
    return proof


def authorized(call: Call, record: state.Record, token: str) -> None:
    """An OAuth connection has a token now."""
    sealed = call.cloud.vault.seal(token.encode(), _TOKEN_PURPOSE).hex()
    record |= {"state": "AUTHORIZED", "reason": "", "token": sealed}
    record["authorized_s"] = call.world.cloud()


def add(proof: Proof, more: dict[str, Any]) -> None:
    for one in more.get("HeaderParameters") or ():
        proof.headers.append((one["Key"], one["Value"]))
    for one in more.get("QueryStringParameters") or ():
        proof.query[one["Key"]] = one["Value"]
    for one in more.get("BodyParameters") or ():
        proof.body[one["Key"]] = one["Value"]


def _refuse(request: Request) -> None:
    for member in ("InvocationConnectivityParameters", "KmsKeyIdentifier"):
        if request.get(member):
            raise names.not_offered(member)
    if request.get("AuthParameters", {}).get("ConnectivityParameters"):
        raise names.not_offered("AuthParameters.ConnectivityParameters")


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """An update may leave out what stays as it is."""
    made = dict(old)
    for name, value in new.items():
        known = made.get(name)
        both = isinstance(value, dict) and isinstance(known, dict)
        made[name] = _merged(known, value) if both else value  # type: ignore[arg-type]
    return made


def _authorize(call: Call, name: str, record: state.Record) -> None:
    """An OAuth connection asks for its token; the others have all they need."""
    record |= {"state": None, "reason": "", "token": None}
    if record["type"] == "OAUTH_CLIENT_CREDENTIALS":
        record["state"] = "AUTHORIZING"
        jobs.authorize(call, name, record["modified_s"])


def _seal(call: Call, record: state.Record, parameters: dict[str, Any]) -> None:
    """All of the parameters sealed; in clear only what DescribeConnection may show."""
    whole = orjson.dumps(parameters)
    record["sealed"] = call.cloud.vault.seal(whole, _PURPOSE).hex()
    shown = orjson.loads(whole)
    for path in _SECRETS:
        place: Any = shown
        for part in path[:-1]:
            place = place.get(part) or {}
        place.pop(path[-1], None)
    for holder in (shown, shown.get("OAuthParameters") or {}):
        for member in ("InvocationHttpParameters", "OAuthHttpParameters"):
            for kind in _HTTP_KINDS:
                for one in (holder.get(member) or {}).get(kind) or ():
                    if one.get("IsValueSecret"):
                        one.pop("Value", None)
    record["parameters"] = shown


def unsealed(call: Call, record: state.Record) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(
        call.cloud.vault.open(bytes.fromhex(record["sealed"]), _PURPOSE)
    )
    return found


def state_of(record: state.Record) -> str:
    """Those of connections that are no OAuth ones, and of older ones, are not kept."""
    return record.get("state") or "AUTHORIZED" if record["sealed"] else "DEAUTHORIZED"


def _find_connection(call: Call, name: str) -> state.Record:
    record = state.get(call.tx, call.keys("events"), "connection", name)
    if record is None:
        raise names.missing(
            f"Failed to describe the connection(s). Connection '{name}' does not exist."
        )
    return record


def _find_destination(call: Call, name: str) -> state.Record:
    record = state.get(call.tx, call.keys("events"), "destination", name)
    if record is None:
        raise names.missing(
            f"Failed to describe the api-destination(s). An api-destination '{name}' does not exist."
        )
    return record


def _check_connection(call: Call, arn: str) -> None:
    found = _CONNECTION_ARN.match(arn)
    record = state.get(call.tx, call.keys("events"), "connection", found[1]) if found else None
    if found is None or record is None or record["uuid"] != found[2]:
        raise names.missing(f"Connection '{arn}' does not exist.")


def _connection_arn(call: Call, name: str, record: state.Record) -> str:
    return names.arn(call, "connection", f"{name}/{record['uuid']}")


def _connection(call: Call, name: str, record: state.Record, *only: str) -> Response:
    whole: Response = {
        "ConnectionArn": _connection_arn(call, name, record),
        "Name": name,
        "ConnectionState": state_of(record),
        "CreationTime": record["created_s"],
        "LastModifiedTime": record["modified_s"],
        "LastAuthorizedTime": record["authorized_s"],
    }
    if not only:
        return whole | ({"StateReason": record["reason"]} if record.get("reason") else {})
    return {m: whole[m] for m in (*only, "ConnectionState")}


def _destination(call: Call, name: str, record: state.Record, *, brief: bool = False) -> Response:
    link = state.get(call.tx, call.keys("events"), "connection", record["connection"].split("/")[1])
    active = link is not None and state_of(link) == "AUTHORIZED" and record["connection"].endswith(f"/{link['uuid']}")  # fmt: skip
    answer: Response = {
        "ApiDestinationArn": names.arn(call, "api-destination", f"{name}/{record['uuid']}"),
        "ApiDestinationState": "ACTIVE" if active else "INACTIVE",
        "CreationTime": record["created_s"],
        "LastModifiedTime": record["modified_s"],
    }
    if brief:
        return answer
    return answer | {
        "Name": name,
        "ConnectionArn": f"arn:aws:events:{call.region}:{call.account}:{record['connection']}",
        "InvocationEndpoint": record["endpoint"],
        "HttpMethod": record["method"],
        "InvocationRateLimitPerSecond": record["rate"],
    }


def _page(
    call: Call, kind: str, request: Request
) -> tuple[list[tuple[str, state.Record]], Response]:
    limit = request.get("Limit") or _PAGE
    found: list[tuple[str, state.Record]] = []
    prefix, after = request.get("NamePrefix", ""), names.after(request)
    for row in state.rows(call.tx, call.keys("events"), kind, prefix=prefix, after=after):
        if len(found) == limit:
            return found, {"NextToken": names.token(found[-1][0])}
        found.append(row)
    return found, {}
