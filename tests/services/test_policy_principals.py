"""A resource policy that lets in a user or role who is not there is refused, by every service in its own words."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from botocore.exceptions import ClientError

NOBODY = "arn:aws:iam::000000000000:role/nobody"
SOMEBODY = "arn:aws:iam::000000000000:role/paths/somebody"
ROOT = "arn:aws:iam::000000000000:root"


def document(action, resource, *who):
    return json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Sid": "s", "Effect": "Allow", "Principal": {"AWS": list(who)}, "Action": action, "Resource": resource}],
    })  # fmt: skip


@pytest.fixture
def somebody(client):
    who = {"AWS": "000000000000", "Service": "lambda.amazonaws.com"}
    trust = {"Effect": "Allow", "Principal": who, "Action": "sts:AssumeRole"}
    client("iam").create_role(
        RoleName="somebody",
        Path="/paths/",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )


def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="principals")
    return lambda *who: made.put_bucket_policy(
        Bucket="principals", Policy=document("s3:GetObject", "arn:aws:s3:::principals/*", *who)
    )


def kms(client):
    made = client("kms")
    key = made.create_key()["KeyMetadata"]["KeyId"]
    return lambda *who: made.put_key_policy(
        KeyId=key, Policy=document("kms:*", "*", ROOT, *who), PolicyName="default"
    )


def new_key(client):
    made = client("kms")
    return lambda *who: made.create_key(Policy=document("kms:*", "*", ROOT, *who))


def grant(client):
    made = client("kms")
    key = made.create_key()["KeyMetadata"]["KeyId"]
    return lambda who: made.create_grant(KeyId=key, GranteePrincipal=who, Operations=["Encrypt"])


def sns(client):
    made = client("sns")
    arn = made.create_topic(Name="t")["TopicArn"]
    return lambda *who: made.set_topic_attributes(
        TopicArn=arn, AttributeName="Policy", AttributeValue=document("sns:Publish", arn, *who)
    )


def sqs(client):
    made = client("sqs")
    url, arn = made.create_queue(QueueName="q")["QueueUrl"], "arn:aws:sqs:us-east-1:000000000000:q"
    return lambda *who: made.set_queue_attributes(
        QueueUrl=url, Attributes={"Policy": document("sqs:SendMessage", arn, *who)}
    )


def new_queue(client):
    made, arn = client("sqs"), "arn:aws:sqs:us-east-1:000000000000:n"
    return lambda *who: made.create_queue(
        QueueName="n", Attributes={"Policy": document("sqs:SendMessage", arn, *who)}
    )


def secretsmanager(client):
    made = client("secretsmanager")
    arn = made.create_secret(Name="s", SecretString="v")["ARN"]
    return lambda *who: made.put_resource_policy(
        SecretId=arn, ResourcePolicy=document("secretsmanager:GetSecretValue", "*", *who)
    )


def dynamodb(client):
    made = client("dynamodb")
    arn = made.create_table(
        TableName="table",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
    )["TableDescription"]["TableArn"]
    return lambda *who: made.put_resource_policy(
        ResourceArn=arn, Policy=document("dynamodb:GetItem", arn, *who)
    )


def events(client):
    made = client("events")
    arn = made.create_event_bus(Name="b")["EventBusArn"]
    return lambda *who: made.put_permission(
        EventBusName="b", Policy=document("events:PutEvents", arn, *who)
    )


def kinesis(client):
    made = client("kinesis")
    made.create_stream(StreamName="s", ShardCount=1)
    arn = made.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
    return lambda *who: made.put_resource_policy(
        ResourceARN=arn, Policy=document("kinesis:PutRecord", arn, *who)
    )


def ecr(client):
    made = client("ecr")
    made.create_repository(repositoryName="rr")
    text = json.loads(document("ecr:BatchGetImage", "*"))
    text["Statement"][0].pop("Resource")

    def put(*who):
        text["Statement"][0]["Principal"] = {"AWS": list(who)}
        made.set_repository_policy(repositoryName="rr", policyText=json.dumps(text))

    return put


def lambda_(client):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("h.py", "def f(event, context): pass")
    made = client("lambda")
    made.create_function(
        FunctionName="f",
        Runtime="python3.12",
        Handler="h.f",
        Role=SOMEBODY,
        Code={"ZipFile": packed.getvalue()},
    )
    return lambda who: made.add_permission(
        FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal=who
    )


CASES = [
    (s3, "MalformedPolicy", "Invalid principal in policy"),
    (kms, "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals."),
    (new_key, "MalformedPolicyDocumentException", "Policy contains a statement with one or more invalid principals."),
    (grant, "InvalidArnException", f"ARN does not refer to a valid principal: {NOBODY}"),
    (sns, "InvalidParameter", "Invalid parameter: Policy Error: PrincipalNotFound"),
    (sqs, "InvalidAttributeValue", "Invalid value for the parameter Policy."),
    (new_queue, "InvalidAttributeValue", "Invalid value for the parameter Policy."),
    (secretsmanager, "MalformedPolicyDocumentException", "This resource policy contains an unsupported principal."),
    (dynamodb, "ValidationException", "One or more parameter values were invalid: Invalid principal in policy document."),
    (events, "ValidationException", "Parameter Policy is not valid. Reason: Invalid principal."),
    (kinesis, "InvalidArgumentException", "Invalid policy: Invalid principal in policy"),
    (ecr, "InvalidParameterException",
     "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"),
    (lambda_, "InvalidParameterValueException",
     "The provided principal was invalid. Please check the principal and try again."),
]  # fmt: skip


@pytest.mark.parametrize(("made", "code", "said"), CASES, ids=lambda c: getattr(c, "__name__", ""))
def test_nobody_is_let_in_who_does_not_exist(client, somebody, made, code, said):
    """Words: the services' own, as their users report them; EventBridge's and Kinesis' are ours."""
    put = made(client)
    with pytest.raises(ClientError) as refused:
        put(NOBODY)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (code, said)
    put(SOMEBODY)


