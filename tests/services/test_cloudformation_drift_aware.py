"""Change sets against what resources really are: what was changed behind the stack's back is shown and put right.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/drift-aware-change-sets.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

from stratolite.errors import Fault

ASKED = {"StackName": "s", "ChangeSetName": "c"}


async def make(h: Any, resources: dict[str, Any]) -> None:
    await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(resources))
    await settled(h, "s")


async def propose(h: Any, resources: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The change set, described with its values."""
    asked = {"DeploymentMode": "REVERT_DRIFT", **more}
    body = template(resources)
    await h("cloudformation", "CreateChangeSet", **ASKED, TemplateBody=body, **asked)
    shown = await h("cloudformation", "DescribeChangeSet", **ASKED, IncludePropertyValues=True)
    shown["by"] = {
        c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"] for c in shown["Changes"]
    }
    return dict(shown)


async def execute(h: Any) -> str:
    await h("cloudformation", "ExecuteChangeSet", **ASKED)
    return str((await settled(h, "s"))["StackStatus"])


async def drifts(h: Any) -> dict[str, str]:
    """Logical id -> status of drift, looked at now."""
    found = {}
    resources = await h("cloudformation", "DescribeStackResources", StackName="s")
    for one in resources["StackResources"]:
        name = one["LogicalResourceId"]
        said = await h(
            "cloudformation", "DetectStackResourceDrift", StackName="s", LogicalResourceId=name
        )
        found[name] = said["StackResourceDrift"]["StackResourceDriftStatus"]
    return found


def only(outside: Outside, name: str) -> dict[str, Any]:
    (found,) = [t for t in outside.things.values() if t["logical_id"] == name]
    return found


def test_what_was_changed_is_shown_and_changed_back(tmp_path: Any) -> None:
    """With the same template, which is no change at all to an ordinary change set."""
    outside = Outside()

    async def body(h: Any) -> None:
        made = {"A": thing(1, Text="t"), "B": thing(2)}
        await make(h, made)
        only(outside, "A")["Size"] = 9
        plain = await propose(h, made, DeploymentMode=None)
        assert (plain["Status"], "DeploymentMode" in plain) == ("FAILED", False)
        shown = await propose(h, made)
        assert (shown["DeploymentMode"], shown["StackDriftStatus"]) == ("REVERT_DRIFT", "DRIFTED")
        assert set(shown["by"]) == {"A"}
        change = shown["by"]["A"]
        assert (change["Action"], change["ResourceDriftStatus"]) == ("Modify", "MODIFIED")
        (detail,) = change["Details"]
        target = detail["Target"]
        assert detail["ChangeSource"] == "NoModification"
        assert target["Drift"].pop("DriftDetectionTimestamp") > 0
        assert target["Drift"] == {"PreviousValue": "1", "ActualValue": "9"}
        assert (target["BeforeValueFrom"], target["AfterValueFrom"]) == ("ACTUAL_STATE", "TEMPLATE")
        assert (target["BeforeValue"], target["AfterValue"]) == ("9", "1")
        sizes = [
            json.loads(change[context])["Properties"]["Size"]
            for context in ("BeforeContext", "AfterContext", "PreviousDeploymentContext")
        ]
        assert sizes == [9, 1, 1]
        outside.calls.clear()
        assert await execute(h) == "UPDATE_COMPLETE"
        assert outside.calls == [("update", "A")]
        assert await drifts(h) == {"A": "IN_SYNC", "B": "IN_SYNC"}
        assert (await propose(h, made))["StackDriftStatus"] == "IN_SYNC"

    in_cloud(str(tmp_path), outside, body)
    assert [size for _, _, size in outside.shape()] == [b"1", b"2"]


