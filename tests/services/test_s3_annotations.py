"""Annotations: texts beside an object, which go where it goes and are nobody's who may not have it."""

from __future__ import annotations

import json
import pathlib
import time

import pytest
from botocore.exceptions import ClientError

from stratolite.services.s3 import doctor, state, worker

TEXTS = {
    "ml.sentiment": b'{"score": 1}',
    "long": b"MARK" * 100_000,
    "\u00fcber_1": "\u00e4".encode(),
}


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="box")
    made.put_object(Bucket="box", Key="k", Body=b"body")
    return made


K = {"Bucket": "box", "Key": "k"}


def code(call, **request):
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"]


def annotate(s3, where=K, texts=TEXTS):
    for name, text in texts.items():
        s3.put_object_annotation(**where, AnnotationName=name, AnnotationPayload=text)


def read(s3, name, **where):
    got = s3.get_object_annotation(**(where or K), AnnotationName=name, ChecksumMode="ENABLED")
    return got["AnnotationPayload"].read()


def names(s3, **where):
    listed = s3.list_object_annotations(**(where or K))["Annotations"]
    return [one["AnnotationName"] for one in listed]


def rows(platform):
    """How many rows and linked blobs of annotations there are."""

    def count(tx):
        bucket = state.bucket(tx, "box")
        return sum(
            1
            for space in (bucket.annotations, bucket.annotation_bodies)
            for _ in tx.scan(space.span())
        )

    return platform.run(platform.cloud.db.transact(count))


