"""What KMS answers word for word, and what a key's policy and a grant can ask of a request."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

DAY_S = 86_400
RECORDED = "https://github.com/localstack/localstack/blob/main/tests/aws/services/kms/test_kms.snapshot.json"


@pytest.fixture
def kms(client):
    return client("kms")


def refused(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    said = error.value.response["Error"]
    return f"{said['Code']}: {said['Message']}"


def make(kms, **more):
    return kms.create_key(**more)["KeyMetadata"]["KeyId"]


def arn(key, region="us-east-1"):
    return f"arn:aws:kms:{region}:000000000000:key/{key}"


def travel(platform, seconds):
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))


def test_errors_are_as_aws_was_recorded_to_say_them(client, kms):
    """RECORDED: the messages of its tests, one by one."""
    assert refused(kms.generate_random) == "ValidationException: NumberOfBytes is required."
    assert refused(kms.generate_random, NumberOfBytes=1025) == (
        "ValidationException: 1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy"
        " constraint: Member must have value less than or equal to 1024"
    )
    key = make(kms)
    there = client("kms", region="us-west-2")
    assert refused(there.describe_key, KeyId=arn(key)) == "NotFoundException: Invalid arn us-east-1"
    assert refused(kms.create_alias, AliasName="name", TargetKeyId=key) == (
        'ValidationException: Alias must start with the prefix "alias/". Please see'
        " https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
    )
    many = [{"TagKey": f"k{n}", "TagValue": "v"} for n in range(51)]
    assert refused(kms.create_key, Tags=many) == "TagException: Too many tags"
    assert refused(kms.create_key, Tags=[{"TagKey": "AWS:x", "TagValue": "v"}]) == (
        "TagException: Tags beginning with aws: are reserved"
    )
    mac = make(kms, KeySpec="HMAC_224", KeyUsage="GENERATE_VERIFY_MAC")
    assert refused(kms.generate_mac, KeyId=mac, Message=b"x", MacAlgorithm="HMAC_SHA_256") == (
        "InvalidKeyUsageException: Algorithm HMAC_SHA_256 is incompatible with key spec HMAC_224."
    )
    agreeing = make(kms, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    asked = {"KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": b"no key"}
    assert refused(kms.derive_shared_secret, **asked) == "ValidationException: "


@pytest.mark.parametrize(
    ("algorithm", "most"), [("RSAES_OAEP_SHA_1", 214), ("RSAES_OAEP_SHA_256", 190)]
)
def test_how_much_an_rsa_key_encrypts(kms, algorithm, most):
    """RECORDED: test_encrypt_validate_plaintext_size_per_key_type."""
    key = make(kms, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    asked = {"KeyId": key, "EncryptionAlgorithm": algorithm}
    kms.encrypt(**asked, Plaintext=b"x" * most)
    assert refused(kms.encrypt, **asked, Plaintext=b"x" * (most + 1)) == (
        f"ValidationException: Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than {most} bytes."
    )


def test_rotation_says_no_as_aws_does(kms, platform):
    """RECORDED: test_rotate_key_on_demand_..., test_key_rotations_limits; and the API page of GetKeyRotationStatus."""
    key, pair = make(kms), make(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    assert refused(kms.rotate_key_on_demand, KeyId=pair) == "UnsupportedOperationException: "
    assert refused(kms.list_key_rotations, KeyId=pair) == "UnsupportedOperationException: "
    assert kms.get_key_rotation_status(KeyId=pair)["KeyRotationEnabled"] is False
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)
    assert refused(kms.rotate_key_on_demand, KeyId=key) == (
        "LimitExceededException: The on-demand rotations limit has been reached for the given keyId. No more"
        f" on-demand rotations can be performed for this key: {arn(key)}"
    )
    kms.enable_key_rotation(KeyId=key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    kms.cancel_key_deletion(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True


def test_what_is_listed_comes_in_pages(kms):
    """Rotations, tags, and the grants of one grantee; a marker of another list is none."""
    key = make(kms, Tags=[{"TagKey": f"k{n:02}", "TagValue": "v"} for n in range(5)])
    for _ in range(4):
        kms.rotate_key_on_demand(KeyId=key)
    tags = kms.get_paginator("list_resource_tags").paginate(
        KeyId=key, PaginationConfig={"PageSize": 2}
    )
    pages = [[tag["TagKey"] for tag in page["Tags"]] for page in tags]
    assert pages == [["k00", "k01"], ["k02", "k03"], ["k04"]]
    asked = {"KeyId": key, "IncludeKeyMaterial": "ALL_KEY_MATERIAL", "Limit": 2}
    first = kms.list_key_rotations(**asked)
    second = kms.list_key_rotations(**asked, Marker=first["NextMarker"])
    third = kms.list_key_rotations(**asked, Marker=second["NextMarker"])
    shown = [len(page["Rotations"]) for page in (first, second, third)]
    assert (shown, third["Truncated"]) == ([2, 2, 1], False)
    states = [r["KeyMaterialState"] for page in (first, third) for r in page["Rotations"]]
    assert states == ["NON_CURRENT", "NON_CURRENT", "CURRENT"]
    assert refused(kms.list_key_rotations, KeyId=key, Marker="none") == (
        "InvalidMarkerException: The marker is not valid."
    )
    root = "arn:aws:iam::000000000000:root"
    for call, asked in (
        (kms.list_keys, {}),
        (kms.list_aliases, {}),
        (kms.list_grants, {"KeyId": key}),
        (kms.list_retirable_grants, {"RetiringPrincipal": root}),
    ):
        assert refused(call, **asked, Marker="none").startswith("InvalidMarkerException: ")
    made = {
        kms.create_grant(KeyId=key, GranteePrincipal=root, Operations=["Encrypt"])["GrantId"]
        for _ in range(3)
    }
    asked = {"KeyId": key, "GranteePrincipal": root, "Limit": 2}
    first = kms.list_grants(**asked)
    second = kms.list_grants(**asked, Marker=first["NextMarker"])
    assert (len(first["Grants"]), second["Truncated"]) == (2, False)
    assert {g["GrantId"] for page in (first, second) for g in page["Grants"]} == made
    assert kms.list_keys(ResourceOwners=["SELF"])["Keys"] == kms.list_keys()["Keys"]
    assert "OTHER_ACCOUNTS_VIA_RAM" in refused(
        kms.list_keys, ResourceOwners=["OTHER_ACCOUNTS_VIA_RAM"]
    )


def imported(kms, key, material, **more):
    asked = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    given = kms.get_parameters_for_import(KeyId=key, **asked)
    public = serialization.load_der_public_key(given["PublicKey"])
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    return {
        "KeyId": key,
        "ImportToken": given["ImportToken"],
        "EncryptedKeyMaterial": public.encrypt(material, oaep),
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
        **more,
    }


def test_one_new_material_waits_at_a_time(kms):
    """RECORDED: test_import_key_material_raises_if_there_is_already_key_material_pending, ..._no_pending_key_material."""
    key = make(kms, Origin="EXTERNAL")
    assert refused(kms.rotate_key_on_demand, KeyId=key) == (
        f"KMSInvalidStateException: {arn(key)} is pending import."
    )
    kms.import_key_material(**imported(kms, key, b"1" * 32))
    assert refused(kms.rotate_key_on_demand, KeyId=key) == (
        f"KMSInvalidStateException: No available key material pending rotation for the key: {arn(key)}."
    )
    new = {"ImportType": "NEW_KEY_MATERIAL"}
    waits = kms.import_key_material(**imported(kms, key, b"2" * 32, **new))["KeyMaterialId"]
    said = refused(kms.import_key_material, **imported(kms, key, b"3" * 32, **new))
    assert said.startswith("KMSInvalidStateException: New key material (id: ")
    assert said.endswith(
        f" cannot be imported into KMS key {key}, because another key material (id: {waits}) is pending rotation."
    )
    kms.rotate_key_on_demand(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] == waits


def test_only_a_primary_key_is_replicated(client, kms):
    """RECORDED: test_replicate_replica_key_should_fail."""
    key = make(kms, MultiRegion=True)
    kms.replicate_key(KeyId=key, ReplicaRegion="us-west-2")
    there = client("kms", region="us-west-2")
    assert refused(there.replicate_key, KeyId=key, ReplicaRegion="eu-west-1") == (
        f"UnsupportedOperationException: {arn(key, 'us-west-2')} is not a multi-region primary key."
    )


def test_a_dry_run_may_ignore_the_ciphertext(client, kms):
    """https://docs.aws.amazon.com/kms/latest/developerguide/testing-permissions.html: authorization alone, of a named key."""
    key, other = make(kms), make(kms)
    asked = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
    done = (
        "DryRunOperationException: The request would have succeeded, but the DryRun option is set."
    )
    assert refused(kms.decrypt, KeyId=key, **asked) == done
    both = {"SourceKeyId": key, "DestinationKeyId": other}
    assert refused(kms.re_encrypt, **both, **asked) == done
    assert refused(kms.decrypt, **asked).startswith("ValidationException: ")
    assert refused(kms.re_encrypt, DestinationKeyId=other, **asked).startswith(
        "ValidationException"
    )
    assert refused(kms.decrypt, KeyId=key, DryRunModifiers=["IGNORE_CIPHERTEXT"]) == (
        "ValidationException: DryRunModifiers can only be specified when DryRun is true."
    )
    nobody, _ = user(client, "nobody", {"Action": "s3:*"})
    assert refused(nobody.decrypt, KeyId=key, **asked).startswith("AccessDeniedException")
    kms.disable_key(KeyId=key)
    assert refused(kms.decrypt, KeyId=key, **asked).startswith("DisabledException")