def test_what_was_deleted_is_made_anew(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        made = {"A": thing(1), "B": thing({"Fn::GetAtt": ["A", "Size"]}, Text={"Ref": "A"})}
        await make(h, made)
        old = next(i for i, t in outside.things.items() if t["logical_id"] == "A")
        del outside.things[old]
        shown = await propose(h, made)
        assert (shown["by"]["A"]["Action"], shown["by"]["A"]["ResourceDriftStatus"]) == (
            "Add",
            "DELETED",
        )
        assert await execute(h) == "UPDATE_COMPLETE"
        new = next(i for i, t in outside.things.items() if t["logical_id"] == "A")
        assert new != old
        assert only(outside, "B")["Text"] == new
        assert set((await drifts(h)).values()) == {"IN_SYNC"}

    in_cloud(str(tmp_path), outside, body)
    assert len(outside.things) == 2


def test_a_template_that_became_what_is_there_changes_nothing(tmp_path: Any) -> None:
    """An ordinary update would set it again."""
    outside = Outside()

    async def body(h: Any) -> None:
        await make(h, {"A": thing(1), "B": thing(2)})
        only(outside, "A")["Size"] = 9
        shown = await propose(h, {"A": thing(9), "B": thing(2)})
        assert {n: c["Action"] for n, c in shown["by"].items()} == {"A": "SyncWithActual"}
        outside.calls.clear()
        assert await execute(h) == "UPDATE_COMPLETE"
        assert outside.calls == []
        assert await drifts(h) == {"A": "IN_SYNC", "B": "IN_SYNC"}

    in_cloud(str(tmp_path), outside, body)


def test_an_update_that_fails_goes_back_to_what_was_there(tmp_path: Any) -> None:
    """Not to the template from before: whoever changed it behind the stack's back finds it as he left it, still drifted."""
    outside = Outside()

    async def body(h: Any) -> None:
        made = {"A": thing(1), "B": thing(1, DependsOn="A"), "C": thing(1)}
        await make(h, made)
        only(outside, "A")["Size"] = 9
        only(outside, "C")["Size"] = 7
        broken = {
            **made,
            "B": thing(2, DependsOn="A", Refuse="update"),
            "C": thing(1, DependsOn="B"),
        }
        await propose(h, broken)
        assert await execute(h) == "UPDATE_ROLLBACK_COMPLETE"
        assert [only(outside, n)["Size"] for n in "ABC"] == [9, 1, 7]
        assert await drifts(h) == {"A": "MODIFIED", "B": "IN_SYNC", "C": "MODIFIED"}
        await propose(h, made)
        assert await execute(h) == "UPDATE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert [size for _, _, size in outside.shape()] == [b"1"] * 3


def test_the_mode_is_for_updates(tmp_path: Any) -> None:
    async def body(h: Any) -> None:
        with pytest.raises(Fault, match="DeploymentMode REVERT_DRIFT is for change sets of type"):
            await propose(h, {"A": thing(1)}, ChangeSetType="CREATE")
        await make(h, {"A": thing(1)})
        with pytest.raises(Fault, match=r"enum value set: \[REVERT_DRIFT\]"):
            await propose(h, {"A": thing(1)}, DeploymentMode="OTHER")

    in_cloud(str(tmp_path), Outside(), body)


def test_a_queue_somebody_changed_by_hand(client: Any) -> None:
    """Over real handlers: a property, and a policy that is text on one side and an object on the other."""
    cfn, sqs = client("cloudformation"), client("sqs")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}],
    }  # fmt: skip
    body = json.dumps(
        {
            "Resources": {
                "Q": {"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": 30}},
                "P": {
                    "Type": "AWS::SQS::QueuePolicy",
                    "Properties": {"Queues": [{"Ref": "Q"}], "PolicyDocument": policy},
                },
            }
        }
    )
    cfn.create_stack(StackName="s", TemplateBody=body)
    cfn.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    (queue,) = sqs.list_queues()["QueueUrls"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "77"})
    cfn.create_change_set(**ASKED, TemplateBody=body, DeploymentMode="REVERT_DRIFT")
    shown = cfn.describe_change_set(**ASKED)
    assert [c["ResourceChange"]["LogicalResourceId"] for c in shown["Changes"]] == ["Q"]
    cfn.execute_change_set(**ASKED)
    cfn.get_waiter("stack_update_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    asked = {"QueueUrl": queue, "AttributeNames": ["VisibilityTimeout"]}
    assert sqs.get_queue_attributes(**asked)["Attributes"] == {"VisibilityTimeout": "30"}
