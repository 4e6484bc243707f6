"""S3 objects through boto3: bodies of every size, their digests, conditions, ranges, copies, deletes."""

from __future__ import annotations

import base64
import concurrent.futures
import datetime as dt
import hashlib
import io
import os
import urllib.parse
import zlib

import pytest
from awscrt.checksums import XXHash
from botocore.exceptions import ClientError

from stratolite.http import HttpRequest

SIZES = [0, 1, 2048, 2049, 65_536, 65_537, 262_144, 262_145, 3_000_000]


def pattern(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.fixture
def s3(client):
    made = client("s3")
    made.create_bucket(Bucket="objects")
    return made


def code_of(error) -> str:
    return error.value.response["Error"]["Code"]


def status_of(error) -> int:
    return error.value.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_comes_back_as_it_was_put_after_a_restart(client, platform, size):
    """Each size lies elsewhere: in the head, beside it, or in a blob."""
    s3 = client("s3")
    s3.create_bucket(Bucket="sizes")
    body = pattern(size)
    put = s3.put_object(Bucket="sizes", Key="k", Body=body)
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    platform.reopen()
    got = s3.get_object(Bucket="sizes", Key="k")
    assert got["Body"].read() == body
    assert got["ContentLength"] == size
    assert got["ETag"] == put["ETag"]


def test_what_was_said_about_an_object_comes_back(s3):
    said = {
        "ContentType": "text/plain; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="a b.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue"},
        "StorageClass": "STANDARD_IA",
        "WebsiteRedirectLocation": "/elsewhere",
    }
    s3.put_object(Bucket="objects", Key="ö/ü?&+ %", Body=b"x", Tagging="a=1&b=2%203", **said)
    head = s3.head_object(Bucket="objects", Key="ö/ü?&+ %")
    assert {name: head[name] for name in said} == said
    assert head["ServerSideEncryption"] == "AES256"
    tags = s3.get_object_tagging(Bucket="objects", Key="ö/ü?&+ %")["TagSet"]
    assert tags == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2 3"}]
    assert s3.get_object(Bucket="objects", Key="ö/ü?&+ %")["TagCount"] == 2


def test_metadata_beyond_printable_ascii_is_one_encoded_word(s3):
    """Recorded from AWS by LocalStack's test_user_metadata_rfc2047_encoded; bare bytes as UsingMetadata shows them."""
    crown = "=?UTF-8?Q?test=5F=E2=80=94=5Ffile%E2%80%94=5F=C3=A9=5F2=F0=9F=91=91.pdf?="
    given = {
        "accents": (
            "=?utf-8?b?w4RNw4Raw5XDkSBTMw==?=",
            "=?UTF-8?Q?=C3=84M=C3=84Z=C3=95=C3=91_S3?=",
        ),
        "crown": (crown, crown),
        "controls": ("=?UTF-8?B?AAECAw==?=", "=?UTF-8?B?AAECAw==?="),
        "no-character": ("=?UTF-8?B?77+9?=", "=?UTF-8?B?77+9?="),
        "ascii-quoted": ("=?UTF-8?Q?actually-ascii?=", "actually-ascii"),
        "ascii-base64": ("=?UTF-8?B?YWJj?=", "abc"),
        "latin": ("=?iso-8859-1?q?caf=E9?=", "=?UTF-8?Q?caf=C3=A9?="),
        "safe": ("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
        "unknown": ("=?klingon?q?a?=", "=?klingon?q?a?="),
        "broken": ("=?UTF-8?B?=GGG?=", "=?UTF-8?B?=GGG?="),
    }
    s3.put_object(Bucket="objects", Key="k", Metadata={k: v for k, (v, _) in given.items()})
    kept = {name: back for name, (_, back) in given.items()}
    assert s3.head_object(Bucket="objects", Key="k")["Metadata"] == kept
    assert s3.get_object(Bucket="objects", Key="k")["Metadata"] == kept
    s3.copy_object(Bucket="objects", Key="copy", CopySource="objects/k")
    assert s3.get_object(Bucket="objects", Key="copy")["Metadata"] == kept

    def bare(params, **_):
        params["headers"]["x-amz-meta-nonascii"] = "ÄMÄZÕÑ S3"
        params["headers"]["x-amz-meta-printable"] = "\xe9"

    s3.meta.events.register("before-call.s3.PutObject", bare)
    s3.put_object(Bucket="objects", Key="k")
    assert s3.head_object(Bucket="objects", Key="k")["Metadata"] == {
        "nonascii": "=?UTF-8?B?w4PChE3Dg8KEWsODwpXDg8KRIFMz?=",
        "printable": "=?UTF-8?Q?=C3=83=C2=A9?=",
    }


def test_replacing_an_object_leaves_nothing_of_the_old_one(s3, platform):
    for size in (3_000_000, 100_000, 10, 300_000):
        s3.put_object(Bucket="objects", Key="k", Body=pattern(size), Metadata={"n": str(size)})
        got = s3.get_object(Bucket="objects", Key="k")
        assert (got["Body"].read(), got["Metadata"]) == (pattern(size), {"n": str(size)})
    s3.delete_object(Bucket="objects", Key="k")
    assert blobs_linked(platform) == 0


def blobs_linked(platform) -> int:
    """How many blobs still have a name, by looking at what the store says about them."""
    import msgspec

    from stratolite.core.blobs import _REF

    async def count():
        rows = await platform.cloud.db.transact(lambda tx: list(tx.scan(_REF.span())))
        return sum(msgspec.msgpack.decode(value)[0] > 0 for _, value in rows)

    return platform.run(count())


def test_a_blob_lives_while_any_object_names_it(s3, platform):
    """A copy shares the source's blob by link; each may go first."""
    s3.put_object(Bucket="objects", Key="a", Body=pattern(1_000_000))
    s3.copy_object(Bucket="objects", Key="b", CopySource="objects/a")
    assert blobs_linked(platform) == 1
    s3.delete_object(Bucket="objects", Key="a")
    assert s3.get_object(Bucket="objects", Key="b")["Body"].read() == pattern(1_000_000)
    s3.delete_object(Bucket="objects", Key="b")
    assert blobs_linked(platform) == 0


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=3-", 3, None),
        ("bytes=-4", -4, None),
        ("bytes=2-99999999", 2, None),
        (f"bytes=2-{2**64 - 1}", 2, None),
        (f"bytes=-{2**64 - 1}", 0, None),
    ],
)
def test_a_range_is_a_slice(s3, size, asked, start, stop):
    body = pattern(size)
    s3.put_object(Bucket="objects", Key="k", Body=body)
    got = s3.get_object(Bucket="objects", Key="k", Range=asked)
    assert got["Body"].read() == body[start:stop]
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    first = len(body) + start if start < 0 else start
    assert got["ContentRange"] == f"bytes {first}-{(stop or size) - 1}/{size}"


