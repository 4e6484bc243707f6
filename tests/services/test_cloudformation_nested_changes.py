"""Change sets of a whole hierarchy of stacks: shown, carried out and deleted as one, from the root.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/change-sets-for-nested-stacks.html
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

from stratolite.errors import Fault


def nested(key: str, **parameters: Any) -> dict[str, Any]:
    url = f"https://s3.amazonaws.com/templates/{key}"
    properties = {"TemplateURL": url, "Parameters": parameters}
    return {"Type": "AWS::CloudFormation::Stack", "Properties": properties}


def inner(size: int, more: dict[str, Any] | None = None) -> str:
    parameters = {"Text": {"Type": "String", "Default": "a"}}
    made = thing(size, Text={"Ref": "Text"})
    size_of = {"Value": {"Fn::GetAtt": ["T", "Size"]}}
    return template({"T": made, **(more or {})}, Parameters=parameters, Outputs={"Size": size_of})


OUTER = template({"A": thing(1), "N": nested("middle", Text="b")})


async def put(h: Any, **bodies: str) -> None:
    for name, body in bodies.items():
        await h("s3", "PutObject", Bucket="templates", Key=name, Body=body.encode())


async def bucket(h: Any, **bodies: str) -> None:
    await h("s3", "CreateBucket", Bucket="templates")
    await put(h, **bodies)


async def change_set(h: Any, body: str, kind: str = "UPDATE") -> dict[str, Any]:
    asked = {"StackName": "s", "ChangeSetName": "c", "ChangeSetType": kind, "TemplateBody": body}
    await h("cloudformation", "CreateChangeSet", IncludeNestedStacks=True, **asked)
    return await described(h, "c", StackName="s")


async def described(h: Any, name: str, **more: Any) -> dict[str, Any]:
    made = await h("cloudformation", "DescribeChangeSet", ChangeSetName=name, **more)
    return dict(made)


def changes(shown: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Logical id -> (action, id of the change set inside)"""
    found = [one["ResourceChange"] for one in shown["Changes"]]
    return {c["LogicalResourceId"]: (c["Action"], c.get("ChangeSetId", "")) for c in found}


async def stacks(h: Any) -> dict[str, str]:
    found = (await h("cloudformation", "DescribeStacks"))["Stacks"]
    return {s["StackName"]: s["StackStatus"] for s in found}


async def execute(h: Any) -> dict[str, Any]:
    await h("cloudformation", "ExecuteChangeSet", StackName="s", ChangeSetName="c")
    return await settled(h, "s")


def test_a_hierarchy_that_is_not_there_yet_is_shown_and_made_as_it_was_shown(tmp_path: Any) -> None:
    """What S3 has by then does not count: the stacks inside are made of the templates that were looked at."""
    outside = Outside()

    async def body(h: Any) -> None:
        middle = inner(2, {"M": nested("deep")})
        await bucket(h, middle=middle, deep=inner(3))
        root = await change_set(h, OUTER, "CREATE")
        assert (root["Status"], root["ExecutionStatus"]) == ("CREATE_COMPLETE", "AVAILABLE")
        assert root["IncludeNestedStacks"]
        assert "ParentChangeSetId" not in root
        assert changes(root)["A"] == ("Add", "")
        one = await described(h, changes(root)["N"][1])
        assert one["ParentChangeSetId"] == one["RootChangeSetId"] == root["ChangeSetId"]
        assert (one["ExecutionStatus"], one["StatusReason"]) == (
            "UNAVAILABLE",
            "Executable from root change set",
        )
        assert one["Parameters"] == [{"ParameterKey": "Text", "ParameterValue": "b"}]
        two = await described(h, changes(one)["M"][1])
        assert two["ParentChangeSetId"] == one["ChangeSetId"]
        assert two["RootChangeSetId"] == root["ChangeSetId"]
        assert changes(two) == {"T": ("Add", "")}
        assert set((await stacks(h)).values()) == {"REVIEW_IN_PROGRESS"}
        child = (await h("cloudformation", "DescribeStacks", StackName=two["StackId"]))["Stacks"][0]
        assert child["ParentId"] == one["StackId"]
        assert child["RootId"] == root["StackId"]
        listed = await h("cloudformation", "ListChangeSets", StackName=one["StackId"])
        assert [s["RootChangeSetId"] for s in listed["Summaries"]] == [root["ChangeSetId"]]
        assert outside.calls == []
        await put(h, middle=inner(7), deep=inner(8))
        assert (await execute(h))["StackStatus"] == "CREATE_COMPLETE"
        assert [size for _, _, size in outside.shape()] == [b"1", b"2", b"3"]
        assert await stacks(h) == dict.fromkeys(
            ["s", one["StackName"], two["StackName"]], "CREATE_COMPLETE"
        )
        assert (await described(h, two["ChangeSetId"]))["ExecutionStatus"] == "EXECUTE_COMPLETE"
        got = await h("cloudformation", "GetTemplate", StackName=one["StackName"])
        assert set(orjson.loads(got["TemplateBody"])["Resources"]) == {"T", "M"}
        await h("cloudformation", "DeleteStack", StackName="s")
        await settled(h, root["StackId"])

    in_cloud(str(tmp_path), outside, body)
    assert outside.things == {}


