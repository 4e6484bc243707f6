"""Parameters that name things of an account, and the functions of Rules that ask for them.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-supplied-parameter-types.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

QUEUE = {"Queue": {"Type": "AWS::SQS::Queue"}}
GOOD = {
    "AWS::EC2::AvailabilityZone::Name": "us-east-1a",
    "List<AWS::EC2::AvailabilityZone::Name>": "us-east-1a, us-east-1c",
    "AWS::EC2::Image::Id": "ami-0ff8a91507f77f867",
    "AWS::EC2::Instance::Id": "i-1234567890abcdef0",
    "AWS::EC2::KeyPair::KeyName": "my key",
    "AWS::EC2::SecurityGroup::GroupName": "default",
    "List<AWS::EC2::SecurityGroup::Id>": "sg-12345678,sg-903004f8",
    "List<AWS::EC2::Subnet::Id>": "subnet-12345678",
    "AWS::EC2::VPC::Id": "vpc-0a1b2c3d",
    "AWS::EC2::Volume::Id": "vol-049df61146c4d7901",
    "AWS::Route53::HostedZone::Id": "Z23YXV4OVPL04A",
}
BAD = {
    "AWS::EC2::AvailabilityZone::Name": "eu-west-1a",
    "List<AWS::EC2::AvailabilityZone::Name>": "us-east-1a,us-east-1z",
    "AWS::EC2::VPC::Id": "subnet-12345678",
    "List<AWS::EC2::Subnet::Id>": "subnet-12345678,vpc-12345678",
    "AWS::Route53::HostedZone::Id": "example.com",
    "AWS::EC2::Image::Id": "ami-xyz",
}


def text(kind: str, **sections: Any) -> str:
    outputs = {"Given": {"Value": {"Fn::Join": ["|", {"Ref": "P"}]}}}
    if not kind.removeprefix("AWS::SSM::Parameter::Value<").startswith("List"):
        outputs = {"Given": {"Value": {"Ref": "P"}}}
    body = {"Parameters": {"P": {"Type": kind}}, "Resources": QUEUE, "Outputs": outputs}
    return json.dumps({**body, **sections})


def create(client: Any, body: str, value: str) -> str:
    """The stack's output."""
    cfn = client("cloudformation")
    given = [{"ParameterKey": "P", "ParameterValue": value}]
    cfn.create_stack(StackName="s", TemplateBody=body, Parameters=given)
    cfn.get_waiter("stack_create_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    given = stack["Outputs"][0]["OutputValue"]
    cfn.delete_stack(StackName="s")
    cfn.get_waiter("stack_delete_complete").wait(StackName="s", WaiterConfig={"Delay": 1})
    return str(given)


def test_values_of_the_right_form_are_taken(client: Any) -> None:
    for kind, value in GOOD.items():
        given = create(client, text(kind), value)
        assert given == "|".join(part.strip() for part in value.split(","))


@pytest.mark.parametrize(("kind", "value"), BAD.items())
def test_a_value_that_can_name_nothing_is_refused(client: Any, kind: str, value: str) -> None:
    """A subnet for a VPC, a zone of another region: before anything is there, in AWS's words."""
    odd = value.rsplit(",", maxsplit=1)[-1]
    said = f"Parameter validation failed: parameter value {odd} for parameter name P does not exist"
    with pytest.raises(ClientError, match=said):
        create(client, text(kind), value)
    assert client("cloudformation").describe_stacks()["Stacks"] == []


@pytest.mark.parametrize(
    "kind", ["AWS::EC2::Nothing::Id", "List<AWS::EC2::KeyPair::KeyName>", "List<AWS::EC2::VPC::Id"]
)
def test_types_that_aws_does_not_have_are_refused(client: Any, kind: str) -> None:
    cfn = client("cloudformation")
    for asked in (kind, f"AWS::SSM::Parameter::Value<{kind}>"):
        with pytest.raises(ClientError, match="Unrecognized parameter type"):
            cfn.validate_template(TemplateBody=text(asked))


def test_a_looked_up_value_has_the_form_of_its_type(client: Any) -> None:
    ssm = client("ssm")
    ssm.put_parameter(Name="/net/vpc", Value="vpc-12345678", Type="String")
    ssm.put_parameter(Name="/net/odd", Value="sg-12345678", Type="String")
    body = text("AWS::SSM::Parameter::Value<AWS::EC2::VPC::Id>")
    assert create(client, body, "/net/vpc") == "vpc-12345678"
    with pytest.raises(ClientError, match="parameter value sg-12345678 for parameter name P"):
        create(client, body, "/net/odd")


def rule(assertion: Any) -> dict[str, Any]:
    return {"Rules": {"R": {"Assertions": [{"Assert": assertion, "AssertDescription": "no"}]}}}


def test_rules_ask_for_the_zones_there_are(client: Any) -> None:
    given = {"Ref": "P"}
    every = {"Fn::EachMemberIn": [given, {"Fn::RefAll": "AWS::EC2::AvailabilityZone::Name"}]}
    outputs = {"Outputs": {"Zones": {"Value": {"Fn::Join": [" ", given]}}}}
    body = text("CommaDelimitedList", **rule(every), **outputs)
    assert create(client, body, "us-east-1a,us-east-1b") == "us-east-1a us-east-1b"
    with pytest.raises(ClientError, match="Rule R: no"):
        create(client, body, "us-east-1a,us-west-2b")


@pytest.mark.parametrize(
    ("assertion", "holds"),
    [
        ({"Fn::Contains": [["a", "b"], {"Ref": "One"}]}, True),
        ({"Fn::Contains": [["b", "c"], {"Ref": "One"}]}, False),
        ({"Fn::Contains": [{"Ref": "P"}, "b"]}, True),
        ({"Fn::EachMemberEquals": [["a", "a"], {"Ref": "One"}]}, True),
        ({"Fn::EachMemberEquals": [{"Ref": "P"}, "a"]}, False),
        ({"Fn::EachMemberIn": [{"Ref": "P"}, ["a", "b", "c"]]}, True),
        ({"Fn::EachMemberIn": [["a", "b", "c"], {"Ref": "P"}]}, False),
        ({"Fn::Not": [{"Fn::EachMemberIn": [["c"], {"Ref": "P"}]}]}, True),
        ({"Fn::And": [{"Fn::Contains": [{"Ref": "P"}, "a"]}, {"Fn::Equals": ["x", "y"]}]}, False),
    ],
)
def test_rules_compare_lists(client: Any, assertion: Any, holds: bool) -> None:
    """P is a,b and One is a; the stack may be made, or the rule says no before anything is there."""
    parameters = {"P": {"Type": "CommaDelimitedList"}, "One": {"Type": "String", "Default": "a"}}
    outputs = {"O": {"Value": "made"}}
    body = text("String", **rule(assertion), Parameters=parameters, Outputs=outputs)
    if holds:
        assert create(client, body, "a,b") == "made"
        return
    with pytest.raises(ClientError, match="Template validation error: Rule R: no"):
        create(client, body, "a,b")


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        (
            {"Fn::Contains": [{"Fn::RefAll": "AWS::EC2::VPC::Id"}, {"Ref": "P"}]},
            "Fn::RefAll of AWS::EC2::VPC::Id",
        ),
        (
            {"Fn::Equals": [{"Fn::ValueOf": ["P", "VpcId"]}, "x"]},
            "Fn::ValueOf of AWS::EC2::Subnet::Id",
        ),
        (
            {"Fn::EachMemberEquals": [{"Fn::ValueOfAll": ["AWS::EC2::VPC::Id", "Tags.a"]}, "x"]},
            "Fn::ValueOfAll of AWS::EC2::VPC::Id",
        ),
    ],
)
def test_rules_on_what_nobody_here_knows_are_refused(
    client: Any, assertion: Any, said: str
) -> None:
    """An assertion decides whether a stack may be: half an answer would be a wrong one."""
    body = text("AWS::EC2::Subnet::Id", **rule(assertion))
    with pytest.raises(ClientError, match=f"Rules: {said} is not offered by Stratolite"):
        create(client, body, "subnet-12345678")
