"""Sessions: what they may do, who may have them, and what they say of themselves."""

from __future__ import annotations

import base64
import json

import pytest
from botocore.exceptions import ClientError

from stratolite.services.iam.mfa import code_at

ROLE = "arn:aws:iam::000000000000:role/r"


def policy(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement]})


def trust(condition=None, action=("sts:AssumeRole", "sts:TagSession")):
    more = {"Condition": condition} if condition else {}
    return policy(Principal={"AWS": "000000000000"}, Action=list(action), **more)


def user_keys(iam, name="ann"):
    iam.create_user(UserName=name)
    iam.put_user_policy(
        UserName=name,
        PolicyName="p",
        PolicyDocument=policy(Action=["sts:*", "iam:*"], Resource="*"),
    )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def keys_of(answer):
    given = answer["Credentials"]
    return {
        "key": given["AccessKeyId"],
        "secret": given["SecretAccessKey"],
        "token": given["SessionToken"],
    }


def may(iam):
    try:
        iam.list_users()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        return False
    return True


def may_list(dynamodb):
    try:
        dynamodb.list_tables()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDeniedException", error
        return False
    return True


def test_an_external_id_is_asked_for_by_the_trust_policy(client):
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    condition = {"StringEquals": {"sts:ExternalId": "42"}}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(condition))
    for more in ({}, {"ExternalId": "43"}):
        with pytest.raises(ClientError, match="AccessDenied"):
            sts.assume_role(RoleArn=ROLE, RoleSessionName="s1", **more)
    sts.assume_role(RoleArn=ROLE, RoleSessionName="s1", ExternalId="42")


def test_session_tags_decide_over_the_roles_own_and_transitive_ones_are_handed_on(client):
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=trust(), Tags=[{"Key": "team", "Value": "blue"}]
    )
    condition = {"StringEquals": {"aws:PrincipalTag/team": "red"}}
    iam.put_role_policy(
        RoleName="r",
        PolicyName="p",
        PolicyDocument=policy(Action=["iam:ListUsers"], Resource="*", Condition=condition),
    )
    chain = policy(Action=["sts:*"], Resource="*")
    iam.put_role_policy(RoleName="r", PolicyName="chain", PolicyDocument=chain)

    def session(maker, **more):
        return keys_of(maker.assume_role(RoleArn=ROLE, RoleSessionName="s1", **more))

    red = [{"Key": "Team", "Value": "red"}]
    assert not may(client("iam", **session(sts)))
    plain = session(sts, Tags=red)
    assert may(client("iam", **plain))
    assert not may(client("iam", **session(client("sts", **plain))))
    handed = session(sts, Tags=red, TransitiveTagKeys=["Team"])
    again = session(client("sts", **handed))
    assert may(client("iam", **again))
    with pytest.raises(ClientError, match="transitive tag key"):
        session(client("sts", **handed), Tags=[{"Key": "team", "Value": "blue"}])
    with pytest.raises(ClientError, match="1 hour session limit"):
        session(client("sts", **plain), DurationSeconds=3700)
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=trust(action=("sts:AssumeRole",)))
    iam.put_user_policy(
        UserName="ann", PolicyName="p", PolicyDocument=policy(Action="sts:AssumeRole", Resource="*")
    )
    session(sts)
    with pytest.raises(ClientError, match="sts:TagSession"):
        session(sts, Tags=red)


def test_several_session_policies_limit_together_and_a_changed_one_counts_at_once(client):
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust())
    every = policy(Action="iam:*", Resource="*")
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=every)
    other = policy(Action="s3:*", Resource="*")
    arn = iam.create_policy(PolicyName="lim", PolicyDocument=every)["Policy"]["Arn"]

    def session(**more):
        answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="s1", **more)
        return client("iam", **keys_of(answer))

    assert not may(session(Policy=other))
    both = session(Policy=other, PolicyArns=[{"arn": arn}])
    assert may(both)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=other, SetAsDefault=True)
    assert not may(both)
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        session(Policy="{}")


def test_a_federated_user_has_what_its_policy_and_its_user_both_allow(client):
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    iam.put_user_policy(
        UserName="ann",
        PolicyName="p",
        PolicyDocument=policy(Action=["sts:*", "dynamodb:*"], Resource="*"),
    )
    none = sts.get_federation_token(Name="bob")
    assert none["PackedPolicySize"] == 0
    assert none["FederatedUser"]["Arn"] == "arn:aws:sts::000000000000:federated-user/bob"
    assert not may_list(client("dynamodb", **keys_of(none)))
    some = keys_of(
        sts.get_federation_token(
            Name="bob", Policy=policy(Action="dynamodb:ListTables", Resource="*")
        )
    )
    assert may_list(client("dynamodb", **some))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client("iam", **some).list_users()
    assert client("sts", **some).get_caller_identity()["Arn"].endswith("federated-user/bob")
    iam.delete_user_policy(UserName="ann", PolicyName="p")
    assert not may_list(client("dynamodb", **some))


