"""CloudFormation's AWS::KMS::Key, AWS::KMS::ReplicaKey and AWS::KMS::Alias.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kms-key.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kms-replicakey.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-kms-alias.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created
from stratolite.services.kms.keys import check_origin, check_spec, checked_usage
from stratolite.services.kms.specs import SPECS, SYMMETRIC


def _check_usage(known: Mapping[str, Any]) -> None:
    """A spec that is none is said where it stands."""
    if known.get("KeySpec", SYMMETRIC) in SPECS and "KeyUsage" in known:
        checked_usage(known.get("KeySpec", SYMMETRIC), known["KeyUsage"])


class Key(Resource):
    type = "AWS::KMS::Key"
    service = "kms"
    gone = frozenset({"NotFoundException"})
    unread = frozenset({"BypassPolicyLockoutSafetyCheck", "PendingWindowInDays"})
    create_only = frozenset({"KeySpec", "KeyUsage", "MultiRegion", "Origin"})
    values: ClassVar[Mapping[str, Callable[[Any], object]]] = {
        "KeySpec": check_spec,
        "Origin": check_origin,
        "": _check_usage,
    }
    stand_ins: ClassVar[Mapping[str, str | None]] = {"": None}

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        request: dict[str, Any] = {"_token": spec.token}
        for name in ("Description", "KeySpec", "KeyUsage", "Origin"):
            if name in properties:
                request[name] = properties[name]
        if _true(properties.get("MultiRegion")):
            request["MultiRegion"] = True
        if "KeyPolicy" in properties:
            request["Policy"] = _text(properties["KeyPolicy"])
        if _true(properties.get("BypassPolicyLockoutSafetyCheck")):
            request["BypassPolicyLockoutSafetyCheck"] = True
        if properties.get("Tags"):
            request["Tags"] = _tags(properties["Tags"])
        answer = await call.request("kms", "CreateKey", request)
        key_id, arn = answer["KeyMetadata"]["KeyId"], answer["KeyMetadata"]["Arn"]
        with created(key_id):
            await self._settings(call, key_id, {}, properties)
        return Made(key_id, {"Arn": arn, "KeyId": key_id})

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        before, wanted = old.properties, new.properties
        where = {"KeyId": physical_id}
        if wanted.get("Description", "") != before.get("Description", ""):
            text = wanted.get("Description", "")
            await call.request("kms", "UpdateKeyDescription", {**where, "Description": text})
        if "KeyPolicy" in wanted and wanted["KeyPolicy"] != before.get("KeyPolicy"):
            policy = _text(wanted["KeyPolicy"])
            bypass = _true(wanted.get("BypassPolicyLockoutSafetyCheck"))
            asked = {**where, "Policy": policy, "BypassPolicyLockoutSafetyCheck": bypass}
            await call.request("kms", "PutKeyPolicy", asked)
        tags = {t["Key"]: t["Value"] for t in wanted.get("Tags") or ()}
        gone = [t["Key"] for t in before.get("Tags") or () if t["Key"] not in tags]
        if gone:
            await call.request("kms", "UntagResource", {**where, "TagKeys": gone})
        if tags:
            await call.request("kms", "TagResource", {**where, "Tags": _tags(wanted["Tags"])})
        await self._settings(call, physical_id, before, wanted)
        found = await call.request("kms", "DescribeKey", where)
        return Made(physical_id, {"Arn": found["KeyMetadata"]["Arn"], "KeyId": physical_id})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """A key that waits for its deletion is gone, as a stack sees it."""
        found = await self.ask_if_there(call, "DescribeKey", KeyId=physical_id)
        if found is None or found["KeyMetadata"]["KeyState"].startswith("PendingDeletion"):
            return None
        about = found["KeyMetadata"]
        made = {name: about[name] for name in ("Description", "KeySpec", "KeyUsage", "Origin")}
        made |= {"Enabled": about["Enabled"], "MultiRegion": about.get("MultiRegion", False)}
        policy = await self.ask(call, "GetKeyPolicy", KeyId=physical_id, PolicyName="default")
        made["KeyPolicy"] = orjson.loads(policy["Policy"])
        made["Tags"] = await self._tags_of(call, physical_id)
        if about["KeySpec"] == "SYMMETRIC_DEFAULT" and about["Origin"] == "AWS_KMS":
            rotation = await self.ask(call, "GetKeyRotationStatus", KeyId=physical_id)
            made["EnableKeyRotation"] = rotation["KeyRotationEnabled"]
            if rotation.get("RotationPeriodInDays"):
                made["RotationPeriodInDays"] = rotation["RotationPeriodInDays"]
        return made

    async def _tags_of(self, call: Call, key_id: str) -> list[dict[str, str]]:
        found = await self.ask(call, "ListResourceTags", KeyId=key_id)
        return [{"Key": t["TagKey"], "Value": t["TagValue"]} for t in found["Tags"]]

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        found = await self.ask(call, "DescribeKey", KeyId=physical_id)
        return Made(physical_id, {"Arn": found["KeyMetadata"]["Arn"], "KeyId": physical_id})

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call, "ListKeys", "Keys", "KeyId", token, cursor=("Marker", "NextMarker")
        )

    async def _settings(
        self, call: Call, key_id: str, old: dict[str, Any], new: dict[str, Any]
    ) -> None:
        where = {"KeyId": key_id}
        enabled = _true(new.get("Enabled", True))
        if enabled != _true(old.get("Enabled", True)) and enabled:
            await call.request("kms", "EnableKey", where)
        rotation = (_true(new.get("EnableKeyRotation")), new.get("RotationPeriodInDays"))
        if rotation != (_true(old.get("EnableKeyRotation")), old.get("RotationPeriodInDays")):
            if rotation[0]:
                days = {"RotationPeriodInDays": int(rotation[1])} if rotation[1] else {}
                await call.request("kms", "EnableKeyRotation", {**where, **days})
            else:
                await call.request("kms", "DisableKeyRotation", where)
        if enabled != _true(old.get("Enabled", True)) and not enabled:
            await call.request("kms", "DisableKey", where)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        days = int(spec.properties.get("PendingWindowInDays") or 30)
        asked = {"KeyId": physical_id, "PendingWindowInDays": days}
        try:
            await call.request("kms", "ScheduleKeyDeletion", asked)
        except Fault as fault:
            if fault.code not in ("NotFoundException", "KMSInvalidStateException"):
                raise


class ReplicaKey(Key):
    """Made by ReplicateKey where the primary is, for the stack's own region."""

    type = "AWS::KMS::ReplicaKey"
    create_only = frozenset({"PrimaryKeyArn"})

    async def create(self, call: Call, spec: Spec) -> Made:
        properties, arn = spec.properties, str(spec.properties["PrimaryKeyArn"])
        parts = arn.split(":")
        if len(parts) != 6:
            raise Fault("ValidationException", f"Invalid arn {arn}")
        request: dict[str, Any] = {
            "KeyId": arn,
            "ReplicaRegion": call.region,
            "Policy": _text(properties["KeyPolicy"]),
            "Description": properties.get("Description", ""),
            "_token": spec.token,
        }
        if properties.get("Tags"):
            request["Tags"] = _tags(properties["Tags"])
        there = call.scoped(call.account, parts[3])
        answer = await there.request("kms", "ReplicateKey", request)
        made = answer["ReplicaKeyMetadata"]
        with created(made["KeyId"]):
            await self._settings(call, made["KeyId"], {}, properties)
        return Made(made["KeyId"], {"Arn": made["Arn"], "KeyId": made["KeyId"]})

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await super().read(call, physical_id, spec)
        if found is None:
            return None
        about = await self.ask(call, "DescribeKey", KeyId=physical_id)
        regions = about["KeyMetadata"].get("MultiRegionConfiguration") or {}
        return {
            **{name: found[name] for name in ("Description", "Enabled", "KeyPolicy", "Tags")},
            "PrimaryKeyArn": regions.get("PrimaryKey", {}).get("Arn"),
        }

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        listed, following = await super().identifiers(call, token)
        replicas = []
        for key_id in listed:
            about = await self.ask(call, "DescribeKey", KeyId=key_id)
            regions = about["KeyMetadata"].get("MultiRegionConfiguration") or {}
            if regions.get("MultiRegionKeyType") == "REPLICA":
                replicas.append(key_id)
        return replicas, following


