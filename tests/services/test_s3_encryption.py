"""S3 encryption at rest: what lies on the disk is sealed, whole or in parts, and opens only for whom may have the key."""

from __future__ import annotations

import base64
import hashlib
import json

import pytest
from botocore.exceptions import ClientError

from stratolite.services.s3 import sealing, state

KEY = bytes(range(32))
CUSTOMER = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
SIZES = [0, 1, 5000, 65_536, 65_537, 300_000]


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="box")
    allow_customers(made, "box")
    return made


def allow_customers(s3, bucket):
    rule = {"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


def code(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"]


def marked(size):
    return (b"PLAINTEXT-MARK-" * (size // 15 + 1))[:size]


def on_disk(platform):
    import pathlib

    found = pathlib.Path(platform.folder).rglob("*")
    return b"".join(path.read_bytes() for path in found if path.is_file())


@pytest.mark.parametrize("size", SIZES)
def test_any_range_of_a_sealed_body_opens_and_a_changed_one_does_not(size):
    body = marked(size)
    sealed = sealing.seal(KEY, b"s" * 16, body)
    assert len(sealed) == sealing.sealed_size(size)
    for start, stop in ((0, size), (size // 2, size), (0, size // 2), (size // 3, size // 3 + 1)):
        if start < stop <= size:
            assert sealing.open_sealed(KEY, sealed, size, start, stop) == body[start:stop]
    with pytest.raises(sealing.Damaged):
        sealing.open_sealed(
            KEY, sealed[:-1] + bytes([sealed[-1] ^ 1]), size, max(0, size - 1), size
        )
    if size > 65_536:  # the first chunk alone must not pass for the whole
        with pytest.raises(sealing.Damaged):
            sealing.open_sealed(KEY, sealed[: 16 + 65_536 + 16], 65_536, 0, 65_536)


@pytest.mark.parametrize(
    "how",
    [{"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}, {"ServerSideEncryption": "aws:kms", "BucketKeyEnabled": True}, CUSTOMER],
    ids=["s3", "kms", "bucket-key", "customer"],
)  # fmt: skip
def test_what_lies_on_the_disk_is_sealed_and_comes_back(s3, platform, how):
    reading = how if "SSECustomerKey" in how else {}
    for size in SIZES:
        s3.put_object(Bucket="box", Key=str(size), Body=marked(size), **how)
    upload = s3.create_multipart_upload(Bucket="box", Key="parts", **how)["UploadId"]
    bodies = [marked(5 << 20), b"PLAINTEXT-MARK-tail"]
    parts = []
    for number, body in enumerate(bodies, 1):
        about = {"Bucket": "box", "Key": "parts", "UploadId": upload, "PartNumber": number}
        part = s3.upload_part(Body=body, **about, **reading)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(
        Bucket="box", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}, **reading
    )
    platform.reopen()
    assert b"PLAINTEXT-MARK-" not in on_disk(platform)
    for size in SIZES:
        got = s3.get_object(Bucket="box", Key=str(size), **reading)
        assert got["Body"].read() == marked(size)
        assert got["ContentLength"] == size
    part = s3.get_object(Bucket="box", Key="300000", Range="bytes=65530-131080", **reading)
    assert part["Body"].read() == marked(300_000)[65_530:131_081]
    whole = b"".join(bodies)
    assert s3.get_object(Bucket="box", Key="parts", **reading)["Body"].read() == whole
    seam = s3.get_object(Bucket="box", Key="parts", Range=f"bytes={(5 << 20) - 5}-", **reading)
    assert seam["Body"].read() == whole[(5 << 20) - 5 :]


def test_a_customer_s_key_is_asked_for_and_known_again(s3):
    put = s3.put_object(Bucket="box", Key="k", Body=b"x", **CUSTOMER)
    assert put["SSECustomerKeyMD5"] == base64.b64encode(hashlib.md5(KEY).digest()).decode()
    assert put["ETag"] != f'"{hashlib.md5(b"x").hexdigest()}"'
    assert code(s3.get_object, Bucket="box", Key="k") == "InvalidRequest"
    other = CUSTOMER | {"SSECustomerKey": bytes(32)}
    assert code(s3.get_object, Bucket="box", Key="k", **other) == "AccessDenied"
    assert code(s3.head_object, Bucket="box", Key="k") == "400"
    source = {f"CopySource{k}": v for k, v in CUSTOMER.items()}
    s3.copy_object(Bucket="box", Key="plain", CopySource="box/k", **source)
    assert s3.get_object(Bucket="box", Key="plain")["Body"].read() == b"x"
    s3.put_object(Bucket="box", Key="open", Body=b"y")
    assert code(s3.get_object, Bucket="box", Key="open", **CUSTOMER) == "InvalidRequest"


def test_a_read_does_not_say_how_to_encrypt(s3):
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html, on the encryption headers: 400."""
    s3.put_object(Bucket="box", Key="k", Body=b"x", ServerSideEncryption="AES256")

    def say(params, **_):
        params["headers"]["x-amz-server-side-encryption"] = "AES256"

    for operation, call, wanted in (
        ("GetObject", s3.get_object, "InvalidArgument"),
        ("HeadObject", s3.head_object, "400"),
    ):
        call(Bucket="box", Key="k")
        s3.meta.events.register(f"before-call.s3.{operation}", say)
        assert code(call, Bucket="box", Key="k") == wanted


def test_a_bucket_s_default_seals_and_the_key_s_policy_counts(client, s3):
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]
    s3.put_bucket_encryption(Bucket="box", ServerSideEncryptionConfiguration={"Rules": rules})
    for size in (10, 300_000):
        put = s3.put_object(Bucket="box", Key=str(size), Body=marked(size))
        assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
        assert put["BucketKeyEnabled"] is True
    iam = client("iam")
    iam.create_user(UserName="reader")
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = client("s3", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert code(reader.get_object, Bucket="box", Key="10") == "AccessDenied"
    grantee = "arn:aws:iam::000000000000:user/reader"
    kms.create_grant(KeyId=key, GranteePrincipal=grantee, Operations=["Decrypt"])
    assert reader.get_object(Bucket="box", Key="10")["Body"].read() == marked(10)
    kms.disable_key(KeyId=key)
    assert code(s3.get_object, Bucket="box", Key="10") == "KMS.DisabledException"
    s3.delete_bucket_encryption(Bucket="box")
    assert s3.put_object(Bucket="box", Key="k", Body=b"x")["ServerSideEncryption"] == "AES256"


SIZES_MOVED = [10, 5000, 300_000]


@pytest.mark.parametrize("before", [{}, {"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "aws:kms"}], ids=["none", "s3", "kms"])  # fmt: skip
@pytest.mark.parametrize("bucket_key", [False, True])
def test_an_object_comes_under_another_key_and_stays_what_it_is(
    client, s3, platform, before, bucket_key
):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/update-sse-encryption.html"""
    for size in SIZES_MOVED:
        s3.put_object(Bucket="box", Key=str(size), Body=marked(size), Tagging="a=b", **before)
    upload = s3.create_multipart_upload(Bucket="box", Key="parts", **before)["UploadId"]
    bodies = [marked(5 << 20), b"PLAINTEXT-MARK-tail"]
    parts = []
    for number, body in enumerate(bodies, 1):
        about = {"Bucket": "box", "Key": "parts", "UploadId": upload, "PartNumber": number}
        part = s3.upload_part(Body=body, **about)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(
        Bucket="box", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    told = ("ETag", "LastModified", "ContentLength", "TagCount")
    wanted = {"SSEKMS": {"KMSKeyArn": key, "BucketKeyEnabled": bucket_key}}
    for name, body in [*((str(s), marked(s)) for s in SIZES_MOVED), ("parts", b"".join(bodies))]:
        where = {"Bucket": "box", "Key": name}
        old = s3.head_object(**where)
        s3.update_object_encryption(**where, ObjectEncryption=wanted)
        new = s3.get_object(**where)
        assert new["Body"].read() == body
        assert (new["ServerSideEncryption"], new["SSEKMSKeyId"]) == ("aws:kms", key)
        assert new.get("BucketKeyEnabled", False) is bucket_key
        assert [new.get(n) for n in told] == [old.get(n) for n in told]
    assert s3.get_object(Bucket="box", Key="parts", PartNumber=2)["Body"].read() == bodies[1]
    kms.disable_key(KeyId=key)
    assert code(s3.get_object, Bucket="box", Key="parts") == "KMS.DisabledException"


def test_what_lay_open_is_sealed_when_it_comes_under_a_key(client, s3, platform):
    s3.put_object(Bucket="box", Key="k", Body=marked(300_000))
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    about = {"Bucket": "box", "Key": "k", "ObjectEncryption": {"SSEKMS": {"KMSKeyArn": key}}}
    s3.update_object_encryption(**about)

    blob = platform.run(
        platform.cloud.db.transact(
            lambda tx: state.head(tx, state.bucket(tx, "box"), b"k").blob  # type: ignore[union-attr]
        )
    )
    lies = platform.cloud.blobs.body(blob, 0, sealing.sealed_size(300_000))
    with open(lies.path, "rb") as file:
        assert b"PLAINTEXT-MARK-" not in file.read()


def test_what_cannot_come_under_another_key_says_why(client, s3):
    key = client("kms").create_key()["KeyMetadata"]["Arn"]
    wanted = {"SSEKMS": {"KMSKeyArn": key}}
    s3.put_object(Bucket="box", Key="c", Body=b"x", **CUSTOMER)
    s3.put_object(Bucket="box", Key="k", Body=b"x")
    ask = s3.update_object_encryption
    assert code(ask, Bucket="box", Key="c", ObjectEncryption=wanted) == "InvalidRequest"
    assert code(ask, Bucket="box", Key="no", ObjectEncryption=wanted) == "NoSuchKey"
    foreign = {"SSEKMS": {"KMSKeyArn": key.replace("0" * 12, "1" * 12)}}
    assert code(ask, Bucket="box", Key="k", ObjectEncryption=foreign) == "AccessDenied"
    wrong = {"SSEKMS": {"KMSKeyArn": "alias/aws/s3-and-more-letters"}}
    assert code(ask, Bucket="box", Key="k", ObjectEncryption=wrong) == "InvalidRequest"
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket="locked", Key="k", Body=b"x", ObjectLockLegalHoldStatus="ON")
    assert code(ask, Bucket="locked", Key="k", ObjectEncryption=wanted) == "AccessDenied"
