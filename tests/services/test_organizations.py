"""Accounts in a tree, and service control policies that limit all of them but the one that manages."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def deny(*actions):
    return policy({"Effect": "Deny", "Action": list(actions), "Resource": "*"})


def may(made):
    try:
        made.list_tables()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        return str(error)
    return "yes"


@pytest.fixture
def org(client):
    """A root, an OU below it, an account in that, and policies that may be attached."""
    made = client("organizations")
    made.create_organization(FeatureSet="ALL")
    made.root = made.list_roots()["Roots"][0]["Id"]
    made.enable_policy_type(RootId=made.root, PolicyType="SERVICE_CONTROL_POLICY")
    made.unit = made.create_organizational_unit(ParentId=made.root, Name="dev")["OrganizationalUnit"]["Id"]  # fmt: skip
    asked = made.create_account(Email="a@example.com", AccountName="a")["CreateAccountStatus"]
    assert asked["State"] == "IN_PROGRESS"
    status = made.describe_create_account_status(CreateAccountRequestId=asked["Id"])
    made.account = status["CreateAccountStatus"]["AccountId"]
    return made


def attach(org, target, content, name):
    made = org.create_policy(
        Content=content, Description="", Name=name, Type="SERVICE_CONTROL_POLICY"
    )
    identity = made["Policy"]["PolicySummary"]["Id"]
    org.attach_policy(PolicyId=identity, TargetId=target)
    return identity


def test_a_service_control_policy_limits_the_members_root_user_and_role_but_not_who_manages(
    client, org
):
    """orgs_manage_policies_scps.html: "SCPs affect ... including the root user", "don't affect ... the management account"."""
    theirs = client("dynamodb", account=org.account)
    assert may(theirs) == "yes"
    sts = client("sts")
    role = f"arn:aws:iam::{org.account}:role/OrganizationAccountAccessRole"
    session = sts.assume_role(RoleArn=role, RoleSessionName="admin")["Credentials"]
    inside = client(
        "dynamodb", key=session["AccessKeyId"], secret=session["SecretAccessKey"], token=session["SessionToken"]
    )  # fmt: skip
    assert may(inside) == "yes"
    identity = attach(org, org.root, deny("dynamodb:ListTables"), "no-tables")
    for made in (theirs, inside):
        assert "with an explicit deny in a service control policy" in may(made)
    assert may(client("dynamodb")) == "yes"
    assert may(client("dynamodb", account="123123123123")) == "yes"
    org.detach_policy(PolicyId=identity, TargetId=org.root)
    assert (may(theirs), may(inside)) == ("yes", "yes")


def test_every_level_must_allow_and_a_move_counts_at_once(client, org):
    """orgs_manage_policies_scps_evaluation.html: an allow is needed at every level from the root down."""
    theirs = client("dynamodb", account=org.account)
    only_s3 = policy({"Effect": "Allow", "Action": "s3:*", "Resource": "*"})
    attach(org, org.unit, only_s3, "s3")
    org.detach_policy(PolicyId="p-FullAWSAccess", TargetId=org.unit)
    assert may(theirs) == "yes"
    org.move_account(AccountId=org.account, SourceParentId=org.root, DestinationParentId=org.unit)
    assert "because no service control policy allows the dynamodb:ListTables action" in may(theirs)
    assert org.list_parents(ChildId=org.account)["Parents"] == [
        {"Id": org.unit, "Type": "ORGANIZATIONAL_UNIT"}
    ]
    org.update_policy(
        PolicyId=org.list_policies_for_target(TargetId=org.unit, Filter="SERVICE_CONTROL_POLICY")["Policies"][0]["Id"],
        Content=policy(EVERYTHING),
    )  # fmt: skip
    assert may(theirs) == "yes"
    org.disable_policy_type(RootId=org.root, PolicyType="SERVICE_CONTROL_POLICY")
    assert may(theirs) == "yes"


def test_policies_ask_where_the_principal_belongs(client, org):
    """aws:PrincipalOrgID and aws:PrincipalOrgPaths in a bucket policy of the management account."""
    s3 = client("s3")
    s3.create_bucket(Bucket="shared")
    s3.put_object(Bucket="shared", Key="k", Body=b"x")
    name = org.describe_organization()["Organization"]["Id"]
    statement = {
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::shared/*",
        "Condition": {"StringEquals": {"aws:PrincipalOrgID": name}},
    }  # fmt: skip
    s3.put_bucket_policy(Bucket="shared", Policy=policy(statement))
    client("s3", account=org.account).get_object(Bucket="shared", Key="k")
    with pytest.raises(ClientError, match="AccessDenied"):
        client("s3", account="123123123123").get_object(Bucket="shared", Key="k")


def test_an_account_comes_by_invitation_and_leaves(client, org):
    other = client("organizations", account="222233334444")
    with pytest.raises(ClientError, match="AWSOrganizationsNotInUseException"):
        other.describe_organization()
    asked = org.invite_account_to_organization(Target={"Id": "222233334444", "Type": "ACCOUNT"})
    (waiting,) = other.list_handshakes_for_account()["Handshakes"]
    assert waiting["Id"] == asked["Handshake"]["Id"]
    with pytest.raises(ClientError, match="DuplicateHandshakeException"):
        org.invite_account_to_organization(Target={"Id": "222233334444", "Type": "ACCOUNT"})
    other.accept_handshake(HandshakeId=waiting["Id"])
    attach(org, "222233334444", deny("dynamodb:*"), "none")
    assert "explicit deny in a service control policy" in may(
        client("dynamodb", account="222233334444")
    )
    with pytest.raises(ClientError, match="AccessDeniedException"):
        other.list_accounts()
    other.leave_organization()
    assert may(client("dynamodb", account="222233334444")) == "yes"
    assert [a["Id"] for a in org.list_accounts()["Accounts"]] == sorted(
        ["000000000000", org.account]
    )


def test_what_holds_a_tree_together_is_refused_to_be_taken_away(client, org):
    for code, call, asked in (
        ("ConstraintViolationException", org.detach_policy, {"PolicyId": "p-FullAWSAccess", "TargetId": org.root}),
        ("DuplicatePolicyAttachmentException", org.attach_policy, {"PolicyId": "p-FullAWSAccess", "TargetId": org.root}),
        ("TargetNotFoundException", org.attach_policy, {"PolicyId": "p-FullAWSAccess", "TargetId": "999999999999"}),
        ("MalformedPolicyDocumentException", org.create_policy,
         {"Content": "{}", "Description": "", "Name": "x", "Type": "SERVICE_CONTROL_POLICY"}),
        ("PolicyTypeNotAvailableForOrganizationException", org.create_policy,
         {"Content": "{}", "Description": "", "Name": "x", "Type": "TAG_POLICY"}),
        ("OrganizationNotEmptyException", org.delete_organization, {}),
        ("MasterCannotLeaveOrganizationException", org.leave_organization, {}),
        ("AlreadyInOrganizationException", org.create_organization, {}),
        ("DuplicateOrganizationalUnitException", org.create_organizational_unit, {"ParentId": org.root, "Name": "dev"}),
    ):  # fmt: skip
        with pytest.raises(ClientError) as refused:
            call(**asked)
        assert refused.value.response["Error"]["Code"] == code
    org.delete_organizational_unit(OrganizationalUnitId=org.unit)
    org.remove_account_from_organization(AccountId=org.account)
    org.delete_organization()
    with pytest.raises(ClientError, match="AWSOrganizationsNotInUseException"):
        org.describe_organization()
    org.create_organization()


def test_what_services_ask_of_iam_is_nothing_a_service_control_policy_is_about(client, org):
    """A member that may not use IAM still becomes its roles and writes policies: AWS looks principals up itself."""
    s3 = client("s3", account=org.account)
    s3.create_bucket(Bucket="of-a-member")
    attach(org, org.account, deny("iam:*"), "no-iam")
    role = f"arn:aws:iam::{org.account}:role/OrganizationAccountAccessRole"
    client("sts").assume_role(RoleArn=role, RoleSessionName="admin")
    allow = {"Effect": "Allow", "Principal": {"AWS": role}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::of-a-member/*"}  # fmt: skip
    s3.put_bucket_policy(Bucket="of-a-member", Policy=policy(allow))
    allow["Principal"] = {"AWS": f"arn:aws:iam::{org.account}:role/nobody"}
    with pytest.raises(ClientError, match="Invalid principal in policy"):
        s3.put_bucket_policy(Bucket="of-a-member", Policy=policy(allow))


def test_a_role_cannot_be_made_that_escapes(client, org):
    """Service-linked roles are not limited, so nobody may make one that only looks like it."""
    iam = client("iam", account=org.account)
    trust = policy(
        {"Effect": "Allow", "Principal": {"AWS": org.account}, "Action": "sts:AssumeRole"}
    )
    with pytest.raises(ClientError, match="reserved for service-linked roles"):
        iam.create_role(
            RoleName="r",
            Path="/aws-service-role/ecs.amazonaws.com/",
            AssumeRolePolicyDocument=trust,
        )


def test_what_the_platform_asks_of_iam_nobody_else_can(client, org, platform):
    """A role that may do everything in IAM must not tell it that there is no organization, whatever runs the call."""
    from harness import Harness

    from stratolite.errors import Fault
    from stratolite.service import Principal, root

    who = Principal("role", org.account, "arn", "OrganizationAccountAccessRole")
    for principal in (who, root(org.account, "AKIAX"), root(org.account, "test")):
        for operation in ("KeepOrganization", "KeepServiceControl", "RevealAccessKey", "FindRole", "FindUnknownPrincipal", "NewKeyId", "FindAccessKey", "CheckMfaCode"):  # fmt: skip
            asked = {"Account": org.account, "Record": None, "Organization": "o", "Kind": "policy", "Name": "p", "Value": None,
                     "AccessKeyId": "AKIA", "RoleName": "r", "Prefix": "A", "SerialNumber": "s", "UserName": "u", "TokenCode": "1", "Policy": "{}"}  # fmt: skip
            call = Harness(platform.cloud).call(org.account, principal=principal)
            with pytest.raises(Fault) as refused:
                platform.run(call.request("iam", operation, asked))
            assert refused.value.code in ("NotImplemented", "AccessDenied"), operation
