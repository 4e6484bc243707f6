"""CloudFormation types of Secrets Manager: Secret, ResourcePolicy, RotationSchedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Response, Spec
from stratolite.services.secretsmanager import passwords

_AWS_KEY = "alias/aws/secretsmanager"


class Secret(Resource):
    type = "AWS::SecretsManager::Secret"
    service = "secretsmanager"
    create_only = frozenset({"Name"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "Type": frozenset({""}),
    }
    unread = frozenset({"GenerateSecretString", "SecretString"})

    async def create(self, call: Call, spec: Spec) -> Made:
        wanted = spec.properties
        answer = await self.ask(
            call,
            "CreateSecret",
            Name=wanted.get("Name") or spec.generated_name(200),
            ClientRequestToken=spec.token.rjust(32, "0")[-64:],
            Description=wanted.get("Description"),
            KmsKeyId=wanted.get("KmsKeyId"),
            SecretString=await self._first_value(call, spec),
            Tags=wanted.get("Tags"),
            AddReplicaRegions=wanted.get("ReplicaRegions") or None,
        )
        _check_replicas(answer)
        return Made(answer["ARN"], {"Id": answer["ARN"]})

    async def _first_value(self, call: Call, spec: Spec) -> str | None:
        """A generated value is generated once: a repeat of the step finds what the first made."""
        wanted = spec.properties
        if wanted.get("SecretString") is not None:
            return str(wanted["SecretString"])
        if "GenerateSecretString" not in wanted:
            return None
        name = wanted.get("Name") or spec.generated_name(200)
        known = await self.ask_if_there(call, "DescribeSecret", SecretId=name)
        token = spec.token.rjust(32, "0")[-64:]
        if known is not None and token in known.get("VersionIdsToStages", {}):
            found: str = (await self.ask(call, "GetSecretValue", SecretId=name))["SecretString"]
            return found
        return _generated(call, wanted["GenerateSecretString"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        wanted, before = new.properties, old.properties
        value = None
        if wanted.get("SecretString") != before.get("SecretString"):
            value = wanted.get("SecretString")
        generated = wanted.get("GenerateSecretString")
        if generated and generated != before.get("GenerateSecretString"):
            value = _generated(call, generated)
        await self.ask(
            call,
            "UpdateSecret",
            SecretId=physical_id,
            ClientRequestToken=(new.step or new.token).rjust(32, "0")[-64:],
            Description=wanted.get("Description", ""),
            KmsKeyId=wanted.get("KmsKeyId", ""),
            SecretString=value,
        )
        after = {t["Key"] for t in wanted.get("Tags") or ()}
        gone = [t["Key"] for t in before.get("Tags") or () if t["Key"] not in after]
        if gone:
            await self.ask(call, "UntagResource", SecretId=physical_id, TagKeys=gone)
        if after:
            await self.ask(call, "TagResource", SecretId=physical_id, Tags=wanted["Tags"])
        await self._replicate(call, physical_id, wanted.get("ReplicaRegions") or [])
        return Made(physical_id, {"Id": physical_id})

    async def _replicate(self, call: Call, arn: str, wanted: list[dict[str, str]]) -> None:
        """Replicas where ``wanted`` has them, and nowhere else."""
        there = await self._replicas(call, arn)
        named = {one["Region"] for one in wanted}
        if gone := [one["Region"] for one in there if one["Region"] not in named]:
            await self.ask(call, "RemoveRegionsFromReplication", SecretId=arn, RemoveReplicaRegions=gone)  # fmt: skip
        if more := [one for one in wanted if one not in there]:
            answer = await self.ask(call, "ReplicateSecretToRegions", SecretId=arn, AddReplicaRegions=more)  # fmt: skip
            _check_replicas(answer)

    async def _replicas(self, call: Call, arn: str) -> list[dict[str, str]]:
        """Those in step with the secret, as the template writes them."""
        found = await self.ask_if_there(call, "DescribeSecret", SecretId=arn) or {}
        return [
            {k: one[k] for k in ("Region", "KmsKeyId") if one.get(k) not in (None, _AWS_KEY)}
            for one in found.get("ReplicationStatus") or ()
        ]

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self._replicate(call, physical_id, [])
        await self.ask_if_there(
            call, "DeleteSecret", SecretId=physical_id, ForceDeleteWithoutRecovery=True
        )

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(call, "ListSecrets", "SecretList", "ARN", token)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeSecret", SecretId=physical_id)
        if found is None or "DeletedDate" in found:
            return None
        read = {m: found[m] for m in ("Name", "Description", "KmsKeyId", "Tags") if m in found}
        replicas = await self._replicas(call, physical_id)
        stated = {one["Region"]: one for one in spec.properties.get("ReplicaRegions") or ()}
        for one in replicas:
            if stated.get(one["Region"], {}).get("KmsKeyId") == _AWS_KEY:
                one.setdefault("KmsKeyId", _AWS_KEY)
        return read | ({"ReplicaRegions": replicas} if replicas else {})


def _check_replicas(answer: Response) -> None:
    """A replica that failed fails its resource; the secret is there."""
    for one in answer.get("ReplicationStatus") or ():
        if one["Status"] == "Failed":
            raise Fault("InvalidRequestException", f"{one['Region']}: {one['StatusMessage']}", PhysicalResourceId=answer["ARN"])  # fmt: skip


def _generated(call: Call, wanted: dict[str, Any]) -> str:
    password = passwords.generate(call.world, wanted)
    key, template = wanted.get("GenerateStringKey"), wanted.get("SecretStringTemplate")
    if (key is None) != (template is None):
        raise Fault("InvalidParameterException", "GenerateStringKey and SecretStringTemplate go together.")  # fmt: skip
    if key is None or template is None:
        return password
    try:
        document = orjson.loads(template)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise Fault("InvalidParameterException", "Could not parse SecretStringTemplate JSON.")
    return orjson.dumps(document | {key: password}).decode()


class ResourcePolicy(Resource):
    type = "AWS::SecretsManager::ResourcePolicy"
    service = "secretsmanager"
    create_only = frozenset({"SecretId"})

    async def create(self, call: Call, spec: Spec) -> Made:
        return Made((await self._put(call, spec))["ARN"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._put(call, new)
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteResourcePolicy", SecretId=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "GetResourcePolicy", SecretId=physical_id)
        if found is None or "ResourcePolicy" not in found:
            return None
        policy = orjson.loads(found["ResourcePolicy"])
        return {"SecretId": spec.properties.get("SecretId", physical_id), "ResourcePolicy": policy}

    async def _put(self, call: Call, spec: Spec) -> Response:
        policy = spec.properties["ResourcePolicy"]
        text = policy if isinstance(policy, str) else orjson.dumps(policy).decode()
        return await self.ask(
            call,
            "PutResourcePolicy",
            SecretId=spec.properties["SecretId"],
            ResourcePolicy=text,
            BlockPublicPolicy=spec.properties.get("BlockPublicPolicy"),
        )


class RotationSchedule(Resource):
    type = "AWS::SecretsManager::RotationSchedule"
    service = "secretsmanager"
    create_only = frozenset({"SecretId"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {"HostedRotationLambda": frozenset(), "ExternalSecretRotationMetadata": frozenset(), "ExternalSecretRotationRoleArn": frozenset()}  # fmt: skip
    unread = frozenset({"RotateImmediatelyOnUpdate"})

    async def create(self, call: Call, spec: Spec) -> Made:
        return Made((await self._put(call, spec, immediately=True))["ARN"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._put(call, new, immediately=bool(new.properties.get("RotateImmediatelyOnUpdate", True)))  # fmt: skip
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "CancelRotateSecret", SecretId=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask_if_there(call, "DescribeSecret", SecretId=physical_id)
        if found is None or not found.get("RotationEnabled"):
            return None
        read = {"SecretId": spec.properties.get("SecretId", physical_id)}
        return read | {m: found[m] for m in ("RotationLambdaARN", "RotationRules") if m in found}

    async def _put(self, call: Call, spec: Spec, *, immediately: bool) -> Response:
        wanted = spec.properties
        return await self.ask(
            call,
            "RotateSecret",
            SecretId=wanted["SecretId"],
            ClientRequestToken=spec.token.rjust(32, "0")[-64:],
            RotationLambdaARN=wanted.get("RotationLambdaARN"),
            RotationRules=wanted.get("RotationRules"),
            RotateImmediately=immediately and bool(wanted.get("RotateImmediatelyOnUpdate", True)),
        )


RESOURCES = (Secret(), ResourcePolicy(), RotationSchedule())