def test_if_range_gives_the_whole_of_another_object_than_the_client_has_part_of(s3):
    """A download that goes on where it stopped must not be put together from two objects.

    S3 heeds the header though its SDKs do not know it: https://github.com/aws/aws-sdk-kotlin/issues/1645
    """
    etag = s3.put_object(Bucket="objects", Key="k", Body=b"0123456789")["ETag"]
    modified = s3.head_object(Bucket="objects", Key="k")["ResponseMetadata"]["HTTPHeaders"]
    said = [None]
    s3.meta.events.register(
        "before-sign.s3", lambda request, **_: request.headers.add_header("If-Range", said[0])
    )
    for said[0], whole in (
        (etag, False),
        (modified["last-modified"], False),
        ('"other"', True),
        (f"W/{etag}", True),
        ("Wed, 21 Oct 2015 07:28:00 GMT", True),
        ("nonsense", True),
    ):
        for _ in range(2):  # read line by line, and as a kind of request seen before
            got = s3.get_object(Bucket="objects", Key="k", Range="bytes=4-5")
            assert got["Body"].read() == (b"0123456789" if whole else b"45"), said
            assert status_of_answer(got) == (200 if whole else 206)
        head = s3.head_object(Bucket="objects", Key="k", Range="bytes=4-5")
        assert head["ContentLength"] == (10 if whole else 2)