def user(client, name, *statements):
    iam = client("iam")
    iam.create_user(UserName=name)
    listed = [{"Effect": "Allow", "Resource": "*", **one} for one in statements]
    policy = json.dumps({"Version": "2012-10-17", "Statement": listed})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    made = client("kms", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    return made, f"arn:aws:iam::000000000000:user/{name}"


def allowed(call, **request):
    try:
        call(**request)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in ("AccessDeniedException", "DryRunOperationException"):
            raise
        return code != "AccessDeniedException"
    return True


def equals(**keys):
    return {"StringEquals": {f"kms:{name}": value for name, value in keys.items()}}


CONDITIONS = [
    # a data key's spec is not the key's: kms:KeySpec is of the KMS key
    ("generate_data_key", equals(KeySpec="SYMMETRIC_DEFAULT"), {"KeySpec": "AES_256"}, None),
    ("generate_data_key", equals(CustomerMasterKeySpec="SYMMETRIC_DEFAULT", CustomerMasterKeyUsage="ENCRYPT_DECRYPT"), {"KeySpec": "AES_128"}, None),
    ("generate_data_key", equals(KeySpec="AES_256"), None, {"KeySpec": "AES_256"}),
    ("generate_data_key", equals(EncryptionAlgorithm="SYMMETRIC_DEFAULT"), {"KeySpec": "AES_256"}, None),
    ("generate_data_key_pair_without_plaintext", equals(DataKeyPairSpec="ECC_NIST_P256"), {"KeyPairSpec": "ECC_NIST_P256"}, {"KeyPairSpec": "ECC_NIST_P384"}),
    ("encrypt", equals(RequestAlias="alias/one"), {"KeyId": "alias/one", "Plaintext": b"x"}, {"Plaintext": b"x"}),
    ("encrypt", {"ForAnyValue:StringLike": {"kms:ResourceAliases": "alias/o*"}}, {"Plaintext": b"x"}, None),
    ("put_key_policy", {"Bool": {"kms:BypassPolicyLockoutSafetyCheck": "false"}}, {"BypassPolicyLockoutSafetyCheck": False}, {"BypassPolicyLockoutSafetyCheck": True}),
    ("schedule_key_deletion", {"NumericGreaterThanEquals": {"kms:ScheduleKeyDeletionPendingWindowInDays": "20"}}, {"PendingWindowInDays": 21}, {"PendingWindowInDays": 8}),
    ("enable_key_rotation", {"NumericLessThanEquals": {"kms:RotationPeriodInDays": "100"}}, {"RotationPeriodInDays": 90}, {"RotationPeriodInDays": 400}),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "condition", "good", "bad"), CONDITIONS)
