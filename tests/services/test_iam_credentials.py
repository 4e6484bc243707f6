"""What users prove themselves with, and what is said of it: passwords, keys, devices, certificates, reports."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


EVERYTHING = policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
TRUST = policy(
    {"Effect": "Allow", "Principal": {"AWS": "000000000000"}, "Action": "sts:AssumeRole"}
)


def refused(code, call, said="", **asked):
    with pytest.raises(ClientError) as error:
        call(**asked)
    found = error.value.response["Error"]
    assert found["Code"] == code, found
    assert said in (found.get("Message") or ""), found


@pytest.fixture
def iam(client):
    made = client("iam")
    made.create_user(UserName="ann")
    return made


def as_user(client, iam, name="ann"):
    iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=EVERYTHING)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}


def test_a_password_is_held_to_the_accounts_policy_and_to_the_former_ones(client, iam):
    """Messages recorded from AWS: test_iam_account_password_policy and test_iam_users of LocalStack."""
    named = {"UserName": "ann"}
    refused(
        "NoSuchEntity",
        iam.get_account_password_policy,
        "The Password Policy with domain name 000000000000 cannot be found.",
    )
    refused(
        "NoSuchEntity",
        iam.delete_account_password_policy,
        "The account policy with name PasswordPolicy cannot be found.",
    )
    refused(
        "NoSuchEntity",
        iam.get_login_profile,
        "Login Profile for User ann cannot be found.",
        **named,
    )
    refused("PasswordPolicyViolation", iam.create_login_profile, **named, Password="short")
    iam.create_login_profile(**named, Password="Correct-horse-1")
    refused(
        "EntityAlreadyExists",
        iam.create_login_profile,
        "Login Profile for user ann already exists.",
        **named,
        Password="Correct-horse-1",
    )
    assert iam.get_login_profile(**named)["LoginProfile"]["PasswordResetRequired"] is False
    iam.update_account_password_policy(
        MinimumPasswordLength=12, RequireSymbols=True, PasswordReusePrevention=2
    )
    found = iam.get_account_password_policy()["PasswordPolicy"]
    assert (found["MinimumPasswordLength"], found["RequireNumbers"], found["ExpirePasswords"]) == (
        12,
        False,
        False,
    )
    refused(
        "PasswordPolicyViolation",
        iam.update_login_profile,
        "minimum length of 12",
        **named,
        Password="Short-1",
    )
    refused(
        "PasswordPolicyViolation",
        iam.update_login_profile,
        "at least one symbol",
        **named,
        Password="LongEnoughButNo1",
    )
    ann = client("iam", **as_user(client, iam))
    refused(
        "AccessDenied",
        ann.change_password,
        "The old password was incorrect.",
        OldPassword="x",
        NewPassword="Another-horse-2",
    )
    ann.change_password(OldPassword="Correct-horse-1", NewPassword="Another-horse-2")
    refused(
        "PasswordPolicyViolation",
        ann.change_password,
        "used before",
        OldPassword="Another-horse-2",
        NewPassword="Correct-horse-1",
    )
    refused("InvalidUserType", iam.change_password, OldPassword="x", NewPassword="y")
    refused(
        "ValidationError",
        iam.update_account_password_policy,
        "3 validation errors detected: Value at 'minimumPasswordLength' failed to satisfy constraint: Member must have value less"
        " than or equal to 128; Value at 'maxPasswordAge' failed",
        MinimumPasswordLength=500,
        MaxPasswordAge=5000,
        PasswordReusePrevention=50,
    )
    iam.delete_login_profile(**named)


def test_a_key_and_a_role_tell_what_they_were_last_used_for(client, iam):
    keys = as_user(client, iam)
    unused = iam.get_access_key_last_used(AccessKeyId=keys["key"])
    assert unused["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert iam.get_role(RoleName="r")["Role"]["RoleLastUsed"] == {}
    session = client("sts", **keys, region="eu-west-1").assume_role(
        RoleArn="arn:aws:iam::000000000000:role/r", RoleSessionName="s1"
    )["Credentials"]
    used = iam.get_access_key_last_used(AccessKeyId=keys["key"])
    assert used["UserName"] == "ann"
    assert (used["AccessKeyLastUsed"]["ServiceName"], used["AccessKeyLastUsed"]["Region"]) == (
        "sts",
        "eu-west-1",
    )
    refused(
        "AccessDenied",
        iam.get_access_key_last_used,
        "access key AKIAIOSFODNN7EXAMPLE",
        AccessKeyId="AKIAIOSFODNN7EXAMPLE",
    )
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=EVERYTHING)
    client(
        "dynamodb",
        key=session["AccessKeyId"],
        secret=session["SecretAccessKey"],
        token=session["SessionToken"],
    ).list_tables()
    arn = "arn:aws:iam::000000000000:role/r"
    job = iam.generate_service_last_accessed_details(Arn=arn)["JobId"]
    found = iam.get_service_last_accessed_details(JobId=job)
    by_name = {s["ServiceNamespace"]: s for s in found["ServicesLastAccessed"]}
    assert by_name["dynamodb"]["LastAuthenticatedEntity"].endswith("assumed-role/r/s1")
    assert "LastAuthenticated" not in by_name["s3"]
    assert iam.get_role(RoleName="r")["Role"]["RoleLastUsed"]["Region"] == "us-east-1"
    entities = iam.get_service_last_accessed_details_with_entities(
        JobId=job, ServiceNamespace="dynamodb"
    )
    assert entities["EntityDetailsList"][0]["EntityInfo"]["Name"] == "r"
    granting = iam.list_policies_granting_service_access(Arn=arn, ServiceNamespaces=["s3"])[
        "PoliciesGrantingServiceAccess"
    ]
    assert granting == [
        {
            "ServiceNamespace": "s3",
            "Policies": [
                {"PolicyName": "p", "PolicyType": "INLINE", "EntityType": "ROLE", "EntityName": "r"}
            ],
        }
    ]


def test_the_accounts_root_has_keys_of_its_own_that_let_it_in(client):
    """With which others may reach a server that does not only listen to this machine."""
    key = client("iam").create_access_key()["AccessKey"]
    assert "UserName" not in key
    named = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    assert client("sts", **named).get_caller_identity()["Arn"] == "arn:aws:iam::000000000000:root"
    assert client("iam").get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1
    assert [
        k["AccessKeyId"] for k in client("iam", **named).list_access_keys()["AccessKeyMetadata"]
    ] == [key["AccessKeyId"]]
    client("iam").delete_access_key(AccessKeyId=key["AccessKeyId"])
    refused("InvalidClientTokenId", client("sts", **named).get_caller_identity)


def test_a_credential_report_has_a_line_for_every_user(client, iam, platform):
    """id_credentials_getting-report.html"""
    refused("ReportNotPresent", iam.get_credential_report)
    iam.create_login_profile(UserName="ann", Password="Correct-horse-1")
    keys = as_user(client, iam)
    client("dynamodb", **keys).list_tables()
    for number in range(60):
        iam.create_user(UserName=f"u{number:02}")
    iam.get_access_key_last_used(AccessKeyId=keys["key"])
    assert iam.generate_credential_report()["State"] == "STARTED"
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    lines = list(csv.DictReader(io.StringIO(iam.get_credential_report()["Content"].decode())))
    assert [line["user"] for line in lines][:2] == ["<root_account>", "ann"]
    assert len(lines) == 62
    ann = lines[1]
    assert (ann["password_enabled"], ann["mfa_active"], ann["access_key_1_active"]) == (
        "true",
        "false",
        "true",
    )
    assert ann["access_key_1_last_used_service"] == "dynamodb"
    platform.loop.call_soon_threadsafe(platform.world.set_cloud_offset, 5 * 3600.0)
    refused("ReportExpired", iam.get_credential_report)


def test_an_account_has_one_alias_and_nobody_else_has_it(client, iam):
    iam.create_account_alias(AccountAlias="acme")
    refused(
        "EntityAlreadyExists",
        client("iam", account="222222222222").create_account_alias,
        AccountAlias="acme",
    )
    iam.create_account_alias(AccountAlias="acme-two")
    assert iam.list_account_aliases()["AccountAliases"] == ["acme-two"]
    client("iam", account="222222222222").create_account_alias(AccountAlias="acme")
    iam.delete_account_alias(AccountAlias="acme-two")
    refused("NoSuchEntity", iam.delete_account_alias, AccountAlias="acme-two")


def test_everything_of_an_account_is_listed_a_page_at_a_time(client, iam):
    iam.create_group(GroupName="g")
    iam.add_user_to_group(GroupName="g", UserName="ann")
    iam.put_group_policy(GroupName="g", PolicyName="gp", PolicyDocument=EVERYTHING)
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "a", "Value": "b"}])
    iam.create_instance_profile(InstanceProfileName="ip")
    iam.add_role_to_instance_profile(InstanceProfileName="ip", RoleName="r")
    iam.create_policy(PolicyName="mine", PolicyDocument=EVERYTHING)
    whole = iam.get_account_authorization_details(
        Filter=["User", "Group", "Role", "LocalManagedPolicy"]
    )
    assert whole["UserDetailList"][0]["GroupList"] == ["g"]
    assert whole["GroupDetailList"][0]["GroupPolicyList"][0]["PolicyDocument"] == json.loads(
        EVERYTHING
    )
    assert whole["RoleDetailList"][0]["InstanceProfileList"][0]["InstanceProfileName"] == "ip"
    assert whole["Policies"][0]["PolicyVersionList"][0]["Document"] == json.loads(EVERYTHING)
    names, marker = [], {}
    while True:
        page = iam.get_account_authorization_details(MaxItems=7, **marker)
        names += [u["UserName"] for u in page["UserDetailList"]] + [
            g["GroupName"] for g in page["GroupDetailList"]
        ]
        names += [r["RoleName"] for r in page["RoleDetailList"]] + [
            p["PolicyName"] for p in page["Policies"]
        ]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert names[:4] == ["ann", "g", "r", "mine"]
    assert len(names) == len(set(names)) > 30
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["Users"], summary["Groups"], summary["Roles"], summary["InstanceProfiles"]) == (
        1,
        1,
        1,
        1,
    )
    assert (summary["AttachedPoliciesPerRoleQuota"], summary["VersionsPerPolicyQuota"]) == (10, 5)
    refused("ValidationError", iam.get_account_authorization_details, "Invalid Marker.", Marker="!")


def test_a_service_linked_role_is_its_services_and_nobody_elses(client, iam):
    """Messages recorded from AWS: test_iam of LocalStack."""
    made = iam.create_service_linked_role(AWSServiceName="batch.amazonaws.com")["Role"]
    assert (
        made["Arn"]
        == "arn:aws:iam::000000000000:role/aws-service-role/batch.amazonaws.com/AWSServiceRoleForBatch"
    )
    refused(
        "InvalidInput",
        iam.create_service_linked_role,
        "Service role name AWSServiceRoleForBatch has been taken in this account, please try a different suffix.",
        AWSServiceName="batch.amazonaws.com",
    )
    refused(
        "InvalidInput",
        iam.create_service_linked_role,
        "Custom suffix is not allowed for batch.amazonaws.com",
        AWSServiceName="batch.amazonaws.com",
        CustomSuffix="x",
    )
    suffixed = iam.create_service_linked_role(
        AWSServiceName="autoscaling.amazonaws.com", CustomSuffix="x"
    )["Role"]
    assert suffixed["RoleName"] == "AWSServiceRoleForAutoScaling_x"
    named = {"RoleName": "AWSServiceRoleForBatch"}
    for call, more in (
        (iam.delete_role, {}),
        (iam.put_role_policy, {"PolicyName": "p", "PolicyDocument": EVERYTHING}),
        (iam.update_assume_role_policy, {"PolicyDocument": TRUST}),
        (iam.tag_role, {"Tags": [{"Key": "a", "Value": "b"}]}),
        (iam.attach_role_policy, {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}),
    ):
        refused("UnmodifiableEntity", call, "this role is only modifiable by AWS", **named, **more)
    task = iam.delete_service_linked_role(**named)["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    refused("NoSuchEntity", iam.get_role, **named)


def test_identity_providers_are_kept_with_aws_words_for_what_is_wrong(iam):
    """Messages recorded from AWS: test_iam_oidc and test_iam_saml_providers of LocalStack."""
    url = "https://oidc.example.com/path"
    arn = iam.create_open_id_connect_provider(
        Url=url, ClientIDList=["c1"], ThumbprintList=["B" * 40], Tags=[{"Key": "k", "Value": "v"}]
    )["OpenIDConnectProviderArn"]
    assert arn == "arn:aws:iam::000000000000:oidc-provider/oidc.example.com/path"
    named = {"OpenIDConnectProviderArn": arn}
    iam.add_client_id_to_open_id_connect_provider(**named, ClientID="c2")
    iam.remove_client_id_from_open_id_connect_provider(**named, ClientID="c1")
    iam.update_open_id_connect_provider_thumbprint(**named, ThumbprintList=["c" * 40])
    found = iam.get_open_id_connect_provider(**named)
    assert (found["Url"], found["ClientIDList"], found["ThumbprintList"]) == (
        "oidc.example.com/path",
        ["c2"],
        ["c" * 40],
    )
    assert iam.list_open_id_connect_provider_tags(**named)["Tags"] == [{"Key": "k", "Value": "v"}]
    refused(
        "EntityAlreadyExists",
        iam.create_open_id_connect_provider,
        f"Provider with url {url} already exists.",
        Url=url,
    )
    refused(
        "ValidationError",
        iam.create_open_id_connect_provider,
        "Invalid Open ID Connect Provider URL",
        Url="http://x.example.com",
    )
    refused(
        "InvalidInput",
        iam.create_open_id_connect_provider,
        "Thumbprint list must contain fewer than 5 entries.",
        Url="https://y.example.com",
        ThumbprintList=[f"{n:040}" for n in range(6)],
    )
    refused(
        "LimitExceeded",
        iam.create_open_id_connect_provider,
        "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100",
        Url="https://y.example.com",
        ClientIDList=[f"c{n}" for n in range(101)],
    )
    iam.delete_open_id_connect_provider(**named)
    refused(
        "NoSuchEntity",
        iam.get_open_id_connect_provider,
        f"OpenIDConnect Provider not found for arn {arn}",
        **named,
    )
    refused(
        "NoSuchEntity",
        iam.delete_open_id_connect_provider,
        f"OpenId connect Provider {arn} cannot be found.",
        **named,
    )

    metadata = '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.example.com"><IDPSSODescriptor/></EntityDescriptor>'
    metadata += "<!-- " + "x" * 1000 + " -->"
    saml = iam.create_saml_provider(Name="idp", SAMLMetadataDocument=metadata)["SAMLProviderArn"]
    assert saml == "arn:aws:iam::000000000000:saml-provider/idp"
    assert iam.get_saml_provider(SAMLProviderArn=saml)["SAMLMetadataDocument"] == metadata
    assert [p["Arn"] for p in iam.list_saml_providers()["SAMLProviderList"]] == [saml]
    refused(
        "InvalidInput",
        iam.update_saml_provider,
        SAMLProviderArn=saml,
        SAMLMetadataDocument="<!DOCTYPE x>" + metadata,
    )
    iam.delete_saml_provider(SAMLProviderArn=saml)
    refused(
        "NoSuchEntity",
        iam.get_saml_provider,
        f"Manifest not found for arn {saml}",
        SAMLProviderArn=saml,
    )


def certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x.example.com")])
    day = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(day)
        .not_valid_after(day.replace(year=2031))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_certificates_and_ssh_keys_are_kept_and_checked(client, iam):
    """Messages recorded from AWS: test_iam_server_certificates, _signing_certificates and _ssh_public_keys of LocalStack."""
    key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
    body = certificate(key)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    named = {"ServerCertificateName": "web"}
    made = iam.upload_server_certificate(**named, CertificateBody=body, PrivateKey=pem, Path="/a/")[
        "ServerCertificateMetadata"
    ]
    assert made["Arn"] == "arn:aws:iam::000000000000:server-certificate/a/web"
    assert made["Expiration"].year == 2031
    refused(
        "EntityAlreadyExists",
        iam.upload_server_certificate,
        "The Server Certificate with name web already exists.",
        **named,
        CertificateBody=body,
        PrivateKey=pem,
    )
    refused(
        "KeyPairMismatch",
        iam.upload_server_certificate,
        ServerCertificateName="x",
        CertificateBody=certificate(other),
        PrivateKey=pem,
    )
    found = iam.get_server_certificate(**named)["ServerCertificate"]
    assert (found["CertificateBody"], found["Tags"], "PrivateKey" in found) == (
        body.strip(),
        [],
        False,
    ) or found["CertificateBody"] == body
    iam.update_server_certificate(**named, NewServerCertificateName="web2")
    refused(
        "NoSuchEntity",
        iam.get_server_certificate,
        "The Server Certificate with name web cannot be found.",
        **named,
    )
    iam.delete_server_certificate(ServerCertificateName="web2")

    signing = iam.upload_signing_certificate(UserName="ann", CertificateBody=body)["Certificate"]
    refused(
        "MalformedCertificate",
        iam.upload_signing_certificate,
        "Certificate invalid-certificate-body is malformed.",
        UserName="ann",
        CertificateBody="invalid-certificate-body",
    )
    iam.update_signing_certificate(
        UserName="ann", CertificateId=signing["CertificateId"], Status="Inactive"
    )
    assert iam.list_signing_certificates(UserName="ann")["Certificates"][0]["Status"] == "Inactive"
    iam.upload_signing_certificate(UserName="ann", CertificateBody=certificate(other))
    refused(
        "LimitExceeded",
        iam.upload_signing_certificate,
        "Cannot exceed quota for CertificatesPerUser: 2",
        UserName="ann",
        CertificateBody=certificate(other),
    )

    spoken = (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
    ssh = iam.upload_ssh_public_key(UserName="ann", SSHPublicKeyBody=spoken)["SSHPublicKey"]
    assert len(ssh["Fingerprint"].split(":")) == 16
    got = iam.get_ssh_public_key(
        UserName="ann", SSHPublicKeyId=ssh["SSHPublicKeyId"], Encoding="PEM"
    )["SSHPublicKey"]
    assert got["SSHPublicKeyBody"].startswith("-----BEGIN PUBLIC KEY-----")
    refused(
        "DuplicateSSHPublicKey", iam.upload_ssh_public_key, UserName="ann", SSHPublicKeyBody=spoken
    )
    refused(
        "InvalidPublicKey",
        iam.upload_ssh_public_key,
        UserName="ann",
        SSHPublicKeyBody="ssh-rsa AAAA",
    )
    refused(
        "NoSuchEntity",
        iam.get_ssh_public_key,
        "The Public Key with id APKAXXXXXXXXXXXXXXXXX cannot be found.",
        UserName="ann",
        SSHPublicKeyId="APKAXXXXXXXXXXXXXXXXX",
        Encoding="SSH",
    )
    refused("DeleteConflict", iam.delete_user, "must delete signing certificate", UserName="ann")
    iam.update_user(UserName="ann", NewUserName="bob")
    assert len(iam.list_signing_certificates(UserName="bob")["Certificates"]) == 2
    assert iam.list_ssh_public_keys(UserName="bob")["SSHPublicKeys"][0]["UserName"] == "bob"


def test_tags_are_held_to_their_rules(iam):
    """Messages recorded from AWS: test_iam_roles and test_iam_policies of LocalStack."""
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    refused(
        "InvalidInput",
        iam.create_role,
        "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        RoleName="r",
        AssumeRolePolicyDocument=TRUST,
        Tags=twice,
    )
    refused(
        "InvalidInput",
        iam.tag_user,
        "Duplicate tag keys found. Please note",
        UserName="ann",
        Tags=twice,
    )
    made = iam.create_policy(PolicyName="p", PolicyDocument=EVERYTHING, Tags=twice)["Policy"]
    assert made["Tags"] == twice
    assert iam.list_policy_tags(PolicyArn=made["Arn"])["Tags"] == twice[::-1]
    refused(
        "InvalidInput",
        iam.tag_policy,
        "Duplicate tag keys found.",
        PolicyArn=made["Arn"],
        Tags=[twice[0]] * 2,
    )
    refused(
        "ValidationError",
        iam.tag_user,
        "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50",
        UserName="ann",
        Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(51)],
    )
    refused(
        "ValidationError",
        iam.tag_user,
        "1 validation error detected: Value at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal to 128",
        UserName="ann",
        Tags=[{"Key": "k" * 129, "Value": "v"}],
    )
    device = iam.create_virtual_mfa_device(
        VirtualMFADeviceName="phone", Tags=[{"Key": "a", "Value": "1"}]
    )["VirtualMFADevice"]
    iam.tag_mfa_device(SerialNumber=device["SerialNumber"], Tags=[{"Key": "b", "Value": "2"}])
    iam.untag_mfa_device(SerialNumber=device["SerialNumber"], TagKeys=["a"])
    assert iam.list_mfa_device_tags(SerialNumber=device["SerialNumber"])["Tags"] == [
        {"Key": "b", "Value": "2"}
    ]
    refused(
        "EntityAlreadyExists",
        iam.create_virtual_mfa_device,
        "MFA device already exists.",
        VirtualMFADeviceName="phone",
    )
    absent = "arn:aws:iam::000000000000:mfa/nonexistent-device"
    refused(
        "NoSuchEntity",
        iam.delete_virtual_mfa_device,
        f"MFA Device with serial number {absent} does not exist.",
        SerialNumber=absent,
    )


def test_what_aws_bounds_is_bounded(iam):
    """reference_iam-quotas.html"""
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST)
    big = policy(
        {"Effect": "Allow", "Action": [f"s3:Get{n:04}" for n in range(200)], "Resource": "*"}
    )
    refused(
        "LimitExceeded",
        iam.put_user_policy,
        "Maximum policy size of 2048 bytes exceeded for user ann",
        UserName="ann",
        PolicyName="p",
        PolicyDocument=big,
    )
    iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=big)
    huge = policy(
        {"Effect": "Allow", "Action": [f"s3:Get{n:04}" for n in range(500)], "Resource": "*"}
    )
    refused(
        "LimitExceeded",
        iam.create_policy,
        "Cannot exceed quota for PolicySize: 6144",
        PolicyName="p",
        PolicyDocument=huge,
    )
    refused(
        "LimitExceeded",
        iam.create_role,
        "Cannot exceed quota for ACLSizePerRole: 2048",
        RoleName="x",
        AssumeRolePolicyDocument=policy(
            {
                "Effect": "Allow",
                "Principal": {"AWS": [f"{n:012}" for n in range(200)]},
                "Action": "sts:AssumeRole",
            }
        ),
    )
    for number in range(10):
        arn = iam.create_policy(PolicyName=f"p{number}", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
        iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    more = iam.create_policy(PolicyName="more", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
    refused(
        "LimitExceeded",
        iam.attach_role_policy,
        "Cannot exceed quota for PoliciesPerRole: 10",
        RoleName="r",
        PolicyArn=more,
    )
    refused(
        "ValidationError",
        iam.attach_role_policy,
        "ARN longpolicynamebutnoarn is not valid.",
        RoleName="r",
        PolicyArn="longpolicynamebutnoarn",
    )
    refused(
        "MalformedPolicyDocument",
        iam.create_role,
        'Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:user/nobody"',
        RoleName="x",
        AssumeRolePolicyDocument=policy(
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::000000000000:user/nobody"},
                "Action": "sts:AssumeRole",
            }
        ),
    )
    iam.put_user_permissions_boundary(UserName="ann", PermissionsBoundary=more)
    assert iam.get_policy(PolicyArn=more)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    refused("DeleteConflict", iam.delete_policy, PolicyArn=more)
    iam.delete_user_permissions_boundary(UserName="ann")
    iam.delete_policy(PolicyArn=more)
    assert (
        iam.update_role_description(RoleName="r", Description="new")["Role"]["Description"] == "new"
    )


def test_a_condition_on_iam_itself_sees_boundary_policy_and_tags(client, iam):
    """access_policies_boundaries.html: a delegate may only make users that are bounded."""
    bound = iam.create_policy(PolicyName="bound", PolicyDocument=EVERYTHING)["Policy"]["Arn"]
    iam.put_user_policy(
        UserName="ann",
        PolicyName="p",
        PolicyDocument=policy(
            {
                "Effect": "Allow",
                "Action": "iam:CreateUser",
                "Resource": "*",
                "Condition": {"StringEquals": {"iam:PermissionsBoundary": bound}},
            },
            {
                "Effect": "Allow",
                "Action": "iam:AttachUserPolicy",
                "Resource": "*",
                "Condition": {
                    "ArnLike": {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonS3*"},
                    "StringEquals": {"iam:ResourceTag/team": "red"},
                },
            },
        ),
    )
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    refused("AccessDenied", ann.create_user, UserName="free")
    ann.create_user(UserName="bounded", PermissionsBoundary=bound)
    s3, admin = (
        f"arn:aws:iam::aws:policy/{n}" for n in ("AmazonS3ReadOnlyAccess", "AdministratorAccess")
    )
    refused("AccessDenied", ann.attach_user_policy, UserName="bounded", PolicyArn=s3)
    iam.tag_user(UserName="bounded", Tags=[{"Key": "team", "Value": "red"}])
    ann.attach_user_policy(UserName="bounded", PolicyArn=s3)
    refused("AccessDenied", ann.attach_user_policy, UserName="bounded", PolicyArn=admin)
