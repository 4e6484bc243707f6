"""Failures that stay: with its rollback disabled a stack is left as it is, carried on from there, or taken back.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
"""

from __future__ import annotations

from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing
from services.test_cloudformation_operations import inner, nested, put_templates

from stratolite.errors import Fault

KEEP = {"DisableRollback": True}
NOT_SO = r"This stack is currently in a non-terminal \[{}\] state\. To update the stack from this state, please use the disable-rollback parameter"


async def act(h: Any, operation: str, resources: dict[str, Any], **more: Any) -> str:
    """The stack's status at the end of it."""
    asked = {"StackName": "s", "TemplateBody": template(resources), **more}
    await h("cloudformation", operation, **asked)
    return str((await settled(h, "s"))["StackStatus"])


async def rolled_back(h: Any) -> str:
    await h("cloudformation", "RollbackStack", StackName="s")
    return str((await settled(h, "s"))["StackStatus"])


async def statuses(h: Any) -> dict[str, str]:
    found = await h("cloudformation", "DescribeStackResources", StackName="s")
    return {r["LogicalResourceId"]: r["ResourceStatus"] for r in found["StackResources"]}


def size(outside: Outside, name: str) -> Any:
    return [t["Size"] for t in outside.things.values() if t["logical_id"] == name]


def test_a_creation_that_failed_is_carried_on_where_it_stood(tmp_path: Any) -> None:
    """What does not need the failed one is made all the same; what it left is deleted before it is tried again."""
    outside = Outside()

    async def body(h: Any) -> None:
        broken = {
            "A": thing(1),
            "B": thing(2, Refuse="half way", DependsOn="A"),
            "C": thing(3, DependsOn="A"),
            "D": thing(4, DependsOn="B"),
        }
        assert await act(h, "CreateStack", broken, **KEEP) == "CREATE_FAILED"
        assert await statuses(h) == {
            "A": "CREATE_COMPLETE",
            "B": "CREATE_FAILED",
            "C": "CREATE_COMPLETE",
        }
        first = set(outside.things)
        fixed = {**broken, "B": thing(2, DependsOn="A")}
        with pytest.raises(Fault, match=NOT_SO.format("CREATE_FAILED")):
            await act(h, "UpdateStack", fixed)
        outside.calls.clear()
        assert await act(h, "UpdateStack", fixed, **KEEP) == "UPDATE_COMPLETE"
        assert sorted(outside.calls) == [("create", "B"), ("create", "D"), ("delete", "B")]
        assert outside.calls.index(("delete", "B")) < outside.calls.index(("create", "B"))
        assert [name for name, _, _ in outside.shape()] == ["A", "B", "C", "D"]
        assert len(first & set(outside.things)) == 2
        await h("cloudformation", "DeleteStack", StackName="s")

    in_cloud(str(tmp_path), outside, body)
    assert not outside.things


def test_the_same_template_is_tried_again(tmp_path: Any) -> None:
    """The outside world was at fault: UsePreviousTemplate is the one that failed."""
    outside = Outside()

    async def body(h: Any) -> None:
        made = {"A": thing(1), "B": thing(2, DependsOn="A", Refuse="create")}
        assert await act(h, "CreateStack", made, **KEEP) == "CREATE_FAILED"
        again = {"StackName": "s", "UsePreviousTemplate": True, **KEEP}
        await h("cloudformation", "UpdateStack", **again)
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_FAILED"
        assert await rolled_back(h) == "ROLLBACK_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert not outside.things