def status_of_answer(response):
    return response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=-0", "bytes=99-100", f"bytes={10**20}-"])
def test_a_range_outside_the_object_is_416(s3, asked):
    s3.put_object(Bucket="objects", Key="k", Body=b"0123456789")
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="objects", Key="k", Range=asked)
    assert (code_of(error), status_of(error)) == ("InvalidRange", 416)
    assert error.value.response["Error"]["ActualObjectSize"] == "10"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,3-4", "bytes=5-2", "lines=1-2", "bytes=-", "nonsense"]
)
def test_a_range_that_s3_does_not_understand_is_ignored(s3, asked):
    s3.put_object(Bucket="objects", Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket="objects", Key="k", Range=asked)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, b"0123456789")


def test_conditions_of_reads_follow_the_rfc(s3):
    etag = s3.put_object(Bucket="objects", Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket="objects", Key="k")["LastModified"]
    past, future = modified.replace(year=2001), modified.replace(year=2200)

    def status(**conditions):
        try:
            answer = s3.get_object(Bucket="objects", Key="k", **conditions)
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]
        return answer["ResponseMetadata"]["HTTPStatusCode"]

    assert status(IfMatch=etag) == status(IfMatch=etag.strip('"')) == status(IfMatch="*") == 200
    assert status(IfMatch='"no"') == 412
    assert status(IfNoneMatch=etag) == 304
    assert status(IfNoneMatch='"no"') == 200
    assert status(IfModifiedSince=modified) == 304
    assert status(IfModifiedSince=past) == status(IfModifiedSince=future) == 200
    assert status(IfUnmodifiedSince=past) == 412
    assert status(IfUnmodifiedSince=modified) == 200
    assert status(IfMatch=etag, IfUnmodifiedSince=past) == 200  # the tag wins
    assert status(IfNoneMatch=etag, IfModifiedSince=past) == 304
    assert status(IfNoneMatch='"no"', IfModifiedSince=future) == 200


def test_not_modified_names_what_is_there(s3):
    """A cache renews its entry from the validators of a 304."""
    etag = s3.put_object(Bucket="objects", Key="k", Body=b"x")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket="objects", Key="k", IfNoneMatch=etag)
    headers = error.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["etag"] == etag
    assert headers["last-modified"].endswith("GMT")


def test_conditions_of_writes_protect_what_is_there(s3):
    s3.put_object(Bucket="objects", Key="k", Body=b"one", IfNoneMatch="*")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=b"two", IfNoneMatch="*")
    assert (code_of(error), status_of(error)) == ("PreconditionFailed", 412)
    assert error.value.response["Error"]["Condition"] == "If-None-Match"
    etag = s3.head_object(Bucket="objects", Key="k")["ETag"]
    s3.put_object(Bucket="objects", Key="k", Body=b"three", IfMatch=etag)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=b"four", IfMatch=etag)
    assert status_of(error) == 412
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="new", Body=b"x", IfMatch=etag)
    assert code_of(error) == "NoSuchKey"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=b"x", IfNoneMatch=etag)
    assert code_of(error) == "NotImplemented"
    assert s3.get_object(Bucket="objects", Key="k")["Body"].read() == b"three"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("CRC32", lambda d: zlib.crc32(d).to_bytes(4, "big")),
        ("SHA1", lambda d: hashlib.sha1(d).digest()),
        ("SHA256", lambda d: hashlib.sha256(d).digest()),
        ("SHA512", lambda d: hashlib.sha512(d).digest()),
        ("MD5", lambda d: hashlib.md5(d).digest()),
        ("XXHASH64", XXHash.compute_xxhash64),
        ("XXHASH3", XXHash.compute_xxhash3_64),
        ("XXHASH128", XXHash.compute_xxhash3_128),
    ],
)
@pytest.mark.parametrize("size", [100, 100_000, 1_000_000])
def test_a_checksum_is_checked_kept_and_shown(s3, name, digest, size):
    body, member = pattern(size), f"Checksum{name}"
    s3.put_object(Bucket="objects", Key="k", Body=body, **{member: b64(digest(body))})
    got = s3.get_object(Bucket="objects", Key="k", ChecksumMode="ENABLED")
    assert (got[member], got["ChecksumType"]) == (b64(digest(body)), "FULL_OBJECT")
    assert member not in s3.head_object(Bucket="objects", Key="k")
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=body, **{member: b64(digest(b"other"))})
    assert code_of(error) == "BadDigest"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=body, **{member: "bm8="})
    assert code_of(error) == "InvalidRequest"