class Alias(Resource):
    type = "AWS::KMS::Alias"
    service = "kms"
    gone = frozenset({"NotFoundException"})
    create_only = frozenset({"AliasName"})

    async def create(self, call: Call, spec: Spec) -> Made:
        name, target = spec.properties["AliasName"], spec.properties["TargetKeyId"]
        try:
            await call.request("kms", "CreateAlias", {"AliasName": name, "TargetKeyId": target})
        except Fault as fault:
            if fault.code != "AlreadyExistsException" or not await _is_mine(call, name, target):
                raise
        return Made(name)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        """The key by its id, as DescribeKey of the alias says it, or by its ARN where the template does so."""
        found = await self.ask_if_there(call, "DescribeKey", KeyId=physical_id)
        if found is None:
            return None
        about = found["KeyMetadata"]
        stated = str(spec.properties.get("TargetKeyId") or "")
        target = about["Arn"] if stated.startswith("arn:") else about["KeyId"]
        return {"AliasName": physical_id, "TargetKeyId": target}

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call, "ListAliases", "Aliases", "AliasName", token, cursor=("Marker", "NextMarker")
        )

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        target = new.properties["TargetKeyId"]
        await call.request("kms", "UpdateAlias", {"AliasName": physical_id, "TargetKeyId": target})
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        try:
            await call.request("kms", "DeleteAlias", {"AliasName": physical_id})
        except Fault as fault:
            if fault.code != "NotFoundException":
                raise


RESOURCES: tuple[Resource, ...] = (Key(), ReplicaKey(), Alias())


async def _is_mine(call: Call, name: str, target: str) -> bool:
    """Whether the alias is there from an earlier attempt at the same step."""
    listed = await call.request("kms", "ListAliases", {"KeyId": target})
    return any(one["AliasName"] == name for one in listed["Aliases"])


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def _text(policy: Any) -> str:
    return policy if isinstance(policy, str) else orjson.dumps(policy).decode()


def _tags(given: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in given]
