"""IAM, KMS, and what keeps secrets and parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from makers import R, allow, att, function, key_policy, made, ref, role, sub, tags

PARTS = Path(__file__).parents[1] / "parts"
ROOT = {"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}
READS = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"
BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"


def trusts(service: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def metadata(n: int) -> str:
    return (
        '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'entityID="https://idp{n}.example.com"><IDPSSODescriptor/>{" " * 1000}</EntityDescriptor>'
    )


made(
    "iam-role-whole",
    Boundary=R("AWS::IAM::ManagedPolicy", {"PolicyDocument": allow("s3:*")}),
    Narrower=R("AWS::IAM::ManagedPolicy", {"PolicyDocument": allow("s3:Get*")}),
    Role=R(
        "AWS::IAM::Role",
        {"AssumeRolePolicyDocument": trusts("lambda.amazonaws.com")},
        {
            "AssumeRolePolicyDocument": trusts("events.amazonaws.com"),
            "PermissionsBoundary": ref("Boundary"),
        },
        {"PermissionsBoundary": ref("Narrower")},
    ),
    Second=R("AWS::IAM::Role", {"AssumeRolePolicyDocument": trusts("ec2.amazonaws.com")}),
    User=R(
        "AWS::IAM::User",
        {"LoginProfile": {"Password": "Corpus-1-password!", "PasswordResetRequired": True}},
        {"LoginProfile": {"Password": "Corpus-2-password!", "PasswordResetRequired": False}},
        {"PermissionsBoundary": ref("Boundary")},
    ),
    Colleague=R("AWS::IAM::User"),
    Group=R(
        "AWS::IAM::Group",
        {"ManagedPolicyArns": [READS]},
        {"ManagedPolicyArns": [READS, BASIC]},
        {"ManagedPolicyArns": None},
    ),
    Guests=R("AWS::IAM::Group"),
    Inline=R(
        "AWS::IAM::Policy",
        {
            "PolicyName": "one",
            "PolicyDocument": allow("s3:GetObject"),
            "Roles": [ref("Role")],
            "Users": [ref("User")],
            "Groups": [ref("Group")],
        },
        {
            "PolicyName": "other",
            "PolicyDocument": allow("s3:PutObject"),
            "Roles": [ref("Second")],
            "Users": [ref("Colleague")],
            "Groups": [ref("Guests")],
        },
        {"Roles": None, "Groups": None, "PolicyDocument": allow("s3:ListBucket")},
    ),
    Managed=R(
        "AWS::IAM::ManagedPolicy",
        {"PolicyDocument": allow("s3:GetObject"), "Users": [ref("User")], "Groups": [ref("Group")]},
        {"Users": [ref("Colleague")], "Groups": [ref("Guests")]},
        {"Users": None, "Groups": None},
    ),
    Profile=R(
        "AWS::IAM::InstanceProfile",
        {"InstanceProfileName": "corpus-profile", "Roles": [ref("Role")]},
        {"Roles": [ref("Second")]},
    ),
    Key=R(
        "AWS::IAM::AccessKey",
        *({"UserName": ref("User"), "Serial": n} for n in (1, 2, 3)),
    ),
    Members=R(
        "AWS::IAM::UserToGroupAddition",
        {"GroupName": ref("Guests"), "Users": [ref("User")]},
        {"GroupName": ref("Group"), "Users": [ref("User"), ref("Colleague")]},
        {"Users": [ref("Colleague")]},
    ),
    Saml=R(
        "AWS::IAM::SAMLProvider",
        *(
            {
                "Name": "corpus",
                "AssertionEncryptionMode": "Required" if n == 2 else "Allowed",
                "SamlMetadataDocument": metadata(n),
                "Tags": tags(a=str(n)),
            }
            for n in (1, 2, 3)
        ),
    ),
    Certificate=R(
        "AWS::IAM::ServerCertificate",
        {
            "ServerCertificateName": "corpus",
            "CertificateBody": (PARTS / "server.pem").read_text(),
            "CertificateChain": (PARTS / "server-chain.pem").read_text(),
            "PrivateKey": (PARTS / "server-key.pem").read_text(),
            "Path": "/corpus/",
            "Tags": tags(a="1"),
        },
        {"Path": "/other/", "Tags": tags(a="2", b="1")},
        {"Path": None, "Tags": None},
    ),
    Linked=R(
        "AWS::IAM::ServiceLinkedRole",
        {
            "AWSServiceName": "autoscaling.amazonaws.com",
            "CustomSuffix": "corpus",
            "Description": "for the corpus",
        },
        {"Description": "for the whole corpus"},
        {"Description": None},
    ),
)
made(
    "kms-whole",
    Key=R(
        "AWS::KMS::Key",
        {
            "BypassPolicyLockoutSafetyCheck": True,
            "Description": "the shop's",
            "KeyPolicy": key_policy(),
            "KeySpec": "RSA_2048",
            "KeyUsage": "SIGN_VERIFY",
            "MultiRegion": True,
            "Origin": "AWS_KMS",
            "PendingWindowInDays": 7,
        },
        {
            "BypassPolicyLockoutSafetyCheck": None,
            "Enabled": False,
            "KeyPolicy": allow("kms:*", Principal=ROOT, Sid="all"),
            "PendingWindowInDays": 8,
        },
        {"Description": None, "Enabled": None, "PendingWindowInDays": None},
    ),
    Turning=R(
        "AWS::KMS::Key",
        {"KeyPolicy": key_policy(), "EnableKeyRotation": True, "RotationPeriodInDays": 100},
        {"RotationPeriodInDays": 200},
        {"EnableKeyRotation": False, "RotationPeriodInDays": None},
    ),
    Alias=R(
        "AWS::KMS::Alias",
        {"AliasName": "alias/corpus-whole", "TargetKeyId": ref("Turning")},
        {"TargetKeyId": att("Other", "Arn")},
        {"TargetKeyId": ref("Turning")},
    ),
    Other=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Replica=R(
        "AWS::KMS::ReplicaKey",
        {
            "PrimaryKeyArn": {"Fn::ImportValue": "corpus-primary-key"},
            "Description": "the copy here",
            "KeyPolicy": key_policy(),
            "PendingWindowInDays": 7,
            "Tags": tags(a="1"),
        },
        {
            "Enabled": False,
            "KeyPolicy": allow("kms:*", Principal=ROOT, Sid="all"),
            "PendingWindowInDays": 8,
            "Tags": tags(a="2"),
        },
        {"Description": None, "Enabled": True},
    ),
)


def ends(year: int) -> str:
    when = f'{{"Timestamp": "{year}-01-01T00:00:00.000Z"}}'
    return f'[{{"Type": "Expiration", "Version": "1.0", "Attributes": {when}}}]'


made(
    "ssm-parameter-policies",
    Parameter=R(
        "AWS::SSM::Parameter",
        *(
            {"Type": "String", "Value": str(year), "Tier": "Advanced", "Policies": ends(year)}
            for year in (2090, 2091, 2092)
        ),
    ),
)
made(
    "ssm-parameter-changes",
    Parameter=R(
        "AWS::SSM::Parameter",
        {
            "Type": "String",
            "Value": "a1",
            "AllowedPattern": "a[0-9]",
            "DataType": "text",
            "Tier": "Standard",
        },
        {"Value": "b1", "AllowedPattern": "b[0-9]", "Tier": "Advanced"},
        {"Value": "b2", "AllowedPattern": None, "DataType": None},
    ),
)
ROTATES = """import boto3
def handler(event, context):
    return None
