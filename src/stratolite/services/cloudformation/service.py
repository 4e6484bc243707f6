"""CloudFormation as a service: which operations there are, and what IAM must allow for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.http import HttpRequest, HttpResponse
from stratolite.service import Access, Call, Door, Request, Resource, Tagged, Worker
from stratolite.services.cloudformation import costs, signals, state
from stratolite.services.cloudformation.change_sets import ChangeSets
from stratolite.services.cloudformation.costs import Costs
from stratolite.services.cloudformation.drift import Drift, DriftWorker
from stratolite.services.cloudformation.engine import ExpiryWorker, StackWorker
from stratolite.services.cloudformation.notices import BusWorker, NotifyWorker
from stratolite.services.cloudformation.reading import Reading
from stratolite.services.cloudformation.registry import Registry
from stratolite.services.cloudformation.stack_sets import (
    StackSets,
    StackSetWorker,
    administration_role,
)
from stratolite.services.cloudformation.stacks import StackChanges

_TAGGED_PAGE = 100


class Cloudformation(StackChanges, ChangeSets, Reading, Costs, Drift, StackSets, Registry):
    name: ClassVar[str] = "cloudformation"

    tag_types: ClassVar[tuple[str, ...]] = ("cloudformation:stack",)

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        rows = state.rows_of(call)
        while stacks := state.live_stacks(call.tx, rows, after, _TAGGED_PAGE):
            for stack in stacks:
                yield Tagged(stack["name"], stack["id"], stack.get("tags") or {})
            after = stacks[-1]["name"]

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        if set_name := request.get("StackSetName"):
            place = f"arn:aws:cloudformation:{call.region}:{call.account}:stackset"
            wanted = [(f"cloudformation:{operation}", f"{place}/{set_name.split(':')[0]}:*")]
            if admin := request.get("AdministrationRoleARN"):
                wanted.append(("iam:PassRole", admin))
            elif operation == "CreateStackSet":
                wanted.append(("iam:PassRole", administration_role(call)))
            return wanted
        name = request.get("StackName") or ""
        if name.startswith("arn:"):
            resource = name
        elif name:
            resource = f"arn:aws:cloudformation:{call.region}:{call.account}:stack/{name}/*"
        else:
            resource = "*"
        needed = [(f"cloudformation:{operation}", resource)]
        if role := request.get("RoleARN"):
            needed.append(("iam:PassRole", role))
        return needed

    async def serve(self, call: Call, door: Door, request: HttpRequest) -> HttpResponse:
        if door.name == costs.DOOR:
            return costs.serve(call, door, request)
        return await signals.serve(call, door, request)

    def workers(self) -> Iterable[Worker]:
        return (
            StackWorker(self.cloud),
            ExpiryWorker(self.cloud),
            NotifyWorker(self.cloud),
            BusWorker(self.cloud),
            DriftWorker(self.cloud),
            StackSetWorker(self.cloud),
        )

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.cloudformation.resources import RESOURCES

        return RESOURCES
