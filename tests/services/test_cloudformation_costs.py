"""EstimateTemplateCost checks the template as CreateStack does and answers a page of ours: what it costs here, what AWS bills by."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from stratolite.http import HttpRequest

TEMPLATE = {
    "Parameters": {"Many": {"Type": "String", "AllowedValues": ["yes", "no"]}},
    "Conditions": {"More": {"Fn::Equals": [{"Ref": "Many"}, "yes"]}},
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue"},
        "Other": {"Type": "AWS::SQS::Queue", "Condition": "More"},
        "Inside": {
            "Type": "AWS::CloudFormation::Stack",
            "Properties": {"TemplateURL": "https://s3.amazonaws.com/templates/inner"},
        },
    },
}
INNER = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}, "Q": {"Type": "AWS::SQS::Queue"}}}


def page(platform: Any, url: str, method: str = "GET") -> tuple[int, str]:
    parts = urlsplit(url)
    status, _, body = platform.send(
        HttpRequest(method, parts.path, parts.query, {"host": parts.netloc}, b"")
    )
    return status, body.decode()


def estimate(client: Any, many: str, **template: Any) -> str:
    given = [{"ParameterKey": "Many", "ParameterValue": many}]
    body = json.dumps({**TEMPLATE, **template})
    return str(
        client("cloudformation").estimate_template_cost(TemplateBody=body, Parameters=given)["Url"]
    )


def test_the_page_counts_what_would_be_made_and_names_what_aws_bills_by(
    client: Any, platform: Any
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="inner", Body=json.dumps(INNER).encode())
    for many, queues in (("yes", 3), ("no", 2)):
        status, text = page(platform, estimate(client, many))
        assert status == 200
        assert f"<tr><td>AWS::SQS::Queue<td>{queues}<td>0.00<td>requests, data" in text
        assert "<td>AWS::SNS::Topic<td>1<td>0.00<td>" in text
        assert "https://aws.amazon.com/sqs/pricing/" in text
    assert not client("cloudformation").list_stacks()["StackSummaries"]


def test_a_template_that_would_not_be_made_has_no_estimate(client: Any) -> None:
    cfn = client("cloudformation")
    with pytest.raises(ClientError, match="must be one of AllowedValues"):
        estimate(client, "perhaps")
    with pytest.raises(ClientError, match=r"must have values"):
        cfn.estimate_template_cost(TemplateBody=json.dumps(TEMPLATE))
    with pytest.raises(ClientError, match="Either Template URL or Template Body"):
        cfn.estimate_template_cost()
    wrong = {"Queue": {"Type": "AWS::SQS::Queue", "Properties": {"Nothing": 1}}}
    with pytest.raises(ClientError, match="Nothing") as caught:
        estimate(client, "no", Resources=wrong)
    assert caught.value.response["Error"]["Code"] == "ValidationError"


@pytest.mark.parametrize(
    "query",
    [
        "%3Cscript%3E=1",
        "AWS::SQS::Queue=%3Cb%3E",
        "AWS::SQS::Queue=1234567",
        "AWS::EC2::Instance=1",
        "Custom::X=1",
    ],
)
def test_the_page_says_nothing_that_we_did_not(client: Any, platform: Any, query: str) -> None:
    client("sts").get_caller_identity()
    url = f"http://localhost:4566/_aws/cloudformation-cost/estimate?{query}"
    assert page(platform, url)[0] == 404
    assert page(platform, url, "POST")[0] == 405