def test_annotations_come_back_and_the_object_stays_as_it_is(s3, platform):
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/annotations-overview.html"""
    before = s3.head_object(**K)
    annotate(s3)
    platform.reopen()
    for name, text in TEXTS.items():
        assert read(s3, name) == text
    after = s3.head_object(**K)
    told = ("ETag", "LastModified", "ContentLength")
    assert [after[n] for n in told] == [before[n] for n in told]
    listed = s3.list_object_annotations(**K)
    assert [one["AnnotationName"] for one in listed["Annotations"]] == sorted(TEXTS)
    assert [one["Size"] for one in listed["Annotations"]] == [len(TEXTS[n]) for n in sorted(TEXTS)]
    assert listed["AnnotationCount"] == 3
    page = s3.list_object_annotations(**K, MaxAnnotationResults=2)
    rest = s3.list_object_annotations(**K, ContinuationToken=page["NextContinuationToken"])
    assert [one["AnnotationName"] for one in rest["Annotations"]] == ["\u00fcber_1"]
    assert s3.list_object_annotations(**K, AnnotationPrefix="ml.")["AnnotationCount"] == 1
    s3.put_object_annotation(**K, AnnotationName="long", AnnotationPayload=b"short")
    assert read(s3, "long") == b"short"
    s3.delete_object_annotation(**K, AnnotationName="long")
    assert code(s3.get_object_annotation, **K, AnnotationName="long") == "NoSuchAnnotation"
    assert names(s3) == ["ml.sentiment", "\u00fcber_1"]


def test_what_is_no_annotation_is_refused(s3):
    put = s3.put_object_annotation

    def said(name="n", text=b"x", **where):
        return code(put, **(where or K), AnnotationName=name, AnnotationPayload=text)

    assert said("aws-mine") == said("S3.x") == said("a b") == "InvalidAnnotationName"
    assert said("n" * 513) == "AnnotationNameTooLong"
    assert said(text=b"x" * ((1 << 20) + 1)) == "EntityTooLarge"
    assert said(text=b"\xff") == "UnsupportedMediaType"
    assert said(text=b"") == "InvalidRequest"
    assert said(Bucket="box", Key="no") == "NoSuchKey"
    bad = {"ObjectIfMatch": '"0"', "AnnotationName": "n", "AnnotationPayload": b"x"}
    assert code(put, **K, **bad) == "PreconditionFailed"
    bad = {"ChecksumSHA256": "A" * 43 + "=", "AnnotationName": "n", "AnnotationPayload": b"x"}
    assert code(put, **K, **bad) == "BadDigest"
    assert names(s3) == []


def test_they_go_with_their_version_and_into_copies(s3, platform):
    s3.put_bucket_versioning(Bucket="box", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(**K, Body=b"1")["VersionId"]
    annotate(s3)
    s3.put_object(**K, Body=b"2")
    assert names(s3) == []
    assert names(s3, **K, VersionId=first) == sorted(TEXTS)
    source = {"Bucket": "box", "Key": "k", "VersionId": first}
    s3.copy_object(Bucket="box", Key="copy", CopySource=source)
    s3.copy_object(Bucket="box", Key="bare", CopySource=source, AnnotationDirective="EXCLUDE")
    assert read(s3, "long", Bucket="box", Key="copy") == TEXTS["long"]
    assert names(s3, Bucket="box", Key="bare") == []
    s3.delete_object(**K, VersionId=first)
    assert read(s3, "long", Bucket="box", Key="copy") == TEXTS["long"]
    assert rows(platform) == 5  # the copy's: three, two of them small


def test_they_are_gone_with_their_object(s3, platform, monkeypatch):
    monkeypatch.setattr(worker, "ANNOTATIONS_COUNT_MAX", 2)
    annotate(s3)
    s3.put_object(**K, Body=b"another")
    assert names(s3) == []
    end = time.monotonic() + 60
    while rows(platform):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_they_lie_sealed_and_follow_the_key_of_their_object(client, s3, platform):
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    sealed = {"Bucket": "box", "Key": "sealed"}
    s3.put_object(**sealed, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    annotate(s3, sealed)
    got = s3.get_object_annotation(**sealed, AnnotationName="long")
    assert got["ServerSideEncryption"] == "aws:kms"
    kms.disable_key(KeyId=key)
    assert (
        code(s3.get_object_annotation, **sealed, AnnotationName="long") == "KMS.DisabledException"
    )
    platform.reopen()
    files = [path for path in pathlib.Path(platform.folder).rglob("*") if path.is_file()]
    assert not any(b"MARKMARK" in path.read_bytes() for path in files)


def test_who_may_read_the_object_may_not_its_annotations(client, s3):
    annotate(s3)
    iam = client("iam")
    iam.create_user(UserName="u")
    may = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": may})
    iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName="u")["AccessKey"]
    them = client("s3", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert code(them.get_object_annotation, **K, AnnotationName="long") == "AccessDenied"
    assert code(them.list_object_annotations, **K) == "AccessDenied"
    copy = {"Bucket": "box", "Key": "c", "CopySource": "box/k"}
    assert code(them.copy_object, **copy) == "AccessDenied"
    them.copy_object(**copy, AnnotationDirective="EXCLUDE")


def test_a_lock_holds_them_too(s3):
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    where = {"Bucket": "locked", "Key": "k"}
    s3.put_object(**where, Body=b"x")
    annotate(s3, where)
    s3.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
    assert code(s3.delete_object_annotation, **where, AnnotationName="long") == "AccessDenied"
    s3.put_object_annotation(**where, AnnotationName="more", AnnotationPayload=b"x")


def test_the_doctor_looks_at_them(s3, platform):
    annotate(s3)

    async def examined():
        return [one async for one in doctor.examine(platform.cloud)]

    assert sum(one for one in platform.run(examined()) if isinstance(one, int)) == 4
    blobs = [p for p in pathlib.Path(platform.folder).rglob("*") if p.is_file() and p.stat().st_size > 400_000 and "blob" in str(p)]  # fmt: skip
    (blob,) = blobs
    raw = bytearray(blob.read_bytes())
    raw[200_000] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(raw)
    found = [one for one in platform.run(examined()) if isinstance(one, doctor.Finding)]
    assert [(one.key, one.harmless) for one in found] == [("long", False)]
