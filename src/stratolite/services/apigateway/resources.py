"""CloudFormation types of REST APIs, all of them, and the account's settings.

Source  https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ApiGateway.html
"""

from __future__ import annotations

from typing import Any

from stratolite.service import Call, Made, Resource, Spec
from stratolite.services.apigateway.api_resources import (
    Authorizer,
    GatewayResponse,
    Method,
    Model,
    PathResource,
    RequestValidator,
    RestApi,
)
from stratolite.services.apigateway.plan_resources import ApiKey, UsagePlan, UsagePlanKey
from stratolite.services.apigateway.resource_parts import RestType, replaced
from stratolite.services.apigateway.stage_resources import Deployment, Stage


class Account(RestType):
    """One an account and region has. Its deletion leaves the settings, as AWS does."""

    type = "AWS::ApiGateway::Account"

    async def create(self, call: Call, spec: Spec) -> Made:
        await self._settle(call, spec)
        physical_id = spec.generated_name(60)
        return Made(physical_id, {"Id": physical_id})

    async def _settle(self, call: Call, spec: Spec) -> None:
        role = spec.properties.get("CloudWatchRoleArn")
        operation = replaced("/cloudwatchRoleArn", role or "")
        await self.ask(call, "UpdateAccount", patchOperations=[operation])

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self._settle(call, new)
        return Made(physical_id, {"Id": physical_id})

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        return

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        found = await self.ask(call, "GetAccount")
        role = found.get("cloudwatchRoleArn")
        return {"CloudWatchRoleArn": role} if role else {}


RESOURCES: tuple[Resource, ...] = (
    RestApi(),
    PathResource(),
    Method(),
    Model(),
    RequestValidator(),
    Authorizer(),
    GatewayResponse(),
    Deployment(),
    Stage(),
    ApiKey(),
    UsagePlan(),
    UsagePlanKey(),
    Account(),
)
