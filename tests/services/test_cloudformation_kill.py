"""A stack operation cut off at any boundary ends, after a restart, as if it had never been cut off.

The boundaries are the beginning of every transaction of the engine and both sides of every handler's effect. At
the cut everything stands still, the process's tasks are dropped and the data folder is opened again.
"""

from __future__ import annotations

from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

FIRST = {
    "A": thing(1, Name="a"),
    "B": thing({"Fn::GetAtt": ["A", "Size"]}, Text={"Ref": "A"}),
    "C": thing(3),
}
SECOND = {"A": thing(1, Name="b"), "B": thing(2, Text={"Ref": "A"}), "D": thing(4, DependsOn="B")}
BROKEN = {**SECOND, "E": thing(5, Refuse="create", DependsOn=["B", "D"])}
ENDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "DELETE_COMPLETE")


FAILED = {**FIRST, "C": thing(4, Refuse="update"), "D": thing(4, Refuse="half way")}
CARRIED_ON = {**FIRST, "B": thing(7, Text={"Ref": "A"}), "C": thing(4), "D": thing(5)}


def start(operation: str, **request: Any) -> Any:
    async def body(h: Any) -> str:
        made = await h("cloudformation", operation, StackName="s", **request)
        if operation == "DeleteStack":
            return ""
        return (await settled(h, made["StackId"]))["StackStatus"]

    return body


async def created(h: Any) -> str:
    made = await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(FIRST))
    await settled(h, "s")
    return made["StackId"]


async def failed(h: Any) -> str:
    """An update that failed and stays so."""
    stack_id = await created(h)
    kept = {"TemplateBody": template(FAILED), "DisableRollback": True}
    await h("cloudformation", "UpdateStack", StackName="s", **kept)
    await settled(h, "s")
    return stack_id


SCENARIOS = {
    "create": (start("CreateStack", TemplateBody=template(FIRST)), None, "CREATE_COMPLETE"),
    "update": (start("UpdateStack", TemplateBody=template(SECOND)), created, "UPDATE_COMPLETE"),
    "rollback": (
        start("UpdateStack", TemplateBody=template(BROKEN)),
        created,
        "UPDATE_ROLLBACK_COMPLETE",
    ),
    "delete": (start("DeleteStack"), created, "DELETE_COMPLETE"),
    "carried on": (
        start("UpdateStack", TemplateBody=template(CARRIED_ON), DisableRollback=True),
        failed,
        "UPDATE_COMPLETE",
    ),
}


def run(folder: str, scenario: str, cut_at: int) -> tuple[Outside, str, list[tuple[str, str]], int]:
    """What is outside at the end, the stack's status and its story, and how many boundaries were passed."""
    act, before, _ = SCENARIOS[scenario]
    outside = Outside()
    stack_id = in_cloud(folder, outside, before) if before is not None else "s"
    outside.passed, outside.cut_at = 0, cut_at

    async def until_settled(h: Any) -> str:
        await act(h)
        return (await settled(h, stack_id))["StackStatus"]

    in_cloud(folder, outside, until_settled, until_cut=cut_at >= 0)
    passed, outside.cut_at = outside.passed, -1

    async def at_the_end(h: Any) -> tuple[str, list[tuple[str, str]]]:
        stack = await settled(h, stack_id)
        events = await h("cloudformation", "DescribeStackEvents", StackName=stack_id)
        told = [(e["LogicalResourceId"], e["ResourceStatus"]) for e in events["StackEvents"]]
        return stack["StackStatus"], told

    status, told = in_cloud(folder, outside, at_the_end)
    return outside, status, told, passed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_operation_cut_off_anywhere_ends_the_same(tmp_path: Any, scenario: str) -> None:
    """Same things outside, same status, every event once, no thing made twice for one step."""
    whole, status, story, boundaries = run(str(tmp_path / "whole"), scenario, -1)
    assert status == SCENARIOS[scenario][2]
    assert boundaries > 15
    for cut_at in range(0, boundaries, 3 if scenario == "carried on" else 1):
        outside, ended, told, _ = run(str(tmp_path / str(cut_at)), scenario, cut_at)
        assert ended == status, cut_at
        assert outside.shape() == whole.shape(), cut_at
        assert len(outside.tokens) == len(whole.tokens), cut_at
        assert sorted(told) == sorted(story), cut_at