def test_crcs_have_the_published_check_values(s3):
    """https://reveng.sourceforge.io/crc-catalogue/all.htm: of "123456789"."""
    for name, value in (("CRC32C", "e3069283"), ("CRC64NVME", "ae8b14860a799888")):
        s3.put_object(Bucket="objects", Key="k", Body=b"123456789", ChecksumAlgorithm=name)
        got = s3.head_object(Bucket="objects", Key="k", ChecksumMode="ENABLED")
        assert base64.b64decode(got[f"Checksum{name}"]).hex() == value


def test_xxhashes_have_the_published_check_values(s3):
    """https://github.com/Cyan4973/xxHash: of no bytes, with seed 0, the high byte first."""
    for name, value in (
        ("XXHASH64", "ef46db3751d8e999"),
        ("XXHASH3", "2d06800538d394c2"),
        ("XXHASH128", "99aa06d3014798d86001c324468d497f"),
    ):
        s3.put_object(Bucket="objects", Key="k", Body=b"", ChecksumAlgorithm=name)
        got = s3.head_object(Bucket="objects", Key="k", ChecksumMode="ENABLED")
        assert base64.b64decode(got[f"Checksum{name}"]).hex() == value
        s3.copy_object(Bucket="objects", Key="c", CopySource="objects/k")
        copied = s3.get_object_attributes(Bucket="objects", Key="c", ObjectAttributes=["Checksum"])
        assert base64.b64decode(copied["Checksum"][f"Checksum{name}"]).hex() == value


def test_an_object_put_without_a_checksum_gets_crc64nvme(client, s3):
    """As S3 does since December 2024."""
    plain = client("s3", request_checksum_calculation="when_required")
    put = plain.put_object(Bucket="objects", Key="k", Body=b"123456789")
    assert base64.b64decode(put["ChecksumCRC64NVME"]).hex() == "ae8b14860a799888"


def test_content_md5_is_checked(s3):
    good = b64(hashlib.md5(b"x").digest())
    s3.put_object(Bucket="objects", Key="k", Body=b"x", ContentMD5=good)
    for md5, code in (
        (b64(hashlib.md5(b"y").digest()), "BadDigest"),
        ("c2hvcnQ=", "InvalidDigest"),
    ):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="objects", Key="k", Body=b"z", ContentMD5=md5)
        assert code_of(error) == code
    assert s3.get_object(Bucket="objects", Key="k")["Body"].read() == b"x"


def test_a_large_body_that_is_not_what_was_said_leaves_no_file(s3, platform):
    """It is on the disk before its last digest is known."""
    body = pattern(3_000_000)
    for said in (
        {"ContentMD5": b64(hashlib.md5(b"y").digest())},
        {"ChecksumSHA256": b64(hashlib.sha256(b"y").digest())},
    ):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="objects", Key="k", Body=body, **said)
        assert code_of(error) == "BadDigest"
        assert files_of(platform) == []
    s3.put_object(Bucket="objects", Key="k", Body=body)
    assert len(files_of(platform)) == 1


