"""Stacks from creation to deletion, over types whose things can be looked at from outside."""

from __future__ import annotations

import asyncio
import base64
import random
import re
from typing import Any

import pytest
from services.cloudformation_fake import Outside, in_cloud, settled, template, thing

from stratolite.errors import Fault

CHAIN = {
    "A": thing(1, Name="a"),
    "B": thing({"Fn::GetAtt": ["A", "Size"]}, Text={"Ref": "A"}),
    "C": thing(3, DependsOn=["B"]),
    "D": thing(4),
}


@pytest.fixture
def folder(tmp_path: Any) -> str:
    return str(tmp_path / "cloud")


async def create(h: Any, body: str, name: str = "s", **more: Any) -> dict[str, Any]:
    await h("cloudformation", "CreateStack", StackName=name, TemplateBody=body, **more)
    return await settled(h, name)


async def update(h: Any, body: str, name: str = "s", **more: Any) -> dict[str, Any]:
    await h("cloudformation", "UpdateStack", StackName=name, TemplateBody=body, **more)
    return await settled(h, name)


async def delete(h: Any, stack: dict[str, Any], **more: Any) -> dict[str, Any]:
    await h("cloudformation", "DeleteStack", StackName=stack["StackName"], **more)
    return await settled(h, stack["StackId"])


async def story(h: Any, name: str) -> list[tuple[str, str]]:
    events = (await h("cloudformation", "DescribeStackEvents", StackName=name))["StackEvents"]
    return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in reversed(events)]


def test_a_stack_makes_its_resources_in_order_and_delete_takes_them_away(folder: str) -> None:
    """Ref and GetAtt carry what the handler told; what depends on nothing is made at once."""
    outside = Outside()

    async def body(h: Any) -> None:
        outputs = {"O": {"Value": {"Fn::Sub": "${B}:${A.Arn}"}, "Export": {"Name": "x"}}}
        stack = await create(h, template(CHAIN, Outputs=outputs))
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        by_name = {t["logical_id"]: (i, t) for i, t in outside.things.items()}
        assert by_name["B"][1]["Text"] == by_name["A"][0]
        assert by_name["B"][1]["Size"] == 1
        value = f"{by_name['B'][0]}:arn:fake:{by_name['A'][0]}"
        assert stack["Outputs"] == [{"OutputKey": "O", "OutputValue": value, "ExportName": "x"}]
        order = [name for _, name in outside.calls]
        assert order.index("A") < order.index("B") < order.index("C")
        assert outside.most_together == 2
        told = await story(h, "s")
        assert told[0] == ("s", "CREATE_IN_PROGRESS")
        assert told[-1] == ("s", "CREATE_COMPLETE")
        assert told.index(("B", "CREATE_IN_PROGRESS")) > told.index(("A", "CREATE_COMPLETE"))
        shown = await h("cloudformation", "DescribeStackResources", StackName="s")
        assert {r["LogicalResourceId"]: r["ResourceStatus"] for r in shown["StackResources"]} == (
            dict.fromkeys("ABCD", "CREATE_COMPLETE")
        )
        outside.calls.clear()
        gone = await delete(h, stack)
        assert gone["StackStatus"] == "DELETE_COMPLETE"
        assert not outside.things
        order = [name for _, name in outside.calls]
        assert order.index("C") < order.index("B") < order.index("A")
        with pytest.raises(Fault, match=r"Stack with id s does not exist"):
            await h("cloudformation", "DescribeStacks", StackName="s")
        assert (await h("cloudformation", "ListExports"))["Exports"] == []
        listed = await h("cloudformation", "ListStacks")
        assert [s["StackStatus"] for s in listed["StackSummaries"]] == ["DELETE_COMPLETE"]

    in_cloud(folder, outside, body)


