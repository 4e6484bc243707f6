"""CloudFormation types of Lambda: Function, Permission, Url, Version, Alias, EventInvokeConfig, LayerVersion.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Lambda.html
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

from stratolite.errors import Fault
from stratolite.service import Call, Made, Request, Resource, Spec, created, tag_list
from stratolite.services.lambda_ import cfn_response, settings
from stratolite.services.lambda_.mapping_resources import EventSourceMapping
from stratolite.services.lambda_.permissions import asked_for

_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same text is the same zip, so the same CodeSha256
_NUMBERS = ("Timeout", "MemorySize")
_CONFIGURATION = (
    "Runtime", "Role", "Handler", "Description", "Timeout", "MemorySize", "VpcConfig", "DeadLetterConfig",
    "Environment", "TracingConfig", "Layers", "FileSystemConfigs", "ImageConfig", "EphemeralStorage",
    "SnapStart", "LoggingConfig",
)  # fmt: skip
_ONLY_AT_CREATION = ("PackageType", "Architectures", "CodeSigningConfigArn")
_UNSET: Request = {
    "Description": "",
    "Timeout": 3,
    "MemorySize": 128,
    "Environment": {"Variables": {}},
    "TracingConfig": {"Mode": "PassThrough"},
    "EphemeralStorage": {"Size": 512},
    "Layers": [],
    "DeadLetterConfig": {"TargetArn": ""},
}
_NOTHING = frozenset({""})
_REFUSED: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        (
            "CapacityProviderConfig", "Code.ImageUri", "Code.SourceKMSKeyArn", "CodeSigningConfigArn", "DurableConfig",
            "FileSystemConfigs", "FunctionScalingConfig", "ImageConfig", "KmsKeyArn", "LoggingConfig.ApplicationLogLevel",
            "LoggingConfig.SystemLogLevel", "RuntimeManagementConfig.RuntimeVersionArn", "TenancyConfig",
            "VpcConfig.SecurityGroupIds", "VpcConfig.SubnetIds",
        ),
        _NOTHING,
    ),
    "Code.S3ObjectStorageMode": frozenset({"COPY"}),
    "LoggingConfig.LogFormat": frozenset({"Text"}),
    "PackageType": frozenset({"Zip"}),
    "PublishToLatestPublished": frozenset({"false"}),
    "RuntimeManagementConfig.UpdateRuntimeOn": frozenset({"Auto"}),
    "SnapStart.ApplyOn": frozenset({"None"}),
    "VpcConfig.Ipv6AllowedForDualStack": frozenset({"false"}),
}  # fmt: skip


def _picked(properties: Request, *names: str) -> Request:
    return {name: properties[name] for name in names if name in properties}


def _check_setting(name: str, value: Any) -> None:
    settings.check({name: value}, creating=False)


class _Type(Resource):
    service = "lambda"


class Function(_Type):
    type = "AWS::Lambda::Function"
    create_only = frozenset({"FunctionName", "PackageType"})
    refused = _REFUSED
    unread = frozenset({"Code", "RuntimeManagementConfig"})
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        name: partial(_check_setting, name) for name in (*_CONFIGURATION, *_ONLY_AT_CREATION)
    }
    stand_ins: ClassVar[Mapping[str, str | None]] = {"Environment": "later", "VpcConfig": "later"}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        name = wanted.get("FunctionName") or spec.generated_name(64)
        request = {
            **_configuration(wanted),
            **_picked(wanted, *_ONLY_AT_CREATION),
            "FunctionName": name,
            "Code": _code(wanted),
            "Tags": _tags(wanted),
            "StackToken": spec.token,
        }
        answer = await self.ask(call, "CreateFunction", **request)
        with created(name):
            await self._reserve(call, name, {}, wanted)
        return Made(name, {"Arn": answer["FunctionArn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        wanted, before = new.properties, old.properties
        changed = {**_UNSET, **_configuration(wanted)}
        if "LoggingConfig" in before:
            changed.setdefault("LoggingConfig", {"LogGroup": f"/aws/lambda/{physical_id}"})
        answer = await self.ask(
            call, "UpdateFunctionConfiguration", **{**changed, "FunctionName": physical_id}
        )
        architectures = wanted.get("Architectures") or ["x86_64"]
        if wanted.get("Code") != before.get("Code") or architectures != (
            before.get("Architectures") or ["x86_64"]
        ):
            code = {**_code(wanted), "Architectures": architectures, "FunctionName": physical_id}
            await self.ask(call, "UpdateFunctionCode", **code)
        await self._reserve(call, physical_id, before, wanted)
        tags, arn = _tags(wanted), answer["FunctionArn"]
        if gone := [key for key in _tags(before) if key not in tags]:
            await self.ask(call, "UntagResource", Resource=arn, TagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", Resource=arn, Tags=tags)
        return Made(physical_id, {"Arn": arn})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteFunction", FunctionName=physical_id)

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call,
            "ListFunctions",
            "Functions",
            "FunctionName",
            token,
            cursor=("Marker", "NextMarker"),
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetFunction", FunctionName=physical_id)
        if found is None:
            return None
        config = found["Configuration"]
        made = _picked(config, *_CONFIGURATION, *_ONLY_AT_CREATION, "FunctionName")
        if "Layers" in made:
            made["Layers"] = [layer["Arn"] for layer in made["Layers"]]
        reserved = (found.get("Concurrency") or {}).get("ReservedConcurrentExecutions")
        if reserved is not None:
            made["ReservedConcurrentExecutions"] = reserved
        made["Tags"] = tag_list(found.get("Tags") or {})
        made |= await self.ask(call, "GetFunctionRecursionConfig", FunctionName=physical_id)
        return made

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        found = await self.ask(call, "GetFunction", FunctionName=physical_id)
        return Made(physical_id, {"Arn": found["Configuration"]["FunctionArn"]})

    async def _reserve(self, call: Call, name: str, before: Request, wanted: Request) -> None:
        count = wanted.get("ReservedConcurrentExecutions")
        if count is not None:
            await self.ask(
                call,
                "PutFunctionConcurrency",
                FunctionName=name,
                ReservedConcurrentExecutions=int(count),
            )
        elif before.get("ReservedConcurrentExecutions") is not None:
            await self.ask(call, "DeleteFunctionConcurrency", FunctionName=name)
        if (way := wanted.get("RecursiveLoop")) or before.get("RecursiveLoop"):
            ask = {"FunctionName": name, "RecursiveLoop": way or "Terminate"}
            await self.ask(call, "PutFunctionRecursionConfig", **ask)


class Permission(_Type):
    type = "AWS::Lambda::Permission"
    by_identifier = False
    create_only = frozenset({
        "Action", "EventSourceToken", "FunctionName", "FunctionUrlAuthType", "InvokedViaFunctionUrl",
        "Principal", "PrincipalOrgID", "SourceAccount", "SourceArn",
    })  # fmt: skip

    async def create(self, call: Call, spec: Spec) -> Made:
        sid = spec.generated_name(100)
        request = {**spec.properties, "StatementId": sid}
        if "InvokedViaFunctionUrl" in request:
            request["InvokedViaFunctionUrl"] = (
                str(request["InvokedViaFunctionUrl"]).lower() == "true"
            )
        try:
            await self.ask(call, "AddPermission", **request)
        except Fault as fault:
            if fault.code != "ResourceConflictException":  # the id is ours: made before a crash
                raise
        return Made(sid, {"Id": sid})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        name = spec.properties["FunctionName"]
        found = await self.ask_if_there(call, "GetPolicy", FunctionName=name)
        for statement in json.loads(found["Policy"])["Statement"] if found else ():
            if statement["Sid"] == physical_id:
                made = {**asked_for(statement), "FunctionName": name}
                stated = str(spec.properties.get("Principal"))
                if made["Principal"] == f"arn:aws:iam::{stated}:root":
                    made["Principal"] = stated
                return made
        return None

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        name = spec.properties["FunctionName"]
        await self.ask_if_there(
            call, "RemovePermission", FunctionName=name, StatementId=physical_id
        )


class Url(_Type):
    type = "AWS::Lambda::Url"
    create_only = frozenset({"TargetFunctionArn", "Qualifier"})

    async def create(self, call: Call, spec: Spec) -> Made:
        try:
            return await self._set(call, "CreateFunctionUrlConfig", spec)
        except Fault as fault:
            if fault.code != "ResourceConflictException":
                raise
            return await self._set(call, "UpdateFunctionUrlConfig", spec)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._set(call, "UpdateFunctionUrlConfig", new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteFunctionUrlConfig", FunctionName=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        wanted = _picked(spec.properties, "Qualifier")
        name = spec.properties.get("TargetFunctionArn", physical_id)
        found = await self.ask_if_there(call, "GetFunctionUrlConfig", FunctionName=name, **wanted)
        if found is None:
            return None
        made = _picked(found, "AuthType", "Cors", "InvokeMode")
        return {**made, **_picked(spec.properties, "TargetFunctionArn", "Qualifier")}

    async def _set(self, call: Call, operation: str, spec: Spec) -> Made:
        wanted = spec.properties
        request = {
            **_picked(wanted, "AuthType", "InvokeMode", "Qualifier"),
            "Cors": _cors(wanted.get("Cors") or {}),
            "FunctionName": wanted["TargetFunctionArn"],
        }
        answer = await self.ask(call, operation, **request)
        made = {"FunctionArn": answer["FunctionArn"], "FunctionUrl": answer["FunctionUrl"]}
        return Made(answer["FunctionArn"], made)


def _stated(spec: Spec, arn: str) -> str:
    """The function as the template names it; else by the name in the ARN of its version or alias."""
    return str(spec.properties.get("FunctionName") or arn.split(":")[6])


class Version(_Type):
    type = "AWS::Lambda::Version"
    create_only = frozenset({"FunctionName", "Description", "CodeSha256"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = dict.fromkeys(
        ("FunctionScalingConfig", "ProvisionedConcurrencyConfig", "RuntimePolicy"), _NOTHING
    )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetFunctionConfiguration", FunctionName=physical_id)
        if found is None:
            return None
        made = _picked(found, "Description", "CodeSha256")
        return {**made, "FunctionName": _stated(spec, physical_id)}

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = _picked(spec.properties, "FunctionName", "Description", "CodeSha256")
        answer = await self.ask(call, "PublishVersion", **wanted)
        arn = answer["FunctionArn"]
        return Made(arn, {"Version": answer["Version"], "FunctionArn": arn})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteFunction", FunctionName=physical_id)


class Alias(_Type):
    type = "AWS::Lambda::Alias"
    create_only = frozenset({"FunctionName", "Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {"ProvisionedConcurrencyConfig": _NOTHING}

    async def create(self, call: Call, spec: Spec) -> Made:
        try:
            return await self._set(call, "CreateAlias", spec)
        except Fault as fault:
            if fault.code != "ResourceConflictException":
                raise
        now = await self.ask(call, "GetAlias", **_picked(spec.properties, "FunctionName", "Name"))
        if now["FunctionVersion"] != spec.properties["FunctionVersion"]:
            raise Fault("ResourceConflictException", f"Alias already exists: {now['AliasArn']}")
        return Made(now["AliasArn"], {"AliasArn": now["AliasArn"]})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return await self._set(call, "UpdateAlias", new)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        wanted = _picked(spec.properties, "FunctionName", "Name")
        await self.ask_if_there(call, "DeleteAlias", **wanted)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        name, alias = physical_id.rsplit(":", 1)
        found = await self.ask_if_there(call, "GetAlias", FunctionName=name, Name=alias)
        if found is None:
            return None
        made = _picked(found, "Name", "FunctionVersion", "Description")
        if weights := (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
            listed = [{"FunctionVersion": v, "FunctionWeight": w} for v, w in weights.items()]
            made["RoutingConfig"] = {"AdditionalVersionWeights": listed}
        return {**made, "FunctionName": _stated(spec, physical_id)}

    async def _set(self, call: Call, operation: str, spec: Spec) -> Made:
        names = ("FunctionName", "Name", "FunctionVersion", "Description")
        wanted = {"Description": "", **_picked(spec.properties, *names)}
        weights = (spec.properties.get("RoutingConfig") or {}).get("AdditionalVersionWeights", [])
        wanted["RoutingConfig"] = {
            "AdditionalVersionWeights": {
                w["FunctionVersion"]: float(w["FunctionWeight"]) for w in weights
            }
        }
        answer = await self.ask(call, operation, **wanted)
        return Made(answer["AliasArn"], {"AliasArn": answer["AliasArn"]})


class EventInvokeConfig(_Type):
    type = "AWS::Lambda::EventInvokeConfig"
    create_only = frozenset({"FunctionName", "Qualifier"})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        wanted = _picked(spec.properties, "FunctionName", "Qualifier")
        found = await self.ask_if_there(call, "GetFunctionEventInvokeConfig", **wanted)
        if found is None:
            return None
        names = ("MaximumEventAgeInSeconds", "MaximumRetryAttempts")
        made = {**wanted, **_picked(found, *names)}
        to = {way: where for way, where in (found.get("DestinationConfig") or {}).items() if where}
        return {**made, "DestinationConfig": to} if to else made

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._set(call, spec)
        return Made(spec.generated_name(64))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._set(call, new)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        wanted = _picked(spec.properties, "FunctionName", "Qualifier")
        await self.ask_if_there(call, "DeleteFunctionEventInvokeConfig", **wanted)

    async def _set(self, call: Call, spec: Spec) -> None:
        wanted = _picked(spec.properties, "FunctionName", "Qualifier", "DestinationConfig")
        for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds"):
            if name in spec.properties:
                wanted[name] = int(spec.properties[name])
        await self.ask(call, "PutFunctionEventInvokeConfig", **wanted)


class LayerVersion(_Type):
    type = "AWS::Lambda::LayerVersion"
    create_only = frozenset({
        "LayerName", "Content", "Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo",
    })  # fmt: skip
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "Content.S3ObjectStorageMode": frozenset({"COPY"})
    }

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        request = {
            **_picked(
                wanted,
                "Content",
                "Description",
                "CompatibleRuntimes",
                "CompatibleArchitectures",
                "LicenseInfo",
            ),
            "LayerName": wanted.get("LayerName") or spec.generated_name(64),
            "StackToken": spec.token,
        }
        answer = await self.ask(call, "PublishLayerVersion", **request)
        arn = answer["LayerVersionArn"]
        return Made(arn, {"LayerVersionArn": arn})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetLayerVersionByArn", Arn=physical_id)
        if found is None:
            return None
        names = ("Description", "CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo")
        return {**_picked(found, *names), "LayerName": physical_id.split(":")[6]}

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return Made(physical_id, {"LayerVersionArn": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        layer, _, number = physical_id.rpartition(":")
        await self.ask_if_there(
            call, "DeleteLayerVersion", LayerName=layer, VersionNumber=int(number)
        )


RESOURCES = (
    Function(),
    Permission(),
    Url(),
    Version(),
    Alias(),
    EventInvokeConfig(),
    LayerVersion(),
    EventSourceMapping(),
)


def _configuration(wanted: Request) -> Request:
    request = _picked(wanted, *_CONFIGURATION)
    for name in _NUMBERS:
        if name in request:
            request[name] = int(request[name])
    if "EphemeralStorage" in request:
        request["EphemeralStorage"] = {"Size": int(request["EphemeralStorage"]["Size"])}
    if variables := request.get("Environment", {}).get("Variables"):
        request["Environment"] = {"Variables": {k: _text(v) for k, v in variables.items()}}
    return request


def _code(wanted: Request) -> Request:
    """Text under ZipFile becomes the file that Handler ``index.x`` means."""
    code = dict(wanted.get("Code") or {})
    if isinstance(code.get("ZipFile"), str):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in _inline(str(wanted.get("Runtime", "")), code["ZipFile"]).items():
                info = zipfile.ZipInfo(name, _ZIP_TIME)
                info.external_attr = 0o644 << 16
                archive.writestr(info, text)
        code["ZipFile"] = packed.getvalue()
    return code


def _inline(runtime: str, text: str) -> dict[str, str]:
    """The files that inline code is, with the module for custom resources where it names it."""
    if runtime.startswith("nodejs"):
        files, module, source = {"index.js": text}, "cfn-response", cfn_response.NODE_SOURCE
        return {**files, f"{module}.js": source} if module in text else files
    files, module, source = {"index.py": text}, cfn_response.NAME, cfn_response.SOURCE
    return {**files, f"{module}.py": source} if module in text else files


def _tags(wanted: Request) -> dict[str, str]:
    return {tag["Key"]: _text(tag["Value"]) for tag in wanted.get("Tags") or ()}


def _cors(cors: Request) -> Request:
    cors = dict(cors)
    if "MaxAge" in cors:
        cors["MaxAge"] = int(cors["MaxAge"])
    if "AllowCredentials" in cors:
        cors["AllowCredentials"] = str(cors["AllowCredentials"]).lower() == "true"
    return cors


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
