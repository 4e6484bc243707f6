"""The operations of Step Functions put together, and what IAM must allow for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from stratolite.service import Access, Call, Request, Resource, Service, Tagged, Worker
from stratolite.services.stepfunctions import names, state, worker
from stratolite.services.stepfunctions.executions import Executions
from stratolite.services.stepfunctions.machines import Machines


class Stepfunctions(Machines, Executions, Service):
    name: ClassVar[str] = "stepfunctions"
    prefix: ClassVar[str] = "states"
    validated: ClassVar[bool] = True

    tag_types: ClassVar[tuple[str, ...]] = ("states:stateMachine", "states:activity")

    def tagged(self, call: Call, kind: str, after: str) -> Iterator[Tagged]:
        what = "machine" if kind == "states:stateMachine" else "activity"
        arn_of = names.machine_arn if what == "machine" else names.activity_arn
        for name, record in state.rows(call.tx, call.keys("stepfunctions"), what, after=after):
            yield Tagged(name, arn_of(call, name), record["tags"])

    def access(self, call: Call, operation: str, request: Request) -> Sequence[Access]:
        """https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html"""
        action = f"states:{operation}"
        if operation == "CreateActivity":
            return ((action, names.activity_arn(call, request["name"])),)
        if operation == "CreateStateMachine":
            arn = names.machine_arn(call, request["name"])
            return ((action, arn), ("iam:PassRole", request["roleArn"]))
        needed = [(action, self._resource(request))]
        if role := request.get("roleArn"):
            needed.append(("iam:PassRole", role))
        return tuple(needed)

    def _resource(self, request: Request) -> str:
        for member in (
            "stateMachineArn", "executionArn", "activityArn", "resourceArn", "stateMachineAliasArn", "stateMachineVersionArn",
        ):  # fmt: skip
            if member in request:
                return str(request[member])
        if routes := request.get("routingConfiguration"):
            return str(routes[0].get("stateMachineVersionArn", "*"))
        return "*"

    def condition_keys(
        self, call: Call, operation: str, request: Request, needed: Access
    ) -> dict[str, list[str]]:
        if needed[0] == "iam:PassRole":
            return {"iam:passedtoservice": [worker.SERVICE]}
        return {}

    def workers(self) -> Iterable[Worker]:
        return worker.workers(self.cloud)

    def resources(self) -> Iterable[Resource]:
        from stratolite.services.stepfunctions.resources import RESOURCES

        return RESOURCES