def test_an_update_changes_replaces_adds_and_removes(folder: str) -> None:
    """In place where the handler can, a new one first where it cannot, the old and the removed ones last."""
    outside = Outside()

    async def body(h: Any) -> None:
        await create(h, template(CHAIN))
        first = dict(outside.things)
        outside.calls.clear()
        new = {
            "A": thing(1, Name="another"),
            "B": thing({"Fn::GetAtt": ["A", "Size"]}, Text={"Ref": "A"}),
            "D": thing(5),
            "E": thing(6),
        }
        stack = await update(h, template(new))
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        assert outside.shape() == [
            ("A", "another", b"1"), ("B", None, b"1"), ("D", None, b"5"), ("E", None, b"6")
        ]  # fmt: skip
        old_a = next(i for i, t in first.items() if t["logical_id"] == "A")
        assert old_a not in outside.things
        verbs = [v for v, n in outside.calls if n == "A"]
        assert verbs == ["create", "delete"]
        assert ("update", "B") in outside.calls, "B refers to the new A"
        assert outside.calls.index(("update", "B")) < outside.calls.index(("delete", "A"))
        assert [v for v, n in outside.calls if n == "D"] == ["update"]
        with pytest.raises(Fault, match=r"No updates are to be performed\."):
            await update(h, template(new))
        assert "C" not in {
            r["LogicalResourceId"]
            for r in (await h("cloudformation", "ListStackResources", StackName="s"))[
                "StackResourceSummaries"
            ]
        }

    in_cloud(folder, outside, body)


def test_a_failed_create_rolls_back_unless_told_otherwise(folder: str) -> None:
    outside = Outside()
    bad = template({**CHAIN, "D": thing(1, Refuse="create", DependsOn="A")})

    async def body(h: Any) -> None:
        stack = await create(h, bad)
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        assert not outside.things
        events = (await h("cloudformation", "DescribeStackEvents", StackName="s"))["StackEvents"]
        reasons = [e.get("ResourceStatusReason", "") for e in events]
        assert (
            "The following resource(s) failed to create: [D]. Rollback requested by user."
            in reasons
        )
        assert any("no create of D" in r for r in reasons)
        with pytest.raises(Fault, match=r"is in ROLLBACK_COMPLETE state and can not be updated\."):
            await update(h, template(CHAIN))
        assert (await delete(h, stack))["StackStatus"] == "DELETE_COMPLETE"

        stack = await create(h, bad, "kept", DisableRollback=True)
        assert stack["StackStatus"] == "CREATE_FAILED"
        assert outside.things
        await delete(h, stack)
        assert not outside.things

        stack_id = (
            await h(
                "cloudformation", "CreateStack", StackName="g", TemplateBody=bad, OnFailure="DELETE"
            )
        )["StackId"]
        assert (await settled(h, stack_id))["StackStatus"] == "DELETE_COMPLETE"
        assert not outside.things

    in_cloud(folder, outside, body)


def test_a_failed_update_goes_back_to_how_it_was(folder: str) -> None:
    """In place changes are taken back, replacements dropped, what was removed from the template never went."""
    outside = Outside()

    async def body(h: Any) -> None:
        await create(h, template(CHAIN))
        before, ids = outside.shape(), set(outside.things)
        new = {
            "A": thing(9, Name="another"),
            "D": thing(5),
            "E": thing(6, DependsOn=["A", "D"]),
            "F": thing(7, Refuse="create", DependsOn="E"),
        }
        stack = await update(h, template(new))
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert outside.shape() == before
        assert set(outside.things) == ids
        told = await story(h, "s")
        assert ("s", "UPDATE_ROLLBACK_IN_PROGRESS") in told
        assert ("E", "DELETE_COMPLETE") in told
        body_ = await h("cloudformation", "GetTemplate", StackName="s")
        assert body_["TemplateBody"] == template(CHAIN)
        stack = await update(h, template({**CHAIN, "D": thing(5)}))
        assert stack["StackStatus"] == "UPDATE_COMPLETE"

    in_cloud(folder, outside, body)


