"""Secrets Manager: values that are sealed, versions and stages, deletion and rotation on the cloud clock.

Messages are AWS's as localstack/localstack recorded them (tests/aws/services/secretsmanager/*.snapshot.json).
"""

from __future__ import annotations

import json
import subprocess

import pytest
from botocore.exceptions import ClientError
from eventing import ACCOUNT, advance, come_to_rest, user_client
from lambdas import create


@pytest.fixture
def secrets(client):
    return client("secretsmanager")


def refused(code, message, call, **request):
    with pytest.raises(ClientError) as found:
        call(**request)
    error = found.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, message)


def test_a_secret_is_kept_sealed_and_read_by_name_and_arn(platform, secrets):
    made = secrets.create_secret(Name="db/main", SecretString="plain-text-nobody-sees", Tags=[{"Key": "k", "Value": "v"}])  # fmt: skip
    assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db/main-")
    platform.reopen()
    for secret_id in ("db/main", made["ARN"], made["ARN"][:-7]):
        got = secrets.get_secret_value(SecretId=secret_id)
        assert got["SecretString"] == "plain-text-nobody-sees"
        assert (got["VersionId"], got["VersionStages"]) == (made["VersionId"], ["AWSCURRENT"])
    described = secrets.describe_secret(SecretId="db/main")
    assert described["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert described["Tags"] == [{"Key": "k", "Value": "v"}]
    assert described["LastAccessedDate"]
    found = subprocess.run(["grep", "-rl", "plain-text-nobody", platform.folder], capture_output=True, text=True)  # fmt: skip
    assert found.stdout == ""


def test_binary_secrets_come_back_as_bytes(secrets):
    secrets.create_secret(Name="b", SecretBinary=b"\x00\xff")
    assert secrets.get_secret_value(SecretId="b")["SecretBinary"] == b"\x00\xff"


def test_a_new_version_makes_the_old_one_previous(secrets):
    first = secrets.create_secret(Name="s", SecretString="1")["VersionId"]
    second = secrets.put_secret_value(SecretId="s", SecretString="2")
    assert second["VersionStages"] == ["AWSCURRENT"]
    assert secrets.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["VersionId"] == first
    third = secrets.put_secret_value(SecretId="s", SecretString="3", VersionStages=["AWSPENDING"])["VersionId"]  # fmt: skip
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "2"
    secrets.update_secret_version_stage(SecretId="s", VersionStage="AWSCURRENT", MoveToVersionId=third, RemoveFromVersionId=second["VersionId"])  # fmt: skip
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "3"
    assert secrets.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["SecretString"] == "2"
    versions = secrets.list_secret_version_ids(SecretId="s", IncludeDeprecated=True)["Versions"]
    assert [v["VersionId"] for v in versions] == [first, second["VersionId"], third]
    assert len(secrets.list_secret_version_ids(SecretId="s")["Versions"]) == 2


def test_the_same_token_is_the_same_version_or_refused(secrets):
    token = "t" * 32
    first = secrets.create_secret(Name="s", SecretString="1", ClientRequestToken=token)
    assert secrets.create_secret(Name="s", SecretString="1", ClientRequestToken=token)["ARN"] == first["ARN"]  # fmt: skip
    secrets.put_secret_value(SecretId="s", SecretString="1", ClientRequestToken=token)
    with pytest.raises(ClientError, match="You can't use ClientRequestToken"):
        secrets.put_secret_value(SecretId="s", SecretString="other", ClientRequestToken=token)
    refused("ResourceExistsException", "The operation failed because the secret s already exists.", secrets.create_secret, Name="s", SecretString="1")  # fmt: skip


def test_old_versions_without_a_stage_make_room(platform, secrets):
    secrets.create_secret(Name="s", SecretString="0")
    for number in range(105):
        secrets.put_secret_value(SecretId="s", SecretString=str(number))
    versions = secrets.list_secret_version_ids(SecretId="s", IncludeDeprecated=True, MaxResults=100)["Versions"]  # fmt: skip
    assert len(versions) == 100
    assert secrets.get_secret_value(SecretId="s", VersionId=versions[0]["VersionId"])["SecretString"] == "5"  # fmt: skip


def test_a_deleted_secret_can_be_restored_until_its_window_ends(platform, secrets):
    secrets.create_secret(Name="s", SecretString="1")
    secrets.delete_secret(SecretId="s", RecoveryWindowInDays=7)
    refused("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.", secrets.get_secret_value, SecretId="s")  # fmt: skip
    refused("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.", secrets.create_secret, Name="s")  # fmt: skip
    assert secrets.list_secrets()["SecretList"] == []
    assert secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"][0]["DeletedDate"]
    secrets.restore_secret(SecretId="s")
    advance(platform, 8 * 86_400)
    come_to_rest(platform, "secretsmanager.delete")
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "1"
    secrets.delete_secret(SecretId="s", RecoveryWindowInDays=7)
    advance(platform, 7 * 86_400 + 1)
    come_to_rest(platform, "secretsmanager.delete")
    refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.", secrets.describe_secret, SecretId="s")  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        ("create_secret", {"Name": "Inv Name"}, "ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"),
        ("get_secret_value", {"SecretId": "gone"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        ("get_secret_value", {"SecretId": "s", "VersionStage": "AWSPREVIOUS"}, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS"),
        ("get_secret_value", {"SecretId": "s", "VersionId": "v" * 32}, "ResourceNotFoundException", f"Secrets Manager can't find the specified secret value for VersionId: {'v' * 32}"),
        ("get_secret_value", {"SecretId": "s", "VersionId": "c" * 32, "VersionStage": "AWSPENDING"}, "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId."),
        ("rotate_secret", {"SecretId": "s"}, "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret."),
        (
            "rotate_secret", {"SecretId": "s", "RotationLambdaARN": "arn:aws:lambda:us-east-1:000000000000:function:gone"}, "AccessDeniedException",
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy grants access to the principal secretsmanager.amazonaws.com.",
        ),
        ("delete_secret", {"SecretId": "s", "RecoveryWindowInDays": 3}, "InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."),
        ("put_secret_value", {"SecretId": "s", "SecretString": "a", "SecretBinary": b"b"}, "InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret."),
        ("create_secret", {"Name": "r", "AddReplicaRegions": [{"Region": "us-east-1"}]}, "InvalidParameterException", "Invalid replica region."),
    ],
)  # fmt: skip
def test_bad_requests_are_answered_as_aws_does(secrets, operation, request_, code, message):
    secrets.create_secret(Name="s", SecretString="1", ClientRequestToken="c" * 32)
    refused(code, message, getattr(secrets, operation), **request_)


def test_secrets_are_listed_in_pages_and_filtered(secrets):
    for name, tag in (("app/a", "x"), ("app/b", "y"), ("other", "x")):
        secrets.create_secret(Name=name, Description=f"the {name} thing", SecretString=name, Tags=[{"Key": "t", "Value": tag}])  # fmt: skip
    pages = secrets.get_paginator("list_secrets").paginate(PaginationConfig={"PageSize": 2})
    assert [s["Name"] for page in pages for s in page["SecretList"]] == ["app/a", "app/b", "other"]
    assert [s["Name"] for s in secrets.list_secrets(SortOrder="desc", SortBy="name")["SecretList"]] == ["other", "app/b", "app/a"]  # fmt: skip

    def named(*filters):
        listed = secrets.list_secrets(Filters=[{"Key": k, "Values": v} for k, v in filters])
        return [s["Name"] for s in listed["SecretList"]]

    assert named(("name", ["app/"])) == ["app/a", "app/b"]
    assert named(("name", ["!app/"])) == ["other"]
    assert named(("tag-value", ["x"]), ("name", ["app"])) == ["app/a"]
    assert named(("description", ["OTHER"])) == ["other"]
    got = secrets.batch_get_secret_value(SecretIdList=["app/a", "gone"])
    assert [s["SecretString"] for s in got["SecretValues"]] == ["app/a"]
    assert [e["ErrorCode"] for e in got["Errors"]] == ["ResourceNotFoundException"]


def test_passwords_are_as_asked_for(secrets):
    got = secrets.get_random_password(PasswordLength=40, ExcludePunctuation=True, ExcludeCharacters="aeiou01")  # fmt: skip
    password = got["RandomPassword"]
    assert len(password) == 40
    assert password.isalnum()
    assert not set(password) & set("aeiou01")
    assert any(c.isdigit() for c in password)
    assert password != secrets.get_random_password(PasswordLength=40)["RandomPassword"]


# -- who may


def test_a_user_reads_only_what_its_policy_names(client, secrets):
    arn = secrets.create_secret(Name="mine", SecretString="1", Tags=[{"Key": "team", "Value": "a"}])["ARN"]  # fmt: skip
    secrets.create_secret(Name="yours", SecretString="2", Tags=[{"Key": "team", "Value": "b"}])
    ann = user_client(client, "secretsmanager", [{
        "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}},
    }])  # fmt: skip
    assert ann.get_secret_value(SecretId="mine")["ARN"] == arn
    with pytest.raises(ClientError, match="not authorized to perform: secretsmanager:GetSecretValue on resource: .*secret:yours-"):  # fmt: skip
        ann.get_secret_value(SecretId="yours")


def test_another_account_reads_a_secret_by_its_policy(client, secrets):
    arn = secrets.create_secret(Name="s", SecretString="1")["ARN"]
    other = client("secretsmanager", account="111111111111")
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_secret_value(SecretId=arn)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}]}  # fmt: skip
    secrets.put_resource_policy(SecretId="s", ResourcePolicy=json.dumps(policy), BlockPublicPolicy=True)  # fmt: skip
    assert other.get_secret_value(SecretId=arn)["SecretString"] == "1"
    policy["Statement"][0]["Principal"] = "*"
    with pytest.raises(ClientError, match="PublicPolicyException"):
        secrets.put_resource_policy(SecretId="s", ResourcePolicy=json.dumps(policy), BlockPublicPolicy=True)  # fmt: skip
    assert not secrets.validate_resource_policy(ResourcePolicy=json.dumps(policy))["PolicyValidationPassed"]  # fmt: skip


