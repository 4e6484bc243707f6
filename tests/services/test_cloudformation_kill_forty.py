"""A stack of forty resources, cut off at its steps: created, updated and deleted as if nothing had happened.

By default some boundaries of each operation are tried; with STRATOLITE_SOAK=1 every one. A boundary is the beginning of
each of the engine's transactions and both sides of each handler's effect (see ``cloudformation_fake``).
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

COUNT = 40
TRIED = 6


def forty(size: int, names: str) -> dict[str, Any]:
    """Four chains of ten; each second link also needs its neighbour's."""
    made = {}
    for n in range(COUNT):
        needs = [f"R{n - 4}"] if n >= 4 else []
        if n % 2 and n >= 5:
            needs.append(f"R{n - 5}")
        text = {"Ref": needs[0]} if needs else "first"
        made[f"R{n}"] = thing(size + n, Name=f"{names}{n % 3}", Text=text, DependsOn=needs)
    return made


FIRST = template(forty(1, "a"))
SECOND = template({k: v for k, v in forty(2, "b").items() if k not in ("R38", "R39")})


async def create(h: Any) -> None:
    made = await h("cloudformation", "CreateStack", StackName="s", TemplateBody=FIRST)
    await settled(h, made["StackId"])


async def update(h: Any) -> None:
    await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=SECOND)
    await settled(h, "s")


async def delete(h: Any) -> None:
    await h("cloudformation", "DeleteStack", StackName="s")


SCENARIOS = {
    "create": (create, False, "CREATE_COMPLETE"),
    "update": (update, True, "UPDATE_COMPLETE"),
    "delete": (delete, True, "DELETE_COMPLETE"),
}


def run(folder: str, scenario: str, cut_at: int) -> tuple[Outside, str, list[tuple[str, str]], int]:
    act, needs_stack, _ = SCENARIOS[scenario]
    outside = Outside()

    async def before(h: Any) -> str:
        await create(h)
        stacks = await h("cloudformation", "DescribeStacks", StackName="s")
        return str(stacks["Stacks"][0]["StackId"])

    stack_id = in_cloud(folder, outside, before) if needs_stack else "s"
    outside.passed, outside.cut_at = 0, cut_at

    async def acting(h: Any) -> None:
        await act(h)
        await settled(h, stack_id)

    in_cloud(folder, outside, acting, until_cut=cut_at >= 0)
    passed, outside.cut_at = outside.passed, -1

    async def at_the_end(h: Any) -> tuple[str, list[tuple[str, str]]]:
        stack = await settled(h, stack_id)
        told, more = [], {}
        while True:
            page = await h("cloudformation", "DescribeStackEvents", StackName=stack_id, **more)
            told += [(e["LogicalResourceId"], e["ResourceStatus"]) for e in page["StackEvents"]]
            if "NextToken" not in page:
                return stack["StackStatus"], told[::-1]
            more = {"NextToken": page["NextToken"]}

    status, told = in_cloud(folder, outside, at_the_end)
    return outside, status, told, passed


def in_order(told: list[tuple[str, str]], resources: dict[str, Any]) -> bool:
    """A resource's creation begins after what it needs is complete, and ends after it began."""
    place = {event: n for n, event in reversed(list(enumerate(told)))}
    for name, resource in resources.items():
        begun = place.get((name, "CREATE_IN_PROGRESS"))
        if begun is None or place[name, "CREATE_COMPLETE"] < begun:
            return False
        if any(place[need, "CREATE_COMPLETE"] > begun for need in resource["DependsOn"]):
            return False
    return True


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_forty_resources_survive_a_kill_at_any_step(tmp_path: Any, scenario: str) -> None:
    """Same things outside, same status, every event once and in order, nothing made twice, no orphan."""
    whole, status, story, boundaries = run(str(tmp_path / "whole"), scenario, -1)
    assert status == SCENARIOS[scenario][2]
    assert boundaries > 3 * COUNT
    step = 1 if os.environ.get("STRATOLITE_SOAK") else boundaries // TRIED
    for cut_at in range(step // 2, boundaries, step):
        outside, ended, told, _ = run(str(tmp_path / str(cut_at)), scenario, cut_at)
        assert ended == status, cut_at
        assert outside.shape() == whole.shape(), cut_at
        assert len(outside.tokens) == len(whole.tokens), cut_at
        assert sorted(told) == sorted(story), cut_at
        assert in_order(told, forty(1, "a")), cut_at