def test_a_rollback_that_fails_waits_to_be_continued(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        await create(h, template({"A": thing(1, Refuse="update"), "B": thing(1)}))
        new = {"A": thing(2), "B": thing(2, Refuse="update", DependsOn="A")}
        stack = await update(h, template(new))
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
        with pytest.raises(Fault, match="UPDATE_ROLLBACK_FAILED state"):
            await update(h, template(new))
        await h("cloudformation", "ContinueUpdateRollback", StackName="s", ResourcesToSkip=["A"])
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert (await delete(h, stack))["StackStatus"] == "DELETE_COMPLETE"
        assert not outside.things

    in_cloud(folder, outside, body)


def test_retained_resources_stay(folder: str) -> None:
    """User data never goes silently: not with the stack, not with the template, not by replacement."""
    outside = Outside()

    async def body(h: Any) -> None:
        keep = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
        await create(h, template({k: thing(1, Name=k, **keep) for k in "ABC"}))
        await update(
            h, template({"A": thing(1, Name="A", **keep), "B": thing(1, Name="z", **keep)})
        )
        assert outside.shape() == [
            ("A", "A", b"1"), ("B", "B", b"1"), ("B", "z", b"1"), ("C", "C", b"1")
        ]  # fmt: skip
        stack = await settled(h, "s")
        assert (await delete(h, stack))["StackStatus"] == "DELETE_COMPLETE"
        assert len(outside.things) == 4
        assert ("A", "DELETE_SKIPPED") in await story(h, stack["StackId"])

    in_cloud(folder, outside, body)


def test_what_cannot_be_deleted_fails_the_deletion_and_may_be_retained(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        stack = await create(
            h, template({"A": thing(1), "B": thing(2, Refuse="delete", DependsOn="A")})
        )
        with pytest.raises(Fault, match="RetainResources can only be specified"):
            await delete(h, stack, RetainResources=["B"])
        gone = await delete(h, stack)
        assert gone["StackStatus"] == "DELETE_FAILED"
        assert gone["StackStatusReason"] == "The following resource(s) failed to delete: [B]. "
        assert len(outside.things) == 2, "A is needed by B"
        assert (await delete(h, stack, RetainResources=["B"]))["StackStatus"] == "DELETE_COMPLETE"
        assert outside.shape() == [("B", None, b"2")]

    in_cloud(folder, outside, body)


def test_exports_are_imported_and_held(folder: str) -> None:
    outside = Outside()
    exporting = template(
        {"A": thing()}, Outputs={"O": {"Value": {"Ref": "A"}, "Export": {"Name": "n"}}}
    )
    importing = template({"B": thing(1, Text={"Fn::ImportValue": "n"})})

    async def body(h: Any) -> None:
        with pytest.raises(Fault, match=r"No export named n found\."):
            await create(h, importing, "importer")
        await create(h, exporting, "exporter")
        await create(h, importing, "importer")
        texts = [t.get("Text") for t in outside.things.values()]
        assert next(i for i in outside.things if i.startswith("A")) in texts
        assert (await h("cloudformation", "ListImports", ExportName="n"))["Imports"] == ["importer"]
        stack = await settled(h, "exporter")
        kept = await delete(h, stack)
        assert kept["StackStatus"] == "CREATE_COMPLETE", "as on AWS, it is what it was before"
        assert kept["StackStatusReason"] == "Export n cannot be deleted as it is in use by importer"
        assert any(i.startswith("A") for i in outside.things), "nothing was touched"
        changed = template({"A": thing(5)}, Outputs={"O": {"Value": "v", "Export": {"Name": "n"}}})
        assert (await update(h, changed, "exporter"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        second = await create(h, exporting, "second")
        assert second["StackStatus"] == "ROLLBACK_COMPLETE"
        assert "already exported by stack exporter" in str(
            (await h("cloudformation", "DescribeStackEvents", StackName="second"))["StackEvents"]
        )
        await delete(h, await settled(h, "importer"))
        assert (await delete(h, stack))["StackStatus"] == "DELETE_COMPLETE"

    in_cloud(folder, outside, body)


def test_secrets_are_masked_and_sealed(folder: str) -> None:
    outside = Outside()
    body_ = template(
        {"A": thing(1, Text={"Ref": "P"})}, Parameters={"P": {"Type": "String", "NoEcho": True}}
    )

    async def body(h: Any) -> None:
        given = [{"ParameterKey": "P", "ParameterValue": "open sesame"}]
        stack = await create(h, body_, Parameters=given)
        assert stack["Parameters"] == [{"ParameterKey": "P", "ParameterValue": "****"}]
        assert next(iter(outside.things.values()))["Text"] == "open sesame"
        same = [{"ParameterKey": "P", "UsePreviousValue": True}]
        with pytest.raises(Fault, match="No updates"):
            await update(h, body_, Parameters=same)

        def rows(call: Any) -> list[bytes]:
            return [raw for _, raw in call.tx.scan((b"", b"\xff\xff"))]

        stored = await h.call().transact(rows)
        assert stored
        assert not [raw for raw in stored if b"open sesame" in raw]

    in_cloud(folder, outside, body)


def test_change_sets_show_before_they_do(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        made = await h(
            "cloudformation", "CreateChangeSet", StackName="s", ChangeSetName="one", ChangeSetType="CREATE",
            TemplateBody=template(CHAIN),
        )  # fmt: skip
        assert (await h("cloudformation", "DescribeStacks", StackName="s"))["Stacks"][0][
            "StackStatus"
        ] == "REVIEW_IN_PROGRESS"
        assert not outside.things
        shown = await h("cloudformation", "DescribeChangeSet", ChangeSetName=made["Id"])
        assert shown["Status"] == "CREATE_COMPLETE"
        assert {c["ResourceChange"]["Action"] for c in shown["Changes"]} == {"Add"}
        await h("cloudformation", "ExecuteChangeSet", ChangeSetName="one", StackName="s")
        assert (await settled(h, "s"))["StackStatus"] == "CREATE_COMPLETE"
        with pytest.raises(
            Fault, match=r"cannot be executed in its current status of \[EXECUTE_COMPLETE\]"
        ):
            await h("cloudformation", "ExecuteChangeSet", ChangeSetName=made["Id"])
        with pytest.raises(Fault, match="already exists and cannot be created again"):
            await h(
                "cloudformation", "CreateChangeSet", StackName="s", ChangeSetName="x", ChangeSetType="CREATE",
                TemplateBody=template(CHAIN),
            )  # fmt: skip

        new = {"A": thing(1, Name="b"), "B": CHAIN["B"], "D": thing(5), "E": thing(6)}
        await h(
            "cloudformation",
            "CreateChangeSet",
            StackName="s",
            ChangeSetName="two",
            TemplateBody=template(new),
        )
        shown = await h("cloudformation", "DescribeChangeSet", ChangeSetName="two", StackName="s")
        told = {
            c["ResourceChange"]["LogicalResourceId"]: (
                c["ResourceChange"]["Action"],
                c["ResourceChange"].get("Replacement"),
            )
            for c in shown["Changes"]
        }
        assert told == {
            "A": ("Modify", "True"),
            "B": ("Modify", "False"),
            "C": ("Remove", None),
            "D": ("Modify", "False"),
            "E": ("Add", None),
        }
        await h(
            "cloudformation",
            "CreateChangeSet",
            StackName="s",
            ChangeSetName="no",
            TemplateBody=template(CHAIN),
        )
        none = await h("cloudformation", "DescribeChangeSet", ChangeSetName="no", StackName="s")
        assert none["Status"] == "FAILED"
        assert "The submitted information didn't contain changes." in none["StatusReason"]
        listed = await h("cloudformation", "ListChangeSets", StackName="s")
        assert [c["ChangeSetName"] for c in listed["Summaries"]] == ["no", "one", "two"]
        await h("cloudformation", "DeleteChangeSet", StackName="s", ChangeSetName="no")
        with pytest.raises(Fault, match=r"ChangeSet \[no\] does not exist"):
            await h("cloudformation", "DescribeChangeSet", StackName="s", ChangeSetName="no")
        await h("cloudformation", "ExecuteChangeSet", ChangeSetName="two", StackName="s")
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "UPDATE_COMPLETE"
        assert stack["ChangeSetId"].split("/")[1] == "two"
        assert {t["logical_id"] for t in outside.things.values()} == set("ABDE")

    in_cloud(folder, outside, body)


def test_a_stack_in_the_middle_of_its_creation_can_be_deleted(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        made = await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(CHAIN))
        with pytest.raises(Fault, match="CREATE_IN_PROGRESS state and can not be updated"):
            await update(h, template({"A": thing()}))
        await h("cloudformation", "DeleteStack", StackName="s")
        assert (await settled(h, made["StackId"]))["StackStatus"] == "DELETE_COMPLETE"
        assert not outside.things

    in_cloud(folder, outside, body)


def test_protected_stacks_stay(folder: str) -> None:
    async def body(h: Any) -> None:
        stack = await create(h, template({"A": thing()}), EnableTerminationProtection=True)
        with pytest.raises(
            Fault, match=re.escape("Stack [s] cannot be deleted while TerminationProtection")
        ):
            await delete(h, stack)
        await h(
            "cloudformation",
            "UpdateTerminationProtection",
            StackName="s",
            EnableTerminationProtection=False,
        )
        assert (await delete(h, stack))["StackStatus"] == "DELETE_COMPLETE"
        await delete(h, stack)  # once more is fine

    in_cloud(folder, Outside(), body)


def test_the_work_is_done_as_the_caller_or_as_the_role_given(folder: str) -> None:
    outside = Outside()
    trust = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"%s.amazonaws.com"},"Action":"sts:AssumeRole"}]}'

    async def body(h: Any) -> None:
        for name, service in (("ours", "cloudformation"), ("other", "lambda")):
            await h("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=trust % service)
        await create(h, template({"A": thing()}), "one")
        await create(
            h, template({"B": thing()}), "two", RoleARN="arn:aws:iam::000000000000:role/ours"
        )
        who = {t["logical_id"]: t["who"] for t in outside.things.values()}
        assert who == {
            "A": "arn:aws:iam::000000000000:root",
            "B": "arn:aws:sts::000000000000:assumed-role/ours/AWSCloudFormation",
        }
        with pytest.raises(Fault, match=r"role/other is invalid or cannot be assumed"):
            await create(
                h, template({"A": thing()}), "x", RoleARN="arn:aws:iam::000000000000:role/other"
            )

    in_cloud(folder, outside, body)


def test_pages_go_through_everything_once(folder: str) -> None:
    """Real continuation tokens over events and stacks."""

    async def body(h: Any) -> None:
        many = template({f"R{n:03}": thing(n) for n in range(120)})
        await create(h, many)
        seen: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await h("cloudformation", "DescribeStackEvents", StackName="s", **token)
            seen += [e["EventId"] for e in page["StackEvents"]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert len(seen) == len(set(seen)) == 242
        names: list[str] = []
        token = {}
        while True:
            page = await h("cloudformation", "ListStackResources", StackName="s", **token)
            names += [r["LogicalResourceId"] for r in page["StackResourceSummaries"]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert names == [f"R{n:03}" for n in range(120)]

    in_cloud(folder, Outside(), body)


def test_an_update_can_be_cancelled(folder: str) -> None:
    """Steps under way end, nothing new begins, and what was done is taken back."""
    outside = Outside()

    async def body(h: Any) -> None:
        await create(h, template(CHAIN))
        before = outside.shape()
        with pytest.raises(
            Fault, match="CancelUpdateStack cannot be called from current stack status"
        ):
            await h("cloudformation", "CancelUpdateStack", StackName="s")
        outside.gate = asyncio.Event()
        new = template({**CHAIN, "A": thing(7, Name="a"), "E": thing(1, DependsOn="A")})
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=new)
        with pytest.raises(Fault, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
            await h("cloudformation", "DeleteStack", StackName="s")
        await h("cloudformation", "CancelUpdateStack", StackName="s")
        outside.gate.set()
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert outside.shape() == before
        assert ("create", "E") not in outside.calls

    in_cloud(folder, outside, body)


def test_a_creation_that_takes_too_long_is_rolled_back(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        outside.gate = asyncio.Event()
        made = await h(
            "cloudformation",
            "CreateStack",
            StackName="s",
            TemplateBody=template(CHAIN),
            TimeoutInMinutes=1,
        )
        h.cloud.world.cloud_offset_s += 90
        outside.gate.set()
        stack = await settled(h, made["StackId"])
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
        assert not outside.things
        events = (await h("cloudformation", "DescribeStackEvents", StackName="s"))["StackEvents"]
        assert "Stack creation time exceeded the specified timeout" in {
            e.get("ResourceStatusReason") for e in events
        }

    in_cloud(folder, outside, body)


def test_what_a_failed_creation_left_behind_is_deleted(folder: str) -> None:
    """A handler names it with its Fault."""
    outside = Outside()

    async def body(h: Any) -> None:
        await create(h, template({"A": thing(1)}))
        stack = await update(h, template({"A": thing(1), "B": thing(2, Refuse="half way")}))
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert outside.shape() == [("A", None, b"1")]
        other = await create(h, template({"B": thing(2, Refuse="half way")}), "other")
        assert other["StackStatus"] == "ROLLBACK_COMPLETE"
        assert outside.shape() == [("A", None, b"1")]

    in_cloud(folder, outside, body)


def test_a_type_that_cannot_change_is_replaced(folder: str) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        fixed = {"Type": "Test::Fake::Fixed", "Properties": {"Size": 1}}
        await create(h, template({"A": fixed}))
        first = set(outside.things)
        fixed = {"Type": "Test::Fake::Fixed", "Properties": {"Size": 2}}
        assert (await update(h, template({"A": fixed})))["StackStatus"] == "UPDATE_COMPLETE"
        assert not first & set(outside.things)
        assert outside.shape() == [("A", None, b"2")]
        with pytest.raises(Fault, match=r"Update of resource type is not permitted\..*\[A\]"):
            await update(h, template({"A": thing(1)}))

    in_cloud(folder, outside, body)


def test_conditions_decide_what_is_there(folder: str) -> None:
    """A resource whose condition turns false is removed; outputs follow their own."""
    outside = Outside()
    body_ = template(
        {"A": thing(1), "B": thing(2, Condition="Two", Text={"Ref": "A"})},
        Parameters={"Count": {"Type": "Number", "Default": 2}},
        Conditions={"Two": {"Fn::Equals": [{"Ref": "Count"}, 2]}},
        Outputs={"B": {"Condition": "Two", "Value": {"Ref": "B"}}},
    )

    async def body(h: Any) -> None:
        stack = await create(h, body_)
        assert [o["OutputKey"] for o in stack["Outputs"]] == ["B"]
        stack = await update(
            h, body_, Parameters=[{"ParameterKey": "Count", "ParameterValue": "1"}]
        )
        assert stack["Outputs"] == []
        assert {t["logical_id"] for t in outside.things.values()} == {"A"}

    in_cloud(folder, outside, body)


def test_deleted_stacks_are_forgotten_in_the_end(folder: str) -> None:
    """ListStacks shows them for 90 days; then nothing of them is stored."""

    async def body(h: Any) -> None:
        stack = await create(h, template(CHAIN))
        await delete(h, stack)
        assert await stored(h)

    async def later(h: Any) -> None:
        for _ in range(20_000):
            if not await stored(h):
                return
            await asyncio.sleep(0.005)
        raise AssertionError(await stored(h))

    async def stored(h: Any) -> list[bytes]:
        keys = h.call().keys("cloudformation")
        return await h.call().transact(lambda c: [key for key, _ in c.tx.scan(keys.span())])

    in_cloud(folder, Outside(), body)
    in_cloud(folder, Outside(), later, later_s=91 * 86_400.0)


def test_the_same_request_token_makes_one_stack(folder: str) -> None:
    """A client that did not see the answer asks again; another one is refused."""

    async def body(h: Any) -> None:
        request = {"StackName": "s", "TemplateBody": template({"A": thing()})}
        answers = await asyncio.gather(
            *(h("cloudformation", "CreateStack", **request, ClientRequestToken=t) for t in "aab"),
            return_exceptions=True,
        )
        ids = {a["StackId"] for a in answers if isinstance(a, dict)}
        assert len(ids) == 1
        refused = [a for a in answers if isinstance(a, Fault)]
        assert {f.code for f in refused} == {"AlreadyExistsException"}
        assert {f.message for f in refused} == {"Stack [s] already exists"}
        await settled(h, "s")

    in_cloud(folder, Outside(), body)


def test_large_values_fit_or_are_refused(folder: str) -> None:
    """A row holds a resource as it is, as it was and what must go; beyond the limits comes an error, not a crash."""
    outside = Outside()
    big = {f"P{n}": {"Type": "String"} for n in range(180)}
    text = {"Fn::Join": ["", [{"Ref": name} for name in list(big)[:70]]]}
    too_long = {"Fn::Join": ["", [{"Ref": name} for name in big]]}
    noise = random.Random(1)  # does not compress

    def values(size: int) -> list[dict[str, str]]:
        return [
            {
                "ParameterKey": name,
                "ParameterValue": base64.b64encode(noise.randbytes(size)).decode(),
            }
            for name in big
        ]

    async def body(h: Any) -> None:
        first = template({"A": thing(1, Name=text)}, Parameters=big)
        small, large = values(900), values(3000)
        with pytest.raises(Fault, match="larger than 300000 bytes in all"):
            await create(h, first, Parameters=large)
        stack = await create(h, first, Parameters=small)
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        name = next(iter(outside.things.values()))["Name"]
        assert len(name) == 84_000
        second = template(
            {"A": thing(1, Name=text), "B": thing(1, Refuse="create", DependsOn="A")},
            Parameters=big,
        )
        stack = await update(h, second, Parameters=values(1200))
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert [t["Name"] for t in outside.things.values()] == [name]
        outputs = {"O": {"Value": too_long}}
        stack = await update(
            h,
            template({"A": thing(1, Name=text)}, Parameters=big, Outputs=outputs),
            Parameters=small,
        )
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"

    in_cloud(folder, outside, body)
