"""KMS through boto3: nobody gets plaintext whom the key's policy, a grant and the context do not let have it."""

from __future__ import annotations

import hashlib
import hmac
import json
import time

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from stratolite.services.kms import state

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


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


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


def wrapped(kms, key, material, algorithm="RSAES_OAEP_SHA_256", spec="RSA_2048"):
    asked = {"KeyId": key, "WrappingAlgorithm": algorithm, "WrappingKeySpec": spec}
    given = kms.get_parameters_for_import(**asked)
    public = serialization.load_der_public_key(given["PublicKey"])
    chosen = hashes.SHA256() if algorithm.endswith("256") else hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(chosen), chosen, None)
    if algorithm.startswith("RSAES"):
        sealed = public.encrypt(material, oaep)
    else:
        aes = b"k" * 32
        sealed = public.encrypt(aes, oaep) + keywrap.aes_key_wrap_with_padding(aes, material)
    return {"KeyId": key, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": sealed}


FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def test_imported_material_is_that_very_material_until_it_expires(kms, platform):
    """https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html"""
    key = make(kms, Origin="EXTERNAL")
    about = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (about["KeyState"], about["Enabled"], about["Origin"]) == (
        "PendingImport",
        False,
        "EXTERNAL",
    )
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x") == "KMSInvalidStateException"
    first = wrapped(kms, key, b"m" * 32)
    assert code(kms.import_key_material, **first) == "ValidationException"  # no ValidTo
    until_s = platform.run(platform.cloud.db.transact(lambda tx: tx.time_s)) + 5 * DAY_S
    kms.import_key_material(**first, ValidTo=until_s)
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    platform.reopen()
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    about = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert (about["KeyState"], about["ExpirationModel"]) == ("Enabled", "KEY_MATERIAL_EXPIRES")
    assert abs(about["ValidTo"].timestamp() - until_s) < 1
    travel(platform, 2 * DAY_S)
    assert code(kms.import_key_material, **first, **FOREVER) == "ExpiredImportTokenException"
    travel(platform, 4 * DAY_S)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingImport"
    assert code(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    other = wrapped(kms, key, b"o" * 32)
    assert code(kms.import_key_material, **other, **FOREVER) == "IncorrectKeyMaterialException"
    kms.import_key_material(**wrapped(kms, key, b"m" * 32), **FOREVER)
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    kms.delete_imported_key_material(KeyId=key)
    assert code(kms.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    assert code(kms.enable_key, KeyId=key) == "KMSInvalidStateException"


def test_expired_material_leaves_the_store(kms, platform):
    """A key that only looks expired would still be in the next backup."""
    key = make(kms, Origin="EXTERNAL")
    now_s = platform.run(platform.cloud.db.transact(lambda tx: tx.time_s))
    kms.import_key_material(**wrapped(kms, key, b"m" * 32), ValidTo=now_s + 60)
    place = state.Place("000000000000", "us-east-1")

    def held(tx):
        return state.key(tx, place, key).record["materials"][0]["sealed"]

    assert platform.run(platform.cloud.db.transact(held))
    travel(platform, 61)
    until(lambda: not platform.run(platform.cloud.db.transact(held)))


def test_new_material_waits_to_be_rotated_to_and_the_old_still_opens(kms, platform):
    key = make(kms, Origin="EXTERNAL")
    kms.import_key_material(**wrapped(kms, key, b"1" * 32), **FOREVER)
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    assert code(kms.rotate_key_on_demand, KeyId=key) == "KMSInvalidStateException"
    assert code(kms.enable_key_rotation, KeyId=key) == "UnsupportedOperationException"
    fresh, short = wrapped(kms, key, b"2" * 32), {"ImportType": "NEW_KEY_MATERIAL"}
    now_s = platform.run(platform.cloud.db.transact(lambda tx: tx.time_s))
    kms.import_key_material(**fresh, **short, ValidTo=now_s + 60)
    travel(platform, 61)
    assert code(kms.rotate_key_on_demand, KeyId=key) == "KMSInvalidStateException"
    given = kms.import_key_material(**fresh, **FOREVER, ImportType="NEW_KEY_MATERIAL")
    listed = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert [one["KeyMaterialState"] for one in listed] == ["CURRENT", "PENDING_ROTATION"]
    assert listed[1]["KeyMaterialId"] == given["KeyMaterialId"]
    kms.rotate_key_on_demand(KeyId=key)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    opened = [kms.decrypt(CiphertextBlob=one) for one in (old, new)]
    assert [one["Plaintext"] for one in opened] == [b"old", b"new"]
    assert opened[1]["KeyMaterialId"] == given["KeyMaterialId"]
    kms.delete_imported_key_material(KeyId=key, KeyMaterialId=opened[0]["KeyMaterialId"])
    assert code(kms.decrypt, CiphertextBlob=new) == "KMSInvalidStateException"  # all or nothing


def test_what_is_not_for_the_key_is_not_imported(kms):
    mine, other = make(kms, Origin="EXTERNAL"), make(kms, Origin="EXTERNAL")
    ask = wrapped(kms, mine, b"m" * 32) | FOREVER
    assert code(kms.import_key_material, **ask | {"KeyId": other}) == "InvalidImportTokenException"
    token = bytearray(ask["ImportToken"])
    token[-1] ^= 1
    assert (
        code(kms.import_key_material, **ask | {"ImportToken": bytes(token)})
        == "InvalidImportTokenException"
    )
    broken = ask | {"EncryptedKeyMaterial": b"x" * 256}
    assert code(kms.import_key_material, **broken) == "InvalidCiphertextException"
    short = wrapped(kms, mine, b"m" * 31) | FOREVER
    assert code(kms.import_key_material, **short) == "IncorrectKeyMaterialException"
    ours = make(kms)
    asked = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    assert code(kms.get_parameters_for_import, KeyId=ours, **asked) == (
        "UnsupportedOperationException"
    )
    assert code(kms.delete_imported_key_material, KeyId=ours) == "UnsupportedOperationException"


def test_an_rsa_key_and_an_hmac_key_of_one_s_own_are_used(kms):
    private = rsa.generate_private_key(65537, 2048)
    raw = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = make(kms, Origin="EXTERNAL", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    asked = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    assert code(kms.get_parameters_for_import, KeyId=key, **asked) == (
        "UnsupportedOperationException"
    )
    ask = wrapped(kms, key, raw, "RSA_AES_KEY_WRAP_SHA_256")
    kms.import_key_material(**ask, **FOREVER)
    signed = kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="RSASSA_PKCS1_V1_5_SHA_256")
    private.public_key().verify(signed["Signature"], b"m", padding.PKCS1v15(), hashes.SHA256())
    mac = make(kms, Origin="EXTERNAL", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    kms.import_key_material(**wrapped(kms, mac, b"h" * 32, "RSAES_OAEP_SHA_1"), **FOREVER)
    made = kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
    assert made == hmac.digest(b"h" * 32, b"m", "sha256")


@pytest.fixture
def far(client):
    return client("kms", region="eu-central-1")


def test_a_multi_region_key_opens_in_one_region_what_another_sealed(kms, far, platform):
    """https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-overview.html"""
    key = make(kms, MultiRegion=True)
    assert key.startswith("mrk-")
    assert code(far.describe_key, KeyId=key) == "NotFoundException"
    made = kms.replicate_key(KeyId=key, ReplicaRegion="eu-central-1", Description="there")
    about = made["ReplicaKeyMetadata"]
    assert about["Arn"] == f"arn:aws:kms:eu-central-1:000000000000:key/{key}"
    assert about["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    platform.reopen()
    assert far.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    assert far.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is True
    assert code(far.enable_key_rotation, KeyId=key) == "UnsupportedOperationException"
    travel(platform, 91 * DAY_S)
    sealed = far.encrypt(KeyId=key, Plaintext=b"rotated")  # the replica is asked first
    opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    assert opened["Plaintext"] == b"rotated"
    assert len(kms.list_key_rotations(KeyId=key)["Rotations"]) == 1
    kms.disable_key(KeyId=key)  # each has a state of its own
    assert far.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"] == b"rotated"
    again = {"KeyId": key, "ReplicaRegion": "eu-central-1"}
    assert code(kms.replicate_key, **again) == "DisabledException"
    kms.enable_key(KeyId=key)
    assert code(kms.replicate_key, **again) == "AlreadyExistsException"
    assert code(kms.replicate_key, KeyId=key, ReplicaRegion="xx-nowhere-9") == "ValidationException"
    assert code(far.replicate_key, KeyId=key, ReplicaRegion="us-west-2") == (
        "UnsupportedOperationException"
    )
    assert code(kms.replicate_key, KeyId=make(kms), ReplicaRegion="eu-central-1") == (
        "UnsupportedOperationException"
    )


def test_the_primary_moves_and_goes_after_its_replicas(kms, far, platform):
    key = make(kms, MultiRegion=True)
    kms.replicate_key(KeyId=key, ReplicaRegion="eu-central-1")
    assert code(kms.update_primary_region, KeyId=key, PrimaryRegion="us-west-2") == (
        "NotFoundException"
    )
    kms.update_primary_region(KeyId=key, PrimaryRegion="eu-central-1")
    regions = kms.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]
    assert regions["PrimaryKey"]["Region"] == "eu-central-1"
    assert [one["Region"] for one in regions["ReplicaKeys"]] == ["us-east-1"]
    assert regions["MultiRegionKeyType"] == "REPLICA"
    waits = far.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert (waits["KeyState"], "DeletionDate" in waits) == ("PendingReplicaDeletion", False)
    travel(platform, 30 * DAY_S)
    assert far.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingReplicaDeletion"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    travel(platform, 7 * DAY_S + 1)
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"
    until(lambda: far.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion")
    travel(platform, 7 * DAY_S + 1)
    assert code(far.describe_key, KeyId=key) == "NotFoundException"


def test_imported_material_goes_to_each_region_by_itself(kms, far):
    key = make(kms, MultiRegion=True, Origin="EXTERNAL")
    kms.import_key_material(**wrapped(kms, key, b"1" * 32), **FOREVER)
    kms.replicate_key(KeyId=key, ReplicaRegion="eu-central-1")
    sealed = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert code(far.decrypt, CiphertextBlob=sealed) == "KMSInvalidStateException"
    wrong = wrapped(far, key, b"2" * 32)
    assert code(far.import_key_material, **wrong, **FOREVER) == "IncorrectKeyMaterialException"
    far.import_key_material(**wrapped(far, key, b"1" * 32), **FOREVER)
    assert far.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"x"
    new = {**FOREVER, "ImportType": "NEW_KEY_MATERIAL"}
    kms.import_key_material(**wrapped(kms, key, b"2" * 32), **new)
    assert code(kms.rotate_key_on_demand, KeyId=key) == "KMSInvalidStateException"
    far.import_key_material(**wrapped(far, key, b"2" * 32), **FOREVER)
    kms.rotate_key_on_demand(KeyId=key)
    sealed = far.encrypt(KeyId=key, Plaintext=b"y")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"y"


def test_replicating_needs_the_right_to_create_a_key_there(client, kms):
    """https://docs.aws.amazon.com/kms/latest/developerguide/multi-region-keys-auth.html"""
    key = make(kms, MultiRegion=True)
    may, _ = user(client, "copier", "kms:ReplicateKey")
    ask = {"KeyId": key, "ReplicaRegion": "eu-central-1"}
    assert code(may.replicate_key, **ask) == "AccessDeniedException"
    may, _ = user(client, "maker", "kms:ReplicateKey", "kms:CreateKey")
    assert may.replicate_key(**ask)["ReplicaKeyMetadata"]["KeyId"] == key


@pytest.mark.parametrize(
    ("spec", "algorithm"),
    [("ECC_NIST_EDWARDS25519", "ED25519_SHA_512"), ("ML_DSA_44", "ML_DSA_SHAKE_256")],
)
def test_signatures_of_whole_messages_hold(kms, spec, algorithm):
    key = make(kms, KeySpec=spec, KeyUsage="SIGN_VERIFY")
    about = {"KeyId": key, "SigningAlgorithm": algorithm}
    signed = kms.sign(Message=b"hello", **about)["Signature"]
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    public.verify(signed, b"hello")
    assert kms.verify(Message=b"hello", Signature=signed, **about)["SignatureValid"] is True
    assert code(kms.verify, Message=b"hullo", Signature=signed, **about) == (
        "KMSInvalidSignatureException"
    )
    digest = {"Message": b"d" * 64, "MessageType": "DIGEST"}
    assert code(kms.sign, **digest, **about) == "ValidationException"


def test_a_secret_is_encapsulated_for_the_holder_of_the_key(kms):
    key = make(kms, KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")
    about = {"KeyId": key, "EncapsulationAlgorithm": "ML_KEM"}
    public = serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])
    secret, sealed = public.encapsulate()
    opened = kms.decapsulate(SharedSecretCiphertextBlob=sealed, **about)
    assert opened["SharedSecret"] == secret
    made = kms.encapsulate(**about)
    opened = kms.decapsulate(SharedSecretCiphertextBlob=made["SharedSecretCiphertextBlob"], **about)
    assert opened["SharedSecret"] == made["SharedSecret"]
    assert code(kms.decapsulate, SharedSecretCiphertextBlob=b"x" * 9, **about) == (
        "InvalidCiphertextException"
    )
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x") == "InvalidKeyUsageException"


def test_what_is_not_offered_says_so(kms):
    assert code(kms.create_key, Origin="AWS_CLOUDHSM") == "UnsupportedOperationException"
    assert code(kms.create_key, KeySpec="SM2", KeyUsage="SIGN_VERIFY") == "UnsupportedOperationException"  # fmt: skip
    assert code(kms.describe_custom_key_stores) == "NotImplemented"
    key = make(kms, KeySpec="ECC_NIST_EDWARDS25519", KeyUsage="SIGN_VERIFY")
    hashed = {"SigningAlgorithm": "ED25519_PH_SHA_512", "MessageType": "DIGEST"}
    assert code(kms.sign, KeyId=key, Message=b"d" * 64, **hashed) == "UnsupportedOperationException"


def test_a_replica_key_comes_with_a_stack_of_its_region(client, kms, far):
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]
    policy = json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"])
    properties = {"PrimaryKeyArn": key["Arn"], "KeyPolicy": policy, "Description": "d"}
    body = {"Resources": {"Copy": {"Type": "AWS::KMS::ReplicaKey", "Properties": properties}}}
    cfn = client("cloudformation", region="eu-central-1")
    quick = {"StackName": "copy", "WaiterConfig": {"Delay": 0.05, "MaxAttempts": 200}}
    cfn.create_stack(StackName="copy", TemplateBody=json.dumps(body))
    cfn.get_waiter("stack_create_complete").wait(**quick)
    assert far.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "d"
    cfn.delete_stack(StackName="copy")
    cfn.get_waiter("stack_delete_complete").wait(**quick)
    about = far.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
    assert about["KeyState"] == "PendingDeletion"
