"""IAM and STS from the caller's side: who may do what, and who one is."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError
from harness import run_in_cloud

from stratolite.errors import Fault
from stratolite.service import Principal

TRUST = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ]
    }
)
LIST_USERS = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"}],
    }
)
ROLE = "arn:aws:iam::000000000000:role/r"


def test_a_role_keeps_what_it_was_given_across_a_restart(tmp_path):
    """Acknowledged means durable: the second cloud has only the folder of the first."""

    async def make(h):
        await h(
            "iam",
            "CreateRole",
            RoleName="r",
            AssumeRolePolicyDocument=TRUST,
            Tags=[{"Key": "a", "Value": "b"}],
        )
        await h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=LIST_USERS)
        await h(
            "iam",
            "AttachRolePolicy",
            RoleName="r",
            PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess",
        )

    async def read(h):
        role = (await h("iam", "GetRole", RoleName="r"))["Role"]
        assert role["Arn"] == ROLE
        assert role["Tags"] == [{"Key": "a", "Value": "b"}]
        assert (await h("iam", "ListRolePolicies", RoleName="r"))["PolicyNames"] == ["p"]
        attached = (await h("iam", "ListAttachedRolePolicies", RoleName="r"))["AttachedPolicies"]
        assert [a["PolicyName"] for a in attached] == ["AmazonS3FullAccess"]

    run_in_cloud(str(tmp_path), make)
    run_in_cloud(str(tmp_path), read)


def test_a_role_is_deleted_only_when_nothing_hangs_on_it(tmp_path):
    async def body(h):
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        await h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=LIST_USERS)
        with pytest.raises(Fault, match="must delete policies first") as fault:
            await h("iam", "DeleteRole", RoleName="r")
        assert fault.value.code == "DeleteConflict"
        await h("iam", "DeleteRolePolicy", RoleName="r", PolicyName="p")
        await h("iam", "DeleteRole", RoleName="r")
        with pytest.raises(Fault, match="The role with name r cannot be found."):
            await h("iam", "GetRole", RoleName="r")

    run_in_cloud(str(tmp_path), body)


def test_a_user_may_do_what_its_policies_say_and_no_more(tmp_path):
    async def body(h):
        user = (await h("iam", "CreateUser", UserName="ann"))["User"]
        ann = h.call(
            principal=Principal("user", "000000000000", user["Arn"], "ann", user_id=user["UserId"])
        )
        with pytest.raises(
            Fault,
            match="is not authorized to perform: iam:ListUsers because no identity-based policy allows",
        ):
            await ann.request("iam", "ListUsers", {})
        await h("iam", "PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=LIST_USERS)
        assert len((await ann.request("iam", "ListUsers", {}))["Users"]) == 1
        with pytest.raises(Fault, match="iam:CreateUser"):
            await ann.request("iam", "CreateUser", {"UserName": "bob"})

    run_in_cloud(str(tmp_path), body)


def test_only_whom_the_trust_policy_names_becomes_the_role(tmp_path):
    """A function's credentials come from AssumeRole by lambda.amazonaws.com, as on AWS."""

    async def body(h):
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        request = {"RoleArn": ROLE, "RoleSessionName": "fn"}
        lambda_service = h.call().as_service(
            "lambda.amazonaws.com", "arn:aws:lambda:us-east-1:000000000000:function:f"
        )
        made = await lambda_service.request("sts", "AssumeRole", request)
        assert made["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/r/fn"
        with pytest.raises(Fault) as fault:
            await h.call().as_service("s3.amazonaws.com", "x").request("sts", "AssumeRole", request)
        assert fault.value.code == "AccessDenied"
        with pytest.raises(Fault):
            await lambda_service.request("sts", "AssumeRole", request | {"RoleArn": ROLE + "x"})
        return made["Credentials"]

    credentials = run_in_cloud(str(tmp_path), body)

    async def reopen(h):
        from stratolite.services.sts.tokens import Expired, Tokens

        tokens, key = Tokens(h.cloud.vault), credentials["AccessKeyId"]
        secret, who = tokens.open(key, credentials["SessionToken"], h.cloud.world.wall())
        assert secret == credentials["SecretAccessKey"]
        assert (await h.call(principal=who).request("sts", "GetCallerIdentity", {}))[
            "Arn"
        ].endswith("assumed-role/r/fn")
        assert tokens.open("ASIA" + "A" * 16, credentials["SessionToken"], 0) is None
        assert tokens.open(key, credentials["SessionToken"].swapcase(), 0) is None
        with pytest.raises(Expired):
            tokens.open(key, credentials["SessionToken"], credentials["Expiration"])

    run_in_cloud(str(tmp_path), reopen)


def test_a_role_made_again_is_another_role(tmp_path):
    """A session of the deleted role must not get the rights of its namesake."""

    async def body(h):
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        old = (await h("iam", "GetRole", RoleName="r"))["Role"]["RoleId"]
        who = Principal(
            "role",
            "000000000000",
            "arn:aws:sts::000000000000:assumed-role/r/s",
            "r",
            "s",
            user_id=f"{old}:s",
        )
        await h("iam", "DeleteRole", RoleName="r")
        await h("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
        await h("iam", "PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=LIST_USERS)
        with pytest.raises(Fault):
            await h.call(principal=who).request("iam", "ListUsers", {})

    run_in_cloud(str(tmp_path), body)


def test_a_managed_policy_has_five_versions_and_one_default(tmp_path):
    async def body(h):
        arn = (await h("iam", "CreatePolicy", PolicyName="p", PolicyDocument=LIST_USERS))["Policy"][
            "Arn"
        ]
        for _ in range(4):
            await h(
                "iam",
                "CreatePolicyVersion",
                PolicyArn=arn,
                PolicyDocument=LIST_USERS,
                SetAsDefault=True,
            )
        with pytest.raises(Fault, match="can have up to 5 versions"):
            await h("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=LIST_USERS)
        versions = (await h("iam", "ListPolicyVersions", PolicyArn=arn))["Versions"]
        assert [v["VersionId"] for v in versions if v["IsDefaultVersion"]] == ["v5"]
        with pytest.raises(Fault, match="default version"):
            await h("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
        with pytest.raises(Fault, match="Syntax errors in policy."):
            await h("iam", "CreatePolicy", PolicyName="q", PolicyDocument="{}")

    run_in_cloud(str(tmp_path), body)


def test_an_access_key_opens_only_while_it_is_active(tmp_path):
    async def body(h):
        from stratolite.services.iam.credentials import AccessKeys

        await h("iam", "CreateUser", UserName="ann")
        key = (await h("iam", "CreateAccessKey", UserName="ann"))["AccessKey"]
        keys = AccessKeys(h.cloud.db, h.cloud.vault)
        secret, who = keys.open(key["AccessKeyId"])
        assert (secret, who.name) == (key["SecretAccessKey"], "ann")
        await h(
            "iam",
            "UpdateAccessKey",
            UserName="ann",
            AccessKeyId=key["AccessKeyId"],
            Status="Inactive",
        )
        assert keys.open(key["AccessKeyId"]) is None
        assert keys.open("AKIAAAAAAAAAAAAAAAAA") is None

    run_in_cloud(str(tmp_path), body)


def test_every_aws_managed_policy_here_parses():
    from stratolite.services.iam.managed import aws_managed, table

    assert all(aws_managed(arn).statements for arn in table())


def test_a_repeated_step_of_a_stack_finds_its_own_role_and_nobody_elses(tmp_path):
    """After kill -9 a create runs again under the same token; a role of that name made by somebody is not adopted."""
    from stratolite.service import Spec

    def spec(token, **properties):
        wanted = {"RoleName": "named", "AssumeRolePolicyDocument": TRUST} | properties
        return Spec("AWS::IAM::Role", "R", "stack", "arn", token, wanted)

    async def body(h):
        role = h.cloud.resource("AWS::IAM::Role")
        first = await role.create(h.call(), spec("token-1"))
        assert await role.create(h.call(), spec("token-1")) == first
        with pytest.raises(Fault, match="already exists"):
            await role.create(h.call(), spec("token-2"))
        shown = (await h("iam", "GetRole", RoleName="named"))["Role"]
        assert "StackToken" not in shown

    run_in_cloud(str(tmp_path), body)


def test_a_half_made_role_says_its_name_to_whoever_rolls_back(tmp_path):
    from stratolite.service import Spec

    async def body(h):
        wanted = {
            "AssumeRolePolicyDocument": TRUST,
            "ManagedPolicyArns": ["arn:aws:iam::aws:policy/Nope"],
        }
        role = h.cloud.resource("AWS::IAM::Role")
        with pytest.raises(Fault) as fault:
            await role.create(
                h.call(), Spec("AWS::IAM::Role", "R", "stack", "arn", "token-1", wanted)
            )
        name = fault.value.members["PhysicalResourceId"]
        assert (await h("iam", "GetRole", RoleName=name))["Role"]["RoleName"] == name

    run_in_cloud(str(tmp_path), body)


def test_a_denied_call_has_the_status_of_its_protocol(client):
    """400 where errors are JSON documents, 403 where they are HTTP statuses, as AWS answers them."""
    client("iam").create_user(UserName="ann")
    key = client("iam").create_access_key(UserName="ann")["AccessKey"]
    ann = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    for service, work, status in (
        ("lambda", lambda c: c.list_functions(), 403),
        ("apigatewayv2", lambda c: c.get_apis(), 403),
        ("dynamodb", lambda c: c.list_tables(), 400),
        ("s3", lambda c: c.list_buckets(), 403),
        ("iam", lambda c: c.list_users(), 403),
    ):
        with pytest.raises(ClientError) as error:
            work(client(service, **ann))
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status, service


def test_names_are_not_distinguished_by_case(client):
    """https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html; listed alphabetically, as ceph/s3-tests has it."""
    iam = client("iam")
    making = {
        "User": (iam.create_user, iam.get_user, iam.list_users, iam.delete_user, {}),
        "Group": (iam.create_group, iam.get_group, iam.list_groups, iam.delete_group, {}),
        "Role": (
            iam.create_role,
            iam.get_role,
            iam.list_roles,
            iam.delete_role,
            {"AssumeRolePolicyDocument": TRUST},
        ),
        "InstanceProfile": (
            iam.create_instance_profile,
            iam.get_instance_profile,
            iam.list_instance_profiles,
            iam.delete_instance_profile,
            {},
        ),
    }
    for kind, (create, get, listing, delete, more) in making.items():
        member = f"{kind}Name"
        for name in ("Ad", "ac", "Ab", "aa"):
            create(**{member: name}, **more)
        for name in ("ad", "AD", "Ad"):
            with pytest.raises(ClientError, match=f"{name} already exists") as twice:
                create(**{member: name}, **more)
            assert twice.value.response["Error"]["Code"] == "EntityAlreadyExists"
        assert get(**{member: "aD"})[kind][member] == "Ad"
        assert [one[member] for one in listing()[f"{kind}s"]] == ["aa", "Ab", "ac", "Ad"]
        page = listing(MaxItems=2)
        assert page["IsTruncated"]
        assert [one[member] for one in listing(Marker=page["Marker"])[f"{kind}s"]] == ["ac", "Ad"]
        delete(**{member: "AC"})
        assert [one[member] for one in listing()[f"{kind}s"]] == ["aa", "Ab", "Ad"]
        create(**{member: "AC"}, **more)
    iam.add_user_to_group(GroupName="AA", UserName="AB")
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName="ab")["Groups"]] == ["aa"]
    iam.put_user_policy(UserName="AA", PolicyName="p", PolicyDocument=LIST_USERS)
    assert iam.list_user_policies(UserName="aa")["PolicyNames"] == ["p"]
    with pytest.raises(ClientError, match="ab already exists"):
        iam.update_user(UserName="AA", NewUserName="ab")
    iam.update_user(UserName="aa", NewUserName="AA")
    assert iam.get_user(UserName="aa")["User"]["UserName"] == "AA"
    assert iam.list_user_policies(UserName="aa")["PolicyNames"] == ["p"]
    document = LIST_USERS
    iam.create_policy(PolicyName="P", PolicyDocument=document)
    with pytest.raises(ClientError, match="A policy called p already exists"):
        iam.create_policy(PolicyName="p", PolicyDocument=document)


def test_names_an_older_server_kept_are_found_and_listed_as_before(tmp_path):
    """It noted no name in lower case; the first new one has them all noted."""
    from stratolite.services.iam import state

    async def older(h):
        for name in ("Zed", "abe"):
            await h("iam", "CreateUser", UserName=name)

        def forget(tx):
            space = state.keyspace("000000000000")
            for kind in ("folded", "folded-all"):
                for key, _ in list(tx.scan(space.span(kind))):
                    tx.delete(key)

        await h.cloud.db.transact(forget)

    async def newer(h):
        listed = (await h("iam", "ListUsers"))["Users"]
        assert [user["UserName"] for user in listed] == ["Zed", "abe"]
        await h("iam", "CreateUser", UserName="bob")
        listed = (await h("iam", "ListUsers"))["Users"]
        assert [user["UserName"] for user in listed] == ["abe", "bob", "Zed"]
        with pytest.raises(Fault, match="zed already exists"):
            await h("iam", "CreateUser", UserName="zed")

    run_in_cloud(str(tmp_path), older)
    run_in_cloud(str(tmp_path), newer)
