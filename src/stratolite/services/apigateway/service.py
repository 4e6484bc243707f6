"""Amazon API Gateway's REST APIs: the service of all their operations and their door."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Access, Call, Cloud, Door, Request, Resource, Service, Tagged
from stratolite.services.apigateway import access, state
from stratolite.services.apigateway.account import Account
from stratolite.services.apigateway.api_keys import ApiKeys
from stratolite.services.apigateway.authorizers import Authorizers
from stratolite.services.apigateway.doors import EXECUTE, Gate
from stratolite.services.apigateway.gateway_responses import GatewayResponses
from stratolite.services.apigateway.integrations import Integrations
from stratolite.services.apigateway.methods import Methods
from stratolite.services.apigateway.models import Models
from stratolite.services.apigateway.parts import api_arn
from stratolite.services.apigateway.rest_apis import RestApis
from stratolite.services.apigateway.stages import Stages
from stratolite.services.apigateway.tree import Tree
from stratolite.services.apigateway.usage_plans import UsagePlans

_TAGGED_PAGE = 100
_KINDS = {"restapis": "api", "apikeys": "key", "usageplans": "plan"}


class Apigateway(
    RestApis,
    Tree,
    Methods,
    Integrations,
    Models,
    Authorizers,
    GatewayResponses,
    Stages,
    ApiKeys,
    UsagePlans,
    Account,
    Service,
):
    name: ClassVar[str] = "apigateway"
    validated: ClassVar[bool] = True
    tag_types: ClassVar[tuple[str, ...]] = (
        "apigateway:restapis",
        "apigateway:apikeys",
        "apigateway:usageplans",
    )

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self._gate = Gate(self)

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        """Requests for any API id that no HTTP API has."""
        return await self._gate.serve(call, door, request)

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        return access.needed(call, operation, request)

    def is_owners_alone(self, call: Call, operation: str, request: Request) -> bool:
        return operation != EXECUTE

    def resource_policy(self, call: Call, resource: str) -> str | None:
        """An API's policy, as the stage's deployment has it."""
        parts = resource.split(":", 5)
        if len(parts) != 6 or parts[2] != "execute-api":
            return None
        api, stage = parts[5].split("/", 3)[:2]
        keys = call.keys(self.name)
        found = state.read(call.tx, keys, "stage", api, stage)
        if found is None:
            return None
        deployed = state.deployed(call.tx, keys, api, found["deploymentId"])
        return None if deployed is None else deployed.policy

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        path = kind.partition(":")[2]
        keys, more = call.keys(self.name), True
        while more:
            found, last = state.page(call.tx, keys, _KINDS[path], (), after, _TAGGED_PAGE)
            for one in found:
                yield Tagged(one["id"], api_arn(call, path, one["id"]), one.get("tags") or {})
            after, more = last or "", last is not None

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.apigateway.resources import RESOURCES

        return RESOURCES
