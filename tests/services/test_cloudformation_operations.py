"""What stacks can do beyond create, update, delete: nesting, policies, imports, drift, signals, custom resources."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from services.cloudformation_fake import Outside, in_cloud, offer, settled, template, thing

from stratolite.errors import Fault
from stratolite.http import HttpRequest
from stratolite.service import Door, Request, Response, Service
from stratolite.services.cloudformation import signals


async def put_templates(h: Any, **bodies: str) -> None:
    await h("s3", "CreateBucket", Bucket="templates")
    for name, body in bodies.items():
        await h("s3", "PutObject", Bucket="templates", Key=name, Body=body.encode())


def nested(key: str, **parameters: Any) -> dict[str, Any]:
    url = f"https://s3.amazonaws.com/templates/{key}"
    return {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": url, "Parameters": parameters},
    }


def inner(size: Any = None, **more: Any) -> str:
    return template(
        {"T": thing(size or {"Ref": "Size"}, **more)},
        Parameters={"Size": {"Type": "Number", "Default": 1}},
        Outputs={"Size": {"Value": {"Fn::GetAtt": ["T", "Size"]}}},
    )


async def reasons(h: Any, name: str) -> str:
    events = (await h("cloudformation", "DescribeStackEvents", StackName=name))["StackEvents"]
    return "\n".join(e.get("ResourceStatusReason", "") for e in events)


def test_a_stack_inside_a_stack_is_made_changed_and_removed_with_it(tmp_path: Any) -> None:
    """Outputs flow out of it, parameters into it; its own stack names its parent."""
    outside = Outside()
    outer = {"N": nested("child", Size=2), "B": thing({"Fn::GetAtt": ["N", "Outputs.Size"]})}

    async def body(h: Any) -> None:
        await put_templates(h, child=inner())
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(outer))
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert [size for _, _, size in outside.shape()] == [b'"2"', b'"2"']
        stacks = (await h("cloudformation", "DescribeStacks"))["Stacks"]
        child = next(s for s in stacks if s["StackName"] != "s")
        assert child["ParentId"] == child["RootId"] == stack["StackId"]
        changed = template({**outer, "N": nested("child", Size=3)})
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=changed)
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_COMPLETE"
        assert [size for _, _, size in outside.shape()] == [b'"3"', b'"3"']
        assert (await settled(h, child["StackName"]))["StackStatus"] == "UPDATE_COMPLETE"
        await h("cloudformation", "DeleteStack", StackName="s")
        assert (await settled(h, stack["StackId"]))["StackStatus"] == "DELETE_COMPLETE"
        assert (await settled(h, child["StackId"]))["StackStatus"] == "DELETE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert outside.shape() == []


def test_a_nested_update_goes_back_when_its_parent_fails_later(tmp_path: Any) -> None:
    """The inner stack was done, its replaced thing still there: it is what it was before, not made anew."""
    outside = Outside()

    async def body(h: Any) -> None:
        await put_templates(h, child=inner(Name="a"))
        outer = {"N": nested("child"), "B": thing(1, DependsOn="N")}
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(outer))
        await settled(h, "s")
        before = dict(outside.things)
        await h("s3", "PutObject", Bucket="templates", Key="child", Body=inner(Name="b").encode())
        broken = {**outer, "B": thing(2, DependsOn="N", Refuse="update")}
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=template(broken))
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        stacks = (await h("cloudformation", "DescribeStacks"))["Stacks"]
        child = next(s for s in stacks if s["StackName"] != "s")
        assert child["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert outside.things.keys() == before.keys()

    in_cloud(str(tmp_path), outside, body)
    assert ("create", "T") in outside.calls[2:]


def test_a_nested_templates_mistakes_are_told_before_anything_is_touched(tmp_path: Any) -> None:
    outside = Outside()
    wrong = template({"X": {"Type": "AWS::EC2::Instance"}})

    async def body(h: Any) -> None:
        await put_templates(h, child=wrong)
        outer = {"A": thing(1), "N": nested("child")}
        with pytest.raises(Fault, match=r"Nested stack N: .*AWS::EC2::Instance \(X\).*line 1"):
            await h("cloudformation", "CreateStack", StackName="s", TemplateBody=template(outer))

    in_cloud(str(tmp_path), outside, body)
    assert outside.calls == []


def test_a_failing_nested_stack_fails_its_parent(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        await put_templates(h, child=inner(Refuse="create"))
        outer = template({"A": thing(1), "N": nested("child")})
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=outer)
        assert (await settled(h, "s"))["StackStatus"] == "ROLLBACK_COMPLETE"
        assert "was not successfully created" in await reasons(h, "s")

    in_cloud(str(tmp_path), outside, body)
    assert outside.shape() == []


POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["Update:Replace", "Update:Delete"],
            "Principal": "*",
            "Resource": "LogicalResourceId/A",
        },
    ]
}


def test_a_stack_policy_keeps_what_it_names(tmp_path: Any) -> None:
    """Modified yes, replaced or removed no, unless the update brings a policy of its own."""
    outside = Outside()

    async def body(h: Any) -> None:
        first = template({"A": thing(1, Name="a"), "B": thing(1)})
        text = orjson.dumps(POLICY).decode()
        await h(
            "cloudformation",
            "CreateStack",
            StackName="s",
            TemplateBody=first,
            StackPolicyBody=text,
        )
        await settled(h, "s")
        for body, status in (
            ({"A": thing(2, Name="a"), "B": thing(1)}, "UPDATE_COMPLETE"),
            ({"A": thing(2, Name="b"), "B": thing(1)}, "UPDATE_ROLLBACK_COMPLETE"),
            ({"B": thing(3)}, "UPDATE_ROLLBACK_COMPLETE"),
        ):
            await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=template(body))
            assert (await settled(h, "s"))["StackStatus"] == status
        assert "Action denied by stack policy" in await reasons(h, "s")
        during = {"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}  # fmt: skip
        await h(
            "cloudformation",
            "UpdateStack",
            StackName="s",
            TemplateBody=template({"B": thing(3)}),
            StackPolicyDuringUpdateBody=orjson.dumps(during).decode(),
        )
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_COMPLETE"
        kept = await h("cloudformation", "GetStackPolicy", StackName="s")
        assert orjson.loads(kept["StackPolicyBody"]) == POLICY
        with pytest.raises(Fault, match="Error validating stack policy: Invalid stack policy"):
            await h("cloudformation", "SetStackPolicy", StackName="s", StackPolicyBody="{}")

    in_cloud(str(tmp_path), outside, body)
    assert [size for _, _, size in outside.shape()] == [b"3"]


def test_a_failed_update_may_stay_and_be_rolled_back_later(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        first = template({"A": thing(1), "B": thing(1, DependsOn="A")})
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=first)
        await settled(h, "s")
        broken = template({"A": thing(2), "B": thing(2, DependsOn="A", Refuse="update")})
        await h(
            "cloudformation",
            "UpdateStack",
            StackName="s",
            TemplateBody=broken,
            DisableRollback=True,
        )
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_FAILED"
        assert outside.shape()[0][2] == b"2"
        await h("cloudformation", "RollbackStack", StackName="s")
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert [size for _, _, size in outside.shape()] == [b"1", b"1"]
        await h(
            "cloudformation",
            "CreateStack",
            StackName="t",
            TemplateBody=template({"A": thing(1), "B": thing(1, DependsOn="A", Refuse="create")}),
            DisableRollback=True,
        )
        assert (await settled(h, "t"))["StackStatus"] == "CREATE_FAILED"
        await h("cloudformation", "RollbackStack", StackName="t")
        assert (await settled(h, "t"))["StackStatus"] == "ROLLBACK_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert len(outside.things) == 2


def test_rules_are_asserted_before_anything_is_touched(tmp_path: Any) -> None:
    outside = Outside()
    rules = {
        "Small": {
            "RuleCondition": {"Fn::Equals": [{"Ref": "Stage"}, "dev"]},
            "Assertions": [
                {
                    "Assert": {"Fn::Contains": [["1", "2"], {"Ref": "Size"}]},
                    "AssertDescription": "dev is small",
                }
            ],
        }
    }
    parameters = {"Stage": {"Type": "String"}, "Size": {"Type": "String"}}
    text = template({"A": thing({"Ref": "Size"})}, Rules=rules, Parameters=parameters)

    async def body(h: Any) -> None:
        def given(stage: str, size: str) -> list[dict[str, str]]:
            pairs = {"Stage": stage, "Size": size}
            return [{"ParameterKey": k, "ParameterValue": v} for k, v in pairs.items()]

        with pytest.raises(Fault, match="Rule Small: dev is small"):
            await h(
                "cloudformation",
                "CreateStack",
                StackName="s",
                TemplateBody=text,
                Parameters=given("dev", "3"),
            )
        await h(
            "cloudformation",
            "CreateStack",
            StackName="s",
            TemplateBody=text,
            Parameters=given("prod", "3"),
        )
        assert (await settled(h, "s"))["StackStatus"] == "CREATE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)


def test_loops_lengths_and_defaults_of_the_language_extensions(tmp_path: Any) -> None:
    outside = Outside()
    text = template(
        {
            "Fn::ForEach::Sizes": [
                "Name",
                {"Ref": "Names"},
                {
                    "Thing${Name}": thing(
                        {"Fn::Length": {"Ref": "Names"}},
                        Name={"Ref": "Name"},
                        Text={"Fn::ToJsonString": {"name": {"Ref": "Name"}}},
                        Other={"Fn::FindInMap": ["M", {"Ref": "Name"}, "k", {"DefaultValue": "d"}]},
                        DeletionPolicy={"Fn::If": ["Keep", "Retain", "Delete"]},
                    )
                },
            ]
        },
        Transform="AWS::LanguageExtensions",
        Conditions={"Keep": {"Fn::Equals": ["a", "b"]}},
        Mappings={"M": {"a": {"k": "v"}}},
        Parameters={"Names": {"Type": "CommaDelimitedList", "Default": "a,b"}},
        Outputs={
            "Fn::ForEach::Out": [
                "Name",
                ["a", "b"],
                {"Arn${Name}": {"Value": {"Fn::GetAtt": ["Thing${Name}", "Arn"]}}},
            ]
        },
    )

    async def body(h: Any) -> None:
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        assert {o["OutputKey"] for o in stack["Outputs"]} == {"Arna", "Arnb"}
        found = {t["Name"]: t for t in outside.things.values()}
        assert found["a"]["Size"] == found["b"]["Size"] == 2
        assert found["b"]["Text"] == '{"name":"b"}'
        assert (found["a"]["Other"], found["b"]["Other"]) == ("v", "d")
        processed = await h(
            "cloudformation", "GetTemplate", StackName="s", TemplateStage="Processed"
        )
        assert set(orjson.loads(processed["TemplateBody"])["Resources"]) == {"Thinga", "Thingb"}
        plain = template({"A": thing({"Fn::Length": [1]})})
        with pytest.raises(Fault, match="needs the transform AWS::LanguageExtensions"):
            await h("cloudformation", "CreateStack", StackName="t", TemplateBody=plain)

    in_cloud(str(tmp_path), outside, body)


def test_includes_are_merged_with_what_stands_beside_them(tmp_path: Any) -> None:
    outside = Outside()

    async def body(h: Any) -> None:
        await put_templates(h, part='{"Size": 7}')
        include = {
            "Fn::Transform": {
                "Name": "AWS::Include",
                "Parameters": {"Location": "s3://templates/part"},
            }
        }
        resource = {"Type": "Test::Fake::Thing", "Properties": {"Name": "a", **include}}
        await h(
            "cloudformation",
            "CreateStack",
            StackName="s",
            TemplateBody=template({"A": resource}),
            Capabilities=["CAPABILITY_AUTO_EXPAND"],
        )
        assert (await settled(h, "s"))["StackStatus"] == "CREATE_COMPLETE"

    in_cloud(str(tmp_path), outside, body)
    assert outside.shape() == [("A", "a", b"7")]


class Functions(Service):
    """Lambda as a custom resource and a macro need it: what it is asked is kept, a macro answers."""

    name = "lambda"
    asked: list[dict[str, Any]] = []  # noqa: RUF012 - one for the test

    async def invoke(self, call: Any, request: Request) -> Response:
        event = orjson.loads(request["Payload"])
        if request.get("InvocationType") == "Event":
            self.asked.append(event)
            return {"StatusCode": 202, "Payload": b""}
        fragment = event["fragment"]
        fragment["Resources"]["Made"] = thing(5)
        answer = {"requestId": event["requestId"], "status": "success", "fragment": fragment}
        return {"StatusCode": 200, "Payload": orjson.dumps(answer)}


async def respond(h: Any, event: dict[str, Any], **answer: Any) -> int:
    """Put an answer to the URL a custom resource was given."""
    label = event["ResponseURL"].rsplit("/", 1)[1]
    said = {k: event[k] for k in ("RequestId", "StackId", "LogicalResourceId")} | answer
    request = HttpRequest("PUT", "/", "", {}, orjson.dumps(said))
    response = await signals.serve(h.call(), Door(signals.DOOR, label, "/", ""), request)
    return response.status


async def question(asked: list[dict[str, Any]], count: int) -> dict[str, Any]:
    for _ in range(30_000):
        if len(asked) >= count:
            return asked[count - 1]
        await asyncio.sleep(0.002)
    raise AssertionError(asked)


def test_custom_resources_are_asked_and_wait_for_the_answer(tmp_path: Any) -> None:
    """Create, an update that answers another physical id, the old one's delete, and the stack's delete."""
    outside, asked = Outside(), Functions.asked
    asked.clear()
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"

    def text(size: int) -> str:
        custom = {"Type": "Custom::Thing", "Properties": {"ServiceToken": arn, "Size": size}}
        return template({"C": custom}, Outputs={"Color": {"Value": {"Fn::GetAtt": ["C", "Color"]}}})

    async def body(h: Any) -> None:
        offer(h.cloud, outside)
        h.cloud.services = {**h.cloud.services, "lambda": Functions}
        h.cloud._instances.pop("lambda", None)
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text(1))
        first = await question(asked, 1)
        assert first["RequestType"] == "Create"
        assert first["ResourceProperties"] == {"ServiceToken": arn, "Size": "1"}
        good = {"Status": "SUCCESS", "PhysicalResourceId": "one", "Data": {"Color": "red"}}
        assert await respond(h, first, **good) == 200
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "CREATE_COMPLETE", await reasons(h, "s")
        assert stack["Outputs"][0]["OutputValue"] == "red"
        await h("cloudformation", "UpdateStack", StackName="s", TemplateBody=text(2))
        second = await question(asked, 2)
        assert (second["RequestType"], second["PhysicalResourceId"]) == ("Update", "one")
        assert second["OldResourceProperties"]["Size"] == "1"
        await respond(h, second, **{**good, "PhysicalResourceId": "two"})
        third = await question(asked, 3)
        assert (third["RequestType"], third["PhysicalResourceId"]) == ("Delete", "one")
        await respond(h, third, Status="SUCCESS", PhysicalResourceId="one")
        assert (await settled(h, "s"))["StackStatus"] == "UPDATE_COMPLETE"
        await h("cloudformation", "DeleteStack", StackName="s")
        fourth = await question(asked, 4)
        assert (fourth["RequestType"], fourth["PhysicalResourceId"]) == ("Delete", "two")
        await respond(h, fourth, Status="SUCCESS", PhysicalResourceId="two")
        assert (await settled(h, stack["StackId"]))["StackStatus"] == "DELETE_COMPLETE"
        assert await respond(h, fourth, Status="SUCCESS") == 403

    in_cloud(str(tmp_path), outside, body)


def test_a_custom_resource_that_says_no_fails_with_its_reason(tmp_path: Any) -> None:
    outside, asked = Outside(), Functions.asked
    asked.clear()
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"
    text = template({"C": {"Type": "Custom::Thing", "Properties": {"ServiceToken": arn}}})

    async def body(h: Any) -> None:
        h.cloud.services = {**h.cloud.services, "lambda": Functions}
        h.cloud._instances.pop("lambda", None)
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        await respond(h, await question(asked, 1), Status="FAILED", Reason="too blue")
        second = await question(asked, 2)
        assert second["RequestType"] == "Delete"
        await respond(h, second, Status="SUCCESS", PhysicalResourceId="x")
        assert (await settled(h, "s"))["StackStatus"] == "ROLLBACK_COMPLETE"
        assert (
            "Received response status [FAILED] from custom resource. Message returned: too blue"
            in await reasons(h, "s")
        )

    in_cloud(str(tmp_path), outside, body)


def test_macros_are_functions_that_rewrite_templates(tmp_path: Any) -> None:
    outside = Outside()
    arn = "arn:aws:lambda:us-east-1:000000000000:function:f"

    async def body(h: Any) -> None:
        offer(h.cloud, outside)
        h.cloud.services = {**h.cloud.services, "lambda": Functions}
        h.cloud._instances.pop("lambda", None)
        macro = {
            "Type": "AWS::CloudFormation::Macro",
            "Properties": {"Name": "More", "FunctionName": arn},
        }
        await h("cloudformation", "CreateStack", StackName="m", TemplateBody=template({"M": macro}))
        assert (await settled(h, "m"))["StackStatus"] == "CREATE_COMPLETE"
        text = template({"A": thing(1)}, Transform="More")
        with pytest.raises(Fault, match="CAPABILITY_AUTO_EXPAND"):
            await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        await h(
            "cloudformation",
            "CreateStack",
            StackName="s",
            TemplateBody=text,
            Capabilities=["CAPABILITY_AUTO_EXPAND"],
        )
        assert (await settled(h, "s"))["StackStatus"] == "CREATE_COMPLETE"
        other = template({"A": thing(1)}, Transform="Less")
        with pytest.raises(Fault, match="No transform named 000000000000::Less found"):
            await h("cloudformation", "CreateStack", StackName="t", TemplateBody=other)

    in_cloud(str(tmp_path), outside, body)
    assert sorted(name for name, _, _ in outside.shape()) == ["A", "Made"]


def test_a_wait_condition_waits_for_its_signals(tmp_path: Any) -> None:
    outside = Outside()
    text = template(
        {
            "H": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
            "W": {
                "Type": "AWS::CloudFormation::WaitCondition",
                "Properties": {"Handle": {"Ref": "H"}, "Timeout": "60", "Count": 2},
            },
            "P": {
                "Type": "AWS::CloudFormation::WaitCondition",
                "CreationPolicy": {"ResourceSignal": {"Timeout": "PT1M"}},
            },
        },
        Outputs={"Data": {"Value": {"Fn::GetAtt": ["W", "Data"]}}},
    )

    async def body(h: Any) -> None:
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        url = ""
        while not url:
            found = await h("cloudformation", "DescribeStackResources", StackName="s")
            known = {r["LogicalResourceId"]: r for r in found["StackResources"]}
            url = known.get("H", {}).get("PhysicalResourceId", "")
            await asyncio.sleep(0.002)
        event = {"ResponseURL": url, "RequestId": "", "StackId": "", "LogicalResourceId": ""}
        for unique in ("a", "b"):
            signal = {"Status": "SUCCESS", "UniqueId": unique, "Data": unique * 2, "Reason": ""}
            assert await respond(h, event, **signal) == 200
        signal = {"StackName": "s", "LogicalResourceId": "P", "UniqueId": "x", "Status": "SUCCESS"}
        await h("cloudformation", "SignalResource", **signal)
        stack = await settled(h, "s")
        assert stack["StackStatus"] == "CREATE_COMPLETE", await reasons(h, "s")
        assert orjson.loads(stack["Outputs"][0]["OutputValue"]) == {"a": "aa", "b": "bb"}

    in_cloud(str(tmp_path), outside, body)


def test_a_failure_signal_fails_the_condition(tmp_path: Any) -> None:
    outside = Outside()
    text = template(
        {
            "P": {
                "Type": "AWS::CloudFormation::WaitCondition",
                "CreationPolicy": {"ResourceSignal": {"Timeout": "PT1M"}},
            }
        }
    )

    async def body(h: Any) -> None:
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        signal = {"StackName": "s", "LogicalResourceId": "P", "UniqueId": "x", "Status": "FAILURE"}
        while True:
            try:
                await h("cloudformation", "SignalResource", **signal)
                break
            except Fault:
                await asyncio.sleep(0.002)
        assert (await settled(h, "s"))["StackStatus"] == "ROLLBACK_COMPLETE"
        assert "WaitCondition received failed message" in await reasons(h, "s")

    in_cloud(str(tmp_path), outside, body)


def test_a_change_set_shows_values_before_and_after(tmp_path: Any) -> None:
    outside = Outside()

    def text(name: str, size: Any) -> str:
        return template(
            {"A": thing(size, Name=name, Secret={"Ref": "P"}), "B": thing({"Ref": "A"})},
            Parameters={"P": {"Type": "String", "NoEcho": True, "Default": "hidden-1"}},
        )

    async def body(h: Any) -> None:
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text("a", 1))
        await settled(h, "s")
        await h(
            "cloudformation",
            "CreateChangeSet",
            StackName="s",
            ChangeSetName="c",
            TemplateBody=text("b", 2),
        )
        shown = await h(
            "cloudformation",
            "DescribeChangeSet",
            StackName="s",
            ChangeSetName="c",
            IncludePropertyValues=True,
        )
        a, b = (change["ResourceChange"] for change in shown["Changes"])
        assert (a["Replacement"], a["PolicyAction"]) == ("True", "ReplaceAndDelete")
        assert orjson.loads(a["AfterContext"]) == {
            "Properties": {"Size": 2, "Name": "b", "Secret": "****"}
        }
        target = next(d["Target"] for d in a["Details"] if d["Target"]["Name"] == "Name")
        assert target == {
            "Attribute": "Properties",
            "Name": "Name",
            "RequiresRecreation": "Always",
            "Path": "/Properties/Name",
            "AttributeChangeType": "Modify",
            "BeforeValue": "a",
            "AfterValue": "b",
        }
        assert b["Details"][0]["CausingEntity"] == "A"
        assert orjson.loads(b["AfterContext"])["Properties"]["Size"] == (
            "{{changeSet:KNOWN_AFTER_APPLY}}"
        )

    in_cloud(str(tmp_path), outside, body)


def test_drift_is_what_somebody_changed_behind_the_stacks_back(tmp_path: Any) -> None:
    """Of a stack as a job, of one resource at once; a thing that is gone is DELETED."""
    outside = Outside()

    async def detected(h: Any) -> dict[str, Any]:
        started = await h("cloudformation", "DetectStackDrift", StackName="s")
        while True:
            status = await h("cloudformation", "DescribeStackDriftDetectionStatus", **started)
            if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                return status
            await asyncio.sleep(0.002)

    async def body(h: Any) -> None:
        text = template({"A": thing(1, Env={"Variables": {"k": "v"}}), "B": thing(2)})
        await h("cloudformation", "CreateStack", StackName="s", TemplateBody=text)
        stack = await settled(h, "s")
        assert (await detected(h))["StackDriftStatus"] == "IN_SYNC"
        a, b = sorted(outside.things)
        outside.things[a]["Env"] = {"Variables": {"k": "w", "x": "y"}}
        del outside.things[b]
        status = await detected(h)
        assert (status["StackDriftStatus"], status["DriftedStackResourceCount"]) == ("DRIFTED", 2)
        drifts = (await h("cloudformation", "DescribeStackResourceDrifts", StackName="s"))[
            "StackResourceDrifts"
        ]
        assert [d["StackResourceDriftStatus"] for d in drifts] == ["MODIFIED", "DELETED"]
        assert drifts[0]["PropertyDifferences"] == [
            {"PropertyPath": "/Env/Variables/k", "ExpectedValue": "v", "ActualValue": "w", "DifferenceType": "NOT_EQUAL"},
            {"PropertyPath": "/Env/Variables/x", "ExpectedValue": "null", "ActualValue": "y", "DifferenceType": "ADD"},
        ]  # fmt: skip
        one = await h(
            "cloudformation", "DetectStackResourceDrift", StackName="s", LogicalResourceId="A"
        )
        assert one["StackResourceDrift"]["StackResourceDriftStatus"] == "MODIFIED"
        shown = (await h("cloudformation", "DescribeStacks", StackName=stack["StackId"]))["Stacks"]
        assert shown[0]["DriftInformation"]["StackDriftStatus"] == "DRIFTED"

    in_cloud(str(tmp_path), outside, body)
