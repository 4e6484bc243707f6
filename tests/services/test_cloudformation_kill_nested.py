"""A stack with a stack inside, cut off while it is created, updated, and rolled back: it ends as if it had not been.

The inner stack has no job of its own; its parent's, resumed, carries it on.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

URL = "https://s3.amazonaws.com/templates/child"
TRIED = 7


def child(name: str) -> str:
    return template(
        {"T": thing(1, Name=name), "U": thing(2, DependsOn="T")},
        Outputs={"Arn": {"Value": {"Fn::GetAtt": ["T", "Arn"]}}},
    )


def outer(size: int, **more: Any) -> str:
    inner = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": URL}}
    text = {"Fn::GetAtt": ["N", "Outputs.Arn"]}
    return template({"A": thing(size), "N": inner, "Z": thing(size, Text=text, **more)})


async def put(h: Any, name: str) -> None:
    await h("s3", "PutObject", Bucket="templates", Key="child", Body=child(name).encode())


async def create(h: Any) -> None:
    await h("s3", "CreateBucket", Bucket="templates")
    await put(h, "a")
    await h("cloudformation", "CreateStack", StackName="s", TemplateBody=outer(1))
    await settled(h, "s")


async def prepared(h: Any) -> None:
    await create(h)
    await put(h, "b")


async def update(h: Any) -> None:
    await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=outer(2))


async def fail(h: Any) -> None:
    body = outer(2, Refuse="update")
    await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=body)


async def change_set(h: Any) -> None:
    await h(
        "cloudformation",
        "CreateChangeSet",
        StackName="s",
        ChangeSetName="c",
        TemplateBody=outer(2),
        IncludeNestedStacks=True,
    )
    await put(h, "not looked at")
    await h("cloudformation", "ExecuteChangeSet", StackName="s", ChangeSetName="c")


SCENARIOS = {
    "change set": (change_set, "UPDATE_COMPLETE"),
    "update": (update, "UPDATE_COMPLETE"),
    "rollback": (fail, "UPDATE_ROLLBACK_COMPLETE"),
}


def run(folder: str, scenario: str, cut_at: int) -> tuple[Outside, dict[str, str], int]:
    """What is outside, the stacks' statuses, and how many boundaries were passed."""
    outside = Outside()
    in_cloud(folder, outside, prepared)
    outside.passed, outside.cut_at = 0, cut_at

    async def acting(h: Any) -> None:
        await SCENARIOS[scenario][0](h)
        await settled(h, "s")

    in_cloud(folder, outside, acting, until_cut=cut_at >= 0)
    passed, outside.cut_at = outside.passed, -1

    async def at_the_end(h: Any) -> dict[str, str]:
        await settled(h, "s")
        stacks = (await h("cloudformation", "DescribeStacks"))["Stacks"]
        return {("outer" if s["StackName"] == "s" else "inner"): s["StackStatus"] for s in stacks}

    return outside, in_cloud(folder, outside, at_the_end), passed


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nested_stacks_survive_a_kill_at_any_step(tmp_path: Any, scenario: str) -> None:
    whole, statuses, boundaries = run(str(tmp_path / "whole"), scenario, -1)
    assert statuses == dict.fromkeys(("outer", "inner"), SCENARIOS[scenario][1])
    step = 1 if os.environ.get("STRATOLITE_SOAK") else max(1, boundaries // TRIED)
    for cut_at in range(step // 2, boundaries, step):
        outside, ended, _ = run(str(tmp_path / str(cut_at)), scenario, cut_at)
        assert ended == statuses, cut_at
        assert outside.shape() == whole.shape(), cut_at
        assert len(outside.tokens) == len(whole.tokens), cut_at