def files_of(platform) -> list[str]:
    return [name for _, _, names in os.walk(f"{platform.folder}/blobs") for name in names]


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        ({"ServerSideEncryption": "rot13"}, "InvalidArgument"),
        ({"SSECustomerAlgorithm": "AES256"}, "InvalidArgument"),
        ({"StorageClass": "SNOW"}, "NotImplemented"),
        ({"StorageClass": "CHEAP"}, "InvalidStorageClass"),
        ({"ObjectLockLegalHoldStatus": "ON"}, "InvalidRequest"),
        ({"GrantRead": 'id="x"'}, "InvalidArgument"),
        ({"ACL": "public-read"}, "AccessControlListNotSupported"),
        ({"Metadata": {"k": "v" * 2048}}, "MetadataTooLarge"),
        ({"WebsiteRedirectLocation": "ftp://x"}, "InvalidRedirectLocation"),
        ({"Tagging": "&".join(f"k{i}=v" for i in range(11))}, "BadRequest"),
        ({"Tagging": "aws:x=1"}, "InvalidTag"),
        ({"WriteOffsetBytes": 0}, "NotImplemented"),
    ],
)
def test_what_cannot_be_honoured_is_refused_not_ignored(s3, refused, code):
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="k", Body=b"x", **refused)
    assert code_of(error) == code
    assert s3.list_objects_v2(Bucket="objects")["KeyCount"] == 0


def test_keys_have_a_length_in_bytes(s3):
    s3.put_object(Bucket="objects", Key="ö" * 512, Body=b"x")
    assert s3.get_object(Bucket="objects", Key="ö" * 512)["Body"].read() == b"x"
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="objects", Key="ö" * 512 + "x", Body=b"x")
    assert code_of(error) == "KeyTooLongError"


def test_missing_things_are_named(s3):
    with pytest.raises(s3.exceptions.NoSuchKey) as error:
        s3.get_object(Bucket="objects", Key="no")
    assert error.value.response["Error"]["Key"] == "no"
    with pytest.raises(s3.exceptions.NoSuchBucket) as error:
        s3.get_object(Bucket="nobucket", Key="no")
    assert error.value.response["Error"]["BucketName"] == "nobucket"
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket="objects", Key="no")
    assert status_of(error) == 404


@pytest.mark.parametrize("size", [10, 100_000, 1_000_000])
def test_a_copy_takes_what_the_directives_say(s3, size):
    s3.put_object(
        Bucket="objects",
        Key="a",
        Body=pattern(size),
        ContentType="text/x",
        Metadata={"m": "1"},
        Tagging="t=1",
    )
    made = s3.copy_object(Bucket="objects", Key="b", CopySource={"Bucket": "objects", "Key": "a"})
    assert made["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(pattern(size)).hexdigest()}"'
    got = s3.get_object(Bucket="objects", Key="b")
    assert got["Body"].read() == pattern(size)
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/x", {"m": "1"}, 1)
    s3.copy_object(
        Bucket="objects", Key="b", CopySource="objects/a", MetadataDirective="REPLACE", Metadata={"m": "2"},
        TaggingDirective="REPLACE", Tagging="",
    )  # fmt: skip
    got = s3.get_object(Bucket="objects", Key="b")
    assert (got["ContentType"], got["Metadata"], got.get("TagCount")) == (
        "binary/octet-stream",
        {"m": "2"},
        None,
    )


def test_a_copy_onto_itself_must_change_something(s3):
    s3.put_object(Bucket="objects", Key="a b", Body=pattern(1_000_000))
    source = {"Bucket": "objects", "Key": "a b"}
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket="objects", Key="a b", CopySource=source)
    assert code_of(error) == "InvalidRequest"
    s3.copy_object(
        Bucket="objects",
        Key="a b",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"x": "y"},
    )
    got = s3.get_object(Bucket="objects", Key="a b")
    assert (got["Body"].read(), got["Metadata"]) == (pattern(1_000_000), {"x": "y"})


