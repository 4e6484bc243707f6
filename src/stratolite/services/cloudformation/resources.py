"""CloudFormation's own types: Stack, CustomResource and Custom::*, WaitCondition and its handle, Macro; CDK's Metadata."""

from __future__ import annotations

from typing import ClassVar

from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.cloudformation.custom import (
    Custom,
    CustomResource,
    Handle,
    Macro,
    WaitCondition,
)
from stratolite.services.cloudformation.nested import Nested


class CdkMetadata(Resource):
    """What CDK puts into every template for AWS's statistics: there is nothing behind it, on AWS neither.

    https://docs.aws.amazon.com/cdk/v2/guide/usage-data.html
    """

    type = "AWS::CDK::Metadata"
    attributes: ClassVar[frozenset[str] | None] = frozenset()

    async def create(self, call: Call, spec: Spec) -> Made:
        return Made(spec.token)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        return Made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        return


RESOURCES: tuple[Resource, ...] = (
    Nested(),
    CustomResource(),
    Custom(),
    WaitCondition(),
    Handle(),
    Macro(),
    CdkMetadata(),
)
