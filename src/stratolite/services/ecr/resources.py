"""The CloudFormation type of the registry: Repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import orjson

from stratolite.errors import Fault
from stratolite.service import Call, Made, Resource, Spec, created, tag_list

_FILTER = "ImageTagMutabilityExclusionFilter"


class _Repository(Resource):
    type = "AWS::ECR::Repository"
    service = "ecr"
    gone = frozenset({"RepositoryNotFoundException"})
    create_only = frozenset({"RepositoryName", "EncryptionConfiguration"})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "EncryptionConfiguration.EncryptionType": frozenset({"AES256"}),
        "EncryptionConfiguration.KmsKey": frozenset({""}),
        "LifecyclePolicy.RegistryId": frozenset({""}),
    }
    unread = frozenset({"EmptyOnDelete"})

    async def create(self, call: Call, spec: Spec) -> Made:
        props = spec.properties
        name = props.get("RepositoryName") or spec.generated_name(256, lower=True)
        made = await self.ask(
            call, "CreateRepository", repositoryName=name, tags=tag_list(spec.tags()),
            imageScanningConfiguration=_scanning(spec), StackToken=spec.token, **_mutability(spec),
        )  # fmt: skip
        with created(name):
            if policy := props.get("RepositoryPolicyText"):
                await self._policy(call, name, policy)
            if text := _lifecycle(spec):
                await self.ask(
                    call, "PutLifecyclePolicy", repositoryName=name, lifecyclePolicyText=text
                )
            return _made(made["repository"])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        name = {"repositoryName": physical_id}
        await self.ask(call, "PutImageTagMutability", **name, **_mutability(new))
        await self.ask(
            call, "PutImageScanningConfiguration", **name, imageScanningConfiguration=_scanning(new)
        )
        if policy := new.properties.get("RepositoryPolicyText"):
            await self._policy(call, physical_id, policy)
        elif await self._policy_of(call, physical_id):
            await self.ask(call, "DeleteRepositoryPolicy", **name)
        if text := _lifecycle(new):
            await self.ask(call, "PutLifecyclePolicy", **name, lifecyclePolicyText=text)
        elif await self._lifecycle_of(call, physical_id):
            await self.ask(call, "DeleteLifecyclePolicy", **name)
        page = await self.ask(call, "DescribeRepositories", repositoryNames=[physical_id])
        (repository,) = page["repositories"]
        arn, tags = repository["repositoryArn"], new.tags()
        if gone := sorted(old.tags().keys() - tags.keys()):
            await self.ask(call, "UntagResource", resourceArn=arn, tagKeys=gone)
        if tags:
            await self.ask(call, "TagResource", resourceArn=arn, tags=tag_list(tags))
        return _made(repository)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.ask_if_there(call, "DeleteRepository", repositoryName=physical_id)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        page = await self.ask_if_there(call, "DescribeRepositories", repositoryNames=[physical_id])
        if page is None:
            return None
        (found,) = page["repositories"]
        tags = await self.ask(call, "ListTagsForResource", resourceArn=found["repositoryArn"])
        props: dict[str, Any] = {
            "RepositoryName": physical_id,
            "ImageTagMutability": found["imageTagMutability"],
            "ImageScanningConfiguration": {
                "ScanOnPush": found["imageScanningConfiguration"]["scanOnPush"]
            },
            "EncryptionConfiguration": {"EncryptionType": "AES256"},
            "Tags": tags["tags"],
        }
        if filters := found.get("imageTagMutabilityExclusionFilters"):
            props["ImageTagMutabilityExclusionFilters"] = [
                {f"{_FILTER}Type": f["filterType"], f"{_FILTER}Value": f["filter"]} for f in filters
            ]
        if policy := await self._policy_of(call, physical_id):
            stated = spec.properties.get("RepositoryPolicyText")
            props["RepositoryPolicyText"] = (
                policy if isinstance(stated, str) else orjson.loads(policy)
            )
        if text := await self._lifecycle_of(call, physical_id):
            props["LifecyclePolicy"] = {"LifecyclePolicyText": text}
        return props

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        page = await self.ask(call, "DescribeRepositories", repositoryNames=[physical_id])
        return _made(page["repositories"][0])

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        page = await self.ask(call, "DescribeRepositories", nextToken=token or None)
        return [r["repositoryName"] for r in page["repositories"]], page.get("nextToken", "")

    async def _policy(self, call: Call, name: str, policy: Any) -> None:
        text = policy if isinstance(policy, str) else orjson.dumps(policy).decode()
        await self.ask(call, "SetRepositoryPolicy", repositoryName=name, policyText=text)

    async def _policy_of(self, call: Call, name: str) -> str:
        return await self._text_of(call, name, "RepositoryPolicy", "policyText")

    async def _lifecycle_of(self, call: Call, name: str) -> str:
        return await self._text_of(call, name, "LifecyclePolicy", "lifecyclePolicyText")

    async def _text_of(self, call: Call, name: str, what: str, member: str) -> str:
        try:
            found = await self.ask(call, f"Get{what}", repositoryName=name)
        except Fault as fault:
            if fault.code != f"{what}NotFoundException":
                raise
            return ""
        return str(found[member])


def _made(repository: dict[str, Any]) -> Made:
    return Made(
        repository["repositoryName"],
        {"Arn": repository["repositoryArn"], "RepositoryUri": repository["repositoryUri"]},
    )


def _scanning(spec: Spec) -> dict[str, bool]:
    given = spec.properties.get("ImageScanningConfiguration") or {}
    return {"scanOnPush": bool(given.get("ScanOnPush"))}


def _lifecycle(spec: Spec) -> str:
    return str((spec.properties.get("LifecyclePolicy") or {}).get("LifecyclePolicyText") or "")


def _mutability(spec: Spec) -> dict[str, Any]:
    filters = [
        {"filterType": f[f"{_FILTER}Type"], "filter": f[f"{_FILTER}Value"]}
        for f in spec.properties.get(f"{_FILTER}s") or ()
    ]
    return {
        "imageTagMutability": spec.properties.get("ImageTagMutability", "MUTABLE"),
        "imageTagMutabilityExclusionFilters": filters or None,
    }


RESOURCES: tuple[Resource, ...] = (_Repository(),)