def enabled(client, iam, keys, wall):
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, seed = made["SerialNumber"], made["Base32StringSeed"]
    step = int(wall()) // 30
    with pytest.raises(ClientError, match="InvalidAuthenticationCode"):
        iam.enable_mfa_device(
            UserName="ann",
            SerialNumber=serial,
            AuthenticationCode1=code_at(seed, step),
            AuthenticationCode2=code_at(seed, step),
        )
    iam.enable_mfa_device(
        UserName="ann",
        SerialNumber=serial,
        AuthenticationCode1=code_at(seed, step - 1),
        AuthenticationCode2=code_at(seed, step),
    )
    return serial, lambda further: code_at(seed, step + further)


def test_a_second_factor_opens_a_role_once_per_code(client, platform):
    iam = client("iam")
    keys = user_keys(iam)
    sts = client("sts", **keys)
    condition = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust(condition))
    iam.put_role_policy(
        RoleName="r",
        PolicyName="p",
        PolicyDocument=policy(Action="iam:ListUsers", Resource="*", Condition=condition),
    )
    serial, code = enabled(client, iam, keys, platform.world.wall)
    assert [d["SerialNumber"] for d in iam.list_mfa_devices(UserName="ann")["MFADevices"]] == [
        serial
    ]
    ask = {"RoleArn": ROLE, "RoleSessionName": "s1", "SerialNumber": serial}
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(RoleArn=ROLE, RoleSessionName="s1")
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(**ask, TokenCode=code(0))  # spent when the device was enabled
    good = sts.assume_role(**ask, TokenCode=code(1))
    assert may(client("iam", **keys_of(good)))
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(**ask, TokenCode=code(1))
    with pytest.raises(ClientError, match="must delete MFA device first|must"):
        iam.delete_user(UserName="ann")
    iam.deactivate_mfa_device(UserName="ann", SerialNumber=serial)
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    assert iam.list_virtual_mfa_devices()["VirtualMFADevices"] == []


def test_codes_are_those_of_rfc_6238():
    """Appendix B, SHA-1, the last six of its eight digits."""
    import base64

    seed = base64.b32encode(b"12345678901234567890")
    wanted = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {t: code_at(seed, t // 30) for t in wanted} == wanted


def test_a_role_that_is_not_there_is_denied_to_whoever_may_ask(client):
    """Identity policies allow it and no trust policy stands against it: an answer, not a failure."""
    absent = "arn:aws:iam::000000000000:role/absent"
    for keys in ({}, user_keys(client("iam"))):
        with pytest.raises(ClientError, match="sts:AssumeRole on resource: .*absent") as caught:
            client("sts", **keys).assume_role(RoleArn=absent, RoleSessionName="s1")
        assert caught.value.response["Error"]["Code"] == "AccessDenied"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_source_identity_stays_through_a_chain_and_cannot_be_changed(client):
    """id_credentials_temp_control-access_monitor.html: once set, it cannot be set to another value."""
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    trusted = trust(action=("sts:AssumeRole", "sts:SetSourceIdentity"))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trusted)
    iam.put_role_policy(
        RoleName="r", PolicyName="p", PolicyDocument=policy(Action="sts:*", Resource="*")
    )
    ask = {"RoleArn": ROLE, "RoleSessionName": "s1"}
    first = sts.assume_role(**ask, SourceIdentity="ann")
    assert first["SourceIdentity"] == "ann"
    chained = client("sts", **keys_of(first))
    assert chained.assume_role(**ask)["SourceIdentity"] == "ann"
    with pytest.raises(ClientError, match="sts:SetSourceIdentity"):
        chained.assume_role(**ask, SourceIdentity="bob")
    condition = {"StringEquals": {"sts:SourceIdentity": "bob"}}
    iam.update_assume_role_policy(
        RoleName="r", PolicyDocument=trust(condition, ("sts:AssumeRole", "sts:SetSourceIdentity"))
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        sts.assume_role(**ask, SourceIdentity="ann")
    sts.assume_role(**ask, SourceIdentity="bob")


def test_sessions_of_an_hour_ago_are_denied_by_their_time_of_issue(client, platform):
    """id_roles_use_revoke-sessions.html: revoking is a deny of what aws:TokenIssueTime says is older."""
    iam = client("iam")
    sts = client("sts", **user_keys(iam))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=trust())
    every = policy(Action="iam:*", Resource="*")
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=every)
    session = client("iam", **keys_of(sts.assume_role(RoleArn=ROLE, RoleSessionName="s1")))
    assert may(session)
    for moment, wanted in (("2020-01-01T00:00:00Z", True), ("2100-01-01T00:00:00Z", False)):
        revoked = {"DateLessThan": {"aws:TokenIssueTime": moment}}
        iam.put_role_policy(
            RoleName="r",
            PolicyName="AWSRevokeOlderSessions",
            PolicyDocument=json.dumps({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": revoked}],
            }),
        )  # fmt: skip
        assert may(session) is wanted