def test_conditions_on_the_source_of_a_copy(s3):
    etag = s3.put_object(Bucket="objects", Key="a", Body=b"x")["ETag"]
    s3.copy_object(Bucket="objects", Key="b", CopySource="objects/a", CopySourceIfMatch=etag)
    for condition in ({"CopySourceIfMatch": '"no"'}, {"CopySourceIfNoneMatch": etag}):
        with pytest.raises(ClientError) as error:
            s3.copy_object(Bucket="objects", Key="c", CopySource="objects/a", **condition)
        assert (code_of(error), status_of(error)) == ("PreconditionFailed", 412)
    modified = s3.head_object(Bucket="objects", Key="a")["LastModified"]
    with pytest.raises(ClientError) as error:
        s3.copy_object(
            Bucket="objects", Key="c", CopySource="objects/a", CopySourceIfModifiedSince=modified
        )
    assert error.value.response["Error"]["Condition"] == "x-amz-copy-source-If-Modified-Since"
    future = modified.replace(year=2200)  # LocalStack's recorded copy-ignore-future-modified-since
    s3.copy_object(
        Bucket="objects", Key="c", CopySource="objects/a", CopySourceIfModifiedSince=future
    )
    with pytest.raises(ClientError) as error:
        s3.copy_object(Bucket="objects", Key="c", CopySource="objects/none")
    assert code_of(error) == "NoSuchKey"


def test_deleting_many_reports_each_key(s3):
    for key in ("a", "b", "c"):
        s3.put_object(Bucket="objects", Key=key, Body=b"x")
    asked = [{"Key": "a"}, {"Key": "missing"}, {"Key": "b", "VersionId": "v1"}]
    answer = s3.delete_objects(Bucket="objects", Delete={"Objects": asked})
    assert {d["Key"] for d in answer["Deleted"]} == {"a", "missing"}
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("b", "NoSuchVersion")]
    quiet = s3.delete_objects(Bucket="objects", Delete={"Objects": [{"Key": "c"}], "Quiet": True})
    assert "Deleted" not in quiet
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="objects")["Contents"]] == ["b"]
    with pytest.raises(ClientError) as error:
        s3.delete_objects(
            Bucket="objects", Delete={"Objects": [{"Key": str(i)} for i in range(1001)]}
        )
    assert code_of(error) == "MalformedXML"


def test_a_delete_may_ask_for_a_version_of_the_body(s3):
    etag = s3.put_object(Bucket="objects", Key="k", Body=b"x")["ETag"]
    with pytest.raises(ClientError) as error:
        s3.delete_object(Bucket="objects", Key="k", IfMatch='"no"')
    assert status_of(error) == 412
    s3.delete_object(Bucket="objects", Key="k", IfMatch=etag)
    s3.delete_object(Bucket="objects", Key="k")  # gone already is success


def test_tags_of_an_object_can_be_changed(s3):
    s3.put_object(Bucket="objects", Key="k", Body=b"x")
    s3.put_object_tagging(
        Bucket="objects", Key="k", Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
    )
    assert s3.get_object_tagging(Bucket="objects", Key="k")["TagSet"] == [
        {"Key": "a", "Value": "b"}
    ]
    s3.put_object(Bucket="objects", Key="k", Body=b"x", Tagging="foo=bar&bar")
    tags = s3.get_object_tagging(Bucket="objects", Key="k")["TagSet"]
    assert tags == [{"Key": "bar", "Value": ""}, {"Key": "foo", "Value": "bar"}]
    s3.delete_object_tagging(Bucket="objects", Key="k")
    assert s3.get_object_tagging(Bucket="objects", Key="k")["TagSet"] == []


def test_attributes_of_an_object(s3):
    etag = s3.put_object(Bucket="objects", Key="k", Body=b"hello")["ETag"]
    got = s3.get_object_attributes(
        Bucket="objects",
        Key="k",
        ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"],
    )
    assert (got["ETag"], got["ObjectSize"], got["StorageClass"]) == (etag.strip('"'), 5, "STANDARD")
    assert got["Checksum"]["ChecksumType"] == "FULL_OBJECT"