def test_a_failed_update_goes_back_one_by_one_and_is_carried_on(tmp_path: Any) -> None:
    """The resource that failed is at once what it was, the others stay updated; the next update goes on from there."""
    outside = Outside()

    async def body(h: Any) -> None:
        first = {"A": thing(1), "B": thing(1, DependsOn="A"), "C": thing(1)}
        assert await act(h, "CreateStack", first) == "CREATE_COMPLETE"
        broken = {"A": thing(2), "B": thing(2, DependsOn="A", Refuse="update"), "C": thing(2)}
        assert await act(h, "UpdateStack", broken, **KEEP) == "UPDATE_FAILED"
        assert [size(outside, n) for n in "ABC"] == [[2], [1], [2]]
        assert (await statuses(h))["B"] == "UPDATE_FAILED"
        with pytest.raises(Fault, match=NOT_SO.format("UPDATE_FAILED")):
            await act(h, "UpdateStack", first)
        outside.calls.clear()
        fixed = {"A": thing(2), "B": thing(3, DependsOn="A"), "C": thing(2)}
        assert await act(h, "UpdateStack", fixed, **KEEP) == "UPDATE_COMPLETE"
        assert outside.calls == [("update", "B")]
        assert (await statuses(h))["B"] == "UPDATE_COMPLETE"
        with pytest.raises(Fault, match="No updates are to be performed"):
            await act(h, "UpdateStack", fixed)

    in_cloud(str(tmp_path), outside, body)
    assert [size(outside, n) for n in "ABC"] == [[2], [3], [2]]