"""


def password(n: int) -> dict[str, Any]:
    return {
        "ExcludeCharacters": "abc",
        "ExcludeLowercase": n == 2,
        "ExcludeNumbers": False,
        "ExcludePunctuation": n == 2,
        "ExcludeUppercase": False,
        "GenerateStringKey": "password",
        "IncludeSpace": n == 2,
        "PasswordLength": 20 + n,
        "RequireEachIncludedType": True,
        "SecretStringTemplate": '{"user": "u"}',
    }


made(
    "secretsmanager-whole",
    Role=role(),
    Rotates=function({"Code": {"ZipFile": ROTATES}}),
    Instead=function({"Code": {"ZipFile": ROTATES}}),
    Allowed=R(
        "AWS::Lambda::Permission",
        {
            "FunctionName": ref("Rotates"),
            "Action": "lambda:InvokeFunction",
            "Principal": "secretsmanager.amazonaws.com",
        },
    ),
    AllowedInstead=R(
        "AWS::Lambda::Permission",
        {
            "FunctionName": ref("Instead"),
            "Action": "lambda:InvokeFunction",
            "Principal": "secretsmanager.amazonaws.com",
        },
    ),
    Key=R("AWS::KMS::Key", {"KeyPolicy": key_policy()}),
    Secret=R(
        "AWS::SecretsManager::Secret",
        *(
            {
                "Name": "corpus-whole",
                "Description": f"step {n}",
                "GenerateSecretString": password(n),
                "KmsKeyId": ref("Key") if n == 2 else None,
                "ReplicaRegions": [
                    {"Region": "eu-west-1", "KmsKeyId": "alias/aws/secretsmanager"},
                    {"Region": "ap-south-1"},
                ][: 3 - n]
                or None,
                "Tags": tags(a=str(n)),
            }
            for n in (1, 2, 3)
        ),
    ),
    Policy=R(
        "AWS::SecretsManager::ResourcePolicy",
        *(
            {
                "SecretId": ref("Secret"),
                "BlockPublicPolicy": n != 2,
                "ResourcePolicy": allow(action, Principal=ROOT),
            }
            for n, action in (
                (1, "secretsmanager:GetSecretValue"),
                (2, "secretsmanager:DescribeSecret"),
                (3, "secretsmanager:GetSecretValue"),
            )
        ),
    ),
    Rotation=R(
        "AWS::SecretsManager::RotationSchedule",
        {
            "SecretId": ref("Secret"),
            "RotateImmediatelyOnUpdate": False,
            "RotationLambdaARN": att("Rotates", "Arn"),
            "RotationRules": {"AutomaticallyAfterDays": 30, "Duration": "3h"},
        },
        {
            "RotationLambdaARN": att("Instead", "Arn"),
            "RotationRules": {"ScheduleExpression": "rate(10 days)", "Duration": "2h"},
        },
        {"RotationRules": {"AutomaticallyAfterDays": 5}, "RotateImmediatelyOnUpdate": None},
        DependsOn=["Allowed", "AllowedInstead"],
    ),
)
