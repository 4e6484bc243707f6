"""KMS through boto3: nobody gets plaintext whom the key's policy, a grant and the context do not let have it."""

from __future__ import annotations

import hashlib
import json

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY_S = 86_400


@pytest.fixture
def kms(client):
    return client("kms")


def code(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"]


def make(kms, **more):
    return kms.create_key(**more)["KeyMetadata"]["KeyId"]


def travel(platform, seconds):
    cloud = platform.cloud
    platform.run(cloud.db.transact(lambda tx: cloud.clock.advance(tx, seconds)))


def test_what_is_encrypted_opens_under_the_same_context_only_also_after_a_restart(kms, platform):
    key = make(kms, Description="mine")
    context = {"a": "1", "b": "2"}
    made = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)
    assert b"secret" not in made["CiphertextBlob"]
    platform.reopen()
    opened = kms.decrypt(
        CiphertextBlob=made["CiphertextBlob"], EncryptionContext=dict(reversed(context.items()))
    )
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", made["KeyId"])
    blob = made["CiphertextBlob"]
    assert code(kms.decrypt, CiphertextBlob=blob) == "InvalidCiphertextException"
    assert (
        code(
            kms.decrypt, CiphertextBlob=blob[:-1] + bytes([blob[-1] ^ 1]), EncryptionContext=context
        )
        == "InvalidCiphertextException"
    )
    assert code(kms.decrypt, CiphertextBlob=b"nothing of ours" * 9) == "InvalidCiphertextException"
    other = make(kms)
    assert (
        code(kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
        == "IncorrectKeyException"
    )
    moved = kms.re_encrypt(
        CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other
    )
    assert (
        kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other)["Plaintext"] == b"secret"
    )


