"""A service with resource types of its own, whose things live outside the cloud: what a stack did can be seen there.

``Test::Fake::Thing`` takes ``Name`` (create only), ``Size``, ``Text``, ``Refuse`` (fail at create | half way | update | delete);
``Test::Fake::Fixed`` cannot be updated, ``Test::Fake::Moving`` is another after each update. A thing's Ref is its id, its attributes are Arn and Size.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import orjson
from harness import Harness

from stratolite.clock import World
from stratolite.errors import Fault
from stratolite.service import Call, Cloud, Made, Resource, Service, Spec
from stratolite.services import resource_owner
from stratolite.services.cloudformation import quotas
from stratolite.services.cloudformation.engine import Operation


class Outside:
    """What is there, whatever happens to the cloud. ``cut_at`` stops everything at that boundary, for ever."""

    def __init__(self, cut_at: int = -1) -> None:
        self.things: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.together = self.most_together = 0
        self.cut_at, self.passed = cut_at, 0
        self.cut = asyncio.Event()
        self.undeletable: set[str] = set()
        """Ids that cannot be deleted now."""
        self.gate: asyncio.Event | None = None
        """While it is there and not set, handlers wait before their effect."""

    async def boundary(self) -> None:
        if self.passed == self.cut_at:
            self.cut.set()
            await asyncio.get_running_loop().create_future()
        self.passed += 1

    def shape(self) -> list[tuple[str, Any, Any]]:
        """What there is, without ids."""
        return sorted(
            (thing["logical_id"], thing.get("Name"), orjson.dumps(thing.get("Size")))
            for thing in self.things.values()
        )


class _Thing(Resource):
    type = "Test::Fake::Thing"
    create_only = frozenset({"Name"})

    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    async def create(self, call: Call, spec: Spec) -> Made:
        await self.enter("create", spec)
        outside = self.outside
        known = outside.tokens.get(spec.token)
        if known is None:
            known = outside.tokens[spec.token] = f"{spec.logical_id}-{len(outside.tokens)}"
            outside.things[known] = {"logical_id": spec.logical_id, "who": call.principal.arn}
        outside.things[known].update(spec.properties)
        if spec.properties.get("Refuse") == "half way":
            raise Fault("InvalidRequest", "stopped half way", PhysicalResourceId=known)
        await outside.boundary()
        return self.made(known)

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self.enter("update", new)
        self.outside.things[physical_id].update(new.properties)
        await self.outside.boundary()
        return self.made(physical_id)

    async def delete(self, call: Call, physical_id: str, spec: Spec) -> None:
        await self.enter("delete", spec)
        if physical_id in self.outside.undeletable:
            raise Fault("InvalidRequest", f"{physical_id} cannot be deleted now")
        self.outside.things.pop(physical_id, None)
        await self.outside.boundary()

    async def read(self, call: Call, physical_id: str, spec: Spec) -> dict[str, Any] | None:
        thing = self.outside.things.get(physical_id)
        return None if thing is None else {k: v for k, v in thing.items() if k[0].isupper()}

    async def enter(self, verb: str, spec: Spec) -> None:
        outside = self.outside
        await outside.boundary()
        outside.calls.append((verb, spec.logical_id))
        outside.together += 1
        outside.most_together = max(outside.most_together, outside.together)
        for _ in range(5):
            await asyncio.sleep(0)
        outside.together -= 1
        if outside.gate is not None:
            await outside.gate.wait()
        if spec.properties.get("Refuse") == verb:
            raise Fault("InvalidRequest", f"no {verb} of {spec.logical_id}")

    def made(self, physical_id: str) -> Made:
        size = self.outside.things[physical_id].get("Size", 0)
        return Made(physical_id, {"Arn": f"arn:fake:{physical_id}", "Size": size})


class _Fixed(_Thing):
    type = "Test::Fake::Fixed"
    create_only = frozenset()
    update = Resource.update


class _Moving(_Thing):
    """Every update makes another, as a custom resource may: the one before is the engine's to delete."""

    type = "Test::Fake::Moving"
    create_only = frozenset()

    async def update(self, call: Call, physical_id: str, old: Spec, new: Spec) -> Made:
        await self.enter("update", new)
        made, outside = f"{physical_id}+", self.outside
        outside.things[made] = {"logical_id": new.logical_id, **new.properties}
        await outside.boundary()
        return self.made(made)


def offer(cloud: Cloud, outside: Outside) -> None:
    class Fake(Service):
        name = "fake"

        def resources(self) -> Any:
            return (_Thing(outside), _Fixed(outside), _Moving(outside))

    cloud.services = {**cloud.services, "fake": Fake}
    cloud.resource_owner = lambda t: "fake" if t.startswith("Test::Fake::") else resource_owner(t)


def kill(cloud: Cloud) -> Any:
    """End everything under way without a word, as SIGKILL does; only the file locks are given back."""

    async def run() -> None:
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await cloud.runtime.close()
        await cloud.db.close()

    return run()


def in_cloud(
    folder: str, outside: Outside, body: Any, *, until_cut: bool = False, later_s: float = 0.0
) -> Any:
    """``await body(harness)`` in a cloud that offers the fake types; killed at the cut, if there is to be one."""
    from stratolite.server import open_cloud

    async def main() -> Any:
        wait_s, quotas.ANSWER_WAIT_S = quotas.ANSWER_WAIT_S, 0.0  # tests look at what is under way
        world = World()
        world.cloud_offset_s = later_s
        cloud = await open_cloud(folder, world)
        offer(cloud, outside)
        original = Operation.tx

        async def watched(self: Operation, work: Any) -> Any:
            await outside.boundary()
            return await original(self, work)

        Operation.tx = watched  # type: ignore[method-assign]
        result = None
        try:
            task = asyncio.ensure_future(body(Harness(cloud)))
            if until_cut:
                cut = asyncio.ensure_future(outside.cut.wait())
                await asyncio.wait([task, cut], return_when=asyncio.FIRST_COMPLETED)
                with contextlib.suppress(asyncio.CancelledError):
                    await kill(cloud)
                if task.done() and not task.cancelled():
                    task.result()
            else:
                result = await asyncio.wait_for(task, 60)
                await cloud.close()
        finally:
            Operation.tx = original  # type: ignore[method-assign]
            quotas.ANSWER_WAIT_S = wait_s
        return result

    return asyncio.run(main())


async def settled(h: Harness, name: str) -> dict[str, Any]:
    """The stack once nothing is under way."""
    for _ in range(40_000):
        stack = (await h("cloudformation", "DescribeStacks", StackName=name))["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        await asyncio.sleep(0.002)
    raise AssertionError(stack)


def thing(size: Any = 1, **more: Any) -> dict[str, Any]:
    """A resource of a template; keyword arguments in lower case are resource attributes."""
    properties = {
        key: value for key, value in more.items() if key[0].isupper() and key not in _ATTRIBUTES
    }
    attributes = {key: value for key, value in more.items() if key in _ATTRIBUTES}
    return {"Type": "Test::Fake::Thing", "Properties": {"Size": size, **properties}, **attributes}


_ATTRIBUTES = {"DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Condition", "Metadata"}


def template(resources: dict[str, Any], **sections: Any) -> str:
    return orjson.dumps({"Resources": resources, **sections}).decode()
