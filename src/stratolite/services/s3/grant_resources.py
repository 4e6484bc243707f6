"""CloudFormation's AWS::S3::AccessGrantsInstance, AWS::S3::AccessGrantsLocation and AWS::S3::AccessGrant.

Sources  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-accessgrantsinstance.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-accessgrantslocation.html
         https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-accessgrant.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from stratolite.service import Call, Made, Resource, Response, Spec, picked, tag_list

_MISSING = "AccessGrantsInstanceNotExistsError"


class _Granting(Resource):
    """What the three share: their calls name the account, their tags are the control API's."""

    service = "s3control"
    what: ClassVar[str]
    """As operations call it, ``AccessGrantsLocation``; its id and ARN are members of that name."""

    async def control(self, call: Call, operation: str, /, **request: Any) -> Response:
        return await self.ask(call, operation, AccountId=call.account, **request)

    async def found(self, call: Call, physical_id: str) -> Response | None:
        where = self.where(physical_id)
        return await self.ask_if_there(call, f"Get{self.what}", AccountId=call.account, **where)

    def where(self, physical_id: str) -> dict[str, str]:
        return {f"{self.what}Id": physical_id}

    def made(self, answer: Response) -> Made:
        names = (f"{self.what}Arn", f"{self.what}Id", "GrantScope")
        return Made(answer[f"{self.what}Id"], picked(answer, *names))

    async def tag(self, call: Call, arn: str, old: Spec, new: Spec) -> None:
        before, wanted = old.tags(), new.tags()
        if gone := sorted(before.keys() - wanted.keys()):
            await self.control(call, "UntagResource", ResourceArn=arn, TagKeys=gone)
        if fresh := {k: v for k, v in wanted.items() if before.get(k) != v}:
            await self.control(call, "TagResource", ResourceArn=arn, Tags=tag_list(fresh))

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        answer = await self.control(call, f"Get{self.what}", **self.where(physical_id))
        await self.tag(call, answer[f"{self.what}Arn"], old, new)
        return self.made(answer)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        where = self.where(physical_id)
        await self.ask_if_there(call, f"Delete{self.what}", AccountId=call.account, **where)

    async def adopt(self, call: Call, physical_id: str, spec: Spec) -> Made:
        return self.made(await self.control(call, f"Get{self.what}", **self.where(physical_id)))

    async def tags_of(self, call: Call, arn: str) -> list[dict[str, str]]:
        found = await self.control(call, "ListTagsForResource", ResourceArn=arn)
        return list(found.get("Tags") or ())


class AccessGrantsInstance(_Granting):
    type = "AWS::S3::AccessGrantsInstance"
    what = "AccessGrantsInstance"
    gone = frozenset({_MISSING})
    refused: ClassVar[Mapping[str, frozenset[str]]] = {"IdentityCenterArn": frozenset()}

    def where(self, physical_id: str) -> dict[str, str]:
        return {}

    def made(self, answer: Response) -> Made:
        """Ref gives its ARN."""
        attributes = picked(answer, "AccessGrantsInstanceArn", "AccessGrantsInstanceId")
        return Made(answer["AccessGrantsInstanceArn"], attributes)

    async def create(self, call: Call, spec: Spec) -> Made:
        return self.made(
            await self.control(
                call,
                "CreateAccessGrantsInstance",
                Tags=tag_list(spec.tags()) or None,
                _token=spec.token,
            )
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.found(call, physical_id)
        return None if found is None else {"Tags": await self.tags_of(call, physical_id)}

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call, "ListAccessGrantsInstances", "AccessGrantsInstancesList", "AccessGrantsInstanceArn",
            token, AccountId=call.account,
        )  # fmt: skip


class AccessGrantsLocation(_Granting):
    type = "AWS::S3::AccessGrantsLocation"
    what = "AccessGrantsLocation"
    gone = frozenset({_MISSING, "NoSuchAccessGrantsLocationError"})
    create_only = frozenset({"LocationScope"})

    async def create(self, call: Call, spec: Spec) -> Made:
        properties = spec.properties
        return self.made(
            await self.control(
                call,
                "CreateAccessGrantsLocation",
                LocationScope=properties["LocationScope"],
                IAMRoleArn=properties["IamRoleArn"],
                Tags=tag_list(spec.tags()) or None,
                _token=spec.token,
            )
        )

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        role = new.properties["IamRoleArn"]
        if role != old.properties["IamRoleArn"]:
            where = self.where(physical_id)
            await self.control(call, "UpdateAccessGrantsLocation", **where, IAMRoleArn=role)
        return await super().update(call, physical_id, old, new)

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.found(call, physical_id)
        if found is None:
            return None
        return {
            "LocationScope": found["LocationScope"],
            "IamRoleArn": found["IAMRoleArn"],
            "Tags": await self.tags_of(call, found["AccessGrantsLocationArn"]),
        }

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call, "ListAccessGrantsLocations", "AccessGrantsLocationsList", "AccessGrantsLocationId",
            token, AccountId=call.account,
        )  # fmt: skip


class AccessGrant(_Granting):
    type = "AWS::S3::AccessGrant"
    what = "AccessGrant"
    gone = frozenset({_MISSING, "NoSuchAccessGrantError"})
    create_only = frozenset(
        {
            "AccessGrantsLocationId",
            "AccessGrantsLocationConfiguration",
            "Grantee",
            "Permission",
            "S3PrefixType",
        }
    )
    refused: ClassVar[Mapping[str, frozenset[str]]] = {
        "ApplicationArn": frozenset(),
        "Grantee.GranteeType": frozenset({"IAM"}),
    }
    unread = frozenset({"S3PrefixType"})

    async def create(self, call: Call, spec: Spec) -> Made:
        names = self.create_only
        return self.made(
            await self.control(
                call,
                "CreateAccessGrant",
                **picked(spec.properties, *names),
                Tags=tag_list(spec.tags()) or None,
                _token=spec.token,
            )
        )

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.found(call, physical_id)
        if found is None:
            return None
        tags = await self.tags_of(call, found["AccessGrantArn"])
        return {**picked(found, *(self.create_only - {"S3PrefixType"})), "Tags": tags}

    async def identifiers(self, call: Call, token: str) -> tuple[list[str], str]:
        return await self.page_of(
            call, "ListAccessGrants", "AccessGrantsList", "AccessGrantId", token, AccountId=call.account
        )  # fmt: skip


GRANTING: tuple[Resource, ...] = (AccessGrantsInstance(), AccessGrantsLocation(), AccessGrant())
