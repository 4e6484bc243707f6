"""Published versions and the aliases that name them."""

from __future__ import annotations

from typing import Any

from stratolite.service import Call, Request, Response, Service, is_number
from stratolite.services.lambda_ import names, state
from stratolite.services.lambda_.names import LATEST, Ref, invalid

_PAGE_COUNT_MAX = 50


class Versions(Service):
    def publish_version(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        record = state.get_function(call.tx, ref)
        if record is None:
            raise names.no_function(ref._replace(qualifier=None))
        if request.get("PublishTo"):
            raise names.not_offered("PublishTo")
        config = record["config"]
        if request.get("RevisionId") not in (None, config["RevisionId"]):
            raise names.stale()
        wanted = request.get("CodeSha256")
        if wanted and wanted != config["CodeSha256"]:
            raise invalid(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST"
                f" ({config['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST."
            )
        return published(call, ref, request.get("Description"))

    def list_versions_by_function(self, call: Call, request: Request) -> Response:
        ref = _function(call, request["FunctionName"])
        latest = state.get_function(call.tx, ref)
        assert latest is not None
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        given = request.get("Marker")
        if given is not None and not is_number(given):
            raise invalid("Invalid pagination token")
        if given is None:
            config = {**latest["config"], "Version": LATEST}
            found.append({**config, "FunctionArn": f"{ref.function_arn}:{LATEST}"})
        last = int(given or 0)
        for number, record in state.versions(call.tx, ref, last):
            if len(found) >= most:
                return {"Versions": found, "NextMarker": str(last)}
            found.append(record["config"])
            last = number
        return {"Versions": found}

    # -- aliases

    def create_alias(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        names.check_alias(request["Name"])
        version, routing = request["FunctionVersion"], request.get("RoutingConfig")
        _check_target(call, ref, version, routing)
        if state.get_alias(call.tx, ref, request["Name"]) is not None:
            arn = f"{ref.function_arn}:{request['Name']}"
            raise names.conflict(f"Alias already exists: {arn}")
        return _put(
            call,
            ref,
            {
                "Name": request["Name"],
                "FunctionVersion": version,
                "Description": request.get("Description", ""),
                **_routing(routing),
            },
        )

    def update_alias(self, call: Call, request: Request) -> Response:
        ref, alias = _alias(call, request)
        if request.get("RevisionId") not in (None, alias["RevisionId"]):
            raise names.stale()
        version: str = request.get("FunctionVersion") or alias["FunctionVersion"]
        routing = request.get("RoutingConfig", alias.get("RoutingConfig"))
        _check_target(call, ref, version, routing)
        changed = {
            "Name": alias["Name"],
            "FunctionVersion": version,
            "Description": request.get("Description", alias["Description"]),
            **_routing(routing),
        }
        return _put(call, ref, changed)

    def get_alias(self, call: Call, request: Request) -> Response:
        return _alias(call, request)[1]

    def delete_alias(self, call: Call, request: Request) -> Response:
        ref = names.function(call, request["FunctionName"])
        state.delete_named(call.tx, ref, "alias", request["Name"])
        return {}

    def list_aliases(self, call: Call, request: Request) -> Response:
        ref = _function(call, request["FunctionName"])
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        wanted = request.get("FunctionVersion")
        for name, alias in state.named(call.tx, ref, "alias", request.get("Marker") or ""):
            if len(found) >= most:
                return {"Aliases": found, "NextMarker": found[-1]["Name"]}
            if wanted in (None, alias["FunctionVersion"]):
                found.append(alias)
            assert name
        return {"Aliases": found}


def published(call: Call, ref: Ref, description: str | None) -> Response:
    """The version that $LATEST is now: the newest one if nothing changed since, else a new one."""
    record = state.get_function(call.tx, ref)
    assert record is not None
    number = record["next_version"]
    newest = state.get_version(call.tx, ref, number - 1) if number > 1 else None
    if newest is not None and newest["generation"] == record["generation"]:
        config: Response = newest["config"]
        return config
    config = {
        **record["config"],
        "FunctionArn": f"{ref.function_arn}:{number}",
        "Version": str(number),
        "RevisionId": call.world.uuid(),
    }
    if description is not None:
        config["Description"] = description
    version = {
        "config": config,
        "code": record["code"],
        "layers": record["layers"],
        "generation": record["generation"],
    }
    for blob in blobs_of(version):
        call.cloud.blobs.link(call.tx, blob)
    state.put_version(call.tx, ref, number, version)
    latest = {**record["config"], "RevisionId": call.world.uuid()}
    state.put_function(call.tx, ref, {**record, "config": latest, "next_version": number + 1})
    state.count(call.tx, ref, code_bytes=record["code"]["size"])
    return config


def blobs_of(record: state.Record) -> list[str]:
    """What a function or version links: its own code and its layers'."""
    return [record["code"]["blob"], *(layer["code"]["blob"] for layer in record["layers"])]


def _function(call: Call, given: str) -> Ref:
    ref = names.function(call, given)._replace(qualifier=None)
    if state.get_function(call.tx, ref) is None:
        raise names.no_function(ref)
    return ref


def _alias(call: Call, request: Request) -> tuple[Ref, state.Record]:
    ref = names.function(call, request["FunctionName"])
    alias = state.get_alias(call.tx, ref, request["Name"])
    if alias is None:
        arn = f"{ref.function_arn}:{request['Name']}"
        raise names.missing(f"Cannot find alias arn: {arn}")
    return ref, alias


def _put(call: Call, ref: Ref, alias: state.Record) -> Response:
    alias = {
        "AliasArn": f"{ref.function_arn}:{alias['Name']}",
        **alias,
        "RevisionId": call.world.uuid(),
    }
    state.put_named(call.tx, ref, "alias", alias["Name"], alias)
    return alias


def _routing(routing: state.Record | None) -> state.Record:
    weights = (routing or {}).get("AdditionalVersionWeights")
    return {"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {}


def _check_target(call: Call, ref: Ref, version: str, routing: state.Record | None) -> None:
    target = ref._replace(qualifier=version)
    if version != LATEST and not is_number(version):
        raise names.mismatch("functionVersion", version, r"(\$LATEST|[0-9]+)")
    if state.resolve(call.tx, target) is None:
        raise names.no_function(target)
    weights = (routing or {}).get("AdditionalVersionWeights") or {}
    field = "routingConfig.additionalVersionWeights"
    if len(weights) > 1:
        raise invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for other, weight in weights.items():
        shown = f"{{{other}={weight}}}"
        if not 0 <= weight <= 1:
            raise names.bad(
                field,
                shown,
                "Map value must satisfy constraint: [Member must have value less than or equal to 1.0,"
                " Member must have value greater than or equal to 0.0, Member must not be null]",
            )
        if not is_number(other):
            raise names.bad(
                field,
                shown,
                "Map keys must satisfy constraint: [Member must have length less than or equal to 1024,"
                " Member must have length greater than or equal to 1, Member must satisfy regular"
                " expression pattern: [0-9]+]",
            )
        if version == LATEST:
            raise invalid("$LATEST is not supported for an alias pointing to more than 1 version")
        if other == version:
            raise invalid(
                f"Invalid function version {other}. Function version {other} is already included in"
                " routing configuration."
            )
        if state.resolve(call.tx, ref._replace(qualifier=other)) is None:
            raise names.no_function(ref._replace(qualifier=other))