# -- rotation

ROTATOR = """
steps = []
def handler(event, context):
    print('step', event['Step'], event['ClientRequestToken'], event['SecretId'])
    if event['Step'] == FAIL: raise RuntimeError('no')
"""


def rotator(client, fail=""):
    made = create(client, "rotator", ROTATOR.replace("FAIL", repr(fail)))
    client("lambda").add_permission(FunctionName="rotator", StatementId="s", Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com")  # fmt: skip
    return made["FunctionArn"]


def steps(platform, client):
    come_to_rest(platform, "secretsmanager.due", "secretsmanager.rotate")
    platform.reopen()  # what functions print is answered before its sync
    events = client("logs").filter_log_events(logGroupName="/aws/lambda/rotator")["events"]
    return [e["message"].split()[1] for e in events if e["message"].startswith("step ")]


def test_rotation_asks_the_function_step_by_step_and_again_by_its_timetable(platform, client, secrets):  # fmt: skip
    secrets.create_secret(Name="s", SecretString="1")
    arn = rotator(client)
    secrets.rotate_secret(SecretId="s", RotationLambdaARN=arn, RotationRules={"AutomaticallyAfterDays": 10}, ClientRequestToken="r" * 32)  # fmt: skip
    four = ["createSecret", "setSecret", "testSecret", "finishSecret"]
    assert steps(platform, client) == four
    described = secrets.describe_secret(SecretId="s")
    assert described["RotationEnabled"]
    assert described["LastRotatedDate"]
    assert (described["NextRotationDate"] - described["LastRotatedDate"]).days in (9, 10)
    advance(platform, 10 * 86_400 + 1)
    assert steps(platform, client) == four * 2
    secrets.cancel_rotate_secret(SecretId="s")
    advance(platform, 30 * 86_400)
    assert steps(platform, client) == four * 2


def test_a_rotation_whose_function_fails_stops_there(platform, client, secrets):
    secrets.create_secret(Name="s", SecretString="1")
    secrets.rotate_secret(SecretId="s", RotationLambdaARN=rotator(client, "setSecret"))
    assert steps(platform, client) == ["createSecret", "setSecret"]
    assert secrets.get_secret_value(SecretId="s")["SecretString"] == "1"
    assert ["AWSPENDING"] in secrets.describe_secret(SecretId="s")["VersionIdsToStages"].values()
    refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: AWSPENDING", secrets.get_secret_value, SecretId="s", VersionStage="AWSPENDING")  # fmt: skip
    assert "LastRotatedDate" not in secrets.describe_secret(SecretId="s")


# -- stacks

TEMPLATE = """
Resources:
  Secret:
    Type: AWS::SecretsManager::Secret
    Properties:
      Description: NAME
      GenerateSecretString: {SecretStringTemplate: '{"user": "admin"}', GenerateStringKey: password, PasswordLength: 20}
      Tags: [{Key: k, Value: NAME}]
  Policy:
    Type: AWS::SecretsManager::ResourcePolicy
    Properties:
      SecretId: !Ref Secret
      ResourcePolicy: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: "arn:aws:iam::111111111111:root"}, Action: secretsmanager:GetSecretValue, Resource: "*"}]}
Outputs:
  Secret: {Value: !Ref Secret}
"""


def test_a_stack_generates_a_secret_once(client, secrets):
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=TEMPLATE.replace("NAME", "one"))
    arn = cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"][0]["OutputValue"]
    first = json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"])
    assert first["user"] == "admin"
    assert len(first["password"]) == 20
    cloudformation.update_stack(StackName="s", TemplateBody=TEMPLATE.replace("NAME", "two"))
    assert secrets.describe_secret(SecretId=arn)["Description"] == "two"
    assert json.loads(secrets.get_secret_value(SecretId=arn)["SecretString"]) == first
    assert client("secretsmanager", account="111111111111").get_secret_value(SecretId=arn)
    cloudformation.delete_stack(StackName="s")
    assert secrets.list_secrets(IncludePlannedDeletion=True)["SecretList"] == []