def test_a_condition_holds_for_what_it_says(client, kms, operation, condition, good, bad):
    """https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html"""
    key = make(kms)
    kms.create_alias(AliasName="alias/one", TargetKeyId=key)
    action = "kms:" + "".join(word.capitalize() for word in operation.split("_"))
    able, _ = user(client, "able", {"Action": action, "Condition": condition})
    common = {"KeyId": key}
    if operation == "put_key_policy":
        common["Policy"] = kms.get_key_policy(KeyId=key)["Policy"]
    for request, expected in ((bad, False), (good, True)):
        if request is not None:
            assert allowed(getattr(able, operation), **{**common, **request}) is expected, request


def test_creating_is_judged_by_what_is_created(client, kms):
    able, _ = user(client, "able", {"Action": "kms:CreateKey", "Condition": equals(KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT")})  # fmt: skip
    assert allowed(able.create_key)
    assert not allowed(able.create_key, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")


def test_signing_and_agreeing_are_judged_by_their_algorithms(client, kms):
    signer = make(kms, KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    agreeing = make(kms, KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    able, _ = user(
        client, "able",
        {"Action": "kms:Sign", "Condition": equals(MessageType="RAW")},
        {"Action": "kms:DeriveSharedSecret", "Condition": equals(KeyAgreementAlgorithm="ECDH")},
    )  # fmt: skip
    asked = {"KeyId": signer, "SigningAlgorithm": "ECDSA_SHA_256"}
    assert allowed(able.sign, **asked, Message=b"x")  # RAW is the default
    assert not allowed(able.sign, **asked, Message=b"x" * 32, MessageType="DIGEST")
    public = kms.get_public_key(KeyId=agreeing)["PublicKey"]
    asked = {"KeyId": agreeing, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public}
    assert allowed(able.derive_shared_secret, **asked)


def test_encrypting_anew_is_judged_on_both_sides(client, kms):
    """kms:ReEncryptOnSameKey, and the alias each side was named by."""
    one, two = make(kms), make(kms)
    for name, key in (("one", one), ("two", two)):
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=key)
    sealed = kms.encrypt(KeyId=one, Plaintext=b"x")["CiphertextBlob"]
    same, _ = user(client, "same", {"Action": "kms:ReEncrypt*", "Condition": {"Bool": {"kms:ReEncryptOnSameKey": "true"}}})  # fmt: skip
    assert allowed(same.re_encrypt, CiphertextBlob=sealed, DestinationKeyId=one)
    assert not allowed(same.re_encrypt, CiphertextBlob=sealed, DestinationKeyId=two)
    named, _ = user(
        client, "named",
        {"Action": "kms:ReEncryptFrom", "Condition": equals(RequestAlias="alias/one")},
        {"Action": "kms:ReEncryptTo", "Condition": equals(RequestAlias="alias/two")},
    )  # fmt: skip
    asked = {"CiphertextBlob": sealed, "DestinationKeyId": "alias/two"}
    assert allowed(named.re_encrypt, **asked, SourceKeyId="alias/one")
    assert not allowed(named.re_encrypt, **asked, SourceKeyId=one)


def test_grants_are_judged_by_their_constraints(client, kms):
    """kms:GrantConstraintType and kms:EncryptionContext of what the new grant is bound to."""
    key = make(kms)
    able, ables = user(
        client, "able",
        {"Action": "kms:CreateGrant", "Condition": {
            "ForAnyValue:StringEquals": {"kms:GrantConstraintType": "EncryptionContextEquals"},
            "StringEquals": {"kms:EncryptionContext:for": "me"},
        }},
    )  # fmt: skip
    asked = {"KeyId": key, "GranteePrincipal": ables, "Operations": ["Decrypt"]}
    assert allowed(
        able.create_grant, **asked, Constraints={"EncryptionContextEquals": {"for": "me"}}
    )
    for other in (
        {},
        {"EncryptionContextSubset": {"for": "me"}},
        {"EncryptionContextEquals": {"for": "you"}},
    ):
        assert not allowed(able.create_grant, **asked, Constraints=other)


def test_who_creates_grants_by_a_grant_gives_away_no_more_than_it_has(client, kms):
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateGrant.html, of Constraints: equally strict or stricter."""
    key = make(kms)
    middle, middles = user(client, "middle", {"Action": "s3:*"})
    _, last = user(client, "last", {"Action": "s3:*"})
    bound = {"EncryptionContextEquals": {"for": "x"}}
    kms.create_grant(
        KeyId=key, GranteePrincipal=middles, Operations=["CreateGrant", "Decrypt", "DescribeKey"], Constraints=bound
    )  # fmt: skip
    asked = {"KeyId": key, "GranteePrincipal": last}
    assert allowed(middle.create_grant, **asked, Operations=["Decrypt"], Constraints=bound)
    assert allowed(middle.describe_key, KeyId=key)  # the constraint is not asked of it
    assert not allowed(middle.create_grant, **asked, Operations=["Encrypt"], Constraints=bound)
    for weaker in ({}, {"EncryptionContextSubset": {"for": "x"}}):
        assert not allowed(middle.create_grant, **asked, Operations=["Decrypt"], Constraints=weaker)


def test_a_grant_for_a_source_is_for_that_source_alone(client, kms):
    """https://docs.aws.amazon.com/kms/latest/APIReference/API_GrantConstraints.html: as aws:SourceArn."""
    key = make(kms)
    guest, guests = user(client, "guest", {"Action": "s3:*"})
    source = {"SourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:mine"}
    kms.create_grant(KeyId=key, GranteePrincipal=guests, Operations=["Encrypt"], Constraints=source)
    assert not allowed(guest.encrypt, KeyId=key, Plaintext=b"x")
    service = {
        "KeyId": key,
        "GranteeServicePrincipal": "logs.amazonaws.com",
        "Operations": ["Encrypt"],
    }
    assert "SourceArn" in refused(kms.create_grant, **service)
    assert "RetiringServicePrincipal" in refused(kms.create_grant, **service, Constraints=source)
    both = {**service, "GranteePrincipal": guests, "Constraints": source}
    assert "not both" in refused(kms.create_grant, **both)
    made = kms.create_grant(**service, Constraints=source, RetiringPrincipal=guests)
    (found,) = kms.list_grants(KeyId=key, GrantId=made["GrantId"])["Grants"]
    assert (found["GranteeServicePrincipal"], found["Constraints"]) == (
        "logs.amazonaws.com",
        source,
    )
    assert "GranteePrincipal" not in found
    assert "service principal" in refused(
        kms.list_grants, KeyId=key, GranteeServicePrincipal="logs.amazonaws.com"
    )
    guest.retire_grant(GrantToken=made["GrantToken"])
    assert kms.list_grants(KeyId=key, GrantId=made["GrantId"])["Grants"] == []


def test_a_service_uses_what_it_was_granted_for_the_source(client, kms, platform):
    """The grant's SourceArn is held against the ARN that the service calls on behalf of."""
    key = make(kms)
    kms.create_grant(
        KeyId=key, GranteeServicePrincipal="logs.amazonaws.com", Operations=["Encrypt"],
        Constraints={"SourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:mine"}, RetiringServicePrincipal="logs.amazonaws.com",
    )  # fmt: skip

    def used(source):
        call = platform.cloud.call("000000000000", "us-east-1", "t").as_service(
            "logs.amazonaws.com", source
        )
        return platform.run(call.request("kms", "Encrypt", {"KeyId": key, "Plaintext": b"x"}))

    assert used("arn:aws:logs:us-east-1:000000000000:log-group:mine")["KeyId"] == arn(key)
    with pytest.raises(Exception, match="not authorized"):
        used("arn:aws:logs:us-east-1:000000000000:log-group:another")


OFF, GOING, STAYS, WAITS = (
    "DisabledException: {} is disabled.",
    "KMSInvalidStateException: {} is pending deletion.",
    "KMSInvalidStateException: {} is not pending deletion.",
    "KMSInvalidStateException: {} is pending import.",
)
NATIVE = (
    "UnsupportedOperationException: {} origin is AWS_KMS which is not valid for this operation."
)
BROUGHT = (
    "UnsupportedOperationException: {} origin is EXTERNAL which is not valid for this operation."
)
STATES = [
    # operation, what else it is asked, Enabled, Disabled, PendingDeletion, PendingImport; "" succeeds, None is not tried
    ("cancel_key_deletion", {}, STAYS, STAYS, "", STAYS),
    ("create_alias", {"AliasName": "alias/x"}, "", "", GOING, ""),
    ("create_grant", {"GranteePrincipal": "arn:aws:iam::000000000000:root", "Operations": ["Encrypt"]}, "", OFF, GOING, WAITS),
    ("encrypt", {"Plaintext": b"x"}, "", OFF, GOING, WAITS),
    ("generate_data_key", {"KeySpec": "AES_256"}, "", OFF, GOING, WAITS),
    ("generate_data_key_without_plaintext", {"KeySpec": "AES_256"}, "", OFF, GOING, WAITS),
    ("generate_data_key_pair", {"KeyPairSpec": "ECC_NIST_P256"}, "", OFF, GOING, WAITS),
    ("generate_data_key_pair_without_plaintext", {"KeyPairSpec": "ECC_NIST_P256"}, "", OFF, GOING, WAITS),
    ("describe_key", {}, "", "", "", ""),
    ("disable_key", {}, "", "", GOING, WAITS),
    ("enable_key", {}, "", "", GOING, WAITS),
    ("enable_key_rotation", {}, "", OFF, GOING, BROUGHT),
    ("disable_key_rotation", {}, "", OFF, GOING, BROUGHT),
    ("rotate_key_on_demand", {}, "", OFF, GOING, WAITS),
    ("get_key_policy", {}, "", "", "", ""),
    ("get_key_rotation_status", {}, "", "", "", None),
    ("get_parameters_for_import", {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}, NATIVE, NATIVE, NATIVE, ""),
    ("delete_imported_key_material", {}, NATIVE, NATIVE, NATIVE, ""),
    ("list_aliases", {}, "", "", "", ""),
    ("list_grants", {}, "", "", "", ""),
    ("list_key_policies", {}, "", "", "", ""),
    ("list_resource_tags", {}, "", "", "", ""),
    ("put_key_policy", {}, "", "", "", ""),
    ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}, "", "", GOING, ""),
    ("untag_resource", {"TagKeys": ["a"]}, "", "", GOING, ""),
    ("update_key_description", {"Description": "d"}, "", "", GOING, ""),
    ("schedule_key_deletion", {}, "", "", GOING, ""),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "asked", "on", "off", "going", "waits"), STATES)
def test_a_key_s_state_decides_what_is_done(kms, operation, asked, on, off, going, waits):
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html, row by row with its messages."""
    for name, wanted in (("on", on), ("off", off), ("going", going), ("waits", waits)):
        if wanted is None:
            continue
        key = make(kms, **({"Origin": "EXTERNAL"} if name == "waits" else {}))
        request = {"TargetKeyId" if operation == "create_alias" else "KeyId": key, **asked}
        if operation == "create_alias":
            request["AliasName"] = f"alias/{name}"
        if operation == "put_key_policy":
            request["Policy"] = kms.get_key_policy(KeyId=key)["Policy"]
        if name == "off":
            kms.disable_key(KeyId=key)
        if name == "going":
            kms.schedule_key_deletion(KeyId=key)
        if wanted:
            assert refused(getattr(kms, operation), **request) == wanted.format(arn(key)), name
        else:
            getattr(kms, operation)(**request)


def test_material_is_imported_again_while_the_key_is_off(kms):
    """The same page, ImportKeyMaterial: the key stays as it is."""
    key = make(kms, Origin="EXTERNAL")
    kms.import_key_material(**imported(kms, key, b"1" * 32))
    kms.disable_key(KeyId=key)
    kms.import_key_material(**imported(kms, key, b"1" * 32))
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"


def test_a_stack_may_lock_itself_out_of_a_key_if_it_says_so(client, kms):
    """AWS::KMS::Key's BypassPolicyLockoutSafetyCheck counts for an update as for the first policy."""
    cfn = client("cloudformation")

    def deployed(action, statement, **more):
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Resource": "*", **statement}],
        }
        properties = {"KeyPolicy": policy, **more}
        key = {"Type": "AWS::KMS::Key", "Properties": properties}
        body = json.dumps({"Resources": {"Key": key}, "Outputs": {"Id": {"Value": {"Ref": "Key"}}}})
        getattr(cfn, f"{action}_stack")(StackName="s", TemplateBody=body)
        waiter = cfn.get_waiter(f"stack_{action}_complete")
        waiter.wait(StackName="s", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200})

    mine = {"Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "kms:*"}
    others = {"Principal": {"AWS": "111111111111"}, "Action": "kms:Encrypt"}
    deployed("create", mine)
    deployed("update", others, BypassPolicyLockoutSafetyCheck=True)
    (stack,) = cfn.describe_stacks(StackName="s")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_COMPLETE"


def test_what_is_done_to_a_key_is_done_in_its_account(client, kms):
    """https://docs.aws.amazon.com/kms/latest/developerguide/kms-api-permissions-reference.html, cross-account use."""
    key = make(kms)
    root = {"Sid": "all", "Effect": "Allow", "Principal": {"AWS": ["000000000000", "111111111111"]}, "Action": "kms:*", "Resource": "*"}  # fmt: skip
    policy = json.dumps({"Version": "2012-10-17", "Statement": [root]})
    kms.put_key_policy(KeyId=key, Policy=policy)
    other = client("kms", account="111111111111")
    assert other.encrypt(KeyId=arn(key), Plaintext=b"x")["KeyId"] == arn(key)
    assert other.get_key_rotation_status(KeyId=arn(key))["KeyRotationEnabled"] is False
    for call, asked in (
        (other.put_key_policy, {"Policy": policy}),
        (other.disable_key, {}),
        (other.schedule_key_deletion, {}),
        (other.tag_resource, {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
        (other.list_key_rotations, {}),
    ):
        said = refused(call, KeyId=arn(key), **asked)
        assert said.startswith("AccessDeniedException: "), said
    said = refused(other.create_alias, AliasName="alias/theirs", TargetKeyId=arn(key))
    assert said.startswith("AccessDeniedException: "), said
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Enabled"


def test_tags_with_a_key_and_the_key_an_alias_leaves_need_leave_too(client, kms):
    """The API pages of CreateKey and UpdateAlias, required permissions."""
    able, _ = user(client, "able", {"Action": ["kms:CreateKey", "kms:UpdateAlias"]})
    assert allowed(able.create_key)
    assert not allowed(able.create_key, Tags=[{"TagKey": "a", "TagValue": "b"}])
    old, new = make(kms), make(kms)
    kms.create_alias(AliasName="alias/a", TargetKeyId=old)
    narrow, _ = user(
        client, "narrow", {"Action": "kms:UpdateAlias", "Resource": [arn(new), "arn:aws:kms:us-east-1:000000000000:alias/a"]}
    )  # fmt: skip
    assert not allowed(narrow.update_alias, AliasName="alias/a", TargetKeyId=new)
    assert allowed(able.update_alias, AliasName="alias/a", TargetKeyId=new)


def test_importing_is_judged_by_how_it_is_wrapped_and_how_long_it_stays(client, kms, platform):
    """kms:WrappingAlgorithm, kms:WrappingKeySpec, kms:ExpirationModel and kms:ValidTo."""
    key = make(kms, Origin="EXTERNAL")
    now_s = platform.run(platform.cloud.db.transact(lambda tx: tx.time_s))
    latest = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s + 10 * DAY_S))
    able, _ = user(
        client, "able",
        {"Action": "kms:GetParametersForImport", "Condition": equals(WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")},
        {"Action": "kms:ImportKeyMaterial", "Condition": {
            "StringEquals": {"kms:ExpirationModel": "KEY_MATERIAL_EXPIRES"}, "DateLessThan": {"kms:ValidTo": latest},
        }},
    )  # fmt: skip
    given = imported(able, key, b"1" * 32)
    assert not allowed(able.get_parameters_for_import, KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_3072")  # fmt: skip
    assert not allowed(able.import_key_material, **given)
    given["ExpirationModel"] = "KEY_MATERIAL_EXPIRES"
    assert not allowed(able.import_key_material, **given, ValidTo=now_s + 20 * DAY_S)
    assert allowed(able.import_key_material, **given, ValidTo=now_s + 5 * DAY_S)