def test_data_keys_and_pairs_come_with_their_sealed_form(kms):
    key = make(kms)
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    assert len(made["Plaintext"]) == 32
    alone = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=7)
    assert len(kms.decrypt(CiphertextBlob=alone["CiphertextBlob"])["Plaintext"]) == 7
    pair = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    private = kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"]
    assert private == pair["PrivateKeyPlaintext"]
    public = serialization.load_der_private_key(private, None).public_key()
    shape = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public.public_bytes(*shape) == pair["PublicKey"]
    assert code(kms.generate_data_key, KeyId=key) == "ValidationException"


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [
        ("ECC_NIST_P256", "ECDSA_SHA_256"),
        ("ECC_SECG_P256K1", "ECDSA_SHA_256"),
        ("RSA_2048", "RSASSA_PSS_SHA_512"),
    ],
)
def test_signatures_hold_and_wrong_ones_do_not(kms, spec, algorithm):
    key = make(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    about = {"KeyId": key, "SigningAlgorithm": algorithm}
    signed = kms.sign(Message=b"hello", **about)["Signature"]
    assert kms.verify(Message=b"hello", Signature=signed, **about)["SignatureValid"] is True
    digest = hashlib.new(algorithm.rpartition("SHA_")[2].join(("sha", "")), b"hello").digest()
    assert kms.verify(Message=digest, MessageType="DIGEST", Signature=signed, **about)[
        "SignatureValid"
    ]
    assert (
        code(kms.verify, Message=b"hullo", Signature=signed, **about)
        == "KMSInvalidSignatureException"
    )
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    if spec.startswith("ECC"):
        public.verify(signed, b"hello", ec.ECDSA(hashes.SHA256()))
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x") == "InvalidKeyUsageException"


def test_macs_hold_and_rsa_encrypts(kms):
    key = make(kms, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    about = {"KeyId": key, "MacAlgorithm": "HMAC_SHA_256", "Message": b"m"}
    mac = kms.generate_mac(**about)["Mac"]
    assert kms.verify_mac(Mac=mac, **about)["MacValid"] is True
    assert (
        code(kms.verify_mac, Mac=mac[:-1] + bytes([mac[-1] ^ 1]), **about)
        == "KMSInvalidMacException"
    )
    rsa = make(kms, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    about = {"KeyId": rsa, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    sealed = kms.encrypt(Plaintext=b"short", **about)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed, **about)["Plaintext"] == b"short"
    assert code(kms.encrypt, Plaintext=b"x" * 300, **about) == "ValidationException"


def test_aliases_lead_to_keys_and_can_be_moved(kms):
    one, two = make(kms), make(kms)
    kms.create_alias(AliasName="alias/app", TargetKeyId=one)
    assert (
        code(kms.create_alias, AliasName="alias/app", TargetKeyId=two) == "AlreadyExistsException"
    )
    sealed = kms.encrypt(KeyId="alias/app", Plaintext=b"x")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/app", TargetKeyId=two)
    assert kms.describe_key(KeyId="alias/app")["KeyMetadata"]["KeyId"] == two
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    assert [a["AliasName"] for a in kms.list_aliases(KeyId=two)["Aliases"]] == ["alias/app"]
    kms.delete_alias(AliasName="alias/app")
    assert code(kms.encrypt, KeyId="alias/app", Plaintext=b"x") == "NotFoundException"
    assert code(kms.create_alias, AliasName="alias/aws/x", TargetKeyId=one) == "ValidationException"
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert (managed["KeyManager"], managed["Enabled"]) == ("AWS", True)


def test_a_key_that_is_off_or_going_does_nothing(kms, platform):
    key = make(kms)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    assert code(kms.decrypt, CiphertextBlob=sealed) == "DisabledException"
    kms.enable_key(KeyId=key)
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert code(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    travel(platform, 7 * DAY_S + 1)
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"


def test_rotation_keeps_what_was_sealed_before(kms, platform):
    key = make(kms)
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    travel(platform, 91 * DAY_S)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    kms.rotate_key_on_demand(KeyId=key)
    kinds = [r["RotationType"] for r in kms.list_key_rotations(KeyId=key)["Rotations"]]
    assert kinds == ["AUTOMATIC", "ON_DEMAND"]
    opened = [kms.decrypt(CiphertextBlob=one) for one in (old, new)]
    assert [one["Plaintext"] for one in opened] == [b"old", b"new"]
    assert opened[0]["KeyMaterialId"] != opened[1]["KeyMaterialId"]


def user(client, name, *actions):
    iam = client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    made = client("kms", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    return made, f"arn:aws:iam::000000000000:user/{name}"


def test_the_key_s_policy_decides_whether_identity_policies_count(client, kms):
    """https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html"""
    key = make(kms)
    able, _ = user(client, "able", "kms:*")
    nobody, nobodys = user(client, "nobody", "s3:*")
    sealed = able.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert code(nobody.decrypt, CiphertextBlob=sealed) == "AccessDeniedException"
    root = {
        "Sid": "root",
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
    }
    only = [root | {"Action": "kms:PutKeyPolicy", "Resource": "*"}]
    only.append(
        {"Effect": "Allow", "Principal": {"AWS": nobodys}, "Action": "kms:Decrypt", "Resource": "*"}
    )
    kms.put_key_policy(KeyId=key, Policy=json.dumps({"Version": "2012-10-17", "Statement": only}))
    assert code(able.decrypt, CiphertextBlob=sealed) == "AccessDeniedException"
    assert nobody.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    locked_out = json.dumps({"Version": "2012-10-17", "Statement": only[1:]})
    assert (
        code(kms.put_key_policy, KeyId=key, Policy=locked_out) == "MalformedPolicyDocumentException"
    )


def test_a_grant_gives_what_it_says_until_it_is_taken_back(client, kms):
    key = make(kms)
    guest, guests = user(client, "guest", "s3:*")
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"for": "guest"})[
        "CiphertextBlob"
    ]
    about = {"CiphertextBlob": sealed, "EncryptionContext": {"for": "guest"}}
    grant = kms.create_grant(
        KeyId=key, GranteePrincipal=guests, Operations=["Decrypt", "RetireGrant"],
        Constraints={"EncryptionContextSubset": {"for": "guest"}},
    )  # fmt: skip
    assert guest.decrypt(**about)["Plaintext"] == b"x"
    other = kms.encrypt(KeyId=key, Plaintext=b"y", EncryptionContext={"for": "me"})[
        "CiphertextBlob"
    ]
    assert (
        code(guest.decrypt, CiphertextBlob=other, EncryptionContext={"for": "me"})
        == "AccessDeniedException"
    )
    assert code(guest.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    assert [g["GrantId"] for g in kms.list_grants(KeyId=key)["Grants"]] == [grant["GrantId"]]
    guest.retire_grant(GrantToken=grant["GrantToken"])
    assert code(guest.decrypt, **about) == "AccessDeniedException"
    grant = kms.create_grant(KeyId=key, GranteePrincipal=guests, Operations=["Decrypt"])
    kms.revoke_grant(KeyId=key, GrantId=grant["GrantId"])
    assert code(guest.decrypt, **about) == "AccessDeniedException"


def test_what_is_not_offered_says_so(kms):
    assert code(kms.create_key, MultiRegion=True) == "UnsupportedOperationException"
    assert code(kms.create_key, Origin="EXTERNAL") == "UnsupportedOperationException"
    assert code(kms.get_parameters_for_import, KeyId="k", WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048") == "NotImplemented"  # fmt: skip


def test_key_and_alias_come_with_a_stack(client, kms):
    template = {
        "Resources": {
            "Key": {
                "Type": "AWS::KMS::Key",
                "Properties": {"Description": "d", "EnableKeyRotation": True},
            },
            "Alias": {
                "Type": "AWS::KMS::Alias",
                "Properties": {"AliasName": "alias/s", "TargetKeyId": {"Ref": "Key"}},
            },
        }
    }
    cfn = client("cloudformation")
    cfn.create_stack(StackName="keys", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_create_complete").wait(
        StackName="keys", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    found = kms.describe_key(KeyId="alias/s")["KeyMetadata"]
    assert found["Description"] == "d"
    assert kms.get_key_rotation_status(KeyId=found["KeyId"])["KeyRotationEnabled"] is True
    cfn.delete_stack(StackName="keys")
    cfn.get_waiter("stack_delete_complete").wait(
        StackName="keys", WaiterConfig={"Delay": 0.05, "MaxAttempts": 200}
    )
    assert kms.describe_key(KeyId=found["KeyId"])["KeyMetadata"]["KeyState"] == "PendingDeletion"