def test_a_key_id_tells_its_account_and_policies_take_room(client):
    """API_GetAccessKeyInfo.html; a session's policies and tags are measured packed."""
    iam = client("iam", account="123456789012")
    sts = client("sts", account="123456789012")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]["AccessKeyId"]
    assert client("sts").get_access_key_info(AccessKeyId=key)["Account"] == "123456789012"
    iam.create_role(
        RoleName="r", AssumeRolePolicyDocument=trust().replace("000000000000", "123456789012")
    )
    ask = {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "s1"}
    plain = sts.assume_role(**ask)
    assert "PackedPolicySize" not in plain
    session = plain["Credentials"]["AccessKeyId"]
    assert client("sts").get_access_key_info(AccessKeyId=session)["Account"] == "123456789012"
    small = sts.assume_role(**ask, Policy=policy(Action="s3:*", Resource="*"))["PackedPolicySize"]
    assert 0 < small < 20
    for wrong in ("nothing-valid-in-here", "arn:a::::something/test-role"):
        with pytest.raises(ClientError, match=f"ValidationError.*{wrong} is invalid"):
            sts.assume_role(**(ask | {"RoleArn": wrong}))


def test_a_users_session_reaches_iam_after_a_second_factor_only(client, platform):
    """id_credentials_temp_request.html: "You cannot call any IAM API operations unless MFA authentication information is included"."""
    iam = client("iam")
    keys = user_keys(iam)
    sts = client("sts", **keys)
    session = client("iam", **keys_of(sts.get_session_token()))
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        session.list_users()
    serial, code = enabled(client, iam, keys, platform.world.wall)
    proved = sts.get_session_token(SerialNumber=serial, TokenCode=code(1))
    assert may(client("iam", **keys_of(proved)))
    with pytest.raises(ClientError, match="AccessDenied"):
        client("sts", **keys_of(proved)).get_session_token()
    for name in ("assume_role_with_saml", "assume_root"):
        assert hasattr(sts, name)
    with pytest.raises(ClientError, match="NotImplemented"):
        sts.assume_root(TargetPrincipal="123456789012", TaskPolicyArn={"arn": "arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"})  # fmt: skip


def test_a_token_says_once_what_it_says_and_those_of_before_open(client, platform):
    """It comes with every request. An older server's repeated the key's id and the session's ARN."""
    arn = client("iam").create_role(RoleName="r", AssumeRolePolicyDocument=trust())["Role"]["Arn"]
    sts, vault = client("sts"), platform.cloud.vault
    keys = keys_of(sts.assume_role(RoleArn=arn, RoleSessionName="session"))
    body = json.loads(vault.open(base64.b64decode(keys["token"]), "session-token"))
    who = client("sts", **keys).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/r/session"
    assert not {"arn", "access_key_id"} & body["p"].keys()
    body["p"] |= {"arn": who["Arn"], "access_key_id": keys["key"]}
    sealed = vault.seal(json.dumps(body).encode(), "session-token")
    older = keys | {"token": base64.b64encode(sealed).decode()}
    del who["ResponseMetadata"]
    assert client("sts", **older).get_caller_identity().items() >= who.items()


def test_root_becomes_the_roles_of_its_account_as_no_root_of_aws_does(client):
    """Unlike AWS, as the front page says: local credentials are root's. Not what denies it, nor what is another account's."""
    iam, sts = client("iam"), client("sts")

    def ask(name, effect="Allow", by=sts, **who):
        said = {"Effect": effect, "Principal": who, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [said]})
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
        arn = f"arn:aws:iam::000000000000:role/{name}"
        return by.assume_role(RoleArn=arn, RoleSessionName="s1")["AssumedRoleUser"]["Arn"]

    given = ask("trusts-lambda", Service="lambda.amazonaws.com")
    assert given == "arn:aws:sts::000000000000:assumed-role/trusts-lambda/s1"
    with pytest.raises(ClientError, match="AccessDenied"):
        ask("denies", effect="Deny", AWS="000000000000")
    with pytest.raises(ClientError, match="AccessDenied"):
        ask("of-others", by=client("sts", account="111122223333"), Service="lambda.amazonaws.com")