def test_an_update_shows_each_stack_that_would_change_and_only_those(tmp_path: Any) -> None:
    outside = Outside()
    outer = {"N": nested("one"), "O": nested("two"), "A": thing(1)}

    async def body(h: Any) -> None:
        await bucket(h, one=inner(1), two=inner(2))
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(outer))
        await settled(h, "s")
        await put(h, one=inner(5))
        root = await change_set(h, template({**outer, "P": nested("two"), "A": thing(2)}))
        assert set(changes(root)) == {"A", "N", "P"}
        detail = next(
            c["ResourceChange"]["Details"]
            for c in root["Changes"]
            if c["ResourceChange"]["LogicalResourceId"] == "N"
        )
        target = {"Attribute": "Properties", "RequiresRecreation": "Never"}
        assert detail == [
            {"Target": target, "Evaluation": "Dynamic", "ChangeSource": "Automatic"}
        ]  # AWS's example
        one = await described(h, changes(root)["N"][1], IncludePropertyValues=True)
        (change,) = one["Changes"]
        (found,) = change["ResourceChange"]["Details"]
        assert (found["Target"]["BeforeValue"], found["Target"]["AfterValue"]) == ("1", "5")
        assert (await execute(h))["StackStatus"] == "UPDATE_COMPLETE"
        assert [size for _, _, size in outside.shape()] == [b"2", b"2", b"2", b"5"]

    in_cloud(str(tmp_path), outside, body)


def test_what_only_a_resource_to_be_made_can_tell_is_shown_as_unknown(tmp_path: Any) -> None:
    outside = Outside()
    outer = template({"A": thing(1), "N": nested("one", Text={"Fn::GetAtt": ["A", "Arn"]})})

    async def body(h: Any) -> None:
        await bucket(h, one=inner(1))
        root = await change_set(h, outer, "CREATE")
        one = await described(h, changes(root)["N"][1], IncludePropertyValues=True)
        later = "{{changeSet:KNOWN_AFTER_APPLY}}"
        assert one["Parameters"] == [{"ParameterKey": "Text", "ParameterValue": later}]
        assert later in one["Changes"][0]["ResourceChange"]["AfterContext"]
        assert (await execute(h))["StackStatus"] == "CREATE_COMPLETE"
        (made,) = [t for t in outside.things.values() if t["logical_id"] == "T"]
        assert made["Text"].startswith("arn:fake:A-")

    in_cloud(str(tmp_path), outside, body)


def test_only_the_root_is_executed_and_deleted_and_takes_all_along(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        await bucket(h, middle=inner(2, {"M": nested("deep")}), deep=inner(3))
        root = await change_set(h, OUTER, "CREATE")
        inside = changes(root)["N"][1]
        below = changes(await described(h, inside))["M"][1]
        with pytest.raises(Fault, match=r"cannot be executed .*\[UNAVAILABLE\]") as caught:
            await h("cloudformation", "ExecuteChangeSet", ChangeSetName=inside)
        assert caught.value.code == "InvalidChangeSetStatus"
        with pytest.raises(Fault, match="only be deleted from its root") as caught:
            await h("cloudformation", "DeleteChangeSet", ChangeSetName=below)
        assert caught.value.code == "InvalidChangeSetStatus"
        await h("cloudformation", "DeleteChangeSet", ChangeSetName=root["ChangeSetId"])
        for gone in (inside, below):
            with pytest.raises(Fault, match="does not exist"):
                await described(h, gone)
        assert await stacks(h) == {"s": "REVIEW_IN_PROGRESS"}

    in_cloud(str(tmp_path), Outside(), body)


def test_a_stack_inside_that_changed_meanwhile_makes_the_whole_obsolete(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        await bucket(h, one=inner(1))
        outer = template({"N": nested("one")})
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=outer)
        await settled(h, "s")
        child = next(name for name in await stacks(h) if name != "s")
        await put(h, one=inner(2))
        await change_set(h, outer)
        await h("cloudformation", "UpdateStack", StackName=child, TemplateBody=inner(3))
        await settled(h, child)
        with pytest.raises(Fault, match="OBSOLETE"):
            await h("cloudformation", "ExecuteChangeSet", StackName="s", ChangeSetName="c")

    in_cloud(str(tmp_path), Outside(), body)


@pytest.mark.parametrize("on_failure", ["ROLLBACK", "DELETE", "DO_NOTHING"])
def test_a_failure_leaves_no_stack_in_review(tmp_path: Any, on_failure: str) -> None:
    """The stack inside was never begun: what stood before it failed."""
    outside = Outside()
    waits = {**nested("one"), "DependsOn": "A"}
    outer = template({"A": thing(1, Refuse="create"), "N": waits})

    async def body(h: Any) -> None:
        await bucket(h, one=inner(1))
        asked = {"StackName": "s", "ChangeSetName": "c", "ChangeSetType": "CREATE"}
        asked |= {"TemplateBody": outer, "OnStackFailure": on_failure}
        made = await h("cloudformation", "CreateChangeSet", IncludeNestedStacks=True, **asked)
        assert len(await stacks(h)) == 2
        await h("cloudformation", "ExecuteChangeSet", StackName="s", ChangeSetName="c")
        await settled(h, made["StackId"])
        if on_failure == "DO_NOTHING":
            await h("cloudformation", "DeleteStack", StackName="s")
            await settled(h, made["StackId"])
        left = {"s": "ROLLBACK_COMPLETE"} if on_failure == "ROLLBACK" else {}
        assert await stacks(h) == left

    in_cloud(str(tmp_path), outside, body)
    assert outside.things == {}