def test_the_template_from_before_makes_it_complete_again(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        first = {"A": thing(1, Name="a")}
        await act(h, "CreateStack", first)
        assert await act(h, "UpdateStack", {"A": thing(1, Name="b")}, **KEEP) == "UPDATE_FAILED"
        events = await h("cloudformation", "DescribeStackEvents", StackName="s")
        said = [e.get("ResourceStatusReason", "") for e in events["StackEvents"]]
        assert "Replacement type updates not supported on stack with disable-rollback." in said
        assert await act(h, "UpdateStack", first, **KEEP) == "UPDATE_COMPLETE"
        assert await statuses(h) == {"A": "UPDATE_COMPLETE"}
        assert await act(h, "UpdateStack", {"A": thing(1, Name="b")}) == "UPDATE_COMPLETE"

    in_cloud(str(tmp_path), Outside(), body)


def test_several_failed_updates_are_taken_back_to_before_the_first(tmp_path: Any) -> None:
    """What they made is deleted, what they changed twice is what it was."""
    outside = Outside()

    async def body(h: Any) -> None:
        first = {"A": thing(1), "B": thing(1, DependsOn="A"), "E": thing(1)}
        await act(h, "CreateStack", first)
        before, ids = outside.shape(), set(outside.things)
        bad = {"B": thing(2, DependsOn="A", Refuse="update")}
        one = {"A": thing(2), **bad, "C": thing(2), "E": thing(2)}
        assert await act(h, "UpdateStack", one, **KEEP) == "UPDATE_FAILED"
        two = {"A": thing(3), **bad, "C": thing(3), "D": thing(3), "E": thing(2)}
        assert await act(h, "UpdateStack", two, **KEEP) == "UPDATE_FAILED"
        assert [size(outside, n) for n in "ABCDE"] == [[3], [1], [3], [3], [2]]
        assert await rolled_back(h) == "UPDATE_ROLLBACK_COMPLETE"
        assert (outside.shape(), set(outside.things)) == (before, ids)
        assert set(await statuses(h)) == {"A", "B", "E"}
        text = await h("cloudformation", "GetTemplate", StackName="s")
        assert text["TemplateBody"] == template(first)
        with pytest.raises(Fault, match="can not be rolled back"):
            await rolled_back(h)
        assert await act(h, "UpdateStack", {"A": thing(7)}) == "UPDATE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert [t["Size"] for t in outside.things.values()] == [7]


def test_a_creation_carried_on_in_vain_is_taken_back_to_nothing(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        bad = {"B": thing(2, Refuse="half way", DependsOn="A")}
        assert await act(h, "CreateStack", {"A": thing(1), **bad}, **KEEP) == "CREATE_FAILED"
        worse = {"A": thing(2), **bad, "C": thing(3)}
        assert await act(h, "UpdateStack", worse, **KEEP) == "UPDATE_FAILED"
        assert await rolled_back(h) == "ROLLBACK_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert not outside.things


def test_a_resource_that_cannot_go_back_is_updated_whatever_comes(tmp_path: Any) -> None:
    """Nobody knows what it is: the next update says it anew, even with the properties from before."""
    outside = Outside()

    async def body(h: Any) -> None:
        first = {"A": thing(1, Refuse="update")}
        await act(h, "CreateStack", first)
        assert await act(h, "UpdateStack", {"A": thing(2, Refuse="update")}, **KEEP) == (
            "UPDATE_FAILED"
        )
        assert outside.calls == [("create", "A"), ("update", "A"), ("update", "A")]
        outside.calls.clear()
        assert await act(h, "UpdateStack", {"A": thing(1)}, **KEEP) == "UPDATE_COMPLETE"
        assert outside.calls == [("update", "A")]

    in_cloud(str(tmp_path), outside, body)


def test_a_change_set_carries_a_failed_stack_on(tmp_path: Any) -> None:
    """It is made whatever the rollback shall be; carried out only with it disabled, as `cdk deploy --no-rollback` does."""
    outside = Outside()

    async def body(h: Any) -> None:
        broken = {"A": thing(1), "B": thing(1, Refuse="create")}
        await act(h, "CreateStack", broken, **KEEP)
        asked = {"StackName": "s", "ChangeSetName": "c"}
        body = template({"A": thing(1), "B": thing(1)})
        await h("cloudformation", "CreateChangeSet", TemplateBody=body, **asked)
        shown = await h("cloudformation", "DescribeChangeSet", **asked)
        changes = [c["ResourceChange"] for c in shown["Changes"]]
        assert [(c["Action"], c["LogicalResourceId"]) for c in changes] == [("Add", "B")]
        with pytest.raises(Fault, match=NOT_SO.format("CREATE_FAILED")):
            await h("cloudformation", "ExecuteChangeSet", **asked)
        await h("cloudformation", "ExecuteChangeSet", **asked, **KEEP)
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert [name for name, _, _ in outside.shape()] == ["A", "B"]


def test_a_nested_stack_that_failed_is_made_anew(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        await put_templates(h, child=inner(Refuse="create"), good=inner())
        made = {"N": nested("child"), "A": thing(1)}
        assert await act(h, "CreateStack", made, **KEEP) == "CREATE_FAILED"
        fixed = {"N": nested("good"), "A": thing(1)}
        assert await act(h, "UpdateStack", fixed, **KEEP) == "UPDATE_COMPLETE"
        stacks = (await h("cloudformation", "DescribeStacks"))["Stacks"]
        assert sorted(s["StackStatus"] for s in stacks) == ["CREATE_COMPLETE", "UPDATE_COMPLETE"]

    in_cloud(str(tmp_path), outside, body)
    assert [name for name, _, _ in outside.shape()] == ["A", "T"]


def test_the_way_back_of_a_nested_stacks_resource_can_be_given_up(tmp_path: Any) -> None:
    """ResourcesToSkip names it NestedStackName.LogicalId."""
    outside = Outside()

    async def body(h: Any) -> None:
        await put_templates(h, child=inner(Refuse={"Ref": "AWS::NoValue"}))
        stubborn = template(
            {"T": thing({"Ref": "Size"}, Refuse={"Fn::If": ["No", "update", "x"]})},
            Parameters={"Size": {"Type": "Number", "Default": 1}},
            Conditions={"No": {"Fn::Equals": [{"Ref": "Size"}, "1"]}},
        )
        await h("s3", "PutObject", Bucket="templates", Key="stubborn", Body=stubborn.encode())
        await act(h, "CreateStack", {"N": nested("stubborn", Size=1), "B": thing(1)})
        broken = {
            "N": nested("stubborn", Size=2),
            "B": thing(2, Refuse="update", DependsOn="N"),
        }
        assert await act(h, "UpdateStack", broken) == "UPDATE_ROLLBACK_FAILED"
        stacks = (await h("cloudformation", "DescribeStacks"))["Stacks"]
        child = next(s["StackName"] for s in stacks if s["StackName"] != "s")
        goes_on = {"StackName": "s"}
        for odd in ("N.T", f"{child}.X", "B"):
            with pytest.raises(Fault, match="Invalid resource to skip"):
                await h(
                    "cloudformation", "ContinueUpdateRollback", **goes_on, ResourcesToSkip=[odd]
                )
        skip = {"ResourcesToSkip": [f"{child}.T"]}
        await h("cloudformation", "ContinueUpdateRollback", **goes_on, **skip)
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert (await settled(h, child))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert size(outside, "B") == [1]


def moving(size_: int) -> dict[str, Any]:
    return {"Type": "Test::Fake::Moving", "Properties": {"Size": size_}}


@pytest.mark.parametrize("ends", ["carried on", "taken back"])
@pytest.mark.parametrize("begins", ["stable", "never made"])
def test_what_came_and_went_in_between_is_deleted(tmp_path: Any, begins: str, ends: str) -> None:
    """A resource that is another after each update, through several failed ones: in the end there is one, or none."""
    outside = Outside()

    async def body(h: Any) -> None:
        bad = {"B": thing(1, Refuse="create")}
        if begins == "stable":
            await act(h, "CreateStack", {"M": moving(1)})
            outcomes = {"taken back": "UPDATE_ROLLBACK_COMPLETE", "carried on": "UPDATE_COMPLETE"}
        else:
            await act(h, "CreateStack", {"M": moving(1), **bad}, **KEEP)
            outcomes = {"taken back": "ROLLBACK_COMPLETE", "carried on": "UPDATE_COMPLETE"}
        for n in (2, 3):
            assert await act(h, "UpdateStack", {"M": moving(n), **bad}, **KEEP) == "UPDATE_FAILED"
        if ends == "taken back":
            assert await rolled_back(h) == outcomes[ends]
        else:
            last = {"M": moving(4), "B": thing(1)}
            assert await act(h, "UpdateStack", last, **KEEP) == outcomes[ends]
        if begins == "stable" or ends == "carried on":
            (shown,) = [r for r in await resources(h) if r["LogicalResourceId"] == "M"]
            assert shown["PhysicalResourceId"] in outside.things

    in_cloud(str(tmp_path), outside, body)
    sizes = {"carried on": [4], "taken back": [1] if begins == "stable" else []}
    assert size(outside, "M") == sizes[ends]


async def resources(h: Any) -> list[dict[str, Any]]:
    found = await h("cloudformation", "DescribeStackResources", StackName="s")
    return list(found["StackResources"])


def test_what_a_failed_creation_left_is_remembered_until_it_is_gone(tmp_path: Any) -> None:
    """Also where it cannot be deleted at first, or another type stands in its place by then."""
    outside = Outside()

    async def body(h: Any) -> None:
        half = {"B": thing(1, Refuse="half way")}
        assert await act(h, "CreateStack", {"A": thing(1), **half}, **KEEP) == "CREATE_FAILED"
        (left,) = [i for i, t in outside.things.items() if t["logical_id"] == "B"]
        moved = {"A": thing(1), "B": moving(2)}
        outside.undeletable = {left}
        assert await act(h, "UpdateStack", moved, **KEEP) == "UPDATE_FAILED"
        (shown,) = [r for r in await resources(h) if r["LogicalResourceId"] == "B"]
        assert (shown["PhysicalResourceId"], shown["ResourceType"]) == (left, "Test::Fake::Thing")
        outside.undeletable = set()
        assert await act(h, "UpdateStack", moved, **KEEP) == "UPDATE_COMPLETE"
        assert left not in outside.things

    in_cloud(str(tmp_path), outside, body)
    assert size(outside, "B") == [2]
