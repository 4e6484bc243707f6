"""Cloud Control: any resource type made, read, changed, listed and removed through one API, as the caller."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
PATTERN = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}],
}


def ended(control: Any, answer: Any, wanted: str = "SUCCESS") -> dict[str, Any]:
    """The request's ProgressEvent once it is at its end."""
    token = answer["ProgressEvent"]["RequestToken"]
    until = time.monotonic() + 120
    while time.monotonic() < until:
        event = control.get_resource_request_status(RequestToken=token)["ProgressEvent"]
        if event["OperationStatus"] not in ("PENDING", "IN_PROGRESS", "CANCEL_IN_PROGRESS"):
            assert event["OperationStatus"] == wanted, event
            return event
        time.sleep(0.01)
    raise AssertionError(event)


def create(control: Any, kind: str, **desired: Any) -> str:
    answer = control.create_resource(TypeName=kind, DesiredState=json.dumps(desired))
    return str(ended(control, answer)["Identifier"])


def properties(control: Any, kind: str, identifier: str) -> dict[str, Any]:
    found = control.get_resource(TypeName=kind, Identifier=identifier)["ResourceDescription"]
    assert found["Identifier"] == identifier
    return json.loads(found["Properties"])


def update(control: Any, kind: str, identifier: str, *patch: dict[str, Any]) -> Any:
    answer = control.update_resource(
        TypeName=kind, Identifier=identifier, PatchDocument=json.dumps(patch)
    )
    return ended(control, answer)


KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("AWS::CloudWatch::Dashboard", {"DashboardName": "d", "DashboardBody": "{}"}, {"DashboardBody": '{"start": "-PT1H"}'}),
    ("AWS::DynamoDB::Table", {"BillingMode": "PAY_PER_REQUEST", "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}]}, {"DeletionProtectionEnabled": False, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("AWS::Events::EventBus", {"Name": "bus"}, {"Description": "two"}),
    ("AWS::Events::Rule", {"Name": "r", "EventPattern": {"source": ["x"]}}, {"Description": "two"}),
    ("AWS::Glue::Database", {"CatalogId": "000000000000", "DatabaseInput": {"Name": "db"}}, {"DatabaseInput": {"Name": "db", "Description": "two"}}),
    ("AWS::IAM::Group", {"GroupName": "g"}, {"ManagedPolicyArns": ["arn:aws:iam::aws:policy/ReadOnlyAccess"]}),
    ("AWS::IAM::ManagedPolicy", {"ManagedPolicyName": "mp", "PolicyDocument": PATTERN}, {"PolicyDocument": {**PATTERN, "Id": "two"}}),
    ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST}, {"Description": "two"}),
    ("AWS::IAM::User", {"UserName": "u"}, {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("AWS::KMS::Key", {"KeyPolicy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "kms:*", "Resource": "*"}]}}, {"Description": "two"}),
    ("AWS::Kinesis::Stream", {"ShardCount": 1}, {"RetentionPeriodHours": 48}),
    ("AWS::Logs::LogGroup", {"LogGroupName": "/a/b", "RetentionInDays": 3}, {"RetentionInDays": 7}),
    ("AWS::S3::Bucket", {"BucketName": "made-by-control"}, {"VersioningConfiguration": {"Status": "Enabled"}}),
    ("AWS::SNS::Topic", {"TopicName": "t"}, {"DisplayName": "two"}),
    ("AWS::SQS::Queue", {"VisibilityTimeout": 5}, {"VisibilityTimeout": 7}),
    ("AWS::SSM::Parameter", {"Name": "p", "Type": "String", "Value": "one"}, {"Value": "two"}),
    ("AWS::Scheduler::ScheduleGroup", {"Name": "sg"}, {"Tags": [{"Key": "a", "Value": "b"}]}),
    ("AWS::SecretsManager::Secret", {"Name": "s"}, {"Description": "two"}),
]  # fmt: skip


@pytest.mark.timeout(600)
def test_a_resource_of_every_kind_lives_its_whole_life(client: Any) -> None:
    """Created, read, listed, changed by a patch, deleted: after each what the API says is so."""
    control = client("cloudcontrol")
    for kind, first, then in KINDS:
        live(control, kind, first, then)


def live(control: Any, kind: str, first: dict[str, Any], then: dict[str, Any]) -> None:
    identifier = create(control, kind, **first)
    there = properties(control, kind, identifier)
    for key, value in first.items():
        assert there[key] == value, (kind, key)
    if kind != "AWS::Events::Rule":  # they are listed by bus
        pages = control.get_paginator("list_resources").paginate(TypeName=kind)
        assert identifier in [d["Identifier"] for p in pages for d in p["ResourceDescriptions"]]
    patch = [{"op": "add", "path": f"/{key}", "value": value} for key, value in then.items()]
    update(control, kind, identifier, *patch)
    there = properties(control, kind, identifier)
    for key, value in then.items():
        assert there[key] == value, (kind, key)
    ended(control, control.delete_resource(TypeName=kind, Identifier=identifier))
    if kind != "AWS::KMS::Key":  # pending deletion is what deletion of a key is
        with pytest.raises(control.exceptions.ResourceNotFoundException, match="NotFound"):
            control.get_resource(TypeName=kind, Identifier=identifier)


def test_parts_of_a_whole_have_identifiers_of_several_values(client: Any) -> None:
    """https://docs.aws.amazon.com/cloudcontrolapi/latest/userguide/resource-identifier.html"""
    control = client("cloudcontrol")
    api = create(control, "AWS::ApiGatewayV2::Api", Name="a", ProtocolType="HTTP")
    stage = create(control, "AWS::ApiGatewayV2::Stage", ApiId=api, StageName="prod")
    assert stage == f"{api}|prod"
    as_json = json.dumps({"ApiId": api, "StageName": "prod"})
    found = control.get_resource(TypeName="AWS::ApiGatewayV2::Stage", Identifier=as_json)
    assert json.loads(found["ResourceDescription"]["Properties"])["StageName"] == "prod"
    with pytest.raises(ClientError, match="is not valid for identifier"):
        control.get_resource(TypeName="AWS::ApiGatewayV2::Stage", Identifier="prod")
    route = create(control, "AWS::ApiGatewayV2::Route", ApiId=api, RouteKey="GET /x")
    there = properties(control, "AWS::ApiGatewayV2::Route", route)
    assert (there["ApiId"], there["RouteKey"]) == (api, "GET /x")
    key = {"op": "replace", "path": "/RouteKey", "value": "GET /y"}
    update(control, "AWS::ApiGatewayV2::Route", route, key)
    ended(control, control.delete_resource(TypeName="AWS::ApiGatewayV2::Route", Identifier=route))
    assert client("apigatewayv2").get_routes(ApiId=api)["Items"] == []


def test_parts_of_a_function_are_changed_by_what_is_read_of_them(client: Any) -> None:
    """A patch is applied to what the handler reads: that must be a whole model of its type."""
    control, packed = client("cloudcontrol"), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): return 1")
    s3 = client("s3")
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="app.zip", Body=packed.getvalue())
    create(control, "AWS::IAM::Role", RoleName="r", AssumeRolePolicyDocument=TRUST)
    code = {"S3Bucket": "code", "S3Key": "app.zip"}
    kind = "AWS::Lambda::Function"
    create(
        control,
        kind,
        FunctionName="f",
        Handler="app.handler",
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/r",
        Code=code,
    )
    memory = {"op": "add", "path": "/MemorySize", "value": 256}
    with pytest.raises(ClientError, match=r"required key \[Code\] not found"):
        update(control, kind, "f", memory)  # nobody can read it: a patch brings it along
    update(control, kind, "f", memory, {"op": "add", "path": "/Code", "value": code})
    assert client("lambda").get_function_configuration(FunctionName="f")["MemorySize"] == 256
    create(control, "AWS::Lambda::Version", FunctionName="f")
    alias = create(control, "AWS::Lambda::Alias", FunctionName="f", FunctionVersion="1", Name="a")
    described = {"op": "add", "path": "/Description", "value": "d"}
    update(control, "AWS::Lambda::Alias", alias, described)
    assert client("lambda").get_alias(FunctionName="f", Name="a")["Description"] == "d"
    kind = "AWS::Lambda::EventInvokeConfig"
    config = create(
        control, kind, FunctionName="f", Qualifier="$LATEST", MaximumEventAgeInSeconds=100
    )
    update(control, kind, config, {"op": "add", "path": "/MaximumRetryAttempts", "value": 1})
    there = properties(control, kind, config)
    assert (there["MaximumEventAgeInSeconds"], there["MaximumRetryAttempts"]) == (100, 1)


def test_what_cannot_be_is_refused_before_anything_is_made(client: Any) -> None:
    """By the exceptions of the API, in AWS's words."""
    control = client("cloudcontrol")

    def refused(code: str, match: str, operation: str, **request: Any) -> None:
        with pytest.raises(ClientError, match=match) as caught:
            getattr(control, operation)(**request)
        assert caught.value.response["Error"]["Code"] == code

    kind = "AWS::SQS::Queue"
    refused("TypeNotFoundException", "The type 'AWS::No::Thing' cannot be found.", "get_resource", TypeName="AWS::No::Thing", Identifier="x")  # fmt: skip
    refused("UnsupportedActionException", "AWS::EC2::VPC does not support CREATE action", "create_resource", TypeName="AWS::EC2::VPC", DesiredState="{}")  # fmt: skip
    refused("UnsupportedActionException", "does not support LIST action", "list_resources", TypeName="AWS::ApiGatewayV2::Route")  # fmt: skip
    refused("ResourceNotFoundException", "was not found", "get_resource", TypeName=kind, Identifier="http://localhost:4566/000000000000/none")  # fmt: skip
    refused("InvalidRequestException", "not valid JSON", "create_resource", TypeName=kind, DesiredState="{")  # fmt: skip
    refused("InvalidRequestException", "must be a JSON object", "create_resource", TypeName=kind, DesiredState="[]")  # fmt: skip
    refused("ValidationException", r"Model validation failed \(#: extraneous key \[Nonsense\]", "create_resource", TypeName=kind, DesiredState='{"Nonsense": 1}')  # fmt: skip
    refused("ValidationException", "read-only key \\[Arn\\]", "create_resource", TypeName=kind, DesiredState='{"Arn": "a"}')  # fmt: skip
    refused("InvalidRequestException", "TypeVersionId is not offered", "get_resource", TypeName=kind, Identifier="x", TypeVersionId="00000001")  # fmt: skip
    refused("RequestTokenNotFoundException", "was not found", "get_resource_request_status", RequestToken="none")  # fmt: skip
    deep = '{"a":' * 600 + "1" + "}" * 600
    refused("InvalidRequestException", "nested too deeply", "create_resource", TypeName="AWS::Events::Rule", DesiredState=deep)  # fmt: skip
    assert client("sqs").list_queues().get("QueueUrls", []) == []


def test_a_patch_changes_only_what_may_change(client: Any) -> None:
    """Nothing of the resource changes where one operation of the patch is wrong."""
    control = client("cloudcontrol")
    kind = "AWS::SQS::Queue"
    url = create(control, kind, QueueName="q", DelaySeconds=1)

    def refused(code: str, match: str, patch: Any) -> None:
        text = patch if isinstance(patch, str) else json.dumps(patch)
        with pytest.raises(ClientError, match=match) as caught:
            control.update_resource(TypeName=kind, Identifier=url, PatchDocument=text)
        assert caught.value.response["Error"]["Code"] == code

    fixed = r"Invalid patch update: createOnlyProperties \[/properties/QueueName\] cannot be updated"  # fmt: skip
    refused("NotUpdatableException", fixed, [{"op": "replace", "path": "/QueueName", "value": "p"}])
    own = r"readOnlyProperties \[/properties/Arn\] cannot be updated"
    refused("NotUpdatableException", own, [{"op": "replace", "path": "/Arn", "value": "p"}])
    wrong = "Invalid patch update"
    refused("InvalidRequestException", wrong, "[{")
    refused("InvalidRequestException", wrong, {"op": "add"})
    refused("InvalidRequestException", wrong, [{"op": "paint", "path": "/DelaySeconds"}])
    refused("InvalidRequestException", wrong, [1])
    refused("InvalidRequestException", wrong, [{"op": "replace", "path": "", "value": 1}])
    refused("InvalidRequestException", wrong, [{"op": "remove", "path": "/RedrivePolicy"}])
    refused(
        "InvalidRequestException",
        wrong,
        [
            {"op": "replace", "path": "/DelaySeconds", "value": 9},
            {"op": "test", "path": "/DelaySeconds", "value": 1},
        ],
    )
    grown = [{"op": "add", "path": "/Tags", "value": []}]
    grown += [{"op": "copy", "from": "/Tags", "path": "/Tags/-"}] * 40
    refused("InvalidRequestException", wrong, grown)
    refused("ValidationException", "Model validation failed", [{"op": "add", "path": "/Nonsense", "value": 1}])  # fmt: skip
    assert properties(control, kind, url)["DelaySeconds"] in (1, "1")
    update(control, kind, url, {"op": "remove", "path": "/DelaySeconds"})
    attributes = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert attributes["Attributes"]["DelaySeconds"] == "0"


def test_a_handlers_failure_is_the_requests_with_its_code(client: Any) -> None:
    """AlreadyExists, NotFound: asynchronous, in the ProgressEvent."""
    control = client("cloudcontrol")
    client("logs").create_log_group(logGroupName="g")
    desired = json.dumps({"LogGroupName": "g"})
    answer = control.create_resource(TypeName="AWS::Logs::LogGroup", DesiredState=desired)
    assert answer["ProgressEvent"]["OperationStatus"] == "IN_PROGRESS"
    assert answer["ProgressEvent"]["Identifier"] == "g"
    event = ended(control, answer, "FAILED")
    assert event["ErrorCode"] == "AlreadyExists"
    assert event["StatusMessage"].startswith("AWS::Logs::LogGroup Handler returned status FAILED:")
    answer = control.delete_resource(TypeName="AWS::Logs::LogGroup", Identifier="none")
    assert ended(control, answer, "FAILED")["ErrorCode"] == "NotFound"
    with pytest.raises(control.exceptions.ConcurrentModificationException):
        control.cancel_resource_request(RequestToken=answer["ProgressEvent"]["RequestToken"])


def test_a_request_under_way_keeps_others_off_and_can_be_cancelled(
    client: Any, monkeypatch: Any
) -> None:
    """What the handler has made by then stays, and can be worked on again."""
    from stratolite.services.logs.resources import LogGroup

    async def never(*_: Any) -> bool:
        return False

    monkeypatch.setattr(LogGroup, "stabilise", never)
    control = client("cloudcontrol")
    kind, desired = "AWS::Logs::LogGroup", json.dumps({"LogGroupName": "g"})
    answer = control.create_resource(TypeName=kind, DesiredState=desired)
    with pytest.raises(control.exceptions.ConcurrentOperationException, match="already being"):
        control.delete_resource(TypeName=kind, Identifier="g")
    until = time.monotonic() + 120
    while not client("logs").describe_log_groups(logGroupNamePrefix="g")["logGroups"]:
        assert time.monotonic() < until
        time.sleep(0.01)
    token = answer["ProgressEvent"]["RequestToken"]
    event = control.cancel_resource_request(RequestToken=token)["ProgressEvent"]
    assert event["OperationStatus"] == "CANCEL_IN_PROGRESS"
    assert ended(control, answer, "CANCEL_COMPLETE")["Identifier"] == "g"
    monkeypatch.undo()
    assert properties(control, kind, "g")["LogGroupName"] == "g"
    ended(control, control.delete_resource(TypeName=kind, Identifier="g"))


def test_the_same_client_token_is_the_same_request(client: Any) -> None:
    """And with something else to do it is a mistake."""
    control = client("cloudcontrol")
    ask = {"TypeName": "AWS::SQS::Queue", "DesiredState": "{}", "ClientToken": "one"}
    first, again = control.create_resource(**ask), control.create_resource(**ask)
    assert first["ProgressEvent"]["RequestToken"] == again["ProgressEvent"]["RequestToken"]
    ended(control, first)
    assert len(client("sqs").list_queues()["QueueUrls"]) == 1
    with pytest.raises(control.exceptions.ClientTokenConflictException):
        control.create_resource(**ask | {"DesiredState": '{"DelaySeconds": 1}'})


def test_requests_under_way_survive_a_restart(client: Any, platform: Any) -> None:
    """Each is carried out once, whatever the server was doing when it went."""
    control = client("cloudcontrol")
    answers = [
        control.create_resource(TypeName="AWS::SQS::Queue", DesiredState="{}") for _ in range(20)
    ]
    platform.reopen()
    made = {ended(control, answer)["Identifier"] for answer in answers}
    assert len(made) == len(answers)
    assert set(client("sqs").list_queues()["QueueUrls"]) == made


def test_requests_are_listed_newest_first_and_filtered(client: Any) -> None:
    """https://docs.aws.amazon.com/cloudcontrolapi/latest/APIReference/API_ListResourceRequests.html"""
    control = client("cloudcontrol")
    urls = [create(control, "AWS::SQS::Queue", QueueName=f"q{n}") for n in range(5)]
    ended(control, control.delete_resource(TypeName="AWS::SQS::Queue", Identifier=urls[0]))
    pages = [
        [s["Operation"] for s in page["ResourceRequestStatusSummaries"]]
        for page in control.get_paginator("list_resource_requests").paginate(
            PaginationConfig={"PageSize": 4}
        )
    ]
    assert pages == [["DELETE", "CREATE", "CREATE", "CREATE"], ["CREATE", "CREATE"]]
    wanted = {"Operations": ["DELETE"], "OperationStatuses": ["SUCCESS"]}
    found = control.list_resource_requests(ResourceRequestStatusFilter=wanted)
    assert [s["Identifier"] for s in found["ResourceRequestStatusSummaries"]] == [urls[0]]
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = control.list_resources(TypeName="AWS::SQS::Queue", MaxResults=3, **token)
        seen += [d["Identifier"] for d in page["ResourceDescriptions"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == sorted(urls[1:])


def test_handlers_work_as_the_caller_or_the_role_given(client: Any) -> None:
    """A user who may ask Cloud Control for everything may do no more than he may do himself."""
    iam = client("iam")
    iam.create_user(UserName="u")
    text = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["cloudformation:*Resource*", "iam:PassRole"],
                "Resource": "*",
            }
        ],
    }
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(text))
    key = iam.create_access_key(UserName="u")["AccessKey"]
    control = client("cloudcontrol", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    kind = "AWS::SQS::Queue"
    answer = control.create_resource(TypeName=kind, DesiredState='{"QueueName": "q"}')
    event = ended(control, answer, "FAILED")
    assert event["ErrorCode"] == "AccessDenied"
    assert "sqs:createqueue" in event["StatusMessage"].lower()
    with pytest.raises(control.exceptions.ClientError, match="HandlerErrorCode: AccessDenied"):
        control.list_resources(TypeName=kind)
    trust = json.dumps(TRUST).replace("lambda.amazonaws.com", "cloudformation.amazonaws.com")
    role = iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    allow = {**text, "Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(allow))
    ended(
        control,
        control.create_resource(TypeName=kind, DesiredState='{"QueueName": "q"}', RoleArn=role),
    )
    assert client("sqs").get_queue_url(QueueName="q")


def test_secrets_asked_for_are_sealed_on_disk(client: Any, platform: Any) -> None:
    """A request holds what it was given for seven days."""
    from pathlib import Path

    control = client("cloudcontrol")
    create(control, "AWS::SecretsManager::Secret", Name="s", SecretString="tell-nobody-1234")
    platform.reopen()
    for path in Path(platform.folder).rglob("*"):
        if path.is_file():
            assert b"tell-nobody-1234" not in path.read_bytes(), path
