"""Layers: zips that functions share, unpacked under /opt.

A function holds its layers' zips by links of its own, so a deleted version goes on working where it is
used, as on AWS. Layers of other accounts, and layer permissions, are not offered.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from stratolite.service import Call, Request, Response, Service, is_number, prepared
from stratolite.services.lambda_ import bundle, names, state
from stratolite.services.lambda_.names import Ref, invalid, mismatch, missing

_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:)?(?P<name>[a-zA-Z0-9-_]+)\Z"
)
_VERSION = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[a-zA-Z0-9-_]+):(?P<number>\d+)\Z"
)
_LAYERS_MAX = 5
_PAGE_COUNT_MAX = 50
_NOTHING = "The resource you requested does not exist."
_ABOUT = ("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")


async def _before_publish(_: Service, call: Call, request: Request) -> Request:
    _layer(call, request["LayerName"])
    return {**request, "Content": await bundle.fetch(call, request["Content"])}


class Layers(Service):
    @prepared(_before_publish)
    def publish_layer_version(self, call: Call, request: Request) -> Response:
        ref, code = _layer(call, request["LayerName"]), request["Content"]
        token = request.get(
            "StackToken"
        )  # not AWS's: a stack's step finds what it made before a crash
        newest = next(state.layer_versions(call.tx, ref, reverse=True), None)
        if token and newest is not None and newest[1]["token"] == token:
            return _answer(call, ref, newest[1])
        number = state.next_layer_number(call.tx, ref)
        call.cloud.blobs.link(call.tx, code.blob)
        now = datetime.fromtimestamp(call.tx.time_s, UTC)
        config = {
            **{member: request[member] for member in _ABOUT if request.get(member)},
            "LayerVersionArn": f"{_arn(ref)}:{number}",
            "Version": number,
            "CreatedDate": f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}+0000",
        }
        config.setdefault("Description", "")
        record = {"config": config, "code": code._asdict(), "token": token}
        state.put_layer(call.tx, ref, number, record)
        state.count(call.tx, ref, code_bytes=code.size)
        return _answer(call, ref, record)

    def get_layer_version(self, call: Call, request: Request) -> Response:
        ref = _layer(call, request["LayerName"])
        return _found(call, ref, request["VersionNumber"])

    def get_layer_version_by_arn(self, call: Call, request: Request) -> Response:
        ref, number = version(call, request["Arn"])
        return _found(call, ref, number)

    def list_layer_versions(self, call: Call, request: Request) -> Response:
        ref = _layer(call, request["LayerName"])
        most = names.page_size(request, _PAGE_COUNT_MAX)
        given = request.get("Marker")
        if given is not None and not is_number(given):
            raise invalid("Invalid pagination token")
        before = int(given) if given else None
        found: list[Any] = []
        for number, record in state.layer_versions(call.tx, ref, reverse=True, before=before):
            if len(found) >= most:
                return {"LayerVersions": found, "NextMarker": str(number + 1)}
            if _fits(record, request):
                found.append(record["config"])
        return {"LayerVersions": found}

    def list_layers(self, call: Call, request: Request) -> Response:
        most = names.page_size(request, _PAGE_COUNT_MAX)
        found: list[Any] = []
        for name in state.layer_names(
            call.tx, call.account, call.region, request.get("Marker") or ""
        ):
            if len(found) >= most:
                return {"Layers": found, "NextMarker": found[-1]["LayerName"]}
            ref = Ref(call.account, call.region, name, None)
            rows = state.layer_versions(call.tx, ref, reverse=True)
            newest = next((r["config"] for _, r in rows if _fits(r, request)), None)
            if newest is not None:
                layer = {"LayerName": name, "LayerArn": _arn(ref), "LatestMatchingVersion": newest}
                found.append(layer)
        return {"Layers": found}

    def delete_layer_version(self, call: Call, request: Request) -> Response:
        ref, number = _layer(call, request["LayerName"]), request["VersionNumber"]
        record = state.get_layer(call.tx, ref, number)
        if record is not None:
            state.delete_layer(call.tx, ref, number)
            call.cloud.blobs.unlink(call.tx, record["code"]["blob"])
            state.count(call.tx, ref, code_bytes=-record["code"]["size"])
        return {}


def version(call: Call, arn: str) -> tuple[Ref, int]:
    match = _VERSION.match(arn)
    if match is None:
        raise mismatch(
            "layers",
            arn,
            r"arn:[a-zA-Z0-9-]+:lambda:[a-zA-Z0-9-]+:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+",
        )
    if (match["account"], match["region"]) != (call.account, call.region):
        raise names.not_offered("A layer of another account or region")
    return Ref(match["account"], match["region"], match["name"], None), int(match["number"])


def used(call: Call, arns: list[str]) -> list[state.Record]:
    """{arn, code} of the layers a function asks for, in order. Raises Fault as AWS does."""
    if len(arns) > _LAYERS_MAX:
        raise invalid(f"Cannot reference more than {_LAYERS_MAX} layers.")
    found, seen = [], set()
    for arn in arns:
        ref, number = version(call, arn)
        if ref.name in seen:
            raise invalid(
                f"Two different versions of the same layer are not allowed to be referenced in the same function. {arn}"
            )
        seen.add(ref.name)
        record = state.get_layer(call.tx, ref, number)
        if record is None:
            raise invalid(f"Layer version {arn} does not exist.")
        found.append({"arn": arn, "code": record["code"]})
    return found


def _layer(call: Call, given: str) -> Ref:
    match = _NAME.match(given)
    if match is None or len(given) > 140:
        raise mismatch(
            "layerName", given, "(arn:aws[a-zA-Z-]*:lambda:...:layer:[a-zA-Z0-9-_]+)|[a-zA-Z0-9-_]+"
        )
    ref = Ref(match["account"] or call.account, match["region"] or call.region, match["name"], None)
    if (ref.account, ref.region) != (call.account, call.region):
        raise names.not_offered("A layer of another account or region")
    return ref


def _arn(ref: Ref) -> str:
    return f"arn:aws:lambda:{ref.region}:{ref.account}:layer:{ref.name}"


def _found(call: Call, ref: Ref, number: int) -> Response:
    record = state.get_layer(call.tx, ref, number)
    if record is None:
        raise missing(_NOTHING)
    return _answer(call, ref, record)


def _answer(call: Call, ref: Ref, record: state.Record) -> Response:
    code = record["code"]
    content = {
        "Location": bundle.location(call, ref.name, code),
        "CodeSha256": bundle.Code(**code).sha256_base64,
        "CodeSize": code["size"],
    }
    return {**record["config"], "LayerArn": _arn(ref), "Content": content}


def _fits(record: state.Record, request: Request) -> bool:
    for asked, member in (
        ("CompatibleRuntime", "CompatibleRuntimes"),
        ("CompatibleArchitecture", "CompatibleArchitectures"),
    ):
        if request.get(asked) and request[asked] not in record["config"].get(member, ()):
            return False
    return True