def test_a_secrets_policy_is_validated_with_its_principals(client):
    found = client("secretsmanager").validate_resource_policy(
        ResourcePolicy=document("secretsmanager:GetSecretValue", "*", NOBODY)
    )
    assert not found["PolicyValidationPassed"]
    assert found["ValidationErrors"][0]["ErrorMessage"] == (
        "This resource policy contains an unsupported principal."
    )


def test_s3_names_the_principal_and_takes_those_it_need_not_know(client, somebody):
    """Accounts, sessions and everybody; a path that is not the role's is somebody else."""
    put = s3(client)
    with pytest.raises(ClientError) as refused:
        put(SOMEBODY, "arn:aws:iam::000000000000:role/somebody")
    assert refused.value.response["Error"]["Detail"] == (
        '"AWS" : "arn:aws:iam::000000000000:role/somebody"'
    )
    put(SOMEBODY, "111122223333", ROOT, "arn:aws:sts::000000000000:assumed-role/somebody/x")
    told = {event["EventName"] for event in client("cloudtrail").lookup_events()["Events"]}
    assert "CreateRole" in told
    assert "FindUnknownPrincipal" not in told  # AWS has no such call


def test_a_permission_is_for_an_action_on_functions(client, somebody):
    """In any case, as IAM reads actions; with words of ours."""
    lambda_(client)
    made = client("lambda")
    asked = {"FunctionName": "f", "Principal": "000000000000"}
    with pytest.raises(ClientError, match="InvalidParameterValueException.*lambda:Foo is not"):
        made.add_permission(**asked, StatementId="a", Action="lambda:Foo")
    for number, action in enumerate(("lambda:invokeFunction", "lambda:GetFunction", "lambda:*")):
        made.add_permission(**asked, StatementId=str(number), Action=action)
