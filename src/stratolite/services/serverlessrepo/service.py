"""Publish applications and their versions, find them, make stacks from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from stratolite.clock import iso
from stratolite.errors import Fault
from stratolite.service import Access, Call, Request, Response, Service
from stratolite.services.serverlessrepo import state
from stratolite.services.serverlessrepo.state import Row

_NAME = re.compile(r"[A-Za-z0-9-]{1,140}\Z", re.ASCII)
_PAGE = 100
_DROPPED_AT_ONCE = 200
_DESCRIBED = (
    "Author", "Description", "HomePageUrl", "Labels", "LicenseUrl", "ReadmeUrl", "SpdxLicenseId",
)  # fmt: skip
_SOURCES = ("SourceCodeArchiveUrl", "SourceCodeUrl")
_BODIES = ("LicenseBody", "ReadmeBody")
_EXPIRES_S = 6 * 3600.0


class Serverlessrepo(Service):
    name: ClassVar[str] = "serverlessrepo"

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if app_id := request.get("ApplicationId"):
            return ((f"serverlessrepo:{operation}", _arn(call, _name(call, app_id))),)
        return ((f"serverlessrepo:{operation}", "*"),)

    # -- publishing

    async def create_application(self, call: Call, request: Request) -> Response:
        name = request["Name"]
        if not _NAME.match(name):
            raise _bad("Application names have 1 to 140 letters, digits and hyphens")
        for member in _BODIES:
            if request.get(member) and len(request[member]) > 200_000:
                raise _bad(f"{member} is larger than 200,000 characters")

        def make(inner: Call) -> None:
            keys = inner.keys("serverlessrepo")
            if state.app(inner.tx, keys, name) is not None:
                raise Fault("ConflictException", f"Application with id '{_arn(call, name)}' already exists", status=409)  # fmt: skip
            row = {key: request[key] for key in (*_DESCRIBED, *_BODIES) if key in request}
            state.put_app(inner.tx, keys, name, {**row, "created_s": inner.tx.time_s, "latest": ""})

        if request.get("SemanticVersion"):
            state.version_parts(request["SemanticVersion"])
        await call.transact(make)
        if request.get("TemplateBody") or request.get("TemplateUrl"):
            if not request.get("SemanticVersion"):
                raise _bad("SemanticVersion is required with a template")
            await self._publish(call, name, request["SemanticVersion"], request)
        return await call.transact(lambda c: _shape(c, name, request.get("SemanticVersion")))

    async def create_application_version(self, call: Call, request: Request) -> Response:
        name, version = _name(call, request["ApplicationId"]), request["SemanticVersion"]
        await call.transact(lambda c: _found(c, name))
        await self._publish(call, name, version, request)
        return await call.transact(lambda c: _version_shape(c, name, version))

    async def _publish(self, call: Call, name: str, version: str, request: Request) -> None:
        state.version_parts(version)
        known = await call.transact(
            lambda c: state.version(c.tx, c.keys("serverlessrepo"), name, version)
        )
        if known is not None:
            raise _conflict(call, name, version)
        pairs = (("TemplateBody", "TemplateBody"), ("TemplateURL", "TemplateUrl"))
        where = {name: str(request[member]) for name, member in pairs if request.get(member)}
        if len(where) != 1:
            raise _bad("One of TemplateBody and TemplateUrl is required")
        try:
            summary = await call.request("cloudformation", "GetTemplateSummary", dict(where))
        except Fault as fault:
            raise _bad(f"Invalid template: {fault.message}") from fault
        key = f"{name}/{version}.template"
        await self._keep(call, key, where)
        row: Row = {
            "template": key,
            "parameters": [_definition(p) for p in summary.get("Parameters") or ()],
            "capabilities": summary.get("Capabilities") or [],
            **{member: request[member] for member in _SOURCES if member in request},
        }

        def put(inner: Call) -> None:
            keys = inner.keys("serverlessrepo")
            app = _found(inner, name)
            if state.version(inner.tx, keys, name, version) is not None:
                raise _conflict(inner, name, version)
            row["created_s"] = inner.tx.time_s
            state.put_version(inner.tx, keys, name, version, row)
            newest = state.versions_page(inner.tx, keys, name, "", 1)[0][0]
            state.put_app(inner.tx, keys, name, {**app, "latest": newest})

        await call.transact(put)

    async def _keep(self, call: Call, key: str, where: dict[str, str]) -> None:
        bucket = _bucket(call)
        place: Request = {"Bucket": bucket}
        if call.region != "us-east-1":
            place["CreateBucketConfiguration"] = {"LocationConstraint": call.region}
        try:
            await call.request("s3", "CreateBucket", place)
        except Fault as fault:
            if fault.code != "BucketAlreadyOwnedByYou":
                raise
        if "TemplateBody" in where:
            body = where["TemplateBody"].encode()
            await call.request("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body})
            return
        source = where["TemplateURL"].split("?")[0].split("/", 3)[-1]
        request = {"Bucket": bucket, "Key": key, "CopySource": source}
        await call.request("s3", "CopyObject", request)

    def update_application(self, call: Call, request: Request) -> Response:
        name = _name(call, request["ApplicationId"])
        row = _found(call, name)
        row |= {key: request[key] for key in (*_DESCRIBED, *_BODIES) if key in request}
        state.put_app(call.tx, call.keys("serverlessrepo"), name, row)
        return _shape(call, name, None)

    async def delete_application(self, call: Call, request: Request) -> Response:
        """The templates stay in the bucket: stacks may have been made from them."""
        name = _name(call, request["ApplicationId"])
        await call.transact(lambda c: _found(c, name))
        while not await call.transact(
            lambda c: state.drop(c.tx, c.keys("serverlessrepo"), name, _DROPPED_AT_ONCE)
        ):
            pass
        return {}

    # -- finding

    def get_application(self, call: Call, request: Request) -> Response:
        name = _name(call, request["ApplicationId"])
        return _shape(call, name, request.get("SemanticVersion"))

    def list_applications(self, call: Call, request: Request) -> Response:
        limit = _page_size(request)
        keys = call.keys("serverlessrepo")
        found = state.apps_page(call.tx, keys, request.get("NextToken") or "", limit + 1)
        answer: Response = {"Applications": [_summary(call, n, row) for n, row in found[:limit]]}
        if len(found) > limit:
            answer["NextToken"] = found[limit - 1][0]
        return answer

    def list_application_versions(self, call: Call, request: Request) -> Response:
        name = _name(call, request["ApplicationId"])
        _found(call, name)
        limit = _page_size(request)
        keys = call.keys("serverlessrepo")
        found = state.versions_page(call.tx, keys, name, request.get("NextToken") or "", limit + 1)
        answer: Response = {
            "Versions": [
                {
                    "ApplicationId": _arn(call, name),
                    "CreationTime": iso(row["created_s"]),
                    "SemanticVersion": version,
                    **{member: row[member] for member in _SOURCES if member in row},
                }
                for version, row in found[:limit]
            ]
        }
        if len(found) > limit:
            answer["NextToken"] = found[limit - 1][0]
        return answer

    # -- using

    def create_cloud_formation_template(self, call: Call, request: Request) -> Response:
        name, version = self._chosen(call, request)
        return self._template(call, name, version)

    def get_cloud_formation_template(self, call: Call, request: Request) -> Response:
        name, version = _name(call, request["ApplicationId"]), request["TemplateId"]
        if state.version(call.tx, call.keys("serverlessrepo"), name, version) is None:
            raise _missing(f"No template with id '{version}'")
        return self._template(call, name, version)

    @staticmethod
    def _chosen(call: Call, request: Request) -> tuple[str, str]:
        name = _name(call, request["ApplicationId"])
        app = _found(call, name)
        version = request.get("SemanticVersion") or app["latest"]
        if (
            not version
            or state.version(call.tx, call.keys("serverlessrepo"), name, version) is None
        ):
            raise _missing(f"No application version '{version}' of '{_arn(call, name)}'")
        return name, version

    @staticmethod
    def _template(call: Call, name: str, version: str) -> Response:
        row = state.version(call.tx, call.keys("serverlessrepo"), name, version)
        assert row is not None
        return {
            "ApplicationId": _arn(call, name),
            "SemanticVersion": version,
            "TemplateId": version,
            "TemplateUrl": _url(call, row),
            "Status": "ACTIVE",
            "CreationTime": iso(row["created_s"]),
            "ExpirationTime": iso(call.tx.time_s + _EXPIRES_S),
        }

    async def create_cloud_formation_change_set(self, call: Call, request: Request) -> Response:
        template = await call.transact(
            lambda c: self.create_cloud_formation_template(
                c,
                {
                    **request,
                    "SemanticVersion": request.get("SemanticVersion") or request.get("TemplateId"),
                },
            )
        )
        stack = f"serverlessrepo-{request['StackName']}"
        try:
            await call.request("cloudformation", "DescribeStacks", {"StackName": stack})
            kind = "UPDATE"
        except Fault:
            kind = "CREATE"
        wanted: Request = {
            "StackName": stack,
            "ChangeSetName": request.get("ChangeSetName") or f"a{call.world.uuid()}",
            "ChangeSetType": kind,
            "TemplateURL": template["TemplateUrl"],
            "Parameters": [
                {"ParameterKey": p["Name"], "ParameterValue": p["Value"]}
                for p in request.get("ParameterOverrides") or ()
            ],
            "Capabilities": [
                c for c in request.get("Capabilities") or () if c != "CAPABILITY_RESOURCE_POLICY"
            ],
            "Tags": request.get("Tags") or [],
        }
        for member, theirs in (
            ("Description", "Description"),
            ("NotificationArns", "NotificationARNs"),
            ("ResourceTypes", "ResourceTypes"),
            ("RollbackConfiguration", "RollbackConfiguration"),
        ):
            if request.get(member):
                wanted[theirs] = request[member]
        try:
            made = await call.request("cloudformation", "CreateChangeSet", wanted)
        except Fault as fault:
            raise _bad(fault.message) from fault
        return {
            "ApplicationId": template["ApplicationId"],
            "ChangeSetId": made["Id"],
            "SemanticVersion": template["SemanticVersion"],
            "StackId": made["StackId"],
        }


def _bad(message: str) -> Fault:
    return Fault("BadRequestException", message)


def _missing(message: str) -> Fault:
    return Fault("NotFoundException", message, status=404)


def _conflict(call: Call, name: str, version: str) -> Fault:
    text = f"ApplicationVersion with id '{_arn(call, name)}' and semantic version '{version}' already exists"
    return Fault("ConflictException", text, status=409)


def _arn(call: Call, name: str) -> str:
    return f"arn:aws:serverlessrepo:{call.region}:{call.account}:applications/{name}"


def _name(call: Call, app_id: str) -> str:
    """Of an application of this account and region, by its ARN or its name alone."""
    if not app_id.startswith("arn:"):
        return app_id
    name = app_id.rsplit("/", 1)[-1]
    if app_id not in (_arn(call, name), _arn(call, name).replace("applications/", "applications~")):
        raise _missing(f"No application with id '{app_id}': those of other accounts are not offered by Stratolite")  # fmt: skip
    return name


def _bucket(call: Call) -> str:
    return f"stratolite-serverlessrepo-{call.account}-{call.region}"


def _url(call: Call, row: Row) -> str:
    return f"{call.endpoint}/{_bucket(call)}/{row['template']}"


def _found(call: Call, name: str) -> Row:
    row = state.app(call.tx, call.keys("serverlessrepo"), name)
    if row is None:
        raise _missing(f"No application with id '{_arn(call, name)}'")
    return row


def _summary(call: Call, name: str, row: Row) -> dict[str, Any]:
    described = {key: row[key] for key in _DESCRIBED if key in row}
    described.pop("LicenseUrl", None)
    described.pop("ReadmeUrl", None)
    return {
        "ApplicationId": _arn(call, name),
        "Name": name,
        "CreationTime": iso(row["created_s"]),
        **described,
    }


def _shape(call: Call, name: str, version: str | None) -> Response:
    row = _found(call, name)
    answer: Response = {
        **{key: row[key] for key in _DESCRIBED if key in row},
        "ApplicationId": _arn(call, name),
        "Name": name,
        "CreationTime": iso(row["created_s"]),
        "IsVerifiedAuthor": False,
    }
    if version or row["latest"]:
        answer["Version"] = _version_shape(call, name, version or row["latest"])
    return answer


def _version_shape(call: Call, name: str, version: str) -> Response:
    row = state.version(call.tx, call.keys("serverlessrepo"), name, version)
    if row is None:
        raise _missing(f"No application version '{version}' of '{_arn(call, name)}'")
    return {
        "ApplicationId": _arn(call, name),
        "CreationTime": iso(row["created_s"]),
        "ParameterDefinitions": row["parameters"],
        "RequiredCapabilities": row["capabilities"],
        "ResourcesSupported": True,
        "SemanticVersion": version,
        "TemplateUrl": _url(call, row),
        **{member: row[member] for member in _SOURCES if member in row},
    }


def _page_size(request: Request) -> int:
    asked = request.get("MaxItems") or _PAGE
    if asked < 0:
        raise _bad(f"MaxItems must not be negative: {asked}")
    return min(int(asked), _PAGE)


def _definition(parameter: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Name": parameter["ParameterKey"],
        "Type": parameter.get("ParameterType", "String"),
        "NoEcho": bool(parameter.get("NoEcho")),
        "ReferencedByResources": [],
    }
    for theirs, ours in (("DefaultValue", "DefaultValue"), ("Description", "Description")):
        if parameter.get(theirs) is not None:
            made[ours] = parameter[theirs]
    allowed = (parameter.get("ParameterConstraints") or {}).get("AllowedValues")
    if allowed:
        made["AllowedValues"] = allowed
    return made
