"""The registry says which types there are: those offered, with AWS's schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from stratolite.services.cloudformation.handlers import all_handlers


def listed(cfn: Any, **asked: Any) -> list[str]:
    found, more = [], {}
    while True:
        page = cfn.list_types(Visibility="PUBLIC", Type="RESOURCE", **asked, **more)
        found += [one["TypeName"] for one in page["TypeSummaries"]]
        if "NextToken" not in page:
            return found
        more = {"NextToken": page["NextToken"]}


def test_what_is_offered_is_listed_and_described(client: Any) -> None:
    cfn = client("cloudformation")
    every = listed(cfn, MaxResults=40)
    offered = [h.type for h in all_handlers()]
    assert every == [name for name in offered if name in every]
    assert set(offered) - set(every) <= {"AWS::CDK::Metadata", "Custom::*"}
    assert listed(cfn, Filters={"TypeNamePrefix": "AWS::SQS::"}) == [
        name for name in every if name.startswith("AWS::SQS::")
    ]
    fixed = listed(cfn, ProvisioningType="IMMUTABLE")
    assert sorted([*fixed, *listed(cfn, ProvisioningType="FULLY_MUTABLE")]) == every
    assert cfn.list_types()["TypeSummaries"] == []  # one's own: nobody can have any
    assert listed(cfn, Filters={"Category": "THIRD_PARTY"}) == []
    queue = cfn.describe_type(Type="RESOURCE", TypeName="AWS::SQS::Queue")
    schema = json.loads(queue["Schema"])
    assert schema["typeName"] == "AWS::SQS::Queue"
    assert "VisibilityTimeout" in schema["properties"]
    assert (queue["Visibility"], queue["ProvisioningType"]) == ("PUBLIC", "FULLY_MUTABLE")
    by_arn = cfn.describe_type(Arn=queue["Arn"])
    assert by_arn["TypeName"] == "AWS::SQS::Queue"
    (version,) = cfn.list_type_versions(Arn=queue["Arn"])["TypeVersionSummaries"]
    assert version["VersionId"] == queue["DefaultVersionId"]
    assert cfn.describe_type(Arn=version["Arn"])["TypeName"] == "AWS::SQS::Queue"


@pytest.mark.parametrize(
    "asked",
    [
        {"Type": "RESOURCE", "TypeName": "AWS::EC2::Instance"},
        {"Type": "HOOK", "TypeName": "AWS::SQS::Queue"},
        {"Type": "RESOURCE", "TypeName": "AWS::SQS::Queue", "VersionId": "00000009"},
        {"Arn": "arn:aws:cloudformation:eu-west-1::type/resource/AWS-SQS-Queue"},
    ],
)
def test_a_type_that_is_not_offered_is_not_there(client: Any, asked: dict[str, str]) -> None:
    with pytest.raises(ClientError) as found:
        client("cloudformation").describe_type(**asked)
    assert found.value.response["Error"]["Code"] == "TypeNotFoundException"