def test_a_presigned_url_gets_and_puts(client, s3, platform):
    signer = client("s3", signature_version="s3v4")

    def raw(method, url, body=b"", headers=None):
        parts = urllib.parse.urlsplit(url)
        sent = {"host": parts.netloc, **(headers or {})}
        return platform.send(HttpRequest(method, parts.path, parts.query, sent, body))

    put = signer.generate_presigned_url("put_object", Params={"Bucket": "objects", "Key": "p/q r"})
    assert raw("PUT", put, b"by hand", {"content-length": "7"})[0] == 200
    get = signer.generate_presigned_url(
        "get_object",
        Params={
            "Bucket": "objects",
            "Key": "p/q r",
            "ResponseContentDisposition": "attachment; filename=x",
        },
    )
    status, headers, body = raw("GET", get)
    assert (status, body) == (200, b"by hand")
    assert dict(headers)["Content-Disposition"] == "attachment; filename=x"
    assert raw("GET", get.replace("attachment", "inline"))[0] == 403


def test_a_body_with_a_trailing_checksum_is_held_to_it(s3, platform):
    """What SDKs send over TLS: aws-chunked with x-amz-trailer, small and streamed."""
    for size in (100, 500_000):
        body = pattern(size)
        for crc, code in ((zlib.crc32(body), None), (1, "BadDigest")):
            trailer = b64(crc.to_bytes(4, "big"))
            chunked = b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (
                size,
                body,
                trailer.encode(),
            )

            status = put_chunked(s3, platform, chunked, size)
            assert (status == 200) is (code is None)
        assert s3.get_object(Bucket="objects", Key="trailed")["Body"].read() == body


def put_chunked(s3, platform, chunked: bytes, size: int) -> int:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from conftest import ENDPOINT, to_http

    request = AWSRequest(
        "PUT",
        f"{ENDPOINT}/objects/trailed",
        data=chunked,
        headers={
            "Host": "localhost:4566",
            "Content-Encoding": "aws-chunked",
            "X-Amz-Content-SHA256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "X-Amz-Decoded-Content-Length": str(size),
            "X-Amz-Trailer": "x-amz-checksum-crc32",
            "X-Amz-Sdk-Checksum-Algorithm": "CRC32",
        },
    )

    class Signer(S3SigV4Auth):
        def payload(self, request):
            return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

    Signer(s3._request_signer._credentials, "s3", "us-east-1").add_auth(request)
    request.headers["X-Amz-Content-SHA256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
    return platform.send(to_http(request.prepare()))[0]


def test_the_high_level_transfer_works_for_a_large_file(s3):
    body = pattern(20_000_000)
    s3.upload_fileobj(io.BytesIO(body), "objects", "large")
    sink = io.BytesIO()
    s3.download_fileobj("objects", "large", sink)
    assert hashlib.sha256(sink.getvalue()).digest() == hashlib.sha256(body).digest()
    assert s3.head_object(Bucket="objects", Key="large")["ETag"].endswith('-3"')


def test_of_many_who_race_for_a_key_one_wins(s3):
    """Put-if-absent, compare-and-swap and completing an upload: the losers are told, and what the winner said is there."""
    lanes = range(8)

    def race(attempt):
        """(lane, what came back or None) of all lanes at once."""

        def one(lane):
            try:
                return lane, attempt(lane)
            except ClientError as error:
                code = error.response["Error"]["Code"]
                assert code in ("PreconditionFailed", "ConditionalRequestConflict"), code
                return lane, None

        with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
            ((winner, said),) = [(lane, got) for lane, got in pool.map(one, lanes) if got]
        return winner, said

    def body(lane, size):
        return bytes([65 + lane]) * size

    for key, size in (("small", 10), ("large", 400_000)):
        winner, said = race(
            lambda lane, key=key, size=size: s3.put_object(
                Bucket="objects", Key=key, Body=body(lane, size), IfNoneMatch="*"
            )
        )
        got = s3.get_object(Bucket="objects", Key=key)
        assert (got["Body"].read(), got["ETag"]) == (body(winner, size), said["ETag"])
        for _ in range(3):
            etag = s3.head_object(Bucket="objects", Key=key)["ETag"]
            winner, said = race(
                lambda lane, key=key, size=size, etag=etag: s3.put_object(
                    Bucket="objects", Key=key, Body=body(lane, size) + etag.encode(), IfMatch=etag
                )
            )
            got = s3.get_object(Bucket="objects", Key=key)
            assert got["ETag"] == said["ETag"]
            assert got["Body"].read() == body(winner, size) + etag.encode()
    uploads = {}
    for lane in lanes:
        about = {"Bucket": "objects", "Key": "parts"}
        about["UploadId"] = s3.create_multipart_upload(**about)["UploadId"]
        part = s3.upload_part(**about, PartNumber=1, Body=body(lane, 100))
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        uploads[lane] = {**about, "MultipartUpload": parts}
    winner, said = race(lambda lane: s3.complete_multipart_upload(**uploads[lane], IfNoneMatch="*"))
    got = s3.get_object(Bucket="objects", Key="parts")
    assert (got["Body"].read(), got["ETag"]) == (body(winner, 100), said["ETag"])


def test_headers_in_the_query_of_a_presigned_url_count(client, s3, platform):
    """As the SDK for JavaScript presigns, and boto3 with the older signature."""
    from botocore.auth import S3SigV4QueryAuth
    from botocore.awsrequest import AWSRequest
    from conftest import ENDPOINT, to_http

    asked = {
        "x-amz-meta-a": "b c", "x-amz-storage-class": "STANDARD_IA", "x-amz-tagging": "t=1", "If-None-Match": "*",
        "x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-crc32": "AAAAAA==",
    }  # fmt: skip
    request = AWSRequest("PUT", f"{ENDPOINT}/objects/q", data=b"", params=asked)
    S3SigV4QueryAuth(s3._request_signer._credentials, "s3", "us-east-1").add_auth(request)
    sent = to_http(request.prepare())
    sent.body = b"body"
    assert platform.send(sent)[0] == 200
    head = s3.head_object(Bucket="objects", Key="q")
    assert (head["Metadata"], head["StorageClass"]) == ({"a": "b c"}, "STANDARD_IA")
    assert (head["TagCount"], head["ContentLength"]) == (1, 4)
    sent = to_http(request.prepare())
    assert platform.send(sent)[0] == 412
    old = client("s3", signature_version="s3")
    params = {"Bucket": "objects", "Key": "old", "Metadata": {"foo": "bar"}}
    url = old.generate_presigned_url("put_object", Params=params)
    assert platform.send(to_http(AWSRequest("PUT", url, data=b"x").prepare()))[0] == 200
    assert s3.head_object(Bucket="objects", Key="old")["Metadata"] == {"foo": "bar"}


def test_an_override_of_expires_is_a_date(s3):
    s3.put_object(Bucket="objects", Key="k", Body=b"x")
    at = dt.datetime(2015, 10, 21, 7, 28, tzinfo=dt.UTC)
    got = s3.get_object(Bucket="objects", Key="k", ResponseExpires=at)
    assert got["ResponseMetadata"]["HTTPHeaders"]["expires"] == "Wed, 21 Oct 2015 07:28:00 GMT"


def test_a_copy_onto_itself_must_say_what_changes(s3):
    """LocalStack's recorded test_s3_copy_object_storage_class and test_s3_copy_object_in_place_storage_class."""
    s3.put_object(Bucket="objects", Key="k", Body=b"x", StorageClass="STANDARD_IA")
    about = {"Bucket": "objects", "Key": "k", "CopySource": "objects/k"}
    with pytest.raises(ClientError, match="illegal"):
        s3.copy_object(**about)
    s3.copy_object(**about, StorageClass="STANDARD_IA")
    with pytest.raises(ClientError) as error:
        s3.copy_object(**about, StorageClass="STANDARD", IfNoneMatch="*")
    assert status_of(error) == 412


def test_conditions_on_writes_take_what_aws_takes(s3):
    """LocalStack's recorded test_put_object_if_match_validation and test_put_object_if_none_match_validation."""
    for condition in (
        {"IfMatch": "*"},
        {"IfNoneMatch": '"x"'},
        {"IfMatch": "x", "IfNoneMatch": "*"},
    ):
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="objects", Key="k", Body=b"x", **condition)
        said = error.value.response["Error"]
        assert (said["Code"], status_of(error)) == ("NotImplemented", 501)
        assert said["additionalMessage"].endswith(("for this API", "present in the request"))
